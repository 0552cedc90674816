/* strand-schedule.c — leaves a call in a store again and again: each so often, or by a cron line.
 *
 * The object waits for the time that stands in the store, and for somebody to change what stands there. What
 * is to be done then is done on a thread of strand's own, one at a time.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schedule-private.h"

#include <string.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-log.h"
#include "strand-param.h"

#define DEFAULT_TIME_ZONE "UTC"
#define DEFAULT_MAX_MISSED 100
#define DEFAULT_TOLERANCE_US (60 * (gint64) G_USEC_PER_SEC)

/* Ten years: far from the ends of 64 bits, whatever is added to what. */
#define LONGEST_US (520 * G_GINT64_CONSTANT (7) * 24 * 60 * 60 * G_USEC_PER_SEC)

enum
{
  PROP_NAME = 1,
  PROP_STORE,
  PROP_BACKEND,
  PROP_FUNCTION,
  PROP_ARGUMENTS,
  PROP_EVERY,
  PROP_CRON,
  PROP_TIME_ZONE,
  PROP_MISSED,
  PROP_MAX_MISSED,
  PROP_TOLERANCE,
  PROP_QUEUE,
  PROP_TIMEOUT,
  PROP_TTL,
  PROP_EXPIRES,
  PROP_RETRIES,
  PROP_PRIORITY,
  PROP_UNIQUE,
  PROP_CONFLICT,
  N_PROPS
};

static GParamSpec *props[N_PROPS];

G_DEFINE_ENUM_TYPE (StrandMissed, strand_missed, G_DEFINE_ENUM_VALUE (STRAND_MISSED_SKIP, "skip"),
                    G_DEFINE_ENUM_VALUE (STRAND_MISSED_ONCE, "once"),
                    G_DEFINE_ENUM_VALUE (STRAND_MISSED_ALL, "all"))

/**
 * StrandSchedule:
 *
 * Leaves a call in a store again and again: each so often, or by a cron line. However many processes have
 * the same one, each call is left once.
 *
 * Since: 1.0
 */
G_DEFINE_FINAL_TYPE (StrandSchedule, strand_schedule, G_TYPE_OBJECT)

/**
 * strand_schedule_new:
 * @name: what it is called, as a key is, of 80 characters at most
 *
 * Makes a schedule; its properties say of what, when and where.
 *
 * Returns: (transfer full): a schedule that has not been started
 * Since: 1.0
 */
StrandSchedule *
strand_schedule_new (const char *name)
{
  StrandSchedule *self;

  g_return_val_if_fail (name != NULL, NULL);

  self = g_object_new (STRAND_TYPE_SCHEDULE, NULL);
  strand_schedule_set_name (self, name);
  return self;
}

void
strand_schedule_set_name (StrandSchedule *self, const char *name)
{
  g_free (self->name);
  self->name = g_strdup (name);
}

/**
 * strand_schedule_get_name:
 * @self: a schedule
 *
 * Says what the schedule is called, by which its state is found in the store.
 *
 * Returns: (nullable): its name
 * Since: 1.0
 */
const char *
strand_schedule_get_name (StrandSchedule *self)
{
  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), NULL);

  return self->name;
}

static void
on_record_changed (StrandStore *store, const char *key, gpointer data)
{
  StrandSchedule *self = data;

  g_mutex_lock (&self->lock);
  schedule_want_tick_locked (self);
  g_mutex_unlock (&self->lock);
}

/* --- from start to stop ------------------------------------------------------------------------------- */

static gboolean
fail (StrandSchedule *self, GError **error, const char *why)
{
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "Schedule '%s' cannot be used: %s",
               self->name != NULL ? self->name : "", why);
  return FALSE;
}

/* Whether all is set that it needs; understands its times. */
static gboolean
prepare (StrandSchedule *self, GError **error)
{
  const char *key;
  gboolean understood;

  if (self->name == NULL || strlen (self->name) > SCHEDULE_MAX_NAME || !strand_key_check (self->name, NULL))
    return fail (self, error, "its name has to be 1 to 80 letters, digits, '.', '_' and '-'");
  if (self->function == NULL)
    return fail (self, error, "it does not say which function");
  if (schedule_peek_store (self) == NULL)
    return fail (self, error, "it has neither a store nor a backend with a store");
  g_mutex_lock (&self->lock);
  if (self->timing == NULL)
    self->timing = schedule_timing_new (self->every_us, self->cron, self->time_zone, &key, error);
  understood = self->timing != NULL;
  g_mutex_unlock (&self->lock);
  if (!understood)
    g_prefix_error (error, "Schedule '%s' cannot be used: ", self->name);
  return understood;
}

