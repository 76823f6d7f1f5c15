package oracle

import (
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"
)

var (
	seedFlag  = flag.Uint64("oracle.seed", 0, "play the lives of this seed alone")
	firstFlag = flag.Uint64("oracle.first", 1, "the first seed")
	timeFlag  = flag.Duration("oracle.time", 4*time.Second, "for how long each test makes new lives")
	casesFlag = flag.Int("oracle.cases", 0, "how many lives; 0: as many as fit the time")
	failsFlag = flag.Int("oracle.fails", 1, "after how many disagreements a test gives up")
	textFlag  = flag.Int("oracle.text", 20, "run ovs-ofctl dump-flows on one life in so many")
)

// bench is the switches under comparison, the oracle first.
func bench(t *testing.T) []target {
	t.Helper()
	for _, p := range []string{"ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl"} {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed (make deps installs it on Debian)", p)
			}
			t.Skipf("%s is not installed (make deps installs it on Debian)", p)
		}
	}
	all := []target{startOVS(t), &weir{dir: shortDir(t)}, &weir{dir: shortDir(t), noCache: true}}
	t.Cleanup(func() {
		for _, g := range all {
			if err := g.close(); err != nil {
				t.Errorf("%s: %v", g.name(), err)
			}
		}
	})
	return all
}

// shortDir is a directory whose name leaves room for the name of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "weir-oracle-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// explore compares one life of each seed until its time is over.
func explore(t *testing.T, make func(*gen) *life) {
	t.Helper()
	exploreWith(t, bench(t), make)
}

func exploreWith(t *testing.T, all []target, make func(*gen) *life) {
	t.Helper()
	n, fails := 0, 0
	end := time.Now().Add(*timeFlag)
	for seed := *firstFlag; ; seed++ {
		if *seedFlag != 0 {
			seed = *seedFlag
		}
		l := newLife(seed, make)
		text := *textFlag > 0 && seed%uint64(*textFlag) == 0
		d, err := difference(all, l, text)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, l)
		}
		n++
		if d != "" {
			again, err := repeats(all, l, text)
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, l)
			}
			if again {
				report(t, all, seed, l, text, d)
				fails++
			} else {
				t.Logf("seed %d differed once and then no more: %s", seed, d)
			}
		}
		switch {
		case *seedFlag != 0 || fails >= *failsFlag || *casesFlag > 0 && n >= *casesFlag || *casesFlag == 0 && time.Now().After(end):
			t.Logf("%d lives, %d of them differ", n, fails)
			return
		}
	}
}

// report shrinks a life that differs and prints what is left.
func report(t *testing.T, all []target, seed uint64, l *life, text bool, first string) {
	t.Helper()
	last := ""
	small := shrink(l, 600, func(l *life) bool {
		d, err := difference(all, l, text)
		if err != nil || d == "" {
			return false
		}
		last = d
		return true
	})
	if last == "" {
		last = first
	}
	t.Logf("seed %d, before it was made small: %s", seed, first)
	t.Errorf("seed %d (repeat with -run '^%s$' -oracle.seed=%d):\n%s%s", seed, t.Name(), seed, small, last)
}

func TestForwarding(t *testing.T) { explore(t, (*gen).forwarding) }

func TestChanges(t *testing.T) { explore(t, (*gen).changes) }

func TestWrong(t *testing.T) { explore(t, (*gen).wrongs) }

func TestScrambled(t *testing.T) { explore(t, (*gen).scrambles) }

func TestPorts(t *testing.T) { explore(t, (*gen).portLife) }

func TestGroups(t *testing.T) { explore(t, (*gen).groupLife) }

func TestNicira(t *testing.T) { explore(t, (*gen).niciraLife) }

func TestVLANs(t *testing.T) { explore(t, (*gen).vlanLife) }

func TestMeters(t *testing.T) { explore(t, (*gen).meterLife) }

func TestBundles(t *testing.T) { explore(t, (*gen).bundleLife) }

// TestBatches has weir with several workers in the place of the one without cache.
func TestBatches(t *testing.T) {
	all := bench(t)
	all[2] = &weir{dir: shortDir(t), workers: 4}
	exploreWith(t, all, (*gen).batchLife)
}
