/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/errors.c: the table of proto/errors.h, looked up by code.
 */
#include "proto/errors.h"

struct error_row {
    const char *name, *text, *fix;
    bool retriable;
};

/* A switch, not an array: the compiler then refuses a code that is in the table twice. */
static struct error_row error_row(uint16_t code)
{
    switch (code) {
#define X(name, number, retriable, text, fix)                                                                \
    case number:                                                                                             \
        return (struct error_row){ #name, text, fix, retriable };
        PROTO_ERRORS(X)
#undef X
    default:
        return (struct error_row){ "UNKNOWN", "an error that this version does not know",
                                   "update the older side", false };
    }
}

const char *error_name(uint16_t code)
{
    return error_row(code).name;
}

const char *error_text(uint16_t code)
{
    return error_row(code).text;
}

const char *error_fix(uint16_t code)
{
    return error_row(code).fix;
}

bool error_retriable(uint16_t code)
{
    return error_row(code).retriable;
}
