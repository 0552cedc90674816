/* strand-watchers.c — who is told when a record changes, and how a store's changes are found where it cannot
 * notify.
 *
 * A watcher's function runs without any lock, on whatever thread brought the news. So that
 * strand_store_unwatch() can promise that the function is over, each watcher counts how often it runs; so
 * that a function may unwatch itself, each thread knows which functions it is inside of.
 *
 * One thread polls for one store, and only while somebody watches and the store cannot watch itself.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-store-private.h"

#include <string.h>

#include "strand-error.h"
#include "strand-log.h"

/* Soon after a change look often, later hardly at all. */
#define POLL_SHORTEST_US (10 * 1000)
#define POLL_LONGEST_US (1000 * 1000)

/* How many records the poller takes at once. */
#define PAGE_SIZE 256

/* What the poller remembers of a key that it cannot read; no real revision is as large. */
#define REVISION_UNREADABLE G_MAXUINT64

typedef struct
{
  gatomicrefcount refs;
  guint id;
  char *key;          /* of a record or of a queue; NULL: every one */
  gboolean for_queue; /* waits for work instead of watching records */
  StrandWatchFunc func;
  gpointer user_data;
  GDestroyNotify destroy;

  /* Guarded by the watchers' lock. */
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

struct _StrandWatchers
{
  gatomicrefcount refs;
  GMutex switch_lock; /* taken before lock; serialises turning the store's own watching on and off */

  GMutex lock;   /* guards everything below */
  GCond changed; /* a function has ended, or the poller has news */
  guint last_id;
  GHashTable *by_id;       /* id → Watcher, all of them */
  GHashTable *keyed;       /* key → GPtrArray of Watcher, borrowed from by_id */
  GPtrArray *unkeyed;      /* of Watcher, borrowed: those of every key */
  GPtrArray *waiting;      /* of Watcher, borrowed: those that wait for work; few, so not indexed */
  gboolean stopped;        /* the store is closed or gone */
  gboolean store_watches;  /* set_watching (TRUE) has worked */
  gboolean queues_watched; /* set_watching_queues() has worked */
  gboolean polling;        /* a poller thread runs */
  gboolean poll_soon;      /* a watcher is new */
  gboolean lively;         /* work was found: do not look less often yet */
};

typedef struct
{
  StrandWatchers *watchers;
  GWeakRef store;
  GHashTable *seen; /* key → guint64 revision */
} Poller;

static GPrivate current_frame;

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

StrandWatchers *
strand_watchers_new (void)
{
  StrandWatchers *self = g_new0 (StrandWatchers, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->switch_lock);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->by_id = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) watcher_unref);
  self->keyed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
  self->unkeyed = g_ptr_array_new ();
  self->waiting = g_ptr_array_new ();
  return self;
}

void
strand_watchers_unref (StrandWatchers *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;

  g_ptr_array_unref (self->waiting);
  g_ptr_array_unref (self->unkeyed);
  g_hash_table_unref (self->keyed);
  g_hash_table_unref (self->by_id);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->switch_lock);
  g_free (self);
}

static void
add_watchers (GPtrArray **found, GPtrArray *list)
{
  if (list == NULL || list->len == 0)
    return;

  if (*found == NULL)
    *found = g_ptr_array_new_with_free_func ((GDestroyNotify) watcher_unref);
  for (guint i = 0; i < list->len; i++)
    g_ptr_array_add (*found, watcher_ref (g_ptr_array_index (list, i)));
}

/* The watchers to tell that @key changed (NULL: that anything may have); NULL for none, which is what almost
 * every write finds. */
static GPtrArray *
find_watchers_locked (StrandWatchers *self, const char *key)
{
  GPtrArray *found = NULL;
  GHashTableIter iter;
  gpointer list;

  add_watchers (&found, self->unkeyed);
  if (key != NULL)
    {
      add_watchers (&found, g_hash_table_lookup (self->keyed, key));
      return found;
    }

  g_hash_table_iter_init (&iter, self->keyed);
  while (g_hash_table_iter_next (&iter, NULL, &list))
    add_watchers (&found, list);
  return found;
}

/* Waits for the function to end everywhere, and lets its data go. A function that unwatches itself cannot
 * wait for its own end: then tell() lets go, when the last run is over. */
