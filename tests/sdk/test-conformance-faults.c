/* test-conformance-faults.c — `strand conformance` finds each broken promise where it was broken, and nowhere
 * else.
 *
 * The subject is a taskrunner that breaks one promise at a time. Cases that only a hang can fail wait for
 * their whole deadline.                                                      SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"

#include "fault-runner.h"

#include <glib/gstdio.h>
#include <string.h>

static const Fault faults[] = {
  { "none", NULL, "", NULL,
    "\nok 10 - results/object\nok 11 - results/object-refused # SKIP calls run in this process\n" },
  { "forgets-domain", NULL, "results/error-kept results/cancelled-error-kept", NULL,
    "\n# An error arrives with its domain" },
  { "crashes", NULL, "results/wrong-type", NULL, "\n# it died of signal 11 (Segmentation fault)\n" },
  { "loses-calls", NULL, "ends/exactly-once", NULL, "waited in vain for" },
  { "lies-inline", NULL, "context/main context/thread-default context/inline traits/inline traits/one-by-one",
    "context/data" },
  { "swaps-items", NULL, "items/in-order items/own-call items/million items/unconsumed" },
  { "ignores-room", NULL, "items/back-pressure" },
  { "forgets-options", NULL, "function/key function/headers function/deadline" },
  { "deaf", NULL, "cancel/running cancel/any-thread cancel/others cancel/cancellable close/deadline" },
  { "keeps-place", "workers=1\n", "cancel/place-free" },
  { "begins-late", NULL, "timeout/value-counts" },
  { "close-forgets", NULL, "close/deadline close/deaf close/closed" },
  { "fickle", NULL, "traits/stable" },
  { "in-context", NULL, "waits/blocking waits/in-callback" },
  { "hides-places", NULL, "waits/own-pool" },
  { "blocks-owner", "workers=1\n", "load/full", NULL, "\n# it hung, and was killed\n" },
  { NULL },
};

/* The command itself. */

static void
test_a_group_or_a_clause (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (
      fault_runner_command (&output, &errors, "taskrunner/sync", "timeout", "results/value", NULL), ==, 0);
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
      fault_runner_command (&output, &errors, "taskrunner/thread", "cancel/deaf", "--lacks", "stop", NULL),
      ==, 0);
  g_assert_cmpstr (output, ==, "1..1\nok 1 - cancel/deaf # SKIP said to lack 'stop'\n");
}

static void
test_json (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (fault_runner_command (&output, &errors, "taskrunner/sync", "ends/times", "--json", NULL),
                   ==, 0);
  g_assert_cmpstr (
      output, ==,
      "[{\"clause\":\"ends/times\",\"text\":\"A call is created, then started, then completed, and its "
      "times say so.\",\"outcome\":\"passed\",\"details\":null}]\n");
}

static void
test_a_kind_lists_its_clauses (void)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (fault_runner_command (&output, &errors, "taskrunner", "cancel/deaf", NULL), ==, 0);
  g_assert_cmpstr (
      output, ==,
      "cancel/deaf\tbackground stop\tA function that does not listen is stopped or abandoned after the "
      "grace, and its call is cancelled.\n");
}

static void
expect_refusal (const char *expected, const char *one, const char *two, const char *three)
{
  g_autofree char *output = NULL, *errors = NULL;

  g_assert_cmpint (fault_runner_command (&output, &errors, one, two, three, NULL), ==, 2);
  g_assert_cmpstr (output, ==, "");
  if (strstr (errors, expected) == NULL)
    g_error ("'%s' is not in '%s'", expected, errors);
}

static void
test_mistakes_are_told (void)
{
  expect_refusal ("takes a KIND/TYPE", NULL, NULL, NULL);
  expect_refusal ("'nonsense/x' is no KIND/TYPE", "nonsense/x", NULL, NULL);
  expect_refusal ("'reader' is no KIND/TYPE", "reader", NULL, NULL); /* there is one type of it */
  expect_refusal ("no taskrunner 'nonsense'", "taskrunner/nonsense", NULL, NULL);
  expect_refusal ("No clause is called that", "taskrunner/sync", "ends/nonsense", NULL);
  expect_refusal ("'nonsense' is no need", "taskrunner/sync", "--lacks", "nonsense");
  expect_refusal ("nowhere.so", "taskrunner/sync", "--file", "nowhere.so");
  expect_refusal ("above 0", "taskrunner/sync", "--deadline", "0");
}

/* Not once for each case. */
static void
test_mistake_in_the_keyfile_is_told (void)
{
  g_autofree char *folder = g_dir_make_tmp (NULL, NULL), *plugin = fault_runner_file ("taskrunner");
  g_autofree char *path = g_build_filename (folder, "mistake.conf", NULL);
  g_autofree char *config = g_strconcat ("--config=", path, NULL),
                  *file = g_strconcat ("--file=", plugin, NULL);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, "[taskrunner broken]\ntype=faulty\nwrokers=1\n", -1, &error);
  g_assert_no_error (error);
  expect_refusal ("mistake.conf:3: [taskrunner broken] wrokers: unknown key", "taskrunner/broken", config,
                  file);
  g_unlink (path);
  g_rmdir (folder);
}

static void
test_file_must_be_the_one (void)
{
  g_autofree char *output = NULL, *errors = NULL, *file = fault_runner_file ("taskrunner");

  /* It provides another type. */
  g_assert_cmpint (
      fault_runner_command (&output, &errors, "taskrunner/sync", "ends/times", "--file", file, NULL), ==, 1);
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
  g_test_add_func ("/strand-conformance/mistake-in-the-keyfile-is-told", test_mistake_in_the_keyfile_is_told);
  g_test_add_func ("/strand-conformance/file-must-be-the-one", test_file_must_be_the_one);
  fault_runner_add ("taskrunner", NULL, 1, faults);
  return g_test_run ();
}
