/* test-deadlock.c — a wait that could never end is refused, or ends because somebody runs what nobody else
 * could.
 *
 * Each case builds a circle of waits; what it must not do is hang.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>

/* Functions that meet, then wait for a call made in time or for each other's. */
typedef struct
{
  GMutex lock; /* guards the rest */
  GCond changed;
  guint n_here;
  guint n_meet; /* how many functions are to be under way before one waits */
} Meeting;

static Meeting meeting;

static void
meet_again (guint n)
{
  g_mutex_lock (&meeting.lock);
  meeting.n_here = 0;
  meeting.n_meet = n;
  g_mutex_unlock (&meeting.lock);
}

static void
meet (StrandContext *context)
{
  g_mutex_lock (&meeting.lock);
  meeting.n_here++;
  g_cond_broadcast (&meeting.changed);
  while (meeting.n_here < meeting.n_meet)
    if (strand_coroutine_is_current ())
      {
        g_mutex_unlock (&meeting.lock);
        g_assert_true (strand_coroutine_yield (context, NULL));
        g_mutex_lock (&meeting.lock);
      }
    else
      g_cond_wait (&meeting.changed, &meeting.lock);
  g_mutex_unlock (&meeting.lock);
}

/* The test itself comes to the meeting, once everybody has what he needs. */
static void
join_meeting (void)
{
  g_mutex_lock (&meeting.lock);
  meeting.n_here++;
  g_cond_broadcast (&meeting.changed);
  g_mutex_unlock (&meeting.lock);
}

/* One function of a circle. */
typedef struct
{
  StrandTask *calls;       /* waits for a call of this, made in the function; or */
  StrandHandle *waits_for; /* atomic; for this one */
  gint64 timeout_us;
  GError *error; /* of the wait */
  StrandTask *task;
  StrandHandle *handle;
} Member;

static GVariant *
take_part (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Member *member = data;
  g_autoptr(StrandHandle) made = NULL;

  meet (context);
  if (member->calls != NULL)
    made = strand_task_call (member->calls, NULL);
  strand_handle_wait (made != NULL ? made : g_atomic_pointer_get (&member->waits_for), member->timeout_us,
                      &member->error);
  return NULL;
}

static void
member_init (Member *member, gpointer target)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.member", "", NULL, STRAND_TRAIT_NONE, take_part, member, NULL, NULL);

  memset (member, 0, sizeof *member);
  member->timeout_us = -1;
  member->task = strand_task_new (function, target);
}

