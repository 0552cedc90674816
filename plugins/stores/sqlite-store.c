/* sqlite-store.c — keeps records in one SQLite database, which any program can query.
 *
 * A put is one statement: it names the revision that must be there, and whether a row changed is the answer.
 * Any number of threads and processes read while one writes. Each reading method takes a connection from a
 * few that are kept open, uses it alone and gives it back; all that is written by this process goes through
 * one more (sqlite-writer.c), where threads that write at once share transactions. Between processes writers
 * try again until `busy-timeout` has passed.
 *
 * What is kept: with `sync=off` an accepted record survives the death of every process, but a power cut may
 * damage the database; with `normal` a power cut costs the latest records at most, never the database; with
 * `full` it costs nothing that was accepted. The log must lie on a local disk: processes share its index
 * through memory.
 *
 * The database does not shrink when records are removed; their space is used again.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "sqlite-query.h"
#include "sqlite-row.h"
#include "sqlite-watch.h"
#include "sqlite-work.h"
#include "sqlite-writer.h"

#include <string.h>

#define STRAND_TYPE_SQLITE_STORE (strand_sqlite_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandSqliteStore, strand_sqlite_store, STRAND, SQLITE_STORE, GObject)

/* Some hundred thousand writes of another process: who has not had a turn by then never will. */
#define DEFAULT_BUSY_TIMEOUT_US (10 * G_USEC_PER_SEC)

/* Connections kept for the next use; each may hold 2 MiB of the database. As many as threads use a store at
 * once, and a few more. */
#define MAX_IDLE 16

/* How many records a cleanup removes at once: few enough that other writers wait some milliseconds. */
#define CLEANUP_STEP 200
#define CLEANUP_STEP_TEXT G_STRINGIFY (CLEANUP_STEP)

typedef enum
{
  SYNC_OFF,
  SYNC_NORMAL,
  SYNC_FULL,
} StrandSqliteSync;

#define STRAND_TYPE_SQLITE_SYNC (strand_sqlite_sync_get_type ())
GType strand_sqlite_sync_get_type (void);

struct _StrandSqliteStore
{
  GObject parent_instance;
  char *path; /* absolute, or NULL; all three set at construction, then read by any thread */
  StrandSqliteSync sync;
  gint64 busy_timeout_us;

  SqliteWriter *writer;
  int expects_work; /* atomic: the last claim got all it asked for */

  GMutex lock;     /* guards everything below */
  GPtrArray *idle; /* of SqliteDatabase */
  SqliteWatch *watch;
  SqliteWatch *queue_watch;
};

typedef enum
{
  PROP_PATH = 1,
  PROP_SYNC,
  PROP_BUSY_TIMEOUT,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandSqliteStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandSqliteStore, strand_sqlite_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

G_DEFINE_ENUM_TYPE (StrandSqliteSync, strand_sqlite_sync, G_DEFINE_ENUM_VALUE (SYNC_OFF, "off"),
                    G_DEFINE_ENUM_VALUE (SYNC_NORMAL, "normal"), G_DEFINE_ENUM_VALUE (SYNC_FULL, "full"))

/* --- connections --------------------------------------------------------------------------------------- */

static SqliteSettings
get_settings (StrandSqliteStore *self)
{
  static const char *const syncs[] = { "OFF", "NORMAL", "FULL" };

  return (SqliteSettings){ self->path, syncs[self->sync], self->busy_timeout_us };
}

static gboolean
check_path (StrandSqliteStore *self, GError **error)
{
  if (self->path != NULL)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "the sqlite store has no 'path'");
  return FALSE;
}

static gint64
get_deadline (StrandSqliteStore *self)
{
  return self->busy_timeout_us >= 0 ? g_get_monotonic_time () + self->busy_timeout_us : G_MAXINT64;
}

/* A connection to read from the file that lies at the path now; NULL where there is none. FALSE with an
 * error. */
