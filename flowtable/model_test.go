package flowtable

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/weirswitch/weir/flowtable/packet"
	"github.com/weirswitch/weir/openflow"
)

// model is the switch told as plainly as possible: a sorted list of entries, a scan for each lookup,
// one frame at a time, every header read again from the bytes before each table, a copy for each
// output. It shares with the engine only package packet, which has its own oracle.
type model struct {
	flows   []*modelFlow
	groups  map[uint32]*modelGroup
	hash    func(*packet.Frame) uint64 // the engine's: see spread_test.go
	seed    uint64
	meters  map[uint32]*modelMeter
	ports   []Port
	macs    map[string]*modelMAC
	seq     int
	now     time.Duration
	events  []string
	looked  map[uint8][2]uint64
	maxMACs int
	age     time.Duration
	moves   int
	hold    time.Duration
}

type modelFlow struct {
	*openflow.FlowMod
	created, used  time.Duration
	packets, bytes uint64
	seq            int
}

type modelMAC struct {
	vlan   uint16
	mac    string
	port   uint32
	seen   time.Duration
	moves  int
	since  time.Duration
	home   uint32
	until  time.Duration
	ticket int // order of the last sighting
}

func newModel(c Config) *model {
	c = c.withDefaults()
	return &model{seed: c.HashSeed, meters: map[uint32]*modelMeter{}, groups: map[uint32]*modelGroup{}, macs: map[string]*modelMAC{}, looked: map[uint8][2]uint64{}, maxMACs: c.MACTableSize, age: c.MACAge, moves: c.LoopMoves, hold: c.LoopHold}
}

// the controller's side

func sameMatch(a, b *modelFlow) bool {
	return a.TableID == b.TableID && a.Priority == b.Priority && a.Match.Equal(b.Match)
}

// within: every field of the request is in the entry's match, as tightly or more.
func within(entry, request openflow.Match) bool {
	for f := range request.All() {
		if f.Mask.IsZero() {
			continue
		}
		g, ok := entry.Get(f.ID)
		if !ok || !f.Mask.AndNot(g.Mask).IsZero() || g.Value.And(f.Mask) != f.Value.And(f.Mask) {
			return false
		}
	}
	return true
}

func (m *model) flowMod(fm *openflow.FlowMod) (removed []string) {
	n := &modelFlow{FlowMod: fm, created: m.now, used: m.now}
	m.seq++
	n.seq = m.seq
	if fm.Command == openflow.FlowAdd {
		for i, f := range m.flows {
			if sameMatch(f, n) {
				if fm.Flags&openflow.FlowResetCounts == 0 {
					n.packets, n.bytes = f.packets, f.bytes
				}
				n.seq = f.seq
				m.flows[i] = n
				return nil
			}
		}
		m.flows = append(m.flows, n)
		return nil
	}
	strict := fm.Command == openflow.FlowModifyStrict || fm.Command == openflow.FlowDeleteStrict
	for _, f := range slices.Clone(m.flows) {
		if f.TableID != fm.TableID && fm.TableID != openflow.TableAll || (f.Cookie^fm.Cookie)&fm.CookieMask != 0 {
			continue
		}
		if strict && (f.Priority != fm.Priority || !f.Match.Equal(fm.Match)) || !strict && !within(f.Match, fm.Match) {
			continue
		}
		if isDelete(fm.Command) {
			if fm.OutPort != openflow.PortAny && !modelSendsTo(f.Instructions, fm.OutPort) ||
				fm.OutGroup != groupAny && !modelRuns(f.Instructions, fm.OutGroup) {
				continue
			}
			removed = append(removed, m.remove(f, openflow.RemovedDelete)...)
			continue
		}
		c := *f.FlowMod
		c.Instructions = fm.Instructions
		f.FlowMod = &c
		if fm.Flags&openflow.FlowResetCounts != 0 {
			f.packets, f.bytes = 0, 0
		}
	}
	return removed
}

func modelSendsTo(list openflow.Instructions, port openflow.PortNo) bool {
	for in := range list.All() {
		for a := range in.Actions.All() {
			if a.Type == openflow.ActionOutput && a.Port == port {
				return true
			}
		}
	}
	return false
}

func (m *model) remove(f *modelFlow, why openflow.FlowRemovedReason) []string {
	m.flows = slices.DeleteFunc(m.flows, func(x *modelFlow) bool { return x == f })
	if f.Flags&openflow.FlowSendRemoved == 0 {
		return nil
	}
	return []string{fmt.Sprintf("table=%d prio=%d cookie=%x reason=%d packets=%d bytes=%d", f.TableID, f.Priority, f.Cookie, why, f.packets, f.bytes)}
}

