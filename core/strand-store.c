/* strand-store.c — the border guard of every store, and what works on top of any four methods.
 *
 * Each public function is one visit: enter() looks at the door (closed? time to clean up?), the method runs
 * without any lock of ours, leave() tells close() that the house is empty. Watchers are told after the visit,
 * so they never run inside a store. Automatic cleanup is part of a visit and calls methods, never the public
 * functions: a cleanup cannot start another one.
 *
 * What a store needs for this lies in a StoreState beside the object, counted on its own, because the thread
 * that polls for a store which cannot watch must not keep the store alive.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-store.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-param.h"

#define DEFAULT_CLEANUP_PROBABILITY 0.1
#define DEFAULT_MAX_RECORD_SIZE (64 * 1024 * 1024)

/* An access that cleans up is late by this much at most: below what a person notices. */
#define CLEANUP_BUDGET_US (20 * 1000)

/* After a cleanup, none for 50 times as long as it took: a store full of fresh records loses 2 % to looking.
 */
#define CLEANUP_REST_FACTOR 50

/* How many records cleanup, count and the poller take at once: large enough to make paging cheap, small
 * enough that a page of ordinary records is some hundred KiB. */
#define PAGE_SIZE 256

/* Rule for stores that cannot notify: soon after a change look often, later hardly at all. */
#define POLL_SHORTEST_US (10 * 1000)
#define POLL_LONGEST_US (1000 * 1000)

/* Threads for the _async functions; stores block on disks and networks, not on processors. */
#define MAX_ASYNC_THREADS 4

/* What the poller remembers of a key that it cannot read; no real revision is as large. */
#define REVISION_UNREADABLE G_MAXUINT64

typedef struct
{
  gatomicrefcount refs;
  guint id;
  char *key; /* NULL: every key */
  StrandWatchFunc func;
  gpointer user_data;
  GDestroyNotify destroy;

  /* Guarded by the state's lock. */
  guint n_running;
  gboolean removed;
  gboolean removed_itself;
  gboolean destroyed; /* the data has been let go, or is about to be */
} Watcher;

/* The watchers that this thread is telling at the moment, innermost first. */
typedef struct _Frame Frame;
struct _Frame
{
  Watcher *watcher;
  Frame *outer;
};

typedef struct
{
  gatomicrefcount refs;
  GMutex switch_lock; /* taken before lock; serialises turning the store's own watching on and off */

  GMutex lock; /* guards everything below */
  GCond left;  /* a visit or a watcher's function has ended, or the poller has news */

  gint64 ttl_us;
  gint64 max_record_size;
  double cleanup_probability;
  gboolean auto_cleanup;

  guint n_visits;
  gboolean closed;

  gboolean cleaning;
  gint64 clean_after_us; /* monotonic */
  char *clean_cursor;

  guint last_watch_id;
  GHashTable *watchers;   /* id → Watcher, all of them */
  GHashTable *keyed;      /* key → GPtrArray of Watcher, borrowed from watchers */
  GPtrArray *unkeyed;     /* of Watcher, borrowed: those of every key */
  gboolean store_watches; /* set_watching (TRUE) has worked */
  gboolean polling;       /* a poller thread runs */
  gboolean poll_soon;     /* a watcher is new */
} StoreState;

typedef struct
{
  StrandStoreInterface *methods;
  StoreState *state;
  gint64 ttl_us;
  gint64 max_record_size;
  gboolean clean; /* this visit does the automatic cleanup */
} Visit;

typedef struct
{
  StoreState *state;
  GWeakRef store;
  GHashTable *seen; /* key → guint64 revision */
} Poller;

struct _StrandPage
{
  gatomicrefcount refs;
  GPtrArray *records;
  GPtrArray *names;  /* of char */
  GPtrArray *errors; /* of GError, one for each name */
  char *next;
};

static GPrivate current_frame;
static GQuark state_quark; /* set with the interface, before there can be a store */

static void strand_store_default_init (StrandStoreInterface *iface);

G_DEFINE_INTERFACE (StrandStore, strand_store, G_TYPE_OBJECT)
G_DEFINE_BOXED_TYPE (StrandPage, strand_page, strand_page_ref, strand_page_unref)
G_DEFINE_BOXED_TYPE (StrandFilter, strand_filter, strand_filter_copy, strand_filter_free)

static Watcher *
watcher_ref (Watcher *watcher)
{
  g_atomic_ref_count_inc (&watcher->refs);
  return watcher;
}

static void
watcher_unref (Watcher *watcher)
{
  if (!g_atomic_ref_count_dec (&watcher->refs))
    return;

  if (watcher->destroy != NULL && !watcher->destroyed)
    watcher->destroy (watcher->user_data);
  g_free (watcher->key);
  g_free (watcher);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Watcher, watcher_unref)

static StoreState *
state_new (void)
{
  StoreState *state = g_new0 (StoreState, 1);

  g_atomic_ref_count_init (&state->refs);
  g_mutex_init (&state->switch_lock);
  g_mutex_init (&state->lock);
  g_cond_init (&state->left);
  state->ttl_us = -1;
  state->max_record_size = DEFAULT_MAX_RECORD_SIZE;
  state->cleanup_probability = DEFAULT_CLEANUP_PROBABILITY;
  state->auto_cleanup = TRUE;
  state->clean_after_us = G_MININT64;
  state->watchers = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify)watcher_unref);
  state->keyed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
  state->unkeyed = g_ptr_array_new ();

  return state;
}

static StoreState *
state_ref (StoreState *state)
{
  g_atomic_ref_count_inc (&state->refs);
  return state;
}

static void
state_unref (StoreState *state)
{
  if (!g_atomic_ref_count_dec (&state->refs))
    return;

  g_ptr_array_unref (state->unkeyed);
  g_hash_table_unref (state->keyed);
  g_hash_table_unref (state->watchers);
  g_free (state->clean_cursor);
  g_cond_clear (&state->left);
  g_mutex_clear (&state->lock);
  g_mutex_clear (&state->switch_lock);
  g_free (state);
}

/* The object is being finalized: nobody can watch it any more, and its poller must end. */
static void
state_abandon (gpointer data)
{
  StoreState *state = data;
  g_autoptr (GHashTable) watchers = NULL;

  g_mutex_lock (&state->lock);
  state->closed = TRUE;
  watchers = g_steal_pointer (&state->watchers);
  state->watchers = g_hash_table_new (NULL, NULL);
  g_hash_table_remove_all (state->keyed);
  g_ptr_array_set_size (state->unkeyed, 0);
  g_cond_broadcast (&state->left);
  g_mutex_unlock (&state->lock);

  state_unref (state);
}

static StoreState *
peek_state (StrandStore *self)
{
  static GMutex making;
  StoreState *state = g_object_get_qdata (G_OBJECT (self), state_quark);

  if (state != NULL)
    return state;

  g_mutex_lock (&making);
  state = g_object_get_qdata (G_OBJECT (self), state_quark);
  if (state == NULL)
    {
      state = state_new ();
      g_object_set_qdata_full (G_OBJECT (self), state_quark, state, state_abandon);
    }
  g_mutex_unlock (&making);

  return state;
}

/* Whether this visit should clean up, which it then must. */
static gboolean
take_cleaning_locked (StoreState *state)
{
  if (!state->auto_cleanup || state->cleaning || g_random_double () >= state->cleanup_probability ||
      strand_clock_monotonic_us () < state->clean_after_us)
    return FALSE;

  state->cleaning = TRUE;
  return TRUE;
}

