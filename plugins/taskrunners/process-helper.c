/* process-helper.c — one helper process: what is said to it, what it says, and how it ends.
 *
 * Nothing that a helper says is believed: a function that runs there may have written over anything.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "process-helper.h"
#include "process-spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How much of its stderr an error quotes. */
#define LAST_WORDS_BYTES 2000

/* What tells a delegate which function it stands for. */
#define STRAND_HEADER_LOCATION "strand.location"

/* How often to look where the kernel has no pidfd. */
#define LOOK_MS 100

/* A function that the helper has. */
typedef struct
{
  guint32 index;
  char *signature;
} Offered;

static void
offered_free (gpointer data)
{
  Offered *offered = data;

  g_free (offered->signature);
  g_free (offered);
}

static char **
dup_argv (const HelperSettings *settings, GError **error)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func (g_free);
  const char *program = settings->command;
  g_auto(GStrv) words = NULL;

  if (program != NULL && !g_shell_parse_argv (program, NULL, &words, error))
    {
      g_prefix_error (error, "Could not understand 'helper-command': ");
      return NULL;
    }
  if (words == NULL)
    words = strand_helper_dup_command ();
  if (program == NULL)
    program = strand_helper_get_program ();
  if (program == NULL)
    program = secure_getenv ("STRAND_HELPER");
  if (program == NULL || *program == '\0')
    program = STRAND_HELPER;
  if (words == NULL)
    g_ptr_array_add (argv, g_strdup (program));
  for (guint i = 0; words != NULL && words[i] != NULL; i++)
    g_ptr_array_add (argv, g_strdup (words[i]));
  g_ptr_array_add (argv, g_strdup (STRAND_HELPER_OPTION));
  g_ptr_array_add (argv, g_strdup_printf ("%d", (int) getpid ()));
  g_ptr_array_add (argv, NULL);
  return (char **) g_ptr_array_free (g_steal_pointer (&argv), FALSE);
}

/* The runner's own modules, and those that this program has loaded. */
static GStrv
dup_modules (const HelperSettings *settings)
{
  g_auto(GStrv) loaded = strand_registry_list_modules (strand_registry_get_default ());
  g_autoptr(GStrvBuilder) modules = g_strv_builder_new ();

  if (settings->modules != NULL)
    g_strv_builder_addv (modules, (const char **) settings->modules);
  g_strv_builder_addv (modules, (const char **) loaded);
  return g_strv_builder_end (modules);
}

gboolean
helper_is_outdated (Helper *self, const HelperSettings *settings)
{
  g_auto(GStrv) modules = dup_modules (settings);

  return !g_strv_equal ((const char *const *) modules, (const char *const *) self->modules);
}