/**
 * strand_schedule_start:
 * @self: a schedule
 * @error: return location for a #GError
 *
 * Begins to leave calls, on threads of strand's own, until strand_schedule_stop(). The store is read and
 * written to, so that a schedule that cannot work says so here; that its function is not known here is only
 * warned of, for others may know it. Starting it twice does nothing.
 *
 * Blocks as the store does; any thread.
 *
 * Returns: %TRUE; or %FALSE with %STRAND_ERROR_INVALID_ARGUMENT if something is not set or not understood, or
 *   the store's error
 * Since: 1.0
 */
gboolean
strand_schedule_start (StrandSchedule *self, GError **error)
{
  g_autofree char *key = NULL;
  gint64 next_us = G_MAXINT64;
  gboolean first, good;

  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), FALSE);

  if (!prepare (self, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  first = !self->started && !self->ticking;
  self->started |= first;
  self->ticking |= first; /* so that what the watch says waits for us */
  g_mutex_unlock (&self->lock);
  if (!first)
    return TRUE;

  self->adopted = FALSE;
  key = schedule_record_key (self);
  self->watch = strand_store_watch (schedule_peek_store (self), key, on_record_changed, self, NULL);
  good = schedule_look (self, &next_us, error);

  g_mutex_lock (&self->lock);
  self->started &= good; /* it may have been stopped meanwhile */
  schedule_go_on_locked (self, next_us);
  g_mutex_unlock (&self->lock);
  if (!good)
    {
      strand_store_unwatch (schedule_peek_store (self), self->watch);
      g_prefix_error (error, "Could not start schedule '%s': ", self->name);
    }
  return good;
}

/**
 * strand_schedule_stop:
 * @self: a schedule
 *
 * Leaves no further calls from here. What stands in the store stays: others go on, and it goes on when it is
 * started again. Blocks while a call is being left; any thread but one of strand's own. Stopping twice does
 * nothing.
 *
 * Since: 1.0
 */
void
strand_schedule_stop (StrandSchedule *self)
{
  gboolean started;

  g_return_if_fail (STRAND_IS_SCHEDULE (self));

  g_mutex_lock (&self->lock);
  started = self->started;
  self->started = FALSE;
  self->again = FALSE;
  while (self->ticking)
    g_cond_wait (&self->changed, &self->lock);
  schedule_disarm_locked (self);
  g_mutex_unlock (&self->lock);
  if (started)
    strand_store_unwatch (schedule_peek_store (self), self->watch);
}

/**
 * strand_schedule_run:
 * @self: a schedule, started or not
 * @error: return location for a #GError
 *
 * Leaves a call now, as if it were due; when the next one is due does not change. Blocks as the store does;
 * any thread.
 *
 * Returns: (transfer full): the call's key; or `NULL` with %STRAND_ERROR_UNKNOWN_FUNCTION,
 *   %STRAND_ERROR_EXISTS where another call has its unique key, what a middleware said, or the store's error
 * Since: 1.0
 */
char *
strand_schedule_run (StrandSchedule *self, GError **error)
{
  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), NULL);

  return prepare (self, error) ? schedule_run_now (self, error) : NULL;
}

/**
 * strand_schedule_set_paused:
 * @self: a schedule, started or not
 * @paused: whether it leaves no calls
 * @error: return location for a #GError
 *
 * Pauses the schedule wherever it was started, or lets it go on; that is kept in the store. Times in between
 * count as not there, not as missed. Blocks as the store does; any thread.
 *
 * Returns: %TRUE; or %FALSE with the store's error
 * Since: 1.0
 */
gboolean
strand_schedule_set_paused (StrandSchedule *self, gboolean paused, GError **error)
{
  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), FALSE);

  return prepare (self, error) && schedule_change_paused (self, paused, error);
}

/**
 * strand_schedule_get_state:
 * @self: a schedule, started or not
 * @next_us: (out) (optional): when it is due next, in µs since 1970; 0 if it is paused or was never started
 * @last_us: (out) (optional): the time that the last call was for; 0 for none
 * @last_key: (out) (optional) (transfer full) (nullable): that call's key
 * @paused: (out) (optional): whether it is paused
 * @error: return location for a #GError
 *
 * Says what the store knows of it. Blocks as the store does; any thread.
 *
 * Returns: %TRUE; or %FALSE with the store's error
 * Since: 1.0
 */
