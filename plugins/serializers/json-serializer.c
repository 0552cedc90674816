/* json-serializer.c — values as JSON that is exact for every GVariant type.
 *
 * The format is strand-json.h's: natural JSON wherever JSON can say it, so that a record's arguments and
 * value can be read, and written, in any language. Nothing is configured and nothing kept, so any thread may
 * use it. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#define STRAND_TYPE_JSON_SERIALIZER (strand_json_serializer_get_type ())
G_DECLARE_FINAL_TYPE (StrandJsonSerializer, strand_json_serializer, STRAND, JSON_SERIALIZER, GObject)

struct _StrandJsonSerializer
{
  GObject parent_instance;
};

static void serializer_init (StrandSerializerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandJsonSerializer, strand_json_serializer, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_SERIALIZER, serializer_init))

static GBytes *
strand_json_serializer_serialize (StrandSerializer *self, GVariant *value, GError **error)
{
  GString *json = g_string_new (NULL);

  if (strand_json_append_variant (json, value))
    return g_string_free_to_bytes (json);

  g_string_free (json, TRUE);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "Could not write a value of type '%s' as JSON: it nests more than %d levels deep",
               g_variant_get_type_string (value), STRAND_JSON_MAX_DEPTH);
  return NULL;
}

static GVariant *
strand_json_serializer_deserialize (StrandSerializer *self, GBytes *bytes, const GVariantType *type,
                                    GError **error)
{
  gsize size;
  const char *json = g_bytes_get_data (bytes, &size);
  GVariant *value = strand_json_to_variant (json, (gssize) size, type, error);

  if (value == NULL)
    g_prefix_error (error, "Could not read a value of type '%.*s' from JSON: ",
                    (int) g_variant_type_get_string_length (type), g_variant_type_peek_string (type));
  return value;
}

static void
serializer_init (StrandSerializerInterface *iface)
{
  iface->serialize = strand_json_serializer_serialize;
  iface->deserialize = strand_json_serializer_deserialize;
}

static void
strand_json_serializer_class_init (StrandJsonSerializerClass *klass)
{
}

static void
strand_json_serializer_init (StrandJsonSerializer *self)
{
}

STRAND_PLUGIN_DEFINE (
    "json-serializer", STRAND_VERSION, "LGPL-2.1-or-later",
    STRAND_PROVIDES_SERIALIZER ("json", StrandJsonSerializer, strand_json_serializer_get_type,
                                "Values as JSON, exact for every type and readable in any language"))
