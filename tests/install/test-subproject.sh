#!/bin/sh
# test-subproject.sh SOURCE CC — a meson project that has strand as a subproject builds a program with it, and no
# more of strand than the program needs.           SPDX-License-Identifier: LGPL-2.1-or-later
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
source=$1
CC=$2
export CC

make_project () {
  mkdir -p "$work/project/subprojects"
  ln -s "$source" "$work/project/subprojects/strand"
  cp "$here/stranger.c" "$work/project"
  cat >"$work/project/meson.build" <<'END'
project('stranger', 'c', default_options: ['buildtype=plain'])
executable('stranger', 'stranger.c', dependencies: dependency('strand-1', fallback: 'strand'))
END
  # Not one that is installed.
  meson setup "$work/build" "$work/project" --force-fallback-for=strand-1
}

run_program () {
  same 42 "$(STRAND_PLUGIN_PATH=$work/build/subprojects/strand/plugins/taskrunners "$work/build/stranger" 2>&1)"
}

plan 4
check 'subproject/configures' make_project
check 'subproject/builds-the-program' meson compile -C "$work/build" stranger
check 'subproject/builds-a-plugin' meson compile -C "$work/build" thread-taskrunner
check 'subproject/program-calls-its-own-function-in-a-thread' run_program
finish
