/* process-helper.h — one helper process, as its taskrunner sees it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

#include "strand-helper-wire-private.h"

G_BEGIN_DECLS

typedef enum
{
  STDERR_LOG,
  STDERR_INHERIT,
  STDERR_DISCARD,
} StderrMode;

/* How helpers are started. */
typedef struct
{
  char *command; /* NULL: the program itself if it can be a helper, else the installed one */
  GStrv modules;
  GStrv env;
  char *working_directory;
  int niceness;
  gint64 cpu_time_us;        /* of one call; -1 for any */
  gint64 startup_timeout_us; /* -1 for any */
  StderrMode stderr_mode;
} HelperSettings;

/* A descriptor is -1 where there is none. Used by one thread at a time, except for helper_post_control(). */
typedef struct
{
  pid_t pid;
  int pidfd; /* -1 too where the kernel has no such thing */
  int data;
  int control;
  int err;
  StderrMode stderr_mode;
  StrandWireShared *shared;
  StrandWireBuffer in;
  StrandWireBuffer out;
  GString *last_words;
  GStrv modules; /* that it was told to load */

  GHashTable *by_name;     /* name → Offered; filled by the hello */
  GHashTable *by_function; /* StrandFunction → Offered, those that were compared */
  GString *failed_modules; /* why modules could not be loaded there */
  guint64 n_calls;         /* sent to it: the last one's number */
} Helper;

/* Starts a helper and sends it its setup; blocks no longer than starting a program does. */
Helper *helper_new (const HelperSettings *settings, GError **error);

/* Ends the helper, and whatever is left in its process group, at once. */
void helper_free (Helper *self);

/* Lets it end by itself, for as long as that takes at most, then as helper_free(). */
void helper_retire (Helper *self, gint64 patience_us);

/* Reads its hello once it is here. FALSE if it is not, or, with an error, if there will be none. */
gboolean helper_read_hello (Helper *self, gboolean *ready, GError **error);

/* Whether a new one would have modules that this one has not. */
gboolean helper_is_outdated (Helper *self, const HelperSettings *settings);

/* What number the function has there; FALSE with an error if it is missing or another one. */
gboolean helper_find (Helper *self, StrandFunction *function, guint32 *index, GError **error);

/* The same, if that is known already. */
gboolean helper_knows (Helper *self, StrandFunction *function, guint32 *index);

/* Puts a call into `out`. FALSE with an error if it is too large. */
gboolean helper_write_call (Helper *self, StrandCall *call, guint32 index, GError **error);

/* Sends what `out` holds, as far as it goes without waiting. FALSE if the helper does not listen any more. */
gboolean helper_flush (Helper *self);

/* Receives what is there without waiting: > 0 if there was something, 0 if not, -1 if nothing will come any
 * more. */
int helper_receive (Helper *self);

/* A message on the control socket; does not wait; any thread. */
void helper_post_control (Helper *self, StrandWireType type, guint64 number, guint64 credit);

/* Reads what it wrote to stderr. */
void helper_drain_stderr (Helper *self);

gboolean helper_is_dead (Helper *self);

/* Waits until it is dead, so long at most; TRUE if it is. */
gboolean helper_wait_for_end (Helper *self, gint64 patience_us);
gint64 helper_get_resident_bytes (Helper *self);
void helper_signal (Helper *self, int number);

/* Why it died, and its last words; reaps it. "it was killed by signal 11 (Segmentation fault); …" */
char *helper_describe_death (Helper *self);

G_END_DECLS
