package main

import (
	"bytes"
	"container/heap"
	"crypto/sha256"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"
)

const replication = 20

// place is where something lies in the keyspace.
type place [32]byte

func placeOf(what []byte) place { return sha256.Sum256(what) }

func (p *place) less(o *place) bool { return bytes.Compare(p[:], o[:]) < 0 }

type candidate struct {
	distance place
	server   *server
}

// farthest is a heap with the farthest candidate on top.
type farthest []candidate

func (f farthest) Len() int           { return len(f) }
func (f farthest) Less(i, j int) bool { return f[j].distance.less(&f[i].distance) }
func (f farthest) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *farthest) Push(x any)        { *f = append(*f, x.(candidate)) }
func (f *farthest) Pop() any {
	old := *f
	last := old[len(old)-1]
	*f = old[:len(old)-1]
	return last
}

// nearest are the living servers nearest to a place, by comparing with every one of them.
func nearest(living []*server, at place) farthest {
	var best farthest
	for _, s := range living {
		c := candidate{server: s}
		for i := range at {
			c.distance[i] = at[i] ^ s.kad[i]
		}
		if len(best) < replication {
			heap.Push(&best, c)
		} else if c.distance.less(&best[0].distance) {
			best[0] = c
			heap.Fix(&best, 0)
		}
	}
	return best
}

type verdict struct {
	Keys      int     `json:"keys"`
	Servers   int     `json:"servers"`   // living
	All       int     `json:"all"`       // keys whose nearest servers all hold the record
	One       int     `json:"one"`       // keys that at least one of these holds
	Anywhere  int     `json:"anywhere"`  // keys that at least one living server holds
	Mean      float64 `json:"mean"`      // of the nearest, how many hold it
	Misplaced uint64  `json:"misplaced"` // records at living servers that are not among the nearest
	Used      int     `json:"used"`      // living servers with a record
}

func (l *lab) check(path, provider string) (any, error) {
	keys, err := readKeys(path)
	if err != nil {
		return nil, err
	}
	id, err := peer.Decode(provider)
	if err != nil {
		return nil, err
	}
	var living []*server
	v := verdict{Keys: len(keys)}
	for _, s := range l.servers {
		if !s.failed.Load() {
			living = append(living, s)
			if s.store.size() > 0 {
				v.Used++
			}
		}
	}
	v.Servers = len(living)
	var held, all, one, anywhere, misplaced atomic.Int64
	var wg sync.WaitGroup
	for part := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := part; i < len(keys); i += 2 {
				holders, total := 0, 0
				best := nearest(living, placeOf(keys[i]))
				for _, c := range best {
					if c.server.store.holds(keys[i], id) {
						holders++
					}
				}
				for _, s := range living {
					if s.store.holds(keys[i], id) {
						total++
					}
				}
				held.Add(int64(holders))
				misplaced.Add(int64(total - holders))
				if holders == len(best) {
					all.Add(1)
				}
				if holders > 0 {
					one.Add(1)
				}
				if total > 0 {
					anywhere.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	v.All, v.One, v.Anywhere = int(all.Load()), int(one.Load()), int(anywhere.Load())
	v.Misplaced = uint64(misplaced.Load())
	if len(keys) > 0 {
		v.Mean = float64(held.Load()) / float64(len(keys))
	}
	return v, nil
}
