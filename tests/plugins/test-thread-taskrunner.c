/* test-thread-taskrunner.c — a bounded pool: how many at once, what happens when it is full, and how it ends.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

static StrandTask *
make_task (const char *name, gpointer runner)
{
  g_autoptr(StrandFunction) function = fixture_function (name);

  return strand_task_new (function, runner);
}

static StrandTask *
make_task_for (StrandFunc func, gpointer data, gpointer runner)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "-> t", NULL, STRAND_TRAIT_NONE, func, data, NULL, NULL);

  return strand_task_new (function, runner);
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

/* How many run at once. */

typedef struct
{
  int n_now;  /* atomic */
  int n_most; /* atomic */
} Crowd;

static GVariant *
join_the_crowd (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Crowd *crowd = data;
  int n = g_atomic_int_add (&crowd->n_now, 1) + 1, most;

  do
    most = g_atomic_int_get (&crowd->n_most);
  while (n > most && !g_atomic_int_compare_and_exchange (&crowd->n_most, most, n));
  for (guint i = 0; i < 100; i++)
    g_thread_yield ();
  g_atomic_int_add (&crowd->n_now, -1);
  return g_variant_new_uint64 (0);
}

static void
test_never_more_than_workers_at_once (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 3, NULL);
  Crowd crowd = { 0, 0 };
  g_autoptr(StrandTask) task = make_task_for (join_the_crowd, &crowd, runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 2000; i++)
    strand_task_post (task, NULL);
  wait_until (told_count_over (told) == 2000);
  g_assert_cmpuint (told->n_ends, ==, 2000);
  g_assert_cmpint (crowd.n_most, <=, 3);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_all_workers_are_used (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 4, NULL);
  g_autoptr(StrandTask) task = make_task ("test.hold", runner);
  g_autoptr(Told) told = told_new ();
  Gate *gate = fixture_gate ();

  told_listen (told, task);
  for (guint i = 0; i < 4; i++)
    strand_task_post (task, NULL);
  gate_wait_inside (gate, 4); /* each holds a thread */
  gate_open (gate);
  wait_until (told_count_over (told) == 4);
  g_clear_object (&task);
  close_runner (runner);
}

/* One worker keeps the order. */
static GVariant *
note_place (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint *next = data;

  return g_variant_new_uint64 ((*next)++);
}

static void
check_place (StrandCall *call, GVariant *value, gpointer data)
{
  guint *n_ended = data;

  g_assert_cmpuint (g_variant_get_uint64 (value), ==, (*n_ended)++);
}

static void
test_one_worker_runs_in_order (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  guint next = 0, n_ended = 0;
  g_autoptr(StrandTask) task = make_task_for (note_place, &next, runner);

  strand_task_on_end (task, check_place, &n_ended, NULL);
  for (guint i = 0; i < 10000; i++)
    strand_task_post (task, NULL);
  wait_until (n_ended == 10000);
  g_clear_object (&task);
  close_runner (runner);
}

static StrandHandle *
call_with_priority (StrandTask *task, int priority)
{
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_priority (options, priority);
  return strand_task_call_full (task, NULL, NULL, options);
}

/* Makes calls while the only worker is busy; then checks in which places they were taken. */
static void
check_places (const int *priorities, const guint *places, guint n)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", runner);
  guint next = 0;
  g_autoptr(StrandTask) task = make_task_for (note_place, &next, runner);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) held = strand_task_call (hold, NULL);

  gate_wait_inside (gate, 1);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (handles, call_with_priority (task, priorities[i]));
  gate_open (gate);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr(GVariant) place = NULL;

      wait_for (handles->pdata[i]);
      place = strand_handle_get_result (handles->pdata[i], NULL);
      g_assert_cmpuint (g_variant_get_uint64 (place), ==, places[i]);
    }
  g_ptr_array_set_size (handles, 0);
  wait_for (held);
  g_clear_object (&hold);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_higher_priorities_go_first (void)
{
  const int priorities[] = { 0, -3, 5, 1, 0, 5, G_MININT, G_MAXINT, -3 };
  const guint places[] = { 4, 6, 1, 3, 5, 2, 8, 0, 7 };

  check_places (priorities, places, G_N_ELEMENTS (priorities));
}

