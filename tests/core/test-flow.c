/* test-flow.c — chains and groups that one object leaves in a store and others carry out.
 *
 * What the store is must make no difference, nor who dies at which moment: the cases run over several stores,
 * and one of them cuts the power after each write in turn. SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "call-fixture.h"
#include "store-fixture.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECOND ((gint64) G_USEC_PER_SEC)

typedef struct
{
  char *folder;
  StrandStore *store;
  StrandBackend *backend;
  StrandTaskrunner *runner;
  StrandReader *reader;
} Fixture;

/* --- functions --------------------------------------------------------------------------------------------
 */

static GMutex runs_lock;
static GHashTable *runs; /* how often each call ran, by key */

static guint
count_runs (const char *key)
{
  guint n;

  g_mutex_lock (&runs_lock);
  n = GPOINTER_TO_UINT (g_hash_table_lookup (runs, key));
  g_mutex_unlock (&runs_lock);
  return n;
}

static void
note_run (StrandContext *context)
{
  const char *key = strand_context_get_key (context);

  g_mutex_lock (&runs_lock);
  g_hash_table_insert (runs, g_strdup (key),
                       GUINT_TO_POINTER (1 + GPOINTER_TO_UINT (g_hash_table_lookup (runs, key))));
  g_mutex_unlock (&runs_lock);
}

/* Fails the test if any call ran more than once. */
static void
assert_each_ran_once (guint n_calls)
{
  GHashTableIter iter;
  gpointer key, n;

  g_mutex_lock (&runs_lock);
  g_assert_cmpuint (g_hash_table_size (runs), ==, n_calls);
  g_hash_table_iter_init (&iter, runs);
  while (g_hash_table_iter_next (&iter, &key, &n))
    if (GPOINTER_TO_UINT (n) != 1)
      g_error ("call '%s' ran %u times", (char *) key, GPOINTER_TO_UINT (n));
  g_mutex_unlock (&runs_lock);
}

static GVariant *
plus (StrandContext *context, GVariant *arguments, gpointer unused, GError **error)
{
  gint64 a, b;

  note_run (context);
  g_variant_get (arguments, "(xx)", &a, &b);
  return g_variant_new_int64 (a + b);
}

static GVariant *
total (StrandContext *context, GVariant *arguments, gpointer unused, GError **error)
{
  g_autoptr(GVariant) values = g_variant_get_child_value (arguments, 0);
  gint64 sum = 0;

  note_run (context);
  for (gsize i = 0; i < g_variant_n_children (values); i++)
    {
      g_autoptr(GVariant) boxed = g_variant_get_child_value (values, i);
      g_autoptr(GVariant) value = g_variant_get_variant (boxed);

      sum += g_variant_get_int64 (value);
    }
  return g_variant_new_int64 (sum);
}

/* Fails in its first attempt. */
static GVariant *
second_try (StrandContext *context, GVariant *arguments, gpointer unused, GError **error)
{
  gint64 a;

  if (strand_context_get_attempt (context) == 1)
    {
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_AGAIN, "not yet");
      return NULL;
    }
  g_variant_get (arguments, "(x)", &a);
  return g_variant_new_int64 (a);
}

static void
add_functions (void)
{
  StrandRegistry *registry = strand_registry_get_default ();
  g_autoptr(GError) error = NULL;

  runs = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  fixture_add_functions ();
  strand_registry_add (registry, "flow.plus", "a:x b:x -> x", "The sum", plus, NULL, NULL, &error);
  g_assert_no_error (error);
  strand_registry_add (registry, "flow.total", "values:av -> x", "The sum of all", total, NULL, NULL, &error);
  g_assert_no_error (error);
  strand_registry_add (registry, "flow.second-try", "a:x -> x", "Works when tried again", second_try, NULL,
                       NULL, &error);
  g_assert_no_error (error);
}

/* --- the world --------------------------------------------------------------------------------------------
 */

static StrandReader *
start_reader (StrandStore *store, StrandTaskrunner *runner, guint jobs, gint64 lease_us)
{
  const char *const queues[] = { "default", NULL };
  g_autoptr(GError) error = NULL;
  StrandReader *reader =
      g_object_new (STRAND_TYPE_READER, "store", store, "taskrunner", runner, "queues", queues, "jobs", jobs,
                    "grace", SECOND / 10, "lease", lease_us, "retry-delay", G_GINT64_CONSTANT (0), NULL);

  g_assert_true (strand_reader_listen (reader, &error));
  g_assert_no_error (error);
  return reader;
}

static void
stop_reader (StrandReader *reader)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_reader_stop (reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  finalize_soon (reader);
}

static void
listen (Fixture *f)
{
  f->reader = start_reader (f->store, f->runner, 2, 15 * SECOND);
}

static void
set_up (Fixture *f, gconstpointer type)
{
  f->folder = fixture_make_folder ();
  f->store = fixture_open_store (type, f->folder);
  f->backend = make_backend ("store", "store", f->store, NULL);
  f->runner = make_runner ("thread", "workers", 2, NULL);
  g_mutex_lock (&runs_lock);
  g_hash_table_remove_all (runs);
  g_mutex_unlock (&runs_lock);
}

static void
tear_down (Fixture *f, gconstpointer type)
{
  if (f->reader != NULL)
    stop_reader (f->reader);
  close_backend (f->backend);
  close_runner (f->runner);
  strand_store_close (f->store);
  wait_until (g_atomic_int_get (&G_OBJECT (f->store)->ref_count) == 1);
  finalize_soon (f->store);
  fixture_remove_folder (f->folder);
}

static StrandHandle *
launch (Fixture *f, StrandFlow *flow, StrandOptions *options)
{
  g_autoptr(GError) error = NULL;
  StrandHandle *handle = strand_flow_launch (flow, f->backend, options, &error);

  g_assert_no_error (error);
  return handle;
}

/* What launching this flow is refused with. */
static void
assert_refused (Fixture *f, StrandFlow *flow, int code, const char *part)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) handle = strand_flow_launch (flow, f->backend, NULL, &error);

  g_assert_null (handle);
  g_assert_error (error, STRAND_ERROR, code);
  if (strstr (error->message, part) == NULL)
    g_error ("\"%s\" is not in \"%s\"", part, error->message);
  g_assert_cmpint (strand_store_count (f->store, &(StrandFilter){ .kind = "*" }, NULL), ==, 0);
}

