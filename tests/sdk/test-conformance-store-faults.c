/* test-conformance-store-faults.c — `strand conformance` finds each promise that a store breaks where it was
 * broken, and nowhere else.
 *
 * The subject is a store that breaks one promise at a time. Cases that only a hang can fail wait for their
 * whole deadline. What is written behind a revision's back shows in every case that races for one, but not
 * each time: such cases may fail.                                  SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include "config.h"

#include "fault-runner.h"

/* Cases in which many write to one record. */
#define RACES                                                                                                \
  "renew/between-writes threads/no-lost-update threads/whole processes/no-lost-update crash/writers "        \
  "watch/last"

static const Fault faults[] = {
  { "none", NULL, "" },
  { "loses-updates", NULL, "threads/no-lost-update threads/created-once processes/created-once",
    RACES " claim/once-threads claim/once-processes" },
  { "ignores-revision", NULL,
    "put/imported revision/exists revision/stale revision/removed batch/verdicts batch/same-key batch/many "
    "threads/created-once processes/seen processes/created-once",
    RACES },
  { "stale-for-exists", NULL,
    "put/imported revision/exists ttl/not-in-the-way batch/verdicts batch/many threads/created-once "
    "processes/created-once",
    "crash/writers" },
  { "tears-records", NULL, "threads/whole", RACES " items/other-process" },
  { "writes-behind", NULL,
    "watch/other-object watch/other-process watch/last queue/other-process close/found-again close/others-stay medium/impossible medium/read-only",
    RACES
    " processes/seen processes/held queue/given-back-by-other queue/any claim/once-processes items/other-process processes/created-once "
    "crash/claimants "
    "threads/created-once threads/removed-once threads/all-at-once" },
  { "forgets-headers", NULL, "put/every-field put/odd-strings put/imported claim/fields" },
  { "cuts-values", NULL, "put/large" },
  { "forgets-ttl", NULL,
    "put/every-field put/odd-numbers ttl/hidden ttl/not-early ttl/from-the-end ttl/own-first "
    "ttl/not-in-the-way ttl/rewritten ttl/other-kinds cleanup/all cleanup/small-steps cleanup/by-using "
    "cleanup/items clock/back clock/ahead batch/expired batch/read" },
  { "pages-overlap", NULL, "list/one-page list/rewritten list/kinds", "crash/writers" },
  { "pages-gap", NULL, "list/one-page list/come-and-go list/rewritten list/kinds" },
  { "ignores-queue", NULL, "list/filters list/exact-names list/changed threads/all-at-once" },
  { "counts-expired", NULL, "ttl/hidden ttl/from-the-end clock/ahead" },
  { "wakes-nobody", NULL,
    "watch/other-object watch/other-process watch/last queue/other-process queue/given-back-by-other "
    "queue/any" },
  { "wakes-no-reader", NULL, "queue/other-process queue/given-back-by-other queue/any" },
  { "claims-twice", NULL, "claim/once-threads claim/once-processes", "crash/claimants" },
  { "claims-by-key", NULL, "claim/in-turn claim/priority claim/hopeless" },
  { "claims-early", NULL, "claim/not-before claim/next-due claim/again" },
  { "never-due", NULL, "claim/not-before claim/next-due claim/again" },
  { "keeps-fence", NULL,
    "cleanup/items claim/fields claim/again renew/counter renew/cancel-requested renew/each "
    "renew/between-writes items/removed threads/all-at-once crash/claimants" },
  { "ignores-fence", NULL, "renew/fence renew/each" },
  { "stops-batch", NULL, "batch/verdicts batch/same-key batch/many" },
  { "turns-batch", NULL, "batch/read batch/read-many" },
  { "drops-items", NULL,
    "items/in-order items/said-again items/replaced items/gap items/small-gap items/begins-late "
    "items/bounded items/other-process" },
  { "keeps-items", NULL,
    "cleanup/items items/replaced items/gap items/bounded items/removed threads/all-at-once" },
  { "opens-early", NULL, "close/construction" },
  { "leaks-files", NULL, "close/nothing-left" },
  { "hides-trouble", NULL, "medium/impossible medium/read-only" },
  { NULL },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fault_runner_add ("store", "path=${STRAND_CONFORMANCE_DIRECTORY}/records\n", 2, faults);
  return g_test_run ();
}
