/* SPDX-License-Identifier: Apache-2.0
 *
 * broker/instance.h: what makes a process the one broker of its data directory and of its machine: the
 * directory and its lock, limits of descriptors, and word to the service manager.
 */
#ifndef RUNNEL_BROKER_INSTANCE_H
#define RUNNEL_BROKER_INSTANCE_H

#include <stdint.h>

/* Makes the directory (and those above it) and takes its lock. Returns the lock's descriptor, held until
 * closed, or a negative errno with a sentence in `why` that names the process which holds it. */
int instance_lock(const char *data_dir, char *why, uint32_t why_bytes);
/* Raises the limit of open files as far as allowed; returns it. */
uint64_t instance_descriptors(void);
/* Tells systemd, when it asked (NOTIFY_SOCKET): "READY=1". */
void instance_notify(const char *state);

#endif
