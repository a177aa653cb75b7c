package keyring

import (
	"strings"
	"testing"

	"github.com/detour-relay/detour/key"
)

// mesh is the key of a byte, over and over.
func mesh(b string) key.Mesh {
	k, err := key.ParseMesh(strings.Repeat(b, 32))
	if err != nil {
		panic(err)
	}
	return k
}

func TestRing(t *testing.T) {
	var r Ring
	if _, ok := r.First(); ok || r.Has(mesh("01")) || r.Has(key.Mesh{}) {
		t.Error("an empty ring has a key")
	}
	keys := []key.Mesh{mesh("01"), mesh("02")}
	if err := r.Replace(keys); err != nil {
		t.Fatal(err)
	}
	keys[0] = mesh("09") // it is the caller's
	if k, ok := r.First(); !ok || !k.Equal(mesh("01")) {
		t.Error("the first is another")
	}
	for k, want := range map[string]bool{"01": true, "02": true, "03": false, "09": false} {
		if r.Has(mesh(k)) != want {
			t.Errorf("%s: %v", k, !want)
		}
	}
	if err := r.Replace([]key.Mesh{mesh("03"), {}}); err == nil || !strings.Contains(err.Error(), "MeshKeys[1]") || r.Has(mesh("03")) || !r.Has(mesh("01")) {
		t.Errorf("a key of zeros: %v", err)
	}
	if err := r.Replace([]key.Mesh{mesh("03")}); err != nil || r.Has(mesh("01")) || !r.Has(mesh("03")) {
		t.Errorf("replaced: %v", err)
	}
}
