/* strand-schedule-state.c — what stands in the store of a schedule, and how it goes from one time to the
 * next.
 *
 * One record says when the next call is due. Whoever finds that it is, writes the next time at the revision
 * that was read, together with the times that calls are owed for: of any number who try, one succeeds, and
 * leaves the calls, and then strikes them off. Should it die in between, the others see what is owed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-schedule-private.h"

#include "strand-clock.h"
#include "strand-error.h"

#define KIND "schedule"

/* Each failure is somebody else's success. */
#define MAX_TRIES 1000

/* How soon a schedule is looked at again whose function is not known here: a module may come with a reload.
 */
#define UNKNOWN_AGAIN_US (60 * (gint64) G_USEC_PER_SEC)

StrandStore *
schedule_peek_store (StrandSchedule *self)
{
  if (self->store != NULL)
    return self->store;
  return self->backend != NULL ? strand_backend_get_store (self->backend) : NULL;
}

/* --- what the record says beside its fields ----------------------------------------------------------- */

char *
schedule_record_key (StrandSchedule *self)
{
  return g_strconcat ("strand.schedule.", self->name, NULL);
}

static void
set_detail (StrandRecord *record, const char *name, GVariant *value)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, strand_record_get_variant (record, STRAND_FIELD_METADATA));
  g_variant_dict_remove (&dict, name);
  if (value != NULL)
    g_variant_dict_insert_value (&dict, name, value);
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_dict_end (&dict));
}

static GVariant *
dup_detail (StrandRecord *record, const char *name, const char *type)
{
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);

  return metadata != NULL ? g_variant_lookup_value (metadata, name, G_VARIANT_TYPE (type)) : NULL;
}

gboolean
schedule_read_paused (StrandRecord *record)
{
  g_autoptr(GVariant) paused = dup_detail (record, "paused", "b");

  return paused != NULL && g_variant_get_boolean (paused);
}

static gboolean
has_our_timing (StrandSchedule *self, StrandRecord *record)
{
  g_autoptr(GVariant) timing = dup_detail (record, "timing", "s");

  return timing != NULL && g_str_equal (g_variant_get_string (timing, NULL), self->timing->text);
}

static void
set_timing (StrandSchedule *self, StrandRecord *record)
{
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, self->function);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE,
                         schedule_timing_next (self->timing, strand_clock_now_us ()));
  set_detail (record, "timing", g_variant_new_string (self->timing->text));
}

/* --- reading and writing ------------------------------------------------------------------------------ */

static gboolean
is_race (const GError *error)
{
  return g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) ||
         g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
}

/* At the revision that it was read. FALSE without error: somebody else was first. */
static gboolean
write_record (StrandSchedule *self, StrandRecord *record, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  if (strand_store_put (schedule_peek_store (self), record, strand_record_get_revision (record),
                        &local_error))
    return TRUE;
  if (!is_race (local_error))
    g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

/* What stands in the store, or a new one that is not there yet. */
static StrandRecord *
read_record (StrandSchedule *self, GError **error)
{
  g_autofree char *key = schedule_record_key (self);
  g_autoptr(GError) local_error = NULL;
  StrandRecord *record = strand_store_get (schedule_peek_store (self), key, &local_error);

  if (record != NULL)
    return record;
  if (!g_error_matches (local_error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local_error));
      return NULL;
    }
  record = strand_record_new (key);
  strand_record_set_string (record, STRAND_FIELD_KIND, KIND);
  strand_record_set_int (record, STRAND_FIELD_CREATED, strand_clock_now_us ());
  set_timing (self, record);
  return record;
}

typedef void (*ChangeFunc) (StrandSchedule *self, StrandRecord *record, gpointer data);

static gboolean
change_record (StrandSchedule *self, ChangeFunc change, gpointer data, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = read_record (self, error);

      if (record == NULL)
        return FALSE;
      change (self, record, data);
      if (write_record (self, record, &local_error))
        return TRUE;
      if (local_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_STALE,
               "Could not change schedule '%s': others were first at each of %d tries", self->name,
               MAX_TRIES);
  return FALSE;
}

/* --- from one time to the next ------------------------------------------------------------------------ */

/* The times that a call is to be left for, of those that are due; in order. */
static GArray *
choose_times (StrandSchedule *self, gint64 next_us, gint64 now_us)
{
  guint limit = self->missed == STRAND_MISSED_ALL ? self->max_missed : 1;
  GArray *times = schedule_timing_list_last (self->timing, next_us, now_us, limit);

  if (self->missed == STRAND_MISSED_SKIP && times->len > 0 &&
      now_us - g_array_index (times, gint64, 0) > self->tolerance_us)
    g_array_set_size (times, 0);
  return times;
}

/* Goes on to the next time, and owes calls for those that are due. */
static void
advance (StrandSchedule *self, StrandRecord *record, gint64 now_us)
{
  gint64 next_us = strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE);
  g_autoptr(GArray) times = choose_times (self, next_us, now_us);
  gint64 after_us = now_us;

  /* An interval keeps its beat. */
  if (self->timing->cron == NULL)
    after_us = next_us + (now_us - next_us) / self->timing->every_us * self->timing->every_us;
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, schedule_timing_next (self->timing, after_us));
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, self->function);
  if (times->len == 0)
    return;
  set_detail (record, "owed",
              g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, times->data, times->len, sizeof (gint64)));
  set_detail (record, "decided", g_variant_new_int64 (now_us));
}

