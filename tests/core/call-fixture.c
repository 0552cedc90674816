/* call-fixture.c — what tests of calls share.          SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "call-fixture.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

gpointer fixture_last_data;

static Gate the_gate;
static const char *program;

void
gate_init (Gate *gate)
{
  memset (gate, 0, sizeof *gate);
  g_mutex_init (&gate->lock);
  g_cond_init (&gate->changed);
}

void
gate_clear (Gate *gate)
{
  g_mutex_clear (&gate->lock);
  g_cond_clear (&gate->changed);
}

void
gate_pass (Gate *gate)
{
  g_mutex_lock (&gate->lock);
  gate->n_inside++;
  g_cond_broadcast (&gate->changed);
  while (!gate->open)
    g_cond_wait (&gate->changed, &gate->lock);
  gate->n_left++;
  g_cond_broadcast (&gate->changed);
  g_mutex_unlock (&gate->lock);
}

void
gate_open (Gate *gate)
{
  g_mutex_lock (&gate->lock);
  gate->open = TRUE;
  g_cond_broadcast (&gate->changed);
  g_mutex_unlock (&gate->lock);
}

void
gate_wait_inside (Gate *gate, guint n)
{
  gint64 deadline_us = g_get_monotonic_time () + DEADLINE_US;

  g_mutex_lock (&gate->lock);
  while (gate->n_inside < n)
    if (!g_cond_wait_until (&gate->changed, &gate->lock, deadline_us))
      g_error ("%u of %u came to the gate", gate->n_inside, n);
  g_mutex_unlock (&gate->lock);
}

static guint
count (Gate *gate, guint *counter)
{
  guint n;

  g_mutex_lock (&gate->lock);
  n = *counter;
  g_mutex_unlock (&gate->lock);
  return n;
}

guint
gate_count_inside (Gate *gate)
{
  return count (gate, &gate->n_inside);
}

guint
gate_count_left (Gate *gate)
{
  return count (gate, &gate->n_left);
}

Gate *
fixture_gate (void)
{
  g_mutex_lock (&the_gate.lock);
  the_gate.open = FALSE;
  the_gate.n_inside = the_gate.n_left = 0;
  g_mutex_unlock (&the_gate.lock);
  return &the_gate;
}

/* The functions. */

static GVariant *
nothing (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return NULL;
}

static GVariant *
echo (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_get_child_value (arguments, 0);
}

static GVariant *
add (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gint64 a, b;

  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

static GVariant *
sum (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  int a, b;
  g_autoptr(GVariant) rest = NULL;

  g_variant_get (arguments, "(ii@a{sv})", &a, &b, &rest);
  return g_variant_new_int32 (a + b + (int) g_variant_n_children (rest));
}

static GVariant *
fail (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  const char *message;

  g_variant_get (arguments, "(&s)", &message);
  g_set_error_literal (error, G_FILE_ERROR, G_FILE_ERROR_NOENT, message);
  return NULL;
}

static GVariant *
emit_numbers (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  guint n;

  g_variant_get (arguments, "(u)", &n);
  for (guint i = 0; i < n; i++)
    if (!strand_context_emit (context, g_variant_new_uint32 (i), error))
      return NULL;
  return g_variant_new_uint32 (n);
}

static GVariant *
list_numbers (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  GVariantBuilder builder;
  guint n;

  g_variant_get (arguments, "(u)", &n);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("au"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "u", i);
  return g_variant_builder_end (&builder);
}

static GVariant *
bytes (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_bytestring ("abc");
}

static GVariant *
dict (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_parsed ("@a{sx} {'one': 1, 'two': 2}");
}

static GVariant *
object (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  GObject *result = g_object_new (G_TYPE_OBJECT, NULL);

  g_object_set_data (result, "name", (gpointer) "texture");
  strand_context_take_object (context, result);
  return NULL;
}

static GVariant *
block (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_sleep (context, G_GINT64_CONSTANT (3600) * G_USEC_PER_SEC, error);
  return NULL;
}

static GVariant *
hold (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  gate_pass (&the_gate);
  return NULL;
}

static GVariant *
thread (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_uint64 ((guint64) (gsize) g_thread_self ());
}

static GVariant *
note_data (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_atomic_pointer_set (&fixture_last_data, strand_context_get_data (context));
  return NULL;
}

static GVariant *
progress (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  strand_context_set_progress (context, 0.25, "a quarter");
  strand_context_set_metadata (context, "colour", g_variant_new_string ("red"));
  gate_pass (&the_gate);
  return g_variant_new_string ("done");
}

static GVariant *
wrong (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  return g_variant_new_string ("not a number");
}

static const struct
{
  const char *name;
  const char *signature;
  StrandTraits traits;
  StrandFunc func;
} functions[] = {
  { "test.nothing", "", STRAND_TRAIT_NONE, nothing },
  { "test.echo", "text:s -> s", STRAND_TRAIT_NONE, echo },
  { "test.add", "a:x b:x -> x", STRAND_TRAIT_NONE, add },
  { "test.sum", "a:i b:i rest:a{sv} -> i", STRAND_TRAIT_NONE, sum },
  { "test.fail", "message:s", STRAND_TRAIT_NONE, fail },
  { "test.count", "n:u -> u", STRAND_TRAIT_NONE, emit_numbers },
  { "test.list", "n:u -> au", STRAND_TRAIT_NONE, list_numbers },
  { "test.bytes", "-> ay", STRAND_TRAIT_NONE, bytes },
  { "test.dict", "-> a{sx}", STRAND_TRAIT_NONE, dict },
  { "test.object", "-> object", STRAND_TRAIT_NONE, object },
  { "test.block", "", STRAND_TRAIT_NONE, block },
  { "test.hold", "", STRAND_TRAIT_NONE, hold },
  { "test.thread", "-> t", STRAND_TRAIT_NONE, thread },
  { "test.data", "", STRAND_TRAIT_NONE, note_data },
  { "test.progress", "-> s", STRAND_TRAIT_NONE, progress },
  { "test.wrong", "-> x", STRAND_TRAIT_NONE, wrong },
  { "test.main", "", STRAND_TRAIT_MAIN_THREAD_ONLY, nothing },
  { "test.single", "", STRAND_TRAIT_NOT_REENTRANT, nothing },
};

void
fixture_add_functions (void)
{
  StrandRegistry *registry = strand_registry_get_default ();

  gate_init (&the_gate);
  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandFunction) function =
          strand_function_new (functions[i].name, functions[i].signature, NULL, functions[i].traits,
                               functions[i].func, NULL, NULL, &error);

      g_assert_no_error (error);
      strand_registry_add_function (registry, function, &error);
      g_assert_no_error (error);
    }
}

