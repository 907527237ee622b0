/* larder-gen yaml | man: the sample configuration and the man page, from the rows. Built, not
 * installed. */
#include <string.h>

#include "base/version.h"
#include "cli.h"

static const struct option_row *next_option(const struct option_row *row)
{
    return row + 1 < config_rows + OPTION_ID_COUNT ? row + 1 : NULL;
}

static void default_text(const struct option_target *t, const struct option_row *row, char *out,
                         size_t size)
{
    option_print(t, row, out, size);
    if (row->kind == OPTION_KIND_LIST)
        snprintf(out, size, "[]");
    else if (!out[0])
        snprintf(out, size, "\"\"");
}

static void print_config(const struct option_target *t)
{
    printf("# The configuration of larder, with every default. Take the # off what you change;\n"
           "# `larder check-config` says what the node would take with it. Sizes are written\n"
           "# 100MiB, durations 25s. See larder(8).\n");
    for (const struct option_row *row = t->rows; row; row = next_option(row)) {
        char allowed[160], value[128], text[512];
        if (row->kind == OPTION_KIND_SECTION) {
            snprintf(text, sizeof(text), "--- %s: %s", row->name, row->sentence);
            printf("\n");
            cli_print_wrapped(stdout, "# ", text);
            continue;
        }
        option_allowed(row, allowed, sizeof(allowed));
        default_text(t, row, value, sizeof(value));
        snprintf(text, sizeof(text), "%s Allowed: %s.%s", row->sentence, allowed,
                 row->applies == OPTION_RESTART ? " A change needs a restart." : "");
        printf("\n");
        cli_print_wrapped(stdout, "# ", text);
        printf("#%s: %s\n", option_name(row).text, value);
    }
}

/* Dashes that are typed, and a dot or quote that would begin a request. */
static void put_roff(const char *text)
{
    if (*text == '.' || *text == '\'')
        printf("\\&");
    for (; *text; text++)
        printf(*text == '-' ? "\\-" : *text == '\\' ? "\\e" : "%c", *text);
}

static void print_roff(const char *text)
{
    put_roff(text);
    printf("\n");
}

/* In the place of --help: the flags of a command's own, below it. */
static void print_man_flags(const struct cli *cli UNUSED, struct config *c UNUSED,
                            const struct config_args *args)
{
    print_roff(args->all_options ? "Takes every option below as a flag."
                                 : "Takes --config and --data-dir, which say what node is meant.");
    printf(".RS\n");
    for (const struct config_flag *f = args->flags; f && f->name; f++) {
        bool letter = !f->name[1];
        printf(".TP\n.B ");
        put_roff(letter ? "-" : "--");
        put_roff(f->name);
        if (f->argument)
            printf(letter ? " %s" : "=%s", f->argument);
        printf("\n");
        print_roff(f->sentence);
    }
    printf(".RE\n");
}

static void print_man_command(const struct cli_command *command)
{
    static char flag[] = "--help", *argv[] = { flag, NULL }, *envp[] = { NULL };
    struct cli cli = { .command = command, .argv = argv, .envp = envp, .help = print_man_flags };
    printf(".TP\n.B larder ");
    put_roff(command->name);
    put_roff(" ");
    print_roff(command->arguments);
    print_roff(command->sentence);
    if (command->run == cmd_help || command->run == cmd_version)
        return; /* they take no flags */
    int exit_code = command->run(&cli);
    assert(exit_code == 0);
}

static void print_man_commands(void)
{
    printf(".SH COMMANDS\n");
    print_roff("Each takes --help. --config=FILE is the configuration, when it is not "
               "/etc/larder/larder.yaml.");
    for (uint32_t i = 0; i < cli_commands_count; i++)
        print_man_command(&cli_commands[i]);
}

static void print_man_http(void)
{
    printf(".SH HTTP\n");
    print_roff("At http-addr. GET, and HEAD, are for whoever reaches it. A POST comes from this "
               "machine, to an address of loopback and from no web page, or has the token of "
               "http-token-file in its header: Authorization: Bearer TOKEN.");
#define ROUTE(name, method, path, sentence)                                                        \
    printf(".TP\n.B %s %s\n", method, path);                                                       \
    print_roff(sentence);
#include "tables/routes.def"
}

static void print_man_options(const struct option_target *t)
{
    printf(".SH OPTIONS\n");
    print_roff(
        "Each option is a flag of `larder start`, a key of the file, and a variable of the "
        "environment: memory is --memory, memory: and LARDER_MEMORY. A flag wins over the "
        "environment, that over the file, that over the default. Sizes are written 100MiB, "
        "durations 25s. A flag that may be repeated is a list in the file, and has commas in "
        "the environment.");
    for (const struct option_row *row = t->rows; row; row = next_option(row)) {
        char allowed[160], value[128], text[512];
        if (row->kind == OPTION_KIND_SECTION) {
            printf(".SS ");
            print_roff(row->sentence);
            continue;
        }
        option_allowed(row, allowed, sizeof(allowed));
        default_text(t, row, value, sizeof(value));
        printf(".TP\n.B ");
        print_roff(option_name(row).text);
        snprintf(text, sizeof(text), "%s Default: %s; allowed: %s; %s.", row->sentence, value,
                 allowed,
                 row->applies == OPTION_RESTART ? "a change needs a restart"
                                                : "SIGHUP applies a change");
        print_roff(text);
    }
}

