/* store-processes.c — many processes at once, and some of them killed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "store-private.h"

#include <stdio.h>
#include <string.h>

/* The hand. */

static char *
answer_error (GError *error)
{
  char *text = g_strdup (error->message);

  g_error_free (error);
  return text;
}

static char *
do_create (StrandStore *store, const char *key, const char *queue)
{
  g_autoptr(StrandRecord) record = store_record (key);
  GError *error = NULL;

  strand_record_set_string (record, STRAND_FIELD_QUEUE, queue);
  return strand_store_put (store, record, 0, &error) ? NULL : answer_error (error);
}

static char *
do_rewrite (StrandStore *store, const char *key, gboolean give_back)
{
  g_autoptr(StrandRecord) record = store_get (store, key);
  GError *error = NULL;

  if (give_back)
    strand_record_give_back (record);
  return strand_store_put (store, record, strand_record_get_revision (record), &error) ? NULL
                                                                                       : answer_error (error);
}

static char *
do_get (StrandStore *store, const char *key)
{
  GError *error = NULL;
  g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

  return record != NULL ? g_strdup_printf ("revision %" G_GUINT64_FORMAT, strand_record_get_revision (record))
                        : answer_error (error);
}

static char *
do_claim_all (StrandConformance *self, StrandStore *store, const char *queue)
{
  guint n;

  do
    {
      g_autoptr(GPtrArray) claimed = store_claim (store, queue, 3);

      n = claimed->len;
      for (guint i = 0; i < n; i++)
        strand_conformance_send (self, strand_record_get_key (claimed->pdata[i]));
    }
  while (n > 0);
  return NULL;
}

/* What the hand answers, NULL for "ok". */
static char *
obey (StrandConformance *self, StrandStore *store, GStrv words)
{
  const char *first = words[1] != NULL ? words[1] : "";
  GError *error = NULL;

  if (strcmp (words[0], "create") == 0)
    return do_create (store, first, NULL);
  if (strcmp (words[0], "leave") == 0)
    return do_create (store, first, words[2]);
  if (strcmp (words[0], "rewrite") == 0)
    return do_rewrite (store, first, FALSE);
  if (strcmp (words[0], "give-back") == 0)
    return do_rewrite (store, first, TRUE);
  if (strcmp (words[0], "get") == 0)
    return do_get (store, first);
  if (strcmp (words[0], "remove") == 0)
    return strand_store_remove (store, first, 0, &error) ? NULL : answer_error (error);
  if (strcmp (words[0], "claim-one") == 0)
    {
      strand_record_unref (store_claim_one (store, first));
      return NULL;
    }
  if (strcmp (words[0], "claim-all") == 0)
    return do_claim_all (self, store, first);
  if (strcmp (words[0], "append") == 0)
    {
      store_append (store, first, 1, g_ascii_strtoull (words[2], NULL, 10),
                    (guint) g_ascii_strtoull (words[3], NULL, 10), 100000);
      return NULL;
    }
  if (strcmp (words[0], "count-up") == 0)
    {
      store_count_up (store, "counter", (guint) g_ascii_strtoull (first, NULL, 10));
      return NULL;
    }
  if (strcmp (words[0], "create-all") == 0)
    return g_strdup_printf ("%u", store_create_all (store, (guint) g_ascii_strtoull (first, NULL, 10)));
  return g_strdup_printf ("no hand knows '%s'", words[0]);
}

void
store_play_hand (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  char *line;

  while ((line = strand_conformance_receive (self)) != NULL)
    {
      g_auto(GStrv) words = g_strsplit (line, " ", -1);
      g_autofree char *answer = obey (self, store, words);

      strand_conformance_send (self, answer != NULL ? answer : "ok");
      g_free (line);
    }
}

