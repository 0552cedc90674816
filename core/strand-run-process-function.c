/* strand-run-process-function.c — a function that is a process, under a guard.
 *
 * It runs on the main thread, with everything that a call has but a consumer. SIGTERM is its cancellation, so
 * it can clean up before the guard kills it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-call.h"
#include "strand-error.h"
#include "strand-registry.h"
#include "strand-run-process-private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

static int told_fd = -1;

static void
on_sigterm (int number)
{
  guint64 one = 1;
  int saved = errno;

  if (write (told_fd, &one, sizeof one) < 0)
    _exit (128 + number); /* there is no other way to hear it */
  errno = saved;
}

static gpointer
cancel_when_told (gpointer data)
{
  guint64 n;

  while (read (told_fd, &n, sizeof n) < 0 && errno == EINTR)
    ;
  strand_call_cancel (data);
  return NULL;
}

/* A handler, not a blocked signal: what the function starts would inherit the mask, and be deaf. */
static void
listen_for_end (StrandCall *call)
{
  struct sigaction action = { .sa_handler = on_sigterm, .sa_flags = SA_RESTART };

  told_fd = eventfd (0, EFD_CLOEXEC);
  g_thread_unref (g_thread_new ("strand-watch", cancel_when_told, strand_call_ref (call)));
  sigaction (SIGTERM, &action, NULL);
}

static void
on_ended (StrandCall *call, gpointer data)
{
  /* strand_guarded_main() looks when the function has returned. */
}

static gboolean
on_item (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  return TRUE; /* nobody is there to take it */
}

static const StrandAttemptFuncs attempt_funcs = { NULL, NULL, on_ended, on_item };

static StrandCall *
make_call (GError **error)
{
  g_autoptr(GMappedFile) file = g_mapped_file_new_from_fd (STRAND_GUARDED_SETTINGS_FD, FALSE, error);
  g_autoptr(GBytes) bytes = file != NULL ? g_mapped_file_get_bytes (file) : NULL;
  g_autoptr(GVariant) settings = NULL;
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GVariant) bound = NULL;
  g_autoptr(StrandFunction) function = NULL;
  g_autofree const char **modules = NULL;
  const char *name;

  if (bytes == NULL)
    return NULL;
  settings = g_variant_ref_sink (
      g_variant_new_from_bytes (G_VARIANT_TYPE (STRAND_GUARD_SETTINGS_TYPE), bytes, FALSE));
  g_variant_get_child (settings, 7, "^a&s", &modules);
  g_variant_get_child (settings, 8, "&s", &name);
  g_variant_get_child (settings, 9, "v", &arguments);
  for (guint i = 0; modules[i] != NULL; i++)
    if (!strand_registry_load_module (strand_registry_get_default (), modules[i], error))
      return NULL;
  function = strand_registry_lookup (strand_registry_get_default (), name, error);
  if (function == NULL)
    return NULL;
  /* The same check as in the program: a module may be another one by now. */
  bound = strand_function_bind (function, arguments, NULL, error);
  if (bound == NULL)
    return NULL;
  return strand_call_new_for_function (function, bound, NULL, 1, &attempt_funcs, NULL, -1);
}

static void
write_outcome (const GError *error)
{
  g_autofree char *text = g_utf8_make_valid (error->message, -1);
  g_autoptr(GVariant) outcome = g_variant_ref_sink (
      g_variant_new (STRAND_GUARD_OUTCOME_TYPE, g_quark_to_string (error->domain), error->code, text));
  const char *data = g_variant_get_data (outcome);
  gsize size = g_variant_get_size (outcome);
  gssize n = 0;

  for (gsize done = 0; done < size && n >= 0; done += (gsize) n)
    n = pwrite (STRAND_GUARDED_OUTCOME_FD, data + done, size - done, (off_t) done);
}

int
strand_guarded_main (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandCall) call = NULL;
  const GError *failure;

  for (int fd = STRAND_GUARDED_SETTINGS_FD; fd <= STRAND_GUARDED_OUTCOME_FD; fd++)
    if (fcntl (fd, F_SETFD, FD_CLOEXEC) != 0)
      {
        g_printerr ("A guarded function is started by strand_process_start(), not by hand\n");
        return 2;
      }
  /* Of use here, for the guard's first thread has started this and stays to its end. */
  prctl (PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  call = make_call (&error);
  if (call != NULL)
    {
      listen_for_end (call);
      strand_call_run (strand_call_ref (call));
    }
  failure = call != NULL ? strand_call_get_error (call) : error;
  if (failure == NULL)
    return 0;
  write_outcome (failure);
  g_printerr ("%s\n", failure->message);
  return 1;
}