static void
finish_watcher (StrandWatchers *self, Watcher *watcher, gboolean wait)
{
  gboolean destroy;

  g_mutex_lock (&self->lock);
  while (wait && watcher->n_running > 0)
    g_cond_wait (&self->changed, &self->lock);
  destroy = watcher->n_running == 0 && !watcher->destroyed;
  watcher->destroyed |= destroy;
  g_mutex_unlock (&self->lock);

  if (destroy && watcher->destroy != NULL)
    watcher->destroy (watcher->user_data);
}

/* Runs one watcher's function unless it has been removed since it was found. */
static void
tell (StrandWatchers *self, StrandStore *store, Watcher *watcher, const char *key)
{
  Frame frame = { watcher, g_private_get (&current_frame) };
  gboolean removed, removed_itself;

  g_mutex_lock (&self->lock);
  removed = watcher->removed;
  if (!removed)
    watcher->n_running++;
  g_mutex_unlock (&self->lock);
  if (removed)
    return;

  g_private_set (&current_frame, &frame);
  watcher->func (store, key, watcher->user_data);
  g_private_set (&current_frame, frame.outer);

  g_mutex_lock (&self->lock);
  watcher->n_running--;
  removed_itself = watcher->removed_itself;
  if (watcher->removed)
    g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);

  if (removed_itself)
    finish_watcher (self, watcher, FALSE);
}

void
strand_watchers_announce (StrandWatchers *self, StrandStore *store, const char *key)
{
  g_autoptr(GPtrArray) found = NULL;

  g_mutex_lock (&self->lock);
  found = find_watchers_locked (self, key);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; found != NULL && i < found->len; i++)
    {
      Watcher *watcher = g_ptr_array_index (found, i);

      tell (self, store, watcher, key != NULL ? key : watcher->key);
    }
}

/* Those who wait for work in @queue (NULL: in any); or only those who wait for work in every queue. */
static GPtrArray *
find_waiting_locked (StrandWatchers *self, const char *queue, gboolean in_every)
{
  GPtrArray *found = NULL;

  for (guint i = 0; i < self->waiting->len; i++)
    {
      Watcher *watcher = g_ptr_array_index (self->waiting, i);

      if (watcher->key != NULL && (in_every || (queue != NULL && strcmp (queue, watcher->key) != 0)))
        continue;
      if (found == NULL)
        found = g_ptr_array_new_with_free_func ((GDestroyNotify) watcher_unref);
      g_ptr_array_add (found, watcher_ref (watcher));
    }
  return found;
}

void
strand_watchers_announce_queue (StrandWatchers *self, StrandStore *store, const char *queue)
{
  g_autoptr(GPtrArray) found = NULL;

  g_mutex_lock (&self->lock);
  found = find_waiting_locked (self, queue, FALSE);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; found != NULL && i < found->len; i++)
    tell (self, store, g_ptr_array_index (found, i), queue);
}

void
strand_watchers_announce_every_queue (StrandWatchers *self, StrandStore *store)
{
  g_autoptr(GPtrArray) found = NULL;

  g_mutex_lock (&self->lock);
  found = find_waiting_locked (self, NULL, TRUE);
  g_mutex_unlock (&self->lock);

  for (guint i = 0; found != NULL && i < found->len; i++)
    tell (self, store, g_ptr_array_index (found, i), NULL);
}

/* --- polling, for stores that cannot notify ---------------------------------------------------------- */

static gpointer run_poller (gpointer data);

static void
start_polling_locked (StrandWatchers *self, StrandStore *store)
{
  Poller *poller;

  self->poll_soon = TRUE;
  g_cond_broadcast (&self->changed);
  if (self->polling)
    return;

  poller = g_new0 (Poller, 1);
  g_atomic_ref_count_inc (&self->refs);
  poller->watchers = self;
  g_weak_ref_init (&poller->store, store);
  poller->seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->polling = TRUE;
  g_thread_unref (g_thread_new ("strand-poll", run_poller, poller));
}

/* Somebody has just found work, so more may come soon. */
void
strand_watchers_poll_soon (StrandWatchers *self)
{
  g_mutex_lock (&self->lock);
  self->lively = TRUE;
  g_mutex_unlock (&self->lock);
}

static void
poller_free (Poller *poller)
{
  g_hash_table_unref (poller->seen);
  g_weak_ref_clear (&poller->store);
  strand_watchers_unref (poller->watchers);
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
look_up (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = STRAND_STORE_GET_IFACE (store)->get (store, key, &error);

  if (record != NULL)
    return strand_record_get_revision (record);
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) ? 0 : REVISION_UNREADABLE;
}

