package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// debianPython has the Debian packages, whatever python3 comes first in PATH.
const debianPython = "/usr/bin/python3"

// needPython skips the test when a Python module is missing.
func needPython(t *testing.T, module string) {
	t.Helper()
	if err := exec.Command(debianPython, "-c", "import "+module).Run(); err != nil {
		lacking(t, "Python module %s is not installed (make deps installs it on Debian)", module)
	}
}

// startRyu runs an application under os-ken in the switch's namespace, listening on the default port. Of what follows,
// NAME=VALUE goes into its environment and the rest onto its command line.
func (b *bed) startRyu(app string, more ...string) *lab.Proc {
	b.t.Helper()
	needPython(b.t, "os_ken")
	file, err := filepath.Abs(app)
	if err != nil {
		b.t.Fatal(err)
	}
	args, env := []string{"-m", "os_ken.cmd.manager"}, append(b.env(), "PYTHONDONTWRITEBYTECODE=1")
	for _, m := range more {
		if strings.HasPrefix(m, "-") {
			args = append(args, m)
		} else {
			env = append(env, m)
		}
	}
	p, err := b.Start(lab.Cmd{Path: debianPython, Args: append(args, file), Env: env, Dir: b.Dir()})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("os-ken said:\n%s", p.Output())
		}
	})
	return p
}

// TestRyuLearningSwitch is the Ryu book's learning switch in front of weir.
func TestRyuLearningSwitch(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newRaceBed(t)
	hosts := b.addHosts(3)
	b.start1("--dpid", "1", "--port", "1:eth1", "--port", "2:eth2", "--port", "3:eth3", "--fail-mode", "secure",
		"--controller", "tcp:127.0.0.1:6653,min-backoff=100ms,max-backoff=200ms")
	if n, _ := hosts[0].PingCount(hosts[1].Addr4(), 2, 100*time.Millisecond); n != 0 {
		t.Errorf("%d pings answered by a secure switch without controller", n)
	}
	ryu := b.startRyu("../examples/ryu/simple_switch_13.py")
	eventually(t, "table-miss entry", func() error {
		return contains(b.ofctl("dump-flows", "br0"), "priority=0 actions=CONTROLLER:65535")
	})
	b.cli("status", "br0", "--connected")
	pingAll(t, hosts)
	learned := []string{"priority=1", "in_port=1", "dl_src=" + hosts[0].MAC.String(), "dl_dst=" + hosts[1].MAC.String(), "output:2"}
	before := flowPackets(t, b, learned...)
	if n, err := hosts[0].PingCount(hosts[1].Addr4(), 20, patience); n != 20 || err != nil {
		t.Errorf("%d of 20 pings, %v", n, err)
	}
	if after := flowPackets(t, b, learned...); after < before+20 {
		t.Errorf("the learned flow counted %d, then %d packets, after 20 pings", before, after)
	}
	t.Log(transfer(t, hosts[0].Space, hosts[1].Space, hosts[1].Addr4(), 100e6))

	// The controller goes: what it installed stays. It comes back: the switch has called again.
	ryu.Kill()
	<-ryu.Done()
	ping(t, hosts[0].Space, hosts[1].Addr4())
	b.ofctl("del-flows", "br0")
	b.startRyu("../examples/ryu/simple_switch_13.py")
	eventually(t, "the controller is back", func() error {
		return contains(b.ofctl("dump-flows", "br0"), "priority=0 actions=CONTROLLER:65535")
	})
	pingAll(t, hosts)
}

// TestControllerLost: a standalone bridge forwards by itself again when its controller has gone.
func TestControllerLost(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	b.start1("--port", "1:eth1", "--port", "2:eth2", "--fail-mode", "standalone",
		"--controller", "tcp:127.0.0.1:6653,min-backoff=100ms,max-backoff=200ms,inactivity-probe=1s")
	pingAll(t, hosts)
	ryu := b.startRyu("../examples/ryu/simple_switch_13.py")
	eventually(t, "table-miss entry of the controller", func() error {
		return contains(b.ofctl("dump-flows", "br0"), "priority=0 actions=CONTROLLER:65535")
	})
	pingAll(t, hosts)
	installed := strings.Count(b.ofctl("dump-flows", "br0"), "priority=1,")
	ryu.Kill()
	<-ryu.Done()
	eventually(t, "NORMAL is back", func() error {
		return contains(b.ofctl("dump-flows", "br0"), "priority=0 actions=NORMAL")
	})
	if n := strings.Count(b.ofctl("dump-flows", "br0"), "priority=1,"); n != installed || n == 0 {
		t.Errorf("%d flows of the controller are left of %d", n, installed)
	}
	pingAll(t, hosts)
}

// TestGoController is examples/controller in front of weir: its messages are encoded by libOpenflow.
func TestGoController(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	bin, err := bins.controller()
	if err != nil {
		t.Fatal(err)
	}
	ctl, err := b.Start(lab.Cmd{Path: bin})
	if err != nil {
		t.Fatal(err)
	}
	b.start1("--dpid", "5", "--port", "1:eth1", "--port", "2:eth2", "--fail-mode", "secure",
		"--controller", "tcp:127.0.0.1:6653,min-backoff=100ms,max-backoff=200ms")
	pingAll(t, hosts)
	for _, said := range []string{"switch 0000000000000005 connected", "learned " + hosts[1].MAC.String() + " -> " + hosts[0].MAC.String() + " by port 1"} {
		says(t, ctl, said)
	}
	if n := flowPackets(t, b, "priority=1", "in_port=1", "dl_dst="+hosts[1].MAC.String(), "output:2"); n == 0 {
		t.Error("the learned flow has counted nothing")
	}
	t.Log(transfer(t, hosts[0].Space, hosts[1].Space, hosts[1].Addr6(), 100e6))
}
