/* coroutine-taskrunner.c — runs calls as coroutines: many at once on one thread.
 *
 * With context=own, a thread of the taskrunner's iterates a main context of its own, started with the first
 * call. With context=caller, a call runs in the main context that was thread-default where it was submitted,
 * between that context's other sources. What a coroutine is and whose turn it is stands in coroutine-loop.c.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-loop.h"

#define STRAND_TYPE_COROUTINE_TASKRUNNER (strand_coroutine_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrandCoroutineTaskrunner, strand_coroutine_taskrunner, STRAND, COROUTINE_TASKRUNNER,
                      GObject)

/* As the thread taskrunner: beyond four million waiting calls a program has lost control. */
#define DEFAULT_MAX_QUEUED (4 * 1024 * 1024)

/* Address space only, for what a coroutine does not touch; GIO and printf() together use some 20 KiB. */
#define DEFAULT_STACK_BYTES (256 * 1024)

#define MIN_STACK_BYTES (16 * 1024)

/* A coroutine that sleeps has written one or two pages: a gigabyte or two at the limit. */
#define DEFAULT_MAX_ALIVE 250000

/* Eight megabytes kept for the next burst. */
#define DEFAULT_MAX_STACKS 1024

/* How long close() waits for what it has cancelled: the default grace twice. */
#define CLOSE_PATIENCE_US (10 * G_USEC_PER_SEC)

/* More contexts than a program has threads with windows; then those without calls are dropped. */
#define MANY_LOOPS 16

#define STRAND_TYPE_COROUTINE_CONTEXT (strand_coroutine_context_get_type ())

typedef enum
{
  CONTEXT_OWN,
  CONTEXT_CALLER,
} CoroutineContext;

static GType strand_coroutine_context_get_type (void);

G_DEFINE_ENUM_TYPE (StrandCoroutineContext, strand_coroutine_context,
                    G_DEFINE_ENUM_VALUE (CONTEXT_OWN, "own"), G_DEFINE_ENUM_VALUE (CONTEXT_CALLER, "caller"))

struct _StrandCoroutineTaskrunner
{
  GObject parent_instance;

  CoroutineContext context; /* set at construction, as the next two */
  CoroutineLimits limits;
  int max_queued;
  CoroutineCounts *counts;

  int closed; /* atomic */

  /* Guarded by the counts' `loops_lock`. */
  GHashTable *loops;   /* of CoroutineLoop, by context; with context=own there is one at most */
  CoroutineLoop *main; /* atomic; set once: the own one, or the default main context's; the table holds it */
};

enum
{
  PROP_CONTEXT = 1,
  PROP_STACK_SIZE,
  PROP_MAX_STACKS,
  PROP_MAX_ALIVE,
  PROP_MAX_QUEUED,
  PROP_YIELD_ON_ITER,
  PROP_ALIVE,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandCoroutineTaskrunner, strand_coroutine_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

/* The own thread. It ends when the loop is told to stop and nothing is left, perhaps after the taskrunner. */
static gpointer
iterate (gpointer data)
{
  CoroutineLoop *loop = data;
  g_autoptr(GMainContext) context = g_main_context_ref (coroutine_loop_get_context (loop));

  g_main_context_push_thread_default (context);
  while (!coroutine_loop_may_end (loop))
    g_main_context_iteration (context, TRUE);
  /* What is on its way to functions that did not wait for it. A source that never rests is left alone. */
  for (guint i = 0; i < 100 && g_main_context_iteration (context, FALSE); i++)
    ;
  g_main_context_pop_thread_default (context);
  coroutine_loop_detach (loop);
  coroutine_loop_unref (loop);
  return NULL;
}

static CoroutineLoop *
start_own_locked (StrandCoroutineTaskrunner *self, GError **error)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  CoroutineLoop *loop = coroutine_loop_new (context, &self->limits, self->counts);
  GThread *thread = g_thread_try_new ("strand-coroutine", iterate, coroutine_loop_ref (loop), error);

  if (thread == NULL)
    {
      coroutine_loop_detach (loop);
      coroutine_loop_unref (loop);
      coroutine_loop_unref (loop);
      return NULL;
    }
  g_thread_unref (thread);
  g_hash_table_insert (self->loops, context, loop);
  g_atomic_pointer_set (&self->main, loop);
  return loop;
}

static void
drop_loop (CoroutineLoop *loop)
{
  coroutine_loop_detach (loop);
  coroutine_loop_unref (loop);
}

static gboolean
is_unused (gpointer context, gpointer loop, gpointer self)
{
  return coroutine_loop_n_busy (loop) == 0 && loop != STRAND_COROUTINE_TASKRUNNER (self)->main;
}

