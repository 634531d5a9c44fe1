/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/json_path.h: one value of a JSON document, by its path: $.customer.id, .items[0].sku, ["odd name"].
 * Pure functions. The document is valid JSON (json_valid()); nothing is built of it, it is walked over.
 */
#ifndef RUNNEL_CLI_JSON_PATH_H
#define RUNNEL_CLI_JSON_PATH_H

#include <stdbool.h>
#include <stddef.h>

/* Is it a path? */
bool json_path_valid(const char *path, size_t path_len);
/* The value there, as it stands in the document (a string with its quotes); false: there is none. */
bool json_path_find(const char *json, size_t len, const char *path, size_t path_len, const char **at,
                    size_t *at_len);
/* Is a value, as it stands in a document, this text? A string is compared by what it says, everything else as
 * it is written. */
bool json_value_is(const char *at, size_t len, const char *text);

#endif
