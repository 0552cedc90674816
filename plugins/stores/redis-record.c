/* redis-record.c — between records and hashes: one hash field for each field that is not at its default.
 *
 * Numbers are decimal, the status is its name, `headers` and their like are JSON, payloads the serializer's
 * bytes. Fields that no record has are passed over: the scripts' `write`, or what others put there.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-record.h"

#include <string.h>

static StrandRecord *blank; /* every field at its default; never written */
static GHashTable *fields_by_name;

void
redis_record_init (void)
{
  blank = strand_record_new ("");
  fields_by_name = g_hash_table_new (g_str_hash, g_str_equal);
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    g_hash_table_insert (fields_by_name, (gpointer) strand_field_get_name (field),
                         GINT_TO_POINTER (field + 1));
}

const char *
redis_record_get_kind (StrandRecord *record)
{
  const char *kind = strand_record_get_string (record, STRAND_FIELD_KIND);

  return kind != NULL ? kind : "call";
}

static const GVariantType *
type_of (StrandField field)
{
  switch ((guint) field)
    {
    case STRAND_FIELD_HEADERS:
      return G_VARIANT_TYPE ("a{ss}");
    case STRAND_FIELD_METADATA:
      return G_VARIANT_TYPE_VARDICT;
    case STRAND_FIELD_WARNINGS:
      return G_VARIANT_TYPE_STRING_ARRAY;
    case STRAND_FIELD_CAUSES:
    default:
      return G_VARIANT_TYPE ("a(usxssis)");
    }
}

static void
append_int (RedisCommand *command, StrandRecord *record, StrandField field)
{
  gint64 number = strand_record_get_int (record, field);

  /* The two that scripts and people look at are always there. */
  if (field == STRAND_FIELD_STATUS)
    {
      redis_command_add (command, "status");
      redis_command_add (command, strand_status_to_string (number));
    }
  else if (number != strand_record_get_int (blank, field) || field == STRAND_FIELD_REVISION)
    {
      redis_command_add (command, strand_field_get_name (field));
      redis_command_add_int (command, number);
    }
}

static void
append_double (RedisCommand *command, StrandRecord *record, StrandField field)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  double number = strand_record_get_double (record, field);

  if (number == strand_record_get_double (blank, field))
    return;
  redis_command_add (command, strand_field_get_name (field));
  redis_command_add (command, g_ascii_dtostr (text, sizeof text, number));
}

static void
append_variant (RedisCommand *command, StrandRecord *record, StrandField field)
{
  GVariant *variant = strand_record_get_variant (record, field);
  g_autoptr(GString) json = NULL;

  if (variant == NULL)
    return;
  json = g_string_new (NULL);
  strand_json_append_variant (json, variant);
  redis_command_add (command, strand_field_get_name (field));
  redis_command_add_bytes (command, json->str, json->len);
}

static void
append_field (RedisCommand *command, StrandRecord *record, StrandField field)
{
  const char *text;
  GBytes *bytes;

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      append_int (command, record, field);
      break;
    case STRAND_SHAPE_DOUBLE:
      append_double (command, record, field);
      break;
    case STRAND_SHAPE_VARIANT:
      append_variant (command, record, field);
      break;
    case STRAND_SHAPE_STRING:
      text = strand_record_get_string (record, field);
      if (text == NULL || (field == STRAND_FIELD_KIND && strcmp (text, "call") == 0))
        break;
      redis_command_add (command, strand_field_get_name (field));
      redis_command_add (command, text);
      break;
    case STRAND_SHAPE_BYTES:
    default:
      bytes = strand_record_get_bytes (record, field);
      if (bytes == NULL)
        break;
      redis_command_add (command, strand_field_get_name (field));
      redis_command_add_bytes (command, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      break;
    }
}

void
redis_record_append (RedisCommand *command, StrandRecord *record)
{
  for (StrandField field = 0; field < STRAND_N_FIELDS; field++)
    if (field != STRAND_FIELD_KEY) /* it is in the hash's own name */
      append_field (command, record, field);
}

static gboolean
refuse (StrandField field, const char *why, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "field '%s' %s", strand_field_get_name (field),
               why);
  return FALSE;
}

static gboolean
read_int (StrandRecord *record, StrandField field, redisReply *value, GError **error)
{
  StrandStatus status;
  gint64 number;

  if (field == STRAND_FIELD_STATUS)
    {
      if (!strand_status_from_string (value->str, &status))
        return refuse (field, "is no status", error);
      strand_record_set_int (record, field, status);
      return TRUE;
    }
  if (!g_ascii_string_to_signed (value->str, 10, G_MININT64, G_MAXINT64, &number, NULL))
    return refuse (field, "is no whole number", error);
  strand_record_set_int (record, field, number);
  return TRUE;
}

static gboolean
read_double (StrandRecord *record, StrandField field, redisReply *value, GError **error)
{
  char *end;
  double number = g_ascii_strtod (value->str, &end);

  if (end == value->str || *end != '\0')
    return refuse (field, "is no number", error);
  strand_record_set_double (record, field, number);
  return TRUE;
}

static gboolean
read_variant (StrandRecord *record, StrandField field, redisReply *value, GError **error)
{
  g_autoptr(GVariant) variant = strand_json_to_variant (value->str, value->len, type_of (field), error);

  if (variant == NULL)
    {
      g_prefix_error (error, "field '%s': ", strand_field_get_name (field));
      return FALSE;
    }
  strand_record_set_variant (record, field, variant);
  return TRUE;
}

static gboolean
read_field (StrandRecord *record, StrandField field, redisReply *value, GError **error)
{
  g_autoptr(GBytes) bytes = NULL;

  switch (strand_field_get_shape (field))
    {
    case STRAND_SHAPE_INT:
      return read_int (record, field, value, error);
    case STRAND_SHAPE_DOUBLE:
      return read_double (record, field, value, error);
    case STRAND_SHAPE_VARIANT:
      return read_variant (record, field, value, error);
    case STRAND_SHAPE_STRING:
      if (!g_utf8_validate (value->str, value->len, NULL))
        return refuse (field, "is not UTF-8 text", error);
      strand_record_set_string (record, field, value->str);
      return TRUE;
    case STRAND_SHAPE_BYTES:
    default:
      bytes = g_bytes_new (value->str, value->len);
      strand_record_set_bytes (record, field, bytes);
      return TRUE;
    }
}

StrandRecord *
redis_record_read (const char *key, redisReply *fields, GError **error)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);

  if (fields->elements == 0)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
      return NULL;
    }
  for (gsize i = 0; i + 1 < fields->elements; i += 2)
    {
      gpointer found = g_hash_table_lookup (fields_by_name, fields->element[i]->str);
      StrandField field = GPOINTER_TO_INT (found) - 1;

      if (found != NULL && field != STRAND_FIELD_KEY &&
          !read_field (record, field, fields->element[i + 1], error))
        return NULL;
    }
  return strand_record_check (record, error) ? g_steal_pointer (&record) : NULL;
}
