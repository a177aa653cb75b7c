package wgproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"github.com/detour-relay/detour/internal/smallfile"
)

const (
	noteFormat = 1
	mostNote   = 16 << 20 // bytes: some 80,000 peers
)

// noted is the note as it stands in the file.
type noted struct {
	Format int    `json:"detour_wg"`
	Peers  ledger `json:"peers"`
}

// readNote reads the ledger of the run before; there may be none.
func readNote(path string) (ledger, error) {
	text, err := smallfile.Read(path, mostNote)
	if errors.Is(err, fs.ErrNotExist) {
		return make(ledger), nil
	}
	if err != nil {
		return nil, err
	}
	return parseNote(path, text)
}

func parseNote(path string, text []byte) (ledger, error) {
	var n noted
	if err := json.Unmarshal(text, &n); err != nil || n.Format != noteFormat {
		return nil, fmt.Errorf("%s: this is no note of endpoints, or one of a newer version: see which endpoints the peers have, and remove it", path)
	}
	l := make(ledger)
	for k, e := range n.Peers {
		if !e.Given.IsValid() || k.IsZero() {
			return nil, fmt.Errorf("%s: the note of endpoints is damaged: see which endpoints the peers have, and remove it", path)
		}
		e.Before = netip.AddrPortFrom(e.Before.Addr().Unmap(), e.Before.Port())
		l[k] = e
	}
	return l, nil
}

// write puts the ledger into the file, which goes when nothing is left to set back.
func (l ledger) write(path string) error {
	if len(l) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return smallfile.ExplainWrite(path, err)
		}
		return nil
	}
	text, err := json.MarshalIndent(noted{noteFormat, l}, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return smallfile.WriteOver(path, append(text, '\n'), smallfile.ModeSecret)
}
