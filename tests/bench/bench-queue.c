/* bench-queue.c — a durable queue from end to end: how fast calls are left, how fast workers in processes of
 * their own run them, and how long one call takes from launch to its value.
 *
 * Usage: bench-queue [STORE [CALLS]]: filesystem, sqlite or a redis URI; all that need no server without one.
 * The function does nothing, so what is measured is the queue. There is no peer in the same run: what others'
 * queues reach on such a machine stands in docs/performance.md. SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define N_LATENCIES 500
#define PATIENCE_US (120 * G_USEC_PER_SEC)

typedef struct
{
  const char *type;
  char *folder;
  StrandStore *store;
  StrandBackend *backend;
  GPtrArray *workers; /* of GSubprocess */
  guint n_ended;
  guint n_failed;
} Bench;

static GVariant *
nothing (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  return g_variant_new_int64 (0);
}

static void
add_functions (void)
{
  g_autoptr(GError) error = NULL;

  if (!strand_registry_add (strand_registry_get_default (), "bench.nothing", "number:x -> x", "Does nothing",
                            nothing, NULL, NULL, &error))
    g_error ("%s", error->message);
}

static GObject *
make (StrandKind kind, const char *type, const char *name, const char *value)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), kind, type, &error);

  if (gtype == G_TYPE_INVALID)
    g_error ("%s", error->message);
  return name != NULL ? g_object_new (gtype, name, value, NULL) : g_object_new (gtype, NULL);
}

static StrandStore *
open_store (const char *type, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "store", NULL);

  if (strstr (type, "://") != NULL)
    return STRAND_STORE (make (STRAND_KIND_STORE, "redis", "uri", type));
  return STRAND_STORE (make (STRAND_KIND_STORE, type, "path", path));
}

/* --- the worker's process --------------------------------------------------------------------------------
 */

static int
work (const char *type, const char *folder)
{
  const char *const queues[] = { "default", NULL };
  g_autoptr(StrandStore) store = open_store (type, folder);
  g_autoptr(GObject) runner = make (STRAND_KIND_TASKRUNNER, "thread", NULL, NULL);
  g_autoptr(StrandReader) reader = NULL;
  g_autoptr(GError) error = NULL;
  char end;

  g_object_set (runner, "workers", 2, NULL);
  reader = g_object_new (STRAND_TYPE_READER, "store", store, "taskrunner", runner, "queues", queues, "jobs",
                         16, NULL);
  if (!strand_reader_listen (reader, &error))
    g_error ("%s", error->message);
  g_print ("ready\n");
  if (read (STDIN_FILENO, &end, 1) < 0)
    g_warning ("nobody says when to end");
  strand_reader_stop (reader, -1, NULL);
  strand_taskrunner_close (STRAND_TASKRUNNER (runner), -1, NULL);
  strand_store_close (store);
  return 0;
}

static void
start_worker (Bench *bench)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autoptr(GDataInputStream) lines = NULL;
  g_autofree char *line = NULL;
  GSubprocess *worker = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDIN_PIPE,
                                          &error, self, "--worker", bench->type, bench->folder, NULL);

  if (worker == NULL)
    g_error ("%s", error->message);
  lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (worker));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (lines), FALSE);
  line = g_data_input_stream_read_line (lines, NULL, NULL, &error);
  if (g_strcmp0 (line, "ready") != 0)
    g_error ("The worker did not start");
  g_ptr_array_add (bench->workers, worker);
}

static void
stop_workers (Bench *bench)
{
  for (guint i = 0; i < bench->workers->len; i++)
    {
      GSubprocess *worker = g_ptr_array_index (bench->workers, i);

      g_output_stream_close (g_subprocess_get_stdin_pipe (worker), NULL, NULL);
      g_subprocess_wait (worker, NULL, NULL);
    }
  g_ptr_array_set_size (bench->workers, 0);
}

/* --- what is measured ------------------------------------------------------------------------------------
 */

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  ((Bench *) data)->n_ended++;
}

static void
on_error (StrandCall *call, const GError *error, gpointer data)
{
  Bench *bench = data;

  bench->n_ended++;
  bench->n_failed++;
}

static StrandTask *
make_task (Bench *bench)
{
  g_autoptr(StrandFunction) function =
      strand_registry_lookup (strand_registry_get_default (), "bench.nothing", NULL);
  StrandTask *task = strand_task_new (function, G_OBJECT (bench->backend));

  strand_task_on_end (task, on_end, bench, NULL);
  strand_task_on_error (task, on_error, bench, NULL);
  return task;
}

static void
wait_for (Bench *bench, guint n)
{
  gint64 deadline_us = g_get_monotonic_time () + PATIENCE_US;

  while (bench->n_ended < n)
    {
      g_main_context_iteration (NULL, TRUE);
      if (g_get_monotonic_time () > deadline_us)
        g_error ("Only %u of %u calls have ended", bench->n_ended, n);
    }
  if (bench->n_failed > 0)
    g_error ("%u calls failed", bench->n_failed);
}

static gint64
count (Bench *bench, StrandStatus status)
{
  const StrandFilter filter = { .statuses = 1u << status };

  return strand_store_count (bench->store, &filter, NULL);
}

static void
report (Bench *bench, const char *what, double value, const char *unit)
{
  g_autofree char *name =
      g_strdup_printf ("queue %s, %s", strstr (bench->type, "://") != NULL ? "redis" : bench->type, what);

  bench_report (name, value, unit, 0, NULL);
}

