package agent

import (
	"encoding/hex"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// fragments are the pieces of an IPv4 and of an IPv6 packet, and a whole one of each, as gopacket
// writes them.
func fragments(t *testing.T) (pieces, whole [][]byte) {
	t.Helper()
	eth := func(et layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: et}
	}
	data := gopacket.Payload(make([]byte, 64))
	write := func(list ...gopacket.SerializableLayer) []byte {
		buf := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
			t.Fatal(err)
		}
		return append([]byte(nil), buf.Bytes()...)
	}
	v4 := func(flags layers.IPv4Flag, offset uint16) []byte {
		return write(eth(layers.EthernetTypeIPv4), &layers.IPv4{Version: 4, TTL: 9, Protocol: 253, Flags: flags, FragOffset: offset,
			SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}, data)
	}
	v6 := func(fragment ...byte) []byte {
		next := layers.IPProtocol(253)
		if fragment != nil {
			next = layers.IPProtocolIPv6Fragment
		}
		return write(eth(layers.EthernetTypeIPv6), &layers.IPv6{Version: 6, HopLimit: 9, NextHeader: next,
			SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}, gopacket.Payload(append(fragment, data...)))
	}
	pieces = [][]byte{v4(layers.IPv4MoreFragments, 0), v4(layers.IPv4MoreFragments, 8), v4(0, 16),
		v6(253, 0, 0, 1, 0, 0, 0, 7), v6(253, 0, 0, 64, 0, 0, 0, 7)}
	// An atomic fragment (RFC 6946) is a whole packet.
	whole = [][]byte{v4(0, 0), v4(layers.IPv4DontFragment, 0), v6(), v6(253, 0, 0, 0, 0, 0, 0, 7)}
	return pieces, whole
}

// TestFragmentsDropped: SET_CONFIG takes effect with the barrier, for IPv4 and IPv6, with and
// without the flow cache, and for what a PACKET_OUT sends through the tables.
func TestFragmentsDropped(t *testing.T) {
	pieces, whole := fragments(t)
	for _, noCache := range []bool{false, true} {
		b := newBench(t, 2, func(_ *BridgeConfig, e *Env) { e.NoCache = noCache })
		p := b.connect()
		p.features()
		p.send(deleteAll())
		p.send(add(1, inPort(1), openflow.Output(2)))
		pass := func(list [][]byte) {
			t.Helper()
			for _, f := range list {
				b.send(1, f)
				b.expect(f, 2)
			}
		}
		set := func(f openflow.FragFlags) {
			t.Helper()
			p.send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: f, MissSendLen: 77}})
			p.barrier()
			p.send(&openflow.GetConfigRequest{})
			if m := expect[*openflow.GetConfigReply](p).m; m.Flags != f || m.MissSendLen != 77 {
				t.Errorf("set %s, the switch says %v", f, m)
			}
		}
		p.barrier()
		pass(pieces)
		pass(whole)
		set(openflow.FragDrop)
		for _, f := range pieces {
			b.send(1, f)
		}
		p.send(outOf(1, pieces[0], openflow.Output(openflow.PortTable)))
		p.barrier()
		b.silent(1, 2)
		pass(whole)
		if n := b.sw.Status().Drops["ip-fragment"]; n != uint64(len(pieces))+1 {
			t.Errorf("%d fragments counted, want %d", n, len(pieces)+1)
		}
		set(openflow.FragNormal)
		pass(pieces)
		none[*openflow.Error](p)
	}
}

// TestFragmentsFromTheStart: the configuration says what becomes of fragments before any controller does; a reload
// that does not touch it leaves what a controller has said.
func TestFragmentsFromTheStart(t *testing.T) {
	pieces, _ := fragments(t)
	b := newBench(t, 2, func(c *BridgeConfig, _ *Env) { c.Fragments = openflow.FragDrop })
	drops := func(n uint64) {
		t.Helper()
		if st := b.sw.Status(); st.Drops["ip-fragment"] != n {
			t.Errorf("%d fragments dropped, want %d; in force: %s", st.Drops["ip-fragment"], n, st.Fragments)
		}
	}
	b.send(1, pieces[0])
	b.silent(2)
	drops(1)
	p := b.connect()
	p.features()
	p.send(&openflow.GetConfigRequest{})
	if m := expect[*openflow.GetConfigReply](p).m; m.Flags != openflow.FragDrop {
		t.Errorf("the switch says %v", m)
	}
	p.send(&openflow.SetConfig{})
	p.barrier()
	apply := func(change func(*BridgeConfig)) {
		t.Helper()
		cfg := b.sw.Config()
		change(&cfg)
		if err := b.sw.Apply(cfg); err != nil {
			t.Fatal(err)
		}
	}
	apply(func(c *BridgeConfig) { c.DatapathDesc = "another" })
	b.send(1, pieces[0])
	b.expect(pieces[0], 2)
	apply(func(c *BridgeConfig) { c.Fragments = openflow.FragReasm })
	b.send(1, pieces[0])
	b.silent(2)
	if st := b.sw.Status(); st.Fragments != "reassemble" {
		t.Errorf("in force: %s", st.Fragments)
	}
	drops(1)
}

func TestOvsOfctlFragments(t *testing.T) {
	o := newOvsOfctl(t)
	b := o.bench(2)
	o.run("set-frags", "br0", "drop")
	if out := o.run("get-frags", "br0"); strings.TrimSpace(out) != "drop" {
		t.Errorf("get-frags: %s", out)
	}
	pieces, _ := fragments(t)
	b.send(1, pieces[1])
	b.silent(2)
	if out := o.run("show", "br0"); !strings.Contains(out, "IP_REASM") {
		t.Error(out)
	}
	o.run("set-frags", "br0", "reassemble")
	if out := o.run("get-frags", "br0"); strings.TrimSpace(out) != "reassemble" {
		t.Errorf("get-frags: %s", out)
	}
	b.send(1, pieces[1])
	b.silent(2)
	o.run("set-frags", "br0", "normal")
	b.send(1, pieces[1])
	b.expect(pieces[1], 2)
}

