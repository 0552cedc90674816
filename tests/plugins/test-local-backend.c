/* test-local-backend.c — the records of calls that run in this program, attempts, middleware, and what is
 * left when the program dies.                                    SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)

/* A middleware that does what a test tells it to, and notes in which order it was asked. */

typedef StrandVerdict (*VerdictFunc) (StrandCall *call, GVariant **value, GError **error);

#define TEST_TYPE_PROBE (test_probe_get_type ())
G_DECLARE_FINAL_TYPE (TestProbe, test_probe, TEST, PROBE, GObject)

struct _TestProbe
{
  GObject parent_instance;

  char letter;
  VerdictFunc submit;
  VerdictFunc before;
  gboolean after_fails;
};

static GMutex order_lock;
static GString *order; /* sA submit of A, bA before, aA after, eA on_error, rA on_error before a retry */

static void probe_iface_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestProbe, test_probe, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, probe_iface_init))

static void
note (char what, TestProbe *probe)
{
  g_mutex_lock (&order_lock);
  g_string_append_printf (order, "%s%c%c", order->len > 0 ? " " : "", what, probe->letter);
  g_mutex_unlock (&order_lock);
}

static StrandVerdict
test_probe_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  TestProbe *self = TEST_PROBE (middleware);

  note ('s', self);
  return self->submit != NULL ? self->submit (call, value, error) : STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
test_probe_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  TestProbe *self = TEST_PROBE (middleware);

  note ('b', self);
  return self->before != NULL ? self->before (attempt, value, error) : STRAND_VERDICT_CONTINUE;
}

static gboolean
test_probe_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value, GError **error)
{
  TestProbe *self = TEST_PROBE (middleware);

  note ('a', self);
  if (self->after_fails)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no room for the invoice");
  return !self->after_fails;
}

static void
test_probe_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                     gboolean will_retry)
{
  g_assert_nonnull (error);
  note (will_retry ? 'r' : 'e', TEST_PROBE (middleware));
}

static void
probe_iface_init (StrandMiddlewareInterface *iface)
{
  iface->submit = test_probe_submit;
  iface->before = test_probe_before;
  iface->after = test_probe_after;
  iface->on_error = test_probe_on_error;
}

static void
test_probe_class_init (TestProbeClass *klass)
{
}

static void
test_probe_init (TestProbe *self)
{
}

/* The world of one test: two probes, A outside, B inside, around a backend. */
typedef struct
{
  char *folder;
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandBackend *backend;
  GListStore *chain;
  TestProbe *a;
  TestProbe *b;
} Fixture;

static void
set_up (Fixture *f, gconstpointer store_type)
{
  order = g_string_new (NULL);
  f->folder = fixture_make_folder ();
  f->store = g_strcmp0 (store_type, "memory") == 0 ? make_store ("memory", NULL)
                                                   : make_store ("filesystem", "path", f->folder, NULL);
  f->runner = make_runner ("thread", "workers", 2, NULL);
  f->a = g_object_new (TEST_TYPE_PROBE, NULL);
  f->a->letter = 'A';
  f->b = g_object_new (TEST_TYPE_PROBE, NULL);
  f->b->letter = 'B';
  f->chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_list_store_append (f->chain, f->a);
  g_list_store_append (f->chain, f->b);
  f->backend = make_backend ("local", "taskrunner", f->runner, "store", f->store, "middleware", f->chain,
                             "retry-delay", 4 * SECOND, "grace", SECOND, NULL);
}

static void
tear_down (Fixture *f, gconstpointer store_type)
{
  strand_clock_set_system ();
  if (f->backend != NULL)
    close_backend (f->backend);
  close_runner (f->runner);
  g_object_unref (f->chain);
  g_object_unref (f->a);
  g_object_unref (f->b);
  strand_store_close (f->store);
  g_object_unref (f->store);
  fixture_remove_folder (f->folder);
  g_string_free (order, TRUE);
}

static StrandTask *
make_task (Fixture *f, const char *name)
{
  g_autoptr(StrandFunction) function = fixture_function (name);

  return strand_task_new (function, G_OBJECT (f->backend));
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

static StrandRecord *
record_of (Fixture *f, StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (f->store, strand_handle_get_key (handle), &error);

  g_assert_no_error (error);
  return record;
}

static gint64
field_of (Fixture *f, StrandHandle *handle, StrandField field)
{
  g_autoptr(StrandRecord) record = strand_store_get (f->store, strand_handle_get_key (handle), NULL);

  return record != NULL ? strand_record_get_int (record, field) : -1;
}

static void
check_order (const char *expected)
{
  g_mutex_lock (&order_lock);
  g_assert_cmpstr (order->str, ==, expected);
  g_mutex_unlock (&order_lock);
}

static void
check_error (StrandHandle *handle, StrandStatus status, GQuark domain, int code)
{
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, status);
  g_assert_error (strand_handle_get_error (handle), domain, code);
}

/* Records. */

