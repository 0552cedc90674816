/* records.c — looking at calls by key, from any process: status, show, result, wait, cancel, list, cleanup.
 *
 * Several keys are dealt with one after the other; one that fails does not keep the others from their turn,
 * and the first failure decides the exit status.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "command.h"

#include <string.h>

/* A page of a listing: memory stays small however large the store is. */
#define PAGE_RECORDS 500

static struct
{
  gint64 timeout_us;
  char *status;
  char *queue;
  char *kind;
  gboolean dead;
  gint64 limit;
} given = { .timeout_us = STRAND_UNSET, .limit = -1 };

const Option result_options[] = {
  { 0, "timeout", OPTION_DURATION, &given.timeout_us, "DURATION",
    "Wait that long for the call's end; none: for ever" },
  { 0 },
};

const Option wait_options[] = {
  { 0, "timeout", OPTION_DURATION, &given.timeout_us, "DURATION", "Wait no longer than that" },
  { 0 },
};

const Option list_options[] = {
  { 0, "status", OPTION_TEXT, &given.status, "STATUS", "pending, running, completed, failed or cancelled" },
  { 0, "queue", OPTION_TEXT, &given.queue, "QUEUE", "Only calls of this queue" },
  { 0, "kind", OPTION_TEXT, &given.kind, "KIND", "Records of this kind instead of calls; '*' for every kind" },
  { 0, "dead", OPTION_FLAG, &given.dead, NULL, "Only calls whose workers died too often" },
  { 0, "limit", OPTION_NUMBER, &given.limit, "N", "No more than that" },
  { 0 },
};

static void
note_status (Status *first, Status status)
{
  if (*first == STATUS_DONE)
    *first = status;
}

/* The key comes from the command line: it may be anything. */
static StrandRecord *
get_record (StrandStore *store, const char *key, GError **error)
{
  return strand_key_check (key, error) ? strand_store_get (store, key, error) : NULL;
}

/* Everything that --json prints of several keys stands in one array, of one key alone. */
static void
begin_json (Session *session, guint n_keys)
{
  if (session->json && n_keys > 1)
    output_text ("[\n");
}

static void
separate_json (Session *session, gboolean *begun)
{
  if (session->json && *begun)
    output_text (",\n");
  *begun = TRUE;
}

static void
end_json (Session *session, guint n_keys)
{
  if (session->json && n_keys > 1)
    output_text ("\n]\n");
  else if (session->json)
    output_text ("\n");
}

/* What a family of one-record commands does with each record. */
typedef void (*RecordFunc) (Session *session, StrandRecord *record, guint n_keys);

static Status
for_each_record (Session *session, char **keys, RecordFunc func)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  guint n_keys = g_strv_length (keys);
  Status status = STATUS_DONE;
  gboolean begun = FALSE;

  if (n_keys == 0)
    return session_usage (session, "Which key?");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);

  begin_json (session, n_keys);
  for (guint i = 0; i < n_keys; i++)
    {
      g_autoptr(GError) cause = NULL;
      g_autoptr(StrandRecord) record = get_record (store, keys[i], &cause);

      if (record == NULL)
        {
          note_status (&status, session_complain (cause));
          continue;
        }
      separate_json (session, &begun);
      func (session, record, n_keys);
    }
  end_json (session, n_keys);
  return status;
}

static void
append_status_json (StrandRecord *record)
{
  GString *json = g_string_new ("{");

  output_json_member (json, "key", strand_record_get_key (record));
  output_json_member (json, "status", strand_status_to_string (strand_record_get_status (record)));
  g_string_append_c (json, '}');
  output_text (json->str);
  g_string_free (json, TRUE);
}

static void
print_status (Session *session, StrandRecord *record, guint n_keys)
{
  const char *status = strand_status_to_string (strand_record_get_status (record));

  if (session->json)
    append_status_json (record);
  else if (n_keys > 1)
    output_format ("%s\t%s\n", strand_record_get_key (record), status);
  else
    output_format ("%s\n", status);
}

Status
records_status (Session *session, char **arguments)
{
  return for_each_record (session, arguments, print_status);
}

static void
print_field (const char *name, const char *text)
{
  if (text != NULL && *text != '\0')
    {
      g_autofree char *printable = output_dup_printable (text);

      output_format ("%-14s %s\n", name, printable);
    }
}

