/* test-handle.c — what a handle shows, whom it tells, and how one waits for a call.
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

/* A task for a function of a test's own. */
static StrandTask *
make_task_for (StrandFunc func, gpointer data, gpointer target)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "", NULL, STRAND_TRAIT_NONE, func, data, NULL, NULL);

  return strand_task_new (function, target);
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

/* What it shows. */

static void
check_properties (StrandHandle *handle, const char *key, StrandStatus status, gboolean has_started)
{
  g_autofree char *its_key = NULL, *message = NULL;
  StrandStatus its_status;
  gboolean ready, is_over = strand_status_is_terminal (status);
  g_autoptr(GVariant) value = NULL, metadata = NULL;
  g_autoptr(GObject) object = NULL;
  g_autoptr(GError) error = NULL;
  double progress;
  guint attempt;
  gint64 created_us, started_us, completed_us, duration_us;

  g_object_get (handle, "key", &its_key, "status", &its_status, "ready", &ready, "value", &value, "object",
                &object, "error", &error, "progress", &progress, "message", &message, "attempt", &attempt,
                "created", &created_us, "started", &started_us, "completed", &completed_us, "duration",
                &duration_us, "metadata", &metadata, NULL);
  g_assert_cmpstr (its_key, ==, strand_handle_get_key (handle));
  if (key != NULL)
    g_assert_cmpstr (its_key, ==, key);
  g_assert_cmpint (its_status, ==, status);
  g_assert_cmpint (ready, ==, is_over);
  g_assert_null (object);
  g_assert_no_error (error);
  g_assert_cmpuint (attempt, ==, has_started ? 1 : 0);
  g_assert_cmpint (created_us, >, 0);
  g_assert_cmpint (started_us > 0, ==, has_started);
  g_assert_cmpint (completed_us > 0, ==, is_over);
  if (is_over)
    g_assert_cmpint (duration_us, ==, completed_us - started_us);
  else
    g_assert_cmpint (duration_us, ==, -1);
  if (is_over)
    g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "done");
  else
    g_assert_null (value);
  g_assert_true (g_variant_is_of_type (metadata, G_VARIANT_TYPE_VARDICT));
  if (has_started)
    {
      const char *colour;

      g_assert_cmpfloat (progress, ==, 0.25);
      g_assert_cmpstr (message, ==, "a quarter");
      g_assert_true (g_variant_lookup (metadata, "colour", "&s", &colour));
      g_assert_cmpstr (colour, ==, "red");
    }
  else
    {
      g_assert_cmpfloat (progress, ==, -1);
      g_assert_null (message);
      g_assert_cmpuint (g_variant_n_children (metadata), ==, 0);
    }
}

static void
test_properties_follow_the_call (void)
{
  g_autoptr(StrandTaskrunner) one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", one);
  g_autoptr(StrandTask) task = make_task ("test.progress", one);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) first = NULL, handle = NULL;

  first = strand_task_call (hold, NULL);
  handle = strand_task_call (task, NULL);
  gate_wait_inside (gate, 1);
  check_properties (handle, NULL, STRAND_STATUS_PENDING, FALSE);

  gate_open (gate);
  wait_for (first);
  wait_for (handle);
  check_properties (handle, NULL, STRAND_STATUS_COMPLETED, TRUE);
}

static void
test_properties_while_it_runs (void)
{
  g_autoptr(StrandTask) task = make_task ("test.progress", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  gate_wait_inside (gate, 1);
  check_properties (handle, NULL, STRAND_STATUS_RUNNING, TRUE);
  gate_open (gate);
  wait_for (handle);
}

static void
test_an_own_key_is_kept (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_key (options, "my.key-1");
  handle = strand_task_call_full (task, NULL, NULL, options);
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "my.key-1");
  wait_for (handle);
}

static void
test_made_keys_differ_and_keep_the_grammar (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandHandle) one = strand_task_call (task, NULL);
  g_autoptr(StrandHandle) other = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_cmpstr (strand_handle_get_key (one), !=, strand_handle_get_key (other));
  g_assert_cmpstr (strand_handle_get_key (one), ==, strand_handle_get_key (one));
  g_assert_true (strand_key_check (strand_handle_get_key (one), &error));
  g_assert_no_error (error);
  wait_for (one);
  wait_for (other);
}

