/* test-race.c — what the race detector sees of GLib, and that it sees no more than there is.
 *
 * Each case runs a program of two threads in a child of its own. Pairs: where an order is there, the child
 * reports nothing; where the same program goes without it, a race. Neither depends on which thread is first:
 * to the detector two accesses race unless something orders them. SPDX-License-Identifier: LGPL-2.1-or-later
 */

#include <gio/gio.h>

typedef struct
{
  gboolean careless; /* goes without what would order the accesses */
  int value;         /* what is accessed */

  GMutex lock, other_lock;
  gboolean had_both; /* relaxed, so that it orders nothing */
  GCond changed;
  gboolean ready; /* under the lock */
  GRWLock rw_lock;
  GRecMutex rec_lock;
  GAsyncQueue *queue;
  GHashTable *table;
  GMainContext *context;
  GMainLoop *loop;
  GCancellable *cancellable;
  gsize once;
  int bits;
} World;

typedef struct
{
  const char *name;
  GThreadFunc one, other;
  const char *report; /* what the careless child says */
} Pair;

typedef struct
{
  GThreadFunc func;
  World *world;
  int *n_here;
} Runner;

/* Locks. */

static gpointer
count_locked (gpointer data)
{
  World *world = data;

  g_mutex_lock (&world->lock);
  world->value++;
  g_mutex_unlock (&world->lock);
  return NULL;
}

static gpointer
count_locked_or_not (gpointer data)
{
  World *world = data;

  if (!world->careless)
    return count_locked (data);
  world->value++;
  return NULL;
}

static gpointer
lock_both (gpointer data)
{
  World *world = data;

  g_mutex_lock (&world->lock);
  g_mutex_lock (&world->other_lock);
  g_mutex_unlock (&world->other_lock);
  g_mutex_unlock (&world->lock);
  __atomic_store_n (&world->had_both, TRUE, __ATOMIC_RELAXED);
  return NULL;
}

/* After the first thread: at the same time they would wait for each other. */
static gpointer
lock_both_in_turn (gpointer data)
{
  World *world = data;
  GMutex *first = world->careless ? &world->other_lock : &world->lock;
  GMutex *second = world->careless ? &world->lock : &world->other_lock;

  while (!__atomic_load_n (&world->had_both, __ATOMIC_RELAXED))
    g_thread_yield ();
  g_mutex_lock (first);
  g_mutex_lock (second);
  g_mutex_unlock (second);
  g_mutex_unlock (first);
  return NULL;
}

static gpointer
wait_for_ready (gpointer data)
{
  World *world = data;

  g_mutex_lock (&world->lock);
  while (!world->ready)
    g_cond_wait (&world->changed, &world->lock);
  g_mutex_unlock (&world->lock);
  world->value++;
  return NULL;
}

static gpointer
make_ready (gpointer data)
{
  World *world = data;

  if (!world->careless)
    world->value++;
  g_mutex_lock (&world->lock);
  world->ready = TRUE;
  g_cond_signal (&world->changed);
  g_mutex_unlock (&world->lock);
  if (world->careless)
    world->value++;
  return NULL;
}

static gpointer
read_shared (gpointer data)
{
  World *world = data;

  g_rw_lock_reader_lock (&world->rw_lock);
  g_assert_cmpint (world->value, >=, 0);
  g_rw_lock_reader_unlock (&world->rw_lock);
  return NULL;
}

static gpointer
write_exclusive (gpointer data)
{
  World *world = data;

  if (world->careless)
    g_rw_lock_reader_lock (&world->rw_lock);
  else
    g_rw_lock_writer_lock (&world->rw_lock);
  world->value++;
  if (world->careless)
    g_rw_lock_reader_unlock (&world->rw_lock);
  else
    g_rw_lock_writer_unlock (&world->rw_lock);
  return NULL;
}

static gpointer
count_recursively (gpointer data)
{
  World *world = data;

  g_rec_mutex_lock (&world->rec_lock);
  g_rec_mutex_lock (&world->rec_lock);
  g_rec_mutex_unlock (&world->rec_lock);
  world->value++;
  g_rec_mutex_unlock (&world->rec_lock);
  return NULL;
}

static gpointer
count_recursively_or_late (gpointer data)
{
  World *world = data;

  if (!world->careless)
    return count_recursively (data);
  g_rec_mutex_lock (&world->rec_lock);
  g_rec_mutex_unlock (&world->rec_lock);
  world->value++;
  return NULL;
}

