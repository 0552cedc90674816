/* backend-cancel.c — calls that are cancelled, tried again, or late.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

static void
assert_cancelled (StrandBackend *backend, StrandHandle *handle)
{
  g_autoptr(StrandRecord) record = backend_record (backend, strand_handle_get_key (handle));

  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_CANCELLED);
}

static void
pending_ones_never_start (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_options_set_not_before (options, strand_clock_now_us () + 3600 * (gint64) G_USEC_PER_SEC);
  handle = runner_call_paths (self, task, "marks", NULL, options);
  record = backend_await_record (self, backend, strand_handle_get_key (handle), STRAND_STATUS_PENDING);
  g_assert_true (strand_handle_cancel (handle));
  runner_await (self, handle);
  assert_cancelled (backend, handle);
  g_assert_false (strand_conformance_has_file (self, "marks"));
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
running_ones_stop (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  g_assert_true (strand_handle_cancel (handle));
  runner_await (self, handle);
  assert_cancelled (backend, handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

/* Each some steps further on than the one before. */
static void
wherever_they_are (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");

  for (guint i = 0; i < 40; i++)
    {
      g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

      g_usleep (i * 25);
      strand_handle_cancel (handle);
      runner_await (self, handle);
      runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
too_late_is_too_late (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandHandle) handle = backend_call (self, backend, "conformance.nothing", NULL, NULL);
  g_autoptr(StrandRecord) record = NULL;

  g_assert_false (strand_handle_cancel (handle));
  runner_assert_completed (handle);
  record = backend_record (backend, strand_handle_get_key (handle));
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
by_key (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autoptr(StrandHandle) second = NULL;

  runner_await_file (self, "entered");
  second = backend_find (backend, handle);
  g_assert_true (strand_handle_cancel (second));
  runner_await (self, handle);
  runner_await (self, second);
  assert_cancelled (backend, handle);
  g_assert_cmpint (strand_handle_get_status (second), ==, STRAND_STATUS_CANCELLED);
  g_clear_object (&handle);
  g_clear_object (&second);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
from_another_process (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "onlooker", NULL);
  g_autofree char *ready = strand_conformance_peer_receive (peer), *answer = NULL;
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  answer = backend_ask (peer, "cancel", handle);
  g_assert_cmpstr (answer, ==, "cancelled");
  runner_await (self, handle);
  assert_cancelled (backend, handle);
  backend_end_peer (peer);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_cancel_cases[] = {
  { "cancel/pending", "A pending call that is cancelled never starts.", pending_ones_never_start, "runs" },
  { "cancel/running", "A running one is told to stop; call and record end cancelled.", running_ones_stop,
    "runs" },
  { "cancel/anywhere", "A call may be cancelled at any moment, and ends cancelled.", wherever_they_are,
    "runs" },
  { "cancel/too-late", "Cancelling a call that has ended answers no, and changes nothing.",
    too_late_is_too_late, "runs" },
  { "cancel/by-key", "A handle made from the key cancels the call.", by_key, "runs" },
  { "cancel/other-process", "So does another process.", from_another_process, "runs shared" },
  { 0 },
};

/* Retries. */

static void
attempts_are_counted (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  GVariant *causes;

  strand_options_set_retries (options, 2);
  handle =
      backend_call (self, backend, "conformance.fail", g_variant_new ("(sis)", "a-domain", 4, "no"), options);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_string ("a-domain"), 4);
  record = backend_record (backend, strand_handle_get_key (handle));
  causes = strand_record_get_variant (record, STRAND_FIELD_CAUSES);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 3);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 3);
  g_assert_nonnull (causes);
  g_assert_cmpuint (g_variant_n_children (causes), ==, 3);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(GVariant) cause = g_variant_get_child_value (causes, i);
      guint attempt;

      g_variant_get_child (cause, 0, "u", &attempt);
      g_assert_cmpuint (attempt, ==, i + 1);
    }
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
none_is_none (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_retries (options, 0);
  handle =
      backend_call (self, backend, "conformance.fail", g_variant_new ("(sis)", "a-domain", 4, "no"), options);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_string ("a-domain"), 4);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 1);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
cancelled_ones_are_not_retried (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_retries (options, 5);
  handle = runner_call_paths (self, task, "entered", "gate", options);
  runner_await_file (self, "entered");
  strand_handle_cancel (handle);
  runner_await (self, handle);
  assert_cancelled (backend, handle);
  g_assert_cmpuint (runner_file_size (self, "entered"), ==, 1);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_retries_cases[] = {
  { "retries/causes", "A call whose attempts all fail has their number and a cause for each in its record.",
    attempts_are_counted, "runs" },
  { "retries/none", "A call that wants no retries has none.", none_is_none, "runs" },
  { "retries/cancelled", "A cancelled call is not retried.", cancelled_ones_are_not_retried, "runs" },
  { 0 },
};

/* Times. */

static void
timeouts_end_attempts (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) stored = NULL;

  strand_options_set_timeout (options, 10000);
  strand_options_set_retries (options, 0);
  handle = runner_call_paths (self, task, "entered", "gate", options);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  record = backend_record (backend, strand_handle_get_key (handle));
  stored = strand_record_dup_error (record);
  g_assert_error (stored, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
not_before_its_time (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  gint64 due_us = strand_clock_now_us () + 100000;

  strand_options_set_not_before (options, due_us);
  handle = backend_call (self, backend, "conformance.nothing", NULL, options);
  runner_assert_completed (handle);
  record = backend_record (backend, strand_handle_get_key (handle));
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_STARTED), >=, due_us);
  g_clear_object (&handle);
  backend_end (self, backend);
}

static void
not_after_its_time (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  strand_options_set_expires (options, 1);
  handle = runner_call_paths (self, task, "marks", NULL, options);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_EXPIRED);
  record = backend_record (backend, strand_handle_get_key (handle));
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_assert_false (strand_conformance_has_file (self, "marks"));
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_time_cases[] = {
  { "time/timeout", "An attempt that runs too long fails with `TIMED_OUT`, also in the record.",
    timeouts_end_attempts, "runs" },
  { "time/not-before", "A call does not start before its time.", not_before_its_time, "runs" },
  { "time/expired", "A call that has expired fails with `EXPIRED`, and never runs.", not_after_its_time,
    "runs" },
  { 0 },
};
