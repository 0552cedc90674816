/* lmdb-store.c — keeps records in LMDB, a sorted map from bytes to bytes in a memory-mapped file.
 *
 * A store needs four methods: get, put, remove and list. Everything else that strand asks of a store has a
 * default on top of these, so a store with them alone is a correct queue between processes. Two more are here
 * because LMDB makes them cheap: `claim`, by an index of what waits, and `put_batch`, in one transaction.
 *
 * What makes it correct is one thing: LMDB lets one writer at a time in, of all threads and processes. Each
 * method is one transaction, so whatever it has looked at is still so when it writes. A process that is killed
 * leaves its transaction undone. With `sync` (the default) what was accepted survives a power cut, too;
 * without, a power cut may damage the file.
 *
 * There are two maps. `records` has for each key the revision, in eight bytes, and then the record as JSON:
 * most writes need the revision alone of what is there. `turns` has an entry for each call that waits in a
 * queue, in the order in which they are claimed; it is changed in the transaction that changes the record.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <strand-plugin.h>
#include <string.h>

#define EXAMPLE_TYPE_LMDB_STORE (example_lmdb_store_get_type ())
G_DECLARE_FINAL_TYPE (ExampleLmdbStore, example_lmdb_store, EXAMPLE, LMDB_STORE, GObject)

/* Where a page of a listing ends, for the next: the last key, after this. No key has a blank. */
#define CURSOR "after "

/* Each reading transaction takes a seat in the lock file. */
#define MAX_READERS 512

/* One open file. LMDB's locks are the process's, so the same file must not be opened twice in one process:
 * all objects with the same path share what the first of them has opened. */
typedef struct
{
  guint n_users; /* under databases_lock */
  char *folder;  /* its real path */
  MDB_env *env;
  MDB_dbi records, turns;
  gboolean read_only;
} Database;

static GMutex databases_lock;
static GHashTable *databases; /* real path -> Database; under the lock, NULL while there is none */

struct _ExampleLmdbStore
{
  GObject parent_instance;

  char *path; /* set at construction, as the next two */
  gint64 max_size;
  gboolean sync;

  GMutex lock;
  Database *database; /* under the lock; NULL before the first use */
};

enum
{
  PROP_PATH = 1,
  PROP_MAX_SIZE,
  PROP_SYNC,
  FIRST_COMMON_PROPERTY /* those that every store has */
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ExampleLmdbStore, example_lmdb_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

/* --- errors ---------------------------------------------------------------------------------------------- */

/* Says only why: the function that was called adds what it was doing, to which key. LMDB's own numbers are
 * negative, the others are errno's. Always FALSE. */
static gboolean
fail (ExampleLmdbStore *self, int code, GError **error)
{
  if (code == MDB_MAP_FULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FULL,
                 "'%s' is full: it may have %" G_GINT64_FORMAT " bytes ('max-size')", self->path, self->max_size);
  else if (code > 0)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (code), "'%s': %s", self->path, g_strerror (code));
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "'%s': %s", self->path, mdb_strerror (code));
  return FALSE;
}

/* --- the file -------------------------------------------------------------------------------------------- */

static int
open_maps (Database *database)
{
  unsigned int create = database->read_only ? 0 : MDB_CREATE;
  MDB_txn *txn;
  int code = mdb_txn_begin (database->env, NULL, database->read_only ? MDB_RDONLY : 0, &txn);

  if (code != 0)
    return code;
  code = mdb_dbi_open (txn, "records", create, &database->records);
  if (code == 0)
    code = mdb_dbi_open (txn, "turns", create, &database->turns);
  if (code == 0)
    return mdb_txn_commit (txn);
  mdb_txn_abort (txn);
  return code;
}

