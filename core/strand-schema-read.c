/* strand-schema-read.c — reads property values as people write them, guided by the GParamSpec.
 *
 * Nothing is guessed: `12abc`, `1e400`, `yes` and a number out of range are errors that say what would have
 * been right.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schema-private.h"
#include "strand-error.h"
#include "strand-keyfile-private.h"
#include "strand-param.h"

#include <errno.h>
#include <math.h>
#include <string.h>

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
  gboolean unit = strand_schema_is_duration (pspec) || strand_schema_is_size (pspec);

  strand_schema_signed_range (pspec, &minimum, &maximum);
  if (strand_schema_is_duration (pspec) && !strand_duration_parse (text, &number, error))
    return FALSE;
  if (strand_schema_is_size (pspec) && !strand_size_parse (text, &number, error))
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

  strand_schema_unsigned_range (pspec, &minimum, &maximum);
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
  strand_schema_float_range (pspec, &minimum, &maximum);
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
  else if (strand_schema_signed_range (pspec, &low, &high))
    ok = read_signed (pspec, text, &result, error);
  else if (strand_schema_unsigned_range (pspec, &ulow, &uhigh))
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

/**
 * strand_param_read:
 * @pspec: a property
 * @text: what a keyfile would have behind the `=`, variables excepted
 * @value: (out caller-allocates): return location for the value; must be zeroed
 * @error: return location for a [error@Strand.Error]
 *
 * Reads a property's value as a keyfile would: numbers whole and in range, durations and sizes with units,
 * enumerations by nick, lists with `;`. References to other objects cannot be read so. Any thread.
 *
 * Returns: %FALSE with %STRAND_ERROR_INVALID_ARGUMENT if @text is not what strand_param_describe() says
 * Since: 1.0
 */
gboolean
strand_param_read (GParamSpec *pspec, const char *text, GValue *value, GError **error)
{
  StrandKind kind;

  g_return_val_if_fail (G_IS_PARAM_SPEC (pspec) && text != NULL && value != NULL, FALSE);

  switch (strand_schema_get_form (pspec, &kind))
    {
    case STRAND_SCHEMA_SCALAR:
      return strand_schema_read (pspec, text, value, error);
    case STRAND_SCHEMA_LIST:
      {
        g_autoptr(GError) local_error = NULL;
        g_auto(GStrv) items = strand_keyfile_split (text, &local_error);

        if (items != NULL)
          return strand_schema_read_list (pspec, (const char *const *) items, value, error);
        g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, local_error->message);
        return FALSE;
      }
    case STRAND_SCHEMA_NONE:
    case STRAND_SCHEMA_REFERENCE:
    case STRAND_SCHEMA_REFERENCES:
    default:
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "'%s' cannot be set from text",
                   pspec->name);
      return FALSE;
    }
}
