/* strand-conformance.c — the suites, and one case of one while it runs.
 *
 * Each case becomes a test of GLib's with a folder of its own, which goes with it. A case is skipped only for
 * a need that the object under test lacks, and then says which. Where the environment names a role, this is a
 * second process that some case has started: it plays the role in that case's folder instead of running the
 * case. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "conformance-private.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Long, because valgrind and sanitizers are slow; what works never waits for it. */
#define DEFAULT_DEADLINE_US (60 * G_USEC_PER_SEC)

#define FUNCTIONS_MODULE "conformance-functions"

static const StrandConformanceSuite *const suites[STRAND_N_KINDS] = {
  [STRAND_KIND_TASKRUNNER] = &conformance_taskrunner_suite,
  [STRAND_KIND_BACKEND] = &conformance_backend_suite,
  [STRAND_KIND_STORE] = &conformance_store_suite,
  [STRAND_KIND_SERIALIZER] = &conformance_serializer_suite,
  [STRAND_KIND_MIDDLEWARE] = &conformance_middleware_suite,
};

static gint64 deadline_us = DEFAULT_DEADLINE_US;
static gboolean is_quick;
const char *const *conformance_restart;

typedef struct
{
  StrandConformanceSubject *subject;
  const StrandConformanceCase *test_case;
} Run;

/* Those that have not run: GLib forgets tests that it was not asked for, and does not free them. */
static GPtrArray *waiting;

/**
 * strand_conformance_get_suite:
 * @kind: a kind of plugin
 *
 * Looks up the cases of a kind of plugin.
 *
 * Returns: its suite
 * Since: 1.0
 */
const StrandConformanceSuite *
strand_conformance_get_suite (StrandKind kind)
{
  g_return_val_if_fail ((guint) kind < STRAND_N_KINDS, NULL);

  return suites[kind];
}

/**
 * strand_conformance_list_cases:
 * @suite: a suite
 *
 * Lists the cases of all groups of a suite.
 *
 * Returns: (transfer container): its `StrandConformanceCase`s, in reading order
 * Since: 1.0
 */
GPtrArray *
strand_conformance_list_cases (const StrandConformanceSuite *suite)
{
  GPtrArray *cases = g_ptr_array_new ();

  g_return_val_if_fail (suite != NULL, cases);

  for (const StrandConformanceCase *const *group = suite->groups; *group != NULL; group++)
    for (const StrandConformanceCase *one = *group; one->clause != NULL; one++)
      g_ptr_array_add (cases, (gpointer) one);
  return cases;
}

/* Folders. */

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *where)
{
  return remove (path);
}

