/* coroutine-loop.c — the coroutines of one main context, and whose turn it is.
 *
 * Calls and coroutines that may go on come from any thread on two lock-free stacks; the loop's thread, in the dispatch of
 * one GSource, takes them into two lines and goes round: everybody in the ready line once, then some new calls. New ones
 * come last so that a flood of short calls keeps few stacks busy.
 *
 * A turn ends after a millisecond, and after it the context goes round once without us, so that sources of lower priority
 * have their chance even while a coroutine does nothing but yield.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-loop.h"
#include "coroutine-stack.h"
#include "coroutine-switch.h"

#include <errno.h>
#include <unistd.h>

/* What timers and windows can wait without anybody noticing. */
#define TURN_US 1000

/* How many calls are started before those that are under way have another turn. */
#define STARTS_IN_ROUND 64

typedef enum
{
  RUNNING,  /* or in the ready line after a yield */
  NOTIFIED, /* unparked meanwhile: the next park returns at once */
  PARKED,
  UNPARKED, /* on the way to the ready line */
} State;

typedef struct _Coroutine Coroutine;
struct _Coroutine
{
  StrandParker parker;
  StrandFiber fiber;
  CoroutineLoop *loop;
  StrandStack *stack;
  int state;       /* atomic */
  Coroutine *next; /* in a stack, a line, or among the idle */
  StrandCall *call; /* that it runs; NULL while idle */
  gboolean idle;
  const char *function;
  guint place; /* in the loop's list of all */
};

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
  StrandCall *calls;   /* newest first; linked by their runner data, as the line is */
  Coroutine *unparked; /* newest first */
  int awake;           /* the loop looks at the two above before it sleeps */
  int n_busy;
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
  GPtrArray *all; /* of Coroutine, idle ones too */
  StrandStacks *stacks;
};

