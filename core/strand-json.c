/* strand-json.c — GVariant values as JSON and back, exactly.
 *
 * Both directions walk the type, not the text: the reader knows what it expects at each place, so a text is
 * either a value of that type or an error with its place. Depth is counted down and checked before each step
 * in; it ends where GVariant's own does. docs/record-format.md is the table of encodings.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-json.h"

#include <string.h>

#include "strand-error.h"
#include "strand-json-private.h"

/* Below this many keys, comparing each with each is quicker than hashing them. */
#define FEW_KEYS 12

static gboolean append_value (GString *json, GVariant *value, guint depth);
static GVariant *read_value (StrandJsonText *text, const GVariantType *type, guint depth, GError **error);

/* Bytes of one element where GVariant can lend all of them as a C array, and they are worth it; else 0. */
static gsize
fixed_size (char type)
{
  switch (type)
    {
    case 'b':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

static gboolean
is_string_type (char type)
{
  return type == 's' || type == 'o' || type == 'g';
}

/* Whether no two of the strings are equal. */
static gboolean
are_distinct (GPtrArray *keys)
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
  gsize n, size = fixed_size (type);
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
  if (!are_distinct (keys))
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
  else if (fixed_size (*type) != 0)
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

  if (is_string_type (type))
    strand_json_append_string (json, g_variant_get_string (value, NULL));
  else if (type == 'y')
    strand_json_append_uint (json, g_variant_get_byte (value));
  else if (fixed_size (type) != 0)
    append_number (json, type, value);
  else
    return append_container (json, value, depth);
  return TRUE;
}

static gboolean
read_boolean (StrandJsonText *text, guint8 *value, GError **error)
{
  if (strand_json_take_word (text, "true"))
    *value = 1;
  else if (strand_json_take_word (text, "false"))
    *value = 0;
  else
    return strand_json_fail (text, text->at, "true or false", error);
  return TRUE;
}

/* One element of a fixed-size basic type, in the machine's own form. */
static gboolean
read_fixed (StrandJsonText *text, char type, gpointer element, GError **error)
{
  gint64 number = 0;
  guint64 natural = 0;
  gboolean ok;

  switch (type)
    {
    case 'b':
      return read_boolean (text, element, error);
    case 'y':
      ok = strand_json_read_uint (text, G_MAXUINT8, &natural, error);
      *(guint8 *) element = (guint8) natural;
      return ok;
    case 'n':
      ok = strand_json_read_int (text, G_MININT16, G_MAXINT16, &number, error);
      *(gint16 *) element = (gint16) number;
      return ok;
    case 'q':
      ok = strand_json_read_uint (text, G_MAXUINT16, &natural, error);
      *(guint16 *) element = (guint16) natural;
      return ok;
    case 'i':
    case 'h':
      ok = strand_json_read_int (text, G_MININT32, G_MAXINT32, &number, error);
      *(gint32 *) element = (gint32) number;
      return ok;
    case 'u':
      ok = strand_json_read_uint (text, G_MAXUINT32, &natural, error);
      *(guint32 *) element = (guint32) natural;
      return ok;
    case 'x':
      return strand_json_read_int (text, G_MININT64, G_MAXINT64, element, error);
    case 't':
      return strand_json_read_uint (text, G_MAXUINT64, element, error);
    case 'd':
      return strand_json_read_double (text, element, error);
    default:
      g_assert_not_reached ();
    }
}

static GVariant *
read_basic (StrandJsonText *text, char type, GError **error)
{
  union { guint8 y; gint16 n; guint16 q; gint32 i; guint32 u; gint64 x; guint64 t; double d; } value = { .t = 0 };

  if (!read_fixed (text, type, &value, error))
    return NULL;

  switch (type)
    {
    case 'b':
      return g_variant_new_boolean (value.y);
    case 'y':
      return g_variant_new_byte (value.y);
    case 'n':
      return g_variant_new_int16 (value.n);
    case 'q':
      return g_variant_new_uint16 (value.q);
    case 'i':
      return g_variant_new_int32 (value.i);
    case 'h':
      return g_variant_new_handle (value.i);
    case 'u':
      return g_variant_new_uint32 (value.u);
    case 'x':
      return g_variant_new_int64 (value.x);
    case 't':
      return g_variant_new_uint64 (value.t);
    default:
      return g_variant_new_double (value.d);
    }
}

/* Makes a string of @string, whose @type has a grammar of its own but for 's'. */
static GVariant *
new_string (StrandJsonText *text, const StrandJsonString *string, char type, GError **error)
{
  g_autofree char *plain = strand_json_string_dup (text, string, error);

  if (plain == NULL)
    return NULL;
  if (type == 's')
    return g_variant_new_take_string (g_steal_pointer (&plain));
  if (type == 'o' && g_variant_is_object_path (plain))
    return g_variant_new_object_path (plain);
  if (type == 'g' && g_variant_is_signature (plain))
    return g_variant_new_signature (plain);

  strand_json_fail (text, string->data, type == 'o' ? "a D-Bus object path" : "a D-Bus signature", error);
  return NULL;
}

static GVariant *
read_string (StrandJsonText *text, char type, GError **error)
{
  StrandJsonString string;

  return strand_json_read_string (text, &string, error) ? new_string (text, &string, type, error) : NULL;
}

static GVariant *
read_bytes (StrandJsonText *text, GError **error)
{
  StrandJsonString string;
  guchar *data;
  gsize length;

  if (!strand_json_read_string (text, &string, error))
    return NULL;
  data = strand_json_decode_base64 (text, &string, &length, error);
  if (data == NULL)
    return NULL;
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, length, TRUE, g_free, data);
}