static char *
finish (StrandHandle *handle)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;

  wait_until (strand_handle_is_ready (handle));
  value = strand_handle_get_result (handle, &error);
  if (value == NULL)
    return g_strdup_printf ("%s: %s", strand_status_to_string (strand_handle_get_status (handle)),
                            error->message);
  return g_variant_print (value, FALSE);
}

static StrandRecord *
record_of (StrandStore *store, const char *flow, const char *member)
{
  g_autofree char *key = g_strconcat (flow, member, NULL);
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  return record;
}

static StrandStatus
status_of (Fixture *f, StrandHandle *flow, const char *member)
{
  g_autoptr(StrandRecord) record = record_of (f->store, strand_handle_get_key (flow), member);

  return strand_record_get_status (record);
}

static gboolean
exists (StrandStore *store, const char *flow, const char *member)
{
  g_autofree char *key = g_strconcat (flow, member, NULL);
  g_autoptr(StrandRecord) record = strand_store_get (store, key, NULL);

  return record != NULL;
}

static StrandFlow *
new_sum (gint64 start, guint n_more)
{
  StrandFlow *chain = strand_flow_new_chain ();

  strand_flow_add (chain, "flow.plus", "(xx)", start, (gint64) 0);
  for (guint i = 0; i < n_more; i++)
    strand_flow_add (chain, "flow.plus", "(x)", (gint64) 1);
  return chain;
}

/* --- values
 * ------------------------------------------------------------------------------------------------- */

static void
test_chain_passes_values_on (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (40, 2);
  g_autoptr(StrandHandle) handle = launch (f, chain, NULL);
  g_autofree char *value = NULL;

  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "42");
  assert_each_ran_once (3);
}

static void
test_value_takes_the_first_free_argument (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) arguments = NULL;
  g_autofree char *text = NULL;

  strand_flow_add (chain, "flow.plus", "(xx)", (gint64) 1, (gint64) 2);
  strand_flow_add_call (chain, "flow.plus", NULL, g_variant_new_parsed ("{'b': <int64 10>}"), NULL);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "13");
  record = record_of (f->store, strand_handle_get_key (handle), ".1");
  arguments = strand_record_dup_arguments (record, NULL);
  text = g_variant_print (arguments, FALSE);
  g_assert_cmpstr (text, ==, "(3, 10)");
}

static void
test_nothing_is_passed_on_as_nothing (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (chain, "test.nothing", NULL);
  strand_flow_add (chain, "test.echo", "(s)", "afterwards");
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "'afterwards'");
}

static void
test_group_has_its_values_in_order (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  for (gint64 i = 0; i < 5; i++)
    strand_flow_add (group, "flow.plus", "(xx)", i, (gint64) 10);
  strand_flow_add (group, "test.echo", "(s)", "six");
  strand_flow_add (group, "test.nothing", NULL);
  handle = launch (f, group, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "[<int64 10>, <int64 11>, <int64 12>, <int64 13>, <int64 14>, <'six'>, <()>]");
  assert_each_ran_once (5);
}

static void
test_empty_group_has_no_values (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = launch (f, group, NULL);
  g_autofree char *value = finish (handle); /* without any reader */

  g_assert_cmpstr (value, ==, "[]");
}

static void
test_chord_and_groups_of_chains (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandFlow) inner = new_sum (1, 2);
  g_autoptr(StrandFlow) after = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add_flow (group, inner);                                  /* 3 */
  strand_flow_add (group, "flow.plus", "(xx)", (gint64) 3, (gint64) 4); /* 7 */
  strand_flow_add_flow (chain, group);
  strand_flow_add (chain, "flow.total", NULL);             /* 10: it gets both values */
  strand_flow_add (after, "flow.plus", "(x)", (gint64) 1); /* 11 */
  strand_flow_add (after, "flow.plus", "(x)", (gint64) 2); /* 12 */
  strand_flow_add_flow (chain, after);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "[<int64 11>, <int64 12>]");
  assert_each_ran_once (7);
}

static void
test_flow_is_launched_as_often_as_wanted (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (1, 1);
  g_autoptr(StrandHandle) first = launch (f, chain, NULL);
  g_autoptr(StrandHandle) second = NULL;
  g_autofree char *first_value = NULL, *second_value = NULL;

  strand_flow_add (chain, "flow.plus", "(x)", (gint64) 5);
  second = launch (f, chain, NULL);
  listen (f);
  first_value = finish (first);
  second_value = finish (second);
  g_assert_cmpstr (first_value, ==, "2");
  g_assert_cmpstr (second_value, ==, "7");
}

static void
test_group_of_a_thousand (Fixture *f, gconstpointer type)
{
  enum
  {
    N_CALLS = 1000
  };
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  for (gint64 i = 0; i < N_CALLS; i++)
    strand_flow_add (group, "flow.plus", "(xx)", i, (gint64) 1);
  strand_flow_add_flow (chain, group);
  strand_flow_add (chain, "flow.total", NULL);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "500500");
  assert_each_ran_once (N_CALLS + 1);
}

/* --- options
 * ------------------------------------------------------------------------------------------------ */

static void
test_options_hold_for_members (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandOptions) own = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandRecord) flow = NULL;
  g_autofree char *key = NULL;
  GVariant *headers;
  const char *text;

  strand_options_set_key (options, "report");
  strand_options_set_queue (options, "slow");
  strand_options_set_timeout (options, 7 * SECOND);
  strand_options_set_header (options, "trace", "t-1");
  strand_options_set_retries (own, 4);
  strand_options_set_header (own, "extra", "x");
  strand_flow_add_call (chain, "test.echo", g_variant_new ("(s)", "a"), NULL, own);
  handle = launch (f, chain, options);
  g_assert_cmpstr (strand_handle_get_key (handle), ==, "report");
  wait_until (strand_store_count (f->store, NULL, NULL) == 1);
  flow = record_of (f->store, "report", "");
  headers = strand_record_get_variant (flow, STRAND_FIELD_HEADERS);
  g_assert_true (g_variant_lookup (headers, "strand.members", "&s", &text));
  first = record_of (f->store, text, ".0");
  g_assert_cmpstr (strand_record_get_string (first, STRAND_FIELD_QUEUE), ==, "slow");
  g_assert_cmpint (strand_record_get_int (first, STRAND_FIELD_TIMEOUT), ==, 7 * SECOND);
  g_assert_cmpint (strand_record_get_int (first, STRAND_FIELD_RETRIES), ==, 4);
  headers = strand_record_get_variant (first, STRAND_FIELD_HEADERS);
  g_assert_true (g_variant_lookup (headers, "trace", "&s", &text));
  g_assert_cmpstr (text, ==, "t-1");
  g_assert_true (g_variant_lookup (headers, "extra", "&s", &text));
  g_assert_true (strand_store_cancel_call (f->store, "report", NULL));
  wait_until (strand_handle_is_ready (handle));
}

