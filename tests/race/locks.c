/* locks.c — GLib's locks, as ThreadSanitizer's.
 *
 * A lock is told as a lock, not as an order alone: reports then name the locks that were held, and two locks
 * taken in both orders are reported too. The few that GLib keeps in a bit of a word are told as an order,
 * because the word's atomics are told under the same address.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "race.h"

static void
will_lock (gconstpointer lock, unsigned flags)
{
  if (SANITIZED)
    __tsan_mutex_pre_lock ((void *) lock, flags);
}

static void
has_locked (gconstpointer lock, unsigned flags)
{
  if (SANITIZED)
    __tsan_mutex_post_lock ((void *) lock, flags, 1);
}

/* A lock that was not to be had. */
static void
has_tried (gconstpointer lock, unsigned flags, gboolean locked)
{
  has_locked (lock, flags | __tsan_mutex_try_lock | (locked ? 0 : __tsan_mutex_try_lock_failed));
}

static void
will_unlock (gconstpointer lock, unsigned flags)
{
  if (SANITIZED)
    __tsan_mutex_pre_unlock ((void *) lock, flags);
}

static void
has_unlocked (gconstpointer lock, unsigned flags)
{
  if (SANITIZED)
    __tsan_mutex_post_unlock ((void *) lock, flags);
}

/* Locks are made by being zero, so that there is nothing to tell when one is made. */
static void
forget (gconstpointer lock)
{
  if (SANITIZED)
    __tsan_mutex_destroy ((void *) lock, 0);
}

INTERPOSED void
g_mutex_lock (GMutex *mutex)
{
  will_lock (mutex, 0);
  REAL (g_mutex_lock) (mutex);
  has_locked (mutex, 0);
}

INTERPOSED gboolean
g_mutex_trylock (GMutex *mutex)
{
  gboolean locked;

  will_lock (mutex, __tsan_mutex_try_lock);
  locked = REAL (g_mutex_trylock) (mutex);
  has_tried (mutex, 0, locked);
  return locked;
}

INTERPOSED void
g_mutex_unlock (GMutex *mutex)
{
  will_unlock (mutex, 0);
  REAL (g_mutex_unlock) (mutex);
  has_unlocked (mutex, 0);
}

INTERPOSED void
g_mutex_clear (GMutex *mutex)
{
  forget (mutex);
  REAL (g_mutex_clear) (mutex);
}

/* A condition orders nothing by itself: its lock does. */
INTERPOSED void
g_cond_wait (GCond *cond, GMutex *mutex)
{
  will_unlock (mutex, 0);
  has_unlocked (mutex, 0);
  will_lock (mutex, 0);
  REAL (g_cond_wait) (cond, mutex);
  has_locked (mutex, 0);
}

INTERPOSED gboolean
g_cond_wait_until (GCond *cond, GMutex *mutex, gint64 end_time)
{
  gboolean woken;

  will_unlock (mutex, 0);
  has_unlocked (mutex, 0);
  will_lock (mutex, 0);
  woken = REAL (g_cond_wait_until) (cond, mutex, end_time);
  has_locked (mutex, 0);
  return woken;
}

#define RECURSIVE __tsan_mutex_write_reentrant

INTERPOSED void
g_rec_mutex_lock (GRecMutex *mutex)
{
  will_lock (mutex, RECURSIVE);
  REAL (g_rec_mutex_lock) (mutex);
  has_locked (mutex, RECURSIVE);
}

INTERPOSED gboolean
g_rec_mutex_trylock (GRecMutex *mutex)
{
  gboolean locked;

  will_lock (mutex, RECURSIVE | __tsan_mutex_try_lock);
  locked = REAL (g_rec_mutex_trylock) (mutex);
  has_tried (mutex, RECURSIVE, locked);
  return locked;
}

INTERPOSED void
g_rec_mutex_unlock (GRecMutex *mutex)
{
  will_unlock (mutex, RECURSIVE);
  REAL (g_rec_mutex_unlock) (mutex);
  has_unlocked (mutex, RECURSIVE);
}

INTERPOSED void
g_rec_mutex_clear (GRecMutex *mutex)
{
  forget (mutex);
  REAL (g_rec_mutex_clear) (mutex);
}

