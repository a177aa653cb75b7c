package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/derper"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/pages"
	"github.com/detour-relay/detour/internal/yamldoc"
	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"
)

var repository = filepath.Join("..", "..")

// elsewhere are the blocks of commands that other tests run than test/docs: each reads its
// block by its name.
var elsewhere = []struct{ page, block, test string }{
	{"README.md", "connect-two-machines-1", "cmd/detour/readme_unix_test.go"},
	{"README.md", "run-a-tailnet-1", "cmd/detour/readme_unix_test.go"},
	{"README.md", "run-a-tailnet-2", "cmd/detour/readme_unix_test.go"},
	{"docs/install.md", "compose-1", "test/charts/page_test.go"},
	{"docs/install.md", "kubernetes-1", "test/charts/page_test.go"},
}

// notRun are the blocks of commands that no test can run, the command that is the reason, and why.
var notRun = []struct{ page, block, command, why string }{
	{"docs/install.md", "from-source-1", "go install ", "it asks for what is published, and not for this tree"},
	{"docs/watch.md", "the-page-1", "ssh ", "another machine has to answer, with an account of ours"},
}

// allPages are those that the repository has.
func allPages(t *testing.T) (all []*pages.Page) {
	t.Helper()
	names, err := pages.Names(repository)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		page, err := pages.Read(repository, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page)
	}
	return all
}

// shellOf is what a block has one type, "" where it has no commands.
func shellOf(b pages.Block) (shell string) {
	switch b.Lang {
	case "sh":
		return b.Text
	case "cron":
		return regexp.MustCompile(`(?m)^\S+ \S+ \S+ \S+ \S+ +`).ReplaceAllString(b.Text, "")
	case "console":
		for _, c := range b.Commands() {
			shell += c.Text
		}
	}
	return shell
}

