package agent

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

func setQueue(id uint32) openflow.Action {
	return openflow.Action{Type: openflow.ActionSetQueue, Queue: id}
}

// queuedPort is a port with queues on a link of 100 Mbit/s.
func queuedPort() PortConfig {
	return PortConfig{LinkRate: 100e6, Queues: []QueueConfig{{ID: 0}, {ID: 5, MinRate: 5e6, MaxRate: 10e6}, {ID: 70000, MaxRate: 800e3}}}
}

// TestQueueMessages: set_queue chooses the queue, what is above its rate waits and goes later, and
// statistics and configuration tell of it.
func TestQueueMessages(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, queuedPort())
	b.plug(3, PortConfig{})
	p := b.connect()
	p.send(add(5, inPort(1), setQueue(70000), openflow.Output(2), openflow.Output(3)))
	p.barrier()
	for i := range 3 {
		b.send(1, frame(2, 1, string(rune('a'+i))))
	}
	b.settle()
	b.expect(frame(2, 1, "a"), 2, 3)
	b.expect(frame(2, 1, "b"), 3) // a port without queues ignores them
	b.expect(frame(2, 1, "c"), 3)
	if _, early := b.ends[2].TryReceive(); early {
		t.Error("the second frame did not wait")
	}
	b.clock.Advance(5 * time.Millisecond) // 60 bytes take 0.6 ms
	b.expect(frame(2, 1, "b"), 2)
	b.expect(frame(2, 1, "c"), 2)
	b.clock.Advance(995 * time.Millisecond)

	ask := func(port openflow.PortNo, queue uint32) (list []openflow.QueueStats) {
		for _, r := range p.ask(openflow.MultipartQueue, &openflow.QueueStatsRequest{Port: port, Queue: queue}) {
			list = append(list, *r.(*openflow.QueueStats))
		}
		return list
	}
	want := []openflow.QueueStats{{Port: 2, Queue: 0, DurationSec: 1}, {Port: 2, Queue: 5, DurationSec: 1}, {Port: 2, Queue: 70000, TxBytes: 180, TxPackets: 3, DurationSec: 1}}
	for _, got := range [][]openflow.QueueStats{ask(openflow.PortAny, openflow.QueueAll), ask(2, openflow.QueueAll)} {
		if !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	}
	if got := ask(openflow.PortAny, 5); !slices.Equal(got, want[1:2]) {
		t.Errorf("queue 5 of any port: %v", got)
	}
	if got := ask(3, openflow.QueueAll); len(got) != 0 {
		t.Errorf("a port without queues: %v", got)
	}
	for _, port := range []openflow.PortNo{2, openflow.PortAny} {
		p.send(&openflow.QueueGetConfigRequest{Port: port})
		config := expect[*openflow.QueueGetConfigReply](p).m
		if config.Port != port || !slices.Equal(config.Queues, []openflow.Queue{
			{ID: 0, Port: 2, MinRate: openflow.RateUnset, MaxRate: openflow.RateUnset},
			{ID: 5, Port: 2, MinRate: 50, MaxRate: 100}, {ID: 70000, Port: 2, MinRate: openflow.RateUnset, MaxRate: 8},
		}) {
			t.Errorf("%v", config)
		}
	}
	for _, c := range []struct {
		r    openflow.QueueStatsRequest
		code uint16
	}{
		{openflow.QueueStatsRequest{Port: 2, Queue: 6}, openflow.QOFCBadQueue}, {openflow.QueueStatsRequest{Port: 3, Queue: 0}, openflow.QOFCBadQueue},
		{openflow.QueueStatsRequest{Port: openflow.PortAny, Queue: 6}, openflow.QOFCBadQueue}, {openflow.QueueStatsRequest{Port: 8, Queue: 0}, openflow.QOFCBadPort},
		{openflow.QueueStatsRequest{Port: 2, Queue: noQueue - 1}, openflow.QOFCBadQueue},
	} {
		p.send(&openflow.MultipartRequest{Type: openflow.MultipartQueue, Records: []openflow.Record{&c.r}})
		if e := expect[*openflow.Error](p).m; !errors.Is(e, &openflow.Error{Type: openflow.ErrQueueOpFailed, Code: c.code}) {
			t.Errorf("%+v: %v", c.r, e)
		}
	}
}

