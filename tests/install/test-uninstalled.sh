#!/bin/sh
# test-uninstalled.sh BUILD CC FLAG… — compiles against a build directory through its `-uninstalled` pkg-config file,
# and makes a project in the build's own shell.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
build=$1 cc=$2
shift 2
flags=$*
PKG_CONFIG_PATH=$build/meson-uninstalled
export PKG_CONFIG_PATH

build_program () {
  $cc $flags $(pkg-config --cflags strand-1) "$here/stranger.c" -o "$work/stranger" $(pkg-config --libs strand-1)
}

program_prints () {
  same "$1" "$(LD_LIBRARY_PATH=$build/core "$work/stranger" 2>&1)"
}

# Only libraries that need no flags of everybody can be used by a project that has none.
project_is_made_and_tested () {
  unset STRAND_PLUGIN_PATH STRAND_MODULE_PATH STRAND_HELPER STRAND_TEMPLATES
  meson devenv -C "$build" strand new store mine "$work/mine" && [ -e "$work/mine/mine-store.c" ] || return
  [ -z "$flags" ] || return 0
  CC=$cc meson setup "$work/mine/build" "$work/mine" && meson compile -C "$work/mine/build" \
    && meson devenv -C "$build" meson test -C "$work/mine/build"
}

plan 3
check 'program/builds' build_program
check 'program/calls-its-own-function-in-a-thread' program_prints 42
check 'project/is-made-and-tested' project_is_made_and_tested
finish
