package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p/core/host"
	p2pnet "github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

const kadSuffix = "/kad/1.0.0"

// tally is what all servers have been asked for.
type tally struct {
	addProvider, findNode, getProviders atomic.Uint64
	streams                             atomic.Uint64 // that carried ADD_PROVIDER
	descents                            atomic.Uint64 // a key below the one before it on its stream
	lastMs                              atomic.Int64  // when the last ADD_PROVIDER came, by the wall clock
}

type server struct {
	host    host.Host
	dht     *dht.IpfsDHT
	store   *store
	kad     place
	failed  atomic.Bool // stopped, stalled or resetting: not among the living
	resets  atomic.Bool
	streams sync.Map // stream id -> *place of its last key; of streams with ADD_PROVIDER
}

type lab struct {
	prefix  string
	discard bool
	servers []*server
	tally   tally
}

func newHost(listen bool) (host.Host, error) {
	opts := []libp2p.Option{libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&p2pnet.NullResourceManager{})}
	if listen {
		opts = append(opts, libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	} else {
		opts = append(opts, libp2p.NoListenAddrs)
	}
	return libp2p.New(opts...)
}

func everyAddress(addrs []ma.Multiaddr) []ma.Multiaddr { return addrs }

// request sees every message before the library handles it.
func (l *lab) request(s *server) func(context.Context, p2pnet.Stream, *pb.Message) {
	return func(_ context.Context, stream p2pnet.Stream, m *pb.Message) {
		seen, known := s.streams.Load(stream.ID())
		if s.resets.Load() && known { // one message was answered; the next one breaks the stream
			stream.Reset()
			return
		}
		switch m.GetType() {
		case pb.Message_ADD_PROVIDER:
			l.tally.addProvider.Add(1)
			l.tally.lastMs.Store(time.Now().UnixMilli())
			at := placeOf(m.GetKey())
			if last, ok := seen.(*place); ok && last != nil {
				if at.less(last) {
					l.tally.descents.Add(1)
				}
				*last = at
				return
			}
			l.tally.streams.Add(1)
			s.streams.Store(stream.ID(), &at)
		case pb.Message_FIND_NODE:
			l.tally.findNode.Add(1)
			s.first(stream, known)
		case pb.Message_GET_PROVIDERS:
			l.tally.getProviders.Add(1)
			s.first(stream, known)
		}
	}
}

// first remembers that the stream has had a message, for servers that reset at the second.
func (s *server) first(stream p2pnet.Stream, known bool) {
	if s.resets.Load() && !known {
		s.streams.Store(stream.ID(), (*place)(nil))
	}
}

func (l *lab) add() error {
	h, err := newHost(true)
	if err != nil {
		return err
	}
	s := &server{host: h, store: newStore(l.discard), kad: placeOf([]byte(h.ID()))}
	s.dht, err = dht.New(h, dht.Mode(dht.ModeServer),
		dht.ProtocolPrefix(protocol.ID(l.prefix)),
		dht.Datastore(datastore.NewMapDatastore()), dht.ProviderDatastore(s.store),
		dht.AddressFilter(everyAddress), dht.DisableAutoRefresh(), dht.OnRequestHook(l.request(s)))
	if err != nil {
		return err
	}
	l.servers = append(l.servers, s)
	return nil
}

// acquaint fills the routing tables as if every server had met all others, in random order.
func (l *lab) acquaint() {
	var wg sync.WaitGroup
	turns := make(chan *server)
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for s := range turns {
				for _, i := range rand.Perm(len(l.servers)) {
					o := l.servers[i]
					if o == s {
						continue
					}
					if added, err := s.dht.RoutingTable().TryAddPeer(o.host.ID(), true, false); added && err == nil {
						s.host.Peerstore().AddAddrs(o.host.ID(), o.host.Addrs(), peerstore.PermanentAddrTTL)
					}
				}
			}
		}()
	}
	for _, s := range l.servers {
		turns <- s
	}
	close(turns)
	wg.Wait()
}

func (s *server) address() string {
	return fmt.Sprintf("%s/p2p/%s", s.host.Addrs()[0], s.host.ID())
}

// spoil makes n of the living servers fail in one way.
func (l *lab) spoil(how string, n int) error {
	for _, i := range rand.Perm(len(l.servers)) {
		s := l.servers[i]
		if n == 0 {
			return nil
		}
		if i < bootstraps || s.failed.Load() { // who is asked first stays
			continue
		}
		switch how {
		case "stop":
			s.host.Close()
		case "stall": // takes streams and never reads them
			s.host.SetStreamHandler(protocol.ID(l.prefix+kadSuffix), func(p2pnet.Stream) {})
			for _, c := range s.host.Network().Conns() {
				for _, stream := range c.GetStreams() {
					if strings.HasSuffix(string(stream.Protocol()), kadSuffix) {
						stream.Reset()
					}
				}
			}
		case "reset":
			s.resets.Store(true)
		default:
			return fmt.Errorf("no such fault: %s", how)
		}
		s.failed.Store(true)
		n--
	}
	return fmt.Errorf("there are not that many living servers")
}

const bootstraps = 4

func (l *lab) command(words []string) (any, error) {
	switch {
	case words[0] == "check" && len(words) == 3: // FILE PEER
		return l.check(words[1], words[2])
	case words[0] == "tally":
		t := &l.tally
		return map[string]any{"add_provider": t.addProvider.Load(), "find_node": t.findNode.Load(),
			"get_providers": t.getProviders.Load(), "streams": t.streams.Load(), "descents": t.descents.Load(),
			"last_ms": t.lastMs.Load()}, nil
	case words[0] == "forget": // every record, and the tally
		for _, s := range l.servers {
			s.store.forget()
		}
		t := &l.tally
		for _, v := range []*atomic.Uint64{&t.addProvider, &t.findNode, &t.getProviders, &t.streams, &t.descents} {
			v.Store(0)
		}
		return "ok", nil
	case words[0] == "spoil" && len(words) == 3: // HOW N
		n, err := strconv.Atoi(words[2])
		if err != nil {
			return nil, err
		}
		return "ok", l.spoil(words[1], n)
	case words[0] == "living":
		n := 0
		for _, s := range l.servers {
			if !s.failed.Load() {
				n++
			}
		}
		return n, nil
	}
	return nil, fmt.Errorf("no such command: %s", strings.Join(words, " "))
}

func (l *lab) obey() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 {
			continue
		}
		if words[0] == "quit" {
			return
		}
		if v, err := l.command(words); err != nil {
			answer(map[string]string{"error": err.Error()})
		} else {
			answer(v)
		}
	}
}

func network(args []string) error {
	flags := flag.NewFlagSet("network", flag.ExitOnError)
	n := flags.Int("servers", 50, "how many")
	prefix := flags.String("prefix", "/ipfs", "of the protocol")
	discard := flags.Bool("discard", false, "count records and keep none")
	flags.Parse(args)
	l := &lab{prefix: *prefix, discard: *discard}
	for range *n {
		if err := l.add(); err != nil {
			return err
		}
	}
	l.acquaint()
	var addresses []string
	for _, s := range l.servers[:min(bootstraps, len(l.servers))] {
		addresses = append(addresses, s.address())
	}
	answer(map[string]any{"servers": *n, "bootstrap": addresses})
	l.obey()
	return nil
}
