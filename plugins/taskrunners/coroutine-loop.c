/* coroutine-loop.c — the coroutines of one main context, and whose turn it is.
 *
 * Calls and coroutines that may go on come from any thread on two lock-free stacks; the loop's thread, in the
 * dispatch of one GSource, takes them into two lines and goes round: everybody in the ready line once, then
 * some new calls. New ones come last so that a flood of short calls keeps few stacks busy.
 *
 * A turn ends after a millisecond, and after it the context goes round once without us, so that sources of
 * lower priority have their chance even while a coroutine does nothing but yield. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-loop.h"
#include "coroutine.h"

#include <errno.h>
#include <unistd.h>

/* What timers and windows can wait without anybody noticing. */
#define TURN_US 1000

/* How many calls are started before those that are under way have another turn. */
#define STARTS_IN_ROUND 64

/* In place of an empty stack while the loop looks at it before it sleeps: who pushes need not wake it. */
#define AWAKE ((gpointer) 1)

typedef struct
{
  GSource source;
  CoroutineLoop *loop;
} LoopSource;

struct _CoroutineLoop
{
  gatomicrefcount ref_count;
  GMainContext *context; /* set at construction, as the next three */
  CoroutineLimits limits;
  CoroutineCounts *counts;
  GSource *source; /* which holds the loop until it is detached */

  /* Atomic. */
  StrandCall *calls;   /* newest first, above AWAKE or NULL; linked by their runner data, as the line is */
  Coroutine *unparked; /* newest first, above AWAKE or NULL */
  int n_busy;          /* queued or under way */
  int cancel_all;
  int ending;
  int detached;

  /* The loop's thread only. */
  GThread *thread; /* where coroutines were started; NULL while there are none */
  gboolean pause;  /* the context goes round without us */
  Coroutine *ready_first;
  Coroutine *ready_last;
  guint n_ready;
  StrandCall *call_first;
  StrandCall *call_last;
  Coroutine *idle;
  guint n_idle;
  gboolean short_of_stacks;
  int n_started;  /* not yet taken from the count of those who are queued */
  int n_ended;    /* nor from n_busy */
  GPtrArray *all; /* of Coroutine, idle ones too */
  StrandStacks *stacks;
};

/* The caller holds the loop. */
static void
wake (CoroutineLoop *self)
{
  /* The thread that owns the context does not sleep in it now. */
  if (!g_main_context_is_owner (self->context))
    g_main_context_wakeup (self->context);
  coroutine_counts_tell (self->counts);
}

void
coroutine_loop_append (CoroutineLoop *self, Coroutine *coroutine)
{
  coroutine->next = NULL;
  if (self->ready_last != NULL)
    self->ready_last->next = coroutine;
  else
    self->ready_first = coroutine;
  self->ready_last = coroutine;
  self->n_ready++;
}

/* As soon as something is pushed the loop may run it and go; one that sleeps is held until it has been woken.
 */
static CoroutineLoop *
hold_sleeper (CoroutineLoop *self, gpointer top, CoroutineLoop *held)
{
  return top == NULL && held == NULL ? coroutine_loop_ref (self) : held;
}

static void
release_sleeper (CoroutineLoop *held, gpointer top)
{
  if (held == NULL)
    return;
  if (top == NULL)
    wake (held);
  coroutine_loop_unref (held);
}

void
coroutine_loop_push_unparked (CoroutineLoop *self, Coroutine *coroutine)
{
  Coroutine *top = g_atomic_pointer_get (&self->unparked);
  CoroutineLoop *held = NULL;

  do
    {
      held = hold_sleeper (self, top, held);
      coroutine->next = top;
    }
  while (!g_atomic_pointer_compare_and_exchange_full (&self->unparked, top, coroutine, &top));
  release_sleeper (held, top);
}

void
coroutine_loop_push (CoroutineLoop *self, StrandCall *call)
{
  StrandCall *top = g_atomic_pointer_get (&self->calls);
  CoroutineLoop *held = NULL;

  g_atomic_int_inc (&self->n_busy);
  do
    {
      held = hold_sleeper (self, top, held);
      strand_call_set_runner_data (call, top);
    }
  while (!g_atomic_pointer_compare_and_exchange_full (&self->calls, top, call, &top));
  release_sleeper (held, top);
}

