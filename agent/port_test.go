package agent

import (
	"errors"
	"maps"
	"math/rand/v2"
	"path/filepath"
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

// TestPictureOfPorts: who follows PORT_STATUS from FEATURES_REPLY on knows the ports at any time, though they
// come and go while the connection begins and while PORT_DESC is answered.
func TestPictureOfPorts(t *testing.T) {
	b := newBench(t, 1)
	stop := make(chan struct{})
	var flapping sync.WaitGroup
	flapping.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := b.sw.AddPort(pipeConfig("p2", 2)); err != nil {
				t.Error(err)
				return
			}
			if err := b.sw.RemovePort("p2"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 20 {
		followPorts(b.connect())
		followPortsOld(connectOld(t, b))
	}
	close(stop)
	flapping.Wait()
}

// followPorts keeps a picture of the ports by PORT_STATUS alone and compares it with every PORT_DESC.
func followPorts(p *peer) {
	p.t.Helper()
	have := map[openflow.PortNo]bool{}
	p.features()
	for round := range 10 {
		xid := p.send(&openflow.MultipartRequest{Type: openflow.MultipartPortDesc})
		for listed := false; !listed; {
			switch r := <-p.got; m := r.m.(type) {
			case *openflow.PortStatus: // nothing is known before the first list
				followed(p.t, have, m, round == 0)
			case *openflow.MultipartReply:
				now := map[openflow.PortNo]bool{}
				for _, d := range m.Records {
					now[d.(*openflow.Port).No] = true
				}
				if round > 0 && !maps.Equal(now, have) {
					p.t.Errorf("PORT_DESC says %v, the PORT_STATUS before it %v", now, have)
				}
				have, listed = now, true
			default:
				p.t.Fatalf("request %d, answered with %v", xid, m)
			}
		}
	}
	p.nc.Close()
}

// followPortsOld is the same for a controller of OpenFlow 1.0: it has the list from FEATURES_REPLY and needs the
// statuses to fit.
func followPortsOld(c *oldController) {
	c.t.Helper()
	c.send(&openflow.FeaturesRequest{})
	have := map[openflow.PortNo]bool{}
	for _, d := range next[*openflow.FeaturesReply](c).Ports {
		have[d.No] = true
	}
	for range 4 {
		followed(c.t, have, next[*openflow.PortStatus](c), false)
	}
	c.nc.Close()
}

// followed notes a PORT_STATUS, which must be news unless nothing is known yet.
func followed(t *testing.T, have map[openflow.PortNo]bool, s *openflow.PortStatus, first bool) {
	t.Helper()
	there := s.Reason == openflow.PortAdded
	if have[s.Port.No] == there && !first {
		t.Errorf("port %s: %s comes when the port was known as there=%t", s.Port.No, s.Reason, there)
	}
	if delete(have, s.Port.No); there {
		have[s.Port.No] = true
	}
}

// TestAwakeWithFeatures: a connection is told of ports from the moment at which its FEATURES_REPLY is on its way.
// It was from a little later, and what happened in between was lost.
func TestAwakeWithFeatures(t *testing.T) {
	b := newBench(t, 0)
	for range 20 {
		p := b.connect()
		p.barrier()
		c := (*b.sw.channels.Load())[0]
		before, _ := c.out.stats()
		p.send(&openflow.FeaturesRequest{})
		for awake := false; !awake; {
			b.sw.mu.Lock()
			sent, _ := c.out.stats()
			if awake = c.awake; !awake && sent > before {
				t.Error("FEATURES_REPLY is on its way, and nobody would tell of a port")
				awake = true
			}
			b.sw.mu.Unlock()
		}
		expect[*openflow.FeaturesReply](p)
		p.nc.Close()
		waitFor(t, "the connection to leave", func() bool { return len(*b.sw.channels.Load()) == 0 })
	}
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

// TestPortDownIsNotLive: a wire, whose link nobody can switch off, was LIVE with PORT_DOWN, though no group would use it.
func TestPortDownIsNotLive(t *testing.T) {
	b := newBench(t, 0)
	dir := t.TempDir()
	spec, err := ports.ParseSpec("1:wire:unixgram,local=" + filepath.Join(dir, "a") + ",remote=" + filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.sw.AddPort(PortConfig{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	c := b.controller()
	for _, want := range []openflow.Port{{Config: openflow.PortDown}, {State: openflow.PortLive}} {
		list, err := c.Ports()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Apply(&openflow.PortMod{Port: 1, HWAddr: list[0].HWAddr, Config: want.Config, Mask: openflow.PortDown}); err != nil {
			t.Fatal(err)
		}
		if list, err = c.Ports(); err != nil || list[0].Config != want.Config || list[0].State != want.State {
			t.Errorf("%v %v, want config %s and state %s", list, err, want.Config, want.State)
		}
	}
}
