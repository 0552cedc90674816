/* test-stopping.c — every way to stop a call, on every taskrunner, and what each end is called.
 *
 * The program is its own helper, so the same functions run everywhere.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <unistd.h>

typedef struct
{
  const char *type;
  const char *property; /* that leaves it one place; NULL where nothing waits for a place */
  gboolean takes_away;  /* stops functions that do not listen */
} Place;

static const Place places[] = {
  { "sync", NULL, FALSE },
  { "thread", "workers", TRUE },
  { "process", "workers", TRUE },
  { "coroutine", "max-alive", FALSE },
};

static const Place *
find_place (const char *type)
{
  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    if (g_str_equal (places[i].type, type))
      return &places[i];
  g_assert_not_reached ();
}

/* A runner with one place, bare and behind a backend. */
typedef struct
{
  const Place *place;
  StrandTaskrunner *runner;
  StrandStore *store;
  StrandBackend *backend;
} Fixture;

static void
set_up (Fixture *f, gconstpointer type)
{
  f->place = find_place (type);
  f->runner =
      f->place->property != NULL ? make_runner (type, f->place->property, 1, NULL) : make_runner (type, NULL);
  f->store = make_store ("memory", NULL);
  f->backend =
      make_backend ("local", "store", f->store, "taskrunner", f->runner, "grace", (gint64) 1000, NULL);
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  close_backend (f->backend);
  close_runner (f->runner);
  strand_store_close (f->store);
  g_object_unref (f->store);
}

static StrandTask *
make_task (gpointer target, const char *name)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  StrandTask *task = strand_task_new (function, target);

  g_object_set (task, "grace", (gint64) 1000, NULL);
  return task;
}

static void
check_end (StrandHandle *handle, StrandStatus status, GQuark domain, int code)
{
  wait_until (strand_handle_is_ready (handle));
  if (domain == 0)
    g_assert_no_error (strand_handle_get_error (handle));
  else
    g_assert_error (strand_handle_get_error (handle), domain, code);
  g_assert_cmpint (strand_handle_get_status (handle), ==, status);
  g_assert_false (strand_handle_cancel (handle));
}

static void
check_cancelled (StrandHandle *handle)
{
  check_end (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

/* Cancelling. */

typedef enum
{
  BY_HANDLE,
  BY_KEY,
} Way;

static void
cancel (Fixture *f, StrandHandle *handle, Way way)
{
  g_autoptr(GError) error = NULL;

  if (way == BY_HANDLE)
    g_assert_true (strand_handle_cancel (handle));
  else
    g_assert_true (strand_store_cancel_call (f->store, strand_handle_get_key (handle), &error));
  g_assert_no_error (error);
}

static void
wait_for_record (Fixture *f, StrandHandle *handle)
{
  g_autoptr(StrandRecord) record = NULL;

  wait_until ((record = strand_store_get (f->store, strand_handle_get_key (handle), NULL)) != NULL);
}

static void
check_cancelling (Fixture *f, gpointer target, Way way)
{
  g_autoptr(StrandTask) task = make_task (target, "test.block");
  g_autoptr(StrandHandle) running = strand_task_call (task, NULL);
  g_autoptr(StrandHandle) pending = NULL;

  wait_until (strand_handle_get_status (running) == STRAND_STATUS_RUNNING);
  if (f->place->property != NULL)
    {
      pending = strand_task_call (task, NULL);
      if (way == BY_KEY)
        wait_for_record (f, pending);
      cancel (f, pending, way);
      check_cancelled (pending);
      g_assert_cmpint (strand_handle_get_duration (pending), ==, -1); /* it never started */
    }
  cancel (f, running, way);
  check_cancelled (running);
}

static void
test_cancel_by_handle (Fixture *f, gconstpointer type)
{
  /* A bare `sync` has given nobody a handle while its call runs. */
  if (f->place->property != NULL)
    check_cancelling (f, f->runner, BY_HANDLE);
  check_cancelling (f, f->backend, BY_HANDLE);
}

static void
test_cancel_by_key (Fixture *f, gconstpointer type)
{
  check_cancelling (f, f->backend, BY_KEY);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static gpointer
cancel_later (gpointer cancellable)
{
  g_cancellable_cancel (cancellable);
  return NULL;
}

/* From another thread, because `sync` keeps this one until the end. */
static void
test_cancel_by_cancellable (Fixture *f, gconstpointer type)
{
  gpointer targets[] = { f->runner, f->backend };

  for (guint i = 0; i < 2 * G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandTask) task = make_task (targets[i / 2], "test.block");
      g_autoptr(GCancellable) cancellable = g_cancellable_new ();
      g_autoptr(GAsyncResult) result = NULL;
      g_autoptr(GError) error = NULL;
      GThread *thread = NULL;

      if (i % 2 == 0)
        g_cancellable_cancel (cancellable); /* before the call */
      else
        thread = g_thread_new ("canceller", cancel_later, cancellable);
      strand_task_call_async (task, NULL, cancellable, keep_result, &result);
      wait_until (result != NULL);
      g_assert_null (strand_task_call_finish (task, result, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      if (thread != NULL)
        g_thread_join (thread);
    }
}

/* Who does not listen: taken away where that can be, left alone where it cannot. */
static void
test_what_does_not_listen (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandTask) task = make_task (f->backend, "test.hold");
  g_autoptr(StrandHandle) handle = NULL;
  Gate *gate = fixture_gate ();

  handle = strand_task_call (task, NULL);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  cancel (f, handle, BY_HANDLE);
  if (f->place->takes_away)
    check_cancelled (handle);
  gate_open (gate);
  if (!f->place->takes_away)
    check_end (handle, STRAND_STATUS_COMPLETED, 0, 0);
}

/* Time. */

static StrandHandle *
call_with_timeout (gpointer target, const char *function)
{
  g_autoptr(StrandTask) task = make_task (target, function);
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_timeout (options, 1000);
  return strand_task_call_full (task, NULL, NULL, options);
}

static void
test_timeout_soft_and_hard (Fixture *f, gconstpointer type)
{
  gpointer targets[] = { f->runner, f->backend };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandHandle) soft = call_with_timeout (targets[i], "test.block");
      g_autoptr(StrandHandle) hard = NULL;
      Gate *gate = fixture_gate ();

      check_end (soft, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
      if (!f->place->takes_away)
        continue;
      hard = call_with_timeout (targets[i], "test.hold");
      check_end (hard, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
      gate_open (gate);
    }
}

/* A wait that ends is not a call that ends. */
static void
test_a_wait_is_not_a_call (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandTask) task = make_task (f->backend, "test.block");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_handle_wait (handle, 1000, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT);
  g_assert_false (strand_handle_is_ready (handle));
  cancel (f, handle, BY_HANDLE);
  check_cancelled (handle);
}

/* The ends. */

#define TEST_TYPE_REFUSER (test_refuser_get_type ())
G_DECLARE_FINAL_TYPE (TestRefuser, test_refuser, TEST, REFUSER, GObject)

struct _TestRefuser
{
  GObject parent_instance;
};

static StrandVerdict
test_refuser_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "not today");
  return STRAND_VERDICT_REFUSE;
}

