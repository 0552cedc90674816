/* logging-middleware.c — says in GLib's log what is attempted and what came of it.
 *
 * One line when an attempt starts, one when it ends, each with fields that a journal can be searched by:
 * STRAND_KEY, STRAND_FUNCTION, STRAND_ATTEMPT, STRAND_STATUS and, at the end, STRAND_DURATION_US. Levels stop
 * at warning: an error of G_LOG_LEVEL_ERROR would abort the program, and a failed call is no reason for that.
 * Arguments are left out unless asked for, because they may hold what nobody else should read.
 *
 * Where there are too many calls for that, a share of them is logged: all lines of a call or none, because
 * its key decides. What failed, and what took too long, is logged in any case.
 *
 * Settings are fixed at construction and are the only state, so every method may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include "logging-arguments.h"

#define STRAND_TYPE_LOGGING_MIDDLEWARE (strand_logging_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandLoggingMiddleware, strand_logging_middleware, STRAND, LOGGING_MIDDLEWARE, GObject)

/* Arguments above this are named by type and size: a log line is for reading, and printing megabytes takes
 * seconds. */
#define MAX_ARGUMENTS_BYTES 1024

struct _StrandLoggingMiddleware
{
  GObject parent_instance;

  GLogLevelFlags level; /* set at construction, as all below */
  char *domain;
  gboolean arguments;
  GStrv redact;
  gint64 slow_us; /* -1 for never */
  double sample;
};

typedef enum
{
  PROP_LEVEL = 1,
  PROP_DOMAIN,
  PROP_ARGUMENTS,
  PROP_REDACT,
  PROP_SLOW,
  PROP_SAMPLE,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

/* Room for every field that a line may have. */
typedef struct
{
  GLogLevelFlags level;
  GLogField fields[10];
  gsize n_fields;
  char attempt[16];
  char duration[24];
} Line;

static void middleware_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandLoggingMiddleware, strand_logging_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init))

static GType
level_get_type (void)
{
  static const GEnumValue values[] = {
    { G_LOG_LEVEL_DEBUG, "G_LOG_LEVEL_DEBUG", "debug" },
    { G_LOG_LEVEL_INFO, "G_LOG_LEVEL_INFO", "info" },
    { G_LOG_LEVEL_MESSAGE, "G_LOG_LEVEL_MESSAGE", "message" },
    { G_LOG_LEVEL_WARNING, "G_LOG_LEVEL_WARNING", "warning" },
    { 0, NULL, NULL },
  };
  static gsize type;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("StrandLoggingLevel", values));
  return type;
}

/* As syslog counts, which is what the journal's PRIORITY holds. */
static const char *
priority_of (GLogLevelFlags level)
{
  switch (level)
    {
    case G_LOG_LEVEL_WARNING:
      return "4";
    case G_LOG_LEVEL_MESSAGE:
      return "5";
    case G_LOG_LEVEL_INFO:
      return "6";
    default:
      return "7";
    }
}

static void
add_field (Line *line, const char *name, const char *value)
{
  g_assert (line->n_fields < G_N_ELEMENTS (line->fields));
  line->fields[line->n_fields++] = (GLogField){ name, value, -1 };
}

/* What every line says; its texts must outlive it. */
static void
start_line (Line *line, StrandLoggingMiddleware *self, GLogLevelFlags level, StrandCall *attempt,
            const char *status)
{
  line->level = level;
  line->n_fields = 0;
  g_snprintf (line->attempt, sizeof line->attempt, "%u", strand_call_get_attempt (attempt));
  add_field (line, "PRIORITY", priority_of (level));
  if (self->domain != NULL)
    add_field (line, "GLIB_DOMAIN", self->domain);
  add_field (line, "STRAND_KEY", strand_call_get_key (attempt));
  add_field (line, "STRAND_FUNCTION", strand_call_get_function_name (attempt));
  add_field (line, "STRAND_ATTEMPT", line->attempt);
  add_field (line, "STRAND_STATUS", status);
}

