/* process-taskrunner.c — runs calls in helper processes that are kept warm.
 *
 * One call runs in a helper at a time, so a function that crashes takes exactly one call with it, and one
 * that ignores being stopped is killed with everything that it has started. Functions come from modules,
 * which helpers load too, or from the program itself, which then is its own helper (see
 * strand_helper_main()); a call of any other function is refused before anything runs.
 *
 * process-pool.c is the line of calls, process-keeper.c the thread that looks after one helper,
 * process-helper.c what is said to it, and process-spawn.c how it is started. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "process-pool.h"

#define STRAND_TYPE_PROCESS_TASKRUNNER (strand_process_taskrunner_get_type ())
G_DECLARE_FINAL_TYPE (StrandProcessTaskrunner, strand_process_taskrunner, STRAND, PROCESS_TASKRUNNER, GObject)

/* As the thread runner's. */
#define DEFAULT_MAX_QUEUED (4 * 1024 * 1024)

#define DEFAULT_STARTUP_US (30 * G_USEC_PER_SEC)
#define DEFAULT_IDLE_US (60 * G_USEC_PER_SEC)

/* Long enough for a SIGTERM handler that removes a file, and nobody waits for it. */
#define DEFAULT_KILL_AFTER_US (G_USEC_PER_SEC / 2)

struct _StrandProcessTaskrunner
{
  GObject parent_instance;

  Pool *pool; /* set at construction */
};

enum
{
  PROP_WORKERS = 1,
  PROP_MIN_IDLE,
  PROP_MAX_QUEUED,
  PROP_MAX_CALLS_PER_WORKER,
  PROP_MAX_MEMORY,
  PROP_CPU_TIME,
  PROP_NICE,
  PROP_ENV,
  PROP_WORKING_DIRECTORY,
  PROP_KILL_AFTER,
  PROP_STARTUP_TIMEOUT,
  PROP_IDLE_TIMEOUT,
  PROP_STDERR,
  PROP_HELPER_COMMAND,
  PROP_MODULES,
  PROP_HELPERS,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

static GType strand_process_stderr_get_type (void);
G_DEFINE_ENUM_TYPE (StrandProcessStderr, strand_process_stderr, G_DEFINE_ENUM_VALUE (STDERR_LOG, "log"),
                    G_DEFINE_ENUM_VALUE (STDERR_INHERIT, "inherit"),
                    G_DEFINE_ENUM_VALUE (STDERR_DISCARD, "discard"))

static void taskrunner_init (StrandTaskrunnerInterface *iface);

G_DEFINE_FINAL_TYPE_WITH_CODE (StrandProcessTaskrunner, strand_process_taskrunner, G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (STRAND_TYPE_TASKRUNNER, taskrunner_init))

/* Not concurrent: what must not run twice at once in one process does not do so here. */
static StrandRunnerTraits
strand_process_taskrunner_get_traits (StrandTaskrunner *taskrunner)
{
  return STRAND_RUNNER_OTHER_PROCESS;
}

/* Whether a helper can have the function at all; what its traits and its result say, core has looked at. With
 * a command or modules of the runner's own only the helper itself knows, and says so before the call begins.
 */
static gboolean
check_function (Pool *pool, StrandFunction *function, GError **error)
{
  const char *home = strand_function_get_home_reason (function);

  if (strand_function_is_portable (function) || strand_function_get_delegate (function, NULL) != NULL ||
      pool->settings.command != NULL || pool->settings.modules != NULL)
    return TRUE;
  if (home == NULL)
    home =
        "it belongs to this program, and a helper process does not know it: put it into a module, or register "
        "it with 'strand_helper_main (argc, argv, register_functions);' as the first line of main()";
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_UNSAFE, home);
  return FALSE;
}

static gboolean
strand_process_taskrunner_submit (StrandTaskrunner *taskrunner, StrandCall *call, gboolean may_block,
                                  GError **error)
{
  Pool *pool = STRAND_PROCESS_TASKRUNNER (taskrunner)->pool;
  gboolean taken;

  if (!check_function (pool, strand_call_get_function (call), error))
    return FALSE;
  /* The taskrunner may go as soon as the call has ended: the pool stays while we look at it. */
  pool_ref (pool);
  taken = pool_push (pool, call, may_block, error);
  pool_unref (pool);
  return taken;
}

static gboolean
strand_process_taskrunner_stop (StrandTaskrunner *taskrunner, StrandCall *call)
{
  return pool_stop (STRAND_PROCESS_TASKRUNNER (taskrunner)->pool, call);
}

static void
strand_process_taskrunner_resume (StrandTaskrunner *taskrunner, StrandCall *call)
{
  pool_resume (STRAND_PROCESS_TASKRUNNER (taskrunner)->pool, call);
}

static gboolean
strand_process_taskrunner_close (StrandTaskrunner *taskrunner, gint64 deadline_us, GError **error)
{
  return pool_close (STRAND_PROCESS_TASKRUNNER (taskrunner)->pool, deadline_us, error);
}

