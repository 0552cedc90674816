/* auth-keys.c — who has which secret, and who may call what.
 *
 * Several keys at once are how a key is replaced: the new one is added below the old one wherever calls are
 * verified, then moved above it where they are signed, then the old one is removed. Secrets are wiped when
 * they are let go, and no message quotes a line. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "auth-keys.h"
#include "auth-token.h"

#include <string.h>

/* HMAC-SHA256 gains nothing from a longer key and is weaker with a shorter one (RFC 2104, section 3). */
#define MIN_SECRET_BYTES 32

typedef struct
{
  GPatternSpec *identity;
  GPtrArray *functions; /* of GPatternSpec */
} Rule;

static void
pattern_free (gpointer data)
{
  g_pattern_spec_free (data);
}

static void
key_free (gpointer data)
{
  AuthKey *key = data;

  g_free (key->id);
  g_clear_pointer (&key->secret, g_bytes_unref);
  g_ptr_array_unref (key->identities);
  g_free (key);
}

typedef struct
{
  gsize length;
  guint8 data[];
} Secret;

static void
wipe (gpointer data)
{
  Secret *secret = data;

  explicit_bzero (secret->data, secret->length);
  g_free (secret);
}

/* NULL if it is no base64, or too little of it. */
static GBytes *
read_secret (const char *text)
{
  gsize length = strspn (text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
  gsize padding = strspn (text + length, "=");
  Secret *secret;
  guchar *data;
  gsize data_length;

  if (text[length + padding] != '\0' || padding > 2 || (length + padding) % 4 != 0)
    return NULL;
  data = g_base64_decode (text, &data_length);
  secret = g_malloc (sizeof *secret + data_length);
  secret->length = data_length;
  memcpy (secret->data, data, data_length);
  explicit_bzero (data, data_length);
  g_free (data);
  if (data_length < MIN_SECRET_BYTES)
    {
      wipe (secret);
      return NULL;
    }
  return g_bytes_new_with_free_func (secret->data, data_length, wipe, secret);
}

static gboolean
is_pattern_of_names (const char *text)
{
  g_autofree char *plain = g_strdelimit (g_strdup (text), "*?", '-');

  return auth_name_is_good (plain);
}

static gboolean
refuse_line (guint line, const char *why, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "line %u of 'keys' %s; a line is ID SECRET [IDENTITY…], the SECRET from: "
               "head -c 32 /dev/urandom | base64",
               line, why);
  return FALSE;
}

static gboolean
read_words (GPtrArray *keys, AuthKey *key, char **words, guint line, GError **error)
{
  if (g_strv_length (words) < 2)
    return refuse_line (line, "has no secret", error);
  if (!auth_name_is_good (words[0]))
    return refuse_line (line, "has an ID with other characters than A-Z a-z 0-9 . _ @ - or more than 64",
                        error);
  if (auth_keys_find (keys, words[0]) != NULL)
    return refuse_line (line, "has an ID that another line has", error);
  key->id = g_strdup (words[0]);
  key->secret = read_secret (words[1]);
  if (key->secret == NULL)
    return refuse_line (line, "has a secret that is not base64 of at least 32 bytes", error);
  for (guint i = 2; words[i] != NULL; i++)
    {
      if (!is_pattern_of_names (words[i]))
        return refuse_line (line, "has an identity with other characters than A-Z a-z 0-9 . _ @ - * ?",
                            error);
      g_ptr_array_add (key->identities, g_pattern_spec_new (words[i]));
    }
  return TRUE;
}

/* As g_strsplit_set(), without empty words. */
static GStrv
split_words (const char *line)
{
  GPtrArray *words = g_ptr_array_new ();
  g_auto(GStrv) all = g_strsplit_set (line, " \t\r", -1);

  for (guint i = 0; all[i] != NULL; i++)
    if (*all[i] != '\0')
      g_ptr_array_add (words, g_strdup (all[i]));
  for (guint i = 0; all[i] != NULL; i++)
    explicit_bzero (all[i], strlen (all[i]));
  g_ptr_array_add (words, NULL);
  return (GStrv) g_ptr_array_free (words, FALSE);
}

