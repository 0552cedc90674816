/* strand-json-write.c — GVariant values as JSON, so that strand-json-read.c makes equal ones of it.
 *
 * docs/record-format.md is the table of encodings.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-json.h"

#include <string.h>

#include "strand-json-private.h"

/* Below this many keys, comparing each with each is quicker than hashing them. */
#define FEW_KEYS 12

static gboolean append_value (GString *json, GVariant *value, guint depth);

gboolean
strand_json_are_distinct (GPtrArray *keys)
{
  g_autoptr(GHashTable) seen = NULL;

  if (keys->len <= FEW_KEYS)
    {
      for (guint i = 0; i < keys->len; i++)
        for (guint j = i + 1; j < keys->len; j++)
          if (strcmp (keys->pdata[i], keys->pdata[j]) == 0)
            return FALSE;
      return TRUE;
    }

  seen = g_hash_table_new (g_str_hash, g_str_equal);
  for (guint i = 0; i < keys->len; i++)
    if (!g_hash_table_add (seen, keys->pdata[i]))
      return FALSE;
  return TRUE;
}

static void
append_fixed (GString *json, char type, gconstpointer element)
{
  switch (type)
    {
    case 'b':
      g_string_append (json, *(const guint8 *) element != 0 ? "true" : "false");
      break;
    case 'n':
      strand_json_append_int (json, *(const gint16 *) element);
      break;
    case 'q':
      strand_json_append_uint (json, *(const guint16 *) element);
      break;
    case 'i':
    case 'h':
      strand_json_append_int (json, *(const gint32 *) element);
      break;
    case 'u':
      strand_json_append_uint (json, *(const guint32 *) element);
      break;
    case 'x':
      strand_json_append_int (json, *(const gint64 *) element);
      break;
    case 't':
      strand_json_append_uint (json, *(const guint64 *) element);
      break;
    case 'd':
      strand_json_append_double (json, *(const double *) element);
      break;
    default:
      g_assert_not_reached ();
    }
}

/* A value that was read from bytes of the wrong size has no data; GVariant takes it for zero. */
static void
append_number (GString *json, char type, GVariant *value)
{
  static const guint64 zero = 0;
  gconstpointer data = g_variant_get_data (value);

  append_fixed (json, type, data != NULL ? data : &zero);
}

static void
append_fixed_array (GString *json, GVariant *value, char type)
{
  gsize n, size = strand_json_fixed_size (type);
  const char *elements = g_variant_get_fixed_array (value, &n, size);

  g_string_append_c (json, '[');
  for (gsize i = 0; i < n; i++)
    {
      if (i > 0)
        g_string_append_c (json, ',');
      append_fixed (json, type, elements + i * size);
    }
  g_string_append_c (json, ']');
}

static void
append_bytes (GString *json, GVariant *value)
{
  gsize n;
  gconstpointer data = g_variant_get_fixed_array (value, &n, 1);

  strand_json_append_base64 (json, data, n);
}

/* Arrays, tuples, dictionary entries, and a maybe that holds something. */
static gboolean
append_children (GString *json, GVariant *value, guint depth)
{
  gsize n = g_variant_n_children (value);

  g_string_append_c (json, '[');
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (value, i);

      if (i > 0)
        g_string_append_c (json, ',');
      if (!append_value (json, child, depth))
        return FALSE;
    }
  g_string_append_c (json, ']');
  return TRUE;
}

/* A dictionary with string keys is an object, unless a key comes twice: an object would lose one. */
static gboolean
append_dictionary (GString *json, GVariant *value, guint depth)
{
  gsize n = g_variant_n_children (value);
  g_autoptr(GPtrArray) values = g_ptr_array_new_full (n * 2, (GDestroyNotify) g_variant_unref);
  g_autoptr(GPtrArray) keys = g_ptr_array_sized_new (n);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) entry = g_variant_get_child_value (value, i);
      GVariant *key = g_variant_get_child_value (entry, 0);

      g_ptr_array_add (values, key);
      g_ptr_array_add (values, g_variant_get_child_value (entry, 1));
      g_ptr_array_add (keys, (char *) g_variant_get_string (key, NULL));
    }
  if (!strand_json_are_distinct (keys))
    return append_children (json, value, depth);

  g_string_append_c (json, '{');
  for (gsize i = 0; i < n; i++)
    {
      if (i > 0)
        g_string_append_c (json, ',');
      strand_json_append_string (json, keys->pdata[i]);
      g_string_append_c (json, ':');
      /* The entry is a level of its own for GVariant; counted, so that depth means the same in all forms. */
      if (depth == 0 || !append_value (json, values->pdata[i * 2 + 1], depth - 1))
        return FALSE;
    }
  g_string_append_c (json, '}');
  return TRUE;
}

