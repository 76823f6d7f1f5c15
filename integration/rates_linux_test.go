package integration

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/integration/lab"
)

// headers is what a UDP datagram over IPv4 has beside its payload on the wire.
const headers = 14 + 20 + 8

// blast is a source of UDP datagrams of one size at a steady rate. Above what single writes reach they leave the host as
// super-frames, many in one write.
type blast struct {
	conn    net.Conn
	payload int
	at      int // datagrams in one write
	offered atomic.Int64
	silence atomic.Int64 // the longest time between two writes, in nanoseconds, since it was read
	stop    chan struct{}
	wg      sync.WaitGroup
}

// startBlast sends perSecond datagrams a second from one host to a port of another.
func startBlast(t *testing.T, from *lab.Host, to netip.AddrPort, payload int, perSecond float64) *blast {
	t.Helper()
	b := &blast{payload: payload, at: 1, stop: make(chan struct{})}
	var err error
	if b.conn, err = from.Dial(context.Background(), "udp", to.String()); err != nil {
		t.Fatal(err)
	}
	if perSecond > 20_000 {
		b.at = min(40, 60_000/payload)
		raw, err := b.conn.(*net.UDPConn).SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, payload)
			})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b.wg.Go(func() { b.run(perSecond) })
	t.Cleanup(b.end)
	return b
}

// run writes what is due, and forgets what it is behind by more than a tenth of a second.
func (b *blast) run(perSecond float64) {
	data := make([]byte, b.payload*b.at)
	start, last := time.Now(), time.Now()
	for sent := 0.0; ; {
		select {
		case <-b.stop:
			return
		case <-time.After(200 * time.Microsecond):
		}
		now := time.Now()
		due := now.Sub(start).Seconds() * perSecond
		sent = max(sent, due-perSecond/10)
		for ; sent+float64(b.at) <= due; sent += float64(b.at) {
			if _, err := b.conn.Write(data); err == nil {
				b.offered.Add(int64(b.at))
			}
			now := time.Now()
			b.silence.Store(max(b.silence.Load(), int64(now.Sub(last))))
			last = now
		}
	}
}

func (b *blast) end() {
	select {
	case <-b.stop:
	default:
		close(b.stop)
	}
	b.wg.Wait()
	b.conn.Close()
}

