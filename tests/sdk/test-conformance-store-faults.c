/* test-conformance-store-faults.c — `strand conformance` finds each promise that a store breaks where it was
 * broken, and nowhere else.
 *
 * The subject is a store that breaks one promise at a time. Cases that only a hang can fail wait for their
 * whole deadline. What is written behind a revision's back shows in every case that races for one, but not
 * each time: such cases may fail.                                  SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include <glib/gstdio.h>
#include <strand.h>
#include <string.h>
#include <sys/wait.h>

/* Longer than any case takes that passes, also where much else runs. */
#define DEADLINE "5s"

/* Cases in which many write to one record. */
#define RACES                                                                                                \
  "renew/between-writes threads/no-lost-update threads/whole processes/no-lost-update crash/writers "        \
  "watch/last"

static const struct
{
  const char *fault;
  const char *failed;   /* the clauses that fail */
  const char *may_fail; /* as threads and processes happen to race; NULL for none */
} faults[] = {
  { "none", "", NULL },
  { "loses-updates", "threads/no-lost-update threads/created-once processes/created-once",
    RACES " claim/once-threads claim/once-processes" },
  { "ignores-revision",
    "put/imported revision/exists revision/stale revision/removed batch/verdicts batch/same-key batch/many "
    "threads/created-once processes/seen processes/created-once",
    RACES },
  { "stale-for-exists",
    "put/imported revision/exists ttl/not-in-the-way batch/verdicts batch/many threads/created-once "
    "processes/created-once",
    "crash/writers" },
  { "tears-records", "threads/whole", RACES " items/other-process" },
  { "writes-behind",
    "watch/other-object watch/other-process watch/last queue/other-process close/found-again close/others-stay medium/impossible medium/read-only",
    RACES
    " processes/seen processes/held queue/given-back-by-other queue/any claim/once-processes items/other-process processes/created-once "
    "crash/claimants "
    "threads/created-once threads/removed-once threads/all-at-once" },
  { "forgets-headers", "put/every-field put/odd-strings put/imported claim/fields", NULL },
  { "cuts-values", "put/large", NULL },
  { "forgets-ttl",
    "put/every-field put/odd-numbers ttl/hidden ttl/not-early ttl/from-the-end ttl/own-first "
    "ttl/not-in-the-way ttl/rewritten ttl/other-kinds cleanup/all cleanup/small-steps cleanup/by-using "
    "cleanup/items clock/back clock/ahead batch/expired",
    NULL },
  { "pages-overlap", "list/one-page list/rewritten list/kinds", "crash/writers" },
  { "pages-gap", "list/one-page list/come-and-go list/rewritten list/kinds", NULL },
  { "ignores-queue", "list/filters list/exact-names list/changed threads/all-at-once", NULL },
  { "counts-expired", "ttl/hidden ttl/from-the-end clock/ahead", NULL },
  { "wakes-nobody",
    "watch/other-object watch/other-process watch/last queue/other-process queue/given-back-by-other "
    "queue/any",
    NULL },
  { "wakes-no-reader", "queue/other-process queue/given-back-by-other queue/any", NULL },
  { "claims-twice", "claim/once-threads claim/once-processes", "crash/claimants" },
  { "claims-by-key", "claim/in-turn claim/priority claim/hopeless", NULL },
  { "claims-early", "claim/not-before claim/next-due claim/again", NULL },
  { "never-due", "claim/not-before claim/next-due claim/again", NULL },
  { "keeps-fence",
    "cleanup/items claim/fields claim/again renew/counter renew/cancel-requested renew/each "
    "renew/between-writes items/removed threads/all-at-once crash/claimants",
    NULL },
  { "ignores-fence", "renew/fence renew/each", NULL },
  { "stops-batch", "batch/verdicts batch/same-key batch/many", NULL },
  { "drops-items",
    "items/in-order items/said-again items/replaced items/gap items/small-gap items/begins-late "
    "items/bounded items/other-process",
    NULL },
  { "keeps-items", "cleanup/items items/replaced items/gap items/bounded items/removed threads/all-at-once",
    NULL },
  { "opens-early", "close/construction", NULL },
  { "leaks-files", "close/nothing-left", NULL },
  { "hides-trouble", "medium/impossible medium/read-only", NULL },
};

