/* tests/bench/net_side.h
 *
 * One end of the bench `net`: a process with a libp2p host that prints its address and then takes
 * orders, one a line, and answers each with one line. tests/interop/go-libp2p/bench and
 * tests/interop/rust-libp2p/src/bench.rs speak the same; what holds connections is ours alone.
 *
 *     usage                    "NS BYTES": CPU so far, anonymous memory
 *     connects ADDRESS N       N times connect, identify, close; "WALL_NS CPU_NS"
 *     send ADDRESS BYTES       one stream of bytes to there
 *     receive ADDRESS BYTES    and from there
 *     streams ADDRESS N        N times: open a stream, 64 bytes echoed, both ends closed
 *     hold ADDRESS N           N connections from as many identities, held until the end
 *     holding                  how many of these are left
 *
 * "failed WHY" answers an order that cannot be done. The end of its input ends the process.
 */
#ifndef LARDER_TESTS_NET_SIDE_H
#define LARDER_TESTS_NET_SIDE_H

/* Reads orders from standard input, returns the exit code. where: "/ip4/127.0.0.1". */
int net_side_main(const char *where);

#endif
