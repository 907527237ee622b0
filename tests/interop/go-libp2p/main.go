// A peer on go-libp2p for the interoperation test: it listens and prints its address, or dials a
// listener and runs the list of checks against it. TCP, Noise, Yamux.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	echoID = "/test/echo/1.0.0"
	perfID = "/perf/1.0.0" // 8 bytes: how much is wanted back; then data until FIN
)

func makeKey(kind string) (crypto.PrivKey, error) {
	kinds := map[string]int{"ed25519": crypto.Ed25519, "secp256k1": crypto.Secp256k1, "ecdsa": crypto.ECDSA, "rsa": crypto.RSA}
	k, _, err := crypto.GenerateKeyPairWithReader(kinds[kind], 2048, rand.Reader)
	return k, err
}

func makeHost(kind, security, ip string, listen bool) (host.Host, error) {
	key, err := makeKey(kind)
	if err != nil {
		return nil, err
	}
	opts := []libp2p.Option{libp2p.Identity(key), libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableRelay(), libp2p.DisableMetrics()}
	if security == "both" { // as kubo and bee: TLS is proposed first
		opts = append(opts, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	}
	opts = append(opts, libp2p.Security(noise.ID, noise.New))
	if listen {
		opts = append(opts, libp2p.ListenAddrStrings(ip+"/tcp/0"))
	} else {
		opts = append(opts, libp2p.NoListenAddrs)
	}
	return libp2p.New(opts...)
}

func serve(h host.Host) {
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
		io.Copy(io.Discard, s)
		io.CopyN(s, zeros{}, int64(binary.BigEndian.Uint64(n[:])))
		s.Close()
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func pings(ctx context.Context, h host.Host, id peer.ID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := ping.Ping(ctx, h, id)
	for i := 0; i < 10; i++ {
		if r := <-results; r.Error != nil {
			return r.Error
		}
	}
	return nil
}

func echo(ctx context.Context, h host.Host, id peer.ID) error {
	s, err := h.NewStream(ctx, id, echoID)
	if err != nil {
		return err
	}
	data := make([]byte, 300000)
	rand.Read(data)
	go func() {
		s.Write(data)
		s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err == nil && !bytes.Equal(got, data) {
		err = fmt.Errorf("%d other bytes came back", len(got))
	}
	return err
}

func perf(ctx context.Context, h host.Host, id peer.ID, up, down int64) error {
	s, err := h.NewStream(ctx, id, perfID)
	if err != nil {
		return err
	}
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(down))
	s.Write(n[:])
	if _, err := io.CopyN(s, zeros{}, up); err != nil {
		return err
	}
	s.CloseWrite()
	got, err := io.Copy(io.Discard, s)
	if err == nil && got != down {
		err = fmt.Errorf("%d bytes instead of %d", got, down)
	}
	return err
}

func known(h host.Host, id peer.ID) error {
	protocols, err := h.Peerstore().GetProtocols(id)
	if err != nil || len(protocols) == 0 {
		return fmt.Errorf("no protocols known: %v", err)
	}
	agent, err := h.Peerstore().Get(id, "AgentVersion")
	if err != nil || len(h.Peerstore().Addrs(id)) == 0 {
		return fmt.Errorf("no agent or addresses known: %v", err)
	}
	fmt.Printf("# agent %v, protocols %v\n", agent, protocols)
	return nil
}

func check(name string, err error) bool {
	if err != nil {
		fmt.Printf("not ok - %s: %v\n", name, err)
		return false
	}
	fmt.Printf("ok - %s\n", name)
	return true
}

func dial(h host.Host, target string, services bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 150*time.Second)
	defer cancel()
	info, err := peer.AddrInfoFromString(target)
	if err == nil {
		err = h.Connect(ctx, *info)
	}
	if !check("connect", err) {
		return false
	}
	for _, c := range h.Network().ConnsToPeer(info.ID) {
		<-h.(interface{ IDService() identify.IDService }).IDService().IdentifyWait(c)
		fmt.Printf("# muxer %s, early %v\n", c.ConnState().StreamMultiplexer, c.ConnState().UsedEarlyMuxerNegotiation)
	}
	ok := check("identify", known(h, info.ID))
	ok = check("ten pings", pings(ctx, h, info.ID)) && ok
	if !services {
		return ok
	}
	ok = check("300,000 bytes echoed", echo(ctx, h, info.ID)) && ok
	ok = check("8 MiB up", perf(ctx, h, info.ID, 8<<20, 0)) && ok
	return check("8 MiB down", perf(ctx, h, info.ID, 0, 8<<20)) && ok
}

func main() {
	kind := flag.String("key", "ed25519", "ed25519, secp256k1, ecdsa or rsa")
	security := flag.String("security", "noise", "noise, or both: TLS first")
	ip := flag.String("listen", "", "/ip4/127.0.0.1 or /ip6/::1")
	services := flag.Bool("services", true, "the listener has the test's services")
	target := flag.String("dial", "", "address with /p2p/")
	flag.Parse()
	h, err := makeHost(*kind, *security, *ip, *ip != "")
	if err != nil {
		fmt.Println("not ok -", err)
		os.Exit(1)
	}
	serve(h)
	if *target != "" {
		if !dial(h, *target, *services) {
			os.Exit(1)
		}
		return
	}
	fmt.Printf("%s/p2p/%s\n", h.Addrs()[0], h.ID())
	io.Copy(io.Discard, os.Stdin) // until the test closes it
}
