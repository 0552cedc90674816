/* retry-middleware.c — how failures are retried of calls that did not say, and which are worth it.
 *
 * It retries nothing itself: it tells whoever carries out the call. How many retries is an option, set where
 * the caller has not; how long to wait and which errors count goes along in a header (STRAND_HEADER_RETRY),
 * because the process that runs the call may be another one. Each setting is taken from the first who sets
 * it: the call, the outermost such middleware, the next, the backend. A call that is made here is told at
 * submit, so that its record says so; one that a reader found is told before it runs.
 *
 * Settings are fixed at construction and are the only state, so every method may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"

#include <string.h>

#define STRAND_TYPE_RETRY_MIDDLEWARE (strand_retry_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandRetryMiddleware, strand_retry_middleware, STRAND, RETRY_MIDDLEWARE, GObject)

#define DEFAULT_RETRIES 3

struct _StrandRetryMiddleware
{
  GObject parent_instance;

  GStrv functions; /* set at construction, as all below */
  guint retries;
  gint64 delay_us; /* -1: the backend's, as the next */
  gint64 max_delay_us;
  GStrv only_for;
  GStrv never_for;
  GPtrArray *words; /* of the header, each `NAME=VALUE` */
};

typedef enum
{
  PROP_FUNCTIONS = 1,
  PROP_RETRIES,
  PROP_DELAY,
  PROP_MAX_DELAY,
  PROP_ONLY_FOR,
  PROP_NEVER_FOR,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandRetryMiddleware, strand_retry_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

static void
add_duration (GPtrArray *words, const char *name, gint64 duration_us)
{
  if (duration_us >= 0)
    g_ptr_array_add (words, g_strdup_printf ("%s=%" G_GINT64_FORMAT, name, duration_us));
}

static void
add_list (GPtrArray *words, const char *name, char **items)
{
  g_autofree char *list = items != NULL ? g_strjoinv ("|", items) : NULL;

  if (list != NULL && *list != '\0')
    g_ptr_array_add (words, g_strdup_printf ("%s=%s", name, list));
}

static gboolean
says (char **said, const char *word)
{
  gsize length = (gsize) (strchr (word, '=') - word) + 1;

  for (guint i = 0; said[i] != NULL; i++)
    if (strncmp (said[i], word, length) == 0)
      return TRUE;
  return FALSE;
}

/* Adds what the header does not say yet. */
static void
complete_header (StrandRetryMiddleware *self, StrandCall *call)
{
  g_autoptr(GVariant) headers = strand_call_dup_headers (call);
  const char *there = "";
  g_auto(GStrv) said = NULL;
  g_autoptr(GString) header = NULL;

  g_variant_lookup (headers, STRAND_HEADER_RETRY, "&s", &there);
  said = g_strsplit (there, " ", -1);
  header = g_string_new (there);
  for (guint i = 0; i < self->words->len; i++)
    if (!says (said, self->words->pdata[i]))
      g_string_append_printf (header, "%s%s", header->len > 0 ? " " : "", (char *) self->words->pdata[i]);
  if (strcmp (header->str, there) != 0)
    strand_call_set_header (call, STRAND_HEADER_RETRY, header->str);
}

static StrandVerdict
set_retries (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (middleware);
  StrandOptions *options;

  if (!call_group_matches (self->functions, call))
    return STRAND_VERDICT_CONTINUE;
  options = strand_call_get_options (call);
  if (strand_options_get_retries (options) < 0)
    strand_options_set_retries (options, (int) self->retries);
  if (self->words->len > 0)
    complete_header (self, call);
  return STRAND_VERDICT_CONTINUE;
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = set_retries;
  iface->before = set_retries;
}

/* `DOMAIN` or `DOMAIN:CODE`; spaces and bars have another meaning where it goes. */
static gboolean
check_items (const char *name, char **items, GError **error)
{
  for (guint i = 0; items != NULL && items[i] != NULL; i++)
    {
      const char *colon = strchr (items[i], ':');

      if (*items[i] != '\0' && strpbrk (items[i], " |=") == NULL && colon != items[i] &&
          (colon == NULL || (colon[1] != '\0' && strchr (colon + 1, ':') == NULL)))
        continue;
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'%s' has '%s', which names no error; write DOMAIN or DOMAIN:CODE, such as "
                   "'g-io-error-quark:timed-out' or 'strand-error-quark'",
                   name, items[i]);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_delays (StrandRetryMiddleware *self, GError **error)
{
  g_autofree char *delay = strand_duration_to_string (self->delay_us);
  g_autofree char *max_delay = strand_duration_to_string (self->max_delay_us);

  if (self->max_delay_us < 0 || self->delay_us <= self->max_delay_us)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'delay' is %s and 'max-delay' only %s; raise 'max-delay' or lower 'delay'", delay, max_delay);
  return FALSE;
}

static gboolean
strand_retry_middleware_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (initable);

  return call_group_check_functions (self->functions, error) && check_delays (self, error) &&
         check_items ("only-for", self->only_for, error) && check_items ("never-for", self->never_for, error);
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_retry_middleware_initable_init;
}

static void
strand_retry_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FUNCTIONS:
      self->functions = g_value_dup_boxed (value);
      break;
    case PROP_RETRIES:
      self->retries = g_value_get_uint (value);
      break;
    case PROP_DELAY:
      self->delay_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_DELAY:
      self->max_delay_us = g_value_get_int64 (value);
      break;
    case PROP_ONLY_FOR:
      self->only_for = g_value_dup_boxed (value);
      break;
    case PROP_NEVER_FOR:
      self->never_for = g_value_dup_boxed (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_retry_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->functions);
      break;
    case PROP_RETRIES:
      g_value_set_uint (value, self->retries);
      break;
    case PROP_DELAY:
      g_value_set_int64 (value, self->delay_us);
      break;
    case PROP_MAX_DELAY:
      g_value_set_int64 (value, self->max_delay_us);
      break;
    case PROP_ONLY_FOR:
      g_value_set_boxed (value, self->only_for);
      break;
    case PROP_NEVER_FOR:
      g_value_set_boxed (value, self->never_for);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_retry_middleware_constructed (GObject *object)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (object);

  add_duration (self->words, "delay", self->delay_us);
  add_duration (self->words, "max-delay", self->max_delay_us);
  add_list (self->words, "only-for", self->only_for);
  add_list (self->words, "never-for", self->never_for);
  G_OBJECT_CLASS (strand_retry_middleware_parent_class)->constructed (object);
}

