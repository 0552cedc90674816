/* bench-plugins.c — what each shipped middleware adds to a call.
 *
 * No-op calls of a local backend with a memory store, bare and behind one middleware, in turns on one thread
 * (inline mode), whose processor time is taken; the difference is the median of neighbours' differences. What
 * a middleware writes on a thread of its own is not in it, and log lines go nowhere.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gio/gio.h>
#include <strand.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define N_CALLS 1000
#define N_ROUNDS 41

#define KEYS "bench QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

static const struct
{
  const char *name;
  const char *settings;
} shipped[] = {
  { "rate-limit", "type=rate-limit\nmax-calls=1000000\nper=1ms" },
  { "rate-limit, sliding-window", "type=rate-limit\nmax-calls=1000000\nper=1ms\nalgorithm=sliding-window" },
  { "concurrency-limit", "type=concurrency-limit\nmax-calls=1000" },
  { "retry", "type=retry\nretries=3" },
  { "retry, delays", "type=retry\nretries=3\ndelay=1s\nmax-delay=1min" },
  { "timeout", "type=timeout\ntimeout=5min" },
  { "cache, the value is there", "type=cache\nfunctions=bench.*" },
  { "logging", "type=logging" },
  { "logging, sample=0.01", "type=logging\nsample=0.01" },
  { "metrics", "type=metrics" },
  { "metrics, file", "type=metrics\nfile=${STRAND_BENCH_FOLDER}/bench.prom" },
  { "auth, signs and verifies", "type=auth\nkeys=${STRAND_BENCH_KEYS}\nidentity=bench\nallow=bench=*" },
  { "trace", "type=trace\nfile=${STRAND_BENCH_FOLDER}/bench.jsonl" },
  { "trace, ratio=0", "type=trace\nfile=${STRAND_BENCH_FOLDER}/bench.jsonl\nratio=0" },
};

static GLogWriterOutput
drop (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  return G_LOG_WRITER_HANDLED;
}

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_ref (data);
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  ++*(guint *) data;
}

/* Ended records leave at once, so that later rounds do not find a larger table. */
static StrandStack *
make_stack (const char *settings)
{
  g_autofree char *group =
      settings != NULL ? g_strdup_printf ("[middleware m]\n%s\n", settings) : g_strdup ("");
  g_autofree char *text =
      g_strdup_printf ("%s[store s]\ntype=memory\nttl=0\nauto-cleanup=false\n[backend b]\ntype=local\n"
                       "taskrunner=thread\nstore=s\nserializer=gvariant\n%s",
                       group, settings != NULL ? "middleware=m\n" : "");
  g_autoptr(GError) error = NULL;
  StrandStack *stack = strand_stack_new_from_data (text, -1, "bench", &error);

  if (stack == NULL)
    g_error ("%s", error->message);
  return stack;
}

static StrandTask *
make_task (StrandStack *stack, guint *n_ended)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GObject) backend = strand_stack_ref_target (stack, NULL, &error);
  g_autoptr(StrandFunction) function = strand_function_new (
      "bench.nothing", "-> b", NULL, STRAND_TRAIT_NONE, do_nothing,
      g_variant_ref_sink (g_variant_new_boolean (TRUE)), (GDestroyNotify) g_variant_unref, NULL);
  StrandTask *task;

  if (backend == NULL)
    g_error ("%s", error->message);
  task = strand_task_new (function, backend);
  strand_task_on_end (task, on_end, n_ended, NULL);
  return task;
}

static double
thread_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (double) now.tv_sec * 1e9 + (double) now.tv_nsec;
}

static double
measure (StrandTask *task, guint *n_ended)
{
  g_autoptr(StrandStore) store = strand_task_ref_store (task, NULL);
  double start = thread_ns (), end;

  *n_ended = 0;
  for (guint i = 0; i < N_CALLS; i++)
    strand_task_post (task, NULL);
  end = thread_ns ();
  g_assert_cmpuint (*n_ended, ==, N_CALLS);
  strand_store_cleanup_expired (store, -1, NULL);
  return (end - start) / N_CALLS;
}

static void
compare (const char *name, const char *settings)
{
  g_autoptr(StrandStack) plain = make_stack (NULL);
  g_autoptr(StrandStack) stack = make_stack (settings);
  double bare_ns[N_ROUNDS], wrapped_ns[N_ROUNDS], differences[N_ROUNDS];
  guint n_ended = 0;
  g_autoptr(StrandTask) bare = make_task (plain, &n_ended);
  g_autoptr(StrandTask) wrapped = make_task (stack, &n_ended);
  g_autofree char *title = g_strdup_printf ("middleware %s: extra", name);

  measure (bare, &n_ended);
  measure (wrapped, &n_ended);
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      bare_ns[i] = measure (bare, &n_ended);
      wrapped_ns[i] = measure (wrapped, &n_ended);
      differences[i] = wrapped_ns[i] - bare_ns[i];
    }
  bench_report (title, bench_median (differences, N_ROUNDS), "ns/call", bench_median (bare_ns, N_ROUNDS),
                "bare call");
  strand_stack_close (stack, -1, NULL);
  strand_stack_close (plain, -1, NULL);
}

int
main (void)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-bench-XXXXXX", NULL);
  const char *files[] = { "bench.prom", "bench.jsonl" };

  g_setenv ("STRAND_BENCH_FOLDER", folder, TRUE);
  g_setenv ("STRAND_BENCH_KEYS", KEYS, TRUE);
  g_log_set_writer_func (drop, NULL, NULL);
  strand_set_inline (TRUE);
  for (guint i = 0; i < G_N_ELEMENTS (shipped); i++)
    compare (shipped[i].name, shipped[i].settings);

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (folder, files[i], NULL);

      unlink (path);
    }
  rmdir (folder);
  return 0;
}
