/* strand-store-async.c — a store's blocking functions, for threads with a main context.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-store.h"

#include "strand-blocking-private.h"

/* What one _async function was asked. Each uses the fields that it needs. */
typedef struct
{
  gboolean (*run) (StrandStore *self, gpointer job, GTask *task, GError **error);
  char *key;
  StrandRecord *record;
  guint64 expected;
  StrandFilter *filter;
  char *cursor;
  guint limit;
  gint64 budget_us;
} Job;

static void
job_free (Job *job)
{
  g_free (job->key);
  g_clear_pointer (&job->record, strand_record_unref);
  g_clear_pointer (&job->filter, strand_filter_free);
  g_free (job->cursor);
  g_free (job);
}

static void
run_job (gpointer data)
{
  g_autoptr(GTask) task = data;
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;

  if (g_task_return_error_if_cancelled (task))
    return;
  if (!job->run (g_task_get_source_object (task), job, task, &error))
    g_task_return_error (task, error);
}

static void
start_job (StrandStore *self, Job *job, gpointer tag, GCancellable *cancellable, GAsyncReadyCallback callback,
           gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, job, (GDestroyNotify) job_free);
  strand_blocking_run (run_job, task);
}

static gboolean
run_get (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  StrandRecord *record = strand_store_get (self, job->key, error);

  if (record != NULL)
    g_task_return_pointer (task, record, (GDestroyNotify) strand_record_unref);
  return record != NULL;
}

static gboolean
run_put (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gboolean done = strand_store_put (self, job->record, job->expected, error);

  if (done)
    g_task_return_boolean (task, TRUE);
  return done;
}

static gboolean
run_remove (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gboolean done = strand_store_remove (self, job->key, job->expected, error);

  if (done)
    g_task_return_boolean (task, TRUE);
  return done;
}

static gboolean
run_list (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  StrandPage *page = strand_store_list (self, job->filter, job->cursor, job->limit, error);

  if (page != NULL)
    g_task_return_pointer (task, page, (GDestroyNotify) strand_page_unref);
  return page != NULL;
}

static gboolean
run_count (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gint64 n = strand_store_count (self, job->filter, error);

  if (n >= 0)
    g_task_return_int (task, n);
  return n >= 0;
}

static gboolean
run_cleanup_expired (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gint64 n = strand_store_cleanup_expired (self, job->budget_us, error);

  if (n >= 0)
    g_task_return_int (task, n);
  return n >= 0;
}

/**
 * strand_store_get_async:
 * @self: a store
 * @key: the record's key
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_get() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_get_async (StrandStore *self, const char *key, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);

  job = g_new0 (Job, 1);
  job->run = run_get;
  job->key = g_strdup (key);
  start_job (self, job, strand_store_get_async, cancellable, callback, user_data);
}

/**
 * strand_store_get_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_get_async(). Fails as strand_store_get() does.
 *
 * Returns: (transfer full): a record that is the caller's to change, or `NULL` with @error set
 * Since: 1.0
 */
StrandRecord *
strand_store_get_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_get_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_store_put_async:
 * @self: a store
 * @record: the record to write; the store's alone until the callback
 * @expected: the revision that must be there now; 0 if there must be no record
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_put() on a thread of strand's own. Any thread; does not block. One
 * that is cancelled while it runs may have been written.
 *
 * Since: 1.0
 */
void
strand_store_put_async (StrandStore *self, StrandRecord *record, guint64 expected, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (record != NULL);

  job = g_new0 (Job, 1);
  job->run = run_put;
  job->record = strand_record_ref (record);
  job->expected = expected;
  start_job (self, job, strand_store_put_async, cancellable, callback, user_data);
}

/**
 * strand_store_put_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_put_async(). Fails as strand_store_put() does.
 *
 * Returns: %TRUE if the record was written
 * Since: 1.0
 */
gboolean
strand_store_put_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_put_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_store_remove_async:
 * @self: a store
 * @key: the record's key
 * @expected: the revision that must be there now; 0 for whatever is there
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_remove() on a thread of strand's own. Any thread; does not block. One
 * that is cancelled while it runs may have been removed.
 *
 * Since: 1.0
 */
void
strand_store_remove_async (StrandStore *self, const char *key, guint64 expected, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);

  job = g_new0 (Job, 1);
  job->run = run_remove;
  job->key = g_strdup (key);
  job->expected = expected;
  start_job (self, job, strand_store_remove_async, cancellable, callback, user_data);
}

/**
 * strand_store_remove_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_remove_async(). Fails as strand_store_remove() does.
 *
 * Returns: %TRUE if a record was removed
 * Since: 1.0
 */
gboolean
strand_store_remove_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_remove_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_store_list_async:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @cursor: (nullable): where to go on; `NULL` at first
 * @limit: how many records at most, at least 1
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_list() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_list_async (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                         GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (limit > 0);

  job = g_new0 (Job, 1);
  job->run = run_list;
  job->filter = strand_filter_copy (filter);
  job->cursor = g_strdup (cursor);
  job->limit = limit;
  start_job (self, job, strand_store_list_async, cancellable, callback, user_data);
}

/**
 * strand_store_list_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_list_async(). Fails as strand_store_list() does.
 *
 * Returns: (transfer full): a page, or `NULL` with @error set
 * Since: 1.0
 */
StrandPage *
strand_store_list_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_list_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_store_count_async:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_count() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_count_async (StrandStore *self, const StrandFilter *filter, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));

  job = g_new0 (Job, 1);
  job->run = run_count;
  job->filter = strand_filter_copy (filter);
  start_job (self, job, strand_store_count_async, cancellable, callback, user_data);
}

/**
 * strand_store_count_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_count_async(). Fails as strand_store_count() does.
 *
 * Returns: how many, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_count_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_count_async), -1);

  return g_task_propagate_int (G_TASK (result), error);
}

/**
 * strand_store_cleanup_expired_async:
 * @self: a store
 * @budget_us: about how long it may take, in microseconds, or -1 to look at every record
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_cleanup_expired() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_cleanup_expired_async (StrandStore *self, gint64 budget_us, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (budget_us >= -1);

  job = g_new0 (Job, 1);
  job->run = run_cleanup_expired;
  job->budget_us = budget_us;
  start_job (self, job, strand_store_cleanup_expired_async, cancellable, callback, user_data);
}

/**
 * strand_store_cleanup_expired_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_cleanup_expired_async(). Fails as strand_store_cleanup_expired() does.
 *
 * Returns: how many were removed, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_cleanup_expired_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_cleanup_expired_async), -1);

  return g_task_propagate_int (G_TASK (result), error);
}
