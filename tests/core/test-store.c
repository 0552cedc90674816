/* test-store.c — the border guard: what strand_store_*() does for a store, whatever the store does.
 *
 * What every store must do itself is tried by the contract in tests/plugins. The store here can be told to
 * misbehave, to stand still, and to change behind everybody's back.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <strand-plugin.h>

#include "waiting.h"

#include <string.h>

#define NOW_US G_GINT64_CONSTANT (1700000000000000)

#define TEST_TYPE_STORE (test_store_get_type ())
G_DECLARE_FINAL_TYPE (TestStore, test_store, TEST, STORE, GObject)

struct _TestStore
{
  GObject parent_instance;

  GMutex lock;
  GCond changed;
  GHashTable *records; /* key → StrandRecord */

  gboolean is_silent;    /* fails without an error */
  gboolean is_mixed_up;  /* gives another record than was asked for */
  gboolean holds_get;    /* get waits */
  gboolean holds_clean;  /* cleanup waits */
  gint64 clean_takes_us; /* cleanup advances the clock */

  guint n_inside_get;
  guint n_cleanups;
  guint n_lists;
  guint n_closed;
};

static void store_init (StrandStoreInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestStore, test_store, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, store_init))

static void
wait_while_locked (TestStore *self, const gboolean *held)
{
  while (*held)
    g_cond_wait (&self->changed, &self->lock);
}

static StrandRecord *
test_store_get (StrandStore *store, const char *key, GError **error)
{
  TestStore *self = TEST_STORE (store);
  StrandRecord *record;
  StrandRecord *copy = NULL;

  g_mutex_lock (&self->lock);
  self->n_inside_get++;
  g_cond_broadcast (&self->changed);
  wait_while_locked (self, &self->holds_get);
  self->n_inside_get--;
  record = g_hash_table_lookup (self->records, self->is_mixed_up ? "other" : key);
  if (record != NULL)
    copy = strand_record_copy (record);
  g_mutex_unlock (&self->lock);

  if (copy == NULL && !self->is_silent)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  return copy;
}

static void
place (TestStore *self, StrandRecord *record, guint64 revision)
{
  StrandRecord *copy = strand_record_copy (record);

  strand_record_set_int (copy, STRAND_FIELD_REVISION, revision);
  g_mutex_lock (&self->lock);
  g_hash_table_replace (self->records, g_strdup (strand_record_get_key (copy)), copy);
  g_mutex_unlock (&self->lock);
}

static gboolean
test_store_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  TestStore *self = TEST_STORE (store);

  if (self->is_silent)
    return FALSE;
  g_assert_cmpuint (strand_record_get_revision (record), ==, expected + 1);
  place (self, record, expected + 1);
  return TRUE;
}

static gboolean
test_store_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  TestStore *self = TEST_STORE (store);
  gboolean done;

  g_mutex_lock (&self->lock);
  done = g_hash_table_remove (self->records, key);
  g_mutex_unlock (&self->lock);

  if (!done && !self->is_silent)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND, "no record has this key");
  return done;
}

static StrandPage *
test_store_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit,
                 GError **error)
{
  TestStore *self = TEST_STORE (store);
  StrandPage *page = self->is_silent ? NULL : strand_page_new ();
  GHashTableIter iter;
  gpointer record;

  g_mutex_lock (&self->lock);
  self->n_lists++;
  g_hash_table_iter_init (&iter, self->records);
  while (page != NULL && g_hash_table_iter_next (&iter, NULL, &record))
    if (strand_filter_matches (filter, record))
      strand_page_add (page, record);
  g_mutex_unlock (&self->lock);
  return page;
}

static gint64
test_store_cleanup_expired (StrandStore *store, gint64 now_us, gint64 budget_us, GError **error)
{
  TestStore *self = TEST_STORE (store);

  g_mutex_lock (&self->lock);
  self->n_cleanups++;
  g_cond_broadcast (&self->changed);
  wait_while_locked (self, &self->holds_clean);
  g_mutex_unlock (&self->lock);
  if (self->clean_takes_us > 0)
    strand_clock_advance (self->clean_takes_us);
  return 0;
}