static void
write_line (Line *line, const char *message)
{
  add_field (line, "MESSAGE", message);
  g_log_structured_array (line->level, line->fields, line->n_fields);
}

/* Whether this call is one of the share: the same answer for all lines of a call, in whatever process. The
 * hash is mixed (as MurmurHash3 ends) because keys that count up hash to neighbours. */
static gboolean
is_in_sample (StrandLoggingMiddleware *self, StrandCall *attempt)
{
  guint32 hash;

  if (self->sample >= 1)
    return TRUE;
  hash = g_str_hash (strand_call_get_key (attempt));
  hash = (hash ^ hash >> 16) * 0x85ebca6bu;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
  hash ^= hash >> 16;
  return hash < self->sample * 4294967296.0;
}

static char *
describe_arguments (StrandLoggingMiddleware *self, StrandCall *attempt)
{
  GVariant *arguments = strand_call_get_arguments (attempt);

  if (arguments == NULL)
    return g_strdup ("()");
  if (g_variant_get_size (arguments) > MAX_ARGUMENTS_BYTES)
    return g_strdup_printf ("%" G_GSIZE_FORMAT " bytes of type '%s'", g_variant_get_size (arguments),
                            g_variant_get_type_string (arguments));
  return logging_print_arguments (strand_call_get_function (attempt), arguments,
                                  (const char *const *) self->redact);
}

/* How long the attempt ran; 0 if its function never did. A clock that was set back meanwhile makes no
 * negative time. */
static gint64
duration_of (StrandCall *attempt)
{
  gint64 started_us, completed_us;

  strand_call_get_times (attempt, NULL, &started_us, &completed_us);
  return started_us > 0 && completed_us > started_us ? completed_us - started_us : 0;
}

static void
log_end (StrandLoggingMiddleware *self, StrandCall *attempt, StrandStatus status, const char *outcome)
{
  gint64 duration_us = duration_of (attempt);
  gboolean slow = self->slow_us >= 0 && duration_us > self->slow_us;
  g_autofree char *time = NULL;
  g_autofree char *message = NULL;
  Line line;

  if (!slow && status != STRAND_STATUS_FAILED && !is_in_sample (self, attempt))
    return;
  time = strand_duration_to_string (duration_us);
  message = g_strdup_printf ("'%s' %s: attempt %u %s after %s%s%s%s", strand_call_get_function_name (attempt),
                             strand_call_get_key (attempt), strand_call_get_attempt (attempt),
                             strand_status_to_string (status), time, slow ? ", which is slow" : "",
                             *outcome != '\0' ? ": " : "", outcome);
  start_line (&line, self, slow ? G_LOG_LEVEL_WARNING : self->level, attempt,
              strand_status_to_string (status));
  g_snprintf (line.duration, sizeof line.duration, "%" G_GINT64_FORMAT, duration_us);
  add_field (&line, "STRAND_DURATION_US", line.duration);
  if (slow)
    add_field (&line, "STRAND_SLOW", "1");
  write_line (&line, message);
}

static void
log_start (StrandLoggingMiddleware *self, StrandCall *attempt)
{
  g_autofree char *arguments = self->arguments ? describe_arguments (self, attempt) : NULL;
  g_autofree char *message =
      g_strdup_printf ("'%s' %s: attempt %u starts%s%s", strand_call_get_function_name (attempt),
                       strand_call_get_key (attempt), strand_call_get_attempt (attempt),
                       arguments != NULL ? " with " : "", arguments != NULL ? arguments : "");
  Line line;

  start_line (&line, self, self->level, attempt, strand_status_to_string (STRAND_STATUS_RUNNING));
  if (arguments != NULL)
    add_field (&line, "STRAND_ARGUMENTS", arguments);
  write_line (&line, message);
}

static StrandVerdict
strand_logging_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                                  GError **error)
{
  StrandLoggingMiddleware *self = STRAND_LOGGING_MIDDLEWARE (middleware);

  if (is_in_sample (self, attempt))
    log_start (self, attempt);
  return STRAND_VERDICT_CONTINUE;
}

