package ofctl

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// appendTableFeatures writes the records of dump-table-features. What is as in the table before is not
// said again.
func (n *Names) appendTableFeatures(b []byte, list []openflow.TableFeatures) []byte {
	var last *openflow.TableFeatures
	for i := 0; i < len(list); {
		t := &list[i]
		same := i
		for last != nil && same < len(list) && sameFeatures(last, &list[same]) && (same == i || list[i].Name+list[same].Name == "") {
			same++ // tables with names have a line each
		}
		switch {
		case same == i:
			b = n.appendTableFeature(b, t, last)
			last, same = t, i+1
		case t.Name != "":
			b = fmt.Appendf(b, "  table %d (%q): ditto\n", t.TableID, t.Name)
			i = same
			continue
		case same == i+1:
			b = fmt.Appendf(b, "  table %d: ditto\n", t.TableID)
		default:
			b = fmt.Appendf(b, "  tables %d...%d: ditto\n", t.TableID, list[same-1].TableID)
		}
		b = append(b, '\n')
		i = same
	}
	return b
}

// sameFeatures: the next tables of a table are those behind it, so they differ by the table alone.
func sameFeatures(a, b *openflow.TableFeatures) bool {
	return a.MetadataMatch == b.MetadataMatch && a.MetadataWrite == b.MetadataWrite && a.MaxEntries == b.MaxEntries &&
		reflect.DeepEqual(describe(a).instructions, describe(b).instructions) && describe(a).actions == describe(b).actions &&
		describe(a).matching == describe(b).matching && followsOn(a, b)
}

// followsOn reports next tables that begin behind each table and end alike.
func followsOn(a, b *openflow.TableFeatures) bool {
	x, y := nextTables(a), nextTables(b)
	if len(x) == 0 || len(y) == 0 {
		return len(x) == len(y)
	}
	return x[0] == a.TableID+1 && y[0] == b.TableID+1 && x[len(x)-1] == y[len(y)-1] &&
		len(x) == int(x[len(x)-1]-x[0])+1 && len(y) == int(y[len(y)-1]-y[0])+1
}

func nextTables(t *openflow.TableFeatures) []uint8 {
	p, _ := t.Property(openflow.PropNextTables)
	if p == nil {
		return nil
	}
	list := slices.Clone(p.Tables)
	slices.Sort(list)
	return list
}

// described is a table's features in words.
type described struct {
	instructions []string
	actions      string
	matching     string
}

func describe(t *openflow.TableFeatures) (d described) {
	if p, ok := t.Property(openflow.PropInstructions); ok {
		d.instructions = instructionNames(p.Instructions)
	}
	d.actions = writeAndApply(t)
	d.matching = matchingText(t)
	return d
}

func (n *Names) appendTableFeature(b []byte, t, last *openflow.TableFeatures) []byte {
	b = fmt.Appendf(b, "  table %d", t.TableID)
	if t.Name != "" {
		b = fmt.Appendf(b, " (%q)", t.Name)
	}
	b = fmt.Appendf(b, ":\n    metadata: match=%#x write=%#x\n    max_entries=%d\n", t.MetadataMatch, t.MetadataWrite, t.MaxEntries)
	b = append(b, "    instructions (table miss and others):\n"...)
	if next := nextTables(t); len(next) > 0 {
		b = fmt.Appendf(b, "      next tables: %s\n", ranges(next))
	}
	d := describe(t)
	if last != nil && slices.Equal(describe(last).instructions, d.instructions) {
		b = append(b, "      (same instructions)\n"...)
	} else {
		b = fmt.Appendf(b, "      instructions: %s\n", strings.Join(d.instructions, " "))
	}
	if last != nil && describe(last).actions == d.actions {
		b = append(b, "      (same actions)\n"...)
	} else {
		b = append(b, d.actions...)
	}
	if last != nil && describe(last).matching == d.matching {
		return append(b, "    (same matching)\n"...)
	}
	return append(append(b, "    matching:\n"...), d.matching...)
}

