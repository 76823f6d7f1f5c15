package ofctl

import (
	"encoding/hex"
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// headers is what the match and the actions so far say of a frame: some actions are encoded by it, and
// those that need a header are refused without it. The zero value knows nothing (a group's bucket).
type headers struct {
	known   bool
	ethType uint64 // 0: any
	ipProto uint64 // 0: any
	icmp6   uint64 // 0: any
	vlan    bool   // a tag is there
	maybe   bool   // after pop_vlan: perhaps another tag
}

// headersOf reads a match.
func headersOf(m openflow.Match) headers {
	h := headers{known: true}
	for f := range m.All() {
		switch f.ID {
		case openflow.EthType:
			h.ethType = f.Value.Uint64()
		case openflow.IPProto:
			h.ipProto = f.Value.Uint64()
		case openflow.ICMPv6Type:
			h.icmp6 = f.Value.Uint64()
		case openflow.VLANVID:
			h.vlan = f.Value.Uint64()&openflow.VIDPresent != 0
		}
	}
	return h
}

// meets reports whether the frame has what a field needs.
func (h *headers) meets(id openflow.FieldID) bool {
	for _, q := range id.Info().Prereqs {
		ok := true
		switch q.Field {
		case openflow.EthType:
			ok = slices.Contains(q.Values, h.ethType)
		case openflow.IPProto:
			ok = slices.Contains(q.Values, h.ipProto)
		case openflow.ICMPv6Type:
			ok = slices.Contains(q.Values, h.icmp6)
		case openflow.VLANVID:
			ok = h.vlan || h.maybe
		}
		if !ok {
			return false
		}
	}
	return id != openflow.VLANVID || h.vlan || h.maybe
}

// actionReader gathers a list of actions.
type actionReader struct {
	p    *parser
	h    headers
	list []openflow.Action
	size int // of list in bytes
}

// actionWord reads one action; nil is a word of another kind.
type actionWord func(r *actionReader, k token) error

// actionWords are the actions by their words. Ports stand for themselves.
var actionWords map[string]actionWord = buildActionWords()

func buildActionWords() map[string]actionWord {
	simple := func(t openflow.ActionType) actionWord {
		return func(r *actionReader, k token) error { return r.add(openflow.Action{Type: t}) }
	}
	m := map[string]actionWord{
		"output": (*actionReader).output, "controller": (*actionReader).controller, "CONTROLLER": (*actionReader).controller,
		"enqueue": (*actionReader).enqueue, "group": (*actionReader).group, "set_queue": (*actionReader).setQueue,
		"pop_queue":    simple(openflow.NXPopQueue),
		"push_vlan":    ethertype(openflow.ActionPushVLAN, 0x8100, 0x88a8),
		"push_mpls":    ethertype(openflow.ActionPushMPLS, 0x8847, 0x8848),
		"pop_mpls":     ethertype(openflow.ActionPopMPLS),
		"push_pbb":     ethertype(openflow.ActionPushPBB, 0x88e7),
		"pop_pbb":      simple(openflow.ActionPopPBB),
		"copy_ttl_in":  simple(openflow.ActionCopyTTLIn),
		"copy_ttl_out": simple(openflow.ActionCopyTTLOut),
		"dec_mpls_ttl": simple(openflow.ActionDecMPLSTTL),
		"dec_ttl":      (*actionReader).decTTL,
		"set_mpls_ttl": ttl(openflow.ActionSetMPLSTTL),
		"set_field":    (*actionReader).setField, "load": (*actionReader).load, "move": (*actionReader).move,
		"resubmit": (*actionReader).resubmit, "note": (*actionReader).note, "experimenter": (*actionReader).experimenter,
	}
	for word, id := range map[string]openflow.FieldID{
		"mod_dl_src": openflow.EthSrc, "mod_dl_dst": openflow.EthDst, "mod_nw_src": openflow.IPv4Src, "mod_nw_dst": openflow.IPv4Dst,
		"mod_nw_ecn": openflow.IPECN, "set_mpls_label": openflow.MPLSLabel, "set_mpls_tc": openflow.MPLSTC,
		"set_tunnel": openflow.TunnelID, "set_tunnel64": openflow.TunnelID,
	} {
		m[word] = func(r *actionReader, k token) error { return r.setTo(k, id) }
	}
	m["mod_nw_tos"] = (*actionReader).modTOS
	m["mod_nw_ttl"], m["set_nw_ttl"] = ttl(openflow.ActionSetNwTTL), ttl(openflow.ActionSetNwTTL)
	m["pop_vlan"], m["strip_vlan"] = (*actionReader).popVLAN, (*actionReader).popVLAN
	m["mod_tp_src"] = modPort(openflow.TCPSrc, openflow.UDPSrc, openflow.SCTPSrc)
	m["mod_tp_dst"] = modPort(openflow.TCPDst, openflow.UDPDst, openflow.SCTPDst)
	m["mod_vlan_vid"], m["set_vlan_vid"] = modVLAN(openflow.VLANVID, true), modVLAN(openflow.VLANVID, false)
	m["mod_vlan_pcp"], m["set_vlan_pcp"] = modVLAN(openflow.VLANPCP, true), modVLAN(openflow.VLANPCP, false)
	return m
}

// foreignActions are Open vSwitch's own that weir does not have.
var foreignActions = []string{"ct", "ct_clear", "learn", "exit", "bundle", "bundle_load", "multipath", "conjunction", "fin_timeout", "sample", "clone",
	"encap", "decap", "nat", "check_pkt_larger", "delete_field", "stack_push", "stack_pop", "push", "pop", "dec_nsh_ttl", "set_nw_src", "unroll_xlate"}

// instructionWords are those that only a flow may hold.
var instructionWords = []string{"meter", "clear_actions", "write_actions", "write_metadata", "goto_table", "apply_actions", "drop"}

func knownActionWords() []string {
	words := slices.Clone(instructionWords)
	for w := range actionWords {
		words = append(words, w)
	}
	for _, w := range portWords {
		words = append(words, w, strings.ToLower(w))
	}
	slices.Sort(words)
	return words
}

func (r *actionReader) add(list ...openflow.Action) error {
	r.list = append(r.list, list...)
	r.size += len(openflow.NewActions(list...).Bytes())
	return r.p.fits(r.size)
}

// word reads one action.
func (r *actionReader) word(k token) error {
	if read, ok := actionWords[k.key]; ok {
		return read(r, k)
	}
	if !k.has || strings.EqualFold(k.key, "CONTROLLER") {
		if no, ok := r.p.names.portOf(k.key); ok {
			if no == openflow.PortController {
				return r.controller(k)
			}
			return r.toPort(no, k.key, k.at)
		}
	}
	if slices.Contains(foreignActions, k.key) {
		return r.p.fail(k.at, "%s is an extension of Open vSwitch that weir does not have", k.key)
	}
	return r.p.unknown(k.at, "action or port", k.key, knownActionWords())
}

func (r *actionReader) toPort(no openflow.PortNo, what string, at int) error {
	if no == openflow.PortAny {
		return r.p.fail(at, "nothing can be sent to the port %s", what)
	}
	a := openflow.Action{Type: openflow.ActionOutput, Port: no}
	if no == openflow.PortController {
		a.MaxLen = openflow.ControllerNoBuffer
	}
	return r.add(a)
}

func (r *actionReader) output(k token) error {
	if strings.ContainsAny(k.value, "[=,") || strings.HasPrefix(k.value, "reg") || strings.HasPrefix(k.value, "NXM_") {
		return r.p.fail(k.valAt, "output:%s is an extension of Open vSwitch that weir does not have: write output:PORT", k.value)
	}
	no, err := r.p.port("output", k.value, k.valAt)
	if err != nil {
		return err
	}
	return r.toPort(no, k.value, k.valAt)
}

// controller reads controller, controller:LENGTH and controller(key=value,...).
func (r *actionReader) controller(k token) error {
	a := openflow.Action{Type: openflow.NXController, MaxLen: openflow.ControllerNoBuffer, Reason: openflow.ReasonAction}
	inParens := k.has && strings.HasSuffix(r.p.text[:k.valAt], "(")
	switch {
	case !k.has:
	case !inParens:
		n, err := r.p.uint(k, 16)
		if err != nil {
			return err
		}
		a.MaxLen = uint16(n)
	default:
		if err := r.controllerArguments(k, &a); err != nil {
			return err
		}
	}
	if a.Reason == openflow.ReasonAction && a.ControllerID == 0 {
		a = openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: a.MaxLen}
	}
	return r.add(a)
}

