package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weirswitch/weir/integration/lab"
)

// The applications of examples/ryu under os-ken, driven as their users do.

// app is a running application with its HTTP server.
type app struct {
	b    *bed
	proc *lab.Proc
	http http.Client
}

// startApp runs an application of examples/ryu, as startRyu does, and waits until all bridges have found it.
func (b *bed) startApp(name string, bridges []string, more ...string) *app {
	b.t.Helper()
	a := &app{b: b, proc: b.startRyu("../examples/ryu/"+name, more...)}
	a.http.Transport = &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return b.Switch.Dial(ctx, network, addr)
		}}
	for _, br := range bridges {
		eventually(b.t, br+" connected", func() error {
			_, err := b.try(b.bin, "status", br, "--connected")
			return err
		})
	}
	return a
}

// request sends JSON to a path and returns the status and the answer.
func (a *app) request(method, path, body string) (int, string, error) {
	req, err := http.NewRequest(method, "http://127.0.0.1:8080"+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// ask demands status 200 and decodes the answer.
func (a *app) ask(into any, method, path, body string) {
	a.b.t.Helper()
	status, text, err := a.request(method, path, body)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err == nil && into != nil {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.UseNumber()
		err = d.Decode(into)
	}
	if err != nil {
		a.b.t.Fatalf("%s %s %s: %v\n%s", method, path, body, err, text)
	}
}

// one is the only record of an answer about switch 1.
func (a *app) one(path string) map[string]any {
	a.b.t.Helper()
	var got map[string][]map[string]any
	a.ask(&got, "GET", path, "")
	if len(got["1"]) != 1 {
		a.b.t.Fatalf("GET %s: %v", path, got)
	}
	return got["1"][0]
}

// has wants a value in a record, written as JSON.
func has(t *testing.T, record map[string]any, want string) {
	t.Helper()
	var w map[string]any
	d := json.NewDecoder(strings.NewReader(want))
	d.UseNumber()
	if err := d.Decode(&w); err != nil {
		t.Fatal(err)
	}
	for k, v := range w {
		got, _ := json.Marshal(record[k])
		exp, _ := json.Marshal(v)
		if !bytes.Equal(got, exp) {
			t.Errorf("%s is %s, expected %s, in %v", k, got, exp, record)
		}
	}
}

// eventuallySays polls a path until the answer contains all the words and none that begins with "!".
func (a *app) eventuallySays(path string, words ...string) {
	a.b.t.Helper()
	eventually(a.b.t, path, func() error {
		_, text, err := a.request("GET", path, "")
		for _, w := range words {
			without, not := strings.CutPrefix(w, "!")
			if err == nil && strings.Contains(text, without) == not {
				err = fmt.Errorf("expected %s in %s", w, text)
			}
		}
		return err
	})
}

// TestRyuRest drives every function of the framework's ofctl library over HTTP.
func TestRyuRest(t *testing.T) {
	need(t, "ovs-ofctl")
	b := newBed(t)
	hosts := b.addHosts(2)
	b.startYAML([]string{"br0"}, `
bridges:
  - name: br0
    dpid: "1"
    fail-mode: secure
    controllers: [{target: "tcp:127.0.0.1:6653", min-backoff: 100ms, max-backoff: 200ms}]
    ports:
      - port: "1:eth1"
      - port: "2:eth2"
        queues: [{id: 0, min-rate: 1mbit, max-rate: 50mbit}, {id: 1, max-rate: 8mbit}]
`)
	a := b.startApp("ofctl_rest.py", []string{"br0"})
	a.eventuallySays("/stats/switches", "[1]")
	post := func(path, body string) { t.Helper(); a.ask(nil, "POST", path, body) }

	var desc map[string]map[string]any
	a.ask(&desc, "GET", "/stats/desc/1", "")
	has(t, desc["1"], `{"mfr_desc": "weir", "dp_desc": "br0"}`)

	// Entries: what is sent comes back in the library's own words, and pings run over it.
	for in, out := range map[int]int{1: 2, 2: 1} {
		post("/stats/flowentry/add", fmt.Sprintf(`{"dpid": 1, "cookie": 1, "priority": 11111, "idle_timeout": 300,
			"match": {"in_port": %d}, "actions": [{"type": "OUTPUT", "port": %d}]}`, in, out))
	}
	eventually(t, "pings", func() error { _, err := hosts[0].Ping(hosts[1].Addr4(), 56, patience); return err })
	var flows map[string][]map[string]any
	a.ask(&flows, "POST", "/stats/flow/1", `{"match": {"in_port": 1}, "out_port": 2}`)
	if len(flows["1"]) != 1 || flows["1"][0]["packet_count"] == json.Number("0") {
		t.Errorf("flows %v", flows)
	} else {
		has(t, flows["1"][0], `{"cookie": 1, "priority": 11111, "idle_timeout": 300, "table_id": 0, "match": {"in_port": 1}, "actions": ["OUTPUT:2"]}`)
	}
	has(t, a.one("/stats/aggregateflow/1"), `{"flow_count": 2}`)
	post("/stats/flowentry/modify", `{"dpid": 1, "match": {"in_port": 1}, "actions": []}`)
	post("/stats/flowentry/modify_strict", `{"dpid": 1, "priority": 11111, "match": {"in_port": 2}, "actions": [{"type": "OUTPUT", "port": "CONTROLLER"}]}`)
	a.ask(&flows, "GET", "/stats/flow/1", "")
	if text := fmt.Sprint(flows["1"]); !strings.Contains(text, "[OUTPUT:CONTROLLER]") || !strings.Contains(text, "actions:[]") {
		t.Errorf("after modify: %s", text)
	}
	post("/stats/flowentry/delete_strict", `{"dpid": 1, "priority": 11111, "match": {"in_port": 2}}`)
	has(t, a.one("/stats/aggregateflow/1"), `{"flow_count": 1}`)
	post("/stats/flowentry/delete", `{"dpid": 1, "match": {"in_port": 1}}`)
	has(t, a.one("/stats/aggregateflow/1"), `{"flow_count": 0}`)
	a.richFlow()

	// Tables, ports, queues.
	var tables map[string][]map[string]any
	a.ask(&tables, "GET", "/stats/table/1", "")
	n := len(tables["1"])
	a.ask(&tables, "GET", "/stats/tablefeatures/1", "")
	if n != 254 || len(tables["1"]) != n || len(tables["1"][253]["properties"].([]any)) < 8 {
		t.Errorf("%d tables, %d with features", n, len(tables["1"]))
	}
	has(t, a.one("/stats/port/1/1"), `{"port_no": 1, "rx_errors": 0}`)
	var ports map[string][]map[string]any
	a.ask(&ports, "GET", "/stats/portdesc/1", "")
	if i := slices.IndexFunc(ports["1"], func(p map[string]any) bool { return p["name"] == "eth2" }); i < 0 {
		t.Errorf("ports %v", ports)
	} else {
		has(t, ports["1"][i], `{"port_no": 2, "config": 0, "state": 4}`)
	}
	has(t, a.one("/stats/queue/1/2/1"), `{"port_no": 2, "queue_id": 1, "tx_errors": 0}`)
	if text := fmt.Sprint(a.one("/stats/queueconfig/1/2")); !strings.Contains(text, "queue_id:1") || !strings.Contains(text, "MAX_RATE") {
		t.Errorf("queue configuration %s", text)
	}
	post("/stats/portdesc/modify", `{"dpid": 1, "port_no": 2, "config": 32, "mask": 32}`)
	eventually(t, "NO_FWD", func() error { return contains(b.ofctl("dump-ports-desc", "br0"), "NO_FWD") })

	// Groups and meters.
	post("/stats/groupentry/add", `{"dpid": 1, "type": "SELECT", "group_id": 7, "buckets": [{"weight": 2, "actions": [{"type": "OUTPUT", "port": 1}]}]}`)
	post("/stats/groupentry/modify", `{"dpid": 1, "type": "ALL", "group_id": 7, "buckets": [{"actions": [{"type": "OUTPUT", "port": 2}]}]}`)
	has(t, a.one("/stats/groupdesc/1"), `{"group_id": 7, "type": "ALL"}`)
	has(t, a.one("/stats/group/1/7"), `{"group_id": 7, "ref_count": 0, "packet_count": 0}`)
	has(t, a.one("/stats/groupfeatures/1"), `{"types": ["ALL", "SELECT", "INDIRECT", "FF"]}`)
	post("/stats/groupentry/delete", `{"dpid": 1, "group_id": 7}`)
	post("/stats/meterentry/add", `{"dpid": 1, "flags": ["KBPS", "STATS"], "meter_id": 3, "bands": [{"type": "DROP", "rate": 1000}]}`)
	post("/stats/meterentry/modify", `{"dpid": 1, "flags": "PKTPS", "meter_id": 3, "bands": [{"type": "DSCP_REMARK", "rate": 10, "burst_size": 5, "prec_level": 1}]}`)
	has(t, a.one("/stats/meterconfig/1/3"), `{"meter_id": 3, "bands": [{"type": "DSCP_REMARK", "rate": 10, "burst_size": 5, "prec_level": 1}]}`)
	has(t, a.one("/stats/meter/1"), `{"meter_id": 3, "packet_in_count": 0}`)
	has(t, a.one("/stats/meterfeatures/1"), `{"band_types": ["DROP", "DSCP_REMARK"], "capabilities": ["KBPS", "PKTPS", "BURST", "STATS"]}`)
	post("/stats/meterentry/delete", `{"dpid": 1, "meter_id": 3}`)

	// Roles: no generation yet, then the one that the library always sends.
	has(t, a.one("/stats/role/1"), `{"role": "EQUAL", "generation_id": 18446744073709551615}`)
	post("/stats/role", `{"dpid": 1, "role": "MASTER"}`)
	has(t, a.one("/stats/role/1"), `{"role": "MASTER", "generation_id": 0}`)

	// Up to here nothing was refused; what nobody knows is, with the request inside the error.
	var errors []map[string]any
	a.ask(&errors, "GET", "/stats/errors", "")
	if len(errors) != 0 {
		t.Errorf("refused: %v", errors)
	}
	post("/stats/experimenter/1", `{"experimenter": 0, "exp_type": 0, "data": "weir"}`)
	a.eventuallySays("/stats/errors", `"type": 1, "code": 3, "data": "04040014`)
	a.ask(nil, "DELETE", "/stats/flowentry/clear/1", "")
	has(t, a.one("/stats/aggregateflow/1"), `{"flow_count": 0}`)
	if status, text, err := a.request("GET", "/stats/flow/99", ""); err != nil || status != http.StatusNotFound {
		t.Errorf("a switch that is not there: %d %s %v", status, text, err)
	}
}

// richFlow installs an entry with every kind of instruction and most actions, and reads it.
func (a *app) richFlow() {
	t := a.b.t
	t.Helper()
	a.ask(nil, "POST", "/stats/meterentry/add", `{"dpid": 1, "flags": "KBPS", "meter_id": 9, "bands": [{"type": "DROP", "rate": 1000000}]}`)
	a.ask(nil, "POST", "/stats/groupentry/add", `{"dpid": 1, "type": "INDIRECT", "group_id": 9, "buckets": [{"actions": [{"type": "OUTPUT", "port": 2}]}]}`)
	a.ask(nil, "POST", "/stats/flowentry/add", `{"dpid": 1, "priority": 5, "match": {"in_port": 1, "eth_type": 2048, "ipv4_dst": "10.0.0.0/255.255.255.0", "ip_proto": 6, "tcp_dst": 80, "vlan_vid": "0x1000/0x1000"},
		"actions": [{"type": "METER", "meter_id": 9}, {"type": "POP_VLAN"}, {"type": "PUSH_VLAN", "ethertype": 33024},
		{"type": "SET_FIELD", "field": "vlan_vid", "value": 4196}, {"type": "DEC_NW_TTL"}, {"type": "SET_QUEUE", "queue_id": 1}, {"type": "GROUP", "group_id": 9},
		{"type": "WRITE_ACTIONS", "actions": [{"type": "OUTPUT", "port": 2}]}, {"type": "WRITE_METADATA", "metadata": "0x1", "metadata_mask": "0xff"},
		{"type": "GOTO_TABLE", "table_id": 4}]}`)
	flow := a.one("/stats/flow/1")
	text := fmt.Sprint(flow["actions"])
	wants(t, "entry", text, "METER:9", "POP_VLAN", "PUSH_VLAN:33024", "SET_FIELD: {vlan_vid:4196}", "DEC_NW_TTL", "SET_QUEUE:1", "GROUP:9",
		"WRITE_ACTIONS", "WRITE_METADATA:0x1/0xff", "GOTO_TABLE:4")
	a.ask(nil, "DELETE", "/stats/flowentry/clear/1", "")
	a.ask(nil, "POST", "/stats/meterentry/delete", `{"dpid": 1, "meter_id": 9}`)
	a.ask(nil, "POST", "/stats/groupentry/delete", `{"dpid": 1, "group_id": 9}`)
}
