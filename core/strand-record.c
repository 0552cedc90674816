/* strand-record.c — what a store keeps of a call, as one table of fields.
 *
 * The table below is the only place that knows the fields: getting, setting, copying, freeing, checking and
 * the JSON form (strand-record-json.c) all walk it, so a new field is one line here and one in the enum. A
 * record holds one value for each line and nothing else. It is not locked; its reference count is atomic, so
 * a record that nobody changes any more may be shared by any threads.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-record.h"

#include <string.h>

#include "strand-clock.h"
#include "strand-error.h"
#include "strand-json-private.h"
#include "strand-record-private.h"

#define INT(NAME, FORM, MINIMUM, INITIAL)                                                                    \
  {                                                                                                          \
    .name = NAME, .shape = STRAND_SHAPE_INT, .form = STRAND_FORM_##FORM, .member = NAME,                     \
    .prelude = ",\"" NAME "\":", .minimum = MINIMUM, .initial.integer = INITIAL                              \
  }
#define DOUBLE(NAME, INITIAL)                                                                                \
  {                                                                                                          \
    .name = NAME, .shape = STRAND_SHAPE_DOUBLE, .form = STRAND_FORM_DOUBLE, .member = NAME,                  \
    .prelude = ",\"" NAME "\":", .initial.real = INITIAL                                                     \
  }
#define STRING(NAME, INITIAL)                                                                                \
  {                                                                                                          \
    .name = NAME, .shape = STRAND_SHAPE_STRING, .form = STRAND_FORM_STRING, .member = NAME,                  \
    .prelude = ",\"" NAME "\":", .initial.string = (char *) INITIAL                                          \
  }
#define VARIANT(NAME, FORM, TYPE)                                                                            \
  {                                                                                                          \
    .name = NAME, .shape = STRAND_SHAPE_VARIANT, .form = STRAND_FORM_##FORM, .member = NAME,                 \
    .prelude = ",\"" NAME "\":", .variant_type = TYPE                                                        \
  }
/* The two fields of a lease, and the two of a payload, are one object each in JSON. */
#define LEASE(NAME, OWNER, COUNTER)                                                                          \
  { .name = OWNER,                                                                                           \
    .shape = STRAND_SHAPE_STRING,                                                                            \
    .form = STRAND_FORM_LEASE,                                                                               \
    .member = NAME,                                                                                          \
    .prelude = ",\"" NAME "\":" },                                                                           \
  {                                                                                                          \
    .name = COUNTER, .shape = STRAND_SHAPE_INT, .form = STRAND_FORM_WITH_PREVIOUS                            \
  }
#define PAYLOAD(NAME, TYPE)                                                                                  \
  { .name = TYPE,                                                                                            \
    .shape = STRAND_SHAPE_STRING,                                                                            \
    .form = STRAND_FORM_PAYLOAD,                                                                             \
    .member = NAME,                                                                                          \
    .prelude = ",\"" NAME "\":" },                                                                           \
  {                                                                                                          \
    .name = NAME, .shape = STRAND_SHAPE_BYTES, .form = STRAND_FORM_WITH_PREVIOUS                             \
  }

/* In the order of StrandField, which is the order of writing. */
/* clang-format off */
const StrandFieldInfo strand_fields[STRAND_N_FIELDS] = {
  STRING ("kind", "call"),
  STRING ("key", NULL),
  STRING ("function", NULL),
  INT ("status", STATUS, STRAND_STATUS_PENDING, STRAND_STATUS_PENDING),
  INT ("revision", INT, 0, 0),
  INT ("fence", INT, 0, 0),
  STRING ("serializer", NULL),
  STRING ("queue", NULL),
  INT ("priority", INT, G_MININT64, 0),
  INT ("not-before", INT, 0, 0),
  INT ("expires", INT, 0, 0),
  STRING ("unique", NULL),
  INT ("timeout", INT, -1, -1),
  INT ("ttl", INT, -1, -1),
  INT ("retries", INT, -1, 0),
  INT ("attempt", INT, 0, 0),
  INT ("crashes", INT, 0, 0),
  INT ("created", INT, 0, 0),
  INT ("started", INT, 0, 0),
  INT ("completed", INT, 0, 0),
  LEASE ("lease", "lease-owner", "lease-counter"),
  INT ("cancel-requested", BOOLEAN, 0, 0),
  DOUBLE ("progress", -1.0),
  STRING ("message", NULL),
  INT ("items", INT, 0, 0),
  STRING ("retry-of", NULL),
  VARIANT ("headers", VARIANT, "a{ss}"),
  VARIANT ("metadata", VARIANT, "a{sv}"),
  VARIANT ("warnings", VARIANT, "as"),
  VARIANT ("causes", CAUSES, "a(usxssis)"),
  PAYLOAD ("arguments", "arguments-type"),
  PAYLOAD ("value", "value-type"),
};
/* clang-format on */

