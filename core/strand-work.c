/* strand-work.c — a store as a queue: claiming calls, keeping them, settling them, and what they emit.
 *
 * Each function is one visit to a store, as those of strand-store.c are, and carries the default for stores
 * that have no method of their own. The defaults need nothing but get, put, remove and list: a claim is a
 * listing of what is pending and a put at the revision that was read, so two claimants never get one call.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-work.h"

#include <string.h>

#include "strand-error.h"
#include "strand-log.h"
#include "strand-store-private.h"

#define PAGE_SIZE 256

/* How many more candidates than wanted a listing keeps: as many may be lost to other claimants before the
 * store is listed again. */
#define SPARE_CANDIDATES 32

/* How often a change is tried again when somebody else wrote in between. Each failure is somebody's success,
 * and few write to one record, so this is reached by nobody but a store that forgets what it was given. */
#define MAX_TRIES 1000

/* --- claiming ------------------------------------------------------------------------------------------- */

static gint
compare_turns (gconstpointer a, gconstpointer b)
{
  StrandRecord *first = *(StrandRecord *const *) a;
  StrandRecord *second = *(StrandRecord *const *) b;
  gint64 first_turn = strand_record_get_turn (first), second_turn = strand_record_get_turn (second);

  if (first_turn != second_turn)
    return first_turn < second_turn ? -1 : 1;
  return strcmp (strand_record_get_key (first), strand_record_get_key (second));
}

static void
note_due (gint64 *next_due_us, gint64 due_us)
{
  if (*next_due_us == 0 || due_us < *next_due_us)
    *next_due_us = due_us;
}

/* Adds the records of a page that are due; the best @n are kept. */
static void
sift (StrandPage *page, const char *queue, gint64 now_us, guint n, GPtrArray *due, gint64 *next_due_us)
{
  GPtrArray *records = strand_page_get_records (page);

  for (guint i = 0; i < records->len; i++)
    {
      StrandRecord *record = g_ptr_array_index (records, i);
      gint64 not_before_us = strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE);

      if (!strand_record_is_waiting (record, queue))
        continue;
      if (not_before_us > now_us)
        note_due (next_due_us, not_before_us);
      else
        g_ptr_array_add (due, strand_record_ref (record));
    }
  g_ptr_array_sort (due, compare_turns);
  if (due->len > n)
    g_ptr_array_set_size (due, (int) n);
}

/* What is due in one queue, in turn; at most @n of them. */
static GPtrArray *
list_due (StrandStore *self, StrandVisit *visit, const char *queue, gint64 now_us, guint n,
          gint64 *next_due_us, GError **error)
{
  const StrandFilter filter = { .statuses = 1 << STRAND_STATUS_PENDING, .queue = queue };
  g_autoptr(GPtrArray) due = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(StrandPage) page = visit->methods->list (self, &filter, cursor, PAGE_SIZE, error);

      if (page == NULL)
        return NULL;
      sift (page, queue, now_us, n, due, next_due_us);
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return g_steal_pointer (&due);
}

/* FALSE without error where somebody else was first. */
static gboolean
claim_one (StrandStore *self, StrandVisit *visit, StrandRecord *found, const StrandClaim *claim,
           GPtrArray *claimed, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_copy (found);
  g_autoptr(GError) local_error = NULL;
  guint64 revision = strand_record_get_revision (record);

  strand_record_claim (record, claim->owner, claim->now_us);
  if (strand_store_prepare (visit, record, revision, &local_error) &&
      visit->methods->put (self, record, revision, &local_error))
    {
      g_ptr_array_add (claimed, g_steal_pointer (&record));
      return TRUE;
    }
  if (!g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_STALE))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Claims from one queue until there is enough or nothing left. FALSE with an error. */
static gboolean
claim_from (StrandStore *self, StrandVisit *visit, const char *queue, const StrandClaim *claim,
            GPtrArray *claimed, gint64 *next_due_us, GError **error)
{
  while (claimed->len < claim->limit)
    {
      guint wanted = claim->limit - claimed->len;
      guint before = claimed->len;
      g_autoptr(GPtrArray) due =
          list_due (self, visit, queue, claim->now_us, wanted + SPARE_CANDIDATES, next_due_us, error);

      if (due == NULL)
        return FALSE;
      for (guint i = 0; i < due->len && claimed->len < claim->limit; i++)
        {
          g_autoptr(GError) local_error = NULL;

          if (!claim_one (self, visit, g_ptr_array_index (due, i), claim, claimed, &local_error) &&
              local_error != NULL)
            {
              g_propagate_error (error, g_steal_pointer (&local_error));
              return FALSE;
            }
        }
      if (due->len == 0 || (claimed->len > before && due->len < wanted))
        break;
    }
  return TRUE;
}

