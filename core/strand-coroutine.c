/* strand-coroutine.c — yielding, and awaiting what GIO does.
 *
 * An await is shared by the function that waits and the operation that will call back; it goes when both have
 * done with it, so a function that was told to stop returns at once and a late result is thrown away.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-coroutine.h"
#include "strand-call-private.h"
#include "strand-error.h"
#include "strand-function-private.h"

struct _StrandAwait
{
  StrandCall *call;

  /* Guarded by the call's lock. */
  guint n_holders; /* the function, and the operation */
  GAsyncResult *result;
};

/* Whether this thread runs @context's function as a coroutine. */
static gboolean
check_inside (StrandContext *context, const char *what, GError **error)
{
  if (strand_parker_get_current () != NULL)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
               "'%s' cannot %s: it does not run as a coroutine; the 'coroutine' taskrunner would do that",
               ((StrandCall *) context)->recipe->function->name, what);
  return FALSE;
}

/**
 * strand_coroutine_is_current:
 *
 * Whether the function that this thread runs can be set aside: it may yield and await, and strand's blocking
 * calls hold nobody up. Any thread; does not block.
 *
 * Returns: %TRUE inside a coroutine
 * Since: 1.0
 */
gboolean
strand_coroutine_is_current (void)
{
  return strand_parker_get_current () != NULL;
}

/**
 * strand_coroutine_yield:
 * @context: the running function's context
 * @error: return location for a #GError
 *
 * Lets the other coroutines of the thread have a turn, and its main context too.
 *
 * Returns: %TRUE; %FALSE with `G_IO_ERROR_CANCELLED` if the call was told to stop, or
 * %STRAND_ERROR_NOT_SUPPORTED outside a coroutine
 *
 * Since: 1.0
 */
gboolean
strand_coroutine_yield (StrandContext *context, GError **error)
{
  StrandParker *parker = strand_parker_get_current ();

  g_return_val_if_fail (context != NULL, FALSE);

  if (!check_inside (context, "yield", error))
    return FALSE;
  if (strand_context_is_cancelled (context, error))
    return FALSE;
  parker->yield (parker);
  return !strand_context_is_cancelled (context, error);
}

/**
 * strand_await_new: (skip)
 * @context: the running function's context
 *
 * Prepares to await one asynchronous operation. Pass strand_await_ready() to the operation as its callback
 * with the await as user data, then call strand_await_finish(), in any case and once.
 *
 * Returns: (transfer full): an await; strand_await_finish() takes it back
 * Since: 1.0
 */
StrandAwait *
strand_await_new (StrandContext *context)
{
  StrandAwait *self;

  g_return_val_if_fail (context != NULL, NULL);

  self = g_new0 (StrandAwait, 1);
  self->call = strand_call_ref ((StrandCall *) context);
  self->n_holders = 2;
  return self;
}

/* Unlocks. */
static void
drop_locked (StrandAwait *self, StrandCallExtra *extra)
{
  gboolean last = --self->n_holders == 0;

  g_mutex_unlock (&extra->lock);
  if (!last)
    return;
  g_clear_object (&self->result);
  strand_call_unref (self->call);
  g_free (self);
}

/**
 * strand_await_ready: (skip)
 * @source: (nullable): what the operation belongs to
 * @result: its result
 * @await: (type gpointer): the await
 *
 * The callback to give to an asynchronous operation that is awaited. Any thread.
 *
 * Since: 1.0
 */
void
strand_await_ready (GObject *source, GAsyncResult *result, gpointer await)
{
  StrandAwait *self = await;
  StrandCallExtra *extra = strand_call_extra (self->call);

  g_mutex_lock (&extra->lock);
  self->result = g_object_ref (result);
  strand_cond_broadcast (&extra->changed);
  drop_locked (self, extra);
}

/**
 * strand_await_finish: (skip)
 * @self: (transfer full): an await whose operation has been started
 * @error: return location for a #GError
 *
 * Sets the coroutine aside until the operation has called back or the call is told to stop. In the latter
 * case it returns at once: give the operation strand_context_get_cancellable(), or it goes on for nobody. Its
 * late result is dropped.
 *
 * Returns: (transfer full) (nullable): the result, for the operation's own finish function; `NULL` with
 *   `G_IO_ERROR_CANCELLED`, or %STRAND_ERROR_NOT_SUPPORTED outside a coroutine
 * Since: 1.0
 */
GAsyncResult *
strand_await_finish (StrandAwait *self, GError **error)
{
  StrandContext *context;
  StrandCallExtra *extra;
  GAsyncResult *result = NULL;
  gboolean inside;

  g_return_val_if_fail (self != NULL, NULL);

  context = (StrandContext *) self->call;
  extra = strand_call_extra (self->call);
  inside = check_inside (context, "await", error);
  g_mutex_lock (&extra->lock);
  while (inside && self->result == NULL && !strand_context_is_cancelled (context, NULL))
    strand_cond_wait (&extra->changed, &extra->lock);
  if (inside && self->result != NULL)
    result = g_steal_pointer (&self->result);
  else if (inside)
    strand_context_is_cancelled (context, error);
  drop_locked (self, extra);
  return result;
}
