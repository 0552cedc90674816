/* strand-items.c — what a call emits, kept in ordinary records for stores without a log of their own.
 *
 * The log of one call under one fence is cut into chunks of CHUNK items, a record each, of kind `items`. The
 * fence is part of a chunk's key: a holder that has lost its call writes into a log that nobody reads. Once
 * old chunks are dropped, a record beside them says where the log now begins.
 *
 * Keys of calls may be as long as keys may be, so a chunk's key has a digest of it instead.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-store-private.h"

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-life.h"

/* Large enough that a write is shared by many items, small enough that one more item rewrites little. */
#define CHUNK 64

/* How many chunks a sweep holds at once. */
#define SWEEP_PAGE 64

#define ITEMS_TYPE "aay"

static char *
log_key (const char *key, guint64 fence, const char *part)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA1, key, -1);

  return g_strdup_printf ("strand.items.%s.%" G_GUINT64_FORMAT ".%s", digest, fence, part);
}

static char *
chunk_key (const char *key, guint64 fence, guint64 chunk)
{
  g_autofree char *part = g_strdup_printf ("%" G_GUINT64_FORMAT, chunk);

  return log_key (key, fence, part);
}

/* NULL without error where there is none. */
static StrandRecord *
get_record (StrandStore *self, StrandStoreInterface *methods, const char *key, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  StrandRecord *record = methods->get (self, key, &local_error);

  if (record == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return record;
}

static StrandRecord *
new_record (const char *record_key, const char *call_key)
{
  StrandRecord *record = strand_record_new (record_key);

  strand_record_set_string (record, STRAND_FIELD_KIND, "items");
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, call_key); /* for people who look at the store */
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  return record;
}

/* As it is, whatever revision it has: only the holder writes its log. */
static gboolean
put_record (StrandStore *self, StrandStoreInterface *methods, StrandRecord *record, GError **error)
{
  guint64 revision = strand_record_get_revision (record);

  strand_record_set_int (record, STRAND_FIELD_REVISION, revision + 1);
  return methods->put (self, record, revision, error);
}

static GPtrArray *
unpack (StrandRecord *record)
{
  GPtrArray *items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  GBytes *bytes = record != NULL ? strand_record_get_bytes (record, STRAND_FIELD_VALUE) : NULL;
  g_autoptr(GVariant) all = NULL;

  if (bytes == NULL)
    return items;
  all = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (ITEMS_TYPE), bytes, FALSE));
  for (gsize i = 0; i < g_variant_n_children (all); i++)
    {
      g_autoptr(GVariant) item = g_variant_get_child_value (all, i);

      g_ptr_array_add (items, g_variant_get_data_as_bytes (item));
    }
  return items;
}

static void
pack (StrandRecord *record, GPtrArray *items)
{
  GVariantBuilder builder;
  g_autoptr(GVariant) all = NULL;
  g_autoptr(GBytes) bytes = NULL;

  g_variant_builder_init (&builder, G_VARIANT_TYPE (ITEMS_TYPE));
  for (guint i = 0; i < items->len; i++)
    g_variant_builder_add_value (
        &builder, g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, g_ptr_array_index (items, i), TRUE));
  all = g_variant_ref_sink (g_variant_builder_end (&builder));
  bytes = g_variant_get_data_as_bytes (all);
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "gvariant");
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, ITEMS_TYPE);
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, bytes);
}

/* Items that belong into one chunk, from its place @offset on. @was_full: whether there may be a next one. */
static gboolean
write_chunk (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 chunk,
             guint offset, GBytes *const *items, guint n, gboolean *was_full, GError **error)
{
  g_autofree char *own_key = chunk_key (key, fence, chunk);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GPtrArray) all = NULL;
  g_autoptr(GError) local_error = NULL;

  record = get_record (self, methods, own_key, &local_error);
  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (record == NULL)
    record = new_record (own_key, key);

  all = unpack (record);
  *was_full = all->len == CHUNK;
  if (all->len < offset) /* a gap: what was before it is dropped, and its places stay empty */
    strand_record_set_int (record, STRAND_FIELD_ITEMS, offset);
  g_ptr_array_set_size (all, (int) MIN (all->len, offset));
  while (all->len < offset)
    g_ptr_array_add (all, g_bytes_new (NULL, 0));
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (all, g_bytes_ref (items[i]));
  pack (record, all);
  return put_record (self, methods, record, error);
}