/* A backend submits from a thread of its own, but the call remembers where it was made. */
static GMainContext *
ref_callers_context (StrandCall *call)
{
  GMainContext *context = strand_call_is_attempt (call) ? strand_call_ref_context (call) : NULL;

  return context != NULL ? context : g_main_context_ref_thread_default ();
}

static CoroutineLoop *
find_caller_locked (StrandCoroutineTaskrunner *self, StrandCall *call)
{
  g_autoptr(GMainContext) context = ref_callers_context (call);
  CoroutineLoop *loop = g_hash_table_lookup (self->loops, context);

  if (loop != NULL)
    return loop;
  if (g_hash_table_size (self->loops) >= MANY_LOOPS)
    g_hash_table_foreach_remove (self->loops, is_unused, self);
  loop = coroutine_loop_new (context, &self->limits, self->counts);
  g_hash_table_insert (self->loops, context, loop);
  if (context == g_main_context_default ())
    g_atomic_pointer_set (&self->main, loop);
  return loop;
}

static StrandRunnerTraits
strand_coroutine_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_RUNNER_CONCURRENT;
}

/* A place in the line, or an error. */
static gboolean
reserve_place (StrandCoroutineTaskrunner *self, gboolean may_block, GError **error)
{
  CoroutineCounts *counts = self->counts;
  gboolean reserved = FALSE, closed;

  if (g_atomic_int_add (&counts->n_queued, 1) < self->max_queued && !g_atomic_int_get (&self->closed))
    return TRUE;

  g_mutex_lock (&counts->lock);
  g_atomic_int_add (&counts->n_queued, -1);
  g_atomic_int_inc (&counts->n_waiting);
  while (!(closed = g_atomic_int_get (&self->closed)) &&
         !(reserved = g_atomic_int_add (&counts->n_queued, 1) < self->max_queued))
    {
      g_atomic_int_add (&counts->n_queued, -1);
      if (!may_block)
        break;
      g_cond_wait (&counts->room, &counts->lock);
    }
  g_atomic_int_add (&counts->n_waiting, -1);
  g_mutex_unlock (&counts->lock);

  if (reserved)
    return TRUE;
  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%d calls are waiting for a coroutine, which is the limit; 'max-queued' raises it",
                 self->max_queued);
  return FALSE;
}

static gboolean
strand_coroutine_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block,
                                    GError **error)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (taskrunner);
  CoroutineCounts *counts;
  CoroutineLoop *loop;

  if (!reserve_place (self, may_block, error))
    return FALSE;
  loop = g_atomic_pointer_get (&self->main);
  if (loop != NULL && (self->context == CONTEXT_OWN ||
                       (g_main_context_get_thread_default () == NULL && !strand_call_is_attempt (call))))
    {
      coroutine_loop_push (loop, call);
      return TRUE;
    }

  /* The call may end and the taskrunner go as soon as it is pushed. */
  counts = coroutine_counts_ref (self->counts);
  g_mutex_lock (&counts->loops_lock);
  if (self->context == CONTEXT_CALLER)
    loop = find_caller_locked (self, call);
  else
    loop = self->main != NULL ? self->main : start_own_locked (self, error);
  /* Under the lock, so that the loop is not dropped as unused meanwhile. */
  if (loop != NULL)
    coroutine_loop_push (loop, call);
  else
    g_atomic_int_add (&counts->n_queued, -1);
  g_mutex_unlock (&counts->loops_lock);
  coroutine_counts_unref (counts);
  return loop != NULL;
}

/* A stack cannot be taken from a function that does not return; one that waits has been told already. */
static gboolean
strand_coroutine_taskrunner_stop (StrandTaskrunner *taskrunner, StrandCall *call)
{
  strand_debug (STRAND_TOPIC_RUNNER, "'%s' does not stop, and a coroutine cannot be stopped from outside",
                strand_call_get_function_name (call));
  return FALSE;
}

static gboolean
strand_coroutine_taskrunner_needs_thread (StrandTaskrunner *taskrunner, StrandCall *call)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (taskrunner);
  gboolean started = strand_call_get_status (call) == STRAND_STATUS_RUNNING;
  gpointer own = started ? strand_call_get_runner_data (call) : NULL; /* its loop */
  gboolean found = FALSE;
  GHashTableIter iter;
  gpointer loop;

  g_mutex_lock (&self->counts->loops_lock);
  g_hash_table_iter_init (&iter, self->loops);
  while (!found && g_hash_table_iter_next (&iter, NULL, &loop))
    found = (!started || loop == own) && coroutine_loop_n_busy (loop) > 0 && coroutine_loop_is_here (loop);
  g_mutex_unlock (&self->counts->loops_lock);
  return found;
}

