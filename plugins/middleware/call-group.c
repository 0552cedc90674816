/* call-group.c — which calls a middleware is for, and which of them count together.
 *
 * Functions are chosen by patterns of `*` and `?`. A call counts under its function's name, under one name
 * for all, or under the value that it has for a parameter. A function that lacks the parameter counts by its
 * name: no call goes uncounted because of how a function was declared. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "call-group.h"

#include <string.h>

/* A longer value is told by its digest, so that a key is never much larger than this. */
#define MAX_VALUE_BYTES 64

GType
call_group_register_enum (const char *name, const GEnumValue *values)
{
  GType type = g_type_from_name (name);

  return type != G_TYPE_INVALID ? type : g_enum_register_static (name, values);
}

GType
call_group_scope_get_type (void)
{
  static const GEnumValue values[] = {
    { GROUP_BY_FUNCTION, "GROUP_BY_FUNCTION", "function" },
    { GROUP_BY_PARAMETER, "GROUP_BY_PARAMETER", "parameter" },
    { GROUP_ALL, "GROUP_ALL", "global" },
    { 0, NULL, NULL },
  };

  return call_group_register_enum ("StrandCallGroupScope", values);
}

gboolean
call_group_matches (char **functions, StrandCall *call)
{
  const char *name;

  if (functions == NULL || functions[0] == NULL)
    return TRUE;
  name = strand_call_get_function_name (call);
  for (guint i = 0; functions[i] != NULL; i++)
    if (g_pattern_match_simple (functions[i], name))
      return TRUE;
  return FALSE;
}

static GVariant *
dup_parameter (StrandCall *call, const char *parameter)
{
  const char *const *names = strand_function_get_parameter_names (strand_call_get_function (call));

  for (gsize i = 0; names != NULL && names[i] != NULL; i++)
    if (strcmp (names[i], parameter) == 0)
      return g_variant_get_child_value (strand_call_get_arguments (call), i);
  return NULL;
}

/* With a mark in front, so that no value can be taken for a function's name. */
static char *
text_of (GVariant *value)
{
  g_autoptr(GVariant) normal = NULL;
  g_autofree char *text = NULL;

  if (g_variant_get_size (value) <= MAX_VALUE_BYTES)
    {
      text = g_variant_print (value, FALSE);
      return g_strconcat ("=", text, NULL);
    }
  normal = g_variant_get_normal_form (value);
  text = g_compute_checksum_for_data (G_CHECKSUM_SHA256, g_variant_get_data (normal),
                                      g_variant_get_size (normal));
  return g_strconcat ("=#", text, NULL);
}

const char *
call_group_key (const CallGroups *self, StrandCall *call, char **storage)
{
  g_autoptr(GVariant) value = NULL;

  if (self->scope == GROUP_ALL)
    return "";
  if (self->scope == GROUP_BY_PARAMETER)
    value = dup_parameter (call, self->parameter);
  if (value == NULL)
    return strand_call_get_function_name (call);
  *storage = text_of (value);
  return *storage;
}

gboolean
call_group_check_functions (char **functions, GError **error)
{
  for (guint i = 0; functions != NULL && functions[i] != NULL; i++)
    if (functions[i][0] == '\0')
      {
        g_set_error (
            error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
            "'functions' has an empty pattern; write function names, where '*' and '?' stand for any "
            "text and any letter, with ';' between them");
        return FALSE;
      }
  return TRUE;
}

gboolean
call_group_check (const CallGroups *self, GError **error)
{
  gboolean named = self->parameter != NULL && *self->parameter != '\0';

  if (!call_group_check_functions (self->functions, error))
    return FALSE;
  if (self->scope == GROUP_BY_PARAMETER && !named)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "'scope' is 'parameter' but 'parameter' does not say which; set it to a parameter's name");
  else if (self->scope != GROUP_BY_PARAMETER && named)
    g_set_error (
        error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
        "'parameter' is '%s' but 'scope' is not 'parameter'; set 'scope=parameter' or remove 'parameter'",
        self->parameter);
  else
    return TRUE;
  return FALSE;
}

void
call_group_clear (CallGroups *self)
{
  g_clear_pointer (&self->functions, g_strfreev);
  g_clear_pointer (&self->parameter, g_free);
}
