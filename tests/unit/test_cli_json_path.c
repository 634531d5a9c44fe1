/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths into JSON documents, against what jq would say.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/json_path.h"

static const char document[] =
    " {\"a\": {\"b\": [1, {\"c\": \"d\"}, [2, 3]], \"e\": null}, \"f g\": true,"
    " \"esc\\\"aped\\u00e9\": \"x\\ny\\ud83d\\ude00\", \"n\":-1.5e3 ,\"empty\":{}, \"none\":[],"
    " \"s}]\": \"{[\\\\\"} ";

static void finds(const char *path, const char *wanted)
{
    const char *at;
    size_t len;
    cr_assert(json_path_valid(path, strlen(path)), "%s", path);
    bool found = json_path_find(document, strlen(document), path, strlen(path), &at, &len);
    cr_assert_eq(found, wanted != NULL, "%s", path);
    if (wanted)
        cr_assert(len == strlen(wanted) && memcmp(at, wanted, len) == 0, "%s: %.*s", path, (int)len, at);
}

Test(json_path, finds)
{
    finds("$.a.b[0]", "1");
    finds("a.b[0]", "1");
    finds(".a.b[1].c", "\"d\"");
    finds("$.a.b[1]", "{\"c\": \"d\"}");
    finds("$.a.b[2][1]", "3");
    finds("$.a.b[3]", NULL);
    finds("$.a.b.c", NULL);
    finds("$.a[0]", NULL);
    finds("$.a.e", "null");
    finds("$[\"f g\"]", "true");
    finds("$.n", "-1.5e3");
    finds("$.empty", "{}");
    finds("$.empty.x", NULL);
    finds("$.none", "[]");
    finds("$.none[0]", NULL);
    finds("$.escape", NULL);
    finds("$.s}]", "\"{[\\\\\"");
    finds("$.nothing", NULL);
}

Test(json_path, what_is_no_path)
{
    static const char *const bad[] = { "",     "$",   ".",      "$.a.",    "a..b", "a[",
                                       "a[x]", "a[1", "a[\"x]", "a[\"x\"", "$[]" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!json_path_valid(bad[i], strlen(bad[i])), "%s", bad[i]);
}

static bool is(const char *value, const char *text)
{
    return json_value_is(value, strlen(value), text);
}

Test(json_path, compares)
{
    cr_assert(is("17", "17"));
    cr_assert(!is("17.0", "17"));
    cr_assert(is("\"17\"", "17"));
    cr_assert(is("true", "true"));
    cr_assert(is("\"\"", ""));
    cr_assert(!is("\"a\"", ""));
    cr_assert(!is("\"a\"", "ab"));
    cr_assert(is("\"a\\n\\t\\\"\\/b\"", "a\n\t\"/b"));
    cr_assert(is("\"x\\u00e9\"", "x\u00e9"));
    cr_assert(is("\"\\ud83d\\ude00\"", "\U0001f600"));
    cr_assert(is("{\"a\":1}", "{\"a\":1}"));
}

/* Whatever the bytes, it ends, and reads nothing behind them. */
Test(json_path, any_bytes)
{
    static const char alphabet[] = "{}[]\":,\\u0a 1.";
    const char *at;
    size_t found;
    srand(1);
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)rand() % 24;
        char *bytes = malloc(len + 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        char *cut = malloc(len ? len : 1);
        memcpy(cut, bytes, len);
        if (json_path_find(cut, len, "$.a[1].b", 8, &at, &found))
            cr_assert(at >= cut && at + found <= cut + len);
        if (json_path_find(cut, len, "[0]", 3, &at, &found))
            cr_assert(at >= cut && at + found <= cut + len);
        if (len)
            (void)json_value_is(cut, len, "a");
        free(cut);
        free(bytes);
    }
}
