#!/bin/sh
# test-uninstalled.sh BUILD CC FLAG… — compiles against a build directory through its `-uninstalled` pkg-config file.
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

plan 2
check 'program/builds' build_program
check 'program/calls-its-own-function-in-a-thread' program_prints 42
finish
