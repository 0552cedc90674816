/* strand-param.c — durations and sizes as people write them, and the word that was probably meant.
 *
 * Both kinds of text are a sum of numbers with units, read exactly: no floating point, so `0.1s` is 100000
 * microseconds on every machine, and a value that does not fit or is finer than the unit it is kept in is
 * an error rather than a rounding. A bare number is no duration (30 of what?), but it is a size.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-param.h"
#include "strand-error.h"

#include <string.h>

typedef struct
{
  const char *name;
  gint64 factor;
} Unit;

/* From the largest down: a text names them in this order, each at most once. */
static const Unit duration_units[] = {
  { "w", G_GINT64_CONSTANT (604800000000) },
  { "d", G_GINT64_CONSTANT (86400000000) },
  { "h", G_GINT64_CONSTANT (3600000000) },
  { "min", 60000000 },
  { "s", 1000000 },
  { "ms", 1000 },
  { "us", 1 },
};

/* From the largest down, so that the first one that divides a size writes it shortest. */
static const Unit size_units[] = {
  { "TiB", G_GINT64_CONSTANT (1) << 40 },
  { "TB", G_GINT64_CONSTANT (1000000000000) },
  { "GiB", 1 << 30 },
  { "GB", 1000000000 },
  { "MiB", 1 << 20 },
  { "MB", 1000000 },
  { "KiB", 1 << 10 },
  { "kB", 1000 },
  { "B", 1 },
};

#define DURATION_HELP "write a number and w, d, h, min, s, ms or us, or 'none'"
#define SIZE_HELP "write a number and B, KiB, MiB, GiB, TiB, kB, MB, GB or TB, or 'none'"

/* FALSE where the sum would pass the largest gint64. */
static gboolean
add_scaled (gint64 *sum, gint64 count, gint64 factor)
{
  gint64 product;

  return !__builtin_mul_overflow (count, factor, &product) && !__builtin_add_overflow (*sum, product, sum);
}

/* Reads digits and perhaps a fraction; points @text behind them. The fraction's digits stay text, for only
 * the unit tells what each is worth. */
static gboolean
read_number (const char **text, gint64 *whole, const char **fraction)
{
  const char *p = *text;

  *whole = 0;
  *fraction = NULL;
  if (!g_ascii_isdigit (*p))
    return FALSE;
  for (; g_ascii_isdigit (*p); p++)
    {
      gint64 next = 0;

      if (!add_scaled (&next, *whole, 10) || !add_scaled (&next, *p - '0', 1))
        return FALSE;
      *whole = next;
    }
  if (p[0] == '.' && g_ascii_isdigit (p[1]))
    {
      *fraction = ++p;
      while (g_ascii_isdigit (*p))
        p++;
    }
  *text = p;
  return TRUE;
}

/* Takes @prime out of the divisor prime^@power as often as it can be taken out of @a or @b too. */
static void
cancel (gint64 prime, guint *power, gint64 *a, gint64 *b)
{
  while (*power > 0 && (*a % prime == 0 || *b % prime == 0))
    {
      gint64 *which = *a % prime == 0 ? a : b;

      *which /= prime;
      *power -= 1;
    }
}

/* Adds @factor × digits / 10^n by cancelling the tens; FALSE where that is no whole number. */
static gboolean
add_fraction (gint64 *sum, const char *fraction, gint64 factor)
{
  gint64 digits = 0;
  guint twos, fives, n_digits = 0;

  for (guint i = 0; fraction != NULL && g_ascii_isdigit (fraction[i]); i++)
    if (fraction[i] != '0')
      n_digits = i + 1;
  if (n_digits == 0)
    return TRUE;
  if (n_digits > 18) /* 10^18 is the last that fits, and no unit is that large */
    return FALSE;

  for (guint i = 0; i < n_digits; i++)
    digits = digits * 10 + (fraction[i] - '0');
  twos = fives = n_digits;
  cancel (2, &twos, &digits, &factor);
  cancel (5, &fives, &digits, &factor);
  return twos == 0 && fives == 0 && add_scaled (sum, digits, factor);
}

static const Unit *
find_unit (const char *word, gsize length, const Unit *units, gsize n_units)
{
  for (gsize i = 0; i < n_units; i++)
    if (strlen (units[i].name) == length && strncmp (units[i].name, word, length) == 0)
      return &units[i];
  return NULL;
}

