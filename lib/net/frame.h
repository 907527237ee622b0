/* lib/net/frame.h
 *
 * Messages with their length in front (uvarint), which nearly every protocol speaks. The length is
 * checked before anything is allocated; the room for a message is asked for before its bytes are
 * read, and while it is refused the stream is paused, so the peer is slowed and not dropped.
 * Ownership: a reader is a field of its handler's struct; frame_close before that is freed.
 * Thread: loop only.
 * Errors: ERR_TOO_LARGE, ERR_MALFORMED (the length), ERR_BUDGET (the owner can never hold it): the
 *         stream is reset with them.
 */
#ifndef LARDER_NET_FRAME_H
#define LARDER_NET_FRAME_H

#include "net/stream.h"

struct frame_reader;
/* A whole message, valid during the call. Anything but ERR_OK resets the stream with it. */
typedef enum err frame_cb(struct frame_reader *fr, struct bytes message);

struct frame_reader {
    struct stream *stream;   /* in */
    struct mem_owner *owner; /* in: pays for the message under way */
    uint32_t max_bytes;      /* in: a longer message resets the stream at its length */
    enum limit_id limit;     /* in: the row that is then counted as hit; 0: none */
    frame_cb *on_frame;      /* in */
    /* in: NULL, or where the body of a message that is not empty goes, for those who keep messages
     * and pay for them. NULL: not yet; the stream was paused, and the hook is asked again. */
    uint8_t *(*room)(struct frame_reader *fr, uint32_t size);
    uint8_t length_[9];
    uint8_t length_have_;
    bool sized_, lent_, closed_;
    uint8_t *body_;
    uint32_t size_, have_;
    struct frame_wait *wait_; /* for memory; outlives the reader when need be */
};

/* A row as the bound, for an initializer. */
#define FRAME_LIMIT(name) .max_bytes = LIMIT_##name, .limit = LIMIT_ID_##name

/* For on_data with size > 0. Returns how many bytes were taken. */
size_t frame_feed(struct frame_reader *fr, const uint8_t *bytes, size_t size);
/* Is a message cut short, should FIN come now? */
bool frame_partial(const struct frame_reader *fr);
/* Gives back what is held; nothing is read any more. Fine inside on_frame. */
void frame_close(struct frame_reader *fr);

/* Writing: the length in front of size bytes. */
size_t frame_header_put(uint8_t out[9], size_t size);

#endif
