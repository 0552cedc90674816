/* process-keeper.c — a thread that takes calls from the line to a helper process of its own.
 *
 * A thread for each helper, because what follows a call may block: a backend that writes its record, a callback that
 * runs on the runner's thread. While a call runs, the keeper sleeps in poll() on the helper's data, its stderr, its pidfd and
 * its own eventfd. If the helper dies, the shared word says whether it had begun the call: if so, the call
 * has crashed; if not, another helper gets it and nobody notices.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-pool.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Helpers that die at start are tried again after 50 ms, 100 ms, … up to 5 s. */
#define FIRST_DELAY_US 50000
#define LAST_DELAY_US (5 * G_USEC_PER_SEC)

/* How many starts in a row must fail before waiting calls fail. */
#define MAX_FAILURES 3

/* How many helpers may die with a call that they have not begun before that is given up. */
#define MAX_SENDS 5

/* How often the memory of a helper with a limit is looked at; the kernel does not tell. */
#define MEMORY_INTERVAL_MS 100

/* How often to look for a death where the kernel has no pidfd. */
#define LOOK_MS 100

/* How long a helper may take for its atexit handlers. */
#define RETIRE_US (G_USEC_PER_SEC / 2)

/* Arguments that surely fit into the socket's buffer of an idle helper. */
#define SHORT_BYTES (16 * 1024)

/* What poll() said. */
enum
{
  NEWS_WAKE = 1 << 0,
  NEWS_DATA = 1 << 1,
  NEWS_DEATH = 1 << 2,
};

typedef enum
{
  ENDED,     /* the call has been finished */
  NOT_BEGUN, /* the helper died before it began the call */
  CRASHED,
} Outcome;

/* A call on its way through a helper. */
typedef struct
{
  StrandCall *call;
  guint n_items;    /* that came since room was last given */
  int refused_at;   /* n_resumed at which the consumer has room again */
  gboolean held;    /* no room until then */
  gboolean ended;
  gboolean broken;  /* the helper says things that make no sense */
  const char *why;  /* it was killed */
} Flight;

