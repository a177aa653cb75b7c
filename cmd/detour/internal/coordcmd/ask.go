package coordcmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/cmd/detour/internal/running"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/retry"
)

// netFlags are those of all commands of "detour net".
type netFlags struct {
	running.Target
	asJSON bool
	given  string // the flags that name the coordinator, for further commands
}

// add defines the flags; json has what --json prints.
func (f *netFlags) add(cmd *cobra.Command) {
	f.Target = running.Target{Kind: running.Kind{
		Who: "coordinator", Server: "coordinator", Socket: "admin-socket", URL: "coord", Token: "token-file", Sockets: sockets,
	}}
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
	f.Add(cmd.Flags())
}

// sockets are where the coordinator of this machine may answer.
func sockets() (paths []string, hint string) {
	for _, dir := range front.StateDirs(coordserver.StateSub) {
		paths = append(paths, filepath.Join(dir, control.SocketName))
	}
	return paths, `start one with "detour coord", name its socket with --admin-socket, or ask one elsewhere with --coord`
}

// open finds the coordinator.
func (f *netFlags) open(ctx context.Context) (*asker, error) {
	f.given = f.Flags() // before Open takes them apart
	s, err := f.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &asker{s}, nil
}

// run has a command do its work with a coordinator, once that has started.
func (f *netFlags) run(work func(cmd *cobra.Command, a *asker, args []string) error) func(*cobra.Command, []string) error {
	return f.runAtOnce(func(cmd *cobra.Command, a *asker, args []string) error {
		if err := a.awaitStart(cmd.Context(), cmd.ErrOrStderr()); err != nil {
			return err
		}
		return work(cmd, a, args)
	})
}

// runAtOnce is run for a coordinator that may be starting still.
func (f *netFlags) runAtOnce(work func(cmd *cobra.Command, a *asker, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		for _, arg := range args {
			if strings.TrimSpace(arg) == "" {
				return cli.Usagef("an argument is empty: name what you mean")
			}
		}
		a, err := f.open(cmd.Context())
		if err != nil {
			return err
		}
		defer a.Close()
		return work(cmd, a, args)
	}
}

// runList has a command print a list of values: as a table, or as JSON.
func runList[T any](f *netFlags, path func(args []string) string, table func(w io.Writer, args []string, all []T) error) func(*cobra.Command, []string) error {
	return f.run(func(cmd *cobra.Command, a *asker, args []string) error {
		all := []T{}
		if err := a.value(cmd.Context(), http.MethodGet, path(args), nil, nil, &all); err != nil {
			return noTailnet(err)
		}
		if f.asJSON {
			return cli.WriteJSON(cmd.OutOrStdout(), all)
		}
		return table(cmd.OutOrStdout(), args, all)
	})
}

// An asker asks a coordinator.
type asker struct{ *running.Server }

const (
	startTime = 30 * time.Second // three choose a leader within ten; a million members are read in twenty
	startLook = 250 * time.Millisecond
)

// awaitStart waits, and says so, while the coordinator is only starting. If that takes
// too long the answer to the command says what is wrong.
func (a *asker) awaitStart(ctx context.Context, w io.Writer) error {
	said := ""
	for end := time.Now().Add(startTime); ; {
		now, err := a.status(ctx)
		if err != nil || now.NotReady == "" || now.Phase.Reached(front.Draining) || time.Now().After(end) {
			return err
		}
		if now.NotReady != said {
			said = now.NotReady
			fmt.Fprintf(w, "%s: %s (waiting for up to %.0f s)\n", a.At, said, time.Until(end).Seconds())
		}
		if !retry.Rest(ctx, startLook, nil) {
			return ctx.Err()
		}
	}
}

func (a *asker) status(ctx context.Context) (now coordserver.State, err error) {
	err = a.value(ctx, http.MethodGet, in("status"), nil, nil, &now)
	return now, err
}

// mostAnswer bounds an answer that is one value.
const mostAnswer = 64 << 20

// in names something below the admin path; parts are escaped.
func in(parts ...string) string {
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return coordapi.PathAdmin + strings.Join(parts, "/")
}

// value asks for one value. Nil is sent and read where there is none.
func (a *asker) value(ctx context.Context, method, path string, q url.Values, send, into any) error {
	var body io.Reader
	if send != nil {
		text, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	return a.send(ctx, method, path, q, body, into)
}

func (a *asker) send(ctx context.Context, method, path string, q url.Values, body io.Reader, into any) error {
	answer, err := a.Ask(ctx, method, path, q, body)
	if err != nil {
		return a.refused(err)
	}
	defer answer.Close()
	text, err := io.ReadAll(io.LimitReader(answer, mostAnswer))
	if err == nil && into != nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return cli.Unansweredf("%s: the answer cannot be read: %w", a.At, err)
	}
	return nil
}

// mostLine bounds a line of a list.
const mostLine = 1 << 20

// lines asks for a list and hands on each of its lines.
func (a *asker) lines(ctx context.Context, path string, each func([]byte) error) error {
	answer, err := a.Ask(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return a.refused(err)
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, mostLine)
	for lines.Scan() {
		if err := each(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return cli.Unansweredf("%s: the list broke off: %w", a.At, err)
	}
	return nil
}

// refused is an error of a command, with what to do next where the coordinator does not
// know that: it knows no commands.
func (a *asker) refused(err error) error {
	text, ok := control.Said(err)
	var e coordapi.Error
	if !ok || json.Unmarshal(text, &e) != nil || e.Message == "" {
		return a.Failed(err)
	}
	switch e.Code {
	case coordapi.CodeUnavailable:
		return cli.Unansweredf("%s: %w%s", a.At, &e, again(e.Message, ", or ask another coordinator"))
	case coordapi.CodeTooMany:
		return cli.Unansweredf("%s: %w%s", a.At, &e, again(e.Message, ""))
	}
	return &e
}

// again says when to try again, where a message does not.
func again(message, or string) string {
	const words = "try again"
	if strings.Contains(message, words) {
		return ""
	}
	return ": " + words + " in a moment" + or
}

// next adds what to do to an error with one of the codes.
func next(err error, code, do string) error {
	if e, ok := errors.AsType[*coordapi.Error](err); ok && e.Code == code {
		return fmt.Errorf("%w: %s", err, do)
	}
	return err
}

// noTailnet says where the tailnets stand.
func noTailnet(err error) error {
	return next(err, coordapi.CodeNotFound, `"detour net list" has all tailnets`)
}

// noMember says where the members stand.
func noMember(err error, tailnet string) error {
	return next(err, coordapi.CodeNotFound, fmt.Sprintf(`"detour net members %s" has all of them`, tailnet))
}
