# shellcheck shell=bash
# Small things every part of ./dev uses. Sourced, never run.

# Progress goes to standard error, so that standard output carries results only.
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
warn() { printf 'dev: %s\n' "$*" >&2; }
die() {
  printf 'dev: %s\n' "$*" >&2
  exit 2
}

is_ci() { [ "${CI:-}" = true ]; }

# Bytes of memory this process may use: what the machine has free, or the cgroup's limit if lower.
usable_memory_kib() {
  local free_kib limit
  free_kib="$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)"
  limit="$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)"
  if [[ "$limit" =~ ^[0-9]+$ ]] && [ $((limit / 1024)) -lt "$free_kib" ]; then
    free_kib=$((limit / 1024))
  fi
  echo "$free_kib"
}

# Compile jobs: one a core, but no more than memory allows (an Asio unit takes up to 1 GiB under
# sanitizers).
job_count() {
  local cores by_memory
  cores="$(nproc)"
  by_memory=$(($(usable_memory_kib) / 1048576))
  [ "$by_memory" -ge 1 ] || by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# Waits until the command succeeds. wait_until SECONDS COMMAND...
wait_until() {
  local limit=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$limit" ] || return 1
    sleep 0.05
  done
}