func removedText(list []Removed) (s []string) {
	for _, r := range list {
		s = append(s, fmt.Sprintf("table=%d prio=%d cookie=%x reason=%d packets=%d bytes=%d", r.Table, r.Priority, r.Cookie, r.Reason, r.Last.Packets, r.Last.Bytes))
	}
	return s
}

func (m *model) expire() (removed []string) {
	for _, f := range slices.Clone(m.flows) {
		hard := f.created + time.Duration(f.HardTimeout)*time.Second
		idle := f.used + time.Duration(f.IdleTimeout)*time.Second
		isHard, isIdle := f.HardTimeout != 0 && hard <= m.now, f.IdleTimeout != 0 && idle <= m.now
		switch {
		case isHard && (!isIdle || hard <= idle):
			removed = append(removed, m.remove(f, openflow.RemovedHardTimeout)...)
		case isIdle:
			removed = append(removed, m.remove(f, openflow.RemovedIdleTimeout)...)
		}
	}
	for k, s := range m.macs {
		if m.now-s.seen >= m.age {
			delete(m.macs, k)
		}
	}
	return removed
}

func findPort(ports []Port, no uint32) *Port {
	for i := range ports {
		if ports[i].No == no {
			return &ports[i]
		}
	}
	return nil
}

func (m *model) setPorts(ports []Port) {
	for _, old := range m.ports {
		now := findPort(ports, old.No)
		if now == nil || portDown(now) && !portDown(&old) || fmt.Sprint(now.VLAN) != fmt.Sprint(old.VLAN) {
			for k, s := range m.macs {
				if s.port == old.No {
					delete(m.macs, k)
				}
			}
		}
	}
	m.ports = slices.Clone(ports)
	slices.SortFunc(m.ports, func(a, b Port) int { return cmp.Compare(a.No, b.No) })
}

// the frame's side

// modelFrame is a frame under way.
type modelFrame struct {
	f     *packet.Frame
	flow  *modelFlow // at hand
	queue uint32
	set   []openflow.Action
	inSet bool // the action set runs
	dead  bool
	group bool // in a bucket
}

func (m *model) port(no uint32) *Port { return findPort(m.ports, no) }

func (m *model) receive(in uint32, b []byte) {
	p := m.port(in)
	if p == nil || p.Config&(openflow.PortDown|openflow.PortNoRecv) != 0 || len(b) < 14 {
		return
	}
	x := &modelFrame{f: frameOf(in, b)}
	x.f.Parse()
	m.pipeline(x)
}

func (m *model) packetOut(in uint32, b []byte, list openflow.Actions) {
	if len(b) < 14 {
		return
	}
	x := &modelFrame{f: frameOf(in, b)}
	x.f.Parse()
	for a := range list.All() {
		if !x.dead && a.Type == openflow.ActionOutput && a.Port == openflow.PortTable {
			y := &modelFrame{f: frameOf(in, x.f.Bytes())}
			y.f.Parse()
			m.pipeline(y)
		} else {
			m.act(x, &a)
		}
	}
}

func (m *model) pipeline(x *modelFrame) {
	size := uint64(x.f.Len())
	for table := uint8(0); ; {
		// Read everything again from the bytes; only what the pipeline itself added is kept.
		keep := x.f.Key
		x.f.Parse()
		copy(x.f.Key[packet.HeaderWords-1:], keep[packet.HeaderWords-1:])

		flow := m.lookup(table, &x.f.Key)
		l := m.looked[table]
		l[0]++
		if flow != nil {
			l[1]++
		}
		m.looked[table] = l
		if flow == nil {
			return
		}
		flow.packets++
		flow.bytes += size
		flow.used = m.now
		x.flow = flow
		next := -1
		if in, ok := flow.Instructions.Get(openflow.InstructionMeter); ok {
			x.dead = !m.meters[in.Meter].pass(x.f, m.now)
		}
		if in, ok := flow.Instructions.Get(openflow.InstructionApplyActions); ok {
			for a := range in.Actions.All() {
				m.act(x, &a)
			}
		}
		if x.dead {
			return
		}
		if _, ok := flow.Instructions.Get(openflow.InstructionClearActions); ok {
			x.set = nil
		}
		if in, ok := flow.Instructions.Get(openflow.InstructionWriteActions); ok {
			for a := range in.Actions.All() {
				x.write(a)
			}
		}
		if in, ok := flow.Instructions.Get(openflow.InstructionWriteMetadata); ok {
			_, md := x.f.Key.Get(packet.Metadata)
			x.f.Key.Set(packet.Metadata, 0, md&^in.MetadataMask|in.Metadata&in.MetadataMask)
		}
		if in, ok := flow.Instructions.Get(openflow.InstructionGotoTable); ok {
			next = int(in.TableID)
		}
		if next < 0 {
			break
		}
		table = uint8(next)
	}
	m.runSet(x)
}