static void
test_result_before_the_end_is_not_ready (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = strand_handle_get_result (handle, &error);

  g_assert_null (value);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_READY);
  g_assert_null (strand_handle_get_error (handle));
  gate_open (gate);
  wait_for (handle);
  g_clear_error (&error);
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "()");
}

static GVariant *
take_five_seconds (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_clock_advance (5 * G_USEC_PER_SEC);
  return NULL;
}

static void
test_duration_is_from_start_to_end (void)
{
  g_autoptr(StrandTask) task = make_task_for (take_five_seconds, NULL, threads);
  g_autoptr(StrandHandle) handle = NULL;
  gint64 created_us, completed_us;

  strand_clock_set_manual (G_GINT64_CONSTANT (1700000000000000));
  handle = strand_task_call (task, NULL);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_duration (handle), ==, 5 * G_USEC_PER_SEC);
  g_object_get (handle, "created", &created_us, "completed", &completed_us, NULL);
  g_assert_cmpint (created_us, ==, G_GINT64_CONSTANT (1700000000000000));
  g_assert_cmpint (completed_us, ==, G_GINT64_CONSTANT (1700000005000000));
  strand_clock_set_system ();
}

static void
test_a_handle_made_later_shows_the_same (void)
{
  g_autoptr(StrandTask) task = make_task ("test.echo", threads);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "done");
  g_autoptr(StrandHandle) other = NULL;
  g_autoptr(GVariant) value = NULL;

  wait_for (handle);
  other = strand_handle_new_for_call (strand_handle_get_call (handle));
  g_assert_true (strand_handle_is_ready (other));
  value = strand_handle_get_result (other, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "done");
}

/* Whom it tells. */

typedef struct
{
  GThread *thread;
  guint n_notified;
  guint n_progress;
  gboolean ready;
} Seen;

static void
see (GObject *handle, GParamSpec *pspec, gpointer data)
{
  Seen *seen = data;

  g_assert_true (seen->thread == g_thread_self ());
  seen->n_notified++;
  if (g_str_equal (pspec->name, "progress"))
    seen->n_progress++;
  if (g_str_equal (pspec->name, "ready"))
    seen->ready = strand_handle_is_ready (STRAND_HANDLE (handle));
}

static GVariant *
progress_until_the_gate_opens (StrandContext *context, GVariant *arguments, gpointer stop, GError **error)
{
  for (guint i = 0; !g_atomic_int_get ((int *) stop); i++)
    strand_context_set_progress (context, i % 1000 / 1000.0, NULL);
  return NULL;
}

static void
test_notify_is_at_most_thirty_times_a_second (void)
{
  int stop = FALSE;
  g_autoptr(StrandTask) task = make_task_for (progress_until_the_gate_opens, &stop, threads);
  g_autoptr(StrandHandle) handle = NULL;
  Seen seen = { g_thread_self () };
  gint64 start_us = g_get_monotonic_time (), took_us;

  handle = strand_task_call (task, NULL);
  g_signal_connect (handle, "notify", G_CALLBACK (see), &seen);
  wait_until (seen.n_progress >= 10);
  took_us = g_get_monotonic_time () - start_us;
  /* The first may come at once. */
  g_assert_cmpuint ((seen.n_progress - 1) * (guint64) G_USEC_PER_SEC, <=, (guint64) took_us * 31);
  g_atomic_int_set (&stop, TRUE);
  wait_until (seen.ready);
}

static gpointer
notify_in_a_thread (gpointer unused)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandTask) task = make_task ("test.progress", threads);
  Seen seen = { g_thread_self () };
  Gate *gate = fixture_gate ();
  StrandHandle *handle;

  g_main_context_push_thread_default (context);
  handle = strand_task_call (task, NULL);
  g_signal_connect (handle, "notify", G_CALLBACK (see), &seen);
  gate_wait_inside (gate, 1);
  wait_until (seen.n_progress > 0);
  gate_open (gate);
  wait_until (seen.ready);
  g_object_unref (handle);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_notify_is_in_the_creating_context_only (void)
{
  g_thread_join (g_thread_new ("creator", notify_in_a_thread, NULL));
}

