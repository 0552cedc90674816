/* memory-store.c — keeps records in this process, for as long as it lives.
 *
 * The store has a limit, in records and in bytes. To make room it drops the calls that ended longest ago, for
 * somebody has had the longest time to look at them; a call that has not ended is never dropped. Only when
 * nothing else is left is the store full.
 *
 * Records are copied in and out, so nobody else ever holds one of the store's own. One mutex guards
 * everything and no method does more under it than look up, copy and link.
 *
 * Pending calls stand in two orders for each queue: those that are due by turn, those that wait for their
 * time by that. A claim moves what has become due from the one to the other and takes the first, so it costs
 * the same however many records there are.         SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include <string.h>

#define STRAND_TYPE_MEMORY_STORE (strand_memory_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandMemoryStore, strand_memory_store, STRAND, MEMORY_STORE, GObject)

/* As many as a program may have pending before its main context is told that a queue is full. */
#define DEFAULT_MAX_RECORDS (4 * 1024 * 1024)

/* About 500 bytes a record at that number. */
#define DEFAULT_MAX_BYTES (G_GINT64_CONSTANT (2) * 1024 * 1024 * 1024)

/* How many records one page looks at, so that a rare match does not hold the lock for long. */
#define MAX_LOOKS 4096

/* What a record costs beside what it holds: its table of fields, its key, and our links to it. */
#define RECORD_OVERHEAD 512

/* What an item costs beside its bytes. */
#define ITEM_OVERHEAD 64

/* The pending calls of one queue. */
typedef struct
{
  GSequence *due;   /* of Entry, by turn */
  GSequence *later; /* of Entry, by not-before */
} Queue;

/* What a call has emitted under one fence. */
typedef struct
{
  guint64 fence;
  guint64 begin;
  GQueue items; /* of GBytes */
  gint64 bytes; /* what they cost */
} Log;

typedef struct
{
  StrandRecord *record;
  gint64 bytes;
  guint64 serial;       /* listing order: grows with each new key */
  GSequenceIter *place; /* in by_serial */
  GList finished_link;  /* in finished, if is_finished */
  gboolean is_finished;
  Queue *queue;              /* NULL unless it is pending in one */
  GSequenceIter *queue_iter; /* in one of its orders */
  gint64 turn;
  gint64 not_before_us;
} Entry;

struct _StrandMemoryStore
{
  GObject parent_instance;

  GMutex lock; /* guards everything below */
  gint64 max_records;
  gint64 max_bytes;
  GHashTable *entries;  /* key, borrowed from the record → Entry */
  GSequence *by_serial; /* of Entry */
  GQueue finished;      /* of Entry, the one that ended first in front */
  GList *clean_next;    /* where in finished the next cleanup goes on; NULL for the front */
  GHashTable *queues;   /* name → Queue */
  GHashTable *logs;     /* key → GPtrArray of Log */
  guint64 last_serial;
  gint64 bytes;
  guint64 n_dropped;
};

