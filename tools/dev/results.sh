# shellcheck shell=bash
# Adds up what the test runners report. Sourced, never run. Numbers come from the runners' own
# machine-readable output (GoogleTest XML, ctest JUnit, TAP); nothing is counted by hand.

total_passed=0
total_failed=0
result_lines=()

# record NAME PASSED FAILED   a runner that executed nothing counts as one failure
record() {
  local name="$1" passed="$2" failed="$3" note=""
  if [ $((passed + failed)) -eq 0 ]; then
    failed=1
    note=" (it executed nothing)"
  fi
  total_passed=$((total_passed + passed))
  total_failed=$((total_failed + failed))
  result_lines+=("$(printf '%-12s %5d passed, %d failed%s' "$name" "$passed" "$failed" "$note")")
}

# The closing line stands alone at the end; the exit status says the same.
print_results() {
  printf '%s\n' "${result_lines[@]}"
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  [ "$total_failed" -eq 0 ]
}

# tally_gtest FILE   "PASSED FAILED" of one GoogleTest XML file; skipped and disabled are neither
tally_gtest() {
  awk '
    function attribute(name,   at) {
      return match($0, " " name "=\"[0-9]+\"") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4) + 0 : 0
    }
    /<testsuites / {
      tests += attribute("tests"); failures += attribute("failures"); off += attribute("disabled")
      errors += attribute("errors"); next
    }
    /<testsuite / { off += attribute("skipped") }
    END { print tests - failures - errors - off, failures + errors }' "$1"
}

# junit_cases FILE   "STATUS NAME" of every test case of a ctest JUnit file
junit_cases() {
  awk '
    /<testcase / {
      match($0, / name="[^"]*"/); name = substr($0, RSTART + 7, RLENGTH - 8)
      match($0, / status="[^"]*"/); print substr($0, RSTART + 9, RLENGTH - 10), name
    }' "$1"
}

# tally_ctest JUNIT XML_FOLDER   "PASSED FAILED": each entry counts with its GoogleTest cases if it has
# any, and with one failure more when it failed although every case passed (a crash, a leak at the end).
tally_ctest() {
  local passed=0 failed=0 status name p f
  while read -r status name; do
    p=0 f=0
    if [ -s "$2/$name.xml" ]; then
      read -r p f < <(tally_gtest "$2/$name.xml")
      [ "$status" = run ] || [ "$f" -gt 0 ] || f=1
    else
      case "$status:$name" in
        run:services*) ;; # starting and stopping what the tests need is no test
        run:*) p=1 ;;
        disabled:*) ;;
        *) f=1 ;;
      esac
    fi
    passed=$((passed + p))
    failed=$((failed + f))
  done < <(junit_cases "$1")
  echo "$passed $failed"
}

# tally_tap FILE   "PASSED FAILED" of a TAP stream: Node's summary where there is one (cancelled tests
# failed), else its top-level lines.
tally_tap() {
  awk '
    /^# pass [0-9]+/ { summary = 1; passed += $3 }
    /^# (fail|cancelled) [0-9]+/ { summary = 1; failed += $3 }
    /^ok /     { if ($0 !~ /# (SKIP|TODO)/) ok++ }
    /^not ok / { if ($0 !~ /# TODO/) bad++ }
    END { if (summary) print passed + 0, failed + 0; else print ok + 0, bad + 0 }' "$1"
}