// write puts an action into the action set, in the place of one of its kind.
func (x *modelFrame) write(a openflow.Action) {
	x.set = slices.DeleteFunc(x.set, func(b openflow.Action) bool {
		return a.Type == b.Type && (a.Type != openflow.ActionSetField || a.Field.ID == b.Field.ID)
	})
	x.set = append(x.set, a)
}

// setOrder is section 5.10.
var setOrder = []openflow.ActionType{
	openflow.ActionCopyTTLIn, openflow.ActionPopVLAN, openflow.ActionPopPBB, openflow.ActionPopMPLS, openflow.ActionPushMPLS,
	openflow.ActionPushPBB, openflow.ActionPushVLAN, openflow.ActionCopyTTLOut, openflow.ActionDecNwTTL, openflow.ActionDecMPLSTTL,
	openflow.ActionSetField, openflow.ActionSetMPLSTTL, openflow.ActionSetNwTTL, openflow.ActionSetQueue, openflow.ActionGroup, openflow.ActionOutput,
}

func (m *model) runSet(x *modelFrame) {
	if !slices.ContainsFunc(x.set, func(a openflow.Action) bool { return a.Type == openflow.ActionGroup || a.Type == openflow.ActionOutput }) {
		return
	}
	x.inSet = true
	if slices.ContainsFunc(x.set, func(a openflow.Action) bool { return a.Type == openflow.ActionGroup }) {
		x.set = slices.DeleteFunc(slices.Clone(x.set), func(a openflow.Action) bool { return a.Type == openflow.ActionOutput })
	}
	for _, kind := range setOrder {
		for id := openflow.FieldID(0); int(id) < openflow.NumFields; id++ {
			for _, a := range x.set {
				if a.Type == kind && (kind == openflow.ActionSetField && a.Field.ID == id || kind != openflow.ActionSetField && id == 0) {
					m.act(x, &a)
				}
			}
		}
	}
}

func (m *model) lookup(table uint8, k *packet.Key) *modelFlow {
	var best *modelFlow
	for _, f := range m.flows {
		if f.TableID == table && matches(f.Match, k) &&
			(best == nil || f.Priority > best.Priority || f.Priority == best.Priority && f.seq < best.seq) {
			best = f
		}
	}
	return best
}

// inTransport: fields that later fragments do not have.
func inTransport(id openflow.FieldID) bool {
	return id >= openflow.TCPSrc && id <= openflow.ICMPv4Code || id >= openflow.ICMPv6Type && id <= openflow.NDTLL || id == openflow.TCPFlags
}

func matches(m openflow.Match, k *packet.Key) bool {
	for f := range m.All() {
		hi, lo := k.Get(keyField(f.ID))
		if _, has := k.Get(packet.HasL4); has == 0 && inTransport(f.ID) && !f.Mask.IsZero() {
			return false
		}
		if openflow.ValueOf128(hi, lo).And(f.Mask) != f.Value.And(f.Mask) {
			return false
		}
	}
	return true
}

func (m *model) output(x *modelFrame, no uint32) {
	p := m.port(no)
	if p != nil && p.LinkUp && p.Config&(openflow.PortDown|openflow.PortNoFwd) == 0 {
		m.events = append(m.events, outputEvent(no, x.queue, x.f.Bytes()))
	}
}

func (m *model) packetIn(x *modelFrame, why openflow.PacketInReason, maxLen uint16) {
	table, cookie := uint8(0), ^uint64(0)
	if x.flow != nil {
		table, cookie = x.flow.TableID, x.flow.Cookie
		if why == openflow.ReasonAction && !x.group && !x.inSet && x.flow.Priority == 0 && x.flow.Match.IsEmpty() {
			why = openflow.ReasonNoMatch
			if p := m.port(x.f.InPort); p != nil && p.Config&openflow.PortNoPacketIn != 0 {
				return
			}
		}
	}
	_, md := x.f.Key.Get(packet.Metadata)
	f := x.f
	if c := m.meters[openflow.MeterController]; c != nil {
		f = frameOf(f.InPort, f.Bytes())
		f.Parse()
		if !c.pass(f, m.now) {
			return
		}
	}
	m.events = append(m.events, packetInEvent(why, table, cookie, maxLen, md, f.Bytes()))
}

