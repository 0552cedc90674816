/* strand-helper-wire-private.h — what a process taskrunner and its helpers say to each other.
 *
 * Two sockets and a few words of shared memory. The data socket carries calls one way, items, news and
 * outcomes the other; only the helper's main thread reads it, so a call reaches its function without a change
 * of threads. The control socket carries what cannot wait for the function: cancellation and room for items;
 * its end tells the helper that its parent is gone. The words say which calls somebody has claimed: the
 * helper claims a call before it runs it, the parent claims back what it wants to send elsewhere, and neither
 * needs an answer for that. So calls may wait in the data socket, behind the one that runs, as freely as in
 * the parent's line.
 *
 * Both ends are one build on one machine, so numbers are in its own byte order and values in GVariant's own
 * form. The parent believes nothing that it reads; a helper belongs to its parent.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The first argument of a program that is to be a helper; its parent's process id follows. */
#define STRAND_HELPER_OPTION "--strand-helper"

/* Where a helper finds its ends. */
enum
{
  STRAND_HELPER_DATA_FD = 3,
  STRAND_HELPER_CONTROL_FD = 4,
  STRAND_HELPER_SHARED_FD = 5,
};

/* Raised with every change of what follows. */
#define STRAND_WIRE_PROTOCOL 2

/* The largest payload. A value of this size is kept twice on each side while it travels. */
#define STRAND_WIRE_MAX_PAYLOAD (256 * 1024 * 1024)

/* How many items may be on their way: enough to keep both sides busy, few enough to stop a producer soon. */
#define STRAND_WIRE_WINDOW 256

/* Calls whose numbers are this far apart share a word: the older of them must have been claimed. */
#define STRAND_WIRE_SLOTS 32

/* How many bytes of message, error text and the like a helper may say at once. */
#define STRAND_WIRE_MAX_TEXT (64 * 1024)

typedef enum
{
  /* To the helper, data. */
  STRAND_WIRE_SETUP = 1, /* STRAND_WIRE_SETUP_TYPE */
  STRAND_WIRE_CALL,      /* StrandWireCall, arguments, headers, key, each padded to 8 bytes */

  /* To the helper, control; a frame is one message. */
  STRAND_WIRE_CANCEL,
  STRAND_WIRE_CREDIT, /* guint64: how many more items */

  /* From the helper. */
  STRAND_WIRE_HELLO,   /* STRAND_WIRE_HELLO_TYPE */
  STRAND_WIRE_ITEM,    /* v */
  STRAND_WIRE_CHANGED, /* STRAND_WIRE_CHANGED_TYPE */
  STRAND_WIRE_VALUE,   /* of the function's declared type */
  STRAND_WIRE_NOTHING,
  STRAND_WIRE_ERROR, /* STRAND_WIRE_ERROR_TYPE */
} StrandWireType;

/* protocol, modules to load, nice, seconds of processor time a call (0: any) */
#define STRAND_WIRE_SETUP_TYPE "(uasit)"
/* protocol, functions (name, signature) in the order of their numbers, modules that failed (name, why) */
#define STRAND_WIRE_HELLO_TYPE "(ua(ss)a(ss))"
/* progress, message, metadata */
#define STRAND_WIRE_CHANGED_TYPE "(dmsa{sv})"
/* domain, code, message */
#define STRAND_WIRE_ERROR_TYPE "(sis)"

/* What every frame begins with. Frames start at multiples of 8 bytes. */
typedef struct
{
  guint32 size; /* of the payload, without padding */
  guint32 type;
  guint64 number; /* of the call, from 1 in each helper */
} StrandWireHead;

typedef struct
{
  gint64 remaining_us; /* until the call times out; -1 for never */
  guint32 function;    /* its place in the helper's hello */
  guint32 attempt;
  guint32 arguments_size;
  guint32 headers_size; /* a{ss} */
  guint32 key_size;     /* without a final NUL */
  guint32 reserved;
} StrandWireCall;

/* In shared memory. */
typedef struct
{
  gsize claimed[STRAND_WIRE_SLOTS]; /* atomic: the last number there that the helper has begun or the parent
                                       taken back */
} StrandWireShared;

/* Bytes on their way: [start, end) of data. */
typedef struct
{
  guint8 *data;
  gsize start;
  gsize end;
  gsize size;
} StrandWireBuffer;

void strand_wire_buffer_clear (StrandWireBuffer *self);
gboolean strand_wire_buffer_is_empty (const StrandWireBuffer *self);

/* Writing a frame: head, pieces, end. */
gsize strand_wire_begin (StrandWireBuffer *self, StrandWireType type, guint64 number);
void strand_wire_append (StrandWireBuffer *self, gconstpointer data, gsize size);
void strand_wire_append_variant (StrandWireBuffer *self, GVariant *value);
void strand_wire_pad (StrandWireBuffer *self, gsize frame);
gboolean strand_wire_end (StrandWireBuffer *self, gsize frame);

/* The next whole frame; its payload stays valid until the buffer receives more. FALSE with @broken if this
 * can never be one. */
gboolean strand_wire_next (StrandWireBuffer *self, StrandWireHead *head, const guint8 **payload,
                           gboolean *broken);

/* Some bytes: > 0, 0 at the end, -1 with errno. @flags as for recv() and send(). */
gssize strand_wire_receive (StrandWireBuffer *self, int fd, int flags);
gssize strand_wire_send (StrandWireBuffer *self, int fd, int flags);

/* A value out of somebody else's bytes; NULL unless they are exactly how GVariant would write it. Not
 * floating. */
GVariant *strand_wire_read_variant (const GVariantType *type, const guint8 *data, gsize size);

/* TRUE if this side claims the call and the other cannot run it or take it back any more. */
gboolean strand_wire_claim (StrandWireShared *shared, guint64 number);
gboolean strand_wire_is_claimed (StrandWireShared *shared, guint64 number);

G_END_DECLS
