/* test-rate-limit-middleware.c — so many calls in a period and no more: here, with others, and in what order.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../../plugins/middleware/rate-bucket.h"
#include "../core/call-fixture.h"
#include "../core/store-fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)
#define HOUR (3600 * SECOND)

/* As the plugin numbers them. */
enum
{
  MODE_REJECT,
  MODE_WAIT
};

/* The two ways to count, by themselves. */

/* How many of @times lie in the period that ends with the @n-th. */
static guint
count_period (GArray *times, guint n, gint64 per_us)
{
  guint count = 0;

  for (guint i = n + 1;
       i-- > 0 && g_array_index (times, gint64, i) > g_array_index (times, gint64, n) - per_us;)
    count++;
  return count;
}

/* Calls come at random; those for which there is room go. */
static GArray *
simulate (RateBucket *bucket, guint n, gint64 longest_gap_us)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed (7);
  GArray *times = g_array_new (FALSE, FALSE, sizeof (gint64));
  gint64 now_us = NOON;

  for (guint i = 0; i < n; i++)
    {
      now_us += g_rand_int_range (rand, 0, (gint32) longest_gap_us);
      if (rate_bucket_next (bucket, now_us) > now_us)
        continue;
      g_assert_cmpint (rate_bucket_take (bucket, now_us), ==, now_us);
      g_array_append_val (times, now_us);
    }
  return times;
}

static void
test_a_window_never_holds_more (void)
{
  const RateLimits limits = { RATE_SLIDING_WINDOW, 50, SECOND, 50 };
  g_autoptr(RateBucket) bucket = rate_bucket_new (&limits);
  g_autoptr(GArray) times = simulate (bucket, 20000, 10000);
  guint fullest = 0;

  for (guint i = 0; i < times->len; i++)
    fullest = MAX (fullest, count_period (times, i, SECOND));
  g_assert_cmpuint (fullest, ==, 50);
}

static void
test_a_large_window_is_right_to_a_thousandth (void)
{
  const RateLimits limits = { RATE_SLIDING_WINDOW, 20000, SECOND, 20000 };
  g_autoptr(RateBucket) bucket = rate_bucket_new (&limits);
  g_autoptr(GArray) times = simulate (bucket, 200000, 50);
  guint fullest = 0;
  double seconds =
      (double) (g_array_index (times, gint64, times->len - 1) - g_array_index (times, gint64, 0)) / 1e6;

  for (guint i = 0; i < times->len; i += 97)
    fullest = MAX (fullest, count_period (times, i, SECOND));
  g_assert_cmpuint (fullest, <=, 20000);
  g_assert_cmpfloat ((double) times->len, >=, 20000 * seconds * 0.998);
}

static void
test_a_bucket_gives_its_burst_and_then_its_rate (void)
{
  const RateLimits limits = { RATE_TOKEN_BUCKET, 7, SECOND, 20 };
  g_autoptr(RateBucket) bucket = rate_bucket_new (&limits);
  gint64 now_us = NOON;

  for (guint i = 0; i < 20; i++)
    g_assert_cmpint (rate_bucket_take (bucket, now_us), ==, now_us);
  /* A million places ahead, each a seventh of a second: nothing is lost to rounding. */
  for (guint i = 1; i <= 700000; i++)
    {
      gint64 time_us = rate_bucket_take (bucket, now_us);

      g_assert_cmpint ((time_us - NOON) * 7, >=, i * SECOND);
      if (i % 7 == 0)
        g_assert_cmpint (time_us, ==, NOON + (i / 7) * SECOND);
    }
  g_assert_false (rate_bucket_is_idle (bucket, NOON + 100000 * SECOND));
  g_assert_true (rate_bucket_is_idle (bucket, NOON + 100003 * SECOND));
}

