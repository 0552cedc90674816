/* filesystem-index.h — where to look for records that are not finished, without reading all of them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "filesystem-place.h"

/* The parts of the index, below the store's directory. Those of queues and kinds have a directory each,
 * called as filesystem_index_escape() says. */
#define FILESYSTEM_LIVE FILESYSTEM_INDEX "/live"
#define FILESYSTEM_RUNNING FILESYSTEM_INDEX "/running"
#define FILESYSTEM_KINDS FILESYSTEM_INDEX "/kind"
#define FILESYSTEM_QUEUES FILESYSTEM_INDEX "/queue"

/* How much of the name of a queue's entry comes before the key. */
#define FILESYSTEM_TURN_SIZE 34

/* When a pending call is due, as its entry says. */
typedef struct
{
  gint64 turn;
  gint64 not_before_us;
  const char *key; /* within the entry's name */
} FilesystemTurn;

typedef enum
{
  FILESYSTEM_INDEX_DONE,
  FILESYSTEM_INDEX_VANISHED, /* the store's directory is gone */
  FILESYSTEM_INDEX_FAILED,   /* the error is set */
} FilesystemIndexResult;

/* Whether a record has entries at all. */
gboolean filesystem_index_knows (StrandRecord *record);

/* Before @new is put in the place of @old (NULL: of nothing): makes the entries that it will need. After it:
 * removes those that only the old one needed. The key's folder is locked around both. Where the new record
 * did not come to its place, leave() with the two exchanged undoes enter(). */
FilesystemIndexResult filesystem_index_enter (FilesystemPlace *place, StrandRecord *old, StrandRecord *new,
                                              GError **error);
void filesystem_index_leave (FilesystemPlace *place, StrandRecord *old, StrandRecord *new);

/* Whether all records that need entries have them; if not, makes them, reading every record once. */
gboolean filesystem_index_is_complete (FilesystemPlace *place);
gboolean filesystem_index_complete (FilesystemPlace *place, GError **error);

/* Where no folder of records is there yet, whatever comes has entries. */
void filesystem_index_begin (FilesystemPlace *place);

/* Gives a record the entries that it lacks. */
gboolean filesystem_index_mend (FilesystemPlace *place, StrandRecord *record, GError **error);

/* Whether an entry, @name in @part, is one that a record (NULL: none) needs. */
gboolean filesystem_index_needs (const char *part, const char *name, StrandRecord *record);

/* Removes an entry, @name in @part, if the record of @key does not need it; looks under the lock. */
void filesystem_index_check (FilesystemPlace *place, const char *part, const char *name, const char *key);

/* The same with the record (NULL: none) that was read under the lock that is held. Whether it is needed. */
gboolean filesystem_index_check_locked (FilesystemPlace *place, const char *part, const char *name,
                                        StrandRecord *record);

/* The name of a queue's or kind's directory. */
char *filesystem_index_escape (const char *text);

gboolean filesystem_index_parse_turn (const char *name, FilesystemTurn *turn);
