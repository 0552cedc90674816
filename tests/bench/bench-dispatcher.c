/* bench-dispatcher.c — whether a list of ten thousand running calls leaves the main loop to others.
 *
 * All calls of a dispatcher run as coroutines, and a consumer is bound to every row, as a list view would be:
 * it reads what was notified. Measured is the length of each turn of the main loop, from where poll() returns
 * to where it is called again: while rows come; while the calls set their progress a thousand times a second
 * between them; while a thread sets that of all rows as fast as it can; and while all calls end.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>
#include <time.h>

#include "bench.h"

#define N_ROWS 10000
#define UPDATES_PER_SECOND 1000
#define MEASURED_US (3 * G_USEC_PER_SEC)

/* The aim for one turn, in milliseconds. */
#define LIMIT_MS 4.0

/* The main loop's own; a turn that did nothing but look at the sources counts too. By the clock, and by what
 * the thread itself used: on a busy machine a turn is also as long as others keep the processor. */
static GArray *turns;
static GArray *used;
static gint64 turn_began_us;
static gint64 use_began_us;

static guint n_notified;
static double shown[N_ROWS];
static int stopping; /* atomic, as the next */
static int n_updates;

static gint64
thread_time_us (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return (gint64) time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

static int
poll_and_measure (GPollFD *fds, guint n_fds, int timeout)
{
  double ms = (double) (g_get_monotonic_time () - turn_began_us) / 1000;
  double used_ms = (double) (thread_time_us () - use_began_us) / 1000;
  int n;

  if (turn_began_us != 0)
    {
      g_array_append_val (turns, ms);
      g_array_append_val (used, used_ms);
    }
  n = g_poll (fds, n_fds, timeout);
  turn_began_us = g_get_monotonic_time ();
  use_began_us = thread_time_us ();
  return n;
}

static void
begin (void)
{
  g_array_set_size (turns, 0);
  g_array_set_size (used, 0);
  n_notified = 0;
  g_atomic_int_set (&n_updates, 0);
  turn_began_us = 0;
}

static void
report_turns (const char *what, const char *measure, GArray *values)
{
  double *all = (double *) values->data;
  g_autofree char *p50 = g_strconcat (what, ": one turn, ", measure, ", p50", NULL);
  g_autofree char *p99 = g_strconcat (what, ": one turn, ", measure, ", p99", NULL);
  g_autofree char *most = g_strconcat (what, ": one turn, ", measure, ", longest", NULL);

  qsort (all, values->len, sizeof *all, bench_compare);
  bench_report (p50, all[values->len / 2], "ms", LIMIT_MS, "limit");
  bench_report (p99, all[(gsize) values->len * 99 / 100], "ms", LIMIT_MS, "limit");
  bench_report (most, all[values->len - 1], "ms", LIMIT_MS, "limit");
}

static void
report (const char *what, double seconds)
{
  g_autofree char *rate = g_strconcat (what, ": notifications", NULL);
  g_autofree char *updates = g_strconcat (what, ": updates", NULL);

  report_turns (what, "by the clock", turns);
  report_turns (what, "processor time", used);
  if (seconds <= 0)
    return;
  bench_report (updates, g_atomic_int_get (&n_updates) / seconds, "1/s", 0, NULL);
  bench_report (rate, n_notified / seconds, "1/s", 0, NULL);
}

/* Each row's turn comes every N_ROWS / UPDATES_PER_SECOND seconds. */
static GVariant *
work (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 period_us = (gint64) N_ROWS * G_USEC_PER_SEC / UPDATES_PER_SECOND;
  guint row;

  g_variant_get (arguments, "(u)", &row);
  if (!strand_context_sleep (context, (gint64) row * period_us / N_ROWS, error))
    return NULL;
  for (guint i = 0;; i++)
    {
      g_atomic_int_inc (&n_updates);
      strand_context_set_progress (context, (double) (i % 1000) / 1000, NULL);
      if (!strand_context_sleep (context, period_us, error))
        return NULL;
    }
}

static void
on_notify (StrandHandle *handle, GParamSpec *pspec, gpointer row)
{
  shown[GPOINTER_TO_UINT (row)] = strand_handle_get_progress (handle);
  n_notified++;
}

static void
on_items_changed (GListModel *rows, guint position, guint n_removed, guint n_added, gpointer n_signals)
{
  ++*(guint *) n_signals;
  for (guint i = position; i < position + n_added; i++)
    {
      g_autoptr(StrandHandle) handle = g_list_model_get_item (rows, i);

      g_signal_connect (handle, "notify", G_CALLBACK (on_notify), GUINT_TO_POINTER (i));
    }
}

/* Enqueues a hundred a turn, as a program with a main loop would. */
static gboolean
enqueue_some (gpointer data)
{
  StrandTaskDispatcher *dispatcher = data;
  guint n = strand_task_dispatcher_get_n_calls (dispatcher);

  for (guint i = n; i < n + 100; i++)
    strand_task_dispatcher_enqueue (dispatcher, "bench.work", "(u)", i);
  strand_task_dispatcher_dispatch (dispatcher);
  return n + 100 < N_ROWS;
}

static gpointer
update_all (gpointer data)
{
  GPtrArray *handles = data;

  for (guint i = 0; !g_atomic_int_get (&stopping); i++)
    {
      StrandCall *call = strand_handle_get_call (handles->pdata[i % N_ROWS]);

      strand_call_set_progress (call, (double) (i / N_ROWS % 1000) / 1000, NULL);
      g_atomic_int_inc (&n_updates);
    }
  return NULL;
}

static gboolean
stop (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_REMOVE;
}

static void
iterate_for (GMainLoop *loop, gint64 duration_us)
{
  g_timeout_add ((guint) (duration_us / 1000), stop, loop);
  g_main_loop_run (loop);
}

static StrandStatus
status_of_last (StrandTaskDispatcher *dispatcher)
{
  g_autoptr(StrandHandle) last = g_list_model_get_item (G_LIST_MODEL (dispatcher), N_ROWS - 1);

  return last != NULL ? strand_handle_get_status (last) : STRAND_STATUS_PENDING;
}

static void
show_all_come (StrandTaskDispatcher *dispatcher)
{
  guint n_signals = 0;

  begin ();
  g_signal_connect (dispatcher, "items-changed", G_CALLBACK (on_items_changed), &n_signals);
  g_idle_add (enqueue_some, dispatcher);
  while (status_of_last (dispatcher) != STRAND_STATUS_RUNNING)
    g_main_context_iteration (NULL, TRUE);
  report ("10 000 rows, coming by the hundred", 0);
  bench_report ("10 000 rows, coming by the hundred: items-changed", n_signals, "signals", 0, NULL);
}

static void
update_everywhere (GMainLoop *loop, GPtrArray *handles)
{
  GThread *thread;

  begin ();
  thread = g_thread_new ("updates", update_all, handles);
  iterate_for (loop, MEASURED_US);
  g_atomic_int_set (&stopping, TRUE);
  g_thread_join (thread);
  report ("10 000 rows, each updated all the time", (double) MEASURED_US / G_USEC_PER_SEC);
}

int
main (void)
{
  g_autoptr(GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr(StrandTaskDispatcher) dispatcher = strand_task_dispatcher_new ("coroutine");
  g_autoptr(GPtrArray) handles = NULL;
  g_autoptr(GError) error = NULL;

  strand_registry_add (strand_registry_get_default (), "bench.work", "row:u", NULL, work, NULL, NULL, &error);
  g_assert_no_error (error);
  turns = g_array_new (FALSE, FALSE, sizeof (double));
  used = g_array_new (FALSE, FALSE, sizeof (double));
  g_main_context_set_poll_func (NULL, poll_and_measure);

  show_all_come (dispatcher);
  handles = strand_task_dispatcher_dup_handles (dispatcher);

  begin ();
  iterate_for (loop, MEASURED_US);
  report ("10 000 rows, 1000 updates a second", (double) MEASURED_US / G_USEC_PER_SEC);

  update_everywhere (loop, handles);

  begin ();
  strand_task_dispatcher_cancel_all (dispatcher);
  while (!strand_task_dispatcher_complete (dispatcher, NULL, NULL))
    g_main_context_iteration (NULL, TRUE);
  iterate_for (loop, G_USEC_PER_SEC / 2);
  report ("10 000 rows, all cancelled", 0);
  g_array_unref (turns);
  g_array_unref (used);
  return 0;
}
