package coordnats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
)

// Config says which engine there is. Either Dir or URLs is set.
type Config struct {
	// Dir is where a server within this process keeps all. No other process may use it
	// meanwhile.
	Dir string
	// Cluster makes the server one of several; nil: it is alone.
	Cluster *Cluster

	// URLs are servers that others run: nats://host:4222 or tls://host:4222.
	URLs []string
	// CredentialsFile is a NATS credentials file, Token a token, TLS what the servers are
	// trusted by and our certificate, for URLs. All may be empty.
	CredentialsFile string
	Token           string
	TLS             *tls.Config
	// Replicas is how many servers have each bucket, for URLs; 0: three if there are as
	// many, otherwise one. Within a Cluster it is three, or all if these are fewer.
	Replicas int

	// Logger gets what the engine says; nil: nobody.
	Logger *slog.Logger

	unsynced bool // for measurements that fill much
}

// A Cluster is several processes, each with a server within it.
type Cluster struct {
	// Name is which of the Routes we are.
	Name string
	// Listen is where the others reach us, if that is not our address in Routes.
	Listen string
	// Routes are the addresses, host:port, of all processes by their names.
	Routes map[string]string
	// Secrets are shared by all: 32 bytes or more each, from a random source. Our
	// certificate is made with the first, those of the others may be by any. To change
	// it, add the new one behind the old one everywhere, then move it before it, then
	// take the old one away.
	Secrets [][]byte
}

func (c *Config) check() error {
	switch {
	case (c.Dir == "") == (len(c.URLs) == 0):
		return errors.New("the state is either in a directory or in NATS servers: say one of them")
	case c.Dir == "" && c.Cluster != nil:
		return errors.New("a cluster needs a directory to keep its state in")
	case c.Replicas < 0 || c.Replicas > 5 || c.Replicas != 0 && c.Dir != "":
		return fmt.Errorf("%d replicas are asked for: NATS servers of others take 1 to 5, a cluster decides itself", c.Replicas)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Cluster != nil {
		return c.Cluster.check()
	}
	return nil
}

func (c *Cluster) check() error {
	own, ok := c.Routes[c.Name]
	switch {
	case !ok:
		return fmt.Errorf("the cluster has no %q, which this one is called: it has %q", c.Name, c.names())
	case len(c.Routes) < 3:
		return fmt.Errorf("the cluster has %d coordinators: with fewer than 3 none of them may die", len(c.Routes))
	case len(c.Secrets) == 0:
		return errors.New("the coordinators of a cluster need a secret that they share")
	}
	for name, address := range c.Routes {
		if _, _, err := net.SplitHostPort(address); err != nil || name == "" {
			return fmt.Errorf("coordinator %q of the cluster is at %q: write NAME=HOST:PORT", name, address)
		}
	}
	for _, s := range c.Secrets {
		if len(s) < 32 {
			return fmt.Errorf("the secret of the cluster has %d bytes: it needs 32 from a random source", len(s))
		}
	}
	if c.Listen == "" {
		c.Listen = own
	}
	_, _, err := net.SplitHostPort(c.Listen)
	return err
}

// names are those of all coordinators, in order.
func (c *Cluster) names() []string {
	var all []string
	for name := range c.Routes {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
