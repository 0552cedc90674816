/* logging-arguments.c — a call's arguments as text, without what nobody is to read.
 *
 * A name hides a whole parameter, or the value of a dictionary's entry wherever it lies, because options
 * travel in dictionaries. What is hidden is never printed first and cut out later. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "logging-arguments.h"

#define REDACTED "<redacted>"

static void append (GString *text, GVariant *value, const char *const *redact);

static gboolean
is_redacted (const char *name, const char *const *redact)
{
  return name != NULL && g_strv_contains (redact, name);
}

static void
append_entry (GString *text, GVariant *entry, const char *const *redact)
{
  g_autoptr(GVariant) name = g_variant_get_child_value (entry, 0);
  g_autoptr(GVariant) value = g_variant_get_child_value (entry, 1);
  gboolean named = g_variant_is_of_type (name, G_VARIANT_TYPE_STRING);

  append (text, name, redact);
  g_string_append (text, ": ");
  if (named && is_redacted (g_variant_get_string (name, NULL), redact))
    g_string_append (text, REDACTED);
  else
    append (text, value, redact);
}

static void
append_children (GString *text, GVariant *value, const char *const *redact)
{
  gsize n = g_variant_n_children (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (value, i);

      g_string_append (text, i > 0 ? ", " : "");
      if (g_variant_classify (child) == G_VARIANT_CLASS_DICT_ENTRY)
        append_entry (text, child, redact);
      else
        append (text, child, redact);
    }
}

/* Descends where a dictionary may be; GVariant prints the rest itself. */
static void
append (GString *text, GVariant *value, const char *const *redact)
{
  const GVariantType *type = g_variant_get_type (value);

  if (g_variant_type_is_tuple (type))
    {
      g_string_append_c (text, '(');
      append_children (text, value, redact);
      g_string_append (text, g_variant_n_children (value) == 1 ? ",)" : ")");
    }
  else if (g_variant_type_is_variant (type))
    {
      g_autoptr(GVariant) inner = g_variant_get_variant (value);

      g_string_append_c (text, '<');
      append (text, inner, redact);
      g_string_append_c (text, '>');
    }
  else if (g_variant_type_is_array (type) && g_variant_type_is_container (g_variant_type_element (type)))
    {
      gboolean entries = g_variant_type_is_dict_entry (g_variant_type_element (type));

      g_string_append_c (text, entries ? '{' : '[');
      append_children (text, value, redact);
      g_string_append_c (text, entries ? '}' : ']');
    }
  else if (g_variant_type_is_maybe (type) && g_variant_n_children (value) == 1)
    {
      g_autoptr(GVariant) inner = g_variant_get_maybe (value);

      append (text, inner, redact);
    }
  else
    g_variant_print_string (value, text, FALSE);
}

static void
append_parameters (GString *text, StrandFunction *function, GVariant *arguments, const char *const *redact)
{
  const char *const *names = strand_function_get_parameter_names (function);
  gsize n = g_variant_n_children (arguments);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) argument = g_variant_get_child_value (arguments, i);

      g_string_append (text, i > 0 ? ", " : "");
      if (is_redacted (names[i], redact))
        g_string_append (text, REDACTED);
      else
        append (text, argument, redact);
    }
}

char *
logging_print_arguments (StrandFunction *function, GVariant *arguments, const char *const *redact)
{
  GString *text;

  if (redact == NULL || redact[0] == NULL)
    return g_variant_print (arguments, FALSE);
  text = g_string_new ("(");
  append_parameters (text, function, arguments, redact);
  g_string_append (text, g_variant_n_children (arguments) == 1 ? ",)" : ")");
  return g_string_free (text, FALSE);
}
