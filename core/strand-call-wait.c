/* strand-call-wait.c — waiting for a call without hanging.
 *
 * A thread that waits dispatches strand's callbacks for its own main context meanwhile (and nothing else), so
 * a call whose items must be consumed here can go on. Waits that could never end are refused; a call that
 * waits in the queue of the very pool that this thread works for is run here instead.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-context.h"
#include "strand-error.h"
#include "strand-function-private.h"

gboolean
strand_call_add_waiter (StrandCall *self, void (*func) (gpointer data), gpointer data, gboolean pokable)
{
  StrandCallExtra *extra = strand_call_extra (self);
  StrandWaiter waiter = { func, data, pokable };
  guint old;

  g_mutex_lock (&extra->lock);
  if (extra->waiters == NULL)
    extra->waiters = g_array_new (FALSE, FALSE, sizeof (StrandWaiter));
  g_array_append_val (extra->waiters, waiter);
  old = g_atomic_int_or ((guint *) &self->state, STATE_WAITED);
  if (strand_state_is_terminal ((int) old))
    {
      /* Whoever settled may not have seen the flag. If it did, it has taken the array or will find it empty.
       */
      g_array_set_size (extra->waiters, (guint) extra->waiters->len - 1);
      g_mutex_unlock (&extra->lock);
      return FALSE;
    }
  g_mutex_unlock (&extra->lock);
  return TRUE;
}

void
strand_call_remove_waiter (StrandCall *self, gpointer data)
{
  StrandCallExtra *extra = strand_call_extra (self);

  g_mutex_lock (&extra->lock);
  for (guint i = 0; extra->waiters != NULL && i < extra->waiters->len; i++)
    if (g_array_index (extra->waiters, StrandWaiter, i).data == data)
      {
        g_array_remove_index (extra->waiters, i);
        break;
      }
  g_mutex_unlock (&extra->lock);
}

/* An attempt of the call has been submitted: a waiter may be the very worker that must run it. */
void
strand_call_poke_waiters (StrandCall *self)
{
  StrandCallExtra *extra = strand_call_extra (self);

  if ((strand_call_peek_state (self) & STATE_WAITED) == 0)
    return;
  g_mutex_lock (&extra->lock);
  for (guint i = 0; extra->waiters != NULL && i < extra->waiters->len; i++)
    {
      StrandWaiter *waiter = &g_array_index (extra->waiters, StrandWaiter, i);

      if (waiter->pokable)
        waiter->func (waiter->data);
    }
  g_mutex_unlock (&extra->lock);
}

typedef struct
{
  GMutex lock;
  GCond cond;
  gboolean woken;
} Sleeper;

static void
wake_sleeper (gpointer data)
{
  Sleeper *sleeper = data;

  g_mutex_lock (&sleeper->lock);
  sleeper->woken = TRUE;
  g_cond_signal (&sleeper->cond);
  g_mutex_unlock (&sleeper->lock);
}

static gboolean
refuse (GError **error, StrandCall *self, const char *why)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK, "Could not wait for a call of '%s': %s",
               self->recipe->function->name, why);
  return FALSE;
}

static StrandCall *
ref_child (StrandCall *self)
{
  StrandCallExtra *extra = strand_call_extra (self);
  StrandCall *child;

  g_mutex_lock (&extra->lock);
  child = extra->child != NULL ? strand_call_ref (extra->child) : NULL;
  g_mutex_unlock (&extra->lock);
  return child;
}

/* A call that waits for a worker of the pool that this thread is a worker of might wait for ever. */
static void
run_if_same_pool (StrandCall *self)
{
  g_autoptr(StrandCall) child = ref_child (self);
  StrandCall *pending = child != NULL ? child : self;

  if (strand_running == NULL ||
      strand_call_get_runner (pending) != strand_call_get_runner (strand_running->call) ||
      strand_call_get_runner (pending) == NULL || strand_call_get_status (pending) != STRAND_STATUS_PENDING ||
      (strand_taskrunner_get_traits (strand_call_get_runner (pending)) & STRAND_RUNNER_OTHER_PROCESS) != 0)
    return;
  strand_call_run (strand_call_ref (pending));
}

/* Whether the call, or its attempt, is what this thread does now or has interrupted. */
static gboolean
is_on_the_stack (StrandCall *self, const StrandFrame *frame)
{
  for (; frame != NULL; frame = frame->outer)
    if (frame->call == self || (frame->call->extra != NULL && frame->call->extra->parent == self))
      return TRUE;
  return FALSE;
}

/* What this thread may dispatch while it waits: the call's own callbacks, else those of its own context; NULL
 * for none. */
static StrandDelivery *
ref_own_delivery (StrandCall *self)
{
  StrandDelivery *delivery = self->delivery;

  if (delivery == NULL || !strand_delivery_may_dispatch (delivery))
    delivery = strand_delivery_peek_default (G_PRIORITY_DEFAULT);
  return strand_delivery_may_dispatch (delivery) ? strand_delivery_ref (delivery) : NULL;
}

