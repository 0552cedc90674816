/* chaos-queue.c — writers and workers of a queue are killed, stopped and cut off, and no call is lost.
 *
 *     chaos-queue --store TYPE [--seconds N] [--calls N] [--kills N] [--seed N] [--pause MS] [--lease MS]
 *                 [--log FILE] [--unfenced]
 *
 * Writers launch calls under keys of their own and say which were accepted; workers, some of them in a pid
 * namespace of their own as if on another host, run them; a follower waits for their ends. Every few
 * milliseconds one of them is killed, stopped until its lease is over, or told to end, a helper is killed,
 * the store goes away for a while, or the other host is cut off from it. All of it goes on for as many
 * seconds, calls and kills as were asked for. Then the last healthy worker runs what is left, and the log and
 * the store are compared (queue-checker.c).
 *
 * With `--unfenced` the stores of the workers forget whose turn it is, and the test is that this is found.
 * The seed decides what is tried; the machine, when.              SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "strand-plugin.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue-actors.h"
#include "queue-checker.h"
#include "queue-stage.h"

#define N_WRITERS 2

/* For what must come about at last. Sanitizers are slow, and so is a machine with much else to do. */
#define DEADLINE_US (300 * G_USEC_PER_SEC)

/* How often the director looks around, and how often a store is. */
#define LOOK_MS 20
#define OBSERVE_US (50 * 1000)

#define TELL_AGAIN_US (G_USEC_PER_SEC / 2)

/* Of what has ended, so many are looked at each time. */
#define N_SAMPLES 20

#define MAX_SHOWN_FAULTS 30

static char *option_store; /* sqlite by default */
static int option_seconds = 6;
static int option_calls = 0;
static int option_kills = 0;
static int option_seed = -1;
static int option_pause = 120;
static int option_lease = 1500;
static char *option_log;
static gboolean option_unfenced;

/* Of an actor's command line. */
static Part part;

static const GOptionEntry entries[] = {
  { "store", 0, 0, G_OPTION_ARG_STRING, &option_store, "filesystem, sqlite or redis", "TYPE" },
  { "seconds", 0, 0, G_OPTION_ARG_INT, &option_seconds, "How long to go on at least", "N" },
  { "calls", 0, 0, G_OPTION_ARG_INT, &option_calls, "How many calls to launch at least", "N" },
  { "kills", 0, 0, G_OPTION_ARG_INT, &option_kills, "How many processes to kill at least", "N" },
  { "seed", 0, 0, G_OPTION_ARG_INT, &option_seed, "What to try; another each time by default", "N" },
  { "pause", 0, 0, G_OPTION_ARG_INT, &option_pause, "Between two deeds, on average", "MS" },
  { "lease", 0, 0, G_OPTION_ARG_INT, &option_lease, "How long the workers' leases last", "MS" },
  { "log", 0, 0, G_OPTION_ARG_FILENAME, &option_log, "Where to keep the log", "FILE" },
  { "unfenced", 0, 0, G_OPTION_ARG_NONE, &option_unfenced, "Without fencing: faults must be found", NULL },
  { "role", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &part.role, NULL, NULL },
  { "place", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &part.place, NULL, NULL },
  { "runner", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_STRING, &part.runner, NULL, NULL },
  { "number", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &part.number, NULL, NULL },
  { NULL },
};

/* --- the run -------------------------------------------------------------------------------------------- */

typedef struct _Run Run;

/* A place in the play, and who has it now. */
typedef struct
{
  Run *run;
  const char *role;
  const char *runner;
  gboolean elsewhere;
  int number;
  pid_t pid; /* 0 for nobody */
  int fd;    /* the process, for signals: its number may be another's by now */
  gboolean stopped;
  gboolean doomed; /* by a signal that ends it */
  gint64 told_us;  /* when it was told to end for good */
} Cast;