static void
strand_retry_middleware_finalize (GObject *object)
{
  StrandRetryMiddleware *self = STRAND_RETRY_MIDDLEWARE (object);

  g_strfreev (self->functions);
  g_strfreev (self->only_for);
  g_strfreev (self->never_for);
  g_ptr_array_unref (self->words);
  G_OBJECT_CLASS (strand_retry_middleware_parent_class)->finalize (object);
}

static void
strand_retry_middleware_class_init (StrandRetryMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_retry_middleware_set_property;
  object_class->get_property = strand_retry_middleware_get_property;
  object_class->constructed = strand_retry_middleware_constructed;
  object_class->finalize = strand_retry_middleware_finalize;

  props[PROP_FUNCTIONS] = g_param_spec_boxed ("functions", NULL, "Patterns of the functions meant; none: all",
                                              G_TYPE_STRV, fixed);
  props[PROP_RETRIES] = g_param_spec_uint ("retries", NULL, "How many further attempts follow a failed one",
                                           0, G_MAXUINT16, DEFAULT_RETRIES, fixed);
  props[PROP_DELAY] = g_param_spec_int64 (
      "delay", NULL, "The longest wait before the first retry; doubles with each; none: the backend's", -1,
      G_MAXINT64, -1, fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_DELAY] =
      g_param_spec_int64 ("max-delay", NULL, "The longest wait before any retry; none: the backend's", -1,
                          G_MAXINT64, -1, fixed | STRAND_PARAM_DURATION);
  props[PROP_ONLY_FOR] = g_param_spec_boxed (
      "only-for", NULL, "Errors that are retried, DOMAIN or DOMAIN:CODE; none: all", G_TYPE_STRV, fixed);
  props[PROP_NEVER_FOR] = g_param_spec_boxed (
      "never-for", NULL, "Errors that are not retried, DOMAIN or DOMAIN:CODE", G_TYPE_STRV, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_retry_middleware_init (StrandRetryMiddleware *self)
{
  self->words = g_ptr_array_new_with_free_func (g_free);
}

STRAND_PLUGIN_DEFINE (
    "retry-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_MIDDLEWARE ("retry", StrandRetryMiddleware, strand_retry_middleware_get_type,
                                "Says how failures are retried of calls that do not say so"))
