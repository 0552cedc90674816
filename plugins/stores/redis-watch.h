/* redis-watch.h — tells a redis store what others write into its server.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-settings.h"

typedef struct _RedisWatch RedisWatch;

/* Calls strand_store_changed() for records, or where @queues is not NULL strand_store_queue_changed() for
 * work in these, on a thread of its own, from the moment that this returns until redis_watch_stop(). If the
 * server cannot be reached now, watching begins when it can; only where trying again would not help, NULL
 * with @error. Holds @store weakly. @sender: whose messages are the store's own. */
RedisWatch *redis_watch_start (StrandStore *store, RedisSettings *settings, const char *sender,
                               const char *const *queues, GError **error);

/* Ends and frees it, without waiting for its thread. */
void redis_watch_stop (RedisWatch *self);
