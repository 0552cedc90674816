/* strand-queue.h — looking at queues, and governing them: for operators, from any process.
 *
 * A queue is a name that calls and readers have in common, so it needs not be made. What is said of one here
 * lies in the store, where every reader finds it. See docs/queues.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-store.h"

G_BEGIN_DECLS

/**
 * StrandQueueInfo:
 * @name: the queue's name
 * @paused: whether readers leave it alone
 * @n_due: calls that a worker may take now
 * @n_delayed: calls whose time has not come
 * @n_running: calls that run
 * @n_failed: calls that failed, dead ones included, as long as their records are kept
 * @n_dead: calls that failed because what ran them died too often
 * @oldest_us: when the call that has been due longest was launched, or became due, in µs since 1970; 0 for
 * none
 * @per_minute: how many calls that ran have ended in a minute, on average over the last five; -1 where that
 * is unknown
 * @n_workers: how many workers serve it
 * @estimated: whether there are so many calls that only a part was looked at: then @n_due, @n_delayed,
 * @n_dead and
 *   @oldest_us tell of that part, or are reckoned from it
 *
 * How a queue stands.
 *
 * Since: 1.0
 */
typedef struct
{
  char *name;
  gboolean paused;
  gint64 n_due;
  gint64 n_delayed;
  gint64 n_running;
  gint64 n_failed;
  gint64 n_dead;
  gint64 oldest_us;
  double per_minute;
  guint n_workers;
  gboolean estimated;
} StrandQueueInfo;

#define STRAND_TYPE_QUEUE_INFO (strand_queue_info_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_queue_info_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandQueueInfo *strand_queue_info_copy (StrandQueueInfo *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_queue_info_free (StrandQueueInfo *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandQueueInfo, strand_queue_info_free)

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_queue_list (StrandStore *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandQueueInfo *strand_queue_show (StrandStore *store, const char *name,
                                    GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_queue_list_workers (StrandStore *store, const char *name,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_is_paused (StrandStore *store, const char *name, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_pause (StrandStore *store, const char *name, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_resume (StrandStore *store, const char *name, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_drain (StrandStore *store, const char *name, gint64 timeout_us, GError **error);

STRAND_AVAILABLE_IN_ALL
gint64 strand_queue_purge (StrandStore *store, const char *name, gint64 older_than_us, GError **error);

/* For threads with a main context. */
STRAND_AVAILABLE_IN_ALL
void strand_queue_list_async (StrandStore *store, GCancellable *cancellable, GAsyncReadyCallback callback,
                              gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_queue_list_finish (StrandStore *store, GAsyncResult *result,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_queue_show_async (StrandStore *store, const char *name, GCancellable *cancellable,
                              GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandQueueInfo *strand_queue_show_finish (StrandStore *store, GAsyncResult *result,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_queue_list_workers_async (StrandStore *store, const char *name, GCancellable *cancellable,
                                      GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_queue_list_workers_finish (StrandStore *store, GAsyncResult *result,
                                             GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_queue_pause_async (StrandStore *store, const char *name, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_pause_finish (StrandStore *store, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_queue_resume_async (StrandStore *store, const char *name, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_resume_finish (StrandStore *store, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_queue_drain_async (StrandStore *store, const char *name, gint64 timeout_us,
                               GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_queue_drain_finish (StrandStore *store, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_queue_purge_async (StrandStore *store, const char *name, gint64 older_than_us,
                               GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gint64 strand_queue_purge_finish (StrandStore *store, GAsyncResult *result, GError **error);

G_END_DECLS
