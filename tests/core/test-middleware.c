/* test-middleware.c — the chain around calls, with middleware that is written in the program: who is asked on
 * which thread, who is told of the end, and that whatever races, each is told once.
 *
 * The program is its own helper, so the calls of the process backend are real ones.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "call-fixture.h"

#include <string.h>
#include <unistd.h>

#define SECOND ((gint64) G_USEC_PER_SEC)

/* A middleware that does what a test tells it to, and counts. */

#define TEST_TYPE_GUARD (test_guard_get_type ())
G_DECLARE_FINAL_TYPE (TestGuard, test_guard, TEST, GUARD, GObject)

typedef StrandVerdict (*Hook) (TestGuard *guard, StrandCall *call, GVariant **value, GError **error);

struct _TestGuard
{
  GObject parent_instance;

  Hook submit;
  Hook before;
  gboolean after_fails;
  TestGuard *inner; /* asked after this one; not held */

  int n_submit; /* these four atomic */
  int n_before;
  int n_after;
  int n_error;
  GThread *before_thread; /* of the last one, as the next */
  GThread *end_thread;
  pid_t pid;
};

static void guard_iface_init (StrandMiddlewareInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (TestGuard, test_guard, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, guard_iface_init))

static StrandVerdict
test_guard_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  TestGuard *self = TEST_GUARD (middleware);

  g_atomic_int_inc (&self->n_submit);
  return self->submit != NULL ? self->submit (self, call, value, error) : STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
test_guard_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  TestGuard *self = TEST_GUARD (middleware);

  g_atomic_int_inc (&self->n_before);
  g_atomic_pointer_set (&self->before_thread, g_thread_self ());
  self->pid = getpid ();
  return self->before != NULL ? self->before (self, attempt, value, error) : STRAND_VERDICT_CONTINUE;
}

static gboolean
test_guard_after (StrandMiddleware *middleware, StrandCall *attempt, GVariant *value, GError **error)
{
  TestGuard *self = TEST_GUARD (middleware);

  g_atomic_pointer_set (&self->end_thread, g_thread_self ());
  g_atomic_int_inc (&self->n_after);
  if (self->after_fails)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "no room for the invoice");
  return !self->after_fails;
}

static void
test_guard_on_error (StrandMiddleware *middleware, StrandCall *attempt, const GError *error,
                     gboolean will_retry)
{
  TestGuard *self = TEST_GUARD (middleware);

  g_atomic_pointer_set (&self->end_thread, g_thread_self ());
  g_atomic_int_inc (&self->n_error);
}

static void
guard_iface_init (StrandMiddlewareInterface *iface)
{
  iface->submit = test_guard_submit;
  iface->before = test_guard_before;
  iface->after = test_guard_after;
  iface->on_error = test_guard_on_error;
}

static void
test_guard_class_init (TestGuardClass *klass)
{
}

static void
test_guard_init (TestGuard *self)
{
}

/* The function that helpers have too. */

static GVariant *
own_trace (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GVariant) headers = strand_context_dup_headers (context);
  const char *trace = "none";

  g_variant_lookup (headers, "trace", "&s", &trace);
  return g_variant_new ("(sx)", trace, (gint64) getpid ());
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "own.trace", "-> (sx)", NULL, own_trace, NULL, NULL, error);
}

/* The world of one test: two guards around a backend over a thread or a process runner. */
typedef struct
{
  StrandStore *store;
  StrandBackend *backend;
  TestGuard *outer;
  TestGuard *inner;
} Fixture;

static void
set_up (Fixture *f, gconstpointer runner_type)
{
  g_autoptr(StrandTaskrunner) runner =
      make_runner (runner_type != NULL ? runner_type : "thread", "workers", 2, NULL);
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);

  f->store = make_store ("memory", NULL);
  f->outer = g_object_new (TEST_TYPE_GUARD, NULL);
  f->inner = g_object_new (TEST_TYPE_GUARD, NULL);
  f->outer->inner = f->inner;
  g_list_store_append (chain, f->outer);
  g_list_store_append (chain, f->inner);
  f->backend = make_backend ("local", "taskrunner", runner, "store", f->store, "middleware", chain,
                             "retry-delay", (gint64) 0, "grace", SECOND, NULL);
}

