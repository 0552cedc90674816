/* strand-call.h — one invocation of a function: from pending to its single end.
 *
 * A call only moves forward (see StrandStatus) and ends once: whoever makes the last step decides, later
 * endings are ignored. Its callbacks run where its delivery says (see docs/callbacks.md), never two at a
 * time. A call is a small reference-counted structure, not an object, because a program may have millions;
 * StrandHandle is the object that shows one to the rest of GLib.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-function.h"
#include "strand-options.h"
#include "strand-record.h"

G_BEGIN_DECLS

typedef struct _StrandCall StrandCall;
#define STRAND_TYPE_CALL (strand_call_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_call_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandCall *strand_call_ref (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
void strand_call_unref (StrandCall *self);

/* What anybody who has the call may ask, on any thread. */

STRAND_AVAILABLE_IN_ALL
const char *strand_call_get_key (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_call_get_function (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_call_get_function_name (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_call_get_arguments (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
StrandOptions *strand_call_get_options (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
StrandStatus strand_call_get_status (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
guint strand_call_get_attempt (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_call_get_value (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GObject *strand_call_get_object (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
const GError *strand_call_get_error (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
double strand_call_get_progress (StrandCall *self, char **message);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_call_dup_metadata (StrandCall *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_call_get_times (StrandCall *self, gint64 *created_us, gint64 *started_us, gint64 *completed_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_call_get_deadline (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_call_dup_headers (StrandCall *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
char *strand_call_dup_header (StrandCall *self, const char *name) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
guint strand_call_get_item_attempt (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
guint64 strand_call_get_item_index (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
guint64 strand_call_get_dropped_items (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GVariant *strand_call_dup_items (StrandCall *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_cancel (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GCancellable *strand_call_get_cancellable (StrandCall *self);

/* For taskrunners: a call that was submitted is begun once, may report while it runs, and is finished once.
 */

STRAND_AVAILABLE_IN_ALL
void strand_call_run (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_begin (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_is_attempt (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
int strand_call_get_priority (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
GMainContext *strand_call_ref_context (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_push_item (StrandCall *self, GVariant *item);

STRAND_AVAILABLE_IN_ALL
void strand_call_set_progress (StrandCall *self, double progress, const char *message);

STRAND_AVAILABLE_IN_ALL
void strand_call_set_metadata (StrandCall *self, const char *name, GVariant *value);

STRAND_AVAILABLE_IN_ALL
void strand_call_finish (StrandCall *self, GVariant *value, GError *error);

STRAND_AVAILABLE_IN_ALL
void strand_call_finish_with_value (StrandCall *self, GVariant *value);

STRAND_AVAILABLE_IN_ALL
void strand_call_finish_with_error (StrandCall *self, const GError *error);

STRAND_AVAILABLE_IN_ALL
void strand_call_set_runner_data (StrandCall *self, gpointer data);

STRAND_AVAILABLE_IN_ALL
gpointer strand_call_get_runner_data (StrandCall *self);

/* For middleware. */

STRAND_AVAILABLE_IN_ALL
void strand_call_set_header (StrandCall *self, const char *name, const char *value);

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_set_arguments (StrandCall *self, GVariant *arguments, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_call_set_retry_after (StrandCall *self, gint64 time_us);

STRAND_AVAILABLE_IN_ALL
gint64 strand_call_get_retry_after (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
void strand_call_set_data (StrandCall *self, gconstpointer owner, gpointer data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
gpointer strand_call_get_data (StrandCall *self, gconstpointer owner);

/* For backends and readers: a stored call is carried out by attempts, each a call of its own that a
 * taskrunner runs. Items and progress of an attempt show in the stored call at once. */

/**
 * StrandAttemptFuncs:
 * @started: the taskrunner is about to run the attempt; returning %FALSE gives it up unrun. May be `NULL`
 * @changed: progress, message or metadata changed. May be `NULL`
 * @ended: the attempt has its value, object or error (see strand_call_get_status())
 * @item: the function emitted an item. `NULL`: it goes to the stored call's consumer. May block, which holds
 * the function back; %FALSE with an error tells the function to stop
 *
 * What a backend is told of an attempt. Each runs on the taskrunner's thread (or the timer's, or a
 * canceller's), one after the other, and may not block longer than it takes to queue the news.
 *
 * Since: 1.0
 */
typedef struct
{
  gboolean (*started) (StrandCall *attempt, gpointer owner);
  void (*changed) (StrandCall *attempt, gpointer owner);
  void (*ended) (StrandCall *attempt, gpointer owner);
  gboolean (*item) (StrandCall *attempt, GVariant *item, gpointer owner, GError **error);
} StrandAttemptFuncs;

STRAND_AVAILABLE_IN_ALL
StrandCall *strand_call_new_attempt (StrandCall *self, const StrandAttemptFuncs *funcs, gpointer owner,
                                     gint64 timeout_us, gint64 grace_us) G_GNUC_WARN_UNUSED_RESULT;

/* An attempt of a call that another process made, and whose record or message this one was given. */
STRAND_AVAILABLE_IN_ALL
StrandCall *strand_call_new_for_function (StrandFunction *function, GVariant *arguments,
                                          StrandOptions *options, guint attempt,
                                          const StrandAttemptFuncs *funcs, gpointer owner,
                                          gint64 grace_us) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_call_mark_running (StrandCall *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_call_is_stopping (StrandCall *self);

/* The stored call goes back to pending for another attempt. */
STRAND_AVAILABLE_IN_ALL
void strand_call_requeue (StrandCall *self);

/* The stored call ends as its attempt did; an object result goes along. */
STRAND_AVAILABLE_IN_ALL
void strand_call_finish_like (StrandCall *self, StrandCall *attempt);

/* Ends a call that never ran, or whose attempt's outcome is replaced, with a status of one's choice. */
STRAND_AVAILABLE_IN_ALL
void strand_call_finish_as (StrandCall *self, StrandStatus status, GVariant *value, GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandCall, strand_call_unref)

G_END_DECLS
