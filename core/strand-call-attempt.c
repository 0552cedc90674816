/* strand-call-attempt.c — a stored call and the attempts that carry it out.
 *
 * A stored call never runs itself. Its backend makes one attempt after the other, each a call of its own, and
 * tells the stored call what to show. The attempt holds its stored call; the stored call holds the attempt
 * under way, and lets it go when it ends.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"

/**
 * strand_call_new_attempt:
 * @self: a stored call that this backend was given
 * @funcs: what to call; static
 * @owner: data for @funcs
 * @timeout_us: how long the attempt may run, in microseconds, -1 for no limit
 * @grace_us: how long it may go on after being told to stop
 *
 * Makes the next attempt of a stored call, to be submitted to a taskrunner. Its items, progress and metadata
 * show in
 * @self at once. The attempt before, if any, has ended.
 *
 * Returns: (transfer full): the attempt, pending
 * Since: 1.0
 */
StrandCall *
strand_call_new_attempt (StrandCall *self, const StrandAttemptFuncs *funcs, gpointer owner, gint64 timeout_us,
                         gint64 grace_us)
{
  StrandCallExtra *extra = strand_call_extra (self);
  StrandCall *attempt = strand_call_new (strand_recipe_ref (self->recipe),
                                         self->arguments != NULL ? g_variant_ref (self->arguments) : NULL);
  StrandCallExtra *attempt_extra = strand_call_extra (attempt);

  attempt_extra->parent = strand_call_ref (self);
  attempt_extra->funcs = funcs;
  attempt_extra->owner = owner;
  attempt_extra->timeout_us = timeout_us;
  attempt_extra->grace_us = grace_us;

  g_mutex_lock (&extra->lock);
  attempt_extra->created_us = extra->created_us;
  attempt_extra->attempt = ++extra->attempt;
  g_clear_pointer (&extra->child, strand_call_unref);
  extra->child = strand_call_ref (attempt);
  g_mutex_unlock (&extra->lock);
  return attempt;
}

/**
 * strand_call_is_attempt:
 * @self: a call submitted to this taskrunner
 *
 * Whether a backend is told of what happens to the call, so that strand_call_begin() may block. Any thread;
 * does not block.
 *
 * Returns: whether it is
 * Since: 1.0
 */
gboolean
strand_call_is_attempt (StrandCall *self)
{
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, FALSE);

  extra = g_atomic_pointer_get (&self->extra);
  return extra != NULL && extra->funcs != NULL;
}

/**
 * strand_call_new_for_function: (skip)
 * @function: what to call
 * @arguments: (nullable): a tuple of its parameter type, as strand_function_bind() returns it
 * @options: (nullable) (transfer full): key, timeout, headers
 * @attempt: which attempt this is, from 1
 * @funcs: what to call; static
 * @owner: data for @funcs
 * @grace_us: how long it may go on after being told to stop
 *
 * Makes a call for one that another process made: a reader's from a record, a helper process's from a
 * message. It has no callbacks and no stored call in this process; whoever makes it learns through @funcs
 * what becomes of it, and submits it to a taskrunner or runs it with strand_call_run().
 *
 * Returns: (transfer full): the call, pending
 * Since: 1.0
 */
StrandCall *
strand_call_new_for_function (StrandFunction *function, GVariant *arguments, StrandOptions *options,
                              guint attempt, const StrandAttemptFuncs *funcs, gpointer owner, gint64 grace_us)
{
  StrandCall *self;
  StrandCallExtra *extra;

  g_return_val_if_fail (function != NULL && funcs != NULL && funcs->ended != NULL, NULL);

  self = strand_call_new (strand_recipe_new (strand_function_ref (function)),
                          arguments != NULL ? g_variant_ref_sink (arguments) : NULL);
  extra = strand_call_extra (self);
  extra->funcs = funcs;
  extra->owner = owner;
  extra->attempt = attempt;
  extra->grace_us = grace_us;
  if (options != NULL)
    strand_call_set_options (self, options);
  return self;
}

/* The child holds its parent and the parent its child: this is where the circle ends. */
static void
drop_child (StrandCallExtra *extra)
{
  StrandCall *child;

  g_mutex_lock (&extra->lock);
  child = g_steal_pointer (&extra->child);
  g_mutex_unlock (&extra->lock);
  if (child != NULL)
    strand_call_unref (child);
}

/**
 * strand_call_mark_running:
 * @self: a stored call that this backend was given
 *
 * Shows a stored call as running: its attempt has started. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_mark_running (StrandCall *self)
{
  StrandCallExtra *extra = strand_call_extra (self);
  int state = strand_call_peek_state (self);
  StrandCall *child;

  while ((state & STATE_STATUS) == STRAND_STATUS_PENDING &&
         !g_atomic_int_compare_and_exchange_full (&self->state, state,
                                                  (state & ~STATE_STATUS) | STRAND_STATUS_RUNNING, &state))
    ;
  g_mutex_lock (&extra->lock);
  child = extra->child != NULL ? strand_call_ref (extra->child) : NULL;
  g_mutex_unlock (&extra->lock);
  if (child != NULL)
    {
      gint64 started_us;

      strand_call_get_times (child, NULL, &started_us, NULL);
      g_mutex_lock (&extra->lock);
      extra->started_us = started_us;
      g_mutex_unlock (&extra->lock);
      strand_call_unref (child);
    }
  strand_call_changed (self);
}

/**
 * strand_call_requeue:
 * @self: a stored call whose attempt has failed
 *
 * Shows a stored call as pending again: another attempt follows. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_requeue (StrandCall *self)
{
  int state = strand_call_peek_state (self);

  while ((state & STATE_STATUS) == STRAND_STATUS_RUNNING &&
         !g_atomic_int_compare_and_exchange_full (&self->state, state,
                                                  (state & ~STATE_STATUS) | STRAND_STATUS_PENDING, &state))
    ;
  drop_child (strand_call_extra (self));
  strand_call_changed (self);
}

/**
 * strand_call_is_stopping:
 * @self: a call
 *
 * Asks whether a call was cancelled or timed out, and its function is on its way to an end. Any thread.
 *
 * Returns: whether it was told to stop
 * Since: 1.0
 */
gboolean
strand_call_is_stopping (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return (strand_call_peek_state (self) & STATE_STOP) != 0;
}

void
strand_call_drop_child (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);

  if (extra != NULL)
    drop_child (extra);
}