static GVariant *
read_fixed_array (StrandJsonText *text, char type, GError **error)
{
  g_autoptr(GArray) elements = g_array_new (FALSE, TRUE, (guint) fixed_size (type));
  const char element_type[] = { type, '\0' };
  gboolean first = TRUE, more;

  if (!strand_json_expect (text, '[', "'['", error))
    return NULL;
  while (strand_json_next (text, ']', &first, &more, error))
    {
      if (!more)
        return g_variant_new_fixed_array (G_VARIANT_TYPE (element_type), elements->data, elements->len,
                                          fixed_size (type));
      g_array_set_size (elements, elements->len + 1);
      if (!read_fixed (text, type, elements->data + (elements->len - 1) * fixed_size (type), error))
        return NULL;
    }

  return NULL;
}

static GPtrArray *
new_children (void)
{
  return g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
}

/* Makes the container of children whose floating references it takes. */
static GVariant *
new_array (const GVariantType *element, GPtrArray *children)
{
  GVariant *array = g_variant_new_array (element, (GVariant **) children->pdata, children->len);

  g_ptr_array_set_free_func (children, NULL);
  return array;
}

static GVariant *
read_array_of (StrandJsonText *text, const GVariantType *element, guint depth, GError **error)
{
  g_autoptr(GPtrArray) children = new_children ();
  gboolean first = TRUE, more;
  GVariant *child;

  if (!strand_json_expect (text, '[', "'['", error))
    return NULL;
  while (strand_json_next (text, ']', &first, &more, error))
    {
      if (!more)
        return new_array (element, children);
      child = read_value (text, element, depth, error);
      if (child == NULL)
        return NULL;
      g_ptr_array_add (children, child);
    }

  return NULL;
}

/* One member of an object that is a dictionary, as an entry; its key is left at the end of @keys. */
static GVariant *
read_entry (StrandJsonText *text, const StrandJsonString *name, const GVariantType *type, guint depth,
            GPtrArray *keys, GError **error)
{
  GVariant *key = new_string (text, name, 's', error);
  GVariant *value = key != NULL ? read_value (text, g_variant_type_value (type), depth, error) : NULL;

  if (value == NULL)
    {
      g_clear_pointer (&key, g_variant_unref);
      return NULL;
    }
  g_ptr_array_add (keys, (char *) g_variant_get_string (key, NULL));
  return g_variant_new_dict_entry (key, value);
}

