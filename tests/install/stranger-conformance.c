/* stranger-conformance.c — a taskrunner of somebody else's, and its tests.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-conformance.h>

#define STRANGER_TYPE_TASKRUNNER (stranger_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrangerTaskrunner, stranger_taskrunner, STRANGER, TASKRUNNER, GObject)

struct _StrangerTaskrunner
{
  GObject parent_instance;

  int closed; /* atomic */
};

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrangerTaskrunner, stranger_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

static StrandRunnerTraits
stranger_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_RUNNER_INLINE;
}

static gboolean
stranger_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block,
                            GError **error)
{
  if (g_atomic_int_get (&STRANGER_TASKRUNNER (taskrunner)->closed))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CLOSED, "the taskrunner has been closed");
      return FALSE;
    }
  strand_call_run (call);
  return TRUE;
}

static gboolean
stranger_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  g_atomic_int_set (&STRANGER_TASKRUNNER (taskrunner)->closed, TRUE);
  return TRUE;
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = stranger_taskrunner_get_traits;
  iface->submit = stranger_taskrunner_submit;
  iface->close = stranger_taskrunner_close;
}

static void
stranger_taskrunner_class_init (StrangerTaskrunnerClass *klass)
{
}

static void
stranger_taskrunner_init (StrangerTaskrunner *self)
{
}

static gpointer
make (StrandConformance *self, gpointer user_data, GError **error)
{
  return g_object_new (STRANGER_TYPE_TASKRUNNER, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  strand_conformance_add_taskrunner ("/stranger/conformance", make, NULL, NULL);
  return g_test_run ();
}
