/* test-elf.c — a section is found in files of every word size and byte order, and no header can lead the
 * reader outside the file.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */

#include "config.h"

#include "strand-elf-private.h"
#include "strand-error.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTION ".strand.plugin"
#define TEXT "the text of the section"

/* A shared object made by hand: header, one segment, the section's text, the section names, section headers.
 */
typedef struct
{
  gboolean is_64bit, big_endian;
  GByteArray *bytes;

  /* What a hostile file may claim; the values of a good one are filled in first. */
  guint16 type, machine, segment_size, n_segments, section_size, n_sections, names_index;
  guint64 segments, sections;
  guint64 load_offset, load_size;
  guint64 text_offset, text_size, names_offset, names_size;
  guint32 text_name, text_type, names_type;
} Elf;

static const char names[] = "\0.text" SECTION "\0.shstrtab";

static void
put (Elf *elf, guint64 value, gsize size)
{
  for (gsize i = 0; i < size; i++)
    {
      guint8 byte = (guint8) (value >> 8 * (elf->big_endian ? size - 1 - i : i));

      g_byte_array_append (elf->bytes, &byte, 1);
    }
}

/* An address, offset or size: as wide as the file's words. */
static void
put_word (Elf *elf, guint64 value)
{
  put (elf, value, elf->is_64bit ? 8 : 4);
}

static void
elf_init (Elf *elf, gboolean is_64bit, gboolean big_endian)
{
  guint64 header = is_64bit ? 64 : 52, segment = is_64bit ? 56 : 32;

  memset (elf, 0, sizeof *elf);
  elf->is_64bit = is_64bit;
  elf->big_endian = big_endian;
  elf->bytes = g_byte_array_new ();
  elf->type = ET_DYN;
  elf->machine = EM_S390;
  elf->segments = header;
  elf->segment_size = (guint16) segment;
  elf->n_segments = 1;
  elf->text_offset = header + segment;
  elf->text_size = sizeof TEXT;
  elf->text_name = 6; /* linkers merge names: this one is the end of ".text.strand.plugin" */
  elf->text_type = SHT_PROGBITS;
  elf->names_offset = elf->text_offset + sizeof TEXT;
  elf->names_size = sizeof names;
  elf->names_type = SHT_STRTAB;
  elf->sections = elf->names_offset + sizeof names;
  elf->section_size = is_64bit ? 64 : 40;
  elf->n_sections = 3;
  elf->names_index = 2;
  elf->load_size = elf->sections + 3 * elf->section_size;
}

static void
put_segment (Elf *elf)
{
  put (elf, PT_LOAD, 4);
  if (elf->is_64bit)
    put (elf, PF_R, 4);
  put_word (elf, elf->load_offset);
  put_word (elf, 0);
  put_word (elf, 0);
  put_word (elf, elf->load_size);
  put_word (elf, elf->load_size);
  if (!elf->is_64bit)
    put (elf, PF_R, 4);
  put_word (elf, 4096);
}

static void
put_section (Elf *elf, guint32 name, guint32 type, guint64 offset, guint64 size)
{
  put (elf, name, 4);
  put (elf, type, 4);
  put_word (elf, 0);
  put_word (elf, 0);
  put_word (elf, offset);
  put_word (elf, size);
  put (elf, 0, 8);
  put_word (elf, 1);
  put_word (elf, 0);
}

static void
elf_write (Elf *elf)
{
  const guint8 ident[EI_NIDENT] = { 0x7f,
                                    'E',
                                    'L',
                                    'F',
                                    elf->is_64bit ? ELFCLASS64 : ELFCLASS32,
                                    elf->big_endian ? ELFDATA2MSB : ELFDATA2LSB,
                                    EV_CURRENT };

  g_byte_array_append (elf->bytes, ident, sizeof ident);
  put (elf, elf->type, 2);
  put (elf, elf->machine, 2);
  put (elf, EV_CURRENT, 4);
  put_word (elf, 0);
  put_word (elf, elf->segments);
  put_word (elf, elf->sections);
  put (elf, 0, 4);
  put (elf, elf->is_64bit ? 64 : 52, 2);
  put (elf, elf->segment_size, 2);
  put (elf, elf->n_segments, 2);
  put (elf, elf->section_size, 2);
  put (elf, elf->n_sections, 2);
  put (elf, elf->names_index, 2);
  put_segment (elf);
  g_byte_array_append (elf->bytes, (const guint8 *) TEXT, sizeof TEXT);
  g_byte_array_append (elf->bytes, (const guint8 *) names, sizeof names);
  put_section (elf, 0, SHT_NULL, 0, 0);
  put_section (elf, elf->text_name, elf->text_type, elf->text_offset, elf->text_size);
  put_section (elf, 7 + sizeof SECTION - 1, elf->names_type, elf->names_offset, elf->names_size);
}