// ranges writes 1-5,7.
func ranges(list []uint8) string {
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		part := strconv.Itoa(int(list[i]))
		if j > i {
			part += "-" + strconv.Itoa(int(list[j]))
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

func instructionNames(list []openflow.InstructionType) (names []string) {
	for _, t := range []openflow.InstructionType{openflow.InstructionMeter, openflow.InstructionApplyActions, openflow.InstructionClearActions,
		openflow.InstructionWriteActions, openflow.InstructionWriteMetadata, openflow.InstructionGotoTable} {
		if slices.Contains(list, t) {
			names = append(names, t.String())
		}
	}
	return names
}

// writeAndApply tells the actions that may be written and applied; mostly they are the same.
func writeAndApply(t *openflow.TableFeatures) string {
	write := actionText(t, openflow.PropWriteActions, openflow.PropWriteSetField)
	apply := actionText(t, openflow.PropApplyActions, openflow.PropApplySetField)
	if write == apply {
		return "      Write-Actions and Apply-Actions features:\n" + write
	}
	return "      Write-Actions features:\n" + write + "      Apply-Actions features:\n" + apply
}

func actionText(t *openflow.TableFeatures, actions, fields openflow.TablePropertyType) string {
	text := "        actions:"
	if p, ok := t.Property(actions); ok {
		for _, w := range groupActionWords {
			if slices.Contains(p.Actions, w.action) {
				text += " " + w.word
			}
		}
	}
	text += "\n        supported on Set-Field:"
	if p, ok := t.Property(fields); ok && len(p.Fields) > 0 {
		return text + " " + fieldNames(p.Fields) + "\n"
	}
	return text + " (none)\n"
}

// matchingText sorts the fields by how they may be matched.
func matchingText(t *openflow.TableFeatures) string {
	match, _ := t.Property(openflow.PropMatch)
	wild, _ := t.Property(openflow.PropWildcards)
	if match == nil {
		return ""
	}
	var masked, either, must []openflow.TableField
	for _, f := range match.Fields {
		free := wild != nil && slices.ContainsFunc(wild.Fields, func(w openflow.TableField) bool { return w.ID == f.ID })
		switch {
		case f.Masked:
			masked = append(masked, f)
		case free:
			either = append(either, f)
		default:
			must = append(must, f)
		}
	}
	text := ""
	for _, l := range []struct {
		name string
		list []openflow.TableField
	}{{"arbitrary mask", masked}, {"exact match or wildcard", either}, {"must exact match", must}} {
		if len(l.list) > 0 {
			text += "      " + l.name + ": " + fieldNames(l.list) + "\n"
		}
	}
	return text
}

// featureOrder is Open vSwitch's order of fields and its names of them.
func featureOrder() (order []openflow.FieldID, names map[openflow.FieldID]string) {
	names = map[openflow.FieldID]string{openflow.NwFrag: "ip_frag", openflow.IPv4Src: "ip_src", openflow.IPv4Dst: "ip_dst", openflow.InPort: "in_port_oxm",
		openflow.IPProto: "nw_proto"}
	order = []openflow.FieldID{openflow.TunnelID, openflow.Metadata, openflow.InPort, openflow.InPhyPort, openflow.ActsetOutput, openflow.PktMark}
	for id := openflow.Reg0; id <= openflow.XReg7; id++ {
		order = append(order, id)
	}
	order = append(order, openflow.EthSrc, openflow.EthDst, openflow.EthType, openflow.VLANVID, openflow.VLANPCP, openflow.MPLSLabel, openflow.MPLSTC,
		openflow.MPLSBOS, openflow.MPLSTTL, openflow.IPv4Src, openflow.IPv4Dst, openflow.IPv6Src, openflow.IPv6Dst, openflow.IPv6FLabel, openflow.IPProto,
		openflow.IPDSCP, openflow.IPECN, openflow.IPTTL, openflow.NwFrag, openflow.ARPOp, openflow.ARPSPA, openflow.ARPTPA, openflow.ARPSHA, openflow.ARPTHA,
		openflow.TCPSrc, openflow.TCPDst, openflow.TCPFlags, openflow.UDPSrc, openflow.UDPDst, openflow.SCTPSrc, openflow.SCTPDst,
		openflow.ICMPv4Type, openflow.ICMPv4Code, openflow.ICMPv6Type, openflow.ICMPv6Code, openflow.NDTarget, openflow.NDSLL, openflow.NDTLL)
	return append(order, openflow.PBBISID, openflow.PBBUCA, openflow.IPv6ExtHdr), names
}

func fieldNames(list []openflow.TableField) string {
	order, special := featureOrder()
	var names []string
	for _, id := range order {
		if !slices.ContainsFunc(list, func(f openflow.TableField) bool { return f.ID == id }) {
			continue
		}
		name := special[id]
		if name == "" {
			name = wordOf(id).set
		}
		names = append(names, name)
	}
	return strings.Join(folded(names), " ")
}

// folded puts neighbours with a common beginning together: eth_{src,dst}, reg0...reg15.
func folded(names []string) (out []string) {
	for i := 0; i < len(names); {
		head, _, under := strings.Cut(names[i], "_")
		j := i + 1
		for under && j < len(names) && strings.HasPrefix(names[j], head+"_") {
			j++
		}
		if under && j > i+1 {
			var rest []string
			for _, s := range names[i:j] {
				rest = append(rest, s[len(head)+1:])
			}
			out = append(out, head+"_{"+strings.Join(folded(rest), ",")+"}")
			i = j
			continue
		}
		j = i + 1
		for j < len(names) && counts(names[j-1], names[j]) {
			j++
		}
		if j > i+2 {
			out = append(out, names[i]+"..."+names[j-1])
		} else {
			out = append(out, names[i:j]...)
		}
		i = j
	}
	return out
}

// counts reports names like reg4 and reg5.
func counts(a, b string) bool {
	x, y := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	m, err1 := strconv.Atoi(a[len(x):])
	n, err2 := strconv.Atoi(b[len(y):])
	return x == y && err1 == nil && err2 == nil && n == m+1
}

// AppendTableFeatures writes what dump-table-features shows of all tables.
func AppendTableFeatures(b []byte, list []openflow.TableFeatures) []byte {
	return noNames.appendTableFeatures(b, list)
}
