/* redis-server.h — a real redis server of a test's own, and what may stand between it and its clients.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>
#include <hiredis/hiredis.h>

G_BEGIN_DECLS

/* Whether this machine has redis-server. */
gboolean redis_server_is_there (void);

/* A server in a temporary directory. It dies with this program. */
typedef struct
{
  char *folder;
  char *socket; /* its path */
  char *uri;    /* unix:// */
  GStrv options;
  GPid pid; /* 0 while it does not run */
  GThread *reader;

  GMutex lock; /* guards what the reader sets */
  GCond said;
  gboolean is_ready, has_ended;
} RedisServer;

/* Options as redis-server takes them, for redis_server_start(). */
#define REDIS_OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Starts one that keeps nothing on disk but where the options say so, and waits until it takes commands. */
RedisServer *redis_server_start (const char *const *options);

/* SIGKILL, and the start of another one in the same directory with the same options. */
void redis_server_kill (RedisServer *self);
void redis_server_start_again (RedisServer *self);

/* Kills it and removes its directory. */
void redis_server_free (RedisServer *self);

/* One command by hiredis itself; its answer as text, errors included. */
char *redis_server_say (RedisServer *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* A free port of the loopback interface; somebody else may take it before the server does. */
guint redis_server_find_port (void);

/* A socket that passes on all bytes to a server's and back, until it is told otherwise. */
typedef struct _RedisRelay RedisRelay;

RedisRelay *redis_relay_new (RedisServer *server);
void redis_relay_free (RedisRelay *self);
const char *redis_relay_get_uri (RedisRelay *self);

/* The next answer of the server that holds @text reaches nobody: its connection is cut in its place. */
void redis_relay_swallow (RedisRelay *self, const char *text);

/* What is connected now hears nothing any more, and is not told. New connections are served. */
void redis_relay_freeze (RedisRelay *self);

/* How many connections there were. */
guint redis_relay_count (RedisRelay *self);

/* A socket where @greeting is said to who connects, and then nothing; NULL: who connects is hung up on. */
typedef struct _RedisImpostor RedisImpostor;

RedisImpostor *redis_impostor_new (const char *greeting);
void redis_impostor_free (RedisImpostor *self);
const char *redis_impostor_get_uri (RedisImpostor *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisServer, redis_server_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisRelay, redis_relay_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisImpostor, redis_impostor_free)

G_END_DECLS
