/* plugins.c — what can be plugged in: plugins, inspect.
 *
 * Listing and `inspect --file` read files only; `inspect KIND/TYPE` loads the plugin, because its properties
 * are what it is asked about.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <float.h>
#include <string.h>

static struct
{
  char *file;
} given;

const Option inspect_options[] = {
  { 0, "file", OPTION_TEXT, &given.file, "FILE", "Read a plugin file's own description" },
  { 0 },
};

static const char *
state_of (const StrandPluginInfo *info)
{
  switch (info->state)
    {
    case STRAND_PLUGIN_STATE_AVAILABLE:
    case STRAND_PLUGIN_STATE_LOADED:
      return "available";
    case STRAND_PLUGIN_STATE_SHADOWED:
      return "shadowed";
    case STRAND_PLUGIN_STATE_REFUSED:
    default:
      return "refused";
    }
}

static void
append_info_json (GString *json, const StrandPluginInfo *info)
{
  g_string_append_c (json, '{');
  output_json_member (json, "kind", info->kind_known ? strand_kind_to_string (info->kind) : NULL);
  output_json_member (json, "type", info->type);
  output_json_member (json, "summary", info->summary);
  output_json_member (json, "plugin", info->plugin_name);
  output_json_member (json, "version", info->plugin_version);
  output_json_member (json, "license", info->license);
  if (info->abi_major >= 0)
    g_string_append_printf (json, ",\"abi\":\"%d.%d\"", info->abi_major, info->abi_minor);
  output_json_member (json, "class", info->gtype_name);
  output_json_member (json, "state", state_of (info));
  output_json_member (json, "file", info->file);
  output_json_member (json, "shadowed-by", info->shadowed_by);
  output_json_member (json, "reason", info->error != NULL ? info->error->message : NULL);
  g_string_append_c (json, '}');
}

static void
print_infos_json (GPtrArray *infos)
{
  GString *json = g_string_new ("[");

  for (guint i = 0; i < infos->len; i++)
    {
      if (i > 0)
        g_string_append (json, ",\n");
      append_info_json (json, g_ptr_array_index (infos, i));
    }
  g_string_append_c (json, ']');
  output_json (json);
}

Status
plugins_list (Session *session, char **arguments)
{
  g_autoptr(Table) table = table_new ("KIND", "TYPE", "VERSION", "STATE", "FILE", "REASON", NULL);
  g_autoptr(GPtrArray) infos = NULL;
  g_autoptr(GError) error = NULL;

  if (arguments[0] != NULL)
    return session_usage (session, "'plugins' takes no arguments");
  /* A keyfile may add folders to the search path. */
  if (session->config != NULL && !session_load_stack (session, &error))
    return session_complain (error);

  infos = strand_plugins_list (strand_plugins_get_default ());
  if (session->json)
    {
      print_infos_json (infos);
      return STATUS_DONE;
    }
  for (guint i = 0; i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      table_add (table, info->kind_known ? strand_kind_to_string (info->kind) : NULL, info->type,
                 info->plugin_version, state_of (info), info->file,
                 info->error != NULL ? info->error->message : NULL);
    }
  table_print (table);
  return STATUS_DONE;
}

static void
print_line (const char *name, const char *text)
{
  g_autofree char *printable = output_dup_printable (text != NULL ? text : "-");

  output_format ("%-10s %s\n", name, printable);
}

static Status
inspect_file (Session *session)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = strand_plugins_inspect_file (given.file, &error);

  if (infos == NULL)
    return session_complain (error);
  if (session->json)
    {
      print_infos_json (infos);
      return STATUS_DONE;
    }
  for (guint i = 0; i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);
      g_autofree char *abi = g_strdup_printf ("%d.%d", info->abi_major, info->abi_minor);
      g_autofree char *name = g_strdup_printf ("%s/%s", strand_kind_to_string (info->kind), info->type);
      g_autofree char *provides = g_strdup_printf ("%s  %s (%s)", name, info->summary, info->gtype_name);

      if (i == 0)
        {
          print_line ("plugin", info->plugin_name);
          print_line ("version", info->plugin_version);
          print_line ("license", info->license);
          print_line ("interface", abi);
          print_line ("file", info->file);
        }
      print_line ("provides", provides);
    }
  return STATUS_DONE;
}

