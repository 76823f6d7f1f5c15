package ofctl

import (
	"errors"
	"strings"
	"testing"

	"github.com/weirswitch/weir/openflow"
)

// TestTypos: what people mistype, or take from another tool, is named, and the word that was meant is offered.
func TestTypos(t *testing.T) {
	for _, c := range []struct{ flow, word, near string }{
		{"tpc,actions=drop", "tpc", "tcp"},
		{"imcp,actions=drop", "imcp", "icmp"},
		{"udpv6,actions=drop", "udpv6", "udp6"},
		{"in_prot=1,actions=drop", "in_prot", "in_port"},
		{"dl_valn=5,actions=drop", "dl_valn", "dl_vlan"},
		{"vlan_id=5,actions=drop", "vlan_id", "dl_vlan"}, // not vlan_vid, which is the VLAN plus 4096
		{"ip,nw_sorce=1.2.3.4,actions=drop", "nw_sorce", "nw_src"},
		{"ip,nw_dest=1.2.3.4,actions=drop", "nw_dest", "nw_dst"},
		{"ip,src_ip=1.2.3.4,actions=drop", "src_ip", "nw_src"},
		{"ipv6,ip6_src=::1,actions=drop", "ip6_src", "ipv6_src"},
		{"tcp,dst_port=80,actions=drop", "dst_port", "tp_dst"}, // not out_port
		{"tcp,tp_dts=80,actions=drop", "tp_dts", "tp_dst"},
		{"arp,arp_opp=1,actions=drop", "arp_opp", "arp_op"},
		{"icmp,icmp_typ=8,actions=drop", "icmp_typ", "icmp_type"},
		{"prio=5,actions=drop", "prio", "priority"},
		{"prioritty=5,actions=drop", "prioritty", "priority"},
		{"idle_timout=5,actions=drop", "idle_timout", "idle_timeout"},
		{"cokie=5,actions=drop", "cokie", "cookie"},
		{"tabel=5,actions=drop", "tabel", "table"},
		{"send_flow_removed,actions=drop", "send_flow_removed", "send_flow_rem"},
		{"tcp,tcp_flags=+ak,actions=drop", "ak", "ack"},
		{"ip,nw_frag=fisrt,actions=drop", "fisrt", "first"},
		{"ip,acitons=drop", "acitons", "actions"},
		{"ip actoins=output:1", "actoins", "actions"},
		{"ip,actions=ouput:1", "ouput", "output"},
		{"ip,actions=forward:1", "forward", "output"},
		{"ip,actions=controler", "controler", "controller"},
		{"ip,actions=FLODD", "FLODD", "FLOOD"},
		{"ip,actions=dec_tll,1", "dec_tll", "dec_ttl"},
		{"ip,actions=goto_tabel:2", "goto_tabel", "goto_table"},
		{"ip,actions=goto:2", "goto", "goto_table"},
		{"ip,actions=push_vaIn:0x8100", "push_vaIn", "push_vlan"},
		{"ip,actions=mod_dl_dest:00:11:22:33:44:55", "mod_dl_dest", "mod_dl_dst"},
		{"ip,actions=strip_valn,1", "strip_valn", "strip_vlan"},
		{"ip,actions=set_feild:1.2.3.4->ip_src", "set_feild", "set_field"},
		{"ip,actions=set_field:1.2.3.4->ip_scr", "ip_scr", "ip_src"},
		{"ip,actions=write_action(output:1)", "write_action", "write_actions"},
		{"ip,actions=load:5->NXM_OF_IP_SCR[]", "NXM_OF_IP_SCR", "NXM_OF_IP_SRC"},
		{"ip,actions=enque:1:2", "enque", "enqueue"},
		{"ip,actions=set_queu:3", "set_queu", "set_queue"},
		{"ip,actions=qwertz:3", "qwertz", ""}, // nothing was meant that one could guess
		{"xyzzy=3,actions=drop", "xyzzy", ""},
	} {
		_, err := ParseFlow(c.flow, openflow.FlowAdd, nil)
		var e *SyntaxError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", c.flow, err)
			continue
		}
		if e.Near != c.near || !strings.Contains(e.Problem, `"`+c.word+`"`) || !strings.HasPrefix(c.flow[e.At:], c.word) {
			t.Errorf("%s: %v, expected the word %q and the advice %q", c.flow, err, c.word, c.near)
		}
	}
	for flow, want := range map[string]string{
		"dl_type=arp,actions=drop":     "the word arp alone chooses these frames",
		"ip,nw_proto=tcp,actions=drop": "the word tcp alone chooses these frames",
	} {
		if _, err := ParseFlow(flow, openflow.FlowAdd, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flow, err)
		}
	}
}
