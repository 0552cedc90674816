/* strand-param.h — what a property means to a keyfile, beyond its GType.
 *
 * A plugin's writable properties are its configuration. These flags, given in the GParamSpec's flags, tell
 * the stack how to read and show a value.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * STRAND_PARAM_REQUIRED:
 *
 * A keyfile that makes an object of the type must set this property.
 *
 * Since: 1.0
 */
#define STRAND_PARAM_REQUIRED ((GParamFlags) (1 << (G_PARAM_USER_SHIFT + 0)))

/**
 * STRAND_PARAM_DURATION:
 *
 * A `gint64` property in microseconds; a keyfile writes `250ms`, `30s`, `5min` or `none` (-1).
 *
 * Since: 1.0
 */
#define STRAND_PARAM_DURATION ((GParamFlags) (1 << (G_PARAM_USER_SHIFT + 1)))

/**
 * STRAND_PARAM_SIZE:
 *
 * A `gint64` property in bytes; a keyfile writes `64MiB` or `none` (-1).
 *
 * Since: 1.0
 */
#define STRAND_PARAM_SIZE ((GParamFlags) (1 << (G_PARAM_USER_SHIFT + 2)))

/**
 * STRAND_PARAM_SECRET:
 *
 * A string that no log, record, metric or `--json` may show.
 *
 * Since: 1.0
 */
#define STRAND_PARAM_SECRET ((GParamFlags) (1 << (G_PARAM_USER_SHIFT + 3)))

/**
 * STRAND_PARAM_CONFIG:
 *
 * What every configuration property of a plugin has: it is set once, by name, and its blurb is static. The
 * others of these flags are added to it.
 *
 * Since: 1.0
 */
#define STRAND_PARAM_CONFIG                                                                                  \
  ((GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY))

/* Text to microseconds: `250ms`, `1.5h`, `30s`, `5min`, `1h 30min`, `2d`, `1w`; `none` is -1, `0` is 0. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_duration_parse (const char *text, gint64 *duration_us, GError **error);

STRAND_AVAILABLE_IN_ALL
char *strand_duration_to_string (gint64 duration_us) G_GNUC_WARN_UNUSED_RESULT;

/* Text to bytes: `512`, `64KiB`, `10MB`, `1.5GiB`; `none` is -1. */
STRAND_AVAILABLE_IN_ALL
gboolean strand_size_parse (const char *text, gint64 *size_bytes, GError **error);

STRAND_AVAILABLE_IN_ALL
char *strand_size_to_string (gint64 size_bytes) G_GNUC_WARN_UNUSED_RESULT;

/* What a keyfile may write for a property, and a value from text and to it. NULL: not a key; the default. */
STRAND_AVAILABLE_IN_ALL
char *strand_param_describe (GParamSpec *pspec) G_GNUC_WARN_UNUSED_RESULT;

STRAND_AVAILABLE_IN_ALL
gboolean strand_param_read (GParamSpec *pspec, const char *text, GValue *value, GError **error);

STRAND_AVAILABLE_IN_ALL
char *strand_param_print (GParamSpec *pspec, const GValue *value) G_GNUC_WARN_UNUSED_RESULT;

/* The word of @words nearest to @word if it is near enough to be what was meant, or NULL. Borrowed. */
STRAND_AVAILABLE_IN_ALL
const char *strand_suggest (const char *word, const char *const *words);

G_END_DECLS
