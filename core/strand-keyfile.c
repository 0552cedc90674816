/* strand-keyfile.c — scans the text of a keyfile, line by line.
 *
 * The grammar is GKeyFile's without its oddities: what is accepted here GKeyFile accepts too, and gives the
 * same values. Every mistake is noted with its line and the scan goes on, so one run finds them all. Nothing
 * here knows what a group or key means.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-keyfile-private.h"
#include "strand-error.h"

#include <string.h>

typedef struct
{
  StrandKeyfile *keyfile;
  GPtrArray *problems;
  GHashTable *by_title;
  StrandKeyfileGroup *group; /* where keys go; NULL before the first header */
  StrandKeyfileGroup *aside; /* takes the keys under a header that cannot be read */
  guint line;
} Scanner;

static void
entry_free (StrandKeyfileEntry *entry)
{
  g_free (entry->key);
  g_free (entry->raw);
  g_free (entry);
}

static void
group_free (StrandKeyfileGroup *group)
{
  g_free (group->title);
  g_ptr_array_unref (group->entries);
  g_hash_table_unref (group->by_key);
  g_free (group);
}

static StrandKeyfileGroup *
group_new (const char *title, gsize length, guint line)
{
  StrandKeyfileGroup *group = g_new0 (StrandKeyfileGroup, 1);

  group->title = g_strndup (title, length);
  group->line = line;
  group->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) entry_free);
  group->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  return group;
}

void
strand_keyfile_free (StrandKeyfile *self)
{
  g_free (self->file);
  g_ptr_array_unref (self->groups);
  g_free (self);
}

void
strand_keyfile_add_problem (GPtrArray *problems, const char *file, guint line, const char *group,
                            const char *key, const char *format, ...)
{
  StrandProblem *problem;
  va_list args;

  if (problems->len >= STRAND_KEYFILE_MAX_PROBLEMS)
    return;

  problem = g_new0 (StrandProblem, 1);
  problem->file = g_strdup (file);
  problem->line = line;
  problem->group = g_strdup (group);
  problem->key = g_strdup (key);
  va_start (args, format);
  problem->message = g_strdup_vprintf (format, args);
  va_end (args);
  g_ptr_array_add (problems, problem);
}

#define complain(scanner, ...)                                                                               \
  strand_keyfile_add_problem ((scanner)->problems, (scanner)->keyfile->file, (scanner)->line,                \
                              (scanner)->group != NULL ? (scanner)->group->title : NULL, NULL, __VA_ARGS__)

/* A piece of a line for a message: short, and without what a terminal would act on. */
static char *
excerpt (const char *text, gsize length)
{
  char *shown = g_utf8_make_valid (text, MIN (length, 40));

  for (char *p = shown; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p))
      *p = '?';
  return shown;
}

static void
scan_header (Scanner *scanner, const char *text, gsize length)
{
  StrandKeyfileGroup *first;
  gsize end = 1;

  while (end < length && text[end] != ']' && text[end] != '[' && !g_ascii_iscntrl (text[end]))
    end++;

  if (end == length || text[end] != ']' || end == 1)
    {
      g_autofree char *shown = excerpt (text, length);

      scanner->group = NULL;
      complain (scanner, "'%s' is not a group's title; write [KIND NAME], such as [store results]", shown);
      scanner->group = scanner->aside;
      return;
    }

  scanner->group = group_new (&text[1], end - 1, scanner->line);
  g_ptr_array_add (scanner->keyfile->groups, scanner->group);
  first = g_hash_table_lookup (scanner->by_title, scanner->group->title);
  if (first == NULL)
    g_hash_table_insert (scanner->by_title, scanner->group->title, scanner->group);
  else
    {
      scanner->group->duplicate = TRUE;
      complain (scanner, "this group stands in line %u already; put its keys there, or give it another name",
                first->line);
    }

  for (gsize i = end + 1; i < length; i++)
    if (text[i] != ' ' && text[i] != '\t')
      {
        g_autofree char *shown = excerpt (&text[i], length - i);

        complain (scanner, "'%s' follows the group's title; a comment needs a line of its own", shown);
        break;
      }
}

static gboolean
is_key_char (char c)
{
  return g_ascii_isalnum (c) || c == '-' || c == '_' || c == '.';
}

