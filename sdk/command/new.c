/* new.c — makes a project for a plugin or a function module of one's own: new.
 *
 * A kind of project is a folder of templates: files that are built and tested as they stand, about a type
 * called `sample`. A project is a copy of them in which that word, in each of the ways that C writes it, is
 * the new name. Nothing else of a project is known here: what is in the folders decides.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"
#include "command.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>

/* A class's and a file's name have room for it, and people can still read them. */
#define MAX_NAME 40

/* A template's word, and what it becomes. */
typedef struct
{
  const char *word;
  char *becomes;
} Replacement;

/* The more special first: `sample_store_get` is C's, `sample-store` is a file's. */
enum
{
  MACRO,
  CLASS,
  SYMBOL,
  NAME,
  N_REPLACEMENTS,
};

typedef struct
{
  const char *kind;
  const char *name;
  char *templates; /* the kind's folder */
  char *folder;    /* the project's */
  GPtrArray *files;
  Replacement replacements[N_REPLACEMENTS];
} Project;

static void
project_clear (Project *self)
{
  for (guint i = 0; i < N_REPLACEMENTS; i++)
    g_free (self->replacements[i].becomes);
  g_clear_pointer (&self->files, g_ptr_array_unref);
  g_free (self->templates);
  g_free (self->folder);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Project, project_clear)

static const char *
get_templates_folder (void)
{
  const char *folder = g_getenv ("STRAND_TEMPLATES");

  return folder != NULL && *folder != '\0' ? folder : STRAND_TEMPLATE_DIR;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* What is in a folder, sorted, and a NULL; or NULL with an error. */
static GPtrArray *
list_folder (const char *folder, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (folder, 0, error);
  GPtrArray *names;
  const char *name;

  if (dir == NULL)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  while ((name = g_dir_read_name (dir)) != NULL)
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return names;
}

/* The name. */

/* Words of small letters and digits with single dashes between them: what `type=` takes, and what becomes a C
 * name in only one way. */
static gboolean
is_name (const char *name)
{
  if (!g_ascii_islower (name[0]) || strlen (name) > MAX_NAME || g_str_has_suffix (name, "-"))
    return FALSE;
  return strspn (name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (name) &&
         strstr (name, "--") == NULL;
}

static gboolean
check_name (const char *kind, const char *name, GError **error)
{
  g_autofree char *shown = output_dup_printable (name);

  if (!is_name (name))
    g_set_error (
        error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
        "Could not make a %s '%s': a name is a letter, then up to %d letters and digits, all small, with "
        "single dashes between them",
        kind, shown, MAX_NAME - 1);
  else if (strcmp (name, "strand") == 0 || g_str_has_prefix (name, "strand-"))
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
                 "Could not make a %s '%s': names in C that begin with 'strand' are strand's own", kind,
                 shown);
  else
    return TRUE;
  return FALSE;
}

/* Such a project is made all the same: to stand before another plugin may be its purpose. */
static void
warn_of_namesake (const char *kind, const char *name)
{
  g_autoptr(StrandPluginInfo) info = NULL;
  StrandKind plugin_kind;

  if (strand_kind_from_string (kind, &plugin_kind))
    info = plugins_find (plugin_kind, name);
  if (info != NULL)
    session_say ("There is a %s '%s' already, in '%s': installed in the same folder yours overwrites it, in "
                 "another one of them hides the other; a name of its own avoids that",
                 kind, name, info->file);
}

/* `my-thing` as MyThing. */
static char *
dup_class_name (const char *name)
{
  GString *text = g_string_new (NULL);
  gboolean begins = TRUE;

  for (; *name != '\0'; name++)
    {
      if (*name != '-')
        g_string_append_c (text, begins ? g_ascii_toupper (*name) : *name);
      begins = *name == '-';
    }
  return g_string_free (text, FALSE);
}

static void
set_replacements (Project *self)
{
  g_autofree char *symbol = g_strdelimit (g_strdup (self->name), "-", '_');

  self->replacements[MACRO] = (Replacement){ "SAMPLE", g_ascii_strup (symbol, -1) };
  self->replacements[CLASS] = (Replacement){ "Sample", dup_class_name (self->name) };
  self->replacements[SYMBOL] = (Replacement){ "sample_", g_strconcat (symbol, "_", NULL) };
  self->replacements[NAME] = (Replacement){ "sample", g_strdup (self->name) };
}

/* The word that begins here, or NULL. */
static const Replacement *
find_word (Project *self, const char *text)
{
  for (guint i = 0; i < N_REPLACEMENTS; i++)
    if (g_str_has_prefix (text, self->replacements[i].word))
      return &self->replacements[i];
  return NULL;
}

/* In one go, because a new name may have the old one in it. */
static char *
substitute (Project *self, const char *text)
{
  GString *result = g_string_new (NULL);

  while (*text != '\0')
    {
      const Replacement *replacement = find_word (self, text);

      if (replacement != NULL)
        g_string_append (result, replacement->becomes);
      else
        g_string_append_c (result, *text);
      text += replacement != NULL ? strlen (replacement->word) : 1;
    }
  return g_string_free (result, FALSE);
}

/* The kind. */

/* The folders among what is there, and a NULL. */
static GPtrArray *
list_kinds (GError **error)
{
  g_autoptr(GPtrArray) names = list_folder (get_templates_folder (), error);
  GPtrArray *kinds = NULL;

  if (names == NULL)
    return NULL;
  kinds = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; names->pdata[i] != NULL; i++)
    {
      g_autofree char *path = g_build_filename (get_templates_folder (), names->pdata[i], NULL);

      if (g_file_test (path, G_FILE_TEST_IS_DIR))
        g_ptr_array_add (kinds, g_strdup (names->pdata[i]));
    }
  g_ptr_array_add (kinds, NULL);
  return kinds;
}

