// A Swarm node made of bee's own packages, driven by commands on its standard input. A chain is not
// needed: batches come from a JSON table. Subcommands:
//
//	node       a node; one JSON command a line in, one JSON answer a line out
//	batches    prints the table of the batches named, in the form larder reads
//	stamp-key  prints the id of a batch and the key of its owner
//	reference  prints the reference bee's splitter gives to a file or a directory
//	peers      many scripted peers in one process: parked streams and what a bad peer does
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
)

func main() {
	if len(os.Args) < 2 {
		fatal("usage: bee-peer node|batches|stamp-key|reference|peers ...")
	}
	run, ok := map[string]func([]string) error{
		"node":      runNode,
		"batches":   runBatches,
		"stamp-key": runStampKey,
		"reference": runReference,
		"peers":     runPeers,
	}[os.Args[1]]
	if !ok {
		fatal("unknown subcommand " + os.Args[1])
	}
	if err := run(os.Args[2:]); err != nil {
		fatal(err.Error())
	}
}

func fatal(text string) {
	fmt.Fprintln(os.Stderr, "bee-peer: "+text)
	os.Exit(1)
}

// beeVersion is the version of bee that this program was built with.
func beeVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/ethersphere/bee/v2" {
			return dep.Version
		}
	}
	return ""
}

func printJSON(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fatal(err.Error())
	}
	// One write a line: commands run side by side.
	_, _ = os.Stdout.Write(append(text, '\n'))
}
