/* test-cache-middleware.c — what is answered again, and what runs.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/call-fixture.h"

#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)

static int n_runs; /* atomic */
static Gate gate;

/* `own.slow text -> s` counts its runs and stands at the gate; "fail" fails. */
static GVariant *
slow (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *text;

  g_atomic_int_inc (&n_runs);
  g_variant_get (arguments, "(&s)", &text);
  gate_pass (&gate);
  if (strcmp (text, "fail") != 0)
    return g_variant_get_child_value (arguments, 0);
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "no such tree");
  return NULL;
}

typedef struct
{
  StrandStore *store;
  StrandFunction *function;
  GPtrArray *backends;
} Fixture;

static const char *const all[] = { "*", NULL };

static void
set_up (Fixture *f, gconstpointer unused)
{
  n_runs = 0;
  gate_init (&gate);
  f->store = make_store ("memory", NULL);
  f->function =
      strand_function_new ("own.slow", "text:s -> s", NULL, STRAND_TRAIT_NONE, slow, NULL, NULL, NULL);
  f->backends = g_ptr_array_new_with_free_func ((GDestroyNotify) close_backend);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  g_ptr_array_unref (f->backends);
  strand_function_unref (f->function);
  g_object_unref (f->store);
  gate_clear (&gate);
}

#define make_cache(...) make_object (STRAND_KIND_MIDDLEWARE, "cache", "functions", all, __VA_ARGS__)

static StrandTask *
around (Fixture *f, gpointer middleware)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 4, NULL);
  StrandBackend *backend;

  g_list_store_append (chain, middleware);
  g_object_unref (middleware);
  backend = make_backend ("local", "taskrunner", runner, "store", f->store, "middleware", chain,
                          "retry-delay", (gint64) 0, NULL);
  g_ptr_array_add (f->backends, backend);
  return strand_task_new (f->function, G_OBJECT (backend));
}

static void
ask (StrandTask *task, const char *text)
{
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(s)", text);
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, text);
}

static GPtrArray *
ask_often (StrandTask *task, guint n, const char *text)
{
  GPtrArray *handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (handles, strand_task_call (task, "(s)", text));
  return handles;
}

static guint
count_of (GPtrArray *handles, StrandStatus status)
{
  guint n = 0;

  for (guint i = 0; i < handles->len; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_handle_wait (handles->pdata[i], DEADLINE_US, &error));
      strand_handle_get_error (handles->pdata[i]);
      n += strand_handle_get_status (handles->pdata[i]) == status;
    }
  return n;
}

static void
test_a_value_is_given_again_for_the_period (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = NULL;

  strand_clock_set_manual (NOON);
  task = around (f, make_cache ("period", 10 * SECOND, NULL));
  gate_open (&gate);
  ask (task, "a");
  ask (task, "a");
  g_assert_cmpint (n_runs, ==, 1);
  ask (task, "b");
  g_assert_cmpint (n_runs, ==, 2);
  strand_clock_advance (10 * SECOND - 1);
  ask (task, "a");
  g_assert_cmpint (n_runs, ==, 2);
  strand_clock_advance (1);
  ask (task, "a");
  g_assert_cmpint (n_runs, ==, 3);
}

static void
test_a_hundred_at_once_run_once (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = around (f, make_cache (NULL));
  g_autoptr(GPtrArray) handles = ask_often (task, 100, "a");

  wait_until (strand_store_count (f->store, NULL, NULL) == 100);
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), ==, 100);
  g_assert_cmpint (n_runs, ==, 1);
}

static void
test_a_failure_is_the_runners_own (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = around (f, make_cache (NULL));
  g_autoptr(GPtrArray) handles = ask_often (task, 5, "fail");

  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_FAILED), ==, 5);
  g_assert_cmpint (n_runs, ==, 5);
}

static void
test_a_cancelled_run_takes_nobody_along (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = around (f, make_cache (NULL));
  g_autoptr(GPtrArray) handles = ask_often (task, 4, "a");

  gate_wait_inside (&gate, 1);
  g_assert_true (strand_handle_cancel (handles->pdata[1])); /* who waits */
  g_assert_true (strand_handle_cancel (handles->pdata[0])); /* who runs, and returns when the gate opens */
  wait_until (strand_handle_get_status (handles->pdata[1]) == STRAND_STATUS_CANCELLED);
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), >=, 2);
}

