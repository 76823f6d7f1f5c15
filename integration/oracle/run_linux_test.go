package oracle

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
	"github.com/weirswitch/weir/openflow/oftest"
)

const (
	numPorts = 4
	// tablesSeen is how many tables' counters are compared; the generator uses the first of them.
	tablesSeen = 8
	// markerTable is where ovs.settle puts its entry.
	markerTable = 253
	// patience is for what should not happen: no passing test waits it out.
	patience = time.Minute
)

// target is a switch under comparison. send and wait return when all their consequences are there.
type target interface {
	name() string
	begin(*life) error
	controller() *oftest.Controller
	take() []string // what the controller heard since the last call
	send(port int, frame []byte) error
	sendAll(frames [numPorts][][]byte) error // at once, by all ports
	other() (*oftest.Controller, error)      // a second connection, which hears nothing but answers
	wait(time.Duration) error
	note(string)   // one more thing that was seen
	calm() error   // wait for the consequences of a message
	settle() error // wait for the FLOW_REMOVEDs of a delete
	outputs() ([numPorts][]string, error)
	stations() ([]string, error) // where NORMAL knows addresses
	rundir() string
	close() error
}

var (
	_ target = (*ovs)(nil)
	_ target = (*weir)(nil)
)

// ear is the controller's side of a target: it writes down what the switch sends by itself.
type ear struct {
	c     *oftest.Controller
	mu    sync.Mutex
	lines []string
	ins   uint64
}

func (e *ear) controller() *oftest.Controller { return e.c }

// hear is called by the controller's reader.
func (e *ear) hear(xid uint32, m openflow.Message) {
	line := ""
	switch m := m.(type) {
	case *openflow.MultipartReply:
		if xid < scrambledXID || m.More { // into how many parts an answer falls is open
			return
		}
		line = replyText(m)
	case *openflow.PacketIn:
		line = fmt.Sprintf("packet-in %s table=%d cookie=%#x total_len=%d %s data=%x", m.Reason, m.TableID, m.Cookie, m.TotalLen, fieldsText(m.Match), m.Data)
	case *openflow.Error:
		line = fmt.Sprintf("error %s/%s", m.Type, m.CodeName())
	case *openflow.FlowRemoved:
		if m.TableID == markerTable {
			return
		}
		line = fmt.Sprintf("flow-removed %s table=%d cookie=%#x priority=%d %s idle=%d hard=%d packets=%d bytes=%d",
			m.Reason, m.TableID, m.Cookie, m.Priority, fieldsText(m.Match), m.IdleTimeout, m.HardTimeout, m.PacketCount, m.ByteCount)
	default:
		return
	}
	e.note(line)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, is := m.(*openflow.PacketIn); is {
		e.ins++
	}
}

// hearErrors is hear for a second connection.
func (e *ear) hearErrors(xid uint32, m openflow.Message) {
	if _, is := m.(*openflow.Error); is {
		e.hear(xid, m)
	}
}

func (e *ear) note(line string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lines = append(e.lines, line)
}

func (e *ear) packetIns() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ins
}

func (e *ear) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.lines
	e.lines = nil
	return l
}

// fieldsText is a match as a set: its order is not compared.
func fieldsText(m openflow.Match) string {
	var list []string
	for f := range m.All() {
		list = append(list, f.String())
	}
	slices.Sort(list)
	return strings.Join(list, ",")
}

// want asks for every asynchronous message, and for whole frames: switches differ in what they send unasked.
func want(c *oftest.Controller) error {
	all := [2]uint32{7, 0}
	return c.Apply(
		&openflow.SetAsync{AsyncConfig: openflow.AsyncConfig{PacketIn: all, PortStatus: all, FlowRemoved: [2]uint32{15, 0}}},
		plainConfig())
}

func plainConfig() *openflow.SetConfig {
	return &openflow.SetConfig{SwitchConfig: openflow.SwitchConfig{MissSendLen: openflow.ControllerNoBuffer}}
}

// forgetAll takes everything out of a switch.
func forgetAll() []openflow.Message {
	return []openflow.Message{
		oftest.DeleteFlows(openflow.Match{}), plainConfig(),
		&openflow.GroupMod{Command: openflow.GroupDelete, Group: openflow.GroupAll},
		&openflow.MeterMod{Command: openflow.MeterDelete, Meter: openflow.MeterAll},
	}
}

