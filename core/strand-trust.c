/* strand-trust.c — whose code this process may run.
 *
 * Loading a file hands the process to whoever can write it, or can put another in its place. So the file and
 * every folder above it, on the real path, belong to root or to us, and nobody else may write there. Two
 * groups may: group 0, and the owner's private group (the one of the same name in which nobody else is),
 * because a umask of 002 and private groups are what developers have. In a sticky folder others may add
 * entries but not replace ours, so it may stand above. The compiled-in folder is exempt: who writes there
 * owns us already, and in a user namespace its owner reads as nobody.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-error.h"
#include "strand-trust-private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

void
strand_file_identity_init (StrandFileIdentity *self, const struct stat *st)
{
  self->device = st->st_dev;
  self->inode = st->st_ino;
  self->ctime_ns = st->st_ctim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_ctim.tv_nsec;
}

gboolean
strand_file_identity_equal (const StrandFileIdentity *a, const StrandFileIdentity *b)
{
  return a->device == b->device && a->inode == b->inode && a->ctime_ns == b->ctime_ns;
}

static void
set_open_error (int saved_errno, GError **error)
{
  if (saved_errno == ENOENT || saved_errno == ENOTDIR)
    g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_FOUND,
                         "there is no such file; install it or mend the path");
  else
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_UNREADABLE,
                 "it cannot be read: %s; mend its permissions or the path", g_strerror (saved_errno));
}

int
strand_trust_open (const char *file, GError **error)
{
  int fd = open (file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

  if (fd < 0)
    set_open_error (errno, error);
  return fd;
}

/* Whether nobody but @user is in @group: it is their primary group, bears their name, and lists no other. */
static gboolean
is_private_group (uid_t user, gid_t group)
{
  struct passwd passwd, *found_user = NULL;
  struct group entry, *found_group = NULL;
  g_autofree char *user_buffer = g_malloc (16384), *group_buffer = g_malloc (16384);

  if (getpwuid_r (user, &passwd, user_buffer, 16384, &found_user) != 0 || found_user == NULL ||
      passwd.pw_gid != group)
    return FALSE;
  if (getgrgid_r (group, &entry, group_buffer, 16384, &found_group) != 0 || found_group == NULL ||
      strcmp (entry.gr_name, passwd.pw_name) != 0)
    return FALSE;
  for (char **member = entry.gr_mem; *member != NULL; member++)
    if (strcmp (*member, passwd.pw_name) != 0)
      return FALSE;
  return TRUE;
}

static gboolean
set_untrusted (const char *path, const struct stat *st, gboolean is_parent, const char *why, const char *cure,
               GError **error)
{
  g_set_error (error, STRAND_PLUGIN_ERROR,
               is_parent ? STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT : STRAND_PLUGIN_ERROR_UNTRUSTED_FILE,
               "%s '%s' (mode %04o, owner %u, group %u) %s; run %s '%s' or keep it elsewhere",
               is_parent ? "the folder" : "the file", path, (guint) st->st_mode & 07777, (guint) st->st_uid,
               (guint) st->st_gid, why, cure, path);
  return FALSE;
}

gboolean
strand_trust_check_component (const char *path, const struct stat *st, gboolean is_parent, uid_t user,
                              GError **error)
{
  gboolean sticky = is_parent && (st->st_mode & S_ISVTX) != 0;

  if (st->st_uid != 0 && st->st_uid != user)
    return set_untrusted (path, st, is_parent, "belongs neither to root nor to you", "chown root", error);
  if ((st->st_mode & S_IWOTH) != 0 && !sticky)
    return set_untrusted (path, st, is_parent, "can be written by everybody", "chmod o-w", error);
  if ((st->st_mode & S_IWGRP) != 0 && !sticky && st->st_gid != 0 &&
      !is_private_group (st->st_uid, st->st_gid))
    return set_untrusted (path, st, is_parent, "can be written by its group", "chmod g-w", error);
  return TRUE;
}

/* @path is real and absolute; it is cut and mended in place. */
static gboolean
check_parents (char *path, GError **error)
{
  uid_t user = geteuid ();

  for (char *slash = strrchr (path, '/'); slash != NULL; slash = strrchr (path, '/'))
    {
      struct stat st;
      const char *folder = slash == path ? "/" : path;

      *slash = '\0';
      if (lstat (folder, &st) != 0)
        {
          set_open_error (errno, error);
          return FALSE;
        }
      if (!strand_trust_check_component (folder, &st, TRUE, user, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
is_below (const char *path, const char *folder)
{
  g_autofree char *real = folder != NULL ? realpath (folder, NULL) : NULL;

  return real != NULL && g_str_has_prefix (path, real) && path[strlen (real)] == '/';
}

char *
strand_trust_check (const char *file, const char *builtin, StrandFileIdentity *identity, GError **error)
{
  g_autofree char *real = realpath (file, NULL);
  g_autofree char *scratch = NULL;
  struct stat st;

  if (real == NULL || lstat (real, &st) != 0)
    {
      set_open_error (errno, error);
      return NULL;
    }
  scratch = g_strdup (real);
  if (!is_below (real, builtin) && (!strand_trust_check_component (real, &st, FALSE, geteuid (), error) ||
                                    !check_parents (scratch, error)))
    return NULL;
  strand_file_identity_init (identity, &st);
  return g_strdup (real);
}

gboolean
strand_trust_is_privileged (void)
{
  return getauxval (AT_SECURE) != 0;
}

const char *
strand_trust_getenv (const char *name)
{
  return strand_trust_is_privileged () ? NULL : g_getenv (name);
}
