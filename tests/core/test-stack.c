/* test-stack.c — what a keyfile may say, what is said of a bad one, and the objects that come of a good one.
 *
 * The bad keyfiles are tests/fixtures/keyfiles/bad/NAME.conf, one case each; NAME.txt holds the messages,
 * word for word. STRAND_TEST_UPDATE=1 writes them anew, to be read before they are kept. */

#include "stand-ins.h"
#include "strand.h"
#include "waiting.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct
{
  StrandPlugins *plugins;
  StrandStack *stack;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->plugins = stand_ins_new_plugins ();
  f->stack = g_object_new (STRAND_TYPE_STACK, "plugins", f->plugins, NULL);
  g_free (stand_ins_steal_closed ());
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  g_clear_object (&f->stack);
  g_clear_object (&f->plugins);
  g_free (stand_ins_steal_closed ());
}

/* The problems of a text, one a line. */
static char *
check (Fixture *f, const char *text, gssize length, const char *name)
{
  g_autoptr(GPtrArray) problems = strand_stack_check_data (text, length, name, f->plugins);
  GString *lines = g_string_new (NULL);

  for (guint i = 0; i < problems->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (problems, i));

      g_string_append_printf (lines, "%s\n", line);
    }
  return g_string_free (lines, FALSE);
}

static void
load (Fixture *f, const char *text)
{
  g_autoptr(GError) error = NULL;

  strand_stack_reload_from_data (f->stack, text, -1, "test.conf", &error);
  g_assert_no_error (error);
}

static GObject *
get (Fixture *f, StrandKind kind, const char *name)
{
  g_autoptr(GError) error = NULL;
  GObject *object = strand_stack_ref_object (f->stack, kind, name, &error);

  g_assert_no_error (error);
  g_assert_nonnull (object);
  g_object_unref (object); /* the stack keeps it */
  return object;
}

static const char *
get_string (GObject *object, const char *property)
{
  return g_value_get_string (stand_in_peek (object, property));
}

/* One bad keyfile: its messages are those of the .txt beside it, and loading says the same. */
static void
test_bad (Fixture *f, gconstpointer path)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *stem = g_strndup (path, strlen (path) - strlen (".conf"));
  g_autofree char *golden_path = g_strconcat (stem, ".txt", NULL);
  g_autofree char *golden = NULL;
  g_autofree char *text = NULL;
  g_autofree char *lines = NULL;
  g_autoptr(GError) error = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  lines = check (f, text, length, name);
  g_assert_cmpstr (lines, !=, "");

  if (g_getenv ("STRAND_TEST_UPDATE") != NULL)
    g_assert_true (g_file_set_contents (golden_path, lines, -1, NULL));
  g_file_get_contents (golden_path, &golden, NULL, NULL);
  g_assert_cmpstr (lines, ==, golden);

  g_assert_false (strand_stack_reload_from_data (f->stack, text, length, name, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  lines[strlen (lines) - 1] = '\0';
  g_assert_cmpstr (error->message, ==, lines);
  g_assert_cmpuint (strand_stack_get_generation (f->stack), ==, 0);
}

/* Every name that a reference could say can be had. */
static void
make_everything (Fixture *f)
{
  g_auto(GStrv) targets = strand_stack_list_targets (f->stack);

  for (guint i = 0; targets[i] != NULL; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GObject) object = strand_stack_ref_target (f->stack, targets[i], &error);

      /* A type that needs keys is a target only as a group. */
      if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CONFIG))
        g_assert_no_error (error);
    }
}

static void
test_good (Fixture *f, gconstpointer path)
{
  g_autofree char *text = NULL;
  g_autofree char *lines = NULL;
  g_autofree char *drawing = NULL;
  g_autoptr(GVariant) data = NULL;
  g_autoptr(GError) error = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  lines = check (f, text, length, "good.conf");
  g_assert_cmpstr (lines, ==, "");
  g_assert_true (strand_stack_reload_from_data (f->stack, text, length, "good.conf", &error));
  g_assert_no_error (error);
  make_everything (f);
  g_object_unref (strand_stack_ref_target (f->stack, NULL, &error));
  g_assert_no_error (error);
  drawing = strand_stack_describe (f->stack);
  g_assert_true (g_utf8_validate (drawing, -1, NULL));
  data = g_variant_ref_sink (strand_stack_to_variant (f->stack));
  g_assert_true (g_variant_is_of_type (data, G_VARIANT_TYPE_VARDICT));
}

