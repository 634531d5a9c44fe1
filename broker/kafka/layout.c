/* SPDX-License-Identifier: Apache-2.0
 *
 * kafka/layout.c: walks a body and its layout side by side. The layout is ours and is trusted; the bytes are
 * not.
 */
#include "kafka/layout.h"

#include "base/check.h"

static const char *layout_struct(struct kafka_in *in, const char *at);

/* "3:", "0-5:" or nothing: is the field there in this version? */
static const char *layout_versions(int16_t version, const char *at, bool *there)
{
    int min = 0, max = INT16_MAX;
    if (*at >= '0' && *at <= '9') {
        for (min = 0; *at >= '0' && *at <= '9'; at++)
            min = min * 10 + (*at - '0');
        if (*at == '-') {
            max = 0;
            for (at++; *at >= '0' && *at <= '9'; at++)
                max = max * 10 + (*at - '0');
        }
        CHECK(*at == ':');
        at++;
    }
    *there = version >= min && version <= max;
    return at;
}

/* Behind the bracket that closes the one before `at`. */
static const char *layout_skip(const char *at)
{
    for (uint32_t depth = 1; depth; at++) {
        CHECK(*at);
        if (*at == '[' || *at == '{' || *at == '<' || *at == '(')
            depth++;
        else if (*at == ']' || *at == '}' || *at == '>' || *at == ')')
            depth--;
    }
    return at;
}

static void layout_integer(struct kafka_in *in, uint32_t bytes)
{
    (void)read_raw(&in->r, bytes);
}

static void layout_not_null(struct kafka_in *in, struct bytes b)
{
    if (!b.at)
        in->r.bad = true;
}

static void layout_scalar(struct kafka_in *in, char kind)
{
    switch (kind) {
    case 'b':
        layout_integer(in, 1);
        return;
    case 'h':
        layout_integer(in, 2);
        return;
    case 'i':
        layout_integer(in, 4);
        return;
    case 'l':
        layout_integer(in, 8);
        return;
    case 'u':
        layout_integer(in, 16);
        return;
    case 's':
        layout_not_null(in, kafka_get_string(in));
        return;
    case 'S':
        (void)kafka_get_string(in);
        return;
    case 'y':
        layout_not_null(in, kafka_get_bytes(in));
        return;
    case 'Y':
        (void)kafka_get_bytes(in);
        return;
    default:
        UNREACHABLE();
    }
}

/* `at` stands behind the opening bracket `kind`; returns behind the closing one. */
static const char *layout_array(struct kafka_in *in, char kind, const char *at)
{
    const bool structs = kind == '[' || kind == '{', nullable = kind == '{' || kind == '(';
    const int32_t count = kafka_get_count(in);
    if (count < 0 && !nullable)
        in->r.bad = true;
    for (int32_t i = 0; i < count && !in->r.bad; i++) {
        if (structs)
            (void)layout_struct(in, at);
        else
            layout_scalar(in, *at);
    }
    return layout_skip(at);
}

/* The fields up to the end of the layout, or to a closing bracket; and the tagged ones. */
static const char *layout_struct(struct kafka_in *in, const char *at)
{
    while (*at && *at != ']' && *at != '}' && !in->r.bad) {
        if (*at == ' ') {
            at++;
            continue;
        }
        bool there;
        at = layout_versions(in->version, at, &there);
        const char kind = *at++;
        const bool array = kind == '[' || kind == '{' || kind == '<' || kind == '(';
        if (array)
            at = there ? layout_array(in, kind, at) : layout_skip(at);
        else if (there)
            layout_scalar(in, kind);
    }
    kafka_get_tags(in);
    return at;
}

bool layout_holds(struct kafka_in in, const char *layout)
{
    (void)layout_struct(&in, layout);
    return !in.r.bad;
}
