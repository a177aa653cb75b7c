package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
)

const somePin = "sha256-raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// What to do is spelt as on the command line, for the relay that it is about.
func TestErrorsAreExplainedForTheRelayAndItsFlags(t *testing.T) {
	const near, far = "https://a.example/derp", "http://b.example/derp"
	pair := TargetPair{TargetFlags: TargetFlags{CertName: somePin}}
	for _, test := range []struct {
		err   error
		which string
		want  string
	}{
		{client.ErrPinMismatch, near, "compare --cert-name with the pin"},
		{&client.StatusError{Code: 407, Proxy: true}, near, "HTTPS_PROXY in the environment, or name a.example in NO_PROXY"},
		{&client.StatusError{Code: 407, Proxy: true}, far, "name b.example in NO_PROXY"},
		{&client.StatusError{Code: 400}, far, "write https://"},
		{&client.StatusError{Code: 400}, "", "pass the Upgrade"},
		{client.ErrAdmissionRefused, near, "only peers it knows"},
	} {
		err := pair.Explain([]string{near, far}, test.which, test.err)
		if ExitStatus(err) != ExitUnanswered || !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.err, err, test.want)
		}
	}
	odd := errors.New("odd")
	if err := pair.Explain([]string{near}, near, odd); err.Error() != "odd" || ExitStatus(err) != ExitUnanswered {
		t.Errorf("without a remedy: %v", err)
	}
}