func (m *model) act(x *modelFrame, a *openflow.Action) {
	if x.dead {
		return
	}
	f := x.f
	ok := true
	switch a.Type {
	case openflow.ActionOutput:
		m.outputAction(x, a)
	case openflow.ActionGroup:
		m.runGroup(x, a.Group)
	case openflow.ActionSetQueue:
		x.queue = a.Queue
	case openflow.ActionSetField:
		proto := map[openflow.FieldID]uint64{openflow.TCPDst: 6, openflow.UDPSrc: 17}[a.Field.ID]
		if _, p := f.Key.Get(packet.IPProto); proto == 0 || proto == p {
			f.SetField(keyField(a.Field.ID), a.Field.Value.Hi(), a.Field.Value.Lo())
		}
	case openflow.ActionPushVLAN:
		f.PushVLAN(a.EtherType)
	case openflow.ActionPopVLAN:
		f.PopVLAN()
	case openflow.ActionPushMPLS:
		f.PushMPLS(a.EtherType)
	case openflow.ActionPopMPLS:
		f.PopMPLS(a.EtherType)
	case openflow.ActionPushPBB:
		f.PushPBB(a.EtherType)
	case openflow.ActionPopPBB:
		f.PopPBB()
	case openflow.ActionDecNwTTL:
		ok = f.DecIPTTL()
	case openflow.ActionDecMPLSTTL:
		ok = f.DecMPLSTTL()
	case openflow.ActionSetNwTTL:
		f.SetIPTTL(a.TTL)
	case openflow.ActionSetMPLSTTL:
		f.SetMPLSTTL(a.TTL)
	case openflow.ActionCopyTTLIn:
		f.CopyTTLIn()
	case openflow.ActionCopyTTLOut:
		f.CopyTTLOut()
	default:
		panic(fmt.Sprintf("the model does not know %s", a.Type))
	}
	if !ok {
		m.packetIn(x, openflow.ReasonInvalidTTL, 0xffff)
		x.dead = true
	}
}

func (m *model) outputAction(x *modelFrame, a *openflow.Action) {
	switch a.Port {
	case openflow.PortInPort:
		m.output(x, x.f.InPort)
	case openflow.PortController:
		m.packetIn(x, openflow.ReasonAction, a.MaxLen)
	case openflow.PortNormal:
		m.normal(x)
	case openflow.PortAll, openflow.PortFlood:
		for _, p := range m.ports {
			if p.No != x.f.InPort && (a.Port == openflow.PortAll || !p.NoFlood) {
				m.output(x, p.No)
			}
		}
	default:
		if uint32(a.Port) != x.f.InPort {
			m.output(x, uint32(a.Port))
		}
	}
}

// the learning switch

func (m *model) carries(p *Port, vlan uint16) bool {
	c := p.VLAN
	if c.Mode == VLANAccess {
		return vlan == c.Tag
	}
	if c.Mode != VLANTrunk && c.Tag != 0 && vlan == 0 {
		return false
	}
	return len(c.Trunks) == 0 || slices.Contains(c.Trunks, vlan) || c.Mode != VLANTrunk && vlan == c.Tag
}

func (m *model) normal(x *modelFrame) {
	b := x.f.Bytes()
	dst, src := string(b[:6]), string(b[6:12])
	if dst[:5] == "\x01\x80\xc2\x00\x00" && dst[5] < 16 {
		return
	}
	present, vid := x.f.Layout.VLANs > 0, uint16(0)
	if present {
		vid = (uint16(b[14])<<8 | uint16(b[15])) & 0xfff
	}
	vlan := vid
	in := m.port(x.f.InPort)
	if in != nil {
		switch {
		case in.VLAN.Mode == VLANAccess && vid != 0:
			return
		case in.VLAN.Mode != VLANTrunk && vid == 0:
			vlan = in.VLAN.Tag
		}
		if !m.carries(in, vlan) {
			return
		}
	}
	damped := false
	if in != nil && src[0]&1 == 0 && src != "\x00\x00\x00\x00\x00\x00" {
		damped = m.learn(vlan, src, in.No)
	}
	s := m.macs[macName(vlan, dst)]
	if s != nil && m.now-s.seen < m.age && dst[0]&1 == 0 {
		if p := m.port(s.port); p != nil && !portDown(p) {
			if s.port != x.f.InPort && m.carries(p, vlan) {
				m.emit(x, p, vlan, present, vid)
			}
			return
		}
	}
	if damped {
		return
	}
	for i := range m.ports {
		p := &m.ports[i]
		if p.No != x.f.InPort && !p.NoFlood && m.carries(p, vlan) {
			m.emit(x, p, vlan, present, vid)
		}
	}
}

