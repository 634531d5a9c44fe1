/* SPDX-License-Identifier: Apache-2.0
 *
 * client/error.c: the last error, as code and sentence. The texts are those of proto/errors.h, the one table.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "proto/errors.h"

/* Where there is no client to keep it: the thread that called runnel_connect() or runnel_options_set(). */
static _Thread_local struct runnel_error thread_error;

static int code_of(int code)
{
    return code < 0 ? -code : code;
}

const struct runnel_error *runnel_last_error(const runnel_client *client)
{
    return client ? &client->error : &thread_error;
}

const char *runnel_error_name(int code)
{
    return error_name((uint16_t)code_of(code));
}

const char *runnel_error_text(int code)
{
    return error_text((uint16_t)code_of(code));
}

const char *runnel_error_fix(int code)
{
    return error_fix((uint16_t)code_of(code));
}

int client_error(struct runnel_client *c, int code, const char *format, ...)
{
    struct runnel_error *e = c ? &c->error : &thread_error;
    va_list ap;
    va_start(ap, format);
    vsnprintf(e->text, sizeof(e->text), format, ap);
    va_end(ap);
    e->code = code;
    e->retriable = error_retriable((uint16_t)code);
    e->fatal = c ? c->state == CLIENT_FAILED : 0;
    return -code;
}

int client_refused(struct runnel_client *c, const struct reply *reply)
{
    if (reply->text.len == 0)
        return client_error(c, reply->error, "%s: %s", error_text((uint16_t)reply->error),
                            error_fix((uint16_t)reply->error));
    return client_error(c, reply->error, "%.*s", (int)reply->text.len, (const char *)reply->text.at);
}

void client_error_to_thread(const struct runnel_client *c)
{
    thread_error = c->error;
}
