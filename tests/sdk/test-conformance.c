/* test-conformance.c — the pages of clauses and the suites say the same, and the harness tells failures from
 * skips. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <strand-conformance.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* The pages. */

static char *
read_page (StrandKind kind)
{
  g_autofree char *name = g_strconcat (strand_kind_to_string (kind), ".md", NULL);
  g_autofree char *path = g_build_filename (g_getenv ("STRAND_SDK"), "..", "docs", "conformance", name, NULL);
  g_autoptr(GError) error = NULL;
  char *text = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  return text;
}

/* As a row of the page's tables. */
static char *
write_row (const StrandConformanceCase *one)
{
  g_auto(GStrv) needs = one->needs != NULL ? g_strsplit (one->needs, " ", -1) : NULL;
  g_autofree char *joined = needs != NULL ? g_strjoinv ("` `", needs) : NULL;
  g_autofree char *quoted = joined != NULL ? g_strdup_printf ("`%s` ", joined) : g_strdup ("");

  return g_strdup_printf ("| `%s` | %s | %s|", one->clause, one->text, quoted);
}

static gboolean
is_row (const char *line)
{
  const char *slash = strchr (line, '/');

  return g_str_has_prefix (line, "| `") && slash != NULL && strchr (line + 3, '`') > slash;
}

static void
test_page_has_the_cases (gconstpointer data)
{
  StrandKind kind = GPOINTER_TO_UINT (data);
  g_autoptr(GPtrArray) cases = strand_conformance_list_cases (strand_conformance_get_suite (kind));
  g_autofree char *text = read_page (kind);
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);
  guint n_rows = 0;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *row = NULL;

      if (!is_row (lines[i]))
        continue;
      g_assert_cmpuint (n_rows, <, cases->len); /* a clause without a case */
      row = write_row (cases->pdata[n_rows++]);
      g_assert_cmpstr (lines[i], ==, row);
    }
  g_assert_cmpuint (n_rows, ==, cases->len); /* a case without a clause */
}

static void
test_page_has_the_needs (gconstpointer data)
{
  StrandKind kind = GPOINTER_TO_UINT (data);
  const StrandConformanceSuite *suite = strand_conformance_get_suite (kind);
  g_autofree char *text = read_page (kind);

  for (const StrandConformanceNeed *need = suite->needs; need != NULL && need->name != NULL; need++)
    {
      g_autofree char *row = g_strdup_printf ("\n| `%s` | ", need->name);

      if (strstr (text, row) == NULL)
        g_error ("docs/conformance/%s.md does not explain the need '%s'", strand_kind_to_string (kind),
                 need->name);
    }
}

static void
test_clauses_are_unique (gconstpointer data)
{
  g_autoptr(GPtrArray) cases =
      strand_conformance_list_cases (strand_conformance_get_suite (GPOINTER_TO_UINT (data)));
  g_autoptr(GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < cases->len; i++)
    {
      const StrandConformanceCase *one = cases->pdata[i];

      g_assert_true (g_regex_match_simple ("^[a-z0-9-]+/[a-z0-9-]+$", one->clause, 0, 0));
      g_assert_true (g_hash_table_add (seen, (gpointer) one->clause));
      g_assert_true (g_str_has_suffix (one->text, "."));
    }
}

/* The harness, with a suite of our own for objects that are nothing in particular. */

static guint n_made, n_freed;
static char *last_directory;

static void
case_has_a_folder (StrandConformance *self)
{
  g_autofree char *path = strand_conformance_build_path (self, "file");

  g_assert_true (g_str_has_prefix (path, strand_conformance_get_directory (self)));
  g_assert_true (g_file_test (strand_conformance_get_directory (self), G_FILE_TEST_IS_DIR));
  g_assert_cmpstr (strand_conformance_get_directory (self), !=, last_directory);
  g_free (last_directory);
  last_directory = g_strdup (strand_conformance_get_directory (self));
  g_assert_false (strand_conformance_has_file (self, "file"));
  strand_conformance_create_file (self, "file");
  g_assert_true (strand_conformance_has_file (self, "file"));
}

static void
case_before_left_nothing (StrandConformance *self)
{
  g_assert_false (g_file_test (last_directory, G_FILE_TEST_EXISTS));
  g_assert_false (strand_conformance_has_file (self, "file"));
  g_clear_pointer (&last_directory, g_free);
}

static void
case_makes_objects (StrandConformance *self)
{
  g_autoptr(GObject) one = strand_conformance_make (self);
  g_autoptr(GObject) two = strand_conformance_make (self);

  g_assert_true (one != two);
  g_assert_cmpuint (n_made, >=, 2);
}

static void
case_has_a_function (StrandConformance *self)
{
  g_autoptr(StrandFunction) function = strand_conformance_get_function (self, "conformance.echo");

  g_assert_cmpstr (strand_function_get_name (function), ==, "conformance.echo");
}

