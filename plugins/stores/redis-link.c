/* redis-link.c — a socket to a server, with or without TLS, on which nothing waits longer than its deadline.
 *
 * hiredis 0.14 knows no TLS, and its timeouts are for each system call; so this store takes hiredis for the
 * protocol and GIO for the connection: names, addresses, and TLS by whatever glib-networking brings. Sockets
 * are not blocking. Without TLS each wait is one poll(); connecting and TLS wait in a main context of the
 * link's own, which nobody else ever iterates.
 *
 * A peer that vanished without a word is found by TCP keepalive after half a minute where nothing is sent,
 * and by the deadline where something is.          SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-link.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

/* A silent connection is probed after 15 s, and given up after three probes without an answer. */
#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_INTERVAL_S 5
#define KEEPALIVE_COUNT 3

struct _RedisLink
{
  GSocketConnection *connection;
  int fd;                /* the connection's */
  GMainContext *context; /* never anybody's default but while this link's operations run */
  GIOStream *tls;        /* or NULL */
  gboolean shows_certificate;
};

/* --- waiting in a context ------------------------------------------------------------------------------ */

typedef struct
{
  GAsyncResult *result;
  gboolean late, ready, woken;
} Waiter;

static void
take_result (GObject *source, GAsyncResult *result, gpointer waiter)
{
  ((Waiter *) waiter)->result = g_object_ref (result);
}

static gboolean
set_true (gpointer flag)
{
  *(gboolean *) flag = TRUE;
  return G_SOURCE_REMOVE;
}

static gboolean
set_true_for_stream (GObject *stream, gpointer flag)
{
  return set_true (flag);
}

static gboolean
set_true_for_fd (int fd, GIOCondition condition, gpointer flag)
{
  return set_true (flag);
}

/* Attaches a source and lets go of it; NULL is none. */
static GSource *
attach (RedisLink *self, GSource *source, GSourceFunc func, gboolean *flag)
{
  g_source_set_callback (source, func, flag, NULL);
  g_source_attach (source, self->context);
  return source;
}

static void
detach (GSource *source)
{
  if (source == NULL)
    return;
  g_source_destroy (source);
  g_source_unref (source);
}

static GSource *
attach_deadline (RedisLink *self, gint64 deadline_us, gboolean *late)
{
  GSource *source;

  if (deadline_us == G_MAXINT64)
    return NULL;
  source = g_timeout_source_new (0);
  attach (self, source, set_true, late);
  g_source_set_ready_time (source, deadline_us);
  return source;
}

/* Iterates until the operation that was begun has its result; cancels it at the deadline. */
static GAsyncResult *
await_result (RedisLink *self, Waiter *waiter, GCancellable *cancellable, gint64 deadline_us)
{
  GSource *timer = attach_deadline (self, deadline_us, &waiter->late);

  while (waiter->result == NULL)
    {
      g_main_context_iteration (self->context, TRUE);
      if (waiter->late)
        g_cancellable_cancel (cancellable);
    }
  detach (timer);
  return waiter->result;
}

/* A cancelled operation is one that took too long: nobody else cancels. */
static void
name_lateness (GError **error)
{
  if (error == NULL || !g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  g_clear_error (error);
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer came within 'command-timeout'");
}

/* --- connecting ---------------------------------------------------------------------------------------- */

static GSocketConnectable *
make_address (RedisSettings *settings, const char *host, guint16 port)
{
  if (host != NULL)
    return g_network_address_new (host, port);
  if (settings->path != NULL)
    return G_SOCKET_CONNECTABLE (g_unix_socket_address_new (settings->path));
  return g_network_address_new (settings->host, settings->port);
}

static gboolean
connect_socket (RedisLink *self, GSocketConnectable *address, gint64 deadline_us, GError **error)
{
  g_autoptr(GSocketClient) client = g_socket_client_new ();
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  Waiter waiter = { 0 };

  g_socket_client_set_enable_proxy (client, FALSE);
  g_socket_client_connect_async (client, address, cancellable, take_result, &waiter);
  result = await_result (self, &waiter, cancellable, deadline_us);
  self->connection = g_socket_client_connect_finish (client, result, error);
  if (self->connection != NULL)
    return TRUE;

  name_lateness (error);
  return FALSE;
}

static void
tune_socket (RedisLink *self, gboolean is_network)
{
  GSocket *socket = g_socket_connection_get_socket (self->connection);

  self->fd = g_socket_get_fd (socket);
  g_socket_set_blocking (socket, FALSE);
  if (!is_network)
    return;

  /* A kernel without one of these finds a dead peer later. */
  g_socket_set_keepalive (socket, TRUE);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT, NULL);
}

