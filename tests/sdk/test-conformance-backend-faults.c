/* test-conformance-backend-faults.c — `strand conformance` finds each promise that a backend breaks where it
 * was broken, and nowhere else. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "fault-runner.h"

static const Fault faults[] = {
  { "none", NULL, "" },
  { "blocks-launch", NULL, "launch/does-not-wait" },
  { "ignores-limit", NULL, "launch/full" },
  { "takes-after-close", NULL, "launch/closed close/deadline" },
  { "forgets-cancel", NULL,
    "cancel/pending cancel/running cancel/anywhere cancel/by-key retries/cancelled middleware/held-before "
    "close/deadline",
    NULL, "waited in vain for" },
  { "forgets-deadline", NULL, "close/deadline" },
  { "ignores-middleware", NULL,
    "middleware/submit middleware/callers-thread middleware/refused middleware/answered middleware/headers" },
  { "turns-middleware", NULL,
    "middleware/submit middleware/refused middleware/answered middleware/attempts middleware/refused-before "
    "middleware/answered-before" },
  { "fickle-store", NULL, "store/stays" },
  { "leaks-itself", NULL, "close/dropped" },
  { "loses-calls", NULL, "record/ends-first ends/once" },
  { "own-keys", NULL, "launch/exists" },
  { "ignores-timeout", NULL, "record/options time/timeout" },
  { "ignores-times", NULL, "record/options cancel/pending time/not-before time/expired" },
  { "forgets-headers", NULL, "record/headers middleware/headers" },
  { "forgets-options", NULL, "record/options" },
  { "forgets-causes", NULL, "retries/causes" },
  { "forgets-progress", NULL, "shows/record" },
  { "forgets-error", NULL, "results/error results/by-key retries/causes time/timeout" },
  { "goes-back", NULL, "record/forward" },
  { "stays-open", NULL, "record/ends-first results/error results/by-key retries/causes" },
  { "hides-trouble", NULL, "store/unwritable store/passes store/unkept" },
  { "crashes", NULL, "results/wrong-type", NULL, "it died of signal 11" },
  { NULL },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fault_runner_add ("backend", NULL, 2, faults);
  return g_test_run ();
}
