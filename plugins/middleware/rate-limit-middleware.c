/* rate-limit-middleware.c — lets so many calls go in a period, and no more.
 *
 * The decision stands before each attempt, because it is runs that are rationed: a retry is one, a call that
 * never starts is none. What is above the rate is refused, with the time at which there is room again, or
 * waits. Who waits has a place, taken ahead of time, in the order in which they came; nobody overtakes, and
 * nobody looks at a clock meanwhile: one timer a place lets the first in line go. A call that is cancelled
 * leaves its place to the next and the last place free.
 *
 * With a store, all processes count in one record. A thread of this middleware's decides there: for whatever
 * has gathered while it was writing, at once, in one write. Tokens are taken for calls that are there, never
 * in advance, so the count is exact; and that there is no room is decided without a look at the store,
 * because room only comes with time, and the places of others only make it less. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"
#include "limit-record.h"
#include "rate-bucket.h"

#define STRAND_TYPE_RATE_LIMIT_MIDDLEWARE (strand_rate_limit_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandRateLimitMiddleware, strand_rate_limit_middleware, STRAND, RATE_LIMIT_MIDDLEWARE,
                      GObject)

#define DEFAULT_PER_US ((gint64) G_USEC_PER_SEC)
#define DEFAULT_MAX_WAIT_US (30 * (gint64) G_USEC_PER_SEC)
#define DEFAULT_MAX_WAITING 10000
#define DEFAULT_MAX_KEYS 10000

/* How long the thread of a shared limit stays without calls: longer than the pauses of a busy program. */
#define IDLE_US (2 * G_USEC_PER_SEC)

/* At most this many calls are decided in one write, so that none waits for a whole flood. */
#define MAX_BATCH 1000

typedef enum
{
  MODE_REJECT,
  MODE_WAIT,
} Mode;

/* What is counted together. Lives as long as the middleware, or until it is as if new. */
typedef struct
{
  StrandRateLimitMiddleware *middleware; /* not held */
  RateBucket *bucket;
  LimitRecord *record; /* the thread's; NULL for a local limit */
  GQueue waiting;      /* of Waiter, first come first */
  GQueue places;       /* of Place, earliest first; as many */
  guint n_asked;       /* waiters that the thread has not decided on */
} Limit;

/* A time at which one of the waiters may go. Belongs to its timer. */
typedef struct
{
  StrandRateLimitMiddleware *middleware; /* held */
  Limit *limit;
  GList link; /* in the limit's places; data NULL once it is out */
  guint64 timer;
} Place;

/* A call that was told to wait. */
typedef struct
{
  gatomicrefcount ref_count;
  StrandCall *attempt; /* held until it is let go */
  Limit *limit;
  GQueue *queue; /* that it stands in; NULL for none */
  GList link;
} Waiter;

struct _StrandRateLimitMiddleware
{
  GObject parent_instance;

  RateLimits rate; /* set at construction, as the others down to the lock */
  CallGroups groups;
  Mode mode;
  gint64 max_wait_us;
  guint max_waiting;
  guint max_keys;
  StrandStore *store;
  char *name;
  LimitFailure store_failure;

  GMutex lock; /* guards everything below */
  GCond asked_changed;
  GHashTable *limits;  /* of Limit, by key */
  GHashTable *waiters; /* of Waiter, by attempt */
  GQueue asked;        /* of Waiter: for the thread to decide on */
  GThread *thread;     /* NULL while there is nothing to decide; not held */
};

