package health

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/detour-relay/detour/client"
)

// What is to be set is called as the operator calls it, in every remedy that names it.
func TestRemediesNameTheSettingAsOperatorsDo(t *testing.T) {
	for name, spell := range map[string]func(string) string{
		"self-check":   nil,
		"--self-check": func(setting string) string { return "--" + setting },
	} {
		h := opened(t, Config{Spell: spell})
		for _, err := range []error{ErrOtherRelay, ErrOutOfReach, ErrUnproven, client.ErrCertificate, client.ErrProtocol, client.ErrPinMismatch} {
			text := h.spelt(remedy(fmt.Errorf("somewhere: %w", err)))
			if !strings.Contains(text, "set "+name+" to") || strings.ContainsAny(text, "{}") {
				t.Errorf("%v, want %s: %s", err, name, text)
			}
		}
		if text := h.spelt(remedy(errors.New("else"))); strings.ContainsAny(text, "{}") {
			t.Error(text)
		}
	}
}

// A certificate that has expired is not well for peers, whatever they get through to.
func TestExcusesKnowOfDates(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{x509.CertificateInvalidError{Reason: x509.Expired}, "peers refuse the certificate for its dates, at "},
		{x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}, "if peers get through, all is well"},
		{x509.HostnameError{}, "if peers get through, all is well"},
		{errors.New("silence"), "if peers get through, all is well"},
	} {
		got := excuse(fmt.Errorf("%w: %w", ErrUnproven, test.err))
		if !strings.HasPrefix(got, test.want) || !strings.Contains(got, "set {self-check} to direct") {
			t.Errorf("%v: %s, want %s", test.err, got, test.want)
		}
	}
}

// Both lines of the log that tell to set something use that name.
func TestLogNamesTheSettingAsOperatorsDo(t *testing.T) {
	dashed := func(setting string) string { return "--" + setting }
	for _, test := range []struct {
		name   string
		config func(fails Path) Config
		says   string
	}{
		{"by name only", func(fails Path) Config { return Config{ViaName: fails} }, "fails its self-check"},
		{"excused", func(fails Path) Config {
			well := script{ends: []error{nil}}
			return Config{ViaName: fails, Direct: well.path()}
		}, "its listener is checked instead"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fails := &script{ends: []error{ErrUnproven}}
				config := test.config(fails.path())
				config.Spell = dashed
				_, log := running(t, config)
				fails.until(t, 3)
				if log.Lines(test.says, "set --self-check to") != 1 {
					t.Errorf("%s", log)
				}
			})
		})
	}
}
