/* redis-server.c — starts redis-server for a test, and relays that lose answers.
 *
 * The server listens on a socket in a directory of its own, and is stopped by its own pid. It asks the kernel
 * to be killed when the thread that started it ends, so a test that crashes leaves none.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store-world.h"

gboolean
redis_server_is_there (void)
{
  g_autofree char *program = g_find_program_in_path ("redis-server");

  return program != NULL;
}

/* --- the server ---------------------------------------------------------------------------------------- */

static void
die_with_the_test (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

typedef struct
{
  RedisServer *server;
  int fd;
} Reading;

/* Reads the server's log until it ends: nobody else does, and a full pipe would stop the server. */
static gpointer
read_log (gpointer data)
{
  g_autofree Reading *reading = data;
  RedisServer *self = reading->server;
  g_autoptr(GIOChannel) log = g_io_channel_unix_new (reading->fd);
  char *line = NULL;

  g_io_channel_set_encoding (log, NULL, NULL);
  g_io_channel_set_close_on_unref (log, TRUE);
  while (g_io_channel_read_line (log, &line, NULL, NULL, NULL) == G_IO_STATUS_NORMAL)
    {
      g_mutex_lock (&self->lock);
      self->is_ready |= strstr (line, "eady to accept connections") != NULL;
      g_cond_broadcast (&self->said);
      g_mutex_unlock (&self->lock);
      g_clear_pointer (&line, g_free);
    }
  g_mutex_lock (&self->lock);
  self->has_ended = TRUE;
  g_cond_broadcast (&self->said);
  g_mutex_unlock (&self->lock);
  return NULL;
}

void
redis_server_start_again (RedisServer *self)
{
  const char *const fixed[] = {
    "redis-server", "--port", "0", "--unixsocket", self->socket, "--dir", self->folder, "--daemonize",
    "no",           "--save", ""
  };
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  Reading *reading = g_new0 (Reading, 1);

  for (guint i = 0; i < G_N_ELEMENTS (fixed); i++)
    g_ptr_array_add (argv, (gpointer) fixed[i]);
  for (guint i = 0; self->options[i] != NULL; i++)
    g_ptr_array_add (argv, self->options[i]);
  g_ptr_array_add (argv, NULL);

  self->is_ready = self->has_ended = FALSE;
  reading->server = self;
  g_spawn_async_with_pipes (NULL, (char **) argv->pdata, NULL,
                            G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_SEARCH_PATH, die_with_the_test, NULL,
                            &self->pid, NULL, &reading->fd, NULL, &error);
  g_assert_no_error (error);
  self->reader = g_thread_new ("redis-log", read_log, reading);

  g_mutex_lock (&self->lock);
  while (!self->is_ready && !self->has_ended)
    if (!g_cond_wait_until (&self->said, &self->lock, deadline_us))
      g_error ("redis-server does not start");
  if (self->has_ended)
    g_error ("redis-server ended at once");
  g_mutex_unlock (&self->lock);
}

RedisServer *
redis_server_start (const char *const *options)
{
  static const char *const none[] = { NULL };
  RedisServer *self = g_new0 (RedisServer, 1);
  g_autoptr(GError) error = NULL;

  g_mutex_init (&self->lock);
  g_cond_init (&self->said);
  self->options = g_strdupv ((char **) (options != NULL ? options : none));
  self->folder = g_dir_make_tmp ("strand-redis-XXXXXX", &error);
  g_assert_no_error (error);
  self->socket = g_build_filename (self->folder, "redis.sock", NULL);
  self->uri = g_strconcat ("unix://", self->socket, NULL);
  redis_server_start_again (self);
  return self;
}

void
redis_server_kill (RedisServer *self)
{
  if (self->pid == 0)
    return;
  kill (self->pid, SIGCONT);
  kill (self->pid, SIGKILL);
  store_world_reap (self->pid);
  g_thread_join (self->reader);
  self->pid = 0;
}

void
redis_server_free (RedisServer *self)
{
  redis_server_kill (self);
  store_world_remove_tree (self->folder);
  g_strfreev (self->options);
  g_free (self->folder);
  g_free (self->socket);
  g_free (self->uri);
  g_cond_clear (&self->said);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static void
append_answer (GString *text, redisReply *reply)
{
  switch (reply->type)
    {
    case REDIS_REPLY_INTEGER:
      g_string_append_printf (text, "%lld", reply->integer);
      break;
    case REDIS_REPLY_ARRAY:
      for (gsize i = 0; i < reply->elements; i++)
        {
          g_string_append (text, i > 0 ? " " : "");
          append_answer (text, reply->element[i]);
        }
      break;
    case REDIS_REPLY_NIL:
      g_string_append (text, "(nil)");
      break;
    default:
      g_string_append (text, reply->str);
    }
}

char *
redis_server_say (RedisServer *self, const char *format, ...)
{
  redisContext *context = redisConnectUnix (self->socket);
  GString *text = g_string_new (NULL);
  redisReply *reply;
  va_list list;

  g_assert_nonnull (context);
  g_assert_cmpstr (context->errstr, ==, "");
  va_start (list, format);
  reply = redisvCommand (context, format, list);
  va_end (list);
  g_assert_nonnull (reply);
  append_answer (text, reply);
  freeReplyObject (reply);
  redisFree (context);
  return g_string_free (text, FALSE);
}

guint
redis_server_find_port (void)
{
  g_autoptr(GSocketListener) listener = g_socket_listener_new ();
  g_autoptr(GError) error = NULL;
  guint port = g_socket_listener_add_any_inet_port (listener, NULL, &error);

  g_assert_no_error (error);
  return port;
}

/* --- the relay ----------------------------------------------------------------------------------------- */

typedef struct
{
  int client, server;
  gboolean frozen;
} Pair;

struct _RedisRelay
{
  char *folder, *path, *uri, *target;
  GThread *thread;
  int listener;
  int bell[2];

  GMutex lock; /* guards everything below */
  GArray *pairs;
  char *swallowed;
  gboolean stopped;
  guint n_connections;
};

static void
fill_address (struct sockaddr_un *address, const char *path)
{
  memset (address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  g_assert_cmpuint (g_strlcpy (address->sun_path, path, sizeof address->sun_path), <,
                    sizeof address->sun_path);
}

static int
listen_at (const char *path)
{
  int listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;

  fill_address (&address, path);
  g_assert_cmpint (bind (listener, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (listener, 16), ==, 0);
  return listener;
}

static void
accept_locked (RedisRelay *self)
{
  struct sockaddr_un address;
  Pair pair = { accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC), -1, FALSE };

  fill_address (&address, self->target);
  pair.server = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_assert_cmpint (connect (pair.server, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_array_append_val (self->pairs, pair);
  self->n_connections++;
}

/* Passes on what there is. FALSE if the connection is over. */
static gboolean
pass (int from, int to, const char *swallowed, gboolean *has_swallowed)
{
  char buffer[64 * 1024];
  gssize n = recv (from, buffer, sizeof buffer - 1, 0);

  if (n <= 0)
    return FALSE;
  buffer[n] = '\0';
  if (swallowed != NULL && memmem (buffer, n, swallowed, strlen (swallowed)) != NULL)
    {
      *has_swallowed = TRUE;
      return FALSE;
    }
  return send (to, buffer, n, MSG_NOSIGNAL) == n;
}

static void
serve_locked (RedisRelay *self, guint position, struct pollfd *fds)
{
  Pair *pair = &g_array_index (self->pairs, Pair, position);
  gboolean has_swallowed = FALSE;
  gboolean alive = TRUE;

  if (!pair->frozen && fds[0].revents != 0)
    alive = pass (pair->client, pair->server, NULL, NULL);
  if (alive && !pair->frozen && fds[1].revents != 0)
    alive = pass (pair->server, pair->client, self->swallowed, &has_swallowed);
  if (has_swallowed)
    g_clear_pointer (&self->swallowed, g_free);
  if (alive)
    return;
  close (pair->client);
  close (pair->server);
  g_array_remove_index (self->pairs, position);
}

static gpointer
relay (gpointer data)
{
  RedisRelay *self = data;
  g_autoptr(GArray) fds = g_array_new (FALSE, TRUE, sizeof (struct pollfd));

  g_mutex_lock (&self->lock);
  while (!self->stopped)
    {
      guint n_pairs = self->pairs->len;
      struct pollfd *fd;
      char byte;

      g_array_set_size (fds, 2 + 2 * n_pairs);
      fd = (struct pollfd *) (void *) fds->data;
      fd[0] = (struct pollfd){ self->listener, POLLIN, 0 };
      fd[1] = (struct pollfd){ self->bell[0], POLLIN, 0 };
      for (guint i = 0; i < n_pairs; i++)
        {
          Pair *pair = &g_array_index (self->pairs, Pair, i);

          fd[2 + 2 * i] = (struct pollfd){ pair->frozen ? -1 : pair->client, POLLIN, 0 };
          fd[3 + 2 * i] = (struct pollfd){ pair->frozen ? -1 : pair->server, POLLIN, 0 };
        }
      g_mutex_unlock (&self->lock);
      poll (fd, fds->len, -1);
      g_mutex_lock (&self->lock);
      if (fd[1].revents != 0)
        g_assert_cmpint (read (self->bell[0], &byte, 1), ==, 1);
      for (guint i = n_pairs; i > 0; i--)
        serve_locked (self, i - 1, &fd[2 * i]);
      if (fd[0].revents != 0)
        accept_locked (self);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

RedisRelay *
redis_relay_new (RedisServer *server)
{
  RedisRelay *self = g_new0 (RedisRelay, 1);

  self->folder = g_dir_make_tmp ("strand-relay-XXXXXX", NULL);
  self->path = g_build_filename (self->folder, "relay.sock", NULL);
  self->uri = g_strconcat ("unix://", self->path, NULL);
  self->target = g_strdup (server->socket);
  self->pairs = g_array_new (FALSE, FALSE, sizeof (Pair));
  g_mutex_init (&self->lock);
  g_assert_cmpint (pipe (self->bell), ==, 0);
  self->listener = listen_at (self->path);
  self->thread = g_thread_new ("redis-relay", relay, self);
  return self;
}

const char *
redis_relay_get_uri (RedisRelay *self)
{
  return self->uri;
}

static void
ring (RedisRelay *self)
{
  g_assert_cmpint (write (self->bell[1], "", 1), ==, 1);
}

void
redis_relay_free (RedisRelay *self)
{
  g_mutex_lock (&self->lock);
  self->stopped = TRUE;
  g_mutex_unlock (&self->lock);
  ring (self);
  g_thread_join (self->thread);

  for (guint i = 0; i < self->pairs->len; i++)
    {
      close (g_array_index (self->pairs, Pair, i).client);
      close (g_array_index (self->pairs, Pair, i).server);
    }
  g_array_unref (self->pairs);
  close (self->listener);
  close (self->bell[0]);
  close (self->bell[1]);
  store_world_remove_tree (self->folder);
  g_mutex_clear (&self->lock);
  g_free (self->swallowed);
  g_free (self->folder);
  g_free (self->path);
  g_free (self->uri);
  g_free (self->target);
  g_free (self);
}

void
redis_relay_swallow (RedisRelay *self, const char *text)
{
  g_mutex_lock (&self->lock);
  g_free (self->swallowed);
  self->swallowed = g_strdup (text);
  g_mutex_unlock (&self->lock);
}

void
redis_relay_freeze (RedisRelay *self)
{
  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->pairs->len; i++)
    g_array_index (self->pairs, Pair, i).frozen = TRUE;
  g_mutex_unlock (&self->lock);
  ring (self);
}

guint
redis_relay_count (RedisRelay *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_connections;
  g_mutex_unlock (&self->lock);
  return n;
}

/* --- the impostor -------------------------------------------------------------------------------------- */

struct _RedisImpostor
{
  char *folder, *uri, *greeting;
  int listener;
  GThread *thread;
};

static gpointer
receive_guests (gpointer data)
{
  RedisImpostor *self = data;
  g_autoptr(GArray) guests = g_array_new (FALSE, FALSE, sizeof (int));
  int guest;

  while ((guest = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
    {
      if (self->greeting == NULL)
        close (guest);
      else
        {
          g_assert_cmpint (send (guest, self->greeting, strlen (self->greeting), MSG_NOSIGNAL), >=, 0);
          g_array_append_val (guests, guest);
        }
    }
  for (guint i = 0; i < guests->len; i++)
    close (g_array_index (guests, int, i));
  return NULL;
}

RedisImpostor *
redis_impostor_new (const char *greeting)
{
  RedisImpostor *self = g_new0 (RedisImpostor, 1);
  g_autofree char *path = NULL;

  self->greeting = g_strdup (greeting);
  self->folder = g_dir_make_tmp ("strand-impostor-XXXXXX", NULL);
  path = g_build_filename (self->folder, "redis.sock", NULL);
  self->uri = g_strconcat ("unix://", path, NULL);
  self->listener = listen_at (path);
  self->thread = g_thread_new ("redis-impostor", receive_guests, self);
  return self;
}

const char *
redis_impostor_get_uri (RedisImpostor *self)
{
  return self->uri;
}

void
redis_impostor_free (RedisImpostor *self)
{
  shutdown (self->listener, SHUT_RDWR);
  g_thread_join (self->thread);
  close (self->listener);
  store_world_remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->uri);
  g_free (self->greeting);
  g_free (self);
}
