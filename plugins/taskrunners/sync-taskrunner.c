/* sync-taskrunner.c — runs each call right where it is made.
 *
 * The function, its callbacks and its end all happen before the call returns: the same code as with any other
 * runner, without any change of context.                        SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#define STRAND_TYPE_SYNC_TASKRUNNER (strand_sync_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrandSyncTaskrunner, strand_sync_taskrunner, STRAND, SYNC_TASKRUNNER, GObject)

struct _StrandSyncTaskrunner
{
  GObject parent_instance;

  int closed; /* atomic */
};

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandSyncTaskrunner, strand_sync_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

static StrandRunnerTraits
strand_sync_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_RUNNER_INLINE;
}

static gboolean
strand_sync_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block,
                               GError **error)
{
  if (g_atomic_int_get (&STRAND_SYNC_TASKRUNNER (taskrunner)->closed))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
      return FALSE;
    }
  strand_call_run (call);
  return TRUE;
}

static gboolean
strand_sync_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  g_atomic_int_set (&STRAND_SYNC_TASKRUNNER (taskrunner)->closed, TRUE);
  return TRUE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = strand_sync_taskrunner_get_traits;
  iface->submit = strand_sync_taskrunner_submit;
  iface->close = strand_sync_taskrunner_close;
}

static void
strand_sync_taskrunner_class_init (StrandSyncTaskrunnerClass *klass)
{
}

static void
strand_sync_taskrunner_init (StrandSyncTaskrunner *self)
{
}

STRAND_PLUGIN_DEFINE ("sync-taskrunner", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_TASKRUNNER ("sync", StrandSyncTaskrunner,
                                                  strand_sync_taskrunner_get_type,
                                                  "Runs each call right where it is made"))