typedef enum
{
  PROP_MAX_CALLS = 1,
  PROP_PER,
  PROP_BURST,
  PROP_ALGORITHM,
  PROP_FUNCTIONS,
  PROP_SCOPE,
  PROP_PARAMETER,
  PROP_MODE,
  PROP_MAX_WAIT,
  PROP_MAX_WAITING,
  PROP_MAX_KEYS,
  PROP_STORE,
  PROP_NAME,
  PROP_STORE_FAILURE,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandRateLimitMiddleware, strand_rate_limit_middleware, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

static GType
algorithm_get_type (void)
{
  static const GEnumValue values[] = {
    { RATE_TOKEN_BUCKET, "RATE_TOKEN_BUCKET", "token-bucket" },
    { RATE_SLIDING_WINDOW, "RATE_SLIDING_WINDOW", "sliding-window" },
    { 0, NULL, NULL },
  };

  return call_group_register_enum ("StrandRateAlgorithm", values);
}

static GType
mode_get_type (void)
{
  static const GEnumValue values[] = {
    { MODE_REJECT, "MODE_REJECT", "reject" },
    { MODE_WAIT, "MODE_WAIT", "wait" },
    { 0, NULL, NULL },
  };

  return call_group_register_enum ("StrandRateMode", values);
}

/* What a shared limit counts with is wall time, which processes and hosts have in common. */
static gint64
now_of (StrandRateLimitMiddleware *self)
{
  return self->store != NULL ? strand_clock_now_us () : strand_clock_monotonic_us ();
}

/* Limits. */

static LimitRecord *
make_record (StrandRateLimitMiddleware *self, const char *key)
{
  g_autofree char *rate = g_strdup_printf ("%d %u %" G_GINT64_FORMAT " %u", (int) self->rate.algorithm,
                                           self->rate.max_calls, self->rate.per_us, self->rate.burst);
  /* Equal settings count together; others, under the same name too, have nothing in common. */
  const char *const words[] = { "rate-limit", self->name, rate, key, NULL };

  return limit_record_new (self->store, words, MAX (2 * self->rate.per_us, 60 * G_USEC_PER_SEC));
}

static Limit *
limit_new (StrandRateLimitMiddleware *self, const char *key)
{
  Limit *limit = g_new0 (Limit, 1);

  limit->middleware = self;
  limit->bucket = rate_bucket_new (&self->rate);
  limit->record = self->store != NULL ? make_record (self, key) : NULL;
  return limit;
}

static void
limit_free (gpointer data)
{
  Limit *limit = data;

  g_assert (limit->waiting.length == 0);
  rate_bucket_free (limit->bucket);
  g_clear_pointer (&limit->record, limit_record_free);
  g_free (limit);
}

static gboolean
is_unused (gpointer key, gpointer data, gpointer now_us)
{
  Limit *limit = data;

  return limit->waiting.length == 0 && limit->places.length == 0 && limit->n_asked == 0 &&
         rate_bucket_is_idle (limit->bucket, *(gint64 *) now_us);
}

/* NULL if there are as many as there may be. */
static Limit *
ensure_limit_locked (StrandRateLimitMiddleware *self, StrandCall *attempt)
{
  g_autofree char *storage = NULL;
  const char *key = call_group_key (&self->groups, attempt, &storage);
  Limit *limit = g_hash_table_lookup (self->limits, key);
  gint64 now_us;

  if (limit != NULL)
    return limit;
  if (g_hash_table_size (self->limits) >= self->max_keys)
    {
      now_us = now_of (self);
      g_hash_table_foreach_remove (self->limits, is_unused, &now_us);
      if (g_hash_table_size (self->limits) >= self->max_keys)
        return NULL;
    }
  limit = limit_new (self, key);
  g_hash_table_insert (self->limits, g_strdup (key), limit);
  return limit;
}

/* Waiters. */

static void
waiter_unref (gpointer data)
{
  Waiter *waiter = data;

  if (!g_atomic_ref_count_dec (&waiter->ref_count))
    return;
  strand_call_unref (waiter->attempt);
  g_free (waiter);
}

static void
stand_in_locked (Waiter *waiter, GQueue *queue)
{
  waiter->queue = queue;
  g_queue_push_tail_link (queue, &waiter->link);
}

static Waiter *
add_waiter_locked (StrandRateLimitMiddleware *self, StrandCall *attempt, Limit *limit, GQueue *queue)
{
  Waiter *waiter = g_new0 (Waiter, 1);

  g_atomic_ref_count_init (&waiter->ref_count);
  waiter->attempt = strand_call_ref (attempt);
  waiter->limit = limit;
  waiter->link.data = waiter;
  stand_in_locked (waiter, queue);
  g_hash_table_insert (self->waiters, attempt, waiter);
  return waiter;
}

/* Places. */

static void
place_free (gpointer data)
{
  Place *place = data;

  g_object_unref (place->middleware);
  g_free (place);
}

static void
remove_place_locked (Place *place)
{
  g_queue_unlink (&place->limit->places, &place->link);
  place->link.data = NULL;
}

/* Its time has come: the first in line goes. */
static void
on_place (gpointer data)
{
  Place *place = data;
  StrandRateLimitMiddleware *self = place->middleware;
  StrandCall *attempt = NULL;
  GList *first = NULL;

  g_mutex_lock (&self->lock);
  if (place->link.data != NULL)
    {
      remove_place_locked (place);
      first = g_queue_pop_head_link (&place->limit->waiting);
    }
  if (first != NULL)
    {
      Waiter *waiter = first->data;

      waiter->queue = NULL;
      attempt = strand_call_ref (waiter->attempt);
      g_hash_table_remove (self->waiters, attempt);
    }
  g_mutex_unlock (&self->lock);

  if (attempt == NULL)
    return;
  strand_call_resume (attempt, STRAND_VERDICT_CONTINUE, NULL, NULL);
  strand_call_unref (attempt);
}

static void
add_place_locked (StrandRateLimitMiddleware *self, Limit *limit, gint64 wait_us)
{
  Place *place = g_new0 (Place, 1);

  place->middleware = g_object_ref (self);
  place->limit = limit;
  place->link.data = place;
  g_queue_push_tail_link (&limit->places, &place->link);
  place->timer = strand_clock_add_timer (strand_clock_monotonic_us () + wait_us, on_place, place, place_free);
}

/* One waiter less: those behind it move up, and the last place is free. Returns its timer. */
static guint64
drop_last_place_locked (StrandRateLimitMiddleware *self, Limit *limit)
{
  Place *last = g_queue_peek_tail (&limit->places);
  guint64 timer;

  if (last == NULL)
    return 0;
  timer = last->timer;
  remove_place_locked (last);
  /* In the store, where others stand behind it perhaps, it is just not used. */
  if (self->store == NULL)
    rate_bucket_give_back (limit->bucket);
  return timer;
}

/* Decisions. */

static GError *
too_many (StrandRateLimitMiddleware *self, StrandCall *attempt, gint64 wait_us)
{
  g_autofree char *per = strand_duration_to_string (self->rate.per_us);

  strand_call_set_retry_after (attempt, strand_clock_now_us () + wait_us);
  return g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED,
                      "there were %u calls in %s, which is the limit for '%s'", self->rate.max_calls, per,
                      strand_call_get_function_name (attempt));
}

