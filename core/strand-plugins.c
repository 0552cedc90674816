/* strand-plugins.c — the plugin host: where plugins are looked for, and which one is meant.
 *
 * The first file on the search path that says it provides a type is the one, for listing, checking and
 * loading alike, even if it then turns out unusable: a broken plugin is an error where it is used, and never
 * silently replaced by another that happens to lie further down. Which file of one folder it is, that folder
 * knows.
 *
 * A type that was loaded keeps its file, whatever appears on the path later.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-plugins-private.h"

#include "strand-error.h"

#include <string.h>

/**
 * StrandPlugins:
 *
 * The plugin host: where plugins are looked for, which file is meant by a type, and why another cannot be
 * used.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandPlugins, strand_plugins, G_TYPE_OBJECT)

static void
known_free (gpointer data)
{
  PluginKnown *self = data;

  g_free (self->file);
  g_free (self);
}

static void
strand_plugins_finalize (GObject *object)
{
  StrandPlugins *self = STRAND_PLUGINS (object);

  g_ptr_array_unref (self->folders);
  g_hash_table_unref (self->known);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_plugins_parent_class)->finalize (object);
}

static void
strand_plugins_class_init (StrandPluginsClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = strand_plugins_finalize;
}

static void
strand_plugins_init (StrandPlugins *self)
{
  g_mutex_init (&self->lock);
  self->folders = g_ptr_array_new_with_free_func (plugin_folder_free);
  self->known = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, known_free);
}

char *
plugins_dup_key (StrandKind kind, const char *type)
{
  return g_strconcat (strand_kind_to_string (kind), "/", type, NULL);
}

static const PluginKnown *
lookup_known_locked (StrandPlugins *self, StrandKind kind, const char *type)
{
  g_autofree char *key = plugins_dup_key (kind, type);

  return g_hash_table_lookup (self->known, key);
}

static StrandPluginFile *
find_locked (StrandPlugins *self, StrandKind kind, const char *type, gboolean afresh)
{
  StrandPluginFile *file = NULL;

  for (guint i = 0; file == NULL && i < self->folders->len; i++)
    file = plugin_folder_ref_file (g_ptr_array_index (self->folders, i), kind, type, afresh);
  return file;
}

/* A file that was changed in place, or came and went unnoticed, makes us look at everything again, once. */
static StrandPluginFile *
ref_file_locked (StrandPlugins *self, StrandKind kind, const char *type)
{
  g_autoptr(StrandPluginFile) file = find_locked (self, kind, type, FALSE);

  if (file != NULL && strand_plugin_file_is_current (file))
    return g_steal_pointer (&file);
  return find_locked (self, kind, type, TRUE);
}

/* On a class: its name for keyfiles. */
static GQuark
type_name_quark (void)
{
  return g_quark_from_static_string ("strand-type-name");
}

/* The first answer stands, should two threads have loaded the same type. */
static GType
remember_locked (StrandPlugins *self, StrandKind kind, const char *type, GType gtype, const char *file)
{
  const PluginKnown *before = lookup_known_locked (self, kind, type);
  PluginKnown *known;

  if (before != NULL)
    return before->gtype;
  known = g_new0 (PluginKnown, 1);
  known->gtype = gtype;
  known->file = g_strdup (file);
  g_hash_table_insert (self->known, plugins_dup_key (kind, type), known);
  g_type_set_qdata (gtype, type_name_quark (), (gpointer) g_intern_string (type));
  return gtype;
}

/**
 * strand_plugins_get_type_name:
 * @gtype: a type that strand_plugins_load() returned or strand_plugins_add_type() was given
 *
 * What `type=` in a keyfile calls a class. Any thread; does not block.
 *
 * Returns: (nullable): the name, or `NULL` where no host knows the class
 * Since: 1.0
 */
const char *
strand_plugins_get_type_name (GType gtype)
{
  return g_type_get_qdata (gtype, type_name_quark ());
}

/* STRAND_PLUGIN_PATH's elements; an empty one would mean the current folder, so it is refused like any
 * relative one, when it is looked at. */
static void
add_environment (StrandPlugins *self)
{
  const char *value = strand_trust_getenv ("STRAND_PLUGIN_PATH");
  g_auto(GStrv) elements = NULL;

  if (value == NULL || value[0] == '\0')
    return;
  elements = g_strsplit (value, G_SEARCHPATH_SEPARATOR_S, -1);
  for (guint i = 0; elements[i] != NULL; i++)
    g_ptr_array_add (self->folders, plugin_folder_new (elements[i], TRUE));
}

static StrandPlugins *
new_default (void)
{
  StrandPlugins *self = g_object_new (STRAND_TYPE_PLUGINS, NULL);

  add_environment (self);
  self->n_before = self->folders->len;
  if (!strand_trust_is_privileged ())
    {
      g_autofree char *user = g_build_filename (g_get_user_data_dir (), "strand-1", "plugins", NULL);

      g_ptr_array_add (self->folders, plugin_folder_new (user, FALSE));
    }
  g_ptr_array_add (self->folders, plugin_folder_new (STRAND_PLUGIN_DIR, FALSE));
  return self;
}

