/* strand-dispatcher.h — many calls at once: started in order, waited for together, shown as a list.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-task.h"

G_BEGIN_DECLS

#define STRAND_TYPE_TASK_DISPATCHER (strand_task_dispatcher_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandTaskDispatcher, strand_task_dispatcher, STRAND, TASK_DISPATCHER, GObject)

/**
 * StrandHandleFunc:
 * @handle: one of a dispatcher's calls
 * @user_data: data
 *
 * What strand_task_dispatcher_complete() asks of each call.
 *
 * Returns: whether this one is as it should be
 *
 * Since: 1.0
 */
typedef gboolean (*StrandHandleFunc) (StrandHandle *handle, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandTaskDispatcher *strand_task_dispatcher_new (const char *target) G_GNUC_WARN_UNUSED_RESULT;

/* Making calls that wait to be dispatched. */

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_dispatcher_enqueue (StrandTaskDispatcher *self, const char *function,
                                              const char *format, ...);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_dispatcher_enqueue_value (StrandTaskDispatcher *self, const char *function,
                                                    GVariant *arguments);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_dispatcher_enqueue_full (StrandTaskDispatcher *self, const char *function,
                                                   const char *target, GVariant *arguments,
                                                   GVariant *keywords, StrandOptions *options);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_dispatcher_enqueue_task (StrandTaskDispatcher *self, StrandTask *task,
                                                   GVariant *arguments);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_dispatcher_enqueue_task_full (StrandTaskDispatcher *self, StrandTask *task,
                                                        const char *target, GVariant *arguments,
                                                        GVariant *keywords, StrandOptions *options);

/* Running them. */

STRAND_AVAILABLE_IN_ALL
guint strand_task_dispatcher_dispatch (StrandTaskDispatcher *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_dispatcher_run (StrandTaskDispatcher *self, gint64 timeout_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_task_dispatcher_run_async (StrandTaskDispatcher *self, gint64 timeout_us,
                                       GCancellable *cancellable, GAsyncReadyCallback callback,
                                       gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_dispatcher_run_finish (StrandTaskDispatcher *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_dispatcher_wait (StrandTaskDispatcher *self, gint64 timeout_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_task_dispatcher_wait_async (StrandTaskDispatcher *self, gint64 timeout_us,
                                        GCancellable *cancellable, GAsyncReadyCallback callback,
                                        gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_dispatcher_wait_finish (StrandTaskDispatcher *self, GAsyncResult *result,
                                             GError **error);

STRAND_AVAILABLE_IN_ALL
guint strand_task_dispatcher_cancel_all (StrandTaskDispatcher *self);

STRAND_AVAILABLE_IN_ALL
void strand_task_dispatcher_reset (StrandTaskDispatcher *self);

/* How they stand, in the order in which they were enqueued. */

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_dispatcher_complete (StrandTaskDispatcher *self, StrandHandleFunc predicate,
                                          gpointer user_data);

STRAND_AVAILABLE_IN_ALL
guint strand_task_dispatcher_get_n_calls (StrandTaskDispatcher *self);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_task_dispatcher_dup_handles (StrandTaskDispatcher *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_task_dispatcher_dup_results (StrandTaskDispatcher *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandStatus *strand_task_dispatcher_dup_statuses (StrandTaskDispatcher *self,
                                                   gsize *n_statuses) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_task_dispatcher_dup_errors (StrandTaskDispatcher *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
