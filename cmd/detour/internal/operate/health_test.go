package operate

import "testing"

func TestCondition(t *testing.T) {
	for _, test := range []struct {
		status string
		well   bool
		said   string
	}{
		{`{"health":{"healthy":true,"reason":"","self_check":null}}`, true, "ready"},
		{`{"health":{"healthy":false,"reason":"draining","self_check":{"error":"old"}}}`, false, "draining"},
		{`{"health":{"healthy":false,"reason":"self-check failed","self_check":{"error":"no such host"}}}`, false, "self-check failed: no such host"},
	} {
		well, said, err := condition([]byte(test.status))
		if err != nil || well != test.well || said != test.said {
			t.Errorf("%s: %v, %q (%v)", test.status, well, said, err)
		}
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"health":null}`} {
		if _, said, err := condition([]byte(bad)); err == nil {
			t.Errorf("%q is taken for %q", bad, said)
		}
	}
}
