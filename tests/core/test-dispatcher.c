/* test-dispatcher.c — many calls at once: their order, their limit, their end, and the list that shows them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>

static StrandTaskrunner *threads;

typedef struct
{
  GMutex lock; /* guards the rest */
  GArray *order;
  guint n_now;
  guint n_most;
} Traffic;

static Traffic traffic;

/* test.pass n:u -> u: notes that it has started, how many run beside it, and lets others have a turn. */
static GVariant *
pass (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n;

  g_variant_get (arguments, "(u)", &n);
  g_mutex_lock (&traffic.lock);
  g_array_append_val (traffic.order, n);
  traffic.n_now++;
  traffic.n_most = MAX (traffic.n_most, traffic.n_now);
  g_mutex_unlock (&traffic.lock);
  for (guint i = 0; i < 20; i++)
    g_thread_yield ();
  g_mutex_lock (&traffic.lock);
  traffic.n_now--;
  g_mutex_unlock (&traffic.lock);
  return g_variant_new_uint32 (n);
}

static void
forget_traffic (void)
{
  g_mutex_lock (&traffic.lock);
  g_array_set_size (traffic.order, 0);
  traffic.n_now = traffic.n_most = 0;
  g_mutex_unlock (&traffic.lock);
}

static void
assert_passed_in_order (guint n)
{
  g_assert_cmpuint (traffic.order->len, ==, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint (g_array_index (traffic.order, guint, i), ==, i);
}

static StrandTask *
make_task (const char *function, gpointer target)
{
  g_autoptr(StrandFunction) callee = fixture_function (function);

  return strand_task_new (callee, target);
}

static StrandTask *
make_task_for (StrandFunc func, gpointer data, gpointer target)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "", NULL, STRAND_TRAIT_NONE, func, data, NULL, NULL);

  return strand_task_new (function, target);
}

static StrandTaskDispatcher *
make_dispatcher (guint max_running)
{
  StrandTaskDispatcher *dispatcher = strand_task_dispatcher_new (NULL);

  g_object_set (dispatcher, "max-running", max_running, NULL);
  return dispatcher;
}

static void
run (StrandTaskDispatcher *dispatcher)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_task_dispatcher_run (dispatcher, DEADLINE_US, &error));
  g_assert_no_error (error);
  g_assert_true (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
}

static void
enqueue_passes (StrandTaskDispatcher *dispatcher, StrandTask *task, guint n)
{
  for (guint i = 0; i < n; i++)
    strand_task_dispatcher_enqueue_task (dispatcher, task, g_variant_new ("(u)", i));
}

static void
assert_results_count_up (StrandTaskDispatcher *dispatcher, guint n)
{
  g_autoptr(GPtrArray) results = strand_task_dispatcher_dup_results (dispatcher);

  g_assert_cmpuint (results->len, ==, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpuint (g_variant_get_uint32 (results->pdata[i]), ==, i);
}

/* Order; the originals' faults. */

static void
test_calls_start_in_the_order_of_enqueuing (void)
{
  g_autoptr(StrandTaskrunner) one = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandTask) task = make_task ("test.pass", one);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);

  forget_traffic ();
  enqueue_passes (dispatcher, task, 100);
  run (dispatcher);
  assert_passed_in_order (100);
  assert_results_count_up (dispatcher, 100);
}

static void
test_calls_behind_a_limit_start_in_order_too (void)
{
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);

  forget_traffic ();
  enqueue_passes (dispatcher, task, 300);
  run (dispatcher);
  assert_passed_in_order (300);
  g_assert_cmpuint (traffic.n_most, ==, 1);
}

static void
test_two_dispatchers_share_no_results (void)
{
  g_autoptr(StrandTaskDispatcher) one = make_dispatcher (0), other = make_dispatcher (0);
  g_autoptr(GPtrArray) ones = NULL, others = NULL;

  strand_task_dispatcher_enqueue (one, "test.echo", "(s)", "one");
  strand_task_dispatcher_enqueue (other, "test.echo", "(s)", "other");
  strand_task_dispatcher_enqueue (other, "test.echo", "(s)", "more");
  run (one);
  run (other);
  ones = strand_task_dispatcher_dup_results (one);
  others = strand_task_dispatcher_dup_results (other);
  g_assert_cmpuint (ones->len, ==, 1);
  g_assert_cmpuint (others->len, ==, 2);
  g_assert_cmpstr (g_variant_get_string (ones->pdata[0], NULL), ==, "one");
  g_assert_cmpstr (g_variant_get_string (others->pdata[0], NULL), ==, "other");
  g_assert_cmpstr (g_variant_get_string (others->pdata[1], NULL), ==, "more");
}

/* The first to be made ends last. */
static void
test_results_are_in_call_order_whichever_ends_first (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTask) echo = make_task ("test.echo", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  Gate *gate = fixture_gate ();
  g_autoptr(GPtrArray) early = NULL, results = NULL;
  StrandHandle *second;

  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  second = strand_task_dispatcher_enqueue_task (dispatcher, echo, g_variant_new ("(s)", "second"));
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 2);
  g_assert_true (strand_handle_wait (second, DEADLINE_US, NULL));
  g_assert_false (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  early = strand_task_dispatcher_dup_results (dispatcher);
  g_assert_null (early->pdata[0]);
  g_assert_cmpstr (g_variant_get_string (early->pdata[1], NULL), ==, "second");

  gate_open (gate);
  run (dispatcher);
  results = strand_task_dispatcher_dup_results (dispatcher);
  g_assert_true (g_variant_is_of_type (results->pdata[0], G_VARIANT_TYPE_UNIT));
  g_assert_cmpstr (g_variant_get_string (results->pdata[1], NULL), ==, "second");
}

