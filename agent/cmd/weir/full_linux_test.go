package main

import (
	"os"
	"strings"
	"testing"

	"github.com/weirswitch/weir/agent"
)

// fullDisk is a file that takes nothing.
func fullDisk(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestFullDiskIsNoSuccess: what could not be written is told, whatever command it was.
func TestFullDiskIsNoSuccess(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--name", "br0", "--port", "1:pipe:a", "--detach", "--wait-ready", "60s")
	for _, line := range []string{"show", "status br0", "ports br0", "flows br0", "groups br0", "meters br0", "fdb br0", "fdb flush br0", "ports br0 --json",
		"flows br0 --watch -c 2", "trace br0 in_port=1", "trace br0 in_port=1 --json", "ofctl dump-flows br0", "ofctl --names dump-flows br0",
		"ofctl --no-stats dump-flows br0", "ofctl get-frags br0", "ofctl ping br0", "ofctl diff-flows br0 /dev/null", "help", "help --markdown",
		"ofctl --help", "completion bash", "version"} {
		var errs strings.Builder
		cmd := s.command(strings.Fields(line)...)
		cmd.Stdout, cmd.Stderr = fullDisk(t), &errs
		err := cmd.Run()
		code := 1
		if strings.Contains(line, "diff-flows") {
			code = 2 // which says that there is a difference
		}
		if cmd.ProcessState.ExitCode() != code || code == 1 && !strings.Contains(errs.String(), "no space left") {
			t.Errorf("weir %s: %v, %q", line, err, errs.String())
		}
	}
}

// TestOnlookersEndOnAFullDisk: nobody reads a file that is not written, and each frame or message would be lost in silence.
func TestOnlookersEndOnAFullDisk(t *testing.T) {
	frame := &agent.Captured{Length: 60, Data: make([]byte, 60)}
	message := &agent.Snooped{Data: []byte{4, 0, 0, 8, 0, 0, 0, 1}}
	verdict := &agent.Watched{Length: 60, Data: make([]byte, 60)}
	for name, show := range map[string]func(*onlook) error{
		"frames":   func(o *onlook) error { return o.frame(frame) },
		"messages": func(o *onlook) error { return (&snoop{onlook: o}).message(message) },
		"verdicts": func(o *onlook) error { return o.verdict(verdict) },
		"pcapng":   func(o *onlook) error { o.file = "-"; return o.frame(frame) },
	} {
		o := &onlook{t: &tool{out: &output{Writer: fullDisk(t)}, err: &strings.Builder{}}}
		var err error
		for range 100000 { // a flood: there is never a pause in which the file would be flushed
			if o.file != "" && o.ng == nil {
				err = o.begin()
			}
			if err == nil {
				err = show(o)
			}
			if err != nil {
				break
			}
		}
		if err == nil || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
