package tailnet

import (
	"errors"
	"fmt"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/smallfile"
)

// What Open fails with, besides what the system says of files and coordinators.
var (
	ErrNotJoined     = errors.New("this is no member yet: an invite is needed to become one")
	ErrName          = errors.New("a member cannot be called so")
	ErrInUse         = smallfile.ErrLocked // another process is this member
	ErrDamaged       = errors.New("the state file of a member is damaged")
	ErrNewer         = errors.New("the state file of a member was written by a newer version")
	ErrOtherKey      = errors.New("the state file is of a member with another key")
	ErrOtherTailnet  = errors.New("the invite is for another tailnet than the state file")
	ErrInviteDamaged = coordapi.ErrInvite
	ErrInviteUnknown = errors.New("the coordinator does not know the invite")
	ErrInviteUsed    = errors.New("the invite is used up")
	ErrInviteExpired = errors.New("the invite has expired")
	ErrUnreachable   = errors.New("no coordinator can be reached")
	ErrPinMismatch   = pin.ErrMismatch // it has another certificate than the invite says
)

// What members meet later.
var (
	ErrRemoved = errors.New("the tailnet does not have this member any more")
	ErrAway    = errors.New("no coordinator is connected")
	ErrNoPeer  = errors.New("the tailnet has no such peer")
	ErrClosed  = errors.New("the member is closed")
)

// Why a call failed, or a stream ended.
var (
	errSlow    = fmt.Errorf("it has not answered within %v", callTime)
	errSilence = fmt.Errorf("the coordinator has said nothing for %v", coordapi.SilenceTime)
	errEnded   = errors.New("the coordinator has ended the stream")
	errMoved   = errors.New("the coordinator asks to use another one")
	errNetwork = errors.New("the network has changed")
)

// sentinels are what the codes of refusals mean here.
var sentinels = map[string]error{
	coordapi.CodeInvite: ErrInviteUnknown, coordapi.CodeInviteUsed: ErrInviteUsed, coordapi.CodeInviteExpired: ErrInviteExpired,
	coordapi.CodeNotMember: ErrRemoved,
}

// refusal is what a coordinator said no with.
type refusal coordapi.Error

func (r *refusal) Error() string {
	switch meant := sentinels[r.Code]; {
	case meant != nil:
		return meant.Error()
	case r.Message == "":
		return fmt.Sprintf("it refuses with %q (HTTP status %d)", r.Code, r.Status)
	}
	return fmt.Sprintf("it says: %s", r.Message)
}

func (r *refusal) Unwrap() error { return sentinels[r.Code] }

// codeOf is the code of a refusal; "" for every other error.
func codeOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.Code
	}
	return ""
}

// final reports whether the same question gets the same answer from every coordinator.
func final(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	if !ok {
		return false
	}
	switch r.Code {
	case coordapi.CodeTooMany, coordapi.CodeUnavailable, coordapi.CodeProof, coordapi.CodeUnauthorized, coordapi.CodeConflict, "":
		return false // a proof may have come too late
	}
	return true
}