func (r *actionReader) controllerArguments(k token, a *openflow.Action) error {
	list, err := r.p.tokens(k.valAt, k.valAt+len(k.value))
	if err != nil {
		return err
	}
	for _, t := range list {
		switch t.key {
		case "max_len", "id":
			n, err := r.p.uint(t, 16)
			if err != nil {
				return err
			}
			if t.key == "id" {
				a.ControllerID = uint16(n)
			} else {
				a.MaxLen = uint16(n)
			}
		case "reason":
			i := slices.Index(reasonWords[:], t.value)
			if i < 0 {
				return r.p.unknown(t.valAt, "reason", t.value, reasonWords[:])
			}
			a.Reason = openflow.PacketInReason(i)
		case "userdata", "pause", "meter_id":
			return r.p.fail(t.at, "%s is an extension of Open vSwitch that weir does not have", t.key)
		default:
			return r.p.unknown(t.at, "argument of controller called", t.key, []string{"max_len", "reason", "id"})
		}
	}
	return nil
}

// enqueue is set_queue, output and pop_queue, for OpenFlow 1.3 has no such action: PORT:QUEUE or (PORT,QUEUE).
func (r *actionReader) enqueue(k token) error {
	i := strings.LastIndexAny(k.value, ":,q")
	if i < 0 {
		return r.p.fail(k.at, "enqueue:%s: expected enqueue:PORT:QUEUE", k.value)
	}
	no, err := r.p.port("enqueue", k.value[:i], k.valAt)
	if err != nil {
		return err
	}
	q, err := r.p.uintAt("enqueue", k.value[i+1:], k.valAt+i+1, 32)
	if err != nil {
		return err
	}
	return r.add(openflow.Action{Type: openflow.ActionSetQueue, Queue: uint32(q)},
		openflow.Action{Type: openflow.ActionOutput, Port: no, MaxLen: openflow.ControllerNoBuffer}, openflow.Action{Type: openflow.NXPopQueue})
}