gboolean
strand_schedule_get_state (StrandSchedule *self, gint64 *next_us, gint64 *last_us, char **last_key,
                           gboolean *paused, GError **error)
{
  g_autofree char *key = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) local_error = NULL;
  GVariant *metadata;
  gboolean is_paused;
  char *last = NULL;

  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), FALSE);

  if (!prepare (self, error))
    return FALSE;
  key = schedule_record_key (self);
  record = strand_store_get (schedule_peek_store (self), key, &local_error);
  if (record == NULL && !g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return FALSE;
    }
  is_paused = record != NULL && schedule_read_paused (record);
  metadata = record != NULL ? strand_record_get_variant (record, STRAND_FIELD_METADATA) : NULL;
  if (metadata != NULL && last_key != NULL)
    g_variant_lookup (metadata, "last-key", "s", &last);
  if (next_us != NULL)
    *next_us = record != NULL && !is_paused ? strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE) : 0;
  if (last_us != NULL)
    *last_us = record != NULL ? strand_record_get_int (record, STRAND_FIELD_STARTED) : 0;
  if (last_key != NULL)
    *last_key = last;
  if (paused != NULL)
    *paused = is_paused;
  return TRUE;
}

/**
 * strand_schedule_next:
 * @self: a schedule
 * @after_us: a time, in µs since 1970
 * @error: return location for a #GError
 *
 * Reckons when it is due for the first time after @after_us; an interval is reckoned from there. Any thread;
 * does not block.
 *
 * Returns: a time in µs since 1970; or -1 with %STRAND_ERROR_INVALID_ARGUMENT if its times are not understood
 * Since: 1.0
 */
gint64
strand_schedule_next (StrandSchedule *self, gint64 after_us, GError **error)
{
  ScheduleTiming *timing;
  const char *key;
  gint64 next_us;

  g_return_val_if_fail (STRAND_IS_SCHEDULE (self), -1);

  timing = schedule_timing_new (self->every_us, self->cron, self->time_zone, &key, error);
  if (timing == NULL)
    return -1;
  next_us = schedule_timing_next (timing, after_us);
  schedule_timing_free (timing);
  return next_us;
}

/* --- plumbing ----------------------------------------------------------------------------------------- */