static void
seen_by_others (StrandConformance *self)
{
  StrandConformancePeer *one = strand_conformance_start_peer (self, "hand", NULL);
  StrandConformancePeer *two = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autofree char *first = NULL;
  g_autofree char *second = NULL;
  g_autofree char *again = NULL;
  g_autofree char *gone = NULL;

  store_put_key (store, "job-17");
  first = store_tell (one, "get job-17");
  g_assert_cmpstr (first, ==, "revision 1");
  store_tell_ok (one, "rewrite job-17");
  second = store_tell (two, "get job-17");
  g_assert_cmpstr (second, ==, "revision 2");
  again = store_tell (one, "create job-17");
  g_assert_nonnull (strstr (again, "'job-17'"));
  store_tell_ok (two, "remove job-17");
  store_assert_gone (store, "job-17");
  gone = store_tell (one, "get job-17");
  g_assert_nonnull (strstr (gone, "'job-17'"));
  store_tell_ok (one, "create job-17");
  store_assert_there (store, "job-17");
}

static void
no_lost_update (StrandConformance *self)
{
  guint n = store_times (self, 100);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(StrandRecord) read = NULL;
  StrandConformancePeer *hands[3];
  g_autofree char *line = g_strdup_printf ("count-up %u", n);

  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    {
      g_autofree char *ready = NULL;

      hands[i] = strand_conformance_start_peer (self, "hand", NULL);
      ready = store_tell (hands[i], "get counter"); /* so that all begin at once */
    }
  store_put_key (store, "counter");
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    strand_conformance_peer_send (hands[i], line);
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    {
      g_autofree char *answer = strand_conformance_peer_receive (hands[i]);

      g_assert_cmpstr (answer, ==, "ok");
    }
  read = store_get (store, "counter");
  g_assert_cmpint (strand_record_get_int (read, STRAND_FIELD_CRASHES), ==, G_N_ELEMENTS (hands) * n);
  g_assert_cmpuint (strand_record_get_revision (read), ==, G_N_ELEMENTS (hands) * n + 1);
}

static void
created_once (StrandConformance *self)
{
  guint n = store_times (self, 200), n_created = 0;
  g_autoptr(StrandStore) store = store_make (self);
  StrandConformancePeer *hands[3];
  g_autofree char *line = g_strdup_printf ("create-all %u", n);

  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    {
      g_autofree char *ready = NULL;

      hands[i] = strand_conformance_start_peer (self, "hand", NULL);
      ready = store_tell (hands[i], "get counter");
    }
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    strand_conformance_peer_send (hands[i], line);
  for (guint i = 0; i < G_N_ELEMENTS (hands); i++)
    {
      g_autofree char *answer = strand_conformance_peer_receive (hands[i]);

      g_assert_nonnull (answer);
      n_created += (guint) g_ascii_strtoull (answer, NULL, 10);
    }
  g_assert_cmpuint (n_created, ==, n);
  g_assert_cmpint (store_count (store, NULL), ==, n);
}

/* Its claim is known to who asks, and nobody else gets the call. */
static void
cancelled_by_others (StrandConformance *self)
{
  StrandConformancePeer *hand = strand_conformance_start_peer (self, "hand", NULL);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GPtrArray) none = NULL;
  g_autoptr(StrandRecord) held = NULL;
  StrandRenewal renewal = { "job-17", 1 };
  g_autoptr(GError) error = NULL;

  store_put_work (store, "job-17", "q", STORE_NOW_US);
  store_tell_ok (hand, "claim-one q");
  none = store_claim (store, "q", 10);
  g_assert_cmpuint (none->len, ==, 0);
  held = store_get (store, "job-17");
  g_assert_cmpint (strand_record_get_status (held), ==, STRAND_STATUS_RUNNING);
  store_tell_ok (hand, "give-back job-17");
  strand_store_renew (store, &renewal, 1, &error);
  g_assert_no_error (error);
  g_assert_error (renewal.error, STRAND_ERROR, STRAND_ERROR_STALE);
  g_error_free (renewal.error);
}