func (r *actionReader) group(k token) error {
	n, err := r.p.uint(k, 32)
	if err != nil {
		return err
	}
	return r.add(openflow.Group(uint32(n)))
}

func (r *actionReader) setQueue(k token) error {
	n, err := r.p.uint(k, 32)
	if err != nil {
		return err
	}
	return r.add(openflow.Action{Type: openflow.ActionSetQueue, Queue: uint32(n)})
}

// ethertype makes the reader of a push or pop; it tells the actions behind it what the frame becomes.
func ethertype(t openflow.ActionType, allowed ...uint64) actionWord {
	return func(r *actionReader, k token) error {
		n, err := r.p.uint(k, 16)
		if err != nil {
			return err
		}
		if len(allowed) > 0 && !slices.Contains(allowed, n) {
			return r.p.fail(k.valAt, "%s:%s: expected %s", k.key, k.value, orList(hexWords(allowed)))
		}
		switch t {
		case openflow.ActionPushVLAN:
			if r.p.old() {
				return r.p.fail(k.at, "OpenFlow 1.0 has no %s: mod_vlan_vid gives a tag to a frame without one", k.key)
			}
			r.h.vlan = true
		case openflow.ActionPushMPLS, openflow.ActionPopMPLS, openflow.ActionPushPBB:
			r.h.ethType, r.h.ipProto = n, 0
		}
		return r.add(openflow.Action{Type: t, EtherType: uint16(n)})
	}
}

func hexWords(list []uint64) (words []string) {
	for _, n := range list {
		words = append(words, string(appendHex(nil, n)))
	}
	return words
}

func ttl(t openflow.ActionType) actionWord {
	return func(r *actionReader, k token) error {
		n, err := r.p.uint(k, 8)
		if err != nil {
			return err
		}
		return r.add(openflow.Action{Type: t, TTL: uint8(n)})
	}
}

func (r *actionReader) decTTL(k token) error {
	if strings.TrimSpace(k.value) != "" {
		return r.p.fail(k.valAt, "dec_ttl(%s): naming controllers is an extension of Open vSwitch that weir does not have", k.value)
	}
	return r.add(openflow.Action{Type: openflow.ActionDecNwTTL})
}

func (r *actionReader) popVLAN(token) error {
	r.h.vlan, r.h.maybe = false, true
	return r.add(openflow.Action{Type: openflow.ActionPopVLAN})
}

// setTo is a set_field under an older word.
func (r *actionReader) setTo(k token, id openflow.FieldID) error {
	f, err := r.p.value(id, k.key, k.value, k.valAt)
	if err != nil {
		return err
	}
	if f.Masked {
		return r.p.fail(k.valAt, "%s:%s cannot have a mask: set_field can", k.key, k.value)
	}
	return r.setFieldTo(k, f)
}

