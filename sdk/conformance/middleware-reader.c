/* middleware-reader.c — `submit` in one process, `before` in another: a backend leaves calls in a store, and
 * a reader runs them. Each has an object of its own. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-private.h"

typedef struct
{
  StrandConformance *self;
  StrandMiddleware *writing; /* NULL: nothing stands there */
  StrandMiddleware *reading;
  MiddlewareProbe *lens; /* in the reader */
  StrandStore *store;
  StrandTaskrunner *runner;
  StrandBackend *backend;
  StrandReader *reader;
} Queue;

static GListModel *
make_chain (gpointer one)
{
  GListStore *chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);

  if (one != NULL)
    g_list_store_append (chain, one);
  return G_LIST_MODEL (chain);
}

static Queue *
queue_new (StrandConformance *self, gboolean with_writing)
{
  Queue *queue = g_new0 (Queue, 1);
  g_autoptr(GListModel) writing = NULL, reading = NULL;
  g_autoptr(GError) error = NULL;

  queue->self = self;
  queue->writing = with_writing ? strand_conformance_make (self) : NULL;
  queue->reading = strand_conformance_make (self);
  queue->lens = probe_new (queue->reading);
  writing = make_chain (queue->writing);
  reading = make_chain (queue->lens);
  queue->store = STRAND_STORE (middleware_make_plugin (STRAND_KIND_STORE, "memory", NULL));
  queue->runner = STRAND_TASKRUNNER (middleware_make_plugin (STRAND_KIND_TASKRUNNER, "thread", NULL));
  queue->backend = STRAND_BACKEND (middleware_make_plugin (STRAND_KIND_BACKEND, "store", "store",
                                                           queue->store, "middleware", writing, NULL));
  queue->reader = g_object_new (STRAND_TYPE_READER, "store", queue->store, "taskrunner", queue->runner,
                                "middleware", reading, "retry-delay", G_GINT64_CONSTANT (0), NULL);
  strand_reader_listen (queue->reader, &error);
  g_assert_no_error (error);
  return queue;
}

typedef struct
{
  gboolean over;
  GError *error;
} Closing;

static void
on_closed (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  strand_backend_close_finish (STRAND_BACKEND (source), result, &closing->error);
  closing->over = TRUE;
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  Closing *closing = data;

  strand_reader_stop_finish (STRAND_READER (source), result, &closing->error);
  closing->over = TRUE;
}

static void
queue_free (Queue *queue)
{
  gint64 deadline_us = strand_conformance_get_deadline (queue->self);
  Closing closed = { FALSE, NULL }, stopped = { FALSE, NULL };

  strand_backend_close_async (queue->backend, deadline_us, NULL, on_closed, &closed);
  strand_conformance_wait (queue->self, closed.over);
  g_assert_no_error (closed.error);
  strand_reader_stop_async (queue->reader, deadline_us, NULL, on_stopped, &stopped);
  strand_conformance_wait (queue->self, stopped.over);
  g_assert_no_error (stopped.error);
  g_object_unref (queue->backend);
  g_object_unref (queue->reader);
  runner_close (queue->self, queue->runner);
  g_object_unref (queue->store);
  g_object_unref (queue->lens);
  middleware_close (queue->reading);
  if (queue->writing != NULL)
    middleware_close (queue->writing);
  g_free (queue);
}

static StrandHandle *
queue_call (Queue *queue, const char *name, GVariant *arguments, StrandOptions *options)
{
  g_autoptr(StrandFunction) function = strand_conformance_get_function (queue->self, name);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (queue->backend));
  StrandHandle *handle = strand_task_call_full (task, arguments, NULL, options);

  runner_await (queue->self, handle);
  return handle;
}

static void
calls_pass (StrandConformance *self)
{
  Queue *queue = queue_new (self, TRUE);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *text = g_strdup_printf ("text %u", i);
      g_autoptr(StrandHandle) handle =
          queue_call (queue, "conformance.echo", g_variant_new ("(s)", text), NULL);
      g_autoptr(GVariant) value = NULL;

      runner_assert_completed (handle);
      value = strand_handle_get_result (handle, NULL);
      g_assert_cmpstr (g_variant_get_string (value, NULL), ==, text);
    }
  g_assert_cmpuint (probe_read (queue->lens, &queue->lens->n_submit), ==, 0);
  g_assert_cmpuint (probe_read (queue->lens, &queue->lens->n_after), ==, 20);
  queue_free (queue);
}

static void
failures_pass (StrandConformance *self)
{
  Queue *queue = queue_new (self, TRUE);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  strand_options_set_retries (options, 2);
  handle = queue_call (queue, "conformance.fail", g_variant_new ("(sis)", "a-domain", 9, "no"), options);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, g_quark_from_string ("a-domain"), 9);
  g_assert_cmpuint (probe_read (queue->lens, &queue->lens->n_on_error), ==, 3);
  g_assert_cmpuint (probe_read (queue->lens, &queue->lens->n_will_retry), ==, 2);
  g_clear_object (&handle);
  queue_free (queue);
}

static void
headers_travel (StrandConformance *self)
{
  Queue *queue = queue_new (self, TRUE);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL, seen = NULL;
  const char *mine = NULL;

  strand_options_set_header (options, "x-mine", "kept");
  handle = queue_call (queue, "conformance.describe", NULL, options);
  runner_assert_completed (handle);
  value = strand_handle_get_result (handle, NULL);
  seen = g_variant_lookup_value (value, "headers", G_VARIANT_TYPE ("a{ss}"));
  g_assert_true (g_variant_lookup (seen, "x-mine", "&s", &mine));
  g_assert_cmpstr (mine, ==, "kept");
  g_clear_object (&handle);
  queue_free (queue);
}

/* From a program that has no such middleware. It may be refused; it must not be lost. */
static void
strangers_calls_end (StrandConformance *self)
{
  Queue *queue = queue_new (self, FALSE);

  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *text = g_strdup_printf ("text %u", i);
      g_autoptr(StrandHandle) handle =
          queue_call (queue, "conformance.echo", g_variant_new ("(s)", text), NULL);

      if (strand_handle_get_status (handle) != STRAND_STATUS_COMPLETED)
        runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_REFUSED);
    }
  g_assert_cmpuint (probe_read (queue->lens, &queue->lens->n_before), ==,
                    probe_read (queue->lens, &queue->lens->n_after) +
                        probe_read (queue->lens, &queue->lens->n_on_error));
  queue_free (queue);
}

const StrandConformanceCase middleware_reader_cases[] = {
  { "reader/values", "Calls pass whose `submit` was one object's, and whose `before` is another's.",
    calls_pass, "passes" },
  { "reader/failures", "So do failures, and their retries.", failures_pass, "passes" },
  { "reader/headers", "The caller's headers reach functions in a reader.", headers_travel, "passes" },
  { "reader/strangers", "A call that no `submit` has seen runs, or is refused.", strangers_calls_end },
  { 0 },
};
