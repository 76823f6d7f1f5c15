package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// threads tells on how many of this process's threads' processors cpu is the only one, and on how many it is one at all.
func threads(t *testing.T, cpu int) (alone, with int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) != nil || !set.IsSet(cpu) {
			continue
		}
		if with++; set.Count() == 1 {
			alone++
		}
	}
	return alone, with
}

// processors are those that this process may use.
func processors(t *testing.T) (list []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for n := range mostCPU + 1 {
		if set.IsSet(n) {
			list = append(list, n)
		}
	}
	return list
}

// severalProcessors are those of a test that wants one to poll and another for the rest.
func severalProcessors(t *testing.T) []int {
	t.Helper()
	all := processors(t)
	if len(all) < 2 {
		t.Skip("one processor")
	}
	return all
}

// TestPollersHaveTheirProcessors: a reload gives a processor to polling, where no other thread runs then, and takes it back;
// frames pass before, then, and afterwards. A processor that does not exist is an error and changes nothing.
func TestPollersHaveTheirProcessors(t *testing.T) {
	all := severalProcessors(t)
	cpu := all[len(all)-1]
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	const ports = "bridges:\n- {name: br0, ports: [\"1:pipe:a\", \"2:pipe:b\"]}\n"
	r := startAgent(t, ports)
	pass := func() {
		t.Helper()
		cross(t, r.end("a"), r.end("b"), 1)
		cross(t, r.end("b"), r.end("a"), 2)
	}
	pass()
	for range 3 {
		r.reload(fmt.Sprintf("poll-cpus: %d\n", cpu)+ports, "poll-cpus: changed")
		eventually(t, "one thread may use the processor, and is bound to it", func() bool { // Go may be making one at this moment
			alone, with := threads(t, cpu)
			return alone == 1 && with == 1
		})
		pass()
		r.write("poll-cpus: 1023\n" + ports)
		if changes, err := r.a.Reload("", ""); err == nil || len(changes) > 0 || !strings.HasSuffix(err.Error(), "; nothing was changed") {
			t.Errorf("a processor that is not there: %v, %v", changes, err)
		}
		r.reload(ports, "poll-cpus: changed")
		if alone, with := threads(t, cpu); alone != 0 || with < 2 {
			t.Errorf("given back, %d threads are bound to processor %d, %d may use it", alone, cpu, with)
		}
		pass()
	}
}

// TestPollerIsBoundAgain: where another thread goes on with a poller, that one is bound in its place; and one that was made
// by a poller's thread is taken off its processor.
func TestPollerIsBoundAgain(t *testing.T) {
	all := severalProcessors(t)
	cpu := all[len(all)-1]
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	ps := new(pollers)
	if err := ps.set([]int{cpu}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ps.set(nil); err != nil {
			t.Error(err)
		}
	}()
	bound := func(tid int) bool {
		var set unix.CPUSet
		return unix.SchedGetaffinity(tid, &set) == nil && set.Count() == 1 && set.IsSet(cpu)
	}
	heir, release := make(chan int), make(chan struct{})
	defer close(release)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		q := newPoller(cpu)
		q.tid.Store(1)
		q.rebind()
		if tid := unix.Gettid(); q.tid.Load() != int64(tid) || !bound(tid) {
			t.Errorf("thread %d goes on, %d is held to be the one; bound: %v", tid, q.tid.Load(), bound(tid))
		}
		heir <- unix.Gettid()
		<-release
	}()
	tid := <-heir // to ps a thread like any other
	ps.sweep()
	if bound(tid) {
		t.Error("a thread that does not poll was left on the processor of one that does")
	}
	if q := (*ps.list.Load())[0]; !bound(int(q.tid.Load())) {
		t.Error("the poller was moved")
	}
}

// TestGoKeepsAProcessorBesidePollers: when the process's other threads have fewer processors, Go does not come to run fewer goroutines
// at a time than there are pollers and one more. It counts once a second.
func TestGoKeepsAProcessorBesidePollers(t *testing.T) {
	all := severalProcessors(t)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	runtime.SetDefaultGOMAXPROCS() // a test has set it, a program mostly has not
	ps := new(pollers)
	if err := ps.set(all[1:]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ps.set(nil); err != nil {
			t.Error(err)
		}
	}()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if n := runtime.GOMAXPROCS(0); n < len(all) {
			t.Fatalf("%d goroutines at a time, %d of them pollers", n, len(all)-1)
		}
	}
}