static void
test_record_at_each_stage (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.progress");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) running = NULL, ended = NULL;
  g_autoptr(GVariant) arguments = NULL, value = NULL;
  g_autoptr(GError) error = NULL;
  Gate *gate = fixture_gate ();
  const char *colour;

  strand_options_set_ttl (options, 60 * SECOND);
  strand_options_set_timeout (options, 3600 * SECOND);
  strand_options_set_priority (options, 7);
  handle = strand_task_call_full (task, NULL, NULL, options);
  gate_wait_inside (gate, 1);
  wait_until (field_of (f, handle, STRAND_FIELD_STATUS) == STRAND_STATUS_RUNNING);
  running = record_of (f, handle);
  g_assert_cmpstr (strand_record_get_string (running, STRAND_FIELD_FUNCTION), ==, "test.progress");
  g_assert_cmpstr (strand_record_get_string (running, STRAND_FIELD_KIND), ==, "call");
  g_assert_null (strand_record_get_string (running, STRAND_FIELD_QUEUE));
  g_assert_true (
      strand_lease_owner_has_kind (strand_record_get_string (running, STRAND_FIELD_LEASE_OWNER), "local"));
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_TTL), ==, 60 * SECOND);
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_TIMEOUT), ==, 3600 * SECOND);
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_PRIORITY), ==, 7);
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_STARTED), >, 0);
  g_assert_cmpint (strand_record_get_int (running, STRAND_FIELD_COMPLETED), ==, 0);
  arguments = strand_record_dup_arguments (running, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (arguments), ==, "()");

  gate_open (gate);
  wait_for (handle);
  ended = record_of (f, handle); /* no later than the call */
  g_assert_cmpint (strand_record_get_status (ended), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (strand_record_get_int (ended, STRAND_FIELD_COMPLETED), >=,
                   strand_record_get_int (ended, STRAND_FIELD_STARTED));
  g_assert_null (strand_record_get_string (ended, STRAND_FIELD_LEASE_OWNER));
  g_assert_cmpfloat (strand_record_get_double (ended, STRAND_FIELD_PROGRESS), ==, 0.25);
  g_assert_cmpstr (strand_record_get_string (ended, STRAND_FIELD_MESSAGE), ==, "a quarter");
  g_assert_true (
      g_variant_lookup (strand_record_get_variant (ended, STRAND_FIELD_METADATA), "colour", "&s", &colour));
  g_assert_cmpstr (colour, ==, "red");
  value = strand_record_dup_value (ended, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "done");
  g_assert_cmpuint (strand_record_get_revision (ended), >, strand_record_get_revision (running));
}

static void
test_a_pending_record_waits_for_its_time (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_clock_set_manual (NOON);
  strand_options_set_not_before (options, NOON + 10 * SECOND);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_until (field_of (f, handle, STRAND_FIELD_REVISION) > 0);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE), ==, NOON + 10 * SECOND);
  g_assert_nonnull (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  strand_clock_advance (10 * SECOND - 1);
  for (guint i = 0; i < 20; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_PENDING);
  strand_clock_advance (1);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
}

static void
test_an_expired_call_does_not_start (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_clock_set_manual (NOON);
  strand_options_set_not_before (options, NOON + 10 * SECOND);
  strand_options_set_expires (options, NOON + 5 * SECOND);
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_until (field_of (f, handle, STRAND_FIELD_REVISION) > 0);
  for (guint i = 0; i < 20 && !strand_handle_is_ready (handle); i++)
    strand_clock_advance (SECOND);
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_EXPIRED);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 0);
}

static void
test_an_own_key_that_exists (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, second = NULL;

  strand_options_set_key (options, "mine");
  first = strand_task_call_full (task, NULL, NULL, options);
  wait_for (first);
  second = strand_task_call_full (task, NULL, NULL, options);
  check_error (second, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_nonnull (strstr (strand_handle_get_error (second)->message, "'mine'"));
  g_assert_cmpint (field_of (f, first, STRAND_FIELD_STATUS), ==, STRAND_STATUS_COMPLETED);
}

static void
test_bad_keys_fail_the_call (Fixture *f, gconstpointer unused)
{
  static const char *const bad[] = { "../x", "a/b", ".x", "strand.own", "" };
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(StrandOptions) options = strand_options_new ();
      g_autoptr(StrandHandle) handle = NULL;

      strand_options_set_key (options, bad[i]);
      handle = strand_task_call_full (task, NULL, NULL, options);
      check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
    }
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
}

static void
test_ttl_counts_from_the_end (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  Gate *gate = fixture_gate ();

  strand_clock_set_manual (NOON);
  strand_options_set_ttl (options, 10 * SECOND);
  handle = strand_task_call_full (task, NULL, NULL, options);
  gate_wait_inside (gate, 1);
  strand_clock_advance (3600 * SECOND);
  g_assert_cmpint (strand_task_cleanup_expired (task, &error), ==, 0);
  g_assert_no_error (error);
  gate_open (gate);
  wait_for (handle);
  strand_clock_advance (10 * SECOND - 1);
  g_assert_cmpint (strand_task_cleanup_expired (task, &error), ==, 0);
  strand_clock_advance (2);
  g_assert_cmpint (strand_task_cleanup_expired (task, &error), ==, 1);
  g_assert_no_error (error);
}

