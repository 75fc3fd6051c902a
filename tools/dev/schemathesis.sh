# shellcheck shell=bash
# Lets schemathesis make requests from /openapi.json and judge the answers. Sourced, never run.
# Not part of ./dev test: it needs Python's registry, and what it finds depends on chance.

schemathesis_version=4.32.5

# dev_schemathesis [options of `schemathesis run`]
dev_schemathesis() {
  ensure_packages build run python
  build_preset release pam-auth
  local venv="build/schemathesis-$schemathesis_version" ready pid port certificate token status=0
  if [ ! -x "$venv/bin/schemathesis" ]; then
    say "installing schemathesis $schemathesis_version into $venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "schemathesis==$schemathesis_version" || { rm -rf "$venv" && die "Python's registry does not answer"; }
  fi
  ready="$(mktemp -d)/ready.json"
  build/release/bin/pam-auth dev --ephemeral --port 0 --ready-file "$ready" >"${ready%/*}/server.log" 2>&1 &
  pid=$!
  # shellcheck disable=SC2064  # the pid of now
  trap "kill $pid" EXIT
  wait_until 60 test -s "$ready" || die "the server did not start; see ${ready%/*}/server.log"
  port="$(sed -n 's/.*"port":\([0-9]*\),"internal_port.*/\1/p' "$ready")"
  certificate="$(sed -n 's/.*"certificate":"\([^"]*\)".*/\1/p' "$ready")"
  token="$(curl --silent --fail --cacert "$certificate" "https://localhost:$port/auth/v1/signup" -H 'Content-Type: application/json' \
    -d '{"email":"schemathesis@example.com","password":"correct horse battery staple"}' | sed -n 's/.*"access_token":"\([^"]*\)".*/\1/p')"
  # No schema can say what an acceptable password or address is, nor which grant a query asks for. A sign-out
  # ends the session all others need: it comes last.
  local how=(run "https://localhost:$port/openapi.json" --tls-verify "$certificate" --seed 1 --max-examples 50
    --checks all --exclude-checks positive_data_acceptance --header "Authorization: Bearer $token")
  "$venv/bin/schemathesis" "${how[@]}" --exclude-path /auth/v1/logout "$@" || status=$?
  "$venv/bin/schemathesis" "${how[@]}" --include-path /auth/v1/logout "$@" || status=$?
  kill "$pid" && wait "$pid" || true
  trap - EXIT
  return "$status"
}
