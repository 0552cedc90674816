/* gearman-backend.c — calls that Gearman (gearman.org) hands to workers anywhere, with records of their own.
 *
 * A backend does not have to do everything itself. What Gearman has to offer is a place where calls run, which is a taskrunner
 * (gearman-runner.c). Records, middleware, retries, times and cancellation by key are `local`'s, which this backend is
 * made of: it passes on what it is asked, and `local` its calls to the runner. Workers are in gearman-worker.c.
 *
 * What Gearman cannot do shows in this: a job that a worker has can be stopped only if the worker listens, as ours does;
 * with any other, a cancelled call ends when its grace is over and the worker goes on in vain. And Gearman gives the
 * job of a worker that died to the next one, as often as its server's `--job-retries` says.
 *                                                       SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gearman-runner.h"

#define DEFAULT_SERVERS "127.0.0.1:4730"
#define DEFAULT_CONNECTIONS 16
#define DEFAULT_MAX_PENDING (4 * 1024 * 1024)
#define SECOND ((gint64) G_USEC_PER_SEC)

/* How long after the calls the connections may take. */
#define CLOSE_PATIENCE_US (10 * SECOND)

#define GEARMAN_TYPE_BACKEND (gearman_backend_get_type ())
G_DECLARE_FINAL_TYPE (GearmanBackend, gearman_backend, GEARMAN, BACKEND, GObject)

enum
{
  PROP_SERVERS = 1,
  PROP_CONNECTIONS,
  FIRST_OF_LOCAL, /* properties that are passed on */
  PROP_STORE = FIRST_OF_LOCAL,
  PROP_MIDDLEWARE,
  PROP_SERIALIZER,
  PROP_TIMEOUT,
  PROP_GRACE,
  PROP_RETRIES,
  PROP_RETRY_DELAY,
  PROP_RETRY_MAX_DELAY,
  PROP_MAX_PENDING,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

struct _GearmanBackend
{
  GObject parent_instance;

  GValue settings[N_PROPS]; /* set at construction, as the others */
  GearmanRunner *runner;
  StrandBackend *local; /* NULL if there is no such plugin */
  GError *error;        /* why */
};

static void backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (GearmanBackend, gearman_backend, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, backend_init))

static gboolean
gearman_backend_launch (StrandBackend *backend, StrandCall *call, GError **error)
{
  GearmanBackend *self = GEARMAN_BACKEND (backend);

  if (self->local != NULL)
    return STRAND_BACKEND_GET_IFACE (self->local)->launch (self->local, call, error);
  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

static StrandStore *
gearman_backend_get_store (StrandBackend *backend)
{
  return g_value_get_object (&GEARMAN_BACKEND (backend)->settings[PROP_STORE]);
}

static void
gearman_backend_cancel (StrandBackend *backend, StrandCall *call)
{
  GearmanBackend *self = GEARMAN_BACKEND (backend);

  STRAND_BACKEND_GET_IFACE (self->local)->cancel (self->local, call);
}

static gboolean
gearman_backend_close (StrandBackend *backend, gint64 deadline_us, GError **error)
{
  GearmanBackend *self = GEARMAN_BACKEND (backend);
  gboolean ended;

  if (self->local == NULL)
    return TRUE;
  ended = strand_backend_close (self->local, deadline_us, error);
  strand_taskrunner_close (STRAND_TASKRUNNER (self->runner), g_get_monotonic_time () + CLOSE_PATIENCE_US, NULL);
  return ended;
}

static GThread *
gearman_backend_get_thread (StrandBackend *backend)
{
  GearmanBackend *self = GEARMAN_BACKEND (backend);

  return self->local != NULL ? STRAND_BACKEND_GET_IFACE (self->local)->get_thread (self->local) : NULL;
}

static void
backend_init (StrandBackendInterface *iface)
{
  iface->launch = gearman_backend_launch;
  iface->get_store = gearman_backend_get_store;
  iface->cancel = gearman_backend_cancel;
  iface->close = gearman_backend_close;
  iface->get_thread = gearman_backend_get_thread;
}

static void
gearman_backend_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_value_copy (&GEARMAN_BACKEND (object)->settings[id], value);
}

static void
gearman_backend_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  GValue *setting = &GEARMAN_BACKEND (object)->settings[id];

  g_value_init (setting, G_VALUE_TYPE (value));
  g_value_copy (value, setting);
}

