/* strand-call-stop.c — cancelling and timing out: ask first, then, after the grace, take it away.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-error.h"
#include "strand-function-private.h"

/* The grace is over and the function still runs. */
static void
on_grace_over (gpointer data)
{
  StrandCall *self = data;
  StrandTaskrunner *runner = strand_call_get_runner (self);
  StrandCallExtra *extra = strand_call_extra (self);
  GError *error;
  gboolean timed_out;

  if (strand_call_is_ended (self) || runner == NULL || STRAND_TASKRUNNER_GET_IFACE (runner)->stop == NULL ||
      !STRAND_TASKRUNNER_GET_IFACE (runner)->stop (runner, self))
    return;

  g_mutex_lock (&extra->lock);
  timed_out = extra->timed_out;
  g_mutex_unlock (&extra->lock);

  error = strand_call_dup_consumer_error (self);
  if (error != NULL)
    strand_call_finish_as (self, STRAND_STATUS_FAILED, NULL, error);
  else if (timed_out)
    strand_call_finish_as (
        self, STRAND_STATUS_FAILED, NULL,
        g_error_new (STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
                     "The call of '%s' ran longer than it may and did not stop in its grace",
                     self->recipe->function->name));
  else
    strand_call_finish_as (self, STRAND_STATUS_CANCELLED, NULL,
                           g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                        "The call of '%s' was cancelled and did not stop in its grace",
                                        self->recipe->function->name));
}

static void
start_grace (StrandCall *self, StrandCallExtra *extra)
{
  gint64 grace_us = extra->grace_us != STRAND_UNSET ? extra->grace_us : self->recipe->grace_us;
  gint64 due_us = strand_deadline (strand_clock_monotonic_us (), grace_us);

  g_mutex_lock (&extra->lock);
  if (extra->grace_timer == 0 && grace_us >= 0 && !strand_call_is_ended (self))
    extra->grace_timer = strand_clock_add_timer (due_us, on_grace_over, strand_call_ref (self),
                                                 (GDestroyNotify) strand_call_unref);
  g_mutex_unlock (&extra->lock);
}

static void
wake_producer (StrandCallExtra *extra)
{
  g_mutex_lock (&extra->lock);
  strand_cond_broadcast (&extra->changed);
  g_mutex_unlock (&extra->lock);
}

/* FALSE if the call had ended, or was stopping already. */
gboolean
strand_call_request_stop (StrandCall *self, gboolean timed_out)
{
  StrandCallExtra *extra = strand_call_extra (self);
  g_autoptr(GCancellable) cancellable = NULL;
  void (*hook) (StrandCall * self, gpointer data);
  gpointer hook_data;

  if (strand_call_is_ended (self))
    return FALSE;

  g_mutex_lock (&extra->lock);
  if ((strand_call_peek_state (self) & STATE_STOP) == 0)
    extra->timed_out = timed_out;
  if (extra->cancellable != NULL)
    cancellable = g_object_ref (extra->cancellable);
  hook = g_steal_pointer (&extra->stop_hook);
  hook_data = g_steal_pointer (&extra->stop_data);
  /* Under the lock: a hook that is set from now on runs at once. */
  g_atomic_int_or ((guint *) &self->state, STATE_STOP);
  g_mutex_unlock (&extra->lock);

  wake_producer (extra);
  if (extra->parent != NULL)
    wake_producer (strand_call_extra (extra->parent));
  if (cancellable != NULL)
    g_cancellable_cancel (cancellable);
  if (hook != NULL)
    hook (self, hook_data);

  if (self->recipe->backend != NULL && extra->parent == NULL)
    STRAND_BACKEND_GET_IFACE (self->recipe->backend)->cancel (self->recipe->backend, self);
  else if (!strand_call_cancel_pending (self))
    start_grace (self, extra);
  return TRUE;
}

/**
 * strand_call_cancel:
 * @self: a call
 *
 * Asks a call to stop: a pending one never starts; a running one has its #GCancellable cancelled, and after
 * the grace is stopped by the strongest means its taskrunner has. Any thread; does not block.
 *
 * Returns: %TRUE if that was requested; %FALSE if it is too late: the call has ended
 * Since: 1.0
 */
gboolean
strand_call_cancel (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return strand_call_request_stop (self, FALSE);
}

/* Called once, when the call is told to stop; at once if it was. NULL takes the hook back. */
void
strand_call_set_stop_hook (StrandCall *self, void (*hook) (StrandCall *self, gpointer data), gpointer data)
{
  StrandCallExtra *extra = strand_call_extra (self);
  gboolean stopped;

  g_mutex_lock (&extra->lock);
  stopped = hook != NULL && (strand_call_peek_state (self) & STATE_STOP) != 0;
  extra->stop_hook = stopped ? NULL : hook;
  extra->stop_data = stopped ? NULL : data;
  g_mutex_unlock (&extra->lock);

  if (stopped)
    hook (self, data);
}

/**
 * strand_call_get_cancellable:
 * @self: a call
 *
 * What is cancelled when the call is told to stop. Any thread; does not block.
 *
 * Returns: (transfer none): the cancellable
 * Since: 1.0
 */
GCancellable *
strand_call_get_cancellable (StrandCall *self)
{
  StrandCallExtra *extra;
  GCancellable *cancellable;
  gboolean stopped;

  g_return_val_if_fail (self != NULL, NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  if (extra->cancellable == NULL)
    extra->cancellable = g_cancellable_new ();
  cancellable = extra->cancellable;
  stopped = (strand_call_peek_state (self) & STATE_STOP) != 0;
  g_mutex_unlock (&extra->lock);

  if (stopped)
    g_cancellable_cancel (cancellable);
  return cancellable;
}
