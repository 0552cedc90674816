/* coroutine-switch.c — leaving one stack and going on with another.
 *
 * A switch is a function call as far as the compiler knows, so only the registers that a function must
 * preserve are kept, on the stack that is left. The signal mask is not among them: swapcontext() spends two
 * system calls on it. Sanitizers are told of each switch, as they note which stack a thread is on.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "coroutine-switch.h"

#ifdef STRAND_FIBER_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef STRAND_FIBER_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static void enter (StrandFiber *self);

#ifdef STRAND_FIBER_UCONTEXT

#define switch_stacks(from, to) swapcontext (&(from), &(to))

/* makecontext() passes ints: a pointer goes as two. */
static void
enter_halves (unsigned high, unsigned low)
{
  enter ((StrandFiber *) (((guintptr) high << 16 << 16) | low));
}

static void
prepare (StrandFiber *self)
{
  guintptr address = (guintptr) self;

  getcontext (&self->own);
  self->own.uc_stack.ss_sp = self->base;
  self->own.uc_stack.ss_size = self->size;
  self->own.uc_link = NULL;
  makecontext (&self->own, (void (*) (void)) enter_halves, 2, (unsigned) (address >> 16 >> 16),
               (unsigned) address);
}

#else

/* What a function preserves by the System V ABI: six registers, and the control words of both floating point
 * units. Jumping to the return address instead of returning to it keeps the processor's prediction of returns
 * in step. */
void strand_fiber_swap (void **from, void *to);
void strand_fiber_start (void);

__asm__(".text\n"
        ".p2align 4\n"
        ".globl strand_fiber_swap\n"
        ".hidden strand_fiber_swap\n"
        ".type strand_fiber_swap, @function\n"
        "strand_fiber_swap:\n"
        "  .cfi_startproc\n"
        "  pushq %rbp\n"
        "  pushq %rbx\n"
        "  pushq %r12\n"
        "  pushq %r13\n"
        "  pushq %r14\n"
        "  pushq %r15\n"
        "  subq $8, %rsp\n"
        "  stmxcsr (%rsp)\n"
        "  fnstcw 4(%rsp)\n"
        "  movl (%rsp), %eax\n"
        "  movzwl 4(%rsp), %edx\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  .cfi_def_cfa_offset 64\n"
        "  .cfi_offset %rbp, -16\n"
        "  .cfi_offset %rbx, -24\n"
        "  .cfi_offset %r12, -32\n"
        "  .cfi_offset %r13, -40\n"
        "  .cfi_offset %r14, -48\n"
        "  .cfi_offset %r15, -56\n"
        /* Loading them is slow, and hardly anybody changes them. */
        "  cmpl (%rsp), %eax\n"
        "  jne 2f\n"
        "  cmpw 4(%rsp), %dx\n"
        "  jne 2f\n"
        "1:\n"
        "  .cfi_remember_state\n"
        "  addq $8, %rsp\n"
        "  popq %r15\n"
        "  popq %r14\n"
        "  popq %r13\n"
        "  popq %r12\n"
        "  popq %rbx\n"
        "  popq %rbp\n"
        "  .cfi_def_cfa_offset 8\n"
        "  popq %rcx\n"
        "  .cfi_def_cfa_offset 0\n"
        "  .cfi_register %rip, %rcx\n"
        "  jmpq *%rcx\n"
        "2:\n"
        "  .cfi_restore_state\n"
        "  ldmxcsr (%rsp)\n"
        "  fldcw 4(%rsp)\n"
        "  jmp 1b\n"
        "  .cfi_endproc\n"
        ".size strand_fiber_swap, . - strand_fiber_swap\n"

        /* The outermost frame of a fiber: debuggers stop here. */
        ".p2align 4\n"
        ".hidden strand_fiber_start\n"
        ".type strand_fiber_start, @function\n"
        "strand_fiber_start:\n"
        "  .cfi_startproc\n"
        "  .cfi_undefined %rip\n"
        "  movq %r12, %rdi\n"
        "  callq *%r13\n"
        "  ud2\n"
        "  .cfi_endproc\n"
        ".size strand_fiber_start, . - strand_fiber_start\n");

#define switch_stacks(from, to) strand_fiber_swap (&(from), (to))

/* As strand_fiber_swap() leaves a stack, with strand_fiber_start() to go on with. */
static void
prepare (StrandFiber *self)
{
  guint64 *top = (guint64 *) (((guintptr) self->base + self->size) & ~(guintptr) 15);
  guint32 mxcsr;
  guint16 control;

  __asm__ volatile("stmxcsr %0\n fnstcw %1" : "=m"(mxcsr), "=m"(control));
  *--top = 0; /* where start's caller would have its return address */
  *--top = 0;
  *--top = (guint64) (guintptr) strand_fiber_start;
  *--top = 0;                          /* rbp: the end of the chain of frames */
  *--top = 0;                          /* rbx */
  *--top = (guint64) (guintptr) self;  /* r12 */
  *--top = (guint64) (guintptr) enter; /* r13 */
  *--top = 0;                          /* r14 */
  *--top = 0;                          /* r15 */
  *--top = (guint64) control << 32 | mxcsr;
  self->own = top;
}

#endif

static void
enter (StrandFiber *self)
{
#ifdef STRAND_FIBER_ASAN
  __sanitizer_finish_switch_fiber (NULL, &self->resumer_base, &self->resumer_size);
#endif
  self->entry (self->data);
  g_assert_not_reached ();
}

void
strand_fiber_init (StrandFiber *self, char *base, gsize size, void (*entry) (gpointer data), gpointer data)
{
  self->entry = entry;
  self->data = data;
  self->base = base;
  self->size = size;
#ifdef STRAND_FIBER_ASAN
  self->own_frames = NULL;
#endif
#ifdef STRAND_FIBER_TSAN
  self->tsan_own = __tsan_create_fiber (0);
#endif
  prepare (self);
}

void
strand_fiber_clear (StrandFiber *self)
{
#ifdef STRAND_FIBER_ASAN
  __asan_unpoison_memory_region (self->base, self->size); /* what the last frames left */
#endif
#ifdef STRAND_FIBER_TSAN
  __tsan_destroy_fiber (self->tsan_own);
#endif
}

void
strand_fiber_resume (StrandFiber *self)
{
#ifdef STRAND_FIBER_ASAN
  __sanitizer_start_switch_fiber (&self->resumer_frames, self->base, self->size);
#endif
#ifdef STRAND_FIBER_TSAN
  self->tsan_resumer = __tsan_get_current_fiber ();
  __tsan_switch_to_fiber (self->tsan_own, 0);
#endif
  switch_stacks (self->resumer, self->own);
#ifdef STRAND_FIBER_ASAN
  __sanitizer_finish_switch_fiber (self->resumer_frames, NULL, NULL);
#endif
}

void
strand_fiber_suspend (StrandFiber *self)
{
#ifdef STRAND_FIBER_ASAN
  __sanitizer_start_switch_fiber (&self->own_frames, self->resumer_base, self->resumer_size);
#endif
#ifdef STRAND_FIBER_TSAN
  __tsan_switch_to_fiber (self->tsan_resumer, 0);
#endif
  switch_stacks (self->own, self->resumer);
#ifdef STRAND_FIBER_ASAN
  __sanitizer_finish_switch_fiber (self->own_frames, &self->resumer_base, &self->resumer_size);
#endif
}
