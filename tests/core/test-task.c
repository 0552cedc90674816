/* test-task.c — calling a task: who is told what, where, in which order, and what is freed when.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>

static StrandTaskrunner *threads; /* two of them, for every test here */

static StrandTask *
make_task (const char *function)
{
  g_autoptr(StrandFunction) callee = fixture_function (function);

  return strand_task_new (callee, G_OBJECT (threads));
}

static void
wait_over (Told *told, guint n)
{
  wait_until (told_count_over (told) >= n);
}

/* The error that a call of this function ends in. */
static void
check_call_fails (const char *function, GVariant *arguments, GVariant *keywords, GQuark domain, int code)
{
  g_autoptr(StrandTask) task = make_task (function);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  handle = strand_task_call_full (task, arguments, keywords, NULL);
  g_assert_nonnull (handle);
  g_assert_cmpuint (told_count_over (told), ==, 0); /* never inside the call */
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 0);
  g_assert_error (told->error, domain, code);
  g_assert_true (strand_handle_is_ready (handle));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
}

/* The end is shown before its callbacks are queued, and a wait may come in between. */
static void
test_a_wait_returns_with_the_callbacks_done (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  for (guint i = 1; i <= 20000; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (told_count_over (told), ==, i);
    }
}

/* Calling. */

static void
test_call_ends_in_its_callback (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *log = NULL;

  told_listen (told, task);
  handle = strand_task_call (task, "(xx)", G_GINT64_CONSTANT (20), G_GINT64_CONSTANT (22));
  g_assert_cmpuint (told_count_over (told), ==, 0);
  wait_over (told, 1);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "end 42");
  g_assert_true (told->thread == g_thread_self ());
}

