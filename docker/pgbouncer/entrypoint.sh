#!/bin/sh
# Writes the password file from the environment (never part of the image) and runs PgBouncer in front.
set -eu
: "${PAM_APP_PASSWORD:?}" "${PAM_OWNER_PASSWORD:?}"
umask 077

printf '"pam_app" "%s"\n"pam_owner" "%s"\n' "$PAM_APP_PASSWORD" "$PAM_OWNER_PASSWORD" >/run/pgbouncer/users.txt
sed -e "s/%HOST%/${PGBOUNCER_HOST:-postgres}/" -e "s/%DATABASE%/${PGBOUNCER_DATABASE:-pam_local}/" \
  /etc/pgbouncer/pgbouncer.ini >/run/pgbouncer/pgbouncer.ini
exec pgbouncer /run/pgbouncer/pgbouncer.ini
