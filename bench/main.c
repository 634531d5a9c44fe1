/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/main.c: runnel-bench, the benchmark harness.
 *
 * The canonical workload: events with a 256-byte payload, no key and no headers, one event a request, over
 * TCP on loopback, one producer connection, one partition, acks=durable; latency at 10,000 events a second
 * paced in open loop, throughput in closed loop with 1,000 events unanswered.
 *
 * What is timed. ack: from the moment at which the event was meant to be sent until the bytes of its
 * acknowledgement were received; "meant to" is the schedule's time in open loop, and the time at which the
 * window had room in closed loop. e2e: from the same moment until the bytes of the event were received by a
 * subscriber on another connection of the same process (one clock). Throughput: events acknowledged (or
 * received) divided by the time from the start of measuring until the last of them. CPU: user and system time
 * of the broker's process, kernel work on its behalf included. MB are 10^6 payload bytes.
 *
 * What the numbers leave out. The client library's own work: drivers speak the protocols directly, with
 * prepared requests (Kafka excepted: librdkafka). Networks: loopback has no loss and no distance. The
 * generator shares the machine with the broker; its own CPU is printed beside every result, and when it nears
 * a whole core, it is the limit. A sleeping generator pays for being woken, as any client does; --spin takes
 * that away from every broker alike.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "compare.h"
#include "options.h"

static const struct {
    const char *name;
    int (*run)(const struct options *o);
} commands[] = {
    { "limits", command_limits },   { "publish", command_publish }, { "e2e", command_e2e },
    { "consume", command_consume }, { "scale", command_scale },     { "rebalance", command_rebalance },
    { "redrive", command_redrive }, { "compare", command_compare },
};

int main(int argc, char **argv)
{
    struct options o;
    signal(SIGPIPE, SIG_IGN);
    options_parse(&o, argc, argv);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(o.command, commands[i].name) == 0)
            return commands[i].run(&o);
    fprintf(stderr,
            "error: unknown command %s: expected limits, publish, e2e, consume, scale, rebalance, redrive or "
            "compare\n",
            o.command);
    return 2;
}
