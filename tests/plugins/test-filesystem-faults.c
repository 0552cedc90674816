/* test-filesystem-faults.c — a writer of the filesystem store dies before each of its system calls, and each
 * of them fails.
 *
 * A child does one thing to a store that has been prepared, with the fault shim before its system calls. It
 * is killed before the first call that changes anything, the next child before the second, until one comes
 * through alive: so every step has been the last. After each the store is opened anew: the record is the old
 * one or the new one; a call that waits can be claimed, once; listings that go by the index say what those
 * that read everything say; and after cleanup nothing lies there that does not belong to a record.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <strand-plugin.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW_US G_GINT64_CONSTANT (1700000000000000)
#define OWNER "faults:1"

/* Far more calls than anything here makes. */
#define MAX_STEPS 400

static GType filesystem_store;

static StrandStore *
open_store (const char *root)
{
  GParamSpec *pspec;
  GEnumValue *value;
  gpointer class = g_type_class_ref (filesystem_store);
  const char *sync = g_getenv ("FAULTS_SYNC");
  StrandStore *store;

  pspec = g_object_class_find_property (class, "sync");
  value = g_enum_get_value_by_nick (G_PARAM_SPEC_ENUM (pspec)->enum_class, sync != NULL ? sync : "none");
  store = g_object_new (filesystem_store, "path", root, "auto-cleanup", FALSE, "sync", value->value, NULL);
  g_type_class_unref (class);
  return store;
}

static StrandRecord *
new_call (const char *key)
{
  StrandRecord *record = strand_record_new (key);
  g_autoptr(GBytes) arguments = g_bytes_new_static ("[20,22]", 7);

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "demo.add");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "q");
  strand_record_set_string (record, STRAND_FIELD_SERIALIZER, "json");
  strand_record_set_string (record, STRAND_FIELD_ARGUMENTS_TYPE, "(xx)");
  strand_record_set_bytes (record, STRAND_FIELD_ARGUMENTS, arguments);
  strand_record_set_int (record, STRAND_FIELD_CREATED, NOW_US);
  return record;
}

static GPtrArray *
claim (StrandStore *store, GError **error)
{
  const char *const queues[] = { "q", NULL };

  return strand_store_claim (store, &(StrandClaim){ queues, OWNER, NOW_US, 1 }, NULL, error);
}

/* --- what is done: first what goes before, then what may be interrupted ----------------------------------
 */

static gboolean
do_put_new (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = new_call ("job-17");

  return strand_store_put (store, record, 0, error);
}

static gboolean
do_put_ended (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = new_call ("job-17");

  strand_record_end (record, STRAND_STATUS_CANCELLED, NOW_US);
  return strand_store_put (store, record, 0, error);
}

static gboolean
do_put_over (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", NULL);

  strand_record_set_int (record, STRAND_FIELD_PRIORITY, 7);
  return strand_store_put (store, record, strand_record_get_revision (record), error);
}

static gboolean
do_claim (StrandStore *store, GError **error)
{
  g_autoptr(GPtrArray) claimed = claim (store, error);

  return claimed != NULL && claimed->len == 1;
}

static gboolean
do_renew (StrandStore *store, GError **error)
{
  StrandRenewal renewal = { "job-17", 1 };

  if (!strand_store_renew (store, &renewal, 1, error))
    return FALSE;
  if (renewal.error == NULL)
    return TRUE;
  g_propagate_error (error, renewal.error);
  return FALSE;
}

static gboolean
do_complete (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", NULL);

  strand_record_end (record, STRAND_STATUS_COMPLETED, NOW_US);
  return strand_store_put (store, record, strand_record_get_revision (record), error);
}

static gboolean
do_give_back (StrandStore *store, GError **error)
{
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", NULL);

  strand_record_give_back (record);
  return strand_store_put (store, record, strand_record_get_revision (record), error);
}

static gboolean
append (StrandStore *store, guint64 first, guint n, guint max_items, GError **error)
{
  g_autoptr(GPtrArray) items = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < n; i++)
    {
      char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);

      g_ptr_array_add (items, g_bytes_new_take (text, strlen (text)));
    }
  return strand_store_append_items (store, "job-17", 1, first, (GBytes *const *) items->pdata, n, max_items,
                                    error);
}

static gboolean
do_append_first (StrandStore *store, GError **error)
{
  return append (store, 0, 3, 1000, error);
}

static gboolean
do_append (StrandStore *store, GError **error)
{
  return append (store, 3, 3, 1000, error);
}

