/* backend-launch.c — taking a call, and the record that it leaves.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

#include <sys/resource.h>

#define HOUR_US (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)

static void
a_handle_at_once (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_handle_is_ready (handle));
  g_assert_true (strand_key_check (strand_handle_get_key (handle), &error));
  g_assert_no_error (error);
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

static glong
count_waits (void)
{
  struct rusage usage;

  return getrusage (RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/* Another thread may hold a lock for a moment, and threads are started: not for most of the calls. */
static void
it_does_not_wait (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.echo");
  guint n_idle = 0;

  for (guint i = 0; i < 60; i++)
    {
      glong waits = count_waits ();
      g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "x");

      n_idle += count_waits () > waits;
      runner_await (self, handle);
      runner_assert_completed (handle);
    }
  g_assert_cmpuint (n_idle, <, 30);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
it_returns_while_calls_are_under_way (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < 100; i++)
    g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
  strand_conformance_create_file (self, "gate");
  for (guint i = 0; i < handles->len; i++)
    {
      runner_await (self, handles->pdata[i]);
      runner_assert_completed (handles->pdata[i]);
    }
  g_assert_cmpuint (runner_file_size (self, "entered"), ==, 100);
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
full_is_full (StrandConformance *self)
{
  StrandBackend *backend = backend_make_with (self, "max-pending", 2, NULL);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandHandle) later = NULL;

  for (guint i = 0; i < 2; i++)
    g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(StrandHandle) refused = runner_call_paths (self, task, "refused", "gate", NULL);

      runner_await (self, refused);
      runner_assert_failed (refused, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_FULL);
      g_assert_false (backend_has_record (backend, strand_handle_get_key (refused)));
    }
  strand_conformance_create_file (self, "gate");
  for (guint i = 0; i < handles->len; i++)
    {
      runner_await (self, handles->pdata[i]);
      runner_assert_completed (handles->pdata[i]);
    }
  /* Its place is free a moment after its end was told. */
  do
    {
      g_clear_object (&later);
      later = backend_call (self, backend, "conformance.echo", g_variant_new ("(s)", "later"), NULL);
      g_assert_cmpint (g_get_monotonic_time (), <, strand_conformance_get_deadline (self));
    }
  while (g_error_matches (strand_handle_get_error (later), STRAND_ERROR, STRAND_ERROR_FULL));
  runner_assert_completed (later);
  g_assert_false (strand_conformance_has_file (self, "refused"));
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&later);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
an_own_key_is_kept (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_key (options, "own-key");
  handle = backend_call (self, backend, "conformance.echo", g_variant_new ("(s)", "x"), options);
  runner_assert_completed (handle);
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "own-key");
  g_assert_true (backend_has_record (backend, "own-key"));
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
a_key_is_taken_once (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, second = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_options_set_key (options, "own-key");
  first = runner_call_paths (self, task, "first", NULL, options);
  runner_await (self, first);
  second = runner_call_paths (self, task, "second", NULL, options);
  runner_await (self, second);
  runner_assert_completed (first);
  runner_assert_failed (second, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_EXISTS);
  g_assert_false (strand_conformance_has_file (self, "second"));
  record = backend_record (backend, "own-key");
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&first);
  g_clear_object (&second);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