static GVariant *
read_object (StrandJsonText *text, const GVariantType *entry, guint depth, GError **error)
{
  g_autoptr(GPtrArray) children = new_children ();
  g_autoptr(GPtrArray) keys = g_ptr_array_new (); /* borrowed from the children */
  gboolean first = TRUE, more;
  const char *start = text->at;
  StrandJsonString name;
  GVariant *child;

  text->at++;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      if (!more)
        {
          if (are_distinct (keys))
            return new_array (entry, children);
          strand_json_fail (text, start, "an object without two members of one name", error);
          return NULL;
        }
      child = read_entry (text, &name, entry, depth, keys, error);
      if (child == NULL)
        return NULL;
      g_ptr_array_add (children, child);
    }

  return NULL;
}

static GVariant *
read_array (StrandJsonText *text, const GVariantType *type, guint depth, GError **error)
{
  const GVariantType *element = g_variant_type_element (type);
  const char *name = g_variant_type_peek_string (element);

  if (*name == 'y')
    return read_bytes (text, error);
  if (fixed_size (*name) != 0)
    return read_fixed_array (text, *name, error);
  if (*name != '{' || name[1] != 's' || strand_json_peek (text) != '{')
    return read_array_of (text, element, depth, error);
  if (depth > 0)
    return read_object (text, element, depth - 1, error);

  strand_json_fail (text, text->at, "at most " G_STRINGIFY (STRAND_JSON_MAX_DEPTH) " nested values", error);
  return NULL;
}

static GVariant *
read_maybe (StrandJsonText *text, const GVariantType *type, guint depth, GError **error)
{
  const GVariantType *element = g_variant_type_element (type);
  GVariant *child;

  if (strand_json_take_word (text, "null"))
    return g_variant_new_maybe (element, NULL);
  if (!strand_json_expect (text, '[', "null or '['", error))
    return NULL;
  child = read_value (text, element, depth, error);
  if (child == NULL)
    return NULL;
  if (strand_json_expect (text, ']', "']'", error))
    return g_variant_new_maybe (element, child);

  g_variant_unref (child);
  return NULL;
}

/* A tuple or a dictionary entry: exactly as many elements as the type has. */
static gboolean
read_members (StrandJsonText *text, const GVariantType *type, guint depth, GPtrArray *children, GError **error)
{
  gboolean first = TRUE, more;
  char expected[64];

  if (!strand_json_expect (text, '[', "'['", error))
    return FALSE;
  for (const GVariantType *member = g_variant_type_first (type); member != NULL; member = g_variant_type_next (member))
    {
      GVariant *child;

      if (!strand_json_next (text, ']', &first, &more, error))
        return FALSE;
      if (!more)
        {
          g_snprintf (expected, sizeof expected, "%" G_GSIZE_FORMAT " elements", g_variant_type_n_items (type));
          return strand_json_fail (text, text->at - 1, expected, error);
        }
      child = read_value (text, member, depth, error);
      if (child == NULL)
        return FALSE;
      g_ptr_array_add (children, child);
    }

  g_snprintf (expected, sizeof expected, "']' after %" G_GSIZE_FORMAT " elements", g_variant_type_n_items (type));
  return strand_json_expect (text, ']', expected, error);
}

static GVariant *
read_tuple (StrandJsonText *text, const GVariantType *type, guint depth, GError **error)
{
  g_autoptr(GPtrArray) children = new_children ();

  if (!read_members (text, type, depth, children, error))
    return NULL;

  g_ptr_array_set_free_func (children, NULL);
  if (g_variant_type_is_dict_entry (type))
    return g_variant_new_dict_entry (children->pdata[0], children->pdata[1]);
  return g_variant_new_tuple ((GVariant **) children->pdata, children->len);
}

/* The type that a string names; NULL with an error if it is none, or not definite. */
static GVariantType *
dup_type (StrandJsonText *text, const StrandJsonString *string, GError **error)
{
  g_autofree char *name = strand_json_string_dup (text, string, error);

  if (name == NULL)
    return NULL;
  if (g_variant_type_string_is_valid (name) && g_variant_type_is_definite (G_VARIANT_TYPE (name)))
    return g_variant_type_new (name);

  strand_json_fail (text, string->data, "a definite GVariant type", error);
  return NULL;
}

