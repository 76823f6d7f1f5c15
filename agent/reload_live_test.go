package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"testing"
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
	ctx, cancel := context.WithTimeout(context.Background(), inTime)
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

// TestReloadMovesInAnyOrder: devices and listeners change places between bridges, whichever bridge the
// file names first; ports keep their names, and nothing that stays is touched.
func TestReloadMovesInAnyOrder(t *testing.T) {
	one, two := freeTCP(t), freeTCP(t)
	bridge := func(name, port, pipe, listen string) string {
		return fmt.Sprintf("- {name: %s, listen: [%q], ports: [\"1:pipe:%s,name=%s\", \"2:pipe:%s2\"]}\n", name, "ptcp:"+listen+":127.0.0.1", pipe, port, name)
	}
	for _, order := range [][2]string{{"br0", "br1"}, {"br1", "br0"}} {
		before := map[string]string{"br0": bridge("br0", "x", "a", one), "br1": bridge("br1", "y", "b", two)}
		after := map[string]string{"br0": bridge("br0", "x", "b", two), "br1": bridge("br1", "y", "a", one)}
		r := startAgent(t, "bridges:\n"+before[order[0]]+before[order[1]])
		r.write("bridges:\n" + after[order[0]] + after[order[1]])
		if _, err := r.a.Reload("", ""); err != nil {
			t.Fatalf("%v: %v", order, err)
		}
		cross(t, r.end("b"), r.end("br02"), 1)
		cross(t, r.end("a"), r.end("br12"), 2)
		for name, port := range map[string]string{"br0": two, "br1": one} {
			if st := r.a.Switch(name).Status(); !strings.Contains(fmt.Sprint(st.Listeners), ":"+port) {
				t.Errorf("%v: %s listens on %v, want %s", order, name, st.Listeners, port)
			}
		}
		if err := r.a.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReloadGivesTheListenerBack: the bridge that was to have it could not take its other port.
func TestReloadGivesTheListenerBack(t *testing.T) {
	port := freeTCP(t)
	listen := fmt.Sprintf("listen: [\"ptcp:%s:127.0.0.1\"]", port)
	r := startAgent(t, "bridges:\n- {name: br0, "+listen+"}\n- {name: br1}\n")
	r.write("bridges:\n- {name: br0}\n- {name: br1, " + listen + ", ports: [\"wire:unixgram,local=/nowhere/a,remote=/nowhere/b,name=x\"]}\n")
	if _, err := r.a.Reload("", "br1"); err == nil {
		t.Error("a port in no folder was opened")
	}
	if st := r.a.Switch("br0").Status(); !strings.Contains(fmt.Sprint(st.Listeners), ":"+port) {
		t.Errorf("a reload of br1 alone: br0 listens on %v", st.Listeners)
	}
	if _, err := r.a.Reload("", ""); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("error %v", err)
	}
	if st := r.a.Switch("br0").Status(); !strings.Contains(fmt.Sprint(st.Listeners), ":"+port) {
		t.Errorf("br0 listens on %v", st.Listeners)
	}
}

// freeTCP is the number of a port that nobody listens on. It is below those that systems give to whoever asks for any, the
// tests of other packages for instance.
func freeTCP(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := fmt.Sprint(10000 + rand.IntN(20000))
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}