const StrandConformanceCase store_process_cases[] = {
  { "processes/seen", "What one process writes and removes the others see at once.", seen_by_others,
    "shared processes" },
  { "processes/no-lost-update", "Of processes that write one record, none undoes what another was promised.",
    no_lost_update, "shared processes" },
  { "processes/created-once", "Of processes that make one record, one does and the others get `EXISTS`.",
    created_once, "shared processes" },
  { "processes/held", "A call that one process holds no other gets, until it is given back.",
    cancelled_by_others, "shared processes" },
  { 0 },
};

/* Processes that are killed while they write. */

#define N_KEYS 20
#define N_WRITERS 3

/* Counts up random keys for ever, and says each write that was accepted. */
void
store_play_writer (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);

  for (;;)
    {
      g_autofree char *key = g_strdup_printf ("key-%d", g_random_int_range (0, N_KEYS));
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);
      g_autofree char *line = NULL;
      guint64 revision;

      if (g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        {
          g_clear_error (&error);
          record = store_record (key);
        }
      g_assert_no_error (error);
      revision = strand_record_get_revision (record);
      strand_record_set_int (record, STRAND_FIELD_CRASHES, (gint64) revision + 1);
      if (strand_store_put (store, record, revision, &error))
        {
          line = g_strdup_printf ("%s %" G_GUINT64_FORMAT, key, revision + 1);
          strand_conformance_send (self, line);
        }
      else
        {
          int code = revision == 0 ? STRAND_ERROR_EXISTS : STRAND_ERROR_STALE;

          g_assert_error (error, STRAND_ERROR, code);
        }
    }
}

/* What was accepted: no revision of a key twice. */
static void
note_write (const char *line, GHashTable *accepted, guint64 *highest)
{
  guint64 revision;
  guint key;

  g_assert_cmpint (sscanf (line, "key-%u %" G_GUINT64_FORMAT, &key, &revision), ==, 2);
  g_assert_cmpuint (key, <, N_KEYS);
  highest[key] = MAX (highest[key], revision);
  g_assert_true (g_hash_table_add (accepted, g_strdup (line)));
}

/* Every record is whole, and no older than what was accepted. */
static void
look_at_all (StrandStore *store, const guint64 *accepted)
{
  for (guint i = 0; i < N_KEYS; i++)
    {
      g_autofree char *key = g_strdup_printf ("key-%u", i);
      g_autoptr(GError) error = NULL;
      g_autoptr(StrandRecord) record = strand_store_get (store, key, &error);

      if (accepted[i] == 0 && g_error_matches (error, STRAND_ERROR, STRAND_ERROR_NOT_FOUND))
        continue;
      g_assert_no_error (error);
      g_assert_cmpuint (strand_record_get_revision (record), >=, accepted[i]);
      g_assert_cmpint (strand_record_get_int (record, STRAND_FIELD_CRASHES), ==,
                       strand_record_get_revision (record));
    }
}

/* Kills a writer, and hears what it had said. */
static void
kill_writer (StrandConformancePeer *writer, GHashTable *accepted, guint64 *highest)
{
  char *line;

  strand_conformance_peer_kill (writer);
  while ((line = strand_conformance_peer_receive (writer)) != NULL)
    {
      note_write (line, accepted, highest);
      g_free (line);
    }
}