/* Of each sixteen, one is taken from the other end. */
static void
test_no_priority_waits_for_ever (void)
{
  int priorities[40];
  guint places[40];

  /* The first 34 are urgent; then five of the line and one that is less than that. */
  for (guint i = 0; i < 40; i++)
    {
      priorities[i] = i < 34 ? 1 : i < 39 ? 0 : -1;
      places[i] = i < 15 ? i : i + 1;
    }
  for (guint i = 30; i < 34; i++)
    places[i] = i + 2;
  places[39] = 15; /* the sixteenth that is taken */
  places[34] = 31; /* the thirty-second */
  for (guint i = 35; i < 39; i++)
    places[i] = i + 1;
  check_places (priorities, places, G_N_ELEMENTS (priorities));
}

/* A sleeper is woken for each call, however the pauses fall: a lost wake-up would hang. */
static void
test_no_wake_up_is_lost (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 1; i <= 20000; i++)
    {
      strand_task_post (task, NULL);
      for (guint j = 0; j < i % 97; j++)
        g_atomic_int_get (&told->n_ends);
      if (i % 3 != 0)
        continue;
      while (told_count_over (told) < i)
        g_main_context_iteration (NULL, TRUE);
    }
  wait_until (told_count_over (told) == 20000);
  g_clear_object (&task);
  close_runner (runner);
}

/* At the limit. */

static void
test_the_owner_of_a_context_gets_full (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, "max-queued", 2, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", runner), task = make_task ("test.nothing", runner);
  g_autoptr(StrandHandle) first = NULL, two = NULL, three = NULL, four = NULL;
  Gate *gate = fixture_gate ();

  first = strand_task_call (hold, NULL);
  gate_wait_inside (gate, 1);
  two = strand_task_call (task, NULL);
  three = strand_task_call (task, NULL);
  four = strand_task_call (task, NULL);
  wait_for (four);
  g_assert_error (strand_handle_get_error (four), STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_nonnull (strstr (strand_handle_get_error (four)->message, "max-queued"));
  gate_open (gate);
  wait_for (two);
  wait_for (three);
  wait_for (first);
  g_assert_cmpint (strand_handle_get_status (three), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&hold);
  g_clear_object (&task);
  close_runner (runner);
}

typedef struct
{
  StrandTask *task;
  int n_called; /* atomic */
  int n_failed;
} Producer;

static gpointer
produce (gpointer data)
{
  Producer *producer = data;

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (producer->task, NULL);

      g_atomic_int_inc (&producer->n_called);
      g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
      if (strand_handle_get_error (handle) != NULL)
        producer->n_failed++;
    }
  return NULL;
}

