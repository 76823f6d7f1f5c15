//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDetachTellsOfTheLog: who starts a process in the background hears that nobody will see its log.
func TestDetachTellsOfTheLog(t *testing.T) {
	s := newShell(t)
	if out, errs, code := s.weir("run", "--name", "br0", "--detach"); code != 0 || out != "" || errs != withoutLog {
		t.Errorf("exit %d, %q %q", code, out, errs)
	}
	if _, errs, code := s.weir("run", "--name", "br1", "--detach", "--log-file", "w.log"); code != 0 || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestHelpPortsTellsTheKinds: behind the command of that name stand the kinds of ports with their options.
func TestHelpPortsTellsTheKinds(t *testing.T) {
	out, _, code := newShell(t).weir("help", "ports")
	at := 0
	for _, want := range []string{"weir ports [BRIDGE]", "afpacket    for example eth1\n", "ring=FRAMES|no ", "xdp    for example xdp:eth1\n", "mode=native|copy|generic ",
		"wire    for", "listen=ADDRESS ", "Options of every kind:\n", "vlan-mode=MODE ", "queue=ID:max-rate=RATE "} {
		i := strings.Index(out[at:], want)
		if i < 0 {
			t.Fatalf("exit %d, %q is not where it belongs:\n%s", code, want, out)
		}
		at += i
	}
}

// TestAbsentPeerIsLoggedOnce: a wire that finds nobody says so, with the cure, and then goes on trying in silence.
func TestAbsentPeerIsLoggedOnce(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--port", "1:wire:unix,name=vm,connect="+s.dir+"/nobody", "--detach", "--log-file", "w.log")
	const cure = "start the program at the other end, or correct the address"
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		log, _ := os.ReadFile(filepath.Join(s.dir, "w.log"))
		if n := strings.Count(string(log), cure); n == 1 {
			break
		} else if n > 1 || time.Now().After(deadline) {
			t.Fatalf("the log, which tells of it %d times:\n%s", n, log)
		}
	}
}

// TestCheckNotesAnAbsentDevice: the file is right, and may be meant for this host.
func TestCheckNotesAnAbsentDevice(t *testing.T) {
	s := newShell(t)
	out, errs, code := s.weir("check", s.write("absent.yaml", "bridges:\n- {name: br0, ports: [\"1:weirnone9\", \"2:tap:weirnone8\"]}\n"))
	if want := "weir: note: bridge br0: port weirnone9: there is no interface weirnone9 on this host; the port starts to work when there is\n"; code != 0 || errs != want || !strings.HasSuffix(out, "is right: 1 bridge, 2 ports\n") {
		t.Errorf("exit %d, %s%s", code, out, errs)
	}
}

// TestBridgesThereAre: a wrong name is answered with the bridges, in the right number.
func TestBridgesThereAre(t *testing.T) {
	s := newShell(t)
	s.ok("run", "--name", "left", "--detach")
	s.fails(1, "in "+s.run+" there is left\n", "ofctl", "show", "nothing")
	s.ok("run", "--name", "right", "--detach")
	s.fails(1, "in "+s.run+" there are left, right\n", "ofctl", "show", "nothing")
}
