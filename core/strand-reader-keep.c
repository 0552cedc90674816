/* strand-reader-keep.c — the thread of a reader that keeps its leases and looks after those of others.
 *
 * It depends on nothing that calls do, so a function that spins or blocks every other thread loses nothing.
 * Each worker has a record of its own beside those of its calls, with a lease like theirs: a few records tell
 * of every worker there is. A worker on this host is watched through its process, one elsewhere by its
 * counter; when it is dead, its calls are given back at once. Once a lease all running calls are looked at
 * too, because a worker's own record may be gone.
 *
 * One that stood still and was taken for dead may come back. That it is dead is therefore written into its
 * record first, which fails if it has renewed it meanwhile; and who finds that of himself goes on under a new
 * name. So whatever is claimed under a name that was written off was claimed before that.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-reader-private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-flow-private.h"
#include "strand-lease-private.h"
#include "strand-log.h"
#include "strand-payload.h"
#include "strand-unique.h"

#define PAGE_SIZE 256

/* How old a call must be to be worth watching: what ends sooner pays nothing for it. Who cancels a call
 * sooner has this long to wait. */
#define WATCH_AGE_US (20 * 1000)

/* How long a call that was claimed ahead waits for one that was started before it. */
#define STUCK_AGE_US (100 * 1000)

/* How often a lease is renewed while it lasts, and how soon again at the latest where that has failed. */
#define RENEWALS_PER_LEASE 3
#define RENEW_AGAIN_US G_USEC_PER_SEC

/* The owner's text carries the length of its lease, for observers with another setting. */
#define OWNER_KIND_FORMAT "reader-%" G_GINT64_FORMAT

/* What was seen of somebody else's lease. */
typedef struct
{
  gint64 fence;
  gint64 counter;
  gint64 since_us; /* monotonic: since when both stand still */
  guint round;     /* seen last in this listing */
} Sighting;

typedef struct
{
  StrandReader *reader;
  gint64 renew_us; /* when leases are renewed next */
  gint64 sweep_us; /* when all running calls are looked at next */
  gboolean roster; /* a worker has come or gone; atomic */
  guint round;
  GHashTable *calls;   /* of Sighting, by key */
  GHashTable *workers; /* of Sighting, by key */
  GHashTable *fds;     /* owner → descriptor of its process */
} Keeper;

