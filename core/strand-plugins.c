/* strand-plugins.c — the plugin host: where plugins are looked for, and which one is meant.
 *
 * The first file on the search path that says it provides a type is the one, for listing, checking and
 * loading alike, even if it then turns out unusable: a broken plugin is an error where it is used, and never
 * silently replaced by another that happens to lie further down. Within a folder a type's namesake comes
 * first, `sqlite-store.so` for store `sqlite`, and then files go by name. So a program that uses three of two
 * hundred plugins opens three files; only a type without a namesake makes us read what a folder has, once,
 * and again when the folder changed or when something is not found.
 *
 * A type that was loaded keeps its file, whatever appears on the path later.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-plugins.h"

#include "strand-backend.h"
#include "strand-error.h"
#include "strand-middleware.h"
#include "strand-param.h"
#include "strand-plugin-file-private.h"
#include "strand-reader.h"
#include "strand-schedule.h"
#include "strand-serializer.h"
#include "strand-store.h"
#include "strand-taskrunner.h"

#include <errno.h>
#include <string.h>

typedef struct
{
  char *path;     /* as it was given */
  gboolean asked; /* somebody named it, so its absence is worth telling */

  StrandFileIdentity identity; /* of the folder when it was read */
  GPtrArray *files;            /* NULL: not read yet, or */
  GError *error;               /* cannot be */
} PluginFolder;

typedef struct
{
  GType gtype;
  char *file; /* NULL where the program itself has it */
} PluginKnown;

struct _StrandPlugins
{
  GObject parent_instance;

  GMutex lock;        /* guards everything below */
  GPtrArray *folders; /* of PluginFolder, in the order of the search */
  guint n_before;     /* of those stand before what strand_plugins_add_path() adds */
  guint n_added;
  GHashTable *known; /* "kind/type" → PluginKnown: a type once given out stays what it was */
};

/**
 * StrandPlugins:
 *
 * The plugin host: where plugins are looked for, which file is meant by a type, and why another cannot be
 * used.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandPlugins, strand_plugins, G_TYPE_OBJECT)

G_DEFINE_ENUM_TYPE (StrandKind, strand_kind, G_DEFINE_ENUM_VALUE (STRAND_KIND_TASKRUNNER, "taskrunner"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_BACKEND, "backend"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_STORE, "store"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_SERIALIZER, "serializer"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_MIDDLEWARE, "middleware"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_READER, "reader"),
                    G_DEFINE_ENUM_VALUE (STRAND_KIND_SCHEDULE, "schedule"))

G_DEFINE_ENUM_TYPE (StrandPluginState, strand_plugin_state,
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_AVAILABLE, "available"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_LOADED, "loaded"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_SHADOWED, "shadowed"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_STATE_REFUSED, "refused"))

G_DEFINE_BOXED_TYPE (StrandPluginInfo, strand_plugin_info, strand_plugin_info_copy, strand_plugin_info_free)

static const char *const kind_names[] = { "taskrunner", "backend", "store",   "serializer",
                                          "middleware", "reader",  "schedule" };

/* --- folders --- */

static void
plugin_folder_free (gpointer data)
{
  PluginFolder *self = data;

  g_free (self->path);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_clear_error (&self->error);
  g_free (self);
}

static PluginFolder *
plugin_folder_new (const char *path, gboolean asked)
{
  PluginFolder *self = g_new0 (PluginFolder, 1);

  self->path = g_strdup (path);
  self->asked = asked;
  return self;
}

static void
folder_scan (PluginFolder *self)
{
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_clear_error (&self->error);
  if (g_path_is_absolute (self->path))
    self->files = strand_plugin_file_scan (self->path, &self->error);
  else
    g_set_error_literal (
        &self->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_RELATIVE_PATH,
        "it is not absolute, so what it means would depend on the current folder; write it in full");
  if (self->error != NULL)
    {
      g_autofree char *shown = g_filename_display_name (self->path);

      g_prefix_error (&self->error, "Could not use plugin folder '%s': ", shown);
    }
}