/* What a number may be. The full range of a type is no news. */
static char *
describe_range (const char *minimum, const char *maximum, gboolean has_minimum, gboolean has_maximum)
{
  if (has_minimum && has_maximum)
    return g_strdup_printf ("%s to %s", minimum, maximum);
  if (has_minimum)
    return g_strdup_printf ("%s or more", minimum);
  return has_maximum ? g_strdup_printf ("up to %s", maximum) : NULL;
}

static char *
dup_number (GParamSpec *pspec, gint64 number)
{
  if (pspec->flags & STRAND_PARAM_DURATION)
    return strand_duration_to_string (number);
  if (pspec->flags & STRAND_PARAM_SIZE)
    return strand_size_to_string (number);
  return g_strdup_printf ("%" G_GINT64_FORMAT, number);
}

/* `none` is the -1 that a duration or size begins with: a word beside the range, not its lower end. */
static char *
describe_signed (GParamSpec *pspec, gint64 minimum, gint64 maximum, gint64 lowest, gint64 highest)
{
  gboolean has_none = (pspec->flags & (STRAND_PARAM_DURATION | STRAND_PARAM_SIZE)) != 0 && minimum == -1;
  gint64 first = has_none ? 0 : minimum;
  g_autofree char *low = dup_number (pspec, first);
  g_autofree char *high = maximum < highest ? dup_number (pspec, maximum) : g_strdup ("");
  g_autofree char *range = describe_range (low, high, minimum > lowest, maximum < highest);

  return has_none ? g_strdup_printf ("none, or %s", range) : g_steal_pointer (&range);
}

static char *
describe_double (GParamSpecDouble *spec)
{
  g_autofree char *low = g_strdup_printf ("%g", spec->minimum);
  g_autofree char *high = g_strdup_printf ("%g", spec->maximum);

  return describe_range (low, high, spec->minimum > -DBL_MAX, spec->maximum < DBL_MAX);
}

static char *
describe_enum (GParamSpecEnum *spec)
{
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; i < spec->enum_class->n_values; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? ", " : "", spec->enum_class->values[i].value_nick);
  return g_strdup (text->str);
}

/* What may be written, or NULL where the type says it all. */
static char *
describe_allowed (GParamSpec *pspec)
{
  if (G_IS_PARAM_SPEC_INT (pspec))
    return describe_signed (pspec, G_PARAM_SPEC_INT (pspec)->minimum, G_PARAM_SPEC_INT (pspec)->maximum,
                            G_MININT, G_MAXINT);
  if (G_IS_PARAM_SPEC_INT64 (pspec))
    return describe_signed (pspec, G_PARAM_SPEC_INT64 (pspec)->minimum, G_PARAM_SPEC_INT64 (pspec)->maximum,
                            G_MININT64, G_MAXINT64);
  if (G_IS_PARAM_SPEC_UINT (pspec))
    return describe_signed (pspec, G_PARAM_SPEC_UINT (pspec)->minimum, G_PARAM_SPEC_UINT (pspec)->maximum, -1,
                            G_MAXUINT);
  if (G_IS_PARAM_SPEC_UINT64 (pspec))
    return describe_signed (pspec, (gint64) MIN (G_PARAM_SPEC_UINT64 (pspec)->minimum, G_MAXINT64),
                            (gint64) MIN (G_PARAM_SPEC_UINT64 (pspec)->maximum, G_MAXINT64), -1, G_MAXINT64);
  if (G_IS_PARAM_SPEC_DOUBLE (pspec))
    return describe_double (G_PARAM_SPEC_DOUBLE (pspec));
  if (G_IS_PARAM_SPEC_ENUM (pspec))
    return describe_enum (G_PARAM_SPEC_ENUM (pspec));
  if (G_IS_PARAM_SPEC_BOOLEAN (pspec))
    return g_strdup ("true, false");
  return NULL;
}

/* The kind whose interface a property wants, as "store". */
static const char *
kind_of_interface (GType type)
{
  for (StrandKind kind = 0; kind <= STRAND_KIND_READER; kind++)
    if (type == strand_kind_get_interface (kind))
      return strand_kind_to_string (kind);
  return NULL;
}

