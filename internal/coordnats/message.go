package coordnats

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// where is where a message stands.
type where struct {
	stream, consumer, pending uint64
}

// positionOf reads what a consumer writes into the reply of each message, in full or
// with a domain and an account before the stream:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>. ... .<pending>.<random>
func positionOf(m *nats.Msg) (w where, err error) {
	parts := strings.Split(m.Reply, ".")
	if len(parts) < 9 || len(parts) == 10 || parts[0] != "$JS" || parts[1] != "ACK" {
		return w, fmt.Errorf("a message that is not the consumer's: %q", m.Subject)
	}
	at := 5
	if len(parts) > 9 {
		at = 7
	}
	for i, field := range []*uint64{&w.stream, &w.consumer, nil, &w.pending} {
		if field == nil {
			continue
		}
		if *field, err = strconv.ParseUint(parts[at+i], 10, 64); err != nil {
			return w, fmt.Errorf("a message of the consumer without its place: %w", err)
		}
	}
	return w, nil
}
