/* run-process-fixture.c — a folder, processes to start, and who is still there.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "run-process-fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void
set_up (Fixture *f, gconstpointer unused)
{
  f->folder = g_dir_make_tmp ("strand-process-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
}

void
tear_down (Fixture *f, gconstpointer unused)
{
  const char *argv[] = { "rm", "-rf", f->folder, NULL };

  g_assert_true (
      g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  g_free (f->folder);
}

char *
in_folder (Fixture *f, const char *name)
{
  return g_build_filename (f->folder, name, NULL);
}

StrandProcess *
make_shell (Fixture *f, const char *script)
{
  const char *argv[] = { "sh", "-c", script, "sh", f->folder, NULL };
  StrandProcess *process = strand_process_new (argv);

  strand_process_set_name (process, "shell");
  return process;
}

void
make_pipe (Fixture *f, const char *name)
{
  g_autofree char *path = in_folder (f, name);

  g_assert_no_errno (mkfifo (path, 0600));
}

void
tell (Fixture *f, const char *name)
{
  g_autofree char *path = in_folder (f, name);
  int fd;

  wait_still ((fd = open (path, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0);
  g_assert_cmpint (write (fd, "go\n", 3), ==, 3);
  close (fd);
}

typedef struct
{
  Fixture *fixture;
  StrandProcess *process;
  const char *name;
} Telling;

static gpointer
tell_in_thread (gpointer data)
{
  g_autofree Telling *telling = data;

  wait_still (strand_process_get_pid (telling->process) > 0);
  tell (telling->fixture, telling->name);
  return NULL;
}

GThread *
tell_when_started (Fixture *f, StrandProcess *process, const char *name)
{
  Telling *telling = g_new (Telling, 1);

  make_pipe (f, name);
  *telling = (Telling){ f, process, name };
  return g_thread_new ("tell", tell_in_thread, telling);
}

void
start (StrandProcess *process)
{
  g_autoptr(GError) error = NULL;
  gboolean started = strand_process_start (process, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (started);
}

void
assert_start_fails (StrandProcess *process, GQuark domain, int code, const char *expected)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (strand_process_start (process, NULL, &error));
  g_assert_error (error, domain, code);
  if (strstr (error->message, expected) == NULL)
    g_error ("'%s' does not contain '%s'", error->message, expected);
  g_assert_false (strand_process_is_alive (process));
}

void
end (StrandProcess *process)
{
  g_autoptr(GError) error = NULL;
  gboolean ended = strand_process_end (process, NULL, &error);

  g_assert_no_error (error);
  g_assert_true (ended);
}

/* Who is there, zombies aside. */

static gboolean
read_process (const char *name, char *state, int *group)
{
  g_autofree char *path = g_build_filename ("/proc", name, "stat", NULL);
  g_autofree char *text = NULL;
  const char *after;

  return g_ascii_isdigit (*name) && g_file_get_contents (path, &text, NULL, NULL) &&
         (after = strrchr (text, ')')) != NULL && sscanf (after, ") %c %*d %d", state, group) == 2;
}

guint
count_group (int wanted)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;
  guint n = 0;
  char state;
  int group;

  g_assert_cmpint (wanted, >, 0);
  while ((name = g_dir_read_name (dir)) != NULL)
    n += read_process (name, &state, &group) && group == wanted && state != 'Z';
  return n;
}

gboolean
is_there (int pid)
{
  g_autofree char *name = g_strdup_printf ("%d", pid);
  char state;
  int group;

  g_assert_cmpint (pid, >, 0);
  return read_process (name, &state, &group) && state != 'Z';
}

int
read_number (Fixture *f, const char *name)
{
  g_autofree char *path = in_folder (f, name);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL) || strchr (text, '\n') == NULL)
    return 0;
  return atoi (text);
}

guint
count_descriptors (void)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

guint16
find_port (void)
{
  g_autoptr(GSocketListener) listener = g_socket_listener_new ();

  return g_socket_listener_add_any_inet_port (listener, NULL, NULL);
}
