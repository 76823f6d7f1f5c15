package flowtable

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
)

// newBridge is a rig that does nothing but NORMAL.
func newBridge(t testing.TB, c Config, ports []Port) *rig {
	r := newRig(t, c, ports)
	r.flow(0, 0, openflow.Match{}, openflow.ApplyActions(openflow.Output(openflow.PortNormal)))
	return r
}

func TestLearning(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newBridge(t, c, upPorts(4))
		expect := func(in uint32, e ethernet, want ...uint32) {
			t.Helper()
			if got := r.outPorts(in, udpFrame(e, 64, 1, 2)); !slices.Equal(got, want) {
				t.Errorf("%s -> %s by port %d went to %v, expected %v", e.src, e.dst, in, got, want)
			}
		}
		expect(1, ethernet{dst: "2", src: "1"}, 2, 3, 4)
		expect(2, ethernet{dst: "1", src: "2"}, 1)
		expect(1, ethernet{dst: "2", src: "1"}, 2)
		expect(3, ethernet{dst: broadcast, src: "3"}, 1, 2, 4)
		expect(4, ethernet{dst: "3", src: "01:00:5e:00:00:01"}, 3) // a group source teaches nothing
		expect(2, ethernet{dst: "1", src: "1"})                    // moved to where it is asked for: not sent back
		expect(3, ethernet{dst: "1", src: "3"}, 2)
		if n := r.MACStats(); n.Size != 3 || n.Moved != 1 {
			t.Errorf("%+v, expected 3 addresses and a move", n)
		}
		// A gratuitous ARP is enough to move a station.
		if got := r.outPorts(4, arpFrame(ethernet{dst: broadcast, src: "1"}, 2, 1, 1)); len(got) != 3 {
			t.Errorf("gratuitous ARP went to %v", got)
		}
		expect(3, ethernet{dst: "1", src: "3"}, 4)
	})
}

func TestAgeing(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newBridge(t, c, upPorts(3))
		r.send(1, udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2))
		r.now = 200 * time.Second
		r.send(2, udpFrame(ethernet{dst: "1", src: "2"}, 64, 1, 2))
		r.now = 299 * time.Second
		r.Expire(r.now)
		if n := len(r.MACs(r.now)); n != 2 {
			t.Fatalf("%d addresses at 299 s", n)
		}
		r.now = 300 * time.Second
		if got := r.outPorts(2, udpFrame(ethernet{dst: "1", src: "2"}, 64, 1, 2)); len(got) != 2 {
			t.Errorf("to an aged address: %v, expected flooding", got)
		}
		r.Expire(r.now)
		if n := r.MACStats(); n.Size != 1 || n.Expired != 1 {
			t.Errorf("%+v", n)
		}
	})
}

// TestAgeingLooksAtWhatIsDue: a full table of busy stations must not be walked by every Expire, under
// the lock that learning waits for. The agenda shows it: what was looked at has its true time there.
func TestAgeingLooksAtWhatIsDue(t *testing.T) {
	p := New(Config{MACAge: 300 * time.Second})
	learn := func(mac uint64, now time.Duration) { p.macs.learn(newMACKey(mac, 0), 1, now) }
	learn(1, 0)
	learn(2, 0)
	learn(1, 2*time.Second)
	learn(2, 4*time.Second)
	p.Expire(5 * time.Second)
	if when, _, any := p.macs.agenda.next(); !any || when != 0 {
		t.Errorf("Expire after 5 s of 300 looked at a station and put it at %v", when)
	}
	if p.Expire(302 * time.Second); p.MACStats().Size != 1 {
		t.Errorf("after the age of one: %+v", p.MACStats())
	}
	if p.Expire(304 * time.Second); p.MACStats().Size != 0 || p.MACStats().Expired != 2 {
		t.Errorf("after the age of both: %+v", p.MACStats())
	}
}

func TestMACTableLimit(t *testing.T) {
	r := newBridge(t, Config{MACTableSize: 3}, upPorts(3))
	from := func(s string) {
		r.now += time.Second
		r.send(1, udpFrame(ethernet{dst: "9", src: s}, 64, 1, 2))
	}
	for _, s := range []string{"1", "2", "3", "1", "4", "5"} {
		from(s)
	}
	var left []string
	for _, m := range r.MACs(r.now) {
		left = append(left, fmt.Sprint(m.MAC[5]))
	}
	if got := strings.Join(left, " "); got != "1 4 5" {
		t.Errorf("left %s, expected 1 4 5: the oldest go first", got)
	}
	if n := r.MACStats(); n.Evicted != 2 || n.Size != 3 {
		t.Errorf("%+v", n)
	}
}