static void
test_an_object_ends_the_call_but_is_not_stored (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.object");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;

  wait_for (handle);
  g_assert_no_error (strand_handle_get_error (handle));
  g_assert_cmpstr (g_object_get_data (strand_handle_get_object (handle), "name"), ==, "texture");
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  value = strand_record_dup_value (record, NULL);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "()");
}

static void
test_a_value_that_is_too_large_fails_the_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.list");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  g_object_set (f->store, "max-record-size", (gint64) 20000, NULL);
  handle = strand_task_call (task, "(u)", 100000);
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TOO_LARGE);
  record = record_of (f, handle); /* which says so as well */
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
}

static GVariant *
return_a_handle_number (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_handle (3);
}

/* json and gvariant both refuse file descriptors, or write them as what they are: numbers of another process.
 */
static void
test_a_value_that_is_stored_is_stored_exactly (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = strand_function_new ("test.number", "-> h", NULL, STRAND_TRAIT_NONE,
                                                             return_a_handle_number, NULL, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;

  wait_for (handle);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, strand_handle_get_status (handle));
  if (strand_handle_get_status (handle) != STRAND_STATUS_COMPLETED)
    return;
  value = strand_record_dup_value (record, NULL);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "h");
}

static void
test_a_record_deleted_under_its_call (Fixture *f, gconstpointer unused)
{
  Gate *gate = fixture_gate ();
  g_autoptr(StrandTask) task = make_task (f, "test.hold");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
  g_autoptr(GError) error = NULL;

  gate_wait_inside (gate, 1);
  wait_until (field_of (f, handle, STRAND_FIELD_STATUS) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_store_remove (f->store, strand_handle_get_key (handle), 0, &error));
  gate_open (gate);
  wait_for (handle);
  /* Whatever it says, it ends, and no half record rises from the dead. */
  g_assert_true (strand_handle_is_ready (handle));
  g_assert_null (strand_store_get (f->store, strand_handle_get_key (handle), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  strand_handle_get_error (handle);
}

typedef struct
{
  StrandStore *store;
  const char *key;
  int stop; /* atomic */
} Meddler;

static gpointer
keep_writing (gpointer data)
{
  Meddler *meddler = data;

  /* Fewer than the writes that a backend tries. */
  for (guint n_written = 0; n_written < 40 && !g_atomic_int_get (&meddler->stop);)
    {
      g_autoptr(StrandRecord) record = strand_store_get (meddler->store, meddler->key, NULL);

      if (record == NULL || strand_status_is_terminal (strand_record_get_status (record)))
        continue;
      strand_record_set_int (record, STRAND_FIELD_CRASHES,
                             strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
      n_written +=
          strand_store_put (meddler->store, record, strand_record_get_revision (record), NULL) ? 1 : 0;
    }
  return NULL;
}

/* Whoever writes a record between our reading and writing it, the outcome is there in the end. */
static void
test_the_value_survives_other_writers (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");

  f->b->after_fails = TRUE;
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      Meddler meddler = { f->store, key, FALSE };
      g_autoptr(StrandOptions) options = strand_options_new ();
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(StrandRecord) record = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(GError) error = NULL;
      GThread *thread = g_thread_new ("meddler", keep_writing, &meddler);

      strand_options_set_key (options, key);
      handle = strand_task_call_full (task, g_variant_new ("(s)", "kept"), NULL, options);
      wait_for (handle);
      g_atomic_int_set (&meddler.stop, TRUE);
      g_thread_join (thread);
      g_assert_no_error (strand_handle_get_error (handle));
      record = record_of (f, handle);
      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
      value = strand_record_dup_value (record, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (g_variant_get_type_string (value), ==, "s");
      g_assert_nonnull (strand_record_get_variant (record, STRAND_FIELD_WARNINGS));
    }
}

/* Attempts. */

static void
test_retries_keep_every_cause (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.fail");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  GVariant *causes;

  strand_clock_set_manual (NOON);
  strand_options_set_retries (options, 2);
  handle = strand_task_call_full (task, g_variant_new ("(s)", "no tree"), NULL, options);
  while (!strand_handle_is_ready (handle))
    {
      strand_clock_advance (SECOND);
      g_main_context_iteration (NULL, FALSE);
    }
  check_error (handle, STRAND_STATUS_FAILED, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 3);
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 3);
  causes = strand_record_get_variant (record, STRAND_FIELD_CAUSES);
  g_assert_cmpuint (g_variant_n_children (causes), ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      guint attempt;
      const char *domain, *message;

      g_variant_get_child (causes, i, "(u&sx&s&si&s)", &attempt, NULL, NULL, &domain, NULL, NULL, &message);
      g_assert_cmpuint (attempt, ==, i + 1);
      g_assert_cmpstr (domain, ==, "g-file-error-quark");
      g_assert_cmpstr (message, ==, "no tree");
    }
  check_order ("sA sB bA bB rB rA bA bB rB rA bA bB eB eA");
}

/* Fails so many times, then gives its attempt. */
static GVariant *
fail_at_first (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint *left = data;

  if (!strand_context_emit (context, g_variant_new_uint32 (*left), error))
    return NULL;
  if ((*left)-- > 0)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "not yet");
      return NULL;
    }
  return g_variant_new_uint32 (strand_context_get_attempt (context));
}

