/* strand-conformance.h — what each kind of plugin promises, as test cases that anybody's plugin can be put
 * through.
 *
 * A suite is a list of cases, one for each clause of its page in docs/conformance/. A test program adds a
 * suite for its own type to GLib's tests:
 *
 *   static gpointer
 *   make (StrandConformance *self, gpointer user_data, GError **error)
 *   {
 *     return g_object_new (MY_TYPE_STORE, "path", strand_conformance_get_directory (self), NULL);
 *   }
 *
 *   int
 *   main (int argc, char **argv)
 *   {
 *     g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
 *     strand_conformance_add_store ("/my-store/conformance", make, NULL, NULL);
 *     return g_test_run ();
 *   }
 *
 * `strand conformance` does the same for an installed plugin. A case that wants a second process starts this
 * same program again, so main() must come to g_test_run() whatever else it does. SPDX-License-Identifier:
 * LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* One case while it runs: where it keeps its files, what it is about, how long it may take. */
typedef struct _StrandConformance StrandConformance;

/* What was added to the tests: a suite and how to make the objects that it is about. */
typedef struct _StrandConformanceSubject StrandConformanceSubject;

/**
 * StrandConformanceMakeFunc:
 * @self: the case
 * @user_data: what the subject was added with
 * @error: why none can be made
 *
 * Makes a new object under test. Called as often as a case likes, also in its second processes. Objects of
 * one case are to share what lies outside the process: a store keeps its records below
 * strand_conformance_get_directory().
 *
 * Returns: (transfer full): the object, or %NULL with @error set
 * Since: 1.0
 */
typedef gpointer (*StrandConformanceMakeFunc) (StrandConformance *self, gpointer user_data, GError **error);

typedef void (*StrandConformanceFunc) (StrandConformance *self);

/* What not every implementation can have. @has looks at a fresh object; NULL: it is there unless the subject
 * is said to lack it. */
typedef struct
{
  const char *name;   /* "other-process" */
  const char *reason; /* why a case is skipped without it: "calls run in this process" */
  gboolean (*has) (StrandConformance *self);
} StrandConformanceNeed;

/* One clause. Tables of these end in a clause NULL. */
typedef struct
{
  const char *clause; /* "ends/exactly-once": group, then name */
  const char *text;   /* one sentence, as in docs/conformance/ */
  StrandConformanceFunc func;
  const char *needs; /* names of StrandConformanceNeed, apart by blanks; NULL for none */
} StrandConformanceCase;

/* What a second process does. Tables of these end in a name NULL. */
typedef struct
{
  const char *name;
  StrandConformanceFunc func;
} StrandConformanceRole;

typedef struct
{
  StrandKind kind;
  const StrandConformanceCase *const *groups; /* tables, in reading order; the last is NULL */
  const StrandConformanceNeed *needs;         /* NULL for none */
  const StrandConformanceRole *roles;         /* NULL for none */
} StrandConformanceSuite;

/* The suites, and putting something through them. */

STRAND_AVAILABLE_IN_ALL
const StrandConformanceSuite *strand_conformance_get_suite (StrandKind kind);

