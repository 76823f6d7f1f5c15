package client

import (
	"github.com/weirswitch/weir/openflow"
)

// Command is one command of weir ofctl: what help, completion and the documentation say of it.
type Command struct {
	Name        string
	Args        string // for people
	Least, Most int    // how many arguments
	Summary     string
	More        string
	Example     string // behind "weir ofctl "
	Writes      bool
	aliases     []string
	run         func(c *Client, args []string) error
}

// Commands are all, in the order of help.
func Commands() []Command {
	list := append(reads(), flowCommands()...)
	return append(append(list, groupCommands()...), otherCommands()...)
}

func reads() []Command {
	return []Command{
		{Name: "show", Args: "SWITCH", Least: 1, Most: 1, Summary: "what the switch is and its ports", Example: "show br0", run: (*Client).show},
		{Name: "dump-desc", Args: "SWITCH", Least: 1, Most: 1, Summary: "who made it and what it is called", Example: "dump-desc br0", run: multipart(openflow.MultipartDesc)},
		{Name: "dump-flows", Args: "SWITCH [FLOW]", Least: 1, Most: 2, Summary: "flows with their counters, all or those that FLOW describes",
			More: "FLOW may name fields, table, cookie=VALUE/MASK, out_port and out_group.", Example: "dump-flows br0 table=0,tcp,tp_dst=80", run: (*Client).dumpFlows},
		{Name: "dump-aggregate", Args: "SWITCH [FLOW]", Least: 1, Most: 2, Summary: "sums over those flows", Example: "dump-aggregate br0 ip", run: (*Client).dumpAggregate},
		{Name: "dump-tables", Args: "SWITCH", Least: 1, Most: 1, Summary: "counters of tables", Example: "dump-tables br0", run: multipart(openflow.MultipartTable)},
		{Name: "dump-table-features", Args: "SWITCH", Least: 1, Most: 1, Summary: "what tables can do", Example: "dump-table-features br0", run: (*Client).dumpTableFeatures},
		{Name: "dump-ports", Args: "SWITCH [PORT]", Least: 1, Most: 2, Summary: "counters of ports", Example: "dump-ports br0 eth1", run: (*Client).dumpPorts},
		{Name: "dump-ports-desc", Args: "SWITCH [PORT]", Least: 1, Most: 2, Summary: "ports with their addresses, states and speeds",
			More: "OpenFlow 1.3 cannot ask for one port: all are shown.", Example: "dump-ports-desc br0", run: (*Client).dumpPortsDesc},
		{Name: "dump-groups", Args: "SWITCH [GROUP]", Least: 1, Most: 2, Summary: "groups with their buckets",
			More: "OpenFlow 1.3 cannot ask for one group: all are shown. 1.0 can, by Nicira's message.", Example: "dump-groups br0", run: (*Client).dumpGroups},
		{Name: "dump-group-stats", Args: "SWITCH [group_id=N]", Least: 1, Most: 2, Summary: "counters of groups and buckets", Example: "dump-group-stats br0 group_id=1", run: (*Client).dumpGroupStats},
		{Name: "dump-group-features", Args: "SWITCH", Least: 1, Most: 1, Summary: "what groups can do", Example: "dump-group-features br0", run: multipart(openflow.MultipartGroupFeatures)},
		{Name: "dump-meters", Args: "SWITCH [meter=N]", Least: 1, Most: 2, Summary: "meters with their bands", Example: "dump-meters br0", aliases: []string{"dump-meter"}, run: meters(openflow.MultipartMeterConfig)},
		{Name: "meter-stats", Args: "SWITCH [meter=N]", Least: 1, Most: 2, Summary: "counters of meters", Example: "meter-stats br0 meter=1", run: meters(openflow.MultipartMeter)},
		{Name: "meter-features", Args: "SWITCH", Least: 1, Most: 1, Summary: "what meters can do", Example: "meter-features br0", run: multipart(openflow.MultipartMeterFeatures)},
		{Name: "queue-stats", Args: "SWITCH [PORT [QUEUE]]", Least: 1, Most: 3, Summary: "counters of queues", Example: "queue-stats br0 eth1", run: (*Client).queueStats},
		{Name: "queue-get-config", Args: "SWITCH [PORT]", Least: 1, Most: 2, Summary: "queues with their rates", Example: "queue-get-config br0 eth1", run: (*Client).queueGetConfig},
		{Name: "get-frags", Args: "SWITCH", Least: 1, Most: 1, Summary: "what happens to IP fragments", Example: "get-frags br0", run: (*Client).getFrags},
	}
}

