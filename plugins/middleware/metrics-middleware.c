/* metrics-middleware.c — counts calls, and how long they wait and run.
 *
 * The counting is metrics-table.c's; here it is brought out: as GVariant and as Prometheus text by reading a
 * property, as a file for node_exporter's textfile collector, and as totals of many programs in a record of a
 * store. Middleware lives where the backend or reader lives, so calls that run in helper processes are
 * counted right here. File and record are written on a thread of their own: no call waits for a disk.
 *
 * Settings are fixed at construction; all methods may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include "exporter.h"
#include "metrics-shared.h"
#include "metrics-table.h"
#include "metrics-text.h"

#include <string.h>
#include <unistd.h>

#define STRAND_TYPE_METRICS_MIDDLEWARE (strand_metrics_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandMetricsMiddleware, strand_metrics_middleware, STRAND, METRICS_MIDDLEWARE, GObject)

/* As often as a monitoring server usually looks. */
#define DEFAULT_INTERVAL_US (15 * G_USEC_PER_SEC)

/* Twelve buckets and more for each of a few hundred functions is what a server keeps without notice. */
#define DEFAULT_MAX_FUNCTIONS 200

#define DEFAULT_KEY "strand.metrics"

struct _StrandMetricsMiddleware
{
  GObject parent_instance;

  char *file; /* as written, with %p; set at construction, as all down to the table */
  gint64 interval_us;
  GStrv labels;
  guint max_functions;
  StrandStore *store;
  char *key;
  GError *trouble;    /* settings that mean nothing */
  char *path;         /* of the file; NULL for none */
  GPtrArray *common;  /* labels: name and value in turn, then NULL */
  Exporter *exporter; /* NULL if there is nothing to export to */

  MetricsTable *table;

  /* The exporter's. */
  MetricsSnapshot *added; /* what the record has of ours */
  gboolean complaining;   /* it was said that this does not work */

  GMutex lock;             /* guards what is below */
  MetricsSnapshot *shared; /* what the record held when it was written last */
  gboolean exported;       /* the last time worked */
};

