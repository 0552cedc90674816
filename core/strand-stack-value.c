/* strand-stack-value.c — one line of a keyfile to one property's value, secrets included.
 *
 * Escapes go first, then a list is split, then variables are replaced: so what a variable holds is one piece
 * of text, whatever is in it. A secret never stands in the keyfile itself: it comes from a file that others
 * can neither read nor replace, or from the environment.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack-private.h"
#include "strand-error.h"
#include "strand-param.h"
#include "strand-schema-private.h"
#include "strand-trust-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX_BYTES (64 * 1024)

static gboolean
refuse_secret (GError **error, const char *path, const char *why)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "the secret's file '%s' %s", path, why);
  return FALSE;
}

/* Looks at the open file, not at its name, so that nobody can swap it in between. */
static gboolean
check_secret_file (int fd, const char *path, GError **error)
{
  struct stat info;
  g_autofree char *why = NULL;

  if (fstat (fd, &info) != 0 || !S_ISREG (info.st_mode))
    return refuse_secret (error, path, "is not a regular file; name one that holds the secret alone");
  if ((info.st_mode & (S_IROTH | S_IWOTH | S_IWGRP)) == 0)
    return TRUE;

  why = g_strdup_printf ("has mode %04o, so others may read or write it; run: chmod 0600 '%s'",
                         (guint) info.st_mode & 07777, path);
  return refuse_secret (error, path, why);
}

/* Whoever can put another file in its place chooses the secret, so the path must be as safe as a plugin's. */
static gboolean
check_secret_place (int fd, const char *path, GError **error)
{
  StrandFileIdentity there, opened;
  struct stat info;
  g_autoptr(GError) local = NULL;
  g_autofree char *real = strand_trust_check (path, NULL, &there, &local);

  if (real == NULL)
    {
      g_autofree char *why = g_strdup_printf ("cannot be trusted: %s", local->message);

      return refuse_secret (error, path, why);
    }
  if (fstat (fd, &info) != 0)
    return refuse_secret (error, path, g_strerror (errno));
  strand_file_identity_init (&opened, &info);
  return strand_file_identity_equal (&there, &opened) ||
         refuse_secret (error, path, "was changed while it was read; try again");
}

/* The file's text without the newline that editors put at its end. */
static char *
read_open_secret (int fd, const char *path, GError **error)
{
  g_autofree char *text = g_malloc (SECRET_MAX_BYTES + 1);
  gsize length = 0;
  gssize n = 0;

  while (length <= SECRET_MAX_BYTES && (n = read (fd, text + length, SECRET_MAX_BYTES + 1 - length)) != 0)
    {
      if (n < 0 && errno != EINTR)
        {
          refuse_secret (error, path, g_strerror (errno));
          return NULL;
        }
      length += MAX (n, 0);
    }

  if (length == 0)
    refuse_secret (error, path, "is empty; put the secret into it");
  else if (length > SECRET_MAX_BYTES)
    refuse_secret (error, path, "is larger than 64 KiB; it must hold the secret alone");
  else if (!g_utf8_validate_len (text, length, NULL))
    refuse_secret (error, path, "is not UTF-8 text");
  else
    {
      if (text[length - 1] == '\n')
        length--;
      if (length > 0 && text[length - 1] == '\r')
        length--;
      return g_strndup (text, length);
    }
  return NULL;
}

static char *
read_secret (const char *path, GError **error)
{
  char *secret = NULL;
  int fd;

  if (!g_path_is_absolute (path))
    {
      refuse_secret (error, path, "is not an absolute path; start it with / or a variable");
      return NULL;
    }
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0)
    {
      g_autofree char *why = g_strdup_printf ("cannot be opened: %s", g_strerror (errno));

      refuse_secret (error, path, why);
      return NULL;
    }
  if (check_secret_file (fd, path, error) && check_secret_place (fd, path, error))
    secret = read_open_secret (fd, path, error);
  close (fd);
  return secret;
}

