/* taskrunner-suite.c — what a taskrunner promises: the suite, in the order of docs/conformance/taskrunner.md.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "taskrunner-private.h"

static StrandRunnerTraits
traits_of_fresh (StrandConformance *self)
{
  g_autoptr(StrandTaskrunner) runner = strand_conformance_make (self);

  return strand_taskrunner_get_traits (runner);
}

static gboolean
has_background (StrandConformance *self)
{
  return (traits_of_fresh (self) & STRAND_RUNNER_INLINE) == 0;
}

static gboolean
has_concurrency (StrandConformance *self)
{
  return (traits_of_fresh (self) & STRAND_RUNNER_CONCURRENT) != 0;
}

static gboolean
has_own_process (StrandConformance *self)
{
  return (traits_of_fresh (self) & STRAND_RUNNER_OTHER_PROCESS) == 0;
}

static gboolean
has_other_process (StrandConformance *self)
{
  return !has_own_process (self);
}

static gboolean
has_stop (StrandConformance *self)
{
  g_autoptr(StrandTaskrunner) runner = strand_conformance_make (self);

  return STRAND_TASKRUNNER_GET_IFACE (runner)->stop != NULL;
}

static const StrandConformanceNeed needs[] = {
  { "background", "calls run inline, before submit() returns", has_background },
  { "concurrent", "no two calls run at once in one process", has_concurrency },
  { "in-process", "calls run in another process", has_own_process },
  { "other-process", "calls run in this process", has_other_process },
  { "stop", "the taskrunner has no stop()", has_stop },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  taskrunner_results_cases,
  NULL,
};

const StrandConformanceSuite conformance_taskrunner_suite = { STRAND_KIND_TASKRUNNER, groups, needs, NULL };
