/* strand-call-wait.c — waiting for a call without hanging.
 *
 * A thread that waits dispatches strand's callbacks for its own main context meanwhile (and nothing else), so
 * a call whose items must be consumed here can go on. Waits that could never end are refused, or end because
 * the call that nobody else is left to run is run here; strand-waits.c finds them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-context.h"
#include "strand-deadline-private.h"
#include "strand-dispatcher-private.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-waits-private.h"

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

static gboolean
refuse (GError **error, StrandCall *self, const char *why)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK, "Could not wait for a call of '%s': %s",
               self->recipe->function->name, why);
  return FALSE;
}

static gboolean
refuse_circle (GError **error, StrandCall *self)
{
  return refuse (
      error, self,
      "it could never end, because what must run it, or what it waits for, waits for this function");
}

static gboolean
refuse_longer (StrandCall *self, gint64 timeout_us, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
               "The call of '%s' has not ended in the %.3f s waited for; it goes on",
               self->recipe->function->name, (double) timeout_us / G_USEC_PER_SEC);
  return FALSE;
}

/* NULL while it has none; one that it has stays. */
static const char *
peek_key (StrandCallExtra *extra)
{
  const char *key;

  g_mutex_lock (&extra->lock);
  key = extra->key;
  g_mutex_unlock (&extra->lock);
  return key;
}

/* Two views of one call: itself, its stored call, or one that follows the same record. */
static gboolean
is_same_call (StrandCall *self, StrandCall *other)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  StrandCallExtra *others = g_atomic_pointer_get (&other->extra);
  const char *key;

  if (self == other || (others != NULL && others->parent == self))
    return TRUE;
  if (self->recipe->backend == NULL || other->recipe->backend == NULL || extra == NULL || others == NULL)
    return FALSE;
  key = peek_key (extra);
  return key != NULL && g_strcmp0 (key, strand_call_get_key (other)) == 0 &&
         strand_backend_get_store (self->recipe->backend) ==
             strand_backend_get_store (other->recipe->backend);
}

/* Whether the call is what this thread does now or has interrupted. */
static gboolean
is_on_the_stack (StrandCall *self, const StrandFrame *frame)
{
  for (; frame != NULL; frame = frame->outer)
    if (is_same_call (self, frame->call))
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
  g_autoptr(StrandCall) call = strand_call_ref_runnable (self);
  StrandTaskrunner *runner = call != NULL ? strand_call_get_runner (call) : NULL;

  return runner != NULL && STRAND_TASKRUNNER_GET_IFACE (runner)->needs_thread != NULL &&
         STRAND_TASKRUNNER_GET_IFACE (runner)->needs_thread (runner, call);
}

static gpointer
run_elsewhere (gpointer call)
{
  strand_call_run (call);
  return NULL;
}

/* Runs what nobody else is left to run. What might outlast the wait, or hold up all coroutines of the thread,
 * gets a thread of its own. FALSE if there is none to be had. */
static gboolean
run_here (StrandCall *self, const StrandWait *wait)
{
  g_autoptr(StrandCall) call = strand_call_ref_runnable (self);
  GThread *thread;

  if (call == NULL)
    return TRUE;
  if (!wait->timed && (!wait->parked || strand_call_get_runner (call) == wait->home))
    {
      strand_call_run (g_steal_pointer (&call));
      return TRUE;
    }
  thread = g_thread_try_new ("strand-wait", run_elsewhere, call, NULL);
  if (thread == NULL)
    return FALSE;
  g_thread_unref (thread);
  call = NULL; /* the thread's */
  return TRUE;
}

/* FALSE if the wait could never end. */
static gboolean
help_on (StrandCall *self, StrandWait *wait)
{
  StrandWaitAdvice advice = strand_wait_look (wait);

  if (advice == STRAND_WAIT_RUN)
    return run_here (self, wait);
  return advice == STRAND_WAIT_SLEEP;
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
  StrandWait wait = {
    .target = self, .timed = timeout_us >= 0, .parked = TRUE, .wake = unpark, .wake_data = parker
  };
  gboolean ended, stopped = FALSE, refused = FALSE;
  StrandNap nap;

  if (!strand_call_add_waiter (self, unpark, parker, TRUE))
    return TRUE;
  strand_wait_begin (&wait);
  strand_nap_begin (&nap, waiting, timeout_us);
  while (TRUE)
    {
      refused = !help_on (self, &wait);
      g_mutex_lock (&extra->lock);
      ended = strand_call_is_ended (self);
      stopped = running != NULL && strand_context_is_cancelled ((StrandContext *) running, NULL);
      if (ended || stopped || refused || nap.over)
        break;
      strand_cond_wait (&extra->changed, &extra->lock);
      g_mutex_unlock (&extra->lock);
    }
  g_mutex_unlock (&extra->lock);
  strand_nap_end (&nap);
  strand_wait_end (&wait);
  strand_call_remove_waiter (self, parker);

  if (ended)
    return TRUE;
  if (refused)
    return refuse_circle (error, self);
  if (!stopped)
    return refuse_longer (self, timeout_us, error);
  strand_context_is_cancelled ((StrandContext *) running, error);
  return FALSE;
}

static void
wake_sleeper (gpointer sleeper)
{
  strand_sleeper_wake (sleeper);
}

