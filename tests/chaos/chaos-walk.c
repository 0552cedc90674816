/* chaos-walk.c — a store does at every step of a random walk what a model of it says.
 *
 *     chaos-walk --store TYPE [--steps N] [--seed N]
 *
 * The model is a table of a few calls, and says in its own words what each operation does to one: nothing of
 * it comes from the code that it is compared with. After each step the record that was touched is read and
 * compared, and now and then all of them. SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "strand-plugin.h"

#include <stdlib.h>
#include <string.h>

#include "queue-stage.h"

/* Few, so that the same one is met again and again in whatever state it is. */
#define N_KEYS 24
#define N_OWNERS 3
#define DEAD_OWNER 2

#define START_US G_GINT64_CONSTANT (1700000000000000)
#define HOUR_US (60 * 60 * (gint64) G_USEC_PER_SEC)

/* Long, because some servers count it by their own clock. */
#define TTL_US (10 * HOUR_US)

#define LOOK_AT_ALL_EVERY 200
#define N_NOTES 30

static char *option_store;
static int option_steps = 3000;
static int option_seed = -1;

static const GOptionEntry entries[] = {
  { "store", 0, 0, G_OPTION_ARG_STRING, &option_store, "memory, filesystem, sqlite or redis", "TYPE" },
  { "steps", 0, 0, G_OPTION_ARG_INT, &option_steps, "How far to go", "N" },
  { "seed", 0, 0, G_OPTION_ARG_INT, &option_seed, "Where to go; another way each time by default", "N" },
  { NULL },
};

static const char *const queue_names[] = { "high", "low" };

/* What the model knows of a call. */
typedef struct
{
  gboolean there;
  StrandStatus status;
  guint64 revision;
  gint64 fence, attempt, crashes, counter;
  gint64 created_us, not_before_us, started_us, completed_us, ttl_us;
  gint64 priority;
  guint queue;
  int owner; /* -1 for none */
  gboolean cancel;
  gboolean shown; /* its progress */
  guint n_causes;
  StrandRecord *held; /* as somebody claimed it; perhaps long ago */
} Model;

typedef struct
{
  StrandStore *store;
  GRand *rand;
  Model models[N_KEYS];
  char *owners[N_OWNERS];
  gint64 now_us;
  guint step;
  guint n_done[16]; /* by operation: how often it was not refused */
  GQueue notes;     /* the last steps, as text */
} Walk;

