package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/weirswitch/weir/openflow"
)

// controllers are the replays.
var controllers = map[string]func(*caller){
	"ONOS": onos, "Floodlight": floodlight, "OpenDaylight": openDaylight, "Faucet": faucet,
}

// Messages that several of them send alike.
const (
	featuresRequest = "04 05 0008 xid"
	barrierRequest  = "04 14 0008 xid"
	getConfig       = "04 07 0008 xid"
	askDesc         = "04 12 0010 xid 0000 0000 00000000"
	askTables       = "04 12 0010 xid 0003 0000 00000000"
	askGroupDesc    = "04 12 0010 xid 0007 0000 00000000"
	askGroupFeature = "04 12 0010 xid 0008 0000 00000000"
	askMeterFeature = "04 12 0010 xid 000b 0000 00000000"
	askFeatures     = "04 12 0010 xid 000c 0000 00000000" // of tables
	askPortDesc     = "04 12 0010 xid 000d 0000 00000000"
	askFlows        = "04 12 0038 xid 0001 0000 00000000 ff000000 ffffffff ffffffff 00000000 0000000000000000 0000000000000000 0001 0004 00000000"
	askPorts        = "04 12 0018 xid 0004 0000 00000000 ffffffff 00000000"
	askQueues       = "04 12 0018 xid 0005 0000 00000000 ffffffff ffffffff"
	askGroups       = "04 12 0018 xid 0006 0000 00000000 fffffffc 00000000"
	askMeters       = "04 12 0018 xid 0009 0000 00000000 ffffffff 00000000"
	askMeterConfig  = "04 12 0018 xid 000a 0000 00000000 ffffffff 00000000"
	deleteFlows     = "04 0e 0038 xid 0000000000000000 0000000000000000 ff 03 0000 0000 0000 ffffffff ffffffff ffffffff 0000 0000 0001 0004 00000000"
	deleteGroups    = "04 0f 0010 xid 0002 00 00 fffffffc"
	deleteMeters    = "04 1d 0010 xid 0002 0000 ffffffff"
	becomeMaster    = "04 18 0018 xid 00000002 00000000 0000000000000000"
)

// greeted waits for the HELLO. Its header counts for ONOS; the others look into the bitmap when there is one.
func (c *caller) greeted() {
	c.doing = "waiting for HELLO"
	h := c.hear(openflow.TypeHello)
	c.need(h.raw[0] == openflow.Version, "HELLO of version %d: that is what it would speak from now on", h.raw[0])
	m := h.m.(*openflow.Hello)
	c.need(!m.HasBitmap || m.Bitmap&(1<<openflow.Version) != 0, "the bitmap %#x lacks 1.3", m.Bitmap)
}

func (c *caller) features() *openflow.FeaturesReply {
	c.doing = "waiting for features"
	m := c.answer(openflow.TypeFeaturesReply).m.(*openflow.FeaturesReply)
	c.need(m.DatapathID != 0, "datapath id 0")
	c.need(m.AuxiliaryID == 0, "an auxiliary connection")
	return m
}

// ports wants the three ports of the bench as a controller can use them.
func (c *caller) ports(most int) {
	c.doing = "waiting for ports"
	_, records := c.parts(openflow.MultipartPortDesc, c.xid, most)
	n := 0
	for _, r := range records {
		p := r.(*openflow.Port)
		c.need(p.HWAddr != [6]byte{}, "port %d has no address", p.No)
		if p.No <= openflow.PortMax {
			n++
			c.need(p.Name == fmt.Sprintf("p%d", p.No) && p.State&openflow.PortLinkDown == 0, "port %v", p)
		}
	}
	c.need(n == 3, "%d ports", n)
}

// config asks for the configuration behind a barrier, whose answer must come first.
func (c *caller) config(missSendLen uint16) {
	c.doing = "waiting for the configuration"
	c.send(barrierRequest)
	barrier := c.xid
	c.send(getConfig)
	r := c.hear(openflow.TypeBarrierReply)
	c.need(r.xid == barrier, "barrier %#x answered as %#x", barrier, r.xid)
	m := c.answer(openflow.TypeGetConfigReply).m.(*openflow.GetConfigReply)
	c.need(m.MissSendLen == missSendLen, "miss_send_len %d", m.MissSendLen)
}