static void
test_store_close (StrandStore *store)
{
  TestStore *self = TEST_STORE (store);

  g_assert_cmpuint (self->n_inside_get, ==, 0);
  self->n_closed++;
}

static void
store_init (StrandStoreInterface *iface)
{
  iface->get = test_store_get;
  iface->put = test_store_put;
  iface->remove = test_store_remove;
  iface->list = test_store_list;
  iface->cleanup_expired = test_store_cleanup_expired;
  iface->close = test_store_close;
}

static void
test_store_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
test_store_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
test_store_finalize (GObject *object)
{
  TestStore *self = TEST_STORE (object);

  g_hash_table_unref (self->records);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);

  G_OBJECT_CLASS (test_store_parent_class)->finalize (object);
}

static void
test_store_class_init (TestStoreClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->set_property = test_store_set_property;
  object_class->get_property = test_store_get_property;
  object_class->finalize = test_store_finalize;
  strand_store_override_properties (object_class, 1);
}

static void
test_store_init (TestStore *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->records =
      g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) strand_record_unref);
}

typedef struct
{
  TestStore *fake;
  StrandStore *store; /* the same object */
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->fake = g_object_new (TEST_TYPE_STORE, "auto-cleanup", FALSE, NULL);
  f->store = STRAND_STORE (f->fake);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  g_object_unref (f->store);
}

static void
put (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static void
get_and_drop (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  g_assert_nonnull (record);
}

static void
await_count (TestStore *self, const guint *count, guint wanted)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&self->lock);
  while (*count < wanted)
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      g_error ("waited for %u and it is %u", wanted, *count);
  g_mutex_unlock (&self->lock);
}

static void
let_go (TestStore *self, gboolean *held)
{
  g_mutex_lock (&self->lock);
  *held = FALSE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

/* --- errors -------------------------------------------------------------------------------------------- */

static void
test_silent_failure_gets_an_error (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(StrandPage) page = NULL;
  GError *errors[4] = { NULL };

  f->fake->is_silent = TRUE;
  read = strand_store_get (f->store, "job-17", &errors[0]);
  g_assert_false (strand_store_put (f->store, record, 0, &errors[1]));
  g_assert_false (strand_store_remove (f->store, "job-17", 0, &errors[2]));
  page = strand_store_list (f->store, NULL, NULL, 1, &errors[3]);
  for (guint i = 0; i < G_N_ELEMENTS (errors); i++)
    {
      g_assert_error (errors[i], STRAND_ERROR, STRAND_ERROR_FAILED);
      g_assert_nonnull (strstr (errors[i]->message, "TestStore"));
      g_clear_error (&errors[i]);
    }
}

static void
test_record_of_another_key_is_corrupt (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  put (f->store, "other");
  f->fake->is_mixed_up = TRUE;
  read = strand_store_get (f->store, "job-17", &error);
  g_assert_null (read);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "'other'"));
}

static void
test_failed_put_leaves_the_revision (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");

  g_assert_true (strand_store_put (f->store, record, 6, NULL));
  g_assert_cmpuint (strand_record_get_revision (record), ==, 7);
  f->fake->is_silent = TRUE;
  g_assert_false (strand_store_put (f->store, record, 2, NULL));
  g_assert_cmpuint (strand_record_get_revision (record), ==, 7);
}

static void
test_properties_have_the_documented_defaults (void)
{
  g_autoptr(TestStore) store = g_object_new (TEST_TYPE_STORE, NULL);
  gint64 ttl, size;
  gboolean automatic;
  double probability;

  g_object_get (store, "ttl", &ttl, "auto-cleanup", &automatic, "cleanup-probability", &probability,
                "max-record-size", &size, NULL);
  g_assert_cmpint (ttl, ==, -1);
  g_assert_true (automatic);
  g_assert_cmpfloat (probability, ==, 0.1);
  g_assert_cmpint (size, ==, 64 * 1024 * 1024);
  g_assert_true (g_object_class_find_property (G_OBJECT_GET_CLASS (store), "ttl")->flags &
                 STRAND_PARAM_DURATION);
}

