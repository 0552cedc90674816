/* strand-work-async.c — a store as a queue, for threads with a main context.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-work.h"

#include "strand-blocking-private.h"

/* What one _async function was asked, and what came of it beside the result. Each uses the fields that it
 * needs. */
typedef struct
{
  char **queues;
  char *owner;
  gint64 time_us; /* asked: now; answered: when the next call is due */
  char *key;
  guint64 fence;
  guint64 first;
  GPtrArray *items;
  guint limit;
  gboolean cancel_requested;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_strfreev (job->queues);
  g_free (job->owner);
  g_free (job->key);
  g_clear_pointer (&job->items, g_ptr_array_unref);
  g_free (job);
}

static GTask *
new_task (StrandStore *self, Job *job, gpointer tag, GCancellable *cancellable, GAsyncReadyCallback callback,
          gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, job, job_free);
  return task;
}

static void
return_array (GTask *task, GPtrArray *array, GError *error)
{
  if (array != NULL)
    g_task_return_pointer (task, array, (GDestroyNotify) g_ptr_array_unref);
  else
    g_task_return_error (task, error);
}

static void
return_done (GTask *task, gboolean done, GError *error)
{
  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
run_claim (GTask *task)
{
  Job *job = g_task_get_task_data (task);
  const StrandClaim claim = { .queues = (const char *const *) job->queues,
                              .owner = job->owner,
                              .now_us = job->time_us,
                              .limit = job->limit };
  GError *error = NULL;
  GPtrArray *claimed = strand_store_claim (g_task_get_source_object (task), &claim, &job->time_us, &error);

  return_array (task, claimed, error);
}

static void
run_renew (GTask *task)
{
  Job *job = g_task_get_task_data (task);
  StrandRenewal renewal = { .key = job->key, .fence = job->fence };
  GError *error = NULL;

  if (strand_store_renew (g_task_get_source_object (task), &renewal, 1, &error))
    error = renewal.error;
  job->cancel_requested = renewal.cancel_requested;
  return_done (task, error == NULL, error);
}

static void
run_append_items (GTask *task)
{
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;
  gboolean done =
      strand_store_append_items (g_task_get_source_object (task), job->key, job->fence, job->first,
                                 (GBytes *const *) job->items->pdata, job->items->len, job->limit, &error);

  return_done (task, done, error);
}

static void
run_read_items (GTask *task)
{
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;
  GPtrArray *items = strand_store_read_items (g_task_get_source_object (task), job->key, job->fence,
                                              job->first, job->limit, &job->first, &error);

  return_array (task, items, error);
}

/**
 * strand_store_claim_async:
 * @self: a store
 * @claim: which work is wanted, for whom
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_claim() on a thread of strand's own. Any thread; does not block. What was claimed when
 * the cancellable comes too late runs under the lease all the same, until that is found dead.
 *
 * Since: 1.0
 */
void
strand_store_claim_async (StrandStore *self, const StrandClaim *claim, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (claim != NULL && claim->queues != NULL && claim->owner != NULL && claim->limit > 0);

  job = g_new0 (Job, 1);
  job->queues = g_strdupv ((char **) claim->queues);
  job->owner = g_strdup (claim->owner);
  job->time_us = claim->now_us;
  job->limit = claim->limit;
  strand_blocking_run_task (new_task (self, job, strand_store_claim_async, cancellable, callback, user_data),
                            run_claim);
}

/**
 * strand_store_claim_finish:
 * @self: a store
 * @result: what the callback was given
 * @next_due_us: (out) (optional): as for strand_store_claim()
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_claim_async(). Fails as strand_store_claim() does.
 *
 * Returns: (transfer full) (element-type StrandRecord): what was claimed, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_store_claim_finish (StrandStore *self, GAsyncResult *result, gint64 *next_due_us, GError **error)
{
  GPtrArray *claimed;

  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_claim_async), NULL);

  claimed = g_task_propagate_pointer (G_TASK (result), error);
  if (claimed != NULL && next_due_us != NULL)
    *next_due_us = ((Job *) g_task_get_task_data (G_TASK (result)))->time_us;
  return claimed;
}

/**
 * strand_store_renew_async:
 * @self: a store
 * @key: the call's key
 * @fence: the fence that its claim gave it
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Renews one lease on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_renew_async (StrandStore *self, const char *key, guint64 fence, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);

  job = g_new0 (Job, 1);
  job->key = g_strdup (key);
  job->fence = fence;
  strand_blocking_run_task (new_task (self, job, strand_store_renew_async, cancellable, callback, user_data),
                            run_renew);
}

/**
 * strand_store_renew_finish:
 * @self: a store
 * @result: what the callback was given
 * @cancel_requested: (out) (optional): whether somebody asked for the call to be stopped
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_renew_async(). Fails with `STRAND_ERROR_STALE` or `STRAND_ERROR_NOT_FOUND` if the lease
 * is lost, or as strand_store_renew() does.
 *
 * Returns: %TRUE if the lease was renewed
 * Since: 1.0
 */
gboolean
strand_store_renew_finish (StrandStore *self, GAsyncResult *result, gboolean *cancel_requested,
                           GError **error)
{
  gboolean done;

  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_renew_async), FALSE);

  done = g_task_propagate_boolean (G_TASK (result), error);
  if (done && cancel_requested != NULL)
    *cancel_requested = ((Job *) g_task_get_task_data (G_TASK (result)))->cancel_requested;
  return done;
}

