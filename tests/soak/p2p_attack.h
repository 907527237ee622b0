/* tests/soak/p2p_attack.h
 *
 * Peers that mean harm, on bare sockets: each has a kind, goes as far in the upgrade as its kind
 * needs, does its thing as fast as the other side takes it, and comes back when it is cut.
 */
#ifndef LARDER_TESTS_P2P_ATTACK_H
#define LARDER_TESTS_P2P_ATTACK_H

#include "base/base.h"

enum attack_kind {
    /* Half open. */
    ATTACK_SILENT,       /* connects and says nothing */
    ATTACK_DRIP,         /* a byte now and then */
    ATTACK_STOP_NOISE,   /* stops after the first message of the handshake */
    ATTACK_BAD_SECURITY, /* garbage instead of a token */
    ATTACK_GIANT_TOKEN,  /* a token of megabytes */
    ATTACK_BAD_NOISE,    /* garbage instead of the first message, of 64 KiB */
    ATTACK_BAD_PROOF,    /* garbage instead of the last message */
    /* Open. */
    ATTACK_BAD_RECORD,   /* a record under no key */
    ATTACK_BAD_YAMUX,    /* garbage in good records */
    ATTACK_BAD_STREAM,   /* garbage instead of a stream's protocol */
    ATTACK_FILL_WINDOWS, /* 256 KiB on each stream, none of which is read there */
    ATTACK_SLOW_READER,  /* asks for endless bytes on many streams and reads none */
    ATTACK_OPEN_FLOOD,   /* opens streams and negotiates none */
    ATTACK_RAPID_RESET,  /* opens and resets */
    ATTACK_GIANT_FRAME,  /* frames that announce 4 GiB */
    ATTACK_GIANT_ANSWER, /* answers identify with a message of 4 GiB */
    ATTACK_HOLD_ANSWERS, /* asks for identify and pings, and reads no answer */
    ATTACK_HALF_RECORD,  /* the beginning of a 64 KiB record, and a byte now and then */
    ATTACK_PINGS,        /* asks and answers pings without end */
    ATTACK_TINY_CREDIT,  /* asks for endless bytes and gives credit by the byte */
    ATTACK_KINDS
};

extern const char *const attack_names[ATTACK_KINDS];

/* count peers of all kinds in turn against address until the process is ended. at_most of them are
 * of the kinds that stay half open. Never returns. */
void attack_run(const char *address, int count, int half_open_max) __attribute__((noreturn));

#endif
