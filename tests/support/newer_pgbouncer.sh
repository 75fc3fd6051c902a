#!/usr/bin/env bash
# A PgBouncer that tracks pipelines and prepared statements (>= 1.24), for a Debian whose own is older.
#
#   newer_pgbouncer.sh DIR   makes DIR/pgbouncer, or does nothing when it is there and runs
#
# Debian's own package where it is new enough, else the one of Debian 13 with its libraries and its loader,
# beside the system and without touching it: about 15 MB, a few seconds, once. The packages come from the
# mirror this machine's apt uses for its own release, through apt, which verifies them against Debian's
# archive keys.
set -euo pipefail

readonly release=trixie
readonly oldest_minor=24 # of 1.24
readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
  printf 'newer_pgbouncer: %s\n' "$*" >&2
  exit 1
}

# is_new_enough PROGRAM
is_new_enough() {
  local version
  version=$("$1" --version 2>/dev/null | sed -n '1s/^PgBouncer 1\.\([0-9]*\).*/\1/p')
  [[ -n $version ]] && ((version >= oldest_minor))
}

# The archive this machine gets its own release from.
mirror() {
  local codename uri
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  while read -r uri; do
    printf '%s\n' "$uri" && return
  done < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $codename" 'Component: main')
  fail "apt knows no archive of $codename to take $release from: correct its sources and run apt-get update"
}

# An apt that knows one release and no installed package; proxies and access stay the machine's.
setup_apt() {
  mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/debs"
  : >"$work/status"
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' \
    "$(mirror)" "$release" "$keyring" >"$work/$release.sources"
  apt_options=(
    -o "Dir::State=$work/state" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o "Dir::Etc::sourcelist=$work/$release.sources" -o Dir::Etc::sourceparts=-
    -o APT::Get::AllowUnauthenticated=false -o Acquire::AllowInsecureRepositories=false
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3)
}

# Names of the packages with the libraries that PgBouncer needs, theirs included.
library_packages() {
  local only_depends=(--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances)
  apt-cache "${apt_options[@]}" "${only_depends[@]}" depends pgbouncer |
    awk '$1 == "Depends:" && $2 ~ /^lib/ {print $2}' |
    xargs apt-cache "${apt_options[@]}" "${only_depends[@]}" depends --recurse |
    grep -E '^(lib|zlib)' | sort -u
}

# Downloads into $work/debs and unpacks into $work/root.
download() {
  local packages package
  setup_apt
  apt-get -q "${apt_options[@]}" update >"$work/log" 2>&1 || fail "apt-get update failed: $(tail -n 3 "$work/log")"
  mapfile -t packages < <(library_packages)
  ((${#packages[@]} > 0)) || fail "$release has no pgbouncer"
  (cd "$work/debs" && apt-get -q "${apt_options[@]}" download pgbouncer "${packages[@]}") >>"$work/log" 2>&1 ||
    fail "apt-get download failed: $(tail -n 3 "$work/log")"
  for package in "$work"/debs/*.deb; do
    dpkg-deb --extract "$package" "$work/root"
  done
}

# Keeps the program, its loader and the libraries it really loads.
assemble() {
  local loader libraries library
  loader=$(find "$work/root" -name 'ld-linux*.so.*' -path '*/lib/*' | head -n 1)
  [[ -n $loader ]] || fail "libc6 of $release has no loader"
  libraries=${loader%/*}
  mkdir -p "$work/done/lib"
  cp "$work/root/usr/sbin/pgbouncer" "$work/done/lib/pgbouncer"
  cp "$loader" "$work/done/lib/ld.so"
  while read -r library; do
    cp -L "$library" "$work/done/lib/"
  done < <("$loader" --library-path "$libraries" --list "$work/root/usr/sbin/pgbouncer" |
    sed -n "s|.* => \($work/.*\) (0x.*|\1|p" | grep -v '/ld-linux')
  cat >"$work/done/pgbouncer" <<'RUN'
#!/bin/sh
lib="${0%/*}/lib"
exec "$lib/ld.so" --library-path "$lib" "$lib/pgbouncer" "$@"
RUN
  chmod 0755 "$work/done/pgbouncer"
}

make() {
  local own
  own=$(command -v pgbouncer || printf '/usr/sbin/pgbouncer')
  mkdir -p "$work/done"
  if is_new_enough "$own"; then
    ln -s "$own" "$work/done/pgbouncer"
  else
    command -v apt-get >/dev/null || fail "install PgBouncer 1.$oldest_minor or newer: this system has no apt"
    download
    assemble
  fi
  is_new_enough "$work/done/pgbouncer" || fail "what $release has is older than 1.$oldest_minor or does not run"
  chmod -R a+rX "$work/done"
  rm -rf "$dir"
  mv "$work/done" "$dir"
}

[[ $# -eq 1 ]] || fail "usage: newer_pgbouncer.sh DIR"
mkdir -p "${1%/*}"
dir=$(cd "${1%/*}" && pwd)/${1##*/}
exec 8>"$dir.lock" # two builds may want it at once
flock 8
if ! is_new_enough "$dir/pgbouncer"; then
  work=$(mktemp -d "$dir.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  make
fi
