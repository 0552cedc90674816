/* strand-plugins.h — finds plugin files, reads what they say of themselves, loads the ones that are used.
 *
 * Listing never runs a plugin's code: the description lies in a section of the file and is read with plain
 * file reads. Loading happens at first use of a type, once, and for good.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * StrandKind:
 * @STRAND_KIND_TASKRUNNER: where code runs
 * @STRAND_KIND_BACKEND: launches stored calls and looks after them
 * @STRAND_KIND_STORE: keeps records
 * @STRAND_KIND_SERIALIZER: values to bytes and back
 * @STRAND_KIND_MIDDLEWARE: wraps calls
 * @STRAND_KIND_READER: runs calls that others left in a store: a group of keyfiles, but no plugin's
 * @STRAND_KIND_SCHEDULE: leaves a call in a store again and again: likewise
 *
 * What a keyfile's groups are of. The first %STRAND_N_KINDS of them are the things that can be plugged in.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_KIND_TASKRUNNER,
  STRAND_KIND_BACKEND,
  STRAND_KIND_STORE,
  STRAND_KIND_SERIALIZER,
  STRAND_KIND_MIDDLEWARE,
  STRAND_KIND_READER,
  STRAND_KIND_SCHEDULE,
} StrandKind;

/* The kinds that plugins provide. */
/**
 * STRAND_N_KINDS:
 *
 * How many kinds of things can be plugged in.
 *
 * Since: 1.0
 */
#define STRAND_N_KINDS 5

#define STRAND_TYPE_KIND (strand_kind_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_kind_get_type (void);

STRAND_AVAILABLE_IN_ALL
const char *strand_kind_to_string (StrandKind kind);

STRAND_AVAILABLE_IN_ALL
gboolean strand_kind_from_string (const char *text, StrandKind *kind);

STRAND_AVAILABLE_IN_ALL
GType strand_kind_get_interface (StrandKind kind);

/**
 * StrandPluginState:
 * @STRAND_PLUGIN_STATE_AVAILABLE: can be loaded when somebody uses it
 * @STRAND_PLUGIN_STATE_LOADED: is loaded
 * @STRAND_PLUGIN_STATE_SHADOWED: a file earlier on the path provides the same type
 * @STRAND_PLUGIN_STATE_REFUSED: cannot be used; the error says why
 *
 * What became of a candidate.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_PLUGIN_STATE_AVAILABLE,
  STRAND_PLUGIN_STATE_LOADED,
  STRAND_PLUGIN_STATE_SHADOWED,
  STRAND_PLUGIN_STATE_REFUSED,
} StrandPluginState;

#define STRAND_TYPE_PLUGIN_STATE (strand_plugin_state_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_plugin_state_get_type (void);

/**
 * StrandPluginInfo:
 * @file: real path, or the search path's element where that itself is refused
 * @kind_known: %FALSE for a file that could not be understood; then type, GType name and summary are %NULL
 * @kind: which of the five it is
 * @type: (nullable): what `type=` in a keyfile names
 * @gtype_name: (nullable): the class that implements it
 * @summary: (nullable): one line
 * @plugin_name: (nullable): the plugin's name
 * @plugin_version: (nullable): its own version
 * @license: (nullable): an SPDX expression
 * @abi_major: plugin interface it was built for, or -1
 * @abi_minor: the newest minor of it that it uses, or -1
 * @state: what became of it
 * @shadowed_by: (nullable): the file that stands before it
 * @error: (nullable): of domain %STRAND_PLUGIN_ERROR, where shadowed or refused
 *
 * One type that one file provides, or a file that could not be understood. Read-only.
 *
 * Since: 1.0
 */
typedef struct
{
  char *file; /* real path, or the search path's element where that itself is refused */
  gboolean kind_known;
  StrandKind kind;
  char *type; /* what `type=` in a keyfile names */
  char *gtype_name;
  char *summary; /* one line */
  char *plugin_name;
  char *plugin_version;
  char *license;
  int abi_major, abi_minor; /* -1 where unknown */
  StrandPluginState state;
  char *shadowed_by; /* file, where shadowed */
  GError *error;     /* domain STRAND_PLUGIN_ERROR, where shadowed or refused */
} StrandPluginInfo;

#define STRAND_TYPE_PLUGIN_INFO (strand_plugin_info_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_plugin_info_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandPluginInfo *strand_plugin_info_copy (const StrandPluginInfo *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_plugin_info_free (StrandPluginInfo *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandPluginInfo, strand_plugin_info_free)

#define STRAND_TYPE_PLUGINS (strand_plugins_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_FINAL_TYPE (StrandPlugins, strand_plugins, STRAND, PLUGINS, GObject)

/* The first file on the search path that says it provides a type is the one, even if it is refused: a broken
 * plugin is an error where it is used, and nothing else silently steps in. Within a folder a type's namesake
 * (sqlite-store.so for store sqlite) comes first, then files go by name.
 *
 * The process's own host, searching STRAND_PLUGIN_PATH (not under AT_SECURE), the folders added with
 * strand_plugins_add_path(), $XDG_DATA_HOME/strand-1/plugins, and the installed folder. Any thread. */
STRAND_AVAILABLE_IN_ALL
StrandPlugins *strand_plugins_get_default (void);

/* One that searches these folders and no other. What the process has loaded is shared by all hosts. */
STRAND_AVAILABLE_IN_ALL
StrandPlugins *strand_plugins_new (const char *const *folders) G_GNUC_WARN_UNUSED_RESULT;

/* A keyfile's plugin-path: after the environment's, before the others. A folder that is there is not added
 * twice. */
STRAND_AVAILABLE_IN_ALL
void strand_plugins_add_path (StrandPlugins *self, const char *folder);

/* Every candidate, in order of precedence. Reads folders and descriptors afresh; blocks on the disk only. */
STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_plugins_list (StrandPlugins *self) G_GNUC_WARN_UNUSED_RESULT;

/* The types available of a kind, sorted, for "what is allowed" in messages. */
STRAND_AVAILABLE_IN_ALL
GStrv strand_plugins_list_types (StrandPlugins *self, StrandKind kind) G_GNUC_WARN_UNUSED_RESULT;

/* Whether a type is there, without loading it; the error is why not (STRAND_PLUGIN_ERROR_NOT_FOUND with the
 * types there are and the nearest name, or the reason why the file that has it was refused). */
STRAND_AVAILABLE_IN_ALL
gboolean strand_plugins_has (StrandPlugins *self, StrandKind kind, const char *type, GError **error);

/* The type's GType, loading its file if need be. Types registered with strand_plugins_add_type() come first.
 */
STRAND_AVAILABLE_IN_ALL
GType strand_plugins_load (StrandPlugins *self, StrandKind kind, const char *type, GError **error);

STRAND_AVAILABLE_IN_ALL
const char *strand_plugins_get_type_name (GType gtype);

/* A program's own implementation, under a name that keyfiles can use. Must implement the kind's interface. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_plugins_add_type (StrandPlugins *self, StrandKind kind, const char *type, GType gtype,
                                  GError **error);

/* One file's descriptor, read without loading it; one info for each type provided. */
STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_plugins_inspect_file (const char *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
