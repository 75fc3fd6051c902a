# shellcheck shell=bash
# Configure, build, format, tidy, bench. Sourced, never run.

# The preset to configure with: in CI a warning is an error.
configure_preset() {
  if is_ci && [[ "$1" =~ ^(release|asan)$ ]]; then echo "ci-$1"; else echo "$1"; fi
}

# The presets people may name; those of CI are the same with warnings as errors.
require_preset() {
  local known
  known=$(sed -n '/"buildPresets"/,/]/s/.*"configurePreset": "\([^"]*\)".*/\1/p' CMakePresets.json)
  grep -qxF -- "$1" <<<"$known" || die "no preset '$1': use one of ${known//$'\n'/, }"
}

# dev_build [PRESET [TARGET...]]
dev_build() {
  require_preset "${1:-dev}"
  ensure_packages build
  build_preset "${@:-dev}"
}

# build_preset PRESET [TARGET...]   builds into build/PRESET; everything without a target
build_preset() {
  local preset="$1" folder="build/$1" stamp
  shift
  stamp="$folder/build.ninja"
  # An up-to-date folder is left to ninja, which reconfigures by itself when a CMake file changed.
  if is_ci || [ ! -e "$stamp" ] || [ CMakePresets.json -nt "$stamp" ]; then
    say "configuring $preset"
    mkdir -p "$folder"
    cmake --preset "$(configure_preset "$preset")" >"$folder/configure.log" 2>&1 || {
      cat "$folder/configure.log" >&2
      die "configuring $preset failed"
    }
  fi
  say "building $preset${1:+: $*}"
  local targets=()
  [ $# -eq 0 ] || targets=(--target "$@")
  cmake --build "$folder" --parallel "$(job_count)" "${targets[@]}" >&2 || die "building $preset failed"
}

# Names of the bench executables known to the release build.
bench_targets() {
  ninja -C build/release -t targets all 2>/dev/null |
    awk -F: '/CXX_EXECUTABLE_LINKER/ {n = split($1, part, "/"); if (part[n] ~ /^bench_|_bench$/) print part[n]}' |
    sort -u
}

cpp_sources() {
  local folder folders=()
  for folder in async db protocol server migrations bench load-tests tests; do
    [ ! -d "$folder" ] || folders+=("$folder")
  done
  find "${folders[@]}" -name node_modules -prune -o -type f \( -name '*.cpp' -o -name '*.hpp' \) -print | sort
}

dev_fmt() {
  local files
  mapfile -t files < <(cpp_sources)
  case "${1:-}" in
    --check) clang-format-19 --dry-run -Werror "${files[@]}" && say "${#files[@]} files are formatted" ;;
    '') clang-format-19 -i "${files[@]}" && say "formatted ${#files[@]} files" ;;
    *) die "fmt knows only --check, not '$1'" ;;
  esac
}

# clang-tidy reads the compile commands and the precompiled header of the dev build.
dev_tidy() {
  build_preset dev
  local files=("$@")
  [ "${#files[@]}" -gt 0 ] || mapfile -t files < <(cpp_sources | grep '\.cpp$')
  printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(job_count)" clang-tidy-19 -p build/dev --quiet
}

# Benches that are scripts, since they drive servers: bench/NAME/main.mjs, with helpers to build.
bench_scripts() {
  local script
  for script in bench/*/main.mjs; do basename "$(dirname "$script")"; done
}

# dev_bench_script NAME [OPTION...]
dev_bench_script() {
  local name="$1"
  shift
  ensure_packages bench load
  build_preset release pam-auth tools
  mkdir -p build/bench
  say "$name"
  ulimit -n "$(ulimit -Hn)"
  choose_pgbouncer
  node "bench/$name/main.mjs" --json "build/bench/$name.json" "$@"
  say "wrote build/bench/$name.json"
  node bench/support/compare.mjs "build/bench/$name.json"
}

# dev_bench [NAME]   every bench, or one: `./dev bench db` runs bench_db. What follows the name goes
# to the bench: `./dev bench db --only curve`.
# Each prints its table and writes build/bench/NAME.json: [{name, ours, reference, ratio, target, met}].
dev_bench() {
  build_preset release pam-auth
  local names wanted=''
  mapfile -t names < <(bench_targets)
  if [ $# -gt 0 ] && [ -e "bench/$1/main.mjs" ]; then
    dev_bench_script "$@"
    return
  fi
  if [ $# -gt 0 ]; then
    wanted="${1//-/_}"
    wanted="bench_${wanted#bench_}"
    shift
    [[ " ${names[*]} " == *" $wanted "* ]] || die "no bench '${wanted#bench_}'; there are: ${names[*]#bench_} $(bench_scripts | xargs)"
    names=("$wanted")
  fi
  [ "${#names[@]}" -gt 0 ] || die "there are no benches"
  [[ " ${names[*]} " != *" bench_db "* ]] || ensure_packages bench-db
  build_preset release "${names[@]}"
  mkdir -p build/bench
  local name report
  for name in "${names[@]}"; do
    report="build/bench/${name#bench_}.json"
    say "${name#bench_}"
    "build/release/bin/$name" --json "$report" "$@"
    say "wrote $report"
    ! command -v node >/dev/null || node bench/support/compare.mjs "$report"
  done
  [ "$wanted" = '' ] || return 0
  while IFS= read -r name; do dev_bench_script "$name"; done < <(bench_scripts)
}