static void
test_a_bucket_goes_on_elsewhere (void)
{
  for (RateAlgorithm algorithm = RATE_TOKEN_BUCKET; algorithm <= RATE_SLIDING_WINDOW; algorithm++)
    {
      const RateLimits limits = { algorithm, 3, SECOND, 3 };
      g_autoptr(RateBucket) here = rate_bucket_new (&limits);
      g_autoptr(RateBucket) there = rate_bucket_new (&limits);

      for (guint i = 0; i < 100; i++)
        {
          g_autoptr(GVariant) state = g_variant_ref_sink (rate_bucket_save (here));
          RateBucket *other = here;
          gint64 now_us = NOON + i * 100000;

          rate_bucket_load (there, state);
          g_assert_cmpint (rate_bucket_next (here, now_us), ==, rate_bucket_next (there, now_us));
          rate_bucket_take (there, now_us);
          here = there;
          there = other;
        }
    }
}

static void
test_a_place_given_back_is_there_again (void)
{
  for (RateAlgorithm algorithm = RATE_TOKEN_BUCKET; algorithm <= RATE_SLIDING_WINDOW; algorithm++)
    {
      const RateLimits limits = { algorithm, 1, SECOND, 1 };
      g_autoptr(RateBucket) bucket = rate_bucket_new (&limits);

      rate_bucket_take (bucket, NOON);
      g_assert_cmpint (rate_bucket_take (bucket, NOON), ==, NOON + SECOND);
      rate_bucket_give_back (bucket);
      g_assert_cmpint (rate_bucket_next (bucket, NOON), ==, NOON + SECOND);
    }
}

/* A clock that is set back stops nobody for longer than a period. */
static void
test_a_clock_set_back_is_survived (void)
{
  for (RateAlgorithm algorithm = RATE_TOKEN_BUCKET; algorithm <= RATE_SLIDING_WINDOW; algorithm++)
    {
      const RateLimits limits = { algorithm, 1, SECOND, 1 };
      g_autoptr(RateBucket) bucket = rate_bucket_new (&limits);

      rate_bucket_take (bucket, NOON);
      g_assert_cmpint (rate_bucket_next (bucket, NOON - HOUR), <=, NOON - HOUR + SECOND);
    }
}

/* Around calls. */

typedef struct
{
  StrandStore *store;
  GPtrArray *backends;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->store = make_store ("memory", NULL);
  f->backends = g_ptr_array_new_with_free_func ((GDestroyNotify) close_backend);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  strand_clock_set_system ();
  g_ptr_array_unref (f->backends);
  g_object_unref (f->store);
}

/* A backend with this middleware; belongs to the fixture. */
static StrandBackend *
around (Fixture *f, gpointer middleware)
{
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(GObject) held = middleware;
  StrandBackend *backend;

  g_list_store_append (chain, held);
  backend = make_backend ("local", "taskrunner", runner, "store", f->store, "middleware", chain, NULL);
  g_ptr_array_add (f->backends, backend);
  return backend;
}

static StrandHandle *
call (StrandBackend *backend, const char *name, GVariant *arguments)
{
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));

  return strand_task_call_value (task, arguments);
}

static gboolean
goes (StrandHandle *taken)
{
  g_autoptr(StrandHandle) handle = taken;
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
  if (strand_handle_get_error (handle) == NULL)
    return TRUE;
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_REFUSED);
  return FALSE;
}

static guint
count_going (StrandBackend *backend, guint n, const char *name, const char *text)
{
  guint n_going = 0;

  for (guint i = 0; i < n; i++)
    n_going += goes (call (backend, name, text != NULL ? g_variant_new ("(s)", text) : NULL));
  return n_going;
}

#define make_limit(...) make_object (STRAND_KIND_MIDDLEWARE, "rate-limit", __VA_ARGS__)

static void
test_what_is_above_the_rate_is_refused (Fixture *f, gconstpointer unused)
{
  StrandBackend *backend;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  strand_clock_set_manual (NOON);
  backend = around (f, make_limit ("max-calls", 3, "per", 60 * SECOND, NULL));
  g_assert_cmpuint (count_going (backend, 3, "test.nothing", NULL), ==, 3);
  handle = call (backend, "test.nothing", NULL);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_cmpstr (strand_handle_get_error (handle)->message, ==,
                   "'rate-limit' refused the call: there were 3 calls in 1min, which is the limit for "
                   "'test.nothing'; try again at 2023-11-14T22:13:40Z");
  strand_clock_advance (20 * SECOND - 1);
  g_assert_cmpuint (count_going (backend, 1, "test.nothing", NULL), ==, 0);
  strand_clock_advance (1);
  g_assert_cmpuint (count_going (backend, 2, "test.nothing", NULL), ==, 1);
}