struct _Run
{
  Stage *stage;
  GRand *rand;
  char *folder;
  char *log;
  char *output; /* what actors say on stderr */
  int output_fd;
  gboolean two_hosts;
  GArray *namespaces; /* of int */
  Cast cast[N_WRITERS + 5];
  guint n_cast;
  int n_actors; /* so far */
  gint64 start_us;
  gint64 progress_us; /* when more had been accepted than before */
  guint n_before;     /* how many that were */
  gboolean ending;    /* who goes now stays away */
  gboolean outage;
  gboolean cut;
  guint n_kills, n_helper_kills, n_writer_kills, n_follower_kills, n_stops, n_ends, n_outages, n_cuts;
  char *fault; /* of the run itself */

  GThread *observer;
  GMutex lock;       /* guards the rest */
  gboolean over;     /* the observer ends */
  gboolean counting; /* the next two are wanted */
  gint64 n_waiting;  /* calls that have not ended; -1 while it is not known */
  gint64 n_workers;  /* records of workers; -1 likewise */
  guint n_accepted;  /* as far as the log has been read */
  GHashTable *seen;  /* of Seen, by key */
};

static void note_fault (Run *run, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
note_fault (Run *run, const char *format, ...)
{
  va_list args;

  if (run->fault != NULL)
    return;
  va_start (args, format);
  run->fault = g_strdup_vprintf (format, args);
  va_end (args);
}

/* --- the observer --------------------------------------------------------------------------------------- */

/* A record that has ended is noted, and the checker sees that it stays as it is. */
static void
look_at (Run *run, StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);
  Seen *seen;

  if (record == NULL || !strand_status_is_terminal (strand_record_get_status (record)) ||
      g_hash_table_contains (run->seen, key))
    return;
  seen = g_new0 (Seen, 1);
  seen->revision = strand_record_get_revision (record);
  seen->fence = strand_record_get_int (record, STRAND_FIELD_FENCE);
  seen->status = strand_record_get_status (record);
  g_hash_table_insert (run->seen, g_strdup (key), seen);
}

/* Reads on in the log: which calls were accepted. */
static void
read_accepted (Run *run, FILE *log, GPtrArray *keys)
{
  char line[512];
  long place = ftell (log);

  while (fgets (line, sizeof line, log) != NULL && strchr (line, '\n') != NULL)
    {
      const char *accepted = strstr (line, " accepted ");

      place = ftell (log);
      if (accepted != NULL)
        g_ptr_array_add (keys, g_strchomp (g_strdup (accepted + strlen (" accepted "))));
    }
  fseek (log, place, SEEK_SET); /* half a line is read again */
  g_mutex_lock (&run->lock);
  run->n_accepted = keys->len;
  g_mutex_unlock (&run->lock);
}

static void
count (Run *run, StrandStore *store)
{
  const StrandFilter waiting = { .statuses = 1 << STRAND_STATUS_PENDING | 1 << STRAND_STATUS_RUNNING };
  const StrandFilter workers = { .kind = "worker" };
  gint64 n_waiting = strand_store_count (store, &waiting, NULL);
  gint64 n_workers = strand_store_count (store, &workers, NULL);

  g_mutex_lock (&run->lock);
  run->n_waiting = n_waiting;
  run->n_workers = n_workers;
  g_mutex_unlock (&run->lock);
}

static gpointer
observe (gpointer data)
{
  Run *run = data;
  g_autoptr(StrandStore) store = stage_open_store (option_store, stage_get_place (run->stage), PATIENCE_US);
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  FILE *log = fopen (run->log, "re");
  GCond never;
  gboolean over = FALSE, counting;

  g_cond_init (&never);
  while (!over)
    {
      read_accepted (run, log, keys);
      for (guint i = 0; i < N_SAMPLES && keys->len > 0; i++)
        look_at (run, store, keys->pdata[g_random_int_range (0, (gint32) keys->len)]);
      g_mutex_lock (&run->lock);
      counting = run->counting;
      g_mutex_unlock (&run->lock);
      if (counting)
        count (run, store);
      g_mutex_lock (&run->lock);
      if (!run->over)
        g_cond_wait_until (&never, &run->lock, g_get_monotonic_time () + OBSERVE_US);
      over = run->over;
      g_mutex_unlock (&run->lock);
    }
  g_cond_clear (&never);
  fclose (log);
  strand_store_close (store);
  return NULL;
}

