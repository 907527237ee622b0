/* lib/net/host_options.h
 *
 * What a host is made with, and the address of a socket.
 */
#ifndef LARDER_NET_HOST_OPTIONS_H
#define LARDER_NET_HOST_OPTIONS_H

#include "base/base.h"

struct governor;
struct loop;
struct mem_owner;
struct peer_secret;

struct host_address { /* of a socket */
    bool ip6;
    uint8_t ip[16]; /* the first 4 bytes of an IPv4 address */
    uint16_t port;
};
/* Addresses of the machine's interfaces; ports are not looked at. */
struct host_interfaces {
    const struct host_address *list; /* NULL: they cannot be read */
    uint32_t count;
};

struct host_options {
    struct loop *loop;
    struct mem_owner *mem;                 /* "p2p" */
    const struct peer_secret *identity;    /* borrowed */
    const struct governor *governor;       /* from its trigger on nobody is let in; NULL: none */
    const char *agent;                     /* "larder/0.1.0" */
    bool allow_private;                    /* dial and announce private ranges and loopback */
    bool late_muxer;                       /* agree on it after the handshake, as rust and py do */
    bool count_loopback;                   /* loopback is an address like others: for tests */
    const struct host_interfaces *machine; /* NULL: those of the system; tests bring their own */
    const char *dns_servers;               /* "192.0.2.1:53,…"; NULL: those of the system */
    uint32_t connections_max;              /* 0: what memory has room for, see host_room.h */
    uint32_t stream_window_bytes;          /* what a peer may send on one stream; 0: 256 KiB */
    uint32_t connection_rx_bytes_max;      /* received and not taken, of one; 0: 1 MiB */
    uint32_t socket_buffer_bytes;          /* of the kernel, each way; 0: as the system has it */
    uint64_t rx_bytes_max; /* received and not taken, over all; 0: 30 % of the share */
    uint64_t rx_pool_bytes, tx_pool_bytes; /* 0: 10 % of the share each */
};

#endif
