/* queue.c — strand queue: how queues stand, and what an operator can do to them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <string.h>

static struct
{
  gint64 older_than_us;
  gint64 timeout_us;
} given = { .timeout_us = -1 };

const Option queue_options[] = {
  { 0, "older-than", OPTION_DURATION, &given.older_than_us, "DURATION",
    "purge: only calls that were launched longer ago" },
  { 0, "timeout", OPTION_DURATION, &given.timeout_us, "DURATION", "drain: wait no longer than that" },
  { 0 },
};

/* What is done to each queue that is named. */
typedef Status (*QueueFunc) (Session *session, StrandStore *store, const char *name);

static void
append_info_json (GString *json, StrandQueueInfo *info)
{
  g_string_append_c (json, '{');
  output_json_member (json, "queue", info->name);
  g_string_append_printf (json,
                          ",\"paused\":%s,\"due\":%" G_GINT64_FORMAT ",\"delayed\":%" G_GINT64_FORMAT
                          ",\"running\":%" G_GINT64_FORMAT ",\"failed\":%" G_GINT64_FORMAT
                          ",\"dead\":%" G_GINT64_FORMAT ",\"workers\":%u",
                          info->paused ? "true" : "false", info->n_due, info->n_delayed, info->n_running,
                          info->n_failed, info->n_dead, info->n_workers);
  if (info->oldest_us > 0)
    g_string_append_printf (json, ",\"oldest\":%" G_GINT64_FORMAT, info->oldest_us);
  if (info->per_minute >= 0)
    {
      char number[G_ASCII_DTOSTR_BUF_SIZE];

      g_string_append_printf (json, ",\"per-minute\":%s",
                              g_ascii_formatd (number, sizeof number, "%.1f", info->per_minute));
    }
  g_string_append_printf (json, ",\"estimated\":%s}", info->estimated ? "true" : "false");
}

/* How long the call that is due longest has waited. */
static char *
dup_age (StrandQueueInfo *info)
{
  return info->oldest_us > 0 ? output_dup_duration (MAX (strand_clock_now_us () - info->oldest_us, 0)) : NULL;
}

static char *
dup_rate (StrandQueueInfo *info)
{
  return info->per_minute >= 0 ? g_strdup_printf ("%.1f", info->per_minute) : NULL;
}

static Status
print_json (GPtrArray *infos)
{
  GString *json = g_string_new ("[");

  for (guint i = 0; i < infos->len; i++)
    {
      if (i > 0)
        g_string_append_c (json, ',');
      append_info_json (json, g_ptr_array_index (infos, i));
    }
  g_string_append_c (json, ']');
  output_json (json);
  return STATUS_DONE;
}

static Status
list (Session *session, StrandStore *store)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) infos = strand_queue_list (store, &error);
  g_autoptr(Table) table = NULL;

  if (infos == NULL)
    return session_complain (error);
  if (session->json)
    return print_json (infos);
  table = table_new ("QUEUE", "STATE", "DUE", "DELAYED", "RUNNING", "FAILED", "OLDEST", "PER-MINUTE",
                     "WORKERS", NULL);
  for (guint i = 0; i < infos->len; i++)
    {
      StrandQueueInfo *info = g_ptr_array_index (infos, i);
      g_autofree char *due = g_strdup_printf ("%" G_GINT64_FORMAT, info->n_due);
      g_autofree char *delayed = g_strdup_printf ("%" G_GINT64_FORMAT, info->n_delayed);
      g_autofree char *running = g_strdup_printf ("%" G_GINT64_FORMAT, info->n_running);
      g_autofree char *failed = g_strdup_printf ("%" G_GINT64_FORMAT, info->n_failed);
      g_autofree char *workers = g_strdup_printf ("%u", info->n_workers);
      g_autofree char *age = dup_age (info);
      g_autofree char *rate = dup_rate (info);

      table_add (table, info->name, info->paused ? "paused" : "open", due, delayed, running, failed, age,
                 rate, workers);
    }
  table_print (table);
  return STATUS_DONE;
}

static void
print_number (const char *name, gint64 number)
{
  output_format ("%-11s %" G_GINT64_FORMAT "\n", name, number);
}

static Status
show (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandQueueInfo) info = strand_queue_show (store, name, &error);
  g_autofree char *age = NULL;
  g_autofree char *rate = NULL;

  if (info == NULL)
    return session_complain (error);
  if (session->json)
    {
      GString *json = g_string_new (NULL);

      append_info_json (json, info);
      output_json (json);
      return STATUS_DONE;
    }
  age = dup_age (info);
  rate = dup_rate (info);
  output_format ("%-11s %s\n%-11s %s\n", "queue", info->name, "state", info->paused ? "paused" : "open");
  print_number ("due", info->n_due);
  print_number ("delayed", info->n_delayed);
  print_number ("running", info->n_running);
  print_number ("failed", info->n_failed);
  print_number ("dead", info->n_dead);
  print_number ("workers", info->n_workers);
  output_format ("%-11s %s\n%-11s %s\n", "oldest", age != NULL ? age : "-", "per minute",
                 rate != NULL ? rate : "-");
  if (info->estimated)
    output_text ("There are so many calls that some numbers are estimates.\n");
  return STATUS_DONE;
}

