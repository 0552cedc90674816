/* strand-dispatcher-line.c — calls that stand in line for their start.
 *
 * A call is put beside the line, let in, started, and ends; it may end at any point, and then never starts.
 * Calls start in the order in which they were let in. Where a limit holds some back, the end of one starts
 * the next: in the line's main context, as if its caller had made the call there; or, once somebody blocks
 * who will not run that context, on a thread of strand's own. So no wait depends on a loop that may not run.
 *
 * Lock order: a call, then the line. Nothing foreign is called under the line's lock.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-dispatcher-private.h"
#include "strand-blocking-private.h"
#include "strand-error.h"
#include "strand-function-private.h"

typedef enum
{
  PLACE_BESIDE, /* not let in yet */
  PLACE_HELD,
  PLACE_STARTED,
  PLACE_STOPPED, /* told to stop before it was started, about to end */
  PLACE_ENDED,
} PlaceState;

/* One call's place; the call's own, under `places`. */
typedef struct
{
  StrandLine *line; /* set at construction, as the next */
  GError *failure;  /* taken when the call is started */

  GList link;       /* in the line's queue while held; its data is the call. Guarded by the line's lock, as */
  PlaceState state; /* the rest */
  StrandTally *tally; /* from being let in to the end */
} Place;

typedef struct
{
  void (*func) (gpointer data);
  gpointer data;
} TallyWaiter;

struct _StrandTally
{
  gatomicrefcount ref_count;
  StrandLine *line;
  guint n_left;    /* guarded by the line's lock, as the next */
  GArray *waiters; /* of TallyWaiter */
};

struct _StrandLine
{
  StrandNews news; /* in the delivery: something may be started */
  gatomicrefcount ref_count;
  StrandDelivery *delivery; /* of the context that was thread-default when the line was made */

  GMutex lock;          /* guards the rest */
  guint max_running;    /* 0: no limit */
  guint n_running;      /* started and not ended */
  GQueue held;          /* of StrandCall, by the links of their places; holds a reference to each */
  gboolean starting;    /* somebody is at it: one at a time, so that the order is kept */
  gboolean news_queued; /* the context will look */
  gboolean job_queued;  /* a thread of ours will look */
  gboolean unattended;  /* somebody has blocked elsewhere: the context alone will not do any more */
};

/* The address says whose data it is. */
static const char places;

StrandLine *
strand_line_ref (StrandLine *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_line_unref (StrandLine *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_assert (self->held.length == 0); /* each has a place, which holds the line */
  strand_delivery_unref (self->delivery);
  g_mutex_clear (&self->lock);
  g_free (self);
}

StrandDelivery *
strand_line_get_delivery (StrandLine *self)
{
  return self->delivery;
}

StrandTally *
strand_tally_new (StrandLine *line)
{
  StrandTally *self = g_new0 (StrandTally, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->line = strand_line_ref (line);
  self->waiters = g_array_new (FALSE, FALSE, sizeof (TallyWaiter));
  return self;
}

StrandTally *
strand_tally_ref (StrandTally *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
strand_tally_unref (StrandTally *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_array_unref (self->waiters);
  strand_line_unref (self->line);
  g_free (self);
}

gboolean
strand_tally_add_waiter (StrandTally *self, void (*func) (gpointer data), gpointer data)
{
  TallyWaiter waiter = { func, data };
  gboolean waits;

  g_mutex_lock (&self->line->lock);
  waits = self->n_left > 0;
  if (waits)
    g_array_append_val (self->waiters, waiter);
  g_mutex_unlock (&self->line->lock);
  return waits;
}

gboolean
strand_tally_remove_waiter (StrandTally *self, gpointer data)
{
  gboolean found = FALSE;

  g_mutex_lock (&self->line->lock);
  for (guint i = 0; !found && i < self->waiters->len; i++)
    if (g_array_index (self->waiters, TallyWaiter, i).data == data)
      {
        g_array_remove_index (self->waiters, i);
        found = TRUE;
      }
  g_mutex_unlock (&self->line->lock);
  return found;
}

guint
strand_tally_count_left (StrandTally *self)
{
  guint n;

  g_mutex_lock (&self->line->lock);
  n = self->n_left;
  g_mutex_unlock (&self->line->lock);
  return n;
}

static void
count_end_locked (StrandTally *self)
{
  if (--self->n_left > 0)
    return;
  for (guint i = 0; i < self->waiters->len; i++)
    {
      TallyWaiter *waiter = &g_array_index (self->waiters, TallyWaiter, i);

      waiter->func (waiter->data);
    }
  g_array_set_size (self->waiters, 0);
}

static Place *
find_place (StrandCall *call)
{
  return g_atomic_pointer_get (&call->extra) != NULL ? strand_call_get_data (call, &places) : NULL;
}

/* Of its call, or of the stored call that this is an attempt of. Callbacks may run before on_ended() has. */
static gboolean
is_counted (StrandTally *self, const StrandFrame *frame)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&frame->call->extra);
  StrandCall *call = extra != NULL && extra->parent != NULL ? extra->parent : frame->call;
  Place *place = strand_call_is_ended (call) ? NULL : find_place (call);
  gboolean counted;

  if (place == NULL || place->line != self->line)
    return FALSE;
  g_mutex_lock (&self->line->lock);
  counted = place->tally == self;
  g_mutex_unlock (&self->line->lock);
  return counted;
}

gboolean
strand_tally_is_here (StrandTally *self)
{
  const StrandFrame *stacks[] = { strand_running, strand_delivering };

  for (guint i = 0; i < G_N_ELEMENTS (stacks); i++)
    for (const StrandFrame *frame = stacks[i]; frame != NULL; frame = frame->outer)
      if (is_counted (self, frame))
        return TRUE;
  return FALSE;
}

/* Whether this wait holds up a call, whose end others may wait for in turn. */
static gboolean
holds_up_a_call (void)
{
  for (const StrandFrame *frame = strand_delivering; frame != NULL; frame = frame->outer)
    if (!strand_call_is_ended (frame->call))
      return TRUE;
  return strand_running != NULL;
}

static gboolean
is_inline (StrandCall *call)
{
  StrandTaskrunner *runner = call->recipe->runner;

  return runner != NULL && (strand_taskrunner_get_traits (runner) & STRAND_RUNNER_INLINE) != 0;
}

static gboolean
may_start_locked (StrandLine *self)
{
  return self->held.length > 0 && (self->max_running == 0 || self->n_running < self->max_running);
}

/* The reference goes to the caller. */
static StrandCall *
take_locked (StrandLine *self, Place *place)
{
  StrandCall *call = place->link.data;

  g_queue_unlink (&self->held, &place->link);
  place->state = PLACE_STARTED;
  self->n_running++;
  return call;
}

/* What is told to stop from now on is the target's to stop. Who was told a moment ago may have found no
 * target yet. */
static void
start_call (Place *place, StrandCall *call)
{
  GError *failure = g_steal_pointer (&place->failure);

  strand_call_set_stop_hook (call, NULL, NULL);
  if (failure != NULL)
    strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, failure);
  else
    strand_call_submit (strand_call_ref (call));
  if (strand_call_is_stopping (call))
    strand_call_cancel (call);
  strand_call_unref (call);
}

