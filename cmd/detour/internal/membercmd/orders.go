package membercmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/front"
)

// downPath is where an up takes the order to end.
const downPath = "/v1/down"

// serveOrders answers at the socket beside the state file until the result is called.
func (t *tunnel) serveOrders(log *slog.Logger) (stop func(), err error) {
	socket, err := control.ListenSocket(socketOf(t.stateFile), false)
	if err != nil {
		return nil, fmt.Errorf("the socket for \"detour status\" and \"detour down\": %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+control.PathStatus, func(w http.ResponseWriter, _ *http.Request) {
		s, err := t.agent.Status()
		if err != nil {
			answer(w, http.StatusInternalServerError, control.Failure{Error: err.Error()})
			return
		}
		answer(w, http.StatusOK, s)
	})
	mux.HandleFunc("POST "+downPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, struct{}{})
		signalTo(t.ordered)
	})
	mux.HandleFunc("POST "+tokenPath, t.serveToken)
	mux.HandleFunc("POST "+pingPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, pingNews{Fails: `this member is up, so that its packets are WireGuard's: ping the address of the other one`})
	})
	server := control.NewServer(socket, nil, mux, front.NetLog(log))
	done := make(chan struct{})
	go func() { defer close(done); server.Serve() }()
	return func() { server.Close(); socket.Close(); <-done }, nil
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

// isServed reports whether somebody answers beside a state file.
func isServed(ctx context.Context, stateFile string) bool {
	c := control.OverSocket(socketOf(stateFile))
	defer c.Close()
	_, err := c.Status(ctx)
	return err == nil
}

// explainUnanswered says of an up that could not be asked what to do.
func explainUnanswered(stateFile string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return cli.Unansweredf("%s: another user runs it: ask as that one (sudo): %w", socketOf(stateFile), err)
	case errors.Is(err, control.ErrUnanswered):
		return cli.Unansweredf("no \"detour up\" runs with %s: %w", stateFile, err)
	}
	return err
}

// askFlags are those of commands that ask an up.
type askFlags struct {
	state  string
	asJSON bool
	watch  bool
}

func (f *askFlags) addState(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.state, "state", "", "state `file` of the \"detour up\" that is meant (default: the one that there is)")
}

// NewDown makes "detour down".
func NewDown() *cobra.Command {
	var f askFlags
	cmd := &cobra.Command{
		Use:   "down",
		Short: `End the "detour up" that runs`,
		Long: `End the "detour up" that runs, and wait until its interface is gone. The machine stays a
member: "detour up" begins again, and the service (--install) with the machine.

Exit status: 0 it has ended, 2 wrong usage, 3 none runs, or it could not be asked.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			stateFile, err := runningState(ctx, f.state)
			if err != nil {
				return err
			}
			service := ofService(ctx, stateFile)
			if err := down(ctx, stateFile); err != nil || !service {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "It was the service, which starts again with the machine: detour up --uninstall ends that, systemctl start detour-up starts it now.")
			return err
		},
	}
	f.addState(cmd)
	return cmd
}

const (
	// endTime is how long an up may take to end, and endLook how often that is looked at.
	endTime = 30 * time.Second
	endLook = 20 * time.Millisecond
)

func down(ctx context.Context, stateFile string) error {
	c := control.OverSocket(socketOf(stateFile))
	defer c.Close()
	body, err := c.Ask(ctx, http.MethodPost, downPath, nil, nil)
	if err != nil {
		return explainUnanswered(stateFile, err)
	}
	io.Copy(io.Discard, io.LimitReader(body, 1<<10))
	body.Close()
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	for isServed(ctx, stateFile) {
		select {
		case <-time.After(endLook):
		case <-ctx.Done():
			return cli.Unansweredf("it was asked to end, and after %v it has not", endTime)
		}
	}
	return nil
}

// askStatus asks an up what it is doing.
func askStatus(ctx context.Context, c *control.Client, stateFile string) (s agent.Status, text json.RawMessage, err error) {
	if text, err = c.Status(ctx); err != nil {
		return s, nil, explainUnanswered(stateFile, err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, nil, cli.Unansweredf("%s: the answer cannot be read: %w", socketOf(stateFile), err)
	}
	return s, text, nil
}
