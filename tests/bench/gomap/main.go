// The known remedy: a Go map with the whole 96-byte key, behind a read-write lock.
// Prints: bytes of heap per entry, ns per insert, ns per hit, ns per miss. Look-ups are CPU time, as
// those of the sets beside it: what else the machine does is not the map's.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func key(i uint64) (k [96]byte) {
	state := i * 0xd1342543de82ef95
	for at := 0; at < 96; at += 8 {
		state += 0x9e3779b97f4a7c15
		binary.LittleEndian.PutUint64(k[at:], mix(state))
	}
	return
}

type set struct {
	mu sync.RWMutex
	m  map[string]struct{}
}

func (s *set) has(k []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.m[string(k)]
	return ok
}

// Of the process, which does nothing else meanwhile.
func cpu() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		os.Exit(3)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func (s *set) look(from, n, lookups uint64) (float64, uint64) {
	const whole = 1 << 18
	keys := make([][96]byte, whole)
	state := from + 7
	for i := range keys {
		state += 0x9e3779b97f4a7c15
		keys[i] = key(from + mix(state)%n)
	}
	found := uint64(0)
	start := cpu()
	for i := uint64(0); i < lookups; i++ {
		if s.has(keys[i%whole][:]) {
			found++
		}
	}
	return float64(cpu()-start) / float64(lookups), found
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func main() {
	n, err := strconv.ParseUint(os.Args[1], 10, 64)
	if err != nil || n == 0 {
		os.Exit(2)
	}
	lookups, err := strconv.ParseUint(os.Args[2], 10, 64)
	if err != nil {
		os.Exit(2)
	}
	before := heap()
	s := &set{m: map[string]struct{}{}}
	start := time.Now()
	for i := uint64(0); i < n; i++ {
		k := key(i)
		s.mu.Lock()
		s.m[string(k[:])] = struct{}{}
		s.mu.Unlock()
	}
	insert := float64(time.Since(start).Nanoseconds()) / float64(n)
	bytes := float64(heap()-before) / float64(n)
	hit, found := s.look(0, n, lookups)
	miss, more := s.look(n, n, lookups)
	if found != lookups || more != 0 {
		os.Exit(1)
	}
	fmt.Printf("%.1f %.1f %.1f %.1f\n", bytes, insert, hit, miss)
}