// TestMACTableChangesWhileItRuns: size, age and the reserved addresses change under a table that
// keeps what it knows.
func TestMACTableChangesWhileItRuns(t *testing.T) {
	r := newBridge(t, Config{MACTableSize: 4, MACAge: time.Minute}, upPorts(3))
	learn := func(n int) {
		r.now += time.Second
		r.send(1, udpFrame(ethernet{dst: "9", src: fmt.Sprint(n)}, 64, 1, 2))
	}
	known := func() (list []int) {
		for _, m := range r.MACs(r.now) {
			list = append(list, int(m.MAC[5]))
		}
		return list
	}
	for n := 1; n <= 4; n++ {
		learn(n)
	}
	if err := r.AddMAC(0, [6]byte{2, 0, 0, 0, 0, 8}, 3); err != nil { // in the place of 1
		t.Fatal(err)
	}
	r.SetMACTable(1000, time.Minute)
	if got := known(); !slices.Equal(got, []int{2, 3, 4, 8}) || r.MACStats().Limit != 1000 {
		t.Errorf("grown: knows %v, %+v", got, r.MACStats())
	}
	learn(2)
	learn(5)
	if got := r.outPorts(2, udpFrame(ethernet{dst: "3", src: "7"}, 64, 1, 2)); !slices.Equal(got, []uint32{1}) {
		t.Errorf("to an address learned before: %v", got)
	}
	r.SetMACTable(3, 0)
	if got := known(); !slices.Equal(got, []int{5, 7, 8}) {
		t.Errorf("shrunk: knows %v, expected the static one and the last two seen", got)
	}
	r.SetMACTable(3, 500*time.Millisecond)
	r.now += time.Second
	r.Expire(r.now)
	if got := known(); !slices.Equal(got, []int{8}) {
		t.Errorf("a shorter age: knows %v", got)
	}
	reserved := udpFrame(ethernet{dst: "01:80:c2:00:00:00", src: "1"}, 64, 1, 2)
	for _, on := range []bool{true, false} {
		r.SetForwardReserved(on)
		if got := r.outPorts(1, reserved); (len(got) == 2) != on {
			t.Errorf("SetForwardReserved(%v): %v", on, got)
		}
	}
}

func TestFlushAndStatic(t *testing.T) {
	r := newBridge(t, Config{MACTableSize: 4}, upPorts(4))
	learn := func() {
		r.send(1, udpFrame(ethernet{dst: "9", src: "1"}, 64, 1, 2))
		r.send(2, udpFrame(ethernet{dst: "9", src: "2", vlans: []uint16{7}}, 64, 1, 2))
	}
	learn()
	if n := r.FlushMACs(MACFilter{VLAN: 7, ByVLAN: true}); n != 1 {
		t.Errorf("flush of VLAN 7 took %d", n)
	}
	learn()
	if n := r.FlushMACs(MACFilter{Port: 1}); n != 1 {
		t.Errorf("flush of port 1 took %d", n)
	}
	learn()
	if err := r.AddMAC(0, [6]byte{2, 0, 0, 0, 0, 8}, 3); err != nil {
		t.Fatal(err)
	}
	if err := r.AddMAC(0, [6]byte{3, 0, 0, 0, 0, 8}, 3); err == nil {
		t.Error("a group address was accepted")
	}
	// Frames from the static address elsewhere do not move it, time and flushing do not remove it.
	r.send(4, udpFrame(ethernet{dst: "9", src: "8"}, 64, 1, 2))
	r.now = time.Hour
	r.Expire(r.now)
	r.FlushMACs(MACFilter{})
	if got := r.outPorts(1, udpFrame(ethernet{dst: "8", src: "1"}, 64, 1, 2)); !slices.Equal(got, []uint32{3}) {
		t.Errorf("static address: sent to %v", got)
	}
	if !r.RemoveMAC(0, [6]byte{2, 0, 0, 0, 0, 8}) || r.RemoveMAC(0, [6]byte{2, 0, 0, 0, 0, 8}) {
		t.Error("RemoveMAC")
	}
	ports := upPorts(4)
	ports[0].LinkUp = false
	r.SetPorts(ports)
	if list := r.MACs(r.now); len(list) != 0 {
		t.Errorf("after the link went down: %v", list)
	}
}

func TestReservedAddresses(t *testing.T) {
	for _, forward := range []bool{false, true} {
		eachPath(t, func(t *testing.T, c Config) {
			c.ForwardReserved = forward
			r := newBridge(t, c, upPorts(3))
			for last := range 17 {
				want := 2
				if last < 16 && !forward {
					want = 0
				}
				e := ethernet{dst: fmt.Sprintf("01:80:c2:00:00:%02x", last), src: "1"}
				if got := r.outPorts(1, udpFrame(e, 64, 1, 2)); len(got) != want {
					t.Errorf("ForwardReserved=%v: %s went to %v", forward, e.dst, got)
				}
			}
		})
	}
}