static void print_man_batches(void)
{
    printf(".SH POSTAGE BATCHES\n");
    print_roff(
        "A chunk is kept when its stamp is of a known batch and signed by that batch's owner. "
        "Option batches names a file with one JSON array; each row has these five members "
        "and no other:");
    printf(".PP\n.nf\n[ { \"id\": \"64 hex digits\", \"owner\": \"40 hex digits\", \"depth\": 24,\n"
           "    \"bucket_depth\": 16, \"immutable\": false } ]\n.fi\n.PP\n");
    print_roff("2^depth stamps in 2^bucket_depth buckets. SIGHUP reads the file anew; a batch that "
               "left it has expired, and its chunks are evicted. For a private network larder "
               "overlay --key FILE --make --batch-depth DEPTH makes a key and prints such a table; "
               "larder reserve upload stamps with it.");
}

static void print_man_memory(void)
{
    printf(".SH MEMORY\n");
    print_roff(
        "A tenth of memory, at least 48 MiB, is slack that is given to no part. When the process "
        "holds more than the setting less half the slack, parts give back what they hold above "
        "their shares, and the has-cache stops growing. At the setting less a quarter of the slack "
        "new work waits: who calls is not let in, no peer is called, no page is asked of a peer or "
        "begun for one, larder reserve upload and larder keys import are refused with the reason. "
        "What runs is brought to its end, larder status and HTTP answer. Pressure on the control "
        "group counts as well. After a second below the mark all goes on; the has-cache is made "
        "whole again within a quarter of an hour. larder status and the metric memory_level say "
        "which mark is passed.");
}

static void print_man(const struct option_target *t)
{
    printf(".TH LARDER 8 \"\" \"larder %s\" \"System Administration\"\n", LARDER_VERSION);
    printf(".SH NAME\nlarder \\- a storage node that stays inside the memory you give it\n");
    printf(".SH SYNOPSIS\n.B larder\n.I command\n.RI [ flags ]\n");
    print_man_commands();
    print_man_options(t);
    print_man_batches();
    print_man_http();
    print_man_memory();
    printf(".SH SIGNALS\n");
    print_roff(
        "SIGHUP reads the configuration anew: any error keeps the old one. SIGTERM and SIGINT "
        "end the node: running work gets shutdown-deadline to end by itself; a second one "
        "skips the waiting.");
    printf(".SH EXIT STATUS\n"
           ".TP\n.B 0\nDone.\n"
           ".TP\n.B 1\nDone, but something was refused or found bad.\n"
           ".TP\n.B 2\nWrong usage or configuration.\n"
           ".TP\n.B 3\nCould not finish: disk, network, memory.\n"
           ".TP\n.B 4\nA store is foreign, corrupt or in use by another process.\n");
    printf(".SH ENVIRONMENT\n");
    print_roff("LARDER_ and the name of an option in capitals, with _ for -. Any other variable "
               "that begins with LARDER_ is an error. NO_COLOR: no colours on a terminal.");
    printf(
        ".SH FILES\n"
        ".TP\n.I /etc/larder/larder.yaml\nThe configuration, unless \\-\\-config names another.\n"
        ".TP\n.I $STATE_DIRECTORY, $XDG_STATE_HOME/larder, ~/.local/state/larder\n"
        "The data directory, the first that applies, unless data\\-dir names another. In it the "
        "file reserve\\-filled\\-for says for larder check\\-config which overlay, key, nonce and "
        "network the Swarm reserve is of; the node makes it anew when it starts.\n"
        ".TP\n.I DIR, PATH, FILE\n");
    print_roff("What larder backup, larder reserve upload and larder reserve download are given is "
               "opened by the running node itself, as its own user. The service of the package "
               "sees only its own directories: below /var/lib/larder, for example "
               "/var/lib/larder/backup, or in a folder that belongs to the user larder and that a "
               "drop-in names (systemctl edit larder, then a restart):");
    printf(".PP\n.nf\n[Service]\nReadWritePaths=/srv/larder\\-backup\n"
           "BindReadOnlyPaths=/srv/files\n.fi\n.PP\n");
    print_roff("Its /tmp is its own and goes with it, and it sees no home folders.");
}

int main(int argc, char **argv)
{
    static struct config config;
    static struct option_report report;
    struct option_target t = config_target(&config, &report);
    option_set_defaults(&t);
    if (argc == 2 && !strcmp(argv[1], "yaml"))
        print_config(&t);
    else if (argc == 2 && !strcmp(argv[1], "man"))
        print_man(&t);
    else
        return err_exit_code(ERR_USAGE);
    return fflush(stdout) ? err_exit_code(ERR_IO) : 0;
}
