# shellcheck shell=bash
# A development server for the duration of a script. Sourced, never run. Needs $root.

# Starts `pam-auth dev` on a free port and sets BASE, CERTIFICATE and INSECURE; stopped at exit.
with_server() {
  local folder
  folder="$(mktemp -d /tmp/pam-load-dev.XXXXXX)"
  chmod 755 "$folder"
  "$root/build/release/bin/pam-auth" dev --port 0 --data "$folder/data" --ready-file "$folder/ready.json" >"$folder/log" 2>&1 &
  local pid=$!
  # shellcheck disable=SC2064 # both are fixed now
  trap "kill -INT $pid; wait $pid; rm -rf '$folder'" EXIT
  local tries=0
  until [ -s "$folder/ready.json" ]; do
    kill -0 "$pid" 2>/dev/null || { cat "$folder/log" >&2 && exit 1; }
    tries=$((tries + 1))
    [ "$tries" -lt 1200 ] || { cat "$folder/log" >&2 && exit 1; }
    sleep 0.05
  done
  local port
  port="$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$folder/ready.json")"
  export BASE="https://localhost:$port/auth/v1" CERTIFICATE="$folder/data/localhost.crt" INSECURE=1
}
