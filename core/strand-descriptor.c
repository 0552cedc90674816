/* strand-descriptor.c — the text by which a plugin introduces itself: read, checked, judged.
 *
 *     strand-plugin 1
 *     abi 1.0
 *     name file-store
 *     version 1.2
 *     license LGPL-2.1-or-later
 *     type <TAB> store <TAB> file <TAB> StrandFileStore <TAB> Keeps each value in a file of its own
 *     end
 *
 * in exactly this order, `type` once for each type provided, ended by a NUL. Reading is strict, because a
 * descriptor is made by a macro and so is either whole or damaged. One thing is left open: text built for
 * another ABI may say more than we know, and has to be listed all the same, so there unknown lines are passed
 * over. Whether a plugin can be used is a second question, strand_descriptor_check().
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-descriptor-private.h"
#include "strand-error.h"
#include "strand-plugin-define.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Sixteen types of 300 bytes each are 5 KB. */
#define MAX_SIZE (64 * 1024)
#define MAX_TYPES 256
#define MAX_WORD 64
#define MAX_GTYPE_NAME 128
#define MAX_SUMMARY 512

static gboolean corrupt (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
corrupt (GError **error, const char *format, ...)
{
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR,
               "its descriptor is damaged: %s; build it again", what);
  return FALSE;
}

static void
provided_free (gpointer data)
{
  StrandProvided *self = data;

  g_free (self->type);
  g_free (self->gtype_name);
  g_free (self->summary);
  g_free (self);
}

