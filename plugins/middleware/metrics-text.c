/* metrics-text.c — numbers about calls, as Prometheus reads them.
 *
 * The text format 0.0.4: families one after the other, each with its help and type, samples with labels.
 * Times are seconds, written exactly to the microsecond: a locale has no say in it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "metrics-text.h"

#include <string.h>

typedef struct
{
  GString *text;
  MetricsSnapshot *snapshot;
  char *labels; /* those on every sample, each with a comma before it */
} Writer;

gboolean
metrics_label_is_usable (const char *name)
{
  static const char *const ours[] = { "function", "status", "cause", "le", NULL };
  gsize length = strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

  return length > 0 && name[length] == '\0' && !g_ascii_isdigit (name[0]) && !g_str_has_prefix (name, "__") &&
         !g_strv_contains (ours, name);
}

static void
append_escaped (GString *text, const char *value)
{
  for (const char *c = value; *c != '\0'; c++)
    if (*c == '\n')
      g_string_append (text, "\\n");
    else
      {
        if (*c == '\\' || *c == '"')
          g_string_append_c (text, '\\');
        g_string_append_c (text, *c);
      }
}

static void
append_label (GString *text, const char *name, const char *value)
{
  g_string_append_printf (text, "%s=\"", name);
  append_escaped (text, value);
  g_string_append_c (text, '"');
}