/* Arguments and value, decoded; where that cannot be done, why. */
static void
print_payload (const char *name, GVariant *value, const GError *error)
{
  g_autofree char *text = NULL;

  if (value == NULL)
    text = g_strdup_printf ("(cannot be read: %s)", error->message);
  else if (!g_variant_is_of_type (value, G_VARIANT_TYPE_UNIT))
    text = g_variant_print (value, FALSE);
  print_field (name, text);
}

static void
print_causes (StrandRecord *record)
{
  GVariant *causes = strand_record_get_variant (record, STRAND_FIELD_CAUSES);
  const char *worker, *domain, *nick, *message;
  GVariantIter iter;
  guint32 attempt;
  gint64 time_us;
  gint32 code;

  if (causes == NULL)
    return;
  g_variant_iter_init (&iter, causes);
  while (g_variant_iter_next (&iter, "(u&sx&s&si&s)", &attempt, &worker, &time_us, &domain, &nick, &code,
                              &message))
    {
      g_autofree char *time = output_dup_time (time_us);
      g_autofree char *text =
          *nick != '\0'
              ? g_strdup_printf ("attempt %u, %s: %s (%s %s)", attempt, time, message, domain, nick)
              : g_strdup_printf ("attempt %u, %s: %s (%s %d)", attempt, time, message, domain, code);

      print_field ("error", text);
    }
}

static void
print_variant_field (StrandRecord *record, StrandField field)
{
  GVariant *value = strand_record_get_variant (record, field);

  if (value != NULL && g_variant_n_children (value) > 0)
    {
      g_autofree char *text = g_variant_print (value, FALSE);

      print_field (strand_field_get_name (field), text);
    }
}

static void
print_times (StrandRecord *record)
{
  static const StrandField times[] = { STRAND_FIELD_CREATED, STRAND_FIELD_NOT_BEFORE, STRAND_FIELD_EXPIRES,
                                       STRAND_FIELD_STARTED, STRAND_FIELD_COMPLETED };
  gint64 ttl_us = strand_record_get_int (record, STRAND_FIELD_TTL);

  for (guint i = 0; i < G_N_ELEMENTS (times); i++)
    {
      gint64 time_us = strand_record_get_int (record, times[i]);
      g_autofree char *text = time_us > 0 ? output_dup_time (time_us) : NULL;

      print_field (strand_field_get_name (times[i]), text);
    }
  if (ttl_us >= 0)
    {
      g_autofree char *text = strand_duration_to_string (ttl_us);

      print_field ("ttl", text);
    }
}

static gint64
duration_of (StrandRecord *record)
{
  gint64 started_us = strand_record_get_int (record, STRAND_FIELD_STARTED);
  gint64 completed_us = strand_record_get_int (record, STRAND_FIELD_COMPLETED);

  return started_us > 0 && completed_us > 0 ? MAX (completed_us - started_us, 0) : -1;
}

static void
print_progress (StrandRecord *record)
{
  double progress = strand_record_get_double (record, STRAND_FIELD_PROGRESS);
  gint64 attempt = strand_record_get_int (record, STRAND_FIELD_ATTEMPT);
  gint64 retries = strand_record_get_int (record, STRAND_FIELD_RETRIES);

  if (progress >= 0)
    output_format ("%-14s %d %%\n", "progress", (int) (progress * 100));
  print_field ("message", strand_record_get_string (record, STRAND_FIELD_MESSAGE));
  /* -1: as many as its reader says, which is not in the record. */
  if (attempt > 0 && retries >= 0)
    output_format ("%-14s %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT "\n", "attempt", attempt, 1 + retries);
  else if (attempt > 0)
    output_format ("%-14s %" G_GINT64_FORMAT "\n", "attempt", attempt);
}

static void
print_record (StrandRecord *record)
{
  g_autoptr(GError) arguments_error = NULL, value_error = NULL;
  g_autoptr(GVariant) arguments = strand_record_dup_arguments (record, &arguments_error);
  g_autoptr(GVariant) value = strand_record_dup_value (record, &value_error);
  g_autofree char *duration = duration_of (record) >= 0 ? output_dup_duration (duration_of (record)) : NULL;

  print_field ("key", strand_record_get_key (record));
  print_field ("function", strand_record_get_string (record, STRAND_FIELD_FUNCTION));
  print_field ("status", strand_status_to_string (strand_record_get_status (record)));
  if (strand_record_get_int (record, STRAND_FIELD_CANCEL_REQUESTED) &&
      !strand_status_is_terminal (strand_record_get_status (record)))
    print_field ("cancel", "requested");
  print_payload ("arguments", arguments, arguments_error);
  print_payload ("value", value, value_error);
  print_causes (record);
  print_progress (record);
  print_times (record);
  print_field ("duration", duration);
  print_field ("queue", strand_record_get_string (record, STRAND_FIELD_QUEUE));
  print_field ("holder", strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER));
  print_field ("retry of", strand_record_get_string (record, STRAND_FIELD_RETRY_OF));
  print_variant_field (record, STRAND_FIELD_HEADERS);
  print_variant_field (record, STRAND_FIELD_METADATA);
  print_variant_field (record, STRAND_FIELD_WARNINGS);
  print_field ("serializer", strand_record_get_string (record, STRAND_FIELD_SERIALIZER));
}

