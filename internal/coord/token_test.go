package coord

import (
	"encoding/json"
	"slices"
	"testing"
	"time"
)

// A TLS ticket counts on the day that it was given and on the next one, at every
// coordinator with the same secrets and at no other.
func TestTicketKeys(t *testing.T) {
	some := func() *secrets {
		value, err := json.Marshal(newSecrets())
		if err != nil {
			t.Fatal(err)
		}
		c, ok := parseSecrets(value)
		if !ok {
			t.Fatal("no secrets")
		}
		again, _ := parseSecrets(value)
		now := time.Unix(1e9, 0)
		if c.ticketKeys(now)[0] != again.ticketKeys(now)[0] {
			t.Error("another coordinator has another key")
		}
		return c
	}
	c, other := some(), some()
	now := time.Date(2026, 11, 28, 23, 59, 59, 0, time.UTC)
	today, next, later := c.ticketKeys(now), c.ticketKeys(now.Add(time.Second)), c.ticketKeys(now.Add(7*24*time.Hour+time.Second))
	if next[1] != today[0] || next[0] == today[0] {
		t.Error("the key of yesterday does not count today, or is the same")
	}
	if !slices.Contains(c.ticketKeys(now.Add(7*24*time.Hour)), today[0]) {
		t.Error("a ticket does not count as long as peers keep it")
	}
	for _, k := range append(later, other.ticketKeys(now)...) {
		if k == today[0] {
			t.Error("a key counts for too long, or elsewhere")
		}
	}
}