static GError *
too_many_waiting (StrandRateLimitMiddleware *self, StrandCall *attempt, gint64 wait_us)
{
  strand_call_set_retry_after (attempt, strand_clock_now_us () + wait_us);
  return g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED, "%u calls wait already, which 'max-waiting' limits",
                      self->max_waiting);
}

static GError *
too_many_keys (StrandRateLimitMiddleware *self)
{
  return g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED,
                      "%u values are counted already, which 'max-keys' limits", self->max_keys);
}

static gboolean
may_wait (StrandRateLimitMiddleware *self, gint64 wait_us)
{
  return wait_us <= 0 || (self->mode == MODE_WAIT && (self->max_wait_us < 0 || wait_us <= self->max_wait_us));
}

static StrandVerdict
decide_here_locked (StrandRateLimitMiddleware *self, Limit *limit, StrandCall *attempt, GError **error)
{
  gint64 now_us = strand_clock_monotonic_us ();
  gint64 wait_us = rate_bucket_next (limit->bucket, now_us) - now_us;

  if (!may_wait (self, wait_us))
    *error = too_many (self, attempt, wait_us);
  else if (wait_us > 0 && g_hash_table_size (self->waiters) >= self->max_waiting)
    *error = too_many_waiting (self, attempt, wait_us);
  if (*error != NULL)
    return STRAND_VERDICT_REFUSE;

  rate_bucket_take (limit->bucket, now_us);
  if (wait_us <= 0)
    return STRAND_VERDICT_CONTINUE;
  add_waiter_locked (self, attempt, limit, &limit->waiting);
  add_place_locked (self, limit, wait_us);
  return STRAND_VERDICT_LATER;
}

