/* strand-call-deliver.c — bringing what is new of a call to its callbacks, in the context that made it.
 *
 * A call is in line for its context at most once: it stays marked as queued while its callbacks run, so that
 * they never nest, and whoever has news meanwhile need not put it in line. Items come before the end.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-function-private.h"

static gboolean
runs_inline (StrandCall *self)
{
  return self->delivery == NULL;
}

/* Brings the call to its callbacks. News must have been made visible before. Takes over a reference. */
void
strand_call_deliver (StrandCall *self)
{
  if ((g_atomic_int_or ((guint *) &self->state, STATE_QUEUED) & STATE_QUEUED) != 0)
    {
      strand_call_unref (self);
      return;
    }
  if (!runs_inline (self))
    strand_delivery_push (self->delivery, &self->news);
  else
    while (!strand_call_dispatch (&self->news, G_MAXINT64))
      ;
}

/* Whether there are items to deliver. */
gboolean
strand_call_tell_listeners (StrandCallExtra *extra)
{
  gboolean has_items;

  g_mutex_lock (&extra->lock);
  for (guint i = 0; extra->listeners != NULL && i < extra->listeners->len; i++)
    strand_listener_changed (extra->listeners->pdata[i]);
  has_items = extra->items.length > 0;
  g_mutex_unlock (&extra->lock);
  return has_items;
}

/* Something that callbacks or handles show has changed. */
void
strand_call_changed (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  gboolean has_items;

  if (extra == NULL)
    return;
  has_items = strand_call_tell_listeners (extra);
  if (extra->funcs != NULL && extra->funcs->changed != NULL)
    extra->funcs->changed (self, extra->owner);
  if (extra->parent != NULL)
    strand_call_changed (extra->parent);
  if (has_items && self->recipe->on_iter != NULL && extra->parent == NULL)
    strand_call_deliver (strand_call_ref (self));
}

static gboolean
call_on_iter (StrandCall *self, gint64 deadline_us)
{
  const StrandFrame frame = { self, strand_delivering };
  gboolean done;

  strand_delivering = &frame;
  done = strand_call_deliver_items (self, deadline_us);
  if (done && strand_state_is_terminal (strand_call_peek_state (self)))
    done = strand_call_deliver_value_items (self, deadline_us);
  strand_delivering = frame.outer;
  return done;
}

/* What on_iter failed with, which stops the call; for an attempt that of its stored call. */
GError *
strand_call_dup_consumer_error (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  GError *error;

  if (extra == NULL)
    return NULL;
  if (extra->parent != NULL)
    return strand_call_dup_consumer_error (extra->parent);
  g_mutex_lock (&extra->lock);
  error = extra->consumer_error != NULL ? g_error_copy (extra->consumer_error) : NULL;
  g_mutex_unlock (&extra->lock);
  return error;
}

/* on_iter failed when the call had completed, on an item that came late or on the value's own: too late to
 * make it a failure, which would tell the caller of another end than everybody else has seen. */
static void
log_late_consumer (StrandCall *self)
{
  g_autoptr(GError) error = strand_call_dup_consumer_error (self);

  if (error != NULL)
    g_message ("on_iter of a call of '%s' failed after the call had completed: %s",
               self->recipe->function->name, error->message);
}

static void
call_on_end (StrandCall *self)
{
  StrandRecipe *recipe = self->recipe;
  const StrandFrame frame = { self, strand_delivering };
  const GError *error = self->error;

  g_atomic_int_or ((guint *) &self->state, STATE_ENDED);
  strand_delivering = &frame;
  if (error == NULL)
    log_late_consumer (self);
  if (error == NULL && recipe->on_end != NULL)
    ((StrandEndFunc) recipe->on_end->func) (self, self->value, recipe->on_end->user_data);
  if (error != NULL && recipe->on_error != NULL)
    {
      strand_call_mark_seen (self);
      ((StrandErrorFunc) recipe->on_error->func) (self, error, recipe->on_error->user_data);
    }
  strand_delivering = frame.outer;
}

static gboolean
has_undelivered (StrandCall *self)
{
  int state = strand_call_peek_state (self);
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  gboolean has_items;

  if ((state & STATE_ENDED) != 0)
    return FALSE;
  if (strand_state_is_terminal (state) || extra == NULL)
    return strand_state_is_terminal (state);
  g_mutex_lock (&extra->lock);
  has_items = extra->items.length > 0;
  g_mutex_unlock (&extra->lock);
  return has_items;
}

/* The call's turn in its context: items first, then its end. The call stays marked as queued meanwhile, so
 * that nobody else dispatches it and its callbacks never nest. */
gboolean
strand_call_dispatch (StrandNews *news, gint64 deadline_us)
{
  StrandCall *self = (StrandCall *) news;

  while (TRUE)
    {
      /* Before the items: of a call that had ended by now, all have come. */
      int state = strand_call_peek_state (self);

      if (self->recipe->on_iter != NULL && !call_on_iter (self, deadline_us))
        return FALSE;
      if (strand_state_is_terminal (state) && (strand_call_peek_state (self) & STATE_ENDED) == 0)
        {
          call_on_end (self);
          break; /* nothing comes after: it stays marked */
        }

      g_atomic_int_and ((guint *) &self->state, ~STATE_QUEUED);
      if (!has_undelivered (self) ||
          (g_atomic_int_or ((guint *) &self->state, STATE_QUEUED) & STATE_QUEUED) != 0)
        break;
    }
  strand_call_unref (self);
  return TRUE;
}