/**
 * StrandRecord:
 *
 * What a store keeps of a call: a fixed envelope and a payload. Whoever holds the only reference may change
 * it; one that was handed on is read-only.
 *
 * Since: 1.0
 */
G_DEFINE_BOXED_TYPE (StrandRecord, strand_record, strand_record_ref, strand_record_unref)

G_DEFINE_ENUM_TYPE (StrandStatus, strand_status, G_DEFINE_ENUM_VALUE (STRAND_STATUS_PENDING, "pending"),
                    G_DEFINE_ENUM_VALUE (STRAND_STATUS_RUNNING, "running"),
                    G_DEFINE_ENUM_VALUE (STRAND_STATUS_COMPLETED, "completed"),
                    G_DEFINE_ENUM_VALUE (STRAND_STATUS_FAILED, "failed"),
                    G_DEFINE_ENUM_VALUE (STRAND_STATUS_CANCELLED, "cancelled"))

static const char *const status_names[] = { "pending", "running", "completed", "failed", "cancelled" };

static gboolean
has_shape (StrandField field, StrandShape shape)
{
  return (guint) field < STRAND_N_FIELDS && strand_fields[field].shape == shape;
}

static void
clear_value (const StrandFieldInfo *info, StrandRecordValue *value)
{
  switch (info->shape)
    {
    case STRAND_SHAPE_INT:
    case STRAND_SHAPE_DOUBLE:
      break;
    case STRAND_SHAPE_STRING:
      if (value->string != info->initial.string)
        g_free (value->string);
      break;
    case STRAND_SHAPE_VARIANT:
      g_clear_pointer (&value->variant, g_variant_unref);
      break;
    case STRAND_SHAPE_BYTES:
      g_clear_pointer (&value->bytes, g_bytes_unref);
      break;
    }
}

static StrandRecordValue
copy_value (const StrandFieldInfo *info, const StrandRecordValue *value)
{
  StrandRecordValue copy = *value;

  switch (info->shape)
    {
    case STRAND_SHAPE_INT:
    case STRAND_SHAPE_DOUBLE:
      break;
    case STRAND_SHAPE_STRING:
      if (value->string != info->initial.string)
        copy.string = g_strdup (value->string);
      break;
    case STRAND_SHAPE_VARIANT:
      if (value->variant != NULL)
        g_variant_ref (copy.variant);
      break;
    case STRAND_SHAPE_BYTES:
      if (value->bytes != NULL)
        g_bytes_ref (copy.bytes);
      break;
    }

  return copy;
}

/* The enumeration that names the codes of an error domain, or 0. A record keeps the name beside the number,
 * so that it means the same to a program whose numbers differ. */
static GType
error_domain_enum (GQuark domain)
{
  if (domain == STRAND_ERROR)
    return STRAND_TYPE_ERROR;
  if (domain == STRAND_PLUGIN_ERROR)
    return STRAND_TYPE_PLUGIN_ERROR;
  if (domain == G_IO_ERROR)
    return G_TYPE_IO_ERROR_ENUM;
  return 0;
}

static const char *
error_nick (const GError *error)
{
  GType type = error_domain_enum (error->domain);
  g_autoptr(GEnumClass) klass = type != 0 ? g_type_class_ref (type) : NULL;
  GEnumValue *value = klass != NULL ? g_enum_get_value (klass, error->code) : NULL;

  return value != NULL ? value->value_nick : "";
}

static int
error_code (GQuark domain, const char *nick, int code)
{
  GType type = error_domain_enum (domain);
  g_autoptr(GEnumClass) klass = type != 0 ? g_type_class_ref (type) : NULL;
  GEnumValue *value = klass != NULL ? g_enum_get_value_by_nick (klass, nick) : NULL;

  return value != NULL ? value->value : code;
}

