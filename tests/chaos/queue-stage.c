/* queue-stage.c — the stores of chaos-queue, and how each is taken away for a while.
 *
 * A store of files lies on a small disk of its own, which is made full; a redis server is killed and comes
 * back with what it has on disk, or is stopped, so that its connections are open and nobody answers. The
 * other host reaches it through a line (queue-network.c), which can be cut. SPDX-License-Identifier:
 * LGPL-2.1-or-later */
#include "config.h"

#include "queue-stage.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "../plugins/store-world.h"
#include "queue-network.h"
#ifdef WITH_REDIS
#include "../plugins/redis-server.h"
#endif

/* Much more than a long run needs; a disk in memory costs what is in it. */
#define DISK_SIZE "4g"

struct _Stage
{
  const char *type;
  char *folder;
  char *place;           /* a path, or a uri */
  char *place_elsewhere; /* for who has crossed the line; NULL without one */
  gboolean own_disk;
  gboolean full;
#ifdef WITH_REDIS
  RedisServer *server;
  Network *network; /* NULL where the machine has none of its own for it */
  gboolean frozen;
#endif
};

gboolean
stage_is_possible (const char *type)
{
  if (strcmp (type, "redis") != 0)
    return TRUE;
#ifdef WITH_REDIS
  return redis_server_is_there ();
#else
  return FALSE;
#endif
}

#ifdef WITH_REDIS
/* For who is on the other host. Nobody else is in the server's network. */
#define PORT "6379"

static void
set_up_redis (Stage *self)
{
  self->network = network_new ();
  g_print ("# the other host: %s\n", self->network != NULL ? "its own network" : "the same network");
  if (self->network != NULL)
    {
      self->server =
          redis_server_start (REDIS_OPTIONS ("--appendonly", "yes", "--appendfsync", "always", "--port", PORT,
                                             "--bind", NETWORK_ADDRESS, "--protected-mode", "no"));
      self->place_elsewhere = g_strdup ("redis://" NETWORK_ADDRESS ":" PORT);
    }
  else
    self->server = redis_server_start (REDIS_OPTIONS ("--appendonly", "yes", "--appendfsync", "always"));
  self->place = g_strdup (self->server->uri);
}
#endif

static void
set_up_disk (Stage *self)
{
  g_autoptr(GError) error = NULL;

  self->folder = g_dir_make_tmp ("strand-chaos-XXXXXX", &error);
  g_assert_no_error (error);
  g_print ("# the disk: ");
  self->own_disk = store_world_mount_small_disk (self->folder, DISK_SIZE);
  g_print ("%s\n", self->own_disk ? "its own" : "; it is not made full");
  self->place =
      g_build_filename (self->folder, strcmp (self->type, "sqlite") == 0 ? "store.db" : "store", NULL);
}

Stage *
stage_new (const char *type)
{
  Stage *self = g_new0 (Stage, 1);

  self->type = type;
#ifdef WITH_REDIS
  if (strcmp (type, "redis") == 0)
    set_up_redis (self);
#endif
  if (self->place == NULL && strcmp (type, "memory") != 0)
    set_up_disk (self);
  return self;
}

void
stage_free (Stage *self)
{
  stage_end_outage (self);
#ifdef WITH_REDIS
  g_clear_pointer (&self->server, redis_server_free);
  g_clear_pointer (&self->network, network_free);
#endif
  if (self->own_disk)
    umount2 (self->folder, MNT_DETACH);
  if (self->folder != NULL)
    store_world_remove_tree (self->folder);
  g_free (self->folder);
  g_free (self->place);
  g_free (self->place_elsewhere);
  g_free (self);
}

const char *
stage_get_place (Stage *self)
{
  return self->place;
}

const char *
stage_get_place_elsewhere (Stage *self)
{
  return self->place_elsewhere != NULL ? self->place_elsewhere : self->place;
}

