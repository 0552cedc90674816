/* main.c — the strand command: its subcommands, their help, and the options that all of them take.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <locale.h>
#include <signal.h>
#include <string.h>

static Session session;

static const Option global_options[] = {
  { 'c', "config", OPTION_TEXT, &session.config, "FILE", "The stack keyfile; without it, a built-in stack" },
  { 'm', "module", OPTION_LIST, &session.modules, "MODULE",
    "Load a function module: a name or a path; repeatable" },
  { 'b', "backend", OPTION_TEXT, &session.backend, "NAME",
    "The backend or taskrunner to use; keys are its store's" },
  { 0, "json", OPTION_FLAG, &session.json, NULL, "Print JSON" },
  { 'q', "quiet", OPTION_FLAG, &session.quiet, NULL, "No progress, warnings or summaries" },
  { 'h', "help", OPTION_FLAG, &session.help, NULL, "Show help, with an example" },
  { 0, "version", OPTION_FLAG, &session.version, NULL, "Show the version" },
  { 0 },
};

static const Command commands[] = {
  { "run", run_run, "FUNCTION [ARGUMENT…]", "Run a function, wait, print its value",
    "Arguments are GVariant text for the declared types; a bare word is fine for a string.\n"
    "A string is printed bare, any other value as GVariant text.\n",
    "  strand run -m demo demo.add 2 3\n"
    "  strand run -m demo demo.add 2 -k b=-3 -b thread\n",
    run_options, call_options },
  { "launch", launch_run, "FUNCTION [ARGUMENT…]", "Leave a call for a worker, print its key",
    "The call waits in the store until a worker takes it; 'strand worker' is one.\n",
    "  strand launch -m demo demo.add 2 3\n"
    "  strand launch -m demo demo.sleep 5 --queue slow --delay 10min\n",
    launch_options, call_options },
  { "worker", worker_run, "", "Run what was launched, until stopped",
    "Runs the keyfile's readers, or one on the default backend's store. The first SIGINT or SIGTERM lets the\n"
    "calls that run end, for 'stop-timeout' at most, and gives the others back; the second gives back at once.\n"
    "SIGHUP reads the keyfile again. Tells systemd of readiness and being alive, where that is asked for.\n",
    "  strand worker -m demo --jobs 4\n"
    "  strand worker -c jobs.conf --burst\n",
    worker_options, NULL },
  { "schedule", schedule_run, "[list | run NAME… | pause NAME… | resume NAME…]",
    "The keyfile's schedules: when they are due",
    "Workers leave the calls; any number may run. 'run' leaves one now, and prints its key. A pause is kept in\n"
    "the store, so it counts wherever the schedule runs; times that pass meanwhile are not made up for.\n"
    "Columns: name, state, next time, last time, function, when.\n",
    "  strand schedule list -c jobs.conf\n"
    "  strand schedule run nightly-report -c jobs.conf\n",
    NULL, NULL },
  { "map", map_run, "FUNCTION [--input FILE]", "One call for each line of input; values in input order",
    "A line is split into arguments as a shell would; a function of one string gets each line as it is.\n"
    "Line n of the output belongs to line n of the input; it is empty where the call failed, and stderr\n"
    "says why. With --json, each line is an object with input, key, status, and value or error.\n",
    "  find . -type f -print0 | strand map -m demo demo.sha256 -0 --files\n"
    "  printf '2 3\\n4 5\\n' | strand map -m demo demo.add\n",
    map_options },
  { "status", records_status, "KEY…", "Where a call stands",
    "One of pending, running, completed, failed, cancelled; after KEY and a tab if there are several.\n",
    "  strand status nightly-report\n", NULL },
  { "show", records_show, "KEY…", "All that is known of a call", NULL, "  strand show nightly-report\n",
    NULL },
  { "result", records_result, "KEY…", "The value of a call that has ended",
    "Fails at once if the call is still running, unless --timeout says how long to wait.\n",
    "  strand result nightly-report --timeout 30s\n", result_options },
  { "wait", records_wait, "KEY…", "Wait for calls to end",
    "The exit status tells how they ended, as that of run does.\n",
    "  strand wait nightly-report --timeout 5min && strand result nightly-report\n", wait_options },
  { "cancel", records_cancel, "KEY…", "Ask whoever runs a call to stop it", NULL,
    "  strand cancel nightly-report\n", NULL },
  { "retry", records_retry, "KEY…", "Launch calls again that failed or were cancelled",
    "Each becomes a new call, whose key is printed; its record names the old one.\n",
    "  strand retry nightly-report\n", NULL },
  { "list", records_list, "", "The calls that a store keeps",
    "Columns: key, status, function, created, duration, queue.\n",
    "  strand list --status failed --limit 20\n", list_options },
  { "import", import_run, "[FILE|-]", "Take over what 'strand list --json' printed of another store",
    "Every record is kept exactly, with its status, times and revision. One whose key is there already is\n"
    "refused, and the others are taken all the same.\n",
    "  strand list --json --kind '*' -c old.conf | strand import -c new.conf\n", import_options },
  { "queue", queue_run, "[list | show|pause|resume|drain|purge QUEUE… | workers [QUEUE…]]",
    "How queues stand; pause, empty or purge them",
    "A paused queue keeps its calls from workers; drain waits until nothing is due or runs; purge cancels what\n"
    "waits. Columns: queue, state, due, delayed, running, failed, oldest, per minute, workers.\n",
    "  strand queue\n"
    "  strand queue pause slow && strand queue purge slow --older-than 1d\n",
    queue_options, NULL },
  { "cleanup", records_cleanup, "", "Remove results that have outlived their time", NULL,
    "  strand cleanup\n", NULL },
  { "functions", stack_functions, "", "What can be called: name, signature, help", NULL,
    "  strand functions -m demo\n", NULL },
  { "plugins", plugins_list, "", "Every plugin found, and why one cannot be used",
    "Columns: kind, type, version, state, file, reason. No plugin's code runs.\n", "  strand plugins\n",
    NULL },
  { "inspect", plugins_inspect, "KIND/TYPE | reader | --file FILE",
    "What a plugin type can be told in a keyfile",
    "With --file, what a plugin file says of itself, without loading it.\n",
    "  strand inspect store/filesystem\n", inspect_options },
  { "conformance", conformance_run, "KIND/TYPE [CLAUSE…]", "Put a plugin through the suite of its kind",
    "Each case runs in a process of its own; the report is TAP. CLAUSE names one, or a group; a KIND alone\n"
    "lists its clauses. With -c, KIND/NAME is a group of that keyfile; ${STRAND_CONFORMANCE_DIRECTORY} in it\n"
    "is a case's own folder.\n",
    "  strand conformance taskrunner/thread cancel\n"
    "  strand conformance store/mine --file ./mine-store.so\n",
    conformance_options },
  { "new", new_run, "KIND NAME [FOLDER]", "Make a project for a plugin or module of your own",
    "KIND is store, taskrunner, backend, serializer, middleware, or module for a module of functions. FOLDER is\n"
    "NAME-KIND if not given, and new or empty. The project has a source that works, its test, a keyfile that uses\n"
    "it, and a README.md that says how to go on.\n",
    "  strand new store mine && cd mine-store\n"
    "  meson setup build && meson compile -C build && meson test -C build && meson install -C build\n",
    NULL, NULL },
  { "check", stack_check, "FILE", "Find all mistakes in a keyfile", NULL, "  strand check jobs.conf\n",
    NULL },
  { "stack", stack_draw, "[FILE]",
    "Draw a keyfile's stack as it is resolved; without one, the built-in stack", NULL,
    "  strand stack jobs.conf\n", NULL },
};

static const Command *
find_command (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    if (strcmp (commands[i].name, name) == 0)
      return &commands[i];
  return NULL;
}

static void
print_help (void)
{
  output_text ("Usage: strand COMMAND [OPTION…] [ARGUMENT…]\n\n"
               "Runs functions in the background and looks after their results.\n\nCommands:\n");
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    output_format ("  %-11s %s\n", commands[i].name, commands[i].summary);
  output_text ("\nOptions of every command:\n");
  options_print_help (global_options);
  output_text (
      "\nExit status: 0 done; 1 a call failed; 2 usage or configuration; 3 timed out; 4 no such key; "
      "5 cancelled.\n\nExamples:\n"
      "  strand functions -m demo\n"
      "  strand run -m demo demo.factorial 30\n"
      "  strand COMMAND --help\n");
}

static void
print_command_help (const Command *command)
{
  output_format ("Usage: strand %s [OPTION…] %s\n\n%s.\n", command->name, command->usage, command->summary);
  if (command->details != NULL)
    output_format ("%s", command->details);
  if (command->options != NULL)
    {
      output_text ("\nOptions:\n");
      options_print_help (command->options);
    }
  if (command->more_options != NULL)
    options_print_help (command->more_options);
  output_text ("\nOptions of every command:\n");
  options_print_help (global_options);
  output_format ("\nExample:\n%s", command->example);
}

static Status
complain_unknown (const char *name)
{
  g_autofree char *shown = output_dup_printable (name);
  const char *names[G_N_ELEMENTS (commands) + 1] = { NULL };
  const char *near = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    names[i] = commands[i].name;
  if (g_utf8_validate (name, -1, NULL))
    near = strand_suggest (name, names);
  session_say ("There is no command '%s'%s%s%s; 'strand --help' lists them", shown,
               near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
  return STATUS_USAGE;
}

/* The first word that is no option names the command, unless it is an option's value; so options before it
 * are the global ones, which are all that is known by then. */
