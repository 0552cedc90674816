/* test-reader-lease.c — what a reader does when its store does not answer.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "plain-store.h"

#include <string.h>

/* Long enough that a machine that has other things to do does not make a reader lose it between two lines. */
#define LEASE_US (2 * (gint64) G_USEC_PER_SEC)

/* --- a store that can be made to hang, or to fail ------------------------------------------------------- */

#define SHAKY_TYPE_STORE (shaky_store_get_type ())
G_DECLARE_FINAL_TYPE (ShakyStore, shaky_store, SHAKY, STORE, GObject)

struct _ShakyStore
{
  GObject parent_instance;
  StrandStore *real;

  GMutex lock; /* guards the rest */
  GCond changed;
  gboolean hangs;
  gboolean fails;
  guint n_refused;
};

enum
{
  FIRST_COMMON_PROPERTY = 1
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (ShakyStore, shaky_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static StrandStore *
enter (StrandStore *store, GError **error)
{
  ShakyStore *self = SHAKY_STORE (store);
  gboolean fails;

  g_mutex_lock (&self->lock);
  while (self->hangs)
    g_cond_wait (&self->changed, &self->lock);
  fails = self->fails;
  self->n_refused += fails;
  g_mutex_unlock (&self->lock);
  if (!fails)
    return self->real;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the disk is full");
  return NULL;
}

static void
set_mood (StrandStore *store, gboolean hangs, gboolean fails)
{
  ShakyStore *self = SHAKY_STORE (store);

  g_mutex_lock (&self->lock);
  self->hangs = hangs;
  self->fails = fails;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static guint
count_refused (StrandStore *store)
{
  ShakyStore *self = SHAKY_STORE (store);
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_refused;
  g_mutex_unlock (&self->lock);
  return n;
}

static StrandRecord *
shaky_store_get (StrandStore *store, const char *key, GError **error)
{
  StrandStore *real = enter (store, error);

  return real != NULL ? strand_store_get (real, key, error) : NULL;
}

static gboolean
shaky_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  StrandStore *real = enter (store, error);

  return real != NULL && strand_store_put (real, record, expected, error);
}

static gboolean
shaky_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  StrandStore *real = enter (store, error);

  return real != NULL && strand_store_remove (real, key, expected, error);
}

static StrandPage *
shaky_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                  GError **error)
{
  StrandStore *real = enter (store, error);

  return real != NULL ? strand_store_list (real, filter, cursor, limit, error) : NULL;
}

static void
shaky_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
shaky_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
shaky_store_finalize (GObject *object)
{
  ShakyStore *self = SHAKY_STORE (object);

  g_object_unref (self->real);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (shaky_store_parent_class)->finalize (object);
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = shaky_store_get;
  iface->put = shaky_store_put;
  iface->remove = shaky_store_remove;
  iface->list = shaky_store_list;
}

static void
shaky_store_class_init (ShakyStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = shaky_store_set_property;
  object_class->get_property = shaky_store_get_property;
  object_class->finalize = shaky_store_finalize;
  strand_store_override_properties (object_class, FIRST_COMMON_PROPERTY);
}

static void
shaky_store_init (ShakyStore *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->real = plain_store_new ();
}

/* --- tests ---------------------------------------------------------------------------------------------- */