static void
write_setup (Helper *self, const HelperSettings *settings)
{
  guint64 seconds = 0;
  g_autoptr(GVariant) setup = NULL;
  gsize frame;

  if (settings->cpu_time_us >= 0)
    seconds = (guint64) MAX (1, (settings->cpu_time_us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
  setup = g_variant_ref_sink (
      g_variant_new ("(u^asit)", STRAND_WIRE_PROTOCOL, self->modules, settings->niceness, seconds));
  frame = strand_wire_begin (&self->out, STRAND_WIRE_SETUP, 0);
  strand_wire_append_variant (&self->out, setup);
  strand_wire_end (&self->out, frame);
}

Helper *
helper_new (const HelperSettings *settings, GError **error)
{
  g_auto(GStrv) argv = dup_argv (settings, error);
  SpawnEnds ends;
  Helper *self;
  pid_t pid;
  int pidfd;

  if (argv == NULL)
    return NULL;
  if (!spawn_helper (&ends, argv, (const char *const *) settings->env, settings->working_directory,
                     settings->stderr_mode != STDERR_INHERIT, &pid, &pidfd, error))
    {
      g_prefix_error (error,
                      "Could not start the helper '%s' ('helper-command' can name another): ", argv[0]);
      return NULL;
    }

  self = g_new0 (Helper, 1);
  self->pid = pid;
  self->pidfd = pidfd;
  self->data = ends.ours[SPAWN_DATA];
  self->control = ends.ours[SPAWN_CONTROL];
  self->err = ends.ours[SPAWN_STDERR];
  self->shared = ends.shared;
  self->stderr_mode = settings->stderr_mode;
  self->last_words = g_string_new (NULL);
  self->by_function = g_hash_table_new_full (NULL, NULL, (GDestroyNotify) strand_function_unref, NULL);
  self->failed_modules = g_string_new (NULL);
  self->modules = dup_modules (settings);
  write_setup (self, settings);
  helper_flush (self);
  strand_debug (STRAND_TOPIC_RUNNER, "started helper %d: %s", (int) pid, argv[0]);
  return self;
}

void
helper_signal (Helper *self, int number)
{
  /* Not reaped yet, so neither the process nor its group can be another one by now. */
  if (self->pid > 0)
    kill (-self->pid, number);
}

gboolean
helper_is_dead (Helper *self)
{
  siginfo_t info = { 0 };

  if (self->pid <= 0)
    return TRUE;
  return waitid (P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

gboolean
helper_wait_for_end (Helper *self, gint64 patience_us)
{
  gint64 deadline_us = g_get_monotonic_time () + patience_us;

  while (!helper_is_dead (self))
    {
      gint64 left_us = deadline_us - g_get_monotonic_time ();
      struct pollfd fds[] = { { self->pidfd, POLLIN, 0 }, { self->err, POLLIN, 0 } };
      int left_ms = (int) MIN (left_us / 1000 + 1, self->pidfd >= 0 ? 60000 : LOOK_MS);

      if (left_us <= 0)
        return FALSE;
      if (poll (fds, G_N_ELEMENTS (fds), left_ms) > 0 && fds[1].revents != 0)
        helper_drain_stderr (self);
    }
  return TRUE;
}

/* Ends what is left of the group while the dead leader still keeps its number, then buries the leader. */
static int
reap (Helper *self)
{
  int status = -1;
  pid_t reaped;

  if (self->pid <= 0)
    return -1;
  kill (-self->pid, SIGKILL);
  do
    reaped = waitpid (self->pid, &status, 0);
  while (reaped < 0 && errno == EINTR);
  self->pid = 0;
  return reaped < 0 ? -1 : status;
}

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

void
helper_free (Helper *self)
{
  if (self->pid > 0)
    strand_debug (STRAND_TOPIC_RUNNER, "ended helper %d", (int) self->pid);
  reap (self);
  clear_fd (&self->pidfd);
  clear_fd (&self->data);
  clear_fd (&self->control);
  clear_fd (&self->err);
  munmap (self->shared, sizeof *self->shared);
  strand_wire_buffer_clear (&self->in);
  strand_wire_buffer_clear (&self->out);
  g_string_free (self->last_words, TRUE);
  g_string_free (self->failed_modules, TRUE);
  g_strfreev (self->modules);
  g_clear_pointer (&self->by_name, g_hash_table_unref);
  g_hash_table_unref (self->by_function);
  g_free (self);
}

void
helper_retire (Helper *self, gint64 patience_us)
{
  shutdown (self->data, SHUT_WR);
  helper_wait_for_end (self, patience_us);
  helper_free (self);
}

static void
read_functions (Helper *self, GVariant *functions)
{
  GVariantIter iter;
  const char *name, *signature;

  self->by_name = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, offered_free);
  g_variant_iter_init (&iter, functions);
  for (guint32 i = 0; g_variant_iter_next (&iter, "(&s&s)", &name, &signature); i++)
    {
      Offered *offered = g_new (Offered, 1);

      offered->index = i;
      offered->signature = g_strdup (signature);
      g_hash_table_insert (self->by_name, g_strdup (name), offered);
    }
}

static gboolean
understand_hello (Helper *self, const guint8 *payload, gsize size)
{
  g_autoptr(GVariant) hello =
      strand_wire_read_variant (G_VARIANT_TYPE (STRAND_WIRE_HELLO_TYPE), payload, size);
  g_autoptr(GVariant) functions = NULL;
  g_autoptr(GVariantIter) failed = NULL;
  const char *module, *why;
  guint32 protocol;

  if (hello == NULL)
    return FALSE;
  g_variant_get (hello, "(u@a(ss)a(ss))", &protocol, &functions, &failed);
  if (protocol != STRAND_WIRE_PROTOCOL)
    return FALSE;
  read_functions (self, functions);
  while (g_variant_iter_next (failed, "(&s&s)", &module, &why))
    g_string_append_printf (self->failed_modules, "%s%s", self->failed_modules->len > 0 ? "; " : "", why);
  return TRUE;
}

gboolean
helper_read_hello (Helper *self, gboolean *ready, GError **error)
{
  StrandWireHead head;
  const guint8 *payload;
  gboolean broken, alive = helper_flush (self) && helper_receive (self) >= 0;

  *ready = FALSE;
  if (strand_wire_next (&self->in, &head, &payload, &broken))
    {
      *ready = head.type == STRAND_WIRE_HELLO && understand_hello (self, payload, head.size);
      broken = !*ready;
    }
  if (broken)
    g_set_error (
        error, STRAND_ERROR, STRAND_ERROR_FAILED,
        "the program said something that is not a helper's greeting; is it strand's, and of this release?");
  return *ready || (alive && !broken);
}

gboolean
helper_find (Helper *self, StrandFunction *function, guint32 *index, GError **error)
{
  Offered *offered = g_hash_table_lookup (self->by_function, function);
  const char *name = strand_function_get_name (function);
  const char *delegate = strand_function_get_delegate (function, NULL);
  g_autofree char *signature = NULL;

  if (offered == NULL)
    {
      name = delegate != NULL ? delegate : name;
      offered = g_hash_table_lookup (self->by_name, name);
      signature = strand_function_dup_signature (function);
      if (offered == NULL)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_UNKNOWN_FUNCTION,
                       "Could not call '%s' in a helper process: it has no such function%s%s", name,
                       self->failed_modules->len > 0 ? ", perhaps because a module is missing there: " : "",
                       self->failed_modules->str);
          return FALSE;
        }
      if (strcmp (offered->signature, signature) != 0)
        {
          g_set_error (error, STRAND_ERROR, STRAND_ERROR_TYPE,
                       "Could not call '%s' in a helper process: there it is declared '%s', and here '%s'",
                       name, offered->signature, signature);
          return FALSE;
        }
      g_hash_table_insert (self->by_function, strand_function_ref (function), offered);
    }
  *index = offered->index;
  return TRUE;
}

gboolean
helper_knows (Helper *self, StrandFunction *function, guint32 *index)
{
  Offered *offered = g_hash_table_lookup (self->by_function, function);

  if (offered != NULL)
    *index = offered->index;
  return offered != NULL;
}

/* The call's own, and where a delegate finds the function. */
static GVariant *
dup_headers (StrandCall *call)
{
  g_autoptr(GVariant) own = strand_call_dup_headers (call);
  const char *location;
  GVariantBuilder builder;
  GVariantIter iter;
  const char *name, *value;

  if (strand_function_get_delegate (strand_call_get_function (call), &location) == NULL)
    return g_steal_pointer (&own);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  g_variant_iter_init (&iter, own);
  while (g_variant_iter_next (&iter, "{&s&s}", &name, &value))
    if (strcmp (name, STRAND_HEADER_LOCATION) != 0)
      g_variant_builder_add (&builder, "{ss}", name, value);
  g_variant_builder_add (&builder, "{ss}", STRAND_HEADER_LOCATION, location);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

gboolean
helper_write_call (Helper *self, StrandCall *call, guint32 index, GError **error)
{
  g_autoptr(GVariant) headers = dup_headers (call);
  GVariant *arguments = strand_call_get_arguments (call);
  gint64 deadline_us = strand_call_get_deadline (call);
  const char *key = strand_call_get_key (call);
  StrandWireCall fixed = { -1, index, MAX (strand_call_get_attempt (call), 1), 0, 0, 0, 0 };
  gsize frame = strand_wire_begin (&self->out, STRAND_WIRE_CALL, ++self->n_calls);

  if (deadline_us > 0)
    fixed.remaining_us = MAX (deadline_us - strand_clock_monotonic_us (), 0);
  if (g_variant_get_size (arguments) <= STRAND_WIRE_MAX_PAYLOAD && g_variant_n_children (arguments) > 0)
    fixed.arguments_size = (guint32) g_variant_get_size (arguments);
  fixed.headers_size = (guint32) g_variant_get_size (headers);
  fixed.key_size = (guint32) strlen (key);
  strand_wire_append (&self->out, &fixed, sizeof fixed);
  if (g_variant_n_children (arguments) > 0)
    strand_wire_append_variant (&self->out, arguments);
  strand_wire_pad (&self->out, frame);
  strand_wire_append_variant (&self->out, headers);
  strand_wire_pad (&self->out, frame);
  strand_wire_append (&self->out, key, fixed.key_size);
  if (strand_wire_end (&self->out, frame))
    return TRUE;

  self->n_calls--;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_TOO_LARGE,
               "Could not call '%s' in a helper process: its arguments have %" G_GSIZE_FORMAT
               " bytes, and at most %d go there; pass a file's name instead",
               strand_call_get_function_name (call), g_variant_get_size (arguments), STRAND_WIRE_MAX_PAYLOAD);
  return FALSE;
}

gboolean
helper_flush (Helper *self)
{
  while (!strand_wire_buffer_is_empty (&self->out))
    if (strand_wire_send (&self->out, self->data, MSG_DONTWAIT) < 0)
      return errno == EAGAIN;
  return TRUE;
}

int
helper_receive (Helper *self)
{
  gssize n = strand_wire_receive (&self->in, self->data, MSG_DONTWAIT);

  if (n > 0)
    return 1;
  return n < 0 && errno == EAGAIN ? 0 : -1;
}

void
helper_post_control (Helper *self, StrandWireType type, guint64 number, guint64 credit)
{
  struct
  {
    StrandWireHead head;
    guint64 credit;
  } message = { { sizeof credit, type, number }, credit };

  /* A full socket means a helper that is stopped or hangs: stop() has stronger means. */
  while (send (self->control, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == EINTR)
    ;
}

/* Stderr. */

static void
log_lines (Helper *self, const char *text, gsize size)
{
  g_autofree char *copy = g_utf8_make_valid (text, (gssize) size);
  g_auto(GStrv) lines = g_strsplit (copy, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (lines[i][0] != '\0')
      g_message ("helper %d: %s", (int) self->pid, lines[i]);
}

void
helper_drain_stderr (Helper *self)
{
  char buffer[4096];
  gssize n = -1;

  while (self->err >= 0 && ((n = read (self->err, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)))
    {
      if (n < 0)
        continue;
      if (self->stderr_mode == STDERR_LOG)
        log_lines (self, buffer, (gsize) n);
      g_string_append_len (self->last_words, buffer, n);
      if (self->last_words->len > LAST_WORDS_BYTES)
        g_string_erase (self->last_words, 0, (gssize) (self->last_words->len - LAST_WORDS_BYTES));
      if (n < (gssize) sizeof buffer)
        return;
    }
  if (self->err >= 0 && n == 0)
    clear_fd (&self->err);
}

/* Its end. */

gint64
helper_get_resident_bytes (Helper *self)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/statm", (int) self->pid);
  g_autofree char *text = NULL;
  const char *resident;

  if (!g_file_get_contents (path, &text, NULL, NULL) || (resident = strchr (text, ' ')) == NULL)
    return 0;
  return g_ascii_strtoll (resident, NULL, 10) * (gint64) sysconf (_SC_PAGESIZE);
}

char *
helper_describe_death (Helper *self)
{
  GString *text = g_string_new (NULL);
  g_autofree char *words = NULL;
  int status;

  helper_drain_stderr (self);
  status = reap (self);
  if (status == -1)
    g_string_append (text, "it is gone, and somebody else has taken its exit status");
  else if (WIFSIGNALED (status))
    g_string_append_printf (text, "it was killed by signal %d (%s)", WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));
  else
    g_string_append_printf (text, "it exited with status %d", WEXITSTATUS (status));

  words = g_utf8_make_valid (self->last_words->str, (gssize) self->last_words->len);
  g_strstrip (words);
  if (*words != '\0')
    g_string_append_printf (text, "; the end of its stderr is: %s", words);
  return g_string_free (text, FALSE);
}
