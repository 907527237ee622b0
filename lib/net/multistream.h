/* lib/net/multistream.h
 *
 * multistream-select 1.0: which protocol is spoken on what comes next.
 * https://github.com/multiformats/multistream-select. A token is uvarint(length), text, newline;
 * the length counts the newline.
 *
 *     /multistream/1.0.0  <->  /multistream/1.0.0      both at once
 *     /proposal           -->
 *                         <--  /proposal, or na        and the next proposal
 *
 * The same machine serves both sides; it reads, its user writes. What follows the last token in the
 * same bytes belongs to the protocol: feed says how much it took.
 * Thread: loop only. Nothing is allocated.
 */
#ifndef LARDER_NET_MULTISTREAM_H
#define LARDER_NET_MULTISTREAM_H

#include "base/bytes.h"

#define MULTISTREAM_HEADER "/multistream/1.0.0"
#define MULTISTREAM_NA "na"

enum multistream_event {
    MULTISTREAM_MORE,     /* all bytes taken, nothing decided */
    MULTISTREAM_PROPOSAL, /* listener: text is what the dialer asks for; write it back, or na */
    MULTISTREAM_ACCEPTED, /* dialer: the proposal is spoken from here on */
    MULTISTREAM_REFUSED,  /* dialer: na; write the next proposal */
    MULTISTREAM_FAILED,   /* close (connection) or reset (stream) */
};

struct multistream {
    const char *asked;  /* dialer: the open proposal, borrowed; NULL for a listener */
    uint8_t proposals_; /* made or seen */
    bool greeted_;      /* the other side's header is read */
    bool sized_;        /* the length of the token under way is known */
    uint16_t size_;     /* of it, with newline; before that, bytes of its length */
    uint16_t have_;
    uint16_t text_size; /* of text; above LIMIT_MULTISTREAM_NAME_BYTES it was cut */
    char text[LIMIT_MULTISTREAM_NAME_BYTES + 1];
};

void multistream_listen(struct multistream *m);
/* The dialer's first proposal. Writes header and proposal. */
void multistream_dial(struct multistream *m, const char *proposal, struct writer *out);
/* The dialer's next one, after REFUSED. False: too many. */
bool multistream_propose(struct multistream *m, const char *proposal, struct writer *out);

/* Takes bytes up to the end of the next token that means something. Returns how many; after
 * PROPOSAL or REFUSED feed the rest again. err is set with FAILED. */
size_t multistream_feed(struct multistream *m, struct bytes in, enum multistream_event *event,
                        struct error *err);

void multistream_put(struct writer *out, const char *text);
/* The listener's answer to PROPOSAL: the text itself, or na. */
void multistream_answer(const struct multistream *m, bool accept, struct writer *out);

/* bee's rule for versions: asked is "prefix/MAJOR.MINOR.PATCH/suffix" and equal to served but for
 * the version, whose major is equal and whose minor is not above the served one. */
bool multistream_semver_match(const char *served, const char *asked, size_t asked_size);

#endif
