/* strand-record-json.c — a record's JSON form, in one pass over the text.
 *
 * The form is docs/record-format.md: an object with a member for each field that is not at its default,
 * driven by the table of fields in strand-record.c. A payload that is itself JSON is embedded as it is, so
 * that the record can be read by other programs, and comes out again byte for byte; it is passed over here,
 * not understood. Members are looked for where the writer would have put them, so that reading what strand
 * wrote finds each name at once; any other order is as right.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-record.h"

#include <string.h>

#include "strand-error.h"
#include "strand-json-private.h"
#include "strand-record-private.h"

G_STATIC_ASSERT (STRAND_N_FIELDS < 64); /* one bit each in Reading.seen */

typedef struct
{
  StrandJsonText text;
  GBytes *json;         /* what text is; payloads are parts of it */
  StrandRecord *record; /* being filled */
  guint next;           /* the field that comes next if the order is ours */
  guint64 seen;         /* fields read */
  gint64 version;       /* 0 until read */
} Reading;

/* One cause, as it is read. */
typedef struct
{
  guint64 attempt;
  gint64 time, code;
  char *worker, *domain, *nick, *message;
} Cause;

static void
cause_clear (Cause *cause)
{
  g_free (cause->worker);
  g_free (cause->domain);
  g_free (cause->nick);
  g_free (cause->message);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Cause, cause_clear)

static gboolean
is_initial (const StrandFieldInfo *info, const StrandRecordValue *value)
{
  switch (info->shape)
    {
    case STRAND_SHAPE_INT:
      return value->integer == info->initial.integer;
    case STRAND_SHAPE_DOUBLE:
      return value->real == info->initial.real;
    case STRAND_SHAPE_STRING:
      return g_strcmp0 (value->string, info->initial.string) == 0;
    case STRAND_SHAPE_VARIANT:
      return value->variant == NULL;
    default:
      return value->bytes == NULL;
    }
}

static void
append_string (GString *json, const char *text)
{
  strand_json_append_utf8 (json, text, strlen (text)); /* the setter saw to it that it is UTF-8 */
}

static void
append_lease (GString *json, const StrandRecordValue *owner_and_counter)
{
  const char *owner = owner_and_counter[0].string;
  gint64 counter = owner_and_counter[1].integer;

  g_string_append_c (json, '{');
  if (owner != NULL)
    {
      g_string_append (json, "\"owner\":");
      append_string (json, owner);
    }
  if (counter != 0)
    {
      g_string_append (json, owner != NULL ? ",\"counter\":" : "\"counter\":");
      strand_json_append_int (json, counter);
    }
  g_string_append_c (json, '}');
}

static void
append_payload (GString *json, const StrandRecordValue *type_and_bytes)
{
  const char *type = type_and_bytes[0].string;
  GBytes *bytes = type_and_bytes[1].bytes;
  gsize size;
  const char *data;

  g_string_append_c (json, '{');
  if (type != NULL)
    {
      g_string_append (json, "\"type\":");
      append_string (json, type);
    }
  if (type != NULL && bytes != NULL)
    g_string_append_c (json, ',');
  if (bytes != NULL)
    {
      data = g_bytes_get_data (bytes, &size);
      if (strand_json_is_value (data, size))
        {
          g_string_append (json, "\"data\":");
          g_string_append_len (json, data, (gssize) size);
        }
      else
        {
          g_string_append (json, "\"base64\":");
          strand_json_append_base64 (json, data, size);
        }
    }
  g_string_append_c (json, '}');
}

static void
append_causes (GString *json, GVariant *causes)
{
  GVariantIter iter;
  guint32 attempt;
  gint64 time;
  gint32 code;
  const char *worker, *domain, *nick, *message, *comma = "";

  g_string_append_c (json, '[');
  g_variant_iter_init (&iter, causes);
  while (
      g_variant_iter_next (&iter, "(u&sx&s&si&s)", &attempt, &worker, &time, &domain, &nick, &code, &message))
    {
      g_string_append_printf (json, "%s{\"attempt\":%u,\"worker\":", comma, attempt);
      strand_json_append_string (json, worker);
      g_string_append_printf (json, ",\"time\":%" G_GINT64_FORMAT ",\"error\":{\"domain\":", time);
      strand_json_append_string (json, domain);
      g_string_append_printf (json, ",\"code\":%d,\"nick\":", code);
      strand_json_append_string (json, nick);
      g_string_append (json, ",\"message\":");
      strand_json_append_string (json, message);
      g_string_append (json, "}}");
      comma = ",";
    }
  g_string_append_c (json, ']');
}

