/* test-coroutine-taskrunner.c — many calls at once on one thread: whose turn it is, what parks, and how it
 * ends. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

#ifdef HAVE_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

/* Runs everything: the two kinds of context. */
#define BOTH(path, func)                                                                                     \
  g_test_add_data_func ("/coroutine/own/" path, "own", func);                                                \
  g_test_add_data_func ("/coroutine/caller/" path, "caller", func)

static StrandTaskrunner *
make_coroutines (const char *context, const char *first_property, ...)
{
  StrandTaskrunner *runner = make_runner ("coroutine", NULL);
  GType type = G_OBJECT_TYPE (runner);
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (runner), "context");
  va_list args;

  g_object_unref (runner);
  runner =
      g_object_new (type, "context",
                    g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, context)->value, NULL);
  va_start (args, first_property);
  if (first_property != NULL)
    g_object_set_valist (G_OBJECT (runner), first_property, args);
  va_end (args);
  return runner;
}

static StrandTask *
make_task (const char *name, gpointer runner)
{
  g_autoptr(StrandFunction) function = fixture_function (name);

  return strand_task_new (function, runner);
}

/* `test.own n:u -> u`, or without a result. */
static StrandTask *
make_task_for (StrandFunc func, gpointer data, gpointer runner)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.own", "n:u -> u", NULL, STRAND_TRAIT_NONE, func, data, NULL, &error);

  g_assert_no_error (error);
  return strand_task_new (function, runner);
}

static guint
get_n (GVariant *arguments)
{
  guint n;

  g_variant_get (arguments, "(u)", &n);
  return n;
}

/* What happened, in order, told by functions that share a thread. */
static GString *story;

static void
tell (const char *what, guint n)
{
  g_string_append_printf (story, "%s%u ", what, n);
}

static void
begin_story (void)
{
  if (story != NULL)
    g_string_free (story, TRUE);
  story = g_string_new (NULL);
}

static gboolean
all_ended (StrandHandle **handles, guint n)
{
  for (guint i = 0; i < n; i++)
    if (!strand_handle_is_ready (handles[i]))
      return FALSE;
  return TRUE;
}

static void
drop_handles (StrandHandle **handles, guint n)
{
  for (guint i = 0; i < n; i++)
    g_object_unref (handles[i]);
}

static void
assert_cancelled (StrandHandle *handle)
{
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Turns. */

static GVariant *
yield_twice (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n = get_n (arguments);

  tell ("a", n);
  g_assert_true (strand_coroutine_is_current ());
  if (!strand_coroutine_yield (context, error))
    return NULL;
  tell ("b", n);
  if (!strand_coroutine_yield (context, error))
    return NULL;
  tell ("c", n);
  return g_variant_new_uint32 (n);
}

static void
test_those_who_yield_take_turns (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) gather = make_task_for (yield_twice, NULL, runner);
  g_autoptr(Told) told = told_new ();

  begin_story ();
  told_listen (told, gather);
  for (guint i = 0; i < 3; i++)
    strand_task_post (gather, "(u)", i);
  wait_until (told_count_over (told) == 3);
  if (g_str_equal (where, "caller"))
    g_assert_cmpstr (story->str, ==, "a0 a1 a2 b0 b1 b2 c0 c1 c2 ");
  g_assert_cmpuint (told->n_ends, ==, 3);
  g_clear_object (&gather);
  close_runner (runner);
}

static GVariant *
yield_until_told (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n = 0;

  while (!g_atomic_int_get ((int *) data))
    {
      n++;
      if (!strand_coroutine_yield (context, error))
        return NULL;
    }
  return g_variant_new_uint32 (n);
}

static gboolean
count_down (gpointer data)
{
  int *n = data;

  return --*n > 0;
}

