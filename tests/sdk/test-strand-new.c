/* test-strand-new.c — what `strand new` makes of the templates, and what it refuses to make.
 *
 * That the projects are built, tested and installed is for tests/install/test-new.sh.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct
{
  char *home; /* where commands are run */
  char *templates;
  int status;
  char *out;
  char *err;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
  f->home = g_dir_make_tmp ("strand-new-XXXXXX", NULL);
  f->templates = g_build_filename (g_getenv ("STRAND_SDK"), "templates", NULL);
  g_assert_nonnull (f->home);
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  remove_tree (f->home);
  g_free (f->home);
  g_free (f->templates);
  g_free (f->out);
  g_free (f->err);
}

static char *
dup_text (GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  return g_strndup (data != NULL ? data : "", size);
}

static void
strand_new (Fixture *f, const char *const *arguments)
{
  g_autoptr(GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GBytes) out = NULL, err = NULL;
  g_autoptr(GError) error = NULL;

  g_subprocess_launcher_setenv (launcher, "STRAND_TEMPLATES", f->templates, TRUE);
  g_subprocess_launcher_setenv (launcher, "LC_ALL", "C.UTF-8", TRUE);
  g_subprocess_launcher_set_cwd (launcher, f->home);
  g_ptr_array_add (argv, (gpointer) g_getenv ("STRAND_COMMAND"));
  g_ptr_array_add (argv, (gpointer) "new");
  for (; *arguments != NULL; arguments++)
    g_ptr_array_add (argv, (gpointer) *arguments);
  g_ptr_array_add (argv, NULL);
  process = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv->pdata, &error);
  g_assert_no_error (error);
  g_subprocess_communicate (process, NULL, NULL, &out, &err, &error);
  g_assert_no_error (error);

  g_free (f->out);
  g_free (f->err);
  f->out = dup_text (out);
  f->err = dup_text (err);
  g_assert_true (g_subprocess_get_if_exited (process));
  f->status = g_subprocess_get_exit_status (process);
}

#define strand(f, ...) strand_new ((f), (const char *const[]){ __VA_ARGS__, NULL })

#define assert_has(text, part)                                                                               \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    if (strstr ((text), (part)) == NULL)                                                                     \
      g_error ("%s:%d: '%s' is not in '%s'", __FILE__, __LINE__, (part), (text));                            \
  }                                                                                                          \
  G_STMT_END

static char *
read_file (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->home, name, NULL);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

static void
make_file (Fixture *f, const char *name)
{
  g_autofree char *path = g_build_filename (f->home, name, NULL);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, "mine\n", -1, &error);
  g_assert_no_error (error);
}

