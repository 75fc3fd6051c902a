#!/usr/bin/env bash
# Runs once, on an empty data folder: the two roles that sign in over the network get their passwords
# before `pam-auth migrate up` finds them. The other roles of PAM Auth are made by the migrations.
set -euo pipefail
: "${PAM_APP_PASSWORD:?}" "${PAM_OWNER_PASSWORD:?}"

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
  --set app_password="$PAM_APP_PASSWORD" --set owner_password="$PAM_OWNER_PASSWORD" <<'SQL'
CREATE ROLE pam_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE pam_app LOGIN PASSWORD :'app_password';
SQL
