/* lib/base/list.h
 *
 * An intrusive doubly linked list: the links are fields of what is listed, so that membership costs
 * no allocation and an element can leave from the middle without a search.
 * Ownership: the list owns nothing. Thread: whoever owns the elements.
 * A zeroed link is in no list; list_remove makes it so again. A head must be list_init'ed.
 */
#ifndef LARDER_BASE_LIST_H
#define LARDER_BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *head)
{
    head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}
static inline bool list_linked(const struct list *link) /* in a list? of a link, not of a head */
{
    return link->next != NULL;
}
static inline void list_append(struct list *head, struct list *link)
{
    assert(!list_linked(link));
    link->prev = head->prev;
    link->next = head;
    head->prev->next = link;
    head->prev = link;
}
static inline void list_prepend(struct list *head, struct list *link)
{
    list_append(head->next, link);
}
static inline void list_remove(struct list *link)
{
    assert(list_linked(link));
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}
static inline struct list *list_first(const struct list *head) /* NULL when empty */
{
    return list_empty(head) ? NULL : head->next;
}
static inline struct list *list_pop(struct list *head) /* NULL when empty */
{
    struct list *link = list_first(head);
    if (link)
        list_remove(link);
    return link;
}
/* Moves all of from to the end of to. */
static inline void list_move_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* at may not be removed inside; list_each_safe allows it. */
#define list_each(at, head) for (struct list *at = (head)->next; at != (head); at = at->next)
#define list_each_safe(at, head)                                                                   \
    for (struct list *at = (head)->next, *at##_next = at->next; at != (head);                      \
         at = at##_next, at##_next = at->next)

#endif