/* Sources of lower priority too: a window is redrawn at 120. */
static void
test_a_loop_of_yields_starves_nobody (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int told = FALSE, n_idle = 20, n_timeout = 5;
  g_autoptr(StrandTask) greedy = make_task_for (yield_until_told, &told, runner);
  g_autoptr(StrandTask) other = make_task ("test.nothing", runner);
  g_autoptr(Told) others = told_new ();
  StrandHandle *handle = strand_task_call (greedy, "(u)", 0);

  told_listen (others, other);
  g_idle_add (count_down, &n_idle);
  g_timeout_add (1, count_down, &n_timeout);
  for (guint i = 0; i < 10; i++)
    strand_task_post (other, NULL);
  wait_until (n_idle == 0 && n_timeout == 0 && told_count_over (others) == 10);
  g_assert_false (strand_handle_is_ready (handle));
  g_atomic_int_set (&told, TRUE);
  wait_until (strand_handle_is_ready (handle));
  g_object_unref (handle);
  g_clear_object (&greedy);
  g_clear_object (&other);
  close_runner (runner);
}

/* Sleeping. */

static GVariant *
sleep_for (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n = get_n (arguments);

  g_atomic_int_inc ((int *) data);
  if (!strand_context_sleep (context, (gint64) n * G_USEC_PER_SEC, error))
    return NULL;
  tell ("s", n);
  return g_variant_new_uint32 (n);
}

static void
test_sleepers_wake_in_order (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) task = make_task_for (sleep_for, &n_asleep, runner);
  StrandHandle *handles[3];

  begin_story ();
  strand_clock_set_manual (0);
  for (guint i = 0; i < 3; i++)
    handles[i] = strand_task_call (task, "(u)", 30 - 10 * i);
  wait_until (g_atomic_int_get (&n_asleep) == 3);
  for (guint i = 3; i-- > 0;)
    {
      /* A coroutine says that it will sleep just before it does: its timer may be set at the new time. */
      while (!strand_handle_is_ready (handles[i]))
        {
          strand_clock_advance (G_USEC_PER_SEC);
          g_main_context_iteration (NULL, FALSE);
        }
    }
  g_assert_cmpstr (story->str, ==, "s10 s20 s30 ");
  strand_clock_set_system ();
  drop_handles (handles, 3);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_cancelled_sleeper_unwinds (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) task = make_task_for (sleep_for, &n_asleep, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 100000);

  wait_until (g_atomic_int_get (&n_asleep) == 1);
  g_assert_true (strand_handle_cancel (handle));
  wait_until (strand_handle_is_ready (handle));
  assert_cancelled (handle);
  g_clear_object (&task);
  close_runner (runner);
}

/* Waiting for another call. */

typedef struct
{
  StrandTask *task; /* that is waited for */
  int n_waiting;    /* atomic */
} Other;

static GVariant *
wait_for_other (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Other *other = data;
  g_autoptr(StrandHandle) handle = strand_task_call (other->task, "(u)", get_n (arguments));
  g_autoptr(GError) local = NULL;

  g_atomic_int_inc (&other->n_waiting);
  if (!strand_handle_wait (handle, -1, &local))
    {
      strand_handle_cancel (handle);
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  return strand_handle_get_result (handle, error);
}

static void
test_waits_for_a_call_of_the_same_runner (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) inner = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;
  Other other = { 0 };

  begin_story ();
  inner = other.task = make_task_for (yield_twice, NULL, runner);
  task = make_task_for (wait_for_other, &other, runner);
  handle = strand_task_call (task, "(u)", 7);
  wait_until (strand_handle_is_ready (handle));
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, 7);
  g_clear_object (&task);
  g_clear_object (&inner);
  close_runner (runner);
}

static void
test_cancelled_waiter_unwinds (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) inner = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  Other other = { 0 };

  inner = other.task = make_task_for (sleep_for, &n_asleep, runner);
  task = make_task_for (wait_for_other, &other, runner);
  handle = strand_task_call (task, "(u)", 100000);
  wait_until (g_atomic_int_get (&n_asleep) == 1);
  strand_handle_cancel (handle);
  wait_until (strand_handle_is_ready (handle));
  assert_cancelled (handle);
  g_clear_object (&task);
  g_clear_object (&inner);
  close_runner (runner);
}

static GVariant *
wait_a_second (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Other *other = data;
  g_autoptr(StrandHandle) handle = strand_task_call (other->task, "(u)", 100000);

  g_atomic_int_inc (&other->n_waiting);
  strand_handle_wait (handle, G_USEC_PER_SEC, error);
  strand_handle_cancel (handle);
  return NULL;
}