/* Nothing has dispatched a callback when the results are there. */
static void
test_results_follow_the_calls_and_not_the_callbacks (void)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);

  told_listen (told, task);
  enqueue_passes (dispatcher, task, 10);
  strand_task_dispatcher_dispatch (dispatcher);
  wait_still (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  g_assert_cmpuint (told_count_over (told), ==, 0);
  assert_results_count_up (dispatcher, 10);
  run (dispatcher);
  wait_until (told_count_over (told) == 10);
}

static void
test_statuses_and_errors_are_in_call_order (void)
{
  g_autoptr(StrandTaskrunner) narrow = make_runner ("thread", "workers", 1, "max-queued", 1, NULL);
  g_autoptr(StrandTask) hold = make_task ("test.hold", narrow);
  g_autoptr(StrandTask) nothing = make_task ("test.nothing", narrow);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  Gate *gate = fixture_gate ();
  g_autoptr(GPtrArray) errors = NULL, results = NULL;
  g_autofree StrandStatus *statuses = NULL;
  gsize n;

  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_dispatch (dispatcher);
  gate_wait_inside (gate, 1);
  strand_task_dispatcher_enqueue_task (dispatcher, nothing, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, nothing, NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.fail", "(s)", "no tree");
  strand_task_dispatcher_enqueue (dispatcher, "no.such", "(s)", "x");
  strand_task_dispatcher_enqueue (dispatcher, "no function's name", NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.add", "(s)", "x");
  strand_task_dispatcher_enqueue_full (dispatcher, "test.nothing", "nowhere", NULL, NULL, NULL);
  strand_task_dispatcher_enqueue_task_full (dispatcher, nothing, "nowhere", NULL, NULL, NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.add", "(xx)", (gint64) 1, (gint64) 2);
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 9);
  gate_open (gate);
  run (dispatcher);

  errors = strand_task_dispatcher_dup_errors (dispatcher);
  results = strand_task_dispatcher_dup_results (dispatcher);
  statuses = strand_task_dispatcher_dup_statuses (dispatcher, &n);
  g_assert_cmpuint (n, ==, 10);
  g_assert_cmpuint (errors->len, ==, 10);
  for (guint i = 0; i < n; i++)
    {
      gboolean good = i == 0 || i == 1 || i == 9;

      g_assert_cmpint (statuses[i], ==, good ? STRAND_STATUS_COMPLETED : STRAND_STATUS_FAILED);
      g_assert_cmpint (errors->pdata[i] == NULL, ==, good);
      g_assert_cmpint (results->pdata[i] != NULL, ==, good);
    }
  g_assert_error ((GError *) errors->pdata[2], STRAND_ERROR, STRAND_ERROR_FULL);
  g_assert_error ((GError *) errors->pdata[3], G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_error ((GError *) errors->pdata[4], STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_assert_error ((GError *) errors->pdata[5], STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_assert_error ((GError *) errors->pdata[6], STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_error ((GError *) errors->pdata[7], STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_error ((GError *) errors->pdata[8], STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_cmpint (g_variant_get_int64 (results->pdata[9]), ==, 3);
}

static void
note_destroyed (gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
test_what_cannot_be_called_lets_its_data_go (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(StrandOptions) options = strand_options_new ();
  gboolean destroyed = FALSE;

  strand_options_take_data (options, &destroyed, note_destroyed);
  strand_task_dispatcher_enqueue_full (dispatcher, "no.such", NULL, g_variant_new ("(s)", "x"),
                                       g_variant_new_parsed ("{'a': <1>}"), options);
  run (dispatcher);
  strand_task_dispatcher_reset (dispatcher);
  wait_until (destroyed);
}

/* Targets. */

static guint64
thread_of (StrandTaskDispatcher *dispatcher, guint position)
{
  g_autoptr(GPtrArray) results = strand_task_dispatcher_dup_results (dispatcher);

  g_assert_nonnull (results->pdata[position]);
  return g_variant_get_uint64 (results->pdata[position]);
}

static void
test_targets_of_the_dispatcher_the_task_and_the_call (void)
{
  guint64 here = (guint64) (gsize) g_thread_self ();
  g_autoptr(StrandTaskrunner) sync = make_runner ("sync", NULL);
  g_autoptr(StrandTask) inline_task = make_task ("test.thread", sync);
  g_autoptr(StrandTaskDispatcher) dispatcher = strand_task_dispatcher_new (NULL);

  strand_task_dispatcher_enqueue (dispatcher, "test.thread", NULL);
  strand_task_dispatcher_enqueue_full (dispatcher, "test.thread", "sync", NULL, NULL, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, inline_task, NULL);
  strand_task_dispatcher_enqueue_task_full (dispatcher, inline_task, "thread", NULL, NULL, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, inline_task, NULL);
  g_object_set (dispatcher, "target", "sync", NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.thread", NULL);
  run (dispatcher);
  g_assert_cmpuint (thread_of (dispatcher, 0), !=, here);
  g_assert_cmpuint (thread_of (dispatcher, 1), ==, here);
  g_assert_cmpuint (thread_of (dispatcher, 2), ==, here);
  g_assert_cmpuint (thread_of (dispatcher, 3), !=, here);
  g_assert_cmpuint (thread_of (dispatcher, 4), ==, here);
  g_assert_cmpuint (thread_of (dispatcher, 5), ==, here);
}

static void
test_keywords_and_options_go_along (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(GPtrArray) results = NULL;
  StrandHandle *handle;

  strand_options_set_key (options, "my.key");
  handle =
      strand_task_dispatcher_enqueue_full (dispatcher, "test.add", NULL, g_variant_new ("(x)", (gint64) 1),
                                           g_variant_new_parsed ("{'b': <@x 2>}"), options);
  run (dispatcher);
  results = strand_task_dispatcher_dup_results (dispatcher);
  g_assert_cmpint (g_variant_get_int64 (results->pdata[0]), ==, 3);
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "my.key");
}

static void
run_passes_on (gpointer target, guint max_running)
{
  g_autoptr(StrandTask) task = make_task ("test.pass", target);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (max_running);

  forget_traffic ();
  enqueue_passes (dispatcher, task, 200);
  run (dispatcher);
  assert_results_count_up (dispatcher, 200);
  if (max_running > 0)
    g_assert_cmpuint (traffic.n_most, <=, max_running);
}

static void
test_every_runner_and_a_backend (void)
{
  const char *const types[] = { "sync", "thread", "coroutine" };
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      StrandTaskrunner *runner = make_runner (types[i], NULL);

      run_passes_on (runner, 0);
      run_passes_on (runner, 3);
      close_runner (runner);
    }
  run_passes_on (backend, 0);
  run_passes_on (backend, 3);
  close_backend (backend);
}

/* Functions of the demo module, which a helper process has. */
static void
test_the_process_runner (void)
{
  StrandTaskrunner *runner = make_runner ("process", "workers", 2, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) add = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
  g_autoptr(GPtrArray) results = NULL;

  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);
  add = fixture_function ("demo.add");
  task = strand_task_new (add, G_OBJECT (runner));
  for (gint64 i = 0; i < 20; i++)
    strand_task_dispatcher_enqueue_task (dispatcher, task, g_variant_new ("(xx)", i, i));
  run (dispatcher);
  results = strand_task_dispatcher_dup_results (dispatcher);
  for (gint64 i = 0; i < 20; i++)
    g_assert_cmpint (g_variant_get_int64 (results->pdata[i]), ==, 2 * i);
  g_clear_object (&task);
  close_runner (runner);
}

/* The limit. */

static void
test_a_limit_holds_and_all_run (void)
{
  for (guint limit = 1; limit <= 4; limit++)
    run_passes_on (threads, limit);
}

static void
test_raising_the_limit_starts_more (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);
  Gate *gate = fixture_gate ();

  for (guint i = 0; i < 3; i++)
    strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_dispatch (dispatcher);
  gate_wait_inside (gate, 1);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (gate_count_inside (gate), ==, 1);
  g_object_set (dispatcher, "max-running", 2, NULL);
  wait_until (gate_count_inside (gate) == 2);
  gate_open (gate);
  run (dispatcher);
  g_assert_cmpuint (gate_count_inside (gate), ==, 3);
}

static gpointer
run_in_thread (gpointer target)
{
  run_passes_on (target, 2);
  return NULL;
}

/* Nobody iterates the dispatcher's main context meanwhile: its owner waits for the thread. */
static void
test_a_limit_needs_no_main_loop (void)
{
  g_autoptr(GThread) thread = g_thread_new ("limited", run_in_thread, threads);

  g_thread_join (g_steal_pointer (&thread));
}

static gpointer
wait_for_last (gpointer data)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (data, DEADLINE_US, &error));
  g_assert_no_error (error);
  return NULL;
}

static void
test_one_held_back_call_can_be_waited_for_anywhere (void)
{
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
  g_autoptr(GPtrArray) handles = NULL;

  forget_traffic ();
  enqueue_passes (dispatcher, task, 50);
  strand_task_dispatcher_dispatch (dispatcher);
  handles = strand_task_dispatcher_dup_handles (dispatcher);
  g_thread_join (g_thread_new ("waits", wait_for_last, handles->pdata[49]));
  wait_for_last (handles->pdata[49]);
  run (dispatcher);
  g_assert_cmpuint (traffic.n_most, <=, 2);
}

static GVariant *
fan_out (StrandContext *context, GVariant *arguments, gpointer target, GError **error)
{
  run_passes_on (target, 2);
  return NULL;
}

static void
test_functions_on_every_runner_may_use_one (void)
{
  const char *const types[] = { "sync", "thread", "coroutine" };

  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    {
      StrandTaskrunner *runner = make_runner (types[i], NULL);
      StrandTask *task = make_task_for (fan_out, threads, runner);
      StrandTask *same = make_task_for (fan_out, runner, runner);
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
      g_autoptr(StrandHandle) nested = NULL;

      wait_for_last (handle);
      nested = strand_task_call (same, NULL);
      wait_for_last (nested);
      g_object_unref (task);
      g_object_unref (same);
      close_runner (runner);
    }
}

/* A call that keeps the limit reached waits for one that the limit holds back. */
static GVariant *
wait_for_the_next (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GPtrArray) handles = strand_task_dispatcher_dup_handles (data);

  strand_handle_wait (handles->pdata[handles->len - 1], -1, error);
  return NULL;
}

static void
test_waiting_for_a_call_that_the_limit_holds_back (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);
  StrandTaskrunner *other = make_runner ("thread", "workers", 1, NULL);
  StrandTask *task = make_task_for (wait_for_the_next, dispatcher, other);
  g_autoptr(GPtrArray) errors = NULL;

  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  run (dispatcher);
  errors = strand_task_dispatcher_dup_errors (dispatcher);
  for (guint i = 0; i < 3; i++)
    g_assert_no_error ((GError *) errors->pdata[i]);
  g_object_unref (task);
  close_runner (other);
}

/* Waiting. */

static void
test_a_wait_that_times_out_leaves_the_calls_alone (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);
  Gate *gate = fixture_gate ();
  g_autoptr(GError) error = NULL;

  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  g_assert_false (strand_task_dispatcher_run (dispatcher, 1000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_nonnull (strstr (error->message, "2 of the calls"));
  g_clear_error (&error);
  g_object_set (dispatcher, "timeout", (gint64) 1000, NULL);
  g_assert_false (strand_task_dispatcher_run (dispatcher, STRAND_UNSET, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  gate_open (gate);
  run (dispatcher);
}

static void
test_the_default_deadline_is_ten_seconds (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = strand_task_dispatcher_new (NULL);
  g_autofree char *target = NULL;
  gint64 timeout_us;
  guint max_running;

  g_object_get (dispatcher, "timeout", &timeout_us, "target", &target, "max-running", &max_running, NULL);
  g_assert_cmpint (timeout_us, ==, 10 * G_USEC_PER_SEC);
  g_assert_cmpstr (target, ==, "thread");
  g_assert_cmpuint (max_running, ==, 0);
}

static GVariant *
wait_for_all (StrandContext *context, GVariant *arguments, gpointer dispatcher, GError **error)
{
  strand_task_dispatcher_wait (dispatcher, -1, error);
  return NULL;
}

static void
test_waiting_inside_one_of_the_calls_is_refused (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(StrandTask) task = make_task_for (wait_for_all, dispatcher, threads);
  g_autoptr(GPtrArray) errors = NULL;

  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  run (dispatcher);
  errors = strand_task_dispatcher_dup_errors (dispatcher);
  g_assert_error ((GError *) errors->pdata[0], STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
}

static gboolean
wait_in_item (StrandCall *call, GVariant *item, gpointer dispatcher, GError **error)
{
  return strand_task_dispatcher_wait (dispatcher, -1, error);
}

static void
test_waiting_in_an_items_callback_is_refused (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(StrandTask) task = make_task ("test.count", threads);
  g_autoptr(GPtrArray) errors = NULL;

  strand_task_on_iter (task, wait_in_item, dispatcher, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, task, g_variant_new ("(u)", 1000));
  run (dispatcher);
  errors = strand_task_dispatcher_dup_errors (dispatcher);
  g_assert_error ((GError *) errors->pdata[0], STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
}

static void
wait_at_end (StrandCall *call, GVariant *value, gpointer dispatcher)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_task_dispatcher_wait (dispatcher, DEADLINE_US, &error));
  g_assert_no_error (error);
}

static void
test_waiting_at_the_end_of_one_is_fine (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);

  forget_traffic ();
  strand_task_on_end (task, wait_at_end, dispatcher, NULL);
  enqueue_passes (dispatcher, task, 50);
  run (dispatcher);
}

static void
test_waiting_for_what_is_not_dispatched_is_refused (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  StrandHandle *handle = strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_handle_wait (handle, -1, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_assert_true (strand_task_dispatcher_wait (dispatcher, -1, NULL)); /* nothing has been dispatched */
  g_assert_false (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  run (dispatcher);
}

static gboolean
note_turn (gpointer data)
{
  *(gboolean *) data = TRUE;
  return G_SOURCE_REMOVE;
}

static void
test_a_wait_runs_our_callbacks_and_nothing_else (void)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
  gboolean turned = FALSE;
  guint id = g_idle_add_full (G_PRIORITY_HIGH, note_turn, &turned, NULL);

  told_listen (told, task);
  forget_traffic ();
  enqueue_passes (dispatcher, task, 100);
  run (dispatcher);
  g_assert_false (turned);
  g_assert_cmpuint (told_count_over (told), >, 0);
  g_assert_true (told->thread == g_thread_self ());
  g_source_remove (id);
  wait_until (told_count_over (told) == 100);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_running_without_blocking (void)
{
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
  g_autoptr(GAsyncResult) result = NULL, again = NULL;
  g_autoptr(GError) error = NULL;

  forget_traffic ();
  enqueue_passes (dispatcher, task, 100);
  strand_task_dispatcher_run_async (dispatcher, STRAND_UNSET, NULL, keep_result, &result);
  g_assert_null (result);
  wait_until (result != NULL);
  g_assert_true (strand_task_dispatcher_run_finish (dispatcher, result, &error));
  g_assert_no_error (error);
  assert_results_count_up (dispatcher, 100);

  strand_task_dispatcher_wait_async (dispatcher, -1, NULL, keep_result, &again);
  g_assert_null (again);
  wait_until (again != NULL);
  g_assert_true (strand_task_dispatcher_wait_finish (dispatcher, again, &error));
  g_assert_no_error (error);
}

static void
test_waits_without_blocking_can_be_given_up (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) late = NULL, cancelled = NULL, early = NULL, ended = NULL;
  Gate *gate = fixture_gate ();
  g_autoptr(GError) error = NULL;

  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_run_async (dispatcher, 1000, NULL, keep_result, &late);
  strand_task_dispatcher_wait_async (dispatcher, DEADLINE_US, cancellable, keep_result, &cancelled);
  strand_task_dispatcher_wait_async (dispatcher, DEADLINE_US, NULL, keep_result, &ended);
  wait_until (late != NULL);
  g_assert_false (strand_task_dispatcher_run_finish (dispatcher, late, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_clear_error (&error);

  g_cancellable_cancel (cancellable);
  strand_task_dispatcher_wait_async (dispatcher, -1, cancellable, keep_result, &early);
  wait_until (cancelled != NULL && early != NULL);
  g_assert_false (strand_task_dispatcher_wait_finish (dispatcher, cancelled, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (strand_task_dispatcher_wait_finish (dispatcher, early, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_clear_error (&error);

  g_assert_null (ended);
  gate_open (gate);
  wait_until (ended != NULL);
  g_assert_true (strand_task_dispatcher_wait_finish (dispatcher, ended, &error));
  g_assert_no_error (error);
}

/* complete. */

static gboolean
has_completed (StrandHandle *handle, gpointer n_asked)
{
  ++*(guint *) n_asked;
  return strand_handle_get_status (handle) == STRAND_STATUS_COMPLETED;
}

static void
test_complete_asks_each_handle_until_one_denies (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  guint n_asked = 0;

  g_assert_true (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  g_assert_false (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  run (dispatcher);
  g_assert_true (strand_task_dispatcher_complete (dispatcher, has_completed, &n_asked));
  g_assert_cmpuint (n_asked, ==, 2);
  strand_task_dispatcher_enqueue (dispatcher, "test.fail", "(s)", "on purpose");
  strand_task_dispatcher_enqueue (dispatcher, "test.nothing", NULL);
  run (dispatcher);
  n_asked = 0;
  g_assert_false (strand_task_dispatcher_complete (dispatcher, has_completed, &n_asked));
  g_assert_cmpuint (n_asked, ==, 3);
}

/* Stopping. */

static void
assert_all_cancelled (StrandTaskDispatcher *dispatcher)
{
  g_autoptr(GPtrArray) errors = strand_task_dispatcher_dup_errors (dispatcher);
  g_autofree StrandStatus *statuses = NULL;
  gsize n;

  statuses = strand_task_dispatcher_dup_statuses (dispatcher, &n);
  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpint (statuses[i], ==, STRAND_STATUS_CANCELLED);
      g_assert_error ((GError *) errors->pdata[i], G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
}

static void
test_cancel_before_dispatch (void)
{
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);
  StrandTask *stored = make_task ("test.pass", backend);
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);

  forget_traffic ();
  told_listen (told, task);
  told_listen (told, stored);
  enqueue_passes (dispatcher, task, 5);
  enqueue_passes (dispatcher, stored, 5);
  g_assert_cmpuint (strand_task_dispatcher_cancel_all (dispatcher), ==, 10);
  g_assert_true (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  assert_all_cancelled (dispatcher);
  g_assert_cmpuint (strand_task_dispatcher_cancel_all (dispatcher), ==, 0);
  run (dispatcher);
  wait_until (told_count_over (told) == 10);
  g_assert_cmpuint (told->n_errors, ==, 10);
  g_assert_cmpuint (traffic.order->len, ==, 0);
  g_object_unref (stored);
  close_backend (backend);
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, 0);
}

static void
test_cancel_all_stops_what_runs_and_what_is_held_back (void)
{
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);
  gpointer targets[] = { threads, backend };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandTask) block = make_task ("test.block", targets[i]);
      g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (2);
      g_autoptr(GPtrArray) handles = NULL;

      for (guint j = 0; j < 20; j++)
        strand_task_dispatcher_enqueue_task (dispatcher, block, NULL);
      strand_task_dispatcher_dispatch (dispatcher);
      handles = strand_task_dispatcher_dup_handles (dispatcher);
      wait_until (strand_handle_get_status (handles->pdata[1]) == STRAND_STATUS_RUNNING);
      g_assert_cmpuint (strand_task_dispatcher_cancel_all (dispatcher), ==, 20);
      run (dispatcher);
      assert_all_cancelled (dispatcher);
      for (guint j = 2; j < 20; j++)
        g_assert_cmpuint (strand_handle_get_attempt (handles->pdata[j]), ==, 0);
    }
  close_backend (backend);
}

static gpointer
cancel_in_thread (gpointer data)
{
  GPtrArray *handles = data;

  for (guint i = 0; i < handles->len; i++)
    strand_handle_cancel (handles->pdata[i]);
  return NULL;
}

/* Each call ends once, whichever of starting and cancelling comes first. */
static void
test_cancelling_while_calls_are_being_started (void)
{
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);
  gpointer targets[] = { threads, backend };

  for (guint round = 0; round < 40; round++)
    {
      g_autoptr(StrandTask) task = make_task ("test.pass", targets[round % 2]);
      g_autoptr(Told) told = told_new ();
      g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (round % 4);
      g_autoptr(GPtrArray) handles = NULL;
      g_autoptr(GThread) thread = NULL;

      forget_traffic ();
      told_listen (told, task);
      enqueue_passes (dispatcher, task, 50);
      handles = strand_task_dispatcher_dup_handles (dispatcher);
      thread = g_thread_new ("cancels", cancel_in_thread, handles);
      run (dispatcher);
      g_thread_join (g_steal_pointer (&thread));
      wait_until (told_count_over (told) == 50);
      g_assert_cmpuint (told->n_ends + told->n_errors, ==, 50);
    }
  close_backend (backend);
}

/* Reset, dispose. */

static void
test_reset_with_calls_in_flight (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(Told) held = told_new (), told = told_new ();
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);
  g_autoptr(GAsyncResult) result = NULL;
  Gate *gate = fixture_gate ();
  g_autoptr(GError) error = NULL;

  forget_traffic ();
  told_listen (held, hold);
  told_listen (told, task);
  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  strand_task_dispatcher_run_async (dispatcher, -1, NULL, keep_result, &result);
  enqueue_passes (dispatcher, task, 1);
  strand_task_dispatcher_reset (dispatcher);
  g_assert_cmpuint (strand_task_dispatcher_get_n_calls (dispatcher), ==, 0);
  g_assert_true (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
  wait_until (told_count_over (told) == 1); /* the one that was not dispatched */
  g_assert_cmpuint (told->n_errors, ==, 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);

  /* The new one's turn comes after those that went before, and a wait is for the new one only. */
  enqueue_passes (dispatcher, task, 1);
  strand_task_dispatcher_dispatch (dispatcher);
  gate_wait_inside (gate, 1);
  g_assert_cmpuint (traffic.order->len, ==, 0);
  g_assert_null (result);
  gate_open (gate);
  run (dispatcher);
  assert_results_count_up (dispatcher, 1);
  wait_until (told_count_over (held) == 2 && told_count_over (told) == 2 && result != NULL);
  g_assert_cmpuint (held->n_ends, ==, 2);
  g_assert_true (strand_task_dispatcher_run_finish (dispatcher, result, &error));
  g_assert_no_error (error);
}

static void
test_a_dispatcher_may_go_with_calls_in_flight (void)
{
  g_autoptr(StrandTask) hold = make_task ("test.hold", threads);
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(Told) held = told_new (), told = told_new (), never = told_new ();
  StrandTaskDispatcher *dispatcher = make_dispatcher (1);
  Gate *gate = fixture_gate ();

  forget_traffic ();
  told_listen (held, hold);
  told_listen (told, task);
  strand_task_dispatcher_enqueue_task (dispatcher, hold, NULL);
  enqueue_passes (dispatcher, task, 10);
  strand_task_dispatcher_dispatch (dispatcher);
  gate_wait_inside (gate, 1);
  told_listen (never, task);
  enqueue_passes (dispatcher, task, 10);
  g_object_add_weak_pointer (G_OBJECT (dispatcher), (gpointer *) &dispatcher);
  g_object_unref (dispatcher);
  g_assert_null (dispatcher);

  wait_until (told_count_over (never) == 10);
  g_assert_cmpuint (never->n_errors, ==, 10);
  gate_open (gate);
  wait_until (told_count_over (held) == 1 && told_count_over (told) == 10);
  g_assert_cmpuint (told->n_ends, ==, 10);
  assert_passed_in_order (10);
}

typedef struct
{
  StrandTaskDispatcher *dispatcher;
  StrandTask *task;
  guint n_left;
  guint n_ended;
} Chain;

static void
enqueue_next (StrandCall *call, GVariant *value, gpointer data)
{
  Chain *chain = data;

  chain->n_ended++;
  if (chain->n_left == 0)
    return;
  chain->n_left--;
  strand_task_dispatcher_enqueue_task (chain->dispatcher, chain->task, NULL);
  strand_task_dispatcher_dispatch (chain->dispatcher);
}

/* Also on `sync`, where each callback runs inside the start of its call: so many of them would not nest. */
static void
test_enqueuing_in_an_own_callback (void)
{
  StrandTaskrunner *sync = make_runner ("sync", NULL);
  gpointer targets[] = { threads, sync };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);
      g_autoptr(StrandTask) task = make_task ("test.nothing", targets[i]);
      Chain chain = { dispatcher, task, i == 0 ? 1000 : 20000, 0 };
      guint n = chain.n_left + 1;

      strand_task_on_end (task, enqueue_next, &chain, NULL);
      strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
      strand_task_dispatcher_dispatch (dispatcher);
      wait_until (chain.n_ended == n);
      g_assert_cmpuint (strand_task_dispatcher_get_n_calls (dispatcher), ==, n);
      g_assert_true (strand_task_dispatcher_complete (dispatcher, NULL, NULL));
    }
  close_runner (sync);
}

static void
drop_dispatcher (StrandCall *call, GVariant *value, gpointer data)
{
  g_clear_object ((StrandTaskDispatcher **) data);
}

static void
test_a_dispatcher_may_go_in_its_own_callback (void)
{
  StrandTaskrunner *sync = make_runner ("sync", NULL);
  gpointer targets[] = { threads, sync };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandTask) task = make_task ("test.nothing", targets[i]);
      g_autoptr(Told) told = told_new ();
      StrandTaskDispatcher *dispatcher = make_dispatcher (1);
      StrandTaskDispatcher *kept = g_object_ref (dispatcher);

      told_listen (told, task);
      strand_task_on_end (task, drop_dispatcher, &dispatcher, NULL);
      strand_task_dispatcher_enqueue_task (kept, task, NULL);
      strand_task_on_end (task, told_on_end, told, NULL);
      strand_task_dispatcher_enqueue_task (kept, task, NULL);
      strand_task_dispatcher_dispatch (kept);
      g_object_unref (kept);
      wait_until (told_count_over (told) == 1);
      g_assert_null (dispatcher);
    }
  close_runner (sync);
}

static void
test_dispatching_twice_runs_nothing_twice (void)
{
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);

  forget_traffic ();
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 0);
  enqueue_passes (dispatcher, task, 10);
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 10);
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 0);
  run (dispatcher);
  g_assert_cmpuint (traffic.order->len, ==, 10);
  strand_task_dispatcher_enqueue_task (dispatcher, task, g_variant_new ("(u)", 10));
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 1);
  run (dispatcher);
  g_assert_cmpuint (traffic.order->len, ==, 11);
  assert_results_count_up (dispatcher, 11);
}

