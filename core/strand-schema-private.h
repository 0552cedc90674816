/* strand-schema-private.h — a GParamSpec read as the description of what a person may write.
 *
 * Pure: text and values in, values and text out. No file, no environment, no keyfile is known here.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugins.h"

G_BEGIN_DECLS

typedef enum
{
  STRAND_SCHEMA_NONE,       /* not to be set from text */
  STRAND_SCHEMA_SCALAR,     /* one value */
  STRAND_SCHEMA_LIST,       /* several, with `;` between */
  STRAND_SCHEMA_REFERENCE,  /* the name of another object */
  STRAND_SCHEMA_REFERENCES, /* the names of several middlewares, outermost first */
} StrandSchemaForm;

/* How a property is written; @kind is set for the last two. */
StrandSchemaForm strand_schema_get_form (GParamSpec *pspec, StrandKind *kind);

/* What the numbers of a type may be; FALSE if it has none of that sort. */
gboolean strand_schema_signed_range (GParamSpec *pspec, gint64 *minimum, gint64 *maximum);
gboolean strand_schema_unsigned_range (GParamSpec *pspec, guint64 *minimum, guint64 *maximum);
gboolean strand_schema_float_range (GParamSpec *pspec, double *minimum, double *maximum);
gboolean strand_schema_is_duration (GParamSpec *pspec);
gboolean strand_schema_is_size (GParamSpec *pspec);

/* What may be written, for a person: "a whole number from 1 to 64". */
char *strand_schema_describe (GParamSpec *pspec);

/* Text to value; @value is initialized on success only. The error says what is wrong and what is allowed. */
gboolean strand_schema_read (GParamSpec *pspec, const char *text, GValue *value, GError **error);
gboolean strand_schema_read_list (GParamSpec *pspec, const char *const *items, GValue *value, GError **error);

/* Value to text: strand_schema_read() of it gives the value again. Lists come as a keyfile writes them. Not
 * for references; shows secrets. */
char *strand_schema_print (GParamSpec *pspec, const GValue *value);

/* "; the ones there are: a, b; did you mean 'b'?", for a word that is not among @words. */
char *strand_schema_hint (const char *word, const char *const *words, const char *what);

G_END_DECLS
