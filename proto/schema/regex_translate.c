/* SPDX-License-Identifier: Apache-2.0
 *
 * proto/schema/regex_translate.c: ECMA-262's pattern grammar (section 22.2.1, with its Unicode flag, and
 * annex B's leniency for a brace or bracket that stands alone), by recursive descent.
 */
#include <stdarg.h>
#include <stdio.h>

#include "proto/schema/json_own.h"
#include "proto/schema/regex.h"
#include "proto/schema/regex_own.h"

/* White space and line ends of ECMA-262, and everything else, as the inside of a class. */
#define SPACE                                                                                                \
    "\\x09-\\x0d\\x20\\xa0\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{"     \
    "feff}"
#define NOT_SPACE                                                                                            \
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x9f\\xa1-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{"   \
    "202e}"                                                                                                  \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{d7ff}\\x{e000}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

struct translation {
    const uint8_t *at, *end;
    uint8_t *out;
    uint32_t room, used, depth;
    const char *why; /* set: stop */
};

static void emit(struct translation *t, const void *bytes, uint32_t n)
{
    if (t->used + n <= t->room)
        memcpy(t->out + t->used, bytes, n);
    t->used += n;
}

static void emit_text(struct translation *t, const char *text)
{
    emit(t, text, (uint32_t)strlen(text));
}

static void emit_character(struct translation *t, uint32_t c)
{
    char hex[16];
    uint8_t utf8[4];
    const uint32_t letter = c | 0x20;
    if ((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c >= 0x80) {
        emit(t, utf8, utf8_put(utf8, c));
    } else {
        snprintf(hex, sizeof(hex), "\\x%02x", (unsigned)c);
        emit_text(t, hex);
    }
}

static bool fail(struct translation *t, const char *why)
{
    if (!t->why)
        t->why = why;
    return false;
}

static bool more(const struct translation *t)
{
    return t->at < t->end && !t->why;
}

static bool take(struct translation *t, const char *text)
{
    const size_t n = strlen(text);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, text, n) != 0)
        return false;
    t->at += n;
    return true;
}

static bool is_digit(const struct translation *t)
{
    return t->at < t->end && (uint8_t)(*t->at - '0') <= 9;
}

/* The next character; the text is UTF-8. */
static uint32_t character(struct translation *t)
{
    uint32_t c = *t->at++;
    if (c < 0xc0)
        return c;
    c &= c >= 0xf0 ? 7 : c >= 0xe0 ? 15 : 31;
    while (t->at < t->end && (*t->at & 0xc0) == 0x80)
        c = c << 6 | (*t->at++ & 0x3f);
    return c;
}

/* Exactly n hexadecimal digits, or with n == 0 any number of them up to '}'. */
static bool hexadecimal(struct translation *t, uint32_t n, uint32_t *c)
{
    uint32_t seen = 0;
    *c = 0;
    for (; t->at < t->end && (n == 0 || seen < n); seen++, t->at++) {
        const uint8_t d = *t->at, letter = d | 0x20;
        if (n == 0 && d == '}')
            break;
        if ((uint8_t)(d - '0') <= 9)
            *c = *c * 16 + d - '0';
        else if (letter >= 'a' && letter <= 'f')
            *c = *c * 16 + letter - 'a' + 10;
        else
            return false;
        if (*c > 0x10ffff)
            return false;
    }
    return seen > 0 && (n == 0 ? take(t, "}") : seen == n);
}

/* Behind "\u". */
static bool unicode_escape(struct translation *t, uint32_t *c)
{
    uint32_t low;
    if (take(t, "{"))
        return hexadecimal(t, 0, c);
    if (!hexadecimal(t, 4, c))
        return false;
    const uint8_t *behind = t->at;
    if (*c >= 0xd800 && *c < 0xdc00 && take(t, "\\u") && hexadecimal(t, 4, &low) && low >= 0xdc00 &&
        low < 0xe000)
        *c = 0x10000 + ((*c - 0xd800) << 10) + (low - 0xdc00);
    else
        t->at = behind;
    return *c < 0xd800 || *c > 0xdfff; /* half a pair matches nothing that is UTF-8 */
}

/* ---- escapes that mean the same in a class and outside ---- */

/* General categories by the long names of Unicode's PropertyValueAliases, which PCRE2 knows by the short
 * ones. */
