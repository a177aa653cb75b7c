package relay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/relaytest"
	"github.com/detour-relay/detour/relay"
)

// However much is sent to peers that take nothing, what is held for them has a total,
// others get all that is sent to them, and it is given back.
func TestOutboxesHaveATotal(t *testing.T) {
	const total, deafs = 2 << 20, 40
	cfg := relay.Config{OutboxMemory: total, OutboxAge: -1, WriteTimeout: -1}
	inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
		var deaf []*relaytest.Peer
		for n := range deafs {
			deaf = append(deaf, r.JoinAs(relaytest.Who{Name: fmt.Sprint("deaf", n), Deaf: true}))
		}
		mallory, alice, bob := r.Join("mallory"), r.Join("alice"), r.Join("bob")
		got := 0
		for n := range 20 {
			for _, to := range deaf {
				for range 1 + n%3 {
					mallory.Send(derp.AppendSendPacket(nil, to.Public(), make([]byte, 16_000)))
				}
			}
			alice.SendPacket(bob.Public(), "hello")
			synctest.Wait()
			got += len(bob.Got())
			if s := r.Survey(); s.OutboxBytes > total || n == 19 && s.OutboxBytes < total/2 || s.OutboxMemory != total {
				t.Errorf("round %d: %d bytes of %d are held", n, s.OutboxBytes, s.OutboxMemory)
			}
			time.Sleep(10 * time.Millisecond) // or mallory is not read
		}
		if got != 20 {
			t.Errorf("bob got %d of 20 packets", got)
		}
		for i, d := range deaf {
			if i%2 == 0 {
				d.Listen()
			} else {
				d.Close()
			}
		}
		synctest.Wait()
		r.CheckSums()
		if s := r.Survey(); s.OutboxBytes != 0 || s.Dropped["queue_memory"].Other.Packets == 0 {
			t.Errorf("%d bytes are held in the end, %+v were dropped", s.OutboxBytes, s.Dropped)
		}
	})
}

// Less may be set while it runs, and none.
func TestTheTotalOfOutboxesChanges(t *testing.T) {
	cfg := relay.Config{OutboxMemory: -1, OutboxAge: -1, WriteTimeout: -1, OutboxBytes: 4 << 20}
	inBubble(t, cfg, func(t *testing.T, r *relaytest.Relay) {
		alice, deaf := r.Join("alice"), r.JoinAs(relaytest.Who{Name: "deaf", Deaf: true})
		fill := func() int64 {
			for range 20 {
				alice.Send(derp.AppendSendPacket(nil, deaf.Public(), make([]byte, 50_000)))
				time.Sleep(10 * time.Millisecond)
			}
			synctest.Wait()
			return r.Survey().OutboxBytes
		}
		if held := fill(); held < 20*50_000 || r.Survey().OutboxMemory != 0 {
			t.Errorf("%d bytes are held without a total", held)
		}
		r.SetOutboxMemory(4 << 20)
		if held := fill(); held > 1<<20 {
			t.Errorf("%d bytes are held by one of 4 MiB", held)
		}
		r.SetOutboxMemory(-1)
		if held := fill(); held < 20*50_000 {
			t.Errorf("%d bytes are held without a total again", held)
		}
	})
}
