/* map.c — strand map: one call for each line of input, values in input order.
 *
 * Calls stand in a queue in the order of their lines. At most `--jobs` of them run; the one at the head is
 * printed as soon as it has ended, so memory holds the calls between the first unfinished line and the last
 * one read, and that distance is limited. Everything here runs on the main thread.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <string.h>

/* How far the reading may run ahead of a slow call at the head. */
#define MAX_QUEUED 10000

static struct
{
  char *input;
  gboolean nul;
  gboolean files;
  gint64 jobs;
  gint64 timeout_us;
} given = { .timeout_us = STRAND_UNSET };

const Option map_options[] = {
  { 'i', "input", OPTION_TEXT, &given.input, "FILE", "Read lines from FILE; '-' or nothing is stdin" },
  { '0', "null", OPTION_FLAG, &given.nul, NULL,
    "Lines end in NUL instead of newline, as find -print0 writes" },
  { 0, "files", OPTION_FLAG, &given.files, NULL,
    "Lines are file names of any bytes: one that is not UTF-8 is passed as a file: URI" },
  { 'j', "jobs", OPTION_NUMBER, &given.jobs, "N", "At most N calls at once; default: 4 for each processor" },
  { 0, "timeout", OPTION_DURATION, &given.timeout_us, "DURATION", "Stop a call that runs longer" },
  { 0 },
};

typedef struct
{
  Session *session;
  StrandFunction *function;
  StrandTask *task;
  StrandOptions *options;
  Input *input;
  gboolean whole_lines;
  gboolean reading_over;
  gboolean interrupted;
  gboolean unwanted; /* nobody reads the values any more */
  gboolean failed_reading;
  GQueue calls; /* of Item */
  guint max_running;
  guint n_running;
  guint64 n_lines, n_done, n_failed, n_cancelled, n_timed_out;
  gint64 started_us;
} Map;

typedef struct
{
  Map *map;
  guint64 number; /* of its line, from 1 */
  char *line;
  StrandHandle *handle; /* NULL where the line could not be understood */
  GError *error;        /* then why */
  gboolean ended;
} Item;

static void
item_free (Item *item)
{
  g_free (item->line);
  g_clear_object (&item->handle);
  g_clear_error (&item->error);
  g_free (item);
}

/* Text that names the file to whoever takes names as strings; see demo.sha256. */
static char *
dup_file_text (const char *name, GError **error)
{
  g_autofree char *path = NULL;

  if (g_utf8_validate (name, -1, NULL) && !g_str_has_prefix (name, "file:"))
    return g_strdup (name);
  path = g_canonicalize_filename (name, NULL);
  return g_filename_to_uri (path, NULL, error);
}

static GVariant *
parse_whole (Map *map, const char *line, GError **error)
{
  g_autofree char *text = given.files ? dup_file_text (line, error) : g_strdup (line);

  if (text == NULL)
    return NULL;
  if (!g_utf8_validate (text, -1, NULL))
    {
      g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                           "the line is not UTF-8 text; if lines are file names, use --files");
      return NULL;
    }
  return g_variant_ref_sink (g_variant_new ("(s)", text));
}

