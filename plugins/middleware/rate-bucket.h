/* rate-bucket.h — when the next call may go: a token bucket, or a window that slides.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

typedef enum
{
  RATE_TOKEN_BUCKET,
  RATE_SLIDING_WINDOW,
} RateAlgorithm;

typedef struct
{
  RateAlgorithm algorithm;
  guint max_calls;
  gint64 per_us;
  guint burst;
} RateLimits;

/* The largest that products of the numbers below leave within 64 bits. */
#define RATE_MAX_CALLS 1000000
#define RATE_MAX_PER_US (G_GINT64_CONSTANT (31) * 24 * 3600 * G_USEC_PER_SEC)

typedef struct _RateBucket RateBucket;

RateBucket *rate_bucket_new (const RateLimits *limits);
void rate_bucket_free (RateBucket *self);

/* When a call may go that comes at @now_us: then, or later. */
gint64 rate_bucket_next (RateBucket *self, gint64 now_us);

/* Takes the place at rate_bucket_next(), which it returns. */
gint64 rate_bucket_take (RateBucket *self, gint64 now_us);

/* Gives back the place that was taken last. */
void rate_bucket_give_back (RateBucket *self);

/* Whether it is as if new. */
gboolean rate_bucket_is_idle (RateBucket *self, gint64 now_us);

/* What another process needs to go on; @state NULL, or nothing that save() gave, is a new bucket. */
GVariant *rate_bucket_save (RateBucket *self);
void rate_bucket_load (RateBucket *self, GVariant *state);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (RateBucket, rate_bucket_free)
