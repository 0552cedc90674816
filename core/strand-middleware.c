/* strand-middleware.c — runs a chain of middleware over a call.
 *
 * A chain is immutable. Where a call stands in it lies with the call, so a middleware that answers LATER
 * holds nothing but the call: resuming leaves the answer there, and whoever walks goes on from there.
 * Cancelling the call ends the wait. Whoever's `before` was asked, whatever it answered, is told of the
 * outcome.
 *
 * One thread walks a call's chain at a time. A backend that has a thread for that says so with
 * strand_chain_set_wake(): then every `before`, `after` and `on_error` of a call runs there, and a timer's
 * thread that resumes a hundred calls does not run the rest of a hundred chains.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-middleware.h"
#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-plugins.h"

/**
 * StrandMiddleware:
 *
 * Wraps calls: a border that every call of a backend or reader crosses, when it is submitted, before each
 * attempt, and after it.
 *
 * Since: 1.0
 */
G_DEFINE_INTERFACE (StrandMiddleware, strand_middleware, G_TYPE_OBJECT)
/**
 * StrandChain:
 *
 * The middleware of a backend or reader, in order, and what takes a call through it. For those who write
 * backends.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandChain, strand_chain, strand_chain_ref, strand_chain_unref)

G_DEFINE_ENUM_TYPE (StrandVerdict, strand_verdict, G_DEFINE_ENUM_VALUE (STRAND_VERDICT_CONTINUE, "continue"),
                    G_DEFINE_ENUM_VALUE (STRAND_VERDICT_REFUSE, "refuse"),
                    G_DEFINE_ENUM_VALUE (STRAND_VERDICT_ANSWER, "answer"),
                    G_DEFINE_ENUM_VALUE (STRAND_VERDICT_LATER, "later"))

struct _StrandChain
{
  gatomicrefcount ref_count;
  GPtrArray *middleware; /* outermost first */
  StrandChainWakeFunc wake;
};

typedef StrandVerdict (*Hook) (StrandMiddleware *self, StrandCall *call, GVariant **value, GError **error);

/* Where a call stands in its chain. Touched by one thread at a time: the one that walks. */
typedef struct
{
  StrandChain *chain;
  gboolean submitting; /* else `before` */
  guint next;          /* the middleware to ask next */
  guint n_before;      /* whose `before` ran: they are told of the outcome */
  int waiting;         /* atomic: a LATER is out, and nobody has taken it back */
  StrandChainFunc done;
  gpointer user_data;

  /* Written by who took a LATER back, before it wakes the walker. */
  gboolean resumed;
  StrandVerdict verdict;
  GVariant *value;
  GError *error;
} ChainState;

static void
strand_middleware_default_init (StrandMiddlewareInterface *iface)
{
}

/**
 * strand_middleware_close:
 * @self: a middleware
 *
 * Lets a middleware write what it has gathered, while its stores are still open. A stack that closes does so
 * for its own. Any thread; blocks.
 *
 * Since: 1.0
 */
void
strand_middleware_close (StrandMiddleware *self)
{
  g_return_if_fail (STRAND_IS_MIDDLEWARE (self));

  if (STRAND_MIDDLEWARE_GET_IFACE (self)->close != NULL)
    STRAND_MIDDLEWARE_GET_IFACE (self)->close (self);
}

/**
 * strand_chain_new:
 * @middleware: (nullable): a list of #StrandMiddleware, outermost first
 *
 * Makes a chain of middleware, for a backend or reader that takes its calls through it. The list is looked
 * at once.
 *
 * Returns: (transfer full): a chain of what the list holds now
 * Since: 1.0
 */
StrandChain *
strand_chain_new (GListModel *middleware)
{
  StrandChain *self = g_new0 (StrandChain, 1);
  guint n = middleware != NULL ? g_list_model_get_n_items (middleware) : 0;

  g_atomic_ref_count_init (&self->ref_count);
  self->middleware = g_ptr_array_new_full (n, g_object_unref);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (self->middleware, g_list_model_get_item (middleware, i));
  return self;
}

/**
 * strand_chain_set_wake: (skip)
 * @self: a chain that has not been used
 * @wake: leads to strand_chain_go_on() on the thread that walks
 *
 * Lets the backend choose where a call goes on that was resumed or cancelled after a LATER of a `before`.
 * @wake gets the data of strand_chain_before(), on whatever thread that happened, and must not block. Without
 * it the call goes on there and then; the backend then must not settle the call while that thread walks.
 *
 * Since: 1.0
 */
