#include "node/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/curve.h"
#include "codec/multiaddr.h"
#include "core/governor.h"
#include "net/ethkey.h"
#include "net/identity.h"
#include "node/auth.h"
#include "node/p2p_room.h"
#include "store/stores_rows.h"
#include "swarm/identity.h"

uint32_t plan_memory_rows(const struct config *c, struct mem_row rows[PLAN_OWNERS_MAX])
{
#define OWNER(name_, kind_, floor_, share_, ceiling_, subsystem_, at_limit_)                       \
    { .name = #name_,                                                                              \
      .at_limit = at_limit_,                                                                       \
      .kind = MEM_##kind_,                                                                         \
      .floor_bytes = floor_,                                                                       \
      .share_percent = share_,                                                                     \
      .ceiling_percent = ceiling_,                                                                 \
      .enabled = config_section_on(c, OPTION_ID_SECTION_##subsystem_) },
    const struct mem_row all[] = {
#include "tables/owners.def"
    };
#undef OWNER
    static_assert(ARRAY_SIZE(all) <= PLAN_OWNERS_MAX, "more owners than their limit");
    for (uint32_t i = 0; i < ARRAY_SIZE(all); i++)
        rows[i] = all[i];
    return ARRAY_SIZE(all);
}

bool plan_memory_owner(const struct config *c, const char *name, struct mem_owner *out)
{
    struct mem_row rows[PLAN_OWNERS_MAX];
    struct mem_plan *plan = NULL;
    uint32_t count = plan_memory_rows(c, rows);
    if (mem_plan_create(&plan, governor_effective_bytes(c->memory, ""), rows, count, NULL))
        return false;
    const struct mem_owner *owner = mem_plan_find(plan, name);
    bool on = owner && owner->row.enabled;
    if (on)
        *out = *owner;
    if (on)
        out->plan = NULL;
    mem_plan_destroy(plan);
    return on;
}

bool plan_descriptors_row(const struct config *c, uint32_t i, struct plan_descriptors_row *out)
{
#define DESCRIPTORS(name_, section_, count_, sentence_)                                            \
    { #name_, sentence_,                                                                           \
      config_section_on(c, OPTION_ID_SECTION_##section_) ? (uint64_t)(count_) : 0 },
    const struct plan_descriptors_row all[] = {
#include "tables/descriptors.def"
    };
#undef DESCRIPTORS
    if (i >= ARRAY_SIZE(all))
        return false;
    *out = all[i];
    return true;
}

uint64_t plan_descriptors_needed(const struct config *c)
{
    struct plan_descriptors_row row;
    uint64_t sum = 0;
    for (uint32_t i = 0; plan_descriptors_row(c, i, &row); i++)
        sum += row.count;
    return sum;
}

enum err plan_descriptors_check(uint64_t needed, struct error *err)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return error_errno(err, ERR_SYSTEM, errno, "limit of file descriptors");
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < needed)
        return error_set(err, ERR_SYSTEM,
                         "%" PRIu64 " file descriptors are needed and the system allows %" PRIu64
                         "; raise the hard limit (LimitNOFILE of the service, ulimit -Hn)",
                         needed, (uint64_t)limit.rlim_max);
    return ERR_OK;
}

enum err plan_descriptors_raise(uint64_t needed, struct error *err)
{
    enum err rc = plan_descriptors_check(needed, err);
    struct rlimit limit;
    if (rc)
        return rc;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
        (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= needed))
        return ERR_OK;
    limit.rlim_cur = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit))
        return error_errno(err, ERR_SYSTEM, errno, "raising the limit of file descriptors");
    return ERR_OK;
}

/* called: we dial them, so that they must be of a kind we can dial. */
static enum err check_address(const char *text, bool called, struct error *err)
{
    uint8_t buf[LIMIT_MULTIADDR_BYTES];
    struct multiaddr_target target;
    struct writer w = writer_of(buf, sizeof(buf));
    enum err rc = multiaddr_from_text(text, strlen(text), &w, err);
    if (!rc && called && !multiaddr_target(bytes_of(buf, writer_used(&w)), &target))
        rc = error_set(err, ERR_CONFIG, "only TCP addresses and dnsaddr can be called");
    return rc ? error_wrap(err, ERR_CONFIG, "%s", text) : ERR_OK;
}