void
reader_wake_keeper (StrandReader *self)
{
  guint64 one = 1;

  if (self->wake_fd >= 0 && write (self->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
    g_warning ("Could not wake a reader's keeper: %s", g_strerror (errno));
}

/* --- our own leases ------------------------------------------------------------------------------------- */

static GPtrArray *
dup_calls (StrandReader *self, gint64 older_than_us)
{
  GPtrArray *calls = g_ptr_array_new_with_free_func (reader_call_unref);

  g_mutex_lock (&self->lock);
  for (GList *l = self->all.head; l != NULL; l = l->next)
    {
      ReaderCall *call = l->data;

      if (!call->lost && call->claimed_us <= older_than_us)
        g_ptr_array_add (calls, reader_call_ref (call));
    }
  g_mutex_unlock (&self->lock);
  return calls;
}

static void
note_renewal (ReaderCall *call, StrandRenewal *renewal, gint64 asked_us)
{
  if (renewal->error == NULL)
    {
      g_mutex_lock (&call->reader->lock);
      call->renewed_us = asked_us;
      g_mutex_unlock (&call->reader->lock);
      if (renewal->cancel_requested && call->attempt != NULL)
        strand_call_cancel (call->attempt);
      return;
    }
  /* A call that was settled in the meantime is stale as well, and not lost. */
  if (g_error_matches (renewal->error, STRAND_ERROR, STRAND_ERROR_STALE) ||
      g_error_matches (renewal->error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      gboolean here;

      g_mutex_lock (&call->reader->lock);
      here = !call->gone && (call->todo & READER_TODO_ENDED) == 0;
      g_mutex_unlock (&call->reader->lock);
      if (here)
        reader_call_lose (call, renewal->error->message);
    }
  g_clear_error (&renewal->error);
}

/* Renews what has run for a while; what ends sooner never needs it. */
static void
renew_calls (StrandReader *self, gint64 now_us)
{
  g_autoptr(GPtrArray) calls = dup_calls (self, now_us - self->lease_us / RENEWALS_PER_LEASE / 2);
  g_autofree StrandRenewal *renewals = g_new0 (StrandRenewal, MAX (calls->len, 1));
  g_autoptr(GError) error = NULL;

  if (calls->len == 0)
    return;
  for (guint i = 0; i < calls->len; i++)
    {
      ReaderCall *call = g_ptr_array_index (calls, i);

      renewals[i].key = strand_record_get_key (call->claimed);
      renewals[i].fence = call->fence;
    }
  if (!strand_store_renew (self->store, renewals, calls->len, &error))
    {
      strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
      return;
    }
  for (guint i = 0; i < calls->len; i++)
    note_renewal (g_ptr_array_index (calls, i), &renewals[i], now_us);
}

/* --- calls that run for a while ------------------------------------------------------------------------- */

static void
look_for_cancellation (ReaderCall *call)
{
  g_autoptr(StrandRecord) record =
      strand_store_get (call->reader->store, strand_record_get_key (call->claimed), NULL);

  if (record != NULL && strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) &&
      (guint64) strand_record_get_int (record, STRAND_FIELD_FENCE) == call->fence)
    strand_call_cancel (call->attempt);
}

static void
on_record_changed (StrandStore *store, const char *key, gpointer data)
{
  g_mutex_lock (&((ReaderCall *) data)->reader->lock);
  ((ReaderCall *) data)->changed = TRUE;
  g_mutex_unlock (&((ReaderCall *) data)->reader->lock);
  reader_wake_keeper (((ReaderCall *) data)->reader);
}

/* Has a cancellation by somebody else noticed at once. */
static void
watch_call (ReaderCall *call)
{
  StrandReader *self = call->reader;
  guint id = strand_store_watch (self->store, strand_record_get_key (call->claimed), on_record_changed,
                                 reader_call_ref (call), reader_call_unref);
  gboolean over;

  g_mutex_lock (&self->lock);
  over = call->gone;
  if (!over)
    call->watch = id;
  g_mutex_unlock (&self->lock);
  if (over)
    strand_store_unwatch (self->store, id);
  else
    look_for_cancellation (call); /* it may have changed before the watch stood */
}

static gboolean
needs_watch_locked (ReaderCall *call)
{
  return call->watch == 0 && call->attempt != NULL;
}

/* Behind a long call, unless it comes to run yet. */
static gboolean
may_be_stuck_locked (ReaderCall *call)
{
  StrandReader *self = call->reader;

  return !call->started && !call->give_back && self->all.length > self->jobs &&
         (call->todo & READER_TODO_ENDED) == 0;
}

/* When a call that was claimed then has this age; what should have happened at that age is tried again. */
static gint64
next_time (gint64 claimed_us, gint64 age_us, gint64 now_us)
{
  return claimed_us + age_us > now_us ? claimed_us + age_us : now_us + age_us;
}

/* When there is a call to look at; G_MAXINT64 if news alone tells of them. Then the keeper is woken when
 * there is a new one. */
static gint64
find_next_look (StrandReader *self, gint64 now_us)
{
  gint64 next_us = G_MAXINT64;

  g_mutex_lock (&self->lock);
  for (GList *l = self->all.head; l != NULL; l = l->next)
    {
      ReaderCall *call = l->data;

      if (call->lost)
        continue;
      if (needs_watch_locked (call))
        next_us = MIN (next_us, next_time (call->claimed_us, WATCH_AGE_US, now_us));
      if (may_be_stuck_locked (call))
        next_us = MIN (next_us, next_time (call->claimed_us, STUCK_AGE_US, now_us));
    }
  self->keeper_dozes = next_us == G_MAXINT64;
  g_mutex_unlock (&self->lock);
  return next_us;
}

/* Looks at the calls that are old enough; when to do so again. */
static gint64
look_at_calls (StrandReader *self, gint64 now_us)
{
  g_autoptr(GPtrArray) calls = dup_calls (self, now_us - WATCH_AGE_US);

  for (guint i = 0; i < calls->len; i++)
    {
      ReaderCall *call = g_ptr_array_index (calls, i);
      gboolean stuck, unwatched, changed;

      g_mutex_lock (&self->lock);
      stuck = may_be_stuck_locked (call) && !call->walking && call->claimed_us <= now_us - STUCK_AGE_US;
      unwatched = needs_watch_locked (call);
      changed = call->changed;
      call->changed = FALSE;
      g_mutex_unlock (&self->lock);
      if (stuck)
        reader_call_return (call);
      else if (unwatched)
        watch_call (call);
      else if (changed)
        look_for_cancellation (call);
    }
  return find_next_look (self, now_us);
}

/* --- the leases of others ------------------------------------------------------------------------------- */

/* How long a lease of this owner lasts; -1 if it is no reader's. */
static gint64
lease_of (const char *owner)
{
  gint64 lease_ms;

  if (owner == NULL || sscanf (owner, OWNER_KIND_FORMAT ":", &lease_ms) != 1)
    return -1;
  return lease_ms * 1000;
}

/* A page of records, and between which times it was read: this observer may stand still itself. */
typedef struct
{
  gint64 asked_us, seen_us;
} Look;

static StrandPage *
read_page (StrandReader *self, const StrandFilter *filter, const char *cursor, Look *look, GError **error)
{
  StrandPage *page;

  look->asked_us = g_get_monotonic_time ();
  page = strand_store_list (self->store, filter, cursor, PAGE_SIZE, error);
  look->seen_us = g_get_monotonic_time ();
  return page;
}

/* Whether a record's lease has stood still for as long as it lasts, as far as this observer has seen: from
 * when it was certainly read first until it was certainly not yet read again. */
static gboolean
stands_still (GHashTable *sightings, StrandRecord *record, guint round, const Look *look)
{
  gint64 lease_us = lease_of (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  gint64 fence = strand_record_get_int (record, STRAND_FIELD_FENCE);
  gint64 counter = strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER);
  Sighting *sighting = g_hash_table_lookup (sightings, strand_record_get_key (record));

  if (sighting == NULL)
    {
      sighting = g_new0 (Sighting, 1);
      sighting->fence = -1;
      g_hash_table_insert (sightings, g_strdup (strand_record_get_key (record)), sighting);
    }
  sighting->round = round;
  if (sighting->fence != fence || sighting->counter != counter)
    {
      sighting->fence = fence;
      sighting->counter = counter;
      sighting->since_us = look->seen_us;
    }
  return lease_us >= 0 && look->asked_us - sighting->since_us > lease_us;
}

static gboolean
is_of_old_round (gpointer key, gpointer sighting, gpointer round)
{
  return ((Sighting *) sighting)->round != GPOINTER_TO_UINT (round);
}

/* Gives back a call whose worker is dead, or ends it if that has happened too often. */
static void
recover (StrandReader *self, StrandRecord *record, const char *why)
{
  g_autoptr(StrandRecord) changed = strand_record_copy (record);
  g_autoptr(GError) cause = NULL;
  g_autoptr(GError) error = NULL;
  gint64 crashes = strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1;
  const char *worker = strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER);

  strand_record_set_int (changed, STRAND_FIELD_CRASHES, crashes);
  if (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED))
    {
      cause =
          g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED, "The call was cancelled, and its worker %s", why);
      strand_record_add_cause (changed, worker, cause);
      strand_record_end (changed, STRAND_STATUS_CANCELLED, strand_clock_now_us ());
    }
  else if (crashes >= self->max_crashes)
    {
      cause =
          g_error_new (STRAND_ERROR, STRAND_ERROR_DEAD,
                       "What ran the call died %" G_GINT64_FORMAT " times, which is the limit: its worker %s",
                       crashes, why);
      strand_record_add_cause (changed, worker, cause);
      strand_record_end (changed, STRAND_STATUS_FAILED, strand_clock_now_us ());
    }
  else
    {
      cause = g_error_new (STRAND_ERROR, STRAND_ERROR_LOST, "The worker %s", why);
      strand_record_add_cause (changed, worker, cause);
      strand_record_give_back (changed);
    }
  if (strand_store_put (self->store, changed, strand_record_get_revision (record), &error))
    {
      g_message ("Call '%s' was recovered: its worker %s", strand_record_get_key (record), why);
      strand_flow_member_ended (self->store, changed);
    }
  else if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE))
    strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
}

