/* redis-connection.c — a link, and what hiredis makes of its bytes.
 *
 * Commands are written here: their form is a count and, for each argument, a length and the bytes. Answers
 * are read by hiredis. What answers but does not speak the protocol is told apart by its first bytes: a TLS
 * alert, or anything else that is no redis.        SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-connection.h"

#include "redis-fault.h"

#include <stdarg.h>
#include <string.h>

#define BUFFER_SIZE (16 * 1024)

/* A connection that was used less long ago is taken for alive: a peer seldom vanishes, and if it did, the
 * command's deadline tells. */
#define TRUSTED_FOR_US (5 * G_USEC_PER_SEC)

/* How long a server may take to say that it is alive, before another connection is made: some round trips
 * around the world. */
#define PING_TIMEOUT_US (2 * G_USEC_PER_SEC)

struct _RedisConnection
{
  RedisSettings *settings;
  RedisLink *link;
  redisReader *reader;
  char *host; /* of the server that a cluster sent us to, or NULL */
  guint16 port;
  gint64 used_us;      /* monotonic; when the last answer came */
  gboolean has_spoken; /* one answer was well-formed */
  char *buffer;
};

/* --- commands ------------------------------------------------------------------------------------------ */

static void
begin_argument (RedisCommand *self, gsize length)
{
  g_string_append_printf (self->body, "$%" G_GSIZE_FORMAT "\r\n", length);
  self->n_arguments++;
}

RedisCommand *
redis_command_new (const char *name)
{
  RedisCommand *self = g_new0 (RedisCommand, 1);

  self->body = g_string_sized_new (512);
  redis_command_add (self, name);
  return self;
}

void
redis_command_free (RedisCommand *self)
{
  g_string_free (self->body, TRUE);
  g_free (self);
}

void
redis_command_add_bytes (RedisCommand *self, const void *data, gsize length)
{
  begin_argument (self, length);
  g_string_append_len (self->body, data, length);
  g_string_append_len (self->body, "\r\n", 2);
}

void
redis_command_add (RedisCommand *self, const char *text)
{
  redis_command_add_bytes (self, text, strlen (text));
}

void
redis_command_add_int (RedisCommand *self, gint64 number)
{
  char text[24];

  g_snprintf (text, sizeof text, "%" G_GINT64_FORMAT, number);
  redis_command_add (self, text);
}

void
redis_command_add_joined (RedisCommand *self, const char *first, ...)
{
  gsize length = 0;
  va_list texts;

  va_start (texts, first);
  for (const char *text = first; text != NULL; text = va_arg (texts, const char *))
    length += strlen (text);
  va_end (texts);

  begin_argument (self, length);
  va_start (texts, first);
  for (const char *text = first; text != NULL; text = va_arg (texts, const char *))
    g_string_append (self->body, text);
  va_end (texts);
  g_string_append_len (self->body, "\r\n", 2);
}

void
redis_command_add_again (RedisCommand *self)
{
  redis_command_add (self, "0");
  self->again_at = self->body->len - strlen ("0\r\n");
}

static void
write_command (RedisCommand *self, GString *out)
{
  if (self->again_at > 0 && self->n_sent > 0)
    self->body->str[self->again_at] = '1';
  self->n_sent++;
  g_string_append_printf (out, "*%u\r\n", self->n_arguments);
  g_string_append_len (out, self->body->str, self->body->len);
}

/* --- answers ------------------------------------------------------------------------------------------- */

void
redis_connection_name_server (RedisSettings *settings, const char *host, guint16 port, GError **error)
{
  if (error == NULL)
    return;
  if (host != NULL)
    g_prefix_error (error, "redis server '%s:%u' of the cluster of '%s': ", host, port, settings->shown);
  else
    g_prefix_error (error, "redis server '%s': ", settings->shown);
}

static void
name_server (RedisConnection *self, GError **error)
{
  redis_connection_name_server (self->settings, self->host, self->port, error);
}

/* A TLS record of an alert begins with byte 21 and the version's 3. */
static gboolean
looks_like_tls (const char *bytes, gsize length)
{
  return length >= 2 && bytes[0] == 21 && bytes[1] == 3;
}

static gboolean
feed (RedisConnection *self, gint64 deadline_us, GError **error)
{
  gssize n = redis_link_receive (self->link, self->buffer, BUFFER_SIZE, deadline_us, error);

  if (n < 0)
    return FALSE;
  if (!self->has_spoken && looks_like_tls (self->buffer, n))
    {
      g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_NOT_TLS, "it speaks TLS; let 'uri' begin with rediss://");
      return FALSE;
    }
  if (redisReaderFeed (self->reader, self->buffer, n) != REDIS_OK)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "its answer does not fit into memory");
      return FALSE;
    }
  return TRUE;
}

static void
set_protocol_error (RedisConnection *self, GError **error)
{
  if (!self->has_spoken)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                 "what answers there is no redis server; look at host and port in 'uri'");
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, "it broke the protocol: %s",
                 self->reader->errstr);
}

redisReply *
redis_connection_peek (RedisConnection *self, GError **error)
{
  void *reply = NULL;

  if (redisReaderGetReply (self->reader, &reply) != REDIS_OK)
    {
      set_protocol_error (self, error);
      name_server (self, error);
      return NULL;
    }
  if (reply != NULL)
    {
      self->has_spoken = TRUE;
      self->used_us = g_get_monotonic_time ();
    }
  return reply;
}