static void
test_post_tells_without_a_handle (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(xx)", G_GINT64_CONSTANT (1), G_GINT64_CONSTANT (2));
  strand_task_post_value (task, g_variant_new ("(xx)", G_GINT64_CONSTANT (3), G_GINT64_CONSTANT (4)));
  wait_over (told, 2);
  g_assert_cmpuint (told->n_ends, ==, 2);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
test_async_gives_the_value (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  told_listen (told, task);
  strand_task_call_async (task, g_variant_new ("(xx)", G_GINT64_CONSTANT (1), G_GINT64_CONSTANT (2)), NULL,
                          keep_result, &result);
  g_assert_null (result);
  wait_until (result != NULL);
  value = strand_task_call_finish (task, result, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 3);
  g_assert_cmpuint (told->n_ends, ==, 1); /* the task's own callbacks run as well */
}

static void
test_async_gives_the_error (void)
{
  g_autoptr(StrandTask) task = make_task ("test.fail");
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  strand_task_call_async (task, g_variant_new ("(s)", "no tree"), NULL, keep_result, &result);
  wait_until (result != NULL);
  g_assert_null (strand_task_call_finish (task, result, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_cmpstr (error->message, ==, "no tree");
}

/* Arguments. */

static void
test_bound_arguments_come_first (void)
{
  g_autoptr(StrandTask) task = make_task ("test.sum");
  g_autoptr(Told) told = told_new ();
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  told_listen (told, task);
  g_assert_true (strand_task_bind (task, g_variant_new ("(i)", 40), NULL, &error));
  g_assert_no_error (error);
  strand_task_post (task, "(i)", 2);
  wait_over (told, 1);

  g_assert_true (strand_task_bind (task, NULL, g_variant_new_parsed ("{'b': <5>, 'more': <'x'>}"), &error));
  g_assert_no_error (error);
  strand_task_post (task, NULL);
  wait_over (told, 2);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "end 42; end 46");
}

static void
test_binding_too_much_is_an_error_at_once (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();
  g_autoptr(GError) error = NULL;
  g_autofree char *log = NULL;

  g_assert_true (strand_task_bind (task, g_variant_new ("(x)", G_GINT64_CONSTANT (1)), NULL, &error));
  g_assert_false (strand_task_bind (task, g_variant_new_parsed ("(int64 1, int64 2)"),
                                    g_variant_new_parsed ("{'b': <int64 3>}"), &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TYPE);

  told_listen (told, task);
  strand_task_post (task, "(x)", G_GINT64_CONSTANT (2)); /* nothing of what was refused is bound */
  wait_over (told, 1);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "end 3");
}

static void
read_priority (gpointer task, GObject *where_the_target_was)
{
  int priority = -1;

  g_object_get (task, "priority", &priority, NULL);
  g_assert_cmpint (priority, ==, G_PRIORITY_DEFAULT);
}

static void
test_a_target_that_goes_may_look_at_the_task (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  StrandTaskrunner *runner = make_runner ("sync", NULL);
  gpointer gone = runner;

  g_object_weak_ref (G_OBJECT (runner), read_priority, task);
  g_object_add_weak_pointer (G_OBJECT (runner), &gone);
  strand_task_set_target_object (task, G_OBJECT (runner));
  strand_task_post (task, NULL); /* so that calls have it, too */
  g_object_unref (runner);
  g_assert_nonnull (gone);
  strand_task_set_target_object (task, G_OBJECT (threads));
  g_assert_null (gone);
}

static void
test_keywords_find_their_places (void)
{
  g_autoptr(StrandTask) task = make_task ("test.sum");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *log = NULL;

  told_listen (told, task);
  handle = strand_task_call_full (task, g_variant_new ("(i)", 1),
                                  g_variant_new_parsed ("{'b': <2>, 'c': <'x'>, 'd': <'y'>}"), NULL);
  wait_over (told, 1);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "end 5");
}

static void
test_a_keyword_bound_and_given_is_an_error (void)
{
  g_autoptr(StrandTask) task = make_task ("test.sum");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  g_assert_true (strand_task_bind (task, NULL, g_variant_new_parsed ("{'b': <5>}"), NULL));
  handle = strand_task_call_full (task, g_variant_new ("(i)", 1), g_variant_new_parsed ("{'b': <2>}"), NULL);
  wait_over (told, 1);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_nonnull (strstr (told->error->message, "'b'"));
}

static void
test_wrong_arguments_fail_the_call (void)
{
  check_call_fails ("test.add", NULL, NULL, STRAND_ERROR, STRAND_ERROR_TYPE);
  check_call_fails ("test.add", g_variant_new ("(x)", (gint64) 1), NULL, STRAND_ERROR, STRAND_ERROR_TYPE);
  check_call_fails ("test.add", g_variant_new ("(ii)", 1, 2), NULL, STRAND_ERROR, STRAND_ERROR_TYPE);
  check_call_fails ("test.add", g_variant_new ("(xxx)", (gint64) 1, (gint64) 1, (gint64) 1), NULL,
                    STRAND_ERROR, STRAND_ERROR_TYPE);
  check_call_fails ("test.add", g_variant_new ("(xx)", (gint64) 1, (gint64) 1),
                    g_variant_new_parsed ("{'c': <1>}"), STRAND_ERROR, STRAND_ERROR_TYPE);
  check_call_fails ("test.nothing", g_variant_new ("(i)", 1), NULL, STRAND_ERROR, STRAND_ERROR_TYPE);
}

/* Formats are GVariant's, all of them, whether or not they are the parameters' own types. */
static void
test_direct_calls_take_any_format (void)
{
  g_autoptr(StrandTask) add = make_task ("test.add");
  g_autoptr(StrandTask) echo = make_task ("test.echo");
  g_autoptr(Told) told = told_new ();
  g_autoptr(GVariant) text = g_variant_ref_sink (g_variant_new_string ("ref"));
  g_autofree char *log = NULL;

  told_listen (told, add);
  told_listen (told, echo);
  strand_task_post (add, "(xx)", (gint64) -1, G_MAXINT64);
  wait_over (told, 1);
  strand_task_post (add, "(@xx)", g_variant_new_int64 (1), (gint64) 2);
  wait_over (told, 2);
  strand_task_post (echo, "(s)", "plain");
  wait_over (told, 3);
  strand_task_post (echo, "(&s)", "borrowed");
  wait_over (told, 4);
  strand_task_post (echo, "(@s)", text);
  wait_over (told, 5);
  strand_task_post (echo, "(*)", text);
  wait_over (told, 6);
  strand_task_post (echo, "@(s)", g_variant_new ("(s)", "tuple"));
  wait_over (told, 7);
  log = told_dup_log (told);
  g_assert_cmpstr (
      log, ==,
      "end 9223372036854775806; end 3; end 'plain'; end 'borrowed'; end 'ref'; end 'ref'; end 'tuple'");
}

static void
test_a_format_of_other_types_fails_the_call (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post (task, "(ii)", 1, 2);
  wait_over (told, 1);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  strand_task_post (task, "(x)", (gint64) 1);
  wait_over (told, 2);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  strand_task_post (task, "()");
  wait_over (told, 3);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  g_assert_cmpuint (told->n_ends, ==, 0);
}

static void
test_a_result_of_another_type_fails_the_call (void)
{
  check_call_fails ("test.wrong", NULL, NULL, STRAND_ERROR, STRAND_ERROR_TYPE);
}

static void
test_the_functions_own_error_arrives_whole (void)
{
  check_call_fails ("test.fail", g_variant_new ("(s)", "no tree"), NULL, G_FILE_ERROR, G_FILE_ERROR_NOENT);
}

/* Targets. */

static void
test_targets_by_name (void)
{
  static const char *const names[] = { "sync", "thread" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandTask) task = strand_as_task ("test.thread", names[i], &error, NULL);
      g_autoptr(Told) told = told_new ();
      g_autoptr(GObject) target = NULL;
      gboolean here;

      g_assert_no_error (error);
      told_listen (told, task);
      strand_task_post (task, NULL);
      wait_over (told, 1);
      here = g_variant_get_uint64 (told->value) == (guint64) (gsize) g_thread_self ();
      g_assert_cmpint (here, ==, i == 0);
      target = strand_task_ref_target (task, &error);
      g_assert_no_error (error);
      g_assert_true (STRAND_IS_TASKRUNNER (target));
    }
}

