/* strand-middleware.h — wraps calls: a border that every call of a backend crosses.
 *
 * `submit` once a call, then for each attempt `before`, and exactly one of `after` or `on_error` for each
 * middleware whose `before` ran, innermost first.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call.h"

G_BEGIN_DECLS

/**
 * StrandVerdict:
 * @STRAND_VERDICT_CONTINUE: go on to the next middleware, then the function
 * @STRAND_VERDICT_REFUSE: the call fails with the error given, and is not retried
 * @STRAND_VERDICT_ANSWER: the value given is the call's value; the function does not run
 * @STRAND_VERDICT_LATER: the middleware will call strand_call_resume(), from any thread
 *
 * What a middleware answers.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_VERDICT_CONTINUE,
  STRAND_VERDICT_REFUSE,
  STRAND_VERDICT_ANSWER,
  STRAND_VERDICT_LATER,
} StrandVerdict;

#define STRAND_TYPE_VERDICT (strand_verdict_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_verdict_get_type (void);

#define STRAND_TYPE_MIDDLEWARE (strand_middleware_get_type ())
STRAND_AVAILABLE_IN_ALL
G_DECLARE_INTERFACE (StrandMiddleware, strand_middleware, STRAND, MIDDLEWARE, GObject)

/**
 * StrandMiddlewareInterface:
 * @parent_iface: the parent
 * @submit: a call is about to be stored
 * @before: an attempt is about to run
 * @after: an attempt gave a value
 * @on_error: an attempt failed, was cancelled or refused
 * @close: no more calls are expected
 *
 * What a middleware implements; every method is optional. Methods are called by backends and readers, on any
 * thread and on several at once, for different calls.
 *
 * Since: 1.0
 */
struct _StrandMiddlewareInterface
{
  GTypeInterface parent_iface;

  /* In the caller's thread: must not block. May change the call (strand_call_set_arguments(),
   * strand_call_set_header(), its options). @value and @error are set with ANSWER and REFUSE only. */
  StrandVerdict (*submit) (StrandMiddleware *self, StrandCall *call, GVariant **value, GError **error);

  /* In a thread of the backend or reader; may block briefly, answers LATER to wait. A call that is cancelled
   * while it waits goes to on_error; in `submit`, where nothing follows, strand_call_get_cancellable() tells.
   */
  StrandVerdict (*before) (StrandMiddleware *self, StrandCall *attempt, GVariant **value, GError **error);

  /* As before. @value is NULL where the call returned nothing or an object. An error becomes a warning on
   * the record and changes nothing else. */
  gboolean (*after) (StrandMiddleware *self, StrandCall *attempt, GVariant *value, GError **error);

  /* As before. @will_retry: whether another attempt follows. */
  void (*on_error) (StrandMiddleware *self, StrandCall *attempt, const GError *error, gboolean will_retry);

  /* What it gathered is to be written now: its backends have closed, its stores have not yet. May block.
   * Calls may come all the same, and so may a second close. */
  void (*close) (StrandMiddleware *self);

  /*< private >*/
  gpointer reserved[5];
};

/**
 * StrandMiddlewareInterface::submit:
 * @self: a middleware
 * @call: the call
 * @value: (out) (optional) (nullable) (transfer full): the value, with %STRAND_VERDICT_ANSWER
 * @error: the refusal, with %STRAND_VERDICT_REFUSE
 *
 * A call is about to be stored. Runs in the caller's thread and must not block.
 *
 * Returns: what is to become of the call
 * Since: 1.0
 */

/**
 * StrandMiddlewareInterface::before:
 * @self: a middleware
 * @attempt: the attempt
 * @value: (out) (optional) (nullable) (transfer full): the value, with %STRAND_VERDICT_ANSWER
 * @error: the refusal, with %STRAND_VERDICT_REFUSE
 *
 * An attempt is about to run. Runs in a thread of the backend or reader.
 *
 * Returns: what is to become of the attempt
 * Since: 1.0
 */

/**
 * StrandMiddlewareInterface::after:
 * @self: a middleware
 * @attempt: the attempt
 * @value: (nullable): its value; `NULL` where it returned nothing or an object
 * @error: what went wrong here
 *
 * An attempt gave a value.
 *
 * Returns: %TRUE, or %FALSE with @error set, which becomes a warning on the record
 * Since: 1.0
 */

/**
 * StrandMiddlewareInterface::on_error:
 * @self: a middleware
 * @attempt: the attempt
 * @error: why it ended
 * @will_retry: whether another attempt follows
 *
 * An attempt failed, was cancelled or refused.
 *
 * Since: 1.0
 */

STRAND_AVAILABLE_IN_ALL
void strand_middleware_close (StrandMiddleware *self);

/* For backends and readers: runs a chain over a call. */

typedef struct _StrandChain StrandChain;
#define STRAND_TYPE_CHAIN (strand_chain_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_chain_get_type (void);

/**
 * StrandChainFunc:
 * @call: the call
 * @verdict: CONTINUE, REFUSE or ANSWER, never LATER
 * @value: (nullable) (transfer full): the value, with ANSWER
 * @error: (nullable) (transfer full): the refusal, with REFUSE
 * @user_data: what the chain was given
 *
 * Told once how a chain decided: before strand_chain_submit() or strand_chain_before() returns, or, after a
 * LATER, in strand_chain_go_on(), which runs on the thread that resumed (or cancelled) the call unless
 * strand_chain_set_wake() says otherwise.
 *
 * Since: 1.0
 */
typedef void (*StrandChainFunc) (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error,
                                 gpointer user_data);

STRAND_AVAILABLE_IN_ALL
StrandChain *strand_chain_new (GListModel *middleware) G_GNUC_WARN_UNUSED_RESULT;

/**
 * StrandChainWakeFunc:
 * @call: a call that was resumed, or cancelled while it waited
 * @user_data: what the chain was given for the call
 *
 * Told, on any thread, that strand_chain_go_on() is to be called. Must not block.
 *
 * Since: 1.0
 */
typedef void (*StrandChainWakeFunc) (StrandCall *call, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
void strand_chain_set_wake (StrandChain *self, StrandChainWakeFunc wake);

STRAND_AVAILABLE_IN_ALL
StrandChain *strand_chain_ref (StrandChain *self);

STRAND_AVAILABLE_IN_ALL
void strand_chain_unref (StrandChain *self);

STRAND_AVAILABLE_IN_ALL
void strand_chain_submit (StrandChain *self, StrandCall *call, StrandChainFunc done, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
void strand_chain_before (StrandChain *self, StrandCall *attempt, StrandChainFunc done, gpointer user_data);

STRAND_AVAILABLE_IN_ALL
void strand_chain_go_on (StrandCall *call);

/* What a StrandChainFunc does with a verdict that is not CONTINUE. */
STRAND_AVAILABLE_IN_ALL
void strand_call_finish_by_verdict (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error);

/* Tells each middleware whose `before` ran of the attempt's outcome. Returns warnings, or NULL. */
STRAND_AVAILABLE_IN_ALL
GStrv strand_chain_settle (StrandChain *self, StrandCall *attempt,
                           gboolean will_retry) G_GNUC_WARN_UNUSED_RESULT;

/* For middleware that answered LATER. FALSE if the call has ended meanwhile; then nothing was done with
 * the arguments. Takes over @value and @error if TRUE. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_call_resume (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandChain, strand_chain_unref)

G_END_DECLS