static gboolean
find_templates (Project *self, GError **error)
{
  g_autoptr(GPtrArray) kinds = list_kinds (error);
  g_autofree char *all = NULL, *shown = output_dup_printable (self->kind);
  const char *near = NULL;

  if (kinds == NULL)
    {
      g_prefix_error (error, "Could not find the templates of projects: ");
      return FALSE;
    }
  self->templates = g_build_filename (get_templates_folder (), self->kind, NULL);
  if (g_strv_contains ((const char *const *) kinds->pdata, self->kind))
    return TRUE;

  all = g_strjoinv (", ", (char **) kinds->pdata);
  if (g_utf8_validate (self->kind, -1, NULL))
    near = strand_suggest (self->kind, (const char *const *) kinds->pdata);
  g_set_error (error, STRAND_ERROR, STRAND_ERROR_INVALID_ARGUMENT,
               "Could not make a project: there is no kind '%s'; kinds are %s%s%s%s", shown, all,
               near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
  return FALSE;
}

/* The folder. */

/* What is there already stays as it is: a project goes into a folder that is new or empty. */
static gboolean
make_folder (Project *self, GError **error)
{
  g_autofree char *shown = output_dup_printable (self->folder);
  g_autoptr(GPtrArray) there = NULL;
  g_autoptr(GError) local = NULL;

  if (g_mkdir_with_parents (self->folder, 0777) == 0)
    there = list_folder (self->folder, &local);
  else
    local = g_error_new_literal (G_FILE_ERROR, g_file_error_from_errno (errno), g_strerror (errno));
  if (there != NULL && there->len == 1)
    return TRUE;

  if (there != NULL)
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG,
                 "Could not make a project in '%s': the folder is there already, with '%s' in it", shown,
                 (const char *) there->pdata[0]);
  else
    g_set_error (error, STRAND_ERROR, STRAND_ERROR_CONFIG, "Could not make a project in '%s': %s", shown,
                 local->message);
  return FALSE;
}

/* With the template's right to be executed. */
static gboolean
write_file (Project *self, const char *name, GError **error)
{
  g_autofree char *from = g_build_filename (self->templates, name, NULL);
  g_autofree char *new_name = substitute (self, name);
  char *to = g_build_filename (self->folder, new_name, NULL);
  g_autofree char *text = NULL, *new_text = NULL;
  GStatBuf st;

  g_ptr_array_add (self->files, to);
  if (!g_file_get_contents (from, &text, NULL, error))
    return FALSE;
  new_text = substitute (self, text);
  return g_file_set_contents_full (to, new_text, -1, G_FILE_SET_CONTENTS_NONE,
                                   g_stat (from, &st) == 0 && (st.st_mode & S_IXUSR) != 0 ? 0777 : 0666,
                                   error);
}

static gboolean
write_files (Project *self, GError **error)
{
  g_autoptr(GPtrArray) names = list_folder (self->templates, error);

  for (guint i = 0; names != NULL && names->pdata[i] != NULL; i++)
    if (!write_file (self, names->pdata[i], error))
      {
        g_prefix_error (error, "Could not make the project '%s': ", self->folder);
        return FALSE;
      }
  return names != NULL;
}

static void
print_json (Project *self)
{
  g_autofree char *folder = g_filename_display_name (self->folder);
  GString *json = g_string_new ("{");

  output_json_member (json, "kind", self->kind);
  output_json_member (json, "name", self->name);
  output_json_member (json, "folder", folder);
  g_string_append (json, ",\"files\":[");
  for (guint i = 0; i < self->files->len; i++)
    {
      g_autofree char *file = g_filename_display_name (self->files->pdata[i]);

      if (i > 0)
        g_string_append_c (json, ',');
      strand_json_append_string (json, file);
    }
  g_string_append (json, "]}");
  output_json (json);
}

static void
print_files (Project *self)
{
  for (guint i = 0; i < self->files->len; i++)
    {
      g_autofree char *shown = output_dup_printable (self->files->pdata[i]);

      output_format ("%s\n", shown);
    }
}

Status
new_run (Session *session, char **arguments)
{
  g_auto(Project) project = { 0 };
  g_autoptr(GError) error = NULL;

  if (arguments[0] == NULL || arguments[1] == NULL || (arguments[2] != NULL && arguments[3] != NULL))
    return session_usage (
        session, "'new' takes a kind (store, taskrunner, backend, serializer, middleware or module), "
                 "a name, and a folder if you like");
  project.kind = arguments[0];
  project.name = arguments[1];
  project.files = g_ptr_array_new_with_free_func (g_free);
  if (!find_templates (&project, &error) || !check_name (project.kind, project.name, &error))
    return session_complain (error);

  set_replacements (&project);
  project.folder =
      arguments[2] != NULL ? g_strdup (arguments[2]) : g_strconcat (project.name, "-", project.kind, NULL);
  if (!make_folder (&project, &error) || !write_files (&project, &error))
    return session_complain (error);
  if (!session->quiet)
    warn_of_namesake (project.kind, project.name);
  if (session->json)
    print_json (&project);
  else if (!session->quiet)
    print_files (&project);
  return STATUS_DONE;
}
