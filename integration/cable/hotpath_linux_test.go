package cable_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weirswitch/weir/agent"
	"github.com/weirswitch/weir/flowtable"
	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/integration/cable"
	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
	"github.com/weirswitch/weir/ports"
)

const patience = 20 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// bench is a namespace with cables of one kind.
type bench struct {
	space  *lab.Space
	links  *ports.Links
	cables []*cable.Cable
}

func newBench(t *testing.T, kind string, n int) *bench {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("network namespaces and taps need root")
		}
		t.Skip("network namespaces and taps need root")
	}
	b := &bench{}
	var err error
	b.space, err = lab.NewSpace("cables")
	must(t, err)
	t.Cleanup(b.space.Close)
	dir, err := os.MkdirTemp("", "weir-cable-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	kit, err := cable.NewKit(b.space, dir)
	must(t, err)
	must(t, b.space.Do(func() (err error) {
		b.links, err = ports.NewLinks()
		return err
	}))
	t.Cleanup(func() { must(t, b.links.Close()) })
	for i := range n {
		c, err := kit.Lay(kind, fmt.Sprintf("p%d", i+1))
		must(t, err)
		b.cables = append(b.cables, c)
		t.Cleanup(c.Unplug)
	}
	return b
}

func (b *bench) spec(t *testing.T, i int) ports.Spec {
	t.Helper()
	s, err := ports.ParseSpec(fmt.Sprintf("%d:%s,name=p%d", i+1, b.cables[i].Spec(), i+1))
	must(t, err)
	return s
}

// udpFrame is a frame of 64 bytes of one of some flows.
func udpFrame(flow int) []byte {
	b := append([]byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0x66, 0xb7, 10, 0, 0, 1, 10, 0, 0, 2},
		0x13, byte(flow), 7, 0xd0, 0, 30, 0, 0)
	return append(b, make([]byte, 64-len(b))...)
}

// way is what entries do with the frames of a port: rewrite them, and out.
func way(in, out openflow.PortNo) *openflow.FlowMod {
	m := openflow.NewMatch(openflow.Exact(openflow.EthType, 0x0800), openflow.Exact(openflow.InPort, uint64(in)))
	return oftest.AddFlow(0, 10, m, openflow.ApplyActions(openflow.Action{Type: openflow.ActionDecNwTTL},
		openflow.SetField(openflow.EthDst, 0x020000000099), openflow.Output(out)))
}

// batch is a Sink that collects what leaves by one port.
type batch struct{ frames []*packet.Frame }

func (b *batch) Output(_, _ uint32, f *packet.Frame) { b.frames = append(b.frames, f) }
func (b *batch) PacketIn(flowtable.PacketIn)         {}

// TestBatchAllocatesNothing: to receive, decide and send a batch takes no memory, whatever the ports are.
func TestBatchAllocatesNothing(t *testing.T) {
	const rounds, size = 20, 16
	for _, kind := range cable.Kinds() {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t, kind, 2)
			var devices [2]ports.Port
			for i := range devices {
				must(t, b.space.Do(func() (err error) {
					devices[i], err = ports.Open(b.spec(t, i), ports.Options{Links: b.links})
					return err
				}))
				t.Cleanup(func() { must(t, devices[i].Close()) })
				must(t, b.cables[i].Plug())
				eventually(t, "link up", func() bool { return devices[i].Info().LinkUp })
			}
			p := flowtable.New(flowtable.Config{Tables: 1})
			p.SetPorts([]flowtable.Port{{No: 1, LinkUp: true}, {No: 2, LinkUp: true}})
			if _, err := p.FlowMod(0, way(1, 2)); err != nil {
				t.Fatal(err)
			}
			p.Publish()
			proc, sink, frames := p.NewProcessor(), &batch{}, make([]*packet.Frame, size)
			for i := range frames {
				frames[i] = packet.NewFrame(1 << 16)
			}
			inject := func() {
				for i := range size {
					_, err := b.cables[0].Inject(udpFrame(i%8), packet.Offload{})
					must(t, err)
				}
			}
			sent := 0
			run := func() {
				n, err := devices[0].Read(frames)
				for err == nil && n == 0 { // a wire's frames come by another goroutine
					runtime.Gosched()
					n, err = devices[0].Read(frames)
				}
				for _, f := range frames[:n] {
					f.InPort = 1
				}
				proc.Process(0, frames[:n], sink)
				sent += devices[1].Write(sink.frames)
				sink.frames = sink.frames[:0]
			}
			for range 2*rounds + 1 { // AllocsPerRun has one more
				inject()
			}
			run()
			before := sent
			quiet := 0
			for range rounds { // one by one: the goroutines of a wire, and the test's own, may run beside one
				if testing.AllocsPerRun(1, run) == 0 {
					quiet++
				}
			}
			if quiet < rounds/2 {
				t.Errorf("%d of %d batches allocated", rounds-quiet, rounds)
			}
			if sent-before < rounds*size {
				t.Errorf("%d frames were sent in %d batches", sent-before, rounds)
			}
		})
	}
}