/* Each context has places of its own, and which one a call waits for is known only while there is one. */
static guint
strand_coroutine_taskrunner_get_places (StrandTaskrunner *taskrunner)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (taskrunner);
  guint n_loops;

  g_mutex_lock (&self->counts->loops_lock);
  n_loops = g_hash_table_size (self->loops);
  g_mutex_unlock (&self->counts->loops_lock);
  return n_loops == 1 ? self->limits.max_alive : 0;
}

static GPtrArray *
ref_loops (StrandCoroutineTaskrunner *self)
{
  GPtrArray *loops = g_ptr_array_new_with_free_func ((GDestroyNotify) coroutine_loop_unref);
  GHashTableIter iter;
  gpointer loop;

  g_mutex_lock (&self->counts->loops_lock);
  g_hash_table_iter_init (&iter, self->loops);
  while (g_hash_table_iter_next (&iter, NULL, &loop))
    g_ptr_array_add (loops, coroutine_loop_ref (loop));
  g_mutex_unlock (&self->counts->loops_lock);
  return loops;
}

static guint
n_busy (GPtrArray *loops)
{
  guint n = 0;

  for (guint i = 0; i < loops->len; i++)
    n += coroutine_loop_n_busy (loops->pdata[i]);
  return n;
}

/* Goes on for a moment with what only this thread can go on with. FALSE if there is more to do. */
static gboolean
turn_here (GPtrArray *loops)
{
  gboolean rests = TRUE;

  for (guint i = 0; i < loops->len; i++)
    if (coroutine_loop_is_here (loops->pdata[i]))
      {
        coroutine_loop_turn (loops->pdata[i]);
        rests = coroutine_loop_rest (loops->pdata[i]) && rests;
      }
  return rests;
}

static guint
count_alive (StrandCoroutineTaskrunner *self)
{
  g_autoptr(GPtrArray) loops = ref_loops (self);
  int n = (int) n_busy (loops) - g_atomic_int_get (&self->counts->n_queued);

  return (guint) MAX (n, 0);
}

/* Waits until nothing is left. Returns how much is. */
static guint
wait_until_quiet (StrandCoroutineTaskrunner *self, GPtrArray *loops, gint64 until_us)
{
  CoroutineCounts *counts = self->counts;
  gboolean in_time = TRUE;
  guint n_left;

  g_mutex_lock (&counts->lock);
  while ((n_left = n_busy (loops)) > 0 && in_time)
    {
      guint n_news = counts->n_news;
      gboolean rests;

      g_mutex_unlock (&counts->lock);
      rests = turn_here (loops);
      g_mutex_lock (&counts->lock);
      in_time = until_us < 0 || g_get_monotonic_time () < until_us;
      while (rests && counts->n_news == n_news && in_time)
        if (until_us < 0)
          g_cond_wait (&counts->quiet, &counts->lock);
        else
          in_time = g_cond_wait_until (&counts->quiet, &counts->lock, until_us);
    }
  g_mutex_unlock (&counts->lock);
  return n_left;
}

static gboolean
strand_coroutine_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (taskrunner);
  g_autoptr(GPtrArray) loops = NULL;
  guint n_left;

  g_atomic_int_set (&self->closed, TRUE);
  g_atomic_int_set (&self->counts->closing, TRUE);
  g_mutex_lock (&self->counts->lock);
  g_cond_broadcast (&self->counts->room);
  g_mutex_unlock (&self->counts->lock);

  loops = ref_loops (self);
  n_left = wait_until_quiet (self, loops, deadline_us);
  if (n_left > 0)
    {
      for (guint i = 0; i < loops->len; i++)
        coroutine_loop_cancel_all (loops->pdata[i]);
      wait_until_quiet (self, loops, g_get_monotonic_time () + CLOSE_PATIENCE_US);
    }
  for (guint i = 0; i < loops->len; i++)
    coroutine_loop_end (loops->pdata[i]);

  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not close the taskrunner in time: %u calls had not ended and were cancelled", n_left);
  return FALSE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = strand_coroutine_taskrunner_get_traits;
  iface->submit = strand_coroutine_taskrunner_submit;
  iface->stop = strand_coroutine_taskrunner_stop;
  iface->needs_thread = strand_coroutine_taskrunner_needs_thread;
  iface->close = strand_coroutine_taskrunner_close;
  iface->get_places = strand_coroutine_taskrunner_get_places;
}

