/* taskrunner-items.c — what functions emit: in order, all of it, no faster than it is consumed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

/* How far a producer may be ahead of its consumer, besides the task's `max-items`: what a runner has on its
 * way. */
#define ON_THE_WAY 1024

typedef struct
{
  StrandConformance *self;
  Told *told;
  guint n_wrong;       /* values that are not their index */
  guint fail_at;       /* index; 0 for never */
  guint cancel_at;     /* likewise */
  gint64 pause_us;     /* how long each item takes */
  guint n_slow;        /* how many items take that long */
  gsize most_ahead;    /* how far the producer was ahead */
  gsize most_resident; /* bytes, sampled */
} Consumer;

static gboolean
consume (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Consumer *consumer = data;
  guint index = told_count_items (consumer->told);

  told_on_iter (call, item, consumer->told, NULL);
  if (!g_variant_is_of_type (item, G_VARIANT_TYPE_UINT32) || g_variant_get_uint32 (item) != index)
    consumer->n_wrong++;
  if (index < consumer->n_slow)
    g_usleep ((gulong) consumer->pause_us);
  if (consumer->fail_at > 0 && index == consumer->fail_at)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NO_SPACE, "the consumer is full");
      return FALSE;
    }
  if (consumer->cancel_at > 0 && index == consumer->cancel_at)
    strand_call_cancel (call);
  return TRUE;
}

static void
listen (Consumer *consumer, StrandTask *task)
{
  told_listen (consumer->told, task);
  strand_task_on_iter (task, consume, consumer, NULL);
}

static void
assert_in_order (Consumer *consumer)
{
  g_assert_cmpuint (consumer->n_wrong, ==, 0);
  g_assert_cmpuint (consumer->told->n_misplaced, ==, 0);
  g_assert_cmpuint (consumer->told->n_late, ==, 0);
}

static void
items_come_in_order (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told };

  listen (&consumer, task);
  strand_task_post (task, "(u)", 5000);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_no_error (told->error);
  g_assert_cmpuint (told->n_items, ==, 5000);
  g_assert_cmpuint (g_variant_get_uint32 (told->value), ==, 5000);
  assert_in_order (&consumer);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
items_of_calls_do_not_mix (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandFunction) function = strand_conformance_get_function (self, "conformance.emit");
  StrandTask *tasks[8];
  Consumer consumers[G_N_ELEMENTS (tasks)] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    {
      consumers[i].told = told_new ();
      tasks[i] = strand_task_new (function, G_OBJECT (runner));
      listen (&consumers[i], tasks[i]);
      strand_task_post (tasks[i], "(u)", 500 + i);
    }
  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    {
      strand_conformance_wait (self, told_count_over (consumers[i].told) == 1);
      g_assert_cmpuint (consumers[i].told->n_items, ==, 500 + i);
      assert_in_order (&consumers[i]);
      g_object_unref (tasks[i]);
    }
  runner_close (self, runner);
  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    told_free (consumers[i].told);
}

static gboolean
consume_and_measure (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Consumer *consumer = data;
  gsize n_emitted = runner_file_size (consumer->self, "count"),
        n_consumed = told_count_items (consumer->told);

  if (n_emitted > n_consumed)
    consumer->most_ahead = MAX (consumer->most_ahead, n_emitted - n_consumed);
  return consume (call, item, consumer, error);
}

