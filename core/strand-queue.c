/* strand-queue.c — how queues stand.
 *
 * Nobody keeps account of a queue: what is told of one is counted when it is asked for, from the records of
 * its calls and workers, so it cannot be wrong after a crash. A store may hold millions of calls; then the
 * totals are the store's own counts, and the rest is reckoned from the first SCAN_LIMIT records.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-queue-private.h"

#include <string.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-lease.h"

#define WORKER_KIND "worker"
#define PAGE_SIZE 256

/* Some hundred milliseconds of reading. */
#define SCAN_LIMIT (50 * 1000)

#define RATE_MINUTES 5
#define MINUTE_US (60 * G_USEC_PER_SEC)

G_DEFINE_BOXED_TYPE (StrandQueueInfo, strand_queue_info, strand_queue_info_copy, strand_queue_info_free)

/**
 * strand_queue_info_copy:
 * @self: how a queue stands
 *
 * Copies what is known of a queue.
 *
 * Returns: (transfer full): a copy
 * Since: 1.0
 */
StrandQueueInfo *
strand_queue_info_copy (StrandQueueInfo *self)
{
  StrandQueueInfo *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->name = g_strdup (self->name);
  return copy;
}

/**
 * strand_queue_info_free:
 * @self: (transfer full): how a queue stood
 *
 * Frees what is known of a queue.
 *
 * Since: 1.0
 */
void
strand_queue_info_free (StrandQueueInfo *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->name);
  g_free (self);
}

gboolean
queue_check_name (const char *name, GError **error)
{
  g_autofree char *key = g_strconcat (QUEUE_STATE_PREFIX, name, NULL);

  if (*name != '\0' && strand_key_check (key, NULL))
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'%s' is no queue's name; it may have up to 100 letters, digits, '.', '_' and '-'", name);
  return FALSE;
}

/* --- every record of a kind --------------------------------------------------------------------------- */

/* FALSE with an error. @n_left: (inout): how many records may be looked at */
gboolean
queue_for_each (StrandStore *store, const StrandFilter *filter, gint64 *n_left, QueueRecordFunc func,
                gpointer data, GError **error)
{
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(StrandPage) page = strand_store_list (store, filter, cursor, PAGE_SIZE, error);
      GPtrArray *records;
      guint n;

      if (page == NULL)
        return FALSE;
      records = strand_page_get_records (page);
      n = (guint) MIN (records->len, *n_left);
      for (guint i = 0; i < n; i++)
        func (records->pdata[i], data);
      *n_left -= n;
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL && *n_left > 0);
  return TRUE;
}

/* --- counting ----------------------------------------------------------------------------------------- */

typedef struct
{
  GHashTable *infos; /* of StrandQueueInfo, by name */
  const char *only;  /* the one queue that is wanted; NULL for all */
  gint64 now_us;
} Tally;

static StrandQueueInfo *
info_of (Tally *tally, const char *name)
{
  StrandQueueInfo *info = g_hash_table_lookup (tally->infos, name);

  if (info != NULL || (tally->only != NULL && strcmp (tally->only, name) != 0))
    return info;
  info = g_new0 (StrandQueueInfo, 1);
  info->name = g_strdup (name);
  g_hash_table_insert (tally->infos, info->name, info);
  return info;
}

static void
count_pending (StrandQueueInfo *info, StrandRecord *record, gint64 now_us)
{
  gint64 not_before_us = strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE);
  gint64 since_us = MAX (strand_record_get_int (record, STRAND_FIELD_CREATED), not_before_us);

  if (not_before_us > now_us)
    {
      info->n_delayed++;
      return;
    }
  info->n_due++;
  if (info->oldest_us == 0 || since_us < info->oldest_us)
    info->oldest_us = since_us;
}

