/* strand-stack-close.c — the end of a stack: everything that it made is closed, from the top down.
 *
 * Readers and backends first, for they still use what is below them; then the taskrunners, which several
 * backends may share, and the middleware, which may have something to write; then the stores, which have to
 * take the last results.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack.h"
#include "strand-stack-private.h"
#include "strand-backend.h"
#include "strand-blocking-private.h"
#include "strand-middleware.h"
#include "strand-reader.h"
#include "strand-schedule.h"
#include "strand-store.h"
#include "strand-taskrunner.h"

/* All objects of @kind that the stack has made and somebody still has. */
static void
collect_locked (StrandStack *self, StrandKind kind, GPtrArray *objects)
{
  StrandPlan *plans[] = { self->plan, self->later };
  GType type = strand_kind_get_interface (kind);

  for (guint i = 0; i < G_N_ELEMENTS (plans); i++)
    for (guint j = 0; j < plans[i]->nodes->len; j++)
      {
        StrandNode *node = g_ptr_array_index (plans[i]->nodes, j);

        if (node->kind == kind && node->object != NULL)
          g_ptr_array_add (objects, g_object_ref (node->object));
      }
  for (guint i = 0; i < self->retired->len; i++)
    {
      g_autoptr(GObject) object = g_weak_ref_get (g_ptr_array_index (self->retired, i));

      if (object != NULL && g_type_is_a (G_OBJECT_TYPE (object), type))
        g_ptr_array_add (objects, g_steal_pointer (&object));
    }
}

/* Keeps the first error; the others follow from it more often than not. */
static void
note_error (GError **first, GError *error)
{
  if (error != NULL && *first == NULL)
    *first = error;
  else
    g_clear_error (&error);
}

/**
 * strand_stack_close:
 * @self: a stack
 * @deadline_us: monotonic time until which calls may finish, or -1 for ever
 * @error: return location for a [error@Strand.Error]
 *
 * Ends all use: stops every reader that the stack has made and closes every backend, and those that a reload
 * replaced while calls still run there, then the taskrunners, the middleware and the stores. Everything is
 * closed even if something fails. From now on targets are %STRAND_ERROR_CLOSED. The second time it does
 * nothing.
 *
 * Blocks. Any thread but one that runs calls of the stack.
 *
 * Returns: %TRUE if everything ended by itself, else %FALSE with the first @error
 * Since: 1.0
 */
gboolean
strand_stack_close (StrandStack *self, gint64 deadline_us, GError **error)
{
  g_autoptr(GPtrArray) schedules = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) readers = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) backends = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) runners = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) middleware = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GPtrArray) stores = g_ptr_array_new_with_free_func (g_object_unref);
  GError *first = NULL;
  gboolean closed;

  g_return_val_if_fail (STRAND_IS_STACK (self), FALSE);

  g_mutex_lock (&self->lock);
  closed = self->closed;
  self->closed = TRUE;
  if (!closed)
    {
      collect_locked (self, STRAND_KIND_SCHEDULE, schedules);
      collect_locked (self, STRAND_KIND_READER, readers);
      collect_locked (self, STRAND_KIND_BACKEND, backends);
      collect_locked (self, STRAND_KIND_TASKRUNNER, runners);
      collect_locked (self, STRAND_KIND_MIDDLEWARE, middleware);
      collect_locked (self, STRAND_KIND_STORE, stores);
    }
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < schedules->len; i++)
    strand_schedule_stop (g_ptr_array_index (schedules, i));
  for (guint i = 0; i < readers->len; i++)
    {
      GError *local_error = NULL;

      strand_reader_stop (g_ptr_array_index (readers, i), deadline_us < 0 ? G_MAXINT64 : deadline_us,
                          &local_error);
      note_error (&first, local_error);
    }
  for (guint i = 0; i < backends->len; i++)
    {
      GError *local_error = NULL;

      strand_backend_close (g_ptr_array_index (backends, i), deadline_us, &local_error);
      note_error (&first, local_error);
    }
  for (guint i = 0; i < runners->len; i++)
    {
      GError *local_error = NULL;

      strand_taskrunner_close (g_ptr_array_index (runners, i), deadline_us, &local_error);
      note_error (&first, local_error);
    }
  for (guint i = 0; i < middleware->len; i++)
    strand_middleware_close (g_ptr_array_index (middleware, i));
  for (guint i = 0; i < stores->len; i++)
    strand_store_close (g_ptr_array_index (stores, i));

  if (first == NULL)
    return TRUE;
  g_propagate_error (error, first);
  return FALSE;
}

static void
close_in_thread (GTask *task)
{
  const gint64 *deadline_us = g_task_get_task_data (task);
  GError *error = NULL;

  if (strand_stack_close (g_task_get_source_object (task), *deadline_us, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/**
 * strand_stack_close_async:
 * @self: a stack
 * @deadline_us: as strand_stack_close()
 * @cancellable: (nullable): a cancellable; the closing itself goes on
 * @callback: (scope async) (closure user_data): called in the thread-default context of now
 * @user_data: for @callback
 *
 * As strand_stack_close(), without blocking.
 *
 * Since: 1.0
 */
void
strand_stack_close_async (StrandStack *self, gint64 deadline_us, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task;

  g_return_if_fail (STRAND_IS_STACK (self));

  task = g_task_new (self, cancellable, callback, user_data);
  g_task_set_source_tag (task, strand_stack_close_async);
  g_task_set_task_data (task, g_memdup2 (&deadline_us, sizeof deadline_us), g_free);
  strand_blocking_run_task (task, close_in_thread);
}

/**
 * strand_stack_close_finish:
 * @self: a stack
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Finishes strand_stack_close_async().
 *
 * Returns: as strand_stack_close()
 * Since: 1.0
 */
gboolean
strand_stack_close_finish (StrandStack *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}
