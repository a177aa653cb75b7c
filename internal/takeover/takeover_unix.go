//go:build unix

package takeover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

// A Takeover hands the sockets of this process to the one that replaces it. A nil
// one has nothing to hand over, and takes nothing over.
type Takeover struct {
	upgrader *tableflip.Upgrader
	settings []byte         // of the process before; set once
	signals  chan os.Signal // gets SIGUSR2
	asked    chan request
}

// A request asks for a takeover.
type request struct {
	settings []byte
	result   chan<- error // gets nil when the next process is ready
}

// settingsName is the name under which settings are handed over.
const settingsName = "settings"

// New may be called once in a process. From then on SIGUSR2 does not end it any
// more, also while it drains.
func New() (*Takeover, error) {
	upgrader, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return nil, err
	}
	settings, err := inheritedSettings(upgrader.Fds)
	if err != nil {
		return nil, fmt.Errorf("settings of the process before: %w", err)
	}
	t := &Takeover{upgrader: upgrader, settings: settings, signals: make(chan os.Signal, 1), asked: make(chan request)}
	signal.Notify(t.signals, syscall.SIGUSR2)
	return t, nil
}

// Listener returns the listener of that name from the process before; nil if
// there is none.
func (t *Takeover) Listener(name string) (net.Listener, error) {
	if t == nil {
		return nil, nil
	}
	return t.upgrader.Listener("tcp", name)
}

// Keep has a listener handed on to the next process.
func (t *Takeover) Keep(name string, listener net.Listener) error {
	if t == nil {
		return nil
	}
	socket, ok := listener.(tableflip.Listener)
	if !ok {
		return errors.New("the listener has no socket")
	}
	return t.upgrader.AddListener("tcp", name, socket)
}

// PacketConn returns the UDP socket of that name from the process before; nil if
// there is none.
func (t *Takeover) PacketConn(name string) (*net.UDPConn, error) {
	if t == nil {
		return nil, nil
	}
	file, err := t.upgrader.File(name)
	if file == nil || err != nil {
		return nil, err
	}
	defer file.Close()
	socket, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	udp, ok := socket.(*net.UDPConn)
	if !ok {
		return nil, errors.New("what the process before handed over is no UDP socket")
	}
	return udp, nil
}

// File returns a copy of the file of that name from the process before; nil if there
// is none.
func (t *Takeover) File(name string) (*os.File, error) {
	if t == nil {
		return nil, nil
	}
	return t.upgrader.File(name)
}

// KeepFile has a copy of a file handed on to the next process.
func (t *Takeover) KeepFile(name string, file *os.File) error {
	if t == nil {
		return nil
	}
	return t.upgrader.AddFile(name, file)
}

// Settings are what the process before has this one run with instead of what its
// arguments and files say: those of the reload that has asked for this process. Empty:
// nothing, after SIGUSR2, since who starts the program anew expects it to read its
// settings anew, too.
func (t *Takeover) Settings() []byte {
	if t == nil {
		return nil
	}
	return t.settings
}

// inheritedSettings reads what [Takeover.Settings] returns.
func inheritedSettings(fds *tableflip.Fds) ([]byte, error) {
	file, err := fds.File(settingsName)
	if file == nil || err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.NewSectionReader(file, 0, 1<<20)) // the copies of a file share their offset
}

// TakesOver reports whether this process replaces another.
func (t *Takeover) TakesOver() bool { return t != nil && t.upgrader.HasParent() }

// Ready tells the process before, if there is one, that it may go.
func (t *Takeover) Ready() error {
	if t == nil {
		return nil
	}
	return t.upgrader.Ready()
}

// Possible says why no other process can take over from this one; nil: one can.
func (t *Takeover) Possible() error {
	switch {
	case t == nil:
		return errors.New("nothing can take over from this process")
	case os.Getpid() == 1:
		return errors.New("this is process 1, whose end is the end of the container: replace the container instead")
	}
	return nil
}

// Ask has the next process started with the settings, and returns nil when it is
// ready. It needs somebody who watches.
func (t *Takeover) Ask(ctx context.Context, settings []byte) error {
	if err := t.Possible(); err != nil {
		return err
	}
	result := make(chan error, 1)
	select {
	case t.asked <- request{settings, result}:
		return <-result // bounded by the time that tableflip gives a process
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Watch starts the next process whenever SIGUSR2 comes or somebody asks, until one
// has become ready or ctx is done. It reports whether one has. Before each attempt it
// prepares what shall be between the two processes; undo is called if the next one does
// not become ready. A nil prepare has nothing to do.
func (t *Takeover) Watch(ctx context.Context, prepare Prepare, log *slog.Logger) bool {
	if t == nil {
		<-ctx.Done()
		return false
	}
	defer context.AfterFunc(ctx, t.upgrader.Stop)() // ends an attempt that is under way
	for {
		select {
		case <-ctx.Done():
			t.release()
			return false
		case <-t.signals:
			if t.signalled(ctx, prepare, log) {
				return true
			}
		case asked := <-t.asked:
			err := t.reconfigure(prepare, asked.settings)
			asked.result <- err
			if err == nil {
				return true
			}
		}
	}
}

// signalled answers a SIGUSR2. It reports whether another process has taken over.
func (t *Takeover) signalled(ctx context.Context, prepare Prepare, log *slog.Logger) bool {
	if err := t.Possible(); err != nil {
		log.Error("SIGUSR2: this process goes on", "reason", err)
		return false
	}
	log.Info("SIGUSR2: starting the program anew")
	err := t.keepSettings(nil) // it reads its own: what this process was told may be long ago
	if err == nil {
		err = t.upgrade(prepare)
	}
	if err != nil && ctx.Err() == nil {
		log.Error("SIGUSR2: the new process did not take over; this one goes on", "reason", err)
	}
	return err == nil
}

// release closes the copies of the sockets that were kept for the next process. As
// long as there is one, a listener that was closed takes connections all the same,
// which nobody answers.
func (t *Takeover) release() {
	t.upgrader.Stop()
	<-t.upgrader.Exit()
}

// reconfigure is upgrade to a process with other settings. What this process runs
// with is handed on again if that process does not become ready.
func (t *Takeover) reconfigure(prepare Prepare, settings []byte) error {
	if err := t.keepSettings(settings); err != nil {
		return err
	}
	err := t.upgrade(prepare)
	if err != nil {
		err = errors.Join(err, t.keepSettings(t.settings))
	}
	return err
}

// keepSettings has a file with the settings handed on. The file has no name, so
// that nothing is left of it.
func (t *Takeover) keepSettings(settings []byte) error {
	file, err := os.CreateTemp("", "detour-settings-") // 0600
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	if _, err := file.Write(settings); err != nil {
		return err
	}
	return t.upgrader.AddFile(settingsName, file)
}

// upgrade prepares and starts the next process.
func (t *Takeover) upgrade(prepare Prepare) error {
	undo := func() {}
	if prepare != nil {
		var err error
		if undo, err = prepare(); err != nil {
			return err
		}
	}
	err := t.startNext()
	if err != nil {
		undo()
	}
	return err
}

// A process that has just ended may not be known to have: who asks at that moment waits
// for endTime.
const endTime, endLook = time.Second, 20 * time.Millisecond

func (t *Takeover) startNext() error {
	for begun := time.Now(); ; time.Sleep(endLook) {
		err := t.upgrader.Upgrade()
		switch {
		case err == nil || err.Error() != "parent hasn't exited": // of tableflip, which has no variable for it
			return err
		case time.Since(begun) > endTime:
			return errors.New("the process before this one still drains: try again when it has ended")
		}
	}
}