static void
test_copied_filter_is_its_own (void)
{
  char queue[] = "mail";
  StrandFilter filter = { .queue = queue, .statuses = 3 };
  StrandFilter *copy = strand_filter_copy (&filter);

  queue[0] = 'x';
  g_assert_cmpstr (copy->queue, ==, "mail");
  g_assert_cmpuint (copy->statuses, ==, 3);
  g_assert_null (copy->kind);
  strand_filter_free (copy);
  g_assert_null (strand_filter_copy (NULL));
}

/* --- cleanup ------------------------------------------------------------------------------------------- */

static void
clean_always (Fixture *f)
{
  g_object_set (f->store, "auto-cleanup", TRUE, "cleanup-probability", 1.0, NULL);
}

static void
test_cleanup_does_not_start_a_cleanup (Fixture *f, gconstpointer unused)
{
  StrandStoreInterface *methods = STRAND_STORE_GET_IFACE (f->store);
  gint64 (*own) (StrandStore *, gint64, gint64, GError **) = methods->cleanup_expired;
  g_autoptr(StrandRecord) old = strand_record_new ("old");

  strand_clock_set_manual (NOW_US);
  put (f->store, "job-17");
  strand_record_set_int (old, STRAND_FIELD_STATUS, STRAND_STATUS_FAILED);
  strand_record_set_int (old, STRAND_FIELD_COMPLETED, NOW_US);
  strand_record_set_int (old, STRAND_FIELD_TTL, 1);
  place (f->fake, old, 1);
  strand_clock_advance (1);
  clean_always (f);

  /* The default, which lists and removes. */
  methods->cleanup_expired = NULL;
  get_and_drop (f->store, "job-17");
  methods->cleanup_expired = own;
  g_assert_cmpuint (f->fake->n_lists, ==, 1);
  g_assert_false (g_hash_table_contains (f->fake->records, "old"));
}

static gpointer
get_on_thread (gpointer store)
{
  get_and_drop (store, "job-17");
  return NULL;
}

static void
test_one_cleanup_at_a_time (Fixture *f, gconstpointer unused)
{
  GThread *thread;

  put (f->store, "job-17");
  clean_always (f);
  f->fake->holds_clean = TRUE;
  thread = g_thread_new ("cleaner", get_on_thread, f->store);
  await_count (f->fake, &f->fake->n_cleanups, 1);

  /* These would hang if they waited, and count if they cleaned. */
  for (guint i = 0; i < 10; i++)
    get_and_drop (f->store, "job-17");
  g_assert_cmpuint (f->fake->n_cleanups, ==, 1);
  let_go (f->fake, &f->fake->holds_clean);
  g_thread_join (thread);
}

static void
test_long_cleanup_is_followed_by_a_long_rest (Fixture *f, gconstpointer unused)
{
  strand_clock_set_manual (NOW_US);
  put (f->store, "job-17");
  clean_always (f);
  f->fake->clean_takes_us = 10 * 1000;
  get_and_drop (f->store, "job-17");
  g_assert_cmpuint (f->fake->n_cleanups, ==, 1);

  strand_clock_advance (499 * 1000);
  get_and_drop (f->store, "job-17");
  g_assert_cmpuint (f->fake->n_cleanups, ==, 1);
  strand_clock_advance (1 * 1000);
  get_and_drop (f->store, "job-17");
  g_assert_cmpuint (f->fake->n_cleanups, ==, 2);
}

/* --- watching ------------------------------------------------------------------------------------------ */

typedef struct
{
  GMutex lock;
  GCond changed;
  char *last_key;
  guint n_told;
  guint n_destroyed;
  gboolean held; /* the function waits */
  gboolean ended;
  guint id; /* unwatched by the function itself, if not 0 */
} Watcher;

static void
watcher_init (Watcher *self)
{
  memset (self, 0, sizeof *self);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}

static void
watcher_clear (Watcher *self)
{
  g_free (self->last_key);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
}

static void
note (StrandStore *store, const char *key, gpointer data)
{
  Watcher *self = data;
  guint id;

  g_mutex_lock (&self->lock);
  self->n_told++;
  g_free (self->last_key);
  self->last_key = g_strdup (key);
  id = self->id;
  g_cond_broadcast (&self->changed);
  while (self->held)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);

  if (id != 0)
    strand_store_unwatch (store, id);
  for (guint i = 0; i < 1000; i++)
    g_thread_yield ();
  g_atomic_int_set (&self->ended, TRUE);
}

