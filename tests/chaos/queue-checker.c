/* queue-checker.c — reads the log of a run and the store it left, and says what does not fit.
 *
 * Each claim of a call raises its fence by one and ends in one way: the call ends, is retried, is given back,
 * or its worker dies. So a record's fence says how often it was claimed, its causes how many of these were
 * deaths, and the log who ran it how often: three witnesses that must agree.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "queue-checker.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "queue-actors.h"

#define PAGE_SIZE 1000

/* Of those that do not fit. */
#define MAX_SHOWN_RECORDS 10

typedef struct
{
  int number;
  char *process; /* of a worker */
  gboolean elsewhere;
  gboolean touched;  /* was stopped: its lease may have ended */
  gint64 begun_us;   /* since when it is there */
  gint64 listens_us; /* since when it is a worker; 0 for never */
  gint64 ended_us;   /* when it said that it had, as it was told to; 0 for never */
  gint64 killed_us;  /* or found to be gone; 0 while it lives */
} Actor;

typedef struct
{
  guint fence;
  int actor;
  gint64 time_us;
} Claim;

typedef struct
{
  guint attempt;
  guint fence; /* 0 where it is not known */
  int actor;
  char *name;
  gboolean ended;
} Begun;

typedef struct
{
  gboolean accepted;
  gboolean has_record;
  GArray *claims; /* of Claim */
  GArray *begun;  /* of Begun */
} Call;

typedef struct
{
  gint64 from_us, to_us;
  gboolean elsewhere; /* only for the other host */
} Outage;

typedef struct
{
  Findings *findings;
  GHashTable *seen;
  gint64 lease_us;
  GHashTable *calls;     /* of Call, by key */
  GHashTable *runs;      /* key of the call and place in its `begun`, by name of the run: "KEY PLACE" */
  GHashTable *actors;    /* of Actor, by number */
  GHashTable *processes; /* the same, by process; not held */
  GHashTable *taken;     /* how many calls a worker's death cost, by process; not held */
  GArray *outages;       /* of Outage */
  GArray *noticed, *elsewhere, *other_host; /* of gint64 */
} Checker;

void
checker_fault (Findings *findings, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (findings->faults, g_strdup_vprintf (format, args));
  va_end (args);
}

void
findings_clear (Findings *findings)
{
  g_clear_pointer (&findings->faults, g_ptr_array_unref);
}

/* --- the log -------------------------------------------------------------------------------------------- */

static void
call_free (gpointer data)
{
  Call *call = data;

  g_array_unref (call->claims);
  g_array_unref (call->begun);
  g_free (call);
}

static void
begun_clear (gpointer data)
{
  g_free (((Begun *) data)->name);
}

static void
actor_free (gpointer data)
{
  g_free (((Actor *) data)->process);
  g_free (data);
}

static Call *
get_call (Checker *self, const char *key)
{
  Call *call = g_hash_table_lookup (self->calls, key);

  if (call != NULL)
    return call;
  call = g_new0 (Call, 1);
  call->claims = g_array_new (FALSE, FALSE, sizeof (Claim));
  call->begun = g_array_new (FALSE, FALSE, sizeof (Begun));
  g_array_set_clear_func (call->begun, begun_clear);
  g_hash_table_insert (self->calls, g_strdup (key), call);
  return call;
}

static Actor *
get_actor (Checker *self, int number)
{
  Actor *actor = g_hash_table_lookup (self->actors, GINT_TO_POINTER (number));

  if (actor != NULL)
    return actor;
  actor = g_new0 (Actor, 1);
  actor->number = number;
  g_hash_table_insert (self->actors, GINT_TO_POINTER (number), actor);
  return actor;
}

static void
hear_start (Checker *self, int actor, char **words)
{
  Call *call = get_call (self, words[0]);
  Begun begun = { .attempt = (guint) atoi (words[1]),
                  .fence = (guint) atoi (words[2]),
                  .actor = actor,
                  .name = g_strdup (words[3]) };

  g_hash_table_insert (self->runs, g_strdup (words[3]),
                       g_strdup_printf ("%s %u", words[0], call->begun->len));
  g_array_append_val (call->begun, begun);
  self->findings->n_runs++;
}

static Begun *
find_begun (Checker *self, const char *name, const char *key)
{
  const char *place = g_hash_table_lookup (self->runs, name);
  g_auto(GStrv) parts = place != NULL ? g_strsplit (place, " ", 2) : NULL;

  if (parts == NULL || (key != NULL && strcmp (parts[0], key) != 0))
    return NULL;
  return &g_array_index (get_call (self, parts[0])->begun, Begun, (guint) atoi (parts[1]));
}