static gboolean
enter (StrandStore *self, Visit *visit, GError **error)
{
  StoreState *state = peek_state (self);
  gboolean closed;

  visit->methods = STRAND_STORE_GET_IFACE (self);
  visit->state = state;

  g_mutex_lock (&state->lock);
  closed = state->closed;
  if (!closed)
    {
      state->n_visits++;
      visit->ttl_us = state->ttl_us;
      visit->max_record_size = state->max_record_size;
      visit->clean = take_cleaning_locked (state);
    }
  g_mutex_unlock (&state->lock);

  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the store has been closed");
  return !closed;
}

/* A method that failed must have said why. Adds what was being done, and to which record. */
static void
explain (StrandStore *self, GError **error, const char *doing, const char *key)
{
  if (error == NULL)
    return;

  if (*error == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "%s failed without saying why",
                 G_OBJECT_TYPE_NAME (self));
  if (key != NULL)
    g_prefix_error (error, "Could not %s '%s': ", doing, key);
  else
    g_prefix_error (error, "Could not %s: ", doing);
}

static void
add_watchers (GPtrArray **found, GPtrArray *watchers)
{
  if (watchers == NULL || watchers->len == 0)
    return;

  if (*found == NULL)
    *found = g_ptr_array_new_with_free_func ((GDestroyNotify)watcher_unref);
  for (guint i = 0; i < watchers->len; i++)
    g_ptr_array_add (*found, watcher_ref (g_ptr_array_index (watchers, i)));
}

/* The watchers to tell that @key changed (NULL: that anything may have); NULL for none, which is what almost
 * every write finds. */
static GPtrArray *
find_watchers_locked (StoreState *state, const char *key)
{
  GPtrArray *found = NULL;
  GHashTableIter iter;
  gpointer watchers;

  add_watchers (&found, state->unkeyed);
  if (key != NULL)
    {
      add_watchers (&found, g_hash_table_lookup (state->keyed, key));
      return found;
    }

  g_hash_table_iter_init (&iter, state->keyed);
  while (g_hash_table_iter_next (&iter, NULL, &watchers))
    add_watchers (&found, watchers);
  return found;
}

/* Waits for the function to end everywhere, and lets its data go. A function that unwatches itself cannot
 * wait for its own end: then tell() lets go, when the last run is over. */
static void
finish_watcher (StoreState *state, Watcher *watcher, gboolean wait)
{
  gboolean destroy;

  g_mutex_lock (&state->lock);
  while (wait && watcher->n_running > 0)
    g_cond_wait (&state->left, &state->lock);
  destroy = watcher->n_running == 0 && !watcher->destroyed;
  watcher->destroyed |= destroy;
  g_mutex_unlock (&state->lock);

  if (destroy && watcher->destroy != NULL)
    watcher->destroy (watcher->user_data);
}

/* Runs one watcher's function unless it has been removed since it was found. */
static void
tell (StrandStore *self, StoreState *state, Watcher *watcher, const char *key)
{
  Frame frame = { watcher, g_private_get (&current_frame) };
  gboolean removed, removed_itself;

  g_mutex_lock (&state->lock);
  removed = watcher->removed;
  if (!removed)
    watcher->n_running++;
  g_mutex_unlock (&state->lock);
  if (removed)
    return;

  g_private_set (&current_frame, &frame);
  watcher->func (self, key, watcher->user_data);
  g_private_set (&current_frame, frame.outer);

  g_mutex_lock (&state->lock);
  watcher->n_running--;
  removed_itself = watcher->removed_itself;
  if (watcher->removed)
    g_cond_broadcast (&state->left);
  g_mutex_unlock (&state->lock);

  if (removed_itself)
    finish_watcher (state, watcher, FALSE);
}

/* Tells everybody who watches @key (NULL: everybody). Called outside visits, without locks. */
static void
announce (StrandStore *self, StoreState *state, const char *key)
{
  g_autoptr (GPtrArray) found = NULL;

  g_mutex_lock (&state->lock);
  found = find_watchers_locked (state, key);
  g_mutex_unlock (&state->lock);

  for (guint i = 0; found != NULL && i < found->len; i++)
    {
      Watcher *watcher = g_ptr_array_index (found, i);

      tell (self, state, watcher, key != NULL ? key : watcher->key);
    }
}

static gboolean
is_expired (StrandRecord *record)
{
  return strand_record_is_expired (record, strand_clock_now_us ());
}

/* Removes a record that has outlived its ttl, if it is still the one that was read. */
static gboolean
discard (StrandStore *self, Visit *visit, StrandRecord *record)
{
  g_autoptr (GError) error = NULL;
  const char *key = strand_record_get_key (record);

  if (visit->methods->remove (self, key, strand_record_get_revision (record), &error))
    return TRUE;

  strand_debug (STRAND_TOPIC_STORE, "Could not remove expired record '%s': %s", key,
                error != NULL ? error->message : "no reason given");
  return FALSE;
}

/* The default for stores without a method of their own. Goes on where the last limited cleanup stopped, so
 * that many small ones see the whole store. */
static gint64
cleanup_by_listing (StrandStore *self, Visit *visit, gint64 now_us, gint64 budget_us, GError **error)
{
  const StrandFilter filter = { .kind = "*",
                                .statuses = 1 << STRAND_STATUS_COMPLETED | 1 << STRAND_STATUS_FAILED |
                                            1 << STRAND_STATUS_CANCELLED };
  gint64 start_us = strand_clock_monotonic_us ();
  g_autofree char *cursor = NULL;
  gint64 n_removed = 0;

  if (budget_us >= 0)
    {
      g_mutex_lock (&visit->state->lock);
      cursor = g_steal_pointer (&visit->state->clean_cursor);
      g_mutex_unlock (&visit->state->lock);
    }

  do
    {
      g_autoptr (StrandPage) page = visit->methods->list (self, &filter, cursor, PAGE_SIZE, error);

      if (page == NULL)
        return -1;
      for (guint i = 0; i < page->records->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (page->records, i);

          if (strand_record_is_expired (record, now_us) && discard (self, visit, record))
            {
              announce (self, visit->state, strand_record_get_key (record));
              n_removed++;
            }
        }
      g_free (cursor);
      cursor = g_strdup (page->next);
    }
  while (cursor != NULL && (budget_us < 0 || strand_clock_monotonic_us () - start_us < budget_us));

  if (cursor != NULL)
    {
      g_mutex_lock (&visit->state->lock);
      g_free (visit->state->clean_cursor);
      visit->state->clean_cursor = g_steal_pointer (&cursor);
      g_mutex_unlock (&visit->state->lock);
    }
  return n_removed;
}

static gint64
cleanup (StrandStore *self, Visit *visit, gint64 budget_us, GError **error)
{
  gint64 now_us = strand_clock_now_us ();

  if (visit->methods->cleanup_expired != NULL)
    return visit->methods->cleanup_expired (self, now_us, budget_us, error);
  return cleanup_by_listing (self, visit, now_us, budget_us, error);
}

/* Nobody waits for an automatic cleanup, and the access that it came with has its own result: trouble is for
 * the log. */
