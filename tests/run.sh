#!/bin/sh
# run.sh [--kills | --asan | --tsan | --valgrind | --clang | --ucontext] [TEST… | OPTION of `meson test`…] — every test, on a machine that may have nothing.
#
# Installs what is missing, configures and builds with warnings as errors, runs the tests, and ends with one
# line that counts their cases. A variant has a build directory of its own, which the next run uses again:
#   build           plain; --kills: a minute of killing at random, with each store; --valgrind: core under memcheck
#   build-asan      --asan: address and undefined-behaviour sanitizers, leaks included: core and plugins
#   build-tsan      --tsan: thread sanitizer, the tests that have several threads
#   build-clang     --clang: the other compiler
#   build-ucontext  --ucontext: the coroutine runner as on processors that it has no switch of its own for
# Exit status: 0 all passed; 1 a case failed, or none ran; 2 something is missing here.
#                                                  SPDX-License-Identifier: LGPL-2.1-or-later
set -eu
cd "$(dirname "$0")/.."

variant=plain
case ${1-} in
  --kills | --asan | --tsan | --clang | --valgrind | --ucontext) variant=${1#--}; shift ;;
  -h | --help) sed -n '2,/SPDX/ { /SPDX/d; s/^# \{0,1\}//; p }' tests/run.sh; exit 0 ;;
esac