// Each block of commands is run by a test: by a script of test/docs, by one that is named
// above and reads it, or by TestConfigurationPage. What is not run stands above with the reason.
func TestEachBlockOfCommandsIsRun(t *testing.T) {
	runs := make(map[string]int) // page and block
	count := func(page, block string) { runs[page+" "+block]++ }
	for _, e := range elsewhere {
		text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(e.test)))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), `"`+path.Base(e.page)+`"`) || !strings.Contains(string(text), `"`+e.block+`"`) {
			t.Errorf("%s does not read %s of %s", e.test, e.block, e.page)
		}
		count(e.page, e.block)
	}
	for _, n := range notRun {
		page, err := pages.Read(repository, n.page)
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := page.Block(n.block); !strings.Contains(b.Text, n.command) {
			t.Errorf("%s of %s has no %q: it can be run", n.block, n.page, n.command)
		}
		count(n.page, n.block)
	}
	ran := regexp.MustCompile(`(?m)^(?:on \S+ )?(?:run|each|serves?|show|like) ([a-z0-9_-]+)`)
	for _, page := range allPages(t) {
		script, err := os.ReadFile(filepath.Join(repository, "test", "docs", "pages", strings.ToLower(strings.TrimSuffix(path.Base(page.Name), ".md"))+".sh"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if page.Name == "docs/README.md" { // the script of that name is the other one's
			script = nil
		}
		for _, m := range ran.FindAllStringSubmatch(string(script), -1) {
			count(page.Name, m[1])
		}
		for _, b := range page.Blocks {
			key, isConfiguration := page.Name+" "+b.Name, page.Name == configurationPage && b.Lang == "console"
			if want := shellOf(b) != "" && !isConfiguration; want && runs[key] == 0 {
				t.Errorf("%s:%d: nobody runs %s", page.Name, b.Line, b.Name)
			} else if !want && runs[key] > 0 {
				t.Errorf("%s:%d: %s has no commands for others to run", page.Name, b.Line, b.Name)
			}
			delete(runs, key)
		}
	}
	for gone := range runs {
		t.Errorf("there is no %s", gone)
	}
}

// What looks like a command is in a block that says so.
func TestNoCommandIsHidden(t *testing.T) {
	for _, page := range allPages(t) {
		for _, b := range page.Blocks {
			if hidden := regexp.MustCompile(`(?m)^(\$ |(sudo |bin/)?detour [a-z]).*`).FindString(b.Text); b.Lang == "text" && hidden != "" {
				t.Errorf("%s:%d: a block of text has a command: %s", page.Name, b.Line, hidden)
			}
		}
	}
}

// Each command of ours is there as it is written, with its flags and arguments, in blocks
// and between backticks.
func TestCommandsOfPagesAreThere(t *testing.T) {
	seen, root := 0, newRootCommand()
	for _, page := range allPages(t) {
		for _, b := range page.Blocks {
			for _, args := range ourCommands(t, page.Name, b) {
				seen++
				if err := isThere(root, args, true); err != nil {
					t.Errorf("%s:%d: detour %s: %v", page.Name, b.Line, strings.Join(args, " "), err)
				}
			}
		}
		for _, c := range page.Codes {
			text, ok := strings.CutPrefix(strings.TrimPrefix(c.Text, "sudo "), "detour ")
			if !ok || page.Name == "CHANGELOG.md" { // which tells of what was
				continue
			}
			seen++
			if err := isThere(root, strings.Fields(text), false); err != nil {
				t.Errorf("%s:%d: %s: %v", page.Name, c.Line, c.Text, err)
			}
		}
	}
	if seen < 200 {
		t.Errorf("there are %d commands only", seen)
	}
}

// isThere says what is wrong with a command line; whole, also with how many arguments it has.
func isThere(root *cobra.Command, args []string, whole bool) error {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := derper.CheckDashes(root, args); err != nil {
		return err
	}
	if cmd.DisableFlagParsing {
		return nil // derper's, whose flags have tests of their own
	}
	if !whole { // what stands for a value, or is left out, is no flag
		for _, arg := range rest {
			name, isFlag := strings.CutPrefix(arg, "--")
			name, _, _ = strings.Cut(strings.Trim(name, "=,.;:"), "=")
			if isFlag && name != "" && cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil && name != "help" {
				return fmt.Errorf("there is no --%s", name)
			}
		}
		return nil
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if !cmd.Runnable() {
		return errors.New("this is no command, but several")
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// ourCommands are the arguments of each call of our program in a block.
func ourCommands(t *testing.T, page string, b pages.Block) (all [][]string) {
	t.Helper()
	file, err := syntax.NewParser().Parse(strings.NewReader(shellOf(b)), "")
	if err != nil {
		t.Errorf("%s:%d: %v", page, b.Line, err)
		return nil
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok {
			words := make([]string, len(call.Args))
			for i, word := range call.Args {
				words[i] = plain(word)
			}
			if len(words) > 0 && words[0] == "sudo" {
				words = words[1:]
			}
			if len(words) > 0 && (path.Base(words[0]) == "detour" || strings.HasSuffix(words[0], "/detour.new")) {
				all = append(all, words[1:])
			}
		}
		return true
	})
	return all
}

// plain is a word without its quotes. What the shell puts in stays as it is written.
func plain(word *syntax.Word) string {
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, word); err != nil {
		return err.Error()
	}
	return strings.NewReplacer(`"`, "", "'", "").Replace(text.String())
}

// YAML is a relay's settings, a DERP map, or that of another program, which is known.
func TestYAMLOfPagesIsRead(t *testing.T) {
	others := regexp.MustCompile(`(?m)^(apiVersion: v1|derp:|scrape_configs:|rule_files: .*|args: \[relay, .*)$`) // Kubernetes, Headscale, Prometheus, a pod
	wrong := "# wrong.yaml\n"                                                                                     // shows mistakes
	kinds := make(map[string]int)
	for _, page := range allPages(t) {
		for _, b := range page.Blocks {
			switch {
			case b.Lang != "yaml":
			case strings.HasPrefix(b.Text, wrong):
				kinds["wrong"]++
				if config.Load(config.Sources{File: "wrong.yaml", Contents: []byte(b.Text)}).Err() == nil {
					t.Errorf("%s:%d: nothing is wrong with it", page.Name, b.Line)
				}
			case others.MatchString(b.Text):
				kinds["other"]++
				if !yamldoc.Parses([]byte(b.Text)) {
					t.Errorf("%s:%d: this is no YAML", page.Name, b.Line)
				}
			case strings.HasPrefix(b.Text, "regions:"):
				kinds["map"]++
				if findings := derpmap.Lint([]byte(b.Text), derpmap.LintConfig{Form: derpmap.YAML}); len(findings) > 0 {
					t.Errorf("%s:%d: %v", page.Name, b.Line, findings)
				}
			default:
				kinds["settings"]++
				if err := config.Load(config.Sources{File: "relay.yaml", Contents: []byte(b.Text)}).Err(); err != nil {
					t.Errorf("%s:%d: %v", page.Name, b.Line, err)
				}
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("there is no longer all of it: %v", kinds)
	}
}

const configurationPage = "docs/configuration.md"

var asRoot = regexp.MustCompile(`(?m) \(looked at as root.*\)$`)

// The commands in docs/configuration.md print what stands beneath them. A block of
// YAML that begins with the name of a file is that file.
func TestConfigurationPage(t *testing.T) {
	page, err := pages.Read(repository, configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := map[string]string{"members": "nodekey:" + strings.Repeat("ab", 32) + " label=alice\n"}
	var commands []pages.Command
	for _, b := range page.Blocks {
		if name := regexp.MustCompile(`^# (\S+\.yaml)\n`).FindStringSubmatch(b.Text); name != nil {
			files[name[1]] = b.Text
		}
		if b.Lang == "console" {
			commands = append(commands, b.Commands()...)
		}
	}
	for name, contents := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 3 || len(commands) < 6 {
		t.Fatalf("the page has %d files and %d commands only", len(files), len(commands))
	}
	for _, command := range commands {
		run := exec.Command("sh", "-c", command.Text)
		run.Dir = dir
		out, _ := run.CombinedOutput() // the status is that of what is shown to be wrong
		if got := asRoot.ReplaceAllString(string(out), ""); got != command.Output {
			t.Errorf("%s\nprints\n%snot\n%s", command.Text, got, command.Output)
		}
	}
}
