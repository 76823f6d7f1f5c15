// Slow path: the one table of settings that the YAML file and the command line share.

package agent

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// setting is one thing that can be set in a T: its YAML key, its flag, and the
// function that reads its text. Both ways of writing it call the same function, so
// they cannot mean different things.
type setting[T any] struct {
	key   string // in the YAML mapping of T; "mac-table.size" is size in the block mac-table
	flag  string // on the command line; empty: an option of the enclosing flag (--controller T,key=value)
	arg   string // what the value is, for help and errors
	help  string
	shape shape
	set   func(t *T, text string) error
	item  func(r *reader, n *yaml.Node, at string, t *T) // reads one element of a shapeItems list
}

// shape is the YAML form of a setting's value.
type shape uint8

const (
	shapeScalar shape = iota
	shapeList         // scalars; set is called for each
	shapeMap          // free keys; set is called with key=value for each
	shapeBlock        // set is called with "true", then the keys inside are read
	shapeItems        // mappings or scalars; item is called for each
)

// draft is a Config in the making.
type draft struct {
	Config
	bridges []*bridgeDraft
}

// bridgeDraft is a BridgeConfig in the making.
type bridgeDraft struct {
	BridgeConfig
	at          string          // its path in the file, or its place among the flags
	defaults    controllerDraft // what controllers get that say nothing themselves
	controllers []*controllerDraft
	portPaths   []string // where each of BridgeConfig.Ports was written
	listenPaths []string
	auxPaths    []string
}

// controllerDraft is a ControllerConfig in the making; nil means not given.
type controllerDraft struct {
	at                      string
	target                  Target
	minBackoff, maxBackoff  *duration
	inactivityProbe         *duration
	packetInRate, packetIns *int
	packetInRates           ReasonRates
	auxiliary               *int
}

// processSettings is the top level of the file.
func processSettings() []setting[draft] {
	return []setting[draft]{
		{key: "rundir", flag: "rundir", arg: "DIR", help: "folder of the sockets NAME.mgmt and NAME.ctl",
			set: func(d *draft, s string) error { return setPath(&d.RunDir, s) }},
		{key: "log.level", flag: "log-level", arg: "LEVEL", help: "least important lines to log: error, warn, info, debug",
			set: func(d *draft, s string) error { return setWord(&d.Log.Level, s, logLevels) }},
		{key: "log.format", flag: "log-format", arg: "FORMAT", help: "text or json",
			set: func(d *draft, s string) error { return setWord(&d.Log.Format, s, []string{"text", "json"}) }},
		{key: "log.file", flag: "log-file", arg: "FILE", help: "append the log to this file instead of standard error",
			set: func(d *draft, s string) error { return setPath(&d.Log.File, s) }},
		{key: "log.levels", flag: "log-levels", arg: "PART=LEVEL", shape: shapeMap,
			help: "another level for one part: " + strings.Join(logParts, ", "),
			set:  func(d *draft, s string) error { return d.setLogLevel(s) }},
		{key: "poll-cpus", flag: "poll-cpus", arg: "LIST", help: "processors that do nothing but look at ports, without end, such as 1 or 2,4-5: least latency; no --spin then",
			set: func(d *draft, s string) error { return setCPUs(&d.PollCPUs, s) }},
		{key: "bridges", shape: shapeItems, help: "the switches of this process", item: readBridge},
	}
}