typedef enum
{
  PROP_FILE = 1,
  PROP_INTERVAL,
  PROP_LABELS,
  PROP_MAX_FUNCTIONS,
  PROP_STORE,
  PROP_KEY,
  PROP_STATS,
  PROP_PROMETHEUS,
  PROP_SHARED_STATS,
  PROP_SHARED_PROMETHEUS,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandMetricsMiddleware, strand_metrics_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

/* --- what was counted, for programs -------------------------------------------------------------------- */

static void
add_numbers (GVariantBuilder *builder, const MetricsRow *row, gboolean gauges)
{
  const MetricsCounts *counts = &row->counts;
  const guint64 *ended = counts->ended;
  guint64 failed = ended[METRICS_END_ERROR] + ended[METRICS_END_REFUSED] + ended[METRICS_END_TIMED_OUT] +
                   ended[METRICS_END_CRASHED];
  guint64 n_ran = metrics_histogram_count (&counts->duration);
  guint64 n_started = metrics_histogram_count (&counts->queue);
  const struct
  {
    const char *name;
    guint64 value;
  } numbers[] = {
    { "total", ended[METRICS_END_COMPLETED] + failed + ended[METRICS_END_CANCELLED] },
    { "completed", ended[METRICS_END_COMPLETED] },
    { "failed", failed },
    { "cancelled", ended[METRICS_END_CANCELLED] },
    { "refused", ended[METRICS_END_REFUSED] },
    { "timed_out", ended[METRICS_END_TIMED_OUT] },
    { "crashed", ended[METRICS_END_CRASHED] },
    { "submitted", counts->submitted },
    { "retries", counts->retries },
    { "crashes", counts->crashes },
  };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    g_variant_builder_add (builder, "{sv}", numbers[i].name, g_variant_new_uint64 (numbers[i].value));
  if (gauges)
    {
      g_variant_builder_add (builder, "{sv}", "running", g_variant_new_uint64 (row->running));
      g_variant_builder_add (builder, "{sv}", "waiting", g_variant_new_uint64 (row->waiting));
    }
  g_variant_builder_add (
      builder, "{sv}", "avg_duration",
      g_variant_new_double (n_ran > 0 ? (double) counts->duration.sum_us / 1e6 / (double) n_ran : 0));
  g_variant_builder_add (
      builder, "{sv}", "avg_queue",
      g_variant_new_double (n_started > 0 ? (double) counts->queue.sum_us / 1e6 / (double) n_started : 0));
}

static GVariant *
stats_of (MetricsSnapshot *snapshot, gboolean gauges)
{
  GVariantBuilder stats, functions;
  MetricsRow sum;

  metrics_snapshot_sum (snapshot, &sum);
  g_variant_builder_init (&stats, G_VARIANT_TYPE_VARDICT);
  add_numbers (&stats, &sum, gauges);
  g_variant_builder_init (&functions, G_VARIANT_TYPE ("a{sa{sv}}"));
  for (guint i = 0; i < snapshot->rows->len; i++)
    {
      MetricsRow *row = snapshot->rows->pdata[i];

      g_variant_builder_open (&functions, G_VARIANT_TYPE ("{sa{sv}}"));
      g_variant_builder_add (&functions, "s", row->function);
      g_variant_builder_open (&functions, G_VARIANT_TYPE_VARDICT);
      add_numbers (&functions, row, gauges);
      g_variant_builder_close (&functions);
      g_variant_builder_close (&functions);
    }
  g_variant_builder_add (&stats, "{sv}", "functions", g_variant_builder_end (&functions));
  return g_variant_ref_sink (g_variant_builder_end (&stats));
}

static GVariant *
dup_stats (StrandMetricsMiddleware *self)
{
  g_autoptr(MetricsSnapshot) now = metrics_table_read (self->table);

  return stats_of (now, TRUE);
}

static char *
dup_prometheus (StrandMetricsMiddleware *self)
{
  g_autoptr(MetricsSnapshot) now = metrics_table_read (self->table);

  return metrics_to_text (now, (const char *const *) self->common->pdata, TRUE);
}

static GVariant *
dup_shared_stats (StrandMetricsMiddleware *self)
{
  GVariant *stats;

  g_mutex_lock (&self->lock);
  stats = self->shared != NULL ? stats_of (self->shared, FALSE) : NULL;
  g_mutex_unlock (&self->lock);
  return stats;
}

static char *
dup_shared_prometheus (StrandMetricsMiddleware *self)
{
  char *text;

  g_mutex_lock (&self->lock);
  text = self->shared != NULL ? metrics_to_text (self->shared, NULL, FALSE) : NULL;
  g_mutex_unlock (&self->lock);
  return text;
}

/* --- bringing it out ----------------------------------------------------------------------------------- */

/* Said once until it works again, not every quarter of a minute. */
static void
complain (StrandMetricsMiddleware *self, const GError *error)
{
  if (!self->complaining)
    g_warning ("%s", error->message);
  self->complaining = TRUE;
}

/* World-readable: what reads it is another user's, and it holds nothing but numbers and function names. */
static gboolean
write_file (StrandMetricsMiddleware *self, GError **error)
{
  g_autofree char *text = dup_prometheus (self);

  if (g_file_set_contents_full (self->path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, error))
    return TRUE;
  g_prefix_error (error, "Could not write the metrics to '%s': ", self->path);
  return FALSE;
}

static gboolean
add_to_store (StrandMetricsMiddleware *self, GError **error)
{
  g_autoptr(MetricsSnapshot) now = metrics_table_read (self->table);
  MetricsSnapshot *totals =
      metrics_shared_add (self->store, self->key, self->max_functions, now, self->added, error);

  if (totals == NULL)
    {
      g_prefix_error (error, "Could not add to the shared metrics: ");
      return FALSE;
    }
  g_clear_pointer (&self->added, metrics_snapshot_free);
  self->added = g_steal_pointer (&now);
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->shared, metrics_snapshot_free);
  self->shared = totals;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* The exporter's function. */
static gboolean
bring_out (gpointer data)
{
  StrandMetricsMiddleware *self = data;
  g_autoptr(GError) file_error = NULL;
  g_autoptr(GError) store_error = NULL;
  gboolean file_written = self->path == NULL || write_file (self, &file_error);
  gboolean store_written = self->store == NULL || add_to_store (self, &store_error);

  if (file_written && store_written)
    self->complaining = FALSE;
  else
    complain (self, file_written ? store_error : file_error);
  g_mutex_lock (&self->lock);
  self->exported = file_written && store_written;
  g_mutex_unlock (&self->lock);
  return file_written && store_written;
}

static gboolean
flush (StrandMetricsMiddleware *self)
{
  gboolean exported;

  if (self->exporter == NULL)
    return TRUE;
  exporter_flush (self->exporter);
  g_mutex_lock (&self->lock);
  exported = self->exported;
  g_mutex_unlock (&self->lock);
  return exported;
}

static void
on_news (StrandMetricsMiddleware *self)
{
  if (self->exporter != NULL)
    exporter_touch (self->exporter);
}

/* --- the border ---------------------------------------------------------------------------------------- */

/* What was set wrong lets no call pass: numbers that nobody gets are worse than an error. */
static StrandVerdict
refuse_for_trouble (StrandMetricsMiddleware *self, GError **error)
{
  g_propagate_error (error, g_error_copy (self->trouble));
  return STRAND_VERDICT_REFUSE;
}

static StrandVerdict
strand_metrics_middleware_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value,
                                  GError **error)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (middleware);

  if (self->trouble != NULL)
    return refuse_for_trouble (self, error);
  metrics_table_submit (self->table, call);
  on_news (self);
  return STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