static void
hear_end (Checker *self, const char *name)
{
  Begun *begun = find_begun (self, name, NULL);

  if (begun == NULL)
    checker_fault (self->findings, "run '%s' ended and never began", name);
  else if (begun->ended)
    checker_fault (self->findings, "run '%s' ended twice", name);
  else
    begun->ended = TRUE;
}

static void
hear_claim (Checker *self, gint64 time_us, int actor, char **words)
{
  Call *call = get_call (self, words[0]);
  Claim claim = { .fence = (guint) atoi (words[1]), .actor = actor, .time_us = time_us };

  for (guint i = 0; i < call->claims->len; i++)
    if (g_array_index (call->claims, Claim, i).fence == claim.fence)
      checker_fault (self->findings, "call '%s' was claimed twice under fence %u", words[0], claim.fence);
  g_array_append_val (call->claims, claim);
}

static void
begin_outage (Checker *self, gint64 time_us, gboolean elsewhere)
{
  Outage outage = { time_us, G_MAXINT64, elsewhere };

  g_array_append_val (self->outages, outage);
}

/* There is one of each at a time. */
static void
end_outage (Checker *self, gint64 time_us, gboolean elsewhere)
{
  for (guint i = self->outages->len; i > 0; i--)
    {
      Outage *outage = &g_array_index (self->outages, Outage, i - 1);

      if (outage->elsewhere != elsewhere)
        continue;
      outage->to_us = time_us;
      return;
    }
}

/* What was done to actors and to the store. */
static void
hear_deed (Checker *self, gint64 time_us, char **words)
{
  const char *deed = words[0];
  Actor *actor = words[1] != NULL ? get_actor (self, atoi (words[1])) : NULL;

  if (strcmp (deed, "outage") == 0)
    begin_outage (self, time_us, FALSE);
  else if (strcmp (deed, "outage-over") == 0)
    end_outage (self, time_us, FALSE);
  else if (strcmp (deed, "cut") == 0)
    begin_outage (self, time_us, TRUE);
  else if (strcmp (deed, "cut-over") == 0)
    end_outage (self, time_us, TRUE);
  else if (actor == NULL)
    return;
  else if (strcmp (deed, "kill") == 0 || strcmp (deed, "gone") == 0)
    actor->killed_us = actor->killed_us == 0 ? time_us : MIN (actor->killed_us, time_us);
  else if (strcmp (deed, "stop") == 0)
    actor->touched = TRUE;
  else if (strcmp (deed, "elsewhere") == 0)
    actor->elsewhere = TRUE;
}

static void
hear_worker (Checker *self, gint64 time_us, int number, const char *process)
{
  Actor *actor = get_actor (self, number);

  actor->begun_us = time_us;
  actor->process = g_strdup (process);
  g_hash_table_insert (self->processes, actor->process, actor);
}

/* What a follower saw of a call after its end: as good as what the observer saw, and no different. */
static void
hear_sight (Checker *self, char **words)
{
  const Seen *before = g_hash_table_lookup (self->seen, words[0]);
  guint64 revision = g_ascii_strtoull (words[2], NULL, 10);
  g_autoptr(GEnumClass) statuses = g_type_class_ref (STRAND_TYPE_STATUS);
  GEnumValue *status = g_enum_get_value_by_nick (statuses, words[1]);
  Seen *seen;

  self->findings->n_sights++;
  if (status == NULL || !strand_status_is_terminal ((StrandStatus) status->value))
    checker_fault (self->findings, "a handle said that call '%s' had ended, and it was %s", words[0],
                   words[1]);
  else if (before != NULL && before->revision != revision)
    checker_fault (self->findings, "call '%s' had ended and was seen to change", words[0]);
  else if (before == NULL)
    {
      seen = g_new0 (Seen, 1);
      *seen = (Seen){ revision, g_ascii_strtoll (words[3], NULL, 10), (StrandStatus) status->value };
      g_hash_table_insert (self->seen, g_strdup (words[0]), seen);
    }
}

