/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/uri.c: RFC 3986; see uri.h. Parts are found as its appendix B finds them, then checked one by
 * one.
 */
#include "proto/schema/uri.h"

#include "proto/schema/arena.h"

static struct bytes until(struct bytes *rest, const char *stops)
{
    uint32_t n = 0;
    while (n < rest->len && (rest->at[n] == 0 || !strchr(stops, rest->at[n])))
        n++;
    const struct bytes part = { rest->at, n };
    rest->at += n;
    rest->len -= n;
    return part;
}

static void skip(struct bytes *rest, uint32_t n)
{
    rest->at += n;
    rest->len -= n;
}

struct uri uri_split(struct bytes text)
{
    struct uri uri = { 0 };
    struct bytes rest = text;
    const struct bytes head = until(&rest, ":/?#");
    if (head.len && rest.len && rest.at[0] == ':') {
        uri.has_scheme = true;
        uri.scheme = head;
        skip(&rest, 1);
    } else {
        rest = text;
    }
    if (rest.len >= 2 && rest.at[0] == '/' && rest.at[1] == '/') {
        skip(&rest, 2);
        uri.has_authority = true;
        uri.authority = until(&rest, "/?#");
    }
    uri.path = until(&rest, "?#");
    if (rest.len && rest.at[0] == '?') {
        skip(&rest, 1);
        uri.has_query = true;
        uri.query = until(&rest, "#");
    }
    if (rest.len) {
        skip(&rest, 1);
        uri.has_fragment = true;
        uri.fragment = rest;
    }
    return uri;
}

/* ---- resolving ---- */

static void put(struct writer *w, struct bytes b)
{
    write_raw(w, b.at, b.len);
}

/* Section 5.2.4, in place on [start, w->at). */
static void remove_dots(struct writer *w, uint8_t *start)
{
    uint8_t *in = start, *out = start, *end = w->at;
    while (in < end) {
        uint8_t *next = in;
        next += *next == '/';
        while (next < end && *next != '/')
            next++;
        const uint32_t lead = *in == '/', n = (uint32_t)(next - in) - lead;
        const bool dot = n == 1 && in[lead] == '.', dots = n == 2 && in[lead] == '.' && in[lead + 1] == '.';
        if (dots)
            while (out > start && *--out != '/') {
            }
        if (dot || dots) {
            if (lead && next == end)
                *out++ = '/'; /* a directory stays one */
        } else {
            memmove(out, in, (size_t)(next - in));
            out += next - in;
        }
        in = next;
    }
    w->at = out;
}

/* Section 5.2.3: the reference's path behind the last '/' of the base's. */
static void merge(struct writer *w, const struct uri *base, struct bytes path)
{
    uint32_t n = base->path.len;
    while (n && base->path.at[n - 1] != '/')
        n--;
    if (base->has_authority && base->path.len == 0)
        put(w, bytes_of("/"));
    put(w, (struct bytes){ base->path.at, n });
    put(w, path);
}

struct bytes uri_resolve(struct arena *arena, struct bytes base_text, struct bytes reference)
{
    const struct uri base = uri_split(base_text), ref = uri_split(reference);
    const uint32_t room = base_text.len + reference.len + 8;
    uint8_t *out = arena_get(arena, room);
    struct writer w = writer_of(out, room);
    if (!out)
        return (struct bytes){ 0 };
    const struct uri *top = ref.has_scheme ? &ref : &base;
    const struct uri *host = ref.has_scheme || ref.has_authority ? &ref : &base;
    const bool whole = host == &ref, same = !whole && ref.path.len == 0;
    if (top->has_scheme) {
        put(&w, top->scheme);
        put(&w, bytes_of(":"));
    }
    if (host->has_authority) {
        put(&w, bytes_of("//"));
        put(&w, host->authority);
    }
    uint8_t *path = w.at;
    if (same)
        put(&w, base.path);
    else if (whole || ref.path.at[0] == '/')
        put(&w, ref.path);
    else
        merge(&w, &base, ref.path);
    if (!same && (host->has_authority || host->has_scheme))
        remove_dots(&w, path);
    const struct uri *query = same && !ref.has_query ? &base : &ref;
    if (query->has_query) {
        put(&w, bytes_of("?"));
        put(&w, query->query);
    }
    return (struct bytes){ out, writer_len(&w) };
}

/* ---- the grammar ---- */

static bool digit(uint8_t c)
{
    return (uint8_t)(c - '0') <= 9;
}

