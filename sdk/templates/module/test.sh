#!/bin/sh
# test.sh STRAND MODULE — what the functions of the module give, when strand runs them; a report in TAP.
#                                                                            SPDX-License-Identifier: 0BSD
strand=$1 module=$2 number=0 failed=0

tell () {
  if [ "$1" = 0 ]; then
    echo "ok $number - $name"
  else
    failed=1
    echo "not ok $number - $name"
    printf 'expected: %s\ngot: %s\n' "$expected" "$got" | sed 's/^/# /'
  fi
}

# WORD…: what it prints is in `got`, whether it has failed its status.
run () { got=$("$strand" run -q -b thread -m "$module" "$@" 2>&1); }

# NAME EXPECTED WORD…: what `strand run WORD…` is to print.
check () {
  name=$1 expected=$2 number=$((number + 1))
  shift 2
  run "$@" && [ "$got" = "$expected" ]
  tell $?
}

# NAME EXPECTED WORD…: what is to be in the message with which it is to fail.
check_fails () {
  name=$1 expected=$2 number=$((number + 1))
  shift 2
  ! run "$@" && echo "$got" | grep -q -e "$expected"
  tell $?
}

echo 1..4
check 'greet/names-who-is-greeted' 'Hello, world!' sample.greet world
check_fails 'greet/nobody' 'nobody was named' sample.greet ''
check 'squares/sum' 30 sample.squares 4
check 'squares/items' '1
4
9
14' sample.squares --items 3
exit "$failed"
