/* strand-schema.c — reads and writes property values as people write them, guided by the GParamSpec.
 *
 * Nothing is guessed: `12abc`, `1e400`, `yes` and a number out of range are errors that say what would have
 * been right. What is written is read back as the same value.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schema-private.h"
#include "strand-error.h"
#include "strand-keyfile-private.h"
#include "strand-param.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static gboolean
is_duration (GParamSpec *pspec)
{
  return (pspec->flags & STRAND_PARAM_DURATION) != 0 && G_IS_PARAM_SPEC_INT64 (pspec);
}

static gboolean
is_size (GParamSpec *pspec)
{
  return (pspec->flags & STRAND_PARAM_SIZE) != 0 && G_IS_PARAM_SPEC_INT64 (pspec);
}

static gboolean
signed_range (GParamSpec *pspec, gint64 *minimum, gint64 *maximum)
{
  if (G_IS_PARAM_SPEC_INT (pspec))
    *minimum = G_PARAM_SPEC_INT (pspec)->minimum, *maximum = G_PARAM_SPEC_INT (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_INT64 (pspec))
    *minimum = G_PARAM_SPEC_INT64 (pspec)->minimum, *maximum = G_PARAM_SPEC_INT64 (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_LONG (pspec))
    *minimum = G_PARAM_SPEC_LONG (pspec)->minimum, *maximum = G_PARAM_SPEC_LONG (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_CHAR (pspec))
    *minimum = G_PARAM_SPEC_CHAR (pspec)->minimum, *maximum = G_PARAM_SPEC_CHAR (pspec)->maximum;
  else
    return FALSE;
  return TRUE;
}

static gboolean
unsigned_range (GParamSpec *pspec, guint64 *minimum, guint64 *maximum)
{
  if (G_IS_PARAM_SPEC_UINT (pspec))
    *minimum = G_PARAM_SPEC_UINT (pspec)->minimum, *maximum = G_PARAM_SPEC_UINT (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_UINT64 (pspec))
    *minimum = G_PARAM_SPEC_UINT64 (pspec)->minimum, *maximum = G_PARAM_SPEC_UINT64 (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_ULONG (pspec))
    *minimum = G_PARAM_SPEC_ULONG (pspec)->minimum, *maximum = G_PARAM_SPEC_ULONG (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_UCHAR (pspec))
    *minimum = G_PARAM_SPEC_UCHAR (pspec)->minimum, *maximum = G_PARAM_SPEC_UCHAR (pspec)->maximum;
  else
    return FALSE;
  return TRUE;
}

static gboolean
float_range (GParamSpec *pspec, double *minimum, double *maximum)
{
  if (G_IS_PARAM_SPEC_DOUBLE (pspec))
    *minimum = G_PARAM_SPEC_DOUBLE (pspec)->minimum, *maximum = G_PARAM_SPEC_DOUBLE (pspec)->maximum;
  else if (G_IS_PARAM_SPEC_FLOAT (pspec))
    *minimum = G_PARAM_SPEC_FLOAT (pspec)->minimum, *maximum = G_PARAM_SPEC_FLOAT (pspec)->maximum;
  else
    return FALSE;
  return TRUE;
}

StrandSchemaForm
strand_schema_get_form (GParamSpec *pspec, StrandKind *kind)
{
  GType type = G_PARAM_SPEC_VALUE_TYPE (pspec);
  gint64 low, high;
  guint64 ulow, uhigh;
  double flow, fhigh;

  if ((pspec->flags & G_PARAM_WRITABLE) == 0)
    return STRAND_SCHEMA_NONE;
  if (type == G_TYPE_STRV || G_IS_PARAM_SPEC_FLAGS (pspec))
    return STRAND_SCHEMA_LIST;
  if (G_IS_PARAM_SPEC_STRING (pspec) || G_IS_PARAM_SPEC_BOOLEAN (pspec) || G_IS_PARAM_SPEC_ENUM (pspec) ||
      signed_range (pspec, &low, &high) || unsigned_range (pspec, &ulow, &uhigh) ||
      float_range (pspec, &flow, &fhigh))
    return STRAND_SCHEMA_SCALAR;
  if (!G_IS_PARAM_SPEC_OBJECT (pspec))
    return STRAND_SCHEMA_NONE;

  if (type == G_TYPE_LIST_MODEL && strcmp (pspec->name, "middleware") == 0)
    {
      *kind = STRAND_KIND_MIDDLEWARE;
      return STRAND_SCHEMA_REFERENCES;
    }
  for (int i = 0; i < STRAND_N_KINDS; i++)
    if (g_type_is_a (type, strand_kind_get_interface (i)))
      {
        *kind = i;
        return STRAND_SCHEMA_REFERENCE;
      }
  return STRAND_SCHEMA_NONE;
}

static char *
describe_flags (GFlagsClass *klass)
{
  GString *text = g_string_new ("a list with ';' of ");

  for (guint i = 0; i < klass->n_values; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
  return g_string_free (text, FALSE);
}

static char *
describe_enum (GEnumClass *klass)
{
  GString *text = g_string_new ("one of ");

  for (guint i = 0; i < klass->n_values; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", klass->values[i].value_nick);
  return g_string_free (text, FALSE);
}

/* A range in the words of a duration or a size. @top is as far as the type goes anyway. */
static char *
describe_with_unit (const char *what, gint64 minimum, gint64 maximum, char *(*print) (gint64))
{
  g_autofree char *low = print (MAX (minimum, 0));
  g_autofree char *high = print (maximum);
  const char *none = minimum < 0 ? ", or none" : "";

  if (minimum <= 0 && maximum == G_MAXINT64)
    return g_strdup_printf ("%s%s", what, none);
  if (maximum == G_MAXINT64)
    return g_strdup_printf ("%s of at least %s%s", what, low, none);
  return g_strdup_printf ("%s from %s to %s%s", what, low, high, none);
}

