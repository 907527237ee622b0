package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"sync"
)

// command is one line of input: {"do": NAME, "id": ANY, ...}.
type command struct {
	Do        string     `json:"do"`
	ID        any        `json:"id"`
	Address   string     `json:"address"` // a multiaddr
	Peer      string     `json:"peer"`    // an overlay
	Bin       uint8      `json:"bin"`
	Start     uint64     `json:"start"`
	File      string     `json:"file"`
	Reference string     `json:"reference"`
	Kind      string     `json:"kind"`
	Count     int        `json:"count"`
	Seconds   float64    `json:"duration"`
	Gen       genRequest `json:"gen"`
	Fault     fault      `json:"fault"`
}

// serveCommands answers until the input ends or "quit" is read. Commands run side by side.
func serveCommands(in io.Reader, run func(context.Context, *command) (any, error)) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			printJSON(map[string]any{"error": err.Error()})
			continue
		}
		if c.Do == "quit" {
			break
		}
		running.Go(func() {
			answer := map[string]any{"id": c.ID}
			result, err := run(ctx, &c)
			if err != nil {
				answer["error"] = err.Error()
			}
			if result != nil {
				answer["result"] = result
			}
			printJSON(answer)
		})
	}
	cancel()
	running.Wait()
}