/* The shared limit. */

typedef struct
{
  StrandRateLimitMiddleware *middleware;
  Limit *limit;
  GPtrArray *waiters; /* of Waiter, all of one limit, in order */
  GArray *times;      /* of gint64: when each may go; G_MAXINT64: it is refused */
  gint64 now_us;
  gint64 next_us; /* for those that are refused */
} Batch;

/* Takes as many places as there are within the wait. */
static GVariant *
take_places (GVariant *state, gpointer data)
{
  Batch *batch = data;
  RateBucket *bucket = batch->limit->bucket;
  gboolean taken = FALSE;

  g_array_set_size (batch->times, 0);
  batch->now_us = strand_clock_now_us ();
  rate_bucket_load (bucket, state);
  for (guint i = 0; i < batch->waiters->len; i++)
    {
      gint64 time_us = rate_bucket_next (bucket, batch->now_us);

      if (may_wait (batch->middleware, time_us - batch->now_us))
        {
          rate_bucket_take (bucket, batch->now_us);
          taken = TRUE;
        }
      else
        {
          batch->next_us = time_us;
          time_us = G_MAXINT64;
        }
      g_array_append_val (batch->times, time_us);
    }
  return taken ? rate_bucket_save (bucket) : NULL;
}

/* TRUE if the call is to be resumed now. */
static gboolean
settle_locked (StrandRateLimitMiddleware *self, Waiter *waiter, gint64 wait_us)
{
  if (g_hash_table_lookup (self->waiters, waiter->attempt) != waiter)
    return FALSE; /* cancelled meanwhile: its place is just not used */
  if (wait_us > 0 && wait_us < G_MAXINT64)
    {
      stand_in_locked (waiter, &waiter->limit->waiting);
      add_place_locked (self, waiter->limit, wait_us);
      return FALSE;
    }
  g_hash_table_remove (self->waiters, waiter->attempt);
  return TRUE;
}

static void
tell (Batch *batch, Waiter *waiter, gint64 time_us, const GError *failure)
{
  StrandRateLimitMiddleware *self = batch->middleware;
  gboolean refused = time_us == G_MAXINT64;
  GError *error = NULL;
  gboolean now;

  g_mutex_lock (&self->lock);
  waiter->limit->n_asked--;
  now = settle_locked (self, waiter, refused ? 0 : time_us - batch->now_us);
  g_mutex_unlock (&self->lock);
  if (!now)
    return;
  if (refused && failure != NULL)
    error = g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED, "the calls could not be counted: %s",
                         failure->message);
  else if (refused)
    error = too_many (self, waiter->attempt, batch->next_us - batch->now_us);
  if (!strand_call_resume (waiter->attempt, refused ? STRAND_VERDICT_REFUSE : STRAND_VERDICT_CONTINUE, NULL,
                           error))
    g_clear_error (&error);
}

static void
decide_batch (Batch *batch)
{
  StrandRateLimitMiddleware *self = batch->middleware;
  g_autoptr(GError) failure = NULL;

  /* To know that there is no room takes no look at the store. */
  limit_record_change (batch->limit->record, TRUE, take_places, batch, &failure);
  if (failure != NULL)
    strand_debug (STRAND_TOPIC_MIDDLEWARE, "rate-limit could not count: %s", failure->message);
  for (guint i = 0; i < batch->waiters->len; i++)
    {
      gint64 time_us = failure == NULL                      ? g_array_index (batch->times, gint64, i)
                       : self->store_failure == LIMIT_ALLOW ? batch->now_us
                                                            : G_MAXINT64;

      tell (batch, batch->waiters->pdata[i], time_us, failure);
    }
}