/* {"type": …, "value": …} in either order: a value that comes first is passed over and read when its type is known. */
static GVariant *
read_boxed (StrandJsonText *text, guint depth, GError **error)
{
  g_autoptr(GVariantType) type = NULL;
  StrandJsonText later = { 0 };
  g_autoptr(GVariant) value = NULL;
  StrandJsonString name, type_name;
  gboolean first = TRUE, more;

  if (!strand_json_expect (text, '{', "'{'", error))
    return NULL;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      if (!more && value == NULL && type != NULL && later.at != NULL)
        {
          GVariant *late = read_value (&later, type, depth, error);

          return late != NULL ? g_variant_new_variant (late) : NULL;
        }
      if (!more && value != NULL)
        return g_variant_new_variant (value);
      if (!more)
        {
          strand_json_fail (text, text->at - 1, "both \"type\" and \"value\"", error);
          return NULL;
        }

      if (type == NULL && strand_json_string_equal (&name, "type", 4))
        {
          if (!strand_json_read_string (text, &type_name, error))
            return NULL;
          type = dup_type (text, &type_name, error);
          if (type == NULL)
            return NULL;
        }
      else if (value == NULL && later.at == NULL && strand_json_string_equal (&name, "value", 5))
        {
          later = *text;
          if (type != NULL)
            value = read_value (text, type, depth, error);
          if (type != NULL ? value == NULL : !strand_json_skip (text, error))
            return NULL;
          if (value != NULL)
            g_variant_ref_sink (value);
        }
      else
        {
          strand_json_fail (text, name.data, "\"type\" or \"value\", once each", error);
          return NULL;
        }
    }

  return NULL;
}

static GVariant *
read_container (StrandJsonText *text, const GVariantType *type, guint depth, GError **error)
{
  if (depth == 0)
    {
      strand_json_fail (text, text->at, "at most " G_STRINGIFY (STRAND_JSON_MAX_DEPTH) " nested values", error);
      return NULL;
    }

  switch (*g_variant_type_peek_string (type))
    {
    case 'v':
      return read_boxed (text, depth - 1, error);
    case 'a':
      return read_array (text, type, depth - 1, error);
    case 'm':
      return read_maybe (text, type, depth - 1, error);
    default:
      return read_tuple (text, type, depth - 1, error);
    }
}

/* @depth: how many brackets may still be opened. Floating. */
static GVariant *
read_value (StrandJsonText *text, const GVariantType *type, guint depth, GError **error)
{
  char name = *g_variant_type_peek_string (type);

  if (is_string_type (name))
    return read_string (text, name, error);
  if (name == 'y' || fixed_size (name) != 0)
    return read_basic (text, name, error);
  return read_container (text, type, depth, error);
}

GVariant *
strand_json_read_variant (StrandJsonText *text, const GVariantType *type, GError **error)
{
  return read_value (text, type, STRAND_JSON_MAX_DEPTH, error);
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

/**
 * strand_json_to_variant:
 * @json: (array length=length) (element-type guint8): JSON text
 * @length: its length in bytes, or -1 if it ends in NUL
 * @type: the type that the value has, definite
 * @error: return location for a [error@Strand.Error]
 *
 * Reads one value, behind which nothing but white space may follow. The text may be anything, and what is not
 * JSON of a value of @type is refused: `STRAND_ERROR_CORRUPT`, with the place and what was expected there.
 *
 * Returns: (transfer full) (nullable): the value, not floating, or `NULL` with @error set
 * Since: 1.0
 */
GVariant *
strand_json_to_variant (const char *json, gssize length, const GVariantType *type, GError **error)
{
  StrandJsonText text;
  g_autoptr(GVariant) value = NULL;

  g_return_val_if_fail (json != NULL || length == 0, NULL);
  g_return_val_if_fail (type != NULL && g_variant_type_is_definite (type), NULL);

  strand_json_text_init (&text, json, length >= 0 ? (gsize) length : strlen (json));
  value = strand_json_read_variant (&text, type, error);
  if (value == NULL)
    return NULL;

  g_variant_ref_sink (value);
  return strand_json_expect_end (&text, error) ? g_steal_pointer (&value) : NULL;
}
