package derpmap_test

import (
	"fmt"

	"github.com/detour-relay/detour/derpmap"
)

func ExampleLint() {
	source := []byte(`{
  "Regions": {
    "900": {"RegionID": 901, "RegionCode": "fra", "RegionName": "Frankfurt", "Nodes": [
      {"Name": "900a", "RegionID": 900, "HostName": "https://relay.example.com"}
    ]}
  }
}`)
	for _, finding := range derpmap.Lint(source, derpmap.LintConfig{}) {
		fmt.Println(finding.Error())
	}
	// Output:
	// 3:25: error: Regions.900.RegionID: RegionID is 901, but the key of the region is 900; make the two the same [region-id-mismatch]
	// 4:53: error: Regions.900.Nodes[0].HostName: "https://relay.example.com" is a URL; a HostName has no scheme; write relay.example.com [hostname-scheme]
}

func ExampleMap_Encode() {
	m, err := derpmap.Load([]byte(`{"Regions": {"900": {"RegionID": 900, "RegionCode": "fra", "RegionName": "Frankfurt", "Nodes": [
		{"Name": "900a", "RegionID": 900, "HostName": "relay.example.com", "STUNPort": -1},
	]}}}`), "")
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := m.Encode(derpmap.YAML)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(text))
	// Output:
	// regions:
	//   900:
	//     regionid: 900
	//     regioncode: fra
	//     regionname: Frankfurt
	//     nodes:
	//       - name: 900a
	//         regionid: 900
	//         hostname: relay.example.com
	//         stunport: -1
}

// Others can check their own code against these scores; docs/node-order.md tells how they come about.
func ExampleOrder() {
	nodes := []*derpmap.Node{{Name: "900a"}, {Name: "900b"}, {Name: "900c"}}
	for _, tailnet := range []string{"example.com", "tailnet.example"} {
		for _, n := range derpmap.Order(tailnet, nodes) {
			fmt.Printf("%s %s %016x\n", tailnet, n.Name, derpmap.Score(tailnet, n.Name))
		}
	}
	// Output:
	// example.com 900b f03bd6a8def15831
	// example.com 900c 80b12eab5a7c561f
	// example.com 900a 76e7d29fbf3c6780
	// tailnet.example 900c defb06d316afddaa
	// tailnet.example 900a a65a5a8aba738454
	// tailnet.example 900b 8dddb31d1b434a66
}
