/* strand-reader-private.h — what the three threads of a reader share.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-call-private.h"
#include "strand-middleware.h"
#include "strand-reader.h"
#include "strand-work.h"

G_BEGIN_DECLS

/* What part of a lease may pass before its holder, who cannot renew, must believe it lost: early enough to
 * stop before somebody else starts. */
#define READER_LEASE_SAFE(lease_us) ((lease_us) / 4 * 3)

/* Where readers of one store find each other. */
#define READER_ROSTER "strand.workers"
#define READER_KIND "worker"

/* What has happened to a claimed call and waits for the settler. */
typedef enum
{
  READER_TODO_ITEMS = 1 << 0,
  READER_TODO_CHANGED = 1 << 1, /* progress, message, metadata */
  READER_TODO_ENDED = 1 << 2,
} ReaderTodo;

/* One claimed call. */
typedef struct
{
  gatomicrefcount ref_count;
  StrandReader *reader; /* not held: it outlives its calls */
  gint64 claimed_us;    /* monotonic, as all times here */
  guint64 fence;
  StrandRecord *claimed; /* as it was claimed; nobody changes it */
  StrandCall *attempt;   /* NULL where it never came to one */
  gboolean refused;      /* by middleware: no retry; the claimer's, until the attempt has ended */

  /* Guarded by the reader's lock. */
  GList link; /* in the reader's list of all */
  guint todo;
  gboolean queued;
  gboolean walking; /* the claimer takes it through the middleware: it is not settled meanwhile */
  gboolean started;
  gboolean gone;      /* settled */
  gboolean lost;      /* the lease is somebody else's, or may be: no longer renewed, and to be stopped */
  gboolean give_back; /* stopped without anybody having asked for its cancellation */
  gint64 renewed_us;  /* when the lease was renewed last, for certain */
  gint64 started_us;
  guint watch;      /* of its key; 0 while it is too young */
  gboolean changed; /* somebody wrote its record */
  GQueue items;     /* of GBytes, not yet in the store */
  guint64 first_item;
  guint64 n_emitted;
  guint64 n_dropped;

  /* The settler's. */
  StrandRecord *record; /* as it was written last */
  GVariant *warnings;   /* of middleware; `as` or NULL */
  GError *failure;      /* where the call ends otherwise than its attempt */
  gint64 shown_us;      /* when progress or items were written last */
  gint64 again_us;      /* when the store is tried again */
} ReaderCall;

struct _StrandReader
{
  GObject parent_instance;

  StrandStore *store; /* set at construction, as the others down to the lock */
  StrandTaskrunner *taskrunner;
  GListModel *middleware;
  char **queues;
  guint jobs;
  gint64 timeout_us;
  gint64 grace_us;
  gint64 lease_us;
  gint64 stop_timeout_us;
  gint64 retry_delay_us;
  gint64 retry_max_delay_us;
  guint retries;
  guint max_crashes;
  guint max_items;
  StrandChain *chain; /* made by listen, as the next two */
  int wake_fd;        /* wakes the keeper */
  GArray *watches;    /* of ids */
  char *worker_key;   /* the keeper's: its own record, a new one when others have taken it for dead */

  StrandResolveFunc resolve;
  gpointer resolve_data;
  GDestroyNotify resolve_destroy;

  GMutex lock; /* guards everything below */
  GCond claimer_wakes;
  GCond settler_wakes;
  GCond changed; /* somebody waits for idleness, or for the end */
  GThread *claimer;
  GThread *settler;
  GThread *keeper;
  char *owner;           /* of what is claimed now; changed by the keeper alone, together with its record */
  gint64 enlisted_us;    /* when that record was renewed last, for certain; monotonic */
  gboolean renew_soon;   /* the claimer waits for it to be renewed */
  GThread *outage;       /* whose word it is that the store does not answer; NULL while nobody says so */
  GQueue all;            /* of ReaderCall, by their links */
  GQueue ended;          /* of ReaderCall: the settler's work */
  GQueue resumed;        /* of ReaderCall: a middleware that answered LATER has decided */
  gboolean news;         /* something was noted for the settler */
  gboolean work;         /* something may be due */
  gboolean idle;         /* the last claim found nothing, and nothing has come since */
  gboolean keeper_dozes; /* it is woken when there is a new call */
  gboolean claiming;     /* a claim is under way */
  gboolean listening;    /* has been started */
  gboolean paused;
  gboolean stopping;          /* claims nothing more */
  gboolean hurried;           /* stop without draining */
  gboolean over;              /* the threads end */
  GHashTable *stopped_queues; /* names of queues that an operator has paused */
  gint64 average_us;          /* how long a call runs, lately */
  guint64 alarm;              /* a timer; 0 while none is set */
};

ReaderCall *reader_call_ref (ReaderCall *call);
void reader_call_unref (gpointer call);

/* strand-reader-call.c: one call, from claim to settled. */
void reader_call_begin (StrandReader *self, StrandRecord *record, gint64 asked_us);
void reader_call_go_on (ReaderCall *call);
void reader_call_note (ReaderCall *call, guint todo);
void reader_call_lose (ReaderCall *call, const char *why);
void reader_call_return (ReaderCall *call);
void reader_chain_wake (StrandCall *attempt, gpointer data);

/* strand-reader-alarm.c */
void reader_set_alarm_locked (StrandReader *self);
void reader_clear_alarm (StrandReader *self);

/* strand-reader-claim.c: what the log says of a store that does not answer, once for both threads. */
void reader_note_outage (StrandReader *self, const GError *error);
void reader_note_answer (StrandReader *self);

/* The threads. */
gpointer reader_claim (gpointer reader);
gpointer reader_settle (gpointer reader);
gpointer reader_keep (gpointer reader);

/* strand-reader-keep.c: around the life of the threads. */
gboolean reader_enlist (StrandReader *self, GError **error);
void reader_delist (StrandReader *self);
void reader_wake_keeper (StrandReader *self);

G_END_DECLS