/* What has been claimed before an error is the caller's all the same: it runs under the caller's lease. */
static GPtrArray *
claim_by_listing (StrandStore *self, StrandVisit *visit, const StrandClaim *claim, gint64 *next_due_us,
                  GError **error)
{
  g_autoptr(GPtrArray) claimed = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autoptr(GError) local_error = NULL;

  for (guint i = 0; claim->queues[i] != NULL && local_error == NULL; i++)
    claim_from (self, visit, claim->queues[i], claim, claimed, next_due_us, &local_error);

  if (local_error == NULL || claimed->len > 0)
    return g_steal_pointer (&claimed);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

/**
 * strand_store_claim:
 * @self: a store
 * @claim: which work is wanted, for whom
 * @next_due_us: (out) (optional): when the next pending call of these queues will be due, in µs since 1970; 0
 *   if none waits for its time
 * @error: return location for a [error@Strand.Error]
 *
 * Takes calls that are due. Each record returned is running under the claim's lease, and no other claim of
 * any process has it. Calls that expired, or that somebody asked to cancel, are among them: the claimant
 * settles them. See strand_record_get_turn() for the order.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does.
 *
 * Returns: (transfer full) (element-type StrandRecord): what was claimed, perhaps nothing; or `NULL` with
 *   @error set
 * Since: 1.0
 */
GPtrArray *
strand_store_claim (StrandStore *self, const StrandClaim *claim, gint64 *next_due_us, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gint64 due_us = 0;
  GPtrArray *claimed;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (claim != NULL && claim->queues != NULL && claim->owner != NULL, NULL);
  g_return_val_if_fail (claim->limit > 0, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "claim calls", NULL);
      return NULL;
    }
  if (visit.methods->claim != NULL)
    claimed = visit.methods->claim (self, claim, &due_us, &local_error);
  else
    claimed = claim_by_listing (self, &visit, claim, &due_us, &local_error);
  strand_store_leave (self, &visit);

  for (guint i = 0; claimed != NULL && i < claimed->len; i++)
    strand_watchers_announce (visit.watchers, self, strand_record_get_key (g_ptr_array_index (claimed, i)));
  if (claimed == NULL)
    {
      strand_store_explain (self, &local_error, "claim calls", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  if (claimed->len > 0)
    strand_watchers_poll_soon (visit.watchers);
  if (next_due_us != NULL)
    *next_due_us = due_us;
  return claimed;
}

/* --- keeping -------------------------------------------------------------------------------------------- */

static gboolean
check_held (StrandRecord *record, guint64 fence, GError **error)
{
  StrandStatus status = strand_record_get_status (record);

  if (status == STRAND_STATUS_RUNNING &&
      (guint64) strand_record_get_int (record, STRAND_FIELD_FENCE) == fence)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "it is %s under fence %" G_GINT64_FORMAT ", and this holder had fence %" G_GUINT64_FORMAT,
               strand_status_to_string (status), strand_record_get_int (record, STRAND_FIELD_FENCE), fence);
  return FALSE;
}

static void
renew_one (StrandStore *self, StrandVisit *visit, StrandRenewal *renewal)
{
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = visit->methods->get (self, renewal->key, &renewal->error);
      guint64 revision;

      if (record == NULL || !check_held (record, renewal->fence, &renewal->error))
        return;
      revision = strand_record_get_revision (record);
      strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER,
                             strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER) + 1);
      strand_record_set_int (record, STRAND_FIELD_REVISION, revision + 1);
      renewal->cancel_requested = strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) != 0;
      g_clear_error (&renewal->error);
      if (visit->methods->put (self, record, revision, &renewal->error) ||
          !g_error_matches (renewal->error, STRAND_ERROR, STRAND_ERROR_STALE))
        return;
      g_clear_error (&renewal->error);
    }
  g_set_error (&renewal->error, STRAND_ERROR, STRAND_ERROR_STALE, "it changed at each of %d tries",
               MAX_TRIES);
}

/**
 * strand_store_renew: (skip)
 * @self: a store
 * @renewals: (array length=n): leases; their last two fields are set
 * @n: how many
 * @error: return location for a [error@Strand.Error]
 *
 * Renews leases: each record that runs under the fence its holder names has its lease counter raised. A lease
 * that is lost has `STRAND_ERROR_STALE`, or `STRAND_ERROR_NOT_FOUND`, in its own error. Watchers are told
 * nothing.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does, where nothing could be renewed at all.
 *
 * Returns: %TRUE if every lease has been looked at
 * Since: 1.0
 */
