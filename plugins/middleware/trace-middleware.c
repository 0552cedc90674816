/* trace-middleware.c — tells where a call belongs in a trace, and writes its spans.
 *
 * `submit` makes one span in the program that makes the call and sends it along in the `traceparent` header;
 * `before` and its end make one for each attempt, below it, wherever it runs. So the span that the
 * application has open, the call, and the run in a worker share one trace id. A span is a piece of text as
 * soon as it has ended; texts gather in a buffer of bounded size, and a thread of its own appends them to the
 * file, one line for a batch, in one write, so that several programs may share a file.
 *
 * Settings are fixed at construction; all methods may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include "exporter.h"
#include "trace-context.h"
#include "trace-text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STRAND_TYPE_TRACE_MIDDLEWARE (strand_trace_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandTraceMiddleware, strand_trace_middleware, STRAND, TRACE_MIDDLEWARE, GObject)

#define PARENT_HEADER "traceparent"
#define STATE_HEADER "tracestate"

/* Soon enough for somebody who looks on, rare enough for thousands of spans a line. */
#define DEFAULT_INTERVAL_US (1 * G_USEC_PER_SEC)

/* Some ten thousand spans: what a second brings under load. */
#define DEFAULT_MAX_BUFFER (8 * 1024 * 1024)

struct _StrandTraceMiddleware
{
  GObject parent_instance;

  char *file; /* set at construction, as all down to the exporter */
  char *service;
  double ratio;
  gboolean parent_based;
  gint64 interval_us;
  gint64 max_buffer_bytes;
  GError *trouble;    /* settings that mean nothing: no call passes */
  Exporter *exporter; /* NULL with trouble */

  gboolean torn; /* the file ends in half a line of ours; the exporter's */

  GMutex lock;       /* guards everything below */
  GString *spans;    /* ended and not yet written, with commas between them */
  guint64 n_spans;   /* in there */
  guint64 n_lost;    /* for want of room, or because the file could not be written */
  guint64 n_told;    /* of these, how many were spoken of */
  gboolean exported; /* the last write worked, or there was none */
};

