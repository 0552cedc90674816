/* test-conformance-middleware-faults.c — `strand conformance` finds each promise that a middleware breaks
 * where it was broken, and nowhere else. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "fault-runner.h"

#define REFUSES "refuses=true\n"

static const Fault faults[] = {
  { "none", NULL, "" },
  { "none", REFUSES, "" },
  { "blocks-submit", NULL, "submit/does-not-wait" },
  { "changes-arguments", NULL, "pass/every-type" },
  { "changes-options", NULL, "pass/options ends/timed-out" },
  { "changes-headers", NULL, "pass/headers reader/headers" },
  { "complains", NULL, "pass/no-warnings ends/complaints" },
  { "forgets-on-error", NULL,
    "ends/error ends/refused-further-in ends/cancelled-further-in threads/failures close/lets-go",
    "ends/cancelled" },
  { "keeps-calls", NULL, "close/lets-go" },
  { "resumes-others", NULL, "ends/held-further-in" },
  { "never-resumes", NULL, "pass/nothing close/lets-go", NULL, "waited in vain for" },
  { "thread-each", NULL, "later/no-thread" },
  { "keeps-line", NULL, "later/cancel later/others later/race", "later/backend-closed" },
  { "nameless", REFUSES, "refuse/reason" },
  { "other-error", REFUSES, "refuse/reason refuse/not-retried refuse/again" },
  { "makes-room", REFUSES, "refuse/not-retried refuse/again" },
  { "wrong-type", NULL, "answer/type answer/record answer/others" },
  { "wrong-answer", NULL, "answer/others" },
  { "shares-state", NULL, "threads/two-objects" },
  { "waits-at-close", NULL, "later/closed close/calls-in-flight", NULL, "it hung, and was killed" },
  { "closed", NULL, "close/calls-afterwards", "close/calls-in-flight" }, /* some had not got there */
  { "leaks-itself", NULL, "close/used close/dropped" },
  { "leaks-file", NULL, "close/nothing-left" },
  { "crashes", NULL, "pass/nothing close/lets-go", NULL, "it died of signal 11" },
  { NULL },
};

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fault_runner_add ("middleware", NULL, 2, faults);
  return g_test_run ();
}