static void
cleanup_automatically (StrandStore *self, Visit *visit)
{
  g_autoptr (GError) error = NULL;
  gint64 start_us = strand_clock_monotonic_us ();
  gint64 n_removed = cleanup (self, visit, CLEANUP_BUDGET_US, &error);
  gint64 now_us = strand_clock_monotonic_us ();

  if (n_removed < 0)
    strand_debug (STRAND_TOPIC_STORE, "Automatic cleanup: %s",
                  error != NULL ? error->message : "failed without saying why");
  else if (n_removed > 0)
    strand_debug (STRAND_TOPIC_STORE, "Automatic cleanup removed %" G_GINT64_FORMAT " expired records",
                  n_removed);

  g_mutex_lock (&visit->state->lock);
  visit->state->cleaning = FALSE;
  visit->state->clean_after_us = now_us + CLEANUP_REST_FACTOR * (now_us - start_us);
  g_mutex_unlock (&visit->state->lock);
}

static void
leave (StrandStore *self, Visit *visit)
{
  StoreState *state = visit->state;

  if (visit->clean)
    cleanup_automatically (self, visit);

  g_mutex_lock (&state->lock);
  state->n_visits--;
  if (state->closed)
    g_cond_broadcast (&state->left);
  g_mutex_unlock (&state->lock);
}

/* The bytes of a value that a record refers to, near enough for limits. */
static gsize
field_size (StrandRecord *record, StrandField field)
{
  const char *text;
  GVariant *variant;
  GBytes *bytes;

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_STRING:
      text = strand_record_get_string (record, field);
      return text != NULL ? strlen (text) : 0;
    case STRAND_SHAPE_VARIANT:
      variant = strand_record_get_variant (record, field);
      return variant != NULL ? g_variant_get_size (variant) : 0;
    case STRAND_SHAPE_BYTES:
      bytes = strand_record_get_bytes (record, field);
      return bytes != NULL ? g_bytes_get_size (bytes) : 0;
    case STRAND_SHAPE_INT:
    case STRAND_SHAPE_DOUBLE:
    default:
      return 0;
    }
}

/* A record that comes back must be the one that was asked for. */
static StrandRecord *
check_gotten (StrandStore *self, StrandRecord *record, const char *key, GError **error)
{
  const char *own = strand_record_get_key (record);

  if (g_strcmp0 (own, key) == 0)
    return record;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "%s keeps the record of '%s' under this key",
               G_OBJECT_TYPE_NAME (self), own != NULL ? own : "(none)");
  strand_record_unref (record);
  return NULL;
}

/* @discarded: (out): whether an expired record was found, which watchers must hear of once the visit is over
 */
static StrandRecord *
get_in_visit (StrandStore *self, Visit *visit, const char *key, gboolean *discarded, GError **error)
{
  StrandRecord *record = visit->methods->get (self, key, error);

  if (record != NULL)
    record = check_gotten (self, record, key, error);
  if (record == NULL || !is_expired (record))
    return record;

  *discarded = discard (self, visit, record);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND,
               "its time to live is over; no record has this key any more");
  strand_record_unref (record);
  return NULL;
}

/* An expired record is not there for anybody who asks, so it must not be in the way of a new one either. */
static gboolean
put_in_visit (StrandStore *self, Visit *visit, StrandRecord *record, guint64 expected, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (StrandRecord) old = NULL;

  if (visit->methods->put (self, record, expected, &local_error))
    return TRUE;

  if (expected == 0 && g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS))
    old = visit->methods->get (self, strand_record_get_key (record), NULL);
  if (old != NULL && is_expired (old) && discard (self, visit, old))
    return visit->methods->put (self, record, expected, error);

  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
check_size (Visit *visit, StrandRecord *record, GError **error)
{
  g_autofree char *size_text = NULL;
  g_autofree char *limit_text = NULL;
  gsize size;

  if (visit->max_record_size < 0)
    return TRUE;
  size = strand_store_measure (record);
  if (size <= (guint64)visit->max_record_size)
    return TRUE;

  size_text = strand_size_to_string (size);
  limit_text = strand_size_to_string (visit->max_record_size);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "the record has %s and the store takes %s at most; raise 'max-record-size', or keep the data "
               "in a file and store its name",
               size_text, limit_text);
  return FALSE;
}

/* --- polling, for stores that cannot notify ---------------------------------------------------------- */

static gpointer run_poller (gpointer data);

static void
start_polling_locked (StrandStore *self, StoreState *state)
{
  Poller *poller;

  state->poll_soon = TRUE;
  g_cond_broadcast (&state->left);
  if (state->polling)
    return;

  poller = g_new0 (Poller, 1);
  poller->state = state_ref (state);
  g_weak_ref_init (&poller->store, self);
  poller->seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  state->polling = TRUE;
  g_thread_unref (g_thread_new ("strand-poll", run_poller, poller));
}

static void
poller_free (Poller *poller)
{
  g_hash_table_unref (poller->seen);
  g_weak_ref_clear (&poller->store);
  state_unref (poller->state);
  g_free (poller);
}

/* Compares with what was seen last. A key not seen before counts as changed: it may have been written between
 * the watch and this first look. */
static gboolean
note (Poller *poller, GHashTable *now, const char *key, guint64 revision)
{
  const guint64 *before = g_hash_table_lookup (poller->seen, key);
  gboolean changed = before == NULL || *before != revision;

  g_hash_table_replace (now, g_strdup (key), g_memdup2 (&revision, sizeof revision));
  return changed;
}

static guint64
look_up (StrandStore *self, Visit *visit, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (StrandRecord) record = visit->methods->get (self, key, &error);

  if (record != NULL)
    return strand_record_get_revision (record);
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) ? 0 : REVISION_UNREADABLE;
}

static void
look_at_keys (StrandStore *self, Visit *visit, Poller *poller, GHashTable *now, GPtrArray *changed)
{
  g_auto (GStrv) keys = NULL;

  g_mutex_lock (&poller->state->lock);
  keys = (char **)g_hash_table_get_keys_as_array (poller->state->keyed, NULL);
  for (char **key = keys; *key != NULL; key++)
    *key = g_strdup (*key);
  g_mutex_unlock (&poller->state->lock);

  for (char **key = keys; *key != NULL; key++)
    if (note (poller, now, *key, look_up (self, visit, *key)))
      g_ptr_array_add (changed, g_strdup (*key));
}

static void
look_at_everything (StrandStore *self, Visit *visit, Poller *poller, GHashTable *now, GPtrArray *changed)
{
  const StrandFilter filter = { .kind = "*" };
  g_autofree char *cursor = NULL;
  GHashTableIter iter;
  gpointer key;

  do
    {
      g_autoptr (StrandPage) page = visit->methods->list (self, &filter, cursor, PAGE_SIZE, NULL);

      for (guint i = 0; page != NULL && i < page->records->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (page->records, i);

          if (note (poller, now, strand_record_get_key (record), strand_record_get_revision (record)))
            g_ptr_array_add (changed, g_strdup (strand_record_get_key (record)));
        }
      g_free (cursor);
      cursor = page != NULL ? g_strdup (page->next) : NULL;
    }
  while (cursor != NULL);

  g_hash_table_iter_init (&iter, poller->seen);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (!g_hash_table_contains (now, key))
      g_ptr_array_add (changed, g_strdup (key));
}

/* One look at what is watched. Whether anything changed. */
static gboolean
poll_once (StrandStore *self, Poller *poller)
{
  g_autoptr (GHashTable) now = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr (GPtrArray) changed = g_ptr_array_new_with_free_func (g_free);
  gboolean everything;
  Visit visit;

  if (!enter (self, &visit, NULL))
    return FALSE;
  g_mutex_lock (&poller->state->lock);
  everything = poller->state->unkeyed->len > 0;
  g_mutex_unlock (&poller->state->lock);
  look_at_keys (self, &visit, poller, now, changed);
  if (everything)
    look_at_everything (self, &visit, poller, now, changed);
  leave (self, &visit);

  g_hash_table_unref (poller->seen);
  poller->seen = g_steal_pointer (&now);
  for (guint i = 0; i < changed->len; i++)
    announce (self, poller->state, g_ptr_array_index (changed, i));
  return changed->len > 0;
}

