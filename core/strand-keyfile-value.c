/* strand-keyfile-value.c — a value of a keyfile to the text that it means, and back.
 *
 * Escapes and lists are GKeyFile's. Variables are ours: ${NAME}, ${NAME:-default}, and $$ for a dollar. They
 * are replaced last, so what the environment holds can add neither escapes, nor list items, nor variables.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-keyfile-private.h"
#include "strand-error.h"

#include <string.h>

/* A piece of a line for a message: short, and without what a terminal would act on. */
char *
strand_keyfile_excerpt (const char *text, gsize length)
{
  char *shown = g_utf8_make_valid (text, MIN (length, 40));

  for (char *p = shown; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p))
      *p = '?';
  return shown;
}

/* Appends the character that the escape at @p means; FALSE if it means none. `\;` is one in lists only. */
static gboolean
append_escape (GString *out, char c, gboolean in_list)
{
  static const char letters[] = "sntr\\";
  static const char meanings[] = " \n\t\r\\";
  const char *found = c != '\0' ? strchr (letters, c) : NULL;

  if (found != NULL)
    g_string_append_c (out, meanings[found - letters]);
  else if (in_list && c == ';')
    g_string_append_c (out, ';');
  else
    return FALSE;
  return TRUE;
}

static gboolean
refuse_escape (GError **error, const char *p, gboolean in_list)
{
  const char *allowed = in_list ? "\\s \\n \\t \\r \\\\ and \\;" : "\\s \\n \\t \\r and \\\\";
  g_autofree char *shown = g_strndup (p, p[1] == '\0' ? 1 : g_utf8_next_char (p + 1) - p);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "'%s' is not an escape; there are %s", shown,
               allowed);
  return FALSE;
}

/* The value of @raw without its escapes: a `\s` at its start or end is a space that would else be lost. */
char *
strand_keyfile_unescape (const char *raw, GError **error)
{
  g_autoptr(GString) out = g_string_new (NULL);

  for (const char *p = raw; *p != '\0'; p++)
    if (*p != '\\')
      g_string_append_c (out, *p);
    else if (append_escape (out, p[1], FALSE))
      p++;
    else
      {
        refuse_escape (error, p, FALSE);
        return NULL;
      }

  return g_strdup (out->str);
}

/* The items of a `;` list. A `;` at the end closes the last item and opens none. */
GStrv
strand_keyfile_split (const char *raw, GError **error)
{
  g_autoptr(GStrvBuilder) items = g_strv_builder_new ();
  g_autoptr(GString) item = g_string_new (NULL);

  for (const char *p = raw; *p != '\0'; p++)
    if (*p == ';')
      {
        g_strv_builder_add (items, item->str);
        g_string_truncate (item, 0);
      }
    else if (*p != '\\')
      g_string_append_c (item, *p);
    else if (append_escape (item, p[1], TRUE))
      p++;
    else
      {
        refuse_escape (error, p, TRUE);
        return NULL;
      }

  if (item->len > 0)
    g_strv_builder_add (items, item->str);
  return g_strv_builder_end (items);
}

/* The reverse: text that, after key=, reads as @text. A dollar is doubled, lest it start a variable. */
void
strand_keyfile_escape (GString *out, const char *text, gboolean in_list)
{
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '\n')
      g_string_append (out, "\\n");
    else if (*p == '\t')
      g_string_append (out, "\\t");
    else if (*p == '\r')
      g_string_append (out, "\\r");
    else if (*p == '\\')
      g_string_append (out, "\\\\");
    else if (*p == ' ' && (p == text || p[1] == '\0'))
      g_string_append (out, "\\s");
    else if (*p == ';' && in_list)
      g_string_append (out, "\\;");
    else if (*p == '$')
      g_string_append (out, "$$");
    else
      g_string_append_c (out, *p);
}

