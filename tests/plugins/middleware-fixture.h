/* middleware-fixture.h — what tests of shipped middleware share: stacks from text, and calls through them.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../core/call-fixture.h"

/* A stack of the keyfile that the format gives; with the demo functions loaded. */
StrandStack *stack_new (const char *format, ...) G_GNUC_PRINTF (1, 2);

/* Waits for everything that is left, then lets go of the stack. */
void stack_close (StrandStack *stack);

/* Its middleware of this name. */
GObject *stack_middleware (StrandStack *stack, const char *name);

/* The error of an object that the stack cannot make. */
GError *stack_error (StrandStack *stack, const char *middleware);

/* Calls on the default backend and waits for the end. @options: (nullable) (transfer none). */
StrandHandle *stack_call (StrandStack *stack, const char *function, GVariant *arguments,
                          StrandOptions *options);

/* One of the kinds of call that stack_storm() mixes. */
typedef struct
{
  const char *function;
  const char *arguments; /* GVariant text of a tuple */
} StormCall;

/* @n_threads threads call at once, @n times each, every one of @calls in turn; waits for all ends.
 * Told: how many ended in a value. */
guint stack_storm (StrandStack *stack, guint n_threads, guint n, const StormCall *calls, guint n_calls);
