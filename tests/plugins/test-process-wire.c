/* test-process-wire.c — what a process taskrunner and its helper share: who has a call, and frames in odd
 * pieces. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-helper-wire-private.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void
test_call_is_claimed_once (void)
{
  StrandWireShared shared = { 0 };

  for (guint64 number = 1; number <= 5 * STRAND_WIRE_SLOTS; number++)
    {
      g_assert_false (strand_wire_is_claimed (&shared, number));
      g_assert_true (strand_wire_claim (&shared, number));
      g_assert_false (strand_wire_claim (&shared, number));
      g_assert_true (strand_wire_is_claimed (&shared, number));
    }
}

static void
test_calls_are_claimed_in_any_order (void)
{
  StrandWireShared shared = { 0 };

  for (guint64 round = 0; round < 3; round++)
    for (guint64 i = STRAND_WIRE_SLOTS; i > 0; i--)
      {
        g_assert_true (strand_wire_claim (&shared, round * STRAND_WIRE_SLOTS + i));
        g_assert_true (strand_wire_is_claimed (&shared, round * STRAND_WIRE_SLOTS + i));
      }
}

static void
test_old_call_stays_claimed (void)
{
  StrandWireShared shared = { 0 };

  for (guint64 number = 1; number <= 3 * STRAND_WIRE_SLOTS; number++)
    strand_wire_claim (&shared, number);
  g_assert_true (strand_wire_is_claimed (&shared, 1));
  g_assert_false (strand_wire_claim (&shared, 1));
}

#define N_CLAIMS 200000

/* How many calls this thread got. */
static gpointer
claim_all (gpointer shared)
{
  guint n = 0;

  for (guint64 number = 1; number <= N_CLAIMS; number++)
    {
      n += strand_wire_claim (shared, number);
      while (!strand_wire_is_claimed (shared, number))
        ;
    }
  return GUINT_TO_POINTER (n);
}

static void
test_two_threads_never_have_the_same_call (void)
{
  StrandWireShared shared = { 0 };
  GThread *other = g_thread_new ("other", claim_all, &shared);
  guint own = GPOINTER_TO_UINT (claim_all (&shared));

  g_assert_cmpuint (own + GPOINTER_TO_UINT (g_thread_join (other)), ==, N_CLAIMS);
}

static void
test_frame_comes_whole_from_single_bytes (void)
{
  StrandWireBuffer out = { 0 }, in = { 0 };
  StrandWireHead head;
  const guint8 *payload;
  gboolean broken;
  gsize frame = strand_wire_begin (&out, STRAND_WIRE_ITEM, 7);
  int ends[2];

  strand_wire_append (&out, "hello", 5);
  g_assert_true (strand_wire_end (&out, frame));
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), ==, 0);
  for (gsize i = out.start; i < out.end; i++)
    {
      g_assert_false (strand_wire_next (&in, &head, &payload, &broken));
      g_assert_cmpint (write (ends[0], out.data + i, 1), ==, 1);
      g_assert_cmpint (strand_wire_receive (&in, ends[1], 0), ==, 1);
    }
  g_assert_true (strand_wire_next (&in, &head, &payload, &broken));
  g_assert_cmpuint (head.type, ==, STRAND_WIRE_ITEM);
  g_assert_cmpuint (head.number, ==, 7);
  g_assert_cmpmem (payload, head.size, "hello", 5);
  close (ends[0]);
  close (ends[1]);
  strand_wire_buffer_clear (&out);
  strand_wire_buffer_clear (&in);
}

static void
test_impossible_size_is_broken (void)
{
  StrandWireHead rubbish = { STRAND_WIRE_MAX_PAYLOAD + 1, STRAND_WIRE_ITEM, 1 };
  StrandWireBuffer in = { 0 };
  StrandWireHead head;
  const guint8 *payload;
  gboolean broken;

  strand_wire_append (&in, &rubbish, sizeof rubbish);
  g_assert_false (strand_wire_next (&in, &head, &payload, &broken));
  g_assert_true (broken);
  strand_wire_buffer_clear (&in);
}

#define ADD(name, function) g_test_add_func ("/process-wire/" name, function)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  ADD ("claim/once", test_call_is_claimed_once);
  ADD ("claim/in-any-order", test_calls_are_claimed_in_any_order);
  ADD ("claim/old-call-stays-claimed", test_old_call_stays_claimed);
  ADD ("claim/two-threads-never-have-the-same-call", test_two_threads_never_have_the_same_call);
  ADD ("frame/comes-whole-from-single-bytes", test_frame_comes_whole_from_single_bytes);
  ADD ("frame/impossible-size-is-broken", test_impossible_size_is_broken);
  return g_test_run ();
}
