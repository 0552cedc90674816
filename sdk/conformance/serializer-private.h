/* serializer-private.h — what the cases for serializers share.
 *
 * Values are the same if their types are and their bytes in normal form: g_variant_equal() may look at how
 * they print, which says less of a double. Bytes that may be anything are read by serializer_try(), which
 * holds every answer to the same rules. SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "conformance-private.h"

G_BEGIN_DECLS

#define SERIALIZER_N_THREADS 8

/* So many levels every serializer writes and reads. */
#define SERIALIZER_DEPTH 64

/* Values that have between them every type. */
GPtrArray *serializer_samples (void);

/* A value of any type, from g_test_rand_*(): nests at most @depth levels in its type, and as many more. */
GVariant *serializer_random (int depth);

/* A value of @n levels over a number: each a variant, or of the kinds that @kinds names one after the other
 * (`v`, `m`, `a`, `(` and `{`, which takes two levels: a dictionary and its entry). */
GVariant *serializer_nested (guint n, const char *kinds);

/* What must go well. */
GBytes *serializer_write (StrandSerializer *self, GVariant *value);
void serializer_read_same (StrandSerializer *self, GBytes *bytes, GVariant *value);
void serializer_check (StrandSerializer *self, GVariant *value);
void serializer_check_texts (StrandConformance *self, const char *const *texts);

gboolean serializer_is_same (GVariant *a, GVariant *b);
void serializer_assert_same (GVariant *a, GVariant *b);

/* Reads what may be anything: an error of the right kind, or a value like any other, which is returned. */
GVariant *serializer_try (StrandSerializer *self, GBytes *bytes, const GVariantType *type);
void serializer_try_data (StrandSerializer *self, gconstpointer data, gsize size, const GVariantType *type);

/* The same bytes where nothing can be written and nothing can be read behind them. */
GBytes *serializer_fence (gconstpointer data, gsize size);

/* The groups, in the order of the page; and the role. */
extern const StrandConformanceCase serializer_value_cases[];
extern const StrandConformanceCase serializer_depth_cases[];
extern const StrandConformanceCase serializer_bytes_cases[];
extern const StrandConformanceCase serializer_damage_cases[];
extern const StrandConformanceCase serializer_error_cases[];
extern const StrandConformanceCase serializer_object_cases[];
extern const StrandConformanceCase serializer_thread_cases[];
extern const StrandConformanceCase serializer_close_cases[];

void serializer_play_writer (StrandConformance *self);

G_END_DECLS