gboolean
strand_store_renew (StrandStore *self, StrandRenewal *renewals, guint n, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gboolean done = TRUE;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (renewals != NULL || n == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  for (guint i = 0; i < n; i++)
    {
      renewals[i].cancel_requested = FALSE;
      renewals[i].error = NULL;
    }
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "renew leases", NULL);
      return FALSE;
    }
  if (visit.methods->renew != NULL)
    done = visit.methods->renew (self, renewals, n, &local_error);
  else
    for (guint i = 0; i < n; i++)
      renew_one (self, &visit, &renewals[i]);
  strand_store_leave (self, &visit);

  for (guint i = 0; i < n; i++)
    if (renewals[i].error != NULL)
      strand_store_explain (self, &renewals[i].error, "renew the lease of", renewals[i].key);
  if (!done)
    {
      strand_store_explain (self, &local_error, "renew leases", NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return done;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void
get_each (StrandStore *self, StrandVisit *visit, const char *const *keys, guint n, StrandRecord **records,
          GError **errors)
{
  for (guint i = 0; i < n; i++)
    if (errors[i] == NULL)
      records[i] = visit->methods->get (self, keys[i], &errors[i]);
}

/* Only good keys go to the store together; a bad one among them has its verdict already. */
static void
get_together (StrandStore *self, StrandVisit *visit, const char *const *keys, guint n, StrandRecord **records,
              GError **errors)
{
  gboolean all_good = TRUE;

  for (guint i = 0; i < n; i++)
    all_good &= strand_key_check (keys[i], &errors[i]);
  if (visit->methods->get_batch != NULL && all_good && n > 1)
    visit->methods->get_batch (self, keys, n, records, errors);
  else
    get_each (self, visit, keys, n, records, errors);
}

/**
 * strand_store_get_batch: (skip)
 * @self: a store
 * @keys: (array length=n): the records' keys
 * @n: how many
 * @records: (array length=n): set to the records, which are the caller's to change and to let go
 * @errors: (array length=n): set where there is no record, as strand_store_get() would say it; the caller's
 *   to free
 *
 * Reads records together where the store can, which is faster than one by one. Each is as it was at some
 * moment meanwhile, not all at the same.
 *
 * Blocks; any thread that owns no main context.
 *
 * Since: 1.0
 */
void
strand_store_get_batch (StrandStore *self, const char *const *keys, guint n, StrandRecord **records,
                        GError **errors)
{
  g_autoptr(GError) closed = NULL;
  g_autofree gboolean *discarded = g_new0 (gboolean, n);
  gboolean open;
  StrandVisit visit;

  g_return_if_fail (STRAND_IS_STORE (self));
  g_return_if_fail ((keys != NULL && records != NULL && errors != NULL) || n == 0);

  for (guint i = 0; i < n; i++)
    {
      records[i] = NULL;
      errors[i] = NULL;
    }
  open = strand_store_enter (self, &visit, &closed);
  if (open)
    get_together (self, &visit, keys, n, records, errors);
  for (guint i = 0; i < n; i++)
    if (records[i] != NULL)
      records[i] = strand_store_admit (self, &visit, records[i], keys[i], &discarded[i], &errors[i]);
    else if (!open)
      errors[i] = g_error_copy (closed);
  if (open)
    strand_store_leave (self, &visit);

  for (guint i = 0; i < n; i++)
    {
      if (discarded[i])
        strand_watchers_announce (visit.watchers, self, keys[i]);
      if (records[i] == NULL)
        strand_store_explain (self, &errors[i], "read", keys[i]);
    }
}

/* --- settling ------------------------------------------------------------------------------------------- */

/* Whether the record may be handed to the store; if not, its verdict is there already. */
static gboolean
prepare_one (StrandVisit *visit, StrandRecord *record, guint64 expected, GError **error)
{
  return strand_key_check (strand_record_get_key (record), error) &&
         strand_store_prepare (visit, record, expected, error);
}

static guint
put_each (StrandStore *self, StrandVisit *visit, StrandRecord *const *records, const guint64 *expected,
          guint n, GError **errors)
{
  guint n_put = 0;

  for (guint i = 0; i < n; i++)
    n_put += strand_store_put_prepared (self, visit, records[i], expected[i], &errors[i]);
  return n_put;
}

/* A store's own batch knows nothing of ttl: what has expired is not in the way of a new record. */
static guint
put_over_expired (StrandStore *self, StrandVisit *visit, StrandRecord *const *records,
                  const guint64 *expected, guint n, GError **errors)
{
  guint n_put = 0;

  for (guint i = 0; i < n; i++)
    if (expected[i] == 0 && g_error_matches (errors[i], STRAND_ERROR, STRAND_ERROR_EXISTS) &&
        strand_store_put_prepared (self, visit, records[i], 0, NULL))
      {
        g_clear_error (&errors[i]);
        n_put++;
      }
  return n_put;
}

/* One refused record must not keep the others from going together. */
static guint
put_together (StrandStore *self, StrandVisit *visit, StrandRecord *const *records, const guint64 *expected,
              guint n, GError **errors)
{
  g_autofree StrandRecord **fit = g_new (StrandRecord *, n);
  g_autofree guint64 *fit_expected = g_new (guint64, n);
  g_autofree GError **fit_errors = g_new0 (GError *, n);
  g_autofree guint *places = g_new (guint, n);
  guint n_fit = 0, n_put;

  for (guint i = 0; i < n; i++)
    {
      if (!prepare_one (visit, records[i], expected[i], &errors[i]))
        continue;
      fit[n_fit] = records[i];
      fit_expected[n_fit] = expected[i];
      places[n_fit++] = i;
    }
  if (n_fit == 0)
    return 0;

  if (visit->methods->put_batch != NULL)
    {
      n_put = visit->methods->put_batch (self, fit, fit_expected, n_fit, fit_errors);
      n_put += put_over_expired (self, visit, fit, fit_expected, n_fit, fit_errors);
    }
  else
    n_put = put_each (self, visit, fit, fit_expected, n_fit, fit_errors);
  for (guint i = 0; i < n_fit; i++)
    errors[places[i]] = fit_errors[i];
  return n_put;
}

/**
 * strand_store_put_batch: (skip)
 * @self: a store
 * @records: (array length=n): the records to write, as for strand_store_put()
 * @expected: (array length=n): the revision that each must have now
 * @n: how many
 * @errors: (array length=n): set where a record was not written; the caller's to free
 *
 * Writes records together where the store can, which is faster than one by one. Each has its own verdict, as
 * strand_store_put() would give it; together they are not atomic: a crash may leave any part of them.
 *
 * Blocks; any thread that owns no main context, and that alone uses the records meanwhile.
 *
 * Returns: how many were written
 * Since: 1.0
 */
guint
strand_store_put_batch (StrandStore *self, StrandRecord *const *records, const guint64 *expected, guint n,
                        GError **errors)
{
  g_autoptr(GError) closed = NULL;
  guint n_put = 0;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), 0);
  g_return_val_if_fail ((records != NULL && expected != NULL && errors != NULL) || n == 0, 0);

  if (n > 0)
    memset (errors, 0, n * sizeof *errors);
  if (!strand_store_enter (self, &visit, &closed))
    {
      for (guint i = 0; i < n; i++)
        errors[i] = g_error_copy (closed);
    }
  else
    {
      n_put = put_together (self, &visit, records, expected, n, errors);
      strand_store_leave (self, &visit);
    }

  for (guint i = 0; i < n; i++)
    if (errors[i] == NULL)
      strand_store_announce_put (self, &visit, records[i]);
    else
      {
        strand_record_set_int (records[i], STRAND_FIELD_REVISION, (gint64) expected[i]);
        strand_store_explain (self, &errors[i], "store", strand_record_get_key (records[i]));
      }
  return n_put;
}

