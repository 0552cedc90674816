/* strand-flow-part.c — from a part of a flow to the record of a call or of another flow, and back.
 *
 * A member's key is made of its flow's and its place, so that whoever finds a flow knows all its members, and
 * two who make the same one make it under the same key: the store takes it once.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-flow-step-private.h"

#include <string.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-payload.h"

/* What a call's options say, under the names of the record's fields; what is not there comes from the flow.
 */
static const StrandField option_fields[] = { STRAND_FIELD_TIMEOUT, STRAND_FIELD_RETRIES,
                                             STRAND_FIELD_PRIORITY, STRAND_FIELD_NOT_BEFORE,
                                             STRAND_FIELD_EXPIRES };

gboolean
strand_flow_is_name (const char *function)
{
  return strcmp (function, STRAND_FLOW_CHAIN) == 0 || strcmp (function, STRAND_FLOW_GROUP) == 0;
}

gboolean
strand_flow_is_one (StrandRecord *record)
{
  return strcmp (strand_record_get_string (record, STRAND_FIELD_KIND), STRAND_FLOW_KIND) == 0;
}

const char *
strand_flow_header (StrandRecord *record, const char *name)
{
  GVariant *headers = strand_record_get_variant (record, STRAND_FIELD_HEADERS);
  const char *value = NULL;

  if (headers != NULL)
    g_variant_lookup (headers, name, "&s", &value);
  return value;
}

/* Headers without strand's own, or as they are but for one. */
static void
copy_headers (StrandRecord *record, GVariantDict *to, gboolean own_too)
{
  GVariant *headers = strand_record_get_variant (record, STRAND_FIELD_HEADERS);
  GVariantIter iter;
  const char *name, *value;

  if (headers == NULL)
    return;
  g_variant_iter_init (&iter, headers);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
    if (own_too || !g_str_has_prefix (name, "strand."))
      g_variant_dict_insert (to, name, "s", value);
}

static void
write_headers (StrandRecord *record, GVariantDict *from)
{
  g_autoptr(GVariant) all = g_variant_ref_sink (g_variant_dict_end (from));
  GVariantBuilder builder;
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_variant_iter_init (&iter, all);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    g_variant_builder_add (&builder, "{ss}", name, g_variant_get_string (value, NULL));
  strand_record_set_variant (record, STRAND_FIELD_HEADERS,
                             g_variant_n_children (all) > 0 ? g_variant_builder_end (&builder) : NULL);
  if (g_variant_n_children (all) == 0)
    g_variant_builder_clear (&builder);
}

void
strand_flow_set_header (StrandRecord *record, const char *name, const char *value)
{
  GVariantDict headers;

  g_variant_dict_init (&headers, NULL);
  copy_headers (record, &headers, TRUE);
  g_variant_dict_remove (&headers, name);
  if (value != NULL)
    g_variant_dict_insert (&headers, name, "s", value);
  write_headers (record, &headers);
}

void
strand_flow_drop_headers (StrandRecord *record)
{
  GVariantDict headers;

  g_variant_dict_init (&headers, NULL);
  copy_headers (record, &headers, FALSE);
  write_headers (record, &headers);
}

const char *
strand_flow_of (StrandRecord *record)
{
  return strand_flow_header (record, STRAND_FLOW_HEADER);
}

char *
strand_flow_member_key (StrandRecord *flow, guint place)
{
  const char *prefix = strand_flow_header (flow, STRAND_FLOW_HEADER_MEMBERS);

  return g_strdup_printf ("%s.%u", prefix != NULL ? prefix : strand_record_get_key (flow), place);
}

/* --- options -------------------------------------------------------------------------------------------- */

static void
add_int (GVariantDict *known, StrandField field, gint64 value)
{
  g_variant_dict_insert (known, strand_field_get_name (field), "x", value);
}