// deaf opens a UDP socket that nobody reads: the kernel counts what comes for it, which costs it little.
func deaf(t *testing.T, h *lab.Host) netip.AddrPort {
	t.Helper()
	pc, err := h.ListenPacket("udp", netip.AddrPortFrom(h.Addr4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	_ = pc.(*net.UDPConn).SetReadBuffer(1)
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// datagrams is how many UDP datagrams the host's kernel has received, those included that found a full socket.
func datagrams(t *testing.T, h *lab.Host) (n int64) {
	t.Helper()
	var text []byte
	err := h.Do(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/snmp")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for i, l := range lines {
		if !strings.HasPrefix(l, "Udp: In") {
			continue
		}
		values := strings.Fields(lines[i+1])
		for col, name := range strings.Fields(l) {
			if name == "InDatagrams" || name == "InErrors" {
				v, _ := strconv.ParseInt(values[col], 10, 64)
				n += v
			}
		}
		return n
	}
	t.Fatalf("no UDP counters in %s", text)
	return 0
}

// passed is the rate of datagrams that reach the hosts over a time, for each a second.
func passed(t *testing.T, d time.Duration, hosts ...*lab.Host) []float64 {
	t.Helper()
	n, at := make([]int64, len(hosts)), make([]time.Time, len(hosts))
	for i, h := range hosts {
		n[i], at[i] = datagrams(t, h), time.Now()
	}
	time.Sleep(d) // the rate is over this time, no condition can stand for it
	rates := make([]float64, len(hosts))
	for i, h := range hosts {
		now, took := datagrams(t, h), time.Since(at[i])
		rates[i] = float64(now-n[i]) / took.Seconds()
	}
	return rates
}

// metered is a meter with more traffic than it lets pass.
type metered struct {
	unit    string // kbps or pktps
	rate    float64
	payload int
}

// perSecond is the rate in datagrams.
func (m metered) perSecond() float64 {
	if m.unit == "kbps" {
		return m.rate * 1000 / 8 / float64(m.payload+headers)
	}
	return m.rate
}

// meterBurst is what a meter's bucket holds, in seconds of its rate: a machine that stops for longer takes from the rate.
const meterBurst = 0.2

// TestMeterRatesOverVeth offers real devices more than meters let pass, from 100 kbit/s and 100 packets a second up to
// 1 Gbit/s and 100,000 packets a second, or what the machine reaches of it, and lets the receiver's kernel count.
func TestMeterRatesOverVeth(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(5)
	b.start1("--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3", "--port", "4:eth4", "--port", "5:eth5")
	pingAll(t, hosts)
	b.meters(t, hosts, 3*time.Second, []metered{{"kbps", 100, 64}, {"pktps", 100, 64}, {"kbps", 20_000, 1458}, {"pktps", 3000, 64}})
	for _, m := range []metered{{"kbps", 1_000_000, 1458}, {"pktps", 100_000, 64}} {
		if most := b.reach(t, hosts, m); most < 1.25*m.perSecond() {
			t.Logf("the machine carries %.0f datagrams a second now, too few for %s %.0f: a lower rate", most, m.unit, m.rate)
			m.rate = math.Floor(m.rate * most / 1.6 / m.perSecond())
		}
		b.meters(t, hosts, time.Second, []metered{m})
	}
}

// reach is how many such datagrams a second get through without a meter when more are offered than the meter's rate.
func (b *bed) reach(t *testing.T, hosts []*lab.Host, m metered) float64 {
	t.Helper()
	bl := startBlast(t, hosts[0], deaf(t, hosts[1]), m.payload, 1.6*m.perSecond())
	defer bl.end()
	return passed(t, 500*time.Millisecond, hosts[1])[0]
}

// meters runs the meters at once, each between the first host and another one.
func (b *bed) meters(t *testing.T, hosts []*lab.Host, window time.Duration, list []metered) {
	t.Helper()
	var blasts []*blast
	for i, m := range list {
		to := deaf(t, hosts[i+1])
		b.ofctl("add-meter", "br0", fmt.Sprintf("meter=%d,%s,burst,stats,band=type=drop,rate=%.0f,burst_size=%.0f", i+1, m.unit, m.rate, math.Ceil(m.rate*meterBurst)))
		b.ofctl("add-flow", "br0", fmt.Sprintf("priority=9,in_port=1,udp,tp_dst=%d,actions=meter:%d,output:%d", to.Port(), i+1, i+2))
		blasts = append(blasts, startBlast(t, hosts[0], to, m.payload, 1.6*m.perSecond()))
	}
	defer func() {
		for _, bl := range blasts {
			bl.end()
		}
		b.ofctl("del-meters", "br0")
	}()
	eventually(t, "all buckets are empty", func() error {
		for i := range list {
			text := b.ofctl("meter-stats", "br0", fmt.Sprintf("meter=%d", i+1))
			if m := bandPackets.FindStringSubmatch(text); m == nil || m[1] == "0" {
				return fmt.Errorf("%s", text)
			}
		}
		return nil
	})
	wrong := list // not yet within 2 %; each may have its own moment in which nothing else took the processors
	for try := range 12 {
		for _, bl := range blasts {
			bl.silence.Store(0)
		}
		rates := passed(t, window, hosts[1:len(list)+1]...)
		var still []metered
		for i, m := range list {
			off := rates[i]/m.perSecond() - 1
			t.Logf("try %d, %s %.0f: %.1f datagrams a second of %.1f passed, %+.2f %%; longest silence of the sender %v", try, m.unit, m.rate, rates[i],
				m.perSecond(), 100*off, time.Duration(blasts[i].silence.Load()).Round(time.Millisecond))
			if math.Abs(off) > 0.02 && slices.Contains(wrong, m) {
				still = append(still, m)
			}
		}
		if wrong = still; wrong == nil {
			return
		}
	}
	t.Errorf("%v are not within 2 %% of their rate in any of the tries", wrong)
}

var bandPackets = regexp.MustCompile(`\n0: packet_count:(\d+)`)

// ear reads datagrams and counts their bytes as on the wire.
type ear struct {
	addr  netip.AddrPort
	bytes atomic.Int64
}

func listen(t *testing.T, h *lab.Host) *ear {
	t.Helper()
	pc, err := h.ListenPacket("udp", netip.AddrPortFrom(h.Addr4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	e := &ear{addr: pc.LocalAddr().(*net.UDPAddr).AddrPort()}
	go func() {
		buf := make([]byte, 70000)
		for {
			n, _, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			e.bytes.Add(int64(n + headers))
		}
	}()
	return e
}

// heard is the rate of each ear over a time, in Mbit/s.
func heard(d time.Duration, ears ...*ear) []float64 {
	n, at := make([]int64, len(ears)), time.Now()
	for i, e := range ears {
		n[i] = e.bytes.Load()
	}
	time.Sleep(d) // the rate is over this time
	took := time.Since(at).Seconds()
	rates := make([]float64, len(ears))
	for i, e := range ears {
		rates[i] = float64(e.bytes.Load()-n[i]) * 8 / took / 1e6
	}
	return rates
}

// mbit is a rate in datagrams of 1200 bytes a second.
func mbit(n float64) float64 { return n * 1e6 / 8 / (1200 + headers) }

// TestQueuesOverVeth fills ports with queues by real traffic: max-rate is kept within 5 %, min-rate held against others,
// ovs-ofctl reads rates and counters, and the traffic control that somebody else has put on a device stays as it was and
// works.
func TestQueuesOverVeth(t *testing.T) {
	need(t, "ovs-ofctl", "tc")
	b := newBed(t)
	hosts := b.addHosts(4)
	_, noHTB := b.try("tc", "qdisc", "add", "dev", "eth4", "root", "handle", "5:", "htb", "default", "1")
	if noHTB == nil {
		b.must("tc", "class", "add", "dev", "eth4", "parent", "5:", "classid", "5:1", "htb", "rate", "8mbit", "burst", "15k")
	}
	tcBefore := b.must("tc", "qdisc", "show") + b.must("tc", "class", "show", "dev", "eth4")
	b.startYAML([]string{"br0"}, `
bridges:
  - name: br0
    ports:
      - port: "1:eth1"
      - port: "2:eth2"
      - port: "3:eth3"
        link-rate: 100Mbit
        queues:
          - {id: 1, max-rate: 20Mbit}
          - {id: 2, min-rate: 60Mbit}
          - {id: 3}
      - port: "4:eth4"
        link-rate: 100Mbit
        queues:
          - {id: 1, max-rate: 20Mbit}
          - {id: 2, max-rate: 4Mbit}
`)
	pingAll(t, hosts)
	wants(t, "queue-get-config", b.ofctl("queue-get-config", "br0", "3"), "queue 1: max_rate:20.0%", "queue 2: min_rate:60.0%", "queue 3:")
	queue := func(in, port int, e *ear, id int) {
		b.ofctl("add-flow", "br0", fmt.Sprintf("priority=9,in_port=%d,udp,tp_dst=%d,actions=set_queue:%d,output:%d", in, e.addr.Port(), id, port))
	}

	t.Run("max-rate", func(t *testing.T) {
		e := listen(t, hosts[2])
		queue(1, 3, e, 1)
		bl := startBlast(t, hosts[0], e.addr, 1200, mbit(40))
		defer bl.end()
		b.nearRate(t, 20, []*ear{e}, []float64{19}, []float64{21})
		if s := b.queueStats(t, 3, 1); s.packets == 0 || s.bytes == 0 || s.errors == 0 {
			t.Errorf("queue-stats: %+v", s)
		}
	})
	t.Run("min-rate", func(t *testing.T) {
		granted, greedy := listen(t, hosts[2]), listen(t, hosts[2])
		queue(1, 3, granted, 2)
		queue(2, 3, greedy, 3)
		one := startBlast(t, hosts[0], granted.addr, 1200, mbit(130))
		defer one.end()
		two := startBlast(t, hosts[1], greedy.addr, 1200, mbit(130))
		defer two.end()
		// Both want more than the link has: the first gets its 60 and half of the rest.
		b.nearRate(t, 100, []*ear{granted, greedy}, []float64{72, 17}, []float64{85, 23})
	})
	t.Run("beside tc", func(t *testing.T) {
		if noHTB != nil {
			lacking(t, "the kernel has no htb: %v", noHTB)
		}
		above, below := listen(t, hosts[3]), listen(t, hosts[3])
		queue(1, 4, above, 1)
		queue(2, 4, below, 2)
		one := startBlast(t, hosts[0], above.addr, 1200, mbit(30))
		b.nearRate(t, 8, []*ear{above}, []float64{7.4}, []float64{8.4}) // tc's 8, not the queue's 20
		one.end()
		eventually(t, "the device's queue is empty", func() error {
			if text := b.must("tc", "-s", "qdisc", "show", "dev", "eth4"); !strings.Contains(text, "backlog 0b 0p") {
				return fmt.Errorf("%s", text)
			}
			return nil
		})
		two := startBlast(t, hosts[1], below.addr, 1200, mbit(30))
		defer two.end()
		b.nearRate(t, 4, []*ear{below}, []float64{3.8}, []float64{4.2}) // the queue's 4, not tc's 8
	})
	if now := b.must("tc", "qdisc", "show") + b.must("tc", "class", "show", "dev", "eth4"); now != tcBefore {
		t.Errorf("the devices' traffic control was\n%snow it is\n%s", tcBefore, now)
	}
}

// nearRate demands rates in Mbit/s between bounds in one window of half a second out of many: while something else has the
// processors, the senders and the ears among them, no window says anything. Over all of them more than the link must
// not have come.
func (b *bed) nearRate(t *testing.T, link float64, ears []*ear, low, high []float64) {
	t.Helper()
	sum := func() (bits float64) {
		for _, e := range ears {
			bits += float64(e.bytes.Load()) * 8 / 1e6
		}
		return bits
	}
	before, start := sum(), time.Now()
	heard(200*time.Millisecond, ears...) // what waited for the first moment goes
	found := false
	for try := 0; try < 24 && !found; try++ {
		rates := heard(500*time.Millisecond, ears...)
		t.Logf("%.2f Mbit/s, wanted %v to %v", rates, low, high)
		found = true
		for i, r := range rates {
			found = found && r >= low[i] && r <= high[i]
		}
	}
	if !found {
		t.Errorf("no window was within %v and %v Mbit/s", low, high)
	}
	// 0.3 seconds of the rate may have waited in the switch and for the ears.
	if got, most := sum()-before, 1.02*link*(time.Since(start).Seconds()+0.3); got > most {
		t.Errorf("%.1f Mbit came where the rate allows %.1f", got, most)
	}
}

type queueStats struct{ bytes, packets, errors uint64 }

var queueLine = regexp.MustCompile(`port \S+ queue (\d+): bytes=(\d+), pkts=(\d+), errors=(\d+)`)

// queueStats reads the counters of a queue by the real ovs-ofctl.
func (b *bed) queueStats(t *testing.T, port, queue int) (s queueStats) {
	t.Helper()
	text := b.ofctl("queue-stats", "br0", strconv.Itoa(port), strconv.Itoa(queue))
	m := queueLine.FindStringSubmatch(text)
	if m == nil || m[1] != strconv.Itoa(queue) {
		t.Fatalf("queue-stats: %q", text)
	}
	for i, p := range []*uint64{&s.bytes, &s.packets, &s.errors} {
		*p, _ = strconv.ParseUint(m[i+2], 10, 64)
	}
	return s
}