static void
scan_pair (Scanner *scanner, const char *text, gsize length)
{
  const char *equals = memchr (text, '=', length);
  g_autofree char *key = NULL;
  StrandKeyfileEntry *entry;
  const char *key_end;
  gsize key_length = 0;

  if (equals == NULL)
    {
      g_autofree char *shown = excerpt (text, length);

      complain (scanner,
                "'%s' is neither a group's title, nor key=value, nor a comment; a comment starts with #",
                shown);
      return;
    }

  while (is_key_char (text[key_length]))
    key_length++;
  for (key_end = text + key_length; *key_end == ' ' || *key_end == '\t';)
    key_end++;
  if (key_length == 0 || key_end != equals)
    {
      g_autofree char *shown = excerpt (text, equals - text);

      complain (scanner, "'%s' cannot be a key; keys are made of letters, digits and hyphens", shown);
      return;
    }

  key = g_strndup (text, key_length);
  if (scanner->group == NULL)
    {
      complain (scanner, "the key '%s' stands before the first group; start with a title such as [strand]",
                key);
      return;
    }
  if (scanner->group == scanner->aside)
    return;

  entry = g_hash_table_lookup (scanner->group->by_key, key);
  if (entry != NULL)
    {
      strand_keyfile_add_problem (scanner->problems, scanner->keyfile->file, scanner->line,
                                  scanner->group->title, key,
                                  "this key stands in line %u already; keep one of them", entry->line);
      return;
    }

  for (equals++; equals < text + length && g_ascii_isspace (*equals);)
    equals++;
  entry = g_new0 (StrandKeyfileEntry, 1);
  entry->key = g_steal_pointer (&key);
  entry->raw = g_strndup (equals, text + length - equals);
  entry->line = scanner->line;
  g_ptr_array_add (scanner->group->entries, entry);
  g_hash_table_insert (scanner->group->by_key, entry->key, entry);
}

static void
scan_line (Scanner *scanner, const char *text, gsize length)
{
  const char *invalid = NULL;

  if (memchr (text, '\0', length) != NULL)
    {
      complain (scanner, "this line holds a NUL byte; a keyfile is text");
      return;
    }
  if (!g_utf8_validate_len (text, length, &invalid))
    {
      complain (scanner, "byte %u of this line is not UTF-8; save the file as UTF-8",
                (guint) (invalid - text) + 1);
      return;
    }

  while (length > 0 && g_ascii_isspace (*text))
    text++, length--;
  if (length == 0 || *text == '#')
    return;
  if (*text == '[')
    scan_header (scanner, text, length);
  else
    scan_pair (scanner, text, length);
}

StrandKeyfile *
strand_keyfile_parse (const char *data, gsize length, const char *file, GPtrArray *problems)
{
  Scanner scanner = { g_new0 (StrandKeyfile, 1), problems };
  const char *p = data, *end = data + length;

  scanner.keyfile->file = g_strdup (file);
  scanner.keyfile->groups = g_ptr_array_new_with_free_func ((GDestroyNotify) group_free);
  if (length > STRAND_KEYFILE_MAX_BYTES)
    {
      complain (&scanner, "this is no keyfile: it has %" G_GSIZE_FORMAT " bytes, and the limit is %d", length,
                STRAND_KEYFILE_MAX_BYTES);
      return scanner.keyfile;
    }

  scanner.by_title = g_hash_table_new (g_str_hash, g_str_equal);
  scanner.aside = group_new ("", 0, 0);
  if (length >= 3 && memcmp (data, "\xef\xbb\xbf", 3) == 0)
    {
      scanner.line = 1;
      complain (&scanner, "the file starts with a byte order mark; save it without");
      p += 3;
    }

  for (scanner.line = 1; p < end; scanner.line++)
    {
      const char *newline = memchr (p, '\n', end - p);
      gsize line_length = (newline != NULL ? newline : end) - p;

      /* One carriage return belongs to the line's end, as an editor on another system writes it. */
      scan_line (&scanner, p, line_length - (newline != NULL && line_length > 0 && newline[-1] == '\r'));
      p = newline != NULL ? newline + 1 : end;
    }

  group_free (scanner.aside);
  g_hash_table_unref (scanner.by_title);
  return scanner.keyfile;
}

StrandKeyfileEntry *
strand_keyfile_group_lookup (StrandKeyfileGroup *self, const char *key)
{
  return g_hash_table_lookup (self->by_key, key);
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
      g_autofree char *shown = excerpt (text, length);

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