static void
test_what_is_kept_is_bounded (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) by_number = around (f, make_cache ("max-entries", 2, NULL));
  g_autoptr(StrandTask) by_size = around (f, make_cache ("max-size", (gint64) 5, NULL));

  gate_open (&gate);
  ask (by_number, "a");
  ask (by_number, "b");
  ask (by_number, "a"); /* used last, so "b" goes */
  ask (by_number, "c");
  g_assert_cmpint (n_runs, ==, 3);
  ask (by_number, "a");
  g_assert_cmpint (n_runs, ==, 3);
  ask (by_number, "b");
  g_assert_cmpint (n_runs, ==, 4);

  ask (by_size, "too long");
  ask (by_size, "too long");
  g_assert_cmpint (n_runs, ==, 6);
  ask (by_size, "a");
  ask (by_size, "b");
  ask (by_size, "b");
  ask (by_size, "a");
  g_assert_cmpint (n_runs, ==, 8); /* two of two bytes each have room in five */
}

static void
test_a_store_answers_other_processes (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) a = NULL;
  g_autoptr(StrandTask) b = NULL;

  strand_clock_set_manual (NOON);
  a = around (f, make_cache ("store", f->store, "period", 10 * SECOND, NULL));
  b = around (f, make_cache ("store", f->store, "period", 10 * SECOND, NULL));
  gate_open (&gate);
  ask (a, "a");
  strand_clock_advance (6 * SECOND);
  ask (b, "a");
  g_assert_cmpint (n_runs, ==, 1);
  strand_clock_advance (4 * SECOND); /* what was found in the store is no fresher for it */
  ask (b, "a");
  g_assert_cmpint (n_runs, ==, 2);
}

#define N_THREADS 8
#define N_CALLS 200

static gpointer
be_one_of_a_crowd (gpointer data)
{
  static const char *const texts[] = { "a", "b", "fail", "c", "d" };
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < N_CALLS; i++)
    g_ptr_array_add (handles, strand_task_call (data, "(s)", texts[i % G_N_ELEMENTS (texts)]));
  for (guint i = 0; i < N_CALLS; i += 7)
    strand_handle_cancel (handles->pdata[i]);
  count_of (handles, STRAND_STATUS_COMPLETED);
  return NULL;
}

static void
test_a_crowd_loses_nobody (Fixture *f, gconstpointer shared)
{
  g_autoptr(StrandTask) task = around (f, make_cache ("max-entries", 3, "period", (gint64) 1000, "store",
                                                       shared != NULL ? f->store : NULL, NULL));
  GThread *threads[N_THREADS];

  gate_open (&gate);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("crowd", be_one_of_a_crowd, task);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (n_runs, >, 0);
}

static void
check_refused_keyfile (const char *settings, const char *expected)
{
  g_autofree char *text =
      g_strconcat ("[middleware m]\ntype=cache\n", settings,
                   "[store s]\ntype=memory\n[backend b]\ntype=thread\nstore=s\nmiddleware=m\n", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (text, -1, "test.conf", &error);
  g_autoptr(GObject) backend =
      stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_BACKEND, "b", &error) : NULL;

  g_assert_null (backend);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' is not in: %s", expected, error->message);
}

static void
test_wrong_settings_name_the_key (void)
{
  check_refused_keyfile ("period=1s\n", "functions");
  check_refused_keyfile ("functions=*\nperiod=0\n", "period");
  check_refused_keyfile ("functions=*\nmax-entries=0\n", "max-entries");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

#define ADD(name, func, data) g_test_add ("/cache/" name, Fixture, data, set_up, func, tear_down)
  ADD ("given-again-for-the-period", test_a_value_is_given_again_for_the_period, NULL);
  ADD ("hundred-at-once-run-once", test_a_hundred_at_once_run_once, NULL);
  ADD ("failure-is-the-runners-own", test_a_failure_is_the_runners_own, NULL);
  ADD ("cancelled-run-takes-nobody-along", test_a_cancelled_run_takes_nobody_along, NULL);
  ADD ("bounded", test_what_is_kept_is_bounded, NULL);
  ADD ("store-answers-others", test_a_store_answers_other_processes, NULL);
  ADD ("crowd-loses-nobody", test_a_crowd_loses_nobody, NULL);
  ADD ("crowd-loses-nobody-with-store", test_a_crowd_loses_nobody, "shared");
  g_test_add_func ("/cache/wrong-settings", test_wrong_settings_name_the_key);

  return g_test_run ();
}
