# shellcheck shell=bash
# Runs every kind of test and prints one total. Sourced, never run.

test_preset=asan
# Not the benches: they count allocations by an operator new of their own.
tsan_targets=(api_tests auth_tests cli_tests crypto_tests db_core_tests net_tests protocol_tests runtime_tests
  schema_tests swarm_tests db_pg_tests framing_server pam-auth)

# test_ctest NAME LABELS [OPTION...]   GoogleTest and other ctest entries with these labels (a regular expression)
test_ctest() {
  local name="$1" labels="$2" folder="build/$test_preset" out passed failed
  shift 2
  out="$PWD/$folder/results-$name"
  rm -rf "$out" && mkdir -p "$out"
  say "$name tests"
  # A trailing slash makes GoogleTest write one file an executable.
  GTEST_OUTPUT="xml:$out/" ctest --test-dir "$folder" -L "$labels" "$@" --output-on-failure \
    --output-junit "$out/junit.xml" --no-tests=ignore >&2 || true
  if [ -s "$out/junit.xml" ]; then
    read -r passed failed < <(tally_ctest "$out/junit.xml" "$out")
  else
    passed=0 failed=1
  fi
  record "$name" "$passed" "$failed"
}

# What ThreadSanitizer is told: tests/support/tsan.supp names third-party code only, each with its reason.
tsan_options() {
  echo "suppressions=$PWD/tests/support/tsan.supp:second_deadlock_stack=1:history_size=4${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
}

# Unit tests, everything threaded over a real PostgreSQL, and a server with requests, reloads and a successor.
# A report of ThreadSanitizer fails the executable, or the file of black-box tests, in which it came.
test_tsan() {
  local TSAN_OPTIONS
  test_preset=tsan
  TSAN_OPTIONS="$(tsan_options)"
  export TSAN_OPTIONS
  test_ctest unit '^unit$'
  test_ctest pg '^pg$' -R '^(services_.*|db_pg_tests)$'
  install_node_packages
  say "black-box tests against build/tsan/bin/pam-auth"
  run_tap blackbox/tsan build/tsan/results/blackbox.tap \
    env PAM_AUTH_BIN="$PWD/build/tsan/bin/pam-auth" tests/blackbox/run --threads
}