/* A coroutine of this thread's main context, which the wait would hold up. */
static gboolean
needs_this_thread (StrandCall *self)
{
  g_autoptr(StrandCall) child = ref_child (self);
  StrandCall *call = child != NULL ? child : self;
  StrandTaskrunner *runner = strand_call_get_runner (call);

  return runner != NULL && STRAND_TASKRUNNER_GET_IFACE (runner)->needs_thread != NULL &&
         STRAND_TASKRUNNER_GET_IFACE (runner)->needs_thread (runner, call);
}

static gboolean
refuse_longer (StrandCall *self, gint64 timeout_us, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
               "The call of '%s' has not ended in the %.3f s waited for; it goes on",
               self->recipe->function->name, (double) timeout_us / G_USEC_PER_SEC);
  return FALSE;
}

static void
unpark (gpointer data)
{
  StrandParker *parker = data;

  parker->unpark (parker);
}

/* A coroutine is parked; its thread's main context delivers callbacks meanwhile. It wakes when the call ends,
 * when its own call is told to stop, or when time is up. */
static gboolean
wait_parked (StrandCall *self, StrandParker *parker, gint64 timeout_us, GError **error)
{
  StrandCall *running =
      strand_running != NULL ? strand_running->call : NULL; /* NULL in a callback on the runner */
  StrandCall *waiting = running != NULL ? running : self;
  StrandCallExtra *extra = strand_call_extra (waiting);
  gboolean ended, stopped = FALSE;
  StrandNap nap;

  if (!strand_call_add_waiter (self, unpark, parker, FALSE))
    return TRUE;
  strand_nap_begin (&nap, waiting, timeout_us);
  g_mutex_lock (&extra->lock);
  while (!(ended = strand_call_is_ended (self)) && !nap.over &&
         !(stopped = running != NULL && strand_context_is_cancelled ((StrandContext *) running, NULL)))
    strand_cond_wait (&extra->changed, &extra->lock);
  g_mutex_unlock (&extra->lock);
  strand_nap_end (&nap);
  strand_call_remove_waiter (self, parker);

  if (ended)
    return TRUE;
  if (!stopped)
    return refuse_longer (self, timeout_us, error);
  strand_context_is_cancelled ((StrandContext *) running, error);
  return FALSE;
}

/* @timeout_us: -1 for ever. TRUE once the call has ended, however. */
gboolean
strand_call_wait (StrandCall *self, gint64 timeout_us, GError **error)
{
  gint64 deadline_us = timeout_us >= 0 ? g_get_monotonic_time () + timeout_us : G_MAXINT64;
  g_autoptr(StrandDelivery) delivery = NULL;
  StrandParker *parker = strand_parker_get_current ();
  Sleeper sleeper = { 0 };
  gboolean ended, refused = FALSE;

  if (is_on_the_stack (self, strand_running))
    return refuse (error, self, "it is the one that is waiting");
  if (!strand_call_is_ended (self))
    {
      if (is_on_the_stack (self, strand_delivering))
        return refuse (error, self, "this is inside one of its own callbacks");
    }

  if (parker != NULL)
    return wait_parked (self, parker, timeout_us, error);

  delivery = ref_own_delivery (self);
  g_mutex_init (&sleeper.lock);
  g_cond_init (&sleeper.cond);
  ended = !strand_call_add_waiter (self, wake_sleeper, &sleeper, TRUE);
  while (!ended)
    {
      refused = needs_this_thread (self);
      if (refused)
        break;
      run_if_same_pool (self);
      if (delivery != NULL)
        {
          strand_delivery_set_sleeper (delivery, &sleeper.lock, &sleeper.cond, &sleeper.woken);
          strand_delivery_drain (delivery);
        }
      g_mutex_lock (&sleeper.lock);
      while (!sleeper.woken)
        if (deadline_us == G_MAXINT64)
          g_cond_wait (&sleeper.cond, &sleeper.lock);
        else if (!g_cond_wait_until (&sleeper.cond, &sleeper.lock, deadline_us))
          break;
      ended = strand_call_is_ended (self);
      if (!sleeper.woken && !ended)
        {
          g_mutex_unlock (&sleeper.lock);
          break;
        }
      sleeper.woken = FALSE;
      g_mutex_unlock (&sleeper.lock);
    }
  if (delivery != NULL)
    {
      strand_delivery_set_sleeper (delivery, NULL, NULL, NULL);
      strand_delivery_drain (delivery);
    }
  strand_call_remove_waiter (self, &sleeper);
  g_mutex_clear (&sleeper.lock);
  g_cond_clear (&sleeper.cond);

  if (refused)
    return refuse (error, self, "it runs in the main context of the thread that is waiting");
  return ended || refuse_longer (self, timeout_us, error);
}
