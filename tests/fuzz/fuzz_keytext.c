/* A key as text: what is read is written and read again the same. */
#include "codec/keytext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t buf[CID_BYTES_MAX], again_buf[CID_BYTES_MAX];
    char text[CID_TEXT_MAX];
    struct bytes hash, again;
    if (key_from_text((const char *)data, size, buf, &hash, NULL))
        return 0;
    key_to_text(hash, text);
    enum err rc = key_from_text(text, strlen(text), again_buf, &again, NULL);
    assert(!rc && bytes_equal(hash, again));
    return 0;
}
