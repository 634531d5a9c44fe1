/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/compare_report.c: a comparison as a table, as JSON, and as one SVG per scenario: a panel of bars per
 * figure, the median as the bar, the spread of the runs as a line over its end.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compare.h"

/* ---- table ---- */

/* Three or four digits that matter: 0.0123, 1.234, 123.4, 12,345 as 12345, 2.41M. */
static void number(double v, char *out, size_t bytes)
{
    if (isnan(v))
        snprintf(out, bytes, "-");
    else if (fabs(v) >= 1e6)
        snprintf(out, bytes, "%.2fM", v / 1e6);
    else if (fabs(v) >= 1000)
        snprintf(out, bytes, "%.0f", v);
    else if (fabs(v) >= 100)
        snprintf(out, bytes, "%.1f", v);
    else if (fabs(v) >= 1)
        snprintf(out, bytes, "%.2f", v);
    else
        snprintf(out, bytes, "%.3f", v);
}

void compare_print_table(const struct outcome *o)
{
    const struct scenario *s = o->scenario;
    char m[32], lo[32], hi[32], cell[112];
    printf("\n%s: %s (median of %d, least..most)\n", s->name, s->title, o->runs);
    printf("%-31s", "");
    for (int f = 0; f < s->figure_count; f++)
        printf(" %22s", s->figures[f].name);
    putchar('\n');
    for (int i = 0; i < s->contender_count; i++) {
        printf("%-31s", s->contenders[i].name);
        for (int f = 0; o->done[i] && f < s->figure_count; f++) {
            double least, most;
            compare_range(o, i, f, &least, &most);
            number(compare_median(o, i, f), m, sizeof(m));
            number(least, lo, sizeof(lo));
            number(most, hi, sizeof(hi));
            if (isnan(least) || o->done[i] == 1)
                snprintf(cell, sizeof(cell), "%s", m);
            else
                snprintf(cell, sizeof(cell), "%s (%s..%s)", m, lo, hi);
            printf(" %22s", cell);
        }
        puts(o->done[i] ? "" : "  not measured");
        if (o->why[i][0])
            printf("    %s\n", o->why[i]);
    }
    for (int i = 0; i < s->target_count; i++) {
        const struct compare_target *t = &s->targets[i];
        double ratio = compare_ratio(o, t);
        number(ratio, m, sizeof(m));
        number(t->bound, lo, sizeof(lo));
        printf("  %-52s %9s  target %s %-8s %s\n", t->text, m, t->at_least ? ">=" : "<=", lo,
               isnan(ratio)            ? "not measured"
               : compare_met(t, ratio) ? "met"
                                       : "NOT MET");
    }
    fflush(stdout);
}

/* ---- JSON ---- */

static void json_string(const char *s)
{
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            putchar('\\');
        if ((unsigned char)*s >= ' ')
            putchar(*s);
    }
    putchar('"');
}

static void json_number(double v)
{
    if (isnan(v) || isinf(v))
        fputs("null", stdout);
    else
        printf("%.6g", v);
}

static void json_contender(const struct outcome *o, int i)
{
    const struct scenario *s = o->scenario;
    fputs("{\"name\":", stdout);
    json_string(s->contenders[i].name);
    if (o->why[i][0]) {
        fputs(",\"error\":", stdout);
        json_string(o->why[i]);
    }
    fputs(",\"figures\":{", stdout);
    for (int f = 0; f < s->figure_count; f++) {
        double least, most;
        compare_range(o, i, f, &least, &most);
        printf("%s\"%s\":{\"median\":", f ? "," : "", s->figures[f].key);
        json_number(compare_median(o, i, f));
        fputs(",\"min\":", stdout);
        json_number(least);
        fputs(",\"max\":", stdout);
        json_number(most);
        fputs(",\"runs\":[", stdout);
        for (int r = 0; r < o->done[i]; r++) {
            if (r)
                putchar(',');
            json_number(o->values[i][f][r]);
        }
        fputs("]}", stdout);
    }
    fputs("}}", stdout);
}

