package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/weirswitch/weir/integration/lab"
)

// ovs is an Open vSwitch of the test's own, in the lab's switch namespace, with the userspace datapath.
type ovs struct{ b *bed }

// ovsSchema is where Debian's openvswitch-switch keeps the database schema.
const ovsSchema = "/usr/share/openvswitch/vswitch.ovsschema"

// startOVS runs ovsdb-server and ovs-vswitchd with their own run directory and database.
func (b *bed) startOVS(options ...string) *ovs {
	b.t.Helper()
	need(b.t, "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
	if len(options) == 0 {
		needRoot(b.t) // the bridge's own port is a tap, unless it is a dummy
	}
	o := &ovs{b}
	db, sock := filepath.Join(b.Dir(), "conf.db"), filepath.Join(b.rundir, "db.sock")
	o.run("ovsdb-tool", "create", db, ovsSchema)
	o.spawn("ovsdb-server", db, "--remote=punix:"+sock, "--unixctl="+filepath.Join(b.rundir, "ovsdb.ctl"))
	eventually(b.t, "ovsdb-server", func() error { _, err := os.Stat(sock); return err })
	o.vsctl("--no-wait", "init")
	o.spawn("ovs-vswitchd", append([]string{"unix:" + sock, "--disable-system", "--unixctl=" + filepath.Join(b.rundir, "vswitchd.ctl")}, options...)...)
	return o
}

func (o *ovs) env() []string {
	return append(o.b.env(), "OVS_DBDIR="+o.b.Dir(), "OVS_LOGDIR="+o.b.Dir())
}

func (o *ovs) spawn(path string, args ...string) {
	o.b.t.Helper()
	p, err := o.b.Start(lab.Cmd{Path: path, Args: args, Env: o.env()})
	if err != nil {
		o.b.t.Fatal(err)
	}
	o.b.t.Cleanup(func() {
		if o.b.t.Failed() {
			o.b.t.Logf("%s said:\n%s", path, p.Output())
		}
	})
}

func (o *ovs) run(path string, args ...string) string { o.b.t.Helper(); return o.b.must(path, args...) }

// vsctl runs ovs-vsctl; without --no-wait it returns when ovs-vswitchd has done the work.
func (o *ovs) vsctl(args ...string) string {
	o.b.t.Helper()
	return o.run("ovs-vsctl", append([]string{"-t", "60", "--db=unix:" + filepath.Join(o.b.rundir, "db.sock")}, args...)...)
}

// addBridge makes a bridge of the userspace datapath with ports; each port is its name and column settings.
func (o *ovs) addBridge(name string, ports ...[]string) {
	o.b.t.Helper()
	o.vsctl("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev")
	for _, p := range ports {
		o.vsctl(append([]string{"add-port", name}, p...)...)
	}
}

// txOff does on a host what OVS's raw-socket ports need: the kernel finishes checksums and segments by itself.
func txOff(t *testing.T, h *lab.Host) {
	t.Helper()
	need(t, "ethtool")
	if _, err := h.Run(t.Context(), "ethtool", "-K", "eth0", "tx", "off"); err != nil {
		t.Fatal(err)
	}
}