static gboolean
take (StrandSqliteStore *self, SqliteDatabase **database, GError **error)
{
  SqliteSettings settings = get_settings (self);
  g_autoptr(GError) local_error = NULL;

  if (!check_path (self, error))
    return FALSE;

  for (;;)
    {
      g_mutex_lock (&self->lock);
      *database = self->idle->len > 0 ? g_ptr_array_steal_index (self->idle, self->idle->len - 1) : NULL;
      g_mutex_unlock (&self->lock);

      if (*database == NULL)
        break;
      if (sqlite_database_is_usable (*database))
        {
          sqlite_database_set_deadline (*database, get_deadline (self));
          return TRUE;
        }
      sqlite_database_close (*database);
    }

  *database = sqlite_database_open (&settings, FALSE, &local_error);
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static void
give_back (StrandSqliteStore *self, SqliteDatabase *database)
{
  gboolean keep;

  if (database == NULL)
    return;
  g_mutex_lock (&self->lock);
  keep = self->idle->len < MAX_IDLE;
  if (keep)
    g_ptr_array_add (self->idle, database);
  g_mutex_unlock (&self->lock);

  if (!keep)
    sqlite_database_close (database);
}

static gboolean
write_job (StrandSqliteStore *self, gboolean creates, SqliteJob job, gpointer data, GError **error)
{
  return check_path (self, error) && sqlite_writer_run (self->writer, creates, job, data, error);
}

/* --- records ------------------------------------------------------------------------------------------- */

static StrandRecord *
strand_sqlite_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  SqliteDatabase *database;
  StrandRecord *record = NULL;

  if (!take (self, &database, error))
    return NULL;
  if (database != NULL)
    record = sqlite_row_get (database, key, error);
  else
    sqlite_row_set_not_found (error);
  give_back (self, database);
  return record;
}

typedef struct
{
  StrandRecord *const *records;
  const guint64 *expected;
  guint n;
  guint n_put;
  GError **errors;
} PutJob;

static gboolean
put_one (SqliteDatabase *database, gpointer data, GError **error)
{
  PutJob *job = data;

  if (database != NULL)
    return sqlite_row_put (database, job->records[0], job->expected[0], error);
  sqlite_row_set_gone (error);
  return FALSE;
}

static gboolean
strand_sqlite_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  PutJob job = { .records = &record, .expected = &expected };

  return write_job (STRAND_SQLITE_STORE (store), expected == 0, put_one, &job, error);
}

/* An expired record is not in the way of a new one. */
static gboolean
put_over_expired (SqliteDatabase *database, StrandRecord *record, GError **error)
{
  g_autoptr(StrandRecord) old = sqlite_row_get (database, strand_record_get_key (record), NULL);

  if (old != NULL && strand_record_is_expired (old, strand_clock_now_us ()) &&
      sqlite_row_remove (database, strand_record_get_key (record), 0, NULL))
    {
      g_clear_error (error);
      return sqlite_row_put (database, record, 0, error);
    }
  return FALSE;
}

/* Each has its own verdict, unless the transaction is gone: then there is none. */
static gboolean
put_many (SqliteDatabase *database, gpointer data, GError **error)
{
  PutJob *job = data;

  job->n_put = 0;
  for (guint i = 0; i < job->n; i++)
    {
      g_clear_error (&job->errors[i]);
      if (database == NULL)
        sqlite_row_set_gone (&job->errors[i]);
      else if (sqlite_row_put (database, job->records[i], job->expected[i], &job->errors[i]) ||
               (g_error_matches (job->errors[i], STRAND_ERROR, STRAND_ERROR_EXISTS) &&
                put_over_expired (database, job->records[i], &job->errors[i])))
        job->n_put++;
      if (database != NULL && !sqlite_database_is_in_transaction (database))
        {
          g_propagate_error (error, g_steal_pointer (&job->errors[i]));
          return FALSE;
        }
    }
  return TRUE;
}

static guint
strand_sqlite_store_put_batch (StrandStore *store, StrandRecord *const *records, const guint64 *expected,
                               guint n, GError **errors)
{
  PutJob job = { records, expected, n, 0, errors };
  gboolean creates = FALSE;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < n; i++)
    creates |= expected[i] == 0;
  if (write_job (STRAND_SQLITE_STORE (store), creates, put_many, &job, &error))
    return job.n_put;

  for (guint i = 0; i < n; i++)
    {
      g_clear_error (&errors[i]);
      errors[i] = g_error_copy (error);
    }
  return 0;
}

typedef struct
{
  const char *key;
  guint64 expected;
} RemoveJob;

static gboolean
remove_one (SqliteDatabase *database, gpointer data, GError **error)
{
  RemoveJob *job = data;

  if (database != NULL)
    return sqlite_row_remove (database, job->key, job->expected, error);
  sqlite_row_set_not_found (error);
  return FALSE;
}

static gboolean
strand_sqlite_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  RemoveJob job = { key, expected };

  return write_job (STRAND_SQLITE_STORE (store), FALSE, remove_one, &job, error);
}

/* --- listing and counting ------------------------------------------------------------------------------ */