static void
case_must_not_run (StrandConformance *self)
{
  g_assert_not_reached ();
}

static void
case_talks_to_a_peer (StrandConformance *self)
{
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "echo", "argument");
  g_autofree char *argument = strand_conformance_peer_receive (peer);
  g_autofree char *answer = NULL;
  int status;

  g_assert_cmpstr (argument, ==, "argument");
  strand_conformance_peer_send (peer, "hello");
  answer = strand_conformance_peer_receive (peer);
  g_assert_cmpstr (answer, ==, "heard hello");
  strand_conformance_peer_send (peer, "end");
  status = strand_conformance_peer_wait (peer);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  /* It was in the same folder. */
  g_assert_true (strand_conformance_has_file (self, "was-here"));
}

static void
case_kills_a_peer (StrandConformance *self)
{
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "echo", "x");
  g_autofree char *ready = strand_conformance_peer_receive (peer);
  GPid pid = strand_conformance_peer_get_pid (peer);
  g_autofree char *nothing = NULL;

  g_assert_cmpstr (ready, ==, "x");
  g_assert_cmpint (kill (pid, 0), ==, 0);
  strand_conformance_peer_kill (peer);
  g_assert_cmpint (kill (pid, 0), ==, -1);
  nothing = strand_conformance_peer_receive (peer);
  g_assert_null (nothing);
}

static void
play_echo (StrandConformance *self)
{
  char *line;

  strand_conformance_create_file (self, "was-here");
  strand_conformance_send (self, strand_conformance_get_argument (self));
  while ((line = strand_conformance_receive (self)) != NULL && strcmp (line, "end") != 0)
    {
      g_autofree char *answer = g_strconcat ("heard ", line, NULL);

      strand_conformance_send (self, answer);
      g_free (line);
    }
  g_free (line);
}

static gboolean
always (StrandConformance *self)
{
  return TRUE;
}

static gboolean
never (StrandConformance *self)
{
  return FALSE;
}

static const StrandConformanceNeed needs[] = {
  { "given", "not given", always },
  { "missing", "it is missing", never },
  { "declared", "not declared", NULL },
  { 0 },
};

static const StrandConformanceRole roles[] = {
  { "echo", play_echo },
  { 0 },
};

static const StrandConformanceCase cases[] = {
  { "case/folder", "A case has a folder of its own.", case_has_a_folder },
  { "case/folder-goes", "The folder goes with its case.", case_before_left_nothing },
  { "case/makes", "A case makes objects.", case_makes_objects, "given" },
  { "case/function", "A case has the module's functions.", case_has_a_function },
  { "case/skipped", "A need that is missing skips.", case_must_not_run, "given missing" },
  { "case/declared", "A need that is said to lack skips.", case_must_not_run, "declared" },
  { "peer/talks", "A case talks to a second process.", case_talks_to_a_peer },
  { "peer/killed", "A second process can be killed.", case_kills_a_peer },
  { 0 },
};

static const StrandConformanceCase *const groups[] = { cases, NULL };
static const StrandConformanceSuite own_suite = { STRAND_KIND_STORE, groups, needs, roles };

static gpointer
make (StrandConformance *self, gpointer unused, GError **error)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "memory", error);

  n_made++;
  return type != 0 ? g_object_new (type, NULL) : NULL;
}

static void
count_free (gpointer data)
{
  n_freed++;
}

static void
test_user_data_was_freed_once (void)
{
  if (n_made == 0)
    g_test_skip ("the harness's own cases were not run");
  else
    g_assert_cmpuint (n_freed, ==, 1);
}

int
main (int argc, char **argv)
{
  StrandConformanceSubject *subject;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (StrandKind kind = 0; kind < STRAND_N_KINDS; kind++)
    {
      g_autofree char *root = g_strconcat ("/conformance/", strand_kind_to_string (kind), NULL);
      g_autofree char *same = g_strconcat (root, "/page-has-the-cases", NULL);
      g_autofree char *explained = g_strconcat (root, "/page-has-the-needs", NULL);
      g_autofree char *unique = g_strconcat (root, "/clauses-are-unique", NULL);

      g_test_add_data_func (same, GUINT_TO_POINTER (kind), test_page_has_the_cases);
      g_test_add_data_func (explained, GUINT_TO_POINTER (kind), test_page_has_the_needs);
      g_test_add_data_func (unique, GUINT_TO_POINTER (kind), test_clauses_are_unique);
    }
  subject = strand_conformance_add_suite (&own_suite, "/conformance/harness", make, &n_freed, count_free);
  strand_conformance_subject_lacks (subject, "declared", "we say so");
  g_test_add_func ("/conformance/afterwards/user-data-was-freed-once", test_user_data_was_freed_once);
  return g_test_run ();
}