static void
refuser_init (StrandMiddlewareInterface *iface)
{
  iface->submit = test_refuser_submit;
}

G_DEFINE_FINAL_TYPE_WITH_CODE (TestRefuser, test_refuser, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, refuser_init))

static void
test_refuser_class_init (TestRefuserClass *klass)
{
}

static void
test_refuser_init (TestRefuser *self)
{
}

typedef enum
{
  AT_ONCE,
  WITH_TIMEOUT,
  CANCELLED,
  REFUSED,
  EXPIRED,
} Treatment;

/* Each end there is, and its name; `crashed` and `lost` need another process. */
static const struct
{
  const char *function;
  const char *argument;
  Treatment treatment;
  const char *only; /* this runner */
  StrandStatus status;
  gboolean in_gio;
  int code;
} ends[] = {
  { "test.nothing", NULL, AT_ONCE, NULL, STRAND_STATUS_COMPLETED, FALSE, -1 },
  { "test.wrong", NULL, AT_ONCE, NULL, STRAND_STATUS_FAILED, FALSE, STRAND_ERROR_TYPE },
  { "test.block", NULL, CANCELLED, NULL, STRAND_STATUS_CANCELLED, TRUE, G_IO_ERROR_CANCELLED },
  { "test.block", NULL, WITH_TIMEOUT, NULL, STRAND_STATUS_FAILED, FALSE, STRAND_ERROR_TIMED_OUT },
  { "test.nothing", NULL, REFUSED, NULL, STRAND_STATUS_FAILED, FALSE, STRAND_ERROR_REFUSED },
  { "test.nothing", NULL, EXPIRED, NULL, STRAND_STATUS_FAILED, FALSE, STRAND_ERROR_EXPIRED },
  { "stop.crash", NULL, AT_ONCE, "process", STRAND_STATUS_FAILED, FALSE, STRAND_ERROR_CRASHED },
};

static StrandBackend *
make_refusing (Fixture *f)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(TestRefuser) refuser = g_object_new (TEST_TYPE_REFUSER, NULL);

  g_list_store_append (chain, refuser);
  return make_backend ("local", "store", f->store, "taskrunner", f->runner, "middleware", chain, NULL);
}

