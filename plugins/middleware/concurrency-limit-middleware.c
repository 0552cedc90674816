/* concurrency-limit-middleware.c — lets so many calls run at a time, and no more.
 *
 * A call takes a seat before it runs and leaves it when its attempt has ended, however that ended. Above the
 * number of seats a call is refused, or waits in line, holding no thread.
 *
 * With a store, all processes sit around one record, which says who has how many seats (seat-table.c). A
 * thread of this middleware's keeps our entry there: it takes seats for those who wait, gives back those
 * left, says every third of the lease that we are alive, and takes seats away from processes that are not.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"
#include "limit-record.h"
#include "seat-table.h"

#define STRAND_TYPE_CONCURRENCY_LIMIT_MIDDLEWARE (strand_concurrency_limit_middleware_get_type ())
G_DECLARE_FINAL_TYPE (StrandConcurrencyLimitMiddleware, strand_concurrency_limit_middleware, STRAND,
                      CONCURRENCY_LIMIT_MIDDLEWARE, GObject)

#define OWNER_KIND "limit"

#define MAX_DURATION_US (G_GINT64_CONSTANT (5200) * 7 * 24 * 3600 * G_USEC_PER_SEC) /* a century */
#define DEFAULT_MAX_WAIT_US (30 * (gint64) G_USEC_PER_SEC)
#define DEFAULT_LEASE_US (15 * (gint64) G_USEC_PER_SEC)
#define DEFAULT_MAX_WAITING 10000
#define DEFAULT_MAX_KEYS 10000
#define MAX_NUMBER 1000000

/* How soon the seats of a process that died on this host are found free: one check a second while calls wait.
 */
#define LOOK_US ((gint64) G_USEC_PER_SEC)

/* How long the thread stays without seats and calls: longer than the pauses of a busy program. */
#define IDLE_US (2 * G_USEC_PER_SEC)

typedef enum
{
  MODE_REJECT,
  MODE_WAIT,
} Mode;

/* What sits together. */
typedef struct
{
  guint n_running;
  GQueue waiting; /* of Waiter, first come first */

  /* For the thread of a shared limit; down to `dirty` its own. */
  LimitRecord *record;
  SeatTable *seats;
  guint watch;
  gint64 renew_us; /* when to say again that we are alive */
  gint64 due_us;   /* when to look again; G_MAXINT64: nothing to look for */
  gboolean dirty;
} Group;

typedef struct
{
  gatomicrefcount ref_count;
  StrandConcurrencyLimitMiddleware *middleware; /* held */
  StrandCall *attempt;                          /* held */
  Group *group;
  GList link;      /* in the group's waiting */
  guint64 timer;   /* 0 for none */
  gboolean queued; /* in the line */
} Waiter;

struct _StrandConcurrencyLimitMiddleware
{
  GObject parent_instance;

  guint max_calls; /* set at construction, as the others down to the lock */
  CallGroups groups_by;
  Mode mode;
  gint64 max_wait_us;
  guint max_waiting;
  guint max_keys;
  StrandStore *store;
  char *name;
  LimitFailure store_failure;
  gint64 lease_us;
  char *owner;

  GMutex lock; /* guards everything below */
  GCond changed;
  GHashTable *groups;  /* of Group, by key */
  GHashTable *running; /* of Group, by attempt */
  GHashTable *waiters; /* of Waiter, by attempt */
  GThread *thread;     /* NULL while nobody has or wants a seat; not held */
};

typedef enum
{
  PROP_MAX_CALLS = 1,
  PROP_FUNCTIONS,
  PROP_SCOPE,
  PROP_PARAMETER,
  PROP_MODE,
  PROP_MAX_WAIT,
  PROP_MAX_WAITING,
  PROP_MAX_KEYS,
  PROP_STORE,
  PROP_NAME,
  PROP_LEASE,
  PROP_STORE_FAILURE,
  N_PROPS
} Property;

static GParamSpec *props[N_PROPS];

static void middleware_init (StrandMiddlewareInterface *iface);
static void initable_init (GInitableIface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandConcurrencyLimitMiddleware, strand_concurrency_limit_middleware,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, middleware_init)
                                   G_IMPLEMENT_INTERFACE (G_TYPE_INITABLE, initable_init))

static GType
mode_get_type (void)
{
  static const GEnumValue values[] = {
    { MODE_REJECT, "MODE_REJECT", "reject" },
    { MODE_WAIT, "MODE_WAIT", "wait" },
    { 0, NULL, NULL },
  };

  return call_group_register_enum ("StrandConcurrencyMode", values);
}

