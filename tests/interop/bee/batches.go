package main

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"strings"

	"github.com/ethersphere/bee/v2/pkg/crypto"
	"github.com/ethersphere/bee/v2/pkg/postage"
	"github.com/ethersphere/bee/v2/pkg/storage"
)

const (
	batchDepth       = 36 // 2^20 stamps a bucket
	batchBucketDepth = 16
)

// batchKey is the key of the owner of a batch of tests: whoever knows the name can stamp.
func batchKey(name string) *ecdsa.PrivateKey {
	seed, err := crypto.LegacyKeccak256([]byte("batch owner " + name))
	if err != nil {
		fatal(err.Error())
	}
	return crypto.Secp256k1PrivateKeyFromBytes(seed)
}

func batchID(name string) []byte {
	id, err := crypto.LegacyKeccak256([]byte("batch id " + name))
	if err != nil {
		fatal(err.Error())
	}
	return id
}

type batchRow struct {
	ID          string `json:"id"`
	Owner       string `json:"owner"`
	Depth       uint8  `json:"depth"`
	BucketDepth uint8  `json:"bucket_depth"`
	Immutable   bool   `json:"immutable"`
}

// runBatches prints a table. NAME or NAME=OWNERHEX: then somebody else owns it.
func runBatches(names []string) error {
	rows := make([]batchRow, 0, len(names))
	for _, name := range names {
		name, owner, given := strings.Cut(name, "=")
		if !given {
			address, err := crypto.NewEthereumAddress(batchKey(name).PublicKey)
			if err != nil {
				return err
			}
			owner = hex.EncodeToString(address)
		}
		rows = append(rows, batchRow{hex.EncodeToString(batchID(name)), owner, batchDepth, batchBucketDepth, false})
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err == nil {
		fmt.Println(string(text))
	}
	return err
}

// runStampKey prints the id of a batch and the key that stamps for it.
func runStampKey(names []string) error {
	for _, name := range names {
		key, err := crypto.EncodeSecp256k1PrivateKey(batchKey(name))
		if err != nil {
			return err
		}
		fmt.Println(hex.EncodeToString(batchID(name)), hex.EncodeToString(key))
	}
	return nil
}

// batchTable stands where a bee has what it learnt from the chain.
type batchTable struct {
	postage.NoOpBatchStore
	rows map[string]*postage.Batch
}

func loadBatches(path string) (*batchTable, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []batchRow
	if err := json.Unmarshal(text, &rows); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	table := &batchTable{rows: make(map[string]*postage.Batch)}
	for _, row := range rows {
		id, err := hex.DecodeString(strings.TrimPrefix(row.ID, "0x"))
		if err != nil {
			return nil, err
		}
		owner, err := hex.DecodeString(strings.TrimPrefix(row.Owner, "0x"))
		if err != nil {
			return nil, err
		}
		table.rows[string(id)] = &postage.Batch{
			ID: id, Owner: owner, Depth: row.Depth, BucketDepth: row.BucketDepth,
			Immutable: row.Immutable, Value: big.NewInt(1),
		}
	}
	return table, nil
}

func (t *batchTable) Get(id []byte) (*postage.Batch, error) {
	if row, ok := t.rows[string(id)]; ok {
		return row, nil
	}
	return nil, storage.ErrNotFound
}

func (t *batchTable) Exists(id []byte) (bool, error) {
	_, ok := t.rows[string(id)]
	return ok, nil
}
