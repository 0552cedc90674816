/* strand-json-read.c — JSON as GVariant values, exactly.
 *
 * We walk the type, not the text: the reader knows what it expects at each place, so a text is either a value
 * of that type or an error with its place. It writes GVariant's serialized form straight away (GVariant's
 * documentation has its rules), since a tree of small values would cost several times as much, and more
 * memory than a hostile text should get. Depth is counted down and checked before each step in; it ends where
 * GVariant's own does. docs/record-format.md is the table of encodings.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-json.h"

#include <string.h>

#include "strand-error.h"
#include "strand-json-private.h"

/* Up to this length, walking over a type is about as quick as looking it up. */
#define LONG_TYPE 64

/* A value being read: the bytes that GVariant would have made of it so far. */
typedef struct
{
  StrandJsonText *text;
  guint8 *data;
  gsize length, room;
  GArray *ends; /* gsize: where children end, of all containers that are open, for those that must say so */
  GPtrArray *types; /* NULL, or the types that the text named; kept, for pointers into them are keys below */
  GHashTable *layouts; /* NULL, or where a container's type starts -> KnownLayout */
} Building;

/* How a type lies in bytes. */
typedef struct
{
  gsize alignment;
  gsize size; /* 0 where it is not the same for all values */
} Layout;

typedef struct
{
  Layout layout;
  const char *after; /* the type */
} KnownLayout;

static gboolean read_value (Building *self, const char *type, guint depth, GError **error);

static gsize
align (gsize offset, gsize alignment)
{
  return (offset + alignment - 1) & ~(alignment - 1);
}

/* Makes room for @n more bytes, which the caller fills. */
static guint8 *
grow (Building *self, gsize n)
{
  gsize at = self->length;

  if (self->room - self->length < n)
    {
      self->room = MAX (self->room * 2, self->length + n);
      self->data = g_realloc (self->data, self->room);
    }
  self->length += n;
  return self->data + at;
}

static void
pad (Building *self, gsize alignment)
{
  gsize n = (0 - self->length) & (alignment - 1);

  if (n > 0)
    memset (grow (self, n), 0, n);
}

static Layout read_layout (Building *self, const char **type);

static Layout
read_container_layout (Building *self, const char **type)
{
  Layout layout = { .alignment = 1, .size = 0 };
  char name = *(*type)++;

  if (name == 'a' || name == 'm')
    return (Layout){ .alignment = read_layout (self, type).alignment, .size = 0 };

  /* A tuple or entry has a fixed size if all its members have, and a size that keeps an array of it aligned.
   */
  for (gboolean fixed = TRUE; **type != ')' && **type != '}';)
    {
      Layout member = read_layout (self, type);

      fixed = fixed && member.size != 0;
      layout.alignment = MAX (layout.alignment, member.alignment);
      layout.size = fixed ? align (layout.size, member.alignment) + member.size : 0;
    }
  if ((*type)[-1] == '(')
    layout.size = 1; /* nothing at all still takes a byte */
  layout.size = align (layout.size, layout.alignment);
  (*type)++;
  return layout;
}

/* The layout of the type that starts at *type, which is left behind it. */
static Layout
read_layout (Building *self, const char **type)
{
  const char *start = *type;
  gsize size = *start == 'y' ? 1 : strand_json_fixed_size (*start);
  KnownLayout *known;

  if (size != 0 || *start == 'v' || strand_json_is_string_type (*start))
    {
      (*type)++;
      return (Layout){ .alignment = size != 0 ? size : *start == 'v' ? 8 : 1, .size = size };
    }
  if (self->layouts == NULL)
    return read_container_layout (self, type);

  known = g_hash_table_lookup (self->layouts, start);
  if (known == NULL)
    {
      known = g_new (KnownLayout, 1);
      known->layout = read_container_layout (self, type);
      known->after = *type;
      g_hash_table_insert (self->layouts, (gpointer) start, known);
    }
  *type = known->after;
  return known->layout;
}

static Layout
layout_of (Building *self, const char *type)
{
  return read_layout (self, &type);
}

/* Layouts of long types are kept: a text could else make us walk one again for each empty array of it. */
static void
note_type (Building *self, gsize length)
{
  if (length > LONG_TYPE && self->layouts == NULL)
    self->layouts = g_hash_table_new_full (NULL, NULL, NULL, g_free);
}