/* Between two counts, which are work that the workers could do. */
static void
pause_before (gint64 deadline_us)
{
  if (g_get_monotonic_time () > deadline_us)
    g_error ("Waited in vain for calls to be written, or to end");
  g_usleep (1000);
}

/* Calls that nobody waits for, as a web server leaves them. */
static void
measure_launch (Bench *bench, guint n_calls)
{
  g_autoptr(StrandFunction) function =
      strand_registry_lookup (strand_registry_get_default (), "bench.nothing", NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (bench->backend));
  gint64 before = count (bench, STRAND_STATUS_PENDING), deadline_us = g_get_monotonic_time () + PATIENCE_US;
  double start = bench_seconds ();

  for (guint i = 0; i < n_calls; i++)
    strand_task_post (task, "(x)", (gint64) i);
  while (count (bench, STRAND_STATUS_PENDING) < before + n_calls)
    pause_before (deadline_us);
  report (bench, "launch", n_calls / (bench_seconds () - start), "calls/s");
}

static void
measure_drain (Bench *bench, guint n_workers)
{
  g_autofree char *what = g_strdup_printf ("run what waits, %u worker processes", n_workers);
  gint64 n_calls = count (bench, STRAND_STATUS_PENDING), deadline_us = g_get_monotonic_time () + PATIENCE_US;
  double start;

  start = bench_seconds ();
  for (guint i = 0; i < n_workers; i++)
    start_worker (bench);
  while (count (bench, STRAND_STATUS_PENDING) + count (bench, STRAND_STATUS_RUNNING) > 0)
    pause_before (deadline_us);
  report (bench, what, (double) n_calls / (bench_seconds () - start), "calls/s");
  stop_workers (bench);
}

static void
measure_end_to_end (Bench *bench, guint n_workers, guint n_calls)
{
  g_autofree char *what =
      g_strdup_printf ("launch, run, value: 64 in flight, %u worker processes", n_workers);
  g_autoptr(StrandTask) task = make_task (bench);
  double start;
  guint n_sent = 0;

  for (guint i = 0; i < n_workers; i++)
    start_worker (bench);
  bench->n_ended = 0;
  start = bench_seconds ();
  while (bench->n_ended < n_calls)
    {
      while (n_sent < n_calls && n_sent - bench->n_ended < 64)
        strand_task_post (task, "(x)", (gint64) n_sent++);
      wait_for (bench, bench->n_ended + 1);
    }
  report (bench, what, n_calls / (bench_seconds () - start), "calls/s");
  stop_workers (bench);
}

static void
measure_latency (Bench *bench)
{
  g_autoptr(StrandTask) task = make_task (bench);
  double latencies[N_LATENCIES];

  start_worker (bench);
  bench->n_ended = 0;
  for (guint i = 0; i < N_LATENCIES; i++)
    {
      double start = bench_seconds ();

      strand_task_post (task, "(x)", (gint64) i);
      wait_for (bench, i + 1);
      latencies[i] = (bench_seconds () - start) * 1e3;
    }
  qsort (latencies, N_LATENCIES, sizeof *latencies, bench_compare);
  report (bench, "one at a time, p50", latencies[N_LATENCIES / 2], "ms");
  report (bench, "one at a time, p99", latencies[N_LATENCIES * 99 / 100], "ms");
  stop_workers (bench);
}

static void
remove_folder (const char *folder)
{
  g_autoptr(GSubprocess) remover =
      g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, NULL, "rm", "-rf", folder, NULL);

  if (remover != NULL)
    g_subprocess_wait (remover, NULL, NULL);
}

static void
run (const char *type, guint n_calls)
{
  Bench bench = { .type = type };

  bench.folder = g_dir_make_tmp ("bench-queue-XXXXXX", NULL);
  bench.store = open_store (type, bench.folder);
  bench.workers = g_ptr_array_new_with_free_func (g_object_unref);
  bench.backend = g_object_new (G_OBJECT_TYPE (make (STRAND_KIND_BACKEND, "store", NULL, NULL)), "store",
                                bench.store, NULL);

  measure_launch (&bench, n_calls);
  measure_drain (&bench, 1);
  measure_launch (&bench, n_calls);
  measure_drain (&bench, 2);
  measure_end_to_end (&bench, 1, n_calls);
  measure_end_to_end (&bench, 2, n_calls);
  measure_latency (&bench);

  strand_backend_close (bench.backend, -1, NULL);
  g_object_unref (bench.backend);
  strand_store_close (bench.store);
  g_object_unref (bench.store);
  g_ptr_array_unref (bench.workers);
  remove_folder (bench.folder);
  g_free (bench.folder);
}

int
main (int argc, char **argv)
{
  static const char *const types[] = { "filesystem", "sqlite" };
  guint n_calls = argc > 2 ? (guint) g_ascii_strtoull (argv[2], NULL, 10) : 2000;

  add_functions ();
  if (argc == 4 && strcmp (argv[1], "--worker") == 0)
    return work (argv[2], argv[3]);
  if (argc > 1)
    run (argv[1], n_calls);
  else
    for (guint i = 0; i < G_N_ELEMENTS (types); i++)
      run (types[i], n_calls);
  return 0;
}
