/* strand-delivery.c — carries news from any thread into one main context.
 *
 * News is pushed onto a lock-free stack; the context's thread takes the whole stack at once, turns it
 * round and dispatches it, for at most 4 ms a turn, then lets the loop look at other sources. Only the push
 * that finds the stack empty and nobody dispatching wakes the context, so a burst costs one wake-up.
 *
 * There is one delivery for each context and priority in use. It is found through a cache in the thread,
 * so making a call takes no shared lock.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-delivery-private.h"

#include <sys/syscall.h>
#include <unistd.h>

/* A turn's length: a quarter of a frame at 60 Hz, so that drawing keeps its pace. */
#define TURN_US 4000

/* News that is to wait is looked at so often: a frame at 120 Hz. */
#define TICK_US (G_USEC_PER_SEC / 120)

/* And waits fewer ticks than this. */
#define N_TICKS 8

/* In place of the stack while somebody dispatches: a push that finds it need not wake anyone. */
#define AWAKE ((StrandNews *) 1)

typedef struct
{
  GSource source;
  StrandDelivery *delivery;
  gboolean resting; /* the last turn was a whole one; its context's thread only */
} DeliverySource;

struct _StrandDelivery
{
  gatomicrefcount ref_count;
  GMainContext *context; /* set at construction, as the two below */
  int priority;
  GSource *source;
  GSource *ticker;

  StrandNews *stack; /* atomic; newest first */

  GRecMutex dispatching; /* guards the two below */
  StrandNews *first;     /* taken from the stack, oldest first */
  StrandNews *last;

  GMutex later_lock;          /* guards the three below */
  StrandNews *later[N_TICKS]; /* by the tick at which they are due */
  guint n_later;
  gint64 last_tick; /* that was looked at, while there are any */

  int has_sleeper; /* atomic */
  GMutex lock;     /* guards the one below */
  StrandSleeper *sleeper;
};

static GMutex deliveries_lock;
static GHashTable *deliveries; /* of StrandDelivery, by context and priority */

static guint
delivery_hash (gconstpointer key)
{
  const StrandDelivery *self = key;

  return g_direct_hash (self->context) ^ (guint) self->priority;
}

static gboolean
delivery_equal (gconstpointer a, gconstpointer b)
{
  const StrandDelivery *self = a, *other = b;

  return self->context == other->context && self->priority == other->priority;
}

static gboolean
has_news (StrandDelivery *self)
{
  StrandNews *top = g_atomic_pointer_get (&self->stack);

  return self->first != NULL || (top != NULL && top != AWAKE);
}

/* Moves the stack to the end of the list, in the order of pushing. FALSE if there is nothing, and then,
 * unless
 * @stay_awake, the next push wakes us. */
static gboolean
take_news (StrandDelivery *self)
{
  StrandNews *top = g_atomic_pointer_get (&self->stack);
  StrandNews *reversed = NULL, *newest;

  while (TRUE)
    {
      if (top == NULL)
        return FALSE;
      if (top == AWAKE)
        {
          if (g_atomic_pointer_compare_and_exchange_full (&self->stack, AWAKE, NULL, &top))
            return FALSE;
          continue;
        }
      if (g_atomic_pointer_compare_and_exchange_full (&self->stack, top, AWAKE, &top))
        break;
    }

  newest = top;
  while (top != NULL && top != AWAKE)
    {
      StrandNews *next = top->next;

      top->next = reversed;
      reversed = top;
      top = next;
    }

  if (self->first != NULL)
    self->last->next = reversed;
  else
    self->first = reversed;
  self->last = newest;
  return TRUE;
}

/* Whether time was up before the news was. */
static gboolean
dispatch_news (StrandDelivery *self, gint64 deadline_us)
{
  gboolean late = FALSE;
  guint n = 0;

  g_rec_mutex_lock (&self->dispatching);
  while (self->first != NULL || take_news (self))
    {
      StrandNews *news = self->first;

      self->first = news->next;
      news->next = NULL;
      if (!news->dispatch (news, deadline_us))
        {
          news->next = self->first;
          if (self->first == NULL)
            self->last = news;
          self->first = news;
          late = TRUE;
          break;
        }
      /* Reading the clock for each would cost as much as a small callback. */
      if (++n % 8 == 0 && self->first != NULL && g_get_monotonic_time () >= deadline_us)
        {
          late = TRUE;
          break;
        }
    }
  g_rec_mutex_unlock (&self->dispatching);
  return late;
}

/* A loop runs the ready sources of the highest priority alone, so after a whole turn this one is not ready
 * for once. */
static gboolean
source_prepare (GSource *source, int *timeout)
{
  DeliverySource *self = (DeliverySource *) source;

  *timeout = self->resting ? 0 : -1;
  return !self->resting && has_news (self->delivery);
}

static gboolean
source_check (GSource *source)
{
  DeliverySource *self = (DeliverySource *) source;
  gboolean resting = self->resting;

  self->resting = FALSE;
  return !resting && has_news (self->delivery);
}