/* --- actors --------------------------------------------------------------------------------------------- */

static void start_actor (Cast *cast);

static gboolean
on_start_again (gpointer cast)
{
  if (!((Cast *) cast)->run->ending && ((Cast *) cast)->pid == 0)
    start_actor (cast);
  return G_SOURCE_REMOVE;
}

static void
on_gone (GPid pid, int status, gpointer data)
{
  Cast *cast = data;
  gboolean well = WIFEXITED (status)
                      ? WEXITSTATUS (status) == 0 || WEXITSTATUS (status) == ACTOR_WITHOUT_STORE
                      : WTERMSIG (status) == SIGTERM; /* so early that it knew no better */

  actors_say ("gone %d", cast->number);
  if (!well && !(cast->doomed && WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL))
    note_fault (cast->run, "%s %d ended with status %x", cast->role, cast->number, (guint) status);
  close (cast->fd);
  cast->pid = 0;
  cast->stopped = cast->doomed = FALSE;
  if (!cast->run->ending)
    g_timeout_add (status == 0 ? 0 : LOOK_MS, on_start_again, cast);
}

/* Between fork and exec: its output does not get among the test's. */
static void
redirect (gpointer run)
{
  dup2 (((Run *) run)->output_fd, STDOUT_FILENO);
  dup2 (((Run *) run)->output_fd, STDERR_FILENO);
}

/* As g_spawn_async(), in a pid namespace of its own, with a /proc of its own, as a container has it; and
 * where the stage has a line between two hosts, at its other end. */
static pid_t
spawn_elsewhere (Run *run, const char **argv)
{
  pid_t pid = (pid_t) syscall (SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);

  if (pid != 0)
    return pid;
  redirect (run);
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount ("proc", "/proc", "proc", 0, NULL) != 0 || !stage_cross (run->stage))
    _exit (99);
  execv (argv[0], (char **) argv);
  _exit (98);
}

/* Its number is not given to another while it is held: another host's process cannot be told to be dead by
 * what is found in its place. */
static void
hold_namespace (Run *run, pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/ns/pid", (int) pid);
  int fd = open (path, O_RDONLY | O_CLOEXEC);

  if (fd >= 0)
    g_array_append_val (run->namespaces, fd);
}

static void
start_actor (Cast *cast)
{
  Run *run = cast->run;
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *number = NULL;
  g_autofree char *seed = g_strdup_printf ("--seed=%d", option_seed);
  g_autofree char *lease = g_strdup_printf ("--lease=%d", option_lease);
  const char *argv[] = { program,      "--role",  cast->role, "--store",
                         option_store, "--place", NULL,       "--runner",
                         cast->runner, "--log",   run->log,   "--number",
                         NULL,         seed,      lease,      option_unfenced ? "--unfenced" : NULL,
                         NULL };
  g_autoptr(GError) error = NULL;

  cast->number = ++run->n_actors;
  argv[6] = cast->elsewhere ? stage_get_place_elsewhere (run->stage) : stage_get_place (run->stage);
  argv[12] = number = g_strdup_printf ("%d", cast->number);
  if (cast->elsewhere)
    {
      actors_say ("elsewhere %d", cast->number);
      cast->pid = spawn_elsewhere (run, argv);
      hold_namespace (run, cast->pid);
    }
  else
    g_spawn_async (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, redirect, run, &cast->pid, &error);
  g_assert_no_error (error);
  g_assert_cmpint (cast->pid, >, 0);
  cast->fd = (int) syscall (SYS_pidfd_open, cast->pid, 0);
  g_assert_cmpint (cast->fd, >=, 0);
  g_child_watch_add (cast->pid, on_gone, cast);
}

static gboolean
try_two_hosts (Run *run)
{
  const char *argv[] = { "/bin/true", NULL };
  pid_t pid = spawn_elsewhere (run, argv);
  int status;

  return pid > 0 && waitpid (pid, &status, 0) == pid && status == 0;
}