typedef enum
{
  PROP_MAX_RECORDS = 1,
  PROP_MAX_BYTES,
  PROP_DROPPED,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandMemoryStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandMemoryStore, strand_memory_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static void
entry_free (gpointer data)
{
  Entry *entry = data;

  strand_record_unref (entry->record);
  g_free (entry);
}

static int
compare_serials (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Entry *one = a, *other = b;

  return one->serial < other->serial ? -1 : one->serial > other->serial;
}

/* --- queues -------------------------------------------------------------------------------------------- */

static void
queue_free (gpointer data)
{
  Queue *queue = data;

  g_sequence_free (queue->due);
  g_sequence_free (queue->later);
  g_free (queue);
}

static int
compare_turns (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Entry *one = a, *other = b;

  if (one->turn != other->turn)
    return one->turn < other->turn ? -1 : 1;
  return strcmp (strand_record_get_key (one->record), strand_record_get_key (other->record));
}

static int
compare_times (gconstpointer a, gconstpointer b, gpointer unused)
{
  const Entry *one = a, *other = b;

  if (one->not_before_us != other->not_before_us)
    return one->not_before_us < other->not_before_us ? -1 : 1;
  return compare_turns (a, b, NULL);
}

static void
wait_locked (Entry *entry, gint64 now_us)
{
  entry->queue_iter = entry->not_before_us > now_us
                          ? g_sequence_insert_sorted (entry->queue->later, entry, compare_times, NULL)
                          : g_sequence_insert_sorted (entry->queue->due, entry, compare_turns, NULL);
}

/* To be called before an entry's record goes or changes. */
static void
leave_queue_locked (StrandMemoryStore *self, Entry *entry)
{
  Queue *queue = entry->queue;

  if (queue == NULL)
    return;
  g_sequence_remove (entry->queue_iter);
  entry->queue = NULL;
  if (g_sequence_is_empty (queue->due) && g_sequence_is_empty (queue->later))
    g_hash_table_remove (self->queues, strand_record_get_string (entry->record, STRAND_FIELD_QUEUE));
}

/* And after. */
static void
enter_queue_locked (StrandMemoryStore *self, Entry *entry)
{
  const char *name = strand_record_get_string (entry->record, STRAND_FIELD_QUEUE);

  if (!strand_record_is_waiting (entry->record, NULL))
    return;
  entry->queue = g_hash_table_lookup (self->queues, name);
  if (entry->queue == NULL)
    {
      entry->queue = g_new (Queue, 1);
      entry->queue->due = g_sequence_new (NULL);
      entry->queue->later = g_sequence_new (NULL);
      g_hash_table_insert (self->queues, g_strdup (name), entry->queue);
    }
  entry->turn = strand_record_get_turn (entry->record);
  entry->not_before_us = strand_record_get_int (entry->record, STRAND_FIELD_NOT_BEFORE);
  wait_locked (entry, strand_clock_now_us ());
}

static Entry *
peek_first (GSequence *entries)
{
  GSequenceIter *first = g_sequence_get_begin_iter (entries);

  return g_sequence_iter_is_end (first) ? NULL : g_sequence_get (first);
}

/* The call that is next; NULL if none is due. Clocks are set back, too: then what was due waits again. */
static Entry *
next_locked (Queue *queue, gint64 now_us)
{
  Entry *entry;

  while ((entry = peek_first (queue->later)) != NULL && entry->not_before_us <= now_us)
    {
      g_sequence_remove (entry->queue_iter);
      wait_locked (entry, now_us);
    }
  while ((entry = peek_first (queue->due)) != NULL && entry->not_before_us > now_us)
    {
      g_sequence_remove (entry->queue_iter);
      wait_locked (entry, now_us);
    }
  return entry;
}

/* --- what calls emit ----------------------------------------------------------------------------------- */

static gint64
item_cost (GBytes *item)
{
  return (gint64) g_bytes_get_size (item) + ITEM_OVERHEAD;
}

static void
log_free (gpointer data)
{
  Log *log = data;

  g_queue_clear_full (&log->items, (GDestroyNotify) g_bytes_unref);
  g_free (log);
}

static Log *
find_log_locked (StrandMemoryStore *self, const char *key, guint64 fence)
{
  GPtrArray *logs = g_hash_table_lookup (self->logs, key);

  for (guint i = 0; logs != NULL && i < logs->len; i++)
    if (((Log *) g_ptr_array_index (logs, i))->fence == fence)
      return g_ptr_array_index (logs, i);
  return NULL;
}

static Log *
make_log_locked (StrandMemoryStore *self, const char *key, guint64 fence)
{
  Log *log = find_log_locked (self, key, fence);
  GPtrArray *logs = g_hash_table_lookup (self->logs, key);

  if (log != NULL)
    return log;
  if (logs == NULL)
    {
      logs = g_ptr_array_new_with_free_func (log_free);
      g_hash_table_insert (self->logs, g_strdup (key), logs);
    }
  log = g_new0 (Log, 1);
  log->fence = fence;
  g_queue_init (&log->items);
  g_ptr_array_add (logs, log);
  return log;
}

static void
add_item_locked (StrandMemoryStore *self, Log *log, GBytes *item)
{
  log->bytes += item_cost (item);
  self->bytes += item_cost (item);
  g_queue_push_tail (&log->items, g_bytes_ref (item));
}

/* @item was taken out of the log. */
static void
drop_item_locked (StrandMemoryStore *self, Log *log, GBytes *item)
{
  log->bytes -= item_cost (item);
  self->bytes -= item_cost (item);
  g_bytes_unref (item);
}

/* What all logs of a call cost. */
static gint64
measure_items_locked (StrandMemoryStore *self, const char *key)
{
  GPtrArray *logs = g_hash_table_lookup (self->logs, key);
  gint64 bytes = 0;

  for (guint i = 0; logs != NULL && i < logs->len; i++)
    bytes += ((Log *) g_ptr_array_index (logs, i))->bytes;
  return bytes;
}

/* All logs of a call under @fence and earlier ones. */
static void
forget_items_locked (StrandMemoryStore *self, const char *key, guint64 fence)
{
  GPtrArray *logs = g_hash_table_lookup (self->logs, key);

  for (guint i = logs != NULL ? logs->len : 0; i > 0; i--)
    {
      Log *log = g_ptr_array_index (logs, i - 1);

      if (log->fence > fence)
        continue;
      while (!g_queue_is_empty (&log->items))
        drop_item_locked (self, log, g_queue_pop_tail (&log->items));
      g_ptr_array_remove_index (logs, i - 1);
    }
  if (logs != NULL && logs->len == 0)
    g_hash_table_remove (self->logs, key);
}

/* --- records ------------------------------------------------------------------------------------------- */

static void
set_finished_locked (StrandMemoryStore *self, Entry *entry, gboolean finished)
{
  if (finished == entry->is_finished)
    return;

  if (finished)
    g_queue_push_tail_link (&self->finished, &entry->finished_link);
  else
    {
      if (self->clean_next == &entry->finished_link)
        self->clean_next = entry->finished_link.next;
      g_queue_unlink (&self->finished, &entry->finished_link);
    }
  entry->is_finished = finished;
}

/* Takes the entry out of the tables; the caller frees it, after the unlock. */
static void
unlink_locked (StrandMemoryStore *self, Entry *entry)
{
  set_finished_locked (self, entry, FALSE);
  leave_queue_locked (self, entry);
  forget_items_locked (self, strand_record_get_key (entry->record), G_MAXUINT64);
  g_hash_table_remove (self->entries, strand_record_get_key (entry->record));
  g_sequence_remove (entry->place);
  self->bytes -= entry->bytes;
}

static gboolean
is_over_locked (StrandMemoryStore *self, gint64 more_records, gint64 more_bytes)
{
  return (self->max_records >= 0 && g_hash_table_size (self->entries) + more_records > self->max_records) ||
         (self->max_bytes >= 0 && self->bytes + more_bytes > self->max_bytes);
}

/* Drops what ended first until there is room for so much more, but never @keep, which is being replaced.
 * Drops nothing if that would not be enough. */
static gboolean
make_room_locked (StrandMemoryStore *self, gint64 more_records, gint64 more_bytes, Entry *keep,
                  GPtrArray *dropped, GError **error)
{
  g_autoptr(GPtrArray) oldest = g_ptr_array_new ();

  for (GList *l = self->finished.head; l != NULL && is_over_locked (self, more_records, more_bytes);
       l = l->next)
    {
      Entry *entry = l->data;

      if (entry == keep)
        continue;
      g_ptr_array_add (oldest, entry);
      more_records--;
      more_bytes -= entry->bytes + measure_items_locked (self, strand_record_get_key (entry->record));
    }

  if (is_over_locked (self, more_records, more_bytes))
    {
      g_set_error (
          error, STRAND_ERROR, STRAND_ERROR_FULL,
          "the store has %u records with %" G_GINT64_FORMAT
          " bytes and may drop only calls that have ended; raise 'max-records' or 'max-bytes', or try "
          "again when some have",
          g_hash_table_size (self->entries), self->bytes);
      return FALSE;
    }

  self->n_dropped += oldest->len;
  for (guint i = 0; i < oldest->len; i++)
    unlink_locked (self, g_ptr_array_index (oldest, i));
  g_ptr_array_extend_and_steal (dropped, g_steal_pointer (&oldest));
  return TRUE;
}

static Entry *
insert_locked (StrandMemoryStore *self, StrandRecord *copy)
{
  Entry *entry = g_new0 (Entry, 1);

  entry->record = copy;
  entry->serial = ++self->last_serial;
  entry->finished_link.data = entry;
  entry->place = g_sequence_append (self->by_serial, entry);
  g_hash_table_insert (self->entries, (char *) strand_record_get_key (copy), entry);
  return entry;
}

/* The key in the table belongs to the record, so both change together. */
static void
replace_locked (StrandMemoryStore *self, Entry *entry, StrandRecord *copy)
{
  g_hash_table_steal (self->entries, strand_record_get_key (entry->record));
  strand_record_unref (entry->record);
  entry->record = copy;
  g_hash_table_insert (self->entries, (char *) strand_record_get_key (copy), entry);
}

static gboolean
check_revision (Entry *entry, guint64 expected, GError **error)
{
  guint64 revision = entry != NULL ? strand_record_get_revision (entry->record) : 0;

  if (revision == expected)
    return TRUE;

  if (expected == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  else if (entry == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record has been removed since it was read");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "it has revision %" G_GUINT64_FORMAT " and %" G_GUINT64_FORMAT " was expected", revision,
                 expected);
  return FALSE;
}

static void
set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

static StrandRecord *
strand_memory_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  g_autoptr(StrandRecord) record = NULL;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->entries, key);
  if (entry != NULL)
    record = strand_record_ref (entry->record);
  g_mutex_unlock (&self->lock);

  if (record == NULL)
    {
      set_not_found (error);
      return NULL;
    }
  return strand_record_copy (record);
}