static void
print_record_json (StrandRecord *record)
{
  g_autoptr(GBytes) json = strand_record_to_json (record);
  gsize length;
  const char *text = g_bytes_get_data (json, &length);

  /* In a file it ends in a newline; here it may be followed by a comma. */
  output_length (text, length > 0 && text[length - 1] == '\n' ? length - 1 : length);
}

static void
show_record (Session *session, StrandRecord *record, guint n_keys)
{
  static gboolean begun;

  if (session->json)
    {
      print_record_json (record);
      return;
    }
  if (begun)
    output_text ("\n");
  begun = TRUE;
  print_record (record);
}

Status
records_show (Session *session, char **arguments)
{
  return for_each_record (session, arguments, show_record);
}

/* The handle of a key, whose call has ended or has had its time to. */
static StrandHandle *
await_handle (StrandStore *store, const char *key, gint64 deadline_us, GError **error)
{
  g_autoptr(StrandHandle) handle = NULL;
  gint64 left_us = -1;

  if (!strand_key_check (key, error))
    return NULL;
  handle = strand_handle_new (store, key, error);
  if (handle == NULL)
    return NULL;
  if (deadline_us >= 0)
    left_us = MAX (deadline_us - strand_clock_monotonic_us (), 0);
  if (!strand_handle_is_ready (handle) && !strand_handle_wait (handle, left_us, error))
    return NULL;
  return g_steal_pointer (&handle);
}

static void
append_result_json (const char *key, GVariant *value)
{
  GString *json = g_string_new ("{");

  output_json_member (json, "key", key);
  output_json_member (json, "type", g_variant_get_type_string (value));
  g_string_append (json, ",\"value\":");
  if (!strand_json_append_variant (json, value))
    g_string_append (json, "null");
  g_string_append_c (json, '}');
  output_text (json->str);
  g_string_free (json, TRUE);
}

/* The error of a call that did not complete, as status_of_call() wants it. */
static Status
complain_of_call (StrandRecord *record)
{
  StrandStatus status = strand_record_get_status (record);
  g_autoptr(GError) error = strand_record_dup_error (record);

  if (error != NULL)
    session_complain (error);
  else
    session_say ("The call '%s' %s", strand_record_get_key (record),
                 status == STRAND_STATUS_CANCELLED ? "was cancelled" : "failed without a reason");
  return status == STRAND_STATUS_CANCELLED ? STATUS_CANCELLED
         : error != NULL                   ? status_of_call (status, error)
                                           : STATUS_FAILED;
}

/* The key's record, ended. STATUS_DONE and the record, or why there is none, said already. */
static Status
await_record (StrandStore *store, const char *key, gint64 deadline_us, StrandRecord **record)
{
  g_autoptr(GError) error = NULL;

  if (deadline_us != STRAND_UNSET)
    {
      g_autoptr(StrandHandle) handle = await_handle (store, key, deadline_us, &error);

      if (handle == NULL)
        return session_complain (error);
    }
  *record = get_record (store, key, &error);
  if (*record == NULL)
    return session_complain (error);
  if (strand_status_is_terminal (strand_record_get_status (*record)))
    return STATUS_DONE;

  session_say ("The call '%s' of '%s' is still %s; --timeout waits for it", key,
               strand_record_get_string (*record, STRAND_FIELD_FUNCTION),
               strand_status_to_string (strand_record_get_status (*record)));
  g_clear_pointer (record, strand_record_unref);
  return STATUS_FAILED;
}

