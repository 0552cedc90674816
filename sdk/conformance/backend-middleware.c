/* backend-middleware.c — what wraps a backend's calls.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "backend-private.h"

/* A backend behind two probes, outermost first. */
typedef struct
{
  StrandConformance *self;
  MiddlewareProbe *outer;
  MiddlewareProbe *inner;
  StrandBackend *backend;

  GMutex lock; /* guards everything below */
  GString *order;
  GThread *thread; /* of the last */
} Border;

static void
note (MiddlewareProbe *probe, StrandCall *call, gpointer data)
{
  Border *border = data;

  g_mutex_lock (&border->lock);
  g_string_append (border->order, probe == border->outer ? "o" : "i");
  border->thread = g_thread_self ();
  g_mutex_unlock (&border->lock);
}

static Border *
border_new (StrandConformance *self)
{
  Border *border = g_new0 (Border, 1);
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);

  border->self = self;
  g_mutex_init (&border->lock);
  border->order = g_string_new (NULL);
  border->outer = probe_new (NULL);
  border->inner = probe_new (NULL);
  border->outer->watch = border->inner->watch = note;
  border->outer->data = border->inner->data = border;
  g_list_store_append (chain, border->outer);
  g_list_store_append (chain, border->inner);
  border->backend = backend_make_with (self, "middleware", chain, NULL);
  return border;
}

static void
border_free (Border *border)
{
  backend_end (border->self, border->backend);
  strand_conformance_wait (border->self, g_atomic_int_get (&border->outer->n_alive) == 0);
  g_object_unref (border->outer);
  g_object_unref (border->inner);
  g_string_free (border->order, TRUE);
  g_mutex_clear (&border->lock);
  g_free (border);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Border, border_free)

static StrandHandle *
call_mark (Border *border, StrandOptions *options)
{
  g_autoptr(StrandTask) task = backend_task (border->self, border->backend, "conformance.mark");
  StrandHandle *handle = runner_call_paths (border->self, task, "marks", NULL, options);

  return handle;
}

static void
submit_is_asked_once (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandTask) task = backend_task (self, border->backend, "conformance.hold");
  g_autoptr(StrandHandle) handle = NULL;

  handle = runner_call_paths (self, task, "entered", "gate", NULL);
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_submit), ==, 1);
  g_assert_cmpuint (probe_read (border->inner, &border->inner->n_submit), ==, 1);
  g_assert_true (g_str_has_prefix (border->order->str, "oi"));
  strand_conformance_create_file (self, "gate");
  runner_await (self, handle);
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_submit), ==, 1);
}

static void
keep_thread (MiddlewareProbe *probe, StrandCall *call, gpointer data)
{
  Border *border = data;

  g_mutex_lock (&border->lock);
  if (border->thread == NULL)
    border->thread = g_thread_self ();
  g_mutex_unlock (&border->lock);
}

static void
submit_is_in_the_callers_thread (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;

  border->outer->watch = keep_thread;
  border->inner->watch = NULL;
  handle = call_mark (border, NULL);
  runner_await (self, handle);
  g_assert_true (border->thread == g_thread_self ());
}

static void
refused_at_the_door (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;

  border->outer->at_submit = STRAND_VERDICT_REFUSE;
  handle = call_mark (border, NULL);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_false (backend_has_record (border->backend, strand_handle_get_key (handle)));
  g_assert_cmpuint (probe_read (border->inner, &border->inner->n_submit), ==, 0);
  g_assert_false (strand_conformance_has_file (self, "marks"));
}

static void
answered_at_the_door (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;

  border->outer->at_submit = STRAND_VERDICT_ANSWER;
  border->outer->answer = g_variant_ref_sink (g_variant_new_string ("at the door"));
  handle = backend_call (self, border->backend, "conformance.echo", g_variant_new ("(s)", "x"), NULL);
  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "at the door");
  g_assert_cmpuint (probe_read (border->inner, &border->inner->n_submit), ==, 0);
}

static void
held_at_the_door (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL, cancelled = NULL;

  border->outer->at_submit = STRAND_VERDICT_LATER;
  cancelled = call_mark (border, NULL);
  g_assert_true (strand_handle_cancel (cancelled));
  runner_await (self, cancelled);
  runner_assert_failed (cancelled, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  handle = call_mark (border, NULL);
  g_assert_false (backend_has_record (border->backend, strand_handle_get_key (handle)));
  probe_resume_all (border->outer);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, 1);
}

static void
add_header (MiddlewareProbe *probe, StrandCall *call, gpointer data)
{
  strand_call_set_header (call, "x-probe", "was here");
}