static void
test_a_wait_ends_by_the_clock (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) inner = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  Other other = { 0 };

  strand_clock_set_manual (0);
  inner = other.task = make_task_for (sleep_for, &n_asleep, runner);
  task = make_task_for (wait_a_second, &other, runner);
  handle = strand_task_call (task, "(u)", 0);
  wait_until (g_atomic_int_get (&n_asleep) == 1);
  while (!strand_handle_is_ready (handle))
    {
      strand_clock_advance (G_USEC_PER_SEC);
      g_main_context_iteration (NULL, FALSE);
    }
  strand_clock_set_system ();
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_clear_object (&task);
  g_clear_object (&inner);
  close_runner (runner);
}

/* Awaiting what GIO does. */

static GVariant *
read_file (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GFile) file = g_file_new_for_path (data);
  g_autoptr(GAsyncResult) result = NULL;
  g_autofree char *text = NULL;
  StrandAwait *await = strand_await_new (context);
  gsize length;

  g_file_load_contents_async (file, strand_context_get_cancellable (context), strand_await_ready, await);
  result = strand_await_finish (await, error);
  if (result == NULL || !g_file_load_contents_finish (file, result, &text, &length, NULL, error))
    return NULL;
  return g_variant_new_uint32 ((guint) length);
}

static void
test_awaits_a_file (gconstpointer where)
{
  g_autofree char *folder = fixture_make_folder ();
  g_autofree char *path = g_build_filename (folder, "text", NULL);
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) task = make_task_for (read_file, path, runner);
  StrandHandle *handles[20];

  g_assert_true (g_file_set_contents (path, "twelve bytes", -1, NULL));
  for (guint i = 0; i < 20; i++)
    handles[i] = strand_task_call (task, "(u)", 0);
  wait_until (all_ended (handles, 20));
  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) value = strand_handle_get_result (handles[i], &error);

      g_assert_no_error (error);
      g_assert_cmpuint (g_variant_get_uint32 (value), ==, 12);
    }
  drop_handles (handles, 20);
  g_clear_object (&task);
  close_runner (runner);
  fixture_remove_folder (g_steal_pointer (&folder));
}

/* An operation that ends when the test says so. */
static GTask *slow_operation; /* atomic */

static GVariant *
await_slow (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  StrandAwait *await = strand_await_new (context);
  g_autoptr(GAsyncResult) result = NULL;

  g_atomic_pointer_set (&slow_operation, g_task_new (NULL, NULL, strand_await_ready, await));
  result = strand_await_finish (await, error);
  return result != NULL ? g_variant_new_uint32 (1) : NULL;
}

static void
test_cancelled_await_returns_before_the_operation (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) task = make_task_for (await_slow, NULL, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 0);
  GTask *operation;

  wait_until (g_atomic_pointer_get (&slow_operation) != NULL);
  strand_handle_cancel (handle);
  wait_until (strand_handle_is_ready (handle));
  assert_cancelled (handle);
  operation = g_atomic_pointer_exchange (&slow_operation, NULL);
  g_task_return_boolean (operation, TRUE); /* for nobody, in the runner's context */
  g_object_unref (operation);
  g_clear_object (&task);
  if (g_str_equal (where, "caller"))
    while (g_main_context_iteration (NULL, FALSE))
      ;
  close_runner (runner);
}

static GVariant *
await_at_once (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  StrandAwait *await = strand_await_new (context);
  g_autoptr(GTask) operation = g_task_new (NULL, NULL, NULL, NULL);

  strand_await_ready (NULL, G_ASYNC_RESULT (operation), await);
  g_object_unref (strand_await_finish (await, error));
  return g_variant_new_uint32 (1);
}

static void
test_await_of_what_has_ended_returns (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) task = make_task_for (await_at_once, NULL, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 0);

  wait_until (strand_handle_is_ready (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&task);
  close_runner (runner);
}

