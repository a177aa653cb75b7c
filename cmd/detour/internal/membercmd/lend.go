package membercmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/load"
)

// pingPath is where a join takes orders, over the socket: POST one, and DELETE pingPath/ID
// to hear soon what has become of it.
const pingPath = "/v1/ping"

// socketOf is where the join of a state file lends its Host.
func socketOf(stateFile string) string { return stateFile + ".sock" }

// lend takes orders at the socket until the result is called.
func (n *node) lend(stateFile string) (stop func(), err error) {
	socket, err := control.ListenSocket(socketOf(stateFile), false)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+pingPath, n.servePing)
	mux.HandleFunc("DELETE "+pingPath+"/{id}", n.endPing)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(socket) }()
	return func() { server.Close(); socket.Close(); <-done }, nil
}

func (n *node) servePing(w http.ResponseWriter, r *http.Request) {
	var order pingOrder
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&order); err != nil || order.check() != nil {
		http.Error(w, "want an order for pings", http.StatusBadRequest)
		return
	}
	lines := json.NewEncoder(w)
	tell := func(news pingNews) {
		lines.Encode(news)
		w.(http.Flusher).Flush()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	n.setOrder(order.ID, cancel)
	defer n.setOrder(order.ID, nil)
	if err := n.ping(ctx, order, tell); err != nil {
		tell(pingNews{Fails: err.Error()})
	}
}

func (n *node) setOrder(id uint64, end context.CancelFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.orders[id] = end; end == nil {
		delete(n.orders, id)
	}
}

func (n *node) endPing(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	n.mu.Lock()
	end := n.orders[id]
	n.mu.Unlock()
	if err != nil || end == nil {
		http.Error(w, "there is no such order", http.StatusNotFound)
		return
	}
	end()
}

func (o *pingOrder) check() error {
	if o.Count < 0 || o.Interval < time.Millisecond || o.Timeout < time.Millisecond || o.Size < load.MinSize || o.Size > load.MaxSize {
		return errors.New("this cannot be done")
	}
	return nil
}

// errNotLent: no join of the state file runs.
var errNotLent = errors.New("no join runs")

// borrow gives the order to the join that runs with the state file, or returns
// errNotLent.
func borrow(ctx context.Context, stateFile string, order pingOrder, tell func(pingNews)) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socketOf(stateFile))
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	body, err := json.Marshal(order)
	if err != nil {
		return err
	}
	asking, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	defer context.AfterFunc(ctx, func() { endSoon(asking, giveUp, transport, order) })()
	r, err := http.NewRequestWithContext(asking, http.MethodPost, "http://member"+pingPath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(r)
	op, _ := errors.AsType[*net.OpError](err)
	switch {
	case ctx.Err() != nil:
		return nil
	case op != nil && op.Op == "dial": // whatever the reason is: the lock of the state file tells who is there
		return errNotLent
	case err != nil:
		return fmt.Errorf("ask the join that runs: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the join that runs does not take the order (HTTP status %d): is it of the same version?", answer.StatusCode)
	}
	return readNews(ctx, answer.Body, tell)
}

// endSoon has an order end because of a signal: what is under way may come back, for so
// long as a join waits for it.
func endSoon(ctx context.Context, giveUp func(), transport *http.Transport, order pingOrder) {
	late := time.AfterFunc(lastWait+time.Second, giveUp)
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, fmt.Sprintf("http://member%s/%d", pingPath, order.ID), nil)
	if err == nil {
		var answer *http.Response
		if answer, err = transport.RoundTrip(r); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
	}
	late.Stop()
	giveUp() // it cannot be ended so, or has just ended
}

func readNews(ctx context.Context, in io.Reader, tell func(pingNews)) error {
	lines := json.NewDecoder(in)
	for {
		var news pingNews
		err := lines.Decode(&news)
		switch {
		case errors.Is(err, io.EOF), ctx.Err() != nil && (err != nil || news.Fails != ""):
			return nil
		case err != nil:
			return errors.New("the join that runs has ended meanwhile")
		case news.Fails != "":
			return errors.New(news.Fails)
		}
		tell(news)
	}
}
