/* Configuration files: whatever stands in one, it is told or taken, and what is taken lies within
 * the bounds of its row. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/config.h"
#include "core/config_yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct config *c)
{
    for (unsigned i = 0; i < OPTION_ID_COUNT; i++) {
        const struct option_row *row = &config_rows[i];
        const void *field = (const uint8_t *)c + row->offset;
        if (row->kind == OPTION_KIND_VALUE && row->type != OPTION_TYPE_BOOL) {
            uint64_t value = *(const option_number_t *)field;
            assert(value >= row->min && value <= row->max);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static struct option_report report;
    char path[32];
    int fd = memfd_create("larder.yaml", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct option_target t = config_target(&config, &report);
    report = (struct option_report){ 0 };
    option_set_defaults(&t);
    config_yaml_load(&t, path);
    assert(report.used < sizeof(report.text));
    check_bounds(&config);
    close(fd);
    return 0;
}