static void
hear (Checker *self, const char *line)
{
  g_auto(GStrv) words = g_strsplit (line, " ", 8);
  guint n = g_strv_length (words);
  gint64 time_us;
  int number;

  if (n < 3)
    {
      if (*line != '\0')
        checker_fault (self->findings, "half a line in the log: '%s'", line);
      return;
    }
  time_us = g_ascii_strtoll (words[0], NULL, 10);
  number = atoi (words[1]);
  if (number == 0)
    hear_deed (self, time_us, words + 2);
  else if (strcmp (words[2], "start") == 0 && n == 7)
    hear_start (self, number, words + 3);
  else if (strcmp (words[2], "end") == 0 && n == 4)
    hear_end (self, words[3]);
  else if (strcmp (words[2], "claim") == 0 && n == 5)
    hear_claim (self, time_us, number, words + 3);
  else if (strcmp (words[2], "saw") == 0 && n == 7)
    hear_sight (self, words + 3);
  else if (strcmp (words[2], "worker") == 0 && n == 5)
    hear_worker (self, time_us, number, words[3]);
  else if (strcmp (words[2], "accepted") == 0 && n == 4)
    {
      get_call (self, words[3])->accepted = TRUE;
      self->findings->n_accepted++;
    }
  else if (strcmp (words[2], "refused") == 0)
    self->findings->n_refused++;
  else if (strcmp (words[2], "listens") == 0)
    get_actor (self, number)->listens_us = time_us;
  else if (strcmp (words[2], "stopped") == 0)
    get_actor (self, number)->ended_us = time_us;
}

static void
read_log (Checker *self, const char *path)
{
  g_autoptr(GMappedFile) file = g_mapped_file_new (path, FALSE, NULL);
  const char *text = file != NULL ? g_mapped_file_get_contents (file) : NULL;
  const char *end = text != NULL ? text + g_mapped_file_get_length (file) : NULL;

  while (text != NULL && text < end)
    {
      const char *newline = memchr (text, '\n', (gsize) (end - text));
      g_autofree char *line = g_strndup (text, (gsize) ((newline != NULL ? newline : end) - text));

      hear (self, line);
      text = newline != NULL ? newline + 1 : NULL;
    }
}

/* --- one record ----------------------------------------------------------------------------------------- */

/* What became of a call's claims, as its causes tell it. */
typedef struct
{
  guint n_losses;  /* its worker died */
  guint n_crashes; /* its helper died */
  gboolean lost_last;
} Deaths;

/* Whether the store could not be reached by the actor at some time between the two. */
static gboolean
was_away (Checker *self, Actor *actor, gint64 from_us, gint64 to_us)
{
  for (guint i = 0; i < self->outages->len; i++)
    {
      Outage *outage = &g_array_index (self->outages, Outage, i);

      if ((actor->elsewhere || !outage->elsewhere) && outage->from_us <= to_us && outage->to_us >= from_us)
        return TRUE;
    }
  return FALSE;
}

/* When another worker had the call that this one took with it; 0 if none did. */
static gint64
find_next_claim (Call *call, Actor *dead)
{
  gint64 next_us = 0;

  for (guint i = 0; i < call->claims->len; i++)
    {
      Claim *claim = &g_array_index (call->claims, Claim, i);

      if (claim->actor != dead->number && claim->time_us > dead->killed_us &&
          (next_us == 0 || claim->time_us < next_us))
        next_us = claim->time_us;
    }
  return next_us;
}

/* Whether another worker of this host listened when this one was killed, and until something came of it.
 * Where all were killed at once, it is the start of the next one that takes its time. */
static gboolean
had_witness (Checker *self, Actor *dead, gint64 until_us)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->actors);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Actor *actor = value;

      if (actor != dead && !actor->elsewhere && !actor->touched && actor->listens_us > 0 &&
          actor->listens_us < dead->killed_us && (actor->killed_us == 0 || actor->killed_us > until_us))
        return TRUE;
    }
  return FALSE;
}

static void
time_recovery (Checker *self, Call *call, Actor *dead, gint64 noticed_us)
{
  gint64 taken_us = noticed_us - dead->killed_us;
  gint64 next_us = find_next_claim (call, dead);

  if (dead->touched || taken_us < 0 || was_away (self, dead, dead->killed_us, MAX (noticed_us, next_us)))
    return;
  if (dead->elsewhere)
    {
      g_array_append_val (self->other_host, taken_us);
      return;
    }
  if (!had_witness (self, dead, noticed_us))
    return;
  g_array_append_val (self->noticed, taken_us);
  taken_us = next_us - dead->killed_us;
  if (next_us > 0 && had_witness (self, dead, next_us))
    g_array_append_val (self->elsewhere, taken_us);
}

/* @gone: whether the worker is said to be no more; else to have been silent for a lease, or to have been
 * written off already, for whatever reason. */