void
strand_chain_set_wake (StrandChain *self, StrandChainWakeFunc wake)
{
  g_return_if_fail (self != NULL);

  self->wake = wake;
}

/**
 * strand_chain_ref:
 * @self: a chain
 *
 * Takes a reference to a chain. Any thread; never blocks.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandChain *
strand_chain_ref (StrandChain *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * strand_chain_unref:
 * @self: (transfer full): a chain
 *
 * Lets go of a chain. The last reference frees it, and its hold on the middleware. Any thread.
 *
 * Since: 1.0
 */
void
strand_chain_unref (StrandChain *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_ptr_array_unref (self->middleware);
  g_free (self);
}

static Hook
hook_of (StrandMiddleware *middleware, gboolean submitting)
{
  StrandMiddlewareInterface *iface = STRAND_MIDDLEWARE_GET_IFACE (middleware);

  return submitting ? iface->submit : iface->before;
}

/* An answer stands for the function's own value, so it is of the same type. */
static gboolean
fits_function (StrandCall *call, GVariant *value)
{
  const GVariantType *type = strand_function_get_result_type (strand_call_get_function (call));

  return type == NULL ? value == NULL : value != NULL && g_variant_is_of_type (value, type);
}

/* As keyfiles call it, where they can. */
static const char *
name_of (StrandMiddleware *middleware)
{
  const char *name = strand_plugins_get_type_name (G_OBJECT_TYPE (middleware));

  return name != NULL ? name : G_OBJECT_TYPE_NAME (middleware);
}