static void
append_field (GString *json, const StrandFieldInfo *info, const StrandRecordValue *value)
{
  g_string_append (json, info->prelude);
  switch (info->form)
    {
    case STRAND_FORM_INT:
      strand_json_append_int (json, value->integer);
      break;
    case STRAND_FORM_BOOLEAN:
      g_string_append (json, value->integer != 0 ? "true" : "false");
      break;
    case STRAND_FORM_STATUS:
      append_string (json, strand_status_to_string ((StrandStatus) value->integer));
      break;
    case STRAND_FORM_DOUBLE:
      strand_json_append_double (json, value->real);
      break;
    case STRAND_FORM_STRING:
      append_string (json, value->string);
      break;
    case STRAND_FORM_VARIANT:
      /* The setter refused what is too deep. */
      strand_json_append_variant (json, value->variant);
      break;
    case STRAND_FORM_CAUSES:
      append_causes (json, value->variant);
      break;
    case STRAND_FORM_LEASE:
      append_lease (json, value);
      break;
    case STRAND_FORM_PAYLOAD:
      append_payload (json, value);
      break;
    case STRAND_FORM_WITH_PREVIOUS:
      g_assert_not_reached ();
    }
}

/* Room for the whole text at once: payloads as they are or in base64, and the rest of an ordinary record. */
static gsize
estimate_size (StrandRecord *self)
{
  gsize size = 768;

  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    if (strand_fields[i].shape == STRAND_SHAPE_BYTES && self->values[i].bytes != NULL)
      size += g_bytes_get_size (self->values[i].bytes) / 3 * 4;
  return size;
}

/**
 * strand_record_to_json:
 * @self: a record that strand_record_check() likes
 *
 * Writes the record as one line of JSON, which docs/record-format.md describes. Does not block.
 *
 * Returns: (transfer full): the text, with a line feed at its end
 * Since: 1.0
 */
GBytes *
strand_record_to_json (StrandRecord *self)
{
  GString *json;

  g_return_val_if_fail (self != NULL, NULL);

  json = g_string_sized_new (estimate_size (self));
  g_string_append (json, "{\"v\":" G_STRINGIFY (STRAND_RECORD_VERSION));
  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    {
      const StrandFieldInfo *info = &strand_fields[i];
      gboolean with_next = info->form == STRAND_FORM_LEASE || info->form == STRAND_FORM_PAYLOAD;

      if (info->member == NULL || (is_initial (info, &self->values[i]) &&
                                   (!with_next || is_initial (info + 1, &self->values[i + 1]))))
        continue;
      append_field (json, info, &self->values[i]);
    }
  g_string_append (json, "}\n");

  return g_string_free_to_bytes (json);
}

static gboolean
read_string (StrandJsonText *text, char **value, GError **error)
{
  StrandJsonString string;

  if (!strand_json_read_string (text, &string, error))
    return FALSE;
  g_free (*value);
  *value = strand_json_string_dup (text, &string, error);
  return *value != NULL;
}

static gboolean
read_string_field (Reading *self, StrandField field, GError **error)
{
  g_autofree char *value = NULL;

  if (!read_string (&self->text, &value, error))
    return FALSE;
  strand_record_take_string (self->record, field, g_steal_pointer (&value));
  return TRUE;
}

static gboolean
read_status (Reading *self, gint64 *value, GError **error)
{
  StrandJsonString name;
  const char *nick;

  if (!strand_json_read_string (&self->text, &name, error))
    return FALSE;
  for (int status = 0; (nick = strand_status_to_string ((StrandStatus) status)) != NULL; status++)
    if (strand_json_string_equal (&name, nick, strlen (nick)))
      {
        *value = status;
        return TRUE;
      }

  return strand_json_fail (&self->text, name.data, "pending, running, completed, failed or cancelled", error);
}

