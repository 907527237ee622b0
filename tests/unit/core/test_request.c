/* The shape of every asynchronous operation (start, admitted, worker, done, finish), a million
 * times, with cancels at random moments: each callback comes exactly once, and at the end nothing
 * is out. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "core/loop.h"
#include "core/sem.h"
#include "core/timer.h"
#include "core/work.h"

enum { SESSIONS = 300, PERMITS = 40, LANES = 3 };
enum { ROUNDS = 1000000 };

struct world {
    struct loop *loop;
    struct work_pool *pool;
    struct sem sem;
    struct work_lane lanes[LANES];
    struct session *sessions;
    uint64_t started, finished, canceled, answered, refused;
    uint32_t holding; /* by our own count */
};

struct request;
typedef void request_cb(struct request *req, const struct error *err);
struct request {
    uint64_t number; /* in */
    uint64_t square; /* out */
    request_cb *cb;
    struct world *world_;
    struct sem_waiter permit_;
    struct work work_;
    bool canceled_;
};

static const struct error request_canceled = { ERR_CANCELED, "canceled by its session" };

static void request_finish(struct request *req, const struct error *err)
{
    req->world_->holding -= req->permit_.state_ == SEM_GRANTED;
    sem_release(&req->permit_);
    req->cb(req, req->canceled_ ? &request_canceled : err);
}

static enum err request_run(struct work *w, struct error *err)
{
    struct request *req = container_of(w, struct request, work_);
    req->square = req->number * req->number;
    return req->number % 7 == 0 ? error_set(err, ERR_NOT_FOUND, "%" PRIu64, req->number) : ERR_OK;
}

static void request_done(struct work *w, const struct error *err)
{
    request_finish(container_of(w, struct request, work_), err);
}

static void request_admitted(struct sem_waiter *permit)
{
    struct request *req = container_of(permit, struct request, permit_);
    struct world *wd = req->world_;
    wd->holding += permit->state_ == SEM_GRANTED;
    check(wd->holding <= PERMITS, "the semaphore holds");
    if (req->canceled_ || req->number % 4 == 0) { /* a quarter needs no worker */
        req->square = req->number * req->number;
        request_finish(req, NULL);
    } else if (req->number % 4 == 1) {
        work_submit_write(&wd->lanes[req->number % LANES], &req->work_, request_run, request_done);
    } else {
        work_submit(wd->pool, &req->work_, req->number % 4 == 2 ? WORK_READ : WORK_CPU, request_run,
                    request_done);
    }
}

static void request_start(struct world *wd, struct request *req)
{
    req->world_ = wd;
    req->canceled_ = false;
    sem_acquire(&wd->sem, &req->permit_, request_admitted);
}

static void request_cancel(struct request *req)
{
    req->canceled_ = true;
    work_cancel(&req->work_);
    sem_hurry(&req->permit_);
}

/* A session has one request out at a time and starts the next in its callback, or a turn later. */
struct session {
    struct request req;
    struct world *world;
    struct deferred next;
    struct timer stop;
    bool out;
};

static void session_start(struct session *s);

static void on_next(struct deferred *d)
{
    session_start(container_of(d, struct session, next));
}

static uint64_t dice(struct world *wd, uint64_t sides)
{
    return loop_random_below(wd->loop, sides);
}

/* Cancels somebody: at any step of its request, or between two. */
static void cancel_anyone(struct world *wd)
{
    struct session *victim = &wd->sessions[dice(wd, SESSIONS)];
    if (victim->out)
        request_cancel(&victim->req);
}

static void on_stop(struct timer *t)
{
    struct session *s = container_of(t, struct session, stop);
    if (s->out)
        request_cancel(&s->req);
}

static void on_request(struct request *req, const struct error *err)
{
    struct session *s = container_of(req, struct session, req);
    struct world *wd = s->world;
    check(s->out, "a callback for each start, and no second one");
    s->out = false;
    wd->finished++;
    if (err && err->code == ERR_CANCELED) {
        wd->canceled++;
    } else {
        bool refused = err && err->code == ERR_NOT_FOUND;
        check(!err || refused, err ? err->text : "");
        check(req->square == req->number * req->number, "the answer is its own");
        check(refused == (req->number % 4 != 0 && req->number % 7 == 0), "and so is the error");
        wd->answered += !refused;
        wd->refused += refused;
    }
    if (dice(wd, 4) == 0)
        cancel_anyone(wd);
    if (dice(wd, 2))
        session_start(s);
    else
        loop_defer(wd->loop, &s->next, on_next);
}

static void session_start(struct session *s)
{
    struct world *wd = s->world;
    if (wd->started == ROUNDS)
        return;
    s->req.number = wd->started++;
    s->req.cb = on_request;
    s->out = true;
    uint64_t finished = wd->finished;
    request_start(wd, &s->req);
    uint64_t die = dice(wd, 32);
    if (die == 0)
        request_cancel(&s->req);
    else if (die == 1)
        timer_set(&s->stop, 1 + dice(wd, 3));
    check(wd->finished == finished && s->out, "no callback inside start or cancel");
}

static void world_open(struct world *wd)
{
    struct error err = { ERR_OK, "" };
    struct work_options options = { .read_workers = 2, .cpu_workers = 2 };
    check(loop_create(&wd->loop, &err) == ERR_OK, err.text);
    check(work_pool_create(&wd->pool, wd->loop, &options, &err) == ERR_OK, err.text);
    loop_random_seed(wd->loop, 20240229);
    sem_start(&wd->sem, wd->loop, PERMITS);
    for (int i = 0; i < LANES; i++)
        work_lane_init(&wd->lanes[i], wd->pool);
    wd->sessions = calloc(SESSIONS, sizeof(*wd->sessions));
    for (int i = 0; i < SESSIONS; i++) {
        wd->sessions[i].world = wd;
        timer_init(&wd->sessions[i].stop, wd->loop, on_stop, "stop");
        session_start(&wd->sessions[i]);
    }
}

static void world_close(struct world *wd) /* every assert of these is "nothing is out" */
{
    sem_end(&wd->sem);
    for (int i = 0; i < LANES; i++)
        work_lane_finish(&wd->lanes[i]);
    work_pool_destroy(wd->pool);
    loop_destroy(wd->loop);
    free(wd->sessions);
}

TEST(a_million_requests_each_called_back_once)
{
    struct world wd = { 0 };
    world_open(&wd);
    loop_run(wd.loop);
    check(wd.started == ROUNDS && wd.finished == ROUNDS, "each start has its callback");
    for (int i = 0; i < SESSIONS; i++)
        check(!wd.sessions[i].out, "nobody waits for ever");
    check(wd.holding == 0, "every permit came back");
    /* The dice see to it that each kind of end happens often. */
    check(wd.canceled > ROUNDS / 10 && wd.answered > ROUNDS / 10 && wd.refused > ROUNDS / 100,
          "all ends were met");
    uint64_t jobs = 0, taken_out = 0;
    for (int c = 0; c < WORK_CLASS_COUNT; c++) {
        jobs += work_stats(wd.pool, c)->finished;
        taken_out += work_stats(wd.pool, c)->canceled;
    }
    check(jobs > ROUNDS / 4 && taken_out > ROUNDS / 1000, "by worker, and out of the wait lists");
    world_close(&wd);
}
