/* race.h — what the files of the interposing library share.
 *
 * ThreadSanitizer orders two accesses by what it sees between them: instrumented code, atomics in it, and
 * functions of the C library. GLib's locks are futexes in a library that it has not instrumented, so it sees
 * none of them, and nothing that GLib hands from thread to thread. The library made of these files is
 * preloaded into programs built with the sanitizer. It stands between them and GLib, and says of each lock
 * and each hand-over what GLib does there; GLib still does it.
 *
 * Only what GLib promises is said, no more: an order that is said and is not there hides a race.
 *
 * Programs without the sanitizer may be preloaded too, since they are children of those that have it; there
 * nothing is said.                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <gio/gio.h>

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#pragma weak __tsan_acquire
#pragma weak __tsan_release
#pragma weak __tsan_mutex_create
#pragma weak __tsan_mutex_destroy
#pragma weak __tsan_mutex_pre_lock
#pragma weak __tsan_mutex_post_lock
#pragma weak __tsan_mutex_pre_unlock
#pragma weak __tsan_mutex_post_unlock

/* Accesses as the compiler notes them, in the name of another place in the program. */
void __tsan_read_range_pc (const void *address, gsize size, const void *pc) __attribute__ ((weak));
void __tsan_write_range_pc (const void *address, gsize size, const void *pc) __attribute__ ((weak));

#define INTERPOSED __attribute__ ((visibility ("default")))

/* The function that a call would have reached without us. Two threads that look for it find the same. */
#define REAL(name)                                                                                           \
  ({                                                                                                         \
    static __typeof__ (&name) real;                                                                          \
    __typeof__ (&name) found = __atomic_load_n (&real, __ATOMIC_RELAXED);                                    \
    if (found == NULL)                                                                                       \
      {                                                                                                      \
        found = (__typeof__ (&name)) dlsym (RTLD_NEXT, #name);                                               \
        __atomic_store_n (&real, found, __ATOMIC_RELAXED);                                                   \
      }                                                                                                      \
    found;                                                                                                   \
  })

#define SANITIZED (__tsan_acquire != NULL)

/* What was done before give() is before what is done after take() of the same address. */
static inline void
give (gconstpointer address)
{
  if (SANITIZED)
    __tsan_release ((void *) address);
}

static inline void
take (gconstpointer address)
{
  if (SANITIZED)
    __tsan_acquire ((void *) address);
}
