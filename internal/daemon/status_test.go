package daemon

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/detour-relay/detour/internal/admin"
	"github.com/detour-relay/detour/internal/config"
)

// What the relay knows of itself is what operators are shown, under the names that
// they give to settings.
func TestStatusIsTheState(t *testing.T) {
	c := plain()
	c.Dev, c.TLS.Mode, c.Hostname, c.StateDir = false, config.TLSSelf, "127.0.0.1", filepath.Join(t.TempDir(), "state")
	c.Admin = "127.0.0.1:0"
	d := open(t, c, Options{Spell: func(s string) string { return "--" + s }})
	run(t, d)
	status := func() (s admin.Status) {
		t.Helper()
		code, text := ask(t, http.MethodGet, "http://"+d.State().Admin+"/status", "")
		if err := json.Unmarshal([]byte(text), &s); err != nil || code != http.StatusOK {
			t.Fatalf("%d %v: %s", code, err, text)
		}
		return s
	}
	s, state := status(), d.State()
	if s.Certificate == nil || s.Certificate.Pin != state.Pin || !s.Certificate.Until.Equal(state.Certificate.Until) {
		t.Errorf("certificate: %+v", s.Certificate)
	}
	if s.Descriptors != state.Descriptors || s.Reload != nil {
		t.Errorf("%+v, %+v", s.Descriptors, s.Reload)
	}
	next := d.Config()
	next.Pprof = "127.0.0.1:1"
	if _, err := d.Reload(next); err == nil {
		t.Error("another address is taken over")
	}
	if s := status(); s.Reload == nil || !reflect.DeepEqual(s.Reload, d.State().Reload) || len(s.Reload.Restart) != 1 || s.Reload.Error == "" {
		t.Errorf("%+v", s.Reload)
	}
	if _, err := d.Reload(d.Config()); err != nil {
		t.Error(err)
	}
	if s := status(); s.Reload == nil || s.Reload.Error != "" || len(s.Reload.Restart) != 0 {
		t.Errorf("%+v", s.Reload)
	}
}