static void
test_a_thread_without_a_context_waits_for_room (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, "max-queued", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", runner), task = make_task ("test.nothing", runner);
  g_autoptr(StrandHandle) first = NULL, filler = NULL;
  Gate *gate = fixture_gate ();
  Producer producer = { task, 0, 0 };
  GThread *thread;

  first = strand_task_call (hold, NULL);
  gate_wait_inside (gate, 1);
  filler = strand_task_call (task, NULL);
  thread = g_thread_new ("producer", produce, &producer);
  for (guint i = 0; i < 50; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpint (g_atomic_int_get (&producer.n_called), ==, 0); /* there is no room */
  gate_open (gate);
  g_thread_join (thread);
  g_assert_cmpint (producer.n_called, ==, 10);
  g_assert_cmpint (producer.n_failed, ==, 0);
  wait_for (first);
  wait_for (filler);
  g_clear_object (&hold);
  g_clear_object (&task);
  close_runner (runner);
}

/* Tasks that wait on tasks. */

typedef struct
{
  StrandTask *task; /* of the function itself */
} Fibonacci;

static GVariant *
fibonacci (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Fibonacci *self = data;
  g_autoptr(StrandHandle) one = NULL, two = NULL;
  g_autoptr(GVariant) a = NULL, b = NULL;
  guint64 n;

  g_variant_get (arguments, "(t)", &n);
  if (n < 2)
    return g_variant_new_uint64 (n);
  one = strand_task_call (self->task, "(t)", n - 1);
  two = strand_task_call (self->task, "(t)", n - 2);
  if (!strand_handle_wait (one, -1, error) || !strand_handle_wait (two, -1, error))
    return NULL;
  a = strand_handle_get_result (one, error);
  b = a != NULL ? strand_handle_get_result (two, error) : NULL;
  if (b == NULL)
    return NULL;
  return g_variant_new_uint64 (g_variant_get_uint64 (a) + g_variant_get_uint64 (b));
}

/* GTask's pool of ten livelocks here. */
static void
test_tasks_that_wait_on_tasks_of_the_same_pool (void)
{
  for (guint workers = 1; workers <= 3; workers++)
    {
      StrandTaskrunner *runner = make_runner ("thread", "workers", workers, NULL);
      Fibonacci self;
      g_autoptr(StrandFunction) function = strand_function_new (
          "test.fibonacci", "n:t -> t", NULL, STRAND_TRAIT_NONE, fibonacci, &self, NULL, NULL);
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) value = NULL;

      self.task = strand_task_new (function, G_OBJECT (runner));
      handle = strand_task_call (self.task, "(t)", (guint64) 12);
      wait_for (handle);
      g_assert_no_error (strand_handle_get_error (handle));
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpuint (g_variant_get_uint64 (value), ==, 144);
      g_object_unref (self.task);
      close_runner (runner);
    }
}

/* An end. */

static void
test_close_drains (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) late = NULL;
  g_autoptr(GError) error = NULL;

  told_listen (told, task);
  for (guint i = 0; i < 1000; i++)
    strand_task_post (task, NULL);
  g_assert_true (strand_taskrunner_close (runner, -1, &error));
  g_assert_no_error (error);
  late = strand_task_call (task, NULL);
  wait_until (told_count_over (told) == 1001);
  g_assert_cmpuint (told->n_ends, ==, 1000);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_clear_object (&task);
  g_object_unref (runner);
}