/* So many that the log is shortened. */
static gboolean
do_append_many (StrandStore *store, GError **error)
{
  return append (store, 3, 200, 10, error);
}

static gboolean
do_remove (StrandStore *store, GError **error)
{
  return strand_store_remove (store, "job-17", 0, error);
}

typedef gboolean (*Step) (StrandStore *store, GError **error);

static const struct
{
  const char *name;
  Step before[4];
  Step step;
} deeds[] = {
  { "put-first", { NULL }, do_put_new },
  { "put-ended", { NULL }, do_put_ended },
  { "put-over", { do_put_new }, do_put_over },
  { "claim", { do_put_new }, do_claim },
  { "renew", { do_put_new, do_claim }, do_renew },
  { "complete", { do_put_new, do_claim }, do_complete },
  { "give-back", { do_put_new, do_claim }, do_give_back },
  { "append-first", { do_put_new, do_claim }, do_append_first },
  { "append", { do_put_new, do_claim, do_append_first }, do_append },
  { "append-many", { do_put_new, do_claim, do_append_first }, do_append_many },
  { "remove", { do_put_new, do_claim, do_append_first }, do_remove },
};

/* The place of put-over among them. */
#define PUT_OVER 2

/* --- children ------------------------------------------------------------------------------------------ */

/* Role: does a deed, with STRAND_FAULT set when all before it is done. 0: done; 1: refused, and why. */
static int
play (guint deed, const char *root, const char *fault)
{
  g_autoptr(StrandStore) store = open_store (root);
  g_autoptr(GError) error = NULL;
  gboolean done;

  for (guint i = 0; deeds[deed].before[i] != NULL; i++)
    if (!deeds[deed].before[i](store, &error))
      g_error ("%s", error != NULL ? error->message : "preparation failed");
  g_setenv ("STRAND_FAULT", fault, TRUE);
  done = deeds[deed].step (store, &error);
  g_setenv ("STRAND_FAULT", "", TRUE);
  if (done)
    return 0;
  g_assert_nonnull (error);
  fprintf (stderr, "%s\n", error->message);
  return 1;
}

/* Status as waitpid() gives it; @said: (out): what it wrote to its standard error. */
static int
run_child (guint deed, const char *root, const char *fault, char **said)
{
  g_autofree char *self_path = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *number = g_strdup_printf ("%u", deed);
  g_autofree char *log = g_strconcat (root, ".log", NULL);
  const char *sanitizer = g_getenv ("ASAN_OPTIONS");
  g_autofree char *options =
      g_strdup_printf ("%s:verify_asan_link_order=0:detect_leaks=0", sanitizer != NULL ? sanitizer : "");
  const char *argv[] = { self_path, "--deed", number, root, fault, NULL };
  g_auto(GStrv) environment = g_get_environ ();
  g_autoptr(GError) error = NULL;
  int status;

  environment = g_environ_setenv (environment, "LD_PRELOAD", g_getenv ("STRAND_FAULT_SHIM"), TRUE);
  environment = g_environ_setenv (environment, "STRAND_FAULT_PATH", root, TRUE);
  environment = g_environ_setenv (environment, "STRAND_FAULT_LOG", log, TRUE);
  environment = g_environ_setenv (environment, "ASAN_OPTIONS", options, TRUE);
  g_spawn_sync (NULL, (char **) argv, environment, G_SPAWN_DEFAULT, NULL, NULL, NULL, said, &status, &error);
  g_assert_no_error (error);
  return status;
}

/* Where the last one died: the call and its path. */
static char *
read_log (const char *root)
{
  g_autofree char *log = g_strconcat (root, ".log", NULL);
  char *text = NULL;

  if (!g_file_get_contents (log, &text, NULL, NULL))
    return g_strdup ("nowhere");
  g_unlink (log);
  return g_strstrip (text);
}

/* --- what must be true afterwards ----------------------------------------------------------------------- */

