#!/bin/sh
# format.sh [FILE…] — lays C files out as .clang-format says; without files, all that git tracks.
#
# clang-format 14 puts a blank into g_autoptr(X), which reads as a call: that is taken out again.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- $(git ls-files 'core/*.[ch]' 'plugins/*.[ch]' 'sdk/*.[ch]' 'tests/*.[ch]')
clang-format -i "$@"
sed -i -E 's/\b(g_auto|g_autoptr|g_autolist|g_autoslist|g_autoqueue) \(([A-Za-z]+)\)/\1(\2)/g' "$@"
