/* strand-store.h — keeps records by key until someone asks for them.
 *
 * A store implements four methods; everything else works on top of them and may be overridden where the
 * store can do it faster. The functions below are the only way to a store: they check keys, hide records
 * that have outlived their ttl, tell watchers, and see that a method which failed has set its error.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-record.h"

G_BEGIN_DECLS

/**
 * StrandFilter:
 * @kind: (nullable): only records of this kind; `NULL` for calls, `*` for every kind
 * @statuses: bits `1 << StrandStatus` of the statuses wanted; 0 for all
 * @queue: (nullable): only records of this queue
 * @function: (nullable): only calls of this function
 * @lease_owner: (nullable): only records held by this owner
 *
 * Which records are wanted. All conditions must hold.
 *
 * Since: 1.0
 */
typedef struct
{
  const char *kind;
  guint statuses;
  const char *queue;
  const char *function;
  const char *lease_owner;
} StrandFilter;

#define STRAND_TYPE_FILTER (strand_filter_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_filter_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandFilter *strand_filter_copy (const StrandFilter *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_filter_free (StrandFilter *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_filter_matches (const StrandFilter *filter, StrandRecord *record);

/* One page of a listing: the records, what could not be read, and where the next page starts. */
typedef struct _StrandPage StrandPage;
#define STRAND_TYPE_PAGE (strand_page_get_type ())

STRAND_AVAILABLE_IN_ALL
GType strand_page_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandPage *strand_page_new (void) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandPage *strand_page_ref (StrandPage *self);

STRAND_AVAILABLE_IN_ALL
void strand_page_unref (StrandPage *self);

STRAND_AVAILABLE_IN_ALL
void strand_page_add (StrandPage *self, StrandRecord *record);

/* @name: what a person would look for: a file's path, a row, a key */
STRAND_AVAILABLE_IN_ALL
void strand_page_add_unreadable (StrandPage *self, const char *name, const GError *error);

STRAND_AVAILABLE_IN_ALL
void strand_page_set_next (StrandPage *self, const char *cursor);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_page_get_records (StrandPage *self);

STRAND_AVAILABLE_IN_ALL
guint strand_page_get_n_unreadable (StrandPage *self);

STRAND_AVAILABLE_IN_ALL
const char *strand_page_get_unreadable (StrandPage *self, guint position, const GError **error);

STRAND_AVAILABLE_IN_ALL
const char *strand_page_get_next (StrandPage *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandPage, strand_page_unref)

/**
 * StrandClaim:
 * @queues: (array zero-terminated=1): whose calls are wanted; what is due in the first comes first
 * @owner: the lease's owner, as strand_lease_owner_self() writes it
 * @now_us: the time it is, in µs since 1970
 * @limit: how many calls at most, at least 1
 *
 * Which work is asked for, and for whom.
 *
 * Since: 1.0
 */
typedef struct
{
  const char *const *queues;
  const char *owner;
  gint64 now_us;
  guint limit;
} StrandClaim;

/**
 * StrandRenewal:
 * @key: the call's key
 * @fence: the fence that its claim gave it
 * @cancel_requested: (out): whether somebody asked for the call to be stopped
 * @error: (out): why this lease could not be renewed, `NULL` if it was; the caller's to free
 *
 * One lease to renew, and what came of it.
 *
 * Since: 1.0
 */
typedef struct
{
  const char *key;
  guint64 fence;
  gboolean cancel_requested;
  GError *error;
} StrandRenewal;

#define STRAND_TYPE_STORE (strand_store_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (StrandStore, strand_store, STRAND, STORE, GObject)

/**
 * StrandWatchFunc:
 * @store: the store
 * @key: (nullable): the key whose record was put or removed; `NULL` only to who watches every key, if the
 *   store lost count of what changed
 * @user_data: what strand_store_watch() was given
 *
 * Told that a record may have changed. Runs on any thread, also while strand_store_put() is still on the
 * stack; must not block, nor call the store but for strand_store_unwatch(). May be told of one change twice,
 * of two at once, or of none: read the record and compare revisions.
 *
 * Since: 1.0
 */
