/* middleware-pass.c — a call that is let pass arrives as it was made, and its outcome as the function gave
 * it. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

#define HOUR_US (G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC)

static void
a_call_passes (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.mark");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "marks", NULL, NULL);

  runner_await (self, handle);
  runner_assert_completed (handle);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, 1);
  g_assert_cmpuint (probe_read (world->outer, &world->outer->n_after), ==, 1);
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_before), ==, 1);
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

static void
arguments_and_values_of_every_type (StrandConformance *self)
{
  World *world = world_new (self);

  target_check_every_type (self, world->backend);
  world_close (world);
}

static void
large_arguments (StrandConformance *self)
{
  World *world = world_new (self);

  target_check_large_value (self, world->backend);
  world_close (world);
}

static void
nothing_in_and_out (StrandConformance *self)
{
  World *world = world_new (self);

  for (guint i = 0; i < 10; i++)
    {
      g_autoptr(StrandHandle) handle = world_call (world, "conformance.nothing", NULL, NULL);

      runner_assert_completed (handle);
      g_assert_null (strand_call_get_value (strand_handle_get_call (handle)));
    }
  g_assert_cmpuint (probe_read (world->inner, &world->inner->n_before), ==, 10);
  world_close (world);
}

static GVariant *
give_object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_take_object (context, g_object_ref (data));
  return NULL;
}

static void
an_object_is_the_same (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(GObject) object = g_object_new (G_TYPE_OBJECT, NULL);
  g_autoptr(StrandTask) task = world_task_for (world, "-> object", give_object, object);
  g_autoptr(StrandHandle) handle = world_call_task (world, task, NULL, NULL);

  runner_assert_completed (handle);
  g_assert_true (strand_handle_get_object (handle) == object);
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

static void
an_error_is_the_same (StrandConformance *self)
{
  World *world = world_new (self);

  for (const TargetError *expected = target_errors; expected->domain != NULL; expected++)
    {
      g_object_unref (target_fail (self, world->backend, expected));
      g_assert_error (world->outer->error, g_quark_from_string (expected->domain), expected->code);
    }
  world_close (world);
}

static void
progress_shows (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.progress");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_autofree char *message = NULL;
  g_autoptr(GVariant) metadata = NULL;
  const char *colour = NULL;

  runner_await_file (self, "entered");
  strand_conformance_wait (self, strand_handle_get_progress (handle) == 0.25);
  world_open_gate (world);
  runner_await (self, handle);
  runner_assert_completed (handle);
  message = strand_handle_dup_message (handle);
  metadata = strand_handle_dup_metadata (handle);
  g_assert_cmpstr (message, ==, "three quarters");
  g_assert_true (g_variant_lookup (metadata, "colour", "&s", &colour));
  g_assert_cmpstr (colour, ==, "red");
  g_clear_object (&handle);
  g_clear_object (&task);
  world_close (world);
}

static void
items_arrive (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.emit");
  g_autoptr(StrandTask) failing = world_task (world, "conformance.emit-and-fail");
  g_autoptr(Told) told = told_new ();
  g_autoptr(Told) told_of_failing = told_new ();
  StrandOptions *once = strand_options_new ();

  strand_options_set_retries (once, 0);
  strand_task_set_options (failing, once);
  strand_options_free (once);
  told_listen (told, task);
  told_listen (told_of_failing, failing);
  strand_task_post (task, "(u)", 2000);
  strand_task_post (failing, "(u)", 10);
  strand_conformance_wait (self, told_count_over (told) == 1 && told_count_over (told_of_failing) == 1);
  g_assert_cmpuint (told->n_items, ==, 2000);
  g_assert_cmpuint (told->n_misplaced + told->n_late, ==, 0);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_assert_cmpuint (told_of_failing->n_items, ==, 10);
  g_assert_cmpuint (told_of_failing->n_errors, ==, 1);
  g_clear_object (&task);
  g_clear_object (&failing);
  world_close (world);
}

typedef struct
{
  StrandOptions *options; /* as the inner probe saw them at submit; NULL before */
} Seen;

static void
see_options (MiddlewareProbe *probe, StrandCall *call, gpointer data)
{
  Seen *seen = data;

  if (seen->options == NULL)
    seen->options = strand_options_copy (strand_call_get_options (call));
}

static void
options_stay (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  Seen seen = { NULL };
  gint64 expires_us = strand_clock_now_us () + HOUR_US;

  world->inner->watch = see_options;
  world->inner->data = &seen;
  strand_options_set_timeout (options, HOUR_US / 2);
  strand_options_set_ttl (options, 2 * HOUR_US);
  strand_options_set_retries (options, 3);
  strand_options_set_priority (options, 7);
  strand_options_set_expires (options, expires_us);
  strand_options_set_not_before (options, 1000);
  strand_options_set_key (options, "own-key");
  handle = world_call (world, "conformance.echo", world_text (world), options);
  runner_assert_completed (handle);
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "own-key");
  g_assert_cmpint (strand_options_get_timeout (seen.options), ==, HOUR_US / 2);
  g_assert_cmpint (strand_options_get_ttl (seen.options), ==, 2 * HOUR_US);
  g_assert_cmpint (strand_options_get_retries (seen.options), ==, 3);
  g_assert_cmpint (strand_options_get_priority (seen.options), ==, 7);
  g_assert_cmpint (strand_options_get_expires (seen.options), ==, expires_us);
  g_assert_cmpint (strand_options_get_not_before (seen.options), ==, 1000);
  strand_options_free (seen.options);
  g_clear_object (&handle);
  world_close (world);
}

