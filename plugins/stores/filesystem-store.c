/* filesystem-store.c — keeps each record in a file of its own, as JSON that any program can read.
 *
 * The record of KEY is `PATH/FOLDER/KEY.json`; FOLDER is the lowest byte of the key's 32-bit FNV-1a hash, in
 * two hexadecimal digits, so that no directory grows too large. A record is written to `.tmp-OWNER-N` beside
 * its place and renamed over it: who reads sees the old one or the new one, never half.
 *
 * To replace or remove one, its folder is locked (flock on the directory itself, through a descriptor opened
 * for this one write): that excludes threads as well as processes, ends with its holder however that dies,
 * leaves no lock file, and a folder that was removed meanwhile cannot be written to, because everything under
 * the lock goes through that descriptor. Nothing else is kept open, so the directory may be moved away,
 * removed and made again while programs use it.
 *
 * Records that are not finished, and those of other kinds than calls, are found through an index of empty
 * files (filesystem-index.c), so that a million finished ones cost a claim nothing. What calls emit lies in
 * `items` (filesystem-items.c).
 *
 * With `sync=none` an accepted record survives the death of every process, not a power cut; with `data` a
 * power cut leaves the old record or the new one, whole; with `full` it leaves the new one.
 *
 * The lock holds between processes of one host: on a network file system nothing is written.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "filesystem-change.h"
#include "filesystem-index.h"
#include "filesystem-items.h"
#include "filesystem-list.h"
#include "filesystem-queue.h"
#include "filesystem-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define STRAND_TYPE_FILESYSTEM_STORE (strand_filesystem_store_get_type ())
G_DECLARE_FINAL_TYPE (StrandFilesystemStore, strand_filesystem_store, STRAND, FILESYSTEM_STORE, GObject)

#define STRAND_TYPE_FILESYSTEM_SYNC (strand_filesystem_sync_get_type ())
GType strand_filesystem_sync_get_type (void);

struct _StrandFilesystemStore
{
  GObject parent_instance;
  FilesystemPlace place;
  FilesystemItems *items;

  GMutex lock;              /* guards everything below */
  FilesystemQueues *queues; /* NULL before the first claim */
  FilesystemWatch *watch;
  FilesystemWatch *queue_watch;
  char *clean_cursor;
};

typedef enum
{
  PROP_PATH = 1,
  PROP_SYNC,
  N_PROPS,
  FIRST_COMMON_PROP = N_PROPS,
} StrandFilesystemStoreProperty;

static GParamSpec *props[N_PROPS];

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandFilesystemStore, strand_filesystem_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

G_DEFINE_ENUM_TYPE (FilesystemSync, strand_filesystem_sync, G_DEFINE_ENUM_VALUE (SYNC_NONE, "none"),
                    G_DEFINE_ENUM_VALUE (SYNC_DATA, "data"), G_DEFINE_ENUM_VALUE (SYNC_FULL, "full"))

/* --- one record ---------------------------------------------------------------------------------------- */

static StrandRecord *
strand_filesystem_store_get (StrandStore *store, const char *key, GError **error)
{
  FilesystemPlace *place = &STRAND_FILESYSTEM_STORE (store)->place;
  g_autofree char *path = NULL;

  if (!filesystem_place_check (place, error))
    return NULL;
  path = filesystem_path_of_key (place, key);
  return filesystem_read_record (AT_FDCWD, path, key, path, error);
}

static void
kick_watch (StrandFilesystemStore *self)
{
  g_mutex_lock (&self->lock);
  if (self->watch != NULL)
    filesystem_watch_kick (self->watch);
  if (self->queue_watch != NULL)
    filesystem_watch_kick (self->queue_watch);
  g_mutex_unlock (&self->lock);
}

static gboolean
strand_filesystem_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  gboolean done, made;

  if (!filesystem_place_check_writable (&self->place, error))
    return FALSE;
  done = filesystem_put (&self->place, record, expected, &made, error);
  if (made)
    kick_watch (self);
  return done;
}

static gboolean
strand_filesystem_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  return filesystem_place_check_writable (&self->place, error) &&
         filesystem_remove (&self->place, self->items, key, expected, error);
}

/* --- many records -------------------------------------------------------------------------------------- */