static void
member_call (Member *member)
{
  member->handle = strand_task_call (member->task, NULL);
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

static void
check_completed (StrandHandle *handle)
{
  wait_until (strand_handle_is_ready (handle));
  g_assert_no_error (strand_handle_get_error (handle));
}

static void
member_clear (Member *member)
{
  check_completed (member->handle);
  g_clear_error (&member->error);
  g_clear_object (&member->handle);
  g_clear_object (&member->task);
  g_clear_object (&member->calls);
}

static StrandTask *
make_task (const char *function, gpointer target)
{
  g_autoptr(StrandFunction) callee = fixture_function (function);

  return strand_task_new (callee, target);
}

/* Circles through pools. */

static void
check_ring (gpointer *targets, guint n)
{
  Member members[8];

  meet_again (n);
  for (guint i = 0; i < n; i++)
    {
      member_init (&members[i], targets[i]);
      members[i].calls = make_task ("test.nothing", targets[(i + 1) % n]);
    }
  for (guint i = 0; i < n; i++)
    member_call (&members[i]);
  for (guint i = 0; i < n; i++)
    {
      check_completed (members[i].handle);
      g_assert_no_error (members[i].error);
    }
  for (guint i = 0; i < n; i++)
    member_clear (&members[i]);
}

/* The only worker of each waits for a call that waits for the only worker of the next. */
static void
test_a_ring_of_pools (gconstpointer n_pools)
{
  gpointer runners[8];
  guint n = GPOINTER_TO_UINT (n_pools);

  for (guint i = 0; i < n; i++)
    runners[i] = make_runner ("thread", "workers", 1, NULL);
  for (guint round = 0; round < 50; round++)
    check_ring (runners, n);
  for (guint i = 0; i < n; i++)
    close_runner (runners[i]);
}

/* The same through records: what is waited for has no attempt yet when the wait begins. */
static void
test_a_ring_of_backends (void)
{
  gpointer backends[3];
  StrandStore *stores[3];
  StrandTaskrunner *runners[3];

  for (guint i = 0; i < 3; i++)
    {
      runners[i] = make_runner ("thread", "workers", 1, NULL);
      stores[i] = make_store ("memory", NULL);
      backends[i] = make_backend ("local", "store", stores[i], "taskrunner", runners[i], NULL);
    }
  for (guint round = 0; round < 20; round++)
    check_ring (backends, 3);
  for (guint i = 0; i < 3; i++)
    {
      close_backend (backends[i]);
      close_runner (runners[i]);
      strand_store_close (stores[i]);
      g_object_unref (stores[i]);
    }
}

/* All workers of one pool wait for calls that stand in its line. */
static void
test_all_workers_wait_for_the_line (gconstpointer timeout)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 3, NULL);
  Member members[3];

  meet_again (3);
  for (guint i = 0; i < 3; i++)
    {
      member_init (&members[i], runner);
      members[i].calls = make_task ("test.nothing", runner);
      members[i].timeout_us = GPOINTER_TO_INT (timeout);
    }
  for (guint i = 0; i < 3; i++)
    member_call (&members[i]);
  for (guint i = 0; i < 3; i++)
    {
      check_completed (members[i].handle);
      g_assert_no_error (members[i].error);
    }
  for (guint i = 0; i < 3; i++)
    member_clear (&members[i]);
  close_runner (runner);
}

/* Each waits for the other's end: one is refused, and the other then has what it waited for. */
static void
check_two_wait_for_each_other (gpointer one_target, gpointer other_target)
{
  Member one, other;
  Member *refused;

  meet_again (3);
  member_init (&one, one_target);
  member_init (&other, other_target);
  member_call (&one);
  member_call (&other);
  g_atomic_pointer_set (&one.waits_for, other.handle);
  g_atomic_pointer_set (&other.waits_for, one.handle);
  join_meeting ();
  check_completed (one.handle);
  check_completed (other.handle);
  refused = one.error != NULL ? &one : &other;
  g_assert_error (refused->error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_assert_no_error ((refused == &one ? &other : &one)->error);
  member_clear (&one);
  member_clear (&other);
}

static void
test_two_functions_wait_for_each_other (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  StrandTaskrunner *two = make_runner ("thread", "workers", 2, NULL);

  for (guint i = 0; i < 100; i++)
    {
      check_two_wait_for_each_other (one, two);
      check_two_wait_for_each_other (two, two);
    }
  close_runner (one);
  close_runner (two);
}

static void
test_two_coroutines_wait_for_each_other (gconstpointer context)
{
  GEnumClass *contexts;
  StrandTaskrunner *runner = make_runner ("coroutine", NULL);
  GParamSpec *pspec = g_object_class_find_property (G_OBJECT_GET_CLASS (runner), "context");

  contexts = G_PARAM_SPEC_ENUM (pspec)->enum_class;
  g_object_unref (runner);
  runner = make_runner ("coroutine", "context", g_enum_get_value_by_nick (contexts, context)->value, NULL);
  for (guint i = 0; i < 20; i++)
    check_two_wait_for_each_other (runner, runner);
  close_runner (runner);
}

static void
test_a_coroutine_and_a_thread_wait_for_each_other (void)
{
  StrandTaskrunner *coroutines = make_runner ("coroutine", NULL);
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);

  for (guint i = 0; i < 20; i++)
    check_two_wait_for_each_other (coroutines, one);
  close_runner (coroutines);
  close_runner (one);
}

