# shellcheck shell=bash
# Installs the Debian packages a verb needs, only those that are missing. Sourced, never run.

# packages_of KIND
packages_of() {
  case "$1" in
    format) echo clang-format-19 ;;
    build)
      echo clang-19 lld-19 libclang-rt-19-dev clang-tidy-19 clang-format-19
      echo cmake ninja-build ccache pkg-config
      echo libboost1.81-dev libcurl4-openssl-dev libpq-dev libsimdjson-dev libssl-dev libsodium-dev libcrypt-dev libspdlog-dev libfmt-dev
      echo libcli11-dev libtomlplusplus-dev libidn2-dev libunistring-dev
      echo libgtest-dev libgmock-dev libbenchmark-dev
      ;;
    bench) echo nginx-light strace ;;
    bench-db) echo valgrind ;;
    load)
      echo debian-archive-keyring
      [ "$(node_major)" -ge 18 ] || echo nodejs
      ;;
    wrk) echo wrk ;;
    patroni) echo patroni etcd-server ;;
    python) echo python3 python3-venv ;;
    run) echo postgresql-15 pgbouncer curl openssl ca-certificates util-linux ;;
    test)
      echo git debian-archive-keyring chromium-headless-shell haproxy nginx-light prometheus
      # Any Node from 18 on serves, whoever installed it.
      [ "$(node_major)" -ge 18 ] || echo nodejs
      command -v npm >/dev/null || echo npm
      ;;
  esac
}

# Prints those of the named packages that are not installed.
missing_packages() {
  local name installed
  # One call for all: a second run must cost milliseconds.
  installed=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' "$@" 2>/dev/null || true) "
  for name in "$@"; do
    [[ "$installed" == *" installed:$name "* ]] || echo "$name"
  done
}

node_major() { node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root: run ./dev as root once, or install sudo"
  fi
}

# Debian starts services and makes a PostgreSQL cluster when their packages are installed. We want the
# programs only: the server starts its own PostgreSQL and PgBouncer.
install_packages() {
  local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.conf made_policy=no
  say "installing $# packages: $*"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made_policy=yes
  fi
  if [ ! -e "$cluster" ]; then
    as_root mkdir -p "${cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee "$cluster" >/dev/null
  fi
  local status=0
  as_root apt-get update -q >&2 || status=$?
  if [ "$status" -eq 0 ]; then
    as_root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 \
      apt-get install -q -y --no-install-recommends "$@" >&2 || status=$?
  fi
  [ "$made_policy" = no ] || as_root rm -f "$policy"
  [ "$status" -eq 0 ] || die "apt-get failed (see above); fix it and run the same command again"
}

# ensure_packages KIND...   kinds: format, build, run, test, bench, load, wrk, patroni
ensure_packages() {
  local kind wanted=() missing=()
  for kind in "$@"; do
    mapfile -t -O "${#wanted[@]}" wanted < <(packages_of "$kind" | tr ' ' '\n')
  done
  if ! command -v dpkg-query >/dev/null; then
    warn "this is not a Debian system: install by hand what is missing of: ${wanted[*]}"
    return 0
  fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  [ "${#missing[@]}" -eq 0 ] || install_packages "${missing[@]}"
}
