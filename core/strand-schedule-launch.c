/* strand-schedule-launch.c — the calls that a schedule leaves.
 *
 * A call's key is made of the schedule's name and the time that the call is for, so that whoever leaves it a
 * second time finds it there.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schedule-private.h"

#include "strand-call-private.h"
#include "strand-clock.h"
#include "strand-error.h"
#include "strand-middleware.h"
#include "strand-payload.h"
#include "strand-registry.h"
#include "strand-serializer.h"
#include "strand-unique.h"

#define DEFAULT_QUEUE "default"

/* What a backend that leaves calls for readers does with each, so that a scheduled one is like the others. */
typedef struct
{
  GListModel *middleware;
  StrandSerializer *serializer;
  char *queue;
  gint64 timeout_us;
  int retries;
} Manner;

static void
manner_clear (Manner *self)
{
  g_clear_object (&self->middleware);
  g_clear_object (&self->serializer);
  g_free (self->queue);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Manner, manner_clear)

/* A backend with no queue of its own runs its calls itself; here only its store counts. */
static void
find_manner (StrandBackend *backend, Manner *manner)
{
  manner->timeout_us = -1;
  manner->retries = -1;
  if (backend != NULL && g_object_class_find_property (G_OBJECT_GET_CLASS (backend), "queue") != NULL)
    g_object_get (backend, "middleware", &manner->middleware, "serializer", &manner->serializer, "queue",
                  &manner->queue, "timeout", &manner->timeout_us, "retries", &manner->retries, NULL);
  if (manner->queue == NULL)
    manner->queue = g_strdup (DEFAULT_QUEUE);
}

/* Text for a tuple: what stands between its parentheses will do. */
GVariant *
schedule_parse_arguments (StrandFunction *function, const char *text, GError **error)
{
  const GVariantType *type = strand_function_get_parameter_type (function);
  g_autoptr(GError) local_error = NULL;
  g_autofree char *list = NULL;
  GVariant *arguments;

  if (text == NULL)
    text = "()";
  arguments = g_variant_parse (type, text, NULL, NULL, &local_error);
  if (arguments != NULL)
    return arguments;
  list = g_strdup_printf (g_variant_type_n_items (type) == 1 ? "(%s,)" : "(%s)", text);
  arguments = g_variant_parse (type, list, NULL, NULL, NULL);
  if (arguments == NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                 "'%s' are no arguments for '%s', which takes %.*s: %s", text,
                 strand_function_get_name (function), (int) g_variant_type_get_string_length (type),
                 g_variant_type_peek_string (type), local_error->message);
  return arguments;
}

static GVariant *
find_function (StrandSchedule *self, StrandFunction **function, GError **error)
{
  g_autoptr(GVariant) given = NULL;
  GVariant *arguments = NULL;

  *function = strand_registry_lookup (strand_registry_get_default (), self->function, error);
  if (*function == NULL)
    return NULL;
  given = schedule_parse_arguments (*function, self->arguments, error);
  if (given != NULL)
    arguments = strand_function_bind (*function, given, NULL, error);
  if (arguments == NULL)
    g_clear_pointer (function, strand_function_unref);
  return arguments;
}

/* Whether the function is known here and takes the arguments. */
gboolean
schedule_can_launch (StrandSchedule *self, GError **error)
{
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(GVariant) arguments = find_function (self, &function, error);

  return arguments != NULL;
}

static char *
time_text (gint64 time_us, const char *format)
{
  g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc (time_us / G_USEC_PER_SEC);
  g_autofree char *seconds = g_date_time_format (time, format);
  gint64 rest_us = time_us % G_USEC_PER_SEC;

  return rest_us == 0 ? g_strdup_printf ("%sZ", seconds)
                      : g_strdup_printf ("%s.%06dZ", seconds, (int) rest_us);
}

char *
schedule_key_for (StrandSchedule *self, gint64 time_us)
{
  g_autofree char *time = time_text (time_us, "%Y%m%dT%H%M%S");

  return g_strdup_printf ("strand.run.%s.%s", self->name, time);
}

static StrandOptions *
make_options (StrandSchedule *self, gint64 time_us)
{
  StrandOptions *options = strand_options_new ();
  g_autofree char *key = schedule_key_for (self, time_us);
  g_autofree char *time = time_text (time_us, "%Y-%m-%dT%H:%M:%S");

  strand_options_set_key (options, key);
  strand_options_set_timeout (options, self->timeout_us);
  if (self->ttl_us >= 0)
    strand_options_set_ttl (options, self->ttl_us);
  strand_options_set_retries (options, self->retries);
  strand_options_set_priority (options, self->priority);
  strand_options_set_queue (options, self->queue);
  strand_options_set_unique (options, self->unique);
  strand_options_set_conflict (options, self->conflict);
  if (self->expires_us >= 0)
    strand_options_set_expires (options, time_us + self->expires_us);
  strand_options_set_header (options, STRAND_HEADER_SCHEDULE, self->name);
  strand_options_set_header (options, STRAND_HEADER_SCHEDULED_FOR, time);
  return options;
}

