/* taskrunner-ends.c — a call that was accepted ends, once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

static void
post_failing (StrandTask *task)
{
  strand_task_post (task, "(sis)", g_quark_to_string (G_FILE_ERROR), G_FILE_ERROR_IO, "broken");
}

static void
each_ends_once (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) good = runner_task (self, runner, "conformance.echo");
  g_autoptr(StrandTask) bad = runner_task (self, runner, "conformance.fail");
  g_autoptr(Told) told = told_new ();
  guint n = runner_count (self, 5000, 1000);

  told_listen (told, good);
  told_listen (told, bad);
  for (guint i = 0; i < n; i++)
    {
      strand_task_post (good, "(s)", "x");
      post_failing (bad);
    }
  strand_conformance_wait (self, told_count_over (told) >= 2 * n);
  g_clear_object (&good);
  g_clear_object (&bad);
  runner_close (self, runner);

  /* Nothing comes after. */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (told->n_ends, ==, n);
  g_assert_cmpuint (told->n_errors, ==, n);
}

static void
runs_once (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autofree char *path = strand_conformance_build_path (self, "marks");
  g_autoptr(Told) told = told_new ();
  const guint n = 300;

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    strand_task_post (task, "(s)", path);
  strand_conformance_wait (self, told_count_over (told) == n);
  g_assert_cmpuint (told->n_ends, ==, n);
  g_clear_object (&task);
  runner_close (self, runner);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, n);
}

static void
note_status (StrandCall *call, GVariant *value, gpointer data)
{
  *(StrandStatus *) data = strand_call_get_status (call);
}

static void
status_precedes_callback (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  StrandStatus status = STRAND_STATUS_PENDING;

  strand_task_on_end (task, note_status, &status, NULL);
  strand_task_post (task, NULL);
  strand_conformance_wait (self, status != STRAND_STATUS_PENDING);
  g_assert_cmpint (status, ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
times_are_in_order (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  gint64 created_us, started_us, completed_us;

  runner_await (self, handle);
  runner_assert_completed (handle);
  strand_call_get_times (strand_handle_get_call (handle), &created_us, &started_us, &completed_us);
  g_assert_cmpint (created_us, >, 0);
  g_assert_cmpint (started_us, >=, created_us);
  g_assert_cmpint (completed_us, >=, started_us);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
ends_without_anybody (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autofree char *path = strand_conformance_build_path (self, "marks");

  strand_task_post (task, "(s)", path);
  runner_await_file (self, "marks");
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
dropped_handle_cancels_nothing (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 50; i++)
    g_object_unref (strand_task_call (task, "(s)", "x"));
  strand_conformance_wait (self, told_count_over (told) == 50);
  g_assert_cmpuint (told->n_ends, ==, 50);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandHandle *handle;
  gboolean over;
} Holder;

static void
drop_handle (StrandCall *call, GVariant *value, gpointer data)
{
  Holder *holder = data;

  g_clear_object (&holder->handle);
  g_assert_cmpint (strand_call_get_status (call), ==, STRAND_STATUS_COMPLETED);
  holder->over = TRUE;
}

static void
handle_may_go_in_callback (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  Holder holder = { NULL, FALSE };

  strand_task_on_end (task, drop_handle, &holder, NULL);
  holder.handle = strand_task_call (task, NULL);
  strand_conformance_wait (self, holder.over);
  g_clear_object (&holder.handle); /* where the callback came first, being inline */
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_ends_cases[] = {
  { "ends/exactly-once", "Each call ends in exactly one of `on_end` and `on_error`, once.", each_ends_once },
  { "ends/runs-once", "The function of an accepted call runs once.", runs_once },
  { "ends/status-first", "When `on_end` runs, the call's status is completed.", status_precedes_callback },
  { "ends/times", "A call is created, then started, then completed, and its times say so.",
    times_are_in_order },
  { "ends/unwatched", "A call without callbacks and handle runs all the same.", ends_without_anybody },
  { "ends/dropped-handle", "Dropping a handle cancels nothing.", dropped_handle_cancels_nothing },
  { "ends/dropped-in-callback", "A handle may be dropped in its own call's callback.",
    handle_may_go_in_callback },
  { 0 },
};
