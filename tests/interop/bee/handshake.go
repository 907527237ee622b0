package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethersphere/bee/v2/pkg/bzz"
	"github.com/ethersphere/bee/v2/pkg/crypto"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
)

// rawHandshake dials with bee's records but not with bee's service, which is honest. The kinds:
// good, future (90 s ahead), network (another id), signature (of other text), overlay (not ours).
func rawHandshake(ctx context.Context, address, kind string, networkID uint64) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	host, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		return nil, err
	}
	defer host.Close()
	for _, id := range []protocol.ID{"/swarm/pricing/1.0.0/pricing", "/swarm/hive/2.0.0/peers"} {
		host.SetStreamHandler(id, listen)
	}
	info, err := peer.AddrInfoFromString(address)
	if err != nil {
		return nil, err
	}
	if err := host.Connect(ctx, *info); err != nil {
		return nil, err
	}
	stream, err := host.NewStream(ctx, info.ID, "/swarm/handshake/15.0.0/handshake")
	if err != nil {
		return nil, err
	}
	_ = stream.SetDeadline(time.Now().Add(60 * time.Second))
	observed := ma.StringCast(address)
	if err := writeFrame(stream, bytesField(nil, 1, observed.Bytes())); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := readFrame(bufio.NewReader(stream)); err != nil {
		return nil, fmt.Errorf("SynAck: %w", err)
	}
	seconds := time.Since(began).Seconds()
	own := host.Addrs()[0].Encapsulate(ma.StringCast("/p2p/" + host.ID().String()))
	ack, err := ackFor(kind, own, networkID)
	if err != nil {
		return nil, err
	}
	if err := writeFrame(stream, ack); err != nil {
		return nil, err
	}
	_ = stream.CloseWrite()
	// Accepted: the stream ends and the connection stays. Refused: the connection ends.
	_, _ = io.Copy(io.Discard, stream)
	connected := func() bool { return host.Network().Connectedness(info.ID) == network.Connected }
	time.Sleep(500 * time.Millisecond)
	for range 600 { // the end of a refused one comes when the machine lets it
		if kind == "good" || !connected() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return map[string]any{"connected": connected(), "synack_s": seconds}, nil
}

// listen takes what is said on a stream and answers nothing but the headers.
func listen(stream network.Stream) {
	defer stream.Close()
	if _, err := readFrame(bufio.NewReader(stream)); err == nil {
		_, _ = stream.Write([]byte{0})
		_, _ = io.Copy(io.Discard, stream)
	}
}

func ackFor(kind string, own ma.Multiaddr, networkID uint64) ([]byte, error) {
	seed, nonce := swarmKey("handshake " + kind)
	key := crypto.Secp256k1PrivateKeyFromBytes(seed)
	if kind == "network" {
		networkID++
	}
	overlay, err := crypto.NewOverlayAddress(key.PublicKey, networkID, nonce)
	if err != nil {
		return nil, err
	}
	at := time.Now().Unix()
	if kind == "future" {
		at += 90
	}
	record, err := bzz.NewAddress(crypto.NewDefaultSigner(key), []ma.Multiaddr{own}, overlay, networkID, nonce, at,
		common.Address{})
	if err != nil {
		return nil, err
	}
	if kind == "signature" {
		record.Signature[10] ^= 1
	}
	overlayBytes := append([]byte(nil), overlay.Bytes()...)
	if kind == "overlay" {
		overlayBytes[0] ^= 1
	}
	var address []byte
	address = bytesField(address, 1, own.Bytes())
	address = bytesField(address, 2, record.Signature)
	address = bytesField(address, 3, overlayBytes)
	address = bytesField(address, 4, nonce)
	address = numberField(address, 5, uint64(at))
	address = bytesField(address, 6, make([]byte, 20))
	ack := bytesField(nil, 1, address)
	return numberField(ack, 2, networkID), nil
}

func bytesField(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}

func numberField(to []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(to, number, protowire.VarintType), value)
}

func writeFrame(to io.Writer, message []byte) error {
	_, err := to.Write(append(protowire.AppendVarint(nil, uint64(len(message))), message...))
	return err
}

func readFrame(from *bufio.Reader) ([]byte, error) {
	size, err := binary.ReadUvarint(from)
	if err != nil {
		return nil, err
	}
	if size > 1<<17 {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := make([]byte, size)
	_, err = io.ReadFull(from, message)
	return message, err
}
