/* test-trace-middleware.c — headers that are read strictly, spans that hang together, and a file that a
 * collector reads.
 *
 * The file is held to the protocol by otlp-shape.py, which tells the spans in it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "../../plugins/middleware/trace-context.h"
#include "middleware-fixture.h"

#include <string.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"

static int n_warnings; /* atomic */
static int quiet;      /* atomic: count warnings, print none */

static GLogWriterOutput
count_warnings (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  if ((level & G_LOG_LEVEL_WARNING) == 0 || !g_atomic_int_get (&quiet))
    return g_log_writer_default (level, fields, n_fields, data);
  g_atomic_int_inc (&n_warnings);
  return G_LOG_WRITER_HANDLED;
}

/* --- reading what was written -------------------------------------------------------------------------- */

/* As otlp-shape.py tells it. */
typedef enum
{
  TRACE_ID,
  SPAN_ID,
  PARENT_ID,
  KIND,
  NAME,
  STATUS,
  ATTEMPT,
  STATE,
} Column;

typedef struct
{
  char *folder;
  char *file;
  StrandStack *stack;
  GPtrArray *spans; /* of GStrv */
} World;

#define STACK(settings, runner)                                                                              \
  "[middleware trace]\ntype=trace\nfile=%s\n" settings "\n[backend b]\ntype=" runner                         \
  "\nworkers=2\nstore=memory\nmiddleware=trace\nretry-delay=0\n"

static void
strv_free (gpointer data)
{
  g_strfreev (data);
}

static void
world_init (World *world, const char *text)
{
  g_auto(GStrv) halves = g_strsplit (text, "%s", 2);

  world->folder = fixture_make_folder ();
  world->file = g_build_filename (world->folder, "spans.jsonl", NULL);
  world->spans = g_ptr_array_new_with_free_func (strv_free);
  world->stack = stack_new ("%s%s%s", halves[0], world->file, halves[1]);
}

static void
world_clear (World *world)
{
  if (world->stack != NULL)
    stack_close (world->stack);
  fixture_remove_folder (world->folder);
  g_free (world->file);
  g_ptr_array_unref (world->spans);
}

/* Closes the stack, which writes what is left, and has the file looked at. */
static void
read_spans (World *world)
{
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "plugins", "otlp-shape.py", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *output = NULL;
  g_auto(GStrv) lines = NULL;

  stack_close (g_steal_pointer (&world->stack));
  if (!g_file_test (world->file, G_FILE_TEST_EXISTS))
    return;
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, "python3", script, world->file, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, NULL, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (process));
  lines = g_strsplit (output, "\n", -1);
  for (guint i = 0; lines[i] != NULL && *lines[i] != '\0'; i++)
    g_ptr_array_add (world->spans, g_strsplit (lines[i], " ", -1));
}

static const char *
cell (World *world, guint span, Column column)
{
  g_assert_cmpuint (span, <, world->spans->len);
  return ((GStrv) world->spans->pdata[span])[column];
}

static StrandHandle *
call_with (World *world, const char *function, GVariant *arguments, const char *parent, const char *state)
{
  g_autoptr(StrandOptions) options = strand_options_new ();

  if (parent != NULL)
    strand_options_set_header (options, "traceparent", parent);
  if (state != NULL)
    strand_options_set_header (options, "tracestate", state);
  return stack_call (world->stack, function, arguments, options);
}

static void
do_call (World *world, const char *function, GVariant *arguments, const char *parent, const char *state)
{
  g_autoptr(StrandHandle) handle = call_with (world, function, arguments, parent, state);

  strand_handle_get_error (handle);
}

/* --- the header ---------------------------------------------------------------------------------------- */

