package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"

	"github.com/ethersphere/bee/v2/pkg/cac"
	"github.com/ethersphere/bee/v2/pkg/postage"
	"github.com/ethersphere/bee/v2/pkg/soc"
	"github.com/ethersphere/bee/v2/pkg/storage"
	"github.com/ethersphere/bee/v2/pkg/storer"
	"github.com/ethersphere/bee/v2/pkg/swarm"
)

// fault spoils what is served: every chunk whose address ends in a byte divisible by Every.
type fault struct {
	Kind  string `json:"kind"` // missing, bad_data, bad_stamp, short_data; empty: none
	Every int    `json:"every"`
}

// servedReserve is bee's reserve as the protocol sees it: it counts what is handed out, and spoils
// it when told to.
type servedReserve struct {
	*storer.DB
	mu     sync.Mutex
	fault  fault
	served map[string]int // by address and stamp
	puts   int
	hases  int
}

func (r *servedReserve) setFault(f fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = f
}

func (r *servedReserve) ReserveHas(addr swarm.Address, batch, stampHash []byte) (bool, error) {
	r.mu.Lock()
	r.hases++
	r.mu.Unlock()
	return r.DB.ReserveHas(addr, batch, stampHash)
}

func (r *servedReserve) ReserveGet(ctx context.Context, addr swarm.Address, batch, stampHash []byte) (swarm.Chunk, error) {
	r.mu.Lock()
	f := r.fault
	r.served[addr.ByteString()+string(stampHash)]++
	r.mu.Unlock()
	chunk, err := r.DB.ReserveGet(ctx, addr, batch, stampHash)
	if err != nil || f.Kind == "" || int(addr.Bytes()[31])%f.Every != 0 {
		return chunk, err
	}
	switch f.Kind {
	case "missing":
		return nil, storage.ErrNotFound
	case "bad_data":
		data := append([]byte(nil), chunk.Data()...)
		data[len(data)-1] ^= 1
		return swarm.NewChunk(addr, data).WithStamp(chunk.Stamp()), nil
	case "short_data":
		return swarm.NewChunk(addr, chunk.Data()[:4]).WithStamp(chunk.Stamp()), nil
	case "bad_stamp":
		stamp := chunk.Stamp()
		signature := append([]byte(nil), stamp.Sig()...)
		signature[40] ^= 1
		return swarm.NewChunk(addr, chunk.Data()).
			WithStamp(postage.NewStamp(stamp.BatchID(), stamp.Index(), stamp.Timestamp(), signature)), nil
	}
	return nil, fmt.Errorf("unknown fault %q", f.Kind)
}

func (r *servedReserve) ReservePutter() storage.Putter {
	inner := r.DB.ReservePutter()
	return storage.PutterFunc(func(ctx context.Context, chunk swarm.Chunk) error {
		err := inner.Put(ctx, chunk)
		if err == nil {
			r.mu.Lock()
			r.puts++
			r.mu.Unlock()
		}
		return err
	})
}

func (r *servedReserve) counts() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	total, most := 0, 0
	for _, n := range r.served {
		total += n
		most = max(most, n)
	}
	return map[string]any{"served": total, "served_distinct": len(r.served), "served_most": most, "puts": r.puts,
		"hases": r.hases}
}

func (r *servedReserve) forgetCounts() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.served, r.puts, r.hases = make(map[string]int), 0, 0
}

// dump writes the sorted list of the whole reserve; each body is read and its address recomputed.
func (r *servedReserve) dump(path string) (any, error) {
	var lines []string
	broken := 0
	err := r.ReserveIterateChunks(func(chunk swarm.Chunk) (bool, error) {
		line, err := entryLine(chunk)
		if err != nil {
			return true, err
		}
		if !cac.Valid(chunk) && !soc.Valid(chunk) {
			broken++
		}
		lines = append(lines, line)
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	sort.Strings(lines)
	text := strings.Join(lines, "\n")
	if len(lines) > 0 {
		text += "\n"
	}
	return map[string]any{"entries": len(lines), "broken": broken}, os.WriteFile(path, []byte(text), 0o644)
}