/* How many bytes each of @n offsets takes behind @body bytes. */
static gsize
offset_size (gsize body, gsize n)
{
  if (body + n <= G_MAXUINT8)
    return 1;
  if (body + 2 * n <= G_MAXUINT16)
    return 2;
  return body + 4 * n <= G_MAXUINT32 ? 4 : 8;
}

static void
push_end (Building *self)
{
  g_array_append_val (self->ends, self->length);
}

/* Ends a container that began at @start: writes the ends of its children, which are those from @base on. */
static void
write_ends (Building *self, gsize start, guint base, gboolean reversed)
{
  guint n = self->ends->len - base;
  gsize size = offset_size (self->length - start, n);

  for (guint i = 0; i < n; i++)
    {
      guint64 end =
          GUINT64_TO_LE (g_array_index (self->ends, gsize, base + (reversed ? n - 1 - i : i)) - start);

      memcpy (grow (self, size), &end, size);
    }
  g_array_set_size (self->ends, base);
}

static gboolean
too_deep (Building *self, GError **error)
{
  return strand_json_fail (self->text, self->text->at,
                           "at most " G_STRINGIFY (STRAND_JSON_MAX_DEPTH) " nested values", error);
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

/* A basic type of fixed size, in the machine's own form. */
static gboolean
read_fixed (Building *self, char type, GError **error)
{
  union
  {
    guint8 b;
    gint64 x;
    guint64 t;
    double d;
  } value = { .t = 0 };
  gsize size = type == 'y' ? 1 : strand_json_fixed_size (type);
  gint64 limit = size == 8 ? G_MAXINT64 : (G_GINT64_CONSTANT (1) << (size * 8 - 1)) - 1;
  guint64 natural_limit = size == 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << size * 8) - 1;
  gboolean ok;

  if (type == 'b')
    ok = read_boolean (self->text, &value.b, error);
  else if (type == 'd')
    ok = strand_json_read_double (self->text, &value.d, error);
  else if (strchr ("nixh", type) != NULL)
    ok = strand_json_read_int (self->text, -limit - 1, limit, &value.x, error);
  else
    ok = strand_json_read_uint (self->text, natural_limit, &value.t, error);
  if (!ok)
    return FALSE;

  /* The low bytes of a number are first or last. */
  memcpy (grow (self, size),
          (char *) &value + (G_BYTE_ORDER == G_BIG_ENDIAN && type != 'b' ? sizeof value - size : 0), size);
  return TRUE;
}

/* A string, escapes undone, with its NUL. */
static gboolean
write_string (Building *self, const StrandJsonString *string, GError **error)
{
  gsize at = self->length;
  char *out;

  if (string->has_nul)
    return strand_json_fail (self->text, string->data, "a string without NUL", error);

  out = (char *) grow (self, string->length + 1);
  self->length = at + strand_json_string_unescape (string, out);
  *grow (self, 1) = '\0';
  return TRUE;
}

static gboolean
read_string (Building *self, char type, GError **error)
{
  gsize at = self->length;
  StrandJsonString string;
  const char *written;

  if (!strand_json_read_string (self->text, &string, error) || !write_string (self, &string, error))
    return FALSE;

  written = (const char *) self->data + at;
  if (type == 'o' && !g_variant_is_object_path (written))
    return strand_json_fail (self->text, string.data, "a D-Bus object path", error);
  if (type == 'g' && !g_variant_is_signature (written))
    return strand_json_fail (self->text, string.data, "a D-Bus signature", error);
  return TRUE;
}

static gboolean
read_bytes (Building *self, GError **error)
{
  StrandJsonString string;
  g_autofree guchar *data = NULL;
  gsize length;

  if (!strand_json_read_string (self->text, &string, error))
    return FALSE;
  data = strand_json_decode_base64 (self->text, &string, &length, error);
  if (data == NULL)
    return FALSE;
  memcpy (grow (self, length), data, length);
  return TRUE;
}

static gboolean
read_elements (Building *self, const char *element, guint depth, GError **error)
{
  Layout layout = layout_of (self, element);
  gsize start = self->length;
  guint base = self->ends->len;
  gboolean first = TRUE, more;

  if (!strand_json_expect (self->text, '[', "'['", error))
    return FALSE;
  while (strand_json_next (self->text, ']', &first, &more, error))
    {
      if (!more)
        {
          write_ends (self, start, base, FALSE);
          return TRUE;
        }
      pad (self, layout.alignment);
      if (!read_value (self, element, depth, error))
        return FALSE;
      if (layout.size == 0)
        push_end (self);
    }

  return FALSE;
}

