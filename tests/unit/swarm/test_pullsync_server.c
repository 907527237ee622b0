/* Whole sessions of the serving side against a scripted peer, on streams in memory. */
#include "pullsync_bed.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/varint.h"
#include "core/metrics.h"
#include "net/frame.h"
#include "net/stream_mem.h"
#include "swarm/pullsync_server.h"
#include "swarm/pullsync_wire.h"

static struct bed bed;
static struct pullsync_server *server;
static bool stopped;

struct script { /* a peer that says what it is told to */
    struct stream *s;
    uint8_t out[8192], in[2 << 20];
    size_t out_size, sent, got, read;
    size_t sips; /* it takes so many bytes of each piece and pauses; 0: all */
    bool closed, fin;
    enum err end;
};

static size_t script_data(struct stream *s, void *user, const uint8_t *bytes, size_t size)
{
    struct script *p = user;
    p->fin |= size == 0;
    if (p->sips > 0 && size > p->sips) {
        size = p->sips;
        stream_pause(s);
    }
    check(p->got + size <= sizeof(p->in), "room");
    memcpy(p->in + p->got, bytes, size);
    p->got += size;
    return size;
}
static size_t script_writable(struct stream *s UNUSED, void *user, uint8_t *buf, size_t room)
{
    struct script *p = user;
    size_t n = MIN(room, p->out_size - p->sent);
    memcpy(buf, p->out + p->sent, n);
    p->sent += n;
    return n;
}
static void script_close(struct stream *s UNUSED, void *user, const struct error *err,
                         uint32_t code UNUSED)
{
    struct script *p = user;
    p->closed = true;
    p->end = err ? err->code : ERR_OK;
    p->s = NULL;
}
static const struct stream_ops script_ops = { NULL, script_data, script_writable, script_close };
static const struct protocol script_protocol = { .name = "script", .ops = &script_ops };

static void script_open(struct script *p, uint8_t peer, bool cursors)
{
    memset(p, 0, sizeof(*p));
    struct stream_mem_options o = { .loop = bed.loop,
                                    .mem = bed.streams,
                                    .protocol = &script_protocol,
                                    .dialer_user = p,
                                    .dialer = { 1, { peer } },
                                    .listener = { 1, { 0xff } },
                                    .listener_protocol = cursors ? pullsync_server_cursors(server)
                                                                 : pullsync_server_pages(server) };
    p->s = stream_mem_open(&o);
}

static void script_send(struct script *p, const void *data, size_t size)
{
    if (!p->s)
        return;
    memcpy(p->out + p->out_size, data, size);
    p->out_size += size;
    stream_want_write(p->s);
    bed_turn(&bed, 0);
}

static void script_frame(struct script *p, struct writer *w)
{
    uint8_t head[9];
    size_t n = frame_header_put(head, writer_used(w));
    script_send(p, head, n);
    script_send(p, w->start, writer_used(w));
}

static void script_ask(struct script *p, uint8_t bin, uint64_t start)
{
    uint8_t buf[64];
    struct writer w = writer_of(buf, sizeof(buf));
    script_send(p, "\0", 1);
    pullsync_get_encode(&w, &(struct pullsync_get){ bin, start });
    script_frame(p, &w);
}

/* The next whole frame, if it is there. */
static bool script_next(struct script *p, struct bytes *out)
{
    uint64_t size = 0;
    int n = uvarint_peek(bytes_of(p->in + p->read, p->got - p->read), &size);
    if (n <= 0 || p->got - p->read - (size_t)n < size)
        return false;
    *out = bytes_of(p->in + p->read + n, size);
    p->read += (size_t)n + size;
    return true;
}

static struct chunk_id offered[LIMIT_PULLSYNC_PAGE_CHUNKS];
/* Reads headers and offer. */
static bool script_offer(struct script *p, struct pullsync_offer *offer)
{
    struct bytes m;
    if (p->read == 0) {
        check(script_next(p, &m) && m.size == 0, "empty headers come first");
    }
    offer->ids = offered;
    if (!script_next(p, &m))
        return false;
    check(!pullsync_offer_decode(offer, m, NULL), "an offer");
    return true;
}