static GBytes *
read_data (const void *data, gsize size, StrandElfTarget *target, GError **error)
{
  int fd = memfd_create ("test-elf", MFD_CLOEXEC);
  GBytes *section;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, data, size), ==, (gssize) size);
  section = strand_elf_read_section (fd, SECTION, 4096, target, error);
  close (fd);
  return section;
}

/* Writes the file, reads it, and frees it. */
static GBytes *
elf_read (Elf *elf, StrandElfTarget *target, GError **error)
{
  GBytes *section;

  elf_write (elf);
  section = read_data (elf->bytes->data, elf->bytes->len, target, error);
  g_clear_pointer (&elf->bytes, g_byte_array_unref);
  return section;
}

static void
test_every_word_size_and_byte_order (void)
{
  for (int i = 0; i < 4; i++)
    {
      g_autoptr(GBytes) section = NULL;
      g_autoptr(GError) error = NULL;
      StrandElfTarget target;
      Elf elf;

      elf_init (&elf, i & 1, (i & 2) != 0);
      section = elf_read (&elf, &target, &error);
      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (section, NULL), g_bytes_get_size (section), TEXT, sizeof TEXT);
      g_assert_cmpint (target.is_64bit, ==, i & 1);
      g_assert_cmpint (target.big_endian, ==, (i & 2) != 0);
      g_assert_cmpuint (target.machine, ==, EM_S390);
      g_assert_false (strand_elf_check_target (&target, &error));
      g_assert_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_ARCHITECTURE);
    }
}

/* Each hostile header in a file of its own, in all four forms. */
#define HOSTILE(code, change)                                                                                \
  for (int form = 0; form < 4; form++)                                                                       \
    {                                                                                                        \
      g_autoptr(GError) error = NULL;                                                                       \
      StrandElfTarget target;                                                                                \
      Elf elf;                                                                                               \
                                                                                                             \
      elf_init (&elf, form & 1, (form & 2) != 0);                                                            \
      change;                                                                                                \
      g_assert_null (elf_read (&elf, &target, &error));                                                      \
      g_assert_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_##code);                               \
    }

static void
test_hostile_section_headers (void)
{
  HOSTILE (TRUNCATED, elf.sections = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (TRUNCATED, elf.sections = elf.is_64bit ? G_MAXUINT64 - 30 : G_MAXUINT32 - 30)
  HOSTILE (TRUNCATED, elf.sections += 1)
  HOSTILE (TRUNCATED, (elf.n_sections = 60000, elf.text_name = 0))
  HOSTILE (TRUNCATED, (elf.section_size = 65535, elf.text_name = 0))
  HOSTILE (NO_DESCRIPTOR, elf.sections = 0)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.section_size = 39)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.section_size = 0)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.n_sections = 0)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.names_index = 3)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.names_index = SHN_XINDEX)
}

static void
test_hostile_names (void)
{
  HOSTILE (TRUNCATED, elf.names_offset = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (TRUNCATED, elf.names_size = 60000)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.names_size = G_MAXUINT32)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.names_type = SHT_NOBITS)
  HOSTILE (NO_DESCRIPTOR, elf.names_size = 0)
  HOSTILE (NO_DESCRIPTOR, elf.names_size = 6 + sizeof SECTION - 1) /* the name's last byte is cut off */
  HOSTILE (NO_DESCRIPTOR, elf.text_name = G_MAXUINT32)
  HOSTILE (NO_DESCRIPTOR, elf.text_name = sizeof names - 1)
  HOSTILE (NO_DESCRIPTOR, elf.text_name = 1)
}

