/* gearman-world.c — a Gearman server and workers for tests.   SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/waiting.h"
#include "gearman-world.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Where Debian has it, which is on no user's path. */
#define USUAL_PLACE "/usr/sbin/gearmand"

char *
gearman_world_find_server (void)
{
  char *path = g_find_program_in_path ("gearmand");

  if (path == NULL && access (USUAL_PLACE, X_OK) == 0)
    path = g_strdup (USUAL_PLACE);
  return path;
}

/* What is started here ends with the test, however that ends. */
static void
end_with_parent (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static GSubprocess *
start (const char *const *words)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autoptr(GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_child_setup (launcher, end_with_parent, NULL, NULL);
  process = g_subprocess_launcher_spawnv (launcher, words, &error);
  g_assert_no_error (error);
  return process;
}

/* Whoever asks next gets another one. */
static guint16
find_port (void)
{
  g_autoptr(GSocket) socket = NULL;
  g_autoptr(GInetAddress) loopback = g_inet_address_new_loopback (G_SOCKET_FAMILY_IPV4);
  g_autoptr(GSocketAddress) any = g_inet_socket_address_new (loopback, 0);
  g_autoptr(GSocketAddress) bound = NULL;
  g_autoptr(GError) error = NULL;

  socket = g_socket_new (G_SOCKET_FAMILY_IPV4, G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, &error);
  g_assert_no_error (error);
  g_socket_bind (socket, any, TRUE, &error);
  g_assert_no_error (error);
  bound = g_socket_get_local_address (socket, &error);
  g_assert_no_error (error);
  return g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (bound));
}

static GSocketConnection *
connect_to (guint16 port)
{
  g_autoptr(GSocketClient) client = g_socket_client_new ();

  g_socket_client_set_enable_proxy (client, FALSE);
  return g_socket_client_connect_to_host (client, "127.0.0.1", port, NULL, NULL);
}

void
gearman_world_start_server (GearmanWorld *self)
{
  g_autofree char *program = gearman_world_find_server ();
  g_autofree char *port = g_strdup_printf ("--port=%u", self->port);
  /* A job whose worker dies fails: whether it is to be tried again is strand's to say. */
  const char *words[] = {
    program, "--listen=127.0.0.1", port, "--job-retries=1", "--log-file=/dev/null", NULL, NULL
  };
  g_autoptr(GSocketConnection) connection = NULL;

  if (getuid () == 0)
    words[5] = "--user=root"; /* it refuses to be root unless told */
  self->server = start (words);
  wait_still ((connection = connect_to (self->port)) != NULL);
}

void
gearman_world_start_worker (GearmanWorld *self)
{
  g_autofree char *servers = g_strdup_printf ("127.0.0.1:%u", self->port);
  const char *words[] = { g_getenv ("STRAND_GEARMAN_WORKER"), servers, "demo", "conformance-functions",
                          NULL };

  g_ptr_array_add (self->workers, start (words));
}

void
gearman_world_kill (GSubprocess *process)
{
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
}

static void
end_worker (gpointer process)
{
  gearman_world_kill (process);
  g_object_unref (process);
}

GearmanWorld *
gearman_world_new (void)
{
  GearmanWorld *self = g_new0 (GearmanWorld, 1);

  self->port = find_port ();
  self->workers = g_ptr_array_new_with_free_func (end_worker);
  return self;
}

void
gearman_world_free (GearmanWorld *self)
{
  g_ptr_array_unref (self->workers);
  if (self->server != NULL)
    gearman_world_kill (self->server);
  g_clear_object (&self->server);
  g_free (self);
}

/* The server's protocol for people: a command's answer is lines, then a dot. */
static GPtrArray *
ask (GearmanWorld *self, const char *command)
{
  GPtrArray *answer = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  g_autoptr(GSocketConnection) connection = connect_to (self->port);
  g_autofree char *request = g_strconcat (command, "\n", NULL);
  g_autoptr(GDataInputStream) lines = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_nonnull (connection);
  g_output_stream_write_all (g_io_stream_get_output_stream (G_IO_STREAM (connection)), request,
                             strlen (request), NULL, NULL, &error);
  g_assert_no_error (error);
  lines = g_data_input_stream_new (g_io_stream_get_input_stream (G_IO_STREAM (connection)));
  while (TRUE)
    {
      g_autofree char *line = g_data_input_stream_read_line (lines, NULL, NULL, &error);

      g_assert_no_error (error);
      if (line == NULL || strcmp (line, ".") == 0)
        return answer;
      g_ptr_array_add (answer, g_strsplit (line, "\t", 4));
    }
}

/* Jobs of a function, and those of them that run. */
gboolean
gearman_world_has (GearmanWorld *self, const char *function, guint n_jobs, guint n_running)
{
  g_autoptr(GPtrArray) answer = ask (self, "status");

  for (guint i = 0; i < answer->len; i++)
    {
      char **words = answer->pdata[i];

      if (g_strv_length (words) == 4 && strcmp (words[0], function) == 0)
        return (guint) atoi (words[1]) == n_jobs && (guint) atoi (words[2]) == n_running;
    }
  return n_jobs == 0;
}

/* Whether it has a job that it will give to no worker, because nobody waits for it. */
gboolean
gearman_world_has_forgotten (GearmanWorld *self)
{
  g_autoptr(GPtrArray) answer = ask (self, "show jobs");

  for (guint i = 0; i < answer->len; i++)
    if (g_strv_length (answer->pdata[i]) == 4 && strcmp (((char **) answer->pdata[i])[2], "1") == 0)
      return TRUE;
  return FALSE;
}