static void
look_at_keys (StrandStore *store, Poller *poller, GHashTable *now, GPtrArray *changed)
{
  g_auto(GStrv) keys = NULL;

  g_mutex_lock (&poller->watchers->lock);
  keys = (char **) g_hash_table_get_keys_as_array (poller->watchers->keyed, NULL);
  for (char **key = keys; *key != NULL; key++)
    *key = g_strdup (*key);
  g_mutex_unlock (&poller->watchers->lock);

  for (char **key = keys; *key != NULL; key++)
    if (note (poller, now, *key, look_up (store, *key)))
      g_ptr_array_add (changed, g_strdup (*key));
}

static void
look_at_everything (StrandStore *store, Poller *poller, GHashTable *now, GPtrArray *changed)
{
  const StrandFilter filter = { .kind = "*" };
  g_autofree char *cursor = NULL;
  GHashTableIter iter;
  gpointer key;

  do
    {
      g_autoptr(StrandPage) page =
          STRAND_STORE_GET_IFACE (store)->list (store, &filter, cursor, PAGE_SIZE, NULL);
      GPtrArray *records = page != NULL ? strand_page_get_records (page) : NULL;

      for (guint i = 0; records != NULL && i < records->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (records, i);

          if (note (poller, now, strand_record_get_key (record), strand_record_get_revision (record)))
            g_ptr_array_add (changed, g_strdup (strand_record_get_key (record)));
        }
      g_free (cursor);
      cursor = page != NULL ? g_strdup (strand_page_get_next (page)) : NULL;
    }
  while (cursor != NULL);

  g_hash_table_iter_init (&iter, poller->seen);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (!g_hash_table_contains (now, key))
      g_ptr_array_add (changed, g_strdup (key));
}

/* One look at what is watched. Whether anything changed. */
static gboolean
poll_once (StrandStore *store, Poller *poller)
{
  g_autoptr(GHashTable) now = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr(GPtrArray) changed = g_ptr_array_new_with_free_func (g_free);
  gboolean everything, queues;

  if (!strand_store_begin_visit (store))
    return FALSE;
  g_mutex_lock (&poller->watchers->lock);
  everything = poller->watchers->unkeyed->len > 0;
  queues = poller->watchers->waiting->len > 0 && !poller->watchers->queues_watched;
  g_mutex_unlock (&poller->watchers->lock);
  look_at_keys (store, poller, now, changed);
  if (everything)
    look_at_everything (store, poller, now, changed);
  strand_store_end_visit (store);

  g_hash_table_unref (poller->seen);
  poller->seen = g_steal_pointer (&now);
  for (guint i = 0; i < changed->len; i++)
    strand_watchers_announce (poller->watchers, store, g_ptr_array_index (changed, i));
  if (queues)
    strand_watchers_announce_queue (poller->watchers, store, NULL); /* whoever claims is the one check */
  return changed->len > 0;
}

/* Waits until the next look is due. FALSE when there is nothing to look at any more. */
static gboolean
wait_to_poll (StrandWatchers *self, gint64 *interval_us)
{
  gint64 due_us = g_get_monotonic_time () + *interval_us;
  gboolean go_on;

  g_mutex_lock (&self->lock);
  while (!self->stopped && !self->poll_soon && g_hash_table_size (self->by_id) > 0 &&
         g_cond_wait_until (&self->changed, &self->lock, due_us))
    ;
  if (self->poll_soon || self->lively)
    *interval_us = POLL_SHORTEST_US;
  self->poll_soon = FALSE;
  self->lively = FALSE;
  go_on = !self->stopped && g_hash_table_size (self->by_id) > 0;
  if (!go_on)
    self->polling = FALSE;
  g_mutex_unlock (&self->lock);

  return go_on;
}

static gpointer
run_poller (gpointer data)
{
  Poller *poller = data;
  gint64 interval_us = POLL_SHORTEST_US;

  while (wait_to_poll (poller->watchers, &interval_us))
    {
      g_autoptr(StrandStore) store = g_weak_ref_get (&poller->store);

      if (store != NULL && poll_once (store, poller))
        interval_us = POLL_SHORTEST_US;
      else
        interval_us = MIN (interval_us * 3 / 2, POLL_LONGEST_US);
    }
  poller_free (poller);
  return NULL;
}

