/* strand-dispatcher-results.c — how a dispatcher's calls stand.
 *
 * Results, statuses and errors are read from the calls themselves, in the order of enqueuing, so they depend
 * neither on callbacks nor on which call ended first, and no list of them is kept that could be shared or
 * wrong.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher-private.h"

static gboolean
is_ready (StrandHandle *handle, gpointer unused)
{
  return strand_handle_is_ready (handle);
}

/**
 * strand_task_dispatcher_complete:
 * @self: a dispatcher
 * @predicate: (nullable) (scope call): what is asked of each call; `NULL` for whether it has ended
 * @user_data: data for @predicate
 *
 * Whether all calls, dispatched or not, are as they should be; without calls they are. Any thread; does not
 * block.
 *
 * Returns: whether @predicate holds for every call's handle
 * Since: 1.0
 */
gboolean
strand_task_dispatcher_complete (StrandTaskDispatcher *self, StrandHandleFunc predicate, gpointer user_data)
{
  g_autoptr(GPtrArray) handles = NULL;
  gboolean complete = TRUE;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), FALSE);

  if (predicate == NULL)
    predicate = is_ready;
  handles = strand_task_dispatcher_dup_handles (self);
  for (guint i = 0; complete && i < handles->len; i++)
    complete = predicate (handles->pdata[i], user_data);
  return complete;
}

/**
 * strand_task_dispatcher_get_n_calls:
 * @self: a dispatcher
 *
 * How many calls have been enqueued since the last reset; the list shows them from its context's next turn
 * on. Any thread; does not block.
 *
 * Returns: how many calls there are
 * Since: 1.0
 */
guint
strand_task_dispatcher_get_n_calls (StrandTaskDispatcher *self)
{
  guint n;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), 0);

  g_mutex_lock (&self->lock);
  n = self->batch->handles->len;
  g_mutex_unlock (&self->lock);
  return n;
}

/**
 * strand_task_dispatcher_dup_handles:
 * @self: a dispatcher
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (element-type StrandHandle): the calls' handles, in the order of enqueuing
 * Since: 1.0
 */
GPtrArray *
strand_task_dispatcher_dup_handles (StrandTaskDispatcher *self)
{
  GPtrArray *handles;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), NULL);

  handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->batch->handles->len; i++)
    g_ptr_array_add (handles, g_object_ref (self->batch->handles->pdata[i]));
  g_mutex_unlock (&self->lock);
  return handles;
}

static void
unref_value (gpointer value)
{
  if (value != NULL)
    g_variant_unref (value);
}

/**
 * strand_task_dispatcher_dup_results:
 * @self: a dispatcher
 *
 * What each call has returned, in the order of enqueuing: as strand_handle_get_result(), or `NULL` for one
 * that failed, was cancelled or has not ended. Any thread; does not block.
 *
 * Returns: (transfer full) (element-type GVariant): one value, or `NULL`, a call
 * Since: 1.0
 */
GPtrArray *
strand_task_dispatcher_dup_results (StrandTaskDispatcher *self)
{
  g_autoptr(GPtrArray) handles = NULL;
  GPtrArray *results;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), NULL);

  handles = strand_task_dispatcher_dup_handles (self);
  results = g_ptr_array_new_full (handles->len, unref_value);
  for (guint i = 0; i < handles->len; i++)
    {
      gboolean completed = strand_handle_get_status (handles->pdata[i]) == STRAND_STATUS_COMPLETED;

      g_ptr_array_add (results, completed ? strand_handle_get_result (handles->pdata[i], NULL) : NULL);
    }
  return results;
}

/**
 * strand_task_dispatcher_dup_statuses:
 * @self: a dispatcher
 * @n_statuses: (out): how many
 *
 * Any thread; does not block.
 *
 * Returns: (transfer full) (array length=n_statuses): where each call stands, in the order of enqueuing
 * Since: 1.0
 */
StrandStatus *
strand_task_dispatcher_dup_statuses (StrandTaskDispatcher *self, gsize *n_statuses)
{
  g_autoptr(GPtrArray) handles = NULL;
  StrandStatus *statuses;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self) && n_statuses != NULL, NULL);

  handles = strand_task_dispatcher_dup_handles (self);
  statuses = g_new (StrandStatus, handles->len + 1);
  for (guint i = 0; i < handles->len; i++)
    statuses[i] = strand_handle_get_status (handles->pdata[i]);
  *n_statuses = handles->len;
  return statuses;
}

static void
free_error (gpointer error)
{
  if (error != NULL)
    g_error_free (error);
}

/**
 * strand_task_dispatcher_dup_errors:
 * @self: a dispatcher
 *
 * Why each call did not complete, in the order of enqueuing; `NULL` for one that did, or has not ended. Any
 * thread; does not block.
 *
 * Returns: (transfer full) (element-type GError): one error, or `NULL`, a call
 * Since: 1.0
 */
GPtrArray *
strand_task_dispatcher_dup_errors (StrandTaskDispatcher *self)
{
  g_autoptr(GPtrArray) handles = NULL;
  GPtrArray *errors;

  g_return_val_if_fail (STRAND_IS_TASK_DISPATCHER (self), NULL);

  handles = strand_task_dispatcher_dup_handles (self);
  errors = g_ptr_array_new_full (handles->len, free_error);
  for (guint i = 0; i < handles->len; i++)
    {
      const GError *error = strand_handle_get_error (handles->pdata[i]);

      g_ptr_array_add (errors, error != NULL ? g_error_copy (error) : NULL);
    }
  return errors;
}
