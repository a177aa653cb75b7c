package certs

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A certificate that nobody renews is spoken of from before its end, again and again,
// with what stood in the way of the renewal.
func TestExpiryIsWarnedOfRepeatedly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, log := t.TempDir(), new(logbook)
		template := server()
		template.NotBefore, template.NotAfter = time.Now(), time.Now().Add(16*time.Hour)
		leaf := issue(t, issuer{}, template, newECKey(t))
		put(t, filepath.Join(dir, "c.pem"), []byte(pemOf(leaf)))
		put(t, filepath.Join(dir, "k.pem"), []byte(keyPEM(t, leaf.key)))
		files := watched(t, dir, log)
		end := files.Describe().Until

		time.Sleep(time.Until(end.Add(-4*time.Hour - time.Minute)))
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("too early: %s", log)
		}
		put(t, filepath.Join(dir, "k.pem"), []byte("broken"))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if log.Lines("WARN", "expires soon", "c.pem", "in=4h0m0s", "k.pem: no -----BEGIN") != 1 {
			t.Errorf("no warning a quarter of its life before the end: %s", log)
		}
		time.Sleep(time.Until(end.Add(-time.Second)))
		synctest.Wait()
		if n := log.Lines("WARN", "expires soon"); n != 4 || log.Lines("has expired") != 0 {
			t.Errorf("%d warnings in the last four hours, want one each: %s", n, log)
		}
		time.Sleep(2*time.Hour + 2*pollEvery)
		synctest.Wait()
		if n := log.Lines("ERROR", "has expired", "clock of this machine"); n != 3 {
			t.Errorf("%d errors in the two hours after the end, want one at once and one each: %s", n, log)
		}
		if d := files.Describe(); d.Failed == "" || d.FailedAt == nil {
			t.Errorf("the failed reload is not described: %+v", d)
		}

		putPair(t, dir, "relay.example", time.Now())
		looks(2)
		said := log.Lines("expire")
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if d := files.Describe(); log.Lines("expire") != said || d.Failed != "" || d.FailedAt != nil {
			t.Errorf("still spoken of after the renewal: %+v %s", d, log)
		}
	})
}

// Daily, and in the last day each hour; of a new certificate only at its own time.
func TestRemindersComeOftenerTowardsTheEnd(t *testing.T) {
	template := server()
	template.NotBefore = time.Now()
	template.NotAfter = template.NotBefore.Add(90 * 24 * time.Hour)
	var r reminder
	days, hours := 0, 0
	for now := template.NotBefore; now.Before(template.NotAfter); now = now.Add(time.Minute) {
		switch due := r.due(template, now); {
		case due && template.NotAfter.Sub(now) > mostNotice:
			t.Fatalf("due at %v, which is too early", now)
		case due && template.NotAfter.Sub(now) > 24*time.Hour:
			days++
		case due:
			hours++
		}
	}
	if days < 13 || days > 14 || hours < 23 || hours > 24 {
		t.Errorf("%d reminders before the last day and %d in it, want one a day and one an hour", days, hours)
	}
}

// One that lives for some days is renewed late in its life; two weeks before the end
// would be its whole life.
func TestShortLivedCertificatesAreNotNagged(t *testing.T) {
	for life, notice := range map[time.Duration]time.Duration{
		365 * 24 * time.Hour: mostNotice, 90 * 24 * time.Hour: mostNotice, 24 * time.Hour: 6 * time.Hour, time.Hour: 15 * time.Minute,
	} {
		template := server()
		template.NotBefore = time.Now()
		template.NotAfter = template.NotBefore.Add(life)
		if got := noticeOf(template); got != notice {
			t.Errorf("life %v: notice %v, want %v", life, got, notice)
		}
	}
}