static void
judge_loss (Checker *self, Call *call, const char *key, Actor *actor, gint64 time_us, gboolean gone)
{
  gboolean was_told = actor->ended_us > 0 && actor->ended_us <= time_us;
  /* Nobody can give back to a store that takes nothing, nor renew there. */
  gboolean excused = actor->touched || was_away (self, actor, time_us - 10 * G_USEC_PER_SEC, time_us);

  if (was_told && !excused)
    checker_fault (self->findings, "worker %d ended in peace and left call '%s' behind", actor->number, key);
  else if (was_told)
    self->findings->n_late += !actor->touched;
  else if (actor->killed_us > 0 && actor->killed_us <= time_us)
    time_recovery (self, call, actor, time_us);
  else if (gone)
    checker_fault (self->findings, "call '%s' was taken from worker %d, who was alive", key, actor->number);
  else if (time_us - actor->begun_us < self->lease_us)
    checker_fault (self->findings, "call '%s' was taken from worker %d, who had not been there for a lease",
                   key, actor->number);
  else if (!excused)
    self->findings->n_late++;
}

/* A claim that ended with its worker. */
static void
check_loss (Checker *self, Call *call, const char *key, const char *owner, gint64 time_us,
            const char *message)
{
  g_autofree char *process = actors_dup_process (owner);
  Actor *actor = g_hash_table_lookup (self->processes, process);
  guint n;

  if (actor == NULL)
    {
      checker_fault (self->findings, "call '%s' was lost by '%s', who never was", key, owner);
      return;
    }
  n = GPOINTER_TO_UINT (g_hash_table_lookup (self->taken, actor->process)) + 1;
  g_hash_table_insert (self->taken, actor->process, GUINT_TO_POINTER (n));
  self->findings->most_taken = MAX (self->findings->most_taken, n);
  judge_loss (self, call, key, actor, time_us, strstr (message, "ended without finishing it") != NULL);
}

static Deaths
count_deaths (Checker *self, Call *call, StrandRecord *record)
{
  const char *key = strand_record_get_key (record);
  GVariant *causes = strand_record_get_variant (record, STRAND_FIELD_CAUSES);
  Deaths deaths = { 0 };
  GVariantIter iter;
  const char *owner, *domain, *nick, *message;
  gint64 time_us;

  if (causes == NULL)
    return deaths;
  g_variant_iter_init (&iter, causes);
  while (g_variant_iter_next (&iter, "(u&sx&s&si&s)", NULL, &owner, &time_us, &domain, &nick, NULL, &message))
    {
      deaths.lost_last = strstr (message, "worker ended without") != NULL ||
                         strstr (message, "worker did not renew") != NULL;
      if (deaths.lost_last)
        {
          deaths.n_losses++;
          check_loss (self, call, key, owner, time_us, message);
        }
      else if (strcmp (nick, "crashed") == 0 || strcmp (nick, "dead") == 0)
        deaths.n_crashes++;
    }
  return deaths;
}

/* The fence is the number of claims, and each of them has ended in one way. */
static void
check_sums (Checker *self, Call *call, StrandRecord *record, const Deaths *deaths)
{
  const char *key = strand_record_get_key (record);
  gint64 fence = strand_record_get_int (record, STRAND_FIELD_FENCE) & STRAND_FENCE_CLAIMS;
  gint64 attempt = strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
  gint64 crashes = strand_record_get_int (record, STRAND_FIELD_CRASHES);
  StrandStatus status = strand_record_get_status (record);
  gboolean by_holder =
      status == STRAND_STATUS_COMPLETED || (status == STRAND_STATUS_FAILED && !deaths->lost_last);
  gint64 n_returned = fence - MAX (attempt - 1, 0) - deaths->n_losses - by_holder;
  guint n_again = 0;

  if (crashes != deaths->n_losses + deaths->n_crashes)
    checker_fault (self->findings,
                   "call '%s' has %" G_GINT64_FORMAT " crashes and %u causes that tell of one", key, crashes,
                   deaths->n_losses + deaths->n_crashes);
  if (n_returned < 0)
    checker_fault (self->findings,
                   "call '%s' was claimed %" G_GINT64_FORMAT " times, with %" G_GINT64_FORMAT
                   " attempts and %u lost workers",
                   key, fence, attempt, deaths->n_losses);
  if (call->begun->len > fence)
    checker_fault (self->findings, "call '%s' ran %u times and was claimed %" G_GINT64_FORMAT " times", key,
                   call->begun->len, fence);
  for (guint i = 0; i < call->begun->len; i++)
    for (guint k = 0; k < i; k++)
      if (g_array_index (call->begun, Begun, i).attempt == g_array_index (call->begun, Begun, k).attempt)
        {
          n_again++;
          break;
        }
  if (n_again > deaths->n_losses + MAX (n_returned, 0))
    checker_fault (self->findings, "call '%s' ran %u times too often, and lost %u workers", key, n_again,
                   deaths->n_losses);
  self->findings->n_duplicates += n_again;
  self->findings->n_crashes += deaths->n_losses + deaths->n_crashes;
  if (status != STRAND_STATUS_CANCELLED)
    self->findings->n_returned += (guint) MAX (n_returned, 0);
}