Keeper *
keeper_new (Pool *pool)
{
  Keeper *self = g_new0 (Keeper, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->pool = pool_ref (pool);
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return self;
}

Keeper *
keeper_ref (Keeper *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
keeper_unref (Keeper *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  pool_unref (self->pool);
  g_free (self);
}

void
keeper_wake (Keeper *self)
{
  guint64 one = 1;

  while (write (self->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    ;
}

/* Sleeps until something happens; -1 for as long as that takes. */
static guint
wait_for_news (Keeper *self, Helper *helper, int timeout_ms)
{
  gboolean sends = helper != NULL && !strand_wire_buffer_is_empty (&helper->out);
  struct pollfd fds[] = {
    { self->wake_fd, POLLIN, 0 },
    { helper != NULL ? helper->data : -1, (short) (POLLIN | (sends ? POLLOUT : 0)), 0 },
    { helper != NULL ? helper->err : -1, POLLIN, 0 },
    { helper != NULL ? helper->pidfd : -1, POLLIN, 0 },
  };
  guint news = 0;
  guint64 n;

  if (helper != NULL && helper->pidfd < 0)
    timeout_ms = timeout_ms < 0 ? LOOK_MS : MIN (timeout_ms, LOOK_MS);
  if (poll (fds, G_N_ELEMENTS (fds), timeout_ms) < 0)
    return 0;
  if (fds[0].revents != 0)
    {
      news |= NEWS_WAKE;
      while (read (self->wake_fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    }
  if (fds[2].revents != 0)
    helper_drain_stderr (helper);
  if (fds[1].revents != 0)
    news |= NEWS_DATA;
  if (fds[3].revents != 0 || (helper != NULL && helper->pidfd < 0 && helper_is_dead (helper)))
    news |= NEWS_DEATH;
  return news;
}

static gboolean
is_stopping (Keeper *self)
{
  gboolean stopping;

  g_mutex_lock (&self->pool->lock);
  stopping = self->pool->stopping;
  g_mutex_unlock (&self->pool->lock);
  return stopping;
}

/* Helpers come and go. */

static void
set_helper (Keeper *self, Helper *helper)
{
  g_mutex_lock (&self->pool->lock);
  if (self->helper != NULL)
    self->pool->n_helpers--;
  if (helper != NULL)
    {
      self->pool->n_helpers++;
      self->pool->n_failures = 0;
      self->pool->not_before_us = 0;
    }
  self->helper = helper;
  self->kill_at_us = 0;
  g_mutex_unlock (&self->pool->lock);
}

static void
drop_helper (Keeper *self, gboolean at_once)
{
  Helper *helper = self->helper;

  if (helper == NULL)
    return;
  set_helper (self, NULL);
  if (at_once)
    helper_free (helper);
  else
    helper_retire (helper, RETIRE_US);
}

/* Waits for the hello of a new helper. */
static gboolean
wait_until_ready (Keeper *self, Helper *helper, GError **error)
{
  gint64 timeout_us = self->pool->settings.startup_timeout_us;
  gint64 deadline_us = timeout_us >= 0 ? g_get_monotonic_time () + timeout_us : G_MAXINT64;
  gboolean ready = FALSE;

  while (helper_read_hello (helper, &ready, error) && !ready)
    {
      gint64 left_us = deadline_us - g_get_monotonic_time ();
      guint news;

      if (left_us <= 0)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "it was not ready within 'startup-timeout'");
          return FALSE;
        }
      news = wait_for_news (self, helper, (int) MIN (left_us / 1000 + 1, 60000));
      if ((news & NEWS_WAKE) != 0 && is_stopping (self))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
          return FALSE;
        }
      if ((news & NEWS_DEATH) != 0 && (news & NEWS_DATA) == 0)
        break;
    }
  if (!ready && error != NULL && *error == NULL)
    {
      g_autofree char *death = NULL;

      if (!helper_is_dead (helper))
        wait_for_news (self, helper, LOOK_MS);
      death = helper_describe_death (helper);
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "%s", death);
    }
  return ready;
}

/* How long to wait before the next start; 0 for not at all. */
static gint64
note_failure (Keeper *self, guint *n_failures)
{
  Pool *pool = self->pool;
  gint64 delay_us;

  g_mutex_lock (&pool->lock);
  delay_us = MIN (LAST_DELAY_US, (gint64) FIRST_DELAY_US << MIN (pool->n_failures, 10));
  *n_failures = ++pool->n_failures;
  pool->not_before_us = g_get_monotonic_time () + delay_us;
  g_mutex_unlock (&pool->lock);
  return delay_us;
}

/* Others may have had bad luck just now. FALSE if the pool is stopping. */
static gboolean
wait_for_back_off (Keeper *self)
{
  while (TRUE)
    {
      gint64 left_us;

      g_mutex_lock (&self->pool->lock);
      left_us = self->pool->not_before_us - g_get_monotonic_time ();
      g_mutex_unlock (&self->pool->lock);
      if (is_stopping (self))
        return FALSE;
      if (left_us <= 0)
        return TRUE;
      wait_for_news (self, NULL, (int) (left_us / 1000) + 1);
    }
}

static gboolean
start_once (Keeper *self, GError **error)
{
  Helper *helper = helper_new (&self->pool->settings, error);

  if (helper == NULL)
    return FALSE;
  if (wait_until_ready (self, helper, error))
    {
      set_helper (self, helper);
      return TRUE;
    }
  g_prefix_error (error, "Could not start a helper: ");
  helper_free (helper);
  return FALSE;
}

/* Has a helper that is ready, or says why there can be none. A program that cannot be started at all is not tried again for
 * this call. */
static gboolean
ensure_helper (Keeper *self, GError **error)
{
  while (self->helper == NULL)
    {
      g_autoptr (GError) local = NULL;
      guint n_failures;

      if (!wait_for_back_off (self))
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
          return FALSE;
        }
      if (start_once (self, &local))
        return TRUE;
      note_failure (self, &n_failures);
      strand_debug (STRAND_TOPIC_RUNNER, "%s", local->message);
      if (n_failures >= MAX_FAILURES || local->domain != STRAND_ERROR)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "%s", local->message);
          return FALSE;
        }
    }
  return TRUE;
}