static bool alpha(uint8_t c)
{
    return (uint8_t)((c | 0x20) - 'a') < 26;
}

static bool hex(uint8_t c)
{
    return digit(c) || (uint8_t)((c | 0x20) - 'a') < 6;
}

/* unreserved, sub-delims, pct-encoded, and `more`. */
static bool all_of(struct bytes b, const char *more)
{
    for (uint32_t i = 0; i < b.len; i++) {
        const uint8_t c = b.at[i];
        if (c == '%') {
            if (b.len - i < 3 || !hex(b.at[i + 1]) || !hex(b.at[i + 2]))
                return false;
            i += 2;
        } else if (c == 0 || !(alpha(c) || digit(c) || strchr("-._~!$&'()*+,;=", c) || strchr(more, c))) {
            return false;
        }
    }
    return true;
}

bool ipv4_valid(struct bytes b)
{
    uint32_t at = 0;
    for (int part = 0; part < 4; part++) {
        uint32_t v = 0, n = 0;
        if (part && (at >= b.len || b.at[at++] != '.'))
            return false;
        for (; at < b.len && digit(b.at[at]) && n < 4; n++)
            v = v * 10 + b.at[at++] - '0';
        if (n == 0 || n > 3 || v > 255 || (n > 1 && b.at[at - n] == '0'))
            return false;
    }
    return at == b.len;
}

bool ipv6_valid(struct bytes b)
{
    uint32_t at = 0, groups = 0;
    bool gap = false, colon = false; /* colon: a group must follow */
    if (b.len >= 2 && b.at[0] == ':' && b.at[1] == ':') {
        gap = true;
        at = 2;
    }
    while (at < b.len) {
        uint32_t n = 0;
        while (at + n < b.len && hex(b.at[at + n]) && n < 5)
            n++;
        if (at + n < b.len && b.at[at + n] == '.') {
            groups += 2;
            return ipv4_valid((struct bytes){ b.at + at, b.len - at }) && (gap ? groups < 8 : groups == 8);
        }
        if (n == 0 || n > 4)
            return false;
        groups++;
        at += n;
        colon = false;
        if (at == b.len)
            break;
        if (b.at[at++] != ':')
            return false;
        colon = true;
        if (at < b.len && b.at[at] == ':') {
            if (gap)
                return false;
            gap = true;
            colon = false;
            at++;
        }
    }
    return !colon && (gap ? groups < 8 : groups == 8);
}

static bool host_valid(struct bytes host)
{
    if (host.len && host.at[0] == '[') {
        if (host.at[host.len - 1] != ']' || host.len < 4)
            return false;
        host = (struct bytes){ host.at + 1, host.len - 2 };
        if ((host.at[0] | 0x20) != 'v')
            return ipv6_valid(host);
        uint32_t n = 1; /* an address form of the future: v HEX . anything */
        while (n < host.len && hex(host.at[n]))
            n++;
        return n > 1 && n + 1 < host.len && host.at[n] == '.' && !memchr(host.at, '%', host.len) &&
               all_of((struct bytes){ host.at + n + 1, host.len - n - 1 }, ":");
    }
    return all_of(host, "");
}

static bool authority_valid(struct bytes a)
{
    const uint8_t *at = a.len ? memrchr(a.at, '@', a.len) : NULL;
    if (at) {
        if (!all_of((struct bytes){ a.at, (uint32_t)(at - a.at) }, ":"))
            return false;
        a = (struct bytes){ at + 1, a.len - (uint32_t)(at + 1 - a.at) };
    }
    uint32_t n = a.len;
    while (n && digit(a.at[n - 1]))
        n--;
    if (n && a.at[n - 1] == ':')
        a.len = n - 1; /* a port, possibly empty */
    return host_valid(a);
}

bool uri_valid(struct bytes text)
{
    const struct uri uri = uri_split(text);
    if (!uri.has_scheme || !alpha(uri.scheme.at[0]))
        return false;
    for (uint32_t i = 0; i < uri.scheme.len; i++) {
        const uint8_t c = uri.scheme.at[i];
        if (!alpha(c) && !digit(c) && c != '+' && c != '-' && c != '.')
            return false;
    }
    return (!uri.has_authority || authority_valid(uri.authority)) && all_of(uri.path, ":@/") &&
           (!uri.has_query || all_of(uri.query, ":@/?")) &&
           (!uri.has_fragment || all_of(uri.fragment, ":@/?"));
}