/* Waits until the next look is due. FALSE when there is nothing to look at any more. */
static gboolean
wait_to_poll (StoreState *state, gint64 *interval_us)
{
  gint64 due_us = g_get_monotonic_time () + *interval_us;
  gboolean go_on;

  g_mutex_lock (&state->lock);
  while (!state->closed && !state->poll_soon && g_hash_table_size (state->watchers) > 0 &&
         g_cond_wait_until (&state->left, &state->lock, due_us))
    ;
  if (state->poll_soon)
    *interval_us = POLL_SHORTEST_US;
  state->poll_soon = FALSE;
  go_on = !state->closed && g_hash_table_size (state->watchers) > 0;
  if (!go_on)
    state->polling = FALSE;
  g_mutex_unlock (&state->lock);

  return go_on;
}

static gpointer
run_poller (gpointer data)
{
  Poller *poller = data;
  gint64 interval_us = POLL_SHORTEST_US;

  while (wait_to_poll (poller->state, &interval_us))
    {
      g_autoptr (StrandStore) store = g_weak_ref_get (&poller->store);

      if (store != NULL && poll_once (store, poller))
        interval_us = POLL_SHORTEST_US;
      else
        interval_us = MIN (interval_us * 3 / 2, POLL_LONGEST_US);
    }
  poller_free (poller);
  return NULL;
}

/* --- watching ------------------------------------------------------------------------------------------ */

static guint
add_watcher (StoreState *state, const char *key, StrandWatchFunc func, gpointer user_data,
             GDestroyNotify destroy)
{
  Watcher *watcher = g_new0 (Watcher, 1);
  GPtrArray *list = state->unkeyed;

  g_atomic_ref_count_init (&watcher->refs);
  watcher->key = g_strdup (key);
  watcher->func = func;
  watcher->user_data = user_data;
  watcher->destroy = destroy;

  g_mutex_lock (&state->lock);
  watcher->id = ++state->last_watch_id;
  g_hash_table_insert (state->watchers, GUINT_TO_POINTER (watcher->id), watcher);
  if (key != NULL)
    list = g_hash_table_lookup (state->keyed, key);
  if (list == NULL)
    {
      list = g_ptr_array_new ();
      g_hash_table_insert (state->keyed, g_strdup (key), list);
    }
  g_ptr_array_add (list, watcher);
  g_mutex_unlock (&state->lock);

  return watcher->id;
}

static gboolean
is_telling (Watcher *watcher)
{
  for (Frame *frame = g_private_get (&current_frame); frame != NULL; frame = frame->outer)
    if (frame->watcher == watcher)
      return TRUE;
  return FALSE;
}

/* Takes a watcher out of the tables; NULL if there is none of that id. */
static Watcher *
steal_watcher (StoreState *state, guint id, gboolean *last)
{
  gpointer found = NULL;
  Watcher *watcher;

  g_mutex_lock (&state->lock);
  g_hash_table_steal_extended (state->watchers, GUINT_TO_POINTER (id), NULL, &found);
  watcher = found;
  if (watcher != NULL)
    {
      GPtrArray *list =
          watcher->key != NULL ? g_hash_table_lookup (state->keyed, watcher->key) : state->unkeyed;

      watcher->removed = TRUE;
      watcher->removed_itself = is_telling (watcher);
      g_ptr_array_remove_fast (list, watcher);
      if (watcher->key != NULL && list->len == 0)
        g_hash_table_remove (state->keyed, watcher->key);
    }
  *last = g_hash_table_size (state->watchers) == 0;
  if (*last)
    g_cond_broadcast (&state->left); /* the poller may go */
  g_mutex_unlock (&state->lock);

  return watcher;
}

static void
start_noticing (StrandStore *self, StoreState *state)
{
  StrandStoreInterface *methods = STRAND_STORE_GET_IFACE (self);
  g_autoptr (GError) error = NULL;
  gboolean watches, closed;

  g_mutex_lock (&state->lock);
  watches = state->store_watches;
  closed = state->closed;
  g_mutex_unlock (&state->lock);
  if (closed)
    return;

  if (!watches && methods->set_watching != NULL)
    {
      watches = methods->set_watching (self, TRUE, &error);
      if (!watches)
        strand_debug (STRAND_TOPIC_STORE, "%s looks for changes itself: %s", G_OBJECT_TYPE_NAME (self),
                      error != NULL ? error->message : "it cannot watch");
    }

  g_mutex_lock (&state->lock);
  state->store_watches = watches;
  if (!watches)
    start_polling_locked (self, state);
  g_mutex_unlock (&state->lock);
}

static void
stop_noticing (StrandStore *self, StoreState *state)
{
  gboolean watches;

  g_mutex_lock (&state->lock);
  watches = state->store_watches;
  state->store_watches = FALSE;
  g_mutex_unlock (&state->lock);

  if (watches)
    STRAND_STORE_GET_IFACE (self)->set_watching (self, FALSE, NULL);
}

/* --- doing it on another thread ------------------------------------------------------------------------ */

/* What one _async function was asked. Each uses the fields that it needs. */
typedef struct
{
  gboolean (*run) (StrandStore *self, gpointer job, GTask *task, GError **error);
  char *key;
  StrandRecord *record;
  guint64 expected;
  StrandFilter *filter;
  char *cursor;
  guint limit;
  gint64 budget_us;
} Job;

static void
job_free (Job *job)
{
  g_free (job->key);
  g_clear_pointer (&job->record, strand_record_unref);
  g_clear_pointer (&job->filter, strand_filter_free);
  g_free (job->cursor);
  g_free (job);
}

static void
run_job (gpointer data, gpointer unused)
{
  g_autoptr (GTask) task = data;
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;

  if (g_task_return_error_if_cancelled (task))
    return;
  if (!job->run (g_task_get_source_object (task), job, task, &error))
    g_task_return_error (task, error);
}

/* Own threads: GTask's ten are shared by the whole program and stall when tasks in them wait for tasks. */
static void
start_job (StrandStore *self, Job *job, gpointer tag, GCancellable *cancellable, GAsyncReadyCallback callback,
           gpointer user_data)
{
  static gsize once;
  static GThreadPool *pool;
  GTask *task = g_task_new (self, cancellable, callback, user_data);

  if (g_once_init_enter (&once))
    {
      pool = g_thread_pool_new (run_job, NULL, MAX_ASYNC_THREADS, FALSE, NULL);
      g_once_init_leave (&once, 1);
    }

  g_task_set_source_tag (task, tag);
  g_task_set_task_data (task, job, (GDestroyNotify)job_free);
  g_thread_pool_push (pool, task, NULL);
}

static gboolean
run_get (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  StrandRecord *record = strand_store_get (self, job->key, error);

  if (record != NULL)
    g_task_return_pointer (task, record, (GDestroyNotify)strand_record_unref);
  return record != NULL;
}

static gboolean
run_put (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gboolean done = strand_store_put (self, job->record, job->expected, error);

  if (done)
    g_task_return_boolean (task, TRUE);
  return done;
}

static gboolean
run_remove (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gboolean done = strand_store_remove (self, job->key, job->expected, error);

  if (done)
    g_task_return_boolean (task, TRUE);
  return done;
}

