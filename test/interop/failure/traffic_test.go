package failure

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// roaming connects n peers to the region for each relay, and waits until each of them is on the relay that comes first for
// it.
func (g *region) roaming(n int) (peers []*peer) {
	g.t.Helper()
	for i := range relays * n {
		peers = append(peers, g.roam(i%relays, fmt.Sprintf("peer %d", i)))
	}
	g.whole([]int{n, n, n})
	return peers
}

const (
	trafficEvery = 10 * time.Millisecond
	lastAnswers  = 10 * time.Second // for what was under way when the traffic stopped
)

// traffic has every peer ask every other, again and again, until stop is called, which says how many questions there were and
// how many of them were lost, or their answers.
func (g *region) traffic(peers []*peer) (stop func() (sent, lost int)) {
	quit := make(chan struct{})
	var running sync.WaitGroup
	questions := make([]int, len(peers))
	for i, p := range peers {
		running.Go(func() { questions[i] = p.askAll(peers, quit) })
	}
	return func() (sent, lost int) {
		close(quit)
		running.Wait()
		late, cancel := context.WithTimeout(context.Background(), lastAnswers) // for all of them together
		defer cancel()
		for i, p := range peers {
			sent += questions[i]
			lost += p.unanswered(late.Done())
		}
		return sent, lost
	}
}

// askAll asks all peers in turn, a question every trafficEvery, and does not wait for answers. It returns how many there were.
func (p *peer) askAll(peers []*peer, quit <-chan struct{}) (questions int) {
	every := time.NewTicker(trafficEvery)
	defer every.Stop()
	for i := 0; ; i++ {
		select {
		case <-quit:
			return questions
		case <-every.C:
		}
		p.mu.Lock()
		p.asked++
		n := p.asked
		p.answers[n] = make(chan struct{})
		p.mu.Unlock()
		p.conn.Send(peers[i%len(peers)].key, packet(question, n)) // one that is not taken is lost
		questions++
	}
}

// unanswered returns how many questions of p have no answer when all have come, or when it is late.
func (p *peer) unanswered(late <-chan struct{}) int {
	for {
		p.mu.Lock()
		n := len(p.answers)
		p.mu.Unlock()
		if n == 0 {
			return 0
		}
		select {
		case <-late:
			return n
		case <-time.After(20 * time.Millisecond):
		}
	}
}