static void
count_ended (StrandQueueInfo *info, StrandRecord *record, gint64 now_us)
{
  gint64 completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);
  g_autoptr(GError) error = NULL;

  if (completed_us > now_us - RATE_MINUTES * MINUTE_US &&
      strand_record_get_int (record, STRAND_FIELD_STARTED) > 0)
    info->per_minute += 1.0 / RATE_MINUTES;
  if (strand_record_get_status (record) != STRAND_STATUS_FAILED)
    return;
  info->n_failed++;
  error = strand_record_dup_error (record);
  info->n_dead += g_error_matches (error, STRAND_ERROR, STRAND_ERROR_DEAD);
}

static void
count_call (StrandRecord *record, gpointer data)
{
  Tally *tally = data;
  const char *name = strand_record_get_string (record, STRAND_FIELD_QUEUE);
  StrandQueueInfo *info = name != NULL ? info_of (tally, name) : NULL;

  if (info == NULL)
    return;
  switch (strand_record_get_status (record))
    {
    case STRAND_STATUS_PENDING:
      count_pending (info, record, tally->now_us);
      break;
    case STRAND_STATUS_RUNNING:
      info->n_running++;
      break;
    case STRAND_STATUS_COMPLETED:
    case STRAND_STATUS_FAILED:
    case STRAND_STATUS_CANCELLED:
    default:
      count_ended (info, record, tally->now_us);
    }
}

/* The queues that a live worker serves; NULL for one that is dead. */
static char **
dup_queues (StrandRecord *worker)
{
  const char *owner = strand_record_get_string (worker, STRAND_FIELD_LEASE_OWNER);
  GVariant *metadata = strand_record_get_variant (worker, STRAND_FIELD_METADATA);
  const char *text;

  if (owner == NULL || strand_lease_owner_probe (owner) == STRAND_OWNER_STATE_DEAD || metadata == NULL ||
      !g_variant_lookup (metadata, "queues", "&s", &text))
    return NULL;
  return g_strsplit (text, ";", -1);
}

static void
count_worker (StrandRecord *worker, gpointer tally)
{
  g_auto(GStrv) queues = dup_queues (worker);

  for (guint i = 0; queues != NULL && queues[i] != NULL; i++)
    {
      StrandQueueInfo *info = info_of (tally, queues[i]);

      if (info != NULL)
        info->n_workers++;
    }
}

static void
note_state (StrandRecord *state, gpointer tally)
{
  const char *key = strand_record_get_key (state);
  StrandQueueInfo *info =
      g_str_has_prefix (key, QUEUE_STATE_PREFIX) ? info_of (tally, key + strlen (QUEUE_STATE_PREFIX)) : NULL;

  if (info != NULL)
    info->paused = queue_state_says_paused (state);
}

/* Where not every record was looked at: the store knows how many there are, and those that were looked at are
 * taken for the rest. FALSE with an error. */
static gboolean
estimate (StrandStore *store, StrandQueueInfo *info, GError **error)
{
  StrandFilter filter = { .queue = info->name, .statuses = 1 << STRAND_STATUS_PENDING };
  gint64 seen = info->n_due + info->n_delayed;
  gint64 n_pending = strand_store_count (store, &filter, error);
  gint64 n_running = -1, n_failed = -1;

  if (n_pending >= 0)
    {
      filter.statuses = 1 << STRAND_STATUS_RUNNING;
      n_running = strand_store_count (store, &filter, error);
    }
  if (n_running >= 0)
    {
      filter.statuses = 1 << STRAND_STATUS_FAILED;
      n_failed = strand_store_count (store, &filter, error);
    }
  if (n_failed < 0)
    return FALSE;
  info->n_delayed = seen > 0 ? (gint64) ((double) info->n_delayed / seen * n_pending) : 0;
  info->n_due = n_pending - info->n_delayed;
  info->n_running = n_running;
  info->n_failed = n_failed;
  info->per_minute = -1;
  info->estimated = TRUE;
  return TRUE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(StrandQueueInfo *const *) a)->name, (*(StrandQueueInfo *const *) b)->name);
}

