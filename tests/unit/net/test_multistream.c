#include "unit.h"
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/multistream.h"

/* A listener that serves the vector's protocols, fed in pieces of the given size (0: at random). */
struct listener {
    struct multistream m;
    uint8_t sent[4096];
    struct writer out;
    char selected[LIMIT_MULTISTREAM_NAME_BYTES + 1];
    enum multistream_event last;
};

static void listener_feed(struct listener *l, struct bytes in, size_t piece)
{
    multistream_listen(&l->m);
    l->out = writer_of(l->sent, sizeof(l->sent));
    l->selected[0] = '\0';
    multistream_put(&l->out, MULTISTREAM_HEADER);
    for (size_t at = 0; at < in.size;) {
        size_t most = piece ? piece : 1 + (size_t)rand() % 7, n = MIN(in.size - at, most);
        size_t used = multistream_feed(&l->m, bytes_of(in.data + at, n), &l->last, NULL);
        check(used > 0 && used <= n, "something is taken");
        at += used;
        if (l->last == MULTISTREAM_FAILED)
            return;
        if (l->last != MULTISTREAM_PROPOSAL)
            continue;
        bool ok = !strcmp(l->m.text, "/ipfs/id/1.0.0") || !strcmp(l->m.text, "/ipfs/ping/1.0.0");
        multistream_answer(&l->m, ok, &l->out);
        if (ok) {
            snprintf(l->selected, sizeof(l->selected), "%s", l->m.text);
            return;
        }
    }
}

TEST(negotiations_of_the_vectors_in_pieces)
{
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "multistream");
    yajl_val all = vector_get(v, "negotiations");
    for (size_t i = 0; i < vector_count(all); i++) {
        yajl_val one = vector_at(all, i);
        uint8_t in[256], want[256];
        struct bytes sends = bytes_of(in, vector_hex(one, "client_sends", in, sizeof(in)));
        size_t want_size = vector_hex(one, "server_sends", want, sizeof(want));
        for (size_t piece = 0; piece <= sends.size; piece++) {
            struct listener l;
            listener_feed(&l, sends, piece);
            check(!strcmp(l.selected, vector_text(one, "selected")), "selected");
            check(writer_used(&l.out) == want_size && !memcmp(l.sent, want, want_size), "answers");
        }
    }
}

TEST(tokens_of_the_vectors)
{
    yajl_val v = vector_get(vectors_load("libp2p-vectors.json"), "multistream");
    static const char *const tokens[][2] = { { "token_header", MULTISTREAM_HEADER },
                                             { "token_na", "na" },
                                             { "token_noise", "/noise" },
                                             { "token_yamux", "/yamux/1.0.0" } };
    for (size_t i = 0; i < ARRAY_SIZE(tokens); i++) {
        uint8_t want[64], got[64];
        size_t size = vector_hex(v, tokens[i][0], want, sizeof(want));
        struct writer w = writer_of(got, sizeof(got));
        multistream_put(&w, tokens[i][1]);
        check(writer_used(&w) == size && !memcmp(want, got, size), tokens[i][0]);
    }
}

/* The bytes behind the accepted proposal are left to the protocol, in the very same segment. */
TEST(a_lazy_first_write)
{
    yajl_val v = vector_get(vector_get(vectors_load("libp2p-vectors.json"), "multistream"),
                            "lazy_first_write");
    uint8_t wire[64], ours[64];
    size_t size = vector_hex(v, "wire", wire, sizeof(wire));
    struct multistream m;
    enum multistream_event ev;
    multistream_listen(&m);
    size_t used = multistream_feed(&m, bytes_of(wire, size), &ev, NULL);
    check(ev == MULTISTREAM_PROPOSAL && !strcmp(m.text, "/ipfs/ping/1.0.0"), "proposal");
    check(used == size - 2 && wire[used] == 0xaa, "two bytes are the application's");
    struct writer w = writer_of(ours, sizeof(ours));
    multistream_dial(&m, "/ipfs/ping/1.0.0", &w);
    check(writer_used(&w) == size - 2 && !memcmp(ours, wire, size - 2), "we write the same");
}

