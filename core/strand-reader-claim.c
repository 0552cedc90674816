/* strand-reader-claim.c — the thread of a reader that takes calls and starts them.
 *
 * It claims what there is room for, and a little more while calls are short: so much as runs within
 * AHEAD_US, which is no wait worth a word and saves a claim for each call. What was claimed ahead and then
 * got stuck behind a long call is given back by the keeper.
 *
 * A worker that stood still may have been taken for dead, and whoever did so takes everything that it holds:
 * nothing is claimed before the keeper knows that nobody has, or has a new name to claim under.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include "strand-clock.h"
#include "strand-log.h"

#define AHEAD_US 4000
#define MAX_AHEAD 256

/* Between claims that fail, because the store cannot be reached. */
#define SHORTEST_PAUSE_US (100 * 1000)
#define LONGEST_PAUSE_US (5 * G_USEC_PER_SEC)

/* A call whose time comes later is asked for again now and then, because wall clocks are set. */
#define LONGEST_SLEEP_US (60 * G_USEC_PER_SEC)

/* Whether nobody can have taken this worker for dead. */
static gboolean
is_enlisted_locked (StrandReader *self)
{
  return g_get_monotonic_time () - self->enlisted_us <= READER_LEASE_SAFE (self->lease_us);
}

static guint
room_locked (StrandReader *self)
{
  guint ahead = MIN ((gint64) self->jobs * AHEAD_US / MAX (self->average_us, 1), MAX_AHEAD);
  guint limit = self->jobs + ahead;

  if (self->paused || self->stopping || self->all.length >= limit)
    return 0;
  /* Once there are some ahead, a single free place is not worth a claim. */
  if (ahead > 0 && self->all.length > self->jobs + ahead / 2)
    return 0;
  return limit - self->all.length;
}

/* Runs what middleware has let through meanwhile. */
static void
go_on_locked (StrandReader *self)
{
  ReaderCall *call;

  while ((call = g_queue_pop_head (&self->resumed)) != NULL)
    {
      g_mutex_unlock (&self->lock);
      reader_call_go_on (call);
      reader_call_unref (call);
      g_mutex_lock (&self->lock);
    }
}

/* The queues that are open now; NULL if none is. */
static char **
dup_open_queues_locked (StrandReader *self)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  guint n = 0;

  for (guint i = 0; self->queues[i] != NULL; i++)
    if (!g_hash_table_contains (self->stopped_queues, self->queues[i]))
      {
        g_strv_builder_add (builder, self->queues[i]);
        n++;
      }
  return n > 0 ? g_strv_builder_end (builder) : NULL;
}

/* One claim. @again_us: when to look again at the latest, monotonic. Whether the store answered. */
static gboolean
claim_some (StrandReader *self, char **queues, const char *owner, guint limit, gint64 *again_us,
            GError **error)
{
  gint64 asked_us = g_get_monotonic_time ();
  const StrandClaim claim = {
    .queues = (const char *const *) queues, .owner = owner, .now_us = strand_clock_now_us (), .limit = limit
  };
  gint64 next_due_us = 0;
  g_autoptr(GPtrArray) claimed = strand_store_claim (self->store, &claim, &next_due_us, error);

  if (claimed == NULL)
    return FALSE;
  for (guint i = 0; i < claimed->len; i++)
    reader_call_begin (self, g_ptr_array_index (claimed, i), asked_us);

  *again_us = asked_us + LONGEST_SLEEP_US;
  if (next_due_us > 0)
    *again_us = asked_us + CLAMP (next_due_us - claim.now_us, 1, LONGEST_SLEEP_US);
  if (claimed->len == limit)
    *again_us = asked_us; /* there may be more */
  return TRUE;
}

static void
note_idle_locked (StrandReader *self, gboolean idle)
{
  self->idle = idle;
  if (idle)
    g_cond_broadcast (&self->changed);
}

/* Has the keeper find out whether this worker still counts as one. */
static void
ask_keeper_locked (StrandReader *self)
{
  if (self->renew_soon)
    return;
  self->renew_soon = TRUE;
  reader_wake_keeper (self);
}

/* Waits until there may be something to claim, and room for it. */
static void
sleep_locked (StrandReader *self, gboolean could_claim, gint64 again_us)
{
  if (self->resumed.length > 0 || self->over)
    return;
  if (could_claim)
    g_cond_wait_until (&self->claimer_wakes, &self->lock, again_us);
  else
    g_cond_wait (&self->claimer_wakes, &self->lock);
}

void
reader_note_outage (StrandReader *self, const GError *error)
{
  gboolean first;

  g_mutex_lock (&self->lock);
  first = self->outage == NULL;
  if (first)
    self->outage = g_thread_self ();
  g_mutex_unlock (&self->lock);
  if (first)
    g_warning ("%s; trying again until the store answers", error->message);
}

/* A store that can be read may yet refuse to be written, so one thread's answer does not end what the other
 * has said. */
void
reader_note_answer (StrandReader *self)
{
  gboolean over;

  g_mutex_lock (&self->lock);
  over = self->outage == g_thread_self ();
  if (over)
    self->outage = NULL;
  g_mutex_unlock (&self->lock);
  if (over)
    g_message ("The store answers again");
}

/* What a claim that failed means for the next one: jitter, so that readers do not come back together. */
static gint64
pause_after (gint64 pause_us)
{
  return CLAMP (pause_us * 2, SHORTEST_PAUSE_US, LONGEST_PAUSE_US);
}

gpointer
reader_claim (gpointer data)
{
  StrandReader *self = data;
  gint64 pause_us = 0; /* while the store does not answer */
  gint64 again_us = 0;

  g_mutex_lock (&self->lock);
  while (!self->over)
    {
      g_auto(GStrv) queues = NULL;
      g_autofree char *owner = NULL;
      g_autoptr(GError) error = NULL;
      guint room;
      gboolean due;

      go_on_locked (self);
      room = room_locked (self);
      queues = dup_open_queues_locked (self);
      due = g_get_monotonic_time () >= again_us || (self->work && pause_us == 0);
      if (room == 0 || queues == NULL || !due)
        {
          note_idle_locked (self, queues == NULL || (room > 0 && pause_us == 0));
          sleep_locked (self, room > 0 && queues != NULL, again_us);
          continue;
        }

      if (!is_enlisted_locked (self))
        {
          ask_keeper_locked (self);
          sleep_locked (self, FALSE, again_us);
          continue;
        }

      self->work = FALSE;
      self->idle = FALSE;
      self->claiming = TRUE;
      owner = g_strdup (self->owner);
      g_mutex_unlock (&self->lock);
      if (!claim_some (self, queues, owner, room, &again_us, &error))
        {
          reader_note_outage (self, error);
          pause_us = pause_after (pause_us);
          again_us =
              g_get_monotonic_time () + g_random_int_range ((gint32) pause_us / 2, (gint32) pause_us + 1);
        }
      else if (pause_us > 0)
        {
          reader_note_answer (self);
          pause_us = 0;
        }
      g_mutex_lock (&self->lock);
      self->claiming = FALSE;
      if (self->stopping)
        g_cond_broadcast (&self->changed);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}
