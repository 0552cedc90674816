/* sample-serializer.c — values as GVariant's own bytes.
 *
 * Put your format in the place of GVariant's. Bytes may come from anybody: whatever is not exactly a value of
 * the type that is asked for must be an error, never a crash or a guess. Here normal form is looked at,
 * because GVariant reads defaults from bytes that are not in it. Nothing is kept, so both methods may run on
 * any thread. SPDX-License-Identifier: 0BSD */

#include <strand-plugin.h>

#include <string.h>

#define SAMPLE_TYPE_SERIALIZER (sample_serializer_get_type ())
G_DECLARE_FINAL_TYPE (SampleSerializer, sample_serializer, SAMPLE, SERIALIZER, GObject)

struct _SampleSerializer
{
  GObject parent_instance;
};

static void serializer_init (StrandSerializerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (SampleSerializer, sample_serializer, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_SERIALIZER, serializer_init))

/* Records travel between machines, so the bytes are little-endian on all of them. */
static GVariant *
swap_if_needed (GVariant *value)
{
  return G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (value) : g_variant_byteswap (value);
}

/* The value that stands for exactly these bytes, or NULL. */
static GVariant *
read_bytes (GBytes *bytes, const GVariantType *type)
{
  g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));

  /* Over bytes of the wrong number a type of fixed size has its own size, and zeros. */
  if (g_variant_get_size (value) != g_bytes_get_size (bytes) || !g_variant_is_normal_form (value))
    return NULL;
  return swap_if_needed (value);
}

/* What cannot be read again must not be written: variants may be nested deeper than GVariant reads. */
static gboolean
can_be_read (GVariant *value, GBytes *bytes)
{
  g_autoptr(GVariant) again = NULL;

  if (strchr (g_variant_get_type_string (value), 'v') == NULL)
    return TRUE;
  again = read_bytes (bytes, g_variant_get_type (value));
  return again != NULL;
}

static GBytes *
sample_serializer_serialize (StrandSerializer *serializer, GVariant *value, GError **error)
{
  g_autoptr(GVariant) normal = g_variant_get_normal_form (value);
  g_autoptr(GVariant) swapped = swap_if_needed (normal);
  g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes (swapped);

  if (can_be_read (value, bytes))
    return g_steal_pointer (&bytes);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "Could not write a value of type '%s': it nests deeper than it could be read",
               g_variant_get_type_string (value));
  return NULL;
}

static GVariant *
sample_serializer_deserialize (StrandSerializer *serializer, GBytes *bytes, const GVariantType *type,
                               GError **error)
{
  GVariant *value = read_bytes (bytes, type);

  if (value == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                 "Could not read a value of type '%.*s': %" G_GSIZE_FORMAT " bytes are none",
                 (int) g_variant_type_get_string_length (type), g_variant_type_peek_string (type),
                 g_bytes_get_size (bytes));
  return value;
}

static void
serializer_init (StrandSerializerInterface *iface)
{
  iface->serialize = sample_serializer_serialize;
  iface->deserialize = sample_serializer_deserialize;
}

static void
sample_serializer_class_init (SampleSerializerClass *klass)
{
}

static void
sample_serializer_init (SampleSerializer *self)
{
}

STRAND_PLUGIN_DEFINE ("sample-serializer", "0.1", "0BSD",
                      STRAND_PROVIDES_SERIALIZER ("sample", SampleSerializer, sample_serializer_get_type,
                                                  "Values as GVariant's own bytes"))