strand_metrics_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                                  GError **error)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (middleware);

  metrics_table_begin (self->table, attempt);
  return self->trouble != NULL ? refuse_for_trouble (self, error) : STRAND_VERDICT_CONTINUE;
}

static gboolean
strand_metrics_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value,
                                 GError **error)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (middleware);

  metrics_table_end (self->table, attempt, NULL, FALSE);
  on_news (self);
  return TRUE;
}

static void
strand_metrics_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                                    gboolean will_retry)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (middleware);

  metrics_table_end (self->table, attempt, error, will_retry);
  on_news (self);
}

static void
strand_metrics_middleware_close (StrandMiddleware *middleware)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (middleware);

  if (self->exporter != NULL)
    exporter_drain (self->exporter);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = strand_metrics_middleware_submit;
  iface->before = strand_metrics_middleware_before;
  iface->after = strand_metrics_middleware_after;
  iface->on_error = strand_metrics_middleware_on_error;
  iface->close = strand_metrics_middleware_close;
}

/* --- settings ------------------------------------------------------------------------------------------ */

/* `%p` is this process, `%%` a percent sign; nothing else follows one. */
static char *
expand (const char *text, const char *key, GError **error)
{
  GString *expanded = g_string_new (NULL);

  for (const char *c = text; *c != '\0'; c++)
    if (*c != '%')
      g_string_append_c (expanded, *c);
    else if (*++c == 'p')
      g_string_append_printf (expanded, "%ld", (long) getpid ());
    else if (*c == '%')
      g_string_append_c (expanded, '%');
    else
      {
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                     "'%s' is '%s', where '%%' is not followed by 'p' (the process) or '%%' (a percent sign)",
                     key, text);
        g_string_free (expanded, TRUE);
        return NULL;
      }
  return g_string_free (expanded, FALSE);
}