static void
test_without_a_name_it_is_threads (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_as_task ("test.thread", NULL, &error, NULL);
  g_autoptr(GObject) target = NULL;

  g_assert_no_error (error);
  target = strand_task_ref_target (task, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (target), ==, "StrandThreadTaskrunner");
}

static void
test_wrong_names_are_answered_with_the_right_ones (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_as_task ("test.thread", "thred", &error, NULL);

  g_assert_null (task);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_nonnull (strstr (error->message, "'thred'"));
  g_assert_nonnull (strstr (error->message, "'thread'"));
  g_assert_nonnull (strstr (error->message, "sync"));
  g_clear_error (&error);

  task = strand_as_task ("test.thred", "thread", &error, NULL);
  g_assert_null (task);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION);
  g_clear_error (&error);

  task = strand_as_task ("test.thread", "sync", &error, NULL);
  g_assert_false (strand_task_set_target (task, "nowhere", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
}

static void
test_properties_make_a_target_of_its_own (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) own = strand_as_task ("test.thread", "thread", &error, "workers", 1, NULL);
  g_autoptr(StrandTask) shared = strand_as_task ("test.thread", "thread", &error, NULL);
  g_autoptr(StrandTask) shared_too = strand_as_task ("test.add", "thread", &error, NULL);
  g_autoptr(GObject) own_target = strand_task_ref_target (own, &error);
  g_autoptr(GObject) shared_target = strand_task_ref_target (shared, &error);
  g_autoptr(GObject) shared_target_too = strand_task_ref_target (shared_too, &error);
  guint workers;

  g_assert_no_error (error);
  g_assert_true (own_target != shared_target);
  g_assert_true (shared_target == shared_target_too);
  g_object_get (own_target, "workers", &workers, NULL);
  g_assert_cmpuint (workers, ==, 1);
}

/* A mistake of the caller's is an error that he can read, no reason to abort. */
static void
test_wrong_properties_are_errors (void)
{
  g_autoptr(GError) unknown = NULL;
  g_autoptr(GError) fixed = NULL;
  g_autoptr(GError) beyond = NULL;

  g_assert_null (strand_as_task ("test.add", "thread", &unknown, "workers", 1, "max-quued", 2, NULL));
  g_assert_error (unknown, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (unknown->message, "'max-quued'"));
  g_assert_nonnull (strstr (unknown->message, "'max-queued'"));
  g_assert_null (strand_as_task ("test.add", "thread", &fixed, "abandoned", 1, NULL));
  g_assert_error (fixed, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_null (strand_as_task ("test.add", "thread", &beyond, "workers", 10001, NULL));
  g_assert_error (beyond, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (beyond->message, "'workers'"));
}

static void
test_target_by_type (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function = fixture_function ("test.add");
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_TASKRUNNER, "thread", &error);
  g_autoptr(StrandTask) task =
      strand_task_new_for_type (function, type, &error, "workers", 1, "max-queued", 10, NULL);
  g_autoptr(StrandTask) bad = NULL;
  g_autoptr(Told) told = told_new ();

  g_assert_no_error (error);
  told_listen (told, task);
  strand_task_post (task, "(xx)", (gint64) 1, (gint64) 2);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);

  bad = strand_task_new_for_type (function, G_TYPE_OBJECT, &error, NULL);
  g_assert_null (bad);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_nonnull (strstr (error->message, "GObject"));
}

static void
test_traits_forbid_targets (void)
{
  check_call_fails ("test.main", NULL, NULL, STRAND_ERROR, STRAND_ERROR_UNSAFE);
}

static void
test_checks_can_be_overridden (void)
{
  g_autoptr(StrandTask) task = make_task ("test.main");
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  g_object_set (task, "checks", STRAND_CHECK_TYPES, NULL);
  strand_task_post (task, NULL);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);
}

static void
test_a_taskrunner_has_no_store (void)
{
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_task_ref_store (task, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_null (strand_task_ref_backend (task, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_cmpint (strand_task_cleanup_expired (task, &error), ==, -1);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
}

static void
test_async_compute_uses_the_default_backend (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_async_compute ("test.add", &error, NULL);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandBackend) backend = NULL;
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  g_assert_no_error (error);
  told_listen (told, task);
  handle = strand_task_call (task, "(xx)", (gint64) 1, (gint64) 2);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);

  backend = strand_task_ref_backend (task, &error);
  store = strand_task_ref_store (task, &error);
  g_assert_no_error (error);
  g_assert_true (strand_backend_get_store (backend) == store);
  record = strand_store_get (store, strand_handle_get_key (handle), &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_TTL), ==, 3600 * (gint64) G_USEC_PER_SEC);
  g_assert_cmpint (strand_task_cleanup_expired (task, &error), ==, 0);
  g_assert_no_error (error);
}

