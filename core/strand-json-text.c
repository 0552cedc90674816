/* strand-json-text.c — the lexical half of JSON: strings, numbers, brackets, and what is wrong with them.
 *
 * Strict as RFC 8259, and UTF-8 only. The text comes from anywhere, so nothing here recurses, allocates by a
 * number that the text gives, or looks beyond its end. Runs of plain characters are passed eight at a time,
 * since reading a record is mostly that, and a store reads records all day.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-json-private.h"

#include <math.h>
#include <string.h>

#include "strand-error.h"

/* A set of eight bytes: each of them with its top bit alone, or with 01 in it. */
#define TOPS G_GUINT64_CONSTANT (0x8080808080808080)
#define ONES G_GUINT64_CONSTANT (0x0101010101010101)

static gboolean
is_digit (const char *at, const char *end)
{
  return at < end && *at >= '0' && *at <= '9';
}

/* Whether c stands for itself in a string: printable ASCII that is neither quote nor backslash. */
static gboolean
is_plain (guchar c)
{
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The first character at or after @at that is not plain. */
static const char *
skip_plain (const char *at, const char *end)
{
  while (end - at >= 8)
    {
      guint64 word, quote, backslash;

      memcpy (&word, at, 8);
      quote = word ^ (ONES * '"');
      backslash = word ^ (ONES * '\\');
      /* A byte's top bit is set in (x - 1) where x was 0, and in (word - 0x20) where it was a control
       * character. A borrow may set it in a byte further up too: then one of the eight was not plain anyway.
       */
      if (((word | (word - ONES * 0x20) | (quote - ONES) | (backslash - ONES)) & TOPS) != 0)
        break;
      at += 8;
    }
  while (at < end && is_plain ((guchar) *at))
    at++;

  return at;
}

void
strand_json_text_init (StrandJsonText *text, const char *data, gsize length)
{
  text->start = text->at = length > 0 ? data : ""; /* empty bytes may have no data at all */
  text->end = text->start + length;
}

gboolean
strand_json_fail (StrandJsonText *text, const char *at, const char *expected, GError **error)
{
  char found[32];

  if (at >= text->end)
    g_strlcpy (found, "the end", sizeof found);
  else if (g_ascii_isprint (*at))
    g_snprintf (found, sizeof found, "'%c'", *at);
  else
    g_snprintf (found, sizeof found, "byte 0x%02x", (guchar) *at);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "expected %s at byte %" G_GSIZE_FORMAT ", found %s",
               expected, (gsize) (at - text->start), found);
  return FALSE;
}

gboolean
strand_json_expect (StrandJsonText *text, char c, const char *expected, GError **error)
{
  return strand_json_take (text, c) || strand_json_fail (text, text->at, expected, error);
}

gboolean
strand_json_expect_end (StrandJsonText *text, GError **error)
{
  strand_json_skip_space (text);
  return text->at == text->end || strand_json_fail (text, text->at, "nothing more", error);
}

gboolean
strand_json_take_word (StrandJsonText *text, const char *word)
{
  gsize length = strlen (word);

  if (strand_json_peek (text) != *word || (gsize) (text->end - text->at) < length ||
      memcmp (text->at, word, length) != 0)
    return FALSE;
  text->at += length;
  return TRUE;
}

gboolean
strand_json_next (StrandJsonText *text, char close, gboolean *first, gboolean *more, GError **error)
{
  gboolean was_first = *first;

  *first = FALSE;
  *more = FALSE;
  if (strand_json_take (text, close))
    return TRUE;

  *more = TRUE;
  if (!was_first && !strand_json_take (text, ','))
    return strand_json_fail (text, text->at, close == ']' ? "',' or ']'" : "',' or '}'", error);
  return TRUE;
}

gboolean
strand_json_next_member (StrandJsonText *text, gboolean *first, gboolean *more, StrandJsonString *name,
                         GError **error)
{
  if (!strand_json_next (text, '}', first, more, error))
    return FALSE;
  if (!*more)
    return TRUE;

  if (strand_json_peek (text) != '"')
    return strand_json_fail (text, text->at, "a member's name", error);
  return strand_json_read_string (text, name, error) && strand_json_expect (text, ':', "':'", error);
}