static void
headers_are_added (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  const char *header = NULL;

  border->outer->watch = add_header;
  handle = call_mark (border, NULL);
  runner_await (self, handle);
  record = backend_record (border->backend, strand_handle_get_key (handle));
  g_assert_true (
      g_variant_lookup (strand_record_get_variant (record, STRAND_FIELD_HEADERS), "x-probe", "&s", &header));
  g_assert_cmpstr (header, ==, "was here");
}

static void
each_attempt_is_asked (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_retries (options, 2);
  handle = backend_call (self, border->backend, "conformance.fail",
                         g_variant_new ("(sis)", "a-domain", 1, "no"), options);
  g_assert_cmpstr (border->order->str, ==, "oioioioi");
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_on_error), ==, 3);
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_will_retry), ==, 2);
  g_assert_cmpuint (probe_read (border->inner, &border->inner->n_on_error), ==, 3);
  g_assert_cmpuint (probe_read (border->inner, &border->inner->n_after), ==, 0);
}

static void
refused_before (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;

  border->inner->at_before = STRAND_VERDICT_REFUSE;
  strand_options_set_retries (options, 3);
  handle = call_mark (border, options);
  runner_await (self, handle);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
  record = backend_record (border->backend, strand_handle_get_key (handle));
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_before), ==, 1);
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_on_error), ==, 1);
  g_assert_false (strand_conformance_has_file (self, "marks"));
}

static void
answered_before (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;

  border->inner->at_before = STRAND_VERDICT_ANSWER;
  border->inner->answer = g_variant_ref_sink (g_variant_new_string ("before"));
  handle = backend_call (self, border->backend, "conformance.echo", g_variant_new ("(s)", "x"), NULL);
  runner_assert_completed (handle);
  record = backend_record (border->backend, strand_handle_get_key (handle));
  value = strand_record_dup_value (record, NULL);
  g_assert_cmpstr (g_variant_get_string (value, NULL), ==, "before");
  g_assert_cmpuint (probe_read (border->outer, &border->outer->n_after), ==, 1);
}

static void
held_before (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL, cancelled = NULL;

  border->outer->at_before = STRAND_VERDICT_LATER;
  cancelled = call_mark (border, NULL);
  handle = call_mark (border, NULL);
  strand_conformance_wait (self, probe_read (border->outer, &border->outer->n_held) == 2);
  strand_handle_cancel (cancelled);
  runner_await (self, cancelled);
  runner_assert_failed (cancelled, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_false (strand_handle_is_ready (handle));
  probe_resume_all (border->outer);
  runner_await (self, handle);
  runner_assert_completed (handle);
  g_assert_cmpuint (runner_file_size (self, "marks"), ==, 1);
}

static void
complaints_are_warnings (StrandConformance *self)
{
  g_autoptr(Border) border = border_new (self);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) record = NULL;
  GVariant *warnings;

  border->outer->complains = border->inner->complains = TRUE;
  handle = call_mark (border, NULL);
  runner_await (self, handle);
  runner_assert_completed (handle);
  record = backend_record (border->backend, strand_handle_get_key (handle));
  warnings = strand_record_get_variant (record, STRAND_FIELD_WARNINGS);
  g_assert_nonnull (warnings);
  g_assert_cmpuint (g_variant_n_children (warnings), ==, 2);
}

const StrandConformanceCase backend_middleware_cases[] = {
  { "middleware/submit", "Each `submit` is asked once a call, outermost first, before the call returns.",
    submit_is_asked_once, "runs middleware" },
  { "middleware/callers-thread", "`submit` runs in the caller's thread.", submit_is_in_the_callers_thread,
    "runs middleware" },
  { "middleware/refused",
    "A call refused at `submit` fails with `REFUSED`, without a record, and never runs.", refused_at_the_door,
    "middleware" },
  { "middleware/answered", "A call answered at `submit` completes with the answer.", answered_at_the_door,
    "middleware" },
  { "middleware/held",
    "A call held at `submit` has no record, goes on when it is resumed, and can be cancelled.",
    held_at_the_door, "runs middleware" },
  { "middleware/headers", "Headers added at `submit` stand in the record.", headers_are_added,
    "runs middleware" },
  { "middleware/attempts",
    "Each attempt is asked for, outermost first, and each is told of its end and whether a retry follows.",
    each_attempt_is_asked, "runs attempts" },
  { "middleware/refused-before", "A call refused in `before` has a failed record, and is not retried.",
    refused_before, "runs attempts" },
  { "middleware/answered-before", "A call answered in `before` has a record with the answer.",
    answered_before, "runs attempts" },
  { "middleware/held-before", "A call held in `before` goes on when it is resumed, and can be cancelled.",
    held_before, "runs attempts" },
  { "middleware/warnings", "What `after` complains of are warnings in the record.", complaints_are_warnings,
    "runs attempts" },
  { 0 },
};
