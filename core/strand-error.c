/* strand-error.c — registers the error domains and their codes, so that a code can be named in text
 * (records and `--json` carry nicks, never numbers).
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "strand-error.h"

/**
 * strand_error_quark:
 *
 * The domain of strand's own errors.
 *
 * Returns: the domain
 * Since: 1.0
 */
G_DEFINE_QUARK (strand-error-quark, strand_error)

/**
 * strand_plugin_error_quark:
 *
 * The domain of errors about plugin files and function modules.
 *
 * Returns: the domain
 * Since: 1.0
 */
G_DEFINE_QUARK (strand-plugin-error-quark, strand_plugin_error)

G_DEFINE_ENUM_TYPE (
    StrandError, strand_error, G_DEFINE_ENUM_VALUE (STRAND_ERROR_FAILED, "failed"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_INVALID_ARGUMENT, "invalid-argument"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_INVALID_KEY, "invalid-key"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_NOT_FOUND, "not-found"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_EXISTS, "exists"), G_DEFINE_ENUM_VALUE (STRAND_ERROR_STALE, "stale"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_CORRUPT, "corrupt"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_TOO_LARGE, "too-large"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_UNKNOWN_FUNCTION, "unknown-function"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_TYPE, "type"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_UNKNOWN_TARGET, "unknown-target"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_NOT_READY, "not-ready"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_WAIT_TIMED_OUT, "wait-timed-out"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_TIMED_OUT, "timed-out"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_CRASHED, "crashed"), G_DEFINE_ENUM_VALUE (STRAND_ERROR_LOST, "lost"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_DEAD, "dead"), G_DEFINE_ENUM_VALUE (STRAND_ERROR_EXPIRED, "expired"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_REFUSED, "refused"), G_DEFINE_ENUM_VALUE (STRAND_ERROR_FULL, "full"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_CLOSED, "closed"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_WOULD_DEADLOCK, "would-deadlock"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_UNSAFE, "unsafe"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_NOT_SUPPORTED, "not-supported"),
    G_DEFINE_ENUM_VALUE (STRAND_ERROR_CONFIG, "config"))

G_DEFINE_ENUM_TYPE (StrandPluginError, strand_plugin_error,
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_NOT_FOUND, "not-found"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_UNREADABLE, "unreadable"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_NOT_ELF, "not-elf"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_TRUNCATED, "truncated"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_ARCHITECTURE, "architecture"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_NO_DESCRIPTOR, "no-descriptor"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR, "corrupt-descriptor"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_ABI_MAJOR, "abi-major"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_ABI_MINOR, "abi-minor"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY, "missing-dependency"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL, "undefined-symbol"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_LOAD, "load"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_NO_TYPES, "no-types"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_BAD_TYPE, "bad-type"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_WRONG_INTERFACE, "wrong-interface"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_TYPE_CLASH, "type-clash"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_SHADOWED, "shadowed"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_UNTRUSTED_FILE, "untrusted-file"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT, "untrusted-parent"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_RELATIVE_PATH, "relative-path"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_CHANGED, "changed"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_NO_ENTRY, "no-entry"),
                    G_DEFINE_ENUM_VALUE (STRAND_PLUGIN_ERROR_MODULE_FAILED, "module-failed"))
