/* redis-link.h — bytes to and from one server, each operation with a deadline.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "redis-settings.h"

typedef struct _RedisLink RedisLink;

/* Connects to @host and @port, or where they are NULL and 0 to the server that the settings name. */
RedisLink *redis_link_open (RedisSettings *settings, const char *host, guint16 port, gint64 deadline_us,
                            GError **error);

void redis_link_close (RedisLink *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisLink, redis_link_close)

gboolean redis_link_send (RedisLink *self, const char *data, gsize length, gint64 deadline_us,
                          GError **error);

/* Some bytes, at least one; or -1, also where the server has hung up (G_IO_ERROR_CONNECTION_CLOSED). */
gssize redis_link_receive (RedisLink *self, char *buffer, gsize size, gint64 deadline_us, GError **error);

typedef enum
{
  REDIS_LINK_READY, /* there are bytes, or it is broken */
  REDIS_LINK_WOKEN, /* @wake_fd can be read */
  REDIS_LINK_LATE,
} RedisLinkEvent;

/* Waits for what comes first. @wake_fd: -1 for none. */
RedisLinkEvent redis_link_wait (RedisLink *self, int wake_fd, gint64 deadline_us);

/* Whether it is open and nothing has come: what a link between two uses must be. */
gboolean redis_link_is_quiet (RedisLink *self);
