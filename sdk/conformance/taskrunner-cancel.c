/* taskrunner-cancel.c — cancelling: before, while and after; and functions that do not listen.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <string.h>

/* Short, for functions that will not use it. */
#define SHORT_GRACE_US G_GINT64_CONSTANT (10000)

static void
cancelled_before_it_starts (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autofree char *path = strand_conformance_build_path (self, "marks");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_started = 0, n_completed = 0;

  for (guint i = 0; i < 500; i++)
    {
      g_ptr_array_add (handles, strand_task_call (task, "(s)", path));
      strand_handle_cancel (handles->pdata[i]);
    }
  for (guint i = 0; i < handles->len; i++)
    {
      gint64 started_us;

      runner_await (self, handles->pdata[i]);
      strand_call_get_times (strand_handle_get_call (handles->pdata[i]), NULL, &started_us, NULL);
      n_started += started_us != 0;
      if (strand_handle_get_status (handles->pdata[i]) == STRAND_STATUS_COMPLETED)
        n_completed++;
      else
        runner_assert_failed (handles->pdata[i], STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_clear_pointer (&handles, g_ptr_array_unref);
  g_clear_object (&task);
  runner_close (self, runner);
  g_assert_cmpuint (runner_file_size (self, "marks"), <=, n_started);
  g_assert_cmpuint (runner_file_size (self, "marks"), >=, n_completed);
}

static void
running_function_is_told (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();

  /* Nothing but its listening ends it. */
  g_object_set (task, "grace", G_GINT64_CONSTANT (-1), NULL);
  told_listen (told, task);
  handle = runner_call_paths (self, task, "entered", "gate", NULL);
  runner_await_file (self, "entered");
  g_assert_true (strand_handle_cancel (handle));
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static gpointer
cancel_handle (gpointer data)
{
  g_assert_true (strand_handle_cancel (data));
  return NULL;
}

static void
any_thread_may_cancel (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  g_thread_join (g_thread_new ("canceller", cancel_handle, handle));
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
afterwards_is_too_late (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "x");

  runner_await (self, handle);
  g_assert_false (strand_handle_cancel (handle));
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_value_counts (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.finish-anyway");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  g_object_set (task, "grace", G_GINT64_CONSTANT (-1), NULL);
  handle = runner_call_paths (self, task, "entered", NULL, NULL);
  runner_await_file (self, "entered");
  strand_handle_cancel (handle);
  runner_await (self, handle);
  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "finished");
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
own_error_is_replaced (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.fail-anyway");
  g_autoptr(StrandHandle) handle = NULL;

  g_object_set (task, "grace", G_GINT64_CONSTANT (-1), NULL);
  handle = runner_call_paths (self, task, "entered", NULL, NULL);
  runner_await_file (self, "entered");
  strand_handle_cancel (handle);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
others_go_on (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  StrandHandle *handles[6];

  handles[0] = runner_call_paths (self, task, "entered", "gate", NULL);
  runner_await_file (self, "entered");
  for (guint i = 1; i < G_N_ELEMENTS (handles); i++)
    handles[i] = runner_call_paths (self, task, "others", "gate", NULL);
  strand_handle_cancel (handles[0]);
  runner_await (self, handles[0]);
  runner_assert_failed (handles[0], STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  strand_conformance_create_file (self, "gate");
  for (guint i = 0; i < G_N_ELEMENTS (handles); i++)
    {
      runner_await (self, handles[i]);
      if (i > 0)
        runner_assert_completed (handles[i]);
      g_object_unref (handles[i]);
    }
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_race_has_one_winner (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(Told) told = told_new ();
  guint n = runner_count (self, 3000, 1000), n_completed = 0;

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    {
      g_ptr_array_add (handles, strand_task_call (task, "(s)", "x"));
      /* Sometimes at once, sometimes when it has probably begun, sometimes when the next is under way. */
      for (guint j = 0; j < i % 5; j++)
        g_thread_yield ();
      if (i % 3 > 0)
        strand_handle_cancel (handles->pdata[i - i % 2]);
    }
  strand_conformance_wait (self, told_count_over (told) >= n);
  for (guint i = 0; i < n; i++)
    {
      g_assert_true (strand_handle_is_ready (handles->pdata[i]));
      if (strand_handle_get_status (handles->pdata[i]) == STRAND_STATUS_COMPLETED)
        n_completed++;
      else
        g_assert_cmpint (strand_handle_get_status (handles->pdata[i]), ==, STRAND_STATUS_CANCELLED);
    }
  g_clear_pointer (&handles, g_ptr_array_unref);
  g_clear_object (&task);
  runner_close (self, runner);
  g_assert_cmpuint (told->n_ends, ==, n_completed);
  g_assert_cmpuint (told->n_errors, ==, n - n_completed);
}

typedef struct
{
  gboolean over;
  GError *error;
} Async;

static void
on_called (GObject *source, GAsyncResult *result, gpointer data)
{
  Async *async = data;
  GVariant *value = strand_task_call_finish (STRAND_TASK (source), result, &async->error);

  g_clear_pointer (&value, g_variant_unref);
  async->over = TRUE;
}

static void
a_cancellable_cancels (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.hold");
  g_autofree char *entered = strand_conformance_build_path (self, "entered");
  g_autofree char *gate = strand_conformance_build_path (self, "gate");
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Async async = { FALSE, NULL };

  strand_task_call_async (task, g_variant_new ("(ss)", entered, gate), cancellable, on_called, &async);
  runner_await_file (self, "entered");
  g_cancellable_cancel (cancellable);
  strand_conformance_wait (self, async.over);
  g_assert_error (async.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&async.error);
  g_clear_object (&task);
  runner_close (self, runner);
}

/* Lets functions go that ignore their cancellation; waits until those of this process have gone. */
static void
let_go (StrandConformance *self, guint n)
{
  strand_conformance_create_file (self, "gate");
  if (strand_conformance_has (self, "in-process"))
    strand_conformance_wait (self, runner_file_size (self, "entered") == 2 * n);
}

static void
who_does_not_listen_is_stopped (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.ignore");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();

  g_object_set (task, "grace", SHORT_GRACE_US, NULL);
  told_listen (told, task);
  handle = runner_call_paths (self, task, "entered", "gate", NULL);
  runner_await_file (self, "entered");
  g_assert_true (strand_handle_cancel (handle));
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  let_go (self, 1);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
  g_assert_cmpuint (told_count_over (told), ==, 1);
}

static void
its_place_is_free_again (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.ignore");
  g_autoptr(StrandTask) echo = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandHandle) last = NULL;

  g_object_set (task, "grace", SHORT_GRACE_US, NULL);
  for (guint i = 1; i <= 3; i++)
    {
      g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

      strand_conformance_wait (self, runner_file_size (self, "entered") == i);
      strand_handle_cancel (handle);
      runner_await (self, handle);
    }
  last = strand_task_call (echo, "(s)", "x");
  runner_await (self, last);
  runner_assert_completed (last);
  let_go (self, 3);
  g_clear_object (&last);
  g_clear_object (&echo);
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_cancel_cases[] = {
  { "cancel/pending", "A call cancelled before it starts never starts.", cancelled_before_it_starts,
    "background" },
  { "cancel/running", "A running function has its `GCancellable` cancelled; the call is then cancelled.",
    running_function_is_told, "background" },
  { "cancel/any-thread", "Any thread may cancel.", any_thread_may_cancel, "background" },
  { "cancel/too-late", "Cancelling a call that has ended answers no, and changes nothing.",
    afterwards_is_too_late },
  { "cancel/value-counts", "A function that returns a value in spite of its cancellation has completed.",
    a_value_counts, "background" },
  { "cancel/own-error", "A function that fails after its cancellation, with whatever error, was cancelled.",
    own_error_is_replaced, "background" },
  { "cancel/others", "The other calls of the runner go on.", others_go_on, "background" },
  { "cancel/race", "Where cancellation races completion, the call ends once, and status and callback agree.",
    a_race_has_one_winner },
  { "cancel/cancellable", "The `GCancellable` of `strand_task_call_async()` cancels the call.",
    a_cancellable_cancels, "background" },
  { "cancel/deaf",
    "A function that does not listen is stopped or abandoned after the grace, and its call is cancelled.",
    who_does_not_listen_is_stopped, "background stop" },
  { "cancel/place-free", "What such a function has occupied is free for other calls.",
    its_place_is_free_again, "background stop" },
  { 0 },
};
