/* coroutine.c — one coroutine: a stack, and the call that runs on it.
 *
 * A coroutine outlives its call: idle, it waits on its stack for the next one, so starting a call is no more
 * than going on with the stack.                                      SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "coroutine.h"

typedef enum
{
  RUNNING,  /* or in the loop's line after a yield */
  NOTIFIED, /* unparked meanwhile: the next park returns at once */
  PARKED,
  UNPARKED, /* on the way to the loop's line */
} State;

static void
park (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;

  if (g_atomic_int_compare_and_exchange (&self->state, RUNNING, PARKED))
    strand_fiber_suspend (&self->fiber);
  /* We were unparked, or had been before: either is used up now. */
  g_atomic_int_set (&self->state, RUNNING);
}

static void
unpark (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;
  int state = g_atomic_int_get (&self->state);

  while (state == RUNNING)
    if (g_atomic_int_compare_and_exchange_full (&self->state, RUNNING, NOTIFIED, &state))
      return;
  if (state == PARKED && g_atomic_int_compare_and_exchange (&self->state, PARKED, UNPARKED))
    coroutine_loop_push_unparked (self->loop, self);
}

static void
yield (StrandParker *parker)
{
  Coroutine *self = (Coroutine *) parker;

  coroutine_loop_append (self->loop, self);
  strand_fiber_suspend (&self->fiber);
}

/* What runs on a coroutine's stack: one call after the other. */
static void
run_calls (gpointer data)
{
  Coroutine *self = data;

  while (TRUE)
    {
      strand_call_run (self->call);
      self->call = NULL;
      self->idle = TRUE;
      strand_fiber_suspend (&self->fiber);
    }
}

Coroutine *
coroutine_new (CoroutineLoop *loop, StrandStack *stack, gboolean yield_on_iter)
{
  Coroutine *self = g_new0 (Coroutine, 1);

  self->parker.park = park;
  self->parker.unpark = unpark;
  self->parker.yield = yield;
  self->parker.yields_on_item = yield_on_iter;
  self->loop = loop;
  self->stack = stack;
  self->idle = TRUE;
  strand_fiber_init (&self->fiber, stack->base, stack->size, run_calls, self);
  return self;
}

void
coroutine_free (Coroutine *self)
{
  strand_fiber_clear (&self->fiber);
  g_free (self);
}

void
coroutine_start (Coroutine *self, StrandCall *call)
{
  g_atomic_int_set (&self->state, RUNNING);
  self->call = call;
  self->function = strand_function_get_name (strand_call_get_function (call));
  self->idle = FALSE;
  coroutine_resume (self);
}

void
coroutine_resume (Coroutine *self)
{
  strand_parker_enter (&self->parker);
  strand_fiber_resume (&self->fiber);
  strand_parker_leave (&self->parker);
  if (G_UNLIKELY (!strand_stack_is_sound (self->stack)))
    strand_stack_report_overflow (self->function, self->stack->size);
}

/* In a signal handler. */
static gboolean
find_overflow (const void *address, const char **function, gsize *size)
{
  StrandParker *parker = strand_parker_get_current ();
  Coroutine *self = (Coroutine *) parker;
  const char *place = address;

  if (parker == NULL || parker->park != park)
    return FALSE;
  if (place >= self->stack->base || place < self->stack->base - strand_stack_guard_size ())
    return FALSE;
  *function = self->function;
  *size = self->stack->size;
  return TRUE;
}

void
coroutine_watch_thread (void)
{
  strand_stack_watch_thread (find_overflow);
}
