/* local-backend.h — what the local backend and the entries of its calls share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

#define STRAND_TYPE_LOCAL_BACKEND (strand_local_backend_get_type ())
G_DECLARE_FINAL_TYPE (StrandLocalBackend, strand_local_backend, STRAND, LOCAL_BACKEND, GObject)

/* What the clerk has to do for an entry. */
typedef enum
{
  TODO_LAUNCH = 1 << 0,
  TODO_ATTEMPT = 1 << 1, /* its time has come */
  TODO_STARTED = 1 << 2,
  TODO_CHANGED = 1 << 3, /* progress, message, metadata */
  TODO_ENDED = 1 << 4,
  TODO_CANCEL = 1 << 5,
  TODO_LOOK = 1 << 6,  /* somebody else may have written the record */
  TODO_GO_ON = 1 << 7, /* a middleware that said LATER has made up its mind */
} Todo;

typedef struct
{
  gatomicrefcount ref_count;
  StrandLocalBackend *backend; /* held */
  StrandCall *call;

  /* Guarded by the backend's lock. */
  guint todo;
  gboolean queued;
  gboolean working; /* somebody carries out what was noted */
  gboolean over;
  GList link;          /* in the backend's list of all */
  StrandCall *attempt; /* under way; NULL between attempts */

  /* The clerk's. */
  StrandRecord *record; /* as it was written last */
  guint64 timer;
  gboolean refused;
  gint64 progress_us; /* when progress was written last */
} LocalEntry;

struct _StrandLocalBackend
{
  GObject parent_instance;

  StrandTaskrunner *taskrunner; /* set at construction, as the others down to the lock */
  StrandStore *store;
  GListModel *middleware;
  StrandSerializer *serializer;
  StrandChain *chain;
  gint64 timeout_us;
  gint64 grace_us;
  guint retries;
  gint64 retry_delay_us;
  gint64 retry_max_delay_us;
  guint max_pending;
  char *owner;

  GMutex lock; /* guards everything below */
  GCond changed;
  GThread *clerk;      /* NULL while there has been nothing to do; not held */
  GQueue queue;        /* of LocalEntry */
  GHashTable *entries; /* of LocalEntry, by key; those whose record is written, or about to be */
  GQueue all;          /* of LocalEntry, by their links, from launch to end */
  gboolean swept;      /* what a dead program left behind has been looked for */
  gboolean closed;
};

LocalEntry *local_entry_ref (LocalEntry *entry);
void local_entry_unref (gpointer entry);

/* Notes that there is something to do, and wakes the clerk. Any thread. */
void local_entry_note (LocalEntry *entry, guint todo);

/* Takes what comes first out of @todo, and what it makes pointless; 0 if nothing is left. */
guint local_todo_next (guint *todo);

/* The clerk's: carries out one of the things noted. */
void local_entry_carry_out (LocalEntry *entry, guint todo);

/* The chain's: a call that a middleware held back is to go on. Any thread. */
void local_entry_wake (StrandCall *attempt, gpointer entry);

/* Any thread: cancels the attempt that runs, if there is one; reads the record and cancels the call if it
 * says so. */
gboolean local_entry_cancel_attempt (LocalEntry *entry);
void local_entry_look (LocalEntry *entry);

/* Ends an entry whose call has ended. */
void local_entry_drop (LocalEntry *entry);
