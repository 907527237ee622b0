package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/ethersphere/bee/v2/pkg/cac"
	"github.com/ethersphere/bee/v2/pkg/crypto"
	"github.com/ethersphere/bee/v2/pkg/postage"
	"github.com/ethersphere/bee/v2/pkg/soc"
	"github.com/ethersphere/bee/v2/pkg/swarm"
)

// genRequest asks for the chunks first .. first+count-1 of a seed. The same seed, number and batch
// give the same chunk with the same stamp in every process, so that reserves can overlap.
type genRequest struct {
	Seed    uint64 `json:"seed"`
	First   uint64 `json:"first"`
	Count   uint64 `json:"count"`
	Batch   string `json:"batch"`
	Size    int    `json:"size"`     // of the payload; 0: 1 to 4096, from the seed
	SOC     uint64 `json:"soc"`      // every so many is a single-owner chunk; 0: none
	Time    uint64 `json:"time"`     // of the stamps; a later one replaces
	Index   uint64 `json:"index"`    // added to the position in the bucket
	Payload uint64 `json:"payload"`  // other payloads for the same single-owner addresses
	WrongBy string `json:"wrong_by"` // the stamp is signed by the owner of this batch instead
}

func (g *genRequest) chunk(number uint64, owner crypto.Signer, signer crypto.Signer) (swarm.Chunk, error) {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[0:], g.Seed)
	binary.LittleEndian.PutUint64(seed[8:], number)
	binary.LittleEndian.PutUint64(seed[16:], g.Payload)
	random := rand.NewChaCha8(seed)
	size := g.Size
	if size == 0 {
		size = 1 + int(random.Uint64()%swarm.ChunkSize)
	}
	payload := make([]byte, size)
	_, _ = random.Read(payload)
	chunk, err := cac.New(payload)
	if err != nil {
		return nil, err
	}
	if g.SOC > 0 && number%g.SOC == 0 {
		var name [16]byte
		binary.LittleEndian.PutUint64(name[0:], g.Seed)
		binary.LittleEndian.PutUint64(name[8:], number)
		id, err := crypto.LegacyKeccak256(name[:])
		if err != nil {
			return nil, err
		}
		if chunk, err = soc.New(id, chunk).Sign(owner); err != nil {
			return nil, err
		}
	}
	return g.stamped(chunk, number, signer)
}

func (g *genRequest) stamped(chunk swarm.Chunk, number uint64, signer crypto.Signer) (swarm.Chunk, error) {
	var index, stampTime [8]byte
	bucket := binary.BigEndian.Uint32(chunk.Address().Bytes()) >> (32 - batchBucketDepth)
	binary.BigEndian.PutUint32(index[0:], bucket)
	binary.BigEndian.PutUint32(index[4:], uint32((number+g.Index)%(1<<(batchDepth-batchBucketDepth))))
	binary.BigEndian.PutUint64(stampTime[:], g.Time)
	id := batchID(g.Batch)
	text, err := postage.ToSignDigest(chunk.Address().Bytes(), id, index[:], stampTime[:])
	if err != nil {
		return nil, err
	}
	signature, err := signer.Sign(text)
	if err != nil {
		return nil, err
	}
	return chunk.WithStamp(postage.NewStamp(id, index[:], stampTime[:], signature)), nil
}

// each makes the chunks on all processors and hands them over in the order of their numbers.
func (g *genRequest) each(put func(swarm.Chunk) error) error {
	owner := crypto.NewDefaultSigner(batchKey(g.Batch))
	signer := owner
	if g.WrongBy != "" {
		signer = crypto.NewDefaultSigner(batchKey(g.WrongBy))
	}
	const slice = 256
	for done := uint64(0); done < g.Count; done += slice {
		n := min(slice, g.Count-done)
		chunks := make([]swarm.Chunk, n)
		errs := make([]error, n)
		var wg sync.WaitGroup
		workers := uint64(runtime.GOMAXPROCS(0))
		for w := range workers {
			wg.Go(func() {
				for i := w; i < n; i += workers {
					chunks[i], errs[i] = g.chunk(g.First+done+i, owner, signer)
				}
			})
		}
		wg.Wait()
		for i := range chunks {
			if errs[i] != nil {
				return errs[i]
			}
			if err := put(chunks[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *node) generate(ctx context.Context, g *genRequest) (any, error) {
	putter := n.db.ReservePutter()
	var lines []string
	err := g.each(func(chunk swarm.Chunk) error {
		line, err := entryLine(chunk)
		if err != nil {
			return err
		}
		lines = append(lines, line)
		return putter.Put(ctx, chunk)
	})
	return map[string]any{"entries": lines}, err
}

// entryLine is one line of a list: address, batch and hash of the stamp.
func entryLine(chunk swarm.Chunk) (string, error) {
	hash, err := chunk.Stamp().Hash()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s %s", chunk.Address(), hex.EncodeToString(chunk.Stamp().BatchID()),
		hex.EncodeToString(hash)), nil
}
