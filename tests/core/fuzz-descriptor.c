/* fuzz-descriptor.c — no file, whatever its bytes, makes the descriptor reader crash, hang or read astray.
 *
 * One entry point, used twice: by libFuzzer where clang has it, with a short run among the tests and as long
 * a one as anybody likes by hand; and by the plain test below, which changes a good plugin in ways drawn from
 * a fixed seed, so that every machine tries the same few thousand.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-descriptor-private.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

/* A descriptor or an error, and what is not refused provides something. */
static void
check (StrandDescriptor *descriptor, const GError *error)
{
  g_autoptr(GError) refusal = NULL;

  g_assert_true ((descriptor != NULL) != (error != NULL));
  if (descriptor == NULL)
    return;
  g_assert_cmpint (strand_descriptor_check (descriptor, &refusal), ==, refusal == NULL);
  g_assert_true (descriptor->provided->len > 0 || refusal != NULL);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(GError) file_error = NULL, text_error = NULL;
  g_autoptr(StrandDescriptor) from_file = NULL, from_text = NULL;
  int fd = memfd_create ("fuzz-descriptor", MFD_CLOEXEC);

  g_assert_cmpint (write (fd, data, size), ==, (gssize) size);
  from_file = strand_descriptor_read_fd (fd, &file_error);
  close (fd);
  check (from_file, file_error);
  from_text = strand_descriptor_parse ((const char *) data, size, &text_error);
  check (from_text, text_error);
  return 0;
}

#ifndef WITH_LIBFUZZER

#include "plugin-world.h"

/* The numbers that break readers: none, one, all, and those at the edge of a sign. */
static const guint64 edges[] = { 0,      1,          0x7f,       0xff,       0x7fff,
                                 0xffff, 0x7fffffff, 0xffffffff, G_MAXINT64, G_MAXUINT64 };

/* Mostly in the file's headers and its last 3000 bytes, where the section headers are. */
static void
change_somewhere (GRand *rand, guint8 *data, gint32 size)
{
  gint32 at, width = 1 << g_rand_int_range (rand, 0, 4);
  guint64 value = edges[g_rand_int_range (rand, 0, G_N_ELEMENTS (edges))];

  switch (g_rand_int_range (rand, 0, 3))
    {
    case 0:
      at = g_rand_int_range (rand, 0, 300);
      break;
    case 1:
      at = size - g_rand_int_range (rand, 8, 3000);
      break;
    default:
      at = g_rand_int_range (rand, 0, size - 8);
    }
  if (g_rand_boolean (rand))
    memcpy (data + at, &value, (gsize) width);
  else
    data[at] ^= (guint8) (1 << g_rand_int_range (rand, 0, 8));
}

static void
test_changed_plugins (void)
{
  g_autoptr(GBytes) good = world_read_fixture ("plugins/good");
  g_autoptr(GRand) rand = g_rand_new_with_seed (20);
  gsize size = g_bytes_get_size (good);
  g_autofree guint8 *changed = g_malloc (size);

  for (int i = 0; i < 5000; i++)
    {
      gsize length = i % 10 == 0 ? (gsize) g_rand_int_range (rand, 0, (gint32) size) : size;

      memcpy (changed, g_bytes_get_data (good, NULL), size);
      for (int j = g_rand_int_range (rand, 1, 4); j > 0; j--)
        change_somewhere (rand, changed, (gint32) size);
      LLVMFuzzerTestOneInput (changed, length);
    }
}

static void
test_changed_texts (void)
{
  static const char text[] = "strand-plugin 1\nabi 1.0\nname good\nversion 1.2\nlicense MIT\n"
                             "type\tstore\tgood\tStrandGoodStore\tKeeps «it»\nend\n";
  g_autoptr(GRand) rand = g_rand_new_with_seed (20);

  for (int i = 0; i < 20000; i++)
    {
      g_autofree guint8 *changed = g_memdup2 (text, sizeof text);

      for (int j = g_rand_int_range (rand, 1, 4); j > 0; j--)
        changed[g_rand_int_range (rand, 0, sizeof text)] = (guint8) g_rand_int_range (rand, 0, 256);
      LLVMFuzzerTestOneInput (changed, sizeof text);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/descriptor/changed-plugins", test_changed_plugins);
  g_test_add_func ("/descriptor/changed-texts", test_changed_texts);

  return g_test_run ();
}

#endif
