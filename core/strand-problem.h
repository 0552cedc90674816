/* strand-problem.h — one mistake in a keyfile: where it is, what is wrong, what would be right.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * StrandProblem:
 * @file: the keyfile's name
 * @line: the line, counted from 1; 0 where the file as a whole is meant
 * @group: (nullable): the group's title, without its brackets
 * @key: (nullable): the key
 * @message: what is wrong; what is allowed; did you mean
 *
 * One mistake in a keyfile. Read-only.
 *
 * Since: 1.0
 */
typedef struct
{
  char *file;
  guint line;
  char *group;
  char *key;
  char *message;
} StrandProblem;

#define STRAND_TYPE_PROBLEM (strand_problem_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_problem_get_type (void);

STRAND_AVAILABLE_IN_ALL
StrandProblem *strand_problem_copy (const StrandProblem *self) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
void strand_problem_free (StrandProblem *self);

STRAND_AVAILABLE_IN_ALL
char *strand_problem_to_string (const StrandProblem *self) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandProblem, strand_problem_free)

G_END_DECLS
