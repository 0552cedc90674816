/* thread-taskrunner.c — runs calls in a bounded pool of threads of its own.
 *
 * Calls wait in one list, oldest first. Threads are started as calls come, up to `workers`; one that has nothing to do
 * sleeps. Only one sleeper is woken at a time, and it wakes the next one if there is more to do: a burst of small
 * calls is run by the threads that are awake.
 *
 * A call that ignores being stopped keeps its thread, but not its place: the thread is abandoned, another takes over,
 * and what the function finally returns is thrown away. At most `max-abandoned` threads are given up in this way.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#define STRAND_TYPE_THREAD_TASKRUNNER (strand_thread_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrandThreadTaskrunner, strand_thread_taskrunner, STRAND, THREAD_TASKRUNNER, GObject)

/* Four million calls of 100 bytes are what a program may well have waiting; beyond that it has lost control. */
#define DEFAULT_MAX_PENDING (4 * 1024 * 1024)

#define DEFAULT_MAX_ABANDONED 16

typedef struct _Worker Worker;

/* What the threads share. Lives until the last of them has ended, which may be after the taskrunner. */
typedef struct
{
  gatomicrefcount ref_count;

  GMutex lock; /* guards everything below */
  GCond work;  /* there is something to do, or the pool is stopping */
  GCond room;  /* a call was taken from a full list */
  GCond quiet; /* a worker has become idle or ended */

  StrandCall *first; /* linked by their runner data */
  StrandCall *last;
  guint n_pending;
  guint max_pending;

  GPtrArray *workers; /* of Worker, those who are not abandoned */
  guint max_workers;
  guint n_idle;
  guint n_waking; /* started or signalled, but not at work yet */
  guint n_abandoned;
  guint max_abandoned;
  gboolean closed;   /* takes no more calls */
  gboolean stopping; /* threads end */
} Pool;

struct _Worker
{
  Pool *pool;
  StrandCall *call; /* guarded by the pool's lock, as the next; borrowed from the thread */
  gboolean abandoned;
};

struct _StrandThreadTaskrunner
{
  GObject parent_instance;

  Pool *pool; /* set at construction */
};

enum
{
  PROP_WORKERS = 1,
  PROP_MAX_PENDING,
  PROP_MAX_ABANDONED,
  PROP_ABANDONED,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandThreadTaskrunner, strand_thread_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

static Pool *
pool_new (void)
{
  Pool *pool = g_new0 (Pool, 1);

  g_atomic_ref_count_init (&pool->ref_count);
  g_mutex_init (&pool->lock);
  g_cond_init (&pool->work);
  g_cond_init (&pool->room);
  g_cond_init (&pool->quiet);
  pool->workers = g_ptr_array_new ();
  return pool;
}

static Pool *
pool_ref (Pool *pool)
{
  g_atomic_ref_count_inc (&pool->ref_count);
  return pool;
}

static void
pool_unref (Pool *pool)
{
  if (!g_atomic_ref_count_dec (&pool->ref_count))
    return;
  g_ptr_array_unref (pool->workers);
  g_mutex_clear (&pool->lock);
  g_cond_clear (&pool->work);
  g_cond_clear (&pool->room);
  g_cond_clear (&pool->quiet);
  g_free (pool);
}

static StrandCall *
pop_locked (Pool *pool)
{
  StrandCall *call = pool->first;

  if (call == NULL)
    return NULL;
  pool->first = strand_call_get_runner_data (call);
  if (pool->first == NULL)
    pool->last = NULL;
  if (pool->n_pending-- == pool->max_pending)
    g_cond_broadcast (&pool->room);
  return call;
}

static void
push_locked (Pool *pool, StrandCall *call)
{
  strand_call_set_runner_data (call, NULL);
  if (pool->last != NULL)
    strand_call_set_runner_data (pool->last, call);
  else
    pool->first = call;
  pool->last = call;
  pool->n_pending++;
}

static gpointer work (gpointer data);

/* Sees to it that somebody takes the next call: a sleeper, or a new thread while there may be more. */
static void
wake_one_locked (Pool *pool)
{
  Worker *worker;

  if (pool->n_waking > 0)
    return;
  if (pool->n_idle > 0)
    {
      pool->n_waking++;
      g_cond_signal (&pool->work);
      return;
    }
  if (pool->workers->len >= pool->max_workers)
    return;

  worker = g_new0 (Worker, 1);
  worker->pool = pool_ref (pool);
  g_ptr_array_add (pool->workers, worker);
  pool->n_waking++;
  g_thread_unref (g_thread_new ("strand-thread", work, worker));
}

/* The next call for @worker, or NULL if its thread is to end. */
static StrandCall *
next_call_locked (Worker *worker, gboolean *woken)
{
  Pool *pool = worker->pool;
  StrandCall *call;

  worker->call = NULL;
  while (!worker->abandoned && (call = pop_locked (pool)) == NULL && !pool->stopping)
    {
      if (*woken)
        pool->n_waking--;
      pool->n_idle++;
      g_cond_broadcast (&pool->quiet);
      g_cond_wait (&pool->work, &pool->lock);
      pool->n_idle--;
      *woken = pool->n_waking > 0; /* or nobody called: conditions wake for no reason at times */
    }
  if (worker->abandoned || call == NULL)
    return NULL;

  worker->call = call;
  strand_call_set_runner_data (call, worker);
  if (*woken)
    {
      *woken = FALSE;
      pool->n_waking--;
      if (pool->first != NULL)
        wake_one_locked (pool);
    }
  return call;
}

static gpointer
work (gpointer data)
{
  Worker *worker = data;
  Pool *pool = worker->pool;
  gboolean woken;
  StrandCall *call;

  g_mutex_lock (&pool->lock);
  woken = pool->n_waking > 0;
  while ((call = next_call_locked (worker, &woken)) != NULL)
    {
      g_mutex_unlock (&pool->lock);
      strand_call_run (call);
      strand_call_unref (call);
      g_mutex_lock (&pool->lock);
    }
  if (woken)
    pool->n_waking--;
  if (worker->abandoned)
    pool->n_abandoned--;
  else
    g_ptr_array_remove_fast (pool->workers, worker);
  g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);

