/* coroutine-stack.c — memory for coroutines to run on, and what tells when one needs more.
 *
 * Stacks are cut from slabs of address space that the kernel fills page by page as they are used. Below each
 * of the first 16 000 in the process lies a guard that may not be touched: it costs the kernel two mappings,
 * of which a process has 65 530. Those beyond have a canary instead: their lowest bytes are zero, as the
 * kernel hands them out, and are looked at after each turn. Reading a page that was never written costs no
 * memory, a magic number would cost a page.
 *
 * Slabs stay until all is freed; stacks that are not needed give back their memory but keep their place.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-stack.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef HAVE_VALGRIND
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_STACK_REGISTER(start, end) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void) (id))
#endif

/* With its two mappings each, half of what the kernel allows a process; the rest is for everybody else. */
#define MAX_GUARDED 16000

/* valgrind gives up at 30 000 mappings in all. */
#define MAX_GUARDED_ON_VALGRIND 2000

/* A slab costs a mapping or two and a system call or two; 64 stacks share them. */
#define STACKS_IN_SLAB 64

/* Four pages: more than a usual frame leaps over at once. */
#define GUARD_PAGES 4

/* Room for the handler and for what a chained one does. */
#define SIGNAL_STACK_BYTES (64 * 1024)

typedef struct
{
  StrandStack stacks[STACKS_IN_SLAB];
  guint valgrind_ids[STACKS_IN_SLAB];
  char *start;
  gsize length;
  guint n_used; /* the rest has never been handed out */
  guint n_guarded;
} Slab;

struct _StrandStacks
{
  gsize size;
  GPtrArray *slabs;      /* of Slab; only the last has stacks that were never used */
  StrandStack *kept;     /* free, with their memory */
  StrandStack *released; /* free, without */
};

static int n_guarded; /* atomic; in the process */

gsize
strand_stack_guard_size (void)
{
  return GUARD_PAGES * (gsize) sysconf (_SC_PAGESIZE);
}

StrandStacks *
strand_stacks_new (gsize size)
{
  StrandStacks *self = g_new0 (StrandStacks, 1);
  gsize page = (gsize) sysconf (_SC_PAGESIZE);

  self->size = (size + page - 1) / page * page;
  self->slabs = g_ptr_array_new ();
  return self;
}

static void
slab_free (Slab *slab)
{
  for (guint i = 0; i < slab->n_used; i++)
    VALGRIND_STACK_DEREGISTER (slab->valgrind_ids[i]);
  munmap (slab->start, slab->length);
  g_atomic_int_add (&n_guarded, -(int) slab->n_guarded);
  g_free (slab);
}

void
strand_stacks_free (StrandStacks *self)
{
  for (guint i = 0; i < self->slabs->len; i++)
    slab_free (self->slabs->pdata[i]);
  g_ptr_array_unref (self->slabs);
  g_free (self);
}

