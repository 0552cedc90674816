/* strand-semaphore.c — taking turns between functions, whether threads or coroutines.
 *
 * A place that is given back goes straight to whoever has waited longest, so nobody who comes later can take
 * it first. Those who wait do so on their own call's condition, where being told to stop wakes them too. Lock
 * order: the semaphore, then a call.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-semaphore.h"
#include "strand-call-private.h"
#include "strand-error.h"
#include "strand-function-private.h"

typedef struct
{
  StrandCall *call;
  gboolean granted; /* guarded by the call's lock */
} Waiter;

struct _StrandSemaphore
{
  gatomicrefcount ref_count;

  GMutex lock; /* guards the rest */
  guint n_free;
  GQueue waiters; /* of Waiter, each on the stack of who waits */
};

struct _StrandMutex
{
  StrandSemaphore semaphore;
  gpointer owner; /* atomic: the context that holds it; for finding mistakes */
};

/**
 * StrandSemaphore:
 *
 * So many functions inside at once, and no more, whether on threads or in coroutines. A wait parks a
 * coroutine, and ends when the call is told to stop.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandSemaphore, strand_semaphore, strand_semaphore_ref, strand_semaphore_unref)
/**
 * StrandMutex:
 *
 * One function inside at a time, whether on a thread or in a coroutine. A wait parks a coroutine, and ends
 * when the call is told to stop.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandMutex, strand_mutex, strand_mutex_ref, strand_mutex_unref)

static void
init (StrandSemaphore *self, guint n_places)
{
  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  self->n_free = n_places;
}

/**
 * strand_semaphore_new:
 * @n_places: how many may be inside at once
 *
 * Makes a semaphore, for functions on threads and in coroutines alike.
 *
 * Returns: (transfer full): a semaphore
 * Since: 1.0
 */
StrandSemaphore *
strand_semaphore_new (guint n_places)
{
  StrandSemaphore *self = g_new0 (StrandSemaphore, 1);

  init (self, n_places);
  return self;
}

/**
 * strand_semaphore_ref:
 * @self: a semaphore
 *
 * Takes a reference to a semaphore. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandSemaphore *
strand_semaphore_ref (StrandSemaphore *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * strand_semaphore_unref:
 * @self: (transfer full): a semaphore
 *
 * Lets go of a semaphore, which nobody may wait for at the last reference. Any thread.
 *
 * Since: 1.0
 */
void
strand_semaphore_unref (StrandSemaphore *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_assert (self->waiters.length == 0);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
wait_for_grant (Waiter *waiter)
{
  StrandCallExtra *extra = strand_call_extra (waiter->call);

  g_mutex_lock (&extra->lock);
  while (!waiter->granted && !strand_context_is_cancelled ((StrandContext *) waiter->call, NULL))
    strand_cond_wait (&extra->changed, &extra->lock);
  g_mutex_unlock (&extra->lock);
}

/**
 * strand_semaphore_acquire:
 * @self: a semaphore
 * @context: the running function's context
 * @error: return location for a #GError
 *
 * Takes a place; waits for one, in the order of coming, or until the call is told to stop. Blocks the thread
 * (a coroutine is parked).
 *
 * Returns: %TRUE with a place taken, to be given back with strand_semaphore_release(); %FALSE with
 *   `G_IO_ERROR_CANCELLED` and none
 * Since: 1.0
 */
gboolean
strand_semaphore_acquire (StrandSemaphore *self, StrandContext *context, GError **error)
{
  Waiter waiter = { (StrandCall *) context, FALSE };

  g_return_val_if_fail (self != NULL && context != NULL, FALSE);

  if (strand_context_is_cancelled (context, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  if (self->n_free > 0)
    {
      self->n_free--;
      g_mutex_unlock (&self->lock);
      return TRUE;
    }
  g_queue_push_tail (&self->waiters, &waiter);
  g_mutex_unlock (&self->lock);

  wait_for_grant (&waiter);

  /* Whoever grants holds our lock meanwhile, so from here on nobody touches the waiter. */
  g_mutex_lock (&self->lock);
  if (!waiter.granted)
    g_queue_remove (&self->waiters, &waiter);
  g_mutex_unlock (&self->lock);
  return waiter.granted || !strand_context_is_cancelled (context, error);
}

/**
 * strand_semaphore_release:
 * @self: a semaphore
 *
 * Gives a place back. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_semaphore_release (StrandSemaphore *self)
{
  Waiter *waiter;

  g_return_if_fail (self != NULL);

  g_mutex_lock (&self->lock);
  waiter = g_queue_pop_head (&self->waiters);
  if (waiter != NULL)
    {
      StrandCallExtra *extra = strand_call_extra (waiter->call);

      g_mutex_lock (&extra->lock);
      waiter->granted = TRUE;
      strand_cond_broadcast (&extra->changed);
      g_mutex_unlock (&extra->lock);
    }
  else
    self->n_free++;
  g_mutex_unlock (&self->lock);
}

/**
 * strand_mutex_new:
 *
 * A lock that one function at a time holds, across waits too.
 *
 * Returns: (transfer full): a mutex, unlocked
 * Since: 1.0
 */
StrandMutex *
strand_mutex_new (void)
{
  StrandMutex *self = g_new0 (StrandMutex, 1);

  init (&self->semaphore, 1);
  return self;
}

/**
 * strand_mutex_ref:
 * @self: a mutex
 *
 * Takes a reference to a mutex. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandMutex *
strand_mutex_ref (StrandMutex *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  strand_semaphore_ref (&self->semaphore);
  return self;
}

/**
 * strand_mutex_unref:
 * @self: (transfer full): a mutex
 *
 * Lets go of a mutex, which nobody may hold or wait for at the last reference. Any thread.
 *
 * Since: 1.0
 */
void
strand_mutex_unref (StrandMutex *self)
{
  g_return_if_fail (self != NULL);

  strand_semaphore_unref (&self->semaphore);
}

/**
 * strand_mutex_lock:
 * @self: a mutex
 * @context: the running function's context
 * @error: return location for a #GError
 *
 * Locks, as strand_semaphore_acquire() takes a place.
 *
 * Returns: %TRUE; %FALSE with `G_IO_ERROR_CANCELLED`, or %STRAND_ERROR_WOULD_DEADLOCK if the function holds
 * it already
 *
 * Since: 1.0
 */
gboolean
strand_mutex_lock (StrandMutex *self, StrandContext *context, GError **error)
{
  g_return_val_if_fail (self != NULL && context != NULL, FALSE);

  if (g_atomic_pointer_get (&self->owner) == context)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
                   "Could not lock a mutex: '%s' holds it already",
                   ((StrandCall *) context)->recipe->function->name);
      return FALSE;
    }
  if (!strand_semaphore_acquire (&self->semaphore, context, error))
    return FALSE;
  g_atomic_pointer_set (&self->owner, context);
  return TRUE;
}

/**
 * strand_mutex_unlock:
 * @self: a mutex
 * @context: the running function's context, which has locked it
 *
 * Any thread of the function's; does not block.
 *
 * Since: 1.0
 */
void
strand_mutex_unlock (StrandMutex *self, StrandContext *context)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (g_atomic_pointer_get (&self->owner) == context);

  g_atomic_pointer_set (&self->owner, NULL);
  strand_semaphore_release (&self->semaphore);
}
