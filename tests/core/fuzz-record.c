/* fuzz-record.c — no text, whatever its bytes, makes the reader of records and values crash, hang or read
 * astray; and what is read is written so that it reads the same.
 *
 * One entry point, used twice: by libFuzzer where clang has it, as long as anybody likes by hand (build with
 * -fsanitize=fuzzer and WITH_LIBFUZZER); and by the plain test below, which changes a few sound texts.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include <strand-plugin.h>

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static void
check_record (GBytes *bytes)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = strand_record_from_json (bytes, &error);
  g_autoptr(StrandRecord) again = NULL;
  g_autoptr(GError) cause = NULL;
  g_autoptr(GBytes) written = NULL;
  g_autoptr(GBytes) rewritten = NULL;

  g_assert_true ((record == NULL) == (error != NULL));
  if (record == NULL)
    return;

  g_assert_true (strand_record_check (record, NULL));
  cause = strand_record_dup_error (record);
  written = strand_record_to_json (record);
  again = strand_record_from_json (written, &error);
  g_assert_no_error (error);
  rewritten = strand_record_to_json (again);
  g_assert_true (g_bytes_equal (written, rewritten));
}

static void
check_value (const char *data, gsize size, const GVariantType *type)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = strand_json_to_variant (data, (gssize) size, type, &error);
  g_autoptr(GVariant) again = NULL;
  g_autoptr(GString) json = NULL;

  g_assert_true ((value == NULL) == (error != NULL));
  if (value == NULL)
    return;

  json = g_string_new (NULL);
  g_assert_true (strand_json_append_variant (json, value));
  again = strand_json_to_variant (json->str, (gssize) json->len, type, &error);
  g_assert_no_error (error);
  g_assert_cmpvariant (value, again);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  static const char *const types[] = { "v", "a{sv}", "(dtsayma{is}v)" };
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  check_record (bytes);
  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    check_value ((const char *) data, size, G_VARIANT_TYPE (types[i]));
  return 0;
}

#ifndef WITH_LIBFUZZER

static const char *const sound[] = {
  "{\"v\":1,\"key\":\"job-17\",\"status\":\"failed\",\"lease\":{\"owner\":\"me\",\"counter\":5},\"progress\":"
  "0.5,"
  "\"headers\":{\"a\":\"b\"},\"metadata\":{\"n\":{\"type\":\"t\",\"value\":1}},\"causes\":[{\"attempt\":1,"
  "\"error\":"
  "{\"domain\":\"g-io-error-quark\",\"code\":3,\"nick\":\"not-found\",\"message\":\"m\"}}],"
  "\"arguments\":{\"type\":\"(x)\",\"data\":[1]},\"value\":{\"type\":\"x\",\"base64\":\"AA==\"}}",
  "{\"value\":[1,[\"a\",null]],\"type\":\"(ims)\"}",
  "{\"a\":{\"type\":\"a{sv}\",\"value\":{\"b\":{\"type\":\"as\",\"value\":[\"\\ud83d\\ude00\"]}}}}",
  "[1e308,18446744073709551615,\"é\\n\",\"AQL/\",[[[1,\"x\"]]],{\"type\":\"d\",\"value\":\"nan:fff8000000000000\"}]",
};

/* Bytes that mean something in JSON come more often than others. */
static char
random_byte (void)
{
  static const char meaningful[] = "{}[]\",:\\0123456789-+.eEtfnuav \n\xff\x80";

  if (g_test_rand_bit ())
    return meaningful[g_test_rand_int_range (0, sizeof meaningful - 1)];
  return (char) g_test_rand_int_range (0, 256);
}

/* Changes, removes, doubles or moves a few bytes. */
static void
damage (GString *text)
{
  for (int n = g_test_rand_int_range (1, 5); n > 0 && text->len > 8; n--)
    {
      gsize at = (gsize) g_test_rand_int_range (0, (gint32) text->len - 8);
      gsize length = (gsize) g_test_rand_int_range (1, 8);

      switch (g_test_rand_int_range (0, 4))
        {
        case 0:
          g_string_erase (text, (gssize) at, (gssize) length);
          break;
        case 1:
          g_string_insert_c (text, (gssize) at, random_byte ());
          break;
        case 2:
          {
            g_autofree char *piece = g_memdup2 (text->str + at, length);

            g_string_insert_len (text, g_test_rand_int_range (0, (gint32) text->len), piece, (gssize) length);
            break;
          }
        default:
          text->str[at] = random_byte ();
        }
    }
}

static void
test_sound_texts_are_read (void)
{
  g_autoptr(GBytes) record = g_bytes_new_static (sound[0], strlen (sound[0]));
  g_autoptr(StrandRecord) read = strand_record_from_json (record, NULL);

  g_assert_nonnull (read);
  for (gsize i = 0; i < G_N_ELEMENTS (sound); i++)
    LLVMFuzzerTestOneInput ((const guint8 *) sound[i], strlen (sound[i]));
}

static void
test_damaged_texts_do_no_harm (void)
{
  for (int i = 0; i < 40000; i++)
    {
      g_autoptr(GString) text = g_string_new (sound[i % G_N_ELEMENTS (sound)]);

      damage (text);
      LLVMFuzzerTestOneInput ((const guint8 *) text->str, text->len);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/fuzz-record/sound-texts-are-read", test_sound_texts_are_read);
  g_test_add_func ("/fuzz-record/damaged-texts-do-no-harm", test_damaged_texts_do_no_harm);

  return g_test_run ();
}

#endif
