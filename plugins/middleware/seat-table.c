/* seat-table.c — who has how many seats, as several processes write it.
 *
 * The state is `(a(sux)as)`: of each process its owner, its seats and a counter that grows while it lives;
 * then those that stand in line. Only the first in line takes a free seat, one at a time, and goes to the end
 * if it wants more: so processes take turns, whatever each has waiting.
 *
 * A process of this host that has ended is found by its owner's name; one elsewhere when its counter has
 * stood still for the lease, by our own clock. Either loses its seats and its place. SPDX-License-Identifier:
 * LGPL-2.1-or-later */

#include "config.h"
#include "seat-table.h"

#include <string.h>

#define STATE_TYPE G_VARIANT_TYPE ("(a(sux)as)")

typedef struct
{
  char *owner;
  guint32 n_seats;
  gint64 counter;
} Sitter;

/* When a counter was first seen where it is. */
typedef struct
{
  gint64 counter;
  gint64 since_us;
} Sighting;

struct _SeatTable
{
  char *owner;
  guint n_seats;
  gint64 lease_us;
  GHashTable *sightings; /* of Sighting, by owner */

  GPtrArray *sitters; /* of Sitter; of the state at hand, as the next */
  GPtrArray *line;    /* of owners */
};

static void
sitter_free (gpointer data)
{
  Sitter *sitter = data;

  g_free (sitter->owner);
  g_free (sitter);
}