/* What a helper says of its call. */

static void
give_room (Keeper *self, Flight *flight)
{
  if (flight->held && g_atomic_int_get (&self->n_resumed) - flight->refused_at < 0)
    return;
  flight->held = FALSE;
  if (flight->n_items < STRAND_WIRE_WINDOW / 2)
    return;
  helper_post_control (self->helper, STRAND_WIRE_CREDIT, self->number, flight->n_items);
  flight->n_items = 0;
}

static void
take_item (Keeper *self, Flight *flight, const guint8 *payload, gsize size)
{
  g_autoptr (GVariant) boxed = strand_wire_read_variant (G_VARIANT_TYPE_VARIANT, payload, size);
  g_autoptr (GVariant) item = boxed != NULL ? g_variant_get_variant (boxed) : NULL;
  int n_resumed = g_atomic_int_get (&self->n_resumed);

  if (item == NULL || ++flight->n_items > STRAND_WIRE_WINDOW)
    {
      flight->broken = TRUE;
      return;
    }
  /* A resume() that comes between the two belongs to this refusal or an earlier one: at worst some more items follow. */
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
  g_autoptr (GVariant) news = strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_CHANGED_TYPE), payload, size);
  g_autoptr (GVariantIter) metadata = NULL;
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
  g_autoptr (GVariant) value = strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_ERROR_TYPE), payload, size);
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
  if (head->number != self->number)
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

/* > 0 if there was something, 0 if not, -1 if nothing will come any more. */
static int
take_data (Keeper *self, Flight *flight)
{
  StrandWireHead head;
  const guint8 *payload;
  int received = helper_receive (self->helper);
  gboolean broken = FALSE;

  while (!flight->ended && !flight->broken && strand_wire_next (&self->helper->in, &head, &payload, &broken))
    take_frame (self, flight, &head, payload);
  flight->broken |= broken;
  return received;
}

/* Killing. */

static int
next_look_ms (Keeper *self)
{
  gint64 kill_at_us, left_us;

  g_mutex_lock (&self->pool->lock);
  kill_at_us = self->kill_at_us;
  g_mutex_unlock (&self->pool->lock);
  if (kill_at_us == 0)
    return self->pool->max_memory_bytes >= 0 ? MEMORY_INTERVAL_MS : -1;
  left_us = kill_at_us - g_get_monotonic_time ();
  return left_us > 0 ? (int) MIN (left_us / 1000 + 1, 60000) : 0;
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

/* One call, from sent to ended or dead. @news: what is known already. */
static Outcome
follow (Keeper *self, Flight *flight, guint news)
{
  gboolean dead = FALSE;

  for (; !flight->ended && !dead; news = 0)
    {
      gboolean alive = helper_flush (self->helper);

      if (news == 0)
        news = wait_for_news (self, self->helper, next_look_ms (self));
      if ((news & NEWS_DATA) != 0 && !flight->broken)
        alive = take_data (self, flight) >= 0;
      if (flight->ended)
        break;
      /* What it said before it died counts. */
      dead = (news & NEWS_DEATH) != 0 || (!alive && helper_is_dead (self->helper));
      while (dead && !flight->ended && !flight->broken && take_data (self, flight) > 0)
        ;
      if (!dead && !alive && flight->why == NULL)
        {
          flight->why = "it closed its connection: ";
          helper_signal (self->helper, SIGKILL);
        }
      if ((news & NEWS_WAKE) != 0)
        give_room (self, flight);
      look_after (self, flight);
    }
  if (flight->ended)
    return ENDED;
  return strand_wire_get_claimed (self->helper->shared) < self->number ? NOT_BEGUN : CRASHED;
}

static void
fail_crashed (Keeper *self, Flight *flight)
{
  g_autofree char *death = helper_describe_death (self->helper);

  strand_call_finish (flight->call, NULL,
                      g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED, "The helper process that ran '%s' died: %s%s",
                                   strand_call_get_function_name (flight->call), flight->why != NULL ? flight->why : "",
                                   death));
}