# Plugins broken on purpose take minutes, and say nothing of ours: 'run.sh --suite faults' runs them. Queues whose
# workers are killed at random take a minute each: 'run.sh --kills' does.
without=
[ $# -gt 0 ] || without='--no-suite faults --no-suite kills'

# What the tests need beyond what building needs: nm for the exported names, clang for libFuzzer, g++ for the
# headers as C++, introspection and Python for what bindings see, gi-docgen for the reference, a redis server, and
# for TLS to it what GIO needs and what makes certificates; prometheus for promtool, which reads what metrics writes;
# GJS and valac for programs in other languages; Gearman's server and library for the example of a backend; ip for
# a network between two hosts.
packages='redis-server glib-networking openssl python3 python3-gi binutils clang libclang-rt-dev g++ gobject-introspection libgirepository1.0-dev gi-docgen prometheus libcbor-dev liblmdb-dev tzdata gjs valac libgearman-dev gearman-job-server mypy python3-redis iproute2'
build=build
compiler=
options='-Dwerror=true -Dbuildtype=debugoptimized'
# Whoever crosses the end of a plugin's slice-allocated block is to be seen.
export G_SLICE=always-malloc

case $variant in
  kills)
    without=
    [ $# -gt 0 ] || set -- --suite kills
    ;;
  asan)
    build='build-asan'
    # -O1: half the running time of -O0, and stack traces still make sense. Bindings' tools are programs
    # without the sanitizer, which cannot load a library that has it. Warnings stay warnings: what the
    # sanitizers add makes gcc see uninitialized variables where there are none.
    options='-Dwerror=false -Dbuildtype=debug -Doptimization=1 -Db_sanitize=address,undefined -Db_lundef=false'
    options="$options -Dintrospection=disabled"
    # The slow unwinder, because GLib has no frame pointers and a suppression has to find its name in a trace;
    # a trace of twelve frames, because each allocation pays for it.
    asan='detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1'
    export ASAN_OPTIONS="${ASAN_OPTIONS-$asan:fast_unwind_on_malloc=0:malloc_context_size=12}"
    export LSAN_OPTIONS="${LSAN_OPTIONS-suppressions=$PWD/tests/lsan.supp:print_suppressions=0}"
    export UBSAN_OPTIONS="${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}"
    # The suites over every plugin and what is killed at random take half an hour here: by name.
    [ $# -gt 0 ] || set -- --suite core --suite plugins
    set -- --timeout-multiplier 4 "$@"
    ;;
  tsan)
    build='build-tsan'
    options='-Dwerror=false -Dbuildtype=debug -Doptimization=1 -Db_sanitize=thread -Db_lundef=false'
    options="$options -Dintrospection=disabled"
    # Helpers have their stderr read by who started them, so each process reports to a file of its own. A longer
    # history than usual, because a lock may have been taken many calls ago.
    races=$PWD/$build/meson-logs/race
    tsan="suppressions=$PWD/tests/race/tsan.supp:print_suppressions=0:history_size=4:second_deadlock_stack=1"
    export TSAN_OPTIONS="${TSAN_OPTIONS-$tsan:log_path=$races}"
    [ $# -gt 0 ] || set -- test-race test-task test-cancel test-handle test-delivery test-deadlock test-stopping \
      test-checks test-inline test-dispatcher test-middleware test-reader test-store test-work \
      test-thread-taskrunner test-sync-taskrunner test-coroutine-taskrunner test-process-taskrunner \
      test-process-pipe test-local-backend test-local-races test-concurrency-limit-middleware \
      test-rate-limit-middleware test-retry-middleware test-timeout-middleware test-cache-middleware \
      test-logging-middleware test-trace-middleware test-metrics-middleware test-run-process-callers \
      test-memory-store test-temporary-store test-filesystem-store test-sqlite-store test-sqlite-watch
    set -- --timeout-multiplier 4 "$@"
    ;;
  clang)
    build='build-clang'
    compiler=clang
    # It takes a g_autoptr that only holds something for unused; gcc does not, and has looked.
    options="$options -Dc_args=-Wno-unused-variable"
    [ $# -gt 0 ] || set -- --suite core --suite docs
    ;;
  valgrind)
    packages="$packages valgrind libc6-dbg"
    # Where one thread looks after memory; what many do to each other is for the sanitizers, which are quicker.
    [ $# -gt 0 ] || set -- test-clock test-inline test-task test-delivery test-cancel test-handle test-middleware \
      test-function test-function-module test-store test-work test-lease test-json test-record test-param \
      test-stack test-plugins test-descriptor test-elf test-module test-trust test-cron test-retry test-queue
    set -- --setup valgrind "$@"
    ;;
  ucontext)
    build='build-ucontext'
    options="$options -Dcoroutine-ucontext=true -Dintrospection=disabled"
    [ $# -gt 0 ] || set -- test-coroutine-taskrunner
    ;;
esac

# Ends the run when the count could not be made: what did not build or start has failed.
give_up () {
  echo "run.sh: $1" >&2
  echo '0 passed, 1 failed'
  exit "$2"
}

# shellcheck disable=SC2086
sh sdk/setup.sh $packages || give_up 'this machine is not ready' 2

# The options are given anew to a directory that is there already: it may have been made by hand.
# shellcheck disable=SC2086
if [ -e "$build/build.ninja" ]; then
  meson configure "$build" $options
else
  ${compiler:+env CC=$compiler} meson setup "$build" $options
fi || give_up "could not configure '$build'" 1
# Some tests need a part of it, which `meson test` builds, but not what is preloaded into them.
rebuild=--no-rebuild
case $variant in
  ucontext) rebuild= ;;
  tsan) rebuild= && { meson compile -C "$build" race-order || give_up 'the build failed' 1; } ;;
esac
[ -z "$rebuild" ] || meson compile -C "$build" || give_up 'the build failed' 1

log=$build/meson-logs/testlog.json
[ "$variant" != valgrind ] || log=$build/meson-logs/testlog-valgrind.json
rm -f "$log" ${races:+"$races".*}
# shellcheck disable=SC2086
meson test -C "$build" $rebuild $without --print-errorlogs "$@" && status=0 || status=$?
[ -e "$log" ] || give_up 'no test ran' 1
# What was drawn, done and found is worth reading also where all went well.
[ "$variant" != kills ] || grep -E '^# (seed|store|kills|calls|lost|recovery|faults)\b' "${log%.json}.txt" || :
for report in ${races:+"$races".*}; do
  [ ! -e "$report" ] || { cat "$report"; status=1; }
done
python3 tests/count.py "$build" "$log" && [ "$status" = 0 ]
