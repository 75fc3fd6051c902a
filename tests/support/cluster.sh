#!/usr/bin/env bash
# A primary and its streaming standbys for one test, in a folder of the test. Node N listens on
# DIR/sock/.s.PGSQL.(5400+N); everybody is trusted, the superuser is postgres.
#
#   cluster.sh make DIR                make and start node 1, the primary
#   cluster.sh standby DIR N FROM      make node N from node FROM and start it
#   cluster.sh stop DIR N [MODE]       end a node: fast (default) or immediate
#   cluster.sh crash DIR N             kill -9 its postmaster and wait until all of its processes are gone
#   cluster.sh run DIR N               start an ended node again
#   cluster.sh promote DIR N           make a standby the primary; returns when it accepts writes
#   cluster.sh follow DIR N FROM       make an ended node a standby of FROM again (pg_rewind)
#   cluster.sh remove DIR              end every node by force and remove the folder's content
#
# PAM_CLUSTER_CONF: more lines for postgresql.conf of node 1 (standbys copy them).
set -euo pipefail

fail() {
  printf 'cluster: %s\n' "$*" >&2
  exit 1
}

# Never root: PostgreSQL refuses. No descriptor of ours but the three standard ones.
as_server() {
  if ((EUID == 0)); then
    setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@"
  else
    "$@"
  fi
}

bin=${PAM_PG_BIN:-$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -t/ -k5,5n | tail -n 1)}
[[ -x $bin/initdb ]] || fail "PostgreSQL is not installed (apt-get install postgresql)"
[[ $# -ge 2 ]] || fail "usage: see the head of this file"
verb=$1
dir=$2
node=${3:-1}
data=$dir/$node
port=$((5400 + node))

configure() {
  as_server tee -a "$data/postgresql.auto.conf" >/dev/null <<<"port = $port"
}

start_node() {
  as_server "$bin/pg_ctl" --pgdata="$data" --log="$dir/node$node.log" --timeout=60 --wait start >/dev/null 2>&1 \
    </dev/null || fail "node $node did not start, see $dir/node$node.log"
}

postmaster() { head -n 1 "$data/postmaster.pid" 2>/dev/null || true; }

# Its children outlive a killed postmaster for a moment, and no other may start before they are gone.
crash_node() {
  local pid group
  pid=$(postmaster)
  [[ -n $pid ]] || return 0
  group=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null || true)
  kill -KILL "$pid" 2>/dev/null || return 0
  for pid in $pid $group; do
    while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done
  done
}

case $verb in
  make)
    mkdir -p "$dir"
    ((EUID != 0)) || chown postgres "$dir"
    chmod 0755 "$dir"
    as_server mkdir -p "$dir/sock"
    as_server "$bin/initdb" --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync \
      >"$dir/initdb.log" 2>&1 </dev/null || fail "initdb failed, see $dir/initdb.log"
    as_server tee -a "$data/postgresql.conf" >/dev/null <<CONF
listen_addresses = ''
unix_socket_directories = '$dir/sock'
max_connections = 100
shared_buffers = 16MB
huge_pages = off
wal_keep_size = 64MB
wal_log_hints = on
max_wal_size = 256MB
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 200ms
timezone = 'UTC'
log_line_prefix = '%m [%p] %u@%d '
${PAM_CLUSTER_CONF:-}
CONF
    configure
    start_node
    ;;
  standby)
    from=$((5400 + $4))
    as_server "$bin/pg_basebackup" --pgdata="$data" --host="$dir/sock" --port="$from" --username=postgres \
      --checkpoint=fast --wal-method=stream --write-recovery-conf --no-sync >/dev/null 2>&1 </dev/null ||
      fail "pg_basebackup of node $node failed"
    as_server tee -a "$data/postgresql.auto.conf" >/dev/null <<CONF
primary_conninfo = 'host=$dir/sock port=$from user=postgres application_name=node$node'
CONF
    configure
    start_node
    ;;
  stop)
    as_server "$bin/pg_ctl" --pgdata="$data" --mode="${4:-fast}" --timeout=60 --wait stop >/dev/null 2>&1
    ;;
  crash) crash_node ;;
  run) start_node ;;
  promote)
    as_server "$bin/pg_ctl" --pgdata="$data" --timeout=60 --wait promote >/dev/null 2>&1 || fail "node $node was not promoted"
    ;;
  follow)
    from=$((5400 + $4))
    as_server "$bin/pg_rewind" --target-pgdata="$data" --no-sync --write-recovery-conf \
      --source-server="host=$dir/sock port=$from user=postgres dbname=postgres" >"$dir/rewind.log" 2>&1 ||
      fail "pg_rewind of node $node failed, see $dir/rewind.log"
    as_server tee -a "$data/postgresql.auto.conf" >/dev/null <<CONF
primary_conninfo = 'host=$dir/sock port=$from user=postgres application_name=node$node'
CONF
    configure
    start_node
    ;;
  remove)
    for data in "$dir"/[0-9]*; do
      if [[ -d $data ]]; then crash_node; fi
    done
    find "$dir" -mindepth 1 -delete
    ;;
  *) fail "unknown verb $verb" ;;
esac
