/* test-local-races.c — what happens to a record just where the local backend does not look.
 *
 * The store here is a memory store with somebody in it who meddles at chosen moments.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#define TEST_TYPE_STORE (test_store_get_type ())
G_DECLARE_FINAL_TYPE (TestStore, test_store, TEST, STORE, GObject)

struct _TestStore
{
  GObject parent_instance;

  StrandStore *inner;
  guint n_meddle;   /* how often the end is forestalled */
  guint n_ends;     /* how often somebody tried to write it */
  gboolean cancels; /* whoever launches a call is cancelled as soon as the record is there */
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestStore, test_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static StrandRecord *
test_store_get (StrandStore *store, const char *key, GError **error)
{
  return strand_store_get (TEST_STORE (store)->inner, key, error);
}

/* Somebody else writes the record. */
static void
meddle (TestStore *self, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (self->inner, key, NULL);

  strand_record_set_int (record, STRAND_FIELD_CRASHES,
                         strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
  g_assert_true (strand_store_put (self->inner, record, strand_record_get_revision (record), NULL));
}

typedef struct
{
  TestStore *store;
  const char *key;
} Canceller;

static gpointer
cancel_call (gpointer data)
{
  Canceller *canceller = data;
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_store_cancel_call (STRAND_STORE (canceller->store), canceller->key, &error));
  g_assert_no_error (error);
  return NULL;
}

static gboolean
test_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  TestStore *self = TEST_STORE (store);
  const char *key = strand_record_get_key (record);
  Canceller canceller = { self, key };

  if (strand_status_is_terminal (strand_record_get_status (record)) && self->n_ends++ < self->n_meddle)
    meddle (self, key);
  if (!strand_store_put (self->inner, record, expected, error))
    return FALSE;
  if (expected == 0 && self->cancels)
    g_thread_join (g_thread_new ("canceller", cancel_call, &canceller));
  return TRUE;
}

static gboolean
test_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  return strand_store_remove (TEST_STORE (store)->inner, key, expected, error);
}

static StrandPage *
test_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                 GError **error)
{
  return strand_store_list (TEST_STORE (store)->inner, filter, cursor, limit, error);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = test_store_get;
  iface->put = test_store_put;
  iface->remove = test_store_remove;
  iface->list = test_store_list;
}

static void
test_store_finalize (GObject *object)
{
  strand_store_close (TEST_STORE (object)->inner);
  g_object_unref (TEST_STORE (object)->inner);
  G_OBJECT_CLASS (test_store_parent_class)->finalize (object);
}

static void
test_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
test_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
test_store_class_init (TestStoreClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = test_store_finalize;
  G_OBJECT_CLASS (klass)->get_property = test_store_get_property;
  G_OBJECT_CLASS (klass)->set_property = test_store_set_property;
  strand_store_override_properties (G_OBJECT_CLASS (klass), 1);
}

static void
test_store_init (TestStore *self)
{
  self->inner = make_store ("memory", NULL);
}

typedef struct
{
  TestStore *store;
  StrandTaskrunner *runner;
  StrandBackend *backend;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->store = g_object_new (TEST_TYPE_STORE, NULL);
  f->runner = make_runner ("thread", "workers", 1, NULL);
  f->backend = make_backend ("local", "store", f->store, "taskrunner", f->runner, NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  close_backend (f->backend);
  close_runner (f->runner);
  strand_store_close (STRAND_STORE (f->store));
  g_object_unref (f->store);
}

static StrandHandle *
call (Fixture *f, const char *name)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));

  return strand_task_call (task, NULL);
}

static StrandStatus
kept_status (Fixture *f, StrandHandle *handle)
{
  g_autoptr(StrandRecord) record =
      strand_store_get (STRAND_STORE (f->store), strand_handle_get_key (handle), NULL);

  g_assert_nonnull (record);
  return strand_record_get_status (record);
}

/* However often somebody else is quicker, the record ends as the call does. */
static void
test_the_end_is_written_in_the_end (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle = NULL;

  f->store->n_meddle = 150;
  handle = call (f, "test.nothing");
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_no_error (strand_handle_get_error (handle));
  g_assert_cmpuint (f->store->n_ends, ==, 151);
  g_assert_cmpint (kept_status (f, handle), ==, STRAND_STATUS_COMPLETED);
}

