/* coroutine-switch.h — leaving one stack and going on with another.
 *
 * A fiber is a stack with a function that runs on it in pieces: strand_fiber_resume() goes on with it until
 * it calls strand_fiber_suspend(). Who resumes may be a fiber too. A fiber is resumed on one thread at a
 * time. SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

#if !defined(__x86_64__) && !defined(STRAND_FIBER_UCONTEXT)
#define STRAND_FIBER_UCONTEXT
#endif

#if defined(__SANITIZE_ADDRESS__)
#define STRAND_FIBER_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STRAND_FIBER_ASAN
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define STRAND_FIBER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STRAND_FIBER_TSAN
#endif
#endif

#ifdef STRAND_FIBER_UCONTEXT
#include <ucontext.h>
#endif

typedef struct
{
#ifdef STRAND_FIBER_UCONTEXT
  ucontext_t own;
  ucontext_t resumer;
#else
  void *own; /* where the one that does not run has left its registers */
  void *resumer;
#endif
  void (*entry) (gpointer data);
  gpointer data;
  char *base; /* of the stack: its lowest byte */
  gsize size;
#ifdef STRAND_FIBER_ASAN
  void *own_frames; /* ASan's own, for use after return */
  void *resumer_frames;
  const void *resumer_base;
  gsize resumer_size;
#endif
#ifdef STRAND_FIBER_TSAN
  void *tsan_own;
  void *tsan_resumer;
#endif
} StrandFiber;

/* @entry never returns; it suspends for good. */
void strand_fiber_init (StrandFiber *self, char *base, gsize size, void (*entry) (gpointer data),
                        gpointer data);
void strand_fiber_clear (StrandFiber *self);

void strand_fiber_resume (StrandFiber *self);
void strand_fiber_suspend (StrandFiber *self);
