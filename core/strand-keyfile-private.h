/* strand-keyfile-private.h — the text of a keyfile, with the line of everything in it.
 *
 * Reads what GKeyFile reads, but merges nothing and forgets nothing: GKeyFile gives no line numbers, joins
 * groups of one name and lets the last of two keys win, so it cannot tell a person what is wrong.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-problem.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* Who has more to say than this has not written a keyfile. */
#define STRAND_KEYFILE_MAX_BYTES (256 * 1024)
#define STRAND_KEYFILE_MAX_PROBLEMS 200

typedef struct
{
  char *key;
  char *raw; /* the value as it stands in the file, with its escapes */
  guint line;
} StrandKeyfileEntry;

typedef struct
{
  char *title;
  guint line;
  gboolean duplicate;  /* a group of this title stands further up */
  gboolean unreadable; /* a line of it is no text */
  GPtrArray *entries;  /* of StrandKeyfileEntry, without duplicates */
  GHashTable *by_key;
} StrandKeyfileGroup;

typedef struct
{
  char *file;
  GPtrArray *groups; /* of StrandKeyfileGroup */
} StrandKeyfile;

/* Never NULL: what can be read is read, what is wrong is added to @problems (of StrandProblem). */
StrandKeyfile *strand_keyfile_parse (const char *data, gsize length, const char *file, GPtrArray *problems);
void strand_keyfile_free (StrandKeyfile *self);

/* Adds a mistake, up to STRAND_KEYFILE_MAX_PROBLEMS. */
void strand_keyfile_add_problem (GPtrArray *problems, const char *file, guint line, const char *group,
                                 const char *key, const char *format, ...) G_GNUC_PRINTF (6, 7);

StrandKeyfileEntry *strand_keyfile_group_lookup (StrandKeyfileGroup *self, const char *key);

/* A piece of text for a message: short, and without what a terminal would act on. */
char *strand_keyfile_excerpt (const char *text, gsize length);

/* One value; one value's `;` list; and the way back. */
char *strand_keyfile_unescape (const char *raw, GError **error);
GStrv strand_keyfile_split (const char *raw, GError **error);
void strand_keyfile_escape (GString *out, const char *text, gboolean in_list);

/* Replaces ${VAR}, ${VAR:-x} and $$. The names of the variables read are added to @variables. */
char *strand_keyfile_expand (const char *text, GPtrArray *variables, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandKeyfile, strand_keyfile_free)

G_END_DECLS
