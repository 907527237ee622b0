#include "unit.h"

#include "net/protocols.h"

static const struct {
    const char *why, *served, *asked;
    bool want;
} cases[] = {
    { "the same", "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0/pullsync", true },
    { "an older minor version asks", "/swarm/pullsync/1.4.0/pullsync",
      "/swarm/pullsync/1.3.0/pullsync", true },
    { "a newer one asks for what we may lack", "/swarm/pullsync/1.4.0/pullsync",
      "/swarm/pullsync/1.5.0/pullsync", false },
    { "the patch number is as it likes", "/swarm/pullsync/1.4.0/pullsync",
      "/swarm/pullsync/1.4.9/pullsync", true },
    { "another major version", "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/2.0.0/pullsync",
      false },
    { "an older major version too", "/swarm/x/2.4.0/x", "/swarm/x/1.4.0/x", false },
    { "another stream of the protocol", "/swarm/pullsync/1.4.0/pullsync",
      "/swarm/pullsync/1.4.0/cursors", false },
    { "another protocol", "/swarm/pullsync/1.4.0/pullsync", "/swarm/pushsync/1.4.0/pullsync",
      false },
    { "less", "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0", false },
    { "more", "/swarm/pullsync/1.4.0/pullsync", "/swarm/pullsync/1.4.0/pullsync/x", false },
    { "two numbers are no version", "/swarm/x/1.4.0/x", "/swarm/x/1.4/x", false },
    { "a word is no number", "/swarm/x/1.4.0/x", "/swarm/x/1.a.0/x", false },
    { "a leading zero", "/swarm/x/1.4.0/x", "/swarm/x/1.04.0/x", false },
    { "a number beyond all numbers", "/swarm/x/1.4.0/x", "/swarm/x/1.00000000004.0/x", false },
    { "something behind the version", "/swarm/x/1.4.0/x", "/swarm/x/1.4.0-rc1/x", false },
    { "nothing at all", "/swarm/x/1.4.0/x", "", false },
};

TEST(versions_as_bee_compares_them)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check(protocol_match_semver(cases[i].served, cases[i].asked, strlen(cases[i].asked)) ==
                  cases[i].want,
              cases[i].why);
}

TEST(rows_become_protocols)
{
    static const struct stream_ops ops = { 0 };
    struct protocol p;
    protocol_init(&p, PROTOCOL_ping, &ops, &p);
    check(!strcmp(p.name, "/ipfs/ping/1.0.0") && p.in_per_peer_max == 2, "ping");
    check(p.row == PROTOCOL_ping && p.ops == &ops && p.ctx == &p && !p.match, "its handler");
    for (unsigned i = PROTOCOL_OTHER + 1; i < PROTOCOL_COUNT; i++) {
        const char *id = protocol_id((enum protocol_row)i);
        check(protocol_rows_served(id, strlen(id)) >> i & 1, id);
        check(strlen(id) <= LIMIT_MULTISTREAM_NAME_BYTES, "is short enough to be proposed");
    }
    check(protocol_rows_served("/ipfs/ping/1.0.1", 16) == 0, "no row");
    check(protocol_rows_served("/ipfs/ping/1.0.0", 15) == 0, "cut short");
    check(protocol_rows_served("/ipfs/ping/1.0.0\0", 17) == 0, "with a NUL");
}
