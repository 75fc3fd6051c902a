# shellcheck shell=bash
# Run the server for development, in front or in the background. Sourced, never run.

state=.dev

running_pid() {
  local pid
  pid="$(cat "$state/pid" 2>/dev/null)" || return 1
  # A recycled pid must not be mistaken for ours.
  [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = pam-auth ] || return 1
  echo "$pid"
}

# One member of the flat part of the ready file, by name.
ready_value() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p" "$state/ready.json"; }

answers_health() {
  curl --silent --fail --max-time 2 --output /dev/null --cacert "$2" "https://localhost:$1/health"
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
is_ready_or_gone() { [ -s "$state/ready.json" ] || is_gone "$1"; }

up_detached() {
  local pid port
  rm -f "$state/ready.json"
  setsid nohup "$@" --ready-file "$state/ready.json" </dev/null >"$state/server.log" 2>&1 &
  pid=$!
  echo "$pid" >"$state/pid"
  if ! wait_until 60 is_ready_or_gone "$pid" || [ ! -s "$state/ready.json" ]; then
    kill "$pid" 2>/dev/null || true
    rm -f "$state/pid"
    tail -n 20 "$state/server.log" >&2
    die "the server did not start; the whole log is $state/server.log"
  fi
  port="$(ready_value port)"
  wait_until 10 answers_health "$port" "$(ready_value certificate)" ||
    die "the server runs (pid $pid) but https://localhost:$port/health does not answer; see $state/server.log"
  say "serving at https://localhost:$port (pid $pid, log $state/server.log, stop with ./dev down)"
}

dev_up() {
  local port=8443 data="$state/data" detach=no pid extra=()
  while [ $# -gt 0 ]; do
    case "$1" in
      --port) port="${2:?--port needs a number}" && shift ;;
      --data) data="${2:?--data needs a folder}" && shift ;;
      --ephemeral) extra+=(--ephemeral) ;;
      --detach) detach=yes ;;
      *) die "up does not know '$1'; see ./dev help" ;;
    esac
    shift
  done
  if ! [[ "$port" =~ ^[0-9]{1,5}$ ]] || [ "$port" -gt 65535 ]; then
    die "--port needs a number up to 65535, not '$port'"
  fi
  ensure_packages build run
  if pid="$(running_pid)"; then
    [ "$detach" = no ] || { say "already serving at https://localhost:$(ready_value port) (pid $pid)" && return 0; }
    die "a detached server runs already (pid $pid); stop it first with ./dev down"
  fi
  build_preset release pam-auth
  mkdir -p "$state"
  local command=(build/release/bin/pam-auth dev --port "$port" --data "$data" "${extra[@]}")
  if [ "$detach" = yes ]; then up_detached "${command[@]}"; else exec "${command[@]}"; fi
}

dev_down() {
  local pid
  pid="$(running_pid)" || { rm -f "$state/pid" && say "nothing runs" && return 0; }
  say "stopping $pid"
  kill -TERM "$pid"
  # The server finishes what runs (drain_delay and drain_timeout) before it leaves.
  wait_until 120 is_gone "$pid" || die "pid $pid did not end within 120 s; see $state/server.log"
  rm -f "$state/pid" "$state/ready.json"
  say "stopped"
}
