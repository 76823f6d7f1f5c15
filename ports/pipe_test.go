package ports

import (
	"bytes"
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
)

// ethernet is a frame of n bytes that says which one it is.
func ethernet(id byte, n int) []byte {
	head := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5}
	return append(head, bytes.Repeat([]byte{id}, max(0, n-len(head)))...)
}

// tcpSegment builds a complete Ethernet/IPv4/TCP frame with gopacket.
func tcpSegment(t testing.TB, payload int) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP,
		SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 1000, DstPort: 2000, Seq: 7, ACK: true, PSH: true, Window: 100}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload(bytes.Repeat([]byte{0xab}, payload))); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

var superFrame = packet.Offload{NeedsCsum: true, GSO: packet.GSOTCPv4, GSOSize: 1000,
	HdrLen: 54, CsumStart: 34, CsumOffset: 16}

func frameOf(b []byte) *packet.Frame {
	f := packet.NewFrame(len(b))
	f.SetBytes(b)
	return f
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestPipeKeepsOrderAndCounts(t *testing.T) {
	var ca, cb Counters
	a, b := NewPipe("p", Options{Counters: &ca}, Options{Counters: &cb})
	for i := range byte(50) {
		if err := a.Inject(ethernet(i, 60+int(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range byte(50) {
		if err := b.Expect(soon(t), ethernet(i, 60+int(i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := b.TryReceive(); ok {
		t.Fatal("one frame too many")
	}
	va, vb := ca.Snapshot(), cb.Snapshot()
	const size = 50*60 + 49*50/2
	if va.TxPackets != 50 || va.TxBytes != size || vb.RxPackets != 50 || vb.RxBytes != size {
		t.Fatalf("counted %+v and %+v", va, vb)
	}
}

func TestPipeFullDropsAndCounts(t *testing.T) {
	var c Counters
	a, b := NewPipe("p", Options{Counters: &c}, Options{})
	sent := 0
	for range ringSlots + 10 {
		sent += a.Write([]*packet.Frame{frameOf(ethernet(1, 60))})
	}
	v := c.Snapshot()
	if sent != ringSlots || v.TxDrops[DropFull] != 10 || v.TxDropped != 10 || v.TxPackets != ringSlots {
		t.Fatalf("sent %d, counted %+v", sent, v)
	}
	if err := a.Inject(ethernet(1, 60)); err == nil || !strings.Contains(err.Error(), "full") {
		t.Fatalf("Inject into a full pipe: %v", err)
	}
	b.TryReceive()
	b.TryReceive() // the second asking gives the first frame's place back
	if err := a.Inject(ethernet(1, 60)); err != nil {
		t.Fatal(err)
	}
}

func TestPipePassesOffloadWhole(t *testing.T) {
	a, b := NewPipe("p", Options{}, Options{})
	big := tcpSegment(t, 30000)
	if err := a.InjectOffload(big, superFrame); err != nil {
		t.Fatal(err)
	}
	f, err := b.Receive(soon(t))
	if err != nil || !bytes.Equal(f.Bytes(), big) || f.Offload != superFrame {
		t.Fatalf("came as %d bytes, %+v, %v", len(f.Bytes()), f.Offload, err)
	}
}

// TestPipeNoOffloadSegments lets gopacket judge the segments.
func TestPipeNoOffloadSegments(t *testing.T) {
	var c Counters
	a, b := NewPipe("p", Options{NoOffload: true, Counters: &c}, Options{})
	if err := a.InjectOffload(tcpSegment(t, 2500), superFrame); err != nil {
		t.Fatal(err)
	}
	total := 0
	for range 3 {
		f, err := b.Receive(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if f.Offload != (packet.Offload{}) {
			t.Fatalf("still owes %+v", f.Offload)
		}
		total += checkTCP(t, f.Bytes())
	}
	if total != 2500 || c.TxPackets.Load() != 3 {
		t.Fatalf("%d bytes in %d packets", total, c.TxPackets.Load())
	}
}

// checkTCP verifies the TCP checksum independently and gives the payload's length.
func checkTCP(t testing.TB, b []byte) int {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		t.Fatalf("no TCP: %v", p)
	}
	if err := tcp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
		t.Fatal(err)
	}
	if rest, err := tcp.ComputeChecksum(); err != nil || rest != 0 { // summed with the field: 0 is right
		t.Fatalf("TCP checksum %#x is off by %#x (%v)", tcp.Checksum, rest, err)
	}
	return len(tcp.Payload)
}

func TestPipeLinkFollowsBothEnds(t *testing.T) {
	var changes atomic.Int32
	a, b := NewPipe("p", Options{OnChange: func() { changes.Add(1) }}, Options{})
	if !a.Info().LinkUp || !b.Info().LinkUp {
		t.Fatal("a new pipe is down")
	}
	b.SetUp(false)
	b.SetUp(false)
	if a.Info().LinkUp || !a.Info().AdminUp || changes.Load() != 1 {
		t.Fatalf("%+v after %d changes", a.Info(), changes.Load())
	}
	if err := a.Inject(ethernet(1, 60)); err == nil || !strings.Contains(err.Error(), "link-down") {
		t.Fatalf("got %v", err)
	}
	b.SetUp(true)
	if err := a.Inject(ethernet(1, 60)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.Close()
	if b.Info().LinkUp || b.Inject(ethernet(1, 60)) == nil {
		t.Fatal("link up with the other end closed")
	}
	if err := b.Expect(soon(t), ethernet(1, 60)); err != nil {
		t.Fatalf("what was written before is lost: %v", err)
	}
	if _, err := a.Read(nil); !errors.Is(err, ErrClosed) {
		t.Fatalf("Read after Close: %v", err)
	}
}

func TestPipeReceiveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewPipe("p", Options{}, Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.AfterFunc(time.Second, func() { a.Inject(ethernet(9, 60)) })
		if err := b.Expect(ctx, ethernet(9, 60)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		time.AfterFunc(time.Second, func() { b.Close() })
		if err := b.Wait(); !errors.Is(err, ErrClosed) {
			t.Fatalf("Wait: %v", err)
		}
		if err := b.Expect(context.Background(), nil); !errors.Is(err, ErrClosed) {
			t.Fatalf("Expect: %v", err)
		}
	})
}

func TestPipeRegistry(t *testing.T) {
	reg := new(Pipes)
	spec, err := ParseSpec("3:pipe:p1,mtu=1000")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(spec, Options{}); err == nil || !strings.Contains(err.Error(), "Options.Pipes") {
		t.Fatalf("without registry: %v", err)
	}
	p, err := Open(spec, Options{Pipes: reg})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(spec, Options{Pipes: reg}); err == nil {
		t.Fatal("opened twice")
	}
	end, err := reg.End("p1")
	if err != nil {
		t.Fatal(err)
	}
	if err := end.Inject(ethernet(5, 100)); err != nil {
		t.Fatal(err)
	}
	frames := []*packet.Frame{packet.NewFrame(2000)}
	if n, err := p.Read(frames); n != 1 || err != nil || !bytes.Equal(frames[0].Bytes(), ethernet(5, 100)) {
		t.Fatalf("Read: %d %v", n, err)
	}
	frames[0].SetBytes(ethernet(5, 1500))
	if p.Write(frames) != 0 {
		t.Fatal("a frame above the MTU was taken")
	}
	p.Close()
	if _, err := reg.End("p1"); err == nil {
		t.Fatal("a closed pipe is still found")
	}
	if p, err = Open(spec, Options{Pipes: reg}); err != nil {
		t.Fatal(err)
	}
	p.Close()
}

func TestPatchJoinsInAnyOrder(t *testing.T) {
	reg := new(Patches)
	var changes [2]atomic.Int32
	open := func(text string, i int) Port {
		t.Helper()
		spec, err := ParseSpec(text)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(spec, Options{Patches: reg, OnChange: func() { changes[i].Add(1) }})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a := open("patch:to-b,peer=to-a", 0)
	i := a.Info()
	if i.LinkUp || i.Present || !i.AdminUp || !strings.Contains(i.Problem, "patch:to-a is not there yet") {
		t.Fatalf("%+v", i)
	}
	stranger := open("patch:to-a,peer=somebody", 1)
	if i = a.Info(); i.LinkUp || !strings.Contains(i.Problem, "names somebody as its peer") {
		t.Fatalf("%+v", i)
	}
	stranger.Close()
	before := changes[0].Load()
	b := open("patch:to-a,peer=to-b", 1)
	if i = a.Info(); !i.LinkUp || i.Problem != "" || changes[0].Load() == before || !b.Info().LinkUp {
		t.Fatalf("%+v", i)
	}
	big := frameOf(tcpSegment(t, 40000))
	big.Offload = superFrame
	if a.Write([]*packet.Frame{big}) != 1 {
		t.Fatal("super-frame refused")
	}
	got := []*packet.Frame{{}, {}}
	if n, _ := b.Read(got); n != 1 || got[0].Offload != superFrame || !bytes.Equal(got[0].Bytes(), big.Bytes()) {
		t.Fatalf("%d frames, %+v", n, got[0].Offload)
	}
	b.Close()
	if a.Info().LinkUp || a.Write([]*packet.Frame{big}) != 0 {
		t.Fatal("up without peer")
	}
	b = open("patch:to-a,peer=to-b", 1)
	if !a.Info().LinkUp {
		t.Fatal("the peer's return was not seen")
	}
	if _, err := Open(Spec{Kind: KindPatch, Target: "to-a", Args: []Arg{{"peer", "x"}}}, Options{Patches: reg}); err == nil ||
		!strings.Contains(err.Error(), "already a patch:to-a") {
		t.Fatalf("same name twice: %v", err)
	}
	a.Close()
	b.Close()
}

// TestPatchUnderFire opens and closes one end while both sides write and read;
// the race detector is the judge, and nothing may be lost without being counted.
func TestPatchUnderFire(t *testing.T) {
	reg := new(Patches)
	var ca, cb Counters
	specA, _ := ParseSpec("patch:a,peer=b")
	specB, _ := ParseSpec("patch:b,peer=a")
	a, err := Open(specA, Options{Patches: reg, Counters: &ca})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				a.Write([]*packet.Frame{frameOf(ethernet(1, 60)), frameOf(ethernet(2, 60))})
				a.Info()
			}
		}
	})
	written := func() uint64 {
		v := ca.Snapshot()
		return v.TxPackets + v.TxDropped
	}
	frames := []*packet.Frame{{}, {}, {}}
	for round := range 200 {
		b, err := Open(specB, Options{Patches: reg, Counters: &cb})
		if err != nil {
			t.Fatal(err)
		}
		for was := written(); round%50 == 0 && written() == was; { // the writer may not have run yet
			runtime.Gosched()
		}
		for range 20 {
			if _, err := b.Read(frames); err != nil {
				t.Fatal(err)
			}
			b.Write(frames[:0])
		}
		b.Close()
	}
	close(stop)
	wg.Wait()
	if v, w := ca.Snapshot(), cb.Snapshot(); w.RxPackets > v.TxPackets || v.TxPackets == 0 && v.TxDropped == 0 {
		t.Fatalf("%+v\n%+v", v, w)
	}
	a.Close()
}
