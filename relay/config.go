package relay

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/detour-relay/detour/internal/keyring"
	"github.com/detour-relay/detour/key"
)

// Config is what a [Server] is made from. Zero fields mean the default.
type Config struct {
	// Key is the relay's identity. Required.
	Key key.Private

	// MeshKeys are the secrets that make a conn a sibling's. None means that
	// nobody is privileged. Several are all valid, for rotation; links log in
	// with the first. See ReplaceMeshKeys.
	MeshKeys []key.Mesh

	// Admit decides whether a peer that has proven its key may come in, and as
	// what; nil admits everybody. Siblings are not asked about. Calls run at the
	// same time. The context ends after AdmitTimeout, when the peer leaves, with
	// that of Serve and on Shutdown.
	Admit func(context.Context, Applicant) (Admission, error)

	// AdmitTimeout is how long a peer waits for Admit (default 5 s). Then it is sent
	// away, whether Admit has returned or not.
	AdmitTimeout time.Duration

	// AdmitPending bounds the calls of Admit under way (default 1024). Peers that
	// come while there are as many are sent away, so that those before them keep
	// their turn.
	AdmitPending int

	// KeepAlive is the time between two KeepAlive frames to a conn, each time with up
	// to 5 s more (default 40 s; negative: none). Proxies cut conns that are silent
	// for 50 or 60 s, and peers give up on a relay after 120 s, so it is 5 s at
	// least and 100 s at most.
	KeepAlive time.Duration

	// OutboxBytes bounds the packets queued towards one conn, counted as frames
	// (default 512 KiB, at least one largest frame).
	OutboxBytes int

	// OutboxMemory bounds the memory of what waits for all conns and links that take it
	// slower than it comes, in bytes (default 128 MB; negative means no limit). As it
	// fills up each of them may hold less, so that who holds most gives up first and
	// something is left for others. Frames and TLS records that are begun and not
	// completed may be a quarter of it.
	OutboxMemory int64

	// OutboxAge is how long a packet may wait for a full stream (default 500 ms;
	// negative means no limit).
	OutboxAge time.Duration

	// LinkOutboxBytes is OutboxBytes for the packets queued towards one sibling
	// (default 4 MiB).
	LinkOutboxBytes int

	// LinkPeers bounds the keys that one sibling may announce (default 262,144); a
	// link with more is ended. Each costs about 250 bytes.
	LinkPeers int

	// WriteTimeout is how long a conn may take no bytes while some wait for it
	// (default 2 s, the reference's; negative means no limit). Conns of
	// siblings have 30 s, links 5 s.
	WriteTimeout time.Duration

	// Ended, if it is set, is called once for each conn that has been logged in, when
	// it has left, with its last figures. It is called by who relays packets, under
	// no lock, and must not block.
	Ended func(PeerState)

	// Logger receives one line per conn at debug level; nil discards them.
	Logger *slog.Logger
}

const (
	defaultAdmitTimeout = 5 * time.Second // the reference's for its admission URL
	defaultAdmitPending = 1024
	defaultKeepAlive    = 40 * time.Second
	minKeepAlive        = 5 * time.Second
	maxKeepAlive        = 100 * time.Second
	defaultOutboxBytes  = 512 << 10
	defaultOutboxMemory = 128e6
	defaultLinkOutbox   = 4 << 20
	defaultLinkPeers    = 1 << 18
	defaultOutboxAge    = 500 * time.Millisecond
	defaultWriteTimeout = 2 * time.Second
	siblingWriteTimeout = 30 * time.Second
)

// complete checks all of c and fills in the defaults. Its errors begin with the
// name of the field.
func (c *Config) complete() error {
	if c.Key.IsZero() {
		return fmt.Errorf("%s is missing", "Key") // a name, which begins as it does
	}
	if err := keyring.Check(c.MeshKeys); err != nil {
		return err
	}
	for _, field := range []struct {
		name  string
		value int64
		want  string
	}{
		{"AdmitTimeout", int64(c.AdmitTimeout), "how long a peer waits for admission"},
		{"AdmitPending", int64(c.AdmitPending), "how many peers may wait for admission"},
		{"OutboxBytes", int64(c.OutboxBytes), "room for a frame"},
		{"LinkOutboxBytes", int64(c.LinkOutboxBytes), "room for a frame"},
		{"LinkPeers", int64(c.LinkPeers), "how many keys a sibling may announce"},
	} {
		if field.value < 0 {
			return fmt.Errorf("%s is negative: want %s", field.name, field.want)
		}
	}
	if k := c.KeepAlive; k > 0 && (k < minKeepAlive || k > maxKeepAlive) {
		return fmt.Errorf("KeepAlive is %v: want %v to %v, or a negative value for none", k, minKeepAlive, maxKeepAlive)
	}
	c.AdmitTimeout = cmp.Or(c.AdmitTimeout, defaultAdmitTimeout)
	c.AdmitPending = cmp.Or(c.AdmitPending, defaultAdmitPending)
	c.KeepAlive = cmp.Or(c.KeepAlive, defaultKeepAlive)
	c.OutboxBytes = cmp.Or(c.OutboxBytes, defaultOutboxBytes)
	c.OutboxMemory = cmp.Or(c.OutboxMemory, defaultOutboxMemory)
	c.OutboxAge = cmp.Or(c.OutboxAge, defaultOutboxAge)
	c.LinkOutboxBytes = cmp.Or(c.LinkOutboxBytes, defaultLinkOutbox)
	c.LinkPeers = cmp.Or(c.LinkPeers, defaultLinkPeers)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, defaultWriteTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}
