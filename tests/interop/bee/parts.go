package main

import (
	"context"
	"math/big"

	"github.com/ethersphere/bee/v2/pkg/p2p"
	"github.com/ethersphere/bee/v2/pkg/p2p/libp2p"
	"github.com/ethersphere/bee/v2/pkg/puller"
	"github.com/ethersphere/bee/v2/pkg/swarm"
	"github.com/ethersphere/bee/v2/pkg/topology/kademlia"
)

// The small parts that bee's packages ask for and that a chain or a whole node would give.

type spec struct{ get func() p2p.ProtocolSpec }

func (s spec) add(service *libp2p.Service) error { return service.AddProtocol(s.get()) }

// steady says at once that the network has settled.
type steady struct{}

func (steady) Subscribe() (<-chan struct{}, func()) {
	c := make(chan struct{})
	close(c)
	return c, func() {}
}
func (steady) IsStabilized() bool { return true }

// noStart leaves the start of the puller to a command.
type noStart struct{ *puller.Puller }

func (noStart) Start(context.Context) {}

type anyThreshold struct{}

func (anyThreshold) NotifyPaymentThreshold(swarm.Address, *big.Int) error { return nil }

// recorded is bee's kademlia less a race of it. Of a peer that dialed, it tells the puller before it
// keeps a record of the peer, and the puller passes over peers without one; it looks again when
// another peer comes or goes, or after five minutes.
type recorded struct{ *kademlia.Kad }

func (k recorded) Connected(ctx context.Context, peer p2p.Peer, force bool) error {
	k.Reachable(peer.Address, p2p.ReachabilityStatusUnknown)
	return k.Kad.Connected(ctx, peer, force)
}