StrandDescriptor *
strand_descriptor_ref (StrandDescriptor *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

void
strand_descriptor_unref (StrandDescriptor *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_free (self->name);
  g_free (self->version);
  g_free (self->license);
  g_ptr_array_unref (self->provided);
  g_free (self);
}

/* One line of text for people: UTF-8 without control characters, so that a terminal shows it and does no
 * more. */
static gboolean
is_line (const char *text, gsize max)
{
  if (text[0] == '\0' || strlen (text) > max || !g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const char *p = text; *p != '\0'; p = g_utf8_next_char (p))
    if (g_unichar_iscntrl (g_utf8_get_char (p)) || g_unichar_type (g_utf8_get_char (p)) == G_UNICODE_FORMAT)
      return FALSE;
  return TRUE;
}

gboolean
strand_descriptor_is_type_name (const char *type)
{
  return g_ascii_islower (type[0]) && strlen (type) <= MAX_WORD &&
         strspn (type, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen (type);
}

/* What GObject itself accepts, see g_type_register_static(). */
static gboolean
is_gtype_name (const char *name)
{
  gsize length = strlen (name);

  if (length < 3 || length > MAX_GTYPE_NAME || !(g_ascii_isalpha (name[0]) || name[0] == '_'))
    return FALSE;
  for (gsize i = 1; i < length; i++)
    if (!g_ascii_isalnum (name[i]) && strchr ("-_+", name[i]) == NULL)
      return FALSE;
  return TRUE;
}

/* The value of a "key value" line, or NULL. */
static const char *
value_of (const char *line, const char *key)
{
  gsize length = strlen (key);

  if (line == NULL || strncmp (line, key, length) != 0 || line[length] != ' ')
    return NULL;
  return line + length + 1;
}

static gboolean
parse_abi (const char *text, int *major, int *minor)
{
  g_auto(GStrv) parts = g_strsplit (text, ".", 3);
  guint64 numbers[2];

  if (g_strv_length (parts) != 2)
    return FALSE;
  for (int i = 0; i < 2; i++)
    if (!g_ascii_string_to_unsigned (parts[i], 10, 0, 9999, &numbers[i], NULL))
      return FALSE;
  *major = (int) numbers[0];
  *minor = (int) numbers[1];
  return TRUE;
}

static gboolean
parse_word (const char *line, const char *key, char **word, GError **error)
{
  const char *value = value_of (line, key);

  if (value == NULL || !is_line (value, MAX_WORD))
    return corrupt (error, "it has no proper '%s' line", key);
  *word = g_strdup (value);
  return TRUE;
}

static gboolean
parse_type (StrandDescriptor *self, const char *line, GError **error)
{
  g_auto(GStrv) fields = g_strsplit (line, "\t", -1);
  StrandProvided *provided;
  StrandKind kind;

  if (g_strv_length (fields) != 5)
    return corrupt (error, "a 'type' line has %u fields instead of 5", g_strv_length (fields));
  if (!strand_kind_from_string (fields[1], &kind))
    return corrupt (error, "it provides something of a kind that does not exist");
  if (!strand_descriptor_is_type_name (fields[2]))
    return corrupt (error, "a type's name may have small letters, digits and dashes only, %d at most",
                    MAX_WORD);
  if (!is_gtype_name (fields[3]))
    return corrupt (error, "the GType name of type '%s' cannot be one", fields[2]);
  if (!is_line (fields[4], MAX_SUMMARY))
    return corrupt (error, "the summary of type '%s' is not one line of text", fields[2]);
  if (strand_descriptor_find (self, kind, fields[2], NULL) != NULL)
    return corrupt (error, "it provides %s '%s' twice", fields[1], fields[2]);
  if (self->provided->len == MAX_TYPES)
    return corrupt (error, "it provides more than %d types", MAX_TYPES);

  provided = g_new0 (StrandProvided, 1);
  provided->kind = kind;
  provided->type = g_strdup (fields[2]);
  provided->gtype_name = g_strdup (fields[3]);
  provided->summary = g_strdup (fields[4]);
  g_ptr_array_add (self->provided, provided);
  return TRUE;
}

static gboolean
speaks_our_abi (const StrandDescriptor *self)
{
  return self->abi_major == STRAND_PLUGIN_ABI_MAJOR && self->abi_minor <= STRAND_PLUGIN_ABI_MINOR;
}

static gboolean
parse_types (StrandDescriptor *self, char **lines, GError **error)
{
  gboolean ours = speaks_our_abi (self);

  /* The text ends in a line feed, so the last line is an empty one behind "end". */
  for (; lines[0] != NULL && lines[1] != NULL && strcmp (lines[0], "end") != 0; lines++)
    {
      g_autoptr(GError) local = NULL;

      if (g_str_has_prefix (lines[0], "type\t"))
        parse_type (self, lines[0], &local);
      else
        corrupt (&local, "it has a line that means nothing");
      if (local != NULL && ours)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
    }
  if (lines[0] == NULL || lines[1] == NULL || lines[1][0] != '\0' || lines[2] != NULL)
    return corrupt (error, "it does not end as it should");
  if (ours && self->provided->len == 0)
    return corrupt (error, "it provides nothing");
  return TRUE;
}

static gboolean
parse_lines (StrandDescriptor *self, char **lines, GError **error)
{
  const char *format = value_of (lines[0], "strand-plugin");
  const char *abi;

  if (format == NULL)
    return corrupt (error, "it does not begin as one");
  if (strcmp (format, "1") != 0)
    return corrupt (error, "it is in another format than 1");
  abi = value_of (lines[1], "abi");
  if (abi == NULL || !parse_abi (abi, &self->abi_major, &self->abi_minor))
    return corrupt (error, "it has no proper 'abi' line");
  return parse_word (lines[2], "name", &self->name, error) &&
         parse_word (lines[3], "version", &self->version, error) &&
         parse_word (lines[4], "license", &self->license, error) && parse_types (self, lines + 5, error);
}

StrandDescriptor *
strand_descriptor_parse (const char *data, gsize size, GError **error)
{
  g_autoptr(StrandDescriptor) self = g_new0 (StrandDescriptor, 1);
  g_auto(GStrv) lines = NULL;
  gsize length = strnlen (data, size);

  g_atomic_ref_count_init (&self->refs);
  self->provided = g_ptr_array_new_with_free_func (provided_free);
  if (length == size)
    {
      corrupt (error, "it has no end");
      return NULL;
    }
  /* Padding is fine (sanitizers add it); a second descriptor, from two plugins linked into one, is not. */
  for (gsize i = length; i < size; i++)
    if (data[i] != '\0')
      {
        corrupt (error, "something follows it, perhaps a second one");
        return NULL;
      }
  lines = g_strsplit (data, "\n", MAX_TYPES + 64);
  if (g_strv_length (lines) < 6)
    {
      corrupt (error, "it has too few lines");
      return NULL;
    }
  if (!parse_lines (self, lines, error))
    return NULL;
  return g_steal_pointer (&self);
}

StrandDescriptor *
strand_descriptor_read_fd (int fd, GError **error)
{
  g_autoptr(StrandDescriptor) self = NULL;
  g_autoptr(GBytes) section = NULL;
  StrandElfTarget target;
  struct stat st;
  const char *data;
  gsize size;

  section = strand_elf_read_section (fd, STRAND_PLUGIN_SECTION, MAX_SIZE, &target, error);
  if (section == NULL)
    return NULL;
  data = g_bytes_get_data (section, &size);
  self = strand_descriptor_parse (data != NULL ? data : "", size, error);
  if (self == NULL)
    return NULL;
  self->target = target;
  if (fstat (fd, &st) == 0)
    strand_file_identity_init (&self->identity, &st);
  return g_steal_pointer (&self);
}

StrandDescriptor *
strand_descriptor_read (const char *file, GError **error)
{
  StrandDescriptor *self;
  int fd = strand_trust_open (file, error);

  if (fd < 0)
    return NULL;
  self = strand_descriptor_read_fd (fd, error);
  close (fd);
  return self;
}

gboolean
strand_descriptor_check (const StrandDescriptor *self, GError **error)
{
  if (!strand_elf_check_target (&self->target, error))
    return FALSE;
  if (self->abi_major != STRAND_PLUGIN_ABI_MAJOR)
    {
      g_set_error (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_ABI_MAJOR,
          "it was built for strand's plugin interface %d.%d, this is %d.%d (libstrand %s); build it again "
          "against strand-%d.pc",
          self->abi_major, self->abi_minor, STRAND_PLUGIN_ABI_MAJOR, STRAND_PLUGIN_ABI_MINOR, STRAND_VERSION,
          STRAND_PLUGIN_ABI_MAJOR);
      return FALSE;
    }
  if (self->abi_minor > STRAND_PLUGIN_ABI_MINOR)
    {
      g_set_error (
          error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_ABI_MINOR,
          "it needs strand's plugin interface %d.%d, this is %d.%d (libstrand %s); install a newer strand, "
          "or build it again with STRAND_VERSION_MAX_ALLOWED=STRAND_VERSION_%d_%d",
          self->abi_major, self->abi_minor, STRAND_PLUGIN_ABI_MAJOR, STRAND_PLUGIN_ABI_MINOR, STRAND_VERSION,
          STRAND_PLUGIN_ABI_MAJOR, STRAND_PLUGIN_ABI_MINOR);
      return FALSE;
    }
  return TRUE;
}

const StrandProvided *
strand_descriptor_find (const StrandDescriptor *self, StrandKind kind, const char *type, guint *index)
{
  for (guint i = 0; i < self->provided->len; i++)
    {
      const StrandProvided *provided = g_ptr_array_index (self->provided, i);

      if (provided->kind == kind && strcmp (provided->type, type) == 0)
        {
          if (index != NULL)
            *index = i;
          return provided;
        }
    }
  return NULL;
}
