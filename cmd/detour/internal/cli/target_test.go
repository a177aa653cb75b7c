package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
)

func TestHintsForStatuses(t *testing.T) {
	for _, test := range []struct {
		status client.StatusError
		want   string
	}{
		{client.StatusError{Code: 407, Proxy: true}, "HTTPS_PROXY"},
		{client.StatusError{Code: 302, Redirect: "http://portal.example"}, "leave the network that redirects"},
		{client.StatusError{Code: 403}, "refuses us"},
		{client.StatusError{Code: 404}, "path included"},
	} {
		err := WithHint(&test.status)
		if ExitStatus(err) != ExitUnanswered || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v", test.status, err)
		}
	}
	if err := WithHint(client.ErrAdmissionRefused); !strings.Contains(err.Error(), "only peers it knows") {
		t.Error(err)
	}
	if err := WithHint(errors.New("odd")); err.Error() != "odd" || ExitStatus(err) != ExitUnanswered {
		t.Errorf("without a hint: %v", err)
	}
}
