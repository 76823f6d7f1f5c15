package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weirswitch/weir/integration/lab"
)

// The real mn with weir as its switch. "mn -c", and mn itself after an exception, kill processes by their names and delete
// all logs in /tmp: so mn has a process namespace here, and its own /tmp and /run.

// mnPrompt is what Mininet's command line says when it waits for the next command.
const mnPrompt = "mininet> "

// mnPatience is how long one command of Mininet may take: "pingall" of 27 hosts is 702 pings one after the other.
const mnPatience = 2 * time.Minute

// box is a shell script's home: namespaces of its own, weir and the examples in /mnt.
type box struct {
	*bed
	*lab.Proc
	in io.WriteCloser
}

// mnSetup comes before every script in a box. Its arguments are weir, the examples and the test's directory.
const mnSetup = `set -e
mount -t tmpfs none /mnt; mount -t tmpfs none /run
mkdir /mnt/examples /mnt/dir; touch /mnt/weir
mount --bind "$1" /mnt/weir; mount --bind "$2" /mnt/examples; mount --bind "$3" /mnt/dir
mount -t tmpfs none /tmp
cd /mnt; export WEIR=/mnt/weir PATH=/mnt:/usr/bin:/usr/sbin:/bin:/sbin
set +e
`

// newBox runs a shell script where mn can do no harm. It skips the test without Mininet.
func newBox(t *testing.T, script string) *box {
	t.Helper()
	need(t, "mn", "iperf", "killall", "pgrep", "ss", "ovs-ofctl", "unshare", "mount", "bash")
	needRoot(t)
	return newBed(t).box(script)
}

func (b *bed) box(script string) *box {
	b.t.Helper()
	examples, err := filepath.Abs("../examples")
	if err != nil {
		b.t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		b.t.Fatal(err)
	}
	// From a file: "mn -c" kills processes by what their command lines contain.
	p, err := b.StartIn(b.Switch, lab.Cmd{Path: "unshare", Args: []string{"-m", "--kill-child", "--fork", "--pid", "--mount-proc",
		"bash", "--norc", b.write("script.sh", mnSetup+script), b.bin, examples, b.Dir()}, In: r})
	r.Close()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		w.Close()
		p.Kill()
	})
	return &box{bed: b, Proc: p, in: w}
}

// wait returns the output when text has come n times.
func (x *box) wait(text string, n int) string {
	x.t.Helper()
	for deadline := time.Now().Add(mnPatience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if out := x.Output(); strings.Count(out, text) >= n {
			return out
		}
		if !x.Running() {
			break
		}
	}
	if out := x.Output(); strings.Count(out, text) >= n {
		return out
	}
	x.t.Fatalf("no %q for the %dth time:\n%s", text, n, x.Output())
	return ""
}

// mn is a session of Mininet's command line.
type mn struct {
	*box
	prompts int
	// begun is how long Mininet's start of the switches took.
	begun time.Duration
}

// weirSwitch begins the arguments of mn.
const weirSwitch = "--custom examples/mininet/weir.py --switch weir"

// mnScript runs mn and tells what it leaves behind: processes but this shell and ps, files, interfaces.
func mnScript(args string) string {
	return "mn " + args + "\n" + mnLeft
}

const mnLeft = `
for i in $(seq 300); do
	left=$(ps -e -o args= | grep -v -e '^bash --norc /' -e '^ps -e' -e '^grep -v' -e defunct; ls -d /run/weir* 2>/dev/null; ip -o link | grep -v ' lo: ')
	[ -z "$left" ] && break
	sleep 0.05
done
echo "left behind: <$left>"
`

// startMn starts mn with these arguments and waits for the first prompt.
func startMn(t *testing.T, args string) *mn {
	t.Helper()
	return newBox(t, mnScript(args)).mn()
}

func (x *box) mn() *mn {
	x.t.Helper()
	m := &mn{box: x, prompts: 1}
	x.wait("*** Starting controller", 1)
	began := time.Now()
	x.wait("*** Starting CLI:", 1)
	m.begun = time.Since(began)
	x.wait(mnPrompt, 1)
	return m
}

// do types a command and returns what it printed.
func (m *mn) do(cmd string) string {
	m.t.Helper()
	before := len(m.Output())
	fmt.Fprintln(m.in, cmd)
	m.prompts++
	out := strings.TrimSuffix(m.wait(mnPrompt, m.prompts)[before:], mnPrompt)
	m.t.Logf("%s%s\n%s", mnPrompt, cmd, out)
	return out
}

