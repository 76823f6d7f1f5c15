package ofctl

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// asTyped changes what printing loses: the length for ports other than the controller, and what the
// parser writes in one way of several.
func asTyped(l openflow.Actions) openflow.Actions {
	var list []openflow.Action
	for a := range l.All() {
		switch {
		case a.Type == openflow.ActionOutput && a.Port != openflow.PortController:
			a.MaxLen = 0
		case a.Type == openflow.NXResubmit:
			a.Type, a.Table = openflow.NXResubmitTable, 0xff
		case a.Type == openflow.NXController && a.Reason == openflow.ReasonAction && a.ControllerID == 0:
			a = openflow.Action{Type: openflow.ActionOutput, Port: openflow.PortController, MaxLen: a.MaxLen}
		}
		list = append(list, a)
	}
	return openflow.NewActions(list...)
}

func instructionsAsTyped(l openflow.Instructions) openflow.Instructions {
	var list []openflow.Instruction
	for _, t := range instructionOrder {
		i, ok := l.Get(t)
		i.Actions = asTyped(i.Actions)
		switch {
		case !ok, t == openflow.InstructionApplyActions && i.Actions.IsEmpty():
			continue
		case t == openflow.InstructionClearActions:
			i.Actions = openflow.Actions{}
		}
		list = append(list, i)
	}
	return openflow.NewInstructions(list...)
}

// matchAsTyped splits pairs of registers, and drops what ovs-ofctl has no word for: a PCP of a tag whose VID is not said.
func matchAsTyped(m openflow.Match) openflow.Match {
	r := &matchReader{}
	for f := range m.All() {
		r.set(f, token{})
	}
	var list []openflow.Field
	for _, id := range wireOrder() {
		if r.has[id] {
			list = append(list, r.fields[id])
		}
	}
	return openflow.NewMatch(list...)
}

// TestWhatIsPrintedIsParsed prints random flows and reads them again.
func TestWhatIsPrintedIsParsed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		f := randomFlow(r)
		text := Flow(f)
		mod, err := ParseFlow(text, openflow.FlowAdd, nil)
		if err != nil {
			t.Fatalf("%s\n%v\nof %v", text, err, f)
		}
		got := statsOf(mod)
		if want := matchAsTyped(f.Match); !got.Match.Equal(want) {
			t.Fatalf("%s\n got %v\nwant %v", text, got.Match, want)
		}
		if want := instructionsAsTyped(f.Instructions); !bytes.Equal(got.Instructions.Bytes(), want.Bytes()) {
			t.Fatalf("%s\n got %v\nwant %v", text, got.Instructions, want)
		}
		if got.Priority != f.Priority || got.TableID != f.TableID || got.Cookie != f.Cookie || got.Flags != f.Flags ||
			got.IdleTimeout != f.IdleTimeout || got.HardTimeout != f.HardTimeout {
			t.Fatalf("%s\n got %v\nwant %v", text, got, f)
		}
	}
}

