/* SPDX-License-Identifier: Apache-2.0
 *
 * bench/process.h: what another process has used: CPU, memory, context switches; and which process serves a
 * connection.
 */
#ifndef RUNNEL_BENCH_PROCESS_H
#define RUNNEL_BENCH_PROCESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CPU seconds of the process: all threads, those that have ended, and children it has waited for (Redis
 * rewrites its log in one), user and system; 0 for pid 0. Granularity: 10 ms. */
double process_cpu_s(pid_t pid);
/* The same of the threads that live now, in ns; for shares of a CPU too small for the above. */
uint64_t process_cpu_fine_ns(pid_t pid);
/* Voluntary context switches of all threads: how often it went to sleep, and so was woken. */
uint64_t process_sleeps(pid_t pid);
/* Resident memory in MB (1e6 bytes); 0 when unknown. */
double process_rss_mb(pid_t pid);
/* The program `name` beside this one, into `path`. */
void process_beside(const char *name, char *path, size_t bytes);
/* The process at the other end of a connected socket: the peer's credentials on a Unix socket, the owner of
 * the listening port on loopback. 0 when it cannot be told. */
pid_t process_of_peer(int fd);

#endif
