/* test-cancel.c — cancel means stop: which call, how soon, and what it is called afterwards.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>

static StrandTaskrunner *threads;

static StrandTask *
make_task (const char *function, gpointer target)
{
  g_autoptr(StrandFunction) callee = fixture_function (function);

  return strand_task_new (callee, target);
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

static void
check_cancelled (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_assert_true (strand_handle_is_ready (handle));
  g_assert_null (strand_handle_get_result (handle, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
test_a_pending_call_never_starts (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", one), task = make_task ("test.data", one);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, handle = NULL;
  g_autoptr(Told) told = told_new ();
  Gate *gate = fixture_gate ();

  told_listen (told, task);
  fixture_last_data = NULL;
  strand_options_take_data (options, told, NULL);
  first = strand_task_call (hold, NULL);
  gate_wait_inside (gate, 1);
  handle = strand_task_call_full (task, NULL, NULL, options);
  g_assert_true (strand_handle_cancel (handle));
  check_cancelled (handle); /* at once, though the worker is busy */
  g_assert_false (strand_handle_cancel (handle));
  wait_until (told_count_over (told) == 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  gate_open (gate);
  wait_for (first);
  g_clear_object (&task);
  g_clear_object (&hold);
  close_runner (one);
  g_assert_null (fixture_last_data);
}

static void
test_a_running_call_is_told (void)
{
  g_autoptr(StrandTask) task = make_task ("test.block", threads);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_handle_cancel (handle));
  wait_for (handle);
  check_cancelled (handle);
}

