package operate

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/roster"
	"github.com/detour-relay/detour/key"
)

type pruneFlags struct {
	rosterFlags
	rate   float64
	dryRun bool
}

// NewPrune returns the command "prune".
func NewPrune() *cobra.Command {
	var f pruneFlags
	cmd := &cobra.Command{
		Use:   "prune URL...",
		Short: "Send peers back to the node of the region that they want",
		Long: `Send peers back to the node of the region that they want.

After a node was away, its peers are on the next one, and stay there. This
lists the peers of all nodes named that say so (not-ideal) and closes their
connections one by one, in random order; they come back where they want to be.
Run it when all nodes are well. It needs the mesh key, and is gentle: a few
connections a second. An interrupt stops it and prints the summary. A relay
whose certificate is pinned is written as URL=sha256-raw:<hex>.

Exit status: 0 done, or nothing to do, 1 some peers stayed where they were, or
it was interrupted, 2 wrong usage, 3 a relay could not be asked.`,
		Example: `  detour prune --dry-run --mesh-psk-file mesh.key https://a.example/derp https://b.example/derp
  detour prune --rate 20 --mesh-psk-file mesh.key https://a.example/derp https://b.example/derp`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return prune(cmd, &f, args) },
	}
	flags := cmd.Flags()
	flags.Float64Var(&f.rate, "rate", 5, "close so many connections a second")
	flags.BoolVarP(&f.dryRun, "dry-run", "n", false, "only list what would be closed")
	f.add(flags)
	return cmd
}

// A pruneReport is the summary. Its JSON names are stable.
type pruneReport struct {
	Relays      int  `json:"relays"`
	Peers       int  `json:"peers"`     // of all relays, siblings not cli.Counted
	NotIdeal    int  `json:"not_ideal"` // of these, on another node than they want
	Closed      int  `json:"closed"`    // sent back, and gone
	Left        int  `json:"left"`      // gone by themselves before their turn
	Stayed      int  `json:"stayed"`    // still there
	CameBack    int  `json:"came_back"` // to a node that they do not want, while this ran
	DryRun      bool `json:"dry_run"`
	Interrupted bool `json:"interrupted"`
}

// A straggler is a peer on a node that it does not want.
type straggler struct {
	on  int // index of the roster
	key key.Public
}

// news is what a relay tells while connections are closed.
type news struct {
	from  int // index of the roster
	event roster.Event
	err   error // the last news of this relay
}

func prune(cmd *cobra.Command, f *pruneFlags, urls []string) error {
	if !(f.rate > 0 && f.rate <= 1e4) {
		return cli.Usagef("--rate %v: want connections a second, more than 0 and at most 10000", f.rate)
	}
	if f.dryRun {
		if err := cli.Unused(cmd, "with --dry-run", "rate"); err != nil {
			return err
		}
	}
	rosters, err := f.open(cmd.Context(), urls)
	if err != nil {
		return err
	}
	p := newPruning(rosters)
	defer p.end()
	p.report.DryRun = f.dryRun
	out := cmd.OutOrStdout()
	if f.dryRun {
		if !f.asJSON {
			err = p.list(out)
		}
	} else {
		talk := cmd.ErrOrStderr()
		if f.asJSON {
			talk = io.Discard
		}
		err = p.run(cmd.Context(), f.rate, talk)
	}
	if err != nil {
		return err
	}
	return p.report.print(out, f.asJSON)
}

// A pruning is the work of one "detour prune". Its goroutine owns everything; the
// rosters belong to their readers once those have begun.
type pruning struct {
	rosters []*roster.Roster
	queue   []straggler        // whose turn is still to come, in this order
	waiting map[straggler]bool // still on their node: true once they have been closed
	report  pruneReport
	news    chan news
	readers int // which have not sent their error yet
}

func newPruning(rosters []*roster.Roster) *pruning {
	p := &pruning{rosters: rosters, waiting: make(map[straggler]bool), news: make(chan news)}
	p.report.Relays = len(rosters)
	for i, r := range rosters {
		for _, peer := range r.Peers() {
			if peer.Flags&derp.PresenceMesh != 0 {
				continue // a sibling, or a tool like this one
			}
			p.report.Peers++
			if peer.Flags&derp.PresenceNotIdeal != 0 {
				p.queue = append(p.queue, straggler{i, peer.Key})
				p.waiting[straggler{i, peer.Key}] = false
			}
		}
	}
	p.report.NotIdeal = len(p.queue)
	return p
}

