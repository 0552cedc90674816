/* test-inline.c — the mode in which tests run: every call ends, callbacks and all, before it returns.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

typedef struct
{
  StrandTaskrunner *runner;
  StrandStore *store;
  GObject *target;
  Told *told;
} Fixture;

static void
set_up (Fixture *f, gconstpointer target)
{
  f->runner = make_runner ("thread", "workers", 2, NULL);
  f->store = make_store ("memory", NULL);
  f->target = target == NULL ? g_object_ref (G_OBJECT (f->runner))
                             : G_OBJECT (make_backend ("local", "taskrunner", f->runner, "store", f->store,
                                                       "retry-delay", (gint64) 0, NULL));
  f->told = told_new ();
  strand_set_inline (TRUE);
}

static void
tear_down (Fixture *f, gconstpointer target)
{
  strand_set_inline (FALSE);
  if (target != NULL)
    close_backend (STRAND_BACKEND (f->target));
  else
    g_object_unref (f->target);
  close_runner (f->runner);
  g_object_unref (f->store);
  told_free (f->told);
}

static StrandTask *
make_task (Fixture *f, const char *name)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  StrandTask *task = strand_task_new (function, f->target);

  told_listen (f->told, task);
  return task;
}

static void
test_a_call_has_ended_when_it_returns (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) task = make_task (f, "test.thread");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  g_assert_true (strand_get_inline ());
  g_assert_cmpuint (f->told->n_ends, ==, 1);
  g_assert_true (strand_handle_is_ready (handle));
  g_assert_cmpuint (g_variant_get_uint64 (f->told->value), ==, (guint64) (gsize) g_thread_self ());
  g_assert_true (f->told->thread == g_thread_self ());
  if (target != NULL)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (f->store, strand_handle_get_key (handle), &error);

      g_assert_no_error (error);
      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
    }
}

static void
test_items_and_errors_too (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) count = make_task (f, "test.count"), fail = make_task (f, "test.fail");
  g_autofree char *log = NULL;

  g_object_set (count, "max-items", 1, NULL);
  strand_task_post (count, "(u)", 3);
  strand_task_post (fail, "(s)", "no tree");
  log = told_dup_log (f->told);
  g_assert_cmpstr (log, ==, "item 0/1 0; item 1/1 1; item 2/1 2; end 3; error g-file-error-quark 4 no tree");
}

static GVariant *
call_another (StrandContext *context, GVariant *arguments, gpointer task, GError **error)
{
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "inner");

  g_assert_true (strand_handle_is_ready (handle));
  return NULL;
}

static void
test_calls_inside_calls (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) inner = make_task (f, "test.echo");
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.outer", "", NULL, STRAND_TRAIT_NONE, call_another, inner, NULL, NULL);
  g_autoptr(StrandTask) outer = strand_task_new (function, f->target);
  g_autofree char *log = NULL;

  told_listen (f->told, outer);
  strand_task_post (outer, NULL);
  log = told_dup_log (f->told);
  g_assert_cmpstr (log, ==, "end 'inner'; end nothing");
}

static void
test_refused_arguments_too (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");

  strand_task_post (task, "(i)", 1);
  g_assert_error (f->told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
}

static void
test_retries_too (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) task = make_task (f, "test.fail");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  strand_options_set_retries (options, 2);
  handle = strand_task_call_full (task, g_variant_new ("(s)", "no tree"), NULL, options);
  for (guint i = 0; i < 10 && !strand_handle_is_ready (handle); i++)
    strand_clock_advance (G_USEC_PER_SEC);
  strand_clock_set_system ();
  g_assert_cmpuint (f->told->n_errors, ==, 1);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 3);
}

static void
test_off_is_off (Fixture *f, gconstpointer target)
{
  g_autoptr(StrandTask) task = make_task (f, "test.thread");

  strand_task_post (task, NULL);
  g_assert_cmpuint (f->told->n_ends, ==, 1);
  strand_set_inline (FALSE);
  strand_task_post (task, NULL);
  g_assert_cmpuint (f->told->n_ends, ==, 1);
  wait_until (f->told->n_ends == 2);
  g_assert_cmpuint (g_variant_get_uint64 (f->told->value), !=, (guint64) (gsize) g_thread_self ());
}

#define ADD(name, test)                                                                                      \
  g_test_add ("/inline/thread/" name, Fixture, NULL, set_up, test, tear_down);                               \
  g_test_add ("/inline/local/" name, Fixture, "local", set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD ("a-call-has-ended-when-it-returns", test_a_call_has_ended_when_it_returns);
  ADD ("items-and-errors-too", test_items_and_errors_too);
  ADD ("calls-inside-calls", test_calls_inside_calls);
  ADD ("refused-arguments-too", test_refused_arguments_too);
  ADD ("off-is-off", test_off_is_off);
  g_test_add ("/inline/local/retries-too", Fixture, "local", set_up, test_retries_too, tear_down);

  return g_test_run ();
}