static gboolean
load_trust (GTlsConnection *tls, RedisSettings *settings, GError **error)
{
  g_autoptr(GTlsDatabase) authorities = NULL;
  g_autoptr(GTlsCertificate) certificate = NULL;

  if (settings->ca_file != NULL)
    {
      authorities = g_tls_file_database_new (settings->ca_file, error);
      if (authorities == NULL)
        {
          g_prefix_error (error, "'tls-ca-file' '%s' cannot be used: ", settings->ca_file);
          return FALSE;
        }
      g_tls_connection_set_database (tls, authorities);
    }
  if (settings->certificate_file != NULL)
    {
      certificate = g_tls_certificate_new_from_file (settings->certificate_file, error);
      if (certificate == NULL)
        {
          g_prefix_error (error, "'tls-certificate-file' '%s' cannot be used: ", settings->certificate_file);
          return FALSE;
        }
      g_tls_connection_set_certificate (tls, certificate);
    }
  return TRUE;
}

/* What is wrong with a certificate that was not accepted. */
static const char *
explain_certificate (GTlsCertificateFlags flags)
{
  if (flags & G_TLS_CERTIFICATE_UNKNOWN_CA)
    return "nobody who is trusted has signed its certificate; 'tls-ca-file' names who is trusted";
  if (flags & G_TLS_CERTIFICATE_BAD_IDENTITY)
    return "its certificate is for another host than the one in 'uri'";
  if (flags & (G_TLS_CERTIFICATE_EXPIRED | G_TLS_CERTIFICATE_NOT_ACTIVATED))
    return "its certificate is not valid today; renew it, or set the clock";
  return "its certificate is not acceptable";
}

/* Says what to do about it: GIO only says what it saw. */
static void
explain_handshake (GTlsConnection *tls, GError **error)
{
  const char *cure = NULL;

  name_lateness (error);
  if (error == NULL)
    return;
  if (g_error_matches (*error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE))
    cure = explain_certificate (g_tls_connection_get_peer_certificate_errors (tls));
  else if (g_error_matches (*error, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED))
    cure = "it wants to see a certificate; set 'tls-certificate-file'";
  else
    cure = "a server without TLS is named by redis://";
  g_prefix_error (error, "no TLS, %s: ", cure);
}

static gboolean
shake_hands (RedisLink *self, RedisSettings *settings, GSocketConnectable *address, gint64 deadline_us,
             GError **error)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  Waiter waiter = { 0 };

  if (!g_tls_backend_supports_tls (g_tls_backend_get_default ()))
    {
      g_set_error (error, G_TLS_ERROR, G_TLS_ERROR_UNAVAILABLE,
                   "no TLS: GIO has none on this machine; install glib-networking");
      return FALSE;
    }
  self->shows_certificate = settings->certificate_file != NULL;
  self->tls = g_tls_client_connection_new (G_IO_STREAM (self->connection), address, error);
  if (self->tls == NULL || !load_trust (G_TLS_CONNECTION (self->tls), settings, error))
    return FALSE;

  g_tls_connection_handshake_async (G_TLS_CONNECTION (self->tls), G_PRIORITY_DEFAULT, cancellable,
                                    take_result, &waiter);
  result = await_result (self, &waiter, cancellable, deadline_us);
  if (g_tls_connection_handshake_finish (G_TLS_CONNECTION (self->tls), result, error))
    return TRUE;

  explain_handshake (G_TLS_CONNECTION (self->tls), error);
  return FALSE;
}

RedisLink *
redis_link_open (RedisSettings *settings, const char *host, guint16 port, gint64 deadline_us, GError **error)
{
  g_autoptr(RedisLink) self = g_new0 (RedisLink, 1);
  g_autoptr(GSocketConnectable) address = make_address (settings, host, port);
  gboolean done;

  self->fd = -1;
  self->context = g_main_context_new ();
  g_main_context_push_thread_default (self->context);
  done = connect_socket (self, address, deadline_us, error);
  if (done)
    tune_socket (self, host != NULL || settings->path == NULL);
  if (done && settings->tls)
    done = shake_hands (self, settings, address, deadline_us, error);
  g_main_context_pop_thread_default (self->context);

  return done ? g_steal_pointer (&self) : NULL;
}

/* TLS would say good-bye, and might wait for that; the server does without. */
void
redis_link_close (RedisLink *self)
{
  if (self->connection != NULL)
    g_socket_close (g_socket_connection_get_socket (self->connection), NULL);
  g_clear_object (&self->tls);
  g_clear_object (&self->connection);
  g_main_context_unref (self->context);
  g_free (self);
}

/* --- bytes --------------------------------------------------------------------------------------------- */

/* Milliseconds for poll(), never too few. */
static int
milliseconds_until (gint64 deadline_us)
{
  gint64 left_us;

  if (deadline_us == G_MAXINT64)
    return -1;
  left_us = deadline_us - g_get_monotonic_time ();
  return CLAMP ((left_us + 999) / 1000, 0, G_MAXINT);
}

static RedisLinkEvent
poll_socket (RedisLink *self, short events, int wake_fd, gint64 deadline_us)
{
  struct pollfd fds[2] = { { self->fd, events, 0 }, { wake_fd, POLLIN, 0 } };
  int n;

  do
    n = poll (fds, wake_fd >= 0 ? 2 : 1, milliseconds_until (deadline_us));
  while (n < 0 && errno == EINTR);
  if (n == 0)
    return REDIS_LINK_LATE;
  return fds[1].revents != 0 ? REDIS_LINK_WOKEN : REDIS_LINK_READY;
}

