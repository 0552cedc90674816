/* test-middleware-together.c — what stands in one list works together: right totals, whatever becomes of a
 * call.
 *
 * Eight threads call functions in helper processes, through authentication, a rate limit, metrics, logging
 * and tracing. Some calls complete, some fail, some crash their helper, and some are refused at the door.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-fixture.h"

#include <string.h>

/* So many calls of each thread. A crash costs a helper, and a new one takes some milliseconds. */
#define N_THREADS 8
#define N_CRASHES 5

/* A sanitizer that unwinds the stack at each allocation takes milliseconds a call. */
#ifdef __SANITIZE_ADDRESS__
#define N_CALLS 8000
#else
#define N_CALLS 100000
#endif

static int n_refusals; /* atomic, as the next */
static int n_lines;

static GLogWriterOutput
count_lines (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "STRAND_AUDIT") == 0)
      {
        g_atomic_int_inc (&n_refusals);
        return G_LOG_WRITER_HANDLED;
      }
    else if (strcmp (fields[i].key, "STRAND_STATUS") == 0)
      {
        g_atomic_int_inc (&n_lines);
        return G_LOG_WRITER_HANDLED;
      }
  return g_log_writer_default (level, fields, n_fields, data);
}

static guint64
number (GVariant *stats, const char *name)
{
  guint64 value;

  if (!g_variant_lookup (stats, name, "t", &value))
    g_error ("there is no number '%s'", name);
  return value;
}

/* The storm's calls: two thirds of the rest complete, a sixth fails, a sixth is refused. */
static StormCall *
make_calls (guint n, guint *n_completed, guint *n_failed, guint *n_refused)
{
  static const StormCall kinds[] = {
    { "demo.add", "(int64 1, int64 2)" }, { "demo.echo", "('x',)" },           { "demo.fail", "('no',)" },
    { "demo.add", "(int64 3, int64 4)" }, { "demo.factorial", "(uint64 5,)" }, { "demo.echo", "('y',)" }
  };
  StormCall *calls = g_new (StormCall, n);

  *n_completed = *n_failed = *n_refused = 0;
  for (guint i = 0; i < n; i++)
    {
      calls[i] = kinds[i % G_N_ELEMENTS (kinds)];
      if (i < N_CRASHES)
        calls[i] = (StormCall){ "demo.crash", "(9,)" };
      else if (strcmp (calls[i].function, "demo.fail") == 0)
        ++*n_failed;
      else if (strcmp (calls[i].function, "demo.factorial") == 0)
        ++*n_refused;
      else
        ++*n_completed;
    }
  return calls;
}

static void
test_totals_are_right (void)
{
  guint n = N_CALLS / N_THREADS, n_completed, n_failed, n_refused, n_values;
  g_autofree StormCall *calls = make_calls (n, &n_completed, &n_failed, &n_refused);
  char *folder = fixture_make_folder ();
  StrandStack *stack;
  g_autoptr(GObject) count = NULL;
  g_autoptr(GVariant) stats = NULL;

  g_setenv ("STRAND_TEST_KEYS", "a QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", TRUE);
  stack = stack_new ("[middleware door]\ntype=auth\nkeys=${STRAND_TEST_KEYS}\nidentity=web\n"
                     "allow=web=demo.add,demo.echo,demo.fail,demo.crash\n"
                     "[middleware limit]\ntype=rate-limit\nmax-calls=1000000\nper=1s\n"
                     "[middleware count]\ntype=metrics\nfile=%s/strand.prom\ninterval=10ms\n"
                     "[middleware trace]\ntype=trace\nfile=%s/spans.jsonl\nratio=0.01\n"
                     "[backend b]\ntype=process\nworkers=2\nstore=memory\n"
                     "middleware=door;limit;count;logging;trace\n",
                     folder, folder);
  count = stack_middleware (stack, "count");
  n_values = stack_storm (stack, N_THREADS, n, calls, n);

  g_object_get (count, "stats", &stats, NULL);
  g_assert_cmpuint (n_values, ==, N_THREADS * n_completed);
  g_assert_cmpuint (number (stats, "completed"), ==, N_THREADS * n_completed);
  g_assert_cmpuint (number (stats, "failed"), ==, N_THREADS * (n_failed + N_CRASHES));
  g_assert_cmpuint (number (stats, "crashed"), ==, N_THREADS * N_CRASHES);
  g_assert_cmpuint (number (stats, "running") + number (stats, "waiting"), ==, 0);
  g_assert_cmpint (g_atomic_int_get (&n_refusals), ==, (int) (N_THREADS * n_refused));
  /* Two lines for each call that got past the door. */
  g_assert_cmpint (g_atomic_int_get (&n_lines), ==, (int) (2 * N_THREADS * (n - n_refused)));
  g_clear_object (&count);
  stack_close (stack);
  fixture_remove_folder (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  g_log_set_writer_func (count_lines, NULL, NULL);
  g_test_add_func ("/middleware-together/totals-are-right", test_totals_are_right);
  return g_test_run ();
}