// TestVLANModes: a frame arrives by each kind of port with each kind of tag; what leaves by each of
// the others, and how. The words are "port:tag", tag "-" meaning none.
func TestVLANModes(t *testing.T) {
	ports := upPorts(7)
	ports[1].VLAN = VLANConfig{Mode: VLANAccess, Tag: 10}
	ports[2].VLAN = VLANConfig{Mode: VLANTrunk, Trunks: []uint16{10, 20}}
	ports[3].VLAN = VLANConfig{Mode: VLANNativeTagged, Tag: 10}
	ports[4].VLAN = VLANConfig{Mode: VLANNativeUntagged, Tag: 10, Trunks: []uint16{20}}
	ports[5].VLAN = VLANConfig{Mode: VLANAccess, Tag: 20}
	ports[6].NoFlood = true
	const none, prio = -1, 5 << 13
	for _, tt := range []struct {
		in   uint32
		tci  int
		want string
	}{
		// Port 1 is a plain trunk of all VLANs. So is 4, but for its native one, beside which there
		// is no VLAN 0, as in Open vSwitch.
		{1, none, ""},
		{1, 10, "2:- 3:10 4:10 5:-"},
		{1, 20, "3:20 4:20 5:20 6:-"},
		{1, 30, "4:30"},
		{1, prio, ""},
		// Access port of VLAN 10: no tags come in but priority ones.
		{2, none, "1:10 3:10 4:10 5:-"},
		{2, 10, ""},
		{2, prio, "1:40970 3:40970 4:40970 5:40960"},
		// Trunk of 10 and 20: untagged frames would be VLAN 0, which it does not carry.
		{3, none, ""},
		{3, 10, "1:10 2:- 4:10 5:-"},
		{3, 30, ""},
		// Native VLANs.
		{4, none, "1:10 2:- 3:10 5:-"},
		{4, 10, "1:10 2:- 3:10 5:-"},
		{5, none, "1:10 2:- 3:10 4:10"},
		{5, 20, "1:20 3:20 4:20 6:-"},
		{5, 30, ""},
		{6, none, "1:20 3:20 4:20 5:20"},
	} {
		eachPath(t, func(t *testing.T, c Config) {
			r := newBridge(t, c, ports)
			e := ethernet{dst: broadcast, src: "1"}
			if tt.tci != none {
				e.vlans = []uint16{uint16(tt.tci)}
			}
			r.send(tt.in, udpFrame(e, 64, 1, 2))
			var got []string
			for _, ev := range r.send(tt.in, udpFrame(e, 64, 1, 2)) {
				var port, queue int
				var frame []byte
				fmt.Sscanf(ev, "out %d/%d %x", &port, &queue, &frame)
				tag := "-"
				if frame[12] == 0x81 {
					tag = fmt.Sprint(int(frame[14])<<8 | int(frame[15]))
				}
				got = append(got, fmt.Sprintf("%d:%s", port, tag))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("by port %d with tag %d: %q, expected %q", tt.in, tt.tci, s, tt.want)
			}
		})
	}
}

// TestNoVLAN0BesideNative: frames of VLAN 0 left by a port with a native VLAN, where the neighbour takes them for that one's.
func TestNoVLAN0BesideNative(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		ports := upPorts(4)
		ports[1].VLAN = VLANConfig{Mode: VLANNativeTagged, Tag: 10}
		ports[2].VLAN = VLANConfig{Mode: VLANNativeUntagged, Tag: 10, Trunks: []uint16{0, 20}}
		r := newBridge(t, c, ports)
		frame := udpFrame(ethernet{dst: broadcast, src: "1"}, 64, 1, 2)
		if got := r.send(1, frame); len(got) != 1 || got[0] != outputEvent(4, 0, frame) {
			t.Errorf("untagged by a trunk: %v, expected it by port 4 alone", got)
		}
		tagged := udpFrame(ethernet{dst: broadcast, src: "1", vlans: []uint16{30}}, 64, 1, 2)
		if got := r.send(1, tagged); len(got) != 2 || got[0] != outputEvent(2, 0, tagged) {
			t.Errorf("VLAN 30: %v, expected it by ports 2 and 4", got)
		}
	})
}