static void
test_a_window_refuses_until_the_oldest_leaves (Fixture *f, gconstpointer unused)
{
  StrandBackend *backend;

  strand_clock_set_manual (NOON);
  backend =
      around (f, make_limit ("max-calls", 2, "per", 60 * SECOND, "algorithm", RATE_SLIDING_WINDOW, NULL));
  g_assert_cmpuint (count_going (backend, 1, "test.nothing", NULL), ==, 1);
  strand_clock_advance (30 * SECOND);
  g_assert_cmpuint (count_going (backend, 2, "test.nothing", NULL), ==, 1);
  strand_clock_advance (30 * SECOND);
  g_assert_cmpuint (count_going (backend, 2, "test.nothing", NULL), ==, 1);
}

static void
test_what_counts_together_is_chosen (Fixture *f, gconstpointer unused)
{
  StrandBackend *apart = around (f, make_limit ("max-calls", 1, "per", HOUR, NULL));
  StrandBackend *together = around (f, make_limit ("max-calls", 1, "per", HOUR, "scope", 2, NULL));
  StrandBackend *by_text = around (
      f, make_limit ("max-calls", 1, "per", HOUR, "scope", 1, "parameter", "text", "max-keys", 3, NULL));
  const char *const only[] = { "test.e*", NULL };
  StrandBackend *some = around (f, make_limit ("max-calls", 1, "per", HOUR, "functions", only, NULL));

  g_assert_cmpuint (count_going (apart, 2, "test.nothing", NULL), ==, 1);
  g_assert_cmpuint (count_going (apart, 2, "test.echo", "a"), ==, 1);

  g_assert_cmpuint (count_going (together, 2, "test.nothing", NULL), ==, 1);
  g_assert_cmpuint (count_going (together, 2, "test.echo", "a"), ==, 0);

  g_assert_cmpuint (count_going (by_text, 2, "test.echo", "a"), ==, 1);
  g_assert_cmpuint (count_going (by_text, 2, "test.echo", "b"), ==, 1);
  g_assert_cmpuint (count_going (by_text, 2, "test.nothing", NULL), ==, 1); /* has no such parameter */
  g_assert_cmpuint (count_going (by_text, 2, "test.echo", "c"), ==, 0);     /* one value too many */

  g_assert_cmpuint (count_going (some, 3, "test.nothing", NULL), ==, 3);
  g_assert_cmpuint (count_going (some, 3, "test.echo", "a"), ==, 1);
}

static void
test_values_are_forgotten_when_they_are_as_new (Fixture *f, gconstpointer unused)
{
  StrandBackend *backend;

  strand_clock_set_manual (NOON);
  backend = around (
      f, make_limit ("max-calls", 1, "per", HOUR, "scope", 1, "parameter", "text", "max-keys", 1, NULL));
  g_assert_cmpuint (count_going (backend, 1, "test.echo", "a"), ==, 1);
  g_assert_cmpuint (count_going (backend, 1, "test.echo", "b"), ==, 0);
  strand_clock_advance (HOUR);
  g_assert_cmpuint (count_going (backend, 1, "test.echo", "b"), ==, 1);
}

/* Waiting. */

/* Calls of test.echo with 0, 1, 2 …, which tell in which order they ended. */
static GPtrArray *
call_numbered (StrandBackend *backend, guint n, Told *told)
{
  g_autoptr(StrandFunction) function = fixture_function ("test.echo");
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));
  GPtrArray *handles = g_ptr_array_new_with_free_func (g_object_unref);

  told_listen (told, task);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("%u", i);

      g_ptr_array_add (handles, strand_task_call (task, "(s)", text));
    }
  return handles;
}

static gboolean
is_recorded (Fixture *f, GPtrArray *handles)
{
  return strand_store_count (f->store, NULL, NULL) == handles->len;
}

