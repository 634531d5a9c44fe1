/* SPDX-License-Identifier: Apache-2.0
 *
 * io/work.c: the worker pool: one queue in, one list out, one lock.
 *
 * Jobs are large (a checkpoint, a 256 KiB read, a directory sync), so one lock for all is not felt. A worker
 * puts its job on the list of those that ran before it wakes the loop; the loop's wake flag is cleared before
 * work_collect() looks at the list, so no answer waits for a turn that does not come.
 */
#include "io/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "io/io.h"

enum {
    WORK_THREADS_MAX = 64,
    WORK_STACK_BYTES = 1024 * 1024, /* jobs keep their buffers on the heap */
};

struct work {
    struct io *io;
    uint32_t pending; /* the loop's own */
    uint32_t threads;
    pthread_t *ids;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t more;
    struct list queued;
    struct list ran;
    bool stopping;
};

static void *work_run(void *arg)
{
    struct work *work = arg;
    pthread_mutex_lock(&work->lock);
    for (;;) {
        struct list *node;
        while (!(node = list_pop(&work->queued)) && !work->stopping)
            pthread_cond_wait(&work->more, &work->lock);
        if (node == NULL)
            break;
        pthread_mutex_unlock(&work->lock);
        struct work_job *job = CONTAINER_OF(node, struct work_job, link);
        job->run(job);
        pthread_mutex_lock(&work->lock);
        list_append(&work->ran, &job->link);
        pthread_mutex_unlock(&work->lock);
        io_wake(work->io);
        pthread_mutex_lock(&work->lock);
    }
    pthread_mutex_unlock(&work->lock);
    return NULL;
}

/* All signals are blocked in a worker: it inherits the mask of the thread that starts it. */
static int work_start_threads(struct work *work, uint32_t threads)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int error = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORK_STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (work->threads < threads && error == 0) {
        error = pthread_create(&work->ids[work->threads], &attr, work_run, work);
        if (error == 0) {
            char name[16];
            snprintf(name, sizeof(name), "worker-%u", work->threads);
            pthread_setname_np(work->ids[work->threads++], name);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -error;
}

int work_create(struct work **out, struct io *io, uint32_t threads)
{
    if (threads == 0 || threads > WORK_THREADS_MAX)
        return -EINVAL;
    struct work *work = mem_zalloc(MEM_IO, sizeof(*work));
    work->io = io;
    work->ids = mem_zalloc(MEM_IO, WORK_THREADS_MAX * sizeof(*work->ids));
    pthread_mutex_init(&work->lock, NULL);
    pthread_cond_init(&work->more, NULL);
    list_init(&work->queued);
    list_init(&work->ran);
    const int error = work_start_threads(work, threads);
    if (error < 0) {
        work_destroy(work);
        return error;
    }
    *out = work;
    return 0;
}

void work_destroy(struct work *work)
{
    pthread_mutex_lock(&work->lock);
    CHECK(list_empty(&work->queued));
    work->stopping = true;
    pthread_cond_broadcast(&work->more);
    pthread_mutex_unlock(&work->lock);
    for (uint32_t i = 0; i < work->threads; i++)
        pthread_join(work->ids[i], NULL);
    pthread_cond_destroy(&work->more);
    pthread_mutex_destroy(&work->lock);
    mem_free(MEM_IO, work->ids, WORK_THREADS_MAX * sizeof(*work->ids));
    mem_free(MEM_IO, work, sizeof(*work));
}

void work_submit(struct work *work, struct work_job *job, void (*run)(struct work_job *),
                 void (*done)(struct work_job *))
{
    CHECK(!job->busy);
    job->run = run;
    job->done = done;
    job->busy = true;
    list_init(&job->link);
    work->pending++;
    pthread_mutex_lock(&work->lock);
    list_append(&work->queued, &job->link);
    pthread_cond_signal(&work->more);
    pthread_mutex_unlock(&work->lock);
}

void work_collect(struct work *work)
{
    if (work->pending == 0)
        return; /* most turns: no lock */
    struct list ran;
    list_init(&ran);
    pthread_mutex_lock(&work->lock);
    for (struct list *node; (node = list_pop(&work->ran));)
        list_append(&ran, node);
    pthread_mutex_unlock(&work->lock);
    for (struct list *node; (node = list_pop(&ran));) {
        struct work_job *job = CONTAINER_OF(node, struct work_job, link);
        job->busy = false; /* before the handler: it may submit the job again */
        work->pending--;
        job->done(job);
    }
}

uint32_t work_pending(const struct work *work)
{
    return work->pending;
}

void work_rest(uint32_t us)
{
    const struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    nanosleep(&t, NULL);
}