/* Groups. */

static void
group_free (gpointer data)
{
  Group *group = data;

  g_assert (group->waiting.length == 0 && group->watch == 0);
  g_clear_pointer (&group->record, limit_record_free);
  g_clear_pointer (&group->seats, seat_table_free);
  g_free (group);
}

static Group *
group_new (StrandConcurrencyLimitMiddleware *self, const char *key)
{
  const char *const words[] = { "concurrency-limit", self->name, key, NULL };
  Group *group = g_new0 (Group, 1);

  group->due_us = G_MAXINT64;
  if (self->store == NULL)
    return group;
  group->record = limit_record_new (self->store, words, MAX (4 * self->lease_us, 60 * G_USEC_PER_SEC));
  group->seats = seat_table_new (self->owner, self->max_calls, self->lease_us);
  return group;
}

static gboolean
is_unused (gpointer key, gpointer data, gpointer unused)
{
  Group *group = data;

  return group->n_running == 0 && group->waiting.length == 0 && group->due_us == G_MAXINT64 && !group->dirty;
}

/* NULL if there are as many as there may be. */
static Group *
ensure_group_locked (StrandConcurrencyLimitMiddleware *self, StrandCall *attempt)
{
  g_autofree char *storage = NULL;
  const char *key = call_group_key (&self->groups_by, attempt, &storage);
  Group *group = g_hash_table_lookup (self->groups, key);

  if (group != NULL)
    return group;
  if (g_hash_table_size (self->groups) >= self->max_keys)
    g_hash_table_foreach_remove (self->groups, is_unused, NULL);
  if (g_hash_table_size (self->groups) >= self->max_keys)
    return NULL;
  group = group_new (self, key);
  g_hash_table_insert (self->groups, g_strdup (key), group);
  return group;
}

/* Waiters. */

static void
waiter_unref (gpointer data)
{
  Waiter *waiter = data;

  if (!g_atomic_ref_count_dec (&waiter->ref_count))
    return;
  strand_call_unref (waiter->attempt);
  g_object_unref (waiter->middleware);
  g_free (waiter);
}

/* Out of the line. The table's reference goes over to the caller. */
static void
take_out_locked (StrandConcurrencyLimitMiddleware *self, Waiter *waiter)
{
  g_queue_unlink (&waiter->group->waiting, &waiter->link);
  waiter->queued = FALSE;
  g_hash_table_steal (self->waiters, waiter->attempt);
}

static void
start_locked (StrandConcurrencyLimitMiddleware *self, Group *group, StrandCall *attempt)
{
  group->n_running++;
  g_hash_table_insert (self->running, attempt, group);
}

/* The first @n in line, who have a seat from now on. */
static GPtrArray *
seat_first_locked (StrandConcurrencyLimitMiddleware *self, Group *group, guint n)
{
  GPtrArray *seated = g_ptr_array_new_with_free_func (waiter_unref);

  while (n-- > 0 && group->waiting.length > 0)
    {
      Waiter *waiter = g_queue_peek_head (&group->waiting);

      take_out_locked (self, waiter);
      start_locked (self, group, waiter->attempt);
      g_ptr_array_add (seated, waiter);
    }
  return seated;
}

/* One that was cancelled meanwhile leaves its seat in on_error. */
static void
resume_all (GPtrArray *waiters, const GError *refusal)
{
  for (guint i = 0; i < waiters->len; i++)
    {
      Waiter *waiter = waiters->pdata[i];
      GError *error = refusal != NULL ? g_error_copy (refusal) : NULL;

      if (waiter->timer != 0)
        strand_clock_remove_timer (waiter->timer);
      if (!strand_call_resume (waiter->attempt,
                               error != NULL ? STRAND_VERDICT_REFUSE : STRAND_VERDICT_CONTINUE, NULL, error))
        g_clear_error (&error);
    }
}

static void
on_waited_too_long (gpointer data)
{
  Waiter *waiter = data;
  StrandConcurrencyLimitMiddleware *self = waiter->middleware;
  gboolean queued;
  GError *error;

  g_mutex_lock (&self->lock);
  queued = waiter->queued;
  if (queued)
    take_out_locked (self, waiter);
  g_mutex_unlock (&self->lock);
  if (!queued)
    return;
  error = g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED,
                       "it waited for one of %u seats for as long as 'max-wait' allows", self->max_calls);
  if (!strand_call_resume (waiter->attempt, STRAND_VERDICT_REFUSE, NULL, error))
    g_clear_error (&error);
  waiter_unref (waiter);
}

