/* strand-store.c — the border guard of every store, and what works on top of any four methods.
 *
 * Each public function is one visit: enter() looks at the door (closed? time to clean up?), the method runs
 * without any lock of ours, leave() tells close() that the house is empty. Watchers are told after the visit,
 * so they never run inside a method; only what a cleanup removes is told while the visit goes on.
 *
 * What a store needs for this lies in a StrandStoreState beside the object; its watchers in
 * strand-watchers.c.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-store-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-life.h"
#include "strand-log.h"
#include "strand-param.h"
#include "strand-work.h"

#define DEFAULT_CLEANUP_PROBABILITY 0.1
#define DEFAULT_MAX_RECORD_SIZE (64 * 1024 * 1024)

static GQuark state_quark; /* set with the interface, before there can be a store */

static void strand_store_default_init (StrandStoreInterface *iface);

/**
 * StrandStore:
 *
 * Keeps records by key. Four methods make a store; all else has a default on top of them. Any thread; may
 * block.
 *
 * Since: 1.0
 */
G_DEFINE_INTERFACE (StrandStore, strand_store, G_TYPE_OBJECT)

static StrandStoreState *
state_new (void)
{
  StrandStoreState *state = g_new0 (StrandStoreState, 1);

  state->watchers = strand_watchers_new ();
  g_mutex_init (&state->lock);
  g_cond_init (&state->left);
  state->ttl_us = -1;
  state->max_record_size = DEFAULT_MAX_RECORD_SIZE;
  state->cleanup_probability = DEFAULT_CLEANUP_PROBABILITY;
  state->auto_cleanup = TRUE;
  state->clean_after_us = G_MININT64;
  return state;
}

static void
state_free (gpointer data)
{
  StrandStoreState *state = data;

  strand_watchers_abandon (state->watchers);
  strand_watchers_unref (state->watchers);
  g_free (state->clean_cursor);
  g_cond_clear (&state->left);
  g_mutex_clear (&state->lock);
  g_free (state);
}

StrandStoreState *
strand_store_peek_state (StrandStore *self)
{
  static GMutex making;
  StrandStoreState *state = g_object_get_qdata (G_OBJECT (self), state_quark);

  if (state != NULL)
    return state;

  g_mutex_lock (&making);
  state = g_object_get_qdata (G_OBJECT (self), state_quark);
  if (state == NULL)
    {
      state = state_new ();
      g_object_set_qdata_full (G_OBJECT (self), state_quark, state, state_free);
    }
  g_mutex_unlock (&making);

  return state;
}

gboolean
strand_store_enter (StrandStore *self, StrandVisit *visit, GError **error)
{
  StrandStoreState *state = strand_store_peek_state (self);
  gboolean closed;

  visit->methods = STRAND_STORE_GET_IFACE (self);
  visit->watchers = state->watchers;

  g_mutex_lock (&state->lock);
  closed = state->closed;
  if (!closed)
    {
      state->n_visits++;
      visit->ttl_us = state->ttl_us;
      visit->max_record_size = state->max_record_size;
      visit->clean = strand_store_take_cleaning_locked (state);
    }
  g_mutex_unlock (&state->lock);

  if (closed)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the store has been closed");
  return !closed;
}

void
strand_store_explain (StrandStore *self, GError **error, const char *doing, const char *key)
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

static gboolean
is_expired (StrandRecord *record)
{
  return strand_record_is_expired (record, strand_clock_now_us ());
}

/* Removes a record that has outlived its ttl, if it is still the one that was read. */
gboolean
strand_store_discard (StrandStore *self, StrandVisit *visit, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;
  const char *key = strand_record_get_key (record);

  strand_store_forget_items (self, visit, record);
  if (visit->methods->remove (self, key, strand_record_get_revision (record), &error))
    return TRUE;

  strand_debug (STRAND_TOPIC_STORE, "Could not remove expired record '%s': %s", key,
                error != NULL ? error->message : "no reason given");
  return FALSE;
}