/* The clerk has asked the middleware about the last call when it has written a later one's record twice. */
static void
wait_until_asked (Fixture *f, StrandBackend *backend, GPtrArray *handles)
{
  wait_until (is_recorded (f, handles));
  /* One that is not meant goes through, behind the others. */
  g_assert_true (goes (call (backend, "test.nothing", NULL)));
}

static const char *const only_echo[] = { "test.echo", NULL };

static void
test_who_comes_first_goes_first (Fixture *f, gconstpointer unused)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(GPtrArray) handles = NULL;
  g_autofree char *log = NULL;
  StrandBackend *backend;

  strand_clock_set_manual (NOON);
  backend =
      around (f, make_limit ("max-calls", 1, "per", SECOND, "mode", MODE_WAIT, "functions", only_echo, NULL));
  handles = call_numbered (backend, 5, told);
  wait_until_asked (f, backend, handles);
  for (guint i = 0; i < 5; i++)
    {
      wait_until (told_count_over (told) == i + 1);
      strand_clock_advance (SECOND - 1);
      g_assert_true (goes (call (backend, "test.nothing", NULL)));
      g_assert_cmpuint (told_count_over (told), ==, i + 1);
      strand_clock_advance (1);
    }
  log = told_dup_log (told);
  g_assert_cmpstr (log, ==, "end '0'; end '1'; end '2'; end '3'; end '4'");
}

static void
test_a_cancelled_waiter_leaves_its_place (Fixture *f, gconstpointer unused)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(GPtrArray) handles = NULL;
  g_autofree char *log = NULL;
  StrandBackend *backend;

  strand_clock_set_manual (NOON);
  backend =
      around (f, make_limit ("max-calls", 1, "per", SECOND, "mode", MODE_WAIT, "functions", only_echo, NULL));
  handles = call_numbered (backend, 4, told);
  wait_until_asked (f, backend, handles);
  wait_until (told_count_over (told) == 1);
  g_assert_true (strand_handle_cancel (handles->pdata[1]));
  wait_until (told_count_over (told) == 2);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  strand_clock_advance (SECOND);
  wait_until (told_count_over (told) == 3);
  strand_clock_advance (SECOND);
  wait_until (told_count_over (told) == 4);
  log = told_dup_log (told);
  g_assert_nonnull (strstr (log, "end '0'"));
  g_assert_nonnull (strstr (log, "end '2'; end '3'"));
  /* Three went in this second and the two before it, so the fourth has a place at once. */
  strand_clock_advance (SECOND);
  g_assert_true (goes (call (backend, "test.echo", g_variant_new ("(s)", "x"))));
}

static void
test_waiting_has_bounds (Fixture *f, gconstpointer unused)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(GPtrArray) handles = NULL;
  StrandBackend *by_time, *by_number;

  strand_clock_set_manual (NOON);
  by_time = around (f, make_limit ("max-calls", 1, "per", SECOND, "mode", MODE_WAIT, "max-wait", 2 * SECOND,
                                   "functions", only_echo, NULL));
  handles = call_numbered (by_time, 4, told); /* now, in 1 s, in 2 s, never */
  wait_until_asked (f, by_time, handles);
  wait_until (told_count_over (told) == 2);
  g_assert_cmpuint (told->n_errors, ==, 1);
  g_assert_error (told->error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  strand_clock_advance (2 * SECOND);
  wait_until (told_count_over (told) == 4);
  g_assert_cmpuint (told->n_ends, ==, 3);

  by_number = around (f, make_limit ("max-calls", 1, "per", SECOND, "mode", MODE_WAIT, "max-waiting", 1,
                                     "functions", only_echo, NULL));
  g_clear_pointer (&handles, g_ptr_array_unref);
  handles = call_numbered (by_number, 3, told);
  wait_until (told_count_over (told) == 6);
  g_assert_cmpuint (told->n_errors, ==, 2);
  g_assert_nonnull (strstr (told->error->message, "'max-waiting'"));
  strand_clock_advance (SECOND);
  wait_until (told_count_over (told) == 7);
}

/* With others. */

