/* test-import.c — what one store's listing says, another store can take over: exactly, or it says which not.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include <glib/gstdio.h>
#include <strand-plugin.h>
#include <string.h>
#include <sys/wait.h>

typedef struct
{
  char *home;
  char *from; /* a keyfile with a filesystem store */
  char *to;   /* a keyfile with another one of @type */
  char *out;
  char *err;
} Fixture;

static char *
write_keyfile (Fixture *f, const char *name, const char *type)
{
  g_autofree char *path = g_build_filename (f->home, name, NULL);
  g_autofree char *text =
      g_strdup_printf ("[strand]\ndefault-backend=jobs\n[store results]\ntype=%s\npath=%s.records\n"
                       "auto-cleanup=false\n[backend jobs]\ntype=store\nstore=results\n",
                       type, path);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&path);
}

static void
set_up (Fixture *f, gconstpointer type)
{
  g_autoptr(GError) error = NULL;

  f->home = g_dir_make_tmp ("strand-import-XXXXXX", &error);
  g_assert_no_error (error);
  f->from = write_keyfile (f, "from.conf", "filesystem");
  f->to = write_keyfile (f, "to.conf", type);
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
  remove_tree (f->home);
  g_free (f->home);
  g_free (f->from);
  g_free (f->to);
  g_free (f->out);
  g_free (f->err);
}

/* Runs the command, with @input on its stdin; its exit status. */
static int
strand (Fixture *f, const char *input, const char *first, ...)
{
  g_autoptr(GPtrArray) words = g_ptr_array_new ();
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) error = NULL;
  const char *word;
  va_list args;

  g_ptr_array_add (words, (gpointer) g_getenv ("STRAND_COMMAND"));
  va_start (args, first);
  for (word = first; word != NULL; word = va_arg (args, const char *))
    g_ptr_array_add (words, (gpointer) word);
  va_end (args);
  g_ptr_array_add (words, NULL);
  g_clear_pointer (&f->out, g_free);
  g_clear_pointer (&f->err, g_free);
  process = g_subprocess_newv ((const char *const *) words->pdata,
                               G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                                   G_SUBPROCESS_FLAGS_STDERR_PIPE,
                               &error);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, input, NULL, &f->out, &f->err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (process));
  return g_subprocess_get_exit_status (process);
}

static StrandStore *
open_store (const char *keyfile, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = strand_stack_new_from_file (keyfile, &error);
  GObject *store;

  g_assert_no_error (error);
  store = strand_stack_ref_object (stack, STRAND_KIND_STORE, name, &error);
  g_assert_no_error (error);
  return STRAND_STORE (store);
}

/* Every field set, to something of its own. */
static StrandRecord *
full_record (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GBytes) bytes = g_bytes_new_static ("\0\377 \"}]{[", 9);
  g_autoptr(GError) cause = g_error_new_literal (g_quark_from_string ("odd"), -7, "]}, \"\\ é\n");

  for (guint field = 0; field < STRAND_N_FIELDS; field++)
    if (strand_field_get_shape (field) == STRAND_SHAPE_INT)
      strand_record_set_int (record, field, 1);
    else if (strand_field_get_shape (field) == STRAND_SHAPE_STRING && field != STRAND_FIELD_KEY)
      strand_record_set_string (record, field, "\"}]{[\\\" é\xf0\x9f\x98\x80\n");
  strand_record_set_string (record, STRAND_FIELD_KIND, "call");
  strand_record_set_int (record, STRAND_FIELD_REVISION, 0);
  strand_record_set_int (record, STRAND_FIELD_PRIORITY, G_MININT64);
  strand_record_set_int (record, STRAND_FIELD_CREATED, G_MAXINT64);
  strand_record_set_double (record, STRAND_FIELD_PROGRESS, 0.1);
  strand_record_set_variant (record, STRAND_FIELD_HEADERS, g_variant_new_parsed ("{'}': ']', '': '\"'}"));
  strand_record_set_variant (record, STRAND_FIELD_METADATA,
                             g_variant_new_parsed ("{'t': <uint64 18446744073709551615>, 'v': <<1e308>>}"));
  strand_record_set_variant (record, STRAND_FIELD_WARNINGS, g_variant_new_parsed ("['slow', '']"));
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(ix)");
  strand_record_set_string (record, STRAND_FIELD_VALUE_TYPE, "s");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, bytes);
  strand_record_set_bytes (record, STRAND_FIELD_VALUE, bytes);
  strand_record_add_cause (record, "worker }", cause);
  return record;
}

