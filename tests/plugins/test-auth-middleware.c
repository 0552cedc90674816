/* test-auth-middleware.c — what runs, what does not, what is said of it, and what is never said.
 *
 * Tokens are also made here from what docs/middleware/auth.md says, with nothing of the plugin's.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "middleware-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

/* base64 of thirty-two bytes each */
#define SECRET_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
#define SECRET_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="
#define BYTES_A "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define BYTES_B "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

#define FUTURE_S G_GINT64_CONSTANT (32503680000) /* the year 3000 */

/* --- what is logged ------------------------------------------------------------------------------------ */

static GMutex log_lock; /* guards the next two */
static GString *everything;
static GHashTable *last_audit;
static int n_audits; /* atomic */
static int quiet;    /* atomic: count audits, keep nothing */

static GLogWriterOutput
keep (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  g_autoptr(GHashTable) line = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  gboolean audit = FALSE;

  for (gsize i = 0; i < n_fields; i++)
    audit |= strcmp (fields[i].key, "STRAND_AUDIT") == 0;
  if (audit)
    g_atomic_int_inc (&n_audits);
  if (audit && g_atomic_int_get (&quiet))
    return G_LOG_WRITER_HANDLED;
  g_mutex_lock (&log_lock);
  for (gsize i = 0; i < n_fields; i++)
    {
      char *value = fields[i].length < 0 ? g_strdup (fields[i].value)
                                         : g_strndup (fields[i].value, (gsize) fields[i].length);

      g_string_append_printf (everything, "%s\n", value);
      g_hash_table_insert (line, g_strdup (fields[i].key), value);
    }
  if (audit)
    {
      g_clear_pointer (&last_audit, g_hash_table_unref);
      last_audit = g_steal_pointer (&line);
    }
  g_mutex_unlock (&log_lock);
  return audit ? G_LOG_WRITER_HANDLED : g_log_writer_default (level, fields, n_fields, data);
}

static void
assert_audited (const char *field, const char *expected)
{
  g_mutex_lock (&log_lock);
  g_assert_nonnull (last_audit);
  g_assert_cmpstr (g_hash_table_lookup (last_audit, field), ==, expected);
  g_mutex_unlock (&log_lock);
}

/* --- stacks and tokens --------------------------------------------------------------------------------- */

#define STACK(settings)                                                                                      \
  "[middleware door]\ntype=auth\nkeys=${STRAND_TEST_KEYS}\n" settings                                        \
  "\n[store s]\ntype=memory\n[backend b]\ntype=thread\nworkers=2\nstore=s\nmiddleware=door\nretry-delay=0\n"

static StrandStack *
stack_with_keys (const char *keys, const char *text)
{
  StrandStack *stack;

  g_setenv ("STRAND_TEST_KEYS", keys, TRUE);
  stack = stack_new ("%s", text);
  g_unsetenv ("STRAND_TEST_KEYS");
  return stack;
}

/* As the documentation says; the arguments' digest from their GVariant bytes. */
static char *
token_by_hand (const char *key_id, const char *secret, const char *identity, gint64 expires_s,
               const char *function, const char *key, const char *arguments)
{
  g_autoptr(GVariant) tuple = g_variant_ref_sink (g_variant_new_parsed (arguments));
  g_autofree char *digest =
      g_compute_checksum_for_data (G_CHECKSUM_SHA256, g_variant_get_data (tuple), g_variant_get_size (tuple));
  g_autofree char *head = g_strdup_printf ("strand1:%s:%s:%" G_GINT64_FORMAT, key_id, identity, expires_s);
  g_autofree char *text = g_strdup_printf ("%s\n%s\n%s\n%s\n%s\n", head, function, key,
                                           g_variant_get_type_string (tuple), digest);
  g_autofree char *mac =
      g_compute_hmac_for_string (G_CHECKSUM_SHA256, (const guchar *) secret, strlen (secret), text, -1);

  return g_strdup_printf ("%s:%s", head, mac);
}

