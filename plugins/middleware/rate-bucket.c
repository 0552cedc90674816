/* rate-bucket.c — when the next call may go: a token bucket, or a window that slides.
 *
 * Neither knows a clock: it is told the time, whatever that counts, and answers with one. A call that has to
 * wait takes its place ahead of time, so whoever comes later comes after it, and no two ask for one place.
 *
 * The token bucket counts in parts of a token: `per_us` parts are a token, and `max_calls` parts come in
 * every microsecond. All is whole numbers, so nothing is lost to rounding however long it runs. Below zero
 * are the places taken ahead.
 *
 * The window remembers when calls went. More than about a thousand are remembered by the thousandth of the
 * period in which they went, rounded up: never a call too many, and at most one in a thousand too few.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "rate-bucket.h"

#define MAX_SLICES 1024

typedef struct
{
  gint64 time_us;
  gint64 count;
} Slice;

struct _RateBucket
{
  RateLimits limits;

  gint64 level; /* of the token bucket, in parts, at @at_us */
  gint64 at_us;

  GArray *slices; /* of the window, oldest first */
  gint64 total;   /* of their counts */
};

static gint64
capacity (RateBucket *self)
{
  return self->limits.burst * self->limits.per_us;
}

RateBucket *
rate_bucket_new (const RateLimits *limits)
{
  RateBucket *self = g_new0 (RateBucket, 1);

  self->limits = *limits;
  self->level = capacity (self);
  self->at_us = G_MININT64;
  self->slices = g_array_new (FALSE, FALSE, sizeof (Slice));
  return self;
}

void
rate_bucket_free (RateBucket *self)
{
  g_array_unref (self->slices);
  g_free (self);
}

static Slice *
slice (RateBucket *self, guint i)
{
  return &g_array_index (self->slices, Slice, i);
}

/* Tokens that have come in since. A time before the last one is another host's clock: nothing comes in.
 * Further back than a period, the clock was set back, and time goes on from here. */
static void
refill (RateBucket *self, gint64 now_us)
{
  gint64 room = capacity (self) - self->level;

  if (self->at_us != G_MININT64 && self->at_us - now_us > self->limits.per_us)
    self->at_us = now_us;

  if (self->at_us == G_MININT64 || now_us - self->at_us >= room / self->limits.max_calls + 1)
    self->level = capacity (self);
  else if (now_us > self->at_us)
    self->level = MIN (self->level + (now_us - self->at_us) * self->limits.max_calls, capacity (self));
  self->at_us = MAX (self->at_us, now_us);
}

static gint64
next_token (RateBucket *self, gint64 now_us)
{
  gint64 missing;

  refill (self, now_us);
  missing = self->limits.per_us - self->level;
  if (missing <= 0)
    return now_us;
  return self->at_us + (missing + self->limits.max_calls - 1) / self->limits.max_calls;
}

/* Places taken ahead do not reach further than that. */
static gboolean
was_set_back (RateBucket *self, gint64 now_us)
{
  gint64 periods = self->total / self->limits.max_calls + 1;

  return self->slices->len > 0 &&
         slice (self, self->slices->len - 1)->time_us - now_us > periods * self->limits.per_us;
}

static void
forget_old (RateBucket *self, gint64 now_us)
{
  guint n = 0;

  if (was_set_back (self, now_us))
    {
      g_array_set_size (self->slices, 0);
      self->total = 0;
    }

  while (n < self->slices->len && slice (self, n)->time_us <= now_us - self->limits.per_us)
    self->total -= slice (self, n++)->count;
  if (n > 0)
    g_array_remove_range (self->slices, 0, n);
}

/* As many as there may be have gone: the call goes when enough of the oldest have left the window. */
static gint64
next_in_window (RateBucket *self, gint64 now_us)
{
  gint64 to_leave;

  forget_old (self, now_us);
  to_leave = self->total - self->limits.max_calls + 1;
  if (to_leave <= 0)
    return now_us;
  for (guint i = 0; i < self->slices->len; i++)
    {
      to_leave -= slice (self, i)->count;
      if (to_leave <= 0)
        return slice (self, i)->time_us + self->limits.per_us;
    }
  g_assert_not_reached ();
}

gint64
rate_bucket_next (RateBucket *self, gint64 now_us)
{
  return self->limits.algorithm == RATE_TOKEN_BUCKET ? next_token (self, now_us)
                                                     : next_in_window (self, now_us);
}

static void
remember (RateBucket *self, gint64 time_us)
{
  Slice *last = self->slices->len > 0 ? slice (self, self->slices->len - 1) : NULL;

  if (self->limits.max_calls > MAX_SLICES)
    {
      gint64 step_us = MAX (self->limits.per_us / MAX_SLICES, 1);

      time_us = (time_us + step_us - 1) / step_us * step_us;
    }
  self->total++;
  /* Also what another host's clock puts before it. */
  if (last != NULL && last->time_us >= time_us)
    last->count++;
  else
    {
      Slice new = { time_us, 1 };

      g_array_append_val (self->slices, new);
    }
}

gint64
rate_bucket_take (RateBucket *self, gint64 now_us)
{
  gint64 time_us = rate_bucket_next (self, now_us);

  if (self->limits.algorithm == RATE_TOKEN_BUCKET)
    self->level -= self->limits.per_us;
  else
    remember (self, time_us);
  return time_us;
}

void
rate_bucket_give_back (RateBucket *self)
{
  if (self->limits.algorithm == RATE_TOKEN_BUCKET)
    self->level = MIN (self->level + self->limits.per_us, capacity (self));
  else if (self->slices->len > 0)
    {
      self->total--;
      if (--slice (self, self->slices->len - 1)->count == 0)
        g_array_set_size (self->slices, self->slices->len - 1);
    }
}

gboolean
rate_bucket_is_idle (RateBucket *self, gint64 now_us)
{
  if (self->limits.algorithm == RATE_TOKEN_BUCKET)
    refill (self, now_us);
  else
    forget_old (self, now_us);
  return self->limits.algorithm == RATE_TOKEN_BUCKET ? self->level >= capacity (self) : self->total == 0;
}

GVariant *
rate_bucket_save (RateBucket *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(xx)"));
  for (guint i = 0; i < self->slices->len; i++)
    g_variant_builder_add (&builder, "(xx)", slice (self, i)->time_us, slice (self, i)->count);
  return g_variant_new ("(xxa(xx))", self->at_us, self->level, &builder);
}

void
rate_bucket_load (RateBucket *self, GVariant *state)
{
  g_autoptr(GVariantIter) iter = NULL;
  Slice one;

  g_array_set_size (self->slices, 0);
  self->total = 0;
  self->level = capacity (self);
  self->at_us = G_MININT64;
  if (state == NULL || !g_variant_is_of_type (state, G_VARIANT_TYPE ("(xxa(xx))")))
    return;
  g_variant_get (state, "(xxa(xx))", &self->at_us, &self->level, &iter);
  self->at_us = CLAMP (self->at_us, 0, G_MAXINT64 / 4);
  self->level = CLAMP (self->level, -capacity (self) - RATE_MAX_CALLS * self->limits.per_us, capacity (self));
  while (g_variant_iter_next (iter, "(xx)", &one.time_us, &one.count))
    if (one.count > 0 && one.count <= RATE_MAX_CALLS && one.time_us >= 0 && one.time_us < G_MAXINT64 / 4 &&
        self->total < RATE_MAX_CALLS * G_GINT64_CONSTANT (2))
      {
        g_array_append_val (self->slices, one);
        self->total += one.count;
      }
}