static void
test_each_end_has_its_code (Fixture *f, gconstpointer type)
{
  StrandBackend *refusing = make_refusing (f);

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      g_autoptr(StrandTask) task = NULL;
      g_autoptr(StrandOptions) options = strand_options_new ();
      g_autoptr(StrandHandle) handle = NULL;

      if (ends[i].only != NULL && !g_str_equal (ends[i].only, type))
        continue;
      task = make_task (ends[i].treatment == REFUSED ? refusing : f->backend, ends[i].function);
      if (ends[i].treatment == WITH_TIMEOUT)
        strand_options_set_timeout (options, 1000);
      if (ends[i].treatment == EXPIRED)
        strand_options_set_expires (options, 1);
      handle = strand_task_call_full (task, NULL, NULL, options);
      if (ends[i].treatment == CANCELLED)
        strand_handle_cancel (handle);
      if (ends[i].code == -1)
        check_end (handle, ends[i].status, 0, 0);
      else
        check_end (handle, ends[i].status, ends[i].in_gio ? G_IO_ERROR : STRAND_ERROR, ends[i].code);
      for (guint j = 0; j < i; j++)
        g_assert_false (ends[i].in_gio == ends[j].in_gio && ends[i].code == ends[j].code);
    }
  close_backend (refusing);
}

/* Callbacks that do what they should not. */

typedef struct
{
  StrandHandle *handle;
  StrandTask *task;
  gpointer target;
  int n_ends; /* atomic */
} Owner;

static void
drop_all (StrandCall *call, GVariant *value, gpointer data)
{
  Owner *owner = data;

  g_assert_false (strand_call_cancel (call)); /* too late, and harmless */
  g_clear_object (&owner->handle);
  g_clear_object (&owner->task);
  g_clear_object (&owner->target);
  g_atomic_int_inc (&owner->n_ends); /* last: the owner is gone then */
}

/* The last of each: handle, task and runner, gone in the callback of the call that held them. */
static void
test_everything_goes_in_a_callback (gconstpointer type)
{
  for (guint on_runner = 0; on_runner < 2; on_runner++)
    {
      Owner owner = { NULL, NULL, make_runner (type, NULL), 0 };

      owner.task = make_task (owner.target, "test.nothing");
      g_object_set (owner.task, "on-runner", (gboolean) on_runner, NULL);
      strand_task_on_end (owner.task, drop_all, &owner, NULL);
      if (g_str_equal (type, "sync") || on_runner == 1)
        strand_task_post (owner.task, NULL);
      else
        owner.handle = strand_task_call (owner.task, NULL);
      wait_until (g_atomic_int_get (&owner.n_ends) == 1);
    }
}

static gboolean
cancel_and_fail (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  strand_call_cancel (call);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no room for it");
  return FALSE;
}

/* Failing says why, cancelling does not: the reason counts, unless the call has ended by then. */
static void
test_a_callback_that_cancels_and_fails (Fixture *f, gconstpointer type)
{
  gpointer targets[] = { f->runner, f->backend };

  for (guint i = 0; i < G_N_ELEMENTS (targets); i++)
    {
      g_autoptr(StrandTask) task = make_task (targets[i], "test.count");
      g_autoptr(Told) told = told_new ();

      told_listen (told, task);
      strand_task_on_iter (task, cancel_and_fail, NULL, NULL);
      g_object_set (task, "max-items", 1, NULL);
      strand_task_post (task, "(u)", 100000);
      wait_until (told_count_over (told) == 1);
      if (!g_error_matches (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      g_assert_cmpuint (told->n_ends, ==, 0);
      g_assert_cmpuint (told->n_errors, ==, 1);
    }
}

/* The functions, here and in helpers. */

static GVariant *
crash (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  _exit (3);
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  g_autoptr(StrandFunction) function =
      strand_function_new ("stop.crash", "", NULL, STRAND_TRAIT_NONE, crash, NULL, NULL, error);

  fixture_add_functions ();
  return function != NULL && strand_registry_add_function (registry, function, error);
}

static void
add_tests (const char *type)
{
  const struct
  {
    const char *name;
    void (*test) (Fixture *f, gconstpointer type);
  } tests[] = {
    { "cancel/by-handle", test_cancel_by_handle },
    { "cancel/by-key", test_cancel_by_key },
    { "cancel/by-cancellable", test_cancel_by_cancellable },
    { "cancel/what-does-not-listen", test_what_does_not_listen },
    { "timeout/soft-and-hard", test_timeout_soft_and_hard },
    { "timeout/a-wait-is-not-a-call", test_a_wait_is_not_a_call },
    { "ends/each-has-its-code", test_each_end_has_its_code },
    { "callback/cancels-and-fails", test_a_callback_that_cancels_and_fails },
  };
  g_autofree char *callback = g_strdup_printf ("/stopping/%s/callback/everything-goes-in-it", type);

  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    {
      g_autofree char *path = g_strdup_printf ("/stopping/%s/%s", type, tests[i].name);

      g_test_add (path, Fixture, type, set_up, tests[i].test, tear_down);
    }
  g_test_add_data_func (callback, type, test_everything_goes_in_a_callback);
}

int
main (int argc, char **argv)
{
  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    add_tests (places[i].type);
  return g_test_run ();
}