static StrandHandle *
call_with_token (StrandStack *stack, const char *function, const char *key, const char *arguments,
                 const char *token)
{
  g_autoptr(StrandOptions) options = strand_options_new ();

  strand_options_set_key (options, key);
  if (token != NULL)
    strand_options_set_header (options, "strand-auth", token);
  return stack_call (stack, function, g_variant_new_parsed (arguments), options);
}

static void
assert_runs (StrandStack *stack, const char *function, const char *key, const char *arguments,
             const char *token)
{
  g_autoptr(StrandHandle) handle = call_with_token (stack, function, key, arguments, token);

  g_assert_no_error (strand_handle_get_error (handle));
}

static void
assert_refused (StrandStack *stack, const char *function, const char *key, const char *arguments,
                const char *token, const char *why)
{
  g_autoptr(StrandHandle) handle = call_with_token (stack, function, key, arguments, token);
  const GError *error = strand_handle_get_error (handle);

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  if (strstr (error->message, why) == NULL)
    g_error ("'%s' does not say '%s'", error->message, why);
  assert_audited ("STRAND_AUDIT", "refused");
  assert_audited ("STRAND_KEY", key);
  assert_audited ("STRAND_FUNCTION", function);
}

static char *
make_token (StrandStack *stack, const char *function, GVariant *arguments, const char *key)
{
  g_autoptr(GObject) middleware = stack_middleware (stack, "door");
  char *token = NULL;

  g_signal_emit_by_name (middleware, "make-token", function, arguments, key, &token);
  return token;
}

/* --- the cases ----------------------------------------------------------------------------------------- */

static void
test_signed_calls_run (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("identity=web\nallow=web=test.echo,test.fail"));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandHandle) echo = stack_call (stack, "test.echo", g_variant_new ("(s)", "x"), NULL);
  g_autoptr(StrandHandle) retried = NULL;

  g_assert_no_error (strand_handle_get_error (echo));
  strand_options_set_retries (options, 2);
  retried = stack_call (stack, "test.fail", g_variant_new ("(s)", "no"), options);
  g_assert_error (strand_handle_get_error (retried), G_FILE_ERROR, G_FILE_ERROR_NOENT);
  stack_close (stack);
}

static void
test_an_unsigned_call_is_refused (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=*=*"));

  assert_refused (stack, "test.echo", "k1", "('x',)", NULL, "no token in header 'strand-auth'");
  assert_refused (stack, "test.echo", "k2", "('x',)", "", "no token that this version");
  assert_refused (stack, "test.echo", "k3", "('x',)", "strand1:a:web:99999999999:00", "no token that");
  assert_refused (stack, "test.echo", "k4", "('x',)",
                  "strand2:a:web:99999999999:"
                  "0000000000000000000000000000000000000000000000000000000000000000",
                  "no token that");
  stack_close (stack);
}

/* Each pair differs in one thing alone. */
static void
test_a_token_is_good_for_one_call (void)
{
  StrandStack *signer = stack_with_keys ("a " SECRET_A, STACK ("role=sign\nidentity=web"));
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=*=*"));
  g_autofree char *first = make_token (signer, "test.echo", g_variant_new ("(s)", "x"), "k1");
  g_autofree char *second = make_token (signer, "test.echo", g_variant_new ("(s)", "x"), "k2");
  g_autofree char *third = make_token (signer, "test.echo", g_variant_new ("(s)", "x"), "k3");
  g_autofree char *type = make_token (signer, "test.nothing", g_variant_new ("(y)", 0), "k4");
  g_autofree char *numbers =
      make_token (signer, "test.add", g_variant_new_parsed ("(int64 1, int64 2)"), "k6");
  g_autofree char *empty = make_token (signer, "test.nothing", NULL, "k7");

  assert_refused (stack, "test.echo", "k9", "('x',)", first, "not made for this call");
  assert_refused (stack, "test.echo", "k2", "('y',)", second, "not made for this call");
  assert_refused (stack, "test.fail", "k3", "('x',)", third, "not made for this call");
  assert_audited ("STRAND_IDENTITY", "web");
  assert_audited ("STRAND_IDENTITY_PROVEN", "no");
  /* The same bytes, GVariant's for nothing. */
  assert_refused (stack, "test.nothing", "k4", "()", type, "not made for this call");
  assert_runs (stack, "test.echo", "k1", "('x',)", first);
  assert_runs (stack, "test.add", "k6", "(int64 1, int64 2)", numbers);
  assert_runs (stack, "test.nothing", "k7", "()", empty);
  stack_close (stack);
  stack_close (signer);
}

