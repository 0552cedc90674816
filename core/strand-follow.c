/* strand-follow.c — a call that others run, seen through the store.
 *
 * A follower watches a record and makes a call show what it says, items included. A call that this process
 * launched is held until it has ended, because somebody is to be called back. One that it only asked for by
 * key is known without being held, so that following ends with the last handle; of that one the follower is
 * also the backend: cancelling goes the other way, into the record.
 *
 * One reading of a record at a time: what changes meanwhile makes another one follow. The followers of a
 * store stand in a line for it, so that a burst of changes keeps one thread busy instead of waking several;
 * all that stand there are read with one question to the store, and changes that come while one waits there
 * with one reading.                                 SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"
#include "strand-follow-private.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-function-private.h"
#include "strand-payload.h"
#include "strand-registry.h"
#include "strand-work.h"

/* How soon a waiter learns that the program which ran the call has died, or that the call has expired. */
#define LOOK_INTERVAL_US (G_USEC_PER_SEC / 2)

/* How many items are read at once. */
#define ITEMS_PAGE 64

/* How many threads read for the followers of one store, and how many of these must wait for another thread,
 * which is also how many are read at once. */
#define MAX_READERS 4
#define WAITING_PER_READER 32

/* The followers of one store that have something to read. */
typedef struct
{
  GMutex lock; /* guards the rest */
  GQueue waiting;
  guint n_readers;
} FollowLine;

/* Whether a reading of the record is under way, and another has to follow it. */
enum
{
  READING_NOT,
  READING,
  READING_AGAIN
};

#define STRAND_TYPE_FOLLOWER (strand_follower_get_type ())
G_DECLARE_FINAL_TYPE (StrandFollower, strand_follower, STRAND, FOLLOWER, GObject)

struct _StrandFollower
{
  GObject parent_instance;

  StrandStore *store; /* set at construction, as the next */
  char *key;
  gboolean holds; /* the call, until it has ended */
  StrandFollowFunc done;
  gpointer done_data;
  int reading; /* atomic */
  int looking; /* atomic: a timer is set that will read it again */

  /* The reading's. */
  guint item_attempt; /* of the items seen last */
  guint64 next_item;

  GMutex lock; /* guards the rest */
  StrandCall *call;
  guint watch;
};

static void follower_backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandFollower, strand_follower, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, follower_backend_init))

/* Under which a followed call knows its follower. */
static const char follow_tag;

static StrandCall *
ref_call (StrandFollower *self)
{
  StrandCall *call;

  g_mutex_lock (&self->lock);
  call = self->call != NULL ? strand_call_try_ref (self->call) : NULL;
  g_mutex_unlock (&self->lock);
  return call;
}

/* Whether an attempt has started that was not seen before. */
static gboolean
show_times (StrandCall *call, StrandRecord *record)
{
  StrandCallExtra *extra = strand_call_extra (call);
  gint64 started_us = strand_record_get_int (record, STRAND_FIELD_STARTED);
  gboolean is_new;

  g_mutex_lock (&extra->lock);
  is_new = started_us != extra->started_us && started_us > 0;
  extra->created_us = strand_record_get_int (record, STRAND_FIELD_CREATED);
  extra->started_us = started_us;
  extra->attempt = (guint) strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
  g_mutex_unlock (&extra->lock);
  return is_new;
}

static void
show_state (StrandCall *call, StrandRecord *record)
{
  StrandCallExtra *extra = strand_call_extra (call);
  const char *message = strand_record_get_string (record, STRAND_FIELD_MESSAGE);
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_mutex_lock (&extra->lock);
  extra->progress = strand_record_get_double (record, STRAND_FIELD_PROGRESS);
  if (g_strcmp0 (extra->message, message) != 0)
    {
      g_free (extra->message);
      extra->message = g_strdup (message);
    }
  g_mutex_unlock (&extra->lock);

  if (metadata == NULL)
    return;
  g_variant_iter_init (&iter, metadata);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    strand_call_set_metadata (call, name, value);
}

/* A call that stopped because its consumer here has failed says so here; its record knows only that it was
 * told to. */