static void
add_cast (Run *run, const char *role, const char *runner, gboolean elsewhere)
{
  Cast *cast = &run->cast[run->n_cast++];

  *cast = (Cast){ .run = run, .role = role, .runner = runner, .elsewhere = elsewhere && run->two_hosts };
  start_actor (cast);
}

/* --- deeds ---------------------------------------------------------------------------------------------- */

static void
signal_actor (Cast *cast, int number, const char *deed)
{
  actors_say ("%s %d", deed, cast->number);
  cast->doomed |= number == SIGKILL;
  syscall (SYS_pidfd_send_signal, cast->fd, number, NULL, 0);
}

static gboolean
is_free (Cast *cast, const char *role)
{
  return cast->pid != 0 && !cast->doomed && !cast->stopped && strcmp (cast->role, role) == 0;
}

/* NULL where nobody of that role is there now. */
static Cast *
draw_cast (Run *run, const char *role)
{
  Cast *candidates[G_N_ELEMENTS (run->cast)];
  gint32 n = 0;

  for (guint i = 0; i < run->n_cast; i++)
    if (is_free (&run->cast[i], role))
      candidates[n++] = &run->cast[i];
  return n > 0 ? candidates[g_rand_int_range (run->rand, 0, n)] : NULL;
}

static gboolean
on_go_on (gpointer data)
{
  Cast *cast = data;

  if (!cast->stopped)
    return G_SOURCE_REMOVE;
  cast->stopped = FALSE;
  if (cast->pid != 0)
    signal_actor (cast, SIGCONT, "cont");
  return G_SOURCE_REMOVE;
}

/* For less than a lease, or for more. One at a time, for the others are to go on. */
static void
stop_worker (Run *run)
{
  Cast *cast = draw_cast (run, "worker");
  guint part_of_lease = (guint) g_rand_int_range (run->rand, option_unfenced ? 150 : 20, 300);

  for (guint i = 0; i < run->n_cast; i++)
    if (run->cast[i].stopped)
      return;
  if (cast == NULL)
    return;
  run->n_stops++;
  cast->stopped = TRUE;
  signal_actor (cast, SIGSTOP, "stop");
  g_timeout_add ((guint) option_lease * part_of_lease / 100, on_go_on, cast);
}

static void
kill_worker (Run *run)
{
  Cast *cast = draw_cast (run, "worker");

  if (cast == NULL)
    return;
  run->n_kills++;
  signal_actor (cast, SIGKILL, "kill");
}

static void
kill_writer (Run *run)
{
  Cast *cast = draw_cast (run, "writer");

  if (cast == NULL)
    return;
  run->n_writer_kills++;
  signal_actor (cast, SIGKILL, "kill");
}

static void
kill_follower (Run *run)
{
  Cast *cast = draw_cast (run, "follower");

  if (cast == NULL)
    return;
  run->n_follower_kills++;
  signal_actor (cast, SIGKILL, "kill");
}

static void
end_worker (Run *run)
{
  Cast *cast = draw_cast (run, "worker");

  if (cast == NULL)
    return;
  run->n_ends++;
  signal_actor (cast, SIGTERM, "term");
}

/* The first child that some thread of a worker has; 0 for none. */
static pid_t
find_child (Cast *cast)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int) cast->pid);
  g_autoptr(GDir) threads = g_dir_open (path, 0, NULL);
  const char *thread;

  while (threads != NULL && (thread = g_dir_read_name (threads)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, thread, "children", NULL);
      g_autofree char *text = NULL;

      if (g_file_get_contents (file, &text, NULL, NULL) && atoi (text) > 0)
        return atoi (text);
    }
  return 0;
}

/* Some child of a worker: a helper, or what is to become one. Looked for twice, so that what is held is no
 * other process that got the number in between. */
