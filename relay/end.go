package relay

import (
	"errors"
	"io"

	"github.com/detour-relay/detour/internal/greeting"
)

// Errors that Serve and Link return, to be told apart with errors.Is.
var (
	// ErrWriteTimeout: the peer took no bytes for Config.WriteTimeout.
	ErrWriteTimeout = errors.New("relay: the peer takes no bytes")
	// ErrBadFrame: a frame of a length that its type cannot have.
	ErrBadFrame = errors.New("relay: frame of impossible length")
	// ErrFrameTimeout: a frame, or a record of TLS, that was not complete 30 s after its
	// first byte.
	ErrFrameTimeout = errors.New("relay: a frame or record has been begun and not completed")
	// ErrNotPrivileged: a frame that only a conn with the mesh key may send.
	ErrNotPrivileged = errors.New("relay: frame needs the mesh key")
	// ErrOverrun: a sibling that watches does not read what it asked for.
	ErrOverrun = errors.New("relay: too many control frames wait")
	// ErrLoginTimeout: no complete login in time.
	ErrLoginTimeout = greeting.ErrTimeout
	// ErrLoginMemory: logins under way need too much memory together, and this one,
	// which is larger than real ones are, asked for more.
	ErrLoginMemory = greeting.ErrMemory
	// ErrBadLogin: the login was malformed, or its box did not open.
	ErrBadLogin = greeting.ErrBad
	// ErrNotAdmitted wraps what the admission callback returned.
	ErrNotAdmitted = errors.New("relay: not admitted")
	// ErrAdmitTimeout: the admission callback took longer than Config.AdmitTimeout.
	ErrAdmitTimeout = errors.New("relay: admission took too long")
	// ErrAdmitBusy: Config.AdmitPending others wait for admission.
	ErrAdmitBusy = errors.New("relay: too many peers wait for admission")
	// ErrExpired: the time of Admission.Until has come.
	ErrExpired = errors.New("relay: the admission has ended")
	// ErrRevoked: the peer had been admitted, and would not be any more.
	ErrRevoked = errors.New("relay: the admission has been revoked")
	// ErrBanned: the peer's key has been banned.
	ErrBanned = errors.New("relay: the key is banned")
	// ErrClosePeer: a sibling sent ClosePeer for this key.
	ErrClosePeer = errors.New("relay: closed on a sibling's request")

	// ErrRestarting: the conn was closed while the relay drained.
	ErrRestarting = errors.New("relay: restarting")
	// ErrRebalanced: the conn was closed so that its peer returns to its ideal node.
	ErrRebalanced = errors.New("relay: sent back to its ideal node")
	// ErrQuota: the conn was closed, or not admitted, because the relay has relayed what
	// it may in this month.
	ErrQuota = errors.New("relay: the quota of this month is used up")
	// ErrMeshKeyReplaced: the conn logged in with a mesh key that is not valid any more.
	ErrMeshKeyReplaced = errors.New("relay: the mesh key has been replaced")
	// ErrNoMeshKey: Link needs a relay with a mesh key.
	ErrNoMeshKey = errors.New("relay: no mesh key to link with")
	// ErrSelf: what was dialled is this relay itself, or has a copy of its key.
	ErrSelf = errors.New("relay: this is ourselves, or a relay with a copy of our key file")
	// ErrLinked: there is a link to that sibling already.
	ErrLinked = errors.New("relay: there is a link to this sibling already")
	// ErrNotSibling: the other side ended the link before it told of any peer.
	ErrNotSibling = errors.New("relay: the other side does not take us for a sibling; has it another mesh key?")
	// ErrSilent: the sibling has answered nothing for 20 s.
	ErrSilent = errors.New("relay: the sibling is silent")
	// ErrTooManyPeers: the sibling announced more than Config.LinkPeers keys.
	ErrTooManyPeers = errors.New("relay: the sibling announces too many keys")

	// errWrite: the transport failed on writing.
	errWrite = errors.New("relay: write failed")
)

// An endReason says why a conn or link ended: it is a place in ends.
type endReason int

func (r endReason) String() string { return ends[r].name }

const (
	endReasons   = len(ends)
	endReadError = endReason(endReasons - 1)
)

// ends has the names by which ends are counted. Of an error that is several of them,
// the first counts.
var ends = [...]struct {
	err   error
	name  string
	links bool // only links end so
}{
	{ErrNotSibling, "not_sibling", true},
	{ErrQuota, "quota", false},
	{io.EOF, "eof", false}, // the peer left
	{errWrite, "write_error", false},
	{ErrWriteTimeout, "write_timeout", false},
	{ErrBadFrame, "bad_frame", false},
	{ErrFrameTimeout, "frame_timeout", false},
	{ErrNotPrivileged, "not_privileged", false},
	{ErrOverrun, "overrun", false},
	{ErrLoginTimeout, "login_timeout", false},
	{ErrLoginMemory, "login_memory", false},
	{ErrBadLogin, "bad_login", false},
	{ErrNotAdmitted, "not_admitted", false},
	{ErrAdmitTimeout, "admit_timeout", false},
	{ErrAdmitBusy, "admit_busy", false},
	{ErrExpired, "expired", false},
	{ErrRevoked, "revoked", false},
	{ErrBanned, "banned", false},
	{ErrClosePeer, "close_peer", false},
	{ErrShutdown, "shutdown", false},
	{ErrRestarting, "restarting", false},
	{ErrRebalanced, "rebalanced", false},
	{ErrMeshKeyReplaced, "mesh_key", false},
	{ErrSelf, "self", true},
	{ErrLinked, "linked", true},
	{ErrSilent, "silent", true},
	{ErrTooManyPeers, "too_many_peers", true},
	{nil, "read_error", false}, // any other: the transport failed, or was closed from outside
}

// reasonOf returns as what an error that ended a conn or link is counted.
func reasonOf(err error) endReason {
	for r := range endReadError {
		if errors.Is(err, ends[r].err) {
			return r
		}
	}
	return endReadError
}

// asWriteError marks an error of the transport as one of writing.
func asWriteError(err error) error {
	if err == nil {
		return nil
	}
	return &writeError{err}
}

type writeError struct{ err error }

func (e *writeError) Error() string   { return errWrite.Error() + ": " + e.err.Error() }
func (e *writeError) Unwrap() []error { return []error{errWrite, e.err} }