/* Middleware that stamps what is submitted, and counts what runs. */
typedef struct
{
  GObject parent_instance;
  int n_submitted; /* atomic, as the rest */
  int n_run;
  int n_stamped;
} StampGuard;
typedef GObjectClass StampGuardClass;

static void stamp_init (StrandMiddlewareInterface *iface);
GType stamp_guard_get_type (void);
G_DEFINE_TYPE_WITH_CODE (StampGuard, stamp_guard, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (STRAND_TYPE_MIDDLEWARE, stamp_init))

static StrandVerdict
stamp_submit (StrandMiddleware *middleware, StrandCall *call, GVariant **value, GError **error)
{
  g_atomic_int_inc (&((StampGuard *) middleware)->n_submitted);
  strand_call_set_header (call, "stamp", "seen");
  return STRAND_VERDICT_CONTINUE;
}

static StrandVerdict
stamp_before (StrandMiddleware *middleware, StrandCall *attempt, GVariant **value, GError **error)
{
  StampGuard *self = (StampGuard *) middleware;
  g_autoptr(GVariant) headers = strand_call_dup_headers (attempt);
  const char *stamp;

  g_atomic_int_inc (&self->n_run);
  if (g_variant_lookup (headers, "stamp", "&s", &stamp))
    g_atomic_int_inc (&self->n_stamped);
  return STRAND_VERDICT_CONTINUE;
}

static void
stamp_init (StrandMiddlewareInterface *iface)
{
  iface->submit = stamp_submit;
  iface->before = stamp_before;
}

static void
stamp_guard_class_init (StampGuardClass *klass)
{
}

static void
stamp_guard_init (StampGuard *self)
{
}

/* A part has no caller whose thread `submit` could run on: whoever ended the part before leaves it. What
 * `submit` said of the flow goes with each. */
static void
test_middleware_sees_the_flow_once_and_each_part (Fixture *f, gconstpointer type)
{
  g_autoptr(GObject) held = g_object_new (stamp_guard_get_type (), NULL);
  StampGuard *guard = (StampGuard *) held;
  g_autoptr(GListStore) list = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  const char *const queues[] = { "default", NULL };
  g_autoptr(StrandFlow) chain = new_sum (40, 2);
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;
  g_autoptr(GError) error = NULL;

  g_list_store_append (list, guard);
  close_backend (f->backend);
  f->backend = make_backend ("store", "store", f->store, "middleware", list, NULL);
  f->reader = g_object_new (STRAND_TYPE_READER, "store", f->store, "taskrunner", f->runner, "queues", queues,
                            "middleware", list, NULL);
  handle = launch (f, chain, NULL);
  g_assert_true (strand_reader_listen (f->reader, &error));
  value = finish (handle);
  g_assert_cmpstr (value, ==, "42");
  g_assert_cmpint (g_atomic_int_get (&guard->n_submitted), ==, 1);
  g_assert_cmpint (g_atomic_int_get (&guard->n_run), ==, 3);
  g_assert_cmpint (g_atomic_int_get (&guard->n_stamped), ==, 3);
}

/* A member's record outlives its ttl until the flow has ended. */
static void
test_members_are_kept_until_the_end (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (1, 0);
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_options_set_ttl (options, 0);
  for (guint i = 0; i < 3; i++)
    strand_flow_add_call (chain, "flow.plus", g_variant_new ("(x)", (gint64) 1), NULL, options);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "4");
  g_assert_true (exists (f->store, strand_handle_get_key (handle), ".0"));
  /* A step that came too late may have put one once more, which a reader ends without running it. */
  wait_until (!exists (f->store, strand_handle_get_key (handle), ".1"));
  wait_until (!exists (f->store, strand_handle_get_key (handle), ".3"));
}

/* --- mistakes
 * ----------------------------------------------------------------------------------------------- */

static void
test_mistakes_are_told_at_launch (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) unknown = strand_flow_new_chain ();
  g_autoptr(StrandFlow) wrong = strand_flow_new_chain ();
  g_autoptr(StrandFlow) full = strand_flow_new_chain ();
  g_autoptr(StrandFlow) missing = strand_flow_new_chain ();
  g_autoptr(StrandFlow) empty = strand_flow_new_chain ();
  g_autoptr(StrandFlow) outer = strand_flow_new_group ();
  g_autoptr(StrandFlow) object = strand_flow_new_group ();
  g_autoptr(StrandFlow) keyed = strand_flow_new_group ();
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_flow_add (unknown, "flow.plus", "(xx)", (gint64) 1, (gint64) 2);
  strand_flow_add (unknown, "flow.pluss", "(x)", (gint64) 1);
  assert_refused (f, unknown, STRAND_ERROR_UNKNOWN_FUNCTION, "part 2: ");

  strand_flow_add (wrong, "test.echo", "(s)", "a");
  strand_flow_add (wrong, "flow.plus", "(x)", (gint64) 1);
  assert_refused (f, wrong, STRAND_ERROR_TYPE, "argument 'b' is of type 's'");

  strand_flow_add (full, "flow.plus", "(xx)", (gint64) 1, (gint64) 1);
  strand_flow_add (full, "flow.plus", "(xx)", (gint64) 1, (gint64) 1);
  assert_refused (f, full, STRAND_ERROR_TYPE, "no argument left");

  strand_flow_add (missing, "flow.plus", "(x)", (gint64) 1);
  assert_refused (f, missing, STRAND_ERROR_TYPE, "argument 'b' is missing");

  assert_refused (f, empty, STRAND_ERROR_INVALID_ARGUMENT, "a chain without parts");
  strand_flow_add_flow (outer, empty);
  assert_refused (f, outer, STRAND_ERROR_INVALID_ARGUMENT, "part 1: a chain without parts");

  strand_flow_add (object, "test.object", NULL);
  assert_refused (f, object, STRAND_ERROR_UNSAFE, "returns an object");

  strand_options_set_key (options, "mine");
  strand_flow_add_call (keyed, "test.nothing", NULL, NULL, options);
  assert_refused (f, keyed, STRAND_ERROR_INVALID_ARGUMENT, "has the key 'mine'");
}