// TestVLANsLearnApart: the same address may be behind another port in another VLAN, and a unicast
// gets or loses its tag like a flooded frame.
func TestVLANsLearnApart(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		ports := upPorts(3)
		ports[1].VLAN = VLANConfig{Mode: VLANAccess, Tag: 10}
		r := newBridge(t, c, ports)
		tagged := func(v uint16) ethernet { return ethernet{dst: "1", src: "2", vlans: []uint16{v}} }
		r.send(2, udpFrame(ethernet{dst: broadcast, src: "1"}, 64, 1, 2))                      // 1 is behind 2 in VLAN 10
		r.send(3, udpFrame(ethernet{dst: broadcast, src: "1", vlans: []uint16{20}}, 64, 1, 2)) // and behind 3 in VLAN 20
		if got := r.send(1, udpFrame(tagged(10), 64, 1, 2)); len(got) != 1 || got[0] != outputEvent(2, 0, udpFrame(ethernet{dst: "1", src: "2"}, 64, 1, 2)) {
			t.Errorf("VLAN 10: %v", got)
		}
		if got := r.send(1, udpFrame(tagged(20), 64, 1, 2)); len(got) != 1 || got[0] != outputEvent(3, 0, udpFrame(tagged(20), 64, 1, 2)) {
			t.Errorf("VLAN 20: %v", got)
		}
		if got := r.send(2, udpFrame(ethernet{dst: "2", src: "1"}, 64, 1, 2)); len(got) != 1 || !strings.HasPrefix(got[0], "out 1/0 0200000000020200000000018100000a0800") {
			t.Errorf("access to trunk: %v", got)
		}
	})
}

// TestPriorityTagKept: a VID of 0 means a priority and no VLAN; it leaves a plain switch as it came.
func TestPriorityTagKept(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newBridge(t, c, upPorts(2))
		b := udpFrame(ethernet{dst: "2", src: "1", vlans: []uint16{6 << 13}}, 64, 1, 2)
		for range 2 {
			if got := r.send(1, b); len(got) != 1 || got[0] != outputEvent(2, 0, b) {
				t.Errorf("%v", got)
			}
		}
		if m := r.MACs(0); len(m) != 1 || m[0].VLAN != 0 {
			t.Errorf("%v", m)
		}
	})
}

// TestLoopGuard: ports 2 and 3 are joined outside. A broadcast comes back by both, without end,
// unless the guard damps it; the station at port 1 is not cut off.
func TestLoopGuard(t *testing.T) {
	eachPath(t, func(t *testing.T, c Config) {
		r := newBridge(t, c, upPorts(4))
		other := map[uint32]uint32{2: 3, 3: 2}
		b := udpFrame(ethernet{dst: broadcast, src: "1"}, 64, 1, 2)
		storm := func() (frames int) {
			queue := []uint32{1}
			for len(queue) > 0 && frames < 10000 {
				in := queue[0]
				queue = queue[1:]
				frames++
				r.now += 10 * time.Microsecond
				for _, out := range r.outPorts(in, b) {
					if other[out] != 0 {
						queue = append(queue, other[out])
					}
				}
			}
			return frames
		}
		if n := storm(); n > 100 {
			t.Fatalf("the broadcast went round %d times", n)
		}
		if n := storm(); n != 3 {
			t.Errorf("while damped a broadcast caused %d arrivals, expected itself and two", n)
		}
		loops := r.Loops()
		if len(loops) != 1 || loops[0].MAC != [6]byte(mac("1")) || loops[0].Home != 1 || len(r.Loops()) != 0 {
			t.Fatalf("events %+v, expected one for station 1 at home on port 1", loops)
		}
		d := r.Drops()
		if d[DropLoop] == 0 || r.MACStats().Loops != 1 {
			t.Errorf("drops %d, loops %d", d[DropLoop], r.MACStats().Loops)
		}
		if m := r.MACs(r.now); len(m) != 1 || m[0].Port != 1 {
			t.Errorf("station is at %+v", m)
		}
		if got := r.outPorts(4, udpFrame(ethernet{dst: "1", src: "4"}, 64, 1, 2)); !slices.Equal(got, []uint32{1}) {
			t.Errorf("to the station: %v", got)
		}
		r.now += 6 * time.Second // the loop is gone: the station may move again
		r.send(4, b)
		if m := r.MACs(r.now); m[0].Port != 4 {
			t.Errorf("after the hold the station is at %+v", m)
		}
	})
}

// TestSlowMovesAreNotALoop: roaming, one move a second, is no loop.
func TestSlowMovesAreNotALoop(t *testing.T) {
	r := newBridge(t, Config{}, upPorts(2))
	for i := range 100 {
		r.now += time.Second
		r.send(uint32(1+i%2), udpFrame(ethernet{dst: broadcast, src: "1"}, 64, 1, 2))
	}
	if n := r.MACStats(); n.Loops != 0 || n.Moved != 99 {
		t.Errorf("%+v", n)
	}
}