/* Where the log begins, as far as somebody has said so. */
static gboolean
read_begin (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 *begin,
            GError **error)
{
  g_autofree char *begin_key = log_key (key, fence, "begin");
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) record = get_record (self, methods, begin_key, &local_error);

  *begin = record != NULL ? strand_record_get_int (record, STRAND_FIELD_ITEMS) : 0;
  if (local_error == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
write_begin (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 begin,
             GError **error)
{
  g_autofree char *begin_key = log_key (key, fence, "begin");
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) record = get_record (self, methods, begin_key, &local_error);

  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if (record == NULL)
    record = new_record (begin_key, key);
  strand_record_set_int (record, STRAND_FIELD_ITEMS, (gint64) begin);
  return put_record (self, methods, record, error);
}

static gboolean
remove_record (StrandStore *self, StrandStoreInterface *methods, const char *key, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  if (methods->remove (self, key, 0, &local_error) ||
      g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* Whether the log reaches @first, so that what comes there goes on with it. */
static gboolean
reaches (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 first,
         gboolean *reached, GError **error)
{
  g_autoptr(GPtrArray) before = NULL;
  guint64 found = 0;

  *reached = first == 0;
  if (*reached)
    return TRUE;
  before = strand_items_read (self, methods, key, fence, first - 1, 1, &found, error);
  if (before == NULL)
    return FALSE;
  *reached = before->len > 0 && found == first - 1;
  return TRUE;
}

/* Drops whole chunks before @begin. The new beginning is written first: a reader in between skips ahead. */
static gboolean
drop_before (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 begin,
             GError **error)
{
  guint64 old_begin;

  if (begin == 0)
    return TRUE;
  if (!read_begin (self, methods, key, fence, &old_begin, error))
    return FALSE;
  if (begin <= old_begin)
    return TRUE;
  if (!write_begin (self, methods, key, fence, begin, error))
    return FALSE;
  for (guint64 chunk = old_begin / CHUNK; chunk < begin / CHUNK; chunk++)
    {
      g_autofree char *own_key = chunk_key (key, fence, chunk);

      if (!remove_record (self, methods, own_key, error))
        return FALSE;
    }
  return TRUE;
}

/* Removes chunks from @chunk on, up to the first that is not there. */
static gboolean
remove_chunks (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence,
               guint64 chunk, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  for (; local_error == NULL; chunk++)
    {
      g_autofree char *own_key = chunk_key (key, fence, chunk);

      methods->remove (self, own_key, 0, &local_error);
    }
  if (g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

gboolean
strand_items_append (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence,
                     guint64 first, GBytes *const *items, guint n, guint max_items, GError **error)
{
  guint64 end = first + n;
  guint64 kept = end > max_items ? (end - max_items) / CHUNK * CHUNK : 0;
  gboolean reached, was_full = FALSE;

  if (n == 0)
    return TRUE;
  if (!reaches (self, methods, key, fence, first, &reached, error) ||
      (!reached && !drop_before (self, methods, key, fence, first, error)))
    return FALSE;
  for (guint done = 0; done < n;)
    {
      guint offset = (first + done) % CHUNK;
      guint here = MIN (n - done, CHUNK - offset);

      if (!write_chunk (self, methods, key, fence, (first + done) / CHUNK, offset, items + done, here,
                        &was_full, error))
        return FALSE;
      done += here;
    }
  if (was_full && !remove_chunks (self, methods, key, fence, (end - 1) / CHUNK + 1, error))
    return FALSE;
  /* Looked at only when a chunk was begun, which is when there may be one to drop. */
  return (first % CHUNK != 0 && first / CHUNK == (end - 1) / CHUNK) ||
         drop_before (self, methods, key, fence, kept, error);
}

/* What one chunk has from @from on, or from where it begins, which @from then says. @exists: whether there is
 * such a chunk at all. */
static gboolean
read_chunk (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, guint64 *from,
            guint limit, GPtrArray *found, gboolean *exists, GError **error)
{
  g_autofree char *own_key = chunk_key (key, fence, *from / CHUNK);
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) record = get_record (self, methods, own_key, &local_error);
  g_autoptr(GPtrArray) items = NULL;
  guint64 empty; /* places before a gap */

  if (local_error != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  *exists = record != NULL;
  items = unpack (record);
  empty = record != NULL ? strand_record_get_int (record, STRAND_FIELD_ITEMS) : 0;
  *from += empty > *from % CHUNK ? empty - *from % CHUNK : 0;
  for (guint i = *from % CHUNK; i < items->len && found->len < limit; i++)
    g_ptr_array_add (found, g_bytes_ref (g_ptr_array_index (items, i)));
  return TRUE;
}

GPtrArray *
strand_items_read (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence,
                   guint64 from, guint limit, guint64 *first, GError **error)
{
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  gboolean exists;
  guint64 begin;
  guint before;

  if (!read_chunk (self, methods, key, fence, &from, limit, found, &exists, error))
    return NULL;
  if (!exists)
    {
      if (!read_begin (self, methods, key, fence, &begin, error))
        return NULL;
      from = MAX (from, begin);
    }
  *first = from;
  do
    {
      guint64 next = from + found->len;

      before = found->len;
      if (found->len < limit && !read_chunk (self, methods, key, fence, &next, limit, found, &exists, error))
        return NULL;
      if (before == 0)
        *first = from = next;
    }
  while (found->len > before);
  return g_steal_pointer (&found);
}

static gboolean
remove_log (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence, GError **error)
{
  g_autofree char *begin_key = log_key (key, fence, "begin");
  guint64 begin;

  return read_begin (self, methods, key, fence, &begin, error) &&
         remove_chunks (self, methods, key, fence, begin / CHUNK, error) &&
         remove_record (self, methods, begin_key, error);
}

/* A call that was claimed often and emitted nothing lately may have older logs still, so every fence is
 * asked: each was a crash or a retry, so they are few. */
gboolean
strand_items_remove (StrandStore *self, StrandStoreInterface *methods, const char *key, guint64 fence,
                     GError **error)
{
  for (guint64 i = fence & ~(guint64) STRAND_FENCE_CLAIMS; i <= fence; i++)
    if (!remove_log (self, methods, key, i, error))
      return FALSE;
  return TRUE;
}

/* Whether a chunk's call is there no more. */
static gboolean
is_orphan (StrandStore *self, StrandStoreInterface *methods, StrandRecord *chunk)
{
  const char *key = strand_record_get_string (chunk, STRAND_FIELD_FUNCTION);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) call = NULL;

  if (key == NULL || !g_str_has_prefix (strand_record_get_key (chunk), "strand.items."))
    return FALSE;
  call = methods->get (self, key, &error);
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

gboolean
strand_items_sweep (StrandStore *self, StrandStoreInterface *methods, gint64 deadline_us, GError **error)
{
  const StrandFilter filter = { .kind = "items" };
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(StrandPage) page = methods->list (self, &filter, cursor, SWEEP_PAGE, error);
      GPtrArray *chunks;

      if (page == NULL)
        return FALSE;
      chunks = strand_page_get_records (page);
      for (guint i = 0; i < chunks->len; i++)
        if (is_orphan (self, methods, chunks->pdata[i]) &&
            !remove_record (self, methods, strand_record_get_key (chunks->pdata[i]), error))
          return FALSE;
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL && strand_clock_monotonic_us () < deadline_us);
  return TRUE;
}
