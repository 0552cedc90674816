/* test-temporary-store.c — that nothing is left when the owner goes, however it goes.
 *
 * Some tests need another process: this program starts itself with a role as its first argument.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static GType temporary_store;

typedef struct
{
  char *above; /* where stores make their directories */
  StrandStore *store;
} Fixture;

static gpointer
make_place (void)
{
  return store_world_make_path ("tmp");
}

static StrandStore *
open_place (gpointer above)
{
  return g_object_new (temporary_store, "path", above, NULL);
}

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->above = make_place ();
  f->store = open_place (f->above);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_clear_object (&f->store);
  store_world_remove_above (f->above);
}

static void
put (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = store_basics_record (key);
  g_autoptr(GError) error = NULL;

  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static char *
directory_of (StrandStore *store)
{
  char *directory;

  g_object_get (store, "directory", &directory, NULL);
  return directory;
}

static char *
base_of (const char *above)
{
  return g_strdup_printf ("%s/strand-%u", above, geteuid ());
}

/* How many stores' directories there are. */
static guint
count_directories (const char *above)
{
  g_autofree char *base = base_of (above);
  g_autoptr(GDir) dir = g_dir_open (base, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_construction_opens_nothing (Fixture *f, gconstpointer unused)
{
  g_autofree char *directory = directory_of (f->store);

  g_assert_null (directory);
  g_assert_false (g_file_test (f->above, G_FILE_TEST_EXISTS));
}

static void
test_directory_is_private_and_its_own (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) other = open_place (f->above);
  g_autofree char *base = base_of (f->above);
  g_autofree char *directory = NULL;
  g_autoptr(StrandRecord) read = NULL;
  struct stat info;

  put (f->store, "job-17");
  put (other, "job-18");
  g_assert_cmpuint (count_directories (f->above), ==, 2);
  read = strand_store_get (other, "job-17", NULL);
  g_assert_null (read);

  directory = directory_of (f->store);
  g_assert_true (g_str_has_prefix (directory, base));
  g_assert_cmpint (stat (directory, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 07777, ==, 0700);
  g_assert_cmpint (stat (base, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 07777, ==, 0700);
}

static void
test_close_removes_everything (Fixture *f, gconstpointer unused)
{
  put (f->store, "job-17");
  g_assert_cmpuint (count_directories (f->above), ==, 1);
  strand_store_close (f->store);
  g_assert_cmpuint (count_directories (f->above), ==, 0);
}

static void
test_last_reference_removes_everything (Fixture *f, gconstpointer unused)
{
  put (f->store, "job-17");
  g_clear_object (&f->store);
  g_assert_cmpuint (count_directories (f->above), ==, 0);
}

/* Where anybody may make directories, somebody else may have made ours. */
static void
test_directory_of_somebody_else_is_refused (Fixture *f, gconstpointer unused)
{
  g_autofree char *base = base_of (f->above);
  g_autoptr(StrandRecord) record = store_basics_record ("job-17");
  g_autoptr(GError) open_error = NULL;
  g_autoptr(GError) link_error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (base, 0700), ==, 0);
  g_assert_cmpint (g_chmod (base, 0777), ==, 0);
  g_assert_false (strand_store_put (f->store, record, 0, &open_error));
  g_assert_error (open_error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED);
  g_assert_nonnull (strstr (open_error->message, base));

  g_assert_cmpint (g_rmdir (base), ==, 0);
  g_assert_cmpint (symlink ("/tmp", base), ==, 0);
  g_assert_false (strand_store_put (f->store, record, 0, &link_error));
  g_assert_nonnull (link_error);
  g_assert_nonnull (strstr (link_error->message, base));
}

/* Role: uses a store and ends without letting go of it. */
static int
play_exit (const char *above)
{
  static StrandStore *volatile kept; /* where leak checkers see that it is */

  kept = open_place ((char *) above);
  put (kept, "job-17");
  return count_directories (above) == 1 ? 0 : 1;
}

static void
test_exit_removes_everything (Fixture *f, gconstpointer unused)
{
  store_world_run ("--exit", f->above);
  g_assert_cmpuint (count_directories (f->above), ==, 0);
}

/* Role: uses a store without a path. */
static int
play_default (const char *above)
{
  g_autoptr(StrandStore) store = NULL;

  g_setenv ("XDG_RUNTIME_DIR", above, TRUE);
  store = g_object_new (temporary_store, NULL);
  put (store, "job-17");
  return count_directories (above) == 1 ? 0 : 1;
}

static void
test_default_place_is_the_runtime_directory (Fixture *f, gconstpointer unused)
{
  store_world_run ("--default", f->above);
}

/* Role: uses a store until it is killed. */
static int
play_wait (const char *above)
{
  g_autoptr(StrandStore) store = open_place ((char *) above);

  /* A test that fails must not leave it waiting. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  put (store, "job-17");
  if (write (STDOUT_FILENO, "x", 1) != 1)
    return 1;
  for (;;)
    pause ();
}

static void
test_killed_owner_is_swept_and_a_live_one_is_not (Fixture *f, gconstpointer unused)
{
  GPid pids[2];
  int outs[2];
  char byte;

  for (guint i = 0; i < 2; i++)
    {
      pids[i] = store_world_start ("--wait", f->above, &outs[i]);
      g_assert_cmpint (read (outs[i], &byte, 1), ==, 1);
    }
  put (f->store, "job-17");
  g_assert_cmpuint (count_directories (f->above), ==, 3);

  g_assert_cmpint (kill (pids[0], SIGKILL), ==, 0);
  g_assert_cmpint (WTERMSIG (store_world_reap (pids[0])), ==, SIGKILL);
  g_assert_cmpuint (count_directories (f->above), ==, 3);
  g_object_unref (f->store);
  f->store = open_place (f->above);
  put (f->store, "job-17");
  g_assert_cmpuint (count_directories (f->above), ==, 2);

  g_assert_cmpint (kill (pids[1], SIGKILL), ==, 0);
  store_world_reap (pids[1]);
  close (outs[0]);
  close (outs[1]);
}

/* --- in a stack ---------------------------------------------------------------------------------------- */

static GVariant *
square (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 x;

  g_variant_get (arguments, "(x)", &x);
  return g_variant_new_int64 (x * x);
}

static void
register_square (void)
{
  g_autoptr(GError) error = NULL;

  strand_registry_add (strand_registry_get_default (), "quick.square", "x:x -> x", NULL, square, NULL, NULL,
                       &error);
  g_assert_no_error (error);
}

/* Calls it, waits, and finds the call's record in the store. */
static void
assert_squares (StrandTask *task)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) handle = strand_task_call (task, "(x)", (gint64) 10);
  g_autoptr(StrandStore) store = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) value = NULL;

  g_assert_true (strand_handle_wait (handle, DEADLINE_US, &error));
  g_assert_no_error (error);
  value = strand_handle_get_result (handle, &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 100);

  store = strand_task_ref_store (task, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (store), ==, "StrandTemporaryStore");
  record = strand_store_get (store, strand_handle_get_key (handle), &error);
  g_assert_no_error (error);
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_COMPLETED);
}