static int
open_env (Database *database, ExampleLmdbStore *self, unsigned int flags)
{
  int code = mdb_env_create (&database->env);

  if (code != 0)
    return code;
  mdb_env_set_maxdbs (database->env, 2);
  mdb_env_set_maxreaders (database->env, MAX_READERS);
  mdb_env_set_mapsize (database->env, (size_t) self->max_size);
  database->read_only = (flags & MDB_RDONLY) != 0;
  /* MDB_NOTLS: any thread may have several transactions that read. */
  code = mdb_env_open (database->env, database->folder, MDB_NOTLS | (self->sync ? 0 : MDB_NOSYNC) | flags, 0600);
  if (code == 0)
    code = open_maps (database);
  if (code != 0)
    mdb_env_close (database->env); /* also what could not be opened */
  return code;
}

/* Where nothing can be written, not even LMDB's locks, nobody else writes either. */
static Database *
database_open (ExampleLmdbStore *self, const char *folder, GError **error)
{
  Database *database = g_new0 (Database, 1);
  int code;

  database->folder = g_strdup (folder);
  code = open_env (database, self, 0);
  if (code == EROFS)
    code = open_env (database, self, MDB_RDONLY | MDB_NOLOCK);
  if (code == 0)
    return database;
  g_free (database->folder);
  g_free (database);
  fail (self, code, error);
  return NULL;
}

static Database *
database_ref (ExampleLmdbStore *self, GError **error)
{
  char *folder = g_mkdir_with_parents (self->path, 0700) == 0 ? realpath (self->path, NULL) : NULL;
  Database *database = NULL;

  if (folder == NULL)
    {
      fail (self, errno, error);
      return NULL;
    }
  g_mutex_lock (&databases_lock);
  if (databases == NULL)
    databases = g_hash_table_new (g_str_hash, g_str_equal);
  database = g_hash_table_lookup (databases, folder);
  if (database == NULL)
    database = database_open (self, folder, error);
  if (database != NULL && database->n_users++ == 0)
    g_hash_table_insert (databases, database->folder, database);
  g_mutex_unlock (&databases_lock);
  free (folder);
  return database;
}

static void
database_unref (Database *database)
{
  g_mutex_lock (&databases_lock);
  if (--database->n_users == 0)
    {
      g_hash_table_remove (databases, database->folder);
      if (g_hash_table_size (databases) == 0)
        g_clear_pointer (&databases, g_hash_table_unref);
      mdb_env_close (database->env);
      g_free (database->folder);
      g_free (database);
    }
  g_mutex_unlock (&databases_lock);
}

/* Construction opens nothing; the first method that is called does. */
static Database *
use_database (ExampleLmdbStore *self, GError **error)
{
  Database *database;

  g_mutex_lock (&self->lock);
  if (self->database == NULL)
    self->database = database_ref (self, error);
  database = self->database;
  g_mutex_unlock (&self->lock);
  return database;
}

/* --- transactions ---------------------------------------------------------------------------------------- */

/* What a method works with, from begin() to finish(). */
typedef struct
{
  ExampleLmdbStore *store;
  Database *database;
  MDB_txn *txn;
} Visit;

/* A writer waits here until no other one is in, of any thread or process. What a process read that was killed
 * meanwhile would never be overwritten, so each writer looks for such readers first; it costs a microsecond. */
static gboolean
begin (Visit *visit, StrandStore *store, gboolean writing, GError **error)
{
  unsigned int flags = writing ? 0 : MDB_RDONLY;
  int code;

  visit->store = EXAMPLE_LMDB_STORE (store);
  visit->database = use_database (visit->store, error);
  if (visit->database == NULL)
    return FALSE;
  if (writing && visit->database->read_only)
    return fail (visit->store, EROFS, error);
  if (writing)
    mdb_reader_check (visit->database->env, NULL);
  code = mdb_txn_begin (visit->database->env, NULL, flags, &visit->txn);
  if (code == MDB_READERS_FULL)
    {
      mdb_reader_check (visit->database->env, NULL);
      code = mdb_txn_begin (visit->database->env, NULL, flags, &visit->txn);
    }
  return code == 0 || fail (visit->store, code, error);
}

/* Keeps what was written if all went well, and nothing of it otherwise. */
static gboolean
finish (Visit *visit, gboolean done, GError **error)
{
  int code = 0;

  if (done)
    code = mdb_txn_commit (visit->txn);
  else
    mdb_txn_abort (visit->txn);
  return code == 0 ? done : fail (visit->store, code, error);
}