static gboolean
run_list (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  StrandPage *page = strand_store_list (self, job->filter, job->cursor, job->limit, error);

  if (page != NULL)
    g_task_return_pointer (task, page, (GDestroyNotify)strand_page_unref);
  return page != NULL;
}

static gboolean
run_count (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gint64 n = strand_store_count (self, job->filter, error);

  if (n >= 0)
    g_task_return_int (task, n);
  return n >= 0;
}

static gboolean
run_cleanup_expired (StrandStore *self, gpointer data, GTask *task, GError **error)
{
  Job *job = data;
  gint64 n = strand_store_cleanup_expired (self, job->budget_us, error);

  if (n >= 0)
    g_task_return_int (task, n);
  return n >= 0;
}

/* --- filters and pages --------------------------------------------------------------------------------- */

/**
 * strand_filter_copy:
 * @self: (nullable): a filter
 *
 * Copies a filter with its texts.
 *
 * Returns: (transfer full) (nullable): the copy, or `NULL` for `NULL`
 * Since: 1.0
 */
StrandFilter *
strand_filter_copy (const StrandFilter *self)
{
  StrandFilter *copy;

  if (self == NULL)
    return NULL;

  copy = g_memdup2 (self, sizeof *self);
  copy->kind = g_strdup (self->kind);
  copy->queue = g_strdup (self->queue);
  copy->function = g_strdup (self->function);
  copy->lease_owner = g_strdup (self->lease_owner);
  return copy;
}

/**
 * strand_filter_free:
 * @self: (transfer full) (nullable): a filter made by strand_filter_copy()
 *
 * Frees a copied filter.
 *
 * Since: 1.0
 */
void
strand_filter_free (StrandFilter *self)
{
  if (self == NULL)
    return;

  g_free ((char *)self->kind);
  g_free ((char *)self->queue);
  g_free ((char *)self->function);
  g_free ((char *)self->lease_owner);
  g_free (self);
}

/**
 * strand_filter_matches:
 * @filter: (nullable): a filter; `NULL` for calls of every kind of status
 * @record: a record
 *
 * Whether a record is wanted. For stores that cannot ask their database. Any thread.
 *
 * Returns: %TRUE if every condition of the filter holds
 * Since: 1.0
 */
gboolean
strand_filter_matches (const StrandFilter *filter, StrandRecord *record)
{
  static const StrandFilter calls = { 0 };
  const char *wanted_kind, *kind;

  g_return_val_if_fail (record != NULL, FALSE);

  if (filter == NULL)
    filter = &calls;
  wanted_kind = filter->kind != NULL ? filter->kind : "call";
  kind = strand_record_get_string (record, STRAND_FIELD_KIND);

  if (strcmp (wanted_kind, "*") != 0 && strcmp (wanted_kind, kind != NULL ? kind : "call") != 0)
    return FALSE;
  if (filter->statuses != 0 && !(filter->statuses & 1u << strand_record_get_status (record)))
    return FALSE;
  if (filter->queue != NULL &&
      g_strcmp0 (filter->queue, strand_record_get_string (record, STRAND_FIELD_QUEUE)) != 0)
    return FALSE;
  if (filter->function != NULL &&
      g_strcmp0 (filter->function, strand_record_get_string (record, STRAND_FIELD_FUNCTION)) != 0)
    return FALSE;
  return filter->lease_owner == NULL ||
         g_strcmp0 (filter->lease_owner, strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER)) == 0;
}

/**
 * strand_page_new:
 *
 * Makes an empty page, for a store's `list` method to fill.
 *
 * Returns: (transfer full): the page
 * Since: 1.0
 */
StrandPage *
strand_page_new (void)
{
  StrandPage *self = g_new0 (StrandPage, 1);

  g_atomic_ref_count_init (&self->refs);
  self->records = g_ptr_array_new_with_free_func ((GDestroyNotify)strand_record_unref);
  self->names = g_ptr_array_new_with_free_func (g_free);
  self->errors = g_ptr_array_new_with_free_func ((GDestroyNotify)g_error_free);
  return self;
}

/**
 * strand_page_ref:
 * @self: a page
 *
 * Takes a reference. Any thread; the page itself is not to be changed once it has been handed on.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandPage *
strand_page_ref (StrandPage *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->refs);
  return self;
}

/**
 * strand_page_unref:
 * @self: (transfer full): a page
 *
 * Gives a reference back. Any thread.
 *
 * Since: 1.0
 */
void
strand_page_unref (StrandPage *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  g_ptr_array_unref (self->records);
  g_ptr_array_unref (self->names);
  g_ptr_array_unref (self->errors);
  g_free (self->next);
  g_free (self);
}

/**
 * strand_page_add:
 * @self: a page that is being filled
 * @record: (transfer none): a record
 *
 * Adds a record.
 *
 * Since: 1.0
 */
void
strand_page_add (StrandPage *self, StrandRecord *record)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (record != NULL);

  g_ptr_array_add (self->records, strand_record_ref (record));
}

/**
 * strand_page_add_unreadable:
 * @self: a page that is being filled
 * @name: what a person would look for: a file's path, a row, a key
 * @error: why it cannot be read
 *
 * Names something that lies where a record should and is none.
 *
 * Since: 1.0
 */
void
strand_page_add_unreadable (StrandPage *self, const char *name, const GError *error)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (name != NULL);
  g_return_if_fail (error != NULL);

  g_ptr_array_add (self->names, g_strdup (name));
  g_ptr_array_add (self->errors, g_error_copy (error));
}

/**
 * strand_page_set_next:
 * @self: a page that is being filled
 * @cursor: (nullable): where the next page starts, in the store's own words, or `NULL` if this is the last
 *
 * Says where to go on.
 *
 * Since: 1.0
 */
void
strand_page_set_next (StrandPage *self, const char *cursor)
{
  g_return_if_fail (self != NULL);

  g_free (self->next);
  self->next = g_strdup (cursor);
}

/**
 * strand_page_get_records:
 * @self: a page
 *
 * Gets the records; a page in the middle of a listing may have none.
 *
 * Returns: (transfer none) (element-type StrandRecord): the records
 * Since: 1.0
 */
GPtrArray *
strand_page_get_records (StrandPage *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->records;
}

/**
 * strand_page_get_n_unreadable:
 * @self: a page
 *
 * Gets how many things were skipped because they cannot be read.
 *
 * Returns: their number
 * Since: 1.0
 */
guint
strand_page_get_n_unreadable (StrandPage *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->names->len;
}

/**
 * strand_page_get_unreadable:
 * @self: a page
 * @position: from 0 to strand_page_get_n_unreadable() - 1
 * @error: (out) (optional) (transfer none): why it cannot be read
 *
 * Gets one of the things that were skipped.
 *
 * Returns: (transfer none): its name
 * Since: 1.0
 */
const char *
strand_page_get_unreadable (StrandPage *self, guint position, const GError **error)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (position < self->names->len, NULL);

  if (error != NULL)
    *error = g_ptr_array_index (self->errors, position);
  return g_ptr_array_index (self->names, position);
}

/**
 * strand_page_get_next:
 * @self: a page
 *
 * Gets where the next page starts, for strand_store_list().
 *
 * Returns: (transfer none) (nullable): the cursor, or `NULL` if this is the last page
 * Since: 1.0
 */
const char *
strand_page_get_next (StrandPage *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->next;
}

/* --- the store ---------------------------------------------------------------------------------------------
 */