/* @name: (nullable): one queue, or NULL for all that are known */
static GPtrArray *
look (StrandStore *store, const char *name, GError **error)
{
  const StrandFilter calls = { .queue = name };
  const StrandFilter workers = { .kind = WORKER_KIND };
  const StrandFilter states = { .kind = QUEUE_STATE_KIND };
  g_autoptr(GHashTable) infos = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_queue_info_free);
  Tally tally = { infos, name, strand_clock_now_us () };
  gint64 n_left = SCAN_LIMIT, n_others = G_MAXINT64;
  GHashTableIter iter;
  gpointer info;
  gboolean done;

  if (name != NULL)
    info_of (&tally, name);
  done = queue_for_each (store, &calls, &n_left, count_call, &tally, error) &&
         queue_for_each (store, &workers, &n_others, count_worker, &tally, error) &&
         queue_for_each (store, &states, &n_others, note_state, &tally, error);
  g_hash_table_iter_init (&iter, infos);
  while (g_hash_table_iter_next (&iter, NULL, &info))
    {
      g_ptr_array_add (found, info);
      done = done && (n_left > 0 || estimate (store, info, error));
    }
  if (!done)
    {
      g_prefix_error (error, "Could not look at the queues: ");
      return NULL;
    }
  g_ptr_array_sort (found, compare_names);
  return g_steal_pointer (&found);
}

/**
 * strand_queue_list:
 * @store: a store
 * @error: return location for a [error@Strand.Error]
 *
 * Tells how all queues stand that have calls, workers, or are paused; sorted by name.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_list() does.
 *
 * Returns: (transfer full) (element-type StrandQueueInfo): the queues, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_queue_list (StrandStore *store, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  return look (store, NULL, error);
}

/**
 * strand_queue_show:
 * @store: a store
 * @name: a queue's name
 * @error: return location for a [error@Strand.Error]
 *
 * Tells how one queue stands; one that nobody has used yet is empty.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_INVALID_ARGUMENT` for what can be no
 * queue's name, or as strand_store_list() does.
 *
 * Returns: (transfer full): how it stands, or `NULL` with @error set
 * Since: 1.0
 */
StrandQueueInfo *
strand_queue_show (StrandStore *store, const char *name, GError **error)
{
  g_autoptr(GPtrArray) found = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!queue_check_name (name, error))
    return NULL;
  found = look (store, name, error);
  return found != NULL ? strand_queue_info_copy (g_ptr_array_index (found, 0)) : NULL;
}

/* --- workers ------------------------------------------------------------------------------------------ */

typedef struct
{
  const char *queue;
  GPtrArray *workers;
} Serving;

static void
add_worker (StrandRecord *worker, gpointer data)
{
  Serving *serving = data;
  g_auto(GStrv) queues = dup_queues (worker);

  if (queues != NULL &&
      (serving->queue == NULL || g_strv_contains ((const char *const *) queues, serving->queue)))
    g_ptr_array_add (serving->workers, strand_record_ref (worker));
}

/**
 * strand_queue_list_workers:
 * @store: a store
 * @name: (nullable): a queue's name; `NULL` for all
 * @error: return location for a [error@Strand.Error]
 *
 * Finds the workers that serve a queue and are not known to be dead: the records that they keep of
 * themselves, with `host`, `pid`, `queues` (separated by `;`) and `jobs` in their metadata.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_list() does.
 *
 * Returns: (transfer full) (element-type StrandRecord): their records, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_queue_list_workers (StrandStore *store, const char *name, GError **error)
{
  const StrandFilter filter = { .kind = WORKER_KIND };
  g_autoptr(GPtrArray) workers = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  Serving serving = { name, workers };
  gint64 n_left = G_MAXINT64;

  g_return_val_if_fail (STRAND_IS_STORE (store), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!queue_for_each (store, &filter, &n_left, add_worker, &serving, error))
    {
      g_prefix_error (error, "Could not look for workers: ");
      return NULL;
    }
  return g_steal_pointer (&workers);
}