/* A name from outside, fit for one line of a message. */
static char *
quote (const char *text)
{
  g_autofree char *head = g_strndup (text, 40);
  g_autofree char *escaped = g_strescape (head, NULL);

  return g_strdup_printf ("'%s%s'", escaped, strlen (text) > 40 ? "…" : "");
}

/**
 * strand_status_is_terminal:
 * @status: a status
 *
 * Whether a call of this status has ended, and will never have another.
 *
 * Returns: `TRUE` for completed, failed and cancelled
 * Since: 1.0
 */
gboolean
strand_status_is_terminal (StrandStatus status)
{
  return status == STRAND_STATUS_COMPLETED || status == STRAND_STATUS_FAILED ||
         status == STRAND_STATUS_CANCELLED;
}

/**
 * strand_status_to_string:
 * @status: a status
 *
 * The status as text forms show it: `pending`, `running`, `completed`, `failed` or `cancelled`.
 *
 * Returns: (transfer none) (nullable): the word, or `NULL` if @status is none of them
 * Since: 1.0
 */
const char *
strand_status_to_string (StrandStatus status)
{
  return (guint) status < G_N_ELEMENTS (status_names) ? status_names[status] : NULL;
}

/**
 * strand_status_from_string:
 * @text: a word
 * @status: (out) (optional): the status that it names
 *
 * Reads what strand_status_to_string() writes.
 *
 * Returns: whether @text names a status; if not, @status is untouched
 * Since: 1.0
 */
gboolean
strand_status_from_string (const char *text, StrandStatus *status)
{
  g_return_val_if_fail (text != NULL, FALSE);

  for (guint i = 0; i < G_N_ELEMENTS (status_names); i++)
    if (strcmp (text, status_names[i]) == 0)
      {
        if (status != NULL)
          *status = (StrandStatus) i;
        return TRUE;
      }

  return FALSE;
}

/**
 * strand_field_get_name:
 * @field: a field
 *
 * The field's name, for columns and messages: lower case with dashes.
 *
 * Returns: (transfer none): the name
 * Since: 1.0
 */
const char *
strand_field_get_name (StrandField field)
{
  g_return_val_if_fail ((guint) field < STRAND_N_FIELDS, NULL);

  return strand_fields[field].name;
}

/**
 * strand_field_get_shape:
 * @field: a field
 *
 * What the field holds, and so which of the getters and setters are for it.
 *
 * Returns: its shape
 * Since: 1.0
 */
StrandShape
strand_field_get_shape (StrandField field)
{
  g_return_val_if_fail ((guint) field < STRAND_N_FIELDS, STRAND_SHAPE_INT);

  return strand_fields[field].shape;
}

StrandRecord *
strand_record_new_empty (void)
{
  StrandRecord *self = g_new (StrandRecord, 1);

  g_atomic_ref_count_init (&self->ref_count);
  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    self->values[i] = strand_fields[i].initial;

  return self;
}

/**
 * strand_record_new: (constructor)
 * @key: the record's key, as strand_key_check() allows it
 *
 * Makes a record of a pending call with nothing but its key: kind `call`, no timeout, kept for ever, progress
 * unknown, every other field 0 or `NULL`.
 *
 * Returns: (transfer full): a record of your own
 * Since: 1.0
 */
StrandRecord *
strand_record_new (const char *key)
{
  StrandRecord *self;

  g_return_val_if_fail (key != NULL, NULL);

  self = strand_record_new_empty ();
  strand_record_set_string (self, STRAND_FIELD_KEY, key);
  return self;
}

/**
 * strand_record_copy:
 * @self: a record
 *
 * Makes a record that holds the same and may be changed.
 *
 * Returns: (transfer full): a record of your own
 * Since: 1.0
 */
StrandRecord *
strand_record_copy (StrandRecord *self)
{
  StrandRecord *copy;

  g_return_val_if_fail (self != NULL, NULL);

  copy = g_new (StrandRecord, 1);
  g_atomic_ref_count_init (&copy->ref_count);
  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    copy->values[i] = copy_value (&strand_fields[i], &self->values[i]);

  return copy;
}