// TestQueuesOfARunningPortChange: the device stays, counters too; what waited leaves.
func TestQueuesOfARunningPortChange(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, queuedPort())
	p := b.connect()
	p.send(add(5, inPort(1), setQueue(70000), openflow.Output(2)))
	p.barrier()
	for i := range 3 {
		b.send(1, frame(2, 1, string(rune('a'+i))))
	}
	b.settle()
	end := b.ends[2]
	change := func(to PortConfig) {
		t.Helper()
		cfg := b.sw.Config()
		cfg.Ports = slices.Clone(cfg.Ports)
		i := slices.IndexFunc(cfg.Ports, func(p PortConfig) bool { return p.Name == "p2" })
		cfg.Ports[i].LinkRate, cfg.Ports[i].Queues = to.LinkRate, to.Queues
		if err := b.sw.Apply(cfg); err != nil {
			t.Fatal(err)
		}
	}
	change(PortConfig{Queues: []QueueConfig{{ID: 70000, MaxRate: 1e9}}})
	for i := range 3 {
		b.expect(frame(2, 1, string(rune('a'+i))), 2)
	}
	if st := b.sw.Ports()[1].Queues; len(st) != 1 || st[0].TxPackets != 3 || st[0].MaxRate != 1e9 {
		t.Errorf("%+v", st)
	}
	change(PortConfig{})
	b.send(1, frame(2, 1, "d"))
	b.expect(frame(2, 1, "d"), 2)
	b.settle() // a frame arrives before the port has counted it
	if st := b.sw.Ports()[1]; len(st.Queues) != 0 || st.TxPackets != 4 || b.sw.env.Pipes == nil || end != b.ends[2] {
		t.Errorf("%+v", st)
	}
	change(queuedPort())
	for range 3 {
		b.send(1, frame(2, 1, "e"))
	}
	b.settle()
	if err := b.sw.RemovePort("p2"); err != nil { // with frames that wait
		t.Fatal(err)
	}
	b.clock.Advance(time.Second)
}

// TestQueueRatesInRealTime: two senders of one queue each, through a running switch, on the machine's clock. At no time has
// more come than the rates allow; as much as they promise comes in one window of several, for the machine may be busy.
func TestQueueRatesInRealTime(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	b := newBench(t, 1, func(_ *BridgeConfig, e *Env) { e.Clock = NewClock() })
	b.plug(2, PortConfig{LinkRate: 20e6, Queues: []QueueConfig{{ID: 1, MaxRate: 4e6}, {ID: 2, MinRate: 12e6}}})
	p := b.connect()
	p.send(deleteAll())
	p.send(add(5, openflow.NewMatch(openflow.Exact(openflow.EthSrc, 0x020000000001)), setQueue(1), openflow.Output(2)))
	p.send(add(5, openflow.NewMatch(openflow.Exact(openflow.EthSrc, 0x020000000002)), setQueue(2), openflow.Output(2)))
	p.send(add(5, openflow.NewMatch(openflow.Exact(openflow.EthSrc, 0x020000000003)), openflow.Output(2)))
	p.barrier()
	begin := time.Now()
	b.flood20Mbit(begin)
	var all [4]float64
	for range 10 {
		start := time.Now()
		bits := b.bitsFrom(2, 1200*time.Millisecond)
		for i := range bits {
			all[i] += bits[i]
			bits[i] /= time.Since(start).Seconds()
		}
		t.Logf("%.0f bit/s", bits)
		seconds := 1.02*time.Since(begin).Seconds() + 0.05
		if sum := all[1] + all[2] + all[3]; all[1] > 4e6*seconds || sum > 20e6*seconds {
			t.Fatalf("after %v queue 1 with max-rate 4 Mbit has sent %.0f bits, the link of 20 Mbit %.0f", time.Since(begin), all[1], sum)
		}
		if bits[1] >= 4e6*0.5 && bits[2] >= 12e6*0.8 && bits[1]+bits[2]+bits[3] >= 20e6*0.7 {
			return
		}
	}
	t.Error("in no window max-rate 4 Mbit, min-rate 12 Mbit and a link of 20 Mbit were made use of")
}