static gboolean
strand_logging_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value,
                                 GError **error)
{
  log_end (STRAND_LOGGING_MIDDLEWARE (middleware), attempt, STRAND_STATUS_COMPLETED, "");
  return TRUE;
}

static void
strand_logging_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                                    gboolean will_retry)
{
  gboolean cancelled = g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_autofree char *outcome =
      g_strconcat (error->message, will_retry ? " (another attempt follows)" : "", NULL);

  log_end (STRAND_LOGGING_MIDDLEWARE (middleware), attempt,
           cancelled ? STRAND_STATUS_CANCELLED : STRAND_STATUS_FAILED, outcome);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->before = strand_logging_middleware_before;
  iface->after = strand_logging_middleware_after;
  iface->on_error = strand_logging_middleware_on_error;
}

static void
strand_logging_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandLoggingMiddleware *self = STRAND_LOGGING_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_LEVEL:
      self->level = (GLogLevelFlags) g_value_get_enum (value);
      break;
    case PROP_DOMAIN:
      g_free (self->domain);
      self->domain = g_value_dup_string (value);
      break;
    case PROP_ARGUMENTS:
      self->arguments = g_value_get_boolean (value);
      break;
    case PROP_REDACT:
      self->redact = g_value_dup_boxed (value);
      break;
    case PROP_SLOW:
      self->slow_us = g_value_get_int64 (value);
      break;
    case PROP_SAMPLE:
      self->sample = g_value_get_double (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_logging_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandLoggingMiddleware *self = STRAND_LOGGING_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_LEVEL:
      g_value_set_enum (value, (int) self->level);
      break;
    case PROP_DOMAIN:
      g_value_set_string (value, self->domain);
      break;
    case PROP_ARGUMENTS:
      g_value_set_boolean (value, self->arguments);
      break;
    case PROP_REDACT:
      g_value_set_boxed (value, self->redact);
      break;
    case PROP_SLOW:
      g_value_set_int64 (value, self->slow_us);
      break;
    case PROP_SAMPLE:
      g_value_set_double (value, self->sample);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_logging_middleware_finalize (GObject *object)
{
  StrandLoggingMiddleware *self = STRAND_LOGGING_MIDDLEWARE (object);

  g_free (self->domain);
  g_strfreev (self->redact);
  G_OBJECT_CLASS (strand_logging_middleware_parent_class)->finalize (object);
}

static void
strand_logging_middleware_class_init (StrandLoggingMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_logging_middleware_set_property;
  object_class->get_property = strand_logging_middleware_get_property;
  object_class->finalize = strand_logging_middleware_finalize;

  props[PROP_LEVEL] = g_param_spec_enum ("level", NULL, "How loud: debug, info, message or warning",
                                         level_get_type (), G_LOG_LEVEL_DEBUG, fixed);
  props[PROP_DOMAIN] = g_param_spec_string ("domain", NULL, "The log domain", G_LOG_DOMAIN, fixed);
  props[PROP_ARGUMENTS] = g_param_spec_boolean (
      "arguments", NULL, "Whether arguments are logged, but for what 'redact' names", FALSE, fixed);
  props[PROP_REDACT] = g_param_spec_boxed (
      "redact", NULL, "Names of parameters and keywords whose values are not logged", G_TYPE_STRV, fixed);
  props[PROP_SLOW] = g_param_spec_int64 (
      "slow", NULL, "How long an attempt may run before its end is a warning, whatever level and sample say",
      -1, G_MAXINT64, -1, fixed | STRAND_PARAM_DURATION);
  props[PROP_SAMPLE] = g_param_spec_double (
      "sample", NULL, "Which share of the calls is logged, from 0 to 1; failed attempts are in any case", 0,
      1, 1, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_logging_middleware_init (StrandLoggingMiddleware *self)
{
}

STRAND_PLUGIN_DEFINE ("logging-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("logging", StrandLoggingMiddleware,
                                                  strand_logging_middleware_get_type,
                                                  "Logs the start and the end of every attempt"))
