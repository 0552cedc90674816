/* strand-store-private.h — what the files of a store's border share, and what a store and its watchers say to
 * each other.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-store.h"

G_BEGIN_DECLS

/* Those who want to hear of changes in one store. Counted, because the thread that looks for changes must not
 * keep the store alive. */
typedef struct _StrandWatchers StrandWatchers;

StrandWatchers *strand_watchers_new (void);
void strand_watchers_unref (StrandWatchers *self);

guint strand_watchers_add (StrandWatchers *self, StrandStore *store, const char *key, StrandWatchFunc func,
                           gpointer user_data, GDestroyNotify destroy);
void strand_watchers_remove (StrandWatchers *self, StrandStore *store, guint id);

/* Tells everybody who watches @key (NULL: everybody). Without locks. */
void strand_watchers_announce (StrandWatchers *self, StrandStore *store, const char *key);

/* The store is closed: notices nothing more. */
void strand_watchers_stop (StrandWatchers *self, StrandStore *store);

/* The store is being finalized: nobody can watch it any more. */
void strand_watchers_abandon (StrandWatchers *self);

/* The same for those who wait for work in a queue (NULL: in any). */
guint strand_watchers_add_queue (StrandWatchers *self, StrandStore *store, const char *queue,
                                 StrandWatchFunc func, gpointer user_data, GDestroyNotify destroy);
void strand_watchers_announce_queue (StrandWatchers *self, StrandStore *store, const char *queue);

/* Only to those who wait for work in every queue, whom set_watching_queues() cannot serve. */
void strand_watchers_announce_every_queue (StrandWatchers *self, StrandStore *store);

/* Work was found: where changes are looked for, look again soon. */
void strand_watchers_poll_soon (StrandWatchers *self);

/* How many records are looked at at once: large enough to make paging cheap, small enough that a page of
 * ordinary records is some hundred KiB. */
#define STRAND_STORE_PAGE_SIZE 256

/* What lies beside every store. */
typedef struct
{
  StrandWatchers *watchers;

  GMutex lock; /* guards everything below */
  GCond left;  /* a visit has ended */

  gint64 ttl_us;
  gint64 max_record_size;
  double cleanup_probability;
  gboolean auto_cleanup;

  guint n_visits;
  gboolean closed;

  gboolean cleaning;
  gint64 clean_after_us; /* monotonic */
  char *clean_cursor;
} StrandStoreState;

StrandStoreState *strand_store_peek_state (StrandStore *self);

/* What one public function does with a store, from door to door. */
typedef struct
{
  StrandStoreInterface *methods;
  StrandWatchers *watchers;
  gint64 ttl_us;
  gint64 max_record_size;
  gboolean clean; /* this visit does the automatic cleanup */
} StrandVisit;

gboolean strand_store_enter (StrandStore *self, StrandVisit *visit, GError **error);
void strand_store_leave (StrandStore *self, StrandVisit *visit);

/* A method that failed must have said why. Adds what was being done, to which record (NULL: to none). */
void strand_store_explain (StrandStore *self, GError **error, const char *doing, const char *key);

/* What a store's method has read, as a caller may see it: NULL with @error if it is another key's, or has
 * outlived its ttl. Takes over @record. @discarded: (out): set where it was removed for that, which watchers
 * must hear of after the visit. */
StrandRecord *strand_store_admit (StrandStore *self, StrandVisit *visit, StrandRecord *record,
                                  const char *key, gboolean *discarded, GError **error);

/* What a record must have before it is written: its new revision, a ttl, a bearable size. */
gboolean strand_store_prepare (StrandVisit *visit, StrandRecord *record, guint64 expected, GError **error);

/* The last of these alone. */
gboolean strand_store_check_size (StrandVisit *visit, StrandRecord *record, GError **error);

/* Writes a record that has been prepared. An expired one is not in its way. */
gboolean strand_store_put_prepared (StrandStore *self, StrandVisit *visit, StrandRecord *record,
                                    guint64 expected, GError **error);

/* After the visit: a record was written by this process. */
void strand_store_announce_put (StrandStore *self, StrandVisit *visit, StrandRecord *record);

/* Forgets what the call of a record has emitted. Trouble is for the log. */
void strand_store_forget_items (StrandStore *self, StrandVisit *visit, StrandRecord *record);

/* Removes a record that has outlived its ttl, if it is still the one that was read. */
gboolean strand_store_discard (StrandStore *self, StrandVisit *visit, StrandRecord *record);

/* strand-store-cleanup.c: whether this visit should clean up, which it then must. */
gboolean strand_store_take_cleaning_locked (StrandStoreState *state);
void strand_store_cleanup_automatically (StrandStore *self, StrandVisit *visit);

/* The item log of stores without one of their own. */
gboolean strand_items_append (StrandStore *self, StrandStoreInterface *methods, const char *key,
                              guint64 fence, guint64 first, GBytes *const *items, guint n, guint max_items,
                              GError **error);
GPtrArray *strand_items_read (StrandStore *self, StrandStoreInterface *methods, const char *key,
                              guint64 fence, guint64 from, guint limit, guint64 *first, GError **error);
gboolean strand_items_remove (StrandStore *self, StrandStoreInterface *methods, const char *key,
                              guint64 fence, GError **error);

/* Removes logs whose call is not there any more, until the deadline (monotonic). */
gboolean strand_items_sweep (StrandStore *self, StrandStoreInterface *methods, gint64 deadline_us,
                             GError **error);

/* Around the use of methods, for the thread that looks for changes. FALSE if the store is closed. */
gboolean strand_store_begin_visit (StrandStore *self);
void strand_store_end_visit (StrandStore *self);

G_END_DECLS