/* Whoever pushes from here on wakes us. FALSE if something was pushed just before. */
static gboolean
fall_asleep (gpointer *stack)
{
  gpointer top = g_atomic_pointer_get (stack);

  return top == NULL || (top == AWAKE && g_atomic_pointer_compare_and_exchange (stack, AWAKE, NULL));
}

static guint
n_alive (CoroutineLoop *self)
{
  return self->all->len - self->n_idle;
}

static void
drop_coroutine (CoroutineLoop *self, Coroutine *coroutine, gboolean keep_stack)
{
  ((Coroutine *) self->all->pdata[self->all->len - 1])->place = coroutine->place;
  g_ptr_array_remove_index_fast (self->all, coroutine->place);
  strand_stacks_give (self->stacks, coroutine->stack, keep_stack);
  coroutine_free (coroutine);
}

/* After a piece of it. */
static void
look_after (CoroutineLoop *self, Coroutine *coroutine)
{
  if (!coroutine->idle)
    return;
  if (self->n_idle < self->limits.max_stacks)
    {
      coroutine->next = self->idle;
      self->idle = coroutine;
      self->n_idle++;
    }
  else
    drop_coroutine (self, coroutine, FALSE);
  if (n_alive (self) == 0)
    self->thread = NULL;
  self->short_of_stacks = FALSE;
  self->n_ended++;
}

/* What others see of the counts changes once a round: shared words are slow to write. */
static void
settle_counts (CoroutineLoop *self)
{
  CoroutineCounts *counts = self->counts;

  if (self->n_started > 0)
    {
      g_atomic_int_add (&counts->n_queued, -self->n_started);
      self->n_started = 0;
      if (G_UNLIKELY (g_atomic_int_get (&counts->n_waiting) > 0))
        {
          g_mutex_lock (&counts->lock);
          g_cond_broadcast (&counts->room);
          g_mutex_unlock (&counts->lock);
        }
    }
  if (self->n_ended > 0)
    {
      g_atomic_int_add (&self->n_busy, -self->n_ended);
      self->n_ended = 0;
      coroutine_counts_tell (counts);
    }
}

/* Appends what other threads have pushed to the two lines, in the order of pushing. */
static void
take_in (CoroutineLoop *self)
{
  Coroutine *coroutine = g_atomic_pointer_exchange (&self->unparked, AWAKE), *first = NULL;
  StrandCall *call = g_atomic_pointer_exchange (&self->calls, AWAKE), *newest = call, *oldest = NULL;

  while (coroutine != NULL && coroutine != AWAKE)
    {
      Coroutine *next = coroutine->next;

      coroutine->next = first;
      first = coroutine;
      coroutine = next;
    }
  while (first != NULL)
    {
      Coroutine *next = first->next;

      coroutine_loop_append (self, first);
      first = next;
    }

  while (call != NULL && call != AWAKE)
    {
      StrandCall *next = strand_call_get_runner_data (call);

      strand_call_set_runner_data (call, oldest);
      oldest = call;
      call = next;
    }
  if (oldest == NULL)
    return;
  if (self->call_last != NULL)
    strand_call_set_runner_data (self->call_last, oldest);
  else
    self->call_first = oldest;
  self->call_last = newest;
}

static StrandCall *
pop_call (CoroutineLoop *self)
{
  StrandCall *call = self->call_first;

  if (call == NULL)
    return NULL;
  self->call_first = strand_call_get_runner_data (call);
  if (self->call_first == NULL)
    self->call_last = NULL;
  strand_call_set_runner_data (call, self);
  self->n_started++;
  return call;
}

static Coroutine *
take_coroutine (CoroutineLoop *self)
{
  Coroutine *coroutine = self->idle;
  StrandStack *stack;

  if (coroutine != NULL)
    {
      self->idle = coroutine->next;
      self->n_idle--;
      return coroutine;
    }
  stack = strand_stacks_take (self->stacks);
  if (stack == NULL)
    return NULL;
  coroutine = coroutine_new (self, stack, self->limits.yield_on_iter);
  coroutine->place = self->all->len;
  g_ptr_array_add (self->all, coroutine);
  return coroutine;
}

