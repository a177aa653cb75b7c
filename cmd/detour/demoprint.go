package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/demo"
)

// A demoReport is what a demo says of itself once it is ready. The JSON names are stable.
type demoReport struct {
	Regions     []demoRegionReport `json:"regions"`
	Map         demoMapReport      `json:"map"`
	MeshKeyFile string             `json:"mesh_psk_file"`
	Coordinator demoCoordReport    `json:"coordinator"`
	Commands    []string           `json:"commands"` // to go on with
}

type demoRegionReport struct {
	ID    int              `json:"id"`
	Code  string           `json:"code"`
	Name  string           `json:"name"`
	Nodes []demoNodeReport `json:"nodes"`
}

type demoNodeReport struct {
	Name      string `json:"name"`
	URL       string `json:"url"`
	CertName  string `json:"cert_name"`
	ServerKey string `json:"server_key"`
	STUN      string `json:"stun"` // UDP address
}

type demoMapReport struct {
	URL  string `json:"url"`
	File string `json:"file"`
}

type demoCoordReport struct {
	URL      string `json:"url"`
	CertName string `json:"cert_name"`
	Socket   string `json:"admin_socket"` // empty: none
}

func newDemoReport(now demo.State) demoReport {
	r := demoReport{Map: demoMapReport{now.MapURL, now.MapFile}, MeshKeyFile: now.MeshKeyFile, Coordinator: demoCoordReport(now.Coordinator)}
	for _, region := range now.Regions {
		entry := demoRegionReport{ID: region.ID, Code: region.Code, Name: region.Name}
		for _, node := range region.Nodes {
			entry.Nodes = append(entry.Nodes, demoNodeReport(node))
		}
		r.Regions = append(r.Regions, entry)
	}
	r.Commands = r.commands()
	return r
}

// commands are those that a newcomer may try, ready to be copied.
func (r demoReport) commands() []string {
	nodes := r.Regions[0].Nodes
	commands := []string{
		"detour netcheck " + r.Map.URL,
		fmt.Sprintf("detour check --local --mesh-psk-file %s %s", shellWord(r.MeshKeyFile), r.Map.URL),
		fmt.Sprintf("detour ping --cert-name %s %s", nodes[0].CertName, nodes[0].URL),
	}
	if len(nodes) > 1 {
		commands = append(commands, fmt.Sprintf("detour ping --cert-name %s --cert-name2 %s %s %s",
			nodes[0].CertName, nodes[1].CertName, nodes[0].URL, nodes[1].URL))
	}
	return append(commands, r.Coordinator.commands()...)
}

// commands make a tailnet with two members.
func (c demoCoordReport) commands() []string {
	if c.Socket == "" {
		return nil
	}
	at := " home --admin-socket " + shellWord(c.Socket)
	return []string{
		"detour net create" + at,
		"detour net invite" + at + " | detour join - --name anna --state anna.json",
		"detour net invite" + at + " | detour join - --name bob --state bob.json",
	}
}

// shellWord puts a path with spaces into quotes, which all shells understand.
func shellWord(path string) string {
	if strings.ContainsAny(path, " ()&;'") {
		return `"` + path + `"`
	}
	return path
}

func (r demoReport) print(w io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(r)
	}
	_, err := io.WriteString(w, r.text())
	return err
}

// text is the report for a person.
func (r demoReport) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "The demo is ready: %s with %s each.\n\n", cli.Counted(len(r.Regions), "region"), cli.Counted(len(r.Regions[0].Nodes), "relay"))
	for _, region := range r.Regions {
		fmt.Fprintf(&b, "%d %s\n", region.ID, region.Code)
		for _, node := range region.Nodes {
			fmt.Fprintf(&b, "  %-9s %s\n", node.Name, node.URL)
		}
	}
	fmt.Fprintf(&b, "\nmap         %s\n            %s\nmesh key    %s\ncoordinator %s\n", r.Map.URL, r.Map.File, r.MeshKeyFile, r.Coordinator.URL)
	fmt.Fprintf(&b, "\nTry, in another terminal:\n\n")
	for _, command := range r.Commands {
		fmt.Fprintf(&b, "  %s\n", command)
	}
	fmt.Fprintf(&b, "\nCtrl-C ends it.\n")
	return b.String()
}
