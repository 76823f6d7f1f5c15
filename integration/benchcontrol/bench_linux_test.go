package benchcontrol

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
	"github.com/weirswitch/weir/integration/lab"
)

var (
	rounds = flag.Int("bench.rounds", 1, "rounds; each starts fresh processes")
	flows  = flag.Int("bench.flows", 400, "entries of the usual set")
	big    = flag.Int("bench.big", 0, "entries of the large set; 0: leave it out")
	bigs   = flag.Int("bench.bigrounds", 3, "rounds that have the large set")
	calls  = flag.Int("bench.calls", 20, "round trips")
	file   = flag.String("bench.report", "", "file to write the report to")
)

var errTimeout = os.ErrDeadlineExceeded

func TestMain(m *testing.M) {
	flag.Parse()
	if err := lab.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "benchcontrol:", err)
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
		fmt.Fprintln(os.Stderr, "skip: network namespaces are needed")
		os.Exit(0)
	}
	if err := bench.Pin(); err != nil {
		fmt.Fprintln(os.Stderr, "benchcontrol:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestControlPlane measures weir and Open vSwitch turn by turn. Without flags it is a smoke test: a few
// hundred entries, figures that mean nothing, and every message answered as it should be.
func TestControlPlane(t *testing.T) {
	for _, p := range []string{"ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "taskset"} {
		if _, err := exec.LookPath(p); err != nil {
			lacking(t, "%s is not installed (make deps installs it on Debian)", p)
		}
	}
	if lab.Entered() {
		lacking(t, "the bridge of Open vSwitch is a tap: needs to be started by root")
	}
	bin, err := bench.BuildWeir("../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	head, err := bench.Describe(bin)
	if err != nil {
		t.Fatal(err)
	}
	rep := &bench.Report{}
	for i := range *rounds {
		t.Run(fmt.Sprint("round", i+1), func(t *testing.T) {
			pair := []*bench.Switch{startWeir(t, bin), startOVS(t)}
			for j := range pair { // who goes first changes from round to round
				s := pair[(i+j)%2]
				r := &round{T: t, s: s, all: pair, n: *flows, calls: *calls, shown: 5 * time.Second,
					add: func(w row, v float64) { rep.Add(s.Name, w.full(), v) }}
				if i < *bigs {
					r.big = *big
				}
				r.run()
			}
		})
	}
	if t.Failed() {
		return
	}
	t.Logf("\n%s", page(head, rep))
	if *file != "" {
		if err := os.WriteFile(*file, []byte(page(head, rep)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// lacking skips, or fails with CI=true.
func lacking(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
