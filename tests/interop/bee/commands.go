package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ethersphere/bee/v2/pkg/file/joiner"
	"github.com/ethersphere/bee/v2/pkg/file/redundancy"
	"github.com/ethersphere/bee/v2/pkg/p2p"
	"github.com/ethersphere/bee/v2/pkg/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

func (n *node) run(ctx context.Context, c *command) (any, error) {
	switch c.Do {
	case "gen":
		return n.generate(ctx, &c.Gen)
	case "dump":
		return n.reserve.dump(c.File)
	case "fault":
		n.reserve.setFault(c.Fault)
		return nil, nil
	case "counts":
		return n.reserve.counts(), nil
	case "forget":
		n.reserve.forgetCounts()
		return nil, nil
	case "size":
		return n.db.ReserveSize(), nil
	case "usage":
		return usage()
	case "metrics":
		return n.metrics()
	case "connect":
		return n.connect(ctx, c.Address)
	case "peers":
		return n.peers(), nil
	case "read":
		return n.read(ctx, c.Reference, c.File)
	case "pull":
		n.puller.Start(context.Background())
		return nil, nil
	}
	peer, err := swarm.ParseHexAddress(c.Peer)
	if err != nil {
		return nil, err
	}
	switch c.Do {
	case "disconnect":
		return nil, n.p2p.Disconnect(peer, "asked")
	case "ping":
		rtt, err := n.pingpong.Ping(ctx, peer, "hello")
		return rtt.Seconds(), err
	case "status":
		return n.status.PeerSnapshot(ctx, peer)
	case "cursors":
		cursors, epoch, err := n.syncer.GetCursors(ctx, peer)
		return map[string]any{"cursors": cursors, "epoch": epoch}, err
	case "sync":
		topmost, count, err := n.syncer.Sync(ctx, peer, c.Bin, c.Start)
		return map[string]any{"topmost": topmost, "count": count}, err
	case "sync_all":
		return n.syncAll(ctx, peer)
	}
	return nil, fmt.Errorf("unknown command %q", c.Do)
}

func (n *node) connect(ctx context.Context, address string) (any, error) {
	underlay, err := ma.NewMultiaddr(address)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	peer, err := n.p2p.Connect(ctx, []ma.Multiaddr{underlay})
	seconds := time.Since(began).Seconds()
	if err != nil {
		return nil, err
	}
	n.kad.Reachable(peer.Overlay, p2p.ReachabilityStatusPublic) // it was dialed; and see recorded
	if err := n.kad.Connected(ctx, p2p.Peer{Address: peer.Overlay, FullNode: true}, true); err != nil {
		return nil, err
	}
	return map[string]any{"overlay": peer.Overlay.String(), "seconds": seconds}, nil
}

// read joins a file from what is in the store.
func (n *node) read(ctx context.Context, reference, path string) (any, error) {
	address, err := swarm.ParseHexAddress(reference)
	if err != nil {
		return nil, err
	}
	chunks := n.db.ChunkStore()
	reader, size, err := joiner.New(ctx, chunks, nil, address, redundancy.NONE)
	if err != nil {
		return nil, err
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(file, reader)
	return size, errors.Join(err, file.Close())
}

func (n *node) peers() any {
	list := []map[string]any{}
	for _, peer := range n.p2p.Peers() {
		list = append(list, map[string]any{"overlay": peer.Address.String(), "full": peer.FullNode})
	}
	return list
}

// syncAll pulls every bin up to its cursor, page by page, the bins side by side as bee's puller does.
func (n *node) syncAll(ctx context.Context, peer swarm.Address) (any, error) {
	cursors, epoch, err := n.syncer.GetCursors(ctx, peer)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	pages, chunks, refused := 0, 0, 0
	for bin, cursor := range cursors {
		wg.Go(func() {
			for start := uint64(1); start <= cursor; {
				topmost, count, err := n.syncer.Sync(ctx, peer, uint8(bin), start)
				mu.Lock()
				pages++
				chunks += count
				if err != nil && topmost >= start {
					refused++ // of single chunks: the page itself went through
				} else if err != nil || topmost < start {
					errs = append(errs, fmt.Errorf("bin %d from %d: topmost %d: %w", bin, start, topmost, err))
					mu.Unlock()
					return
				}
				mu.Unlock()
				start = topmost + 1
			}
		})
	}
	wg.Wait()
	return map[string]any{"epoch": epoch, "pages": pages, "chunks": chunks, "refused_pages": refused},
		errors.Join(errs...)
}

// usage is what the process has used so far.
func usage() (any, error) {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return nil, err
	}
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	peak := 0
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	return map[string]any{"cpu_s": seconds(used.Utime) + seconds(used.Stime), "vm_hwm_kib": peak}, nil
}

// metrics is every counter of pullsync and puller, summed over its labels.
func (n *node) metrics() (any, error) {
	families, err := n.registry.Gather()
	if err != nil {
		return nil, err
	}
	sums := make(map[string]float64)
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			sums[family.GetName()] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sums, nil
}
