package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethersphere/bee/v2/pkg/addressbook"
	"github.com/ethersphere/bee/v2/pkg/crypto"
	"github.com/ethersphere/bee/v2/pkg/hive"
	"github.com/ethersphere/bee/v2/pkg/log"
	"github.com/ethersphere/bee/v2/pkg/p2p"
	"github.com/ethersphere/bee/v2/pkg/p2p/libp2p"
	"github.com/ethersphere/bee/v2/pkg/p2p/protobuf"
	"github.com/ethersphere/bee/v2/pkg/pricing"
	"github.com/ethersphere/bee/v2/pkg/pullsync/pb"
	"github.com/ethersphere/bee/v2/pkg/statestore/leveldb"
	"github.com/ethersphere/bee/v2/pkg/swarm"
	"github.com/ethersphere/bee/v2/pkg/topology/lightnode"
	ma "github.com/multiformats/go-multiaddr"
)

// scripted is a peer without a store: bee's handshake, and then what a command says.
type scripted struct {
	p2p     *libp2p.Service
	overlay swarm.Address
	target  swarm.Address // the node under test
	dialled []ma.Multiaddr
	server  badServer
}

type crowd struct {
	peers   []*scripted
	network uint64
	streams sync.Map // parked: p2p.Stream -> nothing
	reset   atomic.Int64
	offers  atomic.Int64
}

func runPeers(args []string) error {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	count := flags.Int("count", 1, "peers")
	key := flags.String("key", "peers", "any text: the keys are made from it")
	network := flags.Uint64("network", 7357, "network id")
	full := flags.Bool("full", false, "call themselves full nodes")
	_ = flags.String("dir", "", "not used")
	_ = flags.String("batches", "", "not used")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c := &crowd{network: *network}
	for i := range *count {
		peer, err := newScripted(fmt.Sprintf("%s %d", *key, i), *network, *full)
		if err != nil {
			return err
		}
		c.peers = append(c.peers, peer)
	}
	printJSON(map[string]any{"event": "ready", "version": beeVersion(), "address": "",
		"overlay": c.peers[0].overlay.String(), "pid": os.Getpid()})
	serveCommands(os.Stdin, c.run)
	return nil
}

func newScripted(name string, network uint64, full bool) (*scripted, error) {
	seed, nonce := swarmKey(name)
	key := crypto.Secp256k1PrivateKeyFromBytes(seed)
	overlay, err := crypto.NewOverlayAddress(key.PublicKey, network, nonce)
	if err != nil {
		return nil, err
	}
	states, err := leveldb.NewInMemoryStateStore(log.Noop)
	if err != nil {
		return nil, err
	}
	peerKey, err := crypto.GenerateSecp256r1Key()
	if err != nil {
		return nil, err
	}
	s := &scripted{overlay: overlay}
	book := addressbook.New(states)
	s.p2p, err = libp2p.New(context.Background(), crypto.NewDefaultSigner(key), network, overlay, "127.0.0.1:0",
		book, states, lightnode.NewContainer(overlay), log.Noop, nil, libp2p.Options{
			PrivateKey: peerKey, FullNode: full, Nonce: nonce, AllowPrivateCIDRs: true, NATAddr: "127.0.0.1:"})
	if err != nil {
		return nil, err
	}
	prices := pricing.New(s.p2p, log.Noop, big.NewInt(13_500_000), big.NewInt(1_350_000), big.NewInt(0))
	prices.SetPaymentThresholdObserver(anyThreshold{})
	gossip := hive.New(s.p2p, book, network, overlay, log.Noop, hive.Options{BootnodeMode: true})
	if err := errors.Join(s.p2p.AddProtocol(prices.Protocol()), s.p2p.AddProtocol(gossip.Protocol())); err != nil {
		return nil, err
	}
	if full {
		if err := s.p2p.AddProtocol(s.server.protocol()); err != nil {
			return nil, err
		}
	}
	return s, s.p2p.Ready()
}

func (c *crowd) run(ctx context.Context, command *command) (any, error) {
	switch command.Do {
	case "connect":
		return c.connect(ctx, command.Address)
	case "disconnect":
		for _, peer := range c.peers {
			_ = peer.p2p.Disconnect(peer.target, "asked")
		}
		return nil, nil
	case "connected":
		return c.connected(), nil
	case "park":
		return c.park(ctx, command.Count, command.Start)
	case "parked":
		return c.counts(), nil
	case "unpark":
		c.streams.Range(func(stream, _ any) bool {
			_ = stream.(p2p.Stream).Reset()
			c.streams.Delete(stream)
			return true
		})
		return nil, nil
	case "serve":
		for _, peer := range c.peers {
			peer.server.set(command.Kind)
		}
		return nil, nil
	case "served":
		var total int64
		for _, peer := range c.peers {
			total += peer.server.requests.Load()
		}
		return total, nil
	case "open":
		return c.openAtRate(ctx, command.Count, time.Duration(command.Seconds*float64(time.Second)))
	case "ask":
		return c.peers[0].ask(ctx, command.Kind, command.Bin)
	case "handshake":
		return rawHandshake(ctx, command.Address, command.Kind, c.network)
	case "usage":
		return usage()
	}
	return nil, fmt.Errorf("unknown command %q", command.Do)
}