static void
test_a_retry_announces_itself_to_the_items (Fixture *f, gconstpointer unused)
{
  guint left = 1;
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.later", "-> u", NULL, STRAND_TRAIT_NONE, fail_at_first, &left, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();
  g_autofree char *log = NULL;

  strand_clock_set_manual (NOON);
  told_listen (told, task);
  strand_options_set_retries (options, 3);
  handle = strand_task_call_full (task, NULL, NULL, options);
  while (told_count_over (told) == 0)
    {
      strand_clock_advance (SECOND);
      g_main_context_iteration (NULL, FALSE);
    }
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "item 0/1 1; item 0/2 0; end 2");
}

static void
test_a_retry_waits_no_longer_than_it_may (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.fail");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_clock_set_manual (NOON);
  strand_options_set_retries (options, 1);
  handle = strand_task_call_full (task, g_variant_new ("(s)", "no tree"), NULL, options);
  wait_until (field_of (f, handle, STRAND_FIELD_ATTEMPT) == 1 &&
              field_of (f, handle, STRAND_FIELD_STATUS) == STRAND_STATUS_PENDING);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_PENDING);
  /* The delay is set right after the record is written: look until it has taken hold. */
  for (guint i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 1);
  while (!strand_handle_is_ready (handle))
    {
      strand_clock_advance (4 * SECOND + 1);
      g_main_context_iteration (NULL, FALSE);
    }
  check_error (handle, STRAND_STATUS_FAILED, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

static void
test_a_call_is_cancelled_between_attempts (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.fail");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_clock_set_manual (NOON);
  strand_options_set_retries (options, 1);
  handle = strand_task_call_full (task, g_variant_new ("(s)", "no tree"), NULL, options);
  wait_until (field_of (f, handle, STRAND_FIELD_ATTEMPT) == 1 &&
              field_of (f, handle, STRAND_FIELD_STATUS) == STRAND_STATUS_PENDING);
  g_assert_true (strand_handle_cancel (handle));
  check_error (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (field_of (f, handle, STRAND_FIELD_STATUS), ==, STRAND_STATUS_CANCELLED);
}

/* Middleware. */

static void
test_middleware_stands_outermost_first (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

  wait_for (handle);
  check_order ("sA sB bA bB aB aA");
}

static StrandVerdict
refuse (StrandCall *call, GVariant **value, GError **error)
{
  strand_call_set_retry_after (call, G_GINT64_CONSTANT (4000000000000000));
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "too many today");
  return STRAND_VERDICT_REFUSE;
}

static void
test_a_refusal_at_submit_leaves_no_record (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandHandle) handle = NULL;

  f->b->submit = refuse;
  handle = strand_task_call (task, NULL);
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "too many today"));
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "'TestProbe'"));
  g_assert_nonnull (
      strstr (strand_handle_get_error (handle)->message, "2096-10-02T07:06:40Z")); /* when to try again */
  check_order ("sA sB");
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 0);
}

static void
test_a_refusal_before_an_attempt_is_not_retried (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  f->b->before = refuse;
  strand_options_set_retries (options, 5);
  handle = strand_task_call_full (task, NULL, NULL, options);
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "TestProbe"));
  record = record_of (f, handle);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  /* Whose `before` ran gets one of the two; the refuser's own ran. */
  check_order ("sA sB bA bB eB eA");
}

static void
test_a_refusal_outside_keeps_the_inner_one_out (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandHandle) handle = NULL;

  f->a->before = refuse;
  handle = strand_task_call (task, NULL);
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  check_order ("sA sB bA eA");
}

static StrandVerdict
answer (StrandCall *call, GVariant **value, GError **error)
{
  *value = g_variant_new_string ("from the cache");
  return STRAND_VERDICT_ANSWER;
}

static void
test_an_answer_takes_the_functions_place (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 2; i++) /* at submit; before the attempt */
    {
      g_autoptr(StrandTask) task = make_task (f, "test.echo");
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) value = NULL;
      g_autoptr(StrandRecord) record = NULL;
      g_autoptr(GVariant) stored = NULL;

      g_string_set_size (order, 0);
      f->a->submit = i == 0 ? answer : NULL;
      f->a->before = i == 1 ? answer : NULL;
      handle = strand_task_call (task, "(s)", "asked");
      wait_for (handle);
      g_assert_no_error (strand_handle_get_error (handle));
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "from the cache");
      check_order (i == 0 ? "sA" : "sA sB bA aA");
      if (i == 1)
        {
          record = record_of (f, handle);
          stored = strand_record_dup_value (record, NULL);
          g_assert_cmpvariant (stored, value);
        }
    }
}