/* The first in line and whoever else counts with it. */
static void
gather_locked (StrandRateLimitMiddleware *self, Batch *batch)
{
  GList *next;

  batch->limit = ((Waiter *) self->asked.head->data)->limit;
  for (GList *l = self->asked.head; l != NULL && batch->waiters->len < MAX_BATCH; l = next)
    {
      Waiter *waiter = l->data;

      next = l->next;
      if (waiter->limit != batch->limit)
        continue;
      g_queue_unlink (&self->asked, l);
      waiter->queue = NULL;
      g_atomic_ref_count_inc (&waiter->ref_count);
      g_ptr_array_add (batch->waiters, waiter);
    }
}

static void
decide_some_locked (StrandRateLimitMiddleware *self)
{
  g_autoptr(GPtrArray) waiters = g_ptr_array_new_with_free_func (waiter_unref);
  g_autoptr(GArray) times = g_array_new (FALSE, FALSE, sizeof (gint64));
  Batch batch = { .middleware = self, .waiters = waiters, .times = times };

  gather_locked (self, &batch);
  g_mutex_unlock (&self->lock);
  decide_batch (&batch);
  g_ptr_array_set_size (waiters, 0);
  g_mutex_lock (&self->lock);
}

/* Holds the middleware; with nothing to do for a while it ends, so that one that nobody holds can go. */
static gpointer
decide_all (gpointer data)
{
  g_autoptr(StrandRateLimitMiddleware) self = data;
  gboolean idle = FALSE;

  g_mutex_lock (&self->lock);
  while (self->asked.length > 0 || !idle)
    if (self->asked.length > 0)
      decide_some_locked (self);
    else
      idle = !g_cond_wait_until (&self->asked_changed, &self->lock, g_get_monotonic_time () + IDLE_US);
  self->thread = NULL;
  g_mutex_unlock (&self->lock);
  return NULL;
}

static StrandVerdict
ask_locked (StrandRateLimitMiddleware *self, Limit *limit, StrandCall *attempt, GError **error)
{
  if (g_hash_table_size (self->waiters) >= self->max_waiting)
    {
      *error = too_many_waiting (self, attempt, 0);
      return STRAND_VERDICT_REFUSE;
    }
  add_waiter_locked (self, attempt, limit, &self->asked);
  limit->n_asked++;
  g_cond_signal (&self->asked_changed);
  if (self->thread == NULL)
    {
      self->thread = g_thread_new ("strand-rate", decide_all, g_object_ref (self));
      g_thread_unref (self->thread);
    }
  return STRAND_VERDICT_LATER;
}

/* The interface. */

static StrandVerdict
strand_rate_limit_middleware_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value,
                                     GError **error)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (middleware);
  StrandVerdict verdict = STRAND_VERDICT_REFUSE;
  Limit *limit;

  if (!call_group_matches (self->groups.functions, attempt))
    return STRAND_VERDICT_CONTINUE;

  g_mutex_lock (&self->lock);
  limit = ensure_limit_locked (self, attempt);
  if (limit == NULL)
    *error = too_many_keys (self);
  else if (self->store == NULL)
    verdict = decide_here_locked (self, limit, attempt, error);
  else
    verdict = ask_locked (self, limit, attempt, error);
  g_mutex_unlock (&self->lock);
  return verdict;
}

/* A call that was cancelled while it waited is in a queue still. */
static void
strand_rate_limit_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                                       gboolean will_retry)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (middleware);
  guint64 timer = 0;
  Waiter *waiter;

  g_mutex_lock (&self->lock);
  waiter = g_hash_table_lookup (self->waiters, attempt);
  if (waiter != NULL)
    {
      if (waiter->queue == &self->asked)
        waiter->limit->n_asked--;
      if (waiter->queue != NULL)
        g_queue_unlink (waiter->queue, &waiter->link);
      if (waiter->queue == &waiter->limit->waiting)
        timer = drop_last_place_locked (self, waiter->limit);
      g_hash_table_remove (self->waiters, attempt);
    }
  g_mutex_unlock (&self->lock);
  /* The place goes with it, and its hold on the middleware. */
  if (timer != 0)
    strand_clock_remove_timer (timer);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->before = strand_rate_limit_middleware_before;
  iface->on_error = strand_rate_limit_middleware_on_error;
}

