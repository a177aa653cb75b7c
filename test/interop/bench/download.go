package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"github.com/detour-relay/detour/test/interop/programs"
)

// downloadEnv names the file into which the test of package tailnet writes its figures.
const downloadEnv = "DETOUR_DOWNLOAD_JSON"

// download is what we read of that file.
type download struct {
	Bytes      int                `json:"bytes"`
	MedianMbit map[string]float64 `json:"median_mbit_per_second"` // by relay
}

// downloadBy reads the figures of an earlier download between tsnet nodes, or makes one now.
func (s *stage) downloadBy(kind relayKind) func(context.Context) (*download, error) {
	return func(ctx context.Context) (*download, error) {
		if s.options.download != "" && kind == ours {
			return readDownload(s.options.download)
		}
		program, err := s.program(kind)
		if err != nil {
			return nil, err
		}
		file := s.path(string(kind) + "-download.json")
		cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestDownload$", "-timeout", "10m", ".")
		cmd.Dir = "tailnet" // a module of its own
		cmd.Env = append(os.Environ(), downloadEnv+"="+file, programs.DetourEnv+"="+program, programs.DerperEnv+"="+s.derper)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
		}
		return readDownload(file)
	}
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
		mark: mark{limit: 1.15, atLeast: true, ratio: true}, needs: []string{downloading},
		figures: func(r *results) (*float64, *float64) { return r.Download.medians() },
	}
}

func downloadSameGoRow() row {
	r := downloadRow()
	r.name, r.text, r.needs = r.name+"-same-go", r.text+"; built with derper's Go", []string{downloadingSameGo}
	r.figures = func(r *results) (*float64, *float64) { return r.DownloadSameGo.medians() }
	return r
}

func (d *download) medians() (ours, theirs *float64) {
	if d == nil {
		return nil, nil
	}
	a, b := d.MedianMbit["detour"], d.MedianMbit["derper"]
	return &a, &b
}
