/* strand-plugins-private.h — what the files of the plugin host share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin-file-private.h"
#include "strand-plugins.h"

G_BEGIN_DECLS

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

/* "kind/type", under which `known` has a type. */
char *plugins_dup_key (StrandKind kind, const char *type);

/* strand-plugin-folder.c */
PluginFolder *plugin_folder_new (const char *path, gboolean asked);
void plugin_folder_free (gpointer folder);
void plugin_folder_refresh (PluginFolder *self, gboolean afresh);
StrandPluginFile *plugin_folder_ref_file (PluginFolder *self, StrandKind kind, const char *type,
                                          gboolean afresh);
char *plugins_dup_file_name (StrandKind kind, const char *type);

/* strand-plugin-info.c */
StrandPluginInfo *plugin_info_new_refused (const char *file, GError *error);
void plugin_infos_add (GPtrArray *infos, const StrandPluginFile *file, GHashTable *winners);

/* strand-plugins-list.c */
GPtrArray *plugins_list_locked (StrandPlugins *self, gboolean afresh);
GStrv plugins_list_types_locked (StrandPlugins *self, StrandKind kind);
gboolean plugins_set_not_found_locked (StrandPlugins *self, StrandKind kind, const char *type,
                                       GError **error);

G_END_DECLS
