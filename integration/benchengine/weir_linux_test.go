package benchengine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/bench"
)

// weir is the benchmarks of weir's packages, compiled.
type weir struct {
	dir  string // of the programs, one for each package
	long string // of -test.benchtime
}

// buildWeir compiles the tests of the packages in which benchmarks are asked for.
func buildWeir(dir, long string, all []matter) (*weir, error) {
	args := []string{"test", "-c", "-o", dir + "/"}
	for _, m := range all {
		for _, a := range m.weir {
			if p := "github.com/weirswitch/weir/" + a.pkg; !slices.Contains(args, p) {
				args = append(args, p)
			}
		}
	}
	if raced() {
		args = slices.Insert(args, 1, "-race") // compiled already
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return &weir{dir, long}, nil
}

// raced says whether this program was built with the race detector.
func raced() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func (w *weir) program(pkg string) string { return filepath.Join(w.dir, filepath.Base(pkg)+".test") }

// measure runs the benchmarks of an ask on the switch's processor.
func (w *weir) measure(ctx context.Context, a ask) (float64, error) {
	path, args := bench.OnSwitchCPU(w.program(a.pkg), "-test.run=^$", "-test.bench="+a.bench, "-test.benchtime="+w.long)
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", a.bench, err, out)
	}
	return a.read(string(out))
}

// handOver writes the benchmarks' rules and frames into a folder.
func (w *weir) handOver(ctx context.Context, dir string) error {
	out, err := exec.CommandContext(ctx, w.program(engine), "-test.run=^TestHandover$", "-bench.handover="+dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the benchmarks' frames: %w\n%s", err, out)
	}
	return nil
}

// read finds the figure in what benchmarks have printed.
func (a ask) read(out string) (float64, error) {
	var own float64
	for line := range strings.Lines(out) {
		v, ok := result(line, a.unit)
		switch {
		case !ok:
		case own != 0:
			return 0, fmt.Errorf("%s is more than one benchmark:\n%s", a.bench, out)
		default:
			own = v
		}
	}
	if own == 0 {
		return 0, fmt.Errorf("%s has no figure in %s:\n%s", a.bench, a.unit, out)
	}
	return own, nil
}

// result is the figure of a unit in a line of go test -bench: a name, how often it ran, then figures and their units.
func result(line, unit string) (v float64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
		return 0, false
	}
	for i := 2; i+1 < len(f); i += 2 {
		if f[i+1] == unit {
			v, err := strconv.ParseFloat(f[i], 64)
			return v, err == nil
		}
	}
	return 0, false
}

// TestBenchmarksAreThere finds each function that is asked, also those that the smoke test does not run.
func TestBenchmarksAreThere(t *testing.T) {
	for _, m := range matters() {
		for _, a := range m.weir {
			name, _, _ := strings.Cut(strings.Trim(a.bench, "^"), "$")
			files, err := filepath.Glob(filepath.Join("../..", a.pkg, "*_test.go"))
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no tests: %v", a.pkg, err)
			}
			if !slices.ContainsFunc(files, func(f string) bool {
				text, _ := os.ReadFile(f)
				return strings.Contains(string(text), "\nfunc "+name+"(b *testing.B)")
			}) {
				t.Errorf("%q: no %s in %s", a.row.Name, name, a.pkg)
			}
		}
	}
}

func TestFiguresOfBenchmarks(t *testing.T) {
	const out = `goos: linux
pkg: github.com/weirswitch/weir/flowtable
BenchmarkEngineChanges/rate/flows=10000-2   	       8	 140416391 ns/op	        12.00 Mpps	         0.8000 kept	        70.00 mods/op
BenchmarkEngineChanges/batch/flows=10000-2  	  103401	      4878 ns/op	         3.000 Mpps
PASS
`
	for _, c := range []struct {
		a    ask
		out  string
		want float64
	}{
		{ask{unit: "kept"}, out, 0.8},
		{ask{unit: mpps}, out, 0},           // two
		{ask{unit: "claims/frame"}, out, 0}, // none
		{ask{unit: "ns/op"}, "BenchmarkParse/TCPv4 \t 100 \t 12.5 ns/op\n", 12.5},
	} {
		if got, err := c.a.read(c.out); got != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%+v: %v, %v, want %v", c.a, got, err, c.want)
		}
	}
}

// benchtime is how -test.benchtime writes a duration; none: one time.
func benchtime(d time.Duration) string {
	if d == 0 {
		return "1x"
	}
	return d.String()
}