static StrandVerdict
answer_with_a_number (StrandCall *call, GVariant **value, GError **error)
{
  *value = g_variant_new_int32 (1);
  return STRAND_VERDICT_ANSWER;
}

static void
test_an_answer_of_another_type_fails_the_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;

  f->a->before = answer_with_a_number;
  handle = strand_task_call (task, "(s)", "asked");
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TYPE);
}

static StrandCall *later_call; /* atomic */

static StrandVerdict
say_later (StrandCall *call, GVariant **value, GError **error)
{
  g_atomic_pointer_set (&later_call, strand_call_ref (call));
  return STRAND_VERDICT_LATER;
}

static gpointer
resume_later (gpointer verdict)
{
  GVariant *value = GPOINTER_TO_INT (verdict) == STRAND_VERDICT_ANSWER
                        ? g_variant_ref_sink (g_variant_new_string ("late"))
                        : NULL;
  GError *error = GPOINTER_TO_INT (verdict) == STRAND_VERDICT_REFUSE
                      ? g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED, "after all, no")
                      : NULL;

  g_assert_true (strand_call_resume (later_call, (StrandVerdict) GPOINTER_TO_INT (verdict), value, error));
  return NULL;
}

static void
check_later (Fixture *f, gboolean at_submit, StrandVerdict verdict)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  later_call = NULL;
  f->a->submit = at_submit ? say_later : NULL;
  f->a->before = at_submit ? NULL : say_later;
  handle = strand_task_call (task, "(s)", "asked");
  wait_until (g_atomic_pointer_get (&later_call) != NULL);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_PENDING);
  g_thread_join (g_thread_new ("resumer", resume_later, GINT_TO_POINTER (verdict)));
  wait_for (handle);
  g_assert_false (strand_call_resume (later_call, STRAND_VERDICT_CONTINUE, NULL, NULL)); /* once is enough */
  strand_call_unref (later_call);
  if (verdict == STRAND_VERDICT_REFUSE)
    {
      g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_REFUSED);
      return;
    }
  value = strand_handle_get_result (handle, NULL);
  g_assert_nonnull (value);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==,
                   verdict == STRAND_VERDICT_ANSWER ? "late" : "asked");
}

static void
test_a_late_answer_of_another_type_fails_the_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;

  later_call = NULL;
  f->a->before = say_later;
  handle = strand_task_call (task, "(s)", "asked");
  wait_until (g_atomic_pointer_get (&later_call) != NULL);
  g_assert_true (strand_call_resume (later_call, STRAND_VERDICT_ANSWER, g_variant_new_int32 (1), NULL));
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TYPE);
  strand_call_unref (later_call);
}

static void
test_a_late_refusal_without_a_reason (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;

  later_call = NULL;
  f->a->before = say_later;
  handle = strand_task_call (task, "(s)", "asked");
  wait_until (g_atomic_pointer_get (&later_call) != NULL);
  g_assert_true (strand_call_resume (later_call, STRAND_VERDICT_REFUSE, NULL, NULL));
  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  strand_call_unref (later_call);
}

static void
test_later_is_resumed_from_another_thread (Fixture *f, gconstpointer unused)
{
  static const StrandVerdict verdicts[] = { STRAND_VERDICT_CONTINUE, STRAND_VERDICT_REFUSE,
                                            STRAND_VERDICT_ANSWER };

  for (guint i = 0; i < G_N_ELEMENTS (verdicts); i++)
    {
      check_later (f, FALSE, verdicts[i]);
      check_later (f, TRUE, verdicts[i]);
    }
}

/* No thread is held meanwhile: with two workers, fifty wait. */
static StrandVerdict
remember_later (StrandCall *call, GVariant **value, GError **error)
{
  GPtrArray *waiting = g_object_get_data (G_OBJECT (strand_registry_get_default ()), "waiting");

  g_mutex_lock (&order_lock);
  g_ptr_array_add (waiting, strand_call_ref (call));
  g_mutex_unlock (&order_lock);
  return STRAND_VERDICT_LATER;
}

static guint
count_waiting (GPtrArray *waiting)
{
  guint n;

  g_mutex_lock (&order_lock);
  n = waiting->len;
  g_mutex_unlock (&order_lock);
  return n;
}

static void
test_later_holds_no_thread (Fixture *f, gconstpointer unused)
{
  g_autoptr(GPtrArray) waiting = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(Told) told = told_new ();

  g_object_set_data (G_OBJECT (strand_registry_get_default ()), "waiting", waiting);
  f->b->before = remember_later;
  told_listen (told, task);
  for (guint i = 0; i < 50; i++)
    strand_task_post (task, NULL);
  wait_until (count_waiting (waiting) == 50);
  for (guint i = 0; i < 50; i++)
    g_assert_true (strand_call_resume (waiting->pdata[i], STRAND_VERDICT_CONTINUE, NULL, NULL));
  wait_until (told_count_over (told) == 50);
  g_assert_cmpuint (told->n_ends, ==, 50);
}