/* A token that Python's hashlib and hmac made, with PyGObject for the arguments. */
#define PYTHON_TOKEN                                                                                         \
  "strand1:a:web:32503680000:3b77a40e65ea6d2fc6a4078450f6074767b0453caafb4b5b5d206863664a1f0e"

/* Whichever character somebody changes. */
static void
test_no_changed_token_passes (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=*=*"));
  g_autofree char *token = token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.echo", "key", "('x',)");

  assert_runs (stack, "test.echo", "key", "('x',)", token);
  for (gsize i = 0; token[i] != '\0'; i++)
    {
      g_autofree char *changed = g_strdup (token);
      g_autofree char *key = g_strdup_printf ("key%zu", i);
      g_autofree char *right = token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.echo", key, "('x',)");

      memcpy (changed, right, strlen (right));
      changed[i] = changed[i] == '1' ? '2' : '1';
      assert_refused (stack, "test.echo", key, "('x',)", changed, "token");
    }
  stack_close (stack);
}

static void
test_the_documented_format_is_the_real_one (void)
{
  StrandStack *stack =
      stack_with_keys ("# a comment\n\na " SECRET_A "\r\n", STACK ("role=verify\nallow=*=*"));
  g_autofree char *token =
      token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.sum", "k", "(1, 2, {'x': <true>})");
  g_autofree char *wrong = token_by_hand ("a", BYTES_B, "web", FUTURE_S, "test.nothing", "k2", "()");

  g_assert_cmpstr (token, ==, PYTHON_TOKEN);
  assert_runs (stack, "test.sum", "k", "(1, 2, {'x': <true>})", PYTHON_TOKEN);
  assert_refused (stack, "test.nothing", "k2", "()", wrong, "with another secret");
  stack_close (stack);
}

static void
test_a_token_expires (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=*=*"));
  gint64 now_s = strand_clock_now_us () / G_USEC_PER_SEC;
  g_autofree char *old = token_by_hand ("a", BYTES_A, "web", now_s - 1, "test.nothing", "k1", "()");
  g_autofree char *young = token_by_hand ("a", BYTES_A, "web", now_s + 3600, "test.nothing", "k2", "()");

  assert_refused (stack, "test.nothing", "k1", "()", old, "expired");
  assert_audited ("STRAND_IDENTITY_PROVEN", "yes");
  assert_runs (stack, "test.nothing", "k2", "()", young);
  stack_close (stack);
}

static gint64
expiry_in (const char *token)
{
  g_auto(GStrv) parts = g_strsplit (token, ":", -1);

  g_assert_cmpuint (g_strv_length (parts), ==, 5);
  return g_ascii_strtoll (parts[3], NULL, 10);
}

/* The time that a call is put off is not taken from its token's life. */
static void
test_lifetime_starts_when_the_call_may (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=sign\nidentity=web\nlifetime=10s"));
  g_autoptr(StrandOptions) options = strand_options_new ();
  g_autoptr(StrandFunction) function = fixture_function ("test.nothing");
  g_autoptr(GObject) target = strand_stack_ref_target (stack, NULL, NULL);
  g_autoptr(StrandTask) task = strand_task_new (function, target);
  g_autoptr(StrandHandle) handle = NULL;
  g_autoptr(GVariant) headers = NULL;
  gint64 start_s = strand_clock_now_us () / G_USEC_PER_SEC + 86400;
  const char *token;

  strand_options_set_not_before (options, start_s * G_USEC_PER_SEC);
  handle = strand_task_call_full (task, NULL, NULL, options);
  headers = strand_call_dup_headers (strand_handle_get_call (handle));
  g_assert_true (g_variant_lookup (headers, "strand-auth", "&s", &token));
  g_assert_cmpint (expiry_in (token), ==, start_s + 10);
  strand_handle_cancel (handle);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  strand_handle_get_error (handle);
  stack_close (stack);
}