static StrandPage *
strand_sqlite_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                          GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(StrandPage) page = strand_page_new ();
  SqliteDatabase *database;
  gboolean done;

  if (!take (self, &database, error))
    return NULL;
  done = sqlite_query_list (database, filter, cursor, limit, page, error);
  give_back (self, database);
  return done ? g_steal_pointer (&page) : NULL;
}

static gint64
strand_sqlite_store_count (StrandStore *store, const StrandFilter *filter, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  SqliteDatabase *database;
  gint64 n;

  if (!take (self, &database, error))
    return -1;
  n = sqlite_query_count (database, filter, strand_clock_now_us (), error);
  give_back (self, database);
  return n;
}

/* --- cleaning up --------------------------------------------------------------------------------------- */

typedef struct
{
  gint64 now_us;
  GPtrArray *gone; /* keys */
} CleanJob;

/* Removes some of the records that expired first. */
static gboolean
clean_some (SqliteDatabase *database, gpointer data, GError **error)
{
  CleanJob *job = data;
  g_autoptr(SqliteUse) statement = NULL;
  int code;

  g_ptr_array_set_size (job->gone, 0);
  if (database == NULL)
    return TRUE;
  statement = sqlite_database_prepare (
      database,
      "DELETE FROM records WHERE \"id\" IN (SELECT \"id\" FROM records"
      " INDEXED BY records_by_expiry WHERE " SQLITE_CAN_EXPIRE " AND " SQLITE_EXPIRY
      " <= ?1 AND \"completed\" <= ?1 LIMIT " CLEANUP_STEP_TEXT ") RETURNING \"key\"",
      error);
  if (statement == NULL)
    return FALSE;
  sqlite3_bind_int64 (statement, 1, job->now_us);
  while ((code = sqlite_database_step (database, statement, error)) == SQLITE_ROW)
    g_ptr_array_add (job->gone, g_strdup ((const char *) sqlite3_column_text (statement, 0)));
  for (guint i = 0; i < job->gone->len && code == SQLITE_DONE; i++)
    if (!sqlite_row_forget (database, g_ptr_array_index (job->gone, i), error))
      return FALSE;
  return code == SQLITE_DONE;
}

/* A reader, so that who only looks does not wait for who writes. */
static gboolean
is_any_expired (StrandSqliteStore *self, gint64 now_us, gboolean *any, GError **error)
{
  SqliteDatabase *database;
  sqlite3_stmt *statement;
  int code = SQLITE_DONE;

  if (!take (self, &database, error))
    return FALSE;
  if (database != NULL)
    {
      statement = sqlite_database_prepare (
          database,
          "SELECT 1 FROM records INDEXED BY records_by_expiry WHERE " SQLITE_CAN_EXPIRE " AND " SQLITE_EXPIRY
          " <= ?1 AND \"completed\" <= ?1 LIMIT 1",
          error);
      code = SQLITE_ERROR;
      if (statement != NULL)
        {
          sqlite3_bind_int64 (statement, 1, now_us);
          code = sqlite_database_step (database, statement, error);
          sqlite_database_reset (statement);
        }
    }
  give_back (self, database);
  *any = code == SQLITE_ROW;
  return code != SQLITE_ERROR;
}

static gint64
strand_sqlite_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  gint64 start_us = strand_clock_monotonic_us ();
  gint64 n_removed = 0;
  gboolean more;

  if (!is_any_expired (self, now_us, &more, error))
    return -1;
  while (more)
    {
      g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
      CleanJob job = { now_us, gone };

      if (!write_job (self, FALSE, clean_some, &job, error))
        return -1;
      for (guint i = 0; i < gone->len; i++)
        strand_store_changed (store, g_ptr_array_index (gone, i));
      n_removed += gone->len;
      more =
          gone->len == CLEANUP_STEP && (budget_us < 0 || strand_clock_monotonic_us () - start_us < budget_us);
    }
  return n_removed;
}

/* --- work ---------------------------------------------------------------------------------------------- */

typedef struct
{
  const StrandClaim *claim;
  GPtrArray *claimed;
  gint64 next_due_us;
} ClaimJob;