static void
tell_of_dropped (StrandStore *store, GPtrArray *dropped)
{
  for (guint i = 0; i < dropped->len; i++)
    {
      Entry *gone = g_ptr_array_index (dropped, i);

      strand_store_changed (store, strand_record_get_key (gone->record));
    }
}

static gboolean
strand_memory_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  g_autoptr(StrandRecord) copy = strand_record_copy (record);
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (entry_free);
  gint64 bytes = strand_store_measure (copy) + RECORD_OVERHEAD;
  gboolean finished = strand_status_is_terminal (strand_record_get_status (copy));
  gboolean done;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->entries, strand_record_get_key (copy));
  done = check_revision (entry, expected, error) &&
         make_room_locked (self, entry == NULL, bytes - (entry != NULL ? entry->bytes : 0), entry, dropped,
                           error);
  if (done)
    {
      if (entry == NULL)
        entry = insert_locked (self, g_steal_pointer (&copy));
      else
        {
          leave_queue_locked (self, entry);
          replace_locked (self, entry, g_steal_pointer (&copy));
        }
      enter_queue_locked (self, entry);
      self->bytes += bytes - entry->bytes;
      entry->bytes = bytes;
      set_finished_locked (self, entry, finished);
    }
  g_mutex_unlock (&self->lock);

  tell_of_dropped (store, dropped);
  return done;
}