static StrandPage *
strand_filesystem_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                              GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  if (!filesystem_place_check (&self->place, error))
    return NULL;
  return filesystem_list (&self->place, filter, cursor, limit, error);
}

static gint64
strand_filesystem_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  g_autofree char *cursor = NULL;
  gint64 n_removed;

  if (!filesystem_place_check_writable (&self->place, error))
    return -1;
  if (budget_us >= 0)
    {
      g_mutex_lock (&self->lock);
      cursor = g_steal_pointer (&self->clean_cursor);
      g_mutex_unlock (&self->lock);
    }
  n_removed = filesystem_clean (&self->place, self->items, store, now_us, budget_us, &cursor);

  g_mutex_lock (&self->lock);
  if (cursor != NULL)
    {
      g_free (self->clean_cursor);
      self->clean_cursor = g_steal_pointer (&cursor);
    }
  g_mutex_unlock (&self->lock);
  return n_removed;
}

/* --- work ---------------------------------------------------------------------------------------------- */

static FilesystemQueues *
peek_queues (StrandFilesystemStore *self)
{
  FilesystemQueues *queues;

  g_mutex_lock (&self->lock);
  if (self->queues == NULL)
    self->queues = filesystem_queues_new (&self->place);
  queues = self->queues;
  g_mutex_unlock (&self->lock);
  return queues;
}

/* Claims the call of one entry. NULL without error where it is not there to be claimed: claimed by somebody
 * else, ended, or not to be read. */
static StrandRecord *
claim_entry (StrandFilesystemStore *self, const char *queue, const char *entry, const StrandClaim *claim,
             GError **error)
{
  g_autofree char *escaped = filesystem_index_escape (queue);
  g_autofree char *part = g_build_filename (FILESYSTEM_QUEUES, escaped, NULL);
  g_auto(FilesystemSeat) seat = { .dir = -1 };
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) local_error = NULL;

  filesystem_seat_init (&seat, &self->place, entry + FILESYSTEM_TURN_SIZE);
  if (!filesystem_seat_lock (&seat))
    {
      if (errno != ENOENT)
        filesystem_set_io_error (error, errno, seat.folder);
      return NULL;
    }
  old = filesystem_seat_read (&seat, &local_error);
  if (old == NULL && !filesystem_is_not_found (local_error))
    return NULL;
  if (!filesystem_index_check_locked (&self->place, part, entry, old) ||
      !strand_record_is_waiting (old, queue))
    return NULL;

  record = strand_record_copy (old);
  strand_record_claim (record, claim->owner, claim->now_us);
  strand_record_set_int (record, STRAND_FIELD_REVISION, (gint64) strand_record_get_revision (old) + 1);
  if (!filesystem_seat_replace (&seat, old, record, error))
    return NULL;
  return g_steal_pointer (&record);
}

