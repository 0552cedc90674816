/* test-reader-roster.c — workers that are taken for dead, and come back.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "plain-store.h"

#include <string.h>

#define LEASE_US ((gint64) G_USEC_PER_SEC / 2)

/* Another host's workers. Only the lease tells whether they live, and of the second it lasts ten minutes. */
#define SILENT "reader-500:elsewhere:1:1:1:0"
#define PATIENT "reader-600000:elsewhere:1:1:1:0"

/* --- a store that stands between a reader and the roster ------------------------------------------------ */

/* What the reader is late to see, as if it was stopped when it was about to look. */
typedef enum
{
  LATE_NEVER,
  LATE_FOR_WORKERS,
  LATE_FOR_CALLS
} Late;

#define ROSTER_TYPE_STORE (roster_store_get_type ())
G_DECLARE_FINAL_TYPE (RosterStore, roster_store, ROSTER, STORE, GObject)

struct _RosterStore
{
  GObject parent_instance;
  StrandStore *real;

  /* All atomic. */
  int refuses;       /* no worker's record is written */
  int n_refused;     /* such writes */
  int comes_back;    /* the silent worker renews its record right before it is written off */
  int n_written_off; /* workers */
  int n_swept_early; /* lists of a worker's calls before that */
  int stood_ms;      /* how long the first of what is looked at late had been seen to stand still */

  Late late; /* set before the reader listens */
  gboolean has_looked;
  gint64 seen_us, asked_us; /* the keeper's: when that was seen first, and asked for last */
};

enum
{
  FIRST_COMMON_PROPERTY = 1
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (RosterStore, roster_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static gboolean
is_worker (StrandRecord *record)
{
  return g_strcmp0 (strand_record_get_string (record, STRAND_FIELD_KIND), "worker") == 0;
}

static gboolean
is_written_off (StrandRecord *record)
{
  return is_worker (record) && strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) != 0;
}

static StrandRecord *
roster_store_get (StrandStore *store, const char *key, GError **error)
{
  return strand_store_get (ROSTER_STORE (store)->real, key, error);
}

/* As the worker itself does, on another host. */
static void
renew (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER,
                         strand_record_get_int (record, STRAND_FIELD_LEASE_COUNTER) + 1);
  strand_store_put (store, record, strand_record_get_revision (record), &error);
  g_assert_no_error (error);
}

/* What was looked at late is given up. */
static gboolean
is_given_up (RosterStore *self, StrandRecord *record)
{
  if (self->late == LATE_FOR_WORKERS)
    return is_written_off (record);
  return self->late == LATE_FOR_CALLS && !is_worker (record) &&
         strand_record_get_int (record, STRAND_FIELD_CRASHES) > 0;
}

static gboolean
roster_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  RosterStore *self = ROSTER_STORE (store);
  gboolean done;

  if (is_worker (record) && g_atomic_int_get (&self->refuses))
    {
      g_atomic_int_inc (&self->n_refused);
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
      return FALSE;
    }
  if (is_written_off (record) && g_atomic_int_compare_and_exchange (&self->comes_back, TRUE, FALSE))
    renew (self->real, strand_record_get_key (record));
  if (is_given_up (self, record))
    g_atomic_int_compare_and_exchange (&self->stood_ms, -1, (int) ((self->asked_us - self->seen_us) / 1000));
  done = strand_store_put (self->real, record, expected, error);
  if (done && is_written_off (record))
    g_atomic_int_inc (&self->n_written_off);
  return done;
}

static gboolean
roster_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  return strand_store_remove (ROSTER_STORE (store)->real, key, expected, error);
}

static StrandPage *
look_late (RosterStore *self, const StrandFilter *filter, const char *cursor, guint limit, GError **error)
{
  StrandPage *page;

  self->asked_us = g_get_monotonic_time ();
  if (!self->has_looked)
    g_usleep (2 * LEASE_US); /* this is the fault: no event ends it */
  page = strand_store_list (self->real, filter, cursor, limit, error);
  if (!self->has_looked)
    self->seen_us = g_get_monotonic_time ();
  self->has_looked = TRUE;
  return page;
}

/* The look at all running calls is kept out, so that what is known of workers is all that is known; unless it
 * is what comes late. */
