/* metrics-shared.c — totals of many programs in one record of a store.
 *
 * A program adds only what is new since it last did, by writing the record back if nobody else wrote it
 * meanwhile, else reading it again: so each call is counted once, whoever writes when. The numbers of a
 * function are an array in the record's metadata, beside a version that says what each place means.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "metrics-shared.h"

#include <string.h>

#define KIND "metrics"
/* Grows when the order or number of MetricsCounts' fields, or a bound, changes. */
#define FORMAT 1

/* Each failed try means that another program has got on, and every program tries once an interval. */
#define MAX_TRIES 1000

static gboolean
set_unreadable (const char *key, const char *why, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "record '%s' %s; remove it, or let 'key' name another", key, why);
  return FALSE;
}

static gboolean
read_rows (GVariant *functions, const char *key, MetricsSnapshot *totals, GError **error)
{
  GVariantIter iter;
  const char *function;
  GVariant *numbers;

  g_variant_iter_init (&iter, functions);
  while (g_variant_iter_loop (&iter, "{&s@at}", &function, &numbers))
    {
      gsize n;
      const guint64 *data = g_variant_get_fixed_array (numbers, &n, sizeof *data);
      MetricsCounts counts;

      if (n != METRICS_N_NUMBERS)
        {
          g_variant_unref (numbers);
          return set_unreadable (key, "has another number of numbers than this version writes", error);
        }
      memcpy (&counts, data, sizeof counts);
      metrics_counts_add (&metrics_snapshot_row (totals, function)->counts, &counts, 1);
    }
  return TRUE;
}

static MetricsSnapshot *
read_totals (StrandRecord *record, GError **error)
{
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);
  const char *key = strand_record_get_key (record);
  g_autoptr(MetricsSnapshot) totals = metrics_snapshot_new ();
  g_autoptr(GVariant) functions = NULL;
  guint32 format;

  if (g_strcmp0 (strand_record_get_string (record, STRAND_FIELD_KIND), KIND) != 0 || metadata == NULL ||
      !g_variant_lookup (metadata, "format", "u", &format) ||
      (functions = g_variant_lookup_value (metadata, "functions", G_VARIANT_TYPE ("a{sat}"))) == NULL)
    {
      set_unreadable (key, "holds no metrics", error);
      return NULL;
    }
  if (format != FORMAT)
    {
      set_unreadable (key, "was written by another version of strand", error);
      return NULL;
    }
  return read_rows (functions, key, totals, error) ? g_steal_pointer (&totals) : NULL;
}

/* The row that @function is added to: a record that many programs write stays as small as each wants it. */
static MetricsRow *
row_for (MetricsSnapshot *totals, const char *function, guint max_functions)
{
  MetricsRow *row = metrics_snapshot_find (totals, function);

  if (row != NULL)
    return row;
  return metrics_snapshot_row (totals, totals->rows->len < max_functions ? function : METRICS_OTHER);
}

static void
add_news (MetricsSnapshot *totals, MetricsSnapshot *now, MetricsSnapshot *before, guint max_functions)
{
  for (guint i = 0; i < now->rows->len; i++)
    {
      MetricsRow *row = now->rows->pdata[i];
      MetricsRow *old = before != NULL ? metrics_snapshot_find (before, row->function) : NULL;
      MetricsCounts news = row->counts;

      if (old != NULL)
        metrics_counts_add (&news, &old->counts, -1);
      metrics_counts_add (&row_for (totals, row->function, max_functions)->counts, &news, 1);
    }
}

static void
write_totals (StrandRecord *record, MetricsSnapshot *totals)
{
  GVariantBuilder functions, metadata;

  g_variant_builder_init (&functions, G_VARIANT_TYPE ("a{sat}"));
  for (guint i = 0; i < totals->rows->len; i++)
    {
      MetricsRow *row = totals->rows->pdata[i];

      g_variant_builder_add (&functions, "{s@at}", row->function,
                             g_variant_new_fixed_array (G_VARIANT_TYPE_UINT64, &row->counts,
                                                        METRICS_N_NUMBERS, sizeof (guint64)));
    }
  g_variant_builder_init (&metadata, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&metadata, "{sv}", "format", g_variant_new_uint32 (FORMAT));
  g_variant_builder_add (&metadata, "{sv}", "functions", g_variant_builder_end (&functions));
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_builder_end (&metadata));
  /* Nothing to run, and nothing that a ttl would take. */
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, -1);
}

static StrandRecord *
read_or_make (StrandStore *store, const char *key, MetricsSnapshot **totals, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &local);

  if (record != NULL)
    *totals = read_totals (record, error);
  else if (g_error_matches (local, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      record = strand_record_new (key);
      strand_record_set_string (record, STRAND_FIELD_KIND, KIND);
      strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
      *totals = metrics_snapshot_new ();
    }
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return *totals != NULL ? g_steal_pointer (&record) : NULL;
}

static gboolean
was_overtaken (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
}

MetricsSnapshot *
metrics_shared_add (StrandStore *store, const char *key, guint max_functions, MetricsSnapshot *now,
                    MetricsSnapshot *before, GError **error)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(MetricsSnapshot) totals = NULL;
      g_autoptr(StrandRecord) record = read_or_make (store, key, &totals, error);
      g_autoptr(GError) local = NULL;

      if (record == NULL)
        return NULL;
      add_news (totals, now, before, max_functions);
      write_totals (record, totals);
      if (strand_store_put (store, record, strand_record_get_revision (record), &local))
        return g_steal_pointer (&totals);
      if (!was_overtaken (local))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "record '%s' changed at each of %d tries", key,
               MAX_TRIES);
  return NULL;
}
