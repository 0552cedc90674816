/* auth-keys.h — who has which secret, and who may call what.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

typedef struct
{
  char *id;
  GBytes *secret;
  GPtrArray *identities; /* of GPatternSpec: for whom it speaks; none for all */
} AuthKey;

/* Lines `ID SECRET [IDENTITY…]`, SECRET in base64. NULL with an error that names the line, never what it has.
 */
GPtrArray *auth_keys_parse (const char *text, GError **error);
/* Borrowed; NULL where there is none. */
const AuthKey *auth_keys_find (GPtrArray *keys, const char *id);
/* The first that speaks for @identity. */
const AuthKey *auth_keys_find_for (GPtrArray *keys, const char *identity);
gboolean auth_key_speaks_for (const AuthKey *self, const char *identity);

/* Items `IDENTITY=FUNCTION,FUNCTION…`; both may have `*` and `?`. */
GPtrArray *auth_rules_parse (const char *const *items, GError **error);
gboolean auth_rules_allow (GPtrArray *rules, const char *identity, const char *function);

G_END_DECLS
