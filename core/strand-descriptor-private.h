/* strand-descriptor-private.h — what a plugin file says of itself.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-elf-private.h"
#include "strand-plugins.h"
#include "strand-trust-private.h"

G_BEGIN_DECLS

typedef struct
{
  StrandKind kind;
  char *type;
  char *gtype_name;
  char *summary;
} StrandProvided;

/* Not changed once read. */
typedef struct
{
  gatomicrefcount refs;
  char *name;
  char *version;
  char *license;
  int abi_major, abi_minor;
  GPtrArray *provided; /* of StrandProvided, in the order of the plugin's array; empty only where the ABI is
                          not ours */
  StrandElfTarget target;
  StrandFileIdentity identity; /* of the file that this was read from */
} StrandDescriptor;

/* Reads the descriptor of @file without loading it. Succeeds for any plugin that can be understood, whether
 * or not this process could use it. */
StrandDescriptor *strand_descriptor_read (const char *file, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same from an open file, and from the text of the section. */
StrandDescriptor *strand_descriptor_read_fd (int fd, GError **error) G_GNUC_WARN_UNUSED_RESULT;
StrandDescriptor *strand_descriptor_parse (const char *data, gsize size,
                                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether this process could use it: built for this machine, and for a plugin interface that we have. */
gboolean strand_descriptor_check (const StrandDescriptor *self, GError **error);

/* Whether @type can be the name of a type: a small letter, then small letters, digits and dashes, 64 at most.
 */
gboolean strand_descriptor_is_type_name (const char *type);

/* The one that is @type of @kind, or NULL; its place in the plugin's array in @index. */
const StrandProvided *strand_descriptor_find (const StrandDescriptor *self, StrandKind kind, const char *type,
                                              guint *index);

StrandDescriptor *strand_descriptor_ref (StrandDescriptor *self);
void strand_descriptor_unref (StrandDescriptor *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandDescriptor, strand_descriptor_unref)

G_END_DECLS
