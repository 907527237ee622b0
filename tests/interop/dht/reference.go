package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	leveldb "github.com/ipfs/go-ds-leveldb"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	"github.com/libp2p/go-libp2p-kad-dht/provider"
	"github.com/libp2p/go-libp2p-kad-dht/provider/keystore"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"
)

// counting sends what is asked and only counts what would be stored.
type counting struct {
	pb.MessageSender
	only bool
	sent atomic.Uint64
}

func (c *counting) SendMessage(ctx context.Context, p peer.ID, m *pb.Message) error {
	if m.GetType() == pb.Message_ADD_PROVIDER {
		c.sent.Add(1)
		if c.only {
			return nil
		}
	}
	return c.MessageSender.SendMessage(ctx, p, m)
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func residentPeakKiB() int {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// fillKeystore reads the keys in parts: what it takes must not count as the provider's memory.
func fillKeystore(path, dir string) (keystore.Keystore, *leveldb.Datastore, int, error) {
	ds, err := leveldb.NewDatastore(dir, nil)
	if err != nil {
		return nil, nil, 0, err
	}
	ks, err := keystore.NewKeystore(ds)
	if err != nil {
		return nil, nil, 0, err
	}
	var part []mh.Multihash
	n := 0
	put := func() error {
		_, err := ks.Put(context.Background(), part...)
		n, part = n+len(part), part[:0]
		return err
	}
	err = eachKey(path, func(key []byte) error {
		if part = append(part, mh.Multihash(key)); len(part) < 16384 {
			return nil
		}
		return put()
	})
	if err == nil && len(part) > 0 {
		err = put()
	}
	return ks, ds, n, err
}

// forgetPeak makes the kernel measure the peak of resident memory anew.
func forgetPeak() error {
	debug.FreeOSMemory()
	return os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// joined connects to the network. A refresh of the routing table that meets servers which stall does not
// end: after the limit the provider begins with what is known.
func joined(ctx context.Context, prefix string, addresses []string, limit time.Duration) (*dht.IpfsDHT, error) {
	h, err := newHost(true)
	if err != nil {
		return nil, err
	}
	d, err := dht.New(h, dht.Mode(dht.ModeClient), dht.ProtocolPrefix(protocol.ID(prefix)),
		dht.AddressFilter(everyAddress))
	if err != nil {
		return nil, err
	}
	for _, text := range addresses {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return nil, err
		}
		if err := h.Connect(ctx, *info); err != nil {
			return nil, err
		}
	}
	for range 100 { // until identify has told that they serve
		if d.RoutingTable().Size() > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	select {
	case err := <-d.RefreshRoutingTable():
		return d, err
	case <-time.After(limit):
		fmt.Fprintln(os.Stderr, "dht: the refresh of the routing table has not ended")
		return d, nil
	}
}

func reference(args []string) error {
	flags := flag.NewFlagSet("reference", flag.ExitOnError)
	prefix := flags.String("prefix", "/ipfs", "of the protocol")
	bootstrap := flags.String("bootstrap", "", "multiaddrs, with commas between")
	path := flags.String("keys", "", "file of multihashes")
	counted := flags.Bool("counted", false, "count the records instead of sending them")
	limit := flags.Duration("limit", 5*time.Minute, "give up after")
	joining := flags.Duration("joining", time.Minute, "begin with the routing table of then at the latest")
	flags.Parse(args)

	ctx := context.Background()
	dir, err := os.MkdirTemp("", "keystore")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ks, ds, n, err := fillKeystore(*path, dir)
	if err != nil {
		return err
	}
	d, err := joined(ctx, *prefix, strings.Split(*bootstrap, ","), *joining)
	if err != nil {
		return err
	}
	sender := &counting{MessageSender: d.MessageSender(), only: *counted}
	if err := forgetPeak(); err != nil {
		return err
	}
	idle := residentPeakKiB()
	cpu, began := cpuSeconds(), time.Now()
	sweeping, err := provider.New(provider.WithHost(d.Host()), provider.WithPeerID(d.Host().ID()),
		provider.WithRouter(d), provider.WithMessageSender(sender), provider.WithKeystore(ks),
		provider.WithDatastore(ds), provider.WithMaxWorkers(16), provider.WithMaxProvideConnsPerWorker(20),
		provider.WithSelfAddrs(func() []ma.Multiaddr { return d.Host().Addrs() }))
	if err != nil {
		return err
	}
	var heap uint64
	last, quiet := uint64(0), 0
	var seconds, used float64
	for quiet < 20 && time.Since(began) < *limit { // done: 2 s without a record, and nothing queued
		time.Sleep(100 * time.Millisecond)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heap = max(heap, m.HeapAlloc)
		stats, err := sweeping.Stats(ctx)
		if err != nil {
			return err
		}
		sent := sender.sent.Load()
		if sent != last || sent == 0 || stats.Queues.PendingRegionReprovides > 0 ||
			stats.Operations.Ongoing.RegionReprovides > 0 {
			last, quiet, seconds, used = sent, 0, time.Since(began).Seconds(), cpuSeconds()-cpu
		} else {
			quiet++
		}
	}
	if quiet < 20 {
		fmt.Fprintln(os.Stderr, "dht: not done when the limit was reached")
	}
	answer(map[string]any{"peer_id": d.Host().ID().String(), "keys": n, "done": quiet >= 20, "seconds": seconds,
		"cpu_seconds": used, "records": last, "heap_peak_bytes": heap, "resident_peak_kib": residentPeakKiB(),
		"resident_idle_kib": idle})
	if quiet < 20 { // it stands still, and closing would wait for it
		os.RemoveAll(dir)
		os.Exit(0)
	}
	return sweeping.Close()
}
