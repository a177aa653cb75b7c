package health

import (
	"context"
	"errors"

	"github.com/detour-relay/detour/client"
)

// remedy says what an operator does about a self-check that failed.
func remedy(err error) string {
	_, status := errors.AsType[*client.StatusError](err)
	switch {
	case errors.Is(err, ErrOtherRelay):
		return "let the name lead to this relay only, or check its listener (--self-check direct)"
	case errors.Is(err, ErrOutOfReach):
		return "see that name, port and firewall lead peers here; if only this machine cannot get there, " +
			"check the listener (--self-check direct)"
	case errors.Is(err, client.ErrCertificate), errors.Is(err, client.ErrPinMismatch):
		return "peers refuse the certificate: replace it"
	case status, errors.Is(err, client.ErrProtocol):
		return "what stands between peers and the relay does not let DERP through: see its settings"
	case errors.Is(err, client.ErrAdmissionRefused):
		return "the relay turns its own check away: see its log"
	case errors.Is(err, context.DeadlineExceeded):
		return "the relay or its machine is overloaded or stuck: see its load and /status"
	}
	return "see the log of the relay, and /status"
}
