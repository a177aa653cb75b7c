package relaypage

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/signin"
	"github.com/detour-relay/detour/key"
)

// A deed is what somebody who is signed in can have done. It returns what to tell him, and
// where.
type deed func(p *Page, r *http.Request) (note, back string, err error)

// deeds are what can be done, by path. They are the orders that commands give, too.
var deeds = map[string]deed{
	"/" + control.Ban:   ofKey(ban),
	"/" + control.Unban: ofKey(unban),
	"/close":            ofKey(disconnect),
	"/reload":           func(p *Page, r *http.Request) (string, string, error) { return p.reload(from(r)) },
	"/drain":            drain,
}

// from is who gives an order, for the log.
func from(r *http.Request) string { return "page, " + r.RemoteAddr }

// do does a deed for somebody, and leads back to the page that shows what became of it. Who
// is signed in, and that the form is one of ours, is the door's business.
func (p *Page) do(w http.ResponseWriter, r *http.Request, s *signin.Session, d deed) {
	switch {
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		http.Error(w, "use POST", http.StatusMethodNotAllowed)
		return
	case s == nil:
		http.Error(w, "sign in first: nothing was done", http.StatusForbidden)
		return
	}
	note, back, err := d(p, r)
	if err != nil {
		s.Tell(err.Error(), true)
	} else {
		s.Tell(note, false)
	}
	p.status.forget()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", back) // beside this path, so that it stays within the session
	w.WriteHeader(http.StatusSeeOther)
}

// ofKey is a deed for the key that the form has.
func ofKey(do func(p *Page, from string, k key.Public, form url.Values) (string, error)) deed {
	return func(p *Page, r *http.Request) (note, back string, err error) {
		k, err := key.ParsePublic(r.PostFormValue("key"))
		if err != nil {
			return "", "clients", err
		}
		note, err = do(p, from(r), k, r.PostForm)
		return note, pageOfKey(k), err
	}
}

func ban(p *Page, from string, k key.Public, form url.Values) (string, error) {
	seconds, err := strconv.ParseInt(form.Get("for"), 10, 64)
	if err != nil {
		return "", fmt.Errorf("%.40q is no time: nothing was done", form.Get("for"))
	}
	conns, err := one(p.config.Orders.Follow(from, control.Ban, control.Order{Keys: []key.Public{k}, Why: strings.TrimSpace(form.Get("why")), For: seconds}))
	return fmt.Sprintf("Banned %s. It had %s, which the relay ends.", k.Short(), connections(conns)), err
}

func unban(p *Page, from string, k key.Public, _ url.Values) (string, error) {
	_, err := one(p.config.Orders.Follow(from, control.Unban, control.Order{Keys: []key.Public{k}}))
	return fmt.Sprintf("%s is not banned any more.", k.Short()), err
}

func disconnect(p *Page, from string, k key.Public, _ url.Values) (string, error) {
	conns, err := one(p.config.Orders.Disconnect(from, control.Order{Keys: []key.Public{k}}))
	return fmt.Sprintf("Closed %s of %s. Its program may come again at once.", connections(conns), k.Short()), err
}

// one is what became of the only key of an order.
func one(all control.Results, err error) (conns int, _ error) {
	if err != nil {
		return 0, err
	}
	for _, r := range all.Results {
		if r.Error != "" {
			return r.Conns, fmt.Errorf("%s: %s", r.Key.Short(), r.Error)
		}
		conns += r.Conns
	}
	return conns, nil
}

func connections(n int) string {
	if n == 1 {
		return "one connection"
	}
	return strconv.Itoa(n) + " connections"
}

func (p *Page) reload(from string) (note, back string, err error) {
	report, err := p.config.Orders.Reload(from)
	if err != nil {
		return "", "./", err
	}
	if len(report.Changed) == 0 {
		return "Reloaded. No setting has changed.", "./", nil
	}
	var changed []string
	for _, c := range report.Changed {
		changed = append(changed, c.Setting+": "+c.Old+" → "+c.New)
	}
	return "Reloaded. " + strings.Join(changed, "; "), "./", nil
}

func drain(p *Page, r *http.Request) (note, back string, err error) {
	if r.PostFormValue("sure") != "yes" {
		return "", "./", fmt.Errorf("tick the box if you are sure: nothing was done")
	}
	return "The relay drains. When its peers have left, it ends, and so does this page.", "./", p.config.Orders.Drain(from(r))
}