typedef struct
{
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

static int n_begun, n_stopped; /* runs of the function below; atomic */

/* The first run goes on until it is stopped, the next ends at once. */
static GVariant *
run_until_stopped (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  if (g_atomic_int_add (&n_begun, 1) > 0)
    return g_variant_new_int64 (2);
  while (strand_context_sleep (context, G_USEC_PER_SEC, error))
    ;
  g_atomic_int_inc (&n_stopped);
  return NULL;
}

static GVariant *
run_at_once (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_int_inc (&n_begun);
  gate_pass (fixture_gate ());
  return g_variant_new_int64 (1);
}

/* As if its helper had died. */
static GVariant *
run_into_death (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_int_inc (&n_begun);
  gate_pass (fixture_gate ());
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CRASHED, "It is gone");
  return NULL;
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  const char *const queues[] = { "default", NULL };

  n_begun = n_stopped = 0;
  f->store = g_object_new (SHAKY_TYPE_STORE, "auto-cleanup", FALSE, NULL);
  f->runner = make_runner ("thread", "workers", 2, NULL);
  f->reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner, "queues", queues,
                            "jobs", 2, "lease", LEASE_US, "grace", (gint64) 0, NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  finalize_soon (f->reader);
  close_runner (f->runner);
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  finalize_soon (f->store);
}

/* Leaves a call in the store and starts the reader, which runs it. */
static void
start_call (Fixture *f, const char *function)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(GVariant) nothing = g_variant_ref_sink (g_variant_new ("()"));
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, function);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  g_assert_true (strand_record_set_arguments (record, nothing, NULL, &error));
  g_assert_true (strand_store_put (f->store, record, 0, &error));
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
  wait_until (g_atomic_int_get (&n_begun) == 1);
}

static StrandRecord *
get_record (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (f->store, "job-17", &error);

  g_assert_no_error (error);
  return record;
}

static StrandStatus
get_status (Fixture *f)
{
  g_autoptr(StrandRecord) record = get_record (f);

  return strand_record_get_status (record);
}

static void
stop_reader (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_reader_stop (f->reader, -1, &error));
  g_assert_no_error (error);
}

/* Whoever would take the call over must not find it still running here. */
static void
test_call_is_stopped_while_the_store_hangs (Fixture *f, gconstpointer unused)
{
  start_call (f, "lease.until-stopped");
  set_mood (f->store, TRUE, FALSE);
  wait_until (g_atomic_int_get (&n_stopped) == 1);
  set_mood (f->store, FALSE, FALSE);
  wait_until (get_status (f) == STRAND_STATUS_COMPLETED);
  stop_reader (f);
}

/* Nobody else is there who could take it. */
static void
test_stopped_call_runs_again_here (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;

  start_call (f, "lease.until-stopped");
  set_mood (f->store, FALSE, TRUE);
  wait_until (g_atomic_int_get (&n_stopped) == 1);
  set_mood (f->store, FALSE, FALSE);
  wait_until (get_status (f) == STRAND_STATUS_COMPLETED);
  record = get_record (f);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 2);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);
  stop_reader (f);
}

/* A value is worth keeping though its lease was not renewed, if nobody has taken the call meanwhile. */
static void
test_value_outlives_an_outage (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  guint n_refused;

  start_call (f, "lease.at-once");
  set_mood (f->store, FALSE, TRUE);
  gate_open (fixture_gate ());
  n_refused = count_refused (f->store);
  wait_until (count_refused (f->store) >= n_refused + 10); /* more than a lease of tries */
  set_mood (f->store, FALSE, FALSE);
  wait_until (get_status (f) == STRAND_STATUS_COMPLETED);
  record = get_record (f);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 1);
  stop_reader (f);
}

/* However often it takes to write it down. */
static void
test_last_crash_is_counted_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = NULL;
  guint n_refused;

  g_object_set (f->reader, "max-crashes", 1, NULL);
  start_call (f, "lease.into-death");
  set_mood (f->store, FALSE, TRUE);
  gate_open (fixture_gate ());
  n_refused = count_refused (f->store);
  wait_until (count_refused (f->store) >= n_refused + 10);
  set_mood (f->store, FALSE, FALSE);
  wait_until (get_status (f) == STRAND_STATUS_FAILED);
  record = get_record (f);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 1);
  g_assert_cmpuint (g_variant_n_children (strand_record_get_variant (record, STRAND_FIELD_CAUSES)), ==, 1);
  stop_reader (f);
}