static GError *
error_of (StrandCall *call, StrandRecord *record, StrandStatus *status)
{
  GError *error = *status == STRAND_STATUS_CANCELLED ? strand_call_dup_consumer_error (call) : NULL;

  if (error != NULL)
    {
      *status = STRAND_STATUS_FAILED;
      return error;
    }
  error = strand_record_dup_error (record);

  if (error != NULL)
    return error;
  if (*status == STRAND_STATUS_CANCELLED)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call '%s' was cancelled",
                        strand_record_get_key (record));
  return g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED,
                      "The call '%s' failed, and its record does not say why",
                      strand_record_get_key (record));
}

/* The value, as the call's backend sees it. */
static GVariant *
dup_result (StrandCall *call, StrandRecord *record, GError **error)
{
  StrandBackend *backend = call->recipe->backend;

  if (backend != NULL && STRAND_BACKEND_GET_IFACE (backend)->get_result != NULL)
    return STRAND_BACKEND_GET_IFACE (backend)->get_result (backend, record, error);
  if (strand_record_get_bytes (record, STRAND_FIELD_VALUE) == NULL)
    return NULL;
  return strand_record_dup_value (record, error);
}

/* Ends the call as its record ended. A value that cannot be read makes a failure that says so. */
static void
show_end (StrandCall *call, StrandRecord *record)
{
  StrandCallExtra *extra = strand_call_extra (call);
  StrandStatus status = strand_record_get_status (record);
  GVariant *value = NULL;
  GError *error = NULL;

  if (status != STRAND_STATUS_COMPLETED)
    error = error_of (call, record, &status);
  else
    {
      value = dup_result (call, record, &error);
      status = value == NULL && error != NULL ? STRAND_STATUS_FAILED : STRAND_STATUS_COMPLETED;
    }

  /* First, so that nobody sees the end without its time. */
  g_mutex_lock (&extra->lock);
  extra->completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);
  g_mutex_unlock (&extra->lock);
  strand_call_finish_as (call, status, value, error);
}

/* Items of one page. FALSE if there are no more, or no room for them. */
static gboolean
show_some_items (StrandFollower *self, StrandCall *call, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;
  guint64 first = 0;
  g_autoptr(GPtrArray) items =
      strand_store_read_items (self->store, self->key, strand_record_get_int (record, STRAND_FIELD_FENCE),
                               self->next_item, ITEMS_PAGE, &first, &error);

  if (items == NULL || items->len == 0)
    return FALSE;
  for (guint i = 0; i < items->len; i++)
    {
      GVariant *item = strand_record_read_item (record, g_ptr_array_index (items, i), &error);

      if (item == NULL)
        g_message ("Item %" G_GUINT64_FORMAT " of call '%s' is left out: %s", first + i, self->key,
                   error->message);
      else if (!strand_call_emit_at (call, item, self->item_attempt, first + i))
        {
          g_variant_unref (item);
          return FALSE;
        }
      self->next_item = first + i + 1;
      g_clear_error (&error);
    }
  return TRUE;
}

/* A new attempt starts anew; a call that was given back goes on where its consumer is, since each index comes
 * once an attempt. FALSE if a slow consumer has to make room for the rest first. */
static gboolean
show_items (StrandFollower *self, StrandCall *call, StrandRecord *record)
{
  guint attempt = (guint) strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
  guint64 n_items = strand_record_get_int (record, STRAND_FIELD_ITEMS);

  if (n_items > 0 && attempt != self->item_attempt)
    {
      self->item_attempt = attempt;
      self->next_item = 0;
    }
  while (self->next_item < n_items && show_some_items (self, call, record))
    ;
  return !strand_call_wants_room (call);
}

/* That it runs comes first: nobody sees a call pending that has progress or items. Of one that has ended in
 * the meantime, too. */
static void
show_record (StrandFollower *self, StrandCall *call, StrandRecord *record)
{
  StrandStatus status = strand_record_get_status (record);
  gboolean has_started = show_times (call, record);

  if (status == STRAND_STATUS_RUNNING || (has_started && strand_status_is_terminal (status)))
    strand_call_mark_running (call);
  show_state (call, record);
  if (!show_items (self, call, record))
    return; /* on_room() comes back */
  if (strand_status_is_terminal (status))
    show_end (call, record);
  else if (status == STRAND_STATUS_PENDING)
    strand_call_requeue (call);
  else
    strand_call_changed (call);
}

static void on_changed (StrandStore *store, const char *key, gpointer data);