static gboolean
read_boolean (Reading *self, gint64 *value, GError **error)
{
  if (strand_json_take_word (&self->text, "true"))
    *value = 1;
  else if (strand_json_take_word (&self->text, "false"))
    *value = 0;
  else
    return strand_json_fail (&self->text, self->text.at, "true or false", error);
  return TRUE;
}

static gboolean
read_variant (Reading *self, StrandField field, GError **error)
{
  GVariant *value =
      strand_json_read_variant (&self->text, G_VARIANT_TYPE (strand_fields[field].variant_type), error);

  if (value == NULL)
    return FALSE;
  self->record->values[field].variant = g_variant_ref_sink (value);
  return TRUE;
}

static gboolean
read_lease (Reading *self, StrandField owner, GError **error)
{
  StrandJsonText *text = &self->text;
  gboolean first = TRUE, more;
  StrandJsonString name;
  gboolean ok;

  if (!strand_json_expect (text, '{', "'{'", error))
    return FALSE;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      if (!more)
        return TRUE;
      if (strand_json_take_word (text, "null"))
        continue;
      if (strand_json_string_equal (&name, "owner", 5))
        ok = read_string_field (self, owner, error);
      else if (strand_json_string_equal (&name, "counter", 7))
        ok = strand_json_read_int (text, 0, G_MAXINT64, &self->record->values[owner + 1].integer, error);
      else
        ok = strand_json_skip (text, error);
      if (!ok)
        return FALSE;
    }

  return FALSE;
}

/* The bytes of a value that is embedded: exactly those that stand there. */
static gboolean
read_embedded (Reading *self, GBytes **bytes, GError **error)
{
  const char *start;

  strand_json_skip_space (&self->text);
  start = self->text.at;
  if (!strand_json_skip (&self->text, error))
    return FALSE;
  *bytes = g_bytes_new_from_bytes (self->json, (gsize) (start - self->text.start),
                                   (gsize) (self->text.at - start));
  return TRUE;
}

static gboolean
read_base64 (Reading *self, GBytes **bytes, GError **error)
{
  StrandJsonString string;
  guchar *data;
  gsize length;

  if (!strand_json_read_string (&self->text, &string, error))
    return FALSE;
  data = strand_json_decode_base64 (&self->text, &string, &length, error);
  if (data == NULL)
    return FALSE;
  *bytes = g_bytes_new_take (data, length);
  return TRUE;
}

static gboolean
read_payload (Reading *self, StrandField type, GError **error)
{
  StrandJsonText *text = &self->text;
  GBytes **bytes = &self->record->values[type + 1].bytes;
  gboolean first = TRUE, more;
  StrandJsonString name;
  gboolean ok;

  if (!strand_json_expect (text, '{', "'{'", error))
    return FALSE;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      gboolean is_data = more && strand_json_string_equal (&name, "data", 4);
      gboolean is_base64 = more && strand_json_string_equal (&name, "base64", 6);

      if (!more)
        return TRUE;
      if ((is_data || is_base64) && *bytes != NULL)
        return strand_json_fail (text, name.data, "\"data\" or \"base64\", once", error);
      if (is_data)
        ok = read_embedded (self, bytes, error);
      else if (is_base64)
        ok = read_base64 (self, bytes, error);
      else if (strand_json_string_equal (&name, "type", 4))
        ok = read_string_field (self, type, error);
      else
        ok = strand_json_skip (text, error);
      if (!ok)
        return FALSE;
    }

  return FALSE;
}

