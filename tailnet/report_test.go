package tailnet

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/coordapi"
)

func at(region int) client.Home { return client.Home{Region: region} }

func TestAHomeIsReported(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f, func(c *Config) { c.Version = "v1" })
		if err := m.reportHome(t.Context(), at(900)); err != nil {
			t.Fatal(err)
		}
		if r := f.lastReport(); r.Home != 900 || r.Boot != 1 || r.Version != "v1" {
			t.Errorf("reported %+v", r)
		}
		if s := m.State(); s.Home != 900 || !s.ReportPending.IsZero() {
			t.Errorf("state is %+v", s)
		}
		// The same again is known already.
		n := f.count("PUT /v1/self")
		if err := m.reportHome(t.Context(), at(900)); err != nil || f.count("PUT /v1/self") != n {
			t.Errorf("%v, asked %d times", err, f.count("PUT /v1/self")-n)
		}
		// After each connect it is said again.
		f.replicas[0].kill()
		f.replicas[0].revive()
		settle(t, m, Connected)
		if f.count("PUT /v1/self") != n+1 {
			t.Errorf("%d reports after a connect, want one", f.count("PUT /v1/self")-n)
		}
		// The next start has the next number, and knows what was taken.
		m.Close()
		m = open(t, cfg)
		settle(t, m, Connected)
		if s := m.State(); s.Home != 900 {
			t.Errorf("the home that was taken is forgotten: %+v", s)
		}
		if err := m.reportHome(t.Context(), at(901)); err != nil || f.lastReport().Boot != 2 {
			t.Errorf("%v, %+v", err, f.lastReport())
		}
	})
}

// Only a coordinator that has it makes a report one.
func TestAReportWaitsForACoordinator(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.refuses("PUT /v1/self", 503, coordapi.CodeUnavailable)
		if err := m.reportHome(t.Context(), at(900)); codeOf(err) != coordapi.CodeUnavailable {
			t.Errorf("without quorum: %v", err)
		}
		if s := m.State(); s.ReportPending.IsZero() || s.ReportErr == nil || s.Phase != Connected {
			t.Errorf("state is %+v: the stream stays, the report is pending", s)
		}
		f.refuses("PUT /v1/self", 0, "")
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := m.State(); !s.ReportPending.IsZero() || s.ReportErr != nil || f.lastReport().Home != 900 {
			t.Errorf("state is %+v, reported %+v", s, f.lastReport())
		}

		for _, r := range f.replicas {
			r.kill()
		}
		settle(t, m, Away)
		if err := m.reportHome(t.Context(), at(901)); !errors.Is(err, ErrAway) {
			t.Errorf("away: %v", err)
		}
		f.replicas[1].revive()
		m.NetworkChanged()
		settle(t, m, Connected)
		if err := m.reportHome(t.Context(), at(901)); err != nil || f.lastReport().Home != 901 {
			t.Errorf("%v, %+v", err, f.lastReport())
		}
	})
}

// A coordinator that takes reports and does not answer them keeps nobody waiting.
func TestAReportEndsWithItsContext(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.mu.Lock()
		f.replicas[0].hangs = true
		f.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := m.reportHome(ctx, at(900)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := m.reportHome(t.Context(), at(901)); err == nil {
			t.Error("nobody has taken it")
		}
		f.mu.Lock()
		f.replicas[0].hangs = false
		f.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if f.lastReport().Home != 901 {
			t.Errorf("reported %+v", f.lastReport())
		}
	})
}

// A state file that was put back has an old boot: the coordinator's counts from then on.
func TestAnOldStateFileIsPutRight(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, cfg := joined(t, f)
		f.mu.Lock()
		f.members[m.Self().Key].boot = 41
		f.mu.Unlock()
		if err := m.reportHome(t.Context(), at(900)); err != nil || f.lastReport().Boot != 42 {
			t.Fatalf("%v, %+v", err, f.lastReport())
		}
		m.Close()
		m = open(t, cfg)
		settle(t, m, Connected)
		if err := m.reportHome(t.Context(), at(901)); err != nil || f.lastReport().Boot != 43 {
			t.Fatalf("%v, %+v", err, f.lastReport())
		}
		// A coordinator that always says so is not believed for ever, nor one without sense.
		n := f.count("PUT /v1/self")
		f.refuses("PUT /v1/self", 409, coordapi.CodeStale)
		if err := m.reportHome(t.Context(), at(902)); codeOf(err) != coordapi.CodeStale {
			t.Error(err)
		}
		if asked := f.count("PUT /v1/self") - n; asked > mostBoots {
			t.Errorf("asked %d times", asked)
		}
	})
}

// What the tailnet has lost is said again; two machines with one key do not go on about it
// for ever.
func TestAHomeThatWasLostIsSaidAgain(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		if err := m.reportHome(t.Context(), at(900)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		self := m.Self()
		n := f.count("PUT /v1/self")
		f.put(coordapi.Peer{Key: self.Key, Name: "me", Addresses: self.Addresses, Home: 7})
		synctest.Wait()
		if f.lastReport().Home != 900 || f.count("PUT /v1/self") != n+1 || m.State().Home != 900 {
			t.Errorf("reported %+v, state %+v", f.lastReport(), m.State())
		}
		for range 20 {
			f.put(coordapi.Peer{Key: self.Key, Name: "me", Addresses: self.Addresses, Home: 7})
			synctest.Wait()
		}
		if asked := f.count("PUT /v1/self") - n; asked > 2 {
			t.Errorf("it answers each report of another machine: %d", asked)
		}
	})
}

// A coordinator that asks to be left alone is, also while the home changes.
func TestReportsWaitAsAsked(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		m, _ := joined(t, f)
		f.refuses("PUT /v1/self", 429, coordapi.CodeTooMany)
		for i := range 20 {
			m.setHome(900 + i%2)
			time.Sleep(100 * time.Millisecond)
		}
		if n := f.count("PUT /v1/self"); n != 1 {
			t.Errorf("%d reports in 2 s, it has asked for 3 s", n)
		}
		f.refuses("PUT /v1/self", 0, "")
		time.Sleep(10 * time.Second)
		if home := f.lastReport().Home; home != 901 {
			t.Errorf("then %d is reported", home)
		}
	})
}

// Of a state file that was copied to another machine both members are told, once.
func TestAnotherMachineWithTheKeyIsTold(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *fake) {
		var told events
		m, _ := joined(t, f, func(c *Config) { c.OnEvent = told.add })
		told.take()
		f.mu.Lock()
		f.rival = true
		f.mu.Unlock()
		for _, home := range []int{900, 901, 900} {
			m.setHome(home)
			synctest.Wait()
		}
		if got := told.take(); !slices.Equal(got, []string{"conflict"}) || !m.State().Conflict {
			t.Errorf("told %v", got)
		}
		f.mu.Lock()
		f.rival = false
		f.mu.Unlock()
		m.setHome(901)
		synctest.Wait()
		if got := told.take(); len(got) > 0 || m.State().Conflict {
			t.Errorf("then %v", got)
		}
	})
}