static void
remove_tree (const char *path)
{
  if (nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
    g_test_message ("Could not remove '%s': %s", path, g_strerror (errno));
}

/* Needs. */

static const StrandConformanceNeed *
find_need (const StrandConformanceSuite *suite, const char *name)
{
  for (const StrandConformanceNeed *need = suite->needs; need != NULL && need->name != NULL; need++)
    if (strcmp (need->name, name) == 0)
      return need;
  return NULL;
}

/* NULL if it is there. */
static const char *
why_not (StrandConformance *self, const char *name)
{
  const StrandConformanceNeed *need = find_need (self->subject->suite, name);
  const char *reason = g_hash_table_lookup (self->subject->lacks, name);

  if (need == NULL)
    g_error ("'%s' of clause '%s' is no need of this suite", name, self->test_case->clause);
  if (reason == NULL && need->has != NULL && !need->has (self))
    reason = need->reason;
  return reason;
}

/* The first that is missing decides. */
static gboolean
skip_for_needs (StrandConformance *self)
{
  g_auto(GStrv) needs = g_strsplit (self->test_case->needs != NULL ? self->test_case->needs : "", " ", -1);

  for (guint i = 0; needs[i] != NULL; i++)
    {
      const char *reason = why_not (self, needs[i]);

      if (reason == NULL)
        continue;
      g_test_skip (reason);
      return TRUE;
    }
  return FALSE;
}

/* Running. */

static void
subject_drop (StrandConformanceSubject *subject)
{
  if (--subject->n_cases > 0)
    return;
  if (subject->destroy != NULL)
    subject->destroy (subject->user_data);
  g_hash_table_unref (subject->lacks);
  g_free (subject->path);
  g_free (subject);
}

static void
run_case (gconstpointer data)
{
  const Run *run = data;
  StrandConformance self = { run->subject, run->test_case };
  g_autoptr(GError) error = NULL;

  self.deadline_us = g_get_monotonic_time () + deadline_us;
  if (g_getenv (ENV_ROLE) != NULL)
    {
      conformance_play (&self);
      return;
    }

  self.directory = g_dir_make_tmp ("strand-conformance-XXXXXX", &error);
  g_assert_no_error (error);
  if (!skip_for_needs (&self))
    self.test_case->func (&self);
  conformance_end_peers (&self);
  strand_clock_set_system ();
  remove_tree (self.directory);
  g_free (self.directory);
}

static void
run_free (gpointer data)
{
  Run *run = data;

  g_ptr_array_remove_fast (waiting, run);
  if (waiting->len == 0)
    g_clear_pointer (&waiting, g_ptr_array_unref);
  subject_drop (run->subject);
  g_free (run);
}

/**
 * strand_conformance_add_suite:
 * @suite: a suite, which must live until the tests have run
 * @path: where its cases stand among GLib's tests, such as `/my-store/conformance`
 * @make: (scope notified) (closure user_data) (destroy destroy): makes an object under test
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * Adds a test for each case of a suite, `PATH/CLAUSE`. After g_test_init(), before g_test_run().
 *
 * Returns: (transfer none): the subject, valid until g_test_run()
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_suite (const StrandConformanceSuite *suite, const char *path,
                              StrandConformanceMakeFunc make, gpointer user_data, GDestroyNotify destroy)
{
  StrandConformanceSubject *subject;
  g_autoptr(GPtrArray) cases = NULL;

  g_return_val_if_fail (suite != NULL, NULL);
  g_return_val_if_fail (path != NULL && path[0] == '/', NULL);
  g_return_val_if_fail (make != NULL, NULL);

  subject = g_new0 (StrandConformanceSubject, 1);
  subject->suite = suite;
  subject->path = g_strdup (path);
  subject->make = make;
  subject->user_data = user_data;
  subject->destroy = destroy;
  subject->lacks = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  cases = strand_conformance_list_cases (suite);
  for (guint i = 0; i < cases->len; i++)
    {
      Run *run = g_new (Run, 1);
      g_autofree char *name = NULL;

      if (waiting == NULL)
        waiting = g_ptr_array_new ();
      g_ptr_array_add (waiting, run);
      run->subject = subject;
      run->test_case = cases->pdata[i];
      subject->n_cases++;
      name = g_strconcat (path, "/", run->test_case->clause, NULL);
      g_test_add_data_func_full (name, run, run_case, run_free);
    }
  return subject;
}

/**
 * strand_conformance_add_taskrunner:
 * @path: where its cases stand among GLib's tests
 * @make: (scope notified) (closure user_data) (destroy destroy): makes a #StrandTaskrunner
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * As strand_conformance_add_suite(), with the suite of taskrunners.
 *
 * Returns: (transfer none): the subject
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_taskrunner (const char *path, StrandConformanceMakeFunc make, gpointer user_data,
                                   GDestroyNotify destroy)
{
  return strand_conformance_add_suite (suites[STRAND_KIND_TASKRUNNER], path, make, user_data, destroy);
}

/**
 * strand_conformance_add_backend:
 * @path: where its cases stand among GLib's tests
 * @make: (scope notified) (closure user_data) (destroy destroy): makes a #StrandBackend
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * As strand_conformance_add_suite(), with the suite of backends.
 *
 * Returns: (transfer none): the subject
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_backend (const char *path, StrandConformanceMakeFunc make, gpointer user_data,
                                GDestroyNotify destroy)
{
  return strand_conformance_add_suite (suites[STRAND_KIND_BACKEND], path, make, user_data, destroy);
}

/**
 * strand_conformance_add_store:
 * @path: where its cases stand among GLib's tests
 * @make: (scope notified) (closure user_data) (destroy destroy): makes a #StrandStore; those of one case have
 * the same records
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * As strand_conformance_add_suite(), with the suite of stores.
 *
 * Returns: (transfer none): the subject
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_store (const char *path, StrandConformanceMakeFunc make, gpointer user_data,
                              GDestroyNotify destroy)
{
  return strand_conformance_add_suite (suites[STRAND_KIND_STORE], path, make, user_data, destroy);
}

/**
 * strand_conformance_add_serializer:
 * @path: where its cases stand among GLib's tests
 * @make: (scope notified) (closure user_data) (destroy destroy): makes a #StrandSerializer
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * As strand_conformance_add_suite(), with the suite of serializers.
 *
 * Returns: (transfer none): the subject
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_serializer (const char *path, StrandConformanceMakeFunc make, gpointer user_data,
                                   GDestroyNotify destroy)
{
  return strand_conformance_add_suite (suites[STRAND_KIND_SERIALIZER], path, make, user_data, destroy);
}

/**
 * strand_conformance_add_middleware:
 * @path: where its cases stand among GLib's tests
 * @make: (scope notified) (closure user_data) (destroy destroy): makes a #StrandMiddleware
 * @user_data: data for @make
 * @destroy: (nullable): frees @user_data once all cases have run
 *
 * As strand_conformance_add_suite(), with the suite of middleware.
 *
 * Returns: (transfer none): the subject
 * Since: 1.0
 */
StrandConformanceSubject *
strand_conformance_add_middleware (const char *path, StrandConformanceMakeFunc make, gpointer user_data,
                                   GDestroyNotify destroy)
{
  return strand_conformance_add_suite (suites[STRAND_KIND_MIDDLEWARE], path, make, user_data, destroy);
}

/**
 * strand_conformance_subject_lacks:
 * @self: what was added
 * @need: the name of a need of its suite
 * @reason: why the object under test does not have it
 *
 * Skips the cases that have this need, with the reason. Before g_test_run().
 *
 * Since: 1.0
 */
void
strand_conformance_subject_lacks (StrandConformanceSubject *self, const char *need, const char *reason)
{
  g_return_if_fail (self != NULL && reason != NULL);
  g_return_if_fail (need != NULL && find_need (self->suite, need) != NULL);

  g_hash_table_replace (self->lacks, g_strdup (need), g_strdup (reason));
}

/**
 * strand_conformance_set_deadline:
 * @duration_us: how long a case may wait altogether, in microseconds
 *
 * A case that waits longer for something has failed. Before g_test_run().
 *
 * Since: 1.0
 */
void
strand_conformance_set_deadline (gint64 duration_us)
{
  g_return_if_fail (duration_us > 0);

  deadline_us = duration_us;
}

/**
 * strand_conformance_set_quick:
 * @quick: whether to make a hundredth of the calls, items or records where a case makes many
 *
 * For machines and tools that are slow. Before g_test_run().
 *
 * Since: 1.0
 */
void
strand_conformance_set_quick (gboolean quick)
{
  is_quick = quick;
}

/**
 * strand_conformance_set_restart:
 * @words: (array zero-terminated=1): a command line; `%s` in it stands for a test's path. Must stay valid
 *
 * How to start this program so that it runs one case. Without it, the program is started with `-p PATH`,
 * which is what g_test_init() understands.
 *
 * Since: 1.0
 */
void
strand_conformance_set_restart (const char *const *words)
{
  conformance_restart = words;
}

/* For cases. */

/**
 * strand_conformance_make:
 * @self: a case, or a role
 *
 * Makes a new object under test; one that cannot be made fails the case.
 *
 * Returns: (transfer full): the object
 * Since: 1.0
 */
gpointer
strand_conformance_make (StrandConformance *self)
{
  g_autoptr(GError) error = NULL;
  gpointer made;

  g_return_val_if_fail (self != NULL, NULL);

  made = self->subject->make (self, self->subject->user_data, &error);
  g_assert_no_error (error);
  g_assert_true (g_type_is_a (G_OBJECT_TYPE (made), strand_kind_get_interface (self->subject->suite->kind)));
  return made;
}

/**
 * strand_conformance_get_directory:
 * @self: a case, or a role
 *
 * Says where the case may leave files.
 *
 * Returns: the case's own folder, which goes with everything in it
 * Since: 1.0
 */
const char *
strand_conformance_get_directory (StrandConformance *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->directory;
}

/**
 * strand_conformance_build_path:
 * @self: a case, or a role
 * @name: a name
 *
 * Makes a path in the case's own folder, which second processes know, too.
 *
 * Returns: (transfer full): the path of that name in the case's folder
 * Since: 1.0
 */
char *
strand_conformance_build_path (StrandConformance *self, const char *name)
{
  g_return_val_if_fail (self != NULL && name != NULL, NULL);

  return g_build_filename (self->directory, name, NULL);
}

/**
 * strand_conformance_get_deadline:
 * @self: a case, or a role
 *
 * Says until when the case may wait for something.
 *
 * Returns: when it must be over, as g_get_monotonic_time() counts
 * Since: 1.0
 */
gint64
strand_conformance_get_deadline (StrandConformance *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return self->deadline_us;
}

/**
 * strand_conformance_has:
 * @self: a case
 * @need: the name of a need of its suite
 *
 * For a case that can do with or without it.
 *
 * Returns: whether the object under test has it
 * Since: 1.0
 */
gboolean
strand_conformance_has (StrandConformance *self, const char *need)
{
  g_return_val_if_fail (self != NULL && need != NULL, FALSE);

  return why_not (self, need) == NULL;
}

/**
 * strand_conformance_is_quick:
 * @self: a case
 *
 * Asks whether the case is to be over soon.
 *
 * Returns: whether a case that makes many is to make a hundredth of them
 * Since: 1.0
 */
gboolean
strand_conformance_is_quick (StrandConformance *self)
{
  g_return_val_if_fail (self != NULL, FALSE);

  return is_quick;
}

/**
 * strand_conformance_get_function:
 * @self: a case, or a role
 * @name: such as `conformance.echo`
 *
 * Looks up a function of the module `conformance-functions`, which comes with the suites.
 *
 * Returns: (transfer full): the function
 * Since: 1.0
 */
StrandFunction *
strand_conformance_get_function (StrandConformance *self, const char *name)
{
  g_autoptr(GError) error = NULL;
  StrandFunction *function = NULL;

  g_return_val_if_fail (self != NULL && name != NULL, NULL);

  if (strand_registry_load_module (strand_registry_get_default (), FUNCTIONS_MODULE, &error))
    function = strand_registry_lookup (strand_registry_get_default (), name, &error);
  g_assert_no_error (error);
  return function;
}

static gboolean
go_on (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

/**
 * strand_conformance_turn:
 * @self: a case, or a role
 * @condition: what is waited for, for the message
 * @file: where
 * @line: where
 * @function: where
 *
 * What strand_conformance_wait() does between two looks at its condition. What other threads and processes do
 * wakes no main context of ours, so a turn takes a millisecond at most.
 *
 * Since: 1.0
 */
void
strand_conformance_turn (StrandConformance *self, const char *condition, const char *file, int line,
                         const char *function)
{
  g_autoptr(GMainContext) context = g_main_context_ref_thread_default ();
  g_autoptr(GSource) tick = g_timeout_source_new (1);

  g_return_if_fail (self != NULL);

  if (g_get_monotonic_time () > self->deadline_us)
    {
      g_autofree char *message = g_strdup_printf ("waited in vain for: %s", condition);

      g_assertion_message (G_LOG_DOMAIN, file, line, function, message);
    }
  g_source_set_callback (tick, go_on, NULL, NULL);
  g_source_attach (tick, context);
  g_main_context_iteration (context, TRUE);
  g_source_destroy (tick);
}

/**
 * strand_conformance_create_file:
 * @self: a case, or a role
 * @name: a name in the case's folder
 *
 * Makes an empty file, for another process to see.
 *
 * Since: 1.0
 */
void
strand_conformance_create_file (StrandConformance *self, const char *name)
{
  g_autofree char *path = strand_conformance_build_path (self, name);
  int fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (fd, >=, 0);
  close (fd);
}

/**
 * strand_conformance_has_file:
 * @self: a case, or a role
 * @name: a name in the case's folder
 *
 * Looks for a file that a second process, or a function, makes as a sign.
 *
 * Returns: whether somebody has made it
 * Since: 1.0
 */
gboolean
strand_conformance_has_file (StrandConformance *self, const char *name)
{
  g_autofree char *path = strand_conformance_build_path (self, name);

  return access (path, F_OK) == 0;
}
