/* serializer-threads.c — one object on many threads; and that nothing is kept.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"
#include "taskrunner-private.h"

#include <malloc.h>
#include <string.h>

/* A GVariant lies on eight bytes, and malloc() gives sixteen. */
#define ALIGNMENT 16

/* What a process may take for itself meanwhile. One block for each of the values that were written would be
 * ten times as much. */
#define MAX_GROWTH (64 * 1024)
#define N_ROUNDS 1000

typedef struct
{
  StrandSerializer *serializer;
  GPtrArray *values; /* shared, and only read */
  guint number;
  guint n_rounds;
} Worker;

/* Values that no other thread has, beside those that all have, and bytes that are none. */
static gpointer
work (gpointer data)
{
  Worker *worker = data;

  for (guint round = 0; round < worker->n_rounds; round++)
    {
      g_autofree char *text = g_strdup_printf ("round %u of thread %u", round, worker->number);
      g_autoptr(GVariant) own = g_variant_ref_sink (g_variant_new_parsed (
          "(%s, [%u, %u, %u], {%s: <%s>})", text, worker->number, round, worker->number, text, text));

      serializer_check (worker->serializer, own);
      serializer_check (worker->serializer, worker->values->pdata[round % worker->values->len]);
      serializer_try_data (worker->serializer, text, strlen (text), G_VARIANT_TYPE ("a{sv}"));
    }
  return NULL;
}

static void
work_at_once (StrandSerializer *serializer, GPtrArray *values, guint n_rounds)
{
  GThread *threads[SERIALIZER_N_THREADS];
  Worker workers[SERIALIZER_N_THREADS];

  for (guint i = 0; i < SERIALIZER_N_THREADS; i++)
    {
      workers[i] = (Worker){ serializer, values, i, n_rounds };
      threads[i] = g_thread_new ("conformance", work, &workers[i]);
    }
  for (guint i = 0; i < SERIALIZER_N_THREADS; i++)
    g_thread_join (threads[i]);
}

static void
at_once (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  work_at_once (serializer, values, strand_conformance_is_quick (self) ? 300 : 5000);
}

static void
first_use (StrandConformance *self)
{
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < 20; i++)
    {
      g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

      work_at_once (serializer, values, 2);
    }
}

static gpointer
write_all (gpointer data)
{
  Worker *worker = data;
  GPtrArray *written = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < worker->values->len; i++)
    g_ptr_array_add (written, serializer_write (worker->serializer, worker->values->pdata[i]));
  return written;
}

static void
across (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  g_autoptr(GPtrArray) written = NULL;
  Worker worker = { serializer, values, 0, 0 };

  written = g_thread_join (g_thread_new ("conformance", write_all, &worker));
  for (guint i = 0; i < values->len; i++)
    serializer_read_same (serializer, written->pdata[i], values->pdata[i]);
}

const StrandConformanceCase serializer_thread_cases[] = {
  { "threads/at-once", "Eight threads write and read with one object, and each gets its own values.",
    at_once },
  { "threads/first-use", "Many threads may be the first to use an object.", first_use },
  { "threads/across", "What a thread has written is there, and read, when the thread has gone.", across },
  { 0 },
};

static void
note_freed (gpointer data)
{
  g_atomic_int_inc ((int *) data);
}

typedef struct
{
  gpointer data;
  int *n_freed;
} Given;

static void
free_given (gpointer data)
{
  Given *given = data;

  g_free (given->data);
  note_freed (given->n_freed);
  g_free (given);
}

/* A copy that counts when it goes. */
static GBytes *
give (gconstpointer data, gsize size, int *n_freed)
{
  Given *given = g_new (Given, 1);

  given->data = g_malloc (size + ALIGNMENT);
  given->n_freed = n_freed;
  if (size > 0)
    memcpy (given->data, data, size);
  return g_bytes_new_with_free_func (given->data, size, free_given, given);
}

