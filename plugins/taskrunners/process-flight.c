/* process-flight.c — the call that a helper runs: what the helper says of it, and how it ends.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-keeper.h"

#include <signal.h>
#include <string.h>

/* How often the memory of a helper with a limit is looked at; the kernel does not tell. */
#define MEMORY_INTERVAL_MS 100

/* Between a dying process closing its descriptors and being dead. A core dump may take longer, and is cut
 * short then. */
#define HANG_UP_US (2 * G_USEC_PER_SEC)

/* What a helper says of its call. */

static void
give_room (Keeper *self, Flight *flight)
{
  if (flight->held && g_atomic_int_get (&self->n_resumed) - flight->refused_at < 0)
    return;
  flight->held = FALSE;
  if (flight->n_items < STRAND_WIRE_WINDOW / 2)
    return;
  helper_post_control (self->helper, STRAND_WIRE_CREDIT, flight->number, flight->n_items);
  flight->n_items = 0;
}

static void
take_item (Keeper *self, Flight *flight, const guint8 *payload, gsize size)
{
  g_autoptr(GVariant) boxed = strand_wire_read_variant (G_VARIANT_TYPE_VARIANT, payload, size);
  g_autoptr(GVariant) item = boxed != NULL ? g_variant_get_variant (boxed) : NULL;
  int n_resumed = g_atomic_int_get (&self->n_resumed);

  if (item == NULL || ++flight->n_items > STRAND_WIRE_WINDOW)
    {
      flight->broken = TRUE;
      return;
    }
  /* A resume() that comes between the two belongs to this refusal or an earlier one: at worst some more items
   * follow. */
  if (!strand_call_push_item (flight->call, item) && !flight->held)
    {
      flight->held = TRUE;
      flight->refused_at = n_resumed + 1;
    }
  give_room (self, flight);
}

static void
take_news (Flight *flight, const guint8 *payload, gsize size)
{
  g_autoptr(GVariant) news =
      strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_CHANGED_TYPE), payload, size);
  g_autoptr(GVariantIter) metadata = NULL;
  const char *message, *name;
  GVariant *value;
  double progress;

  if (news == NULL)
    {
      flight->broken = TRUE;
      return;
    }
  g_variant_get (news, "(dm&sa{sv})", &progress, &message, &metadata);
  strand_call_set_progress (flight->call, progress >= 0 && progress <= 1 ? progress : -1, message);
  while (g_variant_iter_next (metadata, "{&sv}", &name, &value))
    {
      strand_call_set_metadata (flight->call, name, value);
      g_variant_unref (value);
    }
}

static GError *
read_error (const guint8 *payload, gsize size)
{
  g_autoptr(GVariant) value =
      strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_ERROR_TYPE), payload, size);
  const char *domain, *message;
  gint32 code;

  if (value == NULL || size > 2 * STRAND_WIRE_MAX_TEXT)
    return NULL;
  g_variant_get (value, "(&si&s)", &domain, &code, &message);
  if (*domain == '\0' || strlen (domain) > 255)
    return NULL;
  return g_error_new_literal (g_quark_from_string (domain), code, message);
}

/* The outcome. A helper that garbles it is not trusted with another call. */
static void
take_end (Flight *flight, const StrandWireHead *head, const guint8 *payload)
{
  const GVariantType *type = strand_function_get_result_type (strand_call_get_function (flight->call));
  GVariant *value = NULL;
  GError *error = NULL;

  if (head->type == STRAND_WIRE_VALUE && type != NULL)
    value = strand_wire_read_variant (type, payload, head->size);
  else if (head->type == STRAND_WIRE_ERROR)
    error = read_error (payload, head->size);
  if (value == NULL && error == NULL && (head->type != STRAND_WIRE_NOTHING || type != NULL))
    {
      flight->broken = TRUE;
      return;
    }
  flight->ended = TRUE;
  strand_call_finish (flight->call, value, error);
}

