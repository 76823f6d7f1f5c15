package integration

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/weirswitch/weir/integration/lab"
)

// nobody is an ordinary user without a single capability.
const nobody = 65534

// asNobody runs weir as an ordinary user, with a run directory of his own.
func (b *bed) asNobody(flags ...string) *weir {
	b.t.Helper()
	needRoot(b.t)
	for _, dir := range []string{b.Dir(), b.rundir} {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			b.t.Fatal(err)
		}
	}
	p, err := b.Start(lab.Cmd{Path: b.bin, Args: append([]string{"run"}, flags...), Env: b.env(), Dir: b.Dir(), UID: nobody})
	if err != nil {
		b.t.Fatal(err)
	}
	return &weir{Proc: p, b: b}
}

// TestWithoutRights runs a switch of wire and capture ports as an ordinary user: frames cross it.
func TestWithoutRights(t *testing.T) {
	b := newBed(t)
	frame := broadcast(t)
	in := filepath.Join(b.Dir(), "in.pcapng")
	writeCapture(t, in, frame, 1)
	pc, err := b.Switch.ListenPacket("udp", "127.0.0.1:7002")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	w := b.asNobody("--name", "br0", "--port", "1:pcap:"+in+",name=file,rate=100,loop=forever,out="+filepath.Join(b.Dir(), "out.pcapng"),
		"--port", "2:wire:udp,name=far,local=127.0.0.1:7001,remote=127.0.0.1:7002")
	w.ready("br0")
	buf := make([]byte, 2000)
	for range 3 {
		_ = pc.SetReadDeadline(time.Now().Add(patience))
		n, _, err := pc.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:n], frame) {
			t.Fatalf("the wire carried %x, %v", buf[:n], err)
		}
	}
	if _, err := pc.WriteTo(frame, net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:7001"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recorded", func() error {
		if text := b.cli("ofctl", "dump-ports", "br0", "1"); !strings.Contains(text, "tx pkts=1,") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	w.end()
	if got := frames(t, filepath.Join(b.Dir(), "out.pcapng")); len(got) != 1 || !bytes.Equal(got[0], frame) {
		t.Errorf("recorded %x, want one %x", got, frame)
	}
}

// TestMissingRight: a port that needs a capability says which one and how to give it.
func TestMissingRight(t *testing.T) {
	tun := "CAP_NET_ADMIN" // where everybody may open the device; else that is the first thing to say
	if st, err := os.Stat("/dev/net/tun"); err != nil || st.Mode().Perm()&0o006 != 0o006 {
		tun = "/dev/net/tun"
	}
	for port, words := range map[string][]string{
		"1:eth1":    {"eth1", "CAP_NET_RAW", "setcap"},
		"1:tap:vm1": {"vm1", tun},
	} {
		b := newBed(t)
		b.addHosts(1)
		w := b.asNobody("--name", "br0", "--port", port)
		select {
		case <-w.Done():
		case <-time.After(patience):
			t.Fatalf("weir without rights runs with --port %s", port)
		}
		if w.Wait() == nil {
			t.Errorf("weir without rights ended well with --port %s", port)
		}
		wants(t, port, w.Output(), words...)
	}
}

// broadcast is a frame that a learning switch floods.
func broadcast(t *testing.T) []byte {
	t.Helper()
	mac := net.HardwareAddr{0x0a, 0, 0, 0, 0, 0x63}
	buf := gopacket.NewSerializeBuffer()
	eth := &layers.Ethernet{SrcMAC: mac, DstMAC: layers.EthernetBroadcast, EthernetType: 0x88b5}
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{}, eth, gopacket.Payload(bytes.Repeat([]byte("weir"), 25))); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func writeCapture(t *testing.T, file string, frame []byte, n int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := pcapgo.NewNgWriter(f, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(int64(i), 0), CaptureLength: len(frame), Length: len(frame)}
		if err := w.WritePacket(ci, frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestReadableByNobody guards the tests above: the program must be reachable for another user.
func TestReadableByNobody(t *testing.T) {
	b := newBed(t)
	needRoot(t)
	out, err := b.Switch.RunCmd(t.Context(), lab.Cmd{Path: b.bin, Args: []string{"version"}, UID: nobody})
	if err != nil {
		t.Fatal(fmt.Errorf("%w: %s", err, out))
	}
}