keys_differ (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.nothing");
  g_autoptr(GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; i < 100; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

      g_assert_true (g_hash_table_add (keys, g_strdup (strand_handle_get_key (handle))));
      runner_await (self, handle);
    }
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
closed_is_closed (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  GError *error = backend_close (self, backend, strand_conformance_get_deadline (self));
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");
  g_autoptr(StrandHandle) handle = NULL;

  g_assert_no_error (error);
  handle = runner_call_paths (self, task, "marks", NULL, NULL);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_assert_false (strand_conformance_has_file (self, "marks"));
  g_assert_false (backend_has_record (backend, strand_handle_get_key (handle)));
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_drop (self, backend);
}

const StrandConformanceCase backend_launch_cases[] = {
  { "launch/handle", "A call has a handle and a key as soon as it is made.", a_handle_at_once, "runs" },
  { "launch/does-not-wait", "In most launches the caller's thread does not wait for anything.",
    it_does_not_wait, "runs" },
  { "launch/busy", "Launching returns while a hundred calls are under way.",
    it_returns_while_calls_are_under_way, "runs" },
  { "launch/full",
    "At the limit a call fails with `FULL`, without a record, and never runs; later ones are taken again.",
    full_is_full, "runs limit" },
  { "launch/own-key", "A call's own key is its record's.", an_own_key_is_kept, "runs" },
  { "launch/exists", "A key that has a record makes a call fail with `EXISTS`; it does not run.",
    a_key_is_taken_once, "runs" },
  { "launch/keys", "Calls without a key of their own get different ones.", keys_differ, "runs" },
  { "launch/closed", "A call after `close` fails with `CLOSED`, without a record, and never runs.",
    closed_is_closed },
  { 0 },
};

/* Records. */

static void
a_record_says_what_is_called (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(GVariant) arguments =
      g_variant_ref_sink (g_variant_new ("(xx)", G_GINT64_CONSTANT (2), G_MAXINT64 - 2));
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.add", arguments, NULL);
  g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) stored = strand_record_dup_arguments (record, &error);
  g_autoptr(GVariant) value = strand_record_dup_value (record, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_FUNCTION), ==, "conformance.add");
  g_assert_cmpvariant (stored, arguments);
  g_assert_cmpint (g_variant_get_int64 (value), ==, G_MAXINT64);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
a_record_has_the_options (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  gint64 expires_us = strand_clock_now_us () + HOUR_US;

  strand_options_set_ttl (options, 2 * HOUR_US);
  strand_options_set_timeout (options, HOUR_US / 2);
  strand_options_set_retries (options, 3);
  strand_options_set_priority (options, 7);
  strand_options_set_not_before (options, 1000);
  strand_options_set_expires (options, expires_us);
  handle = backend_call (self, backend, "conformance.nothing", NULL, options);
  runner_assert_completed (handle);
  record = backend_record (backend, strand_handle_get_key (handle));
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TTL), ==, 2 * HOUR_US);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TIMEOUT), ==, HOUR_US / 2);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_RETRIES), ==, 3);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_PRIORITY), ==, 7);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE), ==, 1000);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_EXPIRES), ==, expires_us);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
no_option_is_forgotten (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_unique (options, "only-one");
  handle = backend_call (self, backend, "conformance.nothing", NULL, options);
  if (strand_handle_get_status (handle) == STRAND_STATUS_COMPLETED)
    {
      g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));

      g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_UNIQUE), ==, "only-one");
    }
  else
    runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
a_record_has_the_headers (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL, seen = NULL;
  const char *stored = NULL, *passed = NULL;

  strand_options_set_header (options, "x-mine", "“kept”");
  handle = backend_call (self, backend, "conformance.describe", NULL, options);
  runner_assert_completed (handle);
  record = backend_record (backend, strand_handle_get_key (handle));
  value = strand_handle_get_result (handle, NULL);
  seen = g_variant_lookup_value (value, "headers", G_VARIANT_TYPE ("a{ss}"));
  g_assert_true (
      g_variant_lookup (strand_record_get_variant (record, STRAND_FIELD_HEADERS), "x-mine", "&s", &stored));
  g_assert_true (g_variant_lookup (seen, "x-mine", "&s", &passed));
  g_assert_cmpstr (stored, ==, "“kept”");
  g_assert_cmpstr (passed, ==, "“kept”");
  g_clear_object (&handle);
  backend_end (self, backend);
}

typedef struct
{
  StrandBackend *backend;
  guint n_ends;
  guint n_early; /* ends that were told before the record had them */
} Witness;

static void
look (Witness *witness, StrandCall *call)
{
  g_autoptr(StrandRecord) record = backend_record (witness->backend, strand_call_get_key (call));

  witness->n_ends++;
  witness->n_early += strand_record_get_status (record) != strand_call_get_status (call);
}

static void
look_at_end (StrandCall *call, GVariant *value, gpointer data)
{
  look (data, call);
}

static void
look_at_error (StrandCall *call, const GError *error, gpointer data)
{
  look (data, call);
}

static void
the_record_ends_first (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.echo");
  g_autoptr(StrandTask) failing = backend_task (self, backend, "conformance.fail");
  Witness witness = { backend, 0, 0 };

  strand_task_on_end (task, look_at_end, &witness, NULL);
  strand_task_on_error (failing, look_at_error, &witness, NULL);
  for (guint i = 0; i < 50; i++)
    {
      strand_task_post (task, "(s)", "x");
      strand_task_post (failing, "(sis)", "a-domain", 1, "no");
    }
  strand_conformance_wait (self, witness.n_ends == 100);
  g_assert_cmpuint (witness.n_early, ==, 0);
  g_clear_object (&task);
  g_clear_object (&failing);
  backend_end (self, backend);
}