// TestSyntaxErrors wants each error to name the word, its place and what may have been meant.
func TestSyntaxErrors(t *testing.T) {
	names := NewNames(map[openflow.PortNo]string{1: "eth1", 2: "s1-eth2"}, map[uint8]string{1: "ingress"})
	for text, want := range map[string]string{
		"nw_scr=1.2.3.4,ip,actions=drop":                 `there is no field or word "nw_scr", did you mean "nw_src"? (at character 1 of "nw_scr=1.2.3.4,ip,actions=drop")`,
		"in_port=1,tpc,actions=drop":                     `there is no field or word "tpc", did you mean "tcp"? (at character 11 of "in_port=1,tpc,actions=drop")`,
		"in_port=1":                                      `the actions are missing: end with actions=..., or actions=drop (at character 10 of "in_port=1")`,
		"in_port=1,actoins=drop":                         `there is no word "actoins", did you mean "actions"? (at character 11 of`,
		"in_port=eth2,actions=drop":                      `there is no port for in_port called "eth2", did you mean "eth1"? (at character 9 of`,
		"in_port,actions=drop":                           `in_port lacks its value: write in_port=VALUE`,
		"actions=outptu:1":                               `there is no action or port "outptu", did you mean "output"? (at character 9 of`,
		"actions=output:1,set_feild:1->reg0":             `there is no action or port "set_feild", did you mean "set_field"? (at character 18 of`,
		"actions=set_field:1.2.3.4->ip_scr":              `there is no field "ip_scr", did you mean "ip_src"? (at character 28 of`,
		"actions=set_field:1.2.3.4->ip_src":              `set_field of ip_src needs ip in the match (at character 9 of`,
		"actions=set_field:5->vlan_pcp":                  `set_field needs a tag: match dl_vlan, or push_vlan:0x8100 before it`,
		"actions=mod_tp_dst:5":                           `mod_tp_dst needs tcp, tcp6, udp, udp6, sctp or sctp6 in the match`,
		"nw_src=1.2.3.4,actions=drop":                    `nw_src needs ip, arp or rarp beside it (at character 1 of`,
		"tp_dst=80,actions=drop":                         `tp_dst needs tcp, tcp6, udp, udp6, sctp, sctp6, icmp or icmp6 beside it`,
		"ip,tp_dst=80,actions=drop":                      `tp_dst needs tcp,`,
		"icmp6,nd_sll=1:2:3:4:5:6,actions=drop":          `nd_sll needs icmp6,icmp_type=135 beside it`,
		"udp,tcp_dst=80,actions=drop":                    `tcp_dst needs tcp or tcp6 beside it`,
		"mpls_label=5,actions=drop":                      `mpls_label needs mpls or mplsm beside it`,
		"ip,nw_src=1.2.3,actions=drop":                   `nw_src=1.2.3: expected an IPv4 address like 10.0.0.1 (at character 11 of`,
		"ip,nw_src=1.2.3.4/33,actions=drop":              `nw_src/33: expected a prefix length from 0 to 32, or a mask`,
		"ipv6,ipv6_src=1.2.3.4,actions=drop":             `expected an IPv6 address like 2001:db8::1`,
		"dl_src=1:2:3,actions=drop":                      `expected an Ethernet address like 00:11:22:33:44:55`,
		"dl_vlan=4096,actions=drop":                      `dl_vlan=4096 is too large, the highest is 4095`,
		"vlan_vid=5,actions=drop":                        `vlan_vid=5 names a tag without its present bit: write vlan_tci=0x1005, or dl_vlan=5`,
		"vlan_tci=0x2000/0xe000,actions=drop":            `OpenFlow 1.3 can match the priority whole and with the present bit`,
		"ip,nw_tos=3,actions=drop":                       `nw_tos=3: the two low bits are ECN, write nw_tos=0,nw_ecn=3`,
		"ip,nw_frag=fist,actions=drop":                   `there is no kind of fragment "fist", did you mean "first"?`,
		"tcp,tcp_flags=+sin,actions=drop":                `there is no TCP flag "sin", did you mean "fin"?`,
		"priority=70000,actions=drop":                    `priority=70000 is too large, the highest is 65535 (at character 10 of`,
		"priority=high,actions=drop":                     `priority=high: expected a number like 10 or 0x0a`,
		"cookie=1/2,actions=drop":                        `cookie=1/2: a new flow's cookie has no mask`,
		"table=ingres,actions=drop":                      `there is no table called "ingres", did you mean "ingress"?`,
		"table=300,actions=drop":                         `table=300: tables have numbers from 0 to 254`,
		"table=3,actions=goto_table:3":                   `goto_table:3: a flow of table 3 can go on in a later table only`,
		"out_port=3,actions=drop":                        `there is no field or word "out_port"`,
		"ct_state=+trk,ip,actions=drop":                  `ct_state is an extension of Open vSwitch that weir does not have`,
		"actions=learn(table=1)":                         `learn is an extension of Open vSwitch that weir does not have`,
		"actions=drop,output:1":                          `drop stands alone`,
		"actions=goto_table:1,output:1":                  `output must stand before goto_table`,
		"actions=output:1,meter:1":                       `meter must stand before what is applied, cleared or written`,
		"actions=meter:1,meter:2":                        `meter is there twice`,
		"actions=apply_actions(output:1)":                `apply_actions needs no word`,
		"actions=write_actions(goto_table:3)":            `goto_table is an instruction of a flow and cannot stand here`,
		"actions=write_actions(output:1":                 `write_actions( lacks its closing parenthesis`,
		"actions=output:1)":                              `a closing parenthesis without its opening one`,
		"actions=output:ANY":                             `nothing can be sent to the port ANY`,
		"actions=output:70000000000":                     `there is no port for output called "70000000000"`,
		"actions=load:0x100->reg0[0..7]":                 `load:0x100 does not fit the 8 bits of reg0[0..7]`,
		"actions=move:reg0[]->reg1[0..3]":                `reg0[] has 32 bits and reg1[0..3] has 4`,
		"actions=move:reg0[]->reg1[0..40]":               `the last bit of reg1 is 31`,
		"actions=push_vlan:0x9999":                       `push_vlan:0x9999: expected 0x8100 or 0x88a8`,
		"actions=controller(maxlen=5)":                   `there is no argument of controller called "maxlen", did you mean "max_len"?`,
		"actions=controller(reason=actoin)":              `there is no reason "actoin", did you mean "action"?`,
		"actions=set_field:5->in_port":                   `in_port cannot be written`,
		"actions=push_vlan:0x8100,set_field:5->vlan_vid": `the value is the VLAN plus 4096`,
	} {
		_, err := ParseFlow(text, openflow.FlowAdd, names)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got  %v\n want %s", text, err, want)
		}
	}
}

