/* strand-plugin-file-private.h — one plugin file: read, judged, loaded once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-descriptor-private.h"

G_BEGIN_DECLS

/* Not changed once made. */
typedef struct
{
  gatomicrefcount refs;
  char *path;                   /* real, or as it was found where it leads nowhere */
  char *name;                   /* in the folder where it was found, which may be a link's */
  StrandDescriptor *descriptor; /* or NULL, then */
  GError *error;                /* says why it could not be read */
} StrandPluginFile;

/* Reads what @path says of itself. Never fails: a file that cannot be read is one with an error. */
StrandPluginFile *strand_plugin_file_new (const char *path) G_GNUC_WARN_UNUSED_RESULT;

/* Every file of @folder whose name ends in ".so", sorted by name. */
GPtrArray *strand_plugin_file_scan (const char *folder, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether the file is still the one that was read. */
gboolean strand_plugin_file_is_current (const StrandPluginFile *self);

/* Whether it could be loaded, as far as can be told without doing so. */
gboolean strand_plugin_file_judge (const StrandPluginFile *self, GError **error);

/* Whether this process has loaded it. */
gboolean strand_plugin_file_is_loaded (const StrandPluginFile *self);

/* Why the last try to load just this file failed, or NULL. */
GError *strand_plugin_file_dup_failure (const StrandPluginFile *self) G_GNUC_WARN_UNUSED_RESULT;

/* The GType of one of its types, loading it if this process has not yet. Runs the plugin's constructors. */
GType strand_plugin_file_load (const StrandPluginFile *self, StrandKind kind, const char *type,
                               GError **error);

/* Prefixes @error with the file's path. FALSE, for returning. */
gboolean strand_plugin_file_prefix (const char *path, GError **error);

StrandPluginFile *strand_plugin_file_ref (StrandPluginFile *self);
void strand_plugin_file_unref (StrandPluginFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandPluginFile, strand_plugin_file_unref)

G_END_DECLS
