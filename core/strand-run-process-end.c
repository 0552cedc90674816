/* strand-run-process-end.c — waiting for a process, and ending it.
 *
 * The guard does the ending; here it is asked, and waited for. A guard that does not do it is killed, after
 * which the process is killed from here (strand-run-process-link.c).
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-deadline-private.h"
#include "strand-error.h"
#include "strand-run-process-private.h"

#include <signal.h>

enum
{
  PHASE_WAIT,
  PHASE_END,
};

gboolean
strand_process_is_over_locked (StrandProcess *self)
{
  return !self->started || self->was_running || self->gone;
}

gboolean
strand_process_wait_step (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;
  gboolean over;

  g_mutex_lock (&process->lock);
  strand_process_receive_locked (process);
  over = process->exited || strand_process_is_over_locked (process);
  /* What it was told to do is no failure. */
  if (process->exited && process->status != 0 && !process->asked)
    {
      strand_process_set_death_error_locked (process, error);
      g_prefix_error (error, "'%s' has failed: ", process->name);
    }
  strand_process_watch_locked (process, self);
  g_mutex_unlock (&process->lock);

  if (over)
    return TRUE;
  if (self->cancellable != NULL && g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return TRUE;
  if (g_get_monotonic_time () < self->deadline_us)
    return FALSE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT,
               "'%s' has not ended in the time waited for; it goes on", process->name);
  return TRUE;
}

gboolean
strand_process_end_step (StrandOperation *self, GError **error)
{
  StrandProcess *process = self->process;
  gboolean over, forced = self->grace_us >= 0;

  g_mutex_lock (&process->lock);
  strand_process_receive_locked (process);
  process->closed = process->closed || forced;
  if (forced)
    strand_process_ask_end_locked (process, self->grace_us);
  else if (process->exited)
    strand_process_ask_end_locked (process, 0);
  if (self->phase == PHASE_WAIT && process->asked)
    {
      self->phase = PHASE_END;
      self->deadline_us =
          strand_deadline (g_get_monotonic_time () + STRAND_GUARD_PATIENCE_US, process->asked_grace_us);
      self->cancel_fd = -1;
    }
  if (g_get_monotonic_time () >= self->deadline_us && process->guard > 0)
    kill (process->guard, SIGKILL);
  over = strand_process_is_over_locked (process);
  strand_process_watch_locked (process, self);
  g_mutex_unlock (&process->lock);

  if (over || forced || process->exited)
    return over;
  if (self->cancellable == NULL || !g_cancellable_set_error_if_cancelled (self->cancellable, error))
    return FALSE;
  g_prefix_error (error, "Could not wait for the end of '%s': ", process->name);
  return TRUE;
}
