/* notify.c — tells a service manager how the program is, by the protocol of sd_notify(3): one datagram of
 * NAME=VALUE lines to the socket that NOTIFY_SOCKET names. A few lines serve, so no library is needed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Where nobody asked to be told, or does not listen any more, nothing is said. */
void
notify_say (const char *format, ...)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *text = NULL;
  gsize length;
  va_list args;
  int fd;

  if (path == NULL || (*path != '/' && *path != '@') || strlen (path) >= sizeof address.sun_path)
    return;
  length = strlen (path);
  memcpy (address.sun_path, path, length);
  if (*path == '@')
    address.sun_path[0] = '\0'; /* an abstract name, which ends with its length */

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  if (sendto (fd, text, strlen (text), MSG_NOSIGNAL, (struct sockaddr *) &address,
              (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length)) < 0)
    g_debug ("The service manager does not listen");
  close (fd);
}

gint64
notify_get_watchdog (void)
{
  const char *text = g_getenv ("WATCHDOG_USEC");
  const char *pid = g_getenv ("WATCHDOG_PID");
  gint64 interval_us = 0;
  gint64 for_pid;

  if (text == NULL || !g_ascii_string_to_signed (text, 10, 1, G_MAXINT64, &interval_us, NULL))
    return 0;
  if (pid != NULL &&
      (!g_ascii_string_to_signed (pid, 10, 1, G_MAXINT, &for_pid, NULL) || for_pid != getpid ()))
    return 0;
  return interval_us;
}
