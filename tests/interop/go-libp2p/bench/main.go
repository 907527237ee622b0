// The other side of build/larder-bench net, on go-libp2p: TCP, Noise, Yamux, ed25519. It takes the
// orders that tests/bench/net_side.h lists, one a line, and answers each with one line.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	echoID     = "/test/echo/1.0.0"
	perfID     = "/perf/1.0.0"
	writeBytes = 64 << 10
	echoBytes  = 64
)

// makeHost has no limits of its own: what is measured is the work, not the policy.
func makeHost(where string) (host.Host, error) {
	h, err := libp2p.New(libp2p.Transport(tcp.NewTCPTransport), libp2p.Security(noise.ID, noise.New),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ListenAddrStrings(where+"/tcp/0"), libp2p.ConnectionManager(connmgr.NullConnMgr{}),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return nil, err
	}
	h.SetStreamHandler(echoID, func(s network.Stream) {
		io.Copy(s, s)
		s.Close()
	})
	h.SetStreamHandler(perfID, func(s network.Stream) {
		var n [8]byte
		if _, err := io.ReadFull(s, n[:]); err != nil {
			s.Reset()
			return
		}
		drain(s)
		send(s, int64(binary.BigEndian.Uint64(n[:])))
		s.Close()
	})
	return h, nil
}

func drain(r io.Reader) (int64, error) {
	buf, n := make([]byte, writeBytes), int64(0)
	for {
		got, err := r.Read(buf)
		n += int64(got)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

func send(w io.Writer, size int64) error {
	buf := make([]byte, writeBytes)
	for size > 0 {
		n, err := w.Write(buf[:min(size, writeBytes)])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}

func cpu() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func residentBytes() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	kib := int64(0)
	for _, line := range strings.Split(string(status), "\n") {
		if strings.HasPrefix(line, "RssAnon:") {
			fmt.Sscanf(line, "RssAnon: %d", &kib)
		}
	}
	return kib << 10
}

func connects(ctx context.Context, h host.Host, to peer.AddrInfo, n int64) error {
	for i := int64(0); i < n; i++ {
		if err := h.Connect(ctx, to); err != nil { // identify included
			return err
		}
		h.Network().ClosePeer(to.ID)
	}
	return nil
}

func bulk(ctx context.Context, h host.Host, to peer.AddrInfo, up, down int64) error {
	s, err := h.NewStream(ctx, to.ID, perfID)
	if err != nil {
		return err
	}
	s.Write(binary.BigEndian.AppendUint64(nil, uint64(down)))
	if err := send(s, up); err != nil {
		return err
	}
	s.CloseWrite()
	got, err := drain(s)
	if err == nil && got != down {
		err = fmt.Errorf("%d bytes instead of %d", got, down)
	}
	return err
}

func streams(ctx context.Context, h host.Host, to peer.AddrInfo, n int64) error {
	data := make([]byte, echoBytes)
	for i := int64(0); i < n; i++ {
		s, err := h.NewStream(ctx, to.ID, echoID)
		if err != nil {
			return err
		}
		s.Write(data)
		s.CloseWrite()
		got, err := io.ReadAll(s)
		if err != nil || !bytes.Equal(got, data) {
			return fmt.Errorf("%d other bytes came back: %v", len(got), err)
		}
	}
	return nil
}

// order does what a line asks for, and returns the answer.
func order(h host.Host, name, address string, n int64) (string, error) {
	ctx := context.Background()
	to, err := peer.AddrInfoFromString(address)
	if err != nil {
		return "", err
	}
	if name != "connects" {
		if err := h.Connect(ctx, *to); err != nil {
			return "", err
		}
	}
	wall, before := time.Now(), cpu()
	switch name {
	case "connects":
		err = connects(ctx, h, *to, n)
	case "send":
		err = bulk(ctx, h, *to, n, 0)
	case "receive":
		err = bulk(ctx, h, *to, 0, n)
	case "streams":
		err = streams(ctx, h, *to, n)
	default:
		err = fmt.Errorf("no order is called %q", name)
	}
	answer := fmt.Sprintf("%d %d", time.Since(wall).Nanoseconds(), cpu()-before)
	h.Network().ClosePeer(to.ID)
	return answer, err
}

func main() {
	h, err := makeHost(os.Args[1])
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var name, address string
		var n int64
		fmt.Sscan(in.Text(), &name, &address, &n)
		if name == "usage" {
			fmt.Printf("%d %d\n", cpu(), residentBytes())
			continue
		}
		answer, err := order(h, name, address, n)
		if err != nil {
			answer = "failed " + err.Error()
		}
		fmt.Println(answer)
	}
}