/* One member of an object, as the entry {s…} whose value has the type @value. */
static gboolean
read_entry (Building *self, const StrandJsonString *name, const char *value, gsize alignment, guint depth,
            GError **error)
{
  gsize start = self->length;
  guint base = self->ends->len;

  if (!write_string (self, name, error))
    return FALSE;
  push_end (self);
  pad (self, alignment);
  if (!read_value (self, value, depth, error))
    return FALSE;
  write_ends (self, start, base, TRUE);
  return TRUE;
}

/* Whether the strings that lie at these places are all different. */
static gboolean
are_distinct_at (Building *self, GArray *places)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_sized_new (places->len);

  for (guint i = 0; i < places->len; i++)
    g_ptr_array_add (keys, self->data + g_array_index (places, gsize, i));
  return strand_json_are_distinct (keys);
}

static gboolean
read_object (Building *self, const char *value, guint depth, GError **error)
{
  g_autoptr(GArray) keys = g_array_new (FALSE, FALSE, sizeof (gsize)); /* where they lie */
  gsize alignment = layout_of (self, value).alignment, start = self->length;
  guint base = self->ends->len;
  const char *opening = self->text->at++;
  gboolean first = TRUE, more;
  StrandJsonString name;

  while (strand_json_next_member (self->text, &first, &more, &name, error))
    {
      if (!more && !are_distinct_at (self, keys))
        return strand_json_fail (self->text, opening, "an object without two members of one name", error);
      if (!more)
        {
          write_ends (self, start, base, FALSE);
          return TRUE;
        }
      pad (self, alignment);
      g_array_append_val (keys, self->length);
      if (!read_entry (self, &name, value, alignment, depth, error))
        return FALSE;
      push_end (self);
    }

  return FALSE;
}

static gboolean
read_array (Building *self, const char *element, guint depth, GError **error)
{
  if (*element == 'y')
    return read_bytes (self, error);
  if (*element != '{' || element[1] != 's' || strand_json_peek (self->text) != '{')
    return read_elements (self, element, depth, error);
  return depth > 0 ? read_object (self, element + 2, depth - 1, error) : too_deep (self, error);
}

static gboolean
read_maybe (Building *self, const char *element, guint depth, GError **error)
{
  if (strand_json_take_word (self->text, "null"))
    return TRUE;
  if (!strand_json_expect (self->text, '[', "null or '['", error) ||
      !read_value (self, element, depth, error) || !strand_json_expect (self->text, ']', "']'", error))
    return FALSE;

  /* Tells an empty value from none. */
  if (layout_of (self, element).size == 0)
    *grow (self, 1) = '\0';
  return TRUE;
}

static gsize
count_members (Building *self, const char *member)
{
  gsize n = 0;

  for (; *member != ')' && *member != '}'; n++)
    read_layout (self, &member);
  return n;
}

static gboolean
fail_members (Building *self, const char *at, const char *format, const char *members, GError **error)
{
  g_autofree char *expected =
      g_strdup_printf ("%s%" G_GSIZE_FORMAT " elements", format, count_members (self, members));

  return strand_json_fail (self->text, at, expected, error);
}

/* A tuple or a dictionary entry: exactly as many elements as the type has. */
static gboolean
read_tuple (Building *self, const char *type, guint depth, GError **error)
{
  Layout whole = layout_of (self, type);
  gsize start = self->length;
  guint base = self->ends->len;
  gboolean first = TRUE, more;

  if (!strand_json_expect (self->text, '[', "'['", error))
    return FALSE;
  for (const char *member = type + 1; *member != ')' && *member != '}';)
    {
      const char *name = member;
      Layout layout = read_layout (self, &member);

      if (!strand_json_next (self->text, ']', &first, &more, error))
        return FALSE;
      if (!more)
        return fail_members (self, self->text->at - 1, "", type + 1, error);
      pad (self, layout.alignment);
      if (!read_value (self, name, depth, error))
        return FALSE;
      /* The last one ends where the offsets begin. */
      if (layout.size == 0 && *member != ')' && *member != '}')
        push_end (self);
    }
  if (!strand_json_take (self->text, ']'))
    return fail_members (self, self->text->at, "']' after ", type + 1, error);

  if (type[1] == ')')
    *grow (self, 1) = '\0';
  else if (whole.size != 0)
    pad (self, whole.alignment);
  else
    write_ends (self, start, base, TRUE);
  return TRUE;
}