static void
test_a_call_is_cancelled_while_a_middleware_waits (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 2; i++) /* before an attempt; at submit */
    {
      g_autoptr(StrandTask) task = make_task (f, "test.echo");
      g_autoptr(StrandHandle) handle = NULL;

      later_call = NULL;
      g_string_set_size (order, 0);
      f->a->before = i == 0 ? say_later : NULL;
      f->a->submit = i == 1 ? say_later : NULL;
      handle = strand_task_call (task, "(s)", "asked");
      wait_until (g_atomic_pointer_get (&later_call) != NULL);
      g_assert_true (strand_handle_cancel (handle));
      check_error (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_assert_false (strand_call_resume (later_call, STRAND_VERDICT_CONTINUE, NULL, NULL));
      strand_call_unref (later_call);
      check_order (i == 0 ? "sA sB bA eA" : "sA");
    }
}

/* The clerk goes when nothing has come for two seconds: a call that was let in has come, whatever a middleware
 * does with it. */
static void
test_a_call_held_at_submit_keeps_the_clerk (Fixture *f, gconstpointer unused)
{
  GThread *(*get_thread) (StrandBackend *) = STRAND_BACKEND_GET_IFACE (f->backend)->get_thread;
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) first = strand_task_call (task, "(s)", "first");
  g_autoptr(StrandHandle) held = NULL;
  gint64 until_us;

  wait_for (first);
  later_call = NULL;
  f->a->submit = say_later;
  held = strand_task_call (task, "(s)", "held");
  until_us = g_get_monotonic_time () + 3 * SECOND;
  wait_until (get_thread (f->backend) == NULL || g_get_monotonic_time () > until_us);
  g_assert_true (strand_call_resume (later_call, STRAND_VERDICT_CONTINUE, NULL, NULL));
  wait_for (held);
  g_assert_cmpint (strand_handle_get_status (held), ==, STRAND_STATUS_COMPLETED);
  strand_call_unref (later_call);
}

static void
test_an_error_of_after_becomes_a_warning (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree const char **warnings = NULL;

  f->b->after_fails = TRUE;
  handle = strand_task_call (task, NULL);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  record = record_of (f, handle);
  warnings = g_variant_get_strv (strand_record_get_variant (record, STRAND_FIELD_WARNINGS), NULL);
  g_assert_cmpuint (g_strv_length ((char **) warnings), ==, 1);
  g_assert_nonnull (strstr (warnings[0], "no room for the invoice"));
  g_assert_nonnull (strstr (warnings[0], "TestProbe"));
  check_order ("sA sB bA bB aB aA");
}

static StrandVerdict
add_header (StrandCall *call, GVariant **value, GError **error)
{
  strand_call_set_header (call, "trace", "17");
  return STRAND_VERDICT_CONTINUE;
}

static GVariant *
give_headers (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return strand_context_dup_headers (context);
}

static void
test_headers_travel (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandFunction) function = strand_function_new (
      "test.headers", "-> a{ss}", NULL, STRAND_TRAIT_NONE, give_headers, NULL, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;
  const char *text;

  f->a->submit = add_header;
  strand_options_set_header (options, "user", "ada");
  handle = strand_task_call_full (task, NULL, NULL, options);
  wait_for (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_true (g_variant_lookup (value, "trace", "&s", &text));
  g_assert_cmpstr (text, ==, "17");
  g_assert_true (g_variant_lookup (value, "user", "&s", &text));
  g_assert_cmpstr (text, ==, "ada");
  record = record_of (f, handle);
  g_assert_cmpuint (g_variant_n_children (strand_record_get_variant (record, STRAND_FIELD_HEADERS)), ==, 2);
}

static StrandVerdict
change_arguments (StrandCall *call, GVariant **value, GError **error)
{
  if (!strand_call_set_arguments (call, g_variant_new ("(s)", "changed"), error))
    return STRAND_VERDICT_REFUSE;
  strand_options_set_ttl (strand_call_get_options (call), 42 * SECOND);
  return STRAND_VERDICT_CONTINUE;
}

static void
test_submit_may_change_the_call (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  f->a->submit = change_arguments;
  handle = strand_task_call (task, "(s)", "asked");
  wait_for (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "changed");
  g_assert_cmpint (field_of (f, handle, STRAND_FIELD_TTL), ==, 42 * SECOND);
}

/* An end. */

static void
test_what_a_killed_program_left_is_lost (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process = fixture_spawn_call (f->folder, "job-1", "test.block");
  StrandStore *store = make_store ("filesystem", "path", f->folder, NULL);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  StrandBackend *next;
  g_autoptr(StrandRecord) record = NULL;

  fixture_expect_line (process, "launched");
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);

  next = fixture_backend (store);
  {
    g_autoptr(StrandFunction) function = fixture_function ("test.nothing");
    g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (next));
    g_autoptr(StrandHandle) first_use = strand_task_call (task, NULL);

    wait_for (first_use);
  }
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_LOST);
  record = strand_store_get (store, "job-1", &error);
  g_assert_no_error (error);
  g_assert_null (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_COMPLETED), >, 0);
  close_backend (next);
  g_clear_object (&handle);
  strand_store_close (store);
  g_object_unref (store);
}

