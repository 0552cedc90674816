/* strand-elf-private.h — one section of a shared object, read from the file without loading it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* What a file's first bytes say it was built for. */
typedef struct
{
  gboolean is_64bit;
  gboolean big_endian;
  guint machine; /* EM_X86_64 and its kin */
} StrandElfTarget;

/* Whether @fd is a whole shared object: the right magic, and nothing that is loaded lies past its end. */
gboolean strand_elf_read_target (int fd, StrandElfTarget *target, GError **error);

/* The bytes of the section called @name, which may be at most @max_size long; also fills in @target, of any
 * word size and byte order. A file without such a section is STRAND_PLUGIN_ERROR_NO_DESCRIPTOR. */
GBytes *strand_elf_read_section (int fd, const char *name, gsize max_size, StrandElfTarget *target,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether this process can load what @target says. */
gboolean strand_elf_check_target (const StrandElfTarget *target, GError **error);

G_END_DECLS