static void script_want(struct script *p, const struct pullsync_offer *offer, bool all)
{
    uint8_t buf[64], bits[PULLSYNC_WANT_BYTES];
    struct writer w = writer_of(buf, sizeof(buf));
    memset(bits, all ? 0xff : 0, sizeof(bits));
    pullsync_want_encode(&w, bits, offer->count);
    script_frame(p, &w);
}

static uint32_t script_deliveries(struct script *p, struct pullsync_offer *offer)
{
    struct bytes m;
    uint32_t n = 0;
    for (; script_next(p, &m); n++) {
        struct pullsync_delivery d;
        uint8_t address[32], hash[32];
        check(!pullsync_delivery_decode(&d, m, NULL), "a delivery");
        check(d.address.size == 32 && d.stamp.size == STAMP_BYTES, "is whole");
        check(!memcmp(d.address.data, offer->ids[n].address, 32), "in the order of the offer");
        check(!chunk_content_address(address, d.data, NULL), "a chunk");
        check(!memcmp(address, d.address.data, 32), "of that address");
        stamp_hash(hash, d.stamp.data);
        check(!memcmp(hash, offer->ids[n].stamp_hash, 32), "with that stamp");
    }
    return n;
}

static void on_stopped(void *ctx UNUSED)
{
    stopped = true;
}

static void make(uint32_t rate)
{
    struct error err = { ERR_OK, "" };
    bed_make(&bed, 1, 256 * MiB);
    struct pullsync_server_options o = { .loop = bed.loop,
                                         .reserve = bed.w[0].reserve,
                                         .mem = bed.mem,
                                         .governor = bed.governor,
                                         .rate = rate };
    check(!pullsync_server_create(&server, &o, &err), err.text);
}

static void end(void)
{
    stopped = false;
    pullsync_server_stop(server, on_stopped, NULL);
    bed_turn(&bed, 100);
    check(stopped, "it stops");
    pullsync_server_destroy(server);
    bed_end(&bed);
}

static struct script p, q;

TEST(cursors_are_the_last_binids_and_the_epoch)
{
    struct pullsync_ack ack;
    struct reserve_status status;
    struct bytes m;
    make(0);
    bed_put(&bed, 0, 2, 0, 3);
    script_open(&p, 1, true);
    script_send(&p, "\0", 1);
    script_send(&p, "\0", 1);
    check(script_next(&p, &m) && m.size == 0, "headers");
    check(script_next(&p, &m) && !pullsync_ack_decode(&ack, m, NULL), "an ack");
    reserve_status(bed.w[0].reserve, &status);
    check(ack.epoch == status.epoch && ack.cursors[2] == 3 && ack.cursors[1] == 0, "as they are");
    check(p.fin, "and the server closes");
    stream_finish(p.s);
    bed_turn(&bed, 10);
    check(p.closed && p.end == ERR_OK, "in order");
    end();
}

TEST(a_page_is_offered_and_what_is_wanted_delivered)
{
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 60);
    script_open(&p, 1, false);
    script_ask(&p, 0, 11);
    check(!script_offer(&p, &offer), "a short page waits for more");
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer), "for a second");
    check(offer.count == 50 && offer.topmost == 60, "from the BinID asked for to the last");
    script_want(&p, &offer, true);
    bed_turn(&bed, 10);
    check(script_deliveries(&p, &offer) == 50, "all that was wanted");
    check(p.fin, "then the server closes");
    stream_finish(p.s);
    bed_turn(&bed, 10);
    check(p.closed && p.end == ERR_OK, "in order");
    end();
}

TEST(a_full_page_does_not_wait)
{
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 260);
    script_open(&p, 1, false);
    script_ask(&p, 0, 0);
    check(script_offer(&p, &offer), "at once");
    check(offer.count == 250 && offer.topmost == 250, "a page; start 0 means 1");
    script_want(&p, &offer, false);
    bed_turn(&bed, 10);
    check(p.fin && script_deliveries(&p, &offer) == 0, "nothing wanted, nothing delivered");
    stream_finish(p.s);
    end();
}