static guint
count_files (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_prints_what_it_has_written (Fixture *f, gconstpointer unused)
{
  strand (f, "store", "my-thing");
  g_assert_cmpstr (f->err, ==, "");
  g_assert_cmpint (f->status, ==, 0);
  g_assert_cmpstr (f->out, ==,
                   "my-thing-store/README.md\nmy-thing-store/meson.build\nmy-thing-store/meson_options.txt\n"
                   "my-thing-store/my-thing-store.c\nmy-thing-store/strand.conf\n");
  strand (f, "store", "other", "-q");
  g_assert_cmpstr (f->out, ==, "");
  g_assert_cmpint (f->status, ==, 0);
  strand (f, "module", "hello", "elsewhere", "--json");
  g_assert_true (g_str_has_prefix (f->out, "{\"kind\":\"module\",\"name\":\"hello\",\"folder\":\"elsewhere\","
                                           "\"files\":[\"elsewhere/README.md\",\"elsewhere/meson.build\","));
}

/* Each of the ways that C has for a name; a new name that has the old one in it is not renamed again. */
static void
test_name_is_put_in (Fixture *f, gconstpointer unused)
{
  g_autofree char *text = NULL;

  strand (f, "store", "sample-2nd");
  g_assert_cmpint (f->status, ==, 0);
  text = read_file (f, "sample-2nd-store/sample-2nd-store.c");
  assert_has (text, "/* sample-2nd-store.c — ");
  assert_has (text, "G_DECLARE_FINAL_TYPE (Sample2ndStore, sample_2nd_store, SAMPLE_2ND, STORE, GObject)");
  assert_has (text, "STRAND_PLUGIN_DEFINE (\"sample-2nd-store\", ");
  assert_has (text, "STRAND_PROVIDES_STORE (\"sample-2nd\", Sample2ndStore, sample_2nd_store_get_type,");
  g_assert_null (strstr (text, "2nd-2nd"));
  g_assert_null (strstr (text, "2nd_2nd"));
}

/* A name of one letter is the same in a file's name and in C's. */
static void
test_the_rest_stays (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (f->templates, "middleware", "sample-middleware.c", NULL);
  g_autofree char *template = NULL, *text = NULL;
  g_autoptr(GString) expected = NULL;

  strand (f, "middleware", "q");
  text = read_file (f, "q-middleware/q-middleware.c");
  g_assert_true (g_file_get_contents (path, &template, NULL, NULL));
  expected = g_string_new (template);
  g_string_replace (expected, "SAMPLE", "Q", 0);
  g_string_replace (expected, "Sample", "Q", 0);
  g_string_replace (expected, "sample", "q", 0);
  g_assert_cmpstr (text, ==, expected->str);
}

static void
test_scripts_can_be_run (Fixture *f, gconstpointer unused)
{
  g_autofree char *path = g_build_filename (f->home, "hello-module", "test.sh", NULL);
  GStatBuf st;

  strand (f, "module", "hello");
  g_assert_cmpint (g_stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & S_IXUSR, !=, 0);
}

/* Each kind is a source, its build, a keyfile and a page. */
static void
test_every_kind_is_whole (Fixture *f, gconstpointer unused)
{
  static const char *const kinds[] = {
    "store", "taskrunner", "backend", "serializer", "middleware", "module"
  };

  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *source =
          strcmp (kinds[i], "module") == 0 ? g_strdup ("p/x.c") : g_strdup_printf ("p/x-%s.c", kinds[i]);
      g_autofree char *folder = g_build_filename (f->home, "p", NULL);
      const char *const files[] = { source, "p/meson.build", "p/strand.conf", "p/README.md" };

      strand (f, kinds[i], "x", "p");
      g_assert_cmpint (f->status, ==, 0);
      for (guint j = 0; j < G_N_ELEMENTS (files); j++)
        {
          g_autofree char *text = read_file (f, files[j]);

          g_assert_cmpuint (strlen (text), >, 50);
        }
      remove_tree (folder);
    }
  g_assert_cmpuint (count_files (f->templates), ==, G_N_ELEMENTS (kinds) + 1); /* and meson.build */
}