static GVariant *
await_outside (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  StrandAwait *await = strand_await_new (context);
  g_autoptr(GTask) operation = g_task_new (NULL, NULL, NULL, NULL);
  g_autoptr(GError) yield_error = NULL;

  g_assert_false (strand_coroutine_is_current ());
  g_assert_false (strand_coroutine_yield (context, &yield_error));
  g_assert_error (yield_error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_assert_null (strand_await_finish (await, error));
  strand_await_ready (NULL, G_ASYNC_RESULT (operation), await);
  return NULL;
}

static void
test_await_outside_is_an_error (gconstpointer type)
{
  StrandTaskrunner *runner = make_runner (type, NULL);
  g_autoptr(StrandTask) task = make_task_for (await_outside, NULL, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 0);

  wait_until (strand_handle_is_ready (handle));
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_object (&task);
  close_runner (runner);
}

/* Items. */

typedef struct
{
  int n_emitted; /* atomic */
  int n_others;  /* atomic */
  gboolean slow; /* the consumer's context is not iterated */
} Flow;

static GVariant *
emit_many (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n = get_n (arguments);

  for (guint i = 0; i < n; i++)
    {
      if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
        return NULL;
      g_atomic_int_inc (&((Flow *) data)->n_emitted);
    }
  return g_variant_new_uint32 (n);
}

static GVariant *
count_other (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_int_inc (&((Flow *) data)->n_others);
  return g_variant_new_uint32 (0);
}

static void
test_slow_consumer_parks_the_producer (void)
{
  StrandTaskrunner *runner = make_coroutines ("own", NULL);
  Flow flow = { 0 };
  g_autoptr(StrandTask) producer = make_task_for (emit_many, &flow, runner);
  g_autoptr(StrandTask) other = make_task_for (count_other, &flow, runner);
  g_autoptr(Told) told = told_new ();
  int n_at_rest;

  told_listen (told, producer);
  strand_task_post (producer, "(u)", 20000);
  wait_still (g_atomic_int_get (&flow.n_emitted) >= 1);
  do
    {
      /* Nobody consumes here; the others go on, and at some time the producer emits no more. */
      n_at_rest = g_atomic_int_get (&flow.n_emitted);
      g_atomic_int_set (&flow.n_others, 0);
      for (guint i = 0; i < 100; i++)
        strand_task_post (other, "(u)", 0);
      wait_still (g_atomic_int_get (&flow.n_others) >= 100);
    }
  while (g_atomic_int_get (&flow.n_emitted) != n_at_rest);
  g_assert_cmpint (n_at_rest, <, 20000);

  wait_until (told_count_over (told) == 1);
  g_assert_cmpuint (told->n_items, ==, 20000);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_clear_object (&producer);
  g_clear_object (&other);
  close_runner (runner);
}

/* The consumer lives in the very context that the coroutine runs in. */
static void
test_consumer_in_the_same_context (void)
{
  StrandTaskrunner *runner = make_coroutines ("caller", NULL);
  Flow flow = { 0 };
  g_autoptr(StrandTask) producer = make_task_for (emit_many, &flow, runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, producer);
  strand_task_post (producer, "(u)", 20000);
  wait_until (told_count_over (told) == 1);
  g_assert_cmpuint (told->n_items, ==, 20000);
  g_clear_object (&producer);
  close_runner (runner);
}

static GVariant *
emit_and_tell (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n = get_n (arguments);

  for (guint i = 0; i < 2; i++)
    {
      tell ("i", n);
      if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
        return NULL;
    }
  return g_variant_new_uint32 (n);
}

static void
test_an_item_is_followed_by_a_turn (gconstpointer expected)
{
  gboolean yields = g_str_equal (expected, "i0 i1 i0 i1 ");
  StrandTaskrunner *runner = make_coroutines ("caller", "yield-on-iter", yields, NULL);
  g_autoptr(StrandTask) task = make_task_for (emit_and_tell, NULL, runner);
  g_autoptr(Told) told = told_new ();

  begin_story ();
  told_listen (told, task);
  strand_task_post (task, "(u)", 0);
  strand_task_post (task, "(u)", 1);
  wait_until (told_count_over (told) == 2);
  g_assert_cmpstr (story->str, ==, expected);
  g_clear_object (&task);
  close_runner (runner);
}

/* Locks. */

static GVariant *
use_mutex (StrandContext *context, GVariant *arguments, gpointer mutex, GError **error)
{
  guint n = get_n (arguments);

  if (!strand_mutex_lock (mutex, context, error))
    return NULL;
  tell ("in", n);
  strand_coroutine_yield (context, NULL);
  tell ("out", n);
  strand_mutex_unlock (mutex, context);
  return g_variant_new_uint32 (n);
}

static void
test_mutex_is_held_across_a_yield (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandMutex) mutex = strand_mutex_new ();
  g_autoptr(StrandTask) task = make_task_for (use_mutex, mutex, runner);
  StrandHandle *handles[3];

  begin_story ();
  for (guint i = 0; i < 3; i++)
    handles[i] = strand_task_call (task, "(u)", i);
  wait_until (all_ended (handles, 3));
  g_assert_cmpstr (story->str, ==, "in0 out0 in1 out1 in2 out2 ");
  drop_handles (handles, 3);
  g_clear_object (&task);
  close_runner (runner);
}

