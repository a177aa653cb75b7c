package front

import (
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/numbers"
)

// What every server of ours has is called the same in all tables.

// CertificateNumbers are of what is shown to peers; nil: there is no TLS.
func CertificateNumbers[S any](of func(*S) *certs.Description) []numbers.Metric[S] {
	shown := func(s *S) bool { return of(s) != nil }
	issued := func(s *S) bool { return shown(s) && of(s).Issuance != nil }
	return []numbers.Metric[S]{
		numbers.When(func(s *S) bool { return shown(s) && !of(s).Until.IsZero() },
			numbers.Now("certificate_expires", "seconds", "when the certificate in use ends, since 1970", func(s *S) float64 { return float64(of(s).Until.Unix()) })),
		numbers.When(shown, numbers.Now("certificate_failed", "", "1 if the last reload or renewal was in vain", func(s *S) float64 { return numbers.Truth(of(s).Failed != "") })),
		numbers.When(shown, numbers.Now("certificate_missing", "", "1 while an authority has not issued what is wanted", func(s *S) float64 { return numbers.Truth(of(s).Missing != "") })),
		numbers.When(issued, numbers.Grows("certificates_issued", "certificates that an authority has issued", func(s *S) uint64 { return of(s).Issuance.Issued })),
		numbers.When(issued, numbers.Grows("certificate_issues_failed", "tries to have a certificate issued that came to nothing", func(s *S) uint64 { return of(s).Issuance.Failed })),
	}
}

// ControlRefusals are of the door before commands that come over the network.
func ControlRefusals[S any](of func(*S) *control.Snapshot) numbers.Metric[S] {
	return numbers.When(func(s *S) bool { return of(s) != nil },
		numbers.By("reason", "control_refused", "requests over the network that were turned away, by reason", func(s *S) map[string]uint64 {
			return map[string]uint64{"wrong_token": of(s).WrongTokens, "limited": of(s).Limited, "strange": of(s).Strange}
		}))
}

// ScrapeNumbers are of metrics themselves; nil: nobody can ask for them.
func ScrapeNumbers[S any](of func(*S) *Scrapes) []numbers.Metric[S] {
	asked := func(s *S) bool { return of(s) != nil }
	return []numbers.Metric[S]{
		numbers.When(asked, numbers.Grows("scrapes", "answers to who asked for metrics, before this one", func(s *S) uint64 { return of(s).Answered })),
		numbers.When(asked, numbers.By("reason", "scrapes_refused", "requests for metrics that were turned away, by reason", func(s *S) map[string]uint64 {
			n := of(s)
			return map[string]uint64{"busy": n.Busy, "wrong_token": n.WrongTokens, "limited": n.Limited, "strange": n.Strange}
		})),
	}
}