/* Each line: what is typed, and a part of what is answered. */
static void
test_mistakes (Fixture *f, gconstpointer unused)
{
  static const struct
  {
    const char *words[5];
    const char *answer;
  } mistakes[] = {
    { { NULL }, "'new' takes a kind (store, " },
    { { "store" }, "'new' takes a kind (store, " },
    { { "store", "a", "b", "c" }, "'new' takes a kind (store, " },
    { { "stroe", "a" }, "there is no kind 'stroe'; kinds are backend, " },
    { { "stroe", "a" }, "did you mean 'store'?" },
    { { "", "a" }, "there is no kind ''" },
    { { "..", "a" }, "there is no kind '..'" },
    { { "meson.build", "a" }, "there is no kind 'meson.build'" },
    { { "\xff", "a" }, "there is no kind '\\xff'" },
    { { "store", "" }, "Could not make a store '': a name is a letter" },
    { { "store", "My" }, "'My': a name is a letter" },
    { { "store", "my_thing" }, "'my_thing': a name is a letter" },
    { { "store", "9p" }, "'9p': a name is a letter" },
    { { "store", "a--b" }, "'a--b': a name is a letter" },
    { { "store", "a-" }, "'a-': a name is a letter" },
    { { "store", "../a" }, "'../a': a name is a letter" },
    { { "store", "\xc3\xa4" }, "a name is a letter" },
    { { "store", "a23456789012345678901234567890123456789ab" }, "a name is a letter" },
    { { "store", "strand" }, "begin with 'strand' are strand's own" },
    { { "store", "strand-ed" }, "begin with 'strand' are strand's own" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (mistakes); i++)
    {
      strand_new (f, mistakes[i].words);
      g_assert_cmpint (f->status, ==, 2);
      assert_has (f->err, mistakes[i].answer);
      g_assert_cmpstr (f->out, ==, "");
    }
  g_assert_cmpuint (count_files (f->home), ==, 0);
}

static void
test_what_is_there_stays (Fixture *f, gconstpointer unused)
{
  g_autofree char *folder = g_build_filename (f->home, "mine-store", NULL);
  g_autofree char *text = NULL, *file = NULL;

  g_assert_cmpint (g_mkdir (folder, 0700), ==, 0);
  make_file (f, "mine-store/meson.build");
  strand (f, "store", "mine");
  g_assert_cmpint (f->status, ==, 2);
  assert_has (
      f->err,
      "Could not make a project in 'mine-store': the folder is there already, with 'meson.build' in it");
  text = read_file (f, "mine-store/meson.build");
  g_assert_cmpstr (text, ==, "mine\n");
  g_assert_cmpuint (count_files (folder), ==, 1);

  make_file (f, "file");
  strand (f, "store", "mine", "file");
  g_assert_cmpint (f->status, ==, 2);
  assert_has (f->err, "Could not make a project in 'file': ");
  file = read_file (f, "file");
  g_assert_cmpstr (file, ==, "mine\n");
}

/* Of this kind: what another kind calls so is no matter. */
static void
test_namesake_is_named (Fixture *f, gconstpointer unused)
{
  strand (f, "store", "memory");
  g_assert_cmpint (f->status, ==, 0);
  assert_has (f->err, "There is a store 'memory' already, in '");
  assert_has (f->err, "/memory-store.so': ");
  g_free (read_file (f, "memory-store/memory-store.c"));
  strand (f, "store", "memory", "quiet", "-q");
  g_assert_cmpstr (f->err, ==, "");
  strand (f, "middleware", "memory");
  g_assert_cmpint (f->status, ==, 0);
  g_assert_cmpstr (f->err, ==, "");
}

static void
test_folder_may_be_empty_or_deep (Fixture *f, gconstpointer unused)
{
  strand (f, "store", "mine", "a/b/c");
  g_assert_cmpint (f->status, ==, 0);
  g_free (read_file (f, "a/b/c/mine-store.c"));
  strand (f, "store", "mine", ".");
  g_assert_cmpint (f->status, ==, 2); /* 'a' is in it */
}

static void
test_no_templates (Fixture *f, gconstpointer unused)
{
  g_free (f->templates);
  f->templates = g_build_filename (f->home, "nowhere", NULL);
  strand (f, "store", "mine");
  g_assert_cmpint (f->status, ==, 1);
  assert_has (f->err, "Could not find the templates of projects: ");
  assert_has (f->err, f->templates);
}

#define ADD(path, func) g_test_add ("/strand-new/" path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  ADD ("prints-what-it-has-written", test_prints_what_it_has_written);
  ADD ("name-is-put-in", test_name_is_put_in);
  ADD ("the-rest-stays", test_the_rest_stays);
  ADD ("scripts-can-be-run", test_scripts_can_be_run);
  ADD ("every-kind-is-whole", test_every_kind_is_whole);
  ADD ("mistakes", test_mistakes);
  ADD ("what-is-there-stays", test_what_is_there_stays);
  ADD ("namesake-is-named", test_namesake_is_named);
  ADD ("folder-may-be-empty-or-deep", test_folder_may_be_empty_or_deep);
  ADD ("no-templates", test_no_templates);
  return g_test_run ();
}