/**
 * strand_record_ref:
 * @self: a record
 *
 * Takes a reference. Who shares a record must not change it. Any thread.
 *
 * Returns: (transfer full): @self
 * Since: 1.0
 */
StrandRecord *
strand_record_ref (StrandRecord *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

/**
 * strand_record_unref:
 * @self: (transfer full): a record
 *
 * Gives a reference back; the last one frees the record. Any thread.
 *
 * Since: 1.0
 */
void
strand_record_unref (StrandRecord *self)
{
  g_return_if_fail (self != NULL);

  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;

  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    clear_value (&strand_fields[i], &self->values[i]);
  g_free (self);
}

/**
 * strand_record_get_key:
 * @self: a record
 *
 * Short for the field of the same name.
 *
 * Returns: (transfer none): the record's key
 * Since: 1.0
 */
const char *
strand_record_get_key (StrandRecord *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  return self->values[STRAND_FIELD_KEY].string;
}

/**
 * strand_record_get_status:
 * @self: a record
 *
 * Short for the field of the same name.
 *
 * Returns: where the call stands
 * Since: 1.0
 */
StrandStatus
strand_record_get_status (StrandRecord *self)
{
  g_return_val_if_fail (self != NULL, STRAND_STATUS_PENDING);

  return (StrandStatus) self->values[STRAND_FIELD_STATUS].integer;
}

/**
 * strand_record_get_revision:
 * @self: a record
 *
 * Short for the field of the same name.
 *
 * Returns: how often the record has been written, 0 if never
 * Since: 1.0
 */
guint64
strand_record_get_revision (StrandRecord *self)
{
  g_return_val_if_fail (self != NULL, 0);

  return (guint64) self->values[STRAND_FIELD_REVISION].integer;
}

/**
 * strand_record_get_int:
 * @self: a record
 * @field: a field of shape `STRAND_SHAPE_INT`
 *
 * Looks up the number of a field. No copy is made. Any thread, while nobody changes the record.
 *
 * Returns: what the field holds
 * Since: 1.0
 */
gint64
strand_record_get_int (StrandRecord *self, StrandField field)
{
  g_return_val_if_fail (self != NULL, 0);
  g_return_val_if_fail (has_shape (field, STRAND_SHAPE_INT), 0);

  return self->values[field].integer;
}

/**
 * strand_record_set_int:
 * @self: a record that nobody else holds
 * @field: a field of shape `STRAND_SHAPE_INT`
 * @value: what it holds from now on
 *
 * Changes the number of a field.
 *
 * Since: 1.0
 */
void
strand_record_set_int (StrandRecord *self, StrandField field, gint64 value)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (has_shape (field, STRAND_SHAPE_INT));

  self->values[field].integer = value;
}

/**
 * strand_record_get_double:
 * @self: a record
 * @field: a field of shape `STRAND_SHAPE_DOUBLE`
 *
 * Looks up the number of a field. No copy is made. Any thread, while nobody changes the record.
 *
 * Returns: what the field holds
 * Since: 1.0
 */
double
strand_record_get_double (StrandRecord *self, StrandField field)
{
  g_return_val_if_fail (self != NULL, 0);
  g_return_val_if_fail (has_shape (field, STRAND_SHAPE_DOUBLE), 0);

  return self->values[field].real;
}

/**
 * strand_record_set_double:
 * @self: a record that nobody else holds
 * @field: a field of shape `STRAND_SHAPE_DOUBLE`
 * @value: what it holds from now on
 *
 * Changes the number of a field.
 *
 * Since: 1.0
 */
void
strand_record_set_double (StrandRecord *self, StrandField field, double value)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (has_shape (field, STRAND_SHAPE_DOUBLE));

  self->values[field].real = value;
}

/**
 * strand_record_get_string:
 * @self: a record
 * @field: a field of shape `STRAND_SHAPE_STRING`
 *
 * Looks up the text of a field. No copy is made. Any thread, while nobody changes the record.
 *
 * Returns: (transfer none) (nullable): what the field holds; valid until it is set or the record freed
 * Since: 1.0
 */
const char *
strand_record_get_string (StrandRecord *self, StrandField field)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (has_shape (field, STRAND_SHAPE_STRING), NULL);

  return self->values[field].string;
}

