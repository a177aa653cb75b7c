package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/test/interop/programs"
)

// The benchmarks of the product that rows read, by name.
const (
	lookupRepeated = "BenchmarkLookupRepeated"
	lookupTable    = "BenchmarkLookupTable"
	relayTLS       = "BenchmarkRelayTLS"
	meshTLS        = "BenchmarkMeshTLS"
)

// goPackages are where these are looked for, below the repository's root.
var goPackages = []string{"./relay", "./cmd/detour"}

// benchmark is one result line of go test -bench, repeated as often as it was run.
type benchmark struct {
	Name   string               `json:"name"`
	Values map[string][]float64 `json:"values"` // by unit: ns/op, allocs/op, allocs/packet, ...
}

// goBenchmarks runs the product's own benchmarks.
func (s *stage) goBenchmarks(ctx context.Context) ([]benchmark, error) {
	pattern := fmt.Sprintf("^(%s|%s|%s|%s)$", lookupRepeated, lookupTable, relayTLS, meshTLS)
	args := []string{"test", "-run", "^$", "-bench", pattern, "-benchmem", "-count", strconv.Itoa(s.options.rounds)}
	cmd := programs.ProductGo(ctx, append(args, goPackages...)...)
	cmd.Dir = s.options.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
	}
	return parseGoBench(out), nil
}

// parseGoBench reads lines like "BenchmarkX-2   1000   12.3 ns/op   0 B/op   0 allocs/op". The number
// behind the name's last dash is how many processors were used.
func parseGoBench(out []byte) (all []benchmark) {
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := fields[0]
		if dash := strings.LastIndexByte(name, '-'); dash > 0 {
			name = name[:dash]
		}
		found := -1
		for i := range all {
			if all[i].Name == name {
				found = i
			}
		}
		if found < 0 {
			found = len(all)
			all = append(all, benchmark{Name: name, Values: map[string][]float64{}})
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				unit := fields[i+1]
				all[found].Values[unit] = append(all[found].Values[unit], value)
			}
		}
	}
	return all
}

// goRow shows one value of one benchmark, the median of its runs.
func goRow(name, text, unit string, m mark, bench, value string) row {
	return row{
		name: name, text: text, unit: unit, mark: m, needs: []string{goBenching},
		figures: func(r *results) (*float64, *float64) {
			for _, b := range r.InGo {
				if b.Name == bench {
					return middle(b.Values[value]), nil
				}
			}
			return nil, nil
		},
	}
}
