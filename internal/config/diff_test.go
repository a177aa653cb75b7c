package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A change is written as a person would write it into a file, in one line, and has
// nothing that others must not read in a log.
func TestChangesAreWritten(t *testing.T) {
	long := make([]string, 1000)
	for i := range long {
		long[i] = fmt.Sprint("h", i)
	}
	for want, change := range map[string]func(*Config){
		"drain 15s 1m30s":                                func(c *Config) { c.Drain = Duration(90 * time.Second) },
		"accept.limit 0 2.5":                             func(c *Config) { c.Accept.Limit = 2.5 },
		"max-pending 3072 7":                             func(c *Config) { c.MaxPending = 7 },
		"access.everyone false true":                     func(c *Config) { c.Access.Everyone = true },
		"limits.in 0 10Mbit/s":                           func(c *Config) { c.Limits.In = 1_250_000 },
		"limits.labels  a=in=0 out=8Mbit/s,b=in=0 out=0": func(c *Config) { c.Limits.Labels = map[string]Limit{"b": {}, "a": {Out: 1e6}} },
		"mesh.with  a,b":                                 func(c *Config) { c.Mesh.With = []string{"a", "b"} },
		"mesh.dns  h0,h1,h2,h3,... 995 more ...,h999":    func(c *Config) { c.Mesh.DNS = long },
		"mesh.rebalance  n=a":                            func(c *Config) { c.Mesh.Rebalance = map[string]string{"n": "a"} },
		"home  https://u:***@h/x":                        func(c *Config) { c.Home = "https://u:hunter2@h/x" },
		"access.verify  https://h/verify?***,http://b":   func(c *Config) { c.Access.Verify = []string{"https://h/verify?token=hunter2", "http://b"} },
		"quota.webhook  https://u:***@h/***":             func(c *Config) { c.Quota.Webhook = "https://u:hunter2@h/services/hunter3?x" },
		"quota.soft 0B 1GB":                              func(c *Config) { c.Quota.Soft = 1e9 },
	} {
		c := good()
		change(&c)
		r := Diff(good(), c)
		if len(r.Changed)+len(r.Restart) != 1 {
			t.Errorf("%s: %+v", want, r)
			continue
		}
		got := append(r.Changed, r.Restart...)[0]
		if said := strings.Join([]string{got.Setting, got.Old, got.New}, " "); said != want {
			t.Errorf("got  %s\nwant %s", said, want)
		}
	}
}
