/* bench-process.c — the process runner beside what a socketpair alone can do.
 *
 * The peer is a process that echoes: 64 messages in flight, then one at a time. Calls go from the main thread
 * to a helper and back into the main context. SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdlib.h>
#include <strand.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define N_CALLS 20000
#define N_ROUNDS 5
#define N_SINGLE 3000
#define IN_FLIGHT 64

/* As much as a call without arguments is on its way. */
#define MESSAGE_BYTES 64

static guint n_started, n_ended, n_wanted;

static void
on_end (StrandCall *call, GVariant *value, gpointer task)
{
  n_ended++;
  if (n_started < n_wanted)
    {
      n_started++;
      strand_task_post (task, NULL);
    }
}

static void
on_error (StrandCall *call, const GError *error, gpointer task)
{
  g_error ("%s", error->message);
}

/* Calls a second. */
static double
measure_calls (StrandTask *task, guint n_calls, guint in_flight)
{
  double start = bench_seconds ();

  n_wanted = n_calls;
  n_started = n_ended = 0;
  while (n_started < MIN (in_flight, n_calls))
    {
      n_started++;
      strand_task_post (task, NULL);
    }
  while (n_ended < n_calls)
    g_main_context_iteration (NULL, TRUE);
  return n_calls / (bench_seconds () - start);
}

/* The peer: this program again, with its end of the socket as stdin. */
static int
echo (void)
{
  char message[MESSAGE_BYTES];

  while (recv (0, message, sizeof message, 0) == sizeof message)
    if (send (0, message, sizeof message, MSG_NOSIGNAL) != sizeof message)
      break;
  return 0;
}

static GSubprocess *
start_echo (const char *program, int *fd)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_NONE);
  GSubprocess *process;
  int ends[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), ==, 0);
  g_subprocess_launcher_take_stdin_fd (launcher, ends[1]);
  process = g_subprocess_launcher_spawn (launcher, &error, program, "--echo", NULL);
  g_assert_no_error (error);
  *fd = ends[0];
  return process;
}

/* Messages a second. */
static double
measure_echo (int fd, guint n_messages, guint in_flight)
{
  char message[MESSAGE_BYTES] = "hello";
  double start = bench_seconds ();
  guint sent = 0;

  for (guint received = 0; received < n_messages; received++)
    {
      while (sent < n_messages && sent - received < in_flight)
        {
          g_assert_cmpint (send (fd, message, sizeof message, 0), ==, sizeof message);
          sent++;
        }
      g_assert_cmpint (recv (fd, message, sizeof message, 0), ==, sizeof message);
    }
  return n_messages / (bench_seconds () - start);
}

static void
compare_rates (StrandTask *task, int fd)
{
  double own[N_ROUNDS], peer[N_ROUNDS];

  for (guint i = 0; i < N_ROUNDS; i++)
    {
      peer[i] = measure_echo (fd, N_CALLS * 5, IN_FLIGHT);
      own[i] = measure_calls (task, N_CALLS, IN_FLIGHT);
    }
  bench_report ("process: no-op, 2 warm helpers, 64 in flight", bench_median (own, N_ROUNDS), "calls/s",
                bench_median (peer, N_ROUNDS), "socketpair echo");
}

static void
compare_latency (StrandTask *task, int fd)
{
  g_autofree double *own = g_new (double, N_SINGLE);
  g_autofree double *peer = g_new (double, N_SINGLE);

  for (guint i = 0; i < N_SINGLE; i++)
    {
      /* In turns of a hundred: each turn finds its caches warm, and both see the same machine. */
      for (guint j = i; i % 100 == 0 && j < i + 100; j++)
        peer[j] = 1e6 / measure_echo (fd, 1, 1);
      own[i] = 1e6 / measure_calls (task, 1, 1);
    }
  bench_report ("process: one at a time, p50", bench_median (own, N_SINGLE), "us",
                bench_median (peer, N_SINGLE), "socketpair ping-pong");
}

static GVariant *
do_nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static gboolean
register_functions (StrandRegistry *registry, GError **error)
{
  return strand_registry_add (registry, "bench.nothing", "", NULL, do_nothing, NULL, NULL, error);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) peer = NULL;
  g_autoptr(StrandTask) task = NULL;
  int fd;

  strand_helper_main (argc, argv, register_functions);
  if (argc > 1 && strcmp (argv[1], "--echo") == 0)
    return echo ();

  peer = start_echo (argv[0], &fd);
  task = strand_as_task ("bench.nothing", "process", &error, "workers", 2, "min-idle", 2, NULL);
  g_assert_no_error (error);
  strand_task_on_end (task, on_end, task, NULL);
  strand_task_on_error (task, on_error, task, NULL);
  measure_calls (task, 1000, IN_FLIGHT);

  compare_rates (task, fd);
  compare_latency (task, fd);
  close (fd);
  g_subprocess_wait (peer, NULL, NULL);
  return 0;
}
