/* strand-lease.c — names processes so that others can tell whether they still run.
 *
 * An owner is `KIND:BOOT:NAMESPACE:PID:START:RANDOM`: the boot id, the inode of the pid namespace, the
 * process, the tick at which it started, and a part that tells two objects of one process apart. A process id
 * alone would be reused, and means nothing on another host or in another container; with boot, namespace and
 * start it names one process for ever. The text has only letters, digits, colons and dashes, so it may stand
 * in a file name.
 *
 * "Dead" is said only when it is certain. A process that cannot be seen (hidepid, no /proc) is unknown.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-lease-private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define PID_NAMESPACE_FILE "/proc/self/ns/pid"

typedef struct
{
  char boot[33];     /* 32 hexadecimal digits; "" where unknown */
  guint64 namespace; /* 0 where unknown, as for all below */
  gint64 pid;
  guint64 start;
} Process;

G_DEFINE_ENUM_TYPE (StrandOwnerState, strand_owner_state,
                    G_DEFINE_ENUM_VALUE (STRAND_OWNER_STATE_ALIVE, "alive"),
                    G_DEFINE_ENUM_VALUE (STRAND_OWNER_STATE_DEAD, "dead"),
                    G_DEFINE_ENUM_VALUE (STRAND_OWNER_STATE_UNKNOWN, "unknown"))

static void
read_boot_id (char boot[33])
{
  g_autofree char *text = NULL;
  guint n = 0;

  if (g_file_get_contents (BOOT_ID_FILE, &text, NULL, NULL))
    for (const char *c = text; *c != '\0' && n < 32; c++)
      if (g_ascii_isxdigit (*c))
        boot[n++] = *c;
  boot[n == 32 ? n : 0] = '\0';
}

/* State and start time of a process, from the line whose second field may hold anything, brackets too. */
static gboolean
read_stat (gint64 pid, char *state, guint64 *start)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/stat", pid);
  g_autofree char *text = NULL;
  g_auto(GStrv) fields = NULL;
  const char *after;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (after = strrchr (text, ')')) == NULL)
    return FALSE;

  /* Counted from 1, the state is field 3 and the start time field 22. */
  fields = g_strsplit (after + 2, " ", 22);
  if (g_strv_length (fields) < 20)
    return FALSE;
  *state = fields[0][0];
  return g_ascii_string_to_unsigned (fields[19], 10, 1, G_MAXUINT64, start, NULL);
}

/* A process whose first thread has ended is shown as a zombie while its other threads run. */
static gboolean
has_other_threads (gint64 pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%" G_GINT64_FORMAT "/task", pid);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n > 1;
}

static void
describe_self (Process *self)
{
  struct stat info;
  char state;

  memset (self, 0, sizeof *self);
  read_boot_id (self->boot);
  if (stat (PID_NAMESPACE_FILE, &info) == 0)
    self->namespace = info.st_ino;
  self->pid = getpid ();
  if (!read_stat (self->pid, &state, &self->start))
    self->start = 0;
}

static gboolean
parse (const char *owner, Process *process)
{
  g_auto(GStrv) parts = g_strsplit (owner, ":", 7);
  guint64 pid;

  memset (process, 0, sizeof *process);
  if (g_strv_length (parts) != 6 || strlen (parts[1]) > 32 ||
      !g_ascii_string_to_unsigned (parts[2], 10, 0, G_MAXUINT64, &process->namespace, NULL) ||
      !g_ascii_string_to_unsigned (parts[3], 10, 1, G_MAXINT, &pid, NULL) ||
      !g_ascii_string_to_unsigned (parts[4], 10, 0, G_MAXUINT64, &process->start, NULL))
    return FALSE;

  g_strlcpy (process->boot, parts[1], sizeof process->boot);
  process->pid = pid;
  return TRUE;
}

static gboolean
is_kind (const char *kind)
{
  if (*kind == '\0')
    return FALSE;
  for (const char *c = kind; *c != '\0'; c++)
    if (!g_ascii_isalnum (*c) && *c != '-')
      return FALSE;
  return TRUE;
}

/**
 * strand_lease_owner_self:
 * @kind: what kind of holder this is, such as `local`: letters, digits and dashes
 *
 * Makes a name for a holder in this process: different at each call, and naming this process for ever.
 *
 * Any thread; reads three small files.
 *
 * Returns: (transfer full): the owner, for a record's lease
 * Since: 1.0
 */
char *
strand_lease_owner_self (const char *kind)
{
  Process self;

  g_return_val_if_fail (kind != NULL && is_kind (kind), NULL);

  describe_self (&self);
  return g_strdup_printf ("%s:%s:%" G_GUINT64_FORMAT ":%" G_GINT64_FORMAT ":%" G_GUINT64_FORMAT ":%08x%08x",
                          kind, self.boot, self.namespace, self.pid, self.start, g_random_int (),
                          g_random_int ());
}

/**
 * strand_lease_owner_has_kind:
 * @owner: a lease's owner
 * @kind: a kind of holder
 *
 * Whether a lease is held by a holder of this kind. Any thread.
 *
 * Returns: %TRUE if it is
 * Since: 1.0
 */
gboolean
strand_lease_owner_has_kind (const char *owner, const char *kind)
{
  gsize length;

  g_return_val_if_fail (owner != NULL, FALSE);
  g_return_val_if_fail (kind != NULL, FALSE);

  length = strlen (kind);
  return strncmp (owner, kind, length) == 0 && owner[length] == ':';
}

/**
 * strand_lease_owner_probe:
 * @owner: a lease's owner, from any host; other text is an owner that nothing is known of
 *
 * Looks whether the process that an owner names still runs. A process that has ended and was not yet waited
 * for by its parent is dead.
 *
 * Any thread; reads some small files.
 *
 * Returns: what is known
 * Since: 1.0
 */
StrandOwnerState
strand_lease_owner_probe (const char *owner)
{
  Process process, self;
  guint64 start;
  char state;

  g_return_val_if_fail (owner != NULL, STRAND_OWNER_STATE_UNKNOWN);

  describe_self (&self);
  if (!parse (owner, &process) || *process.boot == '\0' || strcmp (process.boot, self.boot) != 0 ||
      process.namespace == 0 || process.namespace != self.namespace)
    return STRAND_OWNER_STATE_UNKNOWN;

  if (!read_stat (process.pid, &state, &start))
    return kill (process.pid, 0) != 0 && errno == ESRCH ? STRAND_OWNER_STATE_DEAD
                                                        : STRAND_OWNER_STATE_UNKNOWN;
  if (process.start == 0)
    return STRAND_OWNER_STATE_UNKNOWN;
  if (process.start != start || state == 'X' || (state == 'Z' && !has_other_threads (process.pid)))
    return STRAND_OWNER_STATE_DEAD;
  return STRAND_OWNER_STATE_ALIVE;
}

int
strand_lease_owner_open (const char *owner)
{
  Process process;
  int fd;

  if (!parse (owner, &process) || strand_lease_owner_probe (owner) != STRAND_OWNER_STATE_ALIVE)
    return -1;
  fd = (int) syscall (SYS_pidfd_open, (pid_t) process.pid, 0);
  /* Asked again: in between the process may have ended and its number been given to another. */
  if (fd >= 0 && strand_lease_owner_probe (owner) != STRAND_OWNER_STATE_ALIVE)
    {
      close (fd);
      fd = -1;
    }
  return fd;
}