static StrandPage *
roster_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                   GError **error)
{
  RosterStore *self = ROSTER_STORE (store);

  if (filter->lease_owner != NULL && g_atomic_int_get (&self->n_written_off) == 0)
    g_atomic_int_inc (&self->n_swept_early);
  if (filter->lease_owner == NULL && self->late == (filter->kind != NULL ? LATE_FOR_WORKERS : LATE_FOR_CALLS))
    return look_late (self, filter, cursor, limit, error);
  if (filter->statuses == 1 << STRAND_STATUS_RUNNING && filter->lease_owner == NULL)
    return strand_page_new ();
  return strand_store_list (self->real, filter, cursor, limit, error);
}

static void
roster_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
roster_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
roster_store_finalize (GObject *object)
{
  g_object_unref (ROSTER_STORE (object)->real);
  G_OBJECT_CLASS (roster_store_parent_class)->finalize (object);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = roster_store_get;
  iface->put = roster_store_put;
  iface->remove = roster_store_remove;
  iface->list = roster_store_list;
}

static void
roster_store_class_init (RosterStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = roster_store_set_property;
  object_class->get_property = roster_store_get_property;
  object_class->finalize = roster_store_finalize;
  strand_store_override_properties (object_class, FIRST_COMMON_PROPERTY);
}

static void
roster_store_init (RosterStore *self)
{
  self->real = plain_store_new ();
  self->stood_ms = -1;
}

/* --- tests ---------------------------------------------------------------------------------------------- */

typedef struct
{
  RosterStore *store;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->store = g_object_new (ROSTER_TYPE_STORE, "auto-cleanup", FALSE, NULL);
  f->runner = make_runner ("thread", "workers", 2, NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_reader_stop (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  finalize_soon (f->reader);
  close_runner (f->runner);
  strand_store_close (STRAND_STORE (f->store));
  finalize_soon (f->store);
}

static void
listen (Fixture *f)
{
  const char *const queues[] = { "default", NULL };
  g_autoptr(GError) error = NULL;

  f->reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner, "queues", queues,
                            "jobs", 2, "lease", LEASE_US, "grace", (gint64) 0, NULL);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
}

/* @owner: (nullable): of a worker that has claimed it */
static void
put_call (Fixture *f, const char *key, const char *function, const char *owner)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, function);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  if (owner != NULL)
    strand_record_claim (record, owner, strand_clock_now_us ());
  strand_store_put (STRAND_STORE (f->store), record, 0, &error);
  g_assert_no_error (error);
}

static void
put_worker (Fixture *f, const char *owner, gboolean written_off)
{
  g_autoptr(StrandRecord) record = strand_record_new ("strand.worker.elsewhere");
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_KIND, "worker");
  strand_record_set_string (record, STRAND_FIELD_LEASE_OWNER, owner);
  strand_record_set_int (record, STRAND_FIELD_LEASE_COUNTER, 1);
  strand_record_set_int (record, STRAND_FIELD_STATUS, STRAND_STATUS_RUNNING);
  strand_record_set_int (record, STRAND_FIELD_CANCEL_REQUESTED, written_off);
  strand_store_put (f->store->real, record, 0, &error);
  g_assert_no_error (error);
}

static StrandRecord *
get_record (Fixture *f, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (STRAND_STORE (f->store), key, &error);

  g_assert_no_error (error);
  return record;
}

static StrandStatus
status_of (Fixture *f, const char *key)
{
  g_autoptr(StrandRecord) record = get_record (f, key);

  return strand_record_get_status (record);
}

/* The one worker there is; NULL while there is none, or more. */
static StrandRecord *
find_worker (Fixture *f)
{
  const StrandFilter filter = { .kind = "worker" };
  g_autoptr(StrandPage) page = strand_store_list (STRAND_STORE (f->store), &filter, NULL, 10, NULL);
  GPtrArray *records = strand_page_get_records (page);

  return records->len == 1 ? strand_record_ref (g_ptr_array_index (records, 0)) : NULL;
}

static gboolean
is_other_worker (Fixture *f, StrandRecord *old)
{
  g_autoptr(StrandRecord) now = find_worker (f);

  return now != NULL && g_strcmp0 (strand_record_get_string (now, STRAND_FIELD_LEASE_OWNER),
                                   strand_record_get_string (old, STRAND_FIELD_LEASE_OWNER)) != 0;
}