static gboolean
strand_rate_limit_middleware_initable_init (GInitable *initable, GCancellable *cancellable, GError **error)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (initable);

  if (!call_group_check (&self->groups, error))
    return FALSE;
  if (self->rate.algorithm == RATE_TOKEN_BUCKET || self->rate.burst == self->rate.max_calls)
    return TRUE;
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
      "'burst' is %u, but a sliding window has no bursts beside its 'max-calls'; remove 'burst', or set "
      "'algorithm=token-bucket'",
      self->rate.burst);
  return FALSE;
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_rate_limit_middleware_initable_init;
}

static void
strand_rate_limit_middleware_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_MAX_CALLS:
      self->rate.max_calls = g_value_get_uint (value);
      break;
    case PROP_PER:
      self->rate.per_us = g_value_get_int64 (value);
      break;
    case PROP_BURST:
      self->rate.burst = g_value_get_uint (value);
      break;
    case PROP_ALGORITHM:
      self->rate.algorithm = (RateAlgorithm) g_value_get_enum (value);
      break;
    case PROP_FUNCTIONS:
      self->groups.functions = g_value_dup_boxed (value);
      break;
    case PROP_SCOPE:
      self->groups.scope = (GroupScope) g_value_get_enum (value);
      break;
    case PROP_PARAMETER:
      self->groups.parameter = g_value_dup_string (value);
      break;
    case PROP_MODE:
      self->mode = (Mode) g_value_get_enum (value);
      break;
    case PROP_MAX_WAIT:
      self->max_wait_us = g_value_get_int64 (value);
      break;
    case PROP_MAX_WAITING:
      self->max_waiting = g_value_get_uint (value);
      break;
    case PROP_MAX_KEYS:
      self->max_keys = g_value_get_uint (value);
      break;
    case PROP_STORE:
      self->store = g_value_dup_object (value);
      break;
    case PROP_NAME:
      self->name = g_value_dup_string (value);
      break;
    case PROP_STORE_FAILURE:
      self->store_failure = (LimitFailure) g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_rate_limit_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_MAX_CALLS:
      g_value_set_uint (value, self->rate.max_calls);
      break;
    case PROP_PER:
      g_value_set_int64 (value, self->rate.per_us);
      break;
    case PROP_BURST:
      g_value_set_uint (value, self->rate.burst);
      break;
    case PROP_ALGORITHM:
      g_value_set_enum (value, (int) self->rate.algorithm);
      break;
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->groups.functions);
      break;
    case PROP_SCOPE:
      g_value_set_enum (value, (int) self->groups.scope);
      break;
    case PROP_PARAMETER:
      g_value_set_string (value, self->groups.parameter);
      break;
    case PROP_MODE:
      g_value_set_enum (value, (int) self->mode);
      break;
    case PROP_MAX_WAIT:
      g_value_set_int64 (value, self->max_wait_us);
      break;
    case PROP_MAX_WAITING:
      g_value_set_uint (value, self->max_waiting);
      break;
    case PROP_MAX_KEYS:
      g_value_set_uint (value, self->max_keys);
      break;
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_STORE_FAILURE:
      g_value_set_enum (value, (int) self->store_failure);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_rate_limit_middleware_constructed (GObject *object)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (object);

  if (self->rate.burst == 0)
    self->rate.burst = self->rate.max_calls;
  G_OBJECT_CLASS (strand_rate_limit_middleware_parent_class)->constructed (object);
}

