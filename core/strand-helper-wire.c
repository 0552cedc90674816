/* strand-helper-wire.c — frames in and out of buffers, and the shared words.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-helper-wire-private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* A buffer that a large value has passed through is given back when it is empty. */
#define KEPT_BYTES (64 * 1024)

#define PADDED(size) (((size) + 7) & ~(gsize) 7)

void
strand_wire_buffer_clear (StrandWireBuffer *self)
{
  g_clear_pointer (&self->data, g_free);
  self->start = self->end = self->size = 0;
}

gboolean
strand_wire_buffer_is_empty (const StrandWireBuffer *self)
{
  return self->start == self->end;
}

static void
consume (StrandWireBuffer *self, gsize n)
{
  self->start += n;
  if (self->start < self->end)
    return;
  self->start = self->end = 0;
  if (self->size > KEPT_BYTES)
    strand_wire_buffer_clear (self);
}

/* Room for @n more bytes behind the end. What is left moves to the front: a frame's place stays a multiple of
 * 8, for whole frames are consumed; a sent part is only ever sent on. */
static void
reserve (StrandWireBuffer *self, gsize n)
{
  gsize length = self->end - self->start;

  if (self->size - self->end >= n)
    return;
  if (self->start > 0)
    {
      memmove (self->data, self->data + self->start, length);
      self->start = 0;
      self->end = length;
    }
  if (self->size - self->end >= n)
    return;
  self->size = MAX (MAX (self->size * 2, length + n), 4096);
  self->data = g_realloc (self->data, self->size);
}

/* Returns where the frame starts, counted from the first byte that is not sent yet. */
gsize
strand_wire_begin (StrandWireBuffer *self, StrandWireType type, guint64 number)
{
  gsize frame = self->end - self->start;
  StrandWireHead head = { 0, type, number };

  strand_wire_append (self, &head, sizeof head);
  return frame;
}

void
strand_wire_append (StrandWireBuffer *self, gconstpointer data, gsize size)
{
  if (size == 0)
    return;
  reserve (self, size);
  memcpy (self->data + self->end, data, size);
  self->end += size;
}

void
strand_wire_append_variant (StrandWireBuffer *self, GVariant *value)
{
  gsize size = g_variant_get_size (value);

  if (size == 0)
    return;
  reserve (self, size);
  g_variant_store (value, self->data + self->end);
  self->end += size;
}

/* To a multiple of 8, counted from the frame's start. */
void
strand_wire_pad (StrandWireBuffer *self, gsize frame)
{
  static const guint8 zeros[8];
  gsize length = self->end - self->start - frame;

  strand_wire_append (self, zeros, PADDED (length) - length);
}

/* FALSE if the frame is too large: it is taken out again. */
gboolean
strand_wire_end (StrandWireBuffer *self, gsize frame)
{
  gsize size = self->end - self->start - frame - sizeof (StrandWireHead);
  guint32 written = (guint32) size;

  if (size > STRAND_WIRE_MAX_PAYLOAD)
    {
      self->end = self->start + frame;
      consume (self, 0);
      return FALSE;
    }
  memcpy (self->data + self->start + frame + G_STRUCT_OFFSET (StrandWireHead, size), &written,
          sizeof written);
  strand_wire_pad (self, frame);
  return TRUE;
}

gboolean
strand_wire_next (StrandWireBuffer *self, StrandWireHead *head, const guint8 **payload, gboolean *broken)
{
  gsize length = self->end - self->start, whole;

  *broken = FALSE;
  if (length < sizeof *head)
    return FALSE;
  memcpy (head, self->data + self->start, sizeof *head);
  if (head->size > STRAND_WIRE_MAX_PAYLOAD)
    {
      *broken = TRUE;
      return FALSE;
    }
  whole = sizeof *head + PADDED ((gsize) head->size);
  if (length < whole)
    return FALSE;
  *payload = self->data + self->start + sizeof *head;
  self->start += whole;
  return TRUE;
}

gssize
strand_wire_receive (StrandWireBuffer *self, int fd, int flags)
{
  gssize n;

  consume (self, 0);
  /* As much again as there is, so that a large frame costs few copies, and its size alone no memory. */
  reserve (self, MAX (4096, self->end - self->start));
  do
    n = recv (fd, self->data + self->end, self->size - self->end, flags);
  while (n < 0 && errno == EINTR);
  if (n > 0)
    self->end += (gsize) n;
  return n;
}

gssize
strand_wire_send (StrandWireBuffer *self, int fd, int flags)
{
  gssize n;

  do
    n = send (fd, self->data + self->start, self->end - self->start, flags | MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n > 0)
    consume (self, (gsize) n);
  return n;
}

GVariant *
strand_wire_read_variant (const GVariantType *type, const guint8 *data, gsize size)
{
  gpointer copy = g_memdup2 (data, size);
  g_autoptr(GVariant) value = g_variant_new_from_data (type, copy, size, FALSE, g_free, copy);

  g_variant_ref_sink (value);
  return g_variant_is_normal_form (value) ? g_steal_pointer (&value) : NULL;
}

gboolean
strand_wire_claim (StrandWireShared *shared, guint64 number)
{
  gsize before = number > STRAND_WIRE_SLOTS ? (gsize) number - STRAND_WIRE_SLOTS : 0;

  return g_atomic_pointer_compare_and_exchange (&shared->claimed[number % STRAND_WIRE_SLOTS], before,
                                                (gsize) number);
}

gboolean
strand_wire_is_claimed (StrandWireShared *shared, guint64 number)
{
  return (gsize) g_atomic_pointer_get (&shared->claimed[number % STRAND_WIRE_SLOTS]) >= (gsize) number;
}
