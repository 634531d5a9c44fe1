/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/report.c: see the header. Latencies are printed in microseconds, MB are 1e6 bytes of payload.
 */
#include "report.h"

#include <stdio.h>

static const struct {
    const char *name;
    double q;
} quantiles[] = { { "p50", .5 }, { "p95", .95 }, { "p99", .99 }, { "p999", .999 }, { "p9999", .9999 } };
enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

static void json_latency(const struct histogram *h)
{
    fputc('{', stdout);
    for (int i = 0; i < QUANTILES; i++)
        printf("\"%s\":%.1f,", quantiles[i].name, us(histogram_quantile(h, quantiles[i].q)));
    printf("\"max\":%.1f}", us(h->max));
}

static void table_latency(const char *name, const struct histogram *h)
{
    if (!h->count)
        return;
    printf("%-26s", name);
    for (int i = 0; i < QUANTILES; i++)
        printf(" %9.1f", us(histogram_quantile(h, quantiles[i].q)));
    printf(" %9.1f\n", us(h->max));
}

static void table_latency_head(void)
{
    printf("%-26s", "microseconds");
    for (int i = 0; i < QUANTILES; i++)
        printf(" %9s", quantiles[i].name);
    printf(" %9s\n", "max");
}

static void limits_json_sizes(const char *name, const struct histogram *h)
{
    printf("\"%s\":{", name);
    for (int i = 0; i < LIMITS_SIZES; i++) {
        printf("%s\"%s\":", i ? "," : "", limits_size_name[i]);
        json_latency(&h[i]);
    }
    printf("},");
}

void report_limits(const struct limits *l, bool json)
{
    if (json) {
        printf("{\"loopback_rtt_us\":");
        json_latency(&l->rtt);
        printf(",\"loopback_rtt_us_spinning\":");
        json_latency(&l->rtt_spinning);
        printf(",");
        limits_json_sizes("journal_write_us", l->write);
        limits_json_sizes("journal_write_us_spinning", l->write_spinning);
        printf("\"seq_write_mb_per_s\":%.0f,\"loopback_mb_per_s\":%.0f}\n", l->seq_write_mb_per_s,
               l->loopback_mb_per_s);
        return;
    }
    char name[64];
    table_latency_head();
    table_latency("loopback rtt", &l->rtt);
    table_latency("loopback rtt, spinning", &l->rtt_spinning);
    for (int i = 0; i < LIMITS_SIZES; i++) {
        snprintf(name, sizeof(name), "journal write %s", limits_size_name[i]);
        table_latency(name, &l->write[i]);
        snprintf(name, sizeof(name), "journal write %s, spin.", limits_size_name[i]);
        table_latency(name, &l->write_spinning[i]);
    }
    printf("sequential write           %9.0f MB/s\n", l->seq_write_mb_per_s);
    printf("loopback stream            %9.0f MB/s\n", l->loopback_mb_per_s);
}

static double per_s(const struct load_result *r)
{
    return r->seconds > 0 ? (double)r->events / r->seconds : 0;
}

static double cpu_per_million(const struct load_result *r)
{
    return r->events ? r->broker_cpu_s * 1e6 / (double)r->events : 0;
}

void report_load_json(const char *extra, const struct load_result *r, uint32_t size)
{
    printf("{%s\"events\":%lu,\"seconds\":%.3f,\"events_per_s\":%.0f,\"mb_per_s\":%.2f,\"ack_us\":", extra,
           (unsigned long)r->events, r->seconds, per_s(r), per_s(r) * size / 1e6);
    json_latency(&r->ack);
    printf(",\"e2e_us\":");
    json_latency(&r->e2e);
    printf(",\"cpu_s_per_million\":%.3f,\"rss_mb\":%.1f,\"errors\":%lu,\"generator_cpu_s_per_s\":%.2f}",
           cpu_per_million(r), r->rss_mb, (unsigned long)r->errors,
           r->seconds > 0 ? r->generator_cpu_s / r->seconds : 0);
}

void report_load(const char *name, const struct load_result *r, uint32_t size, bool json)
{
    if (r->why[0])
        fprintf(stderr, "error: %s: %s\n", name, r->why);
    if (json) {
        report_load_json("", r, size);
        putchar('\n');
        return;
    }
    printf("%s: %lu events in %.3f s: %.0f events/s, %.2f MB/s\n", name, (unsigned long)r->events, r->seconds,
           per_s(r), per_s(r) * size / 1e6);
    if (r->ack.count || r->e2e.count)
        table_latency_head();
    table_latency("acknowledged", &r->ack);
    table_latency("end to end", &r->e2e);
    printf(
        "broker: %.3f CPU s a million events, %.1f MB resident; generator: %.0f %% of a core; errors: %lu\n",
        cpu_per_million(r), r->rss_mb, r->seconds > 0 ? 100 * r->generator_cpu_s / r->seconds : 0,
        (unsigned long)r->errors);
}