// must demands words, in any order, of a command's output.
func (m *mn) must(cmd string, words ...string) string {
	m.t.Helper()
	out := m.do(cmd)
	wants(m.t, cmd, out, words...)
	return out
}

// until repeats a command until its output has the word.
func (m *mn) until(cmd, word string) {
	m.t.Helper()
	eventually(m.t, cmd, func() error { return contains(m.do(cmd), word) })
}

// end leaves Mininet, which must leave nothing.
func (m *mn) end() {
	m.t.Helper()
	fmt.Fprintln(m.in, "exit")
	m.nothingLeft()
}

func (x *box) nothingLeft() {
	x.t.Helper()
	x.wait("left behind: <", 1)
	<-x.Done()
	if out := x.Output(); !strings.Contains(out, "left behind: <>") || strings.Contains(out, "Caught exception") {
		x.t.Errorf("Mininet did not end well:\n%s", out)
	}
}

var bandwidth = regexp.MustCompile(`([0-9.]+) ([KMG])bits/sec`)

// iperf runs iperf for some seconds from one host to another and returns what both say, in Mbit/s. (Mininet's own command
// iperf waits for a report that iperf 2.1 does not print, whatever the switch: mininet/mininet#1060.)
func (m *mn) iperf(from, to string, seconds int) (client, server float64) {
	m.t.Helper()
	eventually(m.t, "no iperf listens", func() error {
		if out := m.do(to + " ss -ltn"); strings.Contains(out, ":5001") {
			return errors.New(out)
		}
		return nil
	})
	m.do(to + " iperf -s -P 1 > /tmp/server 2>&1 &")
	m.until(to+" ss -ltn", ":5001")
	mbits := func(cmd string) float64 {
		out := m.do(cmd)
		all := bandwidth.FindAllStringSubmatch(out, -1)
		if all == nil {
			m.t.Fatalf("%s: no bandwidth in %s", cmd, out)
		}
		last := all[len(all)-1]
		v, _ := strconv.ParseFloat(last[1], 64)
		return v * map[string]float64{"K": 1e-3, "M": 1, "G": 1e3}[last[2]]
	}
	client = mbits(fmt.Sprintf("%s iperf -c %s -t %d", from, to, seconds))
	m.until(to+" cat /tmp/server", "bits/sec")
	return client, mbits(to + " cat /tmp/server")
}

// TestMininetBridge: without a controller a learning switch, and all that a user can do to it at Mininet's command line.
func TestMininetBridge(t *testing.T) {
	m := startMn(t, weirSwitch+" --controller none --topo single,3")
	m.must("pingall", "*** Results: 0% dropped (6/6 received)")
	m.must("dpctl dump-flows", "*** s1 ---", " table=0, n_packets=", "priority=0 actions=NORMAL")
	m.must("dpctl show", "OFPT_FEATURES_REPLY (xid=0x2): dpid:0000000000000001", " 1(s1-eth1): addr:", " 3(s1-eth3): addr:")
	m.must("dpctl dump-ports-desc -O OpenFlow13", "OFPST_PORT_DESC reply (OF1.3)", " 2(s1-eth2): addr:")
	m.must("h1 ethtool -k h1-eth0", "tx-checksumming: on", "tcp-segmentation-offload: on")
	if client, server := m.iperf("h1", "h2", 2); client < 50 || server < 50 {
		t.Errorf("iperf: %.0f Mbit/s sent, %.0f received", client, server)
	}
	m.do("dpctl add-flow priority=9,icmp,actions=drop")
	m.must("h1 ping -c 1 -W 1 10.0.0.2", "100% packet loss")
	m.do("dpctl del-flows icmp")
	m.until("h1 ping -c 1 -W 1 10.0.0.2", " 0% packet loss")

	m.do("link s1 h2 down")
	m.until("dpctl show", "LINK_DOWN")
	m.must("h1 ping -c 1 -W 1 10.0.0.2", "100% packet loss")
	m.do("link s1 h2 up")
	m.until("h1 ping -c 1 -W 1 10.0.0.2", " 0% packet loss")

	m.do("py net.addHost('h4', ip='10.0.0.4/8')")
	m.do("py net.addLink(s1, h4)")
	m.do("py h4.configDefault()")
	m.must("h4 ping -c 1 -W 1 10.0.0.1", "100% packet loss")
	m.do("py s1.attach('s1-eth4')")
	m.until("h4 ping -c 1 -W 1 10.0.0.1", " 0% packet loss")
	m.must("dpctl show", " 4(s1-eth4): addr:")
	m.do("py s1.detach('s1-eth4')")
	m.must("h4 ping -c 1 -W 1 10.0.0.1", "100% packet loss")
	m.until("h1 ping -c 1 -W 1 10.0.0.2", " 0% packet loss")

	m.do("switch s1 stop")
	m.must("h1 ping -c 1 -W 1 10.0.0.2", "100% packet loss")
	m.do("switch s1 start")
	m.must("pingall", "*** Results: 0% dropped (12/12 received)")
	m.must("dpctl show", "dpid:0000000000000001")
	m.end()
}

