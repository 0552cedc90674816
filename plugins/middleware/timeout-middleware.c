/* timeout-middleware.c — how long attempts may run whose caller did not say.
 *
 * It stands between the two who may say otherwise: what a call sets itself stays, "no limit" included, and a
 * backend's or reader's own timeout is for what neither sets. A call that is made here is told at submit, so
 * that its record says so; one that a reader found is told before it runs.
 *
 * Settings are fixed at construction and are the only state, so every method may run on any thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"

#define STRAND_TYPE_TIMEOUT_MIDDLEWARE (strand_timeout_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandTimeoutMiddleware, strand_timeout_middleware, STRAND, TIMEOUT_MIDDLEWARE, GObject)

struct _StrandTimeoutMiddleware
{
  GObject parent_instance;

  GStrv functions; /* set at construction, as the next */
  gint64 timeout_us;
};

typedef enum
{
  PROP_TIMEOUT = 1,
  PROP_FUNCTIONS,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandTimeoutMiddleware, strand_timeout_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

static StrandVerdict
set_timeout (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  StrandTimeoutMiddleware *self = STRAND_TIMEOUT_MIDDLEWARE (middleware);
  StrandOptions *options;

  if (!call_group_matches (self->functions, call))
    return STRAND_VERDICT_CONTINUE;
  options = strand_call_get_options (call);
  if (strand_options_get_timeout (options) == STRAND_UNSET)
    strand_options_set_timeout (options, self->timeout_us);
  return STRAND_VERDICT_CONTINUE;
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = set_timeout;
  iface->before = set_timeout;
}

static gboolean
strand_timeout_middleware_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  return call_group_check_functions (STRAND_TIMEOUT_MIDDLEWARE (initable)->functions, error);
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_timeout_middleware_initable_init;
}

static void
strand_timeout_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandTimeoutMiddleware *self = STRAND_TIMEOUT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_FUNCTIONS:
      self->functions = g_value_dup_boxed (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_timeout_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandTimeoutMiddleware *self = STRAND_TIMEOUT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->functions);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_timeout_middleware_finalize (GObject *object)
{
  g_strfreev (STRAND_TIMEOUT_MIDDLEWARE (object)->functions);
  G_OBJECT_CLASS (strand_timeout_middleware_parent_class)->finalize (object);
}

static void
strand_timeout_middleware_class_init (StrandTimeoutMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_timeout_middleware_set_property;
  object_class->get_property = strand_timeout_middleware_get_property;
  object_class->finalize = strand_timeout_middleware_finalize;

  props[PROP_TIMEOUT] = g_param_spec_int64 ("timeout", NULL, "How long an attempt may run", -1, G_MAXINT64,
                                            -1, fixed | STRAND_PARAM_DURATION | STRAND_PARAM_REQUIRED);
  props[PROP_FUNCTIONS] = g_param_spec_boxed ("functions", NULL, "Patterns of the functions meant; none: all",
                                              G_TYPE_STRV, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_timeout_middleware_init (StrandTimeoutMiddleware *self)
{
}

STRAND_PLUGIN_DEFINE (
    "timeout-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_MIDDLEWARE ("timeout", StrandTimeoutMiddleware, strand_timeout_middleware_get_type,
                                "Says how long calls may run that do not say so themselves"))
