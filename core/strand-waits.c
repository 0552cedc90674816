/* strand-waits.c — who waits for what, so that no wait is one that can never end.
 *
 * A wait can end if what it waits for can: a running call, unless its function waits itself; a call in the
 * line of a taskrunner, unless every place there is taken by a function that waits; a stored call, unless the
 * thread of its backend waits. Each wait that a function or a callback makes is listed. The one that would
 * close a circle notices: nothing else can, because whatever is not listed goes on by itself. It then looks
 * for somebody in the circle who may run the call that he waits for himself, since it has not started; if
 * there is nobody, it is refused.
 *
 * Everything here is under one lock that is taken by such waits only. Most are over after two looks: nobody
 * waits for the function that waits, and its taskrunner has places left. Lock order: this one, then a call's,
 * a taskrunner's or a waiter's own.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-waits-private.h"
#include "strand-function-private.h"

static GMutex lock;                   /* guards everything here */
static GHashTable *homes;             /* of GQueue of StrandWait, by taskrunner */
static GQueue threads = G_QUEUE_INIT; /* of StrandWait, those that hold up a thread */
static guint last_round;

/* What one search has found, and what is let go after the unlock: a call's last holder runs foreign code. */
typedef struct
{
  GPtrArray *reached; /* of StrandWait */
  GPtrArray *calls;   /* of StrandCall */
  guint round;
  StrandWait *self;
  gboolean timed_end; /* others that are timed count as alive */
} Search;

static guint
count_places (StrandTaskrunner *runner)
{
  StrandTaskrunnerInterface *iface = STRAND_TASKRUNNER_GET_IFACE (runner);

  return iface->get_places != NULL ? iface->get_places (runner) : 0;
}

static const StrandFrame *
outermost (const StrandFrame *frame)
{
  while (frame != NULL && frame->outer != NULL)
    frame = frame->outer;
  return frame;
}

/* A callback that runs on the taskrunner's own thread keeps its place, though its function has returned. */
static const StrandFrame *
inline_callback (const StrandFrame *frame)
{
  while (frame != NULL && (frame->call->delivery != NULL || frame->call->recipe->backend != NULL))
    frame = frame->outer;
  return frame;
}

static StrandTaskrunner *
find_home (const StrandFrame *running, const StrandFrame *delivering, StrandCall **holder)
{
  const StrandFrame *first = outermost (running), *callback = inline_callback (delivering);
  StrandTaskrunner *home = first != NULL ? strand_call_get_runner (first->call) : NULL;

  *holder = home != NULL ? first->call : NULL;
  if (callback != NULL && (home == NULL || count_places (home) == 0))
    {
      home = strand_call_get_runner (callback->call);
      *holder = NULL;
    }
  return home;
}

StrandTaskrunner *
strand_wait_home (void)
{
  StrandCall *holder;

  return find_home (strand_running, strand_delivering, &holder);
}

static GThread *
backend_thread (StrandCall *target)
{
  StrandBackend *backend = target->recipe->backend;

  if (backend == NULL || STRAND_BACKEND_GET_IFACE (backend)->get_thread == NULL)
    return NULL;
  return STRAND_BACKEND_GET_IFACE (backend)->get_thread (backend);
}

gboolean
strand_wait_matters (StrandCall *target)
{
  return strand_running != NULL || strand_delivering != NULL || strand_parker_get_current () != NULL ||
         (target != NULL && backend_thread (target) == g_thread_self ());
}

StrandCall *
strand_call_ref_runnable (StrandCall *self)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&self->extra);
  StrandCall *child = NULL;

  if (self->recipe->backend == NULL || (extra != NULL && extra->parent != NULL))
    return strand_call_ref (self);
  if (extra == NULL)
    return NULL;
  g_mutex_lock (&extra->lock);
  if (extra->child != NULL)
    child = strand_call_ref (extra->child);
  g_mutex_unlock (&extra->lock);
  return child;
}

static GQueue *
queue_of (StrandTaskrunner *home)
{
  return homes != NULL ? g_hash_table_lookup (homes, home) : NULL;
}

