/* strand-elf.c — reads one section of a shared object without loading it.
 *
 * The file may be anything: a plugin for another machine, half a download, a trap. So every number in it is
 * data until it was compared with the file's size; whatever is read is copied through one small window,
 * which never reaches outside the file; and no work grows beyond the limits below, whatever the headers
 * claim. Files of both word sizes and byte orders are understood, because a plugin for another machine has
 * to be listed and refused by name.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-elf-private.h"
#include "strand-error.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A linked plugin has about 30 sections, whose names take 300 bytes; big libraries have some hundreds. */
#define MAX_SECTIONS 65536
#define MAX_SEGMENTS 4096
#define MAX_NAMES (64 * 1024)

/* Linkers put the table of section names right before the section headers, so a window that begins this much
 * early usually holds both: with the file's header and the section itself, three reads a file. */
#define LOOK_BACK 1024

typedef struct
{
  int fd;
  guint64 size; /* of the file */
  StrandElfTarget target;

  guint64 start; /* where in the file the window begins */
  gsize length;
  guint8 window[4096];
} Reader;

/* Where a structure's fields lie, in the two word sizes. */
typedef struct
{
  guint64 offset;
  guint64 size;
  guint32 name;
  guint32 type;
} Extent;

typedef struct
{
  guint type;
  guint64 segments, sections;
  guint segment_size, n_segments;
  guint section_size, n_sections, names_index;
} Header;

static gboolean
set_truncated (const Reader *reader, guint64 end, GError **error)
{
  g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_TRUNCATED,
               "the file is %" G_GUINT64_FORMAT " bytes long, but its headers speak of %" G_GUINT64_FORMAT
               "; copy or build it again",
               reader->size, end);
  return FALSE;
}

static gboolean
set_not_elf (const char *what, GError **error)
{
  g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_ELF,
               "%s; give it another name or take it off the search path", what);
  return FALSE;
}

/* Whether [offset, offset + size) lies in the file; no sum of hostile numbers may wrap. */
static gboolean
reader_contains (const Reader *reader, guint64 offset, guint64 size, GError **error)
{
  guint64 end;

  if (!g_uint64_checked_add (&end, offset, size))
    end = G_MAXUINT64;
  return end <= reader->size || set_truncated (reader, end, error);
}

/* Borrows @size bytes at @offset, at most a window full; good until the next call. */
static const guint8 *
reader_peek (Reader *reader, guint64 offset, gsize size, guint64 look_back, GError **error)
{
  g_assert (size + look_back <= sizeof reader->window);

  if (!reader_contains (reader, offset, size, error))
    return NULL;
  if (offset < reader->start || offset + size > reader->start + reader->length)
    {
      ssize_t n;

      reader->start = offset - MIN (offset, look_back);
      reader->length = 0;
      do
        n = pread (reader->fd, reader->window, sizeof reader->window, (off_t) reader->start);
      while (n < 0 && errno == EINTR);
      if (n < 0)
        {
          g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_UNREADABLE,
                       "reading it failed: %s; check the disk", g_strerror (errno));
          return NULL;
        }
      reader->length = (gsize) n;
      if (offset + size > reader->start + reader->length)
        {
          /* It shrank while being read. */
          reader->size = reader->start + reader->length;
          set_truncated (reader, offset + size, error);
          return NULL;
        }
    }
  return reader->window + (offset - reader->start);
}

static guint8 *
reader_dup (Reader *reader, guint64 offset, gsize size, GError **error)
{
  g_autofree guint8 *copy = NULL;
  gsize done = 0;

  if (!reader_contains (reader, offset, size, error))
    return NULL;
  copy = g_malloc (size + 1);
  while (done < size)
    {
      gsize step = MIN (size - done, sizeof reader->window);
      const guint8 *piece = reader_peek (reader, offset + done, step, 0, error);

      if (piece == NULL)
        return NULL;
      memcpy (copy + done, piece, step);
      done += step;
    }
  copy[size] = '\0';
  return g_steal_pointer (&copy);
}

static guint64
number (const Reader *reader, const guint8 *data, gsize size)
{
  guint64 value = 0;

  for (gsize i = 0; i < size; i++)
    value = value << 8 | data[reader->target.big_endian ? i : size - 1 - i];
  return value;
}