STRAND_AVAILABLE_IN_ALL
GPtrArray *strand_conformance_list_cases (const StrandConformanceSuite *suite) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_suite (const StrandConformanceSuite *suite, const char *path,
                                                        StrandConformanceMakeFunc make, gpointer user_data,
                                                        GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_taskrunner (const char *path, StrandConformanceMakeFunc make,
                                                             gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_backend (const char *path, StrandConformanceMakeFunc make,
                                                          gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_store (const char *path, StrandConformanceMakeFunc make,
                                                        gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_serializer (const char *path, StrandConformanceMakeFunc make,
                                                             gpointer user_data, GDestroyNotify destroy);

STRAND_AVAILABLE_IN_ALL
StrandConformanceSubject *strand_conformance_add_middleware (const char *path, StrandConformanceMakeFunc make,
                                                             gpointer user_data, GDestroyNotify destroy);

/* Before g_test_run(): the cases that need @need are skipped, and say why. */
STRAND_AVAILABLE_IN_ALL
void strand_conformance_subject_lacks (StrandConformanceSubject *self, const char *need, const char *reason);

/* How long a case may take; 60 s unless set. */
STRAND_AVAILABLE_IN_ALL
void strand_conformance_set_deadline (gint64 duration_us);

/* A hundredth of the calls and items where a case makes many: for valgrind, sanitizers, and a first look. */
STRAND_AVAILABLE_IN_ALL
void strand_conformance_set_quick (gboolean quick);

/* How to start this program again so that it runs the case at @path, where `PROGRAM -p PATH` does not. "%s"
 * among the words stands for the path. */
STRAND_AVAILABLE_IN_ALL
void strand_conformance_set_restart (const char *const *words);

/* For cases. */

STRAND_AVAILABLE_IN_ALL
gpointer strand_conformance_make (StrandConformance *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
const char *strand_conformance_get_directory (StrandConformance *self);

STRAND_AVAILABLE_IN_ALL
char *strand_conformance_build_path (StrandConformance *self, const char *name) G_GNUC_WARN_UNUSED_RESULT;

/* When the case must be over, as g_get_monotonic_time() counts. */
STRAND_AVAILABLE_IN_ALL
gint64 strand_conformance_get_deadline (StrandConformance *self);

STRAND_AVAILABLE_IN_ALL
gboolean strand_conformance_has (StrandConformance *self, const char *need);

STRAND_AVAILABLE_IN_ALL
gboolean strand_conformance_is_quick (StrandConformance *self);

/* Of the module conformance-functions, which helper processes load, too. */
STRAND_AVAILABLE_IN_ALL
StrandFunction *strand_conformance_get_function (StrandConformance *self,
                                                 const char *name) G_GNUC_WARN_UNUSED_RESULT;

/* Runs the thread-default main context until the condition holds; fails the case at its deadline. */
#define strand_conformance_wait(self, condition)                                                             \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    while (!(condition))                                                                                     \
      strand_conformance_turn ((self), #condition, __FILE__, __LINE__, G_STRFUNC);                           \
  }                                                                                                          \
  G_STMT_END

STRAND_AVAILABLE_IN_ALL
void strand_conformance_turn (StrandConformance *self, const char *condition, const char *file, int line,
                              const char *function);

/* A file in the case's folder tells another process, or is what it has told. */
STRAND_AVAILABLE_IN_ALL
void strand_conformance_create_file (StrandConformance *self, const char *name);

STRAND_AVAILABLE_IN_ALL
gboolean strand_conformance_has_file (StrandConformance *self, const char *name);

/* A second process of the same program, which plays a role of the suite in the same folder. Lines go both
 * ways. It is killed with the case. */
typedef struct _StrandConformancePeer StrandConformancePeer;

STRAND_AVAILABLE_IN_ALL
StrandConformancePeer *strand_conformance_start_peer (StrandConformance *self, const char *role,
                                                      const char *argument);

STRAND_AVAILABLE_IN_ALL
GPid strand_conformance_peer_get_pid (StrandConformancePeer *self);

STRAND_AVAILABLE_IN_ALL
void strand_conformance_peer_send (StrandConformancePeer *self, const char *line);

STRAND_AVAILABLE_IN_ALL
char *strand_conformance_peer_receive (StrandConformancePeer *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
int strand_conformance_peer_wait (StrandConformancePeer *self);

STRAND_AVAILABLE_IN_ALL
void strand_conformance_peer_kill (StrandConformancePeer *self);

/* For roles: the other end. */

STRAND_AVAILABLE_IN_ALL
const char *strand_conformance_get_argument (StrandConformance *self);

STRAND_AVAILABLE_IN_ALL
void strand_conformance_send (StrandConformance *self, const char *line);

STRAND_AVAILABLE_IN_ALL
char *strand_conformance_receive (StrandConformance *self) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