static void
start_family (Writer *self, const char *name, const char *type, const char *help)
{
  g_string_append_printf (self->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* NAME{function="…"[,label="value"][,the labels of all]} */
static void
append_name (Writer *self, const char *name, MetricsRow *row, const char *label, const char *value)
{
  g_string_append_printf (self->text, "%s{", name);
  append_label (self->text, "function", row->function);
  if (label != NULL)
    {
      g_string_append_c (self->text, ',');
      append_label (self->text, label, value);
    }
  g_string_append_printf (self->text, "%s} ", self->labels);
}

static void
append_sample (Writer *self, const char *name, MetricsRow *row, const char *label, const char *label_value,
               guint64 value)
{
  append_name (self, name, row, label, label_value);
  g_string_append_printf (self->text, "%" G_GUINT64_FORMAT "\n", value);
}

/* A family with one sample for each function: the number that lies @offset bytes into the row. */
static void
append_family (Writer *self, const char *name, const char *type, const char *help, gsize offset)
{
  start_family (self, name, type, help);
  for (guint i = 0; i < self->snapshot->rows->len; i++)
    {
      MetricsRow *row = self->snapshot->rows->pdata[i];

      append_sample (self, name, row, NULL, NULL, G_STRUCT_MEMBER (guint64, row, offset));
    }
}

static guint64
count_failed (const MetricsCounts *counts)
{
  return counts->ended[METRICS_END_ERROR] + counts->ended[METRICS_END_REFUSED] +
         counts->ended[METRICS_END_TIMED_OUT] + counts->ended[METRICS_END_CRASHED];
}

static void
append_ends (Writer *self)
{
  static const char name[] = "strand_calls_total";

  start_family (self, name, "counter", "Calls that have ended, by how.");
  for (guint i = 0; i < self->snapshot->rows->len; i++)
    {
      MetricsRow *row = self->snapshot->rows->pdata[i];
      const MetricsCounts *counts = &row->counts;

      append_sample (self, name, row, "status", "completed", counts->ended[METRICS_END_COMPLETED]);
      append_sample (self, name, row, "status", "failed", count_failed (counts));
      append_sample (self, name, row, "status", "cancelled", counts->ended[METRICS_END_CANCELLED]);
    }
}

static void
append_causes (Writer *self)
{
  static const char name[] = "strand_call_failures_total";
  static const struct
  {
    const char *cause;
    MetricsEnd end;
  } causes[] = { { "error", METRICS_END_ERROR },
                 { "refused", METRICS_END_REFUSED },
                 { "timed-out", METRICS_END_TIMED_OUT },
                 { "crashed", METRICS_END_CRASHED } };

  start_family (self, name, "counter", "Failed calls, by cause.");
  for (guint i = 0; i < self->snapshot->rows->len; i++)
    for (guint c = 0; c < G_N_ELEMENTS (causes); c++)
      {
        MetricsRow *row = self->snapshot->rows->pdata[i];

        append_sample (self, name, row, "cause", causes[c].cause, row->counts.ended[causes[c].end]);
      }
}

static char *
seconds_of (guint64 time_us)
{
  guint64 second_us = G_USEC_PER_SEC;
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "%" G_GUINT64_FORMAT, time_us / second_us);
  if (time_us % second_us != 0)
    g_string_append_printf (text, ".%06" G_GUINT64_FORMAT, time_us % second_us);
  while (time_us % second_us != 0 && text->str[text->len - 1] == '0')
    g_string_truncate (text, text->len - 1);
  return g_string_free (text, FALSE);
}

static void
append_histogram (Writer *self, const char *name, MetricsRow *row, const MetricsHistogram *histogram)
{
  g_autofree char *bucket = g_strconcat (name, "_bucket", NULL);
  g_autofree char *sum = g_strconcat (name, "_sum", NULL);
  g_autofree char *count = g_strconcat (name, "_count", NULL);
  g_autofree char *total = seconds_of (histogram->sum_us);
  guint64 below = 0;

  for (guint i = 0; i < METRICS_N_BOUNDS; i++)
    {
      g_autofree char *bound = seconds_of ((guint64) metrics_bounds_us[i]);

      below += histogram->buckets[i];
      append_sample (self, bucket, row, "le", bound, below);
    }
  append_sample (self, bucket, row, "le", "+Inf", metrics_histogram_count (histogram));
  append_name (self, sum, row, NULL, NULL);
  g_string_append_printf (self->text, "%s\n", total);
  append_sample (self, count, row, NULL, NULL, metrics_histogram_count (histogram));
}

static void
append_histograms (Writer *self, const char *name, const char *help, gsize offset)
{
  start_family (self, name, "histogram", help);
  for (guint i = 0; i < self->snapshot->rows->len; i++)
    {
      MetricsRow *row = self->snapshot->rows->pdata[i];

      append_histogram (self, name, row, &G_STRUCT_MEMBER (MetricsHistogram, row, offset));
    }
}

char *
metrics_to_text (MetricsSnapshot *snapshot, const char *const *labels, gboolean gauges)
{
  GString *common = g_string_new (NULL);
  Writer self = { g_string_new (NULL), snapshot, NULL };

  for (guint i = 0; labels != NULL && labels[i] != NULL; i += 2)
    {
      g_string_append_c (common, ',');
      append_label (common, labels[i], labels[i + 1]);
    }
  self.labels = g_string_free (common, FALSE);

  append_family (&self, "strand_submitted_calls_total", "counter", "Calls that were made here.",
                 G_STRUCT_OFFSET (MetricsRow, counts.submitted));
  append_ends (&self);
  append_causes (&self);
  append_family (&self, "strand_retries_total", "counter", "Attempts that failed and were tried again.",
                 G_STRUCT_OFFSET (MetricsRow, counts.retries));
  append_family (&self, "strand_crashes_total", "counter", "Attempts whose process died.",
                 G_STRUCT_OFFSET (MetricsRow, counts.crashes));
  if (gauges)
    {
      append_family (&self, "strand_calls_running", "gauge", "Calls whose function runs now.",
                     G_STRUCT_OFFSET (MetricsRow, running));
      append_family (&self, "strand_calls_waiting", "gauge",
                     "Calls that wait for a worker or middleware now.",
                     G_STRUCT_OFFSET (MetricsRow, waiting));
    }
  append_histograms (&self, "strand_call_duration_seconds", "How long functions ran, each attempt.",
                     G_STRUCT_OFFSET (MetricsRow, counts.duration));
  append_histograms (&self, "strand_call_queue_seconds",
                     "From when a call was made, or might start, to its first start.",
                     G_STRUCT_OFFSET (MetricsRow, counts.queue));
  g_free (self.labels);
  return g_string_free (self.text, FALSE);
}