/* Four hexadecimal digits at @at; -1 if they are not. */
static int
hex4 (const char *at, const char *end)
{
  int value = 0;

  if (end - at < 4)
    return -1;
  for (int i = 0; i < 4; i++)
    {
      int digit = g_ascii_xdigit_value (at[i]);

      if (digit < 0)
        return -1;
      value = value * 16 + digit;
    }

  return value;
}

/* The character that the escape at @at (behind the backslash) stands for, and its length; 0 if it is none. */
static gsize
read_escape (const char *at, const char *end, gunichar *character)
{
  static const char names[] = "\"\\/bfnrt";
  static const char meanings[] = "\"\\/\b\f\n\r\t";
  const char *name;
  int unit, low;

  if (at == end || *at == '\0')
    return 0;
  if (*at != 'u')
    {
      name = strchr (names, *at);
      if (name == NULL)
        return 0;
      *character = (gunichar) meanings[name - names];
      return 1;
    }

  unit = hex4 (at + 1, end);
  if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
    return 0;
  *character = (gunichar) unit;
  if (unit < 0xd800 || unit > 0xdbff)
    return 5;

  /* A high surrogate means nothing without its low one. */
  if (end - at < 11 || at[5] != '\\' || at[6] != 'u')
    return 0;
  low = hex4 (at + 7, end);
  if (low < 0xdc00 || low > 0xdfff)
    return 0;
  *character = 0x10000 + (((gunichar) unit - 0xd800) << 10) + ((gunichar) low - 0xdc00);
  return 11;
}

gboolean
strand_json_read_string (StrandJsonText *text, StrandJsonString *string, GError **error)
{
  const char *start, *at, *invalid;
  gboolean ascii = TRUE;
  gunichar character = 0;
  gsize length;

  if (!strand_json_expect (text, '"', "a string", error))
    return FALSE;

  start = at = text->at;
  string->has_escapes = string->has_nul = FALSE;
  while ((at = skip_plain (at, text->end)) < text->end && *at != '"')
    {
      if ((guchar) *at >= 0x80)
        {
          ascii = FALSE;
          at++;
          continue;
        }
      if (*at != '\\')
        return strand_json_fail (text, at, "an escaped control character", error);
      length = read_escape (at + 1, text->end, &character);
      if (length == 0)
        return strand_json_fail (text, at, "a valid escape", error);
      string->has_escapes = TRUE;
      string->has_nul |= character == 0;
      at += 1 + length;
    }
  if (at == text->end)
    return strand_json_fail (text, at, "'\"'", error);
  if (!ascii && !g_utf8_validate_len (start, (gsize) (at - start), &invalid))
    return strand_json_fail (text, invalid, "UTF-8", error);

  string->data = start;
  string->length = (gsize) (at - start);
  text->at = at + 1;
  return TRUE;
}

gsize
strand_json_string_unescape (const StrandJsonString *string, char *out)
{
  const char *at = string->data, *end = string->data + string->length;
  char *start = out;
  gunichar character = 0;

  if (!string->has_escapes)
    {
      memcpy (out, at, string->length);
      return string->length;
    }

  while (at < end)
    {
      const char *backslash = memchr (at, '\\', (gsize) (end - at));
      gsize run = (gsize) ((backslash != NULL ? backslash : end) - at);

      memcpy (out, at, run);
      out += run;
      at += run;
      if (backslash != NULL)
        {
          at += 1 + read_escape (at + 1, end, &character);
          out += g_unichar_to_utf8 (character, out);
        }
    }

  return (gsize) (out - start);
}

gboolean
strand_json_string_equal (const StrandJsonString *string, const char *literal, gsize length)
{
  g_autofree char *plain = NULL;

  if (!string->has_escapes)
    return string->length == length && memcmp (string->data, literal, length) == 0;

  plain = g_malloc (string->length);
  return strand_json_string_unescape (string, plain) == length && memcmp (plain, literal, length) == 0;
}

char *
strand_json_string_dup (StrandJsonText *text, const StrandJsonString *string, GError **error)
{
  char *plain;

  if (string->has_nul)
    {
      strand_json_fail (text, string->data, "a string without NUL", error);
      return NULL;
    }

  plain = g_malloc (string->length + 1);
  plain[strand_json_string_unescape (string, plain)] = '\0';
  return plain;
}

