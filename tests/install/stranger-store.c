/* stranger-store.c — a store of somebody who has only the installed library: the four methods and no more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

#define STRANGER_TYPE_STORE (stranger_store_get_type ())
G_DECLARE_FINAL_TYPE (StrangerStore, stranger_store, STRANGER, STORE, GObject)

struct _StrangerStore
{
  GObject parent_instance;

  GMutex lock;         /* guards the table */
  GHashTable *records; /* key, owned by the record; record */
};

enum
{
  PROP_FIRST_COMMON = 1,
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrangerStore, stranger_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static StrandRecord *
stranger_store_get (StrandStore *store, const char *key, GError **error)
{
  StrangerStore *self = STRANGER_STORE (store);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  StrandRecord *record = (StrandRecord *) g_hash_table_lookup (self->records, key);

  if (record != NULL)
    return strand_record_copy (record);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  return NULL;
}

/* Whether what is kept has the revision @expected; 0: whether nothing is. */
static gboolean
check_locked (StrangerStore *self, const char *key, guint64 expected, GError **error)
{
  StrandRecord *record = (StrandRecord *) g_hash_table_lookup (self->records, key);

  if ((record != NULL ? strand_record_get_revision (record) : 0) == expected)
    return TRUE;
  g_set_error (error, STRAND_ERROR, expected == 0 ? STRAND_ERROR_EXISTS : STRAND_ERROR_STALE,
               "it was changed");
  return FALSE;
}

static gboolean
stranger_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrangerStore *self = STRANGER_STORE (store);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  StrandRecord *copy;

  if (!check_locked (self, strand_record_get_key (record), expected, error))
    return FALSE;
  copy = strand_record_copy (record);
  g_hash_table_replace (self->records, (gpointer) strand_record_get_key (copy), copy);
  return TRUE;
}

static gboolean
stranger_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrangerStore *self = STRANGER_STORE (store);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (expected != 0 && !check_locked (self, key, expected, error))
    return FALSE;
  if (g_hash_table_remove (self->records, key))
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  return FALSE;
}

/* One page takes all. */
static StrandPage *
stranger_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                     GError **error)
{
  StrangerStore *self = STRANGER_STORE (store);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  StrandPage *page = strand_page_new ();
  GHashTableIter iter;
  gpointer record;

  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, NULL, &record))
    if (strand_filter_matches (filter, (StrandRecord *) record))
      strand_page_add (page, (StrandRecord *) record);
  return page;
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = stranger_store_get;
  iface->put = stranger_store_put;
  iface->remove = stranger_store_remove;
  iface->list = stranger_store_list;
}

static void
stranger_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
stranger_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
stranger_store_finalize (GObject *object)
{
  StrangerStore *self = STRANGER_STORE (object);

  g_hash_table_unref (self->records);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (stranger_store_parent_class)->finalize (object);
}

static void
stranger_store_class_init (StrangerStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = stranger_store_set_property;
  object_class->get_property = stranger_store_get_property;
  object_class->finalize = stranger_store_finalize;
  strand_store_override_properties (object_class, PROP_FIRST_COMMON);
}

static void
stranger_store_init (StrangerStore *self)
{
  g_mutex_init (&self->lock);
  self->records = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) strand_record_unref);
}

STRAND_PLUGIN_DEFINE ("stranger-store", "1.0", "MIT",
                      STRAND_PROVIDES_STORE ("stranger", StrangerStore, stranger_store_get_type,
                                             "Keeps records in a table"))
