/* coroutine-stack.h — memory for coroutines to run on, and what tells when one needs more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef struct _StrandStacks StrandStacks;
typedef struct _StrandStack StrandStack;
struct _StrandStack
{
  char *base; /* the lowest byte that may be used */
  gsize size;
  gboolean guarded;  /* touching what lies below is a fault; else the lowest bytes are a canary */
  gboolean released; /* its memory has been given back */
  StrandStack *next; /* for whoever has it */
};

/* Not for two threads at once. */
StrandStacks *strand_stacks_new (gsize size);
void strand_stacks_free (StrandStacks *self);

/* A stack, or NULL with errno set if there is no memory or address space. */
StrandStack *strand_stacks_take (StrandStacks *self);

/* @keep: its memory too, for the next one. */
void strand_stacks_give (StrandStacks *self, StrandStack *stack, gboolean keep);

/* Whether the canary of a stack without a guard still lives. */
static inline gboolean
strand_stack_is_sound (const StrandStack *self)
{
  const guint64 *canary = (const guint64 *) self->base;
  guint64 dirt = 0;

  if (self->guarded)
    return TRUE;
  for (guint i = 0; i < 64; i += 4) /* 512 bytes: a frame that leaps over them would have to be larger */
    dirt |= canary[i] | canary[i + 1] | canary[i + 2] | canary[i + 3];
  return dirt == 0;
}

/* Says what has happened, to standard error, and ends the program. Usable in a signal handler. */
G_NORETURN void strand_stack_report_overflow (const char *function, gsize size);

/* Sees to it that an overflow on this thread is explained: @find says, in a signal handler, whether @address
 * belongs to the guard of the coroutine that runs on this thread. */
void strand_stack_watch_thread (gboolean (*find) (const void *address, const char **function, gsize *size));

/* How much lies below each guarded stack. */
gsize strand_stack_guard_size (void);
