/* sample-middleware.c — lets so many calls run at once, and refuses the others.
 *
 * It counts in `before`, and out again in `after` or `on_error`: of these exactly one comes for every
 * `before`, also for one that has refused, so a call that was counted carries a mark. The count is the only
 * state, and atomic, so every method may run on any thread. SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

#define DEFAULT_MAX_CALLS 1000

#define SAMPLE_TYPE_MIDDLEWARE (sample_middleware_get_type ())
G_DECLARE_FINAL_TYPE (SampleMiddleware, sample_middleware, SAMPLE, MIDDLEWARE, GObject)

struct _SampleMiddleware
{
  GObject parent_instance;

  int max_calls; /* set at construction */
  int n_running; /* atomic */
};

enum
{
  PROP_MAX_CALLS = 1,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (SampleMiddleware, sample_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init))

static StrandVerdict
sample_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  SampleMiddleware *self = SAMPLE_MIDDLEWARE (middleware);

  if (g_atomic_int_add (&self->n_running, 1) < self->max_calls)
    {
      strand_call_set_data (attempt, self, self, NULL);
      return STRAND_VERDICT_CONTINUE;
    }
  g_atomic_int_add (&self->n_running, -1);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "%d calls run, which is the limit",
               self->max_calls);
  return STRAND_VERDICT_REFUSE;
}

static void
leave (SampleMiddleware *self, StrandCall *attempt)
{
  if (strand_call_get_data (attempt, self) != NULL)
    g_atomic_int_add (&self->n_running, -1);
}

static gboolean
sample_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value, GError **error)
{
  leave (SAMPLE_MIDDLEWARE (middleware), attempt);
  return TRUE;
}

static void
sample_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                            gboolean will_retry)
{
  leave (SAMPLE_MIDDLEWARE (middleware), attempt);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->before = sample_middleware_before;
  iface->after = sample_middleware_after;
  iface->on_error = sample_middleware_on_error;
}

static void
sample_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SampleMiddleware *self = SAMPLE_MIDDLEWARE (object);

  switch (id)
    {
    case PROP_MAX_CALLS:
      self->max_calls = g_value_get_int (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SampleMiddleware *self = SAMPLE_MIDDLEWARE (object);

  switch (id)
    {
    case PROP_MAX_CALLS:
      g_value_set_int (value, self->max_calls);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_middleware_class_init (SampleMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = sample_middleware_set_property;
  object_class->get_property = sample_middleware_get_property;

  props[PROP_MAX_CALLS] = g_param_spec_int ("max-calls", NULL, "How many calls may run at once", 1, G_MAXINT,
                                            DEFAULT_MAX_CALLS, STRAND_PARAM_CONFIG);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
sample_middleware_init (SampleMiddleware *self)
{
}

STRAND_PLUGIN_DEFINE ("sample-middleware", "0.1", "0BSD",
                      STRAND_PROVIDES_MIDDLEWARE ("sample", SampleMiddleware, sample_middleware_get_type,
                                                  "Lets so many calls run at once, and refuses the others"))