static void
test_flow_that_contains_itself_is_refused (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) inner = new_sum (1, 1);
  g_autoptr(StrandFlow) outer = strand_flow_new_group ();
  g_autoptr(StrandFlow) deep = new_sum (1, 0);

  strand_flow_add_flow (outer, inner);
  strand_flow_add_flow (inner, outer);
  assert_refused (f, inner, STRAND_ERROR_INVALID_ARGUMENT, "a part of itself");
  for (guint i = 0; i < 8; i++)
    {
      StrandFlow *next = strand_flow_new_group ();

      strand_flow_add_flow (next, deep);
      g_object_unref (deep);
      deep = next;
    }
  assert_refused (f, deep, STRAND_ERROR_INVALID_ARGUMENT, "levels deep");
}

static void
test_local_backend_is_refused (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (1, 1);
  StrandBackend *local = fixture_backend (f->store);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandHandle) handle = strand_flow_launch (chain, local, NULL, &error);

  g_assert_null (handle);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "such as 'store'"));
  close_backend (local);
}

/* Puts a flow's record with these parts; whoever advances it ends it so. */
static void
assert_flow_fails (Fixture *f, StrandRecord *flow, GVariant *parts, StrandError code)
{
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GError) error = NULL;

  strand_record_set_arguments (flow, parts, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (strand_store_put (f->store, flow, 0, &error));
  g_assert_no_error (error);
  g_assert_true (strand_store_advance_flow (f->store, strand_record_get_key (flow), &error));
  g_assert_no_error (error);
  record = record_of (f->store, strand_record_get_key (flow), "");
  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  error = strand_record_dup_error (record);
  g_assert_error (error, STRAND_ERROR, (int) code);
}

/* What a stranger may have written. */
static void
test_records_that_make_no_sense_fail (Fixture *f, gconstpointer type)
{
  static const char *const bodies[] = { "('strand.group', {'a': <1>}, [<'what?'>])",
                                        "('strand.chain', @a{sv} {}, [<('call', @a{sv} {}, @av [])>])",
                                        "('strand.chain', @a{sv} {}, @av [])",
                                        "('strand.group', @a{sv} {}, [<('loop', @a{sv} {}, @av [])>])",
                                        "(1, 2)" };

  for (guint i = 0; i < G_N_ELEMENTS (bodies); i++)
    {
      g_autofree char *key = g_strdup_printf ("odd-%u", i);
      g_autoptr(StrandRecord) record = strand_record_new (key);
      g_autoptr(GVariant) body = g_variant_ref_sink (g_variant_new_parsed (bodies[i]));

      strand_record_set_string (record, STRAND_FIELD_KIND, "group");
      strand_record_set_string (record, STRAND_FIELD_FUNCTION,
                                i == 1 || i == 2 ? "strand.chain" : "strand.group");
      assert_flow_fails (f, record, body, STRAND_ERROR_CORRUPT);
    }
}

/* A chain of one part, whose record says that it has come as far as @metadata; its end is to be @code's. */
static void
assert_chain_fails (Fixture *f, const char *key, const char *metadata, StrandError code)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GVariant) body = g_variant_ref_sink (g_variant_new_parsed (
      "('strand.chain', @a{sv} {}, [<('call', {'function': <'test.nothing'>, 'arguments': <()>}, @av [])>])"));

  strand_record_set_string (record, STRAND_FIELD_KIND, "group");
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "strand.chain");
  strand_record_set_variant (record, STRAND_FIELD_METADATA, g_variant_new_parsed (metadata));
  assert_flow_fails (f, record, body, code);
}

/* A stranger again. */
static void
test_counts_that_make_no_sense_fail (Fixture *f, gconstpointer type)
{
  assert_chain_fails (f, "more-have-ended-than-there-are", "{'strand.ended': <uint32 7>}",
                      STRAND_ERROR_CORRUPT);
  assert_chain_fails (f, "one-failed-that-has-not-ended", "{'strand.failed': <uint32 1>}",
                      STRAND_ERROR_CORRUPT);
}

/* A member was gone when its turn came, so it counts as failed; then a late step has put it again. */
static void
test_member_that_came_back_is_lost (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandRecord) member = strand_record_new ("gone.0");

  strand_record_set_int (member, STRAND_FIELD_STATUS, STRAND_STATUS_COMPLETED);
  g_assert_true (strand_store_put (f->store, member, 0, NULL));
  assert_chain_fails (f, "gone", "{'strand.ended': <uint32 1>, 'strand.failed': <uint32 1>}",
                      STRAND_ERROR_LOST);
}

/* Two flows that say of each other that they are their parts. */
static void
test_circle_of_records_ends (Fixture *f, gconstpointer type)
{
  static const char *const keys[] = { "a", "b" };
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(StrandRecord) record = strand_record_new (keys[i]);
      g_autoptr(GVariant) body = g_variant_ref_sink (g_variant_new_parsed (
          "('strand.group', @a{sv} {}, [<('call', {'function': <'test.nothing'>, 'arguments': "
          "<()>}, @av [])>])"));

      strand_record_set_string (record, STRAND_FIELD_KIND, "group");
      strand_record_set_string (record, STRAND_FIELD_FUNCTION, "strand.group");
      strand_record_set_variant (
          record, STRAND_FIELD_HEADERS,
          g_variant_new_parsed ("{'strand.flow': %s, 'strand.place': '0', 'strand.members': 'x'}",
                                keys[1 - i]));
      strand_record_set_arguments (record, body, NULL, NULL);
      g_assert_true (strand_store_put (f->store, record, 0, NULL));
    }
  strand_store_finish_flows (f->store, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(StrandRecord) record = record_of (f->store, keys[i], "");

      g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_CANCELLED);
    }
}

