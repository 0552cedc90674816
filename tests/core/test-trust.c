/* test-trust.c — whose files may be run.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "plugin-world.h"

#include "strand-error.h"
#include "strand-trust-private.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Somebody who is neither root nor in a group with others; there need not be such a user. */
#define SOMEBODY 4242

typedef struct
{
  const char *name;
  mode_t mode;
  uid_t owner;
  gid_t group;
  gboolean is_parent;
  gboolean trusted;
} Component;

static const Component components[] = {
  { "own-file", 0644, SOMEBODY, SOMEBODY, FALSE, TRUE },
  { "root-file", 0755, 0, 0, FALSE, TRUE },
  { "file-of-another", 0644, SOMEBODY + 1, 0, FALSE, FALSE },
  { "folder-of-another", 0755, SOMEBODY + 1, 0, TRUE, FALSE },
  { "world-writable-file", 0646, 0, 0, FALSE, FALSE },
  { "world-writable-folder", 0757, 0, 0, TRUE, FALSE },
  { "sticky-folder", 01777, 0, 4000, TRUE, TRUE },
  { "sticky-folder-of-another", 01777, SOMEBODY + 1, 0, TRUE, FALSE },
  { "sticky-means-nothing-for-a-file", 01646, 0, 0, FALSE, FALSE },
  { "root-group-may-write", 0775, SOMEBODY, 0, TRUE, TRUE },
  { "shared-group-may-not", 0775, SOMEBODY, 4000, TRUE, FALSE },
  { "shared-group-may-not-write-the-file", 0664, 0, 4000, FALSE, FALSE },
  { "shared-group-of-roots-folder", 0775, 0, 4000, TRUE, FALSE },
};

static void
test_component (gconstpointer data)
{
  const Component *component = data;
  struct stat st = { .st_mode = component->mode, .st_uid = component->owner, .st_gid = component->group };
  g_autoptr(GError) error = NULL;
  g_autofree char *mode = g_strdup_printf ("mode %04o", (guint) component->mode);

  g_assert_cmpint (strand_trust_check_component ("/some/place", &st, component->is_parent, SOMEBODY, &error),
                   ==, component->trusted);
  if (component->trusted)
    g_assert_no_error (error);
  else
    assert_refused (&error,
                    component->is_parent ? STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT
                                         : STRAND_PLUGIN_ERROR_UNTRUSTED_FILE,
                    "'/some/place'", mode, "; run ch", NULL);
}

