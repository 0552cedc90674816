/* middleware-fixture.c — what tests of shipped middleware share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-fixture.h"

StrandStack *
stack_new (const char *format, ...)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  StrandStack *stack;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);
  stack = strand_stack_new_from_data (text, -1, "test", &error);
  g_assert_no_error (error);
  return stack;
}

void
stack_close (StrandStack *stack)
{
  g_autoptr(GError) error = NULL;

  strand_stack_close (stack, strand_clock_monotonic_us () + DEADLINE_US, &error);
  g_assert_no_error (error);
  g_object_unref (stack);
}

GObject *
stack_middleware (StrandStack *stack, const char *name)
{
  g_autoptr(GError) error = NULL;
  GObject *middleware = strand_stack_ref_object (stack, STRAND_KIND_MIDDLEWARE, name, &error);

  g_assert_no_error (error);
  return middleware;
}

GError *
stack_error (StrandStack *stack, const char *middleware)
{
  GError *error = NULL;

  g_assert_null (strand_stack_ref_object (stack, STRAND_KIND_MIDDLEWARE, middleware, &error));
  g_assert_nonnull (error);
  return error;
}

static StrandTask *
make_task (StrandStack *stack, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GObject) target = strand_stack_ref_target (stack, NULL, &error);
  g_autoptr(StrandFunction) function = fixture_function (name);

  g_assert_no_error (error);
  return strand_task_new (function, target);
}

StrandHandle *
stack_call (StrandStack *stack, const char *function, GVariant *arguments, StrandOptions *options)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = make_task (stack, function);
  StrandHandle *handle = strand_task_call_full (task, arguments, NULL, options);

  strand_handle_wait (handle, DEADLINE_US, &error);
  g_assert_no_error (error);
  return handle;
}

typedef struct
{
  StrandTask **tasks;
  GVariant **arguments;
  guint n_tasks;
  guint n;
  int n_values; /* atomic, as the next */
  int n_errors;
} Storm;

static void
on_value (StrandCall *call, GVariant *value, gpointer data)
{
  g_atomic_int_inc (&((Storm *) data)->n_values);
}

static void
on_failure (StrandCall *call, const GError *error, gpointer data)
{
  g_atomic_int_inc (&((Storm *) data)->n_errors);
}

static gpointer
call_on_and_on (gpointer data)
{
  Storm *storm = data;

  for (guint i = 0; i < storm->n; i++)
    strand_task_post_value (storm->tasks[i % storm->n_tasks], storm->arguments[i % storm->n_tasks]);
  return NULL;
}

static int
count_ended (Storm *storm)
{
  return g_atomic_int_get (&storm->n_values) + g_atomic_int_get (&storm->n_errors);
}

/* As long as it takes, while calls end: sanitizers on a busy machine are slow. */
static void
wait_for_all (Storm *storm, int n)
{
  for (int ended = count_ended (storm); ended < n; ended = count_ended (storm))
    wait_until (count_ended (storm) > ended);
  g_assert_cmpint (count_ended (storm), ==, n);
}

guint
stack_storm (StrandStack *stack, guint n_threads, guint n, const StormCall *calls, guint n_calls)
{
  Storm storm = { g_new (StrandTask *, n_calls), g_new (GVariant *, n_calls), n_calls, n };
  g_autofree GThread **threads = g_new (GThread *, n_threads);

  for (guint i = 0; i < n_calls; i++)
    {
      storm.tasks[i] = make_task (stack, calls[i].function);
      strand_task_on_end (storm.tasks[i], on_value, &storm, NULL);
      strand_task_on_error (storm.tasks[i], on_failure, &storm, NULL);
      storm.arguments[i] = g_variant_ref_sink (g_variant_new_parsed (calls[i].arguments));
    }
  for (guint i = 0; i < n_threads; i++)
    threads[i] = g_thread_new ("storm", call_on_and_on, &storm);
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  wait_for_all (&storm, (int) (n * n_threads));
  for (guint i = 0; i < n_calls; i++)
    {
      g_object_unref (storm.tasks[i]);
      g_variant_unref (storm.arguments[i]);
    }
  g_free (storm.tasks);
  g_free (storm.arguments);
  return (guint) storm.n_values;
}