/* Another program that lives, and this one's own calls, are left alone. */
static void
test_the_living_are_left_alone (Fixture *f, gconstpointer unused)
{
  g_autoptr(GSubprocess) process = fixture_spawn_call (f->folder, "job-1", "test.hold");
  StrandStore *store = make_store ("filesystem", "path", f->folder, NULL);
  StrandBackend *next = fixture_backend (store);
  g_autoptr(StrandFunction) function = fixture_function ("test.nothing");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (next));
  g_autoptr(StrandHandle) handle = NULL;

  fixture_expect_line (process, "launched");
  fixture_expect_line (process, "running");
  for (guint i = 0; i < 10; i++)
    {
      g_autoptr(StrandHandle) own = strand_task_call (task, NULL);

      wait_for (own);
    }
  wait_until ((handle = strand_handle_new (store, "job-1", NULL)) != NULL);
  fixture_send_line (process);
  fixture_expect_line (process, "completed");
  fixture_expect_exit (process);
  wait_for (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&handle);
  g_clear_object (&task);
  close_backend (next);
  strand_store_close (store);
  g_object_unref (store);
}

static void
test_close_waits_for_what_runs (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(Told) told = told_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) late = NULL;

  told_listen (told, task);
  for (guint i = 0; i < 20; i++)
    strand_task_post (task, "(s)", "x");
  g_assert_true (strand_backend_close (f->backend, strand_clock_monotonic_us () + DEADLINE_US, &error));
  g_assert_no_error (error);
  g_assert_cmpint (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL), ==,
      20);
  wait_until (told->n_ends == 20);
  late = strand_task_call (task, "(s)", "late");
  check_error (late, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_clear_object (&task);
  g_clear_object (&f->backend);
}

static void
test_close_cancels_at_its_deadline (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.block");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) running = NULL, waiting = NULL;
  g_autoptr(GError) error = NULL;

  strand_options_set_not_before (options, strand_clock_now_us () + 3600 * SECOND);
  running = strand_task_call (task, NULL);
  waiting = strand_task_call_full (task, NULL, NULL, options);
  wait_until (field_of (f, running, STRAND_FIELD_STATUS) == STRAND_STATUS_RUNNING);
  wait_until (field_of (f, waiting, STRAND_FIELD_STATUS) == STRAND_STATUS_PENDING);
  g_assert_false (strand_backend_close (f->backend, strand_clock_monotonic_us () + 1000, &error));
  g_assert_nonnull (error);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "2"));
  check_error (running, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  check_error (waiting, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (field_of (f, running, STRAND_FIELD_STATUS), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (field_of (f, waiting, STRAND_FIELD_STATUS), ==, STRAND_STATUS_CANCELLED);
  g_clear_object (&task);
  g_clear_object (&f->backend);
}

static void
test_close_reaches_what_waits_at_the_door (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  later_call = NULL;
  f->a->submit = say_later;
  handle = strand_task_call (task, "(s)", "asked");
  g_assert_nonnull (later_call);
  g_assert_false (strand_backend_close (f->backend, strand_clock_monotonic_us () + 1000, &error));
  g_assert_nonnull (error);
  check_error (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  strand_call_unref (later_call);
  g_clear_object (&task);
  g_clear_object (&f->backend);
}

static void
test_a_backend_may_go_with_calls_in_flight (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 50; i++)
    strand_task_post (task, "(s)", "x");
  g_clear_object (&task);
  g_clear_object (&f->backend);
  wait_until (told->n_ends == 50);
}

/* `sync` would run it on the backend's own thread. */
static void
test_traits_count_where_it_runs (Fixture *f, gconstpointer unused)
{
  StrandTaskrunner *sync = make_runner ("sync", NULL);
  StrandBackend *backend = make_backend ("local", "taskrunner", sync, "store", f->store, NULL);
  g_autoptr(StrandFunction) function = fixture_function ("test.main");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend)),
                         other = make_task (f, "test.main");
  g_autoptr(StrandHandle) handle = strand_task_call (task, NULL),
                           other_handle = strand_task_call (other, NULL);

  check_error (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_UNSAFE);
  check_error (other_handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_UNSAFE);
  g_clear_object (&task);
  g_clear_object (&other);
  close_backend (backend);
  close_runner (sync);
}

static void
test_a_full_backend_says_so (Fixture *f, gconstpointer unused)
{
  StrandBackend *small =
      make_backend ("local", "taskrunner", f->runner, "store", f->store, "max-pending", 2, NULL);
  g_autoptr(StrandFunction) function = fixture_function ("test.hold");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (small));
  g_autoptr(StrandHandle) one = NULL, two = NULL, three = NULL;
  Gate *gate = fixture_gate ();

  one = strand_task_call (task, NULL);
  two = strand_task_call (task, NULL);
  three = strand_task_call (task, NULL);
  check_error (three, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_FULL);
  gate_open (gate);
  wait_for (one);
  wait_for (two);
  g_clear_object (&task);
  close_backend (small);
}