// setFieldTo adds a set_field whose headers the frame has.
func (r *actionReader) setFieldTo(k token, f openflow.Field) error {
	if r.h.known && !r.h.meets(f.ID) {
		if f.ID == openflow.VLANVID || f.ID == openflow.VLANPCP {
			return r.p.fail(k.at, "%s needs a tag: match dl_vlan, or push_vlan:0x8100 before it", k.key)
		}
		return r.p.fail(k.at, "%s of %s needs %s in the match", k.key, wordOf(f.ID).set, wanted([]openflow.FieldID{f.ID}))
	}
	return r.add(openflow.Action{Type: openflow.ActionSetField, Field: f})
}

func (r *actionReader) modTOS(k token) error {
	n, err := r.p.uint(k, 8)
	if err != nil {
		return err
	}
	if n&3 != 0 {
		return r.p.fail(k.valAt, "mod_nw_tos:%s: the two low bits are ECN, see mod_nw_ecn", k.value)
	}
	return r.setFieldTo(k, openflow.Exact(openflow.IPDSCP, n>>2))
}

// modPort sets the port of the transport protocol that the match tells.
func modPort(ids ...openflow.FieldID) actionWord {
	return func(r *actionReader, k token) error {
		for _, id := range ids {
			if r.h.meets(id) {
				return r.setTo(k, id)
			}
		}
		if !r.p.old() {
			return r.p.fail(k.at, "%s needs %s in the match", k.key, wanted(ids))
		}
		n, err := r.p.uint(k, 16) // of whatever the frame is
		if err != nil {
			return err
		}
		return r.add(openflow.SetField(ids[0], n), openflow.SetField(ids[1], n), openflow.SetField(ids[2], n))
	}
}

// modVLAN is set_field of the tag, with a push_vlan before it when push is so and no tag is known to be there.
func modVLAN(id openflow.FieldID, push bool) actionWord {
	return func(r *actionReader, k token) error {
		bits := map[openflow.FieldID]int{openflow.VLANVID: 12, openflow.VLANPCP: 3}[id]
		n, err := r.p.uint(k, bits)
		if err != nil {
			return err
		}
		if push && !r.h.vlan {
			r.h.vlan = true // and in OpenFlow 1.0 only a frame without a tag gets one
			if err := r.add(openflow.Action{Type: openflow.ActionPushVLAN, EtherType: 0x8100, IfUntagged: r.p.old()}); err != nil {
				return err
			}
		}
		if id == openflow.VLANVID {
			n |= openflow.VIDPresent
		}
		return r.setFieldTo(k, openflow.Exact(id, n))
	}
}

func (r *actionReader) note(k token) error {
	data, err := hex.DecodeString(strings.ReplaceAll(k.value, ".", ""))
	if err != nil {
		return r.p.fail(k.valAt, "note:%s: expected bytes in hexadecimal like 01.02.03", k.value)
	}
	return r.add(openflow.Action{Type: openflow.NXNote, Data: data})
}

// resubmit reads resubmit:PORT and resubmit([PORT],[TABLE]).
func (r *actionReader) resubmit(k token) error {
	a := openflow.Action{Type: openflow.NXResubmitTable, Port: openflow.PortInPort, Table: 0xff}
	portText, tableText, inParens := strings.Cut(k.value, ",")
	var err error
	if portText != "" {
		if a.Port, err = r.p.port("resubmit", portText, k.valAt); err != nil {
			return err
		}
	}
	switch {
	case strings.Contains(tableText, ","):
		return r.p.fail(k.valAt, "resubmit(%s): ct is an extension of Open vSwitch that weir does not have", k.value)
	case tableText != "":
		a.Table, err = r.p.table(token{key: "resubmit", value: tableText, valAt: k.valAt + len(portText) + 1})
	case !inParens && portText == "":
		return r.p.fail(k.at, "resubmit lacks its port or table: write resubmit(,TABLE)")
	}
	if err != nil {
		return err
	}
	return r.add(a)
}

// experimenter reads what the printer makes of an action it has no word for: experimenter(ID,BYTES).
func (r *actionReader) experimenter(k token) error {
	idText, dataText, ok := strings.Cut(k.value, ",")
	if !ok {
		return r.p.fail(k.at, "expected experimenter(ID,BYTES)")
	}
	id, err := r.p.uintAt("experimenter", idText, k.valAt, 32)
	if err != nil {
		return err
	}
	data, err := hex.DecodeString(dataText)
	if err != nil || len(data)%8 != 0 {
		return r.p.fail(k.valAt+len(idText)+1, "experimenter(...,%s): expected a multiple of 8 bytes in hexadecimal", dataText)
	}
	return r.add(openflow.Action{Type: openflow.ActionExperimenter, Experimenter: uint32(id), Data: data})
}