void
strand_flow_part_add_options (GVariantDict *known, StrandOptions *options)
{
  GHashTable *headers = strand_options_get_headers (options);
  gint64 timeout_us = strand_options_get_timeout (options);
  gint64 ttl_us = strand_options_get_ttl (options);
  GVariantBuilder builder;
  GHashTableIter iter;
  gpointer name, value;

  if (timeout_us != STRAND_UNSET)
    add_int (known, STRAND_FIELD_TIMEOUT, timeout_us);
  if (ttl_us != STRAND_UNSET)
    add_int (known, STRAND_FIELD_TTL, ttl_us < 0 ? G_MAXINT64 : ttl_us);
  if (strand_options_get_retries (options) >= 0)
    add_int (known, STRAND_FIELD_RETRIES, strand_options_get_retries (options));
  if (strand_options_get_priority (options) != 0)
    add_int (known, STRAND_FIELD_PRIORITY, strand_options_get_priority (options));
  if (strand_options_get_not_before (options) != 0)
    add_int (known, STRAND_FIELD_NOT_BEFORE, strand_options_get_not_before (options));
  if (strand_options_get_expires (options) != 0)
    add_int (known, STRAND_FIELD_EXPIRES, strand_options_get_expires (options));
  if (strand_options_get_queue (options) != NULL)
    g_variant_dict_insert (known, strand_field_get_name (STRAND_FIELD_QUEUE), "s",
                           strand_options_get_queue (options));
  if (headers == NULL || g_hash_table_size (headers) == 0)
    return;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_hash_table_iter_init (&iter, headers);
  while (g_hash_table_iter_next (&iter, &name, &value))
    g_variant_builder_add (&builder, "{ss}", name, value);
  g_variant_dict_insert_value (known, "headers", g_variant_builder_end (&builder));
}

/* --- forward -------------------------------------------------------------------------------------------- */

/* How long the flow's members are kept after its end, where they say nothing else. */
static gint64
ttl_of_flow (StrandRecord *flow)
{
  const char *own = strand_flow_header (flow, STRAND_FLOW_HEADER_TTL);

  return own != NULL ? g_ascii_strtoll (own, NULL, 10) : strand_record_get_int (flow, STRAND_FIELD_TTL);
}

/* A member is kept until its flow has ended, because its value may be wanted until then. */
static void
keep (StrandRecord *member, gint64 ttl_us)
{
  strand_record_set_int (member, STRAND_FIELD_TTL, G_MAXINT64);
  if (ttl_us >= 0 && ttl_us < G_MAXINT64)
    {
      g_autofree char *text = g_strdup_printf ("%" G_GINT64_FORMAT, ttl_us);

      strand_flow_set_header (member, STRAND_FLOW_HEADER_TTL, text);
    }
}

static void
add_headers (StrandRecord *member, StrandRecord *flow, GVariantDict *known)
{
  g_autoptr(GVariant) own = g_variant_dict_lookup_value (known, "headers", G_VARIANT_TYPE ("a{ss}"));
  GVariantDict headers;
  GVariantIter iter;
  const char *name, *value;

  g_variant_dict_init (&headers, NULL);
  copy_headers (flow, &headers, FALSE);
  if (own != NULL)
    {
      g_variant_iter_init (&iter, own);
      while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
        g_variant_dict_insert (&headers, name, "s", value);
    }
  write_headers (member, &headers);
}

static StrandRecord *
new_member (StrandRecord *flow, guint place, GVariantDict *known)
{
  g_autofree char *key = strand_flow_member_key (flow, place);
  g_autofree char *place_text = g_strdup_printf ("%u", place);
  StrandRecord *member = strand_record_new (key);
  const char *queue = strand_record_get_string (flow, STRAND_FIELD_QUEUE);
  gint64 ttl_us = ttl_of_flow (flow);

  for (guint i = 0; i < G_N_ELEMENTS (option_fields); i++)
    {
      gint64 value = strand_record_get_int (flow, option_fields[i]);

      g_variant_dict_lookup (known, strand_field_get_name (option_fields[i]), "x", &value);
      strand_record_set_int (member, option_fields[i], value);
    }
  g_variant_dict_lookup (known, "queue", "&s", &queue);
  g_variant_dict_lookup (known, "ttl", "x", &ttl_us);
  strand_record_set_string (member, STRAND_FIELD_QUEUE, queue);
  strand_record_set_string (member, STRAND_FIELD_SERIALIZER,
                            strand_record_get_string (flow, STRAND_FIELD_SERIALIZER));
  strand_record_set_int (member, STRAND_FIELD_CREATED, strand_clock_now_us ());
  add_headers (member, flow, known);
  strand_flow_set_header (member, STRAND_FLOW_HEADER, strand_record_get_key (flow));
  strand_flow_set_header (member, STRAND_FLOW_HEADER_PLACE, place_text);
  keep (member, ttl_us);
  return member;
}

