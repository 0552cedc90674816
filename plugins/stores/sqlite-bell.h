/* sqlite-bell.h — how writers of one database know who watches it, and tell them that there is something new.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What a watcher wants to hear of. */
typedef enum
{
  SQLITE_HEARS_CHANGES = 1 << 0, /* of each record that changes, by name */
  SQLITE_HEARS_WORK = 1 << 1,    /* only that something has */
} SqliteHearing;

/* For a watcher: says that it is there, until the descriptor is closed or its process ends. @log is the log
 * of a database that the caller has open. -1 with errno set. */
int sqlite_bell_attend (const char *log, SqliteHearing hearing);

/* For a writer. -1 where there is no log yet. */
int sqlite_bell_open (const char *log);

/* Who is there now; all where that cannot be found out. Asked inside a transaction that writes, see above. */
SqliteHearing sqlite_bell_ask (int bell);

/* Says that a transaction can be seen. */
void sqlite_bell_ring (int bell);