static void
test_async_compute_with_a_path (void)
{
  g_autoptr(GError) error = NULL;
  char *folder = fixture_make_folder ();
  g_autofree char *path = g_build_filename (folder, "results", NULL);
  g_autoptr(StrandTask) task =
      strand_async_compute ("test.add", &error, "path", path, "ttl", 60 * (gint64) G_USEC_PER_SEC, NULL);
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandBackend) backend = NULL;
  g_autoptr(StrandStore) store = NULL;
  g_autofree char *stores_path = NULL;

  g_assert_no_error (error);
  told_listen (told, task);
  strand_task_post (task, "(xx)", (gint64) 1, (gint64) 2);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);
  store = strand_task_ref_store (task, &error);
  g_assert_no_error (error);
  g_object_get (store, "path", &stores_path, NULL);
  g_assert_cmpstr (stores_path, ==, path);
  g_assert_cmpint (strand_store_count (store, NULL, &error), ==, 1);
  backend = strand_task_ref_backend (task, &error);
  g_assert_true (strand_backend_close (backend, -1, &error));
  g_clear_object (&task);
  fixture_remove_folder (folder);
}

/* Items. */

static void
test_items_come_in_order_before_the_end (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  g_autoptr(Told) told = told_new ();
  g_autofree char *log = NULL;

  told_listen (told, task);
  strand_task_post (task, "(u)", 3);
  wait_over (told, 1);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "item 0/1 0; item 1/1 1; item 2/1 2; end 3");
}

static char *
log_of (const char *function, GVariant *arguments)
{
  g_autoptr(StrandTask) task = make_task (function);
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  strand_task_post_value (task, arguments);
  wait_over (told, 1);
  return told_dup_log (told);
}

static void
test_returned_arrays_are_iterated (void)
{
  g_autofree char *list = log_of ("test.list", g_variant_new ("(u)", 2));
  g_autofree char *empty = log_of ("test.list", g_variant_new ("(u)", 0));
  g_autofree char *dict = log_of ("test.dict", NULL);
  g_autofree char *bytes = log_of ("test.bytes", NULL);

  g_assert_cmpstr (list, ==, "item 0/1 0; item 1/1 1; end [0, 1]");
  g_assert_cmpstr (empty, ==, "end []");
  g_assert_cmpstr (dict, ==, "item 0/1 {'one', 1}; item 1/1 {'two', 2}; end {'one': 1, 'two': 2}");
  g_assert_cmpstr (bytes, ==, "end b'abc'");
}

/* How far the producer is ahead of its consumer, at most. */
typedef struct
{
  int n_emitted; /* atomic */
  int n_consumed;
  int furthest;
} Race;

static GVariant *
emit_many (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  Race *race = data;

  for (guint i = 0; i < 1000; i++)
    {
      if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
        return NULL;
      g_atomic_int_inc (&race->n_emitted);
    }
  return NULL;
}

static gboolean
consume (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Race *race = data;
  int ahead = g_atomic_int_get (&race->n_emitted) - race->n_consumed;

  g_assert_cmpuint (g_variant_get_uint32 (item), ==, (guint) race->n_consumed);
  race->n_consumed++;
  race->furthest = MAX (race->furthest, ahead);
  return TRUE;
}

static void
test_a_fast_producer_waits_for_its_consumer (void)
{
  Race race = { 0 };
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.many", "", NULL, STRAND_TRAIT_NONE, emit_many, &race, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (threads));
  g_autoptr(Told) told = told_new ();

  told_listen (told, task);
  g_object_set (task, "max-items", 8, NULL);
  strand_task_on_iter (task, consume, &race, NULL);
  strand_task_post (task, NULL);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_assert_cmpint (race.n_consumed, ==, 1000);
  g_assert_cmpint (race.furthest, <=, 8 + 2); /* one is being consumed, one is on its way */
}

static void
test_without_a_consumer_the_last_items_are_kept (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) items = NULL;
  g_autofree char *text = NULL;

  g_object_set (task, "max-items", 3, NULL);
  handle = strand_task_call (task, "(u)", 10);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  items = strand_call_dup_items (strand_handle_get_call (handle));
  text = g_variant_print (items, FALSE);
  g_assert_cmpstr (text, ==, "[<uint32 7>, <uint32 8>, <uint32 9>]");
  g_assert_cmpuint (strand_call_get_dropped_items (strand_handle_get_call (handle)), ==, 7);
}

static gboolean
choke (StrandCall *call, GVariant *item, gpointer told, GError **error)
{
  if (g_variant_get_uint32 (item) < 2)
    return told_on_iter (call, item, told, error);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no room for it");
  return FALSE;
}