static gboolean
read_line (GPtrArray *keys, const char *text, guint line, GError **error)
{
  g_auto(GStrv) words = split_words (text);
  AuthKey *key;
  gboolean good;

  if (words[0] == NULL || *words[0] == '#')
    return TRUE;
  key = g_new0 (AuthKey, 1);
  key->identities = g_ptr_array_new_with_free_func (pattern_free);
  good = read_words (keys, key, words, line, error);
  for (guint i = 0; words[i] != NULL; i++)
    explicit_bzero (words[i], strlen (words[i]));
  if (good)
    g_ptr_array_add (keys, key);
  else
    key_free (key);
  return good;
}

GPtrArray *
auth_keys_parse (const char *text, GError **error)
{
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (key_free);
  guint line = 1;

  for (const char *start = text; *start != '\0'; line++)
    {
      gsize length = strcspn (start, "\n");
      g_autofree char *copy = g_strndup (start, length);
      gboolean good = read_line (keys, copy, line, error);

      explicit_bzero (copy, length);
      if (!good)
        return NULL;
      start += length + (start[length] == '\n');
    }
  if (keys->len > 0)
    return g_steal_pointer (&keys);
  g_set_error (
      error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
      "'keys' has no key; write a line ID SECRET, the SECRET from: head -c 32 /dev/urandom | base64");
  return NULL;
}

const AuthKey *
auth_keys_find (GPtrArray *keys, const char *id)
{
  for (guint i = 0; i < keys->len; i++)
    if (strcmp (((AuthKey *) keys->pdata[i])->id, id) == 0)
      return keys->pdata[i];
  return NULL;
}

gboolean
auth_key_speaks_for (const AuthKey *self, const char *identity)
{
  for (guint i = 0; i < self->identities->len; i++)
    if (g_pattern_spec_match_string (self->identities->pdata[i], identity))
      return TRUE;
  return self->identities->len == 0;
}

const AuthKey *
auth_keys_find_for (GPtrArray *keys, const char *identity)
{
  for (guint i = 0; i < keys->len; i++)
    if (auth_key_speaks_for (keys->pdata[i], identity))
      return keys->pdata[i];
  return NULL;
}

/* --- rules --------------------------------------------------------------------------------------------- */

static void
rule_free (gpointer data)
{
  Rule *rule = data;

  g_pattern_spec_free (rule->identity);
  g_ptr_array_unref (rule->functions);
  g_free (rule);
}

static gboolean
read_rule (GPtrArray *rules, const char *item, GError **error)
{
  const char *sign = strchr (item, '=');
  g_autofree char *identity = sign != NULL ? g_strndup (item, (gsize) (sign - item)) : NULL;
  g_auto(GStrv) functions = sign != NULL ? g_strsplit (sign + 1, ",", -1) : g_new0 (char *, 1);
  gboolean good = identity != NULL && is_pattern_of_names (g_strstrip (identity)) && functions[0] != NULL;
  Rule *rule;

  for (guint i = 0; functions[i] != NULL; i++)
    good &= *g_strstrip (functions[i]) != '\0';
  if (!good)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'allow' has '%s'; write IDENTITY=FUNCTION,FUNCTION…, where * and ? stand for others",
                   item);
      return FALSE;
    }
  rule = g_new0 (Rule, 1);
  rule->identity = g_pattern_spec_new (identity);
  rule->functions = g_ptr_array_new_with_free_func (pattern_free);
  for (guint i = 0; functions[i] != NULL; i++)
    g_ptr_array_add (rule->functions, g_pattern_spec_new (functions[i]));
  g_ptr_array_add (rules, rule);
  return TRUE;
}

GPtrArray *
auth_rules_parse (const char *const *items, GError **error)
{
  g_autoptr(GPtrArray) rules = g_ptr_array_new_with_free_func (rule_free);

  for (guint i = 0; items != NULL && items[i] != NULL; i++)
    if (!read_rule (rules, items[i], error))
      return NULL;
  return g_steal_pointer (&rules);
}

gboolean
auth_rules_allow (GPtrArray *rules, const char *identity, const char *function)
{
  for (guint i = 0; i < rules->len; i++)
    {
      Rule *rule = rules->pdata[i];

      if (!g_pattern_spec_match_string (rule->identity, identity))
        continue;
      for (guint j = 0; j < rule->functions->len; j++)
        if (g_pattern_spec_match_string (rule->functions->pdata[j], function))
          return TRUE;
    }
  return FALSE;
}