/**
 * strand_record_set_string:
 * @self: a record that nobody else holds
 * @field: a field of shape `STRAND_SHAPE_STRING`
 * @value: (nullable): what it holds from now on; `NULL` for the default
 *
 * Bytes that are not UTF-8 are replaced by U+FFFD, as every text form of a record is UTF-8.
 *
 * Since: 1.0
 */
void
strand_record_set_string (StrandRecord *self, StrandField field, const char *value)
{
  g_return_if_fail (self != NULL);
  g_return_if_fail (has_shape (field, STRAND_SHAPE_STRING));

  if (value == NULL)
    strand_record_take_string (self, field, NULL);
  else if (g_utf8_validate (value, -1, NULL))
    strand_record_take_string (self, field, g_strdup (value));
  else
    strand_record_take_string (self, field, g_utf8_make_valid (value, -1));
}

void
strand_record_take_string (StrandRecord *self, StrandField field, char *value)
{
  const StrandFieldInfo *info = &strand_fields[field];

  clear_value (info, &self->values[field]);
  self->values[field].string = value != NULL ? value : info->initial.string;
}

/**
 * strand_record_get_variant:
 * @self: a record
 * @field: a field of shape `STRAND_SHAPE_VARIANT`
 *
 * Looks up the value of a field. No copy is made. Any thread, while nobody changes the record.
 *
 * Returns: (transfer none) (nullable): what the field holds; valid until it is set or the record freed
 * Since: 1.0
 */
GVariant *
strand_record_get_variant (StrandRecord *self, StrandField field)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (has_shape (field, STRAND_SHAPE_VARIANT), NULL);

  return self->values[field].variant;
}

/**
 * strand_record_set_variant:
 * @self: a record that nobody else holds
 * @field: a field of shape `STRAND_SHAPE_VARIANT`
 * @value: (nullable): what it holds from now on, of the field's type, nested at most 128 deep; a floating
 *   reference is taken
 *
 * Changes the value of a field.
 *
 * Since: 1.0
 */
void
strand_record_set_variant (StrandRecord *self, StrandField field, GVariant *value)
{
  g_autoptr(GVariant) own = value != NULL ? g_variant_ref_sink (value) : NULL;

  g_return_if_fail (self != NULL);
  g_return_if_fail (has_shape (field, STRAND_SHAPE_VARIANT));
  g_return_if_fail (own == NULL ||
                    (g_variant_is_of_type (own, G_VARIANT_TYPE (strand_fields[field].variant_type)) &&
                     strand_json_can_hold (own)));

  clear_value (&strand_fields[field], &self->values[field]);
  self->values[field].variant = g_steal_pointer (&own);
}

/**
 * strand_record_get_bytes:
 * @self: a record
 * @field: a field of shape `STRAND_SHAPE_BYTES`
 *
 * Looks up the bytes of a field. No copy is made. Any thread, while nobody changes the record.
 *
 * Returns: (transfer none) (nullable): what the field holds; valid until it is set or the record freed
 * Since: 1.0
 */
GBytes *
strand_record_get_bytes (StrandRecord *self, StrandField field)
{
  g_return_val_if_fail (self != NULL, NULL);
  g_return_val_if_fail (has_shape (field, STRAND_SHAPE_BYTES), NULL);

  return self->values[field].bytes;
}

/**
 * strand_record_set_bytes:
 * @self: a record that nobody else holds
 * @field: a field of shape `STRAND_SHAPE_BYTES`
 * @value: (nullable): what it holds from now on
 *
 * Changes the bytes of a field.
 *
 * Since: 1.0
 */
void
strand_record_set_bytes (StrandRecord *self, StrandField field, GBytes *value)
{
  g_autoptr(GBytes) own = value != NULL ? g_bytes_ref (value) : NULL;

  g_return_if_fail (self != NULL);
  g_return_if_fail (has_shape (field, STRAND_SHAPE_BYTES));

  clear_value (&strand_fields[field], &self->values[field]);
  self->values[field].bytes = g_steal_pointer (&own);
}

/**
 * strand_record_add_cause:
 * @self: a record that nobody else holds
 * @worker: (nullable): who ran the attempt that failed
 * @error: why it failed
 *
 * Adds @error to the record's causes, with the attempt that the record says is the last one and the present
 * time. The last cause of a failed call is its error.
 *
 * Since: 1.0
 */