  g_free (worker);
  pool_unref (pool);
  return NULL;
}

static StrandRunnerTraits
strand_thread_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_THREAD_TASKRUNNER (taskrunner)->pool->max_workers > 1 ? STRAND_RUNNER_CONCURRENT : 0;
}

static gboolean
wait_for_room_locked (Pool *pool, gboolean may_block, GError **error)
{
  while (pool->n_pending >= pool->max_pending && may_block && !pool->closed)
    g_cond_wait (&pool->room, &pool->lock);

  if (pool->closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else if (pool->n_pending >= pool->max_pending)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls are waiting for a thread, which is the limit; 'max-pending' raises it", pool->n_pending);
  else
    return TRUE;
  return FALSE;
}

static gboolean
strand_thread_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block, GError **error)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (taskrunner)->pool;
  gboolean ok;

  g_mutex_lock (&pool->lock);
  ok = wait_for_room_locked (pool, may_block, error);
  if (ok)
    {
      push_locked (pool, call);
      wake_one_locked (pool);
    }
  g_mutex_unlock (&pool->lock);
  return ok;
}

static gboolean
strand_thread_taskrunner_stop (StrandTaskrunner *taskrunner, StrandCall *call)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (taskrunner)->pool;
  Worker *worker = NULL;

  g_mutex_lock (&pool->lock);
  for (guint i = 0; worker == NULL && i < pool->workers->len; i++)
    if (((Worker *) pool->workers->pdata[i])->call == call)
      worker = pool->workers->pdata[i];
  if (worker != NULL && pool->n_abandoned < pool->max_abandoned)
    {
      worker->abandoned = TRUE;
      pool->n_abandoned++;
      g_ptr_array_remove_fast (pool->workers, worker);
      g_cond_broadcast (&pool->quiet);
      if (pool->first != NULL)
        wake_one_locked (pool);
    }
  else
    worker = NULL;
  g_mutex_unlock (&pool->lock);

  if (worker != NULL)
    strand_debug (STRAND_TOPIC_RUNNER, "abandoned a thread that runs '%s'", strand_call_get_function_name (call));
  return worker != NULL;
}

static guint
n_busy_locked (Pool *pool)
{
  return pool->n_pending + pool->workers->len - pool->n_idle;
}

static void
cancel_all_locked (Pool *pool)
{
  GPtrArray *calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  StrandCall *call;

  while ((call = pop_locked (pool)) != NULL)
    g_ptr_array_add (calls, call);
  for (guint i = 0; i < pool->workers->len; i++)
    if (((Worker *) pool->workers->pdata[i])->call != NULL)
      g_ptr_array_add (calls, strand_call_ref (((Worker *) pool->workers->pdata[i])->call));

  g_mutex_unlock (&pool->lock);
  for (guint i = 0; i < calls->len; i++)
    strand_call_cancel (calls->pdata[i]);
  g_ptr_array_unref (calls);
  g_mutex_lock (&pool->lock);
}