static gboolean
read_label (StrandMetricsMiddleware *self, const char *label, GError **error)
{
  const char *sign = strchr (label, '=');
  g_autofree char *name = sign != NULL ? g_strndup (label, (gsize) (sign - label)) : g_strdup (label);
  char *value;

  if (sign == NULL || !metrics_label_is_usable (name) || !g_utf8_validate (sign, -1, NULL))
    {
      g_set_error (
          error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
          "'labels' has '%s'; write NAME=VALUE, NAME of letters, digits and '_', not starting with a "
          "digit or '__', and not function, status, cause or le",
          label);
      return FALSE;
    }
  value = expand (sign + 1, "labels", error);
  if (value == NULL)
    return FALSE;
  g_ptr_array_add (self->common, g_steal_pointer (&name));
  g_ptr_array_add (self->common, value);
  return TRUE;
}

/* Files of several programs in one folder must not tell of the same sample twice. */
static void
add_pid_label (StrandMetricsMiddleware *self)
{
  for (guint i = 0; i + 1 < self->common->len; i += 2)
    if (strcmp (self->common->pdata[i], "pid") == 0)
      return;
  g_ptr_array_add (self->common, g_strdup ("pid"));
  g_ptr_array_add (self->common, g_strdup_printf ("%ld", (long) getpid ()));
}

static gboolean
read_settings (StrandMetricsMiddleware *self, GError **error)
{
  for (guint i = 0; self->labels != NULL && self->labels[i] != NULL; i++)
    if (!read_label (self, self->labels[i], error))
      return FALSE;
  if (self->file != NULL && *self->file != '\0')
    {
      g_autofree char *path = expand (self->file, "file", error);

      if (path == NULL)
        return FALSE;
      self->path = g_canonicalize_filename (path, NULL);
      if (strcmp (path, self->file) != 0)
        add_pid_label (self);
    }
  if (!strand_key_check (self->key != NULL ? self->key : "", error))
    {
      g_prefix_error (error, "'key' cannot be used: ");
      return FALSE;
    }
  return TRUE;
}

static gboolean
strand_metrics_middleware_initable (GInitable *initable, GCancellable *cancellable, GError **error)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (initable);

  if (self->trouble == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->trouble));
  return FALSE;
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_metrics_middleware_initable;
}

static void
strand_metrics_middleware_constructed (GObject *object)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (object);

  self->table = metrics_table_new (self->max_functions);
  if (read_settings (self, &self->trouble) && (self->path != NULL || self->store != NULL))
    self->exporter = exporter_new ("strand-metrics", self->interval_us, bring_out, self);
  g_ptr_array_add (self->common, NULL);
  G_OBJECT_CLASS (strand_metrics_middleware_parent_class)->constructed (object);
}

