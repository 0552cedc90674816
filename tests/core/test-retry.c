/* test-retry.c — what a function says of its own retry, wherever it runs.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"

#include <string.h>

#define HOUR ((gint64) G_USEC_PER_SEC * 3600)

/* A back-off that no test lives to see the end of, unless it draws one of the first minutes of a million
 * days. */
#define FOREVER (24 * HOUR * 1000000)

#define NEVER (-1)
#define SILENT (-2)

typedef struct
{
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandBackend *backend;
  StrandReader *reader;
} Fixture;

static char *
dup_module_path (void)
{
  return g_test_build_filename (G_TEST_BUILT, "fixtures", "modules", "retries.so", NULL);
}

static StrandTaskrunner *
make_runner_of (const char *type)
{
  g_autofree char *module = dup_module_path ();
  const char *const modules[] = { module, NULL };

  if (strcmp (type, "process") == 0)
    return make_runner (type, "workers", 1, "modules", modules, NULL);
  if (strcmp (type, "coroutine") == 0)
    return make_runner (type, NULL);
  return make_runner (type, "workers", 1, NULL);
}

/* @where: "local thread": a backend and a runner; a backend `store` has a reader. */
static void
set_up (Fixture *f, gconstpointer where)
{
  const char *runner = strchr (where, ' ') + 1;

  f->store = make_store ("memory", NULL);
  f->runner = make_runner_of (runner);
}

static void
start (Fixture *f, const char *where, gint64 delay_us)
{
  g_autoptr(GError) error = NULL;

  if (g_str_has_prefix (where, "local"))
    {
      f->backend = make_backend ("local", "taskrunner", f->runner, "store", f->store, "retries", 2,
                                 "retry-delay", delay_us, "retry-max-delay", delay_us, NULL);
      return;
    }
  f->backend = make_backend ("store", "store", f->store, NULL);
  f->reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner, "jobs", 1,
                            "retries", 2, "retry-delay", delay_us, "retry-max-delay", delay_us, NULL);
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer where)
{
  if (f->reader != NULL)
    strand_reader_stop (f->reader, g_get_monotonic_time () + DEADLINE_US, NULL);
  g_clear_object (&f->reader);
  strand_backend_close (f->backend, 0, NULL);
  g_object_unref (f->backend);
  close_runner (f->runner);
  strand_store_close (f->store);
  g_object_unref (f->store);
}

static StrandHandle *
call (Fixture *f, gint64 wish_us)
{
  g_autoptr(StrandFunction) function = fixture_function ("fixture.retries");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (f->backend));

  return strand_task_call_full (task, g_variant_new ("(x)", wish_us), NULL, NULL);
}

static void
wait_for_failure (StrandHandle *handle)
{
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_FAILED);
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_BUSY);
}

/* What the function asked for is nobody else's business. */
static void
check_metadata (Fixture *f, StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (f->store, strand_handle_get_key (handle), &error);
  g_autoptr(GVariant) shown = strand_handle_dup_metadata (handle);
  g_autofree char *kept_text = NULL;
  g_autofree char *shown_text = g_variant_print (shown, FALSE);

  g_assert_no_error (error);
  kept_text = g_variant_print (strand_record_get_variant (record, STRAND_FIELD_METADATA), FALSE);
  g_assert_cmpstr (kept_text, ==, "{'seen': <true>}");
  g_assert_cmpstr (shown_text, ==, "{'seen': <true>}");
}

static void
test_never_means_never (Fixture *f, gconstpointer where)
{
  g_autoptr(StrandHandle) handle = NULL;

  start (f, where, 0);
  handle = call (f, NEVER);
  wait_for_failure (handle);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 1);
  check_metadata (f, handle);
}

static void
test_without_a_wish_the_settings_count (Fixture *f, gconstpointer where)
{
  g_autoptr(StrandHandle) handle = NULL;

  start (f, where, 0);
  handle = call (f, SILENT);
  wait_for_failure (handle);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 3);
}

static void
test_again_is_sooner_than_the_backoff (Fixture *f, gconstpointer where)
{
  g_autoptr(StrandHandle) handle = NULL;

  start (f, where, FOREVER);
  handle = call (f, 1000);
  wait_for_failure (handle);
  g_assert_cmpuint (strand_handle_get_attempt (handle), ==, 3); /* and no more than there are */
  check_metadata (f, handle);
}

/* Whether one attempt has failed, and the next waits for its time. */
static gboolean
has_failed_once (Fixture *f, StrandHandle *handle)
{
  g_autoptr(StrandRecord) record = strand_store_get (f->store, strand_handle_get_key (handle), NULL);
  GVariant *causes = record != NULL ? strand_record_get_variant (record, STRAND_FIELD_CAUSES) : NULL;

  return causes != NULL && g_variant_n_children (causes) == 1 &&
         strand_record_get_status (record) == STRAND_STATUS_PENDING;
}

static void
test_again_is_later_than_the_backoff (Fixture *f, gconstpointer where)
{
  g_autoptr(StrandHandle) handle = NULL;

  start (f, where, 0);
  handle = call (f, HOUR);
  wait_until (has_failed_once (f, handle));
  if (f->reader != NULL)
    {
      g_autoptr(StrandRecord) record = strand_store_get (f->store, strand_handle_get_key (handle), NULL);

      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE), >,
                       strand_clock_now_us () + HOUR * 9 / 10);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE), <=,
                       strand_clock_now_us () + HOUR);
    }
  g_assert_true (strand_handle_cancel (handle));
  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_CANCELLED);
}

#define ADD(name, run)                                                                                       \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    for (guint i = 0; i < G_N_ELEMENTS (places); i++)                                                        \
      {                                                                                                      \
        g_autofree char *path = g_strdup_printf ("/retry/%s/" name, places[i]);                              \
        g_strdelimit (path, " ", '-');                                                                       \
        g_test_add (path, Fixture, places[i], set_up, run, tear_down);                                       \
      }                                                                                                      \
  }                                                                                                          \
  G_STMT_END

int
main (int argc, char **argv)
{
  static const char *const places[] = { "local thread", "local process", "local coroutine",
                                        "store thread", "store process", "store coroutine" };
  g_autofree char *module = NULL;
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  module = dup_module_path ();
  strand_registry_load_module (strand_registry_get_default (), module, &error);
  g_assert_no_error (error);

  ADD ("never-means-never", test_never_means_never);
  ADD ("without-a-wish-the-settings-count", test_without_a_wish_the_settings_count);
  ADD ("again-is-sooner-than-the-backoff", test_again_is_sooner_than_the_backoff);
  ADD ("again-is-later-than-the-backoff", test_again_is_later_than_the_backoff);

  return g_test_run ();
}
