package coordstore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// Hard is the bucket of what may not be lost: who is a member. Each write to it is
// on disk before it is acknowledged.
const Hard = "hard"

// SoftBuckets is how many buckets there are for where members are, which they say
// again. One tailnet is always in the same.
const SoftBuckets = 16

// Soft is the name of a soft bucket, 0 to SoftBuckets-1.
func Soft(n int) string { return fmt.Sprintf("soft-%02d", n) }

// SoftOf is the number of the soft bucket of a tailnet.
func SoftOf(tailnet string) int {
	h := fnv.New32a()
	h.Write([]byte(tailnet))
	return int(h.Sum32() % SoftBuckets)
}

// Buckets are the names of all.
func Buckets() []string {
	all := []string{Hard}
	for n := range SoftBuckets {
		all = append(all, Soft(n))
	}
	return all
}

// What writing fails with.
var (
	// ErrConflict: the key is there already, or has another revision than the one that
	// was expected. What stands there will come, or has come, by the watcher.
	ErrConflict = errors.New("it has been changed meanwhile")

	// ErrUnavailable is beneath all that may pass: no quorum, no connection, a full
	// disk, a context that has ended. The write may have been made all the same, or be
	// made yet: the watcher will tell, and who tries again with the same revision writes
	// at most once.
	ErrUnavailable = errors.New("the store cannot be written to now")
)

// An Entry is what stands at a key, or that nothing does any more. Value is not
// changed by anybody.
//
// A change that another of the same key follows may be left out. So after it, and until
// what follows has come, what is known is no state that ever was: Behind tells.
type Entry struct {
	Key      string // letters, digits, '-', '_' and '.', not at the ends and never two; at most 128 bytes
	Value    []byte // nil: deleted; never empty otherwise
	Revision uint64

	// Behind is how much had come after this when the watcher was told of it. 0: nothing,
	// so all is known up to here.
	Behind uint64
}

// DeletesKept is how long, at least, a delete stays in a bucket's history: so long
// those who begin to watch are told of it, too.
const DeletesKept = 24 * time.Hour

// A Watcher gets the history of a bucket, in one goroutine: Begin, what stands there
// in the order of the revisions, Current, then the changes in order. A change that
// another of the same key follows may be left out. Deletes may be of keys that it has
// not heard of. It may not call the Store, and what it keeps waiting is only itself.
type Watcher interface {
	// Begin says that what follows is everything: what is not told of until Current is
	// not there any more.
	Begin(epoch string)
	Entry(Entry)
	// Current says that all has been told that stood there when the watching began.
	Current()
}

// A Store has buckets. Its methods may be called from anywhere, at the same time.
type Store interface {
	// Watch tells w of a bucket until ctx ends or the watching breaks, and returns why.
	// Whoever wants to go on calls again, after a pause: Follow does.
	Watch(ctx context.Context, bucket string, w Watcher) error

	// Create writes to a key at which nothing stands, or ErrConflict.
	Create(ctx context.Context, bucket, key string, value []byte) (revision uint64, err error)
	// Update writes to a key that has this revision, or ErrConflict. The revision is that
	// of a value: engines may take a delete's, too, where nothing stands.
	Update(ctx context.Context, bucket, key string, value []byte, expected uint64) (revision uint64, err error)
	// Delete deletes a key that has this revision, or ErrConflict. Nothing there is a
	// conflict, too.
	Delete(ctx context.Context, bucket, key string, expected uint64) (revision uint64, err error)

	// State is how the store is; it does not wait.
	State() State

	Close() error
}

// State is how a store is.
type State struct {
	Engine   string         `json:"engine"`             // memory, or which NATS
	Writable bool           `json:"writable"`           // as far as is known
	Reason   string         `json:"reason,omitempty"`   // why not
	Since    time.Time      `json:"since,omitzero"`     // since when not
	Replicas []ReplicaState `json:"replicas,omitempty"` // of the engine
	Watchers int            `json:"watchers,omitempty"` // consumers that the engine has for all coordinators together, as far as is known
}

// ReplicaState is a replica of the engine.
type ReplicaState struct {
	Name    string `json:"name"`
	Leader  bool   `json:"leader"`
	Current bool   `json:"current"` // it has all that the leader has
	Lag     uint64 `json:"lag,omitempty"`
}