/* --- failure
 * ------------------------------------------------------------------------------------------------ */

static void
test_failure_ends_a_chain (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (chain, "test.echo", "(s)", "no such invoice");
  strand_flow_add (chain, "test.fail", NULL);
  strand_flow_add (chain, "flow.plus", "(xx)", (gint64) 1, (gint64) 1);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_error (strand_handle_get_error (handle), G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_true (g_str_has_suffix (value, "'test.fail', did not complete: no such invoice"));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_false (exists (f->store, strand_handle_get_key (handle), ".2"));
}

static void
test_failure_lets_a_group_go_on (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (group, "test.echo", "(s)", "a");
  strand_flow_add (group, "test.fail", "(s)", "first");
  strand_flow_add (group, "test.fail", "(s)", "second");
  strand_flow_add (group, "flow.plus", "(xx)", (gint64) 1, (gint64) 1);
  handle = launch (f, group, NULL);
  listen (f);
  value = finish (handle);
  g_assert_true (g_str_has_suffix (value, "did not complete: first"));
  g_assert_cmpint (status_of (f, handle, ".2"), ==, STRAND_STATUS_FAILED);
  g_assert_cmpint (status_of (f, handle, ".3"), ==, STRAND_STATUS_COMPLETED);
}

static void
test_strict_group_stops_the_others (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (group, "test.block", NULL); /* until it is cancelled */
  strand_flow_add (group, "test.fail", "(s)", "enough");
  for (guint i = 0; i < 10; i++)
    strand_flow_add (group, "test.block", NULL);
  strand_flow_set_stop_on_failure (group, TRUE);
  g_assert_true (strand_flow_get_stop_on_failure (group));
  handle = launch (f, group, NULL);
  listen (f);
  value = finish (handle);
  g_assert_true (g_str_has_suffix (value, "did not complete: enough"));
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_FAILED);
  g_assert_cmpint (status_of (f, handle, ".0"), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (status_of (f, handle, ".11"), ==, STRAND_STATUS_CANCELLED);
}

static void
test_failure_goes_up (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandFlow) inner = strand_flow_new_chain ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (inner, "test.fail", "(s)", "deep down");
  strand_flow_add (inner, "test.nothing", NULL);
  strand_flow_add (group, "test.block", NULL);
  strand_flow_add_flow (group, inner);
  strand_flow_set_stop_on_failure (group, TRUE);
  strand_flow_add_flow (chain, group);
  strand_flow_add (chain, "flow.total", NULL);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_true (g_str_has_suffix (value, "'test.fail', did not complete: deep down"));
  g_assert_cmpint (status_of (f, handle, ".0.0"), ==, STRAND_STATUS_CANCELLED);
  g_assert_false (exists (f->store, strand_handle_get_key (handle), ".1"));
}

static void
test_retried_member_counts_once (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  for (gint64 i = 0; i < 4; i++)
    strand_flow_add (group, "flow.second-try", "(x)", i);
  strand_options_set_retries (options, 1);
  handle = launch (f, group, options);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "[<int64 0>, <int64 1>, <int64 2>, <int64 3>]");
}

static void
test_flow_is_retried_whole (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandHandle) again = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *value = NULL, *key = NULL, *group_key = NULL, *second = NULL;

  strand_flow_add (group, "flow.second-try", "(x)", (gint64) 4);
  strand_flow_add (group, "flow.plus", "(xx)", (gint64) 1, (gint64) 1);
  strand_flow_add_flow (chain, group);
  strand_flow_add (chain, "flow.total", NULL);
  handle = launch (f, chain, NULL);
  listen (f);
  value = finish (handle);
  g_assert_true (g_str_has_suffix (value, "did not complete: not yet"));

  key = strand_store_retry_call (f->store, strand_handle_get_key (handle), NULL, &error);
  g_assert_no_error (error);
  again = strand_handle_new (f->store, key, &error);
  g_assert_no_error (error);
  second = finish (again);
  g_assert_true (g_str_has_suffix (second, "did not complete: not yet"));
  g_clear_pointer (&key, g_free);
  g_clear_object (&again);

  /* The inner one alone, whose record does not carry its parts any more. */
  group_key = g_strconcat (strand_handle_get_key (handle), ".0", NULL);
  key = strand_store_retry_call (f->store, group_key, NULL, &error);
  g_assert_no_error (error);
  again = strand_handle_new (f->store, key, &error);
  g_assert_no_error (error);
  g_clear_pointer (&second, g_free);
  second = finish (again);
  g_assert_true (g_str_has_suffix (second, "did not complete: not yet"));
  g_assert_true (exists (f->store, key, ".1"));
}

/* --- cancelling
 * --------------------------------------------------------------------------------------------- */

static void
test_cancelling_without_a_reader_ends_it (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  for (guint i = 0; i < 20; i++)
    strand_flow_add (group, "test.nothing", NULL);
  strand_flow_add_flow (chain, group);
  strand_flow_add (chain, "flow.total", NULL);
  handle = launch (f, chain, NULL);
  wait_until (strand_store_count (f->store, NULL, NULL) == 20);
  g_assert_true (strand_handle_cancel (handle));
  value = finish (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (
      strand_store_count (f->store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_CANCELLED }, NULL), ==,
      20);
}

static void
test_cancelling_stops_what_runs (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (chain, "test.block", NULL);
  strand_flow_add (chain, "test.nothing", NULL);
  strand_flow_add_flow (group, chain);
  strand_flow_add (group, "test.block", NULL);
  strand_flow_add (group, "test.block", NULL);
  handle = launch (f, group, NULL);
  listen (f);
  wait_until (exists (f->store, strand_handle_get_key (handle), ".0.0") &&
              strand_reader_get_n_running (f->reader) >= 2);
  g_assert_true (strand_store_cancel_call (f->store, strand_handle_get_key (handle), &error));
  value = finish (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpint (status_of (f, handle, ".0.0"), ==, STRAND_STATUS_CANCELLED);
  g_assert_false (exists (f->store, strand_handle_get_key (handle), ".0.1"));
  wait_until (strand_reader_get_n_running (f->reader) == 0);
}

static void
test_cancelled_member_ends_its_group (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) group = strand_flow_new_group ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *key = NULL;
  g_autofree char *value = NULL;

  strand_flow_add (group, "test.nothing", NULL);
  handle = launch (f, group, NULL);
  wait_until (strand_store_count (f->store, NULL, NULL) == 1);
  key = g_strconcat (strand_handle_get_key (handle), ".0", NULL);
  g_assert_true (strand_store_cancel_call (f->store, key, NULL));
  value = finish (handle);
  g_assert_cmpint (strand_handle_get_status (handle), ==, STRAND_STATUS_CANCELLED);
}