/* Adding, removing and renaming change a folder's times; so does every usual way to install a file. */
static void
plugin_folder_refresh (PluginFolder *self, gboolean afresh)
{
  StrandFileIdentity now = { 0 };
  struct stat st;

  if (stat (self->path, &st) == 0)
    strand_file_identity_init (&now, &st);
  if (!afresh && (self->files != NULL || self->error != NULL) &&
      strand_file_identity_equal (&now, &self->identity))
    return;
  self->identity = now;
  folder_scan (self);
}

/* --- the object --- */

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

static char *
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

/* The file that has the type by its name: `sqlite-store.so` for store `sqlite`. */
static char *
plugins_dup_file_name (StrandKind kind, const char *type)
{
  return g_strconcat (type, "-", strand_kind_to_string (kind), ".so", NULL);
}

static gboolean
provides (const StrandPluginFile *file, StrandKind kind, const char *type)
{
  return file->descriptor != NULL && strand_descriptor_find (file->descriptor, kind, type, NULL) != NULL;
}

/* The file whose name is the type's, if it keeps that promise. */
static StrandPluginFile *
folder_ref_namesake (PluginFolder *self, StrandKind kind, const char *type)
{
  g_autofree char *name = plugins_dup_file_name (kind, type);
  g_autofree char *path = g_build_filename (self->path, name, NULL);
  g_autoptr(StrandPluginFile) file = NULL;

  if (!g_path_is_absolute (self->path) || !strand_descriptor_is_type_name (type))
    return NULL;
  file = strand_plugin_file_new (path);
  return provides (file, kind, type) ? g_steal_pointer (&file) : NULL;
}

static StrandPluginFile *
plugin_folder_ref_file (PluginFolder *self, StrandKind kind, const char *type, gboolean afresh)
{
  StrandPluginFile *namesake = folder_ref_namesake (self, kind, type);

  if (namesake != NULL)
    return namesake;
  plugin_folder_refresh (self, afresh);
  for (guint i = 0; self->files != NULL && i < self->files->len; i++)
    if (provides (g_ptr_array_index (self->files, i), kind, type))
      return strand_plugin_file_ref (g_ptr_array_index (self->files, i));
  return NULL;
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

/* --- listing --- */

static StrandPluginInfo *
info_new (const char *file)
{
  StrandPluginInfo *info = g_new0 (StrandPluginInfo, 1);

  info->file = g_strdup (file);
  info->abi_major = info->abi_minor = -1;
  return info;
}

static StrandPluginInfo *
plugin_info_new_refused (const char *file, GError *error)
{
  StrandPluginInfo *info = info_new (file);

  info->state = STRAND_PLUGIN_STATE_REFUSED;
  info->error = error;
  return info;
}

static StrandPluginInfo *
info_new_for (const StrandPluginFile *file, const StrandProvided *provided)
{
  StrandPluginInfo *info = info_new (file->path);

  if (provided != NULL)
    {
      info->kind_known = TRUE;
      info->kind = provided->kind;
      info->type = g_strdup (provided->type);
      info->gtype_name = g_strdup (provided->gtype_name);
      info->summary = g_strdup (provided->summary);
    }
  if (file->descriptor != NULL)
    {
      info->plugin_name = g_strdup (file->descriptor->name);
      info->plugin_version = g_strdup (file->descriptor->version);
      info->license = g_strdup (file->descriptor->license);
      info->abi_major = file->descriptor->abi_major;
      info->abi_minor = file->descriptor->abi_minor;
    }
  return info;
}

static void
info_set_shadowed (StrandPluginInfo *info, const char *by)
{
  info->state = STRAND_PLUGIN_STATE_SHADOWED;
  info->shadowed_by = g_strdup (by);
  g_set_error (
      &info->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_SHADOWED,
      "Could not use plugin '%s': %s '%s' is taken from '%s', which stands before it; take that off the "
      "search path to use this one",
      info->file, strand_kind_to_string (info->kind), info->type, by);
}

static void
info_set_judged (StrandPluginInfo *info, const StrandPluginFile *file, const GError *refusal)
{
  if (refusal != NULL)
    {
      info->state = STRAND_PLUGIN_STATE_REFUSED;
      info->error = g_error_copy (refusal);
    }
  else
    info->state =
        strand_plugin_file_is_loaded (file) ? STRAND_PLUGIN_STATE_LOADED : STRAND_PLUGIN_STATE_AVAILABLE;
}

/* @winners: "kind/type" → the file that has it, filled from the front of the path. NULL: nothing shadows. */
static void
plugin_infos_add (GPtrArray *infos, const StrandPluginFile *file, GHashTable *winners)
{
  g_autoptr(GError) refusal = NULL;

  if (strand_plugin_file_judge (file, &refusal))
    refusal = strand_plugin_file_dup_failure (file);
  if (file->descriptor == NULL || file->descriptor->provided->len == 0)
    {
      StrandPluginInfo *info = info_new_for (file, NULL);

      info_set_judged (info, file, refusal);
      g_ptr_array_add (infos, info);
      return;
    }
  for (guint i = 0; i < file->descriptor->provided->len; i++)
    {
      const StrandProvided *provided = g_ptr_array_index (file->descriptor->provided, i);
      g_autofree char *key = plugins_dup_key (provided->kind, provided->type);
      StrandPluginInfo *info = info_new_for (file, provided);
      const char *winner = winners != NULL ? g_hash_table_lookup (winners, key) : NULL;

      if (winner != NULL && strcmp (winner, file->path) != 0)
        info_set_shadowed (info, winner);
      else
        info_set_judged (info, file, refusal);
      if (winners != NULL && winner == NULL)
        g_hash_table_insert (winners, g_steal_pointer (&key), g_strdup (file->path));
      g_ptr_array_add (infos, info);
    }
}

static GHashTable *
known_winners_locked (StrandPlugins *self)
{
  GHashTable *winners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->known);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      const PluginKnown *known = value;

      g_hash_table_insert (winners, g_strdup (key),
                           g_strdup (known->file != NULL ? known->file : "this program"));
    }
  return winners;
}

