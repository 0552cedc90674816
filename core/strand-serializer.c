/* strand-serializer.c — the border guard of serializers: what plugins need not check, because it is checked
 * here.
 *
 * A serializer that fails has set its error, and one that succeeds returns a value of exactly the type asked
 * for: whatever a plugin does, callers can rely on both.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-serializer.h"

#include "strand-error.h"

/**
 * StrandSerializer:
 *
 * Turns arguments and values into bytes, and back.
 *
 * Since: 1.0
 */
G_DEFINE_INTERFACE (StrandSerializer, strand_serializer, G_TYPE_OBJECT)

static void
strand_serializer_default_init (StrandSerializerInterface *iface)
{
}

/* A failure must have a reason, even where the plugin forgot to give one. */
static void
ensure_error (StrandSerializer *self, const char *method, GError **error, GError *given)
{
  if (given == NULL)
    given =
        g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED, "Serializer '%s' failed in %s() without saying why",
                     G_OBJECT_TYPE_NAME (self), method);
  g_propagate_error (error, given);
}

/**
 * strand_serializer_serialize:
 * @self: a serializer
 * @value: a value; a floating reference is taken
 * @error: return location for a [error@Strand.Error]
 *
 * Writes @value as bytes, from which strand_serializer_deserialize() makes an equal value. Any thread; does
 * not block. Fails where the serializer cannot hold @value, with `STRAND_ERROR_TOO_LARGE` if it nests too
 * deep.
 *
 * Returns: (transfer full) (nullable): the bytes, or `NULL` with @error set
 * Since: 1.0
 */
GBytes *
strand_serializer_serialize (StrandSerializer *self, GVariant *value, GError **error)
{
  g_autoptr(GVariant) own = NULL;
  GError *why = NULL;
  GBytes *bytes;

  g_return_val_if_fail (STRAND_IS_SERIALIZER (self), NULL);
  g_return_val_if_fail (value != NULL, NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  own = g_variant_ref_sink (value);
  bytes = STRAND_SERIALIZER_GET_IFACE (self)->serialize (self, own, &why);
  if (bytes == NULL)
    {
      ensure_error (self, "serialize", error, why);
      return NULL;
    }

  g_clear_error (&why);
  return bytes;
}

/**
 * strand_serializer_deserialize:
 * @self: a serializer
 * @bytes: what its like has written
 * @type: the type of the value that was written, definite
 * @error: return location for a [error@Strand.Error]
 *
 * Makes a value from bytes, which may be anything: what is not a value of @type is refused. Any thread; does
 * not block.
 *
 * Returns: (transfer full) (nullable): a value of @type, not floating, or `NULL` with @error set, mostly to
 *   `STRAND_ERROR_CORRUPT`
 * Since: 1.0
 */
GVariant *
strand_serializer_deserialize (StrandSerializer *self, GBytes *bytes, const GVariantType *type,
                               GError **error)
{
  g_autoptr(GVariant) value = NULL;
  GError *why = NULL;

  g_return_val_if_fail (STRAND_IS_SERIALIZER (self), NULL);
  g_return_val_if_fail (bytes != NULL, NULL);
  g_return_val_if_fail (type != NULL && g_variant_type_is_definite (type), NULL);
  g_return_val_if_fail (error == NULL || *error == NULL, NULL);

  value = STRAND_SERIALIZER_GET_IFACE (self)->deserialize (self, bytes, type, &why);
  if (value == NULL)
    {
      ensure_error (self, "deserialize", error, why);
      return NULL;
    }

  g_clear_error (&why);
  if (!g_variant_is_of_type (value, type))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                   "Serializer '%s' made a value of type '%s', expected '%.*s'", G_OBJECT_TYPE_NAME (self),
                   g_variant_get_type_string (value), (int) g_variant_type_get_string_length (type),
                   g_variant_type_peek_string (type));
      return NULL;
    }

  return g_variant_take_ref (g_steal_pointer (&value));
}
