// Slow path: the kinds of ports and their options, for help.

package agent

import (
	"github.com/weirswitch/weir/ports"
)

// PortKind is a kind of port as help tells it.
type PortKind struct {
	ports.KindForm
	Options []PortOption // those that not every kind has
}

// PortOption is one option behind a port's text.
type PortOption struct {
	Form string // key=VALUE
	Help string
}

// PortKinds are all kinds of ports, and the options that every kind has.
func PortKinds() (kinds []PortKind, common []PortOption) {
	for _, k := range ports.KindForms() {
		kinds = append(kinds, PortKind{KindForm: k, Options: portOptions(k.Keys)})
	}
	common = append(portOptions(ports.CommonKeys()), portOptions([]string{"link-rate"})...)
	queue := findSetting(portSettings(), "queues")
	return kinds, append(common, PortOption{Form: "queue=" + queue.arg, Help: queue.help + "; :min-rate=RATE may follow; again for a further queue"})
}

// portOptions looks the words up in the table of keys.
func portOptions(keys []string) (all []PortOption) {
	for _, key := range keys {
		s := findSetting(portSettings(), key)
		if s == nil {
			panic("agent: port option " + key + " has no key in the file")
		}
		all = append(all, PortOption{Form: key + "=" + s.arg, Help: s.help})
	}
	return all
}
