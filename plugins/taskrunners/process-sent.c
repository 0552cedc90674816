/* process-sent.c — the calls that a helper was sent: it runs the first, and others may wait in its pipe.
 *
 * Where calls are quick, the next ones are sent before the outcome of the last is here: the helper finds its
 * work without sleeping, and a keeper reads several outcomes at once. What waits in the pipe is still pending
 * and nobody's: the shared words say who has it. The helper claims it and runs it; or it is claimed back,
 * because it was cancelled, its helper died, another one has nothing to do, or the first call turned out to
 * take long.
 *
 * The first call has begun here before the helper can begin it. The others begin here when they become the
 * first, which the helper may know a moment earlier; a canceller who finds that it does, makes them begin,
 * and they are then cancelled as what they are: running. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-keeper.h"

#include <signal.h>
#include <string.h>

/* A call that takes longer has nothing to gain from a next one in the pipe, and nobody waits behind it for
 * longer. */
#define QUICK_US 2000

static void
unref_keeper (gpointer data, GClosure *closure)
{
  keeper_unref (data);
}

static guint
find_locked (Keeper *self, gconstpointer call, gconstpointer cancellable)
{
  guint place = 0;

  while (place < self->n_sent && self->sent[place].call != call &&
         self->sent[place].cancellable != cancellable)
    place++;
  return place;
}

/* Off the list; the reference is the caller's. */
static StrandCall *
remove_locked (Keeper *self, guint place)
{
  Sent sent = self->sent[place];

  self->n_sent--;
  memmove (self->sent + place, self->sent + place + 1, (self->n_sent - place) * sizeof (Sent));
  g_signal_handler_disconnect (sent.cancellable, sent.handler);
  return sent.call;
}

/* NULL if the helper has begun it. */
static StrandCall *
claim_back_locked (Keeper *self, guint place)
{
  if (!strand_wire_claim (self->helper->shared, self->sent[place].number))
    return NULL;
  self->n_taken_back++;
  return remove_locked (self, place);
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  Keeper *self = data;
  StrandCall *dropped = NULL, *begun = NULL;
  guint place;

  g_mutex_lock (&self->pool->lock);
  place = find_locked (self, NULL, cancellable);
  if (place > 0 && place < self->n_sent)
    dropped = claim_back_locked (self, place);
  if (dropped == NULL && place < self->n_sent)
    {
      begun = strand_call_ref (self->sent[place].call);
      helper_post_control (self->helper, STRAND_WIRE_CANCEL, self->sent[place].number, 0);
    }
  g_mutex_unlock (&self->pool->lock);

  /* What the helper has begun is running, whether its keeper knows that by now or not. */
  if (begun != NULL)
    strand_call_begin (begun);
  g_clear_pointer (&begun, strand_call_unref);
  g_clear_pointer (&dropped, strand_call_unref);
}

gboolean
sent_add_locked (Keeper *self, StrandCall *call, guint32 index, GError **error)
{
  Sent *sent = &self->sent[self->n_sent];

  if (!helper_write_call (self->helper, call, index, error))
    return FALSE;
  if (self->in_hand == call)
    self->in_hand = NULL;
  sent->call = call;
  sent->number = self->helper->n_calls;
  sent->cancellable = strand_call_get_cancellable (call);
  sent->handler = g_signal_connect_data (sent->cancellable, "cancelled", G_CALLBACK (on_cancelled),
                                         keeper_ref (self), unref_keeper, 0);
  if (self->n_sent++ == 0)
    self->since_us = g_get_monotonic_time ();
  if (g_cancellable_is_cancelled (sent->cancellable))
    helper_post_control (self->helper, STRAND_WIRE_CANCEL, sent->number, 0);
  return TRUE;
}

/* An attempt asks its owner before it begins, and a deadline is known only then: such calls are sent when
 * they begin. One that has begun and lost its helper cannot be dropped when it is cancelled. */
static gboolean
may_wait_there (Keeper *self, StrandCall *call, guint32 *index)
{
  return !strand_call_is_attempt (call) && strand_call_get_status (call) != STRAND_STATUS_RUNNING &&
         helper_knows (self->helper, strand_call_get_function (call), index) &&
         g_variant_get_size (strand_call_get_arguments (call)) <= SHORT_BYTES &&
         strand_options_get_timeout (strand_call_get_options (call)) < 0;
}

static gboolean
is_worth_more_locked (Keeper *self)
{
  Pool *pool = self->pool;
  guint64 next = self->helper->n_calls + 1;

  return self->quick && self->n_sent < MAX_SENT && pool->first != NULL && pool->idle->len == 0 &&
         self->kill_at_us == 0 && !pool->stopping && next - self->sent[0].number < STRAND_WIRE_SLOTS &&
         (pool->max_calls == 0 || self->helper->n_calls - self->n_taken_back < pool->max_calls);
}