SeatTable *
seat_table_new (const char *owner, guint n_seats, gint64 lease_us)
{
  SeatTable *self = g_new0 (SeatTable, 1);

  self->owner = g_strdup (owner);
  self->n_seats = n_seats;
  self->lease_us = lease_us;
  self->sightings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->sitters = g_ptr_array_new_with_free_func (sitter_free);
  self->line = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
seat_table_free (SeatTable *self)
{
  g_hash_table_unref (self->sightings);
  g_ptr_array_unref (self->sitters);
  g_ptr_array_unref (self->line);
  g_free (self->owner);
  g_free (self);
}

static void
add_sitter (SeatTable *self, const char *owner, guint32 n_seats, gint64 counter)
{
  Sitter *sitter = g_new (Sitter, 1);

  *sitter = (Sitter){ g_strdup (owner), n_seats, counter };
  g_ptr_array_add (self->sitters, sitter);
}

static void
read_state (SeatTable *self, GVariant *state)
{
  g_autoptr(GVariantIter) sitters = NULL;
  g_autoptr(GVariantIter) line = NULL;
  const char *owner;
  guint32 n_seats;
  gint64 counter;

  g_ptr_array_set_size (self->sitters, 0);
  g_ptr_array_set_size (self->line, 0);
  if (state == NULL || !g_variant_is_of_type (state, STATE_TYPE))
    return;
  g_variant_get (state, "(a(sux)as)", &sitters, &line);
  while (g_variant_iter_next (sitters, "(&sux)", &owner, &n_seats, &counter))
    add_sitter (self, owner, MIN (n_seats, self->n_seats), counter);
  while (g_variant_iter_next (line, "&s", &owner))
    g_ptr_array_add (self->line, g_strdup (owner));
}

static GVariant *
write_state (SeatTable *self)
{
  GVariantBuilder sitters, line;

  g_variant_builder_init (&sitters, G_VARIANT_TYPE ("a(sux)"));
  for (guint i = 0; i < self->sitters->len; i++)
    {
      Sitter *sitter = self->sitters->pdata[i];

      g_variant_builder_add (&sitters, "(sux)", sitter->owner, sitter->n_seats, sitter->counter);
    }
  g_variant_builder_init (&line, G_VARIANT_TYPE ("as"));
  for (guint i = 0; i < self->line->len; i++)
    g_variant_builder_add (&line, "s", self->line->pdata[i]);
  return g_variant_new ("(a(sux)as)", &sitters, &line);
}

static Sitter *
find_sitter (SeatTable *self, const char *owner)
{
  for (guint i = 0; i < self->sitters->len; i++)
    if (strcmp (((Sitter *) self->sitters->pdata[i])->owner, owner) == 0)
      return self->sitters->pdata[i];
  return NULL;
}

static void
leave_line (SeatTable *self, const char *owner)
{
  for (guint i = self->line->len; i-- > 0;)
    if (strcmp (self->line->pdata[i], owner) == 0)
      g_ptr_array_remove_index (self->line, i);
}

static gboolean
has_stood_still (SeatTable *self, Sitter *sitter)
{
  gint64 now_us = strand_clock_monotonic_us ();
  Sighting *seen = g_hash_table_lookup (self->sightings, sitter->owner);

  if (seen != NULL && seen->counter == sitter->counter)
    return now_us - seen->since_us >= self->lease_us;
  seen = g_new (Sighting, 1);
  *seen = (Sighting){ sitter->counter, now_us };
  g_hash_table_insert (self->sightings, g_strdup (sitter->owner), seen);
  return FALSE;
}

static gboolean
is_gone (SeatTable *self, Sitter *sitter)
{
  StrandOwnerState state;

  if (strcmp (sitter->owner, self->owner) == 0)
    return FALSE;
  state = strand_lease_owner_probe (sitter->owner);
  return state == STRAND_OWNER_STATE_DEAD ||
         (state == STRAND_OWNER_STATE_UNKNOWN && has_stood_still (self, sitter));
}

static gboolean
is_absent (gpointer owner, gpointer sighting, gpointer self)
{
  return find_sitter (self, owner) == NULL;
}

static void
clear_away_the_gone (SeatTable *self)
{
  for (guint i = self->sitters->len; i-- > 0;)
    if (is_gone (self, self->sitters->pdata[i]))
      {
        leave_line (self, ((Sitter *) self->sitters->pdata[i])->owner);
        g_ptr_array_remove_index (self->sitters, i);
      }
  g_hash_table_foreach_remove (self->sightings, is_absent, self);
  /* Who stands in line has an entry; a name without one could never be told dead. */
  for (guint i = self->line->len; i-- > 0;)
    if (find_sitter (self, self->line->pdata[i]) == NULL)
      g_ptr_array_remove_index (self->line, i);
}

static guint
count_others (SeatTable *self)
{
  guint n = 0;

  for (guint i = 0; i < self->sitters->len; i++)
    if (strcmp (((Sitter *) self->sitters->pdata[i])->owner, self->owner) != 0)
      n += ((Sitter *) self->sitters->pdata[i])->n_seats;
  return n;
}

static void
join_line (SeatTable *self)
{
  for (guint i = 0; i < self->line->len; i++)
    if (strcmp (self->line->pdata[i], self->owner) == 0)
      return;
  g_ptr_array_add (self->line, g_strdup (self->owner));
}

/* How many of @n_wanted we get, while it is our turn. */
static guint
take_turns (SeatTable *self, guint n_free, guint n_wanted)
{
  guint n_granted = 0;

  while (n_granted < n_wanted)
    {
      join_line (self);
      if (n_granted >= n_free || strcmp (self->line->pdata[0], self->owner) != 0)
        return n_granted;
      n_granted++;
      leave_line (self, self->owner);
    }
  leave_line (self, self->owner);
  return n_granted;
}

GVariant *
seat_table_change (SeatTable *self, GVariant *state, guint n_taken, guint n_wanted, gboolean in_line,
                   gboolean renew, guint *n_granted)
{
  g_autoptr(GVariant) next = NULL;
  Sitter *ours;
  guint n_others;

  read_state (self, state);
  n_others = count_others (self);
  /* Looking costs three small files a process: only where it may make room, and as long as it may take. */
  if (renew || (n_wanted > 0 && (n_others + n_taken + n_wanted > self->n_seats || self->line->len > 0)))
    {
      clear_away_the_gone (self);
      n_others = count_others (self);
    }
  if (n_wanted == 0)
    leave_line (self, self->owner);
  *n_granted = take_turns (self, self->n_seats - MIN (self->n_seats, n_others + n_taken), n_wanted);
  if (!in_line)
    leave_line (self, self->owner);

  ours = find_sitter (self, self->owner);
  if (n_taken + *n_granted == 0 && (!in_line || *n_granted == n_wanted))
    g_ptr_array_remove (self->sitters, ours);
  else if (ours == NULL)
    add_sitter (self, self->owner, n_taken + *n_granted, 1);
  else
    {
      ours->n_seats = n_taken + *n_granted;
      ours->counter += renew;
    }
  if (state == NULL && self->sitters->len == 0)
    return NULL;
  next = g_variant_ref_sink (write_state (self));
  return state != NULL && g_variant_equal (state, next) ? NULL : g_steal_pointer (&next);
}
