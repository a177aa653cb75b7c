package clients

import (
	"encoding/json"
	"html/template"
	"iter"
	"net/http"
	"time"

	"github.com/detour-relay/detour/relay"
)

// PathDebug is where derper has its list, and we have ours.
const PathDebug = "/debug/clients/"

// Debug answers there as derper does, in JSON or as a page.
type Debug struct {
	Peers  iter.Seq[relay.PeerState]
	Counts func() (conns, keys int64) // without visiting anybody
}

// ServeHTTP implements http.Handler.
func (d Debug) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	a, any, err := parseDerper(r.URL.Query(), now)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
	case any:
		d.list(w, a, now)
	default:
		d.index(w, a)
	}
}

// index says how many there are, and asks which.
func (d Debug) index(w http.ResponseWriter, a *asked) {
	conns, keys := d.Counts()
	if a.inJSON {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]int64{"conns": conns, "keys": keys})
		return
	}
	show(w, indexPage, map[string]int64{"Conns": conns, "Keys": keys})
}

func (d Debug) list(w http.ResponseWriter, a *asked, now time.Time) {
	found := a.Page(d.Peers)
	page := ShownPage{
		Query: a.String(), Conns: found.Conns, Keys: found.Keys, Remaining: found.Remaining, Next: a.next(&found), Clients: make([]Shown, len(found.Peers)),
	}
	for i := range found.Peers {
		page.Clients[i] = shown(&found.Peers[i], now)
	}
	if !a.inJSON {
		show(w, listPage, listed{page, a})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	to := json.NewEncoder(w)
	to.SetIndent("", "\t")
	to.Encode(page) // who has left misses nothing
}

func show(w http.ResponseWriter, page *template.Template, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, data)
}

// listed is what the page of a list shows.
type listed struct {
	ShownPage
	asked *asked
}

// A head is that of one column of the table.
type head struct{ Text, Link, Mark string }

// Heads lead to the same list in another order. What is counted begins with the most.
func (l listed) Heads() (heads []head) {
	for _, h := range []struct{ text, column string }{
		{"conn", byConn}, {"key", ByKey}, {"address", "ip"}, {"connected", "connected"}, {"", ""}, {"version", ""}, {"app", ""},
		{"packets in", "rxpkts"}, {"bytes in", "rx"}, {"packets out", "txpkts"}, {"bytes out", "tx"}, {"senders", ""},
	} {
		heads = append(heads, l.head(h.text, h.column))
	}
	return heads
}

func (l listed) head(text, name string) head {
	c, sorts := column(theirs, name)
	if !sorts {
		return head{Text: text}
	}
	now, down, up := l.asked.column.Name == name, "-"+name, name
	switch {
	case now && l.asked.Desc:
		return head{text, l.asked.link(up, "", ""), " ▼"}
	case now:
		return head{text, l.asked.link(down, "", ""), " ▲"}
	case c.Moves:
		return head{text, l.asked.link(down, "", ""), ""}
	}
	return head{text, l.asked.link(up, "", ""), ""}
}

var indexPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Clients of this relay</title>
<h1>Clients of this relay</h1>
<p>{{.Conns}} connections of {{.Keys}} keys.</p>
<form><button name="all" value="1">All of them</button></form>
<form><label>Address <input name="ip" size="40"></label> <button>Show</button></form>
<form><label>Network <input name="cidr" size="40" placeholder="192.0.2.0/24"></label> <button>Show</button></form>
<form><label>Key <input name="key" size="72" placeholder="nodekey:"></label> <button>Show</button></form>
<form><label>App <input name="app" size="32"></label> <button>Show</button></form>
`))

var listPage = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Clients of this relay: {{.Query}}</title>
<style>table{border-collapse:collapse;font-family:monospace}th,td{padding:2px 8px;text-align:left;border-bottom:1px solid #8886}td.n{text-align:right}</style>
<h1>{{.Query}}</h1>
<p><a href="./">Another search</a>. {{len .Clients}} of {{.Conns}} connections of {{.Keys}} keys{{if .Next}}, {{.Remaining}} behind them: <a href="{{.Next}}">next page</a>{{end}}.</p>
<table>
<tr>{{range .Heads}}<th>{{if .Link}}<a href="{{.Link}}">{{.Text}}</a>{{.Mark}}{{else}}{{.Text}}{{end}}</th>{{end}}</tr>
{{range .Clients}}<tr><td class="n">{{.ConnNum}}</td><td><a href="?key={{.Key}}">{{.Key}}</a></td><td><a href="?ip={{.Remote.Addr}}">{{.Remote}}</a></td><td>{{.Connected}}</td>
<td>{{if .Home}}home {{end}}{{if .MeshPeer}}mesh {{end}}{{if .Prober}}prober {{end}}{{if .NotIdeal}}not-ideal {{end}}{{if .Dup}}duplicate{{if .Active}}-active{{end}}{{end}}</td>
<td class="n">{{.Version}}</td><td>{{if .AppName}}<a href="?app={{.AppName}}">{{.AppName}}</a>{{end}}</td>
<td class="n">{{.RxPkts}}</td><td class="n">{{.RxBytes}}</td><td class="n">{{.TxPkts}}</td><td class="n">{{.TxBytes}}</td><td class="n">{{.Senders}}</td></tr>
{{end}}</table>
`))