static void
gearman_backend_constructed (GObject *object)
{
  GearmanBackend *self = GEARMAN_BACKEND (object);
  GType local = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_BACKEND, "local", &self->error);
  const char *names[N_PROPS - FIRST_OF_LOCAL + 1] = { "taskrunner" };
  GValue values[N_PROPS - FIRST_OF_LOCAL + 1] = { G_VALUE_INIT };

  if (local != G_TYPE_INVALID)
    {
      self->runner = gearman_runner_new (g_value_get_string (&self->settings[PROP_SERVERS]),
                                         g_value_get_uint (&self->settings[PROP_CONNECTIONS]));
      g_value_init (&values[0], GEARMAN_TYPE_RUNNER);
      g_value_set_object (&values[0], self->runner);
      for (guint i = FIRST_OF_LOCAL; i < N_PROPS; i++)
        {
          names[i - FIRST_OF_LOCAL + 1] = props[i]->name;
          values[i - FIRST_OF_LOCAL + 1] = self->settings[i]; /* lent */
        }
      self->local = STRAND_BACKEND (g_object_new_with_properties (local, G_N_ELEMENTS (names), names, values));
      g_value_unset (&values[0]);
    }
  G_OBJECT_CLASS (gearman_backend_parent_class)->constructed (object);
}

/* Calls that are in flight go on: `local` holds itself until they have ended. */
static void
gearman_backend_finalize (GObject *object)
{
  GearmanBackend *self = GEARMAN_BACKEND (object);

  g_clear_object (&self->local);
  g_clear_object (&self->runner);
  g_clear_error (&self->error);
  for (guint i = 1; i < N_PROPS; i++)
    g_value_unset (&self->settings[i]);
  G_OBJECT_CLASS (gearman_backend_parent_class)->finalize (object);
}

static GParamSpec *
duration (const char *name, const char *help, gint64 shortest_us, gint64 default_us, GParamFlags flags)
{
  return g_param_spec_int64 (name, NULL, help, shortest_us, G_MAXINT64, default_us, flags | STRAND_PARAM_DURATION);
}

static void
gearman_backend_class_init (GearmanBackendClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags flags = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = gearman_backend_get_property;
  object_class->set_property = gearman_backend_set_property;
  object_class->constructed = gearman_backend_constructed;
  object_class->finalize = gearman_backend_finalize;

  props[PROP_SERVERS] =
      g_param_spec_string ("servers", NULL, "Gearman's job servers: HOST:PORT, with commas between", DEFAULT_SERVERS, flags);
  props[PROP_CONNECTIONS] = g_param_spec_uint ("connections", NULL, "How many calls Gearman may have at once", 1, G_MAXUINT16,
                                               DEFAULT_CONNECTIONS, flags);
  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where records are kept", STRAND_TYPE_STORE,
                                           flags | STRAND_PARAM_REQUIRED);
  props[PROP_MIDDLEWARE] =
      g_param_spec_object ("middleware", NULL, "What wraps calls, outermost first", G_TYPE_LIST_MODEL, flags);
  props[PROP_SERIALIZER] = g_param_spec_object ("serializer", NULL, "What writes arguments and values into records",
                                                STRAND_TYPE_SERIALIZER, flags);
  props[PROP_TIMEOUT] = duration ("timeout", "How long an attempt may run", -1, -1, flags);
  props[PROP_GRACE] = duration ("grace", "How long a worker may go on after it was told to stop", 0, 5 * SECOND, flags);
  props[PROP_RETRIES] =
      g_param_spec_uint ("retries", NULL, "How many further attempts follow a failed one", 0, G_MAXUINT16, 0, flags);
  props[PROP_RETRY_DELAY] =
      duration ("retry-delay", "The longest wait before the first retry; doubles with each", 0, SECOND, flags);
  props[PROP_RETRY_MAX_DELAY] = duration ("retry-max-delay", "The longest wait before any retry", 0, 60 * SECOND, flags);
  props[PROP_MAX_PENDING] = g_param_spec_uint ("max-pending", NULL, "How many calls may be in flight", 1, G_MAXUINT,
                                               DEFAULT_MAX_PENDING, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
gearman_backend_init (GearmanBackend *self)
{
}

STRAND_PLUGIN_DEFINE ("gearman-backend", "1.0", "LGPL-2.1-or-later",
                      STRAND_PROVIDES_BACKEND ("gearman", GearmanBackend, gearman_backend_get_type,
                                               "Hands calls to Gearman's workers and keeps their records in a store"))