static Status
pause_queue (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;

  return strand_queue_pause (store, name, &error) ? STATUS_DONE : session_complain (error);
}

static Status
resume_queue (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;

  return strand_queue_resume (store, name, &error) ? STATUS_DONE : session_complain (error);
}

static Status
drain_queue (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;

  return strand_queue_drain (store, name, given.timeout_us, &error) ? STATUS_DONE : session_complain (error);
}

static Status
purge_queue (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;
  gint64 n_purged = strand_queue_purge (store, name, given.older_than_us, &error);
  GString *json;

  if (n_purged < 0)
    return session_complain (error);
  if (!session->json)
    {
      if (!session->quiet)
        output_format ("%" G_GINT64_FORMAT "\n", n_purged);
      return STATUS_DONE;
    }
  json = g_string_new ("{");
  output_json_member (json, "queue", name);
  g_string_append_printf (json, ",\"cancelled\":%" G_GINT64_FORMAT "}", n_purged);
  output_json (json);
  return STATUS_DONE;
}

/* --- workers
 * ------------------------------------------------------------------------------------------------ */

/* What a worker says of itself: anybody may have written it. */
typedef struct
{
  const char *host;
  const char *queues;
  gint64 pid;
  guint32 jobs;
} Worker;

static Worker
read_worker (StrandRecord *record)
{
  GVariant *metadata = strand_record_get_variant (record, STRAND_FIELD_METADATA);
  Worker worker = { "", "", -1, 0 };

  g_variant_lookup (metadata, "host", "&s", &worker.host);
  g_variant_lookup (metadata, "queues", "&s", &worker.queues);
  g_variant_lookup (metadata, "pid", "x", &worker.pid);
  g_variant_lookup (metadata, "jobs", "u", &worker.jobs);
  return worker;
}

static void
append_worker_json (GString *json, StrandRecord *record)
{
  Worker worker = read_worker (record);

  if (json->len > 1)
    g_string_append_c (json, ',');
  g_string_append_c (json, '{');
  output_json_member (json, "key", strand_record_get_key (record));
  output_json_member (json, "host", worker.host);
  output_json_member (json, "queues", worker.queues);
  g_string_append_printf (json, ",\"pid\":%" G_GINT64_FORMAT ",\"jobs\":%u,\"since\":%" G_GINT64_FORMAT "}",
                          worker.pid, worker.jobs, strand_record_get_int (record, STRAND_FIELD_CREATED));
}

/* @name: (nullable) */
static Status
list_workers (Session *session, StrandStore *store, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) workers = strand_queue_list_workers (store, name, &error);
  g_autoptr(Table) table = NULL;
  GString *json = session->json ? g_string_new ("[") : NULL;

  if (workers == NULL)
    {
      if (json != NULL)
        g_string_free (json, TRUE);
      return session_complain (error);
    }
  table = table_new ("HOST", "PID", "JOBS", "QUEUES", "SINCE", NULL);
  for (guint i = 0; i < workers->len; i++)
    {
      StrandRecord *record = g_ptr_array_index (workers, i);
      Worker worker = read_worker (record);
      g_autofree char *pid = g_strdup_printf ("%" G_GINT64_FORMAT, worker.pid);
      g_autofree char *jobs = g_strdup_printf ("%u", worker.jobs);
      g_autofree char *since = output_dup_time (strand_record_get_int (record, STRAND_FIELD_CREATED));

      if (json != NULL)
        append_worker_json (json, record);
      else
        table_add (table, worker.host, pid, jobs, worker.queues, since);
    }
  table_print (table);
  if (json == NULL)
    return STATUS_DONE;
  g_string_append_c (json, ']');
  output_json (json);
  return STATUS_DONE;
}

/* --- the command -------------------------------------------------------------------------------------------
 */

static const struct
{
  const char *name;
  QueueFunc run; /* for each queue; NULL for list */
  gboolean needs_queue;
} actions[] = {
  { "list", NULL, FALSE },
  { "show", show, TRUE },
  { "pause", pause_queue, TRUE },
  { "resume", resume_queue, TRUE },
  { "drain", drain_queue, TRUE },
  { "purge", purge_queue, TRUE },
  { "workers", list_workers, FALSE },
};

static Status
for_each_queue (Session *session, StrandStore *store, QueueFunc run, char **names)
{
  Status first = STATUS_DONE;

  for (guint i = 0; names[i] != NULL; i++)
    {
      Status status = run (session, store, names[i]);

      if (first == STATUS_DONE)
        first = status;
    }
  return first;
}

static int
find_action (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (actions); i++)
    if (strcmp (actions[i].name, name) == 0)
      return (int) i;
  return -1;
}

Status
queue_run (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  char **names = arguments[0] != NULL ? arguments + 1 : arguments;
  int action = arguments[0] != NULL ? find_action (arguments[0]) : 0;

  if (action < 0)
    return session_usage (session, "There is nothing called '%s' to do to a queue", arguments[0]);
  if (actions[action].needs_queue && names[0] == NULL)
    return session_usage (session, "Which queue?");
  if (actions[action].run == NULL && names[0] != NULL)
    return session_usage (session, "list takes no queue; show does");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  if (actions[action].run == NULL)
    return list (session, store);
  if (names[0] == NULL)
    return actions[action].run (session, store, NULL);
  return for_each_queue (session, store, actions[action].run, names);
}
