/* demo.c — a function module to try strand with: small functions that each show one thing.
 *
 * Some behave (they report progress, emit items, stop when asked), some do on purpose what real functions do
 * by mistake: ignore cancellation, fail, crash, leave a process behind. Loaded with `-m demo`.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include <strand-plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* 1 000 000! has 5.6 million digits and takes minutes: whoever asks for more mistyped. */
#define MAX_FACTORIAL 1000000

/* Nine digits a limb: the product of a limb and a 32-bit factor, with carry, fits into 64 bits. */
#define LIMB 1000000000u

/* The sieve takes a byte a number; the 5.8 million primes below it fit into a record. */
#define MAX_PRIMES 100000000u

/* Large enough that system calls cost little beside hashing, small enough to hear of cancellation soon. */
#define READ_BYTES (256 * 1024)

/* A century. Longer is a mistake, and would not fit into microseconds for ever. */
#define MAX_SECONDS (100.0 * 365.25 * 86400.0)

static gboolean
check_seconds (double seconds, GError **error)
{
  if (isfinite (seconds) && seconds >= 0 && seconds <= MAX_SECONDS)
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "'seconds' is %g; a number from 0 to %g is allowed", seconds, MAX_SECONDS);
  return FALSE;
}

static GVariant *
demo_echo (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  return g_variant_get_child_value (arguments, 0);
}

static GVariant *
demo_add (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 a, b, sum;

  g_variant_get (arguments, "(xx)", &a, &b);
  if (!__builtin_add_overflow (a, b, &sum))
    return g_variant_new_int64 (sum);

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED,
               "%" G_GINT64_FORMAT " and %" G_GINT64_FORMAT " have a sum beyond 64 bits", a, b);
  return NULL;
}

/* Multiplies a number of limbs, the lowest first. */
static void
multiply (GArray *limbs, guint32 factor)
{
  guint64 carry = 0;

  for (guint i = 0; i < limbs->len; i++)
    {
      carry += (guint64) g_array_index (limbs, guint32, i) * factor;
      g_array_index (limbs, guint32, i) = (guint32) (carry % LIMB);
      carry /= LIMB;
    }
  while (carry > 0)
    {
      guint32 limb = (guint32) (carry % LIMB);

      g_array_append_val (limbs, limb);
      carry /= LIMB;
    }
}

static char *
limbs_to_string (GArray *limbs)
{
  GString *text = g_string_sized_new (9 * limbs->len + 1);

  g_string_append_printf (text, "%u", g_array_index (limbs, guint32, limbs->len - 1));
  for (guint i = limbs->len - 1; i > 0; i--)
    g_string_append_printf (text, "%09u", g_array_index (limbs, guint32, i - 1));
  return g_string_free (text, FALSE);
}

static GVariant *
demo_factorial (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_autoptr(GArray) limbs = g_array_new (FALSE, FALSE, sizeof (guint32));
  guint32 one = 1, factor = 1;
  guint64 n;

  g_variant_get (arguments, "(t)", &n);
  if (n > MAX_FACTORIAL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'n' is %" G_GUINT64_FORMAT "; at most %d is allowed", n, MAX_FACTORIAL);
      return NULL;
    }

  g_array_append_val (limbs, one);
  for (guint32 k = 2; k <= n; k++)
    {
      /* Several factors at a time, while they fit: a pass over all limbs is what costs. */
      if ((guint64) factor * k <= G_MAXUINT32)
        {
          factor *= k;
          continue;
        }
      multiply (limbs, factor);
      factor = k;
      if (strand_context_is_cancelled (context, error))
        return NULL;
      strand_context_set_progress (context, (double) k / (double) n, NULL);
    }
  multiply (limbs, factor);
  return g_variant_new_take_string (limbs_to_string (limbs));
}

static GVariant *
demo_sleep (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  double seconds;

  g_variant_get (arguments, "(d)", &seconds);
  if (!check_seconds (seconds, error) ||
      !strand_context_sleep (context, (gint64) (seconds * G_USEC_PER_SEC), error))
    return NULL;
  return g_variant_new_double (seconds);
}

static GVariant *
demo_spin (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  gint64 end_us = g_get_monotonic_time ();
  double seconds;

  g_variant_get (arguments, "(d)", &seconds);
  if (!check_seconds (seconds, error))
    return NULL;
  end_us += (gint64) (seconds * G_USEC_PER_SEC);
  while (g_get_monotonic_time () < end_us)
    ;
  return g_variant_new_double (seconds);
}

static GVariant *
demo_fail (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  const char *message;

  g_variant_get (arguments, "(&s)", &message);
  g_set_error_literal (error, STRAND_ERROR, STRAND_ERROR_FAILED, message);
  return NULL;
}

static GVariant *
demo_crash (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  int number;

  g_variant_get (arguments, "(i)", &number);
  /* Whatever handler the program has, a crash is to look like one. */
  signal (number, SIG_DFL);
  if (raise (number) != 0)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT, "Could not raise signal %d: %s", number,
                 g_strerror (errno));
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_FAILED, "Signal %d does not end a process", number);
  return NULL;
}

static GVariant *
demo_count (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  guint32 n;

  g_variant_get (arguments, "(u)", &n);
  for (guint32 i = 0; i < n; i++)
    {
      if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
        return NULL;
      strand_context_set_progress (context, ((double) i + 1) / n, NULL);
    }
  return g_variant_new_uint32 (n);
}

