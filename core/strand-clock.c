/* strand-clock.c — the time, and what is to happen later.
 *
 * Timers lie in one binary heap by due time, each knowing its place, so that adding and removing one of
 * 100 000 costs a handful of swaps. One thread, started with the first timer, sleeps until the earliest.
 * Under a manual clock that thread stays out of it and strand_clock_advance() runs what falls due.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-clock.h"

typedef struct
{
  guint64 id;
  gint64 due_us;
  guint place; /* in the heap */
  StrandTimerFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} Timer;

static GMutex lock; /* guards everything below, but `manual` is also read without it */
static GCond changed;
static GPtrArray *heap;    /* of Timer, earliest first */
static GHashTable *timers; /* of Timer, by id */
static guint64 last_id;
static GThread *thread;
static int manual; /* atomic: whether the two below are the time */
static gint64 manual_now_us;
static gint64 manual_monotonic_us;

/* Of two that are due at once, the one added first. */
static gboolean
is_before (const Timer *timer, const Timer *other)
{
  return timer->due_us < other->due_us || (timer->due_us == other->due_us && timer->id < other->id);
}

static void
place_timer (Timer *timer, guint place)
{
  heap->pdata[place] = timer;
  timer->place = place;
}

static void
sift_up (guint place)
{
  Timer *timer = heap->pdata[place];

  while (place > 0)
    {
      Timer *parent = heap->pdata[(place - 1) / 2];

      if (is_before (parent, timer))
        break;
      place_timer (parent, place);
      place = (place - 1) / 2;
    }
  place_timer (timer, place);
}

static void
sift_down (guint place)
{
  Timer *timer = heap->pdata[place];

  while (TRUE)
    {
      guint child = 2 * place + 1;

      if (child >= heap->len)
        break;
      if (child + 1 < heap->len && is_before (heap->pdata[child + 1], heap->pdata[child]))
        child++;
      if (is_before (timer, heap->pdata[child]))
        break;
      place_timer (heap->pdata[child], place);
      place = child;
    }
  place_timer (timer, place);
}

static void
take_from_heap_locked (Timer *timer)
{
  guint place = timer->place;
  Timer *last = heap->pdata[heap->len - 1];

  g_ptr_array_set_size (heap, (int) heap->len - 1);
  g_hash_table_remove (timers, &timer->id);
  if (last == timer)
    return;
  place_timer (last, place);
  sift_down (place);
  sift_up (last->place);
}

static void
timer_free (Timer *timer)
{
  if (timer->destroy != NULL)
    timer->destroy (timer->user_data);
  g_free (timer);
}

static void
step_locked (gint64 to_us)
{
  gint64 by_us = MAX (to_us - manual_monotonic_us, 0);

  manual_now_us += by_us;
  manual_monotonic_us += by_us;
}

/* Runs the timers due at @now_us, unlocking around each. Manual time stops at each of them, so that one that
 * sets another runs it as far apart as it would otherwise. */
static void
run_due_locked (gint64 now_us)
{
  while (heap->len > 0 && ((Timer *) heap->pdata[0])->due_us <= now_us)
    {
      Timer *timer = heap->pdata[0];

      take_from_heap_locked (timer);
      if (manual)
        step_locked (timer->due_us);
      g_mutex_unlock (&lock);
      timer->func (timer->user_data);
      timer_free (timer);
      g_mutex_lock (&lock);
    }
}

static gpointer
timer_thread (gpointer unused)
{
  g_mutex_lock (&lock);
  while (TRUE)
    {
      if (!manual)
        run_due_locked (g_get_monotonic_time ());
      if (manual || heap->len == 0)
        g_cond_wait (&changed, &lock);
      else
        g_cond_wait_until (&changed, &lock, ((Timer *) heap->pdata[0])->due_us);
    }
  return NULL;
}

/**
 * strand_clock_now_us:
 *
 * The wall time, for saying when something was. Any thread; does not block.
 *
 * Returns: microseconds since 1970-01-01 00:00 UTC
 * Since: 1.0
 */
gint64
strand_clock_now_us (void)
{
  gint64 now_us;

  if (G_LIKELY (!g_atomic_int_get (&manual)))
    return g_get_real_time ();

  g_mutex_lock (&lock);
  now_us = manual_now_us;
  g_mutex_unlock (&lock);
  return now_us;
}

