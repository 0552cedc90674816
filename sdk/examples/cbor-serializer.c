/* cbor-serializer.c — values as CBOR (RFC 8949), by libcbor: compact, and readable in any language.
 *
 * How a GVariant is written: integers, booleans, doubles and strings as themselves; `ay` as a byte string; a
 * dictionary as a map; tuples, entries and other arrays as arrays; nothing as null, and something as an array
 * of one, so that `mm` stays two; a variant as an array of its type string and its value. Only definite
 * lengths are read, which is what is written here.
 *
 * The bytes may come from a stranger. They are read as a stream, against the type that is expected: nothing
 * is allocated for a length that they only claim, and nesting has a limit. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include <cbor.h>
#include <strand-plugin.h>
#include <string.h>

/* As deep as GVariant itself goes. */
#define MAX_DEPTH 128

#define CBOR_TYPE_SERIALIZER (cbor_serializer_get_type ())
G_DECLARE_FINAL_TYPE (CborSerializer, cbor_serializer, CBOR, SERIALIZER, GObject)

struct _CborSerializer
{
  GObject parent_instance;
};

static void serializer_init (StrandSerializerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (CborSerializer, cbor_serializer, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_SERIALIZER, serializer_init))

/* --- writing ---------------------------------------------------------------------------------------------
 */

/* Longest head of an item: one byte and eight of a number. */
#define HEAD 9

static gboolean write_value (GByteArray *out, GVariant *value, guint depth);

/* libcbor's encoders of what has a length or a number before it. */
typedef size_t (*EncodeFunc) (size_t number, unsigned char *head, size_t size);

static void
write_head (GByteArray *out, EncodeFunc encode, guint64 number)
{
  guint8 head[HEAD];

  g_byte_array_append (out, head, (guint) encode (number, head, sizeof head));
}

static void
write_signed (GByteArray *out, gint64 number)
{
  if (number >= 0)
    write_head (out, cbor_encode_uint, (guint64) number);
  else
    write_head (out, cbor_encode_negint, (guint64) (-1 - number));
}

static void
write_boolean (GByteArray *out, gboolean boolean)
{
  guint8 head[HEAD];

  g_byte_array_append (out, head, (guint) cbor_encode_bool (boolean, head, sizeof head));
}

static void
write_null (GByteArray *out)
{
  guint8 head[HEAD];

  g_byte_array_append (out, head, (guint) cbor_encode_null (head, sizeof head));
}

static void
write_double (GByteArray *out, double real)
{
  guint8 head[HEAD];

  g_byte_array_append (out, head, (guint) cbor_encode_double (real, head, sizeof head));
}

static void
write_text (GByteArray *out, GVariant *value)
{
  gsize length;
  const char *text = g_variant_get_string (value, &length);

  write_head (out, cbor_encode_string_start, length);
  g_byte_array_append (out, (const guint8 *) text, (guint) length);
}

static void
write_bytes (GByteArray *out, GVariant *value)
{
  gsize length;
  const guint8 *bytes = g_variant_get_fixed_array (value, &length, 1);

  write_head (out, cbor_encode_bytestring_start, length);
  g_byte_array_append (out, bytes, (guint) length);
}