static void
enter_home_locked (StrandWait *self)
{
  GQueue *queue = queue_of (self->home);

  if (homes == NULL)
    homes = g_hash_table_new (NULL, NULL);
  if (queue == NULL)
    {
      queue = g_queue_new ();
      g_hash_table_insert (homes, self->home, queue);
    }
  g_queue_push_tail_link (queue, &self->home_link);
}

static void
leave_home_locked (StrandWait *self)
{
  GQueue *queue = queue_of (self->home);

  g_assert (queue != NULL);
  g_queue_unlink (queue, &self->home_link);
  if (queue->length > 0)
    return;
  g_hash_table_remove (homes, self->home);
  g_queue_free (queue);
}

/* The wait that this one interrupts: of a function that it stands on, or of a callback's thread. */
static StrandWait *
find_outer_locked (StrandWait *self)
{
  for (const StrandFrame *frame = self->running; frame != NULL; frame = frame->outer)
    if (strand_call_extra (frame->call)->wait != NULL)
      return strand_call_extra (frame->call)->wait;
  for (GList *l = threads.head; self->thread != NULL && l != NULL; l = l->next)
    {
      StrandWait *other = l->data;

      if (other->thread == self->thread && other->inner == NULL)
        return other;
    }
  return NULL;
}

static void
mark_calls_locked (StrandWait *self, StrandWait *wait)
{
  for (const StrandFrame *frame = self->running; frame != NULL; frame = frame->outer)
    strand_call_extra (frame->call)->wait = wait;
}

static gboolean
place_is_listed (StrandWait *wait, StrandTaskrunner *home)
{
  for (; wait != NULL; wait = wait->outer)
    if (wait->has_place && wait->home == home)
      return TRUE;
  return FALSE;
}

void
strand_wait_begin (StrandWait *self)
{
  self->running = strand_running;
  self->delivering = strand_delivering;
  self->thread = self->parked ? NULL : g_thread_self ();
  self->home = find_home (self->running, self->delivering, &self->home_call);
  self->link.data = self->home_link.data = self;

  g_mutex_lock (&lock);
  self->outer = find_outer_locked (self);
  if (self->outer != NULL)
    self->outer->inner = self;
  mark_calls_locked (self, self);
  if (self->thread != NULL)
    g_queue_push_tail_link (&threads, &self->link);
  /* What interrupts a wait has the same place, no second one. */
  self->has_place = self->home != NULL && !place_is_listed (self->outer, self->home);
  if (self->has_place)
    enter_home_locked (self);
  g_mutex_unlock (&lock);
}

void
strand_wait_end (StrandWait *self)
{
  g_mutex_lock (&lock);
  mark_calls_locked (self, NULL);
  if (self->outer != NULL)
    {
      self->outer->inner = NULL;
      mark_calls_locked (self->outer, self->outer);
    }
  if (self->thread != NULL)
    g_queue_unlink (&threads, &self->link);
  if (self->has_place)
    leave_home_locked (self);
  g_mutex_unlock (&lock);
}

/* The search. */

static void
reach (Search *search, StrandWait *wait)
{
  if (wait->round == search->round)
    return;
  wait->round = search->round;
  wait->alive = FALSE;
  g_ptr_array_add (search->reached, wait);
}

/* One that was abandoned has lost its place. */
static gboolean
holds_place (StrandWait *wait)
{
  return wait->home_call == NULL || !strand_call_is_ended (wait->home_call);
}

/* The waits that take up every place of @runner; NULL if one is free. */
static GQueue *
find_all_places (StrandTaskrunner *runner)
{
  guint n_places = count_places (runner), n_taken = 0;
  GQueue *queue = queue_of (runner);

  if (n_places == 0 || queue == NULL || queue->length < n_places)
    return NULL;
  for (GList *l = queue->head; l != NULL; l = l->next)
    n_taken += holds_place (l->data);
  return n_taken >= n_places ? queue : NULL;
}

static StrandWait *
find_on_thread (GThread *thread)
{
  for (GList *l = threads.head; thread != NULL && l != NULL; l = l->next)
    {
      StrandWait *wait = l->data;

      if (wait->thread == thread && wait->inner == NULL)
        return wait;
    }
  return NULL;
}

