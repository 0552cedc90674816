/* sqlite-bell.c — how writers of one database know who watches it, and tell them that there is something new.
 *
 * Telling costs more than writing: a row in another table, a system call. So writers do it only while
 * somebody listens. A watcher holds a shared lock on a byte of the log that lies far beyond its end, one byte
 * for each thing it wants to hear; the kernel takes the lock away when the watcher's process dies, however it
 * does, and a read-only file can be locked. The lock belongs to the open file and not to the process, so that
 * it can be seen from within the same process, and so that closing some other descriptor does not lose it.
 * SQLite locks nothing in the log.
 *
 * A writer asks while it holds SQLite's write lock. So once a watcher has held its lock and then SQLite's for
 * a moment, every transaction that is still to come knows of it (see settle() in sqlite-watch.c).
 *
 * The bell itself is the log's times: SQLite writes the log first and shows the transaction after that, in
 * shared memory, of which nobody is told. So the times are touched: whoever watches them knows that there is
 * something to see.                                SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-bell.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The first of the bytes; no log is as long. */
#define FIRST_BYTE ((off_t) 1 << 62)

static struct flock
byte_for (SqliteHearing hearing, short type)
{
  return (struct flock){
    .l_type = type, .l_whence = SEEK_SET, .l_start = FIRST_BYTE + (hearing == SQLITE_HEARS_WORK), .l_len = 1
  };
}

int
sqlite_bell_open (const char *log)
{
  return open (log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

int
sqlite_bell_attend (const char *log, SqliteHearing hearing)
{
  struct flock lock = byte_for (hearing, F_RDLCK);
  int fd = sqlite_bell_open (log);
  int cause;

  if (fd < 0 || fcntl (fd, F_OFD_SETLK, &lock) == 0)
    return fd;
  cause = errno;
  close (fd);
  errno = cause;
  return -1;
}

static gboolean
is_held (int bell, SqliteHearing hearing)
{
  struct flock lock = byte_for (hearing, F_WRLCK);

  return fcntl (bell, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

SqliteHearing
sqlite_bell_ask (int bell)
{
  struct flock any = byte_for (SQLITE_HEARS_CHANGES, F_WRLCK);
  SqliteHearing heard = SQLITE_HEARS_CHANGES | SQLITE_HEARS_WORK;

  any.l_len = 2;
  if (bell < 0 || fcntl (bell, F_OFD_GETLK, &any) != 0)
    return heard;
  if (any.l_type == F_UNLCK)
    return 0;
  /* One of those who are there, and who else is there does not matter once one of them hears of changes. */
  if (any.l_start != FIRST_BYTE && !is_held (bell, SQLITE_HEARS_CHANGES))
    return SQLITE_HEARS_WORK;
  return heard;
}

void
sqlite_bell_ring (int bell)
{
  /* Who cannot be told looks again by itself, a little later. */
  if (bell >= 0)
    (void) futimens (bell, NULL);
}