TEST(a_dialer_tries_its_choices)
{
    static const char answers[] = "\x13/multistream/1.0.0\n\x03na\n\x03/b\nrest";
    for (size_t piece = 1; piece < sizeof(answers); piece++) {
        struct multistream m;
        uint8_t out[128];
        struct writer w = writer_of(out, sizeof(out));
        enum multistream_event ev = MULTISTREAM_MORE;
        multistream_dial(&m, "/a", &w);
        size_t at = 0;
        while (ev != MULTISTREAM_ACCEPTED) {
            at += multistream_feed(&m, bytes_of(answers + at, MIN(piece, sizeof(answers) - 1 - at)),
                                   &ev, NULL);
            check(ev != MULTISTREAM_FAILED, "goes on");
            if (ev == MULTISTREAM_REFUSED)
                check(multistream_propose(&m, "/b", &w), "a second choice");
        }
        check(!strcmp(answers + at, "rest"), "the rest is left");
    }
}

static const struct {
    const char *why, *bytes;
    size_t size;
    bool dialer;
} bad[] = {
    { "length 0", "\0", 1, false },
    { "no newline", "\x03nax", 4, false },
    { "a length in two bytes that fits one", "\x83\x00", 2, false },
    { "1025 bytes", "\x81\x08", 2, false },
    { "a length of three bytes", "\x80\x80", 2, false },
    { "another version", "\x13/multistream/2.0.0\n", 20, false },
    { "a protocol in place of the header", "\x07/noise\n", 8, false },
    { "another answer than asked", "\x13/multistream/1.0.0\n\x03/b\n", 24, true },
};

TEST(what_a_negotiation_does_not_survive)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct multistream m;
        uint8_t out[64];
        struct writer w = writer_of(out, sizeof(out));
        enum multistream_event ev;
        struct error err = { ERR_OK, "" };
        if (bad[i].dialer)
            multistream_dial(&m, "/a", &w);
        else
            multistream_listen(&m);
        multistream_feed(&m, bytes_of(bad[i].bytes, bad[i].size), &ev, &err);
        check(ev == MULTISTREAM_FAILED && err.code == ERR_PROTOCOL, bad[i].why);
    }
}

TEST(long_names_get_na_and_many_proposals_end)
{
    struct multistream m;
    enum multistream_event ev;
    uint8_t token[1026] = { 0x80, 0x08 }, out[2048];
    struct writer w = writer_of(out, sizeof(out));
    multistream_listen(&m);
    multistream_put(&w, MULTISTREAM_HEADER);
    multistream_feed(&m, bytes_of(out, writer_used(&w)), &ev, NULL);
    memset(token + 2, '/', 1023);
    token[1025] = '\n';
    for (int i = 0; i < LIMIT_MULTISTREAM_PROPOSALS; i++) {
        for (size_t at = 0; at < sizeof(token);)
            at +=
                multistream_feed(&m, bytes_of(token + at, MIN(sizeof(token) - at, 100)), &ev, NULL);
        check(ev == MULTISTREAM_PROPOSAL && m.text_size == 1023, "1024 bytes with the newline");
    }
    for (size_t at = 0; at < sizeof(token) && ev != MULTISTREAM_FAILED;)
        at += multistream_feed(&m, bytes_of(token + at, sizeof(token) - at), &ev, NULL);
    check(ev == MULTISTREAM_FAILED, "the 17th proposal");
    multistream_dial(&m, "/a", &w);
    for (int i = 1; i < LIMIT_MULTISTREAM_PROPOSALS; i++) {
        w = writer_of(out, sizeof(out));
        check(multistream_propose(&m, "/b", &w), "we may try as often");
    }
    check(!multistream_propose(&m, "/b", &w), "and no more");
}

static const struct {
    const char *served, *asked;
    bool match;
} versions[] = {
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0/pullsync", true },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.3.9/pullsync", true },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.5.0/pullsync", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/2.0.0/pullsync", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0/cursors", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4/pullsync", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0/pullsync/x", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.x/pullsync", false },
    { "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.1111111.0/pullsync", false },
    { "/ipfs/id/1.0.0", "/ipfs/id/1.0.7", true },
};

TEST(versions_match_as_bee_matches_them)
{
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++)
        check(multistream_semver_match(versions[i].served, versions[i].asked,
                                       strlen(versions[i].asked)) == versions[i].match,
              versions[i].asked);
}