static GVariant *
get_headers (World *world, StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (world->store, strand_handle_get_key (handle), &error);
  GVariant *headers;

  g_assert_no_error (error);
  headers = strand_record_get_variant (record, STRAND_FIELD_HEADERS);
  return headers != NULL ? g_variant_ref (headers) : g_variant_new_array (G_VARIANT_TYPE ("{ss}"), NULL, 0);
}

static void
assert_header (GVariant *headers, const char *name, const char *expected)
{
  const char *value = NULL;

  g_assert_true (g_variant_lookup (headers, name, "&s", &value));
  g_assert_cmpstr (value, ==, expected);
}

static void
the_callers_headers_stay (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL, seen = NULL, stored = NULL;

  strand_options_set_header (options, "x-mine", "“quoted”");
  strand_options_set_header (options, "x-empty", "");
  handle = world_call (world, "conformance.describe", NULL, options);
  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  seen = g_variant_lookup_value (value, "headers", G_VARIANT_TYPE ("a{ss}"));
  stored = get_headers (world, handle);
  assert_header (seen, "x-mine", "“quoted”");
  assert_header (seen, "x-empty", "");
  assert_header (stored, "x-mine", "“quoted”");
  assert_header (stored, "x-empty", "");
  g_clear_object (&handle);
  world_close (world);
}

static void
its_own_headers_travel (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", world_text (world), NULL);
  g_autoptr(GVariant) stored = get_headers (world, handle);
  GVariantIter iter;
  const char *name, *value;

  runner_assert_completed (handle);
  g_variant_iter_init (&iter, world->lens->headers);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
    {
      g_assert_true (name[0] != '\0');
      assert_header (stored, name, value);
    }
  g_clear_object (&handle);
  world_close (world);
}

static void
no_warnings (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandHandle) handle = world_call (world, "conformance.echo", world_text (world), NULL);
  g_autoptr(StrandRecord) record = strand_store_get (world->store, strand_handle_get_key (handle), NULL);
  GVariant *warnings = strand_record_get_variant (record, STRAND_FIELD_WARNINGS);
  g_autofree char *text = warnings != NULL ? g_variant_print (warnings, FALSE) : NULL;

  runner_assert_completed (handle);
  g_assert_cmpstr (text, ==, NULL);
  g_clear_object (&handle);
  world_close (world);
}

static void
passes_inline (StrandConformance *self)
{
  World *world = world_new (self);
  g_autoptr(StrandTask) task = world_task (world, "conformance.echo");
  StrandHandle *handle;

  strand_set_inline (TRUE);
  handle = strand_task_call_value (task, world_text (world));
  g_assert_true (strand_handle_is_ready (handle) || probe_read (world->lens, &world->lens->n_held) > 0);
  runner_await (self, handle);
  strand_set_inline (FALSE);
  runner_assert_completed (handle);
  g_object_unref (handle);
  g_clear_object (&task);
  world_close (world);
}

const StrandConformanceCase middleware_pass_cases[] = {
  { "pass/once", "A call that is let pass runs its function once, and completes.", a_call_passes, "passes" },
  { "pass/every-type", "Arguments and values of every GVariant type arrive exactly.",
    arguments_and_values_of_every_type, "passes unchanged" },
  { "pass/large", "A string of 8 MiB goes there and comes back.", large_arguments, "passes unchanged" },
  { "pass/nothing", "Functions without arguments and value pass, however often.", nothing_in_and_out,
    "passes" },
  { "pass/object", "An object that a function hands over is the very object that the caller gets.",
    an_object_is_the_same, "passes" },
  { "pass/error", "An error arrives with its domain, code and message, also of a domain that nobody knows.",
    an_error_is_the_same, "passes unchanged" },
  { "pass/progress", "Progress, message and metadata show, while the function runs and at the end.",
    progress_shows, "passes" },
  { "pass/items", "Items reach the caller all and in order, also of a function that then fails.",
    items_arrive, "passes" },
  { "pass/options", "What the call itself says of key, times, retries and priority stays.", options_stay,
    "passes" },
  { "pass/headers", "The caller's headers reach the record and the function.", the_callers_headers_stay,
    "passes" },
  { "pass/own-headers", "Headers that the middleware adds at `submit` stand in the record.",
    its_own_headers_travel, "passes" },
  { "pass/no-warnings", "A call for which nothing went wrong has no warnings.", no_warnings, "passes" },
  { "pass/inline", "In inline mode a call has ended when it has been made, unless it was held back.",
    passes_inline, "passes" },
  { 0 },
};