/* `${NAME}` and nothing else: a default would be a secret in the keyfile. */
static gboolean
is_variable_alone (const char *raw)
{
  gsize length = strlen (raw);

  return length > 3 && g_str_has_prefix (raw, "${") &&
         strspn (raw + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == length - 3 &&
         raw[length - 1] == '}';
}

static char *
read_text (GParamSpec *pspec, StrandKeyfileEntry *entry, gboolean file_key, GPtrArray *variables,
           GError **error)
{
  g_autofree char *plain = NULL;
  g_autofree char *text = NULL;

  if ((pspec->flags & STRAND_PARAM_SECRET) && !file_key && !is_variable_alone (entry->raw))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                   "a secret may not stand in a keyfile; write %s-file=PATH, or %s=${VARIABLE}", pspec->name,
                   pspec->name);
      return NULL;
    }

  plain = strand_keyfile_unescape (entry->raw, error);
  text = plain != NULL ? strand_keyfile_expand (plain, variables, error) : NULL;
  if (text == NULL || G_IS_PARAM_SPEC_STRING (pspec) == FALSE)
    return text != NULL ? g_strchomp (g_steal_pointer (&text)) : NULL;
  return file_key ? read_secret (text, error) : g_steal_pointer (&text);
}

/* The items of a list of texts are kept to the letter; those of a list of words may stand apart. */
static GStrv
read_items (StrandKeyfileEntry *entry, gboolean words, GPtrArray *variables, GError **error)
{
  g_auto(GStrv) items = strand_keyfile_split (entry->raw, error);

  for (guint i = 0; items != NULL && items[i] != NULL; i++)
    {
      char *text = strand_keyfile_expand (items[i], variables, error);

      if (text == NULL)
        return NULL;
      g_free (items[i]);
      items[i] = words ? g_strstrip (text) : text;
    }
  return g_steal_pointer (&items);
}

static gboolean
read_value (GParamSpec *pspec, StrandKeyfileEntry *entry, gboolean file_key, GPtrArray *variables,
            GValue *value, GError **error)
{
  StrandKind kind;

  if (strand_schema_get_form (pspec, &kind) == STRAND_SCHEMA_LIST)
    {
      g_auto(GStrv) items = read_items (entry, G_IS_PARAM_SPEC_FLAGS (pspec), variables, error);

      return items != NULL && strand_schema_read_list (pspec, (const char *const *) items, value, error);
    }
  else
    {
      g_autofree char *text = read_text (pspec, entry, file_key, variables, error);

      if (text != NULL && *text == '\0' && (pspec->flags & STRAND_PARAM_REQUIRED))
        {
          g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                               "this key is required and may not be empty");
          return FALSE;
        }
      return text != NULL && strand_schema_read (pspec, text, value, error);
    }
}

StrandSetting *
strand_setting_read (GParamSpec *pspec, StrandKeyfileEntry *entry, gboolean file_key, GError **error)
{
  g_autoptr(GPtrArray) variables = g_ptr_array_new_with_free_func (g_free);
  GValue value = G_VALUE_INIT;
  StrandSetting *setting;

  if (!read_value (pspec, entry, file_key, variables, &value, error))
    return NULL;

  setting = g_new0 (StrandSetting, 1);
  setting->pspec = g_param_spec_ref (pspec);
  setting->line = entry->line;
  setting->value = value;
  g_ptr_array_add (variables, NULL);
  if (variables->len > 1)
    setting->variables = g_strjoinv (", ", (char **) variables->pdata);
  return setting;
}

/* One word, such as a type's or another group's name. */
char *
strand_setting_read_word (StrandKeyfileEntry *entry, GError **error)
{
  g_autoptr(GPtrArray) variables = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *plain = strand_keyfile_unescape (entry->raw, error);
  g_autofree char *text = plain != NULL ? strand_keyfile_expand (plain, variables, error) : NULL;

  if (text == NULL)
    return NULL;
  if (*g_strstrip (text) != '\0')
    return g_steal_pointer (&text);
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "the value is empty; write a name");
  return NULL;
}

GStrv
strand_setting_read_words (StrandKeyfileEntry *entry, GError **error)
{
  g_autoptr(GPtrArray) variables = g_ptr_array_new_with_free_func (g_free);
  g_auto(GStrv) words = read_items (entry, TRUE, variables, error);

  for (guint i = 0; words != NULL && words[i] != NULL; i++)
    if (*words[i] == '\0')
      {
        g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                             "an item of the list is empty; write names with one ';' between");
        return NULL;
      }
  return g_steal_pointer (&words);
}