static gboolean
strand_thread_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (taskrunner)->pool;
  guint n_left = 0;

  g_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  g_cond_broadcast (&pool->room);
  while (n_busy_locked (pool) > 0)
    if (deadline_us < 0)
      g_cond_wait (&pool->quiet, &pool->lock);
    else if (!g_cond_wait_until (&pool->quiet, &pool->lock, deadline_us))
      break;

  n_left = n_busy_locked (pool);
  if (n_left > 0)
    cancel_all_locked (pool);
  /* What was cancelled ends by itself or is abandoned after its grace. */
  while (n_busy_locked (pool) > 0)
    g_cond_wait (&pool->quiet, &pool->lock);
  pool->stopping = TRUE;
  g_cond_broadcast (&pool->work);
  g_mutex_unlock (&pool->lock);

  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not close the taskrunner in time: %u calls had not ended and were cancelled", n_left);
  return FALSE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = strand_thread_taskrunner_get_traits;
  iface->submit = strand_thread_taskrunner_submit;
  iface->stop = strand_thread_taskrunner_stop;
  iface->close = strand_thread_taskrunner_close;
}

static void
strand_thread_taskrunner_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (object)->pool;

  g_mutex_lock (&pool->lock);
  switch (id)
    {
    case PROP_WORKERS:
      g_value_set_uint (value, pool->max_workers);
      break;
    case PROP_MAX_PENDING:
      g_value_set_uint (value, pool->max_pending);
      break;
    case PROP_MAX_ABANDONED:
      g_value_set_uint (value, pool->max_abandoned);
      break;
    case PROP_ABANDONED:
      g_value_set_uint (value, pool->n_abandoned);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&pool->lock);
}

static void
strand_thread_taskrunner_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (object)->pool;

  g_mutex_lock (&pool->lock);
  switch (id)
    {
    case PROP_WORKERS:
      pool->max_workers = g_value_get_uint (value) > 0 ? g_value_get_uint (value) : MAX (2, g_get_num_processors ());
      break;
    case PROP_MAX_PENDING:
      pool->max_pending = g_value_get_uint (value);
      break;
    case PROP_MAX_ABANDONED:
      pool->max_abandoned = g_value_get_uint (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&pool->lock);
}

static void
strand_thread_taskrunner_finalize (GObject *object)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (object)->pool;

  /* Every call holds its taskrunner, so none is left; the threads end on their own, perhaps this one among them. */
  g_mutex_lock (&pool->lock);
  pool->closed = TRUE;
  pool->stopping = TRUE;
  g_cond_broadcast (&pool->work);
  g_mutex_unlock (&pool->lock);
  pool_unref (pool);
  G_OBJECT_CLASS (strand_thread_taskrunner_parent_class)->finalize (object);
}

static void
strand_thread_taskrunner_class_init (StrandThreadTaskrunnerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = strand_thread_taskrunner_get_property;
  object_class->set_property = strand_thread_taskrunner_set_property;
  object_class->finalize = strand_thread_taskrunner_finalize;

  props[PROP_WORKERS] = g_param_spec_uint ("workers", NULL, "How many threads at most; 0: one for each processor, at least 2",
                                           0, 10000, 0, STRAND_PARAM_CONFIG);
  props[PROP_MAX_PENDING] = g_param_spec_uint ("max-pending", NULL, "How many calls may wait for a thread", 1,
                                               G_MAXUINT, DEFAULT_MAX_PENDING, STRAND_PARAM_CONFIG);
  props[PROP_MAX_ABANDONED] =
      g_param_spec_uint ("max-abandoned", NULL, "How many threads may be given up to functions that do not stop", 0,
                         10000, DEFAULT_MAX_ABANDONED, STRAND_PARAM_CONFIG);
  props[PROP_ABANDONED] = g_param_spec_uint ("abandoned", NULL, "How many threads are given up now", 0, G_MAXUINT, 0,
                                             G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_thread_taskrunner_init (StrandThreadTaskrunner *self)
{
  self->pool = pool_new ();
}

STRAND_PLUGIN_DEFINE ("thread-taskrunner", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_TASKRUNNER ("thread", StrandThreadTaskrunner, strand_thread_taskrunner_get_type,
                                                  "Runs calls in a bounded pool of threads of its own"))