/* Without arguments and results, because allocations are what sanitizers take long over. */
static void
test_a_hundred_thousand_calls (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (64);
  g_autofree StrandStatus *statuses = NULL;
  gsize n;

  for (guint i = 0; i < 100000; i++)
    strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 100000);
  run (dispatcher);
  statuses = strand_task_dispatcher_dup_statuses (dispatcher, &n);
  g_assert_cmpuint (n, ==, 100000);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint (statuses[i], ==, STRAND_STATUS_COMPLETED);
}

static gpointer
enqueue_in_thread (gpointer data)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);

  for (guint i = 0; i < 500; i++)
    {
      strand_task_dispatcher_enqueue_task (data, task, NULL);
      strand_task_dispatcher_dispatch (data);
    }
  return NULL;
}

static void
test_many_threads_may_use_one (void)
{
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (3);
  GThread *users[4];

  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    users[i] = g_thread_new ("user", enqueue_in_thread, dispatcher);
  for (guint i = 0; i < G_N_ELEMENTS (users); i++)
    g_thread_join (users[i]);
  run (dispatcher);
  g_assert_cmpuint (strand_task_dispatcher_get_n_calls (dispatcher), ==, 2000);
  wait_until (g_list_model_get_n_items (G_LIST_MODEL (dispatcher)) == 2000);
}