static gboolean
strand_memory_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  gboolean done;
  Entry *entry;

  g_mutex_lock (&self->lock);
  entry = g_hash_table_lookup (self->entries, key);
  if (entry == NULL)
    set_not_found (error);
  done = entry != NULL && (expected == 0 || check_revision (entry, expected, error));
  if (done)
    unlink_locked (self, entry);
  g_mutex_unlock (&self->lock);

  if (done)
    entry_free (entry);
  return done;
}

/* The cursor is the serial of the last record of the page before: it stays good whatever is removed. */
static gboolean
parse_cursor (const char *cursor, guint64 *serial, GError **error)
{
  *serial = 0;
  if (cursor == NULL || g_ascii_string_to_unsigned (cursor, 10, 1, G_MAXUINT64, serial, NULL))
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a cursor of this store",
               cursor);
  return FALSE;
}

static StrandPage *
strand_memory_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                          GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  StrandPage *page;
  GSequenceIter *iter;
  Entry after = { 0 };
  guint n_looks = 0;

  if (!parse_cursor (cursor, &after.serial, error))
    return NULL;

  g_mutex_lock (&self->lock);
  iter = g_sequence_search (self->by_serial, &after, compare_serials, NULL);
  for (; !g_sequence_iter_is_end (iter) && found->len < limit && n_looks < MAX_LOOKS;
       iter = g_sequence_iter_next (iter))
    {
      Entry *entry = g_sequence_get (iter);

      n_looks++;
      after.serial = entry->serial;
      if (strand_filter_matches (filter, entry->record))
        g_ptr_array_add (found, strand_record_ref (entry->record));
    }
  if (g_sequence_iter_is_end (iter))
    after.serial = 0;
  g_mutex_unlock (&self->lock);

  page = strand_page_new ();
  for (guint i = 0; i < found->len; i++)
    {
      g_autoptr(StrandRecord) copy = strand_record_copy (g_ptr_array_index (found, i));

      strand_page_add (page, copy);
    }
  if (after.serial > 0)
    {
      g_autofree char *next = g_strdup_printf ("%" G_GUINT64_FORMAT, after.serial);

      strand_page_set_next (page, next);
    }
  return page;
}