// TestDescriptionTexts: those of the configuration, also after a reload, as ovs-ofctl reads them.
func TestDescriptionTexts(t *testing.T) {
	o := newOvsOfctl(t)
	b := o.bench(0)
	if out := o.run("dump-desc", "br0"); !strings.Contains(out, "Manufacturer: weir\nHardware: software switch\nSoftware: weir\nSerial Num: None\nDP Description: br0") {
		t.Error(out)
	}
	cfg := b.sw.Config()
	cfg.Desc = DescConfig{Manufacturer: "Nicira, Inc.", Hardware: "Open vSwitch", Software: "3.1.0", Serial: strings.Repeat("9", 31)}
	cfg.DatapathDesc = "s1"
	if err := b.sw.Apply(cfg); err != nil {
		t.Fatal(err)
	}
	want := "Manufacturer: Nicira, Inc.\nHardware: Open vSwitch\nSoftware: 3.1.0\nSerial Num: " + strings.Repeat("9", 31) + "\nDP Description: s1"
	if out := o.run("dump-desc", "br0"); !strings.Contains(out, want) {
		t.Error(out)
	}
}

// TestOvsOfctlReadsBuffers: the tool prints the buffer that a packet-in names.
func TestOvsOfctlReadsBuffers(t *testing.T) {
	o := newOvsOfctl(t)
	b := newBench(t, 2, withBuffers(256, 5*time.Second), func(_ *BridgeConfig, e *Env) { e.RunDir = o.dir })
	if out := o.run("show", "br0"); !strings.Contains(out, "n_buffers:256") {
		t.Error(out)
	}
	p := b.connect()
	p.features()
	p.send(add(7, inPort(1), controllerOutput(20)))
	p.barrier()
	b.send(1, frame(1, 2, ""))
	in := expect[*openflow.PacketIn](p)
	out, err := exec.Command("ovs-ofctl", "ofp-print", hex.EncodeToString(in.raw)).CombinedOutput()
	if want := fmt.Sprintf("data_len=20 buffer=0x%08x", in.m.BufferID); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v %s, want %s", err, out, want)
	}
}

// TestReassembledPacketIn: a controller is given the packet that the fragments make, and what it sends
// back leaves by a link with a small MTU in fragments again.
func TestReassembledPacketIn(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, PortConfig{Spec: ports.Spec{MTU: 1500, NoOffload: true}})
	p := b.connect()
	p.features()
	p.send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: openflow.FragReasm, MissSendLen: openflow.ControllerNoBuffer}})
	p.send(deleteAll())
	p.send(add(1, inPort(1), controllerOutput(openflow.ControllerNoBuffer), openflow.Output(2)))
	p.barrier()
	var parts [][]byte
	for i := range 4 { // of 800 bytes and a rest
		data := make([]byte, 800)
		flags := layers.IPv4MoreFragments
		if i == 3 {
			data, flags = data[:50], 0
		}
		for j := range data {
			data[j] = byte(i + j)
		}
		buf := gopacket.NewSerializeBuffer()
		err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
			&layers.IPv4{Version: 4, TTL: 9, Id: 77, Protocol: 253, Flags: flags, FragOffset: uint16(i * 100),
				SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}, gopacket.Payload(data))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, append([]byte(nil), buf.Bytes()...))
	}
	for _, i := range []int{2, 0, 3, 1} {
		b.send(1, parts[i])
	}
	for _, f := range parts { // in the order and the size of the originals
		b.expect(f, 2)
	}
	in := expect[*openflow.PacketIn](p)
	if want := 14 + 20 + 2450; len(in.m.Data) != want || int(in.m.TotalLen) != want {
		t.Fatalf("a packet-in with %d bytes of %d, want %d", len(in.m.Data), in.m.TotalLen, want)
	}
	none[*openflow.PacketIn](p)
	p.send(outOf(1, in.m.Data, openflow.Output(2)))
	p.barrier()
	for i, want := range []int{1480, 2450 - 1480} {
		f, ok := b.ends[2].TryReceive()
		if !ok || f.Len() != 14+20+want || f.Bytes()[14+5] != 77 {
			t.Fatalf("fragment %d: %v", i, f)
		}
	}
	if n := len(b.sw.Status().Drops); n != 0 {
		t.Errorf("drops %v", b.sw.Status().Drops)
	}
}

// TestDontFragmentStaysWhole: a controller's own packet that forbids fragments is too big for a link with
// fragments put together as it is without, and never becomes fragments with an identification of zero.
func TestDontFragmentStaysWhole(t *testing.T) {
	b := newBench(t, 1)
	b.plug(2, PortConfig{Spec: ports.Spec{MTU: 1500, NoOffload: true}})
	p := b.connect()
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 9, Protocol: 253, Flags: layers.IPv4DontFragment, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}},
		gopacket.Payload(make([]byte, 3000)))
	if err != nil {
		t.Fatal(err)
	}
	for i, how := range []openflow.FragFlags{openflow.FragNormal, openflow.FragReasm} {
		p.send(&openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{Flags: how, MissSendLen: 128}})
		p.send(outOf(openflow.PortController, buf.Bytes(), openflow.Output(2)))
		p.barrier()
		b.silent(2)
		if n := b.sw.table.Load().get(2).counters.Snapshot().TxDropped; n != uint64(i+1) {
			t.Errorf("%s: %d drops, want %d", how, n, i+1)
		}
	}
}
