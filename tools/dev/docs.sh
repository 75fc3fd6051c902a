# shellcheck shell=bash
# Pages that are made from the program, so that they cannot tell anything else: `./dev docs` writes them
# into build/docs (docs/adr/0032). Sourced, never run.

# One function a page: page_NAME FOLDER writes it into the folder and prints the file's name.
docs_pages=(configuration entities statements)

page_configuration() {
  build/release/bin/pam-auth config reference >"$1/configuration.md"
  echo "$1/configuration.md"
}

# The tables as a server has them that was just migrated: a Mermaid diagram, which Git hosts draw.
page_entities() {
  local folder="$PWD/$1" services="$PWD/build/docs/services" status=0
  tests/support/services.sh start "$services" >&2 || return 1
  (
    # shellcheck source=/dev/null
    source "$services/env"
    psql=(psql -XAtq -h "$PAM_TEST_PG_SOCKET_DIR" -p "$PAM_TEST_PG_PORT" -U "$PAM_TEST_PG_SUPERUSER")
    "${psql[@]}" -d postgres -c 'CREATE DATABASE pam_docs TEMPLATE template0' >&2 || exit 1
    printf '[migrate]\nhost = "%s"\nport = %s\ndatabase = "pam_docs"\nuser = "%s"\n[database]\nsslmode = "disable"\n' \
      "$PAM_TEST_PG_SOCKET_DIR" "$PAM_TEST_PG_PORT" "$PAM_TEST_PG_SUPERUSER" >"$folder/entities.toml"
    build/release/bin/pam-auth migrate up --config "$folder/entities.toml" >&2 || exit 1
    rm "$folder/entities.toml"
    {
      printf '# Tables\n\nMade from the schema of the migrations by `./dev docs entities`.\n\n```mermaid\n'
      "${psql[@]}" -d pam_docs -f tools/dev/entities.sql || exit 1
      printf '```\n'
    } >"$folder/entities.md"
  ) || status=1
  tests/support/services.sh stop "$services" >&2
  [ "$status" -eq 0 ] && echo "$1/entities.md"
}

# Every statement the server sends, with its batch, its lock and whether it may be sent again: written by the test
# that proves it.
page_statements() {
  local file="$PWD/$1/statements.md" services="$PWD/build/docs/services" status=0
  build_preset release catalogue_pgtests >&2 || return 1
  rm -f "$file"
  tests/support/services.sh start "$services" >&2 || return 1
  (
    set -a
    # shellcheck source=/dev/null
    source "$services/env"
    PAM_TEST_STATEMENT_TABLE="$file" build/release/bin/catalogue_pgtests --gtest_filter='catalogue.says_truly*' >&2
  ) || status=1
  tests/support/services.sh stop "$services" >&2
  [ "$status" -eq 0 ] && [ -s "$file" ] && echo "$1/statements.md"
}

# dev_docs [PAGE...]   all pages, or the named ones
dev_docs() {
  local page file folder=build/docs
  [ $# -gt 0 ] || set -- "${docs_pages[@]}"
  for page in "$@"; do
    [[ " ${docs_pages[*]} " == *" $page "* ]] || die "no page '$page'; there are: ${docs_pages[*]}"
  done
  ensure_packages build run
  build_preset release pam-auth
  mkdir -p "$folder"
  for page in "$@"; do
    file="$("page_$page" "$folder")" || die "the page '$page' could not be made"
    say "wrote $file"
  done
}
