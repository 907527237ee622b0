/* The keys whose provider records are kept alive: asks the running node, or does it itself. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "node/client.h"
#include "node/offline.h"

/* A pipe could make the node wait for its end, so the node is handed a file that has no name. */
static enum err path_of_pipe(int fd, char path[PATH_MAX], struct error *err)
{
    static char buf[64 * KiB];
    FILE *file = tmpfile();
    ssize_t n = -1;
    if (!file)
        return error_errno(err, ERR_IO, errno, "a temporary file");
    while ((n = read(fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && fwrite(buf, 1, (size_t)n, file) != (size_t)n)
            break;
    if (n != 0 || fflush(file))
        return error_errno(err, ERR_IO, errno, "copying keys into a temporary file");
    snprintf(path, PATH_MAX, "/proc/%d/fd/%d", (int)getpid(), fileno(file)); /* open until we end */
    return ERR_OK;
}

/* Absolute, since the node stands elsewhere; - is standard input. */
static enum err path_of(const char *name, char path[PATH_MAX], struct error *err)
{
    struct stat st;
    bool standard = !strcmp(name, "-");
    int fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return error_errno(err, ERR_USAGE, errno, "%.120s", name);
    if (!S_ISREG(st.st_mode))
        return path_of_pipe(fd, path, err);
    snprintf(path, PATH_MAX, "/proc/%d/fd/%d", (int)getpid(), fd);
    if (!standard && !realpath(name, path))
        return error_errno(err, ERR_USAGE, errno, "%.120s", name);
    return ERR_OK;
}

struct keys_flags {
    bool prefix_given, replace;
    const char *prefix;
};

/* "keys", the verb, its words. */
static enum err words_make(const char *words[], struct config_args *args,
                           const struct keys_flags *f, char path[PATH_MAX], struct error *err)
{
    uint32_t n = 0;
    bool import = args->operands == 2 && !strcmp(args->argv[0], "import");
    words[n++] = "keys";
    for (uint32_t i = 0; i < args->operands; i++)
        words[n++] = args->argv[i];
    if (f->prefix)
        words[n++] = f->prefix;
    if (f->replace && !import)
        return error_set(err, ERR_USAGE, "--replace goes with import FILE");
    if (import) {
        enum err rc = path_of(args->argv[1], path, err);
        if (rc)
            return rc;
        words[2] = path;
        if (isatty(STDERR_FILENO))
            words[n++] = "bar";
        if (f->replace)
            words[n++] = "replace";
    }
    words[n] = NULL;
    return ERR_OK;
}

int cmd_keys(struct cli *cli)
{
    static struct config config;
    static const char *words[LIMIT_ADMIN_REQUEST_WORDS + 4];
    struct keys_flags f = { .prefix = NULL };
    const struct config_flag flags[] = {
        { "prefix", "BITS", "count: only keys whose place begins with these binary digits.",
          &f.prefix_given, &f.prefix },
        { "replace", NULL,
          "import: the keys of the file take the place of all that are there, at once and at its "
          "end; "
          "those that are in both are not provided as new.",
          &f.replace, NULL },
        { NULL, NULL, NULL, NULL, NULL },
    };
    struct config_args args = { .flags = flags, .operands_max = LIMIT_ADMIN_REQUEST_WORDS - 1 };
    struct error err = { ERR_OK, "" };
    char path[PATH_MAX];
    int exit_code = 0;
    if (!cli_load(cli, &config, &args))
        return cli->exit_code;
    enum err rc = words_make(words, &args, &f, path, &err);
    rc = rc ? rc : client_run(config.data_dir, words, NULL, &exit_code, &err);
    if (rc == ERR_UNREACHABLE) {
        error_clear(&err);
        config.reprovide = true; /* whoever asks for its keys wants the store */
        rc = offline_keys(&config, words + 1, &exit_code, &err);
    }
    return rc ? cli_fail(&err) : exit_code;
}
