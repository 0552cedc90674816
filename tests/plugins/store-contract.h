/* store-contract.h — what every store promises, as test cases that any store can be put through.
 *                                                  SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <strand-plugin.h>

G_BEGIN_DECLS

/* How to make the store under test. A place is wherever its records lie. */
typedef struct
{
  gpointer (*make_place) (void);
  void (*remove_place) (gpointer place);

  /* A new store object over a place. */
  StrandStore *(*open) (gpointer place);

  /* Whether two objects over one place have the same records. */
  gboolean is_shared;
} StoreContract;

/* Adds one test for each clause of the contract, below @path. @contract must live until the tests have run.
 */
void store_contract_add (const char *path, const StoreContract *contract);

/* The type that an uninstalled plugin provides, from the folders of STRAND_PLUGIN_PATH. */
GType store_contract_load (const char *plugin);

/* A call's record, pending, with something in it. */
StrandRecord *store_contract_record (const char *key);

G_END_DECLS
