/* auth-token.c — a signed statement that an identity makes one particular call.
 *
 * A token is `strand1:KEY-ID:IDENTITY:EXPIRES:MAC`. The MAC covers everything before it and the call: its
 * function, its key, and the type and digest of its arguments. So a token that somebody copies to another
 * call, or whose call somebody changes, is worth nothing. Each part stands on a line of its own in what is
 * signed, and none may hold a newline, so no two calls have the same text. The format is documented in
 * docs/middleware/auth.md for programs in other languages.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "auth-token.h"

#include <string.h>

#define VERSION "strand1"
#define MAX_NAME 64

/* Longer than the longest token: 7 + 64 + 64 + 19 + 64 and four colons. */
#define MAX_TOKEN 256

gboolean
auth_name_is_good (const char *name)
{
  gsize length = strspn (name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-");

  return length > 0 && length <= MAX_NAME && name[length] == '\0';
}

/* The same bytes for equal values, however a value was made and on whatever machine. */
static char *
digest_of (GVariant *arguments)
{
  g_autoptr(GVariant) normal = g_variant_get_normal_form (arguments);
  g_autoptr(GVariant) ordered =
      G_BYTE_ORDER == G_BIG_ENDIAN ? g_variant_byteswap (normal) : g_variant_ref (normal);

  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, g_variant_get_data (ordered),
                                      g_variant_get_size (ordered));
}

static void
sign (GBytes *secret, const char *head, const AuthSubject *subject, guint8 mac[AUTH_MAC_BYTES])
{
  g_autofree char *digest = digest_of (subject->arguments);
  g_autofree char *text = g_strdup_printf ("%s\n%s\n%s\n%s\n%s\n", head, subject->function, subject->key,
                                           g_variant_get_type_string (subject->arguments), digest);
  gsize length, mac_length = AUTH_MAC_BYTES;
  const guint8 *data = g_bytes_get_data (secret, &length);
  GHmac *hmac = g_hmac_new (G_CHECKSUM_SHA256, data, length);

  g_hmac_update (hmac, (const guchar *) text, -1);
  g_hmac_get_digest (hmac, mac, &mac_length);
  g_hmac_unref (hmac);
}

static char *
make_head (const char *key_id, const char *identity, gint64 expires_s)
{
  return g_strdup_printf (VERSION ":%s:%s:%" G_GINT64_FORMAT, key_id, identity, expires_s);
}

char *
auth_token_make (const char *key_id, GBytes *secret, const char *identity, gint64 expires_s,
                 const AuthSubject *subject)
{
  g_autofree char *head = make_head (key_id, identity, expires_s);
  GString *token = g_string_new (head);
  guint8 mac[AUTH_MAC_BYTES];

  sign (secret, head, subject, mac);
  g_string_append_c (token, ':');
  for (guint i = 0; i < AUTH_MAC_BYTES; i++)
    g_string_append_printf (token, "%02x", mac[i]);
  return g_string_free (token, FALSE);
}

void
auth_token_free (AuthToken *self)
{
  g_free (self->key_id);
  g_free (self->identity);
  g_free (self);
}

static gboolean
read_mac (const char *text, guint8 mac[AUTH_MAC_BYTES])
{
  if (strlen (text) != 2 * AUTH_MAC_BYTES || strspn (text, "0123456789abcdef") != 2 * AUTH_MAC_BYTES)
    return FALSE;
  for (guint i = 0; i < AUTH_MAC_BYTES; i++)
    mac[i] = (guint8) (g_ascii_xdigit_value (text[2 * i]) << 4 | g_ascii_xdigit_value (text[2 * i + 1]));
  return TRUE;
}

/* Only as auth_token_make() writes it, because the text before the MAC is signed as it would be written. */
static gboolean
read_time (const char *text, gint64 *time_s)
{
  guint64 value;

  if (text[0] == '0' || !g_ascii_isdigit (text[0]) ||
      !g_ascii_string_to_unsigned (text, 10, 1, G_MAXINT64, &value, NULL))
    return FALSE;
  *time_s = (gint64) value;
  return TRUE;
}

AuthToken *
auth_token_parse (const char *text)
{
  g_autoptr(AuthToken) token = NULL;
  g_auto(GStrv) parts = NULL;

  if (strlen (text) > MAX_TOKEN)
    return NULL;
  parts = g_strsplit (text, ":", 6);
  if (g_strv_length (parts) != 5 || strcmp (parts[0], VERSION) != 0 || !auth_name_is_good (parts[1]) ||
      !auth_name_is_good (parts[2]))
    return NULL;
  token = g_new0 (AuthToken, 1);
  if (!read_time (parts[3], &token->expires_s) || !read_mac (parts[4], token->mac))
    return NULL;
  token->key_id = g_strdup (parts[1]);
  token->identity = g_strdup (parts[2]);
  return g_steal_pointer (&token);
}

/* Looks at every byte, whatever the first ones were. */
static gboolean
are_equal (const guint8 *a, const guint8 *b, gsize length)
{
  volatile guint8 difference = 0;

  for (gsize i = 0; i < length; i++)
    difference = (guint8) (difference | (a[i] ^ b[i]));
  return difference == 0;
}

gboolean
auth_token_is_signed_by (const AuthToken *self, GBytes *secret, const AuthSubject *subject)
{
  g_autofree char *head = make_head (self->key_id, self->identity, self->expires_s);
  guint8 mac[AUTH_MAC_BYTES];

  sign (secret, head, subject, mac);
  return are_equal (mac, self->mac, AUTH_MAC_BYTES);
}