static void
strand_store_default_init (StrandStoreInterface *iface)
{
  state_quark = g_quark_from_static_string ("strand-store-state");

  g_object_interface_install_property (
      iface, g_param_spec_int64 ("ttl", NULL,
                                 "How long a record is kept after the end of its call, unless the call says "
                                 "otherwise; none keeps it for ever",
                                 -1, G_MAXINT64, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION));
  g_object_interface_install_property (
      iface, g_param_spec_boolean ("auto-cleanup", NULL,
                                   "Whether using the store now and then removes records that have outlived "
                                   "their ttl",
                                   TRUE, STRAND_PARAM_CONFIG));
  g_object_interface_install_property (
      iface, g_param_spec_double ("cleanup-probability", NULL,
                                  "How likely one access is to start an automatic cleanup, from 0 to 1; each "
                                  "takes about 20 ms at most, all together 2 % of the time",
                                  0, 1, DEFAULT_CLEANUP_PROBABILITY, STRAND_PARAM_CONFIG));
  g_object_interface_install_property (
      iface,
      g_param_spec_int64 ("max-record-size", NULL,
                          "Largest record that is accepted, arguments, value and texts together", -1,
                          G_MAXINT64, DEFAULT_MAX_RECORD_SIZE, STRAND_PARAM_CONFIG | STRAND_PARAM_SIZE));
}

/**
 * strand_store_get:
 * @self: a store
 * @key: the record's key
 * @error: return location for a [error@Strand.Error]
 *
 * Reads a record. One that has outlived its ttl is removed and not found.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_NOT_FOUND`,
 * `STRAND_ERROR_INVALID_KEY`, `STRAND_ERROR_CORRUPT` for a record that cannot be read, `STRAND_ERROR_CLOSED`,
 * or as the store's medium does.
 *
 * Returns: (transfer full): a record that is the caller's to change, or `NULL` with @error set
 * Since: 1.0
 */
StrandRecord *
strand_store_get (StrandStore *self, const char *key, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gboolean discarded = FALSE;
  StrandRecord *record;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!strand_key_check (key, error))
    return NULL;
  if (!enter (self, &visit, error))
    {
      explain (self, error, "read", key);
      return NULL;
    }
  record = get_in_visit (self, &visit, key, &discarded, &local_error);
  leave (self, &visit);

  if (discarded)
    announce (self, visit.state, key);
  if (record == NULL)
    {
      explain (self, &local_error, "read", key);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return record;
}

/**
 * strand_store_put:
 * @self: a store
 * @record: the record to write; its revision is set, and its ttl if it has none and the store has one
 * @expected: the revision that must be there now; 0 if there must be no record
 * @error: return location for a [error@Strand.Error]
 *
 * Writes a record, whole or not at all, and tells its watchers. The written record has revision @expected
 * + 1. A record with a ttl of `G_MAXINT64` is kept for ever whatever the store's ttl.
 *
 * Blocks; any thread that owns no main context, and that alone uses @record meanwhile. Fails with
 * `STRAND_ERROR_EXISTS` if @expected is 0 and there is a record, `STRAND_ERROR_STALE` if the record has
 * another revision or is gone, `STRAND_ERROR_TOO_LARGE`, `STRAND_ERROR_FULL`, `STRAND_ERROR_INVALID_KEY`,
 * `STRAND_ERROR_CORRUPT` if what is there cannot be read, `STRAND_ERROR_CLOSED`, or as the store's medium
 * does; then nothing has been written and @record has the revision it had.
 *
 * Returns: %TRUE if the record was written
 * Since: 1.0
 */