static void
kill_helper (Run *run)
{
  Cast *cast = draw_cast (run, "worker");
  pid_t child = cast != NULL && strcmp (cast->runner, "process") == 0 ? find_child (cast) : 0;
  int fd = child > 0 ? (int) syscall (SYS_pidfd_open, child, 0) : -1;

  if (fd < 0)
    return;
  if (find_child (cast) == child && syscall (SYS_pidfd_send_signal, cast->fd, 0, NULL, 0) == 0)
    {
      actors_say ("kill-helper %d", cast->number);
      run->n_helper_kills += syscall (SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
    }
  close (fd);
}

static gboolean
on_outage_over (gpointer data)
{
  Run *run = data;

  if (!run->outage)
    return G_SOURCE_REMOVE;
  run->outage = FALSE;
  stage_end_outage (run->stage);
  actors_say ("outage-over");
  return G_SOURCE_REMOVE;
}

static void
take_store_away (Run *run)
{
  const char *how;

  if (run->outage)
    return;
  actors_say ("outage");
  how = stage_begin_outage (run->stage, run->rand);
  if (how == NULL)
    {
      actors_say ("outage-over");
      return;
    }
  run->n_outages++;
  run->outage = TRUE;
  g_timeout_add ((guint) g_rand_int_range (run->rand, 50, option_lease), on_outage_over, run);
}

static gboolean
on_cut_over (gpointer data)
{
  Run *run = data;

  if (!run->cut)
    return G_SOURCE_REMOVE;
  run->cut = FALSE;
  stage_cut_line (run->stage, FALSE);
  actors_say ("cut-over");
  return G_SOURCE_REMOVE;
}

/* For less than a lease, or for more: who is at the other end is taken for dead, and comes back. */
static void
cut_line (Run *run)
{
  guint part_of_lease = (guint) g_rand_int_range (run->rand, 10, 200);

  if (run->cut || !run->two_hosts || !stage_has_line (run->stage))
    return;
  run->n_cuts++;
  run->cut = TRUE;
  actors_say ("cut");
  stage_cut_line (run->stage, TRUE);
  g_timeout_add ((guint) option_lease * part_of_lease / 100, on_cut_over, run);
}

typedef struct
{
  void (*func) (Run *run);
  gint32 weight; /* in all 100 */
} Deed;

static const Deed deeds[] = {
  { kill_worker, 42 }, { kill_writer, 10 },    { end_worker, 9 }, { kill_helper, 12 },
  { stop_worker, 16 }, { take_store_away, 5 }, { cut_line, 3 },   { kill_follower, 3 },
};

/* Fencing is for those that come back. */
static const Deed unfenced_deeds[] = { { stop_worker, 100 } };

static gboolean
on_deed (gpointer data)
{
  Run *run = data;
  const Deed *deed = option_unfenced ? unfenced_deeds : deeds;
  gint32 drawn = g_rand_int_range (run->rand, 0, 100);

  if (run->ending)
    return G_SOURCE_REMOVE;
  while (drawn >= deed->weight)
    drawn -= (deed++)->weight;
  deed->func (run);
  g_timeout_add ((guint) g_rand_int_range (run->rand, 1, 2 * option_pause), on_deed, run);
  return G_SOURCE_REMOVE;
}

/* --- from beginning to end ------------------------------------------------------------------------------ */

static gboolean
on_look (gpointer unused)
{
  return G_SOURCE_CONTINUE;
}

typedef gboolean (*Condition) (Run *run);

static gboolean
await (Run *run, Condition condition, const char *what)
{
  run->progress_us = g_get_monotonic_time ();
  while (!condition (run) && run->fault == NULL)
    {
      g_main_context_iteration (NULL, TRUE);
      if (g_get_monotonic_time () - run->progress_us > DEADLINE_US)
        note_fault (run, "in vain: %s", what);
    }
  return run->fault == NULL;
}

static guint
count_accepted (Run *run)
{
  guint n;

  g_mutex_lock (&run->lock);
  n = run->n_accepted;
  g_mutex_unlock (&run->lock);
  return n;
}

/* There is no deadline for that while it goes on. */
static gboolean
has_done_enough (Run *run)
{
  guint n_accepted = count_accepted (run);

  if (n_accepted > run->n_before)
    run->progress_us = g_get_monotonic_time ();
  run->n_before = n_accepted;
  return g_get_monotonic_time () - run->start_us >= option_seconds * G_USEC_PER_SEC &&
         (gint64) n_accepted >= option_calls &&
         (gint64) (run->n_kills + run->n_helper_kills + run->n_writer_kills + run->n_follower_kills) >=
             option_kills;
}

/* Whether nobody of that role is there any more; who is, is told to end, now and then again, because the
 * first process of a namespace hears nothing of it before it listens. */
static gboolean
has_ended (Run *run, const char *role)
{
  gboolean any = FALSE;

  for (guint i = 0; i < run->n_cast; i++)
    {
      Cast *cast = &run->cast[i];

      if (cast->pid == 0 || strcmp (cast->role, role) != 0)
        continue;
      any = TRUE;
      if (g_get_monotonic_time () - cast->told_us < TELL_AGAIN_US)
        continue;
      cast->told_us = g_get_monotonic_time ();
      signal_actor (cast, SIGTERM, "term");
    }
  return !any;
}

static gboolean
have_writers_ended (Run *run)
{
  return has_ended (run, "writer");
}

static gboolean
have_followers_ended (Run *run)
{
  return has_ended (run, "follower");
}

static gboolean
have_workers_ended (Run *run)
{
  return has_ended (run, "worker");
}

/* All calls have ended, and the only worker that is known of is the last one. */
static gboolean
is_all_done (Run *run)
{
  gboolean done;

  g_mutex_lock (&run->lock);
  done = run->n_waiting == 0 && run->n_workers == 1;
  g_mutex_unlock (&run->lock);
  return done;
}

static gboolean
is_everybody_forgotten (Run *run)
{
  gboolean done;

  g_mutex_lock (&run->lock);
  done = run->n_workers == 0;
  g_mutex_unlock (&run->lock);
  return done;
}

static gboolean
has_no_child (Run *run)
{
  return waitpid (-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

static void
play (Run *run)
{
  for (guint i = 0; i < N_WRITERS; i++)
    add_cast (run, "writer", "none", FALSE);
  add_cast (run, "worker", "thread", FALSE);
  add_cast (run, "worker", "thread", TRUE);
  add_cast (run, "worker", "process", FALSE);
  add_cast (run, "follower", "none", FALSE);
  on_deed (run);
  await (run, has_done_enough, "nothing gets on");

  run->ending = TRUE;
  on_outage_over (run);
  on_cut_over (run);
  for (guint i = 0; i < run->n_cast; i++)
    on_go_on (&run->cast[i]);
  await (run, have_writers_ended, "writers do not end");
  await (run, have_followers_ended, "a follower does not end");
  await (run, have_workers_ended, "workers do not end");

  add_cast (run, "worker", "thread", FALSE);
  g_mutex_lock (&run->lock);
  run->counting = TRUE;
  g_mutex_unlock (&run->lock);
  await (run, is_all_done, "the last worker does not get through");
  await (run, have_workers_ended, "the last worker does not end");
  await (run, is_everybody_forgotten, "a worker's record is left");
}

/* After a fault of the run itself: nobody is to go on. */
static void
kill_all (Run *run)
{
  for (guint i = 0; i < run->n_cast; i++)
    if (run->cast[i].pid != 0)
      {
        syscall (SYS_pidfd_send_signal, run->cast[i].fd, SIGKILL, NULL, 0);
        waitpid (run->cast[i].pid, NULL, 0);
      }
}

static void
show_end_of (const char *path)
{
  g_autofree char *text = NULL;
  gsize length;

  if (g_file_get_contents (path, &text, &length, NULL))
    g_test_message ("what actors said at last:\n%s", text + (length > 6000 ? length - 6000 : 0));
}

static void
show_summary (Run *run, const Findings *f)
{
  const char *hosts = !run->two_hosts ? "one host"
                      : stage_has_line (run->stage)
                          ? "two hosts (one in pid and network namespaces of its own)"
                          : "two hosts (one in a pid namespace of its own)";

  g_test_message ("store %s, seed %d, lease %d ms, %.0f s, %s, outages: %s", option_store, option_seed,
                  option_lease, (double) (g_get_monotonic_time () - run->start_us) / G_USEC_PER_SEC, hosts,
                  stage_get_excuse (run->stage) == NULL ? "yes" : stage_get_excuse (run->stage));
  g_test_message (
      "kills: %u workers, %u helpers, %u writers, %u followers; %u workers stopped, %u told to end; %u outages, "
      "%u times the other host cut off",
      run->n_kills, run->n_helper_kills, run->n_writer_kills, run->n_follower_kills, run->n_stops,
      run->n_ends, run->n_outages, run->n_cuts);
  g_test_message (
      "calls: %u accepted, %u refused, %u records = %u completed + %u failed (%u dead) + %u cancelled; %u ends seen",
      f->n_accepted, f->n_refused, f->n_records, f->n_completed, f->n_failed, f->n_dead, f->n_cancelled,
      f->n_sights);
  g_test_message (
      "lost: %u; duplicates: %u of %u runs; crashes: %u, at most %u by one worker; given back: %u; "
      "leases that were too short: %u",
      f->n_lost, f->n_duplicates, f->n_runs, f->n_crashes, f->most_taken, f->n_returned, f->n_late);
  g_test_message (
      "recovery after SIGKILL on this host: pending again p50 %.3f s, p99 %.3f s, longest %.3f s (%u); "
      "with another worker p50 %.3f s, p99 %.3f s, longest %.3f s (%u)",
      f->noticed.p50 / 1e6, f->noticed.p99 / 1e6, f->noticed.longest / 1e6, f->noticed.n,
      f->elsewhere.p50 / 1e6, f->elsewhere.p99 / 1e6, f->elsewhere.longest / 1e6, f->elsewhere.n);
  g_test_message ("recovery of the other host's calls, by lease: p50 %.3f s, p99 %.3f s, longest %.3f s (%u)",
                  f->other_host.p50 / 1e6, f->other_host.p99 / 1e6, f->other_host.longest / 1e6,
                  f->other_host.n);
  g_test_message ("faults: %u", f->faults->len);
}

/* Calls are run and none is lost without fencing, too: what is found must be for want of it. */
static void
judge_unfenced (Run *run, const Findings *findings)
{
  if (findings->n_completed == 0 || findings->n_lost > 0)
    note_fault (run, "%u calls completed and %u were lost: fencing is not what is missing",
                findings->n_completed, findings->n_lost);
  else if (findings->faults->len == 0)
    note_fault (run, "no fault was found, though nothing is fenced");
  else
    g_test_message ("the first: %s", (char *) findings->faults->pdata[0]);
}

/* Whatever does not fit becomes the fault of the run, so that the stage is cleared all the same. */
static void
judge (Run *run, const Findings *findings)
{
  guint n = findings->faults->len;

  for (guint i = 0; i < n && i < MAX_SHOWN_FAULTS; i++)
    g_test_message ("%s", (char *) findings->faults->pdata[i]);
  if (n > 0)
    note_fault (run, "%u faults, the first: %s", n, (char *) findings->faults->pdata[0]);
  if (findings->n_completed == 0 || run->n_kills == 0)
    note_fault (run, "%u calls completed and %u workers were killed: this tried nothing",
                findings->n_completed, run->n_kills);
}

static void
check (Run *run)
{
  g_autoptr(StrandStore) store = stage_open_store (option_store, stage_get_place (run->stage), DEADLINE_US);
  g_autofree char *leftovers = NULL;
  Findings findings;

  checker_look (&findings, run->log, store, run->seen, (gint64) option_lease * 1000);
  strand_store_cleanup_expired (store, -1, NULL); /* also takes away what killed writers left */
  strand_store_close (store);
  leftovers = stage_find_leftovers (run->stage);
  if (*leftovers != '\0')
    checker_fault (&findings, "files are left:\n%s", leftovers);
  show_summary (run, &findings);
  if (option_unfenced)
    judge_unfenced (run, &findings);
  else
    judge (run, &findings);
  findings_clear (&findings);
}

static void
test_no_call_is_lost (gconstpointer stage)
{
  Run run = { .stage = (Stage *) stage, .rand = g_rand_new_with_seed ((guint32) option_seed) };
  guint look;

  run.folder = g_dir_make_tmp ("strand-chaos-log-XXXXXX", NULL);
  run.log = option_log != NULL ? g_canonicalize_filename (option_log, NULL)
                               : g_build_filename (run.folder, "log", NULL);
  run.output = g_build_filename (run.folder, "output", NULL);
  run.output_fd = open (run.output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  g_unlink (run.log);
  actors_open_log (run.log, 0);
  run.seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  run.n_waiting = run.n_workers = -1;
  run.two_hosts = try_two_hosts (&run);
  run.namespaces = g_array_new (FALSE, FALSE, sizeof (int));
  run.start_us = g_get_monotonic_time ();
  g_mutex_init (&run.lock);
  run.observer = g_thread_new ("observer", observe, &run);
  look = g_timeout_add (LOOK_MS, on_look, NULL);

  play (&run);
  g_mutex_lock (&run.lock);
  run.over = TRUE;
  g_mutex_unlock (&run.lock);
  g_thread_join (run.observer);
  if (run.fault == NULL)
    check (&run);
  kill_all (&run);
  stage_free (run.stage);
  await (&run, has_no_child, "processes are left");
  if (run.fault != NULL)
    {
      show_end_of (run.output);
      g_test_message ("the log is kept: %s", run.log);
      g_test_fail_printf ("%s", run.fault);
    }

  g_source_remove (look);
  g_mutex_clear (&run.lock);
  g_hash_table_unref (run.seen);
  g_rand_free (run.rand);
  for (guint i = 0; i < run.namespaces->len; i++)
    close (g_array_index (run.namespaces, int, i));
  g_array_unref (run.namespaces);
  close (run.output_fd);
  g_unlink (run.output);
  if (option_log == NULL && run.fault == NULL)
    g_unlink (run.log);
  g_rmdir (run.folder); /* but for a log that is kept */
  g_free (run.output);
  g_free (run.log);
  g_free (run.folder);
  g_free (run.fault);
}

static void
test_skipped (void)
{
  g_test_skip ("needs redis-server");
}

static gboolean
parse_options (int *argc, char ***argv)
{
  g_autoptr(GOptionContext) options = g_option_context_new (NULL);
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_set_ignore_unknown_options (options, TRUE);
  if (g_option_context_parse (options, argc, argv, &error))
    return TRUE;
  g_printerr ("%s\n", error->message);
  return FALSE;
}

static int
play_part (void)
{
  part.type = option_store;
  part.log = option_log;
  part.seed = option_seed;
  part.lease_ms = option_lease;
  part.unfenced = option_unfenced;
  return actors_play (&part);
}

int
main (int argc, char **argv)
{
  const struct rlimit no_core = { 0, 0 };
  struct rlimit files;
  g_autofree char *name = NULL;

  strand_helper_main (argc, argv, actors_register);
  if (!parse_options (&argc, &argv))
    return 2;
  setrlimit (RLIMIT_CORE, &no_core); /* the deaths are wanted */
  if (option_store == NULL)
    option_store = g_strdup ("sqlite");
  if (part.role != NULL)
    return play_part ();

  if (option_seed < 0)
    option_seed = g_random_int_range (0, G_MAXINT);
  g_print ("# seed %d\n", option_seed);
  if (getrlimit (RLIMIT_NOFILE, &files) == 0)
    {
      files.rlim_cur = files.rlim_max; /* one for each namespace there was */
      setrlimit (RLIMIT_NOFILE, &files);
    }
  prctl (PR_SET_CHILD_SUBREAPER, 1); /* whoever is left comes to us */
  name = g_strdup_printf ("/chaos/queue/%s/%s", option_store,
                          option_unfenced ? "without-fencing-faults-are-found" : "no-call-is-lost");
  if (!stage_is_possible (option_store))
    {
      g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
      g_test_add_func (name, test_skipped);
      return g_test_run ();
    }
  else
    {
      Stage *stage = stage_new (option_store);

      g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
      g_test_add_data_func (name, stage, test_no_call_is_lost);
      return g_test_run ();
    }
}
