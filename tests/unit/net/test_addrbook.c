#include "unit.h"

#include <stdio.h>

#include "base/mem.h"
#include "core/loop.h"
#include "net/addrbook.h"
#include "net/marks.h"

static const struct mem_row rows[] = {
    { "p2p", "refused", MEM_ELASTIC, 16 * MiB, 10, 50, true },
};

static struct loop *loop;
static struct mem_plan *plan;
static struct mem_owner *mem;
static struct addrbook *book;

static void begin(void)
{
    check(!loop_create(&loop, NULL), "loop");
    loop_clock_set(loop, 1000, 1000);
    check(!mem_plan_create(&plan, 1 * GiB, rows, ARRAY_SIZE(rows), NULL), "plan");
    mem = mem_plan_find(plan, "p2p");
    check(!addrbook_create(&book, loop, mem, NULL), "book");
}

static void end(void)
{
    addrbook_destroy(book);
    check(mem->used_bytes == 0, "all is given back");
    mem_plan_destroy(plan);
    loop_destroy(loop);
}

static struct peer_id peer(uint32_t n)
{
    struct peer_id id = { .len = 38, .bytes = { 0, 36 } };
    memcpy(id.bytes + 2, &n, sizeof(n));
    return id;
}

static void learn(uint32_t n, const char *bytes, enum host_source source)
{
    struct peer_id id = peer(n);
    addrbook_learn(book, &id, bytes_of(bytes, strlen(bytes)), source);
}

static char seen[8192];
static void each(void *ctx UNUSED, struct bytes a)
{
    snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%.*s ", (int)a.size,
             (const char *)a.data);
}
static const char *of(uint32_t n)
{
    struct peer_id id = peer(n);
    seen[0] = '\0';
    addrbook_each(book, &id, each, NULL);
    return seen;
}

static void later(uint64_t ms)
{
    loop_clock_set(loop, loop_now_ms(loop) + ms, 1000);
}

TEST(the_surer_and_the_fresher_come_first)
{
    begin();
    learn(1, "told", HOST_TOLD);
    learn(1, "ours", HOST_CONFIGURED);
    learn(1, "said", HOST_IDENTIFIED);
    learn(1, "new", HOST_TOLD);
    check(!strcmp(of(1), "ours said new told "), seen);
    learn(1, "ours", HOST_TOLD);
    check(!strcmp(of(1), "ours said new told "), "what is sure stays so");
    learn(1, "told", HOST_IDENTIFIED);
    check(!strcmp(of(1), "ours told said new "), seen);
    check(!strcmp(of(2), ""), "a stranger");
    end();
}

TEST(addresses_age_by_who_said_so)
{
    begin();
    learn(1, "told", HOST_TOLD);
    learn(1, "said", HOST_IDENTIFIED);
    learn(1, "ours", HOST_CONFIGURED);
    later(LIMIT_P2P_BOOK_TOLD_MS);
    check(!strcmp(of(1), "ours said "), seen);
    struct peer_id id = peer(1);
    addrbook_seen(book, &id);
    later(LIMIT_P2P_BOOK_IDENTIFIED_MS - 1);
    check(!strcmp(of(1), "ours said "), "it was here until then");
    later(1);
    check(!strcmp(of(1), "ours "), seen);
    learn(1, "again", HOST_TOLD); /* takes the old ones out */
    check(!strcmp(of(1), "ours again "), seen);
    end();
}