static void
test_file_that_cannot_be_read (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) problems = strand_stack_check_file ("/nonexistent/a.conf", f->plugins);
  g_autofree char *line = NULL;

  g_assert_null (strand_stack_new_from_file ("/nonexistent/a.conf", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_cmpstr (error->message, ==,
                   "/nonexistent/a.conf: the keyfile cannot be read: No such file or directory");
  g_assert_cmpuint (problems->len, ==, 1);
  line = strand_problem_to_string (g_ptr_array_index (problems, 0));
  g_assert_cmpstr (line, ==, error->message);
}

static void
test_endless_file (Fixture *f, gconstpointer unused)
{
  g_autoptr(GPtrArray) problems = strand_stack_check_file ("/dev/zero", f->plugins);

  g_assert_cmpuint (problems->len, ==, 1);
  g_assert_nonnull (strstr (((StrandProblem *) g_ptr_array_index (problems, 0))->message, "the limit is"));
}

static void
test_missing_module (Fixture *f, gconstpointer unused)
{
  g_autofree char *lines = check (f, "[strand]\nmodules=/nonexistent/a.so;/nonexistent/b.so\n", -1, "a.conf");
  g_auto(GStrv) split = g_strsplit (lines, "\n", -1);

  g_assert_cmpuint (g_strv_length (split), ==, 3);
  g_assert_true (g_str_has_prefix (split[0], "a.conf:2: [strand] modules: "));
  g_assert_nonnull (strstr (split[0], "/nonexistent/a.so"));
  g_assert_nonnull (strstr (split[1], "/nonexistent/b.so"));
}

static void
test_thousands_of_mistakes_are_bounded (Fixture *f, gconstpointer unused)
{
  g_autoptr(GString) text = g_string_new (NULL);
  g_autoptr(GPtrArray) problems = NULL;

  for (guint i = 0; i < 10000; i++)
    g_string_append_printf (text, "[store s%u]\ntype=bxo\n", i);
  problems = strand_stack_check_data (text->str, text->len, "big.conf", f->plugins);
  g_assert_cmpuint (problems->len, ==, 200);
}

static void
test_values_reach_the_object (Fixture *f, gconstpointer unused)
{
  GObject *box;
  const char *const *tags;
  gint64 ttl_us;

  load (f, "[store a]\ntype=box\npath=\\s/x\\t$$5\nsync=false\nlevel=-5\nport=65535\nroom=1.5GiB\n"
           "seed=18446744073709551615\nratio=2.5e-1\npace=fast\ncolours= red ; blue\n"
           "tags=one;two\\;still two;;four;\ntiny=-128\nttl=1h 30min\n");
  box = get (f, STRAND_KIND_STORE, "a");
  g_assert_cmpstr (get_string (box, "path"), ==, " /x\t$5");
  g_assert_false (g_value_get_boolean (stand_in_peek (box, "sync")));
  g_assert_cmpint (g_value_get_int (stand_in_peek (box, "level")), ==, -5);
  g_assert_cmpuint (g_value_get_uint (stand_in_peek (box, "port")), ==, 65535);
  g_assert_cmpint (g_value_get_int64 (stand_in_peek (box, "room")), ==, 1610612736);
  g_assert_cmpuint (g_value_get_uint64 (stand_in_peek (box, "seed")), ==, G_MAXUINT64);
  g_assert_cmpfloat (g_value_get_double (stand_in_peek (box, "ratio")), ==, 0.25);
  g_assert_cmpint (g_value_get_enum (stand_in_peek (box, "pace")), ==, 2);
  g_assert_cmpuint (g_value_get_flags (stand_in_peek (box, "colours")), ==, 1 | 4);
  g_assert_cmpint (g_value_get_schar (stand_in_peek (box, "tiny")), ==, -128);
  tags = g_value_get_boxed (stand_in_peek (box, "tags"));
  g_assert_cmpstrv (tags, ((const char *const[]){ "one", "two;still two", "", "four", NULL }));
  g_object_get (box, "ttl", &ttl_us, NULL);
  g_assert_cmpint (ttl_us, ==, G_GINT64_CONSTANT (5400000000));
}

static void
test_variables (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = g_strdup_printf ("%s/set/x/y", g_get_user_state_dir ());
  GObject *box;

  load (f, "[store a]\ntype=box\n"
           "path=${XDG_STATE_HOME}/${STRAND_TEST_SET}/${STRAND_TEST_UNSET:-x}/${STRAND_TEST_EMPTY:-y}"
           "${STRAND_TEST_EMPTY}\n"
           "tags=${STRAND_TEST_LIST};${STRAND_TEST_UNSET:-${STRAND_TEST_UNSET:-${STRAND_TEST_SET}}}\n");
  box = get (f, STRAND_KIND_STORE, "a");
  g_assert_cmpstr (get_string (box, "path"), ==, path);
  /* What a variable holds is one item, and neither escapes nor variables in it mean anything. */
  g_assert_cmpstrv (g_value_get_boxed (stand_in_peek (box, "tags")),
                    ((const char *const[]){ "a;b\\n${HOME}", "set", NULL }));
}

static void
test_references_are_wired (Fixture *f, gconstpointer unused)
{
  GObject *backend, *list;
  g_autoptr(GObject) first = NULL;
  g_autoptr(GObject) second = NULL;

  load (f, "[backend a]\ntype=thread\nworkers=7\nstore=s\nmiddleware=limit;log\nretries=3\n"
           "[store s]\ntype=box\n[middleware limit]\ntype=limit\nmax-calls=2\n");
  backend = get (f, STRAND_KIND_BACKEND, "a");
  g_assert_true (stand_in_get_object (backend, "store") == get (f, STRAND_KIND_STORE, "s"));
  g_assert_cmpuint (g_value_get_uint (stand_in_peek (backend, "retries")), ==, 3);
  g_assert_cmpuint (g_value_get_uint (stand_in_peek (stand_in_get_object (backend, "taskrunner"), "workers")),
                    ==, 7);

  list = stand_in_get_object (backend, "middleware");
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (list)), ==, 2);
  first = g_list_model_get_item (G_LIST_MODEL (list), 0);
  second = g_list_model_get_item (G_LIST_MODEL (list), 1);
  g_assert_true (first == get (f, STRAND_KIND_MIDDLEWARE, "limit"));
  g_assert_true (second == get (f, STRAND_KIND_MIDDLEWARE, "log"));
}

