/* strand-trust-private.h — whose code this process may run.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/* Tells a file from any other that bears, or bore, its name. */
typedef struct
{
  guint64 device;
  guint64 inode;
  gint64 ctime_ns;
} StrandFileIdentity;

void strand_file_identity_init (StrandFileIdentity *self, const struct stat *st);
gboolean strand_file_identity_equal (const StrandFileIdentity *a, const StrandFileIdentity *b);

/* Opens a file that may be anything for reading, without hanging on a pipe. -1 with NOT_FOUND or UNREADABLE.
 */
int strand_trust_open (const char *file, GError **error);

/* The real path of @file, once only people who may do anything to us anyway can change what lies there:
 * STRAND_PLUGIN_ERROR_UNTRUSTED_FILE or _PARENT names the component and its mode. @builtin is a folder whose
 * content is trusted as it is, or NULL. */
char *strand_trust_check (const char *file, const char *builtin, StrandFileIdentity *identity,
                          GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* One component, seen by a process of effective user @user. */
gboolean strand_trust_check_component (const char *path, const struct stat *st, gboolean is_parent,
                                       uid_t user, GError **error);

/* Whether this program has more rights than who started it, so that their environment chooses no code. */
gboolean strand_trust_is_privileged (void);

/* A variable that chooses code; NULL in a privileged program. */
const char *strand_trust_getenv (const char *name);

G_END_DECLS