/* The end of the number at @at, or NULL if there is none. */
static const char *
scan_number (const char *at, const char *end, gboolean *integral)
{
  *integral = TRUE;
  if (at < end && *at == '-')
    at++;
  if (!is_digit (at, end))
    return NULL;
  if (*at == '0')
    at++;
  else
    while (is_digit (at, end))
      at++;

  if (at < end && *at == '.')
    {
      *integral = FALSE;
      if (!is_digit (++at, end))
        return NULL;
      while (is_digit (at, end))
        at++;
    }
  if (at < end && (*at == 'e' || *at == 'E'))
    {
      *integral = FALSE;
      at++;
      if (at < end && (*at == '+' || *at == '-'))
        at++;
      if (!is_digit (at, end))
        return NULL;
      while (is_digit (at, end))
        at++;
    }

  return at;
}

/* An integer, as sign and magnitude; FALSE also where the magnitude does not fit. */
static gboolean
scan_integer (StrandJsonText *text, gboolean *negative, guint64 *magnitude, const char **after)
{
  const char *at = text->at;
  gboolean integral;

  *after = scan_number (at, text->end, &integral);
  if (*after == NULL || !integral)
    return FALSE;

  *negative = *at == '-';
  *magnitude = 0;
  for (at += *negative; at < *after; at++)
    if (!g_uint64_checked_mul (magnitude, *magnitude, 10) ||
        !g_uint64_checked_add (magnitude, *magnitude, (guint64) (*at - '0')))
      return FALSE;

  return TRUE;
}

gboolean
strand_json_read_int (StrandJsonText *text, gint64 minimum, gint64 maximum, gint64 *value, GError **error)
{
  char expected[80];
  const char *after;
  gboolean negative;
  guint64 magnitude;
  gint64 read;

  strand_json_skip_space (text);
  if (scan_integer (text, &negative, &magnitude, &after) &&
      magnitude <= (guint64) G_MAXINT64 + (negative ? 1 : 0))
    {
      read = negative ? (gint64) (0 - magnitude) : (gint64) magnitude;
      if (read >= minimum && read <= maximum)
        {
          *value = read;
          text->at = after;
          return TRUE;
        }
    }

  g_snprintf (expected, sizeof expected, "an integer from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, minimum,
              maximum);
  return strand_json_fail (text, text->at, expected, error);
}

gboolean
strand_json_read_uint (StrandJsonText *text, guint64 maximum, guint64 *value, GError **error)
{
  char expected[80];
  const char *after;
  gboolean negative;
  guint64 magnitude;

  strand_json_skip_space (text);
  if (scan_integer (text, &negative, &magnitude, &after) && magnitude <= maximum &&
      (!negative || magnitude == 0))
    {
      *value = magnitude;
      text->at = after;
      return TRUE;
    }

  g_snprintf (expected, sizeof expected, "an integer from 0 to %" G_GUINT64_FORMAT, maximum);
  return strand_json_fail (text, text->at, expected, error);
}

/* Numbers that JSON cannot say are strings: "inf", "-inf", "nan", and "nan:" with the 16 hexadecimal digits
 * of any other not-a-number. */
static gboolean
read_named_double (StrandJsonText *text, double *value, GError **error)
{
  const char *at = text->at;
  StrandJsonString name;
  union
  {
    guint64 bits;
    double real;
  } pun = { .bits = 0 };

  if (!strand_json_read_string (text, &name, error))
    return FALSE;
  if (strand_json_string_equal (&name, "inf", 3))
    *value = INFINITY;
  else if (strand_json_string_equal (&name, "-inf", 4))
    *value = -INFINITY;
  else if (strand_json_string_equal (&name, "nan", 3))
    *value = NAN;
  else
    {
      gboolean valid = !name.has_escapes && name.length == 20 && memcmp (name.data, "nan:", 4) == 0;

      for (gsize i = 4; valid && i < 20; i++)
        {
          int digit = g_ascii_xdigit_value (name.data[i]);

          valid = digit >= 0;
          pun.bits = pun.bits << 4 | (guint64) (digit & 15);
        }
      if (!valid || !isnan (pun.real))
        return strand_json_fail (text, at, "a number, \"inf\", \"-inf\" or \"nan\"", error);
      *value = pun.real;
    }

  return TRUE;
}

