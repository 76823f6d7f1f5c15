package oracle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// blurs take out of what was seen in a life what cannot be compared in it; README.md says why.
func (l *life) blurs() (list []func([]string) []string) {
	if l.any(popsAndGoes) {
		list = append(list, without(`(bytes|n_bytes)=[0-9]+`))
	}
	if l.any(hasAction(func(a openflow.Action) bool { return a.Type > 0xffff })) {
		list = append(list, without(`( actions)=.*`))
	}
	if refusedFrame(l) || l.any(meteredGoto) {
		list = append(list, without(`(packets|n_packets|bytes|n_bytes|lookup|matched)=[0-9]+`))
	}
	if droppedFragment(l) {
		list = append(list, without(`(lookup|matched)=[0-9]+`))
	}
	if n := l.shown(); someStep(func(*groupMod) bool { return true })(l) && n.any(hasAction(changesSize)) {
		list = append(list, without(`(^group [0-9]+ refs=[0-9?]+) .*`))
	}
	if someStep(func(m *groupMod) bool { return m.command == openflow.GroupModify })(l) {
		list = append(list, without(`(^group [0-9]+ refs=[0-9?]+ packets)=[0-9]+ bytes=[0-9]+`))
	}
	if someStep(func(m meterMod) bool { return m.Command == openflow.MeterModify })(l) {
		list = append(list, without(`(in_packets)=[0-9]+ in_bytes=[0-9]+`))
	}
	if chained(l) {
		list = append(list, without(`(refs)=[0-9]+`))
	}
	return list
}

// without makes a blur of an expression.
func without(expression string) func([]string) []string {
	e := regexp.MustCompile(expression)
	return func(lines []string) (list []string) {
		changed := false
		for _, s := range lines {
			n := e.ReplaceAllString(s, "$1=?")
			changed = changed || n != s
			list = append(list, n)
		}
		if changed {
			slices.Sort(list)
		}
		return list
	}
}

// changesSize recognises actions after which a frame is longer or shorter.
func changesSize(a openflow.Action) bool {
	return slices.Contains([]openflow.ActionType{openflow.ActionPushVLAN, openflow.ActionPopVLAN, openflow.ActionPushMPLS, openflow.ActionPopMPLS}, a.Type)
}

// configs is how the life's PORT_MODs have configured the ports before step i.
func (l *life) configs(i int) (config [numPorts + 1]openflow.PortConfig) {
	for _, s := range l.steps[:i] {
		if p, is := s.(*portMod); is && !p.wrongAddress && p.port >= 1 && p.port <= numPorts {
			config[p.port] = config[p.port]&^p.mask | p.config&p.mask
		}
	}
	return config
}

// refusedFrame: a frame comes in by a port with NO_RECV.
func refusedFrame(l *life) bool {
	for i, s := range l.steps {
		if f, is := s.(*frame); is && l.configs(i)[f.port]&openflow.PortNoRecv != 0 {
			return true
		}
	}
	return false
}

// droppedFragment: fragments, and a SET_CONFIG that says drop.
func droppedFragment(l *life) bool {
	return slices.Contains(l.steps, step(setConfig{openflow.FragDrop})) && slices.ContainsFunc(l.steps, func(s step) bool {
		f, is := s.(*frame)
		return is && strings.Contains(f.what, "fragment")
	})
}

// throughDown takes out the frames that Open vSwitch sent through ports that are down: it leaves it to the device to
// send nothing, and its dummy devices send in any state.
func (l *life) throughDown(i int, lines []string) []string {
	config := l.configs(min(i, len(l.steps)))
	return slices.DeleteFunc(lines, func(s string) bool {
		for n := 1; n <= numPorts; n++ {
			if config[n]&openflow.PortDown != 0 && strings.HasPrefix(s, fmt.Sprintf("out %d:", n)) {
				return true
			}
		}
		return false
	})
}