TEST(a_peer_has_so_many_addresses_and_bytes)
{
    begin();
    char text[16], big[LIMIT_P2P_BOOK_PEER_BYTES + 2];
    for (int i = 0; i < 2 * LIMIT_P2P_BOOK_ADDRESSES; i++) {
        snprintf(text, sizeof(text), "a%02d", i);
        learn(1, text, HOST_TOLD);
    }
    check(strlen(of(1)) == LIMIT_P2P_BOOK_ADDRESSES * 4 && !strncmp(seen, "a31 ", 4), seen);
    memset(big, 'x', sizeof(big));
    big[1000] = '\0';
    learn(1, big, HOST_IDENTIFIED);
    big[0] = 'y';
    learn(1, big, HOST_IDENTIFIED);
    big[0] = 'z';
    learn(1, big, HOST_IDENTIFIED);
    check(strlen(of(1)) <= LIMIT_P2P_BOOK_PEER_BYTES + 32 && seen[0] == 'z', "the newest fit");
    learn(1, "weak", HOST_TOLD);
    big[0] = 'w';
    learn(1, big, HOST_TOLD);
    check(!strchr(of(1), 'w') || strstr(seen, "weak"), "the surer make no room for the weaker");
    big[1000] = 'x';
    big[sizeof(big) - 1] = '\0';
    learn(2, big, HOST_CONFIGURED);
    check(!strcmp(of(2), ""), "one that is too long");
    end();
}

TEST(peers_have_a_bound_and_wanted_ones_stay)
{
    begin();
    struct peer_id wanted = peer(0);
    check(addrbook_tag(book, &wanted, 2, true) && addrbook_tag(book, &wanted, 4, true), "tagged");
    learn(0, "home", HOST_TOLD);
    for (uint32_t i = 1; i < LIMIT_P2P_BOOK_PEERS + 100; i++)
        learn(i, "a", HOST_TOLD);
    check(addrbook_count(book) == LIMIT_P2P_BOOK_PEERS, "no more");
    check(!strcmp(of(0), "home ") && addrbook_tags(book, &wanted) == 6, "the wanted one is there");
    check(!strcmp(of(1), "") && !strcmp(of(1000), "a "), "the oldest are not");
    check(addrbook_tag(book, &wanted, 2, false) && addrbook_tags(book, &wanted) == 4, "one tag");
    struct peer_id stranger = peer(999999);
    check(addrbook_tag(book, &stranger, 2, false), "nothing to take away");
    check(addrbook_count(book) == LIMIT_P2P_BOOK_PEERS, "makes no entry");
    end();
}

TEST(a_book_of_wanted_peers_takes_no_more)
{
    begin();
    for (uint32_t i = 0; i < LIMIT_P2P_BOOK_PEERS; i++) {
        struct peer_id id = peer(i);
        check(addrbook_tag(book, &id, 1, true), "room");
    }
    struct peer_id one_more = peer(999999);
    check(!addrbook_tag(book, &one_more, 1, true), "no room");
    learn(999999, "a", HOST_TOLD);
    check(!strcmp(of(999999), ""), "nor for its address");
    end();
}

TEST(without_memory_nothing_is_remembered)
{
    begin();
    for (uint64_t n = 1; n < 4; n++) {
        mem_fault_at(n);
        learn((uint32_t)n, "a", HOST_TOLD);
        mem_fault_at(0);
    }
    check(!strcmp(of(1), "") && !strcmp(of(2), "") && !strcmp(of(3), "a "), "two takes each");
    end();
}

TEST(marks_of_many_keys_cost_no_more_than_their_table)
{
    begin();
    struct marks *m;
    check(!marks_create(&m, loop, mem, NULL), "marks");
    uint64_t used = mem->used_bytes, hits = limit_hits(LIMIT_ID_P2P_MARKS);
    check(!marks_find(m, bytes_of("a", 1), false), "none yet");
    marks_find(m, bytes_of("a", 1), true)->count = 7;
    check(marks_find(m, bytes_of("a", 1), false)->count == 7, "is kept");
    for (uint32_t i = 0; i < 100 * LIMIT_P2P_MARKS; i++) {
        later(1);
        marks_find(m, bytes_of(&i, sizeof(i)), true)->count = 1;
        check(marks_find(m, bytes_of("a", 1), true)->count == 7, "what is in use stays");
    }
    check(mem->used_bytes == used, "no memory");
    check(limit_hits(LIMIT_ID_P2P_MARKS) > hits, "others gave way");
    marks_forget(m, bytes_of("a", 1));
    marks_forget(m, bytes_of("b", 1));
    check(!marks_find(m, bytes_of("a", 1), false), "forgotten");
    marks_destroy(m);
    end();
}
