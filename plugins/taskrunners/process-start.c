/* process-start.c — helpers come and go.
 *
 * One that dies while it starts is tried again, later each time; the pool counts, so that many keepers do not
 * hammer. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-keeper.h"

/* Helpers that die at start are tried again after 50 ms, 100 ms, … up to 5 s. */
#define FIRST_DELAY_US 50000
#define LAST_DELAY_US (5 * G_USEC_PER_SEC)

/* How many starts in a row must fail before waiting calls fail. */
#define MAX_FAILURES 3

/* The same where helpers have worked before, so that bad luck is likelier than a broken program. */
#define MAX_FAILURES_PROVEN 10

/* How often to look where the kernel does not tell. */
#define LOOK_MS 100

/* How long a helper may take for its atexit handlers. */
#define RETIRE_US (G_USEC_PER_SEC / 2)

static void
set_helper (Keeper *self, Helper *helper)
{
  g_mutex_lock (&self->pool->lock);
  if (self->helper != NULL)
    self->pool->n_helpers--;
  if (helper != NULL)
    self->pool->n_helpers++;
  self->helper = helper;
  self->kill_at_us = 0;
  self->n_taken_back = 0;
  g_mutex_unlock (&self->pool->lock);
}

void
keeper_drop_helper (Keeper *self, gboolean at_once)
{
  Helper *helper = self->helper;

  if (helper == NULL)
    return;
  set_helper (self, NULL);
  if (at_once)
    helper_free (helper);
  else
    helper_retire (helper, RETIRE_US);
}

/* Waits for the hello of a new helper. */
static gboolean
wait_until_ready (Keeper *self, Helper *helper, GError **error)
{
  gint64 timeout_us = self->pool->settings.startup_timeout_us;
  gint64 deadline_us = timeout_us >= 0 ? g_get_monotonic_time () + timeout_us : G_MAXINT64;
  gboolean ready = FALSE;

  while (helper_read_hello (helper, &ready, error) && !ready)
    {
      gint64 left_us = deadline_us - g_get_monotonic_time ();
      guint news;

      if (left_us <= 0)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "it was not ready within 'startup-timeout'");
          return FALSE;
        }
      news = keeper_wait (self, helper, (int) MIN (left_us / 1000 + 1, 60000));
      if ((news & NEWS_WAKE) != 0 && keeper_is_stopping (self))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
          return FALSE;
        }
      if ((news & NEWS_DEATH) != 0 && (news & NEWS_DATA) == 0)
        break;
    }
  if (!ready && error != NULL && *error == NULL)
    {
      g_autofree char *death = NULL;

      if (!helper_is_dead (helper))
        keeper_wait (self, helper, LOOK_MS);
      death = helper_describe_death (helper);
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "%s", death);
    }
  return ready;
}

gboolean
keeper_note_failure (Keeper *self)
{
  Pool *pool = self->pool;
  gint64 delay_us;
  gboolean hopeless;

  g_mutex_lock (&pool->lock);
  delay_us = MIN (LAST_DELAY_US, (gint64) FIRST_DELAY_US << MIN (pool->n_failures, 10));
  hopeless = ++pool->n_failures >= (pool->proven ? MAX_FAILURES_PROVEN : MAX_FAILURES);
  pool->not_before_us = g_get_monotonic_time () + delay_us;
  g_mutex_unlock (&pool->lock);
  return hopeless;
}

/* Others may have had bad luck just now. FALSE if the pool is stopping. */
static gboolean
wait_for_back_off (Keeper *self)
{
  while (TRUE)
    {
      gint64 left_us;

      g_mutex_lock (&self->pool->lock);
      left_us = self->pool->not_before_us - g_get_monotonic_time ();
      g_mutex_unlock (&self->pool->lock);
      if (keeper_is_stopping (self))
        return FALSE;
      if (left_us <= 0)
        return TRUE;
      keeper_wait (self, NULL, (int) (left_us / 1000) + 1);
    }
}

static gboolean
start_helper (Keeper *self, GError **error)
{
  Helper *helper = helper_new (&self->pool->settings, error);

  if (helper == NULL)
    return FALSE;
  if (wait_until_ready (self, helper, error))
    {
      set_helper (self, helper);
      return TRUE;
    }
  g_prefix_error (error, "Could not start a helper: ");
  helper_free (helper);
  return FALSE;
}

/* A program that cannot be started at all is not tried again. */
gboolean
keeper_try_helper (Keeper *self, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!wait_for_back_off (self) || start_helper (self, &local))
    return TRUE;
  strand_debug (STRAND_TOPIC_RUNNER, "%s", local->message);
  if (!keeper_note_failure (self) && local->domain == STRAND_ERROR)
    return TRUE;
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_FAILED, local->message);
  return FALSE;
}