static void
test_the_end_is_notified_even_for_calls_without_callbacks (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);

  for (guint i = 0; i < 50; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
      Seen seen = { g_thread_self () };

      g_signal_connect (handle, "notify", G_CALLBACK (see), &seen);
      wait_until (seen.ready || strand_handle_is_ready (handle));
      wait_until (seen.ready);
    }
}

static void
unref_handle (GObject *handle, GParamSpec *pspec, gpointer data)
{
  StrandHandle **slot = data;

  g_clear_object (slot);
}

static void
test_a_handle_may_go_in_its_own_notify (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);

  for (guint i = 0; i < 50; i++)
    {
      StrandHandle *handle = strand_task_call (task, NULL);

      g_signal_connect (handle, "notify::ready", G_CALLBACK (unref_handle), &handle);
      wait_until (handle == NULL);
    }
}

static gpointer
drop_handle (gpointer handle)
{
  g_object_unref (handle);
  return NULL;
}

static void
test_handles_dropped_elsewhere_while_news_is_under_way (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);

  for (guint i = 0; i < 200; i++)
    {
      StrandHandle *handle = strand_task_call (task, "(u)", 3);
      GThread *dropper;

      dropper = g_thread_new ("dropper", drop_handle, handle);
      g_main_context_iteration (NULL, FALSE);
      g_thread_join (dropper);
    }
}

/* Waiting. */