static void
test_identities_call_only_what_they_may (void)
{
  StrandStack *stack =
      stack_with_keys ("a " SECRET_A "\nb " SECRET_B " cron-*",
                       STACK ("role=verify\nallow=web=test.e*,test.add;cron-?=test.nothing"));
  const struct
  {
    const char *key_id, *secret, *identity, *function, *arguments, *why;
  } calls[] = {
    { "a", BYTES_A, "web", "test.echo", "('x',)", NULL },
    { "a", BYTES_A, "web", "test.add", "(int64 1, int64 2)", NULL },
    { "a", BYTES_A, "web", "test.nothing", "()", "'web' may not call it" },
    { "b", BYTES_B, "cron-1", "test.nothing", "()", NULL },
    { "b", BYTES_B, "cron-12", "test.nothing", "()", "'cron-12' may not call it" },
    { "b", BYTES_B, "web", "test.echo", "('x',)", "'b' does not speak for 'web'" },
    { "c", BYTES_A, "web", "test.echo", "('x',)", "key 'c', which is not known" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    {
      g_autofree char *key = g_strdup_printf ("key-%u", i);
      g_autofree char *token = token_by_hand (calls[i].key_id, calls[i].secret, calls[i].identity, FUTURE_S,
                                              calls[i].function, key, calls[i].arguments);

      if (calls[i].why == NULL)
        assert_runs (stack, calls[i].function, key, calls[i].arguments, token);
      else
        assert_refused (stack, calls[i].function, key, calls[i].arguments, token, calls[i].why);
    }
  stack_close (stack);
}

/* New below old where calls are verified; new above old where they are signed; old removed. */
static void
test_a_key_is_replaced_without_a_refusal (void)
{
  StrandStack *old_signer = stack_with_keys ("old " SECRET_A, STACK ("role=sign\nidentity=web"));
  StrandStack *new_signer =
      stack_with_keys ("new " SECRET_B "\nold " SECRET_A, STACK ("role=sign\nidentity=web"));
  StrandStack *between =
      stack_with_keys ("old " SECRET_A "\nnew " SECRET_B, STACK ("role=verify\nallow=*=*"));
  StrandStack *after = stack_with_keys ("new " SECRET_B, STACK ("role=verify\nallow=*=*"));
  g_autofree char *old_token = make_token (old_signer, "test.nothing", NULL, "k1");
  g_autofree char *new_token = make_token (new_signer, "test.nothing", NULL, "k2");

  g_assert_true (g_str_has_prefix (new_token, "strand1:new:web:"));
  assert_runs (between, "test.nothing", "k1", "()", old_token);
  assert_runs (between, "test.nothing", "k2", "()", new_token);
  assert_runs (after, "test.nothing", "k2", "()", new_token);
  assert_refused (after, "test.nothing", "k1", "()", old_token, "key 'old'");
  stack_close (old_signer);
  stack_close (new_signer);
  stack_close (between);
  stack_close (after);
}

static void
test_a_verifier_makes_no_tokens (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=*=*"));

  g_assert_null (make_token (stack, "test.nothing", NULL, "k"));
  stack_close (stack);
}

static void
test_admissions_are_audited_if_asked (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("identity=web\nallow=web=*\naudit=all"));
  g_autoptr(StrandHandle) handle = stack_call (stack, "test.nothing", NULL, NULL);

  g_assert_no_error (strand_handle_get_error (handle));
  assert_audited ("STRAND_AUDIT", "admitted");
  assert_audited ("STRAND_IDENTITY", "web");
  assert_audited ("STRAND_KEY", strand_handle_get_key (handle));
  stack_close (stack);
}

static void
assert_no_secret (const char *text)
{
  g_assert_null (strstr (text, SECRET_A));
  g_assert_null (strstr (text, BYTES_A));
  g_assert_null (strstr (text, "QUFBQUFB"));
}

static void
test_the_secret_is_nowhere (void)
{
  StrandStack *stack =
      stack_with_keys ("a " SECRET_A, STACK ("identity=web\nallow=web=test.echo\naudit=all"));
  g_autoptr(StrandHandle) good = stack_call (stack, "test.echo", g_variant_new ("(s)", "x"), NULL);
  g_autoptr(StrandHandle) bad = stack_call (stack, "test.nothing", NULL, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store =
      STRAND_STORE (strand_stack_ref_object (stack, STRAND_KIND_STORE, "s", &error));
  g_autoptr(StrandPage) page = strand_store_list (store, NULL, NULL, 100, &error);
  g_autofree char *drawn = strand_stack_describe (stack);
  g_autoptr(GVariant) tree = strand_stack_to_variant (stack);
  g_autofree char *printed = g_variant_print (tree, TRUE);
  GPtrArray *records = strand_page_get_records (page);

  g_assert_error (strand_handle_get_error (bad), STRAND_ERROR, STRAND_ERROR_REFUSED);
  g_assert_cmpuint (records->len, ==, 2);
  for (guint i = 0; i < records->len; i++)
    {
      g_autoptr(GBytes) json = strand_record_to_json (records->pdata[i]);
      g_autofree char *text = g_strndup (g_bytes_get_data (json, NULL), g_bytes_get_size (json));

      g_assert_nonnull (strstr (text, "strand1:a:web:"));
      assert_no_secret (text);
    }
  assert_no_secret (drawn);
  assert_no_secret (printed);
  g_mutex_lock (&log_lock);
  assert_no_secret (everything->str);
  g_mutex_unlock (&log_lock);
  g_assert_nonnull (strstr (drawn, "keys"));
  stack_close (stack);
}

static void
expect_mistake (const char *keys, const char *text, const char *key, const char *cure)
{
  StrandStack *stack = stack_with_keys (keys, text);
  g_autoptr(GError) error = stack_error (stack, "door");

  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT);
  if (strstr (error->message, key) == NULL || strstr (error->message, cure) == NULL)
    g_error ("'%s' does not say '%s' and '%s'", error->message, key, cure);
  assert_no_secret (error->message);
  g_object_unref (stack);
}

static void
test_wrong_settings_name_key_and_cure (void)
{
  const char *verify = STACK ("role=verify\nallow=*=*");

  expect_mistake ("a", verify, "line 1 of 'keys'", "base64");
  expect_mistake ("# x\na QUFB", verify, "line 2 of 'keys'", "at least 32 bytes");
  expect_mistake ("a " SECRET_A "x", verify, "line 1 of 'keys'", "base64");
  expect_mistake ("a:b " SECRET_A, verify, "line 1 of 'keys'", "ID");
  expect_mistake ("a " SECRET_A "\na " SECRET_B, verify, "line 2 of 'keys'", "another line");
  expect_mistake ("a " SECRET_A " we:b", verify, "line 1 of 'keys'", "identity");
  expect_mistake ("# nothing", verify, "'keys'", "urandom");
  expect_mistake ("a " SECRET_A, STACK ("allow=*=*"), "'identity'", "'role'");
  expect_mistake ("a " SECRET_A, STACK ("role=sign\nidentity=a b"), "'identity'", "A-Z");
  expect_mistake ("a " SECRET_A " cron", STACK ("role=sign\nidentity=web"), "'keys'", "'web'");
  expect_mistake ("a " SECRET_A, STACK ("role=verify"), "'allow'", "*=*");
  expect_mistake ("a " SECRET_A, STACK ("role=verify\nallow=web"), "'allow'", "IDENTITY=FUNCTION");
  expect_mistake ("a " SECRET_A, STACK ("role=verify\nallow=web=a,,b"), "'allow'", "IDENTITY=FUNCTION");
  expect_mistake ("a " SECRET_A, STACK ("role=verify\nallow=*=*\nheader="), "'header'", "leave it out");
}

/* A program that makes the object without a keyfile, and forgets its keys: nothing passes. */
static void
test_without_keys_no_call_passes (void)
{
  g_autoptr(GObject) middleware = make_object (STRAND_KIND_MIDDLEWARE, "auth", NULL);
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(StrandStore) store = make_store ("memory", NULL);
  g_autoptr(StrandTaskrunner) runner = make_runner ("thread", "workers", 1, NULL);
  g_autoptr(StrandFunction) function = fixture_function ("test.nothing");
  g_autoptr(StrandTask) task = NULL;
  g_autoptr(StrandHandle) handle = NULL;
  StrandBackend *backend;

  g_list_store_append (chain, middleware);
  backend = make_backend ("local", "taskrunner", runner, "store", store, "middleware", chain, NULL);
  task = strand_task_new (function, G_OBJECT (backend));
  handle = strand_task_call_full (task, NULL, NULL, NULL);
  g_assert_true (strand_handle_wait (handle, DEADLINE_US, NULL));
  g_assert_nonnull (strstr (strand_handle_get_error (handle)->message, "'keys' is not set"));
  close_backend (backend);
}

static void
test_a_file_that_others_may_touch_is_refused (void)
{
  char *folder = fixture_make_folder ();
  g_autofree char *path = g_build_filename (folder, "keys", NULL);
  g_autofree char *text = g_strdup_printf (
      "[middleware door]\ntype=auth\nkeys-file=%s\nrole=verify\nallow=*=*\n[backend b]\ntype=thread\n"
      "store=memory\nmiddleware=door\n",
      path);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStack) stack = NULL;

  g_assert_true (g_file_set_contents (path, "a " SECRET_A "\nb " SECRET_B "\n", -1, NULL));
  g_assert_cmpint (g_chmod (path, 0604), ==, 0);
  stack = strand_stack_new_from_data (text, -1, "test", &error);
  g_assert_null (stack);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, "chmod 0600"));
  g_clear_error (&error);

  /* In a folder where others may put another file in its place. */
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  g_assert_cmpint (g_chmod (folder, 0707), ==, 0);
  stack = strand_stack_new_from_data (text, -1, "test", &error);
  g_assert_null (stack);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG);
  g_assert_nonnull (strstr (error->message, folder));
  g_assert_nonnull (strstr (error->message, "chmod o-w"));
  g_clear_error (&error);

  g_assert_cmpint (g_chmod (folder, 0700), ==, 0);
  stack = strand_stack_new_from_data (text, -1, "test", &error);
  g_assert_no_error (error);
  assert_refused (stack, "test.nothing", "k", "()", NULL, "no token");
  stack_close (g_steal_pointer (&stack));
  fixture_remove_folder (folder);
}