static const char *
describe_type (GParamSpec *pspec)
{
  GType type = G_PARAM_SPEC_VALUE_TYPE (pspec);

  if (pspec->flags & STRAND_PARAM_DURATION)
    return "duration";
  if (pspec->flags & STRAND_PARAM_SIZE)
    return "size";
  if (kind_of_interface (type) != NULL)
    return kind_of_interface (type);
  if (type == G_TYPE_LIST_MODEL)
    return "middleware list";
  if (type == G_TYPE_STRV)
    return "strings";
  if (type == G_TYPE_STRING)
    return "string";
  if (type == G_TYPE_BOOLEAN)
    return "boolean";
  if (G_TYPE_IS_ENUM (type))
    return "word";
  if (type == G_TYPE_DOUBLE || type == G_TYPE_FLOAT)
    return "number";
  return G_TYPE_IS_FUNDAMENTAL (type) ? "whole number" : g_type_name (type);
}

static char *
dup_default (GParamSpec *pspec)
{
  const GValue *value = g_param_spec_get_default_value (pspec);
  GType type = G_PARAM_SPEC_VALUE_TYPE (pspec);
  g_auto(GValue) number = G_VALUE_INIT;

  if (pspec->flags & (STRAND_PARAM_SECRET | STRAND_PARAM_REQUIRED))
    return NULL;
  if (type == G_TYPE_STRING)
    return g_value_dup_string (value);
  if (type == G_TYPE_BOOLEAN)
    return g_strdup (g_value_get_boolean (value) ? "true" : "false");
  if (G_TYPE_IS_ENUM (type))
    {
      GEnumValue *item = g_enum_get_value (G_PARAM_SPEC_ENUM (pspec)->enum_class, g_value_get_enum (value));

      return g_strdup (item != NULL ? item->value_nick : NULL);
    }
  if (type == G_TYPE_DOUBLE)
    return g_strdup_printf ("%g", g_value_get_double (value));
  g_value_init (&number, G_TYPE_INT64);
  if (G_TYPE_IS_FUNDAMENTAL (type) && g_value_type_transformable (type, G_TYPE_INT64) &&
      g_value_transform (value, &number))
    return dup_number (pspec, g_value_get_int64 (&number));
  return NULL;
}

static const char *
describe_flags (GParamSpec *pspec)
{
  gboolean required = (pspec->flags & STRAND_PARAM_REQUIRED) != 0;
  gboolean secret = (pspec->flags & STRAND_PARAM_SECRET) != 0;

  return required && secret ? "required, secret" : required ? "required" : secret ? "secret" : NULL;
}

/* A keyfile sets what can be written: GObject itself has no properties. */
static gboolean
is_key (GParamSpec *pspec)
{
  return (pspec->flags & G_PARAM_WRITABLE) != 0;
}

static void
print_property (GParamSpec *pspec)
{
  g_autofree char *allowed = describe_allowed (pspec);
  g_autofree char *value = dup_default (pspec);
  const char *flags = describe_flags (pspec);

  output_format ("\n  %s  %s%s%s", pspec->name, describe_type (pspec), allowed != NULL ? ": " : "",
                 allowed != NULL ? allowed : "");
  if (flags != NULL)
    output_format ("  [%s]", flags);
  if (value != NULL && *value != '\0')
    output_format ("  default %s", value);
  output_format ("\n    %s\n", g_param_spec_get_blurb (pspec) != NULL ? g_param_spec_get_blurb (pspec) : "");
}

static void
append_property_json (GString *json, GParamSpec *pspec)
{
  g_autofree char *allowed = describe_allowed (pspec);
  g_autofree char *value = dup_default (pspec);

  g_string_append (json, json->str[json->len - 1] == '[' ? "{" : ",\n{");
  output_json_member (json, "name", pspec->name);
  output_json_member (json, "type", describe_type (pspec));
  output_json_member (json, "allowed", allowed);
  output_json_member (json, "default", value);
  g_string_append_printf (json, ",\"required\":%s,\"secret\":%s",
                          (pspec->flags & STRAND_PARAM_REQUIRED) != 0 ? "true" : "false",
                          (pspec->flags & STRAND_PARAM_SECRET) != 0 ? "true" : "false");
  output_json_member (json, "help", g_param_spec_get_blurb (pspec));
  g_string_append_c (json, '}');
}