static gpointer
count_bit_locked (gpointer data)
{
  World *world = data;

  g_bit_lock (&world->bits, 0);
  world->value++;
  g_bit_unlock (&world->bits, 0);
  return NULL;
}

static gpointer
count_bit_locked_or_not (gpointer data)
{
  World *world = data;

  if (!world->careless)
    return count_bit_locked (data);
  world->value++;
  return NULL;
}

static gpointer
make_once (gpointer data)
{
  World *world = data;

  if (g_once_init_enter (&world->once))
    {
      if (!world->careless)
        world->value = 1;
      g_once_init_leave (&world->once, 1);
      if (world->careless)
        world->value = 1;
    }
  g_assert_cmpint (world->value, >=, 0);
  return NULL;
}

/* Containers. */

static gpointer
insert_locked (gpointer data)
{
  World *world = data;

  g_mutex_lock (&world->lock);
  g_hash_table_insert (world->table, world, world);
  g_mutex_unlock (&world->lock);
  return NULL;
}

static gpointer
look_up_locked_or_not (gpointer data)
{
  World *world = data;

  if (!world->careless)
    g_mutex_lock (&world->lock);
  g_hash_table_lookup (world->table, world);
  if (!world->careless)
    g_mutex_unlock (&world->lock);
  return NULL;
}

/* Handing over. */

static gpointer
pop_and_count (gpointer data)
{
  World *world = data;

  g_async_queue_pop (world->queue);
  world->value++;
  return NULL;
}

/* What is done after a push is not before the pop. */
static gpointer
count_and_push (gpointer data)
{
  World *world = data;

  if (!world->careless)
    world->value++;
  g_async_queue_push (world->queue, world);
  if (world->careless)
    world->value++;
  return NULL;
}

static gpointer
run_loop (gpointer data)
{
  World *world = data;

  g_main_loop_run (world->loop);
  return NULL;
}

static gboolean
count_and_quit (gpointer data)
{
  World *world = data;

  world->value++;
  g_main_loop_quit (world->loop);
  return G_SOURCE_REMOVE;
}

static gpointer
count_and_attach (gpointer data)
{
  World *world = data;
  g_autoptr(GSource) source = g_idle_source_new ();

  g_source_set_callback (source, count_and_quit, world, NULL);
  if (!world->careless)
    world->value++;
  g_source_attach (source, world->context);
  if (world->careless)
    world->value++;
  return NULL;
}

/* Somebody else owns the context first: it would be invoked here otherwise. */
static gpointer
count_and_invoke (gpointer data)
{
  World *world = data;

  while (g_main_context_acquire (world->context))
    {
      g_main_context_release (world->context);
      g_thread_yield ();
    }
  if (!world->careless)
    world->value++;
  g_main_context_invoke (world->context, count_and_quit, world);
  if (world->careless)
    world->value++;
  return NULL;
}

static gpointer
find_cancelled (gpointer data)
{
  World *world = data;

  while (!g_cancellable_is_cancelled (world->cancellable))
    g_thread_yield ();
  world->value++;
  return NULL;
}

static gpointer
count_and_cancel (gpointer data)
{
  World *world = data;

  if (!world->careless)
    world->value++;
  g_cancellable_cancel (world->cancellable);
  if (world->careless)
    world->value++;
  return NULL;
}

/* The one with the last reference comes after the other. */
static void
count_at_the_end (gpointer data, GObject *where_it_was)
{
  ((World *) data)->value++;
}

static gpointer
count_and_unref (gpointer data)
{
  World *world = data;
  GCancellable *object = world->cancellable;

  if (!world->careless)
    world->value++;
  g_object_unref (object);
  if (world->careless)
    world->value++;
  return NULL;
}

static gpointer
unref_last (gpointer data)
{
  World *world = data;

  while (g_atomic_int_get (&G_OBJECT (world->cancellable)->ref_count) > 1)
    g_thread_yield ();
  g_object_unref (world->cancellable);
  return NULL;
}

static void
work (gpointer item, gpointer data)
{
  ((World *) item)->value++;
}

