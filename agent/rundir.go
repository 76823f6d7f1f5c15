// Slow path: the run directory, where the sockets of running bridges are.

package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// DefaultRunDir is the run directory when neither flag nor file names one: what
// Open vSwitch's tools look at (OVS_RUNDIR), else /run/weir for root and a folder of
// the user's own for others. getenv is os.Getenv and uid os.Getuid() but in tests.
func DefaultRunDir(getenv func(string) string, uid int) (string, error) {
	return defaultRunDir(getenv, uid, mayNotUse)
}

// defaultRunDir asks whether a folder is closed to this user. Root of a user namespace is root by number and has no right
// in the host's /run.
func defaultRunDir(getenv func(string) string, uid int, closed func(dir string) bool) (string, error) {
	if dir := getenv("OVS_RUNDIR"); dir != "" {
		return filepath.Abs(dir)
	}
	if uid == 0 && !closed("/run/weir") {
		return "/run/weir", nil
	}
	if dir := getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "weir"), nil
	}
	if uid == 0 {
		return "", errors.New("no run directory: this root may not write to /run/weir (as in a user namespace) and XDG_RUNTIME_DIR is not set; " +
			"name one with --rundir DIR or OVS_RUNDIR")
	}
	return "", errors.New("no run directory: an ordinary user has none in /run and XDG_RUNTIME_DIR is not set; " +
		"name one with --rundir DIR or OVS_RUNDIR")
}

// makeRunDir creates the run directory; created says that Close may remove it.
func makeRunDir(dir string) (created bool, err error) {
	if longest := filepath.Join(dir, "abcdefghijklmno.snoop"); len(longest) > maxSocketPath {
		return false, fmt.Errorf("the run directory %s is too long: sockets in it would have a path of more than %d bytes, choose a shorter one with --rundir",
			dir, maxSocketPath)
	}
	if st, err := os.Stat(dir); err == nil && st.IsDir() {
		return false, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return false, fmt.Errorf("the run directory cannot be made: %w; name another with --rundir DIR", err)
	}
	return true, nil
}

// controlPath is the control socket of a bridge.
func controlPath(runDir, bridge string) string { return filepath.Join(runDir, bridge+".ctl") }

// claim binds a bridge's control socket, which makes this process the bridge's owner.
// A socket that nobody answers is left from a process that was killed: it is replaced.
// The directory is locked meanwhile, so that of two starts one wins.
func claim(runDir, bridge string) (net.Listener, error) {
	unlock, err := lockDir(runDir)
	if err != nil {
		return nil, fmt.Errorf("the run directory %s cannot be used: %w", runDir, err)
	}
	defer unlock()
	path := controlPath(runDir, bridge)
	if st, err := os.Lstat(path); err == nil {
		if st.Mode()&os.ModeSocket == 0 {
			return nil, fmt.Errorf("bridge %s: %s is in the way and is not a socket: move it, or choose another --rundir", bridge, path)
		}
		switch err := unserved(path, "GET / HTTP/1.0\r\n\r\n"); {
		case err == nil:
		case errors.Is(err, errServed):
			return nil, fmt.Errorf("bridge %s is running already (%s answers): stop it with \"weir --rundir %s stop %s\", or choose another name or --rundir",
				bridge, path, runDir, bridge)
		case errors.Is(err, os.ErrPermission):
			return nil, fmt.Errorf("bridge %s: %s belongs to another user, who may be running it: choose another --rundir", bridge, path)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) { // its owner may be on its way out
			return nil, fmt.Errorf("bridge %s: its old socket cannot be removed: %w", bridge, err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w; choose a --rundir that you may write to", bridge, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("bridge %s: %w", bridge, err)
	}
	return l, nil
}

// dyingTime is how long the sockets of a killed process may take to go: the kernel closes
// them together with the interfaces that it must remove, some 25 ms for each tap.
const dyingTime = 10 * time.Second

var errServed = errors.New("somebody answers")

// unserved returns nil when nobody serves the unix socket at path. That a connection
// succeeds says little: a killed process takes connections until its last descriptor is
// closed. A live one says a word, to question or (a switch its HELLO) unasked, or outlasts
// dyingTime.
func unserved(path, question string) error {
	for end := time.Now().Add(dyingTime); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.DialTimeout("unix", path, time.Second)
		if errors.Is(err, os.ErrPermission) {
			return err
		}
		if err != nil {
			return nil
		}
		_ = c.SetDeadline(end)
		_, _ = io.WriteString(c, question)
		_, err = c.Read(make([]byte, 1))
		c.Close()
		if err == nil || time.Now().After(end) {
			return errServed
		}
	}
}

// runningBridges lists the bridges whose control sockets are in the directory, in order
// of their names. Whether anybody answers there is not known yet.
func runningBridges(runDir string) ([]string, error) {
	entries, err := os.ReadDir(runDir)
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("the run directory cannot be read: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".ctl"); ok && e.Type()&os.ModeSocket != 0 {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}
