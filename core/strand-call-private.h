/* strand-call-private.h — what a call is made of.
 *
 * A program may have a million calls waiting, so the structure holds only what every call needs; the rest
 * is an Extra, made when the first option, handle, item, key … asks for it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-backend.h"
#include "strand-call.h"
#include "strand-delivery-private.h"
#include "strand-middleware.h"
#include "strand-options-private.h"
#include "strand-parker-private.h"
#include "strand-task.h"
#include "strand-taskrunner.h"

G_BEGIN_DECLS

/* A callback with its data, which is destroyed in the main context that was thread-default when it was set.
 */
typedef struct
{
  gatomicrefcount ref_count;
  GCallback func;
  gpointer user_data;
  GDestroyNotify destroy;
  StrandDelivery *delivery;
} StrandClosure;

StrandClosure *strand_closure_new (GCallback func, gpointer user_data, GDestroyNotify destroy);
StrandClosure *strand_closure_ref (StrandClosure *self);
void strand_closure_unref (StrandClosure *self);

/* What all calls of one task share; immutable, so that any thread reads it without a lock. */
typedef struct
{
  gatomicrefcount ref_count;
  StrandFunction *function;
  StrandTaskrunner *runner; /* one of these two */
  StrandBackend *backend;
  StrandClosure *on_iter;
  StrandClosure *on_end;
  StrandClosure *on_error;
  StrandOptions *options; /* the task's defaults; may be NULL */
  int priority;           /* of the callbacks, as GSource priorities are */
  gboolean on_runner;     /* callbacks run on the runner's own thread */
  guint max_items;
  gint64 grace_us;
  StrandChecks checks;
  StrandDelivery *delivery; /* of the context that most calls come from; NULL for none */
} StrandRecipe;

/* Items that wait for a consumer: enough to ride out a turn of the main loop, small beside anything else. */
#define STRAND_RECIPE_MAX_ITEMS 64

#define STRAND_RECIPE_GRACE_US (5 * G_USEC_PER_SEC)

StrandRecipe *strand_recipe_new (StrandFunction *function);
StrandRecipe *strand_recipe_ref (StrandRecipe *self);
void strand_recipe_unref (StrandRecipe *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandRecipe, strand_recipe_unref)

/* The state word: a status in the low bits, flags above. Every change is one atomic operation. */
enum
{
  STATE_STATUS = 7,      /* StrandStatus, or SETTLING */
  STATE_SETTLING = 5,    /* somebody is writing the outcome */
  STATE_STOP = 1 << 3,   /* cancelled, timed out, or its consumer failed */
  STATE_QUEUED = 1 << 4, /* in its delivery's queue, or being dispatched */
  STATE_WAITED = 1 << 5, /* somebody waits for the end */
  STATE_ENDED = 1 << 6,  /* on_end or on_error has been called */
  STATE_SEEN = 1 << 7,   /* somebody has looked at the error */
};

/* Somebody who waits for the end: @func runs on the thread that settles, under the call's lock. */
typedef struct
{
  void (*func) (gpointer data);
  gpointer data;
  gboolean pokable; /* may be called before the end too, to look for something to do */
} StrandWaiter;

typedef struct
{
  GMutex lock; /* guards everything below, unless it says otherwise */
  StrandCond changed;

  StrandOptions *options; /* set before the call is submitted, as the next two */
  gint64 created_us;
  gboolean keyed;
  char *key; /* set once */
  gint64 started_us;
  gint64 completed_us;
  gint64 deadline_us; /* monotonic; 0 for none */
  guint attempt;

  GCancellable *cancellable;
  gboolean timed_out;
  GError *consumer_error; /* on_iter failed */
  guint64 timeout_timer;
  guint64 grace_timer;

  double progress;
  char *message;
  GHashTable *metadata; /* of GVariant, by name */
  GHashTable *headers;  /* of text, by name */

  GQueue items; /* of StrandItem */
  guint64 n_emitted;
  guint64 n_dropped;
  gboolean wants_room;               /* a runner was told that there is none */
  void (*room_hook) (gpointer data); /* of who follows it through a store; lives as long as the call */
  gpointer room_data;
  gsize value_position; /* of the next element, while a returned array is iterated */
  guint item_attempt;   /* of the item being delivered; its context's thread only */
  guint64 item_index;

  GObject *object;
  struct _StrandWait *wait; /* the function's; guarded by the lock of all waits */
  GArray *waiters;          /* of StrandWaiter */
  GPtrArray *listeners;     /* of StrandListener */
  GHashTable *data;         /* of StrandClosure, by owner */

  /* An attempt of a stored call. Set at construction. */
  StrandCall *parent;
  const StrandAttemptFuncs *funcs;
  gpointer owner;
  gint64 timeout_us;
  gint64 grace_us;
  StrandTaskrunner *runner; /* where it was submitted */
  StrandCall *child;        /* of a stored call: the attempt under way */

  /* A chain that waits for a middleware. */
  void (*stop_hook) (StrandCall *self, gpointer data);
  gpointer stop_data;
  gpointer chain_state;
  gint64 retry_after_us;
} StrandCallExtra;

