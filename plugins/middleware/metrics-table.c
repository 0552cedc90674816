/* metrics-table.c — numbers about calls, counted by many threads at once.
 *
 * A call belongs to one of sixteen shards by its address, and all that is counted of it is counted under that
 * shard's lock: threads seldom meet, and a sum over the shards is exact. Which functions have a row of their
 * own is decided for all shards at once, first come, first served; the others share one, so that a
 * program with a hundred thousand function names fills neither our memory nor a monitoring server's. Once the
 * names are complete they do not change, and are read without a lock.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "metrics-table.h"

#include <string.h>

const gint64 metrics_bounds_us[METRICS_N_BOUNDS] = { METRICS_BOUNDS_US };

G_STATIC_ASSERT (sizeof (MetricsCounts) % sizeof (guint64) == 0);

/* More than threads that call at once, on most machines. */
#define N_SHARDS 16

typedef struct
{
  GMutex lock;        /* guards everything below */
  GHashTable *counts; /* of MetricsCounts, by names of the table */
  MetricsCounts other;
  GHashTable *in_flight; /* set of StrandCall, not held: each is taken out before its backend lets it go */
  char padding[64];      /* the next shard's lock lies on another cache line */
} Shard;

struct _MetricsTable
{
  guint max_functions;
  int complete; /* atomic: `names` changes no more */

  GMutex lock;       /* guards the names until they are complete */
  GHashTable *names; /* set of text */

  Shard shards[N_SHARDS];
};

/* --- snapshots ----------------------------------------------------------------------------------------- */

static void
row_free (gpointer data)
{
  MetricsRow *row = data;

  g_free (row->function);
  g_free (row);
}

MetricsSnapshot *
metrics_snapshot_new (void)
{
  MetricsSnapshot *self = g_new0 (MetricsSnapshot, 1);

  self->rows = g_ptr_array_new_with_free_func (row_free);
  return self;
}

void
metrics_snapshot_free (MetricsSnapshot *self)
{
  g_ptr_array_unref (self->rows);
  g_free (self);
}

/* Where @function stands, or is to stand. */
static guint
position_of (MetricsSnapshot *self, const char *function, gboolean *found)
{
  guint low = 0, high = self->rows->len;

  *found = FALSE;
  while (low < high)
    {
      guint middle = (low + high) / 2;
      int order = strcmp (((MetricsRow *) self->rows->pdata[middle])->function, function);

      if (order == 0)
        *found = TRUE;
      if (order < 0)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

MetricsRow *
metrics_snapshot_find (MetricsSnapshot *self, const char *function)
{
  gboolean found;
  guint position = position_of (self, function, &found);

  return found ? self->rows->pdata[position] : NULL;
}

MetricsRow *
metrics_snapshot_row (MetricsSnapshot *self, const char *function)
{
  gboolean found;
  guint position = position_of (self, function, &found);
  MetricsRow *row;

  if (found)
    return self->rows->pdata[position];
  row = g_new0 (MetricsRow, 1);
  row->function = g_strdup (function);
  g_ptr_array_insert (self->rows, (int) position, row);
  return row;
}

void
metrics_counts_add (MetricsCounts *counts, const MetricsCounts *more, int sign)
{
  guint64 *to = (guint64 *) counts;
  const guint64 *from = (const guint64 *) more;

  for (gsize i = 0; i < METRICS_N_NUMBERS; i++)
    to[i] = sign < 0 ? to[i] - from[i] : to[i] + from[i];
}

void
metrics_snapshot_sum (MetricsSnapshot *self, MetricsRow *sum)
{
  memset (sum, 0, sizeof *sum);
  for (guint i = 0; i < self->rows->len; i++)
    {
      MetricsRow *row = self->rows->pdata[i];

      metrics_counts_add (&sum->counts, &row->counts, 1);
      sum->running += row->running;
      sum->waiting += row->waiting;
    }
}

guint64
metrics_histogram_count (const MetricsHistogram *histogram)
{
  guint64 count = 0;

  for (guint i = 0; i < G_N_ELEMENTS (histogram->buckets); i++)
    count += histogram->buckets[i];
  return count;
}

/* --- counting ------------------------------------------------------------------------------------------ */

MetricsTable *
metrics_table_new (guint max_functions)
{
  MetricsTable *self = g_new0 (MetricsTable, 1);

  self->max_functions = max_functions;
  self->complete = max_functions == 0;
  self->names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init (&self->lock);
  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_mutex_init (&self->shards[i].lock);
      self->shards[i].counts = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);
      self->shards[i].in_flight = g_hash_table_new (NULL, NULL);
    }
  return self;
}

void
metrics_table_free (MetricsTable *self)
{
  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_hash_table_unref (self->shards[i].counts);
      g_hash_table_unref (self->shards[i].in_flight);
      g_mutex_clear (&self->shards[i].lock);
    }
  g_hash_table_unref (self->names);
  g_mutex_clear (&self->lock);
  g_free (self);
}

/* Our own copy of a function's name, or NULL for one that has no row of its own. */
static const char *
admit (MetricsTable *self, const char *function)
{
  gpointer name = NULL;

  if (strcmp (function, METRICS_OTHER) == 0)
    return NULL;
  if (g_atomic_int_get (&self->complete))
    return g_hash_table_lookup_extended (self->names, function, &name, NULL) ? name : NULL;

  g_mutex_lock (&self->lock);
  if (!g_hash_table_lookup_extended (self->names, function, &name, NULL) &&
      g_hash_table_size (self->names) < self->max_functions)
    {
      name = g_strdup (function);
      g_hash_table_add (self->names, name);
    }
  if (g_hash_table_size (self->names) >= self->max_functions)
    g_atomic_int_set (&self->complete, TRUE);
  g_mutex_unlock (&self->lock);
  return name;
}