static void
test_a_wait_that_times_out_leaves_the_call_alone (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  gate_wait_inside (gate, 1);
  g_assert_false (strand_handle_wait (handle, 1000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);
  g_assert_false (strand_handle_wait (handle, 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_RUNNING);
  gate_open (gate);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_assert_true (strand_handle_wait (handle, 0, NULL));
}

typedef struct
{
  StrandHandle *handle;
  int begun; /* atomic */
  gboolean ended;
} LongWait;

static gpointer
wait_as_long_as_can_be (gpointer data)
{
  LongWait *wait = data;

  g_atomic_int_set (&wait->begun, TRUE);
  wait->ended = strand_handle_wait (wait->handle, G_MAXINT64, NULL);
  return NULL;
}

static void
test_the_longest_wait_is_for_ever (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  LongWait wait = { .handle = handle };
  GThread *thread;

  gate_wait_inside (gate, 1);
  thread = g_thread_new ("waiter", wait_as_long_as_can_be, &wait);
  wait_until (g_atomic_int_get (&wait.begun));
  gate_open (gate);
  g_thread_join (thread);
  g_assert_true (wait.ended);
}

static GVariant *
tell_deadline (StrandContext *context, GVariant *arguments, gpointer deadline_us, GError **error)
{
  *(gint64 *) deadline_us = strand_context_get_deadline (context);
  return NULL;
}

static void
test_the_longest_timeout_is_none (void)
{
  gint64 deadline_us = 0;
  g_autoptr(StrandTask) task = make_task_for (tell_deadline, &deadline_us, threads);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_timeout (options, G_MAXINT64);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (deadline_us, ==, G_MAXINT64);
}

static void
test_a_call_that_times_out_says_so (void)
{
  g_autoptr(StrandTask) task = make_task ("test.block", threads);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  strand_options_set_timeout (options, 1000);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_for (handle);
  g_assert_null (strand_handle_get_result (handle, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
}

static gboolean
count_source (gpointer data)
{
  ++*(guint *) data;
  return G_SOURCE_CONTINUE;
}

static void
test_a_wait_runs_our_callbacks_and_nothing_else (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  g_autoptr(StrandTask) other = make_task ("test.nothing", threads);
  g_autoptr(Told) told = told_new (), told_other = told_new ();
  g_autoptr(StrandHandle) handle = NULL;
  guint n_idles = 0;
  guint idle = g_idle_add_full (G_PRIORITY_HIGH, count_source, &n_idles, NULL);

  told_listen (told, task);
  told_listen (told_other, other);
  strand_task_post (other, NULL);
  /* More items than fit: without callbacks meanwhile this would never end. */
  g_object_set (task, "max-items", 4, NULL);
  handle = strand_task_call (task, "(u)", 1000);
  wait_for (handle);
  g_assert_cmpuint (told->n_items, ==, 1000);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_assert_cmpuint (n_idles, ==, 0);
  g_source_remove (idle);
  wait_until (told_other->n_ends == 1);
}

typedef struct
{
  StrandHandle *handle;
  Told *told;
} Waiter;

static gpointer
wait_elsewhere (gpointer data)
{
  Waiter *waiter = data;
  g_autoptr(GMainContext) context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  wait_for (waiter->handle);
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_a_wait_elsewhere_runs_none_of_our_callbacks (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;
  Waiter waiter;

  told_listen (told, task);
  handle = strand_task_call (task, NULL);
  waiter = (Waiter){ handle, told };
  g_thread_join (g_thread_new ("waiter", wait_elsewhere, &waiter));
  g_assert_cmpuint (told_count_over (told), ==, 0);
  wait_until (told->n_ends == 1);
  g_assert_true (told->thread == g_thread_self ());
}

static gpointer
wait_in_vain (gpointer data)
{
  wait_for (data);
  return NULL;
}

static void
test_many_may_wait_for_one_call (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  GThread *waiters[8];

  for (guint i = 0; i < G_N_ELEMENTS (waiters); i++)
    waiters[i] = g_thread_new ("waiter", wait_in_vain, handle);
  gate_wait_inside (gate, 1);
  gate_open (gate);
  for (guint i = 0; i < G_N_ELEMENTS (waiters); i++)
    g_thread_join (waiters[i]);
  wait_for (handle);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_wait_async_gives_the_value (void)
{
  g_autoptr(StrandTask) task = make_task ("test.echo", threads);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "x");

  for (guint i = 0; i < 2; i++) /* before the end, perhaps; after it, surely */
    {
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = NULL;

      strand_handle_wait_async (handle, NULL, keep_result, &result);
      g_assert_null (result);
      wait_until (result != NULL);
      value = strand_handle_wait_finish (handle, result, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "x");
    }
}

static void
test_wait_async_can_be_cancelled_alone (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  gate_wait_inside (gate, 1);
  for (guint i = 0; i < 2; i++) /* cancelled later, then before it begins */
    {
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;

      if (i == 1)
        g_cancellable_cancel (cancellable);
      strand_handle_wait_async (handle, cancellable, keep_result, &result);
      g_cancellable_cancel (cancellable);
      wait_until (result != NULL);
      g_assert_null (strand_handle_wait_finish (handle, result, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_RUNNING);
  gate_open (gate);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

static void
count_cancelled (GObject *handle, GAsyncResult *result, gpointer n)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_handle_wait_finish (STRAND_HANDLE (handle), result, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  ++*(guint *) n;
}

#define N_WAITS 2000

typedef struct
{
  StrandHandle *handle;
  GCancellable *cancellable;
  guint n_ended;
} Waits;

static gpointer
begin_waits (gpointer data)
{
  Waits *waits = data;

  for (guint i = 0; i < N_WAITS; i++)
    strand_handle_wait_async (waits->handle, waits->cancellable, count_cancelled, &waits->n_ended);
  return NULL;
}

/* A thread without a main context of its own waits in the default one, so that another may end its wait at
 * once. */
static void
test_wait_async_may_end_while_it_begins (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold", threads);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  Waits waits = { handle, cancellable, 0 };
  GThread *thread;

  gate_wait_inside (gate, 1);
  g_cancellable_cancel (cancellable);
  thread = g_thread_new ("beginner", begin_waits, &waits);
  wait_until (waits.n_ended == N_WAITS);
  g_thread_join (thread);
  gate_open (gate);
  wait_for (handle);
  g_assert_cmpuint (waits.n_ended, ==, N_WAITS);
}

static void
test_wait_async_gives_the_calls_error (void)
{
  g_autoptr(StrandTask) task = make_task ("test.fail", threads);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "no tree");
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  strand_handle_wait_async (handle, NULL, keep_result, &result);
  wait_until (result != NULL);
  g_assert_null (strand_handle_wait_finish (handle, result, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

/* Waits that could never end. */

typedef struct
{
  StrandHandle *handle;
  GError *error;
  gboolean done;
} Deadlock;

static gboolean
wait_for_own_call_in_on_iter (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Deadlock *deadlock = data;

  if (!deadlock->done)
    g_assert_false (strand_handle_wait (deadlock->handle, -1, &deadlock->error));
  deadlock->done = TRUE;
  return TRUE;
}

static void
test_waiting_in_a_callback_for_its_own_call (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  Deadlock deadlock = { 0 };

  g_object_set (task, "max-items", 1, NULL);
  strand_task_on_iter (task, wait_for_own_call_in_on_iter, &deadlock, NULL);
  deadlock.handle = strand_task_call (task, "(u)", 100);
  wait_until (deadlock.done);
  g_assert_error (deadlock.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  wait_for (deadlock.handle);
  g_object_unref (deadlock.handle);
  g_clear_error (&deadlock.error);
}

static void
wait_for_another_call (StrandCall *call, GVariant *value, gpointer data)
{
  StrandTask *task = data;
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_for (handle);
  g_object_set_data (G_OBJECT (task), "done", task);
}

static void
test_waiting_in_a_callback_for_another_call_is_fine (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandTask) inner = make_task ("test.nothing", threads);
  g_autoptr(Told) told = told_new ();

  told_listen (told, inner);
  strand_task_on_end (task, wait_for_another_call, inner, NULL);
  strand_task_post (task, NULL);
  wait_until (g_object_get_data (G_OBJECT (inner), "done") != NULL);
  g_assert_cmpuint (told->n_ends, ==, 1);
}

static GVariant *
wait_on_the_same_pool (StrandContext *context, GVariant *arguments, gpointer target, GError **error)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", target);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  strand_handle_wait (handle, -1, error);
  return NULL;
}

/* The only worker runs what it waits for itself. */
static void
test_waiting_on_the_pool_that_must_run_it (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task_for (wait_on_the_same_pool, one, one);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_for (handle);
  g_assert_no_error (strand_handle_get_error (handle));
  g_clear_object (&task);
  close_runner (one);
}

typedef struct
{
  StrandTaskrunner *runner;
  StrandHandle *outer; /* atomic */
  GError *error;
} Nested;

static GVariant *
wait_for_the_one_below (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Nested *nested = data;

  g_assert_false (strand_handle_wait (nested->outer, -1, &nested->error));
  return NULL;
}

static GVariant *
wait_for_one_that_waits_for_us (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Nested *nested = data;
  g_autoptr(StrandTask) task = make_task_for (wait_for_the_one_below, nested, nested->runner);
  g_autoptr(StrandHandle) handle = NULL;

  wait_still (g_atomic_pointer_get (&nested->outer) != NULL);
  handle = strand_task_call (task, NULL);
  strand_handle_wait (handle, -1, error);
  return NULL;
}

static void
test_waiting_for_a_call_that_stands_below (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  Nested nested = { one, NULL, NULL };
  g_autoptr(StrandTask) task = make_task_for (wait_for_one_that_waits_for_us, &nested, one);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  g_atomic_pointer_set (&nested.outer, handle);
  wait_for (handle);
  g_assert_no_error (strand_handle_get_error (handle));
  g_assert_error (nested.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_error (&nested.error);
  g_clear_object (&task);
  close_runner (one);
}

static GVariant *
wait_on_another_pool (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return wait_on_the_same_pool (context, arguments, threads, error);
}

static void
test_waiting_on_another_pool_is_fine (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task_for (wait_on_another_pool, NULL, one);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&task);
  close_runner (one);
}

static GVariant *
wait_for_oneself (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  StrandHandle **handle = data;

  wait_still (g_atomic_pointer_get (handle) != NULL);
  strand_handle_wait (*handle, -1, error);
  return NULL;
}

static void
test_a_function_that_waits_for_its_own_call (void)
{
  StrandHandle *handle = NULL;
  g_autoptr(StrandTask) task = make_task_for (wait_for_oneself, &handle, threads);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) own = strand_task_call (task, NULL);

  g_atomic_pointer_set (&handle, own);
  wait_for (own);
  g_assert_null (strand_handle_get_result (own, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
}

/* From a key. */

static void
test_unknown_and_bad_keys (void)
{
  char *folder = fixture_make_folder ();
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autofree char *long_key = g_strnfill (4096, 'k');
  const char *const bad[] = { "../x", "", ".hidden", "a/b", "a b", long_key };
  g_autoptr(GError) error = NULL;
  g_autoptr(GAsyncResult) result = NULL;

  g_assert_null (strand_handle_new (store, "nobody", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "'nobody'"));
  g_clear_error (&error);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_null (strand_handle_new (store, bad[i], &error));
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
      g_clear_error (&error);
    }
  strand_handle_new_async (store, "nobody", NULL, keep_result, &result);
  wait_until (result != NULL);
  g_assert_null (strand_handle_new_finish (result, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

static gboolean
has_metadata (StrandHandle *handle)
{
  g_autoptr(GVariant) metadata = strand_handle_dup_metadata (handle);

  return g_variant_n_children (metadata) > 0;
}

static void
test_a_key_of_another_process (void)
{
  char *folder = fixture_make_folder ();
  g_autoptr(GSubprocess) process = fixture_spawn_call (folder, "job-1", "test.progress");
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandHandle) handle = NULL, late = NULL;
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;
  Seen seen = { g_thread_self () };

  fixture_expect_line (process, "launched");
  fixture_expect_line (process, "running");
  /* The record follows when the other process gets round to it. */
  strand_handle_new_async (store, "job-1", NULL, keep_result, &result);
  wait_until (result != NULL);
  handle = strand_handle_new_finish (result, &error);
  g_assert_no_error (error);
  g_signal_connect (handle, "notify", G_CALLBACK (see), &seen);
  wait_until (strand_handle_get_progress (handle) == 0.25);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  wait_until (has_metadata (handle)); /* the function sets it last, perhaps in a record of its own */
  check_properties (handle, "job-1", STRAND_STATUS_RUNNING, TRUE);

  fixture_send_line (process);
  wait_until (seen.ready);
  check_properties (handle, "job-1", STRAND_STATUS_COMPLETED, TRUE);
  fixture_expect_line (process, "completed");
  fixture_expect_exit (process);

  late = strand_handle_new (store, "job-1", &error);
  g_assert_no_error (error);
  check_properties (late, "job-1", STRAND_STATUS_COMPLETED, TRUE);
  value = strand_handle_get_result (late, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "done");
  g_clear_object (&handle);
  g_clear_object (&late);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

/* A blocking wait, and the duration as the record says it. */
static void
test_waiting_for_a_call_of_another_process (void)
{
  char *folder = fixture_make_folder ();
  g_autoptr(GSubprocess) process = fixture_spawn_call (folder, "job-1", "test.hold");
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  fixture_expect_line (process, "launched");
  fixture_expect_line (process, "running");
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  g_assert_false (strand_handle_wait (handle, 1000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  fixture_send_line (process);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  fixture_expect_line (process, "completed");
  fixture_expect_exit (process);
  g_clear_object (&handle);
  strand_store_close (store);
  g_object_unref (store);
  fixture_remove_folder (folder);
}

static void
test_an_error_of_another_process_arrives_whole (void)
{
  char *folder = fixture_make_folder ();
  StrandStore *store = make_store ("filesystem", "path", folder, NULL);
  StrandBackend *backend = fixture_backend (store);
  g_autoptr(StrandTask) task = make_task ("test.fail", backend);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "no tree");
  g_autoptr(StrandHandle) other = NULL;
  StrandStore *other_store = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(GError) error = NULL;

  wait_for (handle);
  g_assert_error (strand_handle_get_error (handle), G_FILE_ERROR, G_FILE_ERROR_NOENT);
  other = strand_handle_new (other_store, strand_handle_get_key (handle), &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_handle_get_status (other), ==, STRAND_STATUS_FAILED);
  g_assert_error (strand_handle_get_error (other), G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpstr (strand_handle_get_error (other)->message, ==, "no tree");
  close_backend (backend);
  g_clear_object (&other);
  g_clear_object (&handle);
  g_object_unref (store);
  strand_store_close (other_store);
  g_object_unref (other_store);
  fixture_remove_folder (folder);
}

static void
test_a_record_that_vanishes (void)
{
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandRecord) record = strand_record_new ("gone");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "test.nothing");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "q");
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  g_assert_true (strand_store_put (store, record, 0, &error));
  g_assert_no_error (error);
  handle = strand_handle_new (store, "gone", &error);
  g_assert_no_error (error);
  g_assert_true (strand_store_remove (store, "gone", 0, &error));
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

/* As an import or another language may leave one. */
static void
test_a_record_without_a_function_is_shown (void)
{
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandRecord) record = strand_record_new ("job-1");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  g_assert_true (strand_store_put (store, record, 0, &error));
  handle = strand_handle_new (store, "job-1", &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

#define ADD(name, test) g_test_add_func ("/handle/" name, test)

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  threads = make_runner ("thread", "workers", 2, NULL);

  ADD ("show/properties-follow-the-call", test_properties_follow_the_call);
  ADD ("show/properties-while-it-runs", test_properties_while_it_runs);
  ADD ("show/an-own-key-is-kept", test_an_own_key_is_kept);
  ADD ("show/made-keys-differ-and-keep-the-grammar", test_made_keys_differ_and_keep_the_grammar);
  ADD ("show/result-before-the-end-is-not-ready", test_result_before_the_end_is_not_ready);
  ADD ("show/duration-is-from-start-to-end", test_duration_is_from_start_to_end);
  ADD ("show/a-record-without-a-function", test_a_record_without_a_function_is_shown);
  ADD ("show/a-handle-made-later-shows-the-same", test_a_handle_made_later_shows_the_same);
  ADD ("notify/at-most-thirty-times-a-second", test_notify_is_at_most_thirty_times_a_second);
  ADD ("notify/in-the-creating-context-only", test_notify_is_in_the_creating_context_only);
  ADD ("notify/the-end-also-without-callbacks", test_the_end_is_notified_even_for_calls_without_callbacks);
  ADD ("notify/a-handle-may-go-in-it", test_a_handle_may_go_in_its_own_notify);
  ADD ("notify/handles-dropped-elsewhere", test_handles_dropped_elsewhere_while_news_is_under_way);
  ADD ("wait/times-out-and-leaves-the-call-alone", test_a_wait_that_times_out_leaves_the_call_alone);
  ADD ("wait/the-longest-is-for-ever", test_the_longest_wait_is_for_ever);
  ADD ("wait/the-longest-timeout-is-none", test_the_longest_timeout_is_none);
  ADD ("wait/a-call-that-times-out-says-so", test_a_call_that_times_out_says_so);
  ADD ("wait/runs-our-callbacks-and-nothing-else", test_a_wait_runs_our_callbacks_and_nothing_else);
  ADD ("wait/elsewhere-runs-none-of-our-callbacks", test_a_wait_elsewhere_runs_none_of_our_callbacks);
  ADD ("wait/many-for-one-call", test_many_may_wait_for_one_call);
  ADD ("wait/async-gives-the-value", test_wait_async_gives_the_value);
  ADD ("wait/async-can-be-cancelled-alone", test_wait_async_can_be_cancelled_alone);
  ADD ("wait/async-may-end-while-it-begins", test_wait_async_may_end_while_it_begins);
  ADD ("wait/async-gives-the-calls-error", test_wait_async_gives_the_calls_error);
  ADD ("deadlock/in-a-callback-for-its-own-call", test_waiting_in_a_callback_for_its_own_call);
  ADD ("deadlock/not-in-a-callback-for-another-call", test_waiting_in_a_callback_for_another_call_is_fine);
  ADD ("deadlock/not-on-the-pool-that-must-run-it", test_waiting_on_the_pool_that_must_run_it);
  ADD ("deadlock/for-a-call-that-stands-below", test_waiting_for_a_call_that_stands_below);
  ADD ("deadlock/not-on-another-pool", test_waiting_on_another_pool_is_fine);
  ADD ("deadlock/a-function-that-waits-for-its-own-call", test_a_function_that_waits_for_its_own_call);
  ADD ("key/unknown-and-bad", test_unknown_and_bad_keys);
  ADD ("key/of-another-process", test_a_key_of_another_process);
  ADD ("key/waiting-for-another-process", test_waiting_for_a_call_of_another_process);
  ADD ("key/an-error-arrives-whole", test_an_error_of_another_process_arrives_whole);
  ADD ("key/a-record-that-vanishes", test_a_record_that_vanishes);

  status = g_test_run ();
  close_runner (threads);
  return status;
}
