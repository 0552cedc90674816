# tap.sh — test cases in shell, for the scripts beside it.
#   plan N; check NAME COMMAND [ARGUMENT…]; finish        SPDX-License-Identifier: LGPL-2.1-or-later
# COMMAND is a function or a program; it passes if its exit status is 0. What it says shows if it fails.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case_number=0 failed=0

plan () { echo "1..$1"; }

check () {
  name=$1 case_number=$((case_number + 1))
  shift
  if ("$@") >"$work/log" 2>&1; then
    echo "ok $case_number - $name"
  else
    echo "not ok $case_number - $name"
    sed 's/^/# /' "$work/log"
    failed=1
  fi
}

finish () { exit "$failed"; }

# Whether two texts are the same.
same () {
  [ "$1" = "$2" ] && return
  printf 'expected:\n%s\ngot:\n%s\n' "$1" "$2"
  return 1
}