static MDB_val
wrap (const void *data, gsize size)
{
  return (MDB_val){ size, (void *) data };
}

/* What is there lies in the file, and is valid until the transaction ends or writes. FALSE with an error. */
static gboolean
find (Visit *visit, const char *key, MDB_val *found, GError **error)
{
  MDB_val wanted = wrap (key, strlen (key));
  int code = mdb_get (visit->txn, visit->database->records, &wanted, found);

  if (code == MDB_NOTFOUND)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  else if (code != 0)
    fail (visit->store, code, error);
  return code == 0;
}

static guint64
read_revision (const MDB_val *found)
{
  guint64 revision = 0;

  if (found->mv_size >= sizeof revision)
    memcpy (&revision, found->mv_data, sizeof revision);
  return revision;
}

static StrandRecord *
read_record (const MDB_val *found, GError **error)
{
  gsize start = MIN (found->mv_size, sizeof (guint64));
  g_autoptr(GBytes) json = g_bytes_new ((const char *) found->mv_data + start, found->mv_size - start);

  return strand_record_from_json (json, error);
}

/* --- the index of what waits ----------------------------------------------------------------------------- */

/* An entry is a queue, a turn and a key, which sort as calls are claimed; its value is the call's not-before.
 * LMDB's keys have 511 bytes at most, and a queue's name may have more: a checksum stands for it. */
#define QUEUE_SIZE 64
#define TURN_SIZE sizeof (guint64)

static GByteArray *
make_entry (const char *queue)
{
  GByteArray *entry = g_byte_array_new ();
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, queue, -1);

  return g_byte_array_append (entry, (const guint8 *) sum, QUEUE_SIZE);
}

static GByteArray *
make_entry_of (StrandRecord *record)
{
  GByteArray *entry = make_entry (strand_record_get_string (record, STRAND_FIELD_QUEUE));
  const char *key = strand_record_get_key (record);
  /* The sign turned round and the high byte first, so that bytes sort as the numbers do. */
  guint64 turn = GUINT64_TO_BE ((guint64) strand_record_get_turn (record) ^ G_GUINT64_CONSTANT (1) << 63);

  g_byte_array_append (entry, (const guint8 *) &turn, TURN_SIZE);
  return g_byte_array_append (entry, (const guint8 *) key, (guint) strlen (key));
}

static int
index_record (Visit *visit, StrandRecord *record)
{
  g_autoptr(GByteArray) entry = NULL;
  gint64 not_before_us = strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE);
  MDB_val name, value = wrap (&not_before_us, sizeof not_before_us);

  if (!strand_record_is_waiting (record, NULL))
    return 0;
  entry = make_entry_of (record);
  name = wrap (entry->data, entry->len);
  return mdb_put (visit->txn, visit->database->turns, &name, &value, 0);
}

/* What the record that is there has in the index. One that cannot be read waits for nothing. */
static int
unindex_found (Visit *visit, const MDB_val *found)
{
  g_autoptr(StrandRecord) record = read_record (found, NULL);
  g_autoptr(GByteArray) entry = NULL;
  MDB_val name;
  int code;

  if (record == NULL || !strand_record_is_waiting (record, NULL))
    return 0;
  entry = make_entry_of (record);
  name = wrap (entry->data, entry->len);
  code = mdb_del (visit->txn, visit->database->turns, &name, NULL);
  return code == MDB_NOTFOUND ? 0 : code;
}

/* --- the four required methods --------------------------------------------------------------------------- */

static StrandRecord *
example_lmdb_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandRecord *record = NULL;
  MDB_val found;
  Visit visit;

  if (!begin (&visit, store, FALSE, error))
    return NULL;
  if (find (&visit, key, &found, error))
    record = read_record (&found, error);
  finish (&visit, FALSE, NULL); /* it has only read */
  return record;
}

/* Whether what is there has the revision that is expected; 0: whether nothing is there. @found is what is
 * there, of size 0 if nothing is. */
