/* strand-json.h — JSON text that is exact for every GVariant type.
 *
 * Natural where JSON can say it (numbers, strings, arrays, objects for dictionaries with string keys),
 * with documented encodings where it cannot (see docs/record-format.md). The reader is strict, reads
 * hostile text without recursion deeper than STRAND_JSON_MAX_DEPTH, and converts only to a given type.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * STRAND_JSON_MAX_DEPTH:
 *
 * How deep a value may nest: as deep as a #GVariant that is read from bytes, so every value that can be
 * stored can be written as JSON.
 *
 * Since: 1.0
 */
#define STRAND_JSON_MAX_DEPTH 128

/* Appends @value as JSON; FALSE (and nothing appended) only if it nests deeper than STRAND_JSON_MAX_DEPTH. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_json_append_variant (GString *json, GVariant *value);

/* Appends @text as a JSON string, quotes included; invalid UTF-8 is replaced by U+FFFD. NULL is null. */
STRAND_AVAILABLE_IN_ALL
void strand_json_append_string (GString *json, const char *text);

/* Reads one JSON value of a definite @type; nothing but white space may follow. Not floating. */
STRAND_AVAILABLE_IN_ALL
GVariant *strand_json_to_variant (const char *json, gssize length, const GVariantType *type,
                                  GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