static gint64
strand_memory_store_count (StrandStore *store, const StrandFilter *filter, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  gint64 now_us = strand_clock_now_us ();
  GHashTableIter iter;
  gpointer value;
  gint64 n = 0;

  g_mutex_lock (&self->lock);
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      StrandRecord *record = ((Entry *) value)->record;

      n += strand_filter_matches (filter, record) && !strand_record_is_expired (record, now_us);
    }
  g_mutex_unlock (&self->lock);

  return n;
}

/* Looks only at what has ended, the longest ended first. The budget is asked every 256 records: that many
 * take less than its finest grain. */
static gint64
strand_memory_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func (entry_free);
  gint64 start_us = strand_clock_monotonic_us ();
  GList *next;
  guint n = 0;

  g_mutex_lock (&self->lock);
  next = budget_us >= 0 && self->clean_next != NULL ? self->clean_next : self->finished.head;
  while (next != NULL)
    {
      Entry *entry = next->data;

      next = next->next;
      if (strand_record_is_expired (entry->record, now_us))
        {
          unlink_locked (self, entry);
          g_ptr_array_add (gone, entry);
        }
      if (budget_us >= 0 && ++n % 256 == 0 && strand_clock_monotonic_us () - start_us >= budget_us)
        break;
    }
  self->clean_next = next;
  g_mutex_unlock (&self->lock);

  for (guint i = 0; i < gone->len; i++)
    {
      Entry *entry = g_ptr_array_index (gone, i);

      strand_store_changed (store, strand_record_get_key (entry->record));
    }
  return gone->len;
}

/* --- work ---------------------------------------------------------------------------------------------- */

