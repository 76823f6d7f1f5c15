package agent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// The rows of groups, meters and queues, and the proof that no code is left out.

// groupMod is a GROUP_MOD with buckets.
func groupMod(c openflow.GroupCommand, id uint32, t openflow.GroupType, buckets ...openflow.Bucket) *openflow.GroupMod {
	return &openflow.GroupMod{Command: c, Group: id, Type: t, Buckets: buckets}
}

// meterMod is a METER_MOD in packets a second.
func meterMod(c openflow.MeterCommand, id uint32, bands ...openflow.Band) *openflow.MeterMod {
	return &openflow.MeterMod{Command: c, Meter: id, Flags: openflow.MeterPktps, Bands: bands}
}

func badGroups() []refusal {
	const (
		kind   = openflow.ErrGroupModFailed
		add    = openflow.GroupAdd
		modify = openflow.GroupModify
		all    = openflow.GroupTypeAll
		sel    = openflow.GroupTypeSelect
		one    = openflow.GroupTypeIndirect
		fast   = openflow.GroupTypeFastFailover
	)
	out := bucket(0, openflow.PortAny, openflow.Output(2))
	to := func(id uint32) openflow.Bucket { return bucket(0, openflow.PortAny, openflow.Group(id)) }
	watching := func(id uint32) openflow.Bucket {
		return openflow.Bucket{WatchPort: openflow.PortAny, WatchGroup: id}
	}
	plain := groupMod(add, 9, all, out)
	return []refusal{
		{kind, openflow.GMFCGroupExists, "a group twice", groupMod(add, 1, all)},
		{kind, openflow.GMFCInvalidGroup, "a reserved number", groupMod(add, openflow.GroupMax+1, all)},
		{kind, openflow.GMFCInvalidGroup, "adding all", groupMod(add, openflow.GroupAll, all)},
		{kind, openflow.GMFCInvalidGroup, "an indirect group of two", groupMod(add, 9, one, out, out)},
		{kind, openflow.GMFCInvalidGroup, "an indirect group of none", groupMod(modify, 1, one)},
		{kind, openflow.GMFCInvalidGroup, "a weight in a group of type all", groupMod(modify, 1, all, bucket(1, openflow.PortAny))},
		{kind, openflow.GMFCInvalidGroup, "fast failover that watches nothing", groupMod(add, 9, fast, out)},
		{kind, openflow.GMFCOutOfGroups, "an eleventh group", func(b *errorBench) []byte {
			for id := uint32(100); id < 110; id++ {
				b.p.send(groupMod(add, id, sel))
			}
			return wire(groupMod(add, 110, sel, out))
		}},
		{kind, openflow.GMFCOutOfGroups, "an eleventh by a change of type", func(b *errorBench) []byte {
			for id := uint32(100); id < 110; id++ {
				b.p.send(groupMod(add, id, sel))
			}
			return wire(groupMod(modify, 1, sel, out))
		}},
		{kind, openflow.GMFCOutOfBuckets, "4093 buckets", groupMod(modify, 1, all, make([]openflow.Bucket, 4093)...)},
		{kind, openflow.GMFCChainingUnsupported, "a chain of 33", func(b *errorBench) []byte {
			for i := range uint32(30) { // with groups 1 and 2, 32; ten of a type
				t := []openflow.GroupType{all, sel, one, fast}[(i+2)/8]
				k := to(2 + i)
				if t == fast {
					k.WatchPort = 1
				}
				b.p.send(groupMod(add, 3+i, t, k))
			}
			k := to(32)
			k.WatchPort = 1
			return wire(groupMod(add, 33, fast, k))
		}},
		{kind, openflow.GMFCWatchUnsupported, "a watched port of type all", groupMod(modify, 1, all, bucket(0, 1))},
		{kind, openflow.GMFCWatchUnsupported, "a watched group of an indirect one", groupMod(add, 9, one, watching(1))},
		{kind, openflow.GMFCLoop, "to itself", groupMod(modify, 1, all, out, to(1))},
		{kind, openflow.GMFCLoop, "round about", groupMod(modify, 1, all, out, to(2))},
		{kind, openflow.GMFCLoop, "watching itself", groupMod(add, 9, fast, watching(9))},
		{kind, openflow.GMFCUnknownGroup, "changing what is not there", groupMod(modify, 9, all)},
		{kind, openflow.GMFCChainedGroup, "deleting what another forwards to", groupMod(openflow.GroupDelete, 1, all)},
		{kind, openflow.GMFCBadType, "type 4", patched(plain, 10, 4)},
		{kind, openflow.GMFCBadCommand, "command 3", patched(plain, 9, 3)},
		{kind, openflow.GMFCBadBucket, "a bucket of 12 bytes", patched(plain, 17, 12)},
		{kind, openflow.GMFCBadBucket, "a bucket beyond the message", patched(plain, 17, 40)},
		{kind, openflow.GMFCBadBucket, "half a bucket", cutTo(groupMod(add, 9, all), 24)},
		{kind, openflow.GMFCBadWatch, "watching FLOOD", groupMod(add, 9, fast, bucket(0, openflow.PortFlood))},
		{kind, openflow.GMFCBadWatch, "watching port 0", groupMod(add, 9, sel, bucket(1, 0))},
		{kind, openflow.GMFCBadWatch, "watching a group that is not there", groupMod(add, 9, fast, watching(8))},

		{openflow.ErrBadAction, openflow.BACBadOutGroup, "good buckets, then a group that is not there", groupMod(modify, 1, all, out, to(8))},
		{openflow.ErrBadAction, openflow.BACBadOutPort, "a bucket to ANY", groupMod(modify, 1, all, out, bucket(0, openflow.PortAny, openflow.Output(openflow.PortAny)))},
		{openflow.ErrBadAction, openflow.BACBadType, "a bucket with action 9", patched(plain, 33, 9)},
		{openflow.ErrBadRequest, openflow.BRCBadLen, "a GROUP_MOD of 12 bytes", cutTo(plain, 12)},
	}
}