/* Records of all statuses and some kinds, written up to three times. */
static void
fill (StrandStore *store)
{
  static const char *const kinds[] = { "call", "group", "nobodys" };

  for (guint i = 0; i < 15; i++)
    {
      g_autofree char *key = g_strdup_printf ("record-%u", i);
      g_autoptr(StrandRecord) record = i % 2 == 0 ? full_record (key) : strand_record_new (key);
      g_autoptr(GError) error = NULL;

      strand_record_set_string (record, STRAND_FIELD_KIND, kinds[i / 5]);
      strand_record_set_int (record, STRAND_FIELD_STATUS, i % 5);
      strand_record_set_int (record, STRAND_FIELD_TTL, -1);
      for (guint j = 0; j <= i % 3; j++)
        g_assert_true (strand_store_put (store, record, j, &error));
      g_assert_no_error (error);
    }
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* The records of a dump, sorted: each stands on a line of its own. */
static char *
sort_dump (const char *dump)
{
  g_auto(GStrv) lines = g_strsplit (dump, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_suffix (lines[i], "},"))
      lines[i][strlen (lines[i]) - 1] = '\0';
  qsort (lines, g_strv_length (lines), sizeof *lines, compare);
  return g_strjoinv ("\n", lines);
}

static char *
dump (Fixture *f, const char *keyfile)
{
  g_assert_cmpint (strand (f, NULL, "list", "--json", "--kind", "*", "-c", keyfile, NULL), ==, 0);
  return g_steal_pointer (&f->out);
}

static void
test_other_store_says_the_same (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) store = open_store (f->from, "results");
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  g_autofree char *before_sorted = NULL;
  g_autofree char *after_sorted = NULL;

  fill (store);
  before = dump (f, f->from);
  g_assert_cmpint (strand (f, before, "import", "-c", f->to, NULL), ==, 0);
  g_assert_cmpstr (f->out, ==, "15 imported, 0 skipped, 0 refused\n");
  after = dump (f, f->to);
  before_sorted = sort_dump (before);
  after_sorted = sort_dump (after);
  g_assert_cmpstr (after_sorted, ==, before_sorted);
}

/* What a store in this process says of itself, as the command prints it. */
static char *
dump_store (StrandStore *store)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandPage) page = strand_store_list (store, &(StrandFilter){ .kind = "*" }, NULL, 1000, &error);
  g_autoptr(GString) text = g_string_new ("[\n");
  GPtrArray *records;

  g_assert_no_error (error);
  records = strand_page_get_records (page);
  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr(GBytes) json = strand_record_to_json (records->pdata[i]);

      g_string_append_len (text, g_bytes_get_data (json, NULL), (gssize) g_bytes_get_size (json));
    }
  g_string_append (text, "]\n");
  return sort_dump (text->str);
}

/* Records of one store, taken over by one in memory, whose ttl is not theirs. */
static void
test_memory_says_the_same (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) store = open_store (f->to, "results");
  g_autoptr(StrandStore) memory = NULL;
  g_autoptr(StrandStack) stack = NULL;
  g_autoptr(StrandPage) page = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *before = NULL;
  g_autofree char *after = NULL;
  GPtrArray *records;

  stack =
      strand_stack_new_from_data ("[store m]\ntype=memory\nttl=1h\nauto-cleanup=false\n", -1, "test", &error);
  g_assert_no_error (error);
  memory = STRAND_STORE (strand_stack_ref_object (stack, STRAND_KIND_STORE, "m", &error));
  g_assert_no_error (error);
  fill (store);
  page = strand_store_list (store, &(StrandFilter){ .kind = "*" }, NULL, 1000, &error);
  g_assert_no_error (error);
  records = strand_page_get_records (page);
  for (guint i = 0; i < records->len; i++)
    {
      g_assert_true (strand_store_import (memory, records->pdata[i], &error));
      g_assert_no_error (error);
    }
  before = dump_store (store);
  after = dump_store (memory);
  g_assert_cmpstr (after, ==, before);
}

static void
test_imported_record_goes_on (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) store = open_store (f->to, "results");
  g_autoptr(StrandRecord) record = strand_record_new ("job-17");
  g_autoptr(StrandRecord) read = NULL;
  g_autoptr(GError) error = NULL;

  strand_record_set_int (record, STRAND_FIELD_REVISION, 41);
  g_assert_true (strand_store_import (store, record, &error));
  g_assert_no_error (error);
  read = strand_store_get (store, "job-17", &error);
  g_assert_cmpuint (strand_record_get_revision (read), ==, 41);
  g_assert_true (strand_store_put (store, read, 41, &error));
  g_assert_cmpuint (strand_record_get_revision (read), ==, 42);
  g_assert_false (strand_store_import (store, record, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_EXISTS);
}

