/* conformance-peer.c — the second process of a case.
 *
 * It is this program, started again for the same case with a role in its environment. A socket joins the two,
 * apart from standard output, which belongs to the tests' report. Whoever waits for a line waits no longer
 * than the case may. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "conformance-private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct _StrandConformancePeer
{
  StrandConformance *owner;
  GPid pid; /* 0 once it has been reaped */
  int fd;
  GString *unread;
};

static void
send_line (int fd, const char *line)
{
  g_autofree char *text = g_strconcat (line, "\n", NULL);
  gsize length = strlen (text);

  for (gsize done = 0; done < length;)
    {
      gssize n = send (fd, text + done, length - done, MSG_NOSIGNAL);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
        return; /* who is not there any more is missed by whoever waits for the answer */
      g_assert_cmpint (n, >, 0);
      done += (gsize) n;
    }
}

static char *
take_line (GString *unread)
{
  const char *end = memchr (unread->str, '\n', unread->len);
  char *line;

  if (end == NULL)
    return NULL;
  line = g_strndup (unread->str, (gsize) (end - unread->str));
  g_string_erase (unread, 0, end - unread->str + 1);
  return line;
}

/* NULL if the other side has gone. */
static char *
receive_line (StrandConformance *owner, int fd, GString *unread)
{
  char *line;

  while ((line = take_line (unread)) == NULL)
    {
      gint64 left_us = owner->deadline_us - g_get_monotonic_time ();
      struct pollfd poll_fd = { fd, POLLIN, 0 };
      char buffer[4096];
      gssize n;

      if (left_us <= 0)
        g_error ("waited in vain for a line from the other process");
      if (poll (&poll_fd, 1, (int) (left_us / 1000 + 1)) <= 0)
        continue;
      n = recv (fd, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return NULL;
      g_string_append_len (unread, buffer, n);
    }
  return line;
}

static GStrv
restart_words (StrandConformance *self)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *path = g_strconcat (self->subject->path, "/", self->test_case->clause, NULL);
  const char *const plain[] = { program, "-p", "%s", NULL };
  const char *const *words = conformance_restart != NULL ? conformance_restart : plain;
  GPtrArray *made = g_ptr_array_new ();

  for (; *words != NULL; words++)
    g_ptr_array_add (made, g_strdup (strcmp (*words, "%s") == 0 ? path : *words));
  g_ptr_array_add (made, NULL);
  return (GStrv) g_ptr_array_free (made, FALSE);
}

static GStrv
role_environment (StrandConformance *self, const char *role, const char *argument)
{
  GStrv environment = g_get_environ ();

  environment = g_environ_setenv (environment, ENV_ROLE, role, TRUE);
  environment = g_environ_setenv (environment, ENV_FOLDER, self->directory, TRUE);
  return g_environ_setenv (environment, ENV_ARGUMENT, argument != NULL ? argument : "", TRUE);
}

/**
 * strand_conformance_start_peer:
 * @self: a case
 * @role: the name of a role of its suite
 * @argument: (nullable): what strand_conformance_get_argument() is to say there
 *
 * Starts a second process that plays a role in this case's folder, with this case's way to make objects. It
 * is killed when the case ends.
 *
 * Returns: (transfer none): the other process, valid until the case ends
 * Since: 1.0
 */
StrandConformancePeer *
strand_conformance_start_peer (StrandConformance *self, const char *role, const char *argument)
{
  StrandConformancePeer *peer;
  g_auto(GStrv) words = NULL;
  g_auto(GStrv) environment = NULL;
  g_autoptr(GError) error = NULL;
  const int target = PEER_FD;
  int ends[2];

  g_return_val_if_fail (self != NULL && role != NULL, NULL);

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  peer = g_new0 (StrandConformancePeer, 1);
  peer->owner = self;
  peer->fd = ends[0];
  peer->unread = g_string_new (NULL);
  words = restart_words (self);
  environment = role_environment (self, role, argument);
  g_spawn_async_with_pipes_and_fds (NULL, (const char *const *) words, (const char *const *) environment,
                                    G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL, -1,
                                    -1, -1, &ends[1], &target, 1, &peer->pid, NULL, NULL, NULL, &error);
  close (ends[1]);
  g_assert_no_error (error);

  if (self->peers == NULL)
    self->peers = g_ptr_array_new ();
  g_ptr_array_add (self->peers, peer);
  return peer;
}