static void
test_equal_limits_share_a_store (Fixture *f, gconstpointer algorithm)
{
  StrandBackend *a, *b, *other;
  guint n_going = 0;

  strand_clock_set_manual (NOON);
#define SHARED                                                                                               \
  "max-calls", 10, "per", 60 * SECOND, "store", f->store, "algorithm", GPOINTER_TO_INT (algorithm)
  a = around (f, make_limit (SHARED, NULL));
  b = around (f, make_limit (SHARED, NULL));
  other = around (f, make_limit (SHARED, "name", "other", NULL));
  for (guint i = 0; i < 10; i++)
    n_going += count_going (i % 2 == 0 ? a : b, 2, "test.nothing", NULL);
  g_assert_cmpuint (n_going, ==, 10);
  g_assert_cmpuint (count_going (other, 1, "test.nothing", NULL), ==, 1);
  strand_clock_advance (60 * SECOND);
  g_assert_cmpuint (count_going (a, 11, "test.nothing", NULL), ==, 10);
  g_assert_cmpuint (count_going (b, 1, "test.nothing", NULL), ==, 0);
}

static void
test_who_waits_together_keeps_the_rate (Fixture *f, gconstpointer unused)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(GPtrArray) first = NULL;
  g_autoptr(GPtrArray) second = NULL;
  StrandBackend *a, *b;

  strand_clock_set_manual (NOON);
#define WAITING "max-calls", 1, "per", SECOND, "store", f->store, "mode", MODE_WAIT
  a = around (f, make_limit (WAITING, NULL));
  b = around (f, make_limit (WAITING, NULL));
  first = call_numbered (a, 3, told);
  second = call_numbered (b, 3, told);
  /* Six calls at one a second: the sixth goes in the fifth second, or later if it was counted later. */
  wait_until (told_count_over (told) == 6 || (strand_clock_advance (SECOND / 100), FALSE));
  g_assert_cmpuint (told->n_ends, ==, 6);
  g_assert_cmpint (strand_clock_now_us (), >=, NOON + 5 * SECOND);
}

static void
test_a_cancelled_call_of_a_shared_limit_ends (Fixture *f, gconstpointer unused)
{
  g_autoptr(Told) told = told_new ();
  g_autoptr(GPtrArray) handles = NULL;
  StrandBackend *a;

  strand_clock_set_manual (NOON);
  a = around (f, make_limit (WAITING, NULL));
  handles = call_numbered (a, 4, told);
  wait_until (told_count_over (told) == 1);
  for (guint i = 1; i < 4; i++)
    strand_handle_cancel (handles->pdata[i]);
  wait_until (told_count_over (told) == 4);
  g_assert_cmpuint (told->n_errors, ==, 3);
}

static void
test_what_cannot_be_counted_is_refused_or_allowed (Fixture *f, gconstpointer unused)
{
  char *folder = fixture_make_folder ();
  g_autofree char *file = g_build_filename (folder, "file", NULL);
  g_autofree char *path = g_build_filename (file, "store", NULL);
  g_autoptr(StrandStore) broken = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  StrandBackend *closed, *open;

  g_assert_true (g_file_set_contents (file, "", 0, NULL));
  broken = make_store ("filesystem", "path", path, NULL);
  closed = around (f, make_limit ("max-calls", 1, "store", broken, NULL));
  open = around (f, make_limit ("max-calls", 1, "store", broken, "store-failure", 1, NULL));
  handle = call (closed, "test.nothing", NULL);
  g_assert_false (goes (g_object_ref (handle)));
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "could not be counted"));
  g_assert_cmpuint (count_going (open, 2, "test.nothing", NULL), ==, 2);
  fixture_remove_folder (folder);
}

/* Four processes, each wanting more than there is: between them they get exactly that. */

#define N_PROCESSES 4
#define N_WANTED 150
#define N_ALLOWED 200

static int
be_a_process (const char *type, const char *folder, const char *algorithm)
{
  Fixture f;
  StrandBackend *backend;
  g_autoptr(StrandStore) shared = fixture_open_store (type, folder);
  guint n_going;

  set_up (&f, NULL);
  backend = around (&f, make_limit ("max-calls", N_ALLOWED, "per", 24 * HOUR, "store", shared, "algorithm",
                                    atoi (algorithm), NULL));
  n_going = count_going (backend, N_WANTED, "test.nothing", NULL);
  g_print ("%u\n", n_going);
  tear_down (&f, NULL);
  strand_store_close (shared);
  return 0;
}

