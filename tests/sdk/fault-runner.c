/* fault-runner.c — runs `strand conformance` on an object that is broken on purpose.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "fault-runner.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

/* Longer than any case takes that passes, also where much else runs; what hangs takes all of it. */
#define DEADLINE "5s"

static struct
{
  const char *kind;
  const char *settings;
  guint n_looks;
} subject;

/* Whatever has become of the processes of its cases. */
static void
assert_nothing_left (const char *folder)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);

  g_assert_cmpstr (g_dir_read_name (dir), ==, NULL);
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
fault_runner_command (char **output, char **errors, const char *first, ...)
{
  g_autofree char *folder = g_dir_make_tmp ("strand-faults-XXXXXX", NULL);
  g_auto(GStrv) environment = g_environ_setenv (g_get_environ (), "TMPDIR", folder, TRUE);
  g_autoptr(GPtrArray) words = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;
  int status;
  va_list args;

  g_ptr_array_add (words, (gpointer) g_getenv ("STRAND_COMMAND"));
  g_ptr_array_add (words, (gpointer) "conformance");
  va_start (args, first);
  for (const char *word = first; word != NULL; word = va_arg (args, const char *))
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);
  g_ptr_array_add (words, NULL);
  g_spawn_sync (NULL, (char **) words->pdata, environment, G_SPAWN_DEFAULT, NULL, NULL, output, errors,
                &status, &error);
  g_assert_no_error (error);
  assert_nothing_left (folder);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

char *
fault_runner_file (const char *kind)
{
  g_autofree char *folder = g_strconcat (kind, strcmp (kind, "middleware") != 0 ? "s" : "", NULL);
  g_autofree char *name = g_strconcat ("faulty-", kind, ".so", NULL);

  return g_test_build_filename (G_TEST_BUILT, "fixtures", folder, name, NULL);
}

static char *
write_keyfile (const Fault *fault)
{
  g_autofree char *path = NULL;
  g_autofree char *text = g_strdup_printf ("[%s broken]\ntype=faulty\nfault=%s\n%s%s", subject.kind,
                                           fault->fault, subject.settings != NULL ? subject.settings : "",
                                           fault->settings != NULL ? fault->settings : "");
  g_autoptr(GError) error = NULL;
  int fd = g_file_open_tmp ("broken-XXXXXX.conf", &path, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&path);
}

/* The report of the suite, or of one of its groups. */
static char *
run_suite (const char *keyfile, const char *group)
{
  g_autofree char *file = fault_runner_file (subject.kind);
  g_autofree char *broken = g_strconcat (subject.kind, "/broken", NULL);
  g_autofree char *errors = NULL;
  char *output = NULL;
  int status = fault_runner_command (&output, &errors, broken, "-c", keyfile, "--file", file, "--quick",
                                     "--deadline", DEADLINE, group, NULL);

  if (!g_str_has_prefix (output, "1.."))
    g_error ("%s", errors);
  g_assert_cmpint (status, ==, strstr (output, "\nnot ok ") != NULL ? 1 : 0);
  return output;
}

static gboolean
has_word (const char *words, const char *word)
{
  g_auto(GStrv) list = g_strsplit (words != NULL ? words : "", " ", -1);

  return g_strv_contains ((const char *const *) list, word);
}

/* Clauses that failed and were not to, and that were to and did not. */
static char *
compare (const Fault *fault, const char *report, const char *group)
{
  g_auto(GStrv) lines = g_strsplit (report, "\n", -1), expected = g_strsplit (fault->failed, " ", -1);
  g_autoptr(GString) seen = g_string_new (""), wrong = g_string_new ("");

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], "not ok "))
      {
        const char *clause = strstr (lines[i], " - ") + 3;

        g_string_append_printf (seen, "%s ", clause);
        if (!has_word (fault->failed, clause) && !has_word (fault->may_fail, clause))
          g_string_append_printf (wrong, "%s failed; ", clause);
      }
  for (guint i = 0; expected[i] != NULL; i++)
    if ((group == NULL || g_str_has_prefix (expected[i], group)) && !has_word (seen->str, expected[i]) &&
        !has_word (fault->may_fail, expected[i]))
      g_string_append_printf (wrong, "%s passed; ", expected[i]);
  return g_strdup (wrong->str);
}

/* Where each process takes long to start, as with sanitizers, a fault is looked for in its own group only. */
static char *
choose_group (const Fault *fault)
{
#ifdef __SANITIZE_ADDRESS__
  gsize length = strcspn (fault->failed, "/");

  return length > 0 ? g_strndup (fault->failed, length) : NULL;
#else
  return NULL;
#endif
}

static void
test_fault (gconstpointer data)
{
  const Fault *fault = data;
  g_autofree char *keyfile = write_keyfile (fault), *group = choose_group (fault);
  g_autofree char *report = NULL, *wrong = NULL;

  for (guint n_looks = 0; n_looks == 0 || (wrong[0] != '\0' && n_looks < subject.n_looks); n_looks++)
    {
      g_free (report);
      g_free (wrong);
      report = run_suite (keyfile, group);
      wrong = compare (fault, report, group);
      if (wrong[0] != '\0')
        g_test_message ("%s\n%s", wrong, report);
    }
  g_assert_cmpstr (wrong, ==, "");
  if (fault->says != NULL && strstr (report, fault->says) == NULL)
    g_error ("'%s' is not in '%s'", fault->says, report);
  g_unlink (keyfile);
}

void
fault_runner_add (const char *kind, const char *settings, guint n_looks, const Fault *faults)
{
  subject.kind = kind;
  subject.settings = settings;
  subject.n_looks = n_looks;
  for (const Fault *fault = faults; fault->fault != NULL; fault++)
    {
      g_autofree char *path = g_strconcat ("/strand-conformance/", kind, "/", fault->fault,
                                           fault->settings != NULL ? "-set" : NULL, NULL);

      g_test_add_data_func (path, fault, test_fault);
    }
}