/* --- middleware --------------------------------------------------------------------------------------- */

typedef struct
{
  GMutex lock; /* guards the rest */
  GCond changed;
  gboolean made;
  StrandVerdict verdict;
  GError *error;
} Decision;

static void
note_decision (StrandCall *call, StrandVerdict verdict, GVariant *value, GError *error, gpointer data)
{
  Decision *decision = data;

  if (value != NULL)
    g_variant_unref (g_variant_ref_sink (value));
  g_mutex_lock (&decision->lock);
  decision->made = TRUE;
  decision->verdict = verdict;
  decision->error = error;
  g_cond_signal (&decision->changed);
  g_mutex_unlock (&decision->lock);
}

/* Asks every `submit`. One that needs time holds up this schedule, and nobody else. */
static gboolean
is_let_through (GListModel *middleware, StrandCall *call, GError **error)
{
  g_autoptr(StrandChain) chain = strand_chain_new (middleware);
  Decision decision = { 0 };

  g_mutex_init (&decision.lock);
  g_cond_init (&decision.changed);
  strand_chain_submit (chain, call, note_decision, &decision);
  g_mutex_lock (&decision.lock);
  while (!decision.made)
    g_cond_wait (&decision.changed, &decision.lock);
  g_mutex_unlock (&decision.lock);
  g_cond_clear (&decision.changed);
  g_mutex_clear (&decision.lock);

  if (decision.error != NULL)
    g_propagate_error (error, decision.error);
  return decision.verdict == STRAND_VERDICT_CONTINUE;
}

/* --- the record --------------------------------------------------------------------------------------- */

/* The call's end in its record is nothing to us. */
static void
ignore_end (StrandCall *call, gpointer unused)
{
}

static const StrandAttemptFuncs no_attempt = { .ended = ignore_end };

static void
fill_from_manner (StrandRecord *record, Manner *manner)
{
  if (strand_record_get_string (record, STRAND_FIELD_QUEUE) == NULL)
    strand_record_set_string (record, STRAND_FIELD_QUEUE, manner->queue);
  if (strand_record_get_int (record, STRAND_FIELD_TIMEOUT) < 0)
    strand_record_set_int (record, STRAND_FIELD_TIMEOUT, manner->timeout_us);
  if (strand_record_get_int (record, STRAND_FIELD_RETRIES) < 0)
    strand_record_set_int (record, STRAND_FIELD_RETRIES, manner->retries);
}

/* NULL with an error; without one where a middleware has answered the call. */
static StrandRecord *
make_record (StrandSchedule *self, gint64 time_us, gint64 decided_us, GError **error)
{
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(GVariant) arguments = find_function (self, &function, error);
  g_autoptr(StrandCall) call = NULL;
  g_auto(Manner) manner = { 0 };
  StrandRecord *record;

  if (arguments == NULL)
    return NULL;
  find_manner (self->backend, &manner);
  call = strand_call_new_for_function (function, arguments, make_options (self, time_us), 1, &no_attempt,
                                       NULL, 0);
  strand_call_extra (call)->created_us = decided_us;
  if (manner.middleware != NULL && !is_let_through (manner.middleware, call, error))
    return NULL;
  record = strand_record_new_for_call (call, manner.serializer, error);
  if (record != NULL)
    fill_from_manner (record, &manner);
  return record;
}

static gboolean
is_there (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  return record != NULL;
}

/* A record lives at least as long as its ttl: one that is missing before that was never written. */
static gboolean
may_have_been (StrandSchedule *self, gint64 decided_us)
{
  gint64 ttl_us = self->ttl_us;

  if (ttl_us < 0)
    g_object_get (schedule_peek_store (self), "ttl", &ttl_us, NULL);
  return ttl_us >= 0 && strand_clock_now_us () - decided_us > ttl_us;
}

/* Leaves the call for @time_us, unless it is there or has been. @decided_us: when it was decided, the same
 * whoever does it. FALSE with an error where the store did not take it; TRUE with @problem where nothing will
 * come of it. */
gboolean
schedule_launch (StrandSchedule *self, gint64 time_us, gint64 decided_us, GError **problem, GError **error)
{
  StrandStore *store = schedule_peek_store (self);
  g_autofree char *key = schedule_key_for (self, time_us);
  g_autofree char *holder = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) local_error = NULL;

  if (may_have_been (self, decided_us) || is_there (store, key))
    return TRUE;
  record = make_record (self, time_us, decided_us, problem);
  if (record == NULL)
    return TRUE;
  if (strand_record_get_string (record, STRAND_FIELD_UNIQUE) != NULL)
    strand_store_put_unique (store, record, self->conflict, &holder, &local_error);
  else
    strand_store_put (store, record, 0, &local_error);
  if (g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS) && !is_there (store, key))
    g_propagate_error (problem, g_steal_pointer (&local_error)); /* another has its unique key */
  if (local_error == NULL || g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_EXISTS))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}