func (c *caller) description() {
	c.doing = "waiting for the description"
	bodies, _ := c.multipart(openflow.MultipartDesc, askDesc)
	c.need(len(bodies[0]) == 1056, "%d bytes", len(bodies[0]))
	for _, at := range []int{0, 256, 512} { // manufacturer, hardware, software: what a driver is chosen by
		text, _, ended := bytes.Cut(bodies[0][at:at+256], []byte{0})
		c.need(ended && len(text) > 0, "string at %d: %q", at, text)
	}
}

func (c *caller) role(request string, role uint32, generation uint64) {
	c.doing = "waiting for the role"
	c.send(request)
	raw := c.answer(openflow.TypeRoleReply).raw
	c.need(binary.BigEndian.Uint32(raw[8:]) == role, "role %d, asked for %d", binary.BigEndian.Uint32(raw[8:]), role)
	c.need(binary.BigEndian.Uint64(raw[16:]) == generation, "generation %#x", raw[16:])
}

func (c *caller) barrier() {
	c.send(barrierRequest)
	c.answer(openflow.TypeBarrierReply)
}

func (c *caller) echo() {
	c.doing = "waiting for an echo"
	c.send("04 02 000c xid 61626364")
	raw := c.answer(openflow.TypeEchoReply).raw
	c.need(string(raw[8:]) == "abcd", "data % x", raw[8:])
}

// onos waits for the switch to speak and counts its messages downwards. Any error ends it until it is master. A flow
// is PENDING_ADD until the statistics show it exactly as it was sent.
func onos(c *caller) {
	c.next = downFrom(0xffffffff)
	c.greeted()
	c.send("04 00 0008 xid", featuresRequest)
	buffers := c.features().NBuffers
	c.send(askPortDesc)
	c.ports(1000)
	missSendLen := uint16(128)
	if buffers > 0 {
		c.send("04 09 000c xid 0000 ffff")
		missSendLen = 0xffff
	}
	c.config(missSendLen)
	c.doing = "waiting for meter features"
	c.multipart(openflow.MultipartMeterFeatures, askMeterFeature)
	c.description()
	c.role(becomeMaster, 2, 0)
	c.role(becomeMaster, 2, 0) // every time with generation 0: not stale

	for _, flow := range []struct{ cookie, priority, matchAndInstructions string }{
		// LLDP to the controller, deferred actions cleared.
		{"0001000021b41dc3", "9c40", "0001 000a 80000a02 88cc 000000000000" +
			"0004 0018 00000000 0000 0010 fffffffd ffff 000000000000" + "0005 0008 00000000"},
		// A port, an address, a prefix, a VLAN that has to be there.
		{"00ab0000deadbeef", "000a", "0001 0030 80000004 00000001 80000606 0a0000000002 80000d04 10001000" +
			"80000a02 0800 80001908 0a010000 ffff0000" + "0004 0018 00000000 0000 0010 00000002 0000 000000000000"},
	} {
		c.pending(flow.cookie, flow.priority, flow.matchAndInstructions)
	}
	c.doing = "polling statistics"
	c.poll()
	c.echo()
}

// pending installs a flow and looks whether it comes back byte for byte.
func (c *caller) pending(cookie, priority, tail string) {
	c.doing = "waiting for a flow"
	packed := strings.Join(strings.Fields(tail), "")
	c.send(fmt.Sprintf("04 0e %04x xid %s 0000000000000000 00 00 0000 0000 %s ffffffff ffffffff ffffffff 0001 0000 %s",
		48+len(packed)/2, cookie, priority, packed))
	c.barrier()
	bodies, _ := c.multipart(openflow.MultipartFlow, askFlows)
	for _, b := range bodies {
		for len(b) >= 56 {
			n := int(binary.BigEndian.Uint16(b))
			c.need(n >= 56 && n <= len(b), "a flow of %d bytes", n)
			if hex.EncodeToString(b[48:n]) == packed && hex.EncodeToString(b[24:32]) == cookie &&
				hex.EncodeToString(b[12:14]) == priority && b[2] == 0 {
				return
			}
			b = b[n:]
		}
	}
	c.drop("the flow stays PENDING_ADD: it is not in the statistics as it was sent")
}

