/* strand-error.h — everything that can go wrong, one code for each way to act on it.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "strand-version.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/**
 * STRAND_ERROR:
 *
 * Error domain of calls, stores, targets and configuration. A cancelled call is
 * `G_IO_ERROR_CANCELLED` in GIO's own domain, everywhere.
 *
 * Since: 1.0
 */
#define STRAND_ERROR (strand_error_quark ())
STRAND_AVAILABLE_IN_ALL
GQuark strand_error_quark (void);

/**
 * StrandError:
 * @STRAND_ERROR_FAILED: something failed that no other code describes; the message says what
 * @STRAND_ERROR_INVALID_ARGUMENT: an argument, option or property has no meaning here: mend the caller
 * @STRAND_ERROR_INVALID_KEY: a key breaks the grammar `[A-Za-z0-9._-]{1,128}`: choose another
 * @STRAND_ERROR_NOT_FOUND: no record has this key, or it is gone: creating one may help
 * @STRAND_ERROR_EXISTS: a record has this key already: look at it, or choose another
 * @STRAND_ERROR_STALE: somebody else wrote the record since it was read: read again, then decide
 * @STRAND_ERROR_CORRUPT: a record or value cannot be read: keep it aside, go on with the others
 * @STRAND_ERROR_TOO_LARGE: a value is above a configured limit: raise it or store elsewhere
 * @STRAND_ERROR_UNKNOWN_FUNCTION: no function has this name: load its module or mend the name
 * @STRAND_ERROR_TYPE: arguments or a result do not match the function's declared types
 * @STRAND_ERROR_UNKNOWN_TARGET: no taskrunner or backend has this name: the message lists those there are
 * @STRAND_ERROR_NOT_READY: the call has not ended: wait for it
 * @STRAND_ERROR_WAIT_TIMED_OUT: the wait ended before the call did; the call goes on
 * @STRAND_ERROR_TIMED_OUT: the call ran longer than it may and was stopped
 * @STRAND_ERROR_CRASHED: the process that ran the call died: the message has the signal
 * @STRAND_ERROR_LOST: the program that looked after the call ended without finishing it
 * @STRAND_ERROR_DEAD: the call's workers crashed too often: look at the causes before trying again
 * @STRAND_ERROR_EXPIRED: the call was not started before it expired
 * @STRAND_ERROR_REFUSED: a middleware refused the call: the message names it and when to try again
 * @STRAND_ERROR_FULL: a queue is at its limit: try later, or raise the limit
 * @STRAND_ERROR_CLOSED: the object has been closed: trying again will not help
 * @STRAND_ERROR_WOULD_DEADLOCK: this wait could never end: use a callback or another runner
 * @STRAND_ERROR_UNSAFE: the function's traits forbid this target: choose another, or override the check
 * @STRAND_ERROR_NOT_SUPPORTED: this implementation cannot do what was asked
 * @STRAND_ERROR_CONFIG: a keyfile has mistakes: the message lists each with its line
 *
 * Codes of %STRAND_ERROR.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_ERROR_FAILED,
  STRAND_ERROR_INVALID_ARGUMENT,
  STRAND_ERROR_INVALID_KEY,
  STRAND_ERROR_NOT_FOUND,
  STRAND_ERROR_EXISTS,
  STRAND_ERROR_STALE,
  STRAND_ERROR_CORRUPT,
  STRAND_ERROR_TOO_LARGE,
  STRAND_ERROR_UNKNOWN_FUNCTION,
  STRAND_ERROR_TYPE,
  STRAND_ERROR_UNKNOWN_TARGET,
  STRAND_ERROR_NOT_READY,
  STRAND_ERROR_WAIT_TIMED_OUT,
  STRAND_ERROR_TIMED_OUT,
  STRAND_ERROR_CRASHED,
  STRAND_ERROR_LOST,
  STRAND_ERROR_DEAD,
  STRAND_ERROR_EXPIRED,
  STRAND_ERROR_REFUSED,
  STRAND_ERROR_FULL,
  STRAND_ERROR_CLOSED,
  STRAND_ERROR_WOULD_DEADLOCK,
  STRAND_ERROR_UNSAFE,
  STRAND_ERROR_NOT_SUPPORTED,
  STRAND_ERROR_CONFIG,
} StrandError;

#define STRAND_TYPE_ERROR (strand_error_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_error_get_type (void);

/**
 * STRAND_PLUGIN_ERROR:
 *
 * Error domain of plugin files and function modules: why one cannot be used.
 *
 * Since: 1.0
 */
