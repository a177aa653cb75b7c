// Package charts renders what dist has for Kubernetes and Compose, as their own libraries do.
package charts

import (
	"path"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"github.com/detour-relay/detour/internal/config"
)

const chartDir = "../../dist/helm/detour"

// The values of the cases here.
const (
	one = `
hostnames: [relay.example.com]
access: {managed: true}
`
	three = `
hostnames: [derp1.example.com, derp2.example.com, derp3.example.com]
access: {verify: [https://headscale.example.com/verify]}
tls: {mode: files, secretName: certificates}
mesh: {secretName: mesh}
service: {loadBalancerIPs: [192.0.2.1, 192.0.2.2, 192.0.2.3], annotations: {a: b}}
settings: {drain: 40s, limits: {in: 10Mbit/s}}
`
	ofNodes = `
hostnames: [node1.example.com, node2.example.com]
access: {everyone: true}
exposure: hostNetwork
mesh: {secretName: mesh}
spread: preferred
persistence: {enabled: false}
podAnnotations: {c: d}
`
)

func values(t *testing.T, text string) map[string]any {
	t.Helper()
	into := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &into); err != nil {
		t.Fatal(err)
	}
	return into
}

// render returns all documents of the chart, or the error.
func render(t *testing.T, text string) (map[string][]string, error) {
	t.Helper()
	return renderAs(t, "r", values(t, text))
}