static void
test_a_call_that_has_ended_is_too_late (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_for (handle);
  g_assert_false (strand_handle_cancel (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

/* A function that completes all the same has completed. */
static void
test_a_value_counts_more_than_a_request (void)
{
  g_autoptr(StrandTask) task = make_task ("test.progress", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  gate_wait_inside (gate, 1);
  g_assert_true (strand_handle_cancel (handle));
  gate_open (gate);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

typedef struct
{
  int gone; /* atomic */
} Freed;

static void
note_freed (gpointer data)
{
  g_atomic_int_set (&((Freed *) data)->gone, TRUE);
}

static guint
abandoned_by (StrandTaskrunner *runner)
{
  guint n;

  g_object_get (runner, "abandoned", &n, NULL);
  return n;
}

/* It ignores us, so its thread is given up and another takes its place; what is its own is freed when it
 * returns. */
static void
test_what_ignores_us_is_abandoned_after_the_grace (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("test.hold", one), next = make_task ("test.nothing", one);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL, next_handle = NULL;
  Gate *gate = fixture_gate ();
  Freed freed = { FALSE };

  g_object_set (task, "grace", (gint64) 1000, NULL);
  strand_options_take_data (options, &freed, note_freed);
  handle = strand_task_call_full (task, NULL, NULL, options);
  gate_wait_inside (gate, 1);
  next_handle = strand_task_call (next, NULL);
  g_assert_true (strand_handle_cancel (handle));
  wait_for (handle);
  check_cancelled (handle);
  g_assert_cmpuint (abandoned_by (one), ==, 1);
  wait_for (next_handle); /* in its place */
  g_assert_cmpint (strand_handle_get_status (next_handle), ==, STRAND_STATUS_COMPLETED);

  g_clear_object (&handle);
  for (guint i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_false (g_atomic_int_get (&freed.gone)); /* the function still uses it */
  gate_open (gate);
  wait_until (g_atomic_int_get (&freed.gone));
  wait_until (abandoned_by (one) == 0);
  g_clear_object (&task);
  g_clear_object (&next);
  close_runner (one);
}

static void
test_only_so_many_are_abandoned (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, "max-abandoned", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("test.hold", runner);
  g_autoptr(StrandHandle) one = NULL, other = NULL;
  Gate *gate = fixture_gate ();
  g_autoptr(GError) error = NULL;

  g_object_set (task, "grace", (gint64) 0, NULL);
  one = strand_task_call (task, NULL);
  other = strand_task_call (task, NULL);
  gate_wait_inside (gate, 2);
  g_assert_true (strand_handle_cancel (one));
  wait_for (one);
  g_assert_true (strand_handle_cancel (other));
  g_assert_false (strand_handle_wait (other, 20000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_cmpuint (abandoned_by (runner), ==, 1);
  gate_open (gate);
  wait_for (other);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_without_end_of_grace_nothing_is_abandoned (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  g_autoptr(StrandHandle) handle = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  g_object_set (task, "grace", (gint64) -1, NULL);
  handle = strand_task_call (task, NULL);
  gate_wait_inside (gate, 1);
  g_assert_true (strand_handle_cancel (handle));
  strand_clock_advance (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_RUNNING);
  gate_open (gate);
  wait_for (handle);
  strand_clock_set_system ();
}

/* Grace by the clock that tests can set: one microsecond makes the difference. */
static void
test_grace_is_exact (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  g_autoptr(StrandHandle) handle = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  handle = strand_task_call (task, NULL);
  gate_wait_inside (gate, 1);
  g_assert_true (strand_handle_cancel (handle));
  strand_clock_advance (5 * G_USEC_PER_SEC - 1);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_RUNNING);
  strand_clock_advance (1);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  gate_open (gate);
  strand_clock_set_system ();
  wait_until (abandoned_by (threads) == 0);
}

static void
test_timeout_and_cancel_are_different_codes (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  strand_options_set_timeout (options, 30 * G_USEC_PER_SEC);
  handle = strand_task_call_full (task, NULL, NULL, options);
  gate_wait_inside (gate, 1);
  strand_clock_advance (30 * G_USEC_PER_SEC);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_RUNNING);
  strand_clock_advance (5 * G_USEC_PER_SEC);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_null (strand_handle_get_result (handle, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  gate_open (gate);
  strand_clock_set_system ();
  wait_until (abandoned_by (threads) == 0);
}

/* The time a call waits for a thread is not the time it runs. */
static void
test_a_timeout_counts_from_the_start (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", one), task = make_task ("test.nothing", one);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, handle = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  strand_options_set_timeout (options, G_USEC_PER_SEC);
  first = strand_task_call (hold, NULL);
  gate_wait_inside (gate, 1);
  handle = strand_task_call_full (task, NULL, NULL, options);
  strand_clock_advance (60 * G_USEC_PER_SEC);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_PENDING);
  gate_open (gate);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  strand_clock_set_system ();
  g_clear_object (&task);
  g_clear_object (&hold);
  close_runner (one);
}

static GVariant *
read_deadline (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  *(gint64 *) data = strand_context_get_deadline (context);
  return NULL;
}

static void
test_a_function_knows_its_deadline (void)
{
  gint64 deadline_us = -1;
  g_autoptr(StrandFunction) function = strand_function_new ("test.deadline", "", NULL, STRAND_TRAIT_NONE,
                                                             read_deadline, &deadline_us, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (threads));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandHandle) other = NULL;

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  strand_options_set_timeout (options, G_USEC_PER_SEC);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_for (handle);
  g_assert_cmpint (deadline_us, ==, strand_clock_monotonic_us () + G_USEC_PER_SEC);
  other = strand_task_call (task, NULL);
  wait_for (other);
  g_assert_cmpint (deadline_us, ==, 0);
  strand_clock_set_system ();
}

static void
test_a_producer_that_waits_for_its_consumer_is_freed (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  g_object_set (task, "max-items", 2, NULL);
  handle = strand_task_call (task, "(u)", 1000000);
  wait_until (told->n_items > 0);
  g_assert_true (strand_handle_cancel (handle));
  wait_until (told_count_over (told) == 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  check_cancelled (handle);
}

/* Each ends once, whoever wins; and a TRUE from cancel is no promise, but a FALSE is. */
static void
test_cancel_races_completion (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(Told) told = told_new ();
  guint n_refused = 0;

  told_listen (told, task);
  for (guint i = 1; i <= 10000; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

      for (guint j = 0; j < i % 64; j++)
        if (strand_handle_is_ready (handle))
          break;
      if (!strand_handle_cancel (handle))
        {
          g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
          n_refused++;
        }
      if (i % 1000 == 0)
        wait_until (told_count_over (told) == i);
    }
  for (guint i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (told_count_over (told), ==, 10000);
  g_assert_cmpuint (told->n_ends, >=, n_refused);
  g_test_message ("%u completed, %u cancelled", told->n_ends, told->n_errors);
}

typedef struct
{
  StrandHandle *handle; /* atomic */
  int stop;
  guint n_true;
} Canceller;

static gpointer
cancel_whatever_comes (gpointer data)
{
  Canceller *canceller = data;

  while (!g_atomic_int_get (&canceller->stop))
    {
      StrandHandle *handle = g_atomic_pointer_exchange (&canceller->handle, NULL);

      if (handle == NULL)
        continue;
      canceller->n_true += strand_handle_cancel (handle) ? 1 : 0;
      g_object_unref (handle);
    }
  return NULL;
}

static void
test_cancel_from_another_thread_races_completion (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  g_autoptr(Told) told = told_new ();
  Canceller canceller = { NULL, FALSE, 0 };
  GThread *thread = g_thread_new ("canceller", cancel_whatever_comes, &canceller);

  told_listen (told, task);
  for (guint i = 1; i <= 3000; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 2);
      StrandHandle *old = g_atomic_pointer_exchange (&canceller.handle, g_object_ref (handle));

      g_clear_object (&old);
      wait_until (told_count_over (told) == i);
    }
  g_atomic_int_set (&canceller.stop, TRUE);
  g_thread_join (thread);
  if (canceller.handle != NULL)
    g_object_unref (canceller.handle);
  g_assert_cmpuint (told_count_over (told), ==, 3000);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_cancel_by_cancellable (void)
{
  for (guint i = 0; i < 3; i++) /* while it runs; at once; before the call */
    {
      g_autoptr(StrandTask) task = make_task ("test.block", threads);
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;

      if (i == 2)
        g_cancellable_cancel (cancellable);
      strand_task_call_async (task, NULL, cancellable, keep_result, &result);
      g_assert_null (result);
      if (i == 0)
        for (guint j = 0; j < 100; j++)
          g_main_context_iteration (NULL, FALSE);
      g_cancellable_cancel (cancellable);
      wait_until (result != NULL);
      g_assert_null (strand_task_call_finish (task, result, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
}

static gboolean
cancel_in_item (StrandCall *call, GVariant *item, gpointer told, GError **error)
{
  strand_call_cancel (call);
  return told_on_iter (call, item, told, error);
}

static void
test_cancel_in_its_own_callback (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  g_object_set (task, "max-items", 1, NULL);
  strand_task_on_iter (task, cancel_in_item, told, NULL);
  strand_task_post (task, "(u)", 100000);
  wait_until (told_count_over (told) == 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (told->n_items, <, 100);
}

static Gate *the_gate;

static GVariant *
keep_cancellable (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_pointer_set ((GCancellable **) data, g_object_ref (strand_context_get_cancellable (context)));
  gate_pass (the_gate);
  strand_context_is_cancelled (context, error);
  return NULL;
}

static void
test_the_cancellable_is_cancelled (void)
{
  GCancellable *cancellable = NULL;
  g_autoptr(StrandFunction) function = strand_function_new ("test.keep", "", NULL, STRAND_TRAIT_NONE,
                                                             keep_cancellable, &cancellable, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (threads));
  g_autoptr(StrandHandle) handle = NULL;

  the_gate = fixture_gate ();
  handle = strand_task_call (task, NULL);
  wait_until (g_atomic_pointer_get (&cancellable) != NULL);
  g_assert_false (g_cancellable_is_cancelled (cancellable));
  g_assert_true (strand_handle_cancel (handle));
  wait_until (g_cancellable_is_cancelled (cancellable));
  gate_open (the_gate);
  wait_for (handle);
  check_cancelled (handle);
  g_object_unref (cancellable);
}

/* By key, through the store. */

static void
test_cancel_by_key_from_another_process (void)
{
  char *folder = fixture_make_folder ();
  g_autoptr(GSubprocess) process = fixture_spawn_call (folder, "job-1", "test.block");
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  fixture_expect_line (process, "launched");
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_store_cancel_call (store, "job-1", &error));
  g_assert_no_error (error);
  wait_for (handle);
  check_cancelled (handle);
  fixture_expect_line (process, "cancelled");
  fixture_expect_exit (process);
  g_assert_false (strand_store_cancel_call (store, "job-1", &error));
  g_assert_no_error (error);
  g_assert_false (strand_store_cancel_call (store, "nobody", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_clear_object (&handle);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

/* The other way round: a handle made from a key cancels through the store, without blocking. */
static void
test_cancel_by_a_handle_of_another_process (void)
{
  char *folder = fixture_make_folder ();
  g_autoptr(GSubprocess) process = fixture_spawn_call (folder, "job-1", "test.hold");
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandHandle) handle = NULL;

  fixture_expect_line (process, "launched");
  fixture_expect_line (process, "running");
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  g_assert_true (strand_handle_cancel (handle));
  /* test.hold ignores it; its backend's grace is over at once. */
  wait_for (handle);
  check_cancelled (handle);
  fixture_expect_line (process, "cancelled");
  g_assert_false (strand_handle_cancel (handle));
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
  g_clear_object (&handle);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

/* Its holder is gone, so whoever asks settles it. */
static void
test_cancel_of_a_call_whose_holder_died (void)
{
  char *folder = fixture_make_folder ();
  g_autoptr(GSubprocess) process = fixture_spawn_call (folder, "job-1", "test.block");
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  fixture_expect_line (process, "launched");
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
  g_assert_true (strand_store_cancel_call (store, "job-1", &error));
  g_assert_no_error (error);
  record = strand_store_get (store, "job-1", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_CANCELLED);
  wait_for (handle);
  check_cancelled (handle);
  g_clear_object (&handle);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

#define ADD(name, test) g_test_add_func ("/cancel/" name, test)

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  threads = make_runner ("thread", "workers", 2, NULL);

  ADD ("pending/never-starts", test_a_pending_call_never_starts);
  ADD ("running/is-told", test_a_running_call_is_told);
  ADD ("running/the-cancellable-is-cancelled", test_the_cancellable_is_cancelled);
  ADD ("ended/is-too-late", test_a_call_that_has_ended_is_too_late);
  ADD ("running/a-value-counts-more-than-a-request", test_a_value_counts_more_than_a_request);
  ADD ("grace/what-ignores-us-is-abandoned", test_what_ignores_us_is_abandoned_after_the_grace);
  ADD ("grace/only-so-many-are-abandoned", test_only_so_many_are_abandoned);
  ADD ("grace/may-be-for-ever", test_without_end_of_grace_nothing_is_abandoned);
  ADD ("grace/is-exact", test_grace_is_exact);
  ADD ("timeout/is-another-code", test_timeout_and_cancel_are_different_codes);
  ADD ("timeout/counts-from-the-start", test_a_timeout_counts_from_the_start);
  ADD ("timeout/a-function-knows-its-deadline", test_a_function_knows_its_deadline);
  ADD ("items/a-producer-that-waits-is-freed", test_a_producer_that_waits_for_its_consumer_is_freed);
  ADD ("race/with-completion", test_cancel_races_completion);
  ADD ("race/from-another-thread", test_cancel_from_another_thread_races_completion);
  ADD ("by/cancellable", test_cancel_by_cancellable);
  ADD ("by/its-own-callback", test_cancel_in_its_own_callback);
  ADD ("key/from-another-process", test_cancel_by_key_from_another_process);
  ADD ("key/by-a-handle-of-another-process", test_cancel_by_a_handle_of_another_process);
  ADD ("key/whose-holder-died", test_cancel_of_a_call_whose_holder_died);

  status = g_test_run ();
  close_runner (threads);
  return status;
}