/* What namesakes have comes before what the alphabet would give to others. */
static void
claim_namesakes (const GPtrArray *files, GHashTable *winners)
{
  for (guint i = 0; i < files->len; i++)
    {
      const StrandPluginFile *file = g_ptr_array_index (files, i);

      for (guint j = 0; file->descriptor != NULL && j < file->descriptor->provided->len; j++)
        {
          const StrandProvided *provided = g_ptr_array_index (file->descriptor->provided, j);
          g_autofree char *name = plugins_dup_file_name (provided->kind, provided->type);
          g_autofree char *key = plugins_dup_key (provided->kind, provided->type);

          if (strcmp (name, file->name) == 0 && !g_hash_table_contains (winners, key))
            g_hash_table_insert (winners, g_steal_pointer (&key), g_strdup (file->path));
        }
    }
}

static void
list_folder_locked (PluginFolder *folder, gboolean afresh, GHashTable *winners, GHashTable *listed,
                    GPtrArray *infos)
{
  plugin_folder_refresh (folder, afresh);
  if (folder->error != NULL &&
      (folder->asked || !g_error_matches (folder->error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND)))
    g_ptr_array_add (infos, plugin_info_new_refused (folder->path, g_error_copy (folder->error)));
  if (folder->files != NULL)
    claim_namesakes (folder->files, winners);
  for (guint i = 0; folder->files != NULL && i < folder->files->len; i++)
    {
      const StrandPluginFile *file = g_ptr_array_index (folder->files, i);

      /* The same file by another way is no second candidate. */
      if (g_hash_table_add (listed, g_strdup (file->path)))
        plugin_infos_add (infos, file, winners);
    }
}

static GPtrArray *
plugins_list_locked (StrandPlugins *self, gboolean afresh)
{
  g_autoptr(GHashTable) winners = known_winners_locked (self);
  g_autoptr(GHashTable) listed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GPtrArray *infos = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_plugin_info_free);

  for (guint i = 0; i < self->folders->len; i++)
    list_folder_locked (g_ptr_array_index (self->folders, i), afresh, winners, listed, infos);
  return infos;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* What was given out once, and what the files have that is neither shadowed nor refused. */
