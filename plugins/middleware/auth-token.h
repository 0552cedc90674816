/* auth-token.h — a signed statement that an identity makes one particular call.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* Bytes of HMAC-SHA256. */
#define AUTH_MAC_BYTES 32

/* The one call that a token is good for. Borrowed. */
typedef struct
{
  const char *function;
  const char *key;
  GVariant *arguments; /* a tuple */
} AuthSubject;

typedef struct
{
  char *key_id;
  char *identity; /* what is claimed, until auth_token_is_signed_by() */
  gint64 expires_s;
  guint8 mac[AUTH_MAC_BYTES];
} AuthToken;

/* Names of keys and identities: `[A-Za-z0-9._@-]{1,64}`. */
gboolean auth_name_is_good (const char *name);

char *auth_token_make (const char *key_id, GBytes *secret, const char *identity, gint64 expires_s,
                       const AuthSubject *subject) G_GNUC_WARN_UNUSED_RESULT;

/* NULL if the text is no token; it may come from anybody. */
AuthToken *auth_token_parse (const char *text) G_GNUC_WARN_UNUSED_RESULT;
void auth_token_free (AuthToken *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AuthToken, auth_token_free)

/* Takes as long for a wrong signature as for a right one. */
gboolean auth_token_is_signed_by (const AuthToken *self, GBytes *secret, const AuthSubject *subject);

G_END_DECLS