static GVariant *
lock_twice (StrandContext *context, GVariant *arguments, gpointer mutex, GError **error)
{
  if (!strand_mutex_lock (mutex, context, error))
    return NULL;
  if (strand_mutex_lock (mutex, context, error))
    g_assert_not_reached ();
  strand_mutex_unlock (mutex, context);
  return NULL;
}

static void
test_locking_twice_is_refused (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandMutex) mutex = strand_mutex_new ();
  g_autoptr(StrandTask) task = make_task_for (lock_twice, mutex, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 0);

  wait_until (strand_handle_is_ready (handle));
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_object (&task);
  close_runner (runner);
}

typedef struct
{
  StrandSemaphore *semaphore;
  int n_came; /* atomic, as the next */
  int n_inside;
  int n_most;
} Room;

static GVariant *
be_inside (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Room *room = data;
  int n;

  g_atomic_int_inc (&room->n_came);
  if (!strand_semaphore_acquire (room->semaphore, context, error))
    return NULL;
  n = g_atomic_int_add (&room->n_inside, 1) + 1;
  if (n > g_atomic_int_get (&room->n_most))
    g_atomic_int_set (&room->n_most, n);
  strand_context_sleep (context, 100, NULL);
  g_atomic_int_add (&room->n_inside, -1);
  strand_semaphore_release (room->semaphore);
  return g_variant_new_uint32 (0);
}

