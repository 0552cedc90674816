/* strand-backend.h — launches stored calls and looks after them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"
#include "strand-store.h"

G_BEGIN_DECLS

#define STRAND_TYPE_BACKEND (strand_backend_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (StrandBackend, strand_backend, STRAND, BACKEND, GObject)

/**
 * StrandBackendInterface:
 * @parent_iface: the parent
 * @launch: takes a call to carry out
 * @get_store: where its records are
 * @cancel: a call it was given was cancelled
 * @close: ends all use
 * @get_thread: the thread without which no call goes on
 *
 * What a backend implements. Methods may be called on any thread and on several at once.
 *
 * Since: 1.0
 */
struct _StrandBackendInterface
{
  GTypeInterface parent_iface;

  /* Called by a task, in the thread of the caller, who may own a main context: must not block. Takes over
   * the reference to @call on success only. The backend writes the record, carries the call out, and ends
   * it with one of the strand_call_finish functions, after its record is terminal. STRAND_ERROR_FULL at its
   * limit, STRAND_ERROR_CLOSED after close(). */
  gboolean (*launch) (StrandBackend *self, StrandCall *call, GError **error);

  /* The store, for handles made from keys. Borrowed; the same one for the object's whole life. */
  StrandStore *(*get_store) (StrandBackend *self);

  /* strand_call_cancel() was called for a call launched here that has not ended. Must not block. */
  void (*cancel) (StrandBackend *self, StrandCall *call);

  /* As StrandTaskrunnerInterface.close. */
  gboolean (*close) (StrandBackend *self, gint64 deadline_us, GError **error);

  /* The thread without which no call of this backend starts or ends, if there is one now: whoever waits there
   * for one of them is refused with STRAND_ERROR_WOULD_DEADLOCK. Called under a lock of strand's: must not
   * block or call strand. Optional: NULL. */
  GThread *(*get_thread) (StrandBackend *self);

  /* A call of this backend that was followed has completed: the value that @record, which is read-only, stands
   * for, or NULL with an error, which fails the call. A thread of strand's own; may block. Optional: what the
   * record has. */
  GVariant *(*get_result) (StrandBackend *self, StrandRecord *record, GError **error);

  /*< private >*/
  gpointer reserved[4];
};

/**
 * StrandBackendInterface::cancel:
 * @self: a backend
 * @call: a call launched here that has not ended
 *
 * Somebody wants the call to stop. Must not block.
 *
 * Since: 1.0
 */

/**
 * StrandBackendInterface::get_thread:
 * @self: a backend
 *
 * Says which thread no call of this backend starts or ends without, so that a wait there can be refused.
 * Called under a lock of strand's: must not block or call strand.
 *
 * Returns: (nullable): the thread, or `NULL` where there is none now
 * Since: 1.0
 */

/**
 * StrandBackendInterface::get_result:
 * @self: a backend
 * @record: the read-only record of a call that was followed, and has completed
 * @error: why there is no value, which fails the call
 *
 * Makes the value of what the record has. A thread of strand's own; may block.
 *
 * Returns: (transfer full) (nullable): the value, or `NULL` with @error set
 * Since: 1.0
 */

STRAND_AVAILABLE_IN_ALL
gboolean strand_backend_launch (StrandBackend *self, StrandCall *call, GError **error);

STRAND_AVAILABLE_IN_ALL
StrandStore *strand_backend_get_store (StrandBackend *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_backend_close (StrandBackend *self, gint64 deadline_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_backend_close_async (StrandBackend *self, gint64 deadline_us, GCancellable *cancellable,
                                 GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_backend_close_finish (StrandBackend *self, GAsyncResult *result, GError **error);

/**
 * StrandFollowFunc:
 * @call: a call that was followed, and has ended
 * @user_data: what strand_store_follow_call() was given
 *
 * Told once, on any thread; must not block.
 *
 * Since: 1.0
 */
typedef void (*StrandFollowFunc) (StrandCall *call, gpointer user_data);

/* For backends that leave their calls to others: the call shows, and ends as, its record. */
STRAND_AVAILABLE_IN_ALL
void strand_store_follow_call (StrandStore *store, const char *key, StrandCall *call, StrandFollowFunc done,
                               gpointer user_data);

STRAND_AVAILABLE_IN_ALL
void strand_store_unfollow_call (StrandCall *call);

G_END_DECLS
