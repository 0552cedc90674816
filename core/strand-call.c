/* strand-call.c — one invocation of a function: made, given to its target, counted, let go of.
 *
 * A call without options, handle or items never takes a lock, and its callbacks need no further allocation;
 * what only some need is made when it is first asked for.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-log.h"

/**
 * StrandCall:
 *
 * One invocation of a function, from pending to its single end. A program may have millions, so it is a
 * counted structure and no object; [class@Strand.Handle] shows one to the rest of GLib.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandCall, strand_call, strand_call_ref, strand_call_unref)

/* Takes over @recipe and @arguments: a tuple of the declared type, not floating, or NULL for the empty one.
 */
StrandCall *
strand_call_new (StrandRecipe *recipe, GVariant *arguments)
{
  StrandCall *self = g_new0 (StrandCall, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->news.dispatch = strand_call_dispatch;
  self->recipe = recipe;
  self->arguments = arguments;
  return self;
}

/**
 * strand_call_ref:
 * @self: a call
 *
 * Takes a reference to a call. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandCall *
strand_call_ref (StrandCall *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/* For those who know a call without holding it: NULL if its last holder is gone. */
StrandCall *
strand_call_try_ref (StrandCall *self)
{
  int count = g_atomic_int_get (&self->ref_count);

  while (count > 0)
    if (g_atomic_int_compare_and_exchange_full (&self->ref_count, count, count + 1, &count))
      return self;
  return NULL;
}

static void
extra_free (StrandCallExtra *extra)
{
  StrandItem *item;

  g_clear_pointer (&extra->options, strand_options_free);
  g_free (extra->key);
  g_clear_object (&extra->cancellable);
  g_clear_error (&extra->consumer_error);
  g_free (extra->message);
  g_clear_pointer (&extra->metadata, g_hash_table_unref);
  g_clear_pointer (&extra->headers, g_hash_table_unref);
  while ((item = g_queue_pop_head (&extra->items)) != NULL)
    strand_item_free (item);
  g_clear_object (&extra->object);
  g_clear_pointer (&extra->waiters, g_array_unref);
  g_clear_pointer (&extra->listeners, g_ptr_array_unref);
  g_clear_pointer (&extra->data, g_hash_table_unref);
  g_clear_pointer (&extra->parent, strand_call_unref);
  g_clear_pointer (&extra->child, strand_call_unref);
  g_clear_object (&extra->runner);
  strand_chain_state_free (extra->chain_state);
  g_mutex_clear (&extra->lock);
  strand_cond_clear (&extra->changed);
  g_free (extra);
}

/* An error that nobody looked at is logged: a failure must not vanish because its handle was dropped. */
static void
log_unseen_error (StrandCall *self, int state)
{
  if ((state & STATE_STATUS) != STRAND_STATUS_FAILED || (state & STATE_SEEN) != 0 || self->error == NULL)
    return;
  if (self->extra != NULL && self->extra->funcs != NULL)
    return;
  g_message ("A call of '%s' failed and nobody looked: %s", self->recipe->function->name,
             self->error->message);
}

/**
 * strand_call_unref:
 * @self: (transfer full): a call
 *
 * Lets go of a call. The last reference frees it, and logs an error that nobody has looked at. Any thread.
 *
 * Since: 1.0
 */
void
strand_call_unref (StrandCall *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  log_unseen_error (self, self->state);
  if (self->extra != NULL)
    {
      StrandOptions *options = self->extra->options;

      /* The caller's pointer goes where the caller lives. */
      if (options != NULL && options->data_destroy != NULL && self->delivery != NULL)
        strand_delivery_run (self->delivery, options->data_destroy, options->data);
      else if (options != NULL && options->data_destroy != NULL)
        options->data_destroy (options->data);
      if (options != NULL)
        options->data_destroy = NULL;
      extra_free (self->extra);
    }
  g_clear_pointer (&self->arguments, g_variant_unref);
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_error (&self->error);
  if (self->delivery != NULL && self->delivery != self->recipe->delivery)
    strand_delivery_unref (self->delivery);
  strand_recipe_unref (self->recipe);
  g_free (self);
}

StrandCallExtra *
strand_call_extra (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);

  if (extra != NULL)
    return extra;

  extra = g_new0 (StrandCallExtra, 1);
  g_mutex_init (&extra->lock);
  strand_cond_init (&extra->changed);
  extra->progress = -1;
  extra->timeout_us = extra->grace_us = STRAND_UNSET;
  if (!g_atomic_pointer_compare_and_exchange (&self->extra, NULL, extra))
    extra_free (extra);
  return g_atomic_pointer_get (&self->extra);
}

/* Takes over @options. Before the call is submitted. */
void
strand_call_set_options (StrandCall *self, StrandOptions *options)
{
  StrandCallExtra *extra = strand_call_extra (self);
  GHashTableIter iter;
  gpointer name, value;

  g_clear_pointer (&extra->options, strand_options_free);
  extra->options = options;
  if (options->key != NULL)
    extra->key = g_strdup (options->key);
  if (options->headers == NULL)
    return;
  g_hash_table_iter_init (&iter, options->headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    strand_call_set_header (self, name, value);
}

/* Gives the call to its target, with the caller's reference. One that the target does not take ends with the
 * reason. */
void
strand_call_submit (StrandCall *self)
{
  StrandRecipe *recipe = self->recipe;
  GError *error = NULL;

  if (self->extra != NULL)
    self->extra->created_us = strand_clock_now_us ();
  if (recipe->backend != NULL ? strand_backend_launch (recipe->backend, self, &error)
                              : strand_taskrunner_submit (recipe->runner, self, &error))
    return;
  strand_call_finish_as (self, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (self);
}

StrandTaskrunner *
strand_call_get_runner (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  StrandTaskrunner *own = extra != NULL ? g_atomic_pointer_get (&extra->runner) : NULL;

  return own != NULL ? own : self->recipe->runner;
}