static gboolean
check_revision (Visit *visit, const char *key, guint64 expected, MDB_val *found, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  *found = wrap (NULL, 0);
  if (!find (visit, key, found, &local_error) &&
      !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (expected == 0 ? found->mv_size == 0 : read_revision (found) == expected)
    return TRUE;
  if (expected == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "revision %" G_GUINT64_FORMAT " is no longer there",
                 expected);
  return FALSE;
}

/* MDB_RESERVE: LMDB makes room, and the record is written into it without a copy between. */
static gboolean
write_record (Visit *visit, StrandRecord *record, const MDB_val *found, GError **error)
{
  g_autoptr(GBytes) json = strand_record_to_json (record);
  guint64 revision = strand_record_get_revision (record);
  const char *key = strand_record_get_key (record);
  MDB_val name = wrap (key, strlen (key)), room;
  gsize size;
  gconstpointer data = g_bytes_get_data (json, &size);
  int code = found->mv_size > 0 ? unindex_found (visit, found) : 0;

  room = wrap (NULL, sizeof revision + size);
  if (code == 0)
    code = mdb_put (visit->txn, visit->database->records, &name, &room, MDB_RESERVE);
  if (code == 0)
    {
      memcpy (room.mv_data, &revision, sizeof revision);
      memcpy ((char *) room.mv_data + sizeof revision, data, size);
      code = index_record (visit, record);
    }
  return code == 0 || fail (visit->store, code, error);
}

static gboolean
put_one (Visit *visit, StrandRecord *record, guint64 expected, GError **error)
{
  MDB_val found;

  return check_revision (visit, strand_record_get_key (record), expected, &found, error) &&
         write_record (visit, record, &found, error);
}

static gboolean
example_lmdb_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  Visit visit;

  return begin (&visit, store, TRUE, error) && finish (&visit, put_one (&visit, record, expected, error), error);
}

/* With @expected 0 whatever is there goes, readable or not. */
static gboolean
remove_one (Visit *visit, const char *key, guint64 expected, GError **error)
{
  MDB_val found, name = wrap (key, strlen (key));
  int code;

  if (!find (visit, key, &found, error) ||
      (expected != 0 && !check_revision (visit, key, expected, &found, error)))
    return FALSE;
  code = unindex_found (visit, &found);
  if (code == 0)
    code = mdb_del (visit->txn, visit->database->records, &name, NULL);
  return code == 0 || fail (visit->store, code, error);
}

static gboolean
example_lmdb_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  Visit visit;

  return begin (&visit, store, TRUE, error) && finish (&visit, remove_one (&visit, key, expected, error), error);
}

/* Adds the record if it is wanted; one that cannot be read is named, and holds up no other. */
static void
add_to_page (StrandPage *page, const StrandFilter *filter, const char *key, const MDB_val *found)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = read_record (found, &error);

  if (record == NULL)
    strand_page_add_unreadable (page, key, error);
  else if (strand_filter_matches (filter, record))
    strand_page_add (page, record);
}

/* In the order of keys: what comes and goes meanwhile moves nothing else to another page. */
static int
fill_page (StrandPage *page, MDB_cursor *cursor, const StrandFilter *filter, const char *after, guint limit)
{
  MDB_val name = wrap (after, strlen (after)), found;
  int code = mdb_cursor_get (cursor, &name, &found, *after != '\0' ? MDB_SET_RANGE : MDB_FIRST);

  for (; code == 0; code = mdb_cursor_get (cursor, &name, &found, MDB_NEXT))
    {
      g_autofree char *key = g_strndup (name.mv_data, name.mv_size);

      if (strcmp (key, after) == 0)
        continue;
      add_to_page (page, filter, key, &found);
      if (strand_page_get_records (page)->len == limit)
        {
          g_autofree char *next = g_strconcat (CURSOR, key, NULL);

          strand_page_set_next (page, next);
          return 0;
        }
    }
  return code == MDB_NOTFOUND ? 0 : code;
}

