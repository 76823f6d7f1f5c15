package ports

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Kind is the sort of thing a port stands on.
type Kind string

// The kinds, as written before the colon of a port's text.
const (
	KindAFPacket Kind = "afpacket" // an Ethernet device; may be left out: "eth1"
	KindXDP      Kind = "xdp"      // an Ethernet device, by AF_XDP
	KindTAP      Kind = "tap"      // a tap interface, made or existing
	KindInternal Kind = "internal" // the bridge's own interface, OpenFlow port LOCAL
	KindPatch    Kind = "patch"    // a cable to another bridge of this process
	KindPipe     Kind = "pipe"     // an in-memory pair, for tests
	KindWire     Kind = "wire"     // frames over UDP, TCP or unix sockets
	KindPcap     Kind = "pcap"     // a capture file, or a live device by libpcap
)

// Interface says whether a port of the kind stands on the host's interface that
// its target names, which can be in one place only.
func (k Kind) Interface() bool { return k == KindAFPacket || k == KindXDP || k == KindTAP }

// MaxNumber is the largest port number that may be asked for. OpenFlow 1.3.5
// ends at 0xffffff00, but Open vSwitch's tools keep 0xff00 and above for
// reserved ports, and people read those numbers with these tools.
const MaxNumber = 0xff00 - 1

// MaxName is the longest name that fits ofp_port's name, with its zero byte.
const MaxName = 15

// Spec says what port to open. Its text is
//
//	[NUMBER:][KIND:]TARGET[,key=value]...
//
// The VLAN words, Flood and Number are not the port's business: they are kept
// here so that one text says all there is to say, and the agent uses them.
type Spec struct {
	Number    uint32 // OpenFlow number, 1 to MaxNumber; 0 = the agent chooses
	Name      string // name in the bridge; empty = derived by Check from the target
	Kind      Kind
	Target    string // device, file, or a wire's transport
	MTU       int    // 0 = what the device has, or the kind's default
	VLAN      VLAN
	NoFlood   bool  // leave the port out of FLOOD
	NoOffload bool  // see Options.NoOffload
	Args      []Arg // the kind's own options, in the order given
}

// Arg is one key=value that only the kind understands.
type Arg struct{ Key, Value string }

// Arg gives the value of the kind's own option, empty when it is not there.
func (s *Spec) Arg(key string) string {
	for _, a := range s.Args {
		if a.Key == key {
			return a.Value
		}
	}
	return ""
}

// ArgAll gives all values of an option that may be repeated.
func (s *Spec) ArgAll(key string) []string {
	var all []string
	for _, a := range s.Args {
		if a.Key == key {
			all = append(all, a.Value)
		}
	}
	return all
}

// SpecError says which word of a port's text is wrong and what would be right.
type SpecError struct {
	Text string // the whole text
	Word string // the word that is wrong; empty when one is missing
	Want string // what was expected, with an example

	Joint bool     // the words may be right one by one, and do not fit together
	Known []string // for an option that there is not: those that there are
}

// Error names the text, the word and the right form.
func (e *SpecError) Error() string {
	if e.Word == "" {
		return fmt.Sprintf("port %q: %s", e.Text, e.Want)
	}
	return fmt.Sprintf("port %q: %q: %s", e.Text, e.Word, e.Want)
}

// kindInfo is what the parser knows of a kind.
type kindInfo struct {
	kind   Kind
	target string   // what the target is, for messages
	form   string   // a right example
	keys   []string // options beyond the common ones
}

var kinds = [...]kindInfo{
	{KindAFPacket, "an interface name", "eth1", []string{"ring", "readers"}},
	{KindXDP, "an interface name", "xdp:eth1", []string{"mode", "readers", "ring"}},
	{KindTAP, "an interface name", "tap:vm1", []string{"mac", "readers"}},
	{KindInternal, "the bridge's name", "internal:br0,address=10.0.0.254/24", []string{"address", "mac", "readers"}},
	{KindPatch, "this end's name", "patch:to-br1,peer=to-br0", []string{"peer"}},
	{KindPipe, "the pipe's name", "pipe:p1", nil},
	{KindWire, "a transport: udp, tcp, unix or unixgram", "wire:tcp,listen=127.0.0.1:7000",
		[]string{"local", "remote", "listen", "connect"}},
	{KindPcap, "a capture file or an interface", "pcap:in.pcapng,out=rec.pcapng,rate=fast,loop=3",
		[]string{"out", "rate", "loop"}},
}

var commonKeys = [...]string{"name", "mtu", "tag", "trunks", "vlan-mode", "flood", "offload"}

// agentKeys stand in the same text; the agent takes them out before, and they are known here to be told.
var agentKeys = [...]string{"link-rate", "queue"}

func kindOf(k Kind) *kindInfo {
	for i := range kinds {
		if kinds[i].kind == k {
			return &kinds[i]
		}
	}
	return nil
}