# run_tap NAME FILE COMMAND...   runs a TAP producer, shows its failures, records its numbers
run_tap() {
  local name="$1" out="$2" status=0 passed failed
  shift 2
  mkdir -p "${out%/*}"
  "$@" >"$out" || status=$?
  read -r passed failed < <(tally_tap "$out")
  # A producer that broke off after passing tests must not count as a success.
  [ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
  if [ "$failed" -gt 0 ]; then cat "$out" >&2; fi
  record "$name" "$passed" "$failed"
}

# What the black-box and SDK suites use from npm, as locked.
install_node_packages() {
  (cd tests/sdk && [ node_modules/.package-lock.json -nt package-lock.json ]) && return
  say "installing the tests' packages from tests/sdk/package-lock.json"
  (cd tests/sdk && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) ||
    warn "npm ci failed: the black-box and SDK suites cannot run"
}

test_blackbox() {
  install_node_packages
  say "black-box tests against build/release/bin/pam-auth"
  run_tap blackbox build/release/results/blackbox.tap \
    env PAM_AUTH_BIN="$PWD/build/release/bin/pam-auth" tests/blackbox/run
  # The same requests under AddressSanitizer and UBSan, when that build exists.
  if [ -x "build/$test_preset/bin/pam-auth" ]; then
    say "black-box tests against build/$test_preset/bin/pam-auth"
    run_tap "blackbox/$test_preset" "build/$test_preset/results/blackbox.tap" \
      env PAM_AUTH_BIN="$PWD/build/$test_preset/bin/pam-auth" tests/blackbox/run --sanitized
  fi
}

# Faults of every part while clients work; what it takes longer for stands in the head of the script.
test_chaos() {
  install_node_packages
  say "chaos tests against build/release/bin/pam-auth"
  run_tap chaos build/release/results/chaos.tap \
    env PAM_AUTH_BIN="$PWD/build/release/bin/pam-auth" tests/chaos/run
}

# Failovers by Patroni under load, two minutes: asked for by name only.
test_patroni() {
  install_node_packages
  say "failovers by Patroni against build/release/bin/pam-auth"
  run_tap patroni build/release/results/patroni.tap \
    env PAM_AUTH_BIN="$PWD/build/release/bin/pam-auth" tests/chaos/run patroni.test.mjs
}

test_sdk() {
  say "SDK tests against build/release/bin/pam-auth"
  install_node_packages
  run_tap sdk build/release/results/sdk.tap \
    env PAM_AUTH_BIN="$PWD/build/release/bin/pam-auth" tests/sdk/run
}

# A few hundred users over TLS, PgBouncer and PostgreSQL; each line of its verdict is a test.
test_load() {
  say "load: the small profile of load-tests/targets.toml"
  run_tap load build/release/results/load.tap node load-tests/runner/main.mjs small --tap
}

# Every supported PostgreSQL, five minutes: asked for by name only.
test_versions() {
  say "migrations and statements on PostgreSQL 14 to 18"
  if ! (cd tests/versions && [ node_modules/.package-lock.json -nt package-lock.json ]); then
    say "installing the servers from tests/versions/package-lock.json"
    (cd tests/versions && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) ||
      warn "npm ci failed: there is nothing to run on"
  fi
  run_tap versions build/results/versions.tap tests/versions/run "$PWD/build/$test_preset"
}

# Every statement explained at a million accounts and five million sessions (PAM_TEST_ACCOUNTS and
# PAM_TEST_SESSIONS choose otherwise), on a server with the settings of such a size. Some minutes and 8 GB of
# disk: asked for by name only. build/results/plans.md is the table of docs/database.md.
test_plans() {
  local folder="$PWD/build/$test_preset" services="$PWD/build/$test_preset/services-plans" passed failed
  local settings=$'shared_buffers = 2GB\nmax_wal_size = 4GB\nmaintenance_work_mem = 512MB\nrandom_page_cost = 1.1'
  say "plans of every statement, ${PAM_TEST_ACCOUNTS:=1000000} accounts, ${PAM_TEST_SESSIONS:=5000000} sessions"
  rm -f "$folder/results-plans.xml" && mkdir -p build/results
  PAM_TEST_PG_SETTINGS="$settings" tests/support/services.sh start "$services"
  (
    set -a
    # shellcheck source=/dev/null
    source "$services/env"
    PAM_TEST_ACCOUNTS="$PAM_TEST_ACCOUNTS" PAM_TEST_SESSIONS="$PAM_TEST_SESSIONS" \
      PAM_TEST_PLAN_TABLE="$PWD/build/results/plans.md" GTEST_OUTPUT="xml:$folder/results-plans.xml" \
      "$folder/bin/plan_pgtests" >&2
  ) || true
  tests/support/services.sh stop "$services"
  if [ -s "$folder/results-plans.xml" ]; then
    read -r passed failed < <(tally_gtest "$folder/results-plans.xml")
  else
    passed=0 failed=1
  fi
  record plans "$passed" "$failed"
}

test_sql() {
  say "the SQL of the migrations"
  if ! (cd tests/sql && [ node_modules/.package-lock.json -nt package-lock.json ]); then
    say "installing squawk from tests/sql/package-lock.json"
    (cd tests/sql && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) ||
      warn "npm ci failed: the SQL cannot be linted"
  fi
  run_tap sql build/results/sql.tap tests/sql/run
}

# Everything about the schema: the runner, recipes and migrations under load, plans, maintenance, reports,
# the audit log, its export and its publication, the SQL itself, a server over HTTPS while its schema changes.
test_schema() {
  test_sql
  test_ctest schema '^schema$'
  install_node_packages
  run_tap "schema/https" build/release/results/schema.tap \
    env PAM_AUTH_BIN="$PWD/build/release/bin/pam-auth" tests/blackbox/run audit.test.mjs migrations.test.mjs
}

# Everything about the database layer: its pure core, its seven ways to a real PostgreSQL, replicas and
# failover, and faults of every part while clients work.
test_db() {
  test_ctest db '^db$'
  test_chaos
}

test_layers() {
  say "layers"
  run_tap layers build/results/layers.tap tools/check_layers_test
}

# Every relative link in our Markdown leads to a file.
links_resolve() {
  local file target bad=0
  while IFS=: read -r file target; do
    target="${target#](}"
    target="${target%%[)#]*}"
    if [ -n "$target" ] && [ ! -e "${file%/*}/$target" ]; then
      echo "$file: nothing at $target"
      bad=1
    fi
  done < <(grep -oHE '\]\([^)]+\)' ./README.md ./docs/*.md ./docs/adr/*.md | grep -vE '\]\((https?:|mailto:)')
  return "$bad"
}

# One test a script and one for all C++ sources, as TAP.
format_checks() {
  local number=0 script files
  check() {
    number=$((number + 1))
    if "${@:2}" >&2; then echo "ok $number - $1"; else echo "not ok $number - $1"; fi
  }
  mapfile -t files < <(cpp_sources)
  check "C++ sources are formatted" clang-format-19 --dry-run -Werror "${files[@]}"
  while IFS= read -r script; do
    check "$script is valid bash" bash -n "$script"
    if command -v shellcheck >/dev/null; then check "$script passes shellcheck" shellcheck -x "$script"; fi
  done < <(shell_scripts)
  while IFS= read -r script; do
    check "$script is valid JavaScript" node --check "$script"
  done < <(find tests load-tests bench -name node_modules -prune -o -name '*.mjs' -print | sort)
  check "links in the documents lead somewhere" links_resolve
  check "the adding up of results is right" tools/dev/results_test
  echo "1..$number"
}

shell_scripts() {
  {
    find tools .ci tests docker load-tests -name node_modules -prune -o -type f -name '*.sh' -print
    grep -rlE --exclude-dir=node_modules '^#!.*\bbash\b' dev tools .ci tests docker load-tests
  } 2>/dev/null | sort -u
}

test_format() {
  say "format and scripts"
  run_tap format build/results/format.tap format_checks
}

dev_test() {
  local only=all
  while [ $# -gt 0 ]; do
    case "$1" in
      --only) only="${2:?--only needs a label}" && shift ;;
      --preset)
        test_preset="${2:?--preset needs a name}" && shift
        require_preset "$test_preset"
        ;;
      *) die "test does not know '$1'; see ./dev help" ;;
    esac
    shift
  done
  case "$only" in
    layers) test_layers ;;
    sql) ensure_packages test && test_sql ;;
    fuzz)
      ensure_packages build && build_preset fuzz fuzz_all
      test_fuzz
      ;;
    plans)
      ensure_packages build run test && build_preset "$test_preset" plan_pgtests
      test_plans
      ;;
    schema)
      ensure_packages build run test
      build_preset "$test_preset" schema_tests schema_pgtests cli_pgtests plan_pgtests upgrade_pgtests
      build_preset release pam-auth
      test_schema
      ;;
    db)
      ensure_packages build run test
      build_preset "$test_preset" db_core_tests db_pg_tests db_cluster_tests catalogue_pgtests
      build_preset release pam-auth
      test_db
      ;;
    versions)
      ensure_packages build run test
      build_preset "$test_preset" schema_pgtests plan_pgtests db_pg_tests domain_pgtests upgrade_pgtests
      test_versions
      ;;
    format) ensure_packages format test && test_format ;;
    unit | pg)
      ensure_packages build run test && build_preset "$test_preset"
      test_ctest "$only" "^$only\$"
      ;;
    tsan)
      ensure_packages build run test
      build_preset tsan "${tsan_targets[@]}"
      test_tsan
      ;;
    chaos)
      ensure_packages build run test && build_preset release pam-auth
      test_chaos
      ;;
    patroni)
      ensure_packages build run test patroni && build_preset release pam-auth
      test_patroni
      ;;
    blackbox | sdk | wire)
      ensure_packages build run test && build_preset release pam-auth framing_server
      [ "$only" = sdk ] || test_blackbox
      [ "$only" = blackbox ] || test_sdk
      ;;
    load) ensure_packages build run load && build_preset release pam-auth swarm && test_load ;;
    all) test_everything ;;
    *) die "no label '$only'; there are unit, pg, blackbox, sdk, chaos, layers, format, db, sql, fuzz, schema, plans, versions, load, wire, tsan, patroni" ;;
  esac
  print_results
}

test_everything() {
  ensure_packages format build run test
  # The cheap checks first: they fail fast.
  test_layers
  test_format
  test_sql
  build_preset "$test_preset"
  test_ctest unit '^unit$'
  test_ctest pg '^pg$'
  build_preset fuzz fuzz_all
  test_fuzz
  build_preset release pam-auth framing_server tools
  test_blackbox
  test_sdk
  test_chaos
  test_load
}
