package integration

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/weirswitch/weir/integration/lab"
	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/oftest"
)

// control connects to a bridge as a controller, through its management socket.
func (b *bed) control(bridge string) *oftest.Controller {
	b.t.Helper()
	c, err := oftest.Dial("unix", filepath.Join(b.rundir, bridge+".mgmt"), oftest.Config{Timeout: patience})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// neighbour tells a host a MAC address, for an address that nobody has and nobody answers for.
func neighbour(t *testing.T, h *lab.Host, ip netip.Addr, like *lab.Host) {
	t.Helper()
	link, err := h.Netlink().LinkByName("eth0")
	if err == nil {
		err = h.Netlink().NeighSet(&netlink.Neigh{LinkIndex: link.Attrs().Index, State: unix.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: like.MAC})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// csumErrors is a counter of the kernel for what came with a wrong checksum.
var csumErrors = regexp.MustCompile(`(?m)^(\S*CsumErrors)\s+(\d+)`)

// wholesome demands that no host's kernel has seen a wrong checksum.
func wholesome(t *testing.T, hosts ...*lab.Host) {
	t.Helper()
	need(t, "nstat")
	for _, h := range hosts {
		text, err := h.Run(t.Context(), "nstat", "-a", "-s", "-z")
		if err != nil {
			t.Fatal(err)
		}
		all := csumErrors.FindAllStringSubmatch(text, -1)
		if len(all) < 5 { // TCP, UDP, ICMP, ICMPv6, UDPv6
			t.Fatalf("nstat has too few counters of wrong checksums:\n%s", text)
		}
		for _, m := range all {
			if m[2] != "0" {
				t.Errorf("%s: the kernel counts %s %s", h.Name, m[1], m[2])
			}
		}
	}
}

// superFrames demands that the flow entry with these parts carried super-frames: the offloads that the test is about.
func superFrames(t *testing.T, line string) {
	t.Helper()
	var packets, bytes float64
	if _, rest, ok := strings.Cut(line, "n_packets="); ok {
		_, _ = fmt.Sscanf(rest, "%f, n_bytes=%f", &packets, &bytes)
	}
	if packets == 0 || bytes/packets < 3000 {
		t.Errorf("no super-frames in %q", line)
	}
}

// lineWith is the line of a text that has a part.
func lineWith(text, part string) string {
	for l := range strings.SplitSeq(text, "\n") {
		if strings.Contains(l, part) {
			return l
		}
	}
	return ""
}

// translate installs the two entries that turn what a client says (its address, and the server's address and port as it
// knows them) into what the server hears, and the answers back.
func (b *bed) translate(client, server int, said, heard [2]netip.AddrPort) {
	b.t.Helper()
	tcp, ip, addr := "tcp", "ip", "nw"
	if said[0].Addr().Is6() {
		tcp, ip, addr = "tcp6", "ipv6", "ipv6"
	}
	add := func(in int, dst netip.Addr, port string, src, to netip.Addr, set string, out int) {
		b.ofctl("add-flow", "br0", fmt.Sprintf("cookie=0x80,priority=9,in_port=%d,%s,%s_dst=%s,%s,actions=dec_ttl,"+
			"set_field:%s->%s_src,set_field:%s->%s_dst,%s,output:%d", in, tcp, addr, dst, port, src, ip, to, ip, set, out))
	}
	add(client, said[1].Addr(), fmt.Sprint("tp_dst=", said[1].Port()), heard[0].Addr(), heard[1].Addr(),
		fmt.Sprintf("set_field:%d->tcp_dst", heard[1].Port()), server)
	add(server, heard[0].Addr(), fmt.Sprint("tp_src=", heard[1].Port()), said[1].Addr(), said[0].Addr(),
		fmt.Sprintf("set_field:%d->tcp_src", said[1].Port()), client)
}

// TestTranslation lets flow entries translate addresses and ports both ways, as a NAT does, with the hosts' offloads as
// they are: what TCP carries is unchanged, and no kernel finds a wrong checksum.
func TestTranslation(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	pingAll(t, hosts)
	for family, seen := range map[string][2]netip.Addr{ // what each host is to the other
		"IPv4": {netip.MustParseAddr("10.0.0.98"), netip.MustParseAddr("10.0.0.99")},
		"IPv6": {netip.MustParseAddr("fd00::98"), netip.MustParseAddr("fd00::99")},
	} {
		real := [2]netip.Addr{families(hosts[0])[family], families(hosts[1])[family]}
		for c := range 2 { // c is the client, and sends
			s := 1 - c
			neighbour(t, hosts[c], seen[s], hosts[s])
			neighbour(t, hosts[s], seen[c], hosts[c])
			b.translate(c+1, s+1, [2]netip.AddrPort{netip.AddrPortFrom(real[c], 0), netip.AddrPortFrom(seen[s], 80)},
				[2]netip.AddrPort{netip.AddrPortFrom(seen[c], 0), netip.AddrPortFrom(real[s], 5001)})
			r, err := lab.Transfer{From: hosts[c].Space, To: hosts[s].Space, Addr: real[s], Port: 5001, Bytes: 200e6, Hash: true,
				Via: netip.AddrPortFrom(seen[s], 80)}.Run()
			if err != nil {
				t.Fatal(family, err)
			}
			t.Log(family, r)
			superFrames(t, lineWith(b.ofctl("dump-flows", "br0"), "tp_dst=80"))
			b.ofctl("del-flows", "br0", "cookie=0x80/-1")
		}
	}
	wholesome(t, hosts...)
}

// wrapping is what one bridge puts around frames and the next takes off.
type wrapping struct {
	name string
	mods func() []openflow.Message // for a bridge whose host is at port 1 and whose cable is at port 2
}

// inFrom2 is an entry for what comes by the cable.
func inFrom2(m openflow.Match, list ...openflow.Instruction) openflow.Message {
	return oftest.AddFlow(0, 9, m.With(openflow.Exact(openflow.InPort, 2)), list...)
}

// wrappings are all that OpenFlow can push. MPLS has a label for each protocol, since nothing else tells what is below.
func wrappings() []wrapping {
	apply, exact := openflow.ApplyActions, openflow.Exact
	tag := func(n uint64) openflow.Match {
		return openflow.NewMatch(exact(openflow.VLANVID, openflow.VIDPresent|n))
	}
	label := func(n uint64) openflow.Match { return proto(0x8847, 0, exact(openflow.MPLSLabel, n)) }
	labels := func(out func(label uint64) []openflow.Action, in func(label uint64, below uint16) []openflow.Message) func() []openflow.Message {
		return func() (list []openflow.Message) {
			for name, t := range map[string]uint16{"arp": 0x0806, "ip": 0x0800, "ip6": 0x86dd} {
				n := uint64(t) & 0xff
				list = append(list, from1(name, apply(out(n)...)))
				list = append(list, in(n, t)...)
			}
			return list
		}
	}
	return []wrapping{
		{"one tag", func() []openflow.Message {
			return []openflow.Message{from1("any", apply(pushVLAN(0x8100), vid(100), openflow.Output(2))), inFrom2(tag(100), apply(popVLAN, openflow.Output(1)))}
		}},
		{"two tags", func() []openflow.Message {
			return []openflow.Message{from1("any", apply(pushVLAN(0x8100), vid(10), pushVLAN(0x88a8), vid(100), openflow.Output(2))),
				inFrom2(tag(100), apply(popVLAN), openflow.GotoTable(1)), oftest.AddFlow(1, 9, tag(10), apply(popVLAN, openflow.Output(1)))}
		}},
		{"one label", labels(
			func(n uint64) []openflow.Action {
				return acts(pushMPLS(0x8847), set(openflow.MPLSLabel, n), openflow.Output(2))
			},
			func(n uint64, below uint16) []openflow.Message {
				return []openflow.Message{inFrom2(label(n), apply(popMPLS(below), openflow.Output(1)))}
			})},
		{"two labels", labels(
			func(n uint64) []openflow.Action {
				return acts(pushMPLS(0x8847), set(openflow.MPLSLabel, n), pushMPLS(0x8847), set(openflow.MPLSLabel, 1000), decMPLS, openflow.Output(2))
			},
			func(n uint64, below uint16) []openflow.Message {
				return []openflow.Message{inFrom2(label(1000), apply(popMPLS(0x8847)), openflow.GotoTable(1)),
					oftest.AddFlow(1, 9, label(n), apply(popMPLS(below), openflow.Output(1)))}
			})},
		{"PBB", func() []openflow.Message {
			return []openflow.Message{from1("any", apply(pushPBB, set(openflow.PBBISID, 7), set(openflow.EthDst, macNine), openflow.Output(2))),
				inFrom2(proto(0x88e7, 0, exact(openflow.PBBISID, 7)), apply(popPBB, openflow.Output(1)))}
		}},
	}
}

// TestWrapped wraps all frames on one bridge and unwraps them on the next, which a patch cable or a veth pair joins. The
// hosts' TCP comes with super-frames and unfinished checksums, and arrives unchanged.
func TestWrapped(t *testing.T) {
	for _, cable := range []string{"patch", "veth"} {
		t.Run(cable, func(t *testing.T) {
			b := newBed(t)
			hosts := b.addHosts(2)
			ends := map[string][2]string{"patch": {"patch:to-b,peer=to-a", "patch:to-a,peer=to-b"}, "veth": {"trunka", "trunkb"}}[cable]
			if cable == "veth" {
				b.trunk()
				for _, end := range ends { // room for what is wrapped around full frames
					b.must("ip", "link", "set", end, "mtu", "1550")
				}
			}
			b.startYAML([]string{"bra", "brb"}, fmt.Sprintf(`
bridges:
  - name: bra
    fail-mode: secure
    ports: [{port: "1:eth1"}, {port: "2:%s"}]
  - name: brb
    fail-mode: secure
    ports: [{port: "1:eth2"}, {port: "2:%s"}]
`, ends[0], ends[1]))
			a, z := b.control("bra"), b.control("brb")
			for _, w := range wrappings() {
				for _, c := range []*oftest.Controller{a, z} {
					if err := c.Apply(append([]openflow.Message{oftest.DeleteFlows(openflow.Match{})}, w.mods()...)...); err != nil {
						t.Fatal(w.name, err)
					}
				}
				for family, to := range families(hosts[1]) {
					ping(t, hosts[0].Space, to)
					t.Log(w.name, family, transfer(t, hosts[0].Space, hosts[1].Space, to, 50e6))
				}
			}
			wholesome(t, hosts...)
		})
	}
}
