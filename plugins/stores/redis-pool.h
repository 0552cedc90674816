/* redis-pool.h — the connections of one store, for as many threads as want one.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-connection.h"

typedef struct _RedisPool RedisPool;

RedisPool *redis_pool_new (RedisSettings *settings, guint max_connections);
void redis_pool_free (RedisPool *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisPool, redis_pool_free)

RedisSettings *redis_pool_get_settings (RedisPool *self);

/* Has the server carry out all commands, sent at once, and takes its answers, which the caller frees.
 * Connects, loads scripts, follows a cluster and tries again as long as 'command-timeout' allows. On failure
 * some commands may have been carried out, and replies that came are there all the same. An answer may be an
 * error of its command: see redis_fault_set_error(). */
gboolean redis_pool_run (RedisPool *self, RedisCommand *const *commands, guint n, redisReply **replies,
                         GError **error);

/* The same for one command, whose refusal is then an error too. */
redisReply *redis_pool_call (RedisPool *self, RedisCommand *command, GError **error);
