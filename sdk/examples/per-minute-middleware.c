/* per-minute-middleware.c — lets so many calls a minute through, and refuses the rest.
 *
 * The times of the last calls are all it knows. It decides in `submit`, so what it refuses leaves no record; the
 * caller is told when to try again.                     SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

#define MINUTE_US (60 * (gint64) G_USEC_PER_SEC)

G_DECLARE_FINAL_TYPE (ExamplePerMinute, example_per_minute, EXAMPLE, PER_MINUTE, GObject)

struct _ExamplePerMinute
{
  GObject parent_instance;

  guint max_calls; /* set at construction */
  GMutex lock;     /* guards the next */
  GArray *times;   /* of gint64: when the last max_calls calls were let through, oldest first */
};

static void middleware_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ExamplePerMinute, example_per_minute, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init))

static StrandVerdict
example_per_minute_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  ExamplePerMinute *self = EXAMPLE_PER_MINUTE (middleware);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  gint64 now_us = strand_clock_monotonic_us ();

  if (self->times->len == self->max_calls)
    {
      gint64 wait_us = g_array_index (self->times, gint64, 0) + MINUTE_US - now_us;

      if (wait_us > 0)
        {
          strand_call_set_retry_after (call, strand_clock_now_us () + wait_us);
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "there were %u calls in a minute, which is the limit",
                       self->max_calls);
          return STRAND_VERDICT_REFUSE;
        }
      g_array_remove_index (self->times, 0);
    }
  g_array_append_val (self->times, now_us);
  return STRAND_VERDICT_CONTINUE;
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->submit = example_per_minute_submit;
}

static void
example_per_minute_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  EXAMPLE_PER_MINUTE (object)->max_calls = g_value_get_uint (value);
}

static void
example_per_minute_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  g_value_set_uint (value, EXAMPLE_PER_MINUTE (object)->max_calls);
}

static void
example_per_minute_finalize (GObject *object)
{
  g_array_unref (EXAMPLE_PER_MINUTE (object)->times);
  g_mutex_clear (&EXAMPLE_PER_MINUTE (object)->lock);
  G_OBJECT_CLASS (example_per_minute_parent_class)->finalize (object);
}

static void
example_per_minute_class_init (ExamplePerMinuteClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = example_per_minute_set_property;
  object_class->get_property = example_per_minute_get_property;
  object_class->finalize = example_per_minute_finalize;
  g_object_class_install_property (object_class, 1,
                                   g_param_spec_uint ("max-calls", NULL, "How many calls a minute are let through", 1,
                                                      G_MAXUINT16, 60, STRAND_PARAM_CONFIG));
}

static void
example_per_minute_init (ExamplePerMinute *self)
{
  g_mutex_init (&self->lock);
  self->times = g_array_new (FALSE, FALSE, sizeof (gint64));
}

STRAND_PLUGIN_DEFINE ("per-minute-middleware", "1.0", "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("per-minute", ExamplePerMinute, example_per_minute_get_type,
                                                  "Lets so many calls a minute through"))