typedef enum
{
  PROP_FILE = 1,
  PROP_SERVICE,
  PROP_RATIO,
  PROP_PARENT_BASED,
  PROP_INTERVAL,
  PROP_MAX_BUFFER,
  PROP_LOST,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

/* An attempt that is traced, from `before` to its end. */
typedef struct
{
  TraceContext context;
  char parent_id[TRACE_SPAN_DIGITS + 1];
  char *state;
  gint64 start_us;
} Run;

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandTraceMiddleware, strand_trace_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

/* --- writing ------------------------------------------------------------------------------------------- */

static gboolean
set_errno (GError **error, const char *file, const char *what)
{
  g_set_error (error, G_FILE_ERROR, (int) g_file_error_from_errno (errno),
               "Could not write spans to '%s': could not %s: %s", file, what, g_strerror (errno));
  return FALSE;
}

/* Opened for each batch, so that a file which was moved away makes room for a new one. */
static gboolean
append_to_file (StrandTraceMiddleware *self, GString *line, GError **error)
{
  int fd = open (self->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
  gboolean whole;
  gssize n;

  if (fd < 0)
    return set_errno (error, self->file, "open it");
  if (self->torn)
    g_string_prepend_c (line, '\n');
  do
    n = write (fd, line->str, line->len);
  while (n < 0 && errno == EINTR);
  whole = n == (gssize) line->len;
  if (n > 0)
    self->torn = !whole;
  if (n >= 0)
    errno = ENOSPC; /* what a short write means for a file */
  if (!whole)
    set_errno (error, self->file, "append a line");
  close (fd);
  return whole;
}

/* Trouble is told once it begins and once for each further batch that is lost. */
static void
tell_of_lost (StrandTraceMiddleware *self, const GError *error)
{
  guint64 n_new;

  g_mutex_lock (&self->lock);
  n_new = self->n_lost - self->n_told;
  self->n_told = self->n_lost;
  g_mutex_unlock (&self->lock);
  if (error != NULL)
    g_warning ("%s; %" G_GUINT64_FORMAT " spans are lost", error->message, n_new);
  else if (n_new > 0)
    g_warning ("%" G_GUINT64_FORMAT
               " spans were lost because the buffer was full; raise 'max-buffer' or lower "
               "'ratio'",
               n_new);
}

/* The exporter's function. What could not be written is lost, so there is nothing to try again. */
static gboolean
bring_out (gpointer data)
{
  StrandTraceMiddleware *self = data;
  g_autoptr(GError) error = NULL;
  GString *spans, *line;
  guint64 n_spans;

  g_mutex_lock (&self->lock);
  spans = self->spans;
  n_spans = self->n_spans;
  self->spans = g_string_new (NULL);
  self->n_spans = 0;
  g_mutex_unlock (&self->lock);

  if (spans->len > 0)
    {
      line = trace_make_line (self->service, spans->str);
      append_to_file (self, line, &error);
      g_string_free (line, TRUE);
    }
  g_mutex_lock (&self->lock);
  self->exported = error == NULL;
  if (error != NULL)
    self->n_lost += n_spans;
  g_mutex_unlock (&self->lock);
  g_string_free (spans, TRUE);
  tell_of_lost (self, error);
  return TRUE;
}

static void
add_span (StrandTraceMiddleware *self, const TraceSpan *span)
{
  GString *json = g_string_sized_new (512);
  gboolean half_full;

  trace_append_span (json, span);
  g_mutex_lock (&self->lock);
  if ((gint64) (self->spans->len + json->len) > self->max_buffer_bytes)
    self->n_lost++;
  else
    {
      if (self->spans->len > 0)
        g_string_append_c (self->spans, ',');
      g_string_append_len (self->spans, json->str, (gssize) json->len);
      self->n_spans++;
    }
  half_full = (gint64) self->spans->len > self->max_buffer_bytes / 2;
  g_mutex_unlock (&self->lock);
  g_string_free (json, TRUE);
  if (half_full)
    exporter_hurry (self->exporter);
  else
    exporter_touch (self->exporter);
}

static gboolean
flush (StrandTraceMiddleware *self)
{
  gboolean exported;

  if (self->exporter == NULL)
    return FALSE;
  exporter_flush (self->exporter);
  g_mutex_lock (&self->lock);
  exported = self->exported;
  g_mutex_unlock (&self->lock);
  return exported;
}

/* --- where a call belongs ------------------------------------------------------------------------------ */

/* A context below what the call's headers say, or of a new trace. @state: what goes with it, or NULL. */
static void
continue_or_start (StrandTraceMiddleware *self, StrandCall *call, TraceContext *context,
                   char parent_id[TRACE_SPAN_DIGITS + 1], char **state)
{
  g_autofree char *parent = strand_call_dup_header (call, PARENT_HEADER);

  *state = NULL;
  if (parent != NULL && trace_context_parse (parent, context))
    {
      memcpy (parent_id, context->span_id, TRACE_SPAN_DIGITS + 1);
      *state = strand_call_dup_header (call, STATE_HEADER);
      if (*state != NULL && !trace_state_is_usable (*state))
        g_clear_pointer (state, g_free);
      if (!self->parent_based)
        context->sampled = trace_id_is_sampled (context->trace_id, self->ratio);
    }
  else
    {
      parent_id[0] = '\0';
      trace_new_trace_id (context->trace_id);
      context->sampled = trace_id_is_sampled (context->trace_id, self->ratio);
    }
  trace_new_span_id (context->span_id);
}

static void
run_free (gpointer data)
{
  Run *run = data;

  g_free (run->state);
  g_free (run);
}

/* --- the border ---------------------------------------------------------------------------------------- */

static StrandVerdict
refuse_for_trouble (StrandTraceMiddleware *self, GError **error)
{
  g_propagate_error (error, g_error_copy (self->trouble));
  return STRAND_VERDICT_REFUSE;
}

static StrandVerdict
strand_trace_middleware_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value,
                                GError **error)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (middleware);
  gint64 now_us = strand_clock_now_us ();
  TraceSpan span = { .kind = TRACE_KIND_PRODUCER, .start_us = now_us, .end_us = now_us };
  g_autofree char *state = NULL;
  g_autofree char *header = NULL;
  g_autofree char *drop_state = NULL;

  if (self->trouble != NULL)
    return refuse_for_trouble (self, error);
  continue_or_start (self, call, &span.context, span.parent_id, &state);
  header = trace_context_to_string (&span.context);
  strand_call_set_header (call, PARENT_HEADER, header);
  drop_state = state == NULL ? strand_call_dup_header (call, STATE_HEADER) : NULL;
  /* A state without its trace, or one that nobody understands, must not go on; an empty one says nothing. */
  if (drop_state != NULL)
    strand_call_set_header (call, STATE_HEADER, "");
  if (!span.context.sampled)
    return STRAND_VERDICT_CONTINUE;

  span.state = state;
  span.function = strand_call_get_function_name (call);
  span.key = strand_call_get_key (call);
  add_span (self, &span);
  return STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
strand_trace_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                                GError **error)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (middleware);
  Run *run;

  if (self->trouble != NULL)
    return refuse_for_trouble (self, error);
  run = g_new0 (Run, 1);
  continue_or_start (self, attempt, &run->context, run->parent_id, &run->state);
  run->start_us = strand_clock_now_us ();
  if (run->context.sampled)
    strand_call_set_data (attempt, self, run, run_free);
  else
    run_free (run);
  return STRAND_VERDICT_CONTINUE;
}

