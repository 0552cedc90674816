/* serializer-objects.c — what errors say; and that any object of the type reads what any other has written,
 * wherever and whenever. SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "serializer-private.h"

#include <string.h>

/* Enough for a type, a place and a reason. */
#define MAX_MESSAGE 1000

static void
check_message (const GError *error)
{
  g_assert_nonnull (error);
  g_assert_cmpuint (strlen (error->message), >, 0);
  g_assert_cmpuint (strlen (error->message), <, MAX_MESSAGE);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  for (const char *at = error->message; *at != '\0'; at = g_utf8_next_char (at))
    g_assert_false (g_unichar_iscntrl (g_utf8_get_char (at)));
}

static void
check_reading_message (StrandSerializer *serializer, gconstpointer data, gsize size, const char *type)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);
  g_autoptr(GError) error = NULL;
  g_autoptr(GVariant) value =
      strand_serializer_deserialize (serializer, bytes, G_VARIANT_TYPE (type), &error);

  if (value == NULL)
    check_message (error);
}

static void
message (StrandConformance *self)
{
  static const char *const types[] = { "b", "i", "d", "s", "o", "v", "ms", "(is)", "a{sv}", "ay" };
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GVariant) deep = serializer_nested (2000, "v");
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = NULL;
  guint8 data[4096];

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (guint byte = 0; byte < 256; byte++)
      {
        memset (data, (int) byte, sizeof data);
        check_reading_message (serializer, data, 1, types[i]);
        check_reading_message (serializer, data, sizeof data, types[i]);
        data[0] = '"';
        data[sizeof data - 1] = '"';
        check_reading_message (serializer, data, sizeof data, types[i]);
      }
  bytes = strand_serializer_serialize (serializer, deep, &error);
  if (bytes == NULL)
    check_message (error);
}

static void
unasked (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  g_autoptr(GVariant) deep = serializer_nested (2000, "v");
  g_autoptr(GBytes) refused = strand_serializer_serialize (serializer, deep, NULL);

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = strand_serializer_serialize (serializer, values->pdata[i], NULL);

      g_assert_nonnull (bytes);
      for (guint j = 0; j < values->len; j++)
        {
          g_autoptr(GVariant) value =
              strand_serializer_deserialize (serializer, bytes, g_variant_get_type (values->pdata[j]), NULL);
        }
    }
}

const StrandConformanceCase serializer_error_cases[] = {
  { "error/message", "A message is one short line of UTF-8, whatever the bytes hold.", message },
  { "error/unasked", "Nobody need ask for the error.", unasked },
  { 0 },
};

static void
check_between (StrandSerializer *writer, StrandSerializer *reader)
{
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = serializer_write (writer, values->pdata[i]);

      serializer_read_same (reader, bytes, values->pdata[i]);
    }
}

/* A record names the type and no more, so that is what reads it. */
static void
without_settings (StrandConformance *self)
{
  g_autoptr(StrandSerializer) one = strand_conformance_make (self);
  g_autoptr(StrandSerializer) plain = g_object_new (G_OBJECT_TYPE (one), NULL);

  check_between (one, plain);
  check_between (plain, one);
}

static void
no_memory (StrandConformance *self)
{
  g_autoptr(StrandSerializer) one = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();
  g_autoptr(GPtrArray) written = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);

  for (guint i = 0; i < values->len; i++)
    g_ptr_array_add (written, serializer_write (one, values->pdata[i]));
  /* In another order, by objects that have seen nothing, or only what could not be read. */
  for (guint i = values->len; i > 0; i--)
    {
      g_autoptr(StrandSerializer) fresh = strand_conformance_make (self);

      serializer_try_data (fresh, "\xff\0junk", 6, g_variant_get_type (values->pdata[i - 1]));
      serializer_read_same (fresh, written->pdata[i - 1], values->pdata[i - 1]);
      serializer_check (fresh, values->pdata[i - 1]);
    }
  /* And by the first, which has seen everything. */
  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) again = serializer_write (one, values->pdata[i]);
      g_autoptr(StrandSerializer) fresh = strand_conformance_make (self);

      serializer_read_same (fresh, again, values->pdata[i]);
    }
}

static char *
name_of (StrandConformance *self, guint i)
{
  g_autofree char *name = g_strdup_printf ("value-%u", i);

  return strand_conformance_build_path (self, name);
}

/* The role: writes a file for each of the samples, and says so. */
void
serializer_play_writer (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr(GBytes) bytes = serializer_write (serializer, values->pdata[i]);
      g_autofree char *path = name_of (self, i);
      gsize size;
      gconstpointer data = g_bytes_get_data (bytes, &size);

      g_assert_true (g_file_set_contents (path, data != NULL ? data : "", (gssize) size, NULL));
    }
  strand_conformance_send (self, "written");
}

static void
other_process (StrandConformance *self)
{
  StrandConformancePeer *peer = strand_conformance_start_peer (self, "writer", NULL);
  g_autofree char *line = strand_conformance_peer_receive (peer);
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  g_assert_cmpstr (line, ==, "written");
  for (guint i = 0; i < values->len; i++)
    {
      g_autofree char *path = name_of (self, i);
      g_autoptr(GBytes) bytes = NULL;
      char *data;
      gsize size;

      g_assert_true (g_file_get_contents (path, &data, &size, NULL));
      bytes = g_bytes_new_take (data, size);
      serializer_read_same (serializer, bytes, values->pdata[i]);
    }
}

static void
check_record (StrandSerializer *serializer, GVariant *value)
{
  g_autoptr(StrandRecord) record = strand_record_new ("conformance");
  g_autoptr(StrandRecord) again = NULL;
  g_autoptr(GVariant) arguments = g_variant_ref_sink (g_variant_new_tuple (&value, 1));
  g_autoptr(GVariant) read_arguments = NULL, read_value = NULL, read_item = NULL;
  g_autoptr(GBytes) json = NULL, item = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (strand_record_set_arguments (record, arguments, serializer, NULL));
  g_assert_true (strand_record_set_value (record, value, serializer, NULL));
  g_assert_cmpstr (strand_record_get_string (record, STRAND_FIELD_SERIALIZER), ==,
                   strand_plugins_get_type_name (G_OBJECT_TYPE (serializer)));
  json = strand_record_to_json (record);
  again = strand_record_from_json (json, &error);
  g_assert_no_error (error);
  read_arguments = strand_record_dup_arguments (again, &error);
  g_assert_no_error (error);
  serializer_assert_same (read_arguments, arguments);
  read_value = strand_record_dup_value (again, &error);
  g_assert_no_error (error);
  serializer_assert_same (read_value, value);
  item = strand_record_write_item (again, value, &error);
  g_assert_no_error (error);
  read_item = strand_record_read_item (record, item, &error);
  g_assert_no_error (error);
  serializer_assert_same (read_item, value);
}

static void
recorded (StrandConformance *self)
{
  g_autoptr(StrandSerializer) serializer = strand_conformance_make (self);
  g_autoptr(GPtrArray) values = serializer_samples ();

  for (guint i = 0; i < values->len; i++)
    check_record (serializer, values->pdata[i]);
}

const StrandConformanceCase serializer_object_cases[] = {
  { "objects/without-settings", "An object without settings reads what one with any settings has written.",
    without_settings },
  { "objects/no-memory", "What an object has written or read before changes nothing.", no_memory },
  { "objects/other-process", "What another process has written is read.", other_process },
  { "objects/recorded", "A record names the type, and its arguments, value and items are read by that name.",
    recorded, "named" },
  { 0 },
};
