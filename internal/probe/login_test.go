package probe

import (
	"context"
	"errors"
	"testing"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func TestLogin(t *testing.T) {
	t.Parallel()
	refusing := newScript()
	refusing.admit = func() bool { return false }
	checks := startScript(t, refusing)(Config{})
	want(t, checks, "login", Fail, "does not admit us", "let check past with --mesh-psk-file")
	want(t, checks, "websocket", Skip, "needs login", "")
	wantNoOther(t, checks, "login")

	talkative := newScript()
	talkative.before = derp.AppendKeepAlive(nil)
	want(t, startScript(t, talkative)(Config{}), "login", Fail, "before ServerInfo", "derpprobe calls this one bad")

	limiting := newScript()
	limiting.limit = derp.ServerInfo{TokenBucketBytesPerSecond: 1 << 20, TokenBucketBytesBurst: 4096}
	checks = startScript(t, limiting)(Config{})
	want(t, checks, "login", OK, "at most 1048576 bytes per second, 4096 at once", "")
	want(t, checks, "large", Warn, "not sent: the relay asks for at most 4096 bytes at once", "raise the burst")

	undecided := newScript()
	never := make(chan struct{})
	defer close(never)
	undecided.admit = func() bool { <-never; return false }
	checks = startScript(t, undecided)(Config{Timeout: brief})
	want(t, checks, "login", Fail, "no answer to the login", "waits for who decides about admission")
}

// A relay that admits only siblings is checked with the mesh key.
func TestAdmission(t *testing.T) {
	t.Parallel()
	cert := goodCert(t)
	port, _ := startRelay(t, cert, relay.Config{
		MeshKeys: []key.Mesh{meshKey},
		Admit: func(context.Context, relay.Applicant) (relay.Admission, error) {
			return relay.Admission{}, errors.New("nobody")
		},
	})
	checks := checkedNode(t, Config{}, mapNode("900a", port, cert))
	want(t, checks, "login", Fail, "does not admit us", "--mesh-psk-file")
	checks = checkedNode(t, Config{MeshKeys: []key.Mesh{otherMeshKey, meshKey}}, mapNode("900a", port, cert))
	wantNoOther(t, checks)
	want(t, checks, "login", OK, "as a sibling only", "")
	want(t, checks, "packet", OK, "there and back", "")
	want(t, checks, "websocket", OK, "logged in", "")
}
