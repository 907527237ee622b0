/* Lines of each format, what hostile text becomes, redaction, and a reader that does not read. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <yajl/yajl_tree.h>

#include "core/log.h"
#include "core/metrics.h"

static int ends[2];
static char text[64 * 1024];

static void open_pipe(enum log_format format, bool redact)
{
    if (ends[0]) {
        close(ends[0]);
        close(ends[1]);
    }
    check(pipe(ends) == 0, "a pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    log_setup(&(struct log_options){ LOG_LEVEL_INFO, format, redact });
    log_setup_fd(ends[1]);
}

static const char *read_all(void)
{
    size_t used = 0;
    ssize_t n;
    while (used < sizeof(text) - 1 && (n = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    return text;
}

/* Each place in the code has a budget of lines; the tests want none. */
static const char *line_of(const struct log_field *fields, const char *message)
{
    struct log_site site = { 0 };
    log_write(LOG_LEVEL_WARNING, &site, fields, "%s", message);
    return read_all();
}

static const struct {
    const char *why;
    enum log_format format;
    const char *message, *value, *want;
} lines[] = {
    { "text, a plain value", LOG_FORMAT_TEXT, "opened", "reserve",
      "Z WARN  opened name=reserve\n" },
    { "text, a value with spaces", LOG_FORMAT_TEXT, "opened", "a b", " opened name=\"a b\"\n" },
    { "text, an empty value", LOG_FORMAT_TEXT, "opened", "", " opened name=\"\"\n" },
    { "an escape sequence steers no terminal", LOG_FORMAT_TEXT, "a\033[2Jb", "x",
      " a\\x1b[2Jb name=x\n" },
    { "a C1 control neither", LOG_FORMAT_TEXT,
      "a\xc2\x9b"
      "2Jb",
      "x", " a\\xc2\\x9b2Jb name=x\n" },
    { "a newline makes no second line", LOG_FORMAT_TEXT, "a\nERROR b", "x",
      " a\\nERROR b name=x\n" },
    { "UTF-8 stays", LOG_FORMAT_TEXT, "gr\xc3\xbc\xc3\x9f", "x", " gr\xc3\xbc\xc3\x9f name=x\n" },
    { "what is not UTF-8 is spelled out", LOG_FORMAT_TEXT, "a\xff\xc3", "x",
      " a\\xff\\xc3 name=x\n" },
    { "an overlong form is not UTF-8", LOG_FORMAT_TEXT, "\xc0\xaf", "x", " \\xc0\\xaf name=x\n" },
    { "logfmt", LOG_FORMAT_LOGFMT, "it \"opened\"", "a=b",
      "Z level=warning msg=\"it \\\"opened\\\"\" name=\"a=b\"\n" },
    { "logfmt, one word", LOG_FORMAT_LOGFMT, "opened", "x", " msg=opened name=x\n" },
    { "json", LOG_FORMAT_JSON, "it \"opened\"\\\n", "\x01\xff",
      "Z\",\"level\":\"warning\",\"message\":\"it \\\"opened\\\"\\\\\\u000a\",\"name\":"
      "\"\\u0001\\ufffd\"}\n" },
};

TEST(formats_and_hostile_text)
{
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        open_pipe(lines[i].format, false);
        const char *got = line_of(LOG_FIELDS(log_text("name", lines[i].value)), lines[i].message);
        check(strstr(got, lines[i].want) != NULL, lines[i].why);
        check(strchr(got, '\n') == got + strlen(got) - 1, "it is one line");
    }
}

TEST(fields_of_each_kind)
{
    open_pipe(LOG_FORMAT_JSON, false);
    struct error err = { ERR_IO, "disk on fire" };
    const char *got = line_of(
        LOG_FIELDS(log_uint("u", UINT64_MAX), log_int("i", -5), log_bool("b", true), log_err(&err)),
        "x");
    check(
        strstr(got, ",\"u\":18446744073709551615,\"i\":-5,\"b\":true,\"error\":\"disk on fire\"}"),
        got);
}

TEST(a_long_line_is_cut_and_well_formed)
{
    static char longest[8000], controls[8000];
    memset(longest, 'a', sizeof(longest) - 1);
    memset(controls, 1, sizeof(controls) - 1);
    static const char *const messages[] = { longest, controls, "short" };
    for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
        for (enum log_format f = LOG_FORMAT_TEXT; f <= LOG_FORMAT_JSON; f++) {
            open_pipe(f, i == 0);
            const char *got = line_of(LOG_FIELDS(log_text("a", messages[(i + 1) % 3]),
                                                 log_text("b", controls), log_uint("c", 1)),
                                      messages[i]);
            size_t n = strlen(got);
            check(n > 1000 && n <= LIMIT_LOG_LINE_BYTES, "within its limit");
            check(got[n - 1] == '\n', "whole");
            yajl_val json = yajl_tree_parse(got, NULL, 0);
            check(f != LOG_FORMAT_JSON || json != NULL, "and still JSON");
            yajl_tree_free(json);
        }
}

