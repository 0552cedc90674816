/* strand-module.c — the one file that knows libltdl.
 *
 * libltdl keeps one message for all its loaders, so that the real reason of a failure is lost ("file not
 * found" for a file with an undefined symbol); it binds lazily, so that an undefined symbol is found by the
 * call that dies of it; and it is not thread-safe. Hence a loader of our own, first in its list: it binds
 * everything at once and keeps the dynamic linker's words. When it fails it still hands libltdl a module, a
 * hollow one, because libltdl would go on to the stock loader, which opens the same file lazily and runs its
 * constructors after all. The loader answers only for requests of this file: whatever else the program does
 * with libltdl goes on as before.
 *
 * A module is local, so that two may define the same names, and resident, because a GType cannot be
 * unregistered.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-error.h"
#include "strand-module-private.h"

#include <dlfcn.h>
#include <errno.h>
#include <locale.h>
#include <ltdl.h>
#include <string.h>

typedef struct
{
  const char *path;
  char *failure; /* what the dynamic linker said, once it refused */
} Request;

/* Around every lt_* call. Recursive, because a constructor may load another module. */
static GRecMutex ltdl_lock;
static char hollow_module;
static GPrivate current_request;

/* The dynamic linker's last message, in English like all of ours, whatever the thread's locale: the words are
 * also how the reasons are told apart. */
static char *
dup_dlerror (void)
{
  locale_t english = newlocale (LC_ALL_MASK, "C", (locale_t) 0);
  locale_t before = english != (locale_t) 0 ? uselocale (english) : (locale_t) 0;
  const char *message = dlerror ();
  char *copy = g_strdup (message != NULL ? message : "no reason was given");

  if (english != (locale_t) 0)
    {
      uselocale (before);
      freelocale (english);
    }
  return copy;
}

static lt_module
loader_open (lt_user_data data, const char *filename, lt_dladvise advise)
{
  Request *request = g_private_get (&current_request);
  void *module;

  if (request == NULL || g_strcmp0 (filename, request->path) != 0)
    return NULL;
  /* What the constructors open is not this request. */
  g_private_set (&current_request, NULL);
  module = dlopen (filename, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (module != NULL)
    return module;
  request->failure = dup_dlerror ();
  return &hollow_module;
}

static int
loader_close (lt_user_data data, lt_module module)
{
  return module == (lt_module) &hollow_module ? 0 : dlclose (module);
}

static void *
loader_find_symbol (lt_user_data data, lt_module module, const char *name)
{
  return module == (lt_module) &hollow_module ? NULL : dlsym (module, name);
}

static const lt_dlvtable loader = {
  .name = "strand",
  .module_open = loader_open,
  .module_close = loader_close,
  .find_sym = loader_find_symbol,
  .priority = LT_DLLOADER_PREPEND,
};

static gboolean
start_ltdl_locked (GError **error)
{
  static gboolean started;

  if (started)
    return TRUE;
  if (lt_dlinit () != 0 || lt_dlloader_add (&loader) != 0)
    {
      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_LOAD, "libltdl did not start: %s",
                   lt_dlerror ());
      return FALSE;
    }
  started = TRUE;
  return TRUE;
}

static gboolean
check_unchanged (const char *path, const StrandFileIdentity *checked, GError **error)
{
  StrandFileIdentity now;
  struct stat st;

  if (lstat (path, &st) == 0)
    {
      strand_file_identity_init (&now, &st);
      if (strand_file_identity_equal (&now, checked))
        return TRUE;
    }
  g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CHANGED,
                       "it was replaced or changed between being checked and being loaded; "
                       "start the program again once its installation is done");
  return FALSE;
}

/* The linker says "FILE: what happened", where FILE is the module itself or the dependency that failed. */
static void
set_load_error (const char *path, const char *failure, GError **error)
{
  gboolean about_us = g_str_has_prefix (failure, path) && failure[strlen (path)] == ':';
  const char *what = about_us ? failure + strlen (path) + 2 : failure;

  if (!about_us && strstr (failure, "cannot open shared object file") != NULL)
    {
      g_autofree char *library = g_strndup (failure, strcspn (failure, ":"));

      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY,
                   "it needs the shared library '%s', which is not there (%s); install that library", library,
                   failure);
    }
  else if (g_str_has_prefix (what, "version `") || strstr (failure, ": version `") != NULL)
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_MISSING_DEPENDENCY,
                 "a shared library that it needs is too old (%s); install a newer one", failure);
  else if (strstr (failure, "undefined symbol: ") != NULL || strstr (failure, "not defined in file") != NULL)
    g_set_error (
        error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_UNDEFINED_SYMBOL,
        "%s; link it with the library that defines the symbol (-Wl,-z,defs finds this when it is built)",
        what);
  else
    g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_LOAD,
                 "the dynamic linker refused it: %s; build or install it again", failure);
}

static lt_dlhandle
open_locked (const char *path, GError **error)
{
  Request request = { .path = path };
  g_autofree char *failure = NULL;
  lt_dladvise advise = NULL;
  lt_dlhandle handle = NULL;

  if (!start_ltdl_locked (error))
    return NULL;
  if (lt_dladvise_init (&advise) == 0 && lt_dladvise_local (&advise) == 0)
    {
      g_private_set (&current_request, &request);
      handle = lt_dlopenadvise (path, advise);
      g_private_set (&current_request, NULL);
    }
  failure = request.failure != NULL ? request.failure : g_strdup (lt_dlerror ());
  lt_dladvise_destroy (&advise);

  if (handle != NULL && request.failure == NULL)
    {
      lt_dlmakeresident (handle);
      return handle;
    }
  if (handle != NULL)
    lt_dlclose (handle); /* the hollow one; else the next try would find it and call it loaded */
  set_load_error (path, failure != NULL ? failure : "no reason was given", error);
  return NULL;
}

StrandModule *
strand_module_open (const char *path, const StrandFileIdentity *checked, GError **error)
{
  lt_dlhandle handle = NULL;

  g_assert (g_path_is_absolute (path));

  g_rec_mutex_lock (&ltdl_lock);
  if (check_unchanged (path, checked, error))
    handle = open_locked (path, error);
  g_rec_mutex_unlock (&ltdl_lock);

  if (handle == NULL || !check_unchanged (path, checked, error))
    return NULL;
  return (StrandModule *) handle;
}

gpointer
strand_module_symbol (StrandModule *self, const char *name)
{
  gpointer symbol;

  g_rec_mutex_lock (&ltdl_lock);
  symbol = lt_dlsym ((lt_dlhandle) self, name);
  g_rec_mutex_unlock (&ltdl_lock);
  return symbol;
}
