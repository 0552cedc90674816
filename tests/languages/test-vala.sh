#!/bin/sh
# test-vala.sh — Vala programs against the vapi of the build.    SPDX-License-Identifier: LGPL-2.1-or-later
. "$STRAND_SOURCE/tests/install/tap.sh"
PKG_CONFIG_PATH=$STRAND_BUILD/meson-uninstalled
export PKG_CONFIG_PATH

if ! command -v valac >/dev/null; then
  echo '1..0 # SKIP valac is not installed'
  exit 0
fi

# An installed strand-1.vapi names gio-2.0 itself. Only what the C compiler says of code that valac has written is kept quiet.
compiles () {
  valac --fatal-warnings --vapidir "$STRAND_BUILD/sdk/vala" --pkg gio-2.0 --pkg strand-1 -X -w -o "$work/$1" "$2"
}

refuses () {
  printf '%s\n' "$1" >"$work/wrong.vala"
  ! compiles wrong "$work/wrong.vala" && grep -q "$2" "$work/log"
}

prints () {
  program=$1
  shift
  same "$*" "$("$work/$program" 2>&1)"
}

plan 6
check 'example/compiles' compiles sum "$STRAND_SOURCE/sdk/examples/sum.vala"
check 'example/yields-its-sum-and-its-error' prints sum "42
Could not call 'sum.add': argument 'a' is of type 's'; it takes (a:x b:x)"
check 'program/compiles' compiles jobs "$STRAND_SOURCE/tests/languages/jobs.vala"
check 'program/uses-lists-callbacks-stores-and-handles' prints jobs "items 0 1 2
120 720 5040
cancelled
found HELLO
not found"
check 'vapi/wrong-argument-is-refused-at-compile-time' refuses \
  'void main () { try { new Strand.Task.for_name (3, "thread"); } catch (Error e) { } }' 'Cannot convert from'
check 'vapi/unhandled-error-is-seen-at-compile-time' refuses \
  'void main () { new Strand.Task.for_name ("a.b", "thread"); }' 'unhandled error'
finish
