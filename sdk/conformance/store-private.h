/* store-private.h — what the cases for stores share.
 *
 * Cases use the public functions only, so that they hold the border guard to its word, too. Expiry is tried
 * with a clock that stands still until it is moved; what others do is waited for, up to the case's deadline.
 * Other processes play the role `hand`: they do what they are told, a line each.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conformance-private.h"

G_BEGIN_DECLS

#define STORE_NOW_US G_GINT64_CONSTANT (1700000000000000)
#define STORE_HOUR_US (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)
#define STORE_DAY_US (24 * STORE_HOUR_US)
#define STORE_OWNER "conformance:1"
#define STORE_N_THREADS 8

/* How many times a case does what it does many times. Few enough for a slow store, and a tenth of it where
 * that is wanted: fewer would try no race. */
guint store_times (StrandConformance *self, guint n);

/* A new store. One with another value of a text property, and all others as they are. */
StrandStore *store_make (StrandConformance *self);
StrandStore *store_make_with (StrandConformance *self, const char *property, const char *value);

/* Records: a pending call with something in it; one that has ended; one that waits in a queue. */
StrandRecord *store_record (const char *key);
void store_set_ended (StrandRecord *record, gint64 completed_us, gint64 ttl_us);
StrandRecord *store_work (const char *key, const char *queue, gint64 created_us);

/* Putting and getting what must go well. */
void store_put (StrandStore *store, StrandRecord *record);
void store_put_key (StrandStore *store, const char *key);
void store_put_text (StrandStore *store, const char *key, StrandField field, const char *text);
void store_put_ended (StrandStore *store, const char *key, gint64 completed_us, gint64 ttl_us);
void store_put_work (StrandStore *store, const char *key, const char *queue, gint64 created_us);
void store_put_many (StrandStore *store, const char *prefix, guint n);
void store_remove (StrandStore *store, const char *key);
StrandRecord *store_get (StrandStore *store, const char *key);
gint64 store_count (StrandStore *store, const StrandFilter *filter);

void store_assert_there (StrandStore *store, const char *key);
void store_assert_gone (StrandStore *store, const char *key);
void store_assert_same (StrandRecord *a, StrandRecord *b);

/* That a page names nothing unreadable. */
void store_assert_readable (StrandPage *page);

/* The keys of a whole listing, in pages of @limit. None comes twice, nothing is unreadable. */
GHashTable *store_list (StrandStore *store, const StrandFilter *filter, guint limit);

/* What is claimed, and the keys of it, apart by blanks. */
GPtrArray *store_claim (StrandStore *store, const char *queue, guint limit);
StrandRecord *store_claim_one (StrandStore *store, const char *queue);
char *store_claim_keys (StrandStore *store, const char *const *queues, gint64 now_us, guint limit,
                        gint64 *next_due_us);

/* Items that say which they are. */
void store_append (StrandStore *store, const char *key, guint64 fence, guint64 first, guint n,
                   guint max_items);
void store_check_items (GPtrArray *items, guint64 first);
void store_assert_items (StrandStore *store, const char *key, guint64 fence, guint64 from, guint limit,
                         guint64 first, guint n);

/* Who watches, a key (NULL: all) or a queue, and what it was told. */
typedef struct
{
  StrandStore *store;
  guint id;

  GMutex lock;
  GHashTable *told; /* set of keys; "*" for any of them */
  guint n_told;
} StoreEar;

StoreEar *store_ear_new (StrandStore *store, const char *key);
StoreEar *store_ear_new_for_queue (StrandStore *store, const char *queue);
gboolean store_ear_heard (StoreEar *self, const char *key);
guint store_ear_count (StoreEar *self);
void store_ear_forget (StoreEar *self);
void store_ear_stop (StoreEar *self);
void store_ear_free (StoreEar *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StoreEar, store_ear_free)

/* Runs a function on STORE_N_THREADS threads at once, and waits for them. */
typedef void (*StoreThreadFunc) (StrandStore *store, guint number, gpointer data);
void store_on_threads (StrandStore *store, StoreThreadFunc func, gpointer data);

/* What races between threads and between processes alike. */
void store_count_up (StrandStore *store, const char *key, guint n_times);
guint store_create_all (StrandStore *store, guint n);

/* Has a hand do something; its answer. */
char *store_tell (StrandConformancePeer *hand, const char *format, ...) G_GNUC_PRINTF (2, 3);
void store_tell_ok (StrandConformancePeer *hand, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* The groups, in the order of the page; and the roles. */
extern const StrandConformanceCase store_get_cases[];
extern const StrandConformanceCase store_put_cases[];
extern const StrandConformanceCase store_revision_cases[];
extern const StrandConformanceCase store_remove_cases[];
extern const StrandConformanceCase store_key_cases[];
extern const StrandConformanceCase store_list_cases[];
extern const StrandConformanceCase store_count_cases[];
extern const StrandConformanceCase store_ttl_cases[];
extern const StrandConformanceCase store_cleanup_cases[];
extern const StrandConformanceCase store_clock_cases[];
extern const StrandConformanceCase store_watch_cases[];
extern const StrandConformanceCase store_queue_cases[];
extern const StrandConformanceCase store_claim_cases[];
extern const StrandConformanceCase store_renew_cases[];
extern const StrandConformanceCase store_batch_cases[];
extern const StrandConformanceCase store_items_cases[];
extern const StrandConformanceCase store_thread_cases[];
extern const StrandConformanceCase store_process_cases[];
extern const StrandConformanceCase store_crash_cases[];
extern const StrandConformanceCase store_close_cases[];
extern const StrandConformanceCase store_medium_cases[];

void store_play_hand (StrandConformance *self);
void store_play_writer (StrandConformance *self);
void store_play_claimant (StrandConformance *self);
void store_play_reader_of_a_read_only_medium (StrandConformance *self);

G_END_DECLS