// bridgeSettings is one entry of bridges.
func bridgeSettings() []setting[bridgeDraft] {
	return append([]setting[bridgeDraft]{
		{key: "name", flag: "name", arg: "NAME", help: "name of the bridge; a further --name begins another bridge",
			set: func(b *bridgeDraft, s string) error { return setName(&b.Name, s) }},
		{key: "dpid", flag: "dpid", arg: "HEX", help: "datapath id, up to 16 hex digits; if not given, made from the MAC, which comes from machine, run directory and name",
			set: func(b *bridgeDraft, s string) error { return setDPID(&b.DPID, s) }},
		{key: "mac", flag: "mac", arg: "MAC", help: "the bridge's own address",
			set: func(b *bridgeDraft, s string) error { return setMAC(&b.MAC, s) }},
		{key: "fail-mode", flag: "fail-mode", arg: "MODE", help: "standalone: the bridge begins with the entry of --table-miss, keeps it beside a controller that does not delete it, and puts it back when the controller is lost; secure: it has no entry of its own. What a controller did not permit is dropped with secure only",
			set: func(b *bridgeDraft, s string) error {
				return setWord((*string)(&b.FailMode), s, []string{"standalone", "secure"})
			}},
		{key: "table-miss", flag: "table-miss", arg: "ACTION", help: "what the first entry of a standalone bridge does: normal (learning switch), drop or controller",
			set: func(b *bridgeDraft, s string) error {
				return setWord((*string)(&b.TableMiss), s, []string{"normal", "drop", "controller"})
			}},
		{key: "tables", flag: "tables", arg: "N", help: "number of flow tables, 1 to 254",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.Tables, s, 1, 254) }},
		{key: "max-flows", flag: "max-flows", arg: "N", help: "most entries in one table",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.MaxFlows, s, 1, 1<<28) }},
		{key: "max-groups", flag: "max-groups", arg: "N", help: "most groups of each type",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.MaxGroups, s, 1, 1<<28) }},
		{key: "max-meters", flag: "max-meters", arg: "N", help: "most meters",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.MaxMeters, s, 1, 1<<28) }},
		{key: "max-paths", flag: "max-paths", arg: "N", help: "most flows that one worker remembers the way of, 100 to 160 bytes each while they are in use, 130 more through several tables",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.MaxPaths, s, 256, 1<<24-1) }},
		{key: "protocols", flag: "protocols", arg: "VERSION", shape: shapeList, help: "OpenFlow versions for controllers: OpenFlow10, OpenFlow13; tools may use both anyway",
			set: func(b *bridgeDraft, s string) error { return setProtocol(&b.Protocols, s) }},
		{key: "dp-desc", flag: "dp-desc", arg: "TEXT", help: "text that names the switch to controllers",
			set: func(b *bridgeDraft, s string) error { return setText(&b.DatapathDesc, s, 255) }},
		{key: "mfr-desc", flag: "mfr-desc", arg: "TEXT", help: "manufacturer in a description reply: controllers choose drivers by it",
			set: func(b *bridgeDraft, s string) error { return setText(&b.Desc.Manufacturer, s, 255) }},
		{key: "hw-desc", flag: "hw-desc", arg: "TEXT", help: "hardware in a description reply",
			set: func(b *bridgeDraft, s string) error { return setText(&b.Desc.Hardware, s, 255) }},
		{key: "sw-desc", flag: "sw-desc", arg: "TEXT", help: "software in a description reply",
			set: func(b *bridgeDraft, s string) error { return setText(&b.Desc.Software, s, 255) }},
		{key: "serial-desc", flag: "serial-desc", arg: "TEXT", help: "serial number in a description reply",
			set: func(b *bridgeDraft, s string) error { return setText(&b.Desc.Serial, s, 31) }},
		{key: "forward-bpdu", flag: "forward-bpdu", arg: "BOOL", help: "NORMAL forwards 01:80:c2:00:00:0x too",
			set: func(b *bridgeDraft, s string) error { return setBool(&b.ForwardBPDU, s) }},
		{key: "fragments", flag: "fragments", arg: "HOW", help: "IP fragments at the start, until a controller says otherwise: normal (they pass as they are), drop or reassemble",
			set: func(b *bridgeDraft, s string) error { return setFragments(&b.Fragments, s) }},
		{key: "packet-in-queue", flag: "packet-in-queue", arg: "N", help: "packet-ins that may wait for one controller",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.PacketInQueue, s, 1, 1<<20) }},
		{key: "buffers.number", flag: "buffers", arg: "N", help: "frames kept while a controller decides, 0 for none",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.Buffers.Number, s, 0, 65535) }},
		{key: "buffers.age", flag: "buffer-age", arg: "TIME", help: "after which a kept frame is forgotten",
			set: func(b *bridgeDraft, s string) error {
				return setDuration(&b.Buffers.Age, s, 10*millisecond, hour)
			}},
		{key: "spin", flag: "spin", arg: "TIME", help: "keep looking at ports that were busy for up to this time before sleeping: less latency, more processor time; 0s for never",
			set: func(b *bridgeDraft, s string) error { return setSpin(&b.Spin, s) }},
		{key: "mac-table.size", flag: "mac-table-size", arg: "N", help: "most addresses that NORMAL learns",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.MACTable.Size, s, 1, 1<<24) }},
		{key: "mac-table.age", flag: "mac-table-age", arg: "TIME", help: "silence after which an address is forgotten",
			set: func(b *bridgeDraft, s string) error { return setDuration(&b.MACTable.Age, s, second, 1000*hour) }},
		{key: "internal", flag: "internal", arg: "BOOL", shape: shapeBlock, help: "a network device named like the bridge on this host",
			set: func(b *bridgeDraft, s string) error { return b.setInternal(s) }},
		{key: "internal.addresses", flag: "internal-address", arg: "ADDRESS/LENGTH", shape: shapeList, help: "IP address of that device",
			set: func(b *bridgeDraft, s string) error { return b.addAddress(s) }},
		{key: "internal.mtu", flag: "internal-mtu", arg: "BYTES", help: "MTU of that device",
			set: func(b *bridgeDraft, s string) error { return setInt(&b.internal().MTU, s, 68, 65535) }},
		{key: "listen", flag: "listen", arg: "TARGET", shape: shapeList, help: "where tools and controllers connect: ptcp:[PORT][:HOST], pssl:, punix:PATH",
			set: func(b *bridgeDraft, s string) error { return b.addListener(s) }},
		{key: "listen-auxiliary", flag: "listen-auxiliary", arg: "TARGET", shape: shapeList, help: "where controllers that are connected open auxiliary connections",
			set: func(b *bridgeDraft, s string) error { return b.addAuxListener(s) }},
		{key: "tls.private-key", flag: "private-key", arg: "FILE", help: "PEM key of ssl: and pssl: connections",
			set: func(b *bridgeDraft, s string) error { return setPath(&b.TLS.PrivateKey, s) }},
		{key: "tls.certificate", flag: "certificate", arg: "FILE", help: "PEM certificate for that key",
			set: func(b *bridgeDraft, s string) error { return setPath(&b.TLS.Certificate, s) }},
		{key: "tls.ca-cert", flag: "ca-cert", arg: "FILE", help: "PEM certificate that signs the peers'",
			set: func(b *bridgeDraft, s string) error { return setPath(&b.TLS.CACert, s) }},
		{key: "controllers", flag: "controller", arg: "TARGET", shape: shapeItems, item: readController,
			help: "controller to call: tcp:HOST[:PORT], ssl:HOST[:PORT], unix:PATH; own settings follow as ,max-backoff=8s",
			set:  func(b *bridgeDraft, s string) error { return b.addController(s) }},
		{key: "ports", flag: "port", arg: "[NUM:]SPEC", shape: shapeItems, item: readPort,
			help: "port: eth1, xdp:eth1, tap:vm1, patch:p1,peer=p2, pcap:in.pcapng, wire:udp,..; then options such as ,tag=10; \"weir help ports\" has them all",
			set:  func(b *bridgeDraft, s string) error { return b.addPort(s) }},
	}, controllerDefaults()...)
}