/* Claims the call of an entry. What it then costs beyond its place is not worth a refusal. */
static StrandRecord *
claim_entry_locked (StrandMemoryStore *self, Entry *entry, const StrandClaim *claim)
{
  StrandRecord *record = strand_record_copy (entry->record);

  strand_record_claim (record, claim->owner, claim->now_us);
  strand_record_set_int (record, STRAND_FIELD_REVISION,
                         (gint64) strand_record_get_revision (entry->record) + 1);
  leave_queue_locked (self, entry);
  replace_locked (self, entry, strand_record_copy (record));
  return record;
}

static void
claim_from_locked (StrandMemoryStore *self, const char *name, const StrandClaim *claim, GPtrArray *claimed,
                   gint64 *next_due_us)
{
  Queue *queue;
  Entry *entry;

  while (claimed->len < claim->limit && (queue = g_hash_table_lookup (self->queues, name)) != NULL &&
         (entry = next_locked (queue, claim->now_us)) != NULL)
    g_ptr_array_add (claimed, claim_entry_locked (self, entry, claim));

  queue = g_hash_table_lookup (self->queues, name);
  if (queue == NULL)
    return;
  next_locked (queue, claim->now_us);
  entry = peek_first (queue->later);
  if (entry != NULL && (*next_due_us == 0 || entry->not_before_us < *next_due_us))
    *next_due_us = entry->not_before_us;
}

static GPtrArray *
strand_memory_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  GPtrArray *claimed = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);

  g_mutex_lock (&self->lock);
  for (guint i = 0; claim->queues[i] != NULL; i++)
    claim_from_locked (self, claim->queues[i], claim, claimed, next_due_us);
  g_mutex_unlock (&self->lock);
  return claimed;
}

/* At least one item is kept. Where it begins, and what is there from @first on, are as the contract says. */
static void
append_locked (StrandMemoryStore *self, Log *log, guint64 first, GBytes *const *items, guint n,
               guint max_items)
{
  gboolean reaches = first >= log->begin && first <= log->begin + log->items.length;
  guint64 keep = reaches ? first - log->begin : 0;

  while (log->items.length > keep)
    drop_item_locked (self, log, g_queue_pop_tail (&log->items));
  if (log->items.length == 0)
    log->begin = first;
  for (guint i = 0; i < n; i++)
    add_item_locked (self, log, items[i]);
  while (log->items.length > MAX (max_items, 1))
    {
      drop_item_locked (self, log, g_queue_pop_head (&log->items));
      log->begin++;
    }
}

static gboolean
strand_memory_store_append_items (StrandStore *store, const char *key, guint64 fence, guint64 first,
                                  GBytes *const *items, guint n, guint max_items, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (entry_free);
  gint64 bytes = 0;
  gboolean done;

  for (guint i = 0; i < n; i++)
    bytes += item_cost (items[i]);
  g_mutex_lock (&self->lock);
  done = n == 0 || make_room_locked (self, 0, bytes, NULL, dropped, error);
  if (n > 0 && done)
    append_locked (self, make_log_locked (self, key, fence), first, items, n, max_items);
  g_mutex_unlock (&self->lock);

  tell_of_dropped (store, dropped);
  return done;
}

static GPtrArray *
strand_memory_store_read_items (StrandStore *store, const char *key, guint64 fence, guint64 from, guint limit,
                                guint64 *first, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);
  GPtrArray *found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  GList *link = NULL;
  Log *log;

  g_mutex_lock (&self->lock);
  log = find_log_locked (self, key, fence);
  *first = log != NULL ? MAX (from, log->begin) : from;
  if (log != NULL && *first - log->begin < log->items.length)
    link = g_queue_peek_nth_link (&log->items, (guint) (*first - log->begin));
  for (; link != NULL && found->len < limit; link = link->next)
    g_ptr_array_add (found, g_bytes_ref (link->data));
  g_mutex_unlock (&self->lock);
  return found;
}