redisReply *
redis_connection_receive (RedisConnection *self, gint64 deadline_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  redisReply *reply = redis_connection_peek (self, &local_error);

  while (reply == NULL && local_error == NULL)
    {
      if (feed (self, deadline_us, &local_error))
        reply = redis_connection_peek (self, &local_error);
      else
        name_server (self, &local_error);
    }
  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return reply;
}

gboolean
redis_connection_send (RedisConnection *self, RedisCommand *const *commands, guint n, gint64 deadline_us,
                       GError **error)
{
  g_autoptr(GString) out = NULL;
  gsize size = 0;

  for (guint i = 0; i < n; i++)
    size += commands[i]->body->len + strlen ("*4294967295\r\n");
  out = g_string_sized_new (size + 1);
  for (guint i = 0; i < n; i++)
    write_command (commands[i], out);
  if (redis_link_send (self->link, out->str, out->len, deadline_us, error))
    return TRUE;

  name_server (self, error);
  return FALSE;
}

RedisLinkEvent
redis_connection_wait (RedisConnection *self, int wake_fd, gint64 deadline_us)
{
  return redis_link_wait (self->link, wake_fd, deadline_us);
}

/* --- opening and closing ------------------------------------------------------------------------------- */

/* Commands to which the answer is OK, or an error that says it all. */
static gboolean
expect_ok (RedisConnection *self, gint64 deadline_us, GError **error)
{
  g_autoptr(redisReply) reply = redis_connection_receive (self, deadline_us, error);

  if (reply == NULL)
    return FALSE;
  if (reply->type != REDIS_REPLY_ERROR)
    return TRUE;
  redis_fault_set_error (reply->str, error);
  name_server (self, error);
  return FALSE;
}

/* The last one is a PING, so that something answers and is seen to be redis. */
static GPtrArray *
list_greetings (RedisSettings *settings)
{
  GPtrArray *commands = g_ptr_array_new_with_free_func ((GDestroyNotify) redis_command_free);
  RedisCommand *command;

  if (settings->password != NULL)
    {
      command = redis_command_new ("AUTH");
      if (settings->user != NULL)
        redis_command_add (command, settings->user);
      redis_command_add (command, settings->password);
      g_ptr_array_add (commands, command);
    }
  if (settings->database > 0)
    {
      command = redis_command_new ("SELECT");
      redis_command_add_int (command, settings->database);
      g_ptr_array_add (commands, command);
    }
  g_ptr_array_add (commands, redis_command_new ("PING"));
  return commands;
}

static gboolean
greet_with (RedisConnection *self, RedisCommand *command, gint64 deadline_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autoptr(GError) answer = NULL;

  if (redis_connection_send (self, &command, 1, deadline_us, &local_error))
    return expect_ok (self, deadline_us, error);

  /* A server that has too many clients says so and hangs up before it has heard anything. */
  expect_ok (self, g_get_monotonic_time (), &answer);
  if (self->has_spoken && answer != NULL)
    g_propagate_error (error, g_steal_pointer (&answer));
  else
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
greet (RedisConnection *self, gint64 deadline_us, GError **error)
{
  g_autoptr(GPtrArray) commands = list_greetings (self->settings);

  /* One by one: what the server says to a password is more to the point than what it says after that. */
  for (guint i = 0; i < commands->len; i++)
    if (!greet_with (self, commands->pdata[i], deadline_us, error))
      return FALSE;
  return TRUE;
}

RedisConnection *
redis_connection_open (RedisSettings *settings, const char *host, guint16 port, gint64 deadline_us,
                       GError **error)
{
  g_autoptr(RedisConnection) self = g_new0 (RedisConnection, 1);

  self->settings = redis_settings_ref (settings);
  self->host = g_strdup (host);
  self->port = port;
  self->link = redis_link_open (settings, host, port, deadline_us, error);
  if (self->link == NULL)
    {
      name_server (self, error);
      return NULL;
    }
  self->buffer = g_malloc (BUFFER_SIZE);
  self->reader = redisReaderCreate ();
  return greet (self, deadline_us, error) ? g_steal_pointer (&self) : NULL;
}

void
redis_connection_close (RedisConnection *self)
{
  g_clear_pointer (&self->link, redis_link_close);
  g_clear_pointer (&self->reader, redisReaderFree);
  redis_settings_unref (self->settings);
  g_free (self->buffer);
  g_free (self->host);
  g_free (self);
}

static gboolean
answers_ping (RedisConnection *self, gint64 deadline_us)
{
  g_autoptr(RedisCommand) ping = redis_command_new ("PING");

  deadline_us = MIN (deadline_us, g_get_monotonic_time () + PING_TIMEOUT_US);
  return redis_connection_send (self, &ping, 1, deadline_us, NULL) && expect_ok (self, deadline_us, NULL);
}

gboolean
redis_connection_is_alive (RedisConnection *self, gint64 deadline_us)
{
  if (!redis_link_is_quiet (self->link))
    return FALSE;
  return g_get_monotonic_time () - self->used_us < TRUSTED_FOR_US || answers_ping (self, deadline_us);
}
