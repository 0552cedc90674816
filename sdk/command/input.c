/* input.c — a stream of lines, read no faster than they are used.
 *
 * One buffer, filled by one read at a time; a piece is handed out as soon as it is whole. So an input of any
 * length takes the memory of its longest line, and a pipe that produces slowly is followed as it goes.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <gio/gunixinputstream.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES (64 * 1024)

/* A line longer than this is no line but the wrong file. */
#define MAX_PIECE_BYTES (64 * 1024 * 1024)

struct _Input
{
  GInputStream *stream;
  char separator;
  goffset size; /* of a regular file, else -1 */
  goffset used;
  GByteArray *buffer;
  gsize start;   /* of what has not been handed out */
  gsize scanned; /* up to here there is no separator */
  gboolean reading;
  gboolean at_end;
  GError *error;
  GSourceOnceFunc ready;
  gpointer user_data;
  GCancellable *cancellable;
};

static goffset
find_size (GFile *file)
{
  g_autoptr(GFileInfo) info = g_file_query_info (
      file, G_FILE_ATTRIBUTE_STANDARD_SIZE "," G_FILE_ATTRIBUTE_STANDARD_TYPE, 0, NULL, NULL);

  return info != NULL && g_file_info_get_file_type (info) == G_FILE_TYPE_REGULAR ? g_file_info_get_size (info)
                                                                                 : -1;
}

/* @name: a file's, or `-` for stdin */
Input *
input_open (const char *name, char separator, GError **error)
{
  Input *self = g_new0 (Input, 1);

  self->separator = separator;
  self->size = -1;
  self->buffer = g_byte_array_new ();
  self->cancellable = g_cancellable_new ();
  if (strcmp (name, "-") == 0)
    self->stream = g_unix_input_stream_new (STDIN_FILENO, FALSE);
  else
    {
      g_autoptr(GFile) file = g_file_new_for_path (name);

      self->stream = G_INPUT_STREAM (g_file_read (file, NULL, error));
      self->size = find_size (file);
    }
  if (self->stream != NULL)
    return self;
  g_prefix_error (error, "Could not open the input: ");
  input_free (self);
  return NULL;
}

void
input_free (Input *self)
{
  /* The read's callback still comes and needs the buffer, so its end is waited for. */
  g_cancellable_cancel (self->cancellable);
  while (self->reading)
    g_main_context_iteration (NULL, TRUE);
  g_clear_object (&self->stream);
  g_object_unref (self->cancellable);
  g_byte_array_unref (self->buffer);
  g_clear_error (&self->error);
  g_free (self);
}

static void
on_read (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Input *self = user_data;
  GSourceOnceFunc ready = self->ready;
  g_autoptr(GBytes) bytes = g_input_stream_read_bytes_finish (self->stream, result, &self->error);

  self->reading = FALSE;
  self->ready = NULL;
  if (bytes != NULL && g_bytes_get_size (bytes) > 0)
    g_byte_array_append (self->buffer, g_bytes_get_data (bytes, NULL), (guint) g_bytes_get_size (bytes));
  else
    self->at_end = TRUE;
  if (ready != NULL && !g_cancellable_is_cancelled (self->cancellable))
    ready (self->user_data);
}

static void
start_reading (Input *self, GSourceOnceFunc ready, gpointer user_data)
{
  self->ready = ready;
  self->user_data = user_data;
  if (self->reading)
    return;
  /* What has been handed out leaves the buffer; cheap, for it is less than one read's worth. */
  g_byte_array_remove_range (self->buffer, 0, (guint) self->start);
  self->scanned -= self->start;
  self->start = 0;
  self->reading = TRUE;
  g_input_stream_read_bytes_async (self->stream, READ_BYTES, G_PRIORITY_DEFAULT, self->cancellable, on_read,
                                   self);
}

static GBytes *
take_piece (Input *self, gsize length, gboolean with_separator)
{
  GBytes *piece = g_bytes_new (self->buffer->data + self->start, length);

  self->start += length + (with_separator ? 1 : 0);
  self->scanned = self->start;
  self->used += (goffset) length + (with_separator ? 1 : 0);
  return piece;
}

GBytes *
input_next (Input *self, GSourceOnceFunc ready, gpointer user_data, GError **error)
{
  const guint8 *found = NULL;

  if (self->buffer->len > self->scanned)
    found = memchr (self->buffer->data + self->scanned, self->separator, self->buffer->len - self->scanned);
  if (found != NULL)
    return take_piece (self, (gsize) (found - (self->buffer->data + self->start)), TRUE);
  self->scanned = self->buffer->len;

  if (self->error != NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&self->error), "Could not read the input: ");
      return NULL;
    }
  if (self->at_end)
    /* The last line need not end in a separator. */
    return self->buffer->len > self->start ? take_piece (self, self->buffer->len - self->start, FALSE) : NULL;
  if (self->buffer->len - self->start > MAX_PIECE_BYTES)
    {
      self->at_end = TRUE;
      g_byte_array_set_size (self->buffer, (guint) self->start);
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
                   "Could not read the input: a line is longer than %d bytes", MAX_PIECE_BYTES);
      return NULL;
    }
  start_reading (self, ready, user_data);
  return NULL;
}

gboolean
input_is_at_end (Input *self)
{
  return self->at_end && self->error == NULL && self->buffer->len == self->start;
}

double
input_get_fraction (Input *self)
{
  return self->size > 0 ? MIN ((double) self->used / (double) self->size, 1) : -1;
}