static gboolean
write_children (GByteArray *out, GVariant *value, guint depth)
{
  gsize n = g_variant_n_children (value);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr(GVariant) child = g_variant_get_child_value (value, i);

      if (!write_value (out, child, depth))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_array (GByteArray *out, GVariant *value, guint depth)
{
  const GVariantType *type = g_variant_get_type (value);

  if (g_variant_type_equal (type, G_VARIANT_TYPE_BYTESTRING))
    {
      write_bytes (out, value);
      return TRUE;
    }
  if (!g_variant_type_is_dict_entry (g_variant_type_element (type)))
    {
      write_head (out, cbor_encode_array_start, g_variant_n_children (value));
      return write_children (out, value, depth);
    }
  write_head (out, cbor_encode_map_start, g_variant_n_children (value));
  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr(GVariant) entry = g_variant_get_child_value (value, i);

      if (!write_children (out, entry, depth))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_variant (GByteArray *out, GVariant *value, guint depth)
{
  g_autoptr(GVariant) inside = g_variant_get_variant (value);
  g_autoptr(GVariant) type = g_variant_ref_sink (g_variant_new_string (g_variant_get_type_string (inside)));

  write_head (out, cbor_encode_array_start, 2);
  write_text (out, type);
  return write_value (out, inside, depth);
}

/* FALSE if the value is nested too deeply to be read again. */
static gboolean
write_value (GByteArray *out, GVariant *value, guint depth)
{
  if (++depth > MAX_DEPTH)
    return FALSE;

  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      write_boolean (out, g_variant_get_boolean (value));
      return TRUE;
    case G_VARIANT_CLASS_BYTE:
      write_head (out, cbor_encode_uint, g_variant_get_byte (value));
      return TRUE;
    case G_VARIANT_CLASS_INT16:
      write_signed (out, g_variant_get_int16 (value));
      return TRUE;
    case G_VARIANT_CLASS_UINT16:
      write_head (out, cbor_encode_uint, g_variant_get_uint16 (value));
      return TRUE;
    case G_VARIANT_CLASS_INT32:
      write_signed (out, g_variant_get_int32 (value));
      return TRUE;
    case G_VARIANT_CLASS_UINT32:
      write_head (out, cbor_encode_uint, g_variant_get_uint32 (value));
      return TRUE;
    case G_VARIANT_CLASS_INT64:
      write_signed (out, g_variant_get_int64 (value));
      return TRUE;
    case G_VARIANT_CLASS_UINT64:
      write_head (out, cbor_encode_uint, g_variant_get_uint64 (value));
      return TRUE;
    case G_VARIANT_CLASS_HANDLE:
      write_signed (out, g_variant_get_handle (value));
      return TRUE;
    case G_VARIANT_CLASS_DOUBLE:
      write_double (out, g_variant_get_double (value));
      return TRUE;
    case G_VARIANT_CLASS_STRING:
    case G_VARIANT_CLASS_OBJECT_PATH:
    case G_VARIANT_CLASS_SIGNATURE:
      write_text (out, value);
      return TRUE;
    case G_VARIANT_CLASS_VARIANT:
      return write_variant (out, value, depth);
    case G_VARIANT_CLASS_MAYBE:
      if (g_variant_n_children (value) == 0)
        write_null (out);
      else
        write_head (out, cbor_encode_array_start, 1);
      return write_children (out, value, depth);
    case G_VARIANT_CLASS_ARRAY:
      return write_array (out, value, depth);
    case G_VARIANT_CLASS_TUPLE:
    case G_VARIANT_CLASS_DICT_ENTRY:
    default:
      write_head (out, cbor_encode_array_start, g_variant_n_children (value));
      return write_children (out, value, depth);
    }
}

static GBytes *
cbor_serializer_serialize (StrandSerializer *self, GVariant *value, GError **error)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();

  if (write_value (out, value, 0))
    return g_byte_array_free_to_bytes (g_steal_pointer (&out));

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "Could not write a value of type '%s' as CBOR: it nests deeper than %d levels",
               g_variant_get_type_string (value), MAX_DEPTH);
  return NULL;
}

/* --- reading ---------------------------------------------------------------------------------------------
 */

typedef enum
{
  ITEM_OTHER, /* what is never written here */
  ITEM_UNSIGNED,
  ITEM_NEGATIVE,
  ITEM_BYTES,
  ITEM_TEXT,
  ITEM_ARRAY,
  ITEM_MAP,
  ITEM_BOOLEAN,
  ITEM_NULL,
  ITEM_DOUBLE,
} ItemKind;

/* The head of an item, and the bytes of a string. */
typedef struct
{
  ItemKind kind;
  guint64 number; /* of a negative one, -1 minus it; of a string, array or map its length */
  double real;
  const guint8 *data;
} Item;

typedef struct
{
  const guint8 *data;
  gsize length;
  gsize place;
  guint depth;
} Reader;

static void
on_number (Item *item, ItemKind kind, guint64 number)
{
  item->kind = kind;
  item->number = number;
}

static void
on_uint8 (void *item, guint8 number)
{
  on_number (item, ITEM_UNSIGNED, number);
}