/* The consumer has caught up. */
static void
on_room (gpointer data)
{
  StrandFollower *self = data;

  on_changed (self->store, self->key, self);
}

static void
on_look (gpointer data)
{
  StrandFollower *self = data;

  g_atomic_int_set (&self->looking, FALSE);
  on_changed (self->store, self->key, self);
}

/* A program that dies writes nothing, and nobody writes that a call has expired: as long as such a call has
 * not ended, it is looked at now and then. A queue's readers look after each other. */
static void
look_later (StrandFollower *self, StrandRecord *record)
{
  gboolean needed = strand_record_get_string (record, STRAND_FIELD_QUEUE) == NULL ||
                    strand_record_get_int (record, STRAND_FIELD_EXPIRES) > 0 || strand_flow_is_one (record);

  if (needed && g_atomic_int_compare_and_exchange (&self->looking, FALSE, TRUE))
    strand_clock_add_timer (strand_clock_monotonic_us () + LOOK_INTERVAL_US, on_look, g_object_ref (self),
                            g_object_unref);
}

static void
stop_watching (StrandFollower *self)
{
  guint watch;

  g_mutex_lock (&self->lock);
  watch = self->watch;
  self->watch = 0;
  g_mutex_unlock (&self->lock);
  if (watch != 0)
    strand_store_unwatch (self->store, watch);
}

/* A call that was held has ended. */
static void
let_go (StrandFollower *self)
{
  StrandCall *call;

  g_mutex_lock (&self->lock);
  call = g_steal_pointer (&self->call);
  g_mutex_unlock (&self->lock);
  stop_watching (self);
  if (call == NULL)
    return;
  if (self->done != NULL)
    self->done (call, self->done_data);
  strand_call_unref (call);
}

/* Makes of the call what was read: @record, or @error where there is none. Takes over both. */
static void
take_record (StrandFollower *self, StrandCall *call, StrandRecord *read, GError *why)
{
  g_autoptr(StrandRecord) record = read;
  g_autoptr(GError) error = why;

  if (record != NULL &&
      (strand_store_fail_lost (self->store, record) || strand_store_fail_expired (self->store, record)))
    {
      on_changed (self->store, self->key, self);
      return;
    }
  /* Whoever waits for a flow also sees to it that it goes on. */
  if (record != NULL && strand_flow_is_one (record) &&
      !strand_status_is_terminal (strand_record_get_status (record)))
    strand_store_advance_flow (self->store, self->key, NULL);
  /* A store that cannot be reached for a moment is tried again at the next change. */
  if (record != NULL)
    show_record (self, call, record);
  else if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) ||
           g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CORRUPT))
    strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, g_steal_pointer (&error));

  if (strand_call_is_ended (call) && self->holds)
    let_go (self);
  else if (!strand_call_is_ended (call) && record != NULL)
    look_later (self, record);
}

static void
line_free (gpointer data)
{
  FollowLine *line = data;

  g_assert (line->waiting.length == 0); /* each holds the store */
  g_mutex_clear (&line->lock);
  g_free (line);
}

static FollowLine *
line_of (StrandStore *store)
{
  static GMutex making;
  GQuark quark = g_quark_from_static_string ("strand-follow-line");
  FollowLine *line = g_object_get_qdata (G_OBJECT (store), quark);

  if (line != NULL)
    return line;
  g_mutex_lock (&making);
  line = g_object_get_qdata (G_OBJECT (store), quark);
  if (line == NULL)
    {
      line = g_new0 (FollowLine, 1);
      g_mutex_init (&line->lock);
      g_object_set_qdata_full (G_OBJECT (store), quark, line, line_free);
    }
  g_mutex_unlock (&making);
  return line;
}

/* Those that are read next, out of the line. What changes from here on is read again. */
static guint
take_waiting_locked (FollowLine *line, StrandFollower **followers)
{
  guint n = 0;

  while (n < WAITING_PER_READER && (followers[n] = g_queue_pop_head (&line->waiting)) != NULL)
    g_atomic_int_set (&followers[n++]->reading, READING);
  return n;
}