/**
 * strand_plugins_get_default:
 *
 * The process's own host. It searches `STRAND_PLUGIN_PATH`, the folders added with
 * strand_plugins_add_path(), `$XDG_DATA_HOME/strand-1/plugins`, and the installed folder; a program that has
 * more rights than who started it (`AT_SECURE`) neither the first nor the third. Any thread may use it.
 *
 * Returns: (transfer none): the host
 * Since: 1.0
 */
StrandPlugins *
strand_plugins_get_default (void)
{
  static gsize host;

  if (g_once_init_enter (&host))
    g_once_init_leave (&host, (gsize) new_default ());
  return (StrandPlugins *) host;
}

/**
 * strand_plugins_new:
 * @folders: (array zero-terminated=1) (nullable): absolute paths, searched in this order
 *
 * A host that searches these folders and no other. It shares with other hosts what the process has loaded.
 *
 * Returns: (transfer full): a host
 * Since: 1.0
 */
StrandPlugins *
strand_plugins_new (const char *const *folders)
{
  StrandPlugins *self = g_object_new (STRAND_TYPE_PLUGINS, NULL);

  for (guint i = 0; folders != NULL && folders[i] != NULL; i++)
    g_ptr_array_add (self->folders, plugin_folder_new (folders[i], TRUE));
  self->n_before = self->folders->len;
  return self;
}

/**
 * strand_plugins_add_path:
 * @self: a host
 * @folder: (type filename): an absolute path
 *
 * Adds a folder after the environment's and before the others, as a keyfile's `plugin-path` does. One that is
 * searched already stays where it is. A folder that is relative or missing is not an error here; it shows in
 * strand_plugins_list().
 *
 * Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_plugins_add_path (StrandPlugins *self, const char *folder)
{
  gboolean there = FALSE;

  g_return_if_fail (STRAND_IS_PLUGINS (self));
  g_return_if_fail (folder != NULL);

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->folders->len; i++)
    there |= strcmp (((PluginFolder *) g_ptr_array_index (self->folders, i))->path, folder) == 0;
  if (!there)
    g_ptr_array_insert (self->folders, (int) (self->n_before + self->n_added++),
                        plugin_folder_new (folder, TRUE));
  g_mutex_unlock (&self->lock);
}

/**
 * strand_plugins_list:
 * @self: a host
 *
 * Every candidate, in order of precedence: one info for each type that a file provides, and one for each file
 * or folder that could not be read. Reads folders and descriptors afresh, and loads nothing.
 *
 * Any thread; blocks on the disk.
 *
 * Returns: (transfer container) (element-type StrandPluginInfo): the candidates
 * Since: 1.0
 */
GPtrArray *
strand_plugins_list (StrandPlugins *self)
{
  GPtrArray *infos;

  g_return_val_if_fail (STRAND_IS_PLUGINS (self), NULL);

  g_mutex_lock (&self->lock);
  infos = plugins_list_locked (self, TRUE);
  g_mutex_unlock (&self->lock);
  return infos;
}

/**
 * strand_plugins_list_types:
 * @self: a host
 * @kind: a kind
 *
 * The types of a kind that can be used, sorted: those of files and those of the program.
 *
 * Any thread; blocks on the disk.
 *
 * Returns: (transfer full) (array zero-terminated=1): their names
 * Since: 1.0
 */
GStrv
strand_plugins_list_types (StrandPlugins *self, StrandKind kind)
{
  GStrv types;

  g_return_val_if_fail (STRAND_IS_PLUGINS (self), NULL);
  g_return_val_if_fail ((guint) kind <= STRAND_KIND_SCHEDULE, NULL);

  g_mutex_lock (&self->lock);
  types = plugins_list_types_locked (self, kind);
  g_mutex_unlock (&self->lock);
  return types;
}

/**
 * strand_plugins_has:
 * @self: a host
 * @kind: a kind
 * @type: a type's name
 * @error: return location for a [error@Strand.PluginError]
 *
 * Whether a type is there and could be loaded, as far as can be told without loading it. Fails with
 * %STRAND_PLUGIN_ERROR_NOT_FOUND, the types there are and the nearest name; or as loading its file would.
 *
 * Any thread; blocks on the disk.
 *
 * Returns: whether it is there
 * Since: 1.0
 */
gboolean
strand_plugins_has (StrandPlugins *self, StrandKind kind, const char *type, GError **error)
{
  g_autoptr(StrandPluginFile) file = NULL;
  gboolean known;

  g_return_val_if_fail (STRAND_IS_PLUGINS (self), FALSE);
  g_return_val_if_fail ((guint) kind < STRAND_N_KINDS, FALSE);
  g_return_val_if_fail (type != NULL, FALSE);

  g_mutex_lock (&self->lock);
  known = lookup_known_locked (self, kind, type) != NULL;
  if (!known)
    {
      file = ref_file_locked (self, kind, type);
      if (file == NULL)
        plugins_set_not_found_locked (self, kind, type, error);
    }
  g_mutex_unlock (&self->lock);

  return known || (file != NULL && strand_plugin_file_judge (file, error));
}

