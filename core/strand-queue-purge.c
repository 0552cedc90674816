/* strand-queue-purge.c — cancelling what waits in a queue.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-queue-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-life.h"

typedef struct
{
  StrandStore *store;
  gint64 before_us;
  gint64 n_purged;
  GError *error; /* the first */
} Purge;

/* At the revision that was read: one that a worker takes meanwhile is run. */
static void
purge_one (StrandRecord *record, gpointer data)
{
  Purge *purge = data;
  g_autoptr(StrandRecord) cancelled = NULL;
  g_autoptr(GError) cause = NULL;
  g_autoptr(GError) error = NULL;

  if (purge->error != NULL || !strand_record_is_waiting (record, NULL) ||
      strand_record_get_int (record, STRAND_FIELD_CREATED) > purge->before_us)
    return;
  cancelled = strand_record_copy (record);
  cause = g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The queue '%s' was purged before the call was run",
                       strand_record_get_string (record, STRAND_FIELD_QUEUE));
  strand_record_add_cause (cancelled, "", cause);
  strand_record_end (cancelled, STRAND_STATUS_CANCELLED, strand_clock_now_us ());
  if (strand_store_put (purge->store, cancelled, strand_record_get_revision (record), &error))
    {
      purge->n_purged++;
      strand_flow_member_ended (purge->store, cancelled);
    }
  else if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE))
    purge->error = g_steal_pointer (&error);
}

/**
 * strand_queue_purge:
 * @store: a store
 * @name: a queue's name
 * @older_than_us: only calls that were launched longer ago than that, in µs; 0 for all
 * @error: return location for a [error@Strand.Error]
 *
 * Cancels the calls of a queue that wait, those included whose time has not come. Their records say so,
 * whoever waits for them is told, and they can be retried. Calls that run go on.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_INVALID_ARGUMENT` for what can be no
 * queue's name, or as strand_store_list() does; then some may have been cancelled.
 *
 * Returns: how many were cancelled, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_queue_purge (StrandStore *store, const char *name, gint64 older_than_us, GError **error)
{
  const StrandFilter filter = { .queue = name, .statuses = 1 << STRAND_STATUS_PENDING };
  Purge purge = { .store = store, .before_us = strand_clock_now_us () - older_than_us };
  gint64 n_left = G_MAXINT64;

  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, -1);
  g_return_val_if_fail (older_than_us >= 0, -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!queue_check_name (name, error))
    return -1;
  if (queue_for_each (store, &filter, &n_left, purge_one, &purge, error) && purge.error == NULL)
    return purge.n_purged;
  if (purge.error != NULL)
    {
      g_clear_error (error);
      g_propagate_error (error, purge.error);
    }
  g_prefix_error (error, "Could not purge queue '%s': ", name);
  return -1;
}