/* Half of the calls may not be made; every one of these is refused and audited, and no other. */
static void
test_eight_threads_are_told_apart (void)
{
  static const StormCall calls[] = {
    { "test.nothing", "()" }, { "test.echo", "('x',)" }, { "test.fail", "('no',)" }, { "test.bytes", "()" }
  };
  StrandStack *stack = stack_with_keys (
      "a " SECRET_A, "[middleware door]\ntype=auth\nkeys=${STRAND_TEST_KEYS}\nidentity=web\n"
                     "allow=web=test.nothing,test.fail\n[middleware count]\ntype=metrics\n"
                     "[backend b]\ntype=thread\nworkers=2\nstore=memory\nmiddleware=count;door\n");
  g_autoptr(GObject) count = stack_middleware (stack, "count");
  g_autoptr(GVariant) stats = NULL;
  guint64 n_refused, n_total;
  int before = g_atomic_int_get (&n_audits);

  g_atomic_int_set (&quiet, TRUE);
  g_assert_cmpuint (stack_storm (stack, 8, 2500, calls, G_N_ELEMENTS (calls)), ==, 5000);
  g_atomic_int_set (&quiet, FALSE);
  g_assert_cmpint (g_atomic_int_get (&n_audits) - before, ==, 10000);
  g_object_get (count, "stats", &stats, NULL);
  g_assert_true (g_variant_lookup (stats, "refused", "t", &n_refused));
  g_assert_true (g_variant_lookup (stats, "total", "t", &n_total));
  g_assert_cmpuint (n_refused, ==, 10000);
  g_assert_cmpuint (n_total, ==, 20000);
  stack_close (stack);
}

