/* python.c — the function module 'python': what a Python module defines, for programs that are not Python.
 *
 * 'python:tasks' is asked for by -m or a keyfile's `modules`, and stands for the module that a Python program
 * would import as `tasks`; 'python:/srv/app.py' for the program in that file. An interpreter of its own
 * imports it and says what there is, once. Each function is registered under the name that Python programs
 * store, with the delegate that Python helpers have (functions.py), so a process taskrunner runs it there; no
 * other can. SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand.h>

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

/* What describe() of helper.py writes: the words that start a helper; the name, help and location of each
 * function. The signature and the delegate are those of functions.py. */
#define DESCRIPTION_TYPE "(asa(sss))"
#define SIGNATURE "arguments:av keywords:a{sv} -> v"
#define DELEGATE "strand.python"

/* The folders that a program would search, but not the current one, which is nobody's choice. */
#define DESCRIBE                                                                                             \
  "import sys; sys.path[:] = filter(None, sys.path); from strand.helper import describe; describe(*sys.argv[1:])"

/* The functions of a program's own file are found by helpers of that program only. */
static char *program;

static GVariant *
call_in_python_only (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_UNSAFE,
                       "This function is Python's, and this program is not: give the reader or backend a "
                       "taskrunner of type 'process'");
  return NULL;
}

/* An interpreter that fails ends with a traceback, whose last line is the exception. */
static const char *
last_line (char *text)
{
  const char *newline;

  g_strchomp (text);
  newline = strrchr (text, '\n');
  return newline != NULL ? newline + 1 : text;
}

/* Blocks for as long as the interpreter needs for the import. */
static char *
ask_python (const char *source, GError **error)
{
  const char *python = secure_getenv ("STRAND_PYTHON");
  /* -I: with more rights than who started it, a program does not search that one's folders. */
  const char *argv[] = { python != NULL && *python != '\0' ? python : STRAND_PYTHON,
                         getauxval (AT_SECURE) != 0 ? "-Ic" : "-c",
                         DESCRIBE,
                         source,
                         program,
                         NULL };
  g_autofree char *said = NULL;
  g_autofree char *complained = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &said, &complained, &status,
                     error))
    return NULL;
  if (g_spawn_check_wait_status (status, NULL))
    return g_steal_pointer (&said);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "'%s' could not import '%s': %s", argv[0], source,
               last_line (complained));
  return NULL;
}

static gboolean
add_function (StrandRegistry *registry, const char *name, const char *help, const char *location,
              GError **error)
{
  g_autoptr(StrandFunction) function =
      strand_function_new (name, SIGNATURE, help, STRAND_TRAIT_NONE, call_in_python_only, NULL, NULL, error);

  if (function == NULL)
    return FALSE;
  strand_function_set_delegate (function, DELEGATE, location);
  return strand_registry_add_function (registry, function, error);
}

static gboolean
add_functions (StrandRegistry *registry, GVariant *description, GError **error)
{
  g_autofree const char **command = NULL;
  g_autoptr(GVariantIter) functions = NULL;
  const char *name, *help, *location;

  g_variant_get (description, "(^a&sa(sss))", &command, &functions);
  while (g_variant_iter_next (functions, "(&s&s&s)", &name, &help, &location))
    if (!add_function (registry, name, help, location, error))
      return FALSE;
  strand_helper_set_command (command);
  return TRUE;
}

STRAND_MODULE_EXPORT gboolean
strand_module_register_from (StrandRegistry *registry, const char *source, GError **error)
{
  gboolean is_program = strchr (source, '/') != NULL;
  g_autofree char *said = NULL;
  g_autoptr(GVariant) description = NULL;

  if (is_program && program == NULL)
    program = g_strdup (source);
  if (is_program && strcmp (program, source) != 0)
    {
      g_set_error (
          error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED,
          "'%s' is this worker's program already, and a helper has one: move functions into modules, or "
          "serve the other one with a worker of its own",
          program);
      return FALSE;
    }
  said = ask_python (source, error);
  if (said == NULL)
    return FALSE;
  description = g_variant_parse (G_VARIANT_TYPE (DESCRIPTION_TYPE), said, NULL, NULL, error);
  if (description == NULL)
    return FALSE;
  return add_functions (registry, description, error);
}

STRAND_MODULE_EXPORT gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                       "say which module of Python's, as in 'python:tasks', or which file, as in "
                       "'python:/srv/app.py'");
  return FALSE;
}