TEST(a_page_grows_until_a_second_has_passed_without_a_chunk)
{
    struct pullsync_offer offer;
    make(0);
    script_open(&p, 1, false);
    script_ask(&p, 1, 1);
    bed_turn(&bed, 3600 * 1000);
    check(p.s && !script_offer(&p, &offer), "parked for as long as it takes");
    for (uint32_t i = 0; i < 5; i++) {
        bed_put(&bed, 0, 1, i, 1);
        bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS - 300);
        check(!script_offer(&p, &offer), "it waits for more");
    }
    bed_turn(&bed, 300);
    check(script_offer(&p, &offer) && offer.count == 5 && offer.topmost == 5, "then it comes");
    stream_reset(p.s, 0);
    end();
}

TEST(where_nothing_has_come_for_a_second_nothing_is_waited_for)
{
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 1, 0, 5);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    bed_put(&bed, 0, 2, 5, 1); /* another bin */
    script_open(&p, 1, false);
    script_ask(&p, 1, 1);
    bed_turn(&bed, 10);
    check(script_offer(&p, &offer) && offer.count == 5 && offer.topmost == 5, "at once");
    script_open(&q, 1, false);
    script_ask(&q, 2, 1);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS / 2);
    check(!script_offer(&q, &offer), "but in a bin that has just grown");
    stream_reset(p.s, 0);
    stream_reset(q.s, 0);
    end();
}

TEST(requests_for_the_same_page_share_it)
{
    struct pullsync_server_status s;
    struct pullsync_offer offer;
    make(0);
    script_open(&p, 1, false);
    script_open(&q, 2, false);
    script_ask(&p, 0, 1);
    script_ask(&q, 0, 1);
    pullsync_server_status(server, &s);
    check(s.parked == 2 && s.pages == 0, "parked ones hold no page");
    metrics_page_begin(&(struct metrics_page){ 0 });
    check(metric_get(METRIC_pullsync_parked) == 2, "and are shown");
    bed_put(&bed, 0, 0, 0, 20);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer) && offer.count == 20, "one");
    check(script_offer(&q, &offer) && offer.count == 20, "and the other");
    pullsync_server_status(server, &s);
    check(s.pages_collected == 1 && s.pages_shared == 1 && s.pages == 1, "have the same page");
    metrics_page_begin(&(struct metrics_page){ 0 });
    check(metric_get(METRIC_pullsync_serve_pages) == 1 &&
              metric_get(METRIC_pullsync_serve_sessions) == 2 &&
              metric_get(METRIC_pullsync_pages_shared_total) > 0,
          "and it is shown");
    script_want(&p, &offer, true);
    bed_turn(&bed, 10);
    check(script_deliveries(&p, &offer) == 20, "which outlives the first that is through");
    stream_finish(p.s);
    bed_turn(&bed, 10);
    script_want(&q, &offer, true);
    bed_turn(&bed, 10);
    check(script_deliveries(&q, &offer) == 20, "and serves the second");
    stream_finish(q.s);
    end();
}