static void
on_cancelled (GCancellable *cancellable, gpointer data)
{
  Keeper *self = data;

  g_mutex_lock (&self->pool->lock);
  if (self->cancellable == cancellable && self->helper != NULL)
    helper_post_control (self->helper, STRAND_WIRE_CANCEL, self->number, 0);
  g_mutex_unlock (&self->pool->lock);
}

static void
unref_keeper (gpointer data, GClosure *closure)
{
  keeper_unref (data);
}

/* The call is the helper's; from here on it can be stopped. */
static void
attach_locked (Keeper *self, StrandCall *call)
{
  self->call = call;
  self->number = self->helper->n_calls;
  self->cancellable = strand_call_get_cancellable (call);
  self->handler = g_signal_connect_data (self->cancellable, "cancelled", G_CALLBACK (on_cancelled), keeper_ref (self),
                                         unref_keeper, 0);
  if (g_cancellable_is_cancelled (self->cancellable))
    helper_post_control (self->helper, STRAND_WIRE_CANCEL, self->number, 0);
}

/* TRUE if the helper was told to die meanwhile. */
static gboolean
detach (Keeper *self)
{
  GCancellable *cancellable = self->cancellable;
  gboolean doomed;

  g_mutex_lock (&self->pool->lock);
  doomed = self->kill_at_us != 0;
  self->call = NULL;
  self->cancellable = NULL;
  if (self->pool->closed)
    g_cond_broadcast (&self->pool->quiet);
  g_mutex_unlock (&self->pool->lock);
  g_signal_handler_disconnect (cancellable, self->handler);
  return doomed;
}

/* Looks after a call that has been sent. */
static Outcome
follow_call (Keeper *self, StrandCall *call, guint news)
{
  Flight flight = { .call = call };
  Outcome outcome = follow (self, &flight, news);
  gboolean doomed;

  if (outcome == CRASHED)
    fail_crashed (self, &flight);
  doomed = detach (self);
  if (outcome != ENDED || doomed)
    drop_helper (self, TRUE);
  else if (self->pool->max_calls > 0 && self->helper->n_calls >= self->pool->max_calls)
    drop_helper (self, FALSE);
  return outcome;
}

static gboolean
send_call (Keeper *self, StrandCall *call, guint32 index, GError **error)
{
  gboolean written;

  g_mutex_lock (&self->pool->lock);
  written = helper_write_call (self->helper, call, index, error);
  if (written)
    attach_locked (self, call);
  g_mutex_unlock (&self->pool->lock);
  return written;
}

gboolean
keeper_hand_over_locked (Keeper *self, StrandCall *call, gboolean *begun)
{
  guint32 index;

  if (self->helper == NULL || g_variant_get_size (strand_call_get_arguments (call)) > SHORT_BYTES ||
      !helper_knows (self->helper, strand_call_get_function (call), &index))
    return FALSE;
  *begun = strand_call_begin (call);
  if (!*begun)
    return TRUE;
  helper_write_call (self->helper, call, index, NULL);
  attach_locked (self, call);
  /* What did not go, or a helper that is gone, is the keeper's to see to. */
  if (!helper_flush (self->helper) || !strand_wire_buffer_is_empty (&self->helper->out))
    keeper_wake (self);
  return TRUE;
}

/* A helper that has the function, and its number there. */
static gboolean
prepare (Keeper *self, StrandCall *call, guint32 *index, GError **error)
{
  while (ensure_helper (self, error))
    {
      g_autoptr (GError) local = NULL;

      if (helper_find (self->helper, strand_call_get_function (call), index, &local))
        return TRUE;
      if (!helper_is_outdated (self->helper, &self->pool->settings))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      drop_helper (self, FALSE);
    }
  pool_fail_waiting (self->pool, *error);
  return FALSE;
}