static void
note_destroyed (gpointer data)
{
  Watcher *self = data;

  g_mutex_lock (&self->lock);
  self->n_destroyed++;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
await_told (Watcher *self, guint wanted)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&self->lock);
  while (self->n_told < wanted)
    if (!g_cond_wait_until (&self->changed, &self->lock, deadline_us))
      g_error ("told %u times instead of %u", self->n_told, wanted);
  g_mutex_unlock (&self->lock);
}

static guint
count_told (Watcher *self)
{
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n_told;
  g_mutex_unlock (&self->lock);
  return n;
}

static void
test_changes_behind_its_back_are_found (Fixture *f, gconstpointer key)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  Watcher watcher;
  guint id, n;

  watcher_init (&watcher);
  id = strand_store_watch (f->store, key, note, &watcher, note_destroyed);
  if (key != NULL)
    await_told (&watcher, 1); /* a key that was never looked at counts as changed */
  for (guint64 revision = 1; revision < 4; revision++)
    {
      n = count_told (&watcher);
      place (f->fake, record, revision);
      await_told (&watcher, n + 1);
      g_assert_cmpstr (watcher.last_key, ==, "job-17");
    }
  n = count_told (&watcher);
  g_assert_true (test_store_remove (f->store, "job-17", 0, NULL));
  await_told (&watcher, n + 1);

  strand_store_unwatch (f->store, id);
  g_assert_cmpuint (watcher.n_destroyed, ==, 1);
  watcher_clear (&watcher);
}

/* The poller of a store must not keep it alive, and its watchers' data must be let go. */
static void
test_watched_store_can_be_finalized (void)
{
  StrandStore *store = g_object_new (TEST_TYPE_STORE, NULL);
  Watcher watcher;
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  watcher_init (&watcher);
  g_assert_cmpuint (strand_store_watch (store, "job-17", note, &watcher, note_destroyed), !=, 0);
  await_told (&watcher, 1);
  g_object_unref (store);

  g_mutex_lock (&watcher.lock);
  while (watcher.n_destroyed == 0)
    g_assert_true (g_cond_wait_until (&watcher.changed, &watcher.lock, deadline_us));
  g_mutex_unlock (&watcher.lock);
  watcher_clear (&watcher);
}

typedef struct
{
  StrandStore *store;
  Watcher *watcher;
  guint id;
} Unwatch;

static gpointer
unwatch_on_thread (gpointer data)
{
  Unwatch *self = data;

  strand_store_unwatch (self->store, self->id);
  g_assert_true (g_atomic_int_get (&self->watcher->ended));
  return NULL;
}

static gpointer
change_on_thread (gpointer store)
{
  strand_store_changed (store, "job-17");
  return NULL;
}

static void
test_unwatch_waits_for_the_function (Fixture *f, gconstpointer unused)
{
  Watcher watcher;
  Unwatch unwatch = { f->store, &watcher, 0 };
  GThread *changing, *unwatching;

  watcher_init (&watcher);
  watcher.held = TRUE;
  unwatch.id = strand_store_watch (f->store, "job-17", note, &watcher, note_destroyed);
  changing = g_thread_new ("change", change_on_thread, f->store);
  await_told (&watcher, 1);
  unwatching = g_thread_new ("unwatch", unwatch_on_thread, &unwatch);

  g_mutex_lock (&watcher.lock);
  watcher.held = FALSE;
  g_cond_broadcast (&watcher.changed);
  g_mutex_unlock (&watcher.lock);
  g_thread_join (unwatching);
  g_thread_join (changing);
  g_assert_cmpuint (watcher.n_destroyed, ==, 1);
  watcher_clear (&watcher);
}