// flood20Mbit sends 20 Mbit/s from each of three sources into port 1 until the test ends, also when the goroutine comes late.
func (b *bench) flood20Mbit(begin time.Time) {
	var sender sync.WaitGroup
	sender.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for sent := 0; b.t.Context().Err() == nil; <-tick.C {
			for due := int(time.Since(begin) / (400 * time.Microsecond)); sent <= due; sent++ {
				for src := byte(1); src <= 3; src++ {
					_ = b.ends[1].Inject(append(frame(9, src, ""), make([]byte, 940)...)) // a full pipe is what we want
				}
			}
		}
	})
	b.t.Cleanup(sender.Wait)
}

// bitsFrom counts what leaves by a port in some time, by the last byte of the source.
func (b *bench) bitsFrom(no uint32, window time.Duration) (bits [4]float64) {
	ctx, cancel := context.WithTimeout(b.t.Context(), window)
	defer cancel()
	for {
		f, err := b.ends[no].Receive(ctx)
		if err != nil {
			return bits
		}
		bits[f.Bytes()[11]] += float64(8 * f.Len())
	}
}

func TestOvsOfctlQueues(t *testing.T) {
	o := newOvsOfctl(t)
	b := o.bench(1)
	b.plug(2, queuedPort())
	o.run("add-flow", "br0", "in_port=1,actions=set_queue:5,output:2")
	b.send(1, make([]byte, 100))
	b.settle()
	stats := o.run("queue-stats", "br0")
	want := regexp.MustCompile(`^OFPST_QUEUE reply \(OF1.3\) \(xid=0x2\): 3 queues
  port 2 queue 0: bytes=0, pkts=0, errors=0, duration=\d(\.\d+)?s
  port 2 queue 5: bytes=100, pkts=1, errors=0, duration=\d(\.\d+)?s
  port 2 queue 70000: bytes=0, pkts=0, errors=0, duration=\d(\.\d+)?s
$`)
	if !want.MatchString(stats) {
		t.Errorf("queue-stats:\n%s", stats)
	}
	config := o.run("queue-get-config", "br0", "2")
	if config != `OFPT_QUEUE_GET_CONFIG_REPLY (OF1.3) (xid=0x2): port=2
queue 0:
queue 5: min_rate:5.0% max_rate:10.0%
queue 70000: max_rate:0.8%
` {
		t.Errorf("queue-get-config:\n%s", config)
	}
	for args, code := range map[string]string{"queue-stats br0 2 6": "OFPQOFC_BAD_QUEUE", "queue-stats br0 9 6": "OFPQOFC_BAD_PORT", "queue-get-config br0 9": "OFPQOFC_BAD_PORT"} {
		if out, _ := o.try(strings.Fields(args)...); !strings.Contains(out, code) {
			t.Errorf("%s:\n%s", args, out)
		}
	}
}