static void
test_traceparent_is_read_strictly (void)
{
  static const char *const good[] = { PARENT, "00-" TRACE "-" SPAN "-00", "00-" TRACE "-" SPAN "-ff",
                                      "cc-" TRACE "-" SPAN "-01", "cc-" TRACE "-" SPAN "-01-more" };
  static const char *const bad[] = {
    "",
    "00",
    "00-" TRACE "-" SPAN,
    "00-" TRACE "-" SPAN "-",
    "00-" TRACE "-" SPAN "-1",
    PARENT "-",
    PARENT "-more",
    PARENT " ",
    " " PARENT,
    "cc-" TRACE "-" SPAN "-01more",
    "ff-" TRACE "-" SPAN "-01",
    "0-" TRACE "-" SPAN "-01",
    "0x-" TRACE "-" SPAN "-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
    "00-" TRACE "-00F067AA0BA902B7-01",
    "00-" TRACE "-" SPAN "-0G",
    "00-00000000000000000000000000000000-" SPAN "-01",
    "00-" TRACE "-0000000000000000-01",
    "00_" TRACE "-" SPAN "-01",
    "00-" TRACE "_" SPAN "-01",
    "00-" TRACE "-" SPAN "_01",
  };
  TraceContext context;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_assert_true (trace_context_parse (good[i], &context));
      g_assert_cmpstr (context.trace_id, ==, TRACE);
      g_assert_cmpstr (context.span_id, ==, SPAN);
      g_assert_cmpint (context.sampled, ==, i != 1);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    if (trace_context_parse (bad[i], &context))
      g_error ("'%s' was taken for a traceparent", bad[i]);
}

static void
test_tracestate_is_looked_at (void)
{
  g_autofree char *long_one = g_strnfill (600, 'a');
  g_autofree char *too_long = g_strconcat ("k=", long_one, NULL);
  GString *many = g_string_new ("k=v");

  for (guint i = 0; i < 32; i++)
    g_string_append (many, ",k=v");
  g_assert_true (trace_state_is_usable ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
  g_assert_true (trace_state_is_usable ("a@b=c , d=e,"));
  g_assert_false (trace_state_is_usable (""));
  g_assert_false (trace_state_is_usable ("rojo"));
  g_assert_false (trace_state_is_usable ("=x"));
  g_assert_false (trace_state_is_usable ("Rojo=x"));
  g_assert_false (trace_state_is_usable ("a=b=c"));
  g_assert_false (trace_state_is_usable ("a=\x01"));
  g_assert_false (trace_state_is_usable (too_long));
  g_assert_false (trace_state_is_usable (many->str));
  g_string_free (many, TRUE);
}

static void
test_one_trace_is_sampled_alike_everywhere (void)
{
  guint n = 0;

  g_assert_true (trace_id_is_sampled ("000000000000000000"
                                      "3fffffffffffff",
                                      0.25));
  g_assert_false (trace_id_is_sampled ("000000000000000000"
                                       "40000000000000",
                                       0.25));
  g_assert_true (trace_id_is_sampled ("ffffffffffffffffffffffffffffffff", 1));
  g_assert_false (trace_id_is_sampled ("000000000000000000"
                                       "00000000000000",
                                       0));
  /* Ids are made evenly: 40 000 draws of a quarter stray less than 6 standard deviations, 87 each. */
  for (guint i = 0; i < 40000; i++)
    {
      char id[TRACE_ID_DIGITS + 1];

      trace_new_trace_id (id);
      n += trace_id_is_sampled (id, 0.25);
    }
  g_assert_cmpuint (n, >, 10000 - 520);
  g_assert_cmpuint (n, <, 10000 + 520);
}

/* --- spans --------------------------------------------------------------------------------------------- */

static void
test_application_call_and_run_share_a_trace (void)
{
  World world;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) headers = NULL;
  g_autofree char *expected = NULL;
  const char *parent, *state;

  world_init (&world, STACK ("service=test", "process"));
  handle = call_with (&world, "demo.add", g_variant_new ("(xx)", (gint64) 2, (gint64) 3), PARENT, "rojo=1");
  headers = strand_call_dup_headers (strand_handle_get_call (handle));
  g_assert_true (g_variant_lookup (headers, "traceparent", "&s", &parent));
  g_assert_true (g_variant_lookup (headers, "tracestate", "&s", &state));
  g_assert_cmpstr (state, ==, "rojo=1");

  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 2);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpstr (cell (&world, i, TRACE_ID), ==, TRACE);
      g_assert_cmpstr (cell (&world, i, STATE), ==, "rojo=1");
      g_assert_cmpstr (cell (&world, i, STATUS), ==, "0");
    }
  g_assert_cmpstr (cell (&world, 0, NAME), ==, "call_demo.add");
  g_assert_cmpstr (cell (&world, 0, KIND), ==, "4");
  g_assert_cmpstr (cell (&world, 0, PARENT_ID), ==, SPAN);
  g_assert_cmpstr (cell (&world, 1, NAME), ==, "run_demo.add");
  g_assert_cmpstr (cell (&world, 1, KIND), ==, "5");
  g_assert_cmpstr (cell (&world, 1, ATTEMPT), ==, "1");
  g_assert_cmpstr (cell (&world, 1, PARENT_ID), ==, cell (&world, 0, SPAN_ID));
  g_assert_cmpstr (cell (&world, 0, SPAN_ID), !=, cell (&world, 1, SPAN_ID));
  expected = g_strdup_printf ("00-" TRACE "-%s-01", cell (&world, 0, SPAN_ID));
  g_assert_cmpstr (parent, ==, expected);
  world_clear (&world);
}

