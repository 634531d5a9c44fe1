/* SPDX-License-Identifier: Apache-2.0
 *
 * cli/schema.h: what the files of `runnel schema` share.
 */
#ifndef RUNNEL_CLI_SCHEMA_H
#define RUNNEL_CLI_SCHEMA_H

#include "client/cli/cli.h"

enum { SCHEMA_REFERENCES_MAX = 32 };

/* A schema from a file ("-": standard input) and the references of --reference. */
struct schema_input {
    char *text;
    size_t len;
    struct runnel_schema_reference references[SCHEMA_REFERENCES_MAX];
    struct runnel_schema_text schema; /* of the above */
};
/* 0, or an exit code; schema_input_free() either way. */
int schema_input_read(struct cli *cli, const char *path, struct schema_input *input);
void schema_input_free(struct schema_input *input);

/* "3", "latest" or NULL. 0, or EXIT_USAGE. */
int schema_version(const char *text, uint32_t *version);
/* "subject NAME", for errors; lent until the next call. */
const char *schema_subject(const char *subject);

#endif