/* Not waiting for a pipe's other end, as the readers of a secret would. */
static enum err check_file(const char *path, struct error *err)
{
    struct stat st;
    enum err rc = ERR_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st))
        rc = error_errno(err, ERR_CONFIG, errno, "%s cannot be read", path);
    else if (!S_ISREG(st.st_mode))
        rc = error_set(err, ERR_CONFIG, "%s is no ordinary file", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

static enum err check_p2p_key(const char *path, struct error *err)
{
    struct peer_secret secret;
    enum err rc = identity_read(path, &secret, err);
    secret_wipe(&secret, sizeof(secret));
    return rc;
}

static enum err check_swarm_key(const char *path, struct error *err)
{
    uint8_t secret[SIG_SECRET_BYTES];
    enum err rc = ethkey_read(path, secret, err);
    secret_wipe(secret, sizeof(secret));
    return rc;
}

static enum err check_swarm_row(const struct config *c, uint32_t id, struct error *err)
{
    uint8_t nonce[OVERLAY_NONCE_BYTES];
    if (id == OPTION_ID_nonce && c->nonce[0])
        return swarm_nonce_parse(nonce, c->nonce, err);
    if (id == OPTION_ID_batches && c->batches[0])
        return check_file(c->batches, err);
    if (id == OPTION_ID_welcome_message && strlen(c->welcome_message) > LIMIT_SWARM_WELCOME_BYTES)
        return error_set(err, ERR_CONFIG, "it has %zu bytes, peers take %d",
                         strlen(c->welcome_message), LIMIT_SWARM_WELCOME_BYTES);
    return ERR_OK;
}

/* As their readers will at start. */
static enum err check_secret(const struct config *c, uint32_t id, struct error *err)
{
    if (id == OPTION_ID_p2p_key_file && c->p2p_key_file[0])
        return check_p2p_key(c->p2p_key_file, err);
    if (id == OPTION_ID_http_token_file && c->http_token_file[0])
        return auth_token_check(c->http_token_file, err);
    if (id == OPTION_ID_swarm_key && c->swarm_key[0])
        return check_swarm_key(c->swarm_key, err);
    return ERR_OK;
}

static enum err check_window(const struct config *c, uint32_t id, struct error *err)
{
    if ((id == OPTION_ID_p2p_rx_max && c->p2p_rx_max > 0 && c->p2p_rx_max < c->p2p_stream_window) ||
        (id == OPTION_ID_p2p_conn_rx_max && c->p2p_conn_rx_max < c->p2p_stream_window))
        return error_set(err, ERR_CONFIG,
                         "less than p2p-stream-window, which every stream may send");
    return ERR_OK;
}

/* Which option is wrong, and where it stands, are a part of the line. */
void plan_value_wrong(const struct config *c, uint32_t id, const struct error *err,
                      struct option_report *report)
{
    const struct option_given *given = &c->given_[id];
    const char *name = option_name(&config_rows[id]).text;
    if (given->source == OPTION_FILE && c->file)
        option_report_add(report, "%s:%u: %s: %s", c->file, given->line, name, err->text);
    else
        option_report_add(report, "%s: %s", name, err->text);
}

static void check_list(const struct config *c, uint32_t id, struct option_report *report)
{
    const uint8_t *field = (const uint8_t *)c + config_rows[id].offset;
    const struct option_list *list = (const struct option_list *)field;
    bool called = id == OPTION_ID_peers || id == OPTION_ID_bootnode;
    struct error err;
    for (uint32_t i = 0; i < list->count; i++)
        if (check_address(list->items[i], called, &err))
            plan_value_wrong(c, id, &err, report);
}

static void check_row(const struct config *c, uint32_t id, struct option_report *report)
{
    const struct option_row *row = &config_rows[id];
    const uint8_t *field = (const uint8_t *)c + row->offset;
    struct error err;
    enum err rc = ERR_OK;
    if (row->kind == OPTION_KIND_LIST && row->type == OPTION_TYPE_MULTIADDR)
        check_list(c, id, report);
    if (row->type == OPTION_TYPE_SECRET_FILE && **(const char *const *)field)
        rc = check_file(*(const char *const *)field, &err);
    rc = rc ? rc : check_secret(c, id, &err);
    rc = rc ? rc : check_swarm_row(c, id, &err);
    if (rc || check_window(c, id, &err))
        plan_value_wrong(c, id, &err, report);
}

void plan_values_check(const struct config *c, struct option_report *report)
{
    bool on = true; /* the section that the row stands in */
    for (uint32_t i = 0; i < OPTION_ID_COUNT; i++) {
        if (config_rows[i].kind == OPTION_KIND_SECTION)
            on = config_section_on(c, i);
        else if (on)
            check_row(c, i, report);
    }
    p2p_room_check(c, report);
}
