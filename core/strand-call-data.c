/* strand-call-data.c — what others keep with a call, which it neither reads nor shows.
 *
 * The runner's pointer lies in the call itself and is used without a lock, because only the runner that has
 * the call uses it. Whoever else keeps something does so under an owner of its own, until the call is freed;
 * who wants to be told of changes keeps a listener.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call-private.h"

/**
 * strand_call_set_runner_data:
 * @self: a call submitted to this taskrunner
 * @data: whatever the runner needs with it, such as the next call of a queue
 *
 * Keeps something of the taskrunner's with a call of its own. For the taskrunner; no lock is taken, and
 * nothing is freed.
 *
 * Since: 1.0
 */
void
strand_call_set_runner_data (StrandCall *self, gpointer data)
{
  self->runner_data = data;
}

/**
 * strand_call_get_runner_data:
 * @self: a call submitted to this taskrunner
 *
 * Looks up what the taskrunner keeps with a call of its own. For the taskrunner; no lock is taken.
 *
 * Returns: (transfer none) (nullable): what was set
 * Since: 1.0
 */
gpointer
strand_call_get_runner_data (StrandCall *self)
{
  return self->runner_data;
}

typedef struct
{
  gpointer data;
  GDestroyNotify destroy;
} Datum;

static void
datum_free (gpointer data)
{
  Datum *datum = data;

  if (datum->destroy != NULL)
    datum->destroy (datum->data);
  g_free (datum);
}

/**
 * strand_call_set_data: (skip)
 * @self: a call
 * @owner: whose datum this is: a middleware, say
 * @data: (nullable): the datum
 * @destroy: (nullable): frees it with the call, on whatever thread that happens
 *
 * Keeps a pointer with a call, one for each owner. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_set_data (StrandCall *self, gconstpointer owner, gpointer data, GDestroyNotify destroy)
{
  StrandCallExtra *extra;
  Datum *datum;

  g_return_if_fail (self != NULL && owner != NULL);

  datum = g_new (Datum, 1);
  datum->data = data;
  datum->destroy = destroy;
  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  if (extra->data == NULL)
    extra->data = g_hash_table_new_full (NULL, NULL, NULL, datum_free);
  g_hash_table_insert (extra->data, (gpointer) owner, datum);
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_call_get_data: (skip)
 * @self: a call
 * @owner: whose datum
 *
 * Looks up what a middleware keeps with the call. Any thread.
 *
 * Returns: (nullable): what strand_call_set_data() was given, or `NULL`
 * Since: 1.0
 */
gpointer
strand_call_get_data (StrandCall *self, gconstpointer owner)
{
  StrandCallExtra *extra;
  Datum *datum;

  g_return_val_if_fail (self != NULL && owner != NULL, NULL);

  extra = strand_call_extra (self);
  g_mutex_lock (&extra->lock);
  datum = extra->data != NULL ? g_hash_table_lookup (extra->data, owner) : NULL;
  g_mutex_unlock (&extra->lock);
  return datum != NULL ? datum->data : NULL;
}

void
strand_call_add_listener (StrandCall *self, StrandListener *listener)
{
  StrandCallExtra *extra = strand_call_extra (self);

  g_mutex_lock (&extra->lock);
  if (extra->listeners == NULL)
    extra->listeners = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_listener_unref);
  g_ptr_array_add (extra->listeners, strand_listener_ref (listener));
  g_mutex_unlock (&extra->lock);
}

void
strand_call_remove_listener (StrandCall *self, StrandListener *listener)
{
  StrandCallExtra *extra = strand_call_extra (self);

  g_mutex_lock (&extra->lock);
  g_ptr_array_remove_fast (extra->listeners, listener);
  g_mutex_unlock (&extra->lock);
}
