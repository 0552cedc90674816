/* strand-context.c — what a running function is given: the call itself, seen from inside.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-context.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-function-private.h"

/* A context is its call: the two types keep apart what each side may do. */
#define CALL(context) ((StrandCall *) (context))

static gpointer
context_copy (gpointer context)
{
  return strand_call_ref (CALL (context));
}

static void
context_free (gpointer context)
{
  strand_call_unref (CALL (context));
}

/**
 * StrandContext:
 *
 * What a running function is given: its cancellable, progress, items, metadata and facts about the call.
 * Valid until the function returns, on any thread that it uses meanwhile.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandContext, strand_context, context_copy, context_free)

/**
 * strand_context_get_cancellable:
 * @self: a context
 *
 * What is cancelled when the call is cancelled or times out; for passing on to GIO. Any thread; does not
 * block.
 *
 * Returns: (transfer none): the cancellable
 * Since: 1.0
 */
GCancellable *
strand_context_get_cancellable (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return strand_call_get_cancellable (CALL (self));
}

/**
 * strand_context_is_cancelled:
 * @self: a context
 * @error: return location for a #GError
 *
 * Whether the function should stop: the call was cancelled or has timed out. Costs one atomic read, so a loop
 * may ask each time round. Any thread.
 *
 * Returns: %TRUE with `G_IO_ERROR_CANCELLED` set if so
 * Since: 1.0
 */
gboolean
strand_context_is_cancelled (StrandContext *self, GError **error)
{
  g_return_val_if_fail (self != NULL, FALSE);

  if (G_LIKELY ((strand_call_peek_state (CALL (self)) & STATE_STOP) == 0))
    return FALSE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call of '%s' was told to stop",
               CALL (self)->recipe->function->name);
  return TRUE;
}

static void
nap_over (gpointer data)
{
  StrandNap *nap = data;
  StrandCallExtra *extra = strand_call_extra (nap->call);

  g_mutex_lock (&extra->lock);
  nap->over = TRUE;
  strand_cond_broadcast (&extra->changed);
  g_mutex_unlock (&extra->lock);
}

/* @duration_us: -1 for ever. */
void
strand_nap_begin (StrandNap *self, StrandCall *call, gint64 duration_us)
{
  self->call = call;
  self->over = FALSE;
  self->timer = 0;
  if (duration_us >= 0)
    self->timer = strand_clock_add_timer (strand_deadline (strand_clock_monotonic_us (), duration_us),
                                          nap_over, self, NULL);
}

