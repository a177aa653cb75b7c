//go:build unix

package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/detour-relay/detour/dist"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a root directory, with systemctl and useradd in the PATH that note what
// they are asked for. Systemctl is of this version, and what it is asked about is so as
// files say.
type machine struct {
	Config
	dir string
}

func newMachine(t *testing.T, version int) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{dir: dir, Config: Config{Root: filepath.Join(dir, "root"), Unit: dist.Unit, Program: filepath.Join(dir, "detour"), Name: Relay, Args: []string{"relay", "--config", "/etc/detour/relay.yaml"}, Files: []string{"/etc/detour/relay.yaml"}}}
	m.file(t, "detour", "a program", 0o755)
	m.file(t, "bin/systemctl", fmt.Sprintf(`#!/bin/sh
echo "systemctl $*" >>%[1]s/asked
case "$1 $2" in
--version*) echo "systemd %[2]d (%[2]d.1)";;
is-enabled*) test -e %[1]s/enabled;;
is-active*) test -e %[1]s/active;;
enable*) touch %[1]s/enabled;;
start*|restart*) if [ -e %[1]s/broken ]; then echo "Job for detour.service failed."; exit 1; fi; touch %[1]s/active;;
esac
`, dir, version), 0o755)
	m.file(t, "bin/useradd", fmt.Sprintf("#!/bin/sh\necho \"useradd $*\" >>%s/asked\necho 'detour:x:%d:%d::/:/bin/false' >>%s/root/etc/passwd\n", dir, os.Getuid(), os.Getgid(), dir), 0o755)
	m.file(t, "root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	if err := os.MkdirAll(m.Root+booted, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	return m
}

