/* process-pool.c — calls in a line, and who is called to take them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-pool.h"

/* How long close() waits for what it has cancelled: the default grace twice. */
#define CLOSE_PATIENCE_US (10 * G_USEC_PER_SEC)

Pool *
pool_new (void)
{
  Pool *self = g_new0 (Pool, 1);

  g_atomic_ref_count_init (&self->ref_count);
  g_mutex_init (&self->lock);
  g_cond_init (&self->room);
  g_cond_init (&self->quiet);
  self->keepers = g_ptr_array_new ();
  self->idle = g_ptr_array_new ();
  return self;
}

Pool *
pool_ref (Pool *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pool_unref (Pool *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->settings.command);
  g_strfreev (self->settings.modules);
  g_strfreev (self->settings.env);
  g_free (self->settings.working_directory);
  g_ptr_array_unref (self->keepers);
  g_ptr_array_unref (self->idle);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->room);
  g_cond_clear (&self->quiet);
  g_free (self);
}

static void
append_locked (Pool *self, StrandCall *call)
{
  strand_call_set_runner_data (call, NULL);
  if (self->last != NULL)
    strand_call_set_runner_data (self->last, call);
  else
    self->first = call;
  self->last = call;
  self->n_queued++;
}

StrandCall *
pool_pop_locked (Pool *self)
{
  StrandCall *call = self->first;

  if (call == NULL)
    return NULL;
  self->first = strand_call_get_runner_data (call);
  if (self->first == NULL)
    self->last = NULL;
  self->n_queued--;
  if (self->n_waiting > 0)
    g_cond_signal (&self->room);
  return call;
}

void
pool_put_back_locked (Pool *self, StrandCall *call)
{
  strand_call_set_runner_data (call, self->first);
  self->first = call;
  if (self->last == NULL)
    self->last = call;
  self->n_queued++;
  if (self->idle->len > 0)
    keeper_wake (g_ptr_array_steal_index (self->idle, self->idle->len - 1));
}

static void
start_keeper_locked (Pool *self)
{
  g_autoptr(GError) error = NULL;
  Keeper *keeper = keeper_new (self);
  GThread *thread;

  g_ptr_array_add (self->keepers, keeper);
  self->n_threads++;
  thread = g_thread_try_new ("strand-keeper", keeper_main, keeper, &error);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  g_warning ("Could not start a thread: %s; %u helpers go on with the calls", error->message,
             self->keepers->len - 1);
  g_ptr_array_remove_fast (self->keepers, keeper);
  self->n_threads--;
  keeper_unref (keeper);
}

StrandCall *
pool_steal_locked (Pool *self)
{
  StrandCall *call = NULL;

  for (guint i = 0; call == NULL && i < self->keepers->len; i++)
    call = sent_take_back_locked (self->keepers->pdata[i]);
  return call;
}

/* Sees to it that somebody takes the call just pushed. */
static void
call_keeper_locked (Pool *self)
{
  if (self->idle->len > 0)
    keeper_wake (g_ptr_array_steal_index (self->idle, self->idle->len - 1));
  else if (self->keepers->len < self->max_workers)
    start_keeper_locked (self);
  while (self->keepers->len < MIN (self->min_idle, self->max_workers))
    start_keeper_locked (self);
}

/* The short way: nobody waits before this call, and a helper that has the function sleeps. Sending from here
 * saves waking the keeper's thread first. */
static gboolean
hand_over_locked (Pool *self, StrandCall *call, gboolean *begun)
{
  Keeper *keeper;

  if (self->first != NULL || self->idle->len == 0 || strand_call_is_attempt (call))
    return FALSE;
  keeper = self->idle->pdata[self->idle->len - 1];
  if (!keeper_hand_over_locked (keeper, call, begun))
    return FALSE;
  if (*begun)
    g_ptr_array_set_size (self->idle, (int) self->idle->len - 1);
  return TRUE;
}

gboolean
pool_push (Pool *self, StrandCall *call, gboolean may_block, GError **error)
{
  gboolean closed, room, begun = TRUE;

  g_mutex_lock (&self->lock);
  self->n_waiting++;
  while (!self->closed && self->n_queued >= self->max_queued && may_block)
    g_cond_wait (&self->room, &self->lock);
  self->n_waiting--;
  closed = self->closed;
  room = self->n_queued < self->max_queued;
  if (!closed && room && !hand_over_locked (self, call, &begun))
    {
      append_locked (self, call);
      call_keeper_locked (self);
    }
  g_mutex_unlock (&self->lock);
  if (!begun)
    strand_call_unref (call);

  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else if (!room)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "%u calls are waiting for a helper, which is the limit; 'max-queued' raises it",
                 self->max_queued);
  return !closed && room;
}