func macName(vlan uint16, mac string) string { return fmt.Sprintf("%d %x", vlan, mac) }

func (m *model) learn(vlan uint16, mac string, port uint32) (damped bool) {
	m.seq++
	s := m.macs[macName(vlan, mac)]
	switch {
	case s == nil:
		if len(m.macs) >= m.maxMACs {
			var oldest string
			for k, o := range m.macs {
				if oldest == "" || o.seen < m.macs[oldest].seen || o.seen == m.macs[oldest].seen && o.ticket < m.macs[oldest].ticket {
					oldest = k
				}
			}
			delete(m.macs, oldest)
		}
		s = &modelMAC{vlan: vlan, mac: mac}
		m.macs[macName(vlan, mac)] = s
	case s.port == port || m.now-s.seen >= m.age:
	case m.now < s.until:
		return true
	default:
		if s.moves == 0 || m.now-s.since >= time.Second {
			s.moves, s.since, s.home = 0, m.now, s.port
		}
		if s.moves++; s.moves >= m.moves {
			s.moves, s.port, s.seen, s.until = 0, s.home, m.now, m.now+m.hold
			return s.port != port
		}
	}
	s.port, s.seen, s.ticket = port, m.now, m.seq
	return false
}

// emit sends a copy with the tag that the port wants.
func (m *model) emit(x *modelFrame, p *Port, vlan uint16, present bool, vid uint16) {
	wants := vlan != 0 && p.VLAN.Mode != VLANAccess && !(p.VLAN.Mode == VLANNativeUntagged && vlan == p.VLAN.Tag)
	y := &modelFrame{f: frameOf(x.f.InPort, x.f.Bytes()), queue: x.queue}
	y.f.Parse()
	switch {
	case wants && !present:
		y.f.PushVLAN(0x8100)
		y.f.SetField(packet.VLANVID, 0, 0x1000|uint64(vlan))
	case wants && vid != vlan:
		y.f.SetField(packet.VLANVID, 0, 0x1000|uint64(vlan))
	case !wants && present && vid != 0:
		y.f.PopVLAN()
	}
	m.output(y, p.No)
}

// what there is to compare

func (m *model) flowTexts() []string {
	list := slices.Clone(m.flows)
	slices.SortFunc(list, func(a, b *modelFlow) int {
		return cmp.Or(cmp.Compare(a.TableID, b.TableID), cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.seq, b.seq))
	})
	var s []string
	for _, f := range list {
		s = append(s, fmt.Sprintf("table=%d prio=%d cookie=%x %v actions=%x packets=%d bytes=%d duration=%v idle=%v", f.TableID, f.Priority, f.Cookie,
			f.Match, f.Instructions.Bytes(), f.packets, f.bytes, m.now-f.created, m.now-f.used))
	}
	return s
}

func entryTexts(list []*Entry, now time.Duration) []string {
	var s []string
	for _, e := range list {
		c := e.Counters(now)
		s = append(s, fmt.Sprintf("table=%d prio=%d cookie=%x %v actions=%x packets=%d bytes=%d duration=%v idle=%v", e.Table, e.Priority, e.Cookie,
			e.Match(), e.Instructions().Bytes(), c.Packets, c.Bytes, c.Duration, c.Idle))
	}
	return s
}

func (m *model) macTexts() []string {
	var s []string
	for _, e := range m.macs {
		if m.now-e.seen < m.age {
			s = append(s, fmt.Sprintf("%04d %x port=%d age=%v", e.vlan, e.mac, e.port, m.now-e.seen))
		}
	}
	slices.Sort(s)
	return s
}

func macTexts(list []MACEntry) []string {
	var s []string
	for _, e := range list {
		s = append(s, fmt.Sprintf("%04d %x port=%d age=%v", e.VLAN, e.MAC, e.Port, e.Age))
	}
	return s
}
