/* strand-call-items.c — what a function emits while it runs, on its way to on_iter.
 *
 * Items wait in a queue of the call (of the stored call, where an attempt emits). With a consumer the queue
 * is bounded by making the producer wait; without one, by dropping the oldest.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-error.h"

void
strand_item_free (StrandItem *item)
{
  g_variant_unref (item->value);
  g_free (item);
}

static gboolean
is_stopped (StrandCall *self)
{
  return (strand_call_peek_state (self) & STATE_STOP) != 0 || strand_call_is_ended (self);
}

static StrandCall *
collector_of (StrandCall *self)
{
  StrandCallExtra *extra = strand_call_extra (self);

  return extra->parent != NULL ? extra->parent : self;
}

static gboolean
wait_for_room_locked (StrandCall *self, StrandCallExtra *extra, guint max_items, GError **error)
{
  while (extra->items.length >= max_items && !is_stopped (self))
    strand_cond_wait (&extra->changed, &extra->lock);
  if (!is_stopped (self))
    return TRUE;

  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was told to stop");
  return FALSE;
}

/* The backend sees to the item itself. Takes over @item. */
static gboolean
hand_on (StrandCall *self, const StrandAttemptFuncs *funcs, GVariant *item, GError **error)
{
  g_autoptr(GVariant) owned = item;

  if (!is_stopped (self))
    return funcs->item (self, owned, strand_call_extra (self)->owner, error);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was told to stop");
  return FALSE;
}

/* Puts an item into the collector's queue; without a consumer, in place of the oldest. Takes over @item. */
static void
queue_item_locked (StrandCall *collector, StrandCallExtra *extra, GVariant *item, guint attempt,
                   guint64 index)
{
  guint max_items = collector->recipe->max_items;
  StrandItem *queued = g_new (StrandItem, 1);

  while (collector->recipe->on_iter == NULL && extra->items.length >= max_items)
    {
      strand_item_free (g_queue_pop_head (&extra->items));
      extra->n_dropped++;
    }
  queued->value = item;
  queued->attempt = attempt;
  queued->index = index;
  g_queue_push_tail (&extra->items, queued);
  if (collector->recipe->on_iter != NULL && extra->items.length >= max_items)
    extra->wants_room = TRUE;
}

/* Takes over @item (not floating). @room: (out) (optional): whether another may follow at once. */
gboolean
strand_call_emit (StrandCall *self, GVariant *item, gboolean may_wait, gboolean *room, GError **error)
{
  StrandCall *collector = collector_of (self);
  StrandCallExtra *extra = strand_call_extra (collector);
  gboolean consumed = collector->recipe->on_iter != NULL;
  guint attempt = strand_call_get_attempt (self);
  const StrandAttemptFuncs *funcs = strand_call_extra (self)->funcs;

  if (funcs != NULL && funcs->item != NULL)
    return hand_on (self, funcs, item, error);

  g_mutex_lock (&extra->lock);
  if (is_stopped (self) ||
      (consumed && may_wait && !wait_for_room_locked (self, extra, collector->recipe->max_items, error)))
    {
      g_mutex_unlock (&extra->lock);
      if (error != NULL && *error == NULL)
        g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was told to stop");
      g_variant_unref (item);
      return FALSE;
    }
  queue_item_locked (collector, extra, item, attempt, strand_call_extra (self)->n_emitted++);
  if (self != collector)
    extra->n_emitted++;
  if (room != NULL)
    *room = !extra->wants_room;
  g_mutex_unlock (&extra->lock);

  if (consumed)
    strand_call_changed (collector);
  return TRUE;
}

/* An item that was emitted elsewhere, and came through a store. Takes over @item; FALSE, without it, while a
 * slow consumer has no room: `room_hook` is called when there is. */
gboolean
strand_call_emit_at (StrandCall *self, GVariant *item, guint attempt, guint64 index)
{
  StrandCallExtra *extra = strand_call_extra (self);
  gboolean consumed = self->recipe->on_iter != NULL;
  gboolean go_on;

  g_mutex_lock (&extra->lock);
  go_on = !consumed || extra->items.length < self->recipe->max_items;
  if (go_on)
    {
      queue_item_locked (self, extra, item, attempt, index);
      extra->n_emitted++;
    }
  else
    extra->wants_room = TRUE;
  g_mutex_unlock (&extra->lock);

  if (go_on && consumed)
    strand_call_changed (self);
  return go_on;
}

gboolean
strand_call_wants_room (StrandCall *self)
{
  StrandCallExtra *extra = strand_call_extra (self);
  gboolean wants_room;

  g_mutex_lock (&extra->lock);
  wants_room = extra->wants_room && (strand_call_peek_state (self) & STATE_STOP) == 0;
  g_mutex_unlock (&extra->lock);
  return wants_room;
}

/**
 * strand_call_push_item:
 * @self: a call that this taskrunner runs
 * @item: (transfer none): an item; floating is consumed
 *
 * Passes on an item that the function emitted elsewhere. Never waits. Any thread.
 *
 * Returns: whether there is room for more; after %FALSE the runner holds its producer back until
 *   StrandTaskrunnerInterface.resume
 * Since: 1.0
 */
gboolean
strand_call_push_item (StrandCall *self, GVariant *item)
{
  gboolean room = TRUE;

  g_return_val_if_fail (self != NULL && item != NULL, FALSE);

  return strand_call_emit (self, g_variant_ref_sink (item), FALSE, &room, NULL) && room;
}