static void
tear_down (Fixture *f, gconstpointer runner_type)
{
  close_backend (f->backend);
  g_object_unref (f->store);
  g_object_unref (f->outer);
  g_object_unref (f->inner);
}

static StrandTask *
make_task (Fixture *f, const char *name)
{
  g_autoptr(StrandFunction) function = fixture_function (name);

  return strand_task_new (function, G_OBJECT (f->backend));
}

static void
wait_for (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
}

/* Calls that were told to wait, for another thread to take up. */

static GAsyncQueue *waiting; /* of StrandCall */

static StrandVerdict
wait_here (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  g_async_queue_push (waiting, strand_call_ref (call));
  return STRAND_VERDICT_LATER;
}

static gpointer
resume_one (gpointer verdict)
{
  g_autoptr(StrandCall) call = g_async_queue_pop (waiting);

  strand_call_resume (call, STRAND_VERDICT_CONTINUE, NULL, NULL);
  return NULL;
}

static void
test_a_resumed_call_goes_on_where_it_was (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  g_autoptr(StrandHandle) handle = NULL;

  f->outer->before = wait_here;
  handle = strand_task_call (task, NULL);
  g_thread_join (g_thread_new ("resumer", resume_one, NULL));
  wait_for (handle);
  g_assert_true (f->inner->before_thread == f->outer->before_thread);
  g_assert_true (f->inner->end_thread == f->outer->before_thread);
  g_assert_true (f->outer->end_thread == f->outer->before_thread);
}

static StrandVerdict
wait_and_resume_at_once (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  g_assert_true (strand_call_resume (call, STRAND_VERDICT_CONTINUE, NULL, NULL));
  return STRAND_VERDICT_LATER;
}

static void
test_a_call_may_be_resumed_before_the_hook_returns (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");

  f->outer->before = f->inner->before = wait_and_resume_at_once;
  f->outer->submit = f->inner->submit = wait_and_resume_at_once;
  for (guint i = 0; i < 100; i++)
    {
      g_autoptr(StrandHandle) handle = strand_task_call (task, NULL);

      wait_for (handle);
      g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
    }
  g_assert_cmpint (f->inner->n_submit, ==, 100);
  g_assert_cmpint (f->inner->n_after, ==, 100);
  g_assert_cmpint (f->outer->n_after, ==, 100);
}

static void
note_retry_after (StrandCall *call, const GError *error, gpointer data)
{
  *(gint64 *) data = strand_call_get_retry_after (call);
}

#define TRY_AGAIN G_GINT64_CONSTANT (4000000000000000)

static StrandVerdict
refuse (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  strand_call_set_retry_after (call, TRY_AGAIN);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "the shop is closed");
  return STRAND_VERDICT_REFUSE;
}

/* As it comes from a language where one refuses by raising. */
static StrandVerdict
raise_error (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "the shop is closed");
  return STRAND_VERDICT_CONTINUE;
}

static void
test_an_error_without_a_verdict_refuses (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "own.trace");
  g_autoptr(StrandHandle) handle = NULL;

  f->inner->before = raise_error;
  handle = strand_task_call (task, NULL);
  wait_for (handle);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_cmpstr (strand_handle_get_error (handle)->message, ==,
                   "'TestGuard' refused the call: the shop is closed");
}

static void
test_a_refusal_says_when_to_try_again (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 2; i++) /* at submit; before the attempt */
    {
      g_autoptr(StrandTask) task = make_task (f, "own.trace");
      g_autoptr(StrandHandle) handle = NULL;
      gint64 retry_after_us = 0;

      f->inner->submit = i == 0 ? refuse : NULL;
      f->inner->before = i == 1 ? refuse : NULL;
      strand_task_on_error (task, note_retry_after, &retry_after_us, NULL);
      handle = strand_task_call (task, NULL);
      wait_for (handle);
      wait_until (retry_after_us != 0);
      g_assert_cmpint (retry_after_us, ==, TRY_AGAIN);
      g_assert_cmpstr (strand_handle_get_error (handle)->message, ==,
                       "'TestGuard' refused the call: the shop is closed; try again at 2096-10-02T07:06:40Z");
    }
}