static gboolean
has_claimed (Call *call, int actor, guint fence)
{
  for (guint i = 0; i < call->claims->len; i++)
    {
      Claim *claim = &g_array_index (call->claims, Claim, i);

      if (claim->actor == actor && claim->fence == fence)
        return TRUE;
    }
  return FALSE;
}

/* The value is that of the run under the fence that the record ended with. */
static void
check_winner (Checker *self, Call *call, StrandRecord *record)
{
  const char *key = strand_record_get_key (record);
  guint fence = (guint) strand_record_get_int (record, STRAND_FIELD_FENCE) & STRAND_FENCE_CLAIMS;
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = strand_record_dup_value (record, &error);
  Begun *begun;

  if (value == NULL || !g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      checker_fault (self->findings, "call '%s' has no good value: %s", key,
                     error != NULL ? error->message : "it is no text");
      return;
    }
  begun = find_begun (self, g_variant_get_string (value, NULL), key);
  if (begun == NULL || !begun->ended)
    checker_fault (self->findings, "call '%s' has the value of a run that never was or never ended", key);
  else if (begun->attempt != (guint) strand_record_get_int (record, STRAND_FIELD_ATTEMPT))
    checker_fault (self->findings, "call '%s' has the value of another attempt", key);
  else if (begun->fence != 0 && begun->fence != fence)
    checker_fault (self->findings, "call '%s' ended under fence %u with the value of fence %u", key, fence,
                   begun->fence);
  else if (!has_claimed (call, begun->actor, fence))
    checker_fault (self->findings, "call '%s' has the value of a worker that had not claimed fence %u", key,
                   fence);
}

static void
check_seen (Checker *self, StrandRecord *record)
{
  const char *key = strand_record_get_key (record);
  const Seen *seen = g_hash_table_lookup (self->seen, key);

  if (seen != NULL && (seen->revision != strand_record_get_revision (record) ||
                       seen->status != strand_record_get_status (record) ||
                       seen->fence != strand_record_get_int (record, STRAND_FIELD_FENCE)))
    checker_fault (self->findings,
                   "call '%s' had ended %s under fence %" G_GINT64_FORMAT
                   " and is %s under %" G_GINT64_FORMAT,
                   key, strand_status_to_string (seen->status), seen->fence,
                   strand_status_to_string (strand_record_get_status (record)),
                   strand_record_get_int (record, STRAND_FIELD_FENCE));
}

static void
count_end (Findings *findings, StrandRecord *record)
{
  g_autoptr(GError) error = NULL;

  switch (strand_record_get_status (record))
    {
    case STRAND_STATUS_COMPLETED:
      findings->n_completed++;
      break;
    case STRAND_STATUS_FAILED:
      findings->n_failed++;
      error = strand_record_dup_error (record);
      findings->n_dead += g_error_matches (error, STRAND_ERROR, STRAND_ERROR_DEAD);
      break;
    case STRAND_STATUS_CANCELLED:
      findings->n_cancelled++;
      break;
    case STRAND_STATUS_PENDING:
    case STRAND_STATUS_RUNNING:
    default:
      findings->n_lost++;
      checker_fault (findings, "call '%s' is %s, and nobody is left to run it",
                     strand_record_get_key (record),
                     strand_status_to_string (strand_record_get_status (record)));
    }
}

/* What does not fit is judged by all of it. */
static void
show_record (StrandRecord *record)
{
  g_autoptr(GBytes) json = strand_record_to_json (record);
  gsize size;
  const char *text = g_bytes_get_data (json, &size);
  g_autofree char *line = g_strchomp (g_strndup (text, size));

  g_test_message ("%s", line);
}