static void
bytes_are_let_go (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    for (guint j = 0; j < values->len; j++)
      {
        g_autoptr(GBytes) bytes = serializer_write (serializer, values->pdata[i]);
        gsize size;
        gconstpointer data = g_bytes_get_data (bytes, &size);
        int n_freed = 0;
        GBytes *given = give (data, size, &n_freed);
        GVariant *read =
            strand_serializer_deserialize (serializer, given, g_variant_get_type (values->pdata[j]), NULL);

        g_assert_true (size == 0 || memcmp (data, g_bytes_get_data (given, NULL), size) == 0);
        g_bytes_unref (given);
        if (i == j)
          serializer_assert_same (read, values->pdata[i]); /* also where it lies in the bytes */
        g_clear_pointer (&read, g_variant_unref);
        g_assert_cmpint (g_atomic_int_get (&n_freed), ==, 1);
      }
}

static void
values_are_let_go (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    {
      const GVariantType *type = g_variant_get_type (values->pdata[i]);
      int n_freed = 0;
      g_autoptr(GBytes) given =
          give (g_variant_get_data (values->pdata[i]), g_variant_get_size (values->pdata[i]), &n_freed);
      GVariant *value = g_variant_ref_sink (g_variant_new_from_bytes (type, given, TRUE));
      GBytes *bytes = serializer_write (serializer, value);

      g_variant_unref (value);
      g_clear_pointer (&given, g_bytes_unref);
      serializer_read_same (serializer, bytes, values->pdata[i]);
      g_bytes_unref (bytes);
      g_assert_cmpint (g_atomic_int_get (&n_freed), ==, 1);
    }
}

static void
use (StrandSerializer *serializer, GPtrArray *values)
{
  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = serializer_write (serializer, values->pdata[i]);

      serializer_read_same (serializer, bytes, values->pdata[i]);
      serializer_try_data (serializer, "\x82 junk", 6, g_variant_get_type (values->pdata[i]));
    }
}

static gsize
count_allocated (void)
{
  struct mallinfo2 info = mallinfo2 ();

  return info.uordblks + info.hblkhd;
}

/* What a sanitizer or valgrind allocates is not counted; they find a leak by themselves. */
static void
no_growth (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  guint n_rounds = N_ROUNDS / RUNNER_SLOWNESS;
  gsize before;

  for (guint i = 0; i < n_rounds / 10; i++)
    use (serializer, values);
  before = count_allocated ();
  for (guint i = 0; i < n_rounds; i++)
    use (serializer, values);
  g_assert_cmpuint (count_allocated (), <, before + MAX_GROWTH);
}

static void
note_gone (gpointer data, GObject *where)
{
  *(gboolean *) data = TRUE;
}

static void
goes (StrandConformance *self)
{
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < 2; i++)
    {
      StrandSerializer *serializer = strand_conformance_make (self);
      gboolean gone = FALSE;

      g_object_weak_ref (G_OBJECT (serializer), note_gone, &gone);
      if (i > 0)
        use (serializer, values);
      g_object_unref (serializer);
      g_assert_true (gone);
    }
}

static void
nothing_left (StrandConformance *self)
{
  g_autoptr(GPtrArray) values = serializer_samples ();
  guint n_files = 0, n_threads = 0;

  for (guint i = 0; i < 12; i++)
    {
      g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);

      use (serializer, values);
      if (i == 1)
        {
          n_files = runner_count_files ();
          n_threads = runner_count_threads ();
        }
    }
  strand_conformance_wait (self, runner_count_threads () <= n_threads);
  g_assert_cmpuint (runner_count_files (), <=, n_files);
}

const StrandConformanceCase serializer_close_cases[] = {
  { "close/bytes", "Bytes that were read, or could not be, are the caller's again when the value is gone.",
    bytes_are_let_go },
  { "close/values", "A value that was written is the caller's again when the bytes are gone.",
    values_are_let_go },
  { "close/no-growth", "Writing, reading and failing to read add no memory, however often.", no_growth },
  { "close/goes", "An object goes with its last owner, used or not.", goes },
  { "close/nothing-left", "Objects that have gone leave no thread and no file descriptor behind.",
    nothing_left },
  { 0 },
};