static void note (Walk *walk, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
note (Walk *walk, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_queue_push_tail (&walk->notes, g_strdup_printf ("%u: %s", walk->step, text));
  if (walk->notes.length > N_NOTES)
    g_free (g_queue_pop_head (&walk->notes));
}

static void
show_notes (Walk *walk)
{
  for (GList *l = walk->notes.head; l != NULL; l = l->next)
    g_test_message ("%s", (char *) l->data);
  g_test_message ("seed %d", option_seed);
}

/* Shows how it came to that, before the assertion that fails. */
#define expect(walk, condition)                                                                              \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    gboolean holds = (condition);                                                                            \
    if (!holds)                                                                                              \
      {                                                                                                      \
        show_notes (walk);                                                                                   \
        g_error ("%s:%d: not so: %s", __FILE__, __LINE__, #condition);                                       \
      }                                                                                                      \
  }                                                                                                          \
  G_STMT_END

static guint
draw (Walk *walk, guint n)
{
  return (guint) g_rand_int_range (walk->rand, 0, (gint32) n);
}

static char *
key_of (guint i)
{
  return g_strdup_printf ("call-%u", i);
}

static guint
index_of (StrandRecord *record)
{
  return (guint) atoi (strand_record_get_key (record) + strlen ("call-"));
}

static gboolean
is_over (const Model *model)
{
  return model->status == STRAND_STATUS_COMPLETED || model->status == STRAND_STATUS_FAILED ||
         model->status == STRAND_STATUS_CANCELLED;
}

/* --- comparing ------------------------------------------------------------------------------------------ */

#define compare_int(walk, record, field, expected)                                                           \
  G_STMT_START                                                                                               \
  {                                                                                                          \
    gint64 there = strand_record_get_int (record, field);                                                    \
    if (there != (gint64) (expected))                                                                        \
      show_notes (walk);                                                                                     \
    g_assert_cmpint (there, ==, (gint64) (expected));                                                        \
  }                                                                                                          \
  G_STMT_END

static void
compare (Walk *walk, StrandRecord *record, const Model *model)
{
  GVariant *causes = strand_record_get_variant (record, STRAND_FIELD_CAUSES);

  compare_int (walk, record, STRAND_FIELD_STATUS, model->status);
  compare_int (walk, record, STRAND_FIELD_REVISION, model->revision);
  compare_int (walk, record, STRAND_FIELD_FENCE, model->fence);
  compare_int (walk, record, STRAND_FIELD_ATTEMPT, model->attempt);
  compare_int (walk, record, STRAND_FIELD_CRASHES, model->crashes);
  compare_int (walk, record, STRAND_FIELD_LEASE_COUNTER, model->counter);
  compare_int (walk, record, STRAND_FIELD_CREATED, model->created_us);
  compare_int (walk, record, STRAND_FIELD_NOT_BEFORE, model->not_before_us);
  compare_int (walk, record, STRAND_FIELD_STARTED, model->started_us);
  compare_int (walk, record, STRAND_FIELD_COMPLETED, model->completed_us);
  compare_int (walk, record, STRAND_FIELD_TTL, model->ttl_us);
  compare_int (walk, record, STRAND_FIELD_PRIORITY, model->priority);
  compare_int (walk, record, STRAND_FIELD_CANCEL_REQUESTED, model->cancel);
  expect (walk, (strand_record_get_double (record, STRAND_FIELD_PROGRESS) >= 0) == model->shown);
  expect (walk, (causes != NULL ? g_variant_n_children (causes) : 0) == model->n_causes);
  expect (walk,
          g_strcmp0 (strand_record_get_string (record, STRAND_FIELD_QUEUE), queue_names[model->queue]) == 0);
  expect (walk, g_strcmp0 (strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER),
                           model->owner >= 0 ? walk->owners[model->owner] : NULL) == 0);
}

static void
look_at (Walk *walk, guint i)
{
  g_autofree char *key = key_of (i);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (walk->store, key, &error);

  expect (walk, (record != NULL) == walk->models[i].there);
  if (record != NULL)
    compare (walk, record, &walk->models[i]);
  else
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
}

static gboolean
is_wanted (const Model *model, const StrandFilter *filter)
{
  return model->there && (filter->statuses == 0 || (filter->statuses & 1u << model->status) != 0) &&
         (filter->queue == NULL || strcmp (filter->queue, queue_names[model->queue]) == 0);
}

static void
look_at_all (Walk *walk, const StrandFilter *filter)
{
  g_autofree char *cursor = NULL;
  gboolean seen[N_KEYS] = { FALSE };
  gint64 n = 0;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page =
          strand_store_list (walk->store, filter, cursor, 1 + draw (walk, 30), &error);

      g_assert_no_error (error);
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        {
          StrandRecord *record = strand_page_get_records (page)->pdata[i];

          expect (walk, is_wanted (&walk->models[index_of (record)], filter));
          expect (walk, !seen[index_of (record)]);
          seen[index_of (record)] = TRUE;
          compare (walk, record, &walk->models[index_of (record)]);
        }
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  for (guint i = 0; i < N_KEYS; i++)
    {
      expect (walk, seen[i] == is_wanted (&walk->models[i], filter));
      n += seen[i];
    }
  expect (walk, strand_store_count (walk->store, filter, NULL) == n);
}

/* --- what the model does -------------------------------------------------------------------------------- */

static void
model_end (Model *model, StrandStatus status, gint64 now_us)
{
  model->status = status;
  model->completed_us = now_us;
  model->owner = -1;
  model->counter = 0;
}

static void
model_wait (Model *model)
{
  model->status = STRAND_STATUS_PENDING;
  model->owner = -1;
  model->counter = 0;
}

