#!/bin/sh
# test-new.sh BUILD PREFIX CC — with what `meson install` put into a folder and nothing else, `strand new` makes a
# project of each kind, which five commands take from nothing to listed.
#
# The projects are made, built, tested and installed by two hands at once before anything is told, because most of the
# time they wait.                                       SPDX-License-Identifier: LGPL-2.1-or-later
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
build=$1 root=$work/root prefix=$work/root$2 compiled_in=$2/share/strand-1/templates
CC=$3
export CC
unset STRAND_PLUGIN_PATH STRAND_MODULE_PATH STRAND_HELPER STRAND_TEMPLATES DESTDIR
XDG_DATA_HOME=$work/data XDG_STATE_HOME=$work/state LC_ALL=C.UTF-8
export XDG_DATA_HOME XDG_STATE_HOME LC_ALL

install_everything () {
  DESTDIR=$root meson install -C "$build" --no-rebuild || return
  pc=$(find "$prefix" -name strand-1.pc) && [ -n "$pc" ] || return
  # A staged tree is moved before use; here it is used where it stands.
  sed -i "s|^prefix=.*|prefix=$prefix|" "$pc"
}

# $@: a program, which finds the staged folders as it would find the ones compiled in.
staged () {
  STRAND_PLUGIN_PATH=$plugindir STRAND_MODULE_PATH=$moduledir STRAND_TEMPLATES=$prefix/share/strand-1/templates \
    STRAND_HELPER=$prefix/libexec/strand-helper LD_LIBRARY_PATH=$libdir PATH=$prefix/bin:$PATH "$@"
}

# The same, but plugins and modules are only in the folder $1.
alone () {
  folder=$1
  shift
  STRAND_PLUGIN_PATH=$folder STRAND_MODULE_PATH=$folder LD_LIBRARY_PATH=$libdir PATH=$prefix/bin:$PATH "$@"
}

project_of () { echo "$work/my-thing-$1"; }

file_of () {
  if [ "$1" = module ]; then echo my-thing.so; else echo "my-thing-$1.so"; fi
}

# From nothing to listed. $1: the kind
make_and_install () {
  cd "$work" \
    && staged strand new "$1" my-thing && cd "my-thing-$1" \
    && staged meson setup build \
    && staged meson compile -C build \
    && staged meson test -C build \
    && staged meson install -C build --no-rebuild
}

# $@: kinds, one after the other; what came of each is in a file.
make_some () {
  for kind; do
    if (make_and_install "$kind") >"$work/$kind.log" 2>&1; then echo installed; else echo failed; fi >"$work/$kind.came"
  done
}

was_made () {
  cat "$work/$1.log"
  [ "$(cat "$work/$1.came")" = installed ]
}

# No name of the template's is left, in files or in their names.
is_renamed () {
  cd "$(project_of "$1")" && ls && [ -z "$(find . -name "*sample*")" ] && ! grep -ri --exclude-dir=build sample . \
    && grep -rqi "my.thing" .
}

exports_its_descriptor () {
  if [ "$1" = module ]; then expected=strand_module_register; else expected=strand_plugin_types; fi
  same "$expected" "$(nm -D --defined-only "$(project_of "$1")/build/$(file_of "$1")" | awk '{ print $3 }')"
}

binds_at_load () {
  readelf -dW "$(project_of "$1")/build/$(file_of "$1")" >"$work/dynamic"
  cat "$work/dynamic"
  grep -q 'FLAGS_1.* NOW' "$work/dynamic"
}

is_listed () {
  staged strand plugins >"$work/plugins"
  cat "$work/plugins"
  grep -q "^$1	my-thing	0.1	available	$plugindir/my-thing-$1.so	-\$" "$work/plugins" \
    && staged strand inspect "$1/my-thing"
}

functions_are_listed () {
  staged strand functions -m my-thing >"$work/functions"
  cat "$work/functions"
  [ -e "$moduledir/my-thing.so" ] && grep -q '^my-thing.greet	' "$work/functions"
}

# $@: how strand is started
keyfile_runs () {
  project=$(project_of "$1") what='-m demo demo.add 2 3' expected=5
  [ "$1" != module ] || what='my-thing.greet world' expected='Hello, world!'
  shift
  "$@" strand check "$project/strand.conf" || return
  # Words on purpose.
  # shellcheck disable=SC2086
  same "$expected" "$("$@" strand run -q -c "$project/strand.conf" $what 2>&1)"
}

# Of the installed file nothing is used.
runs_uninstalled () {
  project=$(project_of "$1") installed=$plugindir/$(file_of "$1")
  [ "$1" != module ] || installed=$moduledir/$(file_of "$1")
  mv "$installed" "$work/aside" || return
  if [ "$1" = module ]; then
    alone "$project/build" strand functions -m my-thing && keyfile_runs "$1" staged meson devenv -C "$project/build"
  else
    alone "$project/build" strand inspect "$1/my-thing" && keyfile_runs "$1" staged meson devenv -C "$project/build"
  fi
  status=$?
  mv "$work/aside" "$installed"
  return $status
}