static const Command *
take_command (GPtrArray *words, Status *status)
{
  const Option *const tables[] = { global_options, NULL };
  const Command *command;

  for (guint i = 0; i < words->len; i++)
    {
      const char *word = g_ptr_array_index (words, i);

      if (word[0] != '-' || word[1] == '\0')
        {
          command = find_command (word);
          if (command == NULL)
            *status = complain_unknown (word);
          g_ptr_array_remove_index (words, i);
          return command;
        }
      if (options_takes_next (word, tables))
        i++;
    }
  return NULL;
}

static Status
run_command (const Command *command, GPtrArray *words)
{
  static const Option none[] = { { 0 } };
  const Option *const tables[] = { global_options, command->options != NULL ? command->options : none,
                                   command->more_options, NULL };
  g_autoptr(GError) error = NULL;

  session.command = command;
  if (!options_parse (words, tables, &error))
    return session_usage (&session, "%s", error->message);
  if (session.help)
    {
      print_command_help (command);
      return STATUS_DONE;
    }
  progress_init (session.quiet);
  g_ptr_array_add (words, NULL);
  return command->run (&session, (char **) words->pdata);
}

static Status
run_without_command (GPtrArray *words)
{
  const Option *const tables[] = { global_options, NULL };
  g_autoptr(GError) error = NULL;

  if (!options_parse (words, tables, &error))
    {
      session_say ("%s; 'strand --help' tells more", error->message);
      return STATUS_USAGE;
    }
  if (session.version)
    {
      output_text ("strand " STRAND_VERSION "\n");
      return STATUS_DONE;
    }
  if (session.help)
    {
      print_help ();
      return STATUS_DONE;
    }
  session_say ("Which command? 'strand --help' lists them");
  return STATUS_USAGE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new ();
  const Command *command;
  Status status = STATUS_DONE;

  setlocale (LC_ALL, "");
  setlocale (LC_NUMERIC, "C");
  /* A reader who leaves is dealt with where we write. */
  signal (SIGPIPE, SIG_IGN);

  for (int i = 1; i < argc; i++)
    g_ptr_array_add (words, argv[i]);
  command = take_command (words, &status);
  if (command != NULL)
    status = run_command (command, words);
  else if (status == STATUS_DONE)
    status = run_without_command (words);
  progress_hide ();
  session_close (&session);
  return output_finish (status);
}
