/* gvariant-serializer.c — values as GVariant's own bytes: the least work, for values large or many.
 *
 * Written in normal form and little-endian on every machine, so that equal values have equal bytes wherever
 * they were written. Read only if they are in normal form: GVariant would give defaults for what is not, and
 * a damaged value must be an error. Nothing is configured and nothing kept, so any thread may use it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <string.h>
#include <strand-plugin.h>

#define STRAND_TYPE_GVARIANT_SERIALIZER (strand_gvariant_serializer_get_type ())
G_DECLARE_FINAL_TYPE (StrandGvariantSerializer, strand_gvariant_serializer, STRAND, GVARIANT_SERIALIZER,
                      GObject)

struct _StrandGvariantSerializer
{
  GObject parent_instance;
};

static void serializer_init (StrandSerializerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandGvariantSerializer, strand_gvariant_serializer, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_SERIALIZER, serializer_init))

/* Between this machine's byte order and the bytes'. */
static GVariant *
swap_if_needed (GVariant *value)
{
  return G_BYTE_ORDER == G_LITTLE_ENDIAN ? g_variant_ref (value) : g_variant_byteswap (value);
}

/* A value in normal form that stands for exactly these bytes, or NULL. */
static GVariant *
read_normal (GBytes *bytes, const GVariantType *type)
{
  /* Copies the bytes where they are not aligned for the type. */
  g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));

  /* A fixed-size type over bytes of another size has the right size and no data. */
  if (g_variant_get_size (value) != g_bytes_get_size (bytes) || !g_variant_is_normal_form (value))
    return NULL;
  return g_steal_pointer (&value);
}

/* Only what was nested by hand can be too deep to be read again; without a variant inside, a type is never.
 */
static gboolean
can_be_read (GVariant *value, GBytes *bytes)
{
  g_autoptr(GVariant) again = NULL;

  if (strchr (g_variant_get_type_string (value), 'v') == NULL)
    return TRUE;
  again = read_normal (bytes, g_variant_get_type (value));
  return again != NULL;
}

static GBytes *
strand_gvariant_serializer_serialize (StrandSerializer *self, GVariant *value, GError **error)
{
  g_autoptr(GVariant) normal = g_variant_get_normal_form (value);
  g_autoptr(GVariant) swapped = swap_if_needed (normal);
  g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes (swapped);

  if (can_be_read (value, bytes))
    return g_steal_pointer (&bytes);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "Could not write a value of type '%s' as GVariant: it nests deeper than GVariant reads",
               g_variant_get_type_string (value));
  return NULL;
}

static GVariant *
strand_gvariant_serializer_deserialize (StrandSerializer *self, GBytes *bytes, const GVariantType *type,
                                        GError **error)
{
  g_autoptr(GVariant) value = read_normal (bytes, type);

  if (value != NULL)
    return swap_if_needed (value);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "Could not read a value of type '%.*s' from %" G_GSIZE_FORMAT
               " bytes of GVariant: they are not one in normal form",
               (int) g_variant_type_get_string_length (type), g_variant_type_peek_string (type),
               g_bytes_get_size (bytes));
  return NULL;
}

static void
serializer_init (StrandSerializerInterface *iface)
{
  iface->serialize = strand_gvariant_serializer_serialize;
  iface->deserialize = strand_gvariant_serializer_deserialize;
}

static void
strand_gvariant_serializer_class_init (StrandGvariantSerializerClass *klass)
{
}

static void
strand_gvariant_serializer_init (StrandGvariantSerializer *self)
{
}

STRAND_PLUGIN_DEFINE (
    "gvariant-serializer", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_SERIALIZER ("gvariant", StrandGvariantSerializer, strand_gvariant_serializer_get_type,
                                "Values as GVariant's own bytes, little-endian: small, quick, not text"))
