/* sample-taskrunner.c — runs calls one after the other, on a thread of its own.
 *
 * Calls wait in a line, which belongs to the object and to its thread, whichever goes last: an object that is
 * dropped with calls in flight still has them end. The thread starts with the first call and goes when the
 * line has been closed or dropped, and is empty. Put the place where your functions run where work() calls
 * strand_call_run(); functions that are reached in another way need strand_call_begin() and
 * strand_call_finish() instead. SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

/* A program may well have millions of calls waiting before it is told that there are too many. */
#define DEFAULT_MAX_QUEUED 4000000

typedef struct
{
  GMutex lock; /* guards everything below */
  GCond changed;
  GQueue waiting;      /* of StrandCall, held */
  StrandCall *running; /* held; NULL for none */
  gboolean has_thread;
  gboolean closed;  /* takes no more calls */
  gboolean dropped; /* nobody has the object any more */
} Line;

#define SAMPLE_TYPE_TASKRUNNER (sample_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (SampleTaskrunner, sample_taskrunner, SAMPLE, TASKRUNNER, GObject)

struct _SampleTaskrunner
{
  GObject parent_instance;

  guint max_queued; /* set at construction, as the next */
  Line *line;
};

enum
{
  PROP_MAX_QUEUED = 1,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (SampleTaskrunner, sample_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

static void
line_clear (gpointer data)
{
  Line *line = data;

  g_cond_clear (&line->changed);
  g_mutex_clear (&line->lock);
}

/* The call that is next, or NULL at the end. It stays in `running` until leave(). */
static StrandCall *
take_call (Line *line)
{
  StrandCall *call;

  g_mutex_lock (&line->lock);
  while (g_queue_is_empty (&line->waiting) && !line->closed && !line->dropped)
    g_cond_wait (&line->changed, &line->lock);
  call = g_queue_pop_head (&line->waiting);
  if (call != NULL)
    line->running = strand_call_ref (call);
  else
    line->has_thread = FALSE;
  g_cond_broadcast (&line->changed);
  g_mutex_unlock (&line->lock);
  return call;
}

/* A call may be the last that holds the taskrunner, which then goes, and wants the lock for that. */
static void
leave (Line *line)
{
  StrandCall *call;

  g_mutex_lock (&line->lock);
  call = g_steal_pointer (&line->running);
  g_mutex_unlock (&line->lock);
  strand_call_unref (call);
}

static gpointer
work (gpointer data)
{
  Line *line = data;
  StrandCall *call;

  while ((call = take_call (line)) != NULL)
    {
      strand_call_run (call); /* takes it over; does nothing if it was cancelled meanwhile */
      leave (line);
    }
  g_atomic_rc_box_release_full (line, line_clear);
  return NULL;
}

static StrandRunnerTraits
sample_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  /* Not CONCURRENT: there is one thread. What waits in the line may be run elsewhere, where nothing else
   * would do. */
  return STRAND_RUNNER_LENDS_CALLS;
}

static guint
sample_taskrunner_get_places (StrandTaskrunner *taskrunner)
{
  return 1;
}

static gboolean
wait_for_room_locked (SampleTaskrunner *self, gboolean may_block, GError **error)
{
  Line *line = self->line;

  while (!line->closed && line->waiting.length >= self->max_queued && may_block)
    g_cond_wait (&line->changed, &line->lock);
  if (line->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else if (line->waiting.length >= self->max_queued)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls wait, which is the limit; 'max-queued' raises it", line->waiting.length);
  else
    return TRUE;
  return FALSE;
}

static gboolean
sample_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block, GError **error)
{
  SampleTaskrunner *self = SAMPLE_TASKRUNNER (taskrunner);
  Line *line = self->line;
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&line->lock);

  if (!wait_for_room_locked (self, may_block, error))
    return FALSE;
  g_queue_push_tail (&line->waiting, call);
  if (!line->has_thread)
    {
      line->has_thread = TRUE;
      g_thread_unref (g_thread_new ("sample", work, g_atomic_rc_box_acquire (line)));
    }
  g_cond_broadcast (&line->changed);
  return TRUE;
}

/* All calls that have not ended. */
static GPtrArray *
list_calls_locked (Line *line)
{
  GPtrArray *calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);

  if (line->running != NULL)
    g_ptr_array_add (calls, strand_call_ref (line->running));
  for (GList *l = line->waiting.head; l != NULL; l = l->next)
    g_ptr_array_add (calls, strand_call_ref (l->data));
  return calls;
}

static gboolean
sample_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  Line *line = SAMPLE_TASKRUNNER (taskrunner)->line;
  g_autoptr(GPtrArray) late = NULL;

  g_mutex_lock (&line->lock);
  line->closed = TRUE;
  g_cond_broadcast (&line->changed);
  while (line->has_thread)
    if (deadline_us < 0)
      g_cond_wait (&line->changed, &line->lock);
    else if (!g_cond_wait_until (&line->changed, &line->lock, deadline_us))
      break;
  late = list_calls_locked (line);
  g_mutex_unlock (&line->lock);

  for (guint i = 0; i < late->len; i++)
    strand_call_cancel (late->pdata[i]);
  if (late->len == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT, "%u calls had not ended, and were cancelled",
               late->len);
  return FALSE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = sample_taskrunner_get_traits;
  iface->get_places = sample_taskrunner_get_places;
  iface->submit = sample_taskrunner_submit;
  iface->close = sample_taskrunner_close;
}

static void
sample_taskrunner_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  SampleTaskrunner *self = SAMPLE_TASKRUNNER (object);

  switch (id)
    {
    case PROP_MAX_QUEUED:
      self->max_queued = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_taskrunner_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  SampleTaskrunner *self = SAMPLE_TASKRUNNER (object);

  switch (id)
    {
    case PROP_MAX_QUEUED:
      g_value_set_uint (value, self->max_queued);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
sample_taskrunner_finalize (GObject *object)
{
  Line *line = SAMPLE_TASKRUNNER (object)->line;

  g_mutex_lock (&line->lock);
  line->dropped = TRUE;
  g_cond_broadcast (&line->changed);
  g_mutex_unlock (&line->lock);
  g_atomic_rc_box_release_full (line, line_clear);
  G_OBJECT_CLASS (sample_taskrunner_parent_class)->finalize (object);
}

static void
sample_taskrunner_class_init (SampleTaskrunnerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = sample_taskrunner_set_property;
  object_class->get_property = sample_taskrunner_get_property;
  object_class->finalize = sample_taskrunner_finalize;

  props[PROP_MAX_QUEUED] = g_param_spec_uint ("max-queued", NULL, "How many calls may wait for their turn", 1,
                                              G_MAXUINT, DEFAULT_MAX_QUEUED, STRAND_PARAM_CONFIG);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
sample_taskrunner_init (SampleTaskrunner *self)
{
  self->line = g_atomic_rc_box_new0 (Line);
  g_mutex_init (&self->line->lock);
  g_cond_init (&self->line->changed);
}

STRAND_PLUGIN_DEFINE ("sample-taskrunner", "0.1", "0BSD",
                      STRAND_PROVIDES_TASKRUNNER ("sample", SampleTaskrunner, sample_taskrunner_get_type,
                                                  "Runs calls one after the other, on a thread of its own"))
