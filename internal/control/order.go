package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

const (
	// MostText bounds labels, reasons and names of sets, in bytes.
	MostText = 256

	// MostFor bounds how long an order counts: times beyond are a slip of the pen.
	MostFor = 100 * 365 * 24 * time.Hour
)

// readOrder reads what a request asks for, and checks it.
func readOrder(r *http.Request) (o Order, err error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, mostOrder+1))
	switch {
	case err != nil:
		return o, refusef(http.StatusBadRequest, "the order broke off: %v", err)
	case len(body) > mostOrder:
		return o, refusef(http.StatusRequestEntityTooLarge, "an order has %d bytes at most: split it", mostOrder)
	}
	return parseOrder(body)
}

func parseOrder(body []byte) (o Order, err error) {
	if err := decodeStrictly(body, &o); err != nil {
		return o, refusef(http.StatusBadRequest, "the order cannot be read: %v", err)
	}
	return o, o.check()
}

func (o *Order) check() error {
	if len(o.Keys) == 0 {
		return refusef(http.StatusBadRequest, "the order names no key")
	}
	for i, k := range o.Keys {
		if k.IsZero() {
			return refusef(http.StatusBadRequest, "key %d of the order is all zeros, which nobody has", i+1)
		}
	}
	if o.For < 0 || o.For > int64(MostFor/time.Second) {
		return refusef(http.StatusBadRequest, "%d seconds: want 1 second to 100 years, or 0 for no end", o.For)
	}
	for what, text := range map[string]string{"label": o.Label, "reason": o.Why} {
		if err := CheckText(text); err != nil {
			return refusef(http.StatusBadRequest, "the %s: %v", what, err)
		}
	}
	return nil
}

// CheckText says what is wrong with a label, a reason or the name of a set: they
// stand in files and logs, one to a line.
func CheckText(text string) error {
	switch {
	case len(text) > MostText:
		return fmt.Errorf("it has %d bytes, and %d are possible", len(text), MostText)
	case !utf8.ValidString(text):
		return errors.New("it is no UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("it has a character that cannot be printed")
	}
	return nil
}

// decodeStrictly reads one JSON value that has no names but ours.
func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more behind it")
	}
	return nil
}

// order answers orders about who may come in.
func (h *Handler) order(what string) func(http.ResponseWriter, *http.Request) error {
	answer := h.ordered(func(from string, o Order) (Results, error) { return h.Follow(from, what, o) })
	return func(w http.ResponseWriter, r *http.Request) error {
		if h.config.Access == nil {
			return errNoAccess // whatever the order is
		}
		return answer(w, r)
	}
}

// ordered answers orders with what became of them.
func (h *Handler) ordered(follow func(from string, o Order) (Results, error)) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		o, err := readOrder(r)
		if err != nil {
			return err
		}
		all, err := follow(fromOf(r), o)
		if err != nil {
			return err
		}
		return say(w, all)
	}
}

// Follow follows an order about who may come in, as if a request had brought it; from is
// who gave it, for the log.
func (h *Handler) Follow(from, what string, o Order) (all Results, err error) {
	if h.config.Access == nil {
		return all, errNoAccess
	}
	if err := o.check(); err != nil {
		return all, err
	}
	end, err := h.begin()
	if err != nil {
		return all, err
	}
	defer end()
	var until time.Time
	if o.For > 0 {
		until = time.Now().Add(time.Duration(o.For) * time.Second).UTC().Truncate(time.Second)
	}
	conns := h.conns(o.Keys)
	all.Results = make([]Result, 0, len(o.Keys))
	for i, err := range h.config.Access.Do(what, o.Keys, until, o) {
		result := Result{Key: o.Keys[i], Conns: conns[o.Keys[i]]}
		if err != nil {
			result.Error = err.Error()
		}
		all.Results = append(all.Results, result)
	}
	if what == Remove {
		h.findStill(all.Results)
	}
	h.noteResults(from, what, all)
	return all, nil
}

// findStill notes of keys that were removed what else lets them in.
func (h *Handler) findStill(removed []Result) {
	for i := range removed {
		if removed[i].Error != "" {
			continue
		}
		for l := range h.config.Access.Lines([]key.Public{removed[i].Key}) {
			if l.State == Allowed {
				removed[i].Still = l.From
			}
		}
	}
}

// Line returns what the access list says of a key; nil: nothing. Decides is false where
// the relay has no say in it.
func (h *Handler) Line(k key.Public) (line *Line, decides bool) {
	if h.config.Access == nil {
		return nil, false
	}
	for l := range h.config.Access.Lines([]key.Public{k}) {
		return &l, true
	}
	return nil, true
}

// mostNoted bounds the keys of an order that are named in the log.
const mostNoted = 10

// noteResults logs an order with its first keys.
func (h *Handler) noteResults(from, order string, all Results) {
	var keys []string
	done := 0
	for _, result := range all.Results {
		if result.Error != "" {
			continue
		}
		if done++; done <= mostNoted {
			keys = append(keys, result.Key.String())
		}
	}
	if done > 0 {
		h.note(from, order, "done", done, "keys", keys)
	}
}

var errNoAccess = &Error{http.StatusNotImplemented, "this relay does not decide who may come in"}

// conns counts the connections of some keys.
func (h *Handler) conns(keys []key.Public) map[key.Public]int {
	n := make(map[key.Public]int, len(keys))
	for _, k := range keys {
		n[k] = 0
	}
	for p := range h.config.Peers.Peers {
		if _, wanted := n[p.Peer]; wanted {
			n[p.Peer]++
		}
	}
	return n
}

// errClosed is why the connections of an order end; it is counted as a sibling's.
var errClosed = fmt.Errorf("control: closed by the operator: %w", relay.ErrClosePeer)

// Disconnect ends the connections that the keys of an order have now; from is who gave
// it, for the log.
func (h *Handler) Disconnect(from string, o Order) (all Results, err error) {
	if err := o.check(); err != nil {
		return all, err
	}
	end, err := h.begin()
	if err != nil {
		return all, err
	}
	defer end()
	closed := make(map[key.Public]int, len(o.Keys))
	for _, k := range o.Keys {
		closed[k] = 0
	}
	h.config.Peers.Close(func(p relay.PeerState) bool {
		n, wanted := closed[p.Peer]
		if wanted {
			closed[p.Peer] = n + 1
		}
		return wanted
	}, errClosed, 0)
	all.Results = make([]Result, 0, len(o.Keys))
	for _, k := range o.Keys {
		result := Result{Key: k, Conns: closed[k]}
		if result.Conns == 0 {
			result.Error = "was not connected"
		}
		all.Results = append(all.Results, result)
	}
	h.noteResults(from, "close", all)
	return all, nil
}
