package coordserver

import (
	"embed"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coord"
	"github.com/detour-relay/detour/internal/coordapi"
	"github.com/detour-relay/detour/internal/coordstore"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/page"
)

//go:embed *.html
var templates embed.FS

const (
	membersOf  = 50  // that a page shows
	mostSought = 200 // characters of what is looked for
	often      = 5   // seconds between two looks of the script
)

// A looker shows the coordinator to its operator, in a browser. It changes nothing, so it
// asks nobody who he is: the admin address is a loopback one.
type looker struct {
	of   *Server
	set  *page.Set
	next http.Handler // answers what is no page
}

func newLooker(of *Server, next http.Handler) (*looker, error) {
	set, err := page.New(templates)
	return &looker{of, set, next}, err
}

// ServeHTTP implements http.Handler.
func (l *looker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	show, known := map[string]func(http.ResponseWriter, *http.Request){"/": l.overview, "/tailnet": l.tailnet}[r.URL.Path]
	switch {
	case !known && l.set.ServeAsset(w, r):
	case !known:
		l.next.ServeHTTP(w, r)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET or HEAD", http.StatusMethodNotAllowed)
	default:
		if end, ok := l.set.Begin(w); ok {
			defer end()
			show(w, r)
		}
	}
}

func (l *looker) frame(title string, here bool, body any) page.Frame {
	return page.Frame{Title: title, Who: "Detour coordinator", Name: l.of.config.Name, Every: often, Links: []page.Link{{To: "./", Text: "Overview", Here: here}}, Body: body}
}

// A coordBody is what coordpage.html shows at a glance.
type coordBody struct {
	State
	Class, Word string
	Problems    []coordProblem
	Uptime      time.Duration
	Has         coord.Snapshot
	Open        bool // Has is known
	Tailnets    []coordapi.Tailnet
	Relays      []coordapi.Relay
	Online      int
	Refused     uint64
}

// A coordProblem is something that is not as it should be, and what to do about it.
type coordProblem struct{ Class, What, Why, Do string }

func (l *looker) overview(w http.ResponseWriter, _ *http.Request) {
	now := l.of.State()
	b := coordBody{State: now, Uptime: time.Since(now.Started)}
	if e := l.of.opened(); e != nil {
		b.Open, b.Has, b.Tailnets, b.Relays = true, e.service.Snapshot(), e.service.Tailnets(), e.service.Relays()
	}
	for _, t := range b.Tailnets {
		b.Online += t.Online
	}
	for _, n := range b.Has.Refused {
		b.Refused += n
	}
	b.judge()
	l.set.Show(w, http.StatusOK, "coordinator", l.frame(b.Word, true, b))
}

// judge says how the coordinator is.
func (b *coordBody) judge() {
	add := func(class, what, why, do string) { b.Problems = append(b.Problems, coordProblem{class, what, why, do}) }
	if b.NotReady != "" {
		add("bad", "It is not ready", b.NotReady, "Members ask another coordinator meanwhile, if there is one.")
	}
	if e := b.Engine; e != nil && !e.Writable {
		add("bad", "Nothing can be written", e.Reason, "Nobody can join or move. Bring most of the replicas back.")
	}
	if e := b.Engine; e != nil {
		for _, r := range late(e) {
			add("odd", "Replica "+page.Text(r.Name, 60)+" is behind", page.Count(float64(r.Lag))+" changes are missing there.", "See whether that coordinator runs and is reached.")
		}
	}
	if b.MapError != "" {
		add("odd", "The DERP map is not taken", b.MapError, "The last good one stays. Correct what is there.")
	}
	if c := b.Certificate; c != nil && c.Failed != "" {
		add("odd", "The certificate could not be renewed", c.Failed, "The one in use stays until "+page.At(c.Until)+".")
	}
	if len(b.Has.Unheard) > 0 {
		add("odd", "Changes cannot be heard", strings.Join(b.Has.Unheard, ", "), "What others change is seen late.")
	}
	if b.Has.BadRecords > 0 {
		add("odd", "Records cannot be read", page.Count(float64(b.Has.BadRecords))+" in the store.", "Another version may have written them.")
	}
	b.Class, b.Word = "good", "All is well"
	for _, p := range b.Problems {
		if b.Class == "good" || p.Class == "bad" {
			b.Class = p.Class
		}
	}
	switch {
	case b.Phase == front.Draining:
		b.Class, b.Word = "odd", "Draining: members are sent elsewhere"
	case b.Class == "bad":
		b.Word = "It does not serve as it should"
	case b.Class == "odd":
		b.Word = "It works, and something wants a look"
	}
}

// late are the replicas that do not have all.
func late(e *coordstore.State) (all []coordstore.ReplicaState) {
	for _, r := range e.Replicas {
		if !r.Current && !r.Leader {
			all = append(all, r)
		}
	}
	return all
}

// A tailnetBody is what coordpage.html shows of one tailnet.
type tailnetBody struct {
	coordapi.Tailnet
	Find    string
	Members []coordapi.Member
	Found   int
	From    int    // the first of them
	First   string // to the first page; empty: this is it
	Next    string // to the next one; empty: this is the last
}

// tailnet shows the members of one tailnet, a page at a time.
func (l *looker) tailnet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	e := l.of.opened()
	if e == nil {
		l.missing(w, l.of.whyNotReady().Error())
		return
	}
	t, ok := e.service.Tailnet(q.Get("id"))
	if !ok {
		l.missing(w, "There is no such tailnet.")
		return
	}
	b := tailnetBody{Tailnet: t, Find: strings.TrimSpace(q.Get("find"))}
	b.Find = b.Find[:min(len(b.Find), mostSought)]
	if from, err := strconv.Atoi(q.Get("from")); err == nil { // what is no number is the first page
		b.From = max(0, from)
	}
	find := strings.ToLower(b.Find)
	b.Members, b.Found = e.service.Members(t.ID, func(m coordapi.Member) bool { return find == "" || stands(find, m) }, b.From, membersOf)
	to := func(from int) string {
		return "tailnet?" + url.Values{"id": {t.ID}, "find": {b.Find}, "from": {strconv.Itoa(from)}}.Encode()
	}
	if b.From > 0 {
		b.First = to(0)
	}
	if next := b.From + len(b.Members); len(b.Members) > 0 && next < b.Found {
		b.Next = to(next)
	}
	l.set.Show(w, http.StatusOK, "tailnet", l.frame("Tailnet "+page.Text(t.Name, 60), false, b))
}

func (l *looker) missing(w http.ResponseWriter, why string) {
	f := l.frame("Not there", false, nil)
	f.Note, f.Wrong = why, true
	l.set.Show(w, http.StatusNotFound, "missing", f)
}

// stands reports whether a text stands in a member's name, key or addresses.
func stands(find string, m coordapi.Member) bool {
	if strings.Contains(strings.ToLower(m.Name), find) || strings.Contains(m.Key.String(), find) {
		return true
	}
	for _, a := range m.Addresses {
		if strings.HasPrefix(a.String(), find) {
			return true
		}
	}
	return false
}
