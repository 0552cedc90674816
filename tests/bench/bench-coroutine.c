/* bench-coroutine.c — the coroutine runner beside g_idle_add(), and its switch beside swapcontext().
 *
 * A call that yields once is compared with an idle source that runs once: both go through one main context.
 * Then the bare switch there and back, and what a hundred thousand sleeping coroutines cost.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gio/gio.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "bench.h"
#include "coroutine-stack.h"
#include "coroutine-switch.h"

#define N_CALLS 200000
#define N_ROUNDS 5
#define N_SWITCHES 5000000
#define N_PEER_SWITCHES 500000
#define N_ALIVE 100000
#define STACK_BYTES (64 * 1024)

typedef struct
{
  StrandTask *task; /* NULL: the peer */
  guint n_started;
  guint n_ended;
  guint n_calls;
  guint in_flight;
} Run;

static Run *current;

static void start_one (Run *run);

static void
one_ended (Run *run)
{
  run->n_ended++;
  if (run->n_started < run->n_calls && run->n_started - run->n_ended < run->in_flight)
    start_one (run);
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  one_ended (current);
}

static gboolean
on_idle (gpointer data)
{
  one_ended (data);
  return G_SOURCE_REMOVE;
}

static void
start_one (Run *run)
{
  run->n_started++;
  if (run->task != NULL)
    strand_task_post (run->task, NULL);
  else
    g_idle_add (on_idle, run);
}

/* Calls a second. */
static double
measure_rate (StrandTask *task, guint n_calls, guint in_flight)
{
  Run run = { task, 0, 0, n_calls, in_flight };
  double start = bench_seconds ();

  current = &run;
  while (run.n_started < MIN (in_flight, n_calls))
    start_one (&run);
  while (run.n_ended < n_calls)
    g_main_context_iteration (NULL, TRUE);
  return n_calls / (bench_seconds () - start);
}

static void
compare_rates (const char *name, StrandTask *task, guint n_calls, guint in_flight)
{
  double own[N_ROUNDS], peer[N_ROUNDS];

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      peer[i] = measure_rate (NULL, n_calls, in_flight);
      own[i] = measure_rate (task, n_calls, in_flight);
    }
  bench_report (name, bench_median (own, N_ROUNDS), "calls/s", bench_median (peer, N_ROUNDS), "g_idle_add");
}

static GVariant *
yield_once (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_coroutine_yield (context, error);
  return NULL;
}

static GVariant *
sleep_long (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_sleep (context, (gint64) 3600 * G_USEC_PER_SEC, error);
  return NULL;
}

/* The bare switch. */

static void
swing (gpointer data)
{
  while (TRUE)
    strand_fiber_suspend (data);
}

static double
measure_switch (char *stack)
{
  StrandFiber fiber;
  double start, seconds;

  strand_fiber_init (&fiber, stack, STACK_BYTES, swing, &fiber);
  start = bench_seconds ();
  for (guint i = 0; i < N_SWITCHES; i++)
    strand_fiber_resume (&fiber);
  seconds = bench_seconds () - start;
  strand_fiber_clear (&fiber);
  return seconds / N_SWITCHES * 1e9;
}

static ucontext_t peer_main, peer_other;

static void
peer_swing (void)
{
  while (TRUE)
    swapcontext (&peer_other, &peer_main);
}

static double
measure_peer_switch (char *stack)
{
  double start;

  getcontext (&peer_other);
  peer_other.uc_stack.ss_sp = stack;
  peer_other.uc_stack.ss_size = STACK_BYTES;
  makecontext (&peer_other, peer_swing, 0);
  start = bench_seconds ();
  for (guint i = 0; i < N_PEER_SWITCHES; i++)
    swapcontext (&peer_main, &peer_other);
  return (bench_seconds () - start) / N_PEER_SWITCHES * 1e9;
}

static void
compare_switches (void)
{
  g_autofree char *stack = g_malloc (STACK_BYTES);
  double own[N_ROUNDS], peer[N_ROUNDS];

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      own[i] = measure_switch (stack);
      peer[i] = measure_peer_switch (stack);
    }
  bench_report ("coroutine: resume and yield", bench_median (own, N_ROUNDS), "ns",
                bench_median (peer, N_ROUNDS), "swapcontext pair");
}

static double
resident_mib (void)
{
  g_autofree char *text = NULL;
  gulong pages = 0;

  if (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL))
    pages = strtoul (strchr (text, ' '), NULL, 10);
  return (double) pages * (double) sysconf (_SC_PAGESIZE) / (1024 * 1024);
}

static void
measure_alive (StrandTask *task, StrandTaskrunner *runner)
{
  double before = resident_mib ();
  guint alive = 0;

  for (guint i = 0; i < N_ALIVE; i++)
    strand_task_post (task, NULL);
  while (alive < N_ALIVE)
    {
      g_main_context_iteration (NULL, FALSE);
      g_object_get (runner, "alive", &alive, NULL);
    }
  g_main_context_iteration (NULL, FALSE);
  bench_report ("coroutine: 100 000 alive, sleeping", resident_mib () - before, "MiB", 0, NULL);
}

static StrandTaskrunner *
make_runner (const char *context)
{
  g_autoptr(GError) error = NULL;
  GType type =
      strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_TASKRUNNER, "coroutine", &error);
  g_autoptr(GTypeClass) class = NULL;
  GParamSpec *pspec;

  g_assert_no_error (error);
  class = g_type_class_ref (type);
  pspec = g_object_class_find_property ((GObjectClass *) class, "context");
  return g_object_new (type, "context",
                       g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, context)->value,
                       NULL);
}

static StrandTask *
make_task (const char *function, StrandFunc func, const char *context, StrandTaskrunner **runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) made =
      strand_function_new (function, "", NULL, STRAND_TRAIT_NONE, func, NULL, NULL, &error);
  StrandTask *task;

  g_assert_no_error (error);
  *runner = make_runner (context);
  task = strand_task_new (made, G_OBJECT (*runner));
  strand_task_on_end (task, on_end, NULL, NULL);
  return task;
}

int
main (void)
{
  StrandTaskrunner *caller, *own, *sleeping;
  g_autoptr(StrandTask) here = make_task ("bench.yield", yield_once, "caller", &caller);
  g_autoptr(StrandTask) there = make_task ("bench.yield", yield_once, "own", &own);
  StrandTask *sleepers = make_task ("bench.sleep", sleep_long, "own", &sleeping);

  compare_switches ();
  compare_rates ("coroutine: start, yield, finish; 64 in flight", here, N_CALLS, 64);
  compare_rates ("coroutine: start, yield, finish; all at once", here, N_CALLS, N_CALLS);
  compare_rates ("coroutine: start, yield, finish; one at a time", here, N_CALLS, 1);
  compare_rates ("coroutine: start, yield, finish; own thread, 64 in flight", there, N_CALLS, 64);
  compare_rates ("coroutine: start, yield, finish; own thread, all at once", there, N_CALLS, N_CALLS);
  measure_alive (sleepers, sleeping); /* who go with the program */
  return 0;
}