/* The span goes from where the function started, or, where it never did, from where it was let in. */
static void
end_run (StrandTraceMiddleware *self, StrandCall *attempt, const GError *error, gboolean will_retry)
{
  Run *run = strand_call_get_data (attempt, self);
  TraceSpan span = { .kind = TRACE_KIND_CONSUMER };
  gint64 started_us, completed_us;

  if (run == NULL)
    return;
  strand_call_get_times (attempt, NULL, &started_us, &completed_us);
  span.context = run->context;
  memcpy (span.parent_id, run->parent_id, sizeof span.parent_id);
  span.state = run->state;
  span.function = strand_call_get_function_name (attempt);
  span.key = strand_call_get_key (attempt);
  span.attempt = strand_call_get_attempt (attempt);
  span.start_us = started_us > 0 ? started_us : run->start_us;
  span.end_us = completed_us > 0 ? completed_us : strand_clock_now_us ();
  span.status = strand_status_to_string (strand_call_get_status (attempt));
  span.error = error;
  span.will_retry = will_retry;
  add_span (self, &span);
}

static gboolean
strand_trace_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value,
                               GError **error)
{
  end_run (STRAND_TRACE_MIDDLEWARE (middleware), attempt, NULL, FALSE);
  return TRUE;
}

static void
strand_trace_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                                  gboolean will_retry)
{
  end_run (STRAND_TRACE_MIDDLEWARE (middleware), attempt, error, will_retry);
}

static void
strand_trace_middleware_close (StrandMiddleware *middleware)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (middleware);

  if (self->exporter != NULL)
    exporter_drain (self->exporter);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = strand_trace_middleware_submit;
  iface->before = strand_trace_middleware_before;
  iface->after = strand_trace_middleware_after;
  iface->on_error = strand_trace_middleware_on_error;
  iface->close = strand_trace_middleware_close;
}

static gboolean
strand_trace_middleware_initable (GInitable *initable, GCancellable *cancellable, GError **error)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (initable);

  if (self->trouble == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->trouble));
  return FALSE;
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_trace_middleware_initable;
}

/* --- settings ------------------------------------------------------------------------------------------ */

static void
strand_trace_middleware_constructed (GObject *object)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (object);

  if (self->service == NULL || *self->service == '\0')
    {
      g_free (self->service);
      self->service = g_strdup (g_get_prgname () != NULL ? g_get_prgname () : "strand");
    }
  if (self->file != NULL)
    self->exporter = exporter_new ("strand-trace", self->interval_us, bring_out, self);
  else
    g_set_error_literal (&self->trouble, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                         "'file' is not set: set it to the file that spans are appended to");
  G_OBJECT_CLASS (strand_trace_middleware_parent_class)->constructed (object);
}