static Shard *
shard_of (MetricsTable *self, StrandCall *call)
{
  gsize address = (gsize) call;

  /* Calls are some hundred bytes apart, more or less. */
  return &self->shards[(address >> 6 ^ address >> 10 ^ address >> 14) % N_SHARDS];
}

static MetricsCounts *
counts_of_locked (MetricsTable *self, Shard *shard, StrandCall *call)
{
  const char *function = strand_call_get_function_name (call);
  MetricsCounts *counts = g_hash_table_lookup (shard->counts, function);
  const char *name;

  if (counts != NULL)
    return counts;
  name = admit (self, function);
  if (name == NULL)
    return &shard->other;
  counts = g_new0 (MetricsCounts, 1);
  g_hash_table_insert (shard->counts, (gpointer) name, counts);
  return counts;
}

void
metrics_table_submit (MetricsTable *self, StrandCall *call)
{
  Shard *shard = shard_of (self, call);

  g_mutex_lock (&shard->lock);
  counts_of_locked (self, shard, call)->submitted++;
  g_mutex_unlock (&shard->lock);
}

void
metrics_table_begin (MetricsTable *self, StrandCall *attempt)
{
  Shard *shard = shard_of (self, attempt);

  g_mutex_lock (&shard->lock);
  g_hash_table_add (shard->in_flight, attempt);
  g_mutex_unlock (&shard->lock);
}

/* A clock that was set back meanwhile makes no negative time. */
static void
observe (MetricsHistogram *histogram, gint64 duration_us)
{
  guint bucket = 0;

  duration_us = MAX (duration_us, 0);
  while (bucket < METRICS_N_BOUNDS && duration_us > metrics_bounds_us[bucket])
    bucket++;
  histogram->buckets[bucket]++;
  histogram->sum_us += (guint64) duration_us;
}

static MetricsEnd
end_of (const GError *error)
{
  if (error == NULL)
    return METRICS_END_COMPLETED;
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return METRICS_END_CANCELLED;
  if (error->domain != STRAND_ERROR)
    return METRICS_END_ERROR;
  switch (error->code)
    {
    case STRAND_ERROR_REFUSED:
      return METRICS_END_REFUSED;
    case STRAND_ERROR_TIMED_OUT:
      return METRICS_END_TIMED_OUT;
    case STRAND_ERROR_CRASHED:
    case STRAND_ERROR_DEAD:
      return METRICS_END_CRASHED;
    default:
      return METRICS_END_ERROR;
    }
}

void
metrics_table_end (MetricsTable *self, StrandCall *attempt, const GError *error, gboolean will_retry)
{
  Shard *shard = shard_of (self, attempt);
  MetricsEnd end = end_of (error);
  gint64 created_us, started_us, completed_us, not_before_us;
  MetricsCounts *counts;

  strand_call_get_times (attempt, &created_us, &started_us, &completed_us);
  not_before_us = strand_options_get_not_before (strand_call_get_options (attempt));

  g_mutex_lock (&shard->lock);
  g_hash_table_remove (shard->in_flight, attempt);
  counts = counts_of_locked (self, shard, attempt);
  if (will_retry)
    counts->retries++;
  else
    counts->ended[end]++;
  if (end == METRICS_END_CRASHED)
    counts->crashes++;
  if (started_us > 0)
    observe (&counts->duration, completed_us - started_us);
  if (started_us > 0 && created_us > 0 && strand_call_get_attempt (attempt) == 1)
    observe (&counts->queue, started_us - MAX (created_us, not_before_us));
  g_mutex_unlock (&shard->lock);
}

/* --- reading ------------------------------------------------------------------------------------------- */

static gboolean
is_empty (const MetricsCounts *counts)
{
  static const MetricsCounts none;

  return memcmp (counts, &none, sizeof none) == 0;
}

static void
read_shard (MetricsTable *self, Shard *shard, MetricsSnapshot *snapshot)
{
  GHashTableIter iter;
  gpointer name, counts, attempt;

  g_mutex_lock (&shard->lock);
  g_hash_table_iter_init (&iter, shard->counts);
  while (g_hash_table_iter_next (&iter, &name, &counts))
    metrics_counts_add (&metrics_snapshot_row (snapshot, name)->counts, counts, 1);
  if (!is_empty (&shard->other))
    metrics_counts_add (&metrics_snapshot_row (snapshot, METRICS_OTHER)->counts, &shard->other, 1);
  g_hash_table_iter_init (&iter, shard->in_flight);
  while (g_hash_table_iter_next (&iter, &attempt, NULL))
    {
      const char *function = admit (self, strand_call_get_function_name (attempt));
      MetricsRow *row = metrics_snapshot_row (snapshot, function != NULL ? function : METRICS_OTHER);

      if (strand_call_get_status (attempt) == STRAND_STATUS_PENDING)
        row->waiting++;
      else
        row->running++;
    }
  g_mutex_unlock (&shard->lock);
}

MetricsSnapshot *
metrics_table_read (MetricsTable *self)
{
  MetricsSnapshot *snapshot = metrics_snapshot_new ();

  for (guint i = 0; i < N_SHARDS; i++)
    read_shard (self, &self->shards[i], snapshot);
  return snapshot;
}