CoroutineCounts *
coroutine_counts_new (void)
{
  CoroutineCounts *self = g_new0 (CoroutineCounts, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  g_mutex_init (&self->loops_lock);
  g_cond_init (&self->quiet);
  g_cond_init (&self->room);
  return self;
}

CoroutineCounts *
coroutine_counts_ref (CoroutineCounts *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
coroutine_counts_unref (CoroutineCounts *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->loops_lock);
  g_cond_clear (&self->quiet);
  g_cond_clear (&self->room);
  g_free (self);
}

static void
tell_closer (CoroutineCounts *counts)
{
  if (!g_atomic_int_get (&counts->closing))
    return;
  g_mutex_lock (&counts->lock);
  counts->n_news++;
  g_cond_broadcast (&counts->quiet);
  g_mutex_unlock (&counts->lock);
}

/* After something was pushed. The caller sees to it that the loop stays. */
static void
wake (CoroutineLoop *self)
{
  /* The thread that owns the context does not sleep in it now. */
  if (g_atomic_int_compare_and_exchange (&self->awake, FALSE, TRUE) && !g_main_context_is_owner (self->context))
    g_main_context_wakeup (self->context);
  tell_closer (self->counts);
}

static void
append_ready (CoroutineLoop *self, Coroutine *coroutine)
{
  coroutine->next = NULL;
  if (self->ready_last != NULL)
    self->ready_last->next = coroutine;
  else
    self->ready_first = coroutine;
  self->ready_last = coroutine;
  self->n_ready++;
}

/* The parker's three, inside the coroutine or, unpark, anywhere. */

static void
coroutine_park (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;

  if (g_atomic_int_compare_and_exchange (&self->state, RUNNING, PARKED))
    strand_fiber_suspend (&self->fiber);
  /* Whoever resumed has made us RUNNING; else there was a notice, which is used up now. */
  g_atomic_int_set (&self->state, RUNNING);
}

static void
coroutine_unpark (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;
  int state = g_atomic_int_get (&self->state);
  CoroutineLoop *loop;
  Coroutine *top;

  while (TRUE)
    {
      if (state == RUNNING && g_atomic_int_compare_and_exchange_full (&self->state, RUNNING, NOTIFIED, &state))
        return;
      if (state == PARKED && g_atomic_int_compare_and_exchange_full (&self->state, PARKED, UNPARKED, &state))
        break;
      if (state == NOTIFIED || state == UNPARKED)
        return;
    }

  /* As soon as it is pushed it may run to its end, and the loop with it. */
  loop = coroutine_loop_ref (self->loop);
  top = g_atomic_pointer_get (&loop->unparked);
  do
    self->next = top;
  while (!g_atomic_pointer_compare_and_exchange_full (&loop->unparked, top, self, &top));
  wake (loop);
  coroutine_loop_unref (loop);
}

static void
coroutine_yield (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;

  append_ready (self->loop, self);
  strand_fiber_suspend (&self->fiber);
}

/* What runs on a coroutine's stack: one call after the other. */
static void
coroutine_main (gpointer data)
{
  Coroutine *self = data;

  while (TRUE)
    {
      strand_call_run (strand_call_ref (self->call));
      g_clear_pointer (&self->call, strand_call_unref);
      self->idle = TRUE;
      strand_fiber_suspend (&self->fiber);
    }
}

static gboolean
find_overflow (const void *address, const char **function, gsize *size)
{
  StrandParker *parker = strand_parker_get_current ();
  const char *place = address;
  Coroutine *self = (Coroutine *) parker;

  if (parker == NULL || parker->park != coroutine_park)
    return FALSE;
  if (place >= self->stack->base || place < self->stack->base - strand_stack_guard_size ())
    return FALSE;
  *function = self->function;
  *size = self->stack->size;
  return TRUE;
}

static Coroutine *
coroutine_new (CoroutineLoop *loop)
{
  StrandStack *stack = strand_stacks_take (loop->stacks);
  Coroutine *self;

  if (stack == NULL)
    return NULL;
  self = g_new0 (Coroutine, 1);
  self->parker.park = coroutine_park;
  self->parker.unpark = coroutine_unpark;
  self->parker.yield = coroutine_yield;
  self->parker.yields_on_item = loop->limits.yield_on_iter;
  self->loop = loop;
  self->stack = stack;
  self->place = loop->all->len;
  g_ptr_array_add (loop->all, self);
  strand_fiber_init (&self->fiber, stack->base, stack->size, coroutine_main, self);
  return self;
}

static void
coroutine_free (Coroutine *self, gboolean keep_stack)
{
  CoroutineLoop *loop = self->loop;

  ((Coroutine *) loop->all->pdata[loop->all->len - 1])->place = self->place;
  g_ptr_array_remove_index_fast (loop->all, self->place);
  strand_fiber_clear (&self->fiber);
  strand_stacks_give (loop->stacks, self->stack, keep_stack);
  g_free (self);
}

static guint
n_alive (CoroutineLoop *self)
{
  return self->all->len - self->n_idle;
}

static void
call_ended (CoroutineLoop *self, Coroutine *coroutine)
{
  CoroutineCounts *counts = self->counts;

  if (self->n_idle < self->limits.max_stacks)
    {
      coroutine->next = self->idle;
      self->idle = coroutine;
      self->n_idle++;
    }
  else
    coroutine_free (coroutine, FALSE);

  if (n_alive (self) == 0)
    self->thread = NULL;
  self->short_of_stacks = FALSE;
  g_atomic_int_add (&self->n_busy, -1);
  g_atomic_int_add (&counts->n_alive, -1);
  tell_closer (counts);
}

/* One piece of a coroutine, until it parks, yields or ends. */
static void
resume (CoroutineLoop *self, Coroutine *coroutine)
{
  strand_parker_enter (&coroutine->parker);
  strand_fiber_resume (&coroutine->fiber);
  strand_parker_leave (&coroutine->parker);
  if (G_UNLIKELY (!strand_stack_is_sound (coroutine->stack)))
    strand_stack_report_overflow (coroutine->function, coroutine->stack->size);
  if (coroutine->idle)
    call_ended (self, coroutine);
}

/* Appends what other threads have pushed to the two lines, in the order of pushing. */
static void
take_in (CoroutineLoop *self)
{
  Coroutine *coroutine = g_atomic_pointer_get (&self->unparked), *turned = NULL;
  StrandCall *call = g_atomic_pointer_get (&self->calls), *newest, *oldest = NULL;

  if (coroutine != NULL)
    coroutine = g_atomic_pointer_exchange (&self->unparked, NULL);
  while (coroutine != NULL)
    {
      Coroutine *next = coroutine->next;

      coroutine->next = turned;
      turned = coroutine;
      coroutine = next;
    }
  while (turned != NULL)
    {
      Coroutine *next = turned->next;

      append_ready (self, turned);
      turned = next;
    }

  if (call != NULL)
    call = g_atomic_pointer_exchange (&self->calls, NULL);
  newest = call;
  while (call != NULL)
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
  CoroutineCounts *counts = self->counts;

  if (call == NULL)
    return NULL;
  self->call_first = strand_call_get_runner_data (call);
  if (self->call_first == NULL)
    self->call_last = NULL;
  g_atomic_int_inc (&counts->n_alive);
  g_atomic_int_add (&counts->n_queued, -1);
  if (G_UNLIKELY (g_atomic_int_get (&counts->n_waiting) > 0))
    {
      g_mutex_lock (&counts->lock);
      g_cond_signal (&counts->room);
      g_mutex_unlock (&counts->lock);
    }
  return call;
}

static void
drop_call (CoroutineLoop *self, StrandCall *call)
{
  strand_call_unref (call);
  g_atomic_int_add (&self->n_busy, -1);
  g_atomic_int_add (&self->counts->n_alive, -1);
  tell_closer (self->counts);
}

static Coroutine *
take_coroutine (CoroutineLoop *self)
{
  Coroutine *coroutine = self->idle;

  if (coroutine == NULL)
    return coroutine_new (self);
  self->idle = coroutine->next;
  self->n_idle--;
  return coroutine;
}

static gboolean
may_start (CoroutineLoop *self)
{
  return self->call_first != NULL && n_alive (self) < self->limits.max_alive && !self->short_of_stacks;
}

/* FALSE if there is no stack for it now. */
static gboolean
start_one (CoroutineLoop *self)
{
  Coroutine *coroutine = take_coroutine (self);
  StrandCall *call;

  if (coroutine == NULL && n_alive (self) > 0)
    {
      self->short_of_stacks = TRUE; /* the next one that ends leaves its own */
      return FALSE;
    }
  call = pop_call (self);
  if (coroutine == NULL)
    {
      strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL,
                             g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED,
                                          "Could not run a call of '%s': there is no memory for a stack of %" G_GSIZE_FORMAT
                                          " bytes: %s",
                                          strand_call_get_function_name (call), self->limits.stack_size, g_strerror (errno)));
      drop_call (self, call);
      return TRUE;
    }
  self->thread = g_thread_self ();
  g_atomic_int_set (&coroutine->state, RUNNING);
  strand_call_set_runner_data (call, self);
  coroutine->call = call;
  coroutine->idle = FALSE;
  coroutine->function = strand_function_get_name (strand_call_get_function (call));
  resume (self, coroutine);
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
      drop_call (self, call);
    }
  for (guint i = 0; i < self->all->len; i++)
    {
      Coroutine *coroutine = self->all->pdata[i];

      if (coroutine->call != NULL)
        strand_call_cancel (coroutine->call);
    }
}