static void
strand_trace_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FILE:
      g_value_set_string (value, self->file);
      break;
    case PROP_SERVICE:
      g_value_set_string (value, self->service);
      break;
    case PROP_RATIO:
      g_value_set_double (value, self->ratio);
      break;
    case PROP_PARENT_BASED:
      g_value_set_boolean (value, self->parent_based);
      break;
    case PROP_INTERVAL:
      g_value_set_int64 (value, self->interval_us);
      break;
    case PROP_MAX_BUFFER:
      g_value_set_int64 (value, self->max_buffer_bytes);
      break;
    case PROP_LOST:
      g_mutex_lock (&self->lock);
      g_value_set_uint64 (value, self->n_lost);
      g_mutex_unlock (&self->lock);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_trace_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FILE:
      /* Later changes of folder do not move it. */
      self->file = g_value_get_string (value) != NULL && *g_value_get_string (value) != '\0'
                       ? g_canonicalize_filename (g_value_get_string (value), NULL)
                       : NULL;
      break;
    case PROP_SERVICE:
      self->service = g_value_dup_string (value);
      break;
    case PROP_RATIO:
      self->ratio = g_value_get_double (value);
      break;
    case PROP_PARENT_BASED:
      self->parent_based = g_value_get_boolean (value);
      break;
    case PROP_INTERVAL:
      self->interval_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_BUFFER:
      self->max_buffer_bytes = g_value_get_int64 (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_trace_middleware_finalize (GObject *object)
{
  StrandTraceMiddleware *self = STRAND_TRACE_MIDDLEWARE (object);

  g_clear_pointer (&self->exporter, exporter_free);
  g_clear_error (&self->trouble);
  g_string_free (self->spans, TRUE);
  g_free (self->file);
  g_free (self->service);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_trace_middleware_parent_class)->finalize (object);
}

static void
strand_trace_middleware_class_init (StrandTraceMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->constructed = strand_trace_middleware_constructed;
  object_class->get_property = strand_trace_middleware_get_property;
  object_class->set_property = strand_trace_middleware_set_property;
  object_class->finalize = strand_trace_middleware_finalize;

  props[PROP_FILE] =
      g_param_spec_string ("file", NULL, "File that spans are appended to, as lines of OTLP/JSON", NULL,
                           fixed | STRAND_PARAM_REQUIRED);
  props[PROP_SERVICE] =
      g_param_spec_string ("service", NULL, "The service's name; the program's by default", NULL, fixed);
  props[PROP_RATIO] =
      g_param_spec_double ("ratio", NULL, "Which share of the traces begun here is written", 0, 1, 1, fixed);
  props[PROP_PARENT_BASED] = g_param_spec_boolean (
      "parent-based", NULL, "Whether a trace begun elsewhere is written if it is there, whatever the ratio",
      TRUE, fixed);
  props[PROP_INTERVAL] =
      g_param_spec_int64 ("interval", NULL, "How soon the file has what is new", G_TIME_SPAN_MILLISECOND,
                          G_MAXINT64, DEFAULT_INTERVAL_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_BUFFER] = g_param_spec_int64 (
      "max-buffer", NULL, "How much may wait for being written; what comes then is lost and counted", 4096,
      1024 * 1024 * 1024, DEFAULT_MAX_BUFFER, fixed | STRAND_PARAM_SIZE);
  props[PROP_LOST] = g_param_spec_uint64 ("lost", NULL, "How many spans have been lost", 0, G_MAXUINT64, 0,
                                          (GParamFlags) (G_PARAM_READABLE | G_PARAM_STATIC_STRINGS));
  g_object_class_install_properties (object_class, N_PROPS, props);

  /* Writes what there is now; blocks. Returns whether that worked. */
  g_signal_new_class_handler ("flush", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST | G_SIGNAL_ACTION,
                              G_CALLBACK (flush), NULL, NULL, NULL, G_TYPE_BOOLEAN, 0);
}

static void
strand_trace_middleware_init (StrandTraceMiddleware *self)
{
  self->spans = g_string_new (NULL);
  self->exported = TRUE;
  g_mutex_init (&self->lock);
}

STRAND_PLUGIN_DEFINE ("trace-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("trace", StrandTraceMiddleware,
                                                  strand_trace_middleware_get_type,
                                                  "Writes a span for each call and each run of one"))