static void
on_uint16 (void *item, guint16 number)
{
  on_number (item, ITEM_UNSIGNED, number);
}

static void
on_uint32 (void *item, guint32 number)
{
  on_number (item, ITEM_UNSIGNED, number);
}

static void
on_uint64 (void *item, guint64 number)
{
  on_number (item, ITEM_UNSIGNED, number);
}

static void
on_negint8 (void *item, guint8 number)
{
  on_number (item, ITEM_NEGATIVE, number);
}

static void
on_negint16 (void *item, guint16 number)
{
  on_number (item, ITEM_NEGATIVE, number);
}

static void
on_negint32 (void *item, guint32 number)
{
  on_number (item, ITEM_NEGATIVE, number);
}

static void
on_negint64 (void *item, guint64 number)
{
  on_number (item, ITEM_NEGATIVE, number);
}

static void
on_bytes (void *item, cbor_data data, size_t length)
{
  on_number (item, ITEM_BYTES, length);
  ((Item *) item)->data = data;
}

static void
on_text (void *item, cbor_data data, size_t length)
{
  on_number (item, ITEM_TEXT, length);
  ((Item *) item)->data = data;
}

static void
on_array (void *item, size_t length)
{
  on_number (item, ITEM_ARRAY, length);
}

static void
on_map (void *item, size_t length)
{
  on_number (item, ITEM_MAP, length);
}

static void
on_boolean (void *item, bool boolean)
{
  on_number (item, ITEM_BOOLEAN, boolean);
}

static void
on_null (void *item)
{
  on_number (item, ITEM_NULL, 0);
}

static void
on_double (void *item, double real)
{
  on_number (item, ITEM_DOUBLE, 0);
  ((Item *) item)->real = real;
}

/* The next item's head; FALSE if the bytes end before it does, or are none. */
static gboolean
read_item (Reader *reader, Item *item)
{
  struct cbor_callbacks callbacks = cbor_empty_callbacks;
  struct cbor_decoder_result result;

  callbacks.uint8 = on_uint8;
  callbacks.uint16 = on_uint16;
  callbacks.uint32 = on_uint32;
  callbacks.uint64 = on_uint64;
  callbacks.negint8 = on_negint8;
  callbacks.negint16 = on_negint16;
  callbacks.negint32 = on_negint32;
  callbacks.negint64 = on_negint64;
  callbacks.byte_string = on_bytes;
  callbacks.string = on_text;
  callbacks.array_start = on_array;
  callbacks.map_start = on_map;
  callbacks.boolean = on_boolean;
  callbacks.null = on_null;
  callbacks.float8 = on_double;
  *item = (Item){ .kind = ITEM_OTHER };
  result =
      cbor_stream_decode (reader->data + reader->place, reader->length - reader->place, &callbacks, item);
  if (result.status != CBOR_DECODER_FINISHED)
    return FALSE;
  reader->place += result.read;
  return TRUE;
}

static gboolean
read_kind (Reader *reader, ItemKind kind, Item *item)
{
  return read_item (reader, item) && item->kind == kind;
}

static GVariant *read_value (Reader *reader, const GVariantType *type);

static gboolean
read_signed (Reader *reader, gint64 minimum, gint64 maximum, gint64 *number)
{
  Item item;

  if (!read_item (reader, &item) || item.number > G_MAXINT64)
    return FALSE;
  if (item.kind == ITEM_UNSIGNED)
    *number = (gint64) item.number;
  else if (item.kind == ITEM_NEGATIVE)
    *number = -1 - (gint64) item.number;
  else
    return FALSE;
  return *number >= minimum && *number <= maximum;
}

static gboolean
read_unsigned (Reader *reader, guint64 maximum, guint64 *number)
{
  Item item;

  if (!read_kind (reader, ITEM_UNSIGNED, &item) || item.number > maximum)
    return FALSE;
  *number = item.number;
  return TRUE;
}

/* Text without NUL bytes, as GVariant's strings are; NULL if it is none. */
static char *
read_text (Reader *reader)
{
  Item item;

  if (!read_kind (reader, ITEM_TEXT, &item) ||
      !g_utf8_validate_len ((const char *) item.data, (gsize) item.number, NULL))
    return NULL;
  return g_strndup ((const char *) item.data, (gsize) item.number);
}