/* A record that was given back has the old fence until somebody claims it, but no owner. */
static gboolean
is_still_held (StrandRecord *held, StrandRecord *newer)
{
  return !strand_status_is_terminal (strand_record_get_status (newer)) &&
         strand_record_get_int (newer, STRAND_FIELD_FENCE) ==
             strand_record_get_int (held, STRAND_FIELD_FENCE) &&
         g_strcmp0 (strand_record_get_string (newer, STRAND_FIELD_LEASE_OWNER),
                    strand_record_get_string (held, STRAND_FIELD_LEASE_OWNER)) == 0;
}

/**
 * strand_store_change:
 * @self: a store
 * @held: the record of a call as its holder knows it, read-only from now on
 * @func: (scope call): changes a copy of it
 * @user_data: data for @func
 * @error: return location for a [error@Strand.Error]
 *
 * Writes what a holder has to say of its call. If somebody else wrote meanwhile (a cancel request, a
 * renewal), the newer record is read and changed instead, as long as it has not ended and has the fence of
 * @held, and its owner: so nothing of either is lost, and a holder that was overtaken changes nothing.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_STALE` if the call has ended or
 * somebody else has it, `STRAND_ERROR_NOT_FOUND` if it is gone, or as strand_store_put() does.
 *
 * Returns: (transfer full): the record as it was written, or `NULL` with @error set
 * Since: 1.0
 */
