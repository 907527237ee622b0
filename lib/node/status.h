/* lib/node/status.h
 *
 * What the node says of itself, from one source: a JSON document of sections, which /api/v1/status
 * and `larder status` show, and the conditions behind /readyz. A subsystem adds a section and a
 * condition when it starts and removes them when it stops.
 * Owns:   the built-in sections (memory, file_descriptors, disk, loop, clock), and a job that looks
 *         at the disk every LIMIT_STATUS_DISK_MS.
 * Thread: loop only. Nothing here waits: what is slow is looked at beforehand.
 * Errors: ERR_TOO_LARGE when a document exceeds its buffer.
 */
#ifndef LARDER_NODE_STATUS_H
#define LARDER_NODE_STATUS_H

#include "base/error.h"
#include "base/list.h"

struct json_writer;
struct node;
struct status;

struct status_section { /* a field of its subsystem; zeroed at first */
    struct list link_;
    const char *name; /* its key in the document; a literal */
    /* Writes the members of an object that has begun already. */
    void (*write)(struct status_section *s, struct json_writer *w);
};
void status_section_add(struct status *st, struct status_section *s);
void status_section_remove(struct status_section *s); /* no-op when not added */

enum readiness {
    READINESS_OK,
    READINESS_WAITING,  /* not yet: /readyz says 503 */
    READINESS_DEGRADED, /* some of it works, as reading with a full disk: /readyz says 200 */
    READINESS_STATES,
};
struct status_condition { /* a field of its subsystem; zeroed at first */
    struct list link_;
    const char *name; /* a literal */
    /* Anything but READINESS_OK sets why to a sentence; its code does not matter. */
    enum readiness (*look)(struct status_condition *c, struct error *why);
};
void status_condition_add(struct status *st, struct status_condition *c);
void status_condition_remove(struct status_condition *c); /* no-op when not added */

/* Lines "ready", "degraded: disk: ...", "waiting: stores: ..."; cut to size, which counts the NUL.
 */
enum readiness status_readiness(struct status *st, char *text, size_t size);
const char *readiness_name(enum readiness r);

/* The document into buf, which LIMIT_STATUS_BYTES suffice for; *used without NUL. */
enum err status_write(struct status *st, char *buf, size_t size, size_t *used, struct error *err);

/* Rows of the table of parts. */
struct status *node_status(struct node *n);
enum err status_part_start(struct node *n, struct error *err);
void status_part_stop(struct node *n);

#endif