gboolean
strand_json_read_double (StrandJsonText *text, double *value, GError **error)
{
  char buffer[64];
  g_autofree char *heap = NULL;
  char *digits = buffer;
  const char *after;
  gboolean integral;
  gsize length;
  double read;

  if (strand_json_peek (text) == '"')
    return read_named_double (text, value, error);
  after = scan_number (text->at, text->end, &integral);
  if (after == NULL)
    return strand_json_fail (text, text->at, "a number, \"inf\", \"-inf\" or \"nan\"", error);

  length = (gsize) (after - text->at);
  if (length >= sizeof buffer)
    digits = heap = g_malloc (length + 1);
  memcpy (digits, text->at, length);
  digits[length] = '\0';
  read = g_ascii_strtod (digits, NULL);
  if (isinf (read))
    return strand_json_fail (text, text->at, "a number that a double can hold", error);

  *value = read;
  text->at = after;
  return TRUE;
}

/* One of the values that hold no others. */
static gboolean
skip_scalar (StrandJsonText *text, GError **error)
{
  StrandJsonString string;
  const char *after;
  gboolean integral;

  if (strand_json_peek (text) == '"')
    return strand_json_read_string (text, &string, error);
  if (strand_json_take_word (text, "true") || strand_json_take_word (text, "false") ||
      strand_json_take_word (text, "null"))
    return TRUE;

  after = scan_number (text->at, text->end, &integral);
  if (after == NULL)
    return strand_json_fail (text, text->at, "a value", error);
  text->at = after;
  return TRUE;
}

gboolean
strand_json_skip (StrandJsonText *text, GError **error)
{
  char closes[STRAND_JSON_MAX_DEPTH]; /* what closes each bracket that is open */
  guint depth = 0;
  gboolean first = TRUE, more = TRUE;
  StrandJsonString name;

  for (;;)
    {
      /* A value starts here. */
      char c = strand_json_peek (text);

      if (c == '[' || c == '{')
        {
          if (depth == STRAND_JSON_MAX_DEPTH)
            return strand_json_fail (
                text, text->at, "at most " G_STRINGIFY (STRAND_JSON_MAX_DEPTH) " nested brackets", error);
          closes[depth++] = c == '[' ? ']' : '}';
          text->at++;
          first = TRUE;
        }
      else if (!skip_scalar (text, error))
        return FALSE;

      /* Close what ends here, up to the next value. */
      for (more = FALSE; depth > 0 && !more;)
        {
          gboolean ok = closes[depth - 1] == ']'
                            ? strand_json_next (text, ']', &first, &more, error)
                            : strand_json_next_member (text, &first, &more, &name, error);

          if (!ok)
            return FALSE;
          if (!more)
            depth--;
        }
      if (!more)
        return TRUE;
    }
}

gboolean
strand_json_is_value (const char *data, gsize length)
{
  StrandJsonText text;

  if (length == 0 || strchr (" \n\r\t", data[0]) != NULL)
    return FALSE;
  strand_json_text_init (&text, data, length);
  return strand_json_skip (&text, NULL) && text.at == text.end;
}

static int
base64_value (char c)
{
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  if (c == '+')
    return 62;
  return c == '/' ? 63 : -1;
}

/* g_base64_decode() takes anything; what is not the one encoding of some bytes is refused here. */
guchar *
strand_json_decode_base64 (StrandJsonText *text, const StrandJsonString *string, gsize *length,
                           GError **error)
{
  const char *data = string->data;
  gsize n = string->length, n_pad = 0, n_out = 0;
  g_autofree guchar *out = g_malloc (n / 4 * 3 + 1);
  g_autofree char *plain = NULL;
  guint bits = 0, n_bits = 0;

  /* JSON may write a slash as "\/". */
  if (string->has_escapes)
    {
      plain = g_malloc (n);
      n = strand_json_string_unescape (string, plain);
      data = plain;
    }
  while (n_pad < 2 && n_pad < n && data[n - 1 - n_pad] == '=')
    n_pad++;
  for (gsize i = 0; n % 4 == 0 && i < n - n_pad; i++)
    {
      int value = base64_value (data[i]);

      if (value < 0)
        {
          n = 1;
          break;
        }
      bits = (bits << 6 | (guint) value) & 0xffff;
      n_bits += 6;
      if (n_bits >= 8)
        {
          n_bits -= 8;
          out[n_out++] = (guchar) (bits >> n_bits);
        }
    }

  if (n % 4 != 0 || (bits & ((1u << n_bits) - 1)) != 0)
    {
      strand_json_fail (text, string->data, "base64", error);
      return NULL;
    }
  *length = n_out;
  return g_steal_pointer (&out);
}