static const char *property_short(const char *name)
{
    static const char *const rows[][2] = {
        { "Letter", "L" },
        { "Cased_Letter", "L&" },
        { "Uppercase_Letter", "Lu" },
        { "Lowercase_Letter", "Ll" },
        { "Titlecase_Letter", "Lt" },
        { "Modifier_Letter", "Lm" },
        { "Other_Letter", "Lo" },
        { "Mark", "M" },
        { "Nonspacing_Mark", "Mn" },
        { "Spacing_Mark", "Mc" },
        { "Enclosing_Mark", "Me" },
        { "Number", "N" },
        { "Decimal_Number", "Nd" },
        { "digit", "Nd" },
        { "Letter_Number", "Nl" },
        { "Other_Number", "No" },
        { "Punctuation", "P" },
        { "punct", "P" },
        { "Symbol", "S" },
        { "Math_Symbol", "Sm" },
        { "Currency_Symbol", "Sc" },
        { "Modifier_Symbol", "Sk" },
        { "Other_Symbol", "So" },
        { "Separator", "Z" },
        { "Space_Separator", "Zs" },
        { "Line_Separator", "Zl" },
        { "Paragraph_Separator", "Zp" },
        { "Other", "C" },
        { "Control", "Cc" },
        { "cntrl", "Cc" },
        { "Format", "Cf" },
        { "Private_Use", "Co" },
        { "Unassigned", "Cn" },
    };
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i][0], name) == 0)
            return rows[i][1];
    return name;
}

/* Behind \p or \P: {Name}, {General_Category=Name}, {Script=Name}. */
static bool property(struct translation *t, char letter)
{
    char name[48], out[64];
    uint32_t n = 0;
    if (!take(t, "{"))
        return fail(t, "\\p wants a name in braces");
    for (; more(t) && *t->at != '}' && n + 1 < sizeof(name); n++)
        name[n] = (char)*t->at++;
    name[n] = 0;
    if (!take(t, "}") || n == 0 ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_=0123456789") != n)
        return fail(t, "\\p wants the name of a property of Unicode");
    const char *equals = strchr(name, '=');
    const char *value = property_short(equals ? equals + 1 : name);
    const bool script = strncmp(name, "Script", 6) == 0 || strncmp(name, "sc", 2) == 0;
    snprintf(out, sizeof(out), "\\%c{%s%s}", letter, equals && script ? "sc:" : "", value);
    emit_text(t, out);
    return true;
}

/* Behind a backslash: classes by short name. True: that was one. */
static bool class_escape(struct translation *t, bool in_class)
{
    static const char names[] = "dDwWsSpP";
    if (t->at >= t->end || !strchr(names, *t->at) || !*t->at)
        return false;
    const char c = (char)*t->at++;
    switch (c) {
    case 's':
        emit_text(t, in_class ? SPACE : "[" SPACE "]");
        break;
    case 'S':
        emit_text(t, in_class ? NOT_SPACE : "[^" SPACE "]");
        break;
    case 'p':
    case 'P':
        property(t, c);
        break;
    default:
        emit_text(t, (const char[]){ '\\', c, 0 });
        break;
    }
    return true;
}

/* Behind a backslash: one character. */
static bool character_escape(struct translation *t, uint32_t *c)
{
    static const char names[] = "tnvfr0", means[] = "\t\n\v\f\r";
    *c = character(t);
    const char *known = *c && *c < 0x80 ? strchr(names, (int)*c) : NULL;
    const uint32_t letter = *c | 0x20;
    if (known && *c == '0' && is_digit(t))
        return fail(t, "an octal escape");
    if (known) {
        *c = (uint8_t)means[known - names];
        return true;
    }
    if (*c == 'c') {
        if (!more(t) || (uint8_t)((*t->at | 0x20) - 'a') >= 26)
            return fail(t, "\\c wants a letter");
        *c = *t->at++ & 31;
        return true;
    }
    if (*c == 'x')
        return hexadecimal(t, 2, c) || fail(t, "\\x wants two hexadecimal digits");
    if (*c == 'u')
        return unicode_escape(t, c) || fail(t, "\\u wants four hexadecimal digits");
    if ((letter >= 'a' && letter <= 'z') || (*c >= '0' && *c <= '9'))
        return fail(t, "an escape that ECMA-262 does not have");
    return true;
}

/* ---- classes ---- */

/* One end of a range. *single: a character, which was not written yet. */
static bool class_atom(struct translation *t, bool *single, uint32_t *c)
{
    *single = false;
    if (!take(t, "\\")) {
        *single = true;
        *c = character(t);
        return true;
    }
    if (!more(t))
        return fail(t, "it ends in a backslash");
    if (class_escape(t, true))
        return !t->why;
    *single = true;
    if (take(t, "b")) {
        *c = '\b';
        return true;
    }
    return character_escape(t, c);
}

/* Behind '['. */
static bool class(struct translation *t)
{
    const bool not = take(t, "^");
    if (take(t, "]")) {
        emit_text(t, not ? "(?s:.)" : "(?!)");
        return true;
    }
    emit_text(t, not ? "[^" : "[");
    while (more(t) && *t->at != ']') {
        uint32_t low, high;
        bool single;
        if (!class_atom(t, &single, &low))
            return false;
        if (single)
            emit_character(t, low);
        if (t->end - t->at < 2 || t->at[0] != '-' || t->at[1] == ']')
            continue;
        t->at++;
        bool single_high;
        if (single)
            emit_text(t, "-");
        else
            emit_character(t, '-'); /* behind a class it is itself */
        if (!class_atom(t, &single_high, &high))
            return false;
        if (single && !single_high)
            return fail(t, "a range that ends in a class");
        if (single && high < low)
            return fail(t, "a range that runs backwards");
        if (single_high)
            emit_character(t, high);
    }
    if (!take(t, "]"))
        return fail(t, "a class is not closed");
    emit_text(t, "]");
    return true;
}

/* ---- terms ---- */

static bool disjunction(struct translation *t);

/* A group's name and its '>', copied. */
static bool name(struct translation *t)
{
    const uint8_t *start = t->at;
    while (more(t) && *t->at != '>') {
        const uint8_t c = *t->at, letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && c != '_' && !(is_digit(t) && t->at > start))
            return fail(t, "a group's name is made of ASCII letters, digits and '_'");
        t->at++;
    }
    if (t->at == start || t->at - start > 32 || !take(t, ">"))
        return fail(t, "a group's name has 1 to 32 characters and ends in '>'");
    emit(t, start, (uint32_t)(t->at - start));
    return true;
}

