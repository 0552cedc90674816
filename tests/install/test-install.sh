#!/bin/sh
# test-install.sh BUILD PREFIX CC CXX FLAG… — what a stranger can do who has only what `meson install` put there.
#
# Installs into a folder of its own, then compiles with what pkg-config says and nothing else. The FLAGs are
# those that the library itself needs of everybody (sanitizers).        SPDX-License-Identifier: LGPL-2.1-or-later
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
source=$here/../.. build=$1 final=$2 root=$work/root prefix=$work/root$2 cc=$3 cxx=$4
shift 4
# clang takes a g_autoptr that only holds something for unused.
flags="-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-unused-variable -Werror $*"
unset STRAND_PLUGIN_PATH STRAND_MODULE_PATH

install_everything () {
  DESTDIR=$root meson install -C "$build" --no-rebuild || return
  pc=$(find "$prefix" -name strand-1.pc) && [ -n "$pc" ] || return
  # A staged tree is moved before use; here it is used where it stands.
  sed -i "s|^prefix=.*|prefix=$prefix|" "$pc"
}

# $1: a folder of the source, all of which goes to $2.
of_folder () {
  (cd "$source/$1" && find . -type f) | grep -v -x -e './meson.build' -e '.*/__pycache__/.*' | sed "s|^\.|$2|"
}

# What there is in the source for others than strand itself, and what was built for them: a file that is new there
# is installed, or this test tells.
promised_files () {
  printf "$prefix/%s\n" bin/strand libexec/strand-helper lib/sysusers.d/strand.conf \
    lib/systemd/system/strand-worker@.service include/strand-1/strand-version.h include/strand-1/strand-conformance.h
  (cd "$source/core" && ls ./*.h) | grep -v -e -private | sed "s|^\.|$prefix/include/strand-1|"
  printf "$libdir/lib%s\n" strand-1.so strand-1.so.0 strand-1.so.0.0.0 strand-conformance-1.so \
    strand-conformance-1.so.0 strand-conformance-1.so.0.0.0
  printf "$libdir/pkgconfig/%s.pc\n" strand-1 strand-conformance-1
  (cd "$build/plugins" && ls ./*/*.so) | sed "s|.*/|$plugindir/|"
  printf "$moduledir/%s.so\n" demo conformance-functions
  of_folder sdk/templates "$prefix/share/strand-1/templates"
  of_folder sdk/completion "$prefix/share/bash-completion/completions"
  (cd "$source/sdk/man" && ls) | sed "s|.*\.\([1-8]\)\$|$prefix/share/man/man\1/&|"
  [ -e "$build/core/Strand-1.typelib" ] || return 0 # a build for C alone
  echo "$libdir/girepository-1.0/Strand-1.typelib"
  echo "$prefix/share/gir-1.0/Strand-1.gir"
  of_folder sdk/gjs "$prefix/share/gjs-1.0"
  of_folder sdk/python/strand "$packages/strand"
  of_folder sdk/python/gi "$packages/gi"
  echo "$moduledir/python.so"
  [ ! -e "$build/sdk/vala/strand-1.vapi" ] || printf "$prefix/share/vala/vapi/%s\n" strand-1.vapi strand-1.deps
}

# The reference is made, and installed, where it is asked for.
everything_is_there_and_no_more () {
  promised_files | sort >"$work/promised"
  find "$root" ! -type d ! -path "$prefix/share/doc/*" | sort | diff "$work/promised" -
}

