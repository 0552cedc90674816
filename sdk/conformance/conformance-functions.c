/* conformance-functions.c — the function module of the conformance suites.
 *
 * Suites call these where a call may leave the process. What a case has to know of a function while it runs
 * goes through files, whose paths are arguments: a function makes one file to say that it has begun, and
 * looks for another that tells it to go on. SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* How often a function looks for the file that it waits for. */
#define LOOK_US 1000

static gboolean
append_byte (const char *path, GError **error)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  gboolean done = fd >= 0 && write (fd, ".", 1) == 1;

  if (!done)
    g_set_error (error, G_IO_ERROR, g_io_error_from_errno (errno), "Could not write '%s': %s", path,
                 g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return done;
}

static gboolean
is_there (const char *path)
{
  return access (path, F_OK) == 0;
}

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static GVariant *
do_echo (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_get_child_value (arguments, 0);
}

static GVariant *
do_add (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 a, b;

  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

static GVariant *
do_fail (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *domain, *message;
  int code;

  g_variant_get (arguments, "(&si&s)", &domain, &code, &message);
  g_set_error_literal (error, g_quark_from_string (domain), code, message);
  return NULL;
}

static gboolean
emit_some (StrandContext *context, guint n, GError **error)
{
  for (guint i = 0; i < n; i++)
    if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
      return FALSE;
  return TRUE;
}

static GVariant *
do_emit (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n;

  g_variant_get (arguments, "(u)", &n);
  return emit_some (context, n, error) ? g_variant_new_uint32 (n) : NULL;
}

static GVariant *
do_emit_and_fail (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n;

  g_variant_get (arguments, "(u)", &n);
  if (emit_some (context, n, error))
    g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_NOSPC, "no room after %u items", n);
  return NULL;
}

/* Says after each item how many there have been, so that a case sees it wait for its consumer; in the end,
 * why it stopped. */
static GVariant *
do_emit_for_ever (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *count;

  g_variant_get (arguments, "(&s)", &count);
  for (guint i = 0; strand_context_emit (context, g_variant_new_uint32 (i), error); i++)
    if (!append_byte (count, error))
      return NULL;
  return NULL;
}

static GVariant *
do_list (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  GVariantBuilder builder;
  guint n;

  g_variant_get (arguments, "(u)", &n);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("au"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "u", i);
  return g_variant_builder_end (&builder);
}

static GVariant *
do_lie (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_string ("not a number");
}

static GVariant *
do_give_object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_take_object (context, g_object_new (G_TYPE_OBJECT, NULL));
  return NULL;
}

static GVariant *
do_mark (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *path;

  g_variant_get (arguments, "(&s)", &path);
  append_byte (path, error);
  return NULL;
}

static gboolean
wait_for_file (StrandContext *context, const char *path, GError **error)
{
  while (!is_there (path))
    if (!strand_context_sleep (context, LOOK_US, error))
      return FALSE;
  return TRUE;
}

static GVariant *
do_hold (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *entered, *gate;

  g_variant_get (arguments, "(&s&s)", &entered, &gate);
  if (!append_byte (entered, error) || !wait_for_file (context, gate, error))
    return NULL;
  return g_variant_new_string ("held");
}

static GVariant *
do_ignore (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *entered, *gate;

  g_variant_get (arguments, "(&s&s)", &entered, &gate);
  if (!append_byte (entered, error))
    return NULL;
  while (!is_there (gate))
    g_usleep (LOOK_US);
  return append_byte (entered, error) ? g_variant_new_string ("ignored") : NULL;
}

/* Listens to its cancellable, and ends well all the same. */
static GVariant *
do_finish_anyway (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *entered;

  g_variant_get (arguments, "(&s)", &entered);
  if (!append_byte (entered, error))
    return NULL;
  while (strand_context_sleep (context, G_USEC_PER_SEC, NULL))
    ;
  return g_variant_new_string ("finished");
}

static GVariant *
do_fail_anyway (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *entered;

  g_variant_get (arguments, "(&s)", &entered);
  if (!append_byte (entered, error))
    return NULL;
  while (strand_context_sleep (context, G_USEC_PER_SEC, NULL))
    ;
  g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_IO, "stopped in the middle of writing");
  return NULL;
}

static GVariant *
do_progress (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *entered, *gate;

  g_variant_get (arguments, "(&s&s)", &entered, &gate);
  strand_context_set_progress (context, 0.25, "a quarter");
  strand_context_set_metadata (context, "colour", g_variant_new_string ("red"));
  if (!append_byte (entered, error) || !wait_for_file (context, gate, error))
    return NULL;
  strand_context_set_progress (context, 0.75, "three quarters");
  return g_variant_new_string ("done");
}