static void
model_forget (Model *model)
{
  g_clear_pointer (&model->held, strand_record_unref);
  memset (model, 0, sizeof *model);
  model->owner = -1;
}

static gint64
model_turn (const Model *model)
{
  return MAX (model->created_us, model->not_before_us) - model->priority * 30 * (gint64) G_USEC_PER_SEC;
}

/* Whether somebody else could not have come between what was held and what is there. */
static gboolean
is_held (Walk *walk, const Model *model)
{
  return model->there && model->held != NULL && model->status == STRAND_STATUS_RUNNING &&
         model->fence == strand_record_get_int (model->held, STRAND_FIELD_FENCE);
}

static gboolean
is_as_held (const Model *model)
{
  return model->there && model->held != NULL && model->revision == strand_record_get_revision (model->held);
}

/* --- operations: each draws what it does, does it, and says whether the store agreed that it may -------- */

static gboolean
do_launch (Walk *walk)
{
  guint i = draw (walk, N_KEYS);
  Model *model = &walk->models[i];
  g_autofree char *key = key_of (i);
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GError) error = NULL;
  guint queue = draw (walk, 2);
  gint64 priority = (gint64) draw (walk, 5) - 2;
  gint64 not_before_us =
      draw (walk, 3) == 0 ? walk->now_us + draw (walk, 1000000) * G_GINT64_CONSTANT (7001) : 0;
  gint64 ttl_us = draw (walk, 2) == 0 ? TTL_US : -1;
  gboolean done;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue_names[queue]);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, priority);
  strand_record_set_int (record, STRAND_FIELD_CREATED, walk->now_us);
  strand_record_set_int (record, STRAND_FIELD_NOT_BEFORE, not_before_us);
  strand_record_set_int (record, STRAND_FIELD_TTL, ttl_us);
  note (walk, "launch %s in %s", key, queue_names[queue]);
  done = strand_store_put (walk->store, record, 0, &error);
  expect (walk, done == !model->there);
  if (done)
    {
      model_forget (model);
      *model = (Model){ .there = TRUE,
                        .revision = 1,
                        .created_us = walk->now_us,
                        .not_before_us = not_before_us,
                        .ttl_us = ttl_us,
                        .priority = priority,
                        .queue = queue,
                        .owner = -1 };
      model->attempt = strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
    }
  else
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
  look_at (walk, i);
  return done;
}

/* Which call of a queue comes first; -1 for none. @due_us: when one will. */
static int
find_first (Walk *walk, guint queue, gint64 *due_us)
{
  int best = -1;

  for (int i = 0; i < N_KEYS; i++)
    {
      const Model *model = &walk->models[i];

      if (!model->there || model->status != STRAND_STATUS_PENDING || model->queue != queue)
        continue;
      if (model->not_before_us > walk->now_us)
        *due_us = *due_us == 0 ? model->not_before_us : MIN (*due_us, model->not_before_us);
      else if (best < 0 || model_turn (model) < model_turn (&walk->models[best]))
        best = i;
    }
  return best;
}

static void
model_claim (Model *model, int owner, gint64 now_us)
{
  model->status = STRAND_STATUS_RUNNING;
  model->revision++;
  model->fence++;
  model->attempt = MAX (model->attempt, 1);
  model->owner = owner;
  model->counter = 1;
  model->started_us = now_us;
  model->shown = FALSE;
}

