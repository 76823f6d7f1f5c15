package integration

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// startStream begins a numbered stream after the path is known to work.
func startStream(t *testing.T, from, to *lab.Host, perSecond int) *lab.Stream {
	t.Helper()
	ping(t, from.Space, to.Addr4())
	s, err := lab.StartStream(from.Space, to.Space, to.Addr4(), perSecond, 200)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "stream runs", func() error {
		if r := s.Report(); r.Received < 10 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	return s
}

// TestUnplug deletes and re-creates each link in turn while traffic runs over it and over the others. Those that stay
// lose nothing; the port that comes back has its number, works, and its counters go on.
func TestUnplug(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newRaceBed(t)
	hosts := b.addHosts(3)
	b.start1("--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3")
	pingAll(t, hosts)
	for i, h := range hosts {
		a, c := hosts[(i+1)%3], hosts[(i+2)%3]
		staying := startStream(t, a, c, 1000)
		breaking := startStream(t, a, h, 1000)
		before := portStats(t, b, i+1)
		unplug(t, b, h, i+1)
		if err := h.Plug(); err != nil {
			t.Fatal(err)
		}
		pingAll(t, hosts)
		breaking.Stop()
		if r := staying.Stop(); r.Lost() != 0 || r.Doubled != 0 {
			t.Errorf("%s was unplugged, and %s -> %s saw %v", h.Name, a.Name, c.Name, r)
		}
		if after := portStats(t, b, i+1); after.rxPkts <= before.rxPkts || after.txPkts <= before.txPkts {
			t.Errorf("port %d counted %+v before and %+v after", i+1, before, after)
		}
	}
}

// unplug deletes the host's link and waits until the switch says so.
func unplug(t *testing.T, b *bed, h *lab.Host, port int) {
	t.Helper()
	if err := h.Unplug(); err != nil {
		t.Fatal(err)
	}
	eventually(t, h.Port+" down", func() error {
		if !isDown(b, port) {
			return fmt.Errorf("%s", b.ofctl("dump-ports-desc", "br0"))
		}
		return nil
	})
}

// isDown says whether ovs-ofctl shows the port, with its old number and name, as LINK_DOWN.
func isDown(b *bed, port int) bool {
	_, after, found := strings.Cut(b.ofctl("dump-ports-desc", "br0"), fmt.Sprintf(" %d(eth%d): addr:", port, port))
	block, _, _ := strings.Cut(after, "(")
	return found && strings.Contains(block, "LINK_DOWN")
}

// TestCarrier takes the far end of a link down and up: the port follows.
func TestCarrier(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	pingAll(t, hosts)
	if err := hosts[1].LinkDown("eth0"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no carrier", func() error {
		if !isDown(b, 2) {
			return fmt.Errorf("port 2 is up")
		}
		return nil
	})
	if err := hosts[1].LinkUp("eth0"); err != nil {
		t.Fatal(err)
	}
	if err := hosts[1].AddAddr("eth0", netip.MustParsePrefix("10.0.0.22/24")); err != nil {
		t.Fatal(err)
	}
	ping(t, hosts[0].Space, netip.MustParseAddr("10.0.0.22"))
	eventually(t, "carrier", func() error {
		if isDown(b, 2) {
			return fmt.Errorf("port 2 is still down")
		}
		return nil
	})
}

// TestDeviceComesLater starts with a device that does not exist yet.
func TestDeviceComesLater(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	h1 := b.addHost(1, 0)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	if !isDown(b, 2) {
		t.Error("a port without a device is not LINK_DOWN")
	}
	h2 := b.addHost(2, 0)
	ping(t, h1.Space, h2.Addr4())
}

var dpidWord = regexp.MustCompile(`dpid:([0-9a-f]{16})`)

// TestKillAndRestart kills weir under traffic and starts it again in the same run directory: no stale state stops it,
// and the datapath id that it chose for itself is the same.
func TestKillAndRestart(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	ports := []string{"--port", "1:eth1", "--port", "2:eth2"}
	if !lab.Entered() {
		ports = append(ports, "--port", "3:tap:vm1", "--internal")
	}
	var dpid string
	for round := range 4 {
		w := b.start1(ports...)
		pingAll(t, hosts)
		m := dpidWord.FindStringSubmatch(b.ofctl("show", "br0"))
		if m == nil || m[1] == strings.Repeat("0", 16) {
			t.Fatalf("round %d: no datapath id in %q", round, b.ofctl("show", "br0"))
		}
		if dpid == "" {
			dpid = m[1]
		}
		if m[1] != dpid {
			t.Errorf("round %d: datapath id %s, it was %s", round, m[1], dpid)
		}
		s := startStream(t, hosts[0], hosts[1], 2000)
		w.Kill()
		<-w.Done()
		s.Stop()
	}
}

// TestSecondInstance: a second weir for a bridge that runs must not take its sockets away.
func TestSecondInstance(t *testing.T) {
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	second := b.launch("--name", "br0", "--port", "1:eth1")
	select {
	case <-second.Done():
	case <-time.After(patience):
		t.Fatal("a second weir for br0 runs")
	}
	if second.Wait() == nil || !strings.Contains(second.Output(), "br0") {
		t.Errorf("a second weir for br0 said %q, %v", second.Output(), second.Wait())
	}
	pingAll(t, hosts)
	b.cli("ports", "br0")
}