/* A cancel that comes right after the writing of the record is heard of, though nothing else is written for a
 * long time. */
static void
test_a_cancel_right_after_the_launch (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.block");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  f->store->cancels = TRUE;
  strand_options_set_not_before (options, strand_clock_now_us () + G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC);
  handle = strand_task_call_full (task, NULL, NULL, options);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (kept_status (f, handle), ==, STRAND_STATUS_CANCELLED);
}

/* Who wants a key that is taken does not become deaf to those who have it. */
static void
test_a_taken_key_stays_with_its_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.block");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, second = NULL;
  Canceller canceller = { f->store, "job" };

  strand_options_set_key (options, "job");
  first = strand_task_call_full (task, NULL, NULL, options);
  second = strand_task_call_full (task, NULL, NULL, options);
  g_assert_true (strand_handle_wait (second, DEADLINE_US, NULL));
  g_assert_error (strand_handle_get_error (second), STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_thread_join (g_thread_new ("canceller", cancel_call, &canceller));
  g_assert_true (strand_handle_wait (first, DEADLINE_US, NULL));
  g_assert_error (strand_handle_get_error (first), G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static gboolean
choke (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no room for it");
  return FALSE;
}

/* The consumer's reason is the call's, in the record too. */
static void
test_a_failing_consumer_fails_the_record (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.count");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandHandle) handle = NULL;

  g_object_set (task, "max-items", 1, NULL);
  strand_task_on_iter (task, choke, NULL, NULL);
  handle = strand_task_call (task, "(u)", 1000000);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpint (kept_status (f, handle), ==, STRAND_STATUS_FAILED);
}

typedef struct
{
  StrandBackend *backend;
  guint n_calls;
  GThread *threads[2];
} Caller;

static GVariant *
note_thread (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Caller *caller = data;

  guint n = g_atomic_int_get (&caller->n_calls);

  caller->threads[n] = g_thread_self ();
  g_atomic_int_inc (&caller->n_calls);
  if (n == 0)
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BUSY, "once more");
  return NULL;
}

static gpointer
call_from_own_context (gpointer data)
{
  Caller *caller = data;
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.note", "", NULL, STRAND_TRAIT_NONE, note_thread, caller, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (caller->backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  g_main_context_push_thread_default (context);
  strand_options_set_retries (options, 1);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_until (strand_handle_is_ready (handle));
  g_assert_no_error (strand_handle_get_error (handle));
  g_main_context_pop_thread_default (context);
  return NULL;
}

/* A stored call with context=caller runs where it was made, each attempt of it, though a backend's thread
 * submits them. */
static void
test_the_callers_context_is_the_callers (Fixture *f, gconstpointer unused)
{
  GEnumClass *contexts;
  StrandTaskrunner *runner = make_runner ("coroutine", NULL);
  StrandBackend *backend;
  Caller caller = { NULL, 0, { NULL, NULL } };
  GThread *thread;

  contexts =
      G_PARAM_SPEC_ENUM (g_object_class_find_property (G_OBJECT_GET_CLASS (runner), "context"))->enum_class;
  g_object_unref (runner);
  runner = make_runner ("coroutine", "context", g_enum_get_value_by_nick (contexts, "caller")->value, NULL);
  backend =
      make_backend ("local", "store", f->store, "taskrunner", runner, "retry-delay", (gint64) 1000, NULL);
  caller.backend = backend;
  thread = g_thread_new ("caller", call_from_own_context, &caller);
  wait_until (g_atomic_int_get (&caller.n_calls) == 2);
  g_assert_true (caller.threads[0] == thread);
  g_assert_true (caller.threads[1] == thread);
  g_thread_join (thread);
  close_backend (backend);
  close_runner (runner);
}

#define ADD(name, test) g_test_add ("/local-races/" name, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD ("end/is-written-in-the-end", test_the_end_is_written_in_the_end);
  ADD ("cancel/right-after-the-launch", test_a_cancel_right_after_the_launch);
  ADD ("key/a-taken-one-stays-with-its-call", test_a_taken_key_stays_with_its_call);
  ADD ("consumer/its-failure-is-in-the-record", test_a_failing_consumer_fails_the_record);
  ADD ("context/of-the-caller", test_the_callers_context_is_the_callers);

  return g_test_run ();
}