typedef struct
{
  StrandBackend *backend;
  const char *key;
  int stop;         /* atomic */
  guint n_backward; /* the thread's, until it has ended, as the next */
  guint n_seen;
} Observer;

static gpointer
observe (gpointer data)
{
  Observer *observer = data;
  StrandStatus last = STRAND_STATUS_PENDING;
  guint64 revision = 0;

  while (!g_atomic_int_get (&observer->stop))
    {
      g_autoptr(StrandRecord) record =
          strand_store_get (strand_backend_get_store (observer->backend), observer->key, NULL);
      StrandStatus now = record != NULL ? strand_record_get_status (record) : last;

      if (record == NULL || strand_record_get_revision (record) == revision)
        {
          g_usleep (100);
          continue;
        }
      observer->n_seen++;
      observer->n_backward += strand_record_get_revision (record) < revision ||
                              strand_status_is_terminal (last) ||
                              (now == STRAND_STATUS_PENDING && last == STRAND_STATUS_RUNNING);
      revision = strand_record_get_revision (record);
      last = now;
    }
  return NULL;
}

/* Looked at from another thread all the while. */
static void
a_record_goes_forward (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *key = g_strdup_printf ("observed-%u", i);
      g_autofree char *entered = g_strdup_printf ("entered-%u", i), *gate = g_strdup_printf ("gate-%u", i);
      g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.progress");
      g_autoptr(StrandOptions) options = strand_options_new ();
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(StrandRecord) record = NULL;
      Observer observer = { backend, key, FALSE, 0, 0 };
      GThread *thread = g_thread_new ("observer", observe, &observer);

      strand_options_set_key (options, key);
      handle = runner_call_paths (self, task, entered, gate, options);
      record = backend_await_record (self, backend, key, STRAND_STATUS_RUNNING);
      if (i % 3 == 2)
        strand_handle_cancel (handle);
      strand_conformance_create_file (self, gate);
      runner_await (self, handle);
      g_atomic_int_set (&observer.stop, TRUE);
      g_thread_join (thread);
      g_assert_cmpuint (observer.n_backward, ==, 0);
    }
  backend_end (self, backend);
}

static void
a_record_has_the_times (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  gint64 before_us = strand_clock_now_us ();
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.nothing", NULL, NULL);
  g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));
  gint64 created_us = strand_record_get_int (record, STRAND_FIELD_CREATED);
  gint64 started_us = strand_record_get_int (record, STRAND_FIELD_STARTED);
  gint64 completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);

  g_assert_cmpint (before_us, <=, created_us);
  g_assert_cmpint (created_us, <=, started_us);
  g_assert_cmpint (started_us, <=, completed_us);
  g_assert_cmpint (completed_us, <=, strand_clock_now_us ());
  g_assert_cmpint (strand_handle_get_duration (handle), ==, completed_us - started_us);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER), ==, NULL);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
a_running_record_has_an_owner (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(StrandRecord) record =
      backend_await_record (self, backend, strand_handle_get_key (handle), STRAND_STATUS_RUNNING);

  g_assert_nonnull (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_record_cases[] = {
  { "record/call", "A record names the function, and has the arguments and the value, exactly.",
    a_record_says_what_is_called, "runs" },
  { "record/options", "TTL, timeout, retries, priority, start and expiry stand in the record.",
    a_record_has_the_options, "runs" },
  { "record/no-option-forgotten",
    "A unique key stands in the record, or the call is refused with `NOT_SUPPORTED`.", no_option_is_forgotten,
    "runs" },
  { "record/headers", "Headers stand in the record, and reach the function.", a_record_has_the_headers,
    "runs" },
  { "record/ends-first", "When a callback hears of a call's end, its record has ended, likewise.",
    the_record_ends_first, "runs" },
  { "record/forward",
    "Whoever looks sees a record go from pending to running to its end, and never back or on from there.",
    a_record_goes_forward, "runs" },
  { "record/times", "A record says when the call was made, started and ended; an ended one has no owner.",
    a_record_has_the_times, "runs" },
  { "record/owner", "A running record has an owner.", a_running_record_has_an_owner, "runs" },
  { 0 },
};
