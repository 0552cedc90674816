/* test-gearman-backend.c — the example of a backend, with a server and workers of Gearman's.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "../core/waiting.h"
#include "gearman-world.h"

#include <strand-conformance.h>
#include <string.h>

/* Workers for the suite: some of its cases have several calls under way. */
#define N_WORKERS 4

/* Where the suite's second processes find its server. */
#define PORT_VARIABLE "STRAND_TEST_GEARMAN_PORT"

static StrandStack *
new_stack (guint port, const char *more)
{
  g_autofree char *data = g_strdup_printf ("[strand]\nplugin-path=%s\n"
                                           "[backend jobs]\ntype=gearman\nservers=127.0.0.1:%u\n%s",
                                           g_getenv ("STRAND_EXAMPLES"), port, more);
  g_autoptr(GError) error = NULL;
  StrandStack *stack = strand_stack_new_from_data (data, -1, "test", &error);

  g_assert_no_error (error);
  return stack;
}

/* --- the suite
 * -----------------------------------------------------------------------------------------------------------
 */

static gpointer
make (StrandConformance *self, gpointer store, GError **error)
{
  g_autofree char *path = strand_conformance_build_path (self, "records");
  g_autofree char *more =
      g_strdup_printf ("retry-delay=1ms\nstore=records\n[store records]\n%s%s\n", (const char *) store,
                       strcmp (store, "type=filesystem\npath=") == 0 ? path : "");
  g_autoptr(StrandStack) stack = new_stack ((guint) atoi (g_getenv (PORT_VARIABLE)), more);

  return strand_stack_ref_object (stack, STRAND_KIND_BACKEND, "jobs", error);
}

/* --- calls
 * ---------------------------------------------------------------------------------------------------------------
 */

typedef struct
{
  GearmanWorld *world;
  StrandStack *stack;
  StrandTask *task;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  strand_registry_load_module (strand_registry_get_default (), "demo", &error);
  g_assert_no_error (error);
  strand_registry_load_module (strand_registry_get_default (), "conformance-functions", &error);
  g_assert_no_error (error);
  f->world = gearman_world_new ();
  gearman_world_start_server (f->world);
  gearman_world_start_worker (f->world);
  /* No grace helps a worker that is not told. */
  f->stack = new_stack (f->world->port, "store=memory\ngrace=1h\n");
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_clear_object (&f->task);
  strand_stack_close (f->stack, 0, NULL);
  g_object_unref (f->stack);
  gearman_world_free (f->world);
}

static StrandTask *
new_task (Fixture *f, const char *function)
{
  g_autoptr(GError) error = NULL;
  StrandTask *task = strand_task_new_for_name (function, "thread", &error);

  g_assert_no_error (error);
  strand_task_set_stack (task, f->stack);
  strand_task_set_target (task, "jobs", &error);
  g_assert_no_error (error);
  return task;
}

static StrandHandle *
call (Fixture *f, const char *function, GVariant *arguments)
{
  g_autoptr(StrandTask) task = new_task (f, function);

  return strand_task_call_value (task, arguments);
}

static void
await (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;

  strand_handle_wait (handle, DEADLINE_US, &error);
  if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_WAIT_TIMED_OUT))
    g_assert_no_error (error);
}

static void
assert_adds (Fixture *f)
{
  g_autoptr(StrandHandle) handle = call (f, "demo.add", g_variant_new ("(xx)", (gint64) 40, (gint64) 2));
  g_autoptr(GVariant) value = NULL;
  g_autoptr(GError) error = NULL;

  await (handle);
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 42);
}

static void
test_a_worker_runs_the_function (Fixture *f, gconstpointer unused)
{
  assert_adds (f);
}

static void
test_an_error_comes_back_as_it_was (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle =
      call (f, "demo.fail", g_variant_new ("(s)", "no milk: \"3 l\" \xe2\x98\x95"));

  await (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "no milk: \"3 l\" \xe2\x98\x95"));
}

static gboolean
add_item (StrandCall *call, GVariant *item, gpointer seen, GError **error)
{
  guint number = g_variant_get_uint32 (item);

  g_array_append_val (seen, number);
  return TRUE;
}

