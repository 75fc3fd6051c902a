# shellcheck shell=bash
# Pages that are made from the program, so that they cannot tell anything else: `./dev docs` writes them
# into build/docs (docs/adr/0032). Sourced, never run.

# One function a page: page_NAME FOLDER writes it into the folder and prints the file's name.
docs_pages=(configuration)

page_configuration() {
  build/release/bin/pam-auth config reference >"$1/configuration.md"
  echo "$1/configuration.md"
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
