/* temporary-store.c — keeps records in files for as long as one object uses them.
 *
 * Each object has a directory of its own, `strand-UID/temporary-XXXXXX` below XDG_RUNTIME_DIR or the system's
 * temporary directory, and lets a filesystem store work in it. The directory is removed when the store is
 * closed or finalized, or when the program exits. A program that was killed leaves its directory; but with it
 * went the lock (flock on the directory) that says that somebody is there, so the next store to be opened
 * removes it. Cleaners of temporary directories that honour such locks leave ours alone.
 *
 * Between making a directory and locking it another store would take it for left behind: that happens under a
 * lock on the directory above.                              SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRAND_TYPE_TEMPORARY_STORE (strand_temporary_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandTemporaryStore, strand_temporary_store, STRAND, TEMPORARY_STORE, GObject)

#define PREFIX "temporary-"

/* How many directories are open at once while a tree is removed: deeper than a store's. */
#define N_TREE_FDS 8

/* A directory that is locked by its open descriptor. */
typedef struct
{
  char *path;
  int fd;
} Held;

struct _StrandTemporaryStore
{
  GObject parent_instance;
  char *path; /* above; NULL for the default; set at construction, then read by any thread */

  GMutex lock;        /* guards everything below */
  Held *held;         /* NULL before the first use */
  StrandStore *inner; /* non-NULL exactly when held is, until the last reference goes */
};

typedef enum
{
  PROP_PATH = 1,
  PROP_DIRECTORY,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandTemporaryStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandTemporaryStore, strand_temporary_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

/* --- directories --------------------------------------------------------------------------------------- */

static GMutex all_lock;
static GPtrArray *all_held; /* of Held, borrowed: what this process has; guarded by all_lock */
static pid_t all_pid;       /* the process that had them when the list was begun */

static void
held_free (Held *held)
{
  close (held->fd);
  g_free (held->path);
  g_free (held);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Held, held_free)

static int
remove_one (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  remove (path);
  return 0;
}

static void
held_remove (Held *held)
{
  nftw (held->path, remove_one, N_TREE_FDS, FTW_DEPTH | FTW_PHYS);
  if (g_access (held->path, F_OK) == 0)
    strand_debug (STRAND_TOPIC_STORE, "Could not remove all of '%s'", held->path);
}

/* A program may exit without having let go of its stores. What it has forked is not the owner. */
static void
remove_all_at_exit (void)
{
  if (getpid () != all_pid)
    return;

  g_mutex_lock (&all_lock);
  for (guint i = 0; i < all_held->len; i++)
    held_remove (g_ptr_array_index (all_held, i));
  g_mutex_unlock (&all_lock);
}

static void
remember (Held *held)
{
  g_mutex_lock (&all_lock);
  if (all_held == NULL)
    {
      all_held = g_ptr_array_new ();
      all_pid = getpid ();
      atexit (remove_all_at_exit);
    }
  g_ptr_array_add (all_held, held);
  g_mutex_unlock (&all_lock);
}

static void
forget (Held *held)
{
  g_mutex_lock (&all_lock);
  g_ptr_array_remove_fast (all_held, held);
  g_mutex_unlock (&all_lock);
}

static void
set_io_error (GError **error, int cause, const char *path)
{
  g_autofree char *shown = g_filename_display_name (path);

  g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause),
               "'%s': %s; set 'path' to a directory where you may make others", shown, g_strerror (cause));
}

/* What lies in a directory that everybody can write to may be somebody else's trap. */
static gboolean
check_private (int fd, const char *path, GError **error)
{
  g_autofree char *shown = g_filename_display_name (path);
  struct stat info;

  if (fstat (fd, &info) != 0)
    {
      set_io_error (error, errno, path);
      return FALSE;
    }
  if (info.st_uid == geteuid () && (info.st_mode & 077) == 0)
    return TRUE;

  g_set_error (
      error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
      "'%s' has owner %u and mode %o, and user %u with mode 700 was expected; remove it, or set 'path' to "
      "another directory",
      shown, info.st_uid, info.st_mode & 07777, geteuid ());
  return FALSE;
}