void
pool_fail_waiting (Pool *self, const GError *error)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  StrandCall *call;

  g_mutex_lock (&self->lock);
  while ((call = pool_pop_locked (self)) != NULL)
    g_ptr_array_add (calls, call);
  if (self->closed)
    g_cond_broadcast (&self->quiet);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < calls->len; i++)
    strand_call_finish_as (calls->pdata[i], STRAND_STATUS_FAILED, NULL, g_error_copy (error));
}

/* Out of the line; FALSE if it does not stand there. */
static gboolean
remove_locked (Pool *self, StrandCall *call)
{
  StrandCall *before = NULL, *at = self->first;

  for (; at != NULL && at != call; at = strand_call_get_runner_data (at))
    before = at;
  if (at == NULL)
    return FALSE;
  if (before != NULL)
    strand_call_set_runner_data (before, strand_call_get_runner_data (call));
  else
    self->first = strand_call_get_runner_data (call);
  if (self->last == call)
    self->last = before;
  self->n_queued--;
  return TRUE;
}

gboolean
pool_stop (Pool *self, StrandCall *call)
{
  gboolean found = FALSE, waits;

  g_mutex_lock (&self->lock);
  for (guint i = 0; !found && i < self->keepers->len; i++)
    found = sent_stop_locked (self->keepers->pdata[i], call);
  /* One that runs and stands in line has lost its helper before that had begun it. */
  waits = !found && remove_locked (self, call);
  g_mutex_unlock (&self->lock);
  if (waits)
    strand_call_unref (call);
  return found || waits;
}

void
pool_resume (Pool *self, StrandCall *call)
{
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->keepers->len; i++)
    {
      Keeper *keeper = self->keepers->pdata[i];

      if (keeper->n_sent == 0 || keeper->sent[0].call != call)
        continue;
      g_atomic_int_inc (&keeper->n_resumed);
      keeper_wake (keeper);
    }
  g_mutex_unlock (&self->lock);
}

static guint
n_busy_locked (Pool *self)
{
  guint n_busy = self->n_queued;

  for (guint i = 0; i < self->keepers->len; i++)
    {
      Keeper *keeper = self->keepers->pdata[i];

      n_busy += keeper->n_sent + (keeper->in_hand != NULL);
    }
  return n_busy;
}

static void
cancel_all_locked (Pool *self)
{
  g_autoptr(GPtrArray) calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);
  StrandCall *call;

  while ((call = pool_pop_locked (self)) != NULL)
    g_ptr_array_add (calls, call);
  for (guint i = 0; i < self->keepers->len; i++)
    {
      Keeper *keeper = self->keepers->pdata[i];

      if (keeper->in_hand != NULL)
        g_ptr_array_add (calls, strand_call_ref (keeper->in_hand));
      for (guint j = 0; j < keeper->n_sent; j++)
        g_ptr_array_add (calls, strand_call_ref (keeper->sent[j].call));
    }

  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < calls->len; i++)
    strand_call_cancel (calls->pdata[i]);
  g_mutex_lock (&self->lock);
}

static void
stop_locked (Pool *self)
{
  self->closed = self->stopping = TRUE;
  g_cond_broadcast (&self->room);
  for (guint i = 0; i < self->keepers->len; i++)
    keeper_wake (self->keepers->pdata[i]);
}

gboolean
pool_close (Pool *self, gint64 deadline_us, GError **error)
{
  gint64 until_us;
  guint n_left;

  g_mutex_lock (&self->lock);
  self->closed = TRUE;
  g_cond_broadcast (&self->room);
  while (n_busy_locked (self) > 0)
    if (deadline_us < 0)
      g_cond_wait (&self->quiet, &self->lock);
    else if (!g_cond_wait_until (&self->quiet, &self->lock, deadline_us))
      break;

  n_left = n_busy_locked (self);
  if (n_left > 0)
    cancel_all_locked (self);
  until_us = g_get_monotonic_time () + CLOSE_PATIENCE_US;
  while (n_busy_locked (self) > 0 && g_cond_wait_until (&self->quiet, &self->lock, until_us))
    ;
  /* Whoever closes a taskrunner may count on its processes being gone. */
  stop_locked (self);
  until_us = g_get_monotonic_time () + CLOSE_PATIENCE_US;
  while (self->n_threads > 0 && g_cond_wait_until (&self->quiet, &self->lock, until_us))
    ;
  g_mutex_unlock (&self->lock);

  if (n_left == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT,
               "Could not close the taskrunner in time: %u calls had not ended and were cancelled", n_left);
  return FALSE;
}

void
pool_dispose (Pool *self)
{
  g_mutex_lock (&self->lock);
  stop_locked (self);
  g_mutex_unlock (&self->lock);
}