// ryuForMn is where Mininet finds a learning controller that listens.
func ryuForMn(t *testing.T) *bed {
	t.Helper()
	need(t, "mn")
	needRoot(t)
	b := newBed(t)
	b.startRyu("../examples/ryu/simple_switch_13.py")
	eventually(t, "os-ken listens", func() error { return contains(b.must("ss", "-ltn"), ":6653") })
	return b
}

// TestMininetController: eight switches of one process under a controller, and the class's parameters.
func TestMininetController(t *testing.T) {
	b := ryuForMn(t)
	m := b.box(mnScript(weirSwitch + ",protocols=OpenFlow13,failMode=secure --controller remote --topo linear,8 --wait")).mn()
	m.must("sh pgrep -cx weir", "1\n")
	m.must("pingall", "*** Results: 0% dropped (56/56 received)")
	out := m.must("dpctl dump-flows", "*** s8 ---", "priority=0 actions=CONTROLLER:65535")
	if n := strings.Count(out, "priority=1,in_port="); n < 8*2 {
		t.Errorf("the controller has installed %d flows in eight switches", n)
	}
	m.must("sh weir --rundir /run/weir-mininet status s5", "datapath 0000000000000005")
	m.do("switch s4 stop")
	m.must("h1 ping -c 1 -W 1 h8", "100% packet loss")
	m.until("h1 ping -c 1 -W 1 h3", " 0% packet loss") // the others have kept their flows and controller
	m.do("switch s4 start")
	m.until("h1 ping -c 1 -W 1 h8", " 0% packet loss")
	m.end()
}

// TestMininetFailMode: what a switch does while no controller answers.
func TestMininetFailMode(t *testing.T) {
	for _, c := range []struct{ mode, result string }{
		{",failMode=standalone", "*** Results: 0% dropped (2/2 received)"},
		{"", "*** Results: 100% dropped (0/2 received)"}, // secure where there is a controller
	} {
		m := startMn(t, weirSwitch+c.mode+" --controller remote")
		m.must("pingall", c.result)
		m.end()
	}
}

// TestMininetTree is 27 hosts on 13 switches, one by one and all at once.
func TestMininetTree(t *testing.T) {
	m := startMn(t, weirSwitch+" --controller none --topo tree,depth=3,fanout=3 --arp")
	t.Logf("13 switches started in %v", m.begun)
	m.end()
	m = startMn(t, weirSwitch+",batch=True --controller none --topo tree,depth=3,fanout=3")
	t.Logf("13 switches started in %v with batch=True", m.begun)
	m.must("sh pgrep -cx weir", "1\n")
	m.must("pingall", "*** Results: 0% dropped (702/702 received)")
	m.end()
}

// TestMininetInNamespace: each switch has a network namespace and reaches its controller by Mininet's control network.
func TestMininetInNamespace(t *testing.T) {
	b := ryuForMn(t)
	m := b.box(mnScript(weirSwitch + " --controller remote --topo linear,2 --innamespace --wait")).mn()
	m.must("pingall", "*** Results: 0% dropped (2/2 received)")
	m.must("dpctl dump-flows", "*** s2 ---", "priority=0 actions=CONTROLLER:65535", "priority=1,in_port=")
	m.must("sh pgrep -cx weir", "2\n")
	if out := m.do("sh ip -o link"); strings.Contains(out, "s1-eth1") {
		t.Errorf("the switch's interface is not in a namespace: %s", out)
	}
	m.end()
}

