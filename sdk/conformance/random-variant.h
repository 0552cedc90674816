/* random-variant.h — any type and any value of it, for tests that must hold for all of them.
 *
 * Chosen with g_test_rand_*(), whose seed the test program prints and takes back with --seed.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* A definite type that nests at most @depth containers. */
GVariantType *random_type (int depth);

/* A value of @type; variants inside nest at most @depth further. Not floating. */
GVariant *random_value (const GVariantType *type, int depth);