/* No coroutine may be started while this one is alive, and it waits for one. */
static void
test_the_only_coroutine_waits_for_another (void)
{
  StrandTaskrunner *runner = make_runner ("coroutine", "max-alive", 1, NULL);
  gpointer targets[] = { runner };

  check_ring (targets, 1);
  close_runner (runner);
}

/* One waits for a call that stands in line behind the other; the other then waits for the one. Whoever closes
 * the circle, the one runs the call. */
static void
test_who_waits_already_runs_the_call (void)
{
  StrandTaskrunner *first = make_runner ("thread", "workers", 1, NULL);
  StrandTaskrunner *second = make_runner ("thread", "workers", 1, NULL);

  for (guint i = 0; i < 100; i++)
    {
      Member one, other;

      meet_again (3);
      member_init (&one, first);
      member_init (&other, second);
      one.calls = make_task ("test.nothing", second);
      member_call (&one);
      member_call (&other);
      g_atomic_pointer_set (&other.waits_for, one.handle);
      join_meeting ();
      check_completed (one.handle);
      check_completed (other.handle);
      g_assert_no_error (one.error);
      g_assert_no_error (other.error);
      member_clear (&one);
      member_clear (&other);
    }
  close_runner (first);
  close_runner (second);
}

/* Waits with an end. */

