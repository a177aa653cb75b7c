package charts

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

func load(t *testing.T, environment types.Mapping) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir: t.TempDir(), ConfigFiles: []types.ConfigFile{{Filename: "../../dist/compose.yaml"}}, Environment: environment,
	}, func(o *loader.Options) { o.SetProjectName("detour", false) })
}

// The relay has the host's network, may do nothing but bind its port, keeps its key, and
// has longer to end than it drains.
func TestCompose(t *testing.T) {
	p, err := load(t, types.Mapping{"DETOUR_HOSTNAME": "relay.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	relay, err := p.GetService("relay")
	if err != nil {
		t.Fatal(err)
	}
	if relay.NetworkMode != "host" || len(relay.CapAdd) != 1 || relay.CapAdd[0] != "NET_BIND_SERVICE" || len(relay.CapDrop) != 1 || !relay.ReadOnly || relay.Privileged {
		t.Errorf("%+v", relay)
	}
	drain, err := time.ParseDuration(*relay.Environment["DETOUR_DRAIN"])
	if err != nil || time.Duration(*relay.StopGracePeriod) <= drain {
		t.Errorf("it has %v to drain for %v (%v)", relay.StopGracePeriod, drain, err)
	}
	if v := relay.Volumes; len(v) != 1 || v[0].Target != "/var/lib/detour" || v[0].Type != types.VolumeTypeVolume || *relay.Environment["DETOUR_HOSTNAME"] != "relay.example.com" {
		t.Errorf("%+v", v)
	}
}

func TestComposeWantsAName(t *testing.T) {
	if _, err := load(t, types.Mapping{}); err == nil || !strings.Contains(err.Error(), "by which name or public IP address do peers reach the relay?") {
		t.Error(err)
	}
}