static void
test_function_may_unwatch_itself (Fixture *f, gconstpointer unused)
{
  Watcher watcher;
  guint n;

  watcher_init (&watcher);
  g_mutex_lock (&watcher.lock);
  watcher.id = strand_store_watch (f->store, "job-17", note, &watcher, note_destroyed);
  g_mutex_unlock (&watcher.lock);
  await_told (&watcher, 1); /* by the poller, which then unwatches; or by this: */
  strand_store_changed (f->store, "job-17");

  g_mutex_lock (&watcher.lock);
  while (watcher.n_destroyed == 0)
    g_cond_wait (&watcher.changed, &watcher.lock);
  g_mutex_unlock (&watcher.lock);
  n = count_told (&watcher);
  strand_store_changed (f->store, "job-17");
  g_assert_cmpuint (count_told (&watcher), ==, n);
  g_assert_cmpuint (watcher.n_destroyed, ==, 1);
  watcher_clear (&watcher);
}

static void
test_any_change_tells_everybody (Fixture *f, gconstpointer unused)
{
  Watcher one, all;
  guint one_id, all_id, n;

  watcher_init (&one);
  watcher_init (&all);
  one_id = strand_store_watch (f->store, "job-17", note, &one, NULL);
  await_told (&one, 1);
  all_id = strand_store_watch (f->store, NULL, note, &all, NULL);
  n = count_told (&one);
  strand_store_changed (f->store, NULL);
  g_assert_cmpuint (count_told (&one), >, n);
  g_assert_cmpstr (one.last_key, ==, "job-17");
  g_assert_cmpuint (count_told (&all), ==, 1);
  g_assert_null (all.last_key);
  strand_store_unwatch (f->store, one_id);
  strand_store_unwatch (f->store, all_id);
  watcher_clear (&one);
  watcher_clear (&all);
}

/* --- close --------------------------------------------------------------------------------------------- */

static gpointer
close_on_thread (gpointer store)
{
  strand_store_close (store);
  return NULL;
}

/* test_store_close() asserts that nobody is inside. */
static void
test_close_waits_for_methods (Fixture *f, gconstpointer unused)
{
  GThread *getting, *closing;

  put (f->store, "job-17");
  f->fake->holds_get = TRUE;
  getting = g_thread_new ("get", get_on_thread, f->store);
  await_count (f->fake, &f->fake->n_inside_get, 1);
  closing = g_thread_new ("close", close_on_thread, f->store);
  wait_still (strand_store_count (f->store, NULL, NULL) < 0);
  for (guint i = 0; i < 1000; i++)
    g_thread_yield ();
  let_go (f->fake, &f->fake->holds_get);
  g_thread_join (closing);
  g_thread_join (getting);
  strand_store_close (f->store);
  g_assert_cmpuint (f->fake->n_closed, ==, 1);
}