static GVariant *
parse_split (Map *map, const char *line, GError **error)
{
  g_auto(GStrv) words = NULL;
  g_autoptr(GError) local = NULL;

  if (!g_shell_parse_argv (line, NULL, &words, &local))
    {
      if (!g_error_matches (local, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
      words = g_new0 (char *, 1);
    }
  for (guint i = 0; given.files && words[i] != NULL; i++)
    {
      char *text = dup_file_text (words[i], error);

      if (text == NULL)
        return NULL;
      g_free (words[i]);
      words[i] = text;
    }
  return arguments_parse (map->function, (const char *const *) words, NULL, error);
}

static void advance (gpointer data);

static void
on_ended (GObject *object, GAsyncResult *result, gpointer user_data)
{
  GVariant *value = strand_handle_wait_finish (STRAND_HANDLE (object), result, NULL);
  Item *item = user_data;

  /* How it ended is asked of the handle. */
  g_clear_pointer (&value, g_variant_unref);
  item->ended = TRUE;
  item->map->n_running--;
  advance (item->map);
}

static void
launch_line (Map *map, GBytes *piece)
{
  gsize length;
  const char *data = g_bytes_get_data (piece, &length);
  g_autoptr(GVariant) arguments = NULL;
  Item *item = g_new0 (Item, 1);

  item->map = map;
  item->number = ++map->n_lines;
  item->line = g_strndup (length > 0 ? data : "", length); /* empty bytes have no data */
  g_queue_push_tail (&map->calls, item);

  if (strlen (item->line) != length)
    g_set_error_literal (&item->error, STRAND_ERROR, STRAND_ERROR_TYPE, "the line has a NUL byte; use -0?");
  else
    arguments = (map->whole_lines ? parse_whole : parse_split) (map, item->line, &item->error);
  if (arguments == NULL)
    {
      item->ended = TRUE;
      return;
    }
  map->n_running++;
  item->handle = strand_task_call_full (map->task, arguments, NULL, map->options);
  strand_handle_wait_async (item->handle, NULL, on_ended, item);
}

static void
print_item_json (Item *item, GVariant *value, const GError *error)
{
  GString *json = g_string_new ("{");

  output_json_member (json, "input", item->line);
  if (item->handle != NULL)
    {
      output_json_member (json, "key", strand_handle_get_key (item->handle));
      output_json_member (json, "status", strand_status_to_string (strand_handle_get_status (item->handle)));
    }
  else
    output_json_member (json, "status", "failed");
  if (value != NULL)
    {
      output_json_member (json, "type", g_variant_get_type_string (value));
      g_string_append (json, ",\"value\":");
      if (!strand_json_append_variant (json, value))
        g_string_append (json, "null");
    }
  if (error != NULL)
    output_json_error (json, error);
  g_string_append_c (json, '}');
  output_json (json);
}

static void
count_end (Map *map, Item *item, const GError *error)
{
  StrandStatus status = item->handle != NULL ? strand_handle_get_status (item->handle) : STRAND_STATUS_FAILED;

  if (error == NULL)
    map->n_done++;
  else if (status == STRAND_STATUS_CANCELLED)
    map->n_cancelled++;
  else
    map->n_failed++;
  if (item->handle != NULL && status_of_call (status, error) == STATUS_TIMED_OUT)
    map->n_timed_out++;
}

static void
print_end (Map *map, Item *item)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;

  if (item->handle != NULL)
    value = strand_handle_get_result (item->handle, &error);
  else
    error = g_error_copy (item->error);
  count_end (map, item, error);

  if (map->session->json)
    print_item_json (item, value, error);
  else if (value == NULL || g_variant_is_of_type (value, G_VARIANT_TYPE_UNIT))
    output_text ("\n");
  else
    output_value (value);

  /* What Ctrl-C cancelled is counted in the last message, not named line by line. */
  if (error != NULL && !map->interrupted && !map->unwanted)
    {
      g_autofree char *line = output_dup_printable (item->line);

      session_say ("line %" G_GUINT64_FORMAT " '%.200s': %s", item->number, line, error->message);
    }
}

static void
print_ended (Map *map)
{
  while (!g_queue_is_empty (&map->calls) && ((Item *) g_queue_peek_head (&map->calls))->ended)
    {
      Item *item = g_queue_pop_head (&map->calls);

      print_end (map, item);
      item_free (item);
    }
}

static void
stop (Map *map)
{
  map->reading_over = TRUE;
  for (GList *link = map->calls.head; link != NULL; link = link->next)
    if (((Item *) link->data)->handle != NULL)
      strand_handle_cancel (((Item *) link->data)->handle);
}

static void
read_lines (Map *map)
{
  while (!map->reading_over && map->n_running < map->max_running && map->calls.length < MAX_QUEUED)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(GBytes) piece = input_next (map->input, advance, map, &error);

      if (piece != NULL)
        {
          launch_line (map, piece);
          continue;
        }
      if (error != NULL)
        {
          session_complain (error);
          map->failed_reading = map->reading_over = TRUE;
        }
      if (input_is_at_end (map->input))
        map->reading_over = TRUE;
      return;
    }
}

