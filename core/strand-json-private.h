/* strand-json-private.h — JSON as text: the pieces that values (strand-json-read.c, strand-json-write.c) and
 * records (strand-record-json.c) are read from and written with. See strand-json-text.c.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-json.h"

G_BEGIN_DECLS

/* Text being read. It need not end in NUL; nothing at or beyond @end is looked at. */
typedef struct
{
  const char *start, *at, *end;
} StrandJsonText;

/* A string's inside, between the quotes, known to be well-formed. */
typedef struct
{
  const char *data;
  gsize length;
  gboolean has_escapes;
  gboolean has_nul; /* an escaped one; JSON may say it, C strings cannot */
} StrandJsonString;

static inline void
strand_json_skip_space (StrandJsonText *text)
{
  while (text->at < text->end &&
         (*text->at == ' ' || *text->at == '\n' || *text->at == '\r' || *text->at == '\t'))
    text->at++;
}

/* The next character that is not white space, unread; NUL at the end (a NUL in the text fits nowhere either).
 */
static inline char
strand_json_peek (StrandJsonText *text)
{
  strand_json_skip_space (text);
  return text->at < text->end ? *text->at : '\0';
}

static inline gboolean
strand_json_take (StrandJsonText *text, char c)
{
  if (strand_json_peek (text) != c || text->at == text->end)
    return FALSE;
  text->at++;
  return TRUE;
}

void strand_json_text_init (StrandJsonText *text, const char *data, gsize length);

/* Sets STRAND_ERROR_CORRUPT: what was expected at @at, and what is there. Returns FALSE. */
gboolean strand_json_fail (StrandJsonText *text, const char *at, const char *expected, GError **error);

gboolean strand_json_expect (StrandJsonText *text, char c, const char *expected, GError **error);

gboolean strand_json_expect_end (StrandJsonText *text, GError **error);

gboolean strand_json_take_word (StrandJsonText *text, const char *word);

/* Between the elements of an array or object whose opening bracket has been read: @more says whether another
 * one follows; if not, the closing bracket has been read. *first starts as TRUE. */
gboolean strand_json_next (StrandJsonText *text, char close, gboolean *first, gboolean *more, GError **error);

/* The same for objects; the member's name and colon are read too. */
gboolean strand_json_next_member (StrandJsonText *text, gboolean *first, gboolean *more,
                                  StrandJsonString *name, GError **error);

gboolean strand_json_read_string (StrandJsonText *text, StrandJsonString *string, GError **error);

/* Whether the string, escapes undone, is @literal. */
gboolean strand_json_string_equal (const StrandJsonString *string, const char *literal, gsize length);

/* Writes the string with its escapes undone, without a NUL at the end, and returns its length: string->length
 * at most, as an escape is never shorter than what it stands for. */
gsize strand_json_string_unescape (const StrandJsonString *string, char *out);

/* The same in memory of its own, with a NUL; NULL with an error if it holds a NUL. */
char *strand_json_string_dup (StrandJsonText *text, const StrandJsonString *string, GError **error);

gboolean strand_json_read_int (StrandJsonText *text, gint64 minimum, gint64 maximum, gint64 *value,
                               GError **error);

gboolean strand_json_read_uint (StrandJsonText *text, guint64 maximum, guint64 *value, GError **error);

gboolean strand_json_read_double (StrandJsonText *text, double *value, GError **error);

/* Reads past one value of any kind, checking it in full. Does not recurse. */
gboolean strand_json_skip (StrandJsonText *text, GError **error);

/* Whether the bytes are exactly one value: well-formed, and no white space around it. */
gboolean strand_json_is_value (const char *data, gsize length);

guchar *strand_json_decode_base64 (StrandJsonText *text, const StrandJsonString *string, gsize *length,
                                   GError **error);

void strand_json_append_base64 (GString *json, gconstpointer data, gsize length);

void strand_json_append_utf8 (GString *json, const char *text, gsize length);

void strand_json_append_int (GString *json, gint64 value);

void strand_json_append_uint (GString *json, guint64 value);

void strand_json_append_double (GString *json, double value);

/* Whether no two of the strings are equal. */
gboolean strand_json_are_distinct (GPtrArray *keys);

/* Bytes of one element where GVariant can lend all of them as a C array, and they are worth it; else 0. */
static inline gsize
strand_json_fixed_size (char type)
{
  switch (type)
    {
    case 'b':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

static inline gboolean
strand_json_is_string_type (char type)
{
  return type == 's' || type == 'o' || type == 'g';
}

/* Reads one value of a definite type from where @text stands. Floating. */
GVariant *strand_json_read_variant (StrandJsonText *text, const GVariantType *type, GError **error);

/* Whether @value nests at most STRAND_JSON_MAX_DEPTH deep. */
gboolean strand_json_can_hold (GVariant *value);

G_END_DECLS
