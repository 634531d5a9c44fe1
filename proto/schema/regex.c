/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/regex.c: compiling and matching; see regex.h. The only file that sees PCRE2.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "proto/schema/regex.h"

#include <pcre2.h>
#include <stdio.h>

#include "proto/schema/regex_own.h"

enum {
    STEPS_FEW = 512,        /* what a small match may take unasked ... */
    STEPS_FEW_PER_BYTE = 8, /* ... and one of a long text */
    STEPS_CALL = 16,        /* what any match costs */
};

struct regex {
    pcre2_code *code;
    struct bytes text;
};

struct regex_matcher {
    struct schema_memory memory;
    pcre2_match_data *data;
    pcre2_match_context *context;
};

bool regex_valid(struct bytes text)
{
    const char *why;
    return text.len <= REGEX_BYTES_MAX && regex_translate(text, NULL, 0, &why) >= 0;
}

static void *code_get(size_t bytes, void *arena)
{
    return arena_get(arena, bytes);
}

static void code_put(void *piece, void *arena)
{
    (void)piece; /* the arena is given back as a whole */
    (void)arena;
}

static struct regex *compile_translated(struct arena *arena, struct regex *regex, struct bytes translated,
                                        char *why)
{
    pcre2_general_context *general = pcre2_general_context_create(code_get, code_put, arena);
    pcre2_compile_context *context = general ? pcre2_compile_context_create(general) : NULL;
    int error;
    PCRE2_SIZE at;
    snprintf(why, REGEX_WHY_BYTES, "no memory for the pattern");
    if (!context)
        return NULL;
    pcre2_set_parens_nest_limit(context, REGEX_DEPTH_MAX * 2);
    regex->code = pcre2_compile(translated.at, translated.len,
                                PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_DOLLAR_ENDONLY |
                                    PCRE2_NEVER_BACKSLASH_C | PCRE2_MATCH_UNSET_BACKREF,
                                &error, &at, context);
    if (!regex->code && error != PCRE2_ERROR_HEAP_FAILED) {
        PCRE2_UCHAR sentence[96];
        pcre2_get_error_message(error, sentence, sizeof(sentence));
        snprintf(why, REGEX_WHY_BYTES, "not a pattern that can be used: %s", (const char *)sentence);
    }
    return regex->code ? regex : NULL;
}

struct regex *regex_compile(struct arena *arena, struct bytes text, char *why)
{
    const char *what = "longer than patterns may be";
    const int32_t n = text.len <= REGEX_BYTES_MAX ? regex_translate(text, NULL, 0, &what) : -1;
    if (n < 0) {
        snprintf(why, REGEX_WHY_BYTES, "not a pattern: %s", what);
        return NULL;
    }
    struct regex *regex = arena_get(arena, sizeof(*regex));
    uint8_t *out = arena_get(arena, (size_t)n + 1);
    if (!regex || !out) {
        snprintf(why, REGEX_WHY_BYTES, "no memory for the pattern");
        return NULL;
    }
    regex_translate(text, out, (uint32_t)n, &what);
    regex->text = text;
    return compile_translated(arena, regex, (struct bytes){ out, (uint32_t)n }, why);
}

struct bytes regex_text(const struct regex *regex)
{
    return regex->text;
}

/* ---- matching ---- */

/* Each piece remembers its size, which the caller's functions want back. */
static void *match_get(size_t bytes, void *ctx)
{
    const struct schema_memory *memory = ctx;
    max_align_t *piece = memory->get(memory->ctx, bytes + sizeof(max_align_t));
    if (!piece)
        return NULL;
    memcpy(piece, &bytes, sizeof(bytes));
    return piece + 1;
}

static void match_put(void *piece, void *ctx)
{
    const struct schema_memory *memory = ctx;
    size_t bytes;
    if (!piece)
        return;
    max_align_t *start = (max_align_t *)piece - 1;
    memcpy(&bytes, start, sizeof(bytes));
    memory->put(memory->ctx, start, bytes + sizeof(max_align_t));
}

struct regex_matcher *regex_matcher_new(const struct schema_memory *memory)
{
    struct regex_matcher *m = memory->get(memory->ctx, sizeof(*m));
    if (!m)
        return NULL;
    *m = (struct regex_matcher){ .memory = *memory };
    pcre2_general_context *general = pcre2_general_context_create(match_get, match_put, &m->memory);
    if (general) {
        m->data = pcre2_match_data_create(1, general);
        m->context = pcre2_match_context_create(general);
        pcre2_general_context_free(general);
    }
    if (!m->data || !m->context) {
        regex_matcher_free(m);
        return NULL;
    }
    pcre2_set_heap_limit(m->context, REGEX_HEAP_KIB);
    return m;
}

void regex_matcher_free(struct regex_matcher *m)
{
    if (!m)
        return;
    const struct schema_memory memory = m->memory;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->context);
    memory.put(memory.ctx, m, sizeof(*m));
}

static int match(const struct regex *regex, struct regex_matcher *m, struct bytes text, uint32_t steps)
{
    pcre2_set_match_limit(m->context, steps);
    return pcre2_match(regex->code, text.at, text.len, 0, PCRE2_NO_UTF_CHECK, m->data, m->context);
}

int regex_match(const struct regex *regex, struct regex_matcher *m, struct bytes text, int64_t *budget)
{
    const uint64_t few = STEPS_FEW + (uint64_t)text.len * STEPS_FEW_PER_BYTE;
    int result = match(regex, m, text, few < REGEX_STEPS_MANY ? (uint32_t)few : REGEX_STEPS_MANY);
    *budget -= STEPS_CALL;
    if (result == PCRE2_ERROR_MATCHLIMIT && few < REGEX_STEPS_MANY && *budget >= REGEX_STEPS_MANY) {
        *budget -= REGEX_STEPS_MANY;
        result = match(regex, m, text, REGEX_STEPS_MANY);
    }
    if (result == PCRE2_ERROR_NOMATCH)
        return 0;
    return result >= 0 ? 1 : -1;
}
