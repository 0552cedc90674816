/* strand-run-process-private.h — what a process, its operations and its guard share.
 *
 * Between the program and the process stands a guard: `strand-helper` in another mode, which starts the
 * process, hears what it says, sees it die, and ends it and all that came of it when it is told to, or when
 * the program is gone. Program and guard have one socket; its end on either side says that the other side is
 * no more.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-run-process.h"

#include <sys/stat.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* The first argument of a program that is to be a guard; the process id of who wants one follows. */
#define STRAND_GUARD_OPTION "--strand-guard"
/* The first argument of a program that is to run one function under a guard. */
#define STRAND_GUARDED_OPTION "--strand-guarded"

/* Where a guard finds its things. */
enum
{
  STRAND_GUARD_SOCKET_FD = 3,
  STRAND_GUARD_SETTINGS_FD = 4,
  STRAND_GUARD_OUTCOME_FD = 5, /* of a function only */
};

/* Where a guarded function does. */
enum
{
  STRAND_GUARDED_SETTINGS_FD = 3,
  STRAND_GUARDED_OUTCOME_FD = 4,
};

/* Raised with every change of what follows. */
#define STRAND_GUARD_PROTOCOL 1

/* protocol, argv, environment, working directory ("": ours), quiet, whether to look for a line, what it
 * contains, modules, function ("": none), its arguments */
#define STRAND_GUARD_SETTINGS_TYPE "(uaayaayaybbayassv)"

/* Of a function that failed: domain, code, message. */
#define STRAND_GUARD_OUTCOME_TYPE "(sis)"

/* A guard that has not ended everything so long after the grace does not do so any more. */
#define STRAND_GUARD_PATIENCE_US (5 * G_USEC_PER_SEC)

/* How much of its stderr an error quotes; the longest line that is told. */
#define STRAND_GUARD_LAST_WORDS 2000
#define STRAND_GUARD_MAX_TEXT 4000

typedef enum
{
  /* From the guard, at most once each. */
  STRAND_GUARD_STARTED = 1, /* its process id; a pidfd goes along */
  STRAND_GUARD_REFUSED,     /* errno, and what failed */
  STRAND_GUARD_LINE,        /* the line */
  STRAND_GUARD_EXITED,      /* its wait status, and the end of its stderr */

  /* To the guard. */
  STRAND_GUARD_END, /* milliseconds between SIGTERM and SIGKILL */
} StrandGuardMessageType;

/* As many bytes travel as the text has. */
typedef struct
{
  guint32 type;
  gint32 value;
  char text[STRAND_GUARD_MAX_TEXT];
} StrandGuardMessage;

int strand_guard_main (const char *parent);

/* Once the program's own functions are registered. */
int strand_guarded_main (void);

/* What the guard reads of its process; strand-run-process-output.c. */
typedef struct
{
  int from; /* -1 at its end */
  int to;   /* -1: nowhere */

  GMutex lock; /* guards the rest */
  GCond changed;
  GString *queue; /* on its way to `to` */
} StrandGuardStream;

typedef void (*StrandGuardLook) (const char *text, gsize size);

/* Takes over @from, which does not block. */
void strand_guard_stream_open (StrandGuardStream *self, int from, int to);
gboolean strand_guard_stream_has_room (StrandGuardStream *self);
void strand_guard_stream_read (StrandGuardStream *self, StrandGuardLook look);
void strand_guard_stream_flush (StrandGuardStream *self, gint64 deadline_us);

/* Readiness. */
typedef enum
{
  STRAND_READY_AT_ONCE,
  STRAND_READY_FUNC,
  STRAND_READY_AFTER,
  STRAND_READY_PORT,
  STRAND_READY_FILE,
  STRAND_READY_LINE,
} StrandReadyKind;

typedef struct
{
  StrandProcessFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
} StrandProcessQuestion;

void strand_process_question_clear (StrandProcessQuestion *self);

typedef struct _StrandOperation StrandOperation;

struct _StrandProcess
{
  GObject parent_instance;

