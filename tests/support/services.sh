#!/usr/bin/env bash
# One private PostgreSQL and four PgBouncers before it, for the tests.
#
#   services.sh start DIR   start all, or do nothing when they already run
#   services.sh stop DIR    end exactly what start began and remove its data
#
# DIR/env then says where they are:
#   PAM_TEST_PG_SOCKET_DIR               directory of all Unix sockets; also the host to give to libpq
#   PAM_TEST_PG_PORT                     port of PostgreSQL in that directory and on 127.0.0.1
#   PAM_TEST_PG_CA                       certificate to verify PostgreSQL by, as "localhost", on that port
#   PAM_TEST_PGBOUNCER_PORT              Debian 12's PgBouncer (1.18), transaction mode
#   PAM_TEST_PGBOUNCER_SESSION_PORT      the same, session mode
#   PAM_TEST_PGBOUNCER_NEW_PORT          PgBouncer >= 1.24, transaction mode
#   PAM_TEST_PGBOUNCER_NEW_SESSION_PORT  the same, session mode; reaches PostgreSQL by TLS
#   PAM_TEST_PGBOUNCER                   program of the older one
#   PAM_TEST_PGBOUNCER_NEW               program of the newer one (newer_pgbouncer.sh)
#   PAM_TEST_PG_SUPERUSER                who may do everything, without a password
#   PAM_TEST_SERVICES_ROOT               where data and logs are
#   PAM_TEST_PG_BIN                      PostgreSQL's programs
# Every PgBouncer listens in the directory of sockets and on 127.0.0.1.
#
# PAM_TEST_PG_FSYNC=on makes commits durable: benches need it, tests only wait for it.
# PAM_TEST_PG_SETTINGS holds further lines for postgresql.conf.
#
# They refuse to run as root and are started as the user postgres then. When that user cannot enter DIR,
# or a socket's path would be too long, the files go to a new folder under /tmp.
set -euo pipefail

readonly superuser=postgres
readonly socket_path_limit=90 # of 107 bytes: "/.s.PGSQL.65535.lock" is appended

fail() {
  printf 'services: %s\n' "$*" >&2
  exit 1
}

# Runs a command as the user the servers run as, with no descriptor of ours but the three standard ones
# (a lock held open by a server would outlive us).
as_server() {
  if ((EUID == 0)); then
    setpriv --reuid="$superuser" --regid="$superuser" --clear-groups -- "$@" 9>&-
  else
    "$@" 9>&-
  fi
}

newest_pg_bin() {
  local newest=${PAM_TEST_PG_PROGRAMS:-}
  [[ -n $newest ]] || newest=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -t/ -k5,5n | tail -n 1)
  [[ -n $newest ]] || newest=$(dirname "$(command -v postgres || true)")
  [[ -x $newest/postgres && -x $newest/initdb ]] || fail "PostgreSQL is not installed (apt-get install postgresql)"
  printf '%s\n' "$newest"
}

