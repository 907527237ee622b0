package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/ethersphere/bee/v2/pkg/cac"
	"github.com/ethersphere/bee/v2/pkg/p2p"
	"github.com/ethersphere/bee/v2/pkg/p2p/protobuf"
	"github.com/ethersphere/bee/v2/pkg/pullsync/pb"
	"github.com/ethersphere/bee/v2/pkg/swarm"
)

// badServer serves pullsync as nobody should. The kinds:
//
//	wrong_lengths  ids of 31, 5 and 0 bytes
//	many           an offer of 5000 ids
//	huge           a message of 4 GiB announced
//	unasked        deliveries nobody asked for, and more of them
//	replay         one delivery again and again
//	endless        offers without end of chunks that are then missing
//	empty          empty offers at once
//	still          an offer whose topmost lies before what was asked
//	topmost        an offer up to 2^64-1
//	cursors        31 cursors
//	last_cursor    a cursor of 2^64-1, behind which there is no BinID
//	epoch          another epoch each time
//	garbage        no protobuf
//	silent         nothing after the stream is open
type badServer struct {
	kind     atomic.Pointer[string]
	requests atomic.Int64
}

func (b *badServer) set(kind string) { b.kind.Store(&kind) }

func (b *badServer) is() string {
	if kind := b.kind.Load(); kind != nil {
		return *kind
	}
	return "silent"
}

func (b *badServer) protocol() p2p.ProtocolSpec {
	return p2p.ProtocolSpec{Name: "pullsync", Version: "1.4.0", StreamSpecs: []p2p.StreamSpec{
		{Name: "cursors", Handler: b.cursors}, {Name: "pullsync", Handler: b.page},
	}}
}

func (b *badServer) cursors(ctx context.Context, _ p2p.Peer, stream p2p.Stream) error {
	writer, reader := protobuf.NewWriterAndReader(stream)
	if err := reader.ReadMsgWithContext(ctx, &pb.Syn{}); err != nil {
		return stream.Reset()
	}
	ack := &pb.Ack{Cursors: make([]uint64, swarm.MaxBins), Epoch: 1_700_000_000}
	for i := range ack.Cursors {
		ack.Cursors[i] = 1 << 40
	}
	switch b.is() {
	case "cursors":
		ack.Cursors = ack.Cursors[1:]
	case "last_cursor":
		ack.Cursors[3] = math.MaxUint64
	case "epoch":
		ack.Epoch = uint64(time.Now().UnixNano())
	case "silent":
		<-ctx.Done()
	}
	_ = writer.WriteMsgWithContext(ctx, ack)
	return stream.FullClose()
}

func randomChunk() *pb.Chunk {
	id := make([]byte, 96)
	_, _ = rand.Read(id)
	return &pb.Chunk{Address: id[:32], BatchID: id[32:64], StampHash: id[64:]}
}

func (b *badServer) page(ctx context.Context, _ p2p.Peer, stream p2p.Stream) error {
	b.requests.Add(1)
	writer, reader := protobuf.NewWriterAndReader(stream)
	var get pb.Get
	if err := reader.ReadMsgWithContext(ctx, &get); err != nil {
		return stream.Reset()
	}
	if get.Start >= 1<<40 { // live: as any server, it waits
		select {
		case <-ctx.Done():
		case <-time.After(time.Hour):
		}
		return stream.Reset()
	}
	kind := b.is()
	offer := &pb.Offer{Topmost: get.Start + 249}
	for range 250 {
		offer.Chunks = append(offer.Chunks, randomChunk())
	}
	switch kind {
	case "silent":
		<-ctx.Done()
		return stream.Reset()
	case "garbage":
		_, _ = stream.Write([]byte{5, 0xff, 0xfe, 0xfd, 0xfc, 0xfb})
		return stream.FullClose()
	case "huge":
		_, _ = stream.Write([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3})
		return stream.FullClose()
	case "empty":
		offer.Chunks = nil
	case "wrong_lengths":
		offer.Chunks[0].Address = offer.Chunks[0].Address[:31]
		offer.Chunks[1].BatchID = offer.Chunks[1].BatchID[:5]
		offer.Chunks[2].StampHash = nil
	case "many":
		for range 5000 - 250 {
			offer.Chunks = append(offer.Chunks, &pb.Chunk{Address: make([]byte, 1)})
		}
	case "still":
		offer.Topmost = get.Start - 1
	case "topmost":
		offer.Topmost = math.MaxUint64
	}
	if err := writer.WriteMsgWithContext(ctx, offer); err != nil {
		return stream.Reset()
	}
	var want pb.Want
	if err := reader.ReadMsgWithContext(ctx, &want); err != nil {
		return stream.Reset()
	}
	return b.deliver(ctx, writer, stream, kind)
}

func (b *badServer) deliver(ctx context.Context, writer protobuf.Writer, stream p2p.Stream, kind string) error {
	var payload [8]byte
	for i := range 250 {
		delivery := &pb.Delivery{}
		if kind == "unasked" || kind == "replay" {
			if kind == "unasked" {
				binary.LittleEndian.PutUint64(payload[:], uint64(i))
			}
			chunk, err := cac.New(payload[:])
			if err != nil {
				return err
			}
			delivery = &pb.Delivery{Address: chunk.Address().Bytes(), Data: chunk.Data(), Stamp: make([]byte, 113)}
		}
		if err := writer.WriteMsgWithContext(ctx, delivery); err != nil {
			return stream.Reset()
		}
	}
	return stream.FullClose()
}
