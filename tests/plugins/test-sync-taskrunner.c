/* test-sync-taskrunner.c — everything here, now, in order.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

static StrandTask *
make_task (const char *name, gpointer runner)
{
  g_autoptr(StrandFunction) function = fixture_function (name);

  return strand_task_new (function, runner);
}

static void
test_a_call_has_ended_when_it_returns (void)
{
  StrandTaskrunner *runner = make_runner ("sync", NULL);
  g_autoptr(StrandTask) task = make_task ("test.thread", runner);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  told_listen (told, task);
  handle = strand_task_call (task, NULL);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_assert_true (strand_handle_is_ready (handle));
  value = strand_handle_get_result (handle, NULL);
  g_assert_true (g_variant_get_uint64 (value) == (guint64) (gsize) g_thread_self ());
  g_assert_true (strand_handle_wait (handle, 0, NULL));
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_an_error_is_told_inside_as_well (void)
{
  StrandTaskrunner *runner = make_runner ("sync", NULL);
  g_autoptr(StrandTask) task = make_task ("test.fail", runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(s)", "no tree");
  g_assert_error (told->error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  strand_task_post (task, "(i)", 1);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_cmpuint (told->n_errors, ==, 2);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_traits_of_all_kinds_fit (void)
{
  StrandTaskrunner *runner = make_runner ("sync", NULL);
  g_autoptr(StrandTask) main_only = make_task ("test.main", runner),
                         single = make_task ("test.single", runner);
  g_autoptr(Told) told = told_new ();

  g_assert_cmpint (strand_taskrunner_get_traits (runner), ==, STRAND_RUNNER_INLINE);
  told_listen (told, main_only);
  told_listen (told, single);
  strand_task_post (main_only, NULL);
  strand_task_post (single, NULL);
  g_assert_cmpuint (told->n_ends, ==, 2);
  g_clear_object (&main_only);
  g_clear_object (&single);
  close_runner (runner);
}

static gpointer
call_main_only (gpointer runner)
{
  g_autoptr(StrandTask) task = make_task ("test.main", runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, NULL);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_UNSAFE);
  return NULL;
}

/* The runner runs where it is called, so there it depends on the caller. */
static void
test_main_thread_only_means_the_caller (void)
{
  StrandTaskrunner *runner = make_runner ("sync", NULL);

  g_thread_join (g_thread_new ("caller", call_main_only, runner));
  close_runner (runner);
}

typedef struct
{
  StrandTask *task;
  guint left;
} Nest;

static GVariant *
call_deeper (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Nest *nest = data;

  if (nest->left-- > 0)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (nest->task, NULL);

      g_assert_true (strand_handle_wait (handle, 0, error));
    }
  return NULL;
}

static void
test_calls_may_nest (void)
{
  StrandTaskrunner *runner = make_runner ("sync", NULL);
  Nest nest = { NULL, 100 };
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.deep", "", NULL, STRAND_TRAIT_NONE, call_deeper, &nest, NULL, NULL);
  g_autoptr(StrandHandle) handle = NULL;

  nest.task = strand_task_new (function, G_OBJECT (runner));
  handle = strand_task_call (nest.task, NULL);
  g_assert_no_error (strand_handle_get_error (handle));
  g_assert_true (strand_handle_is_ready (handle));
  g_object_unref (nest.task);
  close_runner (runner);
}

static void
test_closed_is_closed (void)
{
  g_autoptr(StrandTaskrunner) runner = make_runner ("sync", NULL);
  g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  g_assert_true (strand_taskrunner_close (runner, -1, NULL));
  strand_task_post (task, NULL);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_CLOSED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  g_test_add_func ("/sync/a-call-has-ended-when-it-returns", test_a_call_has_ended_when_it_returns);
  g_test_add_func ("/sync/an-error-is-told-inside-as-well", test_an_error_is_told_inside_as_well);
  g_test_add_func ("/sync/traits-of-all-kinds-fit", test_traits_of_all_kinds_fit);
  g_test_add_func ("/sync/main-thread-only-means-the-caller", test_main_thread_only_means_the_caller);
  g_test_add_func ("/sync/calls-may-nest", test_calls_may_nest);
  g_test_add_func ("/sync/closed-is-closed", test_closed_is_closed);

  return g_test_run ();
}
