/* strand-stack-file.c — a keyfile on the disk: reading it, and saying all that is wrong with it.
 *
 * Checking and loading are one code path, so neither accepts what the other refuses.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-stack.h"
#include "strand-stack-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Reads no more than a keyfile can have, so that a device or a pipe without end does no harm. NULL with
 * errno. */
static char *
read_keyfile (const char *path, gsize *length)
{
  g_autofree char *data = g_malloc (STRAND_KEYFILE_MAX_BYTES + 1);
  gssize n = 0;
  int saved, fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

  if (fd < 0)
    return NULL;
  *length = 0;
  do
    {
      n = read (fd, data + *length, STRAND_KEYFILE_MAX_BYTES + 1 - *length);
      *length += MAX (n, 0);
    }
  while (n > 0 || (n < 0 && errno == EINTR));
  saved = errno;
  close (fd);
  errno = saved;
  return n < 0 ? NULL : g_steal_pointer (&data);
}

char *
strand_stack_read_file (const char *path, gsize *length, GPtrArray *problems)
{
  char *data = read_keyfile (path, length);

  if (data == NULL)
    strand_keyfile_add_problem (problems, path, 0, NULL, NULL, "the keyfile cannot be read: %s",
                                g_strerror (errno));
  return data;
}

/**
 * strand_stack_check_data:
 * @data: (array length=length) (element-type guint8): a keyfile's text
 * @length: its length, or -1 if it ends in a NUL byte
 * @name: what messages call it
 * @plugins: (nullable): where types are found; %NULL is the process's own
 *
 * As strand_stack_check_file(), of text in memory.
 *
 * Returns: (transfer container) (element-type StrandProblem): what is wrong, by line
 * Since: 1.0
 */
GPtrArray *
strand_stack_check_data (const char *data, gssize length, const char *name, StrandPlugins *plugins)
{
  g_autoptr(GPtrArray) problems = strand_problems_new ();
  g_autoptr(StrandPlan) plan = NULL;

  g_return_val_if_fail (data != NULL && name != NULL, NULL);

  plan = strand_plan_check (plugins != NULL ? plugins : strand_plugins_get_default (), data,
                            length < 0 ? strlen (data) : (gsize) length, name, problems);
  return g_steal_pointer (&problems);
}

/**
 * strand_stack_check_file:
 * @path: (type filename): a keyfile
 * @plugins: (nullable): where types are found; %NULL is the process's own
 *
 * Finds everything that is wrong with a keyfile; strand_stack_new_from_file() accepts exactly the files with
 * nothing wrong. Loads the plugins that the keyfile names, for their properties, and, if all else is well,
 * its function modules; opens no data file, thread or connection of the stack. Any thread; reads the disk.
 *
 * Returns: (transfer container) (element-type StrandProblem): what is wrong, by line
 * Since: 1.0
 */
GPtrArray *
strand_stack_check_file (const char *path, StrandPlugins *plugins)
{
  g_autoptr(GPtrArray) problems = strand_problems_new ();
  g_autofree char *data = NULL;
  gsize length;

  g_return_val_if_fail (path != NULL, NULL);

  data = strand_stack_read_file (path, &length, problems);
  return data == NULL ? g_steal_pointer (&problems) : strand_stack_check_data (data, length, path, plugins);
}