gboolean
strand_store_put (StrandStore *self, StrandRecord *record, guint64 expected, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gint64 revision;
  gboolean done;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (record != NULL, FALSE);
  g_return_val_if_fail (expected < G_MAXINT64, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!strand_key_check (strand_record_get_key (record), error))
    return FALSE;
  if (!enter (self, &visit, error))
    {
      explain (self, error, "store", strand_record_get_key (record));
      return FALSE;
    }

  revision = strand_record_get_int (record, STRAND_FIELD_REVISION);
  strand_record_set_int (record, STRAND_FIELD_REVISION, expected + 1);
  if (visit.ttl_us >= 0 && strand_record_get_int (record, STRAND_FIELD_TTL) < 0)
    strand_record_set_int (record, STRAND_FIELD_TTL, visit.ttl_us);
  done = check_size (&visit, record, &local_error) &&
         put_in_visit (self, &visit, record, expected, &local_error);
  leave (self, &visit);

  if (done)
    {
      announce (self, visit.state, strand_record_get_key (record));
      return TRUE;
    }

  strand_record_set_int (record, STRAND_FIELD_REVISION, revision);
  explain (self, &local_error, "store", strand_record_get_key (record));
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/**
 * strand_store_remove:
 * @self: a store
 * @key: the record's key
 * @expected: the revision that must be there now; 0 for whatever is there, readable or not
 * @error: return location for a [error@Strand.Error]
 *
 * Removes a record and tells its watchers.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_NOT_FOUND`, `STRAND_ERROR_STALE`,
 * `STRAND_ERROR_INVALID_KEY`, `STRAND_ERROR_CLOSED`, or as the store's medium does.
 *
 * Returns: %TRUE if a record was removed
 * Since: 1.0
 */
gboolean
strand_store_remove (StrandStore *self, const char *key, guint64 expected, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gboolean done;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!strand_key_check (key, error))
    return FALSE;
  if (!enter (self, &visit, error))
    {
      explain (self, error, "remove", key);
      return FALSE;
    }
  done = visit.methods->remove (self, key, expected, &local_error);
  leave (self, &visit);

  if (done)
    {
      announce (self, visit.state, key);
      return TRUE;
    }
  explain (self, &local_error, "remove", key);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Takes expired records out of a page and out of the store. Returns their keys. */
static GPtrArray *
drop_expired (StrandStore *self, Visit *visit, StrandPage *page)
{
  g_autoptr (GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
  gint64 now_us = strand_clock_now_us ();

  for (guint i = page->records->len; i > 0; i--)
    {
      StrandRecord *record = g_ptr_array_index (page->records, i - 1);

      if (!strand_record_is_expired (record, now_us))
        continue;
      if (discard (self, visit, record))
        g_ptr_array_add (gone, g_strdup (strand_record_get_key (record)));
      g_ptr_array_remove_index (page->records, i - 1);
    }
  return g_steal_pointer (&gone);
}

/**
 * strand_store_list:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @cursor: (nullable): strand_page_get_next() of the page before; `NULL` for the first
 * @limit: how many records at most, at least 1
 * @error: return location for a [error@Strand.Error]
 *
 * Reads one page of records, in the store's own order. Every record that is there during a whole listing is
 * in exactly one of its pages. A page may have fewer records than @limit, even none, and still not be the
 * last.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_INVALID_ARGUMENT` for a cursor that
 * is none, `STRAND_ERROR_CLOSED`, or as the store's medium does.
 *
 * Returns: (transfer full): a page, or `NULL` with @error set
 * Since: 1.0
 */
StrandPage *
strand_store_list (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                   GError **error)
{
  g_autoptr (GError) local_error = NULL;
  g_autoptr (GPtrArray) gone = NULL;
  StrandPage *page;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (limit > 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!enter (self, &visit, error))
    {
      explain (self, error, "list records", NULL);
      return NULL;
    }
  page = visit.methods->list (self, filter, cursor, limit, &local_error);
  if (page != NULL)
    gone = drop_expired (self, &visit, page);
  leave (self, &visit);

  for (guint i = 0; gone != NULL && i < gone->len; i++)
    announce (self, visit.state, g_ptr_array_index (gone, i));
  if (page == NULL)
    {
      explain (self, &local_error, "list records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return page;
}

static gint64
count_by_listing (StrandStore *self, Visit *visit, const StrandFilter *filter, GError **error)
{
  g_autofree char *cursor = NULL;
  gint64 now_us = strand_clock_now_us ();
  gint64 n = 0;

  do
    {
      g_autoptr (StrandPage) page = visit->methods->list (self, filter, cursor, PAGE_SIZE, error);

      if (page == NULL)
        return -1;
      for (guint i = 0; i < page->records->len; i++)
        n += !strand_record_is_expired (g_ptr_array_index (page->records, i), now_us);
      g_free (cursor);
      cursor = g_strdup (page->next);
    }
  while (cursor != NULL);
  return n;
}

/**
 * strand_store_count:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @error: return location for a [error@Strand.Error]
 *
 * Counts the records that match, without those that have outlived their ttl.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_list() does.
 *
 * Returns: how many, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_count (StrandStore *self, const StrandFilter *filter, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gint64 n;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!enter (self, &visit, error))
    {
      explain (self, error, "count records", NULL);
      return -1;
    }
  if (visit.methods->count != NULL)
    n = visit.methods->count (self, filter, &local_error);
  else
    n = count_by_listing (self, &visit, filter, &local_error);
  leave (self, &visit);

  if (n < 0)
    {
      explain (self, &local_error, "count records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return n;
}

/**
 * strand_store_cleanup_expired:
 * @self: a store
 * @budget_us: about how long it may take, in microseconds, or -1 to look at every record
 * @error: return location for a [error@Strand.Error]
 *
 * Removes records that have outlived their ttl, and tells their watchers. With a budget, several cleanups one
 * after the other see the whole store.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does.
 *
 * Returns: how many were removed, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_cleanup_expired (StrandStore *self, gint64 budget_us, GError **error)
{
  g_autoptr (GError) local_error = NULL;
  gint64 n;
  Visit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), -1);
  g_return_val_if_fail (budget_us >= -1, -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!enter (self, &visit, error))
    {
      explain (self, error, "remove expired records", NULL);
      return -1;
    }
  n = cleanup (self, &visit, budget_us, &local_error);
  leave (self, &visit);

  if (n < 0)
    {
      explain (self, &local_error, "remove expired records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return n;
}

/**
 * strand_store_watch:
 * @self: a store
 * @key: (nullable): the key to watch, or `NULL` for every key
 * @func: (scope notified) (closure user_data) (destroy destroy): what to call
 * @user_data: data for @func
 * @destroy: (nullable): what to call when @user_data is no longer needed: in strand_store_unwatch(), or if
 * @func calls that itself, when @func has returned
 *
 * Has @func called for every write and removal after this returns, by this process or another. Watch first
 * and read then, and no change is missed. Where the store cannot notice other processes' writes, a thread
 * looks for them every 10 ms, and as nothing changes ever less often, up to once a second.
 *
 * May block while the store starts to watch; any thread that owns no main context.
 *
 * Returns: an id for strand_store_unwatch(), never 0
 * Since: 1.0
 */
guint
strand_store_watch (StrandStore *self, const char *key, StrandWatchFunc func, gpointer user_data,
                    GDestroyNotify destroy)
{
  StoreState *state;
  guint id;

  g_return_val_if_fail (STRAND_IS_STORE (self), 0);
  g_return_val_if_fail (func != NULL, 0);

  state = peek_state (self);
  g_mutex_lock (&state->switch_lock);
  id = add_watcher (state, key, func, user_data, destroy);
  start_noticing (self, state);
  g_mutex_unlock (&state->switch_lock);

  return id;
}

/**
 * strand_store_unwatch:
 * @self: a store
 * @id: what strand_store_watch() returned
 *
 * Ends a watch. When this returns, the function is not running on another thread and will not be called
 * again. It may be called by the function itself, and then does not wait.
 *
 * Blocks while the function runs on another thread; any thread. The caller must hold no lock that the
 * function takes.
 *
 * Since: 1.0
 */
void
strand_store_unwatch (StrandStore *self, guint id)
{
  g_autoptr (Watcher) watcher = NULL;
  StoreState *state;
  gboolean last;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (id != 0);

  state = peek_state (self);
  g_mutex_lock (&state->switch_lock);
  watcher = steal_watcher (state, id, &last);
  if (last)
    stop_noticing (self, state);
  g_mutex_unlock (&state->switch_lock);
  if (watcher != NULL && !watcher->removed_itself)
    finish_watcher (state, watcher, TRUE);
}

/**
 * strand_store_changed:
 * @self: a store
 * @key: (nullable): the key of the record, or `NULL` if any of them may have changed
 *
 * For implementations: tells watchers that a record was written or removed other than by strand_store_put()
 * and strand_store_remove(). Call it without locks that a method takes.
 *
 * Any thread.
 *
 * Since: 1.0
 */
void
strand_store_changed (StrandStore *self, const char *key)
{
  g_return_if_fail (STRAND_IS_STORE (self));

  announce (self, peek_state (self), key);
}

/**
 * strand_store_close:
 * @self: a store
 *
 * Ends all use: methods that run now are waited for, later ones fail with `STRAND_ERROR_CLOSED`, watchers are
 * told nothing more, and the store lets go of its files and connections. Closing twice does nothing.
 *
 * Blocks; any thread that owns no main context.
 *
 * Since: 1.0
 */
void
strand_store_close (StrandStore *self)
{
  StoreState *state;
  gboolean first;

  g_return_if_fail (STRAND_IS_STORE (self));

  state = peek_state (self);
  g_mutex_lock (&state->switch_lock);
  g_mutex_lock (&state->lock);
  first = !state->closed;
  state->closed = TRUE;
  g_cond_broadcast (&state->left);
  g_mutex_unlock (&state->lock);

  if (first)
    stop_noticing (self, state);
  g_mutex_lock (&state->lock);
  while (state->n_visits > 0)
    g_cond_wait (&state->left, &state->lock);
  g_mutex_unlock (&state->lock);
  if (first && STRAND_STORE_GET_IFACE (self)->close != NULL)
    STRAND_STORE_GET_IFACE (self)->close (self);
  g_mutex_unlock (&state->switch_lock);
}

/**
 * strand_store_measure:
 * @record: a record
 *
 * Adds up what a record holds: the bytes of its arguments, value and texts. What `max-record-size` compares,
 * and what stores with a limit of their own should count. Any thread that may read the record.
 *
 * Returns: the size in bytes
 * Since: 1.0
 */
gsize
strand_store_measure (StrandRecord *record)
{
  gsize size = 0;

  g_return_val_if_fail (record != NULL, 0);

  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    size += field_size (record, i);
  return size;
}

/**
 * strand_store_override_properties:
 * @klass: (type GObject.ObjectClass): the class that implements a store
 * @first_id: the id of the first of the `STRAND_STORE_N_PROPERTIES` properties
 *
 * For implementations: takes over the properties that every store has, in `class_init`.
 *
 * Since: 1.0
 */
void
strand_store_override_properties (GObjectClass *klass, guint first_id)
{
  g_return_if_fail (G_IS_OBJECT_CLASS (klass));
  g_return_if_fail (first_id > 0);

  g_object_class_override_property (klass, first_id, "ttl");
  g_object_class_override_property (klass, first_id + 1, "auto-cleanup");
  g_object_class_override_property (klass, first_id + 2, "cleanup-probability");
  g_object_class_override_property (klass, first_id + 3, "max-record-size");
}

/**
 * strand_store_set_common_property:
 * @self: a store
 * @value: what `set_property` was given
 * @pspec: what `set_property` was given
 *
 * For implementations: sets a property that every store has. Warns of one that is none of them.
 *
 * Since: 1.0
 */
void
strand_store_set_common_property (StrandStore *self, const GValue *value, GParamSpec *pspec)
{
  StoreState *state;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (G_IS_PARAM_SPEC (pspec));

  state = peek_state (self);
  g_mutex_lock (&state->lock);
  if (strcmp (pspec->name, "ttl") == 0)
    state->ttl_us = g_value_get_int64 (value);
  else if (strcmp (pspec->name, "auto-cleanup") == 0)
    state->auto_cleanup = g_value_get_boolean (value);
  else if (strcmp (pspec->name, "cleanup-probability") == 0)
    state->cleanup_probability = g_value_get_double (value);
  else if (strcmp (pspec->name, "max-record-size") == 0)
    state->max_record_size = g_value_get_int64 (value);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (self, pspec->param_id, pspec);
  g_mutex_unlock (&state->lock);
}

/**
 * strand_store_get_common_property:
 * @self: a store
 * @value: what `get_property` was given
 * @pspec: what `get_property` was given
 *
 * For implementations: gets a property that every store has. Warns of one that is none of them.
 *
 * Since: 1.0
 */
void
strand_store_get_common_property (StrandStore *self, GValue *value, GParamSpec *pspec)
{
  StoreState *state;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (G_IS_PARAM_SPEC (pspec));

  state = peek_state (self);
  g_mutex_lock (&state->lock);
  if (strcmp (pspec->name, "ttl") == 0)
    g_value_set_int64 (value, state->ttl_us);
  else if (strcmp (pspec->name, "auto-cleanup") == 0)
    g_value_set_boolean (value, state->auto_cleanup);
  else if (strcmp (pspec->name, "cleanup-probability") == 0)
    g_value_set_double (value, state->cleanup_probability);
  else if (strcmp (pspec->name, "max-record-size") == 0)
    g_value_set_int64 (value, state->max_record_size);
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (self, pspec->param_id, pspec);
  g_mutex_unlock (&state->lock);
}

/**
 * strand_store_get_async:
 * @self: a store
 * @key: the record's key
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_get() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_get_async (StrandStore *self, const char *key, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);

  job = g_new0 (Job, 1);
  job->run = run_get;
  job->key = g_strdup (key);
  start_job (self, job, strand_store_get_async, cancellable, callback, user_data);
}

/**
 * strand_store_get_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_get_async(). Fails as strand_store_get() does.
 *
 * Returns: (transfer full): a record that is the caller's to change, or `NULL` with @error set
 * Since: 1.0
 */
StrandRecord *
strand_store_get_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_get_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_store_put_async:
 * @self: a store
 * @record: the record to write; the store's alone until the callback
 * @expected: the revision that must be there now; 0 if there must be no record
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_put() on a thread of strand's own. Any thread; does not block. One
 * that is cancelled while it runs may have been written.
 *
 * Since: 1.0
 */
void
strand_store_put_async (StrandStore *self, StrandRecord *record, guint64 expected, GCancellable *cancellable,
                        GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (record != NULL);

  job = g_new0 (Job, 1);
  job->run = run_put;
  job->record = strand_record_ref (record);
  job->expected = expected;
  start_job (self, job, strand_store_put_async, cancellable, callback, user_data);
}

/**
 * strand_store_put_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_put_async(). Fails as strand_store_put() does.
 *
 * Returns: %TRUE if the record was written
 * Since: 1.0
 */
gboolean
strand_store_put_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_put_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_store_remove_async:
 * @self: a store
 * @key: the record's key
 * @expected: the revision that must be there now; 0 for whatever is there
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_remove() on a thread of strand's own. Any thread; does not block. One
 * that is cancelled while it runs may have been removed.
 *
 * Since: 1.0
 */
void
strand_store_remove_async (StrandStore *self, const char *key, guint64 expected, GCancellable *cancellable,
                           GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (key != NULL);

  job = g_new0 (Job, 1);
  job->run = run_remove;
  job->key = g_strdup (key);
  job->expected = expected;
  start_job (self, job, strand_store_remove_async, cancellable, callback, user_data);
}

/**
 * strand_store_remove_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_remove_async(). Fails as strand_store_remove() does.
 *
 * Returns: %TRUE if a record was removed
 * Since: 1.0
 */
gboolean
strand_store_remove_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_remove_async), FALSE);

  return g_task_propagate_boolean (G_TASK (result), error);
}

/**
 * strand_store_list_async:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @cursor: (nullable): where to go on; `NULL` at first
 * @limit: how many records at most, at least 1
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_list() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_list_async (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                         GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (limit > 0);

  job = g_new0 (Job, 1);
  job->run = run_list;
  job->filter = strand_filter_copy (filter);
  job->cursor = g_strdup (cursor);
  job->limit = limit;
  start_job (self, job, strand_store_list_async, cancellable, callback, user_data);
}

/**
 * strand_store_list_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_list_async(). Fails as strand_store_list() does.
 *
 * Returns: (transfer full): a page, or `NULL` with @error set
 * Since: 1.0
 */
StrandPage *
strand_store_list_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_list_async), NULL);

  return g_task_propagate_pointer (G_TASK (result), error);
}

