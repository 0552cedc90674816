/* redis-watch.c — the thread that listens to a store's channels: published changes, and work in queues.
 *
 * Redis tells a message to who is subscribed now, and to nobody else. So each time when a connection has been
 * made anew, everything may have been missed: as soon as the server has confirmed the subscriptions, all
 * watchers are told that anything may have changed, and look for themselves.
 *
 * A listener that only waits cannot see that its server is gone without a word. After some seconds of silence
 * it asks for a sign of life, and after as many more without one it connects anew.
 *
 * What a watch listens to never changes: a store that wants to hear of other queues starts another watch and
 * stops this one. So nobody ever waits for a thread that may be inside a watcher's function.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-watch.h"

#include "redis-connection.h"
#include "redis-fault.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A dead connection is noticed within three times this. */
#define SILENCE_US (5 * G_USEC_PER_SEC)

/* As in redis-pool.c. */
#define SHORTEST_DELAY_US (10 * 1000)
#define LONGEST_DELAY_US (1000 * 1000)

struct _RedisWatch
{
  gatomicrefcount refs; /* the store's and the thread's */
  GWeakRef store;
  RedisSettings *settings;
  char *own_prefix; /* "SENDER/" */
  GStrv channels;
  gboolean is_of_queues; /* rather than of records */
  int bell_fd;
  int stopped; /* atomic */

  /* The thread's alone, once it runs. */
  RedisConnection *connection; /* subscribed to all channels; or NULL */
  gboolean missed_some;        /* since somebody was last told */
  gboolean pinged;             /* a sign of life is due */
  guint n_failures;
};

static void
watch_unref (RedisWatch *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  g_clear_pointer (&self->connection, redis_connection_close);
  g_weak_ref_clear (&self->store);
  if (self->bell_fd >= 0)
    close (self->bell_fd);
  redis_settings_unref (self->settings);
  g_strfreev (self->channels);
  g_free (self->own_prefix);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RedisWatch, watch_unref)

static void
ring (RedisWatch *self)
{
  guint64 one = 1;

  if (write (self->bell_fd, &one, sizeof one) < 0)
    g_assert (errno == EAGAIN); /* rung 2^64 times already */
}

/* --- telling ------------------------------------------------------------------------------------------- */

/* NULL: of anything. */
static void
tell (RedisWatch *self, const char *what)
{
  g_autoptr(StrandStore) store = g_weak_ref_get (&self->store);

  if (store == NULL || g_atomic_int_get (&self->stopped))
    return;
  if (self->is_of_queues)
    strand_store_queue_changed (store, what);
  else
    strand_store_changed (store, what);
}

/* What the store itself has written it has told already. Others may leave out who they are. */
static void
tell_of_message (RedisWatch *self, const char *channel, const char *message)
{
  const char *slash = strchr (message, '/');

  if (g_str_has_prefix (message, self->own_prefix))
    return;
  if (self->is_of_queues)
    tell (self, channel + strlen (self->settings->tag) + strlen ("work:"));
  else
    tell (self, slash != NULL ? slash + 1 : message);
}

/* --- subscribing --------------------------------------------------------------------------------------- */

static GStrv
list_channels (const char *tag, const char *const *queues)
{
  g_autoptr(GStrvBuilder) channels = g_strv_builder_new ();

  if (queues == NULL)
    {
      g_autofree char *channel = g_strconcat (tag, "changed", NULL);

      g_strv_builder_add (channels, channel);
    }
  for (guint i = 0; queues != NULL && queues[i] != NULL; i++)
    {
      g_autofree char *channel = g_strconcat (tag, "work:", queues[i], NULL);

      g_strv_builder_add (channels, channel);
    }
  return g_strv_builder_end (channels);
}

static gboolean
is_of_kind (redisReply *reply, const char *kind)
{
  return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 && reply->element[0]->str != NULL &&
         strcmp (reply->element[0]->str, kind) == 0;
}

/* Waits until each channel has been confirmed. Messages of the first may come before that of the last: it is
 * not the time to tell of them. */
static gboolean
await_confirmations (RedisWatch *self, RedisConnection *connection, gint64 deadline_us, GError **error)
{
  guint n_open = g_strv_length (self->channels);

  while (n_open > 0)
    {
      g_autoptr(redisReply) reply = redis_connection_receive (connection, deadline_us, error);

      if (reply == NULL)
        return FALSE;
      if (reply->type == REDIS_REPLY_ERROR)
        {
          redis_fault_set_error (reply->str, error);
          redis_connection_name_server (self->settings, NULL, 0, error);
          return FALSE;
        }
      if (is_of_kind (reply, "subscribe"))
        n_open--;
      else
        self->missed_some = TRUE;
    }
  return TRUE;
}