/* The call that the wait needs to run; held until the search is over. */
static StrandCall *
runnable_of (Search *search, StrandWait *wait)
{
  StrandCall *call = wait->target != NULL ? strand_call_ref_runnable (wait->target) : NULL;

  if (call != NULL)
    g_ptr_array_add (search->calls, call);
  return call;
}

static gboolean
is_pending (StrandCall *call)
{
  return strand_call_get_status (call) == STRAND_STATUS_PENDING;
}

static StrandWait *
wait_of_function (StrandCall *call)
{
  StrandCallExtra *extra = g_atomic_pointer_get (&call->extra);

  return extra != NULL ? extra->wait : NULL;
}

/* Who takes up the places that the wait needs one of; NULL if it needs none, or one is free. */
static GQueue *
find_needed_places (StrandWait *wait, StrandCall *call)
{
  StrandTaskrunner *runner = wait->room;

  if (runner == NULL && call != NULL && is_pending (call))
    runner = strand_call_get_runner (call);
  return runner != NULL ? find_all_places (runner) : NULL;
}

static gboolean
needs_clerk (StrandWait *wait)
{
  return wait->target != NULL && !strand_call_is_ended (wait->target);
}

static void
reach_next (Search *search, StrandWait *wait)
{
  StrandCall *call = runnable_of (search, wait);
  StrandWait *clerk = needs_clerk (wait) ? find_on_thread (backend_thread (wait->target)) : NULL;
  StrandWait *function = call != NULL ? wait_of_function (call) : NULL;
  GQueue *places = find_needed_places (wait, call);

  if (wait->inner != NULL)
    reach (search, wait->inner);
  if (clerk != NULL)
    reach (search, clerk);
  for (GList *l = places != NULL ? places->head : NULL; l != NULL; l = l->next)
    reach (search, l->data);
  if (function != NULL)
    reach (search, function);
}

static gboolean
any_alive (GQueue *places)
{
  for (GList *l = places->head; l != NULL; l = l->next)
    if (holds_place (l->data) && ((StrandWait *) l->data)->alive)
      return TRUE;
  return FALSE;
}

/* Whether the wait can end, as far as is known of the others. */
static gboolean
can_end (Search *search, StrandWait *wait)
{
  StrandCall *call;
  StrandWait *clerk, *other;
  GQueue *places;

  if (wait->inner != NULL && !wait->inner->alive)
    return FALSE;
  if (wait->refused)
    return TRUE;
  if (search->timed_end && wait->timed && wait != search->self)
    return TRUE;
  if (wait->target != NULL && strand_call_is_ended (wait->target))
    return TRUE;
  clerk = needs_clerk (wait) ? find_on_thread (backend_thread (wait->target)) : NULL;
  if (clerk != NULL && !clerk->alive)
    return FALSE;
  call = runnable_of (search, wait);
  places = find_needed_places (wait, call);
  if (places != NULL)
    return any_alive (places);
  other = call != NULL ? wait_of_function (call) : NULL;
  return other == NULL || strand_call_is_ended (call) || other->alive;
}

/* Whether @self can end. What it depends on is in `reached` afterwards. */
static gboolean
search_from (Search *search, StrandWait *self)
{
  gboolean changed = TRUE;

  search->round = ++last_round;
  search->self = self;
  g_ptr_array_set_size (search->reached, 0);
  reach (search, self);
  for (guint i = 0; i < search->reached->len; i++)
    reach_next (search, search->reached->pdata[i]);

  while (changed && !self->alive)
    {
      changed = FALSE;
      for (guint i = 0; i < search->reached->len; i++)
        {
          StrandWait *wait = search->reached->pdata[i];

          if (wait->alive || !can_end (search, wait))
            continue;
          wait->alive = changed = TRUE;
        }
    }
  return self->alive;
}

static gboolean
stands_on (StrandFunction *function, const StrandFrame *frame)
{
  for (; frame != NULL; frame = frame->outer)
    if (frame->call->recipe->function == function)
      return TRUE;
  return FALSE;
}

/* Whether who waits may run what it waits for: himself or, where that would hold up more than his own
 * function or outlast his patience, on a thread made for it. */