gboolean
stage_has_line (Stage *self)
{
  return self->place_elsewhere != NULL;
}

gboolean
stage_cross (Stage *self)
{
#ifdef WITH_REDIS
  if (self->network != NULL)
    return network_cross (self->network);
#endif
  return TRUE;
}

void
stage_cut_line (Stage *self, gboolean cut)
{
#ifdef WITH_REDIS
  network_cut (self->network, cut);
#endif
}

StrandStore *
stage_open_store (const char *type, const char *place, gint64 patience_us)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, type, &error);

  g_assert_no_error (error);
  if (strcmp (type, "redis") == 0)
    return g_object_new (gtype, "uri", place, "command-timeout", patience_us, "auto-cleanup", FALSE, NULL);
  if (strcmp (type, "memory") == 0)
    return g_object_new (gtype, "auto-cleanup", FALSE, NULL);
  return g_object_new (gtype, "path", place, "auto-cleanup", FALSE, NULL);
}

const char *
stage_get_excuse (Stage *self)
{
  return self->own_disk || self->folder == NULL ? NULL : "this machine lets nobody mount a small disk";
}

/* The disk gets as small as what is on it; but nothing at all would be taken for no limit, for ever. */
static gboolean
fill_disk (Stage *self)
{
  g_autofree char *options = NULL;
  struct statvfs info;
  guint64 n_blocks;

  if (statvfs (self->folder, &info) != 0)
    return FALSE;
  n_blocks = MAX (info.f_blocks - info.f_bfree, 1);
  options = g_strdup_printf ("size=%" G_GUINT64_FORMAT, n_blocks * info.f_frsize);
  return mount (NULL, self->folder, NULL, MS_REMOUNT, options) == 0;
}

const char *
stage_begin_outage (Stage *self, GRand *rand)
{
#ifdef WITH_REDIS
  if (self->server != NULL && g_rand_boolean (rand))
    {
      redis_server_kill (self->server);
      return "server-killed";
    }
  if (self->server != NULL)
    {
      self->frozen = kill (self->server->pid, SIGSTOP) == 0;
      return "server-stopped";
    }
#endif
  if (!self->own_disk || !fill_disk (self))
    return NULL;
  self->full = TRUE;
  return "disk-full";
}

void
stage_end_outage (Stage *self)
{
#ifdef WITH_REDIS
  if (self->frozen)
    kill (self->server->pid, SIGCONT);
  else if (self->server != NULL && self->server->pid == 0)
    redis_server_start_again (self->server);
  self->frozen = FALSE;
#endif
  if (self->full && mount (NULL, self->folder, NULL, MS_REMOUNT, "size=" DISK_SIZE) != 0)
    g_error ("the disk stays full: %s", g_strerror (errno));
  self->full = FALSE;
}

/* A temporary file of another host is left until it is old, because nobody here knows whether its writer
 * lives. */
static gboolean
is_leftover (Stage *self, const char *name)
{
  g_auto(GStrv) parts = NULL;

  if (strcmp (self->type, "sqlite") == 0)
    return strcmp (name, "store.db") != 0;
  if (!g_str_has_prefix (name, ".tmp-"))
    return FALSE;
  parts = g_strsplit (name, ":", -1);
  return g_strv_length (parts) < 4 ||
         strand_lease_owner_probe (name + strlen (".tmp-")) != STRAND_OWNER_STATE_UNKNOWN;
}

static void
look_into (Stage *self, const char *path, GString *found)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *below = g_build_filename (path, name, NULL);

      if (g_file_test (below, G_FILE_TEST_IS_DIR))
        look_into (self, below, found);
      else if (is_leftover (self, name))
        g_string_append_printf (found, "%s\n", below);
    }
}

char *
stage_find_leftovers (Stage *self)
{
  GString *found = g_string_new (NULL);

  if (self->folder != NULL)
    look_into (self, self->folder, found);
  return g_string_free (found, FALSE);
}
