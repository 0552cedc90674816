/* test-conformance-faults.c — `strand conformance` finds each broken promise where it was broken, and nowhere
 * else.
 *
 * The subject is a taskrunner that breaks one promise at a time. Cases that only a hang can fail wait for
 * their whole deadline.                                                      SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"

#include <glib/gstdio.h>
#include <strand.h>
#include <string.h>
#include <sys/wait.h>

/* Longer than any case takes that passes, also where much else runs. */
#define DEADLINE "5s"

static const struct
{
  const char *fault;
  const char *settings; /* of the taskrunner, besides */
  const char *failed;   /* the clauses that fail, in order */
  const char *says;     /* somewhere in the report; NULL for nothing in particular */
  const char *may_fail; /* one more, as two threads happen to race; NULL for none */
} faults[] = {
  { "none", "", "",
    "\nok 10 - results/object\nok 11 - results/object-refused # SKIP calls run in this process\n" },
  { "forgets-domain", "", "results/error-kept results/cancelled-error-kept",
    "\n# An error arrives with its domain" },
  { "crashes", "", "results/wrong-type", "\n# it died of signal 11 (Segmentation fault)\n" },
  { "loses-calls", "", "ends/exactly-once", "waited in vain for" },
  { "lies-inline", "", "context/main context/thread-default context/inline traits/inline traits/one-by-one",
    NULL, "context/data" },
  { "swaps-items", "", "items/in-order items/own-call items/million items/unconsumed" },
  { "ignores-room", "", "items/back-pressure" },
  { "forgets-options", "", "function/key function/headers function/deadline" },
  { "deaf", "", "cancel/running cancel/any-thread cancel/others cancel/cancellable close/deadline" },
  { "keeps-place", "workers=1\n", "cancel/place-free" },
  { "begins-late", "", "timeout/value-counts" },
  { "close-forgets", "", "close/deadline close/deaf close/closed" },
  { "fickle", "", "traits/stable" },
  { "in-context", "", "waits/blocking waits/in-callback" },
  { "hides-places", "", "waits/own-pool" },
  { "blocks-owner", "workers=1\n", "load/full", "\n# it hung, and was killed\n" },
};

/* Runs the command; its exit status. @first: its arguments after `conformance` */
static int
strand_conformance (char **output, char **errors, const char *first, ...)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;
  const char *word;
  int status;
  va_list args;

  g_ptr_array_add (words, (gpointer) g_getenv ("STRAND_COMMAND"));
  g_ptr_array_add (words, (gpointer) "conformance");
  va_start (args, first);
  for (word = first; word != NULL; word = va_arg (args, const char *))
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);
  g_ptr_array_add (words, NULL);
  g_spawn_sync (NULL, (char **) words->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, output, errors, &status,
                &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

/* The clauses that failed, apart by blanks. @but: (nullable): one that is left out */
static char *
list_failed (const char *report, const char *but)
{
  g_auto(GStrv) lines = g_strsplit (report, "\n", -1);
  g_autoptr(GString) failed = g_string_new (NULL);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], "not ok ") && (but == NULL || !g_str_has_suffix (lines[i], but)))
      g_string_append_printf (failed, "%s%s", failed->len > 0 ? " " : "", strstr (lines[i], " - ") + 3);
  return g_strdup (failed->str);
}