static void
test_existing_key_is_refused_or_skipped (Fixture *f, gconstpointer unused)
{
  const char *one = "{\"v\":1,\"key\":\"one\",\"message\":\"first\"}";
  const char *both = "[{\"v\":1,\"key\":\"one\",\"message\":\"second\"},\n{\"v\":1,\"key\":\"two\"}]";

  g_assert_cmpint (strand (f, one, "import", "-", "-q", "-c", f->to, NULL), ==, 0);
  g_assert_cmpstr (f->out, ==, "");
  g_assert_cmpint (strand (f, both, "import", "-c", f->to, NULL), ==, 1);
  g_assert_cmpstr (f->out, ==, "1 imported, 0 skipped, 1 refused\n");
  g_assert_nonnull (strstr (f->err, "'one'"));
  g_assert_cmpint (strand (f, both, "import", "--skip-existing", "--json", "-c", f->to, NULL), ==, 0);
  g_assert_cmpstr (f->out, ==, "{\"imported\":0,\"skipped\":2,\"refused\":0}\n");
  g_assert_cmpstr (f->err, ==, "");
  g_assert_cmpint (strand (f, NULL, "show", "one", "--json", "-c", f->to, NULL), ==, 0);
  g_assert_nonnull (strstr (f->out, "\"first\""));
}

static void
test_what_is_no_dump_is_told (Fixture *f, gconstpointer unused)
{
  static const struct
  {
    const char *input;
    int status;
    const char *says;
  } inputs[] = {
    { "", 0, NULL },
    { " [ ] \n", 0, NULL },
    { "[{\"v\":1,\"key\":\"a\"},]", 2, "after record 1 stands ']'" },
    { "[{\"v\":1,\"key\":\"b\"} {\"v\":1,\"key\":\"c\"}]", 2, "after record 1 stands '{'" },
    { "[{\"v\":1,\"key\":\"d\"}", 2, "ends in the middle, after record 1" },
    { "{\"v\":1,\"key\":\"e", 2, "ends in the middle, after record 0" },
    { "[] {}", 2, "after record 0 stands '{'" },
    { "key\tstatus\n", 2, "after record 0 stands 'k'" },
    { "[{\"v\":1,\"key\":\"f g\"},{\"v\":1,\"key\":\"h\"}]", 1, "record 1 of 'standard input': field 'key'" },
    { "{\"v\":9,\"key\":\"i\"}", 1, "record 1" },
    { "{]", 1, "record 1" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (inputs); i++)
    {
      g_assert_cmpint (strand (f, inputs[i].input, "import", "-c", f->to, NULL), ==, inputs[i].status);
      if (inputs[i].says != NULL && strstr (f->err, inputs[i].says) == NULL)
        g_error ("'%s' is not in '%s'", inputs[i].says, f->err);
    }
  g_assert_cmpint (strand (f, NULL, "import", "/nowhere", "-c", f->to, NULL), ==, 2);
  g_assert_nonnull (strstr (f->err, "Could not open '/nowhere'"));
}

static void
test_list_chooses_kinds (Fixture *f, gconstpointer unused)
{
  g_autoptr(StrandStore) store = open_store (f->from, "results");

  fill (store);
  g_assert_cmpint (strand (f, NULL, "list", "--kind", "group", "-c", f->from, NULL), ==, 0);
  g_assert_nonnull (strstr (f->out, "record-5\t"));
  g_assert_null (strstr (f->out, "record-1\t"));
  g_assert_cmpint (strand (f, NULL, "list", "-c", f->from, NULL), ==, 0);
  g_assert_nonnull (strstr (f->out, "record-1\t"));
  g_assert_null (strstr (f->out, "record-5\t"));
}

#define ADD(name, type, run) g_test_add ("/import/" type "/" name, Fixture, type, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  ADD ("other-store-says-the-same", "filesystem", test_other_store_says_the_same);
  ADD ("memory-says-the-same", "filesystem", test_memory_says_the_same);
  ADD ("imported-record-goes-on", "filesystem", test_imported_record_goes_on);
  ADD ("existing-key-is-refused-or-skipped", "filesystem", test_existing_key_is_refused_or_skipped);
  ADD ("what-is-no-dump-is-told", "filesystem", test_what_is_no_dump_is_told);
  ADD ("list-chooses-kinds", "filesystem", test_list_chooses_kinds);
  if (strand_plugins_has (strand_plugins_get_default (), STRAND_KIND_STORE, "sqlite", NULL))
    {
      ADD ("other-store-says-the-same", "sqlite", test_other_store_says_the_same);
      ADD ("memory-says-the-same", "sqlite", test_memory_says_the_same);
      ADD ("imported-record-goes-on", "sqlite", test_imported_record_goes_on);
      ADD ("existing-key-is-refused-or-skipped", "sqlite", test_existing_key_is_refused_or_skipped);
    }
  return g_test_run ();
}
