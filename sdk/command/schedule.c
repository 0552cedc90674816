/* schedule.c — strand schedule: the keyfile's schedules, and what the store says of them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <string.h>

/* What one of the subcommands does with one schedule. FALSE with an error. */
typedef gboolean (*ScheduleFunc) (Session *session, StrandSchedule *schedule, GError **error);

static StrandSchedule *
ref_schedule (Session *session, const char *name, GError **error)
{
  return STRAND_SCHEDULE (strand_stack_ref_object (session->stack, STRAND_KIND_SCHEDULE, name, error));
}

/* "every 5min", or the cron line. */
static char *
describe_times (StrandSchedule *schedule)
{
  gint64 every_us;
  g_autofree char *cron = NULL;
  g_autofree char *zone = NULL;
  g_autofree char *every = NULL;

  g_object_get (schedule, "every", &every_us, "cron", &cron, "time-zone", &zone, NULL);
  if (cron != NULL)
    return g_strdup_printf ("%s %s", cron, zone);
  every = strand_duration_to_string (every_us);
  return g_strdup_printf ("every %s", every);
}

typedef struct
{
  gint64 next_us, last_us;
  char *last_key;
  gboolean paused;
} State;

static void
print_json (StrandSchedule *schedule, const State *state, gboolean first)
{
  GString *json = g_string_new (first ? "{" : ",\n{");
  g_autofree char *times = describe_times (schedule);
  g_autofree char *function = NULL;

  g_object_get (schedule, "function", &function, NULL);
  output_json_member (json, "name", strand_schedule_get_name (schedule));
  output_json_member (json, "function", function);
  output_json_member (json, "times", times);
  g_string_append_printf (json, ",\"paused\":%s", state->paused ? "true" : "false");
  g_string_append_printf (json, ",\"next\":%" G_GINT64_FORMAT, state->next_us);
  g_string_append_printf (json, ",\"last\":%" G_GINT64_FORMAT, state->last_us);
  output_json_member (json, "last-key", state->last_key);
  g_string_append_c (json, '}');
  output_text (json->str);
  g_string_free (json, TRUE);
}

static void
add_row (Table *table, StrandSchedule *schedule, const State *state)
{
  g_autofree char *times = describe_times (schedule);
  g_autofree char *next = state->next_us > 0 ? output_dup_time (state->next_us) : g_strdup ("-");
  g_autofree char *last = state->last_us > 0 ? output_dup_time (state->last_us) : g_strdup ("-");
  g_autofree char *function = NULL;

  g_object_get (schedule, "function", &function, NULL);
  table_add (table, strand_schedule_get_name (schedule),
             state->paused        ? "paused"
             : state->next_us > 0 ? "waiting"
                                  : "new",
             next, last, function, times);
}

static Status
list (Session *session, char **arguments)
{
  g_auto(GStrv) names = strand_stack_list_schedules (session->stack);
  g_autoptr(Table) table = table_new ("NAME", "STATE", "NEXT", "LAST", "FUNCTION", "WHEN", NULL);
  Status status = STATUS_DONE;
  gboolean first = TRUE;

  if (session->json)
    output_text ("[");
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandSchedule) schedule = ref_schedule (session, names[i], &error);
      State state = { 0 };

      if (schedule == NULL || !strand_schedule_get_state (schedule, &state.next_us, &state.last_us,
                                                          &state.last_key, &state.paused, &error))
        {
          status = session_complain (error);
          continue;
        }
      if (session->json)
        print_json (schedule, &state, first);
      else
        add_row (table, schedule, &state);
      first = FALSE;
      g_free (state.last_key);
    }
  if (session->json)
    output_text ("]\n");
  else
    table_print (table);
  if (first && status == STATUS_DONE && !session->json && !session->quiet)
    session_say ("there is no [schedule NAME] in %s",
                 session->config != NULL ? session->config : "the built-in stack");
  return status;
}

static gboolean
run_now (Session *session, StrandSchedule *schedule, GError **error)
{
  g_autofree char *key = strand_schedule_run (schedule, error);
  GString *json;

  if (key == NULL)
    return FALSE;
  if (!session->json)
    {
      output_format ("%s\n", key);
      return TRUE;
    }
  json = g_string_new ("{");
  output_json_member (json, "key", key);
  output_json_member (json, "status", "pending");
  g_string_append_c (json, '}');
  output_json (json);
  return TRUE;
}

static gboolean
pause_schedule (Session *session, StrandSchedule *schedule, GError **error)
{
  return strand_schedule_set_paused (schedule, TRUE, error);
}

static gboolean
resume_schedule (Session *session, StrandSchedule *schedule, GError **error)
{
  return strand_schedule_set_paused (schedule, FALSE, error);
}

static Status
for_each_name (Session *session, char **names, ScheduleFunc func)
{
  Status status = STATUS_DONE;

  if (names[0] == NULL)
    return session_usage (session, "Which schedule?");
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandSchedule) schedule = ref_schedule (session, names[i], &error);

      if (schedule != NULL && func (session, schedule, &error))
        continue;
      if (status == STATUS_DONE)
        status = session_complain (error);
      else
        session_complain (error);
    }
  return status;
}

Status
schedule_run (Session *session, char **arguments)
{
  static const struct
  {
    const char *name;
    ScheduleFunc func;
  } verbs[] = { { "run", run_now }, { "pause", pause_schedule }, { "resume", resume_schedule } };
  const char *verb = arguments[0] != NULL ? arguments[0] : "list";
  g_autoptr(GError) error = NULL;

  if (!session_load (session, &error))
    return session_complain (error);
  if (strcmp (verb, "list") == 0)
    return arguments[0] == NULL || arguments[1] == NULL
               ? list (session, arguments)
               : session_usage (session, "'schedule list' takes no names");
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (verb, verbs[i].name) == 0)
      return for_each_name (session, arguments + 1, verbs[i].func);
  return session_usage (session, "'%.100s' is none of list, run, pause, resume", verb);
}