void compare_print_json(const struct compare *c)
{
    fputs("{\"scenarios\":[", stdout);
    for (int n = 0; n < c->outcome_count; n++) {
        const struct outcome *o = &c->outcomes[n];
        const struct scenario *s = o->scenario;
        printf("%s\n{\"name\":\"%s\",\"title\":", n ? "," : "", s->name);
        json_string(s->title);
        printf(",\"runs\":%d,\"contenders\":[", o->runs);
        for (int i = 0; i < s->contender_count; i++) {
            fputs(i ? ",\n " : "\n ", stdout);
            json_contender(o, i);
        }
        fputs("],\n\"targets\":[", stdout);
        for (int i = 0; i < s->target_count; i++) {
            double ratio = compare_ratio(o, &s->targets[i]);
            fputs(i ? ",\n {\"text\":" : "\n {\"text\":", stdout);
            json_string(s->targets[i].text);
            fputs(",\"value\":", stdout);
            json_number(ratio);
            printf(",\"%s\":%.6g,\"met\":%s}", s->targets[i].at_least ? "at_least" : "at_most",
                   s->targets[i].bound, compare_met(&s->targets[i], ratio) ? "true" : "false");
        }
        fputs("]}", stdout);
    }
    puts("\n]}");
}

/* ---- SVG ---- */

enum {
    SVG_WIDTH = 760,
    SVG_LABELS = 220,
    SVG_BARS = 400,
    SVG_ROW = 22,
    SVG_PANEL_HEAD = 30,
    SVG_TITLE = 44,
};

static void svg_text(FILE *f, double x, double y, const char *style, const char *text)
{
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" %s>", x, y, style);
    for (; *text; text++) {
        if (*text == '<' || *text == '&')
            fprintf(f, "&#%d;", *text);
        else
            fputc(*text, f);
    }
    fputs("</text>\n", f);
}

static double svg_panel(FILE *f, const struct outcome *o, int figure, double y)
{
    const struct scenario *s = o->scenario;
    double top = 0, least, most;
    for (int i = 0; i < s->contender_count; i++) {
        compare_range(o, i, figure, &least, &most);
        if (most > top)
            top = most;
    }
    char head[96], value[32];
    snprintf(head, sizeof(head), "%s (%s is better)", s->figures[figure].name,
             s->figures[figure].more_is_better ? "more" : "less");
    svg_text(f, 10, y + 18, "font-weight=\"bold\"", head);
    y += SVG_PANEL_HEAD;
    for (int i = 0; i < s->contender_count; i++) {
        double median = compare_median(o, i, figure);
        compare_range(o, i, figure, &least, &most);
        if (isnan(median))
            continue;
        double scale = top > 0 ? SVG_BARS / top : 0;
        bool ours = strncmp(s->contenders[i].name, "runnel", 6) == 0;
        svg_text(f, SVG_LABELS - 8, y + 15, "text-anchor=\"end\"", s->contenders[i].name);
        fprintf(f, "<rect x=\"%d\" y=\"%.0f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", SVG_LABELS,
                y + 3, median * scale, SVG_ROW - 6, ours ? "#2f6fb0" : "#b8b8b8");
        fprintf(f, "<path d=\"M%.1f %.0fH%.1fM%.1f %.0fv8M%.1f %.0fv8\" stroke=\"#222\" fill=\"none\"/>\n",
                SVG_LABELS + least * scale, y + SVG_ROW / 2., SVG_LABELS + most * scale,
                SVG_LABELS + least * scale, y + SVG_ROW / 2. - 4, SVG_LABELS + most * scale,
                y + SVG_ROW / 2. - 4);
        number(median, value, sizeof(value));
        svg_text(f, SVG_LABELS + most * scale + 8, y + 15, "", value);
        y += SVG_ROW;
    }
    return y + 8;
}

static bool svg_scenario(const struct outcome *o, const char *dir)
{
    const struct scenario *s = o->scenario;
    char path[4200];
    snprintf(path, sizeof(path), "%s/%s.svg", dir, s->name);
    FILE *f = fopen(path, "we");
    if (!f)
        return false;
    int height = SVG_TITLE + s->figure_count * (SVG_PANEL_HEAD + 8 + s->contender_count * SVG_ROW);
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"white\"/>\n",
            SVG_WIDTH, height, SVG_WIDTH, height);
    svg_text(f, 10, 26, "font-size=\"16\" font-weight=\"bold\"", s->title);
    double y = SVG_TITLE;
    for (int figure = 0; figure < s->figure_count; figure++)
        y = svg_panel(f, o, figure, y);
    fputs("</svg>\n", f);
    return fclose(f) == 0;
}

bool compare_write_svg(const struct compare *c, const char *dir)
{
    mkdir(dir, 0777);
    for (int i = 0; i < c->outcome_count; i++) {
        if (!svg_scenario(&c->outcomes[i], dir)) {
            fprintf(stderr, "error: cannot write %s/%s.svg\n", dir, c->outcomes[i].scenario->name);
            return false;
        }
    }
    return true;
}