/* --- dying
 * -------------------------------------------------------------------------------------------------- */

/* Takes what is due as a worker does, and ends it, but says nothing to the flow. FALSE where nothing is due.
 */
static gboolean
settle_one (StrandStore *store)
{
  const char *const queues[] = { "default", NULL };
  const StrandClaim claim = { queues, "reader-500:elsewhere:1:1:1:0", G_MAXINT64 / 4, 1 };
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) claimed = strand_store_claim (store, &claim, NULL, &error);
  g_autoptr(StrandRecord) record = NULL;
  g_autoptr(GVariant) arguments = NULL;
  g_autoptr(GVariant) value = NULL;
  gint64 a, b;

  g_assert_no_error (error);
  if (claimed->len == 0)
    return FALSE;
  record = strand_record_copy (g_ptr_array_index (claimed, 0));
  arguments = strand_record_dup_arguments (record, &error);
  g_assert_no_error (error);
  g_variant_get (arguments, "(xx)", &a, &b);
  value = g_variant_ref_sink (g_variant_new_int64 (a + b));
  g_assert_true (strand_record_set_value (record, value, NULL, NULL));
  strand_record_end (record, STRAND_STATUS_COMPLETED, strand_clock_now_us ());
  g_assert_true (strand_store_put (store, record, strand_record_get_revision (record), &error));
  return TRUE;
}

/* One who launches a member after the flow has gone on, because it was stopped in between. */
static void
test_late_launch_is_not_run (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (1, 1);
  g_autoptr(StrandHandle) handle = launch (f, chain, NULL);
  g_autoptr(StrandRecord) first = NULL;
  g_autoptr(StrandHandle) late = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *value = NULL;
  const char *key;

  wait_until (exists (f->store, strand_handle_get_key (handle), ".0"));
  first = record_of (f->store, strand_handle_get_key (handle), ".0");
  key = strand_record_get_key (first);
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "2");
  g_assert_true (strand_store_remove (f->store, key, 0, &error));
  g_assert_true (strand_store_put (f->store, first, 0, &error));
  g_assert_no_error (error);
  late = strand_handle_new (f->store, key, &error);
  g_assert_no_error (error);
  g_clear_pointer (&value, g_free);
  value = finish (late);
  g_assert_cmpint (strand_handle_get_status (late), ==, STRAND_STATUS_CANCELLED);
  g_assert_cmpuint (count_runs (key), ==, 1);
}

/* A store that takes a number of writes and then nothing any more, as far as who has it can see. */
typedef struct
{
  GObject parent_instance;
  StrandStore *behind;
  int n_left; /* atomic */
} MortalStore;
typedef GObjectClass MortalStoreClass;

static void mortal_init (StrandStoreInterface *iface);
GType mortal_store_get_type (void);
G_DEFINE_TYPE_WITH_CODE (MortalStore, mortal_store, G_TYPE_OBJECT,
                         G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, mortal_init))

static gboolean
die (GError **error)
{
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BROKEN_PIPE, "the power is off");
  return FALSE;
}

static StrandRecord *
mortal_get (StrandStore *store, const char *key, GError **error)
{
  MortalStore *self = (MortalStore *) store;

  if (g_atomic_int_get (&self->n_left) > 0)
    return strand_store_get (self->behind, key, error);
  die (error);
  return NULL;
}

static gboolean
mortal_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  MortalStore *self = (MortalStore *) store;

  return g_atomic_int_add (&self->n_left, -1) > 1 ? strand_store_put (self->behind, record, expected, error)
                                                  : die (error);
}

static gboolean
mortal_remove (StrandStore *store, const char *key, guint64 expected, GError **error)
{
  return die (error);
}

static StrandPage *
mortal_list (StrandStore *store, const StrandFilter *filter, const char *cursor, guint limit, GError **error)
{
  MortalStore *self = (MortalStore *) store;

  return strand_store_list (self->behind, filter, cursor, limit, error);
}

static void
mortal_init (StrandStoreInterface *iface)
{
  iface->get = mortal_get;
  iface->put = mortal_put;
  iface->remove = mortal_remove;
  iface->list = mortal_list;
}

static void
mortal_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  strand_store_get_common_property (STRAND_STORE (object), value, pspec);
}

static void
mortal_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  strand_store_set_common_property (STRAND_STORE (object), value, pspec);
}

static void
mortal_finalize (GObject *object)
{
  g_object_unref (((MortalStore *) object)->behind);
  G_OBJECT_CLASS (mortal_store_parent_class)->finalize (object);
}

static void
mortal_store_class_init (MortalStoreClass *klass)
{
  klass->get_property = mortal_get_property;
  klass->set_property = mortal_set_property;
  klass->finalize = mortal_finalize;
  strand_store_override_properties (klass, 1);
}

static void
mortal_store_init (MortalStore *self)
{
}

static StrandStore *
mortal_store_new (StrandStore *behind, int n_writes)
{
  MortalStore *self = g_object_new (mortal_store_get_type (), "auto-cleanup", FALSE, NULL);

  self->behind = g_object_ref (behind);
  self->n_left = n_writes + 1;
  return STRAND_STORE (self);
}