// TestGoCountsAgainAfterPolling: without pollers GOMAXPROCS is what somebody chose before, and if nobody did, Go goes on to count.
func TestGoCountsAgainAfterPolling(t *testing.T) {
	all := severalProcessors(t)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	ps := new(pollers)
	poll := func() {
		t.Helper()
		for _, cpus := range [][]int{all[:1], all, nil} {
			if err := ps.set(cpus); err != nil {
				t.Fatal(err)
			}
		}
	}
	chosen := len(all) + 3
	for _, n := range []int{1, chosen} {
		runtime.GOMAXPROCS(n)
		if poll(); runtime.GOMAXPROCS(0) != n {
			t.Errorf("%d goroutines at a time were chosen, %d it is after polling", n, runtime.GOMAXPROCS(0))
		}
	}
	runtime.SetDefaultGOMAXPROCS()
	poll()
	var one, usual unix.CPUSet
	one.Set(all[0])
	for _, n := range all {
		usual.Set(n)
	}
	none := func(int) bool { return false }
	defer func() {
		if err := moveThreads(unix.SchedSetaffinity, &usual, none); err != nil {
			t.Error(err)
		}
	}()
	if err := moveThreads(unix.SchedSetaffinity, &one, none); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Go counts one processor", func() bool { return runtime.GOMAXPROCS(0) == 1 })
}

// TestGoKeepsTheEnvironmentsChoice: who sets GOMAXPROCS to what Go would choose has chosen all the same.
func TestGoKeepsTheEnvironmentsChoice(t *testing.T) {
	all := severalProcessors(t)
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	runtime.SetDefaultGOMAXPROCS()
	n := runtime.GOMAXPROCS(0)
	t.Setenv("GOMAXPROCS", strconv.Itoa(n))
	runtime.GOMAXPROCS(n) // as Go does when it begins
	ps := new(pollers)
	for _, cpus := range [][]int{all[:1], nil} {
		if err := ps.set(cpus); err != nil {
			t.Fatal(err)
		}
	}
	var one, usual unix.CPUSet
	one.Set(all[0])
	for _, n := range all {
		usual.Set(n)
	}
	none := func(int) bool { return false }
	defer func() {
		if err := moveThreads(unix.SchedSetaffinity, &usual, none); err != nil {
			t.Error(err)
		}
	}()
	if err := moveThreads(unix.SchedSetaffinity, &one, none); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // Go counts once a second
		if got := runtime.GOMAXPROCS(0); got != n {
			t.Fatalf("%d goroutines at a time were chosen, %d it is after polling", n, got)
		}
	}
}

// TestFailedPollCPUsMovesThreadsBack: when some threads have been moved and another cannot be, all run where they did, pollers too.
func TestFailedPollCPUsMovesThreadsBack(t *testing.T) {
	all := severalProcessors(t)
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	first, last := all[0], all[len(all)-1]
	ps := new(pollers)
	moved := 0
	failing := func(tid int, to *unix.CPUSet) error {
		if moved++; moved == 3 {
			return unix.EPERM
		}
		return unix.SchedSetaffinity(tid, to)
	}
	fail := func(cpus ...int) {
		t.Helper()
		moved, ps.owner.move = 0, failing
		if err := ps.set(cpus); !errors.Is(err, unix.EPERM) {
			t.Errorf("%v: %v", cpus, err)
		}
		ps.owner.move = nil
	}
	fail(last)
	if _, with := threads(t, last); ps.count() != 0 || ps.owner.usual != nil || with < 3 || runtime.GOMAXPROCS(0) != 2 {
		t.Errorf("%d pollers, %d threads may use the processor that was not given to polling", ps.count(), with)
	}
	if alone, _ := threads(t, first); alone != 0 {
		t.Errorf("%d threads were left on one processor", alone)
	}
	if err := ps.set([]int{last}); err != nil {
		t.Fatal(err)
	}
	for _, cpus := range [][]int{{first}, nil} {
		fail(cpus...)
		eventually(t, "one thread may use the processor, and is bound to it", func() bool {
			alone, with := threads(t, last)
			return alone == 1 && with == 1
		})
	}
	if err := ps.set(nil); err != nil {
		t.Error(err)
	}
}

// TestOneAgentPolls: a second one in the process is refused while the first polls.
func TestOneAgentPolls(t *testing.T) {
	all := processors(t)
	first, second := new(pollers), new(pollers)
	cpu := all[len(all)-1:]
	set := func(ps *pollers, cpus []int, want error) {
		t.Helper()
		n := runtime.GOMAXPROCS(0)
		if err := ps.set(cpus); !errors.Is(err, want) {
			t.Fatal(err)
		} else if err != nil && (ps.count() != 0 || runtime.GOMAXPROCS(0) != n) {
			t.Errorf("refused, it has %d pollers and %d goroutines at a time instead of %d", ps.count(), runtime.GOMAXPROCS(0), n)
		}
	}
	set(first, cpu, nil)
	set(second, cpu, errOtherPolls)
	set(second, nil, nil)
	set(first, all, nil)
	set(second, cpu, errOtherPolls)
	set(first, nil, nil)
	set(second, cpu, nil)
	set(first, []int{mostCPU}, errOtherPolls)
	set(second, nil, nil)
	if err := first.set([]int{mostCPU}); err == nil {
		t.Error("a processor that is not there was given")
	}
	set(second, cpu, nil)
	set(second, nil, nil)
}