static gboolean
do_claim (Walk *walk)
{
  guint first = draw (walk, 2), n_queues = 1 + draw (walk, 2);
  const char *queues[3] = { queue_names[first], n_queues > 1 ? queue_names[1 - first] : NULL, NULL };
  int owner = (int) draw (walk, N_OWNERS);
  const StrandClaim claim = { queues, walk->owners[owner], walk->now_us, 1 + draw (walk, 4) };
  g_autoptr(GError) error = NULL;
  gint64 due_us = 0, expected_due_us = 0;
  g_autoptr(GPtrArray) claimed = strand_store_claim (walk->store, &claim, &due_us, &error);
  guint n = 0;

  g_assert_no_error (error);
  note (walk, "owner %d claims %u of %s%s: %u", owner, claim.limit, queues[0],
        n_queues > 1 ? " and other" : "", claimed->len);
  for (guint q = 0; q < n_queues; q++)
    while (n < claim.limit)
      {
        gint64 later_us = 0;
        int i = find_first (walk, q == 0 ? first : 1 - first, &later_us);

        if (i < 0)
          {
            expected_due_us = expected_due_us == 0 || (later_us > 0 && later_us < expected_due_us)
                                  ? later_us
                                  : expected_due_us;
            break;
          }
        expect (walk, n < claimed->len);
        expect (walk, index_of (claimed->pdata[n]) == (guint) i);
        model_claim (&walk->models[i], owner, walk->now_us);
        g_clear_pointer (&walk->models[i].held, strand_record_unref);
        walk->models[i].held = strand_record_ref (claimed->pdata[n]);
        compare (walk, claimed->pdata[n], &walk->models[i]);
        look_at (walk, (guint) i);
        n++;
      }
  expect (walk, n == claimed->len);
  if (n < claim.limit)
    expect (walk, due_us == expected_due_us);
  return n > 0;
}

static gboolean
do_renew (Walk *walk)
{
  guint i = draw (walk, N_KEYS - 1);
  g_autofree char *key = key_of (i);
  g_autofree char *next = key_of (i + 1);
  StrandRenewal renewals[2] = { { .key = key }, { .key = next } };
  g_autoptr(GError) error = NULL;
  gboolean any = FALSE;

  for (guint k = 0; k < 2; k++)
    renewals[k].fence = (guint64) MAX (walk->models[i + k].fence - (draw (walk, 4) == 0), 0);
  note (walk, "renew %s and %s", key, next);
  expect (walk, strand_store_renew (walk->store, renewals, 2, &error));
  for (guint k = 0; k < 2; k++)
    {
      Model *model = &walk->models[i + k];
      gboolean held = model->there && model->status == STRAND_STATUS_RUNNING &&
                      model->fence == (gint64) renewals[k].fence;

      expect (walk, held == (renewals[k].error == NULL));
      if (held)
        {
          model->counter++;
          model->revision++;
          expect (walk, !renewals[k].cancel_requested == !model->cancel);
        }
      else if (model->there)
        g_assert_error (renewals[k].error, STRAND_ERROR, STRAND_ERROR_STALE);
      else
        g_assert_error (renewals[k].error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
      g_clear_error (&renewals[k].error);
      look_at (walk, i + k);
      any |= held;
    }
  return any;
}

typedef enum
{
  STEP_SHOW,
  STEP_COMPLETE,
  STEP_FAIL,
  STEP_RETRY,
  STEP_GIVE_BACK,
  STEP_LOSE,
  N_STEPS
} Step;

typedef struct
{
  Step step;
  gint64 now_us;
  gint64 not_before_us;
} Change;

static void
add_cause (StrandRecord *record)
{
  g_autoptr(GError) error = g_error_new (STRAND_ERROR, STRAND_ERROR_LOST, "The walk says so");

  strand_record_add_cause (record, "walker", error);
}

static void
change_record (StrandRecord *record, gpointer data)
{
  const Change *change = data;

  switch (change->step)
    {
    case STEP_SHOW:
      strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.5);
      break;
    case STEP_COMPLETE:
      strand_record_end (record, STRAND_STATUS_COMPLETED, change->now_us);
      break;
    case STEP_FAIL:
      add_cause (record);
      strand_record_end (record, STRAND_STATUS_FAILED, change->now_us);
      break;
    case STEP_RETRY:
      add_cause (record);
      strand_record_retry (record, change->not_before_us);
      break;
    case STEP_GIVE_BACK:
      strand_record_give_back (record);
      break;
    case STEP_LOSE:
      add_cause (record);
      strand_record_set_int (record, STRAND_FIELD_CRASHES,
                             strand_record_get_int (record, STRAND_FIELD_CRASHES) + 1);
      strand_record_give_back (record);
      break;
    case N_STEPS:
    default:
      g_assert_not_reached ();
    }
}