# A port nobody listens on. Another process may take it before we do: the caller tries again then.
free_port() {
  local port
  for _ in {1..100}; do
    port=$((20000 + RANDOM % 12000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { printf '%s\n' "$port" && return; }
  done
  fail "no free port on 127.0.0.1"
}

# wait_until SECONDS COMMAND...: polls until the command succeeds.
wait_until() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || return 1
    sleep 0.05
  done
}

# The first line of a pid file, if that process runs and its command line names our folder.
pid_of() {
  local file=$1 pid
  [[ -r $file ]] || return 1
  read -r pid <"$file" || return 1
  [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$root/" || return 1
  printf '%s\n' "$pid"
}

is_gone() { ! pid_of "$1" >/dev/null; }

choose_root() {
  root=$dir/run
  mkdir -p "$root"
  ((EUID == 0)) && chown "$superuser" "$root"
  if ((${#root} > socket_path_limit)) || ! as_server test -w "$root" -a -x "$root"; then
    rmdir "$root"
    root=$(mktemp -d /tmp/pam-services.XXXXXX)
    ((EUID == 0)) && chown "$superuser" "$root"
  fi
  chmod 0755 "$root"
  as_server mkdir -p "$root/sock" "$root/log"
}

# A certificate for "localhost" that is its own authority.
make_certificate() {
  as_server openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$root/data/server.key" -out "$root/data/server.crt" \
    >"$root/log/openssl.log" 2>&1 </dev/null || fail "no certificate, see $root/log/openssl.log"
  as_server chmod 0600 "$root/data/server.key"
  as_server cp "$root/data/server.crt" "$root/ca.crt"
}

make_cluster() {
  as_server "$bin/initdb" --pgdata="$root/data" --username="$superuser" --auth=trust --encoding=UTF8 \
    --locale=C --no-sync >"$root/log/initdb.log" 2>&1 </dev/null || fail "initdb failed, see $root/log/initdb.log"
  make_certificate
  as_server tee -a "$root/data/postgresql.conf" >/dev/null <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '${root}/sock'
ssl = on
max_connections = 200
shared_buffers = 32MB
huge_pages = off
fsync = ${PAM_TEST_PG_FSYNC:-off}
synchronous_commit = on
full_page_writes = on
max_wal_size = 256MB
wal_level = logical
timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
${PAM_TEST_PG_SETTINGS:-}
CONF
}

run_postgres() {
  as_server "$bin/pg_ctl" --pgdata="$root/data" --log="$root/log/postgres.log" --timeout=60 --wait \
    --options="-p $pg_port" start >/dev/null 2>&1 </dev/null
}

start_postgres() {
  make_cluster
  for _ in {1..5}; do
    pg_port=$(free_port)
    write_env # before the process: a stop must find a start that failed half-way
    if run_postgres && wait_until 30 is_postgres_ready; then return; fi
  done
  fail "PostgreSQL did not start, see $root/log/postgres.log"
}

is_postgres_ready() {
  psql -XAtq -h "$root/sock" -p "$pg_port" -U "$superuser" -d postgres -c 'SELECT 1'
}

# write_pooler_ini NAME PORT [SETTING...]: auth_user looks every role up in pg_shadow, so a role made by a
# test may connect at once.
write_pooler_ini() {
  as_server tee "$root/$1.ini" >/dev/null <<CONF
[databases]
* = host=${pooler_target:-$root/sock} port=${pg_port} auth_user=${superuser}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $2
unix_socket_dir = ${root}/sock
auth_type = trust
auth_file = ${root}/users.txt
admin_users = ${superuser}
stats_users = pam_app
default_pool_size = 8
max_client_conn = 2000
server_login_retry = 0.2
server_check_delay = 5
query_wait_timeout = 5
ignore_startup_parameters = extra_float_digits
pidfile = ${root}/$1.pid
logfile = ${root}/log/$1.log
$(printf '%s\n' "${@:3}")
CONF
}

# True when the process that answers on the port is ours: its console names our pid file.
# is_pooler_ready NAME PORT
is_pooler_ready() {
  psql -XAtq -h 127.0.0.1 -p "$2" -U "$superuser" -d pgbouncer -c 'SHOW CONFIG' 2>/dev/null |
    grep -qF "|$root/$1.pid|"
}

# start_pooler NAME PROGRAM SETTING...: sets pooler_port
start_pooler() {
  local name=$1 program=$2
  for _ in {1..5}; do
    pooler_port=$(free_port)
    write_pooler_ini "$name" "$pooler_port" "${@:3}"
    as_server "$program" -q -d "$root/$name.ini" >/dev/null 2>&1 </dev/null || true
    wait_until 10 is_pooler_ready "$name" "$pooler_port" && return
    stop_pid "$root/$name.pid"
  done
  fail "PgBouncer did not start, see $root/log/$name.log"
}

# The user who runs the servers may not be able to enter the folder where the newer program is kept.
find_poolers() {
  local kept=$here/../../.dev/newer-pgbouncer
  pgbouncer=$(command -v pgbouncer || printf '/usr/sbin/pgbouncer')
  [[ -x $pgbouncer ]] || fail "PgBouncer is not installed (apt-get install pgbouncer)"
  "$here/newer_pgbouncer.sh" "$kept"
  as_server cp -r "$kept" "$root/newer-pgbouncer" 2>/dev/null || cp -r "$kept" "$root/newer-pgbouncer"
  newer_pgbouncer=$root/newer-pgbouncer/pgbouncer
}

start_poolers() {
  # For the console, which looks nobody up; pam_app may ask it, as in production.
  printf '"%s" ""\n' "$superuser" pam_app | as_server tee "$root/users.txt" >/dev/null
  ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
  start_pooler pgbouncer "$pgbouncer" 'pool_mode = transaction'
  pgbouncer_port=$pooler_port
  start_pooler pgbouncer_session "$pgbouncer" 'pool_mode = session'
  pgbouncer_session_port=$pooler_port
  start_pooler pgbouncer_new "$newer_pgbouncer" 'pool_mode = transaction' 'max_prepared_statements = 500'
  pgbouncer_new_port=$pooler_port
  pooler_target=127.0.0.1 start_pooler pgbouncer_new_session "$newer_pgbouncer" 'pool_mode = session' \
    'max_prepared_statements = 500' 'server_tls_sslmode = verify-full' "server_tls_ca_file = $root/ca.crt"
  pgbouncer_new_session_port=$pooler_port
}

write_env() {
  cat >"$dir/env.new" <<ENV
PAM_TEST_PG_SOCKET_DIR=$root/sock
PAM_TEST_PG_PORT=$pg_port
PAM_TEST_PG_CA=$root/ca.crt
PAM_TEST_PGBOUNCER_PORT=$pgbouncer_port
PAM_TEST_PGBOUNCER_SESSION_PORT=$pgbouncer_session_port
PAM_TEST_PGBOUNCER_NEW_PORT=$pgbouncer_new_port
PAM_TEST_PGBOUNCER_NEW_SESSION_PORT=$pgbouncer_new_session_port
PAM_TEST_PGBOUNCER=$pgbouncer
PAM_TEST_PGBOUNCER_NEW=$newer_pgbouncer
PAM_TEST_PG_SUPERUSER=$superuser
PAM_TEST_SERVICES_ROOT=$root
PAM_TEST_PG_BIN=$bin
ENV
  mv "$dir/env.new" "$dir/env"
}

env_value() { sed -n "s/^$1=//p" "$dir/env"; }

# Sets root and pg_port from DIR/env; false when there is none.
read_env() {
  [[ -r $dir/env ]] || return 1
  root=$(env_value PAM_TEST_SERVICES_ROOT)
  pg_port=$(env_value PAM_TEST_PG_PORT)
  [[ -n $root && -n $pg_port ]]
}

is_all_ready() {
  is_postgres_ready >/dev/null 2>&1 &&
    is_pooler_ready pgbouncer "$(env_value PAM_TEST_PGBOUNCER_PORT)" &&
    is_pooler_ready pgbouncer_session "$(env_value PAM_TEST_PGBOUNCER_SESSION_PORT)" &&
    is_pooler_ready pgbouncer_new "$(env_value PAM_TEST_PGBOUNCER_NEW_PORT)" &&
    is_pooler_ready pgbouncer_new_session "$(env_value PAM_TEST_PGBOUNCER_NEW_SESSION_PORT)"
}

# Ends the process of a pid file: politely, after two seconds by force.
stop_pid() {
  local file=$1 pid signal
  for signal in TERM QUIT KILL; do
    pid=$(pid_of "$file") || return 0
    kill "-$signal" "$pid" 2>/dev/null || return 0
    wait_until 2 is_gone "$file" && return 0
  done
  fail "process $pid does not end"
}

stop_postgres() {
  local pid
  pid=$(pid_of "$root/data/postmaster.pid") || return 0
  kill -QUIT "$pid" # immediate: its data are removed anyway
  wait_until 20 is_gone "$root/data/postmaster.pid" || fail "PostgreSQL (process $pid) does not end"
}

stop_all() {
  local file
  [[ -n $root && -d $root ]] || return 0
  for file in "$root"/pgbouncer*.pid; do
    stop_pid "$file"
  done
  stop_postgres
  rm -rf "$root"
}

start() {
  if read_env && is_all_ready; then return; fi
  stop # what a killed run left behind
  bin=$(newest_pg_bin)
  choose_root
  find_poolers
  start_postgres
  start_poolers
  write_env
}

stop() {
  if read_env; then stop_all; fi
  rm -f "$dir/env"
}

[[ $# -eq 2 && ($1 == start || $1 == stop) ]] || fail "usage: services.sh start|stop DIR"
command -v psql >/dev/null || fail "psql is not installed (apt-get install postgresql-client)"
mkdir -p "$2"
dir=$(cd "$2" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root='' bin='' pg_port=0 pgbouncer='' newer_pgbouncer=''
pgbouncer_port=0 pgbouncer_session_port=0 pgbouncer_new_port=0 pgbouncer_new_session_port=0
exec 9>"$dir/lock"
flock 9
"$1"
