#!/bin/sh
# test-count.sh SOURCE PYTHON — counting test cases: nothing that failed, died or said nothing may pass.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
source=$1 python=$2

# $1: protocol; $2: meson's result; $3: output; $4: the count expected
counts () {
  mkdir -p "$work/meson-info"
  echo "[{\"name\": \"it\", \"protocol\": \"$1\"}]" >"$work/meson-info/intro-tests.json"
  printf '{"name": "strand:core / it", "result": "%s", "stdout": "%s"}\n' "$2" "$3" >"$work/testlog.json"
  output=$("$python" "$source/tests/count.py" "$work" "$work/testlog.json")
  status=$?
  case $4 in
    "0 passed"* | *" 0 failed" | *" 0 failed,"*) ;;
    *) same 1 "$status" || return ;;
  esac
  same "$4" "$(echo "$output" | tail -n 1)"
}

fails_without_tests () {
  echo '[]' >"$work/meson-info/intro-tests.json"
  : >"$work/testlog.json"
  ! "$python" "$source/tests/count.py" "$work" "$work/testlog.json"
}

# The summary names the seed of what failed, and of nothing else.
tells_what_plays_it_again () {
  counts tap FAIL '# seed 5\n1..1\nnot ok 1 /a - lost\n' '0 passed, 1 failed' || return
  same "failed: strand:core / it: /a - lost (FAIL); again: sh tests/run.sh it --test-args=--seed=5" \
    "$(echo "$output" | head -n 1)" || return
  counts tap TIMEOUT '# seed 6\n' '0 passed, 1 failed' || return
  same "failed: strand:core / it: no plan (TIMEOUT); again: sh tests/run.sh it --test-args=--seed=6" \
    "$(echo "$output" | head -n 1)" || return
  counts tap OK '# seed 7\n1..1\nok 1 /a\n' '1 passed, 0 failed' || return
  same '1 passed, 0 failed' "$output"
}

plan 13
check 'count/passed' counts tap OK '1..2\nok 1 /a\nok 2 /b\n' '2 passed, 0 failed'
check 'count/failed' counts tap FAIL '1..2\nok 1 /a\nnot ok 2 /b - Error\n' '1 passed, 1 failed'
check 'count/skipped-with-reason' counts tap OK '1..2\nok 1 /a\nok 2 /b # SKIP no disk\n' '1 passed, 0 failed, 1 skipped'
check 'count/skipped-altogether' counts tap SKIP '1..0 # SKIP no disk\n' '0 passed, 0 failed, 1 skipped'
check 'count/died-before-the-end' counts tap ERROR '1..3\nok 1 /a\nBail out! Error\n' '1 passed, 2 failed'
check 'count/died-after-the-end' counts tap ERROR '1..1\nok 1 /a\n' '1 passed, 1 failed'
check 'count/ended-early-and-well' counts tap OK '1..2\nok 1 /a\n' '1 passed, 1 failed'
check 'count/plan-at-the-end' counts tap OK 'ok 1 /a\n1..1\n' '1 passed, 0 failed'
check 'count/timed-out-in-silence' counts tap TIMEOUT '' '0 passed, 1 failed'
check 'count/without-tap' counts exitcode OK 'whatever' '1 passed, 0 failed'
check 'count/without-tap-failed' counts exitcode FAIL 'ok 1 /a' '0 passed, 1 failed'
check 'count/tells-what-plays-it-again' tells_what_plays_it_again
check 'count/nothing-ran' fails_without_tests
finish
