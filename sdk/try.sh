#!/bin/sh
# try.sh [DIR] — runs strand on real work, from a fresh clone, with one command.
#
# Installs what building needs, builds into build/, computes the SHA-256 of every regular file below DIR
# (default: /usr/share/doc) with one call each, looks at the results from other processes, and compares every
# digest with sha256sum's. Exit status: 0 all agree; 1 one differs; 2 this cannot be done here; 5 interrupted.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
set -eu

dir=${1:-/usr/share/doc}
root=$(cd "$(dirname "$0")/.." && pwd)
build=$root/build

fail () {
  echo "try.sh: $1" >&2
  exit 2
}

# Runs a step quietly; if it fails, what it said is what the user needs.
quietly () {
  if ! "$@" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    fail "'$*' failed; see above"
  fi
}

build_strand () {
  sh "$root/sdk/setup.sh"
  if [ ! -e "$build/build.ninja" ]; then
    echo "Configuring in $build" >&2
    quietly meson setup "$build" "$root"
  fi
  echo "Building; the first time takes a minute" >&2
  quietly meson compile -C "$build" strand-all
}

# The programs and plugins of the build, without installing them.
use_build () {
  STRAND_PLUGIN_PATH=
  for folder in "$build"/plugins/*/; do
    STRAND_PLUGIN_PATH="$STRAND_PLUGIN_PATH${STRAND_PLUGIN_PATH:+:}${folder%/}"
  done
  STRAND_MODULE_PATH=$build/sdk/demo:$build/sdk/conformance:$build/sdk/python
  STRAND_HELPER=$build/sdk/helper/strand-helper
  PATH=$build/sdk/command:$PATH
  export STRAND_PLUGIN_PATH STRAND_MODULE_PATH STRAND_HELPER PATH
}

# Any name that the system allows: NUL is the only byte that none has.
list_files () {
  find "$dir" -type f -readable -print0 >"$work/files"
  [ -s "$work/files" ] || fail "there is no readable file below '$dir'"
  total=$(LC_ALL=C tr -cd '\0' <"$work/files" | wc -c | tr -d ' ')
}

hash_files () {
  echo "Hashing $total files below $dir: strand map demo.sha256" >&2
  status=0
  strand map -m demo demo.sha256 --files -0 --input "$work/files" >"$work/digests" || status=$?
  # A file that could not be hashed shows in the comparison.
  [ "$status" -le 1 ] || exit "$status"
}

show_results () {
  echo
  echo "\$ strand list --limit 5"
  strand list --limit 5
  # The newest one is of this run.
  key=$(strand list --status completed | awk -F '\t' '$3 == "demo.sha256" && $4 >= newest { newest = $4; key = $1 }
                                                      END { print key }')
  [ -n "$key" ] || fail "the store has no result of demo.sha256"
  echo
  echo "\$ strand show $key"
  strand show "$key"
  echo
  echo "\$ strand result $key"
  strand result "$key"
}

# One file a line, "DIGEST  NAME". A newline in a name becomes a tab on both sides.
to_lines () {
  LC_ALL=C tr '\n\0' '\t\n'
}

compare_digests () {
  to_lines <"$work/files" | paste -d ' ' "$work/digests" /dev/null - | LC_ALL=C sort >"$work/ours"
  xargs -0 sha256sum -z -- <"$work/files" | to_lines | LC_ALL=C sort >"$work/theirs"
  agree=$(LC_ALL=C comm -12 "$work/ours" "$work/theirs" | wc -l | tr -d ' ')
  echo
  echo "$agree of $total digests agree"
  [ "$agree" = "$total" ]
}

case $dir in
  -*) dir=./$dir ;;
esac
[ -d "$dir" ] || fail "'$dir' is no directory"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 5' INT TERM

build_strand
use_build
list_files
hash_files
show_results
compare_digests