void
strand_record_add_cause (StrandRecord *self, const char *worker, const GError *error)
{
  GVariant *causes;
  GVariantBuilder builder;
  g_autofree char *valid_worker = NULL;
  g_autofree char *valid_message = NULL;

  g_return_if_fail (self != NULL);
  g_return_if_fail (error != NULL);

  causes = self->values[STRAND_FIELD_CAUSES].variant;
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(usxssis)"));
  for (gsize i = 0; causes != NULL && i < g_variant_n_children (causes); i++)
    {
      g_autoptr(GVariant) cause = g_variant_get_child_value (causes, i);

      g_variant_builder_add_value (&builder, cause);
    }

  /* Messages quote file names, which need not be UTF-8. */
  valid_worker = g_utf8_make_valid (worker != NULL ? worker : "", -1);
  valid_message = g_utf8_make_valid (error->message != NULL ? error->message : "", -1);
  g_variant_builder_add (&builder, "(usxssis)",
                         (guint32) CLAMP (self->values[STRAND_FIELD_ATTEMPT].integer, 0, G_MAXUINT32),
                         valid_worker, strand_clock_now_us (), g_quark_to_string (error->domain),
                         error_nick (error), error->code, valid_message);
  strand_record_set_variant (self, STRAND_FIELD_CAUSES, g_variant_builder_end (&builder));
}

/**
 * strand_record_dup_error:
 * @self: a record
 *
 * Makes the error of the record's last cause again: domain, code and message are those of the error that was
 * added, also in another process. Where the domain names its codes, the name decides, not the number.
 *
 * Returns: (transfer full) (nullable): the error, or `NULL` if the record has no cause
 * Since: 1.0
 */
GError *
strand_record_dup_error (StrandRecord *self)
{
  g_autoptr(GVariant) cause = NULL;
  GVariant *causes;
  const char *domain, *nick, *message;
  int code;
  gsize n_causes;

  g_return_val_if_fail (self != NULL, NULL);

  causes = self->values[STRAND_FIELD_CAUSES].variant;
  n_causes = causes != NULL ? g_variant_n_children (causes) : 0;
  if (n_causes == 0)
    return NULL;

  cause = g_variant_get_child_value (causes, n_causes - 1);
  g_variant_get (cause, "(u&sx&s&si&s)", NULL, NULL, NULL, &domain, &nick, &code, &message);
  if (*domain == '\0')
    return g_error_new_literal (STRAND_ERROR, STRAND_ERROR_FAILED, message);

  return g_error_new_literal (g_quark_from_string (domain),
                              error_code (g_quark_from_string (domain), nick, code), message);
}

/**
 * strand_record_is_expired:
 * @self: a record
 * @now_us: the time, in microseconds since 1970 UTC
 *
 * Whether the record has outlived its ttl, which counts from the end of the call: a call that has not ended
 * never has.
 *
 * Returns: whether it may be removed
 * Since: 1.0
 */
gboolean
strand_record_is_expired (StrandRecord *self, gint64 now_us)
{
  gint64 ttl, completed;

  g_return_val_if_fail (self != NULL, FALSE);

  ttl = self->values[STRAND_FIELD_TTL].integer;
  completed = self->values[STRAND_FIELD_COMPLETED].integer;
  if (ttl < 0 || !strand_status_is_terminal (strand_record_get_status (self)))
    return FALSE;

  /* Written so that a ttl of centuries does not overflow. */
  return now_us >= completed && now_us - completed >= ttl;
}

static gboolean
check_type (const char *name, const char *type, GError **error)
{
  g_autofree char *quoted = NULL;

  if (type == NULL ||
      (g_variant_type_string_is_valid (type) && g_variant_type_is_definite (G_VARIANT_TYPE (type))))
    return TRUE;

  quoted = quote (type);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "field '%s' is %s: expected a definite GVariant type", name, quoted);
  return FALSE;
}

