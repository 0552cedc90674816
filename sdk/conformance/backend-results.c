/* backend-results.c — what comes of a call, for its caller and for whoever has its key.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

static void
every_type_arrives (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);

  target_check_every_type (self, backend);
  backend_end (self, backend);
}

static void
a_large_value_arrives (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);

  target_check_large_value (self, backend);
  backend_end (self, backend);
}

static void
nothing_is_no_value (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.nothing", NULL, NULL);
  g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));

  runner_assert_completed (handle);
  g_assert_null (strand_call_get_value (strand_handle_get_call (handle)));
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
an_error_arrives (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);

  for (const TargetError *expected = target_errors; expected->domain != NULL; expected++)
    {
      g_autoptr(StrandHandle) handle = target_fail (self, backend, expected);
      g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));
      g_autoptr(GError) stored = strand_record_dup_error (record);

      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
      g_assert_error (stored, g_quark_from_string (expected->domain), expected->code);
      g_assert_cmpstr (stored->message, ==, expected->message);
    }
  backend_end (self, backend);
}

static void
a_lie_is_an_error (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.lie", NULL, NULL);
  g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));

  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
a_key_is_enough (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) once = strand_options_new ();
  g_autoptr(StrandHandle) done =
      backend_call (self, backend, "conformance.echo", g_variant_new ("(s)", "found"), NULL);
  g_autoptr(StrandHandle) failed = NULL, again = NULL, failed_again = NULL;
  g_autoptr(GVariant) value = NULL;

  strand_options_set_retries (once, 0);
  failed =
      backend_call (self, backend, "conformance.fail", g_variant_new ("(sis)", "a-domain", 3, "no"), once);
  again = backend_find (backend, done);
  failed_again = backend_find (backend, failed);
  runner_await (self, again);
  runner_await (self, failed_again);
  runner_assert_completed (again);
  value = strand_handle_get_result (again, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "found");
  runner_assert_failed (failed_again, STRAND_STATUS_FAILED, g_quark_from_string ("a-domain"), 3);
  g_assert_cmpint (strand_handle_get_duration (again), ==, strand_handle_get_duration (done));
  g_clear_object (&done);
  g_clear_object (&failed);
  g_clear_object (&again);
  g_clear_object (&failed_again);
  backend_end (self, backend);
}

static void
a_second_handle_sees_the_end (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(StrandHandle) second = NULL;

  runner_await_file (self, "entered");
  second = backend_find (backend, handle);
  g_assert_false (strand_handle_is_ready (second));
  strand_conformance_create_file (self, "gate");
  runner_await (self, second);
  runner_assert_completed (second);
  runner_await (self, handle);
  g_clear_object (&handle);
  g_clear_object (&second);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
another_process_finds_it (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "onlooker", NULL);
  g_autofree char *ready = strand_conformance_peer_receive (peer), *value = NULL, *error = NULL,
                  *expected = NULL;
  g_autoptr(StrandOptions) once = strand_options_new ();
  g_autoptr(StrandHandle) done =
      backend_call (self, backend, "conformance.echo", g_variant_new ("(s)", "found"), NULL);
  g_autoptr(StrandHandle) failed = NULL;

  strand_options_set_retries (once, 0);
  failed =
      backend_call (self, backend, "conformance.fail", g_variant_new ("(sis)", "a-domain", 3, "no"), once);
  value = backend_ask (peer, "wait", done);
  error = backend_ask (peer, "wait", failed);
  g_assert_cmpstr (value, ==, "'found'");
  g_assert_cmpstr (error, ==, "a-domain 3 no");
  backend_end_peer (peer);
  g_clear_object (&done);
  g_clear_object (&failed);
  backend_end (self, backend);
}

const StrandConformanceCase backend_results_cases[] = {
  { "results/every-type", "Arguments and values of every GVariant type arrive exactly.", every_type_arrives,
    "runs" },
  { "results/large", "A string of 8 MiB goes there and comes back.", a_large_value_arrives, "runs" },
  { "results/nothing", "A function that returns nothing completes without a value.", nothing_is_no_value,
    "runs" },
  { "results/error",
    "An error arrives with its domain, code and message, and stands in the record, also of a domain that nobody knows.",
    an_error_arrives, "runs" },
  { "results/wrong-type", "A value of another type than declared is `STRAND_ERROR_TYPE`.", a_lie_is_an_error,
    "runs" },
  { "results/by-key", "A handle made from the key of an ended call has its value, error and duration.",
    a_key_is_enough, "runs" },
  { "results/while-it-runs", "A handle made from the key of a running call sees it end.",
    a_second_handle_sees_the_end, "runs" },
  { "results/other-process", "So do handles in another process.", another_process_finds_it, "runs shared" },
  { 0 },
};

/* Ends. */

static void
each_ends_once (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.echo");
  g_autoptr(StrandTask) failing = backend_task (self, backend, "conformance.fail");
  g_autoptr(StrandOptions) once = strand_options_new ();
  g_autoptr(Told) told = told_new ();
  const guint n = strand_conformance_is_quick (self) ? 30 : 300;

  strand_options_set_retries (once, 0);
  strand_task_set_options (failing, once);
  told_listen (told, task);
  told_listen (told, failing);
  for (guint i = 0; i < n; i++)
    {
      strand_task_post (task, "(s)", "x");
      strand_task_post (failing, "(sis)", "a-domain", 1, "no");
    }
  strand_conformance_wait (self, told_count_over (told) >= 2 * n);
  g_clear_object (&task);
  g_clear_object (&failing);
  backend_end (self, backend);
  g_assert_cmpuint (told->n_ends, ==, n);
  g_assert_cmpuint (told->n_errors, ==, n);
  g_assert_cmpuint (told->n_nested, ==, 0);
}

