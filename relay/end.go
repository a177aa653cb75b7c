package relay

import (
	"errors"
	"io"

	"github.com/detour-relay/detour/internal/greeting"
)

// An endReason says why a conn or link ended.
type endReason uint8

// The reasons.
const (
	endEOF           endReason = iota // the peer left
	endReadError                      // the transport failed, or was closed from outside
	endWriteError                     // the transport failed on writing
	endWriteTimeout                   // the peer took no bytes for too long
	endBadFrame                       // a frame of impossible length
	endFrameTimeout                   // a frame that was begun and not completed
	endNotPrivileged                  // a frame that only siblings may send
	endOverrun                        // a sibling left too many control frames unread
	endLoginTimeout                   // the login was not complete in time
	endLoginMemory                    // it gave way when logins needed too much memory together
	endBadLogin                       // the login was malformed, or its box did not open
	endNotAdmitted                    // the admission callback said no
	endAdmitTimeout                   // it said nothing in time
	endAdmitBusy                      // too many others wait for it
	endExpired                        // the admission ended
	endRevoked                        // the peer is not admitted any more
	endBanned                         // its key has been banned
	endClosePeer                      // a sibling had the peer closed
	endShutdown                       // the relay shut down
	endRestarting                     // the relay drained before a restart
	endRebalanced                     // sent back to its ideal node
	endQuota                          // the relay's month is used up
	endMeshKey                        // its mesh key is not valid any more
	endSelf                           // of links: the sibling is this relay itself
	endLinked                         // of links: there is one to that sibling already
	endNotSibling                     // of links: the sibling does not take us for one
	endSilent                         // of links: no sign of life for too long
	endTooManyPeers                   // of links: more keys announced than allowed
	endReasons

	linkEndReasons = endSelf // the first that only links have
)

var endNames = [endReasons]string{
	"eof", "read_error", "write_error", "write_timeout", "bad_frame", "frame_timeout", "not_privileged", "overrun",
	"login_timeout", "login_memory", "bad_login", "not_admitted", "admit_timeout", "admit_busy", "expired", "revoked", "banned", "close_peer", "shutdown",
	"restarting", "rebalanced", "quota", "mesh_key", "self", "linked", "not_sibling", "silent", "too_many_peers",
}

func (r endReason) String() string { return endNames[r] }

// Errors that Serve and Link return, to be told apart with errors.Is.
var (
	// ErrWriteTimeout: the peer took no bytes for Config.WriteTimeout.
	ErrWriteTimeout = errors.New("relay: the peer takes no bytes")
	// ErrBadFrame: a frame of a length that its type cannot have.
	ErrBadFrame = errors.New("relay: frame of impossible length")
	// ErrFrameTimeout: a frame that was not complete 30 s after its first byte.
	ErrFrameTimeout = errors.New("relay: a frame has been begun and not completed")
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

	errWrite = errors.New("relay: write failed")
)

// reasonOf maps the error that ended a conn to what is counted.
func reasonOf(err error) endReason {
	for _, e := range []struct {
		err    error
		reason endReason
	}{
		{ErrNotSibling, endNotSibling}, {ErrQuota, endQuota}, {io.EOF, endEOF}, {errWrite, endWriteError}, {ErrWriteTimeout, endWriteTimeout},
		{ErrBadFrame, endBadFrame}, {ErrFrameTimeout, endFrameTimeout}, {ErrNotPrivileged, endNotPrivileged}, {ErrOverrun, endOverrun},
		{ErrLoginTimeout, endLoginTimeout}, {ErrLoginMemory, endLoginMemory}, {ErrBadLogin, endBadLogin}, {ErrNotAdmitted, endNotAdmitted},
		{ErrAdmitTimeout, endAdmitTimeout}, {ErrAdmitBusy, endAdmitBusy}, {ErrExpired, endExpired}, {ErrRevoked, endRevoked}, {ErrBanned, endBanned},
		{ErrClosePeer, endClosePeer}, {ErrShutdown, endShutdown}, {ErrRestarting, endRestarting},
		{ErrRebalanced, endRebalanced}, {ErrMeshKeyReplaced, endMeshKey}, {ErrSelf, endSelf},
		{ErrLinked, endLinked}, {ErrSilent, endSilent}, {ErrTooManyPeers, endTooManyPeers},
	} {
		if errors.Is(err, e.err) {
			return e.reason
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
