package measure

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/detour-relay/detour/internal/home"
)

// httpsRegions are six of which 4 is to be avoided, 5 only answers STUN, and 6 is
// not to be measured.
func httpsRegions(n *network) []home.Region {
	var regions []home.Region
	for id := 1; id <= 6; id++ {
		regions = append(regions, n.add(id, 10*ms))
		n.place4(id).loses, n.place6(id).loses = 9, 9 // UDP is blocked
	}
	regions[3].Avoid = true
	regions[4].Nodes[0].STUNOnly = true
	regions[5].NoMeasureNoHome = true
	return regions
}

func TestHTTPSWhereUDPIsBlocked(t *testing.T) {
	for _, test := range []struct {
		name  string
		noUDP bool
		took  time.Duration
	}{
		{"after 3 s without an answer", false, 5 * time.Second},
		{"at once if it is not to be tried", true, 5 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := newNetwork(t)
			cfg := n.config()
			cfg.NoUDP = test.noUDP
			cfg.HTTPS = func(ctx context.Context, region int) (time.Duration, error) {
				switch region {
				case 1:
					time.Sleep(90 * ms) // connecting is not counted
					return 40 * ms, nil
				case 2:
					return 0, errNoRoute
				case 3:
					<-ctx.Done()
					return 0, context.Cause(ctx)
				}
				t.Errorf("region %d was timed", region)
				return ms, nil
			}
			got, took := measuring(t, n, cfg, home.Questions{Full: true, Have: both, Regions: httpsRegions(n)})
			if want := map[int]time.Duration{1: 40 * ms}; got.UDP || took != test.took || !reflect.DeepEqual(got.Latency, want) {
				t.Errorf("%+v after %v, want %v after %v", got.Report, took, want, test.took)
			}
			if len(got.Failed) != 2 || got.Failed[2] != errNoRoute || got.Failed[3] != errTooLate {
				t.Errorf("failed %v", got.Failed)
			}
			if len(got.Latency4)+len(got.Latency6) > 0 || got.MappingVaries != home.Unknown || got.Public4.IsValid() {
				t.Errorf("%+v has what only STUN can tell", got.Report)
			}
			if test.noUDP && n.sockets > 0 {
				t.Errorf("%d sockets were opened", n.sockets)
			}
		})
	}
}

func TestTooLateIsPastADeadline(t *testing.T) {
	if !errors.Is(errTooLate, context.DeadlineExceeded) || errTooLate.Error() != "no answer within the 5s of a report" {
		t.Error(errTooLate)
	}
}

// An answer over HTTPS makes up for what STUN could not do.
func TestHTTPSEndsAtOnceWhenAllHaveAnswered(t *testing.T) {
	n := newNetwork(t)
	n.noSocket["udp4"], n.noSocket["udp6"] = errNoMore, errNoMore
	cfg := n.config()
	cfg.HTTPS = func(_ context.Context, region int) (time.Duration, error) {
		time.Sleep(time.Duration(region) * 100 * ms)
		return 0, nil // a coarse clock
	}
	got, took := measuring(t, n, cfg, home.Questions{Full: true, Have: both, Regions: httpsRegions(n)[:3]})
	if want := map[int]time.Duration{1: 1, 2: 1, 3: 1}; took != 500*ms || !reflect.DeepEqual(got.Latency, want) || len(got.Failed) > 0 {
		t.Errorf("%+v, failed %v, after %v; want %v after 500 ms", got.Report, got.Failed, took, want)
	}
}

func TestNoHTTPSWhereUDPWorks(t *testing.T) {
	n := newNetwork(t)
	cfg := n.config()
	cfg.HTTPS = func(context.Context, int) (time.Duration, error) {
		t.Error("a region was timed over HTTPS")
		return ms, nil
	}
	regions := httpsRegions(n)
	n.place6(3).loses = 0
	got, _ := measuring(t, n, cfg, home.Questions{Full: true, Have: both, Regions: regions})
	if want := map[int]time.Duration{3: 10 * ms}; !reflect.DeepEqual(got.Latency, want) {
		t.Errorf("%v, want %v", got.Latency, want)
	}
}