/* --- on another thread --------------------------------------------------------------------------------- */

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GAsyncResult *
await_result (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

static void
test_async_functions_do_what_the_others_do (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(StrandPage) page = NULL;
  GAsyncResult *results[7] = { NULL };
  g_autoptr(GError) error = NULL;

  strand_store_put_async (f->store, record, 0, NULL, keep_result, &results[0]);
  g_assert_true (strand_store_put_finish (f->store, await_result (&results[0]), &error));
  strand_store_get_async (f->store, "job-17", NULL, keep_result, &results[1]);
  read = strand_store_get_finish (f->store, await_result (&results[1]), &error);
  g_assert_cmpuint (strand_record_get_revision (read), ==, 1);
  strand_store_list_async (f->store, NULL, NULL, 10, NULL, keep_result, &results[2]);
  page = strand_store_list_finish (f->store, await_result (&results[2]), &error);
  g_assert_cmpuint (strand_page_get_records (page)->len, ==, 1);
  strand_store_count_async (f->store, NULL, NULL, keep_result, &results[3]);
  g_assert_cmpint (strand_store_count_finish (f->store, await_result (&results[3]), &error), ==, 1);
  strand_store_cleanup_expired_async (f->store, -1, NULL, keep_result, &results[4]);
  g_assert_cmpint (strand_store_cleanup_expired_finish (f->store, await_result (&results[4]), &error), ==, 0);
  strand_store_remove_async (f->store, "job-17", 0, NULL, keep_result, &results[5]);
  g_assert_true (strand_store_remove_finish (f->store, await_result (&results[5]), &error));
  g_assert_no_error (error);
  strand_store_get_async (f->store, "../x", NULL, keep_result, &results[6]);
  g_assert_null (strand_store_get_finish (f->store, await_result (&results[6]), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY);
  for (guint i = 0; i < G_N_ELEMENTS (results); i++)
    g_clear_object (&results[i]);
}

static void
test_cancelled_async_put_writes_nothing (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  g_cancellable_cancel (cancellable);
  strand_store_put_async (f->store, record, 0, cancellable, keep_result, &result);
  g_assert_false (strand_store_put_finish (f->store, await_result (&result), &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (g_hash_table_size (f->fake->records), ==, 0);
}

/* What languages use that cannot pass on a GParamSpec. */
static void
test_common_values_go_by_name (Fixture *f, gconstpointer unused)
{
  const struct
  {
    const char *name;
    GType type;
    const char *text; /* as g_strdup_value_contents() prints it */
  } values[] = { { "ttl", G_TYPE_INT64, "60000000" },
                 { "auto-cleanup", G_TYPE_BOOLEAN, "FALSE" },
                 { "cleanup-probability", G_TYPE_DOUBLE, "0.250000" },
                 { "max-record-size", G_TYPE_INT64, "4096" } };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_auto(GValue) given = G_VALUE_INIT, got = G_VALUE_INIT;
      g_autofree char *text = NULL;

      g_value_init (&given, values[i].type);
      g_value_init (&got, values[i].type);
      if (values[i].type == G_TYPE_INT64)
        g_value_set_int64 (&given, g_ascii_strtoll (values[i].text, NULL, 10));
      else if (values[i].type == G_TYPE_DOUBLE)
        g_value_set_double (&given, 0.25);
      strand_store_set_common_value (f->store, values[i].name, &given);

      strand_store_get_common_value (f->store, values[i].name, &got);
      text = g_strdup_value_contents (&got);
      g_assert_cmpstr (text, ==, values[i].text);
      g_value_reset (&got);
      g_object_get_property (G_OBJECT (f->store), values[i].name, &got);
      g_assert_true (memcmp (&got.data, &given.data, sizeof got.data) == 0);
    }
}

#define ADD(name, run) g_test_add ("/store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("silent-failure-gets-an-error", test_silent_failure_gets_an_error);
  ADD ("record-of-another-key-is-corrupt", test_record_of_another_key_is_corrupt);
  ADD ("failed-put-leaves-the-revision", test_failed_put_leaves_the_revision);
  g_test_add_func ("/store/properties-have-the-documented-defaults",
                   test_properties_have_the_documented_defaults);
  ADD ("common-values-go-by-name", test_common_values_go_by_name);
  g_test_add_func ("/store/copied-filter-is-its-own", test_copied_filter_is_its_own);
  ADD ("cleanup/does-not-start-a-cleanup", test_cleanup_does_not_start_a_cleanup);
  ADD ("cleanup/one-at-a-time", test_one_cleanup_at_a_time);
  ADD ("cleanup/long-one-is-followed-by-a-long-rest", test_long_cleanup_is_followed_by_a_long_rest);
  g_test_add ("/store/watch/changes-of-a-key-are-found", Fixture, "job-17", set_up,
              test_changes_behind_its_back_are_found, tear_down);
  g_test_add ("/store/watch/changes-of-any-key-are-found", Fixture, NULL, set_up,
              test_changes_behind_its_back_are_found, tear_down);
  g_test_add_func ("/store/watch/watched-store-can-be-finalized", test_watched_store_can_be_finalized);
  ADD ("watch/unwatch-waits-for-the-function", test_unwatch_waits_for_the_function);
  ADD ("watch/function-may-unwatch-itself", test_function_may_unwatch_itself);
  ADD ("watch/any-change-tells-everybody", test_any_change_tells_everybody);
  ADD ("close/waits-for-methods", test_close_waits_for_methods);
  ADD ("async/does-what-the-others-do", test_async_functions_do_what_the_others_do);
  ADD ("async/cancelled-put-writes-nothing", test_cancelled_async_put_writes_nothing);

  return g_test_run ();
}
