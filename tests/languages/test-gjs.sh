#!/bin/sh
# test-gjs.sh — runs test-gjs.js, and the example that the page on languages quotes, where there is GJS.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
if ! command -v gjs >/dev/null; then
  echo '1..0 # SKIP gjs is not installed'
  exit 0
fi
gjs -m "$STRAND_SOURCE/tests/languages/test-gjs.js" "$STRAND_BUILD/core/Strand-1.gir"