// record is where goroutines waited for each other.
type record struct {
	stack []string // innermost first
	count int64
}

func (r record) String() string {
	return fmt.Sprintf("%d times: %s", r.count, strings.Join(r.stack, " < "))
}

// records reads a profile as a map from stacks.
func records(read func([]runtime.BlockProfileRecord) (int, bool)) map[string]record {
	list := make([]runtime.BlockProfileRecord, 1024)
	n, ok := read(list)
	for ; !ok; n, ok = read(list) {
		list = make([]runtime.BlockProfileRecord, 2*n+50)
	}
	all := map[string]record{}
	for _, r := range list[:n] {
		var stack []string
		frames := runtime.CallersFrames(r.Stack())
		for {
			f, more := frames.Next()
			stack = append(stack, strings.TrimPrefix(f.Function, "github.com/weirswitch/weir/"))
			if !more {
				break
			}
		}
		key := strings.Join(stack, " < ")
		all[key] = record{stack, all[key].count + r.Count}
	}
	return all
}

// since are the records that are new.
func since(now, was map[string]record) (list []record) {
	for key, r := range now {
		if r.count -= was[key].count; r.count > 0 {
			list = append(list, r)
		}
	}
	return list
}

// framePath are the functions that run for frames: a worker's rounds and what they call. Go's scheduler has locks of
// its own, which it takes at the end of a system call, say: they are not weir's.
func framePath(stack []string) bool {
	return !strings.HasPrefix(stack[0], "runtime.unlock") && !strings.HasPrefix(stack[0], "runtime._Lost") && slices.ContainsFunc(stack, func(f string) bool {
		return strings.HasPrefix(f, "agent.(*worker).") || strings.HasPrefix(f, "agent.(*Switch).serve") || strings.HasPrefix(f, "flowtable.(*Processor).")
	})
}

// TestFramePathWaitsForNobody: under load no goroutine that carries frames waits for another one, and none waits for it,
// as the profiles of mutexes and of blocking see it, each event of them. What is left out: a port without frames sleeps
// in Wait, through which no frame's path runs, and a wire is a queue between goroutines, whose lock a worker takes once
// a batch; and the right to read a port changes hands.
func TestFramePathWaitsForNobody(t *testing.T) {
	for _, kind := range cable.Kinds() {
		t.Run(kind, func(t *testing.T) {
			for _, r := range waits(t, kind, 4) {
				if !ofWire(kind, r.stack) && !handsOver(r.stack) {
					t.Errorf("%v", r)
				}
			}
		})
	}
	t.Run("a waiting frame path is seen", func(t *testing.T) {
		for range 30 { // four ports and one worker for them, which two of them want at once sooner or later
			if len(waits(t, "afpacket", 1)) > 0 {
				return
			}
		}
		t.Error("the profiles have nothing")
	})
}

