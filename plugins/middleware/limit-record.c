/* limit-record.c — what several processes count together: one record, changed by whoever finds it unchanged.
 *
 * A change is made to the state that was seen last and put if nobody has put since; else the state is read
 * and the change made again. So a lone process pays one write a change, and no change is ever lost or made
 * twice. The record is of kind `limit` and stands as completed, so that it goes by its ttl when nobody counts
 * any more.                                            SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "limit-record.h"
#include "call-group.h"

/* Each failure means that somebody else got on, so a loser this often is a broken store. */
#define MAX_TRIES 1000

struct _LimitRecord
{
  StrandStore *store;
  char *key;
  gint64 ttl_us;
  StrandRecord *seen; /* as it was read or written last; NULL: never, or it was not there */
};

GType
limit_failure_get_type (void)
{
  static const GEnumValue values[] = {
    { LIMIT_REFUSE, "LIMIT_REFUSE", "refuse" },
    { LIMIT_ALLOW, "LIMIT_ALLOW", "allow" },
    { 0, NULL, NULL },
  };

  return call_group_register_enum ("StrandLimitFailure", values);
}

LimitRecord *
limit_record_new (StrandStore *store, const char *const *words, gint64 ttl_us)
{
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  LimitRecord *self = g_new0 (LimitRecord, 1);

  /* With its end, so that no two lists of words run together. */
  for (guint i = 0; words[i] != NULL; i++)
    g_checksum_update (checksum, (const guchar *) words[i], (gssize) strlen (words[i]) + 1);
  self->key = g_strdup_printf ("strand.limit.%.40s", g_checksum_get_string (checksum));
  self->store = g_object_ref (store);
  self->ttl_us = ttl_us;
  return self;
}

void
limit_record_free (LimitRecord *self)
{
  g_clear_pointer (&self->seen, strand_record_unref);
  g_object_unref (self->store);
  g_free (self->key);
  g_free (self);
}

const char *
limit_record_get_key (LimitRecord *self)
{
  return self->key;
}

static GVariant *
dup_state (StrandRecord *record)
{
  GVariant *metadata = record != NULL ? strand_record_get_variant (record, STRAND_FIELD_METADATA) : NULL;

  return metadata != NULL ? g_variant_lookup_value (metadata, "state", NULL) : NULL;
}

static gboolean
look (LimitRecord *self, GError **error)
{
  g_autoptr(GError) local = NULL;

  g_clear_pointer (&self->seen, strand_record_unref);
  self->seen = strand_store_get (self->store, self->key, &local);
  if (self->seen != NULL || g_error_matches (local, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
write_state (LimitRecord *self, GVariant *state, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new (self->key);
  GVariantBuilder builder;

  /* Not to be taken for one that has gone by its ttl, by a process that counted with that one last. */
  if (self->seen == NULL)
    strand_record_begin_life (record);
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "state", state);
  strand_record_set_string (record, STRAND_FIELD_KIND, "limit");
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_COMPLETED, strand_clock_now_us ());
  strand_record_set_int (record, STRAND_FIELD_TTL, self->ttl_us);
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_builder_end (&builder));
  if (!strand_store_put (self->store, record,
                         self->seen != NULL ? strand_record_get_revision (self->seen) : 0, error))
    return FALSE;
  g_clear_pointer (&self->seen, strand_record_unref);
  self->seen = g_steal_pointer (&record);
  return TRUE;
}

static gboolean
was_overtaken (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
}

gboolean
limit_record_change (LimitRecord *self, gboolean trusting, LimitChange change, gpointer data, GError **error)
{
  gboolean fresh = FALSE;

  if (self->seen == NULL)
    {
      if (!look (self, error))
        return FALSE;
      fresh = TRUE;
    }
  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(GVariant) state = dup_state (self->seen);
      GVariant *made = change (state, data);
      g_autoptr(GVariant) next = made != NULL ? g_variant_take_ref (made) : NULL;
      g_autoptr(GError) local = NULL;

      if (next == NULL && (fresh || trusting))
        return TRUE;
      if (next != NULL && write_state (self, next, &local))
        return TRUE;
      if (local != NULL && !was_overtaken (local))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (!look (self, error))
        return FALSE;
      fresh = TRUE;
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "Record '%s' changed at each of %d tries", self->key,
               MAX_TRIES);
  return FALSE;
}
