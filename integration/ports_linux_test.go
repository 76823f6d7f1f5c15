package integration

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/integration/lab"
)

// tapHost is a host whose link ends in a kernel bridge together with a tap, so that its frames reach weir through the
// tap's descriptor, with the tap's own offloads.
func (b *bed) tapHost(i int, tap string) *lab.Host {
	b.t.Helper()
	name := fmt.Sprintf("h%d", i)
	h, err := b.AddHost(name, "net"+name, fmt.Sprintf("10.0.0.%d/24", i), fmt.Sprintf("fd00::%d/64", i))
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "tap "+tap, func() error {
		if !b.Switch.HasLink(tap) {
			return fmt.Errorf("no link %s", tap)
		}
		return nil
	})
	if err := b.Switch.AddBridge("br"+name, tap, "net"+name); err != nil {
		b.t.Fatal(err)
	}
	return h
}

// TestTaps moves a gigabyte between veth and tap, and between two taps, in both directions.
func TestTaps(t *testing.T) {
	needRoot(t)
	b := newBed(t)
	h1 := b.addHost(1, 0)
	w := b.start1("--port", "1:eth1", "--port", "2:tap:vm2", "--port", "3:tap:vm3")
	h2, h3 := b.tapHost(2, "vm2"), b.tapHost(3, "vm3")
	pingAll(t, b.Hosts())
	for _, c := range []struct {
		name     string
		from, to *lab.Host
	}{{"veth to tap", h1, h2}, {"tap to veth", h2, h1}, {"tap to tap", h2, h3}} {
		for family, to := range families(c.to) {
			t.Log(c.name, family, transfer(t, c.from.Space, c.to.Space, to, 1<<30))
		}
	}
	if err := w.Stop(); err != nil {
		t.Error("weir did not end cleanly:", err)
	}
	for _, tap := range []string{"vm2", "vm3"} {
		if b.Switch.HasLink(tap) {
			t.Errorf("weir made %s and left it behind", tap)
		}
	}
}

// TestInternalPort talks from the machine that weir runs on to the hosts, through the bridge's own address.
func TestInternalPort(t *testing.T) {
	needRoot(t)
	b := newBed(t)
	hosts := b.addHosts(2)
	w, _ := b.startYAML([]string{"br0"}, `
bridges:
  - name: br0
    internal: {addresses: [10.0.0.254/24, "fd00::fe/64"], mtu: 1500}
    ports:
      - port: "1:eth1"
      - port: "2:eth2"
`)
	own4, own6 := netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fd00::fe")
	for _, h := range hosts {
		ping(t, b.Switch, h.Addr4())
		ping(t, b.Switch, h.Addr6())
		ping(t, h.Space, own4)
		ping(t, h.Space, own6)
	}
	t.Log("to the host:", transfer(t, hosts[0].Space, b.Switch, own4, 500e6))
	t.Log("from the host:", transfer(t, b.Switch, hosts[0].Space, hosts[0].Addr6(), 500e6))
	if err := w.Stop(); err != nil {
		t.Error("weir did not end cleanly:", err)
	}
	if b.Switch.HasLink("br0") {
		t.Error("weir left its internal port behind")
	}
}

// TestPcapThereAndBack records a TCP stream with offloads to a file, lets tshark judge it, and plays it to a host.
func TestPcapThereAndBack(t *testing.T) {
	need(t, "ovs-ofctl", "tshark", "tcpdump")
	b := newBed(t)
	hosts := b.addHosts(3)
	file := filepath.Join(b.Dir(), "record.pcapng")
	w := b.start1("--port", "1:eth1", "--port", "2:eth2", "--port", "3:pcap:,name=record,out="+file)
	b.ofctl("add-flow", "br0", "priority=10,in_port=1,actions=output:2,output:3")
	b.ofctl("add-flow", "br0", "priority=10,in_port=2,actions=output:1,output:3")
	pingAll(t, hosts[:2])
	for _, to := range families(hosts[1]) {
		t.Log(transfer(t, hosts[0].Space, hosts[1].Space, to, 4e6))
	}
	if err := w.Stop(); err != nil {
		t.Fatal("weir did not end cleanly:", err)
	}
	judge(t, b, file)

	// Back: weir plays the file, a host's own tcpdump takes it from the wire.
	back := filepath.Join(b.Dir(), "back.pcap")
	dump, err := b.StartIn(hosts[2].Space, lab.Cmd{Path: "tcpdump", Args: []string{"-i", "eth0", "-Q", "in", "-w", back, "-U", "-B", "65536", "-Z", "root"}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "tcpdump listens", func() error { return contains(dump.Output(), "listening on") })
	// Both ends of the stream are in the file: the learning switch would rightly keep their frames on the file's side.
	b.start([]string{"br1"}, "--name", "br1", "--table-miss", "drop", "--port", "2:eth3")
	b.ofctl("add-flow", "br1", "in_port=1,actions=output:2")
	b.cli("port", "add", "br1", "1:pcap:"+file+",name=play,rate=3000")
	sent := frames(t, file)
	eventually(t, "all frames played", func() error {
		if got := framesOf(back); len(got) < len(sent) {
			return fmt.Errorf("%d of %d frames; %s", len(got), len(sent), b.cli("ports", "br1"))
		}
		return nil
	})
	got := framesOf(back)
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("frame %d came back as\n%x\nsent was\n%x", i, got[i], sent[i])
		}
	}
	t.Logf("%d frames there and back", len(sent))
}