void
strand_store_leave (StrandStore *self, StrandVisit *visit)
{
  if (visit->clean)
    strand_store_cleanup_automatically (self, visit);
  strand_store_end_visit (self);
}

/* A visit that is no access: it never cleans up. */
gboolean
strand_store_begin_visit (StrandStore *self)
{
  StrandStoreState *state = strand_store_peek_state (self);
  gboolean closed;

  g_mutex_lock (&state->lock);
  closed = state->closed;
  if (!closed)
    state->n_visits++;
  g_mutex_unlock (&state->lock);
  return !closed;
}

void
strand_store_end_visit (StrandStore *self)
{
  StrandStoreState *state = strand_store_peek_state (self);

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

StrandRecord *
strand_store_admit (StrandStore *self, StrandVisit *visit, StrandRecord *record, const char *key,
                    gboolean *discarded, GError **error)
{
  record = check_gotten (self, record, key, error);
  if (record == NULL || !is_expired (record))
    return record;

  *discarded = strand_store_discard (self, visit, record);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND,
               "its time to live is over; no record has this key any more");
  strand_record_unref (record);
  return NULL;
}

/* An expired record is not there for anybody who asks, so it must not be in the way of a new one either. */
gboolean
strand_store_put_prepared (StrandStore *self, StrandVisit *visit, StrandRecord *record, guint64 expected,
                           GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) old = NULL;

  if (visit->methods->put (self, record, expected, &local_error))
    return TRUE;

  if (expected == 0 && g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS))
    old = visit->methods->get (self, strand_record_get_key (record), NULL);
  if (old != NULL && is_expired (old) && strand_store_discard (self, visit, old))
    return visit->methods->put (self, record, expected, error);

  if (local_error != NULL)
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

gboolean
strand_store_check_size (StrandVisit *visit, StrandRecord *record, GError **error)
{
  g_autofree char *size_text = NULL;
  g_autofree char *limit_text = NULL;
  gsize size;

  if (visit->max_record_size < 0)
    return TRUE;
  size = strand_store_measure (record);
  if (size <= (guint64) visit->max_record_size)
    return TRUE;

  size_text = strand_size_to_string (size);
  limit_text = strand_size_to_string (visit->max_record_size);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "the record has %s and the store takes %s at most; raise 'max-record-size', or keep the data "
               "in a file and store its name",
               size_text, limit_text);
  return FALSE;
}

/* Where the revisions of a record begin: at one that no earlier record of its key has had. */
static guint64
first_revision (StrandRecord *record)
{
  return ((guint64) strand_record_get_int (record, STRAND_FIELD_FENCE) & ~(guint64) STRAND_FENCE_CLAIMS) + 1;
}

gboolean
strand_store_prepare (StrandVisit *visit, StrandRecord *record, guint64 expected, GError **error)
{
  strand_record_set_int (record, STRAND_FIELD_REVISION,
                         (gint64) (expected > 0 ? expected + 1 : first_revision (record)));
  if (visit->ttl_us >= 0 && strand_record_get_int (record, STRAND_FIELD_TTL) < 0)
    strand_record_set_int (record, STRAND_FIELD_TTL, visit->ttl_us);
  return strand_store_check_size (visit, record, error);
}

void
strand_store_announce_put (StrandStore *self, StrandVisit *visit, StrandRecord *record)
{
  const char *queue = strand_record_get_string (record, STRAND_FIELD_QUEUE);

  strand_watchers_announce (visit->watchers, self, strand_record_get_key (record));
  if (queue != NULL && strand_record_get_status (record) == STRAND_STATUS_PENDING)
    strand_watchers_announce_queue (visit->watchers, self, queue);
}