void
strand_nap_end (StrandNap *self)
{
  StrandCallExtra *extra = strand_call_extra (self->call);

  if (self->timer == 0 || strand_clock_remove_timer (self->timer))
    return;
  /* It runs now, or has run: the nap must outlive it. */
  g_mutex_lock (&extra->lock);
  while (!self->over)
    strand_cond_wait (&extra->changed, &extra->lock);
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_context_sleep:
 * @self: a context
 * @duration_us: how long, in microseconds, by strand's clock
 * @error: return location for a #GError
 *
 * Sleeps until the time is over or the call is told to stop. Blocks the thread (a coroutine is parked).
 *
 * Returns: %TRUE, or %FALSE with `G_IO_ERROR_CANCELLED`
 * Since: 1.0
 */
gboolean
strand_context_sleep (StrandContext *self, gint64 duration_us, GError **error)
{
  StrandCallExtra *extra;
  StrandNap nap;

  g_return_val_if_fail (self != NULL, FALSE);

  if (duration_us <= 0)
    return !strand_context_is_cancelled (self, error);

  extra = strand_call_extra (CALL (self));
  strand_nap_begin (&nap, CALL (self), duration_us);
  g_mutex_lock (&extra->lock);
  while (!nap.over && !strand_context_is_cancelled (self, NULL))
    strand_cond_wait (&extra->changed, &extra->lock);
  g_mutex_unlock (&extra->lock);
  strand_nap_end (&nap);
  return !strand_context_is_cancelled (self, error);
}

/**
 * strand_context_emit:
 * @self: a context
 * @item: an item; floating is consumed
 * @error: return location for a #GError
 *
 * Passes an item to the caller while the function goes on. Where the caller has an on_iter that is slower
 * than the function, waits until it has caught up; else keeps the last `max-items`. A coroutine then yields,
 * unless its taskrunner was told otherwise. Any thread of the function's.
 *
 * Returns: %TRUE, or %FALSE with `G_IO_ERROR_CANCELLED` if the call was told to stop
 * Since: 1.0
 */
gboolean
strand_context_emit (StrandContext *self, GVariant *item, GError **error)
{
  StrandParker *parker;

  g_return_val_if_fail (self != NULL && item != NULL, FALSE);

  parker = strand_parker_get_current ();
  if (!strand_call_emit (CALL (self), g_variant_ref_sink (item), TRUE, NULL, error))
    return FALSE;
  if (parker != NULL && parker->yields_on_item)
    parker->yield (parker);
  return TRUE;
}

/**
 * strand_context_set_progress:
 * @self: a context
 * @progress: how far the function is, 0 to 1, or -1 for unknown
 * @message: (nullable): what it is doing; `NULL` leaves the message as it is
 *
 * Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_context_set_progress (StrandContext *self, double progress, const char *message)
{
  g_return_if_fail (self != NULL);

  strand_call_set_progress (CALL (self), progress, message);
}

/**
 * strand_context_set_metadata:
 * @self: a context
 * @name: a name
 * @value: a value; floating is consumed
 *
 * Keeps something beside the value, for whoever has the handle or the record. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_context_set_metadata (StrandContext *self, const char *name, GVariant *value)
{
  g_return_if_fail (self != NULL);

  strand_call_set_metadata (CALL (self), name, value);
}

/**
 * strand_context_retry_after:
 * @self: a context
 * @delay_us: how long to wait, in microseconds from the end of this attempt
 *
 * Asks for the next attempt at a time of its own, should this one fail: exactly then, whatever the back-off
 * says. It does not ask for more attempts than the call has. The last word of an attempt counts, this or
 * strand_context_never_retry(). Any thread of the function's; does not block.
 *
 * Since: 1.0
 */
void
strand_context_retry_after (StrandContext *self, gint64 delay_us)
{
  g_return_if_fail (self != NULL && delay_us >= 0);

  strand_call_set_metadata (CALL (self), STRAND_METADATA_RETRY_AFTER, g_variant_new_int64 (delay_us));
}

/**
 * strand_context_never_retry:
 * @self: a context
 *
 * Asks for no further attempt, should this one fail: for failures that no other attempt can mend. Somebody
 * may still launch the call again by hand. Any thread of the function's; does not block.
 *
 * Since: 1.0
 */
void
strand_context_never_retry (StrandContext *self)
{
  g_return_if_fail (self != NULL);

  strand_call_set_metadata (CALL (self), STRAND_METADATA_RETRY_AFTER, g_variant_new_int64 (-1));
}

/**
 * strand_context_take_object:
 * @self: a context
 * @object: (transfer full): the result
 *
 * For functions declared `-> object`: hands over the result; the function then returns `NULL`. The object
 * goes to strand_call_get_object() and never into a store.
 *
 * Since: 1.0
 */
void
strand_context_take_object (StrandContext *self, GObject *object)
{
  StrandCallExtra *extra;

  g_return_if_fail (self != NULL && G_IS_OBJECT (object));

  extra = strand_call_extra (CALL (self));
  g_mutex_lock (&extra->lock);
  g_clear_object (&extra->object);
  extra->object = object;
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_context_get_data: (skip)
 * @self: a context
 *
 * Looks up the pointer that came with a call of this process.
 *
 * Returns: (nullable): the pointer that the caller gave with strand_options_take_data()
 * Since: 1.0
 */
gpointer
strand_context_get_data (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return strand_call_get_options (CALL (self))->data;
}

/**
 * strand_context_get_key:
 * @self: a context
 *
 * Says what the call is known by. A function that must not do a thing twice makes it depend on this.
 *
 * Returns: the call's key, the same for all its attempts
 * Since: 1.0
 */
const char *
strand_context_get_key (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return strand_call_get_key (CALL (self));
}

/**
 * strand_context_get_attempt:
 * @self: a context
 *
 * Says how often this call has been tried: more than once after a retry, or in a reader after a worker that
 * gave it back.
 *
 * Returns: which attempt this is, from 1
 * Since: 1.0
 */
guint
strand_context_get_attempt (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return strand_call_get_attempt (CALL (self));
}

/**
 * strand_context_get_deadline:
 * @self: a context
 *
 * Says how long the function may go on, for functions that divide their time.
 *
 * Returns: when the call times out, as strand_clock_monotonic_us() counts, or 0 for never
 * Since: 1.0
 */
gint64
strand_context_get_deadline (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return strand_call_get_deadline (CALL (self));
}

/**
 * strand_context_dup_headers:
 * @self: a context
 *
 * Says what middleware, or who made the call, sent along.
 *
 * Returns: (transfer full): the call's headers, `a{ss}`
 * Since: 1.0
 */
GVariant *
strand_context_dup_headers (StrandContext *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return strand_call_dup_headers (CALL (self));
}

/**
 * strand_context_log: (skip)
 * @self: a context
 * @level: how grave
 * @format: a printf format
 * @...: its arguments
 *
 * Logs for the call: GLib's structured log gets STRAND_KEY, STRAND_FUNCTION and STRAND_ATTEMPT beside the
 * message.
 *
 * Since: 1.0
 */
void
strand_context_log (StrandContext *self, GLogLevelFlags level, const char *format, ...)
{
  g_autofree char *message = NULL;
  g_autofree char *attempt = NULL;
  va_list args;

  g_return_if_fail (self != NULL && format != NULL);

  va_start (args, format);
  message = g_strdup_vprintf (format, args);
  va_end (args);
  attempt = g_strdup_printf ("%u", strand_context_get_attempt (self));
  g_log_structured (G_LOG_DOMAIN, level & ~G_LOG_FLAG_FATAL, "STRAND_KEY", strand_context_get_key (self),
                    "STRAND_FUNCTION", CALL (self)->recipe->function->name, "STRAND_ATTEMPT", attempt,
                    "MESSAGE", "%s", message);
}