StrandRecord *
strand_store_change (StrandStore *self, StrandRecord *held, StrandChangeFunc func, gpointer user_data,
                     GError **error)
{
  g_autoptr(StrandRecord) base = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (held != NULL && func != NULL, NULL);

  base = strand_record_ref (held);
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = strand_record_copy (base);
      g_autoptr(GError) local_error = NULL;

      func (record, user_data);
      if (strand_store_put (self, record, strand_record_get_revision (base), &local_error))
        return g_steal_pointer (&record);
      if (!g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_STALE))
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return NULL;
        }

      strand_record_unref (base);
      base = strand_store_get (self, strand_record_get_key (held), error);
      if (base == NULL)
        return NULL;
      if (!is_still_held (held, base))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                       "Call '%s' was ended or taken by somebody else", strand_record_get_key (held));
          return NULL;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "Could not change call '%s': its record changed at each of %d tries",
               strand_record_get_key (held), MAX_TRIES);
  return NULL;
}

/* --- what a call emits ---------------------------------------------------------------------------------- */

/**
 * strand_store_append_items:
 * @self: a store
 * @key: the call's key
 * @fence: the fence under which the call runs
 * @first: the index of the first of @items, from 0
 * @items: (array length=n): what the call emitted, as the call's serializer writes a value of type `v`
 * @n: how many
 * @max_items: how many of the last items to keep at least
 * @error: return location for a [error@Strand.Error]
 *
 * Adds to what a call has emitted, and tells the watchers of @key. A writer that does not know whether it was
 * heard may say it again: what was there from @first on is replaced. One that has dropped some leaves them
 * out: the log begins anew at @first. A holder that lost its call does no harm, because each fence has a log
 * of its own.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does.
 *
 * Returns: %TRUE if the items were written
 * Since: 1.0
 */
gboolean
strand_store_append_items (StrandStore *self, const char *key, guint64 fence, guint64 first,
                           GBytes *const *items, guint n, guint max_items, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  gboolean done;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (key != NULL, FALSE);
  g_return_val_if_fail (items != NULL || n == 0, FALSE);
  g_return_val_if_fail (error == NULL || *error == NULL, FALSE);

  if (!strand_key_check (key, error))
    return FALSE;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "add to the items of", key);
      return FALSE;
    }
  if (visit.methods->append_items != NULL)
    done = visit.methods->append_items (self, key, fence, first, items, n, max_items, &local_error);
  else
    done = strand_items_append (self, visit.methods, key, fence, first, items, n, max_items, &local_error);
  strand_store_leave (self, &visit);

  if (done)
    {
      strand_watchers_announce (visit.watchers, self, key);
      return TRUE;
    }
  strand_store_explain (self, &local_error, "add to the items of", key);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/**
 * strand_store_read_items:
 * @self: a store
 * @key: the call's key
 * @fence: the fence whose log is wanted: that of the call's record
 * @from: the index of the first item wanted
 * @limit: how many at most, at least 1
 * @first: (out): the index of the first item returned: @from, or later where earlier ones were dropped
 * @error: return location for a [error@Strand.Error]
 *
 * Reads what a call has emitted.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_CLOSED`, or as the store's medium
 * does.
 *
 * Returns: (transfer full) (element-type GLib.Bytes): the items in order, none where there are none yet; or
 *   `NULL` with @error set
 * Since: 1.0
 */
GPtrArray *
strand_store_read_items (StrandStore *self, const char *key, guint64 fence, guint64 from, guint limit,
                         guint64 *first, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  GPtrArray *items;
  StrandVisit visit;

  g_return_val_if_fail (STRAND_IS_STORE (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);
  g_return_val_if_fail (limit > 0 && first != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  if (!strand_key_check (key, error))
    return NULL;
  if (!strand_store_enter (self, &visit, error))
    {
      strand_store_explain (self, error, "read the items of", key);
      return NULL;
    }
  if (visit.methods->read_items != NULL)
    items = visit.methods->read_items (self, key, fence, from, limit, first, &local_error);
  else
    items = strand_items_read (self, visit.methods, key, fence, from, limit, first, &local_error);
  strand_store_leave (self, &visit);

  if (items == NULL)
    {
      strand_store_explain (self, &local_error, "read the items of", key);
      g_propagate_error (error, g_steal_pointer (&local_error));
    }
  return items;
}
