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

/* Adds a test for each of @faults, which end in a fault NULL. @keyfile: a keyfile with an object `broken` of
 * this kind, from fixtures/@folder/@file.so, whose last line is `fault=`. Must stay valid. */
void fault_runner_add (const char *kind, const char *folder, const char *file, const char *keyfile,
                       const Fault *faults);
