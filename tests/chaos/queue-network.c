/* queue-network.c — two hosts and the line between them, in network namespaces of their own.
 *
 * The line is a pair of virtual Ethernet devices, one on each host. It is cut by taking down this host's:
 * frames of the other are dropped then, no connection is closed, and each side finds out by its own timeouts.
 * All of it goes with the last process that is in it. SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "queue-network.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEVICE "host1"

struct _Network
{
  int other; /* the namespace of the other host */
};

/* Runs commands of ip(8) in this process's namespace, up to a NULL. */
static gboolean
run_ip (const char *const *commands)
{
  for (; *commands != NULL; commands++)
    {
      g_auto(GStrv) argv = g_strsplit (*commands, " ", -1);
      int status;

      if (!g_spawn_sync (NULL, argv, NULL,
                         G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                         NULL, NULL, NULL, &status, NULL) ||
          !g_spawn_check_wait_status (status, NULL))
        return FALSE;
    }
  return TRUE;
}

static int
open_namespace (void)
{
  return open ("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* In the other host's namespace, which is entered for that; the process is back on this host afterwards. */
static gboolean
make_line (int this)
{
  g_autofree char *line = g_strdup_printf (
      "ip link add host2 type veth peer name " DEVICE " netns /proc/%d/fd/%d", (int) getpid (), this);
  const char *const there[] = { line, "ip addr add 10.0.0.2/24 dev host2", "ip link set host2 up",
                                "ip link set lo up", NULL };
  const char *const here[] = { "ip addr add " NETWORK_ADDRESS "/24 dev " DEVICE, "ip link set " DEVICE " up",
                               "ip link set lo up", NULL };
  gboolean made = run_ip (there);

  if (setns (this, CLONE_NEWNET) != 0)
    g_error ("No way back to the first host: %s", g_strerror (errno));
  return made && run_ip (here);
}

Network *
network_new (void)
{
  Network *self;
  int this = -1, other = -1;
  gboolean made = FALSE;

  if (unshare (CLONE_NEWNET) == 0)
    this = open_namespace ();
  if (this >= 0 && unshare (CLONE_NEWNET) == 0)
    {
      other = open_namespace ();
      made = make_line (this);
    }
  if (this >= 0)
    close (this);
  if (!made)
    {
      if (other >= 0)
        close (other);
      return NULL;
    }
  self = g_new0 (Network, 1);
  self->other = other;
  return self;
}

void
network_free (Network *self)
{
  close (self->other);
  g_free (self);
}

gboolean
network_cross (Network *self)
{
  return setns (self->other, CLONE_NEWNET) == 0;
}

void
network_cut (Network *self, gboolean cut)
{
  int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request;
  gboolean done;

  memset (&request, 0, sizeof request);
  g_strlcpy (request.ifr_name, DEVICE, sizeof request.ifr_name);
  done = fd >= 0 && ioctl (fd, SIOCGIFFLAGS, &request) == 0;
  if (cut)
    request.ifr_flags &= ~IFF_UP;
  else
    request.ifr_flags |= IFF_UP;
  if (!done || ioctl (fd, SIOCSIFFLAGS, &request) != 0)
    g_error ("The line between the hosts stays as it is: %s", g_strerror (errno));
  close (fd);
}
