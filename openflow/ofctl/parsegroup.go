package ofctl

import (
	"slices"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

var groupTypes = map[string]openflow.GroupType{
	"all": openflow.GroupTypeAll, "select": openflow.GroupTypeSelect, "indirect": openflow.GroupTypeIndirect,
	"ff": openflow.GroupTypeFastFailover, "fast_failover": openflow.GroupTypeFastFailover,
}

// groupCommands are the words that may begin a line of a file of groups.
var groupCommands = map[string]openflow.GroupCommand{"add": openflow.GroupAdd, "modify": openflow.GroupModify, "delete": openflow.GroupDelete,
	"add_or_mod": openflow.GroupAddOrModify}

// ParseGroup reads a group as add-group and mod-group take it: group_id=1,type=select,bucket=weight:50,actions=output:2
// and further buckets.
func ParseGroup(text string, command openflow.GroupCommand, names *Names) (*openflow.GroupMod, error) {
	return (&parser{text: text, names: names}).group(0, command)
}

// ParseGroupLine is ParseGroup for a line of a file, which may begin with add, modify or delete.
func ParseGroupLine(text string, names *Names) (*openflow.GroupMod, error) {
	rest := strings.TrimLeft(text, blanks)
	word, _, _ := strings.Cut(rest, " ")
	command, ok := groupCommands[word]
	p := &parser{text: text, names: names}
	if !ok {
		return p.group(0, openflow.GroupAdd)
	}
	return p.group(len(text)-len(rest)+len(word), command)
}

// ParseGroupID reads what del-groups and dump-groups take: group_id=N, or all.
func ParseGroupID(text string) (uint32, error) {
	m, err := (&parser{text: text}).group(0, openflow.GroupDelete)
	if err != nil {
		return 0, err
	}
	return m.Group, nil
}

func (p *parser) group(at int, command openflow.GroupCommand) (*openflow.GroupMod, error) {
	end := len(p.text)
	if i := strings.Index(p.text[at:], "bucket="); i >= 0 {
		end = at + i
	}
	m := &openflow.GroupMod{Command: command, Group: openflow.GroupAny}
	if command == openflow.GroupDelete {
		m.Group = openflow.GroupAll
	}
	list, err := p.tokens(at, end)
	if err != nil {
		return nil, err
	}
	said := map[string]bool{}
	for _, k := range list {
		said[k.key] = true
		if err := p.groupWord(m, k); err != nil {
			return nil, err
		}
	}
	switch {
	case command == openflow.GroupDelete && end < len(p.text):
		return nil, p.fail(end, "a group to delete has no buckets: group_id=N is all")
	case command == openflow.GroupDelete:
		return m, nil
	case !said["group_id"]:
		return nil, p.fail(at, "group_id is missing: begin with group_id=1,type=...")
	case !said["type"]:
		return nil, p.fail(at, "type is missing: one of all, select, indirect and ff")
	}
	return m, p.buckets(m, end)
}

func (p *parser) groupWord(m *openflow.GroupMod, k token) error {
	switch k.key {
	case "group_id", "group":
		if w := strings.ToLower(k.value); w == "all" && m.Command == openflow.GroupDelete {
			m.Group = openflow.GroupAll
			return nil
		}
		n, err := p.uint(k, 32)
		if err == nil && n > uint64(openflow.GroupMax) {
			err = p.fail(k.valAt, "group_id=%s is too large, the highest is %d", k.value, openflow.GroupMax)
		}
		m.Group = uint32(n)
		return err
	case "type":
		t, ok := groupTypes[k.value]
		if !ok || m.Command == openflow.GroupDelete {
			return p.unknown(k.valAt, "type of group", k.value, []string{"all", "select", "indirect", "ff", "fast_failover"})
		}
		m.Type = t
		return nil
	case "all":
		if m.Command == openflow.GroupDelete && !k.has {
			return nil
		}
	case "command_bucket_id", "selection_method", "selection_method_param", "fields":
		return p.fail(k.at, "%s is OpenFlow 1.5's: weir speaks 1.3", k.key)
	}
	return p.unknown(k.at, "word of a group", k.key, []string{"group_id", "type", "bucket"})
}

// buckets cuts text[at:] at the words bucket=.
func (p *parser) buckets(m *openflow.GroupMod, at int) error {
	const word = "bucket="
	size := 0
	for at < len(p.text) {
		at += len(word)
		end := len(p.text)
		if i := strings.Index(p.text[at:], word); i >= 0 {
			end = at + i
		}
		k, err := p.bucket(m.Type, at, end)
		if err != nil {
			return err
		}
		m.Buckets = append(m.Buckets, k)
		size += 16 + len(k.Actions.Bytes())
		at = end
	}
	if n := len(m.Buckets); m.Type == openflow.GroupTypeIndirect && n != 1 {
		return p.fail(len(p.text), "an indirect group has one bucket, this has %d", n)
	}
	return p.fits(size)
}

func (p *parser) bucket(t openflow.GroupType, from, to int) (k openflow.Bucket, err error) {
	k = openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: openflow.GroupAny}
	if t == openflow.GroupTypeSelect {
		k.Weight = 1
	}
	list, err := p.tokens(from, to)
	if err != nil {
		return k, err
	}
	r := &actionReader{p: p}
	drop := slices.ContainsFunc(list, func(w token) bool { return w.value == "drop" || w.key == "drop" && !w.has })
	for _, w := range list {
		switch w.key {
		case "weight":
			var n uint64
			n, err = p.uint(w, 16)
			k.Weight = uint16(n)
			if err == nil && t != openflow.GroupTypeSelect && n != 0 {
				err = p.fail(w.at, "weight goes with type=select alone")
			}
		case "watch_port":
			k.WatchPort, err = p.port(w.key, w.value, w.valAt)
		case "watch_group":
			var n uint64
			n, err = p.uint(w, 32)
			k.WatchGroup = uint32(n)
		case "bucket_id":
			err = p.fail(w.at, "bucket_id is OpenFlow 1.5's: weir speaks 1.3")
		case "actions", "action": // the first action is its value, the others follow as words of their own
			err = p.firstAction(r, w, drop)
		default:
			err = p.bucketAction(r, w, drop)
		}
		if err != nil {
			return k, err
		}
	}
	k.Actions = openflow.NewActions(r.list...)
	if t == openflow.GroupTypeFastFailover && k.WatchPort == openflow.PortAny && k.WatchGroup == openflow.GroupAny {
		return k, p.fail(from, "a bucket of a ff group watches something: begin it with watch_port:PORT or watch_group:GROUP")
	}
	return k, nil
}

