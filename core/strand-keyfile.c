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

static void
scan_header (Scanner *scanner, const char *text, gsize length)
{
  StrandKeyfileGroup *first;
  gsize end = 1;

  while (end < length && text[end] != ']' && text[end] != '[' && !g_ascii_iscntrl (text[end]))
    end++;

  if (end == length || text[end] != ']' || end == 1)
    {
      g_autofree char *shown = strand_keyfile_excerpt (text, length);

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
        g_autofree char *shown = strand_keyfile_excerpt (&text[i], length - i);

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
      g_autofree char *shown = strand_keyfile_excerpt (text, length);

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
      g_autofree char *shown = strand_keyfile_excerpt (text, equals - text);

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

static gboolean
check_is_text (Scanner *scanner, const char *text, gsize length)
{
  const char *invalid = NULL;

  if (memchr (text, '\0', length) != NULL)
    complain (scanner, "this line holds a NUL byte; a keyfile is text");
  else if (!g_utf8_validate_len (text, length, &invalid))
    complain (scanner, "byte %u of this line is not UTF-8; save the file as UTF-8",
              (guint) (invalid - text) + 1);
  else
    return TRUE;
  if (scanner->group != NULL)
    scanner->group->unreadable = TRUE;
  return FALSE;
}

static void
scan_line (Scanner *scanner, const char *text, gsize length)
{
  if (!check_is_text (scanner, text, length))
    return;

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