static const struct {
    const char *text, *want;
} redactions[] = {
    { "dial 203.0.113.7:4001: refused", "dial redacted:4001: refused" },
    { "dial 203.0.113.7.", "dial redacted." },
    { "/ip4/203.0.113.7/tcp/4001/p2p/12D3KooW", "/ip4/redacted/tcp/4001/p2p/12D3KooW" },
    { "/ip6/2001:db8::1/udp/1/quic-v1", "/ip6/redacted/udp/1/quic-v1" },
    { "[2001:db8::1]:80 and 2001:db8::2: gone", "[redacted]:80 and redacted: gone" },
    { "::ffff:203.0.113.7", "redacted" },
    { "/dns4/node.example.org/tcp/1", "/dns4/redacted/tcp/1" },
    { "at /dnsaddr/example.org", "at /dnsaddr/redacted" },
    { "/dns/localhost/tcp/1", "/dns/localhost/tcp/1" },
    { "127.0.0.1:9733 0.0.0.0 ::1 :: [::]:1", "127.0.0.1:9733 0.0.0.0 ::1 :: [::]:1" },
    { "::ffff:127.0.0.1", "::ffff:127.0.0.1" },
    { "at 12:34:56 version 1.2.3", "at 12:34:56 version 1.2.3" },
    { "999.1.1.1 x1.2.3.4 a-1.2.3.4 1.2.3.4b", "999.1.1.1 x1.2.3.4 a-1.2.3.4 1.2.3.4b" },
    { "6e1f00aa: cursor", "6e1f00aa: cursor" },
    { "", "" },
};

TEST(addresses_are_redacted)
{
    char out[256];
    for (size_t i = 0; i < ARRAY_SIZE(redactions); i++) {
        log_redact(out, sizeof(out), redactions[i].text);
        check(strcmp(out, redactions[i].want) == 0, redactions[i].text);
    }
    log_redact(out, 4, "1.2.3.4 and more");
    check(strlen(out) < 4, "cut to size");
    open_pipe(LOG_FORMAT_LOGFMT, true);
    const char *got = line_of(LOG_FIELDS(log_text("peer", "198.51.100.1")), "from 203.0.113.7");
    check(strstr(got, "msg=\"from redacted\" peer=redacted\n") != NULL, got);
}

TEST(levels_above_the_setting_are_not_made)
{
    open_pipe(LOG_FORMAT_TEXT, false);
    log_debug("unseen %d", 1);
    check(read_all()[0] == '\0', "debug is off");
    log_info("seen %d", 2);
    check(strstr(read_all(), " info  seen 2\n") != NULL, text);
    log_error("seen %d", 3);
    check(strstr(read_all(), " ERROR seen 3\n") != NULL, text);
}

TEST(one_place_cannot_fill_the_log)
{
    open_pipe(LOG_FORMAT_TEXT, false);
    struct log_site site = { 0 };
    for (unsigned i = 0; i < LIMIT_LOG_SITE_LINES + 7; i++)
        log_write(LOG_LEVEL_INFO, &site, NULL, "again");
    unsigned count = 0;
    for (const char *p = read_all(); (p = strchr(p, '\n')); p++)
        count++;
    check(count == LIMIT_LOG_SITE_LINES, "no more than its lines");
    site.period_began_ms -= LIMIT_LOG_SITE_PERIOD_MS;
    log_write(LOG_LEVEL_INFO, &site, NULL, "again");
    check(strstr(read_all(), "again suppressed=7\n") != NULL, text);
    check(metric_get(METRIC_log_suppressed_total) == 7, "and they are counted");
}

TEST(a_reader_that_does_not_read_costs_lines_and_no_time)
{
    for (int socket = 0; socket <= 1; socket++) {
        open_pipe(LOG_FORMAT_TEXT, false);
        if (socket) {
            close(ends[0]);
            close(ends[1]);
            check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "a socket");
            fcntl(ends[0], F_SETFL, O_NONBLOCK);
            log_setup_fd(ends[1]);
        }
        int64_t before = metric_get(METRIC_log_dropped_total);
        for (unsigned i = 0; i < 20000; i++) { /* would wait for ever if it waited */
            struct log_site site = { 0 };
            log_write(LOG_LEVEL_INFO, &site, NULL, "line %u of many that nobody reads", i);
        }
        int64_t dropped = metric_get(METRIC_log_dropped_total) - before;
        check(dropped > 0 && dropped < 20000, "the rest is dropped");
        check(!(fcntl(ends[1], F_GETFL) & O_NONBLOCK), "the shared descriptor is as it was");
        while (read(ends[0], text, sizeof(text)) > 0)
            ;
        char want[64];
        snprintf(want, sizeof(want), "here again dropped=%lld\n", (long long)dropped);
        const char *got = line_of(NULL, "here again");
        check(strstr(got, want) != NULL, got);
        check(strstr(line_of(NULL, "and on"), "and on\n") != NULL, "it is said once");
    }
}

TEST(the_journal_gets_priorities_and_no_time)
{
    struct stat st;
    char stream[64];
    open_pipe(LOG_FORMAT_TEXT, false);
    fstat(ends[1], &st);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    check(strcmp(line_of(NULL, "hot"), "<4>hot\n") == 0, text);
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_setup_fd(ends[1]);
    check(line_of(NULL, "hot")[0] == '2', "another stream is not the journal");
    unsetenv("JOURNAL_STREAM");
}
