#!/bin/sh
# test-cplusplus.sh COMPILER|none FLAG… — the public headers, and a program, as C++.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
. "$STRAND_SOURCE/tests/install/tap.sh"
cxx=$1
shift
flags="$* -Wall -Wextra -Werror -Wno-unused-parameter"
PKG_CONFIG_PATH=$STRAND_BUILD/meson-uninstalled
export PKG_CONFIG_PATH

if [ "$cxx" = none ]; then
  echo '1..0 # SKIP there is no C++ compiler'
  exit 0
fi
found=$(pkg-config --cflags strand-1)

# Every header that is installed.
headers () {
  (cd "$STRAND_SOURCE/core" && ls strand*.h | grep -v -e '-private\.h$')
}

# Each by itself, so that none leans on another that happens to come first. Programs include only the ones that include
# all; the first line is what these say to the rest.
header_compiles () {
  printf '#define STRAND_INSIDE\n#include <%s>\n' "$1" >"$work/$1.cpp"
  "$cxx" $flags -std=c++11 -fsyntax-only $found "$work/$1.cpp"
}

everything_compiles () {
  printf '#include <strand-plugin.h>\n#include <strand-conformance.h>\n' >"$work/all.cpp"
  "$cxx" $flags "-std=$1" -fsyntax-only $found -I"$STRAND_SOURCE/sdk/conformance" "$work/all.cpp"
}

program_compiles () {
  "$cxx" $flags -std=c++17 $found "$STRAND_SOURCE/sdk/examples/sum.cpp" -o "$work/sum" $(pkg-config --libs strand-1)
}

program_prints () {
  same "$1" "$("$work/sum" 2>&1)"
}

plan $(($(headers | wc -l) + 4))
for header in $(headers); do
  check "headers/$header" header_compiles "$header"
done
check 'headers/all-as-c++17' everything_compiles c++17
check 'headers/all-as-c++20' everything_compiles c++20
check 'program/compiles' program_compiles
check 'program/runs-its-function-in-a-thread' program_prints 42
finish
