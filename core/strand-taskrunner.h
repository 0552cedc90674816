/* strand-taskrunner.h — where code runs.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"

G_BEGIN_DECLS

#define STRAND_TYPE_TASKRUNNER (strand_taskrunner_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (StrandTaskrunner, strand_taskrunner, STRAND, TASKRUNNER, GObject)

/**
 * StrandRunnerTraits:
 * @STRAND_RUNNER_INLINE: submit() runs the call before it returns, on the caller's thread
 * @STRAND_RUNNER_CONCURRENT: two calls may run at once in one process
 * @STRAND_RUNNER_OTHER_PROCESS: calls run in another process: arguments and values are copied, no pointers
 * @STRAND_RUNNER_LENDS_CALLS: a call that waits in its line may be run by any thread with strand_call_run(),
 *   which is done where it would otherwise never be its turn
 *
 * What a caller has to know of a taskrunner; strand checks functions' traits against them.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_RUNNER_INLINE = 1 << 0,
  STRAND_RUNNER_CONCURRENT = 1 << 1,
  STRAND_RUNNER_OTHER_PROCESS = 1 << 2,
  STRAND_RUNNER_LENDS_CALLS = 1 << 3,
} StrandRunnerTraits;

#define STRAND_TYPE_RUNNER_TRAITS (strand_runner_traits_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_runner_traits_get_type (void);

/**
 * StrandTaskrunnerInterface:
 * @parent_iface: the parent
 * @get_traits: what kind of place this is
 * @submit: takes a call to run
 * @stop: stops a call that does not stop by itself
 * @resume: the consumer of a call's items has room again
 * @close: ends all use
 * @needs_thread: whether a call cannot go on while this thread blocks
 * @get_places: how many calls can be under way at once
 *
 * What a taskrunner implements. Methods may be called on any thread and on several at once.
 *
 * Since: 1.0
 */
struct _StrandTaskrunnerInterface
{
  GTypeInterface parent_iface;

  /* Any thread; does not block. The same answer for the object's whole life. */
  StrandRunnerTraits (*get_traits) (StrandTaskrunner *self);

  /* Called by a task or backend. Takes over the reference to @call on success only. The runner sees to it
   * that the call is begun and finished: strand_call_run() does both around the function in this process;
   * a runner that reaches the function otherwise calls strand_call_begin() and strand_call_finish() itself.
   * At its limit it waits if @may_block, else fails with STRAND_ERROR_FULL; STRAND_ERROR_CLOSED after
   * close(). */
  gboolean (*submit) (StrandTaskrunner *self, StrandCall *call, gboolean may_block, GError **error);

  /* Called on the timer thread when a running call was told to stop and its grace is over; must not block.
   * The strongest means there is. TRUE if the function has been stopped or abandoned: the caller then
   * settles the call; what the runner finishes later is ignored. FALSE if nothing can be done. Optional. */
  gboolean (*stop) (StrandTaskrunner *self, StrandCall *call);

  /* strand_call_push_item() had returned FALSE, and now there is room. Called on the consumer's thread;
   * must not block. Needed only of runners that cannot wait in strand_call_push_item(). Optional. */
  void (*resume) (StrandTaskrunner *self, StrandCall *call);

  /* Lets what was submitted finish until @deadline_us (monotonic; -1 for ever), then cancels it; frees
   * threads and processes. Blocks. Called once, never from one of the runner's own threads. TRUE if
   * everything ended by itself, else FALSE with an error that says how many calls did not. */
  gboolean (*close) (StrandTaskrunner *self, gint64 deadline_us, GError **error);

  /* A thread is about to block until @call ends. TRUE if the call could then never go on, because it runs in
   * a main context of that thread's: the wait fails with STRAND_ERROR_WOULD_DEADLOCK. Must not block.
   * Optional. */
  gboolean (*needs_thread) (StrandTaskrunner *self, StrandCall *call);

  /* How many calls can be under way at once, those included whose functions wait for other calls; 0 for more
   * than matters. By this strand sees that nobody is left to run a call. Called under a lock of strand's:
   * must not block or call strand. Optional: 0. */
  guint (*get_places) (StrandTaskrunner *self);

  /*< private >*/
  gpointer reserved[4];
};

/**
 * StrandTaskrunnerInterface::submit:
 * @self: a taskrunner
 * @call: (transfer full): the call; on failure it stays the caller's
 * @may_block: whether to wait where the runner is at its limit
 * @error: why the call is not taken
 *
 * Takes a call to run.
 *
 * Returns: %TRUE, or %FALSE with @error set
 * Since: 1.0
 */

/**
 * StrandTaskrunnerInterface::stop:
 * @self: a taskrunner
 * @call: a running call whose grace is over
 *
 * Stops a call that does not stop by itself. Runs on the timer thread and must not block.
 *
 * Returns: %TRUE if the function has been stopped or abandoned
 * Since: 1.0
 */

/**
 * StrandTaskrunnerInterface::resume:
 * @self: a taskrunner
 * @call: the call that strand_call_push_item() refused
 *
 * The consumer of a call's items has room again. Runs on the consumer's thread and must not block.
 *
 * Since: 1.0
 */

/**
 * StrandTaskrunnerInterface::needs_thread:
 * @self: a taskrunner
 * @call: a call that a thread is about to wait for
 *
 * Asks whether the call could not go on while this thread blocks, because it runs in a main context of that
 * thread's. Must not block.
 *
 * Returns: %TRUE if the wait could never end
 * Since: 1.0
 */

/**
 * StrandTaskrunnerInterface::get_places:
 * @self: a taskrunner
 *
 * Says how many calls can be under way at once, those included whose functions wait. Called under a lock of
 * strand's: must not block or call strand.
 *
 * Returns: how many, or 0 for more than matters
 * Since: 1.0
 */

STRAND_AVAILABLE_IN_ALL
StrandRunnerTraits strand_taskrunner_get_traits (StrandTaskrunner *self);

/* Whether the call's function may run there, as its traits say. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_taskrunner_check (StrandTaskrunner *self, StrandCall *call, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_taskrunner_submit (StrandTaskrunner *self, StrandCall *call, GError **error);

STRAND_AVAILABLE_IN_ALL
gboolean strand_taskrunner_close (StrandTaskrunner *self, gint64 deadline_us, GError **error);

STRAND_AVAILABLE_IN_ALL
void strand_taskrunner_close_async (StrandTaskrunner *self, gint64 deadline_us, GCancellable *cancellable,
                                    GAsyncReadyCallback callback, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
gboolean strand_taskrunner_close_finish (StrandTaskrunner *self, GAsyncResult *result, GError **error);

G_END_DECLS