# A symbol that no library has is found when the plugin is linked.
misses_nothing () {
  cp -r "$(project_of store)" "$work/undefined" && cd "$work/undefined" && rm -r build || return
  printf '\nvoid nobody_has_this (void);\nvoid my_own (void);\nvoid\nmy_own (void)\n{\n  nobody_has_this ();\n}\n' \
    >>my-thing-store.c
  staged meson setup build && ! staged meson compile -C build >"$work/undefined.log" 2>&1 \
    && cat "$work/undefined.log" && grep -q 'undefined reference.*nobody_has_this' "$work/undefined.log"
}

# Where strand's folder cannot be written, one's own takes the plugin.
goes_to_its_user () {
  mkdir "$work/pc" && cp "$PKG_CONFIG_PATH"/*.pc "$work/pc" \
    && sed -i 's|^plugindir=.*|plugindir=/nowhere/plugins|' "$work/pc/strand-1.pc" \
    && staged strand new store other "$work/other" && cd "$work/other" || return
  PKG_CONFIG_PATH=$work/pc staged meson setup build && meson compile -C build && meson install -C build --no-rebuild \
    && [ -e "$XDG_DATA_HOME/strand-1/plugins/other-store.so" ] && staged strand inspect store/other
}

goes_where_it_is_told () {
  cd "$work/other" && meson configure build -Dplugindir="$work/chosen" && meson install -C build \
    && [ -e "$work/chosen/other-store.so" ]
}

# A plugin with the address sanitizer in it, in a strand that has none: what it does is told for its case, and the others
# go on. As docs/conformance/README.md says, which means gcc.
shows_what_the_sanitizer_finds () {
  cp -r "$(project_of store)" "$work/asan" && cd "$work/asan" && rm -r build || return
  sed -i '/^set_not_found/ { n; s/$/\n  char *gone = g_malloc (1);\n\n  g_free (gone);\n  if (*(volatile char *) gone == 1)\n    return;/ }' \
    my-thing-store.c
  CC=gcc staged meson setup build -Db_sanitize=address -Db_lundef=false && meson compile -C build || return
  LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 staged strand conformance store/mine -c strand.conf \
    --file build/my-thing-store.so --quick get >"$work/report" 2>&1
  same 1 $? && cat "$work/report" && grep -q '^not ok 1 - get/unknown-key' "$work/report" \
    && grep -q 'ERROR: AddressSanitizer: heap-use-after-free' "$work/report" && [ "$(grep -c '^ok ' "$work/report")" = 2 ]
}

looks_where_it_was_installed () {
  LD_LIBRARY_PATH=$libdir "$prefix/bin/strand" new store lost "$work/lost" >"$work/said" 2>&1
  cat "$work/said"
  grep -q "Could not find the templates of projects: .*$compiled_in" "$work/said" && [ ! -e "$work/lost" ]
}

kinds='store taskrunner backend serializer middleware module'
plan 51
check 'install' install_everything
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name strand-1.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir strand-1)
plugindir=$(pkg-config --variable=plugindir strand-1)
moduledir=$(pkg-config --variable=moduledir strand-1)

check 'pkg-config/has-its-users-folder-for-plugins' \
  same /there/strand-1/plugins "$(pkg-config --define-variable=datahome=/there --variable=userplugindir strand-1)"
check 'pkg-config/has-its-users-folder-for-modules' \
  same /there/strand-1/modules "$(pkg-config --define-variable=datahome=/there --variable=usermoduledir strand-1)"
check 'pkg-config/knows-where-strand-is' test -x "$(pkg-config --variable=bindir strand-1)/strand"
check 'templates/are-looked-for-where-they-were-installed' looks_where_it_was_installed

make_some store serializer module &
make_some taskrunner backend middleware
wait
for kind in $kinds; do
  check "$kind/five-commands" was_made "$kind"
  check "$kind/is-named-anew" is_renamed "$kind"
  check "$kind/exports-nothing-but-its-entry" exports_its_descriptor "$kind"
  check "$kind/binds-at-load" binds_at_load "$kind"
  if [ "$kind" = module ]; then
    check "$kind/is-listed" functions_are_listed
  else
    check "$kind/is-listed" is_listed "$kind"
  fi
  check "$kind/keyfile-runs" keyfile_runs "$kind" staged
  check "$kind/runs-uninstalled" runs_uninstalled "$kind"
done
check 'plugin/misses-nothing' misses_nothing
check 'plugin/shows-what-the-sanitizer-finds' shows_what_the_sanitizer_finds
check 'plugin/goes-to-its-user' goes_to_its_user
check 'plugin/goes-where-it-is-told' goes_where_it_is_told
finish