void
strand_json_append_base64 (GString *json, gconstpointer data, gsize length)
{
  gsize position = json->len + 1;
  int state = 0, save = 0;

  /* What g_base64_encode_step() and _close() need at most. */
  g_string_set_size (json, position + (length / 3 + 1) * 4 + 4);
  json->str[position - 1] = '"';
  if (length > 0)
    position += g_base64_encode_step (data, length, FALSE, json->str + position, &state, &save);
  position += g_base64_encode_close (FALSE, json->str + position, &state, &save);
  g_string_truncate (json, position);
  g_string_append_c (json, '"');
}

static void
append_escape (GString *json, char c)
{
  switch (c)
    {
    case '"':
      g_string_append_len (json, "\\\"", 2);
      break;
    case '\\':
      g_string_append_len (json, "\\\\", 2);
      break;
    case '\n':
      g_string_append_len (json, "\\n", 2);
      break;
    case '\t':
      g_string_append_len (json, "\\t", 2);
      break;
    case '\r':
      g_string_append_len (json, "\\r", 2);
      break;
    default:
      g_string_append_printf (json, "\\u%04x", (guchar) c);
      break;
    }
}

/* @text must be valid UTF-8. */
void
strand_json_append_utf8 (GString *json, const char *text, gsize length)
{
  const char *run = text, *at = text, *end = text + length;

  g_string_append_c (json, '"');
  while ((at = skip_plain (at, end)) < end)
    {
      if ((guchar) *at < 0x80)
        {
          g_string_append_len (json, run, at - run);
          append_escape (json, *at);
          run = at + 1;
        }
      at++;
    }
  g_string_append_len (json, run, at - run);
  g_string_append_c (json, '"');
}

void
strand_json_append_uint (GString *json, guint64 value)
{
  char digits[20]; /* 2^64 has as many */
  gsize i = sizeof digits;

  do
    {
      digits[--i] = (char) ('0' + value % 10);
      value /= 10;
    }
  while (value > 0);

  g_string_append_len (json, digits + i, (gssize) (sizeof digits - i));
}

void
strand_json_append_int (GString *json, gint64 value)
{
  if (value < 0)
    g_string_append_c (json, '-');
  strand_json_append_uint (json, value < 0 ? 0 - (guint64) value : (guint64) value);
}

static void
append_not_a_number (GString *json, double value)
{
  union
  {
    double real;
    guint64 bits;
  } pun = { .real = value }, usual = { .real = NAN };

  if (pun.bits == usual.bits)
    g_string_append (json, "\"nan\"");
  else
    g_string_append_printf (json, "\"nan:%016" G_GINT64_MODIFIER "x\"", pun.bits);
}

void
strand_json_append_double (GString *json, double value)
{
  char digits[G_ASCII_DTOSTR_BUF_SIZE];
  static const char *const formats[] = { "%.15g", "%.16g", "%.17g" }; /* the last is always exact */

  if (isnan (value))
    {
      append_not_a_number (json, value);
      return;
    }
  if (isinf (value))
    {
      g_string_append (json, value > 0 ? "\"inf\"" : "\"-inf\"");
      return;
    }

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_ascii_formatd (digits, sizeof digits, formats[i], value);
      if (g_ascii_strtod (digits, NULL) == value)
        break;
    }
  g_string_append (json, digits);
  /* Tells a reader without types that this is not an integer. */
  if (strpbrk (digits, ".e") == NULL)
    g_string_append_len (json, ".0", 2);
}
