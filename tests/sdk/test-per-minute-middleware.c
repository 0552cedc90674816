/* test-per-minute-middleware.c — the example of a middleware keeps what middleware promises, and its limit.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include <string.h>

#define NOON G_GINT64_CONSTANT (1700000000000000)
#define SECOND ((gint64) G_USEC_PER_SEC)

static StrandStack *
new_stack (const char *max_calls, GError **error)
{
  g_autofree char *data = g_strdup_printf ("[strand]\nplugin-path=%s\n"
                                           "[middleware limit]\ntype=per-minute\nmax-calls=%s\n"
                                           "[backend jobs]\ntype=thread\nstore=memory\nmiddleware=limit\n",
                                           g_getenv ("STRAND_EXAMPLES"), max_calls);

  return strand_stack_new_from_data (data, -1, "test", error);
}

static gpointer
make (StrandConformance *self, gpointer max_calls, GError **error)
{
  g_autoptr(StrandStack) stack = new_stack (max_calls, error);

  return stack != NULL ? strand_stack_ref_object (stack, STRAND_KIND_MIDDLEWARE, "limit", error) : NULL;
}

typedef struct
{
  StrandStack *stack;
  StrandTask *task;
} Fixture;

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer n_runs, GError **error)
{
  g_atomic_int_inc ((int *) n_runs);
  return NULL;
}

static int n_runs; /* atomic */

static void
set_up (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandFunction) function =
      strand_function_new ("test.nothing", "", NULL, STRAND_TRAIT_NONE, do_nothing, &n_runs, NULL, &error);

  g_assert_no_error (error);
  strand_clock_set_manual (NOON);
  strand_set_inline (TRUE);
  n_runs = 0;
  f->stack = new_stack ("3", &error);
  g_assert_no_error (error);
  f->task = strand_task_new (function, NULL);
  strand_task_set_stack (f->task, f->stack);
  strand_task_set_target (f->task, "jobs", &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  g_object_unref (f->task);
  strand_stack_close (f->stack, 0, &error);
  g_assert_no_error (error);
  g_object_unref (f->stack);
  strand_set_inline (FALSE);
  strand_clock_set_system ();
}

static void
call (Fixture *f, gboolean passes)
{
  g_autoptr(StrandHandle) handle = strand_task_call_value (f->task, NULL);

  if (passes)
    g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  else
    g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_REFUSED);
}

static void
test_only_so_many_run_in_a_minute (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 3; i++)
    {
      call (f, TRUE);
      strand_clock_advance (10 * SECOND);
    }
  call (f, FALSE);
  strand_clock_advance (30 * SECOND - 1);
  call (f, FALSE);
  strand_clock_advance (1); /* the first is a minute ago */
  call (f, TRUE);
  call (f, FALSE);
  g_assert_cmpint (n_runs, ==, 4);
}

static void
test_a_refused_call_makes_room_for_none (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 3; i++)
    call (f, TRUE);
  for (guint i = 0; i < 100; i++)
    call (f, FALSE);
  strand_clock_advance (60 * SECOND);
  for (guint i = 0; i < 3; i++)
    call (f, TRUE);
  call (f, FALSE);
}

static void
test_a_refusal_says_who_why_and_when (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    call (f, TRUE);
  strand_clock_advance (15 * SECOND);
  handle = strand_task_call_value (f->task, NULL);
  error = g_error_copy (strand_handle_get_error (handle));
  g_assert_nonnull (strstr (error->message, "'per-minute'"));
  g_assert_nonnull (strstr (error->message, "3 calls"));
  g_assert_nonnull (strstr (error->message, "try again at"));
  g_assert_cmpint (strand_call_get_retry_after (strand_handle_get_call (handle)), ==, NOON + 60 * SECOND);
}

static void
test_no_calls_a_minute_is_a_mistake (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = new_stack ("0", &error);

  g_assert_null (stack);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "max-calls"));
}

#define ADD(name, func) g_test_add ("/per-minute-middleware/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_conformance_set_quick (!g_test_thorough ());
  strand_conformance_add_middleware ("/per-minute-middleware/passes", make, (gpointer) "65535", NULL);
  strand_conformance_add_middleware ("/per-minute-middleware/refuses", make, (gpointer) "3", NULL);
  ADD ("limit/only-so-many-run-in-a-minute", test_only_so_many_run_in_a_minute);
  ADD ("limit/a-refused-call-makes-room-for-none", test_a_refused_call_makes_room_for_none);
  ADD ("limit/a-refusal-says-who-why-and-when", test_a_refusal_says_who_why_and_when);
  g_test_add_func ("/per-minute-middleware/limit/no-calls-a-minute-is-a-mistake",
                   test_no_calls_a_minute_is_a_mistake);
  return g_test_run ();
}
