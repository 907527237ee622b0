#include "unit.h"

#include <string.h>

#include "base/base.h"
#include "node/progress.h"

TEST(a_line_has_a_bar_a_rate_and_the_time_that_is_left)
{
    char line[256];
    struct progress_amount a = { "uploaded", true, 256ull << 20, 1ull << 30 };
    progress_line(line, sizeof(line), &a, 8000);
    check(!strcmp(line, "[#######.......................]  25.0 % uploaded 256 MiB of 1.00 GiB, "
                        "32.0 MiB/s, 24 s left"),
          line);
    a = (struct progress_amount){ "verified", false, 10, 100000 };
    progress_line(line, sizeof(line), &a, 1000);
    check(strstr(line, "verified 10 of 100000, 10/s, 2 h 46 min left"), line);
    a = (struct progress_amount){ "verified", false, 1000, 1060 };
    progress_line(line, sizeof(line), &a, 10000);
    check(strstr(line, "100/s, 0 s left"), line);
    a = (struct progress_amount){ "downloaded", true, 2048, 0 };
    progress_line(line, sizeof(line), &a, 1000);
    check(!strcmp(line, "downloaded 2.00 KiB, 2.00 KiB/s"), line);
    a = (struct progress_amount){ "verified", false, 0, 10 };
    progress_line(line, sizeof(line), &a, 0);
    check(strstr(line, "  0.0 % verified 0 of 10"), line);
    a.done = 20; /* more than was said */
    progress_line(line, sizeof(line), &a, 1000);
    check(strstr(line, "100.0 %"), line);
}
