/* strand-follow.c — a call of another process, seen through the store.
 *
 * The follower is the backend of a call that this process did not launch: it watches the record and makes the
 * call show what the record says. Cancelling goes the other way, into the record. The follower knows its call
 * without holding it, so that it ends with the last handle. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-follow-private.h"
#include "strand-blocking-private.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-function-private.h"
#include "strand-payload.h"
#include "strand-registry.h"

/* How soon a waiter learns that the program which ran the call has died. */
#define LOOK_INTERVAL_US (G_USEC_PER_SEC / 2)

#define STRAND_TYPE_FOLLOWER (strand_follower_get_type ())
G_DECLARE_FINAL_TYPE (StrandFollower, strand_follower, STRAND, FOLLOWER, GObject)

struct _StrandFollower
{
  GObject parent_instance;

  StrandStore *store; /* set at construction, as the next */
  char *key;
  int dirty;   /* atomic: a reading is under way, or about to be */
  int looking; /* atomic: a timer is set that will read it again */

  GMutex lock;      /* guards the rest */
  StrandCall *call; /* not held */
  guint watch;
};

static void follower_backend_init (StrandBackendInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandFollower, strand_follower, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_BACKEND, follower_backend_init))

static StrandCall *
ref_call (StrandFollower *self)
{
  StrandCall *call;

  g_mutex_lock (&self->lock);
  call = self->call != NULL ? strand_call_try_ref (self->call) : NULL;
  g_mutex_unlock (&self->lock);
  return call;
}

static void
show_envelope (StrandCall *call, StrandRecord *record)
{
  StrandCallExtra *extra = strand_call_extra (call);
  const char *message = strand_record_get_string (record, STRAND_FIELD_MESSAGE);
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_mutex_lock (&extra->lock);
  extra->created_us = strand_record_get_int (record, STRAND_FIELD_CREATED);
  extra->started_us = strand_record_get_int (record, STRAND_FIELD_STARTED);
  extra->attempt = (guint) strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
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

static GError *
error_of (StrandRecord *record)
{
  GError *error = strand_record_dup_error (record);

  if (error != NULL)
    return error;
  if (strand_record_get_status (record) == STRAND_STATUS_CANCELLED)
    return g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call '%s' was cancelled",
                        strand_record_get_key (record));
  return g_error_new (STRAND_ERROR, STRAND_ERROR_FAILED,
                      "The call '%s' failed, and its record does not say why",
                      strand_record_get_key (record));
}

/* Ends the call as its record ended. A value that cannot be read makes a failure that says so. */
static void
show_end (StrandCall *call, StrandRecord *record)
{
  StrandCallExtra *extra = strand_call_extra (call);
  GVariant *value = NULL;
  GError *error = NULL;

  if (strand_record_get_status (record) != STRAND_STATUS_COMPLETED)
    error = error_of (record);
  else if (strand_record_get_bytes (record, STRAND_FIELD_VALUE) != NULL)
    value = strand_record_dup_value (record, &error);

  strand_call_finish_as (call, strand_record_get_status (record), value, error);
  g_mutex_lock (&extra->lock);
  extra->completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);
  g_mutex_unlock (&extra->lock);
}

static void
show_record (StrandCall *call, StrandRecord *record)
{
  StrandStatus status = strand_record_get_status (record);

  show_envelope (call, record);
  if (strand_status_is_terminal (status))
    show_end (call, record);
  else if (status == STRAND_STATUS_RUNNING)
    strand_call_mark_running (call);
  else
    strand_call_requeue (call);
}

static void on_changed (StrandStore *store, const char *key, gpointer data);

static void
on_look (gpointer data)
{
  StrandFollower *self = data;

  g_atomic_int_set (&self->looking, FALSE);
  on_changed (self->store, self->key, self);
}

/* A program that dies writes nothing: as long as the call has not ended, its holder is looked at now and
 * then. */
static void
look_later (StrandFollower *self, StrandCall *call)
{
  if (!strand_call_is_ended (call))
    strand_clock_add_timer (strand_clock_monotonic_us () + LOOK_INTERVAL_US, on_look, g_object_ref (self),
                            g_object_unref);
}

/* Reads the record again. A store that cannot be reached for a moment is tried again at the next change. */
static void
follow_record (gpointer data)
{
  g_autoptr(StrandFollower) self = data;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;
  StrandCall *call = ref_call (self);

  g_atomic_int_set (&self->dirty, FALSE);
  if (call == NULL)
    return;
  record = strand_store_get (self->store, self->key, &error);
  if (record != NULL && strand_store_fail_lost (self->store, record))
    on_changed (self->store, self->key, self);
  else if (record != NULL)
    show_record (call, record);
  else if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND) ||
           g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CORRUPT))
    strand_call_finish_as (call, STRAND_STATUS_FAILED, NULL, g_steal_pointer (&error));
  if (g_atomic_int_compare_and_exchange (&self->looking, FALSE, TRUE))
    look_later (self, call);
  strand_call_unref (call);
}

static void
on_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandFollower *self = data;

  if (g_atomic_int_compare_and_exchange (&self->dirty, FALSE, TRUE))
    strand_blocking_run (follow_record, g_object_ref (self));
}

static void
stop_following (gpointer data)
{
  StrandFollower *self = data;
  guint watch;

  g_mutex_lock (&self->lock);
  self->call = NULL;
  watch = self->watch;
  self->watch = 0;
  g_mutex_unlock (&self->lock);
  if (watch != 0)
    strand_store_unwatch (self->store, watch);
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

  if (!strand_store_cancel_call (self->store, self->key, &error) && error != NULL)
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
  StrandRecipe *recipe =
      strand_recipe_new (strand_registry_lookup (strand_registry_get_default (), name, NULL));
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

/* A call that shows what the record @key says, from now until it has ended. Blocks for the first reading. */
StrandCall *
strand_follow (StrandStore *store, const char *key, GError **error)
{
  g_autoptr(StrandFollower) self = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, error);
  StrandCall *call;

  if (record == NULL)
    return NULL;

  self = g_object_new (STRAND_TYPE_FOLLOWER, NULL);
  self->store = g_object_ref (store);
  self->key = g_strdup (key);
  call = new_call (self, record);
  show_record (call, record);
  if (strand_call_is_ended (call))
    return call;

  g_mutex_lock (&self->lock);
  self->call = call;
  g_mutex_unlock (&self->lock);
  strand_call_set_data (call, self, g_object_ref (self), stop_following);
  self->watch = strand_store_watch (store, key, on_changed, g_object_ref (self), g_object_unref);
  on_changed (store, key, self); /* it may have changed before the watch stood */
  return call;
}
