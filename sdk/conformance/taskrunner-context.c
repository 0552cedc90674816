/* taskrunner-context.c — on which thread callbacks run, when, and what is destroyed where.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

static void
comes_home_to_main (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(u)", 3);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_true (told->thread == g_thread_self ());
  g_assert_cmpuint (told->n_items, ==, 3);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  StrandConformance *self;
  StrandTask *task;
} Caller;

static gpointer
call_with_own_context (gpointer data)
{
  Caller *caller = data;
  GMainContext *context = g_main_context_new ();
  g_autoptr(Told) told = told_new ();

  g_main_context_push_thread_default (context);
  told_listen (told, caller->task);
  strand_task_post (caller->task, "(s)", "x");
  strand_conformance_wait (caller->self, told_count_over (told) == 1);
  g_assert_true (told->thread == g_thread_self ());
  strand_task_on_iter (caller->task, NULL, NULL, NULL);
  strand_task_on_end (caller->task, NULL, NULL, NULL);
  strand_task_on_error (caller->task, NULL, NULL, NULL);
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

static void
comes_home_to_thread (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  Caller caller = { self, task };

  for (guint i = 0; i < 3; i++)
    g_thread_join (g_thread_new ("caller", call_with_own_context, &caller));
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
callbacks_wait_for_the_loop (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 200; i++)
    {
      strand_task_post (task, "(s)", "x");
      /* Whatever has run by now: nobody has iterated this context. */
      g_assert_cmpuint (told_count_over (told), ==, 0);
    }
  strand_conformance_wait (self, told_count_over (told) == 200);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
inline_calls_back_at_once (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(u)", 3);
  g_assert_cmpuint (told_count_items (told), ==, 3);
  g_assert_cmpuint (told_count_over (told), ==, 1);
  g_assert_true (told->thread == g_thread_self ());
  g_clear_object (&task);
  runner_close (self, runner);
}

static GVariant *
note_thread (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_pointer_set ((GThread **) data, g_thread_self ());
  return NULL;
}

static void
may_stay_on_the_runner (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  GThread *ran_on = NULL;
  g_autoptr(StrandTask) task = strand_conformance_has (self, "in-process")
                                    ? runner_task_for (runner, "", note_thread, &ran_on)
                                    : runner_task (self, runner, "conformance.nothing");
  g_autoptr(Told) told = told_new ();

  g_object_set (task, "on-runner", TRUE, NULL);
  told_listen (told, task);
  strand_task_post (task, NULL);
  strand_conformance_wait (self, told_count_over (told) == 1);
  if (strand_conformance_has (self, "in-process"))
    g_assert_true (told->thread == g_atomic_pointer_get (&ran_on));
  else
    g_assert_true (told->thread != g_thread_self ());
  g_clear_object (&task);
  runner_close (self, runner);
}

static gboolean
iterate_inside (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Told *told = data;

  if (told->n_depth++ > 0)
    told->n_nested++;
  for (guint i = 0; i < 3; i++)
    g_main_context_iteration (NULL, FALSE);
  told->n_depth--;
  told->n_items++;
  return TRUE;
}

static void
end_outside (StrandCall *call, GVariant *value, gpointer data)
{
  Told *told = data;

  if (told->n_depth > 0)
    told->n_nested++;
  told_on_end (call, value, told);
}

static void
callbacks_never_nest (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(Told) told = told_new ();

  strand_task_on_iter (task, iterate_inside, told, NULL);
  strand_task_on_end (task, end_outside, told, NULL);
  strand_task_post (task, "(u)", 50);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_cmpuint (told->n_items, ==, 50);
  g_assert_cmpuint (told->n_nested, ==, 0);
  g_clear_object (&task);
  runner_close (self, runner);
}

typedef struct
{
  int n_destroyed; /* atomic */
  int n_running;   /* atomic: functions that use it */
  GThread *thread; /* of the last destroy */
  gboolean too_early;
} Thing;