var numberLine = regexp.MustCompile(`(?m)^\d+$`)

// judge lets tshark look for what a capture of a healthy wire never has.
func judge(t *testing.T, b *bed, file string) {
	t.Helper()
	checks := []string{"-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"}
	count := func(filter string) int {
		out := b.must("tshark", append(append([]string{"-n", "-Q", "-r", file}, checks...), "-Y", filter, "-T", "fields", "-e", "frame.number")...)
		return len(numberLine.FindAllString(out, -1)) // beside the warnings that tshark has for root
	}
	if n := count("tcp.checksum.status == 1 && tcp.len > 1000"); n < 2*4_000_000/1500 {
		t.Errorf("tshark finds only %d big TCP segments with a good checksum", n)
	}
	for _, wrong := range []string{"tcp.checksum.status == 0", "ip.checksum.status == 0", "udp.checksum.status == 0",
		"icmp.checksum.status == 0", "icmpv6.checksum.status == 0", "frame.len > 1514", "_ws.malformed"} {
		if n := count(wrong); n != 0 {
			t.Errorf("tshark: %d frames with %s", n, wrong)
		}
	}
}

// frames reads a pcapng file.
func frames(t *testing.T, file string) (all [][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// framesOf reads what is there so far of a pcap file that is still written.
func framesOf(file string) (all [][]byte) {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return nil
	}
	for {
		data, _, err := r.ReadPacketData()
		if err != nil {
			return all
		}
		all = append(all, data)
	}
}

// TestPatch joins two bridges of one process by a patch cable.
func TestPatch(t *testing.T) {
	b := newBed(t)
	hosts := b.addHosts(2)
	b.startYAML([]string{"bra", "brb"}, `
bridges:
  - name: bra
    ports: [{port: "1:eth1"}, {port: "2:patch:to-b,peer=to-a"}]
  - name: brb
    ports: [{port: "1:eth2"}, {port: "2:patch:to-a,peer=to-b"}]
`)
	pingAll(t, hosts)
	t.Log(transfer(t, hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 1<<30))
}

// TestWires carries a bridge's frames to another process over UDP, TCP and a unix socket; a stream with offloads
// between the hosts must survive the way through plain datagrams.
func TestWires(t *testing.T) {
	for name, ends := range map[string][2]string{
		"udp":  {"wire:udp,local=127.0.0.1:7001,remote=127.0.0.1:7002", "wire:udp,local=127.0.0.1:7002,remote=127.0.0.1:7001"},
		"tcp":  {"wire:tcp,listen=127.0.0.1:7001", "wire:tcp,connect=127.0.0.1:7001"},
		"unix": {"wire:unix,listen=DIR/w.sock", "wire:unix,connect=DIR/w.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			hosts := b.addHosts(2)
			for i, end := range ends {
				br := fmt.Sprintf("br%d", i+1)
				b.start([]string{br}, "--name", br, "--port", fmt.Sprintf("1:eth%d", i+1),
					"--port", "2:"+strings.ReplaceAll(end, "DIR", b.Dir()))
			}
			pingAll(t, hosts)
			t.Log(name, transfer(t, hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 100e6))
		})
	}
}

// TestIperf lets a foreign program judge: iperf3 in both directions, with several streams, TCP and UDP.
func TestIperf(t *testing.T) {
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	pingAll(t, hosts)
	server := b.iperfServer(hosts[1])
	for _, args := range []string{"-t 1", "-t 1 -R", "-t 1 -P 4", "-t 1 -u -b 200M -l 1400"} {
		got := server.iperf(t, hosts[0], hosts[1].Addr4(), strings.Fields(args)...)
		t.Logf("iperf3 %s: %.2f Gbit/s", args, got)
		if got < 0.05 {
			t.Errorf("iperf3 %s: %.3f Gbit/s", args, got)
		}
	}
}

// TestOneProcessADevice: a second process with the same device is refused with the first one's number and bridge, and
// may have it the moment the first has been killed.
func TestOneProcessADevice(t *testing.T) {
	b := newBed(t)
	h := b.addHosts(2)
	ports := []string{"--port", "1:eth1", "--port", "2:eth2", "--port", "3:tap:vm1"}
	first := b.start1(ports...)
	other := filepath.Join(b.Dir(), "other")
	second := append([]string{"run", "--rundir", other, "--name", "br1"}, ports...)
	out, err := b.try(b.bin, second...)
	if err == nil || !strings.Contains(err.Error()+out, fmt.Sprintf("interface eth1 is a port of bridge br0 in process %d", first.PID())) {
		t.Errorf("%v %s", err, out)
	}
	out, err = b.try(b.bin, "run", "--rundir", other, "--name", "br1", "--port", "tap:vm1")
	if err == nil || !strings.Contains(err.Error()+out, "interface vm1 is a port of bridge br0") {
		t.Errorf("%v %s", err, out)
	}
	ping(t, h[0].Space, h[1].Addr4())
	first.Kill()
	b.start([]string{"br1"}, append([]string{"--name", "br1"}, ports...)...)
	ping(t, h[0].Space, h[1].Addr4())
}
