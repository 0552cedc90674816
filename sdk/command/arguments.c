/* arguments.c — text to values of a declared type.
 *
 * An argument is GVariant text for the type that the function declares, so `5` is whatever number is wanted.
 * Where a string is declared any text stands for itself, unless it is a quoted GVariant string.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <string.h>

/* A string that is written as GVariant text, `'so'` or `"so"`; NULL for one that stands for itself. */
static GVariant *
parse_quoted (const char *text)
{
  return *text == '\'' || *text == '"' ? g_variant_parse (G_VARIANT_TYPE_STRING, text, NULL, NULL, NULL)
                                       : NULL;
}

static GVariant *
parse_word (const char *text, const GVariantType *type)
{
  GVariant *quoted = parse_quoted (text);

  if (quoted != NULL && g_variant_type_equal (type, G_VARIANT_TYPE_STRING))
    return quoted;
  g_clear_pointer (&quoted, g_variant_unref);
  if (g_variant_type_equal (type, G_VARIANT_TYPE_STRING))
    return g_variant_ref_sink (g_variant_new_string (text));
  if (g_variant_type_equal (type, G_VARIANT_TYPE_OBJECT_PATH) && g_variant_is_object_path (text))
    return g_variant_ref_sink (g_variant_new_object_path (text));
  if (g_variant_type_equal (type, G_VARIANT_TYPE_SIGNATURE) && g_variant_is_signature (text))
    return g_variant_ref_sink (g_variant_new_signature (text));
  return NULL;
}

/* What a person calls the commonest types. */
static const char *
describe_type (const GVariantType *type)
{
  static const struct
  {
    const char *type;
    const char *words;
  } known[] = {
    { "b", "true or false" },
    { "y", "a number from 0 to 255" },
    { "n", "a 16-bit number" },
    { "q", "a 16-bit number, 0 or more" },
    { "i", "a 32-bit number" },
    { "u", "a 32-bit number, 0 or more" },
    { "x", "a whole number" },
    { "t", "a whole number, 0 or more" },
    { "d", "a number" },
    { "s", "a string" },
    { "as", "strings, as ['a', 'b']" },
    { "v", "GVariant text" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (g_variant_type_equal (type, (const GVariantType *) known[i].type))
      return known[i].words;
  return "GVariant text of that type";
}

static GVariant *
parse_one (const char *text, const GVariantType *type, const char *name, GError **error)
{
  g_autoptr(GError) cause = NULL;
  g_autofree char *shown = NULL;
  GVariant *value = NULL;

  if (!g_utf8_validate (text, -1, NULL))
    {
      shown = output_dup_printable (text);
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE, "Argument '%s' is '%s', which is not UTF-8 text",
                   name, shown);
      return NULL;
    }
  value = parse_word (text, type);
  if (value == NULL)
    value = g_variant_parse (type, text, NULL, NULL, &cause);
  if (value != NULL)
    return value;

  shown = output_dup_printable (text);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
               "Argument '%s' takes type '%.*s', %s; '%.200s' cannot be read as that: %s", name,
               (int) g_variant_type_get_string_length (type), g_variant_type_peek_string (type),
               describe_type (type), shown, cause->message);
  return NULL;
}

/* The declared type of a parameter, or NULL. */
static const GVariantType *
find_parameter (StrandFunction *function, const char *name)
{
  const char *const *names = strand_function_get_parameter_names (function);
  const GVariantType *type = g_variant_type_first (strand_function_get_parameter_type (function));

  for (; *names != NULL; names++, type = g_variant_type_next (type))
    if (strcmp (*names, name) == 0)
      return type;
  return NULL;
}

/* A keyword beyond the declared ones goes into the function's last a{sv}: text that is a GVariant's becomes
 * that, any other a string. */
static GVariant *
parse_free_keyword (const char *name, const char *text, GError **error)
{
  GVariant *value = g_utf8_validate (text, -1, NULL) ? g_variant_parse (NULL, text, NULL, NULL, NULL) : NULL;

  return value != NULL ? value : parse_one (text, G_VARIANT_TYPE_STRING, name, error);
}

static gboolean
add_keyword (StrandFunction *function, const char *word, GVariantBuilder *builder, GError **error)
{
  const char *equals = strchr (word, '=');
  g_autofree char *name = equals != NULL ? g_strndup (word, (gsize) (equals - word)) : NULL;
  g_autoptr(GVariant) value = NULL;
  const GVariantType *type;

  if (equals == NULL || equals == word || !g_utf8_validate (name, -1, NULL))
    {
      g_autofree char *shown = output_dup_printable (word);

      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "Keyword '%s' has no name and value; write -k NAME=VALUE", shown);
      return FALSE;
    }
  type = find_parameter (function, name);
  value =
      type != NULL ? parse_one (equals + 1, type, name, error) : parse_free_keyword (name, equals + 1, error);
  if (value == NULL)
    return FALSE;
  g_variant_builder_add (builder, "{sv}", name, value);
  return TRUE;
}

static GVariant *
parse_keywords (StrandFunction *function, const char *const *keywords, GError **error)
{
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_VARDICT);

  for (; *keywords != NULL; keywords++)
    if (!add_keyword (function, *keywords, &builder, error))
      return NULL;
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static GVariant *
parse_positional (StrandFunction *function, const char *const *texts, GError **error)
{
  g_auto(GVariantBuilder) builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE_TUPLE);
  const char *const *names = strand_function_get_parameter_names (function);
  const GVariantType *type = g_variant_type_first (strand_function_get_parameter_type (function));

  for (guint i = 0; texts[i] != NULL; i++, names++, type = g_variant_type_next (type))
    {
      g_autoptr(GVariant) value = NULL;

      if (*names == NULL)
        {
          g_autofree char *signature = strand_function_dup_signature (function);

          g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                       "'%s' takes %u argument%s, not %u; its signature is '%s'",
                       strand_function_get_name (function), i, i == 1 ? "" : "s",
                       g_strv_length ((char **) texts), signature);
          return NULL;
        }
      value = parse_one (texts[i], type, *names, error);
      if (value == NULL)
        return NULL;
      g_variant_builder_add_value (&builder, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* @keywords: (nullable): NAME=VALUE each. The tuple that the function takes, not floating. */
GVariant *
arguments_parse (StrandFunction *function, const char *const *texts, const char *const *keywords,
                 GError **error)
{
  g_autoptr(GVariant) positional = parse_positional (function, texts, error);
  g_autoptr(GVariant) named = NULL;

  if (positional == NULL)
    return NULL;
  if (keywords != NULL)
    {
      named = parse_keywords (function, keywords, error);
      if (named == NULL)
        return NULL;
    }
  return strand_function_bind (function, positional, named, error);
}

gboolean
arguments_is_one_string (StrandFunction *function)
{
  return g_variant_type_equal (strand_function_get_parameter_type (function), G_VARIANT_TYPE ("(s)"));
}