void
strand_store_forget_items (StrandStore *self, StrandVisit *visit, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;
  const char *key = strand_record_get_key (record);
  guint64 fence = strand_record_get_int (record, STRAND_FIELD_FENCE);
  gboolean done;

  if (strand_record_get_int (record, STRAND_FIELD_ITEMS) == 0)
    return;
  if (visit->methods->remove_items != NULL)
    done = visit->methods->remove_items (self, key, fence, &error);
  else
    done = strand_items_remove (self, visit->methods, key, fence, &error);
  if (!done)
    strand_debug (STRAND_TOPIC_STORE, "Could not remove the items of '%s': %s", key,
                  error != NULL ? error->message : "no reason given");
}

/* --- the store ---------------------------------------------------------------------------------------- */

static void
strand_store_default_init (StrandStoreInterface *iface)
{
  state_quark = g_quark_from_static_string ("strand-store-state");

  /**
   * StrandStore:ttl:
   *
   * How long a record is kept after the end of its call, unless the call says otherwise; none keeps it for
   * ever.
   *
   * Since: 1.0
   */
  g_object_interface_install_property (
      iface, g_param_spec_int64 ("ttl", NULL,
                                 "How long a record is kept after the end of its call, unless the call says "
                                 "otherwise; none keeps it for ever",
                                 -1, G_MAXINT64, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION));
  /**
   * StrandStore:auto-cleanup:
   *
   * Whether using the store now and then removes records that have outlived their ttl.
   *
   * Since: 1.0
   */
  g_object_interface_install_property (
      iface, g_param_spec_boolean ("auto-cleanup", NULL,
                                   "Whether using the store now and then removes records that have outlived "
                                   "their ttl",
                                   TRUE, STRAND_PARAM_CONFIG));
  /**
   * StrandStore:cleanup-probability:
   *
   * How likely one access is to start an automatic cleanup, from 0 to 1; each takes about 20 ms at most,
   * all together 2 % of the time.
   *
   * Since: 1.0
   */
  g_object_interface_install_property (
      iface, g_param_spec_double ("cleanup-probability", NULL,
                                  "How likely one access is to start an automatic cleanup, from 0 to 1; each "
                                  "takes about 20 ms at most, all together 2 % of the time",
                                  0, 1, DEFAULT_CLEANUP_PROBABILITY, STRAND_PARAM_CONFIG));
  /**
   * StrandStore:max-record-size:
   *
   * Largest record that is accepted, arguments, value and texts together.
   *
   * Since: 1.0
   */
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
  g_autoptr(GError) local_error = NULL;
  gboolean discarded = FALSE;
  StrandRecord *record;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!strand_key_check (key, error))
    return NULL;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "read", key);
      return NULL;
    }
  record = visit.methods->get (self, key, &local_error);
  if (record != NULL)
    record = strand_store_admit (self, &visit, record, key, &discarded, &local_error);
  strand_store_leave (self, &visit);

  if (discarded)
    strand_watchers_announce (visit.watchers, self, key);
  if (record == NULL)
    {
      strand_store_explain (self, &local_error, "read", key);
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
 * + 1, or a higher one if @expected is 0 and strand_record_begin_life() says so. A record with a ttl of
 * `G_MAXINT64` is kept for ever whatever the store's ttl.
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
  g_autoptr(GError) local_error = NULL;
  gint64 revision;
  gboolean done;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (record != NULL, FALSE);
  g_return_val_if_fail (expected < G_MAXINT64, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!strand_key_check (strand_record_get_key (record), error))
    return FALSE;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "store", strand_record_get_key (record));
      return FALSE;
    }

  revision = strand_record_get_int (record, STRAND_FIELD_REVISION);
  done = strand_store_prepare (&visit, record, expected, &local_error) &&
         strand_store_put_prepared (self, &visit, record, expected, &local_error);
  strand_store_leave (self, &visit);

  if (done)
    {
      strand_store_announce_put (self, &visit, record);
      return TRUE;
    }

  strand_record_set_int (record, STRAND_FIELD_REVISION, revision);
  strand_store_explain (self, &local_error, "store", strand_record_get_key (record));
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
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) record = NULL;
  gboolean done;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!strand_key_check (key, error))
    return FALSE;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "remove", key);
      return FALSE;
    }
  record = visit.methods->get (self, key, NULL);
  if (record != NULL && (expected == 0 || strand_record_get_revision (record) == expected))
    strand_store_forget_items (self, &visit, record);
  done = visit.methods->remove (self, key, expected, &local_error);
  strand_store_leave (self, &visit);

  if (done)
    {
      strand_watchers_announce (visit.watchers, self, key);
      return TRUE;
    }
  strand_store_explain (self, &local_error, "remove", key);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Takes expired records out of a page and out of the store. Returns their keys. */
