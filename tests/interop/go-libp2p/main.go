// A small libp2p host of the Go implementation, for tests against larder: listens or dials, TCP and
// Yamux, Noise (or TLS alone, to be refused), with an identity of the wanted type.
//
// Listening it prints one line `listening MULTIADDR/p2p/ID` and serves /echo/1.0.0 and /perf/1.0.0
// (https://github.com/libp2p/specs/blob/master/perf/perf.md) until its standard input ends. Dialling
// it runs every check against the peer, prints a line for each, and exits 0 when all of them hold.
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
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
)

const (
	echoProtocol = "/echo/1.0.0"
	perfProtocol = "/perf/1.0.0"
	echoBytes    = 300_000
	perfBytes    = 8 << 20
	pings        = 10
)

func makeKey(kind string) (crypto.PrivKey, error) {
	kinds := map[string]struct{ code, bits int }{
		"ed25519": {crypto.Ed25519, 0}, "secp256k1": {crypto.Secp256k1, 0},
		"ecdsa": {crypto.ECDSA, 0}, "rsa": {crypto.RSA, 2048},
	}
	k, ok := kinds[kind]
	if !ok {
		return nil, fmt.Errorf("unknown key type %q", kind)
	}
	priv, _, err := crypto.GenerateKeyPairWithReader(k.code, k.bits, rand.Reader)
	return priv, err
}

func echo(s network.Stream) {
	defer s.Close()
	if _, err := io.Copy(s, s); err != nil {
		s.Reset()
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// perf: 8 bytes say how much is wanted back, then comes the upload until its end.
func perf(s network.Stream) {
	var want uint64
	if err := binary.Read(s, binary.BigEndian, &want); err != nil || want > 1<<32 {
		s.Reset()
		return
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		s.Reset()
		return
	}
	if _, err := io.CopyN(s, zeros{}, int64(want)); err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func checkIdentify(h host.Host, id peer.ID, sub event.Subscription) error {
	for {
		select {
		case e := <-sub.Out():
			done := e.(event.EvtPeerIdentificationCompleted)
			if done.Peer != id {
				continue
			}
			if len(done.ListenAddrs) == 0 || len(done.Protocols) == 0 || done.AgentVersion == "" {
				return fmt.Errorf("identify lacks something: %+v", done)
			}
			return nil
		case <-time.After(5 * time.Second):
			return fmt.Errorf("no identify within 5 s")
		}
	}
}

func checkPing(h host.Host, id peer.ID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	results := ping.Ping(ctx, h, id)
	for i := 0; i < pings; i++ {
		if r := <-results; r.Error != nil {
			return fmt.Errorf("ping %d: %w", i, r.Error)
		}
	}
	return nil
}

func checkEcho(h host.Host, id peer.ID) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return err
	}
	sent := make([]byte, echoBytes)
	rand.Read(sent)
	go func() {
		s.Write(sent)
		s.CloseWrite()
	}()
	s.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return fmt.Errorf("%d bytes came back, not the same", len(got))
	}
	return nil
}

func checkPerf(h host.Host, id peer.ID, up, down uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s, err := h.NewStream(ctx, id, perfProtocol)
	if err != nil {
		return err
	}
	s.SetDeadline(time.Now().Add(60 * time.Second))
	if err := binary.Write(s, binary.BigEndian, down); err != nil {
		return err
	}
	if _, err := io.CopyN(s, zeros{}, int64(up)); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, s)
	if err == nil && uint64(n) != down {
		err = fmt.Errorf("%d bytes instead of %d", n, down)
	}
	return err
}

func dial(h host.Host, target string) error {
	info, err := peer.AddrInfoFromString(target)
	if err != nil {
		return err
	}
	sub, err := h.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted))
	if err != nil {
		return err
	}
	defer sub.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := h.Connect(ctx, *info); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	conn := h.Network().ConnsToPeer(info.ID)[0].ConnState()
	fmt.Printf("connected security=%s muxer=%s early=%v\n", conn.Security, conn.StreamMultiplexer, conn.UsedEarlyMuxerNegotiation)
	checks := []struct {
		name string
		run  func() error
	}{
		{"identify", func() error { return checkIdentify(h, info.ID, sub) }},
		{"ping", func() error { return checkPing(h, info.ID) }},
		{"echo", func() error { return checkEcho(h, info.ID) }},
		{"upload", func() error { return checkPerf(h, info.ID, perfBytes, 0) }},
		{"download", func() error { return checkPerf(h, info.ID, 0, perfBytes) }},
	}
	failed := 0
	for _, c := range checks {
		if err := c.run(); err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", c.name, err)
		} else {
			fmt.Printf("ok %s\n", c.name)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return nil
}

func run() error {
	listen := flag.String("listen", "", "multiaddr to listen on, port 0 for any")
	target := flag.String("dial", "", "multiaddr with /p2p/ID to check")
	key := flag.String("key", "ed25519", "identity: ed25519, secp256k1, ecdsa (P-256), rsa (2048)")
	security := flag.String("security", "default", "default (TLS first, then Noise), noise, tls")
	flag.Parse()

	priv, err := makeKey(*key)
	if err != nil {
		return err
	}
	options := []libp2p.Option{
		libp2p.Identity(priv), libp2p.Transport(tcp.NewTCPTransport), libp2p.DisableRelay(),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport), libp2p.DisableMetrics(),
	}
	if *security != "noise" {
		options = append(options, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	}
	if *security != "tls" {
		options = append(options, libp2p.Security(noise.ID, noise.New))
	}
	if *listen != "" {
		options = append(options, libp2p.ListenAddrStrings(*listen))
	} else {
		options = append(options, libp2p.NoListenAddrs)
	}
	h, err := libp2p.New(options...)
	if err != nil {
		return err
	}
	defer h.Close()
	h.SetStreamHandler(echoProtocol, echo)
	h.SetStreamHandler(perfProtocol, perf)
	if *target != "" {
		return dial(h, *target)
	}
	for _, a := range h.Addrs() {
		fmt.Printf("listening %s/p2p/%s\n", a, h.ID())
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}