static GVariant *
tell_parent (StrandContext *context, GVariant *arguments, gpointer data, GError **error)
{
  g_autoptr(GVariant) headers = strand_context_dup_headers (context);
  const char *parent = "none";

  g_variant_lookup (headers, "traceparent", "&s", &parent);
  return g_variant_new_string (parent);
}

static void
test_the_function_can_go_on (void)
{
  World world;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) value = NULL;
  TraceContext context;

  world_init (&world, STACK ("", "thread"));
  handle = call_with (&world, "test.parent", NULL, PARENT, NULL);
  value = strand_handle_get_result (handle, NULL);
  g_assert_true (trace_context_parse (g_variant_get_string (value, NULL), &context));
  g_assert_cmpstr (context.trace_id, ==, TRACE);
  world_clear (&world);
}

/* And what came with a parent that means nothing is not passed on. */
static void
test_a_bad_parent_starts_a_trace (void)
{
  World world;
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) headers = NULL;
  const char *state;

  world_init (&world, STACK ("", "thread"));
  handle = call_with (&world, "test.nothing", NULL, "00-" TRACE "-0000000000000000-01", "rojo=1");
  headers = strand_call_dup_headers (strand_handle_get_call (handle));
  g_assert_true (g_variant_lookup (headers, "tracestate", "&s", &state));
  g_assert_cmpstr (state, ==, "");
  do_call (&world, "test.nothing", NULL, NULL, NULL);

  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 4);
  g_assert_cmpstr (cell (&world, 0, TRACE_ID), !=, TRACE);
  g_assert_cmpstr (cell (&world, 0, PARENT_ID), ==, "-");
  g_assert_cmpstr (cell (&world, 0, STATE), ==, "-");
  g_assert_cmpstr (cell (&world, 1, TRACE_ID), ==, cell (&world, 0, TRACE_ID));
  g_assert_cmpstr (cell (&world, 2, TRACE_ID), !=, cell (&world, 0, TRACE_ID));
  world_clear (&world);
}

static void
test_each_attempt_has_a_span (void)
{
  World world;
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;

  world_init (&world, STACK ("", "thread"));
  strand_options_set_retries (options, 1);
  handle = stack_call (world.stack, "test.fail", g_variant_new ("(s)", "no \"such\" tree\n"), options);
  strand_handle_get_error (handle);

  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 3);
  for (guint i = 1; i < 3; i++)
    {
      g_assert_cmpstr (cell (&world, i, STATUS), ==, "2");
      g_assert_cmpstr (cell (&world, i, ATTEMPT), ==, i == 1 ? "1" : "2");
      g_assert_cmpstr (cell (&world, i, PARENT_ID), ==, cell (&world, 0, SPAN_ID));
    }
  world_clear (&world);
}

