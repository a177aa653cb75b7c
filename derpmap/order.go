package derpmap

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Score is how much a tailnet prefers a node: the first 8 bytes, big-endian, of the
// SHA-256 of the tailnet's name, a zero byte and the node's name.
func Score(tailnet, node string) uint64 {
	text := make([]byte, 0, 128)
	text = append(text, tailnet...)
	text = append(text, 0)
	text = append(text, node...)
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:8])
}

// Order returns the nodes in the order in which the peers of a tailnet shall try
// them, by rendezvous hashing: the highest [Score] first, of equal ones the lower
// name. All peers of a tailnet get the same order, so they meet on the same node;
// the tailnets spread evenly over the nodes; and if a node fails, those that were
// on it spread evenly over the others while the rest stays where it is. STUN-only
// nodes come last, in the order that they have. The slice is new, the nodes are
// not.
func Order(tailnet string, nodes []*Node) []*Node {
	type ranked struct {
		*Node
		score uint64
	}
	order := make([]ranked, len(nodes))
	for i, n := range nodes {
		order[i] = ranked{Node: n}
		if !n.STUNOnly {
			order[i].score = Score(tailnet, n.Name)
		}
	}
	slices.SortStableFunc(order, func(a, b ranked) int {
		switch {
		case a.STUNOnly && b.STUNOnly:
			return 0
		case a.STUNOnly != b.STUNOnly:
			return map[bool]int{true: 1, false: -1}[a.STUNOnly]
		}
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.Name, b.Name))
	})
	result := make([]*Node, len(order))
	for i := range order {
		result[i] = order[i].Node
	}
	return result
}

// ForTailnet returns a copy of the map in which the nodes of each region are in the
// order for that tailnet.
func (m *Map) ForTailnet(tailnet string) *Map {
	c := m.Clone()
	for _, id := range c.IDs() {
		if nodes := c.Regions[id].Nodes; nodes != nil {
			c.Regions[id].Nodes = Order(tailnet, nodes)
		}
	}
	return c
}