static void
killed_writers (StrandConformance *self)
{
  guint n_kills = store_times (self, 40);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) accepted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  StrandConformancePeer *writers[N_WRITERS];
  guint64 highest[N_KEYS] = { 0 };

  for (guint i = 0; i < N_WRITERS; i++)
    writers[i] = strand_conformance_start_peer (self, "writer", NULL);
  for (guint i = 0; i < n_kills; i++)
    {
      for (guint j = 0; j < N_WRITERS * 10; j++)
        {
          g_autofree char *line = strand_conformance_peer_receive (writers[j % N_WRITERS]);

          g_assert_nonnull (line);
          note_write (line, accepted, highest);
        }
      look_at_all (store, highest);
      kill_writer (writers[i % N_WRITERS], accepted, highest);
      writers[i % N_WRITERS] = strand_conformance_start_peer (self, "writer", NULL);
    }
  for (guint i = 0; i < N_WRITERS; i++)
    kill_writer (writers[i], accepted, highest);
  look_at_all (store, highest);

  /* Nothing but these, nothing unreadable; and somebody who comes later sees the same. */
  {
    g_autoptr(StrandStore) later = store_make (self);
    g_autoptr(GHashTable) keys = store_list (later, &(StrandFilter){ .kind = "*" }, 7);

    look_at_all (later, highest);
    g_assert_cmpuint (g_hash_table_size (keys), <=, N_KEYS);
    store_count_up (later, "key-0", 1);
  }
}

/* Claims one call after the other, and says which. */
void
store_play_claimant (StrandConformance *self)
{
  g_autoptr(StrandStore) store = store_make (self);
  g_autofree char *go = strand_conformance_receive (self);

  for (;;)
    {
      g_autoptr(GPtrArray) claimed = store_claim (store, "q", 2);

      for (guint i = 0; i < claimed->len; i++)
        strand_conformance_send (self, strand_record_get_key (claimed->pdata[i]));
      if (claimed->len == 0)
        strand_conformance_send (self, "none");
    }
}

static gboolean
is_owned (StrandRecord *record)
{
  return strand_record_get_status (record) == STRAND_STATUS_RUNNING &&
         strand_record_get_string (record, STRAND_FIELD_LEASE_OWNER) != NULL &&
         strand_record_get_int (record, STRAND_FIELD_FENCE) == 1;
}

static void
killed_claimants (StrandConformance *self)
{
  guint n = store_times (self, 200);
  g_autoptr(StrandStore) store = store_make (self);
  g_autoptr(GHashTable) claimed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  StrandConformancePeer *claimants[3];
  g_autoptr(GPtrArray) rest = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);

      store_put_work (store, key, "q", STORE_NOW_US - n + i);
    }
  for (guint i = 0; i < G_N_ELEMENTS (claimants); i++)
    claimants[i] = strand_conformance_start_peer (self, "claimant", NULL);
  for (guint i = 0; i < G_N_ELEMENTS (claimants); i++)
    strand_conformance_peer_send (claimants[i], "go");
  for (guint i = 0; i < G_N_ELEMENTS (claimants); i++)
    {
      char *line;

      for (guint j = 0; j < n / 10; j++)
        {
          line = strand_conformance_peer_receive (claimants[i]);
          g_assert_nonnull (line);
          g_assert_true (strcmp (line, "none") == 0 ? (g_free (line), TRUE)
                                                    : g_hash_table_add (claimed, line));
        }
      strand_conformance_peer_kill (claimants[i]);
      while ((line = strand_conformance_peer_receive (claimants[i])) != NULL)
        g_assert_true (strcmp (line, "none") == 0 ? (g_free (line), TRUE) : g_hash_table_add (claimed, line));
    }

  rest = store_claim (store, "q", n);
  for (guint i = 0; i < rest->len; i++)
    g_assert_true (g_hash_table_add (claimed, g_strdup (strand_record_get_key (rest->pdata[i]))));
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *key = g_strdup_printf ("job-%u", i);
      g_autoptr(StrandRecord) record = store_get (store, key);

      g_assert_true (is_owned (record));
    }
}

const StrandConformanceCase store_crash_cases[] = {
  { "crash/writers", "Writers that are killed lose nothing that was accepted, and leave whole records.",
    killed_writers, "shared processes" },
  { "crash/claimants", "Claimants that are killed leave each call pending or under one lease.",
    killed_claimants, "shared processes" },
  { 0 },
};