func kindList() string {
	var names []string
	for _, k := range kinds {
		names = append(names, string(k.kind))
	}
	return strings.Join(names, ", ")
}

// ParseSpec reads a port's text and checks it. Every error is a *SpecError.
func ParseSpec(text string) (Spec, error) {
	s := Spec{Kind: KindAFPacket}
	rest := text
	if head, tail, ok := strings.Cut(rest, ":"); ok && isDigits(head) {
		n, err := strconv.ParseUint(head, 10, 32)
		if err != nil || n == 0 || n > MaxNumber {
			return Spec{}, &SpecError{Text: text, Word: head, Want: fmt.Sprintf("a port number is 1 to %d", MaxNumber)}
		}
		s.Number, rest = uint32(n), tail
	}
	words := strings.Split(rest, ",")
	if kind, target, ok := strings.Cut(words[0], ":"); ok {
		if kindOf(Kind(kind)) == nil {
			return Spec{}, &SpecError{Text: text, Word: kind, Want: "no such kind of port; there are " + kindList() +
				", and a bare interface name (eth1)"}
		}
		s.Kind, words[0] = Kind(kind), target
	}
	if s.Kind != KindPcap || !strings.HasPrefix(words[0], "out=") { // pcap:out=FILE records only
		s.Target, words = words[0], words[1:]
	}
	for _, w := range words {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return Spec{}, &SpecError{Text: text, Word: w, Want: "options are written key=value; " + s.keyList()}
		}
		if err := s.Set(key, value); err != nil {
			err.(*SpecError).Text = text
			return Spec{}, err
		}
	}
	if err := s.Check(); err != nil {
		err.(*SpecError).Text = text
		return Spec{}, err
	}
	return s, nil
}

// Set gives one option its value, as if it had stood in the text. A
// configuration file that spells options as keys uses it. What several
// options mean together is judged by Check.
func (s *Spec) Set(key, value string) error {
	if key == "vlan_mode" { // as Open vSwitch spells it
		key = "vlan-mode"
	}
	bad := func(want string) error {
		return &SpecError{Text: s.String(), Word: key + "=" + value, Want: want}
	}
	info := kindOf(s.Kind)
	if info == nil {
		return &SpecError{Text: s.String(), Word: string(s.Kind), Want: "no such kind of port; there are " + kindList()}
	}
	if slices.Contains(info.keys, key) {
		if value == "" {
			return bad("the value is missing; right is for example " + info.form)
		}
		if s.Arg(key) != "" && key != "address" {
			return bad("given twice")
		}
		s.Args = append(s.Args, Arg{key, value})
		return nil
	}
	if !slices.Contains(commonKeys[:], key) {
		return &SpecError{Text: s.String(), Word: key, Want: s.unknownKey(key), Known: s.keys()}
	}
	if want := s.setCommon(key, value); want != "" {
		return bad(want)
	}
	return nil
}

// setCommon sets an option that every kind has. It answers what was expected,
// or nothing when all is well.
func (s *Spec) setCommon(key, value string) (want string) {
	var err error
	switch key {
	case "name":
		s.Name, want = value, "a name has 1 to 15 characters without blanks, commas, colons and slashes"
		if value == "" || len(value) > MaxName || strings.ContainsAny(value, " \t\n,:/=") {
			return want
		}
	case "mtu":
		if s.MTU, err = strconv.Atoi(value); err != nil || s.MTU < MinMTU || s.MTU > MaxMTU {
			return fmt.Sprintf("an MTU is %d to %d bytes", MinMTU, MaxMTU)
		}
	case "flood":
		s.NoFlood, want = noWord(value)
	case "offload":
		s.NoOffload, want = noWord(value)
	default:
		return s.VLAN.set(key, value)
	}
	if want != "" && (key == "flood" || key == "offload") {
		return want
	}
	return ""
}

// The range of MTUs that may be asked for: what IPv4 demands of every link,
// and what an IPv4 packet can be long.
const (
	MinMTU = 68
	MaxMTU = 65535
)