// TestMininetTCLink: Mininet's own shaping of links holds, for weir leaves it alone.
func TestMininetTCLink(t *testing.T) {
	m := startMn(t, weirSwitch+" --controller none --link tc,bw=10")
	m.must("sh tc qdisc show dev s1-eth1", "qdisc htb")
	client, server := m.iperf("h1", "h2", 5)
	for try := 0; server < 9 && try < 3; try++ { // something else had the processors, perhaps
		client, server = m.iperf("h1", "h2", 5)
	}
	if server < 9 || server > 11 {
		t.Errorf("a link of 10 Mbit/s carried %.2f Mbit/s (sent %.2f)", server, client)
	}
	m.end()

	m = startMn(t, weirSwitch+" --controller none --link tc,delay=20ms")
	m.do("h1 ping -c 1 -W 2 10.0.0.2")
	out := m.do("h1 ping -c 1 -W 2 10.0.0.2")
	if strings.Contains(m.Output(), "Specified qdisc kind is unknown") {
		t.Log("not tested: delay, for this kernel has no netem")
	} else if ms := regexp.MustCompile(`time=([0-9]+)`).FindStringSubmatch(out); ms == nil {
		t.Errorf("no answer: %s", out)
	} else if n, _ := strconv.Atoi(ms[1]); n < 80 {
		t.Errorf("%d ms there and back over four links of 20 ms", n)
	}
	m.end()
}

// TestMininetCleanUp: nothing of weir outlives mn, even one that was killed, and "mn -c" ends it.
func TestMininetCleanUp(t *testing.T) {
	const session = "mn " + weirSwitch + " --controller none --topo linear,2 --test none --post wait &\npid=$!\n" +
		"until [ -e /tmp/there ]; do sleep 0.02; done; ls -d /run/weir-mininet/s2.mgmt\n"
	const post = "echo 'sh touch /tmp/there; until [ -e /tmp/go ]; do sleep 0.02; done' >wait\n"
	for name, script := range map[string]string{
		// What was weir's goes by itself, what was Mininet's with "mn -c".
		"killed": post + session + "kill -9 $pid; touch /tmp/go; until ! [ -e /run/weir-mininet ]; do sleep 0.02; done; mn -c",
		// "mn -c" in another terminal, without and with the custom file; then mn itself ends, one way or the other.
		// A process that was killed is seen until the kernel has taken its sockets down.
		"mn -c": post + session + "mn -c; for i in $(seq 500); do pgrep -x weir >/dev/null || break; sleep 0.02; done; " +
			"pgrep -x weir && echo STILL THERE; touch /tmp/go; kill -9 $pid",
		"mn --custom -c": post + session + "mn --custom examples/mininet/weir.py -c; ls -d /run/weir-mininet && echo STILL THERE; touch /tmp/go; kill -9 $pid",
		// A process that was killed together with everything that would clean up after it.
		"both": post + session + "pkill -9 -f 'read _'; pkill -9 -x weir; kill -9 $pid; touch /tmp/go; mn -c; ls -d /run/weir-mininet/s2.mgmt\n" +
			"mn " + weirSwitch + " --controller none --test pingall",
	} {
		t.Run(name, func(t *testing.T) {
			x := newBox(t, script+mnLeft)
			x.nothingLeft()
			wants(t, name, x.Output(), "/run/weir-mininet/s2.mgmt")
			if strings.Contains(x.Output(), "STILL THERE") {
				t.Errorf("not cleaned up:\n%s", x.Output())
			}
			if name == "both" {
				wants(t, name, x.Output(), "*** Results: 0% dropped (2/2 received)")
			}
		})
	}
}

