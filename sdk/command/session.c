/* session.c — the stack, functions and stores that the global options choose, and how failure is told.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <stdio.h>
#include <string.h>

/* Longer than any last write takes; then the program ends all the same. */
#define CLOSE_US (10 * G_USEC_PER_SEC)

Status
status_of_error (const GError *error)
{
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return STATUS_CANCELLED;
  if (error->domain == STRAND_PLUGIN_ERROR)
    return STATUS_USAGE;
  if (error->domain != STRAND_ERROR)
    return STATUS_FAILED;

  switch ((StrandError) error->code)
    {
    case STRAND_ERROR_INVALID_ARGUMENT:
    case STRAND_ERROR_INVALID_KEY:
    case STRAND_ERROR_UNKNOWN_FUNCTION:
    case STRAND_ERROR_UNKNOWN_TARGET:
    case STRAND_ERROR_TYPE:
    case STRAND_ERROR_UNSAFE:
    case STRAND_ERROR_CONFIG:
      return STATUS_USAGE;

    case STRAND_ERROR_WAIT_TIMED_OUT:
    case STRAND_ERROR_TIMED_OUT:
      return STATUS_TIMED_OUT;

    case STRAND_ERROR_NOT_FOUND:
      return STATUS_NO_KEY;

    default:
      return STATUS_FAILED;
    }
}

/* A function may fail with any error, also with one that would mean something else coming from us. */
Status
status_of_call (StrandStatus status, const GError *error)
{
  if (status == STRAND_STATUS_CANCELLED)
    return STATUS_CANCELLED;
  if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_TIMED_OUT))
    return STATUS_TIMED_OUT;
  if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_UNSAFE))
    return STATUS_USAGE;
  return error != NULL ? STATUS_FAILED : STATUS_DONE;
}

/* Messages may hold anything that a file or a function says: no control character reaches the terminal. */
static void
print_message (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);

  for (char *p = valid; *p != '\0'; p++)
    if (g_ascii_iscntrl (*p) && *p != '\n' && *p != '\t')
      *p = '?';
  output_flush ();
  progress_hide ();
  fprintf (stderr, "strand: %s\n", valid);
}

Status
session_complain (const GError *error)
{
  print_message (error->message);
  return status_of_error (error);
}

void
session_say (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  print_message (text);
}

Status
session_usage (Session *session, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  print_message (text);
  if (session->command != NULL)
    fprintf (stderr, "Usage: strand %s %s\n", session->command->name, session->command->usage);
  return STATUS_USAGE;
}

gboolean
session_load_stack (Session *session, GError **error)
{
  if (session->stack != NULL)
    return TRUE;
  session->stack =
      session->config != NULL ? strand_stack_new_from_file (session->config, error) : strand_stack_new ();
  if (session->stack == NULL)
    return FALSE;
  strand_stack_set_default (session->stack);
  return TRUE;
}

/* The stack (its keyfile names modules, too), then the modules of the command line. */
gboolean
session_load (Session *session, GError **error)
{
  g_autoptr(GPtrArray) warnings = NULL;

  if (!session_load_stack (session, error))
    return FALSE;
  for (guint i = 0; session->modules != NULL && i < session->modules->len; i++)
    if (!strand_registry_load_module (strand_registry_get_default (), g_ptr_array_index (session->modules, i),
                                      error))
      return FALSE;

  warnings = strand_stack_list_warnings (session->stack);
  for (guint i = 0; i < warnings->len && !session->quiet; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (warnings, i));

      session_say ("%s", line);
    }
  return TRUE;
}

StrandFunction *
session_lookup (Session *session, const char *name, GError **error)
{
  g_autoptr(GPtrArray) functions = strand_registry_list (strand_registry_get_default ());
  g_autofree char *shown = output_dup_printable (name);

  if (functions->len > 0 && g_utf8_validate (name, -1, NULL))
    return strand_registry_lookup (strand_registry_get_default (), name, error);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION, "There is no function '%s'%s", shown,
               functions->len > 0 ? "" : "; load the module that has it with -m, such as '-m demo'");
  return NULL;
}

/* A task for the target that -b names. @target: (out): a reference */
StrandTask *
session_make_task (Session *session, StrandFunction *function, GObject **target, GError **error)
{
  *target = strand_stack_ref_target (session->stack, session->backend, error);
  return *target != NULL ? strand_task_new (function, *target) : NULL;
}

/* The store in which -b's backend keeps its records. */
StrandStore *
session_ref_store (Session *session, GError **error)
{
  g_autoptr(GObject) target = NULL;

  if (!session_load (session, error))
    return NULL;
  target = strand_stack_ref_target (session->stack, session->backend, error);
  if (target == NULL)
    return NULL;
  if (STRAND_IS_BACKEND (target))
    return g_object_ref (strand_backend_get_store (STRAND_BACKEND (target)));

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_TARGET,
               "'%s' is a taskrunner and keeps no records; name a backend with -b, or leave it out",
               session->backend);
  return NULL;
}

void
session_close (Session *session)
{
  g_autoptr(GError) error = NULL;

  if (session->stack != NULL &&
      !strand_stack_close (session->stack, strand_clock_monotonic_us () + CLOSE_US, &error))
    session_complain (error);
  strand_stack_set_default (NULL);
  g_clear_object (&session->stack);
  g_clear_pointer (&session->modules, g_ptr_array_unref);
}