/* The list. */

typedef struct
{
  guint n_signals;
  guint position;
  guint n_removed;
  guint n_added;
  guint n_items; /* by the signals' own account */
} Changes;

static void
on_items_changed (GListModel *model, guint position, guint n_removed, guint n_added, gpointer data)
{
  Changes *changes = data;

  changes->n_signals++;
  changes->position = position;
  changes->n_removed = n_removed;
  changes->n_added = n_added;
  changes->n_items += n_added - n_removed;
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, changes->n_items);
}

static void
test_rows_come_and_go_in_one_signal (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  GListModel *model = G_LIST_MODEL (dispatcher);
  Changes changes = { 0 };
  g_autoptr(StrandHandle) row = NULL;
  StrandHandle *handle = NULL;

  g_assert_true (g_list_model_get_item_type (model) == STRAND_TYPE_HANDLE);
  g_signal_connect (model, "items-changed", G_CALLBACK (on_items_changed), &changes);
  for (guint i = 0; i < 1000; i++)
    handle = strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, 0);
  wait_until (changes.n_signals > 0);
  g_assert_cmpuint (changes.n_signals, ==, 1);
  g_assert_cmpuint (changes.n_items, ==, 1000);
  row = g_list_model_get_item (model, 999);
  g_assert_true (row == handle);
  g_assert_null (g_list_model_get_item (model, 1000));

  run (dispatcher);
  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  wait_until (changes.n_signals > 1);
  g_assert_cmpuint (changes.position, ==, 1000);
  g_assert_cmpuint (changes.n_added, ==, 2);
  g_assert_cmpuint (changes.n_signals, ==, 2);

  strand_task_dispatcher_reset (dispatcher);
  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  g_assert_cmpuint (g_list_model_get_n_items (model), ==, 1002);
  wait_until (changes.n_signals > 2);
  g_assert_cmpuint (changes.n_signals, ==, 3);
  g_assert_cmpuint (changes.position, ==, 0);
  g_assert_cmpuint (changes.n_removed, ==, 1002);
  g_assert_cmpuint (changes.n_added, ==, 1);
}

