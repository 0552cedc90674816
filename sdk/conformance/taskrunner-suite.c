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
is_inline (StrandConformance *self)
{
  return !has_background (self);
}

static gboolean
is_exclusive (StrandConformance *self)
{
  return !has_concurrency (self);
}

static gboolean
has_limit (StrandConformance *self)
{
  g_autoptr(StrandTaskrunner) runner = strand_conformance_make (self);

  return g_object_class_find_property (G_OBJECT_GET_CLASS (runner), "max-queued") != NULL;
}

/* More than these are as good as any number. */
#define MAX_PLACES 64

static gboolean
has_places (StrandConformance *self)
{
  g_autoptr(StrandTaskrunner) runner = strand_conformance_make (self);
  StrandTaskrunnerInterface *iface = STRAND_TASKRUNNER_GET_IFACE (runner);
  guint n = iface->get_places != NULL ? iface->get_places (runner) : 0;

  return n > 0 && n <= MAX_PLACES;
}

static gboolean
lends (StrandConformance *self)
{
  return (traits_of_fresh (self) & STRAND_RUNNER_LENDS_CALLS) != 0;
}

/* A runner says so itself, of a function that runs and does not listen. */
static gboolean
has_stop (StrandConformance *self)
{
  StrandTaskrunner *runner = strand_conformance_make (self);
  StrandTaskrunnerInterface *iface = STRAND_TASKRUNNER_GET_IFACE (runner);
  g_autoptr(StrandTask) task = runner_task (self, runner, "conformance.ignore");
  g_autoptr(StrandHandle) handle = NULL;
  gboolean stopped;

  if (iface->stop == NULL)
    {
      g_object_unref (runner);
      return FALSE;
    }
  handle = runner_call_paths (self, task, "probed", "probe", NULL);
  if (iface->needs_thread != NULL && iface->needs_thread (runner, strand_handle_get_call (handle)))
    {
      /* It would run in this thread's context, and hold up whoever is to stop it. */
      stopped = FALSE;
      strand_handle_cancel (handle);
    }
  else
    {
      runner_await_file (self, "probed");
      stopped = iface->stop (runner, strand_handle_get_call (handle));
      strand_conformance_create_file (self, "probe");
    }
  runner_await (self, handle);
  g_clear_object (&handle);
  g_clear_object (&task);
  runner_close (self, runner);
  return stopped;
}

static const StrandConformanceNeed needs[] = {
  { "background", "calls run inline, before submit() returns", has_background },
  { "inline", "calls do not run inline", is_inline },
  { "concurrent", "no two calls run at once in one process", has_concurrency },
  { "in-process", "calls run in another process", has_own_process },
  { "other-process", "calls run in this process", has_other_process },
  { "exclusive", "calls run at once", is_exclusive },
  { "stop", "the taskrunner cannot stop a function that does not listen", has_stop },
  { "places", "the taskrunner does not say that it has few places", has_places },
  { "lends", "the taskrunner does not lend its calls", lends },
  { "limit", "the taskrunner has no property 'max-queued'", has_limit },
  { 0 },
};

static const StrandConformanceCase *const groups[] = {
  taskrunner_results_cases,  taskrunner_ends_cases,   taskrunner_context_cases, taskrunner_items_cases,
  taskrunner_function_cases, taskrunner_cancel_cases, taskrunner_timeout_cases, taskrunner_close_cases,
  taskrunner_traits_cases,   taskrunner_waits_cases,  taskrunner_load_cases,    NULL,
};

const StrandConformanceSuite conformance_taskrunner_suite = { STRAND_KIND_TASKRUNNER, groups, needs, NULL };