/* Starts what may be started; @inline_too: also what then runs here. FALSE if the time was up before. */
static gboolean
start_held (StrandLine *self, gint64 deadline_us, gboolean inline_too)
{
  gboolean late = FALSE;

  g_mutex_lock (&self->lock);
  if (self->starting)
    {
      g_mutex_unlock (&self->lock);
      return TRUE;
    }
  self->starting = TRUE;
  while (!late && may_start_locked (self) && (inline_too || !is_inline (self->held.head->data)))
    {
      Place *place = (Place *) ((char *) self->held.head - G_STRUCT_OFFSET (Place, link));
      StrandCall *call = take_locked (self, place);

      g_mutex_unlock (&self->lock);
      start_call (place, call);
      late = deadline_us != G_MAXINT64 && g_get_monotonic_time () >= deadline_us;
      g_mutex_lock (&self->lock);
    }
  self->starting = FALSE;
  late = late && may_start_locked (self);
  g_mutex_unlock (&self->lock);
  return !late;
}

/* Sees to it that somebody starts what may be started. @job: (out): it is this thread that must ask for ours.
 */
static void
ask_locked (StrandLine *self, gboolean *news, gboolean *job)
{
  gboolean needed = may_start_locked (self) && !self->starting;
  gboolean for_context = needed && (!self->unattended || is_inline (self->held.head->data));

  *news = for_context && !self->news_queued;
  *job = needed && !for_context && !self->job_queued;
  self->news_queued |= *news;
  self->job_queued |= *job;
}

static void start_in_job (gpointer data);

/* May run under a call's lock. */
static void
ask (StrandLine *self)
{
  gboolean news, job;

  g_mutex_lock (&self->lock);
  ask_locked (self, &news, &job);
  g_mutex_unlock (&self->lock);
  if (news)
    strand_delivery_push (self->delivery, &strand_line_ref (self)->news);
  if (job)
    strand_blocking_run (start_in_job, strand_line_ref (self));
}

static void
start_in_job (gpointer data)
{
  g_autoptr(StrandLine) self = data;

  start_held (self, G_MAXINT64, FALSE);
  g_mutex_lock (&self->lock);
  self->job_queued = FALSE;
  g_mutex_unlock (&self->lock);
  ask (self);
}

static gboolean
dispatch_line (StrandNews *news, gint64 deadline_us)
{
  g_autoptr(StrandLine) self = (StrandLine *) news;

  if (!start_held (self, deadline_us, TRUE))
    {
      g_steal_pointer (&self);
      return FALSE;
    }
  g_mutex_lock (&self->lock);
  self->news_queued = FALSE;
  g_mutex_unlock (&self->lock);
  ask (self);
  return TRUE;
}

