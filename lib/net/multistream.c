#include "net/multistream.h"

#include "base/varint.h"

void multistream_listen(struct multistream *m)
{
    *m = (struct multistream){ 0 };
}

void multistream_put(struct writer *out, const char *text)
{
    size_t size = strlen(text);
    writer_uvarint(out, size + 1);
    writer_put(out, text, size);
    writer_u8(out, '\n');
}

void multistream_dial(struct multistream *m, const char *proposal, struct writer *out)
{
    *m = (struct multistream){ .asked = proposal, .proposals_ = 1 };
    multistream_put(out, MULTISTREAM_HEADER);
    multistream_put(out, proposal);
}

bool multistream_propose(struct multistream *m, const char *proposal, struct writer *out)
{
    assert(m->asked);
    if (m->proposals_ >= LIMIT_MULTISTREAM_PROPOSALS)
        return false;
    m->proposals_++;
    m->asked = proposal;
    multistream_put(out, proposal);
    return true;
}

void multistream_answer(const struct multistream *m, bool accept, struct writer *out)
{
    assert(!m->asked && (!accept || m->text_size <= LIMIT_MULTISTREAM_NAME_BYTES));
    multistream_put(out, accept ? m->text : MULTISTREAM_NA);
}

static enum multistream_event failed(struct error *err, const char *text)
{
    error_set(err, ERR_PROTOCOL, "multistream: %s", text);
    return MULTISTREAM_FAILED;
}

/* One byte of the length; at most two, since a token has at most 1024 bytes. */
static enum multistream_event length_byte(struct multistream *m, uint8_t b, struct error *err)
{
    bool second = m->have_ == 1;
    if (second && b == 0)
        return failed(err, "a length that is not in its shortest form");
    m->size_ = second ? (uint16_t)(m->size_ | (b & 0x7f) << 7) : b & 0x7f;
    m->have_++;
    if (b & 0x80 && !second)
        return MULTISTREAM_MORE;
    if (b & 0x80 || !LIMIT_CHECK(MULTISTREAM_TOKEN_BYTES, m->size_))
        return failed(err, "a token longer than allowed");
    if (m->size_ == 0)
        return failed(err, "a token without a newline");
    m->sized_ = true;
    m->have_ = 0;
    m->text_size = 0;
    return MULTISTREAM_MORE;
}

static bool text_is(const struct multistream *m, const char *text)
{
    return m->text_size == strlen(text) && memcmp(m->text, text, m->text_size) == 0;
}

static enum multistream_event token_done(struct multistream *m, struct error *err)
{
    m->text[MIN(m->text_size, LIMIT_MULTISTREAM_NAME_BYTES)] = '\0';
    m->sized_ = false;
    m->have_ = 0;
    if (!m->greeted_) {
        m->greeted_ = true;
        return text_is(m, MULTISTREAM_HEADER)
                   ? MULTISTREAM_MORE
                   : failed(err, "the other side speaks another version");
    }
    if (m->asked) {
        if (text_is(m, m->asked))
            return MULTISTREAM_ACCEPTED;
        return text_is(m, MULTISTREAM_NA) ? MULTISTREAM_REFUSED
                                          : failed(err, "an answer to what was not asked");
    }
    if (!LIMIT_CHECK(MULTISTREAM_PROPOSALS, ++m->proposals_))
        return failed(err, "too many proposals");
    return MULTISTREAM_PROPOSAL;
}

/* Bytes of the text, kept as far as there is room: a longer name is none of ours. */
static size_t text_bytes(struct multistream *m, struct bytes in)
{
    size_t n = MIN(in.size, (size_t)(m->size_ - 1 - m->have_));
    size_t room = sizeof(m->text) - 1 - MIN(m->have_, sizeof(m->text) - 1);
    memcpy(m->text + MIN(m->have_, sizeof(m->text) - 1), in.data, MIN(n, room));
    m->have_ = (uint16_t)(m->have_ + n);
    m->text_size = m->have_;
    return n;
}

size_t multistream_feed(struct multistream *m, struct bytes in, enum multistream_event *event,
                        struct error *err)
{
    size_t used = 0;
    *event = MULTISTREAM_MORE;
    while (used < in.size && *event == MULTISTREAM_MORE) {
        if (!m->sized_) {
            *event = length_byte(m, in.data[used++], err);
        } else if (m->have_ < m->size_ - 1) {
            used += text_bytes(m, bytes_of(in.data + used, in.size - used));
        } else if (in.data[used++] == '\n') {
            *event = token_done(m, err);
        } else {
            *event = failed(err, "a token without a newline");
        }
    }
    return used;
}

/* MAJOR.MINOR.PATCH up to the next slash or the end; false when it is none. Moves *at behind it. */
static bool version_read(const char **at, const char *end, unsigned version[3])
{
    for (int i = 0; i < 3; i++) {
        unsigned digits = 0;
        version[i] = 0;
        for (; *at < end && **at >= '0' && **at <= '9' && digits < 6; (*at)++, digits++)
            version[i] = version[i] * 10 + (unsigned)(**at - '0');
        if (digits == 0 || (i < 2 && (*at == end || *(*at)++ != '.')))
            return false;
    }
    return *at == end || **at == '/';
}

bool multistream_semver_match(const char *served, const char *asked, size_t asked_size)
{
    const char *s = served, *s_end = served + strlen(served);
    const char *a = asked, *a_end = asked + asked_size;
    while (s < s_end && a < a_end) {
        unsigned ours[3], theirs[3];
        const char *s_after = s, *a_after = a;
        bool boundary = s > served && s[-1] == '/';
        if (boundary && version_read(&s_after, s_end, ours)) {
            if (!version_read(&a_after, a_end, theirs) || theirs[0] != ours[0] ||
                theirs[1] > ours[1])
                return false;
            s = s_after;
            a = a_after;
        } else if (*s++ != *a++) {
            return false;
        }
    }
    return s == s_end && a == a_end;
}