  /* Set before the start, then read by any thread. */
  char *name;
  GStrv argv; /* one of these two */
  char *function;
  GVariant *arguments;
  GVariant *keywords;
  GStrv env;
  char *working_directory;
  gboolean quiet;
  gint64 timeout_us;
  gint64 grace_us;
  gboolean forced_end;
  StrandProcessQuestion already_running;

  StrandReadyKind ready_kind;
  StrandProcessQuestion ready;
  gint64 ready_after_us;
  GPtrArray *ready_addresses; /* of GSocketAddress */
  char *ready_address_text;
  char *ready_text; /* the file, or what the line contains; NULL: any line */

  GMutex lock; /* guards everything below */
  gboolean started;
  gboolean closed;      /* somebody has asked for its end */
  gboolean was_running; /* and so nothing has been started */
  int socket;           /* to the guard; -1 before and after */
  pid_t guard;          /* not reaped yet; 0 else */
  pid_t pid;            /* 0 until the guard has said it */
  int pidfd;            /* -1 where there is none */
  int outcome;          /* where a function says how it failed; -1 else */
  int refused;          /* errno */
  char *refused_what;
  char *line;
  gboolean orphaned; /* the guard has died before the process, which we have killed since */
  gboolean exited;
  int status; /* -1 if nobody knows */
  char *last_words;
  GError *failure; /* the function's */
  gboolean gone;   /* nothing is left of it, nor of its guard */
  gboolean asked;  /* to end */
  gint64 asked_grace_us;
  GSList *operations; /* those who wait */
};

/* What a start, a wait and an end have in common: steps that never block, and between them something to wait
 * for. */
struct _StrandOperation
{
  StrandProcess *process;
  GCancellable *cancellable;
  int cancel_fd;
  int wake_fd;
  guint phase;

  /* TRUE when there is nothing left to do. */
  gboolean (*step) (StrandOperation *self, GError **error);

  /* What the next step waits for. */
  GPollFD fds[6];
  guint n_fds;
  gint64 due_us;

  gint64 deadline_us; /* monotonic; G_MAXINT64 for none */
  gint64 grace_us;    /* of an end */
  GError *failure;    /* of a start that is being undone */

  /* Readiness. */
  gint64 spawned_us;
  gint64 retry_us;
  gint64 delay_us;
  int fd; /* of inotify, or of a socket that is being connected */
  guint next_address;
  gboolean had_file;
  struct stat file;
};

StrandOperation *strand_operation_new (StrandProcess *process, GCancellable *cancellable,
                                       gboolean (*step) (StrandOperation *self, GError **error));
void strand_operation_free (StrandOperation *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (StrandOperation, strand_operation_free)

/* For steps. */
void strand_operation_add_fd (StrandOperation *self, int fd, int events);
void strand_operation_add_due (StrandOperation *self, gint64 due_us);

/* Blocks, or parks a coroutine. TRUE unless an error was set. */
gboolean strand_operation_run (StrandOperation *self, GError **error);

/* Takes over both; ends @task with a boolean. */
void strand_operation_run_async (StrandOperation *self, GTask *task);

/* strand-run-process-start.c, strand-run-process-end.c. */
gboolean strand_process_start_step (StrandOperation *self, GError **error);
gboolean strand_process_wait_step (StrandOperation *self, GError **error);
gboolean strand_process_end_step (StrandOperation *self, GError **error);

/* TRUE if nothing of it runs here, nor will. */
gboolean strand_process_is_over_locked (StrandProcess *self);

/* The line to the guard; strand-run-process-link.c. */
void strand_process_receive_locked (StrandProcess *self);
void strand_process_wake_locked (StrandProcess *self);
void strand_process_ask_end_locked (StrandProcess *self, gint64 grace_us);
void strand_process_watch_locked (StrandProcess *self, StrandOperation *operation);
void strand_process_set_death_error_locked (StrandProcess *self, GError **error);

/* Readiness; strand-run-process-ready.c. FALSE with an error if that can never be. */
gboolean strand_readiness_prepare (StrandOperation *self, GError **error);
gboolean strand_readiness_check (StrandOperation *self, gboolean *ready, GError **error);
char *strand_readiness_describe (StrandProcess *self);

G_END_DECLS
