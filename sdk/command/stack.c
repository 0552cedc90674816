/* stack.c — keyfiles and what they give: check, stack, functions.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

static void
print_problems_json (GPtrArray *problems)
{
  GString *json = g_string_new ("[");

  for (guint i = 0; i < problems->len; i++)
    {
      const StrandProblem *problem = g_ptr_array_index (problems, i);

      g_string_append (json, i > 0 ? ",\n{" : "{");
      output_json_member (json, "file", problem->file);
      g_string_append_printf (json, ",\"line\":%u", problem->line);
      output_json_member (json, "group", problem->group);
      output_json_member (json, "key", problem->key);
      output_json_member (json, "message", problem->message);
      g_string_append_c (json, '}');
    }
  g_string_append_c (json, ']');
  output_json (json);
}

/* The problems are what was asked for, so they go to stdout, where editors look for them. */
Status
stack_check (Session *session, char **arguments)
{
  const char *file = arguments[0] != NULL ? arguments[0] : session->config;
  g_autoptr(GPtrArray) problems = NULL;

  if (file == NULL || (arguments[0] != NULL && arguments[1] != NULL))
    return session_usage (session, "'check' takes one keyfile");
  problems = strand_stack_check_file (file, NULL);
  if (session->json)
    print_problems_json (problems);
  for (guint i = 0; i < problems->len && !session->json; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (problems, i));

      output_format ("%s\n", line);
    }
  if (problems->len == 0 && !session->json && !session->quiet)
    output_format ("%s: no mistakes\n", file);
  return problems->len == 0 ? STATUS_DONE : STATUS_USAGE;
}

Status
stack_draw (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;

  if (arguments[0] != NULL && arguments[1] != NULL)
    return session_usage (session, "'stack' takes one keyfile");
  if (arguments[0] != NULL)
    session->config = arguments[0];
  if (!session_load_stack (session, &error))
    return session_complain (error);

  if (session->json)
    {
      g_autoptr(GVariant) stack = g_variant_ref_sink (strand_stack_to_variant (session->stack));
      GString *json = g_string_new (NULL);

      strand_json_append_variant (json, stack);
      output_json (json);
    }
  else
    {
      g_autofree char *text = strand_stack_describe (session->stack);

      output_text (text);
    }
  return STATUS_DONE;
}

static void
append_traits (GString *text, StrandTraits traits)
{
  g_autoptr(GFlagsClass) klass = g_type_class_ref (STRAND_TYPE_TRAITS);

  for (guint i = 0; i < klass->n_values; i++)
    if (klass->values[i].value != 0 && (traits & klass->values[i].value) != 0)
      g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", klass->values[i].value_nick);
}

static void
append_function_json (GString *json, StrandFunction *function)
{
  const char *const *names = strand_function_get_parameter_names (function);
  const GVariantType *type = g_variant_type_first (strand_function_get_parameter_type (function));
  const GVariantType *result = strand_function_get_result_type (function);
  g_autofree char *signature = strand_function_dup_signature (function);
  g_autoptr(GString) traits = g_string_new (NULL);

  append_traits (traits, strand_function_get_traits (function));
  g_string_append_c (json, '{');
  output_json_member (json, "name", strand_function_get_name (function));
  output_json_member (json, "signature", signature);
  output_json_member (json, "help", strand_function_get_help (function));
  output_json_member (json, "traits", traits->str);
  g_string_append (json, ",\"parameters\":[");
  for (; *names != NULL; names++, type = g_variant_type_next (type))
    {
      g_autofree char *text = g_variant_type_dup_string (type);

      g_string_append (json, json->str[json->len - 1] == '[' ? "{" : ",{");
      output_json_member (json, "name", *names);
      output_json_member (json, "type", text);
      g_string_append_c (json, '}');
    }
  g_string_append_c (json, ']');
  if (result != NULL)
    {
      g_autofree char *text = g_variant_type_dup_string (result);

      output_json_member (json, "result", text);
    }
  g_string_append_c (json, '}');
}

static void
print_functions_json (GPtrArray *functions)
{
  GString *json = g_string_new ("[");

  for (guint i = 0; i < functions->len; i++)
    {
      if (i > 0)
        g_string_append (json, ",\n");
      append_function_json (json, g_ptr_array_index (functions, i));
    }
  g_string_append_c (json, ']');
  output_json (json);
}

static void
add_function (Table *table, StrandFunction *function)
{
  g_autofree char *signature = strand_function_dup_signature (function);
  g_autoptr(GString) help = g_string_new (NULL);

  append_traits (help, strand_function_get_traits (function));
  if (help->len > 0)
    g_string_prepend (g_string_append (help, ")"), " (");
  if (strand_function_get_help (function) != NULL)
    g_string_prepend (help, strand_function_get_help (function));
  table_add (table, strand_function_get_name (function), signature, help->str);
}

Status
stack_functions (Session *session, char **arguments)
{
  g_autoptr(Table) table = table_new ("FUNCTION", "SIGNATURE", "HELP", NULL);
  g_autoptr(GPtrArray) functions = NULL;
  g_autoptr(GError) error = NULL;

  if (arguments[0] != NULL)
    return session_usage (session, "'functions' takes no arguments");
  if (!session_load (session, &error))
    return session_complain (error);

  functions = strand_registry_list (strand_registry_get_default ());
  if (session->json)
    print_functions_json (functions);
  for (guint i = 0; i < functions->len && !session->json; i++)
    add_function (table, g_ptr_array_index (functions, i));
  table_print (table);
  if (functions->len == 0 && !session->quiet)
    session_say ("There are no functions; load a module that has some with -m, such as '-m demo'");
  return STATUS_DONE;
}
