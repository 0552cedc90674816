/* folder-store.c — keeps each record in a file of its own, for all processes of one host.
 *
 * A new record is written beside the old one and renamed over it: who reads sees one or the other, and needs no lock. Who
 * writes locks the folder, from looking at the old revision until the new one is in its place. The folder is fixed at
 * construction and is the only state, so every method may run on any thread.       SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define FOLDER_TYPE_STORE (folder_store_get_type ())
G_DECLARE_FINAL_TYPE (FolderStore, folder_store, FOLDER, STORE, GObject)

struct _FolderStore
{
  GObject parent_instance;

  char *path;
};

/* The properties that every store has come after one's own. */
enum
{
  PROP_PATH = 1,
  FIRST_COMMON_PROP,
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (FolderStore, folder_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static void
set_errno_error (GError **error, const char *path)
{
  int saved = errno;

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (saved), "'%s': %s", path, g_strerror (saved));
}

/* No key begins with a dot, so none is the lock's. */
static char *
path_for (FolderStore *self, const char *key)
{
  g_autofree char *name = g_strconcat (key, ".json", NULL);

  return g_build_filename (self->path, name, NULL);
}

static StrandRecord *
folder_store_get (StrandStore *store, const char *key, GError **error)
{
  g_autofree char *path = path_for (FOLDER_STORE (store), key);
  g_autoptr(GError) local_error = NULL;
  g_autoptr(GBytes) bytes = NULL;
  char *text;
  gsize length;

  if (!g_file_get_contents (path, &text, &length, &local_error))
    {
      if (g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
      else
        g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  bytes = g_bytes_new_take (text, length);
  return strand_record_from_json (bytes, error);
}

/* Keeps out threads as it does processes, because each lock is an open file of its own: closing that ends it. -1 with an
 * error. */
static int
lock (FolderStore *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->path, ".lock", NULL);
  int fd = -1;

  if (g_mkdir_with_parents (self->path, 0700) == 0)
    fd = g_open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0)
    {
      set_errno_error (error, path);
      return -1;
    }
  while (flock (fd, LOCK_EX) != 0)
    if (errno != EINTR)
      {
        set_errno_error (error, path);
        close (fd);
        return -1;
      }
  return fd;
}

/* Whether the record that is there, if any, is the one that the caller has seen; 0 stands for none. */
static gboolean
check_revision_locked (FolderStore *self, const char *key, guint64 expected, GError **error)
{
  g_autoptr(GError) local_error = NULL;
  g_autoptr(StrandRecord) there = folder_store_get (STRAND_STORE (self), key, &local_error);

  if (there == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  if ((there != NULL ? strand_record_get_revision (there) : 0) == expected)
    return TRUE;
  if (expected == 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS, "a record has this key already");
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE, "the record was changed or removed since it was read");
  return FALSE;
}

static gboolean
folder_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  FolderStore *self = FOLDER_STORE (store);
  const char *key = strand_record_get_key (record);
  g_autofree char *path = path_for (self, key);
  g_autoptr(GBytes) bytes = strand_record_to_json (record);
  gsize length;
  const char *text = g_bytes_get_data (bytes, &length);
  int fd = lock (self, error);
  gboolean done;

  if (fd < 0)
    return FALSE;
  done = check_revision_locked (self, key, expected, error) &&
         g_file_set_contents_full (path, text, (gssize) length, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
  close (fd);
  return done;
}

/* Without a revision, what is there goes, readable or not. */
static gboolean
remove_locked (FolderStore *self, const char *key, guint64 expected, GError **error)
{
  g_autofree char *path = path_for (self, key);

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
      return FALSE;
    }
  if (expected != 0 && !check_revision_locked (self, key, expected, error))
    return FALSE;
  if (g_unlink (path) == 0)
    return TRUE;
  set_errno_error (error, path);
  return FALSE;
}

static gboolean
folder_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  FolderStore *self = FOLDER_STORE (store);
  int fd = lock (self, error);
  gboolean done;

  if (fd < 0)
    return FALSE;
  done = remove_locked (self, key, expected, error);
  close (fd);
  return done;
}

static int
compare_keys (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The keys behind that of the cursor, in order. A folder that is not there yet has none. */
static GPtrArray *
list_keys (FolderStore *self, const char *cursor)
{
  GPtrArray *keys = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GDir) dir = g_dir_open (self->path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *key = g_strdup (name);

      if (!g_str_has_suffix (key, ".json"))
        continue;
      key[strlen (key) - strlen (".json")] = '\0';
      if (strand_key_check (key, NULL) && (cursor == NULL || strcmp (key, cursor) > 0))
        g_ptr_array_add (keys, g_steal_pointer (&key));
    }
  g_ptr_array_sort (keys, compare_keys);
  return keys;
}

/* A page goes on behind the key that is its cursor, whatever has come and gone meanwhile. */
static StrandPage *
folder_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit, GError **error)
{
  g_autoptr(StrandPage) page = strand_page_new ();
  g_autoptr(GPtrArray) keys = NULL;

  if (cursor != NULL && !strand_key_check (cursor, NULL))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "this is no cursor of this store");
      return NULL;
    }
  keys = list_keys (FOLDER_STORE (store), cursor);
  for (guint i = 0; i < keys->len; i++)
    {
      g_autoptr(GError) local_error = NULL;
      g_autoptr(StrandRecord) record = folder_store_get (store, keys->pdata[i], &local_error);

      if (record != NULL && strand_filter_matches (filter, record))
        strand_page_add (page, record);
      else if (record == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        strand_page_add_unreadable (page, keys->pdata[i], local_error);
      if (strand_page_get_records (page)->len == limit && i + 1 < keys->len)
        {
          strand_page_set_next (page, keys->pdata[i]);
          break;
        }
    }
  return g_steal_pointer (&page);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = folder_store_get;
  iface->put = folder_store_put;
  iface->remove = folder_store_remove;
  iface->list = folder_store_list;
}

static void
folder_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  FolderStore *self = FOLDER_STORE (object);

  if (id != PROP_PATH)
    {
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
      return;
    }
  g_free (self->path);
  self->path = g_value_dup_string (value);
}

static void
folder_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  if (id == PROP_PATH)
    g_value_set_string (value, FOLDER_STORE (object)->path);
  else
    strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
folder_store_finalize (GObject *object)
{
  g_free (FOLDER_STORE (object)->path);
  G_OBJECT_CLASS (folder_store_parent_class)->finalize (object);
}

static void
folder_store_class_init (FolderStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = folder_store_set_property;
  object_class->get_property = folder_store_get_property;
  object_class->finalize = folder_store_finalize;
  g_object_class_install_property (
      object_class, PROP_PATH,
      g_param_spec_string ("path", NULL, "The folder that the records lie in; made when the first one is written", NULL,
                           STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED));
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
folder_store_init (FolderStore *self)
{
}

STRAND_PLUGIN_DEFINE ("folder-store", "0.1", "0BSD",
                      STRAND_PROVIDES_STORE ("folder", FolderStore, folder_store_get_type,
                                             "Keeps each record in a file of its own"))