/* The rows that go are let go of, and a dispatcher that went first is no harm. */
static void
test_rows_end_with_the_reset (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", threads);
  StrandTaskDispatcher *dispatcher = make_dispatcher (0);
  gpointer first = NULL;

  for (guint i = 0; i < 10000; i++)
    {
      StrandHandle *handle = strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);

      if (i == 0)
        g_set_weak_pointer (&first, handle);
    }
  run (dispatcher);
  wait_until (g_list_model_get_n_items (G_LIST_MODEL (dispatcher)) == 10000);
  strand_task_dispatcher_reset (dispatcher);
  wait_until (first == NULL);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (dispatcher)), ==, 0);
  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  g_object_unref (dispatcher);
  while (g_main_context_iteration (NULL, FALSE))
    ;
}

static void
on_notify (StrandHandle *handle, GParamSpec *pspec, gpointer data)
{
  ++*(guint *) data;
}

static void
test_a_row_shows_its_call (void)
{
  g_autoptr(StrandTask) task = make_task ("test.progress", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  Gate *gate = fixture_gate ();
  g_autoptr(StrandHandle) row = NULL;
  guint n_progress = 0, n_ready = 0;

  strand_task_dispatcher_enqueue_task (dispatcher, task, NULL);
  wait_until (g_list_model_get_n_items (G_LIST_MODEL (dispatcher)) == 1);
  row = g_list_model_get_item (G_LIST_MODEL (dispatcher), 0);
  g_signal_connect (row, "notify::progress", G_CALLBACK (on_notify), &n_progress);
  g_signal_connect (row, "notify::ready", G_CALLBACK (on_notify), &n_ready);
  g_assert_cmpint (strand_handle_get_status (row), ==, STRAND_STATUS_PENDING);
  strand_task_dispatcher_dispatch (dispatcher);
  wait_until (n_progress == 1);
  gate_open (gate);
  wait_until (n_ready == 1);
}

static void
on_progress (StrandHandle *handle, GParamSpec *pspec, gpointer n_at_end)
{
  if (strand_handle_get_progress (handle) == 0.75)
    ++*(guint *) n_at_end;
}

static void
report_to_all (GPtrArray *handles, double progress)
{
  for (guint i = 0; i < handles->len; i++)
    strand_call_set_progress (strand_handle_get_call (handles->pdata[i]), progress, NULL);
}

/* What comes too soon after the last notification is shown later, of each row. */
static void
test_every_row_shows_its_last_progress (void)
{
  g_autoptr(StrandTask) block = make_task ("test.block", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (0);
  g_autoptr(GPtrArray) handles = NULL;
  guint n_at_end = 0;

  for (guint i = 0; i < 1000; i++)
    g_signal_connect (strand_task_dispatcher_enqueue_task (dispatcher, block, NULL), "notify::progress",
                      G_CALLBACK (on_progress), &n_at_end);
  handles = strand_task_dispatcher_dup_handles (dispatcher);
  report_to_all (handles, 0.25);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  report_to_all (handles, 0.5);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  report_to_all (handles, 0.75);
  wait_until (n_at_end == 1000);
}

static void
test_inline_mode_runs_all_before_dispatch_returns (void)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandTask) task = make_task ("test.pass", threads);
  g_autoptr(StrandTaskDispatcher) dispatcher = make_dispatcher (1);

  forget_traffic ();
  told_listen (told, task);
  strand_set_inline (TRUE);
  enqueue_passes (dispatcher, task, 10);
  g_assert_cmpuint (traffic.order->len, ==, 0);
  g_assert_cmpuint (strand_task_dispatcher_dispatch (dispatcher), ==, 10);
  strand_set_inline (FALSE);
  g_assert_cmpuint (told->n_ends, ==, 10);
  assert_passed_in_order (10);
}

