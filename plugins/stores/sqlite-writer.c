/* sqlite-writer.c — the one connection of a store that writes, and the queue before it.
 *
 * SQLite lets one connection write at a time, and a transaction costs as much as several rows: each page that
 * it touches goes into the log, and with sync=full the disk is waited for. So whoever wants to write while
 * another thread does so waits in a queue; the next in it takes all that wait, carries out their jobs in one
 * transaction, and tells each what came of it. Nobody waits for others to come. One connection for all writes
 * also keeps what it has read of the database, which a connection forgets when another one has written.
 *
 * Each transaction first asks who watches (sqlite-bell.c). Only then are the keys of what it changes noted,
 * and the bell is rung.
 *
 * A job whose transaction is lost (a full disk, a commit that fails) is tried again by itself, so that each
 * has its own verdict. Between processes SQLite's own lock decides, and is asked for again and again until
 * `busy-timeout` has passed.                       SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "sqlite-writer.h"
#include "sqlite-bell.h"

#include <unistd.h>

/* How many jobs share a transaction: enough for all threads there are; the first is not kept waiting. */
#define MAX_SHARED 64

/* Of what has changed, at least the latest 10000 keys are kept for watchers. They are removed many at a time,
 * as each time costs a page. */
#define CHANGES_PER_PRUNING 2000

typedef struct
{
  gboolean creates;
  SqliteJob job;
  gpointer data;

  gboolean succeeded; /* the leader's, until it is done */
  GError *error;

  /* Guarded by the writer's lock. */
  GList link;
  GCond woken;
  gboolean taken; /* a leader has it in hand */
  gboolean done;
} Entry;

struct _SqliteWriter
{
  SqliteSettings settings;

  GMutex lock; /* guards the next two */
  GQueue waiting;
  gboolean writing; /* a thread leads */

  /* The leader's. */
  SqliteDatabase *database;
  int bell;            /* of the database; -1 while it is not needed */
  SqliteHearing heard; /* who watched during these transactions */
  gint64 n_changes;    /* since old ones were removed */
};

SqliteWriter *
sqlite_writer_new (const SqliteSettings *settings)
{
  SqliteWriter *self = g_new0 (SqliteWriter, 1);

  self->settings = *settings;
  self->bell = -1;
  g_mutex_init (&self->lock);
  return self;
}

void
sqlite_writer_disconnect (SqliteWriter *self)
{
  g_clear_pointer (&self->database, sqlite_database_close);
  if (self->bell >= 0)
    close (self->bell);
  self->bell = -1;
}