// poll asks for every kind of statistics.
func (c *caller) poll() {
	for _, p := range []struct {
		kind    openflow.MultipartType
		request string
	}{
		{openflow.MultipartFlow, askFlows}, {openflow.MultipartTable, askTables}, {openflow.MultipartPortStats, askPorts},
		{openflow.MultipartQueue, askQueues}, {openflow.MultipartGroup, askGroups}, {openflow.MultipartGroupDesc, askGroupDesc},
		{openflow.MultipartMeter, askMeters}, {openflow.MultipartMeterConfig, askMeterConfig},
	} {
		c.multipart(p.kind, p.request)
	}
}

// floodlight is strict: no PORT_STATUS before the features, ports in one message, table features that it can parse.
func floodlight(c *caller) {
	c.next = downFrom(0xffffffff)
	c.send("05 00 0010 xid 0001 0008 0000003e")
	c.forbids[openflow.TypePortStatus] = true
	c.greeted()
	c.send(featuresRequest)
	c.features()
	c.forbids[openflow.TypePortStatus] = false
	c.send(askPortDesc)
	c.ports(1)
	c.send("04 09 000c xid 0000 ffff")
	c.config(0xffff)
	c.description()
	c.doing = "waiting for table features"
	c.send(askFeatures)
	c.tableFeatures()
	c.role(becomeMaster, 2, 0)
	c.doing = "clearing tables"
	c.send(deleteFlows, deleteGroups)
	c.barrier()
	c.doing = "adding default flows"
	for table := range 5 {
		c.send(fmt.Sprintf("04 0e 0050 xid 0000000000000000 0000000000000000 %02x 00 0000 0000 0000 ffffffff 00000000 00000000 0000 0000"+
			"0001 0004 00000000 0004 0018 00000000 0000 0010 fffffffd ffff 000000000000", table))
	}
	c.barrier()
	_, records := c.multipart(openflow.MultipartFlow, askFlows)
	c.need(len(records) == 5, "%d flows after five were added to empty tables", len(records))
	c.echo()
}

// tableFeatures reads the answer as an outsider does: lengths, the properties that each table must have, standard ids.
func (c *caller) tableFeatures() {
	bodies, _ := c.parts(openflow.MultipartTableFeatures, c.xid, 100)
	tables := 0
	for _, b := range bodies {
		for len(b) > 0 {
			c.need(len(b) >= 64, "%d bytes left over", len(b))
			n := int(binary.BigEndian.Uint16(b))
			c.need(n >= 64 && n%8 == 0 && n <= len(b), "a table of %d bytes", n)
			c.properties(b[2], b[64:n])
			tables, b = tables+1, b[n:]
		}
	}
	c.need(tables > 4, "%d tables", tables)
}

func (c *caller) properties(table byte, b []byte) {
	seen := map[uint16]bool{}
	for len(b) > 0 {
		c.need(len(b) >= 4, "table %d: %d bytes left over", table, len(b))
		kind, n := binary.BigEndian.Uint16(b), int(binary.BigEndian.Uint16(b[2:]))
		c.need(n >= 4 && (n+7)/8*8 <= len(b), "table %d: property %d of %d bytes", table, kind, n)
		seen[kind] = true
		if kind < 8 && kind&^1 != 2 { // instructions and actions: type, length
			for ids := b[4:n]; len(ids) > 0; ids = ids[4:] {
				c.need(len(ids) >= 4 && binary.BigEndian.Uint16(ids[2:]) == 4, "table %d: property %d: id % x", table, kind, ids[:4])
				c.need(binary.BigEndian.Uint16(ids) != 0xffff, "table %d: property %d: an experimenter's id", table, kind)
			}
		}
		b = b[(n+7)/8*8:]
	}
	for _, kind := range []uint16{0, 2, 4, 6, 8, 10, 12, 14} {
		c.need(seen[kind], "table %d lacks property %d", table, kind)
	}
}