/* A flow of all kinds: ((1 + 0 + 1) and (3 + 4), one after the other, then their sum and 100 of it). */
static void
put_flow (StrandStore *store, const char *key)
{
  static const char body[] =
      "('strand.chain', @a{sv} {}, ["
      "<('strand.group', @a{sv} {}, ["
      "<('strand.chain', @a{sv} {}, ["
      "<('call', {'function': <'flow.plus'>, 'arguments': <(int64 1, int64 0)>}, @av [])>,"
      "<('call', {'function': <'flow.plus'>, 'arguments': <(int64 1, int64 0)>, 'hole': <uint32 1>}, @av [])>])>,"
      "<('call', {'function': <'flow.plus'>, 'arguments': <(int64 3, int64 4)>}, @av [])>])>,"
      "<('call', {'function': <'flow.plus'>, 'arguments': <(int64 100, int64 9)>}, @av [])>])";
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GVariant) parsed = g_variant_ref_sink (g_variant_new_parsed (body));
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_KIND, "group");
  strand_record_set_string (record, STRAND_FIELD_FUNCTION, "strand.chain");
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  strand_record_set_int (record, STRAND_FIELD_TTL, 1000 * 1000 * SECOND);
  strand_record_set_arguments (record, parsed, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (strand_store_put (store, record, 0, &error));
  g_assert_no_error (error);
}

/* Looked at from outside, because a handle would see to it that the flow goes on. */
static gboolean
is_ended (StrandStore *store, const char *key)
{
  g_autoptr(StrandRecord) record = record_of (store, key, "");

  return strand_status_is_terminal (strand_record_get_status (record));
}

static void
test_worker_that_died_before_the_step_is_followed_by_another (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *value = NULL;

  put_flow (f->store, "sum");
  g_assert_true (strand_store_advance_flow (f->store, "sum", &error));
  g_assert_true (settle_one (f->store));
  g_assert_true (settle_one (f->store));
  g_assert_false (settle_one (f->store)); /* the flow stands still */
  f->reader = start_reader (f->store, f->runner, 2, SECOND / 2);
  wait_until (is_ended (f->store, "sum"));
  handle = strand_handle_new (f->store, "sum", &error);
  g_assert_no_error (error);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "109");
  assert_each_ran_once (2);
}

/* Whoever advances the flow dies after @n_writes writes, each time; then another one comes. */
static gboolean
advance_mortally (StrandStore *store, const char *key, int n_writes)
{
  StrandStore *mortal = mortal_store_new (store, n_writes);
  g_autoptr(GError) error = NULL;
  gboolean survived = strand_store_advance_flow (mortal, key, &error);

  survived = survived && g_atomic_int_get (&((MortalStore *) mortal)->n_left) > 0;
  strand_store_close (mortal);
  g_assert_finalize_object (mortal);
  return survived;
}

static void
test_death_after_any_write_loses_nothing (Fixture *f, gconstpointer type)
{
  gboolean survived = FALSE;

  for (int n_writes = 1; !survived; n_writes++)
    {
      g_autofree char *key = g_strdup_printf ("mortal-%d", n_writes);
      g_autoptr(StrandRecord) end = NULL;
      g_autoptr(GVariant) value = NULL;
      guint n_settled = 0;

      survived = TRUE;
      put_flow (f->store, key);
      for (gboolean any = TRUE; any;)
        {
          /* Until one of them has nothing left to do; a step that takes more writes than one has is never
           * done by one alone, yet all of them together do it. */
          for (guint i = 0; !advance_mortally (f->store, key, n_writes); i++)
            {
              survived = FALSE;
              g_assert_cmpuint (i, <, 100);
              strand_store_finish_flows (f->store, NULL);
            }
          strand_store_finish_flows (f->store, NULL);
          any = settle_one (f->store);
          n_settled += any;
        }
      g_assert_cmpuint (n_settled, ==, 4);
      end = record_of (f->store, key, "");
      g_assert_cmpint (strand_record_get_status (end), ==, STRAND_STATUS_COMPLETED);
      value = strand_record_dup_value (end, NULL);
      g_assert_cmpint (g_variant_get_int64 (value), ==, 109);
      g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 4 * n_writes);
    }
}

static gpointer
advance_often (gpointer data)
{
  StrandStore *store = data;

  for (guint i = 0; i < 50; i++)
    {
      g_autoptr(GError) error = NULL;

      strand_store_advance_flow (store, "crowd", &error);
      g_assert_no_error (error);
      settle_one (store);
      strand_store_finish_flows (store, &error);
      g_assert_no_error (error);
    }
  return NULL;
}

static void
test_eight_threads_make_each_step_once (Fixture *f, gconstpointer type)
{
  GThread *threads[8];
  g_autoptr(StrandRecord) end = NULL;
  g_autoptr(StrandRecord) launched = NULL;
  g_autoptr(GVariant) value = NULL;

  put_flow (f->store, "crowd");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("advance", advance_often, f->store);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  end = record_of (f->store, "crowd", "");
  g_assert_cmpint (strand_record_get_status (end), ==, STRAND_STATUS_COMPLETED);
  value = strand_record_dup_value (end, NULL);
  g_assert_cmpint (g_variant_get_int64 (value), ==, 109);
  g_assert_cmpint (strand_store_count (f->store, NULL, NULL), ==, 4);
  /* Put, claimed, ended, let go: no more writes than that. */
  launched = record_of (f->store, "crowd", ".1");
  g_assert_cmpuint (strand_record_get_revision (launched), ==, 4);
}

/* One that wakes up too late puts a member once more, when the flow has ended and the first one has gone. */
static void
test_a_late_step_leaves_nothing_behind (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = strand_flow_new_chain ();
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(StrandRecord) late = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *value = NULL, *member = NULL;

  strand_options_set_ttl (options, 0);
  strand_flow_add_call (chain, "flow.plus", g_variant_new ("(xx)", (gint64) 1, (gint64) 2), NULL, options);
  strand_flow_add_call (chain, "flow.plus", g_variant_new ("(x)", (gint64) 1), NULL, options);
  handle = launch (f, chain, NULL);
  member = g_strconcat (strand_handle_get_key (handle), ".0", NULL);
  wait_until (exists (f->store, member, ""));
  late = record_of (f->store, member, "");
  listen (f);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "4");
  wait_until (!exists (f->store, member, ""));

  g_assert_true (strand_store_put (f->store, late, 0, &error));
  g_assert_no_error (error);
  wait_until (!exists (f->store, member, ""));
  g_assert_cmpuint (count_runs (member), ==, 1);
}

/* --- other processes
 * ---------------------------------------------------------------------------------------- */

/* A worker that is killed, by itself, at the moment when it has ended a member and is about to look at the
 * flow. */