void
sqlite_writer_free (SqliteWriter *self)
{
  sqlite_writer_disconnect (self);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gint64
get_deadline (SqliteWriter *self)
{
  return self->settings.timeout_us >= 0 ? g_get_monotonic_time () + self->settings.timeout_us : G_MAXINT64;
}

/* --- the leader ---------------------------------------------------------------------------------------- */

/* Inside the transaction, when the log is there. */
static void
ask_who_watches (SqliteWriter *self)
{
  SqliteHearing heard;

  if (self->bell < 0)
    {
      g_autofree char *log = g_strconcat (self->settings.path, "-wal", NULL);

      self->bell = sqlite_bell_open (log);
    }
  heard = sqlite_bell_ask (self->bell);
  sqlite_database_set_noting (self->database, (heard & SQLITE_HEARS_CHANGES) != 0);
  self->heard |= heard;
}

/* Sees to a connection to the file that lies at the path now. FALSE with an error; TRUE without a connection
 * where there is no file and none is to be made. */
static gboolean
connect_database (SqliteWriter *self, gboolean create, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  if (self->database != NULL && !sqlite_database_is_usable (self->database))
    sqlite_writer_disconnect (self);
  if (self->database == NULL)
    self->database = sqlite_database_open (&self->settings, create, &local_error);
  if (self->database != NULL)
    sqlite_database_set_deadline (self->database, get_deadline (self));
  if (local_error == NULL)
    return TRUE;

  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static void
run_job (SqliteWriter *self, Entry *entry)
{
  g_clear_error (&entry->error);
  entry->succeeded = entry->job (self->database, entry->data, &entry->error);
  CRASH_POINT ("job");
}

/* All in one transaction. FALSE if it was lost, with the reason. */
static gboolean
run_together (SqliteWriter *self, GPtrArray *entries, GError **error)
{
  if (!sqlite_database_run (self->database, "BEGIN IMMEDIATE", error))
    return FALSE;
  CRASH_POINT ("begin");
  ask_who_watches (self);
  for (guint i = 0; i < entries->len; i++)
    {
      Entry *entry = g_ptr_array_index (entries, i);

      run_job (self, entry);
      if (!sqlite_database_is_in_transaction (self->database))
        {
          if (entry->error != NULL)
            g_propagate_error (error, g_steal_pointer (&entry->error));
          return FALSE;
        }
    }
  if (sqlite_database_run (self->database, "COMMIT", error))
    return TRUE;

  if (sqlite_database_is_in_transaction (self->database))
    sqlite_database_run (self->database, "ROLLBACK", NULL);
  return FALSE;
}

static void
fail (Entry *entry, const GError *error)
{
  g_clear_error (&entry->error);
  entry->succeeded = FALSE;
  entry->error = error != NULL ? g_error_copy (error)
                               : g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED, "the transaction was lost");
}

/* One job by itself, with what it needs. */
static void
run_alone (SqliteWriter *self, Entry *entry)
{
  g_autoptr(GPtrArray) one = NULL;
  g_autoptr(GError) error = NULL;

  if (!connect_database (self, entry->creates, &error))
    {
      fail (entry, error);
      return;
    }
  if (self->database == NULL)
    {
      run_job (self, entry);
      return;
    }
  one = g_ptr_array_new ();
  g_ptr_array_add (one, entry);
  if (!run_together (self, one, &error))
    fail (entry, error);
}

static gboolean
any_creates (GPtrArray *entries)
{
  for (guint i = 0; i < entries->len; i++)
    if (((Entry *) g_ptr_array_index (entries, i))->creates)
      return TRUE;
  return FALSE;
}

static void
run_all (SqliteWriter *self, GPtrArray *entries)
{
  if (entries->len > 1 && connect_database (self, any_creates (entries), NULL) && self->database != NULL &&
      run_together (self, entries, NULL))
    return;
  for (guint i = 0; i < entries->len; i++)
    run_alone (self, g_ptr_array_index (entries, i));
}

static void
forget_old_changes (SqliteWriter *self)
{
  g_autoptr(GError) error = NULL;

  self->n_changes = 0;
  if (!sqlite_database_run (self->database,
                            "DELETE FROM changes WHERE number <= "
                            "(SELECT max(number) FROM changes) - 10000",
                            &error))
    strand_debug (STRAND_TOPIC_STORE, "Could not forget old changes: %s", error->message);
}

static void
carry_out (SqliteWriter *self, GPtrArray *entries)
{
  gint64 before = self->database != NULL ? sqlite_database_count_all_changes (self->database) : 0;
  gint64 n_changes;

  self->heard = 0;
  run_all (self, entries);
  CRASH_POINT ("commit");
  n_changes = self->database != NULL ? sqlite_database_count_all_changes (self->database) - before : 0;
  if (n_changes != 0 && self->heard != 0)
    sqlite_bell_ring (self->bell);
  CRASH_POINT ("ring");
  self->n_changes += ABS (n_changes);
  if (self->n_changes >= CHANGES_PER_PRUNING && self->database != NULL)
    forget_old_changes (self);
}

/* --- the queue ----------------------------------------------------------------------------------------- */

static GPtrArray *
take_waiting_locked (SqliteWriter *self)
{
  GPtrArray *entries = g_ptr_array_new ();
  GList *link;

  while (entries->len < MAX_SHARED && (link = g_queue_pop_head_link (&self->waiting)) != NULL)
    {
      ((Entry *) link->data)->taken = TRUE;
      g_ptr_array_add (entries, link->data);
    }
  return entries;
}

/* Does the work of all that wait, @own among them. */
static void
lead_locked (SqliteWriter *self, Entry *own)
{
  g_autoptr(GPtrArray) entries = take_waiting_locked (self);

  self->writing = TRUE;
  g_mutex_unlock (&self->lock);
  carry_out (self, entries);
  g_mutex_lock (&self->lock);
  self->writing = FALSE;

  for (guint i = 0; i < entries->len; i++)
    {
      Entry *entry = g_ptr_array_index (entries, i);

      entry->done = TRUE;
      if (entry != own)
        g_cond_signal (&entry->woken);
    }
  if (self->waiting.head != NULL)
    g_cond_signal (&((Entry *) self->waiting.head->data)->woken);
}

/* Waits until the entry is done, or its thread may lead. FALSE if its time is over: it will not be done. */
static gboolean
wait_locked (SqliteWriter *self, Entry *entry, gint64 deadline_us)
{
  while (!entry->done && self->writing)
    if (entry->taken || deadline_us == G_MAXINT64)
      g_cond_wait (&entry->woken, &self->lock);
    else if (!g_cond_wait_until (&entry->woken, &self->lock, deadline_us) && !entry->taken)
      break;
  return entry->done || !self->writing;
}

gboolean
sqlite_writer_run (SqliteWriter *self, gboolean creates, SqliteJob job, gpointer data, GError **error)
{
  Entry entry = { .creates = creates, .job = job, .data = data };
  gint64 deadline_us = get_deadline (self);
  gboolean in_time = TRUE;

  entry.link.data = &entry;
  g_cond_init (&entry.woken);
  g_mutex_lock (&self->lock);
  g_queue_push_tail_link (&self->waiting, &entry.link);
  while (!entry.done && in_time)
    {
      in_time = wait_locked (self, &entry, deadline_us);
      if (!in_time)
        g_queue_unlink (&self->waiting, &entry.link);
      else if (!entry.done)
        lead_locked (self, &entry);
    }
  g_mutex_unlock (&self->lock);
  g_cond_clear (&entry.woken);

  if (!in_time)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY,
                 "'%s' was being written by other threads all the time; raise 'busy-timeout'",
                 self->settings.path);
  else if (entry.error != NULL)
    g_propagate_error (error, entry.error);
  return in_time && entry.succeeded;
}
