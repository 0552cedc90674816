/* strand-queue-async.c — what may be asked about queues, for threads with a main context.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-queue-private.h"

#include "strand-blocking-private.h"

/* What was asked. Each function uses the fields that it needs. */
typedef struct
{
  void (*run) (StrandStore *store, GTask *task, gpointer job);
  char *name;
  gint64 duration_us;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_free (job->name);
  g_free (job);
}

static void
run_job (GTask *task)
{
  Job *job = g_task_get_task_data (task);

  if (!g_task_return_error_if_cancelled (task))
    job->run (g_task_get_source_object (task), task, job);
}

static void
start (StrandStore *store, const char *name, gint64 duration_us,
       void (*run) (StrandStore *store, GTask *task, gpointer job), gpointer tag, GCancellable *cancellable,
       GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *task = g_task_new (store, cancellable, callback, user_data);
  Job *job = g_new0 (Job, 1);

  job->run = run;
  job->name = g_strdup (name);
  job->duration_us = duration_us;
  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, job, job_free);
  strand_blocking_run_task (task, run_job);
}

static void
return_pointer (GTask *task, gpointer value, GDestroyNotify destroy, GError *error)
{
  if (value != NULL)
    g_task_return_pointer (task, value, destroy);
  else
    g_task_return_error (task, error);
}

static void
return_boolean (GTask *task, gboolean done, GError *error)
{
  if (done)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
run_list (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  GPtrArray *infos = strand_queue_list (store, &error);

  return_pointer (task, infos, (GDestroyNotify) g_ptr_array_unref, error);
}

/**
 * strand_queue_list_async:
 * @store: a store
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_list() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_list_async (StrandStore *store, GCancellable *cancellable, GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store));

  start (store, NULL, 0, run_list, strand_queue_list_async, cancellable, callback, user_data);
}

/**
 * strand_queue_list_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_list_async().
 *
 * Returns: (transfer full) (element-type StrandQueueInfo): the queues, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_queue_list_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
run_show (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  StrandQueueInfo *info = strand_queue_show (store, ((Job *) job)->name, &error);

  return_pointer (task, info, (GDestroyNotify) strand_queue_info_free, error);
}

/**
 * strand_queue_show_async:
 * @store: a store
 * @name: a queue's name
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_show() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_show_async (StrandStore *store, const char *name, GCancellable *cancellable,
                         GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store) && name != NULL);

  start (store, name, 0, run_show, strand_queue_show_async, cancellable, callback, user_data);
}

/**
 * strand_queue_show_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_show_async().
 *
 * Returns: (transfer full): how it stands, or `NULL` with @error set
 * Since: 1.0
 */
StrandQueueInfo *
strand_queue_show_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
run_list_workers (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  GPtrArray *workers = strand_queue_list_workers (store, ((Job *) job)->name, &error);

  return_pointer (task, workers, (GDestroyNotify) g_ptr_array_unref, error);
}

/**
 * strand_queue_list_workers_async:
 * @store: a store
 * @name: (nullable): a queue's name; `NULL` for all
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_list_workers() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_list_workers_async (StrandStore *store, const char *name, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store));

  start (store, name, 0, run_list_workers, strand_queue_list_workers_async, cancellable, callback, user_data);
}

/**
 * strand_queue_list_workers_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_list_workers_async().
 *
 * Returns: (transfer full) (element-type StrandRecord): their records, or `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_queue_list_workers_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

static void
run_pause (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  gboolean done = strand_queue_pause (store, ((Job *) job)->name, &error);

  return_boolean (task, done, error);
}

/**
 * strand_queue_pause_async:
 * @store: a store
 * @name: a queue's name
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_pause() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_pause_async (StrandStore *store, const char *name, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store) && name != NULL);

  start (store, name, 0, run_pause, strand_queue_pause_async, cancellable, callback, user_data);
}

/**
 * strand_queue_pause_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_pause_async().
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_pause_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
run_resume (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  gboolean done = strand_queue_resume (store, ((Job *) job)->name, &error);

  return_boolean (task, done, error);
}

/**
 * strand_queue_resume_async:
 * @store: a store
 * @name: a queue's name
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_resume() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_resume_async (StrandStore *store, const char *name, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store) && name != NULL);

  start (store, name, 0, run_resume, strand_queue_resume_async, cancellable, callback, user_data);
}

/**
 * strand_queue_resume_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_resume_async().
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_resume_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
run_drain (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  gboolean done = strand_queue_drain_cancellable (store, ((Job *) job)->name, ((Job *) job)->duration_us,
                                                  g_task_get_cancellable (task), &error);

  return_boolean (task, done, error);
}

/**
 * strand_queue_drain_async:
 * @store: a store
 * @name: a queue's name
 * @timeout_us: how long to wait, in µs; -1 for ever
 * @cancellable: (nullable): stops the wait
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_drain() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_drain_async (StrandStore *store, const char *name, gint64 timeout_us, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store) && name != NULL);

  start (store, name, timeout_us, run_drain, strand_queue_drain_async, cancellable, callback, user_data);
}

/**
 * strand_queue_drain_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_drain_async().
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */
gboolean
strand_queue_drain_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

static void
run_purge (StrandStore *store, GTask *task, gpointer job)
{
  GError *error = NULL;
  gint64 n_purged = strand_queue_purge (store, ((Job *) job)->name, ((Job *) job)->duration_us, &error);

  if (n_purged >= 0)
    g_task_return_int (task, (gssize) n_purged);
  else
    g_task_return_error (task, error);
}

/**
 * strand_queue_purge_async:
 * @store: a store
 * @name: a queue's name
 * @older_than_us: only calls that were launched longer ago than that, in µs; 0 for all
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done
 * @user_data: data for @callback
 *
 * Does strand_queue_purge() without blocking.
 *
 * Since: 1.0
 */
void
strand_queue_purge_async (StrandStore *store, const char *name, gint64 older_than_us,
                          GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  g_return_if_fail (STRAND_IS_STORE (store) && name != NULL);

  start (store, name, older_than_us, run_purge, strand_queue_purge_async, cancellable, callback, user_data);
}

/**
 * strand_queue_purge_finish:
 * @store: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error]
 *
 * Says what became of strand_queue_purge_async().
 *
 * Returns: how many were cancelled, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_queue_purge_finish (StrandStore *store, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, store), -1);

  return g_task_propagate_int (G_TASK (result), error);
}
