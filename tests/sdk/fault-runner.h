/* fault-runner.h — what the tests share that look whether a suite finds what is broken on purpose.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef struct
{
  const char *fault;
  const char *settings; /* further lines of the keyfile; NULL for none */
  const char *failed;   /* the clauses that fail, apart by blanks, in any order */
  const char *may_fail; /* as threads happen to race; NULL for none */
  const char *says;     /* somewhere in the report; NULL for nothing in particular */
} Fault;

/* Adds a test for each of @faults, which end in a fault NULL, of the plugin fixtures/KINDs/faulty-KIND.so.
 * @settings: lines of the keyfile for all of them; NULL for none. @n_looks: how often a fault may be looked
 * for until the report is as expected: twice where threads or processes race, because on a busy machine they
 * may just miss each other. All must stay valid. */
void fault_runner_add (const char *kind, const char *settings, guint n_looks, const Fault *faults);

/* The file of the plugin. */
char *fault_runner_file (const char *kind);

/* Runs `strand conformance` with arguments, up to a NULL, and sees to it that it leaves no file behind; its
 * exit status. */
int fault_runner_command (char **output, char **errors, const char *first, ...) G_GNUC_NULL_TERMINATED;