func (p *parser) firstAction(r *actionReader, w token, drop bool) error {
	list, err := p.tokens(w.valAt, w.valAt+len(w.value))
	if err != nil {
		return err
	}
	for _, a := range list {
		if err := p.bucketAction(r, a, drop); err != nil {
			return err
		}
	}
	return nil
}

// bucketAction reads one action; drop is none, and goes with none.
func (p *parser) bucketAction(r *actionReader, w token, drop bool) error {
	switch {
	case drop && w.key == "drop" && !w.has:
		return nil
	case drop:
		return p.fail(w.at, "drop stands alone: %s does not go with it", w.key)
	case slices.Contains(instructionWords, w.key):
		return p.fail(w.at, "%s is an instruction of a flow and cannot stand in a bucket", w.key)
	}
	return r.word(w)
}

// ParseMeter reads a meter as add-meter and mod-meter take it: meter=1,kbps,burst,band=type=drop,rate=1000,burst_size=100
// and further bands.
func ParseMeter(text string, command openflow.MeterCommand) (*openflow.MeterMod, error) {
	p := &parser{text: text}
	end := len(text)
	for _, w := range []string{"band=", "bands="} {
		if i := strings.Index(text, w); i >= 0 {
			end = min(end, i)
		}
	}
	list, err := p.tokens(0, end)
	if err != nil {
		return nil, err
	}
	m := &openflow.MeterMod{Command: command, Meter: openflow.MeterAll}
	said := false
	for _, k := range list {
		switch i := slices.Index(meterWords, k.key); {
		case k.key == "meter":
			said = true
			m.Meter, err = p.meterID(k)
		case i >= 0 && command != openflow.MeterDelete && !k.has:
			m.Flags |= 1 << i
		default:
			err = p.unknown(k.at, "word of a meter", k.key, []string{"meter", "kbps", "pktps", "burst", "stats", "band"})
		}
		if err != nil {
			return nil, err
		}
	}
	rates := m.Flags & (openflow.MeterKbps | openflow.MeterPktps)
	switch {
	case command == openflow.MeterDelete && end < len(text):
		return nil, p.fail(end, "meter=N is all that names a meter")
	case command == openflow.MeterDelete:
		return m, nil
	case !said:
		return nil, p.fail(0, "meter is missing: begin with meter=1")
	case rates == openflow.MeterKbps|openflow.MeterPktps:
		return nil, p.fail(0, "kbps and pktps exclude each other")
	case rates == 0:
		return nil, p.fail(0, "kbps or pktps is missing: what the rates count")
	}
	if end == len(text) {
		return nil, p.fail(end, "the bands are missing: band=type=drop,rate=1000")
	}
	m.Bands, err = p.bands(end, m.Flags)
	return m, err
}