/* Looks at calls that run: those of @owner, who is dead; or, without one, all of them. */
static void
sweep (Keeper *keeper, const char *owner, const char *why)
{
  StrandReader *self = keeper->reader;
  const StrandFilter filter = { .statuses = 1 << STRAND_STATUS_RUNNING, .lease_owner = owner };
  g_autofree char *cursor = NULL;
  guint round = ++keeper->round;

  do
    {
      Look look;
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = read_page (self, &filter, cursor, &look, &error);
      GPtrArray *records = page != NULL ? strand_page_get_records (page) : NULL;

      if (page == NULL)
        {
          strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
          return;
        }
      for (guint i = 0; i < records->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (records, i);
          const char *holder = strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER);

          if (owner != NULL)
            recover (self, record, why);
          else if (lease_of (holder) < 0 || strcmp (holder, self->owner) == 0)
            continue;
          else if (strand_lease_owner_probe (holder) == STRAND_OWNER_STATE_DEAD)
            recover (self, record, "ended without finishing it");
          else if (stands_still (keeper->calls, record, round, &look))
            recover (self, record, "did not renew its lease");
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  if (owner == NULL)
    g_hash_table_foreach_remove (keeper->calls, is_of_old_round, GUINT_TO_POINTER (round));
}

static gboolean
is_written_off (StrandRecord *worker)
{
  return strand_record_get_int (worker, STRAND_FIELD_CANCEL_REQUESTED) != 0;
}

/* Makes known that a worker is dead. FALSE if it has shown itself since @worker was read. */
static gboolean
write_off (StrandReader *self, StrandRecord *worker)
{
  g_autoptr(StrandRecord) marked = strand_record_copy (worker);
  g_autoptr(GError) error = NULL;

  if (is_written_off (worker))
    return TRUE;
  strand_record_set_int (marked, STRAND_FIELD_CANCEL_REQUESTED, TRUE);
  if (strand_store_put (self->store, marked, strand_record_get_revision (worker), &error))
    return TRUE;
  strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
  return FALSE;
}

/* A worker that is dead: its calls are given back, then its own record goes. Whoever dies over this leaves
 * the rest to others. */
static void
bury (Keeper *keeper, StrandRecord *worker, const char *why)
{
  g_autofree char *owner = g_strdup (strand_record_get_string (worker, STRAND_FIELD_LEASE_OWNER));

  if (!write_off (keeper->reader, worker))
    return;
  sweep (keeper, owner, why);
  strand_store_remove (keeper->reader->store, strand_record_get_key (worker), 0, NULL);
}

static void
watch_worker (Keeper *keeper, const char *owner)
{
  int fd;

  if (g_hash_table_contains (keeper->fds, owner))
    return;
  fd = strand_lease_owner_open (owner);
  if (fd >= 0)
    g_hash_table_insert (keeper->fds, g_strdup (owner), GINT_TO_POINTER (fd));
}

/* Looks at the workers there are. */
static void
call_roll (Keeper *keeper)
{
  StrandReader *self = keeper->reader;
  const StrandFilter filter = { .kind = READER_KIND };
  g_autofree char *cursor = NULL;
  guint round = ++keeper->round;

  do
    {
      Look look;
      g_autoptr(StrandPage) page = read_page (self, &filter, cursor, &look, NULL);
      GPtrArray *records = page != NULL ? strand_page_get_records (page) : NULL;

      if (page == NULL)
        return;
      for (guint i = 0; i < records->len; i++)
        {
          StrandRecord *record = g_ptr_array_index (records, i);
          const char *owner = strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER);

          if (owner == NULL || strcmp (owner, self->owner) == 0)
            continue;
          if (strand_lease_owner_probe (owner) == STRAND_OWNER_STATE_DEAD)
            bury (keeper, record, "ended without finishing it");
          else if (is_written_off (record) || stands_still (keeper->workers, record, round, &look))
            bury (keeper, record, "did not renew its lease");
          else
            watch_worker (keeper, owner);
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  g_hash_table_foreach_remove (keeper->workers, is_of_old_round, GUINT_TO_POINTER (round));
}

/* --- our own record ------------------------------------------------------------------------------------- */

static void
raise_counter (StrandRecord *record, gpointer unused)
{
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER,
                         strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER) + 1);
}

