// Package envoy compares the configuration of dist/proxies with what Envoy's own
// definitions know, since Envoy itself is in no registry of Go modules or Debian's. They
// take minutes to compile, so it is a module of its own that CI leaves out.
package envoy

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	bootstrap "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
)

// Each name and each value has to be one that Envoy knows; where one is not, it shows.
func TestEnvoyKnowsEachSetting(t *testing.T) {
	text, err := os.ReadFile("../../../dist/proxies/envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		old, new string
		valid    bool
	}{
		{"", "", true},
		{"upgrade_type: derp", "upgrade_kind: derp", false},
		{"stream_idle_timeout: 3600s", "stream_idle_timeout: 1 hour", false},
		{"stat_prefix: secure", `stat_prefix: ""`, false},
		{"DownstreamTlsContext", "DownstreamContext", false},
		{"port_value: 443", "port_value: 70000", false},
	} {
		if !strings.Contains(string(text), test.old) {
			t.Errorf("%q is not in it", test.old)
		}
		err := check(t, strings.ReplaceAll(string(text), test.old, test.new))
		if test.old == "" {
			err = check(t, string(text))
		}
		if (err == nil) != test.valid {
			t.Errorf("%q as %q: %v", test.old, test.new, err)
		}
	}
}

// check reads a configuration as Envoy does, with the extensions in it.
func check(t *testing.T, text string) error {
	t.Helper()
	var document map[string]any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	var config bootstrap.Bootstrap
	if err := protojson.Unmarshal(asJSON, &config); err != nil {
		return err
	}
	return errors.Join(config.ValidateAll(), extensions(&config))
}

// extensions are validated by themselves: who has them sees bytes.
func extensions(config proto.Message) error {
	var wrong []error
	err := protorange.Range(config.ProtoReflect(), func(p protopath.Values) error {
		step := p.Index(-1)
		if step.Step.Kind() != protopath.AnyExpandStep {
			return nil
		}
		if m, ok := step.Value.Message().Interface().(interface{ ValidateAll() error }); ok {
			wrong = append(wrong, m.ValidateAll())
		}
		return nil
	})
	return errors.Join(append(wrong, err)...)
}
