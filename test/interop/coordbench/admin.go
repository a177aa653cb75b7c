package coordbench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
)

// operate asks the coordinator as its operator does, through its socket.
func (c *coordinator) operate(ctx context.Context, method, path string, said, got any) error {
	var body io.Reader
	if said != nil {
		text, err := json.Marshal(said)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	answer, err := c.operatorAsks(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer answer.Close()
	if got == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(got)
}

// operatorAsks returns what is answered, which the caller closes.
func (c *coordinator) operatorAsks(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://coordinator"+coordapi.PathAdmin+path, body)
	if err != nil {
		return nil, err
	}
	web := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, "admin.sock"))
	}}
	answer, err := web.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, coordapi.MostBody))
		refused := &coordapi.Error{Status: answer.StatusCode, Message: string(text)}
		json.Unmarshal(text, refused) // else it stays as text
		return nil, fmt.Errorf("%s %s: %w", method, path, refused)
	}
	return answer.Body, nil
}

// members are those of a tailnet, as this coordinator has them.
func (c *coordinator) members(ctx context.Context, tailnet string) (all []coordapi.Member, err error) {
	answer, err := c.operatorAsks(ctx, http.MethodGet, "tailnets/"+tailnet+"/members", nil)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	for lines := json.NewDecoder(answer); ; {
		var m coordapi.Member
		switch err := lines.Decode(&m); err {
		case nil:
			all = append(all, m)
		case io.EOF:
			return all, nil
		default:
			return nil, err
		}
	}
}

// A status is what of a coordinator's status page counts here.
type status struct {
	NotReady string            `json:"not_ready"`
	Engine   *coordstore.State `json:"engine"`
	Service  struct {
		Members int `json:"members"`
	} `json:"service"`
}

func (c *coordinator) state(ctx context.Context) (s status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.admin+"/status", nil)
	if err != nil {
		return s, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// leads reports whether the coordinator's engine leads the bucket of who is a member.
func (c *coordinator) leads(ctx context.Context) bool {
	s, err := c.state(ctx)
	if err != nil || s.Engine == nil {
		return false
	}
	for _, r := range s.Engine.Replicas {
		if r.Leader {
			return r.Name == c.name
		}
	}
	return false
}

const (
	replicaBudget = 2 * time.Minute
	replicaLook   = 5 * time.Second // in which each coordinator has looked at its engine anew
)

// awaitCurrent waits until all are ready, and each says that all replicas have everything.
func awaitCurrent(ctx context.Context, all []*coordinator) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replicaBudget, fmt.Errorf("the replicas are not current within %v", replicaBudget))
	defer cancel()
	for wait := replicaLook; ; wait = time.Second {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		current := true
		for _, c := range all {
			s, err := c.state(ctx)
			current = current && err == nil && isCurrent(s, len(all))
		}
		if current {
			return nil
		}
	}
}

func isCurrent(s status, replicas int) bool {
	if s.NotReady != "" || s.Engine == nil || !s.Engine.Writable || len(s.Engine.Replicas) != replicas {
		return false
	}
	for _, r := range s.Engine.Replicas {
		if !r.Current {
			return false
		}
	}
	return true
}
