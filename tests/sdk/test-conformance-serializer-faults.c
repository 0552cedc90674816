/* test-conformance-serializer-faults.c — `strand conformance` finds each promise that a serializer breaks
 * where it was broken, and nowhere else. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "fault-runner.h"

/* Where values are made by chance, a fault shows or does not. */
#define CHANCE "values/random damage/edited damage/random"

/* Wherever something cannot be read. */
#define UNREADABLE                                                                                           \
  "depth/bytes depth/repeated damage/cut-short damage/each-bit damage/each-byte damage/edited "              \
  "damage/random damage/another-type damage/more-behind damage/claims objects/no-memory threads/at-once "    \
  "threads/first-use close/no-growth close/goes close/nothing-left"

/* A sanitizer's memory is not counted; a leak checker finds by itself what is not kept on purpose. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH ""
#else
#define GROWTH " close/no-growth"
#endif

static const Fault faults[] = {
  { "none", NULL, "" },
  { "cuts-integers", NULL, "values/integers values/dictionaries", CHANCE },
  { "rounds-doubles", NULL, "values/doubles damage/cut-short damage/each-bit damage/another-type",
    CHANCE " damage/each-byte" },
  { "positive-zero", NULL, "values/doubles values/dictionaries damage/each-bit", CHANCE " damage/each-byte" },
  { "one-nan", NULL, "values/nan", CHANCE },
  { "cuts-strings", NULL, "values/strings", CHANCE " values/large" }, /* slowly */
  { "text-bytes", NULL, "values/integers values/bytes values/variants damage/each-bit",
    CHANCE " damage/each-byte" },
  { "forgets-maybe", NULL, "values/empty values/maybes", CHANCE },
  { "merges-keys", NULL, "values/dictionaries", CHANCE },
  { "opens-variants", NULL, "values/variants depth/levels depth/too-deep", CHANCE },
  { "shallow", NULL, "depth/levels" },
  { "writes-too-deep", NULL, "depth/too-deep" },
  { "fails-too-deep", NULL, "depth/too-deep" },
  { "dies-of-depth", NULL, "depth/bytes", NULL, "it died of signal 11" },
  { "dies-of-nothing", NULL, "damage/cut-short depth/bytes damage/random", "damage/edited" },
  { "other-error", NULL, UNREADABLE },
  { "no-error", NULL, UNREADABLE },
  { "ignores-the-rest", NULL, "damage/more-behind" },
  { "believes-lengths", NULL, "damage/claims" },
  { "repeats-bytes", NULL, "error/message" },
  { "reads-further", NULL, "bytes/no-further damage/cut-short" },
  { "writes-into-bytes", NULL, "bytes/no-further damage/cut-short" },
  { "needs-settings", NULL, "objects/without-settings objects/recorded" },
  { "knows-object", NULL, "objects/no-memory objects/recorded" },
  { "knows-process", NULL, "objects/other-process" },
  { "knows-thread", NULL, "threads/across objects/without-settings objects/recorded" },
  { "shares-buffer", NULL, "threads/at-once", "threads/first-use" },
  { "keeps-bytes", NULL, "close/bytes" GROWTH },
  { "keeps-values", NULL, "close/values" GROWTH },
#ifndef __SANITIZE_ADDRESS__
  { "grows", NULL, "close/no-growth" },
#endif
  { "leaks-itself", NULL, "close/goes" },
  { "leaks-file", NULL, "close/nothing-left" },
  { NULL },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fault_runner_add ("serializer", NULL, 2, faults);
  return g_test_run ();
}