static void
change_model (Model *model, const Change *change)
{
  model->revision++;
  model->n_causes += change->step == STEP_FAIL || change->step == STEP_RETRY || change->step == STEP_LOSE;
  model->crashes += change->step == STEP_LOSE;
  if (change->step == STEP_SHOW)
    model->shown = TRUE;
  else if (change->step == STEP_COMPLETE)
    model_end (model, STRAND_STATUS_COMPLETED, change->now_us);
  else if (change->step == STEP_FAIL)
    model_end (model, STRAND_STATUS_FAILED, change->now_us);
  else
    model_wait (model);
  if (change->step == STEP_RETRY)
    {
      model->attempt++;
      model->not_before_us = change->not_before_us;
    }
}

static Change
draw_change (Walk *walk)
{
  return (Change){ .step = (Step) draw (walk, N_STEPS),
                   .now_us = walk->now_us,
                   .not_before_us = walk->now_us + draw (walk, 1000000) * G_GINT64_CONSTANT (3001) };
}

/* As a holder does it, who reads again what others wrote meanwhile. */
static gboolean
do_change (Walk *walk)
{
  guint i = draw (walk, N_KEYS);
  Model *model = &walk->models[i];
  Change change = draw_change (walk);
  g_autoptr(StrandRecord) written = NULL;
  g_autoptr(GError) error = NULL;

  if (model->held == NULL)
    return FALSE;
  note (walk, "change call-%u, step %d", i, change.step);
  written = strand_store_change (walk->store, model->held, change_record, &change, &error);
  expect (walk, (written != NULL) == is_held (walk, model));
  if (written != NULL)
    {
      change_model (model, &change);
      compare (walk, written, model);
    }
  else
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_STALE);
  look_at (walk, i);
  return written != NULL;
}

/* As a batch that says which revisions it is for. */
static gboolean
do_settle (Walk *walk)
{
  g_autoptr(GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_record_unref);
  guint64 expected[3];
  GError *errors[3];
  guint indices[3];
  Change changes[3];
  guint start = draw (walk, N_KEYS), n_written;

  for (guint k = 0; k < N_KEYS && records->len < 3; k++)
    {
      guint i = (start + k) % N_KEYS;
      StrandRecord *copy;

      if (walk->models[i].held == NULL)
        continue;
      copy = strand_record_copy (walk->models[i].held);
      expected[records->len] = strand_record_get_revision (copy);
      indices[records->len] = i;
      changes[records->len] = draw_change (walk);
      change_record (copy, &changes[records->len]);
      g_ptr_array_add (records, copy);
    }
  if (records->len == 0)
    return FALSE;
  note (walk, "settle %u from call-%u", records->len, indices[0]);
  n_written = strand_store_put_batch (walk->store, (StrandRecord *const *) records->pdata, expected,
                                      records->len, errors);
  for (guint k = 0; k < records->len; k++)
    {
      Model *model = &walk->models[indices[k]];

      expect (walk, (errors[k] == NULL) == is_as_held (model));
      if (errors[k] == NULL)
        {
          change_model (model, &changes[k]);
          n_written--;
        }
      else
        g_assert_error (errors[k], STRAND_ERROR, STRAND_ERROR_STALE);
      look_at (walk, indices[k]);
      if (errors[k] == NULL && changes[k].step == STEP_SHOW)
        {
          strand_record_unref (model->held);
          model->held = strand_record_ref (records->pdata[k]);
        }
      g_clear_error (&errors[k]);
    }
  expect (walk, n_written == 0);
  return TRUE;
}

