package main

import (
	"context"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-base32"
)

const providersPrefix = "/providers/"

type record struct {
	peer  string // base32, as in the library's key
	value []byte
}

// store holds a server's provider records in memory, by multihash. The library writes them under
// /providers/KEY/PEER, both in base32.
type store struct {
	mu      sync.RWMutex
	records map[string][]record
	discard bool // records are counted and not kept
}

func newStore(discard bool) *store {
	return &store{records: map[string][]record{}, discard: discard}
}

func split(key datastore.Key) (string, string, bool) {
	rest, ok := strings.CutPrefix(key.String(), providersPrefix)
	if !ok {
		return "", "", false
	}
	of, by, ok := strings.Cut(rest, "/")
	return of, by, ok
}

func (s *store) find(of, by string) []byte {
	for _, r := range s.records[of] {
		if r.peer == by {
			return r.value
		}
	}
	return nil
}

func (s *store) holds(key []byte, id peer.ID) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.find(base32.RawStdEncoding.EncodeToString(key),
		base32.RawStdEncoding.EncodeToString([]byte(id))) != nil
}

func (s *store) size() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.records)
}

func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = map[string][]record{}
}

func (s *store) Put(_ context.Context, key datastore.Key, value []byte) error {
	of, by, ok := split(key)
	if !ok || s.discard {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.records[of] {
		if r.peer == by {
			s.records[of][i].value = value
			return nil
		}
	}
	s.records[of] = append(s.records[of], record{by, value})
	return nil
}

func (s *store) Get(_ context.Context, key datastore.Key) ([]byte, error) {
	of, by, _ := split(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if v := s.find(of, by); v != nil {
		return v, nil
	}
	return nil, datastore.ErrNotFound
}

func (s *store) Has(ctx context.Context, key datastore.Key) (bool, error) {
	_, err := s.Get(ctx, key)
	return err == nil, nil
}

func (s *store) GetSize(ctx context.Context, key datastore.Key) (int, error) {
	v, err := s.Get(ctx, key)
	return len(v), err
}

func (s *store) Delete(_ context.Context, key datastore.Key) error {
	of, by, _ := split(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.records[of] {
		if r.peer == by {
			s.records[of] = append(s.records[of][:i], s.records[of][i+1:]...)
			break
		}
	}
	return nil
}

func (s *store) Query(_ context.Context, q query.Query) (query.Results, error) {
	of := strings.TrimSuffix(strings.TrimPrefix(q.Prefix, providersPrefix), "/")
	var found []query.Entry
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, r := range s.records[of] {
		found = append(found, query.Entry{Key: providersPrefix + of + "/" + r.peer, Value: r.value,
			Size: len(r.value)})
	}
	return query.ResultsWithEntries(q, found), nil
}

func (s *store) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(s), nil
}
func (s *store) Sync(context.Context, datastore.Key) error { return nil }
func (s *store) Close() error                              { return nil }