static GPtrArray *
drop_expired (StrandStore *self, StrandVisit *visit, StrandPage *page)
{
  g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
  gint64 now_us = strand_clock_now_us ();

  for (guint i = strand_page_get_records (page)->len; i > 0; i--)
    {
      StrandRecord *record = g_ptr_array_index (strand_page_get_records (page), i - 1);

      if (!strand_record_is_expired (record, now_us))
        continue;
      if (strand_store_discard (self, visit, record))
        g_ptr_array_add (gone, g_strdup (strand_record_get_key (record)));
      g_ptr_array_remove_index (strand_page_get_records (page), i - 1);
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
  g_autoptr(GError) local_error = NULL;
  g_autoptr(GPtrArray) gone = NULL;
  StrandPage *page;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (limit > 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "list records", NULL);
      return NULL;
    }
  page = visit.methods->list (self, filter, cursor, limit, &local_error);
  if (page != NULL)
    gone = drop_expired (self, &visit, page);
  strand_store_leave (self, &visit);

  for (guint i = 0; gone != NULL && i < gone->len; i++)
    strand_watchers_announce (visit.watchers, self, g_ptr_array_index (gone, i));
  if (page == NULL)
    {
      strand_store_explain (self, &local_error, "list records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return page;
}

static gint64
count_by_listing (StrandStore *self, StrandVisit *visit, const StrandFilter *filter, GError **error)
{
  g_autofree char *cursor = NULL;
  gint64 now_us = strand_clock_now_us ();
  gint64 n = 0;

  do
    {
      g_autoptr(StrandPage) page =
          visit->methods->list (self, filter, cursor, STRAND_STORE_PAGE_SIZE, error);

      if (page == NULL)
        return -1;
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        n += !strand_record_is_expired (g_ptr_array_index (strand_page_get_records (page), i), now_us);
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
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
  g_autoptr(GError) local_error = NULL;
  gint64 n;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), -1);
  g_return_val_if_fail (error == NULL || *error == NULL, -1);

  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "count records", NULL);
      return -1;
    }
  if (visit.methods->count != NULL)
    n = visit.methods->count (self, filter, &local_error);
  else
    n = count_by_listing (self, &visit, filter, &local_error);
  strand_store_leave (self, &visit);

  if (n < 0)
    {
      strand_store_explain (self, &local_error, "count records", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return n;
}

/**
 * strand_store_close:
 * @self: a store
 *
 * Ends all use: methods that run now are waited for, later ones fail with `STRAND_ERROR_CLOSED`, watchers are
 * told nothing more, and the store lets go of its files and connections. Closing twice does nothing.
 *
 * Blocks; any thread that owns no main context. Not in a function that watches the store, which may run while
 * a method is waited for.
 *
 * Since: 1.0
 */
void
strand_store_close (StrandStore *self)
{
  StrandStoreState *state;
  gboolean first;

  g_return_if_fail (STRAND_IS_STORE (self));

  state = strand_store_peek_state (self);
  g_mutex_lock (&state->lock);
  first = !state->closed;
  state->closed = TRUE;
  g_mutex_unlock (&state->lock);

  strand_watchers_stop (state->watchers, self);
  g_mutex_lock (&state->lock);
  while (state->n_visits > 0)
    g_cond_wait (&state->left, &state->lock);
  g_mutex_unlock (&state->lock);
  if (first && STRAND_STORE_GET_IFACE (self)->close != NULL)
    STRAND_STORE_GET_IFACE (self)->close (self);
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
