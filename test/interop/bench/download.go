package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// downloadEnv names the file into which the test of package tailnet writes its figures.
const downloadEnv = "DETOUR_DOWNLOAD_JSON"

// download is what we read of that file.
type download struct {
	Bytes      int                `json:"bytes"`
	MedianMbit map[string]float64 `json:"median_mbit_per_second"` // by relay
}

// download reads the figures of an earlier download between tsnet nodes, or makes one now.
func (s *stage) download(ctx context.Context) (*download, error) {
	if s.options.download != "" {
		return readDownload(s.options.download)
	}
	file := s.path("download.json")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "10m", ".")
	cmd.Dir = "tailnet" // a module of its own
	cmd.Env = append(os.Environ(), downloadEnv+"="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
	}
	return readDownload(file)
}

func readDownload(file string) (*download, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := new(download)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

func downloadRow() row {
	return row{
		name: "download", text: "download between two tsnet nodes", unit: "Mbit/s",
		mark: mark{limit: 1.2, atLeast: true, ratio: true}, needs: []string{downloading},
		figures: func(r *results) (*float64, *float64) {
			if r.Download == nil {
				return nil, nil
			}
			a, b := r.Download.MedianMbit[string(ours)], r.Download.MedianMbit[string(derper)]
			return &a, &b
		},
	}
}
