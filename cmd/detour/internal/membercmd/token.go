package membercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/control"
)

// tokenPath is where an up makes a token for one more machine.
const tokenPath = "/v1/token"

// tokenOrder asks for one, of an up with these relays; none: whichever it has.
type tokenOrder struct {
	Relays []string `json:"relays"`
}

// made is a token, as it is passed on.
type made struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

func makeToken(p *pair.Pair) (made, error) {
	t, err := p.Invite()
	if err != nil {
		return made{}, fmt.Errorf("no token is made: %w", err)
	}
	text, err := t.Text()
	return made{text, t.Expires}, err
}

// serveToken takes the order.
func (t *tunnel) serveToken(w http.ResponseWriter, r *http.Request) {
	var order tokenOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10)).Decode(&order); err != nil {
		answer(w, http.StatusBadRequest, control.Failure{Error: "want an order for a token"})
		return
	}
	m, err := t.tokenFor(order)
	if err != nil {
		answer(w, http.StatusConflict, control.Failure{Error: err.Error()})
		return
	}
	answer(w, http.StatusOK, m)
}

func (t *tunnel) tokenFor(order tokenOrder) (made, error) {
	p := t.agent.Pair()
	if p == nil {
		return made{}, errors.New("this machine is a member of a tailnet: its operator makes invites (detour net invite)")
	}
	var has []string
	for _, r := range p.Relays() {
		has = append(has, r.String())
	}
	if len(order.Relays) > 0 && !slices.Equal(order.Relays, has) {
		return made{}, errors.New("it runs with other relays: end it first (detour down)")
	}
	return makeToken(p)
}

// askToken has an up that runs make a token, and prints it.
func (f *upFlags) askToken(cmd *cobra.Command, stateFile string) error {
	order := tokenOrder{}
	for _, r := range f.relays {
		order.Relays = append(order.Relays, r.String())
	}
	text, err := json.Marshal(order)
	if err != nil {
		return err
	}
	m, err := orderToken(cmd.Context(), stateFile, text)
	if err != nil {
		return err
	}
	newPrinter(cmd.OutOrStdout(), f.asJSON).token(m)
	return nil
}

func orderToken(ctx context.Context, stateFile string, order []byte) (m made, err error) {
	c := control.OverSocket(socketOf(stateFile))
	defer c.Close()
	body, err := c.Ask(ctx, http.MethodPost, tokenPath, nil, bytes.NewReader(order))
	if err != nil {
		return m, explainUnanswered(stateFile, err)
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, 16<<10)).Decode(&m); err != nil {
		return m, cli.Unansweredf("%s: the answer cannot be read: %w", socketOf(stateFile), err)
	}
	return m, nil
}

// token prints a token, alone on its line.
func (p *printer) token(m made) {
	p.print(line{Event: "token", Token: m.Token, Expires: m.Expires}, fmt.Sprintf(
		"token    for one more machine, until %s; there:\n  detour up %s\n", m.Expires.Local().Format(time.TimeOnly), m.Token))
}