// The two configurations between which TestReload goes back and forth.
const (
	reloadSmall = `
bridges:
  - name: br0
    dpid: "1"
    ports:
      - port: "1:eth1"
      - port: "2:eth2"
      - port: "3:eth3"
`
	reloadLarge = reloadSmall + `
      - port: "4:eth4"
    controllers:
      - {target: "tcp:127.0.0.1:6653", min-backoff: 100ms}
`
)

// TestReload adds and removes a port and a controller while numbered frames and a TCP stream run over the ports that
// stay: not one frame is lost, and no TCP segment has to be sent again for want of the first.
func TestReload(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(4)
	w, file := b.startYAML([]string{"br0"}, reloadSmall)
	pingAll(t, hosts[:3])
	b.ofctl("add-flow", "br0", "cookie=0x77,priority=5,dl_type=0x88b5,actions=drop")
	stream := startStream(t, hosts[0], hosts[1], 2000)
	var tcp sync.WaitGroup
	tcp.Go(func() {
		r, err := lab.Transfer{From: hosts[2].Space, To: hosts[0].Space, Addr: hosts[0].Addr4(), Bytes: 150e6, Rate: 30e6, Hash: true}.Run()
		if err != nil || r.Retransmits > r.Needless {
			t.Errorf("TCP under reload: %v, %v", r, err)
		}
	})
	for round := range 4 {
		reload(t, b, w, file, reloadLarge, round%2 == 0)
		ping(t, hosts[0].Space, hosts[3].Addr4())
		reload(t, b, w, file, reloadSmall, round%2 == 0)
		eventually(t, "port 4 gone", func() error {
			if out := b.ofctl("dump-ports-desc", "br0"); strings.Contains(out, "(eth4)") {
				return fmt.Errorf("%s", out)
			}
			return nil
		})
		if n, _ := hosts[0].PingCount(hosts[3].Addr4(), 1, 50*time.Millisecond); n != 0 {
			t.Error("h4 answers through a port that was removed")
		}
	}
	// A bad file changes nothing and says why.
	if err := os.WriteFile(file, []byte(reloadSmall+"    fail-mod: secure\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := b.try(b.bin, "reload", "br0"); err == nil || !strings.Contains(out, "fail-mod") {
		t.Errorf("reload of a bad file: %q, %v", out, err)
	}
	tcp.Wait()
	if r := stream.Stop(); r.Lost() != 0 || r.Doubled != 0 || r.Overtaken != 0 {
		t.Errorf("the ports that stay: %v", r)
	} else {
		t.Log("the ports that stay:", r)
	}
	wants(t, "flows after reload", b.ofctl("dump-flows", "br0"), "cookie=0x77", "priority=0 actions=NORMAL")
}

// TestReloadReaders changes how many readers a port has, and another of its settings, while numbered frames run over it
// and over the others: those lose nothing, and by the port itself no frame comes twice or overtakes another.
func TestReloadReaders(t *testing.T) {
	b := newBed(t)
	hosts := b.addHosts(3)
	with := func(setting string) string {
		return strings.Replace(reloadSmall, `"3:eth3"`, fmt.Sprintf(`"3:eth3%s"`, setting), 1)
	}
	w, file := b.startYAML([]string{"br0"}, with(""))
	pingAll(t, hosts)
	others, own := startStream(t, hosts[0], hosts[1], 2000), startStream(t, hosts[2], hosts[0], 2000)
	for i, setting := range []string{",readers=2", "", ",ring=512", ""} {
		reload(t, b, w, file, with(setting), i != 1)
		eventually(t, "the port has"+setting, func() error {
			readers := strings.Contains(b.cli("ports", "br0", "--json"), "2 readers")
			if want := setting == ",readers=2"; readers != want {
				return fmt.Errorf("two readers: %v", readers)
			}
			return nil
		})
		before := own.Report().Received
		eventually(t, "frames by the port with"+setting, func() error {
			if r := own.Report(); r.Received < before+200 {
				return fmt.Errorf("%v", r)
			}
			return nil
		})
		r := own.Report()
		t.Logf("so far, now with %q: %v", setting, r) // what is lost comes while the port is closed, whatever has changed
		if r.Doubled != 0 || r.Overtaken != 0 {
			t.Errorf("the port with %q: %v", setting, r)
		}
	}
	if r := others.Stop(); r.Lost() != 0 || r.Doubled != 0 || r.Overtaken != 0 {
		t.Errorf("the ports that stay: %v", r)
	}
	if r := own.Stop(); r.Doubled != 0 || r.Overtaken != 0 || r.Received == 0 {
		t.Errorf("the port that changes: %v", r)
	}
}

// reload writes the file and asks for it by the command or by the signal.
func reload(t *testing.T, b *bed, w *weir, file, text string, byCommand bool) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if byCommand {
		b.cli("reload", "br0")
	} else if err := w.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// TestPortAddDel adds and removes ports by command while others carry frames.
func TestPortAddDel(t *testing.T) {
	b := newRaceBed(t)
	hosts := b.addHosts(3)
	b.start1("--port", "1:eth1", "--port", "2:eth2")
	stream := startStream(t, hosts[0], hosts[1], 1000)
	for range 5 {
		b.cli("port", "add", "br0", "3:eth3")
		ping(t, hosts[0].Space, hosts[2].Addr4())
		b.cli("port", "del", "br0", "eth3")
		if n, _ := hosts[0].PingCount(hosts[2].Addr4(), 1, 50*time.Millisecond); n != 0 {
			t.Error("h3 answers through a port that was removed")
		}
	}
	if r := stream.Stop(); r.Lost() != 0 || r.Doubled != 0 {
		t.Errorf("the ports that stay: %v", r)
	}
}
