/* strand-schema.c — says what a property may be, and writes its values as people read them.
 *
 * What is written here, strand-schema-read.c reads as the same value.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schema-private.h"
#include "strand-keyfile-private.h"
#include "strand-param.h"

#include <string.h>

gboolean
strand_schema_is_duration (GParamSpec *pspec)
{
  return (pspec->flags & STRAND_PARAM_DURATION) != 0 && G_IS_PARAM_SPEC_INT64 (pspec);
}

gboolean
strand_schema_is_size (GParamSpec *pspec)
{
  return (pspec->flags & STRAND_PARAM_SIZE) != 0 && G_IS_PARAM_SPEC_INT64 (pspec);
}

gboolean
strand_schema_signed_range (GParamSpec *pspec, gint64 *minimum, gint64 *maximum)
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

gboolean
strand_schema_unsigned_range (GParamSpec *pspec, guint64 *minimum, guint64 *maximum)
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

gboolean
strand_schema_float_range (GParamSpec *pspec, double *minimum, double *maximum)
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
      strand_schema_signed_range (pspec, &low, &high) ||
      strand_schema_unsigned_range (pspec, &ulow, &uhigh) || strand_schema_float_range (pspec, &flow, &fhigh))
    return STRAND_SCHEMA_SCALAR;
  if (!G_IS_PARAM_SPEC_OBJECT (pspec))
    return STRAND_SCHEMA_NONE;

  if (type == G_TYPE_LIST_MODEL && strcmp (pspec->name, "middleware") == 0)
    {
      *kind = STRAND_KIND_MIDDLEWARE;
      return STRAND_SCHEMA_REFERENCES;
    }
  for (int i = 0; i <= STRAND_KIND_READER; i++)
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

  if (strand_schema_signed_range (pspec, &low, &high))
    {
      if (strand_schema_is_duration (pspec))
        return describe_with_unit ("a duration such as 250ms, 30s or 5min", low, high,
                                   strand_duration_to_string);
      if (strand_schema_is_size (pspec))
        return describe_with_unit ("a size such as 512, 64KiB or 10MB", low, high, strand_size_to_string);
      return describe_signed (low, high);
    }
  if (strand_schema_unsigned_range (pspec, &ulow, &uhigh))
    return describe_unsigned (ulow, uhigh);
  if (strand_schema_float_range (pspec, &flow, &fhigh))
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

  if (strand_schema_signed_range (pspec, &low, &high))
    {
      gint64 number;

      g_value_init (&wide, G_TYPE_INT64);
      g_value_transform (value, &wide);
      number = g_value_get_int64 (&wide);
      if (strand_schema_is_duration (pspec))
        return strand_duration_to_string (number);
      if (strand_schema_is_size (pspec))
        return strand_size_to_string (number);
      return g_strdup_printf ("%" G_GINT64_FORMAT, number);
    }
  if (strand_schema_unsigned_range (pspec, &ulow, &uhigh))
    {
      g_value_init (&wide, G_TYPE_UINT64);
      g_value_transform (value, &wide);
      return g_strdup_printf ("%" G_GUINT64_FORMAT, g_value_get_uint64 (&wide));
    }
  g_value_init (&wide, G_TYPE_DOUBLE);
  g_value_transform (value, &wide);
  return print_number (g_value_get_double (&wide));
}

/**
 * strand_param_describe:
 * @pspec: a property
 *
 * Says what a keyfile may write for a property: `a whole number from 1 to 64`. Any thread.
 *
 * Returns: (transfer full) (nullable): the words, or %NULL if it is no key of a keyfile
 * Since: 1.0
 */
char *
strand_param_describe (GParamSpec *pspec)
{
  StrandKind kind;

  g_return_val_if_fail (G_IS_PARAM_SPEC (pspec), NULL);

  return strand_schema_get_form (pspec, &kind) != STRAND_SCHEMA_NONE ? strand_schema_describe (pspec) : NULL;
}

/**
 * strand_param_print:
 * @pspec: a property
 * @value: (nullable): its value, or %NULL for the default
 *
 * Writes a property's value as strand_param_read() reads it; a secret as `(secret)`; nothing for what is no
 * text, such as a reference to another object. Any thread.
 *
 * Returns: (transfer full): the text
 * Since: 1.0
 */
char *
strand_param_print (GParamSpec *pspec, const GValue *value)
{
  StrandKind kind;
  StrandSchemaForm form;

  g_return_val_if_fail (G_IS_PARAM_SPEC (pspec), NULL);

  form = strand_schema_get_form (pspec, &kind);
  if (form != STRAND_SCHEMA_SCALAR && form != STRAND_SCHEMA_LIST)
    return g_strdup ("");
  if (pspec->flags & STRAND_PARAM_SECRET)
    return g_strdup (value != NULL && G_VALUE_HOLDS_STRING (value) && g_value_get_string (value) ? "(secret)"
                                                                                                 : "");
  return strand_schema_print (pspec, value != NULL ? value : g_param_spec_get_default_value (pspec));
}