void
sent_add_more_locked (Keeper *self)
{
  guint32 index;

  /* Several at a time, so that they are one message. */
  if (self->n_sent == 0 || self->n_sent > MAX_SENT / 2)
    return;
  while (is_worth_more_locked (self) && may_wait_there (self, self->pool->first, &index))
    {
      StrandCall *call = pool_pop_locked (self->pool);
      gboolean pending = strand_call_get_status (call) == STRAND_STATUS_PENDING;

      if (!pending || !sent_add_locked (self, call, index, NULL))
        strand_call_unref (call);
      else if (g_cancellable_is_cancelled (self->sent[self->n_sent - 1].cancellable))
        strand_call_unref (claim_back_locked (self, self->n_sent - 1));
    }
}

StrandCall *
sent_take_back_locked (Keeper *self)
{
  StrandCall *call = NULL;

  for (guint place = 1; call == NULL && place < self->n_sent; place++)
    call = claim_back_locked (self, place);
  return call;
}

void
sent_put_back_locked (Keeper *self)
{
  /* From the last, so that they stand as they stood. */
  for (guint place = self->n_sent; place > 1; place--)
    {
      StrandCall *call = claim_back_locked (self, place - 1);

      if (call != NULL)
        pool_put_back_locked (self->pool, call);
    }
}

gint64
sent_get_patience_locked (Keeper *self)
{
  if (self->n_sent <= 1)
    return -1;
  return MAX (self->since_us + QUICK_US - g_get_monotonic_time (), 0);
}

gboolean
sent_stop_locked (Keeper *self, StrandCall *call)
{
  guint place = find_locked (self, call, NULL);

  if (place >= self->n_sent)
    return FALSE;
  /* Nobody else is to be in there when it is killed. A call that another one has followed has ended, which
   * will be seen. */
  sent_put_back_locked (self);
  if (place + 1 == self->n_sent && self->kill_at_us == 0)
    {
      helper_signal (self->helper, SIGTERM);
      self->kill_at_us = g_get_monotonic_time () + self->pool->kill_after_us;
      keeper_wake (self);
    }
  return TRUE;
}

gboolean
sent_advance (Keeper *self)
{
  Pool *pool = self->pool;
  gint64 now_us = g_get_monotonic_time ();
  StrandCall *ended, *next;

  g_mutex_lock (&pool->lock);
  self->quick = now_us - self->since_us <= QUICK_US;
  self->since_us = now_us;
  ended = remove_locked (self, 0);
  pool->n_failures = 0;
  pool->not_before_us = 0;
  pool->proven = TRUE;
  sent_add_more_locked (self);
  next = self->n_sent > 0 ? self->sent[0].call : NULL;
  if (pool->closed)
    g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);

  strand_call_unref (ended);
  if (next != NULL)
    strand_call_begin (next);
  return next != NULL;
}

static void
fail (StrandCall *call, const char *why, const char *death)
{
  strand_call_begin (call);
  strand_call_finish (call, NULL,
                      g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED,
                                   "The helper process that ran '%s' died: %s%s",
                                   strand_call_get_function_name (call), why, death));
}

/* The helper died before it began the call, which for everybody else is running: another one gets it, unless
 * they all die so. */
static void
send_elsewhere (Keeper *self, StrandCall *call)
{
  Pool *pool = self->pool;
  gboolean hopeless = keeper_note_failure (self);

  if (hopeless)
    strand_call_finish (call, NULL,
                        g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED,
                                     "Helper processes die before they can begin '%s'",
                                     strand_call_get_function_name (call)));
  g_mutex_lock (&pool->lock);
  self->in_hand = NULL;
  if (!hopeless)
    pool_put_back_locked (pool, call);
  else if (pool->closed)
    g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);
  if (hopeless)
    strand_call_unref (call);
}

void
sent_bury (Keeper *self, Flight *flight)
{
  Pool *pool = self->pool;
  g_autofree char *death = NULL;
  StrandCall *again = NULL, *call;
  guint n_begun = 0;

  g_mutex_lock (&pool->lock);
  self->kill_at_us = G_MAXINT64; /* once it is buried, its number may be another's */
  sent_put_back_locked (self);
  if (strand_wire_claim (self->helper->shared, self->sent[0].number))
    again = self->in_hand = remove_locked (self, 0);
  n_begun = self->n_sent;
  g_mutex_unlock (&pool->lock);

  death = helper_describe_death (self->helper);
  /* More than one only if the helper went on after it had said what makes no sense. */
  for (guint i = 0; i < n_begun; i++)
    fail (self->sent[i].call, flight->why != NULL ? flight->why : "", death);

  for (guint i = 0; i < n_begun; i++)
    {
      g_mutex_lock (&pool->lock);
      call = remove_locked (self, 0);
      if (pool->closed)
        g_cond_broadcast (&pool->quiet);
      g_mutex_unlock (&pool->lock);
      strand_call_unref (call);
    }
  if (again != NULL)
    send_elsewhere (self, again);
}