// play runs a life on a target and gives what was seen after each step; the last element is what the
// switch says of itself in the end.
func play(g target, l *life, text bool) ([][]string, error) {
	if err := g.begin(l); err != nil {
		return nil, fmt.Errorf("%s: %w", g.name(), err)
	}
	base, err := tableCounts(g)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.name(), err)
	}
	var seen [][]string
	read, _ := l.read()
	for i, st := range l.steps {
		if f, is := st.(*frame); is && read.configs(i)[f.port]&openflow.PortDown != 0 { // no device would take it
			seen = append(seen, nil)
			continue
		}
		if err := st.play(g); err != nil {
			return nil, fmt.Errorf("%s: step %d, %s: %w", g.name(), i, st, err)
		}
		lines, err := observe(g)
		if err != nil {
			return nil, fmt.Errorf("%s: step %d: %w", g.name(), i, err)
		}
		seen = append(seen, lines)
	}
	end, err := inventory(g, base, text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", g.name(), err)
	}
	return append(seen, end), nil
}

// passes says whether a frame that leaves can be received: pipes carry all, devices do not.
var passes = func([]byte) bool { return true }

// observe gathers frames by port, in their order there, and messages. FLOW_REMOVEDs of one delete
// have no order.
func observe(g target) (lines []string, err error) {
	out, err := g.outputs()
	if err != nil {
		return nil, err
	}
	for i, frames := range out {
		for _, f := range frames {
			if b, err := hex.DecodeString(f); err != nil || passes(b) {
				lines = append(lines, fmt.Sprintf("out %d: %s", i+1, f))
			}
		}
	}
	heard := g.take()
	if !slices.ContainsFunc(heard, func(s string) bool { return !strings.HasPrefix(s, "flow-removed") }) {
		slices.Sort(heard)
	}
	return append(lines, heard...), nil
}

func flowLine(f *openflow.FlowStats) string {
	return fmt.Sprintf("flow table=%d priority=%d cookie=%#x flags=%s idle=%d hard=%d packets=%d bytes=%d %s actions=%s",
		f.TableID, f.Priority, f.Cookie, f.Flags, f.IdleTimeout, f.HardTimeout, f.PacketCount, f.ByteCount,
		fieldsText(f.Match), ofctl.Instructions(f.Instructions))
}

// replyText is an answer as far as it is not the switch's own affair.
func replyText(m *openflow.MultipartReply) string {
	var list []string
	for _, r := range m.Records {
		switch r := r.(type) {
		case *openflow.FlowStats:
			list = append(list, flowLine(r))
		case *openflow.AggregateStats:
			list = append(list, r.String())
		case *openflow.GroupDesc:
			list = append(list, fmt.Sprintf("group %d", r.Group))
		case *openflow.GroupStats:
			list = append(list, fmt.Sprintf("group %d", r.Group))
		case *openflow.MeterConfig:
			list = append(list, r.String())
		case *openflow.MeterStatistics:
			list = append(list, fmt.Sprintf("meter %d", r.Meter))
		}
	}
	slices.Sort(list)
	return fmt.Sprintf("reply %s %s", m.Type, strings.Join(list, "; "))
}

func tableCounts(g target) ([]openflow.TableStats, error) {
	list, err := oftest.Records[*openflow.TableStats](g.controller(), openflow.MultipartTable)
	if err != nil {
		return nil, err
	}
	if len(list) < tablesSeen {
		return nil, fmt.Errorf("%d tables", len(list))
	}
	counts := make([]openflow.TableStats, tablesSeen)
	for i := range counts {
		counts[i] = *list[i]
	}
	return counts, nil
}

// inventory is what FLOW, TABLE and AGGREGATE requests tell, and with text what ovs-ofctl prints.
func inventory(g target, base []openflow.TableStats, text bool) (lines []string, err error) {
	flows, err := g.controller().Flows(openflow.AllFlows())
	if err != nil {
		return nil, err
	}
	for _, f := range flows {
		lines = append(lines, flowLine(f))
	}
	slices.Sort(lines)
	counts, err := tableCounts(g)
	if err != nil {
		return nil, err
	}
	for i, c := range counts {
		lines = append(lines, fmt.Sprintf("table %d: active=%d lookup=%d matched=%d", i, c.ActiveCount, c.LookupCount-base[i].LookupCount, c.MatchedCount-base[i].MatchedCount))
	}
	groups, err := groupLines(g)
	if err != nil {
		return nil, err
	}
	lines = append(lines, groups...)
	meters, err := meterLines(g)
	if err != nil {
		return nil, err
	}
	lines = append(lines, meters...)
	stations, err := g.stations()
	if err != nil {
		return nil, err
	}
	slices.Sort(stations)
	lines = append(lines, stations...)
	for _, r := range aggregateRequests() {
		sum, err := oftest.Records[*openflow.AggregateStats](g.controller(), openflow.MultipartAggregate, r)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("aggregate of %s: %s", r, sum[0]))
	}
	if text && g.rundir() != "" {
		lines = append(lines, ofctlLines(g.rundir())...)
	}
	return lines, nil
}