static gboolean
do_cancel (Walk *walk)
{
  guint i = draw (walk, N_KEYS);
  Model *model = &walk->models[i];
  g_autofree char *key = key_of (i);
  g_autoptr(GError) error = NULL;
  gboolean asked;

  note (walk, "cancel %s", key);
  asked = strand_store_cancel_call (walk->store, key, &error);
  expect (walk, asked == (model->there && !is_over (model)));
  if (!model->there)
    g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND);
  else
    g_assert_no_error (error);
  if (asked && !(model->cancel && model->status == STRAND_STATUS_RUNNING && model->owner != DEAD_OWNER))
    {
      model->cancel = TRUE;
      model->revision++;
      if (model->status == STRAND_STATUS_PENDING || model->owner == DEAD_OWNER)
        model_end (model, STRAND_STATUS_CANCELLED, walk->now_us);
    }
  look_at (walk, i);
  return asked;
}

static gboolean
do_remove (Walk *walk)
{
  guint i = draw (walk, N_KEYS);
  Model *model = &walk->models[i];
  g_autofree char *key = key_of (i);
  g_autoptr(GError) error = NULL;
  guint64 expected = draw (walk, 2) == 0 ? 0 : model->revision + (draw (walk, 4) == 0);
  gboolean done;

  note (walk, "remove %s, revision %" G_GUINT64_FORMAT, key, expected);
  done = strand_store_remove (walk->store, key, expected, &error);
  expect (walk, done == (model->there && (expected == 0 || expected == model->revision)));
  if (done)
    model_forget (model);
  else
    g_assert_error (error, STRAND_ERROR, (model->there ? STRAND_ERROR_STALE : STRAND_ERROR_NOT_FOUND));
  look_at (walk, i);
  return done;
}

/* By hand: another call, that says which one it repeats. */
static gboolean
do_repeat (Walk *walk)
{
  guint i = draw (walk, N_KEYS);
  Model *model = &walk->models[i];
  g_autofree char *key = key_of (i);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autofree char *made = NULL;

  note (walk, "repeat %s", key);
  made = strand_store_retry_call (walk->store, key, NULL, &error);
  expect (walk, (made != NULL) == (model->there && (model->status == STRAND_STATUS_FAILED ||
                                                    model->status == STRAND_STATUS_CANCELLED)));
  if (made != NULL)
    {
      record = strand_store_get (walk->store, made, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_RETRY_OF), ==, key);
      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_PENDING);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 0);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);
      g_assert_false (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED));
      g_assert_true (strand_store_remove (walk->store, made, 1, &error));
    }
  else
    g_assert_error (error, STRAND_ERROR,
                    (model->there ? STRAND_ERROR_INVALID_ARGUMENT : STRAND_ERROR_NOT_FOUND));
  look_at (walk, i);
  return made != NULL;
}

/* Wall clocks are set, forwards and backwards; whatever has expired by then is cleaned up first, so that it
 * is gone for good. */
static gboolean
do_clock (Walk *walk)
{
  gint64 by_us = draw (walk, 4) == 0 ? -(gint64) draw (walk, 3600) * (gint64) G_USEC_PER_SEC
                                     : draw (walk, 1000000) * G_GINT64_CONSTANT (11003);
  g_autoptr(GError) error = NULL;
  gint64 n_expired = 0;

  walk->now_us += by_us;
  strand_clock_set_wall (walk->now_us);
  note (walk, "the clock goes by %" G_GINT64_FORMAT " s", by_us / (gint64) G_USEC_PER_SEC);
  for (guint i = 0; i < N_KEYS; i++)
    {
      Model *model = &walk->models[i];

      if (!model->there || model->ttl_us < 0 || !is_over (model) ||
          walk->now_us < model->completed_us + model->ttl_us)
        continue;
      n_expired++;
      model_forget (model);
    }
  expect (walk, strand_store_cleanup_expired (walk->store, -1, &error) == n_expired);
  return n_expired > 0;
}

static gboolean
do_list (Walk *walk)
{
  const StrandFilter filter = { .statuses = draw (walk, 32),
                                .queue = draw (walk, 2) == 0 ? queue_names[0] : NULL };

  look_at_all (walk, &filter);
  return TRUE;
}

/* --- the walk ------------------------------------------------------------------------------------------- */

