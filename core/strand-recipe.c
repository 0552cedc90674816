/* strand-recipe.c — what all calls of one task share, and the callbacks in it.
 *
 * A recipe does not change once a call has it, so any thread reads it without a lock; a callback's data is
 * destroyed where the callback was set, whoever lets go of it last.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"
#include "strand-function-private.h"

StrandClosure *
strand_closure_new (GCallback func, gpointer user_data, GDestroyNotify destroy)
{
  StrandClosure *self = g_new0 (StrandClosure, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->func = func;
  self->user_data = user_data;
  self->destroy = destroy;
  if (destroy != NULL)
    self->delivery = strand_delivery_ref_default (G_PRIORITY_DEFAULT);
  return self;
}

StrandClosure *
strand_closure_ref (StrandClosure *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_closure_unref (StrandClosure *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->destroy != NULL)
    {
      strand_delivery_run (self->delivery, self->destroy, self->user_data);
      strand_delivery_unref (self->delivery);
    }
  g_free (self);
}

/* Takes over @function. */
StrandRecipe *
strand_recipe_new (StrandFunction *function)
{
  StrandRecipe *recipe = g_new0 (StrandRecipe, 1);

  g_atomic_ref_count_init (&recipe->ref_count);
  recipe->function = function;
  recipe->max_items = STRAND_RECIPE_MAX_ITEMS;
  recipe->grace_us = STRAND_RECIPE_GRACE_US;
  recipe->checks = STRAND_CHECK_ALL;
  return recipe;
}

StrandRecipe *
strand_recipe_ref (StrandRecipe *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_recipe_unref (StrandRecipe *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  strand_function_unref (self->function);
  g_clear_object (&self->runner);
  g_clear_object (&self->backend);
  g_clear_pointer (&self->on_iter, strand_closure_unref);
  g_clear_pointer (&self->on_end, strand_closure_unref);
  g_clear_pointer (&self->on_error, strand_closure_unref);
  g_clear_pointer (&self->options, strand_options_free);
  g_clear_pointer (&self->delivery, strand_delivery_unref);
  g_free (self);
}