/* --- watching ------------------------------------------------------------------------------------------ */

static Watcher *
watcher_new (const char *key, StrandWatchFunc func, gpointer user_data, GDestroyNotify destroy)
{
  Watcher *watcher = g_new0 (Watcher, 1);

  g_atomic_ref_count_init (&watcher->refs);
  watcher->key = g_strdup (key);
  watcher->func = func;
  watcher->user_data = user_data;
  watcher->destroy = destroy;
  return watcher;
}

/* Where a watcher stands; made for a key that is not watched yet. */
static GPtrArray *
list_of_locked (StrandWatchers *self, Watcher *watcher)
{
  GPtrArray *list;

  if (watcher->for_queue)
    return self->waiting;
  if (watcher->key == NULL)
    return self->unkeyed;
  list = g_hash_table_lookup (self->keyed, watcher->key);
  if (list == NULL)
    {
      list = g_ptr_array_new ();
      g_hash_table_insert (self->keyed, g_strdup (watcher->key), list);
    }
  return list;
}

static guint
add_watcher (StrandWatchers *self, Watcher *watcher)
{
  g_mutex_lock (&self->lock);
  watcher->id = ++self->last_id;
  g_hash_table_insert (self->by_id, GUINT_TO_POINTER (watcher->id), watcher);
  g_ptr_array_add (list_of_locked (self, watcher), watcher);
  g_mutex_unlock (&self->lock);

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
steal_watcher (StrandWatchers *self, guint id, gboolean *last)
{
  gpointer found = NULL;
  Watcher *watcher;

  g_mutex_lock (&self->lock);
  g_hash_table_steal_extended (self->by_id, GUINT_TO_POINTER (id), NULL, &found);
  watcher = found;
  if (watcher != NULL)
    {
      GPtrArray *list = list_of_locked (self, watcher);

      watcher->removed = TRUE;
      watcher->removed_itself = is_telling (watcher);
      g_ptr_array_remove_fast (list, watcher);
      if (watcher->key != NULL && !watcher->for_queue && list->len == 0)
        g_hash_table_remove (self->keyed, watcher->key);
    }
  *last = g_hash_table_size (self->by_id) == 0;
  if (*last)
    g_cond_broadcast (&self->changed); /* the poller may go */
  g_mutex_unlock (&self->lock);

  return watcher;
}

/* The queues that somebody waits for; one NULL among them stands for all of them, which a store cannot be
 * told to watch. NULL where nobody waits. */
static char **
dup_queues_locked (StrandWatchers *self, gboolean *all)
{
  g_autoptr(GPtrArray) queues = g_ptr_array_new ();

  *all = FALSE;
  for (guint i = 0; i < self->waiting->len; i++)
    {
      Watcher *watcher = g_ptr_array_index (self->waiting, i);

      if (watcher->key == NULL)
        *all = TRUE;
      else if (!g_ptr_array_find_with_equal_func (queues, watcher->key, g_str_equal, NULL))
        g_ptr_array_add (queues, g_strdup (watcher->key));
    }
  if (queues->len == 0)
    return NULL;
  g_ptr_array_add (queues, NULL);
  return (char **) g_ptr_array_steal (queues, NULL);
}

static void
debug_polling (StrandStore *store, GError *error)
{
  strand_debug (STRAND_TOPIC_STORE, "%s looks for changes itself: %s", G_OBJECT_TYPE_NAME (store),
                error != NULL ? error->message : "it cannot watch");
}

/* Has the store notice work in the queues that somebody waits for. FALSE if its changes must do. @again: (out):
 * set where it noticed some before. What it had noticed then and not told may have gone with that: those who
 * wait for work have to look. */
static gboolean
notice_queues (StrandWatchers *self, StrandStore *store, gboolean *again)
{
  StrandStoreInterface *methods = STRAND_STORE_GET_IFACE (store);
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) queues = NULL;
  gboolean all, watched, before;

  g_mutex_lock (&self->lock);
  queues = dup_queues_locked (self, &all);
  before = self->queues_watched;
  g_mutex_unlock (&self->lock);
  if (methods->set_watching_queues == NULL || (queues == NULL && !before))
    return FALSE;

  watched = methods->set_watching_queues (store, (const char *const *) queues, &error);
  if (!watched)
    debug_polling (store, error);
  g_mutex_lock (&self->lock);
  self->queues_watched = watched && queues != NULL;
  g_mutex_unlock (&self->lock);
  *again = before;
  return watched && !all;
}

