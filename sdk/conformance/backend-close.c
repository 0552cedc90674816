/* backend-close.c — the store that a backend uses, and its end.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

static void
the_store_stays (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  StrandStore *store = strand_backend_get_store (backend);
  GError *error;

  g_assert_true (STRAND_IS_STORE (store));
  g_object_unref (backend_call (self, backend, "conformance.nothing", NULL, NULL));
  g_assert_true (strand_backend_get_store (backend) == store);
  error = backend_close (self, backend, strand_conformance_get_deadline (self));
  g_assert_no_error (error);
  g_assert_true (strand_backend_get_store (backend) == store);
  backend_drop (self, backend);
}

static StrandBackend *
make_troubled (StrandConformance *self, BackendTroubledStore **store)
{
  *store = g_object_new (BACKEND_TYPE_TROUBLED_STORE, NULL);
  return backend_make_with (self, "store", *store, NULL);
}

static void
what_cannot_be_written_fails (StrandConformance *self)
{
  g_autoptr(BackendTroubledStore) store = NULL;
  StrandBackend *backend = make_troubled (self, &store);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.mark");

  backend_troubled_store_set_trouble (store, TRUE);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "marks", NULL, NULL);

      runner_await (self, handle);
      runner_assert_failed (handle, STRAND_STATUS_FAILED, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
    }
  g_assert_false (strand_conformance_has_file (self, "marks"));
  g_clear_object (&task);
  backend_end (self, backend);
}

static void
trouble_passes (StrandConformance *self)
{
  g_autoptr(BackendTroubledStore) store = NULL;
  StrandBackend *backend = make_troubled (self, &store);

  for (guint i = 0; i < 6; i++)
    {
      g_autoptr(StrandHandle) handle = NULL;

      backend_troubled_store_set_trouble (store, i % 2 == 0);
      handle = backend_call (self, backend, "conformance.nothing", NULL, NULL);
      if (i % 2 == 0)
        runner_assert_failed (handle, STRAND_STATUS_FAILED, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
      else
        runner_assert_completed (handle);
    }
  backend_end (self, backend);
}

static void
what_cannot_be_kept_is_told (StrandConformance *self)
{
  g_autoptr(BackendTroubledStore) store = NULL;
  StrandBackend *backend = make_troubled (self, &store);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  backend_troubled_store_set_trouble (store, TRUE);
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_clear_object (&handle);
  g_clear_object (&task);
  backend_end (self, backend);
}

const StrandConformanceCase backend_store_cases[] = {
  { "store/stays", "The store is the same for the object's whole life.", the_store_stays, "runs" },
  { "store/unwritable", "A call whose record cannot be written fails with the store's error, and never runs.",
    what_cannot_be_written_fails, "store" },
  { "store/passes", "When the store can be written again, calls complete.", trouble_passes,
    "runs store attempts" },
  { "store/unkept", "A call whose end cannot be written fails with the store's error.",
    what_cannot_be_kept_is_told, "runs store attempts" },
  { 0 },
};

/* The end. */

static void
an_idle_one_closes (StrandConformance *self)
{
  StrandBackend *fresh = backend_make (self), *used = backend_make (self);
  GError *error;

  g_object_unref (backend_call (self, used, "conformance.nothing", NULL, NULL));
  backend_end (self, fresh);
  error = backend_close (self, used, strand_conformance_get_deadline (self));
  g_assert_no_error (error);
  backend_end (self, used);
}

static void
an_unused_one_goes (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  int gone = FALSE;

  g_object_weak_ref (G_OBJECT (backend), target_note_gone, &gone);
  g_object_unref (backend);
  strand_conformance_wait (self, g_atomic_int_get (&gone));
}

typedef struct
{
  gboolean over;
  GError *error;
} Closing;

static void
on_closed (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  strand_backend_close_finish (STRAND_BACKEND (source), result, &closing->error);
  closing->over = TRUE;
}

static void
calls_finish_first (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  Closing closing = { FALSE, NULL };

  for (guint i = 0; i < 20; i++)
    g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
  runner_await_file (self, "entered");
  strand_backend_close_async (backend, strand_conformance_get_deadline (self), NULL, on_closed, &closing);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, closing.over);
  g_assert_no_error (closing.error);
  for (guint i = 0; i < handles->len; i++)
    {
      runner_await (self, handles->pdata[i]);
      runner_assert_completed (handles->pdata[i]);
    }
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  backend_drop (self, backend);
}

/* What others run may go on without the backend; then it has its record. */
static void
late_ones_end (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  GError *error;

  for (guint i = 0; i < 20; i++)
    g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
  runner_await_file (self, "entered");
  error = backend_close (self, backend, g_get_monotonic_time () + 20000);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_error (&error);
  for (guint i = 0; i < handles->len; i++)
    {
      StrandHandle *handle = handles->pdata[i];

      runner_await (self, handle);
      g_assert_true (backend_has_record (backend, strand_handle_get_key (handle)));
      if (strand_handle_get_status (handle) != STRAND_STATUS_CANCELLED)
        runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_CLOSED);
    }
  strand_conformance_create_file (self, "gate");
  g_ptr_array_set_size (handles, 0);
  g_clear_object (&task);
  backend_drop (self, backend);
}

static void
dropped_with_calls_in_flight (StrandConformance *self)
{
  StrandBackend *backend = backend_make (self);
  GPtrArray *readers = backend_ref_readers (backend);
  g_autoptr(StrandTask) task = backend_task (self, backend, "conformance.hold");
  g_autoptr(Told) told = told_new ();
  int gone = FALSE;

  g_object_weak_ref (G_OBJECT (backend), target_note_gone, &gone);
  told_listen (told, task);
  for (guint i = 0; i < 20; i++)
    g_object_unref (runner_call_paths (self, task, "entered", "gate", NULL));
  g_clear_object (&task);
  g_object_unref (backend);
  strand_conformance_create_file (self, "gate");
  strand_conformance_wait (self, told_count_over (told) == 20);
  g_assert_cmpuint (told->n_ends, ==, 20);
  strand_conformance_wait (self, g_atomic_int_get (&gone));
  backend_stop_readers (self, readers);
}

static void
closing_races_calling (StrandConformance *self)
{
  for (guint round = 0; round < 3; round++)
    {
      StrandBackend *backend = backend_make (self);
      TargetPosters *posters = target_start_posting (self, backend);
      GError *error = backend_close (self, backend, strand_conformance_get_deadline (self));

      g_clear_error (&error);
      target_stop_posting (posters);
      backend_drop (self, backend);
    }
}

const StrandConformanceCase backend_close_cases[] = {
  { "close/idle", "A backend that does nothing closes at once, used or unused, also a second time.",
    an_idle_one_closes, "runs" },
  { "close/unused", "One that was never used goes with its last owner.", an_unused_one_goes },
  { "close/drains", "Calls in flight finish before the deadline, and `close` says that all ended.",
    calls_finish_first, "runs" },
  { "close/deadline",
    "At the deadline `close` fails with `TIMED_OUT`, and each call left ends cancelled, or with `CLOSED` and goes on in its record.",
    late_ones_end, "runs" },
  { "close/dropped", "Where the last owner drops a backend with calls in flight, they end, and then it goes.",
    dropped_with_calls_in_flight, "runs" },
  { "close/race",
    "Calls made while another thread closes the backend end all, completed, cancelled or `CLOSED`.",
    closing_races_calling, "runs" },
  { 0 },
};
