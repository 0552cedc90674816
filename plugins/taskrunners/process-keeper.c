/* process-keeper.c — a thread that takes calls from the line to a helper process of its own.
 *
 * A thread for each helper, because what follows a call may block: a backend that writes its record, a
 * callback that runs on the runner's thread. While a call runs, the keeper sleeps in poll() on the helper's
 * data, its stderr, its pidfd and its own eventfd. If the helper dies, the shared words say whether it had
 * begun the call: if so, the call has crashed; if not, another helper gets it and nobody notices.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-keeper.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How often to look for a death where the kernel has no pidfd. */
#define LOOK_MS 100

Keeper *
keeper_new (Pool *pool)
{
  Keeper *self = g_new0 (Keeper, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->pool = pool_ref (pool);
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return self;
}

Keeper *
keeper_ref (Keeper *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
keeper_unref (Keeper *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  pool_unref (self->pool);
  g_free (self);
}

void
keeper_wake (Keeper *self)
{
  guint64 one = 1;

  while (write (self->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    ;
}

/* While the keeper rests, who submits a call writes it to the helper itself. */
static gboolean
has_to_send (Keeper *self, Helper *helper)
{
  gboolean has;

  g_mutex_lock (&self->pool->lock);
  has = !strand_wire_buffer_is_empty (&helper->out);
  g_mutex_unlock (&self->pool->lock);
  return has;
}

/* Sleeps until something happens; -1 for as long as that takes. */
guint
keeper_wait (Keeper *self, Helper *helper, int timeout_ms)
{
  gboolean sends = helper != NULL && has_to_send (self, helper);
  struct pollfd fds[] = {
    { self->wake_fd, POLLIN, 0 },
    { helper != NULL ? helper->data : -1, (short) (POLLIN | (sends ? POLLOUT : 0)), 0 },
    { helper != NULL ? helper->err : -1, POLLIN, 0 },
    { helper != NULL ? helper->pidfd : -1, POLLIN, 0 },
  };
  guint news = 0;
  guint64 n;

  if (helper != NULL && helper->pidfd < 0)
    timeout_ms = timeout_ms < 0 ? LOOK_MS : MIN (timeout_ms, LOOK_MS);
  if (poll (fds, G_N_ELEMENTS (fds), timeout_ms) < 0)
    return 0;
  if (fds[0].revents != 0)
    {
      news |= NEWS_WAKE;
      while (read (self->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    }
  if (fds[2].revents != 0)
    helper_drain_stderr (helper);
  if (fds[1].revents != 0)
    news |= NEWS_DATA;
  if (fds[3].revents != 0 || (helper != NULL && helper->pidfd < 0 && helper_is_dead (helper)))
    news |= NEWS_DEATH;
  return news;
}

gboolean
keeper_is_stopping (Keeper *self)
{
  gboolean stopping;

  g_mutex_lock (&self->pool->lock);
  stopping = self->pool->stopping;
  g_mutex_unlock (&self->pool->lock);
  return stopping;
}

/* Looks after what has been sent until the helper has nothing more to do. */
static void
follow_calls (Keeper *self, guint news)
{
  gboolean dead = FALSE, more = TRUE, doomed;

  for (; more && !dead; news = 0)
    {
      Flight flight = { .call = self->sent[0].call, .number = self->sent[0].number };

      dead = !flight_follow (self, &flight, news);
      if (dead)
        sent_bury (self, &flight);
      else
        more = sent_advance (self);
    }

  g_mutex_lock (&self->pool->lock);
  doomed = self->kill_at_us != 0; /* it was told to die meanwhile */
  g_mutex_unlock (&self->pool->lock);
  if (dead || doomed)
    keeper_drop_helper (self, TRUE);
  else if (self->pool->max_calls > 0 && self->helper->n_calls - self->n_taken_back >= self->pool->max_calls)
    keeper_drop_helper (self, FALSE);
}

static gboolean
send_call (Keeper *self, StrandCall *call, guint32 index, GError **error)
{
  gboolean written;

  g_mutex_lock (&self->pool->lock);
  written = sent_add_locked (self, call, index, error);
  sent_add_more_locked (self);
  g_mutex_unlock (&self->pool->lock);
  return written;
}

gboolean
keeper_hand_over_locked (Keeper *self, StrandCall *call, gboolean *begun)
{
  gboolean sent;
  guint32 index;

  if (self->helper == NULL || g_variant_get_size (strand_call_get_arguments (call)) > SHORT_BYTES ||
      !helper_knows (self->helper, strand_call_get_function (call), &index))
    return FALSE;
  *begun = strand_call_begin (call);
  if (!*begun)
    return TRUE;
  sent_add_locked (self, call, index, NULL);
  /* What did not go, or a helper that is gone, is the keeper's to see to. */
  sent = helper_flush (self->helper) && strand_wire_buffer_is_empty (&self->helper->out);
  if (!sent)
    keeper_wake (self);
  return TRUE;
}

/* No helper can be started. If others live, this thread is not needed; else nobody has any use for what
 * waits. FALSE in the first case. */
static gboolean
give_up (Keeper *self, const GError *error)
{
  Pool *pool = self->pool;
  gboolean others;

  g_mutex_lock (&pool->lock);
  others = pool->n_helpers > 0;
  if (others)
    g_ptr_array_remove_fast (pool->keepers, self);
  g_mutex_unlock (&pool->lock);

  if (!others)
    pool_fail_waiting (pool, error);
  return !others;
}

/* Calls stay in the line meanwhile, for others. FALSE if the thread is to end. */
static gboolean
start_helper (Keeper *self)
{
  g_autoptr(GError) error = NULL;

  return keeper_try_helper (self, &error) || give_up (self, error);
}

/* A call that has not begun, or begun here and not in the helper that it was sent to. */
static gboolean
begin (StrandCall *call)
{
  return strand_call_get_status (call) == STRAND_STATUS_RUNNING || strand_call_begin (call);
}

/* A helper that started before a module was loaded makes way for one that has it. */
static void
replace_helper (Keeper *self, StrandCall *call)
{
  g_mutex_lock (&self->pool->lock);
  self->in_hand = NULL;
  pool_put_back_locked (self->pool, call);
  g_mutex_unlock (&self->pool->lock);
  keeper_drop_helper (self, FALSE);
}

/* Takes over the call. */
static void
run_call (Keeper *self, StrandCall *call)
{
  GError *error = NULL;
  guint32 index;

  if (self->helper == NULL)
    g_set_error (&error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
  else if (!helper_find (self->helper, strand_call_get_function (call), &index, &error) &&
           helper_is_outdated (self->helper, &self->pool->settings))
    {
      g_error_free (error);
      replace_helper (self, call);
      return;
    }
  if (error == NULL && begin (call) && send_call (self, call, index, &error))
    {
      follow_calls (self, 0);
      return;
    }

  if (error != NULL)
    strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, error);
  g_mutex_lock (&self->pool->lock);
  self->in_hand = NULL;
  if (self->pool->closed)
    g_cond_broadcast (&self->pool->quiet);
  g_mutex_unlock (&self->pool->lock);
  strand_call_unref (call);
}

/* Between calls. */

/* TRUE if this keeper is not needed any more, and is off the list. */
static gboolean
leave_locked (Keeper *self)
{
  Pool *pool = self->pool;

  if (!pool->stopping && (pool->first != NULL || pool->keepers->len <= pool->min_idle))
    return FALSE;
  g_ptr_array_remove_fast (pool->idle, self);
  g_ptr_array_remove_fast (pool->keepers, self);
  return TRUE;
}

/* Sleeps without a call. FALSE if the thread is to end. */
static gboolean
rest (Keeper *self)
{
  Pool *pool = self->pool;
  gint64 timeout_us = pool->idle_timeout_us;
  int timeout_ms = timeout_us < 0 ? -1 : (int) MIN (timeout_us / 1000 + 1, G_MAXINT);
  guint news = keeper_wait (self, self->helper, timeout_ms);
  gboolean leaves, sent;

  g_mutex_lock (&pool->lock);
  g_ptr_array_remove (pool->idle, self);
  sent = self->n_sent > 0;
  leaves = !sent && (pool->stopping || news == 0) && pool->first == NULL && leave_locked (self);
  g_mutex_unlock (&pool->lock);

  if (sent)
    follow_calls (self, news); /* its submitter has sent one */
  else if ((news & (NEWS_DATA | NEWS_DEATH)) != 0)
    keeper_drop_helper (self, TRUE); /* it has nothing to say now but that it ends */
  return !leaves;
}

/* Whether the next thing to do is to have a helper: for a call that waits, or one that will. */
static gboolean
needs_helper_locked (Keeper *self)
{
  Pool *pool = self->pool;

  return self->helper == NULL && !pool->stopping &&
         (pool->first != NULL || (pool->keepers->len <= pool->min_idle && pool->n_failures == 0));
}

static StrandCall *
take_call_locked (Keeper *self)
{
  StrandCall *call = pool_pop_locked (self->pool);

  if (call == NULL && self->helper != NULL && !self->pool->stopping)
    call = pool_steal_locked (self->pool);
  self->in_hand = call;
  return call;
}

gpointer
keeper_main (gpointer keeper)
{
  Keeper *self = keeper;
  Pool *pool = self->pool;
  gboolean stays = TRUE;

  while (stays)
    {
      StrandCall *call = NULL;
      gboolean starts;

      g_mutex_lock (&pool->lock);
      starts = needs_helper_locked (self);
      if (!starts)
        call = take_call_locked (self);
      /* Looked at here, for what woke this thread before may have been just that. */
      stays = starts || call != NULL || !pool->stopping || !leave_locked (self);
      if (!starts && call == NULL && stays)
        g_ptr_array_add (pool->idle, self);
      g_mutex_unlock (&pool->lock);

      if (starts)
        stays = start_helper (self);
      else if (call != NULL)
        run_call (self, call);
      else if (stays)
        stays = rest (self);
    }

  keeper_drop_helper (self, FALSE);
  g_mutex_lock (&pool->lock);
  pool->n_threads--;
  g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);
  keeper_unref (self);
  return NULL;
}