static void
add_waiter_locked (StrandConcurrencyLimitMiddleware *self, Group *group, StrandCall *attempt)
{
  Waiter *waiter = g_new0 (Waiter, 1);

  g_atomic_ref_count_init (&waiter->ref_count);
  waiter->middleware = g_object_ref (self);
  waiter->attempt = strand_call_ref (attempt);
  waiter->group = group;
  waiter->link.data = waiter;
  waiter->queued = TRUE;
  g_queue_push_tail_link (&group->waiting, &waiter->link);
  g_hash_table_insert (self->waiters, attempt, waiter);
  if (self->mode != MODE_WAIT || self->max_wait_us < 0)
    return;
  g_atomic_ref_count_inc (&waiter->ref_count);
  waiter->timer = strand_clock_add_timer (strand_clock_monotonic_us () + self->max_wait_us,
                                          on_waited_too_long, waiter, waiter_unref);
}

static GError *
all_taken (StrandConcurrencyLimitMiddleware *self)
{
  return g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED, "%u calls run, which is the limit",
                      self->max_calls);
}

/* The shared limit. */

typedef struct
{
  SeatTable *seats;
  guint n_running;
  guint n_waiting;
  gboolean reject; /* nobody stands in line */
  guint n_granted;
  gboolean renew;
} Sitting;

static GVariant *
sit_down (GVariant *state, gpointer data)
{
  Sitting *sitting = data;

  return seat_table_change (sitting->seats, state, sitting->n_running, sitting->n_waiting, !sitting->reject,
                            sitting->renew, &sitting->n_granted);
}

static void
on_record_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandConcurrencyLimitMiddleware *self = data;
  GHashTableIter iter;
  gpointer group;

  g_mutex_lock (&self->lock);
  if (g_thread_self () != self->thread)
    {
      g_hash_table_iter_init (&iter, self->groups);
      while (g_hash_table_iter_next (&iter, NULL, &group))
        if (((Group *) group)->watch != 0 &&
            g_str_equal (limit_record_get_key (((Group *) group)->record), key))
          ((Group *) group)->dirty = TRUE;
      g_cond_signal (&self->changed);
    }
  g_mutex_unlock (&self->lock);
}

static void
set_watch (StrandConcurrencyLimitMiddleware *self, Group *group, guint watch)
{
  g_mutex_lock (&self->lock);
  group->watch = watch;
  g_mutex_unlock (&self->lock);
}

/* While calls wait, others' leaving is news. TRUE if it is from now on: what changed before is not told. */
static gboolean
watch_or_not (StrandConcurrencyLimitMiddleware *self, Group *group, gboolean wanted)
{
  if (wanted && group->watch == 0)
    {
      set_watch (self, group,
                 strand_store_watch (self->store, limit_record_get_key (group->record), on_record_changed,
                                     self, NULL));
      return TRUE;
    }
  if (!wanted && group->watch != 0)
    {
      strand_store_unwatch (self->store, group->watch);
      set_watch (self, group, 0);
    }
  return FALSE;
}

/* When the thread has to look again. */
static gint64
next_look (StrandConcurrencyLimitMiddleware *self, Group *group, gint64 now_us)
{
  if (group->waiting.length > 0)
    return now_us + MIN (LOOK_US, self->lease_us / 3);
  return group->n_running > 0 ? group->renew_us : G_MAXINT64;
}

static GPtrArray *
conclude_locked (StrandConcurrencyLimitMiddleware *self, Group *group, const Sitting *sitting,
                 const GError *failure)
{
  if (failure != NULL && self->store_failure == LIMIT_ALLOW)
    return seat_first_locked (self, group, sitting->n_waiting);
  return failure != NULL ? NULL : seat_first_locked (self, group, sitting->n_granted);
}

/* Those who are not to wait any longer: all who were there, where calls are rejected or cannot be counted. */
static GPtrArray *
turn_away_locked (StrandConcurrencyLimitMiddleware *self, Group *group, guint n)
{
  GPtrArray *refused = g_ptr_array_new_with_free_func (waiter_unref);

  while (n-- > 0 && group->waiting.length > 0)
    {
      Waiter *waiter = g_queue_peek_head (&group->waiting);

      take_out_locked (self, waiter);
      g_ptr_array_add (refused, waiter);
    }
  return refused;
}

