package agent

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

func pipeConfig(name string, number uint32) PortConfig {
	return PortConfig{Spec: ports.Spec{Kind: ports.KindPipe, Name: name, Target: name, Number: number}}
}

func TestPortNumbers(t *testing.T) {
	b := newBench(t, 0)
	add := func(name string, asked, want uint32) {
		t.Helper()
		got, err := b.sw.AddPort(pipeConfig(name, asked))
		if want == 0 {
			if err == nil {
				t.Errorf("%s: got %d, want an error", name, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := b.sw.RemovePort(name); err != nil {
			t.Error(err)
		}
	}
	add("a", 0, 1)
	add("b", 5, 5)
	add("c", 0, 2)
	add("d", 5, 0) // taken
	add("a", 0, 0) // name taken
	remove("a")    // its number stays its own
	add("e", 0, 3) // so a stranger gets another
	add("a", 0, 1) // and it comes back
	remove("5")    // by number
	add("b", 0, 5) // remembered although it was chosen by the user
	add("z", 65279, 65279)
	if err := b.sw.RemovePort("nobody"); err == nil {
		t.Error("a port that is not there was removed")
	}
}

func TestPortStatusOnPlugLinkAndUnplug(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	b.plug(7, PortConfig{})
	if s := expect[*openflow.PortStatus](p); s.xid != 0 || s.m.Reason != openflow.PortAdded || s.m.Port.No != 7 || s.m.Port.Name != "p7" ||
		s.m.Port.HWAddr == (openflow.MAC{}) || s.m.Port.State != openflow.PortLive {
		t.Errorf("%v", s.m)
	}
	// A station that was behind the port is flooded to after the link went down.
	b.send(7, frame(0xff, 1, ""))
	b.expect(frame(0xff, 1, ""), 1, 2)
	b.ends[7].SetUp(false)
	if s := expect[*openflow.PortStatus](p).m; s.Reason != openflow.PortModified || s.Port.State != openflow.PortLinkDown {
		t.Errorf("%v", s)
	}
	if fdb := b.sw.FDB(); len(fdb) != 0 {
		t.Errorf("fdb %+v after the link went down", fdb)
	}
	b.ends[7].SetUp(true)
	if s := expect[*openflow.PortStatus](p).m; s.Reason != openflow.PortModified || s.Port.State != openflow.PortLive {
		t.Errorf("%v", s)
	}
	if err := b.sw.RemovePort("p7"); err != nil {
		t.Fatal(err)
	}
	if s := expect[*openflow.PortStatus](p).m; s.Reason != openflow.PortDeleted || s.Port.No != 7 {
		t.Errorf("%v", s)
	}
	none[*openflow.PortStatus](p)
}

// TestNoPortStatusBeforeFeatures: one known controller hangs up on it.
func TestNoPortStatusBeforeFeatures(t *testing.T) {
	b := newBench(t, 0)
	p := b.connect()
	p.barrier()
	b.plug(1, PortConfig{})
	none[*openflow.PortStatus](p)
	p.features()
	b.plug(2, PortConfig{})
	if s := expect[*openflow.PortStatus](p).m; s.Port.No != 2 {
		t.Errorf("%v", s)
	}
}

func TestPortMod(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	desc := map[openflow.PortNo]*openflow.Port{}
	for _, r := range p.ask(openflow.MultipartPortDesc) {
		d := r.(*openflow.Port)
		desc[d.No] = d
	}
	mod := func(no openflow.PortNo, config openflow.PortConfig) {
		t.Helper()
		p.send(&openflow.PortMod{Port: no, HWAddr: desc[no].HWAddr, Config: config, Mask: openflow.PortConfigAll})
		if s := expect[*openflow.PortStatus](p).m; s.Reason != openflow.PortModified || s.Port.Config != config {
			t.Errorf("%v, want config %s", s, config)
		}
	}
	f := frame(0xff, 1, "")
	pass := func(want bool) {
		t.Helper()
		b.send(1, f)
		if want {
			b.expect(f, 2)
		}
		b.silent(1, 2)
	}
	mod(1, openflow.PortNoRecv)
	pass(false)
	mod(1, 0)
	pass(true)
	mod(2, openflow.PortNoFwd)
	pass(false)
	mod(2, 0)
	pass(true)

	p.send(add(9, inPort(1), controllerOutput(60)))
	p.send(add(0, openflow.Match{}, controllerOutput(60)))
	p.barrier()
	mod(2, openflow.PortNoPacketIn) // of a miss; an entry's own output still goes
	b.send(2, f)
	b.settle()
	none[*openflow.PacketIn](p)
	b.send(1, f)
	expect[*openflow.PacketIn](p)
	mod(2, 0)

	mod(2, openflow.PortDown)
	if _, up := b.ends[2].TryReceive(); up || b.ends[2].Info().LinkUp {
		t.Error("the link is still up")
	}
	p.send(&openflow.PortMod{Port: 2, HWAddr: desc[2].HWAddr, Mask: openflow.PortDown})
	expect[*openflow.PortStatus](p)
	waitFor(t, "the link", func() bool { return b.ends[2].Info().LinkUp })

	for _, c := range []struct {
		m    openflow.PortMod
		code uint16
	}{
		{openflow.PortMod{Port: 9}, openflow.PMFCBadPort},
		{openflow.PortMod{Port: 1, HWAddr: openflow.MAC{1}}, openflow.PMFCBadHWAddr},
	} {
		p.send(&c.m)
		if e := expect[*openflow.Error](p).m; !errors.Is(e, &openflow.Error{Type: openflow.ErrPortModFailed, Code: c.code}) {
			t.Errorf("%v: %v", &c.m, e)
		}
	}
}

func TestPortStats(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	b.send(1, frame(0xff, 1, ""))
	b.expect(frame(0xff, 1, ""), 2)
	b.settle() // a frame arrives before it is counted
	b.clock.Advance(1500 * time.Millisecond)
	all := p.ask(openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: openflow.PortAny})
	if len(all) != 2 {
		t.Fatalf("%d records", len(all))
	}
	if s := all[0].(*openflow.PortStats); s.Port != 1 || s.RxPackets != 1 || s.RxBytes != 60 || s.TxPackets != 0 || s.DurationSec != 1 || s.DurationNsec != 500_000_000 {
		t.Errorf("%v", s)
	}
	if s := all[1].(*openflow.PortStats); s.Port != 2 || s.TxPackets != 1 || s.TxBytes != 60 {
		t.Errorf("%v", s)
	}
	if one := p.ask(openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: 2}); len(one) != 1 {
		t.Errorf("%d records for port 2", len(one))
	}
	if none := p.ask(openflow.MultipartPortStats, &openflow.PortStatsRequest{Port: 77}); len(none) != 0 {
		t.Errorf("%d records for a port that is not there", len(none))
	}
}

// TestPlugUnderTraffic takes a port out and in again while frames run between two others and at it.
func TestPlugUnderTraffic(t *testing.T) {
	b := newBench(t, 2)
	p := b.connect()
	p.features()
	p.send(deleteAll())
	p.send(add(1, inPort(1), openflow.Output(2), openflow.Output(3)))
	p.barrier()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		f := frame(9, 1, "")
		for {
			select {
			case <-stop:
				return
			default:
				b.ends[1].Inject(f)
				b.ends[2].TryReceive()
			}
		}
	})
	for range 100 {
		if _, err := b.sw.AddPort(pipeConfig("x", 3)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
		end, err := b.sw.env.Pipes.End("x")
		if err != nil {
			t.Fatal(err)
		}
		if err := b.sw.RemovePort("x"); err != nil {
			t.Fatal(err)
		}
		for {
			if _, ok := end.TryReceive(); !ok {
				break
			}
		}
		if f, ok := end.TryReceive(); ok {
			t.Fatalf("a frame after RemovePort: % x", f.Bytes())
		}
	}
	close(stop)
	wg.Wait()
}

func TestVLANPorts(t *testing.T) {
	b := newBench(t, 0)
	b.plug(1, PortConfig{Spec: ports.Spec{VLAN: ports.VLAN{Mode: ports.VLANAccess, Tag: 10}}})
	b.plug(2, PortConfig{})
	b.plug(3, PortConfig{Spec: ports.Spec{VLAN: ports.VLAN{Mode: ports.VLANAccess, Tag: 20}}})
	f := frame(0xff, 1, "tagged on the trunk")
	tagged := append(append(append([]byte(nil), f[:12]...), 0x81, 0, 0, 10), f[12:]...)
	b.send(1, f)
	b.expect(tagged, 2)
	b.silent(1, 2, 3)
}
