/* test-reader-input.c — stored calls that cannot be run end failed, say why, and the reader goes on.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "plain-store.h"

#include <string.h>

typedef struct
{
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  const char *const queues[] = { "default", NULL };

  f->store = plain_store_new ();
  f->runner = make_runner ("thread", "workers", 2, NULL);
  f->reader = strand_reader_new (f->store, f->runner, queues);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_assert_true (strand_reader_stop (f->reader, -1, NULL));
  g_assert_finalize_object (f->reader);
  close_runner (f->runner);
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  g_assert_finalize_object (f->store);
}

static StrandRecord *
new_call (const char *key, const char *function, const char *arguments)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) values = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, function);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  if (arguments == NULL)
    return record;
  values = g_variant_parse (NULL, arguments, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (strand_record_set_arguments (record, values, NULL, &error));
  return record;
}

static void
put (Fixture *f, StrandRecord *record)
{
  g_autoptr(StrandRecord) owned = record;
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_store_put (f->store, owned, 0, &error));
  g_assert_no_error (error);
}

/* Runs all there is, and a good call after it. Returns the error of 'job-17'. */
static GError *
run (Fixture *f, StrandRecord *bad)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(StrandRecord) next = NULL;

  put (f, bad);
  put (f, new_call ("job-18", "test.echo", "('next',)"));
  g_assert_true (strand_reader_listen (f->reader, &error));
  g_assert_true (strand_reader_wait_idle (f->reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);

  next = strand_store_get (f->store, "job-18", &error);
  g_assert_cmpint (strand_record_get_status (next), ==, STRAND_STATUS_COMPLETED);
  record = strand_store_get (f->store, "job-17", &error);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);
  return strand_record_dup_error (record);
}

static void
test_unknown_function_is_named (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = run (f, new_call ("job-17", "another.function", "()"));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_assert_nonnull (strstr (error->message, "'another.function'"));
}

static void
test_wrong_types_say_what_was_declared (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = run (f, new_call ("job-17", "test.add", "('one', 'two')"));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "'job-17'"));
}

static void
test_payload_of_another_serializer_is_named (Fixture *f, gconstpointer unused)
{
  StrandRecord *record = new_call ("job-17", "test.echo", "('text',)");
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "pickle-5");
  error = run (f, record);
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "'pickle-5'"));
}

static void
test_payload_that_is_torn_is_corrupt (Fixture *f, gconstpointer unused)
{
  StrandRecord *record = new_call ("job-17", "test.echo", "('text',)");
  g_autoptr(GBytes) torn = g_bytes_new_static ("[\"te", 4);
  g_autoptr(GError) error = NULL;

  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, torn);
  error = run (f, record);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
}

static void
test_call_of_nothing_is_corrupt (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = run (f, new_call ("job-17", NULL, NULL));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT);
}

#define ADD(name, function) g_test_add ("/reader-input/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  ADD ("unknown-function-is-named", test_unknown_function_is_named);
  ADD ("wrong-types-say-what-was-declared", test_wrong_types_say_what_was_declared);
  ADD ("payload-of-another-serializer-is-named", test_payload_of_another_serializer_is_named);
  ADD ("payload-that-is-torn-is-corrupt", test_payload_that_is_torn_is_corrupt);
  ADD ("call-of-nothing-is-corrupt", test_call_of_nothing_is_corrupt);
  return g_test_run ();
}