static char *
write_keyfile (const char *fault, const char *settings)
{
  g_autofree char *text = g_strdup_printf ("[taskrunner broken]\ntype=faulty\nfault=%s\n%s", fault, settings);
  g_autoptr(GError) error = NULL;
  char *path;
  int fd = g_file_open_tmp ("broken-XXXXXX.conf", &path, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return path;
}

static char *
faulty_file (void)
{
  return g_test_build_filename (G_TEST_BUILT, "fixtures", "taskrunners", "faulty-taskrunner.so", NULL);
}

/* Where each process takes long to start, as with sanitizers, a fault is looked for in its own group only. */
static char *
choose_cases (guint i)
{
#ifdef __SANITIZE_ADDRESS__
  return g_strndup (faults[i].failed, strcspn (faults[i].failed, "/"));
#else
  return g_strdup ("");
#endif
}

/* Those of the clauses expected that are among the cases chosen. */
static char *
expect_failed (guint i, const char *chosen)
{
  g_auto(GStrv) clauses = g_strsplit (faults[i].failed, " ", -1);
  g_autoptr(GString) failed = g_string_new (NULL);

  for (guint j = 0; clauses[j] != NULL; j++)
    if (g_str_has_prefix (clauses[j], chosen))
      g_string_append_printf (failed, "%s%s", failed->len > 0 ? " " : "", clauses[j]);
  return g_strdup (failed->str);
}

static void
test_fault (gconstpointer number)
{
  guint i = GPOINTER_TO_UINT (number);
  g_autofree char *keyfile = write_keyfile (faults[i].fault, faults[i].settings);
  g_autofree char *file = faulty_file (), *chosen = choose_cases (i), *expected = expect_failed (i, chosen);
  g_autofree char *output = NULL, *errors = NULL, *failed = NULL;
  int status =
      strand_conformance (&output, &errors, "taskrunner/broken", "-c", keyfile, "--file", file, "--quick",
                          "--deadline", DEADLINE, chosen[0] != '\0' ? chosen : NULL, NULL);

  failed = list_failed (output, faults[i].may_fail);
  if (strcmp (failed, expected) != 0)
    g_test_message ("%s%s", output, errors);
  g_assert_cmpstr (failed, ==, expected);
  g_assert_cmpint (status, ==, expected[0] != '\0' ? 1 : 0);
  g_assert_true (g_str_has_prefix (output, "1.."));
  if (faults[i].says != NULL && strstr (output, faults[i].says) == NULL)
    g_error ("'%s' is not in '%s'", faults[i].says, output);
  g_unlink (keyfile);
}

/* The command itself. */

static void
test_a_group_or_a_clause (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (strand_conformance (&output, &errors, "taskrunner/sync", "timeout", "results/value", NULL),
                   ==, 0);
  g_assert_cmpstr (
      output, ==,
      "1..5\nok 1 - results/value\nok 2 - timeout/listening\nok 3 - timeout/value-counts\n"
      "ok 4 - timeout/deaf # SKIP calls run inline, before submit() returns\nok 5 - timeout/in-time\n");
}

static void
test_lacks (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (
      strand_conformance (&output, &errors, "taskrunner/thread", "cancel/deaf", "--lacks", "stop", NULL), ==,
      0);
  g_assert_cmpstr (output, ==, "1..1\nok 1 - cancel/deaf # SKIP said to lack 'stop'\n");
}

static void
test_json (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (strand_conformance (&output, &errors, "taskrunner/sync", "ends/times", "--json", NULL), ==,
                   0);
  g_assert_cmpstr (
      output, ==,
      "[{\"clause\":\"ends/times\",\"text\":\"A call is created, then started, then completed, and its "
      "times say so.\",\"outcome\":\"passed\",\"details\":null}]\n");
}

static void
test_a_kind_lists_its_clauses (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (strand_conformance (&output, &errors, "taskrunner", "cancel/deaf", NULL), ==, 0);
  g_assert_cmpstr (
      output, ==,
      "cancel/deaf\tbackground stop\tA function that does not listen is stopped or abandoned after the "
      "grace, and its call is cancelled.\n");
}

static void
expect_refusal (const char *expected, const char *one, const char *two, const char *three)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (strand_conformance (&output, &errors, one, two, three, NULL), ==, 2);
  g_assert_cmpstr (output, ==, "");
  if (strstr (errors, expected) == NULL)
    g_error ("'%s' is not in '%s'", expected, errors);
}

static void
test_mistakes_are_told (void)
{
  expect_refusal ("takes a KIND/TYPE", NULL, NULL, NULL);
  expect_refusal ("'nonsense/x' is no KIND/TYPE", "nonsense/x", NULL, NULL);
  expect_refusal ("no taskrunner 'nonsense'", "taskrunner/nonsense", NULL, NULL);
  expect_refusal ("No clause is called that", "taskrunner/sync", "ends/nonsense", NULL);
  expect_refusal ("'nonsense' is no need", "taskrunner/sync", "--lacks", "nonsense");
  expect_refusal ("nowhere.so", "taskrunner/sync", "--file", "nowhere.so");
  expect_refusal ("above 0", "taskrunner/sync", "--deadline", "0");
}

static void
test_file_must_be_the_one (void)
{
  g_autofree char *output = NULL, *errors = NULL, *file = faulty_file ();

  /* It provides another type. */
  g_assert_cmpint (
      strand_conformance (&output, &errors, "taskrunner/sync", "ends/times", "--file", file, NULL), ==, 1);
  g_assert_nonnull (strstr (output, "not from '"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  g_test_add_func ("/strand-conformance/a-group-or-a-clause", test_a_group_or_a_clause);
  g_test_add_func ("/strand-conformance/lacks", test_lacks);
  g_test_add_func ("/strand-conformance/json", test_json);
  g_test_add_func ("/strand-conformance/a-kind-lists-its-clauses", test_a_kind_lists_its_clauses);
  g_test_add_func ("/strand-conformance/mistakes-are-told", test_mistakes_are_told);
  g_test_add_func ("/strand-conformance/file-must-be-the-one", test_file_must_be_the_one);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autofree char *path = g_strconcat ("/strand-conformance/fault/", faults[i].fault, NULL);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_fault);
    }
  return g_test_run ();
}