/* --- a queue that strangers can write to -----------------------------------------------------------------
 */

/* What somebody writes into the store with his own hands. */
static void
leave_call (StrandStore *store, const char *function, const char *key, const char *arguments,
            const char *token)
{
  g_autoptr(StrandRecord) record = strand_record_new (key);
  g_autoptr(GVariant) tuple = g_variant_ref_sink (g_variant_new_parsed (arguments));
  g_autoptr(GError) error = NULL;

  strand_record_set_string (record, STRAND_FIELD_FUNCTION, function);
  strand_record_set_string (record, STRAND_FIELD_QUEUE, "default");
  strand_record_set_int (record, STRAND_FIELD_RETRIES, 3);
  if (token != NULL)
    strand_record_set_variant (record, STRAND_FIELD_HEADERS,
                               g_variant_new_parsed ("{'strand-auth': %s}", token));
  g_assert_true (strand_record_set_arguments (record, tuple, NULL, &error));
  strand_store_put (store, record, 0, &error);
  g_assert_no_error (error);
}

static StrandRecord *
record_of (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  StrandRecord *record = strand_store_get (store, key, &error);

  g_assert_no_error (error);
  return record;
}

static StrandReader *
start_worker (StrandStack *stack, StrandStore *store, StrandTaskrunner *runner)
{
  const char *const queues[] = { "default", NULL };
  g_autoptr(GListStore) chain = g_list_store_new (STRAND_TYPE_MIDDLEWARE);
  g_autoptr(GObject) door = stack_middleware (stack, "door");
  g_autoptr(GError) error = NULL;
  StrandReader *reader;

  g_list_store_append (chain, door);
  reader = g_object_new (STRAND_TYPE_READER, "store", store, "taskrunner", runner, "middleware", chain,
                         "queues", queues, "jobs", 2, "retry-delay", (gint64) 0, NULL);
  g_assert_true (strand_reader_listen (reader, &error));
  g_assert_no_error (error);
  return reader;
}