static char *
write_keyfile (const char *fault)
{
  g_autofree char *text = g_strdup_printf ("[store broken]\ntype=faulty\nfault=%s\n"
                                           "path=${STRAND_CONFORMANCE_DIRECTORY}/records\n",
                                           fault);
  g_autoptr(GError) error = NULL;
  char *path;
  int fd = g_file_open_tmp ("broken-XXXXXX.conf", &path, &error);

  g_assert_no_error (error);
  g_close (fd, NULL);
  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return path;
}

/* The report of the suite, or of one of its groups. */
static char *
run_suite (const char *keyfile, const char *group)
{
  g_autofree char *file = g_test_build_filename (G_TEST_BUILT, "fixtures", "stores", "faulty-store.so", NULL);
  const char *words[] = { g_getenv ("STRAND_COMMAND"),
                          "conformance",
                          "store/broken",
                          "-c",
                          keyfile,
                          "--file",
                          file,
                          "--quick",
                          "--deadline",
                          DEADLINE,
                          group,
                          NULL };
  g_autoptr(GError) error = NULL;
  g_autofree char *errors = NULL;
  char *output = NULL;
  int status;

  g_spawn_sync (NULL, (char **) words, NULL, G_SPAWN_DEFAULT, NULL, NULL, &output, &errors, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, strstr (output, "\nnot ok ") != NULL ? 1 : 0);
  g_assert_true (g_str_has_prefix (output, "1.."));
  return output;
}

/* Where each process takes long to start, as with sanitizers, a fault is looked for in its own group only. */
static char *
choose_group (guint i)
{
#ifdef __SANITIZE_ADDRESS__
  gsize length = strcspn (faults[i].failed, "/");

  return length > 0 ? g_strndup (faults[i].failed, length) : g_strdup ("get");
#else
  return NULL;
#endif
}

static gboolean
has_word (const char *words, const char *word)
{
  g_auto(GStrv) list = g_strsplit (words != NULL ? words : "", " ", -1);

  return g_strv_contains ((const char *const *) list, word);
}

/* The first clause that failed and was not to, or was to and did not; NULL if all is as expected. */
static char *
find_wrong (guint i, const char *report)
{
  g_auto(GStrv) lines = g_strsplit (report, "\n", -1);

  for (guint j = 0; lines[j] != NULL; j++)
    {
      const char *clause = strstr (lines[j], " - ");
      gboolean failed = g_str_has_prefix (lines[j], "not ok ");

      if (clause == NULL || (!failed && !g_str_has_prefix (lines[j], "ok ")))
        continue;
      clause += strlen (" - ");
      if (failed != has_word (faults[i].failed, clause) && !has_word (faults[i].may_fail, clause))
        return g_strdup_printf ("'%s' should%s have failed", clause, failed ? " not" : "");
    }
  return NULL;
}

/* Several processes on a busy machine may just miss each other, so what is not as expected is looked at
 * twice. */
static void
test_fault (gconstpointer number)
{
  guint i = GPOINTER_TO_UINT (number);
  g_autofree char *keyfile = write_keyfile (faults[i].fault);
  g_autofree char *group = choose_group (i);
  g_autofree char *wrong = NULL;

  for (guint n_looks = 0; n_looks == 0 || (wrong != NULL && n_looks < 2); n_looks++)
    {
      g_autofree char *report = run_suite (keyfile, group);

      g_free (wrong);
      wrong = find_wrong (i, report);
      if (wrong != NULL)
        g_test_message ("%s\n%s", wrong, report);
    }
  g_assert_cmpstr (wrong, ==, NULL);
  g_unlink (keyfile);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    {
      g_autofree char *path = g_strconcat ("/strand-conformance/store-fault/", faults[i].fault, NULL);

      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_fault);
    }
  return g_test_run ();
}