static gint64
deadline_of (gint64 timeout_us)
{
  return timeout_us < 0 ? timeout_us : strand_clock_monotonic_us () + timeout_us;
}

static Status
print_result (Session *session, StrandRecord *record, gboolean *begun)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value = NULL;

  if (strand_record_get_status (record) != STRAND_STATUS_COMPLETED)
    return complain_of_call (record);
  value = strand_record_dup_value (record, &error);
  if (value == NULL)
    return session_complain (error);
  if (session->json)
    {
      separate_json (session, begun);
      append_result_json (strand_record_get_key (record), value);
    }
  else
    output_value (value);
  return STATUS_DONE;
}

Status
records_result (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  gint64 deadline_us = deadline_of (given.timeout_us);
  guint n_keys = g_strv_length (arguments);
  Status status = STATUS_DONE;
  gboolean begun = FALSE;

  if (n_keys == 0)
    return session_usage (session, "Which key?");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);

  begin_json (session, n_keys);
  for (guint i = 0; i < n_keys; i++)
    {
      g_autoptr(StrandRecord) record = NULL;
      Status one = await_record (store, arguments[i], deadline_us, &record);

      note_status (&status, one == STATUS_DONE ? print_result (session, record, &begun) : one);
    }
  if (begun || n_keys > 1)
    end_json (session, n_keys);
  return status;
}

/* strand wait: all handles at once, so that progress shows and Ctrl-C ends the wait. */
typedef struct
{
  guint n_left;
  guint n_keys;
  gboolean timed_out;
  gboolean interrupted;
} Wait;

static void
on_handle_ended (GObject *object, GAsyncResult *result, gpointer user_data)
{
  GVariant *value = strand_handle_wait_finish (STRAND_HANDLE (object), result, NULL);
  Wait *wait = user_data;

  /* How it ended is asked of the handle. */
  g_clear_pointer (&value, g_variant_unref);
  if (strand_handle_is_ready (STRAND_HANDLE (object)))
    wait->n_left--;
}

static gboolean
on_timeout (gpointer user_data)
{
  ((Wait *) user_data)->timed_out = TRUE;
  return G_SOURCE_REMOVE;
}

static void
on_interrupt (gpointer user_data)
{
  ((Wait *) user_data)->interrupted = TRUE;
}

static double
sum_progress (GPtrArray *handles)
{
  double sum = 0;

  for (guint i = 0; i < handles->len; i++)
    {
      StrandHandle *handle = g_ptr_array_index (handles, i);

      sum += strand_handle_is_ready (handle) ? 1 : MAX (strand_handle_get_progress (handle), 0);
    }
  return handles->len > 0 ? sum / handles->len : 0;
}

static void
show_wait (StrandHandle *handle, GParamSpec *pspec, gpointer user_data)
{
  GPtrArray *handles = user_data;
  g_autofree char *text = NULL;
  guint n_ended = 0;

  for (guint i = 0; i < handles->len; i++)
    n_ended += strand_handle_is_ready (g_ptr_array_index (handles, i)) ? 1 : 0;
  text = g_strdup_printf ("%u of %u ended", n_ended, handles->len);
  progress_set (sum_progress (handles), text);
}

static void
wait_for_handles (GPtrArray *handles, Wait *wait)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GSource) timeout = NULL;

  interrupt_catch (on_interrupt, wait);
  if (given.timeout_us >= 0)
    {
      timeout = g_timeout_source_new ((guint) MIN ((given.timeout_us + 999) / 1000, G_MAXUINT));
      g_source_set_callback (timeout, on_timeout, wait, NULL);
      g_source_attach (timeout, NULL);
    }
  for (guint i = 0; i < handles->len; i++)
    {
      StrandHandle *handle = g_ptr_array_index (handles, i);

      g_signal_connect (handle, "notify", G_CALLBACK (show_wait), handles);
      strand_handle_wait_async (handle, cancellable, on_handle_ended, wait);
    }
  while (wait->n_left > 0 && !wait->timed_out && !wait->interrupted)
    g_main_context_iteration (NULL, TRUE);

  for (guint i = 0; i < handles->len; i++)
    g_signal_handlers_disconnect_by_data (g_ptr_array_index (handles, i), handles);
  g_cancellable_cancel (cancellable);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  if (timeout != NULL)
    g_source_destroy (timeout);
  progress_hide ();
}

