/* SPDX-License-Identifier: Apache-2.0
 *
 * base/list.h: an intrusive, circular, doubly linked list.
 *
 * A node lives in its owner; CONTAINER_OF finds the owner. A node that is in no list points at itself, so
 * list_remove() may be called on it again, and list_linked() tells.
 */
#ifndef RUNNEL_BASE_LIST_H
#define RUNNEL_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline bool list_linked(const struct list *node)
{
    return node->next != node;
}

static inline void list_append(struct list *l, struct list *node)
{
    node->prev = l->prev;
    node->next = l;
    l->prev->next = node;
    l->prev = node;
}

static inline void list_prepend(struct list *l, struct list *node)
{
    list_append(l->next, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out; NULL when empty. */
static inline struct list *list_pop(struct list *l)
{
    if (list_empty(l))
        return NULL;
    struct list *node = l->next;
    list_remove(node);
    return node;
}

/* Everything of `from`, in its order, to the end of `to`. */
static inline void list_append_all(struct list *to, struct list *from)
{
    struct list *node;
    while ((node = list_pop(from)))
        list_append(to, node);
}

#define LIST_FOR_EACH(node, l) for (struct list *node = (l)->next; node != (l); node = node->next)
/* As LIST_FOR_EACH, and the body may remove `node`. */
#define LIST_FOR_EACH_SAFE(node, l)                                                                          \
    for (struct list *node = (l)->next, *node##_next = node->next; node != (l);                              \
         node = node##_next, node##_next = node->next)

#endif