/* One question to the store for all of them. A call whose last handle is gone needs no answer. */
static void
read_records (StrandStore *store, StrandFollower *const *followers, guint n)
{
  StrandFollower *asking[WAITING_PER_READER];
  StrandCall *calls[WAITING_PER_READER];
  const char *keys[WAITING_PER_READER];
  StrandRecord *records[WAITING_PER_READER];
  GError *errors[WAITING_PER_READER];
  guint n_asking = 0;

  for (guint i = 0; i < n; i++)
    {
      calls[n_asking] = ref_call (followers[i]);
      if (calls[n_asking] == NULL)
        continue;
      keys[n_asking] = followers[i]->key;
      asking[n_asking++] = followers[i];
    }
  strand_store_get_batch (store, keys, n_asking, records, errors);
  for (guint i = 0; i < n_asking; i++)
    {
      take_record (asking[i], calls[i], records[i], errors[i]);
      strand_call_unref (calls[i]);
    }
}

/* Reads for all that wait. One that has changed while it was read goes to the end of the line. */
static void
serve_line (gpointer data)
{
  g_autoptr(StrandStore) store = data;
  FollowLine *line = line_of (store);
  StrandFollower *followers[WAITING_PER_READER];
  guint n;

  g_mutex_lock (&line->lock);
  while ((n = take_waiting_locked (line, followers)) > 0)
    {
      g_mutex_unlock (&line->lock);
      read_records (store, followers, n);
      g_mutex_lock (&line->lock);
      for (guint i = 0; i < n; i++)
        if (!g_atomic_int_compare_and_exchange (&followers[i]->reading, READING, READING_NOT))
          {
            g_queue_push_tail (&line->waiting, followers[i]);
            followers[i] = NULL;
          }
      g_mutex_unlock (&line->lock);
      for (guint i = 0; i < n; i++)
        g_clear_object (&followers[i]);
      g_mutex_lock (&line->lock);
    }
  line->n_readers--;
  g_mutex_unlock (&line->lock);
}

static void
on_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandFollower *self = data;
  FollowLine *line;
  gboolean another;

  if (g_atomic_int_exchange (&self->reading, READING_AGAIN) != READING_NOT)
    return;
  line = line_of (self->store);
  g_mutex_lock (&line->lock);
  g_queue_push_tail (&line->waiting, g_object_ref (self));
  another = line->n_readers < MAX_READERS && line->waiting.length > line->n_readers * WAITING_PER_READER;
  line->n_readers += another;
  g_mutex_unlock (&line->lock);
  if (another)
    strand_blocking_run (serve_line, g_object_ref (self->store));
}

/* The last handle of a call that is not held is gone. */
static void
stop_following (gpointer data)
{
  StrandFollower *self = data;

  g_mutex_lock (&self->lock);
  self->call = NULL;
  g_mutex_unlock (&self->lock);
  stop_watching (self);
  g_object_unref (self);
}

static StrandStore *
strand_follower_get_store (StrandBackend *backend)
{
  return STRAND_FOLLOWER (backend)->store;
}

static gboolean
strand_follower_launch (StrandBackend *backend, StrandCall *call, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED, "this only follows a call");
  return FALSE;
}

static void
cancel_record (gpointer data)
{
  g_autoptr(StrandFollower) self = data;
  g_autoptr(GError) error = NULL;

  /* A program that closes its store has no more to say of its calls. */
  if (!strand_store_cancel_call (self->store, self->key, &error) && error != NULL &&
      !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CLOSED))
    g_warning ("%s", error->message);
}

static void
strand_follower_cancel (StrandBackend *backend, StrandCall *call)
{
  strand_blocking_run (cancel_record, g_object_ref (backend));
}

static gboolean
strand_follower_close (StrandBackend *backend, gint64 deadline_us, GError **error)
{
  return TRUE;
}

static void
follower_backend_init (StrandBackendInterface *iface)
{
  iface->launch = strand_follower_launch;
  iface->get_store = strand_follower_get_store;
  iface->cancel = strand_follower_cancel;
  iface->close = strand_follower_close;
}

static void
strand_follower_finalize (GObject *object)
{
  StrandFollower *self = STRAND_FOLLOWER (object);

  g_clear_object (&self->store);
  g_free (self->key);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_follower_parent_class)->finalize (object);
}

static void
strand_follower_class_init (StrandFollowerClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = strand_follower_finalize;
}

static void
strand_follower_init (StrandFollower *self)
{
  g_mutex_init (&self->lock);
}

