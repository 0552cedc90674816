/* strand-backend.c — the border guard of backends.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-backend.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-error.h"

/**
 * StrandBackend:
 *
 * Launches calls that are stored, and looks after them until they have ended. Backends are plugins;
 * programs reach them by tasks.
 *
 * Since: 1.0
 */
G_DEFINE_INTERFACE (StrandBackend, strand_backend, G_TYPE_OBJECT)

static void
strand_backend_default_init (StrandBackendInterface *iface)
{
}

/**
 * strand_backend_launch:
 * @self: a backend
 * @call: (transfer full): a pending call; taken over on success only
 * @error: return location for a #GError
 *
 * Gives a call to a backend. Any thread; does not block.
 *
 * Returns: %TRUE, or %FALSE with %STRAND_ERROR_FULL, %STRAND_ERROR_CLOSED, %STRAND_ERROR_REFUSED or what a
 * middleware refused it with
 *
 * Since: 1.0
 */
gboolean
strand_backend_launch (StrandBackend *self, StrandCall *call, GError **error)
{
  GError *local = NULL;

  g_return_val_if_fail (STRAND_IS_BACKEND (self), FALSE);
  g_return_val_if_fail (call != NULL, FALSE);

  if (STRAND_BACKEND_GET_IFACE (self)->launch (self, call, &local))
    return TRUE;

  if (local == NULL)
    g_set_error (&local, STRAND_ERROR, STRAND_ERROR_FAILED, "%s did not say why", G_OBJECT_TYPE_NAME (self));
  g_propagate_prefixed_error (error, local,
                              "Could not launch a call of '%s': ", strand_call_get_function_name (call));
  return FALSE;
}

/**
 * strand_backend_get_store:
 * @self: a backend
 *
 * Any thread; does not block.
 *
 * Returns: (transfer none): where its records are
 * Since: 1.0
 */
StrandStore *
strand_backend_get_store (StrandBackend *self)
{
  g_return_val_if_fail (STRAND_IS_BACKEND (self), NULL);

  return STRAND_BACKEND_GET_IFACE (self)->get_store (self);
}

/* Whether this is a function of one of its calls, or its own thread. */
static gboolean
is_inside (StrandBackend *self)
{
  StrandBackendInterface *iface = STRAND_BACKEND_GET_IFACE (self);

  for (const StrandFrame *frame = strand_running; frame != NULL; frame = frame->outer)
    if (frame->call->recipe->backend == self)
      return TRUE;
  return iface->get_thread != NULL && iface->get_thread (self) == g_thread_self ();
}

/**
 * strand_backend_close:
 * @self: a backend
 * @deadline_us: until when calls may finish, as g_get_monotonic_time() counts, or -1 for ever
 * @error: return location for a #GError
 *
 * Ends all use: lets what was launched finish until the deadline, then cancels it. Blocks; not for threads
 * that own a main context.
 *
 * Returns: %TRUE if everything ended by itself; else %FALSE with %STRAND_ERROR_TIMED_OUT; or, where one of
 * its own functions or a callback on its own thread asks for it, %STRAND_ERROR_WOULD_DEADLOCK, and it stays
 * open
 *
 * Since: 1.0
 */
gboolean
strand_backend_close (StrandBackend *self, gint64 deadline_us, GError **error)
{
  g_return_val_if_fail (STRAND_IS_BACKEND (self), FALSE);

  if (is_inside (self))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
                   "Could not close %s: this is inside one of its own calls, whose end it would wait for",
                   G_OBJECT_TYPE_NAME (self));
      return FALSE;
    }
  return STRAND_BACKEND_GET_IFACE (self)->close (self, deadline_us, error);
}

static void
close_in_thread (GTask *task)
{
  GError *error = NULL;

  if (strand_backend_close (g_task_get_source_object (task), *(gint64 *) g_task_get_task_data (task), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * strand_backend_close_async:
 * @self: a backend
 * @deadline_us: as strand_backend_close()
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_backend_close() in a thread of strand's own.
 *
 * Since: 1.0
 */
void
strand_backend_close_async (StrandBackend *self, gint64 deadline_us, GCancellable *cancellable,
                            GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_BACKEND (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_task_data (task, g_memdup2 (&deadline_us, sizeof deadline_us), g_free);
  strand_blocking_run_task (task, close_in_thread);
}

/**
 * strand_backend_close_finish:
 * @self: a backend
 * @result: what the callback was given
 * @error: return location for a #GError
 *
 * Says what became of strand_backend_close_async().
 *
 * Returns: as strand_backend_close()
 * Since: 1.0
 */
gboolean
strand_backend_close_finish (StrandBackend *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