static void
test_many_calls_at_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.echo");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 0; i < 500; i++)
    strand_task_post (task, "(s)", "x");
  wait_until (told_count_over (told) == 500);
  g_assert_cmpuint (told->n_ends, ==, 500);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 500);
}

#define ADD(name, test) g_test_add ("/local-backend/memory/" name, Fixture, "memory", set_up, test, tear_down)
#define ADD_BOTH(name, test)                                                                                 \
  ADD (name, test);                                                                                          \
  g_test_add ("/local-backend/filesystem/" name, Fixture, "filesystem", set_up, test, tear_down)
#define ADD_FILES(name, test)                                                                                \
  g_test_add ("/local-backend/filesystem/" name, Fixture, "filesystem", set_up, test, tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();

  ADD_BOTH ("record/at-each-stage", test_record_at_each_stage);
  ADD_BOTH ("record/pending-waits-for-its-time", test_a_pending_record_waits_for_its_time);
  ADD_BOTH ("record/expired-does-not-start", test_an_expired_call_does_not_start);
  ADD_BOTH ("record/own-key-that-exists", test_an_own_key_that_exists);
  ADD ("record/bad-keys-fail-the-call", test_bad_keys_fail_the_call);
  ADD_BOTH ("record/ttl-counts-from-the-end", test_ttl_counts_from_the_end);
  ADD ("record/an-object-is-not-stored", test_an_object_ends_the_call_but_is_not_stored);
  ADD_BOTH ("record/too-large-fails-the-call", test_a_value_that_is_too_large_fails_the_call);
  ADD ("record/stored-exactly-or-not", test_a_value_that_is_stored_is_stored_exactly);
  ADD_BOTH ("record/value-survives-other-writers", test_the_value_survives_other_writers);
  ADD_BOTH ("record/deleted-under-its-call", test_a_record_deleted_under_its_call);
  ADD_BOTH ("retry/keeps-every-cause", test_retries_keep_every_cause);
  ADD ("retry/announces-itself-to-the-items", test_a_retry_announces_itself_to_the_items);
  ADD ("retry/waits-no-longer-than-it-may", test_a_retry_waits_no_longer_than_it_may);
  ADD_BOTH ("retry/cancelled-between-attempts", test_a_call_is_cancelled_between_attempts);
  ADD ("middleware/outermost-first", test_middleware_stands_outermost_first);
  ADD ("middleware/refusal-at-submit-leaves-no-record", test_a_refusal_at_submit_leaves_no_record);
  ADD ("middleware/refusal-is-not-retried", test_a_refusal_before_an_attempt_is_not_retried);
  ADD ("middleware/refusal-outside-keeps-the-inner-out", test_a_refusal_outside_keeps_the_inner_one_out);
  ADD ("middleware/answer-takes-the-functions-place", test_an_answer_takes_the_functions_place);
  ADD ("middleware/answer-of-another-type", test_an_answer_of_another_type_fails_the_call);
  ADD ("middleware/later-from-another-thread", test_later_is_resumed_from_another_thread);
  ADD ("middleware/late-answer-of-another-type", test_a_late_answer_of_another_type_fails_the_call);
  ADD ("middleware/late-refusal-without-a-reason", test_a_late_refusal_without_a_reason);
  ADD ("middleware/later-holds-no-thread", test_later_holds_no_thread);
  ADD ("middleware/cancelled-while-waiting", test_a_call_is_cancelled_while_a_middleware_waits);
  ADD ("middleware/held-at-submit-keeps-the-clerk", test_a_call_held_at_submit_keeps_the_clerk);
  ADD ("middleware/error-of-after-is-a-warning", test_an_error_of_after_becomes_a_warning);
  ADD ("middleware/headers-travel", test_headers_travel);
  ADD ("middleware/submit-may-change-the-call", test_submit_may_change_the_call);
  ADD_FILES ("end/what-a-killed-program-left-is-lost", test_what_a_killed_program_left_is_lost);
  ADD_FILES ("end/the-living-are-left-alone", test_the_living_are_left_alone);
  ADD_BOTH ("end/close-waits-for-what-runs", test_close_waits_for_what_runs);
  ADD_BOTH ("end/close-cancels-at-its-deadline", test_close_cancels_at_its_deadline);
  ADD ("end/close-reaches-what-waits-at-the-door", test_close_reaches_what_waits_at_the_door);
  ADD_BOTH ("end/may-go-with-calls-in-flight", test_a_backend_may_go_with_calls_in_flight);
  ADD ("traits/count-where-it-runs", test_traits_count_where_it_runs);
  ADD ("end/full", test_a_full_backend_says_so);
  ADD_BOTH ("many-at-once", test_many_calls_at_once);

  return g_test_run ();
}