static void
test_a_failing_consumer_ends_the_call (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  g_object_set (task, "max-items", 1, NULL);
  strand_task_on_iter (task, choke, told, NULL);
  handle = strand_task_call (task, "(u)", 1000);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_items, ==, 2);
  g_assert_cmpuint (told->n_ends, ==, 0);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
}

/* It may have returned a value all the same: what the consumer could not take has not been done. */
static void
test_a_failing_consumer_outweighs_the_value (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  strand_task_on_iter (task, choke, told, NULL);
  g_object_set (task, "on-runner", TRUE, NULL);
  handle = strand_task_call (task, "(u)", 3); /* the last item is refused */
  wait_over (told, 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
}

/* The elements of a value are shown when the call has completed: that stands, and on_end tells of it. */
static void
test_a_consumer_that_fails_on_the_values_items (void)
{
  g_autoptr(StrandTask) task = make_task ("test.list");
  g_autoptr(Told) told = told_new ();
  g_autoptr(StrandHandle) handle = NULL;

  told_listen (told, task);
  strand_task_on_iter (task, choke, told, NULL);
  g_test_expect_message ("Strand", G_LOG_LEVEL_MESSAGE, "*'test.list' failed after*no room for it*");
  handle = strand_task_call (task, "(u)", 1000);
  wait_over (told, 1);
  g_test_assert_expected_messages ();
  g_assert_cmpuint (told->n_items, ==, 2);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_assert_cmpuint (told->n_errors, ==, 0);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_assert_null (strand_handle_get_error (handle));
}

/* What a call sets counts, 0 too; what it leaves comes from its task. */
static void
test_priority_zero_is_a_priority (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(StrandOptions) defaults = strand_options_new ();
  g_autoptr(StrandOptions) zero = strand_options_new ();
  g_autoptr(StrandOptions) unset = strand_options_new ();
  g_autoptr(StrandHandle) first = NULL, second = NULL;

  strand_options_set_priority (defaults, 7);
  strand_task_set_options (task, defaults);
  strand_options_set_priority (zero, 0);
  first = strand_task_call_full (task, NULL, NULL, zero);
  second = strand_task_call_full (task, NULL, NULL, unset);
  g_assert_cmpint (strand_call_get_priority (strand_handle_get_call (first)), ==, 0);
  g_assert_cmpint (strand_call_get_priority (strand_handle_get_call (second)), ==, 7);
  g_assert_true (strand_handle_wait (first, DEADLINE_US, NULL));
  g_assert_true (strand_handle_wait (second, DEADLINE_US, NULL));
}

/* Results that are objects. */

static void
keep_object (StrandCall *call, GVariant *value, gpointer data)
{
  g_assert_null (value);
  *(GObject **) data = g_object_ref (strand_call_get_object (call));
}

static void
test_a_result_may_be_an_object (void)
{
  g_autoptr(StrandTask) task = make_task ("test.object");
  g_autoptr(GObject) object = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  strand_task_on_end (task, keep_object, &object, NULL);
  handle = strand_task_call (task, NULL);
  wait_until (object != NULL);
  g_assert_cmpstr (g_object_get_data (object, "name"), ==, "texture");
  g_assert_true (strand_handle_get_object (handle) == object);
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_type_string (value), ==, "()");
  g_object_add_weak_pointer (object, (gpointer *) &object);
  g_clear_pointer (&value, g_variant_unref);
  g_clear_object (&handle);
  g_object_unref (object);
  wait_until (object == NULL); /* nobody else keeps it */
}

/* Who frees what, where. */

typedef struct
{
  GThread *thread;
  gboolean gone;
} Freed;

static void
note_freed (gpointer data)
{
  Freed *freed = data;

  g_assert_false (freed->gone);
  freed->thread = g_thread_self ();
  freed->gone = TRUE;
}

static void
test_pointer_data_is_freed_where_the_call_was_made (void)
{
  g_autoptr(StrandTask) task = make_task ("test.data");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(Told) told = told_new ();
  Freed freed = { 0 };

  told_listen (told, task);
  strand_options_take_data (options, &freed, note_freed);
  g_object_unref (strand_task_call_full (task, NULL, NULL, options));
  g_clear_pointer (&options, strand_options_free);
  wait_over (told, 1);
  g_assert_true (g_atomic_pointer_get (&fixture_last_data) == &freed);
  wait_until (freed.gone);
  g_assert_true (freed.thread == g_thread_self ());
}

static void
test_pointer_data_goes_also_if_the_call_is_refused (void)
{
  g_autoptr(StrandTask) task = make_task ("test.data");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(Told) told = told_new ();
  Freed freed = { 0 };

  told_listen (told, task);
  strand_options_take_data (options, &freed, note_freed);
  g_object_unref (strand_task_call_full (task, g_variant_new ("(i)", 1), NULL, options));
  wait_over (told, 1);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_TYPE);
  wait_until (freed.gone);
  g_assert_true (freed.thread == g_thread_self ());
}

