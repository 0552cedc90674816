/* thread-taskrunner.c — runs calls in a bounded pool of threads of its own.
 *
 * A call is pushed onto a lock-free stack, the intake; a worker that finds the line empty turns the intake
 * round and appends it. Threads are started as calls come, up to `workers`. One that runs out of work looks
 * around for a moment before it sleeps, and while somebody looks around nobody need be woken: a stream of
 * small calls costs no system calls. Who stops looking because it found a call passes the duty on if there is
 * more.
 *
 * A call with a priority of its own stands in a lane beside the line; most programs have none, and pay for it
 * with one look at a counter.
 *
 * A call that ignores being stopped keeps its thread, but not its place: the thread is abandoned, another
 * takes over, and what the function finally returns is thrown away. At most `max-abandoned` threads are given
 * up in this way. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "thread-lanes.h"

#define STRAND_TYPE_THREAD_TASKRUNNER (strand_thread_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrandThreadTaskrunner, strand_thread_taskrunner, STRAND, THREAD_TASKRUNNER, GObject)

/* Four million calls of 100 bytes are what a program may well have waiting; beyond that it has lost control.
 */
#define DEFAULT_MAX_QUEUED (4 * 1024 * 1024)

#define DEFAULT_MAX_ABANDONED 16

/* How long close() waits for what it has cancelled: the default grace twice. */
#define CLOSE_PATIENCE_US (10 * G_USEC_PER_SEC)

/* How long a worker looks around before it sleeps: as long as waking it again would take. */
#define LOOK_AROUND_US 20

/* How often a call is taken the other way round, lowest priority first, so that none waits for ever. */
#define TURN_ROUND 16

typedef struct _Worker Worker;

/* What the threads share. Lives until the last of them has ended, which may be after the taskrunner. */
typedef struct
{
  gatomicrefcount ref_count;

  /* Atomic. */
  StrandCall *intake; /* newest first; linked by their runner data, as the line is */
  int n_queued;
  int n_laned;   /* of them, in lanes */
  int n_looking; /* workers that look around, have been woken to, or are being started */
  int n_idle;    /* workers that sleep */
  int n_workers; /* those who are not abandoned */
  int closed;    /* takes no more calls */

  /* Set before the first call. */
  int max_queued;
  int max_workers;
  guint max_abandoned;

  GMutex lock; /* guards everything below */
  GCond work;  /* a sleeper is called, or the pool is stopping */
  GCond room;  /* a call was taken from a full line */
  GCond quiet; /* a worker has become idle or ended */

  StrandCall *first; /* the line: oldest first */
  StrandCall *last;
  GPtrArray *lanes;   /* of ThreadLane */
  guint n_turns;      /* calls taken while there were lanes */
  GPtrArray *workers; /* of Worker, those who are not abandoned */
  guint n_called;     /* sleepers called to work that have not woken yet */
  guint n_waiting;    /* callers who wait for room */
  guint n_abandoned;
  gboolean stopping; /* threads end */
} Pool;

struct _Worker
{
  Pool *pool;
  StrandCall
      *call; /* guarded by the pool's lock, as the next; held until the thread looks for the next one */
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
  PROP_MAX_QUEUED,
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
  pool->lanes = thread_lanes_new ();
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
  g_ptr_array_unref (pool->lanes);
  g_mutex_clear (&pool->lock);
  g_cond_clear (&pool->work);
  g_cond_clear (&pool->room);
  g_cond_clear (&pool->quiet);
  g_free (pool);
}

/* Who looks for work looks here without the lock. */
static void
set_first_locked (Pool *pool, StrandCall *call)
{
  g_atomic_pointer_set (&pool->first, call);
}

/* Appends the intake to the line, in the order of pushing. */
static void
take_in_locked (Pool *pool)
{
  StrandCall *call = g_atomic_pointer_exchange (&pool->intake, NULL);
  StrandCall *newest = call, *reversed = NULL;

  while (call != NULL)
    {
      StrandCall *next = strand_call_get_runner_data (call);

      strand_call_set_runner_data (call, reversed);
      reversed = call;
      call = next;
    }
  if (reversed == NULL)
    return;
  if (pool->last != NULL)
    strand_call_set_runner_data (pool->last, reversed);
  else
    set_first_locked (pool, reversed);
  pool->last = newest;
}

static StrandCall *
pop_line_locked (Pool *pool)
{
  StrandCall *call;

  if (pool->first == NULL)
    take_in_locked (pool);
  call = pool->first;
  if (call == NULL)
    return NULL;
  set_first_locked (pool, strand_call_get_runner_data (call));
  if (pool->first == NULL)
    pool->last = NULL;
  return call;
}