static gboolean
append_array (GString *json, GVariant *value, guint depth)
{
  const char *type = g_variant_get_type_string (value) + 1;

  if (*type == 'y')
    append_bytes (json, value);
  else if (strand_json_fixed_size (*type) != 0)
    append_fixed_array (json, value, *type);
  else if (*type == '{' && type[1] == 's')
    return append_dictionary (json, value, depth);
  else
    return append_children (json, value, depth);
  return TRUE;
}

static gboolean
append_boxed (GString *json, GVariant *value, guint depth)
{
  g_autoptr(GVariant) inner = g_variant_get_variant (value);

  g_string_append (json, "{\"type\":\"");
  g_string_append (json, g_variant_get_type_string (inner));
  g_string_append (json, "\",\"value\":");
  if (!append_value (json, inner, depth))
    return FALSE;
  g_string_append_c (json, '}');
  return TRUE;
}

/* @depth: how many brackets may still be opened. */
static gboolean
append_container (GString *json, GVariant *value, guint depth)
{
  if (depth == 0)
    return FALSE;

  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_VARIANT:
      return append_boxed (json, value, depth - 1);
    case G_VARIANT_CLASS_ARRAY:
      return append_array (json, value, depth - 1);
    case G_VARIANT_CLASS_MAYBE:
      if (g_variant_n_children (value) == 0)
        {
          g_string_append (json, "null");
          return TRUE;
        }
      return append_children (json, value, depth - 1);
    default:
      return append_children (json, value, depth - 1);
    }
}

static gboolean
append_value (GString *json, GVariant *value, guint depth)
{
  char type = *g_variant_get_type_string (value);

  if (strand_json_is_string_type (type))
    strand_json_append_string (json, g_variant_get_string (value, NULL));
  else if (type == 'y')
    strand_json_append_uint (json, g_variant_get_byte (value));
  else if (strand_json_fixed_size (type) != 0)
    append_number (json, type, value);
  else
    return append_container (json, value, depth);
  return TRUE;
}

static gboolean
fits (GVariant *value, guint depth)
{
  const char *type = g_variant_get_type_string (value);
  gsize n;

  /* Without a variant inside, the type says how deep: each letter but the last can open one level. */
  if (strchr (type, 'v') == NULL && strlen (type) - 1 <= depth)
    return TRUE;
  if (!g_variant_is_container (value))
    return TRUE;
  if (depth == 0)
    return FALSE;

  n = g_variant_n_children (value);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (value, i);

      if (!fits (child, depth - 1))
        return FALSE;
    }

  return TRUE;
}

gboolean
strand_json_can_hold (GVariant *value)
{
  return fits (value, STRAND_JSON_MAX_DEPTH);
}

/**
 * strand_json_append_variant:
 * @json: where to append
 * @value: a value of any type; a floating reference is taken
 *
 * Appends @value as JSON from which strand_json_to_variant() makes an equal value.
 *
 * Returns: `TRUE`, or `FALSE` if @value nests deeper than %STRAND_JSON_MAX_DEPTH; nothing is appended then
 * Since: 1.0
 */
gboolean
strand_json_append_variant (GString *json, GVariant *value)
{
  g_autoptr(GVariant) own = NULL;
  gsize before;

  g_return_val_if_fail (json != NULL, FALSE);
  g_return_val_if_fail (value != NULL, FALSE);

  own = g_variant_ref_sink (value);
  before = json->len;
  if (append_value (json, own, STRAND_JSON_MAX_DEPTH))
    return TRUE;

  g_string_truncate (json, before);
  return FALSE;
}

/**
 * strand_json_append_string:
 * @json: where to append
 * @text: (nullable): text, or `NULL`
 *
 * Appends @text as a JSON string with its quotes; `NULL` as null. Bytes that are not UTF-8 become U+FFFD.
 *
 * Since: 1.0
 */
void
strand_json_append_string (GString *json, const char *text)
{
  g_autofree char *valid = NULL;
  gsize length;

  g_return_if_fail (json != NULL);

  if (text == NULL)
    {
      g_string_append (json, "null");
      return;
    }

  length = strlen (text);
  if (!g_utf8_validate_len (text, length, NULL))
    {
      text = valid = g_utf8_make_valid (text, (gssize) length);
      length = strlen (valid);
    }
  strand_json_append_utf8 (json, text, length);
}
