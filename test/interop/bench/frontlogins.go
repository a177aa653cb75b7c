package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/load"
	"github.com/detour-relay/detour/key"
)

// hangingLogins is how long many logins of known keys took while the source that knows them hung.
type hangingLogins struct {
	TookMS float64 `json:"took_ms"`
	Lost   int64   `json:"lost"` // packets of a pair that was connected
}

// keyList is what a long list costs.
type keyList struct {
	LoadMS float64 `json:"load_ms"`
	MB     float64 `json:"resident_mb"`
}

const (
	manyLogins = 2000
	manyLines  = 1_000_000
	bans       = 20
	banBudget  = 10 * time.Second
)

// hangingLogins has keys become known, and come back all at once when nobody can be asked about them.
func (s *stage) hangingLogins(ctx context.Context, f *frontDoor) error {
	source := startSource()
	defer source.stop()
	relay, err := s.startDoor(ctx, s.detour, "--access-verify", source.url(), "--max-pending", fmt.Sprint(2*manyLogins))
	if err != nil {
		return err
	}
	defer relay.stop()
	known := secrets(manyLogins)
	before, err := logAllIn(ctx, relay, known, 32)
	if err != nil {
		return fmt.Errorf("while the source answers: %w", err)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // the crowd is to cost as little as it can: it shares the machine
	others := s.beside(ctx, relay)
	time.Sleep(besideWarmup)
	close(source.hang)
	took, err := logAllIn(ctx, relay, known, manyLogins)
	if err != nil {
		return fmt.Errorf("while the source hangs: %w", err)
	}
	during := <-others
	if during.err != nil {
		return during.err
	}
	lost := int64(during.report.Packets.Lost)
	f.Logins = &hangingLogins{TookMS: float64(took.Microseconds()) / 1e3, Lost: lost}
	talk("  %d logins in %v, %d packets lost meanwhile; 32 at a time, while the source answered, in %v\n", manyLogins, took, lost, before)
	return nil
}

const besideWarmup = 2 * time.Second

// A besideReport is what those who were connected meanwhile have to say.
type besideReport struct {
	report *load.Report
	err    error
}

// beside has a pair of peers send, in a process of its own: connected peers do not share one with those who log in.
func (s *stage) beside(ctx context.Context, r *relay) <-chan besideReport {
	over := make(chan besideReport, 1)
	go func() {
		report, err := generate(ctx, s.detour, []string{"bench", "--json", "--insecure", "--rate", "10M", "--pairs", "1", "--duration", "12s", "--warmup", "500ms", r.url})
		over <- besideReport{report, err}
	}()
	return over
}

// logAllIn logs all in, so many at once, and says how long that took. They hang up afterwards.
func logAllIn(ctx context.Context, r *relay, all []key.Private, atOnce int) (took time.Duration, err error) {
	var in sync.WaitGroup
	var mu sync.Mutex
	peers := make([]*rawPeer, len(all))
	places := make(chan struct{}, atOnce)
	began := time.Now()
	for i, secret := range all {
		places <- struct{}{}
		in.Go(func() {
			p, failed := dialSmall(ctx, r.addr.String(), secret, 1<<10)
			<-places
			mu.Lock()
			defer mu.Unlock()
			if peers[i] = p; failed != nil {
				err = failed
			}
		})
	}
	in.Wait()
	took = time.Since(began)
	for _, p := range peers {
		if p != nil {
			p.end()
		}
	}
	return took, err
}

// bans takes the time from the command to the end of the connection.
func (s *stage) bans(ctx context.Context, f *frontDoor) error {
	relay, err := s.startDoor(ctx, s.detour, "--access-everyone", "--admin-socket", s.path("ban.sock"))
	if err != nil {
		return err
	}
	defer relay.stop()
	for range bans {
		peer, err := dialRaw(ctx, relay.addr.String(), key.NewPrivate())
		if err != nil {
			return err
		}
		began := time.Now()
		if out, err := exec.CommandContext(ctx, s.detour, "access", "ban", peer.public.String(), "--admin-socket", s.path("ban.sock")).CombinedOutput(); err != nil {
			peer.end()
			return fmt.Errorf("%w: %s", err, out)
		}
		peer.conn.SetReadDeadline(began.Add(banBudget))
		for err == nil {
			_, _, err = peer.frame()
		}
		f.BanMS = append(f.BanMS, float64(time.Since(began).Microseconds())/1e3)
		peer.end()
	}
	return nil
}

// keyList starts a relay with a long list and one with a short one.
func (s *stage) keyList(ctx context.Context, f *frontDoor) error {
	var took [2]time.Duration
	var resident [2]float64
	for i, lines := range []int{1, manyLines} {
		path := filepath.Join(s.dir, fmt.Sprint("keys-", lines))
		if err := writeKeys(path, lines); err != nil {
			return err
		}
		began := time.Now()
		relay, err := s.startDoor(ctx, s.detour, "--access-keys", path)
		if err != nil {
			return err
		}
		took[i] = time.Since(began)
		time.Sleep(time.Second)
		resident[i], err = memoryMB(relay.cmd, "VmRSS")
		relay.stop()
		if err != nil {
			return err
		}
	}
	f.List = &keyList{LoadMS: float64((took[1] - took[0]).Microseconds()) / 1e3, MB: resident[1] - resident[0]}
	talk("  %.0f ms, %.0f MB\n", f.List.LoadMS, f.List.MB)
	return nil
}

// writeKeys writes a list of keys that nobody has.
func writeKeys(path string, lines int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	var k [32]byte
	for range lines {
		rand.Read(k[:])
		fmt.Fprintf(w, "nodekey:%s\n", hex.EncodeToString(k[:]))
	}
	return w.Flush()
}