static GVariant *
demo_primes (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_autofree guint8 *composite = NULL;
  GVariantBuilder primes;
  guint64 limit;

  g_variant_get (arguments, "(t)", &limit);
  if (limit > MAX_PRIMES)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                   "'limit' is %" G_GUINT64_FORMAT "; at most %u is allowed", limit, MAX_PRIMES);
      return NULL;
    }

  composite = g_malloc0 (limit + 1);
  g_variant_builder_init (&primes, G_VARIANT_TYPE ("at"));
  for (guint64 n = 2; n <= limit; n++)
    {
      if (composite[n])
        continue;
      g_variant_builder_add (&primes, "t", n);
      for (guint64 multiple = n * n; multiple <= limit; multiple += n)
        composite[multiple] = TRUE;
      if (strand_context_is_cancelled (context, error))
        {
          g_variant_builder_clear (&primes);
          return NULL;
        }
      strand_context_set_progress (context, (double) n / (double) limit, NULL);
    }
  return g_variant_builder_end (&primes);
}

/* A string is UTF-8, a file name any bytes: a name that is no UTF-8, or looks like a URI, comes as a `file:`
 * URI, which is what `strand map --files` makes of it. */
static char *
file_name_of (const char *text, GError **error)
{
  return g_str_has_prefix (text, "file:") ? g_filename_from_uri (text, NULL, error) : g_strdup (text);
}

/* O_NONBLOCK: opening a fifo must not hang; it is then refused for what it is. */
static int
open_regular (const char *name, gint64 *size, GError **error)
{
  int fd = open (name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat st;

  if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode))
    {
      *size = st.st_size;
      return fd;
    }

  if (fd < 0)
    g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
  else
    g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_REGULAR_FILE, "it is no regular file");
  if (fd >= 0)
    close (fd);
  return -1;
}

static gboolean
hash_descriptor (StrandContext *context, int fd, gint64 size, GChecksum *checksum, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (READ_BYTES);
  gint64 done = 0;
  gssize n;

  for (;;)
    {
      n = read (fd, buffer, READ_BYTES);
      if (n == 0)
        return TRUE;
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          g_set_error_literal (error, G_IO_ERROR, g_io_error_from_errno (errno), g_strerror (errno));
          return FALSE;
        }
      g_checksum_update (checksum, buffer, n);
      done += n;
      if (strand_context_is_cancelled (context, error))
        return FALSE;
      /* A file that grows meanwhile is not more than done. */
      if (done < size)
        strand_context_set_progress (context, (double) done / (double) size, NULL);
    }
}

static GVariant *
demo_sha256 (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autofree char *name = NULL;
  const char *text;
  gboolean done = FALSE;
  gint64 size = 0;
  int fd = -1;

  g_variant_get (arguments, "(&s)", &text);
  name = file_name_of (text, error);
  if (name != NULL)
    fd = open_regular (name, &size, error);
  if (fd >= 0)
    {
      done = hash_descriptor (context, fd, size, checksum, error);
      close (fd);
    }
  if (done)
    return g_variant_new_string (g_checksum_get_string (checksum));

  if (!g_error_matches (*error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_prefix_error (error, "Could not hash '%s': ", text);
  return NULL;
}

static GVariant *
demo_spawn (StrandContext *context, GVariant *arguments, gpointer user_data, GError **error)
{
  g_autoptr(GSubprocess) process = NULL;
  char text[G_ASCII_DTOSTR_BUF_SIZE];
  double seconds;

  g_variant_get (arguments, "(d)", &seconds);
  if (!check_seconds (seconds, error))
    return NULL;
  /* Silenced, so that nobody who reads our output waits for the sleeper's end. */
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_SILENCE, error,
                              "sleep", g_ascii_formatd (text, sizeof text, "%.6f", seconds), NULL);
  if (process == NULL)
    return NULL;
  return g_variant_new_int32 ((gint32) g_ascii_strtoll (g_subprocess_get_identifier (process), NULL, 10));
}

static const struct
{
  const char *name;
  const char *signature;
  const char *help;
  StrandFunc func;
} functions[] = {
  { "demo.echo", "text:s -> s", "Gives back its argument", demo_echo },
  { "demo.add", "a:x b:x -> x", "Adds two integers", demo_add },
  { "demo.factorial", "n:t -> s", "n! in decimal digits, exactly", demo_factorial },
  { "demo.sleep", "seconds:d -> d", "Sleeps; stops when cancelled", demo_sleep },
  { "demo.spin", "seconds:d -> d", "Keeps a processor busy and does not listen to cancellation", demo_spin },
  { "demo.fail", "message:s", "Fails with a message", demo_fail },
  { "demo.crash", "signal:i", "Raises a signal on its own process", demo_crash },
  { "demo.count", "n:u -> u", "Emits 0 to n-1, with progress", demo_count },
  { "demo.primes", "limit:t -> at", "The primes up to a limit", demo_primes },
  { "demo.sha256", "file:s -> s", "SHA-256 of a file's content, in hex; takes a name or a file: URI",
    demo_sha256 },
  { "demo.spawn", "seconds:d -> i", "Starts a process that sleeps, and gives its id", demo_spawn },
};

gboolean
strand_module_register (StrandRegistry *registry, GError **error)
{
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    if (!strand_registry_add (registry, functions[i].name, functions[i].signature, functions[i].help,
                              functions[i].func, NULL, NULL, error))
      return FALSE;
  return TRUE;
}
