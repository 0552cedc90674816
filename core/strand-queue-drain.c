/* strand-queue-drain.c — waiting until a queue has nothing more to run now.
 *
 * Who waits looks at the store whenever it tells of a change, and now and then besides.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-queue-private.h"

#include "strand-clock.h"
#include "strand-deadline-private.h"
#include "strand-error.h"

/* How often who waits for a queue looks, whatever it is told: not all that ends is told to every process. */
#define LOOK_INTERVAL_US (G_USEC_PER_SEC / 4)

typedef struct
{
  gatomicrefcount ref_count;
  GMutex lock; /* guards the rest */
  GCond changed;
  gboolean news;
} Bell;

static void
bell_unref (gpointer data)
{
  Bell *bell = data;

  if (!g_atomic_ref_count_dec (&bell->ref_count))
    return;
  g_mutex_clear (&bell->lock);
  g_cond_clear (&bell->changed);
  g_free (bell);
}

static Bell *
bell_new (void)
{
  Bell *bell = g_new0 (Bell, 1);

  g_atomic_ref_count_init (&bell->ref_count);
  g_mutex_init (&bell->lock);
  g_cond_init (&bell->changed);
  return bell;
}

static void
bell_ring (Bell *bell)
{
  g_mutex_lock (&bell->lock);
  bell->news = TRUE;
  g_cond_broadcast (&bell->changed);
  g_mutex_unlock (&bell->lock);
}

static void
on_changed (StrandStore *store, const char *key, gpointer bell)
{
  bell_ring (bell);
}

static void
on_cancelled (GCancellable *cancellable, gpointer bell)
{
  bell_ring (bell);
}

static void
bell_wait (Bell *bell, gint64 until_us)
{
  g_mutex_lock (&bell->lock);
  while (!bell->news && g_cond_wait_until (&bell->changed, &bell->lock, until_us))
    ;
  bell->news = FALSE;
  g_mutex_unlock (&bell->lock);
}

typedef struct
{
  gint64 now_us;
  gboolean any;
} Due;

static void
look_for_due (StrandRecord *record, gpointer data)
{
  Due *due = data;

  due->any |= strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE) <= due->now_us;
}

/* Whether nothing is due and nothing runs. FALSE with an error, or without one. */
static gboolean
is_drained (StrandStore *store, const char *name, GError **error)
{
  const StrandFilter running = { .queue = name, .statuses = 1 << STRAND_STATUS_RUNNING };
  const StrandFilter pending = { .queue = name, .statuses = 1 << STRAND_STATUS_PENDING };
  Due due = { strand_clock_now_us (), FALSE };
  gint64 n_left = G_MAXINT64;

  /* In this order: what is given back meanwhile is seen as pending. */
  if (strand_store_count (store, &running, error) != 0 ||
      !queue_for_each (store, &pending, &n_left, look_for_due, &due, error))
    return FALSE;
  return !due.any && strand_store_count (store, &running, error) == 0;
}

static gboolean
refuse_to_wait (StrandStore *store, const char *name, GError **error)
{
  if (!strand_queue_is_paused (store, name, error))
    return error != NULL && *error != NULL;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
               "Could not wait for queue '%s': it is paused, so that its calls are not run; resume it first",
               name);
  return TRUE;
}

static gboolean
drain (StrandStore *store, const char *name, gint64 deadline_us, GCancellable *cancellable, Bell *bell,
       GError **error)
{
  for (;;)
    {
      g_autoptr(GError) local_error = NULL;
      gint64 now_us = g_get_monotonic_time ();

      if (is_drained (store, name, &local_error))
        return TRUE;
      if (local_error != NULL || refuse_to_wait (store, name, &local_error) ||
          g_cancellable_set_error_if_cancelled (cancellable, &local_error))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      if (deadline_us >= 0 && now_us >= deadline_us)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
                       "Queue '%s' still has calls that are due or run; they go on", name);
          return FALSE;
        }
      bell_wait (bell, MIN (deadline_us >= 0 ? deadline_us : G_MAXINT64, now_us + LOOK_INTERVAL_US));
    }
}

gboolean
strand_queue_drain_cancellable (StrandStore *store, const char *name, gint64 timeout_us,
                                GCancellable *cancellable, GError **error)
{
  Bell *bell;
  gulong handler = 0;
  gboolean done;
  guint watch;
  gint64 deadline_us = timeout_us >= 0 ? strand_deadline (g_get_monotonic_time (), timeout_us) : -1;

  if (!queue_check_name (name, error))
    return FALSE;
  bell = bell_new ();
  g_atomic_ref_count_inc (&bell->ref_count);
  watch = strand_store_watch (store, NULL, on_changed, bell, bell_unref);
  if (cancellable != NULL)
    handler = g_cancellable_connect (cancellable, G_CALLBACK (on_cancelled), bell, NULL);
  done = drain (store, name, deadline_us, cancellable, bell, error);
  if (handler != 0)
    g_cancellable_disconnect (cancellable, handler);
  strand_store_unwatch (store, watch);
  bell_unref (bell);
  return done;
}

/**
 * strand_queue_drain:
 * @store: a store
 * @name: a queue's name
 * @timeout_us: how long to wait, in µs; -1 for ever
 * @error: return location for a [error@Strand.Error]
 *
 * Waits until a queue has no call that is due or runs. Calls whose time has not come stay, and others may be
 * launched meanwhile: whoever wants it empty for good launches no more.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_WAIT_TIMED_OUT`;
 * `STRAND_ERROR_WOULD_DEADLOCK` if the queue is paused with calls in it; `STRAND_ERROR_INVALID_ARGUMENT` for
 * what can be no queue's name; or as strand_store_list() does.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_drain (StrandStore *store, const char *name, gint64 timeout_us, GError **error)
{
  g_return_val_if_fail (STRAND_IS_STORE (store) && name != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  return strand_queue_drain_cancellable (store, name, timeout_us, NULL, error);
}
