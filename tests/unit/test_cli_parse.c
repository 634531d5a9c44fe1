/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line's pure parts: what people write for positions and times, how payloads are shown, how
 * arguments are taken apart.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/encode.h"
#include "client/cli/input.h"
#include "client/cli/parse.h"

#define NOW 1763691097123 /* 2025-11-21T02:11:37.123Z */

/* ---- numbers, durations, times ---- */

Test(parse, durations)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = { { "250ms", 250 },    { "15s", 15000 },     { "1h30m", 5400000 },
                 { "7d", 604800000 }, { "2w", 1209600000 }, { "0s", 0 } };
    static const char *const bad[] = {
        "", "5", "s", "1x", "1h30", "-5s", "1.5h", "99999999999999999999s", "9223372036854775807d"
    };
    int64_t ms;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(parse_duration_ms(good[i].text, &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s", good[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(parse_duration_ms(bad[i], &ms), "%s", bad[i]);
}

Test(parse, times)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        { "2025-11-21T02:11:37.123Z", NOW },
        { "2025-11-21t02:11:37.123999z", NOW },
        { "2025-11-21T03:11:37.123+01:00", NOW },
        { "2025-11-20 21:41:37.123-04:30", NOW },
        { "2025-11-21T02:11Z", 1763691060000 },
        { "2025-11-21", 1763683200000 },
        { "1970-01-01", 0 },
        { "2000-02-29T00:00:00Z", 951782400000 },
        { "2016-12-31T23:59:60Z", 1483228800000 },
        { "1763691097123", NOW },
        { "now", NOW },
        { "-15m", NOW - 900000 },
        { "today", 1763683200000 },
        { "yesterday", 1763596800000 },
    };
    static const char *const bad[] = { "",
                                       "tomorrow",
                                       "2025-13-01",
                                       "2025-02-29",
                                       "2025-11-21T24:00:00Z",
                                       "2025-11-21T02:11:37",
                                       "2025-11-21T02:11:37Zx",
                                       "25-11-21",
                                       "2025-11-21T",
                                       "-5" };
    int64_t ms;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(parse_time_ms(good[i].text, NOW, &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s: %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(parse_time_ms(bad[i], NOW, &ms), "%s", bad[i]);
}

Test(parse, positions)
{
    static const struct {
        const char *text, *library;
        enum position_kind kind;
    } good[] = {
        { "start", "start", POSITION_START },
        { "earliest", "start", POSITION_START },
        { "end", "end", POSITION_END },
        { "latest", "end", POSITION_END },
        { "0", "0", POSITION_OFFSET },
        { "42", "42", POSITION_OFFSET },
        { "-10", "-10", POSITION_BACK },
        { "-15m", "@1763690197123", POSITION_TIME },
        { "@-15m", "@1763690197123", POSITION_TIME },
        { "@1763691097123", "@1763691097123", POSITION_TIME },
        { "2025-11-21", "@1763683200000", POSITION_TIME },
        { "yesterday", "@1763596800000", POSITION_TIME },
    };
    static const char *const bad[] = { "", "-", "@", "--5", "5x", "-5x", "ende", "99999999999999999999" };
    struct position position;
    char text[POSITION_TEXT_BYTES];

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_assert(parse_position(good[i].text, NOW, &position), "%s", good[i].text);
        cr_assert_eq(position.kind, good[i].kind, "%s", good[i].text);
        position_text(&position, text);
        cr_assert_str_eq(text, good[i].library);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(parse_position(bad[i], NOW, &position), "%s", bad[i]);
}

Test(parse, escapes)
{
    char out[32];
    size_t len;

    cr_assert(parse_escapes("a\\n\\0\\x7f\\\\", out, &len));
    cr_assert_eq(len, 5);
    cr_assert_eq(memcmp(out, "a\n\0\x7f\\", 5), 0);
    cr_assert(parse_escapes("", out, &len));
    cr_assert_eq(len, 0);
    cr_assert_not(parse_escapes("\\", out, &len));
    cr_assert_not(parse_escapes("\\q", out, &len));
    cr_assert_not(parse_escapes("\\x7", out, &len));
}

Test(parse, partitions)
{
    bool chosen[4];
    int64_t bad;

    cr_assert(parse_partitions("0,3", 4, chosen, &bad));
    cr_assert(chosen[0] && !chosen[1] && !chosen[2] && chosen[3]);
    cr_assert_not(parse_partitions("4", 4, chosen, &bad));
    cr_assert_eq(bad, 4);
    cr_assert_not(parse_partitions("1,", 4, chosen, &bad));
    cr_assert_eq(bad, -1);
    cr_assert_not(parse_partitions("", 4, chosen, &bad));
    cr_assert_not(parse_partitions("-1", 4, chosen, &bad));
}

Test(parse, distance)
{
    cr_assert_eq(parse_distance("read", "read"), 0);
    cr_assert_eq(parse_distance("raed", "read"), 1);
    cr_assert_eq(parse_distance("rea", "read"), 1);
    cr_assert_eq(parse_distance("", "read"), 4);
    cr_assert_eq(parse_distance("kitten", "sitting"), 3);
}

/* ---- encoding ---- */

static bool is_json(const char *text)
{
    bool breaks;

    return json_valid(text, strlen(text), &breaks);
}

Test(encode, json_is_recognised)
{
    static const char *const good[] = {
        "{}",
        "[]",
        " { } ",
        "[1,2,3]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[true,false,null]}}",
        "[[[]],{}]",
        "[-0,0.5,1e10,1E-2,-12.25e+3]",
        "[\"\\u00e9\\ud83d\\ude00\\n\\/\"]",
        "{\"a\":\"\xc3\xa9\"}",
        "{\n  \"a\": 1,\r\n\t\"b\": [ ]\n}",
        "[{\"a\":1},{\"a\":2}]",
        "{\"a\":[],\"b\":{},\"c\":\"\"}",
    };
    static const char *const bad[] = {
        "",
        " ",
        "1",
        "\"a\"",
        "true",
        "null",
        "{",
        "[",
        "}",
        "]",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[-]",
        "[\"\\x\"]",
        "[\"\\u12\"]",
        "[\"\\ud83d\"]",
        "[\"\\ude00\"]",
        "[\"a\nb\"]",
        "[\"",
        "[\"\\",
        "[tru]",
        "[nul]",
        "{}{}",
        "{} x",
        "[1}",
        "{]",
        "{\"a\":1]",
        "[\"\xff\"]",
        "[\"\xc0\x80\"]",
        "[\"\xed\xa0\x80\"]",
        "[1 2]",
        "{\"a\" 1}",
        "[NaN]",
        "[1]]",
    };

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(is_json(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(is_json(bad[i]), "%s", bad[i]);
}

Test(encode, json_depth_is_limited)
{
    char text[2 * JSON_DEPTH_MAX + 4];
    bool breaks;

    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    cr_assert_not(json_valid(text, 2 * JSON_DEPTH_MAX + 2, &breaks));
    cr_assert(json_valid(text + 1, 2 * JSON_DEPTH_MAX, &breaks));
}

/* Every cut of a valid text is refused, from an exact allocation, so that a sanitizer sees a byte too far. */
Test(encode, json_cut_anywhere)
{
    static const char whole[] = "{\"a\":[1.5e3,\"\\u00e9\xc3\xa9\\ud83d\\ude00\",true],\"b\":{\"c\":null}}";
    const size_t len = sizeof(whole) - 1;
    bool breaks;

    for (size_t n = 0; n <= len; n++) {
        char *copy = cli_copy(whole, n);
        cr_assert_eq(json_valid(copy, n, &breaks), n == len, "cut at %zu", n);
        free(copy);
    }
}

Test(encode, kinds)
{
    bool breaks;

    cr_assert_eq(encode_kind("{\"a\":1}", 7, &breaks), ENCODE_AS_JSON);
    cr_assert_not(breaks);
    cr_assert_eq(encode_kind("[1,\n2]", 6, &breaks), ENCODE_AS_JSON);
    cr_assert(breaks);
    cr_assert_eq(encode_kind("hello", 5, &breaks), ENCODE_AS_UTF8);
    cr_assert_eq(encode_kind("42", 2, &breaks), ENCODE_AS_UTF8);
    cr_assert_eq(encode_kind("", 0, &breaks), ENCODE_AS_UTF8);
    cr_assert_eq(encode_kind("\xff\x00", 2, &breaks), ENCODE_AS_BASE64);
}

Test(encode, utf8)
{
    cr_assert(utf8_valid("plain ascii, more than eight", 28));
    cr_assert(utf8_valid("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9));
    cr_assert(utf8_valid("\xf4\x8f\xbf\xbf", 4));
    cr_assert_not(utf8_valid("\xf4\x90\x80\x80", 4));
    cr_assert_not(utf8_valid("\xc1\x81", 2));
    cr_assert_not(utf8_valid("\xe0\x9f\xbf", 3));
    cr_assert_not(utf8_valid("\xed\xa0\x80", 3));
    cr_assert_not(utf8_valid("12345678\xc3", 9));
    cr_assert_not(utf8_valid("\x80", 1));
}

Test(encode, json_strings)
{
    char out[256];
    size_t n = encode_json(out, "a\"b\\c\n\t\x01\x1f\x7f\xc3\xa9 and more text", 26);

    out[n] = '\0';
    cr_assert_str_eq(out, "a\\\"b\\\\c\\n\\t\\u0001\\u001f\x7f\xc3\xa9 and more text");
    n = encode_json(out, "\b\f\r\v", 4);
    out[n] = '\0';
    cr_assert_str_eq(out, "\\b\\f\\r\\u000b");
}

Test(encode, base64)
{
    static const struct {
        const char *from, *to;
    } pairs[] = { { "", "" },        { "f", "Zg==" },        { "fo", "Zm8=" },
                  { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "\xff\xfe\xfd", "//79" } };
    char out[16];

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        out[encode_base64(out, pairs[i].from, strlen(pairs[i].from))] = '\0';
        cr_assert_str_eq(out, pairs[i].to);
    }
}

Test(encode, cells)
{
    char out[128];

    out[encode_cell(out, "a\tb\nc\\d\"\x1b[2J\xff\xc3\xa9\xc2\x9b", 17)] = '\0';
    cr_assert_str_eq(out, "a\\tb\\nc\\\\d\"\\x1b[2J\\xff\xc3\xa9\\xc2\\x9b");
}

Test(encode, times)
{
    static const struct {
        int64_t ms;
        const char *text;
    } pairs[] = { { 0, "1970-01-01T00:00:00.000Z" },
                  { NOW, "2025-11-21T02:11:37.123Z" },
                  { 951782400007, "2000-02-29T00:00:00.007Z" },
                  { 4107542400000, "2100-03-01T00:00:00.000Z" },
                  { -1, "1969-12-31T23:59:59.999Z" },
                  { 253402300799999, "9999-12-31T23:59:59.999Z" } };
    char out[ENCODE_TIME_BYTES];

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        int64_t back;
        out[encode_time(out, pairs[i].ms)] = '\0';
        cr_assert_str_eq(out, pairs[i].text);
        cr_assert(parse_time_ms(out, 0, &back));
        cr_assert_eq(back, pairs[i].ms);
    }
    cr_assert_leq(encode_time(out, INT64_MAX), sizeof(out));
    cr_assert_leq(encode_time(out, INT64_MIN), sizeof(out));
}

/* ---- lines of input ---- */

static struct input input_of(const char *text, size_t len)
{
    FILE *file = tmpfile();
    struct input in;

    cr_assert_eq(fwrite(text, 1, len, file), len);
    fflush(file);
    rewind(file);
    input_init(&in, fileno(file)); /* the test's process is over before descriptors matter */
    return in;
}

static enum input_line next_line(struct input *in, const char **at, size_t *len)
{
    enum input_line kind;

    while ((kind = input_line(in, at, len)) == INPUT_MORE)
        cr_assert(input_read(in));
    return kind;
}

Test(input, lines)
{
    static const char *const lines[] = { "one", "", "three", "last" };
    struct input in = input_of("one\n\nthree\nlast", 15);
    const char *at;
    size_t len;

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(next_line(&in, &at, &len), INPUT_LINE);
        cr_assert_eq(len, strlen(lines[i]));
        cr_assert_eq(memcmp(at, lines[i], len), 0);
        /* asking again without taking gives the same: the library's buffer may have been full */
        cr_assert_eq(next_line(&in, &at, &len), INPUT_LINE);
        cr_assert_eq(len, strlen(lines[i]));
        input_taken(&in, len);
    }
    cr_assert_eq(next_line(&in, &at, &len), INPUT_END);
    free(in.buffer);
}

Test(input, long_lines)
{
    const size_t size = (3u << 20) + 1, too_long = INPUT_LINE_MAX + 5;
    char *text = malloc(size + too_long + 8);
    struct input in;
    const char *at;
    size_t len;

    memset(text, 'x', size + too_long + 8);
    text[size] = '\n';
    text[size + too_long] = '\n';
    in = input_of(text, size + too_long + 8);
    cr_assert_eq(next_line(&in, &at, &len), INPUT_LINE);
    cr_assert_eq(len, size);
    input_taken(&in, len);
    cr_assert_eq(next_line(&in, &at, &len), INPUT_TOO_LONG);
    cr_assert_eq(next_line(&in, &at, &len), INPUT_LINE);
    cr_assert_eq(len, 7);
    input_taken(&in, len);
    cr_assert_eq(next_line(&in, &at, &len), INPUT_END);
    free(in.buffer);
    free(text);
}

/* ---- arguments ---- */

static char what[ARGS_ERROR_BYTES], fix[ARGS_ERROR_BYTES];

static struct args args;

/* Into `args`; what was in it is freed. */
static int parse_words(const char *line)
{
    static char copy[512];
    static char *argv[64];
    int argc = 0;

    snprintf(copy, sizeof(copy), "runnel %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    args_free(&args);
    return args_parse(&args, argc, argv, what, fix);
}

Test(args, options_anywhere)
{
    size_t i = 0;

    cr_assert_eq(
        parse_words("-s tcp://h:1 topic -ojson create a --partitions=12 b -c x=1 --config y=2 -- -c"), 0);
    cr_assert_eq(args.command, &topic_create_command);
    cr_assert_str_eq(args_value(&args, OPT_SERVER), "tcp://h:1");
    cr_assert_str_eq(args_value(&args, OPT_OUTPUT), "json");
    cr_assert_str_eq(args_value(&args, OPT_PARTITIONS), "12");
    cr_assert_str_eq(args_each(&args, OPT_CONFIG, &i), "x=1");
    cr_assert_str_eq(args_each(&args, OPT_CONFIG, &i), "y=2");
    cr_assert_null(args_each(&args, OPT_CONFIG, &i));
    cr_assert_eq(args.operand_count, 3);
    cr_assert_str_eq(args.operands[2], "-c");
}

Test(args, clusters_and_negative_values)
{

    cr_assert_eq(parse_words("read t -efn5 --from -10 -p0,1"), 0);
    cr_assert(args_flag(&args, OPT_EXIT_AT_END) && args_flag(&args, OPT_FOLLOW));
    cr_assert_str_eq(args_value(&args, OPT_COUNT), "5");
    cr_assert_str_eq(args_value(&args, OPT_FROM), "-10");
    cr_assert_str_eq(args_value(&args, OPT_PARTITION), "0,1");
    cr_assert_eq(parse_words("pub t -"), 0);
    cr_assert_str_eq(args.operands[1], "-");
}

Test(args, mistakes)
{
    static const struct {
        const char *line, *what, *fix;
    } cases[] = {
        { "raed t", "unknown command 'raed'", "did you mean 'read'?" },
        { "topic craete t", "unknown verb 'craete'", "did you mean 'topic create'?" },
        { "zzzzzz", "unknown command 'zzzzzz'", "see `runnel help`" },
        { "read t --form 3", "unknown option '--form'", "did you mean '--from'?" },
        { "read t -Z", "unknown option '-Z'", "see --help" },
        { "read t --from", "--from needs a value", "write --from POSITION" },
        { "read t --follow=1", "--follow takes no value", "leave '=' and what follows out" },
        { "read", "TOPIC is missing", "usage: runnel read TOPIC [OPTION]..." },
        { "read a b", "'b' is too much", "usage: runnel read TOPIC [OPTION]..." },
        { "pub t --acks all", "--acks cannot be 'all'", "use one of durable|memory|none" },
        { "read t -n 1 -n 2", "--count is given twice", "give it once" },
        { "topic", "'topic' needs a verb", "see `runnel help`" },
        { "", "no command", "see `runnel help`" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert_eq(parse_words(cases[i].line), -1, "%s", cases[i].line);
        cr_assert_str_eq(what, cases[i].what);
        cr_assert_str_eq(fix, cases[i].fix);
    }
}

Test(args, every_command_has_what_the_help_needs)
{
    for (size_t i = 0; args_commands[i]; i++) {
        const struct command *c = args_commands[i];
        size_t examples = 0;
        while (examples < EXAMPLES_MAX && c->examples[examples].command)
            examples++;
        cr_assert_geq(examples, 3, "%s", c->noun);
        cr_assert(c->run && c->summary && c->text && c->operands, "%s", c->noun);
        for (const struct option *o = c->options; o && o->id; o++) {
            for (const struct option *other = c->options; other != o; other++)
                cr_assert(other->id != o->id && (!o->letter || other->letter != o->letter), "%s --%s",
                          c->noun, o->name);
            for (const struct option *general = args_general; general->id; general++)
                cr_assert(!o->letter || general->letter != o->letter, "%s -%c", c->noun, o->letter);
        }
    }
}

Test(exits, of_errors)
{
    cr_assert_eq(cli_exit_of(-RUNNEL_E_TOPIC_NOT_FOUND), EXIT_NOT_FOUND);
    cr_assert_eq(cli_exit_of(RUNNEL_E_TOPIC_EXISTS), EXIT_REFUSED);
    cr_assert_eq(cli_exit_of(RUNNEL_E_TIMEOUT), EXIT_TIMED_OUT);
    cr_assert_eq(cli_exit_of(RUNNEL_E_UNREACHABLE), EXIT_UNREACHABLE);
    cr_assert_eq(cli_exit_of(RUNNEL_E_ARGUMENT), EXIT_USAGE);
    cr_assert_eq(cli_exit_of(1), EXIT_FAILED);
    cr_assert_eq(cli_exit_of(999), EXIT_FAILED);
}