templates_are_the_sources () {
  for kind in "$source"/sdk/templates/*/; do
    diff -r "$kind" "$prefix/share/strand-1/templates/$(basename "$kind")" || return
  done
}

unit_starts_the_program () {
  grep -x "ExecStart=$final/bin/strand worker .*" "$prefix/lib/systemd/system/strand-worker@.service"
}

completion_completes () {
  bash -c '. "$1" && complete -p strand' bash "$prefix/share/bash-completion/completions/strand"
}

gjs_finds_its_override () {
  [ -e "$build/core/Strand-1.typelib" ] && command -v gjs || return 0
  same function "$(GJS_PATH=$prefix/share/gjs-1.0 GI_TYPELIB_PATH=$libdir/girepository-1.0 staged \
    gjs -c 'print (typeof imports.gi.Strand.promisify)' 2>&1)"
}

# What else it uses, the file beside it names.
vala_finds_its_vapi () {
  [ -e "$build/sdk/vala/strand-1.vapi" ] && command -v valac || return 0
  valac --cc="$cc" --vapidir="$prefix/share/vala/vapi" --pkg strand-1 -o "$work/sum" "$source/sdk/examples/sum.vala" \
    && same 42 "$(staged "$work/sum" 2>&1 | head -n 1)"
}

headers_are_public () {
  names=$(cd "$prefix/include/strand-1" && ls)
  echo "$names"
  echo "$names" | grep -qx strand.h && echo "$names" | grep -qx strand-plugin.h \
    && echo "$names" | grep -qx strand-version.h && ! echo "$names" | grep private
}

variables_name_folders () {
  echo "plugins in '$plugindir', modules in '$moduledir'"
  [ -e "$plugindir/thread-taskrunner.so" ] && [ -d "$moduledir" ]
}

# $1: compiler and standard; the rest: headers
compiles () {
  compiler=$1
  shift
  for header; do
    echo "#include <$header>"
  done >"$work/header.c"
  echo 'int main (void) { return STRAND_CHECK_VERSION (0, 0, 1) ? 0 : 1; }' >>"$work/header.c"
  $compiler $flags $(pkg-config --cflags strand-1) "$work/header.c" -o "$work/header" $(pkg-config --libs strand-1)
}

inner_header_is_refused () {
  echo '#include <strand-store.h>' >"$work/inner.c"
  ! LC_ALL=C $cc $(pkg-config --cflags strand-1) -c "$work/inner.c" -o "$work/inner.o" 2>"$work/inner" \
    && cat "$work/inner" && grep -q 'Include <strand.h> or <strand-plugin.h>' "$work/inner"
}

build_program () {
  $cc $flags $(pkg-config --cflags strand-1) "$here/stranger.c" -o "$work/stranger" $(pkg-config --libs strand-1)
}

build_shared () {
  $cc $flags -shared -fPIC -fvisibility=hidden $(pkg-config --cflags strand-1) "$here/$1.c" -o "$2/$1.so" \
    $(pkg-config --libs strand-1)
}

# The staged folders are not the ones compiled in, so they are named.
run_program () {
  staged "$work/stranger" "$@"
}

program_prints () {
  expected=$1
  shift
  same "$expected" "$(run_program "$@" 2>&1)"
}

build_conformance () {
  $cc $flags $(pkg-config --cflags strand-conformance-1) "$here/stranger-conformance.c" -o "$work/conformance" \
    $(pkg-config --libs strand-conformance-1)
}

# $@: a program, which finds the staged folders.
staged () {
  STRAND_PLUGIN_PATH=$plugindir STRAND_MODULE_PATH=$moduledir LD_LIBRARY_PATH=$libdir "$@"
}

# Every case, none of which has failed.
conformance_passes () {
  report=$(staged "$@" 2>"$work/errors") || { echo "$report"; cat "$work/errors"; return 1; }
  plan=$(echo "$report" | sed -n 's/^1\.\.//p')
  [ "$plan" -gt 1 ] && [ "$plan" = "$(echo "$report" | grep -c '^ok ')" ]
}

# Where a program finds the package, the overrides and the typelib without being told, but for the staging.
python_finds_it () {
  [ -e "$build/core/Strand-1.typelib" ] || return 0
  case $1 in
    /usr | /usr/local) /usr/bin/python3 -c 'import sys; sys.exit (sys.argv[1] not in sys.path)' "${packages#"$root"}" || return ;;
  esac
  cat >"$work/program.py" <<'EOF'
from strand import as_task
from gi.repository import Strand

@as_task ("process")
def double (number):
  return 2 * number

print (double (21).get_result (timeout=60), Strand.Task.call.__module__)
EOF
  same '42 gi.overrides.Strand' "$(PYTHONPATH=$packages GI_TYPELIB_PATH=$libdir/girepository-1.0 staged \
    /usr/bin/python3 "$work/program.py" 2>&1)"
}

plan 25
check 'install' install_everything
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name strand-1.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir strand-1)
plugindir=$(pkg-config --variable=plugindir strand-1)
moduledir=$(pkg-config --variable=moduledir strand-1)
packages=$(find "$prefix" -name dist-packages -o -name site-packages)

check 'install/everything-is-there-and-no-more' everything_is_there_and_no_more
check 'install/templates-are-the-sources' templates_are_the_sources
check 'install/unit-starts-the-program' unit_starts_the_program
check 'install/completion-completes' completion_completes
check 'install/headers-are-the-public-ones' headers_are_public
check 'pkg-config/variables-name-the-folders' variables_name_folders
check 'pkg-config/library-needs-no-private-flag' same '' "$(pkg-config --libs strand-1 | grep -o -e '-lltdl')"
check 'headers/compile-as-c11' compiles "$cc -std=gnu11" strand.h
check 'headers/compile-as-c11-with-plugins' compiles "$cc -std=gnu11" strand.h strand-plugin.h
check 'headers/compile-as-c++17' compiles "$cxx -x c++ -std=c++17" strand.h strand-plugin.h
check 'headers/inner-one-is-refused' inner_header_is_refused
check 'program/builds' build_program
check 'program/calls-its-own-function-in-a-thread' program_prints 42
check 'plugin/builds' build_shared stranger-store "$plugindir"
check 'module/builds' build_shared stranger-module "$moduledir"
check 'program/uses-plugin-and-module' program_prints "42
job-1 1
'hello world'" plugins
check 'conformance/compiles-as-c11' compiles "$cc -std=gnu11" strand-conformance.h
check 'conformance/compiles-as-c++17' compiles "$cxx -x c++ -std=c++17" strand-conformance.h
check 'conformance/test-builds' build_conformance
check 'conformance/test-passes' conformance_passes "$work/conformance"
check 'conformance/command-passes' conformance_passes "$prefix/bin/strand" conformance taskrunner/thread ends results
check 'gjs/finds-its-override' gjs_finds_its_override
check 'vala/finds-its-vapi' vala_finds_its_vapi
check 'python/finds-package-overrides-and-typelib' python_finds_it "$final"
finish
