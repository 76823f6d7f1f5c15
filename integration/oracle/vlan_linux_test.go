package oracle

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/ports"
)

// macAge is how long both switches remember where a station is.
const macAge = 15 * time.Second

// setup is what a person configures of the ports, before the life begins.
type setup [numPorts]struct {
	vlan    ports.VLAN
	noFlood bool
}

func (s *setup) String() string {
	if *s.text() == *new(setup).text() {
		return ""
	}
	return fmt.Sprintf("  ports: %s\n", strings.Join(s.text()[:], "; "))
}

// text is each port in Open vSwitch's words; a setup itself cannot be compared.
func (s *setup) text() *[numPorts]string {
	var list [numPorts]string
	for i, p := range s {
		mode, tag, trunks := p.vlan.Mode.String(), "[]", "[]"
		if p.vlan.Mode != ports.VLANTrunk {
			tag = fmt.Sprint(p.vlan.Tag)
		}
		if len(p.vlan.Trunks) > 0 {
			trunks = strings.ReplaceAll(strings.Trim(fmt.Sprint(p.vlan.Trunks), "[]"), " ", ",")
		}
		list[i] = fmt.Sprintf("vlan_mode=%s tag=%s trunks=%s flood=%t", mode, tag, trunks, !p.noFlood)
	}
	return &list
}

// configurePorts brings the bridge into the state that a life begins with.
func (o *ovs) configurePorts(s *setup) error {
	is, want := o.setup.text(), s.text()
	args := []string{"-t", "20", "--db=unix:" + filepath.Join(o.dir, "db.sock")}
	for i := range want {
		if is[i] == want[i] {
			continue
		}
		words := strings.Fields(want[i])
		args = append(append(args, "--", "set", "port", portName(i+1)), words[:3]...)
		if o.setup[i].noFlood == s[i].noFlood {
			continue
		}
		word := "flood"
		if s[i].noFlood {
			word = "no-flood"
		}
		if err := o.command("ovs-ofctl", "-O", "OpenFlow10", "mod-port", "br0", fmt.Sprint(i+1), word); err != nil {
			return err
		}
	}
	o.setup = *s
	if len(args) == 3 {
		return nil
	}
	return o.command("ovs-vsctl", args...)
}

func (o *ovs) command(path string, args ...string) error {
	cmd := exec.Command(path, args...)
	cmd.Env = o.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", path, strings.Join(args, " "), err, out)
	}
	return nil
}

// stations is the MAC table of NORMAL.
func (o *ovs) stations() (lines []string, err error) {
	text, err := o.ctl.call("fdb/show", "br0")
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		if f := strings.Fields(line); i > 0 && len(f) == 4 {
			lines = append(lines, fmt.Sprintf("station vlan=%s %s port=%s", f[1], f[2], f[0]))
		}
	}
	return lines, err
}

func (w *weir) stations() (lines []string, err error) {
	for _, s := range w.sw.FDB() {
		lines = append(lines, fmt.Sprintf("station vlan=%d %s port=%d", s.VLAN, s.MAC, s.Port))
	}
	return lines, nil
}

// vlanLife is a learning switch with VLANs: few entries besides the one that says NORMAL.
func (g *gen) vlanLife() *life {
	g.tables, g.normal, g.sets = 1, true, g.one(3)
	if g.maxTags = min(g.maxTags, 1); g.maxTags > 0 { // see deviation access-two-tags
		g.pushes = 0
	}
	l := &life{}
	for i := range l.ports {
		p := &l.ports[i]
		p.vlan.Mode, p.noFlood = ports.VLANMode(g.IntN(4)), g.one(5)
		if p.vlan.Mode != ports.VLANTrunk {
			p.vlan.Tag = pick(g, []uint16{1, 2, 100})
		}
		if p.vlan.Mode != ports.VLANAccess && g.one(2) {
			p.vlan.Trunks = pick(g, [][]uint16{{1}, {1, 2}, {2, 100}, {0, 1}, {0, 1, 2, 100}})
		}
	}
	l.steps = append(l.steps, newFlow(0, 0))
	l.steps[0].(*flow).does = []instruction{apply(openflow.Output(openflow.PortNormal))}
	g.flows = append(g.flows, l.steps[0].(*flow))
	for range g.IntN(4) {
		f := g.add()
		f.idle, f.hard = 0, 0
		l.steps = append(l.steps, f)
	}
	for range 10 + g.IntN(20) {
		switch g.IntN(8) {
		case 0:
			l.steps = append(l.steps, pause{time.Duration(pick(g, []int{1, 4, 9, 16})) * time.Second})
		case 1:
			l.steps = append(l.steps, g.packetOut())
		case 2:
			if g.one(3) {
				l.steps = append(l.steps, &portMod{port: openflow.PortNo(1 + g.IntN(numPorts)), config: openflow.PortConfig(32 * g.IntN(2)), mask: openflow.PortNoFwd})
			}
		default:
			l.steps = append(l.steps, g.frame())
		}
		if framesAtOnce(l) > quietFrames {
			l.steps = append(l.steps[:len(l.steps)-1], pause{time.Second})
		}
	}
	return l
}
