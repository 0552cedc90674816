/* strand-plugin-define.h — how a plugin introduces itself.
 *
 * STRAND_PLUGIN_DEFINE() makes two things. The descriptor is text in a section of its own, without pointers,
 * because it is read from the file on disk, where nothing has been relocated: so a plugin can be listed and
 * refused without running any of its code. The array of get-type functions is the one symbol that a plugin
 * exports; it is used once the file has been loaded.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <glib-object.h>

G_BEGIN_DECLS

/**
 * STRAND_PROVIDES_STORE:
 * @type: (type utf8): what `type=` in a keyfile names, such as `"file"`: a small letter, then small letters,
 *   digits and dashes
 * @CType: the C type, whose name is the #GType's name, such as `StrandFileStore`
 * @get_type: its get-type function
 * @summary: (type utf8): one line of help
 *
 * One store that a plugin provides, as an argument of STRAND_PLUGIN_DEFINE().
 *
 * Since: 1.0
 */
#define STRAND_PROVIDES_STORE(type, CType, get_type, summary) ("store", type, CType, get_type, summary)

/**
 * STRAND_PROVIDES_TASKRUNNER:
 * @type: (type utf8): what `type=` in a keyfile names: a small letter, then small letters, digits and dashes
 * @CType: the C type, whose name is the #GType's name
 * @get_type: its get-type function
 * @summary: (type utf8): one line of help
 *
 * One taskrunner that a plugin provides, as an argument of STRAND_PLUGIN_DEFINE().
 *
 * Since: 1.0
 */
#define STRAND_PROVIDES_TASKRUNNER(type, CType, get_type, summary)                                           \
  ("taskrunner", type, CType, get_type, summary)

/**
 * STRAND_PROVIDES_BACKEND:
 * @type: (type utf8): what `type=` in a keyfile names: a small letter, then small letters, digits and dashes
 * @CType: the C type, whose name is the #GType's name
 * @get_type: its get-type function
 * @summary: (type utf8): one line of help
 *
 * One backend that a plugin provides, as an argument of STRAND_PLUGIN_DEFINE().
 *
 * Since: 1.0
 */
#define STRAND_PROVIDES_BACKEND(type, CType, get_type, summary) ("backend", type, CType, get_type, summary)

/**
 * STRAND_PROVIDES_SERIALIZER:
 * @type: (type utf8): what `type=` in a keyfile names: a small letter, then small letters, digits and dashes
 * @CType: the C type, whose name is the #GType's name
 * @get_type: its get-type function
 * @summary: (type utf8): one line of help
 *
 * One serializer that a plugin provides, as an argument of STRAND_PLUGIN_DEFINE().
 *
 * Since: 1.0
 */
#define STRAND_PROVIDES_SERIALIZER(type, CType, get_type, summary)                                           \
  ("serializer", type, CType, get_type, summary)

/**
 * STRAND_PROVIDES_MIDDLEWARE:
 * @type: (type utf8): what `type=` in a keyfile names: a small letter, then small letters, digits and dashes
 * @CType: the C type, whose name is the #GType's name
 * @get_type: its get-type function
 * @summary: (type utf8): one line of help
 *
 * One middleware that a plugin provides, as an argument of STRAND_PLUGIN_DEFINE().
 *
 * Since: 1.0
 */
#define STRAND_PROVIDES_MIDDLEWARE(type, CType, get_type, summary)                                           \
  ("middleware", type, CType, get_type, summary)

/**
 * STRAND_PLUGIN_SECTION:
 *
 * The section of a plugin's file in which its description stands.
 *
 * Since: 1.0
 */
#define STRAND_PLUGIN_SECTION ".strand.plugin"

/**
 * StrandPluginGetType:
 *
 * What a plugin's one exported symbol is an array of, with `NULL` at its end: the get-type functions, in
 * the order of the description.
 *
 * Returns: the type, which is registered by then
 * Since: 1.0
 */
typedef GType (*StrandPluginGetType) (void);

/**
 * STRAND_PLUGIN_DEFINE:
 * @name: (type utf8): the plugin's name, as its file's without `.so`
 * @version: (type utf8): its own version
 * @license: (type utf8): an SPDX licence expression
 * @...: one to sixteen of STRAND_PROVIDES_STORE() and its kin
 *
 * Introduces a plugin; stands once, at the end of one of its files, without a semicolon. All texts are
 * string literals, of one line each.
 *
 * |[<!-- language="C" -->
 * STRAND_PLUGIN_DEFINE ("file-store", "1.2", "LGPL-2.1-or-later",
 *   STRAND_PROVIDES_STORE ("file", StrandFileStore, strand_file_store_get_type,
 *                          "Keeps each value in a file of its own"))
 * ]|
 *
 * Since: 1.0
 */