func (m *machine) file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// asked is what the system's programs were asked for since the last time.
func (m *machine) asked(t *testing.T) []string {
	t.Helper()
	path := filepath.Join(m.dir, "asked")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	os.Remove(path)
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func (m *machine) install(t *testing.T) (done []string, err error) {
	t.Helper()
	if err := Check(m.Config); err != nil {
		return nil, err
	}
	i, err := Prepare(t.Context(), m.Config)
	if err != nil {
		return nil, err
	}
	steps, err := i.Install(t.Context())
	for _, s := range steps {
		if s.Done {
			done = append(done, s.What)
		}
	}
	return done, err
}

// A machine that has nothing gets all of it; what is right stays as it is; what has
// changed counts.
func TestInstall(t *testing.T) {
	m := newMachine(t, 255)
	done, err := m.install(t)
	want := []string{"/usr/local/bin/detour is a copy of this program", "there is a user detour now", "/etc/systemd/system/detour.service is written", "the service starts with the machine from now on", "the service runs now"}
	if err != nil || !reflect.DeepEqual(done, want) {
		t.Errorf("%v, %q", err, done)
	}
	if got, want := m.asked(t), []string{
		"useradd --system --user-group --no-create-home --home-dir /var/lib/detour --shell /usr/sbin/nologin detour", "systemctl --version", "systemctl daemon-reload",
		"systemctl is-enabled --quiet detour", "systemctl enable detour", "systemctl is-active --quiet detour", "systemctl start detour",
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	if text, err := os.ReadFile(m.Root + FileOf(Relay)); err != nil || string(text) != dist.Unit {
		t.Errorf("%v: %s", err, text)
	}

	if done, err := m.install(t); err != nil || done != nil {
		t.Errorf("again: %v, %q", err, done)
	}
	m.asked(t)
	m.Changed = true
	if done, err := m.install(t); err != nil || !reflect.DeepEqual(done, []string{"the service has taken over the settings"}) {
		t.Errorf("other settings: %v, %q", err, done)
	}
	if got := strings.Join(m.asked(t), "\n"); !strings.HasSuffix(got, "\nsystemctl reload detour") {
		t.Error(got)
	}

	// What somebody has changed stays, unless he says otherwise.
	m.Changed = false
	m.file(t, "root"+FileOf(Relay), "[Service]\nExecStart=x\n", 0o644)
	if done, err := m.install(t); err != nil || done != nil {
		t.Errorf("another unit: %v, %q", err, done)
	}
	m.Replace = true
	if done, err := m.install(t); err != nil || !reflect.DeepEqual(done, []string{"/etc/systemd/system/detour.service is written", "the service was started anew"}) {
		t.Errorf("replaced: %v, %q", err, done)
	}
	// Another build than the one that is there does not take its place unasked.
	m.file(t, "detour", "another program", 0o755)
	if done, err := m.install(t); err != nil || done != nil {
		t.Errorf("another build: %v, %q", err, done)
	}
	if text, _ := os.ReadFile(m.Root + Program); string(text) != "a program" {
		t.Errorf("%s", text)
	}
}

// The unit of a package is used as it is, and hidden by another only if that is another.
func TestInstallOverAPackage(t *testing.T) {
	m := newMachine(t, 255)
	m.file(t, "root/usr/lib/systemd/system/detour.service", Fit(dist.Unit, Program, m.Args, Oldest), 0o644)
	if done, err := m.install(t); err != nil || slices.Contains(done, "/etc/systemd/system/detour.service is written") || !slices.Contains(done, "the service runs now") {
		t.Errorf("%v, %q", err, done)
	}
	if _, err := os.Stat(m.Root + FileOf(Relay)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a second unit (%v)", err)
	}
	m.Args = []string{"relay", "--config", "/etc/detour/other.yaml"}
	if done, err := m.install(t); err != nil || !slices.Contains(done, "/etc/systemd/system/detour.service is written") {
		t.Errorf("another command line: %v, %q", err, done)
	}
}

func TestInstallFails(t *testing.T) {
	m := newMachine(t, 252)
	m.file(t, "broken", "", 0o644)
	_, err := m.install(t)
	if err == nil || !strings.Contains(err.Error(), "systemctl start detour: exit status 1: Job for detour.service failed.: journalctl -u detour -n 30 says why") {
		t.Error(err)
	}
	if text, _ := os.ReadFile(m.Root + FileOf(Relay)); !strings.Contains(string(text), "\nType=notify\nExecReload=/bin/kill -HUP $MAINPID\n") {
		t.Errorf("%s", text)
	}
	os.RemoveAll(m.Root + booted)
	if _, err := m.install(t); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	m = newMachine(t, 255)
	m.Files = []string{"/home/me/relay.yaml"}
	if _, err := m.install(t); err == nil || !strings.Contains(err.Error(), "so it cannot read /home/me/relay.yaml: put it into /etc/detour") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := m.install(t); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

func TestFit(t *testing.T) {
	got := Fit("[Service]\nType=notify-reload\nExecStart=/usr/local/bin/detour relay --config /etc/detour/relay.yaml\nUser=detour\n", "/opt/detour/bin/detour", []string{"relay", "--config", "/etc/100% ours/relay.yaml"}, 0)
	if want := "[Service]\nType=notify-reload\nExecStart=/opt/detour/bin/detour relay --config \"/etc/100%% ours/relay.yaml\"\nUser=detour\n"; got != want {
		t.Errorf("%s", got)
	}
	if Fit(dist.Unit, Program, []string{"relay", "--config", "/etc/detour/relay.yaml"}, notifyReload) != dist.Unit {
		t.Error("the unit is not the one for what it names")
	}
	if got := Fit("ExecStart=x\n", Program, []string{"up", "--socks=", "", "a\nb", "$x", `c"d`}, 0); got != `ExecStart=/usr/local/bin/detour up --socks= "" "a\nb" $$x "c\"d"`+"\n" {
		t.Errorf("%s", got)
	}
}

// A credential is one that the unit, or what was added to it, has.
func TestHasCredential(t *testing.T) {
	m := newMachine(t, 255)
	if m.HasCredential("relay.key") {
		t.Error("there is no unit")
	}
	m.file(t, "root"+FileOf(Relay), dist.Unit, 0o644)
	if m.HasCredential("relay.key") {
		t.Error("it is commented out")
	}
	m.file(t, "root"+FileOf(Relay)+".d/override.conf", "[Service]\nLoadCredential=relay.key:/etc/ssl/a.key\nLoadCredential=token\n", 0o644)
	if !m.HasCredential("relay.key") || !m.HasCredential("token") || m.HasCredential("relay") || m.HasCredential("relay.crt") {
		t.Error("it has relay.key and token")
	}
}

// What the service may not read is said with what helps.
func TestReads(t *testing.T) {
	dir, err := os.MkdirTemp("/var", "detour") // not where the unit looks at nothing
	if err != nil {
		dir = t.TempDir() // as a user who may not write there
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, 255)
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	public, secret, ofGroup := file("relay.crt", 0o644), file("relay.key", 0o600), file("group.key", 0o640)
	shut := file("live/a/privkey.pem", 0o644)
	if err := os.Chmod(filepath.Join(dir, "live"), 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link.pem")
	if err := os.Symlink(shut, link); err != nil {
		t.Fatal(err)
	}
	check := func(path, want string) {
		t.Helper()
		got := ""
		if err := m.Reads(path); err != nil {
			got = err.Error()
		}
		if hidden(dir) {
			want = "the unit keeps the service out"
		}
		if !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	other := strconv.Itoa(os.Getuid() + 1)
	for _, passwd := range []string{"", "detour:x:" + other + ":" + strconv.Itoa(os.Getgid()+1) + "::/:/bin/false\n"} { // before and after it is made
		m.file(t, "root/etc/passwd", passwd, 0o644)
		check(public, "")
		check(secret, "may not read it (-rw-------): copy it with install -g detour -m 640, or have systemd hand it over: LoadCredential=relay.key:"+secret)
		check(ofGroup, "may not read it")
		check(shut, "may not enter "+filepath.Join(dir, "live")+" (drwx------)")
		check(link, "may not enter "+filepath.Join(dir, "live"))
		check(filepath.Join(dir, "gone"), "")
	}
	m.file(t, "root/etc/group", "ssl:x:"+strconv.Itoa(os.Getgid())+":a,detour\n", 0o644)
	check(ofGroup, "")
	check(secret, "may not read it")
	m.file(t, "root/etc/passwd", "detour:x:"+strconv.Itoa(os.Getuid())+":1::/:/bin/false\n", 0o644)
	check(secret, "")
	if err := m.Reads("/home/me/relay.key"); err == nil || !strings.Contains(err.Error(), "the unit keeps the service out of home directories") {
		t.Error(err)
	}
}

// A service ends for good, and what it has kept stays.
func TestUninstall(t *testing.T) {
	m := newMachine(t, 252)
	m.Name, m.Unit, m.Args = Member, dist.MemberUnit, []string{"up", "--state", StateDir + "/members/member-home.json"}
	state := m.file(t, "root"+StateDir+"/members/member-home.json", "{}", 0o600)
	if _, err := m.install(t); err != nil {
		t.Fatal(err)
	}
	if err := m.Give(StateDir + "/members"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(m.Root + FileOf(Member)); err != nil || strings.Contains(string(text), "RestartSteps") || !strings.Contains(string(text), "\nRestartSec=5\n") {
		t.Errorf("a unit for an older systemd: %v\n%s", err, text)
	}
	if m.asked(t); !m.Runs(t.Context()) {
		t.Error("it does not run")
	}
	steps, err := Uninstall(t.Context(), m.Config)
	if want := []Step{{"the service has ended, and does not start with the machine any more", true}, {"/etc/systemd/system/detour-up.service is gone", true}}; err != nil || !reflect.DeepEqual(steps, want) {
		t.Errorf("%v, %+v", err, steps)
	}
	if got := strings.Join(m.asked(t), ", "); got != "systemctl is-active --quiet detour-up, systemctl disable --now detour-up, systemctl daemon-reload" {
		t.Error(got)
	}
	if _, err := os.Stat(state); err != nil {
		t.Error(err)
	}
	if steps, err := Uninstall(t.Context(), m.Config); err != nil || len(steps) != 1 || steps[0].Done {
		t.Errorf("again: %v, %+v", err, steps)
	}
}
