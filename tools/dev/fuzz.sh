# shellcheck shell=bash
# Fuzzing of every decoder with libFuzzer. Sourced, never run.

# Executions of each target in `./dev test`: a few seconds each on one core.
fuzz_test_runs=20000

# Names of the targets the fuzz build knows.
fuzz_targets() {
  ninja -C build/fuzz -t targets all 2>/dev/null | sed -n 's|^bin/fuzz_\([a-z_]*\):.*|\1|p' | sort -u
}

# fuzz_run NAME OPTION...   one target from its seeds, with what earlier runs found in build/fuzz/corpus
fuzz_run() {
  local name="$1" corpus="build/fuzz/corpus/$1" options=()
  shift
  mkdir -p "$corpus" build/fuzz/findings
  [ ! -d "tests/fuzz/seeds/$name" ] || options+=("tests/fuzz/seeds/$name")
  case "$name" in sign_up | update_user | claims | bearer) options+=(-dict=tests/fuzz/json.dict) ;; esac
  "build/fuzz/bin/fuzz_$name" -artifact_prefix="build/fuzz/findings/$name-" -max_len=8192 -print_final_stats=1 "$@" \
    "$corpus" "${options[@]}"
}

# dev_fuzz [TARGET] [--seconds N | --runs N]
dev_fuzz() {
  local wanted='' limit=-max_total_time=60 names name log
  while [ $# -gt 0 ]; do
    case "$1" in
      --seconds) limit="-max_total_time=${2:?--seconds needs a number}" && shift ;;
      --runs) limit="-runs=${2:?--runs needs a number}" && shift ;;
      -*) die "fuzz does not know '$1'; see ./dev help" ;;
      *) wanted="$1" ;;
    esac
    shift
  done
  ensure_packages build
  build_preset fuzz fuzz_all
  mapfile -t names < <(fuzz_targets)
  if [ -n "$wanted" ]; then
    [[ " ${names[*]} " == *" $wanted "* ]] || die "no fuzz target '$wanted'; there are: ${names[*]}"
    names=("$wanted")
  fi
  for name in "${names[@]}"; do
    log="build/fuzz/$name.log"
    say "fuzzing $name ($limit)"
    fuzz_run "$name" "$limit" >"$log" 2>&1 || {
      tail -40 "$log" >&2
      die "$name: a finding; its input is in build/fuzz/findings, the report in $log"
    }
    say "$name: $(awk '/number_of_executed_units/ {n = $2} /average_exec_per_sec/ {r = $2} END {print n " executions, " r " a second, no finding"}' "$log")"
  done
}

# One test a target, as TAP.
fuzz_checks() {
  local number=0 name log
  while IFS= read -r name; do
    number=$((number + 1))
    log="build/fuzz/$name.log"
    if fuzz_run "$name" "-runs=$fuzz_test_runs" -seed=1 >"$log" 2>&1; then
      echo "ok $number - $name survives $fuzz_test_runs executions"
    else
      tail -40 "$log" >&2
      echo "not ok $number - $name: its input is in build/fuzz/findings"
    fi
  done < <(fuzz_targets)
  echo "1..$number"
}

test_fuzz() {
  say "fuzzing every decoder for $fuzz_test_runs executions"
  run_tap fuzz build/results/fuzz.tap fuzz_checks
}