/**
 * strand_store_append_items_async:
 * @self: a store
 * @key: the call's key
 * @fence: the fence under which the call runs
 * @first: the index of the first of @items
 * @items: (array length=n): what the call emitted
 * @n: how many
 * @max_items: how many of the last items to keep at least
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_append_items() on a thread of strand's own. Any thread; does not block. One that is
 * cancelled while it runs may have been written.
 *
 * Since: 1.0
 */
void
strand_store_append_items_async (StrandStore *self, const char *key, guint64 fence, guint64 first,
                                 GBytes *const *items, guint n, guint max_items, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);
  g_return_if_fail (items != NULL || n == 0);

  job = g_new0 (Job, 1);
  job->key = g_strdup (key);
  job->fence = fence;
  job->first = first;
  job->limit = max_items;
  job->items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (job->items, g_bytes_ref (items[i]));
  strand_blocking_run_task (
      new_task (self, job, strand_store_append_items_async, cancellable, callback, user_data),
      run_append_items);
}

/**
 * strand_store_append_items_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_append_items_async(). Fails as strand_store_append_items() does.
 *
 * Returns: %TRUE if the items were written
 * Since: 1.0
 */
gboolean
strand_store_append_items_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_append_items_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_store_read_items_async:
 * @self: a store
 * @key: the call's key
 * @fence: the fence whose log is wanted
 * @from: the index of the first item wanted
 * @limit: how many at most, at least 1
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_read_items() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_read_items_async (StrandStore *self, const char *key, guint64 fence, guint64 from, guint limit,
                               GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);
  g_return_if_fail (limit > 0);

  job = g_new0 (Job, 1);
  job->key = g_strdup (key);
  job->fence = fence;
  job->first = from;
  job->limit = limit;
  strand_blocking_run_task (
      new_task (self, job, strand_store_read_items_async, cancellable, callback, user_data), run_read_items);
}

/**
 * strand_store_read_items_finish:
 * @self: a store
 * @result: what the callback was given
 * @first: (out): the index of the first item returned
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_read_items_async(). Fails as strand_store_read_items() does.
 *
 * Returns: (transfer full) (element-type GLib.Bytes): the items in order, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_store_read_items_finish (StrandStore *self, GAsyncResult *result, guint64 *first, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_read_items_async), NULL);
  g_return_val_if_fail (first != NULL, NULL);

  *first = ((Job *) g_task_get_task_data (G_TASK (result)))->first;
  return g_task_propagate_pointer (G_TASK (result), error);
}