static char *
describe_signed (gint64 minimum, gint64 maximum)
{
  if (maximum == G_MAXINT64 || maximum == G_MAXINT)
    return minimum <= G_MININT ? g_strdup ("a whole number")
                               : g_strdup_printf ("a whole number of at least %" G_GINT64_FORMAT, minimum);
  return g_strdup_printf ("a whole number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT, minimum, maximum);
}

static char *
describe_unsigned (guint64 minimum, guint64 maximum)
{
  if (maximum == G_MAXUINT64 || maximum == G_MAXUINT || maximum == G_MAXINT)
    return g_strdup_printf ("a whole number of at least %" G_GUINT64_FORMAT, minimum);
  return g_strdup_printf ("a whole number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, minimum,
                          maximum);
}

char *
strand_schema_describe (GParamSpec *pspec)
{
  StrandKind kind;
  gint64 low, high;
  guint64 ulow, uhigh;
  double flow, fhigh;

  if (signed_range (pspec, &low, &high))
    {
      if (is_duration (pspec))
        return describe_with_unit ("a duration such as 250ms, 30s or 5min", low, high,
                                   strand_duration_to_string);
      if (is_size (pspec))
        return describe_with_unit ("a size such as 512, 64KiB or 10MB", low, high, strand_size_to_string);
      return describe_signed (low, high);
    }
  if (unsigned_range (pspec, &ulow, &uhigh))
    return describe_unsigned (ulow, uhigh);
  if (float_range (pspec, &flow, &fhigh))
    return g_strdup_printf ("a number from %g to %g", flow, fhigh);
  if (G_IS_PARAM_SPEC_BOOLEAN (pspec))
    return g_strdup ("true or false");
  if (G_IS_PARAM_SPEC_ENUM (pspec))
    return describe_enum (G_PARAM_SPEC_ENUM (pspec)->enum_class);
  if (G_IS_PARAM_SPEC_FLAGS (pspec))
    return describe_flags (G_PARAM_SPEC_FLAGS (pspec)->flags_class);
  switch (strand_schema_get_form (pspec, &kind))
    {
    case STRAND_SCHEMA_LIST:
      return g_strdup ("a list with ';' between its items");
    case STRAND_SCHEMA_REFERENCE:
      return g_strdup_printf ("the name of a %s", strand_kind_to_string (kind));
    case STRAND_SCHEMA_REFERENCES:
      return g_strdup ("names of middleware with ';' between, outermost first");
    case STRAND_SCHEMA_NONE:
    case STRAND_SCHEMA_SCALAR:
      break;
    }
  return g_strdup ("text");
}

char *
strand_schema_hint (const char *word, const char *const *words, const char *what)
{
  g_autofree char *list = g_strjoinv (", ", (char **) words);
  const char *nearest = strand_suggest (word, words);

  if (*list == '\0')
    return g_strdup ("; there are none");
  if (nearest == NULL)
    return g_strdup_printf ("; %s: %s", what, list);
  return g_strdup_printf ("; %s: %s; did you mean '%s'?", what, list, nearest);
}

/* @why is what is wrong with the text, for the sentence "'text' why; write …". */
static gboolean
refuse (GError **error, GParamSpec *pspec, const char *text, const char *why)
{
  g_autofree char *allowed = strand_schema_describe (pspec);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' %s; write %s", text, why, allowed);
  return FALSE;
}

/* strtoll() would take blanks and signs at the start, and junk at the end. */
static gboolean
is_whole_number (const char *text)
{
  const char *digits = text + (*text == '-');

  return *digits != '\0' && strspn (digits, "0123456789") == strlen (digits);
}

static gboolean
read_signed (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  gint64 number, minimum, maximum;
  gboolean unit = is_duration (pspec) || is_size (pspec);

  signed_range (pspec, &minimum, &maximum);
  if (is_duration (pspec) && !strand_duration_parse (text, &number, error))
    return FALSE;
  if (is_size (pspec) && !strand_size_parse (text, &number, error))
    return FALSE;
  if (!unit && !is_whole_number (text))
    return refuse (error, pspec, text, "is not a whole number");

  errno = 0;
  if (!unit)
    number = g_ascii_strtoll (text, NULL, 10);
  if (errno != 0 || number < minimum || number > maximum)
    return refuse (error, pspec, text, "is out of range");

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  if (G_IS_PARAM_SPEC_INT (pspec))
    g_value_set_int (value, number);
  else if (G_IS_PARAM_SPEC_INT64 (pspec))
    g_value_set_int64 (value, number);
  else if (G_IS_PARAM_SPEC_LONG (pspec))
    g_value_set_long (value, number);
  else
    g_value_set_schar (value, number);
  return TRUE;
}

static gboolean
read_unsigned (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  guint64 number, minimum, maximum;

  unsigned_range (pspec, &minimum, &maximum);
  if (!is_whole_number (text))
    return refuse (error, pspec, text, "is not a whole number");

  errno = 0;
  number = g_ascii_strtoull (text, NULL, 10);
  if (errno != 0 || text[0] == '-' || number < minimum || number > maximum)
    return refuse (error, pspec, text, "is out of range");

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  if (G_IS_PARAM_SPEC_UINT (pspec))
    g_value_set_uint (value, number);
  else if (G_IS_PARAM_SPEC_UINT64 (pspec))
    g_value_set_uint64 (value, number);
  else if (G_IS_PARAM_SPEC_ULONG (pspec))
    g_value_set_ulong (value, number);
  else
    g_value_set_uchar (value, number);
  return TRUE;
}

static gboolean
read_float (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  double number, minimum, maximum;
  char *end = NULL;

  /* No "inf", "nan" or hexadecimal, which strtod() knows. */
  if (*text == '\0' || strspn (text, "0123456789.eE+-") != strlen (text))
    return refuse (error, pspec, text, "is not a number");
  number = g_ascii_strtod (text, &end);
  if (*end != '\0' || *text == '+')
    return refuse (error, pspec, text, "is not a number");
  float_range (pspec, &minimum, &maximum);
  if (!isfinite (number) || number < minimum || number > maximum)
    return refuse (error, pspec, text, "is out of range");

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  if (G_IS_PARAM_SPEC_DOUBLE (pspec))
    g_value_set_double (value, number);
  else
    g_value_set_float (value, (float) number);
  return TRUE;
}

static gboolean
read_boolean (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  gboolean truth = strcmp (text, "true") == 0 || strcmp (text, "1") == 0;

  if (!truth && strcmp (text, "false") != 0 && strcmp (text, "0") != 0)
    return refuse (error, pspec, text, "is neither true nor false");
  g_value_init (value, G_TYPE_BOOLEAN);
  g_value_set_boolean (value, truth);
  return TRUE;
}

static gboolean
read_enum (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  GEnumClass *klass = G_PARAM_SPEC_ENUM (pspec)->enum_class;
  GEnumValue *found = g_enum_get_value_by_nick (klass, text);

  if (found == NULL)
    {
      g_autofree const char **nicks = g_new0 (const char *, klass->n_values + 1);
      g_autofree char *hint = NULL;

      for (guint i = 0; i < klass->n_values; i++)
        nicks[i] = klass->values[i].value_nick;
      hint = strand_schema_hint (text, nicks, "write one of");
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is unknown%s", text, hint);
      return FALSE;
    }

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  g_value_set_enum (value, found->value);
  return TRUE;
}

/* What the GParamSpec itself objects to: a custom validator, a string's allowed characters. */
static gboolean
accept (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  if (!g_param_value_validate (pspec, value))
    return TRUE;
  g_value_unset (value);
  return refuse (error, pspec, text, "is not allowed here");
}

gboolean
strand_schema_read (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  g_auto(GValue) result = G_VALUE_INIT;
  gboolean ok = TRUE;
  gint64 low, high;
  guint64 ulow, uhigh;

  if (G_IS_PARAM_SPEC_STRING (pspec))
    {
      g_value_init (&result, G_TYPE_STRING);
      g_value_set_string (&result, text);
    }
  else if (G_IS_PARAM_SPEC_BOOLEAN (pspec))
    ok = read_boolean (pspec, text, &result, error);
  else if (G_IS_PARAM_SPEC_ENUM (pspec))
    ok = read_enum (pspec, text, &result, error);
  else if (signed_range (pspec, &low, &high))
    ok = read_signed (pspec, text, &result, error);
  else if (unsigned_range (pspec, &ulow, &uhigh))
    ok = read_unsigned (pspec, text, &result, error);
  else
    ok = read_float (pspec, text, &result, error);

  if (!ok || !accept (pspec, text, &result, error))
    return FALSE;
  *value = result;
  result = (GValue) G_VALUE_INIT;
  return TRUE;
}

static gboolean
read_flags (GParamSpec *pspec, const char *const *items, GValue *value, GError **error)
{
  GFlagsClass *klass = G_PARAM_SPEC_FLAGS (pspec)->flags_class;
  guint flags = 0;

  for (; *items != NULL; items++)
    {
      GFlagsValue *found = g_flags_get_value_by_nick (klass, *items);
      g_autofree const char **nicks = g_new0 (const char *, klass->n_values + 1);
      g_autofree char *hint = NULL;

      if (found != NULL)
        {
          flags |= found->value;
          continue;
        }
      for (guint i = 0; i < klass->n_values; i++)
        nicks[i] = klass->values[i].value_nick;
      hint = strand_schema_hint (*items, nicks, "write some of");
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' is unknown%s", *items, hint);
      return FALSE;
    }

  g_value_init (value, G_PARAM_SPEC_VALUE_TYPE (pspec));
  g_value_set_flags (value, flags);
  return TRUE;
}

gboolean
strand_schema_read_list (GParamSpec *pspec, const char *const *items, GValue *value, GError **error)
{
  if (G_IS_PARAM_SPEC_FLAGS (pspec))
    return read_flags (pspec, items, value, error);

  g_value_init (value, G_TYPE_STRV);
  g_value_set_boxed (value, items);
  return TRUE;
}

static char *
print_list (const char *const *items)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; items != NULL && items[i] != NULL; i++)
    {
      if (i > 0)
        g_string_append_c (text, ';');
      strand_keyfile_escape (text, items[i], TRUE);
      if (items[i + 1] == NULL && *items[i] == '\0')
        g_string_append_c (text, ';'); /* without it the empty item at the end would not be one */
    }
  return g_string_free (text, FALSE);
}

