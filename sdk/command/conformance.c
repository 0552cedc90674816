/* conformance.c — puts a plugin through the suite of its kind: conformance.
 *
 * Each case runs in a process of its own, which is this command again with the case's clause in its
 * environment. So a plugin that crashes, hangs or leaks does that in one case, which is reported, and the
 * others go on. What a case's process prints is kept, and shown where the case has failed; its temporary
 * folder is its own, and goes with it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <errno.h>
#include <ftw.h>
#include <gio/gio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strand-conformance.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENV_CASE "STRAND_CONFORMANCE_CASE"
#define ENV_DIRECTORY "STRAND_CONFORMANCE_DIRECTORY"

/* What keeps waiting fails by itself at the deadline. What hangs elsewhere is killed this much later. */
#define HANG_US (5 * G_USEC_PER_SEC)

/* Of what a case's process has printed, the end says most; of what a sanitizer reports, the beginning. */
#define FIRST_LINES 20
#define LAST_LINES 40

static struct
{
  char *file;
  GPtrArray *lacks;
  gint64 deadline_us;
  gboolean quick;
} given = { .deadline_us = 60 * G_USEC_PER_SEC };

const Option conformance_options[] = {
  { 0, "file", OPTION_TEXT, &given.file, "FILE", "The plugin file that the type must come from" },
  { 0, "lacks", OPTION_LIST, &given.lacks, "NEED", "Skip the cases that need this; repeatable" },
  { 0, "deadline", OPTION_DURATION, &given.deadline_us, "DURATION", "How long a case may take; 60s" },
  { 0, "quick", OPTION_FLAG, &given.quick, NULL, "A hundredth of the calls where a case makes many" },
  { 0 },
};

typedef struct
{
  Session *session;
  StrandKind kind;
  const char *name; /* a group of the keyfile, or a type */
  const char *path; /* KIND/NAME, as it was given */
} Subject;

/* In a case's process. */

static GParamSpec *
find_path (Subject *subject)
{
  GType type = strand_plugins_load (strand_plugins_get_default (), subject->kind, subject->name, NULL);
  g_autoptr(GTypeClass) klass = type != 0 ? g_type_class_ref (type) : NULL;
  GParamSpec *pspec = klass != NULL ? g_object_class_find_property (G_OBJECT_CLASS (klass), "path") : NULL;

  return pspec != NULL && (pspec->flags & G_PARAM_WRITABLE) != 0 ? pspec : NULL;
}

/* Without a keyfile the type has its defaults, except that what it writes goes into the case's folder. */
static StrandStack *
make_stack (Subject *subject, const char *folder, GError **error)
{
  g_autofree char *data = NULL;

  if (subject->session->config != NULL)
    return strand_stack_new_from_file (subject->session->config, error);
  if (find_path (subject) == NULL)
    return strand_stack_new ();
  data = g_strdup_printf ("[%s %s]\ntype=%s\npath=%s/subject\n", strand_kind_to_string (subject->kind),
                          subject->name, subject->name, folder);
  return strand_stack_new_from_data (data, -1, "conformance", error);
}

/* Whether the class comes from --file, and not from a file that stands before it. */
static gboolean
check_file (GObject *made, GError **error)
{
  g_autoptr(GPtrArray) infos = strand_plugins_list (strand_plugins_get_default ());
  g_autofree char *wanted = realpath (given.file, NULL);
  const char *found = NULL;

  for (guint i = 0; i < infos->len && found == NULL; i++)
    {
      const StrandPluginInfo *info = g_ptr_array_index (infos, i);

      if (info->state == STRAND_PLUGIN_STATE_LOADED &&
          g_strcmp0 (info->gtype_name, G_OBJECT_TYPE_NAME (made)) == 0)
        found = info->file;
    }
  if (g_strcmp0 (found, wanted) == 0)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "%s comes from '%s', not from '%s'",
               G_OBJECT_TYPE_NAME (made), found != NULL ? found : "the program", given.file);
  return FALSE;
}

static gpointer
make (StrandConformance *self, gpointer data, GError **error)
{
  Subject *subject = data;
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GObject) made = NULL;

  g_setenv (ENV_DIRECTORY, strand_conformance_get_directory (self), TRUE);
  stack = make_stack (subject, strand_conformance_get_directory (self), error);
  if (stack != NULL)
    made = strand_stack_ref_object (stack, subject->kind, subject->name, error);
  if (made == NULL || (given.file != NULL && !check_file (made, error)))
    return NULL;
  return g_steal_pointer (&made);
}