static gboolean
has_work (CoroutineLoop *self)
{
  return self->ready_first != NULL || may_start (self) || g_atomic_pointer_get (&self->unparked) != NULL ||
         g_atomic_pointer_get (&self->calls) != NULL || g_atomic_int_get (&self->cancel_all);
}

/* Everybody who can go on goes on once. FALSE when time is up. */
static gboolean
go_round (CoroutineLoop *self, gint64 until_us)
{
  guint n = self->n_ready, n_done = 0;
  Coroutine *coroutine;

  for (; n > 0 && (coroutine = pop_ready (self)) != NULL; n--)
    {
      resume (self, coroutine);
      if (++n_done % 8 == 0 && g_get_monotonic_time () >= until_us)
        return FALSE;
    }
  for (n = STARTS_IN_ROUND; n > 0 && may_start (self); n--)
    if (!start_one (self) || (++n_done % 8 == 0 && g_get_monotonic_time () >= until_us))
      return FALSE;
  return g_get_monotonic_time () < until_us;
}

/* A stack cannot be moved to another thread's: what the compiler or GLib noted of the thread would be wrong. */
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
  gboolean pushed = g_main_context_get_thread_default () != self->context &&
                    (g_main_context_get_thread_default () != NULL || self->context != g_main_context_default ());

  check_thread (self);
  strand_stack_watch_thread (find_overflow);
  coroutine_loop_ref (self);
  /* What functions start answers in this context. */
  if (pushed)
    g_main_context_push_thread_default (self->context);
  do
    {
      take_in (self);
      if (g_atomic_int_compare_and_exchange (&self->cancel_all, TRUE, FALSE))
        cancel_all (self);
    }
  while (go_round (self, until_us) && has_work (self));
  if (pushed)
    g_main_context_pop_thread_default (self->context);
  coroutine_loop_unref (self);
}

static gboolean
loop_prepare (GSource *source, int *timeout)
{
  CoroutineLoop *self = ((LoopSource *) source)->loop;

  *timeout = -1;
  if (!has_work (self))
    {
      /* Whoever pushes from here on wakes us; what was pushed just before is seen now. */
      g_atomic_int_set (&self->awake, FALSE);
      if (!has_work (self))
        {
          self->pause = FALSE;
          return FALSE;
        }
      g_atomic_int_set (&self->awake, TRUE);
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
    coroutine_free (self->all->pdata[self->all->len - 1], TRUE);
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
  return g_atomic_int_get (&self->ending) && !coroutine_loop_is_busy (self);
}

GMainContext *
coroutine_loop_get_context (CoroutineLoop *self)
{
  return self->context;
}

void
coroutine_loop_push (CoroutineLoop *self, StrandCall *call)
{
  StrandCall *top = g_atomic_pointer_get (&self->calls);

  coroutine_loop_ref (self);
  g_atomic_int_inc (&self->n_busy);
  do
    strand_call_set_runner_data (call, top);
  while (!g_atomic_pointer_compare_and_exchange_full (&self->calls, top, call, &top));
  wake (self);
  coroutine_loop_unref (self);
}

void
coroutine_loop_cancel_all (CoroutineLoop *self)
{
  g_atomic_int_set (&self->cancel_all, TRUE);
  wake (self);
}

gboolean
coroutine_loop_is_busy (CoroutineLoop *self)
{
  return g_atomic_int_get (&self->n_busy) > 0;
}

gboolean
coroutine_loop_is_here (CoroutineLoop *self)
{
  return g_main_context_is_owner (self->context) || g_main_context_get_thread_default () == self->context ||
         (self->context == g_main_context_default () && getpid () == gettid ());
}