static gboolean
may_run (StrandWait *wait, StrandCall *call)
{
  StrandTaskrunner *runner;
  StrandRunnerTraits traits;
  gboolean at_home;

  if (call == NULL || wait->inner != NULL || !is_pending (call))
    return FALSE;
  runner = strand_call_get_runner (call);
  if (runner == NULL)
    return FALSE;
  traits = strand_taskrunner_get_traits (runner);
  at_home = runner == wait->home;
  if ((traits & STRAND_RUNNER_OTHER_PROCESS) != 0)
    return FALSE;
  if ((call->recipe->checks & STRAND_CHECK_REENTRANT) != 0 &&
      (call->recipe->function->traits & STRAND_TRAIT_NOT_REENTRANT) != 0 &&
      (!at_home || wait->timed || stands_on (call->recipe->function, wait->running)))
    return FALSE;
  if ((traits & STRAND_RUNNER_LENDS_CALLS) != 0)
    return TRUE;
  return at_home && !wait->timed;
}

/* What a backend runs on the thread that looks after its other calls too. */
static gboolean
is_on_backend_thread (StrandWait *self)
{
  const StrandFrame *first = outermost (self->running);
  StrandTaskrunner *runner = first != NULL ? strand_call_get_runner (first->call) : NULL;

  if (runner != NULL && strand_call_is_attempt (first->call) &&
      (strand_taskrunner_get_traits (runner) & STRAND_RUNNER_INLINE) != 0)
    return TRUE;
  for (const StrandFrame *frame = self->delivering; frame != NULL; frame = frame->outer)
    if (frame->call->delivery == NULL && frame->call->recipe->backend != NULL)
      return TRUE;
  return self->target != NULL && self->thread != NULL && self->thread == backend_thread (self->target);
}

/* Whether anything could depend on @self: only then it can close a circle. */
static gboolean
is_depended_on (StrandWait *self)
{
  for (const StrandFrame *frame = self->running; frame != NULL; frame = frame->outer)
    {
      StrandCall *parent = strand_call_extra (frame->call)->parent;

      if ((strand_call_peek_state (frame->call) & STATE_WAITED) != 0 ||
          (parent != NULL && (strand_call_peek_state (parent) & STATE_WAITED) != 0))
        return TRUE;
    }
  return self->outer != NULL || is_on_backend_thread (self) ||
         (self->home != NULL && find_all_places (self->home) != NULL);
}

static StrandWaitAdvice
advise (Search *search, StrandWait *self)
{
  if (search_from (search, self))
    return STRAND_WAIT_SLEEP;
  for (guint i = 0; i < search->reached->len; i++)
    {
      StrandWait *wait = search->reached->pdata[i];

      if (wait->alive || !may_run (wait, runnable_of (search, wait)))
        continue;
      if (wait == self)
        return STRAND_WAIT_RUN;
      wait->told_to_run = TRUE;
      wait->wake (wait->wake_data);
      return STRAND_WAIT_SLEEP;
    }
  search->timed_end = TRUE;
  if (search_from (search, self))
    return STRAND_WAIT_SLEEP;
  self->refused = TRUE; /* which is enough to break the circle: nobody else need be */
  return STRAND_WAIT_REFUSE;
}

StrandWaitAdvice
strand_wait_look (StrandWait *self)
{
  StrandWaitAdvice advice = STRAND_WAIT_SLEEP;
  Search search = { 0 };

  if (self->target != NULL && (self->target->recipe->checks & STRAND_CHECK_WAITS) == 0)
    return STRAND_WAIT_SLEEP;
  search.reached = g_ptr_array_new ();
  search.calls = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_call_unref);

  g_mutex_lock (&lock);
  if (self->told_to_run)
    {
      self->told_to_run = FALSE;
      advice = STRAND_WAIT_RUN;
    }
  else if (self->target != NULL && !self->timed && !self->parked && self->home != NULL)
    {
      /* No need to trouble another thread of the same pool. */
      StrandCall *call = runnable_of (&search, self);

      if (call != NULL && strand_call_get_runner (call) == self->home && may_run (self, call))
        advice = STRAND_WAIT_RUN;
    }
  if (advice == STRAND_WAIT_SLEEP && is_depended_on (self))
    advice = advise (&search, self);
  g_mutex_unlock (&lock);

  g_ptr_array_unref (search.calls);
  g_ptr_array_unref (search.reached);
  return advice;
}