static StrandRecord *
new_worker_record (StrandReader *self, const char *key, const char *owner)
{
  StrandRecord *record = strand_record_new (key);
  g_autofree char *queues = g_strjoinv (";", self->queues);

  strand_record_set_string (record, STRAND_FIELD_KIND, READER_KIND);
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, owner);
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 1);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  strand_record_set_variant (
      record, STRAND_FIELD_METADATA,
      g_variant_new_parsed ("@a{sv} {'host': <%s>, 'pid': <%x>, 'queues': <%s>, 'jobs': <%u>}",
                            g_get_host_name (), (gint64) getpid (), queues, self->jobs));
  return record;
}

/* Tells the other workers that one has come. */
static void
ring_roster (StrandReader *self)
{
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) roster = strand_store_get (self->store, READER_ROSTER, NULL);
      guint64 revision = roster != NULL ? strand_record_get_revision (roster) : 0;

      if (roster == NULL)
        {
          roster = strand_record_new (READER_ROSTER);
          strand_record_set_string (roster, STRAND_FIELD_KIND, "roster");
        }
      if (strand_store_put (self->store, roster, revision, &error) ||
          !(g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
            g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS)))
        return;
    }
}

/* The claimer may go on: nobody has taken us for dead, as of @asked_us. @owner: (nullable): our name from now
 * on
 */