// waits puts load on a switch between four ports and says where its frame path waited.
func waits(t *testing.T, kind string, workers int) (list []record) {
	t.Helper()
	b := newBench(t, kind, 4)
	cfg := agent.BridgeConfig{Name: "br0", DPID: 1, FailMode: agent.FailSecure, Tables: 2}
	sw, err := agent.NewSwitch(cfg, agent.Env{Workers: workers, Links: b.links, Seed: 1, Identity: "cable"})
	must(t, err)
	must(t, sw.Start())
	t.Cleanup(func() { must(t, sw.Close()) })
	for i := range b.cables {
		must(t, b.space.Do(func() error {
			_, err := sw.AddPort(agent.PortConfig{Spec: b.spec(t, i)})
			return err
		}))
	}
	install(t, sw)
	for _, c := range b.cables {
		must(t, c.Plug())
	}
	eventually(t, "links up", func() bool {
		return !slices.ContainsFunc(sw.Ports(), func(p agent.PortStatus) bool { return !p.LinkUp })
	})
	load(t, b, sw, 512) // what is made once is made now

	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	locks, blocks := records(runtime.MutexProfile), records(runtime.BlockProfile)
	load(t, b, sw, 4096)
	for _, r := range slices.Concat(since(records(runtime.MutexProfile), locks), since(records(runtime.BlockProfile), blocks)) {
		if framePath(r.stack) {
			list = append(list, r)
		}
	}
	return list
}

// handsOver says whether the lock is the right to read a port, which a worker gives back that has read for it: once a turn,
// when the port has run dry, and its goroutine may have woken meanwhile. Whether that goroutine is to be woken is agreed on under
// a lock of its own, once after a sleep: others may wait for it, and a worker waits only to say that it is to be woken again.
func handsOver(stack []string) bool {
	if len(stack) < 2 {
		return false
	}
	if slices.Contains(stack, "ports.(*waker).listen") {
		return true
	}
	return stack[0] == "sync.(*Mutex).Unlock" && (stack[1] == "agent.(*worker).answers" || stack[1] == "agent.(*worker).listen" ||
		slices.Contains(stack, "ports.(*waker).hush") || slices.Contains(stack, "ports.(*waker).leave"))
}

// ofWire says whether the lock is that of a wire's queue.
func ofWire(kind string, stack []string) bool {
	return strings.HasPrefix(kind, "wire") && slices.ContainsFunc(stack, func(f string) bool {
		return strings.HasPrefix(f, "ports.(*ring).") || strings.HasPrefix(f, "ports.(*wire).")
	})
}

// install lets frames of each port leave by its neighbour: 1 and 2, 3 and 4.
func install(t *testing.T, sw *agent.Switch) {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- sw.Serve(near) }()
	c, err := oftest.New(far, oftest.Config{Timeout: patience})
	must(t, err)
	must(t, c.Apply(way(1, 2), way(2, 1), way(3, 4), way(4, 3)))
	must(t, c.Close())
	<-served
}

// load sends frames into all ports at once and takes what leaves, until all have come through.
func load(t *testing.T, b *bench, sw *agent.Switch, frames int) {
	t.Helper()
	const burst = 64
	var done atomic.Bool
	var group, readers sync.WaitGroup
	for i, c := range b.cables {
		readers.Go(func() {
			for !done.Load() {
				for _, ok := c.TryReceive(); ok; _, ok = c.TryReceive() {
				}
				time.Sleep(time.Millisecond)
			}
		})
		group.Go(func() {
			read := func() uint64 { return sw.Ports()[i].RxPackets }
			for sent, before := 0, read(); sent < frames/len(b.cables); sent += burst {
				for n := range burst {
					if _, err := c.Inject(udpFrame(n%8), packet.Offload{}); err != nil {
						t.Error(err)
						return
					}
				}
				for end := time.Now().Add(patience); read()-before < uint64(sent+burst); time.Sleep(50 * time.Microsecond) {
					if time.Now().After(end) {
						t.Errorf("port %d read %d of %d frames", i+1, read()-before, sent+burst)
						return
					}
				}
			}
		})
	}
	group.Wait()
	done.Store(true)
	readers.Wait()
}