static gboolean
may_start (CoroutineLoop *self)
{
  return self->call_first != NULL && n_alive (self) < self->limits.max_alive && !self->short_of_stacks;
}

/* Not even one stack can be had, and none will come free. */
static void
refuse_call (CoroutineLoop *self, StrandCall *call)
{
  strand_call_finish_as (
      call, STRAND_STATUS_FAILED, NULL,
      g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED,
                   "Could not run a call of '%s': there is no memory for a stack of %" G_GSIZE_FORMAT
                   " bytes: %s",
                   strand_call_get_function_name (call), self->limits.stack_size, g_strerror (errno)));
  strand_call_unref (call);
  self->n_ended++;
}

/* FALSE if there is no stack for it now. */
static gboolean
start_one (CoroutineLoop *self)
{
  Coroutine *coroutine = take_coroutine (self);

  if (coroutine == NULL && n_alive (self) > 0)
    {
      self->short_of_stacks = TRUE; /* the next one that ends leaves its own */
      return FALSE;
    }
  if (coroutine == NULL)
    {
      refuse_call (self, pop_call (self));
      return TRUE;
    }
  self->thread = g_thread_self ();
  coroutine_start (coroutine, pop_call (self));
  look_after (self, coroutine);
  return TRUE;
}

static Coroutine *
pop_ready (CoroutineLoop *self)
{
  Coroutine *coroutine = self->ready_first;

  if (coroutine == NULL)
    return NULL;
  self->ready_first = coroutine->next;
  if (self->ready_first == NULL)
    self->ready_last = NULL;
  self->n_ready--;
  return coroutine;
}

static void
cancel_all (CoroutineLoop *self)
{
  StrandCall *call;

  while ((call = pop_call (self)) != NULL)
    {
      strand_call_cancel (call);
      strand_call_unref (call);
      self->n_ended++;
    }
  for (guint i = 0; i < self->all->len; i++)
    {
      Coroutine *coroutine = self->all->pdata[i];

      if (coroutine->call != NULL)
        strand_call_cancel (coroutine->call);
    }
}

static gboolean
is_pushed (gpointer top)
{
  return top != NULL && top != AWAKE;
}

static gboolean
has_work (CoroutineLoop *self)
{
  return self->ready_first != NULL || may_start (self) ||
         is_pushed (g_atomic_pointer_get (&self->unparked)) ||
         is_pushed (g_atomic_pointer_get (&self->calls)) || g_atomic_int_get (&self->cancel_all);
}

/* Everybody who can go on goes on once. FALSE when time is up. */
static gboolean
go_round (CoroutineLoop *self, gint64 until_us)
{
  guint n = self->n_ready, n_done = 0;
  Coroutine *coroutine;

  for (; n > 0 && (coroutine = pop_ready (self)) != NULL; n--)
    {
      coroutine_resume (coroutine);
      look_after (self, coroutine);
      if (++n_done % 8 == 0 && g_get_monotonic_time () >= until_us)
        return FALSE;
    }
  for (n = STARTS_IN_ROUND; n > 0 && may_start (self); n--)
    if (!start_one (self) || (++n_done % 8 == 0 && g_get_monotonic_time () >= until_us))
      return FALSE;
  return g_get_monotonic_time () < until_us;
}

/* A stack cannot be moved to another thread's: what the compiler or GLib noted of the thread would be wrong.
 */
static void
check_thread (CoroutineLoop *self)
{
  if (G_UNLIKELY (self->thread != NULL && self->thread != g_thread_self ()))
    g_error ("Coroutines were started on one thread and their main context is now iterated by another; with "
             "context=caller a context must stay with its thread");
}

void
coroutine_loop_turn (CoroutineLoop *self)
{
  gint64 until_us = g_get_monotonic_time () + TURN_US;
  gboolean pushed =
      g_main_context_get_thread_default () != self->context &&
      (g_main_context_get_thread_default () != NULL || self->context != g_main_context_default ());
  gboolean goes_on;

  check_thread (self);
  coroutine_watch_thread ();
  coroutine_loop_ref (self);
  /* What functions start answers in this context. */
  if (pushed)
    g_main_context_push_thread_default (self->context);
  do
    {
      take_in (self);
      if (g_atomic_int_compare_and_exchange (&self->cancel_all, TRUE, FALSE))
        cancel_all (self);
      goes_on = go_round (self, until_us);
      settle_counts (self);
      /* Who is called back may make the next call, and need not wait for the context to come round. */
      strand_parker_deliver (until_us);
    }
  while (goes_on && has_work (self));
  if (pushed)
    g_main_context_pop_thread_default (self->context);
  coroutine_loop_unref (self);
}