/* Once, for good, before the function was reached, and in words that say why. */
static void
assert_turned_away (StrandStore *store, const char *key, const char *why)
{
  g_autoptr(StrandRecord) record = record_of (store, key);
  g_autoptr(GError) error = strand_record_dup_error (record);

  g_assert_cmpint (strand_record_get_status (record), ==, STRAND_STATUS_FAILED);
  g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_ATTEMPT), ==, 1);
  g_assert_error (error, STRAND_ERROR, STRAND_ERROR_REFUSED);
  if (strstr (error->message, why) == NULL)
    g_error ("'%s' does not say '%s'", error->message, why);
}

static void
test_a_worker_turns_strangers_away (void)
{
  StrandStack *stack = stack_with_keys ("a " SECRET_A, STACK ("role=verify\nallow=web=test.data,test.echo"));
  g_autoptr(StrandStore) store =
      STRAND_STORE (strand_stack_ref_object (stack, STRAND_KIND_STORE, "s", NULL));
  StrandTaskrunner *runner = make_runner ("thread", "workers", 2, NULL);
  gint64 now_s = strand_clock_now_us () / G_USEC_PER_SEC;
  g_autofree char *forged = token_by_hand ("a", BYTES_B, "web", FUTURE_S, "test.data", "forged", "()");
  g_autofree char *expired = token_by_hand ("a", BYTES_A, "web", now_s - 1, "test.data", "expired", "()");
  g_autofree char *stolen = token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.echo", "good", "('x',)");
  g_autofree char *raised = token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.fail", "raised", "('x',)");
  g_autofree char *later = token_by_hand ("a", BYTES_A, "web", FUTURE_S, "test.echo", "later", "('y',)");
  int n_before = g_atomic_int_get (&n_audits);
  StrandReader *reader;
  g_autoptr(GError) error = NULL;

  leave_call (store, "test.data", "forged", "()", forged);
  leave_call (store, "test.data", "missing", "()", NULL);
  leave_call (store, "test.data", "expired", "()", expired);
  leave_call (store, "test.echo", "stolen", "('x',)", stolen);
  leave_call (store, "test.fail", "raised", "('x',)", raised);
  leave_call (store, "test.echo", "good", "('x',)", stolen);
  fixture_last_data = &error; /* which the function would change */

  reader = start_worker (stack, store, runner);
  g_assert_true (strand_reader_wait_idle (reader, g_get_monotonic_time () + DEADLINE_US, &error));
  assert_turned_away (store, "forged", "with another secret");
  assert_turned_away (store, "missing", "no token in header 'strand-auth'");
  assert_turned_away (store, "expired", "expired");
  assert_turned_away (store, "stolen", "not made for this call");
  assert_turned_away (store, "raised", "'web' may not call it");
  g_assert_true (g_atomic_pointer_get (&fixture_last_data) == &error);
  g_assert_cmpint (g_atomic_int_get (&n_audits) - n_before, ==, 5);

  /* And goes on with what may run. */
  leave_call (store, "test.echo", "later", "('y',)", later);
  wait_until (strand_store_count (store, &(StrandFilter){ .statuses = 1 << STRAND_STATUS_COMPLETED }, NULL) ==
              2);
  g_assert_true (strand_reader_stop (reader, g_get_monotonic_time () + DEADLINE_US, &error));
  g_assert_no_error (error);
  finalize_soon (reader);
  close_runner (runner);
  g_clear_object (&store);
  stack_close (stack);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);
  fixture_add_functions ();
  everything = g_string_new (NULL);
  g_log_set_writer_func (keep, NULL, NULL);

