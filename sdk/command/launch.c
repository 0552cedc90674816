/* launch.c — strand launch: leaves a call for a worker, and prints its key.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <string.h>

static struct
{
  char *queue;
  gint64 delay_us;
  gint64 expires_us;
  char *priority;
  char *unique;
  char *conflict;
} given = { .delay_us = STRAND_UNSET, .expires_us = STRAND_UNSET };

const Option launch_options[] = {
  { 0, "queue", OPTION_TEXT, &given.queue, "QUEUE", "Where it waits; the backend's queue otherwise" },
  { 0, "delay", OPTION_DURATION, &given.delay_us, "DURATION", "Start it no earlier than that from now" },
  { 0, "expires", OPTION_DURATION, &given.expires_us, "DURATION", "Start it no later than that from now" },
  { 0, "unique", OPTION_TEXT, &given.unique, "TEXT", "Only one call with this text at a time" },
  { 0, "conflict", OPTION_TEXT, &given.conflict, "WHAT",
    "If there is one: keep it (so by default), replace it, or reject this one" },
  { 0, "priority", OPTION_TEXT, &given.priority, "N", "Higher runs earlier; 0 otherwise, may be negative" },
  { 0 },
};

static gboolean
set_conflict (StrandOptions *options, GError **error)
{
  g_autoptr(GEnumClass) words = g_type_class_ref (STRAND_TYPE_CONFLICT);
  GEnumValue *value = given.conflict != NULL ? g_enum_get_value_by_nick (words, given.conflict) : NULL;

  if (value != NULL)
    strand_options_set_conflict (options, (StrandConflict) value->value);
  if (given.conflict == NULL || (value != NULL && given.unique != NULL))
    return TRUE;
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               value == NULL ? "--conflict is one of keep, replace, reject, not '%s'"
                             : "--conflict %s means something with --unique only",
               given.conflict);
  return FALSE;
}

static StrandOptions *
make_options (GError **error)
{
  g_autoptr(StrandOptions) options = call_options_make ();
  gint64 now_us = strand_clock_now_us ();
  gint64 priority = 0;

  if (given.priority != NULL &&
      !g_ascii_string_to_signed (given.priority, 10, G_MININT, G_MAXINT, &priority, error))
    {
      g_prefix_error (error, "--priority: ");
      return NULL;
    }
  if (given.priority != NULL)
    strand_options_set_priority (options, (int) priority);
  if (given.unique != NULL)
    strand_options_set_unique (options, given.unique);
  if (!set_conflict (options, error))
    return NULL;
  if (given.queue != NULL)
    strand_options_set_queue (options, given.queue);
  if (given.delay_us != STRAND_UNSET)
    strand_options_set_not_before (options, now_us + given.delay_us);
  if (given.expires_us != STRAND_UNSET)
    strand_options_set_expires (options, now_us + given.expires_us);
  return g_steal_pointer (&options);
}

/* The backend that -b names if it leaves its calls to others anyway, with its middleware; else one on the
 * same store. */
static StrandBackend *
make_backend (Session *session, GError **error)
{
  g_autoptr(StrandStore) store = session_ref_store (session, error);
  GType type;
  g_autoptr(GObject) target = NULL;

  if (store == NULL)
    return NULL;
  type = strand_plugins_load (strand_plugins_get_default (), STRAND_KIND_BACKEND, "store", error);
  if (type == G_TYPE_INVALID)
    return NULL;
  target = strand_stack_ref_target (session->stack, session->backend, NULL);
  if (target != NULL && G_OBJECT_TYPE (target) == type)
    return STRAND_BACKEND (g_steal_pointer (&target));
  return g_object_new (type, "store", store, NULL);
}