func (c *crowd) connect(ctx context.Context, address string) (any, error) {
	underlay, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(c.peers))
	for i, peer := range c.peers {
		wg.Go(func() {
			peer.dialled = []ma.Multiaddr{underlay}
			other, err := peer.p2p.Connect(ctx, peer.dialled)
			if err == nil {
				peer.target = other.Overlay
			}
			errs[i] = err
		})
	}
	wg.Wait()
	return len(c.peers), errors.Join(errs...)
}

func (c *crowd) connected() int {
	n := 0
	for _, peer := range c.peers {
		n += len(peer.p2p.Peers())
	}
	return n
}

// park opens count streams a peer that ask for what does not exist yet.
func (c *crowd) park(ctx context.Context, count int, start uint64) (any, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, peer := range c.peers {
		wg.Go(func() {
			for i := range count {
				stream, err := peer.get(ctx, uint8(i%int(swarm.MaxBins)), start)
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					return
				}
				c.streams.Store(stream, nil)
				go c.watch(stream)
			}
		})
	}
	wg.Wait()
	return c.counts(), errors.Join(errs...)
}

func (c *crowd) watch(stream p2p.Stream) {
	var offer pb.Offer
	if err := protobuf.NewReader(stream).ReadMsgWithContext(context.Background(), &offer); err != nil {
		if _, mine := c.streams.LoadAndDelete(stream); mine {
			c.reset.Add(1)
		}
		return
	}
	c.offers.Add(1)
	c.streams.Delete(stream)
	_ = stream.Reset()
}

func (c *crowd) counts() map[string]any {
	parked := 0
	c.streams.Range(func(any, any) bool { parked++; return true })
	return map[string]any{"parked": parked, "reset": c.reset.Load(), "offers": c.offers.Load()}
}

func (s *scripted) get(ctx context.Context, bin uint8, start uint64) (p2p.Stream, error) {
	stream, err := s.p2p.NewStream(ctx, s.target, nil, "pullsync", "1.4.0", "pullsync")
	if err != nil {
		return nil, err
	}
	if err := protobuf.NewWriter(stream).WriteMsgWithContext(ctx, &pb.Get{Bin: int32(bin), Start: start}); err != nil {
		_ = stream.Reset()
		return nil, err
	}
	return stream, nil
}

// openAtRate opens and resets streams, so many a second over all peers: what a bee does against a
// server that answers with nothing.
func (c *crowd) openAtRate(ctx context.Context, perSecond int, duration time.Duration) (any, error) {
	var opened, refused atomic.Int64
	const each = 64
	var wg sync.WaitGroup
	end := time.Now().Add(duration)
	gap := time.Second * each / time.Duration(perSecond)
	for w := range each {
		wg.Go(func() {
			peer := c.peers[w%len(c.peers)]
			for next := time.Now(); next.Before(end); next = next.Add(gap) {
				time.Sleep(time.Until(next))
				stream, err := peer.get(ctx, 0, 1<<40)
				if err != nil {
					refused.Add(1)
					if w < len(c.peers) { // shown out: it comes back
						_, _ = peer.p2p.Connect(ctx, peer.dialled)
					}
					continue
				}
				opened.Add(1)
				_ = stream.Reset()
			}
		})
	}
	wg.Wait()
	return map[string]any{"opened": opened.Load(), "refused": refused.Load()}, nil
}

// ask is a bad client: it says what the node did with it.
func (s *scripted) ask(ctx context.Context, kind string, bin uint8) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	stream, err := s.p2p.NewStream(ctx, s.target, nil, "pullsync", "1.4.0", "pullsync")
	if err != nil {
		return nil, err
	}
	defer stream.Reset()
	writer, reader := protobuf.NewWriterAndReader(stream)
	switch kind {
	case "huge_get":
		_, _ = stream.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
		return s.rest(stream), nil
	case "bad_get":
		_, _ = stream.Write([]byte{3, 0xff, 0xff, 0xff})
		return s.rest(stream), nil
	}
	if err := writer.WriteMsgWithContext(ctx, &pb.Get{Bin: int32(bin), Start: 1}); err != nil {
		return nil, err
	}
	var offer pb.Offer
	if err := reader.ReadMsgWithContext(ctx, &offer); err != nil {
		return nil, err
	}
	switch kind {
	case "no_bits":
		err = writer.WriteMsgWithContext(ctx, &pb.Want{})
	case "short_want":
		err = writer.WriteMsgWithContext(ctx, &pb.Want{BitVector: make([]byte, (len(offer.Chunks)-1)/8)})
	case "long_want":
		err = writer.WriteMsgWithContext(ctx, &pb.Want{BitVector: make([]byte, 100_000)})
	case "huge_want":
		_, err = stream.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	default:
		return nil, fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return s.rest(stream), nil
}

func (s *scripted) rest(stream p2p.Stream) any {
	result := make(chan any, 1)
	go func() {
		n, err := io.Copy(io.Discard, stream)
		if err != nil {
			result <- map[string]any{"bytes": n, "end": "reset"}
		} else {
			result <- map[string]any{"bytes": n, "end": "closed"}
		}
	}()
	select {
	case answer := <-result:
		return answer
	case <-time.After(60 * time.Second):
		return map[string]any{"bytes": 0, "end": "open"}
	}
}