static Slab *
slab_new (StrandStacks *self)
{
  gsize length = STACKS_IN_SLAB * (strand_stack_guard_size () + self->size);
  char *start = mmap (NULL, length, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  Slab *slab;

  if (start == MAP_FAILED)
    return NULL;
  /* Huge pages would give every stack two megabytes. Kernels without them say EINVAL. */
  madvise (start, length, MADV_NOHUGEPAGE);
  slab = g_new0 (Slab, 1);
  slab->start = start;
  slab->length = length;
  g_ptr_array_add (self->slabs, slab);
  return slab;
}

/* The lowest of a slab has its guard in any case: it keeps a slab from running into another's. */
static gboolean
guard (Slab *slab, StrandStack *stack, gboolean lowest)
{
  gsize size = strand_stack_guard_size ();
  int most = RUNNING_ON_VALGRIND ? MAX_GUARDED_ON_VALGRIND : MAX_GUARDED;

  if (g_atomic_int_add (&n_guarded, 1) >= most && !lowest)
    {
      g_atomic_int_add (&n_guarded, -1);
      return FALSE;
    }
  slab->n_guarded++;
  return mprotect (stack->base - size, size, PROT_NONE) == 0;
}

static StrandStack *
cut (StrandStacks *self)
{
  Slab *slab = self->slabs->len > 0 ? self->slabs->pdata[self->slabs->len - 1] : NULL;
  gsize guard_size = strand_stack_guard_size ();
  StrandStack *stack;

  if (slab == NULL || slab->n_used == STACKS_IN_SLAB)
    slab = slab_new (self);
  if (slab == NULL)
    return NULL;
  stack = &slab->stacks[slab->n_used];
  stack->base = slab->start + slab->n_used * (guard_size + self->size) + guard_size;
  stack->size = self->size;
  stack->guarded = guard (slab, stack, slab->n_used == 0);
  slab->valgrind_ids[slab->n_used] = VALGRIND_STACK_REGISTER (stack->base, stack->base + stack->size);
  slab->n_used++;
  return stack;
}

StrandStack *
strand_stacks_take (StrandStacks *self)
{
  StrandStack **list = self->kept != NULL ? &self->kept : &self->released;
  StrandStack *stack = *list;

  if (stack == NULL)
    return cut (self);
  *list = stack->next;
  stack->next = NULL;
  return stack;
}

void
strand_stacks_give (StrandStacks *self, StrandStack *stack, gboolean keep)
{
  StrandStack **list = keep ? &self->kept : &self->released;

  stack->released = !keep;
  if (!keep)
    madvise (stack->base, stack->size, MADV_DONTNEED);
  stack->next = *list;
  *list = stack;
}

void
strand_stack_report_overflow (const char *function, gsize size)
{
  char text[512];
  int length = snprintf (
      text, sizeof text,
      "strand: the stack of a coroutine that runs '%s' overflowed: it has %zu KiB; the taskrunner's "
      "'stack-size' makes it larger\n",
      function, size / 1024);

  if (length > 0 && write (STDERR_FILENO, text, MIN ((gsize) length, sizeof text - 1)) < 0)
    _exit (134);
  signal (SIGABRT, SIG_DFL);
  abort ();
}

/* The handler. A fault that is not ours goes to whoever was there before, or does what it would have done. */

static gboolean (*find_overflow) (const void *address, const char **function, gsize *size);
static struct sigaction chained;

static void
on_fault (int number, siginfo_t *info, void *machine)
{
  const char *function;
  gsize size;

  if (info->si_code > 0 && find_overflow (info->si_addr, &function, &size))
    strand_stack_report_overflow (function, size);
  if ((chained.sa_flags & SA_SIGINFO) != 0)
    chained.sa_sigaction (number, info, machine);
  else if (chained.sa_handler != SIG_DFL && chained.sa_handler != SIG_IGN)
    chained.sa_handler (number);
  else
    {
      /* The instruction is tried again when we return, and the signal then ends the program as it should. One
       * that was sent does not come again by itself. */
      signal (number, SIG_DFL);
      if (info->si_code <= 0)
        raise (number);
    }
}

static void
free_signal_stack (gpointer memory)
{
  stack_t none = { .ss_flags = SS_DISABLE };
  stack_t present;

  if (sigaltstack (NULL, &present) == 0 && present.ss_sp == memory)
    sigaltstack (&none, NULL);
  munmap (memory, SIGNAL_STACK_BYTES);
}

static GPrivate signal_stack = G_PRIVATE_INIT (free_signal_stack);

static void
give_thread_signal_stack (void)
{
  stack_t stack = { .ss_size = SIGNAL_STACK_BYTES };

  if (sigaltstack (NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE) == 0)
    return; /* the program or a sanitizer has given it one */
  stack = (stack_t){ .ss_size = SIGNAL_STACK_BYTES };
  stack.ss_sp = mmap (NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED)
    return;
  sigaltstack (&stack, NULL);
  g_private_set (&signal_stack, stack.ss_sp);
}

void
strand_stack_watch_thread (gboolean (*find) (const void *address, const char **function, gsize *size))
{
  static _Thread_local gboolean watched;
  static gsize installed;

  if (watched)
    return;
  watched = TRUE;
  give_thread_signal_stack ();

  if (g_once_init_enter (&installed))
    {
      struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

      find_overflow = find;
      sigaction (SIGSEGV, &action, &chained);
      g_once_init_leave (&installed, 1);
    }
}