/* Its thread is there before, as its beginning would be an order too. */
static gpointer
count_and_push_to_pool (gpointer data)
{
  World *world = data;
  GThreadPool *pool = g_thread_pool_new (work, NULL, 1, TRUE, NULL);

  if (!world->careless)
    world->value++;
  g_thread_pool_push (pool, world, NULL);
  if (world->careless)
    world->value++;
  g_thread_pool_free (pool, FALSE, TRUE);
  return NULL;
}

static gpointer
do_nothing (gpointer unused)
{
  return NULL;
}

#define RACE "*ThreadSanitizer: data race*"

static const Pair pairs[] = {
  { "mutex", count_locked, count_locked_or_not, RACE },
  { "order-of-locks", lock_both, lock_both_in_turn, "*ThreadSanitizer: lock-order-inversion*" },
  { "condition", wait_for_ready, make_ready, RACE },
  { "reader-writer-lock", read_shared, write_exclusive, RACE },
  { "recursive-mutex", count_recursively, count_recursively_or_late, RACE },
  { "bit-lock", count_bit_locked, count_bit_locked_or_not, RACE },
  { "once", make_once, make_once, RACE },
  { "table", insert_locked, look_up_locked_or_not, RACE },
  { "queue", pop_and_count, count_and_push, RACE },
  { "source", run_loop, count_and_attach, RACE },
  { "invoke", run_loop, count_and_invoke, RACE },
  { "cancellable", find_cancelled, count_and_cancel, RACE },
  { "last-reference", unref_last, count_and_unref, RACE },
  { "pool", do_nothing, count_and_push_to_pool, RACE },
};

/* Both threads are there before either begins: one that has ended leaves its place in the detector's books to
 * the next, which then is the same to it. What is relaxed orders nothing. */
static gpointer
run (gpointer data)
{
  Runner *self = data;

  __atomic_add_fetch (self->n_here, 1, __ATOMIC_RELAXED);
  while (__atomic_load_n (self->n_here, __ATOMIC_RELAXED) < 2)
    g_thread_yield ();
  return self->func (self->world);
}

static void
run_pair (const Pair *pair, gboolean careless)
{
  World world = { .careless = careless,
                  .queue = g_async_queue_new (),
                  .table = g_hash_table_new (NULL, NULL) };
  int n_here = 0;
  Runner runners[] = { { pair->one, &world, &n_here }, { pair->other, &world, &n_here } };
  GThread *one, *other;

  world.context = g_main_context_new ();
  world.loop = g_main_loop_new (world.context, FALSE);
  world.cancellable = g_cancellable_new ();
  if (pair->one == unref_last)
    {
      g_object_weak_ref (G_OBJECT (world.cancellable), count_at_the_end, &world);
      g_object_ref (world.cancellable);
    }
  one = g_thread_new ("one", run, &runners[0]);
  other = g_thread_new ("other", run, &runners[1]);
  g_thread_join (one);
  g_thread_join (other);

  if (pair->one != unref_last)
    g_object_unref (world.cancellable);
  g_main_loop_unref (world.loop);
  g_main_context_unref (world.context);
  g_hash_table_unref (world.table);
  g_async_queue_unref (world.queue);
}

static void
test_ordered (gconstpointer pair)
{
  if (g_test_subprocess ())
    {
      run_pair (pair, FALSE);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_stderr_unmatched ("*ThreadSanitizer*");
  g_test_trap_assert_passed ();
}

static void
test_not_ordered (gconstpointer pair)
{
  if (g_test_subprocess ())
    {
      run_pair (pair, TRUE);
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_stderr (((const Pair *) pair)->report);
  g_test_trap_assert_failed ();
}

int
main (int argc, char **argv)
{
  g_autofree char *options = g_strconcat (g_getenv ("TSAN_OPTIONS") != NULL ? g_getenv ("TSAN_OPTIONS") : "",
                                          ":log_path=stderr:exitcode=66", NULL);

  /* For the children: where they report is here. */
  g_setenv ("TSAN_OPTIONS", options, TRUE);
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autofree char *ordered = g_strdup_printf ("/race/%s/ordered", pairs[i].name);
      g_autofree char *not_ordered = g_strdup_printf ("/race/%s/not-ordered", pairs[i].name);

      g_test_add_data_func (ordered, &pairs[i], test_ordered);
      g_test_add_data_func (not_ordered, &pairs[i], test_not_ordered);
    }
  return g_test_run ();
}
