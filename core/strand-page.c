/* strand-page.c — which records are wanted, and one page of those that were found.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-store.h"

struct _StrandPage
{
  gatomicrefcount refs;
  GPtrArray *records;
  GPtrArray *names;  /* of char */
  GPtrArray *errors; /* of GError, one for each name */
  char *next;
};

/**
 * StrandPage:
 *
 * A part of what a store lists: records in the order of their keys, and where the next part begins.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandPage, strand_page, strand_page_ref, strand_page_unref)
G_DEFINE_BOXED_TYPE (StrandFilter, strand_filter, strand_filter_copy, strand_filter_free)

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

  g_free ((char *) self->kind);
  g_free ((char *) self->queue);
  g_free ((char *) self->function);
  g_free ((char *) self->lease_owner);
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
  self->records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  self->names = g_ptr_array_new_with_free_func (g_free);
  self->errors = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
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