/* Leaves the calls that are owed, and strikes them off. FALSE with an error, or without where the record has
 * changed meanwhile. */
static gboolean
pay (StrandSchedule *self, StrandRecord *record, GVariant *owed, GError **error)
{
  g_autoptr(GVariant) decided = dup_detail (record, "decided", "x");
  g_autoptr(GError) problem = NULL;
  g_autofree char *key = NULL;
  gsize n;
  const gint64 *times = g_variant_get_fixed_array (owed, &n, sizeof (gint64));

  for (gsize i = 0; i < n; i++)
    {
      g_clear_error (&problem);
      if (!schedule_launch (self, times[i], decided != NULL ? g_variant_get_int64 (decided) : times[i],
                            &problem, error))
        return FALSE;
      if (problem != NULL)
        g_warning ("Schedule '%s' leaves no call this time: %s", self->name, problem->message);
    }
  set_detail (record, "owed", NULL);
  set_detail (record, "decided", NULL);
  strand_record_set_string (record, STRAND_FIELD_MESSAGE, problem != NULL ? problem->message : NULL);
  if (n > 0)
    {
      key = schedule_key_for (self, times[n - 1]);
      strand_record_set_int (record, STRAND_FIELD_STARTED, times[n - 1]);
      set_detail (record, "last-key", g_variant_new_string (key));
    }
  return write_record (self, record, error);
}

/* The timing of a schedule is that of whoever started it last: one that finds another than it has put there
 * leaves the schedule alone. TRUE if the record is ours to go by. */
static gboolean
adopt (StrandSchedule *self, StrandRecord *record, GError **problem)
{
  if (!has_our_timing (self, record))
    {
      if (self->adopted)
        {
          g_set_error (problem, STRAND_ERROR, STRAND_ERROR_STALE,
                       "it was started elsewhere with another time; this program leaves it alone");
          return FALSE;
        }
      set_timing (self, record);
    }
  return TRUE;
}

/* One step with what was read. TRUE: there is nothing more to do until @next_us. */
static gboolean
step (StrandSchedule *self, StrandRecord *record, gint64 *next_us, GError **problem, GError **error)
{
  gint64 now_us = strand_clock_now_us ();
  g_autoptr(GVariant) owed = NULL;
  gboolean foreign = strand_record_get_revision (record) == 0 || !has_our_timing (self, record);

  *next_us = G_MAXINT64;
  if (!adopt (self, record, problem))
    return TRUE;
  if (foreign)
    {
      self->adopted = write_record (self, record, error);
      return FALSE;
    }
  self->adopted = TRUE;

  owed = dup_detail (record, "owed", "ax");
  if (owed == NULL && schedule_read_paused (record))
    return TRUE;
  *next_us = strand_record_get_int (record, STRAND_FIELD_NOT_BEFORE);
  if (owed == NULL && now_us < *next_us)
    return TRUE;
  if (!schedule_can_launch (self, problem))
    {
      *next_us = now_us + UNKNOWN_AGAIN_US; /* others may know it */
      return TRUE;
    }
  if (owed != NULL)
    {
      pay (self, record, owed, error);
      return FALSE;
    }
  advance (self, record, now_us);
  write_record (self, record, error);
  return FALSE;
}

/* Looks at the store and does what is due. @next_us: when to look again, G_MAXINT64 for never. @problem: what
 * keeps calls from being left. FALSE with an error of the store. */
gboolean
schedule_tick (StrandSchedule *self, gint64 *next_us, GError **problem, GError **error)
{
  g_autoptr(GError) local_error = NULL;

  for (guint i = 0; i < MAX_TRIES; i++)
    {
      g_autoptr(StrandRecord) record = read_record (self, error);

      if (record == NULL)
        return FALSE;
      g_clear_error (problem);
      if (step (self, record, next_us, problem, &local_error))
        return TRUE;
      if (local_error != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local_error));
          return FALSE;
        }
    }
  *next_us = strand_clock_now_us () + UNKNOWN_AGAIN_US;
  return TRUE;
}

/* --- by hand ------------------------------------------------------------------------------------------ */

static void
set_paused (StrandSchedule *self, StrandRecord *record, gpointer paused)
{
  gboolean was_paused = schedule_read_paused (record);

  set_detail (record, "paused", paused != NULL ? g_variant_new_boolean (TRUE) : NULL);
  if (was_paused && paused == NULL) /* what it has slept through was not missed */
    strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE,
                           schedule_timing_next (self->timing, strand_clock_now_us ()));
}

gboolean
schedule_change_paused (StrandSchedule *self, gboolean paused, GError **error)
{
  return change_record (self, set_paused, paused ? self : NULL, error);
}

static void
note_run (StrandSchedule *self, StrandRecord *record, gpointer time_us)
{
  g_autofree char *key = schedule_key_for (self, *(gint64 *) time_us);

  strand_record_set_int (record, STRAND_FIELD_STARTED, *(gint64 *) time_us);
  set_detail (record, "last-key", g_variant_new_string (key));
}

char *
schedule_run_now (StrandSchedule *self, GError **error)
{
  gint64 now_us = strand_clock_now_us ();
  g_autofree char *key = schedule_key_for (self, now_us);
  g_autoptr(GError) problem = NULL;

  if (!schedule_launch (self, now_us, now_us, &problem, error))
    return NULL;
  if (problem != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      return NULL;
    }
  return change_record (self, note_run, &now_us, error) ? g_steal_pointer (&key) : NULL;
}