static Status
report_handle (Session *session, StrandHandle *handle, const Wait *wait)
{
  const GError *error = strand_handle_get_error (handle);
  StrandStatus status = strand_handle_get_status (handle);

  if (!strand_handle_is_ready (handle))
    {
      session_say ("The call '%s' is still %s", strand_handle_get_key (handle),
                   strand_status_to_string (status));
      return wait->timed_out ? STATUS_TIMED_OUT : STATUS_CANCELLED;
    }
  if (error != NULL && !session->json)
    session_say ("%s: %s", strand_handle_get_key (handle), error->message);
  return status_of_call (status, error);
}

Status
records_wait (Session *session, char **arguments)
{
  g_autoptr(GPtrArray) handles = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  static Wait wait; /* the signal thread keeps it */
  Status status = STATUS_DONE;

  if (arguments[0] == NULL)
    return session_usage (session, "Which key?");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);

  for (guint i = 0; arguments[i] != NULL; i++)
    {
      g_autoptr(GError) cause = NULL;
      StrandHandle *handle =
          strand_key_check (arguments[i], &cause) ? strand_handle_new (store, arguments[i], &cause) : NULL;

      if (handle != NULL)
        g_ptr_array_add (handles, handle);
      else
        note_status (&status, session_complain (cause));
    }
  wait.n_left = handles->len;
  wait_for_handles (handles, &wait);

  for (guint i = 0; i < handles->len; i++)
    note_status (&status, report_handle (session, g_ptr_array_index (handles, i), &wait));
  if (session->json)
    {
      output_text ("[");
      for (guint i = 0; i < handles->len; i++)
        {
          g_autoptr(GString) json = g_string_new (i > 0 ? ",\n{" : "{");
          StrandHandle *handle = g_ptr_array_index (handles, i);

          output_json_member (json, "key", strand_handle_get_key (handle));
          output_json_member (json, "status", strand_status_to_string (strand_handle_get_status (handle)));
          g_string_append_c (json, '}');
          output_text (json->str);
        }
      output_text ("]\n");
    }
  return status;
}

static Status
cancel_key (StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandRecord) record = NULL;

  if (!strand_key_check (key, &error))
    return session_complain (error);
  if (strand_store_cancel_call (store, key, &error))
    return STATUS_DONE;
  if (error != NULL)
    return session_complain (error);

  record = strand_store_get (store, key, NULL);
  session_say ("Could not cancel call '%s': it has ended already%s%s", key, record != NULL ? ": it is " : "",
               record != NULL ? strand_status_to_string (strand_record_get_status (record)) : "");
  return STATUS_FAILED;
}

Status
records_cancel (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  Status status = STATUS_DONE;

  if (arguments[0] == NULL)
    return session_usage (session, "Which key?");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  for (guint i = 0; arguments[i] != NULL; i++)
    note_status (&status, cancel_key (store, arguments[i]));
  return status;
}

static Status
retry_key (Session *session, StrandStore *store, const char *key)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *made = NULL;
  GString *json;

  if (strand_key_check (key, &error))
    made = strand_store_retry_call (store, key, NULL, &error);
  if (made == NULL)
    return session_complain (error);
  if (!session->json)
    {
      output_format ("%s\n", made);
      return STATUS_DONE;
    }
  json = g_string_new ("{");
  output_json_member (json, "key", made);
  output_json_member (json, "retry-of", key);
  g_string_append_c (json, '}');
  output_json (json);
  return STATUS_DONE;
}

Status
records_retry (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  Status status = STATUS_DONE;

  if (arguments[0] == NULL)
    return session_usage (session, "Which key?");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  for (guint i = 0; arguments[i] != NULL; i++)
    note_status (&status, retry_key (session, store, arguments[i]));
  return status;
}