/* FALSE with an error. */
static gboolean
claim_from (StrandFilesystemStore *self, const char *queue, const StrandClaim *claim, GPtrArray *claimed,
            gint64 *next_due_us, GError **error)
{
  FilesystemQueues *queues = peek_queues (self);
  gint64 due_us;
  char *next;

  if (!filesystem_queues_look (queues, queue, claim->now_us, error))
    return FALSE;
  while (claimed->len < claim->limit &&
         (next = filesystem_queues_take (queues, queue, claim->now_us)) != NULL)
    {
      g_autofree char *entry = next;
      g_autoptr(GError) local_error = NULL;
      StrandRecord *record = claim_entry (self, queue, entry, claim, &local_error);

      if (record != NULL)
        g_ptr_array_add (claimed, record);
      else if (local_error != NULL)
        {
          filesystem_queues_give_back (queues, queue, entry, claim->now_us);
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  due_us = filesystem_queues_next_due (queues, queue, claim->now_us);
  if (due_us > 0 && (*next_due_us == 0 || due_us < *next_due_us))
    *next_due_us = due_us;
  return TRUE;
}

/* What has been claimed before an error is the caller's all the same: it runs under the caller's lease. */
static GPtrArray *
strand_filesystem_store_claim (StrandStore *store, const StrandClaim *claim, gint64 *next_due_us,
                               GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  g_autoptr(GPtrArray) claimed = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  g_autoptr(GError) local_error = NULL;

  if (!filesystem_place_check_writable (&self->place, error) ||
      !filesystem_index_complete (&self->place, error))
    return NULL;

  for (guint i = 0; claim->queues[i] != NULL && local_error == NULL; i++)
    claim_from (self, claim->queues[i], claim, claimed, next_due_us, &local_error);
  if (local_error == NULL || claimed->len > 0)
    return g_steal_pointer (&claimed);
  g_propagate_error (error, g_steal_pointer (&local_error));
  return NULL;
}

static gboolean
check_held (StrandRecord *record, guint64 fence, GError **error)
{
  if (strand_record_get_status (record) == STRAND_STATUS_RUNNING &&
      (guint64) strand_record_get_int (record, STRAND_FIELD_FENCE) == fence)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "it is %s under fence %" G_GINT64_FORMAT ", and this holder had fence %" G_GUINT64_FORMAT,
               strand_status_to_string (strand_record_get_status (record)),
               strand_record_get_int (record, STRAND_FIELD_FENCE), fence);
  return FALSE;
}

/* One read and one write under one lock, where get and put would read twice and might have to begin again. */
static void
renew_one (StrandFilesystemStore *self, StrandRenewal *renewal)
{
  g_auto(FilesystemSeat) seat = { .dir = -1 };
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(StrandRecord) record = NULL;

  filesystem_seat_init (&seat, &self->place, renewal->key);
  if (!filesystem_seat_lock (&seat))
    {
      filesystem_set_read_error (&renewal->error, errno, seat.folder);
      return;
    }
  old = filesystem_seat_read (&seat, &renewal->error);
  if (old == NULL || !check_held (old, renewal->fence, &renewal->error))
    return;

  record = strand_record_copy (old);
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER,
                         strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER) + 1);
  strand_record_set_int (record, STRAND_FIELD_REVISION, (gint64) strand_record_get_revision (old) + 1);
  if (filesystem_seat_replace (&seat, old, record, &renewal->error))
    renewal->cancel_requested = strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) != 0;
}

static gboolean
strand_filesystem_store_renew (StrandStore *store, StrandRenewal *renewals, guint n, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  if (!filesystem_place_check_writable (&self->place, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    renew_one (self, &renewals[i]);
  return TRUE;
}

static gboolean
strand_filesystem_store_append_items (StrandStore *store, const char *key, guint64 fence, guint64 first,
                                      GBytes *const *items, guint n, guint max_items, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  return filesystem_place_check_writable (&self->place, error) &&
         filesystem_make_root (&self->place, error) &&
         filesystem_items_append (self->items, key, fence, first, items, n, max_items, error);
}

static GPtrArray *
strand_filesystem_store_read_items (StrandStore *store, const char *key, guint64 fence, guint64 from,
                                    guint limit, guint64 *first, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  if (!filesystem_place_check (&self->place, error))
    return NULL;
  return filesystem_items_read (self->items, key, fence, from, limit, first, error);
}

static gboolean
strand_filesystem_store_remove_items (StrandStore *store, const char *key, guint64 fence, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  return filesystem_place_check_writable (&self->place, error) &&
         filesystem_items_remove (self->items, key, fence, error);
}

/* --- watching ------------------------------------------------------------------------------------------ */

static void
exchange_watch (StrandFilesystemStore *self, FilesystemWatch **where, FilesystemWatch *watch)
{
  FilesystemWatch *old;

  g_mutex_lock (&self->lock);
  old = *where;
  *where = watch;
  g_mutex_unlock (&self->lock);
  if (old != NULL)
    filesystem_watch_stop (old);
}

/* Calls of this are never two at once. */
static gboolean
strand_filesystem_store_set_watching (StrandStore *store, gboolean watching, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  FilesystemWatch *watch;

  if (!watching && self->watch != NULL)
    filesystem_watch_rest (self->watch);
  if (!watching || (self->watch != NULL && filesystem_watch_resume (self->watch)))
    return TRUE;
  watch = filesystem_place_check (&self->place, error)
              ? filesystem_watch_start (store, &self->place, NULL, error)
              : NULL;
  if (watch != NULL)
    exchange_watch (self, &self->watch, watch);
  return watch != NULL;
}

/* Those who wait were told to look at once when they began to, so what an old watch would have told between
 * the two is not lost: the new one stands before the old one goes. */
static gboolean
strand_filesystem_store_set_watching_queues (StrandStore *store, const char *const *queues, GError **error)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);
  FilesystemWatch *watch = NULL;

  if (queues != NULL && (!filesystem_place_check (&self->place, error) ||
                         (watch = filesystem_watch_start (store, &self->place, queues, error)) == NULL))
    return FALSE;
  exchange_watch (self, &self->queue_watch, watch);
  return TRUE;
}