static void
test_close_cancels_at_its_deadline (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("test.block", runner);
  g_autoptr(StrandHandle) running = strand_task_call (task, NULL), pending = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  wait_until (strand_handle_get_status (running) == STRAND_STATUS_RUNNING);
  g_assert_false (strand_taskrunner_close (runner, strand_clock_monotonic_us () + 1000, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "2"));
  wait_for (running);
  wait_for (pending);
  g_assert_cmpint (strand_handle_get_status (running), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (strand_handle_get_status (pending), ==, STRAND_STATUS_CANCELLED);
  g_clear_object (&task);
  g_object_unref (runner);
}

/* At its deadline, close cancels what is just ending: whoever wins, nothing is used after it is gone. */
static void
test_close_races_the_end_of_calls (void)
{
  for (guint i = 0; i < 200; i++)
    {
      StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
      g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
      g_autoptr(Told) told = told_new ();

      g_object_set (task, "on-runner", TRUE, NULL);
      told_listen (told, task);
      for (guint j = 0; j < 50; j++)
        strand_task_post (task, NULL);
      strand_taskrunner_close (runner, strand_clock_monotonic_us () + i % 50, NULL);
      wait_until (told_count_over (told) == 50);
      g_clear_object (&task);
      g_object_unref (runner);
    }
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_close_without_blocking (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("test.hold", runner);
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;
  Gate *gate = fixture_gate ();

  strand_task_post (task, NULL);
  gate_wait_inside (gate, 1);
  strand_taskrunner_close_async (runner, -1, NULL, keep_result, &result);
  for (guint i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_null (result);
  gate_open (gate);
  wait_until (result != NULL);
  g_assert_true (strand_taskrunner_close_finish (runner, result, &error));
  g_assert_no_error (error);
  g_clear_object (&task);
  g_object_unref (runner);
}

static void
test_a_runner_may_go_with_calls_in_flight (void)
{
  for (guint i = 0; i < 50; i++)
    {
      StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
      StrandTask *task = make_task ("test.nothing", runner);
      g_autoptr(Told) told = told_new ();

      told_listen (told, task);
      for (guint j = 0; j < 100; j++)
        strand_task_post (task, NULL);
      g_object_unref (runner);
      g_object_unref (task);
      wait_until (told_count_over (told) == 100);
      g_assert_cmpuint (told->n_ends, ==, 100);
    }
}

static void
drop_runner (StrandCall *call, GVariant *value, gpointer data)
{
  StrandTaskrunner *runner = g_atomic_pointer_exchange ((StrandTaskrunner **) data, NULL);

  g_object_unref (runner);
}

/* The last reference goes on the runner's own thread, which cannot wait for itself. */
static void
test_a_runner_may_go_on_its_own_thread (void)
{
  for (guint i = 0; i < 50; i++)
    {
      StrandTaskrunner *runner = make_runner ("thread", "workers", 1, NULL);
      StrandTask *task = make_task ("test.nothing", runner);

      g_object_set (task, "on-runner", TRUE, NULL);
      strand_task_on_end (task, drop_runner, &runner, NULL);
      strand_task_post (task, NULL);
      g_object_unref (task);
      wait_until (g_atomic_pointer_get (&runner) == NULL);
    }
}

static void
test_each_runner_has_threads_of_its_own (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  StrandTaskrunner *other = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", one), task = make_task ("test.nothing", other);
  g_autoptr(StrandHandle) held = NULL, handle = NULL;
  Gate *gate = fixture_gate ();

  held = strand_task_call (hold, NULL);
  gate_wait_inside (gate, 1);
  handle = strand_task_call (task, NULL);
  wait_for (handle);
  gate_open (gate);
  wait_for (held);
  g_clear_object (&hold);
  g_clear_object (&task);
  close_runner (one);
  close_runner (other);
}

#define ADD(name, test) g_test_add_func ("/thread/" name, test)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD ("pool/never-more-than-workers-at-once", test_never_more_than_workers_at_once);
  ADD ("pool/all-workers-are-used", test_all_workers_are_used);
  ADD ("pool/one-worker-runs-in-order", test_one_worker_runs_in_order);
  ADD ("priority/higher-goes-first", test_higher_priorities_go_first);
  ADD ("priority/none-waits-for-ever", test_no_priority_waits_for_ever);
  ADD ("pool/no-wake-up-is-lost", test_no_wake_up_is_lost);
  ADD ("pool/each-runner-has-its-own", test_each_runner_has_threads_of_its_own);
  ADD ("full/the-owner-of-a-context-is-told", test_the_owner_of_a_context_gets_full);
  ADD ("full/other-threads-wait-for-room", test_a_thread_without_a_context_waits_for_room);
  ADD ("nested/tasks-that-wait-on-tasks", test_tasks_that_wait_on_tasks_of_the_same_pool);
  ADD ("end/close-drains", test_close_drains);
  ADD ("end/close-cancels-at-its-deadline", test_close_cancels_at_its_deadline);
  ADD ("end/close-races-the-end-of-calls", test_close_races_the_end_of_calls);
  ADD ("end/close-without-blocking", test_close_without_blocking);
  ADD ("end/may-go-with-calls-in-flight", test_a_runner_may_go_with_calls_in_flight);
  ADD ("end/may-go-on-its-own-thread", test_a_runner_may_go_on_its_own_thread);

  return g_test_run ();
}
