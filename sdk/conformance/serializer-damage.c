/* serializer-damage.c — bytes that may be anything: where they lie, and what may be wrong with them.
 *
 * No format is known here, so nobody can say which damaged bytes are still some value. But each is answered
 * by an error of the right kind, or by a value like any other; and never by the end of the process.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

#include <stdio.h>
#include <string.h>

/* What bytes may claim and a serializer may take for it at most, beside what it has. */
#define MAX_CLAIMED_KIB (512 * 1024)

/* A value, and the bytes that the serializer makes of it. */
typedef void (*SampleFunc) (StrandConformance *self, StrandSerializer *serializer, GVariant *value,
                            const guint8 *data, gsize size);

static void
for_each_sample (StrandConformance *self, SampleFunc func)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = serializer_write (serializer, values->pdata[i]);
      gsize size;
      const guint8 *data = g_bytes_get_data (bytes, &size);

      func (self, serializer, values->pdata[i], data, size);
    }
}

static void
read_at_any_address (StrandConformance *self, StrandSerializer *serializer, GVariant *value,
                     const guint8 *data, gsize size)
{
  g_autofree char *copy = g_malloc (size + 16);

  for (gsize shift = 0; shift < 16; shift++)
    {
      g_autoptr(GBytes) shifted = NULL;

      if (size > 0)
        memcpy (copy + shift, data, size);
      shifted = g_bytes_new_static (copy + shift, size);
      serializer_read_same (serializer, shifted, value);
    }
}

static void
any_address (StrandConformance *self)
{
  for_each_sample (self, read_at_any_address);
}

static void
read_fenced (StrandConformance *self, StrandSerializer *serializer, GVariant *value, const guint8 *data,
             gsize size)
{
  g_autoptr(GBytes) fenced = serializer_fence (data, size);

  serializer_read_same (serializer, fenced, value);
}

static void
no_further (StrandConformance *self)
{
  for_each_sample (self, read_fenced);
}

static void
cut_anywhere (StrandConformance *self, StrandSerializer *serializer, GVariant *value, const guint8 *data,
              gsize size)
{
  for (gsize kept = 0; kept < size; kept++)
    {
      g_autoptr(GBytes) fenced = serializer_fence (data, kept);
      g_autoptr(GVariant) read = serializer_try (serializer, fenced, g_variant_get_type (value));
    }
}

static void
cut_short (StrandConformance *self)
{
  for_each_sample (self, cut_anywhere);
}

static void
turn_each_bit (StrandConformance *self, StrandSerializer *serializer, GVariant *value, const guint8 *data,
               gsize size)
{
  g_autofree guint8 *copy = g_memdup2 (data, size);

  for (gsize bit = 0; bit < 8 * size; bit++)
    {
      copy[bit / 8] ^= (guint8) (1 << bit % 8);
      serializer_try_data (serializer, copy, size, g_variant_get_type (value));
      copy[bit / 8] ^= (guint8) (1 << bit % 8);
    }
}

static void
each_bit (StrandConformance *self)
{
  for_each_sample (self, turn_each_bit);
}

static void
change_each_byte (StrandConformance *self, StrandSerializer *serializer, GVariant *value, const guint8 *data,
                  gsize size)
{
  static const guint8 odd[] = { 0x00, 0x01, 0x22, 0x2c, 0x5b, 0x7d, 0x7f, 0x80, 0x9f, 0xbf, 0xfe, 0xff };
  guint n = strand_conformance_is_quick (self) ? G_N_ELEMENTS (odd) : 256;
  g_autofree guint8 *copy = g_memdup2 (data, size);

  for (gsize at = 0; at < size; at++)
    {
      for (guint j = 0; j < n; j++)
        {
          copy[at] = n == 256 ? (guint8) j : odd[j];
          serializer_try_data (serializer, copy, size, g_variant_get_type (value));
        }
      copy[at] = data[at];
    }
}

static void
each_byte (StrandConformance *self)
{
  for_each_sample (self, change_each_byte);
}

/* Puts in, takes out, repeats or changes something somewhere. */
static void
edit (GByteArray *array)
{
  guint at = (guint) g_test_rand_int_range (0, (gint32) array->len + 1);
  guint n = (guint) g_test_rand_int_range (1, 9);
  guint8 byte = (guint8) g_test_rand_int_range (0, 256);

  switch (g_test_rand_int_range (0, 4))
    {
    case 0:
      g_byte_array_append (array, &byte, 1);
      memmove (array->data + at + 1, array->data + at, array->len - at - 1);
      array->data[at] = byte;
      break;
    case 1:
      n = MIN (n, array->len - at);
      if (n > 0)
        g_byte_array_remove_range (array, at, n);
      break;
    case 2:
      n = MIN (2 * n, array->len - at);
      for (guint i = 0; i < n; i++)
        {
          byte = array->data[at + i];
          g_byte_array_append (array, &byte, 1);
        }
      break;
    default:
      if (at < array->len)
        array->data[at] = byte;
    }
}

