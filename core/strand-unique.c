/* strand-unique.c — at most one call at a time of all that have the same unique key.
 *
 * A record of kind `unique`, whose key is a digest of the unique key, says which call has it now. Whoever
 * wants it writes that record first, at the revision that was read: of any number who try, in any processes,
 * one succeeds. It carries the whole record of its call, so that one whose launcher died in between is
 * launched by whoever finds it; once the call's own record is there, that is noted and the body is dropped.
 *
 * A call that has ended, or whose record is gone, holds its key no longer.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-unique.h"

#include <string.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-life.h"
#include "strand-payload.h"

#define KIND "unique"
#define PAGE_SIZE 256

/* Each failure is somebody else's success. */
#define MAX_TRIES 1000

/* Digests, because a unique key may be any text, and as long as a line. */
static char *
holder_key (const char *unique)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, unique, -1);

  return g_strconcat ("strand.unique.", digest, NULL);
}

/* A record that says that @call has the key; pending until the call's own record is there. */
static StrandRecord *
new_holder (const char *key, StrandRecord *call)
{
  StrandRecord *holder = strand_record_new (key);
  g_autoptr(GBytes) body = strand_record_to_json (call);

  strand_record_set_string (holder, STRAND_FIELD_KIND, KIND);
  strand_record_set_string (holder, STRAND_FIELD_FUNCTION, strand_record_get_key (call));
  strand_record_set_string (holder, STRAND_FIELD_UNIQUE,
                            strand_record_get_string (call, STRAND_FIELD_UNIQUE));
  strand_record_set_int (holder, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_bytes (holder, STRAND_FIELD_ARGUMENTS, body);
  strand_record_set_string (holder, STRAND_FIELD_ARGUMENTS_TYPE, "ay");
  return holder;
}

static gboolean
is_stale (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
}

/* NULL without error where there is none. */
static StrandRecord *
get_record (StrandStore *self, const char *key, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  StrandRecord *record = strand_store_get (self, key, &local_error);

  if (record == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return record;
}

/* The call's own record is there, or must not be made any more. */
static void
mark_launched (StrandStore *self, StrandRecord *holder)
{
  guint64 revision = strand_record_get_revision (holder);

  strand_record_set_int (holder, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_bytes (holder, STRAND_FIELD_ARGUMENTS, NULL);
  strand_record_set_string (holder, STRAND_FIELD_ARGUMENTS_TYPE, NULL);
  /* Somebody who was faster has noted it, or has the key by now. */
  strand_store_put (self, holder, revision, NULL);
}

/* Whether the launch that @holder reserves may have been done and forgotten: a record lives at least as long
 * as its ttl, so one that is missing before that was never written. */
static gboolean
may_have_been (StrandStore *self, StrandRecord *holder, StrandRecord *call)
{
  gint64 ttl_us = strand_record_get_int (call, STRAND_FIELD_TTL);

  if (ttl_us < 0) /* the store has yet to fill it in */
    g_object_get (self, "ttl", &ttl_us, NULL);
  return ttl_us >= 0 && ttl_us < G_MAXINT64 / 2 &&
         strand_clock_now_us () - strand_record_get_int (holder, STRAND_FIELD_CREATED) > ttl_us;
}

/* Launches what a launcher that died has reserved. FALSE with an error. */
static gboolean
finish_launch (StrandStore *self, StrandRecord *holder, GError **error)
{
  GBytes *body = strand_record_get_bytes (holder, STRAND_FIELD_ARGUMENTS);
  g_autoptr(StrandRecord) call = NULL;
  g_autoptr(GError) local_error = NULL;

  if (strand_record_get_status (holder) != STRAND_STATUS_PENDING)
    return TRUE;
  call = body != NULL ? strand_record_from_json (body, error) : NULL;
  if (call == NULL)
    {
      if (body != NULL)
        return FALSE;
      mark_launched (self, holder);
      return TRUE;
    }
  if (!may_have_been (self, holder, call) && !strand_store_put (self, call, 0, &local_error) &&
      !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  mark_launched (self, holder);
  return TRUE;
}

/* Whether the record that is there is ours, launched by somebody who found it reserved. */
static gboolean
was_finished (StrandStore *self, StrandRecord *record)
{
  g_autoptr(StrandRecord) there = get_record (self, strand_record_get_key (record), NULL);

  return there != NULL &&
         strand_record_get_int (there, STRAND_FIELD_CREATED) ==
             strand_record_get_int (record, STRAND_FIELD_CREATED) &&
         g_strcmp0 (strand_record_get_string (there, STRAND_FIELD_UNIQUE),
                    strand_record_get_string (record, STRAND_FIELD_UNIQUE)) == 0;
}

/* Writes that @record has the key, in place of what @old says (NULL: nobody has it), and then the record.
 * FALSE without error where somebody else was first. */
static gboolean
take (StrandStore *self, const char *key, StrandRecord *old, StrandRecord *record, GError **error)
{
  g_autoptr(StrandRecord) holder = new_holder (key, record);
  g_autoptr(GError) local_error = NULL;

  if (!strand_store_put (self, holder, old != NULL ? strand_record_get_revision (old) : 0, &local_error))
    {
      if (!is_stale (local_error))
        g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  /* A launcher that stood still may find that others have done it, and that all is over. */
  if (may_have_been (self, holder, record))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND,
                   "launching took longer than the record's ttl; if others launched it, it is gone by now");
      strand_store_remove (self, key, strand_record_get_revision (holder), NULL);
      return FALSE;
    }
  if (!strand_store_put (self, record, 0, &local_error) &&
      !(g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS) && was_finished (self, record)))
    {
      strand_store_remove (self, key, strand_record_get_revision (holder), NULL);
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  mark_launched (self, holder);
  return TRUE;
}

/* The call that has the key and has not ended; NULL without error where it is free. */
static char *
find_live_holder (StrandStore *self, StrandRecord *holder, GError **error)
{
  const char *key = strand_record_get_string (holder, STRAND_FIELD_FUNCTION);
  g_autoptr(StrandRecord) call = key != NULL ? get_record (self, key, error) : NULL;

  if (call == NULL || strand_status_is_terminal (strand_record_get_status (call)))
    return NULL;
  return g_strdup (key);
}

static gboolean
refuse (const char *unique, const char *holder, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS,
               "call '%s' has the unique key '%s' and has not ended; wait for it, or replace it", holder,
               unique);
  return FALSE;
}

/**
 * strand_store_put_unique:
 * @self: a store
 * @record: the pending record of a call with a unique key, at revision 0
 * @conflict: what to do if another call has the key and has not ended
 * @holder: (out) (transfer full) (nullable): the key of the call that goes on instead, with
 *   %STRAND_CONFLICT_KEEP; `NULL` otherwise
 * @error: return location for a [error@Strand.Error]
 *
 * Launches a call if no other that has not ended has its unique key. Of any number who try at the same time,
 * in any processes, one succeeds.
 *
 * Blocks; any thread that owns no main context. Fails with `STRAND_ERROR_EXISTS` with
 * %STRAND_CONFLICT_REJECT, or as strand_store_put() does.
 *
 * Returns: %TRUE if the record was written; %FALSE with @holder set if another call goes on; %FALSE with
 * @error set otherwise
 *
 * Since: 1.0
 */
gboolean
strand_store_put_unique (StrandStore *self, StrandRecord *record, StrandConflict conflict, char **holder,
                         GError **error)
{
  const char *unique;
  g_autofree char *key = NULL;

  g_return_val_if_fail (STRAND_IS_STORE (self), FALSE);
  g_return_val_if_fail (record != NULL && holder != NULL, FALSE);
  unique = strand_record_get_string (record, STRAND_FIELD_UNIQUE);
  g_return_val_if_fail (unique != NULL, FALSE);

  *holder = NULL;
  key = holder_key (unique);
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(GError) local_error = NULL;
      g_autoptr(StrandRecord) there = get_record (self, key, &local_error);
      g_autofree char *live = NULL;

      if (there != NULL && finish_launch (self, there, &local_error))
        live = find_live_holder (self, there, &local_error);
      if (local_error == NULL && live != NULL && conflict == STRAND_CONFLICT_KEEP)
        {
          *holder = g_steal_pointer (&live);
          return FALSE;
        }
      if (local_error == NULL && live != NULL && conflict == STRAND_CONFLICT_REJECT)
        return refuse (unique, live, error);
      if (local_error == NULL && live != NULL)
        strand_store_cancel_call (self, live, &local_error);
      if (local_error == NULL && take (self, key, there, record, &local_error))
        return TRUE;
      if (local_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "Could not launch a call with the unique key '%s': others were first at each of %d tries",
               unique, MAX_TRIES);
  return FALSE;
}

/* What one unique key needs. Whether something was launched. */
static gboolean
look_after (StrandStore *self, StrandRecord *holder)
{
  gboolean half_done = strand_record_get_status (holder) == STRAND_STATUS_PENDING;
  g_autoptr(GError) error = NULL;
  g_autofree char *live = NULL;

  if (!finish_launch (self, holder, &error))
    return FALSE;
  live = find_live_holder (self, holder, &error);
  /* At the revision that was read: whoever takes the key meanwhile keeps it. */
  if (live == NULL && error == NULL && !half_done)
    strand_store_remove (self, strand_record_get_key (holder), strand_record_get_revision (holder), NULL);
  return half_done;
}

/**
 * strand_store_finish_unique:
 * @self: a store
 * @error: return location for a [error@Strand.Error]
 *
 * Launches the calls whose launchers died between reserving a unique key and leaving the call, and forgets
 * the keys of calls that have ended. Readers do this now and then.
 *
 * Blocks; any thread that owns no main context. Fails as strand_store_list() does.
 *
 * Returns: how many calls were launched
 * Since: 1.0
 */
guint
strand_store_finish_unique (StrandStore *self, GError **error)
{
  const StrandFilter filter = { .kind = KIND };
  g_autofree char *cursor = NULL;
  guint n_launched = 0;

  g_return_val_if_fail (STRAND_IS_STORE (self), 0);

  do
    {
      g_autoptr(StrandPage) page = strand_store_list (self, &filter, cursor, PAGE_SIZE, error);

      if (page == NULL)
        return n_launched;
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        n_launched += look_after (self, g_ptr_array_index (strand_page_get_records (page), i));
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return n_launched;
}