/* Locks a directory. With @wait FALSE, NULL without an error says that somebody has it. */
static Held *
hold (const char *path, gboolean wait, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  Held *held;

  if (fd < 0)
    {
      set_io_error (error, errno, path);
      return NULL;
    }
  while (flock (fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0)
    if (errno != EINTR)
      {
        if (wait)
          set_io_error (error, errno, path);
        close (fd);
        return NULL;
      }

  held = g_new0 (Held, 1);
  held->path = g_strdup (path);
  held->fd = fd;
  return held;
}

/* The directory above those of all this user's stores, locked. */
static Held *
hold_base (StrandTemporaryStore *self, GError **error)
{
  const char *runtime = g_getenv ("XDG_RUNTIME_DIR");
  const char *above = self->path != NULL                    ? self->path
                      : runtime != NULL && *runtime != '\0' ? runtime
                                                            : g_get_tmp_dir ();
  g_autofree char *name = g_strdup_printf ("strand-%u", geteuid ());
  g_autofree char *path = g_build_filename (above, name, NULL);
  g_autoptr(Held) base = NULL;

  if (g_mkdir_with_parents (path, 0700) != 0)
    {
      set_io_error (error, errno, path);
      return NULL;
    }
  base = hold (path, TRUE, error);
  if (base == NULL || !check_private (base->fd, path, error))
    return NULL;
  return g_steal_pointer (&base);
}

/* The directories that nobody holds any more, now held by us so that no other store removes them too. */
static GPtrArray *
hold_left_behind (Held *base)
{
  g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func ((GDestroyNotify) held_free);
  g_autoptr(GDir) dir = g_dir_open (base->path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (base->path, name, NULL);
      Held *held = g_str_has_prefix (name, PREFIX) ? hold (path, FALSE, NULL) : NULL;

      if (held != NULL)
        g_ptr_array_add (left, held);
    }
  return g_steal_pointer (&left);
}

/* Makes the store's own directory, and removes those of stores whose programs were killed. */
static Held *
make_directory (StrandTemporaryStore *self, GError **error)
{
  g_autoptr(Held) base = hold_base (self, error);
  g_autoptr(Held) own = NULL;
  g_autoptr(GPtrArray) left = NULL;
  g_autofree char *path = NULL;

  if (base == NULL)
    return NULL;
  left = hold_left_behind (base);
  path = g_build_filename (base->path, PREFIX "XXXXXX", NULL);
  if (g_mkdtemp_full (path, 0700) == NULL)
    {
      set_io_error (error, errno, path);
      return NULL;
    }
  own = hold (path, TRUE, error);
  g_clear_pointer (&base, held_free);

  for (guint i = 0; i < left->len; i++)
    {
      Held *held = g_ptr_array_index (left, i);

      strand_debug (STRAND_TOPIC_STORE, "Removing '%s', left by a program that was killed", held->path);
      held_remove (held);
    }
  return g_steal_pointer (&own);
}

/* --- the store ----------------------------------------------------------------------------------------- */

static gboolean
open_locked (StrandTemporaryStore *self, GError **error)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "filesystem", error);

  if (type == G_TYPE_INVALID)
    return FALSE;
  self->held = make_directory (self, error);
  if (self->held == NULL)
    return FALSE;
  remember (self->held);
  self->inner = g_object_new (type, "path", self->held->path, NULL);
  return TRUE;
}

/* The store that does the work. Its methods are called, not strand_store_get() and its kin: time to live,
 * limits, watchers and messages are this store's. */
static StrandStore *
peek_inner (StrandTemporaryStore *self, GError **error)
{
  gboolean ready;

  g_mutex_lock (&self->lock);
  ready = self->inner != NULL || open_locked (self, error);
  g_mutex_unlock (&self->lock);
  return ready ? self->inner : NULL;
}

static StrandRecord *
strand_temporary_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL ? STRAND_STORE_GET_IFACE (inner)->get (inner, key, error) : NULL;
}

static gboolean
strand_temporary_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL && STRAND_STORE_GET_IFACE (inner)->put (inner, record, expected, error);
}

static gboolean
strand_temporary_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL && STRAND_STORE_GET_IFACE (inner)->remove (inner, key, expected, error);
}

static StrandPage *
strand_temporary_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                             GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL ? STRAND_STORE_GET_IFACE (inner)->list (inner, filter, cursor, limit, error) : NULL;
}

static GPtrArray *
strand_temporary_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us,
                              GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL ? STRAND_STORE_GET_IFACE (inner)->claim (inner, claim, next_due_us, error) : NULL;
}