static void
strand_coroutine_taskrunner_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (object);

  switch (id)
    {
    case PROP_CONTEXT:
      g_value_set_enum (value, (int) self->context);
      break;
    case PROP_STACK_SIZE:
      g_value_set_int64 (value, (gint64) self->limits.stack_size);
      break;
    case PROP_MAX_STACKS:
      g_value_set_uint (value, self->limits.max_stacks);
      break;
    case PROP_MAX_ALIVE:
      g_value_set_uint (value, self->limits.max_alive);
      break;
    case PROP_MAX_QUEUED:
      g_value_set_uint (value, (guint) self->max_queued);
      break;
    case PROP_YIELD_ON_ITER:
      g_value_set_boolean (value, self->limits.yield_on_iter);
      break;
    case PROP_ALIVE:
      g_value_set_uint (value, count_alive (self));
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_coroutine_taskrunner_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (object);

  switch (id)
    {
    case PROP_CONTEXT:
      self->context = (CoroutineContext) g_value_get_enum (value);
      break;
    case PROP_STACK_SIZE:
      self->limits.stack_size = (gsize) g_value_get_int64 (value);
      break;
    case PROP_MAX_STACKS:
      self->limits.max_stacks = g_value_get_uint (value);
      break;
    case PROP_MAX_ALIVE:
      self->limits.max_alive = g_value_get_uint (value);
      break;
    case PROP_MAX_QUEUED:
      self->max_queued = (int) g_value_get_uint (value);
      break;
    case PROP_YIELD_ON_ITER:
      self->limits.yield_on_iter = g_value_get_boolean (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_coroutine_taskrunner_finalize (GObject *object)
{
  StrandCoroutineTaskrunner *self = STRAND_COROUTINE_TASKRUNNER (object);

  /* Every call holds its taskrunner, so none is left; the last one may have ended on the stack that this runs
   * on, and its loop goes when that has been left. */
  if (self->context == CONTEXT_OWN && self->main != NULL)
    coroutine_loop_end (self->main);
  g_hash_table_unref (self->loops);
  coroutine_counts_unref (self->counts);
  G_OBJECT_CLASS (strand_coroutine_taskrunner_parent_class)->finalize (object);
}

static void
strand_coroutine_taskrunner_class_init (StrandCoroutineTaskrunnerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = strand_coroutine_taskrunner_get_property;
  object_class->set_property = strand_coroutine_taskrunner_set_property;
  object_class->finalize = strand_coroutine_taskrunner_finalize;

  props[PROP_CONTEXT] = g_param_spec_enum (
      "context", NULL, "Where coroutines run: in a thread of their own, or in the main context of the caller",
      STRAND_TYPE_COROUTINE_CONTEXT, CONTEXT_OWN, STRAND_PARAM_CONFIG);
  props[PROP_STACK_SIZE] =
      g_param_spec_int64 ("stack-size", NULL, "How much stack a function may use", MIN_STACK_BYTES,
                          G_MAXINT32, DEFAULT_STACK_BYTES, STRAND_PARAM_CONFIG | STRAND_PARAM_SIZE);
  props[PROP_MAX_STACKS] = g_param_spec_uint ("max-stacks", NULL, "How many unused stacks keep their memory",
                                              0, G_MAXINT, DEFAULT_MAX_STACKS, STRAND_PARAM_CONFIG);
  props[PROP_MAX_ALIVE] = g_param_spec_uint (
      "max-alive", NULL, "How many calls may be under way at once in one context; others wait", 1, G_MAXINT,
      DEFAULT_MAX_ALIVE, STRAND_PARAM_CONFIG);
  props[PROP_MAX_QUEUED] = g_param_spec_uint ("max-queued", NULL, "How many calls may wait for a coroutine",
                                              1, G_MAXINT, DEFAULT_MAX_QUEUED, STRAND_PARAM_CONFIG);
  props[PROP_YIELD_ON_ITER] =
      g_param_spec_boolean ("yield-on-iter", NULL, "Whether the others have a turn after each emitted item",
                            TRUE, STRAND_PARAM_CONFIG);
  props[PROP_ALIVE] = g_param_spec_uint ("alive", NULL, "How many calls are under way now", 0, G_MAXUINT, 0,
                                         G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_coroutine_taskrunner_init (StrandCoroutineTaskrunner *self)
{
  self->loops = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) drop_loop);
  self->counts = coroutine_counts_new ();
}

STRAND_PLUGIN_DEFINE ("coroutine-taskrunner", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_TASKRUNNER ("coroutine", StrandCoroutineTaskrunner,
                                                  strand_coroutine_taskrunner_get_type,
                                                  "Runs calls as coroutines, many at once on one thread"))