static void
note_enlisted (StrandReader *self, const char *owner, gint64 asked_us)
{
  g_mutex_lock (&self->lock);
  if (owner != NULL)
    {
      g_free (self->owner);
      self->owner = g_strdup (owner);
    }
  self->enlisted_us = asked_us;
  self->renew_soon = FALSE;
  g_cond_signal (&self->claimer_wakes);
  g_mutex_unlock (&self->lock);
}

/* A new name, and a record that makes it known. */
static gboolean
enlist (StrandReader *self, gint64 asked_us, GError **error)
{
  g_autofree char *kind = g_strdup_printf (OWNER_KIND_FORMAT, self->lease_us / 1000);
  g_autofree char *owner = strand_lease_owner_self (kind);
  g_autofree char *id = strand_key_new ();
  g_autofree char *key = g_strconcat ("strand.worker.", id, NULL);
  g_autoptr(StrandRecord) record = new_worker_record (self, key, owner);

  if (!strand_store_put (self->store, record, 0, error))
    return FALSE;
  g_free (self->worker_key);
  self->worker_key = g_steal_pointer (&key);
  note_enlisted (self, owner, asked_us);
  ring_roster (self);
  return TRUE;
}

/* Writes our own record, which also shows whether the store can be used at all. */
gboolean
reader_enlist (StrandReader *self, GError **error)
{
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->wake_fd < 0)
    {
      g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "Could not start a reader: %s",
                   g_strerror (errno));
      return FALSE;
    }
  if (enlist (self, g_get_monotonic_time (), error))
    return TRUE;
  g_prefix_error (error, "Could not start a reader: ");
  return FALSE;
}

void
reader_delist (StrandReader *self)
{
  g_autoptr(GError) error = NULL;

  if (!strand_store_remove (self->store, self->worker_key, 0, &error))
    strand_debug (STRAND_TOPIC_BACKEND, "%s", error->message);
}

static gboolean
is_gone (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

/* A worker that others believed dead, because it stood still, enlists again. FALSE if the store does not
 * answer. */
static gboolean
renew_worker (StrandReader *self, gint64 asked_us)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (self->store, self->worker_key, &error);
  g_autoptr(StrandRecord) written = NULL;

  if (record != NULL)
    written = strand_store_change (self->store, record, raise_counter, NULL, &error);
  if (written != NULL && !is_written_off (written))
    {
      note_enlisted (self, NULL, asked_us);
      return TRUE;
    }
  if (written == NULL && !is_gone (error))
    {
      reader_note_outage (self, error);
      return FALSE;
    }
  if (written != NULL)
    g_message ("This worker stood still and was taken for dead; it goes on");
  else
    g_message (
        "The record of this worker is gone: others took it for dead, or the store has lost it; it goes on");
  g_clear_error (&error);
  if (enlist (self, asked_us, &error))
    return TRUE;
  reader_note_outage (self, error);
  return FALSE;
}