static char *
print_flags (GFlagsClass *klass, guint flags)
{
  g_autoptr(GPtrArray) nicks = g_ptr_array_new ();

  for (guint i = 0; i < klass->n_values; i++)
    if (klass->values[i].value != 0 && (flags & klass->values[i].value) == klass->values[i].value)
      g_ptr_array_add (nicks, (gpointer) klass->values[i].value_nick);
  g_ptr_array_add (nicks, NULL);
  return g_strjoinv (";", (char **) nicks->pdata);
}

/* The shortest text that reads as the same number: 0.1, not 0.10000000000000001. */
static char *
print_number (double number)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  g_ascii_formatd (buffer, sizeof buffer, "%.15g", number);
  if (g_ascii_strtod (buffer, NULL) != number)
    g_ascii_dtostr (buffer, sizeof buffer, number);
  return g_strdup (buffer);
}

char *
strand_schema_print (GParamSpec *pspec, const GValue *value)
{
  g_auto(GValue) wide = G_VALUE_INIT;
  gint64 low, high;
  guint64 ulow, uhigh;

  if (G_IS_PARAM_SPEC_STRING (pspec))
    return g_value_dup_string (value) ?: g_strdup ("");
  if (G_IS_PARAM_SPEC_BOOLEAN (pspec))
    return g_strdup (g_value_get_boolean (value) ? "true" : "false");
  if (G_IS_PARAM_SPEC_ENUM (pspec))
    {
      GEnumValue *found = g_enum_get_value (G_PARAM_SPEC_ENUM (pspec)->enum_class, g_value_get_enum (value));

      return g_strdup (found != NULL ? found->value_nick : "");
    }
  if (G_IS_PARAM_SPEC_FLAGS (pspec))
    return print_flags (G_PARAM_SPEC_FLAGS (pspec)->flags_class, g_value_get_flags (value));
  if (G_PARAM_SPEC_VALUE_TYPE (pspec) == G_TYPE_STRV)
    return print_list (g_value_get_boxed (value));

  if (signed_range (pspec, &low, &high))
    {
      gint64 number;

      g_value_init (&wide, G_TYPE_INT64);
      g_value_transform (value, &wide);
      number = g_value_get_int64 (&wide);
      if (is_duration (pspec))
        return strand_duration_to_string (number);
      if (is_size (pspec))
        return strand_size_to_string (number);
      return g_strdup_printf ("%" G_GINT64_FORMAT, number);
    }
  if (unsigned_range (pspec, &ulow, &uhigh))
    {
      g_value_init (&wide, G_TYPE_UINT64);
      g_value_transform (value, &wide);
      return g_strdup_printf ("%" G_GUINT64_FORMAT, g_value_get_uint64 (&wide));
    }
  g_value_init (&wide, G_TYPE_DOUBLE);
  g_value_transform (value, &wide);
  return print_number (g_value_get_double (&wide));
}