/* A field of an ELF structure, in the file's word size and byte order. */
#define FIELD(reader, data, Struct, field)                                                                   \
  ((reader)->target.is_64bit ? number ((reader), (data) + G_STRUCT_OFFSET (Elf64_##Struct, field),           \
                                       sizeof ((Elf64_##Struct *) 0)->field)                                 \
                             : number ((reader), (data) + G_STRUCT_OFFSET (Elf32_##Struct, field),           \
                                       sizeof ((Elf32_##Struct *) 0)->field))
#define SIZE(reader, Struct) ((reader)->target.is_64bit ? sizeof (Elf64_##Struct) : sizeof (Elf32_##Struct))

static gboolean
reader_open (Reader *reader, int fd, GError **error)
{
  const guint8 *ident;
  struct stat st;

  memset (reader, 0, G_STRUCT_OFFSET (Reader, window));
  reader->fd = fd;
  if (fstat (fd, &st) != 0)
    {
      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_UNREADABLE, "its status is unreadable: %s",
                   g_strerror (errno));
      return FALSE;
    }
  if (!S_ISREG (st.st_mode))
    return set_not_elf ("it is not a regular file", error);
  reader->size = (guint64) st.st_size;
  if (reader->size < SELFMAG)
    return set_not_elf (reader->size == 0 ? "the file is empty" : "it is not a shared object", error);
  ident = reader_peek (reader, 0, SELFMAG, 0, error);
  if (ident == NULL)
    return FALSE;
  if (memcmp (ident, ELFMAG, SELFMAG) != 0)
    return set_not_elf ("it is not a shared object", error);
  ident = reader_peek (reader, 0, EI_NIDENT, 0, error);
  if (ident == NULL)
    return FALSE;
  if ((ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64) ||
      (ident[EI_DATA] != ELFDATA2LSB && ident[EI_DATA] != ELFDATA2MSB))
    return set_not_elf ("it is an ELF file of an unknown word size or byte order", error);

  reader->target.is_64bit = ident[EI_CLASS] == ELFCLASS64;
  reader->target.big_endian = ident[EI_DATA] == ELFDATA2MSB;
  return TRUE;
}

static gboolean
read_header (Reader *reader, Header *header, GError **error)
{
  const guint8 *data = reader_peek (reader, 0, SIZE (reader, Ehdr), 0, error);

  if (data == NULL)
    return FALSE;
  reader->target.machine = (guint) FIELD (reader, data, Ehdr, e_machine);
  header->type = (guint) FIELD (reader, data, Ehdr, e_type);
  header->segments = FIELD (reader, data, Ehdr, e_phoff);
  header->segment_size = (guint) FIELD (reader, data, Ehdr, e_phentsize);
  header->n_segments = (guint) FIELD (reader, data, Ehdr, e_phnum);
  header->sections = FIELD (reader, data, Ehdr, e_shoff);
  header->section_size = (guint) FIELD (reader, data, Ehdr, e_shentsize);
  header->n_sections = (guint) FIELD (reader, data, Ehdr, e_shnum);
  header->names_index = (guint) FIELD (reader, data, Ehdr, e_shstrndx);
  if (header->type != ET_DYN)
    return set_not_elf ("it is an ELF file, but not a shared object", error);
  return TRUE;
}

/* Mapping a segment that the file does not hold succeeds; touching it is SIGBUS. So this comes first. */
static gboolean
check_segments (Reader *reader, const Header *header, GError **error)
{
  if (header->n_segments == 0)
    return set_not_elf ("it is a shared object without anything to load", error);
  if (header->segment_size < SIZE (reader, Phdr) || header->n_segments > MAX_SEGMENTS)
    return set_not_elf ("its program headers make no sense", error);
  for (guint i = 0; i < header->n_segments; i++)
    {
      guint64 at;
      const guint8 *data;

      if (!g_uint64_checked_add (&at, header->segments, (guint64) i * header->segment_size))
        return set_truncated (reader, G_MAXUINT64, error);
      data = reader_peek (reader, at, SIZE (reader, Phdr), 0, error);
      if (data == NULL)
        return FALSE;
      if (FIELD (reader, data, Phdr, p_type) == PT_LOAD &&
          !reader_contains (reader, FIELD (reader, data, Phdr, p_offset),
                            FIELD (reader, data, Phdr, p_filesz), error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_section_header (Reader *reader, const Header *header, guint index, Extent *extent, GError **error)
{
  guint64 at;
  const guint8 *data;

  if (!g_uint64_checked_add (&at, header->sections, (guint64) index * header->section_size))
    return set_truncated (reader, G_MAXUINT64, error);
  data = reader_peek (reader, at, SIZE (reader, Shdr), LOOK_BACK, error);
  if (data == NULL)
    return FALSE;
  extent->name = (guint32) FIELD (reader, data, Shdr, sh_name);
  extent->type = (guint32) FIELD (reader, data, Shdr, sh_type);
  extent->offset = FIELD (reader, data, Shdr, sh_offset);
  extent->size = FIELD (reader, data, Shdr, sh_size);
  return TRUE;
}

static gboolean
set_corrupt (GError **error)
{
  g_set_error_literal (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR,
                       "its section headers make no sense; build it again");
  return FALSE;
}

static gboolean
set_no_section (const char *what, GError **error)
{
  g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_DESCRIPTOR,
               "%s; if it is a strand plugin, end it with STRAND_PLUGIN_DEFINE() and build it again", what);
  return FALSE;
}

static guint8 *
read_names (Reader *reader, const Header *header, gsize *size, GError **error)
{
  Extent first, names;

  /* The first header before the last one, so that the window holds them all. */
  if (!read_section_header (reader, header, 0, &first, error) ||
      !read_section_header (reader, header, header->names_index, &names, error))
    return NULL;
  if (names.type != SHT_STRTAB || names.size > MAX_NAMES)
    {
      set_corrupt (error);
      return NULL;
    }
  *size = (gsize) names.size;
  return reader_dup (reader, names.offset, *size, error);
}

static gboolean
find_section (Reader *reader, Header *header, const char *name, Extent *found, GError **error)
{
  g_autofree guint8 *names = NULL;
  gsize names_size = 0;
  gsize name_size = strlen (name) + 1;

  if (header->sections == 0)
    return set_no_section ("its section headers were removed", error);
  if (header->section_size < SIZE (reader, Shdr))
    return set_corrupt (error);
  if (header->n_sections == 0 || header->names_index == SHN_XINDEX)
    return set_corrupt (error); /* the forms for 65 280 sections and more */
  if (header->names_index >= header->n_sections || header->n_sections > MAX_SECTIONS)
    return set_corrupt (error);
  names = read_names (reader, header, &names_size, error);
  if (names == NULL)
    return FALSE;

  for (guint i = 1; i < header->n_sections; i++)
    {
      Extent section;

      if (!read_section_header (reader, header, i, &section, error))
        return FALSE;
      if (section.type == SHT_PROGBITS && section.name < names_size &&
          names_size - section.name >= name_size && memcmp (names + section.name, name, name_size) == 0)
        {
          *found = section;
          return TRUE;
        }
    }
  return set_no_section ("it is a shared object, but has no strand descriptor", error);
}

gboolean
strand_elf_read_target (int fd, StrandElfTarget *target, GError **error)
{
  Reader reader;
  Header header;

  if (!reader_open (&reader, fd, error) || !read_header (&reader, &header, error) ||
      !check_segments (&reader, &header, error))
    return FALSE;
  *target = reader.target;
  return TRUE;
}

GBytes *
strand_elf_read_section (int fd, const char *name, gsize max_size, StrandElfTarget *target, GError **error)
{
  Reader reader;
  Header header;
  Extent section = { 0 };
  guint8 *data;

  if (!reader_open (&reader, fd, error) || !read_header (&reader, &header, error) ||
      !check_segments (&reader, &header, error) || !find_section (&reader, &header, name, &section, error))
    return NULL;
  if (section.size > max_size)
    {
      g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_CORRUPT_DESCRIPTOR,
                   "its descriptor is %" G_GUINT64_FORMAT " bytes long, where %" G_GSIZE_FORMAT
                   " are the most; build it again",
                   section.size, max_size);
      return NULL;
    }
  data = reader_dup (&reader, section.offset, (gsize) section.size, error);
  if (data == NULL)
    return NULL;
  *target = reader.target;
  return g_bytes_new_take (data, (gsize) section.size);
}

/* The linker puts this at the ELF header of the object that we are in, which says what this process is. */
extern const ElfW (Ehdr) __ehdr_start __attribute__ ((visibility ("hidden")));

static char *
target_to_string (const StrandElfTarget *target)
{
  static const struct
  {
    guint machine;
    const char *name;
  } machines[] = {
    { EM_386, "x86" },       { EM_X86_64, "x86-64" }, { EM_ARM, "ARM" },      { EM_AARCH64, "AArch64" },
    { EM_PPC64, "PowerPC" }, { EM_S390, "s390" },     { EM_RISCV, "RISC-V" }, { EM_MIPS, "MIPS" },
    { EM_PPC, "PowerPC" },   { 258, "LoongArch" },
  };
  g_autofree char *machine = g_strdup_printf ("machine %u", target->machine);

  for (gsize i = 0; i < G_N_ELEMENTS (machines); i++)
    if (machines[i].machine == target->machine)
      {
        g_free (machine);
        machine = g_strdup (machines[i].name);
      }
  return g_strdup_printf ("%d-bit %s-endian %s", target->is_64bit ? 64 : 32,
                          target->big_endian ? "big" : "little", machine);
}

gboolean
strand_elf_check_target (const StrandElfTarget *target, GError **error)
{
  const StrandElfTarget ours = {
    .is_64bit = __ehdr_start.e_ident[EI_CLASS] == ELFCLASS64,
    .big_endian = __ehdr_start.e_ident[EI_DATA] == ELFDATA2MSB,
    .machine = __ehdr_start.e_machine,
  };
  g_autofree char *wanted = NULL, *got = NULL;

  if (target->is_64bit == ours.is_64bit && target->big_endian == ours.big_endian &&
      target->machine == ours.machine)
    return TRUE;
  got = target_to_string (target);
  wanted = target_to_string (&ours);
  g_set_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_ARCHITECTURE,
               "it was built for %s, this process is %s; install the one built for this machine", got,
               wanted);
  return FALSE;
}