/* Threads and coroutines alike. */
static void
test_semaphore_lets_so_many_in (gconstpointer type)
{
  StrandTaskrunner *runner = make_runner (type, NULL);
  g_autoptr(StrandSemaphore) semaphore = strand_semaphore_new (2);
  Room room = { semaphore, 0, 0, 0 };
  g_autoptr(StrandTask) task = make_task_for (be_inside, &room, runner);
  StrandHandle *handles[40];

  for (guint i = 0; i < 40; i++)
    handles[i] = strand_task_call (task, "(u)", 0);
  wait_until (all_ended (handles, 40));
  for (guint i = 0; i < 40; i++)
    g_assert_cmpint (strand_handle_get_status (handles[i]), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (room.n_most, <=, 2);
  g_assert_cmpint (room.n_most, >, 0);
  drop_handles (handles, 40);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_cancelled_in_a_queue_leaves_it (gconstpointer type)
{
  StrandTaskrunner *runner = make_runner (type, NULL);
  g_autoptr(StrandSemaphore) semaphore = strand_semaphore_new (0);
  Room room = { semaphore, 0, 0, 0 };
  g_autoptr(StrandTask) task = make_task_for (be_inside, &room, runner);
  g_autoptr(StrandHandle) first = strand_task_call (task, "(u)", 0);
  g_autoptr(StrandHandle) second = NULL;

  wait_until (g_atomic_int_get (&room.n_came) == 1);
  second = strand_task_call (task, "(u)", 0);
  wait_until (g_atomic_int_get (&room.n_came) == 2);
  strand_handle_cancel (first);
  wait_until (strand_handle_is_ready (first));
  assert_cancelled (first);
  g_assert_false (strand_handle_is_ready (second));
  strand_semaphore_release (semaphore);
  wait_until (strand_handle_is_ready (second));
  g_assert_cmpint (strand_handle_get_status (second), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&task);
  close_runner (runner);
}

/* Where, how many, and how it ends. */

static GVariant *
check_main_thread (StrandContext *context, GVariant *arguments, gpointer main_thread, GError **error)
{
  return g_variant_new_uint32 (g_thread_self () == main_thread);
}

static void
test_the_context_decides_the_thread (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) task = make_task_for (check_main_thread, g_thread_self (), runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 0);
  g_autoptr(GVariant) value = NULL;

  wait_until (strand_handle_is_ready (handle));
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpuint (g_variant_get_uint32 (value), ==, g_str_equal (where, "caller"));
  g_clear_object (&task);
  close_runner (runner);
}

/* Blocking would stop what is waited for. */
static void
test_blocking_the_context_is_refused (void)
{
  StrandTaskrunner *runner = make_coroutines ("caller", NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) task = make_task_for (sleep_for, &n_asleep, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 100000);
  g_autoptr(GError) pending = NULL;
  g_autoptr(GError) running = NULL;

  g_assert_false (strand_handle_wait (handle, DEADLINE_US, &pending));
  g_assert_error (pending, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  wait_until (g_atomic_int_get (&n_asleep) == 1);
  g_assert_false (strand_handle_wait (handle, DEADLINE_US, &running));
  g_assert_error (running, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  strand_handle_cancel (handle);
  wait_until (strand_handle_is_ready (handle));
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_blocking_from_elsewhere_is_fine (void)
{
  StrandTaskrunner *runner = make_coroutines ("own", NULL);
  g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
  g_clear_object (&task);
  close_runner (runner);
}

/* Valgrind looks through all stacks at each switch, and the race detector takes a stack for a thread, of
 * which it knows 8128 at most. */
#ifdef __SANITIZE_THREAD__
#define N_SLEEPERS 1000
#else
#define N_SLEEPERS (RUNNING_ON_VALGRIND ? 3000 : 100000)
#endif

static void
test_a_hundred_thousand_sleep_at_once (void)
{
  StrandTaskrunner *runner = make_coroutines ("own", NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) task = make_task_for (sleep_for, &n_asleep, runner);
  g_autoptr(Told) told = told_new ();
  g_autoptr(GError) error = NULL;
  guint n = N_SLEEPERS, alive;

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    strand_task_post (task, "(u)", 1000000);
  wait_still (g_atomic_int_get (&n_asleep) >= (int) n);
  do
    g_object_get (runner, "alive", &alive, NULL);
  while (alive < n);
  g_assert_cmpuint (alive, ==, n);

  /* Closing cancels them: each unwinds. */
  g_assert_false (strand_taskrunner_close (runner, g_get_monotonic_time (), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  wait_until (told_count_over (told) == n);
  g_assert_cmpuint (told->n_errors, ==, n);
  g_clear_object (&task);
  g_object_unref (runner);
}

static void
test_more_than_may_be_alive_wait (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, "max-alive", 2, "max-stacks", 1, NULL);
  Room room = { strand_semaphore_new (5), 0, 0, 0 };
  g_autoptr(StrandTask) task = make_task_for (be_inside, &room, runner);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 200; i++)
    strand_task_post (task, "(u)", 0);
  wait_until (told_count_over (told) == 200);
  g_assert_cmpuint (told->n_ends, ==, 200);
  g_assert_cmpint (room.n_most, <=, 2);
  g_clear_object (&task);
  close_runner (runner);
  strand_semaphore_unref (room.semaphore);
}

static void
test_a_full_line_is_an_error (void)
{
  StrandTaskrunner *runner = make_coroutines ("caller", "max-queued", 2, NULL);
  g_autoptr(StrandTask) task = make_task ("test.nothing", runner);
  StrandHandle *handles[3];

  for (guint i = 0; i < 3; i++)
    handles[i] = strand_task_call (task, NULL);
  g_assert_true (strand_handle_is_ready (handles[2]));
  g_assert_error (strand_handle_get_error (handles[2]), STRAND_ERROR, STRAND_ERROR_FULL);
  wait_until (all_ended (handles, 3));
  g_assert_cmpint (strand_handle_get_status (handles[0]), ==, STRAND_STATUS_COMPLETED);
  drop_handles (handles, 3);
  g_clear_object (&task);
  close_runner (runner);
}

static void
test_closing_lets_calls_finish (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) task = make_task_for (yield_twice, NULL, runner);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandHandle) late = NULL;
  g_autoptr(GError) error = NULL;

  begin_story ();
  handle = strand_task_call (task, "(u)", 1);
  g_assert_true (strand_taskrunner_close (runner, -1, &error));
  g_assert_no_error (error);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  late = strand_task_call (task, "(u)", 2);
  g_assert_error (strand_handle_get_error (late), STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_object_unref (runner);
}

static void
test_closing_cancels_what_sleeps (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  int n_asleep = 0;
  g_autoptr(StrandTask) task = make_task_for (sleep_for, &n_asleep, runner);
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(u)", 100000);
  g_autoptr(GError) error = NULL;

  wait_until (g_atomic_int_get (&n_asleep) == 1);
  g_assert_false (strand_taskrunner_close (runner, g_get_monotonic_time (), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  assert_cancelled (handle);
  g_object_unref (runner);
}

static void
test_functions_for_threads_work_unchanged (gconstpointer where)
{
  StrandTaskrunner *runner = make_coroutines (where, NULL);
  g_autoptr(StrandTask) count = make_task ("test.count", runner);
  g_autoptr(StrandTask) add = make_task ("test.add", runner);
  g_autoptr(StrandTask) block = make_task ("test.block", runner);
  g_autoptr(StrandHandle) sum = strand_task_call (add, "(xx)", (gint64) 3, (gint64) 4);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(Told) told = told_new ();

  told_listen (told, count);
  strand_task_post (count, "(u)", 5000);
  wait_until (told_count_over (told) == 1);
  g_assert_cmpuint (told->n_items, ==, 5000);
  g_assert_cmpuint (g_variant_get_uint32 (told->value), ==, 5000);
  wait_until (strand_handle_is_ready (sum));
  value = strand_handle_get_result (sum, NULL);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 7);
  g_clear_object (&count);
  g_clear_object (&add);
  g_clear_object (&block);
  close_runner (runner);
}

/* Overflow. The child runs out of stack; its parent reads what it says. */

/* AddressSanitizer would say so first. */
__attribute__ ((noinline, no_sanitize ("address"))) static guint
recurse (const volatile char *start, gsize depth)
{
  volatile char frame[1024];

  for (guint i = 0; i < sizeof frame; i++)
    frame[i] = 1;
  if ((gsize) (start - frame) >= depth)
    return (guint) frame[0];
  return recurse (start, depth) + (guint) frame[depth % sizeof frame];
}

static GVariant *
overflow (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  /* Not a variable's address: sanitizers keep variables elsewhere. */
  guint n = recurse (__builtin_frame_address (0), get_n (arguments) * 1024);

  strand_coroutine_yield (context, error);
  return g_variant_new_uint32 (n);
}

static void
overflow_child (const char *how)
{
  gboolean guarded = g_str_equal (how, "guard");
  StrandTaskrunner *runner = make_coroutines ("own", "stack-size", (gint64) 64 * 1024, NULL);
  int n_asleep = 0;
  StrandTask *sleeper = make_task_for (sleep_for, &n_asleep, runner);
  StrandTask *task = make_task_for (overflow, NULL, runner);

  if (!guarded)
    {
      for (guint i = 0; i < 16100; i++)
        strand_task_post (sleeper, "(u)", 1000000);
      wait_still (g_atomic_int_get (&n_asleep) >= 16100);
    }
  /* Without a guard, beyond the stack but not as far as the next one below. */
  strand_task_post (task, "(u)", guarded ? 1000 : 68);
  while (TRUE)
    g_main_context_iteration (NULL, TRUE);
}

static void
test_overflow_is_explained (gconstpointer how)
{
  g_autofree char *path = g_strdup_printf ("/coroutine/child/overflow-%s", (const char *) how);

#ifdef __SANITIZE_THREAD__
  if (g_str_equal (how, "canary"))
    {
      g_test_skip ("the race detector ends before there are stacks without a guard");
      return;
    }
#endif
  g_test_trap_subprocess (path, 0, 0);
  g_test_trap_assert_failed ();
  g_test_trap_assert_stderr (
      "*the stack of a coroutine that runs 'test.own' overflowed: it has 64 KiB*stack-size*");
}

static void
test_overflow_child (gconstpointer how)
{
  if (g_test_subprocess ())
    overflow_child (how);
}

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  BOTH ("turns/those-who-yield-take-turns", test_those_who_yield_take_turns);
  BOTH ("turns/a-loop-of-yields-starves-nobody", test_a_loop_of_yields_starves_nobody);
  BOTH ("sleep/sleepers-wake-in-order", test_sleepers_wake_in_order);
  BOTH ("sleep/cancelled-sleeper-unwinds", test_cancelled_sleeper_unwinds);
  BOTH ("wait/waits-for-a-call-of-the-same-runner", test_waits_for_a_call_of_the_same_runner);
  BOTH ("wait/cancelled-waiter-unwinds", test_cancelled_waiter_unwinds);
  BOTH ("wait/a-wait-ends-by-the-clock", test_a_wait_ends_by_the_clock);
  BOTH ("await/awaits-a-file", test_awaits_a_file);
  BOTH ("await/cancelled-await-returns-before-the-operation",
        test_cancelled_await_returns_before_the_operation);
  BOTH ("await/await-of-what-has-ended-returns", test_await_of_what_has_ended_returns);
  g_test_add_data_func ("/coroutine/await/outside-is-an-error/thread", "thread",
                        test_await_outside_is_an_error);
  g_test_add_data_func ("/coroutine/await/outside-is-an-error/sync", "sync", test_await_outside_is_an_error);
  g_test_add_func ("/coroutine/items/slow-consumer-parks-the-producer",
                   test_slow_consumer_parks_the_producer);
  g_test_add_func ("/coroutine/items/consumer-in-the-same-context", test_consumer_in_the_same_context);
  g_test_add_data_func ("/coroutine/items/an-item-is-followed-by-a-turn", "i0 i1 i0 i1 ",
                        test_an_item_is_followed_by_a_turn);
  g_test_add_data_func ("/coroutine/items/unless-told-otherwise", "i0 i0 i1 i1 ",
                        test_an_item_is_followed_by_a_turn);
  BOTH ("locks/mutex-is-held-across-a-yield", test_mutex_is_held_across_a_yield);
  BOTH ("locks/locking-twice-is-refused", test_locking_twice_is_refused);
  g_test_add_data_func ("/coroutine/locks/semaphore-lets-so-many-in/coroutine", "coroutine",
                        test_semaphore_lets_so_many_in);
  g_test_add_data_func ("/coroutine/locks/semaphore-lets-so-many-in/thread", "thread",
                        test_semaphore_lets_so_many_in);
  g_test_add_data_func ("/coroutine/locks/cancelled-in-a-queue-leaves-it/coroutine", "coroutine",
                        test_cancelled_in_a_queue_leaves_it);
  g_test_add_data_func ("/coroutine/locks/cancelled-in-a-queue-leaves-it/thread", "thread",
                        test_cancelled_in_a_queue_leaves_it);
  BOTH ("where/the-context-decides-the-thread", test_the_context_decides_the_thread);
  g_test_add_func ("/coroutine/where/blocking-the-context-is-refused", test_blocking_the_context_is_refused);
  g_test_add_func ("/coroutine/where/blocking-from-elsewhere-is-fine", test_blocking_from_elsewhere_is_fine);
  g_test_add_func ("/coroutine/many/a-hundred-thousand-sleep-at-once", test_a_hundred_thousand_sleep_at_once);
  BOTH ("many/more-than-may-be-alive-wait", test_more_than_may_be_alive_wait);
  g_test_add_func ("/coroutine/many/a-full-line-is-an-error", test_a_full_line_is_an_error);
  BOTH ("close/lets-calls-finish", test_closing_lets_calls_finish);
  BOTH ("close/cancels-what-sleeps", test_closing_cancels_what_sleeps);
  BOTH ("functions-for-threads-work-unchanged", test_functions_for_threads_work_unchanged);
  g_test_add_data_func ("/coroutine/overflow/of-a-guarded-stack-is-explained", "guard",
                        test_overflow_is_explained);
  g_test_add_data_func ("/coroutine/overflow/of-one-with-a-canary-too", "canary", test_overflow_is_explained);
  g_test_add_data_func ("/coroutine/child/overflow-guard", "guard", test_overflow_child);
  g_test_add_data_func ("/coroutine/child/overflow-canary", "canary", test_overflow_child);
  return g_test_run ();
}