static void
sit_locked (StrandConcurrencyLimitMiddleware *self, Group *group)
{
  gint64 now_us = strand_clock_monotonic_us ();
  Sitting sitting = { .seats = group->seats,
                      .n_running = group->n_running,
                      .n_waiting = group->waiting.length,
                      .reject = self->mode == MODE_REJECT,
                      .renew = now_us >= group->renew_us };
  g_autoptr(GPtrArray) seated = NULL;
  g_autoptr(GPtrArray) refused = NULL;
  g_autoptr(GError) failure = NULL;
  g_autoptr(GError) refusal = NULL;
  gboolean wanted, fresh;

  group->dirty = FALSE;
  group->due_us = 0; /* it is in use */
  if (sitting.renew)
    group->renew_us = now_us + self->lease_us / 3;
  g_mutex_unlock (&self->lock);
  limit_record_change (group->record, FALSE, sit_down, &sitting, &failure);
  g_mutex_lock (&self->lock);

  seated = conclude_locked (self, group, &sitting, failure);
  if (failure != NULL)
    refusal = g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED, "the calls could not be counted: %s",
                           failure->message);
  else if (sitting.reject)
    refusal = all_taken (self);
  if (refusal != NULL)
    refused = turn_away_locked (self, group, sitting.n_waiting - (seated != NULL ? seated->len : 0));
  /* Seats granted to who has been cancelled meanwhile go back. */
  if (failure == NULL && seated->len < sitting.n_granted)
    group->dirty = TRUE;
  wanted = !sitting.reject && group->waiting.length > 0;
  g_mutex_unlock (&self->lock);

  fresh = watch_or_not (self, group, wanted);
  if (seated != NULL)
    resume_all (seated, NULL);
  if (refused != NULL)
    resume_all (refused, refusal);
  g_mutex_lock (&self->lock);
  group->due_us = fresh ? 0 : next_look (self, group, now_us);
}

/* A group that is to be looked at, or when the next one is. */
static Group *
find_due_locked (StrandConcurrencyLimitMiddleware *self, gint64 *next_us)
{
  GHashTableIter iter;
  gpointer group;

  *next_us = G_MAXINT64;
  g_hash_table_iter_init (&iter, self->groups);
  while (g_hash_table_iter_next (&iter, NULL, &group))
    {
      if (((Group *) group)->dirty || ((Group *) group)->due_us <= strand_clock_monotonic_us ())
        return group;
      *next_us = MIN (*next_us, ((Group *) group)->due_us);
    }
  return NULL;
}

/* Holds the middleware; ends when nobody has or wants a seat for a while. */
static gpointer
keep_seats (gpointer data)
{
  g_autoptr(StrandConcurrencyLimitMiddleware) self = data;
  gint64 next_us;
  gboolean idle = FALSE;

  g_mutex_lock (&self->lock);
  while (TRUE)
    {
      Group *group = find_due_locked (self, &next_us);
      gint64 wait_us = next_us == G_MAXINT64 ? IDLE_US : next_us - strand_clock_monotonic_us ();

      if (group != NULL)
        {
          idle = FALSE;
          sit_locked (self, group);
          continue;
        }
      if (idle && next_us == G_MAXINT64)
        break;
      idle = !g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + wait_us);
    }
  self->thread = NULL;
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
wake_thread_locked (StrandConcurrencyLimitMiddleware *self, Group *group)
{
  group->dirty = TRUE;
  g_cond_signal (&self->changed);
  if (self->thread != NULL)
    return;
  self->thread = g_thread_new ("strand-seats", keep_seats, g_object_ref (self));
  g_thread_unref (self->thread);
}

/* The interface. */

static StrandVerdict
decide_locked (StrandConcurrencyLimitMiddleware *self, Group *group, StrandCall *attempt, GError **error)
{
  if (self->store == NULL && group->n_running < self->max_calls && group->waiting.length == 0)
    {
      start_locked (self, group, attempt);
      return STRAND_VERDICT_CONTINUE;
    }
  if (self->store == NULL && self->mode == MODE_REJECT)
    *error = all_taken (self);
  else if (g_hash_table_size (self->waiters) >= self->max_waiting)
    *error = g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED,
                          "%u calls wait already, which 'max-waiting' limits", self->max_waiting);
  if (*error != NULL)
    return STRAND_VERDICT_REFUSE;
  add_waiter_locked (self, group, attempt);
  if (self->store != NULL)
    wake_thread_locked (self, group);
  return STRAND_VERDICT_LATER;
}

