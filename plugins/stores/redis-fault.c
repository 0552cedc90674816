/* redis-fault.c — the table of a server's refusals: which error each is, and its cure.
 *
 * A redis error begins with a word in capitals that stands for its kind; where that is ERR only the text
 * tells. What the server said is repeated, as it never holds what it was sent as a password.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "redis-fault.h"

#include <string.h>

static const struct
{
  const char *start;
  RedisFault fault;
  GIOErrorEnum code;
  const char *meaning;
} faults[] = {
  { "NOSCRIPT", REDIS_FAULT_NO_SCRIPT, G_IO_ERROR_FAILED, "it forgets scripts as fast as they are loaded" },
  { "MOVED", REDIS_FAULT_MOVED, G_IO_ERROR_FAILED, "its cluster sends us round in circles" },
  { "LOADING", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "it is still reading its data from disk" },
  { "BUSY", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "it is running somebody's script that does not end" },
  { "TRYAGAIN", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "its cluster is moving our keys" },
  { "ASK", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "its cluster is moving our keys" },
  { "CLUSTERDOWN", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "its cluster is down; look at CLUSTER INFO" },
  { "MASTERDOWN", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY, "it is a replica that has lost its primary" },
  { "ERR max number of clients", REDIS_FAULT_PASSING, G_IO_ERROR_BUSY,
    "it has too many clients; raise its maxclients, or lower 'max-connections'" },
  { "OOM", REDIS_FAULT_FINAL, G_IO_ERROR_NO_SPACE,
    "it is out of memory; raise its maxmemory, or remove records" },
  { "READONLY", REDIS_FAULT_FINAL, G_IO_ERROR_READ_ONLY,
    "it is a read-only replica; let 'uri' name the primary" },
  { "MISCONF", REDIS_FAULT_FINAL, G_IO_ERROR_FAILED,
    "it cannot save its data to disk and so takes none; look into its log" },
  { "NOREPLICAS", REDIS_FAULT_FINAL, G_IO_ERROR_FAILED,
    "it has too few replicas (min-replicas-to-write) and so takes nothing" },
  { "NOAUTH", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it wants a password; name a file with it in 'password-file'" },
  { "WRONGPASS", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it refuses this user name or password; look at 'password-file' and the user in 'uri'" },
  { "ERR invalid password", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it refuses this password; look at 'password-file'" },
  { "ERR AUTH", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it has no password and was sent one; drop 'password-file', or set one for the server" },
  { "ERR Client sent AUTH", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it has no password and was sent one; drop 'password-file', or set one for the server" },
  { "NOPERM", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "this user lacks a right; docs/stores.md has the ACL rule that is needed" },
  { "ERR The user executing the script", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "this user lacks a right; docs/stores.md has the ACL rule that is needed" },
  { "DENIED", REDIS_FAULT_FINAL, G_IO_ERROR_PERMISSION_DENIED,
    "it is in protected mode and talks to its own host only; set a password for it" },
  { "ERR DB index", REDIS_FAULT_FINAL, G_IO_ERROR_INVALID_ARGUMENT,
    "it has fewer databases than 'uri' asks for" },
  { "ERR SELECT is not allowed", REDIS_FAULT_FINAL, G_IO_ERROR_INVALID_ARGUMENT,
    "it is a node of a cluster, which has database 0 only" },
  { "ERR unknown command", REDIS_FAULT_FINAL, G_IO_ERROR_NOT_SUPPORTED,
    "it lacks a command that is needed; redis 6.0 or newer has all of them" },
};

static const char *
skip_script_prefix (const char *answer)
{
  /* Before version 7 a script's refusal stands behind the script's name and line. */
  const char *inner =
      g_str_has_prefix (answer, "ERR Error running script") ? strstr (answer, "@user_script:") : NULL;

  inner = inner != NULL ? strstr (inner, ": -") : NULL;
  return inner != NULL ? inner + strlen (": -") : answer;
}

static int
find_fault (const char *answer)
{
  answer = skip_script_prefix (answer);
  for (guint i = 0; i < G_N_ELEMENTS (faults); i++)
    if (g_str_has_prefix (answer, faults[i].start))
      return i;
  return -1;
}

RedisFault
redis_fault_classify (const char *answer)
{
  int found = find_fault (answer);

  return found >= 0 ? faults[found].fault : REDIS_FAULT_FINAL;
}

void
redis_fault_set_error (const char *answer, GError **error)
{
  int found = find_fault (answer);

  if (strstr (answer, "WRONGTYPE") != NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CORRUPT,
                 "another program uses this key for something else; choose another 'prefix' (it said: %s)",
                 answer);
  else if (found >= 0)
    g_set_error (error, G_IO_ERROR, faults[found].code, "%s (it said: %s)", faults[found].meaning, answer);
  else
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_FAILED, "it said: %s", answer);
}

gboolean
redis_fault_is_passing (const GError *error)
{
  static const GIOErrorEnum passing[] = {
    G_IO_ERROR_CONNECTION_REFUSED, G_IO_ERROR_CONNECTION_CLOSED,   G_IO_ERROR_TIMED_OUT,
    G_IO_ERROR_HOST_UNREACHABLE,   G_IO_ERROR_NETWORK_UNREACHABLE, G_IO_ERROR_BUSY,
    G_IO_ERROR_NOT_FOUND, /* the socket of a server that is being restarted */
  };

  if (error->domain == G_RESOLVER_ERROR)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (passing); i++)
    if (g_error_matches (error, G_IO_ERROR, passing[i]))
      return TRUE;
  return g_error_matches (error, G_TLS_ERROR, G_TLS_ERROR_EOF);
}