static void
strand_schedule_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  StrandSchedule *self = STRAND_SCHEDULE (object);

  switch (id)
    {
    case PROP_NAME:
      g_value_set_string (value, self->name);
      break;
    case PROP_STORE:
      g_value_set_object (value, self->store);
      break;
    case PROP_BACKEND:
      g_value_set_object (value, self->backend);
      break;
    case PROP_FUNCTION:
      g_value_set_string (value, self->function);
      break;
    case PROP_ARGUMENTS:
      g_value_set_string (value, self->arguments);
      break;
    case PROP_EVERY:
      g_value_set_int64 (value, self->every_us);
      break;
    case PROP_CRON:
      g_value_set_string (value, self->cron);
      break;
    case PROP_TIME_ZONE:
      g_value_set_string (value, self->time_zone);
      break;
    case PROP_MISSED:
      g_value_set_enum (value, self->missed);
      break;
    case PROP_MAX_MISSED:
      g_value_set_uint (value, self->max_missed);
      break;
    case PROP_TOLERANCE:
      g_value_set_int64 (value, self->tolerance_us);
      break;
    case PROP_QUEUE:
      g_value_set_string (value, self->queue);
      break;
    case PROP_TIMEOUT:
      g_value_set_int64 (value, self->timeout_us);
      break;
    case PROP_TTL:
      g_value_set_int64 (value, self->ttl_us);
      break;
    case PROP_EXPIRES:
      g_value_set_int64 (value, self->expires_us);
      break;
    case PROP_RETRIES:
      g_value_set_int (value, self->retries);
      break;
    case PROP_PRIORITY:
      g_value_set_int (value, self->priority);
      break;
    case PROP_UNIQUE:
      g_value_set_string (value, self->unique);
      break;
    case PROP_CONFLICT:
      g_value_set_enum (value, self->conflict);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

static void
set_text (char **field, const GValue *value)
{
  g_free (*field);
  *field = g_value_dup_string (value);
}

/* Threads of strand's own read a started schedule's properties without a lock. */
static gboolean
may_change (StrandSchedule *self, const GParamSpec *pspec)
{
  gboolean at_rest;

  g_mutex_lock (&self->lock);
  at_rest = !self->started && !self->ticking;
  g_mutex_unlock (&self->lock);
  if (!at_rest)
    g_warning ("Property '%s' of schedule '%s' stays as it is: the schedule has been started", pspec->name,
               self->name);
  return at_rest;
}

static void
strand_schedule_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  StrandSchedule *self = STRAND_SCHEDULE (object);

  if (!may_change (self, pspec))
    return;
  g_clear_pointer (&self->timing, schedule_timing_free);
  switch (id)
    {
    case PROP_STORE:
      g_set_object (&self->store, g_value_get_object (value));
      break;
    case PROP_BACKEND:
      g_set_object (&self->backend, g_value_get_object (value));
      break;
    case PROP_FUNCTION:
      set_text (&self->function, value);
      break;
    case PROP_ARGUMENTS:
      set_text (&self->arguments, value);
      break;
    case PROP_EVERY:
      self->every_us = g_value_get_int64 (value);
      break;
    case PROP_CRON:
      set_text (&self->cron, value);
      break;
    case PROP_TIME_ZONE:
      set_text (&self->time_zone, value);
      break;
    case PROP_MISSED:
      self->missed = g_value_get_enum (value);
      break;
    case PROP_MAX_MISSED:
      self->max_missed = g_value_get_uint (value);
      break;
    case PROP_TOLERANCE:
      self->tolerance_us = g_value_get_int64 (value);
      break;
    case PROP_QUEUE:
      set_text (&self->queue, value);
      break;
    case PROP_TIMEOUT:
      self->timeout_us = g_value_get_int64 (value);
      break;
    case PROP_TTL:
      self->ttl_us = g_value_get_int64 (value);
      break;
    case PROP_EXPIRES:
      self->expires_us = g_value_get_int64 (value);
      break;
    case PROP_RETRIES:
      self->retries = g_value_get_int (value);
      break;
    case PROP_PRIORITY:
      self->priority = g_value_get_int (value);
      break;
    case PROP_UNIQUE:
      set_text (&self->unique, value);
      break;
    case PROP_CONFLICT:
      self->conflict = g_value_get_enum (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
    }
}

/* Its watch does not hold it. */
static void
strand_schedule_dispose (GObject *object)
{
  strand_schedule_stop (STRAND_SCHEDULE (object));
  G_OBJECT_CLASS (strand_schedule_parent_class)->dispose (object);
}

static void
strand_schedule_finalize (GObject *object)
{
  StrandSchedule *self = STRAND_SCHEDULE (object);

  g_clear_pointer (&self->timing, schedule_timing_free);
  g_clear_object (&self->store);
  g_clear_object (&self->backend);
  g_free (self->name);
  g_free (self->function);
  g_free (self->arguments);
  g_free (self->cron);
  g_free (self->time_zone);
  g_free (self->queue);
  g_free (self->unique);
  g_free (self->trouble);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  G_OBJECT_CLASS (strand_schedule_parent_class)->finalize (object);
}

static void
install_when (void)
{
  /**
   * StrandSchedule:every:
   *
   * How long from one call to the next: this or `cron` has to be set.
   *
   * Since: 1.0
   */
  props[PROP_EVERY] =
      g_param_spec_int64 ("every", NULL, "How long from one call to the next: this or `cron` has to be set",
                          0, LONGEST_US, 0, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandSchedule:cron:
   *
   * When calls are due: minute, hour, day of the month, month, day of the week; or `@daily` and the like.
   *
   * Since: 1.0
   */
  props[PROP_CRON] = g_param_spec_string (
      "cron", NULL,
      "When calls are due: minute, hour, day of the month, month, day of the week; or `@daily` and the like",
      NULL, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:time-zone:
   *
   * Whose clocks `cron` means: as Europe/Lisbon, or `local`.
   *
   * Since: 1.0
   */
  props[PROP_TIME_ZONE] =
      g_param_spec_string ("time-zone", NULL, "Whose clocks `cron` means: as Europe/Lisbon, or `local`",
                           DEFAULT_TIME_ZONE, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:missed:
   *
   * What to do about times at which nobody was there.
   *
   * Since: 1.0
   */
  props[PROP_MISSED] = g_param_spec_enum ("missed", NULL, "What to do about times at which nobody was there",
                                          STRAND_TYPE_MISSED, STRAND_MISSED_SKIP, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:max-missed:
   *
   * How many calls `missed=all` leaves at most.
   *
   * Since: 1.0
   */
  props[PROP_MAX_MISSED] =
      g_param_spec_uint ("max-missed", NULL, "How many calls `missed=all` leaves at most", 1, 10000,
                         DEFAULT_MAX_MISSED, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:tolerance:
   *
   * How late a call may be left and its time not count as missed.
   *
   * Since: 1.0
   */
  props[PROP_TOLERANCE] =
      g_param_spec_int64 ("tolerance", NULL, "How late a call may be left and its time not count as missed",
                          0, LONGEST_US, DEFAULT_TOLERANCE_US, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
}

static void
install_options (void)
{
  /**
   * StrandSchedule:queue:
   *
   * Where the calls wait; the backend's queue, or `default`, if not set.
   *
   * Since: 1.0
   */
  props[PROP_QUEUE] = g_param_spec_string (
      "queue", NULL, "Where the calls wait; the backend's queue, or `default`, if not set", NULL,
      STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:timeout:
   *
   * How long an attempt may run; none leaves it to the reader.
   *
   * Since: 1.0
   */
  props[PROP_TIMEOUT] =
      g_param_spec_int64 ("timeout", NULL, "How long an attempt may run; none leaves it to the reader", -1,
                          G_MAXINT64, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandSchedule:ttl:
   *
   * How long a call's record is kept after its end; none leaves it to the store.
   *
   * Since: 1.0
   */
  props[PROP_TTL] = g_param_spec_int64 (
      "ttl", NULL, "How long a call's record is kept after its end; none leaves it to the store", -1,
      G_MAXINT64, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandSchedule:expires:
   *
   * How long after its time a call that no reader has taken is not started any more.
   *
   * Since: 1.0
   */
  props[PROP_EXPIRES] = g_param_spec_int64 (
      "expires", NULL, "How long after its time a call that no reader has taken is not started any more", -1,
      LONGEST_US, -1, STRAND_PARAM_CONFIG | STRAND_PARAM_DURATION);
  /**
   * StrandSchedule:retries:
   *
   * How many further attempts follow a failed one; -1 leaves it to the reader.
   *
   * Since: 1.0
   */
  props[PROP_RETRIES] = g_param_spec_int (
      "retries", NULL, "How many further attempts follow a failed one; -1 leaves it to the reader", -1,
      G_MAXUINT16, -1, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:priority:
   *
   * Higher runs earlier.
   *
   * Since: 1.0
   */
  props[PROP_PRIORITY] =
      g_param_spec_int ("priority", NULL, "Higher runs earlier", G_MININT, G_MAXINT, 0, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:unique:
   *
   * A text that only one call has at a time: keeps a call that is late from being overtaken.
   *
   * Since: 1.0
   */
  props[PROP_UNIQUE] = g_param_spec_string (
      "unique", NULL,
      "A text that only one call has at a time: keeps a call that is late from being overtaken", NULL,
      STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:conflict:
   *
   * What to do while another call has the same `unique`.
   *
   * Since: 1.0
   */
  props[PROP_CONFLICT] =
      g_param_spec_enum ("conflict", NULL, "What to do while another call has the same `unique`",
                         STRAND_TYPE_CONFLICT, STRAND_CONFLICT_KEEP, STRAND_PARAM_CONFIG);
}

static void
strand_schedule_class_init (StrandScheduleClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->get_property = strand_schedule_get_property;
  object_class->set_property = strand_schedule_set_property;
  object_class->dispose = strand_schedule_dispose;
  object_class->finalize = strand_schedule_finalize;

  /**
   * StrandSchedule:name:
   *
   * What it is called.
   *
   * Since: 1.0
   */
  props[PROP_NAME] = g_param_spec_string ("name", NULL, "What it is called", NULL,
                                          G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
  /**
   * StrandSchedule:store:
   *
   * Where the calls are left: this or a backend.
   *
   * Since: 1.0
   */
  props[PROP_STORE] = g_param_spec_object ("store", NULL, "Where the calls are left: this or a backend",
                                           STRAND_TYPE_STORE, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:backend:
   *
   * Whose store it is; one that leaves calls for readers also has its middleware, queue and settings count.
   *
   * Since: 1.0
   */
  props[PROP_BACKEND] = g_param_spec_object (
      "backend", NULL,
      "Whose store it is; one that leaves calls for readers also has its middleware, queue and settings count",
      STRAND_TYPE_BACKEND, STRAND_PARAM_CONFIG);
  /**
   * StrandSchedule:function:
   *
   * What is called.
   *
   * Since: 1.0
   */
  props[PROP_FUNCTION] = g_param_spec_string ("function", NULL, "What is called", NULL,
                                              STRAND_PARAM_CONFIG | STRAND_PARAM_REQUIRED);
  /**
   * StrandSchedule:arguments:
   *
   * With what: GVariant text, as `('nightly', 3)`; the parentheses may be left out.
   *
   * Since: 1.0
   */
  props[PROP_ARGUMENTS] = g_param_spec_string (
      "arguments", NULL, "With what: GVariant text, as `('nightly', 3)`; the parentheses may be left out",
      NULL, STRAND_PARAM_CONFIG);
  install_when ();
  install_options ();
  g_object_class_install_properties (object_class, N_PROPS, props);
}

static void
strand_schedule_init (StrandSchedule *self)
{
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->next_us = G_MAXINT64;
}