static StrandCall *
pop_lane_locked (Pool *pool, gboolean above, gboolean lowest_first)
{
  StrandCall *call = thread_lanes_pop (pool->lanes, above, lowest_first);

  if (call != NULL)
    g_atomic_int_add (&pool->n_laned, -1);
  return call;
}

/* Higher priorities first, the line in the middle; now and then the other way round. */
static StrandCall *
pop_in_turn_locked (Pool *pool)
{
  gboolean round = ++pool->n_turns % TURN_ROUND == 0;
  StrandCall *call = pop_lane_locked (pool, !round, round);

  if (call == NULL)
    call = pop_line_locked (pool);
  return call != NULL ? call : pop_lane_locked (pool, round, round);
}

static StrandCall *
pop_locked (Pool *pool)
{
  StrandCall *call =
      g_atomic_int_get (&pool->n_laned) == 0 ? pop_line_locked (pool) : pop_in_turn_locked (pool);

  if (call == NULL)
    return NULL;
  g_atomic_int_add (&pool->n_queued, -1);
  if (pool->n_waiting > 0)
    g_cond_signal (&pool->room);
  return call;
}

static void
push (Pool *pool, StrandCall *call)
{
  StrandCall *top = g_atomic_pointer_get (&pool->intake);

  do
    strand_call_set_runner_data (call, top);
  while (!g_atomic_pointer_compare_and_exchange_full (&pool->intake, top, call, &top));
}

static void
push_into_lane (Pool *pool, StrandCall *call, int priority)
{
  g_mutex_lock (&pool->lock);
  thread_lanes_push (pool->lanes, call, priority);
  g_atomic_int_inc (&pool->n_laned);
  g_mutex_unlock (&pool->lock);
}

static gboolean
has_work (Pool *pool)
{
  return g_atomic_pointer_get (&pool->intake) != NULL || g_atomic_pointer_get (&pool->first) != NULL ||
         g_atomic_int_get (&pool->n_laned) > 0;
}

static gpointer work (gpointer data);

/* Sees to it that somebody looks for work: a sleeper, or a new thread while there may be more. */
static void
call_worker_locked (Pool *pool)
{
  g_autoptr(GError) error = NULL;
  Worker *worker;
  GThread *thread;

  if (g_atomic_int_get (&pool->n_looking) > 0)
    return;
  if (pool->n_idle > (int) pool->n_called)
    {
      pool->n_called++;
      g_atomic_int_inc (&pool->n_looking);
      g_cond_signal (&pool->work);
      return;
    }
  if (pool->n_workers >= pool->max_workers)
    return;

  worker = g_new0 (Worker, 1);
  worker->pool = pool_ref (pool);
  g_ptr_array_add (pool->workers, worker);
  g_atomic_int_inc (&pool->n_workers);
  g_atomic_int_inc (&pool->n_looking);
  thread = g_thread_try_new ("strand-thread", work, worker, &error);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  g_warning ("Could not start a thread: %s; %d threads go on with the calls", error->message,
             pool->n_workers - 1);
  g_ptr_array_remove_fast (pool->workers, worker);
  g_atomic_int_add (&pool->n_workers, -1);
  g_atomic_int_add (&pool->n_looking, -1);
  g_free (worker);
  pool_unref (pool);
}

/* After a push, and after a looker found a call: does anybody look for the rest? */
static void
call_worker (Pool *pool)
{
  if (g_atomic_int_get (&pool->n_looking) > 0 ||
      (g_atomic_int_get (&pool->n_idle) == 0 && g_atomic_int_get (&pool->n_workers) >= pool->max_workers))
    return;
  g_mutex_lock (&pool->lock);
  call_worker_locked (pool);
  g_mutex_unlock (&pool->lock);
}

static StrandCall *
take_call (Worker *worker)
{
  Pool *pool = worker->pool;
  StrandCall *call = NULL, *old;

  g_mutex_lock (&pool->lock);
  if (!worker->abandoned)
    call = pop_locked (pool);
  old = worker->call;
  worker->call = call != NULL ? strand_call_ref (call) : NULL;
  if (call != NULL)
    strand_call_set_runner_data (call, worker);
  g_mutex_unlock (&pool->lock);
  if (old != NULL)
    strand_call_unref (old);
  return call;
}

/* Looks around until there is a call or the time is over. */
static StrandCall *
look_around (Worker *worker)
{
  gint64 until_us = g_get_monotonic_time () + LOOK_AROUND_US;

  do
    for (guint i = 0; i < 16; i++)
      {
        if (has_work (worker->pool))
          return take_call (worker);
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause ();
#endif
      }
  while (g_get_monotonic_time () < until_us);
  return NULL;
}