/* Places and the thread hold the middleware, so nobody waits. */
static void
strand_rate_limit_middleware_finalize (GObject *object)
{
  StrandRateLimitMiddleware *self = STRAND_RATE_LIMIT_MIDDLEWARE (object);

  g_hash_table_unref (self->waiters);
  g_hash_table_unref (self->limits);
  call_group_clear (&self->groups);
  g_clear_object (&self->store);
  g_free (self->name);
  g_cond_clear (&self->asked_changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_rate_limit_middleware_parent_class)->finalize (object);
}

static void
strand_rate_limit_middleware_class_init (StrandRateLimitMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_rate_limit_middleware_set_property;
  object_class->get_property = strand_rate_limit_middleware_get_property;
  object_class->constructed = strand_rate_limit_middleware_constructed;
  object_class->finalize = strand_rate_limit_middleware_finalize;

  props[PROP_MAX_CALLS] = g_param_spec_uint ("max-calls", NULL, "How many calls go in a period", 1,
                                             RATE_MAX_CALLS, 1, fixed | STRAND_PARAM_REQUIRED);
  props[PROP_PER] = g_param_spec_int64 ("per", NULL, "The period", 1, RATE_MAX_PER_US, DEFAULT_PER_US,
                                        fixed | STRAND_PARAM_DURATION);
  props[PROP_BURST] =
      g_param_spec_uint ("burst", NULL, "How many calls go at once after a pause; 0: as 'max-calls'", 0,
                         RATE_MAX_CALLS, 0, fixed);
  props[PROP_ALGORITHM] =
      g_param_spec_enum ("algorithm", NULL, "How calls are counted: token-bucket or sliding-window",
                         algorithm_get_type (), RATE_TOKEN_BUCKET, fixed);
  props[PROP_FUNCTIONS] = g_param_spec_boxed ("functions", NULL, "Patterns of the functions meant; none: all",
                                              G_TYPE_STRV, fixed);
  props[PROP_SCOPE] = g_param_spec_enum ("scope", NULL, "What counts together: function, parameter or global",
                                         call_group_scope_get_type (), GROUP_BY_FUNCTION, fixed);
  props[PROP_PARAMETER] = g_param_spec_string (
      "parameter", NULL, "With scope 'parameter': whose values are counted apart", NULL, fixed);
  props[PROP_MODE] = g_param_spec_enum ("mode", NULL, "What becomes of a call above the rate: reject or wait",
                                        mode_get_type (), MODE_REJECT, fixed);
  props[PROP_MAX_WAIT] =
      g_param_spec_int64 ("max-wait", NULL, "With mode 'wait': calls that would wait longer are refused", -1,
                          G_MAXINT64, DEFAULT_MAX_WAIT_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_WAITING] = g_param_spec_uint ("max-waiting", NULL, "How many calls may wait", 1,
                                               RATE_MAX_CALLS, DEFAULT_MAX_WAITING, fixed);
  props[PROP_MAX_KEYS] =
      g_param_spec_uint ("max-keys", NULL, "How many functions or values are counted at a time", 1,
                         RATE_MAX_CALLS, DEFAULT_MAX_KEYS, fixed);
  props[PROP_STORE] = g_param_spec_object (
      "store", NULL, "Where all processes count together; none: each alone", STRAND_TYPE_STORE, fixed);
  props[PROP_NAME] = g_param_spec_string ("name", NULL, "With 'store': tells apart limits of equal settings",
                                          "default", fixed);
  props[PROP_STORE_FAILURE] = g_param_spec_enum (
      "store-failure", NULL, "What becomes of calls that cannot be counted: refuse or allow",
      limit_failure_get_type (), LIMIT_REFUSE, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_rate_limit_middleware_init (StrandRateLimitMiddleware *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->asked_changed);
  g_queue_init (&self->asked);
  self->limits = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, limit_free);
  self->waiters = g_hash_table_new_full (NULL, NULL, NULL, waiter_unref);
}

STRAND_PLUGIN_DEFINE ("rate-limit-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("rate-limit", StrandRateLimitMiddleware,
                                                  strand_rate_limit_middleware_get_type,
                                                  "Lets so many calls go in a period, and no more"))
