package integration

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/integration/lab"
)

// withOfctl is a bed of three hosts around a standalone br0 that the real ovs-ofctl can reach.
func withOfctl(t *testing.T) (*bed, []*lab.Host) {
	t.Helper()
	need(t, "ovs-ofctl")
	b := newRaceBed(t)
	hosts := b.addHosts(3)
	b.start1("--dpid", "00000000000000ab", "--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3")
	pingAll(t, hosts)
	return b, hosts
}

// wants checks that a text has every part.
func wants(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if err := contains(text, p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestOfctlReads(t *testing.T) {
	b, hosts := withOfctl(t)
	wants(t, "show", b.ofctl("show", "br0"), "OFPT_FEATURES_REPLY (OF1.3)", "dpid:00000000000000ab", "FLOW_STATS", "TABLE_STATS",
		"PORT_STATS", " 1(eth1): addr:", " 2(eth2): addr:", " 3(eth3): addr:", "OFPT_GET_CONFIG_REPLY (OF1.3)", "frags=normal")
	wants(t, "dump-flows", b.ofctl("dump-flows", "br0"), "OFPST_FLOW reply (OF1.3)", "table=0", "priority=0 actions=NORMAL")
	if got := b.ofctl("--no-stats", "dump-flows", "br0"); strings.TrimSpace(got) != "priority=0 actions=NORMAL" {
		t.Errorf("a standalone bridge begins with %q", got)
	}
	wants(t, "dump-tables", b.ofctl("dump-tables", "br0"), "OFPST_TABLE reply (OF1.3)", "table 0:", "active=1")
	wants(t, "dump-aggregate", b.ofctl("dump-aggregate", "br0"), "flow_count=1")
	wants(t, "dump-ports-desc", b.ofctl("dump-ports-desc", "br0"), "OFPST_PORT_DESC reply (OF1.3)", " 3(eth3): addr:")
	wants(t, "dump-desc", b.ofctl("dump-desc", "br0"), "OFPST_DESC reply (OF1.3)", "weir")
	wants(t, "dump-table-features", b.ofctl("dump-table-features", "br0"),
		`table 0:`, "next tables: 1-253", "arbitrary mask: tun_id metadata eth_{src,dst} vlan_vid")
	wants(t, "probe", b.ofctl("probe", "br0")+".", ".")
	wants(t, "ping", b.ofctl("ping", "br0", "64"), "64 bytes from br0")

	before := portStats(t, b, 2)
	if n, err := hosts[0].PingCount(hosts[1].Addr4(), 10, patience); n != 10 || err != nil {
		t.Errorf("%d of 10 pings, %v", n, err)
	}
	eventually(t, "port 2 has counted", func() error { // a frame that has left is counted a moment later
		if after := portStats(t, b, 2); after.rxPkts < before.rxPkts+10 || after.txPkts < before.txPkts+10 || after.rxBytes < before.rxBytes+980 {
			return fmt.Errorf("%+v, before ten pings %+v", after, before)
		}
		return nil
	})
	if got := b.ofctl("dump-ports", "br0", "77"); !strings.Contains(got, "0 ports") {
		t.Errorf("an unknown port: %q, want an empty reply", got)
	}
}

// stats are the counters of one port as ovs-ofctl prints them.
type stats struct{ rxPkts, rxBytes, txPkts, txBytes uint64 }

var portLine = regexp.MustCompile(`port +\S+: rx pkts=(\d+), bytes=(\d+)[^\n]*\n +tx pkts=(\d+), bytes=(\d+)`)

func portStats(t *testing.T, b *bed, port int) (s stats) {
	t.Helper()
	text := b.ofctl("dump-ports", "br0", strconv.Itoa(port))
	m := portLine.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("dump-ports: %q", text)
	}
	for i, p := range []*uint64{&s.rxPkts, &s.rxBytes, &s.txPkts, &s.txBytes} {
		*p, _ = strconv.ParseUint(m[i+1], 10, 64)
	}
	return s
}

// flowPackets reads n_packets of the one flow whose line has all parts.
func flowPackets(t *testing.T, b *bed, parts ...string) (n uint64) {
	t.Helper()
	text := b.ofctl("dump-flows", "br0")
line:
	for _, l := range strings.Split(text, "\n") {
		for _, p := range parts {
			if !strings.Contains(l, p) {
				continue line
			}
		}
		_, rest, _ := strings.Cut(l, "n_packets=")
		rest, _, _ = strings.Cut(rest, ",")
		n, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Fatalf("no flow with %q in:\n%s", parts, text)
	return 0
}

func TestOfctlChangesFlows(t *testing.T) {
	b, hosts := withOfctl(t)
	to := hosts[1].Addr4()
	b.ofctl("add-flow", "br0", "cookie=0x10,priority=100,in_port=1,ip,nw_dst=10.0.0.2,actions=output:2")
	if n, err := hosts[0].PingCount(to, 5, patience); n != 5 || err != nil {
		t.Errorf("%d of 5 pings, %v", n, err)
	}
	if n := flowPackets(t, b, "cookie=0x10", "priority=100", "nw_dst=10.0.0.2"); n != 5 {
		t.Errorf("the flow counted %d packets, want 5", n)
	}
	wants(t, "aggregate", b.ofctl("dump-aggregate", "br0", "cookie=0x10/-1"), "packet_count=5", "byte_count=490", "flow_count=1")

	b.ofctl("mod-flows", "br0", "ip,nw_dst=10.0.0.2,actions=drop")
	if n, _ := hosts[0].PingCount(to, 3, 100*time.Millisecond); n != 0 {
		t.Errorf("%d pings answered through a drop", n)
	}
	eventually(t, "a modify keeps the counters", func() error { // of the pings nothing has told yet that they were dropped
		if n := flowPackets(t, b, "cookie=0x10", "actions=drop"); n != 8 {
			return fmt.Errorf("the changed flow counted %d packets, want 8", n)
		}
		return nil
	})
	b.ofctl("--strict", "mod-flows", "br0", "priority=100,in_port=1,ip,nw_dst=10.0.0.2,actions=set_field:0a:00:00:00:00:03->eth_dst,output:3")
	b.ofctl("del-flows", "br0", "cookie=0x11/-1")
	flowPackets(t, b, "cookie=0x10", "output:3")
	b.ofctl("del-flows", "br0", "ip")
	if got := b.ofctl("--no-stats", "dump-flows", "br0"); strings.TrimSpace(got) != "priority=0 actions=NORMAL" {
		t.Errorf("after del-flows: %q", got)
	}
	ping(t, hosts[0].Space, to)

	// Without its table-miss entry a bridge drops, as the specification says.
	b.ofctl("del-flows", "br0")
	if n, _ := hosts[0].PingCount(to, 3, 100*time.Millisecond); n != 0 {
		t.Errorf("%d pings answered by an empty table", n)
	}
	b.ofctl("add-flow", "br0", "table=0,priority=0,actions=goto_table:3")
	b.ofctl("add-flow", "br0", "table=3,actions=NORMAL")
	ping(t, hosts[0].Space, to)
	b.ofctl("add-flows", "br0", b.write("flows.txt", "priority=7,arp,actions=NORMAL\npriority=8,udp,tp_dst=53,actions=drop\n"))
	wants(t, "add-flows", b.ofctl("dump-flows", "br0"), "priority=7,arp actions=NORMAL", "priority=8,udp,tp_dst=53 actions=drop")
}

// Flows that time out or are refused.
func TestOfctlTimeoutsAndErrors(t *testing.T) {
	b, _ := withOfctl(t)
	b.ofctl("add-flow", "br0", "hard_timeout=1,priority=5,dl_type=0x88b5,actions=drop")
	wants(t, "before the timeout", b.ofctl("dump-flows", "br0"), "hard_timeout=1")
	eventually(t, "hard timeout", func() error {
		if strings.Contains(b.ofctl("dump-flows", "br0"), "hard_timeout=1") {
			return fmt.Errorf("the flow is still there")
		}
		return nil
	})
	b.ofctl("add-flow", "br0", "priority=9,ip,actions=drop")
	for what, c := range map[string]struct{ flow, code string }{
		"goto back": {"table=2,actions=goto_table:1", "BAD_TABLE_ID"},
		"overlap":   {"check_overlap,priority=9,ip,nw_dst=10.0.0.1,actions=drop", "OVERLAP"},
	} {
		out, err := b.try("ovs-ofctl", "-O", "OpenFlow13", "add-flow", "br0", c.flow)
		if err == nil || !strings.Contains(out, c.code) {
			t.Errorf("%s: %q, %v: want %s", what, out, err, c.code)
		}
	}
}

func TestOfctlPacketOut(t *testing.T) {
	b, hosts := withOfctl(t)
	h := hosts[1]
	pc, err := h.ListenPacket("udp", netip.AddrPortFrom(h.Addr4(), 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	port := pc.LocalAddr().(*net.UDPAddr).Port
	frame := udpFrame(t, hosts[0], h, port, "sent by PACKET_OUT")
	b.ofctl("packet-out", "br0", "in_port=CONTROLLER,packet="+hex.EncodeToString(frame)+",actions=output:2")
	_ = pc.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 100)
	n, from, err := pc.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "sent by PACKET_OUT" {
		t.Errorf("received %q from %v, %v", buf[:n], from, err)
	}
}

// udpFrame builds a datagram from one host to another.
func udpFrame(t *testing.T, from, to *lab.Host, port int, payload string) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: from.MAC, DstMAC: to.MAC, EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr4().AsSlice(), DstIP: to.Addr4().AsSlice()}
	udp := &layers.UDP{SrcPort: 4000, DstPort: layers.UDPPort(port)}
	_ = udp.SetNetworkLayerForChecksum(ip)
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, eth, ip, udp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestOfctlMonitor(t *testing.T) {
	b, hosts := withOfctl(t)
	mon, err := b.Start(lab.Cmd{Path: "ovs-ofctl", Args: []string{"-O", "OpenFlow13", "monitor", "br0", "65534"}, Env: b.env()})
	if err != nil {
		t.Fatal(err)
	}
	b.ofctl("add-flow", "br0", "priority=50,icmp,nw_dst=10.0.0.2,actions=CONTROLLER:65535,output:2")
	eventually(t, "packet-in", func() error {
		if _, err := hosts[0].PingCount(hosts[1].Addr4(), 1, time.Second); err != nil {
			return err
		}
		return contains(mon.Output(), "in_port=1 (via action)")
	})
	b.ofctl("add-flow", "br0", "send_flow_rem,priority=51,dl_type=0x88b5,actions=drop")
	b.ofctl("del-flows", "br0", "dl_type=0x88b5")
	eventually(t, "flow removed", func() error { return contains(lineWith(mon.Output(), "OFPT_FLOW_REMOVED (OF1.3)"), "reason=delete") })
	if err := hosts[2].Unplug(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "port status", func() error { return contains(mon.Output(), "OFPT_PORT_STATUS (OF1.3)") })
	eventually(t, "link down", func() error { return contains(mon.Output(), "LINK_DOWN") })
}
