/* output.c — what goes to stdout: values, tables, JSON.
 *
 * Text is gathered and written in large pieces. Where the reader has gone away (`strand list | head`) the
 * rest is dropped without a word: it is not wanted any more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As much as a pipe takes at once. */
#define FLUSH_BYTES (64 * 1024)

static struct
{
  GString *text;
  gboolean broken;
  gboolean failed; /* broken for another reason than a reader who left */
} output;

gboolean
output_flush (void)
{
  gsize done = 0;

  if (output.text == NULL || output.text->len == 0)
    return !output.broken;
  if (isatty (STDOUT_FILENO))
    progress_hide ();

  while (!output.broken && done < output.text->len)
    {
      gssize n = write (STDOUT_FILENO, output.text->str + done, output.text->len - done);

      if (n >= 0)
        done += (gsize) n;
      else if (errno != EINTR)
        {
          output.broken = TRUE;
          output.failed = errno != EPIPE;
          if (output.failed)
            fprintf (stderr, "strand: Could not write the output: %s\n", g_strerror (errno));
        }
    }
  g_string_truncate (output.text, 0);
  return !output.broken;
}

/* What becomes of a command's status once its output is written. */
Status
output_finish (Status status)
{
  output_flush ();
  return output.failed && status == STATUS_DONE ? STATUS_FAILED : status;
}

void
output_length (const char *text, gsize length)
{
  if (output.text == NULL)
    output.text = g_string_new (NULL);
  g_string_append_len (output.text, text, (gssize) length);
  if (output.text->len >= FLUSH_BYTES)
    output_flush ();
}

void
output_text (const char *text)
{
  output_length (text, strlen (text));
}

void
output_format (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  output_text (text);
}

/* A string bare, anything else as GVariant text. */
char *
output_dup_value_text (GVariant *value)
{
  return g_variant_is_of_type (value, G_VARIANT_TYPE_STRING) ? g_variant_dup_string (value, NULL)
                                                             : g_variant_print (value, FALSE);
}

void
output_value (GVariant *value)
{
  g_autofree char *text = NULL;

  if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE_UNIT))
    return;
  text = output_dup_value_text (value);
  output_text (text);
  output_text ("\n");
}

/* For people: what is no UTF-8 or would move the cursor is shown as an escape. */
char *
output_dup_printable (const char *text)
{
  GString *printable = g_string_new (NULL);

  for (const char *p = text; *p != '\0';)
    {
      gunichar c = g_utf8_get_char_validated (p, -1);

      if (c == (gunichar) -1 || c == (gunichar) -2)
        g_string_append_printf (printable, "\\x%02x", (guint8) *p++);
      else
        {
          if (c == '\n')
            g_string_append (printable, "\\n");
          else if (c == '\t')
            g_string_append (printable, "\\t");
          else if (g_unichar_iscntrl (c))
            g_string_append_printf (printable, "\\u%04x", c);
          else
            g_string_append_unichar (printable, c);
          p = g_utf8_next_char (p);
        }
    }
  return g_string_free (printable, FALSE);
}

void
output_json (GString *json)
{
  g_string_append_c (json, '\n');
  output_length (json->str, json->len);
  g_string_free (json, TRUE);
}

void
output_json_member (GString *json, const char *name, const char *text)
{
  if (json->len > 0 && strchr ("{[", json->str[json->len - 1]) == NULL)
    g_string_append_c (json, ',');
  strand_json_append_string (json, name);
  g_string_append_c (json, ':');
  strand_json_append_string (json, text);
}

void
output_json_error (GString *json, const GError *error)
{
  g_string_append (json, ",\"error\":{");
  output_json_member (json, "domain", g_quark_to_string (error->domain));
  g_string_append_printf (json, ",\"code\":%d", error->code);
  output_json_member (json, "message", error->message);
  g_string_append_c (json, '}');
}

char *
output_dup_time (gint64 time_us)
{
  g_autoptr(GDateTime) time = NULL;
  g_autofree char *seconds = NULL;

  if (time_us <= 0)
    return g_strdup ("-");
  time = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
  if (time == NULL)
    return g_strdup_printf ("%" G_GINT64_FORMAT "us", time_us);
  seconds = g_date_time_format (time, "%Y-%m-%dT%H:%M:%S");
  return g_strdup_printf ("%s.%03dZ", seconds, (int) (time_us % G_USEC_PER_SEC / 1000));
}

char *
output_dup_duration (gint64 duration_us)
{
  if (duration_us < 0)
    return g_strdup ("-");
  if (duration_us < 1000)
    return g_strdup_printf ("%dus", (int) duration_us);
  if (duration_us < G_USEC_PER_SEC)
    return g_strdup_printf ("%.1fms", (double) duration_us / 1000);
  return g_strdup_printf ("%.2fs", (double) duration_us / G_USEC_PER_SEC);
}

struct _Table
{
  GPtrArray *headings;
  GPtrArray *cells; /* row by row */
  gboolean aligned;
  gboolean begun;
};

Table *
table_new (const char *first_heading, ...)
{
  Table *self = g_new0 (Table, 1);
  va_list args;

  self->aligned = isatty (STDOUT_FILENO);
  self->headings = g_ptr_array_new ();
  self->cells = g_ptr_array_new_with_free_func (g_free);
  va_start (args, first_heading);
  for (const char *heading = first_heading; heading != NULL; heading = va_arg (args, const char *))
    g_ptr_array_add (self->headings, (gpointer) heading);
  va_end (args);
  return self;
}

/* As many cells as there are headings; NULL or nothing shows as a dash, so that columns stay countable. */
void
table_add (Table *self, const char *first, ...)
{
  const char *text = first;
  va_list args;

  va_start (args, first);
  for (guint i = 0; i < self->headings->len; i++)
    {
      g_ptr_array_add (self->cells,
                       text != NULL && *text != '\0' ? output_dup_printable (text) : g_strdup ("-"));
      if (i + 1 < self->headings->len)
        text = va_arg (args, const char *);
    }
  va_end (args);
}

static void
print_row (Table *self, gpointer *cells, const glong *widths)
{
  for (guint column = 0; column < self->headings->len; column++)
    {
      const char *text = cells[column];

      output_text (text);
      if (column + 1 == self->headings->len)
        output_text ("\n");
      else if (self->aligned)
        output_format ("%*s", (int) (widths[column] + 2 - g_utf8_strlen (text, -1)), "");
      else
        output_text ("\t");
    }
}

void
table_print (Table *self)
{
  guint n_columns = self->headings->len;
  g_autofree glong *widths = g_new0 (glong, n_columns);

  for (guint i = 0; i < n_columns; i++)
    widths[i] = g_utf8_strlen (g_ptr_array_index (self->headings, i), -1);
  for (guint i = 0; i < self->cells->len; i++)
    widths[i % n_columns] =
        MAX (widths[i % n_columns], g_utf8_strlen (g_ptr_array_index (self->cells, i), -1));

  if (self->aligned && !self->begun && self->cells->len > 0)
    print_row (self, self->headings->pdata, widths);
  for (guint i = 0; i < self->cells->len; i += n_columns)
    print_row (self, self->cells->pdata + i, widths);
  self->begun = TRUE;
  g_ptr_array_set_size (self->cells, 0);
}

void
table_free (Table *self)
{
  g_ptr_array_unref (self->headings);
  g_ptr_array_unref (self->cells);
  g_free (self);
}