static StrandVerdict
strand_concurrency_limit_middleware_before (StrandMiddleware *middleware, StrandCall *attempt,
                                            GVariant **value, GError **error)
{
  StrandConcurrencyLimitMiddleware *self = STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (middleware);
  StrandVerdict verdict = STRAND_VERDICT_REFUSE;
  Group *group;

  if (!call_group_matches (self->groups_by.functions, attempt))
    return STRAND_VERDICT_CONTINUE;
  g_mutex_lock (&self->lock);
  group = ensure_group_locked (self, attempt);
  if (group != NULL)
    verdict = decide_locked (self, group, attempt, error);
  else
    *error = g_error_new (STRAND_ERROR, STRAND_ERROR_REFUSED,
                          "%u values are counted already, which 'max-keys' limits", self->max_keys);
  g_mutex_unlock (&self->lock);
  return verdict;
}

/* The attempt is over: it leaves its seat, or its place in the line. */
static void
leave (StrandConcurrencyLimitMiddleware *self, StrandCall *attempt)
{
  g_autoptr(GPtrArray) seated = NULL;
  Waiter *waiter;
  Group *group;

  g_mutex_lock (&self->lock);
  waiter = g_hash_table_lookup (self->waiters, attempt);
  if (waiter != NULL)
    {
      take_out_locked (self, waiter);
      if (self->store != NULL)
        wake_thread_locked (self, waiter->group);
    }
  group = g_hash_table_lookup (self->running, attempt);
  if (group != NULL)
    {
      g_hash_table_remove (self->running, attempt);
      group->n_running--;
      if (self->store != NULL)
        wake_thread_locked (self, group);
      else
        seated = seat_first_locked (self, group, 1);
    }
  g_mutex_unlock (&self->lock);

  if (waiter != NULL && waiter->timer != 0)
    strand_clock_remove_timer (waiter->timer);
  g_clear_pointer (&waiter, waiter_unref);
  if (seated != NULL)
    resume_all (seated, NULL);
}

static gboolean
strand_concurrency_limit_middleware_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value,
                                           GError **error)
{
  leave (STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (middleware), attempt);
  return TRUE;
}

static void
strand_concurrency_limit_middleware_on_error (StrandMiddleware *middleware, StrandCall *attempt,
                                              const GError *error, gboolean will_retry)
{
  leave (STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (middleware), attempt);
}

static void
middleware_init (StrandMiddlewareInterface *iface)
{
  iface->before = strand_concurrency_limit_middleware_before;
  iface->after = strand_concurrency_limit_middleware_after;
  iface->on_error = strand_concurrency_limit_middleware_on_error;
}

static gboolean
strand_concurrency_limit_middleware_initable_init (GInitable *initable, GCancellable *cancellable,
                                                   GError **error)
{
  return call_group_check (&STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (initable)->groups_by, error);
}

static void
initable_init (GInitableIface *iface)
{
  iface->init = strand_concurrency_limit_middleware_initable_init;
}