// list prints the stragglers.
func (p *pruning) list(w io.Writer) error {
	for _, s := range p.queue {
		if _, err := fmt.Fprintf(w, "%s %s\n", p.rosters[s.on].URL(), s.key); err != nil {
			return err
		}
	}
	return nil
}

// run closes the stragglers at the rate given, and waits for the last to go.
func (p *pruning) run(ctx context.Context, rate float64, talk io.Writer) error {
	rand.Shuffle(len(p.queue), func(i, j int) { p.queue[i], p.queue[j] = p.queue[j], p.queue[i] })
	for i, r := range p.rosters {
		p.readers++
		go p.read(i, r)
	}
	turn := time.NewTicker(max(time.Duration(float64(time.Second)/rate), time.Microsecond))
	defer turn.Stop()
	progress := time.NewTicker(time.Second)
	defer progress.Stop()
	var timeout <-chan time.Time // set once all have had their turn
	for len(p.waiting) > 0 {
		if len(p.queue) == 0 && timeout == nil {
			timeout = time.After(closeTimeout)
		}
		select {
		case n := <-p.news:
			if n.err != nil {
				p.readers--
				return cli.Unansweredf("%s: %w", p.rosters[n.from].URL(), n.err)
			}
			p.note(n)
		case <-turn.C:
			if err := p.closeNext(); err != nil {
				return err
			}
		case <-progress.C:
			fmt.Fprintf(talk, "%d of %d closed\n", p.report.Closed, p.report.NotIdeal)
		case <-timeout:
			p.report.Stayed = len(p.waiting)
			return nil
		case <-ctx.Done():
			p.report.Interrupted = true
			p.report.Stayed = len(p.waiting)
			return nil
		}
	}
	return nil
}

// closeNext closes the next one that is still there.
func (p *pruning) closeNext() error {
	for len(p.queue) > 0 {
		s := p.queue[0]
		p.queue = p.queue[1:]
		if _, here := p.waiting[s]; !here {
			continue
		}
		p.waiting[s] = true
		if err := p.rosters[s.on].ClosePeer(s.key); err != nil {
			return cli.Unansweredf("%s: %w", p.rosters[s.on].URL(), err)
		}
		return nil
	}
	return nil
}

// note counts who has come and gone.
func (p *pruning) note(n news) {
	s := straggler{n.from, n.event.Peer.Key}
	closed, waiting := p.waiting[s]
	switch present := n.event.Present; {
	case present && n.event.Peer.Flags&derp.PresenceNotIdeal != 0 && !waiting:
		p.report.CameBack++
	case !present && waiting:
		delete(p.waiting, s)
		if closed {
			p.report.Closed++
		} else {
			p.report.Left++
		}
	}
}

// read passes on what a relay tells, until its connection ends.
func (p *pruning) read(i int, r *roster.Roster) {
	for {
		event, err := r.Next()
		p.news <- news{i, event, err} // somebody listens until the error has come
		if err != nil {
			return
		}
	}
}

// end closes the connections and waits for the readers.
func (p *pruning) end() {
	closeRosters(p.rosters)
	for p.readers > 0 {
		if n := <-p.news; n.err != nil {
			p.readers--
		}
	}
}

// print prints the summary; the error says what is left to do.
func (r *pruneReport) print(w io.Writer, asJSON bool) (err error) {
	if asJSON {
		err = cli.WriteJSON(w, r)
	} else {
		_, err = fmt.Fprintf(w, "relays: %d, peers: %d, of them not on the node they want: %d\n", r.Relays, r.Peers, r.NotIdeal)
		if err == nil && !r.DryRun {
			_, err = fmt.Fprintf(w, "%d closed, %d left by themselves, %d stayed, %d came back where they do not want to be\n",
				r.Closed, r.Left, r.Stayed, r.CameBack)
		}
	}
	switch {
	case err != nil || r.DryRun:
		return err
	case r.Interrupted:
		return fmt.Errorf("interrupted: %d peers are where they were", r.Stayed)
	case r.Stayed > 0:
		return fmt.Errorf("%d peers have not gone", r.Stayed)
	}
	return nil
}
