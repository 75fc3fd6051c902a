#!/usr/bin/env bash
# Makes what a development server needs and nobody should have to make by hand: a key file and a
# certificate for localhost. Keeps what is there: a second run changes nothing.
set -euo pipefail
folder="${1:-/var/lib/pam-auth}"
umask 077

if [ ! -s "$folder/keys.json" ]; then
  pam-auth keys generate "$folder/keys.json"
fi
if [ ! -s "$folder/server.crt" ]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,DNS:pam-auth,IP:127.0.0.1,IP:::1' \
    -keyout "$folder/server.key" -out "$folder/server.crt"
fi
chmod 0644 "$folder/server.crt"
# The server runs as this user and is the only one who may read its keys.
chown -R 10001:10001 "$folder"
