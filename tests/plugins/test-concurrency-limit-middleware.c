/* test-concurrency-limit-middleware.c — so many at a time and no more: here, with others, and after their
 * death. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../../plugins/middleware/seat-table.h"
#include "../core/call-fixture.h"

#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)

/* As the plugin numbers them. */
enum
{
  MODE_REJECT,
  MODE_WAIT
};

static Gate gate;
static int n_inside; /* atomic, as the next */
static int most_inside;

/* `own.sit` stands at the gate, and counts how many do so at a time. */
static GVariant *
sit (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  int inside = g_atomic_int_add (&n_inside, 1) + 1, most;

  while ((most = g_atomic_int_get (&most_inside)) < inside &&
         !g_atomic_int_compare_and_exchange (&most_inside, most, inside))
    ;
  gate_pass (&gate);
  g_atomic_int_add (&n_inside, -1);
  return NULL;
}

typedef struct
{
  StrandStore *store;
  StrandFunction *function;
  GPtrArray *backends;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  n_inside = most_inside = 0;
  gate_init (&gate);
  f->store = make_store ("memory", NULL);
  f->function = strand_function_new ("own.sit", "", NULL, STRAND_TRAIT_NONE, sit, NULL, NULL, NULL);
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

#define make_limit(...) make_object (STRAND_KIND_MIDDLEWARE, "concurrency-limit", __VA_ARGS__)

static StrandTask *
around (Fixture *f, gpointer middleware)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 8, NULL);
  StrandBackend *backend;

  g_list_store_append (chain, middleware);
  g_object_unref (middleware);
  backend = make_backend ("local", "taskrunner", runner, "store", f->store, "middleware", chain, NULL);
  g_ptr_array_add (f->backends, backend);
  return strand_task_new (f->function, G_OBJECT (backend));
}

static GPtrArray *
call_often (StrandTask *task, guint n)
{
  GPtrArray *handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < n; i++)
    g_ptr_array_add (handles, strand_task_call (task, NULL));
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
      g_assert_no_error (error);
      strand_handle_get_error (handles->pdata[i]);
      n += strand_handle_get_status (handles->pdata[i]) == status;
    }
  return n;
}

static void
test_so_many_run_at_a_time (Fixture *f, gconstpointer shared)
{
  g_autoptr(StrandTask) task =
      around (f, make_limit ("max-calls", 3, "store", shared != NULL ? f->store : NULL, NULL));
  g_autoptr(GPtrArray) handles = call_often (task, 30);

  gate_wait_inside (&gate, 3);
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), ==, 30);
  g_assert_cmpint (most_inside, ==, 3);
}

static void
test_one_too_many_is_refused (Fixture *f, gconstpointer shared)
{
  g_autoptr(StrandTask) task = around (
      f, make_limit ("max-calls", 2, "mode", MODE_REJECT, "store", shared != NULL ? f->store : NULL, NULL));
  g_autoptr(GPtrArray) two = call_often (task, 2);
  g_autoptr(GPtrArray) third = NULL;
  const GError *error;

  gate_wait_inside (&gate, 2);
  third = call_often (task, 1);
  g_assert_cmpuint (count_of (third, STRAND_STATUS_FAILED), ==, 1);
  error = strand_handle_get_error (third->pdata[0]);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_cmpstr (error->message, ==,
                   "'concurrency-limit' refused the call: 2 calls run, which is the limit");
  gate_open (&gate);
  g_assert_cmpuint (count_of (two, STRAND_STATUS_COMPLETED), ==, 2);
}

static void
test_waiting_has_bounds (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GPtrArray) handles = NULL;

  strand_clock_set_manual (NOON);
  task = around (f, make_limit ("max-calls", 1, "max-waiting", 2, "max-wait", 5 * SECOND, NULL));
  handles = call_often (task, 4);
  wait_until (strand_handle_get_status (handles->pdata[3]) == STRAND_STATUS_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handles->pdata[3])->message, "'max-waiting'"));
  strand_clock_advance (5 * SECOND);
  wait_until (strand_handle_get_status (handles->pdata[2]) == STRAND_STATUS_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handles->pdata[2])->message, "'max-wait'"));
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), ==, 1);
}