/* Whoever reads the refusal, perhaps much later in a record, learns who refused and when to try again. */
static void
explain_refusal (StrandMiddleware *middleware, StrandCall *call, GError **error)
{
  gint64 after_us = strand_call_get_retry_after (call);
  g_autoptr(GDateTime) after = NULL;
  g_autofree char *text = NULL, *message = NULL;

  if (*error == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED, "it did not say why");
  g_prefix_error (error, "'%s' refused the call: ", name_of (middleware));
  if (after_us <= strand_clock_now_us ())
    return;
  after = g_date_time_new_from_unix_utc ((after_us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
  if (after == NULL)
    return;
  text = g_date_time_format_iso8601 (after);
  message = g_strdup_printf ("%s; try again at %s", (*error)->message, text);
  g_free ((*error)->message);
  (*error)->message = g_steal_pointer (&message);
}

/* What a stranger's middleware answered, made sound. */
static StrandVerdict
check_answer (StrandMiddleware *middleware, StrandCall *call, StrandVerdict verdict, GVariant **value,
              GError **error)
{
  if (*value != NULL)
    *value = g_variant_take_ref (*value);
  if (verdict == STRAND_VERDICT_ANSWER && *error == NULL && !fits_function (call, *value))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                 "it answered a call of '%s' with a value of type '%s'", strand_call_get_function_name (call),
                 *value != NULL ? g_variant_get_type_string (*value) : "nothing");
  /* In languages where one refuses by raising, no verdict comes with the error. */
  if (verdict == STRAND_VERDICT_CONTINUE && *error != NULL)
    verdict = STRAND_VERDICT_REFUSE;
  if (verdict == STRAND_VERDICT_REFUSE)
    explain_refusal (middleware, call, error);
  else if (*error != NULL)
    {
      g_prefix_error (error, "'%s' failed: ", name_of (middleware));
      verdict = STRAND_VERDICT_REFUSE;
    }
  if (verdict != STRAND_VERDICT_ANSWER)
    g_clear_pointer (value, g_variant_unref);
  return verdict;
}

void
strand_chain_state_free (gpointer data)
{
  ChainState *state = data;

  if (state == NULL)
    return;
  g_clear_pointer (&state->value, g_variant_unref);
  g_clear_error (&state->error);
  g_free (state);
}

static void
finish_walk (StrandCall *call, ChainState *state, StrandVerdict verdict, GVariant *value, GError *error)
{
  state->done (call, verdict, value, error, state->user_data);
}

static void walk (StrandCall *call, ChainState *state);

/* A LATER was taken back, and this is what is answered now. Takes over @value and @error. */
static void
answer_now (StrandCall *call, ChainState *state, StrandVerdict verdict, GVariant *value, GError *error)
{
  state->verdict = verdict;
  state->value = value;
  state->error = error;
  state->resumed = TRUE;
  if (!state->submitting && state->chain->wake != NULL)
    state->chain->wake (call, state->user_data);
  else
    strand_chain_go_on (call);
}

static void
stop_waiting (StrandCall *call, gpointer data)
{
  ChainState *state = data;

  if (g_atomic_int_compare_and_exchange (&state->waiting, TRUE, FALSE))
    answer_now (call, state, STRAND_VERDICT_REFUSE, NULL,
                g_error_new (G_IO_ERROR, G_IO_ERROR_CANCELLED,
                             "The call of '%s' was cancelled while it waited",
                             strand_call_get_function_name (call)));
}

static void
walk (StrandCall *call, ChainState *state)
{
  GPtrArray *middleware = state->chain->middleware;

  while (state->next < middleware->len)
    {
      StrandMiddleware *one = middleware->pdata[state->next++];
      Hook hook = hook_of (one, state->submitting);
      StrandVerdict verdict;
      GVariant *value = NULL;
      GError *error = NULL;

      if (!state->submitting)
        state->n_before = state->next;
      if (hook == NULL)
        continue;

      /* Set before asking: a LATER may be resumed before the hook has returned. */
      g_atomic_int_set (&state->waiting, TRUE);
      verdict = check_answer (one, call, hook (one, call, &value, &error), &value, &error);
      if (verdict == STRAND_VERDICT_LATER)
        {
          strand_call_set_stop_hook (call, stop_waiting, state);
          return;
        }
      /* A stop hook that a LATER before this left behind may have answered in the meantime. */
      if (!g_atomic_int_compare_and_exchange (&state->waiting, TRUE, FALSE))
        {
          g_clear_pointer (&value, g_variant_unref);
          g_clear_error (&error);
          return;
        }
      strand_debug (STRAND_TOPIC_MIDDLEWARE, "'%s' let a call of '%s' %s", name_of (one),
                    strand_call_get_function_name (call),
                    verdict == STRAND_VERDICT_CONTINUE ? "pass" : "not pass");
      if (verdict != STRAND_VERDICT_CONTINUE)
        {
          finish_walk (call, state, verdict, value, error);
          return;
        }
    }
  finish_walk (call, state, STRAND_VERDICT_CONTINUE, NULL, NULL);
}

static void
start_walk (StrandChain *self, StrandCall *call, gboolean submitting, StrandChainFunc done,
            gpointer user_data)
{
  StrandCallExtra *extra;
  ChainState *state;

  if (self->middleware->len == 0)
    {
      done (call, STRAND_VERDICT_CONTINUE, NULL, NULL, user_data);
      return;
    }

  extra = strand_call_extra (call);
  if (extra->chain_state == NULL)
    extra->chain_state = g_new0 (ChainState, 1);
  state = extra->chain_state;
  *state = (ChainState){ .chain = self, .submitting = submitting, .done = done, .user_data = user_data };
  /* A LATER may be resumed, and the call end, before the hook has returned. */
  strand_call_ref (call);
  walk (call, state);
  strand_call_unref (call);
}

/**
 * strand_chain_submit: (skip)
 * @self: a chain, which lives until the call has ended
 * @call: a call about to be stored
 * @done: told how the chain decided
 * @user_data: data for @done
 *
 * Asks every `submit`, outermost first. Does not block.
 *
 * Since: 1.0
 */
void
strand_chain_submit (StrandChain *self, StrandCall *call, StrandChainFunc done, gpointer user_data)
{
  g_return_if_fail (self != NULL && call != NULL && done != NULL);

  start_walk (self, call, TRUE, done, user_data);
}

/**
 * strand_chain_before: (skip)
 * @self: a chain, which lives until the attempt has ended
 * @attempt: an attempt about to run
 * @done: told how the chain decided
 * @user_data: data for @done
 *
 * Asks every `before`, outermost first. Blocks as long as the hooks do.
 *
 * Since: 1.0
 */
void
strand_chain_before (StrandChain *self, StrandCall *attempt, StrandChainFunc done, gpointer user_data)
{
  g_return_if_fail (self != NULL && attempt != NULL && done != NULL);

  start_walk (self, attempt, FALSE, done, user_data);
}

/**
 * strand_chain_settle:
 * @self: a chain
 * @attempt: an attempt that has ended
 * @will_retry: whether another follows
 *
 * Tells each middleware whose `before` was asked of the outcome, innermost first. Blocks as long as the hooks
 * do.
 *
 * Returns: (transfer full) (nullable): what `after` hooks complained of
 * Since: 1.0
 */
GStrv
strand_chain_settle (StrandChain *self, StrandCall *attempt, gboolean will_retry)
{
  ChainState *state;
  const GError *failure;
  GPtrArray *warnings = NULL;

  g_return_val_if_fail (self != NULL && attempt != NULL, NULL);

  state = strand_call_extra (attempt)->chain_state;
  if (state == NULL)
    return NULL;
  /* Who answers from now on is too late. */
  g_atomic_int_set (&state->waiting, FALSE);
  failure = strand_call_get_error (attempt);
  for (guint i = state->n_before; i-- > 0;)
    {
      StrandMiddleware *one = self->middleware->pdata[i];
      StrandMiddlewareInterface *iface = STRAND_MIDDLEWARE_GET_IFACE (one);
      g_autoptr(GError) error = NULL;

      if (failure != NULL && iface->on_error != NULL)
        iface->on_error (one, attempt, failure, will_retry);
      if (failure == NULL && iface->after != NULL &&
          !iface->after (one, attempt, strand_call_get_value (attempt), &error))
        {
          if (warnings == NULL)
            warnings = g_ptr_array_new ();
          g_ptr_array_add (warnings,
                           g_strdup_printf ("'%s': %s", name_of (one),
                                            error != NULL ? error->message : "failed without saying why"));
        }
    }
  state->n_before = 0;
  if (warnings == NULL)
    return NULL;
  g_ptr_array_add (warnings, NULL);
  return (GStrv) g_ptr_array_free (warnings, FALSE);
}

/**
 * strand_chain_go_on: (skip)
 * @call: a call for which the chain's wake function was called
 *
 * Goes on with a call that was resumed or cancelled after a LATER: asks the rest of the chain, and tells the
 * #StrandChainFunc. Does nothing where there is nothing to go on with. On the thread that walks; blocks as
 * long as the hooks do.
 *
 * Since: 1.0
 */
void
strand_chain_go_on (StrandCall *call)
{
  ChainState *state;
  GError *error;
  GVariant *value;

  g_return_if_fail (call != NULL);

  state = strand_call_extra (call)->chain_state;
  if (state == NULL || !state->resumed)
    return;
  state->resumed = FALSE;
  value = g_steal_pointer (&state->value);
  error = g_steal_pointer (&state->error);
  strand_call_ref (call);
  if (state->verdict == STRAND_VERDICT_CONTINUE)
    walk (call, state);
  else
    finish_walk (call, state, state->verdict, value, error);
  strand_call_unref (call);
}

/**
 * strand_call_finish_by_verdict: (skip)
 * @call: a call or an attempt, pending
 * @verdict: how its chain decided: REFUSE or ANSWER
 * @value: (nullable) (transfer full): the value, with ANSWER
 * @error: (nullable) (transfer full): the refusal, with REFUSE
 *
 * Ends a call whose function is not to run: an answer completes it, a refusal fails it, unless that says that
 * the call was cancelled while it waited. Any thread; does not block.
 *
 * Since: 1.0
 */
void
strand_call_finish_by_verdict (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error)
{
  StrandStatus status = STRAND_STATUS_FAILED;

  g_return_if_fail (call != NULL);
  g_return_if_fail (verdict != STRAND_VERDICT_CONTINUE && verdict != STRAND_VERDICT_LATER);

  if (verdict == STRAND_VERDICT_ANSWER)
    status = STRAND_STATUS_COMPLETED;
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    status = STRAND_STATUS_CANCELLED;
  strand_call_finish_as (call, status, value, error);
}

/**
 * strand_call_resume:
 * @call: a call that this middleware answered LATER
 * @verdict: what it answers now; not LATER
 * @value: (nullable) (transfer full): the value, with ANSWER
 * @error: (nullable) (transfer full): why, with REFUSE
 *
 * Lets a call go on that a middleware held back. Any thread. The rest of the chain runs on the backend's own
 * thread where it has one, as `local` has for `before`; else inside.
 *
 * Returns: %TRUE; or %FALSE if the call was cancelled meanwhile: then nothing was taken over
 * Since: 1.0
 */
gboolean
strand_call_resume (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error)
{
  ChainState *state;

  g_return_val_if_fail (call != NULL && verdict != STRAND_VERDICT_LATER, FALSE);

  state = strand_call_extra (call)->chain_state;
  if (state == NULL || !g_atomic_int_compare_and_exchange (&state->waiting, TRUE, FALSE))
    return FALSE;
  strand_call_set_stop_hook (call, NULL, NULL);

  verdict = check_answer (state->chain->middleware->pdata[state->next - 1], call, verdict, &value, &error);
  answer_now (call, state, verdict, value, error);
  return TRUE;
}
