/* strand-task.h — a function with bound arguments, callbacks and a target: call it as often as you like.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-backend.h"
#include "strand-handle.h"
#include "strand-stack.h"

G_BEGIN_DECLS

/**
 * StrandItemFunc:
 * @call: the call
 * @item: what the function emitted; strand_call_get_item_index() and _attempt() say which
 * @user_data: data
 * @error: where to say why the item could not be used
 *
 * Told of each item, in order. Must not block (see docs/callbacks.md).
 *
 * Returns: %TRUE; or %FALSE with @error set, which ends the call and goes to on_error
 *
 * Since: 1.0
 */
typedef gboolean (*StrandItemFunc) (StrandCall *call, GVariant *item, gpointer user_data, GError **error);

/**
 * StrandEndFunc:
 * @call: the call
 * @value: (nullable): the value; `NULL` where the function returns nothing or an object
 * (strand_call_get_object())
 * @user_data: data
 *
 * Told once that a call has completed.
 *
 * Since: 1.0
 */
typedef void (*StrandEndFunc) (StrandCall *call, GVariant *value, gpointer user_data);

/**
 * StrandErrorFunc:
 * @call: the call
 * @error: why it did not complete
 * @user_data: data
 *
 * Told once that a call has failed or was cancelled (`G_IO_ERROR_CANCELLED`).
 *
 * Since: 1.0
 */
typedef void (*StrandErrorFunc) (StrandCall *call, const GError *error, gpointer user_data);

/**
 * StrandChecks:
 * @STRAND_CHECK_NONE: trust the caller
 * @STRAND_CHECK_TYPES: the arguments' types against the declared ones, before the call is stored or run
 * @STRAND_CHECK_MAIN_THREAD: a function for the main thread only runs nowhere else
 * @STRAND_CHECK_REENTRANT: a function that is not reentrant runs only where it cannot run twice at once
 * @STRAND_CHECK_PORTABLE: a function that is not portable runs in no other process
 * @STRAND_CHECK_TRAITS: the last three: everything that the function's traits say
 * @STRAND_CHECK_OBJECTS: a function that returns an object runs in no other process; without the check it
 * does, and completes without the object
 * @STRAND_CHECK_WAITS: nobody waits for the call where the wait could never end; without the check the wait
 *   lasts until its timeout
 * @STRAND_CHECK_ALL: everything; the default
 *
 * Safety checks that a task makes. Whoever switches one off answers for what it kept away.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_CHECK_NONE = 0,
  STRAND_CHECK_TYPES = 1 << 0,
  STRAND_CHECK_MAIN_THREAD = 1 << 1,
  STRAND_CHECK_REENTRANT = 1 << 2,
  STRAND_CHECK_PORTABLE = 1 << 3,
  STRAND_CHECK_OBJECTS = 1 << 4,
  STRAND_CHECK_WAITS = 1 << 5,
  STRAND_CHECK_TRAITS = STRAND_CHECK_MAIN_THREAD | STRAND_CHECK_REENTRANT | STRAND_CHECK_PORTABLE,
  STRAND_CHECK_ALL = STRAND_CHECK_TYPES | STRAND_CHECK_TRAITS | STRAND_CHECK_OBJECTS | STRAND_CHECK_WAITS,
} StrandChecks;

#define STRAND_TYPE_CHECKS (strand_checks_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_checks_get_type (void);

#define STRAND_TYPE_TASK (strand_task_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandTask, strand_task, STRAND, TASK, GObject)

/* Making one. */

STRAND_AVAILABLE_IN_ALL
StrandTask *strand_as_task (const char *function, const char *target, GError **error,
                            const char *first_property, ...) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandTask *strand_async_compute (const char *function, GError **error, const char *first_property,
                                  ...) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandTask *strand_task_new (StrandFunction *function, GObject *target) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandTask *strand_task_new_for_name (const char *function, const char *target,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandTask *strand_task_new_for_type (StrandFunction *function, GType target_type, GError **error,
                                      const char *first_property, ...) G_GNUC_WARN_UNUSED_RESULT;

/* Setting it up, before the calls that it is meant for. */

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_set_target (StrandTask *self, const char *name, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_task_set_target_object (StrandTask *self, GObject *target);

STRAND_AVAILABLE_IN_ALL
void strand_task_set_stack (StrandTask *self, StrandStack *stack);

STRAND_AVAILABLE_IN_ALL
gboolean strand_task_bind (StrandTask *self, GVariant *positional, GVariant *keywords, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_task_on_iter (StrandTask *self, StrandItemFunc func, gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
void strand_task_on_end (StrandTask *self, StrandEndFunc func, gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
void strand_task_on_error (StrandTask *self, StrandErrorFunc func, gpointer user_data,
                           GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
void strand_task_set_options (StrandTask *self, StrandOptions *options);

STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_task_get_function (StrandTask *self);

STRAND_AVAILABLE_IN_ALL
GObject *strand_task_ref_target (StrandTask *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandBackend *strand_task_ref_backend (StrandTask *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandStore *strand_task_ref_store (StrandTask *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gint64 strand_task_cleanup_expired (StrandTask *self, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_task_cleanup_expired_async (StrandTask *self, GCancellable *cancellable,
                                        GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gint64 strand_task_cleanup_expired_finish (StrandTask *self, GAsyncResult *result, GError **error);

/* Calling it. */

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_call (StrandTask *self, const char *format, ...);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_call_value (StrandTask *self, GVariant *arguments);

STRAND_AVAILABLE_IN_ALL
StrandHandle *strand_task_call_full (StrandTask *self, GVariant *arguments, GVariant *keywords,
                                     StrandOptions *options);

STRAND_AVAILABLE_IN_ALL
void strand_task_post (StrandTask *self, const char *format, ...);

STRAND_AVAILABLE_IN_ALL
void strand_task_post_value (StrandTask *self, GVariant *arguments);

STRAND_AVAILABLE_IN_ALL
void strand_task_call_async (StrandTask *self, GVariant *arguments, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_task_call_finish (StrandTask *self, GAsyncResult *result,
                                   GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* For tests: everything runs in the caller, before the call returns. */
STRAND_AVAILABLE_IN_ALL
void strand_set_inline (gboolean inline_mode);

STRAND_AVAILABLE_IN_ALL
gboolean strand_get_inline (void);

G_END_DECLS
