/* plain-store.c — a store with the four required methods and nothing else: what everything else must work on.
 *
 * A table of records in this process, and one lock.                SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "plain-store.h"

#include <string.h>

enum
{
  FIRST_COMMON_PROPERTY = 1
};

struct _PlainStore
{
  GObject parent_instance;

  GMutex lock;
  GHashTable *records; /* key → StrandRecord */
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (PlainStore, plain_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static StrandRecord *
plain_store_get (StrandStore *store, const char *key, GError **error)
{
  PlainStore *self = PLAIN_STORE (store);
  StrandRecord *record;

  g_mutex_lock (&self->lock);
  record = g_hash_table_lookup (self->records, key);
  record = record != NULL ? strand_record_copy (record) : NULL;
  g_mutex_unlock (&self->lock);
  if (record == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  return record;
}

/* Whether the record that is there has the revision that is expected. */
static gboolean
check_locked (StrandRecord *there, guint64 expected, int code, GError **error)
{
  if ((there != NULL ? strand_record_get_revision (there) : 0) == expected)
    return TRUE;
  g_set_error (error, STRAND_ERROR, code, "another revision is there");
  return FALSE;
}

static gboolean
plain_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  PlainStore *self = PLAIN_STORE (store);
  const char *key = strand_record_get_key (record);
  gboolean done;

  g_mutex_lock (&self->lock);
  done = check_locked (g_hash_table_lookup (self->records, key), expected,
                       expected == 0 ? STRAND_ERROR_EXISTS : STRAND_ERROR_STALE, error);
  if (done)
    g_hash_table_replace (self->records, g_strdup (key), strand_record_copy (record));
  g_mutex_unlock (&self->lock);
  return done;
}

static gboolean
plain_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  PlainStore *self = PLAIN_STORE (store);
  StrandRecord *there;
  gboolean done = FALSE;

  g_mutex_lock (&self->lock);
  there = g_hash_table_lookup (self->records, key);
  if (there == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  else if (expected == 0 || check_locked (there, expected, STRAND_ERROR_STALE, error))
    done = g_hash_table_remove (self->records, key);
  g_mutex_unlock (&self->lock);
  return done;
}

/* In the order of keys; a page's cursor is its last key. */
static StrandPage *
plain_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                  GError **error)
{
  PlainStore *self = PLAIN_STORE (store);
  g_autoptr(GList) keys = NULL;
  const char *last = NULL;
  StrandPage *page;

  if (cursor != NULL && !strand_key_check (cursor, NULL))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "this is no cursor of this store");
      return NULL;
    }
  page = strand_page_new ();

  g_mutex_lock (&self->lock);
  keys = g_list_sort (g_hash_table_get_keys (self->records), (GCompareFunc) strcmp);
  for (GList *l = keys; l != NULL; l = l->next)
    {
      StrandRecord *record = g_hash_table_lookup (self->records, l->data);
      g_autoptr(StrandRecord) copy = NULL;

      if ((cursor != NULL && strcmp (l->data, cursor) <= 0) || !strand_filter_matches (filter, record))
        continue;
      if (strand_page_get_records (page)->len == limit)
        {
          strand_page_set_next (page, last);
          break;
        }
      copy = strand_record_copy (record);
      strand_page_add (page, copy);
      last = l->data;
    }
  g_mutex_unlock (&self->lock);
  return page;
}

static void
plain_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
plain_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
plain_store_finalize (GObject *object)
{
  PlainStore *self = PLAIN_STORE (object);

  g_hash_table_unref (self->records);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (plain_store_parent_class)->finalize (object);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = plain_store_get;
  iface->put = plain_store_put;
  iface->remove = plain_store_remove;
  iface->list = plain_store_list;
}

static void
plain_store_class_init (PlainStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = plain_store_set_property;
  object_class->get_property = plain_store_get_property;
  object_class->finalize = plain_store_finalize;
  strand_store_override_properties (object_class, FIRST_COMMON_PROPERTY);
}

static void
plain_store_init (PlainStore *self)
{
  g_mutex_init (&self->lock);
  self->records =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) strand_record_unref);
}

StrandStore *
plain_store_new (void)
{
  return g_object_new (PLAIN_TYPE_STORE, NULL);
}
