/* strand-serializer.h — arguments and values to bytes and back.
 *
 * A record names the serializer that wrote its payload by type, so a record stays readable after the
 * keyfile names another one.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

#define STRAND_TYPE_SERIALIZER (strand_serializer_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (StrandSerializer, strand_serializer, STRAND, SERIALIZER, GObject)

/**
 * StrandSerializerInterface:
 * @parent_iface: the parent
 * @serialize: writes a value
 * @deserialize: reads a value
 *
 * What a serializer implements. Both methods are called by backends, readers and handles, on any thread
 * and on several at once; they may not block, and keep nothing of what they are given.
 *
 * Since: 1.0
 */
struct _StrandSerializerInterface
{
  GTypeInterface parent_iface;

  /* @value is never floating. Returns bytes from which any object of the class, also one without settings,
   * makes the same value in any process; or NULL with an error: STRAND_ERROR_TOO_LARGE where it nests too
   * deep to be read again, which 64 levels never do. */
  GBytes *(*serialize) (StrandSerializer *self, GVariant *value, GError **error);

  /* @bytes may be anything that a stranger wrote: an error, never a crash, and no memory for what they only
   * claim. Returns a value of exactly @type (definite), not floating, in normal form, made of all of @bytes;
   * or NULL with STRAND_ERROR_CORRUPT and a message of one line that repeats no bytes as they are. */
  GVariant *(*deserialize) (StrandSerializer *self, GBytes *bytes, const GVariantType *type, GError **error);

  /*< private >*/
  gpointer reserved[6];
};

STRAND_AVAILABLE_IN_ALL
GBytes *strand_serializer_serialize (StrandSerializer *self, GVariant *value,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
GVariant *strand_serializer_deserialize (StrandSerializer *self, GBytes *bytes, const GVariantType *type,
                                         GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