static void
test_hostile_section (void)
{
  HOSTILE (TRUNCATED, elf.text_offset = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (TRUNCATED, elf.text_size = 4096)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.text_size = 4097)
  HOSTILE (CORRUPT_DESCRIPTOR, elf.text_size = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (NO_DESCRIPTOR, elf.text_type = SHT_NOBITS) /* it takes no room in the file */
}

static void
test_hostile_segments (void)
{
  HOSTILE (TRUNCATED, elf.load_size += 1)
  HOSTILE (TRUNCATED, elf.load_offset = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (TRUNCATED, elf.segments = elf.is_64bit ? G_MAXUINT64 : G_MAXUINT32)
  HOSTILE (NOT_ELF, elf.n_segments = 0)
  HOSTILE (NOT_ELF, elf.n_segments = 65535)
  HOSTILE (NOT_ELF, elf.segment_size = 8)
  HOSTILE (NOT_ELF, elf.type = ET_EXEC)
  HOSTILE (NOT_ELF, elf.type = ET_REL)
}

static void
test_unknown_word_size_or_byte_order (void)
{
  for (guint i = EI_CLASS; i <= EI_DATA; i++)
    {
      g_autoptr(GError) error = NULL;
      StrandElfTarget target;
      Elf elf;

      elf_init (&elf, TRUE, FALSE);
      elf_write (&elf);
      elf.bytes->data[i] = 3;
      g_assert_null (read_data (elf.bytes->data, elf.bytes->len, &target, &error));
      g_assert_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NOT_ELF);
      g_byte_array_unref (elf.bytes);
    }
}

/* Cut at every length, no file is read beyond its end nor taken for a whole one. */
static void
test_every_truncation (void)
{
  Elf elf;

  elf_init (&elf, TRUE, FALSE);
  elf_write (&elf);
  for (guint i = 0; i < elf.bytes->len; i++)
    {
      g_autoptr(GError) error = NULL;
      StrandElfTarget target;
      /* A copy of its own size, so that the sanitizer sees a read past it. */
      g_autofree guint8 *cut = g_memdup2 (elf.bytes->data, i);
      int code = i < SELFMAG ? STRAND_PLUGIN_ERROR_NOT_ELF : STRAND_PLUGIN_ERROR_TRUNCATED;

      g_assert_null (read_data (cut, i, &target, &error));
      g_assert_error (error, STRAND_PLUGIN_ERROR, code);
    }
  g_byte_array_unref (elf.bytes);
}

/* A claim of many sections costs time that grows with the file, and no memory. */
static void
test_many_sections (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *padding = g_malloc0 (60000 * 64);
  g_autoptr(GBytes) section = NULL;
  StrandElfTarget target;
  Elf elf;

  elf_init (&elf, TRUE, TRUE);
  elf.n_sections = 60000;
  elf.text_name = 0;
  elf_write (&elf);
  g_byte_array_append (elf.bytes, padding, 60000 * 64);
  section = read_data (elf.bytes->data, elf.bytes->len, &target, &error);
  g_assert_null (section);
  g_assert_error (error, STRAND_PLUGIN_ERROR, STRAND_PLUGIN_ERROR_NO_DESCRIPTOR);
  g_byte_array_unref (elf.bytes);
}

static void
test_own_machine_is_accepted (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GMappedFile) self = g_mapped_file_new ("/proc/self/exe", FALSE, NULL);
  const guint8 *data = (const guint8 *) g_mapped_file_get_contents (self);
  StrandElfTarget target = {
    .is_64bit = data[EI_CLASS] == ELFCLASS64,
    .big_endian = data[EI_DATA] == ELFDATA2MSB,
    .machine = ((const Elf64_Ehdr *) (const void *) data)->e_machine, /* at the same place in both sizes */
  };

  g_assert_true (strand_elf_check_target (&target, &error));
  g_assert_no_error (error);
  target.is_64bit = !target.is_64bit;
  g_assert_false (strand_elf_check_target (&target, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, G_TEST_OPTION_ISOLATE_DIRS, NULL);

  g_test_add_func ("/elf/every-word-size-and-byte-order", test_every_word_size_and_byte_order);
  g_test_add_func ("/elf/hostile-section-headers", test_hostile_section_headers);
  g_test_add_func ("/elf/hostile-names", test_hostile_names);
  g_test_add_func ("/elf/hostile-section", test_hostile_section);
  g_test_add_func ("/elf/hostile-segments", test_hostile_segments);
  g_test_add_func ("/elf/unknown-word-size-or-byte-order", test_unknown_word_size_or_byte_order);
  g_test_add_func ("/elf/every-truncation", test_every_truncation);
  g_test_add_func ("/elf/many-sections", test_many_sections);
  g_test_add_func ("/elf/own-machine-is-accepted", test_own_machine_is_accepted);

  return g_test_run ();
}