static void
taskrunner_init (StrandTaskrunnerInterface *iface)
{
  iface->get_traits = strand_process_taskrunner_get_traits;
  iface->submit = strand_process_taskrunner_submit;
  iface->stop = strand_process_taskrunner_stop;
  iface->resume = strand_process_taskrunner_resume;
  iface->close = strand_process_taskrunner_close;
}

static void
get_number (Pool *pool, guint id, GValue *value)
{
  g_mutex_lock (&pool->lock);
  if (id == PROP_WORKERS)
    g_value_set_uint (value, pool->max_workers);
  else if (id == PROP_MIN_IDLE)
    g_value_set_uint (value, pool->min_idle);
  else if (id == PROP_MAX_QUEUED)
    g_value_set_uint (value, pool->max_queued);
  else if (id == PROP_MAX_CALLS_PER_WORKER)
    g_value_set_uint64 (value, pool->max_calls);
  else
    g_value_set_uint (value, pool->n_helpers);
  g_mutex_unlock (&pool->lock);
}

static void
strand_process_taskrunner_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  Pool *pool = STRAND_PROCESS_TASKRUNNER (object)->pool;

  switch (id)
    {
    case PROP_WORKERS:
    case PROP_MIN_IDLE:
    case PROP_MAX_QUEUED:
    case PROP_MAX_CALLS_PER_WORKER:
    case PROP_HELPERS:
      get_number (pool, id, value);
      break;
    case PROP_MAX_MEMORY:
      g_value_set_int64 (value, pool->max_memory_bytes);
      break;
    case PROP_CPU_TIME:
      g_value_set_int64 (value, pool->settings.cpu_time_us);
      break;
    case PROP_NICE:
      g_value_set_int (value, pool->settings.niceness);
      break;
    case PROP_ENV:
      g_value_set_boxed (value, pool->settings.env);
      break;
    case PROP_WORKING_DIRECTORY:
      g_value_set_string (value, pool->settings.working_directory);
      break;
    case PROP_KILL_AFTER:
      g_value_set_int64 (value, pool->kill_after_us);
      break;
    case PROP_STARTUP_TIMEOUT:
      g_value_set_int64 (value, pool->settings.startup_timeout_us);
      break;
    case PROP_IDLE_TIMEOUT:
      g_value_set_int64 (value, pool->idle_timeout_us);
      break;
    case PROP_STDERR:
      g_value_set_enum (value, pool->settings.stderr_mode);
      break;
    case PROP_HELPER_COMMAND:
      g_value_set_string (value, pool->settings.command);
      break;
    case PROP_MODULES:
      g_value_set_boxed (value, pool->settings.modules);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* An empty list is as none. */
static GStrv
dup_list (const GValue *value)
{
  char **list = g_value_get_boxed (value);

  return list != NULL && list[0] != NULL ? g_strdupv (list) : NULL;
}

static void
strand_process_taskrunner_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  Pool *pool = STRAND_PROCESS_TASKRUNNER (object)->pool;

  g_mutex_lock (&pool->lock);
  switch (id)
    {
    case PROP_WORKERS:
      pool->max_workers = g_value_get_uint (value) > 0 ? g_value_get_uint (value) : g_get_num_processors ();
      break;
    case PROP_MIN_IDLE:
      pool->min_idle = g_value_get_uint (value);
      break;
    case PROP_MAX_QUEUED:
      pool->max_queued = g_value_get_uint (value);
      break;
    case PROP_MAX_CALLS_PER_WORKER:
      pool->max_calls = g_value_get_uint64 (value);
      break;
    case PROP_MAX_MEMORY:
      pool->max_memory_bytes = g_value_get_int64 (value);
      break;
    case PROP_CPU_TIME:
      pool->settings.cpu_time_us = g_value_get_int64 (value);
      break;
    case PROP_NICE:
      pool->settings.niceness = g_value_get_int (value);
      break;
    case PROP_ENV:
      g_strfreev (pool->settings.env);
      pool->settings.env = dup_list (value);
      break;
    case PROP_WORKING_DIRECTORY:
      g_free (pool->settings.working_directory);
      pool->settings.working_directory = g_value_dup_string (value);
      break;
    case PROP_KILL_AFTER:
      pool->kill_after_us = g_value_get_int64 (value);
      break;
    case PROP_STARTUP_TIMEOUT:
      pool->settings.startup_timeout_us = g_value_get_int64 (value);
      break;
    case PROP_IDLE_TIMEOUT:
      pool->idle_timeout_us = g_value_get_int64 (value);
      break;
    case PROP_STDERR:
      pool->settings.stderr_mode = g_value_get_enum (value);
      break;
    case PROP_HELPER_COMMAND:
      g_free (pool->settings.command);
      pool->settings.command = g_value_dup_string (value);
      break;
    case PROP_MODULES:
      g_strfreev (pool->settings.modules);
      pool->settings.modules = dup_list (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
  g_mutex_unlock (&pool->lock);
}

static void
strand_process_taskrunner_finalize (GObject *object)
{
  Pool *pool = STRAND_PROCESS_TASKRUNNER (object)->pool;

  /* Every call holds its taskrunner, so none is left; the keepers end on their own, perhaps on this very
   * thread. */
  pool_dispose (pool);
  pool_unref (pool);
  G_OBJECT_CLASS (strand_process_taskrunner_parent_class)->finalize (object);
}

static void
install_limits (void)
{
  props[PROP_WORKERS] =
      g_param_spec_uint ("workers", NULL, "How many helpers at most; 0: one for each processor", 0, 1000, 0,
                         STRAND_PARAM_CONFIG);
  props[PROP_MIN_IDLE] =
      g_param_spec_uint ("min-idle", NULL, "How many helpers are kept warm once the first call has come", 0,
                         1000, 1, STRAND_PARAM_CONFIG);
  props[PROP_MAX_QUEUED] = g_param_spec_uint ("max-queued", NULL, "How many calls may wait for a helper", 1,
                                              G_MAXINT, DEFAULT_MAX_QUEUED, STRAND_PARAM_CONFIG);
  props[PROP_MAX_CALLS_PER_WORKER] = g_param_spec_uint64 (
      "max-calls-per-worker", NULL, "After how many calls a helper is replaced; 0: never", 0, G_MAXUINT64, 0,
      STRAND_PARAM_CONFIG);
  props[PROP_MAX_MEMORY] = g_param_spec_int64 (
      "max-memory", NULL, "How much memory a helper may have resident before it is killed", -1, G_MAXINT64,
      -1, STRAND_PARAM_CONFIG | STRAND_PARAM_SIZE);
  props[PROP_CPU_TIME] = g_param_spec_int64 (
      "cpu-time", NULL,
      "How much processor time a call may use before its helper is killed, in whole seconds", -1, G_MAXINT64,
      -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  props[PROP_KILL_AFTER] = g_param_spec_int64 (
      "kill-after", NULL, "How long a helper that is stopped may go on between SIGTERM and SIGKILL", 0,
      G_MAXINT64, DEFAULT_KILL_AFTER_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  props[PROP_STARTUP_TIMEOUT] =
      g_param_spec_int64 ("startup-timeout", NULL, "How long a helper may take to start", -1, G_MAXINT64,
                          DEFAULT_STARTUP_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  props[PROP_IDLE_TIMEOUT] =
      g_param_spec_int64 ("idle-timeout", NULL, "How long helpers beyond 'min-idle' stay without a call", -1,
                          G_MAXINT64, DEFAULT_IDLE_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
}

static void
install_surroundings (void)
{
  props[PROP_NICE] =
      g_param_spec_int ("nice", NULL, "What is added to the helpers' nice value; larger yields to others",
                        -20, 19, 0, STRAND_PARAM_CONFIG);
  props[PROP_ENV] = g_param_spec_boxed ("env", NULL, "Further environment variables, as NAME=VALUE",
                                        G_TYPE_STRV, STRAND_PARAM_CONFIG);
  props[PROP_WORKING_DIRECTORY] = g_param_spec_string (
      "working-directory", NULL, "Where helpers start; this program's by default", NULL, STRAND_PARAM_CONFIG);
  props[PROP_STDERR] = g_param_spec_enum (
      "stderr", NULL, "Where helpers' stderr goes; errors quote its end unless it is inherited",
      strand_process_stderr_get_type (), STDERR_LOG, STRAND_PARAM_CONFIG);
  props[PROP_HELPER_COMMAND] =
      g_param_spec_string ("helper-command", NULL,
                           "What starts a helper, as a shell would split it; by default the program "
                           "itself if it calls strand_helper_main(), else strand-helper",
                           NULL, STRAND_PARAM_CONFIG);
  props[PROP_MODULES] =
      g_param_spec_boxed ("modules", NULL, "Function modules that helpers load beside those of this program",
                          G_TYPE_STRV, STRAND_PARAM_CONFIG);
  props[PROP_HELPERS] = g_param_spec_uint ("helpers", NULL, "How many helpers are ready now", 0, G_MAXUINT, 0,
                                           G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
}

static void
strand_process_taskrunner_class_init (StrandProcessTaskrunnerClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = strand_process_taskrunner_get_property;
  object_class->set_property = strand_process_taskrunner_set_property;
  object_class->finalize = strand_process_taskrunner_finalize;

  install_limits ();
  install_surroundings ();
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_process_taskrunner_init (StrandProcessTaskrunner *self)
{
  self->pool = pool_new ();
}

STRAND_PLUGIN_DEFINE ("process-taskrunner", STRAND_VERSION, "LGPL-2.1-or-later",
                      STRAND_PROVIDES_TASKRUNNER ("process", StrandProcessTaskrunner,
                                                  strand_process_taskrunner_get_type,
                                                  "Runs calls in helper processes that are kept warm"))