static GStrv
plugins_list_types_locked (StrandPlugins *self, StrandKind kind)
{
  g_autoptr(GPtrArray) infos = plugins_list_locked (self, FALSE);
  g_autoptr(GHashTable) types = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr(GPtrArray) sorted = g_ptr_array_new ();
  g_autofree char *prefix = plugins_dup_key (kind, "");
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, self->known);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    if (g_str_has_prefix (key, prefix))
      g_hash_table_add (types, g_strdup ((const char *) key + strlen (prefix)));
  for (guint i = 0; i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      if (info->kind_known && info->kind == kind && info->error == NULL)
        g_hash_table_add (types, g_strdup (info->type));
    }

  g_hash_table_iter_init (&iter, types);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (sorted, g_strdup (key));
  g_ptr_array_sort (sorted, compare_strings);
  g_ptr_array_add (sorted, NULL);
  return (GStrv) g_ptr_array_free (g_steal_pointer (&sorted), FALSE);
}

static guint
count_unreadable_locked (StrandPlugins *self)
{
  guint n = 0;

  for (guint i = 0; i < self->folders->len; i++)
    {
      const PluginFolder *folder = g_ptr_array_index (self->folders, i);

      for (guint j = 0; folder->files != NULL && j < folder->files->len; j++)
        n += ((StrandPluginFile *) g_ptr_array_index (folder->files, j))->error != NULL;
    }
  return n;
}

/* A file that bears the type's name but could not be read is what the question was about. */
static const StrandPluginFile *
find_unreadable_namesake_locked (StrandPlugins *self, StrandKind kind, const char *type)
{
  g_autofree char *name = plugins_dup_file_name (kind, type);

  for (guint i = 0; i < self->folders->len; i++)
    {
      const PluginFolder *folder = g_ptr_array_index (self->folders, i);

      for (guint j = 0; folder->files != NULL && j < folder->files->len; j++)
        {
          const StrandPluginFile *file = g_ptr_array_index (folder->files, j);

          if (file->error != NULL && strcmp (file->name, name) == 0)
            return file;
        }
    }
  return NULL;
}

static gboolean
plugins_set_not_found_locked (StrandPlugins *self, StrandKind kind, const char *type, GError **error)
{
  const StrandPluginFile *namesake = find_unreadable_namesake_locked (self, kind, type);
  g_auto(GStrv) types = plugins_list_types_locked (self, kind);
  g_autofree char *names = g_strjoinv ("', '", types);
  const char *nearest = strand_suggest (type, (const char *const *) types);
  guint n_unreadable = count_unreadable_locked (self);
  g_autoptr(GString) message = g_string_new (NULL);

  if (namesake != NULL)
    return strand_plugin_file_judge (namesake, error);

  g_string_append_printf (message, "There is no %s '%s'; ", strand_kind_to_string (kind), type);
  if (types[0] != NULL)
    g_string_append_printf (message, "there %s '%s'", types[1] != NULL ? "are" : "is", names);
  else
    g_string_append_printf (message, "no %s was found at all, so look at STRAND_PLUGIN_PATH",
                            strand_kind_to_string (kind));
  if (nearest != NULL)
    g_string_append_printf (message, "; did you mean '%s'?", nearest);
  if (n_unreadable > 0)
    g_string_append_printf (message, " (%u %s not be read; 'strand plugins' says why)", n_unreadable,
                            n_unreadable == 1 ? "file could" : "files could");
  g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND, message->str);
  return FALSE;
}

/* --- public --- */

/**
 * strand_kind_to_string:
 * @kind: a kind
 *
 * The kind's word, as keyfile groups and `strand plugins` have it: `store`, `middleware`, …
 *
 * Returns: (transfer none): the word
 * Since: 1.0
 */
const char *
strand_kind_to_string (StrandKind kind)
{
  g_return_val_if_fail ((guint) kind <= STRAND_KIND_SCHEDULE, NULL);

  return kind_names[kind];
}

