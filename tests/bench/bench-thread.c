/* bench-thread.c — the thread runner beside g_task_run_in_thread().
 *
 * Calls go from the main thread to a worker and back into the main context, all at once, 64 in flight, and
 * one at a time; peer and strand take turns, so that both see the same machine. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include <gio/gio.h>
#include <stdlib.h>
#include <strand.h>

#include "bench.h"

#define N_CALLS 200000
#define N_ROUNDS 5
#define N_SINGLE 2000

typedef struct
{
  StrandTask *task; /* NULL: the peer */
  gboolean with_arguments;
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

static void
on_task_ready (GObject *source, GAsyncResult *result, gpointer data)
{
  g_assert_true (g_task_propagate_boolean (G_TASK (result), NULL));
  one_ended (data);
}

static void
run_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_task_return_boolean (task, TRUE);
}

static void
start_one (Run *run)
{
  GTask *task;

  run->n_started++;
  if (run->task != NULL && run->with_arguments)
    strand_task_post (run->task, "(xx)", (gint64) run->n_started, (gint64) 1);
  else if (run->task != NULL)
    strand_task_post (run->task, NULL);
  else
    {
      task = g_task_new (NULL, NULL, on_task_ready, run);
      g_task_run_in_thread (task, run_in_thread);
      g_object_unref (task);
    }
}

/* Calls a second. */
static double
measure_rate (StrandTask *task, gboolean with_arguments, guint n_calls, guint in_flight)
{
  Run run = { task, with_arguments, 0, 0, n_calls, in_flight };
  double start = bench_seconds ();

  current = &run;
  while (run.n_started < MIN (in_flight, n_calls))
    start_one (&run);
  while (run.n_ended < n_calls)
    g_main_context_iteration (NULL, TRUE);
  return n_calls / (bench_seconds () - start);
}

/* Seconds for one call there and back, the median of many. */
static double
measure_latency (StrandTask *task)
{
  g_autofree double *times = g_new (double, N_SINGLE);

  for (guint i = 0; i < N_SINGLE; i++)
    times[i] = 1 / measure_rate (task, FALSE, 1, 1);
  return bench_median (times, N_SINGLE);
}

static void
compare_rates (const char *name, StrandTask *task, gboolean with_arguments, guint n_calls, guint in_flight)
{
  double own[N_ROUNDS], peer[N_ROUNDS];

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      peer[i] = measure_rate (NULL, FALSE, n_calls, in_flight);
      own[i] = measure_rate (task, with_arguments, n_calls, in_flight);
    }
  bench_report (name, bench_median (own, N_ROUNDS), "calls/s", bench_median (peer, N_ROUNDS),
                "g_task_run_in_thread");
}

/* A million calls beside ten thousand: does anything grow with their number? The small run is repeated as
 * often as makes as many calls, and its median taken. */
static void
compare_sizes (const char *name, StrandTask *task, guint in_flight)
{
  double small[100];
  double large = measure_rate (task, FALSE, 1000000, in_flight);

  for (guint i = 0; i < G_N_ELEMENTS (small); i++)
    small[i] = measure_rate (task, FALSE, 10000, MIN (in_flight, 10000));
  bench_report (name, large, "calls/s", bench_median (small, G_N_ELEMENTS (small)), "at 10 000");
}

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static GVariant *
add (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 a, b;

  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

int
main (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) nothing = NULL;
  g_autoptr(StrandTask) sum = NULL;
  StrandRegistry *registry = strand_registry_get_default ();

  strand_registry_add (registry, "bench.nothing", "", NULL, do_nothing, NULL, NULL, &error);
  strand_registry_add (registry, "bench.add", "a:x b:x -> x", NULL, add, NULL, NULL, &error);
  nothing = strand_as_task ("bench.nothing", "thread", &error, NULL);
  g_assert_no_error (error);
  sum = strand_as_task ("bench.add", "thread", &error, NULL);
  g_assert_no_error (error);
  strand_task_on_end (nothing, on_end, NULL, NULL);
  strand_task_on_end (sum, on_end, NULL, NULL);

  compare_rates ("thread: no-op, all at once", nothing, FALSE, N_CALLS, N_CALLS);
  compare_rates ("thread: no-op, 64 in flight", nothing, FALSE, N_CALLS, 64);
  compare_rates ("thread: (xx)->x, all at once", sum, TRUE, N_CALLS, N_CALLS);
  compare_rates ("thread: (xx)->x, 64 in flight", sum, TRUE, N_CALLS, 64);
  {
    double peer = measure_latency (NULL) * 1e6;

    bench_report ("thread: one at a time, p50", measure_latency (nothing) * 1e6, "us", peer,
                  "g_task_run_in_thread");
  }
  compare_sizes ("thread: rate at 1 000 000 calls, 64 in flight", nothing, 64);
  compare_sizes ("thread: rate at 1 000 000 calls, all at once", nothing, 1000000);
  return 0;
}
