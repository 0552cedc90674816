/* sample-store.c — keeps records in a tree, in this process.
 *
 * The four methods that every store has are here; strand makes everything else of them: claims, watches,
 * items, expiry. Put your database in the tree's place, then give it the optional methods that it can do
 * faster (strand-store.h lists them). Records are copied in and out, so nobody outside holds one of the
 * store's own. One lock guards the tree, so every method may run on any thread. SPDX-License-Identifier: 0BSD
 */

#include <strand-plugin.h>

#include <string.h>

#define SAMPLE_TYPE_STORE (sample_store_get_type ())
G_DECLARE_FINAL_TYPE (SampleStore, sample_store, SAMPLE, STORE, GObject)

struct _SampleStore
{
  GObject parent_instance;

  GMutex lock;    /* guards the tree */
  GTree *records; /* key → StrandRecord, in the order of keys */
};

/* The properties that every store has come after one's own. */
enum
{
  FIRST_COMMON_PROP = 1,
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (SampleStore, sample_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

/* Whether the record that is there, if any, is the one that the caller has seen; 0 stands for none. */
static gboolean
check_revision (StrandRecord *there, guint64 expected, GError **error)
{
  if ((there != NULL ? strand_record_get_revision (there) : 0) == expected)
    return TRUE;
  if (expected == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
                 "the record was changed or removed since it was read");
  return FALSE;
}

static void
set_not_found (GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
}

static StrandRecord *
sample_store_get (StrandStore *store, const char *key, GError **error)
{
  SampleStore *self = SAMPLE_STORE (store);
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  StrandRecord *record = g_tree_lookup (self->records, key);

  if (record != NULL)
    return strand_record_copy (record);
  set_not_found (error);
  return NULL;
}

static gboolean
sample_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  SampleStore *self = SAMPLE_STORE (store);
  const char *key = strand_record_get_key (record);
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);

  if (!check_revision (g_tree_lookup (self->records, key), expected, error))
    return FALSE;
  g_tree_replace (self->records, g_strdup (key), strand_record_copy (record));
  return TRUE;
}

static gboolean
sample_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  SampleStore *self = SAMPLE_STORE (store);
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  StrandRecord *record = g_tree_lookup (self->records, key);

  if (record == NULL)
    {
      set_not_found (error);
      return FALSE;
    }
  if (expected != 0 && !check_revision (record, expected, error))
    return FALSE;
  return g_tree_remove (self->records, key);
}

/* A page goes on behind the key that is its cursor, whatever has come and gone meanwhile. */
static StrandPage *
sample_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                   GError **error)
{
  SampleStore *self = SAMPLE_STORE (store);
  g_autoptr(StrandPage) page = strand_page_new ();
  g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new (&self->lock);
  const char *last = NULL;
  GTreeNode *node;

  if (cursor != NULL && !strand_key_check (cursor, NULL))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "this is no cursor of this store");
      return NULL;
    }
  node = cursor != NULL ? g_tree_upper_bound (self->records, cursor) : g_tree_node_first (self->records);
  for (; node != NULL; node = g_tree_node_next (node))
    {
      StrandRecord *record = g_tree_node_value (node);
      g_autoptr(StrandRecord) copy = NULL;

      if (!strand_filter_matches (filter, record))
        continue;
      if (strand_page_get_records (page)->len == limit)
        {
          strand_page_set_next (page, last);
          break;
        }
      copy = strand_record_copy (record);
      strand_page_add (page, copy);
      last = g_tree_node_key (node);
    }
  return g_steal_pointer (&page);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = sample_store_get;
  iface->put = sample_store_put;
  iface->remove = sample_store_remove;
  iface->list = sample_store_list;
}

static void
sample_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
sample_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
sample_store_finalize (GObject *object)
{
  SampleStore *self = SAMPLE_STORE (object);

  g_tree_unref (self->records);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (sample_store_parent_class)->finalize (object);
}

static void
sample_store_class_init (SampleStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = sample_store_set_property;
  object_class->get_property = sample_store_get_property;
  object_class->finalize = sample_store_finalize;
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static int
compare_keys (gconstpointer a, gconstpointer b, gpointer unused)
{
  return strcmp (a, b);
}

static void
sample_store_init (SampleStore *self)
{
  g_mutex_init (&self->lock);
  self->records = g_tree_new_full (compare_keys, NULL, g_free, (GDestroyNotify) strand_record_unref);
}

STRAND_PLUGIN_DEFINE ("sample-store", "0.1", "0BSD",
                      STRAND_PROVIDES_STORE ("sample", SampleStore, sample_store_get_type,
                                             "Keeps records in a tree, in this process"))