/* The arguments with the value where it belongs. */
static GVariant *
fill_hole (GVariant *arguments, guint hole, GVariant *input, GError **error)
{
  gsize n = g_variant_n_children (arguments);
  GVariantBuilder builder;

  if (input == NULL || hole >= n)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "argument %u is to be the value of the part before it, and there is none", hole + 1);
      return NULL;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) argument = g_variant_get_child_value (arguments, i);

      g_variant_builder_add_value (&builder, i == hole ? input : argument);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static gboolean
fill_call (StrandRecord *member, GVariantDict *known, GVariant *input, GError **error)
{
  g_autoptr(GVariant) arguments = g_variant_dict_lookup_value (known, "arguments", G_VARIANT_TYPE_TUPLE);
  const char *function;
  guint32 hole;

  if (arguments == NULL || !g_variant_dict_lookup (known, "function", "&s", &function))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "a call has no function, or no tuple of arguments");
      return FALSE;
    }
  if (g_variant_dict_lookup (known, "hole", "u", &hole))
    {
      GVariant *filled = fill_hole (arguments, hole, input, error);

      if (filled == NULL)
        return FALSE;
      g_variant_unref (arguments);
      arguments = filled;
    }
  strand_record_set_string (member, STRAND_FIELD_FUNCTION, function);
  return strand_record_rewrite_arguments (member, arguments, error);
}

static gboolean
fill_flow (StrandRecord *member, const char *what, GVariantDict *known, GVariant *parts, GVariant *input,
           GError **error)
{
  g_autoptr(GVariant) arguments = NULL;

  if (strcmp (what, STRAND_FLOW_CHAIN) != 0 && strcmp (what, STRAND_FLOW_GROUP) != 0)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "'%s' is no part of a flow", what);
      return FALSE;
    }
  if (input != NULL)
    g_variant_dict_insert_value (known, "input", input);
  arguments = g_variant_ref_sink (g_variant_new ("(s@a{sv}@av)", what, g_variant_dict_end (known), parts));
  strand_record_set_string (member, STRAND_FIELD_KIND, STRAND_FLOW_KIND);
  strand_record_set_string (member, STRAND_FIELD_FUNCTION, what);
  strand_flow_set_header (member, STRAND_FLOW_HEADER_MEMBERS, strand_record_get_key (member));
  return strand_record_rewrite_arguments (member, arguments, error);
}

/* The pending record of one part. @input: (nullable): the value that it gets */
StrandRecord *
strand_flow_make_member (StrandRecord *flow, guint place, GVariant *part, GVariant *input, GError **error)
{
  g_autoptr(StrandRecord) member = NULL;
  g_autoptr(GVariant) given = NULL;
  g_autoptr(GVariant) parts = NULL;
  GVariantDict known;
  const char *what;
  gboolean made;

  if (!g_variant_is_of_type (part, G_VARIANT_TYPE (STRAND_FLOW_TYPE)))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "Part %u of flow '%s' is of type '%s', not '%s'", place + 1, strand_record_get_key (flow),
                   g_variant_get_type_string (part), STRAND_FLOW_TYPE);
      return NULL;
    }
  g_variant_get (part, "(&s@a{sv}@av)", &what, &given, &parts);
  g_variant_dict_init (&known, given);
  member = new_member (flow, place, &known);
  if (strcmp (what, "call") == 0)
    made = fill_call (member, &known, input, error);
  else
    made = fill_flow (member, what, &known, parts, input, error);
  g_variant_dict_clear (&known);
  if (made)
    return g_steal_pointer (&member);
  g_prefix_error (error, "Could not start part %u of flow '%s': ", place + 1, strand_record_get_key (flow));
  return NULL;
}

/* --- back ----------------------------------------------------------------------------------------------- */

