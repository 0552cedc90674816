/* fuzz-keyfile.c — no text, whatever its bytes, makes the keyfile reader crash, hang or read astray.
 *
 * Two things are held against each text. What the scanner accepts, GKeyFile reads too, with the same groups,
 * keys and values. And a stack loads it exactly if nothing is found wrong with it, with the same words.
 *
 * One entry point, used twice: by libFuzzer where clang has it, as long as anybody likes by hand (build with
 * -fsanitize=fuzzer and WITH_LIBFUZZER); and by the plain test below, which changes the keyfiles of
 * tests/fixtures/keyfiles in ways drawn from a fixed seed, so that every machine tries the same.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-keyfile-private.h"
#include "stand-ins.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static void
compare_entry (GKeyFile *theirs, const char *title, StrandKeyfileEntry *entry)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *text = strand_keyfile_unescape (entry->raw, NULL);
  g_autofree char *their_raw = g_key_file_get_value (theirs, title, entry->key, NULL);
  g_auto(GStrv) items = strand_keyfile_split (entry->raw, NULL);

  g_assert_cmpstr (entry->raw, ==, their_raw);
  /* Where an escape is wrong GKeyFile may set its error twice, and warn of itself. */
  if (text != NULL)
    {
      g_autofree char *their_text = g_key_file_get_string (theirs, title, entry->key, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (text, ==, their_text);
    }
  if (items != NULL)
    {
      g_auto(GStrv) their_items = g_key_file_get_string_list (theirs, title, entry->key, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpstrv (items, their_items);
    }
}

static void
compare_with_gkeyfile (const char *data, gsize size)
{
  g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func ((GDestroyNotify) strand_problem_free);
  g_autoptr(StrandKeyfile) ours = strand_keyfile_parse (data, size, "fuzz", problems);
  g_autoptr(GKeyFile) theirs = g_key_file_new ();
  g_autoptr(GError) error = NULL;
  gsize n_groups = 0;

  if (problems->len > 0)
    return;

  g_key_file_load_from_data (theirs, data, size, G_KEY_FILE_NONE, &error);
  g_assert_no_error (error);
  g_strfreev (g_key_file_get_groups (theirs, &n_groups));
  g_assert_cmpuint (ours->groups->len, ==, n_groups);
  for (guint i = 0; i < ours->groups->len; i++)
    {
      StrandKeyfileGroup *group = g_ptr_array_index (ours->groups, i);
      gsize n_keys = 0;

      g_strfreev (g_key_file_get_keys (theirs, group->title, &n_keys, NULL));
      g_assert_cmpuint (group->entries->len, ==, n_keys);
      for (guint j = 0; j < group->entries->len; j++)
        compare_entry (theirs, group->title, g_ptr_array_index (group->entries, j));
    }
}

/* What is written is read back. */
static void
write_and_read (const char *data, gsize size)
{
  g_autofree char *text = g_utf8_make_valid (data, MIN (size, 256));
  g_autoptr(GPtrArray) variables = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GString) line = g_string_new (NULL);
  g_autofree char *plain = NULL;
  g_autofree char *back = NULL;
  g_autoptr(GError) error = NULL;

  strand_keyfile_escape (line, text, FALSE);
  plain = strand_keyfile_unescape (line->str, &error);
  g_assert_no_error (error);
  back = strand_keyfile_expand (plain, variables, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (back, ==, text);
}

static void
check_and_load (const char *data, gsize size)
{
  static StrandPlugins *plugins;
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(GPtrArray) problems = NULL;
  g_autoptr(GError) error = NULL;

  if (plugins == NULL)
    plugins = stand_ins_new_plugins ();
  /* Modules would be looked for on the disk, and that is not what is tried here. */
  if (memmem (data, size, "modules", strlen ("modules")) != NULL)
    return;

  problems = strand_stack_check_data (data, size, "fuzz", plugins);
  stack = g_object_new (STRAND_TYPE_STACK, "plugins", plugins, NULL);
  g_assert_cmpint (strand_stack_reload_from_data (stack, data, size, "fuzz", &error), ==, problems->len == 0);
  for (guint i = 0; i < problems->len; i++)
    {
      g_autofree char *line = strand_problem_to_string (g_ptr_array_index (problems, i));

      g_assert_true (g_utf8_validate (line, -1, NULL));
      g_assert_nonnull (strstr (error->message, line));
    }
  if (problems->len == 0)
    {
      g_autofree char *drawing = strand_stack_describe (stack);
      g_autoptr(GError) target_error = NULL;
      g_autoptr(GObject) backend = strand_stack_ref_target (stack, NULL, &target_error);

      g_assert_true (g_utf8_validate (drawing, -1, NULL));
      g_assert_true ((backend != NULL) != (target_error != NULL));
    }
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  compare_with_gkeyfile ((const char *) data, size);
  write_and_read ((const char *) data, size);
  check_and_load ((const char *) data, size);
  return 0;
}

#ifndef WITH_LIBFUZZER

static int
compare_words (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Sorted, so that the seed means the same everywhere. */
static void
load_folder (GPtrArray *texts, const char *name)
{
  g_autofree char *folder = g_test_build_filename (G_TEST_DIST, "fixtures", "keyfiles", name, NULL);
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
  const char *file;

  g_assert_nonnull (dir);
  while ((file = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (file, ".conf"))
      g_ptr_array_add (paths, g_build_filename (folder, file, NULL));
  g_ptr_array_sort (paths, compare_words);
  for (guint i = 0; i < paths->len; i++)
    {
      char *text;
      gsize length;

      g_assert_true (g_file_get_contents (g_ptr_array_index (paths, i), &text, &length, NULL));
      g_ptr_array_add (texts, g_bytes_new_take (text, length));
    }
}

/* The pieces that a keyfile is made of, and what they must not be confused by. */
static const char *const pieces[] = { "[",
                                      "]",
                                      "=",
                                      ";",
                                      "\\",
                                      "\\s",
                                      "\\;",
                                      "$",
                                      "${",
                                      "}",
                                      ":-",
                                      "$$",
                                      "\n",
                                      "\r",
                                      "\r\n",
                                      " ",
                                      "\t",
                                      "#",
                                      "?",
                                      "type=",
                                      "[store a]",
                                      "[backend x]\n",
                                      "box",
                                      "thread",
                                      "store=",
                                      "middleware=",
                                      "\xff",
                                      "\xc3",
                                      "\xef\xbb\xbf",
                                      "inner=",
                                      "a",
                                      "none",
                                      "5min",
                                      "999999999999999999999",
                                      "${HOME}",
                                      "[strand]\n" };

static void
change_somewhere (GRand *rand, GString *text)
{
  gsize at = text->len > 0 ? (gsize) g_rand_int_range (rand, 0, text->len) : 0;
  gsize length = (gsize) g_rand_int_range (rand, 1, 12);
  const char *piece = pieces[g_rand_int_range (rand, 0, G_N_ELEMENTS (pieces))];

  switch (g_rand_int_range (rand, 0, 4))
    {
    case 0:
      g_string_insert (text, at, piece);
      break;
    case 1:
      g_string_erase (text, at, MIN (text->len - at, length));
      break;
    case 2:
      g_string_overwrite (text, at, piece);
      break;
    default:
      if (text->len > 0)
        text->str[at] = (char) g_rand_int_range (rand, 0, 256);
    }
}

static void
test_changed_keyfiles (void)
{
  g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  g_autoptr(GRand) rand = g_rand_new_with_seed (20);

  load_folder (texts, "good");
  load_folder (texts, "bad");
  for (guint i = 0; i < 5000; i++)
    {
      GBytes *bytes = g_ptr_array_index (texts, i % texts->len);
      g_autoptr(GString) text = g_string_new_len (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
      g_autofree guint8 *exact = NULL;

      for (int j = g_rand_int_range (rand, 0, 5); j > 0; j--)
        change_somewhere (rand, text);
      /* No byte more than there is, so that reading one too many is seen. */
      exact = g_memdup2 (text->str, text->len);
      LLVMFuzzerTestOneInput (exact != NULL ? exact : (const guint8 *) "", text->len);
    }
}

static void
test_deep_texts (void)
{
  g_autofree char *braces = g_strnfill (STRAND_KEYFILE_MAX_BYTES - 100, '{');
  g_autofree char *dollars = g_strnfill (STRAND_KEYFILE_MAX_BYTES - 100, '$');
  g_autoptr(GString) nested = g_string_new ("[store a]\ntype=box\npath=");
  g_autoptr(GString) chain = g_string_new (NULL);
  g_autofree char *first = g_strconcat ("[store a]\ntype=box\npath=$", braces, NULL);
  g_autofree char *second = g_strconcat ("[store a]\ntype=box\npath=", dollars, NULL);

  for (guint i = 0; i < 60000; i++)
    g_string_append (nested, "${A:");
  for (guint i = 0; i < 4000; i++)
    g_string_append_printf (chain, "[middleware m%u]\ntype=nest\ninner=m%u\n", i, i + 1);
  g_string_append (chain, "[middleware m4000]\ntype=nest\n");

  LLVMFuzzerTestOneInput ((const guint8 *) first, strlen (first));
  LLVMFuzzerTestOneInput ((const guint8 *) second, strlen (second));
  LLVMFuzzerTestOneInput ((const guint8 *) nested->str, nested->len);
  LLVMFuzzerTestOneInput ((const guint8 *) chain->str, chain->len);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/keyfile/changed-keyfiles", test_changed_keyfiles);
  g_test_add_func ("/keyfile/deep-texts", test_deep_texts);

  return g_test_run ();
}

#endif
