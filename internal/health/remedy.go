package health

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/detour-relay/detour/client"
)

// excuseRemedy is about a name that leads somewhere else from this machine.
const excuseRemedy = "if peers get through, all is well: set {self-check} to direct to say so; " +
	"if they use another URL, set {self-check} to that"

// excuse is what to do where the listener is checked instead of the name. Dates are
// as wrong for peers, whoever's the certificate is.
func excuse(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return remedy(invalid) + "; if another server answers there, set {self-check} to direct, or to the URL that peers use"
	}
	return excuseRemedy
}

// remedy says what an operator does about a self-check that failed. It names the
// setting in braces, which spelt takes away.
func remedy(err error) string {
	_, status := errors.AsType[*client.StatusError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	invalid, dated := errors.AsType[x509.CertificateInvalidError](err)
	switch {
	case errors.Is(err, ErrOtherRelay):
		return "let the name lead to this relay only, or set {self-check} to direct, which checks the listener"
	case errors.Is(err, ErrOutOfReach):
		return "see that name, port and firewall lead peers here; if only this machine cannot get there, set {self-check} to direct"
	case dated && invalid.Reason == x509.Expired:
		return fmt.Sprintf("peers refuse the certificate for its dates, at %s by the clock of this machine: renew it, or set the clock",
			time.Now().UTC().Format(time.RFC3339))
	case otherName:
		return "peers refuse the certificate for its names: have it issued with the relay's name in the subject alternative names; " +
			"if peers verify nothing (InsecureForTests in the map), set {self-check} to off"
	case errors.Is(err, client.ErrCertificate), errors.Is(err, client.ErrPinMismatch):
		return "peers refuse the certificate: replace it; if it is not the relay's own, set {self-check} to the URL that peers use, or to direct"
	case errors.Is(err, client.ErrAdmissionRefused):
		return "the relay turns its own check away: see its log"
	case errors.Is(err, context.DeadlineExceeded):
		return "the relay or its machine is overloaded or stuck: see its load and /status; " +
			"if something before it swallows what this machine sends, set {self-check} to direct"
	case status, errors.Is(err, client.ErrProtocol), errors.Is(err, ErrUnproven):
		return "what answers there is not this relay, or what stands before it does not let DERP through: see the settings of that, " +
			"or set {self-check} to the URL that peers use, or to direct"
	}
	return "see the log of the relay, and /status"
}

// spelt gives a remedy the name that operators have for the setting.
func (h *Health) spelt(remedy string) string {
	return strings.ReplaceAll(remedy, "{self-check}", h.config.Spell("self-check"))
}
