/* redis-settings.h — which server a store talks to, as whom, and for how long it waits.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

/* Read-only once made; shared by the store and its threads. */
typedef struct
{
  gatomicrefcount refs;
  char *shown; /* the uri without a user: what messages name the server by */
  gboolean tls;
  char *path; /* of a unix socket, or NULL */
  char *host;
  guint16 port;
  guint database;
  char *user;     /* or NULL: redis calls it "default" */
  char *password; /* or NULL. No message, log or property ever has it */
  char *tag;      /* "{PREFIX}:", which every key begins with */
  char *ca_file;  /* or NULL: the system's authorities */
  char *certificate_file;
  gint64 timeout_us; /* -1: for ever */
} RedisSettings;

RedisSettings *redis_settings_new (const char *uri, const char *password, const char *prefix, GError **error);
RedisSettings *redis_settings_ref (RedisSettings *self);
void redis_settings_unref (RedisSettings *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisSettings, redis_settings_unref)

/* When what begins now must have ended; monotonic. */
gint64 redis_settings_get_deadline (RedisSettings *self);