/* Sleeps until called. FALSE if the thread is to end. The caller has stopped looking, so anything pushed from
 * now on calls somebody; what was pushed before is seen here. */
static gboolean
sleep_until_called (Worker *worker)
{
  Pool *pool = worker->pool;
  gboolean stay;

  g_mutex_lock (&pool->lock);
  g_atomic_int_inc (&pool->n_idle);
  g_cond_broadcast (&pool->quiet);
  while (pool->n_called == 0 && !pool->stopping && !worker->abandoned && !has_work (pool))
    g_cond_wait (&pool->work, &pool->lock);
  g_atomic_int_add (&pool->n_idle, -1);
  stay = !worker->abandoned && (!pool->stopping || has_work (pool));
  if (pool->n_called > 0)
    pool->n_called--; /* n_looking counts us already */
  else
    g_atomic_int_inc (&pool->n_looking);
  g_mutex_unlock (&pool->lock);
  return stay;
}

/* The next call, however long it takes; NULL if the thread is to end. */
static StrandCall *
next_call (Worker *worker, gboolean *looking)
{
  Pool *pool = worker->pool;

  while (TRUE)
    {
      StrandCall *call = take_call (worker);

      if (call == NULL && !*looking && !worker->abandoned)
        {
          *looking = TRUE;
          g_atomic_int_inc (&pool->n_looking);
        }
      if (call == NULL && !worker->abandoned && pool->max_workers > 1)
        call = look_around (worker);
      if (*looking)
        g_atomic_int_add (&pool->n_looking, -1);
      if (call != NULL)
        {
          if (*looking && has_work (pool))
            call_worker (pool);
          *looking = FALSE;
          return call;
        }
      *looking = FALSE;
      if (!sleep_until_called (worker))
        {
          g_atomic_int_add (&pool->n_looking, -1);
          return NULL;
        }
      *looking = TRUE;
    }
}

static gpointer
work (gpointer data)
{
  Worker *worker = data;
  Pool *pool = worker->pool;
  gboolean looking = TRUE;
  StrandCall *call;

  while ((call = next_call (worker, &looking)) != NULL)
    strand_call_run (call);

  g_mutex_lock (&pool->lock);
  if (worker->abandoned)
    pool->n_abandoned--;
  else
    {
      g_ptr_array_remove_fast (pool->workers, worker);
      g_atomic_int_add (&pool->n_workers, -1);
    }
  g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);

  g_free (worker);
  pool_unref (pool);
  return NULL;
}

static StrandRunnerTraits
strand_thread_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  gboolean concurrent = STRAND_THREAD_TASKRUNNER (taskrunner)->pool->max_workers > 1;

  return STRAND_RUNNER_LENDS_CALLS | (concurrent ? STRAND_RUNNER_CONCURRENT : 0);
}

static guint
strand_thread_taskrunner_get_places (StrandTaskrunner *taskrunner)
{
  return (guint) STRAND_THREAD_TASKRUNNER (taskrunner)->pool->max_workers;
}

/* A place in the line, or an error. */
static gboolean
reserve_place (Pool *pool, gboolean may_block, GError **error)
{
  gboolean reserved = FALSE, closed;

  if (g_atomic_int_add (&pool->n_queued, 1) < pool->max_queued && !g_atomic_int_get (&pool->closed))
    return TRUE;

  g_mutex_lock (&pool->lock);
  g_atomic_int_add (&pool->n_queued, -1);
  g_cond_broadcast (&pool->quiet); /* close() may have counted this place as a call */
  pool->n_waiting++;
  while (!(closed = g_atomic_int_get (&pool->closed)) &&
         !(reserved = g_atomic_int_add (&pool->n_queued, 1) < pool->max_queued))
    {
      g_atomic_int_add (&pool->n_queued, -1);
      if (!may_block)
        break;
      g_cond_wait (&pool->room, &pool->lock);
    }
  pool->n_waiting--;
  g_mutex_unlock (&pool->lock);

  if (reserved)
    return TRUE;
  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%d calls are waiting for a thread, which is the limit; 'max-queued' raises it",
                 pool->max_queued);
  return FALSE;
}

static gboolean
strand_thread_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block,
                                 GError **error)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (taskrunner)->pool;
  int priority = strand_call_get_priority (call);

  if (!reserve_place (pool, may_block, error))
    return FALSE;
  /* The taskrunner may go as soon as the call has ended: the pool stays while we look at it. */
  pool_ref (pool);
  if (G_LIKELY (priority == 0))
    push (pool, call);
  else
    push_into_lane (pool, call, priority);
  call_worker (pool);
  pool_unref (pool);
  return TRUE;
}

