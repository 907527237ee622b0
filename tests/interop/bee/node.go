package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"time"
	"unsafe"

	"github.com/ethersphere/bee/v2/pkg/addressbook"
	"github.com/ethersphere/bee/v2/pkg/crypto"
	"github.com/ethersphere/bee/v2/pkg/hive"
	"github.com/ethersphere/bee/v2/pkg/log"
	"github.com/ethersphere/bee/v2/pkg/p2p/libp2p"
	"github.com/ethersphere/bee/v2/pkg/pingpong"
	"github.com/ethersphere/bee/v2/pkg/postage"
	"github.com/ethersphere/bee/v2/pkg/pricing"
	"github.com/ethersphere/bee/v2/pkg/puller"
	"github.com/ethersphere/bee/v2/pkg/pullsync"
	"github.com/ethersphere/bee/v2/pkg/ratelimit"
	"github.com/ethersphere/bee/v2/pkg/soc"
	"github.com/ethersphere/bee/v2/pkg/stabilization"
	"github.com/ethersphere/bee/v2/pkg/statestore/leveldb"
	"github.com/ethersphere/bee/v2/pkg/status"
	"github.com/ethersphere/bee/v2/pkg/storage"
	"github.com/ethersphere/bee/v2/pkg/storer"
	"github.com/ethersphere/bee/v2/pkg/swarm"
	"github.com/ethersphere/bee/v2/pkg/topology/kademlia"
	"github.com/ethersphere/bee/v2/pkg/topology/lightnode"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

type nodeOptions struct {
	dir, batches, key string
	network           uint64
	radius            uint
	capacity          int
	full, fast        bool
	kademlia          bool
	verbosity         string
}

// node is what pkg/node puts together, less what wants a chain.
type node struct {
	options  nodeOptions
	logger   log.Logger
	overlay  swarm.Address
	states   storage.StateStorer
	batches  *batchTable
	p2p      *libp2p.Service
	hive     *hive.Service
	kad      *kademlia.Kad
	db       *storer.DB
	reserve  *servedReserve
	syncer   *pullsync.Syncer
	puller   *puller.Puller
	pingpong *pingpong.Service
	status   *status.Service
	registry *prometheus.Registry
	address  string
	cancel   context.CancelFunc
}

func runNode(args []string) error {
	var o nodeOptions
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "where everything is kept")
	flags.StringVar(&o.batches, "batches", "", "the table of batches")
	flags.StringVar(&o.key, "key", "1", "any text: the node's key is made from it")
	flags.Uint64Var(&o.network, "network", 7357, "network id")
	flags.UintVar(&o.radius, "radius", 0, "storage radius")
	flags.IntVar(&o.capacity, "capacity", storer.DefaultReserveCapacity, "of the reserve, in chunks")
	flags.BoolVar(&o.full, "full", true, "a full node")
	flags.BoolVar(&o.fast, "fast", false, "without the limits on what is served and pulled a second")
	flags.BoolVar(&o.kademlia, "kademlia", false, "connect to the peers that others tell of")
	flags.StringVar(&o.verbosity, "verbosity", "warning", "of the log on stderr")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.dir == "" || o.batches == "" {
		return errors.New("-dir and -batches are needed")
	}
	n, err := newNode(o)
	if err != nil {
		return err
	}
	printJSON(map[string]any{"event": "ready", "version": beeVersion(), "address": n.address,
		"overlay": n.overlay.String(), "pid": os.Getpid()})
	serveCommands(os.Stdin, n.run)
	return n.close()
}

func newNode(o nodeOptions) (*node, error) {
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{options: o, cancel: cancel, registry: prometheus.NewRegistry()}
	level, err := log.ParseVerbosityLevel(o.verbosity)
	if err != nil {
		return nil, err
	}
	log.ModifyDefaults(log.WithTimestamp())
	n.logger = log.NewLogger("bee", log.WithSink(os.Stderr), log.WithVerbosity(level))
	if n.batches, err = loadBatches(o.batches); err != nil {
		return nil, err
	}
	if n.states, err = leveldb.NewStateStore(filepath.Join(o.dir, "statestore"), n.logger); err != nil {
		return nil, err
	}
	if err := n.startNetwork(ctx); err != nil {
		return nil, err
	}
	if err := n.startReserve(ctx); err != nil {
		return nil, err
	}
	for _, protocol := range []interface{ add(*libp2p.Service) error }{
		spec{n.hive.Protocol}, spec{n.pingpong.Protocol}, spec{n.syncer.Protocol}, spec{n.status.Protocol},
		spec{n.pricing().Protocol},
	} {
		if err := protocol.add(n.p2p); err != nil {
			return nil, err
		}
	}
	if o.kademlia {
		if err := n.kad.Start(ctx); err != nil {
			return nil, err
		}
	}
	if err := n.p2p.Ready(); err != nil {
		return nil, err
	}
	addresses, err := n.p2p.Addresses()
	if err != nil || len(addresses) == 0 {
		return nil, fmt.Errorf("no address: %w", err)
	}
	n.address = addresses[0].String()
	return n, nil
}