static StrandCall *
new_call (StrandFollower *self, StrandRecord *record)
{
  const char *name = strand_record_get_string (record, STRAND_FIELD_FUNCTION);
  /* A record that somebody else wrote, an imported one say, may name none. */
  StrandFunction *function =
      name != NULL ? strand_registry_lookup (strand_registry_get_default (), name, NULL) : NULL;
  StrandRecipe *recipe = strand_recipe_new (function);
  StrandCall *call;
  StrandOptions *options;

  if (recipe->function == NULL)
    recipe->function = strand_function_new_unknown (name != NULL ? name : "?");
  recipe->backend = g_object_ref (STRAND_BACKEND (self));
  call = strand_call_new (recipe, NULL);
  options = strand_options_new ();
  strand_options_set_key (options, self->key);
  strand_call_set_options (call, options);
  strand_call_mark_seen (call); /* whoever launched it is the one to be told */
  return call;
}

static StrandFollower *
follower_new (StrandStore *store, const char *key)
{
  StrandFollower *self = g_object_new (STRAND_TYPE_FOLLOWER, NULL);

  self->store = g_object_ref (store);
  self->key = g_strdup (key);
  return self;
}

static void
start_watching (StrandFollower *self)
{
  StrandCallExtra *extra = strand_call_extra (self->call);
  guint watch = strand_store_watch (self->store, self->key, on_changed, g_object_ref (self), g_object_unref);
  gboolean over;

  g_mutex_lock (&extra->lock);
  extra->room_hook = on_room;
  extra->room_data = self; /* which the call holds */
  g_mutex_unlock (&extra->lock);
  g_mutex_lock (&self->lock);
  over = self->call == NULL; /* it has ended before the watch stood */
  if (!over)
    self->watch = watch;
  g_mutex_unlock (&self->lock);
  if (over)
    strand_store_unwatch (self->store, watch);
  else
    on_changed (self->store, self->key, self); /* it may have changed before the watch stood */
}

/* A call that shows what the record @key says, from now until it has ended. Blocks for the first reading. */
StrandCall *
strand_follow (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(StrandFollower) self = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, error);
  StrandCall *call;

  if (record == NULL)
    return NULL;

  self = follower_new (store, key);
  call = new_call (self, record);
  show_record (self, call, record);
  if (strand_call_is_ended (call))
    return call;

  g_mutex_lock (&self->lock);
  self->call = call;
  g_mutex_unlock (&self->lock);
  strand_call_set_data (call, self, g_object_ref (self), stop_following);
  start_watching (self);
  return call;
}

/**
 * strand_store_follow_call: (skip)
 * @store: where the record is
 * @key: the record's key; that of the call, unless it shares the record of another with its unique key
 * @call: (transfer full): a call whose record has been written, and that somebody else will carry out
 * @done: (nullable): told when the call has ended
 * @user_data: data for @done
 *
 * For backends that leave their calls to others: makes the call show what its record says, passes on what it
 * emits, and ends it when the record does. The call is held until then.
 *
 * Blocks while the store starts to watch; any thread that owns no main context.
 *
 * Since: 1.0
 */
void
strand_store_follow_call (StrandStore *store, const char *key, StrandCall *call, StrandFollowFunc done,
                          gpointer user_data)
{
  g_autoptr(StrandFollower) self = NULL;

  g_return_if_fail (STRAND_IS_STORE (store) && key != NULL && call != NULL);

  self = follower_new (store, key);
  self->holds = TRUE;
  self->call = call;
  self->done = done;
  self->done_data = user_data;
  strand_call_set_data (call, &follow_tag, g_object_ref (self), g_object_unref);
  if (strand_flow_is_name (strand_call_get_function_name (call)))
    strand_store_advance_flow (store, key, NULL); /* also for a program that ends right away */
  start_watching (self);
}

/**
 * strand_store_unfollow_call: (skip)
 * @call: a call that is followed
 *
 * Stops following a call that has been ended otherwise, and lets it go; `done` is told. Does nothing for a
 * call that is not followed.
 *
 * Blocks while the call's watcher runs on another thread; any thread.
 *
 * Since: 1.0
 */
void
strand_store_unfollow_call (StrandCall *call)
{
  StrandFollower *self;

  g_return_if_fail (call != NULL);

  self = strand_call_get_data (call, &follow_tag);
  if (self != NULL)
    let_go (self);
}