static StrandVerdict
answer (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  *value = g_variant_new ("(sx)", "answered", (gint64) 0);
  return STRAND_VERDICT_ANSWER;
}

static StrandVerdict
trace (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  strand_call_set_header (call, "trace", "17");
  return STRAND_VERDICT_CONTINUE;
}

static void
check_trace (StrandHandle *handle, const char *expected, gboolean elsewhere)
{
  g_autoptr(GVariant) value = NULL;
  const char *text;
  gint64 pid;

  wait_for (handle);
  g_assert_no_error (strand_handle_get_error (handle));
  value = strand_handle_get_result (handle, NULL);
  g_variant_get (value, "(&sx)", &text, &pid);
  g_assert_cmpstr (text, ==, expected);
  if (elsewhere)
    g_assert_cmpint (pid, !=, getpid ());
}

static void
test_hooks_run_here_and_headers_travel (Fixture *f, gconstpointer runner_type)
{
  g_autoptr(StrandTask) task = make_task (f, "own.trace");
  g_autoptr(StrandHandle) handle = NULL;

  f->inner->submit = trace;
  handle = strand_task_call (task, NULL);
  check_trace (handle, "17", g_strcmp0 (runner_type, "process") == 0);
  g_assert_cmpint (f->outer->pid, ==, getpid ());
  g_assert_cmpint (f->outer->n_before, ==, 1);
  g_assert_cmpint (f->outer->n_after, ==, 1);
  g_assert_cmpint (f->inner->n_after, ==, 1);
}

static void
test_an_answer_reaches_no_runner (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 2; i++) /* at submit; before the attempt */
    {
      g_autoptr(StrandTask) task = make_task (f, "own.trace");
      g_autoptr(StrandHandle) handle = NULL;

      f->outer->submit = i == 0 ? answer : NULL;
      f->outer->before = i == 1 ? answer : NULL;
      handle = strand_task_call (task, NULL);
      check_trace (handle, "answered", FALSE);
    }
  g_assert_cmpint (f->inner->n_before, ==, 0);
  g_assert_cmpint (f->outer->n_after, ==, 1);
}

static void
test_an_error_of_after_is_a_warning (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandTask) task = make_task (f, "own.trace");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree const char **warnings = NULL;

  f->outer->after_fails = f->inner->after_fails = TRUE;
  handle = strand_task_call (task, NULL);
  check_trace (handle, "none", FALSE);
  record = strand_store_get (f->store, strand_handle_get_key (handle), NULL);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
  warnings = g_variant_get_strv (strand_record_get_variant (record, STRAND_FIELD_WARNINGS), NULL);
  g_assert_cmpuint (g_strv_length ((char **) warnings), ==, 2);
  g_assert_cmpstr (warnings[0], ==, "'TestGuard': no room for the invoice");
}

/* A thousand calls wait; some threads resume them, one cancels them, in any order there is. Whoever wins,
 * each call ends once, and each middleware whose `before` ran is told once. */

#define N_RACED 1000
#define N_RESUMERS 4

static gpointer
resume_all (gpointer unused)
{
  StrandCall *call;

  while ((call = g_async_queue_pop (waiting)) != (gpointer) waiting)
    {
      strand_call_resume (call, STRAND_VERDICT_CONTINUE, NULL, NULL);
      strand_call_unref (call);
    }
  return NULL;
}

static gpointer
cancel_all (gpointer data)
{
  GPtrArray *handles = data;

  for (guint i = 0; i < handles->len; i++)
    strand_handle_cancel (handles->pdata[i]);
  return NULL;
}

static void
race (Fixture *f, GPtrArray *handles)
{
  g_autoptr(StrandTask) task = make_task (f, "test.nothing");
  GThread *resumers[N_RESUMERS], *canceller;

  for (guint i = 0; i < N_RESUMERS; i++)
    resumers[i] = g_thread_new ("resumer", resume_all, NULL);
  for (guint i = 0; i < N_RACED; i++)
    g_ptr_array_add (handles, strand_task_call (task, NULL));
  canceller = g_thread_new ("canceller", cancel_all, handles);
  for (guint i = 0; i < handles->len; i++)
    wait_for (handles->pdata[i]);
  g_thread_join (canceller);
  for (guint i = 0; i < N_RESUMERS; i++)
    g_async_queue_push (waiting, waiting);
  for (guint i = 0; i < N_RESUMERS; i++)
    g_thread_join (resumers[i]);
}