static void
strand_concurrency_limit_middleware_set_property (GObject *object, guint id, const GValue *value,
                                                  GParamSpec *pspec)
{
  StrandConcurrencyLimitMiddleware *self = STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_MAX_CALLS:
      self->max_calls = g_value_get_uint (value);
      break;
    case PROP_FUNCTIONS:
      self->groups_by.functions = g_value_dup_boxed (value);
      break;
    case PROP_SCOPE:
      self->groups_by.scope = (GroupScope) g_value_get_enum (value);
      break;
    case PROP_PARAMETER:
      self->groups_by.parameter = g_value_dup_string (value);
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
    case PROP_LEASE:
      self->lease_us = g_value_get_int64 (value);
      break;
    case PROP_STORE_FAILURE:
      self->store_failure = (LimitFailure) g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
strand_concurrency_limit_middleware_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandConcurrencyLimitMiddleware *self = STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (object);

  switch ((Property) id)
    {
    case PROP_MAX_CALLS:
      g_value_set_uint (value, self->max_calls);
      break;
    case PROP_FUNCTIONS:
      g_value_set_boxed (value, self->groups_by.functions);
      break;
    case PROP_SCOPE:
      g_value_set_enum (value, (int) self->groups_by.scope);
      break;
    case PROP_PARAMETER:
      g_value_set_string (value, self->groups_by.parameter);
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
    case PROP_LEASE:
      g_value_set_int64 (value, self->lease_us);
      break;
    case PROP_STORE_FAILURE:
      g_value_set_enum (value, (int) self->store_failure);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* Waiters and the thread hold the middleware, so nobody waits. */
static void
strand_concurrency_limit_middleware_finalize (GObject *object)
{
  StrandConcurrencyLimitMiddleware *self = STRAND_CONCURRENCY_LIMIT_MIDDLEWARE (object);

  g_hash_table_unref (self->waiters);
  g_hash_table_unref (self->running);
  g_hash_table_unref (self->groups);
  call_group_clear (&self->groups_by);
  g_clear_object (&self->store);
  g_free (self->name);
  g_free (self->owner);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_concurrency_limit_middleware_parent_class)->finalize (object);
}

static void
strand_concurrency_limit_middleware_class_init (StrandConcurrencyLimitMiddlewareClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = (GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);

  object_class->set_property = strand_concurrency_limit_middleware_set_property;
  object_class->get_property = strand_concurrency_limit_middleware_get_property;
  object_class->finalize = strand_concurrency_limit_middleware_finalize;

  props[PROP_MAX_CALLS] = g_param_spec_uint ("max-calls", NULL, "How many calls run at a time", 1, MAX_NUMBER,
                                             1, fixed | STRAND_PARAM_REQUIRED);
  props[PROP_FUNCTIONS] = g_param_spec_boxed ("functions", NULL, "Patterns of the functions meant; none: all",
                                              G_TYPE_STRV, fixed);
  props[PROP_SCOPE] = g_param_spec_enum ("scope", NULL, "What counts together: function, parameter or global",
                                         call_group_scope_get_type (), GROUP_BY_FUNCTION, fixed);
  props[PROP_PARAMETER] = g_param_spec_string (
      "parameter", NULL, "With scope 'parameter': whose values are counted apart", NULL, fixed);
  props[PROP_MODE] = g_param_spec_enum ("mode", NULL, "What becomes of a call too many: reject or wait",
                                        mode_get_type (), MODE_WAIT, fixed);
  props[PROP_MAX_WAIT] =
      g_param_spec_int64 ("max-wait", NULL, "With mode 'wait': calls that have waited so long are refused",
                          -1, MAX_DURATION_US, DEFAULT_MAX_WAIT_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_MAX_WAITING] = g_param_spec_uint ("max-waiting", NULL, "How many calls may wait", 1, MAX_NUMBER,
                                               DEFAULT_MAX_WAITING, fixed);
  props[PROP_MAX_KEYS] =
      g_param_spec_uint ("max-keys", NULL, "How many functions or values are counted at a time", 1,
                         MAX_NUMBER, DEFAULT_MAX_KEYS, fixed);
  props[PROP_STORE] = g_param_spec_object (
      "store", NULL, "Where all processes count together; none: each alone", STRAND_TYPE_STORE, fixed);
  props[PROP_NAME] =
      g_param_spec_string ("name", NULL, "With 'store': what tells limits apart", "default", fixed);
  props[PROP_LEASE] = g_param_spec_int64 (
      "lease", NULL, "With 'store': how long a process on another host may be silent and keep its seats",
      G_USEC_PER_SEC, MAX_DURATION_US, DEFAULT_LEASE_US, fixed | STRAND_PARAM_DURATION);
  props[PROP_STORE_FAILURE] = g_param_spec_enum (
      "store-failure", NULL, "What becomes of calls that cannot be counted: refuse or allow",
      limit_failure_get_type (), LIMIT_REFUSE, fixed);
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_concurrency_limit_middleware_init (StrandConcurrencyLimitMiddleware *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->owner = strand_lease_owner_self (OWNER_KIND);
  self->groups = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, group_free);
  self->running = g_hash_table_new (NULL, NULL);
  self->waiters = g_hash_table_new_full (NULL, NULL, NULL, waiter_unref);
}

STRAND_PLUGIN_DEFINE ("concurrency-limit-middleware", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_MIDDLEWARE ("concurrency-limit", StrandConcurrencyLimitMiddleware,
                                                  strand_concurrency_limit_middleware_get_type,
                                                  "Lets so many calls run at a time, and no more"))
