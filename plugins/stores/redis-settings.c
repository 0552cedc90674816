/* redis-settings.c — reads the uri of a server: redis://, rediss:// (TLS) or unix://.
 *
 *   redis://[USER@]HOST[:PORT][/DATABASE]      rediss:// likewise
 *   unix://[USER@]/PATH[?db=DATABASE]
 *
 * A uri is shown by commands and named in messages, so one with a password in it is refused; and as it may be
 * in any part of a text that is no uri, messages repeat only what has been understood.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-settings.h"

#include <string.h>

#define DEFAULT_PORT 6379

/* More would make each key of each record longer for nothing. */
#define MAX_PREFIX_LENGTH 64

/* What g_uri_split_with_user() finds. */
typedef struct
{
  char *scheme, *user, *password, *host, *path, *query;
  int port;
} Parts;

static void
parts_clear (Parts *self)
{
  g_free (self->scheme);
  g_free (self->user);
  g_free (self->password);
  g_free (self->host);
  g_free (self->path);
  g_free (self->query);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Parts, parts_clear)

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'uri' of the redis store %s", why);
  return FALSE;
}

static gboolean
split (const char *uri, Parts *parts, GError **error)
{
  if (!g_uri_split_with_user (uri, G_URI_FLAGS_HAS_PASSWORD, &parts->scheme, &parts->user, &parts->password,
                              NULL, &parts->host, &parts->port, &parts->path, &parts->query, NULL, NULL) ||
      parts->scheme == NULL)
    return refuse (error, "cannot be read; write redis://HOST:PORT/DATABASE, rediss://… or unix:///PATH");
  if (parts->password != NULL)
    return refuse (error, "holds a password; put that into a file of its own and name it in 'password-file'");
  return TRUE;
}

static gboolean
read_database (RedisSettings *self, const char *text, GError **error)
{
  guint64 number;

  if (text == NULL || *text == '\0')
    return TRUE;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT, &number, NULL))
    return refuse (error, "has a database that is no number");
  self->database = number;
  return TRUE;
}

static gboolean
read_unix (RedisSettings *self, Parts *parts, GError **error)
{
  if (parts->host != NULL && *parts->host != '\0')
    return refuse (error,
                   "names a host; a unix socket is written with three slashes, unix:///run/redis.sock");
  if (parts->path == NULL || parts->path[0] != '/' || parts->path[1] == '\0')
    return refuse (error, "names no socket; write unix:///run/redis/redis.sock");
  if (parts->query != NULL && !g_str_has_prefix (parts->query, "db="))
    return refuse (error, "may end in '?db=NUMBER' and nothing else");
  if (!read_database (self, parts->query != NULL ? parts->query + strlen ("db=") : NULL, error))
    return FALSE;

  self->path = g_steal_pointer (&parts->path);
  self->shown = g_strconcat ("unix://", self->path, parts->query != NULL ? "?" : NULL, parts->query, NULL);
  return TRUE;
}

static gboolean
read_network (RedisSettings *self, Parts *parts, GError **error)
{
  gboolean is_ipv6;

  if (parts->host == NULL || *parts->host == '\0')
    return refuse (error, "names no host; write redis://HOST:PORT/DATABASE");
  if (parts->query != NULL)
    return refuse (error, "has a '?'; the database comes after a slash, everything else is a property");
  if (!read_database (self, parts->path[0] == '/' ? parts->path + 1 : parts->path, error))
    return FALSE;

  self->host = g_steal_pointer (&parts->host);
  self->port = parts->port > 0 ? parts->port : DEFAULT_PORT;
  is_ipv6 = strchr (self->host, ':') != NULL;
  self->shown = g_strdup_printf ("%s://%s%s%s:%u%s", parts->scheme, is_ipv6 ? "[" : "", self->host,
                                 is_ipv6 ? "]" : "", self->port, parts->path);
  return TRUE;
}

static gboolean
read_uri (RedisSettings *self, const char *uri, GError **error)
{
  g_auto(Parts) parts = { .port = -1 };
  gboolean is_unix;

  if (!split (uri, &parts, error))
    return FALSE;

  is_unix = g_ascii_strcasecmp (parts.scheme, "unix") == 0;
  self->tls = g_ascii_strcasecmp (parts.scheme, "rediss") == 0;
  if (!is_unix && !self->tls && g_ascii_strcasecmp (parts.scheme, "redis") != 0)
    return refuse (error, "has an unknown scheme; redis:, rediss: (TLS) and unix: are known");
  if (!(is_unix ? read_unix (self, &parts, error) : read_network (self, &parts, error)))
    return FALSE;
  if (parts.user != NULL && *parts.user != '\0')
    self->user = g_steal_pointer (&parts.user);
  return TRUE;
}

/* The part in braces decides in which node of a cluster a key lies: one for all keys of a store, as scripts
 * change several at once. */
static gboolean
read_prefix (RedisSettings *self, const char *prefix, GError **error)
{
  gsize length = prefix != NULL ? strlen (prefix) : 0;

  if (length == 0 || length > MAX_PREFIX_LENGTH || strpbrk (prefix, "{}") != NULL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'prefix' of the redis store must be 1 to %d bytes long and without braces",
                   MAX_PREFIX_LENGTH);
      return FALSE;
    }
  self->tag = g_strdup_printf ("{%s}:", prefix);
  return TRUE;
}

RedisSettings *
redis_settings_new (const char *uri, const char *password, const char *prefix, GError **error)
{
  g_autoptr(RedisSettings) self = g_new0 (RedisSettings, 1);

  g_atomic_ref_count_init (&self->refs);
  if (!read_uri (self, uri != NULL ? uri : "", error) || !read_prefix (self, prefix, error))
    return NULL;
  if (self->user != NULL && password == NULL)
    {
      refuse (error, "names a user and there is no password; name a file with it in 'password-file'");
      return NULL;
    }
  self->password = g_strdup (password);
  return g_steal_pointer (&self);
}

RedisSettings *
redis_settings_ref (RedisSettings *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
redis_settings_unref (RedisSettings *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  if (self->password != NULL)
    explicit_bzero (self->password, strlen (self->password));
  g_free (self->password);
  g_free (self->shown);
  g_free (self->path);
  g_free (self->host);
  g_free (self->user);
  g_free (self->tag);
  g_free (self->ca_file);
  g_free (self->certificate_file);
  g_free (self);
}

gint64
redis_settings_get_deadline (RedisSettings *self)
{
  return self->timeout_us >= 0 ? g_get_monotonic_time () + self->timeout_us : G_MAXINT64;
}
