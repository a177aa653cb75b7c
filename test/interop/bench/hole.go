package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// hole is a proxy before a relay that can swallow everything in both directions without ending a connection, as a middlebox does that
// has forgotten them, or a machine that has vanished. It accepts new connections meanwhile and swallows those too.
type hole struct{ proxy *toxiproxy.Proxy }

func startHole(upstream netip.AddrPort) (*hole, error) {
	listen, err := freeAddr()
	if err != nil {
		return nil, err
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	h := &hole{toxiproxy.NewProxy(server, "hole", listen, upstream.String())}
	return h, h.proxy.Start()
}

// url is where clients reach the relay through it.
func (h *hole) url() string { return "https://" + h.proxy.Listen + "/derp" }

func (h *hole) swallow() error {
	for _, stream := range []string{"upstream", "downstream"} {
		toxic := fmt.Sprintf(`{"name": %q, "type": "timeout", "stream": %q, "attributes": {"timeout": 0}}`, stream, stream)
		if _, err := h.proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
			return err
		}
	}
	return nil
}

// spit ends the connections that were swallowed, and lets new ones through.
func (h *hole) spit(ctx context.Context) error {
	h.proxy.Toxics.ResetToxics(ctx)
	return nil
}

func (h *hole) stop() { h.proxy.Stop() }
