package acme

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// inDNS answers challenges by records. It implements acmez.Solver and acmez.Waiter.
type inDNS struct {
	records
	wait time.Duration // until all servers of the zone have one
}

func (r Records) solver() inDNS {
	if r.Hook != "" {
		return inDNS{hook(r.Hook), r.Wait}
	}
	return inDNS{update{r.Server, r.key}, r.Wait}
}

// recordTime bounds the making of one, and its removal.
const recordTime = 2 * time.Minute

// Present makes the record.
func (d inDNS) Present(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(ctx, recordTime)
	defer cancel()
	if err := d.make(ctx, recordOf(c), c.DNS01KeyAuthorization()); err != nil {
		return &dnsError{fmt.Errorf("the record %s cannot be made: %w", recordOf(c), err)}
	}
	return nil
}

// Wait lets the other servers of the zone learn of it.
func (d inDNS) Wait(ctx context.Context, _ acme.Challenge) error {
	if !retry.Rest(ctx, d.wait, nil) {
		return ctx.Err()
	}
	return nil
}

// CleanUp removes the record.
func (d inDNS) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	if err := d.remove(ctx, recordOf(c), c.DNS01KeyAuthorization()); err != nil {
		return &dnsError{fmt.Errorf("the record %s cannot be removed: %w", recordOf(c), err)}
	}
	return nil
}

// recordOf is the name of the record, with a dot at its end.
func recordOf(c acme.Challenge) string { return strings.TrimSuffix(c.DNS01TXTRecordName(), ".") + "." }

// A dnsError is why a record could not be made: nobody was asked.
type dnsError struct{ err error }

func (e *dnsError) Error() string { return e.err.Error() }
func (e *dnsError) Unwrap() error { return e.err }

// A hook is a program that makes and removes records:
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

// tail keeps the end of what is written.
type tail struct{ bytes.Buffer }

func (t *tail) Write(p []byte) (int, error) {
	n, err := t.Buffer.Write(p)
	if over := t.Len() - mostSaid; over > 0 {
		t.Next(over)
	}
	return n, err
}