/**
 * strand_kind_from_string:
 * @text: a word
 * @kind: (out): return location for the kind
 *
 * The opposite of [func@Strand.Kind.to_string].
 *
 * Returns: whether @text is a kind's word; if not, @kind is left alone
 * Since: 1.0
 */
gboolean
strand_kind_from_string (const char *text, StrandKind *kind)
{
  g_return_val_if_fail (text != NULL, FALSE);
  g_return_val_if_fail (kind != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (kind_names); i++)
    if (strcmp (text, kind_names[i]) == 0)
      {
        *kind = (StrandKind) i;
        return TRUE;
      }
  return FALSE;
}

/**
 * strand_kind_get_interface:
 * @kind: a kind
 *
 * The interface that every type of the kind implements; of readers and schedules, the class.
 *
 * Returns: the interface's type
 * Since: 1.0
 */
GType
strand_kind_get_interface (StrandKind kind)
{
  switch (kind)
    {
    case STRAND_KIND_TASKRUNNER:
      return STRAND_TYPE_TASKRUNNER;
    case STRAND_KIND_BACKEND:
      return STRAND_TYPE_BACKEND;
    case STRAND_KIND_STORE:
      return STRAND_TYPE_STORE;
    case STRAND_KIND_SERIALIZER:
      return STRAND_TYPE_SERIALIZER;
    case STRAND_KIND_MIDDLEWARE:
      return STRAND_TYPE_MIDDLEWARE;
    case STRAND_KIND_READER:
      return STRAND_TYPE_READER;
    case STRAND_KIND_SCHEDULE:
      return STRAND_TYPE_SCHEDULE;
    default:
      g_return_val_if_reached (G_TYPE_INVALID);
    }
}

/**
 * strand_plugin_info_copy:
 * @self: an info
 *
 * Copies an info.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
StrandPluginInfo *
strand_plugin_info_copy (const StrandPluginInfo *self)
{
  StrandPluginInfo *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_memdup2 (self, sizeof *self);
  copy->file = g_strdup (self->file);
  copy->type = g_strdup (self->type);
  copy->gtype_name = g_strdup (self->gtype_name);
  copy->summary = g_strdup (self->summary);
  copy->plugin_name = g_strdup (self->plugin_name);
  copy->plugin_version = g_strdup (self->plugin_version);
  copy->license = g_strdup (self->license);
  copy->shadowed_by = g_strdup (self->shadowed_by);
  copy->error = self->error != NULL ? g_error_copy (self->error) : NULL;
  return copy;
}

/**
 * strand_plugin_info_free:
 * @self: (transfer full): an info
 *
 * Frees a copy. What is in an array goes with the array.
 *
 * Since: 1.0
 */
void
strand_plugin_info_free (StrandPluginInfo *self)
{
  g_return_if_fail (self != NULL);

  g_free (self->file);
  g_free (self->type);
  g_free (self->gtype_name);
  g_free (self->summary);
  g_free (self->plugin_name);
  g_free (self->plugin_version);
  g_free (self->license);
  g_free (self->shadowed_by);
  g_clear_error (&self->error);
  g_free (self);
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

/**
 * strand_plugins_inspect_file:
 * @file: (type filename): a path
 * @error: return location for a [error@Strand.PluginError]
 *
 * One file's descriptor, read without loading it: one info for each type provided, refused where this process
 * could not use it.
 *
 * Any thread; blocks on the disk.
 *
 * Returns: (transfer container) (element-type StrandPluginInfo): the infos, or %NULL with @error set where
 * the file has no descriptor that can be understood
 *
 * Since: 1.0
 */
GPtrArray *
strand_plugins_inspect_file (const char *file, GError **error)
{
  g_autoptr(StrandPluginFile) plugin = NULL;
  GPtrArray *infos;

  g_return_val_if_fail (file != NULL, NULL);

  plugin = strand_plugin_file_new (file);
  if (plugin->descriptor == NULL)
    {
      strand_plugin_file_judge (plugin, error);
      return NULL;
    }
  infos = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_plugin_info_free);
  plugin_infos_add (infos, plugin, NULL);
  return infos;
}