static gboolean
strand_thread_taskrunner_stop (StrandTaskrunner *taskrunner, StrandCall *call)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (taskrunner)->pool;
  Worker *worker;

  g_mutex_lock (&pool->lock);
  worker = strand_call_get_runner_data (call);
  /* A call that a waiting thread runs itself has no worker; what it has instead is another call. */
  if (!g_ptr_array_find (pool->workers, worker, NULL) || worker->call != call)
    worker = NULL;
  if (worker != NULL && pool->n_abandoned < pool->max_abandoned)
    {
      worker->abandoned = TRUE;
      pool->n_abandoned++;
      g_ptr_array_remove_fast (pool->workers, worker);
      g_atomic_int_add (&pool->n_workers, -1);
      g_cond_broadcast (&pool->quiet);
      if (has_work (pool))
        call_worker_locked (pool);
    }
  else
    worker = NULL;
  g_mutex_unlock (&pool->lock);

  if (worker != NULL)
    strand_debug (STRAND_TOPIC_RUNNER, "abandoned a thread that runs '%s'",
                  strand_call_get_function_name (call));
  return worker != NULL;
}

static guint
n_busy_locked (Pool *pool)
{
  guint n_busy = (guint) g_atomic_int_get (&pool->n_queued);

  for (guint i = 0; i < pool->workers->len; i++)
    n_busy += ((Worker *) pool->workers->pdata[i])->call != NULL;
  return n_busy;
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
  gint64 until_us;
  guint n_left;

  g_mutex_lock (&pool->lock);
  g_atomic_int_set (&pool->closed, TRUE);
  g_cond_broadcast (&pool->room);
  while (n_busy_locked (pool) > 0)
    if (deadline_us < 0)
      g_cond_wait (&pool->quiet, &pool->lock);
    else if (!g_cond_wait_until (&pool->quiet, &pool->lock, deadline_us))
      break;

  n_left = n_busy_locked (pool);
  if (n_left > 0)
    cancel_all_locked (pool);
  /* What was cancelled ends by itself or is abandoned after its grace; what cannot be abandoned is left
   * alone. */
  until_us = g_get_monotonic_time () + CLOSE_PATIENCE_US;
  while (n_busy_locked (pool) > 0 && g_cond_wait_until (&pool->quiet, &pool->lock, until_us))
    ;
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
  iface->get_places = strand_thread_taskrunner_get_places;
}

static void
strand_thread_taskrunner_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  Pool *pool = STRAND_THREAD_TASKRUNNER (object)->pool;

  g_mutex_lock (&pool->lock);
  switch (id)
    {
    case PROP_WORKERS:
      g_value_set_uint (value, (guint) pool->max_workers);
      break;
    case PROP_MAX_QUEUED:
      g_value_set_uint (value, (guint) pool->max_queued);
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
      pool->max_workers = g_value_get_uint (value) > 0 ? (int) g_value_get_uint (value)
                                                       : MAX (2, (int) g_get_num_processors ());
      break;
    case PROP_MAX_QUEUED:
      pool->max_queued = (int) g_value_get_uint (value);
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

  /* Every call holds its taskrunner, so none is left; the threads end on their own, perhaps this one among
   * them. */
  g_mutex_lock (&pool->lock);
  g_atomic_int_set (&pool->closed, TRUE);
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

  props[PROP_WORKERS] =
      g_param_spec_uint ("workers", NULL, "How many threads at most; 0: one for each processor, at least 2",
                         0, 10000, 0, STRAND_PARAM_CONFIG);
  props[PROP_MAX_QUEUED] = g_param_spec_uint ("max-queued", NULL, "How many calls may wait for a thread", 1,
                                              G_MAXINT, DEFAULT_MAX_QUEUED, STRAND_PARAM_CONFIG);
  props[PROP_MAX_ABANDONED] = g_param_spec_uint (
      "max-abandoned", NULL, "How many threads may be given up to functions that do not stop", 0, 10000,
      DEFAULT_MAX_ABANDONED, STRAND_PARAM_CONFIG);
  props[PROP_ABANDONED] = g_param_spec_uint ("abandoned", NULL, "How many threads are given up now", 0,
                                             G_MAXUINT, 0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_thread_taskrunner_init (StrandThreadTaskrunner *self)
{
  self->pool = pool_new ();
}

STRAND_PLUGIN_DEFINE ("thread-taskrunner", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_TASKRUNNER ("thread", StrandThreadTaskrunner,
                                                  strand_thread_taskrunner_get_type,
                                                  "Runs calls in a bounded pool of threads of its own"))