/* --- the thread ----------------------------------------------------------------------------------------- */

static void
on_roster_changed (StrandStore *store, const char *key, gpointer data)
{
  Keeper *keeper = data;

  g_atomic_int_set (&keeper->roster, TRUE);
  reader_wake_keeper (keeper->reader);
}

/* Waits for news, for the end of a worker on this host, or for time. */
static void
wait_for_news (Keeper *keeper, gint64 until_us)
{
  guint n = g_hash_table_size (keeper->fds);
  g_autofree struct pollfd *polled = g_new0 (struct pollfd, n + 1);
  g_autofree const char **owners = g_new0 (const char *, n + 1);
  gint64 wait_ms = MAX ((until_us - g_get_monotonic_time () + 999) / 1000, 0);
  GHashTableIter iter;
  gpointer owner, fd;
  guint64 drained;
  guint i = 0;

  polled[i++] = (struct pollfd){ .fd = keeper->reader->wake_fd, .events = POLLIN };
  g_hash_table_iter_init (&iter, keeper->fds);
  while (g_hash_table_iter_next (&iter, &owner, &fd))
    {
      owners[i] = owner;
      polled[i++] = (struct pollfd){ .fd = GPOINTER_TO_INT (fd), .events = POLLIN };
    }
  if (poll (polled, i, (int) MIN (wait_ms, G_MAXINT)) <= 0)
    return;
  if (polled[0].revents != 0 && read (keeper->reader->wake_fd, &drained, sizeof drained) < 0)
    strand_debug (STRAND_TOPIC_BACKEND, "a reader was woken twice");
  while (--i > 0)
    if (polled[i].revents != 0)
      {
        close (polled[i].fd);
        g_hash_table_remove (keeper->fds, owners[i]);
        keeper->roster = TRUE;
      }
}

static gboolean
is_over (StrandReader *self)
{
  gboolean over;

  g_mutex_lock (&self->lock);
  over = self->over;
  g_mutex_unlock (&self->lock);
  return over;
}

static gboolean
is_asked_to_renew (StrandReader *self)
{
  gboolean asked;

  g_mutex_lock (&self->lock);
  asked = self->renew_soon;
  self->renew_soon = FALSE;
  g_mutex_unlock (&self->lock);
  return asked;
}

static void
keep (Keeper *keeper)
{
  StrandReader *self = keeper->reader;
  gint64 interval_us = self->lease_us / RENEWALS_PER_LEASE;

  while (!is_over (self))
    {
      gint64 now_us = g_get_monotonic_time ();
      gint64 look_us = look_at_calls (self, now_us);

      if (is_asked_to_renew (self) || now_us >= keeper->renew_us)
        {
          gboolean renewed;

          keeper->roster = TRUE;
          renew_calls (self, now_us);
          renewed = renew_worker (self, now_us);
          if (renewed)
            reader_note_answer (self);
          keeper->renew_us = now_us + (renewed ? interval_us : MIN (interval_us, RENEW_AGAIN_US));
        }
      if (g_atomic_int_exchange (&keeper->roster, FALSE))
        call_roll (keeper);
      if (now_us >= keeper->sweep_us)
        {
          keeper->sweep_us = now_us + self->lease_us;
          sweep (keeper, NULL, NULL);
          strand_store_finish_unique (self->store, NULL);
          strand_store_finish_flows (self->store, NULL);
        }
      wait_for_news (keeper, MIN (look_us, keeper->renew_us));
    }
}

gpointer
reader_keep (gpointer data)
{
  Keeper keeper = { .reader = data, .roster = TRUE };
  GHashTableIter iter;
  gpointer fd;
  guint watch;

  keeper.calls = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  keeper.workers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  keeper.fds = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  watch = strand_store_watch (keeper.reader->store, READER_ROSTER, on_roster_changed, &keeper, NULL);
  keep (&keeper);
  strand_store_unwatch (keeper.reader->store, watch);

  g_hash_table_iter_init (&iter, keeper.fds);
  while (g_hash_table_iter_next (&iter, NULL, &fd))
    close (GPOINTER_TO_INT (fd));
  g_hash_table_unref (keeper.fds);
  g_hash_table_unref (keeper.workers);
  g_hash_table_unref (keeper.calls);
  return NULL;
}
