/* Key messages, peer ids and signatures of strangers. The first byte splits the rest into key and
 * signature. */
#include "codec/peerid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer_id id, again;
    struct peer_key key;
    char text[PEER_ID_TEXT_MAX];
    if (!peer_id_from_text((const char *)data, size, &id, NULL)) {
        peer_id_to_text(&id, text);
        enum err rc = peer_id_from_text(text, strlen(text), &again, NULL);
        /* An identity id that does not begin with '1' or 'Qm' in base58 cannot be: code 0 does. */
        assert(!rc && peer_id_equal(&id, &again));
    }
    if (size < 2)
        return 0;
    size_t split = MIN(((size_t)data[0] << 8 | data[1]), size - 2);
    struct bytes rest = bytes_of(data + 2 + split, size - 2 - split);
    if (!peer_key_decode(bytes_of(data + 2, split), &key, NULL)) {
        peer_key_id(&key, &id);
        assert(id.len > 0 && id.len <= PEER_ID_BYTES_MAX);
        err_ignore(peer_key_verify(&key, bytes_of("larder signs this", 17), rest, NULL));
    }
    struct peer_secret s;
    if (!peer_secret_decode(bytes_of(data + 2, split), &s, NULL))
        assert(!peer_key_decode(bytes_of(s.public_message, s.public_size), &key, NULL));
    return 0;
}