static GVariant *
read_string (Reader *reader, const GVariantType *type)
{
  g_autofree char *text = read_text (reader);

  if (text == NULL)
    return NULL;
  if (g_variant_type_equal (type, G_VARIANT_TYPE_STRING))
    return g_variant_new_take_string (g_steal_pointer (&text));
  if (g_variant_type_equal (type, G_VARIANT_TYPE_OBJECT_PATH))
    return g_variant_is_object_path (text) ? g_variant_new_object_path (text) : NULL;
  return g_variant_is_signature (text) ? g_variant_new_signature (text) : NULL;
}

static GVariant *
read_byte_string (Reader *reader)
{
  Item item;

  if (!read_kind (reader, ITEM_BYTES, &item))
    return NULL;
  return g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, item.data, (gsize) item.number, 1);
}

static GVariant *
read_boxed (Reader *reader)
{
  g_autofree char *type = NULL;
  GVariant *inside;
  Item item;

  if (!read_kind (reader, ITEM_ARRAY, &item) || item.number != 2)
    return NULL;
  type = read_text (reader);
  if (type == NULL || !g_variant_type_string_is_valid (type) ||
      !g_variant_type_is_definite (G_VARIANT_TYPE (type)))
    return NULL;
  inside = read_value (reader, G_VARIANT_TYPE (type));
  return inside != NULL ? g_variant_new_variant (inside) : NULL;
}

static GVariant *
read_maybe (Reader *reader, const GVariantType *type)
{
  const GVariantType *inside_type = g_variant_type_element (type);
  GVariant *inside;
  Item item;

  if (!read_item (reader, &item))
    return NULL;
  if (item.kind == ITEM_NULL)
    return g_variant_new_maybe (inside_type, NULL);
  if (item.kind != ITEM_ARRAY || item.number != 1)
    return NULL;
  inside = read_value (reader, inside_type);
  return inside != NULL ? g_variant_new_maybe (inside_type, inside) : NULL;
}

static void
drop_value (gpointer value)
{
  g_variant_unref (g_variant_ref_sink (value));
}

static GVariant *
read_entry (Reader *reader, const GVariantType *type)
{
  GVariant *key = read_value (reader, g_variant_type_key (type));
  GVariant *value = key != NULL ? read_value (reader, g_variant_type_value (type)) : NULL;

  if (value != NULL)
    return g_variant_new_dict_entry (key, value);
  if (key != NULL)
    drop_value (key);
  return NULL;
}

/* Each element takes a byte at least, so a claimed length beyond what is left is a lie. An element of type
 * `()` is an empty array, which takes one too. */
static GVariant *
read_array (Reader *reader, const GVariantType *type)
{
  const GVariantType *element = g_variant_type_element (type);
  gboolean map = g_variant_type_is_dict_entry (element);
  g_autoptr(GPtrArray) children = g_ptr_array_new_with_free_func (drop_value);
  Item item;

  if (!read_kind (reader, map ? ITEM_MAP : ITEM_ARRAY, &item) || item.number > reader->length - reader->place)
    return NULL;
  for (guint64 i = 0; i < item.number; i++)
    {
      GVariant *child = map ? read_entry (reader, element) : read_value (reader, element);

      if (child == NULL)
        return NULL;
      g_ptr_array_add (children, child);
    }
  g_ptr_array_set_free_func (children, NULL); /* the array takes them over */
  return g_variant_new_array (element, (GVariant *const *) children->pdata, children->len);
}

static GVariant *
read_tuple (Reader *reader, const GVariantType *type)
{
  g_autoptr(GPtrArray) children = g_ptr_array_new_with_free_func (drop_value);
  Item item;

  if (!read_kind (reader, ITEM_ARRAY, &item) || item.number != g_variant_type_n_items (type))
    return NULL;
  for (const GVariantType *one = g_variant_type_first (type); one != NULL; one = g_variant_type_next (one))
    {
      GVariant *child = read_value (reader, one);

      if (child == NULL)
        return NULL;
      g_ptr_array_add (children, child);
    }
  g_ptr_array_set_free_func (children, NULL);
  if (g_variant_type_is_dict_entry (type))
    return g_variant_new_dict_entry (children->pdata[0], children->pdata[1]);
  return g_variant_new_tuple ((GVariant *const *) children->pdata, children->len);
}