/**
 * strand_store_count_async:
 * @self: a store
 * @filter: (nullable): which records; `NULL` for all calls
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_count() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_count_async (StrandStore *self, const StrandFilter *filter, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));

  job = g_new0 (Job, 1);
  job->run = run_count;
  job->filter = strand_filter_copy (filter);
  start_job (self, job, strand_store_count_async, cancellable, callback, user_data);
}

/**
 * strand_store_count_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_count_async(). Fails as strand_store_count() does.
 *
 * Returns: how many, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_count_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_count_async), -1);

  return g_task_propagate_int (G_TASK (result), error);
}

/**
 * strand_store_cleanup_expired_async:
 * @self: a store
 * @budget_us: about how long it may take, in microseconds, or -1 to look at every record
 * @cancellable: (nullable): stops it if it has not begun
 * @callback: (scope async) (closure user_data): what to call when it is done, in the thread-default main
 * context
 * @user_data: data for @callback
 *
 * Does strand_store_cleanup_expired() on a thread of strand's own. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_store_cleanup_expired_async (StrandStore *self, gint64 budget_us, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data)
{
  Job *job;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail (budget_us >= -1);

  job = g_new0 (Job, 1);
  job->run = run_cleanup_expired;
  job->budget_us = budget_us;
  start_job (self, job, strand_store_cleanup_expired_async, cancellable, callback, user_data);
}

/**
 * strand_store_cleanup_expired_finish:
 * @self: a store
 * @result: what the callback was given
 * @error: return location for a [error@Strand.Error], or `G_IO_ERROR_CANCELLED`
 *
 * Ends strand_store_cleanup_expired_async(). Fails as strand_store_cleanup_expired() does.
 *
 * Returns: how many were removed, or -1 with @error set
 * Since: 1.0
 */
gint64
strand_store_cleanup_expired_finish (StrandStore *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), -1);
  g_return_val_if_fail (g_async_result_is_tagged (result, strand_store_cleanup_expired_async), -1);

  return g_task_propagate_int (G_TASK (result), error);
}
