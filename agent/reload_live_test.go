package agent

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestReloadThatCannotMoveAPort: a port whose new bridge cannot take it goes back to where it was.
func TestReloadThatCannotMoveAPort(t *testing.T) {
	r := startAgent(t, "bridges:\n- {name: br0, ports: [\"1:pipe:a\", \"7:pipe:c,tag=0\"]}\n- name: br1\n")
	before := r.a.Switch("br0").Config()
	bad := "\"wire:unixgram,local=/nowhere/a,remote=/nowhere/b,name=x\""
	for _, second := range []string{"br1", "br2"} { // one that runs and one that is new
		ports := map[string]string{second: "\"pipe:c\", " + bad}
		config := "bridges:\n- {name: br0, ports: [\"1:pipe:a\"]}\n- {name: br1, ports: [" + ports["br1"] + "]}\n"
		if second == "br2" {
			config += "- {name: br2, ports: [" + ports["br2"] + "]}\n"
		}
		r.write(config)
		changes, err := r.a.Reload("", "")
		want := "bridge br0: port c removed\nbridge br0: port c put back, for bridge " + second + " could not take it"
		if err == nil || !strings.Contains(err.Error(), "bridge "+second) || strings.Join(changes, "\n") != want {
			t.Errorf("changes %q, error %v", changes, err)
		}
		if now := r.a.Switch("br0").Config(); !reflect.DeepEqual(before, now) {
			t.Errorf("bridge br0 is %+v, before %+v", now, before)
		}
		if p := r.port("br0", "c"); p.Number != 7 {
			t.Errorf("port c came back as %+v", p)
		}
		cross(t, r.end("a"), r.end("c"), 1)
	}
}

// TestReloadChangesTheMACTable: size, age and forward-bpdu apply to the bridge as it runs.
func TestReloadChangesTheMACTable(t *testing.T) {
	const config = "bridges:\n- name: br0\n  mac-table: {size: %d, age: %s}\n  forward-bpdu: %v\n  ports: [\"1:pipe:a\", \"2:pipe:b\"]\n"
	r := startAgent(t, fmt.Sprintf(config, 10, "300s", false))
	a, b := r.end("a"), r.end("b")
	bpdu := append([]byte{1, 0x80, 0xc2, 0, 0, 0}, ethernet(1)[6:]...)
	cross(t, a, b, 1)
	r.reload(fmt.Sprintf(config, 20, "1h", true), "bridge br0: mac-table changed", "bridge br0: forward-bpdu changed")
	if now := r.a.Switch("br0").FDB(); len(now) != 1 {
		t.Errorf("MAC table %v", now)
	}
	if now := r.a.Switch("br0").Flows(-1); len(now) != 1 || now[0].Packets != 1 {
		t.Errorf("flows %+v", now)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := a.Inject(bpdu); err != nil {
		t.Fatal(err)
	}
	if err := b.Expect(ctx, bpdu); err != nil {
		t.Error(err)
	}
	if n := r.a.Switch("br0").pipe.MACStats().Limit; n != 20 {
		t.Errorf("the table's limit is %d", n)
	}
}
