/* store-world.c — what tests of stores need of other processes and of the machine.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store-world.h"

#include <errno.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_WRITERS 8
#define N_KEYS 20
#define N_KILLS 60
#define WRITES_PER_KILL 40

#define NOBODY 65534

/* --- roles --------------------------------------------------------------------------------------------- */

gboolean
store_world_play (int argc, char **argv, const StoreRole *roles, int *status)
{
  if (argc != 3 || *argv[2] != '/')
    return FALSE;

  for (; roles->name != NULL; roles++)
    if (strcmp (argv[1], roles->name) == 0)
      {
        *status = roles->play (argv[2]);
        return TRUE;
      }
  return FALSE;
}

GPid
store_world_start (const char *role, const char *place, int *out)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *self_path = g_file_read_link ("/proc/self/exe", NULL);
  const char *argv[] = { self_path, role, place, NULL };
  GPid pid;

  g_spawn_async_with_pipes (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL,
                            out, NULL, &error);
  g_assert_no_error (error);
  return pid;
}

int
store_world_reap (GPid pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_spawn_close_pid (pid);
  return status;
}

void
store_world_run (const char *role, const char *place)
{
  int out;
  GPid pid = store_world_start (role, place, &out);
  g_autoptr(GString) said = g_string_new (NULL);
  char buffer[4096];
  gssize n;
  int status;

  while ((n = read (out, buffer, sizeof buffer)) > 0)
    g_string_append_len (said, buffer, n);
  close (out);
  status = store_world_reap (pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == STORE_WORLD_SKIPPED)
    g_test_skip (said->str);
  else if (status != 0)
    g_error ("%s ended with status %x: %s", role, status, said->str);
}

/* --- writers that are killed --------------------------------------------------------------------------- */

int
store_world_write (StrandStore *store)
{
  for (;;)
    {
      g_autofree char *key = g_strdup_printf ("key-%d", g_random_int_range (0, N_KEYS));
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);
      g_autofree char *line = NULL;
      guint64 revision;

      if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        {
          g_clear_error (&error);
          record = store_basics_record (key);
        }
      g_assert_no_error (error);
      revision = strand_record_get_revision (record);
      strand_record_set_int (record, STRAND_FIELD_CRASHES, revision + 1);
      if (strand_store_put (store, record, revision, &error))
        {
          line = g_strdup_printf ("%s %" G_GUINT64_FORMAT "\n", key, revision + 1);
          if (write (STDOUT_FILENO, line, strlen (line)) < 0)
            return 0;
        }
      else if (!g_error_matches (error, STRAND_ERROR, STRAND_ERROR_STALE) &&
               !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_EXISTS))
        g_error ("%s", error->message);
    }
}

typedef struct
{
  GPid pid;
  int out;
  GString *text; /* what was read and is no whole line yet */
} Writer;

/* Takes the whole lines that a writer has said. No revision of a key may be accepted twice. */
static guint
take_lines (Writer *writer, GHashTable *accepted, guint64 *highest)
{
  guint n = 0;
  char *end;

  while ((end = strchr (writer->text->str, '\n')) != NULL)
    {
      g_autofree char *line = g_strndup (writer->text->str, end - writer->text->str);
      guint key;
      guint64 revision;

      g_string_erase (writer->text, 0, end + 1 - writer->text->str);
      g_assert_cmpint (sscanf (line, "key-%u %" G_GUINT64_FORMAT, &key, &revision), ==, 2);
      highest[key] = MAX (highest[key], revision);
      g_assert_true (g_hash_table_add (accepted, g_steal_pointer (&line)));
      n++;
    }
  return n;
}

static void
hear (Writer *writer)
{
  char buffer[4096];
  gssize n = read (writer->out, buffer, sizeof buffer);

  g_assert_cmpint (n, >, 0);
  g_string_append_len (writer->text, buffer, n);
}

static void
kill_writer (Writer *writer, GHashTable *accepted, guint64 *highest)
{
  char buffer[4096];
  gssize n;

  g_assert_cmpint (kill (writer->pid, SIGKILL), ==, 0);
  g_assert_cmpint (WTERMSIG (store_world_reap (writer->pid)), ==, SIGKILL);
  while ((n = read (writer->out, buffer, sizeof buffer)) > 0)
    g_string_append_len (writer->text, buffer, n);
  take_lines (writer, accepted, highest);
  g_string_free (writer->text, TRUE);
  close (writer->out);
}

static void
start_writer (Writer *writer, const char *place)
{
  writer->pid = store_world_start ("--writer", place, &writer->out);
  writer->text = g_string_new (NULL);
}

/* Reads every key: whole, and never an older revision than was seen or accepted before. */
static void
look_at_all (StrandStore *store, guint64 *seen)
{
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_autofree char *key = g_strdup_printf ("key-%u", i);
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

      if (seen[i] == 0 && g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        continue;
      g_assert_no_error (error);
      g_assert_cmpuint (strand_record_get_revision (record), >=, seen[i]);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==,
                       strand_record_get_revision (record));
      seen[i] = strand_record_get_revision (record);
    }
}