/* A part that makes this call once more, with the arguments that it had. */
GVariant *
strand_flow_part_of_call (StrandRecord *call, GError **error)
{
  g_autoptr(GVariant) arguments = strand_record_dup_arguments (call, error);
  const char *ttl = strand_flow_header (call, STRAND_FLOW_HEADER_TTL);
  const char *queue = strand_record_get_string (call, STRAND_FIELD_QUEUE);
  const char *function = strand_record_get_string (call, STRAND_FIELD_FUNCTION);
  g_autoptr(StrandRecord) plain = NULL;
  GVariantDict known;
  GVariant *headers;

  if (arguments == NULL)
    return NULL;
  g_variant_dict_init (&known, NULL);
  g_variant_dict_insert (&known, "function", "s", function != NULL ? function : "");
  g_variant_dict_insert_value (&known, "arguments", arguments);
  for (guint i = 0; i < G_N_ELEMENTS (option_fields); i++)
    if (option_fields[i] != STRAND_FIELD_NOT_BEFORE && option_fields[i] != STRAND_FIELD_EXPIRES)
      add_int (&known, option_fields[i], strand_record_get_int (call, option_fields[i]));
  if (ttl != NULL)
    add_int (&known, STRAND_FIELD_TTL, g_ascii_strtoll (ttl, NULL, 10));
  if (queue != NULL)
    g_variant_dict_insert (&known, "queue", "s", queue);
  plain = strand_record_copy (call);
  strand_flow_drop_headers (plain);
  headers = strand_record_get_variant (plain, STRAND_FIELD_HEADERS);
  if (headers != NULL)
    g_variant_dict_insert_value (&known, "headers", headers);
  return g_variant_new ("(s@a{sv}av)", "call", g_variant_dict_end (&known), NULL);
}

static GVariant *part_of_flow (StrandStore *store, StrandRecord *flow, guint depth, GError **error);

static GVariant *
part_of_member (StrandStore *store, StrandRecord *flow, guint place, guint depth, GError **error)
{
  g_autofree char *key = strand_flow_member_key (flow, place);
  g_autoptr(StrandRecord) member = strand_store_get (store, key, error);

  if (member == NULL)
    return NULL;
  return strand_flow_is_one (member) ? part_of_flow (store, member, depth + 1, error)
                                     : strand_flow_part_of_call (member, error);
}

/* A group's record does not carry its parts any more, but its members are there as long as it is. */
static GVariant *
part_of_group (StrandStore *store, StrandRecord *flow, guint depth, GError **error)
{
  GVariant *metadata = strand_record_get_variant (flow, STRAND_FIELD_METADATA);
  GVariantBuilder parts;
  GVariantDict known;
  gboolean strict = FALSE;
  guint32 n = 0;

  if (metadata != NULL)
    {
      g_variant_lookup (metadata, KNOWS_OF, "u", &n);
      g_variant_lookup (metadata, KNOWS_STRICT, "b", &strict);
    }
  g_variant_builder_init (&parts, G_VARIANT_TYPE ("av"));
  for (guint place = 0; place < n; place++)
    {
      GVariant *part = part_of_member (store, flow, place, depth, error);

      if (part == NULL)
        {
          g_variant_builder_clear (&parts);
          return NULL;
        }
      g_variant_builder_add (&parts, "v", part);
    }
  g_variant_dict_init (&known, NULL);
  if (strict)
    g_variant_dict_insert (&known, "stop", "b", TRUE);
  return g_variant_new ("(s@a{sv}@av)", STRAND_FLOW_GROUP, g_variant_dict_end (&known),
                        g_variant_builder_end (&parts));
}

static GVariant *
part_of_flow (StrandStore *store, StrandRecord *flow, guint depth, GError **error)
{
  g_autoptr(GVariant) body = NULL;

  if (depth > STRAND_FLOW_MAX_DEPTH)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "flow '%s' is a part of itself",
                   strand_record_get_key (flow));
      return NULL;
    }
  if (strand_record_get_bytes (flow, STRAND_FIELD_ARGUMENTS) == NULL)
    return part_of_group (store, flow, depth, error);
  body = strand_record_dup_arguments (flow, error);
  if (body == NULL || g_variant_is_of_type (body, G_VARIANT_TYPE (STRAND_FLOW_TYPE)))
    return g_steal_pointer (&body);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "flow '%s' does not say what it consists of",
               strand_record_get_key (flow));
  return NULL;
}

/* Makes @again, which has all else of @old, the same flow from its beginning. */
gboolean
strand_flow_make_again (StrandStore *store, StrandRecord *old, StrandRecord *again, GError **error)
{
  GVariant *part = part_of_flow (store, old, 0, error);
  g_autoptr(GVariant) body = part != NULL ? g_variant_take_ref (part) : NULL;

  if (body == NULL)
    return FALSE;
  strand_record_set_string (again, STRAND_FIELD_KIND, STRAND_FLOW_KIND);
  strand_flow_set_header (again, STRAND_FLOW_HEADER_MEMBERS, strand_record_get_key (again));
  return strand_record_rewrite_arguments (again, body, error);
}