static void
ignore_end (StrandCall *call, GVariant *value, gpointer data)
{
}

static void
test_user_data_is_freed_in_its_context_after_the_last_call (void)
{
  StrandTask *task = make_task ("test.hold");
  Gate *gate = fixture_gate ();
  Freed freed = { 0 };

  strand_task_on_end (task, ignore_end, &freed, note_freed);
  strand_task_post (task, NULL);
  gate_wait_inside (gate, 1);
  g_object_unref (task);
  g_assert_false (freed.gone); /* the call still needs it */
  gate_open (gate);
  wait_until (freed.gone);
  g_assert_true (freed.thread == g_thread_self ());
}

static gpointer
drop_task (gpointer task)
{
  g_object_unref (task);
  return NULL;
}

static void
test_user_data_comes_home_when_dropped_elsewhere (void)
{
  StrandTask *task = make_task ("test.nothing");
  Freed freed = { 0 };

  strand_task_on_end (task, ignore_end, &freed, note_freed);
  g_thread_join (g_thread_new ("dropper", drop_task, task));
  g_assert_false (freed.gone);
  wait_until (freed.gone);
  g_assert_true (freed.thread == g_thread_self ());
}

static void
test_replaced_callbacks_free_their_data (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  Freed freed = { 0 };

  strand_task_on_end (task, ignore_end, &freed, note_freed);
  strand_task_on_end (task, NULL, NULL, NULL);
  wait_until (freed.gone);
}

/* Where callbacks run. */

static gpointer
call_in_own_context (gpointer data)
{
  g_autoptr(GMainContext) context = g_main_context_new ();
  g_autoptr(StrandTask) task = make_task ("test.add");
  g_autoptr(Told) told = told_new ();

  g_main_context_push_thread_default (context);
  told_listen (told, task);
  strand_task_post (task, "(xx)", (gint64) 1, (gint64) 2);
  wait_over (told, 1);
  g_assert_true (told->thread == g_thread_self ());
  g_main_context_pop_thread_default (context);
  return NULL;
}

static void
test_callbacks_run_in_the_callers_context (void)
{
  g_thread_join (g_thread_new ("caller", call_in_own_context, NULL));
}

static void
test_on_runner_calls_back_there (void)
{
  g_autoptr(StrandTask) task = make_task ("test.count");
  g_autoptr(Told) told = told_new ();
  g_autofree char *log = NULL;

  g_object_set (task, "on-runner", TRUE, NULL);
  told_listen (told, task);
  strand_task_post (task, "(u)", 2);
  wait_over (told, 1);
  g_assert_true (told->thread != g_thread_self ());
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "item 0/1 0; item 1/1 1; end 2");
}

static void
test_sync_calls_back_inside_the_call (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_as_task ("test.count", "sync", &error, NULL);
  g_autoptr(Told) told = told_new ();
  g_autofree char *log = NULL;

  told_listen (told, task);
  strand_task_post (task, "(u)", 2);
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "item 0/1 0; item 1/1 1; end 2");
}

/* More items than fit wait for nobody: the consumer is on the stack below. */
static void
test_sync_hands_over_each_item_at_once (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandTask) task = strand_as_task ("test.count", "sync", &error, NULL);
  g_autoptr(Told) told = told_new ();

  g_object_set (task, "max-items", 1, NULL);
  told_listen (told, task);
  strand_task_post (task, "(u)", 5000);
  g_assert_cmpuint (told->n_items, ==, 5000);
  g_assert_cmpuint (told->n_ends, ==, 1);
}

typedef struct
{
  GString *order;
  char letter;
} Letter;

static void
append_letter (StrandCall *call, GVariant *value, gpointer data)
{
  Letter *letter = data;

  g_string_append_c (letter->order, letter->letter);
}

static gboolean
append_source_letter (gpointer data)
{
  append_letter (NULL, NULL, data);
  return G_SOURCE_REMOVE;
}

static void
test_priority_is_the_callbacks_priority (void)
{
  g_autoptr(GString) order = g_string_new (NULL);
  g_autoptr(StrandTask) low = make_task ("test.nothing");
  g_autoptr(StrandTask) high = make_task ("test.nothing");
  g_autoptr(StrandHandle) low_handle = NULL, high_handle = NULL;
  Letter low_letter = { order, 'l' }, high_letter = { order, 'h' }, source_letter = { order, 's' };

  g_object_set (low, "priority", G_PRIORITY_LOW, NULL);
  g_object_set (high, "priority", G_PRIORITY_HIGH, NULL);
  strand_task_on_end (low, append_letter, &low_letter, NULL);
  strand_task_on_end (high, append_letter, &high_letter, NULL);
  low_handle = strand_task_call (low, NULL);
  high_handle = strand_task_call (high, NULL);
  /* Both have ended, and nobody has been told. */
  wait_still (strand_handle_is_ready (low_handle) && strand_handle_is_ready (high_handle));
  g_idle_add_full (G_PRIORITY_DEFAULT, append_source_letter, &source_letter, NULL);
  wait_until (order->len == 3);
  g_assert_cmpstr (order->str, ==, "hsl");
}