static gboolean
serves (StrandRecord *worker, const char *queue)
{
  const char *owner = strand_record_get_string (worker, STRAND_FIELD_LEASE_OWNER);
  GVariant *metadata = strand_record_get_variant (worker, STRAND_FIELD_METADATA);
  g_auto(GStrv) queues = NULL;
  const char *text;

  if (owner == NULL || strand_lease_owner_probe (owner) == STRAND_OWNER_STATE_DEAD || metadata == NULL ||
      !g_variant_lookup (metadata, "queues", "&s", &text))
    return FALSE;
  queues = g_strsplit (text, ";", -1);
  return g_strv_contains ((const char *const *) queues, queue);
}

/* Somebody who launches a call expects that it will be run. */
static void
warn_if_paused (StrandStore *store, const char *queue)
{
  if (strand_queue_is_paused (store, queue, NULL))
    session_say ("queue '%s' is paused; the call waits until it is resumed: strand queue resume %s", queue, queue);
}

static void
warn_without_worker (StrandStore *store, const char *queue)
{
  const StrandFilter filter = { .kind = "worker" };
  g_autofree char *cursor = NULL;

  do
    {
      g_autoptr(StrandPage) page = strand_store_list (store, &filter, cursor, 100, NULL);
      GPtrArray *workers = page != NULL ? strand_page_get_records (page) : NULL;

      if (workers == NULL)
        return;
      for (guint i = 0; i < workers->len; i++)
        if (serves (g_ptr_array_index (workers, i), queue))
          return;
      g_free (cursor);
      cursor = g_strdup (strand_page_get_next (page));
    }
  while (cursor != NULL);
  session_say ("no worker serves queue '%s' now; the call waits for one: strand worker --queue %s", queue,
               queue);
}

static void
print_key (Session *session, const char *key)
{
  GString *json;

  if (!session->json)
    {
      output_format ("%s\n", key);
      return;
    }
  json = g_string_new ("{");
  output_json_member (json, "key", key);
  output_json_member (json, "status", "pending");
  g_string_append_c (json, '}');
  output_json (json);
}

/* The backend is closed at once: then the record is written, and this program hears no more of the call. */
static Status
launch (Session *session, StrandBackend *backend, StrandFunction *function, GVariant *arguments,
        StrandOptions *options)
{
  g_autoptr(StrandTask) task = strand_task_new (function, G_OBJECT (backend));
  g_autoptr(StrandHandle) handle = strand_task_call_full (task, arguments, NULL, options);
  g_autofree char *queue = g_strdup (strand_options_get_queue (options));
  g_autoptr(GVariant) metadata = NULL;
  const GError *error;
  const char *key;

  if (queue == NULL)
    g_object_get (backend, "queue", &queue, NULL);
  strand_backend_close (backend, 0, NULL);
  error = strand_handle_get_error (handle);
  if (error != NULL && !g_error_matches (error, STRAND_ERROR, STRAND_ERROR_CLOSED))
    return session_complain (error);
  metadata = strand_handle_dup_metadata (handle);
  if (!g_variant_lookup (metadata, "unique-of", "&s", &key))
    key = strand_handle_get_key (handle);
  print_key (session, key);
  if (!session->quiet)
    {
      warn_if_paused (strand_backend_get_store (backend), queue);
      warn_without_worker (strand_backend_get_store (backend), queue);
    }
  return STATUS_DONE;
}

Status
launch_run (Session *session, char **arguments)
{
  g_autoptr(StrandFunction) function = NULL;
  g_autoptr(StrandBackend) backend = NULL;
  g_autoptr(StrandOptions) options = NULL;
  g_autoptr(GVariant) tuple = NULL;
  g_autoptr(GError) error = NULL;

  if (arguments[0] == NULL)
    return session_usage (session, "Which function is to be launched?");
  options = make_options (&error);
  if (options == NULL)
    return session_usage (session, "%s", error->message);
  if (!session_load (session, &error) ||
      (tuple = call_options_parse (session, arguments, &function, &error)) == NULL ||
      (backend = make_backend (session, &error)) == NULL)
    return session_complain (error);
  return launch (session, backend, function, tuple, options);
}
