// The index of a bee node's reserve: its own store package on a folder, with the options that its
// storer gives it by default, filled with the five records that it keeps of a chunk, and asked as
// its reserve asks: is there an item of this batch, bin, address and stamp hash?
//
// beeindex DIR ENTRIES: prints one line per case,
//
//	present|absent GOROUTINES LOOKUPS_PER_SECOND CPU_US_PER_LOOKUP
//
// and at the end "resident KIB", the high water mark.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ethersphere/bee/v2/pkg/storage"
	"github.com/ethersphere/bee/v2/pkg/storage/leveldbstore"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

const (
	batches  = 100
	premade  = 1 << 16
	writeMax = 1000
	caseTime = 1500 * time.Millisecond
)

func fill(state uint64, out []byte) {
	for at := 0; at < len(out); at += 8 {
		state += 0x9e3779b97f4a7c15
		z := state
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(out[at:], z^z>>31)
	}
}

// The same entries as those of the bench beside: addresses in the order of their numbers.
type entry struct {
	batch, address, stampHash [32]byte
	bin                       uint8
	number                    uint64
}

func entryOf(entries, i uint64, absent bool) (e entry) {
	salt := uint64(0)
	if absent {
		salt = 1 << 60
	}
	prefix, _ := bits.Div64(i, 0, entries)
	binary.BigEndian.PutUint64(e.address[:], prefix)
	fill(salt|i*3, e.address[8:])
	binary.BigEndian.PutUint64(e.batch[:], i*batches/entries)
	fill(i*batches/entries, e.batch[8:])
	fill(salt|(i*3+1), e.stampHash[:])
	e.bin = uint8(min(bits.LeadingZeros64(prefix), 31))
	e.number = i
	return e
}

// An item as the store package wants it.
type item struct {
	namespace, id string
	value         []byte
}

func (i *item) Namespace() string        { return i.namespace }
func (i *item) ID() string               { return i.id }
func (i *item) Marshal() ([]byte, error) { return i.value, nil }
func (i *item) Unmarshal(b []byte) error { i.value = bytes.Clone(b); return nil }
func (i *item) Clone() storage.Item      { c := *i; return &c }
func (i *item) String() string           { return i.namespace + "/" + i.id }

// The key of a look-up is made for each, as the reserve does.
func lookupItem(e *entry) *item {
	return &item{namespace: "batchRadius", id: string(e.batch[:]) + string(rune(e.bin)) +
		string(e.address[:]) + string(e.stampHash[:])}
}

func items(e *entry) []*item {
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], e.number)
	radius := lookupItem(e)
	radius.value = make([]byte, 105)
	binID := string(rune(e.bin)) + string(number[:])
	values := make([]byte, 113)
	fill(e.number, values[:112])
	return []*item{
		radius,
		{"chunkBin", binID, values[:106]},
		{"stampIndex", "reserve/" + string(e.batch[:]) + "/" + string(number[:]), values[:104]},
		{"chunkStamp", "reserve/" + string(e.address[:]) + "/" + string(e.batch[:]) +
			string(number[:]), values[:113]},
		{"retrievalIdx", string(e.address[:]), values[:51]},
	}
}

func fillStore(s *leveldbstore.Store, entries uint64) error {
	ctx := context.Background()
	for i := uint64(0); i < entries; {
		b := s.Batch(ctx)
		for n := 0; n < writeMax && i < entries; i++ {
			e := entryOf(entries, i, false)
			for _, it := range items(&e) {
				if err := b.Put(it); err != nil {
					return err
				}
				n++
			}
		}
		if err := b.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func ask(s *leveldbstore.Store, entries uint64, absent bool, goroutines int) error {
	ids := make([]entry, premade)
	state := uint64(goroutines)
	var raw [8]byte
	for i := range ids {
		state += 0x9e3779b97f4a7c15
		fill(state, raw[:])
		ids[i] = entryOf(entries, binary.LittleEndian.Uint64(raw[:])%entries, absent)
	}
	var wg sync.WaitGroup
	wrong := make([]int, goroutines)
	done := make([]int, goroutines)
	start, spent := time.Now(), cpu()
	for g := range goroutines {
		wg.Go(func() {
			for at := g * premade / goroutines; ; at++ {
				if done[g]%16 == 0 && time.Since(start) > caseTime {
					return
				}
				has, err := s.Has(lookupItem(&ids[at%premade]))
				if err != nil || has == absent {
					wrong[g]++
				}
				done[g]++
			}
		})
	}
	wg.Wait()
	wall, used := time.Since(start), cpu()-spent
	all := 0
	for g := range goroutines {
		all += done[g]
		if wrong[g] > 0 {
			return errors.New("a look-up was answered wrong")
		}
	}
	name := "present"
	if absent {
		name = "absent"
	}
	fmt.Printf("%s %d %.1f %.3f\n", name, goroutines, float64(all)/wall.Seconds(),
		float64(used.Microseconds())/float64(all))
	return nil
}

func resident() string {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return "0"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib string
		if n, _ := fmt.Sscanf(lines.Text(), "VmHWM: %s", &kib); n == 1 {
			return kib
		}
	}
	return "0"
}

func run(dir string, entries uint64) error {
	s, _, err := leveldbstore.New(filepath.Join(dir, "indexstore"), &opt.Options{
		OpenFilesCacheCapacity: 256,
		BlockCacheCapacity:     32 * 1024 * 1024,
		WriteBuffer:            32 * 1024 * 1024,
		CompactionL0Trigger:    8,
		Filter:                 filter.NewBloomFilter(64),
	})
	if err != nil {
		return err
	}
	if err := fillStore(s, entries); err != nil {
		return err
	}
	for _, absent := range []bool{false, true} {
		for _, goroutines := range []int{1, 8, 128} {
			if err := ask(s, entries, absent, goroutines); err != nil {
				return err
			}
		}
	}
	fmt.Println("resident", resident())
	return s.Close()
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: beeindex DIR ENTRIES")
		os.Exit(2)
	}
	entries, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err == nil && entries > 0 {
		err = run(os.Args[1], entries)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "beeindex:", err)
		os.Exit(1)
	}
}