static void
make_room (StrandCall *self, StrandCallExtra *extra)
{
  StrandCall *child = NULL;
  StrandTaskrunner *runner = NULL;
  void (*room_hook) (gpointer data) = NULL;

  g_mutex_lock (&extra->lock);
  if (extra->wants_room && extra->items.length <= self->recipe->max_items / 2)
    {
      extra->wants_room = FALSE;
      room_hook = extra->room_hook;
      child = strand_call_ref (extra->child != NULL ? extra->child : self);
      strand_cond_broadcast (&extra->changed);
    }
  g_mutex_unlock (&extra->lock);

  if (child == NULL)
    return;
  if (room_hook != NULL)
    room_hook (extra->room_data);
  runner = strand_call_get_runner (child);
  if (runner != NULL && STRAND_TASKRUNNER_GET_IFACE (runner)->resume != NULL)
    STRAND_TASKRUNNER_GET_IFACE (runner)->resume (runner, child);
  strand_call_unref (child);
}

static void
consumer_failed (StrandCall *self, GError *error)
{
  StrandCallExtra *extra = strand_call_extra (self);

  if (error == NULL)
    error = g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED, "on_iter failed without saying why");
  g_mutex_lock (&extra->lock);
  if (extra->consumer_error == NULL)
    extra->consumer_error = g_steal_pointer (&error);
  g_mutex_unlock (&extra->lock);
  g_clear_error (&error);
  strand_call_request_stop (self, FALSE);
}

/* FALSE once on_iter has failed: no further item is shown. */
static gboolean
show_item (StrandCall *self, GVariant *value, guint attempt, guint64 index)
{
  StrandCallExtra *extra = strand_call_extra (self);
  StrandClosure *on_iter = self->recipe->on_iter;
  GError *error = NULL;

  if (extra->consumer_error != NULL)
    return FALSE;
  extra->item_attempt = attempt;
  extra->item_index = index;
  if (((StrandItemFunc) on_iter->func) (self, value, on_iter->user_data, &error))
    {
      g_clear_error (&error);
      return TRUE;
    }
  consumer_failed (self, error);
  return FALSE;
}

/* In the call's context. FALSE if time is up and items are left. */
gboolean
strand_call_deliver_items (StrandCall *self, gint64 deadline_us)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  guint n = 0;

  if (extra == NULL)
    return TRUE;

  while (TRUE)
    {
      StrandItem *item;

      g_mutex_lock (&extra->lock);
      item = g_queue_pop_head (&extra->items);
      g_mutex_unlock (&extra->lock);
      if (item == NULL)
        return TRUE;

      show_item (self, item->value, item->attempt, item->index);
      strand_item_free (item);
      make_room (self, extra);
      if (++n % 8 == 0 && g_get_monotonic_time () >= deadline_us)
        return FALSE;
    }
}

/* A function that emitted nothing and returned an array or dictionary: its elements are the items. */
gboolean
strand_call_deliver_value_items (StrandCall *self, gint64 deadline_us)
{
  StrandCallExtra *extra;
  guint n = 0;

  if (self->value == NULL || !g_variant_is_of_type (self->value, G_VARIANT_TYPE_ARRAY) ||
      g_variant_is_of_type (self->value, G_VARIANT_TYPE_BYTESTRING))
    return TRUE;
  extra = strand_call_extra (self);
  if (extra->n_emitted > 0)
    return TRUE;

  while (extra->value_position < g_variant_n_children (self->value))
    {
      g_autoptr(GVariant) value = g_variant_get_child_value (self->value, extra->value_position);

      if (!show_item (self, value, MAX (strand_call_get_attempt (self), 1), extra->value_position++))
        return TRUE;
      if (++n % 8 == 0 && g_get_monotonic_time () >= deadline_us)
        return FALSE;
    }
  return TRUE;
}

/**
 * strand_call_get_item_attempt:
 * @self: a call
 *
 * In on_iter: which attempt emitted the item. Greater than before after a retry, whose items start anew.
 *
 * Returns: the attempt, from 1
 * Since: 1.0
 */
guint
strand_call_get_item_attempt (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return strand_call_extra (self)->item_attempt;
}

/**
 * strand_call_get_item_index:
 * @self: a call
 *
 * In on_iter: the item's place in its attempt.
 *
 * Returns: the index, from 0
 * Since: 1.0
 */
guint64
strand_call_get_item_index (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return strand_call_extra (self)->item_index;
}

/**
 * strand_call_get_dropped_items:
 * @self: a call
 *
 * How many items were dropped because nobody consumed them and more than `max-items` came. Any thread.
 *
 * Returns: how many
 * Since: 1.0
 */
guint64
strand_call_get_dropped_items (StrandCall *self)
{
  StrandCallExtra *extra;
  guint64 n;

  g_return_val_if_fail (self != NULL, 0);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  n = extra->n_dropped;
  g_mutex_unlock (&extra->lock);
  return n;
}

/**
 * strand_call_dup_items:
 * @self: a call
 *
 * The last items of a call that has no on_iter: up to `max-items` of them. Any thread.
 *
 * Returns: (transfer full): the items, as `av`
 * Since: 1.0
 */
GVariant *
strand_call_dup_items (StrandCall *self)
{
  GVariantBuilder builder;
  StrandCallExtra *extra;

  g_return_val_if_fail (self != NULL, NULL);

  extra = strand_call_extra (self);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("av"));
  g_mutex_lock (&extra->lock);
  for (GList *l = extra->items.head; l != NULL; l = l->next)
    g_variant_builder_add (&builder, "v", ((StrandItem *) l->data)->value);
  g_mutex_unlock (&extra->lock);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}