/* What was claimed before an error stays claimed, and is the caller's. */
static gboolean
claim_job (SqliteDatabase *database, gpointer data, GError **error)
{
  ClaimJob *job = data;
  g_autoptr(GError) local_error = NULL;

  if (database == NULL ||
      sqlite_work_claim (database, job->claim, job->claimed, &job->next_due_us, &local_error) ||
      (job->claimed->len > 0 && sqlite_database_is_in_transaction (database)))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Whether there is anything to claim: who finds nothing must not keep others from writing. */
static gboolean
look_for_work (StrandSqliteStore *self, const StrandClaim *claim, gboolean *due, gint64 *next_due_us,
               GError **error)
{
  SqliteDatabase *database;
  gboolean done = TRUE;

  *due = FALSE;
  if (!take (self, &database, error))
    return FALSE;
  if (database != NULL)
    done = sqlite_work_look (database, claim->queues, claim->now_us, due, next_due_us, error);
  give_back (self, database);
  return done;
}

static GPtrArray *
strand_sqlite_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  g_autoptr(GPtrArray) claimed = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  ClaimJob job = { claim, claimed, 0 };
  gboolean due = g_atomic_int_get (&self->expects_work);

  if (!due && !look_for_work (self, claim, &due, next_due_us, error))
    return NULL;
  if (!due)
    return g_steal_pointer (&claimed);
  if (!write_job (self, FALSE, claim_job, &job, error))
    return NULL;
  *next_due_us = job.next_due_us;
  g_atomic_int_set (&self->expects_work, claimed->len == claim->limit);
  return g_steal_pointer (&claimed);
}

typedef struct
{
  StrandRenewal *renewals;
  guint n;
} RenewJob;

static gboolean
renew_job (SqliteDatabase *database, gpointer data, GError **error)
{
  RenewJob *job = data;

  for (guint i = 0; i < job->n; i++)
    if (!sqlite_work_renew (database, &job->renewals[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
strand_sqlite_store_renew (StrandStore *store, StrandRenewal *renewals, guint n, GError **error)
{
  RenewJob job = { renewals, n };

  if (write_job (STRAND_SQLITE_STORE (store), FALSE, renew_job, &job, error))
    return TRUE;
  for (guint i = 0; i < n; i++)
    g_clear_error (&renewals[i].error);
  return FALSE;
}

/* --- what calls emit ----------------------------------------------------------------------------------- */

typedef struct
{
  const char *key;
  guint64 fence;
  guint64 first;
  GBytes *const *items;
  guint n;
  guint max_items;
} ItemsJob;

static gboolean
append_items_job (SqliteDatabase *database, gpointer data, GError **error)
{
  ItemsJob *job = data;

  return sqlite_work_append_items (database, job->key, job->fence, job->first, job->items, job->n,
                                   job->max_items, error);
}

static gboolean
strand_sqlite_store_append_items (StrandStore *store, const char *key, guint64 fence, guint64 first,
                                  GBytes *const *items, guint n, guint max_items, GError **error)
{
  ItemsJob job = { key, fence, first, items, n, max_items };

  return write_job (STRAND_SQLITE_STORE (store), TRUE, append_items_job, &job, error);
}

static GPtrArray *
strand_sqlite_store_read_items (StrandStore *store, const char *key, guint64 fence, guint64 from, guint limit,
                                guint64 *first, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);
  SqliteDatabase *database;
  GPtrArray *items;

  if (!take (self, &database, error))
    return NULL;
  *first = from;
  items = database != NULL ? sqlite_work_read_items (database, key, fence, from, limit, first, error)
                           : g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  give_back (self, database);
  return items;
}

static gboolean
remove_items_job (SqliteDatabase *database, gpointer data, GError **error)
{
  ItemsJob *job = data;

  return database == NULL || sqlite_work_remove_items (database, job->key, job->fence, error);
}

static gboolean
strand_sqlite_store_remove_items (StrandStore *store, const char *key, guint64 fence, GError **error)
{
  ItemsJob job = { .key = key, .fence = fence };

  return write_job (STRAND_SQLITE_STORE (store), FALSE, remove_items_job, &job, error);
}

/* --- plumbing ------------------------------------------------------------------------------------------ */

/* Puts a watch in the place of another; NULL for none. */
static void
change_watch (StrandSqliteStore *self, SqliteWatch **place, SqliteWatch *watch)
{
  SqliteWatch *old;

  g_mutex_lock (&self->lock);
  old = *place;
  *place = watch;
  g_mutex_unlock (&self->lock);
  if (old != NULL)
    sqlite_watch_stop (old);
}

static gboolean
set_watch (StrandSqliteStore *self, SqliteWatch **place, gboolean watching, const char *const *queues,
           GError **error)
{
  SqliteSettings settings = get_settings (self);
  SqliteWatch *watch = NULL;

  if (watching && (!check_path (self, error) ||
                   (watch = sqlite_watch_start (STRAND_STORE (self), &settings, queues, error)) == NULL))
    return FALSE;
  change_watch (self, place, watch);
  return TRUE;
}

/* Calls of this are never two at once. */
static gboolean
strand_sqlite_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);

  if (!watching && self->watch != NULL)
    sqlite_watch_rest (self->watch);
  if (!watching || (self->watch != NULL && sqlite_watch_resume (self->watch)))
    return TRUE;
  return set_watch (self, &self->watch, TRUE, NULL, error);
}

static gboolean
strand_sqlite_store_set_watching_queues (StrandStore *store, const char *const *queues, GError **error)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);

  return set_watch (self, &self->queue_watch, queues != NULL, queues, error);
}