static const struct
{
  const char *name;
  gboolean (*func) (Walk *walk);
  guint weight; /* in all 100 */
} operations[] = {
  { "launch", do_launch, 14 }, { "claim", do_claim, 15 },  { "renew", do_renew, 12 },
  { "change", do_change, 17 }, { "settle", do_settle, 8 }, { "cancel", do_cancel, 7 },
  { "remove", do_remove, 12 }, { "repeat", do_repeat, 4 }, { "clock", do_clock, 9 },
  { "list", do_list, 2 },
};

static void
step (Walk *walk)
{
  const StrandFilter everything = { 0 };
  guint drawn = draw (walk, 100), i = 0;

  while (drawn >= operations[i].weight)
    drawn -= operations[i++].weight;
  walk->now_us++; /* no two calls are made at the same time */
  strand_clock_set_wall (walk->now_us);
  walk->n_done[i] += operations[i].func (walk);
  if (++walk->step % LOOK_AT_ALL_EVERY == 0)
    look_at_all (walk, &everything);
}

/* Two that cannot be looked up, as if on other hosts, and one of this host that is dead. */
static void
name_owners (Walk *walk)
{
  g_autofree char *own = strand_lease_owner_self ("walk");
  g_auto(GStrv) parts = g_strsplit (own, ":", -1);

  walk->owners[0] = g_strdup ("walk:first");
  walk->owners[1] = g_strdup ("walk:second");
  g_free (parts[4]); /* when it started */
  parts[4] = g_strdup ("1");
  walk->owners[DEAD_OWNER] = g_strjoinv (":", parts);
  g_assert_cmpint (strand_lease_owner_probe (walk->owners[DEAD_OWNER]), ==, STRAND_OWNER_STATE_DEAD);
}

static void
test_walk (gconstpointer stage)
{
  Walk walk = { .store = stage_open_store (option_store, stage_get_place ((Stage *) stage),
                                           60 * (gint64) G_USEC_PER_SEC),
                .rand = g_rand_new_with_seed ((guint32) option_seed),
                .now_us = START_US };
  g_autoptr(GString) summary = g_string_new (NULL);

  name_owners (&walk);
  for (guint i = 0; i < N_KEYS; i++)
    walk.models[i].owner = -1;
  strand_clock_set_manual (walk.now_us);
  while (walk.step < (guint) option_steps)
    step (&walk);
  strand_clock_set_system ();

  for (guint i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      g_string_append_printf (summary, " %u %s", walk.n_done[i], operations[i].name);
      g_assert_cmpuint (walk.n_done[i], >, 0);
    }
  g_test_message ("store %s, seed %d, %u steps, of which did something:%s", option_store, option_seed,
                  walk.step, summary->str);
  for (guint i = 0; i < N_KEYS; i++)
    g_clear_pointer (&walk.models[i].held, strand_record_unref);
  for (guint i = 0; i < N_OWNERS; i++)
    g_free (walk.owners[i]);
  g_queue_clear_full (&walk.notes, g_free);
  g_rand_free (walk.rand);
  strand_store_close (walk.store);
  g_object_unref (walk.store);
  stage_free ((Stage *) stage);
}

static void
test_skipped (void)
{
  g_test_skip ("needs redis-server");
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) options = g_option_context_new (NULL);
  g_autoptr(GError) error = NULL;
  g_autofree char *name = NULL;
  Stage *stage = NULL;

  g_option_context_add_main_entries (options, entries, NULL);
  g_option_context_set_ignore_unknown_options (options, TRUE);
  if (!g_option_context_parse (options, &argc, &argv, &error))
    {
      g_printerr ("%s\n", error->message);
      return 2;
    }
  if (option_store == NULL)
    option_store = g_strdup ("memory");
  if (option_seed < 0)
    option_seed = g_random_int_range (0, G_MAXINT);
  g_print ("# seed %d\n", option_seed);
  if (stage_is_possible (option_store))
    stage = stage_new (option_store);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  name = g_strdup_printf ("/chaos/walk/%s/agrees-with-the-model", option_store);
  if (stage != NULL)
    g_test_add_data_func (name, stage, test_walk);
  else
    g_test_add_func (name, test_skipped);
  return g_test_run ();
}
