package probe

import (
	"context"
	"sync"

	"github.com/detour-relay/detour/key"
)

// region is a region under check.
type region struct {
	report *Region
	nodes  []*node
	done   chan struct{} // closed once the checks between its nodes are made
	checks []Check       // those, once done
}

func newRegion(report *Region, targets []*target) *region {
	r := &region{report: report, done: make(chan struct{}), checks: []Check{}}
	for _, t := range targets {
		r.nodes = append(r.nodes, newNode(t))
	}
	return r
}

// check asks whether the nodes, all of which are done, are one region.
func (r *region) check(ctx context.Context, of *run) {
	var relays []*node
	for _, n := range r.nodes {
		if n.relays() {
			relays = append(relays, n)
		}
	}
	if len(relays) < 2 {
		return
	}
	r.checks = append(r.checks, of.ask(ctx, "keys", func(context.Context) Check { return differentKeys(relays) }, 0))
	var questions []func() Check
	for _, question := range r.questions(of) {
		for _, from := range relays {
			for _, to := range relays {
				if from != to {
					questions = append(questions, func() Check { return between(ctx, of, question, from, to) })
				}
			}
		}
	}
	r.checks = append(r.checks, someAtATime(of.cfg.Parallel, questions)...)
}

// question is a check between two nodes, which counts for one direction.
type question struct {
	name string
	ask  func(ctx context.Context, from, to *node) Check
}

func (r *region) questions(of *run) []question {
	mesh := question{"mesh", checkMesh}
	if len(of.cfg.MeshKeys) > 0 {
		return []question{{"link", checkLink}, mesh}
	}
	return []question{mesh}
}

func between(ctx context.Context, of *run, q question, from, to *node) Check {
	c := of.ask(ctx, q.name, func(ctx context.Context) Check {
		for _, n := range []*node{from, to} {
			if n.lacks["login"] != "" || n.lacks["key"] != "" {
				return skip("needs login and key of %s", n.name())
			}
		}
		if from.serverKey() == to.serverKey() {
			return skip("both are the same relay, or have the same key: see keys")
		}
		return q.ask(ctx, from, to)
	}, 0)
	c.From, c.To = line("%s", from.name()), line("%s", to.name())
	return c
}

// someAtATime asks the questions and returns the answers in their order.
func someAtATime(atATime int, questions []func() Check) []Check {
	answers := make([]Check, len(questions))
	free := make(chan struct{}, atATime)
	var all sync.WaitGroup
	for i, ask := range questions {
		free <- struct{}{}
		all.Go(func() {
			answers[i] = ask()
			<-free
		})
	}
	all.Wait()
	return answers
}

// differentKeys wants each relay to be one of its own. Two with the same key take
// each other for themselves and never mesh.
func differentKeys(relays []*node) Check {
	names := make(map[key.Public]string)
	for _, n := range relays {
		k := n.serverKey()
		if k.IsZero() {
			continue
		}
		if first, taken := names[k]; taken {
			return fail("%s and %s have the same key: they are one relay, or share a key file", first, n.name()).
				do("give each relay a key file of its own, and list each once; relays with the same key do not mesh")
		}
		names[k] = n.name()
	}
	if len(names) < 2 {
		return skip("needs the keys of two nodes")
	}
	return ok("%d relays, each with a key of its own", len(names))
}