static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  StrandDelivery *self = ((DeliverySource *) source)->delivery;

  strand_delivery_ref (self);
  ((DeliverySource *) source)->resting = dispatch_news (self, g_get_monotonic_time () + TURN_US);
  strand_delivery_unref (self);
  return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { source_prepare, source_check, source_dispatch, NULL, NULL, NULL };

static gboolean
ticker_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static GSourceFuncs ticker_funcs = { NULL, NULL, ticker_dispatch, NULL, NULL, NULL };

static gboolean on_tick (gpointer data);

static StrandDelivery *
delivery_new (GMainContext *context, int priority)
{
  StrandDelivery *self = g_new0 (StrandDelivery, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->context = g_main_context_ref (context);
  self->priority = priority;
  g_rec_mutex_init (&self->dispatching);
  g_mutex_init (&self->lock);
  g_mutex_init (&self->later_lock);

  self->source = g_source_new (&source_funcs, sizeof (DeliverySource));
  ((DeliverySource *) self->source)->delivery = self;
  g_source_set_static_name (self->source, "strand delivery");
  g_source_set_priority (self->source, priority);
  g_source_set_can_recurse (self->source, TRUE);
  g_source_attach (self->source, context);

  self->ticker = g_source_new (&ticker_funcs, sizeof (GSource));
  g_source_set_static_name (self->ticker, "strand ticker");
  g_source_set_priority (self->ticker, priority);
  g_source_set_callback (self->ticker, on_tick, self, NULL);
  g_source_attach (self->ticker, context);

  return self;
}

StrandDelivery *
strand_delivery_ref (StrandDelivery *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_delivery_unref (StrandDelivery *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  /* Another one for the same context may stand in the table by now: ref_from_table() revives nobody. */
  g_mutex_lock (&deliveries_lock);
  if (g_hash_table_lookup (deliveries, self) == self)
    g_hash_table_remove (deliveries, self);
  g_mutex_unlock (&deliveries_lock);

  g_source_destroy (self->source);
  g_source_unref (self->source);
  g_source_destroy (self->ticker);
  g_source_unref (self->ticker);
  g_mutex_clear (&self->later_lock);
  g_main_context_unref (self->context);
  g_rec_mutex_clear (&self->dispatching);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static StrandDelivery *
ref_from_table (GMainContext *context, int priority)
{
  StrandDelivery key = { .context = context, .priority = priority };
  StrandDelivery *self;

  g_mutex_lock (&deliveries_lock);
  if (deliveries == NULL)
    deliveries = g_hash_table_new (delivery_hash, delivery_equal);
  self = g_hash_table_lookup (deliveries, &key);
  /* One whose count has just reached 0 is on its way out: leave it to its last holder, make another. */
  if (self != NULL)
    {
      int count = g_atomic_int_get (&self->ref_count);

      while (count > 0 &&
             !g_atomic_int_compare_and_exchange_full (&self->ref_count, count, count + 1, &count))
        ;
      if (count <= 0)
        self = NULL;
    }
  if (self == NULL)
    {
      self = delivery_new (context, priority);
      g_hash_table_replace (deliveries, self, self);
    }
  g_mutex_unlock (&deliveries_lock);
  return self;
}

static GPrivate last_delivery = G_PRIVATE_INIT ((GDestroyNotify) strand_delivery_unref);

/* The delivery of the context that is thread-default now; borrowed until this thread asks again. */
StrandDelivery *
strand_delivery_peek_default (int priority)
{
  GMainContext *context = g_main_context_get_thread_default ();
  StrandDelivery *cached = g_private_get (&last_delivery);

  if (context == NULL)
    context = g_main_context_default ();
  if (cached == NULL || cached->context != context || cached->priority != priority)
    {
      cached = ref_from_table (context, priority);
      g_private_replace (&last_delivery, cached);
    }
  return cached;
}

StrandDelivery *
strand_delivery_ref_default (int priority)
{
  return strand_delivery_ref (strand_delivery_peek_default (priority));
}

void
strand_sleeper_wake (StrandSleeper *self)
{
  g_mutex_lock (&self->lock);
  self->woken = TRUE;
  g_cond_signal (&self->cond);
  g_mutex_unlock (&self->lock);
}

static void
wake (StrandDelivery *self)
{
  if (g_atomic_int_get (&self->has_sleeper))
    {
      g_mutex_lock (&self->lock);
      if (self->sleeper != NULL)
        strand_sleeper_wake (self->sleeper);
      g_mutex_unlock (&self->lock);
    }
  /* The thread that owns the context does not sleep in it now, and looks at us before it does. */
  if (!g_main_context_is_owner (self->context))
    g_main_context_wakeup (self->context);
}

void
strand_delivery_push (StrandDelivery *self, StrandNews *news)
{
  StrandNews *top = g_atomic_pointer_get (&self->stack);

  do
    news->next = top;
  while (!g_atomic_pointer_compare_and_exchange_full (&self->stack, top, news, &top));

  if (top == NULL)
    wake (self);
}

typedef struct
{
  StrandNews news;
  StrandDelivery *delivery;
  GDestroyNotify func;
  gpointer data;
} Errand;

static gboolean
errand_dispatch (StrandNews *news, gint64 deadline_us)
{
  Errand *errand = (Errand *) news;

  errand->func (errand->data);
  strand_delivery_unref (errand->delivery);
  g_free (errand);
  return TRUE;
}

static Errand *
errand_new (StrandDelivery *self, GDestroyNotify func, gpointer data)
{
  Errand *errand = g_new0 (Errand, 1);

  errand->news.dispatch = errand_dispatch;
  errand->delivery = strand_delivery_ref (self);
  errand->func = func;
  errand->data = data;
  return errand;
}

/* Calls @func in the context: at once if this is its thread, else as news. */
void
strand_delivery_run (StrandDelivery *self, GDestroyNotify func, gpointer data)
{
  if (strand_delivery_may_dispatch (self))
    func (data);
  else
    strand_delivery_push (self, &errand_new (self, func, data)->news);
}

/* Calls @func in the context, never before this returns. */
void
strand_delivery_post (StrandDelivery *self, GDestroyNotify func, gpointer data)
{
  strand_delivery_push (self, &errand_new (self, func, data)->news);
}

/* What is due is only pushed: it is dispatched for 4 ms a turn, like all other news. */
static gboolean
on_tick (gpointer data)
{
  StrandDelivery *self = data;
  gint64 tick = g_get_monotonic_time () / TICK_US;
  StrandNews *due[N_TICKS] = { NULL };

  g_mutex_lock (&self->later_lock);
  for (guint i = 0; i < N_TICKS && self->last_tick < tick; i++)
    due[i] = g_steal_pointer (&self->later[++self->last_tick % N_TICKS]);
  self->last_tick = tick;
  for (guint i = 0; i < N_TICKS; i++)
    for (StrandNews *news = due[i]; news != NULL; news = news->next)
      self->n_later--;
  g_source_set_ready_time (self->ticker, self->n_later > 0 ? (tick + 1) * TICK_US : -1);
  g_mutex_unlock (&self->later_lock);

  strand_delivery_ref (self);
  for (guint i = 0; i < N_TICKS; i++)
    while (due[i] != NULL)
      {
        StrandNews *news = due[i];

        due[i] = news->next;
        strand_delivery_push (self, news);
      }
  strand_delivery_unref (self);
  return G_SOURCE_CONTINUE;
}

/* Pushes @news once @delay_us have passed, which are fewer than N_TICKS - 1 ticks; whoever pushes it holds
 * the delivery until then. However many wait, one source looks after them: a GSource for each would cost
 * every turn of the loop, and those that fall due together would all run in one turn. */
void
strand_delivery_push_later (StrandDelivery *self, StrandNews *news, gint64 delay_us)
{
  gint64 now_us = g_get_monotonic_time ();
  gint64 tick = now_us / TICK_US;
  gint64 due = MIN ((now_us + delay_us) / TICK_US + 1, tick + N_TICKS - 1);

  g_mutex_lock (&self->later_lock);
  if (self->n_later++ == 0)
    {
      self->last_tick = tick;
      g_source_set_ready_time (self->ticker, (tick + 1) * TICK_US);
    }
  due = MIN (due, self->last_tick + N_TICKS);
  news->next = self->later[due % N_TICKS];
  self->later[due % N_TICKS] = news;
  g_mutex_unlock (&self->later_lock);
}

gboolean
strand_delivery_is_main_thread (void)
{
  static _Thread_local int known; /* 1: yes, -1: no */

  if (known == 0)
    known = (getpid () == (pid_t) syscall (SYS_gettid)) ? 1 : -1;
  return known > 0;
}

GMainContext *
strand_delivery_get_context (StrandDelivery *self)
{
  return self->context;
}

/* Callbacks may run here if the thread owns the context, pushed it, or is the main thread with the default
 * context that nobody else iterates. */
gboolean
strand_delivery_may_dispatch (StrandDelivery *self)
{
  if (g_main_context_is_owner (self->context))
    return TRUE;
  if (g_main_context_get_thread_default () == self->context)
    return TRUE;
  return self->context == g_main_context_default () && strand_delivery_is_main_thread ();
}

/* As the context would, on its thread. */
void
strand_delivery_dispatch (StrandDelivery *self, gint64 deadline_us)
{
  strand_delivery_ref (self);
  dispatch_news (self, deadline_us);
  strand_delivery_unref (self);
}

/* Dispatches what there is now, and what comes until then, without touching the context. FALSE if another
 * thread does. */
gboolean
strand_delivery_drain (StrandDelivery *self, gint64 deadline_us)
{
  gboolean ours;

  strand_delivery_ref (self);
  ours = g_rec_mutex_trylock (&self->dispatching);
  if (ours)
    {
      dispatch_news (self, deadline_us);
      g_rec_mutex_unlock (&self->dispatching);
    }
  strand_delivery_unref (self);
  return ours;
}

StrandSleeper *
strand_delivery_swap_sleeper (StrandDelivery *self, StrandSleeper *sleeper)
{
  StrandSleeper *before;

  g_mutex_lock (&self->lock);
  before = self->sleeper;
  self->sleeper = sleeper;
  g_atomic_int_set (&self->has_sleeper, sleeper != NULL);
  g_mutex_unlock (&self->lock);
  return before;
}
