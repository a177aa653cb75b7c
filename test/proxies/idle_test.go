package proxies

import (
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
)

// What nginx does by itself: it cuts what is silent for 60 s.
const (
	defaultIdle  = 5 * time.Minute
	defaultPeers = 100
)

// The relay's KeepAlives come sooner than nginx cuts by default, which is what most
// people have.
func TestNginxDefaultTimeouts(t *testing.T) {
	t.Parallel()
	s := begin(t, nginx, []edit{{"        proxy_read_timeout 1h;\n        proxy_send_timeout 1h;\n", ""}}, nil)
	how := []client.WebSocketMode{client.WebSocketNever, client.WebSocketAlways}
	peers := make([]*visitor, defaultPeers)
	for i := range peers {
		peers[i] = visit(t, s.config(how[i%len(how)]))
	}
	time.Sleep(defaultIdle)
	cut := 0
	for _, p := range peers {
		select {
		case <-p.gone:
			cut++
			t.Logf("cut: %v", p.why)
		default:
		}
	}
	t.Logf("%d of %d idle peers were cut in %v", cut, len(peers), defaultIdle)
	if cut > 0 {
		t.Fatal("none may be")
	}
	for i, p := range peers {
		p.tell(t, peers[(i+1)%len(peers)], 100)
	}
}

// The same proxy cuts them if the KeepAlives come too late: it is they that hold the
// connection.
func TestNginxCutsTheSilent(t *testing.T) {
	t.Parallel()
	s := begin(t, nginx,
		[]edit{{"proxy_read_timeout 1h", "proxy_read_timeout 5s"}},
		[]edit{{"hostname: relay.example.com", "hostname: relay.example.com\nkeepalive: 100s"}})
	p := visit(t, s.config(client.WebSocketNever))
	select {
	case <-p.gone:
	case <-time.After(patience):
		t.Error("an idle peer is not cut")
	}
}