INTERPOSED void
g_rw_lock_writer_lock (GRWLock *lock)
{
  will_lock (lock, 0);
  REAL (g_rw_lock_writer_lock) (lock);
  has_locked (lock, 0);
}

INTERPOSED gboolean
g_rw_lock_writer_trylock (GRWLock *lock)
{
  gboolean locked;

  will_lock (lock, __tsan_mutex_try_lock);
  locked = REAL (g_rw_lock_writer_trylock) (lock);
  has_tried (lock, 0, locked);
  return locked;
}

INTERPOSED void
g_rw_lock_writer_unlock (GRWLock *lock)
{
  will_unlock (lock, 0);
  REAL (g_rw_lock_writer_unlock) (lock);
  has_unlocked (lock, 0);
}

INTERPOSED void
g_rw_lock_reader_lock (GRWLock *lock)
{
  will_lock (lock, __tsan_mutex_read_lock);
  REAL (g_rw_lock_reader_lock) (lock);
  has_locked (lock, __tsan_mutex_read_lock);
}

INTERPOSED gboolean
g_rw_lock_reader_trylock (GRWLock *lock)
{
  gboolean locked;

  will_lock (lock, __tsan_mutex_read_lock | __tsan_mutex_try_lock);
  locked = REAL (g_rw_lock_reader_trylock) (lock);
  has_tried (lock, __tsan_mutex_read_lock, locked);
  return locked;
}

INTERPOSED void
g_rw_lock_reader_unlock (GRWLock *lock)
{
  will_unlock (lock, __tsan_mutex_read_lock);
  REAL (g_rw_lock_reader_unlock) (lock);
  has_unlocked (lock, __tsan_mutex_read_lock);
}

INTERPOSED void
g_rw_lock_clear (GRWLock *lock)
{
  forget (lock);
  REAL (g_rw_lock_clear) (lock);
}

INTERPOSED void
g_bit_lock (volatile gint *address, gint lock_bit)
{
  REAL (g_bit_lock) (address, lock_bit);
  take ((gconstpointer) address);
}

INTERPOSED gboolean
g_bit_trylock (volatile gint *address, gint lock_bit)
{
  gboolean locked = REAL (g_bit_trylock) (address, lock_bit);

  if (locked)
    take ((gconstpointer) address);
  return locked;
}

INTERPOSED void
g_bit_unlock (volatile gint *address, gint lock_bit)
{
  give ((gconstpointer) address);
  REAL (g_bit_unlock) (address, lock_bit);
}

INTERPOSED void (g_pointer_bit_lock) (volatile void *address, gint lock_bit)
{
  REAL (g_pointer_bit_lock) (address, lock_bit);
  take ((gconstpointer) address);
}

INTERPOSED
gboolean (g_pointer_bit_trylock) (volatile void *address, gint lock_bit)
{
  gboolean locked = REAL (g_pointer_bit_trylock) (address, lock_bit);

  if (locked)
    take ((gconstpointer) address);
  return locked;
}

INTERPOSED void (g_pointer_bit_unlock) (volatile void *address, gint lock_bit)
{
  give ((gconstpointer) address);
  REAL (g_pointer_bit_unlock) (address, lock_bit);
}

/* Whoever finds it done without coming here has read the word with an atomic of its own. */
INTERPOSED
gboolean (g_once_init_enter) (volatile void *location)
{
  gboolean first = REAL (g_once_init_enter) (location);

  if (!first)
    take ((gconstpointer) location);
  return first;
}

INTERPOSED void (g_once_init_leave) (volatile void *location, gsize result)
{
  give ((gconstpointer) location);
  REAL (g_once_init_leave) (location, result);
}

typedef struct
{
  GOnce *once;
  GThreadFunc func;
  gpointer arg;
} Once;

static gpointer
run_once (gpointer data)
{
  Once *self = data;
  gpointer result = self->func (self->arg);

  give (self->once);
  return result;
}

INTERPOSED gpointer
g_once_impl (GOnce *once, GThreadFunc func, gpointer arg)
{
  Once self = { once, func, arg };
  gpointer result = REAL (g_once_impl) (once, run_once, &self);

  take (once);
  return result;
}