StrandFunction *
fixture_function (const char *name)
{
  g_autoptr(GError) error = NULL;
  StrandFunction *function = strand_registry_lookup (strand_registry_get_default (), name, &error);

  g_assert_no_error (error);
  return function;
}

gpointer
make_object (StrandKind kind, const char *type, const char *first_property, ...)
{
  g_autoptr(GError) error = NULL;
  GType gtype = strand_plugins_load (strand_plugins_get_default (), kind, type, &error);
  gpointer made;
  va_list args;

  g_assert_no_error (error);
  va_start (args, first_property);
  made = g_object_new_valist (gtype, first_property, args);
  va_end (args);
  return made;
}

void
close_runner (StrandTaskrunner *runner)
{
  g_autoptr(GError) error = NULL;

  strand_taskrunner_close (runner, strand_clock_monotonic_us () + DEADLINE_US, &error);
  g_assert_no_error (error);
  g_object_unref (runner);
}

void
close_backend (StrandBackend *backend)
{
  g_autoptr(GError) error = NULL;

  strand_backend_close (backend, strand_clock_monotonic_us () + DEADLINE_US, &error);
  g_assert_no_error (error);
  g_object_unref (backend);
}

Told *
told_new (void)
{
  Told *told = g_new0 (Told, 1);

  g_mutex_init (&told->lock);
  told->log = g_ptr_array_new_with_free_func (g_free);
  return told;
}

void
told_free (Told *told)
{
  g_ptr_array_unref (told->log);
  g_clear_pointer (&told->value, g_variant_unref);
  g_clear_error (&told->error);
  g_mutex_clear (&told->lock);
  g_free (told);
}

char *
told_dup_log (Told *told)
{
  GString *all = g_string_new (NULL);

  g_mutex_lock (&told->lock);
  for (guint i = 0; i < told->log->len; i++)
    g_string_append_printf (all, "%s%s", i > 0 ? "; " : "", (const char *) g_ptr_array_index (told->log, i));
  g_mutex_unlock (&told->lock);
  return g_string_free (all, FALSE);
}

guint
told_count_over (Told *told)
{
  guint n;

  g_mutex_lock (&told->lock);
  n = told->n_ends + told->n_errors;
  g_mutex_unlock (&told->lock);
  return n;
}

/* Enough to compare, little enough for a million calls. */
static void
note (Told *told, char *line)
{
  told->thread = g_thread_self ();
  if (told->log->len < 100)
    g_ptr_array_add (told->log, line);
  else
    g_free (line);
}

gboolean
told_on_iter (StrandCall *call, GVariant *item, gpointer data, GError **error)
{
  Told *told = data;
  g_autofree char *text = g_variant_print (item, FALSE);

  g_mutex_lock (&told->lock);
  told->n_items++;
  note (told, g_strdup_printf ("item %" G_GUINT64_FORMAT "/%u %s", strand_call_get_item_index (call),
                               strand_call_get_item_attempt (call), text));
  g_mutex_unlock (&told->lock);
  return TRUE;
}