// controllerSettings is one entry of controllers, and the options behind --controller.
func controllerSettings() []setting[controllerDraft] {
	return []setting[controllerDraft]{
		{key: "target", arg: "TARGET", help: "tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH",
			set: func(c *controllerDraft, s string) error { return c.setTarget(s) }},
		{key: "min-backoff", arg: "TIME", help: "pause before a controller is called again",
			set: func(c *controllerDraft, s string) error {
				return setOptDuration(&c.minBackoff, s, 10*millisecond, hour)
			}},
		{key: "max-backoff", arg: "TIME", help: "longest such pause, after it has doubled some times",
			set: func(c *controllerDraft, s string) error {
				return setOptDuration(&c.maxBackoff, s, 10*millisecond, hour)
			}},
		{key: "inactivity-probe", arg: "TIME", help: "silence after which a controller is probed, 0s for never",
			set: func(c *controllerDraft, s string) error { return setOptDuration(&c.inactivityProbe, s, 0, 24*hour) }},
		{key: "packet-in-rate", arg: "N", help: "packet-ins a second for each reason, 0 for no limit",
			set: func(c *controllerDraft, s string) error { return setOptInt(&c.packetInRate, s, 0, 1<<30) }},
		{key: "packet-in-rates", arg: "REASON=N", shape: shapeMap, help: "another rate for one reason: " + strings.Join(reasonWords[:], ", "),
			set: func(c *controllerDraft, s string) error { return c.packetInRates.set(s) }},
		{key: "packet-in-burst", arg: "N", help: "packet-ins at once under that limit",
			set: func(c *controllerDraft, s string) error { return setOptInt(&c.packetIns, s, 1, 1<<30) }},
		{key: "auxiliary", arg: "N", help: "auxiliary connections beside the main one, over which packet-ins are spread",
			set: func(c *controllerDraft, s string) error { return setOptInt(&c.auxiliary, s, 0, maxAuxiliary) }},
	}
}