static void
take_frame (Keeper *self, Flight *flight, const StrandWireHead *head, const guint8 *payload)
{
  if (head->number != flight->number)
    flight->broken = TRUE;
  else if (head->type == STRAND_WIRE_ITEM)
    take_item (self, flight, payload, head->size);
  else if (head->type == STRAND_WIRE_CHANGED)
    take_news (flight, payload, head->size);
  else if (head->type >= STRAND_WIRE_VALUE && head->type <= STRAND_WIRE_ERROR)
    take_end (flight, head, payload);
  else
    flight->broken = TRUE;
}

/* What has been received. What follows the call's end is the next one's. */
static void
take_frames (Keeper *self, Flight *flight)
{
  StrandWireHead head;
  const guint8 *payload;
  gboolean broken = FALSE;

  while (!flight->ended && !flight->broken && strand_wire_next (&self->helper->in, &head, &payload, &broken))
    take_frame (self, flight, &head, payload);
  flight->broken |= broken;
}

/* > 0 if there was something, 0 if not, -1 if nothing will come any more. */
static int
take_data (Keeper *self, Flight *flight)
{
  int received = helper_receive (self->helper);

  take_frames (self, flight);
  return received;
}

/* Killing. */

static int
next_look_ms (Keeper *self)
{
  gint64 kill_at_us, left_us;
  int look_ms;

  g_mutex_lock (&self->pool->lock);
  kill_at_us = self->kill_at_us;
  left_us = sent_get_patience_locked (self);
  g_mutex_unlock (&self->pool->lock);

  if (kill_at_us != 0)
    left_us = MAX (kill_at_us - g_get_monotonic_time (), 0);
  look_ms = left_us < 0 ? -1 : (int) MIN ((left_us + 999) / 1000, 60000);
  if (kill_at_us == 0 && self->pool->max_memory_bytes >= 0)
    look_ms = look_ms < 0 ? MEMORY_INTERVAL_MS : MIN (look_ms, MEMORY_INTERVAL_MS);
  return look_ms;
}

static void
look_after (Keeper *self, Flight *flight)
{
  Pool *pool = self->pool;
  gboolean kill_now;

  g_mutex_lock (&pool->lock);
  kill_now = self->kill_at_us != 0 && g_get_monotonic_time () >= self->kill_at_us;
  if (kill_now)
    self->kill_at_us = G_MAXINT64;
  if (sent_get_patience_locked (self) == 0)
    sent_put_back_locked (self);
  g_mutex_unlock (&pool->lock);
  if (pool->max_memory_bytes >= 0 && flight->why == NULL &&
      helper_get_resident_bytes (self->helper) > pool->max_memory_bytes)
    {
      flight->why = "it used more memory than 'max-memory' allows: ";
      kill_now = TRUE;
    }
  if (flight->broken && flight->why == NULL)
    {
      flight->why = "it said something that makes no sense: ";
      kill_now = TRUE;
    }
  if (kill_now)
    helper_signal (self->helper, SIGKILL);
}

/* The connection has ended. A process that dies closes its descriptors first, so it has a moment before it is
 * killed for closing them. TRUE once it is dead. */
static gboolean
hung_up (Keeper *self, Flight *flight)
{
  if (helper_wait_for_end (self->helper, flight->why == NULL ? HANG_UP_US : 0))
    return TRUE;
  if (flight->why == NULL)
    flight->why = "it closed its connection: ";
  helper_signal (self->helper, SIGKILL);
  return FALSE;
}

gboolean
flight_follow (Keeper *self, Flight *flight, guint news)
{
  gboolean dead = FALSE;

  take_frames (self, flight);
  for (; !flight->ended && !dead; news = 0)
    {
      gboolean alive = helper_flush (self->helper);

      if (news == 0)
        news = keeper_wait (self, self->helper, next_look_ms (self));
      if ((news & NEWS_DATA) != 0 && !flight->broken)
        alive = take_data (self, flight) >= 0;
      if (flight->ended)
        break;
      dead = (news & NEWS_DEATH) != 0 || (!alive && hung_up (self, flight));
      /* What it said before it died counts. */
      while (dead && !flight->ended && !flight->broken && take_data (self, flight) > 0)
        ;
      if ((news & NEWS_WAKE) != 0)
        give_room (self, flight);
      look_after (self, flight);
    }
  return flight->ended;
}