void
store_world_kill_writers (StrandStore *store, const char *place)
{
  g_autoptr(GHashTable) accepted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  guint64 seen[N_KEYS] = { 0 };
  Writer writers[N_WRITERS];
  guint n_heard = 0;

  for (guint i = 0; i < N_WRITERS; i++)
    start_writer (&writers[i], place);
  for (guint n_kills = 0; n_kills < N_KILLS;)
    {
      GPollFD fds[N_WRITERS];

      for (guint i = 0; i < N_WRITERS; i++)
        fds[i] = (GPollFD){ writers[i].out, G_IO_IN, 0 };
      g_assert_cmpint (g_poll (fds, N_WRITERS, DEADLINE_US / 1000), >, 0);
      for (guint i = 0; i < N_WRITERS; i++)
        if (fds[i].revents & G_IO_IN)
          {
            hear (&writers[i]);
            n_heard += take_lines (&writers[i], accepted, seen);
          }
      look_at_all (store, seen);
      if (n_heard >= WRITES_PER_KILL)
        {
          Writer *victim = &writers[g_test_rand_int_range (0, N_WRITERS)];

          kill_writer (victim, accepted, seen);
          start_writer (victim, place);
          n_heard = 0;
          n_kills++;
        }
    }
  for (guint i = 0; i < N_WRITERS; i++)
    kill_writer (&writers[i], accepted, seen);

  look_at_all (store, seen);
  g_assert_cmpint (strand_store_count (store, NULL, NULL), ==, N_KEYS);
  g_test_message ("%u writes accepted", g_hash_table_size (accepted));
}

/* --- the machine --------------------------------------------------------------------------------------- */

static int
remove_one (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  return remove (path);
}

void
store_world_remove_tree (const char *path)
{
  nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below the folder that GLib makes for each test. */
char *
store_world_make_path (const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *above = g_dir_make_tmp ("strand-store-XXXXXX", &error);

  g_assert_no_error (error);
  return g_build_filename (above, name, NULL);
}

void
store_world_remove_above (gpointer path)
{
  g_autofree char *above = g_path_get_dirname (path);

  store_world_remove_tree (above);
  g_free (path);
}

static gboolean
enter_namespace (void)
{
  if (unshare (CLONE_NEWNS) != 0 && unshare (CLONE_NEWUSER | CLONE_NEWNS) != 0)
    g_print ("needs a mount namespace: %s", g_strerror (errno));
  else if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
    g_print ("needs mounts of its own: %s", g_strerror (errno));
  else
    return TRUE;
  return FALSE;
}

gboolean
store_world_mount_small_disk (const char *directory, const char *size)
{
  g_autofree char *options = g_strdup_printf ("size=%s,mode=0700", size);

  if (!enter_namespace ())
    return FALSE;
  if (mount ("tmpfs", directory, "tmpfs", 0, options) == 0)
    return TRUE;
  g_print ("needs to mount a tmpfs: %s", g_strerror (errno));
  return FALSE;
}

gboolean
store_world_mount_read_only (const char *directory)
{
  if (!enter_namespace ())
    return FALSE;
  if (mount (directory, directory, NULL, MS_BIND, NULL) == 0 &&
      mount (NULL, directory, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0)
    return TRUE;
  g_print ("needs to mount read-only: %s", g_strerror (errno));
  return FALSE;
}

gboolean
store_world_give_up_rights (const char *directory)
{
  if (geteuid () != 0 ||
      (chown (directory, NOBODY, NOBODY) == 0 && setgid (NOBODY) == 0 && setuid (NOBODY) == 0))
    return TRUE;
  g_print ("cannot give up root: %s", g_strerror (errno));
  return FALSE;
}

/* --- the bell ------------------------------------------------------------------------------------------ */

static void
ring (StrandStore *store, const char *key, gpointer data)
{
  StoreBell *self = data;

  g_mutex_lock (&self->lock);
  self->n_told++;
  g_cond_broadcast (&self->told);
  g_mutex_unlock (&self->lock);
}

void
store_bell_hang (StoreBell *self, StrandStore *store, const char *key)
{
  memset (self, 0, sizeof *self);
  g_mutex_init (&self->lock);
  g_cond_init (&self->told);
  self->store = store;
  self->id = strand_store_watch (store, key, ring, self, NULL);
}

void
store_bell_take_down (StoreBell *self)
{
  strand_store_unwatch (self->store, self->id);
  g_cond_clear (&self->told);
  g_mutex_clear (&self->lock);
}

void
store_bell_await (StoreBell *self, const char *key, gboolean there)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;
  gboolean is_there = !there;

  while (is_there != there)
    {
      g_autoptr(StrandRecord) record = NULL;

      g_mutex_lock (&self->lock);
      while (self->n_told == self->n_heard)
        if (!g_cond_wait_until (&self->told, &self->lock, deadline_us))
          g_error ("nobody told of the change of '%s'", key);
      self->n_heard = self->n_told;
      g_mutex_unlock (&self->lock);

      record = strand_store_get (self->store, key, NULL);
      is_there = record != NULL;
    }
}
