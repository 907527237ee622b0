/* lib/ipfs/kad.h
 *
 * The words of the DHT: places in the key space, peers, and the messages of /ipfs/kad/1.0.0 that a
 * client needs. https://github.com/libp2p/specs/blob/master/kad-dht/README.md
 *
 * An answer is decoded as it comes, a peer at a time, so that 4 MiB of them take 2 KiB.
 * Ownership: nothing here owns memory. Thread: any.
 * Errors: ERR_MALFORMED, ERR_TOO_LARGE.
 */
#ifndef LARDER_IPFS_KAD_H
#define LARDER_IPFS_KAD_H

#include "codec/multiaddr.h"
#include "store/keystore.h"

enum {
    KAD_BYTES = 32,
    KAD_K = 20,     /* nearest servers that hold a record */
    KAD_ALPHA = 10, /* requests at a time in a look-up */
    KAD_BETA = 3,   /* nearest that must have answered */
    KAD_ADDRESSES_BYTES = 160,
    KAD_RECORD_TAIL_MAX = 512,
};

enum kad_type {
    KAD_PUT_VALUE,
    KAD_GET_VALUE,
    KAD_ADD_PROVIDER,
    KAD_GET_PROVIDERS,
    KAD_FIND_NODE,
    KAD_PING,
};

/* A server, or a provider. */
struct kad_peer {
    struct peer_id id;
    uint8_t kad[KAD_BYTES];
    uint16_t addresses_used;
    uint8_t
        addresses[KAD_ADDRESSES_BYTES]; /* multiaddrs we can dial, each with its size in front */
};
void kad_peer_init(struct kad_peer *p, const struct peer_id *id);
/* False when it is no address of ours to dial, or there is no room. */
bool kad_peer_add_address(struct kad_peer *p, struct bytes multiaddr, bool allow_private);
/* The next one from *at = 0 on; size 0 at the end. */
struct bytes kad_peer_address(const struct kad_peer *p, uint32_t *at);

void kad_of(struct bytes b, uint8_t out[KAD_BYTES]); /* sha256 */
static inline uint64_t kad_first(const uint8_t kad[KAD_BYTES])
{
    return be64_decode(kad);
}
/* Is a nearer to target than b? Negative: yes; 0: the same place. */
int kad_compare(const uint8_t target[KAD_BYTES], const uint8_t a[KAD_BYTES],
                const uint8_t b[KAD_BYTES]);
uint32_t kad_common(const uint8_t a[KAD_BYTES], const uint8_t b[KAD_BYTES]); /* leading bits */

/* ---- requests ---- */

/* A framed request; out has room for 128 bytes. Returns its size. */
size_t kad_request_put(uint8_t out[128], enum kad_type type, struct bytes key);

/* An ADD_PROVIDER is constant but for its key. */
struct kad_record {
    uint16_t tail_size;
    uint8_t tail[KAD_RECORD_TAIL_MAX];
};
/* addresses: without /p2p. What does not fit is left out. */
void kad_record_init(struct kad_record *r, const struct peer_id *self);
bool kad_record_add_address(struct kad_record *r, struct bytes multiaddr);
size_t kad_record_size(const struct kad_record *r, size_t key_size); /* framed */
void kad_record_put(const struct kad_record *r, uint8_t *out, struct bytes key);

/* ---- answers ---- */

struct kad_decoder;
/* provider: of providerPeers; else of closerPeers. */
typedef void kad_peer_cb(struct kad_decoder *d, const struct kad_peer *peer, bool provider);
struct kad_decoder {
    kad_peer_cb *on_peer; /* in */
    bool allow_private;   /* in */
    bool done;            /* out: one whole message has been read */
    uint64_t type;        /* out */
    uint32_t closer;      /* out: closer peers seen */
    bool sized_, in_body_;
    uint8_t field_, head_have_;
    uint8_t head_[15];
    uint32_t left_, body_left_, entry_size_, entry_have_;
    uint8_t entry_[1024]; /* of a peer; addresses behind it are dropped */
};
/* Zeroed at first. Takes bytes up to the end of the message; *taken says how many. */
enum err kad_decode(struct kad_decoder *d, struct bytes in, size_t *taken, struct error *err);

/* ---- targets ---- */

/* A place in the key space can only be named by what hashes to it. preimages[b] is the n whose
 * preimage has the first 16 bits b; all of them take some 0.8 M hashes. */
enum { KAD_PREIMAGE_BITS = 16, KAD_PREIMAGES = 1 << KAD_PREIMAGE_BITS, KAD_PREIMAGE_BYTES = 34 };
void kad_preimage(uint32_t n, uint8_t out[KAD_PREIMAGE_BYTES]);
void kad_preimages_build(uint32_t preimages[KAD_PREIMAGES]);

#endif
