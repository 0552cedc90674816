/* allow-middleware.c — lets through only the functions that the keyfile lists.
 *
 * It decides in `submit`, so what it refuses leaves no record. The list is fixed at construction and is the only state,
 * so the method may run on any thread.                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

#define EXAMPLE_TYPE_ALLOW_MIDDLEWARE (example_allow_middleware_get_type ())
G_DECLARE_FINAL_TYPE (ExampleAllowMiddleware, example_allow_middleware, EXAMPLE, ALLOW_MIDDLEWARE, GObject)

struct _ExampleAllowMiddleware
{
  GObject parent_instance;

  GStrv functions;
};

enum
{
  PROP_FUNCTIONS = 1,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ExampleAllowMiddleware, example_allow_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init))

static StrandVerdict
example_allow_middleware_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  ExampleAllowMiddleware *self = EXAMPLE_ALLOW_MIDDLEWARE (middleware);
  const char *name = strand_call_get_function_name (call);

  if (g_strv_contains ((const char *const *) self->functions, name))
    return STRAND_VERDICT_CONTINUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "'%s' is not one of its functions", name);
  return STRAND_VERDICT_REFUSE;
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = example_allow_middleware_submit;
}

static void
example_allow_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  ExampleAllowMiddleware *self = EXAMPLE_ALLOW_MIDDLEWARE (object);

  switch (id)
    {
    case PROP_FUNCTIONS:
      g_strfreev (self->functions);
      self->functions = g_value_get_boxed (value) != NULL ? g_value_dup_boxed (value) : g_new0 (char *, 1);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
example_allow_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  ExampleAllowMiddleware *self = EXAMPLE_ALLOW_MIDDLEWARE (object);

  switch (id)
    {
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->functions);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
example_allow_middleware_finalize (GObject *object)
{
  g_strfreev (EXAMPLE_ALLOW_MIDDLEWARE (object)->functions);
  G_OBJECT_CLASS (example_allow_middleware_parent_class)->finalize (object);
}

static void
example_allow_middleware_class_init (ExampleAllowMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = example_allow_middleware_set_property;
  object_class->get_property = example_allow_middleware_get_property;
  object_class->finalize = example_allow_middleware_finalize;

  props[PROP_FUNCTIONS] = g_param_spec_boxed ("functions", NULL, "Names of the functions that may be called",
                                              G_TYPE_STRV, STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
example_allow_middleware_init (ExampleAllowMiddleware *self)
{
}

STRAND_PLUGIN_DEFINE ("allow-middleware", "1.0", "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("allow", ExampleAllowMiddleware, example_allow_middleware_get_type,
                                                  "Lets through only the functions listed"))