StrandPluginInfo *
plugins_find (StrandKind kind, const char *type)
{
  g_autoptr(GPtrArray) infos = strand_plugins_list (strand_plugins_get_default ());

  for (guint i = 0; i < infos->len; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      if (info->kind_known && info->kind == kind && g_strcmp0 (info->type, type) == 0 &&
          info->state != STRAND_PLUGIN_STATE_SHADOWED)
        return strand_plugin_info_copy (info);
    }
  return NULL;
}

static void
print_type (Session *session, GType gtype, const StrandPluginInfo *info, const char *name)
{
  g_autoptr(GTypeClass) klass = g_type_class_ref (gtype);
  guint n_properties;
  g_autofree GParamSpec **properties = g_object_class_list_properties (G_OBJECT_CLASS (klass), &n_properties);
  GString *json = g_string_new ("{");

  if (!session->json)
    output_format ("%s  %s\n%s%s%s", name, info != NULL ? info->summary : g_type_name (gtype),
                   info != NULL && info->file != NULL ? "file " : "",
                   info != NULL && info->file != NULL ? info->file : "",
                   info != NULL && info->file != NULL ? "\n" : "");
  output_json_member (json, "name", name);
  output_json_member (json, "class", g_type_name (gtype));
  if (info != NULL)
    {
      output_json_member (json, "summary", info->summary);
      output_json_member (json, "version", info->plugin_version);
      output_json_member (json, "file", info->file);
    }
  g_string_append (json, ",\"properties\":[");
  for (guint i = 0; i < n_properties; i++)
    if (is_key (properties[i]))
      {
        append_property_json (json, properties[i]);
        if (!session->json)
          print_property (properties[i]);
      }
  g_string_append (json, "]}");
  if (session->json)
    output_json (json);
  else
    g_string_free (json, TRUE);
}

static Status
inspect_type (Session *session, const char *name)
{
  /* A keyfile's groups of this kind have no type. */
  static const StrandPluginInfo reader = { .summary = (char *) "Runs calls that others left in a store" };
  static const StrandPluginInfo schedule = { .summary = (char *) "Leaves a call in a store again and again" };
  g_auto(GStrv) parts = NULL;
  g_autoptr(StrandPluginInfo) info = NULL;
  g_autoptr(GError) error = NULL;
  StrandKind kind;
  GType gtype;

  if (!g_utf8_validate (name, -1, NULL))
    return session_usage (session, "The type's name is not UTF-8 text");
  if (strcmp (name, "reader") == 0)
    {
      print_type (session, STRAND_TYPE_READER, &reader, name);
      return STATUS_DONE;
    }
  if (strcmp (name, "schedule") == 0)
    {
      print_type (session, STRAND_TYPE_SCHEDULE, &schedule, name);
      return STATUS_DONE;
    }
  parts = g_strsplit (name, "/", 2);
  if (g_strv_length (parts) != 2 || !strand_kind_from_string (parts[0], &kind) || kind >= STRAND_N_KINDS)
    return session_usage (session,
                          "'%.100s' is no KIND/TYPE; kinds are taskrunner, backend, store, serializer, "
                          "middleware; 'reader' and 'schedule' stand alone",
                          name);
  if (session->config != NULL && !session_load_stack (session, &error))
    return session_complain (error);
  gtype = strand_plugins_load (strand_plugins_get_default (), kind, parts[1], &error);
  if (gtype == 0)
    return session_complain (error);
  info = plugins_find (kind, parts[1]);
  print_type (session, gtype, info, name);
  return STATUS_DONE;
}

Status
plugins_inspect (Session *session, char **arguments)
{
  if ((given.file != NULL) + (arguments[0] != NULL) != 1 || (arguments[0] != NULL && arguments[1] != NULL))
    return session_usage (
        session, "'inspect' takes one KIND/TYPE, or 'reader' or 'schedule', or --file and a plugin file");
  return given.file != NULL ? inspect_file (session) : inspect_type (session, arguments[0]);
}