static void
test_stop_does_not_wait_for_the_store (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  start_call (f, "lease.at-once");
  set_mood (f->store, FALSE, TRUE);
  gate_open (fixture_gate ());
  strand_reader_hurry (f->reader);
  g_assert_false (strand_reader_stop (f->reader, -1, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
}

/* --- what the log says ---------------------------------------------------------------------------------- */

static int n_told_of_outage, n_told_of_answer; /* atomic */

static GLogWriterOutput
count_messages (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer unused)
{
  for (gsize i = 0; i < n_fields; i++)
    if (strcmp (fields[i].key, "MESSAGE") == 0)
      {
        const char *message = fields[i].value;

        g_atomic_int_add (&n_told_of_outage,
                          strstr (message, "the disk is full; trying again until") != NULL);
        g_atomic_int_add (&n_told_of_answer, g_str_equal (message, "The store answers again"));
      }
  return g_log_writer_default (level, fields, n_fields, NULL);
}

/* An idle worker claims nothing for long, and one that pauses never does, so it is its own lease that tells.
 */
static void
test_idle_worker_says_that_the_store_is_gone (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  g_atomic_int_set (&n_told_of_outage, 0);
  g_atomic_int_set (&n_told_of_answer, 0);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
  strand_reader_pause (f->reader);
  for (int i = 1; i <= 2; i++)
    {
      set_mood (f->store, FALSE, TRUE);
      wait_until (g_atomic_int_get (&n_told_of_outage) >= i);
      set_mood (f->store, FALSE, FALSE);
      wait_until (g_atomic_int_get (&n_told_of_answer) >= i);
    }
  stop_reader (f);
}

/* However often it is tried, and by however many threads. */
static void
test_outage_is_told_once (Fixture *f, gconstpointer unused)
{
  guint n_refused;

  g_atomic_int_set (&n_told_of_outage, 0);
  g_atomic_int_set (&n_told_of_answer, 0);
  start_call (f, "lease.at-once");
  set_mood (f->store, FALSE, TRUE);
  gate_open (fixture_gate ());
  n_refused = count_refused (f->store);
  wait_until (count_refused (f->store) >= n_refused + 20);
  wait_until (g_atomic_int_get (&n_told_of_outage) > 0);
  g_assert_cmpint (g_atomic_int_get (&n_told_of_outage), ==, 1);
  g_assert_cmpint (g_atomic_int_get (&n_told_of_answer), ==, 0);
  set_mood (f->store, FALSE, FALSE);
  wait_until (get_status (f) == STRAND_STATUS_COMPLETED);
  stop_reader (f);
}

#define ADD(name, function) g_test_add ("/reader-lease/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  StrandRegistry *registry;
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* of an outage one is warned */
  g_log_set_writer_func (count_messages, NULL, NULL);
  registry = strand_registry_get_default ();
  strand_registry_add (registry, "lease.until-stopped", "-> x", NULL, run_until_stopped, NULL, NULL, &error);
  g_assert_no_error (error);
  strand_registry_add (registry, "lease.into-death", "-> x", NULL, run_into_death, NULL, NULL, &error);
  g_assert_no_error (error);
  strand_registry_add (registry, "lease.at-once", "-> x", NULL, run_at_once, NULL, NULL, &error);
  g_assert_no_error (error);
  ADD ("call-is-stopped-while-the-store-hangs", test_call_is_stopped_while_the_store_hangs);
  ADD ("stopped-call-runs-again-here", test_stopped_call_runs_again_here);
  ADD ("value-outlives-an-outage", test_value_outlives_an_outage);
  ADD ("last-crash-is-counted-once", test_last_crash_is_counted_once);
  ADD ("stop-does-not-wait-for-the-store", test_stop_does_not_wait_for_the_store);
  ADD ("idle-worker-says-that-the-store-is-gone", test_idle_worker_says_that_the_store_is_gone);
  ADD ("outage-is-told-once", test_outage_is_told_once);
  return g_test_run ();
}