static void
test_a_timed_wait_ends_in_time (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  Member member;
  Gate *gate = fixture_gate ();

  meet_again (1);
  member_init (&member, one);
  member.calls = make_task ("test.hold", one);
  member.timeout_us = 1000;
  member_call (&member);
  check_completed (member.handle); /* though what it waits for never ends */
  g_assert_error (member.error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  gate_wait_inside (gate, 1); /* it was run all the same */
  gate_open (gate);
  wait_until (gate_count_left (gate) == 1);
  member_clear (&member);
  close_runner (one);
}

static gboolean
take_item (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  return TRUE;
}

/* News that never rests does not keep a wait from ending. */
static void
test_a_timed_wait_ends_in_a_flood_of_news (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  g_autoptr(StrandTask) flood = make_task ("test.count", runner), block = make_task ("test.block", runner);
  g_autoptr(StrandHandle) items = NULL, handle = NULL;
  g_autoptr(GError) error = NULL;

  strand_task_on_iter (flood, take_item, NULL, NULL);
  items = strand_task_call (flood, "(u)", G_MAXUINT);
  handle = strand_task_call (block, NULL);
  g_assert_false (strand_handle_wait (handle, 20000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_false (strand_handle_is_ready (items));
  strand_handle_cancel (items);
  strand_handle_cancel (handle);
  wait_for (items);
  wait_for (handle);
  g_clear_object (&flood);
  g_clear_object (&block);
  close_runner (runner);
}

/* That the other gives up in time is enough for a wait to end. */
static void
test_a_circle_that_one_leaves_in_time (void)
{
  StrandTaskrunner *two = make_runner ("thread", "workers", 2, NULL);
  Member timed, other;

  meet_again (3);
  member_init (&timed, two);
  member_init (&other, two);
  timed.timeout_us = 20000;
  member_call (&timed);
  member_call (&other);
  g_atomic_pointer_set (&timed.waits_for, other.handle);
  g_atomic_pointer_set (&other.waits_for, timed.handle);
  join_meeting ();
  check_completed (timed.handle);
  check_completed (other.handle);
  g_assert_no_error (other.error);
  /* Refused if it came second, else it gave up. */
  if (!g_error_matches (timed.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK))
    g_assert_error (timed.error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  member_clear (&other);
  member_clear (&timed);
  close_runner (two);
}

/* Callbacks. */

typedef struct
{
  StrandTask *task; /* to be called and waited for */
  GError *error;
  int done; /* atomic */
} Waiting;

static void
wait_in_on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Waiting *waiting = data;
  g_autoptr(StrandHandle) handle = strand_task_call (waiting->task, NULL);

  strand_handle_wait (handle, -1, &waiting->error);
  g_atomic_int_set (&waiting->done, TRUE);
}

static void
check_wait_in_callback (gpointer target, gboolean refused)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing", target);
  Waiting waiting = { make_task ("test.nothing", target), NULL, FALSE };

  g_object_set (task, "on-runner", TRUE, NULL);
  strand_task_on_end (task, wait_in_on_end, &waiting, NULL);
  strand_task_post (task, NULL);
  wait_until (g_atomic_int_get (&waiting.done));
  if (refused)
    g_assert_error (waiting.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  else
    g_assert_no_error (waiting.error);
  g_clear_error (&waiting.error);
  g_clear_object (&waiting.task);
}

/* A callback on the runner's thread has the function's place. */
static void
test_a_callback_on_the_only_worker (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);

  check_wait_in_callback (one, FALSE);
  close_runner (one);
}

/* A callback on the backend's own thread keeps every call of the backend from its end. */
static void
test_a_callback_on_the_backends_thread (void)
{
  StrandStore *store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);

  check_wait_in_callback (backend, TRUE);
  close_backend (backend);
  strand_store_close (store);
  g_object_unref (store);
}

/* So does a function that runs there. */
static void
test_a_function_on_the_backends_thread (void)
{
  StrandTaskrunner *sync = make_runner ("sync", NULL), *one = make_runner ("thread", "workers", 1, NULL);
  StrandStore *store = make_store ("memory", NULL);
  StrandBackend *backend = make_backend ("local", "store", store, "taskrunner", sync, NULL);
  Member direct, first, second;

  meet_again (1);
  member_init (&direct, backend);
  direct.calls = make_task ("test.nothing", backend);
  member_call (&direct);
  check_completed (direct.handle);
  g_assert_error (direct.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  member_clear (&direct);

  /* Over another pool: one of the two is refused. */
  meet_again (2);
  member_init (&first, backend);
  member_init (&second, one);
  second.calls = make_task ("test.nothing", backend);
  member_call (&second);
  first.waits_for = second.handle;
  member_call (&first);
  check_completed (first.handle);
  check_completed (second.handle);
  g_assert_true ((first.error != NULL) != (second.error != NULL));
  if (first.error != NULL)
    g_assert_error (first.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  else
    g_assert_error (second.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  member_clear (&first);
  member_clear (&second);

  close_backend (backend);
  close_runner (sync);
  close_runner (one);
  strand_store_close (store);
  g_object_unref (store);
}

typedef struct
{
  StrandTask *other;
  Gate gate;
  gboolean done;
} Nested;

static void
wait_inside_a_wait (StrandCall *call, GVariant *value, gpointer data)
{
  Nested *nested = data;
  g_autoptr(StrandHandle) handle = strand_task_call (nested->other, NULL);

  wait_for (handle);
  nested->done = TRUE;
  gate_open (&nested->gate);
}

static GVariant *
count_slowly (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gate_pass (data);
  for (guint i = 0; i < 20; i++)
    if (!strand_context_sleep (context, 1000, error) ||
        !strand_context_emit (context, g_variant_new_uint32 (i), error))
      return NULL;
  return NULL;
}

/* A wait inside a callback that runs inside a wait: the outer one still hears its news afterwards. */
static void
test_a_wait_inside_a_wait (void)
{
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  Nested nested = { make_task ("test.nothing", runner), { { 0 } }, FALSE };
  g_autoptr(StrandFunction) slow = NULL;
  g_autoptr(StrandTask) counting = NULL, first = make_task ("test.nothing", runner);
  g_autoptr(StrandHandle) counted = NULL;
  g_autoptr(Told) told = told_new ();

  gate_init (&nested.gate);
  slow =
      strand_function_new ("test.slow", "", NULL, STRAND_TRAIT_NONE, count_slowly, &nested.gate, NULL, NULL);
  counting = strand_task_new (slow, G_OBJECT (runner));
  g_object_set (counting, "max-items", 1, NULL);
  told_listen (told, counting);
  strand_task_on_end (first, wait_inside_a_wait, &nested, NULL);
  counted = strand_task_call (counting, NULL);
  strand_task_post (first, NULL);
  wait_for (counted);
  g_assert_true (nested.done);
  g_assert_cmpuint (told->n_items, ==, 20);
  g_clear_object (&nested.other);
  g_clear_object (&first);
  g_clear_object (&counting);
  close_runner (runner);
  gate_clear (&nested.gate);
}

/* What looks like something else. */

typedef struct
{
  StrandStore *store;
  GError *error;
} ByKey;

static GVariant *
wait_for_own_key (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  ByKey *by_key = data;
  g_autoptr(StrandHandle) handle =
      strand_handle_new (by_key->store, strand_context_get_key (context), &by_key->error);

  g_assert_no_error (by_key->error);
  strand_handle_wait (handle, -1, &by_key->error);
  return NULL;
}

static void
test_a_function_that_waits_for_its_own_key (void)
{
  StrandStore *store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);
  ByKey by_key = { store, NULL };
  g_autoptr(StrandFunction) function = strand_function_new ("test.own-key", "", NULL, STRAND_TRAIT_NONE,
                                                             wait_for_own_key, &by_key, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  check_completed (handle);
  g_assert_error (by_key.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_error (&by_key.error);
  g_clear_object (&task);
  close_backend (backend);
  strand_store_close (store);
  g_object_unref (store);
}

typedef struct
{
  StrandTask *task;
  StrandHandle *first;
  StrandHandle *second;
} Full;

static GVariant *
call_twice (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Full *full = data;

  full->first = strand_task_call (full->task, NULL);
  full->second = strand_task_call (full->task, NULL);
  return NULL;
}

/* A thread waits for room in a full line, but not the one that must make the room. */
static void
test_the_only_worker_waits_for_room (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, "max-queued", 1, NULL);
  Full full = { make_task ("test.nothing", one), NULL, NULL };
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.twice", "", NULL, STRAND_TRAIT_NONE, call_twice, &full, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (one));
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  check_completed (handle);
  check_completed (full.first);
  g_assert_error (strand_handle_get_error (full.second), STRAND_ERROR, STRAND_ERROR_FULL);
  g_clear_object (&full.first);
  g_clear_object (&full.second);
  g_clear_object (&full.task);
  g_clear_object (&task);
  close_runner (one);
}

static GVariant *
close_from_inside (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  if (STRAND_IS_BACKEND (data))
    strand_backend_close (data, -1, error);
  else
    strand_taskrunner_close (data, -1, error);
  return NULL;
}

static void
test_closing_from_inside (void)
{
  StrandTaskrunner *runners[] = { make_runner ("thread", "workers", 1, NULL),
                                  make_runner ("coroutine", NULL) };
  StrandStore *store = make_store ("memory", NULL);
  StrandBackend *backend = fixture_backend (store);
  gpointer targets[] = { runners[0], runners[1], backend };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandFunction) function = strand_function_new ("test.close", "", NULL, STRAND_TRAIT_NONE,
                                                                 close_from_inside, targets[i], NULL, NULL);
      g_autoptr(StrandTask) task = strand_task_new (function, targets[i]);
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

      wait_for (handle);
      g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
    }
  close_backend (backend);
  close_runner (runners[0]);
  close_runner (runners[1]);
  strand_store_close (store);
  g_object_unref (store);
}

/* Run in its caller it would run twice at once. */
static GVariant *
call_oneself (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  StrandTask **task = data;
  g_autoptr(StrandHandle) handle = strand_task_call (*task, NULL);

  strand_handle_wait (handle, -1, error);
  strand_handle_cancel (handle);
  return NULL;
}

static void
test_what_is_not_reentrant_is_not_run_inside_itself (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  StrandTask *task = NULL;
  g_autoptr(StrandFunction) function = strand_function_new (
      "test.self", "", NULL, STRAND_TRAIT_NOT_REENTRANT, call_oneself, &task, NULL, NULL);
  g_autoptr(StrandHandle) handle = NULL;

  task = strand_task_new (function, G_OBJECT (one));
  handle = strand_task_call (task, NULL);
  wait_for (handle);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
  g_clear_object (&task);
  close_runner (one);
}

/* The check can be switched off: then it is a wait like any other. */
static void
test_the_check_can_be_overridden (void)
{
  StrandTaskrunner *one = make_runner ("thread", "workers", 1, NULL);
  Member member;

  for (guint i = 0; i < 2; i++)
    {
      meet_again (2);
      member_init (&member, one);
      member.timeout_us = 1000;
      if (i == 1)
        g_object_set (member.task, "checks", STRAND_CHECK_ALL & ~STRAND_CHECK_WAITS, NULL);
      member_call (&member);
      g_atomic_pointer_set (&member.waits_for, member.handle);
      join_meeting ();
      check_completed (member.handle);
      if (i == 0)
        g_assert_error (member.error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
      else
        g_assert_error (member.error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
      member_clear (&member);
    }
  close_runner (one);
}

#define ADD(name, test) g_test_add_func ("/deadlock/" name, test)
#define ADD_WITH(name, data, test) g_test_add_data_func ("/deadlock/" name, data, test)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD_WITH ("ring/of-one-pool", GUINT_TO_POINTER (1), test_a_ring_of_pools);
  ADD_WITH ("ring/of-two-pools", GUINT_TO_POINTER (2), test_a_ring_of_pools);
  ADD_WITH ("ring/of-five-pools", GUINT_TO_POINTER (5), test_a_ring_of_pools);
  ADD ("ring/of-backends", test_a_ring_of_backends);
  ADD_WITH ("pool/all-workers-wait-for-the-line", GINT_TO_POINTER (-1), test_all_workers_wait_for_the_line);
  ADD_WITH ("pool/all-workers-wait-with-a-limit", GINT_TO_POINTER (60 * G_USEC_PER_SEC),
            test_all_workers_wait_for_the_line);
  ADD ("pool/who-waits-already-runs-the-call", test_who_waits_already_runs_the_call);
  ADD ("pool/the-only-worker-waits-for-room", test_the_only_worker_waits_for_room);
  ADD ("each-other/functions", test_two_functions_wait_for_each_other);
  ADD_WITH ("each-other/coroutines-of-their-own-context", "own", test_two_coroutines_wait_for_each_other);
  ADD_WITH ("each-other/coroutines-of-the-callers-context", "caller",
            test_two_coroutines_wait_for_each_other);
  ADD ("each-other/coroutine-and-thread", test_a_coroutine_and_a_thread_wait_for_each_other);
  ADD ("coroutine/the-only-one-waits-for-another", test_the_only_coroutine_waits_for_another);
  ADD ("timed/ends-in-time", test_a_timed_wait_ends_in_time);
  ADD ("timed/ends-in-a-flood-of-news", test_a_timed_wait_ends_in_a_flood_of_news);
  ADD ("timed/one-leaves-the-circle", test_a_circle_that_one_leaves_in_time);
  ADD ("callback/on-the-only-worker", test_a_callback_on_the_only_worker);
  ADD ("callback/on-the-backends-thread", test_a_callback_on_the_backends_thread);
  ADD ("callback/a-wait-inside-a-wait", test_a_wait_inside_a_wait);
  ADD ("backend/a-function-on-its-thread", test_a_function_on_the_backends_thread);
  ADD ("own/key", test_a_function_that_waits_for_its_own_key);
  ADD ("own/not-reentrant", test_what_is_not_reentrant_is_not_run_inside_itself);
  ADD ("close/from-inside", test_closing_from_inside);
  ADD ("check/can-be-overridden", test_the_check_can_be_overridden);

  return g_test_run ();
}