/* Whoever wrote it off takes what runs under the old name, and nothing that is claimed from now on. */
static void
test_who_comes_back_has_another_name (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) old = NULL;
  g_autoptr(StrandRecord) call = NULL;
  Gate *gate = fixture_gate ();

  listen (f);
  old = find_worker (f);
  g_assert_nonnull (old);
  for (;;)
    {
      g_autoptr(StrandRecord) mark = get_record (f, strand_record_get_key (old));

      strand_record_set_int (mark, STRAND_FIELD_CANCEL_REQUESTED, TRUE);
      if (strand_store_put (f->store->real, mark, strand_record_get_revision (mark), NULL))
        break; /* or it was renewed meanwhile */
    }
  strand_store_remove (f->store->real, strand_record_get_key (old), 0, NULL);
  wait_until (is_other_worker (f, old));
  put_call (f, "afterwards", "test.hold", NULL);
  gate_wait_inside (gate, 1);
  call = get_record (f, "afterwards");
  g_assert_cmpstr (strand_record_get_string (call, STRAND_FIELD_LEASE_OWNER), !=,
                   strand_record_get_string (old, STRAND_FIELD_LEASE_OWNER));
  gate_open (gate);
  wait_until (status_of (f, "afterwards") == STRAND_STATUS_COMPLETED);
}

/* Also where the mark alone is there, and whoever made it is gone. */
static void
test_mark_is_enough (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) call = NULL;

  put_worker (f, PATIENT, TRUE);
  put_call (f, "left", "test.nothing", PATIENT);
  listen (f);
  wait_until (status_of (f, "left") == STRAND_STATUS_COMPLETED);
  call = get_record (f, "left");
  g_assert_cmpint (strand_record_get_int (call, STRAND_FIELD_CRASHES), ==, 1);
  g_assert_cmpint (strand_record_get_int (call, STRAND_FIELD_FENCE), ==, 2);
}

static void
test_who_shows_itself_keeps_its_calls (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) call = NULL;

  put_worker (f, SILENT, FALSE);
  put_call (f, "kept", "test.nothing", SILENT);
  g_atomic_int_set (&f->store->comes_back, TRUE);
  listen (f);
  /* It stands still a second time, and then for good. */
  wait_until (status_of (f, "kept") == STRAND_STATUS_COMPLETED);
  g_assert_false (g_atomic_int_get (&f->store->comes_back));
  g_assert_cmpint (g_atomic_int_get (&f->store->n_swept_early), ==, 0);
  call = get_record (f, "kept");
  g_assert_cmpint (strand_record_get_int (call, STRAND_FIELD_CRASHES), ==, 1);
}

/* Others may have taken it for dead by now, and be taking what it holds. */
static void
test_who_cannot_renew_claims_nothing (Fixture *f, gconstpointer unused)
{
  int n_refused;

  listen (f);
  g_atomic_int_set (&f->store->refuses, TRUE);
  wait_until (g_atomic_int_get (&f->store->n_refused) >= 6); /* two leases */
  put_call (f, "waits", "test.nothing", NULL);
  n_refused = g_atomic_int_get (&f->store->n_refused);
  wait_until (g_atomic_int_get (&f->store->n_refused) >= n_refused + 6);
  g_assert_cmpint (status_of (f, "waits"), ==, STRAND_STATUS_PENDING);
  g_atomic_int_set (&f->store->refuses, FALSE);
  wait_until (status_of (f, "waits") == STRAND_STATUS_COMPLETED);
}

/* The first look is long over when it has seen anything: a lease is watched from when it was seen. */
static void
test_who_looks_late_waits_for_a_lease (Fixture *f, gconstpointer late)
{
  f->store->late = (Late) GPOINTER_TO_INT (late);
  if (f->store->late == LATE_FOR_WORKERS)
    put_worker (f, SILENT, FALSE);
  put_call (f, "left", "test.nothing", SILENT);
  listen (f);
  wait_until (status_of (f, "left") == STRAND_STATUS_COMPLETED);
  g_assert_cmpint (g_atomic_int_get (&f->store->stood_ms), >=, LEASE_US / 1000);
}

#define ADD(name, function) g_test_add ("/reader-roster/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* of an outage one is warned */
  fixture_add_functions ();

  ADD ("who-comes-back-has-another-name", test_who_comes_back_has_another_name);
  ADD ("mark-is-enough", test_mark_is_enough);
  ADD ("who-shows-itself-keeps-its-calls", test_who_shows_itself_keeps_its_calls);
  ADD ("who-cannot-renew-claims-nothing", test_who_cannot_renew_claims_nothing);
  g_test_add ("/reader-roster/late/waits-for-a-worker", Fixture, GINT_TO_POINTER (LATE_FOR_WORKERS), set_up,
              test_who_looks_late_waits_for_a_lease, tear_down);
  g_test_add ("/reader-roster/late/waits-for-a-call", Fixture, GINT_TO_POINTER (LATE_FOR_CALLS), set_up,
              test_who_looks_late_waits_for_a_lease, tear_down);
  return g_test_run ();
}