/* The folders that GLib has a default for are always set. */
static const char *
look_up_variable (const char *name)
{
  static const struct
  {
    const char *name;
    const char *(*get) (void);
  } folders[] = {
    { "XDG_STATE_HOME", g_get_user_state_dir },    { "XDG_DATA_HOME", g_get_user_data_dir },
    { "XDG_CONFIG_HOME", g_get_user_config_dir },  { "XDG_CACHE_HOME", g_get_user_cache_dir },
    { "XDG_RUNTIME_DIR", g_get_user_runtime_dir }, { "HOME", g_get_home_dir },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    if (strcmp (name, folders[i].name) == 0)
      return folders[i].get ();
  return g_getenv (name);
}

/* Nesting serves `${A:-${B:-c}}`; deeper than this it serves nobody. */
#define MAX_NESTING 8

static gboolean expand_into (GString *out, const char *text, gsize length, guint depth, GPtrArray *variables,
                             GError **error);

/* The variable at @text, which is behind `${` and @length long, up to its closing brace. */
static gboolean
expand_variable (GString *out, const char *text, gsize length, guint depth, GPtrArray *variables,
                 GError **error)
{
  g_autofree char *name = NULL;
  const char *value;
  gsize end = 0;

  while (end < length && (g_ascii_isalnum (text[end]) || text[end] == '_'))
    end++;
  name = g_strndup (text, end);
  if (end == 0 || g_ascii_isdigit (name[0]) || (end < length && !g_str_has_prefix (&text[end], ":-")))
    {
      g_autofree char *shown = strand_keyfile_excerpt (text, length);

      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                   "'${%s}' is not a variable; write ${NAME} or ${NAME:-default}", shown);
      return FALSE;
    }

  value = look_up_variable (name);
  if (value != NULL && (*value != '\0' || end == length))
    {
      if (!g_utf8_validate (value, -1, NULL))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                       "the environment's variable '%s' is not UTF-8; only UTF-8 can stand in a keyfile",
                       name);
          return FALSE;
        }
      g_string_append (out, value);
      if (!g_ptr_array_find_with_equal_func (variables, name, g_str_equal, NULL))
        g_ptr_array_add (variables, g_steal_pointer (&name));
      return TRUE;
    }
  if (end == length)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                   "the variable '%s' is not set; set it in the environment, or write ${%s:-default}", name,
                   name);
      return FALSE;
    }
  return expand_into (out, &text[end + 2], length - end - 2, depth + 1, variables, error);
}

static gboolean
expand_into (GString *out, const char *text, gsize length, guint depth, GPtrArray *variables, GError **error)
{
  if (depth > MAX_NESTING)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                   "variables stand in one another more than %d deep", MAX_NESTING);
      return FALSE;
    }

  for (gsize i = 0; i < length; i++)
    {
      gsize start = i + 2, end = start;
      guint open = 1;

      if (text[i] != '$')
        {
          g_string_append_c (out, text[i]);
          continue;
        }
      if (i + 1 < length && text[i + 1] == '$')
        {
          g_string_append_c (out, '$');
          i++;
          continue;
        }
      for (; i + 1 < length && text[i + 1] == '{' && end < length; end++)
        if (text[end] == '}' && --open == 0)
          break;
        else if (text[end] == '$' && end + 1 < length && text[end + 1] == '{')
          open++;
      if (i + 1 >= length || text[i + 1] != '{' || end >= length)
        {
          g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                               i + 1 < length && text[i + 1] == '{'
                                   ? "a variable lacks its closing brace; write ${NAME}"
                                   : "a lone '$' means nothing; write $$ for a dollar, or ${NAME}");
          return FALSE;
        }
      if (!expand_variable (out, &text[start], end - start, depth, variables, error))
        return FALSE;
      i = end;
    }

  return TRUE;
}

/* What a variable holds is taken as it is: it can neither add escapes, nor list items, nor variables. */
char *
strand_keyfile_expand (const char *text, GPtrArray *variables, GError **error)
{
  g_autoptr(GString) out = g_string_new (NULL);

  if (!expand_into (out, text, strlen (text), 0, variables, error))
    return NULL;
  return g_strdup (out->str);
}