// aggregateRequests sum over all entries and over some of them.
func aggregateRequests() []*openflow.FlowStatsRequest {
	all, port, ip, cookie := openflow.AllFlows(), openflow.AllFlows(), openflow.AllFlows(), openflow.AllFlows()
	port.OutPort = 2
	ip.Match = openflow.NewMatch(openflow.Exact(openflow.EthType, 0x0800))
	cookie.Cookie, cookie.CookieMask = 1, 1
	return []*openflow.FlowStatsRequest{all, port, ip, cookie}
}

// ages are what an ovs-ofctl line says of time; the two clocks are not the same.
var ages = regexp.MustCompile(`(duration|idle_age|hard_age)=[0-9.]+s?, `)

// ofctlLines is dump-flows by the real ovs-ofctl, sorted: the order is the switch's own affair.
func ofctlLines(rundir string) []string {
	cmd := exec.Command("ovs-ofctl", "-O", "OpenFlow13", "dump-flows", "br0")
	cmd.Env = append(os.Environ(), "OVS_RUNDIR="+rundir)
	out, err := cmd.Output() // what it says of itself goes to standard error
	if err != nil {
		return []string{fmt.Sprintf("ovs-ofctl: %v", err)}
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, "ofctl "+ages.ReplaceAllString(strings.TrimSpace(line), ""))
	}
	slices.Sort(lines)
	return lines
}

// difference plays a life on all targets at once; the first of them is the oracle. It is empty when all agree.
func difference(all []target, l *life, text bool) (string, error) {
	seen, err := playAll(all, l, text)
	if err != nil {
		return "", err
	}
	for i := 1; i < len(all); i++ {
		if d := compare(l, all[0].name(), seen[0], all[i].name(), seen[i]); d != "" {
			return d, nil
		}
	}
	return "", nil
}

func playAll(all []target, l *life, text bool) ([][][]string, error) {
	seen, errs := make([][][]string, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, g := range all {
		group.Go(func() { seen[i], errs[i] = play(g, l, text) })
	}
	group.Wait()
	return seen, errors.Join(errs...)
}

// replays is how often a life must differ to be reported: ovs-vswitchd has threads of its own, and on
// a busy machine one life in a thousand meets them at a bad moment.
const replays = 3

// repeats says whether a life differs every time. weir must show the same each time: it is a function
// of its input here.
func repeats(all []target, l *life, text bool) (bool, error) {
	var before [][]string
	for range replays {
		seen, err := playAll(all, l, text)
		if err != nil {
			return false, err
		}
		if before != nil {
			if d := compare(l, "weir", before, "weir again", seen[1]); d != "" {
				return false, fmt.Errorf("weir does not repeat itself: %s", d)
			}
		}
		before = seen[1]
		if compare(l, "", seen[0], "", seen[1]) == "" && compare(l, "", seen[0], "", seen[2]) == "" {
			return false, nil
		}
	}
	return true, nil
}

// compare tells the first step after which two switches differ.
func compare(l *life, nameA string, a [][]string, nameB string, b [][]string) string {
	read, _ := l.read()
	blurs := read.flat().blurs()
	for i := range a {
		a[i] = read.throughDown(i, a[i])
		for _, blur := range blurs {
			a[i], b[i] = blur(a[i]), blur(b[i])
		}
		if slices.Equal(a[i], b[i]) || i < len(l.steps) && unreadable(l.steps[i]) && refused(a[i]) && refused(b[i]) {
			continue
		}
		what := "in the end"
		if i < len(l.steps) {
			what = fmt.Sprintf("after step %d, %s", i, l.steps[i])
		}
		return fmt.Sprintf("%s:\n%s%s", what, only(nameA, a[i], b[i]), only(nameB, b[i], a[i]))
	}
	return ""
}

// unreadable messages may be refused with different codes: which of their mistakes is met first is open.
func unreadable(s step) bool {
	r, is := s.(*raw)
	if !is {
		return false
	}
	m, _ := r.reading()
	return m == nil
}

func refused(lines []string) bool { return len(lines) == 1 && strings.HasPrefix(lines[0], "error ") }

// only lists the lines of a that b lacks; all of a when the difference is their order.
func only(name string, a, b []string) string {
	left := slices.Clone(b)
	var lines []string
	for _, s := range a {
		if i := slices.Index(left, s); i >= 0 {
			left = slices.Delete(left, i, i+1)
		} else {
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 && len(left) == 0 {
		lines = a
	}
	var text strings.Builder
	for _, s := range lines {
		fmt.Fprintf(&text, "  %s: %s\n", name, s)
	}
	if len(lines) == 0 {
		fmt.Fprintf(&text, "  %s: nothing\n", name)
	}
	return text.String()
}
