// Package unit installs a relay, or a member of a tailnet, as a service of systemd: the
// program, the user, the unit, and what of it has to be started. What is right already
// stays as it is.
package unit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/detour-relay/detour/internal/smallfile"
)

// Where things are. All services of this program are one user, with a directory each
// below StateDir.
const (
	Program  = "/usr/local/bin/detour"
	User     = "detour"
	StateDir = "/var/lib/detour"

	units   = "/etc/systemd/system/"
	shipped = "/usr/lib/systemd/system/" // where a package has its units
	booted  = "/run/systemd/system"      // is there where systemd runs
)

// The names of services.
const (
	Relay  = "detour"
	Member = "detour-up"
)

// FileOf is where the unit of a service is.
func FileOf(name string) string { return units + name + ".service" }

// Config says what is installed.
type Config struct {
	Root    string   // stands before all paths; empty: none
	Name    string   // of the service
	Unit    string   // the text of the unit
	Program string   // the one that runs now
	Args    []string // of its command line
	Files   []string // those of Args that are files
	Changed bool     // a running service has to take over its settings
	Replace bool     // a unit that somebody has changed, too
}

func (c Config) file() string { return FileOf(c.Name) }

// A Step is something that was done, or that was right already.
type Step struct {
	What string `json:"what"`
	Done bool   `json:"done"`
}

// An Installer has made the program and the user be there.
type Installer struct {
	Config
	steps   []Step
	restart bool
}

// ErrNone is that of Check where there is no systemd.
var ErrNone = errors.New("systemd does not run here")

// Check looks whether Install can begin.
func Check(c Config) error {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return fmt.Errorf("%w: there is no systemctl", ErrNone)
	}
	if _, err := os.Stat(c.Root + booted); err != nil {
		return fmt.Errorf("%w: there is no %s", ErrNone, c.Root+booted)
	}
	if c.Root == "" && os.Geteuid() != 0 {
		return errors.New("only root can install a service: begin the command with sudo")
	}
	if all := Hidden(c.Files); len(all) > 0 {
		return fmt.Errorf("the unit keeps the service out of home directories and /tmp, so it cannot read %s: put it into /etc/detour", all[0])
	}
	return nil
}

// hidden reports whether the unit keeps a path from the service (ProtectHome=, PrivateTmp=).
func hidden(path string) bool {
	for _, dir := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} {
		if strings.HasPrefix(path, dir) {
			return true
		}
	}
	return false
}

// Hidden are those of the files that the unit keeps from the service.
func Hidden(files []string) (all []string) {
	for _, f := range files {
		if hidden(f) {
			all = append(all, f)
		}
	}
	return all
}

// Prepare makes the program and the user be there, so that files can be given to it.
// Install does the rest.
func Prepare(ctx context.Context, c Config) (*Installer, error) {
	i := &Installer{Config: c}
	if err := i.program(); err != nil {
		return nil, err
	}
	return i, i.user(ctx)
}

func (i *Installer) did(format string, args ...any) {
	i.steps = append(i.steps, Step{fmt.Sprintf(format, args...), true})
}

func (i *Installer) kept(format string, args ...any) {
	i.steps = append(i.steps, Step{fmt.Sprintf(format, args...), false})
}

// program copies the program to where the service may start it, unless it is at such a
// place.
func (i *Installer) program() error {
	if real, err := filepath.EvalSymlinks(i.Program); err == nil {
		i.Program = real
	}
	for _, dir := range []string{"/usr/", "/opt/", "/bin/"} {
		if strings.HasPrefix(i.Program, dir) && i.Root == "" {
			i.kept("the program is %s", i.Program)
			return nil
		}
	}
	from, to := i.Program, i.Root+Program
	i.Program = Program
	switch same, err := sameFile(from, to); {
	case err == nil && same:
		i.kept("the program is %s", Program)
		return nil
	case err == nil:
		i.kept("%s is another build than this one and stays: to use this one, install -m 755 %s %s", Program, from, Program)
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := copyFile(from, to); err != nil {
		return fmt.Errorf("%s cannot be made: %w", to, err)
	}
	i.did("%s is a copy of this program", Program)
	return nil
}

// sameFile compares what two files hold.
func sameFile(a, b string) (bool, error) {
	infoB, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	infoA, err := os.Stat(a)
	if err != nil || infoA.Size() != infoB.Size() {
		return false, err
	}
	textA, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	textB, err := os.ReadFile(b)
	return string(textA) == string(textB), err
}

// copyFile makes a program that appears whole or not at all.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	aside, err := os.CreateTemp(filepath.Dir(to), ".detour")
	if err != nil {
		return err
	}
	defer os.Remove(aside.Name())
	_, err = io.Copy(aside, source)
	if err = errors.Join(err, aside.Chmod(0o755), aside.Sync(), aside.Close()); err != nil {
		return err
	}
	return os.Rename(aside.Name(), to)
}

// user makes the one that the service runs as.
func (i *Installer) user(ctx context.Context) error {
	if _, _, err := i.Owner(); err == nil {
		i.kept("there is a user %s", User)
		return nil
	}
	if err := run(ctx, "useradd", "--system", "--user-group", "--no-create-home", "--home-dir", StateDir, "--shell", "/usr/sbin/nologin", User); err != nil {
		return fmt.Errorf("the user %s cannot be made: %w", User, err)
	}
	i.did("there is a user %s now", User)
	return nil
}

