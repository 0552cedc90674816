/* gearman-wire.c — payloads of Gearman's packets.       SPDX-License-Identifier: LGPL-2.1-or-later */

#include "gearman-wire.h"

/* As the function's parameters are on this side; another signature on the other is an error there. */
GVariantType *
gearman_wire_job_type (StrandFunction *function)
{
  g_autofree char *parameters = g_variant_type_dup_string (strand_function_get_parameter_type (function));
  g_autofree char *type = g_strdup_printf ("(%sa{ss}su)", parameters);

  return g_variant_type_new (type);
}

/* Consumes a floating @value. */
char *
gearman_wire_write (GVariant *value, GError **error)
{
  g_autoptr(GVariant) held = g_variant_ref_sink (value);
  g_autoptr(GString) text = g_string_new (NULL);

  if (strand_json_append_variant (text, held))
    return g_string_free (g_steal_pointer (&text), FALSE);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE, "it nests deeper than %d levels", STRAND_JSON_MAX_DEPTH);
  return NULL;
}

GVariant *
gearman_wire_read (gconstpointer data, gsize size, const GVariantType *type, GError **error)
{
  return strand_json_to_variant (size > 0 ? data : "", (gssize) size, type, error);
}

GVariant *
gearman_wire_from_error (const GError *error)
{
  g_autofree char *message = g_utf8_make_valid (error->message, -1);

  return g_variant_new ("(sis)", g_quark_to_string (error->domain), error->code, message);
}

GError *
gearman_wire_to_error (GVariant *value)
{
  const char *domain, *message;
  int code;

  g_variant_get (value, "(&si&s)", &domain, &code, &message);
  return g_error_new_literal (*domain != '\0' ? g_quark_from_string (domain) : STRAND_ERROR, code, message);
}