func flowCommands() []Command {
	add := one(parseFlow(openflow.FlowAdd, openflow.FlowAdd))
	file := many(parseFlowLine)
	return []Command{
		{Name: "add-flow", Args: "SWITCH FLOW", Least: 2, Most: 2, Writes: true, Summary: "add a flow",
			More: "FLOW is a match, then actions=...: fields as in in_port=1,ip,nw_dst=10.0.0.0/8, the words table, priority, cookie,\n" +
				"idle_timeout, hard_timeout and the flags send_flow_rem, check_overlap, reset_counts, no_packet_counts, no_byte_counts.",
			Example: "add-flow br0 priority=10,ip,nw_dst=10.0.0.2,actions=dec_ttl,output:2", run: either(add, file)},
		{Name: "add-flows", Args: "SWITCH FILE", Least: 2, Most: 2, Writes: true, Summary: "add the flows of a file, one a line",
			More:    "A line may begin with add, modify, modify_strict, delete or delete_strict. A mistake in the file sends nothing.\n- is standard input.",
			Example: "--bundle add-flows br0 flows.txt", run: file},
		{Name: "mod-flows", Args: "SWITCH FLOW", Least: 2, Most: 2, Writes: true, Summary: "change the actions of the flows that FLOW describes",
			More: "--strict: the one with this match and priority.", Example: "mod-flows br0 ip,actions=drop", run: either(one(parseFlow(openflow.FlowModify, openflow.FlowModifyStrict)), file)},
		{Name: "del-flows", Args: "SWITCH [FLOW]", Least: 1, Most: 2, Writes: true, Summary: "delete the flows that FLOW describes, or all",
			More: "--strict: the one with this match and priority.", Example: "del-flows br0 cookie=0x10/-1", run: either(one(parseFlow(openflow.FlowDelete, openflow.FlowDeleteStrict)), file)},
		{Name: "replace-flows", Args: "SWITCH FILE", Least: 2, Most: 2, Writes: true, Summary: "make the switch's flows those of a file", Example: "replace-flows br0 flows.txt", run: (*Client).replaceFlows},
		{Name: "diff-flows", Args: "SOURCE1 SOURCE2", Least: 2, Most: 2, Summary: "compare the flows of switches or files",
			More: "Exit status 2: they differ.", Example: "diff-flows br0 flows.txt", run: (*Client).diffFlows},
		{Name: "packet-out", Args: "SWITCH in_port=PORT packet=HEX actions=ACTIONS", Least: 2, Most: 1 << 20, Writes: true, Summary: "send a frame through actions",
			More:    "Also: packet-out SWITCH IN_PORT ACTIONS PACKET...",
			Example: "packet-out br0 'in_port=CONTROLLER packet=ffffffffffff02000000000188b5 actions=output:2'", run: (*Client).packetOut},
		{Name: "parse-flow", Args: "FLOW", Least: 1, Most: 1, Summary: "show the message that a flow becomes", Example: "parse-flow tcp,actions=drop", run: (*Client).parseFlowText},
		{Name: "parse-flows", Args: "FILE", Least: 1, Most: 1, Summary: "the same for the flows of a file", Example: "parse-flows flows.txt", run: (*Client).parseFlowFile},
	}
}

func groupCommands() []Command {
	file := many(parseGroupLine)
	return []Command{
		{Name: "add-group", Args: "SWITCH GROUP", Least: 2, Most: 2, Writes: true, Summary: "add a group",
			Example: "add-group br0 group_id=1,type=select,bucket=weight:50,actions=output:2,bucket=actions=output:3", run: either(one(parseGroup(openflow.GroupAdd)), file)},
		{Name: "add-groups", Args: "SWITCH FILE", Least: 2, Most: 2, Writes: true, Summary: "add the groups of a file, one a line",
			More: "A line may begin with add, modify or delete.", Example: "add-groups br0 groups.txt", run: file},
		{Name: "mod-group", Args: "SWITCH GROUP", Least: 2, Most: 2, Writes: true, Summary: "change a group", More: "--may-create: add it if it is not there. Open vSwitch has made a command for that, which weir takes, too.",
			Example: "mod-group br0 group_id=1,type=all,bucket=actions=output:2", run: either(one(parseGroupChange), file)},
		{Name: "del-groups", Args: "SWITCH [group_id=N]", Least: 1, Most: 2, Writes: true, Summary: "delete a group, or all", Example: "del-groups br0 group_id=1",
			aliases: []string{"del-group"}, run: either(one(parseGroupDelete), file)},
		{Name: "parse-group", Args: "GROUP", Least: 1, Most: 1, Summary: "show the message that a group becomes", Example: "parse-group group_id=1,type=all", run: (*Client).parseGroupText},
		{Name: "add-meter", Args: "SWITCH METER", Least: 2, Most: 2, Writes: true, Summary: "add a meter", Example: "add-meter br0 meter=1,kbps,burst,band=type=drop,rate=1000,burst_size=100",
			run: meterMod(openflow.MeterAdd)},
		{Name: "mod-meter", Args: "SWITCH METER", Least: 2, Most: 2, Writes: true, Summary: "change a meter", Example: "mod-meter br0 meter=1,kbps,band=type=drop,rate=2000", run: meterMod(openflow.MeterModify)},
		{Name: "del-meters", Args: "SWITCH [meter=N]", Least: 1, Most: 2, Writes: true, Summary: "delete a meter, or all", Example: "del-meters br0 meter=1", aliases: []string{"del-meter"}, run: meterMod(openflow.MeterDelete)},
		{Name: "parse-meter", Args: "METER", Least: 1, Most: 1, Summary: "show the message that a meter becomes", Example: "parse-meter meter=1,kbps,band=type=drop,rate=1000", run: (*Client).parseMeterText},
	}
}

