package programs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// Status is what tests read of our relay's status page.
type Status struct {
	Relay struct {
		Peers         int              `json:"peers"` // siblings are peers, too
		Homes         int              `json:"homes"`
		NotIdeal      int              `json:"not_ideal"`
		WrongMeshKeys uint64           `json:"wrong_mesh_keys"`
		Links         []map[string]any `json:"links"`
		ForwardedIn   int              `json:"forwarded_in"` // packets from siblings
		Sent          struct {
			Other struct {
				Bytes int `json:"bytes"`
			} `json:"other"`
		} `json:"sent"`
	} `json:"relay"`
	STUN struct {
		AnsweredIPv4 int `json:"answered_ipv4"`
	} `json:"stun"`
}

// Status asks our relay for it. Only those of a region have such a page.
func (r *Relay) Status(t testing.TB) Status {
	t.Helper()
	s, err := r.askStatus()
	if err != nil {
		t.Fatalf("%s: %v", r.Name, err)
	}
	return s
}

func (r *Relay) askStatus() (s Status, err error) {
	client := http.Client{Timeout: startBudget}
	defer client.CloseIdleConnections()
	response, err := client.Get(r.Admin + "/status")
	if err != nil {
		return s, err
	}
	defer response.Body.Close()
	return s, json.NewDecoder(response.Body).Decode(&s)
}

// AwaitLinks waits until each of these relays of ours has so many links.
func AwaitLinks(t testing.TB, relays []*Relay, links int) {
	t.Helper()
	for _, r := range relays {
		r.Await(t, func(s Status) error {
			if len(s.Relay.Links) != links {
				return fmt.Errorf("%d links, want %d", len(s.Relay.Links), links)
			}
			return nil
		})
	}
}

// Await waits until the status page of our relay is as it should be.
func (r *Relay) Await(t testing.TB, check func(Status) error) {
	t.Helper()
	late := time.After(startBudget)
	for {
		s, err := r.askStatus()
		if err == nil {
			err = check(s)
		}
		if err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-late:
			t.Fatalf("%s at %v, after %v: %v", r.Name, r.Addr, startBudget, err)
		}
	}
}