static gboolean
refuse (GError **error, const char *text, const char *what, const char *why, const char *help)
{
  g_autofree char *shown = g_utf8_make_valid (text, MIN (strlen (text), 64));

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is not a %s: %s; %s", shown, what,
               why, help);
  return FALSE;
}

/* What one term says, added to @sum; @last is the smallest unit so far. NULL, or why it cannot be read. */
static const char *
read_term (const char **text, const Unit *units, gsize n_units, const Unit **last, gint64 *sum)
{
  const char *p = *text;
  const char *fraction, *word;
  const Unit *unit;
  gint64 whole;

  if (!g_ascii_isdigit (*p))
    return "it does not start with a number";
  if (!read_number (&p, &whole, &fraction))
    return "it is too large";
  for (word = p; g_ascii_isalpha (*p);)
    p++;
  if (word == p && units == duration_units)
    return *p == '\0' ? "it has no unit" : "a number is followed by something else than a unit";
  unit = word == p ? &units[n_units - 1] : find_unit (word, p - word, units, n_units);
  if (unit == NULL)
    return "it has an unknown unit";
  if (*last != NULL && unit <= *last)
    return "its units do not go from large to small";
  if (!add_scaled (sum, whole, unit->factor))
    return "it is too large";
  if (!add_fraction (sum, fraction, unit->factor))
    return units == duration_units ? "it is finer than a microsecond" : "it is finer than a byte";
  *last = unit;
  *text = p;
  return NULL;
}

/**
 * strand_duration_parse:
 * @text: what a person wrote: `250ms`, `1.5h`, `1h 30min`, `none`
 * @duration_us: (out): return location for the microseconds; `none` is -1
 * @error: return location for a [error@Strand.Error]
 *
 * Reads a duration. A unit is needed (w, d, h, min, s, ms, us), except for `0`. Terms stand from large to
 * small, with or without spaces between them. Nothing is rounded. Any thread; does not block.
 *
 * Returns: %FALSE with %STRAND_ERROR_INVALID_ARGUMENT, and @duration_us as it was, if @text is no duration
 * Since: 1.0
 */
gboolean
strand_duration_parse (const char *text, gint64 *duration_us, GError **error)
{
  const Unit *last = NULL;
  const char *p = text;
  gint64 sum = 0;

  g_return_val_if_fail (text != NULL && duration_us != NULL, FALSE);

  if (strcmp (text, "none") == 0 || strcmp (text, "0") == 0)
    {
      *duration_us = text[0] == '0' ? 0 : -1;
      return TRUE;
    }

  do
    {
      const char *why = read_term (&p, duration_units, G_N_ELEMENTS (duration_units), &last, &sum);

      if (why != NULL)
        return refuse (error, text, "duration", why, DURATION_HELP);
      while (*p == ' ')
        p++;
    }
  while (*p != '\0');

  *duration_us = sum;
  return TRUE;
}

/**
 * strand_duration_to_string:
 * @duration_us: microseconds; -1 is `none`
 *
 * Writes a duration as strand_duration_parse() reads it: `1h 30min`, `2.5s`, `250ms`. Any thread.
 *
 * Returns: (transfer full): the text
 * Since: 1.0
 */
char *
strand_duration_to_string (gint64 duration_us)
{
  GString *text = g_string_new (NULL);
  gint64 rest = duration_us;

  if (duration_us < 0)
    g_string_append (text, "none");
  else if (duration_us == 0)
    g_string_append_c (text, '0');

  for (gsize i = 0; i < G_N_ELEMENTS (duration_units) && rest > 0; i++)
    {
      const Unit *unit = &duration_units[i];
      gboolean last = unit->factor <= 1000000; /* from seconds down, one number with a fraction says it all */

      if (rest < unit->factor)
        continue;
      if (text->len > 0)
        g_string_append_c (text, ' ');
      g_string_append_printf (text, "%" G_GINT64_FORMAT, rest / unit->factor);
      rest %= unit->factor;
      if (last && rest > 0)
        {
          g_string_append_printf (text, ".%0*" G_GINT64_FORMAT, unit->factor == 1000 ? 3 : 6, rest);
          while (text->str[text->len - 1] == '0')
            g_string_truncate (text, text->len - 1);
          rest = 0;
        }
      g_string_append (text, unit->name);
    }

  return g_string_free (text, FALSE);
}