static void
producer_waits_for_consumer (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-for-ever");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told, .pause_us = 1000, .n_slow = 300, .cancel_at = ON_THE_WAY + 500 };

  g_object_set (task, "max-items", 4, NULL);
  listen (&consumer, task);
  strand_task_on_iter (task, consume_and_measure, &consumer, NULL);
  handle = runner_call_paths (self, task, "count", NULL, NULL);
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (told->n_items, >, ON_THE_WAY + 500);
  g_assert_cmpuint (consumer.most_ahead, <=, ON_THE_WAY + 4);
  assert_in_order (&consumer);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static gboolean
consume_and_sample (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Consumer *consumer = data;

  if (told_count_items (consumer->told) % 10000 == 0)
    consumer->most_resident = MAX (consumer->most_resident, runner_resident_bytes ());
  return consume (call, item, consumer, error);
}

static void
a_million_in_flat_memory (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told };
  guint n = runner_count (self, 1000000, 1000000);
  gsize before;

  listen (&consumer, task);
  strand_task_post (task, "(u)", 1000);
  strand_conformance_wait (self, told_count_over (told) == 1);
  told->n_items = 0;
  told->n_ends = 0;
  before = runner_resident_bytes ();
  consumer.most_resident = before;
  strand_task_on_iter (task, consume_and_sample, &consumer, NULL);
  strand_task_post (task, "(u)", n);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_cmpuint (told->n_items, ==, n);
  assert_in_order (&consumer);
  g_assert_cmpuint (consumer.most_resident - before, <, RUNNER_FLAT_BYTES);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
items_precede_the_error (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-and-fail");
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told };

  listen (&consumer, task);
  strand_task_post (task, "(u)", 50);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_error (told->error, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
  g_assert_cmpuint (told->n_items, ==, 50);
  assert_in_order (&consumer);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_list_is_iterated (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.list");
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told };

  listen (&consumer, task);
  strand_task_post (task, "(u)", 100);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_no_error (told->error);
  g_assert_cmpuint (told->n_items, ==, 100);
  g_assert_cmpuint (g_variant_n_children (told->value), ==, 100);
  assert_in_order (&consumer);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
the_last_are_kept (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) items = NULL, last = NULL;

  g_object_set (task, "max-items", 10, NULL);
  handle = strand_task_call (task, "(u)", 100);
  runner_await (self, handle);
  runner_assert_completed (handle);
  items = strand_call_dup_items (strand_handle_get_call (handle));
  g_assert_cmpuint (g_variant_n_children (items), ==, 10);
  g_variant_get_child (items, 9, "v", &last);
  g_assert_cmpuint (g_variant_get_uint32 (last), ==, 99);
  g_assert_cmpuint (strand_call_get_dropped_items (strand_handle_get_call (handle)), ==, 90);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
failing_consumer_ends_the_call (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-for-ever");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told, .fail_at = 5 };

  listen (&consumer, task);
  handle = runner_call_paths (self, task, "count", NULL, NULL);
  strand_conformance_wait (self, told_count_over (told) == 1);
  g_assert_error (told->error, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, G_IO_ERROR, G_IO_ERROR_NO_SPACE);
  g_assert_cmpuint (told->n_items, ==, 6);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
cancel_frees_the_producer (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-for-ever");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told, .cancel_at = 3, .pause_us = 2000, .n_slow = 4 };

  g_object_set (task, "max-items", 1, NULL);
  listen (&consumer, task);
  handle = runner_call_paths (self, task, "count", NULL, NULL);
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_CANCELLED, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (told->n_errors, ==, 1);
  assert_in_order (&consumer);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
timeout_frees_the_producer (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit-for-ever");
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(Told) told = told_new ();
  Consumer consumer = { self, told, .pause_us = 2000, .n_slow = G_MAXUINT };

  g_object_set (task, "max-items", 1, NULL);
  listen (&consumer, task);
  strand_options_set_timeout (options, 30000);
  handle = runner_call_paths (self, task, "count", NULL, options);
  strand_conformance_wait (self, told_count_over (told) == 1);
  runner_assert_failed (handle, STRAND_STATUS_FAILED, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  assert_in_order (&consumer);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

static void
a_wait_consumes (StrandConformance *self)
{
  StrandTaskrunner *runner = runner_make (self);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.emit");
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(Told) told = told_new ();

  g_object_set (task, "max-items", 2, NULL);
  told_listen (told, task);
  handle = strand_task_call (task, "(u)", 2000);
  if (!strand_handle_wait (handle, strand_conformance_get_deadline (self) - g_get_monotonic_time (), &error))
    {
      g_assert_error (error, STRAND_ERROR, STRAND_ERROR_WOULD_DEADLOCK);
      strand_conformance_wait (self, told_count_over (told) == 1);
    }
  g_assert_cmpuint (told->n_items, ==, 2000);
  g_assert_cmpuint (told->n_ends, ==, 1);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
}

const StrandConformanceCase taskrunner_items_cases[] = {
  { "items/in-order", "Items reach `on_iter` all, in order, and before the end.", items_come_in_order },
  { "items/own-call", "Each call gets its own items, however many emit at once.", items_of_calls_do_not_mix },
  { "items/back-pressure",
    "A function waits while its consumer is `max-items` behind (and at most 1024 on their way).",
    producer_waits_for_consumer },
  { "items/million", "1 000 000 items pass in flat memory.", a_million_in_flat_memory },
  { "items/before-error", "Items emitted before a failure are delivered, then the error.",
    items_precede_the_error },
  { "items/of-a-list", "A returned array is iterated where nothing was emitted.", a_list_is_iterated },
  { "items/unconsumed", "Without `on_iter` the last `max-items` are kept, and the others counted.",
    the_last_are_kept },
  { "items/failing-consumer",
    "An `on_iter` that fails stops the function, and its error is the call's; nothing follows.",
    failing_consumer_ends_the_call },
  { "items/cancel",
    "A function that waits for its consumer is freed by cancellation, also from within `on_iter`.",
    cancel_frees_the_producer },
  { "items/timeout", "A function that waits for its consumer is freed by its timeout.",
    timeout_frees_the_producer },
  { "items/blocking-wait", "A blocking wait consumes the items of the call it waits for, or is refused.",
    a_wait_consumes },
  { 0 },
};