/* --- plumbing ------------------------------------------------------------------------------------------ */

/* Nothing else is kept open between two methods. */
static void
strand_filesystem_store_close (StrandStore *store)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (store);

  exchange_watch (self, &self->watch, NULL);
  exchange_watch (self, &self->queue_watch, NULL);
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->queues, filesystem_queues_free);
  g_mutex_unlock (&self->lock);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = strand_filesystem_store_get;
  iface->put = strand_filesystem_store_put;
  iface->remove = strand_filesystem_store_remove;
  iface->list = strand_filesystem_store_list;
  iface->set_watching = strand_filesystem_store_set_watching;
  iface->cleanup_expired = strand_filesystem_store_cleanup_expired;
  iface->close = strand_filesystem_store_close;
  iface->claim = strand_filesystem_store_claim;
  iface->renew = strand_filesystem_store_renew;
  iface->set_watching_queues = strand_filesystem_store_set_watching_queues;
  iface->append_items = strand_filesystem_store_append_items;
  iface->read_items = strand_filesystem_store_read_items;
  iface->remove_items = strand_filesystem_store_remove_items;
}

static void
strand_filesystem_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);
  const char *path;

  switch (id)
    {
    case PROP_PATH:
      path = g_value_get_string (value);
      self->place.path = path != NULL && *path != '\0' ? g_canonicalize_filename (path, NULL) : NULL;
      break;
    case PROP_SYNC:
      self->place.sync = g_value_get_enum (value);
      break;
    default:
      strand_store_set_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_filesystem_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);

  switch (id)
    {
    case PROP_PATH:
      g_value_set_string (value, self->place.path);
      break;
    case PROP_SYNC:
      g_value_set_enum (value, self->place.sync);
      break;
    default:
      strand_store_get_common_property (STRAND_STORE (self), value, pspec);
    }
}

static void
strand_filesystem_store_finalize (GObject *object)
{
  StrandFilesystemStore *self = STRAND_FILESYSTEM_STORE (object);

  g_clear_pointer (&self->watch, filesystem_watch_stop);
  g_clear_pointer (&self->queue_watch, filesystem_watch_stop);
  g_clear_pointer (&self->queues, filesystem_queues_free);
  g_clear_pointer (&self->items, filesystem_items_free);
  g_free (self->clean_cursor);
  filesystem_place_clear (&self->place);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (strand_filesystem_store_parent_class)->finalize (object);
}

static void
strand_filesystem_store_class_init (StrandFilesystemStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = strand_filesystem_store_set_property;
  object_class->get_property = strand_filesystem_store_get_property;
  object_class->finalize = strand_filesystem_store_finalize;

  props[PROP_PATH] = g_param_spec_string (
      "path", NULL, "Directory that holds the records; made with mode 0700 when the first one is stored",
      NULL, G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS | STRAND_PARAM_REQUIRED);
  props[PROP_SYNC] = g_param_spec_enum ("sync", NULL,
                                        "What a power cut may cost: with none the latest records, with data "
                                        "only whole writes, with full nothing "
                                        "that was accepted",
                                        STRAND_TYPE_FILESYSTEM_SYNC, SYNC_NONE,
                                        G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
  g_object_class_install_properties (object_class, N_PROPS, props);
  strand_store_override_properties (object_class, FIRST_COMMON_PROP);
}

static void
strand_filesystem_store_init (StrandFilesystemStore *self)
{
  g_mutex_init (&self->lock);
  filesystem_place_init (&self->place);
  self->items = filesystem_items_new (&self->place);
}

STRAND_PLUGIN_DEFINE ("filesystem-store", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_STORE ("filesystem", StrandFilesystemStore,
                                             strand_filesystem_store_get_type,
                                             "Keeps each record in a JSON file of its own"))
