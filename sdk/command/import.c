/* import.c — what `strand list --json` printed, into another store.
 *
 * The text is an array of records, or records one after the other. It is cut at its outermost braces as it
 * comes, so that memory holds one record however many there are; what is inside is read, strictly, by who
 * reads a record's file. A record that cannot be taken does not keep the others from theirs.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)

/* Twice the largest record that a store takes unless it is told otherwise: base64 is longer than bytes. */
#define MAX_RECORD_BYTES (128 * 1024 * 1024)

static struct
{
  gboolean skip_existing;
} given;

const Option import_options[] = {
  { 0, "skip-existing", OPTION_FLAG, &given.skip_existing, NULL,
    "Leave records alone whose key is there already, and do not fail for that" },
  { 0 },
};

typedef struct
{
  StrandStore *store;
  const char *name; /* of the file */

  GString *record; /* what has come of the record that is being read */
  guint depth;     /* braces and brackets that are open in it; 0 between records */
  gboolean in_string;
  gboolean escaped;
  gboolean in_array, at_end;
  gboolean wants_more; /* a comma was read */

  guint64 n_read;
  guint64 n_imported;
  guint64 n_skipped;
  guint64 n_refused;
} Import;

static void
take_record (Import *self)
{
  g_autoptr(GBytes) json = g_bytes_new (self->record->str, self->record->len);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_record_from_json (json, &error);

  self->n_read++;
  g_string_truncate (self->record, 0);
  self->wants_more = FALSE;
  if (record == NULL)
    {
      session_say ("Could not read record %" G_GUINT64_FORMAT " of '%s': %s", self->n_read, self->name,
                   error->message);
      self->n_refused++;
    }
  else if (strand_store_import (self->store, record, &error))
    self->n_imported++;
  else if (given.skip_existing && g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS))
    self->n_skipped++;
  else
    {
      session_complain (error);
      self->n_refused++;
    }
}

/* Inside a record: only strings can hold brackets that are none. */
static void
take_inside (Import *self, char c)
{
  g_string_append_c (self->record, c);
  if (self->escaped)
    self->escaped = FALSE;
  else if (self->in_string)
    {
      self->escaped = c == '\\';
      self->in_string = c != '"';
    }
  else if (c == '"')
    self->in_string = TRUE;
  else if (c == '{' || c == '[')
    self->depth++;
  else if ((c == '}' || c == ']') && --self->depth == 0)
    take_record (self);
}

/* Between records. FALSE for what cannot stand there. */
static gboolean
take_between (Import *self, char c)
{
  if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
    return TRUE;
  if (self->at_end)
    return FALSE;
  if (c == '{' && (!self->in_array || self->n_read == 0 || self->wants_more))
    {
      self->depth = 1;
      g_string_append_c (self->record, c);
      return TRUE;
    }
  if (c == '[' && !self->in_array && self->n_read == 0)
    return self->in_array = TRUE;
  if (c == ',' && self->in_array && self->n_read > 0 && !self->wants_more)
    return self->wants_more = TRUE;
  if (c == ']' && self->in_array && !self->wants_more)
    return self->at_end = TRUE;
  return FALSE;
}

static gboolean
take (Import *self, const char *text, gsize length, GError **error)
{
  for (gsize i = 0; i < length; i++)
    {
      if (self->depth > 0)
        take_inside (self, text[i]);
      else if (!take_between (self, text[i]))
        {
          g_autofree char *shown = output_dup_printable ((const char[]){ text[i], '\0' });

          g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                       "Could not import '%s': after record %" G_GUINT64_FORMAT
                       " stands '%s'; expected records as 'strand list --json' prints them",
                       self->name, self->n_read, shown);
          return FALSE;
        }
      if (self->record->len > MAX_RECORD_BYTES)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
                       "Could not import '%s': record %" G_GUINT64_FORMAT " is longer than %d MiB",
                       self->name, self->n_read + 1, MAX_RECORD_BYTES / 1024 / 1024);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
check_end (Import *self, GError **error)
{
  if (self->depth == 0 && (!self->in_array || self->at_end))
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Could not import '%s': it ends in the middle, after record %" G_GUINT64_FORMAT, self->name,
               self->n_read);
  return FALSE;
}

static gboolean
import_file (Import *self, int fd, GError **error)
{
  g_autofree char *buffer = g_malloc (READ_BYTES);
  gssize n;

  do
    {
      n = read (fd, buffer, READ_BYTES);
      if (n < 0 && errno != EINTR)
        {
          int cause = errno;

          g_set_error (error, G_IO_ERROR, g_io_error_from_errno (cause), "Could not read '%s': %s",
                       self->name, g_strerror (cause));
          return FALSE;
        }
      if (n > 0 && !take (self, buffer, (gsize) n, error))
        return FALSE;
    }
  while (n != 0);
  return check_end (self, error);
}

static void
report (Session *session, const Import *import)
{
  if (session->json)
    output_format ("{\"imported\":%" G_GUINT64_FORMAT ",\"skipped\":%" G_GUINT64_FORMAT
                   ",\"refused\":%" G_GUINT64_FORMAT "}\n",
                   import->n_imported, import->n_skipped, import->n_refused);
  else if (!session->quiet)
    output_format ("%" G_GUINT64_FORMAT " imported, %" G_GUINT64_FORMAT " skipped, %" G_GUINT64_FORMAT
                   " refused\n",
                   import->n_imported, import->n_skipped, import->n_refused);
}

Status
import_run (Session *session, char **arguments)
{
  const char *file = arguments[0] != NULL ? arguments[0] : "-";
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  g_autofree char *shown = output_dup_printable (strcmp (file, "-") == 0 ? "standard input" : file);
  Import import = { .name = shown };
  Status status = STATUS_DONE;
  int fd = STDIN_FILENO;

  if (arguments[0] != NULL && arguments[1] != NULL)
    return session_usage (session, "'import' takes one file, or none for standard input");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  if (strcmp (file, "-") != 0)
    fd = open (file, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return session_usage (session, "Could not open '%s': %s", shown, g_strerror (errno));

  import.store = store;
  import.record = g_string_new (NULL);
  if (!import_file (&import, fd, &error))
    status = session_complain (error);
  else if (import.n_refused > 0)
    status = STATUS_FAILED;
  report (session, &import);
  g_string_free (import.record, TRUE);
  if (fd != STDIN_FILENO)
    close (fd);
  return status;
}