/* What a developer's umask of 002 makes: writable for a group of the same name, in which nobody else is. */
static void
test_private_group_may_write (void)
{
  struct passwd *user = getpwnam ("daemon");
  struct group *group = getgrnam ("daemon");
  struct stat st = { .st_mode = 0775 };
  g_autoptr(GError) error = NULL;

  if (user == NULL || group == NULL || user->pw_gid != group->gr_gid || group->gr_mem[0] != NULL)
    {
      g_test_skip ("there is no user 'daemon' with a group of their own");
      return;
    }
  st.st_uid = user->pw_uid;
  st.st_gid = group->gr_gid;
  g_assert_true (strand_trust_check_component ("/x", &st, TRUE, user->pw_uid, &error));
  g_assert_true (strand_trust_check_component ("/x", &st, FALSE, user->pw_uid, &error));
  g_assert_no_error (error);

  /* The same group is nothing to root, whose folder it then opens to somebody else. */
  st.st_uid = 0;
  g_assert_false (strand_trust_check_component ("/x", &st, TRUE, user->pw_uid, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, "written by its group", "chmod g-w", NULL);
}

/* Somebody's first group may be everybody's: on many systems all users begin in one. */
static void
test_first_group_of_another_name_may_not (void)
{
  struct passwd *user = getpwnam ("nobody");
  struct group *group = user != NULL ? getgrgid (user->pw_gid) : NULL;
  struct stat st = { .st_mode = 0664 };
  g_autoptr(GError) error = NULL;

  if (group == NULL || strcmp (group->gr_name, "nobody") == 0)
    {
      g_test_skip ("there is no user 'nobody' in a group of another name");
      return;
    }
  st.st_uid = user->pw_uid;
  st.st_gid = user->pw_gid;
  g_assert_false (strand_trust_check_component ("/x", &st, FALSE, user->pw_uid, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, "written by its group", "chmod g-w", NULL);
}

static void
test_real_path_is_given (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "a/file", "x", 1);
  g_autofree char *link = g_build_filename (world->folder, "link", NULL);
  g_autofree char *real = NULL;
  StrandFileIdentity identity, other;
  struct stat st;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (symlink ("a/../a/file", link), ==, 0);
  real = strand_trust_check (link, NULL, &identity, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (real, ==, path);
  g_assert_cmpint (stat (path, &st), ==, 0);
  strand_file_identity_init (&other, &st);
  g_assert_true (strand_file_identity_equal (&identity, &other));
}

static void
test_untrusted_component_is_named (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "a/b/c/file", "x", 1);
  g_autofree char *b = g_build_filename (world->folder, "a", "b", NULL);
  g_autofree char *named = g_strdup_printf ("'%s' (mode 0707", b);
  StrandFileIdentity identity;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chmod (b, 0707), ==, 0);
  g_assert_null (strand_trust_check (path, NULL, &identity, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, named, NULL);
}

/* Whoever may write there owns us already; and only what really lies there counts. */
static void
test_builtin_folder_is_trusted (World *world, gconstpointer unused)
{
  g_autofree char *inside = world_write (world, "builtin/file", "x", 1);
  g_autofree char *beside = world_write (world, "builtin-not/file", "x", 1);
  g_autofree char *builtin = g_path_get_dirname (inside);
  g_autofree char *link = g_build_filename (builtin, "link", NULL);
  g_autofree char *real = NULL;
  StrandFileIdentity identity;
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (chmod (world->folder, 0777), ==, 0);
  g_assert_cmpint (symlink (beside, link), ==, 0);
  real = strand_trust_check (inside, builtin, &identity, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (real, ==, inside);
  g_assert_null (strand_trust_check (beside, builtin, &identity, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, world->folder, NULL);
  g_assert_null (strand_trust_check (link, builtin, &identity, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, world->folder, NULL);
}

static void
test_file_of_another_is_refused (World *world, gconstpointer unused)
{
  g_autofree char *path = world_write (world, "file", "x", 1);
  g_autofree char *owner = g_strdup_printf ("owner %d", SOMEBODY);
  StrandFileIdentity identity;
  g_autoptr(GError) error = NULL;

  if (geteuid () != 0 || chown (path, SOMEBODY, SOMEBODY) != 0)
    {
      g_test_skip ("only root can give files away");
      return;
    }
  g_assert_null (strand_trust_check (path, NULL, &identity, &error));
  assert_refused (&error, STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, path, owner, "neither to root nor to you",
                  NULL);
}

/* A copy of this program with more rights than who starts it says what it sees. */
static void
test_privileged_program_ignores_the_environment (World *world, gconstpointer unused)
{
  g_autofree char *program = g_test_build_filename (G_TEST_BUILT, "core", "privileged-program", NULL);
  g_autofree char *data = NULL, *copy = NULL, *output = NULL;
  const char *argv[] = { NULL, NULL }, *env[] = { "STRAND_PLUGIN_PATH=/somewhere", NULL };
  g_autoptr(GError) error = NULL;
  gsize size;

  g_file_get_contents (program, &data, &size, &error);
  g_assert_no_error (error);
  argv[0] = copy = world_write (world, "program", data, size);
  g_assert_cmpint (chmod (world->folder, 0755), ==, 0);
  g_assert_cmpint (chmod (copy, 0755), ==, 0);
  g_spawn_sync (NULL, (char **) argv, (char **) env, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, NULL,
                &error);
  g_assert_no_error (error);
  g_assert_cmpstr (output, ==, "/somewhere\n");

  if (geteuid () != 0 || chown (copy, SOMEBODY, SOMEBODY) != 0 || chmod (copy, 04755) != 0)
    {
      g_test_skip ("only root can make a program of another user's");
      return;
    }
  g_clear_pointer (&output, g_free);
  g_spawn_sync (NULL, (char **) argv, (char **) env, G_SPAWN_DEFAULT, NULL, NULL, &output, NULL, NULL,
                &error);
  g_assert_no_error (error);
  if (strcmp (output, "/somewhere\n") == 0)
    g_test_skip ("this file system gives no program more rights (nosuid)");
  else
    g_assert_cmpstr (output, ==, "privileged: nothing\n");
}

#define ADD(path, func) g_test_add ("/trust/" path, World, NULL, world_set_up, func, world_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (components); i++)
    {
      g_autofree char *path = g_strconcat ("/trust/component/", components[i].name, NULL);

      g_test_add_data_func (path, &components[i], test_component);
    }
  g_test_add_func ("/trust/private-group-may-write", test_private_group_may_write);
  g_test_add_func ("/trust/first-group-of-another-name", test_first_group_of_another_name_may_not);
  ADD ("real-path-is-given", test_real_path_is_given);
  ADD ("untrusted-component-is-named", test_untrusted_component_is_named);
  ADD ("builtin-folder-is-trusted", test_builtin_folder_is_trusted);
  ADD ("file-of-another-is-refused", test_file_of_another_is_refused);
  ADD ("privileged-program-ignores-the-environment", test_privileged_program_ignores_the_environment);

  return g_test_run ();
}