static GHashTable *
list_keys (StrandStore *store, const StrandFilter *filter)
{
  GHashTable *keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page = strand_store_list (store, filter, cursor, 3, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (strand_page_get_n_unreadable (page), ==, 0);
      for (guint i = 0; i < strand_page_get_records (page)->len; i++)
        g_assert_true (g_hash_table_add (
            keys, g_strdup (strand_record_get_key (strand_page_get_records (page)->pdata[i]))));
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  return keys;
}

static void
assert_listed (StrandStore *store, guint statuses, gboolean expected)
{
  g_autoptr(GHashTable) keys = list_keys (store, &(StrandFilter){ .statuses = statuses });

  g_assert_cmpint (g_hash_table_contains (keys, "job-17"), ==, expected);
}

/* Every file below the store's directory, sorted. */
static GString *all_files;

static int
add_file (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  if (S_ISREG (info->st_mode))
    g_string_append_printf (all_files, "%s\n", path + place->base);
  return 0;
}

/* A record, its entries in the index, its items; and nothing else. */
static void
assert_tidy (StrandStore *store, const char *root, StrandRecord *record)
{
  guint n_entries = record == NULL || strand_status_is_terminal (strand_record_get_status (record)) ? 0 : 2;
  g_auto(GStrv) lines = NULL;
  guint n_complete = 0, n_records = 0, n_items = 0, n_others = 0;

  g_assert_cmpint (strand_store_cleanup_expired (store, -1, NULL), ==, 0);
  all_files = g_string_new (NULL);
  nftw (root, add_file, 8, FTW_PHYS);
  lines = g_strsplit (all_files->str, "\n", -1);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    if (strcmp (lines[i], "complete") == 0)
      n_complete++;
    else if (strcmp (lines[i], "job-17.json") == 0)
      n_records++;
    else if (strcmp (lines[i], "job-17@1") == 0)
      n_items++;
    else
      n_others++;
  if (n_records != (record != NULL) || n_others != n_entries || n_complete > 1 ||
      (record == NULL && n_items > 0))
    g_error ("these files are left:\n%s", all_files->str);
  g_string_free (g_steal_pointer (&all_files), TRUE);
}

/* Nobody looks at an orphan for an hour, lest its holder be writing: so long ago everything was. */
static int
make_old (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  const struct timespec times[2] = { { 1000, 0 }, { 1000, 0 } };

  utimensat (AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
  return 0;
}

/* What has been emitted is 0…n-1, whole, or its end; and can be gone on with. */
static void
assert_items (StrandStore *store)
{
  guint64 first = 0;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) items = strand_store_read_items (store, "job-17", 1, 0, 1000, &first, &error);
  g_autoptr(GPtrArray) more = NULL;

  g_assert_no_error (error);
  for (guint i = 0; i < items->len; i++)
    {
      g_autofree char *text = g_strdup_printf ("item %" G_GUINT64_FORMAT, first + i);

      g_assert_cmpmem (g_bytes_get_data (items->pdata[i], NULL), g_bytes_get_size (items->pdata[i]), text,
                       strlen (text));
    }
  g_assert_true (append (store, first + items->len, 2, 1000, &error));
  g_assert_no_error (error);
  more = strand_store_read_items (store, "job-17", 1, 0, 1000, &first, &error);
  g_assert_cmpuint (more->len, ==, items->len + 2);
}

static void
assert_sound (guint deed, const char *root)
{
  g_autoptr(StrandStore) store = open_store (root);
  g_autoptr(StrandRecord) record = strand_store_get (store, "job-17", NULL);
  StrandStatus status = record != NULL ? strand_record_get_status (record) : STRAND_STATUS_COMPLETED;
  g_autoptr(GPtrArray) claimed = NULL;
  g_autoptr(GError) error = NULL;

  if (record == NULL && deeds[deed].step != do_put_new && deeds[deed].step != do_put_ended &&
      deeds[deed].step != do_remove)
    g_error ("the record is gone");
  assert_listed (store, 0, record != NULL);
  assert_listed (store, 1 << STRAND_STATUS_RUNNING, status == STRAND_STATUS_RUNNING);
  assert_listed (store, 1 << STRAND_STATUS_PENDING, status == STRAND_STATUS_PENDING);
  nftw (root, make_old, 8, FTW_PHYS);
  assert_tidy (store, root, record);

  if (status == STRAND_STATUS_RUNNING)
    assert_items (store);
  claimed = claim (store, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (claimed->len, ==, status == STRAND_STATUS_PENDING);
}

static int
remove_one (const char *path, const struct stat *info, int kind, struct FTW *place)
{
  return remove (path);
}

static char *
make_root (char **above)
{
  *above = g_dir_make_tmp ("strand-faults-XXXXXX", NULL);
  g_assert_nonnull (*above);
  return g_build_filename (*above, "records", NULL);
}

/* --- tests --------------------------------------------------------------------------------------------- */

static void
test_dies_at_every_step (gconstpointer number)
{
  guint deed = GPOINTER_TO_UINT (number);
  guint n = 0;

  for (gboolean alive = FALSE; !alive; n++)
    {
      g_autofree char *above = NULL;
      g_autofree char *root = make_root (&above);
      g_autofree char *fault = g_strdup_printf ("change:%u:kill", n + 1);
      g_autofree char *said = NULL;
      int status = run_child (deed, root, fault, &said);
      g_autofree char *where = read_log (root);

      alive = !WIFSIGNALED (status);
      if (alive && status != 0)
        g_error ("%s", said);
      g_test_message ("step %u: %s", n + 1, alive ? "done" : where);
      assert_sound (deed, root);
      nftw (above, remove_one, 8, FTW_DEPTH | FTW_PHYS);
      g_assert_cmpuint (n, <, MAX_STEPS);
    }
  g_assert_cmpuint (n, >, 3);
}

/* Each call fails once: the deed is refused, or done in spite of it; the child can go on, and nothing is
 * lost. */
static void
fail_each (guint deed, const char *calls, const char *what, gboolean must_be_done)
{
  for (guint n = 1; n < MAX_STEPS; n++)
    {
      g_autofree char *above = NULL;
      g_autofree char *root = make_root (&above);
      g_autofree char *fault = g_strdup_printf ("%s:%u:%s", calls, n, what);
      g_autofree char *said = NULL;
      int status = run_child (deed, root, fault, &said);
      g_autofree char *where = read_log (root);
      gboolean hit = strcmp (where, "nowhere") != 0;

      if (WIFSIGNALED (status))
        g_error ("%s at %s: died: %s", what, where, said);
      if (status != 0 && (!hit || must_be_done || strstr (said, "'") == NULL))
        g_error ("%s at %s: %s", what, where, said);
      assert_sound (deed, root);
      nftw (above, remove_one, 8, FTW_DEPTH | FTW_PHYS);
      if (!hit)
        return;
    }
  g_assert_not_reached ();
}

static void
test_every_step_fails (gconstpointer number)
{
  guint deed = GPOINTER_TO_UINT (number);

  fail_each (deed, "open,write,pwrite,mkdir,mknod,link,rename,close", "ENOSPC", FALSE);
  fail_each (deed, "open,write,pwrite,fsync,fdatasync,rename,unlink,close,flock,ftruncate", "EIO", FALSE);
}

static void
test_interrupted_and_short_writes_go_on (gconstpointer number)
{
  guint deed = GPOINTER_TO_UINT (number);

  fail_each (deed, "open,write,pwrite,fsync,fdatasync,flock,close", "EINTR", TRUE);
  fail_each (deed, "write,pwrite", "short", TRUE);
}

/* With every directory synced there are more steps. */
static void
test_dies_at_every_step_of_full (gconstpointer number)
{
  g_setenv ("FAULTS_SYNC", "full", TRUE);
  test_dies_at_every_step (number);
  g_unsetenv ("FAULTS_SYNC");
}

/* Locks of one host do not hold for another there. What is there can be read. */
static void
test_network_file_system_is_refused (void)
{
  g_autofree char *above = NULL;
  g_autofree char *root = make_root (&above);
  g_autofree char *said = NULL;
  int status = run_child (PUT_OVER, root, "statfs:1:nfs:1000", &said);

  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 1);
  g_assert_nonnull (strstr (said, "network file system (nfs)"));
  g_assert_nonnull (strstr (said, "'job-17'"));
  g_free (read_log (root));
  assert_sound (PUT_OVER, root);
  nftw (above, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
add (const char *name, const char *deed, guint number, GTestDataFunc func)
{
  g_autofree char *path = g_strdup_printf ("/filesystem-store/%s/%s", name, deed);

  g_test_add_data_func (path, GUINT_TO_POINTER (number), func);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  filesystem_store =
      strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_STORE, "filesystem", &error);
  g_assert_no_error (error);
  if (argc == 5 && strcmp (argv[1], "--deed") == 0)
    return play ((guint) g_ascii_strtoull (argv[2], NULL, 10), argv[3], argv[4]);

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (deeds); i++)
    {
      add ("dies-at-every-step", deeds[i].name, i, test_dies_at_every_step);
      if (i <= PUT_OVER || deeds[i].step == do_complete || deeds[i].step == do_append_many)
        add ("dies-at-every-step-of-full", deeds[i].name, i, test_dies_at_every_step_of_full);
      add ("every-step-fails", deeds[i].name, i, test_every_step_fails);
      add ("interrupted-and-short-writes-go-on", deeds[i].name, i, test_interrupted_and_short_writes_go_on);
    }
  g_test_add_func ("/filesystem-store/network-file-system-is-refused", test_network_file_system_is_refused);
  return g_test_run ();
}