// openDaylight asks for everything at once and becomes master by counting the generation on from the one it is told.
func openDaylight(c *caller) {
	c.next = upFrom(21)
	c.send("04 00 0010 xid 0001 0008 00000012")
	c.greeted()
	c.send(featuresRequest)
	c.features()
	c.doing = "collecting features"
	var xids []uint32
	kinds := []openflow.MultipartType{openflow.MultipartDesc, openflow.MultipartMeterFeatures, openflow.MultipartGroupFeatures,
		openflow.MultipartTableFeatures, openflow.MultipartPortDesc}
	for _, request := range []string{askDesc, askMeterFeature, askGroupFeature, askFeatures, askPortDesc} {
		c.send(request)
		xids = append(xids, c.xid)
	}
	for i, kind := range kinds {
		c.parts(kind, xids[i], 100)
	}
	c.role("04 18 0018 xid 00000000 00000000 0000000000000000", 1, ^uint64(0)) // no change: equal, no generation yet
	c.role(becomeMaster, 2, 0)                                                 // all ones and one
	for range 3 {
		c.doing = "polling statistics"
		c.poll()
	}
	c.echo()
}

// faucet shapes tables, wants no packet-ins for its table-miss entries, and believes the reason of those it gets.
func faucet(c *caller) {
	c.next = upFrom(0x5adc0001)
	c.send("04 00 0008 xid")
	c.greeted()
	c.send(featuresRequest)
	c.features()
	c.send(askPortDesc)
	c.ports(1000)
	c.send("04 09 000c xid 0000 0000", "04 1c 0020 xid"+strings.Repeat("00", 24)) // no miss_send_len, nothing asynchronous
	c.description()
	c.doing = "clearing tables"
	c.send(deleteFlows, deleteMeters, deleteGroups)
	c.barrier()
	c.doing = "shaping tables"
	tables := shapedTable(0, "vlan") + shapedTable(1, "eth_src") + shapedTable(2, "eth_dst")
	c.send(fmt.Sprintf("04 12 %04x xid 000c 0000 00000000 %s", 16+len(tables)/2, tables))
	c.tableFeaturesOf("vlan", "eth_src", "eth_dst")
	c.doing = "installing flows"
	c.faucetFlows()
	c.doing = "telling errors"
	c.send("04 04 0010 xid 00000000 00000000") // an experimenter's message that nobody knows
	e := c.answer(openflow.TypeError).raw
	c.need(binary.BigEndian.Uint16(e[8:]) == 1 && binary.BigEndian.Uint16(e[10:]) == 3, "error % x", e[8:12])
	c.need(len(e) == 28 && e[12] == 4 && e[13] == 4, "the error carries % x, not the request", e[12:])
	c.faucetFrames()
	c.echo()
}

// shapedTable is a table features record with the properties that must be there.
func shapedTable(table byte, name string) string {
	property := func(kind uint16, ids string) string {
		n := 4 + len(ids)/2
		return fmt.Sprintf("%04x%04x%s%s", kind, n, ids, strings.Repeat("00", (n+7)/8*8-n))
	}
	const fields = "80000004" + "80000606" + "80000806" + "80000a02" + "80000c02" // in_port, eth_dst, eth_src, eth_type, vlan_vid
	body := property(0, "00040004")                                               // the last table has no goto and names no next tables
	if table < 2 {
		next := ""
		for t := table + 1; t <= 2; t++ {
			next += fmt.Sprintf("%02x", t)
		}
		body = property(0, "0001000400040004") + property(2, next)
	}
	body += property(4, "") + property(6, "00000004001100040012000400190004") + property(8, fields) + property(10, fields) +
		property(12, "") + property(14, "80000c02")
	padded := append([]byte(name), make([]byte, 32-len(name))...)
	return fmt.Sprintf("%04x%02x0000000000%x%032x%08x%08x%s", 64+len(body)/2, table, padded, 0, 0, 1024, body)
}

