// Servers of a Kademlia DHT on go-libp2p-kad-dht, for tests of who provides records to them: a network
// on loopback, an oracle that knows the true 20 nearest living servers of every key and asks their
// stores, and the sweeping provider of that library as the reference.
//
//	dht keys N SEED FILE           N multihashes, one in hex a line
//	dht network [flags]            commands on standard input, an answer in JSON on one line each
//	dht reference [flags]          provides the keys of a file once to a network and measures itself
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "dht:", err)
		os.Exit(1)
	}
}

func answer(v any) {
	line, err := json.Marshal(v)
	fail(err)
	fmt.Println(string(line))
}

// makeKeys writes sha2-256 multihashes of (seed, i).
func makeKeys(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("keys takes N, SEED and FILE")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	var of [16]byte
	binary.BigEndian.PutUint64(of[:8], seed)
	for i := 0; i < n; i++ {
		binary.BigEndian.PutUint64(of[8:], uint64(i))
		sum := sha256.Sum256(of[:])
		fmt.Fprintf(w, "1220%x\n", sum)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

func eachKey(path string, take func(key []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		key, err := hex.DecodeString(strings.TrimSpace(lines.Text()))
		if err != nil {
			return fmt.Errorf("line %d of %s: %w", number, path, err)
		}
		if err := take(key); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readKeys(path string) ([][]byte, error) {
	var keys [][]byte
	err := eachKey(path, func(key []byte) error {
		keys = append(keys, key)
		return nil
	})
	return keys, err
}

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: dht keys|network|reference ..."))
	}
	switch os.Args[1] {
	case "keys":
		fail(makeKeys(os.Args[2:]))
	case "network":
		fail(network(os.Args[2:]))
	case "reference":
		fail(reference(os.Args[2:]))
	default:
		fail(fmt.Errorf("no such part: %s", os.Args[1]))
	}
}