TEST(a_peer_gets_its_rate_and_no_more)
{
    struct pullsync_offer offer;
    make(100);
    bed_put(&bed, 0, 0, 0, 250);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    check(script_offer(&p, &offer) && offer.count == 250, "a page");
    script_want(&p, &offer, true);
    bed_turn(&bed, 10);
    check(script_deliveries(&p, &offer) == 250, "a full burst is enough, the rest is debt");
    stream_finish(p.s);
    bed_turn(&bed, 10);
    script_open(&p, 1, false);
    script_open(&q, 2, false);
    script_ask(&p, 0, 1);
    script_ask(&q, 0, 1);
    check(script_offer(&p, &offer) && script_offer(&q, &offer), "offers are free");
    script_want(&p, &offer, true);
    script_want(&q, &offer, true);
    bed_turn(&bed, 10);
    check(script_deliveries(&q, &offer) == 250, "another peer has its own rate");
    check(script_deliveries(&p, &offer) == 0, "the debt is paid first");
    bed_turn(&bed, 1500);
    check(script_deliveries(&p, &offer) == 0, "150 chunks take 1.5 s, a burst another second");
    bed_turn(&bed, 1100);
    check(script_deliveries(&p, &offer) == 250, "then it goes on");
    stream_finish(p.s);
    stream_finish(q.s);
    bed_turn(&bed, 10);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    check(script_offer(&p, &offer), "closing every stream");
    script_want(&p, &offer, true);
    bed_turn(&bed, 500);
    check(script_deliveries(&p, &offer) == 0, "forgives nothing");
    pullsync_server_set_rate(server, 0);
    bed_turn(&bed, 10);
    check(script_deliveries(&p, &offer) == 250, "the rate can be lifted");
    stream_finish(p.s);
    end();
}

static void on_evicted(struct reserve_evict *req, const struct error *err)
{
    check(!err && req->evicted == 10, "ten are evicted");
}

TEST(chunks_that_are_gone_are_delivered_empty)
{
    struct pullsync_offer offer;
    struct bytes m;
    uint32_t empty = 0;
    make(0);
    bed_put(&bed, 0, 0, 0, 250);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    check(script_offer(&p, &offer), "offered");
    struct bed_chunk c;
    bed_chunk(&bed, &c, 0, 0);
    struct reserve_evict evict = { .bin = RESERVE_BINS, .count = 10 };
    memcpy(evict.batch, bed.batch_id, 32);
    evict.cb = on_evicted;
    reserve_evict(bed.w[0].reserve, &evict);
    bed_turn(&bed, 10);
    script_want(&p, &offer, true);
    bed_turn(&bed, 10);
    uint32_t all = 0;
    for (; script_next(&p, &m); all++)
        empty += m.size == 0;
    check(all == 250 && empty == 10, "one each, empty for the ten that went");
    stream_finish(p.s);
    end();
}

TEST(a_parked_request_goes_on_reset_and_on_fin)
{
    struct pullsync_server_status s;
    make(0);
    script_open(&p, 1, false);
    script_open(&q, 1, false);
    script_ask(&p, 5, 1);
    script_ask(&q, 5, 1);
    pullsync_server_status(server, &s);
    check(s.parked == 2 && s.sessions == 2, "parked");
    stream_reset(p.s, 0);
    stream_finish(q.s);
    bed_turn(&bed, 1);
    pullsync_server_status(server, &s);
    check(s.parked == 0 && s.sessions == 0, "both are gone");
    check(q.closed, "FIN is answered by a reset");
    end();
}

static const struct {
    const char *why, *bytes;
    size_t size;
} hostile[] = {
    { "bytes behind the request", "\0\4\x08\x01\x10\x01\0", 7 },
    { "a bin there is not", "\0\4\x08\x20\x10\x01", 6 },
    { "a negative bin", "\0\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x01", 15 },
    { "broken headers", "\2\xff\xff", 3 },
    { "a broken request", "\0\2\x0d\x01", 4 },
    { "a length of 64 KiB", "\0\x80\x80\4", 4 },
    { "a length that never ends", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10 },
};

TEST(what_breaks_the_protocol_is_reset)
{
    make(0);
    uint64_t hits = limit_hits(LIMIT_ID_PULLSYNC_REQUEST_BYTES);
    for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
        script_open(&p, 1, false);
        script_send(&p, hostile[i].bytes, hostile[i].size);
        bed_turn(&bed, 10);
        check(p.closed && p.end, hostile[i].why);
    }
    check(limit_hits(LIMIT_ID_PULLSYNC_REQUEST_BYTES) == hits + 1, "the long one is counted");
    end();
}