static void
test_ratio_and_parent_decide (void)
{
  static const struct
  {
    const char *settings, *parent;
    guint n_spans;
  } cases[] = {
    { STACK ("ratio=0", "thread"), NULL, 0 },
    { STACK ("ratio=1", "thread"), NULL, 2 },
    { STACK ("ratio=0", "thread"), PARENT, 2 },
    { STACK ("ratio=1", "thread"), "00-" TRACE "-" SPAN "-00", 0 },
    { STACK ("ratio=0\nparent-based=false", "thread"), PARENT, 0 },
    { STACK ("ratio=1\nparent-based=false", "thread"), "00-" TRACE "-" SPAN "-00", 2 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      World world;
      g_autoptr(StrandHandle) handle = NULL;
      g_autoptr(GVariant) headers = NULL;
      const char *parent;

      world_init (&world, cases[i].settings);
      handle = call_with (&world, "test.nothing", NULL, cases[i].parent, NULL);
      headers = strand_call_dup_headers (strand_handle_get_call (handle));
      g_assert_true (g_variant_lookup (headers, "traceparent", "&s", &parent));
      g_assert_true (g_str_has_suffix (parent, cases[i].n_spans > 0 ? "-01" : "-00"));
      read_spans (&world);
      g_assert_cmpuint (world.spans->len, ==, cases[i].n_spans);
      world_clear (&world);
    }
}

/* --- the file ------------------------------------------------------------------------------------------ */

#define N_CALLS 300

static void
trace_calls (const char *file)
{
  StrandStack *stack = stack_new ("[middleware trace]\ntype=trace\nfile=%s\ninterval=1ms\n[backend b]\n"
                                  "type=thread\nworkers=2\nstore=memory\nmiddleware=trace\n",
                                  file);
  static const StormCall calls[] = { { "test.nothing", "()" }, { "test.fail", "('no',)" } };

  stack_storm (stack, 2, N_CALLS / 2, calls, G_N_ELEMENTS (calls));
  stack_close (stack);
}

static void
test_programs_share_a_file (void)
{
  World world;
  GSubprocess *processes[3];

  world_init (&world, STACK ("interval=1ms", "thread"));
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    processes[i] = fixture_spawn ("--trace", world.file, NULL);
  trace_calls (world.file);
  for (guint i = 0; i < G_N_ELEMENTS (processes); i++)
    {
      fixture_expect_exit (processes[i]);
      g_object_unref (processes[i]);
    }
  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 4 * 2 * N_CALLS);
  world_clear (&world);
}

static void
test_eight_threads_lose_no_span (void)
{
  static const StormCall calls[] = { { "test.nothing", "()" }, { "test.fail", "('no',)" } };
  g_autoptr(GHashTable) ids = g_hash_table_new (g_str_hash, g_str_equal);
  World world;

  world_init (&world, STACK ("interval=10ms", "thread"));
  g_assert_cmpuint (stack_storm (world.stack, 8, 1000, calls, G_N_ELEMENTS (calls)), ==, 4000);
  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 16000);
  for (guint i = 0; i < world.spans->len; i++)
    g_hash_table_add (ids, (gpointer) cell (&world, i, SPAN_ID));
  g_assert_cmpuint (g_hash_table_size (ids), ==, 16000);
  world_clear (&world);
}

/* A program that just exits: what waits for an interval of an hour is written all the same. */
static void
test_exit_writes_the_rest (void)
{
  World world;
  g_autoptr(GSubprocess) process = NULL;

  world_init (&world, STACK ("", "thread"));
  process = fixture_spawn ("--exit", world.file, NULL);
  fixture_expect_exit (process);
  read_spans (&world);
  g_assert_cmpuint (world.spans->len, ==, 2);
  world_clear (&world);
}

