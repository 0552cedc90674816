/* redis-connection.h — commands and answers on one connection, in the protocol that hiredis reads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-link.h"

#include <hiredis/hiredis.h>

/* A command, put together argument by argument. */
typedef struct
{
  GString *body;
  guint n_arguments;
  gsize again_at; /* where in the body stands whether it was sent before; 0: nowhere */
  guint n_sent;
} RedisCommand;

RedisCommand *redis_command_new (const char *name);
void redis_command_free (RedisCommand *self);
void redis_command_add (RedisCommand *self, const char *text);
void redis_command_add_bytes (RedisCommand *self, const void *data, gsize length);
void redis_command_add_int (RedisCommand *self, gint64 number);

/* The key of a record, or another one: several texts joined. The list ends in NULL. */
void redis_command_add_joined (RedisCommand *self, const char *first, ...) G_GNUC_NULL_TERMINATED;

/* An argument that is 0 when the command is sent for the first time, and 1 after that. */
void redis_command_add_again (RedisCommand *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisCommand, redis_command_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (redisReply, freeReplyObject)

typedef struct _RedisConnection RedisConnection;

/* Connects, names the user and chooses the database. Errors say which server it was. */
RedisConnection *redis_connection_open (RedisSettings *settings, const char *host, guint16 port,
                                        gint64 deadline_us, GError **error);

void redis_connection_close (RedisConnection *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisConnection, redis_connection_close)

/* Sends several commands at once. After an error the connection is of no use any more. */
gboolean redis_connection_send (RedisConnection *self, RedisCommand *const *commands, guint n,
                                gint64 deadline_us, GError **error);

/* The next answer. Likewise. */
redisReply *redis_connection_receive (RedisConnection *self, gint64 deadline_us, GError **error);

/* The next answer if it is here in full already. NULL without an error if it is not. */
redisReply *redis_connection_peek (RedisConnection *self, GError **error);

RedisLinkEvent redis_connection_wait (RedisConnection *self, int wake_fd, gint64 deadline_us);

/* Whether it can be used after some time without use; asks the server if that was long ago. */
gboolean redis_connection_is_alive (RedisConnection *self, gint64 deadline_us);

/* Adds which server it was. */
void redis_connection_name_server (RedisSettings *settings, const char *host, guint16 port, GError **error);