static void
a_dropped_handle_cancels_nothing (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandRecord) record = NULL;

  strand_options_set_key (options, "dropped");
  g_object_unref (runner_call_paths (self, task, "marks", NULL, options));
  g_clear_object (&task);
  record = backend_await_record (self, backend, "dropped", STRAND_STATUS_COMPLETED);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, 1);
  backend_end (self, backend);
}

typedef struct
{
  StrandTask *task;
  guint number;
  guint n;
  guint n_right; /* the thread's, until it has ended */
} Caller;

static gpointer
call_on_and_on (gpointer data)
{
  Caller *caller = data;
  GMainContext *context = g_main_context_new ();

  g_main_context_push_thread_default (context);
  for (guint i = 0; i < caller->n; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u of %u", i, caller->number);
      g_autoptr(StrandHandle) handle = strand_task_call (caller->task, "(s)", text);
      g_autoptr(GVariant) value = NULL;

      runner_run_until_ended (handle);
      value = strand_handle_get_result (handle, NULL);
      caller->n_right += value != NULL && g_strcmp0 (g_variant_get_string (value, NULL), text) == 0;
    }
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

static void
eight_threads_call (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.echo");
  const guint n = strand_conformance_is_quick (self) ? 20 : 200 / RUNNER_SLOWNESS;
  Caller callers[8];
  GThread *threads[8];

  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      callers[i] = (Caller){ task, i, n, 0 };
      threads[i] = g_thread_new ("caller", call_on_and_on, &callers[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (callers); i++)
    {
      g_thread_join (threads[i]);
      g_assert_cmpuint (callers[i].n_right, ==, n);
    }
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_ends_cases[] = {
  { "ends/once", "Each call ends in exactly one of `on_end` and `on_error`, once.", each_ends_once, "runs" },
  { "ends/dropped-handle", "Dropping a handle cancels nothing, and the record is kept.",
    a_dropped_handle_cancels_nothing, "runs" },
  { "ends/eight-threads", "Eight threads call at once, and each gets its own values.", eight_threads_call,
    "runs" },
  { 0 },
};

/* What shows meanwhile. */

static void
progress_shows (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.progress");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autofree char *message = NULL;
  g_autoptr(GVariant) metadata = NULL;
  const char *colour = NULL;

  strand_conformance_wait (self, strand_handle_get_progress (handle) == 0.25 &&
                                     strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  message = strand_handle_dup_message (handle);
  g_assert_cmpstr (message, ==, "a quarter");
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  metadata = strand_handle_dup_metadata (handle);
  g_assert_true (g_variant_lookup (metadata, "colour", "&s", &colour));
  g_assert_cmpstr (colour, ==, "red");
  g_assert_cmpfloat (strand_handle_get_progress (handle), ==, 0.75);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

static gboolean
record_has_progress (StrandBackend *backend, const char *key, double progress)
{
  g_autoptr(StrandRecord) record = strand_store_get (strand_backend_get_store (backend), key, NULL);

  return record != NULL && strand_record_get_double (record, STRAND_FIELD_PROGRESS) == progress;
}

static void
progress_is_recorded (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.progress");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(StrandRecord) record = NULL;
  const char *colour = NULL;

  strand_conformance_wait (self, record_has_progress (backend, strand_handle_get_key (handle), 0.25));
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  record = backend_record (backend, strand_handle_get_key (handle));
  g_assert_cmpfloat (strand_record_get_double (record, STRAND_FIELD_PROGRESS), ==, 0.75);
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_MESSAGE), ==, "three quarters");
  g_assert_true (
      g_variant_lookup (strand_record_get_variant (record, STRAND_FIELD_METADATA), "colour", "&s", &colour));
  g_assert_cmpstr (colour, ==, "red");
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
items_arrive (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.emit");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(u)", 500);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_no_error (told->error);
  g_assert_cmpuint (told->n_items, ==, 500);
  g_assert_cmpuint (told->n_misplaced + told->n_late, ==, 0);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
items_come_before_the_error (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.emit-and-fail");
  g_autoptr(StrandOptions) once = strand_options_new ();
  g_autoptr(Told) told = told_new ();

  strand_options_set_retries (once, 0);
  strand_task_set_options (task, once);
  told_listen (told, task);
  strand_task_post (task, "(u)", 50);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_error (told->error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
  g_assert_cmpuint (told->n_items, ==, 50);
  g_assert_cmpuint (told->n_misplaced + told->n_late, ==, 0);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_shows_cases[] = {
  { "shows/progress", "Progress, message and metadata show in the handle while the function runs.",
    progress_shows, "runs" },
  { "shows/record", "They stand in the record while it runs, and the last ones when it has ended.",
    progress_is_recorded, "runs" },
  { "shows/items", "Items reach `on_iter` all, in order, and before the end.", items_arrive, "runs" },
  { "shows/items-and-error", "Items that were emitted before a failure come before the error.",
    items_come_before_the_error, "runs" },
  { 0 },
};