func noWord(value string) (no bool, want string) {
	switch value {
	case "yes", "true":
		return false, ""
	case "no", "false":
		return true, ""
	}
	return false, "yes or no"
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// keys are the options that a port of the kind takes.
func (s *Spec) keys() (keys []string) {
	if info := kindOf(s.Kind); info != nil {
		keys = slices.Clone(info.keys)
	}
	return slices.Concat(keys, commonKeys[:], agentKeys[:])
}

func (s *Spec) keyList() string {
	return fmt.Sprintf("%s takes %s", s.Kind, strings.Join(s.keys(), ", "))
}

// unknownKey explains, and points at the kind that has such an option.
func (s *Spec) unknownKey(key string) string {
	for _, k := range kinds {
		if slices.Contains(k.keys, key) {
			return fmt.Sprintf("that option belongs to %s (%s); %s", k.kind, k.form, s.keyList())
		}
	}
	return "no such option; " + s.keyList()
}

// Check judges the whole spec and fills in the name when there is none. Open
// calls it; a configuration is checked by it without opening anything.
func (s *Spec) Check() error {
	info := kindOf(s.Kind)
	fail := func(word, want string) error { return &SpecError{Text: s.String(), Word: word, Want: want} }
	switch {
	case info == nil:
		return fail(string(s.Kind), "no such kind of port; there are "+kindList())
	case s.Number > MaxNumber:
		return fail(strconv.FormatUint(uint64(s.Number), 10), fmt.Sprintf("a port number is 1 to %d", MaxNumber))
	case s.Target == "" && !(s.Kind == KindPcap && s.Arg("out") != ""):
		return fail("", fmt.Sprintf("%s is missing; right is for example %s", info.target, info.form))
	}
	var word, want string
	joint := true
	switch s.Kind {
	case KindAFPacket, KindXDP, KindTAP, KindInternal:
		word, want = s.checkDevice()
		joint = want == ""
	case KindPatch:
		if s.Arg("peer") == "" || s.Arg("peer") == s.Target {
			word, want = s.Target, "a patch names the other end's patch, not itself: "+info.form
		}
	case KindWire:
		word, want = s.checkWire()
	case KindPcap:
		word, want = s.checkPcap()
	}
	if want == "" {
		word, want = s.VLAN.check()
	}
	if want != "" {
		return &SpecError{Text: s.String(), Word: word, Want: want, Joint: joint}
	}
	if s.Name == "" {
		s.Name = s.deriveName()
	}
	return nil
}

// checkDevice knows what the kernel accepts as an interface name.
func (s *Spec) checkDevice() (word, want string) {
	if len(s.Target) > MaxName || strings.ContainsAny(s.Target, "/: \t\n") || s.Target == "." || s.Target == ".." {
		return s.Target, "an interface name has 1 to 15 characters without blanks, colons and slashes"
	}
	if word, want := s.checkRing(); want != "" {
		return word, want
	}
	if v := s.Arg("readers"); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > MaxReaders {
			return "readers=" + v, fmt.Sprintf("readers says how many processors may take frames in at once, from 1 to %d", MaxReaders)
		}
	}
	if mode := s.Arg("mode"); mode != "" && mode != modeNative && mode != modeCopy && mode != modeGeneric {
		return "mode=" + mode, "a mode is native (in the driver or not at all), copy (no zero-copy) or generic (in front of the host's stack); without one weir takes the best there is"
	}
	for _, a := range s.ArgAll("address") {
		if _, err := netip.ParsePrefix(a); err != nil {
			return "address=" + a, "an address is written with its prefix length, as 10.0.0.254/24 or fd00::1/64"
		}
	}
	if mac := s.Arg("mac"); mac != "" {
		if a, err := net.ParseMAC(mac); err != nil || len(a) != 6 || a[0]&1 != 0 {
			return "mac=" + mac, "an interface's address is six bytes in hex and not a group's, as 02:00:00:00:00:01"
		}
	}
	return "", ""
}

// deriveName makes a name from what the port stands on.
func (s *Spec) deriveName() string {
	name := s.Target
	switch s.Kind {
	case KindWire:
		at := s.endpoint()
		if _, port, ok := cutLast(at, ":"); ok && !strings.HasPrefix(s.Target, "unix") {
			name = "wire-" + port
		} else {
			name = strings.TrimSuffix(filepath.Base(at), filepath.Ext(at))
		}
	case KindPcap:
		if name == "" {
			name = s.Arg("out")
		}
		name = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\n,:/=", r) || r > '~' {
			return '-'
		}
		return r
	}, name)
	if name == "" {
		name = string(s.Kind)
	}
	return name[:min(len(name), MaxName)]
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// String is the text that ParseSpec would read as this spec.
func (s *Spec) String() string {
	var b strings.Builder
	if s.Number != 0 {
		fmt.Fprintf(&b, "%d:", s.Number)
	}
	if s.Kind != KindAFPacket {
		fmt.Fprintf(&b, "%s:", s.Kind)
	}
	b.WriteString(s.Target)
	add := func(key, value string) { fmt.Fprintf(&b, ",%s=%s", key, value) }
	for _, a := range s.Args {
		add(a.Key, a.Value)
	}
	if s.Name != "" {
		add("name", s.Name)
	}
	if s.MTU != 0 {
		add("mtu", strconv.Itoa(s.MTU))
	}
	s.VLAN.words(add)
	if s.NoFlood {
		add("flood", "no")
	}
	if s.NoOffload {
		add("offload", "no")
	}
	return b.String()
}
