package relay

import (
	"errors"
	"io"
)

// An EndReason says why a conn or link ended.
type EndReason uint8

// The reasons.
const (
	EndEOF           EndReason = iota // the peer left
	EndReadError                      // the transport failed, or was closed from outside
	EndWriteError                     // the transport failed on writing
	EndWriteTimeout                   // the peer took no bytes for too long
	EndBadFrame                       // a frame of impossible length
	EndNotPrivileged                  // a frame that only siblings may send
	EndOverrun                        // a sibling left too many control frames unread
	EndLoginTimeout                   // the login was not complete in time
	EndBadLogin                       // the login was malformed, or its box did not open
	EndNotAdmitted                    // the admission callback said no
	EndAdmitTimeout                   // it said nothing in time
	EndAdmitBusy                      // too many others wait for it
	EndExpired                        // the admission ended
	EndClosePeer                      // a sibling had the peer closed
	EndShutdown                       // the relay shut down
	EndRestarting                     // the relay drained before a restart
	EndRebalanced                     // sent back to its ideal node
	EndMeshKey                        // its mesh key is not valid any more
	EndSelf                           // of links: the sibling is this relay itself
	EndLinked                         // of links: there is one to that sibling already
	EndNotSibling                     // of links: the sibling does not take us for one
	EndSilent                         // of links: no sign of life for too long
	EndTooManyPeers                   // of links: more keys announced than allowed
	endReasons

	linkEndReasons = EndSelf // the first that only links have
)

var endNames = [endReasons]string{
	"eof", "read_error", "write_error", "write_timeout", "bad_frame", "not_privileged", "overrun",
	"login_timeout", "bad_login", "not_admitted", "admit_timeout", "admit_busy", "expired", "close_peer", "shutdown",
	"restarting", "rebalanced", "mesh_key", "self", "linked", "not_sibling", "silent", "too_many_peers",
}

func (r EndReason) String() string { return endNames[r] }

// Errors that Serve and Link return, to be told apart with errors.Is.
var (
	// ErrWriteTimeout: the peer took no bytes for Config.WriteTimeout.
	ErrWriteTimeout = errors.New("relay: the peer takes no bytes")
	// ErrBadFrame: a frame of a length that its type cannot have.
	ErrBadFrame = errors.New("relay: frame of impossible length")
	// ErrNotPrivileged: a frame that only a conn with the mesh key may send.
	ErrNotPrivileged = errors.New("relay: frame needs the mesh key")
	// ErrOverrun: a sibling that watches does not read what it asked for.
	ErrOverrun = errors.New("relay: too many control frames wait")
	// ErrLoginTimeout: no complete login in time.
	ErrLoginTimeout = errors.New("relay: login took too long")
	// ErrBadLogin: the login was malformed, or its box did not open.
	ErrBadLogin = errors.New("relay: bad login")
	// ErrNotAdmitted wraps what the admission callback returned.
	ErrNotAdmitted = errors.New("relay: not admitted")
	// ErrAdmitTimeout: the admission callback took longer than Config.AdmitTimeout.
	ErrAdmitTimeout = errors.New("relay: admission took too long")
	// ErrAdmitBusy: Config.AdmitPending others wait for admission.
	ErrAdmitBusy = errors.New("relay: too many peers wait for admission")
	// ErrExpired: the time of Admission.Until has come.
	ErrExpired = errors.New("relay: the admission has ended")
	// ErrClosePeer: a sibling sent ClosePeer for this key.
	ErrClosePeer = errors.New("relay: closed on a sibling's request")

	// ErrRestarting: the conn was closed while the relay drained.
	ErrRestarting = errors.New("relay: restarting")
	// ErrRebalanced: the conn was closed so that its peer returns to its ideal node.
	ErrRebalanced = errors.New("relay: sent back to its ideal node")
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
func reasonOf(err error) EndReason {
	for _, e := range []struct {
		err    error
		reason EndReason
	}{
		{ErrNotSibling, EndNotSibling}, {io.EOF, EndEOF}, {errWrite, EndWriteError}, {ErrWriteTimeout, EndWriteTimeout},
		{ErrBadFrame, EndBadFrame}, {ErrNotPrivileged, EndNotPrivileged}, {ErrOverrun, EndOverrun},
		{ErrLoginTimeout, EndLoginTimeout}, {ErrBadLogin, EndBadLogin}, {ErrNotAdmitted, EndNotAdmitted},
		{ErrAdmitTimeout, EndAdmitTimeout}, {ErrAdmitBusy, EndAdmitBusy}, {ErrExpired, EndExpired},
		{ErrClosePeer, EndClosePeer}, {ErrShutdown, EndShutdown}, {ErrRestarting, EndRestarting},
		{ErrRebalanced, EndRebalanced}, {ErrMeshKeyReplaced, EndMeshKey}, {ErrSelf, EndSelf},
		{ErrLinked, EndLinked}, {ErrSilent, EndSilent}, {ErrTooManyPeers, EndTooManyPeers},
	} {
		if errors.Is(err, e.err) {
			return e.reason
		}
	}
	return EndReadError
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