struct _StrandCall
{
  StrandNews news; /* in the delivery */
  gatomicrefcount ref_count;
  int state; /* atomic; see above */
  StrandRecipe *recipe;
  StrandDelivery *delivery; /* NULL: callbacks run on the runner; the recipe's own is not held */
  GVariant *arguments;
  GVariant *value; /* written while SETTLING, as the next */
  GError *error;
  gpointer runner_data;   /* the runner's while it has the call */
  StrandCallExtra *extra; /* atomic; made once */
};

/* Told when something that a handle shows has changed; lives as long as either side holds it. */
typedef struct _StrandListener StrandListener;
StrandListener *strand_listener_ref (StrandListener *self);
void strand_listener_unref (StrandListener *self);
void strand_listener_changed (StrandListener *self);

StrandCall *strand_call_new (StrandRecipe *recipe, GVariant *arguments);
StrandCall *strand_call_try_ref (StrandCall *self);
StrandCallExtra *strand_call_extra (StrandCall *self);
void strand_call_set_options (StrandCall *self, StrandOptions *options);
void strand_call_submit (StrandCall *self);
StrandTaskrunner *strand_call_get_runner (StrandCall *self);
gboolean strand_call_is_ended (StrandCall *self);
void strand_call_changed (StrandCall *self);
void strand_call_deliver (StrandCall *self);
gboolean strand_call_dispatch (StrandNews *news, gint64 deadline_us);
gboolean strand_call_tell_listeners (StrandCallExtra *extra);
void strand_call_mark_seen (StrandCall *self);
void strand_call_drop_child (StrandCall *self);
GError *strand_call_dup_consumer_error (StrandCall *self);

/* What a function asks about its retry: µs to wait, or -1 for none. Metadata, because that already travels
 * from a helper process. */
#define STRAND_METADATA_RETRY_AFTER "strand.retry-after"

gboolean strand_call_get_retry_wish (StrandCall *self, gint64 *delay_us);

/* With what is strand's own: for whoever passes it on to an attempt in another process. */
GVariant *strand_call_dup_all_metadata (StrandCall *self);
gboolean strand_call_request_stop (StrandCall *self, gboolean timed_out);
gboolean strand_call_cancel_pending (StrandCall *self);
void strand_call_set_stop_hook (StrandCall *self, void (*hook) (StrandCall *self, gpointer data),
                                gpointer data);
void strand_call_add_listener (StrandCall *self, StrandListener *listener);
void strand_call_remove_listener (StrandCall *self, StrandListener *listener);

/* FALSE if the call has ended already (@func will not be called). */
gboolean strand_call_add_waiter (StrandCall *self, void (*func) (gpointer data), gpointer data,
                                 gboolean pokable);
void strand_call_poke_waiters (StrandCall *self);
void strand_call_remove_waiter (StrandCall *self, gpointer data);
gboolean strand_call_wait (StrandCall *self, gint64 timeout_us, GError **error);

/* Where a call stands in a chain; strand-middleware.c. */
void strand_chain_state_free (gpointer state);

/* Items; strand-call-items.c. */
typedef struct
{
  GVariant *value;
  guint attempt;
  guint64 index;
} StrandItem;

void strand_item_free (StrandItem *item);
gboolean strand_call_emit (StrandCall *self, GVariant *item, gboolean may_wait, gboolean *room,
                           GError **error);
gboolean strand_call_emit_at (StrandCall *self, GVariant *item, guint attempt, guint64 index);
/* Whether a slow consumer keeps items waiting; not once the call was told to stop. */
gboolean strand_call_wants_room (StrandCall *self);
gboolean strand_call_deliver_items (StrandCall *self, gint64 deadline_us);
gboolean strand_call_deliver_value_items (StrandCall *self, gint64 deadline_us);

/* Time that runs while a function waits for @call's condition to change: `over` is then guarded by the call's
 * lock. On the stack of who waits; strand-context.c. */
typedef struct
{
  StrandCall *call;
  gboolean over;
  guint64 timer;
} StrandNap;

void strand_nap_begin (StrandNap *self, StrandCall *call, gint64 duration_us);
void strand_nap_end (StrandNap *self);

extern int strand_inline_mode; /* atomic */

/* What this thread is doing for which call. */
typedef struct _StrandFrame StrandFrame;
struct _StrandFrame
{
  StrandCall *call;
  const StrandFrame *outer; /* what it interrupted */
};
extern _Thread_local const StrandFrame *strand_running;
extern _Thread_local const StrandFrame *strand_delivering;

static inline int
strand_call_peek_state (StrandCall *self)
{
  return g_atomic_int_get (&self->state);
}

static inline gboolean
strand_state_is_terminal (int state)
{
  int status = state & STATE_STATUS;

  return status != STATE_SETTLING && status >= STRAND_STATUS_COMPLETED;
}

G_END_DECLS
