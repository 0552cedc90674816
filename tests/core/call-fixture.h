/* call-fixture.h — what tests of calls share: functions to call, a record of what callbacks were told,
 * plugins by name, gates that hold functions, and waiting for an event with a deadline.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-plugin.h"
#include "waiting.h"

/* The last holder lets go, though a thread of strand's own may have to first: a last look at a record, say.
 */
#define finalize_soon(object)                                                                                \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    wait_until (g_atomic_int_get (&G_OBJECT (object)->ref_count) == 1);                                      \
    g_assert_finalize_object (object);                                                                       \
  }                                                                                                          \
  G_STMT_END

/* Holds functions until it is opened. `n_inside` counts those that have come so far. */
typedef struct
{
  GMutex lock; /* guards the rest */
  GCond changed;
  gboolean open;
  guint n_inside;
  guint n_left;
} Gate;

void gate_init (Gate *gate);
void gate_clear (Gate *gate);
void gate_pass (Gate *gate);
void gate_open (Gate *gate);
void gate_wait_inside (Gate *gate, guint n);
guint gate_count_inside (Gate *gate);
guint gate_count_left (Gate *gate);

/* The gate of `test.hold`, which ignores being stopped, closed again by each call of this. */
Gate *fixture_gate (void);

/* The functions, in the default registry:
 *   test.nothing                 returns nothing
 *   test.echo text:s -> s
 *   test.add a:x b:x -> x
 *   test.sum a:i b:i rest:a{sv} -> i   a + b + how many keywords there are
 *   test.fail message:s          fails with G_FILE_ERROR_NOENT
 *   test.count n:u -> u          emits 0 … n-1
 *   test.list n:u -> au          returns 0 … n-1
 *   test.bytes -> ay
 *   test.dict -> a{sx}
 *   test.object -> object        a GObject named by its data "name"
 *   test.block                   until it is cancelled
 *   test.hold                    until the fixture's gate opens, whatever else
 *   test.thread -> t             the thread that it ran on
 *   test.data                    notes strand_context_get_data() in fixture_last_data
 *   test.progress                0.25 "a quarter", metadata "colour" = "red", then waits for the gate
 *   test.wrong -> x              returns a string
 *   test.main (main thread only), test.single (not reentrant), both as test.nothing */
void fixture_add_functions (void);

StrandFunction *fixture_function (const char *name);

extern gpointer fixture_last_data; /* written by test.data */

/* A plugin's object, as a keyfile would make it. */
gpointer make_object (StrandKind kind, const char *type, const char *first_property, ...);

#define make_runner(...) (STRAND_TASKRUNNER (make_object (STRAND_KIND_TASKRUNNER, __VA_ARGS__)))
#define make_store(...) (STRAND_STORE (make_object (STRAND_KIND_STORE, __VA_ARGS__)))
#define make_backend(...) (STRAND_BACKEND (make_object (STRAND_KIND_BACKEND, __VA_ARGS__)))

/* Closes and drops a runner or backend, which must have nothing left to do. */
void close_runner (StrandTaskrunner *runner);
void close_backend (StrandBackend *backend);

/* What a task's callbacks were told, in one line each: "item 0/1 7", "end 3", "error g-file-error-quark 4 …".
 */
typedef struct
{
  GMutex lock; /* guards the rest */
  GPtrArray *log;
  guint n_items;
  guint n_ends;
  guint n_errors;
  GThread *thread; /* of the last one */
  GVariant *value; /* of the last end */
  GError *error;   /* the last */
  int depth;       /* how many callbacks are on the stack */
} Told;

Told *told_new (void);
void told_free (Told *told);
char *told_dup_log (Told *told);
guint told_count_over (Told *told);
void told_listen (Told *told, StrandTask *task);
gboolean told_on_iter (StrandCall *call, GVariant *item, gpointer told, GError **error);
void told_on_end (StrandCall *call, GVariant *value, gpointer told);
void told_on_error (StrandCall *call, const GError *error, gpointer told);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Told, told_free)

/* A local backend of its own over a store, with a thread runner. */
StrandBackend *fixture_backend (StrandStore *store);

/* In main(), first: what a second process does when it was started with fixture_spawn_call(), or FALSE. */
gboolean fixture_is_second_process (int argc, char **argv, int *status);

/* A second process that calls a function of the fixture through a filesystem store, under a key of one's
 * choice. It writes "launched", "running" once the fixture's gate is reached, and, when it is sent a line,
 * opens the gate; at last how the call ended. */
GSubprocess *fixture_spawn_call (const char *folder, const char *key, const char *function);
void fixture_expect_line (GSubprocess *process, const char *expected);
void fixture_send_line (GSubprocess *process);
void fixture_expect_exit (GSubprocess *process);

/* This program again, with these arguments, its output in a pipe; the first names what it is to do. */
GSubprocess *fixture_spawn (const char *first, ...);
char *fixture_read_line (GSubprocess *process);

/* A folder that goes with everything in it. */
char *fixture_make_folder (void);
void fixture_remove_folder (char *folder);