/**
 * strand_plugins_load:
 * @self: a host
 * @kind: a kind
 * @type: a type's name
 * @error: return location for a [error@Strand.PluginError]
 *
 * The #GType behind a name, loading its file at first use. The program's own types come first, see
 * strand_plugins_add_type(); then the first file on the search path that provides the type.
 *
 * Any thread; blocks on the disk and runs the plugin's constructors, on the calling thread. Once a type was
 * loaded the answer is always the same, and quick.
 *
 * Returns: the type, or %G_TYPE_INVALID with @error set
 * Since: 1.0
 */
GType
strand_plugins_load (StrandPlugins *self, StrandKind kind, const char *type, GError **error)
{
  g_autoptr(StrandPluginFile) file = NULL;
  const PluginKnown *known;
  GType gtype = G_TYPE_INVALID;

  g_return_val_if_fail (STRAND_IS_PLUGINS (self), G_TYPE_INVALID);
  g_return_val_if_fail ((guint) kind <= STRAND_KIND_SCHEDULE, G_TYPE_INVALID);
  g_return_val_if_fail (type != NULL, G_TYPE_INVALID);

  g_mutex_lock (&self->lock);
  known = lookup_known_locked (self, kind, type);
  if (known != NULL)
    gtype = known->gtype;
  else
    {
      file = ref_file_locked (self, kind, type);
      if (file == NULL)
        plugins_set_not_found_locked (self, kind, type, error);
    }
  g_mutex_unlock (&self->lock);
  if (file == NULL)
    return gtype;

  gtype = strand_plugin_file_load (file, kind, type, error);
  if (gtype == G_TYPE_INVALID)
    return gtype;
  g_mutex_lock (&self->lock);
  gtype = remember_locked (self, kind, type, gtype, file->path);
  g_mutex_unlock (&self->lock);
  return gtype;
}

static gboolean
check_program_type (StrandKind kind, const char *type, GType gtype, GError **error)
{
  GType interface = strand_kind_get_interface (kind);

  if (!strand_descriptor_is_type_name (type))
    g_set_error (
        error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_BAD_TYPE,
        "Could not add %s '%s': a name is a small letter, then small letters, digits and dashes, 64 at most",
        strand_kind_to_string (kind), type);
  else if (!g_type_is_a (gtype, G_TYPE_OBJECT) || G_TYPE_IS_ABSTRACT (gtype))
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_BAD_TYPE,
                 "Could not add %s '%s': '%s' cannot be instantiated; give a final GObject class",
                 strand_kind_to_string (kind), type,
                 gtype != G_TYPE_INVALID ? g_type_name (gtype) : "no type");
  else if (!g_type_is_a (gtype, interface))
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_WRONG_INTERFACE,
                 "Could not add %s '%s': class '%s' does not implement %s; add G_IMPLEMENT_INTERFACE() to it",
                 strand_kind_to_string (kind), type, g_type_name (gtype), g_type_name (interface));
  else
    return TRUE;
  return FALSE;
}

/**
 * strand_plugins_add_type:
 * @self: a host
 * @kind: a kind
 * @type: the name that keyfiles will use
 * @gtype: a final #GObject class that implements the kind's interface
 * @error: return location for a [error@Strand.PluginError]
 *
 * Adds an implementation that the program itself has. It stands before every file. Adding the same again
 * changes nothing; a name that is in use fails with %STRAND_PLUGIN_ERROR_TYPE_CLASH.
 *
 * Any thread; does not block.
 *
 * Returns: whether it was added
 * Since: 1.0
 */
gboolean
strand_plugins_add_type (StrandPlugins *self, StrandKind kind, const char *type, GType gtype, GError **error)
{
  const PluginKnown *known;
  gboolean added;

  g_return_val_if_fail (STRAND_IS_PLUGINS (self), FALSE);
  g_return_val_if_fail ((guint) kind < STRAND_N_KINDS, FALSE);
  g_return_val_if_fail (type != NULL, FALSE);

  if (!check_program_type (kind, type, gtype, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  added = remember_locked (self, kind, type, gtype, NULL) == gtype;
  known = lookup_known_locked (self, kind, type);
  if (!added)
    g_set_error (
        error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_TYPE_CLASH,
        "Could not add %s '%s': class '%s' has that name already, from %s; choose another name or add it "
        "before its first use",
        strand_kind_to_string (kind), type, g_type_name (known->gtype),
        known->file != NULL ? known->file : "this program");
  g_mutex_unlock (&self->lock);
  return added;
}
