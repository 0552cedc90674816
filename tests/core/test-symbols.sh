#!/bin/sh
# What our binaries export, and nothing else: the library strand_*, each plugin its one array of types.
#   test-symbols.sh NM LIBRARY PLUGIN…          SPDX-License-Identifier: LGPL-2.1-or-later
nm=$1 library=$2
shift 2

# The names that FILE defines for others. What sanitizers and the linker add is not ours.
exported ()
{
  "$nm" -D --defined-only -- "$1" | sed 's/.* //; s/@.*//' \
    | grep -Ev '^(__(odr_)?[atu]b?san|__sanitizer|_(init|fini|edata|end)$|__bss_start$)'
}

n=0 status=0
report () # FILE, the names that must not be there or are missing
{
  n=$((n + 1))
  if [ -z "$2" ]; then echo "ok $n - $(basename "$1")"; else echo "not ok $n - $(basename "$1"):" $2; status=1; fi
}

echo "1..$(($# + 1))"
names=$(exported "$library")
report "$library" "$(echo "$names" | grep -v '^strand_'; [ -n "$names" ] || echo 'exports nothing')"
for plugin; do
  names=$(exported "$plugin")
  if [ "$names" = strand_plugin_types ]; then report "$plugin" ''; else report "$plugin" "exports '$names'"; fi
done
exit $status
