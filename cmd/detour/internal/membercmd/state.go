package membercmd

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/coordapi"
)

// statePath chooses the state file: a name for each tailnet, below the user's own
// directory for what outlives a program.
func statePath(given, invite string) (string, error) {
	if given != "" {
		return given, nil
	}
	dir, err := memberDir()
	if err != nil {
		return "", err
	}
	if invite != "" {
		return pathOf(dir, invite)
	}
	return onlyOne(dir, memberFiles)
}

func pathOf(dir, invite string) (string, error) {
	i, err := coordapi.ParseInvite(invite)
	if err != nil {
		return "", explainOpen("detour join", err)
	}
	name := cleanFile(i.Tailnet)
	if name == "" {
		return "", cli.Usagef("the invite does not say which tailnet it is for: name a file for the state with --state")
	}
	return filepath.Join(dir, "member-"+name+".json"), nil
}

// cleanFile is a name that leads nowhere else: the invite may be anybody's.
func cleanFile(name string) string {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		return ""
	}
	return name
}

// What state files are called.
const (
	memberFiles = "member-*.json" // one for each tailnet
	pairFiles   = "pair*.json"    // ownPair, and one for each inviter
)

// onlyOne is the only state file that is called so.
func onlyOne(dir string, patterns ...string) (string, error) {
	var found []string
	for _, pattern := range patterns {
		some, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		found = append(found, some...)
	}
	switch {
	case len(found) == 0 && slices.Equal(patterns, []string{pairFiles}):
		return "", cli.Usagef("this machine is paired with none yet: name the relay that both can reach with --relay")
	case len(found) == 0 && len(patterns) > 1:
		return "", cli.Usagef("this machine is no member yet: give an invite, as the operator of the tailnet has it from \"detour net invite\", or a token of another machine (there: detour up --relay HOST=PIN --invite)")
	case len(found) == 0:
		return "", cli.Usagef("this machine is no member yet: give an invite, as the operator of the tailnet has it from \"detour net invite\"")
	case len(found) > 1:
		return "", &cli.Choice{Err: cli.Usagef("this machine is a member of several tailnets: choose one"), Ways: ways(found)}
	}
	return found[0], nil
}

func ways(files []string) (ways []string) {
	for _, f := range files {
		ways = append(ways, "--state "+f)
	}
	return ways
}

// errTwoInvites: two are given.
var errTwoInvites = errors.New("give the invite either as an argument or in a file")