/**
 * strand_size_parse:
 * @text: what a person wrote: `512`, `64KiB`, `1.5GiB`, `none`
 * @size_bytes: (out): return location for the bytes; `none` is -1
 * @error: return location for a [error@Strand.Error]
 *
 * Reads a size in bytes; KiB and its kin count in 1024, kB and its kin in 1000. Nothing is rounded. Any
 * thread; does not block.
 *
 * Returns: %FALSE with %STRAND_ERROR_INVALID_ARGUMENT, and @size_bytes as it was, if @text is no size
 * Since: 1.0
 */
gboolean
strand_size_parse (const char *text, gint64 *size_bytes, GError **error)
{
  const Unit *last = NULL;
  const char *p = text;
  const char *why;
  gint64 sum = 0;

  g_return_val_if_fail (text != NULL && size_bytes != NULL, FALSE);

  if (strcmp (text, "none") == 0)
    {
      *size_bytes = -1;
      return TRUE;
    }

  why = read_term (&p, size_units, G_N_ELEMENTS (size_units), &last, &sum);
  while (*p == ' ')
    p++;
  if (why == NULL && *p != '\0')
    why = "something follows its unit";
  if (why != NULL)
    return refuse (error, text, "size", why, SIZE_HELP);

  *size_bytes = sum;
  return TRUE;
}

/**
 * strand_size_to_string:
 * @size_bytes: bytes; -1 is `none`
 *
 * Writes a size as strand_size_parse() reads it, in the largest unit that keeps it whole. Any thread.
 *
 * Returns: (transfer full): the text
 * Since: 1.0
 */
char *
strand_size_to_string (gint64 size_bytes)
{
  if (size_bytes < 0)
    return g_strdup ("none");
  for (gsize i = 0; size_bytes > 0 && i < G_N_ELEMENTS (size_units) - 1; i++)
    if (size_bytes % size_units[i].factor == 0)
      return g_strdup_printf ("%" G_GINT64_FORMAT "%s", size_bytes / size_units[i].factor,
                              size_units[i].name);
  return g_strdup_printf ("%" G_GINT64_FORMAT, size_bytes);
}

/* Longer words are not compared: nobody mistypes them letter by letter, and hostile ones would cost time. */
#define WORD_MAX 64

/* How many letters must be changed, added, dropped or swapped with their neighbour to make @a out of @b. */
static guint
edit_distance (const char *a, gsize a_length, const char *b, gsize b_length)
{
  guint rows[3][WORD_MAX + 1];
  guint *before = rows[0], *above = rows[1], *row = rows[2];

  for (gsize j = 0; j <= b_length; j++)
    above[j] = before[j] = j;

  for (gsize i = 1; i <= a_length; i++)
    {
      guint *spare = before;

      row[0] = i;
      for (gsize j = 1; j <= b_length; j++)
        {
          char x = g_ascii_tolower (a[i - 1]), y = g_ascii_tolower (b[j - 1]);
          guint best = above[j - 1] + (x != y);

          best = MIN (best, MIN (above[j], row[j - 1]) + 1);
          if (i > 1 && j > 1 && x == g_ascii_tolower (b[j - 2]) && y == g_ascii_tolower (a[i - 2]))
            best = MIN (best, before[j - 2] + 1);
          row[j] = best;
        }
      before = above;
      above = row;
      row = spare;
    }

  return above[b_length];
}

/**
 * strand_suggest:
 * @word: what was written
 * @words: (array zero-terminated=1): what would have been right
 *
 * Finds the word that was probably meant: at most a third of its letters differ, upper and lower case being
 * one. Of equally near words the first is taken. Any thread; does not block.
 *
 * Returns: (transfer none) (nullable): one of @words, or %NULL if none is near
 * Since: 1.0
 */
const char *
strand_suggest (const char *word, const char *const *words)
{
  const char *nearest = NULL;
  guint nearest_distance = G_MAXUINT;
  gsize length;

  g_return_val_if_fail (word != NULL && words != NULL, NULL);

  length = strlen (word);
  if (length == 0 || length > WORD_MAX)
    return NULL;

  for (; *words != NULL; words++)
    {
      gsize other = strlen (*words);
      guint distance;

      if (other > WORD_MAX)
        continue;
      distance = edit_distance (word, length, *words, other);
      if (distance < nearest_distance && distance <= (MAX (length, other) + 1) / 3)
        {
          nearest = *words;
          nearest_distance = distance;
        }
    }

  return nearest;
}
