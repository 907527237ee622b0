#include "unit.h"

#include <string.h>

#include "core/loop.h"
#include "core/sem.h"

static struct loop *loop_new(void)
{
    struct loop *loop = NULL;
    struct error err = { ERR_OK, "" };
    check(loop_create(&loop, &err) == ERR_OK, err.text);
    return loop;
}

struct req {
    struct sem_waiter permit;
    char name;
};

static char trace[64];

static void on_permit(struct sem_waiter *w)
{
    struct req *r = container_of(w, struct req, permit);
    size_t used = strlen(trace);
    check(used + 1 < sizeof(trace), "no call is doubled");
    trace[used] = r->name;
    trace[used + 1] = '\0';
}

/* One line is a script: a letter acquires for that request, +x releases x, !x hurries x, ^n sets
 * the limit, a dot runs the loop till it is quiet. */
static const struct {
    const char *why;
    uint32_t limit;
    const char *script, *trace;
    uint32_t in_use, waiting; /* at the end of the script, before all are released */
} cases[] = {
    { "never inside the call", 2, "ab", "", 2, 0 },
    { "permits up to the limit", 2, "abc.", "ab", 2, 1 },
    { "first come, first served", 1, "abcd.+a.+b.+c.", "abcd", 1, 0 },
    { "a newcomer does not overtake", 1, "ab.+ac.", "ab", 1, 1 },
    { "a release before the turn passes the permit on", 1, "a.b+ac.", "ab", 1, 1 },
    { "hurried: called without a permit, the others wait on", 1, "abc.!b.", "ab", 1, 1 },
    { "releasing a hurried one frees nothing", 1, "abc.!b.+b.", "ab", 1, 1 },
    { "hurry comes too late for one on its way", 1, "a!a.", "a", 1, 0 },
    { "hurry comes too late for one that has it", 1, "a.!a.", "a", 1, 0 },
    { "hurry without acquire is nothing", 1, "!a.", "", 0, 0 },
    { "releasing twice is releasing once", 2, "ab.+a+ac.+c+c.", "abc", 1, 0 },
    { "a released one may come again", 1, "ab.+aa.+b.", "aba", 1, 0 },
    { "a higher limit lets more in", 1, "abcd.^3.", "abc", 3, 1 },
    { "a lower limit takes none back", 3, "abcd.^1.+a.+b.", "abc", 1, 1 },
    { "and is reached as they come back", 3, "abcd.^1.+a.+b.+c.", "abcd", 1, 0 },
    { "a limit of zero lets nobody in until it is raised", 2, "ab.^0.+a+b.cd.!d.^1.", "abdc", 1,
      0 },
    { "all wait, all are hurried", 1, "abcd.!d!c!b.+a.", "adcb", 0, 0 },
};

static void play(struct loop *loop, struct sem *sem, struct req *reqs, const char *script)
{
    for (const char *at = script; *at; at++) {
        if (*at == '.')
            loop_run(loop);
        else if (*at == '+')
            sem_release(&reqs[*++at - 'a'].permit);
        else if (*at == '!')
            sem_hurry(&reqs[*++at - 'a'].permit);
        else if (*at == '^')
            sem_limit_set(sem, (uint32_t)(*++at - '0'));
        else
            sem_acquire(sem, &reqs[*at - 'a'].permit, on_permit);
    }
}

TEST(permits_are_granted_in_order)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct loop *loop = loop_new();
        struct sem sem;
        struct req reqs[4] = { { .name = 'a' }, { .name = 'b' }, { .name = 'c' }, { .name = 'd' } };
        sem_start(&sem, loop, cases[i].limit);
        trace[0] = '\0';
        play(loop, &sem, reqs, cases[i].script);
        check(!strcmp(trace, cases[i].trace), cases[i].why);
        check(sem.in_use == cases[i].in_use && sem.waiting == cases[i].waiting, cases[i].why);
        loop_run(loop);
        for (int round = 0; round < 4; round++) {
            for (int k = 0; k < 4; k++)
                if (reqs[k].permit.state_ != SEM_WAITING &&
                    !deferred_pending(&reqs[k].permit.later_))
                    sem_release(&reqs[k].permit);
            loop_run(loop);
        }
        sem_end(&sem); /* asserts that nothing is out */
        loop_destroy(loop);
    }
}

TEST(waiting_is_measured_on_the_loops_clock)
{
    struct loop *loop = loop_new();
    struct sem sem;
    struct req a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };
    trace[0] = '\0';
    loop_clock_set(loop, 1000, 0);
    sem_start(&sem, loop, 1);
    sem_acquire(&sem, &a.permit, on_permit);
    sem_acquire(&sem, &b.permit, on_permit);
    sem_acquire(&sem, &c.permit, on_permit);
    loop_clock_turn(loop, 250);
    check(sem.waited_ms == 0, "a did not wait, b still does");
    sem_release(&a.permit);
    loop_clock_turn(loop, 50);
    check(sem.waited_ms == 250, "b waited");
    sem_hurry(&c.permit);
    loop_clock_turn(loop, 1);
    sem_release(&c.permit);
    check(sem.waited_ms == 250, "c never had a permit");
    sem_release(&b.permit);
    sem_end(&sem);
    loop_destroy(loop);
}