/* Until somebody wakes it, or has. FALSE if time is up, however much news there is. */
static gboolean
sleep_until (StrandSleeper *sleeper, gint64 deadline_us)
{
  gboolean woken;

  g_mutex_lock (&sleeper->lock);
  while (!sleeper->woken)
    if (deadline_us == G_MAXINT64)
      g_cond_wait (&sleeper->cond, &sleeper->lock);
    else if (!g_cond_wait_until (&sleeper->cond, &sleeper->lock, deadline_us))
      break;
  woken = sleeper->woken;
  sleeper->woken = FALSE;
  g_mutex_unlock (&sleeper->lock);
  return woken && (deadline_us == G_MAXINT64 || g_get_monotonic_time () < deadline_us);
}

/* Why a wait on this thread ended before the call did. */
typedef enum
{
  WAIT_ENDED,
  WAIT_LATE,
  WAIT_OWN_CONTEXT,
  WAIT_CIRCLE,
} Outcome;

/* An end is shown a moment before its callbacks are marked as queued, and they are marked a moment before
 * they can be found. Whoever dispatches them here goes on until they have been, so that a wait returns with
 * all of them done; inside one of them there is nothing to wait for. */
static void
dispatch_callbacks (StrandCall *self, StrandDelivery *delivery, gint64 deadline_us)
{
  StrandRecipe *recipe = self->recipe;

  if ((recipe->on_end == NULL && recipe->on_error == NULL && recipe->on_iter == NULL) ||
      is_on_the_stack (self, strand_delivering))
    return;
  while ((strand_call_peek_state (self) & (STATE_QUEUED | STATE_ENDED)) == 0)
    g_thread_yield ();
  while (strand_delivery_drain (delivery, deadline_us) &&
         (strand_call_peek_state (self) & STATE_ENDED) == 0 && g_get_monotonic_time () < deadline_us)
    g_thread_yield ();
}

/* @wait: (nullable): listed already. */
static Outcome
wait_blocking (StrandCall *self, StrandSleeper *sleeper, StrandWait *wait, gint64 deadline_us)
{
  g_autoptr(StrandDelivery) delivery = ref_own_delivery (self);
  StrandSleeper *before = NULL;
  Outcome outcome = WAIT_ENDED;

  if (delivery != NULL)
    before = strand_delivery_swap_sleeper (delivery, sleeper);
  while (!strand_call_is_ended (self))
    {
      if ((self->recipe->checks & STRAND_CHECK_WAITS) != 0 && needs_this_thread (self))
        outcome = WAIT_OWN_CONTEXT;
      else if (wait != NULL && !help_on (self, wait))
        outcome = WAIT_CIRCLE;
      if (outcome != WAIT_ENDED)
        break;
      if (delivery != NULL)
        strand_delivery_drain (delivery, deadline_us);
      if (!sleep_until (sleeper, deadline_us) && !strand_call_is_ended (self))
        {
          outcome = WAIT_LATE;
          break;
        }
    }
  if (delivery != NULL)
    {
      strand_delivery_swap_sleeper (delivery, before);
      if (delivery == self->delivery && strand_call_is_ended (self))
        dispatch_callbacks (self, delivery, deadline_us);
      strand_delivery_drain (delivery, deadline_us);
    }
  return outcome;
}

static gboolean
wait_on_thread (StrandCall *self, gint64 timeout_us, GError **error)
{
  gint64 deadline_us = timeout_us >= 0 ? strand_deadline (g_get_monotonic_time (), timeout_us) : G_MAXINT64;
  gboolean matters = strand_wait_matters (self);
  Outcome outcome = WAIT_ENDED;
  StrandSleeper sleeper = { 0 };
  StrandWait wait = { .target = self, .timed = timeout_us >= 0, .wake = wake_sleeper, .wake_data = &sleeper };

  g_mutex_init (&sleeper.lock);
  g_cond_init (&sleeper.cond);
  strand_call_add_waiter (self, wake_sleeper, &sleeper, TRUE);
  if (matters)
    strand_wait_begin (&wait);
  outcome = wait_blocking (self, &sleeper, matters ? &wait : NULL, deadline_us);
  if (matters)
    strand_wait_end (&wait);
  strand_call_remove_waiter (self, &sleeper);
  g_mutex_clear (&sleeper.lock);
  g_cond_clear (&sleeper.cond);

  if (outcome == WAIT_OWN_CONTEXT)
    return refuse (error, self, "it runs in the main context of the thread that is waiting");
  if (outcome == WAIT_CIRCLE)
    return refuse_circle (error, self);
  return outcome == WAIT_ENDED || refuse_longer (self, timeout_us, error);
}

/* @timeout_us: -1 for ever. TRUE once the call has ended, however. */
gboolean
strand_call_wait (StrandCall *self, gint64 timeout_us, GError **error)
{
  StrandParker *parker = strand_parker_get_current ();
  gboolean checked = (self->recipe->checks & STRAND_CHECK_WAITS) != 0;

  if (checked && !strand_call_is_ended (self))
    {
      if (is_on_the_stack (self, strand_running))
        return refuse (error, self, "it is the one that is waiting");
      if (is_on_the_stack (self, strand_delivering))
        return refuse (error, self, "this is inside one of its own callbacks");
    }
  if (!strand_line_want (self, error))
    return FALSE;
  return parker != NULL ? wait_parked (self, parker, timeout_us, error)
                        : wait_on_thread (self, timeout_us, error);
}
