/* run.c — strand run: one call, from its arguments to its value.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

static struct
{
  gboolean items;
} given;

const Option run_options[] = {
  { 0, "items", OPTION_FLAG, &given.items, NULL, "Print each item as it is emitted" },
  { 0 },
};

typedef struct
{
  Session *session;
  StrandHandle *handle;
  gboolean interrupted;
  gboolean ended;
} Run;

static void
show_progress (StrandHandle *handle, GParamSpec *pspec, gpointer user_data)
{
  g_autofree char *message = strand_handle_dup_message (handle);
  double fraction = strand_handle_get_progress (handle);

  if (fraction >= 0 || message != NULL)
    progress_set (fraction, message != NULL ? message : "");
}

static gboolean
print_item (StrandCall *call, GVariant *item, gpointer user_data, GError **error)
{
  Run *run = user_data;

  if (run->session->json)
    {
      GString *json = g_string_new ("{\"item\":");

      strand_json_append_variant (json, item);
      g_string_append_c (json, '}');
      output_json (json);
    }
  else
    output_value (item);
  if (output_flush ())
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, "Nobody reads the items any more");
  return FALSE;
}

static void
on_interrupt (gpointer user_data)
{
  Run *run = user_data;

  run->interrupted = TRUE;
  if (run->handle != NULL)
    strand_handle_cancel (run->handle);
}

static void
on_ended (GObject *object, GAsyncResult *result, gpointer user_data)
{
  GVariant *value = strand_handle_wait_finish (STRAND_HANDLE (object), result, NULL);
  Run *run = user_data;

  /* How it ended is asked of the handle. */
  g_clear_pointer (&value, g_variant_unref);
  run->ended = TRUE;
}

static void
print_json (StrandHandle *handle, GVariant *value, const GError *error)
{
  GString *json = g_string_new ("{");

  output_json_member (json, "key", strand_handle_get_key (handle));
  output_json_member (json, "status", strand_status_to_string (strand_handle_get_status (handle)));
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
say_how_far (StrandHandle *handle)
{
  double progress = strand_handle_get_progress (handle);
  g_autofree char *message = strand_handle_dup_message (handle);
  g_autofree char *percent = progress >= 0 ? g_strdup_printf (" at %d %%", (int) (progress * 100)) : NULL;

  session_say ("interrupted: the call '%s' was cancelled%s%s%s%s", strand_handle_get_key (handle),
               percent != NULL ? percent : "", message != NULL ? " (" : "", message != NULL ? message : "",
               message != NULL ? ")" : "");
}

static Status
report (Run *run)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = strand_handle_get_result (run->handle, &error);
  StrandStatus status = strand_handle_get_status (run->handle);
  GObject *object = strand_handle_get_object (run->handle);

  progress_hide ();
  if (run->session->json)
    print_json (run->handle, value, error);
  else if (object != NULL)
    output_format ("an object of type %s\n", G_OBJECT_TYPE_NAME (object));
  else if (value != NULL)
    output_value (value);

  if (run->interrupted && status == STRAND_STATUS_CANCELLED)
    say_how_far (run->handle);
  else if (error != NULL)
    session_complain (error);
  return status_of_call (status, error);
}

static Status
call (Run *run, StrandTask *task, GObject *target, GVariant *arguments)
{
  g_autoptr(StrandOptions) options = call_options_make ();
  Status status;

  if (given.items)
    strand_task_on_iter (task, print_item, run, NULL);
  interrupt_catch (on_interrupt, run);

  interrupt_set_inline (STRAND_IS_TASKRUNNER (target) &&
                        (strand_taskrunner_get_traits (STRAND_TASKRUNNER (target)) & STRAND_RUNNER_INLINE) !=
                            0);
  run->handle = strand_task_call_full (task, arguments, NULL, options);
  interrupt_set_inline (FALSE);
  if (run->interrupted)
    strand_handle_cancel (run->handle);

  g_signal_connect (run->handle, "notify", G_CALLBACK (show_progress), NULL);
  strand_handle_wait_async (run->handle, NULL, on_ended, run);
  while (!run->ended)
    g_main_context_iteration (NULL, TRUE);
  status = report (run);
  g_clear_object (&run->handle);
  return status;
}

Status
run_run (Session *session, char **arguments)
{
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(GObject) target = NULL;
  g_autoptr(GVariant) tuple = NULL;
  g_autoptr(GError) error = NULL;
  static Run run; /* the signal thread keeps it */

  run.session = session;
  if (arguments[0] == NULL)
    return session_usage (session, "Which function is to run?");
  if (!session_load (session, &error) ||
      (tuple = call_options_parse (session, arguments, &function, &error)) == NULL ||
      (task = session_make_task (session, function, &target, &error)) == NULL)
    return session_complain (error);
  return call (&run, task, target, tuple);
}
