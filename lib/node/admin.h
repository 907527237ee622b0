/* lib/node/admin.h
 *
 * The control socket data-dir/control.sock: how a subcommand asks the running node. Both ends speak
 * frames: a type byte, a 32-bit big-endian size, that many bytes. The client sends one
 * ADMIN_REQUEST whose body is words, each ended by NUL, the command first; the node answers with
 * any number of ADMIN_OUT, ADMIN_ERR and ADMIN_PROGRESS, and one ADMIN_EXIT with the exit code in
 * its only byte. Owns:   LIMIT_ADMIN_SESSIONS sessions, each charged to the owner "node" as a
 * whole. Thread: loop only. Errors: ERR_SYSTEM, ERR_IO when the socket cannot be made. Only the
 * node's own user and root are answered.
 */
#ifndef LARDER_NODE_ADMIN_H
#define LARDER_NODE_ADMIN_H

#include "base/bytes.h"

struct admin;
struct admin_session;
struct mem_owner;
struct node;

enum admin_frame {
    ADMIN_REQUEST = 'R',
    ADMIN_OUT = 'O',
    ADMIN_ERR = 'E',
    ADMIN_PROGRESS = 'P', /* struct admin_progress; what comes later replaces it */
    ADMIN_EXIT = 'X',
};
enum { ADMIN_HEADER_BYTES = 5 };
#define ADMIN_SOCKET "control.sock"

/* A command: a row of the table in admin.c. */
struct admin_command {
    const char *name;
    /* Answers, now or later, and calls admin_end or admin_fail exactly once. */
    void (*start)(struct admin_session *s);
    bool finishes; /* a stop of the node waits for its end; else it is ended at once */
};

struct admin_session {
    struct node *node;
    uint32_t argc; /* words after the command's name */
    const char *const *argv;
    void *state; /* the command's own */
    /* Set by start when wanted. There is room again after admin_print said false. */
    void (*on_space)(struct admin_session *s);
    /* The client has left, or the node stops: end soon. What is printed goes nowhere. Never called
     * from inside a print, nor after the end. */
    void (*on_gone)(struct admin_session *s);
};

/* Both say false when the reader is slow: print no more until on_space. At least
 * LIMIT_ADMIN_OUTPUT_BYTES / 2 fit after they said true; what does not fit ends the session with an
 * error, so that nobody takes half an answer for a whole one. */
bool admin_write(struct admin_session *s, enum admin_frame type, const void *data, size_t size);
bool admin_print(struct admin_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* How far it is: for people, so it may be left out when the reader is slow. what is a literal. */
struct admin_progress {
    const char *what; /* "uploaded" */
    bool bytes;       /* else things */
    uint64_t done, total;
};
enum { ADMIN_PROGRESS_BYTES = 17, ADMIN_PROGRESS_WHAT_BYTES = 32 };
bool admin_progress(struct admin_session *s, const struct admin_progress *p);
bool admin_gone(const struct admin_session *s);
void admin_end(struct admin_session *s, int exit_code);            /* s is gone after it */
void admin_fail(struct admin_session *s, const struct error *err); /* the sentence, then its code */

/* Cuts the body of a request into words; returns how many, or 0 when it is malformed. */
uint32_t admin_request_words(struct bytes body, const char **words, uint32_t words_max);

struct admin_options {
    struct node *node; /* handed to commands */
    struct loop *loop;
    struct mem_owner *mem;
    const char *dir; /* of the socket */
    int dir_fd;
    const struct admin_command *commands; /* ended by a row without name; NULL: those of the node */
};
enum err admin_create(struct admin **out, const struct admin_options *options, struct error *err);
/* Takes nobody new and ends sessions: those of commands that finish only when `all`. False: all is
 * closed. True: idle(ctx) is called once when it is. */
typedef void admin_idle(void *ctx);
bool admin_close(struct admin *a, bool all, admin_idle *idle, void *ctx);
void admin_destroy(struct admin *a); /* NULL is fine; asserts that all is closed */

/* The path of the socket, by way of dir_fd when it is too long for an address. */
void admin_socket_path(const char *dir, int dir_fd, char *out, size_t size);

/* Rows of the table of parts. */
enum err admin_part_start(struct node *n, struct error *err);
void admin_part_drain(struct node *n);
void admin_part_cancel(struct node *n);
void admin_part_stop(struct node *n);

#endif