TEST(a_want_that_is_too_short_is_reset)
{
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 20);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer), "offered");
    script_send(&p, "\4\x0a\2\xff\xff", 5); /* 16 bits for 20 chunks */
    bed_turn(&bed, 10);
    check(p.closed && p.end, "reset");
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer), "offered again");
    script_send(&p, "\0", 1); /* none at all */
    bed_turn(&bed, 10);
    check(p.closed && p.end, "reset");
    end();
}

TEST(silence_ends_a_session_but_not_while_it_is_parked)
{
    struct pullsync_offer offer;
    make(0);
    script_open(&p, 1, false);
    bed_turn(&bed, LIMIT_PULLSYNC_REQUEST_MS + 10);
    check(p.closed, "no headers");
    script_open(&p, 1, false);
    script_send(&p, "\0", 1);
    bed_turn(&bed, LIMIT_PULLSYNC_REQUEST_MS + 10);
    check(p.closed, "no request");
    bed_put(&bed, 0, 0, 0, 3);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer), "offered");
    bed_turn(&bed, LIMIT_PULLSYNC_WANT_MS + 10);
    check(p.closed, "no wants");
    end();
}

TEST(who_takes_a_byte_now_and_then_is_reset)
{
    struct pullsync_server_status s;
    struct pullsync_offer offer;
    make(0);
    bed.payload = 4096; /* more than a window holds */
    bed_put(&bed, 0, 0, 0, 250);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    check(script_offer(&p, &offer) && offer.count == 250, "a page");
    p.sips = 400;
    script_want(&p, &offer, true);
    for (uint32_t ms = 0; ms < LIMIT_PULLSYNC_WRITE_MS; ms += 10000) {
        pullsync_server_status(server, &s);
        check(!p.closed && s.delivering == 1, "it holds a buffer");
        stream_resume(p.s);
        bed_turn(&bed, 10000);
    }
    bed_turn(&bed, 1000);
    check(p.closed && p.end, "not for longer than a minute");
    pullsync_server_status(server, &s);
    check(s.delivering == 0 && s.sessions == 0, "which is given back");
    end();
}

TEST(a_session_may_be_cut_at_each_step)
{
    struct pullsync_offer offer;
    make(100);
    bed_put(&bed, 0, 0, 0, 250);
    for (int cut = 0; cut < 6; cut++) {
        script_open(&p, (uint8_t)(10 + cut), false);
        if (cut == 0)
            bed_turn(&bed, 0); /* before its headers */
        if (cut >= 1)
            script_send(&p, "\0", 1); /* before its request */
        if (cut >= 2) {
            p.out_size = p.sent = 0;
            uint8_t buf[64];
            struct writer w = writer_of(buf, sizeof(buf));
            pullsync_get_encode(&w, &(struct pullsync_get){ 0, cut == 2 ? 251 : 1 });
            script_frame(&p, &w); /* parked, or offered */
        }
        if (cut >= 4) {
            check(script_offer(&p, &offer), "offered");
            script_want(&p, &offer, true); /* being delivered */
        }
        if (cut == 5) { /* the next waits for tokens */
            stream_finish(p.s);
            bed_turn(&bed, 10);
            script_open(&p, 15, false);
            script_ask(&p, 0, 1);
            check(script_offer(&p, &offer), "offered");
            script_want(&p, &offer, true);
        }
        stream_reset(p.s, 0);
        bed_turn(&bed, 1);
    }
    end(); /* all is given back */
}

TEST(without_memory_everybody_waits_and_is_served)
{
    enum { MANY = 12 };
    static struct script many[MANY];
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 260);
    bed_put(&bed, 0, 1, 0, 260);
    uint64_t hog = bed.mem->ceiling_bytes - bed.mem->used_bytes - 70000;
    check(mem_take(bed.mem, hog), "nearly all is taken");
    for (uint8_t i = 0; i < MANY; i++) {
        script_open(&many[i], i, false);
        script_ask(&many[i], i % 2, 1 + i / 2);
    }
    uint32_t served = 0;
    for (int round = 0; round < 50 && served < MANY; round++) {
        for (uint8_t i = 0; i < MANY; i++) {
            if (many[i].s && !many[i].fin && many[i].out_size < 20 &&
                script_offer(&many[i], &offer))
                script_want(&many[i], &offer, true);
            if (many[i].s && many[i].fin) {
                stream_finish(many[i].s);
                served++;
            }
        }
        bed_turn(&bed, 100);
    }
    check(served == MANY, "one after the other");
    mem_give(bed.mem, hog);
    end();
}