typedef void (*StrandWatchFunc) (StrandStore *store, const char *key, gpointer user_data);

/**
 * StrandStoreInterface:
 * @parent_iface: the parent
 * @get: reads one record
 * @put: writes one record if its revision is the expected one
 * @remove: removes one record if its revision is the expected one
 * @list: reads one page of records
 * @set_watching: starts or stops noticing other processes' writes
 * @count: counts records
 * @cleanup_expired: removes records that have outlived their ttl
 * @close: lets go of files and connections
 * @claim: takes calls that are due, under a lease
 * @renew: renews leases
 * @put_batch: writes several records
 * @set_watching_queues: starts or stops noticing work that other processes leave
 * @append_items: adds to what a call has emitted
 * @read_items: reads what a call has emitted
 * @remove_items: forgets what a call has emitted
 * @get_batch: reads several records
 *
 * What a store implements. Methods are called by backends, readers, handles and the command line through
 * the functions below, on any thread and on several at once, never on a thread that owns a main context;
 * they may block. Construction opens nothing: the first method called does. Keys have been checked. An error
 * says only why ("'/var/…': no space left"); the function that was called adds what it was doing, to which
 * key.
 *
 * Since: 1.0
 */
struct _StrandStoreInterface
{
  GTypeInterface parent_iface;

  /* Required. A new reference that the caller may change (never the store's own copy), with its
   * revision; or NULL with STRAND_ERROR_NOT_FOUND, or STRAND_ERROR_CORRUPT for a record that cannot be
   * read. Does not look at ttl. */
  StrandRecord *(*get) (StrandStore *self, const char *key, GError **error);

  /* Required. Writes @record, whole or not at all, if the revision now kept is @expected (0: no record may
   * be there); its own revision field is @expected + 1 already, or any if @expected is 0 and it is imported.
   * Atomic towards every thread and process. On failure what was there is still there: STRAND_ERROR_EXISTS if
   * @expected is 0 and a record is there, else STRAND_ERROR_STALE (also where it is gone). Reads @record only,
   * keeps no reference to it. */
  gboolean (*put) (StrandStore *self, StrandRecord *record, guint64 expected, GError **error);

  /* Required. Removes the record if its revision is @expected, or whatever is there, readable or not, where
   * @expected is 0.
   * STRAND_ERROR_NOT_FOUND or STRAND_ERROR_STALE otherwise. */
  gboolean (*remove) (StrandStore *self, const char *key, guint64 expected, GError **error);

  /* Required. Up to @limit records that match, from where @cursor (of the page before; NULL at first)
   * points. Every record that is there during the whole listing is in exactly one page; one that comes or
   * goes meanwhile may be. Unreadable ones are named in the page and skipped. The page's next cursor is NULL
   * at the end. Does not look at ttl. An error only where nothing can be listed at all, or
   * STRAND_ERROR_INVALID_ARGUMENT for a cursor that no page of this store gave. */
  StrandPage *(*list) (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                       GError **error);

  /* Optional. Between TRUE and FALSE the store calls strand_store_changed() for each record that another
   * process writes or removes (this process's writes are told by strand_store_put() itself); from the moment
   * that TRUE returns. Without this method, or if it fails, watched keys are looked up every 10 ms to 1 s
   * instead. FALSE must not wait for a thread that may be inside strand_store_changed(), and is not called
   * when the store is finalized. */
  gboolean (*set_watching) (StrandStore *self, gboolean watching, GError **error);

  /* Optional. How many records match and have not outlived their ttl, or -1 with an error. */
  gint64 (*count) (StrandStore *self, const StrandFilter *filter, GError **error);

  /* Optional. Removes records expired at @now_us for at most about @budget_us (-1: all), calls
   * strand_store_changed() for each, and returns how many; -1 with an error. With a budget it goes on where
   * the last one stopped. */
  gint64 (*cleanup_expired) (StrandStore *self, gint64 now_us, gint64 budget_us, GError **error);

  /* Optional. Lets go of files and connections. Called at most once, when no method runs; none will. */
  void (*close) (StrandStore *self);