/* The last connection of all processes writes the log back into the database and removes it. */
static void
strand_sqlite_store_close (StrandStore *store)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (store);

  change_watch (self, &self->watch, NULL);
  change_watch (self, &self->queue_watch, NULL);
  g_ptr_array_set_size (self->idle, 0);
  sqlite_writer_disconnect (self->writer);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_sqlite_store_get;
  iface->put = strand_sqlite_store_put;
  iface->remove = strand_sqlite_store_remove;
  iface->list = strand_sqlite_store_list;
  iface->set_watching = strand_sqlite_store_set_watching;
  iface->count = strand_sqlite_store_count;
  iface->cleanup_expired = strand_sqlite_store_cleanup_expired;
  iface->close = strand_sqlite_store_close;
  iface->claim = strand_sqlite_store_claim;
  iface->renew = strand_sqlite_store_renew;
  iface->put_batch = strand_sqlite_store_put_batch;
  iface->set_watching_queues = strand_sqlite_store_set_watching_queues;
  iface->append_items = strand_sqlite_store_append_items;
  iface->read_items = strand_sqlite_store_read_items;
  iface->remove_items = strand_sqlite_store_remove_items;
}

static void
strand_sqlite_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);
  const char *path;

  switch (id)
    {
    case PROP_PATH:
      path = g_value_get_string (value);
      self->path = path != NULL && *path != '\0' ? g_canonicalize_filename (path, NULL) : NULL;
      break;
    case PROP_SYNC:
      self->sync = g_value_get_enum (value);
      break;
    case PROP_BUSY_TIMEOUT:
      self->busy_timeout_us = g_value_get_int64 (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_sqlite_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    case PROP_SYNC:
      g_value_set_enum (value, self->sync);
      break;
    case PROP_BUSY_TIMEOUT:
      g_value_set_int64 (value, self->busy_timeout_us);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_sqlite_store_constructed (GObject *object)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);
  SqliteSettings settings = get_settings (self);

  self->writer = sqlite_writer_new (&settings);
  G_OBJECT_CLASS (strand_sqlite_store_parent_class)->constructed (object);
}

static void
strand_sqlite_store_finalize (GObject *object)
{
  StrandSqliteStore *self = STRAND_SQLITE_STORE (object);

  g_clear_pointer (&self->watch, sqlite_watch_stop);
  g_clear_pointer (&self->queue_watch, sqlite_watch_stop);
  g_clear_pointer (&self->writer, sqlite_writer_free);
  g_ptr_array_unref (self->idle);
  g_free (self->path);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_sqlite_store_parent_class)->finalize (object);
}

static void
strand_sqlite_store_class_init (StrandSqliteStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags once = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = strand_sqlite_store_set_property;
  object_class->get_property = strand_sqlite_store_get_property;
  object_class->constructed = strand_sqlite_store_constructed;
  object_class->finalize = strand_sqlite_store_finalize;

  props[PROP_PATH] = g_param_spec_string ("path", NULL,
                                          "Database file that holds the records, on a local disk; made with "
                                          "mode 0600, and its directory with mode "
                                          "0700, when the first one is stored",
                                          NULL, once | STRAND_PARAM_REQUIRED);
  props[PROP_SYNC] = g_param_spec_enum ("sync", NULL,
                                        "What a power cut may cost: with off the database, with normal the "
                                        "latest records, with full nothing that was accepted",
                                        STRAND_TYPE_SQLITE_SYNC, SYNC_NORMAL, once);
  props[PROP_BUSY_TIMEOUT] = g_param_spec_int64 (
      "busy-timeout", NULL, "How long a write waits for its turn while other threads and programs write", -1,
      G_MAXINT64, DEFAULT_BUSY_TIMEOUT_US, once | STRAND_PARAM_DURATION);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
strand_sqlite_store_init (StrandSqliteStore *self)
{
  g_mutex_init (&self->lock);
  self->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) sqlite_database_close);
}

STRAND_PLUGIN_DEFINE ("sqlite-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("sqlite", StrandSqliteStore, strand_sqlite_store_get_type,
                                             "Keeps records in one SQLite database"))