func TestQueueText(t *testing.T) {
	for text, want := range map[string]string{
		"eth1,queue=0:min-rate=10Mbit:max-rate=100Mbit": "eth1,name=eth1,queue=0:min-rate=10Mbit:max-rate=100Mbit",
		"eth1,queue=2,queue=1,link-rate=1.5gbit":        "eth1,name=eth1,link-rate=1500Mbit,queue=1,queue=2",
		"eth1,queue=9:max-rate=1234567bit":              "eth1,name=eth1,queue=9:max-rate=1234567bit",
	} {
		p, err := ParsePort(text)
		if err != nil || p.String() != want {
			t.Errorf("%s: %q, %v", text, p.String(), err)
		}
	}
	for text, want := range map[string]string{
		"eth1,queue=":                                    "is not the number of a queue",
		"eth1,queue=4294967295":                          "expected 0 to 4294967294",
		"eth1,queue=1:rate=1Mbit":                        "expected min-rate=RATE or max-rate=RATE",
		"eth1,queue=1:max-rate=10":                       "expected a number with its unit",
		"eth1,queue=1:max-rate=-1Mbit":                   "expected a number with its unit",
		"eth1,queue=1:max-rate=1e9Mbit":                  "expected a number with its unit",
		"eth1,queue=1:max-rate=1bit":                     "expected 1kbit to 400Gbit",
		"eth1,queue=1:max-rate=401Gbit":                  "expected 1kbit to 400Gbit",
		"eth1,queue=1,queue=1":                           "queue 1 is there twice",
		"eth1,queue=1:min-rate=2Mbit:max-rate=1Mbit":     "min-rate 2Mbit is more than max-rate 1Mbit",
		"eth1,link-rate=1Mbit,queue=1:min-rate=1001kbit": "add up to 1001kbit, more than the link-rate 1Mbit",
		"eth1,link-rate=1Mbit":                           "a link-rate is shared by queues",
		"eth1" + strings.Repeat(",queue=1", 65):          "queue 1 is there twice",
	} {
		var bad *ports.SpecError
		if _, err := ParsePort(text); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", text, err, want)
		}
	}
}

func TestQueuesInAFile(t *testing.T) {
	for text, want := range map[string]string{
		"{id: 1, max-rate: 5}":           "w.yaml:4: bridges[0].ports[0].queues[0].max-rate: \"5\" is not a rate",
		"{max-rate: 5Mbit}":              "the queue has no id: add one",
		"{id: 1, max_rate: 5Mbit}":       "did you mean \"max-rate\"?",
		"{id: 1}, \"1:max-rate=1Mbit\"":  "queue 1 is there twice",
		"\"x\"":                          "is not the number of a queue",
		"{id: 1, min-rate: 1Mbit}, [[]]": "expected keys and values",
	} {
		_, err := ParseConfig("w.yaml", []byte("bridges:\n- name: br0\n  ports:\n  - {port: eth1, queues: ["+text+"]}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", text, err, want)
		}
	}
	_, err := ParseConfig("w.yaml", []byte("bridges: [{name: br0, ports: [{port: \"internal:br0\", queues: [{id: 1}]}]}]"))
	if err == nil || !strings.Contains(err.Error(), "no queues") {
		t.Errorf("%v", err)
	}
}

// TestForwardingDoesNotAllocateBesideQueues: a port without queues costs nothing more than before.
func TestForwardingDoesNotAllocateBesideQueues(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, queuedPort())
	b.plug(3, PortConfig{})
	w := <-b.sw.workers
	defer func() { b.sw.workers <- w }()
	w.begin()
	for _, no := range []uint32{2, 3} {
		f := packet.NewFrame(100)
		f.SetBytes(frame(1, 2, ""))
		run := func() {
			for range 8 {
				w.Output(no, 0, f)
			}
			w.flush()
			for {
				if _, more := b.ends[no].TryReceive(); !more {
					break
				}
			}
		}
		run()
		w.now += time.Second
		if n := testing.AllocsPerRun(50, func() {
			w.now += time.Second
			for range 8 {
				w.Output(no, 0, f)
			}
			w.flush()
		}); n > 0 {
			t.Errorf("port %d: %v allocations a batch", no, n)
		}
	}
}
