package charts

import (
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"helm.sh/helm/v4/pkg/strvals"

	"github.com/detour-relay/detour/internal/pages"
)

// block is one of commands of the page about installing.
func block(t *testing.T, name string) string {
	t.Helper()
	const page = "install.md"
	p, err := pages.Read("../..", "docs/"+page)
	if err != nil {
		t.Fatal(err)
	}
	b, is := p.Block(name)
	if !is {
		t.Fatalf("%s has no %s", page, name)
	}
	return b.Text
}

// What the page gives Helm makes the region, the secret and the pod that it speaks of.
func TestThePageForKubernetes(t *testing.T) {
	text := block(t, "kubernetes-1")
	given := map[string]any{}
	for _, set := range regexp.MustCompile(`--set (?:'([^']*)'|(\S+))`).FindAllStringSubmatch(text, -1) {
		if err := strvals.ParseInto(set[1]+set[2], given); err != nil {
			t.Fatal(err)
		}
	}
	install := regexp.MustCompile(`helm install (\S+) (\S+) `).FindStringSubmatch(text)
	if install == nil || "../../"+install[2] != chartDir {
		t.Fatalf("%q", install)
	}
	documents, err := renderAs(t, install[1], given)
	if err != nil {
		t.Fatal(err)
	}
	o := decoded(t, documents)
	if *o.set.Spec.Replicas != 3 || !strings.Contains(text, "kubectl exec "+o.set.Name+"-0 ") {
		t.Errorf("%d pods of %s", *o.set.Spec.Replicas, o.set.Name)
	}
	found := false
	for _, v := range o.set.Spec.Template.Spec.Volumes {
		found = found || v.Secret != nil && strings.Contains(text, "kubectl create secret generic "+v.Secret.SecretName+" --from-file=mesh.key")
	}
	if !found {
		t.Error("the secret of the page is not that of the pods")
	}
}

// What the page gives Compose is all that the file asks for.
func TestThePageForCompose(t *testing.T) {
	text := block(t, "compose-1")
	given := types.Mapping{}
	for _, v := range regexp.MustCompile(`(DETOUR_\w+)=(\S+)`).FindAllStringSubmatch(text, -1) {
		given[v[1]] = v[2]
	}
	p, err := load(t, given)
	if err != nil || !strings.Contains(text, "--file dist/compose.yaml ") {
		t.Fatal(err, text)
	}
	if relay, err := p.GetService("relay"); err != nil || relay.Image != "detour:VERSION" || *relay.Environment["DETOUR_HOSTNAME"] != "relay.example.com" {
		t.Errorf("%+v (%v)", relay, err)
	}
}
