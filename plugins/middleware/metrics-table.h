/* metrics-table.h — numbers about calls, counted by many threads at once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* Upper bounds in µs: of a function that answers at once, of one that runs for an hour, and steps between
 * that tell fast from slow. The last bucket has no bound. Fixed, so that totals of all programs add up. */
#define METRICS_BOUNDS_US                                                                                    \
  100, 1000, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000, 10000000, 60000000, 300000000,            \
      1800000000, 3600000000
#define METRICS_N_BOUNDS 14
extern const gint64 metrics_bounds_us[METRICS_N_BOUNDS];

/* How a call ended; FAILED is split by cause. */
typedef enum
{
  METRICS_END_COMPLETED,
  METRICS_END_CANCELLED,
  METRICS_END_ERROR, /* the function's own, or anything below that is not named */
  METRICS_END_REFUSED,
  METRICS_END_TIMED_OUT,
  METRICS_END_CRASHED,
  METRICS_N_ENDS,
} MetricsEnd;

typedef struct
{
  guint64 buckets[METRICS_N_BOUNDS + 1]; /* each its own, not cumulated */
  guint64 sum_us;
} MetricsHistogram;

/* Of one function. Nothing but guint64, so that it can be added, subtracted and stored as an array. */
typedef struct
{
  guint64 submitted;
  guint64 ended[METRICS_N_ENDS]; /* the call's end, not an attempt's */
  guint64 retries;
  guint64 crashes;           /* attempts, also those that were tried again */
  MetricsHistogram duration; /* of attempts whose function ran */
  MetricsHistogram queue;    /* from created or not-before to the first start */
} MetricsCounts;

#define METRICS_N_NUMBERS (sizeof (MetricsCounts) / sizeof (guint64))

typedef struct
{
  char *function;
  MetricsCounts counts;
  guint64 running; /* now; not part of shared totals */
  guint64 waiting; /* let in, but not begun */
} MetricsRow;

/* The name of the row that takes the functions beyond the limit. */
#define METRICS_OTHER "other"

/* Rows in order of their names; nobody changes one that has been handed out. */
typedef struct
{
  GPtrArray *rows; /* of MetricsRow */
} MetricsSnapshot;

MetricsSnapshot *metrics_snapshot_new (void);
void metrics_snapshot_free (MetricsSnapshot *self);
/* Made if it is not there. */
MetricsRow *metrics_snapshot_row (MetricsSnapshot *self, const char *function);
MetricsRow *metrics_snapshot_find (MetricsSnapshot *self, const char *function);
/* All rows together. */
void metrics_snapshot_sum (MetricsSnapshot *self, MetricsRow *sum);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (MetricsSnapshot, metrics_snapshot_free)

/* @counts += @more, or -= with @sign -1. */
void metrics_counts_add (MetricsCounts *counts, const MetricsCounts *more, int sign);
guint64 metrics_histogram_count (const MetricsHistogram *histogram);

typedef struct _MetricsTable MetricsTable;

MetricsTable *metrics_table_new (guint max_functions);
void metrics_table_free (MetricsTable *self);

/* Any thread, for different calls at once. */
void metrics_table_submit (MetricsTable *self, StrandCall *call);
void metrics_table_begin (MetricsTable *self, StrandCall *attempt);
/* Ends what metrics_table_begin() began. @error: NULL for a value. */
void metrics_table_end (MetricsTable *self, StrandCall *attempt, const GError *error, gboolean will_retry);

MetricsSnapshot *metrics_table_read (MetricsTable *self);

G_END_DECLS
