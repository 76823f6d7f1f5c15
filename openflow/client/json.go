package client

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/weirswitch/weir/openflow"
	"github.com/weirswitch/weir/openflow/ofctl"
)

// object is one record for programs: names in small letters, numbers as numbers, addresses and
// bits as text. A counter that the switch does not keep is null.
type object = map[string]any

func (c *Client) writeJSON(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printMessage writes a message, as text to w, or as an object on a line of its own.
func (c *Client) printMessage(w io.Writer, raw []byte, names *ofctl.Names) error {
	if !c.JSON {
		_, err := fmt.Fprint(w, ofctl.Message(raw, names))
		return err
	}
	o := object{"message": ofctl.MessageName(raw), "text": strings.TrimRight(ofctl.Message(raw, names), "\n"), "bytes": hex.EncodeToString(raw)}
	if len(raw) >= openflow.HeaderSize {
		h := openflow.ReadHeader(raw)
		o["version"], o["xid"] = h.Version, h.XID
	}
	if c.Timestamp {
		o["time"] = c.Now().Format(time.RFC3339Nano)
	}
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	return e.Encode(o)
}

// printJSON prints the records of an answer as a list; an answer that is one thing is that thing.
func (c *Client) printJSON(s *session, m openflow.Message) error {
	q, isMultipart := m.(*openflow.MultipartRequest)
	if !isMultipart {
		raw, err := s.transact(m)
		if err != nil {
			return err
		}
		reply, err := s.decode(raw)
		if r, ok := reply.(*openflow.QueueGetConfigReply); ok && err == nil {
			return c.writeJSON(queuesJSON(r))
		}
		return s.refused(raw)
	}
	list := []object{}
	add := func(r openflow.Record) { list = append(list, recordJSON(r)) }
	var err error
	if f, ok := firstRecord(q).(*openflow.FlowStatsRequest); ok && q.Type == openflow.MultipartFlow {
		err = s.flows(f, func(r *ofctl.FlowRecord) { add(r.Flow) })
	} else {
		err = s.records(m, add)
	}
	if err != nil {
		return err
	}
	switch q.Type {
	case openflow.MultipartDesc, openflow.MultipartAggregate, openflow.MultipartGroupFeatures, openflow.MultipartMeterFeatures:
		if len(list) == 1 {
			return c.writeJSON(list[0])
		}
	}
	return c.writeJSON(list)
}

func (c *Client) showJSON(s *session) error {
	f, _, err := s.features()
	if err != nil {
		return err
	}
	ports := []object{}
	for i := range f.Ports { // OpenFlow 1.0 tells them here
		ports = append(ports, recordJSON(&f.Ports[i]))
	}
	if s.old == nil {
		err = s.records(&openflow.MultipartRequest{Type: openflow.MultipartPortDesc}, func(r openflow.Record) { ports = append(ports, recordJSON(r)) })
	}
	if err != nil {
		return err
	}
	cfg, err := s.config()
	if err != nil {
		return err
	}
	return c.writeJSON(object{"dpid": fmt.Sprintf("%016x", f.DatapathID), "tables": f.NTables, "buffers": f.NBuffers,
		"capabilities": words(f.Capabilities.String()), "ports": ports, "frags": cfg.Flags.String(), "miss_send_len": cfg.MissSendLen})
}

// words cuts the A|B of a set of bits; no bit is no word.
func words(s string) []string {
	if s == "0" {
		return []string{}
	}
	return strings.Split(s, "|")
}

// count is a counter, or nil when it is not kept.
func count(n uint64) any {
	if n == ^uint64(0) {
		return nil
	}
	return n
}

func seconds(sec, nsec uint32) any {
	if sec == 0xffffffff {
		return nil
	}
	return float64(sec) + float64(nsec)/1e9
}

func firstRecord(q *openflow.MultipartRequest) openflow.Record {
	if len(q.Records) == 0 {
		return nil
	}
	return q.Records[0]
}

func flowsJSON(flows []*ofctl.FlowRecord) []object {
	list := []object{}
	for _, f := range flows {
		list = append(list, recordJSON(f.Flow))
	}
	return list
}

func matchJSON(m openflow.Match) object {
	fields := object{}
	for f := range m.All() {
		_, v, _ := strings.Cut(f.String(), "=")
		fields[f.ID.String()] = v
	}
	return fields
}

// recordJSON is a record of a multipart reply.
func recordJSON(r openflow.Record) object {
	switch r := r.(type) {
	case *openflow.FlowStats:
		return object{"table": r.TableID, "priority": r.Priority, "cookie": fmt.Sprintf("%#x", r.Cookie), "duration": seconds(r.DurationSec, r.DurationNsec),
			"packets": count(r.PacketCount), "bytes": count(r.ByteCount), "idle_timeout": r.IdleTimeout, "hard_timeout": r.HardTimeout,
			"flags": append([]string{}, ofctl.FlowFlags(r.Flags)...), "match": ofctl.Match(r.Match), "fields": matchJSON(r.Match), "actions": ofctl.Instructions(r.Instructions)}
	case *openflow.AggregateStats:
		return object{"packets": r.PacketCount, "bytes": r.ByteCount, "flows": r.FlowCount}
	case *openflow.Desc:
		return object{"manufacturer": r.Manufacturer, "hardware": r.Hardware, "software": r.Software, "serial": r.Serial, "datapath": r.Datapath}
	case *openflow.TableStats:
		return object{"table": r.TableID, "active": r.ActiveCount, "lookups": r.LookupCount, "matched": r.MatchedCount}
	case *openflow.TableFeatures:
		return tableJSON(r)
	case *openflow.Port:
		return object{"port": ofctl.Port(r.No), "name": r.Name, "addr": r.HWAddr.String(), "config": words(r.Config.String()), "state": words(r.State.String()),
			"speed_kbps": r.CurrSpeed, "max_speed_kbps": r.MaxSpeed}
	case *openflow.PortStats:
		return object{"port": ofctl.Port(r.Port), "rx_packets": count(r.RxPackets), "tx_packets": count(r.TxPackets), "rx_bytes": count(r.RxBytes), "tx_bytes": count(r.TxBytes),
			"rx_dropped": count(r.RxDropped), "tx_dropped": count(r.TxDropped), "rx_errors": count(r.RxErrors), "tx_errors": count(r.TxErrors),
			"rx_frame_errors": count(r.RxFrameErr), "rx_over_errors": count(r.RxOverErr), "rx_crc_errors": count(r.RxCRCErr), "collisions": count(r.Collides),
			"duration": seconds(r.DurationSec, r.DurationNsec)}
	case *openflow.QueueStats:
		return object{"port": ofctl.Port(r.Port), "queue": r.Queue, "bytes": count(r.TxBytes), "packets": count(r.TxPackets), "errors": count(r.TxErrors),
			"duration": seconds(r.DurationSec, r.DurationNsec)}
	}
	return groupJSON(r)
}

// groupJSON is a record about groups or meters.
func groupJSON(r openflow.Record) object {
	switch r := r.(type) {
	case *openflow.GroupDesc:
		buckets := []object{}
		for _, k := range r.Buckets {
			b := object{"actions": ofctl.Actions(k.Actions), "weight": k.Weight}
			if k.WatchPort != openflow.PortAny {
				b["watch_port"] = ofctl.Port(k.WatchPort)
			}
			if k.WatchGroup != openflow.GroupAny {
				b["watch_group"] = k.WatchGroup
			}
			buckets = append(buckets, b)
		}
		return object{"group": r.Group, "type": r.Type.String(), "buckets": buckets}
	case *openflow.GroupStats:
		buckets := []object{}
		for _, k := range r.Buckets {
			buckets = append(buckets, object{"packets": count(k.PacketCount), "bytes": count(k.ByteCount)})
		}
		return object{"group": r.Group, "references": r.RefCount, "packets": count(r.PacketCount), "bytes": count(r.ByteCount),
			"duration": seconds(r.DurationSec, r.DurationNsec), "buckets": buckets}
	case *openflow.GroupFeatures:
		types := object{}
		for t, name := range [...]string{"all", "select", "indirect", "ff"} {
			if r.Types&(1<<t) != 0 {
				types[name] = object{"max_groups": r.MaxGroups[t], "actions": fmt.Sprintf("%#x", r.Actions[t])}
			}
		}
		return object{"types": types, "capabilities": fmt.Sprintf("%#x", r.Capabilities)}
	case *openflow.MeterConfig:
		bands := []object{}
		for _, k := range r.Bands {
			bands = append(bands, object{"type": k.Type.String(), "rate": k.Rate, "burst_size": k.Burst, "prec_level": k.PrecLevel})
		}
		return object{"meter": ofctl.MeterName(r.Meter), "flags": words(r.Flags.String()), "bands": bands}
	case *openflow.MeterStatistics:
		bands := []object{}
		for _, k := range r.Bands {
			bands = append(bands, object{"packets": count(k.PacketCount), "bytes": count(k.ByteCount)})
		}
		return object{"meter": ofctl.MeterName(r.Meter), "flows": r.FlowCount, "packets": count(r.PacketCount), "bytes": count(r.ByteCount),
			"duration": seconds(r.DurationSec, r.DurationNsec), "bands": bands}
	case *openflow.MeterFeatures:
		return object{"max_meters": r.MaxMeters, "band_types": fmt.Sprintf("%#x", r.BandTypes), "capabilities": words(r.Capabilities.String()),
			"max_bands": r.MaxBands, "max_color": r.MaxColor}
	}
	return object{"unknown": fmt.Sprint(r)}
}

func tableJSON(t *openflow.TableFeatures) object {
	o := object{"table": t.TableID, "name": t.Name, "metadata_match": fmt.Sprintf("%#x", t.MetadataMatch), "metadata_write": fmt.Sprintf("%#x", t.MetadataWrite),
		"max_entries": t.MaxEntries}
	for i := range t.Properties {
		p := &t.Properties[i]
		list := []string{}
		for _, v := range p.Instructions {
			list = append(list, v.String())
		}
		for _, v := range p.Tables {
			list = append(list, fmt.Sprint(v))
		}
		for _, v := range p.Actions {
			list = append(list, v.String())
		}
		for _, v := range p.Fields {
			list = append(list, v.String())
		}
		o[p.Type.String()] = list
	}
	return o
}

func queuesJSON(r *openflow.QueueGetConfigReply) []object {
	list := []object{}
	rate := func(v uint16) any {
		if v > 1000 {
			return nil
		}
		return float64(v) / 10
	}
	for _, q := range r.Queues {
		list = append(list, object{"queue": q.ID, "port": ofctl.Port(q.Port), "min_rate_percent": rate(q.MinRate), "max_rate_percent": rate(q.MaxRate)})
	}
	return list
}