static void
edited (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  guint n = strand_conformance_is_quick (self) ? 5000 : 300000;

  for (guint i = 0; i < n; i++)
    {
      GVariant *value = values->pdata[i % values->len];
      g_autoptr(GBytes) bytes = serializer_write (serializer, value);
      g_autoptr(GByteArray) array = g_byte_array_new ();
      gsize size;
      gconstpointer data = g_bytes_get_data (bytes, &size);

      if (size > 0)
        g_byte_array_append (array, data, (guint) size);
      for (int j = g_test_rand_int_range (1, 5); j > 0; j--)
        edit (array);
      serializer_try_data (serializer, array->data, array->len, g_variant_get_type (value));
    }
}

static void
random_bytes (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  guint n = strand_conformance_is_quick (self) ? 5000 : 500000;
  guint8 data[64];

  for (guint i = 0; i < n; i++)
    {
      gsize size = (gsize) g_test_rand_int_range (0, (gint32) sizeof data + 1);

      for (gsize j = 0; j < size; j++)
        data[j] = (guint8) g_test_rand_int_range (0, 256);
      serializer_try_data (serializer, data, size, g_variant_get_type (values->pdata[i % values->len]));
    }
}

static void
another_type (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = serializer_write (serializer, values->pdata[i]);

      for (guint j = 0; j < values->len; j++)
        {
          g_autoptr(GVariant) value =
              serializer_try (serializer, bytes, g_variant_get_type (values->pdata[j]));
        }
    }
}

static void
read_twice (StrandConformance *self, StrandSerializer *serializer, GVariant *value, const guint8 *data,
            gsize size)
{
  g_autoptr(GByteArray) twice = g_byte_array_new ();
  g_autoptr(GBytes) given = NULL;
  g_autoptr(GVariant) read = NULL;

  if (size == 0)
    return;
  g_byte_array_append (twice, data, (guint) size);
  g_byte_array_append (twice, data, (guint) size);
  given = g_byte_array_free_to_bytes (g_steal_pointer (&twice));
  read = serializer_try (serializer, given, g_variant_get_type (value));
  g_assert_false (read != NULL && serializer_is_same (read, value));
}

static void
more_behind (StrandConformance *self)
{
  for_each_sample (self, read_twice);
}

/* The most that the process has ever had of addresses. */
static guint64
read_peak_kib (void)
{
  g_autofree char *status = NULL;
  const char *peak;

  g_assert_true (g_file_get_contents ("/proc/self/status", &status, NULL, NULL));
  peak = strstr (status, "VmPeak:");
  return peak != NULL ? g_ascii_strtoull (peak + strlen ("VmPeak:"), NULL, 10) : 0;
}

/* Writes a byte and a large number, one way or the other, over what is at a place. */
static void
claim (GByteArray *array, gsize at, guint8 byte, guint way)
{
  static const guint8 numbers[][8] = {
    { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
    { 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0 },
    { 0, 0, 0, 0x02, 0, 0, 0, 0 }, /* 8 GiB, from its low end */
    { 0, 0, 0, 0x02, 0, 0, 0, 1 }, /* from its high end: as much */
  };
  static const gsize sizes[] = { 8, 4, 8, 8 };

  g_byte_array_set_size (array, (guint) MAX (array->len, at + 1 + sizes[way]));
  array->data[at] = byte;
  memcpy (array->data + at + 1, numbers[way], sizes[way]);
}

static void
claims (StrandConformance *self)
{
  static const char *const texts[] = { "'text'", "b'bytes'", "[1, 2]", "{'a': <1>}", "[(1, 'x')]" };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  guint64 before_kib = read_peak_kib ();

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr(GVariant) value = g_variant_ref_sink (g_variant_new_parsed (texts[i]));
      g_autoptr(GBytes) bytes = serializer_write (serializer, value);
      gsize size, last;
      gconstpointer data = g_bytes_get_data (bytes, &size);

      last = strand_conformance_is_quick (self) ? MIN (size, 3) : size;
      for (gsize at = 0; at < last; at++)
        for (guint byte = 0; byte < 256; byte++)
          for (guint way = 0; way < 4; way++)
            {
              g_autoptr(GByteArray) array = g_byte_array_new ();

              g_byte_array_append (array, data, (guint) size);
              claim (array, at, (guint8) byte, way);
              serializer_try_data (serializer, array->data, array->len, g_variant_get_type (value));
            }
    }
  g_assert_cmpuint (read_peak_kib () - before_kib, <, MAX_CLAIMED_KIB);
}

const StrandConformanceCase serializer_bytes_cases[] = {
  { "bytes/any-address", "Bytes may begin at any address.", any_address },
  { "bytes/no-further", "Nothing is read behind the bytes, and nothing written into them.", no_further },
  { 0 },
};

const StrandConformanceCase serializer_damage_cases[] = {
  { "damage/cut-short", "Bytes that end too early, anywhere, are an answer and nothing is read behind them.",
    cut_short },
  { "damage/each-bit", "So are bytes of which any bit is wrong.", each_bit },
  { "damage/each-byte", "So are bytes of which any byte is wrong.", each_byte },
  { "damage/edited", "So are bytes with something put in, taken out or repeated, in several places.",
    edited },
  { "damage/random", "So are bytes by chance.", random_bytes },
  { "damage/another-type", "So are bytes of a value of another type.", another_type },
  { "damage/more-behind", "Bytes with more behind them are not taken for the value that they begin with.",
    more_behind },
  { "damage/claims", "For a length that bytes only claim no memory is taken.", claims },
  { 0 },
};