static void
test_a_race_between_resume_and_cancel_tells_each_once (Fixture *f, gconstpointer at_submit)
{
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  guint n_completed = 0;

  if (at_submit != NULL)
    f->outer->submit = f->inner->submit = wait_here;
  else
    f->outer->before = f->inner->before = wait_here;
  race (f, handles);
  for (guint i = 0; i < handles->len; i++)
    if (strand_handle_get_status (handles->pdata[i]) == STRAND_STATUS_COMPLETED)
      n_completed++;
    else
      g_assert_error (strand_handle_get_error (handles->pdata[i]), G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpint (f->outer->n_before, ==, f->outer->n_after + f->outer->n_error);
  g_assert_cmpint (f->inner->n_before, ==, f->inner->n_after + f->inner->n_error);
  g_assert_cmpint (f->outer->n_after, ==, n_completed);
  g_assert_cmpint (f->inner->n_after, ==, n_completed);
}

/* The window between the two steps of a cancel, as wide as it gets: the hook itself cancels. */
static StrandVerdict
cancel_and_wait (TestGuard *guard, StrandCall *call, GVariant **value, GError **error)
{
  strand_call_cancel (call);
  return STRAND_VERDICT_LATER;
}

static void
test_a_call_cancelled_inside_the_hook_does_not_wait (Fixture *f, gconstpointer unused)
{
  for (guint i = 0; i < 2; i++) /* before the attempt; at submit */
    {
      g_autoptr(StrandTask) task = make_task (f, "test.nothing");
      g_autoptr(StrandHandle) handle = NULL;

      f->outer->before = i == 0 ? cancel_and_wait : NULL;
      f->outer->submit = i == 1 ? cancel_and_wait : NULL;
      handle = strand_task_call (task, NULL);
      wait_for (handle);
      g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_CANCELLED);
    }
  g_assert_cmpint (f->inner->n_before, ==, 0);
}

int
main (int argc, char **argv)
{
  int status;

  strand_helper_main (argc, argv, register_functions);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  waiting = g_async_queue_new ();

#define ADD(name, data, func) g_test_add ("/middleware/" name, Fixture, data, set_up, func, tear_down)
  ADD ("later/goes-on-where-it-was", NULL, test_a_resumed_call_goes_on_where_it_was);
  ADD ("later/resumed-before-the-hook-returns", NULL, test_a_call_may_be_resumed_before_the_hook_returns);
  ADD ("later/cancelled-inside-the-hook", NULL, test_a_call_cancelled_inside_the_hook_does_not_wait);
  ADD ("later/resume-and-cancel-race", NULL, test_a_race_between_resume_and_cancel_tells_each_once);
  g_test_add ("/middleware/later/resume-and-cancel-race-at-submit", Fixture, "thread", set_up,
              test_a_race_between_resume_and_cancel_tells_each_once, tear_down);
  ADD ("thread/refusal-says-when", NULL, test_a_refusal_says_when_to_try_again);
  ADD ("thread/error-without-a-verdict-refuses", NULL, test_an_error_without_a_verdict_refuses);
  ADD ("thread/headers-travel", NULL, test_hooks_run_here_and_headers_travel);
  ADD ("thread/answer-reaches-no-runner", NULL, test_an_answer_reaches_no_runner);
  ADD ("thread/error-of-after-is-a-warning", NULL, test_an_error_of_after_is_a_warning);
  ADD ("process/refusal-says-when", "process", test_a_refusal_says_when_to_try_again);
  ADD ("process/headers-travel", "process", test_hooks_run_here_and_headers_travel);
  ADD ("process/answer-reaches-no-runner", "process", test_an_answer_reaches_no_runner);
  ADD ("process/error-of-after-is-a-warning", "process", test_an_error_of_after_is_a_warning);

  status = g_test_run ();
  g_async_queue_unref (waiting);
  return status;
}