#define STRAND_PLUGIN_DEFINE(name, version, license, ...)                                                    \
  _STRAND_EACH (_STRAND_PROVIDES_CHECK, __VA_ARGS__)                                                         \
  _STRAND_PLUGIN_DESCRIPTOR ("strand-plugin 1\nabi " _STRAND_PLUGIN_ABI "\nname " name "\nversion " version  \
                             "\nlicense " license                                                            \
                             "\n" _STRAND_EACH (_STRAND_PROVIDES_TEXT, __VA_ARGS__) "end\n")                 \
  G_BEGIN_DECLS                                                                                              \
  _STRAND_EXTERN const StrandPluginGetType strand_plugin_types[];                                            \
  const StrandPluginGetType strand_plugin_types[] = { _STRAND_EACH (_STRAND_PROVIDES_ITEM, __VA_ARGS__)      \
                                                          NULL };                                            \
  G_END_DECLS

/*< private >*/

/* `used` keeps the compiler and LTO from dropping what nothing refers to, `retain` the linker
 * (--gc-sections). */
#define _STRAND_PLUGIN_DESCRIPTOR(text)                                                                      \
  static const char _strand_plugin_descriptor[]                                                              \
      __attribute__ ((section (STRAND_PLUGIN_SECTION), used _STRAND_RETAIN)) = text;

#ifdef __has_attribute
#if __has_attribute(retain)
#define _STRAND_RETAIN , retain
#endif
#endif
#ifndef _STRAND_RETAIN
#define _STRAND_RETAIN
#endif

/* A plugin says the newest interface that it was allowed to use, not the newest that happened to be installed
 * when it was built. Each minor release adds an #elif for the one before it. */
#if STRAND_VERSION_MAX_ALLOWED <= STRAND_VERSION_1_0
#define _STRAND_PLUGIN_ABI G_STRINGIFY (STRAND_PLUGIN_ABI_MAJOR) ".0"
#else
#define _STRAND_PLUGIN_ABI G_STRINGIFY (STRAND_PLUGIN_ABI_MAJOR) "." G_STRINGIFY (STRAND_PLUGIN_ABI_MINOR)
#endif

#define _STRAND_PROVIDES_TEXT(kind, type, CType, get_type, summary)                                          \
  "type\t" kind "\t" type "\t" #CType "\t" summary "\n"
#define _STRAND_PROVIDES_ITEM(kind, type, CType, get_type, summary) get_type,
#define _STRAND_PROVIDES_CHECK(kind, type, CType, get_type, summary)                                         \
  G_STATIC_ASSERT (sizeof (CType *) == sizeof (gpointer));

/* what tuple, for each tuple of one to sixteen. */
#define _STRAND_EACH(what, ...)                                                                              \
  _STRAND_PICK (__VA_ARGS__, _STRAND_16, _STRAND_15, _STRAND_14, _STRAND_13, _STRAND_12, _STRAND_11,         \
                _STRAND_10, _STRAND_9, _STRAND_8, _STRAND_7, _STRAND_6, _STRAND_5, _STRAND_4, _STRAND_3,     \
                _STRAND_2, _STRAND_1, more than sixteen types)                                               \
  (what, __VA_ARGS__)
#define _STRAND_PICK(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, it, ...) it
#define _STRAND_1(what, a) what a
#define _STRAND_2(what, a, ...) what a _STRAND_1 (what, __VA_ARGS__)
#define _STRAND_3(what, a, ...) what a _STRAND_2 (what, __VA_ARGS__)
#define _STRAND_4(what, a, ...) what a _STRAND_3 (what, __VA_ARGS__)
#define _STRAND_5(what, a, ...) what a _STRAND_4 (what, __VA_ARGS__)
#define _STRAND_6(what, a, ...) what a _STRAND_5 (what, __VA_ARGS__)
#define _STRAND_7(what, a, ...) what a _STRAND_6 (what, __VA_ARGS__)
#define _STRAND_8(what, a, ...) what a _STRAND_7 (what, __VA_ARGS__)
#define _STRAND_9(what, a, ...) what a _STRAND_8 (what, __VA_ARGS__)
#define _STRAND_10(what, a, ...) what a _STRAND_9 (what, __VA_ARGS__)
#define _STRAND_11(what, a, ...) what a _STRAND_10 (what, __VA_ARGS__)
#define _STRAND_12(what, a, ...) what a _STRAND_11 (what, __VA_ARGS__)
#define _STRAND_13(what, a, ...) what a _STRAND_12 (what, __VA_ARGS__)
#define _STRAND_14(what, a, ...) what a _STRAND_13 (what, __VA_ARGS__)
#define _STRAND_15(what, a, ...) what a _STRAND_14 (what, __VA_ARGS__)
#define _STRAND_16(what, a, ...) what a _STRAND_15 (what, __VA_ARGS__)

G_END_DECLS
