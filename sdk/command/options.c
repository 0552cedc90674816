/* options.c — words of the command line to options and arguments.
 *
 * Options may stand anywhere before `--`. What looks like a negative number is an argument, so that
 * `strand run demo.add 2 -3` means what it says; GOptionContext cannot be told that.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <string.h>

static const Option *
find_letter (const Option *const *tables, char letter)
{
  for (; *tables != NULL; tables++)
    for (const Option *option = *tables; option->name != NULL; option++)
      if (option->letter == letter)
        return option;
  return NULL;
}

static const Option *
find_name (const Option *const *tables, const char *name, gsize length)
{
  for (; *tables != NULL; tables++)
    for (const Option *option = *tables; option->name != NULL; option++)
      if (strlen (option->name) == length && strncmp (option->name, name, length) == 0)
        return option;
  return NULL;
}

static void
set_unknown (const Option *const *tables, const char *word, const char *name, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new ();
  g_autofree char *shown = output_dup_printable (word);
  const char *near;

  for (; *tables != NULL; tables++)
    for (const Option *option = *tables; option->name != NULL; option++)
      g_ptr_array_add (names, (gpointer) option->name);
  g_ptr_array_add (names, NULL);
  near = name != NULL && g_utf8_validate (name, -1, NULL)
             ? strand_suggest (name, (const char *const *) names->pdata)
             : NULL;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "There is no option '%s'%s%s%s", shown,
               near != NULL ? "; did you mean '--" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static gboolean
set_number (const Option *option, const char *text, GError **error)
{
  guint64 number;

  if (g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT32, &number, NULL))
    {
      *(gint64 *) option->target = (gint64) number;
      return TRUE;
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Option '--%s' takes a whole number from 0 to %u", option->name, G_MAXUINT32);
  return FALSE;
}

static gboolean
set_duration (const Option *option, const char *text, GError **error)
{
  if (g_utf8_validate (text, -1, NULL) && strand_duration_parse (text, option->target, error))
    return TRUE;
  if (error != NULL && *error != NULL)
    g_prefix_error (error, "Option '--%s': ", option->name);
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "Option '--%s' takes a duration, such as 30s", option->name);
  return FALSE;
}

static gboolean
set_option (const Option *option, const char *value, GError **error)
{
  GPtrArray **list;

  switch (option->type)
    {
    case OPTION_FLAG:
      *(gboolean *) option->target = TRUE;
      return TRUE;

    case OPTION_TEXT:
      *(const char **) option->target = value;
      return TRUE;

    case OPTION_LIST:
      list = option->target;
      if (*list == NULL)
        *list = g_ptr_array_new ();
      g_ptr_array_add (*list, (gpointer) value);
      return TRUE;

    case OPTION_NUMBER:
      return set_number (option, value, error);

    case OPTION_DURATION:
      return set_duration (option, value, error);

    default:
      g_assert_not_reached ();
    }
}

/* The value of an option: what stands in the same word, else the next word, which is then used up. */
static gboolean
take_value (const Option *option, const char *rest, GPtrArray *words, guint *position, GError **error)
{
  const char *value = rest;

  if (value == NULL && *position + 1 < words->len)
    value = g_ptr_array_index (words, ++*position);
  if (value != NULL)
    return set_option (option, value, error);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "Option '--%s' takes a value: %s",
               option->name, option->value_name);
  return FALSE;
}

static gboolean
parse_long (const char *word, const Option *const *tables, GPtrArray *words, guint *position, GError **error)
{
  const char *name = word + 2, *equals = strchr (name, '=');
  gsize length = equals != NULL ? (gsize) (equals - name) : strlen (name);
  const Option *option = find_name (tables, name, length);

  if (option == NULL)
    {
      g_autofree char *bare = g_strndup (name, length);

      set_unknown (tables, word, bare, error);
      return FALSE;
    }
  if (option->type != OPTION_FLAG)
    return take_value (option, equals != NULL ? equals + 1 : NULL, words, position, error);
  if (equals == NULL)
    return set_option (option, NULL, error);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "Option '--%s' takes no value",
               option->name);
  return FALSE;
}

/* `-q`, `-qc FILE`, `-cFILE`. */
static gboolean
parse_letters (const char *word, const Option *const *tables, GPtrArray *words, guint *position,
               GError **error)
{
  for (const char *letter = word + 1; *letter != '\0'; letter++)
    {
      const Option *option = find_letter (tables, *letter);

      if (option == NULL)
        {
          set_unknown (tables, word, NULL, error);
          return FALSE;
        }
      if (option->type != OPTION_FLAG)
        return take_value (option, letter[1] != '\0' ? letter + 1 : NULL, words, position, error);
      if (!set_option (option, NULL, error))
        return FALSE;
    }
  return TRUE;
}

/* `-0` may be an option all the same. */
static gboolean
is_argument (const char *word, const Option *const *tables)
{
  if (word[0] != '-' || word[1] == '\0' || strcmp (word, "-inf") == 0)
    return TRUE;
  return (g_ascii_isdigit (word[1]) && find_letter (tables, word[1]) == NULL) ||
         (word[1] == '.' && g_ascii_isdigit (word[2]));
}

gboolean
options_parse (GPtrArray *words, const Option *const *tables, GError **error)
{
  g_autoptr(GPtrArray) arguments = g_ptr_array_new ();
  guint i;

  for (i = 0; i < words->len; i++)
    {
      const char *word = g_ptr_array_index (words, i);

      if (strcmp (word, "--") == 0)
        break;
      if (is_argument (word, tables))
        g_ptr_array_add (arguments, (gpointer) word);
      else if (!(word[1] == '-' ? parse_long : parse_letters) (word, tables, words, &i, error))
        return FALSE;
    }
  for (i++; i < words->len; i++)
    g_ptr_array_add (arguments, g_ptr_array_index (words, i));

  g_ptr_array_set_size (words, 0);
  for (i = 0; i < arguments->len; i++)
    g_ptr_array_add (words, g_ptr_array_index (arguments, i));
  return TRUE;
}

gboolean
options_takes_next (const char *word, const Option *const *tables)
{
  const Option *option = NULL;

  if (word[1] == '-')
    {
      option = find_name (tables, word + 2, strlen (word + 2));
      return option != NULL && option->type != OPTION_FLAG;
    }
  for (const char *letter = word + 1; *letter != '\0'; letter++)
    {
      option = find_letter (tables, *letter);
      if (option != NULL && option->type != OPTION_FLAG)
        return letter[1] == '\0';
    }
  return FALSE;
}

void
options_print_help (const Option *table)
{
  for (; table->name != NULL; table++)
    {
      g_autofree char *letter = table->letter != 0 ? g_strdup_printf ("-%c,", table->letter) : g_strdup ("");
      g_autofree char *word = g_strdup_printf ("--%s%s%s", table->name, table->value_name != NULL ? " " : "",
                                               table->value_name != NULL ? table->value_name : "");

      output_format ("  %-3s %-20s %s\n", letter, word, table->help);
    }
}