/**
 * strand_conformance_peer_get_pid:
 * @self: a second process
 *
 * Says which process it is, for cases that kill it.
 *
 * Returns: its process id; 0 once it has been waited for
 * Since: 1.0
 */
GPid
strand_conformance_peer_get_pid (StrandConformancePeer *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->pid;
}

/**
 * strand_conformance_peer_send:
 * @self: a second process
 * @line: a line of text, without its end
 *
 * Sends a line, which the role reads with strand_conformance_receive().
 *
 * Since: 1.0
 */
void
strand_conformance_peer_send (StrandConformancePeer *self, const char *line)
{
  g_return_if_fail (self != NULL && line != NULL);

  send_line (self->fd, line);
}

/**
 * strand_conformance_peer_receive:
 * @self: a second process
 *
 * Waits for a line that it sends. At the case's deadline the case fails.
 *
 * Returns: (transfer full) (nullable): the line; %NULL once the process has ended
 * Since: 1.0
 */
char *
strand_conformance_peer_receive (StrandConformancePeer *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return receive_line (self->owner, self->fd, self->unread);
}

static int
reap (StrandConformancePeer *self)
{
  int status = 0;

  while (waitpid (self->pid, &status, 0) < 0 && errno == EINTR)
    ;
  self->pid = 0;
  return status;
}

/**
 * strand_conformance_peer_wait:
 * @self: a second process
 *
 * Waits until it has ended. What it still sends is lost. At the case's deadline the case fails.
 *
 * Returns: its status, as waitpid() gives it
 * Since: 1.0
 */
int
strand_conformance_peer_wait (StrandConformancePeer *self)
{
  char *line;

  g_return_val_if_fail (self != NULL && self->pid != 0, -1);

  while ((line = receive_line (self->owner, self->fd, self->unread)) != NULL)
    g_free (line);
  return reap (self);
}

/**
 * strand_conformance_peer_kill:
 * @self: a second process
 *
 * Ends it at once (SIGKILL), and waits for that.
 *
 * Since: 1.0
 */
void
strand_conformance_peer_kill (StrandConformancePeer *self)
{
  g_return_if_fail (self != NULL);

  if (self->pid == 0)
    return;
  kill (self->pid, SIGKILL);
  reap (self);
}

void
conformance_end_peers (StrandConformance *self)
{
  for (guint i = 0; self->peers != NULL && i < self->peers->len; i++)
    {
      StrandConformancePeer *peer = self->peers->pdata[i];

      strand_conformance_peer_kill (peer);
      close (peer->fd);
      g_string_free (peer->unread, TRUE);
      g_free (peer);
    }
  g_clear_pointer (&self->peers, g_ptr_array_unref);
}

/* In the second process. */

void
conformance_play (StrandConformance *self)
{
  const char *name = g_getenv (ENV_ROLE);
  const StrandConformanceRole *role = self->subject->suite->roles;

  /* Whoever started us may be killed. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  self->directory = g_strdup (g_getenv (ENV_FOLDER));
  self->argument = g_getenv (ENV_ARGUMENT);
  self->unread = g_string_new (NULL);
  while (role != NULL && role->name != NULL && strcmp (role->name, name) != 0)
    role++;
  if (role == NULL || role->name == NULL)
    g_error ("This suite has no role '%s'", name);
  role->func (self);
  g_string_free (self->unread, TRUE);
  g_free (self->directory);
}

/**
 * strand_conformance_get_argument:
 * @self: a role
 *
 * Says what this role is to play with.
 *
 * Returns: what strand_conformance_start_peer() was given; "" for nothing
 * Since: 1.0
 */
const char *
strand_conformance_get_argument (StrandConformance *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->argument;
}

/**
 * strand_conformance_send:
 * @self: a role
 * @line: a line of text, without its end
 *
 * Says something to the case that has started this process.
 *
 * Since: 1.0
 */
void
strand_conformance_send (StrandConformance *self, const char *line)
{
  g_return_if_fail (self != NULL && line != NULL);

  send_line (PEER_FD, line);
}

/**
 * strand_conformance_receive:
 * @self: a role
 *
 * Waits for a line of the case that has started this process.
 *
 * Returns: (transfer full) (nullable): the line; %NULL once the case has ended
 * Since: 1.0
 */
char *
strand_conformance_receive (StrandConformance *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return receive_line (self, PEER_FD, self->unread);
}
