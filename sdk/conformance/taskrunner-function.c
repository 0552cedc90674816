/* taskrunner-function.c — what a function sees of its call, and what others see of the function meanwhile.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <string.h>

/* What conformance.describe saw. @options: (nullable) */
static GVariant *
describe (StrandConformance *self, StrandTaskrunner *runner, StrandOptions *options, StrandHandle **handle)
{
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.describe");
  g_autoptr(GError) error = NULL;
  GVariant *seen;

  *handle = strand_task_call_full (task, NULL, NULL, options);
  runner_await (self, *handle);
  seen = strand_handle_get_result (*handle, &error);
  g_assert_no_error (error);
  return seen;
}

static void
sees_its_key (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) seen = NULL;
  const char *key;

  strand_options_set_key (options, "my-own-key");
  seen = describe (self, runner, options, &handle);
  g_assert_true (g_variant_lookup (seen, "key", "&s", &key));
  g_assert_cmpstr (key, ==, "my-own-key");
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "my-own-key");
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
is_the_first_attempt (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) seen = describe (self, runner, NULL, &handle);
  guint attempt;

  g_assert_true (g_variant_lookup (seen, "attempt", "u", &attempt));
  g_assert_cmpuint (attempt, ==, 1);
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
sees_its_headers (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) seen = NULL, headers = NULL;
  const char *value;

  strand_options_set_header (options, "trace-id", "0af7");
  strand_options_set_header (options, "user", "wörd");
  seen = describe (self, runner, options, &handle);
  headers = g_variant_lookup_value (seen, "headers", G_VARIANT_TYPE ("a{ss}"));
  g_assert_nonnull (headers);
  g_assert_true (g_variant_lookup (headers, "trace-id", "&s", &value));
  g_assert_cmpstr (value, ==, "0af7");
  g_assert_true (g_variant_lookup (headers, "user", "&s", &value));
  g_assert_cmpstr (value, ==, "wörd");
  g_clear_object (&handle);
  runner_close (self, runner);
}

static void
sees_its_deadline (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) with = NULL, without = NULL;
  g_autoptr(GVariant) bounded = NULL, unbounded = NULL;
  const gint64 hour_us = G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC;
  gboolean has_deadline;
  gint64 left_us;

  strand_options_set_timeout (options, hour_us);
  bounded = describe (self, runner, options, &with);
  g_assert_true (g_variant_lookup (bounded, "has-deadline", "b", &has_deadline));
  g_assert_true (has_deadline);
  g_assert_true (g_variant_lookup (bounded, "left", "x", &left_us));
  g_assert_cmpint (left_us, >, hour_us / 2);
  g_assert_cmpint (left_us, <=, hour_us);

  unbounded = describe (self, runner, NULL, &without);
  g_assert_true (g_variant_lookup (unbounded, "has-deadline", "b", &has_deadline));
  g_assert_false (has_deadline);
  g_clear_object (&with);
  g_clear_object (&without);
  runner_close (self, runner);
}

/* Also where the call before it was cancelled, and left its place warm. */
static void
starts_uncancelled (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) hold = runner_task (self, runner, "conformance.hold");
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_timeout (options, 10000);
  for (guint i = 0; i < 5; i++)
    {
      g_autoptr(StrandHandle) stopped = runner_call_paths (self, hold, "entered", "gate", options);
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) seen = NULL;
      gboolean cancelled;

      runner_await (self, stopped);
      seen = describe (self, runner, NULL, &handle);
      g_assert_true (g_variant_lookup (seen, "cancelled", "b", &cancelled));
      g_assert_false (cancelled);
    }
  g_clear_object (&hold);
  runner_close (self, runner);
}

static gboolean
shows_colour (StrandHandle *handle)
{
  g_autoptr(GVariant) metadata = strand_handle_dup_metadata (handle);
  const char *colour;

  return g_variant_lookup (metadata, "colour", "&s", &colour) && strcmp (colour, "red") == 0;
}

static gboolean
shows_message (StrandHandle *handle, const char *expected)
{
  g_autofree char *message = strand_handle_dup_message (handle);

  return g_strcmp0 (message, expected) == 0;
}

static void
progress_shows_meanwhile (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.progress");
  g_autoptr(StrandHandle) handle = runner_call_paths (self, task, "entered", "gate", NULL);

  runner_await_file (self, "entered");
  strand_conformance_wait (self, strand_handle_get_progress (handle) == 0.25);
  strand_conformance_wait (self, shows_message (handle, "a quarter"));
  strand_conformance_wait (self, shows_colour (handle));
  g_assert_false (strand_handle_is_ready (handle));
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
last_progress_is_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.progress");
  g_autoptr(StrandHandle) handle = NULL;

  strand_conformance_create_file (self, "gate");
  handle = runner_call_paths (self, task, "entered", "gate", NULL);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_assert_cmpfloat (strand_handle_get_progress (handle), ==, 0.75);
  g_assert_true (shows_message (handle, "three quarters"));
  g_assert_true (shows_colour (handle));
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_function_cases[] = {
  { "function/key", "A function sees its call's key.", sees_its_key },
  { "function/attempt", "On a bare taskrunner a function sees attempt 1.", is_the_first_attempt },
  { "function/headers", "A function sees its call's headers.", sees_its_headers },
  { "function/deadline", "A function sees when it must have ended; without a timeout, it sees no such time.",
    sees_its_deadline },
  { "function/uncancelled", "A function starts uncancelled, also where another was stopped before.",
    starts_uncancelled },
  { "function/progress", "Progress, message and metadata show while the function runs.",
    progress_shows_meanwhile, "background" },
  { "function/last-progress", "The last progress, message and metadata show when the call has ended.",
    last_progress_is_kept },
  { 0 },
};