static void
show_progress (Map *map)
{
  guint64 n_ended = map->n_done + map->n_failed + map->n_cancelled;
  double seconds = (double) (g_get_monotonic_time () - map->started_us) / G_USEC_PER_SEC;
  g_autofree char *text = NULL;

  if (!progress_is_shown ())
    return;
  text = g_strdup_printf ("%" G_GUINT64_FORMAT " done%s, %u running, %.0f/s", n_ended,
                          map->n_failed > 0 ? ", some failed" : "", map->n_running,
                          (double) n_ended / MAX (seconds, 0.1));
  progress_set (input_get_fraction (map->input), text);
}

/* Whenever something has ended or more has been read. */
static void
advance (gpointer data)
{
  Map *map = data;

  print_ended (map);
  /* Values go on as they come; where nobody takes them, the rest need not run. */
  if (!map->unwanted && !output_flush ())
    {
      map->unwanted = TRUE;
      stop (map);
    }
  read_lines (map);
  show_progress (map);
}

static void
on_interrupt (gpointer user_data)
{
  Map *map = user_data;

  map->interrupted = TRUE;
  stop (map);
}

static Status
report (Map *map)
{
  double seconds = (double) (g_get_monotonic_time () - map->started_us) / G_USEC_PER_SEC;

  progress_hide ();
  if (map->interrupted)
    {
      session_say ("interrupted after %" G_GUINT64_FORMAT " lines: %" G_GUINT64_FORMAT
                   " done, %" G_GUINT64_FORMAT " failed, %" G_GUINT64_FORMAT " cancelled",
                   map->n_lines, map->n_done, map->n_failed, map->n_cancelled);
      return STATUS_CANCELLED;
    }
  if (map->unwanted)
    return STATUS_DONE;
  if (progress_is_shown () || (map->n_failed > 0 && !map->session->quiet))
    session_say ("%" G_GUINT64_FORMAT " lines: %" G_GUINT64_FORMAT " done, %" G_GUINT64_FORMAT
                 " failed, in %.1f s",
                 map->n_lines, map->n_done, map->n_failed, seconds);
  if (map->n_failed > map->n_timed_out || map->failed_reading)
    return STATUS_FAILED;
  if (map->n_timed_out > 0)
    return STATUS_TIMED_OUT;
  return map->n_cancelled > 0 ? STATUS_CANCELLED : STATUS_DONE;
}

static Status
run_map (Map *map)
{
  Status status;

  map->started_us = g_get_monotonic_time ();
  interrupt_catch (on_interrupt, map);
  advance (map);
  while (!map->reading_over || !g_queue_is_empty (&map->calls))
    {
      /* Nothing in flight and nothing to wait for: lines that ended at once. */
      if (!g_queue_is_empty (&map->calls) && ((Item *) g_queue_peek_head (&map->calls))->ended)
        advance (map);
      else
        g_main_context_iteration (NULL, TRUE);
    }
  output_flush ();
  status = report (map);
  g_clear_pointer (&map->input, input_free);
  return status;
}

Status
map_run (Session *session, char **arguments)
{
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GObject) target = NULL;
  g_autoptr(GError) error = NULL;
  static Map map; /* the signal thread keeps it */

  if (arguments[0] == NULL)
    return session_usage (session, "Which function is to run?");
  if (arguments[1] != NULL)
    return session_usage (session, "'map' takes its arguments from its input; '%.100s' is too many",
                          arguments[1]);
  if (!session_load (session, &error) ||
      (function = session_lookup (session, arguments[0], &error)) == NULL ||
      (task = session_make_task (session, function, &target, &error)) == NULL)
    return session_complain (error);
  map.input = input_open (given.input != NULL ? given.input : "-", given.nul ? '\0' : '\n', &error);
  if (map.input == NULL)
    {
      session_complain (error);
      return STATUS_USAGE;
    }

  if (given.timeout_us != STRAND_UNSET)
    strand_options_set_timeout (options, given.timeout_us);
  map.session = session;
  map.function = function;
  map.task = task;
  map.options = options;
  map.whole_lines = arguments_is_one_string (function);
  map.max_running = given.jobs > 0 ? (guint) given.jobs : 4 * g_get_num_processors ();
  return run_map (&map);
}