TEST(from_the_trigger_on_no_page_is_begun_and_nobody_is_reset)
{
    static struct script parked, leaves;
    struct pullsync_server_status s;
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 60);
    script_open(&p, 1, false);
    script_ask(&p, 0, 1);
    script_open(&parked, 3, false);
    script_ask(&parked, 1, 1);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&p, &offer), "a page from before");
    bed_hold(&bed, GOVERNOR_TRIGGER);
    script_want(&p, &offer, true);
    stream_finish(p.s);
    script_open(&q, 2, false);
    script_ask(&q, 0, 11);
    script_open(&leaves, 2, false);
    script_ask(&leaves, 0, 12);
    bed_put(&bed, 0, 1, 0, 3);
    bed_turn(&bed, 600 * 1000);
    check(script_deliveries(&p, &offer) == 60 && p.fin, "is brought to its end");
    check(p.closed, "and over");
    check(!script_offer(&q, &offer) && !script_offer(&parked, &offer), "others wait");
    check(q.s && parked.s && !q.fin && !parked.fin, "for as long as it takes");
    stream_reset(leaves.s, 0);
    bed_hold(&bed, GOVERNOR_TARGET);
    bed_turn(&bed, LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&q, &offer) && offer.count == 50, "and are served when it is left");
    check(script_offer(&parked, &offer) && offer.count == 3, "those who were parked, too");
    pullsync_server_status(server, &s);
    check(s.sessions == 2, "nobody was sent away");
    end();
}

TEST(a_peer_holds_no_more_pages_than_its_share)
{
    enum { MANY = LIMIT_PULLSYNC_PEER_PAGES + 4 };
    static struct script many[MANY];
    struct pullsync_server_status s;
    struct pullsync_offer offer;
    make(0);
    bed_put(&bed, 0, 0, 0, 100);
    for (uint8_t i = 0; i < MANY; i++) {
        script_open(&many[i], 1, false);
        script_ask(&many[i], 0, 1 + i);
    }
    script_open(&p, 2, false);
    script_ask(&p, 0, 50);
    bed_turn(&bed, 2 * LIMIT_PULLSYNC_PAGE_MS);
    pullsync_server_status(server, &s);
    check(s.pages == LIMIT_PULLSYNC_PEER_PAGES + 1, "its requests beyond wait");
    check(script_offer(&p, &offer), "another peer's do not");
    check(!script_offer(&many[MANY - 1], &offer), "this one waits");
    for (uint8_t i = 0; i < 4; i++)
        stream_reset(many[i].s, 0);
    bed_turn(&bed, 2 * LIMIT_PULLSYNC_PAGE_MS);
    check(script_offer(&many[MANY - 1], &offer), "until others of it have gone");
    end();
}

TEST(a_parked_stream_costs_bytes)
{
    enum { MANY = 4000 };
    static struct script *many;
    static struct stream *streams[MANY];
    make(0);
    many = calloc(1, sizeof(*many));
    uint64_t before = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        script_open(many, (uint8_t)(i % 64), false);
        streams[i] = many->s;
        script_ask(many, (uint8_t)(i % 32), 1);
        if (i == 99)
            before = bed.mem->used_bytes;
    }
    uint64_t each = (bed.mem->used_bytes - before) / (MANY - 100);
    printf("# %llu bytes per parked stream, both halves of the pair included\n",
           (unsigned long long)each);
    check(each < 2048, "a parked stream costs bytes");
    for (uint32_t i = 0; i < MANY; i++)
        stream_reset(streams[i], 0);
    bed_turn(&bed, 10);
    end();
    free(many);
}