static gboolean
strand_memory_store_remove_items (StrandStore *store, const char *key, guint64 fence, GError **error)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (store);

  g_mutex_lock (&self->lock);
  forget_items_locked (self, key, fence);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* No other process can write here. */
static gboolean
strand_memory_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  return TRUE;
}

static gboolean
strand_memory_store_set_watching_queues (StrandStore *store, const char *const *queues, GError **error)
{
  return TRUE;
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_memory_store_get;
  iface->put = strand_memory_store_put;
  iface->remove = strand_memory_store_remove;
  iface->list = strand_memory_store_list;
  iface->set_watching = strand_memory_store_set_watching;
  iface->count = strand_memory_store_count;
  iface->cleanup_expired = strand_memory_store_cleanup_expired;
  iface->claim = strand_memory_store_claim;
  iface->set_watching_queues = strand_memory_store_set_watching_queues;
  iface->append_items = strand_memory_store_append_items;
  iface->read_items = strand_memory_store_read_items;
  iface->remove_items = strand_memory_store_remove_items;
}

static void
strand_memory_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (object);

  if (id >= FIRST_COMMON_PROP)
    {
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
      return;
    }

  g_mutex_lock (&self->lock);
  if (id == PROP_MAX_RECORDS)
    self->max_records = g_value_get_int64 (value);
  else
    self->max_bytes = g_value_get_int64 (value);
  g_mutex_unlock (&self->lock);
}

static void
strand_memory_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (object);

  if (id >= FIRST_COMMON_PROP)
    {
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
      return;
    }

  g_mutex_lock (&self->lock);
  if (id == PROP_MAX_RECORDS)
    g_value_set_int64 (value, self->max_records);
  else if (id == PROP_MAX_BYTES)
    g_value_set_int64 (value, self->max_bytes);
  else
    g_value_set_uint64 (value, self->n_dropped);
  g_mutex_unlock (&self->lock);
}

static void
strand_memory_store_finalize (GObject *object)
{
  StrandMemoryStore *self = STRAND_MEMORY_STORE (object);
  GHashTableIter iter;
  gpointer entry;

  g_hash_table_unref (self->queues);
  g_hash_table_unref (self->logs);
  g_hash_table_iter_init (&iter, self->entries);
  while (g_hash_table_iter_next (&iter, NULL, &entry))
    entry_free (entry);
  g_hash_table_unref (self->entries);
  g_sequence_free (self->by_serial);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_memory_store_parent_class)->finalize (object);
}

static void
strand_memory_store_class_init (StrandMemoryStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = strand_memory_store_set_property;
  object_class->get_property = strand_memory_store_get_property;
  object_class->finalize = strand_memory_store_finalize;

  props[PROP_MAX_RECORDS] = g_param_spec_int64 (
      "max-records", NULL,
      "How many records are kept; beyond that the calls that ended first are dropped, -1 for no limit", -1,
      G_MAXINT64, DEFAULT_MAX_RECORDS, STRAND_PARAM_CONFIG);
  props[PROP_MAX_BYTES] = g_param_spec_int64 (
      "max-bytes", NULL,
      "How much memory the records may take, about; beyond that the calls that ended first are dropped", -1,
      G_MAXINT64, DEFAULT_MAX_BYTES, STRAND_PARAM_CONFIG | STRAND_PARAM_SIZE);
  props[PROP_DROPPED] =
      g_param_spec_uint64 ("dropped", NULL, "How many records have been dropped to make room", 0, G_MAXUINT64,
                           0, G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
strand_memory_store_init (StrandMemoryStore *self)
{
  g_mutex_init (&self->lock);
  g_queue_init (&self->finished);
  self->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, NULL);
  self->by_serial = g_sequence_new (NULL);
  self->queues = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, queue_free);
  self->logs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
}

STRAND_PLUGIN_DEFINE ("memory-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("memory", StrandMemoryStore, strand_memory_store_get_type,
                                             "Keeps records in this process while it lives"))