gboolean
coroutine_loop_rest (CoroutineLoop *self)
{
  return !has_work (self) && fall_asleep ((gpointer *) &self->calls) &&
         fall_asleep ((gpointer *) &self->unparked) && !g_atomic_int_get (&self->cancel_all);
}

static gboolean
loop_prepare (GSource *source, int *timeout)
{
  CoroutineLoop *self = ((LoopSource *) source)->loop;

  *timeout = -1;
  if (coroutine_loop_rest (self))
    {
      self->pause = FALSE;
      return FALSE;
    }
  if (!self->pause)
    return TRUE;
  *timeout = 0;
  return FALSE;
}

static gboolean
loop_check (GSource *source)
{
  CoroutineLoop *self = ((LoopSource *) source)->loop;

  if (self->pause)
    {
      self->pause = FALSE;
      return FALSE;
    }
  return has_work (self);
}

static gboolean
loop_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  CoroutineLoop *self = ((LoopSource *) source)->loop;

  coroutine_loop_turn (self);
  self->pause = has_work (self);
  return G_SOURCE_CONTINUE;
}

/* The source holds the loop, so that one who is in the middle of dispatching does not lose it. */
static void
loop_finalize (GSource *source)
{
  coroutine_loop_unref (((LoopSource *) source)->loop);
}

static GSourceFuncs source_funcs = { loop_prepare, loop_check, loop_dispatch, loop_finalize, NULL, NULL };

CoroutineLoop *
coroutine_loop_new (GMainContext *context, const CoroutineLimits *limits, CoroutineCounts *counts)
{
  CoroutineLoop *self = g_new0 (CoroutineLoop, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->context = g_main_context_ref (context);
  self->limits = *limits;
  self->counts = coroutine_counts_ref (counts);
  self->all = g_ptr_array_new ();
  self->stacks = strand_stacks_new (limits->stack_size);

  self->source = g_source_new (&source_funcs, sizeof (LoopSource));
  ((LoopSource *) self->source)->loop = coroutine_loop_ref (self);
  g_source_set_static_name (self->source, "strand coroutines");
  g_source_set_can_recurse (self->source, TRUE);
  g_source_attach (self->source, context);
  g_source_unref (self->source);
  return self;
}

CoroutineLoop *
coroutine_loop_ref (CoroutineLoop *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
coroutine_loop_unref (CoroutineLoop *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  while (self->all->len > 0)
    drop_coroutine (self, self->all->pdata[self->all->len - 1], TRUE);
  g_ptr_array_unref (self->all);
  strand_stacks_free (self->stacks);
  g_main_context_unref (self->context);
  coroutine_counts_unref (self->counts);
  g_free (self);
}

void
coroutine_loop_detach (CoroutineLoop *self)
{
  if (g_atomic_int_compare_and_exchange (&self->detached, FALSE, TRUE))
    g_source_destroy (self->source);
}

void
coroutine_loop_end (CoroutineLoop *self)
{
  g_atomic_int_set (&self->ending, TRUE);
  g_main_context_wakeup (self->context);
}

gboolean
coroutine_loop_may_end (CoroutineLoop *self)
{
  return g_atomic_int_get (&self->ending) && coroutine_loop_n_busy (self) == 0;
}

GMainContext *
coroutine_loop_get_context (CoroutineLoop *self)
{
  return self->context;
}

void
coroutine_loop_cancel_all (CoroutineLoop *self)
{
  g_atomic_int_set (&self->cancel_all, TRUE);
  wake (self);
}

guint
coroutine_loop_n_busy (CoroutineLoop *self)
{
  return (guint) g_atomic_int_get (&self->n_busy);
}

gboolean
coroutine_loop_is_here (CoroutineLoop *self)
{
  return g_main_context_is_owner (self->context) || g_main_context_get_thread_default () == self->context ||
         (self->context == g_main_context_default () && getpid () == gettid ());
}
