package bootstrap

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// addresses are what is known of a name.
type addresses struct {
	ips     []net.IP
	percent int // of those who ask
}

// answers are what is told, made once for all who ask. They do not change.
type answers struct {
	published   []byte
	unpublished map[string]single
}

// single is the answer with one name.
type single struct {
	text    []byte
	percent int
}

// newAnswers writes them. The order of addresses is another one each time, because
// clients begin with the first.
func newAnswers(published, unpublished []entry, found map[entry]addresses) *answers {
	a := &answers{unpublished: make(map[string]single)}
	all := make(map[string][]net.IP)
	for _, e := range published {
		if ips := found[e].ips; len(ips) > 0 {
			ips = slices.Clone(ips)
			rand.Shuffle(len(ips), func(i, j int) { ips[i], ips[j] = ips[j], ips[i] })
			all[e.name] = ips
		}
	}
	if len(published) > 0 {
		a.published = written(all)
	}
	for _, e := range unpublished {
		if now := found[e]; len(now.ips) > 0 {
			a.unpublished[e.name] = single{written(map[string][]net.IP{e.name: now.ips}), now.percent}
		}
	}
	return a
}

func written(names map[string][]net.IP) []byte {
	text, err := json.MarshalIndent(names, "", "\t")
	if err != nil {
		panic(err) // names and addresses always have a JSON form
	}
	return text
}

// to is the answer to who asks for a name, or for none.
func (a *answers) to(name string, from netip.Addr) []byte {
	if one, ok := a.unpublished[name]; ok && isAmong(from, one.percent) {
		return one.text
	}
	return a.published
}

// percentOf is what a TXT record says of a rollout: a whole number up to 100; what is
// none is nobody.
func percentOf(texts []string) (percent int) {
	for _, text := range texts {
		if n, err := strconv.Atoi(text); err == nil && 0 <= n && n <= 100 {
			percent = n
		}
	}
	return percent
}

// isAmong reports whether an address is among so many of a hundred: always the same
// ones, by the draw of spec 1.10. This machine is now and then, so that one can try.
func isAmong(from netip.Addr, percent int) bool {
	switch {
	case percent <= 0 || !from.IsValid():
		return percent >= 100
	case percent >= 100:
		return true
	case from.Unmap().IsLoopback():
		return rand.IntN(2) == 0
	}
	return float64(percent)/100 > draw(from)
}

// draw is the number between 0 and 1 that belongs to an address.
func draw(from netip.Addr) float64 {
	seed := from.As16()
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))).Float64()
}