/* The default stack is never let go, as in programs. */
static int
trace_and_exit (const char *file)
{
  g_autoptr(StrandStack) stack =
      stack_new ("[middleware trace]\ntype=trace\nfile=%s\ninterval=1h\n[backend b]\n"
                 "type=thread\nworkers=2\nstore=memory\nmiddleware=trace\n",
                 file);
  g_autoptr(StrandHandle) handle = NULL;

  strand_stack_set_default (stack);
  handle = stack_call (stack, "test.nothing", NULL, NULL);
  g_assert_true (strand_handle_is_ready (handle));
  return 0;
}

static void
test_spans_that_find_no_room_are_counted (void)
{
  static const StormCall calls[] = { { "test.nothing", "()" } };
  StrandStack *stack = stack_new ("[middleware trace]\ntype=trace\nfile=/nowhere/spans\nmax-buffer=4KiB\n"
                                  "[backend b]\ntype=thread\nworkers=2\nstore=memory\nmiddleware=trace\n");
  g_autoptr(GObject) trace = stack_middleware (stack, "trace");
  guint64 n_lost = 0;
  gboolean worked = TRUE;
  GLogLevelFlags fatal = g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);

  g_atomic_int_set (&quiet, TRUE);
  stack_storm (stack, 2, 100, calls, 1);
  g_signal_emit_by_name (trace, "flush", &worked);
  g_object_get (trace, "lost", &n_lost, NULL);
  g_assert_cmpuint (n_lost, ==, 400);
  g_assert_cmpint (g_atomic_int_get (&n_warnings), >, 0);
  stack_close (stack);
  g_clear_object (&trace);
  g_atomic_int_set (&quiet, FALSE);
  g_log_set_always_fatal (fatal);
}

static void
test_without_a_file_no_call_passes (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "trace", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_false (g_initable_init (G_INITABLE (middleware), NULL, &error));
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  g_assert_nonnull (strstr (error->message, "'file'"));
}

int
main (int argc, char **argv)
{
  g_autoptr(StrandFunction) function = NULL;
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 3 && (strcmp (argv[1], "--trace") == 0 || strcmp (argv[1], "--exit") == 0))
    {
      fixture_add_functions ();
      if (strcmp (argv[1], "--exit") == 0)
        return trace_and_exit (argv[2]);
      trace_calls (argv[2]);
      return 0;
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  function =
      strand_function_new ("test.parent", "-> s", NULL, STRAND_TRAIT_NONE, tell_parent, NULL, NULL, NULL);
  strand_registry_add_function (strand_registry_get_default (), function, NULL);
  g_log_set_writer_func (count_warnings, NULL, NULL);

#define ADD(name, func) g_test_add_func ("/trace/" name, func)
  ADD ("traceparent-is-read-strictly", test_traceparent_is_read_strictly);
  ADD ("tracestate-is-looked-at", test_tracestate_is_looked_at);
  ADD ("one-trace-is-sampled-alike-everywhere", test_one_trace_is_sampled_alike_everywhere);
  ADD ("application-call-and-run-share-a-trace", test_application_call_and_run_share_a_trace);
  ADD ("the-function-can-go-on", test_the_function_can_go_on);
  ADD ("a-bad-parent-starts-a-trace", test_a_bad_parent_starts_a_trace);
  ADD ("each-attempt-has-a-span", test_each_attempt_has_a_span);
  ADD ("ratio-and-parent-decide", test_ratio_and_parent_decide);
  ADD ("programs-share-a-file", test_programs_share_a_file);
  ADD ("eight-threads-lose-no-span", test_eight_threads_lose_no_span);
  ADD ("exit-writes-the-rest", test_exit_writes_the_rest);
  ADD ("spans-that-find-no-room-are-counted", test_spans_that_find_no_room_are_counted);
  ADD ("without-a-file-no-call-passes", test_without_a_file_no_call_passes);
  return g_test_run ();
}
