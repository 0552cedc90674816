/* strand-run-process.h — another process, for as long as an object lives.
 *
 * A server for a test, a worker for a script: started, waited for until it is ready, and ended with the
 * object, or with the program, however that ends. What it starts itself ends with it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

#define STRAND_TYPE_PROCESS (strand_process_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandProcess, strand_process, STRAND, PROCESS, GObject)

/**
 * StrandProcessFunc:
 * @process: the process in question
 * @user_data: what the setter was given
 * @error: where to say that the question will never have an answer
 *
 * Answers whether a process is ready, or is running already. Runs where strand_process_start() was called, or
 * in the main context of strand_process_start_async().
 *
 * Returns: %TRUE if so; %FALSE if not, or not yet; %FALSE with @error to give the start up
 *
 * Since: 1.0
 */
typedef gboolean (*StrandProcessFunc) (StrandProcess *process, gpointer user_data, GError **error);

STRAND_AVAILABLE_IN_ALL
StrandProcess *strand_process_new (const char *const *argv) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandProcess *strand_process_new_for_function (const char *function, GVariant *arguments,
                                                GVariant *keywords) G_GNUC_WARN_UNUSED_RESULT;

/* Before the start, on the thread that will start it. */

STRAND_AVAILABLE_IN_ALL
void strand_process_set_name (StrandProcess *self, const char *name);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_env (StrandProcess *self, const char *const *env);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_working_directory (StrandProcess *self, const char *directory);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_quiet (StrandProcess *self, gboolean quiet);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_timeout (StrandProcess *self, gint64 timeout_us);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_grace (StrandProcess *self, gint64 grace_us);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_forced_end (StrandProcess *self, gboolean forced);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_already_running (StrandProcess *self, StrandProcessFunc func, gpointer user_data,
                                         GDestroyNotify destroy);

/* When it is ready: the last one counts; without any, as soon as it runs. */

STRAND_AVAILABLE_IN_ALL
void strand_process_set_ready_func (StrandProcess *self, StrandProcessFunc func, gpointer user_data,
                                    GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_ready_after (StrandProcess *self, gint64 duration_us);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_ready_port (StrandProcess *self, const char *host, guint16 port);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_ready_file (StrandProcess *self, const char *path);

STRAND_AVAILABLE_IN_ALL
void strand_process_set_ready_line (StrandProcess *self, const char *text);

/* Its life. */

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_start (StrandProcess *self, GCancellable *cancellable, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_process_start_async (StrandProcess *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                                 gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_start_finish (StrandProcess *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_wait (StrandProcess *self, gint64 timeout_us, GCancellable *cancellable,
                              GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_process_wait_async (StrandProcess *self, gint64 timeout_us, GCancellable *cancellable,
                                GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_wait_finish (StrandProcess *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_end (StrandProcess *self, GCancellable *cancellable, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_process_end_async (StrandProcess *self, GCancellable *cancellable, GAsyncReadyCallback callback,
                               gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_end_finish (StrandProcess *self, GAsyncResult *result, GError **error);

/* What there is to know of it. */

STRAND_AVAILABLE_IN_ALL
const char *strand_process_get_name (StrandProcess *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_is_already_running (StrandProcess *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_process_is_alive (StrandProcess *self);

STRAND_AVAILABLE_IN_ALL
int strand_process_get_pid (StrandProcess *self);

STRAND_AVAILABLE_IN_ALL
int strand_process_get_wait_status (StrandProcess *self);

STRAND_AVAILABLE_IN_ALL
char *strand_process_dup_ready_line (StrandProcess *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