static void
strand_metrics_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FILE:
      g_value_set_string (value, self->file);
      break;
    case PROP_INTERVAL:
      g_value_set_int64 (value, self->interval_us);
      break;
    case PROP_LABELS:
      g_value_set_boxed (value, self->labels);
      break;
    case PROP_MAX_FUNCTIONS:
      g_value_set_uint (value, self->max_functions);
      break;
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_KEY:
      g_value_set_string (value, self->key);
      break;
    case PROP_STATS:
      g_value_take_variant (value, dup_stats (self));
      break;
    case PROP_PROMETHEUS:
      g_value_take_string (value, dup_prometheus (self));
      break;
    case PROP_SHARED_STATS:
      g_value_take_variant (value, dup_shared_stats (self));
      break;
    case PROP_SHARED_PROMETHEUS:
      g_value_take_string (value, dup_shared_prometheus (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_metrics_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FILE:
      self->file = g_value_dup_string (value);
      break;
    case PROP_INTERVAL:
      self->interval_us = g_value_get_int64 (value);
      break;
    case PROP_LABELS:
      self->labels = g_value_dup_boxed (value);
      break;
    case PROP_MAX_FUNCTIONS:
      self->max_functions = g_value_get_uint (value);
      break;
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_KEY:
      self->key = g_value_dup_string (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_metrics_middleware_finalize (GObject *object)
{
  StrandMetricsMiddleware *self = STRAND_METRICS_MIDDLEWARE (object);

  g_clear_pointer (&self->exporter, exporter_free);
  g_clear_pointer (&self->added, metrics_snapshot_free);
  g_clear_pointer (&self->shared, metrics_snapshot_free);
  metrics_table_free (self->table);
  g_clear_object (&self->store);
  g_clear_error (&self->trouble);
  g_ptr_array_unref (self->common);
  g_strfreev (self->labels);
  g_free (self->path);
  g_free (self->file);
  g_free (self->key);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_metrics_middleware_parent_class)->finalize (object);
}

static void
install_settings (void)
{
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  props[PROP_FILE] = g_param_spec_string (
      "file", NULL, "File for Prometheus' textfile collector; %p in its name is the process", NULL, fixed);
  props[PROP_INTERVAL] = g_param_spec_int64 ("interval", NULL, "How soon file and store show what is new",
                                             G_TIME_SPAN_MILLISECOND, G_MAXINT64, DEFAULT_INTERVAL_US,
                                             fixed | STRAND_PARAM_DURATION);
  props[PROP_LABELS] = g_param_spec_boxed (
      "labels", NULL, "Further labels on every sample, as NAME=VALUE; %p in a value is the process",
      G_TYPE_STRV, fixed);
  props[PROP_MAX_FUNCTIONS] = g_param_spec_uint (
      "max-functions", NULL, "How many functions are counted by name; the rest is counted as 'other'", 1,
      100000, DEFAULT_MAX_FUNCTIONS, fixed);
  props[PROP_STORE] =
      g_param_spec_object ("store", NULL, "Where programs add up their totals", STRAND_TYPE_STORE, fixed);
  props[PROP_KEY] = g_param_spec_string ("key", NULL, "Key of the record in the store", DEFAULT_KEY, fixed);
}

static void
install_results (void)
{
  GParamFlags result = (GParamFlags) (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);

  props[PROP_STATS] =
      g_param_spec_variant ("stats", NULL, "What was counted here", G_VARIANT_TYPE_VARDICT, NULL, result);
  props[PROP_PROMETHEUS] =
      g_param_spec_string ("prometheus", NULL, "The same as Prometheus text", NULL, result);
  props[PROP_SHARED_STATS] =
      g_param_spec_variant ("shared-stats", NULL, "What all programs had counted at the last flush",
                            G_VARIANT_TYPE_VARDICT, NULL, result);
  props[PROP_SHARED_PROMETHEUS] =
      g_param_spec_string ("shared-prometheus", NULL, "The same as Prometheus text", NULL, result);
}

static void
strand_metrics_middleware_class_init (StrandMetricsMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->constructed = strand_metrics_middleware_constructed;
  object_class->get_property = strand_metrics_middleware_get_property;
  object_class->set_property = strand_metrics_middleware_set_property;
  object_class->finalize = strand_metrics_middleware_finalize;
  install_settings ();
  install_results ();
  g_object_class_install_properties (object_class, N_PROPS, props);

  /* Writes file and record now; blocks. Returns whether that worked. */
  g_signal_new_class_handler ("flush", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION,
                              G_CALLBACK (flush), NULL, NULL, NULL, G_TYPE_BOOLEAN, 0);
}

static void
strand_metrics_middleware_init (StrandMetricsMiddleware *self)
{
  self->common = g_ptr_array_new_with_free_func (g_free);
  g_mutex_init (&self->lock);
}

STRAND_PLUGIN_DEFINE ("metrics-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("metrics", StrandMetricsMiddleware,
                                                  strand_metrics_middleware_get_type,
                                                  "Counts calls and how long they take, for Prometheus"))
