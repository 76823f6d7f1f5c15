package guest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/ports"
)

// start boots a guest, or skips where none can be made.
func start(t *testing.T, c Config) *Guest {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // the first time its kernel is downloaded
	defer cancel()
	g, err := Start(ctx, c)
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(g.Console())
		}
		g.Close()
	})
	return g
}

// freePort finds a port that was free a moment ago, below those that the kernel gives to whoever asks for any: the tests of
// other packages do, while the guest boots.
func freePort(t *testing.T, network string) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if network == "udp" {
			if c, err := net.ListenPacket("udp", addr); err == nil {
				c.Close()
				return addr
			}
		} else if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no port is free")
	return ""
}

// neighbour answers ARP and ICMP echo on a port for one address, as the host
// at the other end of the wire would.
func neighbour(t *testing.T, p ports.Port, ip net.IP) {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 0, ip[len(ip)-2]}
	frames := make([]*packet.Frame, 8)
	for i := range frames {
		frames[i] = packet.NewFrame(2000)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.Wait() == nil {
			n, err := p.Read(frames)
			if err != nil {
				return
			}
			for _, f := range frames[:n] {
				if b := answer(f.Bytes(), mac, ip); b != nil {
					out := packet.NewFrame(len(b))
					out.SetBytes(b)
					p.Write([]*packet.Frame{out})
				}
			}
		}
	}()
	t.Cleanup(func() { p.Close(); <-done })
}

// answer makes the reply to one frame, or nothing.
func answer(b []byte, mac net.HardwareAddr, ip net.IP) []byte {
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	eth, ok := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !ok {
		return nil
	}
	reply := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: mac, DstMAC: eth.SrcMAC, EthernetType: eth.EthernetType}}
	if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && ip.Equal(arp.DstProtAddress) {
		a := *arp
		a.Operation = layers.ARPReply
		a.SourceHwAddress, a.SourceProtAddress = mac, ip.To4()
		a.DstHwAddress, a.DstProtAddress = arp.SourceHwAddress, arp.SourceProtAddress
		reply = append(reply, &a)
	} else if icmp, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok && icmp.TypeCode.Type() == layers.ICMPv4TypeEchoRequest {
		had := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ip.Equal(had.DstIP) {
			return nil
		}
		reply = append(reply,
			&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: had.DstIP, DstIP: had.SrcIP},
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoReply, 0), Id: icmp.Id, Seq: icmp.Seq},
			gopacket.Payload(icmp.Payload))
	} else {
		return nil
	}
	buf := gopacket.NewSerializeBuffer()
	if gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, reply...) != nil {
		return nil
	}
	return buf.Bytes()
}

// TestWireJoinsGuest boots one machine with a card for every way in which qemu
// and a wire can be joined, and pings through each.
func TestWireJoinsGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	split := func(addr string) (host, port string) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			t.Fatal(err)
		}
		return host, port
	}
	tcp1, tcp2 := freePort(t, "tcp"), freePort(t, "tcp")
	udp1, udp2, udp3, udp4 := freePort(t, "udp"), freePort(t, "udp"), freePort(t, "udp"), freePort(t, "udp")
	h1, p1 := split(udp1)
	h2, p2 := split(udp2)
	_, p3 := split(tcp2)
	ways := []struct{ spec, netdev string }{
		{"wire:unix,listen=" + path("listen"), "stream,addr.type=unix,addr.path=" + path("listen")},
		{"wire:tcp,listen=" + tcp1, "socket,connect=" + tcp1},
		{"wire:tcp,connect=" + tcp2, "stream,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=" + p3},
		{"wire:unix,connect=" + path("connect"), "stream,server=on,addr.type=unix,addr.path=" + path("connect")},
		{"wire:udp,local=" + udp1 + ",remote=" + udp2, fmt.Sprintf(
			"dgram,local.type=inet,local.host=%s,local.port=%s,remote.type=inet,remote.host=%s,remote.port=%s", h2, p2, h1, p1)},
		{"wire:udp,local=" + udp3 + ",remote=" + udp4, "socket,udp=" + udp3 + ",localaddr=" + udp4},
		{"wire:unixgram,local=" + path("a") + ",remote=" + path("b"),
			"dgram,local.type=unix,local.path=" + path("b") + ",remote.type=unix,remote.path=" + path("a")},
	}
	var netdevs []string
	counters := make([]ports.Counters, len(ways))
	for i, w := range ways {
		spec, err := ports.ParseSpec(fmt.Sprintf("%s,name=w%d", w.spec, i))
		if err != nil {
			t.Fatal(err)
		}
		p, err := ports.Open(spec, ports.Options{Counters: &counters[i]})
		if err != nil {
			t.Fatal(err)
		}
		neighbour(t, p, net.IPv4(10, 0, byte(i), 254))
		netdevs = append(netdevs, w.netdev)
	}
	begin := time.Now()
	g := start(t, Config{Netdevs: netdevs})
	t.Logf("booted in %v", time.Since(begin).Round(100*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, w := range ways {
		out, err := g.Run(ctx, fmt.Sprintf("ip addr add 10.0.%d.1/24 dev eth%d && ip link set eth%d up && "+
			"ping -c 3 -i 0.2 -w 20 10.0.%d.254 && ping -c 2 -i 0.2 -s 1472 -w 20 10.0.%d.254", i, i, i, i, i))
		if err != nil {
			t.Errorf("%s: %v\n%+v", w.spec, err, counters[i].Snapshot())
			continue
		}
		for ctx.Err() == nil && counters[i].Snapshot().TxPackets < 6 { // the last answer may arrive before it is counted
			time.Sleep(time.Millisecond)
		}
		v := counters[i].Snapshot()
		if strings.Count(out, " 0% packet loss") != 2 || v.RxPackets < 6 || v.TxPackets < 6 || v.RxErrors+v.RxDropped+v.TxDropped != 0 {
			t.Errorf("%s: %+v\n%s", w.spec, v, out)
		}
	}
}

func TestRunReports(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a machine")
	}
	g := start(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := g.Run(ctx, "echo a; echo b"); err != nil || out != "a\nb" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := g.Run(ctx, "printf unfinished; false"); err == nil || out != "unfinished" || !strings.Contains(err.Error(), "status 1") {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := g.Run(ctx, "a\nb"); err == nil {
		t.Error("two lines were taken")
	}
	g.Close()
	if _, err := g.Run(ctx, "true"); err == nil {
		t.Error("a closed guest answers")
	}
}

// TestStartFails: a wrong back-end is qemu's to refuse, and its words are shown.
func TestStartFails(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g, err := Start(ctx, Config{Netdevs: []string{"nonsense"}})
	if err == nil {
		g.Close()
		t.Fatal("started")
	}
	if errors.Is(err, ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if !strings.Contains(err.Error(), "nonsense") {
		t.Fatalf("got %v", err)
	}
}