static void
test_a_cancelled_call_gives_up_its_place (Fixture *f, gconstpointer shared)
{
  g_autoptr(StrandTask) task =
      around (f, make_limit ("max-calls", 1, "store", shared != NULL ? f->store : NULL, NULL));
  g_autoptr(GPtrArray) handles = call_often (task, 4);

  gate_wait_inside (&gate, 1);
  strand_handle_cancel (handles->pdata[1]);
  wait_until (strand_handle_get_status (handles->pdata[1]) == STRAND_STATUS_CANCELLED);
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), ==, 3);
  g_assert_cmpint (most_inside, ==, 1);
}

static void
test_two_share_the_seats (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) a = around (f, make_limit ("max-calls", 2, "store", f->store, NULL));
  g_autoptr(StrandTask) b = around (f, make_limit ("max-calls", 2, "store", f->store, NULL));
  g_autoptr(GPtrArray) of_a = call_often (a, 20);
  g_autoptr(GPtrArray) of_b = call_often (b, 20);

  gate_wait_inside (&gate, 2);
  gate_open (&gate);
  g_assert_cmpuint (count_of (of_a, STRAND_STATUS_COMPLETED), ==, 20);
  g_assert_cmpuint (count_of (of_b, STRAND_STATUS_COMPLETED), ==, 20);
  g_assert_cmpint (most_inside, ==, 2);
}

/* Another process takes the only seat, and is killed. */

static int
be_a_process (const char *folder)
{
  Fixture f;
  g_autoptr(StrandStore) shared = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GPtrArray) handles = NULL;

  set_up (&f, NULL);
  task = around (&f, make_limit ("max-calls", 1, "store", shared, NULL));
  handles = call_often (task, 1);
  gate_wait_inside (&gate, 1);
  g_print ("inside\n");
  count_of (handles, STRAND_STATUS_COMPLETED);
  return 0;
}

static void
test_seats_of_the_dead_are_free (Fixture *f, gconstpointer unused)
{
  char *folder = fixture_make_folder ();
  g_autoptr(StrandStore) shared = make_store ("filesystem", "path", folder, NULL);
  g_autoptr(GSubprocess) process = fixture_spawn ("--sit", folder, NULL);
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GPtrArray) handles = NULL;

  fixture_expect_line (process, "inside");
  task = around (f, make_limit ("max-calls", 1, "store", shared, NULL));
  handles = call_often (task, 1);
  wait_until (strand_store_count (f->store, NULL, NULL) == 1);
  g_assert_cmpuint (gate_count_inside (&gate), ==, 0);
  g_subprocess_force_exit (process);
  g_subprocess_wait (process, NULL, NULL);
  gate_wait_inside (&gate, 1);
  gate_open (&gate);
  g_assert_cmpuint (count_of (handles, STRAND_STATUS_COMPLETED), ==, 1);
  g_ptr_array_set_size (f->backends, 0);
  strand_store_close (shared);
  fixture_remove_folder (folder);
}

/* The table by itself. */

#define A "limit:elsewhere:1:1:1:a"
#define B "limit:elsewhere:1:1:1:b"

static guint
change (SeatTable *table, GVariant **state, guint n_taken, guint n_wanted, gboolean renew)
{
  guint n_granted;
  GVariant *next = seat_table_change (table, *state, n_taken, n_wanted, TRUE, renew, &n_granted);

  if (next != NULL)
    {
      g_clear_pointer (state, g_variant_unref);
      *state = g_variant_take_ref (next);
    }
  return n_granted;
}

static void
test_processes_take_turns (void)
{
  SeatTable *a = seat_table_new (A, 2, 15 * SECOND), *b = seat_table_new (B, 2, 15 * SECOND);
  g_autoptr(GVariant) state = NULL;

  g_assert_cmpuint (change (a, &state, 0, 10, FALSE), ==, 2);
  g_assert_cmpuint (change (b, &state, 0, 10, FALSE), ==, 0);
  /* A stands first; a seat that it leaves is its own again, the next is B's. */
  g_assert_cmpuint (change (a, &state, 1, 8, FALSE), ==, 1);
  g_assert_cmpuint (change (a, &state, 1, 7, FALSE), ==, 0);
  g_assert_cmpuint (change (b, &state, 0, 10, FALSE), ==, 1);
  g_assert_cmpuint (change (b, &state, 0, 9, FALSE), ==, 0);
  g_assert_cmpuint (change (a, &state, 1, 7, FALSE), ==, 1);
  g_assert_cmpuint (change (a, &state, 2, 0, FALSE), ==, 0);
  g_assert_cmpuint (change (a, &state, 0, 0, FALSE), ==, 0);
  g_assert_cmpuint (change (b, &state, 0, 9, FALSE), ==, 2);
  seat_table_free (a);
  seat_table_free (b);
}