static void
test_items_and_progress_come_while_it_runs (Fixture *f, gconstpointer unused)
{
  g_autoptr(GArray) seen = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr(StrandTask) task = new_task (f, "demo.count");
  g_autoptr(StrandHandle) handle = NULL;

  strand_task_on_iter (task, add_item, seen, NULL);
  handle = strand_task_call (task, "(u)", 100);
  await (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_COMPLETED);
  g_assert_cmpuint (seen->len, ==, 100);
  for (guint i = 0; i < seen->len; i++)
    g_assert_cmpuint (g_array_index (seen, guint, i), ==, i);
  g_assert_cmpfloat (strand_call_get_progress (strand_handle_get_call (handle), NULL), ==, 1.0);
}

static void
test_a_running_call_is_stopped_in_its_worker (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle = call (f, "demo.sleep", g_variant_new ("(d)", 3600.0));

  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_assert_true (strand_handle_cancel (handle));
  await (handle);
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_CANCELLED);
  assert_adds (f); /* by the same worker: there is no other */
}

static void
test_the_server_forgets_a_call_that_waits (Fixture *f, gconstpointer unused)
{
  g_autofree char *mark = g_build_filename (g_get_user_runtime_dir (), "mark", NULL);
  g_autoptr(StrandHandle) busy = call (f, "demo.sleep", g_variant_new ("(d)", 3600.0));
  g_autoptr(StrandHandle) handle = NULL;

  g_mkdir_with_parents (g_get_user_runtime_dir (), 0700);
  wait_until (strand_handle_get_status (busy) == STRAND_STATUS_RUNNING);
  handle = call (f, "conformance.mark", g_variant_new ("(s)", mark));
  wait_still (gearman_world_has (f->world, "conformance.mark", 1, 0));
  g_assert_true (strand_handle_cancel (handle));
  await (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  wait_still (gearman_world_has_forgotten (f->world));
  g_assert_true (strand_handle_cancel (busy));
  await (busy);
  assert_adds (f); /* by the one worker, after whatever waited before */
  g_assert_false (g_file_test (mark, G_FILE_TEST_EXISTS));
}

/* As a program that dies does: nobody tells the worker. */
static void
test_a_call_that_nobody_waits_for_is_stopped (Fixture *f, gconstpointer unused)
{
  g_autofree char *servers = g_strdup_printf ("servers=127.0.0.1:%u", f->world->port);
  g_autofree char *data =
      g_strdup_printf ("[strand]\nplugin-path=%s\n[backend jobs]\ntype=gearman\nstore=memory\n%s\n",
                       g_getenv ("STRAND_EXAMPLES"), servers);
  g_autofree char *file = g_build_filename (g_get_user_cache_dir (), "gearman.conf", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) program = NULL;

  g_mkdir_with_parents (g_get_user_cache_dir (), 0700);
  g_file_set_contents (file, data, -1, &error);
  g_assert_no_error (error);
  program = g_subprocess_new (G_SUBPROCESS_FLAGS_NONE, &error, g_getenv ("STRAND_COMMAND"), "run", "-q", "-c",
                              file, "-m", "demo", "demo.sleep", "3600", NULL);
  g_assert_no_error (error);
  wait_still (gearman_world_has (f->world, "demo.sleep", 1, 1));
  gearman_world_kill (program);
  assert_adds (f); /* by the worker that has slept */
}

/* --- trouble
 * -------------------------------------------------------------------------------------------------------------
 */

static void
assert_no_server (Fixture *f)
{
  g_autofree char *where = g_strdup_printf ("'127.0.0.1:%u'", f->world->port);
  g_autoptr(StrandHandle) handle = call (f, "demo.add", g_variant_new ("(xx)", (gint64) 1, (gint64) 1));

  await (handle);
  g_assert_error (strand_handle_get_error (handle), G_IO_ERROR, G_IO_ERROR_NOT_CONNECTED);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, where));
}

static void
test_a_call_fails_with_its_server_and_the_next_finds_another (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle = call (f, "demo.sleep", g_variant_new ("(d)", 3600.0));

  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  gearman_world_kill (f->world->server);
  g_clear_object (&f->world->server);
  await (handle);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_LOST);
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "the server went away"));
  assert_no_server (f);

  /* The worker sleeps on, for it has not heard of it. */
  g_ptr_array_set_size (f->world->workers, 0);
  gearman_world_start_worker (f->world);
  gearman_world_start_server (f->world);
  assert_adds (f);
}