func badMeters() []refusal {
	const kind = openflow.ErrMeterModFailed
	band := openflow.Band{Type: openflow.BandDrop, Rate: 5}
	plain := meterMod(openflow.MeterAdd, 2, band)
	with := func(change func(*openflow.MeterMod)) *openflow.MeterMod {
		m := meterMod(openflow.MeterModify, 1, band)
		change(m)
		return m
	}
	using := func(id uint32) *openflow.FlowMod {
		return inTable(1, openflow.Instruction{Type: openflow.InstructionMeter, Meter: id})
	}
	return []refusal{
		{kind, openflow.MMFCMeterExists, "a meter twice", meterMod(openflow.MeterAdd, 1, band)},
		{kind, openflow.MMFCInvalidMeter, "meter 0", meterMod(openflow.MeterAdd, 0, band)},
		{kind, openflow.MMFCInvalidMeter, "a reserved number", meterMod(openflow.MeterAdd, openflow.MeterMax+1, band)},
		{kind, openflow.MMFCInvalidMeter, "adding all", meterMod(openflow.MeterAdd, openflow.MeterAll, band)},
		{kind, openflow.MMFCInvalidMeter, "an entry with a meter that is not there", using(9)},
		{kind, openflow.MMFCInvalidMeter, "an entry with all meters", using(openflow.MeterAll)},
		{kind, openflow.MMFCUnknownMeter, "changing what is not there", meterMod(openflow.MeterModify, 2, band)},
		{kind, openflow.MMFCUnknownMeter, "statistics of what is not there", &openflow.MultipartRequest{Type: openflow.MultipartMeter,
			Records: []openflow.Record{&openflow.MeterRequest{Meter: 2}}}},
		{kind, openflow.MMFCUnknownMeter, "configuration of what is not there", &openflow.MultipartRequest{Type: openflow.MultipartMeterConfig,
			Records: []openflow.Record{&openflow.MeterRequest{Meter: 2}}}},
		{kind, openflow.MMFCBadCommand, "command 3", patched(plain, 9, 3)},
		{kind, openflow.MMFCBadFlags, "an undefined flag", with(func(m *openflow.MeterMod) { m.Flags |= 1 << 4 })},
		{kind, openflow.MMFCBadFlags, "kbps and pktps at once", with(func(m *openflow.MeterMod) { m.Flags |= openflow.MeterKbps })},
		{kind, openflow.MMFCBadBand, "a good band, then one of type 3", with(func(m *openflow.MeterMod) { m.Bands = append(m.Bands, openflow.Band{Type: 3, Rate: 1}) })},
		{kind, openflow.MMFCBadBand, "a stranger's band", with(func(m *openflow.MeterMod) {
			m.Bands[0] = openflow.Band{Type: openflow.BandExperimenter, Experimenter: 7}
		})},
		{kind, openflow.MMFCBadBandValue, "dscp_remark by nothing", with(func(m *openflow.MeterMod) { m.Bands[0].Type = openflow.BandDSCPRemark })},
		{kind, openflow.MMFCOutOfMeters, "a fourth meter", func(b *errorBench) []byte {
			b.p.send(plain)
			b.p.send(meterMod(openflow.MeterAdd, openflow.MeterController, band))
			return wire(meterMod(openflow.MeterAdd, 3, band))
		}},
		{kind, openflow.MMFCOutOfBands, "nine bands", with(func(m *openflow.MeterMod) { m.Bands = make9(band) })},

		{openflow.ErrBadRequest, openflow.BRCBadLen, "a band of 8 bytes", patched(plain, 19, 8)},
		{openflow.ErrBadRequest, openflow.BRCBadLen, "a band beyond the message", patched(plain, 19, 32)},
		{openflow.ErrBadRequest, openflow.BRCBadLen, "a METER_MOD of 12 bytes", cutTo(plain, 12)},
	}
}