/* Takes over the call. @begun: it was sent before, to a helper that died. */
static void
run_call (Keeper *self, StrandCall *call, gboolean begun)
{
  GError *error = NULL;
  guint32 index;

  for (guint n_sends = 0; n_sends < MAX_SENDS && error == NULL; n_sends++)
    {
      if (!prepare (self, call, &index, &error))
        break;
      if (!begun && !strand_call_begin (call))
        break;
      begun = TRUE;
      if (send_call (self, call, index, &error) && follow_call (self, call, 0) != NOT_BEGUN)
        {
          strand_call_unref (call);
          return;
        }
    }
  if (begun && error == NULL)
    error = g_error_new (STRAND_ERROR, STRAND_ERROR_CRASHED, "%d helpers died before they could begin '%s'", MAX_SENDS,
                         strand_call_get_function_name (call));
  if (error != NULL)
    strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, error);
  strand_call_unref (call);
}

/* A call that its submitter has sent. */
static void
take_over (Keeper *self, guint news)
{
  StrandCall *call = self->call;

  if (follow_call (self, call, news) == NOT_BEGUN)
    run_call (self, call, TRUE);
  else
    strand_call_unref (call);
}

/* Between calls. */

/* A helper that is ready before it is needed. */
static void
warm_up (Keeper *self)
{
  g_autoptr (GError) error = NULL;
  guint n_failures;

  if (!start_once (self, &error))
    note_failure (self, &n_failures);
}

/* TRUE if this keeper is not needed any more, and is off the list. */
static gboolean
leave_locked (Keeper *self)
{
  Pool *pool = self->pool;

  if (!pool->stopping && (pool->first != NULL || pool->keepers->len <= pool->min_idle))
    return FALSE;
  g_ptr_array_remove_fast (pool->idle, self);
  g_ptr_array_remove_fast (pool->keepers, self);
  return TRUE;
}

/* Sleeps without a call. FALSE if the thread is to end. */
static gboolean
rest (Keeper *self)
{
  Pool *pool = self->pool;
  gint64 timeout_us = pool->idle_timeout_us;
  int timeout_ms = timeout_us < 0 ? -1 : (int) MIN (timeout_us / 1000 + 1, G_MAXINT);
  guint news = wait_for_news (self, self->helper, timeout_ms);
  gboolean leaves, sent;

  g_mutex_lock (&pool->lock);
  g_ptr_array_remove (pool->idle, self);
  sent = self->call != NULL;
  leaves = !sent && (pool->stopping || news == 0) && pool->first == NULL && leave_locked (self);
  g_mutex_unlock (&pool->lock);

  if (sent)
    take_over (self, news);
  else if ((news & (NEWS_DATA | NEWS_DEATH)) != 0)
    drop_helper (self, TRUE); /* it has nothing to say now but that it ends */
  return !leaves;
}

gpointer
keeper_main (gpointer keeper)
{
  Keeper *self = keeper;
  Pool *pool = self->pool;
  gboolean stays = TRUE;

  while (stays)
    {
      StrandCall *call;
      gboolean warm;

      g_mutex_lock (&pool->lock);
      call = pool_pop_locked (pool);
      warm = call != NULL || pool->stopping || self->helper != NULL || pool->keepers->len > pool->min_idle ||
             pool->n_failures > 0;
      /* Looked at here, for what woke this thread before may have been just that. */
      stays = call != NULL || !pool->stopping || !leave_locked (self);
      if (call == NULL && warm && stays)
        g_ptr_array_add (pool->idle, self);
      g_mutex_unlock (&pool->lock);

      if (call != NULL)
        run_call (self, call, FALSE);
      else if (!warm)
        warm_up (self);
      else if (stays)
        stays = rest (self);
    }

  drop_helper (self, FALSE);
  g_mutex_lock (&pool->lock);
  pool->n_threads--;
  g_cond_broadcast (&pool->quiet);
  g_mutex_unlock (&pool->lock);
  keeper_unref (self);
  return NULL;
}
