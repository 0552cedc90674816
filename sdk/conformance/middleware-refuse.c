/* middleware-refuse.c — calls that the middleware keeps from running: refused, or answered in the function's
 * place. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#include <string.h>

static void
end_refused (World *world, GPtrArray *handles)
{
  world_open_gate (world);
  world_await_all (world, handles);
  g_ptr_array_set_size (handles, 0);
  world_close (world);
}

static StrandHandle *
last_of (GPtrArray *handles)
{
  return handles->pdata[handles->len - 1];
}

static void
a_refusal_has_a_reason (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);
  const GError *error = strand_handle_get_error (last_of (handles));

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_cmpint (strand_handle_get_status (last_of (handles)), ==, STRAND_STATUS_FAILED);
  g_assert_null (strstr (error->message, "it did not say why"));
  end_refused (world, handles);
}

static void
a_refusal_has_a_name (StrandConformance *self)
{
  World *world = world_new_bare (self);
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");
  const char *name = strand_plugins_get_type_name (G_OBJECT_TYPE (world->subject));
  g_autofree char *expected =
      g_strdup_printf ("'%s' refused the call: ", name != NULL ? name : G_OBJECT_TYPE_NAME (world->subject));
  StrandHandle *refused;

  /* Without the lens it is not seen which is refused; of so many the last is, whatever is counted. */
  do
    {
      g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
      refused = last_of (handles);
      strand_conformance_wait (self, strand_handle_is_ready (refused) ||
                                         probe_read (world->inner, &world->inner->n_before) == handles->len);
    }
  while (!strand_handle_is_ready (refused));
  g_assert_true (g_str_has_prefix (strand_handle_get_error (refused)->message, expected));
  g_clear_object (&task);
  end_refused (world, handles);
}

static void
it_does_not_run (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);
  guint n_inner = probe_read (world->inner, &world->inner->n_before);

  world_open_gate (world);
  world_await_all (world, handles);
  g_assert_cmpuint (n_inner, ==, handles->len - 1);
  g_assert_cmpuint (runner_file_size (self, "entered"), ==, n_inner);
  end_refused (world, handles);
}

static void
it_is_not_retried (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);
  g_autoptr(StrandTask) task = world_task (world, "conformance.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();
  guint n_before = probe_read (world->outer, &world->outer->n_before);
  guint n_on_error = probe_read (world->outer, &world->outer->n_on_error);

  strand_options_set_retries (options, 3);
  g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", options));
  runner_await (self, last_of (handles));
  runner_assert_failed (last_of (handles), STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_before), <=, n_before + 1);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_on_error) - n_on_error, ==,
                    probe_read (world->outer, &world->outer->n_before) - n_before);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_will_retry), ==, 0);
  g_clear_object (&task);
  end_refused (world, handles);
}

static void
its_record_says_so (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);
  g_autoptr(GError) error = NULL;
  gboolean at_the_door =
      probe_read (world->outer, &world->outer->n_submit) > probe_read (world->outer, &world->outer->n_before);
  g_autoptr(StrandRecord) record =
      strand_store_get (world->store, strand_handle_get_key (last_of (handles)), &error);

  if (at_the_door)
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  else
    {
      g_assert_no_error (error);
      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
    }
  end_refused (world, handles);
}

/* What was refused took nothing, so it gives nothing back. */
static void
a_refusal_makes_no_room (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);
  guint n_inner = probe_read (world->inner, &world->inner->n_before);

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(StrandTask) task = world_task (world, "conformance.hold");

      g_ptr_array_add (handles, runner_call_paths (self, task, "entered", "gate", NULL));
      runner_await (self, last_of (handles));
      runner_assert_failed (last_of (handles), STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
    }
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_before), ==, n_inner);
  end_refused (world, handles);
}

static void
those_before_are_left_alone (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GPtrArray) handles = world_refuse (world);

  world_open_gate (world);
  world_await_all (world, handles);
  for (guint i = 0; i + 1 < handles->len; i++)
    runner_assert_completed (handles->pdata[i]);
  end_refused (world, handles);
}