void
told_on_end (StrandCall *call, GVariant *value, gpointer data)
{
  Told *told = data;
  g_autofree char *text = value != NULL ? g_variant_print (value, FALSE) : g_strdup ("nothing");

  g_mutex_lock (&told->lock);
  told->n_ends++;
  g_clear_pointer (&told->value, g_variant_unref);
  told->value = value != NULL ? g_variant_ref (value) : NULL;
  note (told, g_strconcat ("end ", text, NULL));
  g_mutex_unlock (&told->lock);
}

void
told_on_error (StrandCall *call, const GError *error, gpointer data)
{
  Told *told = data;

  g_mutex_lock (&told->lock);
  told->n_errors++;
  g_clear_error (&told->error);
  told->error = g_error_copy (error);
  note (told,
        g_strdup_printf ("error %s %d %s", g_quark_to_string (error->domain), error->code, error->message));
  g_mutex_unlock (&told->lock);
}

void
told_listen (Told *told, StrandTask *task)
{
  strand_task_on_iter (task, told_on_iter, told, NULL);
  strand_task_on_end (task, told_on_end, told, NULL);
  strand_task_on_error (task, told_on_error, told, NULL);
}

GSubprocess *
fixture_spawn (const char *first, ...)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) argv = g_ptr_array_new ();
  GSubprocess *process;
  va_list args;

  g_ptr_array_add (argv, (gpointer) program);
  va_start (args, first);
  for (const char *word = first; word != NULL; word = va_arg (args, const char *))
    g_ptr_array_add (argv, (gpointer) word);
  va_end (args);
  g_ptr_array_add (argv, NULL);
  process = g_subprocess_newv ((const char *const *) argv->pdata,
                               G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDIN_PIPE, &error);
  g_assert_no_error (error);
  return process;
}

char *
fixture_read_line (GSubprocess *process)
{
  GInputStream *stream = g_subprocess_get_stdout_pipe (process);
  GString *line = g_string_new (NULL);
  char c;

  while (g_input_stream_read (stream, &c, 1, NULL, NULL) == 1 && c != '\n')
    g_string_append_c (line, c);
  return g_string_free (line, FALSE);
}

StrandBackend *
fixture_backend (StrandStore *store)
{
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 2, NULL);

  return make_backend ("local", "taskrunner", runner, "store", store, "grace", (gint64) 0, NULL);
}

static void
say (const char *line)
{
  g_print ("%s\n", line);
}

static gpointer
open_gate_on_a_line (gpointer unused)
{
  if (getchar () != EOF)
    gate_open (&the_gate);
  return NULL;
}

static gpointer
say_when_at_the_gate (gpointer unused)
{
  gate_wait_inside (&the_gate, 1);
  say ("running");
  return NULL;
}

static int
call_for_another_process (const char *folder, const char *key, const char *name)
{
  g_autoptr(StrandStore) store = make_store ("filesystem", "path", folder, NULL);
  StrandBackend *backend = fixture_backend (store);
  g_autoptr(StrandFunction) function = fixture_function (name);
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;

  g_thread_unref (g_thread_new ("reader", open_gate_on_a_line, NULL));
  strand_options_set_key (options, key);
  handle = strand_task_call_full (task, NULL, NULL, options);
  say ("launched");
  g_thread_unref (g_thread_new ("gate", say_when_at_the_gate, NULL));
  strand_handle_wait (handle, -1, &error);
  g_assert_no_error (error);
  say (strand_status_to_string (strand_handle_get_status (handle)));
  strand_handle_get_error (handle);
  close_backend (backend);
  return 0;
}

gboolean
fixture_is_second_process (int argc, char **argv, int *status)
{
  program = argv[0];
  if (argc != 5 || strcmp (argv[1], "--call") != 0)
    return FALSE;
  fixture_add_functions ();
  *status = call_for_another_process (argv[2], argv[3], argv[4]);
  return TRUE;
}

GSubprocess *
fixture_spawn_call (const char *folder, const char *key, const char *function)
{
  return fixture_spawn ("--call", folder, key, function, NULL);
}

void
fixture_expect_line (GSubprocess *process, const char *expected)
{
  g_autofree char *line = fixture_read_line (process);

  g_assert_cmpstr (line, ==, expected);
}

void
fixture_send_line (GSubprocess *process)
{
  g_autoptr(GError) error = NULL;
  GOutputStream *stream = g_subprocess_get_stdin_pipe (process);

  g_output_stream_write_all (stream, "\n", 1, NULL, NULL, &error);
  g_assert_no_error (error);
  g_output_stream_flush (stream, NULL, &error);
  g_assert_no_error (error);
}

void
fixture_expect_exit (GSubprocess *process)
{
  g_autoptr(GError) error = NULL;

  g_subprocess_wait_check (process, NULL, &error);
  g_assert_no_error (error);
}

char *
fixture_make_folder (void)
{
  g_autoptr(GError) error = NULL;
  char *folder = g_dir_make_tmp ("strand-test-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

static void
remove_tree (const char *path)
{
  g_autoptr(GDir) dir = g_file_test (path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      remove_tree (child);
    }
  g_remove (path);
}

void
fixture_remove_folder (char *folder)
{
  remove_tree (folder);
  g_free (folder);
}
