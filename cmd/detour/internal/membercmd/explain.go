package membercmd

import (
	"errors"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/tailnet"
)

// explainOpen says of a member that could not be opened by a command what to do, and ends
// the program as that asks for.
func explainOpen(command string, err error) error {
	const another = "ask the operator of the tailnet for another one (detour net invite)"
	if errors.Is(err, tailnet.ErrPinMismatch) {
		return cli.Unansweredf("%w: it has another certificate now, then %s; or somebody else answers there", err, another)
	}
	if errors.Is(err, tailnet.ErrUnreachable) {
		return cli.Unansweredf("%w: see that it runs, and that this machine may reach it", err)
	}
	for _, e := range []struct {
		is     error
		usage  bool
		remedy string
	}{
		{tailnet.ErrInviteDamaged, true, "copy it whole, from " + `"detour1" to its end`},
		{tailnet.ErrInviteUsed, false, another},
		{tailnet.ErrInviteExpired, false, another},
		{tailnet.ErrInviteUnknown, false, "it was withdrawn, or is for another coordinator: " + another},
		{tailnet.ErrName, true, "see --name"},
		{tailnet.ErrNotJoined, true, "give one (" + command + " INVITE)"},
		{tailnet.ErrOtherTailnet, true, "see --state"},
		{tailnet.ErrOtherKey, true, "see --state"},
		{tailnet.ErrInUse, false, "see --state"},
	} {
		switch {
		case errors.Is(err, e.is) && e.usage:
			return cli.Usagef("%w: %s", err, e.remedy)
		case errors.Is(err, e.is):
			return &failure{err, e.remedy}
		}
	}
	return err
}

// failure is an error with what to do about it.
type failure struct {
	err    error
	remedy string
}

func (f *failure) Error() string { return f.err.Error() + ": " + f.remedy }
func (f *failure) Unwrap() error { return f.err }

// explainRemoved says what who was removed can do.
func explainRemoved(command, stateFile string) error {
	return &failure{tailnet.ErrRemoved, "if that was a mistake, join again with an invite (" + command + " --state " + stateFile + " INVITE): the key stays"}
}