const StrandConformanceCase middleware_refuse_cases[] = {
  { "refuse/reason", "A call that is refused fails with `REFUSED`, and with a reason.",
    a_refusal_has_a_reason, "refuses" },
  { "refuse/name", "The error that reaches the caller names the middleware.", a_refusal_has_a_name,
    "refuses" },
  { "refuse/not-run", "The function of a refused call does not run, and nobody further in is asked.",
    it_does_not_run, "refuses" },
  { "refuse/not-retried", "A refusal is not retried, and whoever was asked before it hears of it once.",
    it_is_not_retried, "refuses" },
  { "refuse/record", "A refusal at `submit` leaves no record, one in `before` a failed one.",
    its_record_says_so, "refuses" },
  { "refuse/again", "A refusal makes no room: an equal call right after it is refused, too.",
    a_refusal_makes_no_room, "refuses" },
  { "refuse/others", "Those that passed before a refusal complete.", those_before_are_left_alone, "refuses" },
  { 0 },
};

/* Answers. */

/* Its runs, as text after its argument. */
static GVariant *
count_runs (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *text;
  int run = g_atomic_int_add ((int *) data, 1);

  g_variant_get (arguments, "(&s)", &text);
  return g_variant_new_take_string (g_strdup_printf ("%s, run %d", text, run));
}

static char *
call_counted (World *world, StrandTask *task, const char *text, StrandHandle **handle)
{
  g_autoptr(StrandHandle) own = world_call_task (world, task, g_variant_new ("(s)", text), NULL);
  g_autoptr(GVariant) value = NULL;

  runner_assert_completed (own);
  value = strand_handle_get_result (own, NULL);
  g_assert_true (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING));
  if (handle != NULL)
    *handle = g_object_ref (own);
  return g_variant_dup_string (value, NULL);
}

/* The texts that equal calls got, until one was answered; that one's handle. */
static char *
call_until_answered (World *world, StrandTask *task, const char *text, char **first, StrandHandle **handle)
{
  char *got = call_counted (world, task, text, NULL);

  *first = g_strdup (got);
  for (guint i = 0; i < 4 && probe_read (world->lens, &world->lens->n_answered) == 0; i++)
    {
      g_clear_object (handle);
      g_free (got);
      got = call_counted (world, task, text, handle);
    }
  g_assert_cmpuint (probe_read (world->lens, &world->lens->n_answered), ==, 1);
  return got;
}

static void
an_answer_is_the_value (StrandConformance *self)
{
  World *world = world_new (self);
  int n_runs = 0;
  g_autoptr(StrandTask) task = world_task_for (world, "text:s -> s", count_runs, &n_runs);
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *first = NULL, *answer = call_until_answered (world, task, "same", &first, &handle);

  g_assert_true (g_str_has_prefix (answer, "same, run "));
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_before), ==, (guint) n_runs);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, (guint) n_runs + 1);
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

static void
its_record_has_it (StrandConformance *self)
{
  World *world = world_new (self);
  int n_runs = 0;
  g_autoptr(StrandTask) task = world_task_for (world, "text:s -> s", count_runs, &n_runs);
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *first = NULL, *answer = call_until_answered (world, task, "same", &first, &handle);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) again = strand_handle_new (world->store, strand_handle_get_key (handle), &error);
  g_autoptr(GVariant) value = NULL;

  /* At submit it leaves none. */
  if (probe_read (world->outer, &world->outer->n_submit) > probe_read (world->outer, &world->outer->n_before))
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  else
    {
      g_assert_no_error (error);
      runner_await (self, again);
      runner_assert_completed (again);
      value = strand_handle_get_result (again, NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, answer);
    }
  g_clear_object (&again);
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

static void
other_calls_are_others (StrandConformance *self)
{
  World *world = world_new (self);
  int n_runs = 0;
  g_autoptr(StrandTask) task = world_task_for (world, "text:s -> s", count_runs, &n_runs);
  g_autoptr(StrandHandle) handle = NULL, echoed = NULL;
  g_autofree char *first = NULL, *answer = call_until_answered (world, task, "same", &first, &handle);
  g_autofree char *other = call_counted (world, task, "other", NULL);
  g_autoptr(GVariant) value = NULL;

  g_assert_true (g_str_has_prefix (answer, "same, run "));
  g_assert_true (g_str_has_prefix (other, "other, run "));
  echoed = world_call (world, "conformance.echo", g_variant_new ("(s)", "same"), NULL);
  value = strand_handle_get_result (echoed, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "same");
  g_clear_object (&echoed);
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

const StrandConformanceCase middleware_answer_cases[] = {
  { "answer/type",
    "An answer is of the function's type and for these arguments; the function does not run, and nobody further in is asked.",
    an_answer_is_the_value, "answers" },
  { "answer/record", "The record of a call that was answered in `before` has the answer.", its_record_has_it,
    "answers" },
  { "answer/others", "Another function, or other arguments, are another question.", other_calls_are_others,
    "answers" },
  { 0 },
};