static gboolean
read_cause_error (StrandJsonText *text, Cause *cause, GError **error)
{
  gboolean first = TRUE, more;
  StrandJsonString name;
  gboolean ok;

  if (!strand_json_expect (text, '{', "'{'", error))
    return FALSE;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      if (!more)
        return TRUE;
      if (strand_json_string_equal (&name, "domain", 6))
        ok = read_string (text, &cause->domain, error);
      else if (strand_json_string_equal (&name, "code", 4))
        ok = strand_json_read_int (text, G_MININT32, G_MAXINT32, &cause->code, error);
      else if (strand_json_string_equal (&name, "nick", 4))
        ok = read_string (text, &cause->nick, error);
      else if (strand_json_string_equal (&name, "message", 7))
        ok = read_string (text, &cause->message, error);
      else
        ok = strand_json_skip (text, error);
      if (!ok)
        return FALSE;
    }

  return FALSE;
}

static gboolean
read_cause (StrandJsonText *text, Cause *cause, GError **error)
{
  gboolean first = TRUE, more;
  StrandJsonString name;
  gboolean ok;

  if (!strand_json_expect (text, '{', "'{'", error))
    return FALSE;
  while (strand_json_next_member (text, &first, &more, &name, error))
    {
      if (!more)
        return TRUE;
      if (strand_json_string_equal (&name, "attempt", 7))
        ok = strand_json_read_uint (text, G_MAXUINT32, &cause->attempt, error);
      else if (strand_json_string_equal (&name, "worker", 6))
        ok = read_string (text, &cause->worker, error);
      else if (strand_json_string_equal (&name, "time", 4))
        ok = strand_json_read_int (text, G_MININT64, G_MAXINT64, &cause->time, error);
      else if (strand_json_string_equal (&name, "error", 5))
        ok = read_cause_error (text, cause, error);
      else
        ok = strand_json_skip (text, error);
      if (!ok)
        return FALSE;
    }

  return FALSE;
}

static const char *
or_empty (const char *text)
{
  return text != NULL ? text : "";
}

static gboolean
read_causes (Reading *self, StrandField field, GError **error)
{
  g_auto(GVariantBuilder) builder =
      G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE (strand_fields[field].variant_type));
  gboolean first = TRUE, more;

  if (!strand_json_expect (&self->text, '[', "'['", error))
    return FALSE;
  while (strand_json_next (&self->text, ']', &first, &more, error))
    {
      g_auto(Cause) cause = { 0 };

      if (!more)
        {
          self->record->values[field].variant = g_variant_ref_sink (g_variant_builder_end (&builder));
          return TRUE;
        }
      if (!read_cause (&self->text, &cause, error))
        return FALSE;
      g_variant_builder_add (&builder, strand_fields[field].variant_type + 1, (guint32) cause.attempt,
                             or_empty (cause.worker), cause.time, or_empty (cause.domain),
                             or_empty (cause.nick), (gint32) cause.code, or_empty (cause.message));
    }

  return FALSE;
}

static gboolean
read_field (Reading *self, StrandField field, GError **error)
{
  StrandRecordValue *value = &self->record->values[field];

  /* As good as leaving it out. */
  if (strand_json_peek (&self->text) == 'n' && strand_json_take_word (&self->text, "null"))
    return TRUE;

  switch (strand_fields[field].form)
    {
    case STRAND_FORM_INT:
      return strand_json_read_int (&self->text, strand_fields[field].minimum, G_MAXINT64, &value->integer,
                                   error);
    case STRAND_FORM_BOOLEAN:
      return read_boolean (self, &value->integer, error);
    case STRAND_FORM_STATUS:
      return read_status (self, &value->integer, error);
    case STRAND_FORM_DOUBLE:
      return strand_json_read_double (&self->text, &value->real, error);
    case STRAND_FORM_STRING:
      return read_string_field (self, field, error);
    case STRAND_FORM_VARIANT:
      return read_variant (self, field, error);
    case STRAND_FORM_CAUSES:
      return read_causes (self, field, error);
    case STRAND_FORM_LEASE:
      return read_lease (self, field, error);
    case STRAND_FORM_PAYLOAD:
      return read_payload (self, field, error);
    default:
      g_assert_not_reached ();
    }
}

/* The field whose member has this name, looking first where the last one was found; STRAND_N_FIELDS if none.
 */
static guint
find_field (Reading *self, const StrandJsonString *name)
{
  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    {
      guint field = self->next + i < STRAND_N_FIELDS ? self->next + i : self->next + i - STRAND_N_FIELDS;
      const char *member = strand_fields[field].member;

      if (member != NULL && strand_json_string_equal (name, member, strlen (member)))
        return field;
    }

  return STRAND_N_FIELDS;
}

