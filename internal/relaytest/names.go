package relaytest

import (
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/detour-relay/detour/key"
)

// Key returns the private key of a name, by the rule of the test vectors.
func Key(name string) key.Private {
	raw := sha256.Sum256([]byte("spec vector key: " + name))
	raw[0] &= 248
	raw[31] = raw[31]&127 | 64
	k, err := key.ParsePrivate("privkey:" + hex.EncodeToString(raw[:]))
	if err != nil {
		panic(err)
	}
	return k
}

// MeshKey returns the mesh key of the test vectors, which [New] gives to relays.
func MeshKey() key.Mesh {
	m, err := key.ParseMesh("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
	if err != nil {
		panic(err)
	}
	return m
}

// names finds the name of a key again.
type names struct {
	mu sync.Mutex
	of map[key.Public]string // guarded by mu
}

// Public returns the public key of a name, which the notation then knows.
func (n *names) Public(name string) key.Public {
	pub := Key(name).Public()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.of == nil {
		n.of = make(map[key.Public]string)
	}
	n.of[pub] = name
	return pub
}

func (n *names) name(pub key.Public) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if name, ok := n.of[pub]; ok {
		return name
	}
	return pub.Short()
}
