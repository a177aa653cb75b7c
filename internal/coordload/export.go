package coordload

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/detour-relay/detour/key"
)

// ExportHead is the first line of every export, ExportEnd the last.
const (
	ExportHead = `{"detour_export":1}`
	ExportEnd  = `{"end":{}}`
)

// WriteExport writes so many tailnets with so many members each in the form in which a
// coordination server exports, for it to import, and returns the members.
func WriteExport(w io.Writer, nets, perNet int) ([]*Member, error) {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, ExportHead)
	var all []*Member
	for n := range nets {
		id := fmt.Sprintf("load%d", n)
		fmt.Fprintf(b, `{"tailnet":{"id":%q,"name":%q,"created":1,"ula":"%010x","next":1}}`+"\n", id, id, n)
		for m := range perNet {
			one := &Member{Tailnet: id, Key: key.NewPrivate()}
			WriteMember(b, id, m, one.Key.Public())
			all = append(all, one)
		}
	}
	fmt.Fprintln(b, ExportEnd)
	return all, b.Flush()
}

// WriteStrangers writes members that nobody can be: their keys are no one's. It is
// quick, for a store that is only to be full.
func WriteStrangers(w io.Writer, nets, perNet int) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, ExportHead)
	for n := range nets {
		id := fmt.Sprintf("full%d", n)
		fmt.Fprintf(b, `{"tailnet":{"id":%q,"name":%q,"created":1,"ula":"%010x","next":1}}`+"\n", id, id, 1<<32|n)
		for m := range perNet {
			var seed [8]byte
			binary.BigEndian.PutUint64(seed[:], uint64(n)<<32|uint64(m))
			WriteMember(b, id, m, key.Public(sha256.Sum256(seed[:])))
		}
	}
	fmt.Fprintln(b, ExportEnd)
	return b.Flush()
}

// WriteMember writes the line of one member, with a name and an address that go by its
// number in the tailnet.
func WriteMember(w io.Writer, tailnet string, m int, k key.Public) {
	fmt.Fprintf(w, `{"member":{"tailnet":%q,"key":%q,"n":"member-%d","i":%d,"j":1}}`+"\n", tailnet, k, m+1, m+1)
}