static gboolean
read_version (Reading *self, GError **error)
{
  if (!strand_json_read_int (&self->text, 1, G_MAXINT64, &self->version, error))
    return FALSE;
  if (self->version <= STRAND_RECORD_VERSION)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "the record has version %" G_GINT64_FORMAT ", and this strand reads up to version %d",
               self->version, STRAND_RECORD_VERSION);
  return FALSE;
}

static gboolean
read_member (Reading *self, const StrandJsonString *name, GError **error)
{
  guint field;

  if (name->length == 1 && *name->data == 'v')
    {
      if (self->version != 0)
        return strand_json_fail (&self->text, name->data, "each member once", error);
      return read_version (self, error);
    }

  field = find_field (self, name);
  if (field == STRAND_N_FIELDS)
    return strand_json_skip (&self->text, error); /* some later strand's, or somebody's own */
  if ((self->seen & (G_GUINT64_CONSTANT (1) << field)) != 0)
    return strand_json_fail (&self->text, name->data, "each member once", error);

  self->seen |= G_GUINT64_CONSTANT (1) << field;
  self->next = (field + 1) % STRAND_N_FIELDS;
  return read_field (self, (StrandField) field, error);
}

static gboolean
read_record (Reading *self, GError **error)
{
  gboolean first = TRUE, more = TRUE;
  StrandJsonString name;

  if (!strand_json_expect (&self->text, '{', "'{'", error))
    return FALSE;
  while (more)
    {
      if (!strand_json_next_member (&self->text, &first, &more, &name, error) ||
          (more && !read_member (self, &name, error)))
        return FALSE;
    }
  if (!strand_json_expect_end (&self->text, error))
    return FALSE;
  if (self->version == 0)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "member 'v', the record's version, is missing");
      return FALSE;
    }

  return strand_record_check (self->record, error);
}

/* Whether the text is a record of a later version, and @error says so. A later version may give a member that
 * comes before "v" another shape, so that reading stumbles over it first. */
static gboolean
is_later_version (StrandJsonText text, GError **error)
{
  Reading reading = { .text = text };
  gboolean first = TRUE, more;
  StrandJsonString name;

  reading.text.at = reading.text.start;
  if (!strand_json_take (&reading.text, '{'))
    return FALSE;
  while (strand_json_next_member (&reading.text, &first, &more, &name, NULL) && more)
    {
      if (strand_json_string_equal (&name, "v", 1))
        return !read_version (&reading, error) && reading.version > STRAND_RECORD_VERSION;
      if (!strand_json_skip (&reading.text, NULL))
        return FALSE;
    }

  return FALSE;
}

/**
 * strand_record_from_json:
 * @json: what strand_record_to_json() or another program wrote, or anything else
 * @error: return location for a [error@Strand.Error]
 *
 * Reads a record. Members may come in any order; unknown ones are passed over, but a later version of the
 * form is refused. Payloads are parts of @json, which they keep alive. Does not block.
 *
 * Returns: (transfer full) (nullable): a record of your own, or `NULL` with @error set to
 * `STRAND_ERROR_CORRUPT`, the place, and what was expected there
 *
 * Since: 1.0
 */
StrandRecord *
strand_record_from_json (GBytes *json, GError **error)
{
  g_autoptr(StrandRecord) record = NULL;
  Reading reading = { .json = json };
  GError *why = NULL;
  GError *later = NULL;
  gsize size;
  const char *data;

  g_return_val_if_fail (json != NULL, NULL);

  record = strand_record_new_empty ();
  data = g_bytes_get_data (json, &size);
  strand_json_text_init (&reading.text, data, size);
  reading.record = record;
  if (read_record (&reading, &why))
    return g_steal_pointer (&record);

  if (reading.version == 0 && is_later_version (reading.text, &later))
    {
      g_clear_error (&why);
      why = later;
    }
  else
    g_clear_error (&later);
  g_propagate_error (error, why);
  return NULL;
}