static void
test_processes_share_what_there_is (Fixture *f, gconstpointer type)
{
  for (guint algorithm = RATE_TOKEN_BUCKET; algorithm <= RATE_SLIDING_WINDOW; algorithm++)
    {
      char *folder = fixture_make_folder ();
      g_autoptr(StrandStore) store = fixture_open_store (type, folder);
      g_autofree char *number = g_strdup_printf ("%u", algorithm);
      GSubprocess *processes[N_PROCESSES];
      guint n_going = 0;

      for (guint i = 0; i < N_PROCESSES; i++)
        processes[i] = fixture_spawn ("--count", type, folder, number, NULL);
      for (guint i = 0; i < N_PROCESSES; i++)
        {
          g_autofree char *line = fixture_read_line (processes[i]);

          n_going += (guint) atoi (line);
          fixture_expect_exit (processes[i]);
          g_object_unref (processes[i]);
        }
      g_assert_cmpuint (n_going, ==, N_ALLOWED);
      strand_store_close (store);
      fixture_remove_folder (folder);
    }
}

/* Four processes that never stop asking, for some seconds; with `-m slow`, for a minute. By the clock that
 * the store keeps, they get what has come in, and lose nothing of it: a period is long, so that the bucket is
 * not full again before somebody asks. */

#define RATE 200u /* a second */
#define PERIOD_S 10

static int stop_asking; /* atomic */

static gpointer
stop_at_the_end_of_input (gpointer unused)
{
  while (getchar () != EOF)
    ;
  g_atomic_int_set (&stop_asking, TRUE);
  return NULL;
}

static gpointer
make_steady_limit (StrandStore *shared)
{
  return make_limit ("max-calls", RATE * PERIOD_S, "per", PERIOD_S * SECOND, "store", shared, NULL);
}

static int
ask_all_the_time (const char *type, const char *folder)
{
  Fixture f;
  StrandBackend *backend;
  g_autoptr(StrandStore) shared = fixture_open_store (type, folder);
  guint n_going = 0;

  set_up (&f, NULL);
  backend = around (&f, make_steady_limit (shared));
  g_thread_unref (g_thread_new ("stop", stop_at_the_end_of_input, NULL));
  while (!g_atomic_int_get (&stop_asking))
    n_going += count_going (backend, 1, "test.nothing", NULL);
  g_print ("%u\n", n_going);
  tear_down (&f, NULL);
  strand_store_close (shared);
  return 0;
}

/* What the store says: until when it has counted, and what is left. */
static void
read_count (StrandStore *store, gint64 *at_us, gint64 *level)
{
  const StrandFilter filter = { .kind = "limit" };
  g_autoptr(StrandPage) page = strand_store_list (store, &filter, NULL, 10, NULL);
  GPtrArray *records = strand_page_get_records (page);
  g_autoptr(GVariant) state = NULL;

  g_assert_cmpuint (records->len, ==, 1);
  state = g_variant_lookup_value (
      strand_record_get_variant (g_ptr_array_index (records, 0), STRAND_FIELD_METADATA), "state", NULL);
  g_variant_get (state, "(xxa(xx))", at_us, level, NULL);
}

static gboolean
has_counted_until (StrandStore *store, gint64 time_us)
{
  gint64 at_us, level;

  read_count (store, &at_us, &level);
  return at_us >= time_us;
}

static guint
count_of_all (GSubprocess *processes[N_PROCESSES])
{
  guint n = 0;

  for (guint i = 0; i < N_PROCESSES; i++)
    g_output_stream_close (g_subprocess_get_stdin_pipe (processes[i]), NULL, NULL);
  for (guint i = 0; i < N_PROCESSES; i++)
    {
      g_autofree char *line = fixture_read_line (processes[i]);

      n += (guint) atoi (line);
      fixture_expect_exit (processes[i]);
      g_object_unref (processes[i]);
    }
  return n;
}