// TestMininetRefusals: what WeirSwitch cannot do is told before mn makes anything, and not by an exception, after which mn
// would clean up what is not its own.
func TestMininetRefusals(t *testing.T) {
	cases := []struct{ env, params, want string }{
		{"", ",stp=True", "weir has no spanning tree: leave out stp=True"},
		{"", ",faliMode=secure", "unknown parameter faliMode, did you mean failMode?"},
		{"", ",colour=red", "unknown parameter colour: there are failMode, "},
		{"", ",failMode=open", "failMode=open: it is standalone or secure"},
		{"", ",protocols=OpenFlow14", "protocols=OpenFlow14: there are OpenFlow10 and OpenFlow13"},
		{"", ",reconnectms=soon", "reconnectms=soon: it is a number of milliseconds"},
		{"WEIR=/nonexistent ", "", "$WEIR names /nonexistent, which does not run"},
		{"WEIR=/bin/false ", "", "$WEIR names /bin/false, which does not run"},
		{"WEIR= PATH=/usr/bin:/usr/sbin:/bin:/sbin ", "", "weir was not found: build it with \"make build\", or put it into PATH or into $WEIR"},
	}
	script := "touch /tmp/precious.log\n"
	for _, c := range cases {
		script += fmt.Sprintf("%smn --custom examples/mininet/weir.py --switch weir%s --controller none --test none; echo \"status $?\"\n", c.env, c.params)
	}
	x := newBox(t, script+"ls /tmp/precious.log\n"+mnLeft)
	x.nothingLeft()
	out := x.Output()
	for _, c := range cases {
		wants(t, c.env+c.params, out, c.want)
	}
	if n := strings.Count(out, "status 1\n"); n != len(cases) || strings.Contains(out, "*** Creating network") {
		t.Errorf("%d of %d sessions were refused with status 1 before mn made anything", n, len(cases))
	}
	wants(t, "the log of another", strings.ReplaceAll(out, "cannot access '/tmp/precious.log'", ""), "/tmp/precious.log\n")
	if t.Failed() {
		t.Log(out)
	}
}

// TestMininetReadme types the session that the example's README prints.
func TestMininetReadme(t *testing.T) {
	f, err := os.Open("../examples/mininet/README.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sessions := 0
	for _, b := range blocks(f) {
		if !b.has("mininet") {
			continue
		}
		sessions++
		begin, rest, _ := strings.Cut(strings.Join(b.content, "\n"), "\n"+mnPrompt)
		args, want, _ := strings.Cut(begin, "\n")
		m := startMn(t, strings.TrimPrefix(args, "$ sudo mn "))
		check := func(want, out string) error { return compare(strings.Split(strings.TrimSpace(want), "\n"), out) }
		if err := check(want, m.Output()); err != nil {
			t.Errorf("line %d: %v", b.line, err)
		}
		for _, step := range strings.Split(rest, "\n"+mnPrompt) {
			cmd, want, _ := strings.Cut(step, "\n")
			if cmd == "exit" {
				m.end()
				if err := check(want, m.Output()); err != nil {
					t.Errorf("line %d: %v", b.line, err)
				}
				break
			}
			eventually(t, fmt.Sprintf("line %d: %s", b.line, cmd), func() error { return check(want, m.do(cmd)) })
		}
	}
	if sessions == 0 {
		t.Error("the README has no session")
	}
}

// TestMininetScript: the class in a program that uses Mininet's API and starts its switches itself.
func TestMininetScript(t *testing.T) {
	need(t, "mn")
	needRoot(t)
	b := newBed(t)
	b.write("script.py", `
from mininet.net import Mininet
from weir import WeirSwitch

net = Mininet(switch=WeirSwitch, controller=None)
h1, h2 = net.addHost('h1'), net.addHost('h2')
edge = net.addSwitch('edge', dpid='00:00:00:00:00:00:ab:cd')
net.addLink(edge, h1, port1=7)
net.addLink(edge, h2, port1=9)
net.build()
edge.start([])
print('dropped %d percent' % net.pingAll(), 'connected', edge.connected())
print(edge.dpctl('show'), edge.dpctl('dump-flows'))
edge.stop()
net.stop()
try:
    net.addSwitch('s2', stp=True)
except Exception as e:
    print(e)
try:
    net.addSwitch('s3', failMode='sure').start([])
except Exception as e:
    print(e)
`)
	// The second time without Open vSwitch: dpctl is then "weir ofctl".
	const run = "PYTHONPATH=/mnt/examples/mininet /usr/bin/python3 -B /mnt/dir/script.py\n"
	x := b.box(run + "mount --bind /dev/null $(command -v ovs-ofctl); echo second; " + run + mnLeft)
	x.nothingLeft()
	first, second, _ := strings.Cut(x.Output(), "second\n")
	for _, out := range []string{first, second} {
		wants(t, "script", out, "dropped 0 percent connected True", "dpid:000000000000abcd", " 7(edge-eth7): ", " 9(edge-eth9): ",
			"priority=0 actions=NORMAL", "weir has no spanning tree", "standalone or secure")
	}
}