/* @again: (out): as above; untouched for a watcher of records, which leaves the queues as they are. */
static void
start_noticing (StrandWatchers *self, StrandStore *store, gboolean for_queue, gboolean *again)
{
  StrandStoreInterface *methods = STRAND_STORE_GET_IFACE (store);
  g_autoptr(GError) error = NULL;
  gboolean watches, stopped, only_queues;

  g_mutex_lock (&self->lock);
  watches = self->store_watches;
  stopped = self->stopped;
  only_queues = self->waiting->len == g_hash_table_size (self->by_id);
  g_mutex_unlock (&self->lock);
  if (stopped || (for_queue && notice_queues (self, store, again) && only_queues))
    return;

  if (!watches && methods->set_watching != NULL)
    {
      watches = methods->set_watching (store, TRUE, &error);
      if (!watches)
        debug_polling (store, error);
    }

  g_mutex_lock (&self->lock);
  self->store_watches = watches;
  if (!watches)
    start_polling_locked (self, store);
  g_mutex_unlock (&self->lock);
}

static void
stop_noticing (StrandWatchers *self, StrandStore *store)
{
  gboolean watches, queues_watched;

  g_mutex_lock (&self->lock);
  watches = self->store_watches;
  queues_watched = self->queues_watched;
  self->store_watches = FALSE;
  self->queues_watched = FALSE;
  g_mutex_unlock (&self->lock);

  if (watches)
    STRAND_STORE_GET_IFACE (store)->set_watching (store, FALSE, NULL);
  if (queues_watched)
    STRAND_STORE_GET_IFACE (store)->set_watching_queues (store, NULL, NULL);
}

static guint
add (StrandWatchers *self, StrandStore *store, Watcher *watcher)
{
  gboolean again = FALSE;
  guint id;

  g_mutex_lock (&self->switch_lock);
  id = add_watcher (self, watcher);
  start_noticing (self, store, watcher->for_queue, &again);
  g_mutex_unlock (&self->switch_lock);
  if (again)
    strand_watchers_announce_queue (self, store, NULL);
  return id;
}

guint
strand_watchers_add (StrandWatchers *self, StrandStore *store, const char *key, StrandWatchFunc func,
                     gpointer user_data, GDestroyNotify destroy)
{
  return add (self, store, watcher_new (key, func, user_data, destroy));
}

guint
strand_watchers_add_queue (StrandWatchers *self, StrandStore *store, const char *queue, StrandWatchFunc func,
                           gpointer user_data, GDestroyNotify destroy)
{
  Watcher *watcher = watcher_new (queue, func, user_data, destroy);

  watcher->for_queue = TRUE;
  return add (self, store, watcher);
}

void
strand_watchers_remove (StrandWatchers *self, StrandStore *store, guint id)
{
  g_autoptr(Watcher) watcher = NULL;
  gboolean again = FALSE;
  gboolean last;

  g_mutex_lock (&self->switch_lock);
  watcher = steal_watcher (self, id, &last);
  if (last)
    stop_noticing (self, store);
  else if (watcher != NULL && watcher->for_queue)
    notice_queues (self, store, &again);
  g_mutex_unlock (&self->switch_lock);
  if (again)
    strand_watchers_announce_queue (self, store, NULL);

  if (watcher != NULL && !watcher->removed_itself)
    finish_watcher (self, watcher, TRUE);
}

static void
set_stopped (StrandWatchers *self)
{
  g_mutex_lock (&self->lock);
  self->stopped = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

void
strand_watchers_stop (StrandWatchers *self, StrandStore *store)
{
  g_mutex_lock (&self->switch_lock);
  set_stopped (self);
  stop_noticing (self, store);
  g_mutex_unlock (&self->switch_lock);
}

void
strand_watchers_abandon (StrandWatchers *self)
{
  g_autoptr(GHashTable) by_id = NULL;

  set_stopped (self);
  g_mutex_lock (&self->lock);
  by_id = g_steal_pointer (&self->by_id);
  self->by_id = g_hash_table_new (NULL, NULL);
  g_hash_table_remove_all (self->keyed);
  g_ptr_array_set_size (self->unkeyed, 0);
  g_ptr_array_set_size (self->waiting, 0);
  g_mutex_unlock (&self->lock);
}
