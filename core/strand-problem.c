/* strand-problem.c — one mistake in a keyfile, as data and as the line that a person reads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-problem.h"

G_DEFINE_BOXED_TYPE (StrandProblem, strand_problem, strand_problem_copy, strand_problem_free)

/**
 * strand_problem_copy:
 * @self: a problem
 *
 * Copies a problem. Any thread.
 *
 * Returns: (transfer full): the copy
 * Since: 1.0
 */
StrandProblem *
strand_problem_copy (const StrandProblem *self)
{
  StrandProblem *copy = g_new0 (StrandProblem, 1);

  copy->file = g_strdup (self->file);
  copy->line = self->line;
  copy->group = g_strdup (self->group);
  copy->key = g_strdup (self->key);
  copy->message = g_strdup (self->message);
  return copy;
}

/**
 * strand_problem_free:
 * @self: (transfer full): a problem
 *
 * Frees a problem. Any thread.
 *
 * Since: 1.0
 */
void
strand_problem_free (StrandProblem *self)
{
  g_free (self->file);
  g_free (self->group);
  g_free (self->key);
  g_free (self->message);
  g_free (self);
}

/**
 * strand_problem_to_string:
 * @self: a problem
 *
 * Writes a problem as compilers do, so that editors can jump to it:
 * `file:line: [group] key: what is wrong; what is allowed; did you mean 'x'?`. One line, whatever the file
 * holds. Any thread.
 *
 * Returns: (transfer full): the text
 * Since: 1.0
 */
char *
strand_problem_to_string (const StrandProblem *self)
{
  GString *text = g_string_new (self->file);

  if (self->line > 0)
    g_string_append_printf (text, ":%u", self->line);
  g_string_append (text, ": ");
  if (self->group != NULL)
    g_string_append_printf (text, "[%s] ", self->group);
  if (self->key != NULL)
    g_string_append_printf (text, "%s: ", self->key);
  g_string_append (text, self->message);

  for (gsize i = 0; i < text->len; i++)
    if (g_ascii_iscntrl (text->str[i]))
      text->str[i] = '?';
  return g_string_free (text, FALSE);
}