#define ADD(name, test) g_test_add_func ("/dispatcher/" name, test)

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  traffic.order = g_array_new (FALSE, FALSE, sizeof (guint));
  g_assert_true (strand_registry_add (strand_registry_get_default (), "test.pass", "n:u -> u", NULL, pass,
                                      NULL, NULL, NULL));
  threads = make_runner ("thread", "workers", 4, NULL);

  ADD ("order/calls-start-in-the-order-of-enqueuing", test_calls_start_in_the_order_of_enqueuing);
  ADD ("order/behind-a-limit-too", test_calls_behind_a_limit_start_in_order_too);
  ADD ("order/two-dispatchers-share-no-results", test_two_dispatchers_share_no_results);
  ADD ("order/results-whichever-ends-first", test_results_are_in_call_order_whichever_ends_first);
  ADD ("order/results-follow-calls-not-callbacks", test_results_follow_the_calls_and_not_the_callbacks);
  ADD ("order/statuses-and-errors", test_statuses_and_errors_are_in_call_order);
  ADD ("target/dispatcher-task-and-call", test_targets_of_the_dispatcher_the_task_and_the_call);
  ADD ("target/keywords-and-options-go-along", test_keywords_and_options_go_along);
  ADD ("target/every-runner-and-a-backend", test_every_runner_and_a_backend);
  ADD ("target/the-process-runner", test_the_process_runner);
  ADD ("target/what-cannot-be-called-lets-its-data-go", test_what_cannot_be_called_lets_its_data_go);
  ADD ("limit/holds-and-all-run", test_a_limit_holds_and_all_run);
  ADD ("limit/raising-it-starts-more", test_raising_the_limit_starts_more);
  ADD ("limit/needs-no-main-loop", test_a_limit_needs_no_main_loop);
  ADD ("limit/one-held-back-can-be-waited-for", test_one_held_back_call_can_be_waited_for_anywhere);
  ADD ("limit/functions-on-every-runner-may-use-one", test_functions_on_every_runner_may_use_one);
  ADD ("limit/a-call-may-wait-for-one-held-back", test_waiting_for_a_call_that_the_limit_holds_back);
  ADD ("wait/times-out-and-leaves-the-calls-alone", test_a_wait_that_times_out_leaves_the_calls_alone);
  ADD ("wait/default-deadline-is-ten-seconds", test_the_default_deadline_is_ten_seconds);
  ADD ("wait/inside-one-of-the-calls-is-refused", test_waiting_inside_one_of_the_calls_is_refused);
  ADD ("wait/in-an-items-callback-is-refused", test_waiting_in_an_items_callback_is_refused);
  ADD ("wait/at-the-end-of-one-is-fine", test_waiting_at_the_end_of_one_is_fine);
  ADD ("wait/for-what-is-not-dispatched-is-refused", test_waiting_for_what_is_not_dispatched_is_refused);
  ADD ("wait/runs-our-callbacks-and-nothing-else", test_a_wait_runs_our_callbacks_and_nothing_else);
  ADD ("wait/async", test_running_without_blocking);
  ADD ("wait/async-can-be-given-up", test_waits_without_blocking_can_be_given_up);
  ADD ("complete/asks-each-handle", test_complete_asks_each_handle_until_one_denies);
  ADD ("cancel/before-dispatch", test_cancel_before_dispatch);
  ADD ("cancel/what-runs-and-what-is-held-back", test_cancel_all_stops_what_runs_and_what_is_held_back);
  ADD ("cancel/while-calls-are-being-started", test_cancelling_while_calls_are_being_started);
  ADD ("reset/with-calls-in-flight", test_reset_with_calls_in_flight);
  ADD ("dispose/with-calls-in-flight", test_a_dispatcher_may_go_with_calls_in_flight);
  ADD ("dispose/in-an-own-callback", test_a_dispatcher_may_go_in_its_own_callback);
  ADD ("dispatch/enqueuing-in-an-own-callback", test_enqueuing_in_an_own_callback);
  ADD ("dispatch/twice-runs-nothing-twice", test_dispatching_twice_runs_nothing_twice);
  ADD ("dispatch/a-hundred-thousand", test_a_hundred_thousand_calls);
  ADD ("dispatch/many-threads-may-use-one", test_many_threads_may_use_one);
  ADD ("dispatch/inline-mode", test_inline_mode_runs_all_before_dispatch_returns);
  ADD ("list/rows-come-and-go-in-one-signal", test_rows_come_and_go_in_one_signal);
  ADD ("list/rows-end-with-the-reset", test_rows_end_with_the_reset);
  ADD ("list/a-row-shows-its-call", test_a_row_shows_its_call);
  ADD ("list/every-row-shows-its-last-progress", test_every_row_shows_its_last_progress);

  status = g_test_run ();
  close_runner (threads);
  g_array_unref (traffic.order);
  return status;
}
