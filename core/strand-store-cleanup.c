/* strand-store-cleanup.c — removing records that have outlived their ttl.
 *
 * Automatic cleanup is part of a visit and calls methods, never the public functions: a cleanup cannot start
 * another one.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-store-private.h"

#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-log.h"

/* An access that cleans up is late by this much at most: below what a person notices. */
#define CLEANUP_BUDGET_US (20 * 1000)

/* After a cleanup, none for 50 times as long as it took: a store full of fresh records loses 2 % to looking.
 */
#define CLEANUP_REST_FACTOR 50

/* Whether this visit should clean up, which it then must. */
gboolean
strand_store_take_cleaning_locked (StrandStoreState *state)
{
  if (!state->auto_cleanup || state->cleaning || g_random_double () >= state->cleanup_probability ||
      strand_clock_monotonic_us () < state->clean_after_us)
    return FALSE;

  state->cleaning = TRUE;
  return TRUE;
}

/* The default for stores without a method of their own. Goes on where the last limited cleanup stopped, so
 * that many small ones see the whole store. */
static gint64
cleanup_by_listing (StrandStore *self, StrandVisit *visit, gint64 now_us, gint64 budget_us, GError **error)
{
  const StrandFilter filter = { .kind = "*",
                                .statuses = 1 << STRAND_STATUS_COMPLETED | 1 << STRAND_STATUS_FAILED |
                                            1 << STRAND_STATUS_CANCELLED };
  gint64 start_us = strand_clock_monotonic_us ();
  g_autofree char *cursor = NULL;
  gint64 n_removed = 0;

  if (budget_us >= 0)
    {
      g_mutex_lock (&strand_store_peek_state (self)->lock);
      cursor = g_steal_pointer (&strand_store_peek_state (self)->clean_cursor);
      g_mutex_unlock (&strand_store_peek_state (self)->lock);
    }

  do
    {
      g_autoptr(StrandPage) page =
          visit->methods->list (self, &filter, cursor, STRAND_STORE_PAGE_SIZE, error);

      if (page == NULL)
        return -1;
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (strand_page_get_records (page), i);

          if (strand_record_is_expired (record, now_us) && strand_store_discard (self, visit, record))
            {
              strand_watchers_announce (visit->watchers, self, strand_record_get_key (record));
              n_removed++;
            }
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL && (budget_us < 0 || strand_clock_monotonic_us () - start_us < budget_us));

  if (cursor != NULL)
    {
      g_mutex_lock (&strand_store_peek_state (self)->lock);
      g_free (strand_store_peek_state (self)->clean_cursor);
      strand_store_peek_state (self)->clean_cursor = g_steal_pointer (&cursor);
      g_mutex_unlock (&strand_store_peek_state (self)->lock);
    }
  return n_removed;
}

/* A store that removes records in its own way knows nothing of logs that are not its own. */
static gint64
cleanup_by_method (StrandStore *self, StrandVisit *visit, gint64 now_us, gint64 budget_us, GError **error)
{
  gint64 deadline_us = budget_us < 0 ? G_MAXINT64 : strand_deadline (strand_clock_monotonic_us (), budget_us);
  gint64 n_removed = visit->methods->cleanup_expired (self, now_us, budget_us, error);

  if (n_removed > 0 && visit->methods->append_items == NULL &&
      !strand_items_sweep (self, visit->methods, deadline_us, error))
    return -1;
  return n_removed;
}

static gint64
cleanup (StrandStore *self, StrandVisit *visit, gint64 budget_us, GError **error)
{
  gint64 now_us = strand_clock_now_us ();

  if (visit->methods->cleanup_expired != NULL)
    return cleanup_by_method (self, visit, now_us, budget_us, error);
  return cleanup_by_listing (self, visit, now_us, budget_us, error);
}

/* Nobody waits for an automatic cleanup, and the access that it came with has its own result: trouble is for
 * the log. */
void
strand_store_cleanup_automatically (StrandStore *self, StrandVisit *visit)
{
  g_autoptr(GError) error = NULL;
  gint64 start_us = strand_clock_monotonic_us ();
  gint64 n_removed = cleanup (self, visit, CLEANUP_BUDGET_US, &error);
  gint64 now_us = strand_clock_monotonic_us ();

  if (n_removed < 0)
    strand_debug (STRAND_TOPIC_STORE, "Automatic cleanup: %s",
                  error != NULL ? error->message : "failed without saying why");
  else if (n_removed > 0)
    strand_debug (STRAND_TOPIC_STORE, "Automatic cleanup removed %" G_GINT64_FORMAT " expired records",
                  n_removed);

  g_mutex_lock (&strand_store_peek_state (self)->lock);
  strand_store_peek_state (self)->cleaning = FALSE;
  strand_store_peek_state (self)->clean_after_us = now_us + CLEANUP_REST_FACTOR * (now_us - start_us);
  g_mutex_unlock (&strand_store_peek_state (self)->lock);
}

/**
 * strand_store_cleanup_expired:
 * @self: a store
 * @budget_us: about how long it may take, in microseconds, or -1 to look at every record
 * @error: return location for a [error@Strand.Error]
 *
 * Removes records that have outlived their ttl, and tells their watchers. With a budget, several cleanups one
 * after the other see the whole store.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does.
 *
 * Returns: how many were removed, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_cleanup_expired (StrandStore *self, gint64 budget_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gint64 n;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), -1);
  g_return_val_if_fail (budget_us >= -1, -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "remove expired records", NULL);
      return -1;
    }
  n = cleanup (self, &visit, budget_us, &local_error);
  strand_store_leave (self, &visit);

  if (n < 0)
    {
      strand_store_explain (self, &local_error, "remove expired records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return n;
}