static StrandPage *
example_lmdb_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                         GError **error)
{
  g_autoptr(StrandPage) page = strand_page_new ();
  const char *after = "";
  MDB_cursor *place;
  Visit visit;
  int code;

  if (cursor != NULL && !g_str_has_prefix (cursor, CURSOR))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "this is no cursor of this store");
      return NULL;
    }
  if (cursor != NULL)
    after = cursor + strlen (CURSOR);
  if (!begin (&visit, store, FALSE, error))
    return NULL;
  code = mdb_cursor_open (visit.txn, visit.database->records, &place);
  if (code == 0)
    {
      code = fill_page (page, place, filter, after, limit);
      mdb_cursor_close (place);
    }
  finish (&visit, FALSE, NULL);
  if (code == 0)
    return g_steal_pointer (&page);
  fail (visit.store, code, error);
  return NULL;
}

/* --- what LMDB makes cheap ------------------------------------------------------------------------------- */

/* The keys of what is due in a queue, in turn. */
static int
list_due (Visit *visit, MDB_cursor *cursor, const char *queue, const StrandClaim *claim, guint wanted,
          GPtrArray *keys, gint64 *next_due_us)
{
  g_autoptr(GByteArray) prefix = make_entry (queue);
  MDB_val name = wrap (prefix->data, prefix->len), value;
  int code = mdb_cursor_get (cursor, &name, &value, MDB_SET_RANGE);

  for (; code == 0 && keys->len < wanted; code = mdb_cursor_get (cursor, &name, &value, MDB_NEXT))
    {
      gsize start = QUEUE_SIZE + TURN_SIZE;
      gint64 not_before_us;

      if (name.mv_size <= start || memcmp (name.mv_data, prefix->data, QUEUE_SIZE) != 0)
        return 0;
      memcpy (&not_before_us, value.mv_data, sizeof not_before_us);
      if (not_before_us <= claim->now_us)
        g_ptr_array_add (keys, g_strndup ((const char *) name.mv_data + start, name.mv_size - start));
      else if (*next_due_us == 0 || not_before_us < *next_due_us)
        *next_due_us = not_before_us;
    }
  return code == MDB_NOTFOUND ? 0 : code;
}

/* Nobody else has written since the index was read, so what it says is so. */
static gboolean
claim_one (Visit *visit, const char *key, const StrandClaim *claim, GPtrArray *claimed, GError **error)
{
  g_autoptr(StrandRecord) record = NULL;
  MDB_val found;

  if (!find (visit, key, &found, error) || (record = read_record (&found, error)) == NULL)
    return FALSE;
  strand_record_claim (record, claim->owner, claim->now_us);
  strand_record_set_int (record, STRAND_FIELD_REVISION, (gint64) (read_revision (&found) + 1));
  if (!write_record (visit, record, &found, error))
    return FALSE;
  g_ptr_array_add (claimed, g_steal_pointer (&record));
  return TRUE;
}

static gboolean
claim_from (Visit *visit, const char *queue, const StrandClaim *claim, GPtrArray *claimed, gint64 *next_due_us,
            GError **error)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  MDB_cursor *cursor;
  int code = mdb_cursor_open (visit->txn, visit->database->turns, &cursor);

  if (code == 0)
    {
      code = list_due (visit, cursor, queue, claim, claim->limit - claimed->len, keys, next_due_us);
      mdb_cursor_close (cursor);
    }
  if (code != 0)
    return fail (visit->store, code, error);
  for (guint i = 0; i < keys->len; i++)
    if (!claim_one (visit, keys->pdata[i], claim, claimed, error))
      return FALSE;
  return TRUE;
}

/* All of it or nothing: what a claim that failed had taken is pending again. */
static GPtrArray *
example_lmdb_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  g_autoptr(GPtrArray) claimed = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  gboolean done = TRUE;
  Visit visit;

  if (!begin (&visit, store, TRUE, error))
    return NULL;
  *next_due_us = 0;
  for (guint i = 0; done && claim->queues[i] != NULL && claimed->len < claim->limit; i++)
    done = claim_from (&visit, claim->queues[i], claim, claimed, next_due_us, error);
  if (!done || claimed->len == 0)
    finish (&visit, FALSE, NULL); /* nothing to write */
  else
    done = finish (&visit, TRUE, error);
  return done ? g_steal_pointer (&claimed) : NULL;
}