/* Dropping things in callbacks. */

static void
drop_what_data_points_to (StrandCall *call, GVariant *value, gpointer data)
{
  g_clear_object ((GObject **) data);
}

static void
test_a_handle_may_go_in_its_own_callback (void)
{
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr(StrandTask) task = make_task ("test.nothing");
      StrandHandle *handle = NULL;

      strand_task_on_end (task, drop_what_data_points_to, &handle, NULL);
      handle = strand_task_call (task, NULL);
      wait_until (handle == NULL);
    }
}

static void
test_a_task_may_go_in_its_own_callback (void)
{
  for (guint i = 0; i < 100; i++)
    {
      StrandTask *task = make_task ("test.nothing");

      strand_task_on_end (task, drop_what_data_points_to, &task, NULL);
      strand_task_post (task, NULL);
      wait_until (task == NULL);
    }
}

static void
test_dropping_a_handle_cancels_nothing (void)
{
  g_autoptr(StrandTask) task = make_task ("test.hold");
  g_autoptr(Told) told = told_new ();
  Gate *gate = fixture_gate ();

  told_listen (told, task);
  g_object_unref (strand_task_call (task, NULL));
  gate_wait_inside (gate, 1);
  gate_open (gate);
  wait_over (told, 1);
  g_assert_cmpuint (told->n_ends, ==, 1);
}

static void
call_again (StrandCall *call, GVariant *value, gpointer data)
{
  static int depth = 0;
  guint *left = data;
  g_autoptr(StrandTask) task = NULL;

  g_assert_cmpint (depth, ==, 0);
  depth++;
  if (--*left > 0)
    {
      task = make_task ("test.nothing");
      strand_task_on_end (task, call_again, left, NULL);
      strand_task_post (task, NULL);
    }
  depth--;
}

static void
test_a_callback_may_call_again (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  guint left = 1000;

  strand_task_on_end (task, call_again, &left, NULL);
  strand_task_post (task, NULL);
  wait_until (left == 0);
}

/* The original wrapped its callback once more with each call, and overflowed the stack after a thousand. */
static void
test_a_million_calls_of_one_task (void)
{
  g_autoptr(StrandTask) task = make_task ("test.nothing");
  g_autoptr(Told) told = told_new ();
  const guint n_calls = 1000000;

  told_listen (told, task);
  for (guint i = 1; i <= n_calls; i++)
    {
      strand_task_post (task, NULL);
      if (i % 10000 == 0)
        wait_over (told, i);
    }
  g_assert_cmpuint (told->n_ends, ==, n_calls);
  g_assert_cmpuint (told->n_errors, ==, 0);
}

/* Errors that nobody looks at. */

static void
expect_nobody_looked (void)
{
  g_test_expect_message ("Strand", G_LOG_LEVEL_MESSAGE, "*'test.fail'*no tree*");
}

static void
test_an_error_nobody_looked_at_is_logged (void)
{
  g_autoptr(StrandTask) task = make_task ("test.fail");
  g_autoptr(StrandHandle) handle = NULL;
  gboolean ready = FALSE;

  expect_nobody_looked ();
  handle = strand_task_call (task, "(s)", "no tree");
  while (!ready)
    ready = strand_handle_is_ready (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  for (guint i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_test_assert_expected_messages ();
}

static void
test_an_error_somebody_looked_at_is_not_logged (void)
{
  g_autoptr(StrandTask) task = make_task ("test.fail");
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", "no tree");
  g_autoptr(GError) error = NULL;

  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_MESSAGE);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_null (strand_handle_get_result (handle, &error));
  g_clear_object (&handle);
  g_clear_object (&task);
  for (guint i = 0; i < 100; i++)
    g_main_context_iteration (NULL, FALSE);
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
}

/* The default backend runs its calls in helper processes: this program again. */
static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  fixture_add_functions ();
  return TRUE;
}

#define ADD(name, test) g_test_add_func ("/task/" name, test)

