/* target.c — what can be asked of whatever takes calls, and must be answered alike.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

#include <string.h>

StrandTask *
target_task (StrandConformance *self, gpointer target, const char *name)
{
  g_autoptr(StrandFunction) function = strand_conformance_get_function (self, name);

  return strand_task_new (function, G_OBJECT (target));
}

StrandHandle *
target_call (StrandConformance *self, gpointer target, const char *name, GVariant *arguments,
             StrandOptions *options)
{
  g_autoptr(StrandTask) task = target_task (self, target, name);
  StrandHandle *handle = strand_task_call_full (task, arguments, NULL, options);

  runner_await (self, handle);
  return handle;
}

/* --- values -------------------------------------------------------------------------------------------- */

/* One of each type, with the values that are easily lost. */
static const char *const all_types[] = {
  "true",
  "byte 0xff",
  "int16 -32768",
  "uint16 65535",
  "int32 -2147483648",
  "uint32 4294967295",
  "int64 -9223372036854775808",
  "uint64 18446744073709551615",
  "handle -1",
  "1e308",
  "-0.0",
  "''",
  "'a \"quoted\" \\u20ac'",
  "'übel\"'",
  "objectpath '/a/b'",
  "signature 'a{sv}'",
  "b'raw'",
  "b'bytes \\377'",
  "@ay []",
  "@as []",
  "@mi nothing",
  "just 5",
  "@mms just nothing",
  "{'one': <1>, 'two': <'zwei'>}",
  "{'k': <[1, 2]>}",
  "@a{sv} {}",
  "(1, 'two', 3.0, @ai [])",
  "[('a', 1.5), ('b', -0.0)]",
  "<<<'boxed'>>>",
  "@() ()",
  "{uint64 1: ['a', 'b']}",
};

void
target_check_every_type (StrandConformance *self, gpointer target)
{
  for (guint i = 0; i < G_N_ELEMENTS (all_types); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GVariant) sent = g_variant_parse (NULL, all_types[i], NULL, NULL, &error);
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) value = NULL, inner = NULL;

      g_assert_no_error (error);
      handle = target_call (self, target, "conformance.value", g_variant_new ("(v)", sent), NULL);
      runner_assert_completed (handle);
      value = strand_handle_get_result (handle, NULL);
      inner = g_variant_get_variant (value);
      g_assert_cmpvariant (inner, sent);
    }
}

void
target_check_large_value (StrandConformance *self, gpointer target)
{
  const gsize length = 8 * 1024 * 1024;
  g_autofree char *text = g_malloc (length + 1);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  for (gsize i = 0; i < length; i++)
    text[i] = (char) ('a' + i % 23);
  text[length] = '\0';
  handle = target_call (self, target, "conformance.echo", g_variant_new ("(s)", text), NULL);
  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpuint (g_variant_get_size (value), ==, length + 1);
  g_assert_true (strcmp (g_variant_get_string (value, NULL), text) == 0);
}

/* --- errors -------------------------------------------------------------------------------------------- */

/* Nobody has cancelled the call that fails as if: it failed. */
const TargetError target_errors[] = {
  { "a-domain-nobody-knows", 77, "it is “broken”" },
  { "my-error-quark", -7, "It broke: «äh»" },
  { "g-io-error-quark", G_IO_ERROR_CANCELLED, "not by anybody here" },
  { "g-file-error-quark", G_FILE_ERROR_NOSPC, "no room" },
  { "g-file-error-quark", G_FILE_ERROR_NOSPC, "" },
  { 0 },
};

StrandHandle *
target_fail (StrandConformance *self, gpointer target, const TargetError *error)
{
  g_autoptr(StrandOptions) once = strand_options_new ();
  StrandHandle *handle;

  strand_options_set_retries (once, 0);
  handle = target_call (self, target, "conformance.fail",
                        g_variant_new ("(sis)", error->domain, error->code, error->message), once);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_string (error->domain), error->code);
  g_assert_cmpstr (strand_handle_get_error (handle)->message, ==, error->message);
  return handle;
}

/* --- the end ------------------------------------------------------------------------------------------- */

#define N_POSTERS 4

/* How many calls there have been when others go on: so many that each thread is amid them. */
#define N_POSTED 50

struct _TargetPosters
{
  StrandTask *task;
  GThread *threads[N_POSTERS];
  int n_posted; /* atomic */
  int stop;     /* atomic */
};

static gpointer
post_on_and_on (gpointer data)
{
  TargetPosters *posters = data;
  GMainContext *context = g_main_context_new ();

  /* Whatever becomes of the calls comes to nobody; their handles tell. */
  g_main_context_push_thread_default (context);
  while (!g_atomic_int_get (&posters->stop))
    {
      g_autoptr(StrandHandle) handle = strand_task_call (posters->task, "(s)", "x");

      g_atomic_int_inc (&posters->n_posted);
      runner_run_until_ended (handle);
      if (strand_handle_get_status (handle) == STRAND_STATUS_FAILED)
        g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_CLOSED);
    }
  g_main_context_pop_thread_default (context);
  g_main_context_unref (context);
  return NULL;
}

TargetPosters *
target_start_posting (StrandConformance *self, gpointer target)
{
  TargetPosters *posters = g_new0 (TargetPosters, 1);

  posters->task = target_task (self, target, "conformance.echo");
  for (guint i = 0; i < N_POSTERS; i++)
    posters->threads[i] = g_thread_new ("poster", post_on_and_on, posters);
  strand_conformance_wait (self, g_atomic_int_get (&posters->n_posted) > N_POSTED);
  return posters;
}

void
target_stop_posting (TargetPosters *posters)
{
  g_atomic_int_set (&posters->stop, TRUE);
  for (guint i = 0; i < N_POSTERS; i++)
    g_thread_join (posters->threads[i]);
  g_object_unref (posters->task);
  g_free (posters);
}

void
target_note_gone (gpointer gone, GObject *where)
{
  g_atomic_int_set ((int *) gone, TRUE);
}