func renderAs(t *testing.T, release string, given map[string]any) (map[string][]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(chart, given, common.ReleaseOptions{Name: release, Namespace: "ns", Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	documents := map[string][]string{}
	for name, text := range files {
		for _, d := range strings.Split("\n"+text, "\n---\n") {
			if strings.TrimSpace(d) != "" {
				documents[path.Base(name)] = append(documents[path.Base(name)], d)
			}
		}
	}
	return documents, nil
}

// objects are those of a rendered chart, of the kinds that Kubernetes has.
type objects struct {
	set      appsv1.StatefulSet
	settings corev1.ConfigMap
	services []corev1.Service
	budget   *policyv1.PodDisruptionBudget
}

// read decodes all documents; a field that Kubernetes does not know fails the test.
func read(t *testing.T, text string) objects {
	t.Helper()
	documents, err := render(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, documents)
}

func decoded(t *testing.T, documents map[string][]string) (o objects) {
	t.Helper()
	decode := func(text string, into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	for name, texts := range documents {
		for _, d := range texts {
			switch name {
			case "statefulset.yaml":
				decode(d, &o.set)
			case "configmap.yaml":
				decode(d, &o.settings)
			case "pdb.yaml":
				o.budget = new(policyv1.PodDisruptionBudget)
				decode(d, o.budget)
			case "services.yaml":
				var s corev1.Service
				decode(d, &s)
				o.services = append(o.services, s)
			default:
				t.Fatalf("what is %s?", name)
			}
		}
	}
	return o
}

func TestChartIsLinted(t *testing.T) {
	for _, text := range []string{one, three, ofNodes} {
		for _, m := range lint.RunAll(chartDir, values(t, text), "ns").Messages {
			if m.Severity >= support.WarningSev {
				t.Error(m)
			}
		}
	}
}

// The settings of each relay are such as the relay takes them.
func TestSettingsOfPods(t *testing.T) {
	for text, relays := range map[string]int{one: 1, three: 3, ofNodes: 2} {
		o := read(t, text)
		if len(o.settings.Data) != relays || int(*o.set.Spec.Replicas) != relays {
			t.Errorf("%d files, %d pods, want %d", len(o.settings.Data), *o.set.Spec.Replicas, relays)
		}
		for name, file := range o.settings.Data {
			l := config.Load(config.Sources{File: name, Contents: []byte(file)})
			if err := l.Err(); err != nil {
				t.Fatalf("%v\n%s", err, file)
			}
			if c := l.Config; c.StateDir != "/var/lib/detour" || c.SelfCheck != "direct" || len(c.Mesh.With) != relays && relays > 1 {
				t.Errorf("%+v", c)
			}
		}
	}
	file := read(t, three).settings.Data["r-detour-1.yaml"]
	for _, want := range []string{"hostname: derp2.example.com\n", "drain: 40s\n", "in: 10Mbit/s", "- derp3.example.com:8443/r-detour-2.r-detour-peers.ns.svc\n", "listen: :8443\n"} {
		if !strings.Contains(file+"\n", want) {
			t.Errorf("%q is missing:\n%s", want, file)
		}
	}
}

// Peers keep their addresses, a pod has time to drain, and nobody is root who need not be.
func TestRegion(t *testing.T) {
	o := read(t, three)
	if len(o.services) != 4 || o.budget == nil || o.budget.Spec.MaxUnavailable.IntValue() != 1 {
		t.Fatalf("%d services, %+v", len(o.services), o.budget)
	}
	for _, s := range o.services[1:] {
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer || s.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || s.Spec.Selector["statefulset.kubernetes.io/pod-name"] != s.Name || len(s.Spec.Ports) != 2 || s.Annotations["a"] != "b" || s.Spec.LoadBalancerIP == "" {
			t.Errorf("%+v", s.Spec)
		}
	}
	if peers := o.services[0]; peers.Spec.ClusterIP != corev1.ClusterIPNone || !peers.Spec.PublishNotReadyAddresses || peers.Name != o.set.Spec.ServiceName {
		t.Errorf("%+v", peers)
	}
	pod := o.set.Spec.Template.Spec
	if *pod.TerminationGracePeriodSeconds <= 2*30 || !*pod.SecurityContext.RunAsNonRoot || *pod.EnableServiceLinks || pod.HostNetwork {
		t.Errorf("%+v", pod)
	}
	if c := pod.Containers[0].SecurityContext; len(c.Capabilities.Add) != 0 || *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem {
		t.Errorf("%+v", c)
	}
	if claims := o.set.Spec.VolumeClaimTemplates; len(claims) != 1 || claims[0].Name != "state" {
		t.Errorf("%+v", claims)
	}
	mounted := map[string]bool{}
	for _, v := range pod.Volumes {
		mounted[v.Name] = true
	}
	mounted["state"] = true // by the claim
	for _, m := range pod.Containers[0].VolumeMounts {
		if !mounted[m.Name] {
			t.Errorf("there is no volume %s", m.Name)
		}
	}
	for _, what := range []map[string]string{o.set.Spec.Template.Labels, o.budget.Spec.Selector.MatchLabels, o.services[0].Spec.Selector} {
		for key, value := range o.set.Spec.Selector.MatchLabels {
			if what[key] != value {
				t.Errorf("%v does not select the pods", what)
			}
		}
	}
}

func TestOnNodes(t *testing.T) {
	o := read(t, ofNodes)
	pod := o.set.Spec.Template.Spec
	if !pod.HostNetwork || len(o.services) != 1 || *pod.SecurityContext.RunAsUser != 0 || len(o.set.Spec.VolumeClaimTemplates) != 0 {
		t.Errorf("%+v", pod)
	}
	if c := pod.Containers[0].SecurityContext.Capabilities; len(c.Add) != 1 || c.Add[0] != "NET_BIND_SERVICE" || len(c.Drop) != 1 {
		t.Errorf("%+v", c)
	}
	high := read(t, ofNodes+"ports: {derp: 8443}\n").set.Spec.Template.Spec
	if !*high.SecurityContext.RunAsNonRoot || len(high.Containers[0].SecurityContext.Capabilities.Add) != 0 {
		t.Errorf("%+v", high.SecurityContext)
	}
}

// Who has left something out, or mistyped it, is told before anything is made.
func TestBadValues(t *testing.T) {
	for text, want := range map[string]string{
		"access: {managed: true}\n":                                  "hostnames: name at least one relay",
		"hostnames: [a.example]\n":                                   "access: say who may come in",
		one + "exposure: Ingress\n":                                  "exposure: choose",
		one + "tls: {mode: files}\n":                                 "tls.secretName: name the secret",
		one + "spread: never\n":                                      "spread: choose",
		"hostnames: [a.example, b.example]\naccess: {managed: true}": "mesh.secretName: relays of a region need a key",
		one + "image: {repository: \"\"}\n":                          "image.repository: name the image",
	} {
		if _, err := render(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
