/* Chunks from peers: what a single-owner chunk proves is what chunk_check takes, and nothing else.
 */
#include "codec/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes raw = bytes_of(data, size);
    struct error err = { ERR_OK, "" };
    struct chunk_soc soc;
    struct chunk_soc_proof proof;
    enum chunk_kind kind;
    uint8_t address[CHUNK_ADDRESS_BYTES] = { 0 };
    bool content = !chunk_content_address(address, raw, &err);
    assert(content == (size >= BMT_SPAN_BYTES && size <= LIMIT_CHUNK_CONTENT_BYTES));
    if (content)
        assert(!chunk_check(&kind, address, raw, NULL) && kind == CHUNK_CONTENT);
    address[size % 32] ^= 1;
    if (!chunk_soc_parse(&soc, raw, &err) && !chunk_soc_prove(&proof, &soc, &err)) {
        assert(!chunk_check(&kind, proof.address, raw, NULL) && kind == CHUNK_SINGLE_OWNER);
        assert(memcmp(proof.address, address, CHUNK_ADDRESS_BYTES));
    }
    assert(chunk_check(&kind, address, raw, &err) && err.text[0]);
    return 0;
}