static void
destroy_thing (gpointer data)
{
  Thing *thing = data;

  thing->thread = g_thread_self ();
  thing->too_early = g_atomic_int_get (&thing->n_running) > 0;
  g_atomic_int_inc (&thing->n_destroyed);
}

static void
ignore_end (StrandCall *call, GVariant *value, gpointer data)
{
}

static void
closures_are_destroyed_at_home (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.nothing");
  g_autoptr(StrandHandle) handle = NULL;
  Thing thing = { 0 };

  strand_task_on_end (task, ignore_end, &thing, destroy_thing);
  for (guint i = 0; i < 20; i++)
    strand_task_post (task, NULL);
  handle = strand_task_call (task, NULL);
  g_clear_object (&task);
  runner_await (self, handle);
  g_clear_object (&handle);
  strand_conformance_wait (self, g_atomic_int_get (&thing.n_destroyed) > 0);
  runner_close (self, runner);
  g_assert_cmpint (thing.n_destroyed, ==, 1);
  g_assert_true (thing.thread == g_thread_self ());
}

static GVariant *
use_thing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Thing *thing = strand_context_get_data (context);
  gboolean right = thing == data;

  if (right)
    g_atomic_int_inc (&thing->n_running);
  strand_context_sleep (context, 1000, NULL);
  if (right)
    g_atomic_int_add (&thing->n_running, -1);
  return g_variant_new_boolean (right);
}

static void
data_reaches_the_function (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  Thing thing = { 0 };
  g_autoptr(StrandTask) task = runner_task_for (runner, "-> b", use_thing, &thing);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  strand_options_take_data (options, &thing, destroy_thing);
  handle = strand_task_call_full (task, NULL, NULL, options);
  runner_await (self, handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_nonnull (value);
  g_assert_true (g_variant_get_boolean (value));
  g_clear_object (&handle);
  g_clear_object (&task);
  strand_conformance_wait (self, g_atomic_int_get (&thing.n_destroyed) > 0);
  runner_close (self, runner);
  g_assert_cmpint (thing.n_destroyed, ==, 1);
  g_assert_false (thing.too_early);
  g_assert_true (thing.thread == g_thread_self ());
}

static void
data_is_refused (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.mark");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  Thing thing = { 0 };

  strand_options_take_data (options, &thing, destroy_thing);
  handle = runner_call_paths (self, task, "marks", NULL, options);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_object (&handle);
  g_clear_object (&task);
  strand_conformance_wait (self, g_atomic_int_get (&thing.n_destroyed) > 0);
  runner_close (self, runner);
  g_assert_cmpint (thing.n_destroyed, ==, 1);
  g_assert_true (thing.thread == g_thread_self ());
  g_assert_false (strand_conformance_has_file (self, "marks"));
}

const StrandConformanceCase taskrunner_context_cases[] = {
  { "context/main", "A call made on the main thread calls back on the main thread.", comes_home_to_main },
  { "context/thread-default", "A call made under a thread-default main context calls back in that context.",
    comes_home_to_thread },
  { "context/not-before-the-loop", "No callback runs before the caller's context is iterated.",
    callbacks_wait_for_the_loop, "background" },
  { "context/inline",
    "An inline runner has called back by the time that the call is made, on the caller's thread.",
    inline_calls_back_at_once, "inline" },
  { "context/on-runner",
    "With `on-runner`, callbacks run on the thread that the function ran on, or one of the runner's where that was in "
    "another process.",
    may_stay_on_the_runner, "background" },
  { "context/never-nested",
    "One call's callbacks never run inside one another, also if one iterates the context.",
    callbacks_never_nest },
  { "context/destroy-notify", "A callback's data is destroyed once, in the context where it was set.",
    closures_are_destroyed_at_home },
  { "context/data",
    "Pointer data reaches the function, and is destroyed once, after the function, in the caller's context.",
    data_reaches_the_function, "in-process" },
  { "context/data-refused",
    "Where calls leave the process, pointer data is refused before anything runs, and destroyed once.",
    data_is_refused, "other-process" },
  { 0 },
};