static void
test_a_silent_host_loses_its_seats (void)
{
  SeatTable *a = seat_table_new (A, 1, 15 * SECOND), *b = seat_table_new (B, 1, 15 * SECOND);
  g_autoptr(GVariant) state = NULL;

  strand_clock_set_manual (NOON);
  g_assert_cmpuint (change (a, &state, 0, 1, FALSE), ==, 1);
  g_assert_cmpuint (change (b, &state, 0, 1, FALSE), ==, 0);
  strand_clock_advance (14 * SECOND);
  change (a, &state, 1, 0, TRUE); /* it is alive */
  strand_clock_advance (14 * SECOND);
  g_assert_cmpuint (change (b, &state, 0, 1, FALSE), ==, 0); /* seen now */
  strand_clock_advance (15 * SECOND - 1);
  g_assert_cmpuint (change (b, &state, 0, 1, FALSE), ==, 0);
  strand_clock_advance (1);
  g_assert_cmpuint (change (b, &state, 0, 1, FALSE), ==, 1);
  strand_clock_set_system ();
  seat_table_free (a);
  seat_table_free (b);
}

#define N_THREADS 8
#define N_CALLS 100

static gpointer
be_one_of_a_crowd (gpointer task)
{
  g_autoptr(GPtrArray) handles = call_often (task, N_CALLS);

  for (guint i = 0; i < N_CALLS; i += 5)
    strand_handle_cancel (handles->pdata[i]);
  count_of (handles, STRAND_STATUS_COMPLETED);
  return NULL;
}

static void
test_a_crowd_loses_nobody (Fixture *f, gconstpointer shared)
{
  g_autoptr(StrandTask) task = around (f, make_limit ("max-calls", 3, "max-wait", (gint64) -1, "store",
                                                       shared != NULL ? f->store : NULL, NULL));
  GThread *threads[N_THREADS];

  gate_open (&gate);
  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("crowd", be_one_of_a_crowd, task);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (most_inside, <=, 3);
}

static void
check_refused_keyfile (const char *settings, const char *expected)
{
  g_autofree char *text =
      g_strconcat ("[middleware m]\ntype=concurrency-limit\n", settings,
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
  check_refused_keyfile ("mode=wait\n", "max-calls");
  check_refused_keyfile ("max-calls=0\n", "max-calls");
  check_refused_keyfile ("max-calls=1\nscope=parameter\n", "set it to a parameter's name");
  check_refused_keyfile ("max-calls=1\nlease=1ms\n", "lease");
}

int
main (int argc, char **argv)
{
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 3 && strcmp (argv[1], "--sit") == 0)
    return be_a_process (argv[2]);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/seat-table/processes-take-turns", test_processes_take_turns);
  g_test_add_func ("/seat-table/silent-host-loses-its-seats", test_a_silent_host_loses_its_seats);
#define ADD(name, func, data) g_test_add ("/concurrency-limit/" name, Fixture, data, set_up, func, tear_down)
  ADD ("here/so-many-at-a-time", test_so_many_run_at_a_time, NULL);
  ADD ("here/one-too-many-is-refused", test_one_too_many_is_refused, NULL);
  ADD ("here/waiting-has-bounds", test_waiting_has_bounds, NULL);
  ADD ("here/cancelled-gives-up-its-place", test_a_cancelled_call_gives_up_its_place, NULL);
  ADD ("here/crowd-loses-nobody", test_a_crowd_loses_nobody, NULL);
  ADD ("shared/so-many-at-a-time", test_so_many_run_at_a_time, "shared");
  ADD ("shared/one-too-many-is-refused", test_one_too_many_is_refused, "shared");
  ADD ("shared/cancelled-gives-up-its-place", test_a_cancelled_call_gives_up_its_place, "shared");
  ADD ("shared/two-share-the-seats", test_two_share_the_seats, NULL);
  ADD ("shared/seats-of-the-dead-are-free", test_seats_of_the_dead_are_free, NULL);
  ADD ("shared/crowd-loses-nobody", test_a_crowd_loses_nobody, "shared");
  g_test_add_func ("/concurrency-limit/keyfile/wrong-settings", test_wrong_settings_name_the_key);

  return g_test_run ();
}