func otherCommands() []Command {
	return []Command{
		{Name: "bundle", Args: "SWITCH FILE", Least: 2, Most: 2, Writes: true, Summary: "carry out the lines of a file, all of them or none",
			More:    "A line is flow, group or packet-out, then what add-flows, add-groups and packet-out take.\nEach packet-out meets what the lines before it have changed. - is standard input.",
			Example: "bundle br0 changes.txt", run: (*Client).bundleFile},
		{Name: "mod-port", Args: "SWITCH PORT VERB", Least: 3, Most: 3, Writes: true, Summary: "change what a port does",
			More: "VERB: up, down, receive, no-receive, forward, no-forward, packet-in, no-packet-in, and\nflood, no-flood, stp, no-stp, receive-stp, no-receive-stp, which only OpenFlow 1.0 has: they are said in it.", Example: "mod-port br0 eth1 no-forward", run: (*Client).modPort},
		{Name: "mod-table", Args: "SWITCH TABLE SETTING", Least: 3, Most: 3, Writes: true, Summary: "nothing: OpenFlow 1.3 has no settings of tables",
			Example: "mod-table br0 0 drop", run: (*Client).modTable},
		{Name: "set-frags", Args: "SWITCH normal|drop|reassemble", Least: 2, Most: 2, Writes: true, Summary: "say what happens to IP fragments", Example: "set-frags br0 drop", run: (*Client).setFrags},
		{Name: "monitor", Args: "SWITCH [LENGTH] [invalid_ttl] [watch:FLOW...]", Least: 1, Most: 16, Summary: "print what the switch sends unasked",
			More: "LENGTH: how many bytes of a frame to send; without it no frames come. invalid_ttl: on OpenFlow 1.0 also those whose\n" +
				"TTL is over. -P chooses the form in which they come. watch: tells of flows that come, change and go:\n" +
				"watch:!initial,!own,table=0,tcp leaves out those there and what this connection does, and chooses by table and match.\n" +
				"Prints on standard error, as ovs-ofctl does.",
			Example: "monitor br0 65534", run: (*Client).monitor},
		{Name: "snoop", Args: "SWITCH", Least: 1, Most: 1, Summary: "print what the switch and its controllers say", More: "Prints on standard error, as ovs-ofctl does.",
			Example: "snoop br0", run: (*Client).snoop},
		{Name: "ping", Args: "SWITCH [BYTES]", Least: 1, Most: 2, Summary: "ten echo requests and how long their answers take", Example: "ping br0", run: (*Client).ping},
		{Name: "benchmark", Args: "SWITCH BYTES COUNT", Least: 3, Most: 3, Summary: "how many echo requests of that size are answered in a second, one after the other",
			Example: "benchmark br0 64 1000", run: (*Client).benchmark},
		{Name: "probe", Args: "SWITCH", Least: 1, Most: 1, Summary: "one echo request; the exit status says whether it was answered", Example: "probe tcp:127.0.0.1:6654", run: (*Client).probe},
		{Name: "ofp-print", Args: "HEX", Least: 1, Most: 1, Summary: "show a message given in hexadecimal", Example: "ofp-print 0414000800000001", run: (*Client).ofpPrint},
		{Name: "ofp-parse", Args: "FILE", Least: 1, Most: 1, Summary: "show the messages of a file", Example: "ofp-parse messages.bin", run: (*Client).ofpParse},
	}
}