/* The type that a string names, which lives as long as @self; NULL with an error if it is none, or not
 * definite. */
static const char *
keep_type (Building *self, const StrandJsonString *string, GError **error)
{
  g_autofree char *name = strand_json_string_dup (self->text, string, error);

  if (name == NULL)
    return NULL;
  if (!g_variant_type_string_is_valid (name) || !g_variant_type_is_definite (G_VARIANT_TYPE (name)))
    {
      strand_json_fail (self->text, string->data, "a definite GVariant type", error);
      return NULL;
    }

  if (self->types == NULL)
    self->types = g_ptr_array_new_with_free_func (g_free);
  note_type (self, strlen (name));
  g_ptr_array_add (self->types, name);
  return g_steal_pointer (&name);
}

/* Reads the value at @at, which has been passed over because its type was not known then. */
static gboolean
read_late (Building *self, const char *at, const char *type, guint depth, GError **error)
{
  const char *after = self->text->at;
  gboolean ok;

  self->text->at = at;
  ok = read_value (self, type, depth, error);
  self->text->at = after;
  return ok;
}

/* {"type": …, "value": …} in either order. */
static gboolean
read_boxed (Building *self, guint depth, GError **error)
{
  const char *type = NULL;
  const char *value = NULL; /* where it stands */
  gboolean is_read = FALSE, first = TRUE, more;
  StrandJsonString name, type_name;
  gsize length;

  if (!strand_json_expect (self->text, '{', "'{'", error))
    return FALSE;
  for (;;)
    {
      if (!strand_json_next_member (self->text, &first, &more, &name, error))
        return FALSE;
      if (!more)
        break;
      if (type == NULL && strand_json_string_equal (&name, "type", 4))
        {
          if (!strand_json_read_string (self->text, &type_name, error) ||
              (type = keep_type (self, &type_name, error)) == NULL)
            return FALSE;
        }
      else if (value == NULL && strand_json_string_equal (&name, "value", 5))
        {
          value = self->text->at;
          is_read = type != NULL;
          if (!(is_read ? read_value (self, type, depth, error) : strand_json_skip (self->text, error)))
            return FALSE;
        }
      else
        return strand_json_fail (self->text, name.data, "\"type\" or \"value\", once each", error);
    }

  if (type == NULL || value == NULL)
    return strand_json_fail (self->text, self->text->at - 1, "both \"type\" and \"value\"", error);
  if (!is_read && !read_late (self, value, type, depth, error))
    return FALSE;
  length = strlen (type);
  *grow (self, 1) = '\0';
  memcpy (grow (self, length), type, length);
  return TRUE;
}

static gboolean
read_container (Building *self, const char *type, guint depth, GError **error)
{
  if (depth == 0)
    return too_deep (self, error);

  switch (*type)
    {
    case 'v':
      return read_boxed (self, depth - 1, error);
    case 'a':
      return read_array (self, type + 1, depth - 1, error);
    case 'm':
      return read_maybe (self, type + 1, depth - 1, error);
    default:
      return read_tuple (self, type, depth - 1, error);
    }
}

/* Appends a value of the type that starts at @type, where the bytes are aligned for it. @depth: how many
 * levels may still be entered. */
static gboolean
read_value (Building *self, const char *type, guint depth, GError **error)
{
  if (strand_json_is_string_type (*type))
    return read_string (self, *type, error);
  if (*type == 'y' || strand_json_fixed_size (*type) != 0)
    return read_fixed (self, *type, error);
  return read_container (self, type, depth, error);
}

GVariant *
strand_json_read_variant (StrandJsonText *text, const GVariantType *type, GError **error)
{
  g_autoptr(GArray) ends = g_array_new (FALSE, FALSE, sizeof (gsize));
  Building building = { .text = text, .ends = ends, .room = 64, .data = g_malloc (64) };
  gboolean ok;

  note_type (&building, g_variant_type_get_string_length (type));
  ok = read_value (&building, g_variant_type_peek_string (type), STRAND_JSON_MAX_DEPTH, error);
  g_clear_pointer (&building.layouts, g_hash_table_unref);
  g_clear_pointer (&building.types, g_ptr_array_unref);
  if (ok)
    return g_variant_new_from_data (type, building.data, building.length, TRUE, g_free, building.data);

  g_free (building.data);
  return NULL;
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
