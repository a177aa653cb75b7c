package edge

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestConfigRefuses(t *testing.T) {
	r := testRelay(t)
	for want, config := range map[string]Config{
		"Relay is missing":                   {Listen: ":0"},
		`Config.Listen "": want host:port`:   {Relay: r},
		`Config.Listen "443": want host`:     {Relay: r, Listen: "443"},
		`Config.Listen ":": no such port`:    {Relay: r, Listen: ":"},
		`Config.Listen ":x": no such port`:   {Relay: r, Listen: ":x"},
		`":65536": no such port`:             {Relay: r, Listen: ":65536"},
		"/run/x.sock is a Unix socket":       {Relay: r, Listen: "unix:/run/x.sock"},
		"/run/y.sock is a Unix socket":       {Relay: r, Listen: "/run/y.sock"},
		"no interface has this address: giv": {Relay: r, Listen: "192.0.2.1:0"},
		`Config.Home "page"`:                 {Relay: r, Listen: ":0", Home: "page"},
		`Config.Home "https://"`:             {Relay: r, Listen: ":0", Home: "https://"},
		`Config.Home "ftp://x"`:              {Relay: r, Listen: ":0", Home: "ftp://x"},
		"AcceptPerSecond -1":                 {Relay: r, Listen: ":0", AcceptPerSecond: -1},
		"AcceptPerSecond NaN":                {Relay: r, Listen: ":0", AcceptPerSecond: math.NaN()},
		"AcceptPerSecond +Inf":               {Relay: r, Listen: ":0", AcceptPerSecond: math.Inf(1)},
		"PendingBytes, HandshakeTimeout":     {Relay: r, Listen: ":0", MaxPending: -1},
		"PendingTimeout cannot be negative":  {Relay: r, Listen: ":0", PendingTimeout: -1},
		"HandshakeTimeout and PendingTimeo":  {Relay: r, Listen: ":0", HandshakeTimeout: -1},
		"AcceptBurst, MaxConns, MaxPending,": {Relay: r, Listen: ":0", AcceptBurst: -1},
	} {
		_, err := Listen(config)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	r := testRelay(t)
	got := must(Config{Relay: r, Listen: "127.0.0.1:0", AcceptPerSecond: 2.5}.complete())(t)
	if got.AcceptBurst != 3 || got.MaxPending > 3072 || got.PendingBytes != 2<<20 || got.HandshakeTimeout != 10*time.Second || got.PendingTimeout != 30*time.Second ||
		got.KeepAlive != 10*time.Minute || got.UserTimeout != 15*time.Second || got.Logger == nil {
		t.Errorf("defaults: %+v", got)
	}
}