func TestGroupAndMeterErrors(t *testing.T) {
	for text, want := range map[string]string{
		"group_id=1":                               "type is missing",
		"type=all":                                 "group_id is missing",
		"group_id=1,type=slect":                    `there is no type of group "slect", did you mean "select"?`,
		"group_id=4294967040000,type=all":          "too large",
		"group_id=1,type=indirect":                 "an indirect group has one bucket, this has 0",
		"group_id=1,type=ff,bucket=output:1":       "a bucket of a ff group watches something",
		"group_id=1,type=all,bucket=weight:5":      "weight goes with type=select alone",
		"group_id=1,type=all,bucket=drop,output:1": "drop stands alone",
		"group_id=1,type=all,bucket=goto_table:3":  "goto_table is an instruction of a flow",
		"group_id=1,type=all,buckets=output:1":     `there is no word of a group "buckets", did you mean "bucket"?`,
		"group_id=1,type=all,bucket=bucket_id:1":   "bucket_id is OpenFlow 1.5's",
	} {
		if _, err := ParseGroup(text, openflow.GroupAdd, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"meter=1,band=type=drop,rate=1":                   "kbps or pktps is missing",
		"meter=1,kbps,pktps,band=type=drop,rate=1":        "exclude each other",
		"kbps,band=type=drop,rate=1":                      "meter is missing",
		"meter=0,kbps,band=type=drop,rate=1":              "meters have numbers from 1",
		"meter=1,kbps":                                    "the bands are missing",
		"meter=1,kbps,band=rate=1":                        "a band begins with its type",
		"meter=1,kbps,band=type=drop":                     "the rate of band 1 is missing",
		"meter=1,kbps,burst,band=type=drop,rate=1":        "the burst_size of band 1 is missing",
		"meter=1,kbps,band=type=drop,rate=1,burst_size=1": "burst_size needs the word burst",
		"meter=1,kbps,band=type=dorp,rate=1":              `there is no type of band "dorp", did you mean "drop"?`,
		"meter=1,kpbs,band=type=drop,rate=1":              `there is no word of a meter "kpbs", did you mean "kbps"?`,
	} {
		if _, err := ParseMeter(text, openflow.MeterAdd); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestLinesOfFiles begin with a command, or with none.
func TestLinesOfFiles(t *testing.T) {
	for text, want := range map[string]openflow.FlowModCommand{
		"ip,actions=drop": openflow.FlowAdd, "add ip,actions=drop": openflow.FlowAdd, " modify ip,actions=drop": openflow.FlowModify,
		"modify_strict ip,actions=drop": openflow.FlowModifyStrict, "delete ip,out_port=3": openflow.FlowDelete, "delete": openflow.FlowDelete,
		"delete_strict priority=3": openflow.FlowDeleteStrict,
	} {
		if m, err := ParseFlowLine(text, nil); err != nil || m.Command != want {
			t.Errorf("%q: %v, %v", text, m, err)
		}
	}
	if m, err := ParseGroupLine("modify group_id=3,type=all", nil); err != nil || m.Command != openflow.GroupModify || m.Group != 3 {
		t.Errorf("%v, %v", m, err)
	}
	if m, err := ParseGroupLine("delete group_id=3", nil); err != nil || m.Command != openflow.GroupDelete || m.Group != 3 {
		t.Errorf("%v, %v", m, err)
	}
}

// TestNames are those of ports and tables, quoted or not; a name that two ports share means neither.
func TestNames(t *testing.T) {
	names := NewNames(map[openflow.PortNo]string{1: "eth1", 2: "s1-eth,2", 3: "twin", 4: "twin", openflow.PortLocal: "br0"}, map[uint8]string{5: "acl"})
	m, err := ParseFlow(`table=acl,in_port="s1-eth,2",actions=eth1,output:br0,"s1-eth,2",resubmit(eth1,acl),goto_table:6`, openflow.FlowAdd, names)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(noNames.appendRule(nil, statsOf(m))); got != "in_port=2 actions=output:1,LOCAL,output:2,resubmit(1,5),goto_table:6" || m.TableID != 5 {
		t.Errorf("table %d, %s", m.TableID, got)
	}
	if _, err := ParseFlow("in_port=twin,actions=drop", openflow.FlowAdd, names); err == nil {
		t.Error("a name that two ports share was taken")
	}
	for text, want := range map[string]openflow.PortNo{"65534": openflow.PortLocal, "local": openflow.PortLocal, "none": openflow.PortAny, "0x10": 16, "70000": 70000} {
		if no, err := ParsePort(text, nil); err != nil || no != want {
			t.Errorf("port %s: %v, %v", text, no, err)
		}
	}
}

// TestTooLongForAMessage: Append would have to panic.
func TestTooLongForAMessage(t *testing.T) {
	const want = "a message has room for"
	for _, text := range []string{strings.Repeat("1,", 5000), "note:" + strings.Repeat("00", 70000), strings.Repeat("1,", 3000) + "write_actions(" + strings.Repeat("1,", 3000) + ")"} {
		if _, err := ParseFlow("actions="+text, openflow.FlowAdd, nil); err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 500 {
			t.Errorf("a flow of %d characters: %.300v", len(text), err)
		}
	}
	if _, err := ParseGroup("group_id=1,type=all"+strings.Repeat(",bucket=1", 3000), openflow.GroupAdd, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a group of 3000 buckets: %v", err)
	}
	if _, err := ParsePacketOut("in_port=1,packet="+strings.Repeat("00", 70000)+",actions=drop", nil); err == nil {
		t.Error("a packet of 70000 bytes was taken")
	}
}

// FuzzParse: no text makes the parsers panic, and what they take is printed as something that means the same.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/typed.txt", "testdata/corpus.txt"} {
		for _, line := range readLines(f, file) {
			_, text, _ := strings.Cut(strings.TrimPrefix(line, "--strict "), " ")
			f.Add(text)
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		if m, err := ParseFlow(text, openflow.FlowAdd, nil); err == nil {
			checkFlowAgain(t, text, m)
		}
		if m, err := ParseGroup(text, openflow.GroupAdd, nil); err == nil {
			checkGroupAgain(t, text, m)
		}
		if m, err := ParseMeter(text, openflow.MeterAdd); err == nil {
			printed := string(AppendMeter(nil, &openflow.MeterConfig{Flags: m.Flags, Meter: m.Meter, Bands: m.Bands}))
			if again, err := ParseMeter(printed, openflow.MeterAdd); err != nil || again.String() != m.String() {
				t.Errorf("%q prints as %q: %v, %v", text, printed, again, err)
			}
		}
		_, _ = ParseFlow(text, openflow.FlowDelete, nil)
		_, _ = ParseFlowFilter(text, nil)
		_, _ = ParsePacketOut(text, nil)
		_, _ = ParseGroupID(text)
		_, _ = ParseMeterID(text)
	})
}

func checkFlowAgain(t *testing.T, text string, m *openflow.FlowMod) {
	if err := m.Match.Check(); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	printed := Flow(statsOf(m))
	again, err := ParseFlow(printed, openflow.FlowAdd, nil)
	if err != nil || !again.Match.Equal(m.Match) || Flow(statsOf(again)) != printed {
		t.Errorf("%q prints as %q: %v, %v", text, printed, again, err)
	}
}

func checkGroupAgain(t *testing.T, text string, m *openflow.GroupMod) {
	printed := Group(&openflow.GroupDesc{Type: m.Type, Group: m.Group, Buckets: m.Buckets})
	again, err := ParseGroup(printed, openflow.GroupAdd, nil)
	if err != nil || Group(&openflow.GroupDesc{Type: again.Type, Group: again.Group, Buckets: again.Buckets}) != printed {
		t.Errorf("%q prints as %q: %v, %v", text, printed, again, err)
	}
}