static void
declare_lacks (StrandConformanceSubject *tested)
{
  for (guint i = 0; given.lacks != NULL && i < given.lacks->len; i++)
    {
      const char *need = given.lacks->pdata[i];
      g_autofree char *reason = g_strdup_printf ("said to lack '%s'", need);

      strand_conformance_subject_lacks (tested, need, reason);
    }
}

static Status
run_case (Subject *subject, const char *clause, const char *const *words)
{
  g_autofree char *root = g_strconcat ("/", subject->path, NULL);
  g_autofree char *path = g_strconcat (root, "/", clause, NULL);
  char *arguments[] = { (char *) "strand", (char *) "-p", path, NULL };
  char **argv = arguments;
  int argc = G_N_ELEMENTS (arguments) - 1;

  g_test_init (&argc, &argv, NULL);
  strand_conformance_set_deadline (given.deadline_us);
  strand_conformance_set_quick (given.quick);
  strand_conformance_set_restart (words);
  declare_lacks (
      strand_conformance_add_suite (strand_conformance_get_suite (subject->kind), root, make, subject, NULL));
  return g_test_run () == 0 ? STATUS_DONE : STATUS_FAILED;
}

/* In the process that was asked. */

typedef enum
{
  PASSED,
  SKIPPED,
  FAILED,
} Outcome;

typedef struct
{
  GMainLoop *loop;
  GSubprocess *process;
  GCancellable *cancellable;
  char *output;
  char *errors;
  gboolean hung;
} Child;