static void
test_processes_keep_the_rate (Fixture *f, gconstpointer type)
{
  gint64 lasts_us = g_test_slow () ? 60 * SECOND : 3 * SECOND;
  gint64 deadline_us = g_get_monotonic_time () + lasts_us + DEADLINE_US;
  g_autoptr(StrandStore) store = NULL;
  GSubprocess *processes[N_PROCESSES];
  gint64 begin_us, end_us, level_before, level_after, n_came_in;
  StrandBackend *backend;
  char *folder;
  guint n_going;

  folder = fixture_make_folder ();
  store = fixture_open_store (type, folder);
  backend = around (f, make_steady_limit (store));
  while (goes (call (backend, "test.nothing", NULL))) /* what is there at first */
    ;
  read_count (store, &begin_us, &level_before);
  for (guint i = 0; i < N_PROCESSES; i++)
    processes[i] = fixture_spawn ("--ask", type, folder, NULL);
  while (!has_counted_until (store, begin_us + lasts_us))
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline_us);
      wait_turn ();
    }
  n_going = count_of_all (processes);
  read_count (store, &end_us, &level_after);

  /* A call costs a period, and a microsecond brings `max-calls`: whole numbers, all of them. */
  n_came_in = (level_before - level_after + (end_us - begin_us) * RATE * PERIOD_S) / (PERIOD_S * SECOND);
  g_test_message ("%s: %u calls went in %.3f s by the store's clock, in which %" G_GINT64_FORMAT
                  " tokens were taken: %.3f %%",
                  (const char *) type, n_going, (double) (end_us - begin_us) / SECOND, n_came_in,
                  100.0 * n_going / (double) n_came_in);
  g_assert_cmpint (ABS ((gint64) n_going - n_came_in) * 100, <=, n_came_in);
  strand_store_close (store);
  fixture_remove_folder (folder);
}

/* Eight threads call, and cancel some of what they called. */

#define N_THREADS 8
#define N_CALLS 200

typedef struct
{
  StrandBackend *backend;
  int n_ended; /* atomic */
} Crowd;

static gpointer
be_one_of_a_crowd (gpointer data)
{
  Crowd *crowd = data;
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);

  for (guint i = 0; i < N_CALLS; i++)
    g_ptr_array_add (handles, call (crowd->backend, "test.echo", g_variant_new ("(s)", "x")));
  for (guint i = 0; i < N_CALLS; i += 3)
    strand_handle_cancel (handles->pdata[i]);
  for (guint i = 0; i < N_CALLS; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (strand_handle_wait (handles->pdata[i], DEADLINE_US, &error));
      strand_handle_get_error (handles->pdata[i]);
      g_atomic_int_inc (&crowd->n_ended);
    }
  return NULL;
}

static void
test_a_crowd_loses_nobody (Fixture *f, gconstpointer shared)
{
  Crowd crowd = { around (f, make_limit ("max-calls", 1000, "per", SECOND / 4, "mode", MODE_WAIT, "max-wait",
                                         (gint64) -1, "store", shared != NULL ? f->store : NULL, NULL)),
                  0 };
  GThread *threads[N_THREADS];

  for (guint i = 0; i < N_THREADS; i++)
    threads[i] = g_thread_new ("crowd", be_one_of_a_crowd, &crowd);
  for (guint i = 0; i < N_THREADS; i++)
    g_thread_join (threads[i]);
  g_assert_cmpint (crowd.n_ended, ==, N_THREADS * N_CALLS);
}

static void
check_refused_keyfile (const char *settings, const char *expected)
{
  g_autofree char *text =
      g_strconcat ("[middleware limit]\ntype=rate-limit\n", settings,
                   "[store s]\ntype=memory\n[backend b]\ntype=thread\nstore=s\nmiddleware=limit\n", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_data (text, -1, "test.conf", &error);
  g_autoptr(GObject) backend =
      stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_BACKEND, "b", &error) : NULL;

  g_assert_null (backend);
  g_assert_nonnull (error);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' is not in: %s", expected, error->message);
}

