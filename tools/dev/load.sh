# shellcheck shell=bash
# Load tests by users (swarm), and by k6 and wrk. Sourced, never run.

# Debian 12's own PgBouncer is older than 1.21: PAM_PGBOUNCER=/usr/sbin/pgbouncer measures that one.
choose_pgbouncer() {
  [ -z "${PAM_PGBOUNCER:-}" ] || return 0
  tests/support/newer_pgbouncer.sh build/load/pgbouncer
  export PAM_PGBOUNCER="$PWD/build/load/pgbouncer/pgbouncer"
}

# dev_load PROFILE|check|k6|wrk [options]
dev_load() {
  local what="${1:?load needs a profile of load-tests/targets.toml (2k, 60k, 200k, ratio, ratio200k), or check, k6, wrk}"
  shift
  case "$what" in
    check) load-tests/check_host "$@" ;;
    k6) ensure_packages build run && build_preset release pam-auth && load-tests/k6/run "$@" ;;
    wrk) ensure_packages build run wrk && build_preset release pam-auth && load-tests/wrk/run "$@" ;;
    *)
      ensure_packages build run load
      build_preset release pam-auth swarm
      ulimit -n "$(ulimit -Hn)"
      choose_pgbouncer
      exec node load-tests/runner/main.mjs "$what" --pgbouncer "$PAM_PGBOUNCER" "$@"
      ;;
  esac
}
