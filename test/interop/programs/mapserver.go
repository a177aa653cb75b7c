package programs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// StartMap has our program serve the DERP map of these nodes (`detour map serve`), and returns its URL. It ends with the test.
func StartMap(t testing.TB, nodes ...Node) (url string) {
	t.Helper()
	program, err := Detour()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "map.json")
	if err := os.WriteFile(file, mapOf(nodes), 0o600); err != nil {
		t.Fatal(err)
	}
	const mark = "  http://"
	server := start(t, "detour map serve", program, []string{"map", "serve", file, "--listen", "127.0.0.1:0"})
	rest, err := server.log.await(mark, server.dead)
	if err != nil {
		t.Fatalf("%s: %v", server.Name, err)
	}
	return strings.TrimSpace(mark) + rest
}

// mapOf is the text of a map whose regions are called as the numbers that the nodes have.
func mapOf(nodes []Node) []byte {
	type region struct {
		RegionID               int
		RegionCode, RegionName string
		Nodes                  []Node
	}
	regions := make(map[string]*region)
	for _, n := range nodes {
		name := strconv.Itoa(n.RegionID)
		if regions[name] == nil {
			regions[name] = &region{RegionID: n.RegionID, RegionCode: name, RegionName: name}
		}
		regions[name].Nodes = append(regions[name].Nodes, n)
	}
	text, err := json.Marshal(map[string]any{"Regions": regions})
	if err != nil {
		panic(err) // it is made of texts and numbers
	}
	return text
}