static void
test_a_worker_comes_back_to_a_new_server (Fixture *f, gconstpointer unused)
{
  assert_adds (f);
  gearman_world_kill (f->world->server);
  g_clear_object (&f->world->server);
  gearman_world_start_server (f->world);
  assert_adds (f);
}

static void
test_a_call_fails_with_its_worker (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandHandle) handle = call (f, "demo.sleep", g_variant_new ("(d)", 3600.0));

  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  gearman_world_kill (f->world->workers->pdata[0]);
  await (handle);
  g_assert_error (strand_handle_get_error (handle), STRAND_ERROR, STRAND_ERROR_CRASHED);
  gearman_world_start_worker (f->world);
  assert_adds (f);
}

static void
test_a_worker_asked_to_end_does_when_its_call_has (Fixture *f, gconstpointer unused)
{
  GSubprocess *worker = f->world->workers->pdata[0];
  g_autoptr(StrandHandle) handle = call (f, "demo.sleep", g_variant_new ("(d)", 3600.0));
  g_autoptr(GError) error = NULL;

  wait_until (strand_handle_get_status (handle) == STRAND_STATUS_RUNNING);
  g_subprocess_send_signal (worker, SIGTERM);
  g_assert_true (strand_handle_cancel (handle));
  await (handle);
  g_subprocess_wait (worker, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_subprocess_get_status (worker), ==, 0);
}

#define ADD(name, func) g_test_add ("/gearman-backend/" name, Fixture, NULL, set_up, func, tear_down)

static GearmanWorld *
start_world (void)
{
  GearmanWorld *world = gearman_world_new ();
  g_autofree char *port = g_strdup_printf ("%u", world->port);

  gearman_world_start_server (world);
  for (guint i = 0; i < N_WORKERS; i++)
    gearman_world_start_worker (world);
  g_setenv (PORT_VARIABLE, port, TRUE);
  return world;
}

int
main (int argc, char **argv)
{
  g_autofree char *server = gearman_world_find_server ();
  GearmanWorld *world = NULL;
  int status;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  if (server == NULL)
    {
      g_print ("1..0 # SKIP there is no gearmand here\n");
      return 0;
    }
  /* A second process of the suite uses the first one's. */
  if (g_getenv (PORT_VARIABLE) == NULL)
    world = start_world ();
  strand_conformance_set_quick (!g_test_thorough ());
  strand_conformance_add_backend ("/gearman-backend/memory", make, (gpointer) "type=memory", NULL);
  strand_conformance_add_backend ("/gearman-backend/filesystem", make,
                                  (gpointer) "type=filesystem\npath=", NULL);
  ADD ("call/a-worker-runs-the-function", test_a_worker_runs_the_function);
  ADD ("call/an-error-comes-back-as-it-was", test_an_error_comes_back_as_it_was);
  ADD ("call/items-and-progress-come-while-it-runs", test_items_and_progress_come_while_it_runs);
  ADD ("cancel/a-running-call-is-stopped-in-its-worker", test_a_running_call_is_stopped_in_its_worker);
  ADD ("cancel/the-server-forgets-a-call-that-waits", test_the_server_forgets_a_call_that_waits);
  ADD ("cancel/a-call-that-nobody-waits-for-is-stopped", test_a_call_that_nobody_waits_for_is_stopped);
  ADD ("trouble/a-call-fails-with-its-server-and-the-next-finds-another",
       test_a_call_fails_with_its_server_and_the_next_finds_another);
  ADD ("trouble/a-worker-comes-back-to-a-new-server", test_a_worker_comes_back_to_a_new_server);
  ADD ("trouble/a-call-fails-with-its-worker", test_a_call_fails_with_its_worker);
  ADD ("trouble/a-worker-asked-to-end-does-when-its-call-has",
       test_a_worker_asked_to_end_does_when_its_call_has);
  status = g_test_run ();
  if (world != NULL)
    gearman_world_free (world);
  return status;
}