/* Behind '('. *assertion: it matches a place, not text. */
static bool group(struct translation *t)
{
    static const char *const kinds[] = { "?:", "?=", "?!", "?<=", "?<!", NULL };
    bool known = false;
    if (++t->depth > REGEX_DEPTH_MAX)
        return fail(t, "too many groups in groups");
    emit_text(t, "(");
    for (uint32_t i = 0; kinds[i] && !known; i++)
        if (take(t, kinds[i])) {
            emit_text(t, kinds[i]);
            known = true;
        }
    if (!known && take(t, "?<")) {
        emit_text(t, "?<");
        if (!name(t))
            return false;
    } else if (!known && take(t, "?")) {
        return fail(t, "a kind of group that ECMA-262 does not have");
    } else if (!known && t->at < t->end && *t->at == '*') {
        return fail(t, "nothing to repeat");
    }
    if (!disjunction(t))
        return false;
    if (!take(t, ")"))
        return fail(t, "a group is not closed");
    emit_text(t, ")");
    t->depth--;
    return true;
}

/* Behind a backslash, outside a class. */
static bool escape(struct translation *t)
{
    uint32_t c;
    if (!more(t))
        return fail(t, "it ends in a backslash");
    if (class_escape(t, false))
        return !t->why;
    if (take(t, "b") || take(t, "B")) {
        emit_text(t, t->at[-1] == 'b' ? "\\b" : "\\B");
        return true;
    }
    if (take(t, "k<")) {
        emit_text(t, "\\k<");
        return name(t);
    }
    if (is_digit(t) && *t->at != '0') {
        emit_text(t, "\\g{");
        while (is_digit(t))
            emit(t, t->at++, 1);
        emit_text(t, "}");
        return true;
    }
    if (!character_escape(t, &c))
        return false;
    emit_character(t, c);
    return true;
}

/* {n}, {n,} or {n,m} at t->at? Copies it. */
static bool braces(struct translation *t)
{
    const uint8_t *p = t->at + 1, *low = p;
    while (p < t->end && (uint8_t)(*p - '0') <= 9)
        p++;
    if (p == low || p == t->end)
        return false;
    if (*p == ',')
        for (p++; p < t->end && (uint8_t)(*p - '0') <= 9;)
            p++;
    if (p == t->end || *p != '}')
        return false;
    emit(t, t->at, (uint32_t)(p + 1 - t->at));
    t->at = p + 1;
    return true;
}

static void quantifier(struct translation *t)
{
    if (!more(t))
        return;
    if (*t->at == '*' || *t->at == '+' || *t->at == '?')
        emit(t, t->at++, 1);
    else if (*t->at != '{' || !braces(t))
        return;
    if (take(t, "?"))
        emit_text(t, "?");
}

static bool term(struct translation *t)
{
    bool ok = true;
    const uint8_t c = *t->at;
    if (c == '*' || c == '+' || c == '?')
        return fail(t, "nothing to repeat");
    if (take(t, "^") || take(t, "$")) {
        emit(t, &c, 1); /* a place: nothing repeats it */
        return true;
    }
    if (take(t, "("))
        ok = group(t);
    else if (take(t, "["))
        ok = class(t);
    else if (take(t, "\\"))
        ok = escape(t);
    else if (take(t, "."))
        emit_text(t, "[^\\n\\r\\x{2028}\\x{2029}]");
    else
        emit_character(t, character(t));
    if (ok)
        quantifier(t);
    return ok && !t->why;
}

static bool disjunction(struct translation *t)
{
    while (more(t) && *t->at != ')') {
        if (take(t, "|"))
            emit_text(t, "|");
        else if (!term(t))
            return false;
    }
    return !t->why;
}

int32_t regex_translate(struct bytes text, uint8_t *out, uint32_t room, const char **why)
{
    struct translation t = { .at = text.at, .end = text.at + text.len, .out = out, .room = room };
    disjunction(&t);
    if (!t.why && t.at < t.end)
        fail(&t, "a group is closed that was not opened");
    *why = t.why;
    return t.why ? -1 : (int32_t)t.used;
}
