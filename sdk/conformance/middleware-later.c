/* middleware-later.c — calls that are held back: they go on, or are cancelled, and cost no thread meanwhile.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#define N_HELD 20

static void
drop_all (World *world, GPtrArray *handles)
{
  g_ptr_array_set_size (handles, 0);
  strand_conformance_wait (world->self, g_atomic_int_get (&world->outer->n_alive) == 0);
  world_close (world);
}

static void
they_go_on (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);

  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr(GVariant) value = NULL;

      runner_assert_completed (handles->pdata[i]);
      value = strand_handle_get_result (handles->pdata[i], NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "held");
    }
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, handles->len);
  drop_all (world, handles);
}

/* Those that were let go on ran, the others were answered. */
static void
each_goes_on_once (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);
  guint n_inner;

  world_open_gate (world);
  world_await_all (world, handles);
  n_inner = probe_read (world->inner, &world->inner->n_before);
  g_assert_cmpuint (n_inner, <=, handles->len);
  g_assert_cmpuint (runner_file_size (self, "entered"), ==, n_inner);
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_after), ==, n_inner);
  drop_all (world, handles);
}

static void
they_hold_no_thread (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, 2);
  g_autoptr(GPtrArray) more = NULL;
  guint n_threads = runner_count_threads ();

  more = world_hold (world, 2 + N_HELD);
  /* The runner may have started a thread or two more for those that run. */
  g_assert_cmpuint (runner_count_threads (), <=, n_threads + N_HELD / 2);
  world_open_gate (world);
  world_await_all (world, handles);
  world_await_all (world, more);
  g_ptr_array_set_size (more, 0);
  drop_all (world, handles);
}

static void
cancelling_ends_them (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);

  /* The latest first, so that none is let go on by the one before it. */
  for (guint i = handles->len; i-- > 0;)
    {
      g_assert_true (strand_handle_cancel (handles->pdata[i]));
      runner_await (self, handles->pdata[i]);
      runner_assert_failed (handles->pdata[i], STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error), ==,
                    probe_read (world->outer, &world->outer->n_before));
  drop_all (world, handles);
}

static void
others_go_on_past_cancelled_ones (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);
  guint n_completed = 0;

  for (guint i = 0; i < handles->len; i += 2)
    strand_handle_cancel (handles->pdata[i]);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    {
      StrandStatus status = strand_handle_get_status (handles->pdata[i]);

      n_completed += status == STRAND_STATUS_COMPLETED;
      if (i % 2 == 1)
        runner_assert_completed (handles->pdata[i]);
      else if (status != STRAND_STATUS_COMPLETED)
        g_assert_cmpint (status, ==, STRAND_STATUS_CANCELLED);
    }
  g_assert_cmpuint (n_completed, >=, handles->len / 2);
  drop_all (world, handles);
}

static gpointer
cancel_them (gpointer data)
{
  GPtrArray *handles = data;

  for (guint i = 0; i < handles->len; i++)
    strand_handle_cancel (handles->pdata[i]);
  return NULL;
}

static void
cancelling_races_going_on (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("canceller", cancel_them, handles);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  for (guint i = 0; i < handles->len; i++)
    if (strand_handle_get_status (handles->pdata[i]) != STRAND_STATUS_COMPLETED)
      runner_assert_failed (handles->pdata[i], STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after) +
                        probe_read (world->outer, &world->outer->n_on_error),
                    ==, probe_read (world->outer, &world->outer->n_before));
  drop_all (world, handles);
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
closing_ends_them (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);
  Closing closing = { FALSE, NULL };

  strand_backend_close_async (world->backend, g_get_monotonic_time (), NULL, on_closed, &closing);
  strand_conformance_wait (self, closing.over);
  g_assert_error (closing.error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_error (&closing.error);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    runner_assert_failed (handles->pdata[i], STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  drop_all (world, handles);
}

static void
closed_meanwhile (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_hold (world, N_HELD);

  strand_middleware_close (world->subject);
  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  drop_all (world, handles);
}

const StrandConformanceCase middleware_later_cases[] = {
  { "later/goes-on", "Calls that are held back go on, and complete.", they_go_on, "holds" },
  { "later/once", "Each goes on once: its function runs once, or it is answered.", each_goes_on_once,
    "holds" },
  { "later/no-thread", "Calls that are held back hold no thread.", they_hold_no_thread, "holds" },
  { "later/cancel", "A call that is held back can be cancelled, and ends at once.", cancelling_ends_them,
    "holds" },
  { "later/others", "The others go on, whoever among them is cancelled.", others_go_on_past_cancelled_ones,
    "holds" },
  { "later/race", "Where cancelling races going on, each call ends once, cancelled or completed.",
    cancelling_races_going_on, "holds" },
  { "later/backend-closed", "Closing the backend ends those that are held back.", closing_ends_them,
    "holds" },
  { "later/closed", "Those that are held back when the middleware is closed go on all the same.",
    closed_meanwhile, "holds" },
  { 0 },
};
