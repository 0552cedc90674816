/* strand-record-private.h — the table of fields, and a record's inside, for the files that read and write it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-record.h"

G_BEGIN_DECLS

/* The record form that this strand writes, and the newest that it reads. */
#define STRAND_RECORD_VERSION 1

typedef union
{
  gint64 integer;
  double real;
  char *string; /* the table's own default is never freed */
  GVariant *variant;
  GBytes *bytes;
} StrandRecordValue;

/* How a field looks in JSON. LEASE and PAYLOAD are objects that hold this field and the next one, whose own
 * form is then WITH_PREVIOUS. */
typedef enum
{
  STRAND_FORM_INT,
  STRAND_FORM_BOOLEAN,
  STRAND_FORM_STATUS,
  STRAND_FORM_DOUBLE,
  STRAND_FORM_STRING,
  STRAND_FORM_VARIANT,
  STRAND_FORM_CAUSES,
  STRAND_FORM_LEASE,
  STRAND_FORM_PAYLOAD,
  STRAND_FORM_WITH_PREVIOUS,
} StrandForm;

typedef struct
{
  const char *name;
  StrandShape shape;
  StrandForm form;
  const char *member;       /* its name in JSON, NULL for WITH_PREVIOUS */
  const char *prelude;      /* ,"member": */
  const char *variant_type; /* of STRAND_SHAPE_VARIANT */
  gint64 minimum;           /* of STRAND_SHAPE_INT */
  StrandRecordValue initial;
} StrandFieldInfo;

extern const StrandFieldInfo strand_fields[STRAND_N_FIELDS];

struct _StrandRecord
{
  gatomicrefcount ref_count;
  StrandRecordValue values[STRAND_N_FIELDS]; /* by StrandField, shaped as the table says */
};

/* A record with nothing but defaults, for a reader to fill. */
StrandRecord *strand_record_new_empty (void);

/* Takes @value, which must be valid UTF-8. */
void strand_record_take_string (StrandRecord *self, StrandField field, char *value);

G_END_DECLS
