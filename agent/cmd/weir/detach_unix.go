// Slow path: going to the background on systems that can.

//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// detach starts this command line again as a process of its own session, without
// --detach and with a pipe to tell when it is ready. It returns when the other process
// is ready, with its warnings, or with the error that it ended with. Nothing of this process's output is
// inherited: who reads it to its end must not wait for the switch.
func detach(logFile string) (warnings []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot detach: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot detach: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(self, append(withoutDetach(os.Args[1:]), "--ready-fd", "3")...)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if logFile != "" { // where a crash is told, too
		f, err := os.OpenFile(logFile, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
		if err != nil {
			return nil, fmt.Errorf("the log cannot be written: %w", err)
		}
		defer f.Close()
		cmd.Stderr = f
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot detach: %w", err)
	}
	w.Close()
	go func() {
		s := <-signals
		_ = cmd.Process.Signal(s)
	}()
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if lines := strings.Split(string(text), "\n"); err == nil && lines[0] == readyWord {
		return lines[1:], nil
	}
	_ = cmd.Wait()
	if len(text) == 0 {
		return nil, fmt.Errorf("the process ended before it was ready (%v)", cmd.ProcessState)
	}
	return nil, errors.New(string(text))
}

// withoutDetach is the command line of the process in the background.
func withoutDetach(args []string) []string {
	var out []string
	for _, a := range args {
		switch a {
		case "--detach", "-detach", "--detach=true", "-detach=true":
		default:
			out = append(out, a)
		}
	}
	return out
}

// notifyHangup makes SIGHUP a request to read the file again.
func notifyHangup(c chan<- os.Signal) { signal.Notify(c, syscall.SIGHUP) }