StrandLine *
strand_line_new (void)
{
  StrandLine *self = g_new0 (StrandLine, 1);

  self->news.dispatch = dispatch_line;
  g_atomic_ref_count_init (&self->ref_count);
  self->delivery = strand_delivery_ref_default (G_PRIORITY_DEFAULT);
  g_mutex_init (&self->lock);
  return self;
}

void
strand_line_set_max_running (StrandLine *self, guint max_running)
{
  g_mutex_lock (&self->lock);
  self->max_running = max_running;
  g_mutex_unlock (&self->lock);
  ask (self);
}

guint
strand_line_get_max_running (StrandLine *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->max_running;
  g_mutex_unlock (&self->lock);
  return n;
}

/* Takes a place whose call is not started out of the queue. The reference goes to the caller. */
static StrandCall *
withdraw_locked (StrandLine *self, Place *place)
{
  if (place->state != PLACE_HELD)
    return NULL;
  g_queue_unlink (&self->held, &place->link);
  return place->link.data;
}

/* Under the call's lock, which somebody who has a reference holds. */
static void
on_ended (gpointer data)
{
  Place *place = data;
  StrandLine *self = place->line;
  g_autoptr(StrandTally) tally = NULL;
  StrandCall *held;

  g_mutex_lock (&self->lock);
  held = withdraw_locked (self, place);
  if (place->state == PLACE_STARTED)
    self->n_running--;
  place->state = PLACE_ENDED;
  tally = g_steal_pointer (&place->tally);
  if (tally != NULL)
    count_end_locked (tally);
  g_mutex_unlock (&self->lock);
  if (held != NULL)
    strand_call_unref (held);
  ask (self);
}

/* The call has been told to stop, and its target does not know it yet. */
static void
on_stop (StrandCall *call, gpointer data)
{
  Place *place = data;
  StrandLine *self = place->line;
  gboolean early;
  StrandCall *held;

  g_mutex_lock (&self->lock);
  held = withdraw_locked (self, place);
  early = place->state == PLACE_BESIDE || place->state == PLACE_HELD;
  if (early)
    place->state = PLACE_STOPPED;
  g_mutex_unlock (&self->lock);
  if (early)
    strand_call_cancel_pending (call);
  if (held != NULL)
    strand_call_unref (held);
}

static void
place_free (gpointer data)
{
  Place *place = data;

  g_clear_error (&place->failure);
  strand_line_unref (place->line);
  g_free (place);
}

void
strand_line_add (StrandLine *self, StrandCall *call, GError *failure)
{
  Place *place = g_new0 (Place, 1);

  place->line = strand_line_ref (self);
  place->failure = failure;
  place->link.data = call;
  strand_call_set_data (call, &places, place, place_free);
  strand_call_set_stop_hook (call, on_stop, place);
  strand_call_add_waiter (call, on_ended, place, FALSE);
}

void
strand_line_admit (StrandLine *self, StrandTally *tally, StrandCall *call)
{
  Place *place = find_place (call);

  g_assert (place != NULL);
  g_mutex_lock (&self->lock);
  if (place->state == PLACE_BESIDE)
    {
      place->state = PLACE_HELD;
      place->tally = strand_tally_ref (tally);
      tally->n_left++;
      g_queue_push_tail_link (&self->held, &place->link);
      strand_call_ref (call);
    }
  g_mutex_unlock (&self->lock);
}

void
strand_line_start (StrandLine *self)
{
  start_held (self, G_MAXINT64, TRUE);
}

/* Whether a wait for @call on this thread dispatches what the line pushes. */
static gboolean
attends (StrandLine *self, StrandCall *call)
{
  StrandDelivery *delivery = call->delivery;

  if (delivery == NULL || !strand_delivery_may_dispatch (delivery))
    delivery = strand_delivery_peek_default (G_PRIORITY_DEFAULT);
  return delivery == self->delivery && strand_delivery_may_dispatch (delivery);
}

/* The limit does not count for what a call under way waits for: that may be what keeps the limit reached. */
static void
start_at_once (StrandLine *self, Place *place)
{
  StrandCall *call = NULL;

  g_mutex_lock (&self->lock);
  if (place->state == PLACE_HELD)
    call = take_locked (self, place);
  g_mutex_unlock (&self->lock);
  if (call != NULL)
    start_call (place, call);
}

gboolean
strand_line_want (StrandCall *call, GError **error)
{
  Place *place = find_place (call);
  gboolean attended;
  PlaceState state;
  StrandLine *self;

  if (place == NULL)
    return TRUE;
  self = place->line;
  attended = attends (self, call);
  g_mutex_lock (&self->lock);
  state = place->state;
  if (!attended && self->held.length > 0)
    self->unattended = TRUE;
  g_mutex_unlock (&self->lock);

  if (state == PLACE_BESIDE)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK,
                   "Could not wait for a call of '%s': it has been enqueued and not dispatched",
                   call->recipe->function->name);
      return FALSE;
    }
  if (state != PLACE_HELD)
    return TRUE;
  start_held (self, G_MAXINT64, attended);
  if (holds_up_a_call () && (attended || !is_inline (call)))
    start_at_once (self, place);
  ask (self);
  return TRUE;
}
