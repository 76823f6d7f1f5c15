package agent

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const exampleFile = "../examples/config/weir.yaml"

func loadText(text string) (*Config, error) { return ParseConfig("w.yaml", []byte(text)) }

// loadFlags reads a command line the way "weir run" does.
func loadFlags(args ...string) (*Config, error) {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := NewFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	return f.Config()
}

// TestConfigErrors gives the exact words for each mistake: they are what the user has.
func TestConfigErrors(t *testing.T) {
	const br0 = "bridges:\n- name: br0\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", `w.yaml: is empty: expected at least one bridge, like "bridges: [{name: br0}]"`},
		{"only a comment", "# nothing\n", `w.yaml: is empty: expected at least one bridge, like "bridges: [{name: br0}]"`},
		{"null", "~\n", `w.yaml: is empty: expected at least one bridge, like "bridges: [{name: br0}]"`},
		{"no bridge", "rundir: /run/weir\n", `w.yaml:1: bridges: there is no bridge: expected at least one, like "bridges: [{name: br0}]"`},
		{"not YAML", "bridges: [\n", `w.yaml:1: is not YAML: a value is missing, or a [ or { is not closed (did not find expected node content): "bridges: ["`},
		{"tab", "bridges:\n\t- name: br0\n", `w.yaml:2: is not YAML: indent with spaces, not with tabs (found character that cannot start any token): "\t- name: br0"`},
		{"two keys in a line", "bridges:\n- name: br0 dpid: 1\n", `w.yaml:2: is not YAML: a second ": " in one line: put quotes around the text, or begin the second key in a line of its own, indented as the others (mapping values are not allowed in this context): "- name: br0 dpid: 1"`},
		{"indentation", "bridges:\n- name: br0\n dpid: 1\n", `w.yaml:3: is not YAML: the line is not indented as its neighbours: keys that belong together begin in the same column (did not find expected key): " dpid: 1"`},
		{"indented too far", "bridges:\n- name: br0\n   ports:\n", `w.yaml:3: is not YAML: the line is not indented as its neighbours: keys that belong together begin in the same column (mapping values are not allowed in this context): "   ports:"`},
		{"an open bracket", "bridges: [{name: br0}\nlog: {level: info}\n", `w.yaml:1: is not YAML: a [ or { is not closed, or a comma is missing in it (did not find expected ',' or ']'): "bridges: [{name: br0}"`},
		{"an open quote", "bridges:\n- name: \"br0\n", `w.yaml:2: is not YAML: a quote is not closed (found unexpected end of stream): "- name: \"br0"`},
		{"a backslash", "bridges:\n- dp-desc: \"a\\d\"\n", `w.yaml:2: is not YAML: a backslash within "..." begins an escape: write the text within '...' (found unknown escape character): "- dp-desc: \"a\\d\""`},
		{"an @", br0 + "  dp-desc: @me\n", `w.yaml:3: is not YAML: put quotes around a text that begins with @, ` + "` or % (found character that cannot start any token): \"  dp-desc: @me\""},
		{"a tab further down", br0 + "  # a comment\n  ports:\n  - port: \"1:eth1\"\n\t- port: \"2:eth2\"\n", `w.yaml:6: is not YAML: indent with spaces, not with tabs (found character that cannot start any token): "\t- port: \"2:eth2\""`},
		{"no space in the first key", "bridges:\n- name:br0\n  dpid: 1\n", `w.yaml:2: is not YAML: a space is missing behind the colon: write "name: ..." (mapping values are not allowed in this context): "- name:br0"`},
		{"no space in a later key", br0 + "  tables:4\n  dpid: 1\n", `w.yaml:3: is not YAML: a space is missing behind the colon: write "tables: ..." (could not find expected ':'): "  tables:4"`},
		{"no space, but YAML", "bridges:\n- name:br0\n", `w.yaml:2: bridges[0]: expected keys and values, like "name: br0", found "name:br0": put a space behind the colon, as in "name: br0"`},
		{"no space at the top", "rundir:x\n", `w.yaml:1: expected keys and values, like "name: br0", found "rundir:x": put a space behind the colon, as in "rundir: x"`},
		{"indentation further down", "# weir\n\nlog: {level: info}\n" + br0 + "  ports:\n  - port: \"1:eth1\"\n   - port: \"2:eth2\"\n# end\n",
			`w.yaml:8: is not YAML: the line is not indented as its neighbours: keys that belong together begin in the same column (did not find expected key): "   - port: \"2:eth2\""`},
		{"a list", "- br0\n", `w.yaml:1: expected keys and values, like "name: br0", found a list`},
		{"a word", "br0\n", `w.yaml:1: expected keys and values, like "name: br0", found "br0"`},
		{"second document", br0 + "---\n" + br0, `w.yaml:3: a second YAML document begins here: put everything into one and delete this line`},
		{"unknown key", br0 + "  fail-mod: secure\n", `w.yaml:3: bridges[0].fail-mod: unknown key, did you mean "fail-mode"?`},
		{"unknown key far off", "colour: red\n" + br0, `w.yaml:1: colour: unknown key: expected one of rundir, log, poll-cpus, bridges`},
		{"unknown key in a block", br0 + "  mac-table: {sise: 3}\n", `w.yaml:3: bridges[0].mac-table.sise: unknown key, did you mean "size"?`},
		{"duplicate key", br0 + "  tables: 1\n  tables: 2\n", `w.yaml:4: bridges[0].tables: the key stands here a second time, the first is in line 3: keep one of them`},
		{"duplicate top key", br0 + "bridges: []\n", `w.yaml:3: bridges: the key stands here a second time, the first is in line 1: keep one of them`},
		{"no value", br0 + "  tables:\n", `w.yaml:3: bridges[0].tables: has no value: write N or leave the key out`},
		{"a list for a number", br0 + "  tables: [1]\n", `w.yaml:3: bridges[0].tables: expected N, found a list`},
		{"a mapping for a list", br0 + "  ports: {a: b}\n", `w.yaml:3: bridges[0].ports: expected a list, one entry with a dash for each, found keys and values`},
		{"a word for a bridge", "bridges: [br0]\n", `w.yaml:1: bridges[0]: expected keys and values, like "name: br0", found "br0"`},
		{"an alias", "bridges: &b\n- name: br0\n", `w.yaml:1: bridges: YAML anchors and aliases are not read: write the value out`},
		{"a tag", br0 + "  tables: !!str 4\n", `w.yaml:3: bridges[0].tables: has the YAML tag !!str: write the plain value`},
		{"no name", "bridges:\n- tables: 4\n", `w.yaml:2: bridges[0]: the bridge has no name: add one, like "name: br0"`},
		{"a name with a slash", "bridges: [{name: a/b}]\n", `w.yaml:1: bridges[0].name: "a/b" has the character '/': expected letters, digits, dots, hyphens and underscores`},
		{"a long name", "bridges: [{name: abcdefghijklmnop}]\n", `w.yaml:1: bridges[0].name: "abcdefghijklmnop" has 16 bytes: expected 1 to 15, what a network device may have`},
		{"same bridge twice", br0 + "- name: br0\n", `w.yaml:3: bridges[1].name: the name br0 is taken by the bridge in line 2: choose another`},
		{"dpid 0", br0 + "  dpid: 0\n", `w.yaml:3: bridges[0].dpid: the datapath id 0 confuses controllers: expected 1 to 16 hex digits, like 0000000000000001, or leave it out to have one made from the MAC`},
		{"dpid too long", br0 + "  dpid: \"00000000000000001\"\n", `w.yaml:3: bridges[0].dpid: "00000000000000001" has 17 digits, which is too long: expected 1 to 16 hex digits, like 0000000000000001`},
		{"dpid not hex", br0 + "  dpid: first\n", `w.yaml:3: bridges[0].dpid: "first" is not a datapath id: expected 1 to 16 hex digits, like 0000000000000001`},
		{"same dpid twice", "bridges:\n- {name: a, dpid: 1}\n- {name: b, dpid: 01}\n", `w.yaml:3: bridges[1].dpid: the datapath id 0000000000000001 is that of the bridge in line 2: controllers would mix them up, choose another`},
		{"MAC", br0 + "  mac: \"01:00:00:00:00:01\"\n", `w.yaml:3: bridges[0].mac: 01:00:00:00:00:01 cannot be a bridge's address: expected one that is neither zero nor multicast, like 02:00:00:00:00:01`},
		{"short MAC", br0 + "  mac: \"02:01\"\n", `w.yaml:3: bridges[0].mac: "02:01" is not an Ethernet address: expected six pairs of hex digits, like 02:00:00:00:00:01`},
		{"fail mode", br0 + "  fail-mode: secured\n", `w.yaml:3: bridges[0].fail-mode: "secured" is not known, did you mean "secure"? (expected standalone or secure)`},
		{"table-miss", br0 + "  table-miss: flood\n", `w.yaml:3: bridges[0].table-miss: "flood" is not known: expected normal, drop or controller`},
		{"tables", br0 + "  tables: 255\n", `w.yaml:3: bridges[0].tables: 255 is out of range: expected 1 to 254`},
		{"tables in words", br0 + "  tables: many\n", `w.yaml:3: bridges[0].tables: "many" is not a number: expected 1 to 254`},
		{"protocol", br0 + "  protocols: [OpenFlow14]\n", `w.yaml:3: bridges[0].protocols[0]: "OpenFlow14" is not spoken to controllers: expected OpenFlow10, OpenFlow13 or both`},
		{"bool", br0 + "  forward-bpdu: maybe\n", `w.yaml:3: bridges[0].forward-bpdu: "maybe" is neither true nor false`},
		{"fragments", br0 + "  fragments: reasemble\n", `w.yaml:3: bridges[0].fragments: "reasemble" is not known, did you mean "reassemble"? (expected normal, drop or reassemble)`},
		{"duration without unit", br0 + "  mac-table: {age: 300}\n", `w.yaml:3: bridges[0].mac-table.age: "300" is not a time: the unit is missing, write 300s for seconds`},
		{"bad duration", br0 + "  max-backoff: soon\n", `w.yaml:3: bridges[0].max-backoff: "soon" is not a time: expected a number with its unit, like 500ms, 5s or 2m`},
		{"negative duration", br0 + "  max-backoff: -1s\n", `w.yaml:3: bridges[0].max-backoff: -1s is out of range: expected 10ms to 1h0m0s`},
		{"reason", br0 + "  packet-in-rates: {no_match: 5}\n", `w.yaml:3: bridges[0].packet-in-rates.no_match: "no_match" is not known, did you mean "no-match"? (expected no-match, action or invalid-ttl)`},
		{"auxiliaries", br0 + "  auxiliary: 9\n", `w.yaml:3: bridges[0].auxiliary: 9 is out of range: expected 0 to 8`},
		{"auxiliary listener", "bridges:\n- {name: a, listen: [\"ptcp:7\"]}\n- name: b\n  listen-auxiliary: [\"ptcp:7\"]\n", `w.yaml:4: bridges[1].listen-auxiliary[0]: :7 is already listened on, see line 2: choose another port or path`},
		{"backoffs", br0 + "  controllers:\n  - {target: \"tcp:a\", min-backoff: 9s, max-backoff: 2s}\n", `w.yaml:4: bridges[0].controllers[0]: min-backoff 9s is longer than max-backoff 2s: make it at most that`},
		{"target without scheme", br0 + "  controllers: [localhost]\n", `w.yaml:3: bridges[0].controllers[0]: target "localhost": expected a scheme and a colon: write tcp:HOST[:PORT], ssl:HOST[:PORT] or unix:PATH to dial, ptcp:[PORT][:HOST], pssl:[PORT][:HOST] or punix:PATH to listen`},
		{"passive controller", br0 + "  controllers: [\"ptcp:6653\"]\n", `w.yaml:3: bridges[0].controllers[0]: target "ptcp:6653" waits for connections: put it under listen, or write tcp:... to call a controller`},
		{"active listener", br0 + "  listen:\n  - tcp:127.0.0.1\n", `w.yaml:4: bridges[0].listen[0]: target "tcp:127.0.0.1" calls somebody: put it under controllers, or write ptcp:... to listen`},
		{"controller twice", br0 + "  controllers:\n  - tcp:127.0.0.1\n  - tcp:127.0.0.1:6653\n", `w.yaml:5: bridges[0].controllers[1]: tcp:127.0.0.1:6653 is already called, see line 4: keep one`},
		{"controller without target", br0 + "  controllers:\n  - max-backoff: 2s\n", `w.yaml:4: bridges[0].controllers[0]: the controller has no target: add one, like "target: tcp:127.0.0.1:6653"`},
		{"controller option", br0 + "  controllers: [\"tcp:a,max-backof=2s\"]\n", `w.yaml:3: bridges[0].controllers[0]: unknown option "max-backof=2s" behind the target: write max-backoff=VALUE`},
		{"listener twice", "bridges:\n- {name: a, listen: [\"ptcp:\"]}\n- name: b\n  listen: [\"ptcp:6653\"]\n", `w.yaml:4: bridges[1].listen[0]: :6653 is already listened on, see line 2: choose another port or path`},
		{"listener on all and on one", "bridges:\n- {name: a, listen: [\"ptcp:6654\"]}\n- name: b\n  listen: [\"ptcp:6654:127.0.0.1\"]\n", `w.yaml:4: bridges[1].listen[0]: ptcp:6654:127.0.0.1 and ptcp:6654 in line 2 exclude each other, for one of them takes port 6654 on all addresses: keep one, or choose another port`},
		{"listener on one and on all", "bridges:\n- {name: a, listen: [\"ptcp:6654:[::1]\"]}\n- name: b\n  listen: [\"ptcp:6654:0.0.0.0\"]\n", `w.yaml:4: bridges[1].listen[0]: ptcp:6654:0.0.0.0 and ptcp:6654:[::1] in line 2 exclude each other, for one of them takes port 6654 on all addresses: keep one, or choose another port`},
		{"ssl without files", br0 + "  controllers:\n  - ssl:127.0.0.1\n", `w.yaml:4: bridges[0].controllers[0]: an encrypted connection needs tls with private-key, certificate and ca-cert: add them to the bridge`},
		{"half of TLS", br0 + "  tls: {private-key: k.pem}\n", `w.yaml:3: bridges[0].tls.private-key: private-key and certificate belong together: give both`},
		{"address without length", br0 + "  internal: {addresses: [10.0.0.1]}\n", `w.yaml:3: bridges[0].internal.addresses[0]: "10.0.0.1" is not an address with its prefix length: expected one like 10.0.0.254/24 or fd00::1/64`},
		{"internal without value", br0 + "  internal:\n", `w.yaml:3: bridges[0].internal: has no value: write keys and values in braces, or true or leave the key out`},
		{"port number twice", br0 + "  ports:\n  - 1:eth1\n  - 1:eth2\n", `w.yaml:5: bridges[0].ports[1]: the port number 1 is that of the port in line 4: choose another`},
		{"port name twice", br0 + "  ports:\n  - 1:eth1\n  - {port: \"2:eth2\", name: eth1}\n", `w.yaml:5: bridges[0].ports[1]: the port name eth1 is that of the port in line 4: choose another with name=`},
		{"device in two bridges", "bridges:\n- {name: a, ports: [eth1]}\n- name: b\n  ports: [eth1]\n", `w.yaml:4: bridges[1].ports[0]: the device eth1 is used by the port in line 2: it can be in one place only`},
		{"port number too large", br0 + "  ports: [\"65280:eth1\"]\n", `w.yaml:3: bridges[0].ports[0]: port "65280:eth1": "65280": a port number is 1 to 65279`},
		{"port number 0", br0 + "  ports: [\"0:eth1\"]\n", `w.yaml:3: bridges[0].ports[0]: port "0:eth1": "0": a port number is 1 to 65279`},
		{"bad VLAN", br0 + "  ports:\n  - port: 1:eth1\n    tag: 4096\n", `w.yaml:5: bridges[0].ports[0]: port "1:eth1,tag=4096": "tag=4096": a VLAN is 0 to 4095`},
		{"bad trunk", br0 + "  ports:\n  - port: 1:eth1\n    trunks: [1, 9-2]\n", `w.yaml:5: bridges[0].ports[0]: port "1:eth1,trunks=1;9-2": "trunks=1;9-2": trunks are VLANs and ranges from 0 to 4095, as 1;2;10-20`},
		{"patch without peer", br0 + "  ports:\n  - patch:p1\n", `w.yaml:4: bridges[0].ports[0]: port "patch:p1": "p1": a patch names the other end's patch, not itself: patch:to-br1,peer=to-br0`},
		{"patch to nowhere", br0 + "  ports:\n  - patch:p1,peer=p2\n", `w.yaml:4: bridges[0].ports[0]: there is no patch port p2: add patch:p2,peer=p1 to a bridge`},
		{"patch one-sided", br0 + "  ports:\n  - patch:p1,peer=p2\n  - patch:p2,peer=p3\n  - patch:p3,peer=p2\n", `w.yaml:4: bridges[0].ports[0]: the patch p2 names p3 as its peer, not p1: two ends name each other`},
		{"port without port", br0 + "  ports:\n  - tag: 5\n", `w.yaml:4: bridges[0].ports[0]: the port has no "port" key: add one, like "port: 1:eth1"`},
		{"port key", br0 + "  ports:\n  - {port: eth1, tagg: 5}\n", `w.yaml:4: bridges[0].ports[0].tagg: unknown key, did you mean "tag"?`},
		{"internal port elsewhere", br0 + "  ports: [\"internal:br1\"]\n", `w.yaml:3: bridges[0].ports[0]: an internal device has its bridge's name: write internal:br0`},
		{"internal twice", br0 + "  internal: true\n  ports: [\"internal:br0\"]\n", `w.yaml:4: bridges[0].ports[0]: the bridge has its internal device already: keep one of the two`},
		{"internal address twice", br0 + "  mac: \"02:00:00:00:00:01\"\n  ports: [\"internal:br0,mac=02:00:00:00:00:02\"]\n", `w.yaml:4: bridges[0].ports[0]: an internal device has its bridge's address: leave mac out in one of the two places`},
		{"processors in words", "poll-cpus: all\n" + br0, `w.yaml:1: poll-cpus: "all" names no processors: expected numbers and ranges, like 1 or 2,4-5`},
		{"processor too high", "poll-cpus: 1-1024\n" + br0, `w.yaml:1: poll-cpus: processor 1024 is out of range: expected 0 to 1023`},
		{"processors backwards", "poll-cpus: 3-2\n" + br0, `w.yaml:1: poll-cpus: the range 3-2 is empty: expected the lower number first`},
		{"log level", "log: {level: loud}\n" + br0, `w.yaml:1: log.level: "loud" is not known: expected error, warn, info or debug`},
		{"log part", "log: {levels: {chanel: debug}}\n" + br0, `w.yaml:1: log.levels.chanel: "chanel" is not known, did you mean "channel"? (expected agent, switch, channel, port, fdb or control)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := loadText(c.text)
			if err == nil || cfg != nil {
				t.Fatalf("accepted:\n%s", c.text)
			}
			if !strings.Contains("\n"+err.Error()+"\n", "\n"+c.want+"\n") {
				t.Errorf("got\n  %s\nwant\n  %s", err, c.want)
			}
			if n := strings.Count(err.Error(), "\n"); n > 1 {
				t.Errorf("%d lines for one mistake:\n%s", n+1, err)
			}
		})
	}
}

// TestEveryMistakeIsTold: a file with three mistakes needs one round of mending.
func TestEveryMistakeIsTold(t *testing.T) {
	_, err := loadText("bridges:\n- name: br0\n  tables: 0\n  fail-mode: x\n  ports: [\"0:eth1\"]\n")
	var all ConfigErrors
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, e := range all {
		if e.Line != i+3 || e.File != "w.yaml" || e.Key == "" {
			t.Errorf("mistake %d: %+v", i, e)
		}
	}
}

// TestEveryMistakeOfAPortIsTold: an unknown key, or a word that is wrong, hides none of the others. What the words
// mean together is not judged then: the key that is unknown may be the one that is missing.
func TestEveryMistakeOfAPortIsTold(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"  - port: 1:eth1\n    tagg: 5\n    mtu: 3\n    flood: maybe\n    queues: [{id: 0, max-rate: 1, min-rat: 2}]\n", []string{
			`w.yaml:4: bridges[0].ports[0].tagg: unknown key, did you mean "tag"?`,
			`w.yaml:5: bridges[0].ports[0]: port "1:eth1,mtu=3,flood=maybe": "mtu=3": an MTU is 68 to 65535 bytes`,
			`w.yaml:6: bridges[0].ports[0]: port "1:eth1,mtu=3,flood=maybe": "flood=maybe": yes or no`,
			`w.yaml:7: bridges[0].ports[0].queues[0].max-rate: "1" is not a rate: expected a number with its unit, like 500kbit, 10Mbit or 1.5Gbit`,
			`w.yaml:7: bridges[0].ports[0].queues[0].min-rat: unknown key, did you mean "min-rate"?`,
		}},
		{"  - {tagg: 5, vlan-mode: x}\n", []string{
			`w.yaml:3: bridges[0].ports[0].tagg: unknown key, did you mean "tag"?`,
			`w.yaml:3: bridges[0].ports[0]: the port has no "port" key: add one, like "port: 1:eth1"`,
		}},
		{"  - {port: \"patch:a\", peeer: b, tag: 5, trunks: 6}\n", []string{
			`w.yaml:3: bridges[0].ports[0].peeer: unknown key, did you mean "peer"?`,
		}},
		{"  - 1:eth1,tga=3,mtu=9,tag=5,trunks=6\n", []string{
			`w.yaml:3: bridges[0].ports[0]: port "1:eth1,tga=3,mtu=9,tag=5,trunks=6": "mtu=9": an MTU is 68 to 65535 bytes`,
			`w.yaml:3: bridges[0].ports[0]: port "1:eth1,tga=3,mtu=9,tag=5,trunks=6": "tga": no such option, did you mean "tag"?`,
		}},
		{"  - {port: \"eth1\", tga: 5}\n  - {port: \"eth1\"}\n", []string{
			`w.yaml:3: bridges[0].ports[0].tga: unknown key, did you mean "tag"?`,
			`w.yaml:4: bridges[0].ports[1]: the device eth1 is used by the port in line 3: it can be in one place only`,
			`w.yaml:4: bridges[0].ports[1]: the port name eth1 is that of the port in line 3: choose another with name=`,
		}},
	} {
		_, err := loadText("bridges:\n- ports:\n" + c.text + "  name: br0\n")
		got := strings.Split(fmt.Sprint(err), "\n")
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
		}
	}
	_, err := loadFlags("--port", "eth1,mtu=1,tag=x")
	want := `--port eth1,mtu=1,tag=x: "mtu=1": an MTU is 68 to 65535 bytes` + "\n" +
		`--port eth1,mtu=1,tag=x: "tag=x": a VLAN is 0 to 4095`
	if fmt.Sprint(err) != want {
		t.Errorf("got\n  %v\nwant\n  %s", err, want)
	}
	for text, want := range map[string]string{
		"1:eth1,link_rate=1Gbit": `"link_rate": no such option, did you mean "link-rate"?`,
		"eth1,vlan_mod=trunk":    `"vlan_mod": no such option, did you mean "vlan-mode"?`,
		"eth1,speed=7":           `"speed": no such option; afpacket takes ring, readers, name, mtu, tag, trunks, vlan-mode, flood, offload, link-rate, queue`,
	} {
		if _, err := loadFlags("--port", text); fmt.Sprint(err) != "--port "+text+": "+want {
			t.Errorf("got\n  %v\nwant\n  %s", err, want)
		}
	}
	a, err1 := ParsePort("eth1,tag=3,vlan_mode=access")
	b, err2 := ParsePort("eth1,tag=3,vlan-mode=access")
	if err1 != nil || err2 != nil || a.String() != b.String() {
		t.Errorf("two spellings: %s, %s, %v %v", a.String(), b.String(), err1, err2)
	}
}

func TestFlagErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--dpid", "0"}, `--dpid 0: the datapath id 0 confuses controllers: expected 1 to 16 hex digits, like 0000000000000001, or leave it out to have one made from the MAC`},
		{[]string{"--port", "1:eth1", "--port", "1:eth2"}, `--port 1:eth2: the port number 1 is that of the port in --port 1:eth1: choose another`},
		{[]string{"--name", "a", "--name", "a"}, `--name a: the name a is taken by the bridge in --name a: choose another`},
		{[]string{"--controller", "tcp:a", "--min-backoff", "9s", "--max-backoff", "1s"}, `--controller tcp:a: min-backoff 9s is longer than max-backoff 1s: make it at most that`},
		{[]string{"--listen", "pssl:"}, `--listen pssl:: an encrypted connection needs tls with private-key, certificate and ca-cert: add them to the bridge`},
		{[]string{"--log-levels", "port"}, `--log-levels port: "port" is not PART=LEVEL, like channel=debug`},
		{[]string{"--listen", "ptcp:1", "--listen", "ptcp:1"}, `--listen ptcp:1: ptcp:1 is listed twice: keep one`},
	} {
		if _, err := loadFlags(c.args...); err == nil || err.Error() != c.want {
			t.Errorf("%q: got\n  %v\nwant\n  %s", c.args, err, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := loadText("bridges:\n- name: br0\n  controllers: [\"tcp:10.0.0.1\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	want := BridgeConfig{Name: "br0", FailMode: FailStandalone, TableMiss: MissNormal, Tables: 254, MaxFlows: 1_000_000, MaxGroups: 1_000_000, MaxMeters: 1 << 18, MaxPaths: 1 << 20,
		Protocols: []string{"OpenFlow10", "OpenFlow13"}, DatapathDesc: "br0", PacketInQueue: 512, Buffers: BufferConfig{Age: 5 * second},
		Spin: 50 * microsecond, MACTable: MACTableConfig{Size: 8192, Age: 300 * second},
		Controllers: []ControllerConfig{{Target: Target{Scheme: "tcp", Host: "10.0.0.1", Port: 6653},
			MinBackoff: second, MaxBackoff: 8 * second, InactivityProbe: 5 * second, PacketInBurst: 100}}}
	if !reflect.DeepEqual(c.Bridges, []BridgeConfig{want}) {
		t.Errorf("got  %+v\nwant %+v", c.Bridges[0], want)
	}
	if c.RunDir != "" || c.Log.Level != "info" || c.Log.Format != "text" {
		t.Errorf("process: %+v", c)
	}
}

func TestControllerTakesTheBridgesSettings(t *testing.T) {
	c, err := loadText("bridges:\n- name: br0\n  max-backoff: 3s\n  packet-in-rate: 9\n" +
		"  controllers: [\"tcp:a,max-backoff=2s,inactivity-probe=0s\", \"tcp:b\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	a, b := c.Bridges[0].Controllers[0], c.Bridges[0].Controllers[1]
	if a.MaxBackoff != 2*second || a.InactivityProbe != 0 || a.PacketInRate != 9 {
		t.Errorf("own setting lost: %+v", a)
	}
	if a.PacketInRates != (ReasonRates{}) || b.PacketInRates != (ReasonRates{}) {
		t.Errorf("rates by reason: %+v, %+v", a, b)
	}
	if b.MaxBackoff != 3*second || b.InactivityProbe != 5*second || b.PacketInRate != 9 {
		t.Errorf("bridge's setting lost: %+v", b)
	}
}

// keysOf collects every key of a YAML tree, without the numbers of list elements.
func keysOf(n *yaml.Node, path string, out map[string]bool) {
	switch n.Kind {
	case yaml.DocumentNode, yaml.SequenceNode:
		for _, e := range n.Content {
			keysOf(e, path, out)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := joinPath(path, n.Content[i].Value)
			out[key] = true
			keysOf(n.Content[i+1], key, out)
		}
	}
}

// schemaKeys lists every key that a file may hold.
func schemaKeys() (keys []string) {
	for _, s := range processSettings() {
		keys = append(keys, s.key)
	}
	for _, s := range bridgeSettings() {
		keys = append(keys, "bridges."+s.key)
	}
	for _, s := range controllerSettings() {
		keys = append(keys, "bridges.controllers."+s.key)
	}
	for _, s := range portSettings() {
		keys = append(keys, "bridges.ports."+s.key)
	}
	for _, s := range queueSettings() {
		keys = append(keys, "bridges.ports.queues."+s.key)
	}
	return keys
}

// TestExampleHoldsEveryKey: the commented file in examples/config is the reference, so
// it is right and complete, and each of its keys has a comment near it.
func TestExampleHoldsEveryKey(t *testing.T) {
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LoadConfig(exampleFile); err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	keysOf(&doc, "", have)
	for _, key := range schemaKeys() {
		if !have[key] {
			t.Errorf("%s is missing in %s", key, exampleFile)
		}
	}
	for _, s := range processSettings() {
		mentions(t, string(text), s.flag)
	}
	for _, s := range bridgeSettings() {
		if s.flag != "name" {
			mentions(t, string(text), s.flag)
		}
	}
}

func mentions(t *testing.T, text, name string) {
	if name != "" && !strings.Contains(text, "--"+name) {
		t.Errorf("the example does not tell the flag --%s", name)
	}
}

// TestEachKeyHasItsFlag walks the schema: every key is set by a flag of its own, or is an
// option of the flag that stands for the list it is in.
func TestEachKeyHasItsFlag(t *testing.T) {
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	NewFlags(fs)
	check := func(key, name string) {
		if key != "bridges" && fs.Lookup(name) == nil {
			t.Errorf("%s has no flag (%q)", key, name)
		}
	}
	for _, s := range processSettings() {
		check(s.key, s.flag)
	}
	for _, s := range bridgeSettings() {
		check(s.key, s.flag)
		if s.help == "" || s.arg == "" {
			t.Errorf("%s has no help", s.key)
		}
	}
	values := map[string]string{"min-backoff": "1s", "max-backoff": "2s", "inactivity-probe": "3s", "packet-in-rate": "4", "packet-in-burst": "5",
		"packet-in-rates": "no-match=6", "auxiliary": "2"}
	for _, s := range controllerSettings()[1:] {
		b := &bridgeDraft{}
		if err := b.addController("tcp:a," + s.key + "=" + values[s.key]); err != nil {
			t.Errorf("--controller does not take %s: %v", s.key, err)
		}
	}
}

// TestPortKeysAreOptions: what stands as a key may stand in the SPEC text, and neither
// side has a word that the other lacks.
func TestPortKeysAreOptions(t *testing.T) {
	specs := map[string]string{
		"name": "eth1,name=x", "mtu": "eth1,mtu=1400", "tag": "eth1,tag=1", "trunks": "eth1,trunks=1;2",
		"vlan-mode": "eth1,vlan-mode=trunk", "flood": "eth1,flood=no", "offload": "eth1,offload=no", "ring": "eth1,ring=4096", "readers": "eth1,readers=4", "mode": "xdp:eth1,mode=copy",
		"link-rate": "eth1,link-rate=1Gbit,queue=0", "queues": "eth1,queue=7:min-rate=1Mbit:max-rate=1500kbit,queue=0",
		"address": "internal:br0,address=10.0.0.1/8", "peer": "patch:a,peer=b",
		"mac":   "tap:a,mac=02:00:00:00:00:01",
		"local": "wire:udp,local=127.0.0.1:1,remote=127.0.0.1:2", "remote": "wire:udp,remote=127.0.0.1:1,local=127.0.0.1:2",
		"listen": "wire:unix,listen=/s", "connect": "wire:unix,connect=/s",
		"out": "pcap:a.pcap,out=b.pcap", "rate": "pcap:a.pcap,rate=fast", "loop": "pcap:a.pcap,loop=2",
	}
	for _, s := range portSettings()[1:] {
		p, err := ParsePort(specs[s.key])
		if err != nil {
			t.Errorf("%s: %v", s.key, err)
			continue
		}
		if again, err := ParsePort(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%s: %q does not read back: %v", s.key, p.String(), err)
		}
	}
	for _, kind := range []string{"eth1", "tap:a", "internal:a", "patch:a,peer=b", "pcap:a.pcap", "wire:unix,listen=/s"} {
		_, err := ParsePort(kind + ",nonsense=1")
		if err == nil {
			t.Fatal("nonsense accepted")
		}
		_, list, _ := strings.Cut(err.Error(), " takes ")
		for _, key := range strings.Split(list, ", ") {
			if key == "queue" {
				key = "queues"
			}
			if findSetting(portSettings(), key) == nil {
				t.Errorf("%s takes %q, which no YAML key sets", kind, key)
			}
		}
	}
}

// TestHelpTellsEveryPort: each kind has words and an example that is right, each option a form and words.
func TestHelpTellsEveryPort(t *testing.T) {
	kinds, common := PortKinds()
	for _, k := range kinds {
		if _, err := ParsePort(k.Form); err != nil || k.About == "" || len(k.Options) != len(k.Keys) {
			t.Errorf("%+v: %v", k, err)
		}
		for _, o := range append(k.Options, common...) {
			if key, value, _ := strings.Cut(o.Form, "="); key == "" || value == "" || o.Help == "" {
				t.Errorf("%s: %+v", k.Kind, o)
			}
		}
	}
	if len(kinds) < 8 {
		t.Errorf("%d kinds", len(kinds))
	}
}

// TestFileAndFlagsAgree gives one configuration in both ways and compares the values.
func TestFileAndFlagsAgree(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "w.yaml")
	text := `
rundir: ` + dir + `
poll-cpus: 2,5-7
log: {level: debug, format: json, file: /var/log/weir.log, levels: {channel: warn, port: error}}
bridges:
- name: br7
  dpid: "00000000000000ab"
  mac: "02:00:00:00:00:07"
  fail-mode: secure
  table-miss: drop
  tables: 9
  max-flows: 1000
  max-groups: 2000
  max-meters: 30
  max-paths: 500
  protocols: [OpenFlow13]
  dp-desc: seven
  mfr-desc: Weir Works
  hw-desc: board 7
  sw-desc: "1.2"
  serial-desc: S7
  forward-bpdu: true
  fragments: reassemble
  packet-in-queue: 77
  buffers: {number: 256, age: 2s}
  spin: 70us
  mac-table: {size: 99, age: 30s}
  internal: {addresses: [10.0.0.1/24, "fd00::1/64"], mtu: 1400}
  listen: ["ptcp:6654:127.0.0.1", "punix:/run/x.sock", "pssl:[::1]"]
  listen-auxiliary: ["ptcp:6655", "pssl:6656"]
  tls: {private-key: /k, certificate: /c, ca-cert: /a}
  controllers:
  - {target: "tcp:[::1]:6653", min-backoff: 2s, max-backoff: 4s, inactivity-probe: 1s, packet-in-rate: 5, packet-in-burst: 6,
     packet-in-rates: {no-match: 7, action: 0}, auxiliary: 3}
  - ssl:example.net
  min-backoff: 100ms
  max-backoff: 3s
  inactivity-probe: 7s
  packet-in-rate: 50
  packet-in-burst: 60
  packet-in-rates: {invalid-ttl: 8}
  auxiliary: 1
  ports:
  - {port: "1:eth1", name: one, mtu: 1400, tag: 10, vlan-mode: access, flood: no, offload: no, ring: 512, readers: 2}
  - {port: "2:eth2", trunks: [1, 5-7]}
  - {port: eth3, link-rate: 1Gbit, queues: [{id: 3, max-rate: 100Mbit}, {id: 0, min-rate: 0.5Mbit}, "9:max-rate=1kbit"]}
  - {port: "xdp:eth4", mode: generic, ring: 4096}
  - {port: "patch:a", peer: b}
  - {port: "tap:t", mac: "02:00:00:00:00:09"}
  - {port: "wire:udp", local: "127.0.0.1:1", remote: "127.0.0.1:2"}
  - {port: "wire:unix", listen: /tmp/vm.sock}
  - {port: "wire:tcp", connect: "127.0.0.1:9", name: w2}
  - {port: "pcap:in.pcap", out: out.pcap, rate: fast, loop: 3}
- name: br8
  ports: ["patch:b,peer=a", {port: "internal:br8", address: [10.1.0.1/24]}]
`
	text = strings.Replace(text, `"pssl:[::1]"`, `"pssl:6640:[::1]"`, 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	byFile, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	byFlags, err := loadFlags("--rundir", dir, "--log-level", "debug", "--log-format=json", "--log-file", "/var/log/weir.log", "--log-levels", "channel=warn,port=error", "--poll-cpus", "5-7,2",
		"--name", "br7", "--dpid", "ab", "--mac", "02:00:00:00:00:07", "--fail-mode", "secure", "--table-miss", "drop",
		"--tables", "9", "--max-flows", "1000", "--max-groups", "2000", "--max-meters", "30", "--max-paths", "500", "--protocols", "OpenFlow13", "--dp-desc", "seven", "--forward-bpdu", "--fragments", "reassemble",
		"--mfr-desc", "Weir Works", "--hw-desc", "board 7", "--sw-desc", "1.2", "--serial-desc", "S7", "--buffers", "256", "--buffer-age", "2s",
		"--listen-auxiliary", "ptcp:6655", "--listen-auxiliary", "pssl:6656", "--packet-in-rates", "invalid-ttl=8", "--auxiliary", "1",
		"--packet-in-queue", "77", "--spin", "70us", "--mac-table-size", "99", "--mac-table-age", "30s",
		"--internal", "--internal-address", "10.0.0.1/24", "--internal-address", "fd00::1/64", "--internal-mtu", "1400",
		"--listen", "ptcp:6654:127.0.0.1", "--listen", "punix:/run/x.sock", "--listen", "pssl:6640:[::1]",
		"--private-key", "/k", "--certificate", "/c", "--ca-cert", "/a",
		"--controller", "tcp:[::1],min-backoff=2s,max-backoff=4s,inactivity-probe=1s,packet-in-rate=5,packet-in-burst=6,packet-in-rates=no-match=7,packet-in-rates=action=0,auxiliary=3",
		"--controller", "ssl:example.net:6653", "--min-backoff", "100ms", "--max-backoff", "3s", "--inactivity-probe", "7s",
		"--packet-in-rate", "50", "--packet-in-burst", "60",
		"--port", "1:eth1,name=one,mtu=1400,tag=10,vlan_mode=access,flood=no,offload=no,ring=512,readers=2", "--port", "2:eth2,trunks=1;5-7",
		"--port", "eth3,queue=0:min-rate=500kbit,queue=3:max-rate=100000kbit,link-rate=1gbit,queue=9:max-rate=1000bit",
		"--port", "xdp:eth4,mode=generic,ring=4096", "--port", "patch:a,peer=b", "--port", "tap:t,mac=02:00:00:00:00:09", "--port", "wire:udp,local=127.0.0.1:1,remote=127.0.0.1:2",
		"--port", "wire:unix,listen=/tmp/vm.sock", "--port", "wire:tcp,connect=127.0.0.1:9,name=w2",
		"--port", "pcap:in.pcap,out=out.pcap,rate=fast,loop=3",
		"--name", "br8", "--port", "patch:b,peer=a", "--internal-address", "10.1.0.1/24")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byFile, byFlags) {
		t.Errorf("file  %+v\nflags %+v", byFile, byFlags)
	}
	// Every key of the schema takes part in the comparison.
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	keysOf(&doc, "", have)
	have["bridges.controllers.target"] = true
	for _, key := range schemaKeys() {
		if !have[key] {
			t.Errorf("%s is not compared", key)
		}
	}
}

func TestFlagsOverAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	if err := os.WriteFile(file, []byte("rundir: /a\nlog: {level: warn}\nbridges: [{name: br0}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func(args ...string) (*Config, error) {
		fs := flag.NewFlagSet("run", flag.ContinueOnError)
		f := NewFlags(fs)
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		return f.Load(file)
	}
	c, err := load("--rundir", "/b", "--log-levels", "port=debug")
	if err != nil || c.RunDir != "/b" || c.Log.Level != "warn" || c.Log.Levels["port"] != "debug" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := load("--port", "eth1"); err == nil || !strings.Contains(err.Error(), "cannot be mixed with a file") {
		t.Errorf("bridge flags beside a file: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	_, err := LoadConfig("/nowhere/w.yaml")
	if err == nil || err.Error() != "/nowhere/w.yaml: cannot be read: no such file or directory" {
		t.Error(err)
	}
}

// FuzzConfig: whatever the text, there is a Config or there are errors that name the file.
func FuzzConfig(f *testing.F) {
	if text, err := os.ReadFile(exampleFile); err == nil {
		f.Add(text)
	}
	for _, s := range []string{"", "---\n---\n", "bridges: [{name: br0, ports: [{port: \"1:eth1\", trunks: [1]}]}]", "a: &a [*a]",
		"bridges:\n- name: br0\n  controllers: [\"tcp:[::1\"]\n", "? [a]\n: b\n", "bridges: [{name: a, internal: {}}]", "<<: {a: b}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig("w.yaml", text)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v, error %v", c, err)
		}
		var all ConfigErrors
		if err != nil && (!errors.As(err, &all) || len(all) == 0 || slices.ContainsFunc(all, func(e ConfigError) bool { return e.File != "w.yaml" || e.Problem == "" })) {
			t.Fatalf("error does not name the file: %v", err)
		}
		if c == nil {
			return
		}
		for _, b := range c.Bridges {
			for _, p := range b.Ports {
				if again, err := ParsePort(p.String()); err != nil || again.String() != p.String() {
					t.Fatalf("port %q does not read back: %v", p.String(), err)
				}
			}
			for _, target := range b.Listen {
				if again, err := ParseTarget(target.String()); err != nil || again != target {
					t.Fatalf("target %q does not read back: %v", target, err)
				}
			}
		}
	})
}