static GVariant *
do_describe (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GVariant) headers = strand_context_dup_headers (context);
  gint64 deadline_us = strand_context_get_deadline (context);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "key", "s", strand_context_get_key (context));
  g_variant_dict_insert (&dict, "attempt", "u", strand_context_get_attempt (context));
  g_variant_dict_insert (&dict, "has-deadline", "b", deadline_us > 0);
  g_variant_dict_insert (&dict, "left", "x",
                         deadline_us > 0 ? deadline_us - strand_clock_monotonic_us () : -1);
  g_variant_dict_insert (&dict, "cancelled", "b", strand_context_is_cancelled (context, NULL));
  g_variant_dict_insert (&dict, "process", "i", (gint32) getpid ());
  g_variant_dict_insert_value (&dict, "headers", headers);
  return g_variant_dict_end (&dict);
}

static GVariant *
do_crash (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  int number;

  g_variant_get (arguments, "(i)", &number);
  /* Whatever handler the process has. */
  signal (number, SIG_DFL);
  raise (number);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "Signal %d does not end a process", number);
  return NULL;
}

static const struct
{
  const char *name;
  const char *signature;
  const char *help;
  StrandTraits traits;
  StrandFunc func;
} functions[] = {
  { "conformance.nothing", "", "Returns nothing", STRAND_TRAIT_NONE, do_nothing },
  { "conformance.echo", "text:s -> s", "Gives back its argument", STRAND_TRAIT_NONE, do_echo },
  { "conformance.value", "value:v -> v", "Gives back its argument", STRAND_TRAIT_NONE, do_echo },
  { "conformance.add", "a:x b:x -> x", "Adds", STRAND_TRAIT_NONE, do_add },
  { "conformance.fail", "domain:s code:i message:s", "Fails with that error", STRAND_TRAIT_NONE, do_fail },
  { "conformance.emit", "n:u -> u", "Emits 0 to n-1", STRAND_TRAIT_NONE, do_emit },
  { "conformance.emit-and-fail", "n:u", "Emits 0 to n-1, then fails", STRAND_TRAIT_NONE, do_emit_and_fail },
  { "conformance.emit-for-ever", "count:s", "Emits until it may not; appends a byte to 'count' for each",
    STRAND_TRAIT_NONE, do_emit_for_ever },
  { "conformance.list", "n:u -> au", "Returns 0 to n-1", STRAND_TRAIT_NONE, do_list },
  { "conformance.null", "-> s", "Returns neither value nor error", STRAND_TRAIT_NONE, do_nothing },
  { "conformance.lie", "-> x", "Returns a string", STRAND_TRAIT_NONE, do_lie },
  { "conformance.object", "-> object", "Returns an object", STRAND_TRAIT_NONE, do_give_object },
  { "conformance.mark", "path:s", "Appends a byte to a file", STRAND_TRAIT_NONE, do_mark },
  { "conformance.hold", "entered:s gate:s -> s",
    "Appends a byte to 'entered', waits for 'gate' or its cancellation", STRAND_TRAIT_NONE, do_hold },
  { "conformance.ignore", "entered:s gate:s -> s", "The same, and does not listen to cancellation",
    STRAND_TRAIT_NONE, do_ignore },
  { "conformance.finish-anyway", "entered:s -> s", "Waits for its cancellation, and then returns a value",
    STRAND_TRAIT_NONE, do_finish_anyway },
  { "conformance.fail-anyway", "entered:s", "Waits for its cancellation, and then fails with another error",
    STRAND_TRAIT_NONE, do_fail_anyway },
  { "conformance.progress", "entered:s gate:s -> s", "As hold; sets progress, message and metadata",
    STRAND_TRAIT_NONE, do_progress },
  { "conformance.describe", "-> a{sv}", "What it knows of its call", STRAND_TRAIT_NONE, do_describe },
  { "conformance.crash", "signal:i", "Raises a signal on its own process", STRAND_TRAIT_NONE, do_crash },
  { "conformance.main-thread", "", "Marked main-thread-only", STRAND_TRAIT_MAIN_THREAD_ONLY, do_nothing },
  { "conformance.single", "", "Marked not-reentrant", STRAND_TRAIT_NOT_REENTRANT, do_nothing },
  { "conformance.local", "", "Marked not-portable", STRAND_TRAIT_NOT_PORTABLE, do_nothing },
};

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr(StrandFunction) function =
          strand_function_new (functions[i].name, functions[i].signature, functions[i].help,
                               functions[i].traits, functions[i].func, NULL, NULL, error);

      if (function == NULL || !strand_registry_add_function (registry, function, error))
        return FALSE;
    }
  return TRUE;
}
