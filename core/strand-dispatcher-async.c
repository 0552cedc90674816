/* strand-dispatcher-async.c — waiting for a dispatcher's calls without blocking.
 *
 * Three may end such a wait: the end of the last call, the clock, and a GCancellable. The first of them
 * decides how, and only queues the news; the task returns in its own context, where it lets the other two go.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher-private.h"
#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-error.h"

typedef enum
{
  OUTCOME_NONE,
  OUTCOME_ENDED,
  OUTCOME_TIME_IS_UP,
  OUTCOME_CANCELLED,
} Outcome;

typedef struct
{
  gatomicrefcount ref_count;
  GTask *task; /* set at construction, as all but the last */
  StrandDelivery *delivery;
  StrandTally *tally;
  gint64 timeout_us;
  gulong cancel_id; /* its context's only, as the next */
  guint64 timer;
  int outcome; /* atomic */
} Wait;

static Wait *
wait_ref (Wait *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

static void
wait_unref (gpointer data)
{
  Wait *self = data;

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  strand_tally_unref (self->tally);
  strand_delivery_unref (self->delivery);
  g_free (self);
}

static void
return_outcome (Wait *self, GTask *task)
{
  switch (g_atomic_int_get (&self->outcome))
    {
    case OUTCOME_TIME_IS_UP:
      g_task_return_new_error (task, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
                               "%u of the calls have not ended in the %.3f s waited for; they go on",
                               strand_tally_count_left (self->tally),
                               (double) self->timeout_us / G_USEC_PER_SEC);
      break;
    case OUTCOME_CANCELLED:
      g_task_return_new_error (task, G_IO_ERROR, G_IO_ERROR_CANCELLED,
                               "The wait was cancelled; the calls go on");
      break;
    default:
      g_task_return_boolean (task, TRUE);
    }
}

static void
end_wait (gpointer data)
{
  Wait *self = data;
  g_autoptr(GTask) task = g_steal_pointer (&self->task);

  if (self->cancel_id != 0)
    g_cancellable_disconnect (g_task_get_cancellable (task), self->cancel_id);
  if (self->timer != 0)
    strand_clock_remove_timer (self->timer);
  if (strand_tally_remove_waiter (self->tally, self))
    wait_unref (self);
  return_outcome (self, task);
  wait_unref (self);
}

static void
settle (Wait *self, Outcome outcome)
{
  if (g_atomic_int_compare_and_exchange (&self->outcome, OUTCOME_NONE, outcome))
    strand_delivery_post (self->delivery, end_wait, self);
}

static void
on_all_ended (gpointer data)
{
  settle (data, OUTCOME_ENDED);
  wait_unref (data);
}

static void
on_time_is_up (gpointer data)
{
  settle (data, OUTCOME_TIME_IS_UP);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  settle (data, OUTCOME_CANCELLED);
}

/* The first reference goes to end_wait(), which no path leaves out. */
static void
wait_async (StrandTaskDispatcher *dispatcher, gint64 timeout_us, GCancellable *cancellable,
            GAsyncReadyCallback callback, gpointer user_data, gpointer tag)
{
  g_autoptr(StrandBatch) batch = strand_task_dispatcher_ref_batch (dispatcher);
  Wait *self = g_new0 (Wait, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->task = g_task_new (dispatcher, cancellable, callback, user_data);
  g_task_set_source_tag (self->task, tag);
  g_task_set_check_cancellable (self->task, FALSE);
  self->delivery = strand_delivery_ref_default (g_task_get_priority (self->task));
  self->tally = strand_tally_ref (batch->tally);
  self->timeout_us = timeout_us;

  if (timeout_us >= 0)
    self->timer = strand_clock_add_timer (strand_deadline (strand_clock_monotonic_us (), timeout_us),
                                          on_time_is_up, wait_ref (self), wait_unref);
  if (cancellable != NULL)
    self->cancel_id =
        g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), wait_ref (self), wait_unref);
  if (!strand_tally_add_waiter (self->tally, on_all_ended, wait_ref (self)))
    on_all_ended (self);
}

/**
 * strand_task_dispatcher_wait_async:
 * @self: a dispatcher
 * @timeout_us: how long to wait, in microseconds, or -1 for ever
 * @cancellable: (nullable): ends the wait; the calls go on
 * @callback: (scope async) (closure user_data): what to call when every call that has been dispatched has
 * ended
 * @user_data: data for @callback
 *
 * Does strand_task_dispatcher_wait() without blocking.
 *
 * Since: 1.0
 */
void
strand_task_dispatcher_wait_async (StrandTaskDispatcher *self, gint64 timeout_us, GCancellable *cancellable,
                                   GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_TASK_DISPATCHER (self));

  wait_async (self, timeout_us, cancellable, callback, user_data, strand_task_dispatcher_wait_async);
}

/**
 * strand_task_dispatcher_wait_finish:
 * @self: a dispatcher
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_task_dispatcher_wait_async().
 *
 * Returns: %TRUE once all have ended; %FALSE with %STRAND_ERROR_WAIT_TIMED_OUT, or `G_IO_ERROR_CANCELLED`
 * where the wait was cancelled
 *
 * Since: 1.0
 */
gboolean
strand_task_dispatcher_wait_finish (StrandTaskDispatcher *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_task_dispatcher_run_async:
 * @self: a dispatcher
 * @timeout_us: how long to wait, in microseconds, -1 for ever, or `STRAND_UNSET` for
 * #StrandTaskDispatcher:timeout
 * @cancellable: (nullable): ends the wait; the calls go on
 * @callback: (scope async) (closure user_data): what to call when every call that has been dispatched has
 * ended
 * @user_data: data for @callback
 *
 * Dispatches now, then does strand_task_dispatcher_wait() without blocking.
 *
 * Since: 1.0
 */
void
strand_task_dispatcher_run_async (StrandTaskDispatcher *self, gint64 timeout_us, GCancellable *cancellable,
                                  GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_TASK_DISPATCHER (self));

  strand_task_dispatcher_dispatch (self);
  wait_async (self, strand_task_dispatcher_choose_timeout (self, timeout_us), cancellable, callback,
              user_data, strand_task_dispatcher_run_async);
}

/**
 * strand_task_dispatcher_run_finish:
 * @self: a dispatcher
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_task_dispatcher_run_async().
 *
 * Returns: as strand_task_dispatcher_wait_finish()
 * Since: 1.0
 */
gboolean
strand_task_dispatcher_run_finish (StrandTaskDispatcher *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