/* Among the failed ones; what a call died of is in its last cause. */
static gboolean
is_wanted (StrandRecord *record)
{
  g_autoptr(GError) error = given.dead ? strand_record_dup_error (record) : NULL;

  return !given.dead || g_error_matches (error, STRAND_ERROR, STRAND_ERROR_DEAD);
}

static void
add_row (Table *table, StrandRecord *record)
{
  g_autofree char *created = output_dup_time (strand_record_get_int (record, STRAND_FIELD_CREATED));
  g_autofree char *duration = output_dup_duration (duration_of (record));

  table_add (table, strand_record_get_key (record),
             strand_status_to_string (strand_record_get_status (record)),
             strand_record_get_string (record, STRAND_FIELD_FUNCTION), created, duration,
             strand_record_get_string (record, STRAND_FIELD_QUEUE));
}

static void
name_unreadable (StrandPage *page)
{
  for (guint i = 0; i < strand_page_get_n_unreadable (page); i++)
    {
      const GError *error = NULL;
      const char *name = strand_page_get_unreadable (page, i, &error);

      session_say ("Could not read '%s': %s", name, error->message);
    }
}

/* One page; FALSE once nobody wants more. */
static gboolean
print_page (Session *session, StrandPage *page, Table *table, gboolean *begun)
{
  GPtrArray *records = strand_page_get_records (page);

  for (guint i = 0; i < records->len; i++)
    if (!is_wanted (g_ptr_array_index (records, i)))
      continue;
    else if (session->json)
      {
        separate_json (session, begun);
        print_record_json (g_ptr_array_index (records, i));
      }
    else
      add_row (table, g_ptr_array_index (records, i));
  table_print (table);
  name_unreadable (page);
  return output_flush ();
}

static Status
list_store (Session *session, StrandStore *store, const StrandFilter *filter)
{
  g_autoptr(Table) table = table_new ("KEY", "STATUS", "FUNCTION", "CREATED", "DURATION", "QUEUE", NULL);
  gint64 left = given.limit >= 0 ? given.limit : G_MAXINT64;
  g_autofree char *cursor = NULL;
  gboolean begun = FALSE, more = left > 0;
  Status status = STATUS_DONE;

  if (session->json)
    output_text ("[\n");
  while (more)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandPage) page =
          strand_store_list (store, filter, cursor, (guint) MIN (left, PAGE_RECORDS), &error);

      if (page == NULL)
        {
          status = session_complain (error);
          break;
        }
      left -= strand_page_get_records (page)->len;
      more = print_page (session, page, table, &begun) && strand_page_get_next (page) != NULL && left > 0;
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  if (session->json)
    output_text (begun ? "\n]\n" : "]\n");
  return status;
}

Status
records_list (Session *session, char **arguments)
{
  StrandFilter filter = { .queue = given.queue, .kind = given.kind };
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  StrandStatus status;

  if (arguments[0] != NULL)
    return session_usage (session, "'list' takes no arguments");
  if (given.status != NULL)
    {
      if (!strand_status_from_string (given.status, &status))
        return session_usage (
            session, "There is no status '%.100s'; there are pending, running, completed, failed, cancelled",
            given.status);
      filter.statuses = 1u << status;
    }
  if (given.dead)
    filter.statuses = 1u << STRAND_STATUS_FAILED;
  if (given.queue != NULL && !g_utf8_validate (given.queue, -1, NULL))
    return session_usage (session, "The queue's name is not UTF-8 text");
  if (given.kind != NULL && !g_utf8_validate (given.kind, -1, NULL))
    return session_usage (session, "The kind's name is not UTF-8 text");

  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  return list_store (session, store, &filter);
}

Status
records_cleanup (Session *session, char **arguments)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(StrandStore) store = NULL;
  gint64 removed;

  if (arguments[0] != NULL)
    return session_usage (session, "'cleanup' takes no arguments");
  store = session_ref_store (session, &error);
  if (store == NULL)
    return session_complain (error);
  removed = strand_store_cleanup_expired (store, -1, &error);
  if (removed < 0)
    return session_complain (error);
  if (session->json)
    output_format ("{\"removed\":%" G_GINT64_FORMAT "}\n", removed);
  else if (!session->quiet)
    output_format ("%" G_GINT64_FORMAT " removed\n", removed);
  return STATUS_DONE;
}