static gboolean
subscribe (RedisWatch *self, GError **error)
{
  gint64 deadline_us = redis_settings_get_deadline (self->settings);
  g_autoptr(RedisConnection) connection =
      redis_connection_open (self->settings, NULL, 0, deadline_us, error);
  g_autoptr(RedisCommand) command = redis_command_new ("SUBSCRIBE");

  if (connection == NULL)
    return FALSE;
  for (guint i = 0; self->channels[i] != NULL; i++)
    redis_command_add (command, self->channels[i]);
  if (!redis_connection_send (connection, &command, 1, deadline_us, error) ||
      !await_confirmations (self, connection, deadline_us, error))
    return FALSE;

  self->connection = g_steal_pointer (&connection);
  self->pinged = FALSE;
  return TRUE;
}

/* --- listening ----------------------------------------------------------------------------------------- */

static gboolean
read_messages (RedisWatch *self, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  redisReply *reply =
      redis_connection_receive (self->connection, g_get_monotonic_time () + SILENCE_US, &local_error);

  self->pinged = FALSE;
  while (reply != NULL)
    {
      if (reply->type == REDIS_REPLY_ERROR)
        redis_fault_set_error (reply->str, &local_error);
      else if (is_of_kind (reply, "message"))
        tell_of_message (self, reply->element[1]->str, reply->element[2]->str);
      freeReplyObject (reply);
      reply = local_error == NULL ? redis_connection_peek (self->connection, &local_error) : NULL;
    }
  if (local_error == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
ask_for_life (RedisWatch *self, GError **error)
{
  g_autoptr(RedisCommand) ping = redis_command_new ("PING");

  if (self->pinged)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "redis server '%s' has fallen silent",
                   self->settings->shown);
      return FALSE;
    }
  self->pinged = TRUE;
  return redis_connection_send (self->connection, &ping, 1, g_get_monotonic_time () + SILENCE_US, error);
}

/* Waits for something to happen on the connection, and deals with it. */
static gboolean
listen_once (RedisWatch *self, GError **error)
{
  switch (redis_connection_wait (self->connection, self->bell_fd, g_get_monotonic_time () + SILENCE_US))
    {
    case REDIS_LINK_READY:
      return read_messages (self, error);
    case REDIS_LINK_LATE:
      return ask_for_life (self, error);
    case REDIS_LINK_WOKEN:
    default:
      return TRUE;
    }
}

/* After a failure, until it is time to try again. */
static void
rest (RedisWatch *self)
{
  gint64 delay_us = MIN ((gint64) SHORTEST_DELAY_US << MIN (self->n_failures, 10), LONGEST_DELAY_US);
  struct pollfd fd = { self->bell_fd, POLLIN, 0 };

  self->n_failures++;
  delay_us = delay_us / 2 + g_random_int_range (0, delay_us / 2);
  poll (&fd, 1, delay_us / 1000);
}

static void
lose (RedisWatch *self, const GError *trouble)
{
  strand_debug (STRAND_TOPIC_STORE, "Not watching for a while: %s", trouble->message);
  g_clear_pointer (&self->connection, redis_connection_close);
  self->missed_some = TRUE;
  rest (self);
}

static gpointer
run (gpointer data)
{
  RedisWatch *self = data;

  while (!g_atomic_int_get (&self->stopped))
    {
      g_autoptr(GError) trouble = NULL;

      if (self->connection == NULL && !subscribe (self, &trouble))
        {
          lose (self, trouble);
          continue;
        }
      if (self->missed_some)
        tell (self, NULL);
      self->missed_some = FALSE;
      if (listen_once (self, &trouble))
        self->n_failures = 0;
      else
        lose (self, trouble);
    }
  watch_unref (self);
  return NULL;
}

RedisWatch *
redis_watch_start (StrandStore *store, RedisSettings *settings, const char *sender, const char *const *queues,
                   GError **error)
{
  g_autoptr(RedisWatch) self = g_new0 (RedisWatch, 1);
  g_autoptr(GError) trouble = NULL;

  g_atomic_ref_count_init (&self->refs);
  g_weak_ref_init (&self->store, store);
  self->settings = redis_settings_ref (settings);
  self->own_prefix = g_strconcat (sender, "/", NULL);
  self->channels = list_channels (settings->tag, queues);
  self->is_of_queues = queues != NULL;
  self->bell_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->bell_fd < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "no eventfd to watch with: %s",
                   g_strerror (errno));
      return NULL;
    }

  self->missed_some = !subscribe (self, &trouble);
  if (trouble != NULL && !redis_fault_is_passing (trouble))
    {
      g_propagate_error (error, g_steal_pointer (&trouble));
      return NULL;
    }
  g_atomic_ref_count_inc (&self->refs);
  g_thread_unref (g_thread_new ("strand-redis", run, self));
  return g_steal_pointer (&self);
}

void
redis_watch_stop (RedisWatch *self)
{
  g_atomic_int_set (&self->stopped, TRUE);
  ring (self);
  watch_unref (self);
}
