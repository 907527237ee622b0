/* lib/swarm/pullsync_session.h
 *
 * The inside of the pullsync client, for its files: pullsync_client.c (the table of steps, up to
 * Want), pullsync_fetch.c (deliveries, validated and stored). Thread: loop only.
 */
#ifndef LARDER_SWARM_PULLSYNC_SESSION_H
#define LARDER_SWARM_PULLSYNC_SESSION_H

#include "core/metrics.h"
#include "store/validate.h"
#include "swarm/pullsync_client.h"

enum step {
    STEP_OPEN,
    STEP_HEADERS,
    STEP_OFFER,
    STEP_CHECK,
    STEP_RATE,
    STEP_ROOM,
    STEP_SENT,
    STEP_DELIVERY,
    STEP_VALIDATE,
    STEP_STORE,
    STEP_OTHERS,
    STEP_CONFIRM,
    STEP_DONE,
    STEP_FAILED
};
enum event_kind { EV_OPENED, EV_FRAME, EV_DONE };
struct event {
    enum event_kind kind;
    struct bytes frame;
    const struct error *err;
};

/* What was offered, from the moment its length is known. */
struct offer_room {
    struct pullsync_client *session;
    struct pullsync_offer offer;
    struct reserve_has has;
    uint8_t have[PULLSYNC_WANT_BYTES], want[PULLSYNC_WANT_BYTES];
    uint8_t foreign[PULLSYNC_WANT_BYTES]; /* other sessions are fetching them */
    uint8_t got[PULLSYNC_WANT_BYTES];     /* delivered, or known not to come */
    struct claim claims[LIMIT_PULLSYNC_PAGE_CHUNKS];
    struct chunk_id ids[LIMIT_PULLSYNC_PAGE_CHUNKS];
    uint8_t raw[]; /* the message, until it is decoded */
};

/* What is wanted of it: room for every delivery, validated where it was received. */
struct page_room {
    struct pullsync_client *session;
    struct work work;
    struct reserve_put put;
    struct validate_page validate;
    uint8_t seed[SIG_SEED_BYTES]; /* drawn when all was received */
    struct batches *batches;      /* in use by the job */
    struct timer stall;           /* set while deliveries are to come */
    uint64_t since_ms, heard_ms;  /* when they were asked for; when the last one came */
    uint32_t taken;               /* deliveries that used up a want */
    uint32_t received;            /* chunks among them */
    struct validate_item *items;
    struct reserve_item *puts;
    uint8_t *raw;      /* PULLSYNC_DELIVERY_BYTES_MAX each */
    uint16_t *offered; /* which of the offer a chunk is */
};
size_t page_room_bytes(uint32_t chunks);
void page_room_init(struct page_room *p, struct pullsync_client *c);
void page_room_free(struct pullsync_client *c); /* fine when there is none */
void page_room_await(struct page_room *p);      /* Want is sent */

/* pullsync_client.c */
void session_failed(struct pullsync_client *c, const struct error *err);
void session_completed(struct pullsync_client *c, const struct error *err);
void session_let_go(struct pullsync_client *c, bool orderly);
void session_claims_drop(struct pullsync_client *c);
enum step session_others(struct pullsync_client *c); /* waits for what they fetch */

/* pullsync_fetch.c */
uint8_t *fetch_room(struct pullsync_client *c);
enum step fetch_delivery(struct pullsync_client *c, const struct event *ev, struct error *err);
enum step fetch_validated(struct pullsync_client *c, const struct event *ev, struct error *err);
enum step fetch_stored(struct pullsync_client *c, const struct event *ev, struct error *err);

#endif