/**
 * strand_clock_monotonic_us:
 *
 * The monotonic time, for durations and deadlines. Any thread; does not block.
 *
 * Returns: microseconds since some moment in the past
 * Since: 1.0
 */
gint64
strand_clock_monotonic_us (void)
{
  gint64 now_us;

  if (G_LIKELY (!g_atomic_int_get (&manual)))
    return g_get_monotonic_time ();

  g_mutex_lock (&lock);
  now_us = manual_monotonic_us;
  g_mutex_unlock (&lock);
  return now_us;
}

/**
 * strand_clock_add_timer:
 * @due_us: when, as strand_clock_monotonic_us() counts
 * @func: (scope notified): what to call
 * @user_data: (closure func): data for @func
 * @destroy: (nullable): frees @user_data after @func has run, or when the timer is removed
 *
 * Calls @func once when @due_us has come. Any thread; does not block.
 *
 * Returns: an id for strand_clock_remove_timer(), never 0
 * Since: 1.0
 */
guint64
strand_clock_add_timer (gint64 due_us, StrandTimerFunc func, gpointer user_data, GDestroyNotify destroy)
{
  Timer *timer = g_new0 (Timer, 1);
  guint64 id;

  timer->due_us = due_us;
  timer->func = func;
  timer->user_data = user_data;
  timer->destroy = destroy;

  g_mutex_lock (&lock);
  if (heap == NULL)
    {
      heap = g_ptr_array_new ();
      timers = g_hash_table_new (g_int64_hash, g_int64_equal);
    }
  if (thread == NULL)
    thread = g_thread_new ("strand-timer", timer_thread, NULL);
  id = timer->id = ++last_id;
  g_hash_table_insert (timers, &timer->id, timer);
  g_ptr_array_add (heap, timer);
  sift_up (heap->len - 1);
  if (timer->place == 0)
    g_cond_signal (&changed);
  g_mutex_unlock (&lock);

  return id;
}

/**
 * strand_clock_remove_timer:
 * @id: what strand_clock_add_timer() returned
 *
 * Takes a timer back. Any thread; does not block.
 *
 * Returns: %TRUE if its function will not be called; %FALSE if it has been called or is running
 * Since: 1.0
 */
gboolean
strand_clock_remove_timer (guint64 id)
{
  Timer *timer;

  g_mutex_lock (&lock);
  timer = timers != NULL ? g_hash_table_lookup (timers, &id) : NULL;
  if (timer != NULL)
    take_from_heap_locked (timer);
  g_mutex_unlock (&lock);

  if (timer == NULL)
    return FALSE;
  timer_free (timer);
  return TRUE;
}

/**
 * strand_clock_set_manual:
 * @now_us: the wall time to stand at
 *
 * For tests: from now on time stands still until it is advanced. The monotonic time stays what it is.
 *
 * Since: 1.0
 */
void
strand_clock_set_manual (gint64 now_us)
{
  g_mutex_lock (&lock);
  manual_now_us = now_us;
  manual_monotonic_us = g_get_monotonic_time ();
  g_atomic_int_set (&manual, TRUE);
  g_cond_signal (&changed);
  g_mutex_unlock (&lock);
}

/**
 * strand_clock_advance:
 * @by_us: by how much
 *
 * Moves a manual clock forward, wall and monotonic, and runs the timers that fall due, in order, on this
 * thread, before it returns.
 *
 * Since: 1.0
 */
void
strand_clock_advance (gint64 by_us)
{
  g_return_if_fail (by_us >= 0);

  g_mutex_lock (&lock);
  if (manual)
    {
      gint64 until_us = manual_monotonic_us + by_us;

      if (heap != NULL)
        run_due_locked (until_us);
      step_locked (until_us);
    }
  g_mutex_unlock (&lock);
}

/**
 * strand_clock_set_wall:
 * @now_us: the new wall time
 *
 * Steps a manual clock's wall time, as an operator or NTP does; no timer notices.
 *
 * Since: 1.0
 */
void
strand_clock_set_wall (gint64 now_us)
{
  g_mutex_lock (&lock);
  manual_now_us = now_us;
  g_mutex_unlock (&lock);
}

/**
 * strand_clock_set_system:
 *
 * Gives time back to the system.
 *
 * Since: 1.0
 */
void
strand_clock_set_system (void)
{
  g_mutex_lock (&lock);
  g_atomic_int_set (&manual, FALSE);
  g_cond_signal (&changed);
  g_mutex_unlock (&lock);
}