typedef struct
{
  MortalStore parent_instance;
} KillingStore;
typedef MortalStoreClass KillingStoreClass;

static gboolean
killing_put (StrandStore *store, StrandRecord *record, guint64 expected, GError **error)
{
  gboolean done = strand_store_put (((MortalStore *) store)->behind, record, expected, error);

  if (done && strcmp (strand_record_get_string (record, STRAND_FIELD_KIND), "call") == 0 &&
      strand_record_get_status (record) == STRAND_STATUS_COMPLETED)
    raise (SIGKILL);
  return done;
}

static void
killing_init (StrandStoreInterface *iface)
{
  mortal_init (iface);
  iface->put = killing_put;
}

GType killing_store_get_type (void);
G_DEFINE_TYPE_WITH_CODE (KillingStore, killing_store, mortal_store_get_type (),
                         G_IMPLEMENT_INTERFACE (STRAND_TYPE_STORE, killing_init))

static void
killing_store_class_init (KillingStoreClass *klass)
{
}

static void
killing_store_init (KillingStore *self)
{
}

/* In the second process. One job, so that it has claimed nothing else when it is killed: the flow may have
 * gone on before, since whoever waits for it sees to that, too. */
static int
work_until_killed (const char *type, const char *folder)
{
  MortalStore *store = g_object_new (killing_store_get_type (), NULL);
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  StrandReader *reader;

  store->behind = fixture_open_store (type, folder);
  store->n_left = G_MAXINT;
  reader = start_reader (STRAND_STORE (store), runner, 1, 15 * SECOND);
  while (strand_reader_is_listening (reader))
    pause ();
  return 1;
}

static void
test_killed_workers_lose_no_step (Fixture *f, gconstpointer type)
{
  g_autoptr(StrandFlow) chain = new_sum (0, 4);
  g_autoptr(StrandHandle) handle = NULL;
  g_autofree char *value = NULL;

  if (strcmp (type, "memory") == 0)
    {
      g_test_skip ("no other process sees a memory store");
      return;
    }
  handle = launch (f, chain, NULL);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr(GSubprocess) worker = fixture_spawn ("--work", type, f->folder, NULL);

      g_subprocess_wait (worker, NULL, NULL);
      g_assert_true (g_subprocess_get_if_signaled (worker));
      g_assert_cmpint (g_subprocess_get_term_sig (worker), ==, SIGKILL);
    }
  f->reader = start_reader (f->store, f->runner, 2, 15 * SECOND);
  value = finish (handle);
  g_assert_cmpstr (value, ==, "4");
  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *member = g_strdup_printf (".%u", i);
      g_autoptr(StrandRecord) record = record_of (f->store, strand_handle_get_key (handle), member);

      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_FENCE), ==, 1);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==, 0);
    }
}

#define ADD(name, run) fixture_add_for_stores (stores, "/flow", name, Fixture, set_up, run, tear_down)

int
main (int argc, char **argv)
{
  const char *const *stores;
  int status;

  if (fixture_is_second_process (argc, argv, &status))
    return status;
  if (argc == 4 && strcmp (argv[1], "--work") == 0)
    {
      add_functions ();
      return work_until_killed (argv[2], argv[3]);
    }
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  stores = fixture_store_types ("/flow");
  add_functions ();

  ADD ("chain-passes-values-on", test_chain_passes_values_on);
  ADD ("value-takes-the-first-free-argument", test_value_takes_the_first_free_argument);
  ADD ("nothing-is-passed-on-as-nothing", test_nothing_is_passed_on_as_nothing);
  ADD ("group-has-its-values-in-order", test_group_has_its_values_in_order);
  ADD ("empty-group-has-no-values", test_empty_group_has_no_values);
  ADD ("chord-and-groups-of-chains", test_chord_and_groups_of_chains);
  ADD ("launched-as-often-as-wanted", test_flow_is_launched_as_often_as_wanted);
  ADD ("group-of-a-thousand", test_group_of_a_thousand);
  ADD ("options-hold-for-members", test_options_hold_for_members);
  ADD ("middleware-sees-the-flow-once-and-each-part", test_middleware_sees_the_flow_once_and_each_part);
  ADD ("members-are-kept-until-the-end", test_members_are_kept_until_the_end);
  ADD ("late-step-leaves-nothing-behind", test_a_late_step_leaves_nothing_behind);
  ADD ("mistakes-are-told-at-launch", test_mistakes_are_told_at_launch);
  ADD ("flow-that-contains-itself-is-refused", test_flow_that_contains_itself_is_refused);
  ADD ("local-backend-is-refused", test_local_backend_is_refused);
  ADD ("records-that-make-no-sense-fail", test_records_that_make_no_sense_fail);
  ADD ("counts-that-make-no-sense-fail", test_counts_that_make_no_sense_fail);
  ADD ("member-that-came-back-is-lost", test_member_that_came_back_is_lost);
  ADD ("circle-of-records-ends", test_circle_of_records_ends);
  ADD ("failure-ends-a-chain", test_failure_ends_a_chain);
  ADD ("failure-lets-a-group-go-on", test_failure_lets_a_group_go_on);
  ADD ("strict-group-stops-the-others", test_strict_group_stops_the_others);
  ADD ("failure-goes-up", test_failure_goes_up);
  ADD ("retried-member-counts-once", test_retried_member_counts_once);
  ADD ("flow-is-retried-whole", test_flow_is_retried_whole);
  ADD ("cancelling-without-a-reader-ends-it", test_cancelling_without_a_reader_ends_it);
  ADD ("cancelling-stops-what-runs", test_cancelling_stops_what_runs);
  ADD ("cancelled-member-ends-its-group", test_cancelled_member_ends_its_group);
  ADD ("worker-that-died-before-the-step", test_worker_that_died_before_the_step_is_followed_by_another);
  ADD ("late-launch-is-not-run", test_late_launch_is_not_run);
  ADD ("death-after-any-write-loses-nothing", test_death_after_any_write_loses_nothing);
  ADD ("eight-threads-make-each-step-once", test_eight_threads_make_each_step_once);
  ADD ("killed-workers-lose-no-step", test_killed_workers_lose_no_step);

  return fixture_run_tests ();
}