static gboolean
check_int (const StrandFieldInfo *info, gint64 value, GError **error)
{
  gint64 maximum = G_MAXINT64;

  if (info->form == STRAND_FORM_STATUS)
    maximum = STRAND_STATUS_CANCELLED;
  else if (info->form == STRAND_FORM_BOOLEAN)
    maximum = 1;
  if (value >= info->minimum && value <= maximum)
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
               "field '%s' is %" G_GINT64_FORMAT ": expected %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
               info->name, value, info->minimum, maximum);
  return FALSE;
}

static gboolean
check_progress (double progress, GError **error)
{
  if (progress == -1.0 || (progress >= 0.0 && progress <= 1.0))
    return TRUE;

  g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "field 'progress' is %g: expected -1, or 0 to 1",
               progress);
  return FALSE;
}

/**
 * strand_record_check:
 * @self: a record
 * @error: return location for a [error@Strand.Error]
 *
 * Checks what the fields hold: the key's grammar, numbers' ranges, type strings. Stores that put records
 * together from columns call it before they hand one out; strand_record_from_json() has called it already.
 *
 * Returns: whether the record is well-formed; if not, @error is `STRAND_ERROR_CORRUPT` and names the field
 * Since: 1.0
 */
gboolean
strand_record_check (StrandRecord *self, GError **error)
{
  g_autoptr(GError) key_error = NULL;

  g_return_val_if_fail (self != NULL, FALSE);

  if (self->values[STRAND_FIELD_KEY].string == NULL)
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "field 'key' is missing");
      return FALSE;
    }
  if (!strand_key_check (self->values[STRAND_FIELD_KEY].string, &key_error))
    {
      g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT, "field 'key': %s", key_error->message);
      return FALSE;
    }
  for (guint i = 0; i < STRAND_N_FIELDS; i++)
    if (strand_fields[i].shape == STRAND_SHAPE_INT &&
        !check_int (&strand_fields[i], self->values[i].integer, error))
      return FALSE;

  return check_progress (self->values[STRAND_FIELD_PROGRESS].real, error) &&
         check_type ("arguments-type", self->values[STRAND_FIELD_ARGUMENTS_TYPE].string, error) &&
         check_type ("value-type", self->values[STRAND_FIELD_VALUE_TYPE].string, error);
}

/**
 * strand_key_check:
 * @key: what might be a key
 * @error: return location for a [error@Strand.Error]
 *
 * Checks a key's grammar: `[A-Za-z0-9._-]{1,128}`, not starting with a dot. A key of this form is a safe file
 * name. Keys that start with `strand.` pass, as strand makes such keys itself: whoever takes a key from a
 * user asks strand_key_is_reserved() too.
 *
 * Returns: whether it is one; if not, @error is `STRAND_ERROR_INVALID_KEY`
 * Since: 1.0
 */
gboolean
strand_key_check (const char *key, GError **error)
{
  gsize length = 0;
  g_autofree char *quoted = NULL;

  g_return_val_if_fail (key != NULL, FALSE);

  while (g_ascii_isalnum (key[length]) || key[length] == '-' || key[length] == '_' || key[length] == '.')
    length++;
  if (key[length] == '\0' && length >= 1 && length <= 128 && key[0] != '.')
    return TRUE;

  quoted = quote (key);
  if (*key == '\0')
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY, "the key is empty");
  else if (*key == '.')
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY,
                 "%s is no key: a key does not start with a dot", quoted);
  else if (key[length] != '\0')
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY,
                 "%s is no key: byte %" G_GSIZE_FORMAT " is not one of A-Z a-z 0-9 . _ -", quoted, length);
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_KEY,
                 "%s is no key: it is %" G_GSIZE_FORMAT " bytes long, and a key has 128 at most", quoted,
                 length);
  return FALSE;
}

/**
 * strand_key_is_reserved:
 * @key: a key
 *
 * Whether @key starts with `strand.`, as keys that strand makes for its own records do.
 *
 * Returns: whether a user may not choose it
 * Since: 1.0
 */
gboolean
strand_key_is_reserved (const char *key)
{
  g_return_val_if_fail (key != NULL, FALSE);

  return g_str_has_prefix (key, "strand.");
}

/**
 * strand_key_new:
 *
 * Makes a key that nobody else has: a random UUID.
 *
 * Returns: (transfer full): a new key
 * Since: 1.0
 */
char *
strand_key_new (void)
{
  return g_uuid_string_random ();
}