static void
test_wrong_settings_name_the_key (void)
{
  check_refused_keyfile ("per=1s\n", "max-calls");
  check_refused_keyfile ("max-calls=0\n", "max-calls");
  check_refused_keyfile ("max-calls=1\nper=none\n", "per");
  check_refused_keyfile ("max-calls=1\nmode=drop\n", "reject");
  check_refused_keyfile ("max-calls=1\nscope=parameter\n", "set it to a parameter's name");
  check_refused_keyfile ("max-calls=1\nparameter=user\n", "set 'scope=parameter' or remove 'parameter'");
  check_refused_keyfile ("max-calls=1\nburst=5\nalgorithm=sliding-window\n", "remove 'burst'");
  check_refused_keyfile ("max-calls=1\nfunctions=a;;b\n", "functions");
}

#define ADD_FOR_STORES(name, func)                                                                           \
  fixture_add_for_stores (stores, "/rate-limit", name, Fixture, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 4 && strcmp (argv[1], "--ask") == 0)
    {
      fixture_add_functions ();
      return ask_all_the_time (argv[2], argv[3]);
    }
  if (argc == 5 && strcmp (argv[1], "--count") == 0)
    {
      fixture_add_functions ();
      return be_a_process (argv[2], argv[3], argv[4]);
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/rate-limit") + 1; /* memory, the first, is shared with nobody */
  fixture_add_functions ();

  g_test_add_func ("/rate-bucket/window-never-holds-more", test_a_window_never_holds_more);
  g_test_add_func ("/rate-bucket/large-window-is-right-to-a-thousandth",
                   test_a_large_window_is_right_to_a_thousandth);
  g_test_add_func ("/rate-bucket/burst-and-then-rate", test_a_bucket_gives_its_burst_and_then_its_rate);
  g_test_add_func ("/rate-bucket/goes-on-elsewhere", test_a_bucket_goes_on_elsewhere);
  g_test_add_func ("/rate-bucket/place-given-back", test_a_place_given_back_is_there_again);
  g_test_add_func ("/rate-bucket/clock-set-back", test_a_clock_set_back_is_survived);

#define ADD(name, func) ADD_WITH (name, func, NULL)
#define ADD_WITH(name, func, data) g_test_add ("/rate-limit/" name, Fixture, data, set_up, func, tear_down)
  ADD ("reject/above-the-rate", test_what_is_above_the_rate_is_refused);
  ADD ("reject/window-until-the-oldest-leaves", test_a_window_refuses_until_the_oldest_leaves);
  ADD ("scope/is-chosen", test_what_counts_together_is_chosen);
  ADD ("scope/values-are-forgotten", test_values_are_forgotten_when_they_are_as_new);
  ADD ("wait/first-come-first-served", test_who_comes_first_goes_first);
  ADD ("wait/cancelled-leaves-its-place", test_a_cancelled_waiter_leaves_its_place);
  ADD ("wait/has-bounds", test_waiting_has_bounds);
  ADD_WITH ("wait/crowd-loses-nobody", test_a_crowd_loses_nobody, NULL);
  ADD_WITH ("shared/equal-limits", test_equal_limits_share_a_store, GINT_TO_POINTER (RATE_TOKEN_BUCKET));
  ADD_WITH ("shared/equal-windows", test_equal_limits_share_a_store, GINT_TO_POINTER (RATE_SLIDING_WINDOW));
  ADD ("shared/waiters-keep-the-rate", test_who_waits_together_keeps_the_rate);
  ADD ("shared/cancelled", test_a_cancelled_call_of_a_shared_limit_ends);
  ADD ("shared/store-failure", test_what_cannot_be_counted_is_refused_or_allowed);
  ADD_FOR_STORES ("processes-share-what-there-is", test_processes_share_what_there_is);
  ADD_FOR_STORES ("processes-keep-the-rate", test_processes_keep_the_rate);
  ADD_WITH ("shared/crowd-loses-nobody", test_a_crowd_loses_nobody, "shared");
  g_test_add_func ("/rate-limit/keyfile/wrong-settings", test_wrong_settings_name_the_key);

  return fixture_run_tests ();
}