static void
test_targets (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GObject) runner = NULL;
  g_autoptr(GObject) again = NULL;
  g_autoptr(GObject) backend = NULL;
  g_autoptr(GObject) default_backend = NULL;
  g_auto(GStrv) targets = NULL;

  load (f, "[backend sync]\ntype=local\n[taskrunner pool]\ntype=thread\nworkers=9\n");
  targets = strand_stack_list_targets (f->stack);
  g_assert_cmpstrv (targets,
                    ((const char *const[]){ "clash", "local", "pool", "queue", "sync", "thread", NULL }));

  runner = strand_stack_ref_target (f->stack, "thread", &error);
  g_assert_no_error (error);
  g_assert_true (STRAND_IS_TASKRUNNER (runner));
  again = strand_stack_ref_target (f->stack, "thread", &error);
  g_assert_true (again == runner);
  g_assert_true (STRAND_IS_TASKRUNNER (get (f, STRAND_KIND_TASKRUNNER, "pool")));

  /* A backend's name goes before a taskrunner's type. */
  backend = strand_stack_ref_target (f->stack, "sync", &error);
  g_assert_true (STRAND_IS_BACKEND (backend));
  default_backend = strand_stack_ref_target (f->stack, NULL, &error);
  g_assert_true (default_backend == backend);
}