static StrandStack *
new_stack (const char *store_group)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = g_strdup_printf (
      "[strand]\ndefault-backend=jobs\n\n%s\n[backend jobs]\ntype=thread\nstore=scratch\n", store_group);
  StrandStack *stack = strand_stack_new_from_data (text, -1, "stack", &error);

  g_assert_no_error (error);
  return stack;
}

/* Role: calls through a keyfile that names the store's type, then through a backend like its own but for the
 * store; in a process of its own, as the default stack is the process's. */
static int
play_stack (const char *above)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *group = g_strdup_printf ("[store scratch]\ntype=temporary\npath=%s\nttl=1min\n", above);
  g_autoptr(StrandStack) stack = new_stack (group);
  g_autoptr(StrandTask) task = NULL;

  register_square ();
  strand_stack_set_default (stack);
  task = strand_async_compute ("quick.square", &error, NULL);
  g_assert_no_error (error);
  assert_squares (task);
  g_assert_cmpuint (count_directories (above), ==, 1);
  strand_stack_close (stack, strand_clock_monotonic_us () + DEADLINE_US, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_directories (above), ==, 0);
  return 0;
}

static void
test_keyfile_names_it (Fixture *f, gconstpointer unused)
{
  store_world_run ("--stack", f->above);
}

/* Role: temporary computations beside a stack that keeps its results in memory. */
static int
play_scope (const char *above)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = new_stack ("[store scratch]\ntype=memory\n");

  register_square ();
  strand_stack_set_default (stack);
  {
    g_autoptr(StrandStore) scratch =
        g_object_new (temporary_store, "path", above, "ttl", (gint64) 60 * G_USEC_PER_SEC, NULL);
    g_autoptr(StrandTask) quick = strand_async_compute ("quick.square", &error, "store", scratch, NULL);

    g_assert_no_error (error);
    assert_squares (quick);
    g_assert_cmpuint (count_directories (above), ==, 1);
    strand_store_close (scratch);
  }
  g_assert_cmpuint (count_directories (above), ==, 0);
  strand_stack_close (stack, strand_clock_monotonic_us () + DEADLINE_US, &error);
  g_assert_no_error (error);
  return 0;
}

static void
test_temporary_computation_leaves_nothing (Fixture *f, gconstpointer unused)
{
  store_world_run ("--scope", f->above);
}

static const StoreRole roles[] = { { "--exit", play_exit },   { "--default", play_default },
                                   { "--wait", play_wait },   { "--stack", play_stack },
                                   { "--scope", play_scope }, { NULL } };

#define ADD(name, run) g_test_add ("/temporary-store/" name, Fixture, NULL, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  int status;

  temporary_store =
      strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "temporary", &error);
  g_assert_no_error (error);
  if (store_world_play (argc, argv, roles, &status))
    return status;
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("construction-opens-nothing", test_construction_opens_nothing);
  ADD ("directory-is-private-and-its-own", test_directory_is_private_and_its_own);
  ADD ("close-removes-everything", test_close_removes_everything);
  ADD ("last-reference-removes-everything", test_last_reference_removes_everything);
  ADD ("exit-removes-everything", test_exit_removes_everything);
  ADD ("directory-of-somebody-else-is-refused", test_directory_of_somebody_else_is_refused);
  ADD ("default-place-is-the-runtime-directory", test_default_place_is_the_runtime_directory);
  ADD ("killed-owner-is-swept-and-a-live-one-is-not", test_killed_owner_is_swept_and_a_live_one_is_not);
  ADD ("keyfile-names-it", test_keyfile_names_it);
  ADD ("temporary-computation-leaves-nothing", test_temporary_computation_leaves_nothing);

  return g_test_run ();
}