// controllerDefaults are the settings of a controller (but its target) at the level
// of the bridge, where they hold for every controller that does not set its own.
func controllerDefaults() []setting[bridgeDraft] {
	var out []setting[bridgeDraft]
	for _, s := range controllerSettings()[1:] {
		out = append(out, setting[bridgeDraft]{key: s.key, flag: s.key, arg: s.arg, shape: s.shape, help: s.help,
			set: func(b *bridgeDraft, text string) error { return s.set(&b.defaults, text) }})
	}
	return out
}

// portSettings are the keys of one entry of ports; all but port are also options of
// the SPEC text; "weir help ports" tells them under the kinds that have them. What they
// may hold is ports.Spec's business, so they have no set.
func portSettings() []setting[portDraft] {
	return []setting[portDraft]{
		{key: "port", arg: "[NUM:]SPEC", help: "what the port stands on"},
		{key: "name", arg: "NAME", help: "name in the bridge"},
		{key: "mtu", arg: "BYTES", help: "largest payload; left out: what the device has"},
		{key: "tag", arg: "VLAN", help: "VLAN of an access port, native VLAN of the native modes"},
		{key: "trunks", arg: "VLANS", shape: shapeList, help: "VLANs that a trunk carries, as 1;2;10-20; left out: all"},
		{key: "vlan-mode", arg: "MODE", help: "access, trunk, native-tagged or native-untagged; left out: access with a tag, else trunk"},
		{key: "flood", arg: "yes|no", help: "no: left out when frames are flooded (default yes)"},
		{key: "offload", arg: "yes|no", help: "no: checksums and segmentation always in software (default yes)"},
		{key: "mode", arg: "native|copy|generic", help: "where frames are taken: in the driver or not at all, in the driver with a copy, or in front of the host's stack; the best that the driver has, unless told"},
		{key: "ring", arg: "FRAMES|no", help: "how many frames may wait in memory shared with the kernel (default 8192, for xdp 2048, and up to 32768 when a burst did not fit; no: they are copied)"},
		{key: "readers", arg: "N", help: "how many processors may take frames in at once (default 1); frames of a flow stay in order"},
		{key: "link-rate", arg: "RATE", help: "rate that the queues share; left out: the device's speed"},
		{key: "queues", arg: "ID:max-rate=RATE", shape: shapeItems, item: readQueue, help: "a queue of the port, with its rates"},
		{key: "address", arg: "ADDRESS/LENGTH", shape: shapeList, help: "IP address; again for a further one"},
		{key: "mac", arg: "MAC", help: "the device's own address"},
		{key: "peer", arg: "NAME", help: "the port at the other end"},
		{key: "local", arg: "ADDRESS", help: "wire:udp, wire:unixgram: own end"},
		{key: "remote", arg: "ADDRESS", help: "wire:udp, wire:unixgram: other end"},
		{key: "listen", arg: "ADDRESS", help: "wire:tcp, wire:unix: wait here for the other end"},
		{key: "connect", arg: "ADDRESS", help: "wire:tcp, wire:unix: call the other end"},
		{key: "out", arg: "FILE", help: "record what leaves the port"},
		{key: "rate", arg: "real|fast|N", help: "replay in real time (default), as fast as the switch takes it, or N frames a second"},
		{key: "loop", arg: "N|forever", help: "how often to replay (default 1)"},
	}
}

// findSetting returns the setting of a whole key, or nil.
func findSetting[T any](settings []setting[T], key string) *setting[T] {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}

// knownKeys lists the keys that may stand in a block, blocks inside included.
func knownKeys[T any](settings []setting[T], prefix string) []string {
	var keys []string
	seen := map[string]bool{}
	for _, s := range settings {
		rest, ok := strings.CutPrefix(s.key, prefix)
		if key, _, _ := strings.Cut(rest, "."); ok && key != "" && !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}