func make9(b openflow.Band) []openflow.Band { return []openflow.Band{b, b, b, b, b, b, b, b, b} }

func badQueues() []refusal {
	const kind = openflow.ErrQueueOpFailed
	stats := func(port openflow.PortNo, queue uint32) *openflow.MultipartRequest {
		return &openflow.MultipartRequest{Type: openflow.MultipartQueue, Records: []openflow.Record{&openflow.QueueStatsRequest{Port: port, Queue: queue}}}
	}
	onQueuedPort := func(m openflow.Message) func(*errorBench) []byte {
		return func(b *errorBench) []byte {
			b.plug(3, queuedPort())
			return wire(m)
		}
	}
	return []refusal{
		{kind, openflow.QOFCBadPort, "queues of port 9", &openflow.QueueGetConfigRequest{Port: 9}},
		{kind, openflow.QOFCBadPort, "queues of FLOOD", &openflow.QueueGetConfigRequest{Port: openflow.PortFlood}},
		{kind, openflow.QOFCBadPort, "statistics of port 9", stats(9, openflow.QueueAll)},
		{kind, openflow.QOFCBadQueue, "a queue of a port that has none", stats(1, 0)},
		{kind, openflow.QOFCBadQueue, "a queue that the port lacks", onQueuedPort(stats(3, 6))},
		{kind, openflow.QOFCBadQueue, "a queue that no port has", onQueuedPort(stats(openflow.PortAny, 6))},
		{openflow.ErrBadRequest, openflow.BRCBadLen, "QUEUE_GET_CONFIG of 12 bytes", cutTo(&openflow.QueueGetConfigRequest{Port: 1}, 12)},
	}
}

// TestErrorTableIsComplete: every code of openflow/errorcodes.go has a row or a reason why it is never
// sent, and not both.
func TestErrorTableIsComplete(t *testing.T) {
	rows := map[string]bool{"OFPHFC_INCOMPATIBLE": true} // TestHelloFailed
	for _, r := range errorTable() {
		rows[r.codeName()] = true
	}
	bare := func(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "_", "")) }
	defined := definedCodes(t)
	for kind := openflow.ErrHelloFailed; kind <= openflow.ErrTableFeaturesFailed; kind++ {
		for code := uint16(0); ; code++ {
			name := (&openflow.Error{Type: kind, Code: code}).CodeName()
			if strings.Contains(name, " ") { // "OFPET_… code 15"
				break
			}
			if !defined[bare(name)] {
				t.Errorf("%s has a name and no constant", name)
			}
			delete(defined, bare(name))
			if rows[name] == (notSent[name] != "") {
				t.Errorf("%s: a row %t, never sent %q; one of them it must have", name, rows[name], notSent[name])
			}
		}
	}
	if len(defined) != 0 {
		t.Errorf("constants without a name: %v", defined)
	}
	t.Logf("%d rows for %d codes, %d codes are never sent", len(errorTable()), len(rows), len(notSent))
}

// definedCodes are the constants of openflow/errorcodes.go as OFP and the name in capitals.
func definedCodes(t *testing.T) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../openflow/errorcodes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok {
			for _, id := range v.Names {
				if id.IsExported() && !strings.HasPrefix(id.Name, "Err") && !strings.HasPrefix(id.Name, "ONF") { // types, and what is not 1.3's
					codes["OFP"+strings.ToUpper(id.Name)] = true
				}
			}
		}
		return true
	})
	if len(codes) < 100 {
		t.Fatalf("%d codes found", len(codes))
	}
	return codes
}