// ParseMeterID reads what del-meters, dump-meters and meter-stats take: meter=N, or meter=all.
func ParseMeterID(text string) (uint32, error) {
	m, err := ParseMeter(text, openflow.MeterDelete)
	if err != nil {
		return 0, err
	}
	return m.Meter, nil
}

func (p *parser) meterID(k token) (uint32, error) {
	for _, id := range []uint32{openflow.MeterAll, openflow.MeterController, openflow.MeterSlowpath} {
		if meterName(id) == k.value {
			return id, nil
		}
	}
	n, err := p.uint(k, 32)
	if err == nil && (n == 0 || n > uint64(openflow.MeterMax)) {
		err = p.fail(k.valAt, "meter=%s: meters have numbers from 1 to %d, or are called controller, slowpath or all", k.value, openflow.MeterMax)
	}
	return uint32(n), err
}

// bands reads type=drop,rate=N,burst_size=N; each type begins a band.
func (p *parser) bands(at int, flags openflow.MeterFlags) (bands []openflow.Band, err error) {
	_, skip, _ := strings.Cut(p.text[at:], "=")
	list, err := p.tokens(len(p.text)-len(skip), len(p.text))
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.key == "band" || k.key == "bands" { // band=type=drop: the value is the first word of the band
			if inner, err := p.tokens(k.valAt, k.valAt+len(k.value)); err == nil && len(inner) == 1 {
				k = inner[0]
			}
		}
		if k.key == "type" {
			t := openflow.BandType(slices.Index(bandWords, k.value))
			if k.value == "" || t != openflow.BandDrop && t != openflow.BandDSCPRemark {
				return nil, p.unknown(k.valAt, "type of band", k.value, bandWords[1:])
			}
			bands = append(bands, openflow.Band{Type: t})
			continue
		}
		if len(bands) == 0 {
			return nil, p.fail(k.at, "a band begins with its type: band=type=drop")
		}
		if err := p.bandWord(&bands[len(bands)-1], k, flags); err != nil {
			return nil, err
		}
	}
	for i := range bands {
		switch {
		case bands[i].Rate == 0:
			return nil, p.fail(at, "the rate of band %d is missing: rate=1000", i+1)
		case bands[i].Burst == 0 && flags&openflow.MeterBurst != 0:
			return nil, p.fail(at, "the burst_size of band %d is missing, for the meter has the word burst", i+1)
		}
	}
	return bands, p.fits(16 * len(bands))
}

func (p *parser) bandWord(b *openflow.Band, k token, flags openflow.MeterFlags) error {
	bits, to := 32, &b.Rate
	switch k.key {
	case "rate":
	case "burst_size":
		if flags&openflow.MeterBurst == 0 {
			return p.fail(k.at, "burst_size needs the word burst before the bands")
		}
		to = &b.Burst
	case "prec_level":
		n, err := p.uint(k, 8)
		b.PrecLevel = uint8(n)
		return err
	default:
		return p.unknown(k.at, "word of a band", k.key, []string{"type", "rate", "burst_size", "prec_level"})
	}
	n, err := p.uint(k, bits)
	*to = uint32(n)
	return err
}
