/* taskrunner-waits.c — waits that could never end are refused, and never hang.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

static gint64
time_left_us (StrandConformance *self)
{
  return MAX (strand_conformance_get_deadline (self) - g_get_monotonic_time (), 0);
}

/* Fine, or refused; a hang ends at the case's deadline, which is neither. */
static void
assert_done_or_refused (gboolean done, const GError *error)
{
  if (!done)
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
}

static void
a_blocking_wait_ends (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 1; i <= 20; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "x");
      g_autoptr(GError) error = NULL;
      gboolean done = strand_handle_wait (handle, time_left_us (self), &error);

      assert_done_or_refused (done, error);
      strand_conformance_wait (self, told_count_over (told) == i);
    }
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_wait_may_give_up (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(GError) error = NULL;

  runner_await_file (self, "entered");
  g_assert_false (strand_handle_wait (handle, 5000, &error));
  if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK))
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_false (strand_handle_is_ready (handle));
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandConformance *self;
  StrandTask *task;
  gboolean tried;
  gboolean done;
  GError *error;
} Waiter;

static gboolean
wait_for_own_call (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Waiter *waiter = data;
  g_autoptr(StrandHandle) handle = strand_handle_new_for_call (call);

  if (!waiter->tried)
    waiter->done = strand_handle_wait (handle, time_left_us (waiter->self), &waiter->error);
  waiter->tried = TRUE;
  strand_call_cancel (call);
  return TRUE;
}

static void
its_own_callback (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-for-ever");
  g_autoptr(StrandHandle) handle = NULL;
  Waiter waiter = { self, task, FALSE, FALSE, NULL };

  strand_task_on_iter (task, wait_for_own_call, &waiter, NULL);
  handle = runner_call_paths (self, task, "count", NULL, NULL);
  runner_await (self, handle);
  strand_conformance_wait (self, waiter.tried);
  g_assert_false (waiter.done);
  g_assert_error (waiter.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_error (&waiter.error);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
wait_for_another (StrandCall *call, GVariant *value, gpointer data)
{
  Waiter *waiter = data;
  g_autoptr(StrandHandle) handle = strand_task_call (waiter->task, "(s)", "x");

  waiter->done = strand_handle_wait (handle, time_left_us (waiter->self), &waiter->error);
  waiter->tried = TRUE;
}

static void
another_call_in_a_callback (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(StrandTask) other = runner_task (self, runner, "conformance.echo");
  Waiter waiter = { self, other, FALSE, FALSE, NULL };

  strand_task_on_end (task, wait_for_another, &waiter, NULL);
  strand_task_post (task, NULL);
  strand_conformance_wait (self, waiter.tried);
  assert_done_or_refused (waiter.done, waiter.error);
  g_clear_error (&waiter.error);
  g_clear_object (&other);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandConformance *self;
  StrandHandle *handle; /* atomic */
} Itself;

static GVariant *
wait_for_itself (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Itself *itself = data;
  StrandHandle *handle;

  while ((handle = g_atomic_pointer_get (&itself->handle)) == NULL)
    if (!strand_context_sleep (context, 1000, error))
      return NULL;
  strand_handle_wait (handle, time_left_us (itself->self), error);
  return NULL;
}

static void
itself (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  Itself data = { self, NULL };
  g_autoptr(StrandTask) task = runner_task_for (runner, "", wait_for_itself, &data);
  StrandHandle *handle = strand_task_call (task, NULL);

  g_atomic_pointer_set (&data.handle, handle);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_object_unref (handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandConformance *self;
  StrandTask *task;
} Recursion;

/* n + (n-1) + … + 1, each summand a call of its own. */
static GVariant *
sum_down (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Recursion *recursion = data;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) rest = NULL;
  gint64 n;

  g_variant_get (arguments, "(x)", &n);
  if (n == 0)
    return g_variant_new_int64 (0);
  handle = strand_task_call (recursion->task, "(x)", n - 1);
  if (!strand_handle_wait (handle, time_left_us (recursion->self), error))
    return NULL;
  rest = strand_handle_get_result (handle, error);
  return rest != NULL ? g_variant_new_int64 (n + g_variant_get_int64 (rest)) : NULL;
}

static void
its_own_pool (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  Recursion recursion = { self, NULL };
  StrandHandle *handles[8];

  recursion.task = runner_task_for (runner, "n:x -> x", sum_down, &recursion);
  for (guint i = 0; i < G_N_ELEMENTS (handles); i++)
    handles[i] = strand_task_call (recursion.task, "(x)", (gint64) 6);
  for (guint i = 0; i < G_N_ELEMENTS (handles); i++)
    {
      g_autoptr(GVariant) value = NULL;

      runner_await (self, handles[i]);
      if (strand_handle_get_error (handles[i]) != NULL)
        g_assert_error (strand_handle_get_error (handles[i]), STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
      else
        {
          value = strand_handle_get_result (handles[i], NULL);
          g_assert_cmpint (g_variant_get_int64 (value), ==, 21);
        }
      g_object_unref (handles[i]);
    }
  g_object_unref (recursion.task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_waits_cases[] = {
  { "waits/blocking", "A thread that waits for its call gets there, or is refused with `WOULD_DEADLOCK`.",
    a_blocking_wait_ends },
  { "waits/gives-up", "A wait that has lasted long enough is `WAIT_TIMED_OUT`, and the call goes on.",
    a_wait_may_give_up, "background" },
  { "waits/own-callback", "Waiting for a call inside its own callback is `WOULD_DEADLOCK`.",
    its_own_callback },
  { "waits/in-callback", "Waiting for another call inside a callback ends, or is `WOULD_DEADLOCK`.",
    another_call_in_a_callback },
  { "waits/itself", "A function that waits for its own call gets `WOULD_DEADLOCK`.", itself,
    "background in-process" },
  { "waits/own-pool",
    "Functions that wait for calls on their own runner get there, however deep, or are refused.",
    its_own_pool, "in-process" },
  { 0 },
};
