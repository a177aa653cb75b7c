package acme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/mholt/acmez/v3/acme"

	"github.com/detour-relay/detour/internal/retry"
)

// A records is who makes and removes TXT records in the DNS.
type records interface {
	make(ctx context.Context, name, value string) error
	remove(ctx context.Context, name, value string) error
}

// inDNS answers the challenges of one try by records. It implements acmez.Solver and
// acmez.Waiter, and is used by one goroutine.
type inDNS struct {
	records
	resolvers resolvers
	wait      time.Duration // until all servers of the zone have a record
	log       *slog.Logger

	made  time.Time         // the last one
	where map[string]string // the records are, by the names that the authority asks for
}

func (r Records) solver(log *slog.Logger) *inDNS {
	d := &inDNS{records: update{r.Server, r.key}, resolvers: r.resolvers, wait: r.Wait, log: log, where: make(map[string]string)}
	if r.Hook != "" {
		d.records = hook(r.Hook)
	}
	if d.resolvers == nil {
		d.resolvers = systemResolvers()
	}
	return d
}

// recordTime bounds the making of one, and its removal.
const recordTime = 2 * time.Minute

// Present makes the record.
func (d *inDNS) Present(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	name := d.resolvers.follow(ctx, recordOf(c))
	if err := d.make(ctx, name, c.DNS01KeyAuthorization()); err != nil {
		return &dnsError{fmt.Errorf("the record %s cannot be made: %w", name, err)}
	}
	d.where[recordOf(c)], d.made = name, time.Now()
	return nil
}

// Wait lets the other servers of the zone learn of it. All records are made before the
// first wait, so that there is one for all of them.
func (d *inDNS) Wait(ctx context.Context, _ acme.Challenge) error {
	if !retry.Rest(ctx, time.Until(d.made.Add(d.wait)), nil) {
		return context.Cause(ctx)
	}
	return nil
}

// CleanUp removes the record. One that stays says nothing to anybody, and is told.
func (d *inDNS) CleanUp(ctx context.Context, c acme.Challenge) error {
	name, ok := d.where[recordOf(c)]
	if !ok {
		return nil // it could not be made
	}
	delete(d.where, recordOf(c))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := d.remove(ctx, name, c.DNS01KeyAuthorization()); err != nil {
		d.log.Warn("a record in the DNS stays, which shows a name no more: remove it by hand", "record", name, "reason", line(err))
	}
	return nil
}

// recordOf is the name of the record, with a dot at its end.
func recordOf(c acme.Challenge) string {
	return strings.TrimSuffix(c.DNS01TXTRecordName(), ".") + "."
}

// A dnsError is why a record could not be made: nobody was asked.
type dnsError struct{ err error }

func (e *dnsError) Error() string { return e.err.Error() }
func (e *dnsError) Unwrap() error { return e.err }

// A hook is a program that makes and removes records. It has the environment of this
// process, without what is for this process alone, and no input:
//
//	PROGRAM present NAME VALUE
//	PROGRAM cleanup NAME VALUE
type hook string

func (h hook) make(ctx context.Context, name, value string) error {
	return h.run(ctx, "present", name, value)
}

func (h hook) remove(ctx context.Context, name, value string) error {
	return h.run(ctx, "cleanup", name, value)
}

// mostSaid bounds what is kept of what it prints.
const mostSaid = 2048

func (h hook) run(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, string(h), args...)
	said := new(tail)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, 5*time.Second
	cmd.Env = slices.DeleteFunc(os.Environ(), ofOurs)
	endAll(cmd)
	err := cmd.Run()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("it did not end within %v", recordTime)
	}
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(said.String()); text != "" {
		return fmt.Errorf("%s %s: %w: %s", h, args[0], err, text)
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%s: %w: it has to be a program that the relay's user may run", h, err)
	}
	return fmt.Errorf("%s %s: %w", h, args[0], err)
}

// ofOurs reports whether a variable is for this process alone: settings of it, keys of a
// region among them, and the way to the service manager.
func ofOurs(variable string) bool {
	for _, prefix := range []string{"DETOUR_", "TAILSCALE_DERPER_", "NOTIFY_SOCKET=", "LISTEN_FDS", "LISTEN_PID=", "WATCHDOG_", "TABLEFLIP_"} {
		if strings.HasPrefix(variable, prefix) {
			return true
		}
	}
	return false
}

// tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - mostSaid; over > 0 {
		t.Next(over)
	}
	return n, err
}
