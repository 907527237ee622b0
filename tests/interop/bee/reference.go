package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ethersphere/bee/v2/pkg/file/loadsave"
	"github.com/ethersphere/bee/v2/pkg/file/pipeline"
	"github.com/ethersphere/bee/v2/pkg/file/pipeline/builder"
	"github.com/ethersphere/bee/v2/pkg/file/redundancy"
	"github.com/ethersphere/bee/v2/pkg/manifest"
	"github.com/ethersphere/bee/v2/pkg/storage/inmemchunkstore"
	"github.com/ethersphere/bee/v2/pkg/swarm"
)

// runReference prints the reference of PATH, a file; with a second argument, of a directory: that is
// a JSON list of its files [{"path", "content_type"}], for content types are the uploader's choice.
func runReference(args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return errors.New("usage: bee-peer reference PATH [FILES.json]")
	}
	ctx := context.Background()
	store := inmemchunkstore.New()
	newPipeline := func() pipeline.Interface {
		return builder.NewPipelineBuilder(ctx, store, false, redundancy.NONE)
	}
	split := func(path string) (swarm.Address, error) {
		file, err := os.Open(path)
		if err != nil {
			return swarm.ZeroAddress, err
		}
		defer file.Close()
		return builder.FeedPipeline(ctx, newPipeline(), io.Reader(file))
	}
	if len(args) == 1 {
		reference, err := split(args[0])
		fmt.Println(reference)
		return err
	}
	text, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var files []struct {
		Path        string `json:"path"`
		ContentType string `json:"content_type"`
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&files); err != nil {
		return err
	}
	directory, err := manifest.NewDefaultManifest(loadsave.New(store, store, newPipeline, redundancy.NONE), false)
	if err != nil {
		return err
	}
	for _, file := range files {
		reference, err := split(filepath.Join(args[0], file.Path))
		if err != nil {
			return err
		}
		err = directory.Add(ctx, file.Path, manifest.NewEntry(reference, map[string]string{
			manifest.EntryMetadataContentTypeKey: file.ContentType,
			manifest.EntryMetadataFilenameKey:    filepath.Base(file.Path),
		}))
		if err != nil {
			return err
		}
	}
	reference, err := directory.Store(ctx)
	fmt.Println(reference)
	return err
}