// Owner are the numbers of the user of the service and of its group.
func (c Config) Owner() (uid, gid int, err error) {
	return lookUser(c.Root+"/etc/passwd", User)
}

// lookUser finds a user in a file of them.
func lookUser(file, name string) (uid, gid int, err error) {
	text, err := smallfile.Read(file, 16<<20)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 || f[0] != name {
			continue
		}
		if uid, err = strconv.Atoi(f[2]); err == nil {
			gid, err = strconv.Atoi(f[3])
		}
		return uid, gid, err
	}
	return 0, 0, fmt.Errorf("%s has no user %s", file, name)
}

// Install writes the unit and starts the service, or has it take over what has changed.
func (i *Installer) Install(ctx context.Context) ([]Step, error) {
	if err := i.write(ctx); err != nil {
		return i.steps, err
	}
	return i.steps, i.start(ctx)
}

func (i *Installer) write(ctx context.Context) error {
	unit := Fit(i.Unit, i.Program, i.Args, version(ctx))
	path := i.Root + i.file()
	there, err := smallfile.Read(path, 1<<20)
	switch {
	case errors.Is(err, fs.ErrNotExist) && i.shipped(unit):
		i.kept("the unit is that of the package")
		return nil
	case err == nil && string(there) == unit:
		i.kept("%s is as it should be", i.file())
		return nil
	case err == nil && !i.Replace:
		i.kept("%s is not the one of this version and stays as it is", i.file())
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return smallfile.ExplainWrite(path, err)
	}
	if err := smallfile.WriteOver(path, []byte(unit), 0o644); err != nil {
		return err
	}
	i.restart = true
	i.did("%s is written", i.file())
	if err := run(ctx, "systemctl", "daemon-reload"); err != nil {
		return fmt.Errorf("systemd does not read the unit: %w", err)
	}
	return nil
}

// The first versions of systemd that have units of that type, and ever longer waits
// between restarts.
const (
	notifyReload = 253
	restartSteps = 254
)

// shipped reports whether a package has brought the unit, as it should be: a file beside it
// would hide what the next version brings.
func (i *Installer) shipped(unit string) bool {
	there, err := smallfile.Read(i.Root+shipped+i.Name+".service", 1<<20)
	return err == nil && (string(there) == unit || string(there) == Fit(i.Unit, i.Program, i.Args, Oldest))
}

// Oldest is a version whose unit every systemd understands that is in use.
const Oldest = notifyReload - 1

// Fit is the unit for a command line and a version of systemd; 0: nobody knows it.
func Fit(unit, program string, args []string, version int) string {
	var b strings.Builder
	even := version > 0 && version < restartSteps && strings.Contains(unit, "\nRestartSteps=") // all waits are the same
	for line := range strings.Lines(unit) {
		switch {
		case strings.HasPrefix(line, "ExecStart="):
			line = "ExecStart=" + quote(program)
			for _, arg := range args {
				line += " " + quote(arg)
			}
			line += "\n"
		case strings.HasPrefix(line, "Type=notify-reload") && version > 0 && version < notifyReload:
			line = "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n"
		case even && strings.HasPrefix(line, "RestartSec="):
			line = "RestartSec=5\n"
		case even && (strings.HasPrefix(line, "RestartSteps=") || strings.HasPrefix(line, "RestartMaxDelaySec=")):
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// quote writes a word into a command line of a unit.
func quote(word string) string {
	word = strings.NewReplacer("%", "%%", "$", "$$").Replace(word)
	if word == "" || strings.ContainsAny(word, " \t\n\"'\\;") {
		return strconv.Quote(word)
	}
	return word
}

// version is that of systemd; 0: it does not say.
func version(ctx context.Context) int {
	out, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	if err != nil {
		return 0
	}
	words := strings.Fields(string(out))
	if len(words) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(words[1])
	return n
}

func (i *Installer) start(ctx context.Context) error {
	if run(ctx, "systemctl", "is-enabled", "--quiet", i.Name) == nil {
		i.kept("the service starts with the machine")
	} else if err := run(ctx, "systemctl", "enable", i.Name); err != nil {
		return fmt.Errorf("the service is not to be started with the machine: %w", err)
	} else {
		i.did("the service starts with the machine from now on")
	}
	verb, done := "", ""
	switch active := run(ctx, "systemctl", "is-active", "--quiet", i.Name) == nil; {
	case !active:
		verb, done = "start", "the service runs now"
	case i.restart:
		verb, done = "restart", "the service was started anew"
	case i.Changed:
		verb, done = "reload", "the service has taken over the settings"
	default:
		i.kept("the service runs")
		return nil
	}
	if err := run(ctx, "systemctl", verb, i.Name); err != nil {
		return fmt.Errorf("systemctl %s %s: %w: journalctl -u %[2]s -n 30 says why", verb, i.Name, err)
	}
	i.did("%s", done)
	return nil
}

// run runs a program of the system. Its error is what that has said.
func run(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if said := strings.Join(strings.Fields(string(out)), " "); err != nil && said != "" {
		return fmt.Errorf("%w: %s", err, said)
	}
	return err
}