int
main (int argc, char **argv)
{
  int status;

  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  threads = make_runner ("thread", "workers", 2, NULL);

  ADD ("call/ends-in-its-callback", test_call_ends_in_its_callback);
  ADD ("call/post-tells-without-a-handle", test_post_tells_without_a_handle);
  ADD ("call/async-gives-the-value", test_async_gives_the_value);
  ADD ("call/async-gives-the-error", test_async_gives_the_error);
  ADD ("arguments/bound-come-first", test_bound_arguments_come_first);
  ADD ("arguments/binding-too-much-is-an-error-at-once", test_binding_too_much_is_an_error_at_once);
  ADD ("target/that-goes-may-look-at-the-task", test_a_target_that_goes_may_look_at_the_task);
  ADD ("arguments/keywords-find-their-places", test_keywords_find_their_places);
  ADD ("arguments/a-keyword-bound-and-given-is-an-error", test_a_keyword_bound_and_given_is_an_error);
  ADD ("arguments/wrong-ones-fail-the-call", test_wrong_arguments_fail_the_call);
  ADD ("arguments/direct-calls-take-any-format", test_direct_calls_take_any_format);
  ADD ("arguments/a-format-of-other-types-fails-the-call", test_a_format_of_other_types_fails_the_call);
  ADD ("result/of-another-type-fails-the-call", test_a_result_of_another_type_fails_the_call);
  ADD ("result/the-functions-own-error-arrives-whole", test_the_functions_own_error_arrives_whole);
  ADD ("result/may-be-an-object", test_a_result_may_be_an_object);
  ADD ("target/by-name", test_targets_by_name);
  ADD ("target/without-a-name-it-is-threads", test_without_a_name_it_is_threads);
  ADD ("target/wrong-names-are-answered-with-the-right-ones",
       test_wrong_names_are_answered_with_the_right_ones);
  ADD ("target/properties-make-one-of-its-own", test_properties_make_a_target_of_its_own);
  ADD ("target/by-type", test_target_by_type);
  ADD ("target/traits-forbid-some", test_traits_forbid_targets);
  ADD ("options/priority-zero-is-a-priority", test_priority_zero_is_a_priority);
  ADD ("target/wrong-properties-are-errors", test_wrong_properties_are_errors);
  ADD ("target/checks-can-be-overridden", test_checks_can_be_overridden);
  ADD ("target/a-taskrunner-has-no-store", test_a_taskrunner_has_no_store);
  ADD ("target/async-compute-uses-the-default-backend", test_async_compute_uses_the_default_backend);
  ADD ("target/async-compute-with-a-path", test_async_compute_with_a_path);
  ADD ("items/come-in-order-before-the-end", test_items_come_in_order_before_the_end);
  ADD ("items/returned-arrays-are-iterated", test_returned_arrays_are_iterated);
  ADD ("items/a-fast-producer-waits-for-its-consumer", test_a_fast_producer_waits_for_its_consumer);
  ADD ("items/without-a-consumer-the-last-are-kept", test_without_a_consumer_the_last_items_are_kept);
  ADD ("items/a-failing-consumer-ends-the-call", test_a_failing_consumer_ends_the_call);
  ADD ("items/a-failing-consumer-outweighs-the-value", test_a_failing_consumer_outweighs_the_value);
  ADD ("items/a-consumer-that-fails-on-the-values-items", test_a_consumer_that_fails_on_the_values_items);
  ADD ("free/pointer-data-where-the-call-was-made", test_pointer_data_is_freed_where_the_call_was_made);
  ADD ("free/pointer-data-also-if-refused", test_pointer_data_goes_also_if_the_call_is_refused);
  ADD ("free/user-data-in-its-context-after-the-last-call",
       test_user_data_is_freed_in_its_context_after_the_last_call);
  ADD ("free/user-data-comes-home-when-dropped-elsewhere", test_user_data_comes_home_when_dropped_elsewhere);
  ADD ("free/replaced-callbacks-free-their-data", test_replaced_callbacks_free_their_data);
  ADD ("where/callbacks-run-in-the-callers-context", test_callbacks_run_in_the_callers_context);
  ADD ("where/on-runner-calls-back-there", test_on_runner_calls_back_there);
  ADD ("where/sync-calls-back-inside-the-call", test_sync_calls_back_inside_the_call);
  ADD ("where/sync-hands-over-each-item-at-once", test_sync_hands_over_each_item_at_once);
  ADD ("where/priority-is-the-callbacks-priority", test_priority_is_the_callbacks_priority);
  ADD ("drop/a-handle-in-its-own-callback", test_a_handle_may_go_in_its_own_callback);
  ADD ("drop/a-task-in-its-own-callback", test_a_task_may_go_in_its_own_callback);
  ADD ("drop/a-handle-cancels-nothing", test_dropping_a_handle_cancels_nothing);
  ADD ("reuse/a-callback-may-call-again", test_a_callback_may_call_again);
  ADD ("wait/returns-with-the-callbacks-done", test_a_wait_returns_with_the_callbacks_done);
  ADD ("reuse/a-million-calls-of-one-task", test_a_million_calls_of_one_task);
  ADD ("errors/nobody-looked-at-is-logged", test_an_error_nobody_looked_at_is_logged);
  ADD ("errors/somebody-looked-at-is-not-logged", test_an_error_somebody_looked_at_is_not_logged);

  status = g_test_run ();
  g_assert_true (strand_stack_close (strand_stack_get_default (), -1, NULL));
  close_runner (threads);
  return status;
}