#define STRAND_PLUGIN_ERROR (strand_plugin_error_quark ())
STRAND_AVAILABLE_IN_ALL
GQuark strand_plugin_error_quark (void);

/**
 * StrandPluginError:
 * @STRAND_PLUGIN_ERROR_NOT_FOUND: no file is there, or no plugin provides the type
 * @STRAND_PLUGIN_ERROR_UNREADABLE: the file is there but cannot be read
 * @STRAND_PLUGIN_ERROR_NOT_ELF: the file is not a shared object
 * @STRAND_PLUGIN_ERROR_TRUNCATED: the file ends before its own headers say
 * @STRAND_PLUGIN_ERROR_ARCHITECTURE: the file is for another processor, word size or byte order
 * @STRAND_PLUGIN_ERROR_NO_DESCRIPTOR: a shared object, but not a strand plugin
 * @STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR: its descriptor cannot be understood
 * @STRAND_PLUGIN_ERROR_ABI_MAJOR: built for another generation of the plugin interface
 * @STRAND_PLUGIN_ERROR_ABI_MINOR: built for a newer plugin interface than this library has
 * @STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY: a shared library that it needs is not installed
 * @STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL: a symbol that it needs is defined nowhere
 * @STRAND_PLUGIN_ERROR_LOAD: the dynamic linker refused it for another reason
 * @STRAND_PLUGIN_ERROR_NO_TYPES: it has no array of types, or one that does not fit its descriptor
 * @STRAND_PLUGIN_ERROR_BAD_TYPE: a type function returned no type, or one of another name
 * @STRAND_PLUGIN_ERROR_WRONG_INTERFACE: a type does not implement the interface that it claims
 * @STRAND_PLUGIN_ERROR_TYPE_CLASH: a type of the same name is registered already
 * @STRAND_PLUGIN_ERROR_SHADOWED: another file earlier on the path provides the same type
 * @STRAND_PLUGIN_ERROR_UNTRUSTED_FILE: others may write the file
 * @STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT: others may write a folder above it
 * @STRAND_PLUGIN_ERROR_RELATIVE_PATH: an element of the search path is not absolute
 * @STRAND_PLUGIN_ERROR_CHANGED: the file changed between being checked and being loaded
 * @STRAND_PLUGIN_ERROR_NO_ENTRY: a function module lacks its entry point
 * @STRAND_PLUGIN_ERROR_MODULE_FAILED: a function module's entry point reported an error
 *
 * Codes of %STRAND_PLUGIN_ERROR.
 *
 * Since: 1.0
 */
typedef enum
{
  STRAND_PLUGIN_ERROR_NOT_FOUND,
  STRAND_PLUGIN_ERROR_UNREADABLE,
  STRAND_PLUGIN_ERROR_NOT_ELF,
  STRAND_PLUGIN_ERROR_TRUNCATED,
  STRAND_PLUGIN_ERROR_ARCHITECTURE,
  STRAND_PLUGIN_ERROR_NO_DESCRIPTOR,
  STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR,
  STRAND_PLUGIN_ERROR_ABI_MAJOR,
  STRAND_PLUGIN_ERROR_ABI_MINOR,
  STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY,
  STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL,
  STRAND_PLUGIN_ERROR_LOAD,
  STRAND_PLUGIN_ERROR_NO_TYPES,
  STRAND_PLUGIN_ERROR_BAD_TYPE,
  STRAND_PLUGIN_ERROR_WRONG_INTERFACE,
  STRAND_PLUGIN_ERROR_TYPE_CLASH,
  STRAND_PLUGIN_ERROR_SHADOWED,
  STRAND_PLUGIN_ERROR_UNTRUSTED_FILE,
  STRAND_PLUGIN_ERROR_UNTRUSTED_PARENT,
  STRAND_PLUGIN_ERROR_RELATIVE_PATH,
  STRAND_PLUGIN_ERROR_CHANGED,
  STRAND_PLUGIN_ERROR_NO_ENTRY,
  STRAND_PLUGIN_ERROR_MODULE_FAILED,
} StrandPluginError;

#define STRAND_TYPE_PLUGIN_ERROR (strand_plugin_error_get_type ())
STRAND_AVAILABLE_IN_ALL
GType strand_plugin_error_get_type (void);

G_END_DECLS