// TestPollOnTheOnlyProcessor: a process that has but one processor and gives it to polling answers its controller all the same.
func TestPollOnTheOnlyProcessor(t *testing.T) {
	all := processors(t)
	var usual, one unix.CPUSet
	for _, n := range all {
		usual.Set(n)
	}
	one.Set(all[0])
	none := func(int) bool { return false }
	if err := moveThreads(unix.SchedSetaffinity, &one, none); err != nil {
		t.Fatal(err)
	}
	before := runtime.GOMAXPROCS(1)
	defer func() {
		runtime.GOMAXPROCS(before)
		if err := moveThreads(unix.SchedSetaffinity, &usual, none); err != nil {
			t.Error(err)
		}
	}()
	r := startAgent(t, fmt.Sprintf("poll-cpus: %d\nbridges:\n- {name: br0, ports: [\"1:pipe:a\", \"2:pipe:b\"]}\n", all[0]))
	cross(t, r.end("a"), r.end("b"), 1)
	c, err := oftest.Dial("unix", filepath.Join(r.dir, "br0.mgmt"), oftest.Config{Timeout: inTime})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var took []time.Duration
	for range 21 {
		start := time.Now()
		if _, err := c.Request(&openflow.EchoRequest{}); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	if slices.Sort(took); took[10] > 50*time.Millisecond {
		t.Errorf("an answer takes %v", took)
	}
	t.Log(took)
}

// TestWhyNoProcessor: each reason that a processor cannot be had for has its words.
func TestWhyNoProcessor(t *testing.T) {
	sys := t.TempDir()
	for name, text := range map[string]string{"present": "0-3\n", "online": "0-1,3\n"} {
		if err := os.WriteFile(filepath.Join(sys, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for cpu, want := range map[int]string{
		4: "there is no processor 4: this machine has 0-3",
		2: "processor 2 is switched off: those at work are 0-1,3",
	} {
		if err := explainCPU(sys, cpu, unix.EINVAL); !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", cpu, err)
		}
	}
	said, may := make(chan error), ""
	go func() {
		runtime.LockOSThread()       // and ends with it, for its processors are changed
		may = cpuText(allowedCPUs()) // also those that were not given to this test (taskset)
		said <- explainCPU(sys, 3, unix.EINVAL)
	}()
	if err := <-said; !strings.Contains(err.Error(), "this process may not use processor 3, only "+may+":") || may == "" {
		t.Error(err)
	}
	if err := explainCPU("/nowhere", 0, unix.EPERM); !errors.Is(err, unix.EPERM) {
		t.Error(err)
	}
}

// TestFailedPollCPUsLeavesGoRoom: fewer pollers that cannot be had take nothing from Go's goroutines beside those there are.
func TestFailedPollCPUsLeavesGoRoom(t *testing.T) {
	all := severalProcessors(t)
	before := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(before)
	ps := new(pollers)
	if err := ps.set(all); err != nil {
		t.Fatal(err)
	}
	usual := *ps.owner.usual
	ps.owner.usual.Zero() // no thread can be moved to where this process used to run
	ps.owner.usual.Set(mostCPU)
	if err := ps.set(all[:1]); err == nil {
		t.Error("threads were moved to a processor that is not there")
	}
	if n := runtime.GOMAXPROCS(0); n != len(all)+1 {
		t.Errorf("%d goroutines at a time beside %d pollers", n, len(all))
	}
	*ps.owner.usual = usual
	if err := ps.set(nil); err != nil {
		t.Error(err)
	}
}

// TestNobodySpinsAfterPollingOnOneProcessor: GOMAXPROCS=1 forbids to spin, also when the switch was made while pollers had Go run more.
func TestNobodySpinsAfterPollingOnOneProcessor(t *testing.T) {
	all := processors(t)
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	ps := new(pollers)
	if err := ps.set(all[len(all)-1:]); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, 0, withPollers(ps), func(c *BridgeConfig, _ *Env) { c.Spin = time.Millisecond })
	if err := ps.set(nil); err != nil {
		t.Fatal(err)
	}
	if most := b.sw.spin.longest(); most != 0 {
		t.Errorf("it spins for %v with %d goroutines at a time", most, runtime.GOMAXPROCS(0))
	}
}
