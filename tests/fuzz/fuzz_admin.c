/* Requests on the control socket: every word ends inside the request. */
#include "node/admin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *words[LIMIT_ADMIN_REQUEST_WORDS];
    uint32_t count = admin_request_words(bytes_of(data, size), words, ARRAY_SIZE(words));
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += strlen(words[i]) + 1;
    assert(count == 0 || bytes == size);
    return 0;
}