/* One transaction, and one sync, for all of them. What is refused has written nothing; where the transaction
 * itself fails, nobody has. */
static guint
example_lmdb_store_put_batch (StrandStore *store, StrandRecord *const *records, const guint64 *expected, guint n,
                              GError **errors)
{
  g_autoptr(GError) error = NULL;
  guint n_written = 0;
  Visit visit;

  if (begin (&visit, store, TRUE, &error))
    {
      for (guint i = 0; i < n; i++)
        n_written += put_one (&visit, records[i], expected[i], &errors[i]);
      finish (&visit, TRUE, &error);
    }
  for (guint i = 0; error != NULL && i < n; i++)
    if (errors[i] == NULL)
      errors[i] = g_error_copy (error);
  return error == NULL ? n_written : 0;
}

/* Called once, when no method runs and none will. */
static void
example_lmdb_store_close (StrandStore *store)
{
  g_clear_pointer (&EXAMPLE_LMDB_STORE (store)->database, database_unref);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = example_lmdb_store_get;
  iface->put = example_lmdb_store_put;
  iface->remove = example_lmdb_store_remove;
  iface->list = example_lmdb_store_list;
  iface->claim = example_lmdb_store_claim;
  iface->put_batch = example_lmdb_store_put_batch;
  iface->close = example_lmdb_store_close;
}

/* --- the object ------------------------------------------------------------------------------------------ */

/* What this class does not know is what every store has: ttl, auto-cleanup and so on. */
static void
example_lmdb_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  ExampleLmdbStore *self = EXAMPLE_LMDB_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      self->path = g_value_dup_string (value);
      break;
    case PROP_MAX_SIZE:
      self->max_size = g_value_get_int64 (value);
      break;
    case PROP_SYNC:
      self->sync = g_value_get_boolean (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (object), value, pspec);
    }
}

static void
example_lmdb_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  ExampleLmdbStore *self = EXAMPLE_LMDB_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    case PROP_MAX_SIZE:
      g_value_set_int64 (value, self->max_size);
      break;
    case PROP_SYNC:
      g_value_set_boolean (value, self->sync);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (object), value, pspec);
    }
}

static void
example_lmdb_store_finalize (GObject *object)
{
  ExampleLmdbStore *self = EXAMPLE_LMDB_STORE (object);

  g_clear_pointer (&self->database, database_unref);
  g_free (self->path);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (example_lmdb_store_parent_class)->finalize (object);
}

static void
example_lmdb_store_class_init (ExampleLmdbStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GParamFlags fixed = G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS;

  object_class->set_property = example_lmdb_store_set_property;
  object_class->get_property = example_lmdb_store_get_property;
  object_class->finalize = example_lmdb_store_finalize;

  g_object_class_install_property (
      object_class, PROP_PATH,
      g_param_spec_string ("path", NULL, "The folder of the database, which is made when it is missing", NULL,
                           fixed | STRAND_PARAM_REQUIRED));
  g_object_class_install_property (
      object_class, PROP_MAX_SIZE,
      g_param_spec_int64 ("max-size", NULL,
                          "How large the database may become; takes addresses, not memory. The same in every program",
                          1024 * 1024, G_MAXSSIZE, G_GINT64_CONSTANT (1) << 30, fixed | STRAND_PARAM_SIZE));
  g_object_class_install_property (
      object_class, PROP_SYNC,
      g_param_spec_boolean ("sync", NULL, "Whether what is accepted is on the disk; if not, a power cut may damage all",
                            TRUE, fixed));
  strand_store_override_properties (object_class, FIRST_COMMON_PROPERTY);
}

static void
example_lmdb_store_init (ExampleLmdbStore *self)
{
  g_mutex_init (&self->lock);
}

STRAND_PLUGIN_DEFINE ("lmdb-store", "1.0", "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("lmdb", ExampleLmdbStore, example_lmdb_store_get_type,
                                             "Keeps records in LMDB, for any number of programs of one machine"))