static void
check_record (Checker *self, StrandRecord *record)
{
  const char *key = strand_record_get_key (record);
  Call *call = get_call (self, key);
  gint64 fence = strand_record_get_int (record, STRAND_FIELD_FENCE) & STRAND_FENCE_CLAIMS;
  guint n_faults = self->findings->faults->len;
  Deaths deaths;

  if (call->has_record)
    checker_fault (self->findings, "call '%s' is listed twice", key);
  call->has_record = TRUE;
  self->findings->n_records++;
  count_end (self->findings, record);
  check_seen (self, record);
  for (guint i = 0; i < call->claims->len; i++)
    if (g_array_index (call->claims, Claim, i).fence > fence)
      checker_fault (self->findings, "call '%s' was claimed under fence %u and ended under %" G_GINT64_FORMAT,
                     key, g_array_index (call->claims, Claim, i).fence, fence);
  if (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER) != NULL)
    checker_fault (self->findings, "call '%s' has ended and still has a lease", key);
  deaths = count_deaths (self, call, record);
  check_sums (self, call, record, &deaths);
  if (strand_record_get_status (record) == STRAND_STATUS_COMPLETED)
    check_winner (self, call, record);
  if (self->findings->faults->len > n_faults && n_faults < MAX_SHOWN_RECORDS)
    show_record (record);
}

/* --- the whole ------------------------------------------------------------------------------------------ */

static void
read_store (Checker *self, StrandStore *store)
{
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, NULL, cursor, PAGE_SIZE, &error);

      g_clear_pointer (&cursor, g_free);
      if (page == NULL)
        {
          checker_fault (self->findings, "%s", error->message);
          return;
        }
      for (guint i = 0; i < strand_page_get_n_unreadable (page); i++)
        checker_fault (self->findings, "unreadable: %s", strand_page_get_unreadable (page, i, NULL));
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        check_record (self, strand_page_get_records (page)->pdata[i]);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  gint64 first = *(const gint64 *) a, second = *(const gint64 *) b;

  return (first > second) - (first < second);
}

static Times
summarize (GArray *times)
{
  Times summary = { .n = times->len };

  if (times->len == 0)
    return summary;
  g_array_sort (times, compare_times);
  summary.p50 = g_array_index (times, gint64, times->len / 2);
  summary.p99 = g_array_index (times, gint64, times->len * 99 / 100);
  summary.longest = g_array_index (times, gint64, times->len - 1);
  return summary;
}

static void
check_all (Checker *self)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->calls);
  while (g_hash_table_iter_next (&iter, &key, &value))
    if (((Call *) value)->accepted && !((Call *) value)->has_record)
      {
        self->findings->n_lost++;
        checker_fault (self->findings, "call '%s' was accepted and is not there", (char *) key);
      }
  if (self->findings->most_taken > WORKER_JOBS + WORKER_AHEAD)
    checker_fault (self->findings, "one worker took %u calls with it, and may have had %d",
                   self->findings->most_taken, WORKER_JOBS + WORKER_AHEAD);
  self->findings->noticed = summarize (self->noticed);
  self->findings->elsewhere = summarize (self->elsewhere);
  self->findings->other_host = summarize (self->other_host);
}

void
checker_look (Findings *findings, const char *log, StrandStore *store, GHashTable *seen, gint64 lease_us)
{
  Checker self = { .findings = findings, .seen = seen, .lease_us = lease_us };

  memset (findings, 0, sizeof *findings);
  findings->faults = g_ptr_array_new_with_free_func (g_free);
  self.calls = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, call_free);
  self.runs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self.actors = g_hash_table_new_full (NULL, NULL, NULL, actor_free);
  self.processes = g_hash_table_new (g_str_hash, g_str_equal);
  self.taken = g_hash_table_new (g_str_hash, g_str_equal);
  self.outages = g_array_new (FALSE, FALSE, sizeof (Outage));
  self.noticed = g_array_new (FALSE, FALSE, sizeof (gint64));
  self.elsewhere = g_array_new (FALSE, FALSE, sizeof (gint64));
  self.other_host = g_array_new (FALSE, FALSE, sizeof (gint64));

  read_log (&self, log);
  read_store (&self, store);
  check_all (&self);

  g_array_unref (self.other_host);
  g_array_unref (self.elsewhere);
  g_array_unref (self.noticed);
  g_array_unref (self.outages);
  g_hash_table_unref (self.taken);
  g_hash_table_unref (self.processes);
  g_hash_table_unref (self.actors);
  g_hash_table_unref (self.runs);
  g_hash_table_unref (self.calls);
}
