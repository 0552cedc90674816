/* strand-store-watch.c — who wants to hear of changes in a store, and who brings the news.
 *
 * What a store notices by itself, and what it has to be asked for, strand-watchers.c knows.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-store-private.h"

#include "strand-work.h"

/**
 * strand_store_watch:
 * @self: a store
 * @key: (nullable): the key to watch, or `NULL` for every key
 * @func: (scope notified) (closure user_data) (destroy destroy): what to call
 * @user_data: data for @func
 * @destroy: (nullable): what to call when @user_data is no longer needed: in strand_store_unwatch(), or if
 * @func calls that itself, when @func has returned
 *
 * Has @func called for every write and removal after this returns, by this process or another. Watch first
 * and read then, and no change is missed. Where the store cannot notice other processes' writes, a thread
 * looks for them every 10 ms, and as nothing changes ever less often, up to once a second.
 *
 * May block while the store starts to watch; any thread that owns no main context.
 *
 * Returns: an id for strand_store_unwatch(), never 0
 * Since: 1.0
 */
guint
strand_store_watch (StrandStore *self, const char *key, StrandWatchFunc func, gpointer user_data,
                    GDestroyNotify destroy)
{
  g_return_val_if_fail (STRAND_IS_STORE (self), 0);
  g_return_val_if_fail (func != NULL, 0);

  return strand_watchers_add (strand_store_peek_state (self)->watchers, self, key, func, user_data, destroy);
}

/**
 * strand_store_unwatch:
 * @self: a store
 * @id: what strand_store_watch() returned
 *
 * Ends a watch. When this returns, the function is not running on another thread and will not be called
 * again. It may be called by the function itself, and then does not wait.
 *
 * Blocks while the function runs on another thread; any thread. The caller must hold no lock that the
 * function takes.
 *
 * Since: 1.0
 */
void
strand_store_unwatch (StrandStore *self, guint id)
{
  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (id != 0);

  strand_watchers_remove (strand_store_peek_state (self)->watchers, self, id);
}

/**
 * strand_store_changed:
 * @self: a store
 * @key: (nullable): the key of the record, or `NULL` if any of them may have changed
 *
 * For implementations: tells watchers that a record was written or removed other than by strand_store_put()
 * and strand_store_remove(). Call it without locks that a method takes.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
strand_store_changed (StrandStore *self, const char *key)
{
  g_return_if_fail (STRAND_IS_STORE (self));

  strand_watchers_announce (strand_store_peek_state (self)->watchers, self, key);
  if (STRAND_STORE_GET_IFACE (self)->set_watching_queues == NULL)
    strand_watchers_announce_queue (strand_store_peek_state (self)->watchers, self, NULL);
  else
    strand_watchers_announce_every_queue (strand_store_peek_state (self)->watchers, self);
}

/**
 * strand_store_watch_queue:
 * @self: a store
 * @queue: (nullable): the queue to watch, or `NULL` for every queue
 * @func: (scope notified) (closure user_data) (destroy destroy): what to call, with the queue's name (or
 *   `NULL`) for a key
 * @user_data: data for @func
 * @destroy: (nullable): what to call when @user_data is no longer needed, as for strand_store_watch()
 *
 * Has @func called when this process or another may have left work in a queue, after this returns. It may be
 * called without work: claim, and see. Watch first and claim then, and no work is missed. Where the store
 * cannot notice other processes' writes, @func is called every 10 ms, and as nothing is claimed ever less
 * often, up to once a second. Calls whose time comes later are told of by strand_store_claim() instead.
 *
 * May block while the store starts to watch; any thread that owns no main context.
 *
 * Returns: an id for strand_store_unwatch(), never 0
 * Since: 1.0
 */
guint
strand_store_watch_queue (StrandStore *self, const char *queue, StrandWatchFunc func, gpointer user_data,
                          GDestroyNotify destroy)
{
  g_return_val_if_fail (STRAND_IS_STORE (self), 0);
  g_return_val_if_fail (func != NULL, 0);

  return strand_watchers_add_queue (strand_store_peek_state (self)->watchers, self, queue, func, user_data,
                                    destroy);
}

/**
 * strand_store_queue_changed:
 * @self: a store
 * @queue: (nullable): the queue, or `NULL` if any of them may have work
 *
 * For implementations: tells those who wait for work that another process may have left some. Call it without
 * locks that a method takes.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
strand_store_queue_changed (StrandStore *self, const char *queue)
{
  g_return_if_fail (STRAND_IS_STORE (self));

  strand_watchers_announce_queue (strand_store_peek_state (self)->watchers, self, queue);
}