  /* Optional. Takes up to @claim->limit calls that are due: records of kind `call`, pending, in one of the
   * queues, whose not-before is over. Queues in the order given; within one by strand_record_get_turn(), the
   * smallest first. Each is written as strand_record_claim() makes it, atomically: no two claims get the same
   * call. @next_due_us: when the next pending call of these queues will be due, 0 if none waits for its time.
   * An empty array where nothing is due; NULL with an error. The default lists all that is pending. */
  GPtrArray *(*claim) (StrandStore *self, const StrandClaim *claim, gint64 *next_due_us, GError **error);

  /* Optional. For each: if the record runs under this fence, adds 1 to its lease counter (and revision), and
   * says whether a cancel was requested; otherwise STRAND_ERROR_STALE or STRAND_ERROR_NOT_FOUND in its own
   * error. FALSE with @error where nothing could be done at all. The default is get and put. */
  gboolean (*renew) (StrandStore *self, StrandRenewal *renewals, guint n, GError **error);

  /* Optional. As put for each record, with one verdict each: errors[i] is set where the record was not
   * written. Not atomic. The same key may come twice, in order. Returns how many were written. */
  guint (*put_batch) (StrandStore *self, StrandRecord *const *records, const guint64 *expected, guint n,
                      GError **errors);

  /* Optional. From now until the next call the store calls strand_store_queue_changed() when another process
   * writes a pending record into one of @queues (NULL for none: stop). From the moment that TRUE returns.
   * Without this method set_watching() serves, and each change of another process is a reason to look.
   * Rules as for set_watching(). */
  gboolean (*set_watching_queues) (StrandStore *self, const char *const *queues, GError **error);

  /* Optional, all three or none. The log of what a call has emitted under one fence: item @first and those
   * that follow, as bytes that mean nothing to the store. A writer that does not know whether it was heard
   * says it again: what is there from @first on is replaced. Where the log does not reach @first, it begins
   * anew there. At least the last @max_items are kept, and not many more. */
  gboolean (*append_items) (StrandStore *self, const char *key, guint64 fence, guint64 first,
                            GBytes *const *items, guint n, guint max_items, GError **error);

  /* Up to @limit items from index @from on, or from the first that is kept. @first: (out): the index of the
   * first one returned. An empty array where there is none (yet). */
  GPtrArray *(*read_items) (StrandStore *self, const char *key, guint64 fence, guint64 from, guint limit,
                            guint64 *first, GError **error);

  /* All that was emitted under @fence and earlier ones. No error where there is nothing. Called before a
   * record is removed by strand_store_remove(); cleanup_expired sees to it itself, where it has these. */
  gboolean (*remove_items) (StrandStore *self, const char *key, guint64 fence, GError **error);

  /* Optional. As get for each key: records[i] is set where there is one, else errors[i]; both are NULL before.
   * They need not be of one moment. */
  void (*get_batch) (StrandStore *self, const char *const *keys, guint n, StrandRecord **records,
                     GError **errors);

  /*< private >*/
  gpointer reserved[5];
};

/**
 * StrandStoreInterface::set_watching:
 * @self: a store
 * @watching: whether to call strand_store_changed() for what other processes write and remove
 * @error: why that is not possible
 *
 * Starts or stops noticing other processes' writes.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */

/**
 * StrandStoreInterface::set_watching_queues:
 * @self: a store
 * @queues: (nullable) (array zero-terminated=1): whose pending records to tell of with
 *   strand_store_queue_changed(); `NULL` for none
 * @error: why that is not possible
 *
 * Starts or stops noticing work that other processes leave.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */

/**
 * StrandStoreInterface::remove_items:
 * @self: a store
 * @key: a call
 * @fence: the fence of a claim
 * @error: why they are still there
 *
 * Forgets what the call emitted under that claim and earlier ones. It is no error if that is nothing.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */

/**
 * StrandStoreInterface::cleanup_expired:
 * @self: a store
 * @now_us: the time it is, in µs since 1970
 * @budget_us: about how long this may take, in µs; -1 for as long as it takes
 * @error: why it failed
 *
 * Removes records that have outlived their ttl.
 *
 * Returns: how many, or -1 with @error set
 * Since: 1.0
 */

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_store_get (StrandStore *self, const char *key, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* On success the record's revision field is the new one. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_store_put (StrandStore *self, StrandRecord *record, guint64 expected, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_import (StrandStore *self, StrandRecord *record, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_remove (StrandStore *self, const char *key, guint64 expected, GError **error);

STRAND_AVAILABLE_IN_ALL
StrandPage *strand_store_list (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gint64 strand_store_count (StrandStore *self, const StrandFilter *filter, GError **error);

STRAND_AVAILABLE_IN_ALL
gint64 strand_store_cleanup_expired (StrandStore *self, gint64 budget_us, GError **error);

/* @key: (nullable): one key, or NULL for all. Returns an id for strand_store_unwatch(). */
STRAND_AVAILABLE_IN_ALL
guint strand_store_watch (StrandStore *self, const char *key, StrandWatchFunc func, gpointer user_data,
                          GDestroyNotify destroy);

/* When this returns, the function is not running on another thread and will not be called again. */
STRAND_AVAILABLE_IN_ALL
void strand_store_unwatch (StrandStore *self, guint id);

STRAND_AVAILABLE_IN_ALL
void strand_store_close (StrandStore *self);

/* Beside each blocking function: the same on a thread of strand's own, for threads with a main context. */
STRAND_AVAILABLE_IN_ALL
void strand_store_get_async (StrandStore *self, const char *key, GCancellable *cancellable,
                             GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandRecord *strand_store_get_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_put_async (StrandStore *self, StrandRecord *record, guint64 expected,
                             GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_put_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_remove_async (StrandStore *self, const char *key, guint64 expected,
                                GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_store_remove_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_list_async (StrandStore *self, const StrandFilter *filter, const char *cursor, guint limit,
                              GCancellable *cancellable, GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandPage *strand_store_list_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_count_async (StrandStore *self, const StrandFilter *filter, GCancellable *cancellable,
                               GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gint64 strand_store_count_finish (StrandStore *self, GAsyncResult *result, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_store_cleanup_expired_async (StrandStore *self, gint64 budget_us, GCancellable *cancellable,
                                         GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gint64 strand_store_cleanup_expired_finish (StrandStore *self, GAsyncResult *result, GError **error);

/* For implementations: another process left work in a queue; NULL: in any of them, perhaps. Any thread, as
 * strand_store_changed(). */
STRAND_AVAILABLE_IN_ALL
void strand_store_queue_changed (StrandStore *self, const char *queue);

/* For implementations: a record was written or removed by another process, or by cleanup_expired. Any thread,
 * without locks that a method takes. NULL: any of them may have been. */
STRAND_AVAILABLE_IN_ALL
void strand_store_changed (StrandStore *self, const char *key);

/* For implementations: what a record holds, in bytes; what max-record-size limits. */
STRAND_AVAILABLE_IN_ALL
gsize strand_store_measure (StrandRecord *record);

/**
 * STRAND_STORE_N_PROPERTIES:
 *
 * How many properties every store has: ttl, auto-cleanup, cleanup-probability, max-record-size. They are
 * interface properties. A class overrides them with strand_store_override_properties() in class_init, which
 * numbers them from the id given, and passes ids that it does not know to the two functions below.
 *
 * Since: 1.0
 */
#define STRAND_STORE_N_PROPERTIES 4

STRAND_AVAILABLE_IN_ALL
void strand_store_override_properties (GObjectClass *klass, guint first_id);

STRAND_AVAILABLE_IN_ALL
void strand_store_set_common_property (StrandStore *self, const GValue *value, GParamSpec *pspec);

STRAND_AVAILABLE_IN_ALL
void strand_store_get_common_property (StrandStore *self, GValue *value, GParamSpec *pspec);

/* The same by name, for languages other than C. */
STRAND_AVAILABLE_IN_ALL
void strand_store_set_common_value (StrandStore *self, const char *name, const GValue *value);

STRAND_AVAILABLE_IN_ALL
void strand_store_get_common_value (StrandStore *self, const char *name, GValue *value);

G_END_DECLS