static GSource *
attach_stream (RedisLink *self, short events, gboolean *ready)
{
  GSource *source;

  if (events == POLLIN)
    source = g_pollable_input_stream_create_source (
        G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->tls)), NULL);
  else
    source = g_pollable_output_stream_create_source (
        G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->tls)), NULL);
  return attach (self, source, G_SOURCE_FUNC (set_true_for_stream), ready);
}

/* What TLS waits for may be the other direction of the socket, or nothing any more: it alone knows. */
static RedisLinkEvent
wait_for_tls (RedisLink *self, short events, int wake_fd, gint64 deadline_us)
{
  Waiter waiter = { 0 };
  GSource *stream = attach_stream (self, events, &waiter.ready);
  GSource *timer = attach_deadline (self, deadline_us, &waiter.late);
  GSource *bell = NULL;

  if (wake_fd >= 0)
    bell = attach (self, g_unix_fd_source_new (wake_fd, G_IO_IN), G_SOURCE_FUNC (set_true_for_fd),
                   &waiter.woken);
  while (!waiter.ready && !waiter.late && !waiter.woken)
    g_main_context_iteration (self->context, TRUE);
  detach (stream);
  detach (timer);
  detach (bell);

  if (waiter.woken)
    return REDIS_LINK_WOKEN;
  return waiter.ready ? REDIS_LINK_READY : REDIS_LINK_LATE;
}

static RedisLinkEvent
wait_for (RedisLink *self, short events, int wake_fd, gint64 deadline_us)
{
  if (self->tls == NULL)
    return poll_socket (self, events, wake_fd, deadline_us);
  return wait_for_tls (self, events, wake_fd, deadline_us);
}

RedisLinkEvent
redis_link_wait (RedisLink *self, int wake_fd, gint64 deadline_us)
{
  return wait_for (self, POLLIN, wake_fd, deadline_us);
}

/* The number of bytes, 0 at the end, -1 with @error; or -1 without where it would have to wait. */
static gssize
send_some (RedisLink *self, const char *data, gsize length, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gssize n;

  if (self->tls == NULL)
    {
      n = send (self->fd, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
      return n;
    }
  n = g_pollable_output_stream_write_nonblocking (
      G_POLLABLE_OUTPUT_STREAM (g_io_stream_get_output_stream (self->tls)), data, length, NULL, &local_error);
  if (n < 0 && !g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return n;
}

static gssize
receive_some (RedisLink *self, char *buffer, gsize size, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gssize n;

  if (self->tls == NULL)
    {
      n = recv (self->fd, buffer, size, MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "%s", g_strerror (errno));
      return n;
    }
  n = g_pollable_input_stream_read_nonblocking (
      G_POLLABLE_INPUT_STREAM (g_io_stream_get_input_stream (self->tls)), buffer, size, NULL, &local_error);
  if (n < 0 && !g_error_matches (local_error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return n;
}

/* From version 1.3 of TLS on, who shows no certificate hears only after the handshake that he should have. */
static void
explain_loss (RedisLink *self, GError **error)
{
  if ((*error)->domain == G_TLS_ERROR && !self->shows_certificate)
    g_prefix_error (error, "TLS has ended; if it wants to see a certificate, set 'tls-certificate-file': ");
}

static gboolean
await (RedisLink *self, short events, gint64 deadline_us, GError **error)
{
  if (wait_for (self, events, -1, deadline_us) != REDIS_LINK_LATE)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer came within 'command-timeout'");
  return FALSE;
}

gboolean
redis_link_send (RedisLink *self, const char *data, gsize length, gint64 deadline_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  while (length > 0)
    {
      gssize n = send_some (self, data, length, &local_error);

      if (local_error == NULL && n < 0)
        await (self, POLLOUT, deadline_us, &local_error);
      if (local_error != NULL)
        {
          explain_loss (self, &local_error);
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
      data += MAX (n, 0);
      length -= MAX (n, 0);
    }
  return TRUE;
}

gssize
redis_link_receive (RedisLink *self, char *buffer, gsize size, gint64 deadline_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gssize n;

  /* An answer is hardly ever there already: ask poll() first, and recv() once. TLS may hold some bytes. */
  do
    {
      n = self->tls != NULL ? receive_some (self, buffer, size, &local_error) : -1;
      if (n < 0 && local_error == NULL && await (self, POLLIN, deadline_us, &local_error))
        n = receive_some (self, buffer, size, &local_error);
    }
  while (n < 0 && local_error == NULL);

  if (n > 0)
    return n;
  if (n == 0)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_CLOSED, "it hung up");
  else
    {
      explain_loss (self, &local_error);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return -1;
}

gboolean
redis_link_is_quiet (RedisLink *self)
{
  return poll_socket (self, POLLIN, -1, 0) == REDIS_LINK_LATE;
}