static void
test_unknown_target (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  load (f, "[backend jobs]\ntype=thread\n");
  g_assert_null (strand_stack_ref_target (f->stack, "thraed", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_cmpstr (
      error->message, ==,
      "There is no target 'thraed'; targets there are: clash, jobs, local, queue, sync, thread; did you "
      "mean 'thread'?");
  g_clear_error (&error);
  g_assert_null (strand_stack_ref_object (f->stack, STRAND_KIND_STORE, "bxo", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
  g_assert_cmpstr (error->message, ==,
                   "There is no store 'bxo'; stores there are: box, filesystem, remote; did you mean 'box'?");
  g_clear_error (&error);
  g_assert_null (strand_stack_ref_object (f->stack, STRAND_KIND_STORE, "remote", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
}

static void
test_nothing_said_is_the_built_in_stack (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (g_get_user_state_dir (), "strand", NULL);
  GObject *backend, *store;
  gint64 ttl_us;

  load (f, "[middleware limit]\ntype=limit\n");
  backend = get (f, STRAND_KIND_BACKEND, "default");
  store = stand_in_get_object (backend, "store");
  g_assert_cmpstr (get_string (store, "path"), ==, path);
  g_object_get (store, "ttl", &ttl_us, NULL);
  g_assert_cmpint (ttl_us, ==, G_GINT64_CONSTANT (3600000000));
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (stand_in_get_object (backend, "serializer")), ==,
                   "StandInJsonSerializer");
  g_assert_cmpstr (G_OBJECT_TYPE_NAME (stand_in_get_object (backend, "taskrunner")), ==,
                   "StandInThreadTaskrunner");

  load (f, "[store default]\ntype=box\npath=/elsewhere\n");
  store = stand_in_get_object (get (f, STRAND_KIND_BACKEND, "default"), "store");
  g_assert_cmpstr (get_string (store, "path"), ==, "/elsewhere");
}

static void
test_built_in_stack_without_plugins_says_so (Fixture *f, gconstpointer unused)
{
  static const char *const nowhere[] = { NULL };
  g_autoptr(StrandPlugins) none = strand_plugins_new (nowhere);
  g_autoptr(StrandStack) stack = g_object_new (STRAND_TYPE_STACK, "plugins", none, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_null (strand_stack_ref_target (stack, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET);
}

static void
test_reload_keeps_what_did_not_change (Fixture *f, gconstpointer unused)
{
  g_autoptr(GObject) kept = NULL;
  g_autoptr(GObject) kept_backend = NULL;
  g_autoptr(GObject) thread = NULL;
  GObject *changed;
  GWeakRef gone;

  load (f, "[strand]\ndefault-backend=a\n[store s]\ntype=box\n[store t]\ntype=box\n"
           "[backend a]\ntype=thread\nstore=s\nretries=2\n[backend b]\ntype=thread\nstore=t\n");
  kept = g_object_ref (get (f, STRAND_KIND_STORE, "s"));
  kept_backend = g_object_ref (get (f, STRAND_KIND_BACKEND, "a"));
  thread = g_object_ref (get (f, STRAND_KIND_TASKRUNNER, "thread"));
  changed = get (f, STRAND_KIND_BACKEND, "b");
  g_weak_ref_init (&gone, changed);

  /* Other lines, another order and another spelling of the same value change nothing. */
  load (f, "# new\n[strand]\ndefault-backend=b\n[backend b]\ntype=thread\nstore=t\n[store "
           "t]\ntype=box\nport=81\n\n"
           "[backend a]\nretries=2\nstore=s\ntype=thread\n[store s]\ntype=box\n");
  g_assert_true (get (f, STRAND_KIND_STORE, "s") == kept);
  g_assert_true (get (f, STRAND_KIND_BACKEND, "a") == kept_backend);
  g_assert_true (get (f, STRAND_KIND_TASKRUNNER, "thread") == thread);

  /* The store below it changed, so the backend did too, and nobody holds the old one any more. */
  changed = g_weak_ref_get (&gone);
  g_assert_null (changed);
  g_assert_cmpuint (g_value_get_uint (stand_in_peek (
                        stand_in_get_object (get (f, STRAND_KIND_BACKEND, "b"), "store"), "port")),
                    ==, 81);
  g_weak_ref_clear (&gone);
}

static void
count_notify (GObject *object, GParamSpec *pspec, gpointer count)
{
  *(guint *) count += 1;
}

static void
test_reload_of_a_bad_file_changes_nothing (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "stack.conf", NULL);
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GObject) before = NULL;
  g_autoptr(GObject) after = NULL;
  g_autoptr(GError) error = NULL;
  guint64 generation;
  guint n_notified = 0;

  g_file_set_contents (path, "[backend a]\ntype=thread\n", -1, &error);
  g_assert_no_error (error);
  stack = g_object_new (STRAND_TYPE_STACK, "plugins", f->plugins, "file", path, NULL);
  g_signal_connect (stack, "notify::generation", G_CALLBACK (count_notify), &n_notified);
  g_assert_true (strand_stack_reload (stack, &error));
  before = strand_stack_ref_target (stack, "a", &error);
  generation = strand_stack_get_generation (stack);
  g_assert_cmpuint (generation, >, 0);

  g_file_set_contents (path, "[backend a]\ntype=thraed\n", -1, NULL);
  g_assert_false (strand_stack_reload (stack, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_clear_error (&error);
  g_remove (path);
  g_assert_false (strand_stack_reload (stack, &error));
  g_clear_error (&error);

  g_assert_cmpuint (strand_stack_get_generation (stack), ==, generation);
  g_assert_cmpuint (n_notified, ==, 1);
  after = strand_stack_ref_target (stack, "a", &error);
  g_assert_true (after == before);
  g_rmdir (folder);
}

/* A task that sees the number of its last look again may keep what it found, whatever stack it looks at. */
static void
test_generations_differ_between_stacks (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStack) other = g_object_new (STRAND_TYPE_STACK, "plugins", f->plugins, NULL);
  g_autoptr(GError) error = NULL;
  guint64 first, second;

  load (f, "[backend a]\ntype=thread\n");
  first = strand_stack_get_generation (f->stack);
  g_assert_true (strand_stack_reload_from_data (other, "[backend a]\ntype=sync\n", -1, "b.conf", &error));
  second = strand_stack_get_generation (other);
  g_assert_cmpuint (second, >, first);
  load (f, "[backend a]\ntype=thread\n");
  g_assert_cmpuint (strand_stack_get_generation (f->stack), >, second);
}

static void
test_optional_middleware_is_left_out (Fixture *f, gconstpointer unused)
{
  g_autoptr(GPtrArray) warnings = NULL;
  g_autofree char *drawing = NULL;
  GObject *list;

  load (f, "[middleware audit]\ntype=absent\n[middleware brittle]\ntype=fragile\n"
           "[backend a]\ntype=thread\nmiddleware=audit?;log;nosuch?;brittle?\n");
  list = stand_in_get_object (get (f, STRAND_KIND_BACKEND, "a"), "middleware");
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (list)), ==, 1);
  warnings = strand_stack_list_warnings (f->stack);
  g_assert_cmpuint (warnings->len, ==, 3);
  drawing = strand_stack_describe (f->stack);
  g_assert_nonnull (strstr (drawing, "'audit' is left out: there is no middleware type 'absent'"));
  g_assert_nonnull (strstr (drawing, "'nosuch' is left out"));
  g_assert_nonnull (
      strstr (drawing, "'brittle' is left out: Could not make the middleware 'brittle': it is broken"));
}

static void
test_disabled_middleware_is_left_out (Fixture *f, gconstpointer unused)
{
  g_autofree char *drawing = NULL;
  g_autofree char *lines = NULL;
  GObject *list;

  g_setenv ("STRAND_DISABLE", "nothing;lo?", TRUE);
  load (f, "[middleware second]\ntype=log\n[backend a]\ntype=thread\nmiddleware=second?;log?\n");
  list = stand_in_get_object (get (f, STRAND_KIND_BACKEND, "a"), "middleware");
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (list)), ==, 0);
  drawing = strand_stack_describe (f->stack);
  g_assert_nonnull (strstr (drawing, "'second' is left out: STRAND_DISABLE names it"));
  lines = check (f, "[backend a]\ntype=thread\nmiddleware=log\n", -1, "a.conf");
  g_assert_nonnull (
      strstr (lines, "a.conf:3: [backend a] middleware: STRAND_DISABLE names 'log', which is required"));
  g_unsetenv ("STRAND_DISABLE");
}

static void
write_keyfile (const char *path, const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (path, text, -1, &error));
  g_assert_no_error (error);
}

static gboolean
on_deadline (gpointer data)
{
  g_error ("Nothing came of a change of the keyfile");
  return G_SOURCE_REMOVE;
}

static void
test_watched_file_is_reloaded (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "a.conf", NULL);
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *name = NULL;
  guint deadline = g_timeout_add_seconds (60, on_deadline, NULL);
  guint64 first;

  g_assert_false (strand_stack_watch (f->stack, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);

  write_keyfile (path, "[backend a]\ntype=thread\n");
  stack = g_object_new (STRAND_TYPE_STACK, "plugins", f->plugins, "file", path, NULL);
  g_assert_true (strand_stack_reload (stack, &error));
  g_assert_true (strand_stack_watch (stack, &error));
  first = strand_stack_get_generation (stack);
  write_keyfile (path, "[backend b]\ntype=thread\n");
  while (strand_stack_get_generation (stack) == first)
    g_main_context_iteration (NULL, TRUE);
  name = strand_stack_dup_default_backend (stack);
  g_assert_cmpstr (name, ==, "b");
  g_source_remove (deadline);
  strand_stack_unwatch (stack);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_needed_middleware_fails_closed (Fixture *f, gconstpointer unused)
{
  g_autoptr(GError) error = NULL;

  load (f, "[middleware brittle]\ntype=fragile\n[backend a]\ntype=thread\nmiddleware=brittle\n");
  g_assert_null (strand_stack_ref_target (f->stack, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "Could not make the middleware 'brittle': it is broken");
}

static void
test_secrets_come_from_private_files (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "password", NULL);
  g_autofree char *text = g_strdup_printf ("[store a]\ntype=box\npassword-file=%s\n", path);
  g_autofree char *open_lines = NULL;
  g_autofree char *empty_lines = NULL;
  g_autofree char *drawing = NULL;
  g_autofree char *data_text = NULL;
  g_autoptr(GVariant) data = NULL;

  g_assert_true (g_file_set_contents (path, "hunter2\n", -1, NULL));
  g_chmod (path, 0644);
  open_lines = check (f, text, -1, "a.conf");
  g_assert_nonnull (strstr (open_lines, "a.conf:3: [store a] password-file: the secret's file"));
  g_assert_nonnull (strstr (open_lines, "has mode 0644, so others may read or write it; run: chmod 0600"));

  g_chmod (path, 0600);
  load (f, text);
  g_assert_cmpstr (get_string (get (f, STRAND_KIND_STORE, "a"), "password"), ==, "hunter2");
  drawing = strand_stack_describe (f->stack);
  g_assert_nonnull (strstr (drawing, "password=(secret)"));
  g_assert_null (strstr (drawing, "hunter2"));
  data = g_variant_ref_sink (strand_stack_to_variant (f->stack));
  data_text = g_variant_print (data, FALSE);
  g_assert_null (strstr (data_text, "hunter2"));

  g_assert_true (g_file_set_contents_full (path, "", 0, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  empty_lines = check (f, text, -1, "a.conf");
  g_assert_nonnull (strstr (empty_lines, "is empty"));
  g_remove (path);
  g_rmdir (folder);
}

static void
test_a_new_secret_makes_a_new_object (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "password", NULL);
  g_autofree char *text = g_strdup_printf ("[store a]\ntype=box\npassword-file=%s\n", path);
  g_autoptr(GObject) old = NULL;

  g_assert_true (g_file_set_contents_full (path, "one", -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  load (f, text);
  old = g_object_ref (get (f, STRAND_KIND_STORE, "a"));
  load (f, text);
  g_assert_true (get (f, STRAND_KIND_STORE, "a") == old);
  g_assert_true (g_file_set_contents_full (path, "two", -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, NULL));
  load (f, text);
  g_assert_true (get (f, STRAND_KIND_STORE, "a") != old);
  g_remove (path);
  g_rmdir (folder);
}

static void
test_describe_says_where_values_come_from (Fixture *f, gconstpointer unused)
{
  g_autofree char *drawing = NULL;

  load (f, "[backend a]\ntype=thread\nworkers=2\nstore=s\n[store s]\ntype=box\npath=${STRAND_TEST_SET}\n");
  drawing = strand_stack_describe (f->stack);
  g_test_message ("%s", drawing);
  g_assert_nonnull (strstr (drawing, "backend a (default)  type thread, short for local  test.conf:1"));
  g_assert_nonnull (strstr (drawing, "workers=2  (test.conf:3)"));
  g_assert_nonnull (strstr (drawing, "grace=5s  (default)"));
  g_assert_nonnull (strstr (drawing, "path=set  (test.conf:7, environment STRAND_TEST_SET)"));
  g_assert_nonnull (strstr (drawing, "pace=steady  (default)"));
}

static void
test_close_goes_from_backends_to_stores (Fixture *f, gconstpointer unused)
{
  g_autofree char *closed = NULL;
  g_autofree char *closed_again = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GObject) replaced = NULL;

  load (f, "[backend a]\ntype=thread\nstore=s\n[store s]\ntype=box\n");
  replaced = g_object_ref (get (f, STRAND_KIND_BACKEND, "a"));
  load (f, "[backend a]\ntype=thread\nretries=1\nstore=s\n[store s]\ntype=box\n");
  get (f, STRAND_KIND_BACKEND, "a");

  /* The replaced backend is closed too, for its calls may still run. */
  g_assert_false (strand_stack_close (f->stack, 0, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT);
  g_clear_error (&error);
  closed = stand_ins_steal_closed ();
  g_assert_cmpstr (closed, ==, "backend;backend;taskrunner;store");

  g_assert_true (strand_stack_close (f->stack, 0, &error));
  closed_again = stand_ins_steal_closed ();
  g_assert_cmpstr (closed_again, ==, "");
  g_assert_null (strand_stack_ref_target (f->stack, NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED);
  g_clear_error (&error);
  g_assert_false (strand_stack_reload_from_data (f->stack, "", -1, "a", &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer kept)
{
  *(GAsyncResult **) kept = g_object_ref (result);
}

static void
test_close_without_blocking (Fixture *f, gconstpointer unused)
{
  g_autoptr(GAsyncResult) result = NULL;
  g_autoptr(GError) error = NULL;

  load (f, "[backend a]\ntype=thread\n");
  get (f, STRAND_KIND_BACKEND, "a");
  strand_stack_close_async (f->stack, -1, NULL, keep_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (strand_stack_close_finish (f->stack, result, &error));
  g_assert_no_error (error);
}

static guint
count_entries (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_checking_opens_nothing (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *text = g_strdup_printf (
      "[backend a]\ntype=thread\nstore=s\nmiddleware=limit\n[store s]\ntype=box\npath=%s/x\n", folder);
  guint n_fds = count_entries ("/proc/self/fd"), n_threads = count_entries ("/proc/self/task");
  guint n_made = stand_ins_count_made ();

  for (guint i = 0; i < 10; i++)
    {
      g_autofree char *lines = check (f, text, -1, "a.conf");

      g_assert_cmpstr (lines, ==, "");
    }
  g_assert_cmpuint (count_entries ("/proc/self/fd"), ==, n_fds);
  g_assert_cmpuint (count_entries ("/proc/self/task"), ==, n_threads);
  g_assert_cmpuint (count_entries (folder), ==, 0);
  g_assert_cmpuint (stand_ins_count_made (), ==, n_made);
  g_rmdir (folder);
}

static const char *
pick (const char *const *words)
{
  return words[g_test_rand_int_range (0, g_strv_length ((char **) words))];
}

/* About every second one is good. */
static char *
make_random_keyfile (void)
{
  static const char *const stores[] = { "type=box\n",
                                        "type=box\nlevel=3\n",
                                        "type=box\nroom=4KiB\ntags=a;b\n",
                                        "type=box\npath=${STRAND_TEST_SET}\n",
                                        "type=box\nlevel=9\n",
                                        "type=box\npath=${STRAND_TEST_UNSET}\n",
                                        "type=bxo\n",
                                        NULL };
  static const char *const middleware[] = { "type=log\n",
                                            "type=limit\nper=1min\n",
                                            "type=nest\ninner=m1\n",
                                            "type=nest\nstore=s1\n",
                                            "type=nest\ninner=log\n",
                                            "type=limit\nper=1\n",
                                            NULL };
  static const char *const backends[] = { "type=thread\n",
                                          "type=local\ntaskrunner=sync\n",
                                          "type=queue\nstore=box\n",
                                          "type=thread\nworkers=3\nstore=s1\n",
                                          "type=sync\nmiddleware=log;m1\n",
                                          "type=sync\nmiddleware=m0?\n",
                                          "type=queue\n",
                                          "type=local\nworkers=3\n",
                                          NULL };
  static const char *const strand[] = {
    "[strand]\ndefault-backend=b0\n", "",       "[strand]\n", "[strand]\ndefault-backend=local\n",
    "[strand]\nmodules=\n",           "junk\n", NULL
  };
  GString *text = g_string_new (NULL);

  if (g_test_rand_bit ())
    g_string_append (text, pick (strand));
  for (int n = g_test_rand_int_range (0, 3), i = 0; i < n; i++)
    g_string_append_printf (text, "[store s%d]\n%s", i, pick (stores));
  for (int n = g_test_rand_int_range (0, 3), i = 0; i < n; i++)
    g_string_append_printf (text, "[middleware m%d]\n%s", i, pick (middleware));
  for (int n = g_test_rand_int_range (0, 3), i = 0; i < n; i++)
    g_string_append_printf (text, "[backend b%d]\n%s", i, pick (backends));
  return g_string_free (text, FALSE);
}

static void
test_check_accepts_what_loading_accepts (Fixture *f, gconstpointer unused)
{
  guint n_good = 0, n_bad = 0;

  for (guint i = 0; i < 2000; i++)
    {
      g_autoptr(StrandStack) stack = g_object_new (STRAND_TYPE_STACK, "plugins", f->plugins, NULL);
      g_autofree char *text = make_random_keyfile ();
      g_autofree char *lines = check (f, text, -1, "random.conf");
      g_autoptr(GError) error = NULL;
      gboolean loaded = strand_stack_reload_from_data (stack, text, -1, "random.conf", &error);

      if (loaded != (*lines == '\0'))
        g_test_message ("%s\n%s", text, lines);
      g_assert_cmpint (loaded, ==, *lines == '\0');
      *(loaded ? &n_good : &n_bad) += 1;
      if (loaded)
        {
          /* What was accepted can be made, all of it. */
          g_autoptr(GObject) backend = strand_stack_ref_target (stack, NULL, &error);
          Fixture other = { f->plugins, stack };

          g_assert_no_error (error);
          make_everything (&other);
        }
    }
  g_test_message ("%u good, %u bad", n_good, n_bad);
  g_assert_cmpuint (n_good, >, 200);
  g_assert_cmpuint (n_bad, >, 200);
}

/* A place where threads wait for each other, so that they are surely making the same object at once. */
typedef struct
{
  StrandStack *stack;
  GMutex lock;
  GCond met;
  guint n_here;
} Meeting;

static void
meet (gpointer data)
{
  Meeting *meeting = data;
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&meeting->lock);
  meeting->n_here++;
  g_cond_broadcast (&meeting->met);
  while (meeting->n_here < 2)
    if (!g_cond_wait_until (&meeting->met, &meeting->lock, deadline_us))
      g_error ("the other thread did not come");
  g_mutex_unlock (&meeting->lock);
}

static gpointer
ask_for_store (gpointer data)
{
  return strand_stack_ref_object (((Meeting *) data)->stack, STRAND_KIND_STORE, "s", NULL);
}

static void
test_threads_get_the_same_object (Fixture *f, gconstpointer unused)
{
  Meeting meeting = { f->stack };
  g_autoptr(GObject) first = NULL;
  g_autoptr(GObject) second = NULL;
  GThread *threads[2];

  load (f, "[store s]\ntype=box\n");
  g_mutex_init (&meeting.lock);
  g_cond_init (&meeting.met);
  stand_ins_set_hook (meet, &meeting);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("asks", ask_for_store, &meeting);
  first = g_thread_join (threads[0]);
  second = g_thread_join (threads[1]);
  stand_ins_set_hook (NULL, NULL);

  g_assert_nonnull (first);
  g_assert_true (first == second);
  g_assert_true (first == get (f, STRAND_KIND_STORE, "s"));
  g_cond_clear (&meeting.met);
  g_mutex_clear (&meeting.lock);
}

typedef struct
{
  Fixture *fixture;
  const char *text;
} Reload;

static void
reload_now (gpointer data)
{
  Reload *reload = data;

  stand_ins_set_hook (NULL, NULL);
  load (reload->fixture, reload->text);
}

static void
test_reload_while_an_object_is_made (Fixture *f, gconstpointer unused)
{
  Reload same = { f, "# again\n[store s]\ntype=box\n" };
  Reload other = { f, "[store t]\ntype=box\nlevel=2\n" };
  g_autoptr(GObject) kept = NULL;
  g_autoptr(GObject) replaced = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *closed = NULL;

  load (f, "[store s]\ntype=box\n");
  stand_ins_set_hook (reload_now, &same);
  kept = strand_stack_ref_object (f->stack, STRAND_KIND_STORE, "s", &error);
  g_assert_no_error (error);
  g_assert_true (get (f, STRAND_KIND_STORE, "s") == kept);

  /* What the new keyfile does not have is whole all the same, and closed in the end. */
  load (f, "[store t]\ntype=box\nlevel=1\n");
  stand_ins_set_hook (reload_now, &other);
  replaced = strand_stack_ref_object (f->stack, STRAND_KIND_STORE, "t", &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_value_get_int (stand_in_peek (replaced, "level")), ==, 1);
  g_assert_true (get (f, STRAND_KIND_STORE, "t") != replaced);
  strand_stack_close (f->stack, -1, &error);
  closed = stand_ins_steal_closed ();
  g_assert_cmpstr (closed, ==, "store;store;store");
}

static void
test_the_default_stack_can_be_set (Fixture *f, gconstpointer unused)
{
  StrandStack *built_in = strand_stack_get_default ();

  g_assert_true (strand_stack_get_default () == built_in);
  strand_stack_set_default (f->stack);
  g_assert_true (strand_stack_get_default () == f->stack);
  strand_stack_set_default (NULL);
  g_assert_true (strand_stack_get_default () != f->stack);
  strand_stack_set_default (NULL);
}

/* The plugins that this build made, not the stand-ins. */
static void
test_real_plugins_are_wired (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-XXXXXX", NULL);
  g_autofree char *text =
      g_strdup_printf ("[store results]\ntype=filesystem\npath=%s/records\nttl=1h\n"
                       "[backend jobs]\ntype=local\ntaskrunner=thread\nstore=results\nserializer=gvariant\n"
                       "middleware=logging\ntimeout=5min\n",
                       folder);
  g_autoptr(GPtrArray) warm_up = strand_stack_check_data (text, -1, "real.conf", NULL);
  guint n_fds = count_entries ("/proc/self/fd"), n_threads = count_entries ("/proc/self/task");
  g_autoptr(GPtrArray) problems = strand_stack_check_data (text, -1, "real.conf", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GObject) backend = NULL;
  g_autofree char *drawing = NULL;

  g_assert_cmpuint (warm_up->len + problems->len, ==, 0);
  g_assert_cmpuint (count_entries ("/proc/self/fd"), ==, n_fds);
  g_assert_cmpuint (count_entries ("/proc/self/task"), ==, n_threads);
  stack = strand_stack_new_from_data (text, -1, "real.conf", &error);
  g_assert_no_error (error);
  backend = strand_stack_ref_target (stack, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (STRAND_IS_BACKEND (backend));
  g_assert_cmpuint (count_entries (folder), ==, 0);

  drawing = strand_stack_describe (stack);
  g_assert_nonnull (strstr (drawing, "/filesystem-store.so\n"));
  g_assert_nonnull (strstr (drawing, "ttl=1h  (real.conf:4)"));
  g_assert_true (strand_stack_close (stack, -1, &error));
  g_assert_no_error (error);
  g_rmdir (folder);
}

static void
test_built_in_stack_of_real_plugins (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStack) stack = strand_stack_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(GObject) backend = strand_stack_ref_target (stack, NULL, &error);
  g_autofree char *name = strand_stack_dup_default_backend (stack);

  g_assert_no_error (error);
  g_assert_true (STRAND_IS_BACKEND (backend));
  g_assert_cmpstr (name, ==, "default");
  g_assert_true (strand_stack_close (stack, -1, &error));
  g_assert_no_error (error);
}

static int
compare_words (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* One case for each keyfile of a folder. The paths live as long as the program. */
static void
add_folder (GPtrArray *paths, const char *name, void (*test) (Fixture *, gconstpointer))
{
  g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "fixtures", "keyfiles", name, NULL);
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  guint first = paths->len;
  const char *file;

  g_assert_nonnull (dir);
  while ((file = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (file, ".conf"))
      g_ptr_array_add (paths, g_build_filename (folder, file, NULL));
  g_ptr_array_sort (paths, compare_words);

  for (guint i = first; i < paths->len; i++)
    {
      g_autofree char *base = g_path_get_basename (g_ptr_array_index (paths, i));
      g_autofree char *title = NULL;

      base[strlen (base) - strlen (".conf")] = '\0';
      title = g_strdup_printf ("/stack/%s/%s", name, base);
      g_test_add (title, Fixture, g_ptr_array_index (paths, i), set_up, test, tear_down);
    }
}

#define ADD(name, func) g_test_add ("/stack/" name, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_autoptr(GPtrArray) bad = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) good = g_ptr_array_new_with_free_func (g_free);

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_setenv ("STRAND_TEST_SET", "set", TRUE);
  g_setenv ("STRAND_TEST_EMPTY", "", TRUE);
  g_setenv ("STRAND_TEST_LIST", "a;b\\n${HOME}", TRUE);
  g_unsetenv ("STRAND_TEST_UNSET");

  add_folder (bad, "bad", test_bad);
  add_folder (good, "good", test_good);
  ADD ("check/file-that-cannot-be-read", test_file_that_cannot_be_read);
  ADD ("check/endless-file", test_endless_file);
  ADD ("check/missing-module", test_missing_module);
  ADD ("check/thousands-of-mistakes-are-bounded", test_thousands_of_mistakes_are_bounded);
  ADD ("check/opens-nothing", test_checking_opens_nothing);
  ADD ("check/accepts-what-loading-accepts", test_check_accepts_what_loading_accepts);
  ADD ("load/values-reach-the-object", test_values_reach_the_object);
  ADD ("load/variables", test_variables);
  ADD ("load/references-are-wired", test_references_are_wired);
  ADD ("load/optional-middleware-is-left-out", test_optional_middleware_is_left_out);
  ADD ("load/needed-middleware-fails-closed", test_needed_middleware_fails_closed);
  ADD ("load/secrets-come-from-private-files", test_secrets_come_from_private_files);
  ADD ("load/nothing-said-is-the-built-in-stack", test_nothing_said_is_the_built_in_stack);
  ADD ("load/built-in-stack-without-plugins-says-so", test_built_in_stack_without_plugins_says_so);
  ADD ("target/the-default-stack-can-be-set", test_the_default_stack_can_be_set);
  ADD ("target/names", test_targets);
  ADD ("target/unknown", test_unknown_target);
  ADD ("target/threads-get-the-same-object", test_threads_get_the_same_object);
  ADD ("load/disabled-middleware-is-left-out", test_disabled_middleware_is_left_out);
  ADD ("reload/watched-file-is-reloaded", test_watched_file_is_reloaded);
  ADD ("reload/keeps-what-did-not-change", test_reload_keeps_what_did_not_change);
  ADD ("reload/while-an-object-is-made", test_reload_while_an_object_is_made);
  ADD ("reload/of-a-bad-file-changes-nothing", test_reload_of_a_bad_file_changes_nothing);
  ADD ("reload/generations-differ-between-stacks", test_generations_differ_between_stacks);
  ADD ("reload/a-new-secret-makes-a-new-object", test_a_new_secret_makes_a_new_object);
  ADD ("describe/says-where-values-come-from", test_describe_says_where_values_come_from);
  ADD ("real/plugins-are-wired", test_real_plugins_are_wired);
  ADD ("real/built-in-stack", test_built_in_stack_of_real_plugins);
  ADD ("close/goes-from-backends-to-stores", test_close_goes_from_backends_to_stores);
  ADD ("close/without-blocking", test_close_without_blocking);

  return g_test_run ();
}