static GVariant *
read_basic (Reader *reader, const GVariantType *type)
{
  guint64 number;
  gint64 integer;
  Item item;

  switch (*g_variant_type_peek_string (type))
    {
    case 'b':
      return read_kind (reader, ITEM_BOOLEAN, &item) ? g_variant_new_boolean (item.number != 0) : NULL;
    case 'y':
      return read_unsigned (reader, G_MAXUINT8, &number) ? g_variant_new_byte ((guint8) number) : NULL;
    case 'n':
      return read_signed (reader, G_MININT16, G_MAXINT16, &integer) ? g_variant_new_int16 ((gint16) integer)
                                                                    : NULL;
    case 'q':
      return read_unsigned (reader, G_MAXUINT16, &number) ? g_variant_new_uint16 ((guint16) number) : NULL;
    case 'i':
      return read_signed (reader, G_MININT32, G_MAXINT32, &integer) ? g_variant_new_int32 ((gint32) integer)
                                                                    : NULL;
    case 'u':
      return read_unsigned (reader, G_MAXUINT32, &number) ? g_variant_new_uint32 ((guint32) number) : NULL;
    case 'x':
      return read_signed (reader, G_MININT64, G_MAXINT64, &integer) ? g_variant_new_int64 (integer) : NULL;
    case 't':
      return read_unsigned (reader, G_MAXUINT64, &number) ? g_variant_new_uint64 (number) : NULL;
    case 'h':
      return read_signed (reader, G_MININT32, G_MAXINT32, &integer) ? g_variant_new_handle ((gint32) integer)
                                                                    : NULL;
    case 'd':
      return read_kind (reader, ITEM_DOUBLE, &item) ? g_variant_new_double (item.real) : NULL;
    default:
      return read_string (reader, type);
    }
}

/* A floating value of the type, or NULL. */
static GVariant *
read_value (Reader *reader, const GVariantType *type)
{
  GVariant *value;

  if (++reader->depth > MAX_DEPTH)
    return NULL;
  if (g_variant_type_is_variant (type))
    value = read_boxed (reader);
  else if (g_variant_type_is_maybe (type))
    value = read_maybe (reader, type);
  else if (g_variant_type_equal (type, G_VARIANT_TYPE_BYTESTRING))
    value = read_byte_string (reader);
  else if (g_variant_type_is_array (type))
    value = read_array (reader, type);
  else if (g_variant_type_is_tuple (type) || g_variant_type_is_dict_entry (type))
    value = read_tuple (reader, type);
  else
    value = read_basic (reader, type);
  reader->depth--;
  return value;
}

static GVariant *
cbor_serializer_deserialize (StrandSerializer *self, GBytes *bytes, const GVariantType *type, GError **error)
{
  Reader reader = { 0 };
  GVariant *value;

  reader.data = g_bytes_get_data (bytes, &reader.length);
  value = reader.length > 0 ? read_value (&reader, type) : NULL;
  if (value != NULL && reader.place == reader.length)
    return g_variant_ref_sink (value);

  if (value != NULL)
    drop_value (value);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "Could not read a value of type '%.*s' from %" G_GSIZE_FORMAT
               " bytes of CBOR: they are not one of that type, from byte %" G_GSIZE_FORMAT " on",
               (int) g_variant_type_get_string_length (type), g_variant_type_peek_string (type),
               reader.length, reader.place);
  return NULL;
}

static void
serializer_init (StrandSerializerInterface *iface)
{
  iface->serialize = cbor_serializer_serialize;
  iface->deserialize = cbor_serializer_deserialize;
}

static void
cbor_serializer_class_init (CborSerializerClass *klass)
{
}

static void
cbor_serializer_init (CborSerializer *self)
{
}

STRAND_PLUGIN_DEFINE ("cbor-serializer", "1.0", "LGPL-2.1-or-later",
                      STRAND_PROVIDES_SERIALIZER ("cbor", CborSerializer, cbor_serializer_get_type,
                                                  "Values as CBOR (RFC 8949), readable in any language"))