static gboolean
strand_temporary_store_renew (StrandStore *store, StrandRenewal *renewals, guint n, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL && STRAND_STORE_GET_IFACE (inner)->renew (inner, renewals, n, error);
}

static gboolean
strand_temporary_store_append_items (StrandStore *store, const char *key, guint64 fence, guint64 first,
                                     GBytes *const *items, guint n, guint max_items, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL &&
         STRAND_STORE_GET_IFACE (inner)->append_items (inner, key, fence, first, items, n, max_items, error);
}

static GPtrArray *
strand_temporary_store_read_items (StrandStore *store, const char *key, guint64 fence, guint64 from,
                                   guint limit, guint64 *first, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL
             ? STRAND_STORE_GET_IFACE (inner)->read_items (inner, key, fence, from, limit, first, error)
             : NULL;
}

static gboolean
strand_temporary_store_remove_items (StrandStore *store, const char *key, guint64 fence, GError **error)
{
  StrandStore *inner = peek_inner (STRAND_TEMPORARY_STORE (store), error);

  return inner != NULL && STRAND_STORE_GET_IFACE (inner)->remove_items (inner, key, fence, error);
}

/* Nobody else writes here. */
static gboolean
strand_temporary_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  return TRUE;
}

static gboolean
strand_temporary_store_set_watching_queues (StrandStore *store, const char *const *queues, GError **error)
{
  return TRUE;
}

static void
strand_temporary_store_close (StrandStore *store)
{
  StrandTemporaryStore *self = STRAND_TEMPORARY_STORE (store);
  Held *held;

  g_mutex_lock (&self->lock);
  held = g_steal_pointer (&self->held);
  g_mutex_unlock (&self->lock);
  if (held == NULL)
    return;

  strand_store_close (self->inner);
  forget (held);
  held_remove (held);
  held_free (held);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_temporary_store_get;
  iface->put = strand_temporary_store_put;
  iface->remove = strand_temporary_store_remove;
  iface->list = strand_temporary_store_list;
  iface->set_watching = strand_temporary_store_set_watching;
  iface->close = strand_temporary_store_close;
  iface->claim = strand_temporary_store_claim;
  iface->renew = strand_temporary_store_renew;
  iface->set_watching_queues = strand_temporary_store_set_watching_queues;
  iface->append_items = strand_temporary_store_append_items;
  iface->read_items = strand_temporary_store_read_items;
  iface->remove_items = strand_temporary_store_remove_items;
}

static void
strand_temporary_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandTemporaryStore *self = STRAND_TEMPORARY_STORE (object);
  const char *path;

  if (id >= FIRST_COMMON_PROP)
    {
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
      return;
    }
  path = g_value_get_string (value);
  self->path = path != NULL && *path != '\0' ? g_canonicalize_filename (path, NULL) : NULL;
}

static void
strand_temporary_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandTemporaryStore *self = STRAND_TEMPORARY_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->path);
      break;
    case PROP_DIRECTORY:
      g_mutex_lock (&self->lock);
      g_value_set_string (value, self->held != NULL ? self->held->path : NULL);
      g_mutex_unlock (&self->lock);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_temporary_store_finalize (GObject *object)
{
  StrandTemporaryStore *self = STRAND_TEMPORARY_STORE (object);

  strand_temporary_store_close (STRAND_STORE (self));
  g_clear_object (&self->inner);
  g_free (self->path);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_temporary_store_parent_class)->finalize (object);
}

static void
strand_temporary_store_class_init (StrandTemporaryStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = strand_temporary_store_set_property;
  object_class->get_property = strand_temporary_store_get_property;
  object_class->finalize = strand_temporary_store_finalize;

  props[PROP_PATH] =
      g_param_spec_string ("path", NULL,
                           "Directory below which the store makes one of its own; by default "
                           "XDG_RUNTIME_DIR, or the system's temporary "
                           "directory",
                           NULL, G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  props[PROP_DIRECTORY] =
      g_param_spec_string ("directory", NULL, "The store's own directory, while it has one", NULL,
                           G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
strand_temporary_store_init (StrandTemporaryStore *self)
{
  g_mutex_init (&self->lock);
}

STRAND_PLUGIN_DEFINE ("temporary-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("temporary", StrandTemporaryStore,
                                             strand_temporary_store_get_type,
                                             "Keeps records in files that are removed with their owner"))
