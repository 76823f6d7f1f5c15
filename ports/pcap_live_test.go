//go:build libpcap && linux

package ports

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/weirswitch/weir/flowtable/packet"
)

// inOwnNetwork runs the calling test again in a process whose network is its
// own, and answers true there.
func inOwnNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv("WEIR_OWN_NETWORK") != "" {
		return true
	}
	if os.Geteuid() != 0 {
		missing(t, "network namespaces need root")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "WEIR_OWN_NETWORK=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("%v\n%s", err, out)
	}
	return false
}

// veth makes a pair of devices, both up, and is quiet: no IPv6 chatter.
func veth(t *testing.T, a, b string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644); err != nil {
		t.Logf("IPv6 stays on: %v", err)
	}
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: a}, PeerName: b}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{a, b} {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetUp(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestPcapLive joins two ports by a veth pair: libpcap at one end, and at the
// other the packet socket, which is code of another family.
func TestPcapLive(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	veth(t, "one", "two")
	bell1, bell2 := make(bell, 1), make(bell, 1)
	var c Counters
	live := openPort(t, "pcap:one", Options{OnChange: bell1.ring, Counters: &c})
	other := openPort(t, "two", Options{OnChange: bell2.ring, NoOffload: true})
	waitLink(t, live, bell1, true)
	waitLink(t, other, bell2, true)
	if i := live.Info(); i.MTU != 1500 || i.IfIndex == 0 || len(i.MAC) != 6 {
		t.Fatalf("%+v", i)
	}
	tagged := append([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0x60, 7}, ethernet(9, 80)[12:]...)
	want := [][]byte{ethernet(1, 60), ethernet(2, 1514), tagged}
	for _, f := range want {
		if other.Write([]*packet.Frame{frameOf(f)}) != 1 {
			t.Fatal("not taken")
		}
	}
	if got := readFrames(t, live, 3); !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
		t.Fatalf("got % x", got)
	}
	for _, f := range want {
		if live.Write([]*packet.Frame{frameOf(f)}) != 1 {
			t.Fatal("not taken")
		}
	}
	if got := readFrames(t, other, 3); !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
		t.Fatalf("got % x", got)
	}
	big := frameOf(tcpSegment(t, 2500))
	big.Offload = superFrame
	live.Write([]*packet.Frame{big})
	total := 0
	for _, f := range readFrames(t, other, 3) {
		total += checkTCP(t, f)
	}
	v := c.Snapshot()
	if total != 2500 || v.TxPackets != 6 || v.RxPackets != 3 || v.TxDropped+v.RxDropped != 0 { // our own frames did not come back
		t.Fatalf("%d bytes, %+v", total, v)
	}
}

// TestPcapLiveDeviceGoes: the port survives its device.
func TestPcapLiveDeviceGoes(t *testing.T) {
	if !inOwnNetwork(t) {
		return
	}
	b := make(bell, 1)
	live := openPort(t, "pcap:one", Options{OnChange: b.ring})
	if i := live.Info(); i.Present || i.LinkUp || i.Problem == "" {
		t.Fatalf("%+v", i)
	}
	for round := range byte(2) {
		veth(t, "one", "two")
		waitLink(t, live, b, true)
		other := openPort(t, "two,name="+fmt.Sprint("n", round), Options{})
		for deadline := time.Now().Add(inTime); !other.Info().LinkUp && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		other.Write([]*packet.Frame{frameOf(ethernet(round, 60))})
		if got := readFrames(t, live, 1); !bytes.Equal(got[0], ethernet(round, 60)) {
			t.Fatalf("got % x", got)
		}
		other.Close()
		l, err := netlink.LinkByName("one")
		if err == nil {
			err = netlink.LinkDel(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		waitLink(t, live, b, false)
		if live.Write([]*packet.Frame{frameOf(ethernet(1, 60))}) != 0 {
			t.Fatal("written to a device that is gone")
		}
	}
	begin := time.Now()
	live.Close()
	if d := time.Since(begin); d > inTime/10 {
		t.Fatalf("Close took %v", d)
	}
}
