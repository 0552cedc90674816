/* bench-middleware.c — what three middlewares cost a call.
 *
 * No-op calls on a local backend with a memory store, once bare and once behind three middlewares that count.
 * The inline mode runs everything on one thread, whose processor time is taken: between threads, waiting
 * would drown what is looked for. Both take turns, and the difference is the median of neighbours'
 * differences. SPDX-License-Identifier: LGPL-2.1-or-later */

#include <gio/gio.h>
#include <strand.h>
#include <time.h>

#include "bench.h"

#define N_CALLS 2000
#define N_ROUNDS 101

#define BENCH_TYPE_COUNTER (bench_counter_get_type ())
G_DECLARE_FINAL_TYPE (BenchCounter, bench_counter, BENCH, COUNTER, GObject)

struct _BenchCounter
{
  GObject parent_instance;

  int submitted; /* these three atomic */
  int begun;
  int ended;
};

static void counter_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (BenchCounter, bench_counter, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, counter_init))

static StrandVerdict
bench_counter_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  g_atomic_int_inc (&BENCH_COUNTER (middleware)->submitted);
  return STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
bench_counter_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  g_atomic_int_inc (&BENCH_COUNTER (middleware)->begun);
  return STRAND_VERDICT_CONTINUE;
}

static gboolean
bench_counter_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value, GError **error)
{
  g_atomic_int_inc (&BENCH_COUNTER (middleware)->ended);
  return TRUE;
}

static void
counter_init (StrandMiddlewareInterface *iface)
{
  iface->submit = bench_counter_submit;
  iface->before = bench_counter_before;
  iface->after = bench_counter_after;
}

static void
bench_counter_class_init (BenchCounterClass *klass)
{
}

static void
bench_counter_init (BenchCounter *self)
{
}

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static void
on_end (StrandCall *call, GVariant *value, gpointer data)
{
  ++*(guint *) data;
}

static gpointer
new_of_type (StrandKind kind, const char *name)
{
  g_autoptr(GError) error = NULL;
  GType type = strand_plugins_load (strand_plugins_get_default (), kind, name, &error);

  g_assert_no_error (error);
  return g_object_new (type, NULL);
}

static StrandTask *
new_task (GListModel *middleware, guint *n_ended)
{
  g_autoptr(GError) error = NULL;
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_BACKEND, "local", &error);
  g_autoptr(StrandFunction) function =
      strand_function_new ("bench.nothing", "", NULL, STRAND_TRAIT_NONE, do_nothing, NULL, NULL, NULL);
  g_autoptr(GObject) store = new_of_type (STRAND_KIND_STORE, "memory");
  g_autoptr(GObject) runner = new_of_type (STRAND_KIND_TASKRUNNER, "thread");
  g_autoptr(GObject) serializer = new_of_type (STRAND_KIND_SERIALIZER, "gvariant");
  g_autoptr(GObject) backend = NULL;
  StrandTask *task;

  /* Ended records leave at once, so that later rounds do not find a larger table. */
  g_object_set (store, "ttl", (gint64) 0, "auto-cleanup", FALSE, NULL);
  g_assert_no_error (error);
  backend = g_object_new (type, "store", store, "taskrunner", runner, "serializer", serializer, "middleware",
                          middleware, NULL);
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

/* Nanoseconds a call. */
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

int
main (void)
{
  g_autoptr(GListStore) middleware = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTask) bare = NULL;
  g_autoptr(StrandTask) wrapped = NULL;
  double bare_ns[N_ROUNDS], wrapped_ns[N_ROUNDS], differences[N_ROUNDS];
  guint n_ended = 0;

  strand_set_inline (TRUE);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(BenchCounter) counter = g_object_new (BENCH_TYPE_COUNTER, NULL);

      g_list_store_append (middleware, counter);
    }
  bare = new_task (NULL, &n_ended);
  wrapped = new_task (G_LIST_MODEL (middleware), &n_ended);
  measure (bare, &n_ended);
  measure (wrapped, &n_ended);

  /* The machine drifts over seconds: each difference is of neighbours. */
  for (guint i = 0; i < N_ROUNDS; i++)
    {
      bare_ns[i] = measure (bare, &n_ended);
      wrapped_ns[i] = measure (wrapped, &n_ended);
      differences[i] = wrapped_ns[i] - bare_ns[i];
    }
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(BenchCounter) counter = g_list_model_get_item (G_LIST_MODEL (middleware), i);

      g_assert_cmpuint (counter->submitted, ==, (N_ROUNDS + 1) * N_CALLS);
      g_assert_cmpuint (counter->begun, ==, counter->submitted);
      g_assert_cmpuint (counter->ended, ==, counter->submitted);
    }
  bench_report ("local backend: a no-op behind three middlewares", bench_median (wrapped_ns, N_ROUNDS),
                "ns/call", bench_median (bare_ns, N_ROUNDS), "none");
  bench_report ("three middlewares: extra", bench_median (differences, N_ROUNDS), "ns/call", 0, NULL);
  return 0;
}
