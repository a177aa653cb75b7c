package certs

import (
	"crypto/x509"
	"time"
)

const (
	mostNotice  = 14 * 24 * time.Hour // an authority's clients renew long before
	remindEvery = 24 * time.Hour
	remindLast  = time.Hour // in the last day, and after the end
)

// A reminder tells of the end of a certificate, again and again.
type reminder struct {
	leaf *x509.Certificate
	last time.Time
}

// due reports whether it is time to speak.
func (r *reminder) due(leaf *x509.Certificate, now time.Time) bool {
	left := leaf.NotAfter.Sub(now)
	if left > noticeOf(leaf) {
		return false
	}
	every := remindEvery
	if left < remindEvery {
		every = remindLast
	}
	justEnded := now.After(leaf.NotAfter) && !r.last.After(leaf.NotAfter)
	if r.leaf == leaf && now.Sub(r.last) < every && !justEnded {
		return false
	}
	r.leaf, r.last = leaf, now
	return true
}

// noticeOf is how long before the end it is late for a renewal: certificates that
// live for some days are renewed in the last third of their life.
func noticeOf(leaf *x509.Certificate) time.Duration {
	return min(mostNotice, leaf.NotAfter.Sub(leaf.NotBefore)/4)
}

// remindLocked warns of a certificate that nears its end, or has passed it.
func (f *Files) remindLocked(now time.Time) {
	leaf := f.current.Load().Leaf
	if !f.reminder.due(leaf, now) {
		return
	}
	d := f.Describe()
	log := f.config.Logger.With("file", f.config.CertFile, "expires", d.Until)
	if d.Failed != "" {
		log = log.With("renewal", d.Failed)
	}
	if err := checkDates(leaf, now); err != nil {
		log.Error("the certificate in use has expired: peers refuse it", "reason", err)
		return
	}
	log.Warn("the certificate in use expires soon, and the files hold no newer one", "in", leaf.NotAfter.Sub(now).Round(time.Minute).String())
}