// swarmKey is the key that makes the overlay: the same text, the same node.
func swarmKey(text string) ([]byte, []byte) {
	seed, _ := crypto.LegacyKeccak256([]byte("swarm key " + text))
	nonce, _ := crypto.LegacyKeccak256([]byte("nonce " + text))
	return seed, nonce
}

func (n *node) startNetwork(ctx context.Context) error {
	seed, nonce := swarmKey(n.options.key)
	key := crypto.Secp256k1PrivateKeyFromBytes(seed)
	var err error
	if n.overlay, err = crypto.NewOverlayAddress(key.PublicKey, n.options.network, nonce); err != nil {
		return err
	}
	// bee's own kind of libp2p key; kept, so that a node that comes back is the same peer.
	keyPath := filepath.Join(n.options.dir, "libp2p.key")
	raw, err := os.ReadFile(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		fresh, err := crypto.GenerateSecp256r1Key()
		if err != nil {
			return err
		}
		if raw, err = crypto.EncodeSecp256r1PrivateKey(fresh); err != nil {
			return err
		}
		if err := os.WriteFile(keyPath, raw, 0o600); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	peerKey, err := crypto.DecodeSecp256r1PrivateKey(raw)
	if err != nil {
		return err
	}
	book := addressbook.New(n.states)
	n.p2p, err = libp2p.New(ctx, crypto.NewDefaultSigner(key), n.options.network, n.overlay, "127.0.0.1:0", book,
		n.states, lightnode.NewContainer(n.overlay), n.logger, nil, libp2p.Options{
			PrivateKey: peerKey, FullNode: n.options.full, Nonce: nonce, AllowPrivateCIDRs: true,
			NATAddr: "127.0.0.1:", // no search for a router
		})
	if err != nil {
		return err
	}
	n.hive = hive.New(n.p2p, book, n.options.network, n.overlay, n.logger, hive.Options{AllowPrivateCIDRs: true})
	detector, err := stabilization.NewDetector(stabilization.Config{PeriodDuration: time.Second,
		NumPeriodsForStabilization: 2, WarmupTime: time.Second})
	if err != nil {
		return err
	}
	n.kad, err = kademlia.New(n.overlay, book, n.hive, n.p2p, detector, n.logger, kademlia.Options{DataDir: n.options.dir})
	if err != nil {
		return err
	}
	n.hive.SetAddPeersHandler(n.kad.AddPeers)
	n.p2p.SetPickyNotifier(recorded{n.kad})
	n.pingpong = pingpong.New(n.p2p, n.logger, nil)
	return nil
}

func (n *node) startReserve(ctx context.Context) error {
	var err error
	n.db, err = storer.New(ctx, filepath.Join(n.options.dir, "localstore"), &storer.Options{
		LdbOpenFilesLimit: 256, LdbBlockCacheCapacity: 32 << 20, LdbWriteBufferSize: 32 << 20,
		CacheCapacity: 1_000_000, Logger: n.logger, Address: n.overlay, Batchstore: n.batches,
		StateStore: n.states, RadiusSetter: n.kad, StartupStabilizer: steady{},
		ReserveCapacity: n.options.capacity, ReserveWakeUpDuration: 15 * time.Minute,
		ReserveMinEvictCount: 1000, MinimumStorageRadius: n.options.radius,
	})
	if err != nil {
		return err
	}
	n.reserve = &servedReserve{DB: n.db, served: make(map[string]int)}
	n.syncer = pullsync.New(n.p2p, n.reserve, func(swarm.Chunk) {}, func(*soc.SOC) {},
		postage.ValidStamp(n.batches), n.logger, pullsync.DefaultMaxPage)
	n.puller = puller.New(n.overlay, n.states, n.kad, n.db, n.syncer, n.p2p, n.logger, puller.Options{})
	if n.options.fast {
		*field[*ratelimit.Limiter](n.syncer, "limiter") = ratelimit.New(time.Nanosecond, 1<<30)
		(*field[*rate.Limiter](n.puller, "limiter")).SetLimit(rate.Inf)
	}
	n.status = status.NewService(n.logger, n.p2p, n.kad, "full", n.batches, n.db, n.registry)
	n.status.SetSync(n.puller)
	n.registry.MustRegister(n.syncer.Metrics()...)
	n.registry.MustRegister(n.puller.Metrics()...)
	ready := make(chan struct{})
	n.db.StartReserveWorker(ctx, noStart{n.puller}, func() (uint8, error) { return uint8(n.options.radius), nil }, ready)
	<-ready
	return nil
}

func (n *node) pricing() *pricing.Service {
	service := pricing.New(n.p2p, n.logger, big.NewInt(13_500_000), big.NewInt(1_350_000), big.NewInt(9_000_000))
	service.SetPaymentThresholdObserver(anyThreshold{})
	return service
}

func (n *node) close() error {
	n.cancel()
	_ = n.puller.Close()
	_ = n.syncer.Close()
	_ = n.hive.Close()
	_ = n.p2p.Close()
	if n.options.kademlia {
		_ = n.kad.Close() // waits for a loop that only Start begins
	}
	return errors.Join(n.db.Close(), n.states.Close())
}

// field reaches a limit that bee has no option for.
func field[T any](of any, name string) *T {
	value := reflect.ValueOf(of).Elem().FieldByName(name)
	return (*T)(unsafe.Pointer(value.UnsafeAddr()))
}