#define ADD(name, func) g_test_add_func ("/auth/" name, func)
  ADD ("signed-calls-run", test_signed_calls_run);
  ADD ("an-unsigned-call-is-refused", test_an_unsigned_call_is_refused);
  ADD ("a-token-is-good-for-one-call", test_a_token_is_good_for_one_call);
  ADD ("no-changed-token-passes", test_no_changed_token_passes);
  ADD ("the-documented-format-is-the-real-one", test_the_documented_format_is_the_real_one);
  ADD ("a-token-expires", test_a_token_expires);
  ADD ("lifetime-starts-when-the-call-may", test_lifetime_starts_when_the_call_may);
  ADD ("identities-call-only-what-they-may", test_identities_call_only_what_they_may);
  ADD ("a-key-is-replaced-without-a-refusal", test_a_key_is_replaced_without_a_refusal);
  ADD ("a-verifier-makes-no-tokens", test_a_verifier_makes_no_tokens);
  ADD ("admissions-are-audited-if-asked", test_admissions_are_audited_if_asked);
  ADD ("the-secret-is-nowhere", test_the_secret_is_nowhere);
  ADD ("wrong-settings-name-key-and-cure", test_wrong_settings_name_key_and_cure);
  ADD ("without-keys-no-call-passes", test_without_keys_no_call_passes);
  ADD ("a-file-that-others-may-touch-is-refused", test_a_file_that_others_may_touch_is_refused);
  ADD ("a-worker-turns-strangers-away", test_a_worker_turns_strangers_away);
  ADD ("eight-threads-are-told-apart", test_eight_threads_are_told_apart);

  status = g_test_run ();
  g_string_free (everything, TRUE);
  g_clear_pointer (&last_audit, g_hash_table_unref);
  return status;
}