// tableFeaturesOf wants the tables by these names and no others.
func (c *caller) tableFeaturesOf(names ...string) {
	_, records := c.parts(openflow.MultipartTableFeatures, c.xid, 100)
	var got []string
	for _, r := range records {
		got = append(got, r.(*openflow.TableFeatures).Name)
	}
	c.need(strings.Join(got, " ") == strings.Join(names, " "), "tables %q", got)
}

// faucetFlow is a FLOW_MOD with Faucet's cookie; match holds the fields without padding.
func faucetFlow(table byte, priority uint16, match, instructions string) string {
	match, instructions = strings.Join(strings.Fields(match), ""), strings.Join(strings.Fields(instructions), "")
	n := 4 + len(match)/2
	match = fmt.Sprintf("0001%04x%s%s", n, match, strings.Repeat("00", (n+7)/8*8-n))
	return fmt.Sprintf("04 0e %04x xid 000000005adc15c0 0000000000000000 %02x 00 0000 0000 %04x ffffffff ffffffff ffffffff 0000 0000 %s %s",
		48+(len(match)+len(instructions))/2, table, priority, match, instructions)
}

func (c *caller) faucetFlows() {
	const toController = "0004 0018 00000000 0000 0010 fffffffd 0060 000000000000" // 96 bytes of the packet
	burst := []string{
		faucetFlow(0, 0, "", ""), faucetFlow(1, 0, "", toController), faucetFlow(2, 0, "", ""),
		// Port 1 belongs to VLAN 100: tagged in table 0, matched with the tag in 1, without it out of port 2.
		faucetFlow(0, 9000, "80000004 00000001 80000c02 0000", "0004 0020 00000000 0011 0008 8100 0000 0019 0010 80000c02 1064 000000000000"+
			"0001 0008 01 000000"),
		faucetFlow(1, 9000, "80000c02 1064 80000806 020000000007", "0001 0008 02 000000"),
		faucetFlow(1, 8000, "80000c02 1064 80000806 020000000008", toController),
		faucetFlow(2, 8192, "80000c02 1064 80000606 020000000002", "0004 0020 00000000 0012 0008 00000000 0000 0010 00000002 0000 000000000000"),
	}
	for i := range 300 {
		burst = append(burst, faucetFlow(2, 8192, fmt.Sprintf("80000c02 1064 80000606 0600000a%04x", i), ""))
	}
	c.send(burst...)
	c.send("04 1c 0020 xid 00000006 00000006 00000007 00000007 00000003 00000003") // by an action, or a bad TTL: not a miss
	c.barrier()
	_, records := c.multipart(openflow.MultipartFlow, askFlows)
	c.need(len(records) == len(burst), "%d flows of %d", len(records), len(burst))
}

// faucetFrames: tagged, matched again and untagged; told of by an action; not told of by the table-miss entry.
func (c *caller) faucetFrames() {
	c.doing = "forwarding"
	known, missed, told := frame(2, 7, "known"), frame(2, 9, "missed"), frame(2, 8, "told")
	c.b.send(1, known)
	ctx, cancel := context.WithTimeout(context.Background(), inTime)
	defer cancel()
	if err := c.b.ends[2].Expect(ctx, known); err != nil {
		c.drop("%v", err)
	}
	c.doing = "waiting for a packet-in"
	c.b.send(1, missed)
	c.b.send(1, told)
	r := c.hear(openflow.TypePacketIn)
	in := r.m.(*openflow.PacketIn)
	tagged := append(append(bytes.Clone(told[:12]), 0x81, 0, 0, 100), told[12:]...)
	c.need(in.Reason == 1, "reason %s of a packet that an action sent", in.Reason)
	c.need(int(in.TotalLen) == len(tagged), "total_len %d of a frame of %d", in.TotalLen, len(tagged))
	c.need(in.TableID == 1 && in.Cookie == 0x5adc15c0, "table %d, cookie %#x", in.TableID, in.Cookie)
	port, found := in.Match.Get(openflow.InPort)
	c.need(found && port.Value.Lo() == 1, "in_port %v in %s", port, in.Match)
	c.need(len(in.Data) >= 60 && bytes.HasPrefix(tagged, in.Data), "data % x", in.Data)
}