static void
set_up_child (gpointer unused)
{
  /* A group of its own, so that what the plugin starts can be ended with it; and it ends with us. */
  setpgid (0, 0);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* 0 where it has ended already. */
static pid_t
get_group (Child *child)
{
  const char *id = g_subprocess_get_identifier (child->process);

  return id != NULL ? (pid_t) g_ascii_strtoll (id, NULL, 10) : 0;
}

static gboolean
on_hung (gpointer data)
{
  Child *child = data;
  pid_t group = get_group (child);

  child->hung = TRUE;
  if (group > 0)
    kill (-group, SIGKILL);
  else
    g_cancellable_cancel (child->cancellable); /* somebody it has started keeps its output open */
  return G_SOURCE_CONTINUE;
}

static char *
dup_text (GBytes *bytes)
{
  gsize length;
  const char *data = g_bytes_get_data (bytes, &length);

  return data != NULL ? g_utf8_make_valid (data, (gssize) length) : g_strdup ("");
}

static void
on_output (GObject *source, GAsyncResult *result, gpointer data)
{
  Child *child = data;
  g_autoptr(GBytes) output = NULL, errors = NULL;

  if (g_subprocess_communicate_finish (G_SUBPROCESS (source), result, &output, &errors, NULL))
    {
      child->output = dup_text (output);
      child->errors = dup_text (errors);
    }
  g_main_loop_quit (child->loop);
}

/* The first and the last lines of what a process has printed, as TAP's diagnostics. */
static void
append_diagnostics (GString *text, const char *printed)
{
  g_auto(GStrv) lines = g_strsplit (printed != NULL ? printed : "", "\n", -1);
  guint n_lines = g_strv_length (lines);

  for (guint i = 0; i < n_lines; i++)
    {
      if (i == FIRST_LINES && n_lines > FIRST_LINES + LAST_LINES)
        {
          i = n_lines - LAST_LINES;
          g_string_append_printf (text, "# [%u lines]\n", i - FIRST_LINES);
        }
      if (lines[i][0] != '\0')
        {
          g_autofree char *line = output_dup_printable (lines[i]);

          g_string_append_printf (text, "# %s\n", line);
        }
    }
}

/* What the case's process said of its one test: the reason of a skip, or NULL. */
static Outcome
read_report (const char *output, char **reason)
{
  g_auto(GStrv) lines = g_strsplit (output != NULL ? output : "", "\n", -1);
  Outcome outcome = FAILED;

  for (char **line = lines; *line != NULL; line++)
    {
      const char *skip = strstr (*line, " # SKIP");

      if (!g_str_has_prefix (*line, "ok "))
        continue;
      outcome = skip != NULL ? SKIPPED : PASSED;
      if (skip != NULL)
        *reason = g_strstrip (g_strdup (skip + strlen (" # SKIP")));
    }
  return outcome;
}

static char *
describe_end (Child *child)
{
  if (child->hung)
    return g_strdup ("it hung, and was killed");
  if (g_subprocess_get_if_signaled (child->process) && g_subprocess_get_term_sig (child->process) != SIGABRT)
    return g_strdup_printf ("it died of signal %d (%s)", g_subprocess_get_term_sig (child->process),
                            g_strsignal (g_subprocess_get_term_sig (child->process)));
  if (g_subprocess_get_if_exited (child->process) && g_subprocess_get_exit_status (child->process) != 0)
    return g_strdup_printf ("it ended with status %d", g_subprocess_get_exit_status (child->process));
  return NULL;
}

/* Of processes that find the plugin's file first. */
static GSubprocessLauncher *
new_launcher (GSubprocessFlags flags)
{
  GSubprocessLauncher *launcher = g_subprocess_launcher_new (flags);

  if (given.file != NULL)
    {
      g_autofree char *absolute = g_canonicalize_filename (given.file, NULL);
      g_autofree char *beside = g_path_get_dirname (absolute);
      const char *others = g_getenv ("STRAND_PLUGIN_PATH");
      g_autofree char *folders = others != NULL ? g_strconcat (beside, ":", others, NULL) : g_strdup (beside);

      g_subprocess_launcher_setenv (launcher, "STRAND_PLUGIN_PATH", folders, TRUE);
    }
  g_subprocess_launcher_set_child_setup (launcher, set_up_child, NULL, NULL);
  return launcher;
}

static GSubprocess *
spawn_case (const char *clause, const char *const *words, const char *folder, GError **error)
{
  g_autoptr(GSubprocessLauncher) launcher =
      new_launcher (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);

  g_subprocess_launcher_setenv (launcher, ENV_CASE, clause, TRUE);
  g_subprocess_launcher_setenv (launcher, "TMPDIR", folder, TRUE);
  return g_subprocess_launcher_spawnv (launcher, words, error);
}

/* Ends what a case has left behind, and waits until it has: it has become our child when the case died. */
static void
end_group (pid_t group)
{
  if (group <= 0 || kill (-group, SIGKILL) != 0)
    return;
  while (waitpid (-group, NULL, 0) > 0 || errno == EINTR)
    ;
}

/* @folder: where it may leave what it likes. @details: diagnostics of a failure, or the reason of a skip */
static Outcome
try_case_in (const char *folder, const char *clause, const char *const *words, GString *details)
{
  Child child = { 0 };
  g_autofree char *reason = NULL, *end = NULL;
  g_autoptr(GError) error = NULL;
  Outcome outcome;
  guint timer;
  pid_t group;

  child.process = spawn_case (clause, words, folder, &error);
  if (child.process == NULL)
    {
      append_diagnostics (details, error->message);
      return FAILED;
    }
  group = get_group (&child);
  child.loop = g_main_loop_new (NULL, FALSE);
  child.cancellable = g_cancellable_new ();
  g_subprocess_communicate_async (child.process, NULL, child.cancellable, on_output, &child);
  timer = g_timeout_add ((guint) ((given.deadline_us + HANG_US) / 1000), on_hung, &child);
  g_main_loop_run (child.loop);
  g_source_remove (timer);
  g_subprocess_wait (child.process, NULL, NULL);
  end_group (group);

  outcome = read_report (child.output, &reason);
  end = describe_end (&child);
  if (end != NULL || child.hung)
    outcome = FAILED;
  if (outcome == SKIPPED)
    g_string_append (details, reason);
  else if (outcome == FAILED)
    {
      append_diagnostics (details, end);
      append_diagnostics (details, child.errors);
    }

  g_free (child.output);
  g_free (child.errors);
  g_object_unref (child.cancellable);
  g_object_unref (child.process);
  g_main_loop_unref (child.loop);
  return outcome;
}

static int
remove_one (const char *path, const struct stat *st, int type, struct FTW *where)
{
  return remove (path);
}

static Outcome
try_case (const char *clause, const char *const *words, GString *details)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("strand-conformance-XXXXXX", &error);
  Outcome outcome;

  if (folder == NULL)
    {
      append_diagnostics (details, error->message);
      return FAILED;
    }
  outcome = try_case_in (folder, clause, words, details);
  if (nftw (folder, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
    g_warning ("Could not remove '%s': %s", folder, g_strerror (errno));
  return outcome;
}

/* The command line of a case's process. */
static GPtrArray *
make_words (Subject *subject)
{
  GPtrArray *words = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (words, g_file_read_link ("/proc/self/exe", NULL));
  g_ptr_array_add (words, g_strdup ("conformance"));
  g_ptr_array_add (words, g_strdup (subject->path));
  g_ptr_array_add (words, g_strdup_printf ("--deadline=%" G_GINT64_FORMAT "us", given.deadline_us));
  if (subject->session->config != NULL)
    g_ptr_array_add (words, g_strconcat ("--config=", subject->session->config, NULL));
  if (given.file != NULL)
    g_ptr_array_add (words, g_strconcat ("--file=", given.file, NULL));
  if (given.quick)
    g_ptr_array_add (words, g_strdup ("--quick"));
  for (guint i = 0; given.lacks != NULL && i < given.lacks->len; i++)
    g_ptr_array_add (words, g_strconcat ("--lacks=", given.lacks->pdata[i], NULL));
  g_ptr_array_add (words, NULL);
  return words;
}

/* A clause is meant by its name, by its group's, or by none at all. */
static gboolean
is_meant (const StrandConformanceCase *one, char **names)
{
  if (names[0] == NULL)
    return TRUE;
  for (; *names != NULL; names++)
    {
      gsize length = strlen (*names);

      if (strncmp (one->clause, *names, length) == 0 &&
          (one->clause[length] == '\0' || one->clause[length] == '/'))
        return TRUE;
    }
  return FALSE;
}

static void
report (Session *session, GString *json, const StrandConformanceCase *one, guint number, Outcome outcome,
        const GString *details)
{
  static const char *const outcomes[] = { "passed", "skipped", "failed" };

  g_string_append (json, json->len > 1 ? ",\n{" : "{");
  output_json_member (json, "clause", one->clause);
  output_json_member (json, "text", one->text);
  output_json_member (json, "outcome", outcomes[outcome]);
  output_json_member (json, "details", details->len > 0 ? details->str : NULL);
  g_string_append_c (json, '}');
  if (session->json)
    return;
  if (outcome == FAILED)
    output_format ("not ok %u - %s\n# %s\n%s", number, one->clause, one->text, details->str);
  else
    output_format ("ok %u - %s%s%s\n", number, one->clause, outcome == SKIPPED ? " # SKIP " : "",
                   details->str);
  output_flush ();
}

static Status
run_cases (Subject *subject, GPtrArray *cases)
{
  g_autoptr(GPtrArray) words = make_words (subject);
  GString *json = g_string_new ("[");
  guint n_failed = 0;

  prctl (PR_SET_CHILD_SUBREAPER, 1); /* see end_group() */
  if (!subject->session->json)
    output_format ("1..%u\n", cases->len);
  for (guint i = 0; i < cases->len; i++)
    {
      const StrandConformanceCase *one = cases->pdata[i];
      g_autoptr(GString) details = g_string_new (NULL);
      Outcome outcome = try_case (one->clause, (const char *const *) words->pdata, details);

      n_failed += outcome == FAILED;
      report (subject->session, json, one, i + 1, outcome, details);
    }
  g_string_append_c (json, ']');
  if (subject->session->json)
    output_json (json);
  else
    g_string_free (json, TRUE);
  return n_failed > 0 ? STATUS_FAILED : STATUS_DONE;
}

/* The clauses themselves. */
static Status
list_cases (Session *session, GPtrArray *cases)
{
  g_autoptr(Table) table = table_new ("CLAUSE", "NEEDS", "TEXT", NULL);
  GString *json = g_string_new ("[");

  for (guint i = 0; i < cases->len; i++)
    {
      const StrandConformanceCase *one = cases->pdata[i];

      table_add (table, one->clause, one->needs, one->text);
      g_string_append (json, i > 0 ? ",\n{" : "{");
      output_json_member (json, "clause", one->clause);
      output_json_member (json, "needs", one->needs);
      output_json_member (json, "text", one->text);
      g_string_append_c (json, '}');
    }
  g_string_append_c (json, ']');
  if (session->json)
    output_json (json);
  else
    {
      g_string_free (json, TRUE);
      table_print (table);
    }
  return STATUS_DONE;
}

static gboolean
knows_need (const StrandConformanceSuite *suite, const char *name)
{
  for (const StrandConformanceNeed *need = suite->needs; need != NULL && need->name != NULL; need++)
    if (strcmp (need->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* A mistake in the keyfile would fail every case alike. It is looked for in a process that has the variables
 * and plugins of a case, and may die of the plugin; then the cases tell. */
static gboolean
check_keyfile (const char *path, GError **error)
{
  g_autoptr(GSubprocessLauncher) launcher =
      new_launcher (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  const char *words[] = { program, "check", path, NULL };
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *mistakes = NULL;

  g_subprocess_launcher_setenv (launcher, ENV_DIRECTORY, g_get_tmp_dir (), TRUE);
  process = g_subprocess_launcher_spawnv (launcher, words, error);
  if (process == NULL || !g_subprocess_communicate_utf8 (process, NULL, NULL, &mistakes, NULL, error))
    return FALSE;
  if (!g_subprocess_get_if_exited (process) || g_subprocess_get_exit_status (process) != STATUS_USAGE)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "%s", g_strchomp (mistakes));
  return FALSE;
}

/* Whether there is something to run, before a process is started for each case. */
static gboolean
check_subject (Subject *subject, const StrandConformanceSuite *suite, GError **error)
{
  g_autoptr(GPtrArray) infos = NULL;

  for (guint i = 0; given.lacks != NULL && i < given.lacks->len; i++)
    if (!knows_need (suite, given.lacks->pdata[i]))
      {
        g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                     "'%s' is no need of this suite; 'strand conformance %s' lists them with the clauses",
                     (const char *) given.lacks->pdata[i], strand_kind_to_string (subject->kind));
        return FALSE;
      }
  if (given.file != NULL)
    {
      infos = strand_plugins_inspect_file (given.file, error);
      if (infos == NULL)
        return FALSE;
    }
  if (subject->session->config != NULL)
    return check_keyfile (subject->session->config, error);
  return given.file != NULL ||
         strand_plugins_has (strand_plugins_get_default (), subject->kind, subject->name, error);
}

Status
conformance_run (Session *session, char **arguments)
{
  const char *clause = g_getenv (ENV_CASE);
  const StrandConformanceSuite *suite;
  g_autoptr(GPtrArray) cases = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) parts = NULL;
  Subject subject = { session, 0, NULL, arguments[0] };

  if (arguments[0] == NULL || !g_utf8_validate (arguments[0], -1, NULL))
    return session_usage (session, "'conformance' takes a KIND/TYPE, or a KIND alone to list its clauses");
  parts = g_strsplit (arguments[0], "/", 2);
  if (!strand_kind_from_string (parts[0], &subject.kind) || subject.kind >= STRAND_N_KINDS)
    return session_usage (
        session, "'%.100s' is no KIND/TYPE; kinds are taskrunner, backend, store, serializer, middleware",
        arguments[0]);
  if (given.deadline_us <= 0)
    return session_usage (session, "Option '--deadline' takes a duration above 0");
  suite = strand_conformance_get_suite (subject.kind);
  subject.name = parts[1];
  if (clause != NULL && subject.name != NULL)
    {
      g_autoptr(GPtrArray) words = make_words (&subject);

      return run_case (&subject, clause, (const char *const *) words->pdata);
    }
  cases = strand_conformance_list_cases (suite);
  for (guint i = cases->len; i > 0; i--)
    if (!is_meant (cases->pdata[i - 1], arguments + 1))
      g_ptr_array_remove_index (cases, i - 1);
  if (cases->len == 0)
    return session_usage (session, "No clause is called that; 'strand conformance %s' lists them", parts[0]);
  if (subject.name == NULL)
    return list_cases (session, cases);
  if (!check_subject (&subject, suite, &error))
    return session_complain (error);
  return run_cases (&subject, cases);
}
